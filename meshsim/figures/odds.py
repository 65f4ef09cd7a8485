"""How sure it is which of two data planes needs less: the chance against the number of services, and fifty dots."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from meshsim.figures import numbers
from meshsim.figures.layout import INK, Figure, Theme, axis, base_layout, log_axis, safe
from meshsim.figures.palette import look
from meshsim.studies.spending import Odds, Of

DOTS = 50
"""Each is as likely as any other: 2 of 100."""
WORDS: dict[Of, tuple[str, numbers.Show]] = {
    "usd_month": ("money", numbers.money),
    "cpu_cores": ("CPU", numbers.cores),
    "memory_mib": ("memory", numbers.memory),
}
SURE = 0.95


def odds_figure(
    a: str, b: str, known: Sequence[Odds], of: Of, *, here: int | None = None, theme: Theme = "light", height: int = 300
) -> Figure:
    """The chance, per cent, that ``a`` needs less than ``b``, by number of services; half way it is a toss-up."""
    xs = [one.services for one in known]
    layout = base_layout(theme, height)
    layout["hovermode"] = "closest"
    layout["showlegend"] = False
    layout["xaxis"] = log_axis("Services", [float(x) for x in xs], ticks=[float(x) for x in xs])
    title = f"Chance that {safe(a)}<br>needs less {WORDS[of][0]}, %"
    layout["yaxis"] = axis(title, range=[-4, 104], tickvals=[0, 5, 25, 50, 75, 95, 100])
    data: list[dict[str, Any]] = [_level(xs, 50.0, INK[theme]), _level(xs, 95.0, "#808080"), _level(xs, 5.0, "#808080")]
    style = look(a)
    data.append(
        {
            "type": "scatter",
            "mode": "lines+markers",
            "name": safe(f"{a} below {b}"),
            "meta": "odds",
            "x": xs,
            "y": [100 * one.probability for one in known],
            "line": {"color": style.colour, "dash": style.dash, "width": 2.5},
            "marker": {"color": style.colour, "symbol": style.marker, "size": 9},
            "text": [f"<b>{one.services:,} services</b>: {100 * one.probability:.0f} %" for one in known],
            "hovertemplate": "%{text}<extra></extra>",
        }
    )
    if here in xs:
        data.append(
            {
                "type": "scatter", "mode": "lines", "meta": "here", "x": [here, here], "y": [-4, 104],
                "line": {"color": "#808080", "width": 2, "dash": "4px,3px"},
                "hovertemplate": f"you are here: {here:,} services<extra></extra>",
            }
        )  # fmt: skip
    return {"data": data, "layout": layout}


def _level(xs: Sequence[int], y: float, colour: str) -> dict[str, Any]:
    return {
        "type": "scatter", "mode": "lines", "meta": "level", "x": [min(xs, default=1), max(xs, default=1)], "y": [y, y],
        "line": {"color": colour, "width": 1, "dash": "dot"}, "hoverinfo": "skip",
    }  # fmt: skip


def dots_of(one: Odds, count: int = DOTS) -> list[float]:
    """``count`` differences, each as likely as any other: the middles of as many equal parts of all that was drawn."""
    gaps = one.differences
    return [gaps[min(int((number + 0.5) / count * len(gaps)), len(gaps) - 1)] for number in range(count)]


def dots_figure(a: str, b: str, one: Odds, of: Of, *, theme: Theme = "light", height: int = 300) -> Figure:
    """A quantile dotplot of what ``a`` needs more than ``b``: dots left of zero are worlds in which it needs less."""
    words, show = WORDS[of]
    factor = numbers.currency().per_usd if of == "usd_month" else 1.0
    gaps = [gap * factor for gap in dots_of(one)]
    low, high = min(gaps), max(gaps)
    width = (high - low) / 12 or max(abs(low), 1.0) / 12
    stacks: dict[int, list[float]] = {}
    for gap in gaps:
        stacks.setdefault(round((gap - low) / width), []).append(gap)
    points = [(low + step * width, level, gap) for step, stack in stacks.items() for level, gap in enumerate(stack, 1)]
    reach = max(abs(low), abs(high), width) * 1.1
    layout = base_layout(theme, height)
    layout["hovermode"] = "closest"
    unit = {"usd_month": f"{numbers.currency().words} a month", "cpu_cores": "cores", "memory_mib": "MiB"}[of]
    layout["xaxis"] = axis(
        f"{safe(a)} less {safe(b)}, {unit}", range=[-reach, reach], zeroline=True, zerolinecolor=INK[theme]
    )
    tallest = max(level for _, level, _ in points)
    layout["yaxis"] = axis("", range=[0, max(tallest + 1, 8)], showgrid=False, showticklabels=False, ticks="")
    data = []
    for name, less in ((f"{a} needs less {words}", True), (f"{b} needs less, or the same", False)):
        mine = [point for point in points if (point[2] < 0) == less]
        style = look(a if less else b)
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": safe(name),
                "meta": "dots",
                "x": [x for x, _, _ in mine],
                "y": [level for _, level, _ in mine],
                "marker": {"color": style.colour, "symbol": style.marker, "size": 9},
                "text": [f"{show(gap / factor)}, one of {DOTS}" for _, _, gap in mine],
                "hovertemplate": "%{text}<extra></extra>",
            }
        )
    return {"data": data, "layout": layout}


def odds_sentence(a: str, b: str, one: Odds, of: Of) -> str:
    """In how many of fifty worlds it needs less, and by how much. Plain text."""
    words, show = WORDS[of]
    gaps = one.differences
    middle, low, high = (gaps[min(int(part * len(gaps)), len(gaps) - 1)] for part in (0.5, 0.025, 0.975))
    where = f"With {one.services:,} services"
    if show(low) == show(high):
        if show(middle) == show(0.0):
            return f"{where} {a} and {b} need the same {words}, whatever the errors of the costs: reservations decide."
        more = "less" if middle < 0 else "more"
        return (
            f"{where} {a} needs {show(abs(middle))} {more} {words} than {b}, whatever the errors of the costs: they do "
            "not move it."
        )
    worlds = round(one.probability * DOTS)
    sure = max(one.probability, 1 - one.probability)
    verdict = "settled at 95 %" if sure >= SURE else "not settled at 95 %"
    return (
        f"{where} {a} needs less {words} than {b} in {worlds} of {DOTS} worlds that the errors of the costs allow "
        f"(difference, 95 %: {numbers.span(low, high, show)}): {verdict}."
    )
