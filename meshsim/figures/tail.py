"""Where the slowest requests spend their time, against typical ones: two bars a data plane, by kind of waiting."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from meshsim.figures import numbers
from meshsim.figures.layout import Figure, Theme, axis, base_layout, safe
from meshsim.results.rows import Row, Tail
from meshsim.results.tail import KINDS, by_kind, compared
from meshsim.scenario.base import MeshsimError

COLOURS = (
    "#7d7d7d", "#0077aa", "#dd6611", "#995533", "#0077aa", "#0077aa", "#7d7d7d", "#dd6611", "#993344", "#00946b",
    "#aa44ff", "#c2529a", "#aa44ff", "#7f8c1a", "#3366bb",
)  # fmt: skip
HATCHES = ("", "", "", "", "/", "\\", "/", "/", "x", ".", "/", "\\", "-", "|", "+")
"""Work is plain, waiting is hatched: colour is not the only sign."""
NAMED = 4
"""Operations that the hover names."""


def tail_figure(rows: Sequence[Row], *, theme: Theme = "light") -> Figure:
    """Requests around the median and the slowest of each data plane. MeshsimError if no row has a tail."""
    bars: list[tuple[str, Tail, int]] = []
    for row in rows:
        if (tail := row.tail) is not None:
            for cohort, words in enumerate(("median", f"slowest {1 - tail.slowest_from:.1%}")):
                bars.append((f"{row.dataplane}, {words}", tail, cohort))
    if not bars:
        raise MeshsimError("tail: no row kept 500 requests whole; a larger sample (run.sample) would do")
    spent = [{kind: us[cohort] for kind, us in by_kind(tail).items()} for _, tail, cohort in bars]
    unit, factor = ("ms", 1e-3) if max(sum(one.values()) for one in spent) >= 1000 else ("µs", 1.0)
    names = [safe(name) for name, _, _ in bars]
    layout = base_layout(theme, 170 + 40 * len(bars))
    layout["barmode"] = "stack"
    layout["bargap"] = 0.4
    layout["xaxis"] = axis(f"Mean time of a request, {unit}", rangemode="tozero")
    layout["yaxis"] = axis("", type="category", categoryorder="array", categoryarray=names[::-1], showgrid=False)
    data: list[dict[str, Any]] = []
    for kind, colour, hatch in zip(KINDS, COLOURS, HATCHES, strict=True):
        if not any(kind in one for one in spent):
            continue
        data.append(
            {
                "type": "bar",
                "orientation": "h",
                "name": kind,
                "x": [one.get(kind, 0.0) * factor for one in spent],
                "y": names,
                "marker": {"color": colour, "pattern": {"shape": hatch, "fillmode": "overlay", "size": 6}},
                "text": [_hover(*bar, kind) for bar in bars],
                "textposition": "none",
                "hovertemplate": "%{text}<extra></extra>",
            }
        )
    return {"data": data, "layout": layout}


def _hover(name: str, tail: Tail, cohort: int, kind: str) -> str:
    parts = [part for part in compared(tail) if part.kind == kind and part.us[cohort]]
    said = [f"<b>{safe(name)}</b>, {kind}: {numbers.latency(sum(part.us[cohort] for part in parts))}"]
    longest = sorted(parts, key=lambda part: (-part.us[cohort], part.operation))[:NAMED]
    return "<br>".join(said + [f"· {safe(part.operation)}: {numbers.latency(part.us[cohort])}" for part in longest])
