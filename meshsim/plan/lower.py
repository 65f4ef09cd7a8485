"""Lowering: an application over a data plane on a cluster, under load, becomes the arrays of a ``Plan``."""

from __future__ import annotations

import gc
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from meshsim.costs.book import Cost
from meshsim.costs.books import Costs
from meshsim.costs.what_if import what_if
from meshsim.plan.arrivals import SCHEDULE, arrivals_of, mean_rps
from meshsim.plan.autoscaling import at_most, autoscaler_rows, scale_ups
from meshsim.plan.bill import bill_of
from meshsim.plan.bodies import body
from meshsim.plan.deploy import Deployment, deploy
from meshsim.plan.expect import expected_load
from meshsim.plan.faults import fault_rows
from meshsim.plan.hops import HopKind, hop
from meshsim.plan.laws import law_table
from meshsim.plan.network import bandwidth_of
from meshsim.plan.plan import CPU_SLOT, FIRST_PROXY_SLOT, THREADS_SLOT, Ints, Op, Plan, Tag
from meshsim.plan.program import Program
from meshsim.plan.quota import container_quotas
from meshsim.plan.requirements import as_installed
from meshsim.plan.resilience import with_resilience
from meshsim.plan.routes import acting_stop
from meshsim.plan.routes import build as build_routes
from meshsim.plan.traffic import cross_zone_bytes
from meshsim.scenario.application import Application, Call, Entry
from meshsim.scenario.base import MeshsimError
from meshsim.scenario.dataplane import DataPlane
from meshsim.scenario.machine import Machine
from meshsim.scenario.scenario import Scenario

WHOLE = 1 << 32
"""A probability of one, in the fixed point of START and of the entries."""
WAKEUP = "kernel.wakeup"
"""Of a thread of an application. A book that does not price it has it in what a socket costs."""
JUMPS = (Op.SPAWN, Op.DETACH, Op.ATTEMPT, Op.JOIN, Op.ACQUIRE, Op.RELEASE, Op.CONNECT, Op.LIMIT)
"""Instructions whose target is an instruction; it lies so many behind them as ``skip`` says."""
LONGEST = 1 << 62
"""No random time may exceed this many nanoseconds x 2**24: draws stay within 64 bits in every engine."""


class OverloadedError(MeshsimError):
    """A station would have to work more than it can."""


@dataclass
class CallRow:
    """A place in the application where a call is made; entries are calls from outside."""

    name: str
    caller: int
    """Service, -1 for the client outside."""
    caller_endpoint: int
    callee: int
    callee_endpoint: int
    kind: HopKind
    times: float
    """Expected executions a visit of the caller's endpoint; for an entry, its share of the requests."""


@dataclass
class Assembler:
    """Turns programs into rows of integers, and remembers the laws and tags they name."""

    rows: list[tuple[int, ...]] = field(default_factory=list)
    laws: dict[tuple[str, float], int] = field(default_factory=dict)
    tables: list[Ints] = field(default_factory=list)
    tags: dict[Tag, int] = field(default_factory=dict)

    COLUMNS = ("op", "at", "other", "when", "slot", "target", "mean_ns", "law", "tag", "purpose", "amount")

    def add(self, program: Program) -> int:
        """Append a program; the number of its first instruction."""
        start = len(self.rows)
        for behind, i in enumerate(program, start + 1):
            self.rows.append((
                i.op, i.at, i.other, i.when, i.slot,
                behind + i.skip if i.op in JUMPS else i.call,
                i.mean_ns,
                self.law(i.law, i.mean_ns),
                -1 if i.tag is None else self.tags.setdefault(i.tag, len(self.tags)),
                i.purpose,
                round(i.probability * WHOLE),
            ))  # fmt: skip
        return start

    def columns(self) -> dict[str, Ints]:
        """One array a column."""
        table = np.array(self.rows, np.int64).reshape(-1, len(self.COLUMNS))
        return {name: np.ascontiguousarray(column) for name, column in zip(self.COLUMNS, table.T, strict=True)}

    def law(self, law: tuple[str, float], mean_ns: int) -> int:
        """Number of a law's table, -1 for a constant."""
        if law not in self.laws:
            table = law_table(*law)
            self.laws[law] = -1 if table is None else len(self.tables)
            if table is not None:
                self.tables.append(table)
        number = self.laws[law]
        if number >= 0 and mean_ns * int(self.tables[number][-1]) >= LONGEST:
            raise MeshsimError(
                f"a mean of {mean_ns / 1e9:g} s with law {law[0]} (cv {law[1]:g}) is too long to be drawn; "
                "choose a shorter mean or a smaller cv"
            )
        return number


