"""cgroup/connect4: a connection is sent elsewhere when it is made, and no packet of it is touched afterwards.

What the program adds to connect() is measured on a UDP socket, whose connect() runs the same hook, chooses a route and
sends nothing: there a tenth of a microsecond can be seen. Real TCP connections and messages are the cross-check.
"""

from __future__ import annotations

import json
import os
import socket
import struct
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

import numpy as np
from numpy.typing import NDArray

from meshsim.costs.book import Cost
from meshsim.measure.bench import Bench
from meshsim.measure.book import cost
from meshsim.measure.doctor import capability
from meshsim.measure.ebpf.attach import at_cgroup
from meshsim.measure.ebpf.objects import Loaded
from meshsim.measure.ebpf.system import ran, statistics, update_many
from meshsim.measure.experiment import Experiment, Reading, Samples
from meshsim.measure.fit import Figure, figure
from meshsim.measure.kernel.connections import connections
from meshsim.measure.kernel.netfilter import default_backend, service_pod
from meshsim.measure.kernel.paths import TIMER, pingpong, tcp
from meshsim.measure.lab import Cgroup, Lab, Pod
from meshsim.measure.native import tool

HOOK = "ebpf.connect4"
REAL = "ebpf.connect4-real"
SERVICES = (1, 100, 1000, 10_000)
SERVICE, ELSEWHERE, SERVICE_PORT = "10.96.0.1", "10.98.0.1", 80
POD_PORT, PROXY_PORT = 7400, 15_001
SMALL = 64
Drive = Callable[..., dict[str, NDArray[np.float64]]]
TURNS = 3
"""So often all variants are gone through in a round."""


def fill(loaded: Loaded, services: int, pod: str, port: int) -> None:
    """So many services, ours among them."""
    keys = b"".join(
        socket.inet_aton(f"10.{100 + n // 65_536}.{n // 256 % 256}.{n % 256}") + struct.pack(">HH", SERVICE_PORT, 0)
        for n in range(1, services)
    ) + _address(SERVICE, SERVICE_PORT)
    update_many(loaded.maps["services"], keys, _address(pod, port) * services, services)


def _address(host: str, port: int) -> bytes:
    return socket.inet_aton(host) + struct.pack(">HH", port, 0)


def _number(host: str) -> int:
    return int(struct.unpack("=I", socket.inet_aton(host))[0])


def capturing() -> Loaded:
    """Everything is sent to a proxy on loopback."""
    return Loaded("service", constants={"proxy_ip": _number("127.0.0.1"), "proxy_port": socket.htons(PROXY_PORT)})


def run(bench: Bench) -> None:
    """connect() without a program, with one that does nothing, with 1 … 10 000 services, captured; getsockopt()."""
    lab = bench.lab
    lab.keep_awake()
    client, server, cgroup = _client(lab), lab.pod("server"), lab.cgroup()
    count = 4000 if bench.quick else 20_000
    with ExitStack() as stack:
        variants: dict[str, tuple[str, list[tuple[int, str]]]] = {"none": (server.address, [])}
        first = stack.enter_context(Loaded("service"))
        variants["nothing"] = (server.address, [(first.program("nothing", "connect4"), "connect4")])
        for services in SERVICES:
            loaded = stack.enter_context(Loaded("service"))
            fill(loaded, services, server.address, POD_PORT)
            variants[f"services-{services}"] = (SERVICE, [(loaded.program("balance", "connect4"), "connect4")])
        capture = stack.enter_context(capturing())
        variants["captured"] = (ELSEWHERE, [(capture.program("capture", "connect4"), "connect4")])
        variants["to-loopback"] = ("127.0.0.1", [])
        variants["asked"] = ("", [(capture.program("original", "getsockopt"), "getsockopt")])
        variants["not-asked"] = ("", [])

        def take() -> dict[str, Reading | str]:
            found: dict[str, list[float]] = {name: [] for name in variants}
            for _ in range(1 if bench.quick else TURNS):
                for name, (address, programs) in variants.items():
                    what = ["connect", address, str(SERVICE_PORT)] if address else ["original"]
                    argv = [str(tool("hooks")), *what, str(count)]
                    with ExitStack() as attached:
                        for program, kind in programs:
                            attached.enter_context(at_cgroup(program, kind, cgroup))
                        done = lab.call(argv, pod=client, cgroup=cgroup, cpus=_one_cpu(), schedule="realtime")
                    found[name] += json.loads(done)["call_ns"]
            return {f"{name}_call_ns": values for name, values in found.items()}

        bench.measure({}, take)


def _client(lab: Lab) -> Pod:
    pod = lab.pod("client")
    pod.run(["ip", "route", "add", "default", "via", lab.gateway])
    return pod


