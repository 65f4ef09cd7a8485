"""What is simulated: queues, a mesh, many events to come, and a mesh that is as large as they get."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from worlds import application, call, compute, costs, service
from worlds import plan as lowered

from meshsim.formats.load import load_application
from meshsim.plan.lower import lower
from meshsim.plan.plan import Plan
from meshsim.scenario.application import Application
from meshsim.scenario.catalog import load_costs, load_dataplane, load_machine
from meshsim.scenario.dataplane import DataPlane
from meshsim.scenario.scale import scale
from meshsim.scenario.scenario import Scenario

SERVERS = (1, 2, 4, 8)
VISITS = 40
"""Of one request in a network of stations."""
UTILISATION = 0.6
SERVICE_US = 1000.0
"""Mean service at a station with one server, where there are as many stations of each kind."""


@dataclass(frozen=True)
class Network:
    """An open network of stations: Poisson arrivals, each request visits stations with 1, 2, 4 and 8 servers in turn,
    each time a random one of them, for an exponential service; every station is busy 60 % of the time."""

    stations: int

    @property
    def counts(self) -> list[int]:
        """Stations of each kind."""
        return [self.stations // 4 + (kind < self.stations % 4) for kind in range(4)]

    @property
    def rate(self) -> float:
        """Requests a second."""
        return UTILISATION * (self.stations / 4) / (VISITS / 4 * SERVICE_US) * 1e6

    @property
    def mean_us(self) -> list[float]:
        """Mean service at a station of each kind."""
        visits = self.rate * VISITS / 4 / 1e6
        return [UTILISATION * servers * count / visits for servers, count in zip(SERVERS, self.counts, strict=True)]

    def plan(self) -> Plan:
        """As a mesh without proxies: a station is a pod with so many threads, a visit a call to its service."""
        names = [f"stations-with-{servers}" for servers in SERVERS]
        tour = [call(names[visit % 4]) for visit in range(VISITS)]
        pods = [
            service(
                name,
                [{"wait": {"mean_us": mean_us, "law": "exponential"}}],
                replicas=count,
                concurrency={"model": "thread-per-request", "threads": servers},
            )
            for name, servers, count, mean_us in zip(names, SERVERS, self.counts, self.mean_us, strict=True)
        ]
        return lowered(application(service("tour", tour), *pods), self.rate, cores=1000, nodes=2)


@dataclass(frozen=True)
class SingleQueue:
    """M/M/1."""

    utilisation: float = 0.75
    service_us: float = SERVICE_US

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.utilisation / self.service_us * 1e6

    @property
    def mean_latency_us(self) -> float:
        """Of the theory: 1 / (mu - lambda)."""
        return self.service_us / (1 - self.utilisation)

    def plan(self) -> Plan:
        """A service with one thread."""
        steps = [{"wait": {"mean_us": self.service_us, "law": "exponential"}}]
        one = service("queue", steps, concurrency={"model": "thread-per-request", "threads": 1})
        return lowered(application(one), self.rate, cores=4)


@dataclass(frozen=True)
class Mesh:
    """Eight services that call each other as a tree of depth four, each with so many pods; a sidecar in every pod, at
    both ends of a call, which records each request when its answer is gone; all work exponential. Times in us."""

    nodes: int = 8
    cores: int = 4
    workers: int = 2
    threads: int = 8
    before_us: float = 200.0
    after_us: float = 100.0
    request_us: float = 60.0
    response_us: float = 50.0
    telemetry_us: float = 30.0
    near_us: float = 5.0
    far_us: float = 30.0
    utilisation: float = 0.6

    CALLS = {"a": "bc", "b": "de", "c": "f", "d": "g", "e": "", "f": "h", "g": "", "h": ""}
    """Whom a service calls, all at once."""

    @property
    def cpu_stages(self) -> int:
        """Visits of a request to a core: two of each service, three in the sidecar at each end of a call."""
        return 2 * len(self.CALLS) + 3 * (2 * len(self.CALLS) - 1)

    @property
    def rate(self) -> float:
        """Requests a second, at which cores are busy for ``utilisation``."""
        sidecar = self.request_us + self.response_us + self.telemetry_us
        work_us = len(self.CALLS) * (self.before_us + self.after_us) + (2 * len(self.CALLS) - 1) * sidecar
        return self.utilisation * self.nodes * self.cores / work_us * 1e6

    def plan(self) -> Plan:
        """The mesh, as meshsim is told of it."""
        services = []
        for name, callees in self.CALLS.items():
            fan_out = [{"parallel": [call(callee) for callee in callees]}] if callees else []
            services.append(
                service(
                    name,
                    [compute(self.before_us), *fan_out, compute(self.after_us)],
                    replicas=self.nodes,
                    concurrency={"model": "thread-per-request", "threads": self.threads},
                )
            )
        sidecar = {
            "name": "sidecar", "software": "box", "placed": "pod", "ends": ["source", "destination"], "layer": "L7",
            "workers": self.workers, "telemetry": True, "terminates_mtls": False, "capture": "explicit",
        }  # fmt: skip
        plane = {"schema": "meshsim/dataplane/1", "name": "boxed", "title": "t", "summary": "s", "proxies": [sidecar]}

        def work(us: float) -> dict[str, Any]:
            return {"cpu_ns": us * 1000, "law": "exponential"}

        def wire(us: float) -> dict[str, Any]:
            return {"wait_ns": us * 1000, "law": "exponential"}

        book = costs(
            proxy__box__http1__request=work(self.request_us),
            proxy__box__http1__response=work(self.response_us),
            proxy__box__telemetry=work(self.telemetry_us),
            kernel__wire__same_node=wire(self.near_us),
            kernel__wire__cross_node=wire(self.far_us),
        )
        return lowered(
            application(*services),
            self.rate,
            cores=self.cores,
            nodes=self.nodes,
            dataplane=DataPlane.model_validate(plane),
            book=book,
        )


@dataclass(frozen=True)
class Waits:
    """So many requests in flight, which do nothing but wait, eight times one after the other: one event to come each."""

    pending: int
    WAITS = 8
    RATE = 1e6

    def plan(self) -> Plan:
        """By Little's law: the rate times the time that a request takes."""
        wait = {"wait": {"mean_us": self.pending / self.RATE / self.WAITS * 1e6, "law": "exponential"}}
        return lowered(application(service("waits", [wait] * self.WAITS)), self.RATE)


@dataclass(frozen=True)
class Large:
    """A shipped application grown to so many services, ten pods each, with the sidecars and costs that are shipped."""

    services: int = 10_000
    replicas: int = 10
    rps: float = 50_000.0

    def parts(self) -> tuple[Application, DataPlane, Any, Scenario, Any]:
        """What ``lower`` takes."""
        scenario = Scenario.model_validate(
            {"application": "online-boutique", "dataplane": "istio-sidecar", "load": {"rps": self.rps}}
        )
        app = scale(load_application(scenario.application)[0], self.services)
        many = [one.model_copy(update={"replicas": self.replicas}) for one in app.services]
        return (
            app.model_copy(update={"services": many}),
            load_dataplane(scenario.dataplane),
            load_machine(scenario.cluster.machine),
            scenario,
            load_costs(scenario.costs),
        )

    def plan(self) -> Plan:
        """Lowered."""
        return lower(*self.parts())
