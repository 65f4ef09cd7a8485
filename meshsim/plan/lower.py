"""Lowering: an application over a data plane on a cluster, under load, becomes the arrays of a ``Plan``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from meshsim.costs.books import Costs
from meshsim.costs.what_if import what_if
from meshsim.plan.arrivals import SCHEDULE, arrivals_of, mean_rps
from meshsim.plan.autoscaling import at_most, autoscaler_rows, scale_ups
from meshsim.plan.bill import bill_of
from meshsim.plan.bodies import Bodies, Body
from meshsim.plan.deploy import Deployment, deploy
from meshsim.plan.draws import purpose
from meshsim.plan.expect import expected_load
from meshsim.plan.faults import fault_rows
from meshsim.plan.hops import HopKind, hop
from meshsim.plan.laws import COLD, law_table
from meshsim.plan.network import bandwidth_of
from meshsim.plan.plan import CPU_SLOT, FIRST_PROXY_SLOT, THREADS_SLOT, Ints, Op, Plan, Tag
from meshsim.plan.program import Instruction, Program
from meshsim.plan.quota import container_quotas
from meshsim.plan.requirements import as_installed
from meshsim.plan.resilience import with_resilience
from meshsim.plan.routes import acting_stop
from meshsim.plan.routes import build as build_routes
from meshsim.plan.traffic import cross_zone_bytes
from meshsim.plan.wakeups import Wakeups, wakeups_of
from meshsim.scenario.application import Application, Call, Entry
from meshsim.scenario.base import MeshsimError
from meshsim.scenario.dataplane import DataPlane
from meshsim.scenario.machine import Machine
from meshsim.scenario.no_collection import no_collection
from meshsim.scenario.scenario import Scenario

WHOLE = 1 << 32
"""A probability of one, in the fixed point of START and of the entries."""
JUMPS = (Op.SPAWN, Op.DETACH, Op.ATTEMPT, Op.JOIN, Op.ACQUIRE, Op.RELEASE, Op.CONNECT, Op.LIMIT)
"""Instructions whose target is an instruction; it lies so many behind them as ``skip`` says."""
LONGEST = 1 << 62
"""No random time may exceed this many nanoseconds x 2**24: draws stay within 64 bits in every engine."""


class OverloadedError(MeshsimError):
    """A station would have to work more than it can."""


@dataclass(slots=True)
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


COLUMNS = ("op", "at", "other", "when", "slot", "target", "mean_ns", "law", "tag", "purpose", "amount")
TARGET, PURPOSE = COLUMNS.index("target"), COLUMNS.index("purpose")


def _amount(i: Instruction) -> int:
    if i.op == Op.RELEASE:
        return int(i.by_turn)
    if i.law[0] == "cold":
        return max(1, round(i.law[1] * 1e6))
    return round(i.probability * WHOLE)


@dataclass
class Assembler:
    """Turns programs into rows of integers, and remembers the laws and tags they name."""

    parts: list[Ints] = field(default_factory=list)
    length: int = 0
    laws: dict[tuple[str, float], int] = field(default_factory=dict)
    tables: list[Ints] = field(default_factory=list)
    tags: dict[Tag, int] = field(default_factory=dict)

    def add(self, program: Program) -> int:
        """Append a program; the number of its first instruction."""
        return int(self.add_bodies([Body(program, "")])[0])

    def add_bodies(self, bodies: Sequence[Body]) -> Ints:
        """Append programs, of which many are the same; the number of the first instruction of each."""
        edges = np.cumsum([self.length, *(len(body.program) for body in bodies)])
        part = np.empty((edges[-1] - self.length, len(COLUMNS)), np.int64)
        same: dict[int, list[int]] = {}
        for number, body in enumerate(bodies):
            same.setdefault(id(body.program), []).append(number)
        for numbers in same.values():
            program = bodies[numbers[0]].program
            rows = np.repeat(self.rows(program)[None], len(numbers), axis=0)
            jumps, calls, words = (
                np.flatnonzero([test(i) for i in program])
                for test in (lambda i: i.op in JUMPS, lambda i: i.op == Op.START, lambda i: i.purpose)
            )
            first = edges[numbers][:, None]
            rows[:, jumps, TARGET] += first
            rows[:, calls, TARGET] += np.array([[bodies[number].first_call] for number in numbers])
            texts = [program[word].purpose for word in words]
            found = [purpose(bodies[number].where + text) for number in numbers for text in texts]
            rows[:, words, PURPOSE] = np.array(found, np.int64).reshape(len(numbers), len(words))
            part[first - self.length + np.arange(len(program))] = rows
        self.parts.append(part)
        self.length = int(edges[-1])
        return edges[:-1]

    def rows(self, program: Program) -> Ints:
        """(m, columns) as if the program began at instruction 0 and its first call were call 0, without purposes."""
        rows = [
            (
                i.op, i.at, i.other, i.when, i.slot,
                behind + i.skip if i.op in JUMPS else i.call,
                i.mean_ns,
                self.law(i.law, i.mean_ns),
                -1 if i.tag is None else self.tags.setdefault(i.tag, len(self.tags)),
                0,
                _amount(i),
            )
            for behind, i in enumerate(program, 1)
        ]  # fmt: skip
        return np.array(rows, np.int64).reshape(-1, len(COLUMNS))

    def columns(self) -> dict[str, Ints]:
        """One array a column."""
        table = np.concatenate(self.parts)
        return {name: np.ascontiguousarray(column) for name, column in zip(COLUMNS, table.T, strict=True)}

    def law(self, law: tuple[str, float], mean_ns: int) -> int:
        """Number of a law's table, -1 for a constant, COLD for what depends on sleep."""
        if law[0] == "cold":
            return COLD
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
    with no_collection():
        return _lower(application, dataplane, machine, scenario, costs)


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
    bodies = endpoint_bodies(application, wakeups_of(costs))

    assembler = Assembler()
    service_pods = np.array(deployment.service_pods, np.int64)
    first_pod = np.concatenate([[0], np.cumsum(service_pods)[:-1]]).astype(np.int64)
    app_pods = int(service_pods.sum())
    via_group = np.arange(len(service_pods)) if deployment.waypoints > 1 else np.zeros(len(service_pods), np.int64)
    has_via = deployment.waypoints > 0
    first_via = _ints(app_pods + via_group * deployment.waypoint_pods if has_via else via_group - 1)
    routes = build_routes(application, scenario, deployment, calls, first_pod, first_via)
    quotas = container_quotas(deployment, scenario)

    acts = np.vstack([routes.call_policy, routes.call_pool]).T >= 0
    acts, token_ns = acts.tolist(), routes.token_ns.tolist()
    hop_start: dict[tuple[object, ...], int] = {}
    call_program = []
    for number, row in enumerate(calls):
        library, proxy, pooled = acts[number]
        limited = token_ns[row.callee] > 0
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
    charged = {id(body.program): quotas.charged(body.program) for body in bodies.values()}
    starts = assembler.add_bodies([body._replace(program=charged[id(body.program)]) for body in bodies.values()])
    body_start = dict(zip(bodies, starts.tolist(), strict=True))
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
        station_is_cpu=stations.is_cpu,
        station_slice_ns=stations.slice_ns,
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
        faults=fault_rows(scenario, deployment, first_pod, first_via, stations.pod_station, stations.slot_workers),
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
    names = [[endpoint.name for endpoint in service.endpoints] for service in application.services]
    kinds: dict[HopKind, HopKind] = {}

    def row(where: str, caller: int, endpoint: int, to: Call | Entry, times: float) -> CallRow:
        service = index[to.service]
        called = names[service].index(to.endpoint) if to.endpoint else 0
        size, per_connection = (to.request_bytes, to.response_bytes), to.requests_per_connection
        kind = HopKind(to.protocol, *size, caller < 0, per_connection, zones)
        name = f"{where} -> {to.service}/{names[service][called]}"
        return CallRow(name, caller, endpoint, service, called, kinds.setdefault(kind, kind), times)

    weights = sum(entry.weight for entry in application.entries)
    rows = [row("client", -1, 0, entry, entry.weight / weights) for entry in application.entries]
    for caller, service in enumerate(application.services):
        for number, endpoint in enumerate(service.endpoints):
            where = f"{service.name}/{endpoint.name}"
            rows += [row(where, caller, number, call, call.times * call.probability) for call in endpoint.calls()]
    return rows


