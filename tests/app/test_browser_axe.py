"""axe-core (WCAG 2.1 A and AA) on every page, light and dark."""

from __future__ import annotations

from typing import Any

import pytest
from browsing import Visit
from headless import THERE

pytestmark = pytest.mark.browser

RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"], "resultTypes": ["violations"]}
STREAMLIT = {"list", "listitem"}
"""Of its own navigation on narrow screens, where links lie in a list without items."""


def violations(page: Any) -> dict[str, list[str]]:
    """By rule: the HTML of what breaks it."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page, options=RULES).response["violations"]
    return {
        one["id"]: [f"{node['html'][:200]} {node.get('failureSummary', '')}" for node in one["nodes"]]
        for one in found
        if one["id"] not in STREAMLIT
    }


def at_rest(visit: Visit, name: str) -> Any:
    page = visit.open(name)
    visit.settle()
    page.wait_for_timeout(1000)
    visit.settle()
    return page


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_violation_on_any_page(browser: Any, server: str, scheme: str) -> None:
    visit = Visit(browser, server, color_scheme=scheme)
    found = {}
    for name in THERE:
        page = at_rest(visit, "" if name == "explore" else name)
        found[name] = violations(page)
        if name == "learn":
            page.get_by_role("button", name="Reveal").click()
            page.get_by_text("You said").wait_for(timeout=60_000)
            visit.settle()
            found["learn, revealed"] = violations(page)
        if name in ("anatomy", "trust"):
            for tab in page.get_by_role("tab").all():
                tab.click()
                page.wait_for_timeout(300)
                found[f"{name}, {tab.inner_text()}"] = violations(page)
    assert {name: broken for name, broken in found.items() if broken} == {}
    visit.close()


def test_the_check_finds_what_is_wrong(browser: Any, server: str) -> None:
    """Else a silent check would pass for a clean page."""
    visit = Visit(browser, server)
    page = at_rest(visit, "trust")
    page.evaluate("document.body.insertAdjacentHTML('beforeend', '<main><img src=\"data:,\"><button></button></main>')")
    assert {"image-alt", "button-name"} <= set(violations(page))
    visit.close()
