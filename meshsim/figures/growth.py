"""How something grows with the number of services: one line a data plane, its bands, the crossovers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from meshsim.figures import numbers
from meshsim.figures.layout import Figure, Theme, axis, base_layout, log_axis, safe
from meshsim.figures.metrics import Metric, metric_named
from meshsim.figures.palette import Look, look
from meshsim.results.rows import Crossover, GrowthReport, Row

SAMPLING = "sampling error, 95 %"
MODEL = "model error of the costs, 95 %"
EXACT = ("memory", "config", "push")
SATURATED = 0.9
"""Above this utilisation a queue grows so steeply that a small error of a cost moves latency a lot."""
MOST_CROSSOVERS = 3
"""More marks than that collide."""


def growth_figure(
    report: GrowthReport,
    metric: str = "p50",
    *,
    log_x: bool = True,
    log_y: bool = True,
    here: float | None = None,
    theme: Theme = "light",
    height: int = 460,
) -> Figure:
    """``metric`` (a key of ``METRICS``) against the number of services, one line a data plane.

    A line carries up to two bands, each 95 % and never added up: the darker one is the sampling error, the
    lighter one with a dotted edge the model error. Where the report has a curve of the analytic engine and the
    metric is one that has to be simulated, the line is that curve, and the simulated points lie on it, or do not, as
    marks. ``here`` draws a vertical line at that many services.
    Zeros cannot be drawn on a log axis and are left out. Raises MeshsimError for an unknown metric.
    """
    what = metric_named(metric)
    unit, factor = what.scale(report.rows)
    lines = by_dataplane(report.rows)
    drawn = [row for row in report.rows if not log_y or (what.of(row).value or 0) > 0]

    data: list[dict[str, Any]] = []
    for name, rows in lines.items():
        data += _bands(name, [row for row in rows if row in drawn], what, factor, log_y)
    curves = {} if what.key in EXACT else by_dataplane([row for row in report.curve if row.dataplane in lines])
    for name, rows in curves.items():
        points = [(row.services, value) for row in rows if (value := what.of(row).value) is not None]
        data.append(_curve(name, points, what, factor))
    for name, rows in lines.items():
        line = _line(name, [row for row in rows if row in drawn], what, factor)
        data.append({**line, "mode": "markers"} if name in curves else line)
    heights = [value for trace in data for value in trace["y"] if value is not None]
    data += _band_keys(data)
    data += _busy_zones([*report.rows, *report.curve], heights)
    if here is not None and heights:
        data.append(_here(here, heights))
    data += _crossing_marks(top_crossovers(report, metric), {**lines, **curves}, what, factor, log_y)

    sizes = sorted({float(row.services) for row in report.rows})
    if len(sizes) == 1:  # one simulated size on a computed curve
        sizes = sorted({*sizes, *(float(row.services) for row in report.curve)})
    xs = sizes + ([here] if here is not None else [])
    layout = base_layout(theme, height)
    layout["hovermode"] = "closest"
    layout["xaxis"] = log_axis("Services", xs, ticks=sizes) if log_x else axis("Services")
    title = f"{what.title}, {unit}"
    layout["yaxis"] = log_axis(title, heights) if log_y else axis(title, rangemode="tozero")
    return {"data": data, "layout": layout}


def by_dataplane(rows: list[Row]) -> dict[str, list[Row]]:
    """The rows of each data plane, in the order of first appearance, by increasing number of services."""
    lines: dict[str, list[Row]] = {}
    for row in rows:
        lines.setdefault(row.dataplane, []).append(row)
    return {name: sorted(rows, key=lambda row: row.services) for name, rows in lines.items()}


def top_crossovers(report: GrowthReport, metric: str, most: int = MOST_CROSSOVERS) -> list[Crossover]:
    """Of this metric, those that matter most: first where the best data plane changes, then the surest."""
    what = metric_named(metric)
    lines = by_dataplane(report.rows)

    def rank(crossing: Crossover) -> tuple[bool, float]:
        heights = {name: value_at(rows, what, crossing.services) for name, rows in lines.items()}
        known = {name: value for name, value in heights.items() if value is not None}
        others = [value for name, value in known.items() if name not in (crossing.cheaper, crossing.dearer)]
        of_this = known.get(crossing.cheaper)
        best = of_this is not None and all(of_this <= value for value in others)
        return not best, crossing.high / crossing.low if crossing.low > 0 else math.inf

    mine = [crossing for crossing in report.crossovers if crossing.metric == what.crossing]
    return sorted(sorted(mine, key=rank)[:most], key=lambda crossing: crossing.services)


def value_at(rows: list[Row], metric: Metric, services: float) -> float | None:
    """The line's height between two simulated sizes, straight on log paper; None outside of them."""
    points = [(row.services, value) for row in rows if (value := metric.of(row).value) is not None]
    for (x0, y0), (x1, y1) in pairwise(points):
        if x0 <= services <= x1:
            share = math.log(services / x0) / math.log(x1 / x0) if x1 > x0 else 0.0
            if y0 > 0 and y1 > 0:
                return math.exp((1 - share) * math.log(y0) + share * math.log(y1))
            return (1 - share) * y0 + share * y1
    return None


