"""Small pieces of HTML that pages share: the answer, the cards of data planes, badges. One element, not dozens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

from meshsim.app.glossary import GLOSSARY
from meshsim.figures import numbers as n
from meshsim.figures.palette import look
from meshsim.results.rows import Estimate, Refused, Row


@dataclass(frozen=True)
class Sources:
    """Share of what a data plane adds by the source of its costs: measured, published, derived, assumed."""

    cpu: Mapping[str, float] = field(default_factory=dict)
    memory: Mapping[str, float] = field(default_factory=dict)


ANALYTIC = "analytic", "Queueing approximations, at once and without an interval; a simulation follows."
SIMULATED = "simulated", "From simulated requests; the interval is the 95 % sampling error of this run."
COSTS = {
    "measured": "measured on a host",
    "published": "published by others",
    "derived": "derived from published figures",
    "assumed": "assumed",
}

STYLE = """<style>
[data-testid^="stBaseButton-primary"] p { color: light-dark(#ffffff, #0e1117); }
.stMainBlockContainer { padding-top: 4.2rem; padding-bottom: 2rem; }
.mesh-answer {
  margin: 0; padding: 0.6rem 0.9rem; font-size: 1.02rem; line-height: 1.45;
  border-left: 5px solid light-dark(#0b57a4, #8ec2ff); border-radius: 6px; background: rgba(128, 128, 128, 0.12);
}
.mesh-badge {
  display: inline-block; font-size: 0.78rem; line-height: 1.3; padding: 0 0.45em; margin-right: 0.35em;
  border: 1px solid currentColor; border-radius: 1em; white-space: nowrap;
}
.mesh-small { font-size: 0.85rem; line-height: 1.4; margin: 0; }
.mesh-progress { font-size: 0.85rem; line-height: 1.3; }
.mesh-progress i { display: block; height: 3px; background: light-dark(#0b57a4, #8ec2ff); border-radius: 2px; }
.mesh-cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(195px, 1fr)); gap: 0.6rem; }
.mesh-card {
  border: 1px solid rgba(128, 128, 128, 0.4); border-top: 4px solid; border-radius: 6px; padding: 0.5rem 0.7rem;
}
.mesh-card h3 { font-size: 0.98rem; margin: 0 0 0.15rem; padding: 0; }
.mesh-card dl {
  display: grid; grid-template-columns: auto 1fr; gap: 0.05rem 0.6rem; margin: 0 0 0.35rem; padding: 0;
  font-size: 0.88rem;
}
.mesh-card dt { font-weight: 400; opacity: 0.85; margin: 0; padding: 0; }
.mesh-card dd { margin: 0; padding: 0; text-align: right; font-variant-numeric: tabular-nums; }
.mesh-card dd small { display: block; font-size: 0.76rem; opacity: 0.85; }
@media (max-width: 640px) {
  .stMainBlockContainer { padding-left: 0.8rem; padding-right: 0.8rem; }
  .mesh-answer { font-size: 0.95rem; }
  .stMainBlockContainer h2 { font-size: 1.4rem; padding: 0; }
}
</style>"""


def badge(name: str, title: str) -> str:
    """A word in a frame, explained when the pointer rests on it."""
    return f'<span class="mesh-badge" title="{escape(title)}">{escape(name)}</span>'


def kind(rows: Sequence[Row]) -> str:
    """Whether these were approximated or simulated."""
    return badge(*(ANALYTIC if any(row.engine == "analytic" for row in rows) else SIMULATED))


def answer(sentence: str, rows: Sequence[Row], more: str = "") -> str:
    """The answer in a box, with where it comes from."""
    return (
        f'<p class="mesh-answer" data-testid="answer">{kind(rows)}{escape(sentence)}'
        f"{f' <span>{escape(more)}</span>' if more else ''}</p>"
    )


def small(*sentences: str) -> str:
    """Small print below a chart."""
    return f'<p class="mesh-small">{escape(" ".join(sentences))}</p>'


def sentence(text: str, mark: str = "") -> str:
    """An answer that is no simulation's: in the same box, behind a ``badge``."""
    return f'<p class="mesh-answer" data-testid="answer">{mark}{escape(text)}</p>'


def progress(share: float, what: str) -> str:
    """One line of small print over a thin bar; always as high, so that nothing below it jumps."""
    return (
        f'<div class="mesh-progress"><span role="status">{escape(what)}</span>'
        f'<i style="width:{100 * min(max(share, 0.0), 1.0):.0f}%"></i></div>'
    )


def cards(
    rows: Sequence[Row],
    refused: Sequence[Refused],
    sources: Mapping[str, Sources],
    price_date: str,
    titles: Mapping[str, str],
) -> str:
    """One card a data plane: latency, CPU, memory, money, and what its costs rest on; ``titles``: in words, by name."""
    made = [_card(row, sources.get(row.dataplane, Sources()), price_date, titles[row.dataplane]) for row in rows]
    made += [
        f'<section class="mesh-card" style="border-top-color:{look(one.dataplane).colour}">'
        f'<h3>{escape(one.dataplane)}</h3><p class="mesh-small">{escape(titles[one.dataplane])}</p>'
        f"<p>{escape(one.reason)}</p></section>"
        for one in refused
    ]
    return f'<div class="mesh-cards" data-testid="cards">{"".join(made)}</div>'


def _card(row: Row, sources: Sources, price_date: str, title: str) -> str:
    gap = row.difference
    saturated = row.engine == "analytic" and row.utilisation >= 1
    late = [
        (_word("p50"), _estimate(row.latency_us.p50)),
        *([(_word("p50, added"), _estimate(gap.latency_us.p50))] if gap is not None and not saturated else []),
        (_word("p99"), _estimate(row.latency_us.p99)),
    ]
    if saturated:
        late = [("latency", f"overloaded<small>saturates at {n.digits(row.goodput_rps)} requests/s</small>")]
    lines = [
        *late,
        ("CPU", f"{n.cores(row.cpu_cores.total)}{_rests_on(sources.cpu)}"),
        ("memory", f"{n.memory(row.memory_mib)}{_rests_on(sources.memory)}"),
        ("a month", f"{n.money(row.usd_month)}{_model_band(row)}<small>prices of {escape(price_date)}</small>"),
    ]
    if row.reality is not None and not saturated:
        told = "Where the median of a real mesh lies, with a chance of 90 %"
        lines.append((f'<span title="{told}">real p50</span>', n.real(row, "latency_us_p50", n.latency)))
    listed = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in lines)
    return (
        f'<section class="mesh-card" style="border-top-color:{look(row.dataplane).colour}">'
        f'<h3>{escape(row.dataplane)}</h3><p class="mesh-small">{escape(title)}</p>'
        f"<dl>{listed}</dl>{kind([row])}{_reality(row)}</section>"
    )


def _word(quantile: str) -> str:
    """With its meaning where the pointer rests on it."""
    return f'<span title="{escape(GLOSSARY["p50, p90, p99, p99.9"])}">{quantile}</span>'


def _reality(row: Row) -> str:
    """Whether real meshes were measured under such conditions."""
    if row.reality is None:
        return ""
    if row.reality.inside:
        return badge("within what was measured", "Real meshes were measured under such conditions.")
    return badge(
        "extrapolated", f"Real meshes were not measured under such conditions: {'; '.join(row.reality.outside)}"
    )


def _model_band(row: Row) -> str:
    """How far the errors of the costs could move the money, unless what is reserved sets the price."""
    band = n.band(row.model_error.usd_month, n.money)
    return "" if len(set(band.split(" to "))) == 1 else f"<small>model {band}</small>"


def _estimate(estimate: Estimate) -> str:
    if estimate.value is None:
        return "–"
    if estimate.low is None or estimate.high is None:
        return n.latency(estimate.value)
    return f"{n.latency(estimate.value)}<small>{n.span(estimate.low, estimate.high, n.latency)}</small>"


def _rests_on(sources: Mapping[str, float]) -> str:
    if not sources:
        return ""
    most = max(sources, key=lambda name: sources[name])
    said = "; ".join(f"{share:.0%} {COSTS[name]}" for name, share in sorted(sources.items(), key=lambda one: -one[1]))
    title = f"What the data plane adds, by the source of its costs: {said}"
    return f'<small title="{escape(title)}">{sources[most]:.0%} {most}</small>'
