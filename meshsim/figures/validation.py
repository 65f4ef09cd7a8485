"""Predicted over measured, a dot a row of the scoreboard: how far the model is from real meshes."""

from __future__ import annotations

from typing import Any

from meshsim.figures import numbers
from meshsim.figures.layout import INK, Figure, Theme, base_layout, log_axis, safe
from meshsim.results.rows import Estimate
from meshsim.results.scoreboard import GOALS, QUANTITIES, Quantity, Scoreboard, ScoreRow


def validation_figure(board: Scoreboard, *, theme: Theme = "light") -> Figure:
    """One line a quantity, log axis; shaded is the median error aimed at. Hollow dots lie near what was fitted."""
    quantities: list[Quantity] = [name for name in QUANTITIES if any(row.quantity == name for row in board.rows)]
    names = [QUANTITIES[name][1] for name in quantities]
    rows = [row for row in board.rows if row.ratio > 0]
    layout = base_layout(theme, 110 + 56 * len(quantities))
    layout["xaxis"] = log_axis("Predicted over measured", [*(row.ratio for row in rows), 0.5, 2.0])
    layout["yaxis"] = {
        "automargin": True, "tickmode": "array", "tickvals": list(range(len(names))),
        "ticktext": [_wrapped(name) for name in names], "range": [len(names) - 0.4, -0.6], "showgrid": False,
        "zeroline": False,
    }  # fmt: skip
    right = {"type": "line", "yref": "paper", "x0": 1, "x1": 1, "y0": 0, "y1": 1, "line": {"color": INK[theme]}}
    layout["shapes"] = [*(_goal(number, GOALS[name][0]) for number, name in enumerate(quantities)), right]
    data = []
    for fitted, label in ((False, "nothing was fitted to it"), (True, "near to what costs were fitted to")):
        mine = [row for row in rows if row.used_for_fitting == fitted]
        if mine:
            data.append(_dots(mine, quantities, label, fitted))
    return {"data": data, "layout": layout}


def _dots(rows: list[ScoreRow], quantities: list[Quantity], label: str, hollow: bool) -> dict[str, Any]:
    # Spread a little, in a fixed order, so that dots of equal value can be told apart.
    return {
        "type": "scatter",
        "mode": "markers",
        "name": label,
        "x": [row.ratio for row in rows],
        "y": [quantities.index(row.quantity) + 0.07 * (number % 7 - 3) for number, row in enumerate(rows)],
        "marker": {"size": 8, "symbol": "circle-open" if hollow else "circle", "color": "#0077aa", "opacity": 0.75},
        "text": [_hover(row) for row in rows],
        "hovertemplate": "%{text}<extra></extra>",
    }


def _hover(row: ScoreRow) -> str:
    said = f"{show(row.predicted)} predicted, {show(row.measured)} measured, {row.unit}"
    return f"<b>{safe(row.dataplane)}</b>, {safe(row.scenario)}<br>{safe(said)}<br>error {row.error:.0%}"


def show(estimate: Estimate) -> str:
    """12.3 [11.9 to 12.8]."""
    if estimate.value is None:
        return "unknown"
    if estimate.low is None or estimate.high is None:
        return numbers.digits(estimate.value)
    return f"{numbers.digits(estimate.value)} [{numbers.span(estimate.low, estimate.high, numbers.digits)}]"


def _goal(number: int, error: float) -> dict[str, Any]:
    return {
        "type": "rect", "x0": 1 - error, "x1": 1 + error, "y0": number - 0.4, "y1": number + 0.4,
        "fillcolor": "rgba(0,119,170,0.14)", "line": {"width": 0}, "layer": "below",
    }  # fmt: skip


def _wrapped(text: str) -> str:
    words, lines = text.split(" "), [""]
    for word in words:
        if len(lines[-1]) + len(word) > 26:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return "<br>".join(safe(line) for line in lines)