def _line(name: str, rows: list[Row], metric: Metric, factor: float) -> dict[str, Any]:
    style = look(name)
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": safe(name),
        "legendgroup": name,
        "x": [row.services for row in rows],
        "y": [None if (value := metric.of(row).value) is None else value * factor for row in rows],
        "line": {"color": style.colour, "dash": style.dash, "width": 2.5},
        "marker": {"color": style.colour, "symbol": style.marker, "size": 9},
        "text": [_hover(row, metric) for row in rows],
        "hovertemplate": "%{text}<extra></extra>",
    }


def _curve(name: str, points: Sequence[tuple[float, float]], metric: Metric, factor: float) -> dict[str, Any]:
    style = look(name)
    return {
        "type": "scatter",
        "mode": "lines",
        "name": f"{safe(name)}, analytic",
        "legendgroup": name,
        "meta": "analytic",
        "x": [services for services, _ in points],
        "y": [value * factor for _, value in points],
        "line": {"color": style.colour, "dash": style.dash, "width": 1.5},
        "text": [f"<b>{safe(name)}</b>, analytic, {x:,.0f} services: {metric.show(y)}" for x, y in points],
        "hovertemplate": "%{text}<extra></extra>",
    }


def _hover(row: Row, metric: Metric) -> str:
    estimate, model = metric.of(row), metric.model(row)
    said = [
        f"<b>{safe(row.dataplane)}</b>, {row.services:,} services, {numbers.count(row.rps)} requests/s",
        f"{metric.title}: {'unknown' if estimate.value is None else metric.show(estimate.value)}",
    ]
    if estimate.low is not None and estimate.high is not None:
        said.append(f"sampling error, 95 %: {numbers.span(estimate.low, estimate.high, metric.show)}")
    if model is not None:
        said.append(f"model error, 95 %: {numbers.band(model, metric.show)}")
    return "<br>".join(said) + numbers.real_line(row, metric.real, metric.show)


def _bands(name: str, rows: list[Row], metric: Metric, factor: float, log_y: bool) -> list[dict[str, Any]]:
    style = look(name)
    model = [(row.services, band.low, band.high) for row in rows if (band := metric.model(row)) is not None]
    sampling = [
        (row.services, estimate.low, estimate.high)
        for row in rows
        if (estimate := metric.of(row)).low is not None and estimate.high is not None
    ]
    found = []
    for kind, points in (("model", model), ("sampling", sampling)):
        # On a log axis a band that reaches zero would have no lower end: stop it at 1 % of its upper end.
        floored = [
            (x, max(low, high / 100) * factor if log_y else low * factor, high * factor)
            for x, low, high in points
            if high > 0 or not log_y
        ]
        if floored and any(high > low for _, low, high in floored):
            found.append(_band(name, kind, style, floored))
    return found


def _band(name: str, kind: str, style: Look, points: list[tuple[int, float, float]]) -> dict[str, Any]:
    xs, lows, highs = ([point[part] for point in points] for part in range(3))
    return {
        "type": "scatter",
        "mode": "lines",
        "name": f"{safe(name)}: {SAMPLING if kind == 'sampling' else MODEL}",
        "legendgroup": name,
        "showlegend": False,
        "meta": kind,
        "x": xs + xs[::-1],
        "y": lows + highs[::-1],
        "fill": "toself",
        "hoverinfo": "skip",
        **_band_style(kind, style),
    }


