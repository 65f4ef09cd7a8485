"""Sockets joined past TCP: messages that sk_msg moves from one socket to the other, against the same pair over TCP."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import numpy as np

from meshsim.costs.book import Cost
from meshsim.measure.bench import Bench
from meshsim.measure.book import cost
from meshsim.measure.ebpf.attach import at_cgroup
from meshsim.measure.ebpf.objects import Loaded
from meshsim.measure.ebpf.system import attach_to_map, look_up, ran, statistics
from meshsim.measure.experiment import Experiment, Reading, Samples
from meshsim.measure.fit import Figure, figure, line
from meshsim.measure.kernel.connections import connections
from meshsim.measure.kernel.paths import TIMER, cores_to_compare, halves, pingpong, tcp
from meshsim.measure.lab import Cgroup

NAME = "ebpf.sockmap"
CONNECTIONS = "ebpf.sockmap-connection"
SIZES = (64, 1024, 4096, 16_384, 65_536)
QUICK_SIZES = (64, 16_384)
SMALL = 64
TCP_PORT, JOINED_PORT = 7500, 7501


@contextmanager
def joining(cgroup: Cgroup) -> Iterator[tuple[Loaded, int]]:
    """Connections to JOINED_PORT between processes of the cgroup are joined; gives the programs, and that of sk_msg."""
    with ExitStack() as stack:
        loaded = stack.enter_context(Loaded("sockmap", constants={"port": JOINED_PORT}))
        move = loaded.program("move", "sk_msg")
        attach_to_map(move, loaded.maps["sockets"])
        stack.enter_context(at_cgroup(loaded.program("join", "sockops"), "sockops", cgroup))
        yield loaded, move


def missed(loaded: Loaded) -> int:
    """Messages that went by TCP after all."""
    return int(struct.unpack("=Q", look_up(loaded.maps["missed"], bytes(4), 8) or bytes(8))[0])


def run(bench: Bench) -> None:
    """Round trips between two pods and within one, joined and over TCP in turns, by size, on one core and across."""
    lab = bench.lab
    lab.keep_awake()
    client, server, cgroup = lab.pod("client"), lab.pod("server"), lab.cgroup()
    paths = {
        "tcp": tcp(client, server, TCP_PORT), "sockmap": tcp(client, server, JOINED_PORT),
        "loopback-tcp": tcp(client, client, TCP_PORT), "loopback-sockmap": tcp(client, client, JOINED_PORT),
    }  # fmt: skip
    with joining(cgroup) as (loaded, move):
        for cores in cores_to_compare():
            for size in QUICK_SIZES if bench.quick else SIZES:

                def take(cores=cores, size=size) -> dict[str, Reading | str]:  # type: ignore[no-untyped-def]
                    before = missed(loaded)
                    found = pingpong(lab, cores, size, 0.15 if bench.quick else 0.4, paths, cgroup)
                    return {**found, "missed": float(missed(loaded) - before)}

                bench.measure({"cores": cores, "bytes": size}, take)

        def live() -> dict[str, Reading | str]:
            stop = statistics()
            try:
                before = ran(move)
                pingpong(lab, "same", SMALL, 0.1, {"sockmap": paths["sockmap"]}, cgroup)
                after = ran(move)
            finally:
                os.close(stop)
            return {
                "sk_msg_run_ns": (after[0] - before[0]) / max(1, after[1] - before[1]),
                "sk_msg_runs": float(after[1] - before[1]),
            }  # fmt: skip

        bench.measure({"live": 1, "bytes": SMALL}, live)


def run_connections(bench: Bench) -> None:
    """New connections that are joined and ones that are not, in turns."""
    lab = bench.lab
    lab.keep_awake()
    client, cgroup = lab.pod("client"), lab.cgroup()
    paths = {"tcp": tcp(client, client, TCP_PORT), "sockmap": tcp(client, client, JOINED_PORT)}
    with joining(cgroup):
        bench.measure({}, lambda: connections(lab, "same", 0.3 if bench.quick else 1.0, paths, cgroup))


def costs(samples: Samples) -> list[Cost]:
    """kernel.sockmap.message, kernel.redirect.sockmap.connection."""
    made: list[Cost] = []
    rows = halves(samples, NAME, "sockmap_round_trip_ns", cores="same")
    if len(np.unique(rows[:, 1])) > 1:
        live = samples.values(NAME, "sk_msg_run_ns", live=1)
        of_that = f" Of it, {np.median(live):.0f} ns in the program, by live run statistics." if len(live) else ""
        plain = samples.values(NAME, "tcp_round_trip_ns", cores="same", bytes=SMALL)
        made.append(
            cost(
                "kernel.sockmap.message",
                "message, both ends",
                experiment=NAME,
                reference="half a round trip between two pods whose sockets are joined by sockops and sk_msg, both "
                "processes pinned to one core, where what elapses is what they use. The same pair over TCP, veth and "
                f"bridge, {SMALL} bytes: {np.median(plain) / 2:.0f} ns.{of_that} wait: the wake-up of the reader, what "
                "half a round trip takes longer across cores than on one core",
                conditions="one message at a time, reader asleep",
                cpu=line(rows),
                wait=_wake_up(samples),
                kernel_share=1.0,
                taken_off=TIMER,
                raw=samples.of(NAME, cores="same", bytes=SMALL)[0],
                metric="sockmap_round_trip_ns",
            )
        )
    found = samples.of(CONNECTIONS)
    if found:
        more = [s.values["sockmap_connection_ns"] - s.values["tcp_connection_ns"] for s in found]
        made.append(
            cost(
                "kernel.redirect.sockmap.connection",
                "connection, both ends",
                experiment=CONNECTIONS,
                reference="new connections on loopback of a pod that sockops puts into the map, less ones that it sees "
                "and leaves alone, in turns; both processes pinned to one core",
                cpu=figure(more),
                kernel_share=1.0,
                taken_off=TIMER,
                raw=found[0],
                metric="sockmap_connection_ns",
            )
        )
    return made


def _wake_up(samples: Samples) -> Figure | None:
    metric = "sockmap_round_trip_ns"
    same = {s.round: s.values[metric] for s in samples.of(NAME, cores="same", bytes=SMALL)}
    other = {s.round: s.values[metric] for s in samples.of(NAME, cores="other", bytes=SMALL)}
    both = sorted(same.keys() & other.keys())
    return figure([(other[number] - same[number]) / 2 for number in both]) if both else None


NEEDS = ("root", "compiler", "namespaces", "ip", "cgroup", "bpf")
EXPERIMENTS = [
    Experiment(
        NAME,
        "messages moved from socket to socket by sk_msg against TCP, by size, on one core and across cores [ns]",
        run, seconds=6, quick_seconds=1.6, needs=NEEDS,
    ),
    Experiment(
        CONNECTIONS,
        "new connections that are joined by sockops, against ones that are not [ns]",
        run_connections, seconds=1.8, quick_seconds=0.9, needs=NEEDS,
    ),
]  # fmt: skip
