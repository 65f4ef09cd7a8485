"""A report as one HTML file that explains itself: it opens offline, prints, and asks nothing of any server.

plotly.js, styles, figures and the data lie inside the file. A content security policy in its head forbids the
browser to load anything else, so "no outside request" does not rest on good behaviour. Every text that comes
from a model file is escaped.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import cache
from html import escape
from importlib.resources import files
from typing import Any

from meshsim.figures import (
    METRICS,
    PLOTLY_CONFIG,
    attribution_figure,
    comparison_figure,
    growth_figure,
    numbers,
)
from meshsim.figures.attribution import dearest, spent_us
from meshsim.figures.growth import by_dataplane, top_crossovers
from meshsim.figures.words import alt_text, attribution_alt, caption, caveats, headline, too_short
from meshsim.formats.limits import NOT_MODELLED, assumptions
from meshsim.results.rows import ComparisonReport, Estimate, GrowthReport, Provenance, Row

OPERATIONS_SHOWN = 12
CROSSOVERS_SHOWN = 8
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; "
    "base-uri 'none'; form-action 'none'"
)


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
        _section("The numbers", _table(report.rows, grouped=True)),
        _time_section(last, f"with {sizes[-1]:,} services" if sizes else ""),
        _small_print(report.provenance, report.notes, report.rate),
    ]
    charts = {"attribution": {"figure": attribution_figure(last), "alt": attribution_alt(last)}} if last else {}
    return _document(title, "".join(body), charts, metrics if report.rows else {}, report)


def comparison_page(report: ComparisonReport) -> str:
    """The page of ``meshsim compare`` (and of ``run``, which has one row)."""
    services = f"{report.rows[0].services:,} services" if report.rows else "no finished run"
    title = (
        f"{report.application} over {_planes(len(report.rows))}: {services}, "
        f"{numbers.count(report.rps)} requests a second"
    )
    body = [
        _head(title, "Which data plane is cheaper, by how much, and how sure is that?", report),
        '<div class="chart" role="img" data-chart="comparison"></div>' if report.rows else "",
        _section("The numbers", _table(report.rows, grouped=False)),
        _time_section(report.rows, ""),
        _small_print(report.provenance, report.notes, ""),
    ]
    charts: dict[str, Any] = {}
    if report.rows:
        charts["comparison"] = {"figure": comparison_figure(report), "alt": alt_text(report)}
        charts["attribution"] = {
            "figure": attribution_figure(report.rows),
            "alt": attribution_alt(report.rows),
        }
    return _document(title, "".join(body), charts, {}, report)


def _document(
    title: str,
    body: str,
    charts: dict[str, Any],
    metrics: dict[str, Any],
    report: ComparisonReport | GrowthReport,
) -> str:
    kind = "grow" if isinstance(report, GrowthReport) else "compare"
    page = {"charts": charts, "metrics": metrics, "config": PLOTLY_CONFIG, "file": f"meshsim-{kind}.json"}
    data = report.model_dump_json(by_alias=True, indent=1)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="meshsim {escape(report.provenance.meshsim)}">
<link rel="icon" href="data:,">
<title>{escape(title)}</title>
<style>{_part("page.css")}</style>
</head>
<body>
<main>{body}</main>
<script type="application/json" id="report">{_inside_script(data)}</script>
<script type="application/json" id="charts">{_inside_script(json.dumps(page, ensure_ascii=False))}</script>
<script>{_plotly_js()}</script>
<script>{_part("page.js")}</script>
</body>
</html>
"""


def _inside_script(data: str) -> str:
    """JSON that cannot end the script element it lies in."""
    return data.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


@cache
def _part(name: str) -> str:
    return (files("meshsim.formats") / name).read_text(encoding="utf-8")


@cache
def _plotly_js() -> str:
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs()).replace("</script", "<\\/script")


def _head(title: str, question: str, report: ComparisonReport | GrowthReport) -> str:
    warnings = caveats(report.rows, report.partial)
    warning = f'<div class="warning" role="note">{_list(warnings)}</div>' if warnings else ""
    return (
        f'<p class="kicker">meshsim · a simulation, not a measurement</p><h1>{escape(title)}</h1>'
        f'<p class="small">{escape(question)}</p><p class="answer">{escape(headline(report))}</p>{warning}'
    )


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
    more = f"<details><summary>{len(rest)} more</summary>{_list(rest)}</details>" if rest else ""
    return _section("Where the order changes", _list(shown) + more)


