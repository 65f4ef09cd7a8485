"""Replications: the same comparison with other seeds, pooled, as many as it takes.

Replication r has seed + r, for every data plane: so pairs stay pairs, and the batches of all replications together
are the batches of one long study.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any, Literal

from meshsim.results.histogram import BatchedHistogram
from meshsim.results.intervals import estimate_quantile, mean_interval, probability_below_zero, quantile_difference
from meshsim.results.rows import (
    Attribution,
    Audit,
    Band,
    CpuCores,
    Estimate,
    ModelError,
    Quantiles,
    Refused,
    Row,
    Tail,
    Verdict,
)
from meshsim.scenario.base import MeshsimError
from meshsim.studies.point import Point, usd_difference
from meshsim.studies.pool import Progress
from meshsim.studies.reality import rebased
from meshsim.studies.report import digits_for
from meshsim.studies.row import QUANTILES
from meshsim.studies.setup import Prepared

Metric = Literal["p50", "p90", "p99", "p999"]
BUDGET = 16
"""Replications at most, if nothing else is said."""
DOUBT = 0.005
"""A sign is settled if the chance of the other one is less. The number of runs doubles from one look to the next, so
there are few looks (five for a budget of 16), each with both signs: together they err in 5 % at most, a pair."""

RunPoints = Callable[[Sequence[Prepared], Progress | None], tuple[list[Point | Refused], bool]]


@dataclass(frozen=True)
class Goal:
    """When there are enough replications."""

    of: Metric = "p99"
    settle: bool = False
    """Until the sign of the difference of ``of`` is known for each pair of data planes."""
    precision: float | None = None
    """Until the 95 % interval of ``of`` is at most that share of the value to either side, for each data plane."""
    budget: int = BUDGET

    def check(self) -> None:
        """MeshsimError for a value that makes no sense."""
        if self.of not in QUANTILES:
            raise MeshsimError(f"of: {self.of!r} received; choose {', '.join(QUANTILES)}")
        if self.precision is not None and not 0 < self.precision < 1:
            raise MeshsimError(f"precision: {self.precision:g} received; must be between 0 and 1 (0.05 is 5 %)")
        if not 1 <= self.budget <= 10_000:
            raise MeshsimError(f"budget: {self.budget} received; must be from 1 to 10,000 replications")

    @property
    def asked(self) -> bool:
        """Whether there is a goal at all."""
        return self.settle or self.precision is not None

    def more(self, points: Sequence[Point], runs: int) -> int:
        """How many runs more by what is known now, within the budget; 0 if the goal is reached.

        For signs as many again, so that there are few looks (see ``DOUBT``); for precision what it seems to take,
        between half as many and as many again.
        """
        wanted = 0
        if self.precision is not None:
            worst = max((relative_error(getattr(point.row.latency_us, self.of)) for point in points), default=0.0)
            if (ratio := worst / self.precision) > 1:
                wanted = runs if ratio > 2 else max(math.ceil(runs * ratio**2) - runs, math.ceil(runs / 2))
        if self.settle and not all(latency_verdict(a, b, self.of).settled for a, b in combinations(points, 2)):
            wanted = runs
        return max(0, min(wanted, runs, self.budget - runs))


def relative_error(estimate: Estimate) -> float:
    """Half the width of the interval as a share of the value; infinite where there is none."""
    if not estimate.value or estimate.low is None or estimate.high is None:
        return math.inf
    return (estimate.high - estimate.low) / 2 / abs(estimate.value)


def replicate(
    tasks: Sequence[Prepared], goal: Goal, run_points: RunPoints, on_progress: Progress | None
) -> tuple[list[Point | Refused], int, bool]:
    """Run the tasks (one a data plane), and again with other seeds until the goal or the budget is reached.

    Returns one pooled point or a refusal a task, in order; the replications that each point pools; and False if the
    study was stopped: then rounds that were not finished are left out.
    """
    done, complete = run_points(tasks, on_progress)
    if not complete:
        return done, 1, False
    kept = [[one] for one in done if isinstance(one, Point)]
    alive = [task for task, one in zip(tasks, done, strict=True) if isinstance(one, Point)]
    runs = 1
    while (more := goal.more([pool(points) for points in kept], runs)) and alive:
        fresh = [_reseeded(task, runs + r) for task in alive for r in range(more)]

        def tell(at: int, total: int, words: str, runs: int = runs) -> None:
            if on_progress is not None:
                on_progress(at, total, f"{words} after {runs} replications")

        found, complete = run_points(fresh, tell)
        if not complete:
            break
        for number, points in enumerate(kept):
            points += [one for one in found[number * more : (number + 1) * more] if isinstance(one, Point)]
        runs += more
    pooled = iter([pool(points) for points in kept])
    return [next(pooled) if isinstance(one, Point) else one for one in done], runs, complete


def _reseeded(task: Prepared, more: int) -> Prepared:
    run = task.scenario.run
    seed = run.model_copy(update={"seed": run.seed + more})
    again = replace(task, scenario=task.scenario.model_copy(update={"run": seed}))
    if "plan" in vars(task):  # lowered in this process: the seed is no part of it
        vars(again)["plan"] = task.plan
    return again


def pool(points: Sequence[Point]) -> Point:
    """Replications of one scenario as one point: histograms joined, sums added, everything else averaged."""
    if len(points) == 1:
        return points[0]
    first = points[0].row
    latency = BatchedHistogram.joined([point.latency for point in points])
    rows = [point.row for point in points]
    cpu = CpuCores(**{name: _mean([getattr(row.cpu_cores, name) for row in rows]) for name in CpuCores.model_fields})
    errors = [row.model_error for row in rows]
    row = first.model_copy(
        update=_pooled_numbers(rows)
        | {
            "latency_us": Quantiles(**{name: estimate_quantile(latency, q) for name, q in QUANTILES.items()}),
            "mean_us": mean_interval(latency),
            "cpu_cores": cpu,
            "usd_month": points[0].price.usd_month(cpu.total, first.memory_mib),
            "requests": sum(row.requests for row in rows),
            "failed": sum(row.failed for row in rows),
            "events": sum(row.events for row in rows),
            "model_error": ModelError(
                **{name: _mean_band([getattr(error, name) for error in errors]) for name in ModelError.model_fields}
            ),
            "attribution": _mean_attribution([row.attribution for row in rows]),
            "tail": _mean_tail([row.tail for row in rows if row.tail is not None]),
            "audit": _all_audits([row.audit for row in rows]),
        }
    )
    row = rebased(row, first.reality)
    cpu_ns = {
        number << 40 | request: ns
        for number, point in enumerate(points)
        for request, ns in point.request_cpu_ns.items()
    }
    return Point(row, latency, cpu_ns, points[0].price)


def _pooled_numbers(rows: Sequence[Row]) -> dict[str, Any]:
    """Shares, rates and amounts averaged, counts by name added up: every field that is a float or such a table."""
    pooled: dict[str, Any] = {}
    for name in Row.model_fields:
        values = [getattr(row, name) for row in rows]
        if isinstance(values[0], float) and any(value != values[0] for value in values):
            pooled[name] = _mean(values)
        elif isinstance(values[0], dict):
            pooled[name] = {key: sum(value.get(key, 0) for value in values) for value in values for key in value}
    return pooled


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _mean_band(bands: Sequence[Band | None]) -> Band | None:
    """None where that is unknown: then it is of all, because they are of one scenario."""
    known = [band for band in bands if band is not None]
    if not known:
        return None
    return Band(low=_mean([band.low for band in known]), high=_mean([band.high for band in known]))


def _mean_attribution(each: Sequence[list[Attribution]]) -> list[Attribution]:
    sums: dict[tuple[str, str], list[float]] = {}
    for parts in each:
        for part in parts:
            spent = sums.setdefault((part.component, part.operation), [0.0, 0.0, 0.0])
            for number, us in enumerate((part.running_us, part.queueing_us, part.waiting_us)):
                spent[number] += us / len(each)
    largest_first = sorted(sums.items(), key=lambda item: (-sum(item[1]), item[0]))
    return [
        Attribution.model_validate(
            {"component": component, "operation": operation}
            | dict(zip(("running_us", "queueing_us", "waiting_us"), spent, strict=True))
        )
        for (component, operation), spent in largest_first
    ]


def _mean_tail(tails: Sequence[Tail]) -> Tail | None:
    if not tails:
        return None
    return Tail(
        typical=_mean_attribution([tail.typical for tail in tails]),
        slowest=_mean_attribution([tail.slowest for tail in tails]),
        throttled=sorted({operation for tail in tails for operation in tail.throttled}),
        slowest_from=_mean([tail.slowest_from for tail in tails]),
        typical_requests=sum(tail.typical_requests for tail in tails),
        slowest_requests=sum(tail.slowest_requests for tail in tails),
    )


def _all_audits(audits: Sequence[Audit]) -> Audit:
    """Good if all are good; what is wrong with any of them first, then the sentences of the first."""
    wrong = [
        f"{check} (replication {number})"
        for number, one in enumerate(audits)
        for check in one.checks
        if number and check.startswith(("FAILED", "WARNING"))
    ]
    return Audit(ok=all(one.ok for one in audits), checks=[*wrong, *audits[0].checks])


# Verdicts ------------------------------------------------------------------------------------------------------


def verdicts(points: Sequence[Point], of: Metric) -> list[Verdict]:
    """Each pair of data planes by latency, then by money."""
    pairs = list(combinations(points, 2))
    return [latency_verdict(a, b, of) for a, b in pairs] + [money_verdict(a, b) for a, b in pairs]


def latency_verdict(a: Point, b: Point, of: Metric) -> Verdict:
    """Which is faster at a quantile."""
    apart = quantile_difference(a.latency, b.latency, QUANTILES[of])
    words = {"p999": "p99.9"}.get(of, of)
    return _verdict(of, "us", f"{words} latency", a, b, apart)


def money_verdict(a: Point, b: Point) -> Verdict:
    """Which is cheaper."""
    return _verdict("usd_month", "USD/month", "price", a, b, usd_difference(a, b))


def _verdict(metric: str, unit: Literal["us", "USD/month"], words: str, a: Point, b: Point, apart: Estimate) -> Verdict:
    chance = probability_below_zero(apart, a.latency.batches)
    settled = chance is not None and (chance < DOUBT or chance > 1 - DOUBT)
    names = a.row.dataplane, b.row.dataplane
    lower, higher = names if (apart.value or 0.0) <= 0 else names[::-1]
    if chance is None:
        sentence = f"The {words} of {names[0]} and {names[1]} cannot be told apart: {apart.note}."
    else:
        sure = max(chance, 1 - chance)
        told = "P > 0.999" if sure > 0.999 else f"P = {sure:.3f}"
        if not settled:
            told += ", not settled"
        sentence = f"The {words} of {lower} is lower than that of {higher} by {_amount(apart, unit)}, 95 % ({told})."
    return Verdict(
        metric=metric, unit=unit, a=names[0], b=names[1], difference=apart, probability_a_lower=chance,
        settled=settled, sentence=sentence,
    )  # fmt: skip


def _amount(apart: Estimate, unit: str) -> str:
    """'1.8 ± 0.3 ms'."""
    assert apart.value is not None
    assert apart.low is not None
    assert apart.high is not None
    value, half = abs(apart.value), (apart.high - apart.low) / 2
    scale, name = (1000.0, "ms") if unit == "us" and value >= 1000 else (1.0, "µs" if unit == "us" else "$ a month")
    if not half:
        return f"{value / scale:.2f} {name}"
    digits = digits_for(half / scale)
    return f"{value / scale:.{digits}f} ± {half / scale:.{digits}f} {name}"
