"""The answer in plain sentences: which data plane is cheaper, by how much, and how sure that is.

Two data planes are called different only where the data allow it. Latency is sampled, so it is judged by its
95 % sampling intervals, of the paired differences to the baseline where there are any: data planes whose
intervals overlap "cannot be told apart". Money is computed and not sampled: there the model bands say how far
the errors of the costs themselves could move it.
"""

from __future__ import annotations

from collections.abc import Sequence

from meshsim.figures import numbers
from meshsim.figures.growth import SATURATED, by_dataplane, top_crossovers
from meshsim.figures.metrics import metric_named
from meshsim.results.rows import NO_WATTS, ComparisonReport, Estimate, GrowthReport, Row, Verdict
from meshsim.results.tail import by_kind

Report = ComparisonReport | GrowthReport
NO_MESH = "no-mesh"


def headline(report: Report) -> str:
    """Two to four sentences with numbers, units and intervals. Plain text, not escaped."""
    if not report.rows:
        return "No run was finished, so there is nothing to say yet."
    if isinstance(report, GrowthReport):
        return _growth_headline(report)
    row = report.rows[0]
    rate = numbers.count(report.rps)
    where = f"{report.application} with {row.services:,} services at {rate} requests a second"
    if len(report.rows) == 1:
        return f"{where}: {single(row)}"
    return f"{where}: {money_sentence(report.rows)} {latency_sentence(report.rows)}"


def _growth_headline(report: GrowthReport) -> str:
    sizes = sorted({row.services for row in report.rows})
    last = [row for row in report.rows if row.services == sizes[-1]]
    rate = numbers.count(last[0].rps)
    where = f"{report.application} grown to {sizes[-1]:,} services at {rate} requests a second"
    if len(last) == 1:
        return f"{where}: {single(last[0])}"
    said = f"{where}: {money_sentence(last)} {latency_sentence(last)}"
    return f"{said} {order_sentence(report)}" if len(sizes) > 1 else said


def single(row: Row) -> str:
    """One data plane, nothing to compare it with."""
    return (
        f"over {row.dataplane}, half of the requests are answered within "
        f"{numbers.interval(row.latency_us.p50, numbers.latency)} and 99 % within "
        f"{numbers.interval(row.latency_us.p99, numbers.latency)}, "
        f"using {numbers.cores(row.cpu_cores.total)}, {numbers.memory(row.memory_mib)} "
        f"and {numbers.money(row.usd_month)} a month."
    )


def money_sentence(rows: Sequence[Row]) -> str:
    """Which mesh costs least, how much more the next one does, and how sure that order is.

    ``rows``: at least two, all of one size.
    """
    meshes = sorted(_meshes(rows), key=lambda row: row.usd_month)
    best = meshes[0]
    price = f"{numbers.money(best.usd_month)} a month ({_model_band(best)})"
    if len(meshes) == 1:
        return f"{best.dataplane} costs {price}."
    same = [row for row in meshes if numbers.money(row.usd_month) == numbers.money(best.usd_month)]
    if len(same) > 1:
        return f"{numbers.listed([row.dataplane for row in same])} are the cheapest meshes, each {price}."
    following = meshes[1]
    share = f", {100 * (following.usd_month / best.usd_month - 1):.0f} % more" if best.usd_month > 0 else ""
    sure = (
        "the model bands do not overlap"
        if best.model_error.usd_month.high < following.model_error.usd_month.low
        else "the model bands overlap, so that order is not certain"
    )
    return (
        f"{best.dataplane} is the cheapest mesh: {price}. {following.dataplane} comes next with "
        f"{numbers.money(following.usd_month)}{share}; {sure}."
    )


def latency_sentence(rows: Sequence[Row]) -> str:
    """Which mesh has the lowest median latency and which the highest, as far as the intervals tell.

    ``rows``: at least two, all of one size.
    """
    paired = [row for row in rows if row.difference is not None and row.difference.latency_us.p50.value is not None]
    judged = paired or [row for row in _meshes(rows) if row.latency_us.p50.value is not None]
    if not judged:
        return "The runs were too short to say anything about median latency."
    judged = sorted(judged, key=lambda row: _judged_by(row).value or 0.0)
    best, worst = judged[0], judged[-1]
    if len(judged) == 1:
        return f"The median latency of {best.dataplane} is {_latency(best)}."
    if all(row.engine == "analytic" for row in judged):
        return (
            f"Median latency is lowest with {best.dataplane}, {_latency(best)}, and highest with {worst.dataplane}, "
            f"{_latency(worst)}; these are approximations."
        )
    tied = [row for row in judged if row is best or _overlap(_judged_by(best), _judged_by(row))]
    if len(tied) == len(judged):
        names = numbers.listed([row.dataplane for row in tied])
        said = f"The median latencies of {names} cannot be told apart in runs of this length: "
        return said + f"{_latency(best)} for {best.dataplane}, {_latency(worst)} for {worst.dataplane}."
    high = f"and highest with {worst.dataplane}, {_latency(worst)}."
    if len(tied) == 1:
        return f"Median latency is lowest with {best.dataplane}, {_latency(best)}, {high}"
    rest = numbers.listed([row.dataplane for row in tied[1:]])
    return (
        f"Median latency is lowest with {best.dataplane}, {_latency(best)}, "
        f"which cannot be told apart from {rest} in runs of this length, {high}"
    )