COLUMNS = (
    "data plane",
    "$ a month",
    "p50",
    "p90",
    "p99",
    "p50, above baseline",
    "CPU, cores",
    "memory",
    "pods",
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
        " Under memory and money: the 95 % model band, how far the errors of the costs could move it.</p>"
        '<div class="table" tabindex="0" role="region" aria-label="The numbers">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table></div>"
    )


def _line(row: Row) -> str:
    latency, cpu, model = row.latency_us, row.cpu_cores, row.model_error
    gap = row.difference
    split = " / ".join(numbers.digits(part, 2) for part in (cpu.application, cpu.proxy, cpu.kernel))
    cells = [
        _cell(numbers.dollars(row.usd_month), numbers.band(model.usd_month, numbers.dollars)),
        _estimate(latency.p50),
        _estimate(latency.p90),
        _estimate(latency.p99),
        _estimate(gap.latency_us.p50, signed=True) if gap is not None else "<td>–</td>",
        _cell(numbers.digits(cpu.total), split),
        _cell(numbers.memory(row.memory_mib), numbers.band(model.memory_mib, numbers.memory)),
        _cell(f"{row.pods:,}", f"{row.nodes:,} node{'' if row.nodes == 1 else 's'}"),
    ]
    return f'<tr><th scope="row" class="name">{escape(row.dataplane)}</th>{"".join(cells)}</tr>'


def _cell(text: str, small: str = "") -> str:
    return f"<td>{escape(text)}{f'<small>{escape(small)}</small>' if small else ''}</td>"


def _estimate(estimate: Estimate, *, signed: bool = False) -> str:
    if estimate.value is None:
        return f'<td title="{escape(estimate.note)}">–<small>{escape(numbers.TOO_SHORT)}</small></td>'
    sign = "+" if signed and estimate.value > 0 else ""
    if estimate.low is None or estimate.high is None:
        return _cell(sign + numbers.latency(estimate.value))
    return _cell(sign + numbers.latency(estimate.value), numbers.span(estimate.low, estimate.high, numbers.latency))


def _time_section(rows: Sequence[Row], where: str) -> str:
    if not rows:
        return ""
    tables = "".join(_operations(row) for row in rows)
    return _section(
        f"Where the time goes {where}".strip(),
        '<p class="small">Mean time on the critical path of the sampled requests; a bar adds up to the mean '
        'latency.</p><div class="chart" role="img" data-chart="attribution"></div>' + tables,
    )


def _operations(row: Row) -> str:
    lines = "".join(
        f'<tr><th scope="row" class="name">{escape(part.operation)}</th>'
        f'<td class="name">{escape(part.component)}</td>'
        + "".join(
            _cell(numbers.latency(us)) for us in (spent_us(part), part.running_us, part.queueing_us, part.waiting_us)
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


def _small_print(source: Provenance, notes: Sequence[str], rate: str) -> str:
    facts = {
        "meshsim": source.meshsim,
        "seed": str(source.seed),
        "application": f"{source.application}, sha256 {source.application_hash[:16]}…",
        "costs": f"{', '.join(source.costs)}, sha256 {source.costs_hash[:16]}…",
        "nodes": f"{source.machine}, prices of {source.price_date}",
        "policy": source.policy,
    }
    listed = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts.items())
    assumed = _section("What is assumed", _list([*assumptions(source, rate), *notes]))
    missing = _section("What this does not model", _list(NOT_MODELLED))
    return f'<div class="two"><div>{assumed}</div><div>{missing}</div></div>' + _section(
        "How to get the same numbers",
        f"<pre><code>{escape(source.command)}</code></pre><dl>{listed}</dl>"
        '<p style="margin-top:14px"><button type="button" id="save">Save the data as JSON</button></p>',
    )


def _section(title: str, content: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{content}</section>"


def _list(items: Iterable[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(item)}</li>' for item in items)}</ul>"


def _planes(count: int) -> str:
    return "1 data plane" if count == 1 else f"{count} data planes"