def lower(
    application: Application,
    dataplane: DataPlane,
    machine: Machine,
    scenario: Scenario,
    costs: Costs,
) -> Plan:
    """Everything an engine needs to know, as integers. Raises MissingCost, PlacementError or OverloadedError."""
    with _no_collection():
        return _lower(application, dataplane, machine, scenario, costs)


@contextmanager
def _no_collection() -> Iterator[None]:
    """Of garbage: a large application makes a million small objects, and looking through them again and again takes a
    quarter of the time."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _lower(application: Application, dataplane: DataPlane, machine: Machine, scenario: Scenario, costs: Costs) -> Plan:
    costs = what_if(costs, scenario.what_if)
    application, dataplane = as_installed(application, dataplane, scenario, costs)
    at_start, application = application, at_most(application, scenario)
    deployment = deploy(application, dataplane, machine, scenario, [s.replicas for s in at_start.services])
    ups = scale_ups(at_start, deployment, scenario, costs)
    calls = call_rows(application, zones=scenario.cluster.zones > 1)
    kinds = list(dict.fromkeys(row.kind for row in calls))
    hops = {kind: hop(dataplane, scenario.policy, kind, costs, len(application.services)) for kind in kinds}
    bandwidth = bandwidth_of(scenario.cluster, FIRST_PROXY_SLOT + len(dataplane.proxies))
    hops = {kind: bandwidth.applied(program, kind) for kind, program in hops.items()}
    wakeup = costs[WAKEUP] if WAKEUP in costs else None  # noqa: SIM401 (no mapping)
    bodies = endpoint_bodies(application, wakeup)

    assembler = Assembler()
    service_pods = np.array(deployment.service_pods, np.int64)
    first_pod = np.concatenate([[0], np.cumsum(service_pods)[:-1]]).astype(np.int64)
    app_pods = int(service_pods.sum())
    via_group = np.arange(len(service_pods)) if deployment.waypoints > 1 else np.zeros(len(service_pods), np.int64)
    has_via = deployment.waypoints > 0
    first_via = _ints(app_pods + via_group * deployment.waypoint_pods if has_via else via_group - 1)
    routes = build_routes(application, scenario, deployment, calls, first_pod, first_via)
    quotas = container_quotas(deployment, scenario)

    hop_start: dict[tuple[object, ...], int] = {}
    call_program = []
    for number, row in enumerate(calls):
        library, proxy = (int(policy) >= 0 for policy in routes.call_policy[:, number])
        pooled, limited = int(routes.call_pool[number]) >= 0, int(routes.token_ns[row.callee]) > 0
        key = (row.kind, library, proxy, pooled, limited)
        if key not in hop_start:
            acting = acting_stop(deployment, scenario.policy, row.kind) if proxy else None
            program = hops[row.kind]
            if pooled:
                program = hop(dataplane, scenario.policy, row.kind, costs, len(application.services), pooled=True)
                program = bandwidth.applied(program, row.kind)
            every = row.kind.requests_per_connection or math.inf
            wrapped = with_resilience(
                program, library=library, proxy=acting, reopened=1 / every if pooled else None, limited=limited
            )
            hop_start[key] = assembler.add(quotas.charged(wrapped))
        call_program.append(hop_start[key])
    body_start = {where: assembler.add(quotas.charged(program)) for where, program in bodies.items()}
    arrivals = arrivals_of(scenario.load)
    gap_law = assembler.law(
        ("exponential" if scenario.load.arrivals == "poisson" else "constant", 1.0), int(arrivals.gap_mean.max())
    )
    longest = max(int(arrivals.length.max()), arrivals.think_ns)
    exponential = assembler.law(("exponential", 1.0), longest) if arrivals.kind != SCHEDULE else -1
    stations = _Stations(deployment, machine, scenario)
    entries = len(application.entries)
    shares = np.cumsum([row.times for row in calls[:entries]])

    rps = mean_rps(scenario.load)
    load = expected_load(rps, calls, hops, bodies, stations, deployment)
    plan = Plan(
        station_servers=_ints(stations.servers),
        station_is_cpu=np.array(stations.is_cpu, np.bool_),
        station_slice_ns=_ints(stations.slice_ns),
        station_names=stations.names,
        station_line=_ints(stations.line),
        pod_node=_ints(stations.pod_node),
        pod_zone=_ints(stations.pod_zone[: len(stations.pod_node)]),
        pod_service=_ints(stations.pod_service),
        pod_station=stations.pod_station,
        service_first_pod=first_pod,
        service_pods=service_pods,
        service_first_via=first_via,
        service_vias=np.full(len(service_pods), deployment.waypoint_pods, np.int64),
        service_names=[service.name for service in application.services],
        **assembler.columns(),
        call_program=_ints(call_program),
        call_service=_ints([row.callee for row in calls]),
        call_body=_ints([body_start[row.callee, row.callee_endpoint] for row in calls]),
        call_names=[row.name for row in calls],
        entry_calls=entries,
        entry_threshold=_ints(np.rint(shares / shares[-1] * WHOLE)),
        laws=np.array(assembler.tables, np.int64),
        tags=list(assembler.tags),
        arrivals=arrivals,
        gap_law=gap_law,
        exponential_law=exponential,
        routes=routes,
        quotas=quotas.rows(stations.pod_station),
        faults=fault_rows(scenario, deployment, first_pod, stations.pod_station, stations.slot_workers),
        autoscalers=autoscaler_rows(at_start, dataplane, scenario, ups),
        scale_ups=ups,
        slot_workers=stations.slot_workers,
        rps=rps,
        station_load=load,
        bill=bill_of(deployment, costs, scenario.cluster.churn_per_minute),
        cross_zone_bytes=cross_zone_bytes(calls, hops, deployment, stations.pod_zone, scenario),
        waypoints=deployment.waypoints,
    )
    if scenario.load.overload == "refuse" and scenario.load.closed is None:
        refuse_overload(plan)
    return plan


def refuse_overload(plan: Plan) -> None:
    """OverloadedError if a station is asked for more than it can give, with the rate at which it saturates."""
    worst = int(np.argmax(plan.station_load))
    load = float(plan.station_load[worst])
    if load >= 1.0:
        raise OverloadedError(
            f"overloaded: {plan.station_names[worst]} would have to be busy {load:.0%} of the time at "
            f"{plan.rps:g} requests a second; it saturates at about {plan.rps / load:.4g} requests a second. "
            "Lower the rate, give it more replicas, threads, workers or nodes, or say load.overload: simulate"
        )


def call_rows(application: Application, *, zones: bool = False) -> list[CallRow]:
    """Entries first, then every call in the order of services, endpoints and steps."""
    index = {service.name: number for number, service in enumerate(application.services)}
    endpoint_index = [
        {endpoint.name: number for number, endpoint in enumerate(service.endpoints)} for service in application.services
    ]

    def callee(to: Call | Entry) -> tuple[int, int]:
        service = index[to.service]
        return service, endpoint_index[service][to.endpoint] if to.endpoint else 0

    def name(caller: str, to: tuple[int, int]) -> str:
        service = application.services[to[0]]
        return f"{caller} -> {service.name}/{service.endpoints[to[1]].name}"

    rows = []
    weights = sum(entry.weight for entry in application.entries)
    for entry in application.entries:
        to = callee(entry)
        kind = _kind(entry, from_outside=True, zones=zones)
        rows.append(CallRow(name("client", to), -1, 0, *to, kind, entry.weight / weights))
    for caller, service in enumerate(application.services):
        for number, endpoint in enumerate(service.endpoints):
            for call in endpoint.calls():
                to = callee(call)
                kind = _kind(call, from_outside=False, zones=zones)
                where = f"{service.name}/{endpoint.name}"
                rows.append(CallRow(name(where, to), caller, number, *to, kind, call.times * call.probability))
    return rows


def _kind(to: Call | Entry, *, from_outside: bool, zones: bool) -> HopKind:
    per_connection = to.requests_per_connection
    return HopKind(to.protocol, to.request_bytes, to.response_bytes, from_outside, per_connection, zones)


def endpoint_bodies(application: Application, wakeup: Cost | None = None) -> dict[tuple[int, int], Program]:
    """Body of each (service, endpoint); calls are numbered as in ``call_rows``."""
    next_call = len(application.entries)
    bodies = {}
    for service_number, service in enumerate(application.services):
        for endpoint_number, endpoint in enumerate(service.endpoints):
            bodies[service_number, endpoint_number] = body(service, endpoint, next_call, wakeup)
            next_call += len(endpoint.calls())
    return bodies


class _Stations:
    """Numbers the stations and tells each pod which ones it meets."""

    def __init__(self, deployment: Deployment, machine: Machine, scenario: Scenario) -> None:
        bandwidth = bandwidth_of(scenario.cluster, FIRST_PROXY_SLOT + len(deployment.dataplane.proxies))
        slots = bandwidth.slots
        nodes = deployment.nodes
        self.names = [f"CPU of node {node + 1}" for node in range(nodes)]
        self.servers = [machine.cores] * nodes
        self.is_cpu = [True] * nodes
        self.slice_ns = [round(scenario.cluster.cpu_slice_us * 1000)] * nodes
        self.line = [-1] * nodes
        # With connections, a worker serves those that are pinned to it: each worker is a station of its own.
        self.pinned = bool(scenario.connections)
        self.slot_workers: Ints = np.ones(slots, np.int64)
        placed = {proxy.placed: [] for proxy in deployment.proxies}  # type: dict[str, list[tuple[int, int, str]]]
        for proxy, number in zip(deployment.proxies, deployment.proxy_slot, strict=True):
            placed[proxy.placed].append((FIRST_PROXY_SLOT + number, proxy.workers, proxy.name))
            if self.pinned:
                self.slot_workers[FIRST_PROXY_SLOT + number] = proxy.workers
        on_node = [
            [
                (slot, self._workers(f"{name} on node {node + 1}", workers))
                for slot, workers, name in placed.get("node", [])
            ]
            for node in range(nodes)
        ]
        if bandwidth.ns_per_byte is not None:
            for node in range(nodes):
                for slot, way in ((bandwidth.sending, "sending"), (bandwidth.receiving, "receiving")):
                    on_node[node].append((slot, self._pool(f"network interface of node {node + 1}, {way}", 1)))
        if bandwidth.zone_ns_per_byte is not None:
            links = [self._pool(f"link out of zone {zone + 1}", 1) for zone in range(scenario.cluster.zones)]
            for node in range(nodes):
                on_node[node].append((bandwidth.leaving, links[node % scenario.cluster.zones]))
        self.pod_zone = [node % scenario.cluster.zones for node in deployment.placement.node_of_pod]
        self.pod_node: list[int] = []
        self.pod_service: list[int] = []
        self.of_account: dict[tuple[int, int, int], int] = {}
        rows: list[list[int]] = []
        where = iter(deployment.placement.node_of_pod)

        def pod(service: int, own: list[tuple[int, int]]) -> None:
            node = next(where)
            row = [-1] * slots
            row[CPU_SLOT] = node
            for slot, station in own + on_node[node]:
                row[slot] = station
            if service < len(deployment.application.services):
                for slot, workers, name in placed.get("service-account", []):
                    account = (slot, service, node)
                    if account not in self.of_account:
                        label = f"{name} of {deployment.application.services[service].name} on node {node + 1}"
                        self.of_account[account] = self._workers(label, workers)
                    row[slot] = self.of_account[account]
            rows.append(row)
            self.pod_node.append(node)
            self.pod_service.append(service)

        for number, service in enumerate(deployment.application.services):
            for replica in range(service.replicas):
                name = f"{service.name}-{replica + 1}"
                queue = -1 if service.concurrency.queue is None else service.concurrency.queue
                own = [(THREADS_SLOT, self._pool(f"threads of {name}", service.concurrency.threads, queue))]
                own += [(s, self._workers(f"{p} of {name}", w)) for s, w, p in placed.get("pod", [])]
                pod(number, own)
        services = len(deployment.application.services)
        for group in range(deployment.waypoints):
            for replica in range(deployment.waypoint_pods):
                label = f"{group + 1}-{replica + 1}" if deployment.waypoints > 1 else f"{replica + 1}"
                pod(services + group, [(s, self._workers(f"{p}-{label}", w)) for s, w, p in placed["waypoint"]])
        self.pod_station: Ints = np.array(rows, np.int64).reshape(len(rows), slots)

    def _workers(self, name: str, workers: int) -> int:
        """The first station of a proxy's workers: one pool, or one station a worker if connections are pinned."""
        if not self.pinned:
            return self._pool(name, workers)
        return min(self._pool(f"worker {worker + 1} of {name}", 1) for worker in range(workers))

    def _pool(self, name: str, tokens: int, line: int = -1) -> int:
        self.line.append(line)
        self.names.append(name)
        self.servers.append(tokens)
        self.is_cpu.append(False)
        self.slice_ns.append(0)
        return len(self.names) - 1


def _ints(values: Sequence[int] | np.ndarray) -> Ints:
    return np.asarray(values, np.int64)
