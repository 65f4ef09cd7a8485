"""Messages through sockets: TCP on loopback and from pod to pod over veth and bridge, and unix sockets, by size."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from meshsim.costs.book import Cost
from meshsim.measure.bench import Bench
from meshsim.measure.book import cost
from meshsim.measure.doctor import capability
from meshsim.measure.experiment import Experiment, Samples
from meshsim.measure.fit import Figure, figure, line
from meshsim.measure.kernel.paths import TIMER, cores_to_compare, halves, loopback, pingpong, tcp

NAME = "kernel.sockets"
SIZES = (64, 1024, 4096, 16_384, 65_536)
QUICK_SIZES = (64, 4096, 65_536)
SMALL = 64


def run(bench: Bench) -> None:
    """Round trips over loopback, veth + bridge and a unix socket in turn, by size, on one core and across cores."""
    lab = bench.lab
    lab.keep_awake()
    if capability("namespaces").ok and capability("ip").ok:
        client, server = lab.pod("client"), lab.pod("server")
        paths = {"loopback": tcp(client, client, 7001), "veth": tcp(client, server, 7002), "unix": "unix"}
    else:
        paths = {"loopback": loopback(), "unix": "unix"}
    for cores in cores_to_compare():
        for size in QUICK_SIZES if bench.quick else SIZES:
            seconds = 0.15 if bench.quick else 0.5
            bench.measure({"cores": cores, "bytes": size}, partial(pingpong, lab, cores, size, seconds, paths))


def costs(samples: Samples) -> list[Cost]:
    """kernel.tcp.send and .receive, kernel.wakeup, kernel.wire.same-node, kernel.unix.message."""
    if not samples.has(NAME, cores="same", bytes=SMALL):
        return []
    by_message = partial(halves, samples, NAME, cores="same")
    send = samples.points(NAME, "bytes", "loopback_send_ns", cores="same")
    both = by_message("loopback_round_trip_ns")
    receive = np.column_stack([both[:, :2], both[:, 2] - send[:, 2]])
    raw = samples.of(NAME, cores="same", bytes=SMALL)[0]
    rule = (
        "TCP on loopback between two processes pinned to one core, where what elapses is what they use: half a round "
        "trip is one send and one receive. Send is the time inside the sending call (through the stack to the other "
        "socket, waking the reader, as the kernel charges it); receive is the rest (switch to the reader, its call)"
    )
    sending, receiving = line(send), line(receive)
    sent, received = _bytes_across_cores(samples)
    if sent and received:
        rule += (
            ". A byte: what it takes longer from one core to another, where it is not read from the cache into which "
            f"it was written; on one core {sending.per_unit.value:.3f} and {receiving.per_unit.value:.3f} ns"
        )
        sending, receiving = replace(sending, per_unit=sent), replace(receiving, per_unit=received)
    made = [
        cost(
            "kernel.tcp.send",
            "message",
            experiment=NAME,
            reference=rule,
            conditions="one message at a time, reader asleep; payload in one write",
            cpu=sending,
            kernel_share=1.0,
            taken_off=TIMER,
            raw=raw,
            metric="loopback_send_ns",
        ),
        cost(
            "kernel.tcp.receive",
            "message",
            experiment=NAME,
            reference=f"{rule}. wait: the wake-up of a reader on another core, what half a round trip of {SMALL} bytes "
            "takes longer across cores than on one core; not waited for where kernel.wakeup is",
            conditions="one message at a time, reader asleep on a core that is awake",
            cpu=receiving,
            wait=_cross_core(samples, "loopback"),
            kernel_share=1.0,
            taken_off=TIMER,
            raw=raw,
            metric="loopback_round_trip_ns",
        ),
        cost(
            "kernel.unix.message",
            "message, both ends",
            experiment=NAME,
            reference="half a round trip through a unix stream socket between two processes pinned to one core. wait: "
            "what it takes longer across cores",
            cpu=line(by_message("unix_round_trip_ns")),
            wait=_cross_core(samples, "unix"),
            kernel_share=1.0,
            taken_off=TIMER,
            raw=raw,
            metric="unix_round_trip_ns",
        ),
    ]
    made += _wakeup(samples)
    wire = by_message("veth_round_trip_ns", "loopback_round_trip_ns")
    if len(wire):
        made.append(
            cost(
                "kernel.wire.same-node",
                "message",
                experiment=NAME,
                reference="half a round trip from pod to pod over veth and bridge less half of one on loopback, in "
                "turns. cpu: on one core; the sender does it inside its sending call. wait: what is more across cores. "
                f"No straight line: {_steps(samples)}",
                cpu=line(wire),
                wait=_wire_wait(samples),
                kernel_share=1.0,
                taken_off=TIMER,
                raw=raw,
                metric="veth_round_trip_ns",
            )
        )
    return made


def _paired(samples: Samples, metric: str) -> NDArray[np.float64]:
    """Of each round that has both, what a metric of small messages is more across cores than on one core."""
    same, other = (
        {s.round: s.values[metric] for s in samples.of(NAME, cores=cores, bytes=SMALL) if metric in s.values}
        for cores in ("same", "other")
    )
    return np.array([other[number] - same[number] for number in sorted(same.keys() & other.keys())])


def _steps(samples: Samples) -> str:
    """The costs behind the line from pod to pod, which jumps where a message needs more than one segment."""
    rows = halves(samples, NAME, "veth_round_trip_ns", "loopback_round_trip_ns", cores="same")
    steps = [f"{np.median(rows[rows[:, 1] == size, 2]):.0f} ns at {size:.0f} bytes" for size in np.unique(rows[:, 1])]
    return ", ".join(steps) + ": what is more than one segment draws an acknowledgement of its own"


def _cross_core(samples: Samples, path: str) -> Figure | None:
    more = _paired(samples, f"{path}_round_trip_ns")
    return figure(more / 2) if len(more) else None  # not the smallest: where a virtual machine's cores are is no noise


def _bytes_across_cores(samples: Samples) -> tuple[Figure, Figure] | tuple[None, None]:
    """What a byte takes to send and to receive between two cores, ns of CPU."""
    sent, used = (samples.points(NAME, "bytes", f"loopback_{what}_ns", cores="other") for what in ("send", "own_cpu"))
    if not len(sent):
        return None, None
    received = np.column_stack([used[:, :2], used[:, 2] - sent[:, 2]])
    return line(sent).per_unit, line(received).per_unit


def _wakeup(samples: Samples) -> list[Cost]:
    """kernel.wakeup: what a message takes more if its reader sleeps on another core."""
    more = _paired(samples, "loopback_own_cpu_ns")
    if not len(more):
        return []
    return [
        cost(
            "kernel.wakeup",
            "wake-up of a thread that sleeps on another core, by a message",
            experiment=NAME,
            reference=f"round trips of {SMALL} bytes over TCP on loopback between two cores against the same on one "
            "core. cpu: what a process that sleeps and is woken once a round trip is charged more (the call that wakes "
            "the other, and to fall asleep, included). wait: what half a round trip takes longer, that work included "
            "as far as the other end waits for it",
            conditions="the other core is awake (it spins at idle priority), so no sleep state has to be left",
            cpu=figure(more),
            wait=_cross_core(samples, "loopback"),
            kernel_share=1.0,
            taken_off=TIMER,
            raw=samples.of(NAME, cores="other", bytes=SMALL)[0],
            metric="loopback_round_trip_ns",
        )
    ]


def _wire_wait(samples: Samples) -> Figure | None:
    veth, loopback = (_paired(samples, f"{path}_round_trip_ns") for path in ("veth", "loopback"))
    return figure((veth - loopback) / 2) if len(veth) else None


EXPERIMENTS = [
    Experiment(
        NAME,
        "TCP on loopback and over veth + bridge, unix sockets, by size, on one core and across cores [ns]",
        run, seconds=6.5, quick_seconds=1.6, needs=("compiler",),
    )
]  # fmt: skip
