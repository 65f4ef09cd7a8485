"""Two scenarios side by side, and the difference with its interval."""

from __future__ import annotations

from typing import Any

from meshsim.figures import numbers
from meshsim.figures.layout import INK, Figure, Theme, axis, base_layout, safe
from meshsim.results.rows import Difference, Estimate, Row

QUANTILES = ("p50", "p90", "p99")
LOOKS = {"A": ("#7d7d7d", "circle"), "B": ("#0077aa", "square"), "B less A": ("#dd6611", "diamond")}


def pair_figure(a: Row, b: Row, difference: Difference, *, theme: Theme = "light", height: int = 330) -> Figure:
    """Left: p50, p90 and p99 of A and B. Right: B less A, zero marked. Whiskers: 95 % sampling intervals, where there
    are any. A quantile for which the runs were too short has no mark.
    """
    known = [value for row in (a, b) for name in QUANTILES if (value := getattr(row.latency_us, name).value)]
    unit, factor = ("ms", 1e-3) if known and min(known) >= 1000 else ("µs", 1.0)
    layout = base_layout(theme, height)
    shared = {"type": "category", "categoryorder": "array", "categoryarray": list(QUANTILES)[::-1], "showgrid": False}
    layout["xaxis"] = axis(f"Latency, {unit}", domain=[0, 0.52], rangemode="tozero")
    layout["yaxis"] = axis("", **shared)
    layout["xaxis2"] = axis(
        f"B less A, {unit}", domain=[0.6, 1], anchor="y2", zeroline=True, zerolinecolor=INK[theme], zerolinewidth=2
    )
    layout["yaxis2"] = axis("", anchor="x2", **shared)
    data = [
        _dots("A", a.latency_us, factor, ""),
        _dots("B", b.latency_us, factor, ""),
        _dots("B less A", difference.latency_us, factor, "2"),
    ]
    return {"data": data, "layout": layout}


def _dots(name: str, latency: Any, factor: float, end: str) -> dict[str, Any]:
    colour, mark = LOOKS[name]
    known: list[tuple[str, Estimate]] = [
        (q, found) for q in QUANTILES if (found := getattr(latency, q)).value is not None
    ]
    values = [(q, e.value or 0.0, e.low, e.high) for q, e in known]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "xaxis": f"x{end}",
        "yaxis": f"y{end}",
        "x": [value * factor for _, value, _, _ in values],
        "y": [q for q, *_ in values],
        "error_x": {
            "type": "data", "symmetric": False, "thickness": 2, "width": 6, "color": colour,
            "array": [0.0 if high is None else (high - value) * factor for _, value, _, high in values],
            "arrayminus": [0.0 if low is None else (value - low) * factor for _, value, low, _ in values],
        },
        "marker": {"color": colour, "symbol": mark, "size": 11},
        "text": [f"{safe(name)}, {q}: {numbers.interval(e, numbers.latency)}" for q, e in known],
        "hovertemplate": "%{text}<extra></extra>",
    }  # fmt: skip


def pair_sentence(a: Row, b: Row, difference: Difference) -> str:
    """The answer in two sentences: latency at p50 and p99, then CPU, memory and money. Plain text, not escaped."""
    late = [_of(q, getattr(difference.latency_us, q)) for q in ("p50", "p99")]
    cpu = difference.cpu_cores
    sure = ""
    if cpu.low is not None and cpu.high is not None:
        less = (cpu.value or 0.0) < 0
        ends = (-cpu.high, -cpu.low) if less else (cpu.low, cpu.high)
        sure = f" (95 %: {numbers.span(*ends, numbers.cores)})"
    needs = [
        _more(cpu.value or 0.0, numbers.cores, "of CPU") + sure,
        _more(difference.memory_mib, numbers.memory, "of memory"),
    ]
    return (
        f"Against A, B has {'; '.join(late)}. It takes {' and '.join(needs)}, and costs "
        f"{_more(difference.usd_month, numbers.money, 'a month')} ({numbers.money(a.usd_month)} and "
        f"{numbers.money(b.usd_month)})."
    )


def _of(name: str, gap: Estimate) -> str:
    if gap.value is None:
        return f"a {name} latency that these runs are too short to tell"
    if gap.low is not None and gap.high is not None and gap.low <= 0 <= gap.high:
        between = numbers.span(gap.low, gap.high, numbers.latency)
        return f"a {name} latency that cannot be told apart (difference, 95 %: {between})"
    low, high = gap.low, gap.high
    if gap.value < 0 and low is not None and high is not None:
        low, high = -high, -low
    sure = "" if low is None or high is None else f" (95 %: {numbers.span(low, high, numbers.latency)})"
    return f"a {name} latency {numbers.latency(abs(gap.value))} {'lower' if gap.value < 0 else 'higher'}{sure}"


def _more(value: float, show: numbers.Show, of: str) -> str:
    if show(abs(value)) == show(0):
        return f"the same {of.removeprefix('of ')}" if of.startswith("of ") else f"the same {of}"
    return f"{show(abs(value))} {of} {'less' if value < 0 else 'more'}"


def pair_alt(a: Row, b: Row, difference: Difference) -> str:
    """What the chart shows, for those who cannot see it."""
    return (
        f"Latency of A, {a.dataplane}, and B, {b.dataplane}, with their difference. {pair_sentence(a, b, difference)}"
    )