def order_sentence(report: GrowthReport) -> str:
    """The crossover that matters most, or that there is none. Money first, then memory, CPU, latency."""
    for key in ("usd_month", "memory", "cpu", "p50", "p99"):
        if found := top_crossovers(report, key, most=1):
            return f"The order changes on the way: {_lower_first(found[0].sentence)}"
    sizes = [row.services for row in report.rows]
    return (
        f"From {min(sizes):,} to {max(sizes):,} services no data plane overtakes another, "
        "as far as these runs can tell."
    )


def caveats(rows: Sequence[Row], partial: bool = False) -> list[str]:
    """What a reader must know before believing the numbers; empty if all is well."""
    said = ["The study was stopped early: only what was finished is here."] if partial else []
    for row in rows:
        where = f"{row.dataplane} with {row.services:,} services"
        if row.engine == "analytic" and row.utilisation >= 1:
            said.append(
                f"{where}: overloaded at {numbers.count(row.rps)} requests a second. {row.busiest.split(',')[0]} "
                f"saturates at about {numbers.digits(row.goodput_rps)}."
            )
            continue
        if not row.audit.ok:
            said.append(f"{where}: the run failed its own audit. {' '.join(row.audit.checks[:2])}")
        if row.failed:
            said.append(f"{where}: {row.failed:,} of {row.requests:,} requests failed.")
        if row.utilisation > SATURATED:
            said.append(f"{where}: near saturation ({row.busiest}); latency there is very sensitive to the costs.")
    return said


def caption(metric: str, *, sampled: bool = True) -> str:
    """What the bands of the growth chart mean for this metric, in words; ``sampled``: some points were simulated."""
    what = metric_named(metric)
    model = (
        "The lighter band with a dotted edge is the 95 % model error: how far the errors of the costs could move it."
    )
    if what.key in ("config", "push"):
        return f"{what.title}: computed, not sampled, so without a sampling band; what pushes nothing is left out."
    if what.key in ("memory", "usd_month"):
        return f"{what.title} is computed, not sampled, so it has no sampling band. {model}"
    if what.key == "cpu":
        return f"The sampling error of CPU is given for differences only, in the report's data. {model}"
    if what.key == "power":
        return (
            "(Watts of a busy vCPU - those of an idle one) x cores in use + watts of a GiB x memory in use, all watts "
            "from the machine's file (docs/costs.md). Idle nodes and cooling are not in it. Sampling errors of CPU are "
            f"given for differences only. {model} How far off the watts of a vCPU and of a GiB are is not known."
        )
    if what.key == "proxy_cpu":
        return "Neither error is known for the proxies' share alone: see CPU in all."
    if not sampled:
        return model.replace("lighter ", "") if what.key == "p50" else "Approximated: no error is known for it."
    sampling = "The darker band is the 95 % sampling error: another run of this length would fall in there."
    return (
        f"{sampling} {model}" if what.key == "p50" else f"{sampling} The model error is estimated for the median only."
    )


def gaps(simulated: Sequence[Row], approximated: Sequence[Row], metric: str) -> str:
    """How far the approximation lies from the simulation; empty where nothing can be compared."""
    what = metric_named(metric)
    near = {row.dataplane: what.of(row).value for row in approximated}
    found = [
        (100 * (thought / seen - 1), row.dataplane)
        for row in simulated
        if (seen := what.of(row).value) and (thought := near.get(row.dataplane))
    ]
    if not found:
        return ""
    (low, lowest), (high, highest) = min(found), max(found)
    apart = f"{low:+.0f} % ({lowest})" + (f" to {high:+.0f} % ({highest})" if len(found) > 1 else "")
    return f"The lines are approximated; against the simulated marks they are off by {apart.replace('-0 %', '0 %')}."


def doubts(rows: Sequence[Row]) -> list[str]:
    """What the analytic engine leaves out or is not good at, each reason once, and of which data planes."""
    by_reason: dict[str, list[str]] = {}
    for row in rows:
        if row.engine == "analytic":
            for reason in row.audit.checks[1:]:
                by_reason.setdefault(reason, []).append(row.dataplane)
    return [f"{reason} ({numbers.listed(names)})" for reason, names in by_reason.items()]


