"""Reports as tables that fit a terminal of 100 columns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from textwrap import fill
from typing import TYPE_CHECKING

from rich import box
from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from meshsim.figures import numbers
from meshsim.results.rows import (
    Blast,
    ComparisonReport,
    Estimate,
    GrowthReport,
    Provenance,
    RealityBand,
    Row,
    Scaled,
    SensitivityReport,
    SolutionReport,
    Tail,
)
from meshsim.results.tail import compared
from meshsim.studies.report import digits_for
from meshsim.studies.single import Approximation, Simulation

if TYPE_CHECKING:
    import pandas as pd

WIDTH = 98
LATENCIES = {"p50": "p50", "p90": "p90", "p99": "p99", "p999": "p99.9"}
TOO_SHORT = "–"
CROSSOVERS_SHOWN = 12
CALLS_SHOWN = 25
TAIL_SHOWN = 10
STATIONS_SHOWN = 8
CHANGES_SHOWN = 20


def comparison(report: ComparisonReport) -> Iterator[RenderableType]:
    """Latency, then resources, then what the numbers mean."""
    size = f", {report.rows[0].services} services" if report.rows else ""
    yield heading(f"{report.application}{size}, {numbers.count(report.rps)} requests/s from outside")
    yield from missing(report)
    if report.rows:
        yield latency_table(report.rows)
        yield cpu_table(report.rows)
        yield bill_table(report.rows)
        yield from power(report.rows)
        yield from between_zones(report.rows)
        yield from reality(report.rows)
        yield from verdicts(report)
        yield from too_short(report.rows)
        yield from failed_audits(report.rows)
    yield from notes(report)
    yield footer(report.provenance, report.rows)


def growth(report: GrowthReport) -> Iterator[RenderableType]:
    """One small table a metric, a column a size; then the crossovers in words."""
    how = "each service keeps its traffic" if report.rate == "per-service" else "the same traffic over more services"
    yield heading(f"{report.application} as it grows; {how}")
    yield from missing(report)
    if report.rows:
        yield size_latency("p50", report.rows)
        yield size_latency("p99", report.rows)
        yield size_table("CPU, cores", report.rows, lambda row: numbers.digits(row.cpu_cores.total))
        yield size_table("memory, GiB", report.rows, lambda row: numbers.digits(row.memory_mib / 1024))
        yield size_table("US dollars a month", report.rows, lambda row: numbers.digits(row.usd_month))
        if any(row.power_watts is not None for row in report.rows):
            yield size_table("electrical power, W", report.rows, watts)
        yield size_table(
            "configuration that the fleet holds, MiB", report.rows, lambda row: numbers.digits(row.config_mib)
        )
        if any(row.push_kib_s for row in report.rows):
            yield size_table("pushed, KiB/s", report.rows, lambda row: numbers.digits(row.push_kib_s))
        largest = max(row.services for row in report.rows)
        yield from reality([row for row in report.rows if row.services == largest])
        yield from too_short(report.rows, ("p50", "p99"))
        yield from failed_audits(report.rows)
        yield paragraph("Crossovers", bold=True)
        for crossover in report.crossovers[:CROSSOVERS_SHOWN]:
            yield paragraph(f"  {crossover.sentence}")
        more = len(report.crossovers) - CROSSOVERS_SHOWN
        if more > 0:
            yield paragraph(f"  … and {more} more: see --json or the page.")
        if not report.crossovers:
            yield paragraph("  None between these sizes that stands out from the sampling error.")
    yield from notes(report)
    yield footer(report.provenance, report.rows)


def solutions(report: SolutionReport) -> Iterator[RenderableType]:
    """What each data plane takes to keep the target."""
    of = LATENCIES[report.of]
    yield heading(f"{report.application}: what keeps {of} at most {report.target_ms:g} ms")
    if report.partial:
        yield Text("Stopped early: this is what was finished until then.", style="bold")
    table = new_table(f"In {report.unit}; latency in ms")
    columns(table, "data plane", "kept with", of, "in reality, 90 %", "not with", of, "trials", "verified")
    for one in report.solutions:
        cells = [TOO_SHORT if one.answer is None else f"{one.answer:g}", _trial_cell(one.latency_us)]
        cells.append(_real_cell(one.reality, 1e-3) + ("*" if one.reality and one.outside else ""))
        cells += ["" if one.beyond is None else f"{one.beyond:g}", _trial_cell(one.latency_beyond_us)]
        told = {None: "", True: "yes", False: "NO"}[one.verified]
        table.add_row(escape(one.dataplane), *cells, str(len(one.trials)), told)
    yield table
    for one in report.solutions:
        yield paragraph(f"  {one.sentence}")
    yield paragraph(
        f"Kept: the upper end of the {report.confidence * 100:g} % interval is at most the target. Verified: with "
        "other random numbers, the "
        "answer keeps it and the next value does not. In reality: where real meshes were beside their simulation "
        "(docs/validation.md); * extrapolated. A target that has to be kept for certain needs that much room."
    )
    for note in report.notes:
        yield paragraph(f"  Note: {note}")
    yield footer(report.provenance)


def _real_cell(band: RealityBand | None, factor: float) -> str:
    if band is None or band.low is None or band.high is None:
        return ""
    return f"{numbers.digits(band.low * factor)} to {numbers.digits(band.high * factor)}"


def _trial_cell(estimate: Estimate | None) -> str:
    return "" if estimate is None else plus_minus(estimate, 1e-3)


def sensitivity(report: SensitivityReport) -> Iterator[RenderableType]:
    """Tornado, bands, chances and Sobol indices as tables."""
    of = LATENCIES[report.of]
    yield heading(f"{report.application}: what {of} depends on, {numbers.count(report.rps)} requests/s from outside")
    if report.partial:
        yield Text("Stopped early: this is what was finished until then.", style="bold")
    table = new_table(f"{of} in ms with one input at either end of its 95 % range (settings: as given)")
    columns(table, "data plane", "input", "range", "as it is", "at its low end", "at its high end")
    for one in report.influences:
        cells = [TOO_SHORT if us is None else numbers.digits(us / 1000) for us in (one.value_us, one.at_low_us)]
        cells.append("overloaded" if one.at_high_us is None else numbers.digits(one.at_high_us / 1000))
        table.add_row(escape(one.dataplane), escape(one.input), f"x{one.factor_low:.2f}–{one.factor_high:.2f}", *cells)
    yield table
    if report.bands:
        table = new_table(f"What the errors of all costs together leave: 95 % over {report.draws} drawn cost books")
        columns(table, "data plane", "figure", "as it is", "low", "high", "in reality, 90 %", "unit")
        for band in report.bands:
            shown = (TOO_SHORT if x is None else numbers.digits(x) for x in (band.value, band.low, band.high))
            table.add_row(escape(band.dataplane), band.metric, *shown, _real_cell(band.reality, 1.0), band.unit)
        yield table
    for chance in report.chances:
        yield paragraph(
            f"  {chance.a} has a lower {chance.metric} than {chance.b} in {chance.probability_a_lower:.0%} of the "
            f"{chance.draws} drawn cost books."
        )
    if report.sobol:
        table = new_table(f"Sobol indices of {of}: share of its variance")
        columns(table, "data plane", "cost", "alone", "with all others")
        for index in report.sobol:
            alone = f"{index.first_order:.2f} ± {index.first_order_half_width:.2f}"
            total = f"{index.total:.2f} ± {index.total_half_width:.2f}"
            table.add_row(escape(index.dataplane), escape(index.operation), alone, total)
        yield table
    for note in report.notes:
        yield paragraph(f"  Note: {note}")
    yield footer(report.provenance)


def simulation(result: Simulation | Approximation) -> Iterator[RenderableType]:
    """A full report of one scenario."""
    report, scenario = result.report, result.prepared.scenario
    row = report.rows[0]
    yield heading(f"{scenario.name or report.application} over {result.prepared.dataplane.title}")
    yield from missing(report)
    yield paragraph(
        f"{row.services} services, {numbers.count(report.rps)} requests/s, policy {scenario.policy}, "
        f"{row.nodes} nodes of type {report.provenance.machine}; "
        + (
            "nothing simulated."
            if row.engine == "analytic"
            else f"{row.requests:,} requests measured, {row.failed} failed, {row.events:,} events."
        )
    )
    yield latency_table(report.rows)
    yield cpu_table(report.rows)
    yield bill_table(report.rows)
    yield from power(report.rows)
    yield from between_zones(report.rows)
    yield from reality(report.rows)
    yield from too_short(report.rows)
    if row.attribution:
        yield attribution_table(row)
    if row.tail is not None:
        yield tail_table(row.tail)
    yield calls_table(result)
    yield stations_table(result)
    if row.faults:
        yield faults_table(row.faults)
    for scaled in row.scaling:
        yield from start_up_table(scaled)
    memory = new_table("Memory")
    columns(memory, "item", "MiB")
    for item, mib in result.result.plan.bill.memory_by_item_mib.items():
        memory.add_row(escape(item), numbers.digits(mib))
    yield memory
    yield model_error(row)
    yield paragraph("Self-audit: " + ("passed" if row.audit.ok else "FAILED"), bold=True)
    for check in row.audit.checks:
        yield paragraph(f"  {check}")
    yield from notes(report)
    yield footer(report.provenance, report.rows)


# Tables ---------------------------------------------------------------------------------------------------------


def new_table(title: str = "") -> Table:
    """In the one style of all of them."""
    return Table(
        title=title or None,
        box=box.SIMPLE_HEAD,
        title_justify="left",
        title_style="bold",
        pad_edge=False,
        padding=(0, 0, 0, 1),
    )


def columns(table: Table, *names: str) -> None:
    """The first on the left, the others, being numbers, on the right."""
    for place, name in enumerate(names):
        table.add_column(name, justify="left" if place == 0 else "right", no_wrap=place > 0, overflow="fold")


def faults_table(faults: Sequence[Blast]) -> Table:
    """The blast radius of each."""
    table = new_table(f"Faults; answers in steps of {faults[0].resolution_s * 1000:.3g} ms")
    columns(table, "fault", "from, s", "for, s", "failed before", "failed meanwhile", "felt for, s")
    for one in faults:
        before, meanwhile = (
            "none came" if share is None else f"{share:.1%}" for share in (one.failed_share_before, one.failed_share)
        )
        table.add_row(escape(one.fault), f"{one.at_s:g}", f"{one.for_s:g}", before, meanwhile, f"{one.felt_for_s:.3g}")
    return table


def latency_table(rows: Sequence[Row]) -> Table:
    """Quantiles with their intervals, and p99 against the baseline."""
    values = (getattr(row.latency_us, name).value for row in rows for name in LATENCIES)
    unit, factor = latency_unit(values)
    table = new_table(f"Latency, {unit}")
    gap = baseline(rows)
    columns(table, "data plane", *LATENCIES.values(), *([f"p99 less {gap}"] if gap else []))
    for row in rows:
        cells = [plus_minus(getattr(row.latency_us, name), factor) for name in LATENCIES]
        if gap:
            cells.append(plus_minus(row.difference.latency_us.p99, factor, signed=True) if row.difference else "")
        table.add_row(escape(row.dataplane), *cells)
    return table


def cpu_table(rows: Sequence[Row]) -> Table:
    """Cores in use by who caused it, and what is more than the baseline's."""
    table = new_table("CPU in use, cores")
    gap = baseline(rows)
    columns(table, "data plane", "application", "proxy", "kernel", "total", *([f"more than {gap}"] if gap else []))
    for row in rows:
        cpu = row.cpu_cores
        cells = [numbers.digits(value) for value in (cpu.application, cpu.proxy, cpu.kernel, cpu.total)]
        if gap:
            cells.append(plus_minus(row.difference.cpu_cores, 1.0, signed=True) if row.difference else "")
        table.add_row(escape(row.dataplane), *cells)
    return table