def _band_style(kind: str, style: Look) -> dict[str, Any]:
    if kind == "sampling":
        return {"fillcolor": style.faint(0.30), "line": {"width": 0}}
    return {"fillcolor": style.faint(0.09), "line": {"width": 1, "dash": "dot", "color": style.faint(0.45)}}


def _band_keys(data: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One grey entry in the legend for each kind of band that is there."""
    kinds = {trace.get("meta") for trace in data}
    grey = Look("#808080", "solid", "circle")
    keys = []
    for kind, words in (("sampling", SAMPLING), ("model", MODEL)):
        if kind in kinds:
            key = {
                "type": "scatter",
                "mode": "lines",
                "name": words,
                "x": [None],
                "y": [None],
                "fill": "toself",
            }
            keys.append({**key, "meta": f"{kind} key", "hoverinfo": "skip", **_band_style(kind, grey)})
    return keys


def _busy_zones(rows: Sequence[Row], heights: list[float]) -> list[dict[str, Any]]:
    """Hatched, where some data plane is near saturation: half-way to the neighbouring sizes that are not."""
    sizes = sorted({row.services for row in rows})
    busy = {row.services for row in rows if row.utilisation > SATURATED}
    if not busy or not heights:
        return []
    zones: list[dict[str, Any]] = []
    low, high = min(heights), max(heights)
    for at, size in enumerate(sizes):
        if size not in busy:
            continue
        left = math.sqrt(sizes[at - 1] * size) if at else float(size)
        right = math.sqrt(size * sizes[at + 1]) if at + 1 < len(sizes) else float(size)
        if left == right:  # a single size
            left, right = left / 1.05, right * 1.05
        names = dict.fromkeys(row.dataplane for row in rows if row.services == size and row.utilisation > SATURATED)
        zones.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": f"near saturation, busy over {SATURATED:.0%}",
                "legendgroup": "busy",
                "showlegend": not zones,
                "meta": "busy",
                "x": [left, right, right, left, left],
                "y": [low, low, high, high, low],
                "fill": "toself",
                "fillcolor": "rgba(128,128,128,0.08)",
                "fillpattern": {"shape": "/", "fgcolor": "rgba(128,128,128,0.55)", "size": 9, "solidity": 0.15},
                "line": {"width": 0},
                "hoveron": "fills",
                "hoverinfo": "text",
                "text": f"{size:,} services: {safe(', '.join(names))} near saturation",
            }
        )
    return zones


def _here(services: float, heights: list[float]) -> dict[str, Any]:
    # A trace and not a shape: on log axes shapes and annotations count in different units, traces never do.
    words = f"you are here: {numbers.count(services)} services"
    return {
        "type": "scatter",
        "mode": "lines+text",
        "name": words,
        "showlegend": False,
        "meta": "here",
        "x": [services, services],
        "y": [min(heights), max(heights)],
        "text": ["", "you are here"],
        "textposition": "middle right",
        "textfont": {"color": "#808080"},
        "line": {"color": "#808080", "width": 2, "dash": "4px,3px"},
        "hovertemplate": f"{words}<extra></extra>",
    }


def _crossing_marks(
    crossings: list[Crossover], lines: dict[str, list[Row]], metric: Metric, factor: float, log_y: bool
) -> list[dict[str, Any]]:
    """Numbered rings on the crossings; the legend says in short what each is, the hover in full."""
    marks = []
    for number, crossing in enumerate(crossings, start=1):
        height = value_at(lines.get(crossing.cheaper, []), metric, crossing.services)
        if height is None or (log_y and height <= 0):
            continue
        marks.append(
            {
                "type": "scatter",
                "mode": "markers+text",
                "name": f"{number}: {safe(crossing.cheaper)} below {safe(crossing.dearer)} "
                f"from {numbers.digits(crossing.services, 2)}",
                "meta": "crossover",
                "x": [crossing.services],
                "y": [height * factor],
                "text": [str(number)],
                "textposition": "top center",
                "textfont": {"size": 14, "color": "#808080"},
                "marker": {"symbol": "circle-open", "size": 17, "color": "#808080", "line": {"width": 2}},
                "hovertext": safe(crossing.sentence),
                "hovertemplate": "%{hovertext}<extra></extra>",
            }
        )
    return marks
