"""Run in a real Chromium: progress, cancel within two seconds, a reload in between, files at the end."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from browsing import PATIENCE_MS, Visit

pytestmark = pytest.mark.browser


def start(visit: Visit, longest: bool, **query: str) -> Any:
    """Begin a run by keyboard alone; ``longest``: one that is not over before the test is."""
    page = visit.open("run", **query)
    requests = page.get_by_role("slider", name="Measured requests of each run")
    requests.press("End" if longest else "Home")
    visit.settle()
    page.get_by_role("button", name="Start").press("Enter")
    return page


def told(page: Any) -> Any:
    return page.get_by_test_id("stProgress").get_by_text(re.compile(r"\d+ s so far"))


def test_a_run_survives_a_reload_and_is_cancelled_within_two_seconds(visit: Visit) -> None:
    page = start(visit, longest=True, app="online-boutique", services="11", kind="growth")
    told(page).wait_for(timeout=PATIENCE_MS)
    page.get_by_text("%", exact=False).first.wait_for()
    name = re.search(r"run=([0-9a-f-]+)", page.url).group(1)
    page.reload()
    visit.settle()
    told(page).wait_for(timeout=PATIENCE_MS)
    assert f"run={name}" in page.url
    assert page.get_by_role("button", name="Start").is_disabled()
    began = time.monotonic()
    page.get_by_role("button", name="Cancel").click()
    page.get_by_text("Cancelled.").wait_for(timeout=PATIENCE_MS)
    assert time.monotonic() - began < 2
    page.reload()
    visit.settle()
    page.get_by_text("Cancelled.").wait_for(timeout=PATIENCE_MS)


def test_a_run_ends_with_an_answer_whose_files_open(visit: Visit) -> None:
    page = start(visit, longest=False, planes="linkerd")
    page.get_by_test_id("answer").wait_for(timeout=PATIENCE_MS)
    assert "two-tier with 2 services" in page.get_by_test_id("answer").inner_text()
    page.get_by_text("1,000 requests of each run, seed 1").wait_for()
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Table, CSV").click()
    table = pd.read_csv(Path(waiting.value.path()), comment="#")
    assert set(table["dataplane"]) == {"linkerd"}
    # Another visitor with the link sees the same; and Report offers its files.
    other = visit.context.new_page()
    other.goto(page.url)
    other.get_by_test_id("answer").wait_for(timeout=PATIENCE_MS)
    assert other.get_by_test_id("answer").inner_text() == page.get_by_test_id("answer").inner_text()


def test_a_run_that_is_not_there_is_said_to_be_gone(visit: Visit) -> None:
    page = visit.open("run", run="20260101-000000-00000000")
    page.get_by_text("which is not here any more").wait_for()
    page = visit.open("run", run="../../etc")
    page.get_by_text("which is not here any more").wait_for()
