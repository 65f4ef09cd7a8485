"""What can be said before the first event: visits, utilisation, and the rate at which something saturates.

Plain operational analysis (utilisation = rate x demand / servers; Denning and Buzen, "The operational analysis of
queueing network models", 1978). Wake-ups are left out, because a saturated worker never sleeps; threads that are held
while upstreams answer are counted with the unloaded answer time. Both make the figure a lower bound.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from meshsim.plan.deploy import Deployment
from meshsim.plan.hops import HopKind
from meshsim.plan.plan import CPU_SLOT, Ints, Op, Place, When
from meshsim.plan.program import Program

EndpointId = tuple[int, int]
WORKS = (Op.WORK, Op.MORE)


class CallLike(Protocol):
    """What is needed to know of a call: see ``meshsim.plan.lower.CallRow``."""

    caller: int
    caller_endpoint: int
    callee: int
    callee_endpoint: int
    kind: HopKind
    times: float


class StationsLike(Protocol):
    """Stations of each pod: see ``meshsim.plan.lower``."""

    servers: list[int]
    pod_station: Ints
    slot_workers: Ints
    pod_zone: list[int]


def call_rates(calls: Sequence[CallLike]) -> tuple[list[float], dict[EndpointId, float]]:
    """Expected executions of each call, and visits to each endpoint, per end-to-end request."""
    outgoing: dict[EndpointId, list[int]] = {}
    waiting: Counter[EndpointId] = Counter()
    for number, call in enumerate(calls):
        if call.caller >= 0:
            outgoing.setdefault((call.caller, call.caller_endpoint), []).append(number)
            waiting[call.callee, call.callee_endpoint] += 1
    rates = [0.0] * len(calls)
    visits: dict[EndpointId, float] = {}
    for number, call in enumerate(calls):
        if call.caller < 0:
            rates[number] = call.times
            visits[call.callee, call.callee_endpoint] = (
                visits.get((call.callee, call.callee_endpoint), 0.0) + call.times
            )
    ready = [endpoint for endpoint in {*visits, *outgoing} if not waiting[endpoint]]
    while ready:
        endpoint = ready.pop()
        for number in outgoing.get(endpoint, []):
            call = calls[number]
            callee = (call.callee, call.callee_endpoint)
            rates[number] = visits.get(endpoint, 0.0) * call.times
            visits[callee] = visits.get(callee, 0.0) + rates[number]
            waiting[callee] -= 1
            if not waiting[callee]:
                ready.append(callee)
    return rates, visits


def expected_load(
    rps: float,
    calls: Sequence[CallLike],
    hops: Mapping[HopKind, Program],
    bodies: Mapping[EndpointId, Program],
    stations: StationsLike,
    deployment: Deployment,
) -> NDArray[np.float64]:
    """Expected utilisation of each station; shape (stations,)."""
    rates, visits = call_rates(calls)
    services = len(deployment.service_pods)
    slots = stations.pod_station.shape[1]
    busy_ns = np.zeros((services, slots))  # asked of the pods of a service, a request
    via_ns = np.zeros((max(deployment.waypoints, 1), slots))
    where = deployment.placement.node_of_pod
    nodes, zones = _PairsApart(deployment, where), _PairsApart(deployment, stations.pod_zone)

    demand = {kind: _demand(program, slots) for kind, program in hops.items()}
    for call, rate in zip(calls, rates, strict=True):
        always, if_apart, if_together, if_zones_differ = demand[call.kind]
        far = nodes.probability(call.caller, call.callee) if call.caller >= 0 else 1.0
        zone_left = zones.probability(call.caller, call.callee) if call.caller >= 0 else 0.0
        need = always + far * if_apart + (1.0 - far) * if_together + zone_left * if_zones_differ
        if call.caller >= 0:
            busy_ns[call.caller] += rate * need[Place.SOURCE]
        busy_ns[call.callee] += rate * need[Place.DESTINATION]
        via_ns[call.callee if deployment.waypoints > 1 else 0] += rate * need[Place.VIA]
    times = _Unloaded(calls, hops, bodies)
    for endpoint, visit in visits.items():
        always, *_ = _demand(bodies[endpoint], slots, times)
        busy_ns[endpoint[0]] += visit * always[Place.DESTINATION]

    counts = np.array(deployment.service_pods)
    per_pod = np.repeat(busy_ns / counts[:, None], counts, axis=0)
    if deployment.waypoints:
        per_pod = np.vstack([per_pod, np.repeat(via_ns / deployment.waypoint_pods, deployment.waypoint_pods, axis=0)])
    asked = np.zeros(len(stations.servers))
    there = stations.pod_station >= 0
    for workers in np.unique(stations.slot_workers):  # pinned connections spread evenly, in the mean
        of_these = there & (stations.slot_workers == workers)
        for worker in range(int(workers)):
            np.add.at(asked, stations.pod_station[of_these] + worker, per_pod[of_these] / workers)
    result: NDArray[np.float64] = asked * rps / 1e9 / np.array(stations.servers)
    return result


def _demand(program: Program, slots: int, times: _Unloaded | None = None) -> list[NDArray[np.float64]]:
    """Time asked of each (place, slot) by one run: always, if on different nodes, if on one, if in different zones."""
    always, if_apart, if_together, if_zones_differ = (np.zeros((3, slots)) for _ in range(4))
    under: dict[int, NDArray[np.float64]] = {
        When.ALWAYS: always, When.OTHER_NODE: if_apart, When.SAME_NODE: if_together, When.OTHER_ZONE: if_zones_differ,
    }  # fmt: skip
    held: dict[tuple[Place, int], int] = {}
    for number, i in enumerate(program):
        if i.op in WORKS and i.when in under:
            under[i.when][i.at, CPU_SLOT] += i.mean_ns
        elif i.op == Op.ACQUIRE:
            held[i.at, i.slot] = number + 1
        elif i.op == Op.RELEASE:
            block = program[held.pop((i.at, i.slot)) : number]
            if i.when != When.ALWAYS:  # a network interface, the link of a zone
                under[i.when][i.at, i.slot] += sum(step.mean_ns for step in block if step.op == Op.WAIT)
                continue
            always[i.at, i.slot] += times.of(block) if times else _working(block)
    return [always, if_apart, if_together, if_zones_differ]


def _working(block: Program) -> float:
    return float(sum(i.mean_ns for i in block if i.op in WORKS and i.when == When.ALWAYS))


class _Unloaded:
    """Mean time of a program when nothing queues: the longest branch of a fan-out counts (a lower bound)."""

    def __init__(
        self, calls: Sequence[CallLike], hops: Mapping[HopKind, Program], bodies: Mapping[EndpointId, Program]
    ) -> None:
        self.calls = calls
        self.bodies = bodies
        self.hop_ns = {kind: sum(i.mean_ns for i in program if i.when == When.ALWAYS) for kind, program in hops.items()}
        self.body_ns: dict[EndpointId, float] = {}

    def of(self, program: Program) -> float:
        total, longest, number = 0.0, 0.0, 0
        while number < len(program):
            i = program[number]
            if i.op == Op.START:
                call = self.calls[i.call]
                callee = (call.callee, call.callee_endpoint)
                longest = max(longest, i.probability * (self.hop_ns[call.kind] + self.body(callee)))
            elif i.op in (Op.SPAWN, Op.DETACH):
                if i.op == Op.SPAWN:
                    longest = max(longest, self.of(program[number + 1 : number + i.skip]))
                number += i.skip
            elif i.op == Op.JOIN:
                total, longest = total + longest, 0.0
            elif i.when == When.ALWAYS:
                total += i.mean_ns
            number += 1
        return total

    def body(self, endpoint: EndpointId) -> float:
        if endpoint not in self.body_ns:
            self.body_ns[endpoint] = self.of(self.bodies[endpoint])
        return self.body_ns[endpoint]


class _PairsApart:
    """Probability that a pod of one service and a pod of another are in different places: nodes, or zones."""

    def __init__(self, deployment: Deployment, place_of_pod: Iterable[int]) -> None:
        self.counts: list[Counter[int]] = []
        where = iter(place_of_pod)
        for pods in deployment.service_pods:
            self.counts.append(Counter(next(where) for _ in range(pods)))
        self.known: dict[tuple[int, int], float] = {}

    def probability(self, a: int, b: int) -> float:
        if (a, b) not in self.known:
            one, two = self.counts[a], self.counts[b]
            together = sum(count * two[node] for node, count in one.items())
            self.known[a, b] = 1.0 - together / (one.total() * two.total())
        return self.known[a, b]
