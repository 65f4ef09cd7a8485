"""Samples of rounds and predictions become rows of the scoreboard."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median

from scipy.stats import binom

from meshsim.costs.books import Costs
from meshsim.measure.bench import NOISY_CORES
from meshsim.measure.experiment import Sample, Samples
from meshsim.plan.wakeups import WAKEUP
from meshsim.results.rows import Estimate
from meshsim.results.scoreboard import QUANTITIES, Quantity, RatioRow, ScoreRow
from meshsim.testbed.predict import OwnWork, Prediction
from meshsim.testbed.scenarios import BASELINE, LOADS, NO_MESH, SATURATED, Case

PREFIX = "testbed."
LEAST_QUIET = 2
"""So many undisturbed rounds, and the others are left out."""
OVER_NO_MESH: tuple[Quantity, ...] = ("cpu-total", "p50", "p99", "saturation")
LEAST_FOR_P99 = 500
"""Answers a round below which its p99 is no figure."""


def experiment_of(case: Case) -> str:
    """Name in the journal."""
    return f"{PREFIX}{case.name}"


def own_work(samples: Samples, costs: Costs) -> OwnWork | None:
    """From the baseline: what the programs use in closed loop, where they do not sleep, less their sockets by the book
    and what they are told to compute; at the lowest rate, how late the generator is, less its wake-up by the book.
    """
    name = f"{PREFIX}{BASELINE}"
    closed = {s.round: s.values for s in undisturbed(samples.of(name, load=SATURATED))}
    if not closed:
        return None
    size = 64
    sockets_us = sum(
        (costs[operation].cpu_ns + size * costs[operation].cpu_ns_per_byte) / 1000
        for operation in ("kernel.tcp.send", "kernel.wire.same-node", "kernel.tcp.receive")
    )
    generator, server = (
        median(values[f"cpu_ns.application.{who}"] / 1000 - told for values in closed.values()) - sockets_us
        for who, told in (("generator", 0.0), ("server", next(iter(closed.values()))["compute_us"]))
    )
    sleepy = undisturbed(samples.of(name, load=LOADS[0]))
    late_us = median(sample.values["lag_p50_ns"] for sample in sleepy) / 1000 if sleepy else 0.0
    wakeup_us = costs[WAKEUP].wait_ns / 1000 if WAKEUP in costs else 0.0
    return OwnWork(max(0.1, generator), max(0.1, server), max(0.0, late_us - wakeup_us))


def rates(samples: Samples, case: Case) -> dict[float | str, float]:
    """The loads at which it was measured: share of saturation -> requests a second; saturation -> 0."""
    found: dict[float | str, float] = {}
    for sample in samples.of(experiment_of(case)):
        load = sample.settings["load"]
        found[load if isinstance(load, str) else float(load)] = float(sample.settings["rps"])
    return dict(sorted(found.items(), key=lambda item: (isinstance(item[0], str), item[0])))


def rows_of(
    case: Case, load: float | str, samples: Samples, prediction: Prediction, outside: Sequence[str]
) -> list[ScoreRow]:
    """All quantities of a scenario at one load."""
    taken = undisturbed([s for s in samples.of(experiment_of(case)) if s.settings["load"] == load])
    closed = load == SATURATED
    share = 1.0 if closed else float(load)
    rps = median(s.values["requests_per_second"] for s in taken) if closed else float(taken[0].settings["rps"])
    several = len(case.generators) > 1
    wanted: list[Quantity] = ["cpu-proxy", "cpu-application", "cpu-total", "p50", "p99"]
    if closed:  # latency is then the number of clients over the rate; several generators have no common one
        wanted = [] if several else ["saturation"]
    if share == max(LOADS):
        wanted.append("memory")
    made = []
    for quantity in wanted:
        said = prediction.values.get("rate" if quantity == "saturation" else quantity)
        seen = [value for value in (_measured(quantity, s, case) for s in taken) if value is not None]
        if said is None or said.value is None or not seen or not median(seen):
            continue
        application = case.application.name
        made.append(
            ScoreRow(
                scenario=f"{application}, {'saturated' if closed else f'{share:.0%} of saturation'}",
                dataplane=case.dataplane.name,
                case=case.name,
                load=share,
                rps=round(rps, 1),
                quantity=quantity,
                unit=QUANTITIES[quantity][0],
                measured=rounded(interval_of_median(seen)),
                predicted=rounded(said),
                rounds=len(seen),
                used_for_fitting=case.used_for_fitting,
                inside_range=not outside,
                outside="; ".join(outside),
            )
        )
    return made


def ratios_to_no_mesh(found: Sequence[Case], samples: Samples, rows: Sequence[ScoreRow]) -> list[RatioRow]:
    """Each scenario over that of its application without a mesh, round by round."""
    known = {(row.case, row.load, row.quantity): row for row in rows}
    bare = {case.application.name: case for case in found if case.dataplane.name == NO_MESH}
    made = []
    for case in found:
        base = bare.get(case.application.name)
        if base is None or base is case:
            continue
        for load in (*LOADS, SATURATED):
            for quantity in OVER_NO_MESH:
                key = (load if isinstance(load, float) else 1.0, quantity)
                mine, other = known.get((case.name, *key)), known.get((base.name, *key))
                seen = _round_by_round(case, base, load, quantity, samples)
                if mine is None or other is None or not seen:
                    continue
                made.append(
                    RatioRow(
                        scenario=mine.scenario,
                        dataplane=mine.dataplane,
                        case=case.name,
                        load=mine.load,
                        quantity=quantity,
                        measured=rounded(interval_of_median(seen)),
                        predicted=rounded(_quotient(mine.predicted, other.predicted)),
                        rounds=len(seen),
                        used_for_fitting=case.used_for_fitting,
                    )
                )
    return made


def _round_by_round(case: Case, base: Case, load: float | str, quantity: Quantity, samples: Samples) -> list[float]:
    """Ratios of the rounds that have both, those without foreign load if there are enough."""
    above = {s.round: s for s in samples.of(experiment_of(case)) if s.settings["load"] == load}
    below = {s.round: s for s in samples.of(experiment_of(base)) if s.settings["load"] == load}
    both = sorted(above.keys() & below.keys())
    quiet = [r for r in both if max(above[r].foreign_cores, below[r].foreign_cores) <= NOISY_CORES]
    ratios = []
    for number in quiet if len(quiet) >= LEAST_QUIET else both:
        one, other = _measured(quantity, above[number], case), _measured(quantity, below[number], base)
        if one and other:
            ratios.append(one / other)
    return ratios


def _quotient(one: Estimate, other: Estimate) -> Estimate:
    """With an interval as if the two erred independently: too wide where both pay the same cost."""
    if not one.value or not other.value:
        return Estimate(value=None)
    value = one.value / other.value
    halves = [((e.high or 0.0) - (e.low or 0.0)) / 2 / (e.value or 1.0) for e in (one, other)]
    half = value * math.hypot(*halves)
    return Estimate(value=value, low=max(0.0, value - half), high=value + half)


def undisturbed(samples: list[Sample]) -> list[Sample]:
    """Without rounds in which others used the host, where enough are left."""
    quiet = [sample for sample in samples if sample.foreign_cores <= NOISY_CORES]
    return quiet if len(quiet) >= LEAST_QUIET else samples


def _measured(quantity: Quantity, sample: Sample, case: Case) -> float | None:
    values = sample.values
    if quantity == "p99" and values["observed"] < LEAST_FOR_P99:
        return None
    if quantity in ("p50", "p99"):
        return values[f"latency_{quantity}_ns"] / 1000
    if quantity == "cpu-total":
        return (values["cpu_ns.application"] + values["cpu_ns.proxy"]) / 1000
    if quantity == "saturation":
        return values["requests_per_second"]
    if quantity == "memory":
        return values["proxy_private_dirty_mib"] / values["proxies"] if values["proxies"] else None
    return values[f"cpu_ns.{quantity.removeprefix('cpu-')}"] / 1000


def interval_of_median(values: Sequence[float], confidence: float = 0.95) -> Estimate:
    """The median, and the order statistics that hold the true one with ``confidence``, whatever the law.

    From six values on the interval keeps its confidence (1 - 2 / 2**n for the extremes of n values); fewer give their
    whole range, which says less.
    """
    ordered = sorted(values)
    n = len(ordered)
    k = 1
    while k < n // 2 and 1 - 2 * binom.cdf(k, n, 0.5) >= confidence:
        k += 1
    return Estimate(
        value=median(ordered), low=ordered[k - 1], high=ordered[-k],
        note="" if n >= 6 else f"{n} rounds: the whole range of them",
    )  # fmt: skip


def rounded(estimate: Estimate) -> Estimate:
    """To four digits: more would be noise in a file that is kept."""

    def short(value: float | None) -> float | None:
        return value if value is None or not value or not math.isfinite(value) else float(f"{value:.4g}")

    return Estimate(value=short(estimate.value), low=short(estimate.low), high=short(estimate.high), note=estimate.note)


__all__ = ["experiment_of", "interval_of_median", "own_work", "rates", "ratios_to_no_mesh", "rounded", "rows_of"]
