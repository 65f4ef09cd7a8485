"""Explore in a real Chromium."""

from __future__ import annotations

import pytest
from browsing import Visit

pytestmark = pytest.mark.browser


def test_it_opens_on_an_answer_with_a_chart(visit: Visit) -> None:
    page = visit.open()
    sentence = page.get_by_test_id("answer").inner_text()
    assert "two-tier" in sentence
    assert " µs" in sentence or " ms" in sentence
    page.wait_for_selector(".js-plotly-plot")
