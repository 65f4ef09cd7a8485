"""One server and one browser a module; each test visits with a context of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browsing import FLAGS, WINDOW, Visit, chromium, serving


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an app of the module's own."""
    with serving(Path(tmp_path_factory.mktemp("server"))) as address:
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A Chromium without a window."""
    path = chromium()
    if path is None:
        pytest.skip("Chromium is not installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield found
        found.close()


@pytest.fixture(scope="module")
def window(browser: Any) -> Iterator[Any]:
    """Shared by the visits of a module; a session of the app belongs to a page, not to it."""
    kept = browser.new_context(**WINDOW)
    yield kept
    kept.close()


@pytest.fixture
def visit(browser: Any, window: Any, server: str) -> Iterator[Visit]:
    """A visitor; afterwards, that nothing was asked of anybody else, and that the console has no error."""
    visit = Visit(browser, server, kept=window)
    yield visit
    visit.close()