def _one_cpu() -> list[int]:
    return [min(os.sched_getaffinity(0))]


def run_real(bench: Bench) -> None:
    """TCP connections and messages: direct, by service address through connect4 and through iptables, captured."""
    lab = bench.lab
    lab.keep_awake()
    client, server = _client(lab), lab.pod("server")
    balanced, captured = lab.cgroup(), lab.cgroup()
    by_service = {
        "direct": tcp(client, server, POD_PORT),
        "service": tcp(client, server, POD_PORT + 1, connect=(SERVICE, SERVICE_PORT)),
    }
    if capability("iptables").ok and not bench.quick:
        by_service["iptables"] = service_pod(lab, default_backend(), 0, server, POD_PORT + 2).service()
    by_proxy = {
        "loopback": tcp(client, client, POD_PORT + 3),
        "captured": tcp(client, client, PROXY_PORT, connect=(ELSEWHERE, SERVICE_PORT)),
    }
    share = 0.12 if bench.quick else 0.4
    with ExitStack() as stack:
        services = stack.enter_context(Loaded("service"))
        fill(services, 1000, server.address, POD_PORT + 1)
        stack.enter_context(at_cgroup(services.program("balance", "connect4"), "connect4", balanced))
        capture = stack.enter_context(capturing())
        programs = capture.program("capture", "connect4"), capture.program("established", "sockops")
        stack.enter_context(at_cgroup(programs[0], "connect4", captured))
        stack.enter_context(at_cgroup(programs[1], "sockops", captured))
        for what, drive in (("connection", connections), ("message", partial(pingpong, size=SMALL))):

            def take(drive: Drive = drive) -> dict[str, Reading | str]:
                found: dict[str, Reading | str] = {}
                for paths, cgroup in ((by_service, balanced), (by_proxy, captured)):
                    found |= drive(lab, "same", seconds=share * len(paths), paths=paths, cgroup=cgroup)
                return {m: v for m, v in found.items() if m.endswith(("connection_ns", "round_trip_ns"))}

            bench.measure({"what": what}, take)
        nothing = services.program("nothing", "connect4")
        bench.measure({"what": "live"}, lambda: _live(lab, by_proxy, captured, programs, nothing))


def _live(
    lab: Lab, paths: dict[str, str], cgroup: Cgroup, programs: tuple[int, int], nothing: int
) -> dict[str, Reading | str]:
    """What sockops costs a captured connection, by the kernel's run statistics, their own cost taken off."""
    stop = statistics()
    try:
        before = [ran(program) for program in programs]
        connections(lab, "same", 0.1, {"captured": paths["captured"]}, cgroup)
        made, noted = (_difference(old, ran(program)) for old, program in zip(before, programs, strict=True))
        with at_cgroup(nothing, "connect4", cgroup):
            idle = ran(nothing)
            argv = [str(tool("hooks")), "connect", "127.0.0.1", str(SERVICE_PORT), "4000"]
            lab.call(argv, cgroup=cgroup, cpus=_one_cpu(), schedule="realtime")
            empty = _difference(idle, ran(nothing))
    finally:
        os.close(stop)
    floor = empty[0] / max(1, empty[1])
    return {
        "sockops_run_ns": noted[0] / max(1, noted[1]) - floor, "sockops_runs": float(noted[1]),
        "connections": float(made[1]), "statistics_ns": floor,
    }  # fmt: skip


def _difference(before: tuple[int, int], after: tuple[int, int]) -> tuple[int, int]:
    return after[0] - before[0], after[1] - before[1]


def _less(samples: Samples, experiment: str, one: str, other: str, **settings: str) -> Figure:
    found = samples.of(experiment, **settings)
    return figure([s.values[one] - s.values[other] for s in found if one in s.values and other in s.values])


