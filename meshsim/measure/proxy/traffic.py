"""Traffic through a proxy and what it costs: the load generator and the echo server of ours, and two pods for them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from meshsim.measure.experiment import Sample
from meshsim.measure.lab import Cgroup, Lab, LabError, Pod, Process, Schedule
from meshsim.measure.native import tool

Protocol = Literal["http1", "http2", "tcp"]

ECHO_PORT = 8080
"""Where the server listens. What comes here from other pods is redirected to the proxy, once there is one."""
DIRECT_PORT = 8081
"""Where a second server listens, which nothing redirects: the same path without a proxy."""
MOST_FAILED = 0.01
"""More failed requests than this share and the point says nothing."""


@dataclass(frozen=True)
class Demand:
    """What the generator is to do."""

    rate: float = 0.0
    """Requests a second, open loop, Poisson; 0 for closed loop."""
    connections: int = 8
    protocol: Protocol = "http1"
    request_bytes: int = 0
    response_bytes: int = 64
    seconds: float = 1.0
    warm_up: float = 0.2
    new_connection: bool = False
    """For each request."""
    streams: int = 1
    """Of HTTP/2, at once on a connection."""
    headers: Sequence[str] = ()

    def arguments(self) -> list[str]:
        """The options of ``load``."""
        words: list[Any] = ["--protocol", "raw" if self.protocol == "tcp" else self.protocol]
        words += ["--connections", self.connections, "--streams", self.streams, "--rate", self.rate]
        words += ["--body", self.request_bytes, "--ask", self.response_bytes]
        words += ["--seconds", self.seconds, "--warm-up", self.warm_up]
        words += ["--new-connection"] if self.new_connection else []
        for header in self.headers:
            words += ["--header", header]
        return [str(word) for word in words]


@dataclass(frozen=True)
class Cpu:
    """CPU time in the measured seconds, ns."""

    user_ns: float
    system_ns: float
    total_ns: float
    """Exact; user and system are told apart by the clock tick."""

    @property
    def kernel_share(self) -> float:
        """System time over all."""
        both = self.user_ns + self.system_ns
        return self.system_ns / both if both else 0.0


@dataclass(frozen=True)
class Thread:
    """What one thread did in the measured seconds."""

    ran_ns: float
    waited_ns: float
    """Ready to run, but waiting for its CPU: after a wake-up too."""
    slept: int
    """How often it went to sleep of its own will."""
    preempted: int


@dataclass(frozen=True)
class Outcome:
    """What came of a demand. Latency is from the moment at which a request was due."""

    demand: Demand
    answered: int
    """In the measured seconds."""
    failed: int
    latency_ns: dict[str, float]
    """Quantiles '0.5', '0.99' … and 'mean'."""
    lag_ns: dict[str, float]
    """From when a request was due to when the generator sent it."""
    histogram: list[tuple[float, int]]
    own_cpu_ns: float
    """Of the generator itself."""
    cpu: dict[str, Cpu]
    threads: dict[str, Thread]
    own_sleeps: int = 0
    """How often the generator itself went to sleep."""

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.answered / self.demand.seconds

    def cpu_per_request(self, name: str) -> float:
        """CPU of a watched cgroup, ns a request."""
        return self.cpu[name].total_ns / self.answered

    def readings(self, name: str = "proxy") -> dict[str, float]:
        """The metrics that samples keep."""
        found = {
            "requests_per_second": self.rate,
            "latency_p50_ns": self.latency_ns["0.5"],
            "latency_p90_ns": self.latency_ns["0.9"],
            "latency_p99_ns": self.latency_ns["0.99"],
            "latency_mean_ns": self.latency_ns["mean"],
            "generator_cpu_ns": self.own_cpu_ns / self.answered,
        }
        if name in self.cpu:
            cpu = self.cpu[name]
            found |= {
                "cpu_ns": self.cpu_per_request(name),
                "kernel_share": cpu.kernel_share,
                "busy": cpu.total_ns / (self.demand.seconds * 1e9),
            }
        if name in self.threads:
            thread = self.threads[name]
            found |= {
                "sleeps": thread.slept / self.answered,
                "run_queue_ns": thread.waited_ns / max(1, thread.slept + thread.preempted),
            }
        return found


def kernel_share(samples: Sequence[Sample]) -> float:
    """System time over all CPU time of the proxy, median over samples."""
    known = [s.values["kernel_share"] for s in samples if "kernel_share" in s.values]
    return float(np.median(known)) if known else 0.0


def drive(
    pod: Pod,
    address: str,
    port: int,
    demand: Demand,
    *,
    watch: Mapping[str, Cgroup] | None = None,
    threads: Mapping[str, Path] | None = None,
    cpus: Sequence[int] | None = None,
    schedule: Schedule = "normal",
) -> Outcome:
    """Run the generator in a pod against an address. LabError if nothing is answered, or too much fails.

    ``watch``: cgroups whose CPU time is taken, ``threads``: folders /proc/PID/task/TID; both over exactly the measured
    seconds.
    """
    words = [str(tool("load")), "--address", address, "--port", str(port), *demand.arguments()]
    for name, cgroup in (watch or {}).items():
        words += ["--cpu", f"{name}={cgroup.path / 'cpu.stat'}"]
    for name, folder in (threads or {}).items():
        words += ["--thread", f"{name}={folder}"]
    timeout = demand.warm_up + demand.seconds + 15
    return outcome(demand, json.loads(pod.run(words, cpus=cpus, schedule=schedule, timeout=timeout)))


def outcome(demand: Demand, told: dict[str, Any]) -> Outcome:
    """What ``load`` printed, judged."""
    failed = sum(told["errors"].values())
    if not told["answered"] or not told["observed"]:
        raise LabError(f"nothing was answered: {told['errors']}, {told['unanswered']} unanswered")
    if failed > MOST_FAILED * told["answered"]:
        raise LabError(f"{failed} of {told['answered'] + failed} requests failed: {told['errors']}")
    return Outcome(
        demand,
        told["answered"],
        failed,
        told["latency_ns"],
        told["lag_ns"],
        [(edge, count) for edge, count in told["histogram"]],
        told["own_cpu"]["user"] + told["own_cpu"]["system"],
        {name: Cpu(cpu["user"], cpu["system"], cpu["total"]) for name, cpu in told["cpu"].items()},
        {
            name: Thread(thread["ran"], thread["waited"], thread["slept"], thread["preempted"])
            for name, thread in told["threads"].items()
        },
        told["own_cpu"]["slept"],
    )


def echo(
    pod: Pod, port: int = ECHO_PORT, *, compute_us: float = 0, response_bytes: int = 64, **options: Any
) -> Process:
    """The echo server in a pod; listening when this returns."""
    words = [str(tool("echo")), "--port", str(port), "--compute-us", str(compute_us)]
    return started([*words, "--response-bytes", str(response_bytes)], pod, **options)


def started(words: Sequence[str], pod: Pod, **options: Any) -> Process:
    """Start a program that prints "ready" when it is."""
    read, write = os.pipe()
    try:
        process = pod.start(words, stdout=write, **options)
    finally:
        os.close(write)
    with os.fdopen(read) as said:
        if said.readline().strip() != "ready":
            raise LabError(f"{words[0]} did not get ready")
    return process


@dataclass
class Pair:
    """A pod with the generator and a pod with the server, beside which a proxy may stand.

    Generator and server share one CPU, the proxy has the other: so its work is not mixed with theirs, and both are
    never waiting for it at once.
    """

    lab: Lab
    client: Pod
    server: Pod
    front: list[int]
    """CPUs of generator and server."""
    back: list[int]
    """CPUs of the proxy."""
    schedule: Schedule = "normal"
    """Of the generator; see ``realtime``."""
    servers: list[Process] = field(default_factory=list)

    @classmethod
    def make(cls, lab: Lab, *, awake: bool = True) -> Pair:
        """Both pods, and both servers running."""
        cpus = sorted(os.sched_getaffinity(0))
        pair = cls(lab, lab.pod("client"), lab.pod("server"), cpus[:1], cpus[-1:])
        if awake:
            lab.keep_awake()
        # Ports of closed connections are used again at once: a point with a connection for each request needs many.
        for pod in (pair.client, pair.server):
            pod.run(["sh", "-c", "echo 1 > /proc/sys/net/ipv4/tcp_tw_reuse"])
        for port in (ECHO_PORT, DIRECT_PORT):
            pair.servers.append(echo(pair.server, port, cpus=pair.front))
        return pair

    def redirect(self, port: int) -> None:
        """What comes to the server's pod is redirected to a port of the proxy there, by rules of that pod's own."""
        self.server.run(
            ["iptables", "-t", "nat", "-A", "PREROUTING", "-p", "tcp", "--dport", str(ECHO_PORT), "-j", "REDIRECT",
             "--to-ports", str(port)]
        )  # fmt: skip

    def realtime(self, *cgroups: Cgroup) -> None:
        """From now on, generator, servers and these proxies go before everything else: for latency at low rates."""
        self.schedule = "realtime"
        pids = [server.pid for server in self.servers]
        for cgroup in cgroups:
            pids += [int(pid) for pid in (cgroup.path / "cgroup.procs").read_text().split()]
        for pid in pids:
            for task in Path(f"/proc/{pid}/task").iterdir():
                os.sched_setscheduler(int(task.name), os.SCHED_RR, os.sched_param(10))

    def drive(self, demand: Demand, *, port: int = ECHO_PORT, pod: Pod | None = None, **options: Any) -> Outcome:
        """Traffic from the client's pod to the server's, or to another pod."""
        target = pod or self.server
        return drive(self.client, target.address, port, demand, cpus=self.front, schedule=self.schedule, **options)
