"""What a proxy takes before any request: memory as configuration and connections grow, CPU while idle, time to start.

Memory is Private_Dirty: what each further copy of the proxy takes of a node, its shared program file not counted.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
import time
from collections.abc import Iterable
from functools import partial

import numpy as np

from meshsim.costs.book import Cost
from meshsim.measure.bench import Bench
from meshsim.measure.book import cost
from meshsim.measure.experiment import Experiment, Sample, Samples, Setting
from meshsim.measure.fit import Figure, Floats, figure, line, scaled
from meshsim.measure.lab import Cgroup, LabError, Pod, Process, Usage
from meshsim.measure.native import tool
from meshsim.measure.proxy.envoy import Envoy
from meshsim.measure.proxy.kinds import ALL, ENVOY, Kind
from meshsim.measure.proxy.software import READY_WITHIN_S, Role, Running, Software
from meshsim.measure.proxy.traffic import ECHO_PORT, Demand, Pair

CLUSTERS = (0, 100, 400, 1000)
QUICK_CLUSTERS = (0, 200)
ENDPOINTS = (1, 20, 50)
"""Of each of so many clusters:"""
SPREAD_OVER = 100
WORKERS = (1, 2, 4)
CONNECTIONS = 400


def name(kind: Kind) -> str:
    """Of the experiment."""
    return f"proxy.{kind.key}.footprint"


def run(kind: Kind, bench: Bench) -> None:
    """Start it again and again: bare, with workers, clusters, endpoints; then connections, then nothing at all."""
    pair = Pair.make(bench.lab)

    def starts(settings: dict[str, Setting], software: Software, workers: int = 0) -> None:
        def take() -> dict[str, float]:
            with bench.lab.scope():
                running, found = _started(pair, kind, software, workers or 1)
                if workers:  # a worker takes memory as it works
                    pair.drive(Demand(0, 64, seconds=0.2, warm_up=0.0), port=running.role.port)
                    found["memory_bytes"] = float(running.memory())
                return found

        bench.measure(settings, take)

    for _ in range(1 if bench.quick else 2):
        starts({"grows": "nothing"}, kind.software)
    if kind is ENVOY:
        for clusters in QUICK_CLUSTERS[1:] if bench.quick else CLUSTERS[1:]:
            starts({"grows": "clusters", "units": clusters}, Envoy(clusters=clusters))
        for endpoints in ENDPOINTS[::2] if bench.quick else ENDPOINTS:
            settings: dict[str, Setting] = {"grows": "endpoints", "units": endpoints * SPREAD_OVER}
            starts(settings, Envoy(clusters=SPREAD_OVER, endpoints=endpoints))
        for workers in WORKERS[::2] if bench.quick else WORKERS:
            starts({"grows": "workers", "units": workers}, kind.software, workers)
    running, _ = _started(pair, kind, kind.software, 1)
    if kind is ENVOY:
        bench.measure({"grows": "connections", "units": CONNECTIONS}, partial(_with_connections, pair, running))
    bench.measure({"grows": "idle"}, partial(_idle, running, 0.5 if bench.quick else 2.0))


def _started(pair: Pair, kind: Kind, software: Software, workers: int) -> tuple[Running, dict[str, float]]:
    """Start it beside the server, until its first answer; memory after that."""
    lab = pair.lab
    role = Role(
        upstream=None if kind.original_destination else ("127.0.0.1", ECHO_PORT), workers=workers, captured=False
    )
    cgroup, folder = lab.cgroup(), lab.folder()
    command = software.command(role, folder)
    began = time.monotonic_ns()
    words = folder / "words"
    with words.open("wb") as said:
        process = pair.server.start(
            command, cgroup=cgroup, cpus=pair.back if workers == 1 else None, stdout=said, stderr=said
        )
    try:
        waited = first_answer(pair.server, process, role.port) - began
    except TimeoutError:
        heard = words.read_text(errors="replace").strip()[-800:]
        raise LabError(f"{kind.title}: no answer within {READY_WITHIN_S:.0f} s of its start: {heard}") from None
    cpu = cgroup.usage().total_us * 1000
    running = Running(role, process, cgroup, software)
    time.sleep(0.1)  # what it frees once it has started is not its own
    found = {"startup_ns": float(waited), "startup_cpu_ns": float(cpu), "memory_bytes": float(running.memory())}
    return running, found | {"memory_pss_bytes": float(running.memory("Pss"))}


def first_answer(pod: Pod, process: Process, port: int) -> int:
    """When (monotonic ns) the first request to a port of a pod was answered. TimeoutError if none is."""
    found: list[int] = []

    def ask() -> None:
        pod.enter_here()  # this thread only
        until = time.monotonic() + READY_WITHIN_S
        while time.monotonic() < until and process.popen.poll() is None and not found:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0) as connection:
                connection.settimeout(2.0)
                connection.sendall(b"GET / HTTP/1.1\r\nhost: echo\r\n\r\n")
                if connection.recv(64).startswith(b"HTTP/1.1 200"):
                    found.append(time.monotonic_ns())
                    return
            time.sleep(0.0005)

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    if not found:
        raise TimeoutError
    return found[0]


def _with_connections(pair: Pair, running: Running) -> dict[str, float]:
    """Memory with one connection, and with many, over each of which requests have gone."""
    taken = {}
    for number in (1, CONNECTIONS):
        demand = Demand(4.0 * number, number, seconds=0.7, warm_up=0.0)
        words = [str(tool("load")), "--address", pair.server.address, "--port", str(running.role.port)]
        process = pair.client.start([*words, *demand.arguments()], cpus=pair.front)
        time.sleep(0.6)
        taken[number] = running.memory()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.popen.wait(5.0)
    return {"memory_bytes": float(taken[CONNECTIONS] - taken[1]) / (CONNECTIONS - 1)}


def _idle(running: Running, seconds: float) -> dict[str, float]:
    before = _settled(running.cgroup)
    began = time.monotonic()
    time.sleep(seconds)
    used = (running.cgroup.usage() - before).total_us / 1e6
    return {"cores": used / (time.monotonic() - began)}


def _settled(cgroup: Cgroup) -> Usage:
    time.sleep(0.2)
    return cgroup.usage()


def costs(samples: Samples) -> list[Cost]:
    """memory.*, idle.*, startup.*"""
    return [c for kind in ALL for c in _costs(samples, kind)]


def _costs(samples: Samples, kind: Kind) -> Iterable[Cost]:
    here, key = name(kind), kind.key
    bare = samples.of(here, grows="nothing")
    if not bare:
        return
    how = "Private_Dirty after the first answer"
    base = _rounds(bare, "memory_bytes")
    yield cost(
        f"memory.{key}.base", "proxy", experiment=here, reference=f"{how}; one worker, one listener",
        memory=figure(base), raw=bare[0],
    )  # fmt: skip
    start_ns, start_cpu = _rounds(bare, "startup_ns"), _rounds(bare, "startup_cpu_ns")
    yield cost(
        f"startup.{key}.base", "start", experiment=here,
        reference="from the start of the process to its first answer, page cache warm, one listener",
        wait=figure(np.maximum(start_ns - start_cpu, 0.0)), cpu=figure(start_cpu), raw=bare[0],
    )  # fmt: skip
    for grows, unit in (("clusters", "cluster"), ("endpoints", "endpoint"), ("workers", "worker")):
        rows = _points(samples, kind, grows, "memory_bytes")
        if len(np.unique(rows[:, 1])) < 2:
            continue
        what = {
            "clusters": "slope over clusters, each with a virtual host and an endpoint, less that endpoint",
            "endpoints": f"slope over endpoints of {SPREAD_OVER} clusters",
            "workers": "slope over worker threads, each of which has served",
        }[grows]
        per_unit = line(rows).per_unit
        yield cost(
            f"memory.{key}.{unit}", unit, experiment=here, reference=f"{how}: {what}",
            memory=_less_endpoint(samples, kind, per_unit) if grows == "clusters" else per_unit,
        )  # fmt: skip
        if grows == "clusters":
            cpu = line(_points(samples, kind, grows, "startup_cpu_ns")).per_unit
            whole = line(_points(samples, kind, grows, "startup_ns")).per_unit
            yield cost(
                f"startup.{key}.cluster", "cluster configured", experiment=here,
                reference="slope of the time to the first answer over static clusters; waiting is what is not CPU",
                cpu=cpu, wait=Figure(max(0.0, whole.value - cpu.value), whole.error, whole.spread, whole.rounds),
            )  # fmt: skip
    connections = samples.of(here, grows="connections")
    if connections:
        yield cost(
            f"memory.{key}.connection", "connection from downstream, with its share of upstream ones", experiment=here,
            reference=f"Private_Dirty with {CONNECTIONS} connections in use less that with one, over their number",
            memory=figure(_rounds(connections, "memory_bytes")),
        )  # fmt: skip
    idle = samples.of(here, grows="idle")
    if idle:
        yield cost(
            f"idle.{key}", "proxy", experiment=here, reference="CPU time of its cgroup while nothing happens",
            cores=figure(_rounds(idle, "cores")),
        )  # fmt: skip


def _rounds(found: list[Sample], metric: str) -> Floats:
    """One value a round: the smallest, where it was taken more than once."""
    return np.array([min(s.values[metric] for s in found if s.round == r) for r in sorted({s.round for s in found})])


def _points(samples: Samples, kind: Kind, grows: str, metric: str) -> Floats:
    """Rows (round, units, value); for clusters the bare proxy is the point at zero."""
    rows = samples.points(name(kind), "units", metric, grows=grows)
    if grows != "clusters":
        return rows
    bare = [(s.round, 0.0, s.values[metric]) for s in samples.of(name(kind), grows="nothing")]
    return np.concatenate([np.array(bare, np.float64).reshape(-1, 3), rows])


def _less_endpoint(samples: Samples, kind: Kind, cluster: Figure) -> Figure:
    rows = _points(samples, kind, "endpoints", "memory_bytes")
    if len(np.unique(rows[:, 1])) < 2:
        return cluster
    endpoint = scaled(line(rows).per_unit, -1.0)
    return Figure(
        cluster.value + endpoint.value, float(np.hypot(cluster.error, endpoint.error)), cluster.spread, cluster.rounds
    )


EXPERIMENTS = [
    Experiment(
        name(kind),
        f"{kind.title}: memory, idle CPU and time to start"
        + (", by workers, clusters, endpoints, connections" if kind is ENVOY else "")
        + " [bytes, cores, ns]",
        partial(run, kind),
        seconds=12 if kind is ENVOY else 3.5,
        quick_seconds=4 if kind is ENVOY else None,
        needs=tuple(need for need in kind.needs if need != "iptables"),
    )
    for kind in ALL
]