def costs(samples: Samples) -> list[Cost]:
    """kernel.service.ebpf.connection, kernel.ebpf.service.message, kernel.redirect.ebpf-connect.*."""
    made: list[Cost] = []
    if samples.has(HOOK):
        raw = samples.of(HOOK)[0]
        middle = _less(samples, HOOK, "services-1000_call_ns", "none_call_ns")
        few, many = (
            _less(samples, HOOK, f"services-{n}_call_ns", "none_call_ns").value for n in (SERVICES[0], SERVICES[-1])
        )
        made.append(
            cost(
                "kernel.service.ebpf.connection",
                "connection",
                experiment=HOOK,
                reference="connect() on a UDP socket, which runs the same cgroup/connect4 hook and sends nothing: to a "
                "service address that the program turns into a pod address, less to the pod address without a program. "
                f"1000 services; with 1: {few:.0f} ns, with {SERVICES[-1]}: {many:.0f} ns. UDP takes the socket's lock "
                f"for the hook, TCP holds it already. {_end_to_end(samples)}".strip(),
                cpu=middle,
                kernel_share=1.0,
                taken_off="the same call without a program, in turns",
                raw=raw,
                metric="services-1000_call_ns",
            )
        )
        if samples.has(REAL, what="live"):
            made.append(_capture(samples))
    if samples.has(REAL, what="message"):
        raw = samples.of(REAL, what="message")[0]
        how = "half a round trip of 64 bytes between two processes pinned to one core, in turns: a connection"
        for operation, unit, one, other, words in (
            ("kernel.ebpf.service.message", "message", "service", "direct", "made through connect4 to a service "
             "address less one straight to the pod"),
            ("kernel.redirect.ebpf-connect.message", "message, at one end", "captured", "loopback", "captured by "
             "connect4 less a plain one on loopback, sockops attached to both"),
        ):  # fmt: skip
            found = _less(samples, REAL, f"{one}_round_trip_ns", f"{other}_round_trip_ns", what="message")
            made.append(nothing_each_message(operation, unit, f"{how} {words}", found, samples))
    return made


def nothing_each_message(operation: str, unit: str, how: str, round_trip: Figure, samples: Samples) -> Cost:
    """No program runs for a message, so the truth is 0: priced so, and what was seen is said.

    Noise would otherwise become a cost that nothing causes. Should the difference be more than three errors from 0,
    it is priced as seen.
    """
    seen = Figure(round_trip.value / 2, round_trip.error / 2, round_trip.spread, round_trip.rounds)
    priced = seen if seen.rounds > 1 and seen.value > 3 * seen.error else Figure(0.0, 0.0, seen.spread, seen.rounds)
    raw = samples.of(REAL, what="message")[0]
    return cost(
        operation,
        unit,
        experiment=REAL,
        reference=f"{how}: {seen.value:+.0f} ns, one sigma {seen.error:.0f}. No program runs for a message: 0 unless "
        "the difference is more than three sigma",
        cpu=priced,
        kernel_share=1.0,
        taken_off=TIMER,
        raw=raw,
        metric="service_round_trip_ns",
    )


def _capture(samples: Samples) -> Cost:
    connecting = _less(samples, HOOK, "captured_call_ns", "to-loopback_call_ns")
    asking = _less(samples, HOOK, "asked_call_ns", "not-asked_call_ns")
    live = [s.values for s in samples.of(REAL, what="live")]
    noting = figure([max(0.0, v["sockops_run_ns"]) * v["sockops_runs"] / max(1.0, v["connections"]) for v in live])
    total = Figure(
        connecting.value + asking.value + noting.value,
        float(np.hypot(np.hypot(connecting.error, asking.error), noting.error)),
        max(connecting.spread, noting.spread),
        min(connecting.rounds, noting.rounds),
    )
    return cost(
        "kernel.redirect.ebpf-connect.connection",
        "connection, at one end",
        experiment=HOOK,
        reference=f"connect4 that sends a connection to the proxy and remembers where it wanted to go: "
        f"{connecting.value:.0f} ns (connect() on a UDP socket, captured less to loopback); sockops that notes it by "
        f"port: {noting.value:.0f} ns (live run statistics, their own cost taken off); getsockopt that tells the "
        f"proxy: {asking.value:.0f} ns more than the kernel's own answer",
        cpu=total,
        kernel_share=1.0,
        taken_off="the same calls without programs, in turns",
        raw=samples.of(HOOK)[0],
        metric="captured_call_ns",
    )


def _end_to_end(samples: Samples) -> str:
    if not samples.has(REAL, what="connection"):
        return ""
    by_connect4 = _less(samples, REAL, "service_connection_ns", "direct_connection_ns", what="connection")
    words = f"On whole TCP connections: {by_connect4.value:+.0f} ns, one sigma {by_connect4.error:.0f}"
    if all("iptables_connection_ns" in s.values for s in samples.of(REAL, what="connection")):
        other = _less(samples, REAL, "iptables_connection_ns", "direct_connection_ns", what="connection")
        words += f"; by iptables, one rule: {other.value:+.0f} ns"
    return words


NEEDS = ("root", "compiler", "namespaces", "ip", "cgroup", "bpf")
EXPERIMENTS = [
    Experiment(
        HOOK,
        "cgroup/connect4 on connect(): none, 1 … 10 000 services, capture; SO_ORIGINAL_DST answered by a program [ns]",
        run, seconds=2.5, quick_seconds=1.2, needs=NEEDS,
    ),
    Experiment(
        REAL,
        "TCP connections and messages by connect4 and by iptables against direct ones [ns]",
        run_real, seconds=4, quick_seconds=1.6, needs=NEEDS,
    ),
]  # fmt: skip
