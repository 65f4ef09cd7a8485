"""What every chart shares: quiet axes, colours that suit a light or a dark page, log axes that read well.

A chart is a plain dict, ``{"data": [...], "layout": {...}}``, as plotly.js takes it: building and validating
figure objects would cost several times more than everything else. ``as_figure`` turns it into a ``go.Figure``
where one is wanted, in notebooks.
"""

from __future__ import annotations

import math
from typing import Any, Literal

from meshsim.scenario.base import MeshsimError

Figure = dict[str, Any]
Theme = Literal["light", "dark"]

INK = {"light": "#1c2733", "dark": "#e6edf3"}
GRID = "rgba(128,128,128,0.22)"
"""Visible on white and on black."""
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"

PLOTLY_CONFIG: dict[str, Any] = {
    "showSendToCloud": False,  # plotly.js would offer to upload the data to a cloud service
    "displaylogo": False,
    "responsive": True,
    "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d"],
}


def base_layout(theme: Theme, height: int) -> dict[str, Any]:
    """Layout without axes: transparent background, legend above the chart, room made for long labels."""
    if theme not in INK:
        raise MeshsimError(f"theme: {theme!r} received; choose from: light, dark")
    return {
        "height": height,
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": FONT, "size": 13, "color": INK[theme]},
        "margin": {"l": 8, "r": 16, "t": 8, "b": 8, "autoexpand": True},
        "legend": {
            "orientation": "h", "traceorder": "normal",
            "x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom",
        },
        "hoverlabel": {"align": "left"},
        "modebar": {"orientation": "v"},
    }  # fmt: skip


def axis(title: str, **more: Any) -> dict[str, Any]:
    """A quiet linear axis with its unit in the title."""
    return {
        "title": {"text": title, "standoff": 10},
        "automargin": True,
        "gridcolor": GRID,
        "linecolor": GRID,
        "zeroline": False,
        "ticks": "outside",
        "tickcolor": GRID,
        **more,
    }


def log_axis(title: str, values: list[float], ticks: list[float] | None = None) -> dict[str, Any]:
    """A log axis over positive ``values``, labelled in full at round numbers, or at ``ticks``."""
    positive = [value for value in values if value > 0]
    if not positive:
        return axis(title)
    low, high = min(positive), max(positive)
    shown = round_numbers(low, high) if ticks is None else ticks
    pad = max(0.04 * math.log10(high / low), 0.02)
    return axis(
        title,
        type="log",
        range=[math.log10(low) - pad, math.log10(high) + pad],  # a log axis takes its range as powers of ten
        tickmode="array",
        tickvals=shown,
        ticktext=[f"{tick:,.10g}" for tick in shown],
    )


def round_numbers(low: float, high: float) -> list[float]:
    """Four to ten round numbers that cover ``low`` … ``high`` > 0 on a log axis."""
    decades = math.log10(high / low)
    steps: tuple[float, ...] = (1,) if decades > 4 else (1, 3) if decades > 2.5 else (1, 2, 5)
    if decades > 0.9:
        first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
        marks = [step * 10.0**power for power in range(first, last + 1) for step in steps]
        return [float(f"{mark:.6g}") for mark in marks if low * 0.7 <= mark <= high * 1.4]
    # Less than a decade: evenly spaced, as on a linear axis.
    width = max(high - low, high * 0.05)
    raw = width / 5
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(nice * power for nice in (1, 2, 2.5, 5, 10) if nice * power >= raw)
    first_mark = math.floor(low / step)
    marks = [mark * step for mark in range(first_mark, math.ceil(high / step) + 1)]
    return [float(f"{mark:.6g}") for mark in marks if mark > 0]


def safe(text: str) -> str:
    """For hover texts and legends, where plotly.js reads a little HTML."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def as_figure(figure: Figure) -> Any:
    """The dict as a ``plotly.graph_objects.Figure``, which notebooks show by themselves."""
    import plotly.graph_objects as go

    layout = {"template": "none", **figure["layout"]}
    return go.Figure({"data": figure["data"], "layout": layout})