def bill_table(rows: Sequence[Row]) -> Table:
    """Memory, pods, nodes and money, and what is more than the baseline's."""
    table = new_table("Memory in MiB, US dollars a month")
    gap = baseline(rows)
    columns(
        table, "data plane", "memory", "pods", "nodes", "dollars", *(["+ memory", "+ pods", "+ dollars"] if gap else [])
    )
    for row in rows:
        cells = [f"{row.memory_mib:,.0f}", f"{row.pods:,}", f"{row.nodes:,}", f"{row.usd_month:,.2f}"]
        if gap:
            more = row.difference
            cells += [f"{more.memory_mib:+,.0f}", f"{more.pods:+,}", f"{more.usd_month:+,.2f}"] if more else [""] * 3
        table.add_row(escape(row.dataplane), *cells)
    return table


def power(rows: Sequence[Row]) -> Iterator[Text]:
    """What each draws, in one line: a column more would not fit into 80 characters. Nothing where that is unknown."""
    known = [f"{row.dataplane} {numbers.watts(row.power_watts)}" for row in rows if row.power_watts is not None]
    if known:
        yield paragraph(f"  Electrical power of what is in use: {', '.join(known)}")


def between_zones(rows: Sequence[Row]) -> Iterator[Text]:
    """What leaves zones, and what that is of the dollars."""
    for row in rows:
        if row.cross_zone_gb_month:
            yield paragraph(
                f"  {row.dataplane}: {numbers.digits(row.cross_zone_gb_month)} GB a month between zones, for "
                f"{row.cross_zone_usd_month:,.2f} of the dollars"
            )


