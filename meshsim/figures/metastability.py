"""The map of load x retry policy: where a system is safe, where a push keeps it down, where it is down by itself."""

from __future__ import annotations

from typing import Any

from meshsim.figures import numbers
from meshsim.figures.layout import INK, Figure, Theme, axis, base_layout, safe
from meshsim.results.rows import MetastabilityCell, MetastabilityReport
from meshsim.scenario.base import MeshsimError
from meshsim.scenario.suggest import choices

STATES = {"safe": ("#0077aa", "circle"), "vulnerable": ("#dd9911", "triangle-up"), "stuck": ("#993344", "x")}
"""Colour, and a mark, so that colour is not the only sign."""


def metastability_figure(
    report: MetastabilityReport, dataplane: str | None = None, *, theme: Theme = "light"
) -> Figure:
    """A line of marked squares a retry policy, at the rates of the map; vertical strokes are what theory expects.

    ``dataplane``: one of the report's, the first if left out. MeshsimError for one that the report does not have.
    """
    names = list(dict.fromkeys(cell.dataplane for cell in report.cells))
    name = (names[0] if names else None) if dataplane is None else dataplane
    cells = [cell for cell in report.cells if cell.dataplane == name]
    if not cells:
        raise MeshsimError(
            f"dataplane: {name!r} received; {choices(str(name), names)}" if names else "no cell is there"
        )
    policies = list(dict.fromkeys(cell.policy for cell in cells))
    lines = [one for one in report.boundaries if one.dataplane == name and one.policy in policies]
    layout = base_layout(theme, 150 + 44 * len(policies))
    layout["xaxis"] = axis(f"Load on {safe(str(name))}, requests/s", rangemode="tozero")
    layout["yaxis"] = axis(
        "Retries@budget", tickmode="array", tickvals=list(range(len(policies))),
        ticktext=[safe(policy) for policy in policies], range=[-0.6, len(policies) - 0.4], showgrid=False,
    )  # fmt: skip
    data = [_state(state, cells, policies) for state in STATES]
    capacities = {one.capacity_rps for one in lines}
    strokes = [
        ("saturates (theory)", "solid", [(x, -0.5, len(policies) - 0.5) for x in sorted(capacities)]),
        (
            "feeds itself above (theory)",
            "dot",
            [(one.sustained_rps, policies.index(one.policy) - 0.45, policies.index(one.policy) + 0.45) for one in lines
             if one.sustained_rps is not None],
        ),
    ]  # fmt: skip
    data += [_strokes(*stroke, INK[theme]) for stroke in strokes if stroke[2]]
    return {"data": data, "layout": layout}


def _state(state: str, cells: list[MetastabilityCell], policies: list[str]) -> dict[str, Any]:
    colour, mark = STATES[state]
    mine = [cell for cell in cells if cell.verdict == state]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": state,
        "x": [cell.rps for cell in mine],
        "y": [policies.index(cell.policy) for cell in mine],
        "marker": {"color": colour, "symbol": mark, "size": 15},
        "text": [_hover(cell) for cell in mine],
        "hovertemplate": "%{text}<extra></extra>",
    }


def _hover(cell: MetastabilityCell) -> str:
    said = [f"<b>{cell.verdict}</b>: {numbers.count(cell.rps)} requests/s, retries {safe(cell.policy)}"]
    if cell.good_before is not None and cell.good_after is not None:
        said.append(f"good answers: {cell.good_before:.0%} before, {cell.good_after:.0%} in the end")
    if cell.recovery_s is not None:
        said.append(f"well again after {numbers.digits(cell.recovery_s)} s")
    return "<br>".join(said)


def _strokes(name: str, dash: str, strokes: list[tuple[float, float, float]], ink: str) -> dict[str, Any]:
    xs: list[float | None] = []
    ys: list[float | None] = []
    for x, low, high in strokes:
        xs += [x, x, None]
        ys += [low, high, None]
    return {
        "type": "scatter", "mode": "lines", "name": name, "x": xs, "y": ys,
        "line": {"color": ink, "width": 2, "dash": dash},
        "hovertemplate": f"{name}: %{{x:.4~g}} requests/s<extra></extra>",
    }  # fmt: skip
