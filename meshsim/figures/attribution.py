"""Where the microseconds of a request go, one bar a data plane."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from meshsim.figures import numbers
from meshsim.figures.comparison import PATTERNS
from meshsim.figures.layout import Figure, Theme, axis, base_layout, safe
from meshsim.figures.palette import COMPONENTS
from meshsim.results.rows import Attribution, Row


def attribution_figure(rows: Sequence[Row], *, theme: Theme = "light") -> Figure:
    """Stacked bars by component, mean microseconds on the critical path of the sampled requests.

    The hover splits a segment into running, queueing and waiting, and names its dearest operations.
    ``rows``: one a data plane, all at one size.
    """
    totals = [total_us(row.attribution) for row in rows]
    unit, factor = ("ms", 1e-3) if totals and max(totals) >= 1000 else ("µs", 1.0)
    used = [name for name in COMPONENTS if any(part.component == name for row in rows for part in row.attribution)]
    layout = base_layout(theme, 120 + 40 * len(rows))
    layout["barmode"] = "stack"
    layout["bargap"] = 0.4
    layout["xaxis"] = axis(f"Mean time of a request, {unit}", rangemode="tozero")
    layout["yaxis"] = axis(
        "", type="category", categoryorder="array", categoryarray=[safe(row.dataplane) for row in rows][::-1],
        showgrid=False,
    )  # fmt: skip
    return {"data": [_segment(rows, component, factor) for component in used], "layout": layout}


def spent_us(part: Attribution) -> float:
    """Running, queueing and waiting together."""
    return part.running_us + part.queueing_us + part.waiting_us


def total_us(parts: Sequence[Attribution]) -> float:
    """All of it: close to the mean latency of the sampled requests."""
    return sum(spent_us(part) for part in parts)


def dearest(parts: Sequence[Attribution], most: int) -> list[Attribution]:
    """The operations that take longest, longest first."""
    return sorted(parts, key=lambda part: (-spent_us(part), part.component, part.operation))[:most]


def _segment(rows: Sequence[Row], component: str, factor: float) -> dict[str, Any]:
    of_row = [[part for part in row.attribution if part.component == component] for row in rows]
    return {
        "type": "bar",
        "orientation": "h",
        "name": component,
        "x": [total_us(parts) * factor for parts in of_row],
        "y": [safe(row.dataplane) for row in rows],
        "marker": {
            "color": COMPONENTS[component],
            "pattern": {"shape": PATTERNS[component], "fillmode": "overlay", "size": 6},
        },
        "text": [_hover(row, component, parts) for row, parts in zip(rows, of_row, strict=True)],
        "textposition": "none",
        "hovertemplate": "%{text}<extra></extra>",
    }


def _hover(row: Row, component: str, parts: list[Attribution]) -> str:
    kinds = {
        "running on a core": sum(part.running_us for part in parts),
        "queueing": sum(part.queueing_us for part in parts),
        "waiting": sum(part.waiting_us for part in parts),
    }
    said = [f"<b>{safe(row.dataplane)}</b>, {component}: {numbers.latency(total_us(parts))}"]
    said += [f"{kind}: {numbers.latency(us)}" for kind, us in kinds.items() if us > 0]
    said += [f"· {safe(part.operation)}: {numbers.latency(spent_us(part))}" for part in dearest(parts, 4)]
    return "<br>".join(said)