def verdicts(report: ComparisonReport) -> Iterator[Text]:
    """Which of each pair is lower, and how sure that is."""
    if report.verdicts:
        runs = f"{report.replications} replication{'s' if report.replications > 1 else ''}"
        yield paragraph(f"Verdicts after {runs} of each data plane", bold=True)
    for verdict in report.verdicts:
        yield paragraph(f"  {verdict.sentence}")


def size_table(title: str, rows: Sequence[Row], show: Callable[[Row], str]) -> Table:
    """A line a data plane, a column a number of services."""
    sizes = sorted({row.services for row in rows})
    names = list(dict.fromkeys(row.dataplane for row in rows))
    cells = {(row.dataplane, row.services): show(row) for row in rows}
    table = new_table(title)
    columns(table, "services", *map(str, sizes))
    for name in names:
        table.add_row(escape(name), *(cells.get((name, size), "") for size in sizes))
    return table


def watts(row: Row) -> str:
    """A dash where the machine's file does not say what it draws."""
    return "–" if row.power_watts is None else numbers.digits(row.power_watts)


def size_latency(name: str, rows: Sequence[Row]) -> Table:
    """The same for a quantile, with its interval."""
    unit, factor = latency_unit(getattr(row.latency_us, name).value for row in rows)
    return size_table(
        f"{LATENCIES[name]} latency, {unit}", rows, lambda row: plus_minus(getattr(row.latency_us, name), factor)
    )


