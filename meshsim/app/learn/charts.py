"""The chart of a chapter that compares a few numbers: bars with their intervals, and what theory says."""

from __future__ import annotations

from collections.abc import Sequence

from meshsim.figures.layout import Figure, axis, base_layout, safe

BAR, THEORY = "#0077aa", "#dd6611"


def bars(
    names: Sequence[str],
    values: Sequence[float],
    title: str,
    *,
    intervals: Sequence[tuple[float, float]] = (),
    theory: Sequence[float] = (),
) -> Figure:
    """One bar a name, from above; ``title``: of the axis, with its unit; ``intervals``: (low, high) of each."""
    labels = [safe(name) for name in names]
    layout = base_layout("light", 90 + 38 * len(labels))
    layout["xaxis"] = axis(title, rangemode="tozero")
    layout["yaxis"] = axis("", type="category", categoryorder="array", categoryarray=labels[::-1], showgrid=False)
    layout["showlegend"] = bool(theory)
    bar = {
        "type": "bar", "orientation": "h", "name": "the model", "x": list(values), "y": labels,
        "marker": {"color": BAR}, "hovertemplate": "%{y}: %{x:,.4~g}<extra></extra>",
    }  # fmt: skip
    if intervals:
        bar["error_x"] = {
            "type": "data", "symmetric": False, "color": "#7d7d7d",
            "array": [high - value for value, (_, high) in zip(values, intervals, strict=True)],
            "arrayminus": [value - low for value, (low, _) in zip(values, intervals, strict=True)],
        }  # fmt: skip
    data = [bar]
    if theory:
        data.append(
            {
                "type": "scatter", "mode": "markers", "name": "theory", "x": list(theory), "y": labels,
                "marker": {"color": THEORY, "symbol": "diamond", "size": 11},
                "hovertemplate": "%{y}, theory: %{x:,.4~g}<extra></extra>",
            }
        )  # fmt: skip
    return {"data": data, "layout": layout}


def in_words(names: Sequence[str], values: Sequence[float], title: str) -> str:
    """The same for those who do not see it."""
    said = ", ".join(f"{name} {value:.4g}" for name, value in zip(names, values, strict=True))
    return f"Bars, {title}: {said}."
