"""How long to simulate before measuring, when nobody says: long enough for the system to fill.

A warm-up that is a share of the requests alone would be over before the first request is answered when the rate is
high: at 45 000 requests a second, 300 requests are 7 ms.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from meshsim.engines import select
from meshsim.plan.lower import OverloadedError
from meshsim.plan.place import PlacementError
from meshsim.results.sample import Sample
from meshsim.results.transient import mser5
from meshsim.scenario.application import Application, Step
from meshsim.scenario.capabilities import CapabilityError
from meshsim.scenario.scale import visits
from meshsim.studies.pool import Progress, Stop, Tick, run_all
from meshsim.studies.setup import Prepared

SHARE = 0.1
LEAST_S = 0.02
TIMES_OVER = 10.0
"""The application's own time of a request is so often in the warm-up: that leaves room for proxies and queues, which
make a request a few times slower, and for the queues to reach their usual length."""
MOST = 10.0
"""Of ``meshsim.scenario.scenario.Run.warmup``."""


def warmup_share(application: Application, rps: float, requests: int) -> float:
    """Warm-up as a share of the measured requests: a tenth, or more where that would be too short a time.

    The same for every data plane, so that all of them measure the same requests.
    """
    seconds = max(LEAST_S, TIMES_OVER * own_time_s(application))
    return min(MOST, max(SHARE, math.ceil(rps * seconds) / requests))


PILOT_REQUESTS = 4_000
PILOT_SAMPLE = 1_000
"""Latencies that the series of a pilot run has, evenly spread: memory is bounded however long the run is."""
LONGEST_PILOT = 32_000
LEAST_SHARE = 0.01


@dataclass(frozen=True)
class Found:
    """A warm-up that pilot runs asked for."""

    share: float
    """Of the measured requests."""
    note: str


def find_warmup(
    tasks: Sequence[Prepared], requests: int, jobs: int, on_progress: Progress | None, should_stop: Stop | None
) -> Found | None:
    """Warm-up as a share of ``requests`` by MSER-5 over a pilot run of each task, which all begin empty.

    The longest one counts for all tasks, so that all of them measure the same requests. A pilot that has not settled
    is repeated twice as long. None if stopped.
    """
    longest, note = 0.0, ""
    length, left = PILOT_REQUESTS, [_pilot(task, PILOT_REQUESTS) for task in tasks]
    while left:
        found: dict[int, float] = {}
        complete = run_all(
            settled_after, left, size=length, jobs=jobs, on_result=found.__setitem__, on_progress=on_progress,
            should_stop=should_stop, threads=select.runs_on_threads(left[0].scenario.run.engine),
        )  # fmt: skip
        if not complete:
            return None
        longest = max([longest, *(after for after in found.values() if after < math.inf)])
        unsettled = [left[index] for index, after in sorted(found.items()) if after == math.inf]
        if length >= LONGEST_PILOT and unsettled:
            names = ", ".join(task.dataplane.name for task in unsettled)
            longest, note = float(length), f"{names}: latencies had not settled within {length:,} requests; "
            break
        length *= 2
        left = [_pilot(task, length) for task in unsettled]
    share = min(MOST, max(LEAST_SHARE, math.ceil(longest) / requests))
    return Found(share, f"{note}warm-up of {round(share * requests):,} requests, found by MSER-5 on pilot runs")


def _pilot(task: Prepared, requests: int) -> Prepared:
    run = task.scenario.run.model_copy(update={"requests": requests, "warmup": 0.0, "sample": PILOT_SAMPLE})
    return Prepared(
        task.scenario.model_copy(update={"run": run}), task.original, task.dataplane, task.machine, task.costs
    )


def settled_after(task: Prepared, tick: Tick, stop: Stop) -> float | None:
    """Requests after which a run has forgotten its beginning: infinite if it has not, 0 if it cannot be run."""
    try:
        plan = task.plan
    except (OverloadedError, PlacementError, CapabilityError):
        return 0.0
    result = select.run(plan, task.scenario.run, on_progress=tick, should_stop=stop)
    if result.cancelled:
        return None
    sample = Sample.of(result.records)
    order = np.argsort(sample.requests)
    after = mser5(sample.latency_ns[order].tolist())
    return math.inf if after is None else float(sample.requests[order][after]) if after else 0.0


def own_time_s(application: Application) -> float:
    """Mean time that one request computes and waits at all services together, without any mesh, seconds."""
    steps = {(s.name, e.name): e.steps for s in application.services for e in s.endpoints}
    return sum(often * _time_us(steps[place]) for place, often in visits(application).items()) / 1e6


def _time_us(steps: list[Step]) -> float:
    total = 0.0
    for step in steps:
        for spent in (step.compute, step.wait):
            total += spent.mean_us if spent is not None else 0.0
        total += sum(_time_us(branch) for branch in step.parallel or [])
    return total