def attribution_table(row: Row) -> Table:
    """Where the time of a request goes, the largest first."""
    table = new_table("Where a request's time goes, µs on its critical path (mean)")
    table.add_column("who")
    table.add_column("operation")
    for name in ("running", "queueing", "waiting", "all"):
        table.add_column(name, justify="right")
    total = {part: part.running_us + part.queueing_us + part.waiting_us for part in row.attribution}
    for part in sorted(row.attribution, key=lambda part: -total[part]):
        numbers_ = (part.running_us, part.queueing_us, part.waiting_us, total[part])
        table.add_row(part.component, escape(part.operation), *(f"{number:,.1f}" for number in numbers_))
    return table


def tail_table(tail: Tail) -> Table:
    """What the slowest requests wait for that typical ones do not, the largest difference first."""
    table = new_table(
        f"Where the slowest {1 - tail.slowest_from:.1%} spend their time, µs (mean of {tail.slowest_requests} "
        f"requests, against {tail.typical_requests} around the median)"
    )
    for name in ("what", "operation"):
        table.add_column(name)
    for name in ("median", "slowest", "more"):
        table.add_column(name, justify="right")
    for part in compared(tail)[:TAIL_SHOWN]:
        table.add_row(part.kind, escape(part.operation), *(f"{us:,.1f}" for us in (*part.us, part.more_us)))
    return table


def calls_table(result: Simulation | Approximation) -> Table:
    """Latency of each call as its caller sees it, the slowest first."""
    frame = result.calls()
    if isinstance(result, Approximation):
        return _mean_calls_table(frame)
    made = frame[frame.times > 0].sort_values("p99_us", ascending=False, kind="stable")
    shown = made.head(CALLS_SHOWN)
    title = "Calls, ms as the caller sees them (to about 3 %), slowest p99 first"
    if len(made) > len(shown):
        title += f"; {len(shown)} of {len(made)}"
    table = new_table(title)
    columns(table, "call", "times", "mean", "p50", "p90", "p99")
    for line in shown.itertuples():
        times = [numbers.digits(getattr(line, f"{key}_us") / 1000) for key in ("mean", "p50", "p90", "p99")]
        table.add_row(escape(str(line.call)), f"{line.times:,}", *times)
    return table