def too_short(report: GrowthReport, metric: str) -> str:
    """Why there is nothing to draw for this metric; empty if there is."""
    what = metric_named(metric)
    estimates = [what.of(row) for row in report.rows]
    if estimates and what.key in ("config", "push") and not any(estimate.value for estimate in estimates):
        return f"{what.title}: none. No data plane here has a control plane, or no pods come and go (--churn)."
    if not estimates or any(estimate.value is not None for estimate in estimates):
        return ""
    if what.key == "power":
        return f"{what.title} is unknown: {NO_WATTS}."
    return f"{what.title} {estimates[0].note or 'is unknown: the runs were too short'}."


def alt_text(report: Report, metric: str = "p50") -> str:
    """What a chart shows, for those who cannot see it: axes, then the numbers at the largest size."""
    if isinstance(report, ComparisonReport):
        said = [
            f"{row.dataplane}: median {numbers.interval(row.latency_us.p50, numbers.latency)}, "
            f"99 % within {numbers.interval(row.latency_us.p99, numbers.latency)}, "
            f"{numbers.cores(row.cpu_cores.total)}"
            for row in report.rows
        ]
        return f"Latency and CPU of {len(report.rows)} data planes. {'; '.join(said)}."
    what = metric_named(metric)
    sizes = sorted({row.services for row in report.rows})
    if not sizes:
        return f"{what.title} against the number of services; no point was finished."
    said = [
        f"{name} {numbers.interval(what.of(rows[-1]), what.show)} at {rows[-1].services:,} services"
        for name, rows in by_dataplane(report.rows).items()
    ]
    grown = f"from {sizes[0]:,} to {sizes[-1]:,} services"
    return f"Line chart of {_lower_first(what.title)} {grown}: {'; '.join(said)}."


def attribution_alt(rows: Sequence[Row]) -> str:
    """The same for the chart of where the time goes."""
    said = []
    for row in rows:
        by: dict[str, float] = {}
        for part in row.attribution:
            spent = part.running_us + part.queueing_us + part.waiting_us
            by[part.component] = by.get(part.component, 0.0) + spent
        said.append(f"{row.dataplane}: " + ", ".join(f"{name} {numbers.latency(us)}" for name, us in by.items()))
    return "Where the time of a mean request goes. " + "; ".join(said) + "."


def tail_alt(rows: Sequence[Row]) -> str:
    """The same for the chart of the slowest requests."""
    said = []
    for row in rows:
        if row.tail is not None:
            parts = sorted(by_kind(row.tail).items(), key=lambda part: part[1][0] - part[1][1])[:3]
            more = ", ".join(f"{kind} {numbers.latency(slow - typical)}" for kind, (typical, slow) in parts)
            said.append(f"{row.dataplane}: {more}")
    return "What the slowest requests have more of than typical ones. " + "; ".join(said) + "."


def sentences(verdicts: Sequence[Verdict]) -> str:
    """All of them."""
    return " ".join(verdict.sentence for verdict in verdicts)


def _meshes(rows: Sequence[Row]) -> list[Row]:
    """Without no-mesh, unless there is nothing else."""
    return [row for row in rows if row.dataplane != NO_MESH] or list(rows)


def _judged_by(row: Row) -> Estimate:
    if row.difference is not None and row.difference.latency_us.p50.value is not None:
        return row.difference.latency_us.p50
    return row.latency_us.p50


def _latency(row: Row) -> str:
    """'0.4 ms above no-mesh (95 %: 0.38 to 0.46 ms)'; the latency itself where there is no difference."""
    gap = row.difference
    if gap is None or gap.latency_us.p50.value is None:
        return numbers.interval(row.latency_us.p50, numbers.latency)
    added = gap.latency_us.p50
    value, low, high = added.value or 0.0, added.low, added.high
    if low is not None and high is not None and low <= 0 <= high:
        between = numbers.span(low, high, numbers.latency)
        return f"not told apart from {gap.baseline} (difference, 95 %: {between})"
    if value < 0:
        low, high = (None if high is None else -high), (None if low is None else -low)
    sure = "" if low is None or high is None else f" (95 %: {numbers.span(low, high, numbers.latency)})"
    return f"{numbers.latency(abs(value))} {'below' if value < 0 else 'above'} {gap.baseline}{sure}"


def _overlap(a: Estimate, b: Estimate) -> bool:
    """Without an interval nothing can be told apart."""
    if a.low is None or a.high is None or b.low is None or b.high is None:
        return True
    return a.low <= b.high and b.low <= a.high


def _model_band(row: Row) -> str:
    model = row.model_error.usd_month
    if numbers.money(model.low) == numbers.money(model.high):
        return "what is reserved sets the price, so the errors of the costs do not move it"
    return f"model 95 %: {numbers.band(model, numbers.money)}"


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]
