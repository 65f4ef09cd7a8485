"""How long to simulate before measuring, when nobody says: long enough for the system to fill.

A warm-up that is a share of the requests alone would be over before the first request is answered when the rate is
high: at 45 000 requests a second, 300 requests are 7 ms.
"""

from __future__ import annotations

import math

from meshsim.scenario.application import Application, Step
from meshsim.scenario.scale import visits

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
