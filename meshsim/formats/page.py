"""The pages of ``grow``, ``compare`` and ``run``."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from meshsim.figures import (
    METRICS,
    attribution_figure,
    comparison_figure,
    growth_figure,
    numbers,
    tail_figure,
    verdict_figure,
)
from meshsim.figures.attribution import dearest, spent_us
from meshsim.figures.goals import Goals, goal_lines
from meshsim.figures.growth import by_dataplane, top_crossovers
from meshsim.figures.words import (
    alt_text,
    attribution_alt,
    caption,
    caveats,
    headline,
    sentences,
    tail_alt,
    too_short,
)
from meshsim.formats.document import bullets, cell, chart, document, section, small_print, table
from meshsim.results.rows import ComparisonReport, Estimate, GrowthReport, Row
from meshsim.results.tail import compared

OPERATIONS_SHOWN = 12
CROSSOVERS_SHOWN = 8


def growth_page(report: GrowthReport) -> str:
    """The page of ``meshsim grow``: about 5 MB of HTML, nearly all of it plotly.js."""
    lines = by_dataplane(report.rows)
    sizes = sorted({row.services for row in report.rows})
    last = [row for row in report.rows if sizes and row.services == sizes[-1]]
    reach = f"from {sizes[0]:,} to {sizes[-1]:,} services" if sizes else "of which no run was finished"
    title = f"{report.application} over {_planes(len(lines))}, {reach}"
    metrics = {
        key: {
            "figure": growth_figure(report, key),
            "alt": alt_text(report, key),
            "caption": too_short(report, key) or caption(key),
            "crossings": [crossing.sentence for crossing in top_crossovers(report, key)],
        }
        for key in METRICS
    }
    body = [
        _head(title, "How do latency, CPU, memory and money grow with the number of services?", report),
        _metric_switch() if report.rows else "",
        _crossovers([crossing.sentence for crossing in report.crossovers], sizes),
        section("The numbers", _table(report.rows, grouped=True)),
        _time_section(last, f"with {sizes[-1]:,} services" if sizes else ""),
        small_print(report.provenance, report.notes, report.rate),
    ]
    charts = {"attribution": {"figure": attribution_figure(last), "alt": attribution_alt(last)}} if last else {}
    return document(title, "".join(body), charts, report, kind="grow", metrics=metrics if report.rows else {})


def comparison_page(report: ComparisonReport, *, goals: Goals | None = None, growth: GrowthReport | None = None) -> str:
    """The page of ``meshsim compare`` (and of ``run``, which has one row).

    ``goals``: ticks and crosses; ``growth``: how money grows with the number of services, as a chart more.
    """
    services = f"{report.rows[0].services:,} services" if report.rows else "no finished run"
    title = (
        f"{report.application} over {_planes(len(report.rows))}: {services}, "
        f"{numbers.count(report.rps)} requests a second"
    )
    tails = [row for row in report.rows if row.tail is not None]
    body = [
        _head(title, "Which data plane is cheaper, by how much, and how sure is that?", report),
        chart("comparison") if report.rows else "",
        section("Goals", bullets(asked)) if (asked := goal_lines(report.rows, goals or Goals())) else "",
        _verdicts(report),
        section("The numbers", _table(report.rows, grouped=False)),
        section("As the application grows", chart("growing") + _small(caption("usd_month"))) if growth else "",
        _time_section(report.rows, ""),
        _tail_section(tails),
        small_print(report.provenance, report.notes, ""),
    ]
    charts: dict[str, Any] = {}
    if growth:
        here = report.rows[0].services if report.rows else None
        figure = growth_figure(growth, "usd_month", here=here)
        charts["growing"] = {"figure": figure, "alt": alt_text(growth, "usd_month")}
    if report.verdicts:
        charts["verdicts"] = {"figure": verdict_figure(report), "alt": sentences(report.verdicts)}
    if tails:
        charts["tail"] = {"figure": tail_figure(tails), "alt": tail_alt(tails)}
    if report.rows:
        charts["comparison"] = {"figure": comparison_figure(report), "alt": alt_text(report)}
        charts["attribution"] = {
            "figure": attribution_figure(report.rows),
            "alt": attribution_alt(report.rows),
        }
    return document(title, "".join(body), charts, report, kind="compare")


def _head(title: str, question: str, report: ComparisonReport | GrowthReport) -> str:
    warnings = caveats(report.rows, report.partial)
    warning = f'<div class="warning" role="note">{bullets(warnings)}</div>' if warnings else ""
    return (
        f'<p class="kicker">meshsim · a simulation, not a measurement</p><h1>{escape(title)}</h1>'
        f'<p class="small">{escape(question)}</p><p class="answer">{escape(headline(report))}</p>{warning}'
    )


def _small(text: str) -> str:
    return f'<p class="small">{escape(text)}</p>'


def _metric_switch() -> str:
    buttons = "".join(
        f'<label><input type="radio" name="metric" value="{metric.key}"{" checked" if not number else ""}>'
        f"<span>{escape(metric.short)}</span></label>"
        for number, metric in enumerate(METRICS.values())
    )
    return (
        f"<fieldset><legend>What to show</legend>{buttons}</fieldset>"
        '<div class="chart" role="img" id="growth"></div>'
        '<p class="small" id="caption"></p><ol class="small" id="crossings"></ol>'
        "<noscript><p>The charts need JavaScript; the table below has every number.</p></noscript>"
    )


def _crossovers(sentences: list[str], sizes: list[int]) -> str:
    if len(sizes) < 2:
        return ""
    none = f"None between {sizes[0]:,} and {sizes[-1]:,} services that stands out from the sampling error."
    shown, rest = sentences[:CROSSOVERS_SHOWN] or [none], sentences[CROSSOVERS_SHOWN:]
    more = f"<details><summary>{len(rest)} more</summary>{bullets(rest)}</details>" if rest else ""
    return section("Where the order changes", bullets(shown) + more)


COLUMNS = (
    "data plane",
    "a month",
    "p50",
    "p90",
    "p99",
    "p50, above baseline",
    "CPU, cores",
    "memory",
    "pods",
    "in reality, 90 %",
)


def _table(rows: Sequence[Row], *, grouped: bool) -> str:
    """One line a row, under each number its 95 % interval: sampling for latency, model for the rest."""
    body = []
    size = None
    for row in rows:
        if grouped and row.services != size:
            size = row.services
            words = f"{size:,} services, {numbers.count(row.rps)} requests a second"
            body.append(f'<tr class="group"><th colspan="{len(COLUMNS)}" scope="rowgroup">{words}</th></tr>')
        body.append(_line(row))
    head = "".join(
        f'<th scope="col"{" class=name" if number == 0 else ""}>{escape(column)}</th>'
        for number, column in enumerate(COLUMNS)
    )
    return (
        '<p class="small">Under a latency: its 95 % sampling interval. Under CPU: application / proxy / kernel.'
        " Under memory and money: the 95 % model band, how far the errors of the costs could move it. In reality: where"
        " real meshes lie, by those that were measured beside their simulation.</p>"
        '<div class="table" tabindex="0" role="region" aria-label="The numbers">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table></div>"
    )


def _line(row: Row) -> str:
    latency, cpu, model = row.latency_us, row.cpu_cores, row.model_error
    gap = row.difference
    split = " / ".join(numbers.digits(part, 2) for part in (cpu.application, cpu.proxy, cpu.kernel))
    cells = [
        cell(numbers.money(row.usd_month), numbers.band(model.usd_month, numbers.money)),
        _estimate(latency.p50),
        _estimate(latency.p90),
        _estimate(latency.p99),
        _estimate(gap.latency_us.p50, signed=True) if gap is not None else "<td>–</td>",
        cell(numbers.digits(cpu.total), split),
        cell(numbers.memory(row.memory_mib), numbers.band(model.memory_mib, numbers.memory)),
        cell(f"{row.pods:,}", f"{row.nodes:,} node{'' if row.nodes == 1 else 's'}"),
        _reality(row),
    ]
    return f'<tr><th scope="row" class="name">{escape(row.dataplane)}</th>{"".join(cells)}</tr>'


def _reality(row: Row) -> str:
    """Where p50 and p99 of a real mesh lie; the reasons why that is an extrapolation on the pointer."""
    if row.reality is None:
        return "<td>–</td>"
    p50, p99 = (numbers.real(row, f"latency_us_{name}", numbers.latency) for name in ("p50", "p99"))
    said = "as measured" if row.reality.inside else "extrapolated"
    why = escape("; ".join(row.reality.outside))
    return f'<td title="{why}">p50 {p50}<small>p99 {p99}; {said}</small></td>'


def _estimate(estimate: Estimate, *, signed: bool = False) -> str:
    if estimate.value is None:
        return f'<td title="{escape(estimate.note)}">–<small>{escape(numbers.TOO_SHORT)}</small></td>'
    sign = "+" if signed and estimate.value > 0 else ""
    if estimate.low is None or estimate.high is None:
        return cell(sign + numbers.latency(estimate.value))
    return cell(sign + numbers.latency(estimate.value), numbers.span(estimate.low, estimate.high, numbers.latency))


def _time_section(rows: Sequence[Row], where: str) -> str:
    if not rows:
        return ""
    tables = "".join(_operations(row) for row in rows)
    return section(
        f"Where the time goes {where}".strip(),
        '<p class="small">Mean time on the critical path of the sampled requests; a bar adds up to the mean '
        'latency.</p><div class="chart" role="img" data-chart="attribution"></div>' + tables,
    )


def _verdicts(report: ComparisonReport) -> str:
    """Which of each pair is lower, and how sure that is."""
    if not report.verdicts:
        return ""
    runs = f"{report.replications} replication{'s' if report.replications > 1 else ''} of each data plane"
    return section(
        "Which is lower",
        f'<p class="small">Paired on the same requests, {runs}; 95 % intervals of the sampling error.</p>'
        + chart("verdicts")
        + bullets(verdict.sentence for verdict in report.verdicts),
    )


def _tail_section(rows: Sequence[Row]) -> str:
    """Where the slowest requests spend their time."""
    tables = "".join(
        f"<details><summary>What the slowest wait for over {escape(row.dataplane)}</summary>"
        + table(
            ("what", "operation", "median", "slowest", "more"),
            [
                (part.kind, part.operation, *map(numbers.latency, part.us), numbers.latency(part.more_us))
                for part in compared(row.tail)[:OPERATIONS_SHOWN]
            ],
            "The slowest requests",
            names=2,
        )
        + "</details>"
        for row in rows
        if row.tail is not None
    )
    return section("Where the slowest requests spend their time", chart("tail") + tables) if rows else ""


def _operations(row: Row) -> str:
    lines = "".join(
        f'<tr><th scope="row" class="name">{escape(part.operation)}</th>'
        f'<td class="name">{escape(part.component)}</td>'
        + "".join(
            cell(numbers.latency(us)) for us in (spent_us(part), part.running_us, part.queueing_us, part.waiting_us)
        )
        + "</tr>"
        for part in dearest(row.attribution, OPERATIONS_SHOWN)
    )
    head = "".join(
        f'<th scope="col"{" class=name" if number < 2 else ""}>{title}</th>'
        for number, title in enumerate(("operation", "whose", "in all", "running", "queueing", "waiting"))
    )
    return (
        f"<details><summary>The dearest operations over {escape(row.dataplane)}</summary>"
        f'<div class="table" tabindex="0"><table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table>'
        "</div></details>"
    )


def _planes(count: int) -> str:
    return "1 data plane" if count == 1 else f"{count} data planes"
