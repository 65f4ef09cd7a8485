"""What a request costs a proxy as load rises: work that stays, wake-ups and turns of the event loop that are shared.

One worker, two messages a request. A message costs work w; a set-up s when it finds the worker asleep; and t for each
turn of the event loop, in which all is served that was ready when it began:

    CPU a request = 2 w + s x wake-ups a request + t x turns a request + what is due to long sleep (``cold``)

This is the queue with set-up times and turns that the simulator runs. How often the worker sleeps is counted by the
kernel, how often its loop turns by Envoy itself (``turns``), in open loop up to saturation and in closed loop with few
and with many connections. w and t are those of a protocol, s is of the kernel and one for all.

Other proxies do not say how often they turn: t is 0, and part of s. Where there is no single worker to count (Go moves
its work between threads), sleeps are taken from how busy the proxy is: a share 1 - rho of messages finds it asleep.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from meshsim.costs.book import Cost
from meshsim.measure.bench import Bench
from meshsim.measure.book import cost
from meshsim.measure.experiment import Experiment, Sample, Samples, Setting
from meshsim.measure.fit import AfterSleep, Figure, Floats, figure, line, of_random_sleeps, terms
from meshsim.measure.proxy import cold
from meshsim.measure.proxy.envoy import Envoy
from meshsim.measure.proxy.kinds import ALL, ENVOY, Kind
from meshsim.measure.proxy.software import Role, start
from meshsim.measure.proxy.traffic import DIRECT_PORT, Demand, Pair, Protocol, kernel_share
from meshsim.measure.proxy.turns import passes

LOADS = (0.05, 0.15, 0.3, 0.45, 0.6, 0.75)
"""Open loop, as shares of what a closed loop reaches."""
FEW_LOADS = (0.05, 0.3, 0.6)
CONNECTIONS = (1, 2, 4, 16, 64)
CLOSED = 16
"""Connections of the closed loops in which messages are priced."""
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
    if kind is ENVOY and not bench.quick:
        with bench.lab.scope():
            _rising(kind, bench, pair, "tcp", CONNECTIONS, FEW_LOADS, seconds)
    with bench.lab.scope():
        few = bench.quick or kind is not ENVOY
        _rising(kind, bench, pair, "http1", (CLOSED,) if few else CONNECTIONS, FEW_LOADS if few else LOADS, seconds)
    running = kind.beside(pair)
    watched = running.watched()
    pair.realtime(running.cgroup)
    low = Demand(LOW_RATE, 8, seconds=1.5 * seconds, warm_up=warm_up)
    bench.measure({"loop": "open", "path": "proxy"}, lambda: pair.drive(low, **watched).readings())
    bench.measure({"loop": "open", "path": "direct"}, lambda: pair.drive(low, port=DIRECT_PORT, **watched).readings())
    if kind is ENVOY and not bench.quick:
        _shared(pair, bench, low)


def _rising(
    kind: Kind,
    bench: Bench,
    pair: Pair,
    protocol: Protocol,
    connections: tuple[int, ...],
    loads: tuple[float, ...],
    seconds: float,
) -> None:
    """One protocol in closed loop with so many connections, then at shares of the highest rate."""
    counting = replace(kind.software, counts=True) if isinstance(kind.software, Envoy) else None
    watched = kind.beside(pair, protocol, counting).watched()
    bytes_ = 64 if protocol == "tcp" else 0

    def through(rate: float, connections: int, seconds: float) -> dict[str, float]:
        demand = Demand(rate, connections, protocol, bytes_, seconds=seconds, warm_up=0.2 * seconds)
        before = passes(pair.server) if counting else 0
        found = pair.drive(demand, **watched)
        readings = found.readings()
        if counting:  # they are counted during the warm-up too
            answered = found.answered * (1 + demand.warm_up / demand.seconds)
            readings["passes"] = (passes(pair.server) - before) / answered
        return readings

    highest = 0.0
    for number in connections:
        settings: dict[str, Setting] = {"protocol": protocol, "loop": "closed", "connections": number}
        sample = bench.measure(settings, partial(through, 0.0, number, 0.6 * seconds))
        highest = max(highest, sample.values["requests_per_second"])
    for load in loads:
        settings = {"protocol": protocol, "loop": "open", "load": load}
        bench.measure(settings, partial(through, load * highest, CLOSED, seconds))


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
    values = sample.values
    return values["sleeps"] if "sleeps" in values else 2 * max(0.0, 1 - values["busy"])


@dataclass(frozen=True)
class Law:
    """CPU of a request, ns."""

    work: dict[str, Figure]
    """2 w by protocol."""
    wakeup: Figure
    """s"""
    turn: dict[str, Figure]
    """t by protocol; empty where turns were not counted."""
    turns_in_closed_loop: dict[str, float]
    """By protocol, a request, with ``CLOSED`` connections."""
    residuals: dict[str, float]

    def busy(self, sample: Sample) -> float:
        """CPU of a request in a closed loop of ``CLOSED`` connections less its turns and the few wake-ups that were
        counted, ns. Protocols whose turns were not counted have those of HTTP/1.1."""
        protocol = "tcp" if sample.settings.get("protocol") == "tcp" else "http1"
        turning = self.turn[protocol].value * self.turns_in_closed_loop[protocol] if self.turn else 0.0
        return sample.values["cpu_ns"] - turning - max(0.0, self.wakeup.value) * wakeups(sample)


def points(samples: Samples, kind: Kind) -> Floats:
    """Rows (round, wake-ups a request, CPU ns a request) of the open-loop rates of HTTP/1.1."""
    found = [(s.round, wakeups(s), s.values["cpu_ns"]) for s in _rates(samples, kind) if _protocol(s) == "http1"]
    return np.array(found, np.float64).reshape(-1, 3)


def _rates(samples: Samples, kind: Kind) -> list[Sample]:
    return [s for s in samples.of(name(kind), loop="open") if "load" in s.settings]


def _protocol(sample: Sample) -> str:
    return str(sample.settings.get("protocol", "http1"))


def law(samples: Samples, kind: Kind) -> Law | None:
    """The terms; None without samples."""
    counted = [s for s in samples.of(name(kind)) if "passes" in s.values]
    if counted:
        return _with_turns(counted, cold.fitted(samples) if kind is ENVOY else None)
    rows = points(samples, kind)
    if len(rows) < 2:
        return None
    found = line(rows)
    return Law({"http1": found.fixed}, found.per_unit, {}, {}, found.residuals)


def _after_sleep(sample: Sample, found: AfterSleep | None) -> float:
    """CPU of a request that is due to sleep, ns: the first of its messages may find the worker asleep for long."""
    if found is None or sample.settings["loop"] == "closed":
        return 0.0
    long = of_random_sleeps(np.array([cold.sleep_ns(sample)]), found.half_ns)
    return float(min(1.0, wakeups(sample)) * found.most.value * long[0])


def _with_turns(counted: list[Sample], after_sleep: AfterSleep | None) -> Law:
    protocols = sorted({_protocol(s) for s in counted})
    alone = [s.values["passes"] / 2 for s in counted if s.settings.get("connections") == 1]
    a_turn = float(np.median(alone)) if alone else 2.0
    rows = []
    for s in counted:
        mine = [float(_protocol(s) == protocol) for protocol in protocols]
        turns = s.values["passes"] / a_turn
        rows.append(
            [
                s.round,
                *mine,
                *(turns * here for here in mine),
                wakeups(s),
                s.values["cpu_ns"] - _after_sleep(s, after_sleep),
            ]
        )
    figures, residuals = terms(np.array(rows))
    closed: dict[str, list[float]] = {protocol: [] for protocol in protocols}
    for s in counted:
        if s.settings.get("connections") == CLOSED:
            closed[_protocol(s)].append(s.values["passes"] / a_turn)
    n = len(protocols)
    return Law(
        dict(zip(protocols, figures, strict=False)),
        figures[-1],
        dict(zip(protocols, figures[n:], strict=False)),
        {protocol: float(np.median(found)) for protocol, found in closed.items() if found},
        residuals,
    )


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
    """proxy.<software>.{wakeup,turn,tcp.turn}; what stays is priced in ``messages``."""
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
    formula = "2 w + s x wake-ups" + (" + t x turns" if found.turn else "")
    made = [
        cost(
            f"proxy.{kind.key}.wakeup",
            "wake-up of an idle worker",
            experiment=name(kind),
            reference=f"CPU: the term s of CPU a request = {formula}, over "
            + ("closed loops and " if found.turn else "")
            + "open-loop rates up to saturation; "
            + ("wake-ups are counted by the kernel" if "sleeps" in low[0].values else "wake-ups are 2 (1 - rho)")
            + ". Waiting: p50 through the proxy less p50 without it at "
            f"{LOW_RATE:.0f} requests a second, less the CPU time of a request at that rate, halved"
            + _unexplained(added, low),
            conditions="HTTP/1.1, 64 B, 16 connections, one worker on a CPU of its own, redirected by iptables",
            cpu=found.wakeup,
            wait=wait,
            law="lognormal",
            cv=_cv(low),
            kernel_share=kernel_share(low),
            taken_off="the same path without the proxy, in the same round",
            raw=low[0],
        )
    ]
    for protocol, turn in found.turn.items():
        seen = [s for s in samples.of(name(kind)) if "passes" in s.values and _protocol(s) == protocol]
        made.append(
            cost(
                f"proxy.{kind.key}.{'tcp.turn' if protocol == 'tcp' else 'turn'}",
                "turn of the event loop: all messages that were ready when it began",
                experiment=name(kind),
                reference=f"the term t of CPU a request = {formula}, over closed loops of {CONNECTIONS[0]} to "
                f"{CONNECTIONS[-1]} connections and open-loop rates; turns are counted by Envoy's dispatcher, in units "
                "of the two passes that a message alone takes. Contained is what the first message finds cold",
                conditions=("bytes of TCP" if protocol == "tcp" else "HTTP/1.1") + ", 64 B, one worker on a CPU of its "
                "own, redirected by iptables",
                cpu=turn,
                kernel_share=kernel_share(seen) or kernel_share(low),
                taken_off="wake-ups, and the work of each message",
            )
        )
    return made


def _unexplained(added: Floats, low: list[Sample]) -> str:
    surplus = float(np.median([s.values["cpu_ns"] for s in low])) - float(np.median(added))
    if surplus <= 0:
        return "."
    return (
        f". There is none: CPU exceeds added latency by {surplus / 1000:.0f} us, the part of the work that is done "
        "when the message has gone."
    )


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
        seconds=45 if kind is ENVOY else 7.5,
        quick_seconds=3.5 if kind is ENVOY else None,
        needs=kind.needs,
    )
    for kind in ALL
]