def _mean_calls_table(frame: pd.DataFrame) -> Table:
    table = new_table("Calls, ms as the caller sees them, slowest first")
    columns(table, "call", "mean")
    shown = frame.sort_values("mean_us", ascending=False, kind="stable").head(CALLS_SHOWN)
    for call, mean_us in zip(shown["call"], shown["mean_us"], strict=True):
        table.add_row(escape(str(call)), numbers.digits(mean_us / 1000))
    return table


def stations_table(result: Simulation | Approximation) -> Table:
    """The busiest stations."""
    table = new_table("Busiest stations")
    frame = result.stations()
    shares = [name for name in ("utilisation", "expected_utilisation") if name in frame]
    columns(table, "station", "servers", *["busy", "expected"][: len(shares)])
    for _, line in frame.head(STATIONS_SHOWN).iterrows():
        table.add_row(escape(str(line["station"])), str(line["servers"]), *[f"{line[name]:.0%}" for name in shares])
    return table


def start_up_table(scaled: Scaled) -> Iterator[RenderableType]:
    """How many pods a service had, and what a new one goes through."""
    table = new_table(f"Start-up of a new pod of {scaled.service}")
    columns(table, "link", "when", "ms")
    for link in scaled.start_up:
        table.add_row(escape(link.name), link.when, numbers.digits(link.ms))
    yield table
    ms = {
        when: sum(link.ms for link in scaled.start_up if link.when in ("always", *when.split(" and ")))
        for when in ("always", "no image", "no image and new node")
    }
    yield paragraph(
        f"  Beyond the pods of the start, {scaled.with_room} find room and image ({numbers.digits(ms['always'])} ms), "
        f"{scaled.without_image} find room without image ({numbers.digits(ms['no image'])} ms), {scaled.on_new_nodes} "
        f"need a new node ({numbers.digits(ms['no image and new node'])} ms)."
    )
    changes = [f"{pods} from {at:.4g} s" for at, pods in scaled.pods]
    more = f", and {len(changes) - CHANGES_SHOWN} more changes" if len(changes) > CHANGES_SHOWN else ""
    yield paragraph(f"  Pods: {', '.join(changes[:CHANGES_SHOWN])}{more}.")


# Words ----------------------------------------------------------------------------------------------------------


def heading(text: str) -> Text:
    """The first line."""
    return Text(text, style="bold")


def paragraph(text: str, bold: bool = False) -> Text:
    """Wrapped, with the indent of its first line kept."""
    indent = text[: len(text) - len(text.lstrip())]
    return Text(fill(text, WIDTH, subsequent_indent=indent + "  " if indent else ""), style="bold" if bold else "")


def missing(report: ComparisonReport | GrowthReport) -> Iterator[Text]:
    """Say so if rows are missing, and why."""
    if report.partial:
        yield Text("Stopped early: this is what was finished until then.", style="bold")
    for one in report.refused:
        yield paragraph(
            f"No row for {one.dataplane} with {one.services} services at {numbers.count(one.rps)} requests/s: "
            f"{one.reason}."
        )


def too_short(rows: Sequence[Row], names: Iterable[str] = LATENCIES) -> Iterator[Text]:
    """Why a quantile is missing."""
    for name in names:
        notes = {estimate.note for row in rows if (estimate := getattr(row.latency_us, name)).value is None}
        for note in sorted(notes):
            yield paragraph(f"{TOO_SHORT} {LATENCIES[name]}: {note}")


def failed_audits(rows: Sequence[Row]) -> Iterator[Text]:
    """A run that contradicts itself, or falls short of what its plan expects, must not pass unseen."""
    for row in rows:
        doubts = [check for check in row.audit.checks if check.startswith(("FAILED", "WARNING"))]
        if doubts:
            how = "warns" if row.audit.ok else "FAILED"
            yield Text(f"Self-audit of {row.dataplane} with {row.services} services {how}:", style="bold")
        for doubt in doubts:
            yield paragraph(f"  {doubt}")


