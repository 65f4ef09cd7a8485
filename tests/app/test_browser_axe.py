"""axe-core (WCAG 2.1 A and AA) on every page, light and dark."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from browsing import PATIENCE_MS, Visit
from headless import THERE

pytestmark = pytest.mark.browser

RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"], "resultTypes": ["violations"]}
STREAMLIT = {"list", "listitem"}
"""Of its own navigation on narrow screens, where links lie in a list without items."""


def violations(page: Any) -> dict[str, list[str]]:
    """By rule: the HTML of what breaks it, now and when looked at again: while a script runs, Streamlit fades what it
    draws anew, and what is half faded has too little contrast for a moment.
    """
    found = _look(page)
    if found:
        page.wait_for_timeout(1500)
        again = _look(page)
        found = {rule: nodes for rule, nodes in again.items() if rule in found}
    return found


def _look(page: Any) -> dict[str, list[str]]:
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page, options=RULES).response["violations"]
    return {
        one["id"]: [f"{node['html'][:200]} {node.get('failureSummary', '')}" for node in one["nodes"]]
        for one in found
        if one["id"] not in STREAMLIT
    }


def at_rest(visit: Visit, name: str, **query: str) -> Any:
    """When nothing is drawn any more: where a simulation follows, after it."""
    page = visit.open(name, **query)
    if name in ("", "compare", "report"):
        page.get_by_test_id("answer").get_by_text("simulated", exact=True).wait_for(timeout=PATIENCE_MS)
    visit.settle()
    return page


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_violation_on_any_page(browser: Any, server: str, scheme: str) -> None:
    visit = Visit(browser, server, color_scheme=scheme, reduced_motion="reduce")
    found = {}
    for name in THERE:
        page = at_rest(visit, "" if name == "explore" else name, planes="linkerd")
        found[name] = violations(page)
        for what, act in VIEWS.get(name, {}).items():
            act(page)
            visit.settle()
            found[f"{name}, {what}"] = violations(page)
        if name in ("anatomy", "trust"):
            for tab in page.get_by_role("tab").all()[1:]:  # the first is open
                tab.click()
                visit.settle()
                found[f"{name}, {tab.inner_text()}"] = violations(page)
    assert {name: broken for name, broken in found.items() if broken} == {}
    assert {"anatomy, Who and where", "learn, challenges"} <= set(found)
    visit.close()


def _reveal(page: Any) -> None:
    page.get_by_role("button", name="Reveal").click()
    page.get_by_text("You said").wait_for(timeout=PATIENCE_MS)


def _challenges(page: Any) -> None:
    page.get_by_role("radio", name="challenges").or_(page.get_by_role("button", name="challenges")).first.click()
    page.get_by_role("button", name="Check").first.click()
    page.get_by_text("From the analytic engine").first.wait_for(timeout=PATIENCE_MS)


def _terms(page: Any) -> None:
    page.get_by_role("button", name="Prices and sidecars").click()
    page.get_by_role("spinbutton", name="CPU limit, mCPU").wait_for()


def _arithmetic(page: Any) -> None:
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Show the arithmetic").click()
    page.get_by_text("hours a month").wait_for(timeout=PATIENCE_MS)


def _sure(page: Any) -> None:
    page.keyboard.press("Escape")
    page.locator(".st-key-control-planes").get_by_text("istio-sidecar").click()
    page.get_by_text("Which of two is cheaper").click()
    page.get_by_role("figure", name="Chance that").wait_for(timeout=PATIENCE_MS)


VIEWS: dict[str, dict[str, Callable[[Any], None]]] = {
    "explore": {"prices and sidecars": _terms, "the arithmetic": _arithmetic, "how sure": _sure},
    "learn": {"revealed": _reveal, "challenges": _challenges},
}
"""What else a page shows, in turn."""


def test_the_check_finds_what_is_wrong(browser: Any, server: str) -> None:
    """Else a silent check would pass for a clean page."""
    visit = Visit(browser, server)
    page = at_rest(visit, "trust")
    page.evaluate("document.body.insertAdjacentHTML('beforeend', '<main><img src=\"data:,\"><button></button></main>')")
    assert {"image-alt", "button-name"} <= set(violations(page))
    visit.close()
