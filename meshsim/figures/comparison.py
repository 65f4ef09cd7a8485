"""Data planes side by side under one load: latency quantiles with their intervals, CPU by who caused it."""

from __future__ import annotations

from typing import Any

from meshsim.figures import numbers
from meshsim.figures.layout import Figure, Theme, axis, base_layout, safe
from meshsim.figures.palette import COMPONENTS, look
from meshsim.results.rows import ComparisonReport, Estimate, Row

QUANTILES = (("p50", "circle"), ("p90", "diamond"), ("p99", "square"))
CPU_PARTS = ("application", "proxy", "kernel")


def comparison_figure(report: ComparisonReport, *, theme: Theme = "light") -> Figure:
    """Above: p50, p90 and p99 of each data plane with 95 % sampling intervals. Below: CPU cores by component.

    A quantile for which the run was too short has no dot.
    """
    rows = report.rows
    unit, factor = _latency_unit(rows)
    names = [safe(row.dataplane) for row in rows]
    data = [_range(rows, factor)] + [_dots(rows, quantile, symbol, unit, factor) for quantile, symbol in QUANTILES]
    data += [_cpu(rows, part) for part in CPU_PARTS]

    layout = base_layout(theme, 190 + 72 * len(rows))
    planes = {"categoryorder": "array", "categoryarray": names[::-1], "type": "category", "showgrid": False}
    layout["barmode"] = "stack"
    layout["bargap"] = 0.45
    layout["xaxis"] = axis(f"Latency, {unit}", rangemode="tozero")
    layout["yaxis"] = axis("", domain=[0.58, 1], **planes)
    layout["xaxis2"] = axis("CPU in use, cores", anchor="y2", rangemode="tozero")
    layout["yaxis2"] = axis("", domain=[0, 0.36], anchor="x2", **planes)
    layout["legend2"] = {**layout["legend"], "y": 0.37}
    return {"data": data, "layout": layout}


def _latency_unit(rows: list[Row]) -> tuple[str, float]:
    values = [value for row in rows if (value := row.latency_us.p50.value) is not None]
    return ("ms", 1e-3) if values and min(values) >= 1000 else ("µs", 1.0)


def _estimate(row: Row, quantile: str) -> Estimate:
    found: Estimate = getattr(row.latency_us, quantile)
    return found


def _range(rows: list[Row], factor: float) -> dict[str, Any]:
    """A thin line from the lowest quantile to the highest of each data plane."""
    xs: list[float | None] = []
    ys: list[str | None] = []
    for row in rows:
        values = [value * factor for name, _ in QUANTILES if (value := _estimate(row, name).value) is not None]
        if values:
            xs += [min(values), max(values), None]
            ys += [safe(row.dataplane), safe(row.dataplane), None]
    return {
        "type": "scatter", "mode": "lines", "name": "range", "x": xs, "y": ys, "showlegend": False,
        "line": {"color": "rgba(128,128,128,0.55)", "width": 2}, "hoverinfo": "skip",
    }  # fmt: skip


def _dots(rows: list[Row], quantile: str, symbol: str, unit: str, factor: float) -> dict[str, Any]:
    known = [(row, _estimate(row, quantile)) for row in rows if _estimate(row, quantile).value is not None]
    values = [estimate.value or 0.0 for _, estimate in known]
    lows = [value if estimate.low is None else estimate.low for (_, estimate), value in zip(known, values, strict=True)]
    highs = [
        value if estimate.high is None else estimate.high for (_, estimate), value in zip(known, values, strict=True)
    ]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": quantile,
        "x": [value * factor for value in values],
        "y": [safe(row.dataplane) for row, _ in known],
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [(high - value) * factor for high, value in zip(highs, values, strict=True)],
            "arrayminus": [(value - low) * factor for low, value in zip(lows, values, strict=True)],
            "thickness": 2,
            "width": 6,
            "color": "#808080",
        },
        "marker": {"symbol": symbol, "size": 11, "color": [look(row.dataplane).colour for row, _ in known]},
        "text": [
            f"<b>{safe(row.dataplane)}</b>, {quantile}: {numbers.interval(estimate, numbers.latency)}"
            f"{numbers.real_line(row, f'latency_us_{quantile}', numbers.latency)}"
            for row, estimate in known
        ],
        "hovertemplate": "%{text}<extra></extra>",
    }


def _cpu(rows: list[Row], part: str) -> dict[str, Any]:
    values = [float(getattr(row.cpu_cores, part)) for row in rows]
    return {
        "type": "bar",
        "orientation": "h",
        "name": part,
        "legend": "legend2",
        "xaxis": "x2",
        "yaxis": "y2",
        "x": values,
        "y": [safe(row.dataplane) for row in rows],
        "marker": {
            "color": COMPONENTS[part],
            "pattern": {"shape": PATTERNS[part], "fillmode": "overlay", "size": 6},
        },
        "text": [
            f"<b>{safe(row.dataplane)}</b>, {part}: {numbers.cores(value)} of {numbers.cores(row.cpu_cores.total)}"
            for row, value in zip(rows, values, strict=True)
        ],
        "textposition": "none",
        "hovertemplate": "%{text}<extra></extra>",
    }


PATTERNS = {"application": "", "proxy": "/", "kernel": ".", "network": "-", "agent": "x"}
"""Hatching, so that colour is not the only sign."""
