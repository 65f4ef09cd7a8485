"""What a run checks about itself: laws that hold for every queueing system, from counters kept apart.

They are the operational laws (Denning and Buzen, "The operational analysis of queueing network models", ACM
Computing Surveys 10, 1978; Little, "A proof for the queuing formula L = λW", Operations Research 9, 1961).
Over a whole run and in integers they are exact, so a difference of one nanosecond is a mistake of the engine,
not noise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from meshsim.results.paths import Paths, critical_paths
from meshsim.results.rows import Audit
from meshsim.results.run import RunResult
from meshsim.results.sample import Sample

FEW_RECORDS = 30
"""Whole requests below which the spread of CPU time between requests is not known well enough."""
STANDARD_ERRORS = 4.0
ROUNDING = 0.01
"""Share of the expected CPU time that rounding to whole nanoseconds may take away."""


@dataclass(frozen=True)
class Check:
    """One law: whether it holds, and a sentence with the numbers."""

    holds: bool
    sentence: str


def audit(result: RunResult, paths: Paths | None = None) -> Audit:
    """Check a run; ``paths``: its critical paths, if they are known already. ``ok`` if every law holds; the
    sentences of broken laws come first, and begin with FAILED.

    Less CPU time than the plan expects is a WARNING only: that comparison is statistical.
    """
    laws = [
        _conservation(result),
        _histograms(result),
        _flow_balance(result),
        _littles_law(result),
        _utilisation_law(result),
        _capacity(result),
        _attribution(paths or critical_paths(Sample.of(result.records), result.plan)),
    ]
    failed = [f"FAILED {check.sentence}" for check in laws if not check.holds]
    passed = [check.sentence for check in laws if check.holds]
    expected = _expected_cpu(result)
    if expected.holds:
        passed.append(expected.sentence)
    else:
        failed.append(f"WARNING {expected.sentence}")
    if result.cancelled:
        failed.append(f"Cancelled: this covers only the {result.measured} measured requests answered until then.")
    return Audit(ok=all(check.holds for check in laws), checks=failed + passed)


def _conservation(result: RunResult) -> Check:
    accounted = result.answered + result.failed + result.in_flight
    sign = "=" if result.sent == accounted else "is not"
    return Check(
        result.sent == accounted and min(result.answered, result.failed, result.in_flight) >= 0,
        f"Conservation: {result.sent} requests sent {sign} {result.answered} answered "
        f"+ {result.failed} failed + {result.in_flight} in flight.",
    )


def _histograms(result: RunResult) -> Check:
    """The histograms hold the measured requests, all of them, and by entry the same as together."""
    latency, entries = result.latency, result.entry_latency
    by_entry = sum(entry.total for entry in entries)
    sum_ns, by_entry_ns = sum(latency.sum_ns), sum(sum(entry.sum_ns) for entry in entries)
    return Check(
        latency.total == result.measured - result.measured_failed == by_entry and sum_ns == by_entry_ns,
        f"Histograms: {result.measured} requests measured, {latency.total} counted with {sum_ns} ns in all; "
        f"by entry {by_entry} with {by_entry_ns} ns, {result.measured_failed} failed.",
    )


def _flow_balance(result: RunResult) -> Check:
    """Nobody leaves who did not come, and where nobody came no time was spent."""
    sums = result.stations
    left_over = sums.arrivals - sums.completions
    idle = (sums.present_ns == 0) & (sums.busy_ns == 0) & (sums.sojourn_ns == 0)
    broken = (left_over < 0) | (sums.completions < 0) | ((sums.arrivals == 0) & ~idle)
    return _by_station(
        result,
        broken,
        f"Flow balance: {sums.arrivals.sum()} arrivals at {len(broken)} stations = "
        f"{sums.completions.sum()} completions + {left_over.sum()} still present at the end.",
        lambda i: (
            f"Flow balance: {sums.arrivals[i]} arrivals, {sums.completions[i]} completions, "
            f"{sums.present_ns[i]} ns present"
        ),
    )


def _littles_law(result: RunResult) -> Check:
    sums = result.stations
    return _by_station(
        result,
        sums.present_ns != sums.sojourn_ns,
        f"Little's law: at each of {len(sums.present_ns)} stations the integral of the number present is "
        f"the sum of the times spent there, {sums.present_ns.sum()} ns in all.",
        lambda i: (
            f"Little's law: the integral of the number present is {sums.present_ns[i]} ns, "
            f"the sum of the times spent there {sums.sojourn_ns[i]} ns"
        ),
    )


def _utilisation_law(result: RunResult) -> Check:
    sums, is_cpu = result.stations, result.plan.station_is_cpu
    return _by_station(
        result,
        is_cpu & (sums.busy_ns != sums.charged_ns),
        f"Utilisation law: the cores of each of {is_cpu.sum()} CPUs were busy for exactly the work asked of "
        f"them, {sums.busy_ns[is_cpu].sum()} ns in all.",
        lambda i: f"Utilisation law: busy for {sums.busy_ns[i]} ns, asked for {sums.charged_ns[i]} ns of work",
    )


def _capacity(result: RunResult) -> Check:
    """No station is busier than it has servers, nor than it has visitors."""
    sums, capacity = result.stations, result.plan.station_servers * result.end_ns
    busiest = np.max(sums.busy_ns / np.maximum(capacity, 1), initial=0.0)
    return _by_station(
        result,
        (sums.busy_ns < 0) | (sums.busy_ns > capacity) | (sums.busy_ns > sums.present_ns),
        f"Capacity: no station was busier than its servers allow, the busiest {busiest:.1%} of the run.",
        lambda i: (
            f"Capacity: busy for {sums.busy_ns[i]} ns with {capacity[i]} ns of server time "
            f"and {sums.present_ns[i]} ns of visitors' time"
        ),
    )


def _attribution(paths: Paths) -> Check:
    """The critical path of every whole request covers its latency."""
    whole = len(paths.request)
    if paths.broken:
        first = next(iter(paths.broken.values()))
        return Check(False, f"Attribution: wrong for {len(paths.broken)} of {whole} whole requests, first for {first}.")
    return Check(
        True,
        f"Attribution: the {len(paths)} pieces of {whole} whole requests add up to their latencies exactly.",
    )


def _expected_cpu(result: RunResult) -> Check:
    """CPU time of a request against what the plan said before the first event, which leaves out wake-ups."""
    plan, sums = result.plan, result.stations
    if result.failed or len(result.records) < FEW_RECORDS:
        return Check(
            True,
            f"CPU against the plan: not compared, with {result.failed} failed requests and "
            f"{len(result.records)} whole ones (it takes 0 and {FEW_RECORDS}).",
        )
    is_cpu = plan.station_is_cpu
    expected = float((plan.station_load * plan.station_servers)[is_cpu].sum()) * 1e9 / plan.rps
    # Requests in flight have used some of it already, so this errs upwards, and the check is for too little.
    measured = float(sums.busy_ns[is_cpu].sum()) / max(result.answered, 1)
    each = Sample.of(result.records).cpu_ns
    error = float(np.std(each, ddof=1)) / max(result.answered, 1) ** 0.5
    return Check(
        measured >= expected * (1 - ROUNDING) - STANDARD_ERRORS * error,
        f"CPU against the plan: {measured / 1000:.1f} us a request (standard error {error / 1000:.1f}), "
        f"at least {expected / 1000:.1f} us expected without wake-ups.",
    )


def _by_station(result: RunResult, broken: NDArray[np.bool_], holds: str, fails: Callable[[int], str]) -> Check:
    """One law at all stations; the first that breaks it is named with its numbers."""
    where = np.flatnonzero(broken)
    if not len(where):
        return Check(True, holds)
    first = int(where[0])
    name = result.plan.station_names[first]
    return Check(False, f"{fails(first)} at {name} (broken at {len(where)} of {len(broken)} stations).")
