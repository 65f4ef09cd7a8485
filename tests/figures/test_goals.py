"""Ticks only where the whole interval keeps the goal."""

from __future__ import annotations

import pytest
from sample_reports import comparison as comparison_report

from meshsim.figures.goals import Goals, goal_lines, settled
from meshsim.formats.page import comparison_page


@pytest.mark.parametrize(
    ("low", "high", "met"),
    [(1.0, 2.0, True), (4.0, 5.0, False), (2.0, 4.0, None), (None, None, True), (3.0, 3.0, True)],
)
def test_kept_missed_or_not_settled(low: float | None, high: float | None, met: bool | None) -> None:
    assert settled(low, high, 2.5, 3.0) is met


def test_one_line_a_data_plane_and_goal_and_in_the_page() -> None:
    report = comparison_report()
    row = report.rows[0]
    high, low = row.latency_us.p99.high, row.latency_us.p99.low
    assert high is not None
    assert low is not None
    lines = goal_lines([row], Goals(high / 1000 + 0.001, row.model_error.usd_month.low / 2))
    assert [line[0] for line in lines] == ["✓", "✗"]
    assert goal_lines([row], Goals(p99_ms=(low + high) / 2000))[0].startswith("?")
    assert goal_lines(report.rows, Goals()) == []
    page = comparison_page(report, goals=Goals(p99_ms=high / 1000 + 0.001))
    assert "<h2>Goals</h2>" in page
    assert f"✓ {row.dataplane}" in page
    assert "<h2>Goals</h2>" not in comparison_page(report)