def model_error(row: Row) -> Text:
    """The bands from the costs' own errors."""
    error = row.model_error
    return paragraph(
        "If the costs moved within their own standard errors (95 %): "
        f"median latency {numbers.band(error.latency_us_p50, numbers.latency)}, "
        f"CPU {numbers.band(error.cpu_cores, numbers.cores)}, "
        f"memory {numbers.band(error.memory_mib, numbers.memory)}, "
        f"{numbers.band(error.usd_month, numbers.money)} a month."
    )


def reality(rows: Sequence[Row]) -> Iterator[RenderableType]:
    """Where a real mesh lies, and in which directions that is an extrapolation."""
    known = [row for row in rows if row.reality is not None]
    if not known:
        return
    size = f", {known[0].services} services" if len({row.services for row in rows}) == 1 else ""
    table = new_table(f"Where real meshes lie with a chance of 90 %{size}")
    columns(table, "data plane", *(title for title, _ in REALITY.values()))
    for row in known:
        table.add_row(escape(row.dataplane), *(numbers.real(row, key, show) for key, (_, show) in REALITY.items()))
    yield table
    reasons: dict[str, list[str]] = {}
    for row in known:
        for why in row.reality.outside if row.reality is not None else ():
            reasons.setdefault(why, []).append(row.dataplane)
    if not reasons:
        yield paragraph("  All of it lies within what was measured (docs/validation.md).")
        return
    yield paragraph("  Extrapolated, so these bands may be too narrow (docs/validation.md):")
    for why, names in reasons.items():
        yield paragraph(f"  - {why}" if len(names) == len(known) else f"  - {', '.join(names)}: {why}")


REALITY = {
    "latency_us_p50": ("p50", numbers.latency), "latency_us_p99": ("p99", numbers.latency),
    "cpu_cores": ("CPU", numbers.cores), "memory_mib": ("memory", numbers.memory),
}  # fmt: skip


def notes(report: ComparisonReport | GrowthReport) -> Iterator[Text]:
    """What was assumed on the way."""
    for note in report.notes:
        yield paragraph(f"  Note: {note}")


SIMULATED = (
    "± is the 95 % sampling interval: this run was finite. Not in it: the error of the costs themselves; "
    "--json has it as model_error."
)
APPROXIMATE = (
    "Approximations of the analytic engine: nothing was simulated, so there is no ±. Left out --engine simulates."
)


def footer(source: Provenance, rows: Sequence[Row] = ()) -> Text:
    """What ± means, and what it takes to get the same numbers. ``rows``: to say which engine they are from."""
    engines = list(dict.fromkeys(row.engine for row in rows))
    by = f"engine {' and '.join(engines)}; " if engines else ""
    lines = [
        APPROXIMATE if engines == ["analytic"] else SIMULATED,
        f"Seed {source.seed}; {by}costs {', '.join(source.costs)}; {source.machine}, price of {source.price_date}; "
        f"meshsim {source.meshsim}. Dollars: the share of the nodes that it takes (docs/json.md).",
        f"Same numbers again: {source.command}",
    ]
    return Text(
        "\n".join(fill(line, WIDTH, break_on_hyphens=False, break_long_words=False) for line in lines), style="dim"
    )


def baseline(rows: Sequence[Row]) -> str:
    """Name of the data plane that differences are against; empty if there are none."""
    return next((row.difference.baseline for row in rows if row.difference is not None), "")


def latency_unit(values_us: Iterator[float | None]) -> tuple[str, float]:
    """One unit for a whole table, and the factor to it from microseconds."""
    largest = max((value for value in values_us if value is not None), default=0.0)
    return ("ms", 1e-3) if largest >= 1000 else ("µs", 1.0)


def plus_minus(estimate: Estimate, factor: float, signed: bool = False) -> str:
    """'12.34 ± 0.12'."""
    if estimate.value is None:
        return TOO_SHORT
    value, sign = estimate.value * factor, "+" if signed else ""
    if estimate.low is None or estimate.high is None:
        return f"{sign if value > 0 else ''}{numbers.digits(value)}"
    half = (estimate.high - estimate.low) / 2 * factor
    digits = digits_for(half)
    return f"{value:{sign}.{digits}f} ± {half:.{digits}f}"
