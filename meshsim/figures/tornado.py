"""How far each input moves a quantile of one data plane: the longest bar on top."""

from __future__ import annotations

from typing import Any

from meshsim.figures import numbers
from meshsim.figures.layout import INK, Figure, Theme, axis, base_layout, safe
from meshsim.figures.palette import COMPONENTS
from meshsim.results.rows import Influence, SensitivityReport
from meshsim.scenario.base import MeshsimError
from meshsim.scenario.suggest import choices

ENDS = (("low", "proxy", ""), ("high", "kernel", "/"))
"""An end of the range, the component whose colour it borrows, and a pattern, so that colour is not the only sign."""


def tornado_figure(report: SensitivityReport, dataplane: str | None = None, *, theme: Theme = "light") -> Figure:
    """One bar from the value as it is to the value at either end of an input's range.

    ``dataplane``: one of the report's, the first if left out. An end at which the data plane is overloaded has no
    bar; the hover says so. MeshsimError for a data plane that the report does not have.
    """
    names = list(dict.fromkeys(one.dataplane for one in report.influences))
    if not names:
        raise MeshsimError("tornado: the report has no influences")
    name = names[0] if dataplane is None else dataplane
    shown = [one for one in report.influences if one.dataplane == name and one.value_us is not None]
    if not shown:
        raise MeshsimError(f"dataplane: {name!r} received; {choices(name, names)}")
    base = shown[0].value_us or 0.0
    unit, factor = ("ms", 1e-3) if base >= 1000 else ("µs", 1.0)
    words = {"p999": "p99.9"}.get(report.of, report.of)
    layout = base_layout(theme, 120 + 34 * len(shown))
    layout["barmode"] = "overlay"
    layout["bargap"] = 0.35
    layout["xaxis"] = axis(f"{words} of {safe(name)}, {unit}")
    layout["yaxis"] = axis(
        "", type="category", categoryorder="array", categoryarray=[safe(one.input) for one in shown][::-1],
        showgrid=False,
    )  # fmt: skip
    line = {"type": "line", "x0": base * factor, "x1": base * factor, "y0": 0, "y1": 1, "yref": "paper"}
    layout["shapes"] = [{**line, "line": {"color": INK[theme], "width": 1}}]
    return {"data": [_end(shown, base, factor, *end) for end in ENDS], "layout": layout}


def _end(shown: list[Influence], base: float, factor: float, end: str, colour: str, pattern: str) -> dict[str, Any]:
    values = [getattr(one, f"at_{end}_us") for one in shown]
    return {
        "type": "bar",
        "orientation": "h",
        "name": f"input at its {end} end",
        "base": base * factor,
        "x": [None if us is None else (us - base) * factor for us in values],
        "y": [safe(one.input) for one in shown],
        "marker": {"color": COMPONENTS[colour], "pattern": {"shape": pattern, "fillmode": "overlay", "size": 6}},
        "text": [
            f"<b>{safe(one.input)}</b> x {getattr(one, f'factor_{end}'):.2f}: "
            + ("overloaded" if us is None else numbers.latency(us))
            for one, us in zip(shown, values, strict=True)
        ],
        "textposition": "none",
        "hovertemplate": "%{text}<extra></extra>",
    }