def endpoint_bodies(application: Application, wakeups: Wakeups | None = None) -> dict[tuple[int, int], Body]:
    """Body of each (service, endpoint); calls are numbered as in ``call_rows``."""
    next_call = len(application.entries)
    bodies, found = Bodies(wakeups), {}
    for service_number, service in enumerate(application.services):
        for endpoint_number, endpoint in enumerate(service.endpoints):
            here = bodies.of(service, endpoint, next_call)
            found[service_number, endpoint_number] = here
            next_call += here.calls
    return found


class _Stations:
    """Numbers the stations and tells each pod which ones it meets."""

    def __init__(self, deployment: Deployment, machine: Machine, scenario: Scenario) -> None:
        bandwidth = bandwidth_of(scenario.cluster, FIRST_PROXY_SLOT + len(deployment.dataplane.proxies))
        slots = bandwidth.slots
        nodes = deployment.nodes
        self.names = [f"CPU of node {node + 1}" for node in range(nodes)]
        self.servers = [machine.cores] * nodes
        self.line = [-1] * nodes
        # With connections, a worker serves those that are pinned to it: each worker is a station of its own.
        self.pinned = bool(scenario.connections)
        self.slot_workers: Ints = np.ones(slots, np.int64)
        placed = {proxy.placed: [] for proxy in deployment.proxies}  # type: dict[str, list[tuple[int, int, str]]]
        for proxy, number in zip(deployment.proxies, deployment.proxy_slot, strict=True):
            placed[proxy.placed].append((FIRST_PROXY_SLOT + number, proxy.workers, proxy.name))
            if self.pinned:
                self.slot_workers[FIRST_PROXY_SLOT + number] = proxy.workers
        self.on_node: Ints = np.full((nodes, slots), -1, np.int64)
        self.on_node[:, CPU_SLOT] = np.arange(nodes)
        for node in range(nodes):
            for slot, workers, name in placed.get("node", []):
                self.on_node[node, slot] = self._workers(f"{name} on node {node + 1}", workers)
        if bandwidth.ns_per_byte is not None:
            for node in range(nodes):
                for slot, way in ((bandwidth.sending, "sending"), (bandwidth.receiving, "receiving")):
                    self.on_node[node, slot] = self._pool(f"network interface of node {node + 1}, {way}", 1)
        if bandwidth.zone_ns_per_byte is not None:
            links = [self._pool(f"link out of zone {zone + 1}", 1) for zone in range(scenario.cluster.zones)]
            self.on_node[:, bandwidth.leaving] = [links[node % scenario.cluster.zones] for node in range(nodes)]
        where = deployment.placement.node_of_pod
        self.pod_zone = [node % scenario.cluster.zones for node in where]
        services = deployment.application.services
        self.pod_service = [number for number, service in enumerate(services) for _ in range(service.replicas)]
        pods = len(self.pod_service)
        names = [f"{service.name}-{replica + 1}" for service in services for replica in range(service.replicas)]
        threads = [
            (each.threads, -1 if each.queue is None else each.queue) for each in (s.concurrency for s in services)
        ]
        of_pod = [threads[number] for number in self.pod_service]
        beside, accounts = placed.get("pod", []), placed.get("service-account", [])
        known: dict[tuple[int, int, int], int] = {}
        # Stations of an account come behind those of the first pod that needs them: else all pods at once.
        step = 1 if accounts else max(pods, 1)
        self.parts: list[Ints] = []
        for first in range(0, pods, step):
            these = slice(first, first + step)
            rows = self._pods(where[:pods][these], names[these], beside, of_pod[these])
            number, node = self.pod_service[first], where[first]
            for slot, workers, name in accounts:
                account = (slot, number, node)
                if account not in known:
                    known[account] = self._workers(f"{name} of {services[number].name} on node {node + 1}", workers)
                rows[:, slot] = known[account]
        if deployment.waypoints:
            many, pods_of_each = deployment.waypoints > 1, range(1, deployment.waypoint_pods + 1)
            groups = range(1, deployment.waypoints + 1)
            names = [f"{group}-{each}" if many else f"{each}" for group in groups for each in pods_of_each]
            self._pods(where[pods : pods + len(names)], names, placed["waypoint"], between="-")
            self.pod_service += [len(services) + group - 1 for group in groups for _ in pods_of_each]
        self.pod_station: Ints = np.concatenate(self.parts)
        self.pod_node = where[: len(self.pod_station)]
        self.is_cpu = np.arange(len(self.names)) < nodes
        self.slice_ns: Ints = np.where(self.is_cpu, round(scenario.cluster.cpu_slice_us * 1000), 0)

    def _pods(
        self,
        nodes: Sequence[int],
        names: Sequence[str],
        proxies: Sequence[tuple[int, int, str]],
        threads: Sequence[tuple[int, int]] = (),
        between: str = " of ",
    ) -> Ints:
        """Rows of pods that have proxies of their own, (slot, workers, name) each, and perhaps ``threads``: (threads,
        places in the line) of each pod."""
        rows = self.on_node[nodes]
        each = ["threads"] if threads else []
        slots = [(THREADS_SLOT, 0)] if threads else []
        servers: list[int] = []
        for slot, workers, name in proxies:
            slots.append((slot, len(each)))
            each += [f"worker {worker + 1} of {name}" for worker in range(workers)] if self.pinned else [name]
            servers += [1] * workers if self.pinned else [workers]
        for slot, behind in slots:
            rows[:, slot] = len(self.names) + behind + np.arange(len(nodes)) * len(each)
        self.names += [f"{what}{between}{name}" for name in names for what in each]
        unbounded = [-1] * len(servers)
        for own in threads:
            self.servers += [own[0], *servers]
            self.line += [own[1], *unbounded]
        if not threads:
            self.servers += servers * len(names)
            self.line += unbounded * len(names)
        self.parts.append(rows)
        return rows

    def _workers(self, name: str, workers: int) -> int:
        """The first station of a proxy's workers: one pool, or one station a worker if connections are pinned."""
        if not self.pinned:
            return self._pool(name, workers)
        return min(self._pool(f"worker {worker + 1} of {name}", 1) for worker in range(workers))

    def _pool(self, name: str, tokens: int, line: int = -1) -> int:
        self.line.append(line)
        self.names.append(name)
        self.servers.append(tokens)
        return len(self.names) - 1


def _ints(values: Sequence[int] | np.ndarray) -> Ints:
    return np.asarray(values, np.int64)
