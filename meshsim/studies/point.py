"""One simulated point of a study: its row, and what is needed to pair it with another on the same requests."""

from __future__ import annotations

import math
from dataclasses import dataclass

from meshsim.engines import analytic, select
from meshsim.plan.lower import OverloadedError
from meshsim.plan.place import PlacementError
from meshsim.results.histogram import BatchedHistogram
from meshsim.results.intervals import quantile_difference
from meshsim.results.rows import NO_WATTS, Difference, Estimate, Quantiles, Refused, Row
from meshsim.results.run import RunResult
from meshsim.results.sample import Sample
from meshsim.scenario.capabilities import CapabilityError
from meshsim.studies.estimate import estimated_row
from meshsim.studies.pool import Stop, Tick
from meshsim.studies.reality import with_reality
from meshsim.studies.row import QUANTILES, Z95, Money, make_row, money, money_of
from meshsim.studies.setup import Prepared


@dataclass(frozen=True)
class Point:
    """What came out of one run."""

    row: Row
    latency: BatchedHistogram
    request_cpu_ns: dict[int, int]
    """CPU time of each sampled request, on all its frames; like ``latency`` empty of an approximation."""
    price: Money


def simulate_point(prepared: Prepared, tick: Tick, stop: Stop) -> Point | Refused | None:
    """Lower and run. None if stopped; ``Refused`` if the data plane cannot do what is asked or cannot carry the load,
    or if its pods do not fit.
    """
    try:
        plan = prepared.plan
    except (OverloadedError, PlacementError, CapabilityError) as error:
        scenario = prepared.scenario
        services = len(prepared.application.services)
        return Refused(dataplane=prepared.dataplane.name, services=services, rps=scenario.load.rps, reason=str(error))
    if prepared.scenario.run.engine == "analytic":
        return estimated_point(prepared)
    result = select.run(plan, prepared.scenario.run, on_progress=tick, should_stop=stop)
    return None if result.cancelled else as_point(prepared, result)


def as_point(prepared: Prepared, result: RunResult) -> Point:
    """Keep of a run what studies need; the plan and the records are left behind."""
    row = make_row(result, prepared.dataplane.name, len(prepared.application.services), prepared.machine)
    row = with_reality(row, prepared)
    sample = Sample.of(result.records)
    cpu = dict(zip(sample.requests.tolist(), sample.cpu_ns.tolist(), strict=True))
    return Point(row, result.latency, cpu, money_of(result, prepared.machine))


def estimated_point(prepared: Prepared) -> Point:
    """What the analytic engine says of a plan, at its own rate."""
    found = analytic.solve(prepared.plan)
    row = estimated_row(found, prepared.dataplane.name, len(prepared.application.services), prepared.machine)
    return Point(with_reality(row, prepared), BatchedHistogram(1), {}, money(prepared.plan, prepared.machine))


def difference(point: Point, baseline: Point) -> Difference:
    """``point`` minus ``baseline``, paired request by request: both saw the same arrivals and service times.

    Approximations saw no requests: theirs are plain differences, without an interval.
    """
    row, base = point.row, baseline.row
    if row.engine == "analytic":
        return plain_difference(row, base)
    return Difference(
        baseline=base.dataplane,
        latency_us=Quantiles(
            **{name: quantile_difference(point.latency, baseline.latency, q) for name, q in QUANTILES.items()}
        ),
        cpu_cores=cpu_difference(point, baseline),
        memory_mib=row.memory_mib - base.memory_mib,
        pods=row.pods - base.pods,
        usd_month=row.usd_month - base.usd_month,
        power_watts=more_watts(row, base),
    )


def plain_difference(row: Row, base: Row) -> Difference:
    """Of two approximations: what is left when one is taken from the other, without an interval."""

    def less(a: Estimate, b: Estimate) -> Estimate:
        known = a.value is not None and b.value is not None
        return Estimate(value=a.value - b.value if known else None, note="difference of approximations")  # type: ignore[operator]

    return Difference(
        baseline=base.dataplane,
        latency_us=Quantiles(
            **{name: less(getattr(row.latency_us, name), getattr(base.latency_us, name)) for name in QUANTILES}
        ),
        cpu_cores=Estimate(value=row.cpu_cores.total - base.cpu_cores.total, note="difference of approximations"),
        memory_mib=row.memory_mib - base.memory_mib,
        pods=row.pods - base.pods,
        usd_month=row.usd_month - base.usd_month,
        power_watts=more_watts(row, base),
    )


def more_watts(row: Row, base: Row) -> float | None:
    """What ``row`` draws more than ``base``; None where one is unknown."""
    if row.power_watts is None or base.power_watts is None:
        return None
    return row.power_watts - base.power_watts


def cpu_difference(point: Point, baseline: Point) -> Estimate:
    """Difference of cores in use, with the sampling error of a run of n requests.

    cores = idle + (CPU of a request) x (requests a second). The spread of the first factor is read from the requests
    that both runs kept whole; that of the second is 1 / sqrt(n), Poisson arrivals being what they are.
    """
    value = point.row.cpu_cores.total - baseline.row.cpu_cores.total
    both = sorted(point.request_cpu_ns.keys() & baseline.request_cpu_ns.keys())
    requests = min(point.row.requests, baseline.row.requests)
    if len(both) < 30 or requests < 1:
        return Estimate(value=value, note=f"no interval: only {len(both)} requests were kept whole in both runs")
    gaps = [point.request_cpu_ns[r] - baseline.request_cpu_ns[r] for r in both]
    mean = sum(gaps) / len(gaps)
    variance = sum((gap - mean) ** 2 for gap in gaps) / (len(gaps) - 1)
    rate = point.row.rps / 1e9
    half = Z95 * math.hypot(math.sqrt(variance / requests) * rate, mean * rate / math.sqrt(requests))
    return Estimate(value=value, low=value - half, high=value + half)


def watts_difference(point: Point, baseline: Point) -> Estimate:
    """Difference of watts: what memory draws is exact, so the interval is that of the CPU in use."""
    value = more_watts(point.row, baseline.row)
    apart = cpu_difference(point, baseline)
    if value is None or apart.low is None or apart.high is None:
        return Estimate(value=value, note=apart.note if value is not None else NO_WATTS)
    half = point.price.machine.watts((apart.high - apart.low) / 2, 0.0) or 0.0
    return Estimate(value=value, low=value - half, high=value + half)


def usd_difference(point: Point, baseline: Point) -> Estimate:
    """Difference of dollars a month. Money follows the cores in use only where they are more than what is reserved.

    Elsewhere it is exact: there the interval has no width.
    """
    value = point.row.usd_month - baseline.row.usd_month
    apart = cpu_difference(point, baseline)
    if apart.low is None or apart.high is None:
        return Estimate(value=value, note=apart.note)
    half = (apart.high - apart.low) / 2
    cores, memory = point.row.cpu_cores.total, point.row.memory_mib
    up, down = point.price.usd_month(cores + half, memory), point.price.usd_month(max(0.0, cores - half), memory)
    return Estimate(value=value, low=value - (up - down) / 2, high=value + (up - down) / 2)
