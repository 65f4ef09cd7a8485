"""What a request costs a proxy as load rises: work that stays, and wake-ups that are shared.

One worker, two messages a request. A message costs work w, and a set-up s when it finds the worker asleep:

    CPU a request = 2 w + s x wake-ups a request

This is the queue with set-up times that the simulator runs, and what is fitted to open-loop rates up to saturation.
How often the worker sleeps is counted by the kernel. Where there is no single worker to count (Go moves its work
between threads), it is taken from how busy the proxy is: a share 1 - rho of messages finds it asleep.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from meshsim.costs.book import Cost
from meshsim.measure.bench import Bench
from meshsim.measure.book import cost
from meshsim.measure.experiment import Experiment, Sample, Samples
from meshsim.measure.fit import Floats, Line, figure, line
from meshsim.measure.proxy.kinds import ALL, ENVOY, Kind
from meshsim.measure.proxy.software import Role, start
from meshsim.measure.proxy.traffic import DIRECT_PORT, Demand, Pair

LOADS = (0.05, 0.15, 0.3, 0.45, 0.6, 0.75)
"""Open loop, as shares of what a closed loop reaches."""
FEW_LOADS = (0.05, 0.3, 0.6)
CONNECTIONS = (1, 4, 16, 64)
LOW_RATE = 500.0
"""Requests a second at which added latency is taken."""


def name(kind: Kind) -> str:
    """Of the experiment."""
    return f"proxy.{kind.key}.load"


def run(kind: Kind, bench: Bench) -> None:
    """Closed loop for the highest rate, shares of it in open loop, and added latency at a low rate."""
    pair = Pair.make(bench.lab)
    pair.redirect(Role().port)
    seconds, warm_up = (0.3, 0.1) if bench.quick else (1.0, 0.2)
    running = kind.beside(pair)
    watched = running.watched()

    def through(demand: Demand) -> dict[str, float]:
        return pair.drive(demand, **watched).readings()

    highest = 0.0
    connections = (16,) if bench.quick or kind is not ENVOY else CONNECTIONS
    for number in connections:
        demand = Demand(0, number, seconds=0.6 * seconds, warm_up=warm_up)
        sample = bench.measure({"loop": "closed", "connections": number}, partial(through, demand))
        highest = max(highest, sample.values["requests_per_second"])
    for load in FEW_LOADS if bench.quick or kind is not ENVOY else LOADS:
        demand = Demand(load * highest, 16, seconds=seconds, warm_up=warm_up)
        bench.measure({"loop": "open", "load": load}, partial(through, demand))
    pair.realtime(running.cgroup)
    low = Demand(LOW_RATE, 8, seconds=1.5 * seconds, warm_up=warm_up)
    bench.measure({"loop": "open", "path": "proxy"}, partial(through, low))
    bench.measure({"loop": "open", "path": "direct"}, lambda: pair.drive(low, port=DIRECT_PORT, **watched).readings())
    if kind is ENVOY and not bench.quick:
        _shared(pair, bench, low)


def _shared(pair: Pair, bench: Bench, low: Demand) -> None:
    """The same proxy in a pod of its own between the two, as a node's or a waypoint's; then with two workers."""
    node = pair.lab.pod("node")
    for workers in (1, 2):
        with pair.lab.scope():
            role = Role(upstream=(pair.server.address, DIRECT_PORT), workers=workers)
            running = start(ENVOY.software, role, node, cpus=pair.back, schedule="realtime")
            bench.measure(
                {"loop": "open", "path": "shared", "workers": workers},
                lambda running=running, role=role: pair.drive(  # type: ignore[misc]
                    low, port=role.port, pod=node, **running.watched()
                ).readings(),
            )


def wakeups(sample: Sample) -> float:
    """Of a request: counted, or two messages x (1 - rho)."""
    return sample.values.get("sleeps", 2 * max(0.0, 1 - sample.values["busy"]))


def points(samples: Samples, kind: Kind) -> Floats:
    """Rows (round, wake-ups a request, CPU ns a request) of the open-loop rates."""
    found = [
        (s.round, wakeups(s), s.values["cpu_ns"]) for s in samples.of(name(kind), loop="open") if "load" in s.settings
    ]
    return np.array(found, np.float64).reshape(-1, 3)


def law(samples: Samples, kind: Kind) -> Line | None:
    """2 w as the fixed term, s as that of a wake-up; None without samples."""
    rows = points(samples, kind)
    return line(rows) if len(rows) >= 2 else None


def without_wakeups(sample: Sample, found: Line) -> float:
    """CPU of a request less what the law takes for each of the few wake-ups that were counted, ns."""
    return sample.values["cpu_ns"] - max(0.0, found.per_unit.value) * wakeups(sample)


def added_latency(samples: Samples, kind: Kind, path: str = "proxy") -> Floats:
    """p50 through the proxy less p50 without, ns, one value a round."""
    rounds = {s.round: s for s in samples.of(name(kind), path="direct")}
    return np.array(
        [
            s.values["latency_p50_ns"] - rounds[s.round].values["latency_p50_ns"]
            for s in samples.of(name(kind), path=path)
            if s.round in rounds and s.settings.get("workers", 1) == 1
        ]
    )


def costs(samples: Samples) -> list[Cost]:
    """proxy.<software>.wakeup; what stays is priced in ``messages``."""
    return [c for kind in ALL for c in _costs(samples, kind)]


def _costs(samples: Samples, kind: Kind) -> list[Cost]:
    found = law(samples, kind)
    added = added_latency(samples, kind)
    if found is None or not len(added):
        return []
    low = [s for s in samples.of(name(kind), path="proxy") if samples.has(name(kind), path="direct")]
    # What CPU time does not explain of the added latency is waiting, half of it for each wake-up.
    waits = np.array([a - s.values["cpu_ns"] for a, s in zip(added, low, strict=True)]) / 2
    wait = figure(np.maximum(waits, 0.0))
    return [
        cost(
            f"proxy.{kind.key}.wakeup",
            "wake-up of an idle worker",
            experiment=name(kind),
            reference="CPU: the term s of CPU a request = 2 w + s x wake-ups, over open-loop rates up to saturation; "
            + ("wake-ups are counted by the kernel" if "sleeps" in low[0].values else "wake-ups are 2 (1 - rho)")
            + ". Waiting: p50 through the proxy less p50 without it at "
            f"{LOW_RATE:.0f} requests a second, less the CPU time of a request at that rate, halved"
            + _unexplained(added, low),
            conditions="HTTP/1.1, 64 B, 16 connections, one worker on a CPU of its own, redirected by iptables",
            cpu=found.per_unit,
            wait=wait,
            law="lognormal",
            cv=_cv(low),
            kernel_share=kernel_share(low),
            taken_off="the same path without the proxy, in the same round",
            raw=low[0],
        )
    ]


def _unexplained(added: Floats, low: list[Sample]) -> str:
    surplus = float(np.median([s.values["cpu_ns"] for s in low])) - float(np.median(added))
    if surplus <= 0:
        return "."
    return (
        f". There is none: CPU exceeds added latency by {surplus / 1000:.0f} us, the part of the work that is done "
        "when the message has gone."
    )


def kernel_share(samples: list[Sample]) -> float:
    """System time over all CPU time of the proxy, median over samples."""
    return float(np.median([s.values["kernel_share"] for s in samples])) if samples else 0.0


def _cv(low: list[Sample]) -> float:
    """From the upper half of latency, which a lognormal has as exp(1.2816 sigma)."""
    ratio = float(np.median([s.values["latency_p90_ns"] / s.values["latency_p50_ns"] for s in low]))
    sigma = np.log(max(ratio, 1.01)) / 1.2816
    return round(float(min(max(np.sqrt(np.expm1(sigma**2)), 0.05), 2.0)), 2)


EXPERIMENTS = [
    Experiment(
        name(kind),
        f"{kind.title}: CPU a request as rate and connections rise, added latency [ns]",
        partial(run, kind),
        seconds=18 if kind is ENVOY else 7.5,
        quick_seconds=3.5 if kind is ENVOY else None,
        needs=kind.needs,
    )
    for kind in ALL
]
