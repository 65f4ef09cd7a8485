"""Paired differences with their intervals: which data plane is lower, and how sure that is."""

from __future__ import annotations

from typing import Any

from meshsim.figures.layout import INK, Figure, Theme, axis, base_layout, safe
from meshsim.results.rows import ComparisonReport, Verdict

SIGNS = {True: ("settled", "#0077aa", "square"), False: ("not settled", "#7d7d7d", "circle-open")}


def verdict_figure(report: ComparisonReport, *, theme: Theme = "light") -> Figure:
    """One line a pair: the difference of latency above, of money below, zero marked. Pairs without interval are left
    out.
    """
    halves = [
        [one for one in report.verdicts if one.unit == unit and one.difference.low is not None]
        for unit in ("us", "USD/month")
    ]
    longest = max((abs(end or 0) for one in halves[0] for end in (one.difference.low, one.difference.high)), default=0)
    unit, factor = ("ms", 1e-3) if longest >= 1000 else ("µs", 1.0)
    layout = base_layout(theme, 190 + 30 * sum(map(len, halves)))
    titles = (f"Latency at {report.verdicts[0].metric if report.verdicts else ''}, {unit}", "US dollars a month")
    data: list[dict[str, Any]] = []
    for place, (verdicts, title, scale) in enumerate(zip(halves, titles, (factor, 1.0), strict=True)):
        end = "" if place == 0 else "2"
        domain = [0.6, 1] if place == 0 else [0, 0.4]
        names = [_pair(one) for one in verdicts]
        layout[f"xaxis{end}"] = axis(
            f"{title}, first less second", anchor=f"y{end}", zeroline=True, zerolinecolor=INK[theme]
        )
        layout[f"yaxis{end}"] = axis(
            "", type="category", categoryorder="array", categoryarray=names[::-1], showgrid=False, domain=domain,
            anchor=f"x{end}",
        )  # fmt: skip
        data += [_dots(verdicts, settled, scale, end, place == 0) for settled in SIGNS]
    return {"data": [trace for trace in data if trace["x"] or trace["showlegend"]], "layout": layout}


def _pair(verdict: Verdict) -> str:
    return safe(f"{verdict.a} less {verdict.b}")


def _dots(verdicts: list[Verdict], settled: bool, scale: float, end: str, legend: bool) -> dict[str, Any]:
    mine = [one for one in verdicts if one.settled == settled]
    name, colour, mark = SIGNS[settled]
    values = [(one.difference.value or 0.0, one.difference.low or 0.0, one.difference.high or 0.0) for one in mine]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "legendgroup": name,
        "showlegend": legend,
        "xaxis": f"x{end}",
        "yaxis": f"y{end}",
        "x": [value * scale for value, _, _ in values],
        "y": [_pair(one) for one in mine],
        "error_x": {
            "type": "data", "symmetric": False, "thickness": 2, "width": 6, "color": "#808080",
            "array": [(high - value) * scale for value, _, high in values],
            "arrayminus": [(value - low) * scale for value, low, _ in values],
        },
        "marker": {"color": colour, "symbol": mark, "size": 11},
        "text": [safe(one.sentence) for one in mine],
        "hovertemplate": "%{text}<extra></extra>",
    }  # fmt: skip
