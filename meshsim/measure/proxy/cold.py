"""After a sleep: what an Envoy worker works more the longer no request has come."""

from __future__ import annotations

from functools import partial

import numpy as np

from meshsim.costs.book import Cost
from meshsim.measure.bench import Bench
from meshsim.measure.book import cost
from meshsim.measure.experiment import Experiment, Sample, Samples
from meshsim.measure.fit import AfterSleep, Floats, after_sleep, of_random_sleeps
from meshsim.measure.proxy.kinds import ENVOY
from meshsim.measure.proxy.software import Role
from meshsim.measure.proxy.traffic import DIRECT_PORT, Demand, Pair, kernel_share

NAME = "proxy.envoy.cold"
RATES = (1000.0, 400.0, 150.0, 50.0)
QUICK_RATES = (1000.0, 250.0, 60.0)
"""Requests a second, few enough that nearly each finds the worker asleep."""


def run(bench: Bench) -> None:
    """A closed loop of one connection, then open loop at low rates; and what the proxy works all the time, whether
    anything comes or not."""
    pair = Pair.make(bench.lab)
    pair.redirect(Role().port)
    watched = ENVOY.beside(pair).watched()
    seconds = 0.8 if bench.quick else 2.0

    def through(rate: float, port: int | None = None) -> dict[str, float]:
        demand = Demand(rate, 1, seconds=seconds, warm_up=0.2)
        return (pair.drive(demand, port=port, **watched) if port else pair.drive(demand, **watched)).readings()

    for rate in (0.0, *(QUICK_RATES if bench.quick else RATES)):
        bench.measure({"path": "proxy", "rps": rate}, partial(through, rate))
    bench.measure({"path": "direct", "rps": RATES[-1]}, partial(through, RATES[-1], DIRECT_PORT))


def points(samples: Samples) -> Floats:
    """Rows (round, mean sleep ns a request, CPU ns a request without what the proxy works all the time)."""
    idle = {s.round: s.values["busy"] for s in samples.of(NAME, path="direct")}
    found = [
        (s.round, sleep_ns(s), s.values["cpu_ns"] - idle[s.round] * 1e9 / s.values["requests_per_second"])
        for s in samples.of(NAME, path="proxy")
        if s.round in idle
    ]
    return np.array(found, np.float64).reshape(-1, 3)


def sleep_ns(sample: Sample) -> float:
    """For which the proxy does nothing between two requests."""
    idle = max(0.0, 1 - sample.values["busy"])
    return max(1.0, idle * 1e9 / sample.values["requests_per_second"])


def fitted(samples: Samples) -> AfterSleep | None:
    """None without samples."""
    rows = points(samples)
    return after_sleep(rows, of_random_sleeps) if len(np.unique(np.round(np.log(rows[:, 1])))) > 2 else None


def costs(samples: Samples) -> list[Cost]:
    """proxy.envoy.cold."""
    found = fitted(samples)
    if found is None:
        return []
    return [
        cost(
            "proxy.envoy.cold",
            "wake-up of a worker after a very long sleep",
            experiment=NAME,
            reference="a closed loop of one connection, and open-loop rates from "
            f"{RATES[0]:.0f} down to {RATES[-1]:.0f} requests a second: CPU a request = base + this x sleep / "
            "(sleep + cv ms), sleeps being as random as the arrivals. Of the two messages of a request the first alone "
            "comes after a long sleep",
            conditions="HTTP/1.1, 64 B, one connection, one worker on a CPU of its own, redirected by iptables; "
            "nothing else on that CPU but a process of idle priority that spins in its registers",
            cpu=found.most,
            law="cold",
            cv=round(found.half_ns / 1e6, 2),
            kernel_share=kernel_share(samples.of(NAME, path="proxy")),
            taken_off="what the proxy works in the same time when requests pass it by, in the same round",
        )
    ]


EXPERIMENTS = [
    Experiment(
        NAME,
        "Envoy at low rates: CPU a request by how long its worker slept [ns]",
        run,
        seconds=14.0,
        quick_seconds=6.0,
        needs=ENVOY.needs,
    )
]
