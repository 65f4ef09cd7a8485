"""What can be said before the first event: visits, utilisation, and the rate at which something saturates.

Plain operational analysis (utilisation = rate x demand / servers; Denning and Buzen, "The operational analysis of
queueing network models", 1978). Wake-ups are left out, because a saturated worker never sleeps; threads that are held
while upstreams answer are counted with the unloaded answer time. Both make the figure a lower bound.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from meshsim.plan.bodies import Body
from meshsim.plan.deploy import Deployment
from meshsim.plan.hops import HopKind
from meshsim.plan.plan import CPU_SLOT, THREADS_SLOT, Ints, Op, Place, When
from meshsim.plan.program import Program

EndpointId = tuple[int, int]
Floats = NDArray[np.float64]
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
    callees: list[EndpointId] = []
    visits: dict[EndpointId, float] = {}
    rates = [0.0] * len(calls)
    for number, call in enumerate(calls):
        callee = (call.callee, call.callee_endpoint)
        callees.append(callee)
        if call.caller >= 0:
            outgoing.setdefault((call.caller, call.caller_endpoint), []).append(number)
        else:
            rates[number] = call.times
            visits[callee] = visits.get(callee, 0.0) + call.times
    waiting = Counter(callees[number] for made in outgoing.values() for number in made)
    ready = [endpoint for endpoint in {*visits, *outgoing} if not waiting[endpoint]]
    while ready:
        endpoint = ready.pop()
        visit = visits.get(endpoint, 0.0)
        for number in outgoing.get(endpoint, ()):
            callee = callees[number]
            rates[number] = rate = visit * calls[number].times
            visits[callee] = visits.get(callee, 0.0) + rate
            waiting[callee] -= 1
            if not waiting[callee]:
                ready.append(callee)
    return rates, visits


def expected_load(
    rps: float,
    calls: Sequence[CallLike],
    hops: Mapping[HopKind, Program],
    bodies: Mapping[EndpointId, Body],
    stations: StationsLike,
    deployment: Deployment,
) -> Floats:
    """Expected utilisation of each station; shape (stations,)."""
    rates, visits = call_rates(calls)
    slots = stations.pod_station.shape[1]
    asked, via_asked = _asked_by_calls(calls, rates, hops, stations, deployment, slots)
    times = _Unloaded(calls, hops, bodies)
    for endpoint, visit in visits.items():
        body = times.body(endpoint)
        asked[endpoint[0], CPU_SLOT] += visit * body.cpu_ns
        asked[endpoint[0], THREADS_SLOT] += visit * body.held_ns

    counts = np.array(deployment.service_pods)
    per_pod = np.repeat(asked / counts[:, None], counts, axis=0)
    if deployment.waypoints:
        each = via_asked / deployment.waypoint_pods
        per_pod = np.vstack([per_pod, np.repeat(each, deployment.waypoint_pods, axis=0)])
    busy = np.zeros(len(stations.servers))
    there = stations.pod_station >= 0
    for workers in np.unique(stations.slot_workers):  # pinned connections spread evenly, in the mean
        of_these = there & (stations.slot_workers == workers)
        for worker in range(int(workers)):
            np.add.at(busy, stations.pod_station[of_these] + worker, per_pod[of_these] / workers)
    result: Floats = busy * rps / 1e9 / np.array(stations.servers)
    return result


def _asked_by_calls(
    calls: Sequence[CallLike],
    rates: Sequence[float],
    hops: Mapping[HopKind, Program],
    stations: StationsLike,
    deployment: Deployment,
    slots: int,
) -> tuple[Floats, Floats]:
    """(services, slots) and (waypoints, slots): ns asked by the hops of all pods of a service, and of a waypoint."""
    number = {kind: n for n, kind in enumerate(hops)}
    kind = np.array([number[call.kind] for call in calls])
    caller, callee = (np.array(column) for column in zip(*((call.caller, call.callee) for call in calls), strict=True))
    inside = caller >= 0
    far, zone_left = np.ones(len(calls)), np.zeros(len(calls))
    pairs = caller[inside], callee[inside]
    far[inside] = _PairsApart(deployment, deployment.placement.node_of_pod).probability(*pairs)
    zone_left[inside] = _PairsApart(deployment, stations.pod_zone).probability(*pairs)
    demand = np.array([_demand(program, slots) for program in hops.values()])
    always, if_apart, if_together, if_zones_differ = (demand[kind, case] for case in range(4))
    far, zone_left = far[:, None, None], zone_left[:, None, None]
    need = always + far * if_apart + (1.0 - far) * if_together + zone_left * if_zones_differ
    asked = np.array(rates)[:, None, None] * need

    ends = np.stack([caller, callee], axis=1).ravel()
    of_ends = asked[:, [Place.SOURCE, Place.DESTINATION]].reshape(-1, slots)[ends >= 0]
    group = callee if deployment.waypoints > 1 else np.zeros_like(callee)
    return (
        _sums(ends[ends >= 0], of_ends, len(deployment.service_pods)),
        _sums(group, asked[:, Place.VIA], max(deployment.waypoints, 1)),
    )


def _sums(row: Ints, values: Floats, rows: int) -> Floats:
    """Values of each row added up, in their order; shape (rows, columns)."""
    return np.stack([np.bincount(row, column, rows) for column in values.T], axis=1)


def _demand(program: Program, slots: int) -> list[Floats]:
    """Time asked of each (place, slot) by one hop: always, if on different nodes, if on one, if in different zones."""
    always, if_apart, if_together, if_zones_differ = (np.zeros((3, slots)) for _ in range(4))
    under: dict[int, Floats] = {
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
            else:
                always[i.at, i.slot] += _working(block)
    return [always, if_apart, if_together, if_zones_differ]


def _working(block: Program) -> float:
    total, number = 0.0, 0
    while number < len(block):
        i = block[number]
        if i.op == Op.DETACH and i.when != When.ALWAYS:
            number += i.skip
        elif i.op in WORKS and i.when == When.ALWAYS:
            total += i.mean_ns
        number += 1
    return total


class BodyTimes(NamedTuple):
    """Of one visit to an endpoint, ns."""

    cpu_ns: float
    held_ns: float
    """For which its thread is held."""
    whole_ns: float


class _Unloaded:
    """Mean times when nothing queues: the longest branch of a fan-out counts (a lower bound)."""

    def __init__(
        self, calls: Sequence[CallLike], hops: Mapping[HopKind, Program], bodies: Mapping[EndpointId, Body]
    ) -> None:
        self.calls = calls
        self.bodies = bodies
        self.hop_ns = {kind: sum(i.mean_ns for i in program if i.when == When.ALWAYS) for kind, program in hops.items()}
        self.same: dict[tuple[int, tuple[float, ...]], BodyTimes] = {}
        self.known: dict[EndpointId, BodyTimes] = {}

    def body(self, endpoint: EndpointId) -> BodyTimes:
        """Endpoints with the same program whose calls take the same are looked at once."""
        if endpoint not in self.known:
            body = self.bodies[endpoint]
            answers = []
            for call in self.calls[body.first_call : body.first_call + body.calls]:
                callee = self.body((call.callee, call.callee_endpoint))
                answers.append(self.hop_ns[call.kind] + callee.whole_ns)
            key = (id(body.program), tuple(answers))
            if key not in self.same:
                self.same[key] = _times(body.program, answers)
            self.known[endpoint] = self.same[key]
        return self.known[endpoint]


def _times(program: Program, answers: Sequence[float]) -> BodyTimes:
    held, since = 0.0, 0
    for number, i in enumerate(program):
        if i.op == Op.ACQUIRE:
            since = number + 1
        elif i.op == Op.RELEASE:
            held += _alone(program[since:number], answers)
    return BodyTimes(_working(program), held, _alone(program, answers))


def _alone(program: Program, answers: Sequence[float]) -> float:
    """Time of a program, ns; ``answers``: of its calls."""
    total, longest, number = 0.0, 0.0, 0
    while number < len(program):
        i = program[number]
        if i.op == Op.START:
            longest = max(longest, i.probability * answers[i.call])
        elif i.op in (Op.SPAWN, Op.DETACH):
            if i.op == Op.SPAWN:
                longest = max(longest, _alone(program[number + 1 : number + i.skip], answers))
            number += i.skip
        elif i.op == Op.JOIN:
            total, longest = total + longest, 0.0
        elif i.when == When.ALWAYS:
            total += i.mean_ns
        number += 1
    return total


class _PairsApart:
    """Probability that a pod of one service and a pod of another are in different places: nodes, or zones."""

    def __init__(self, deployment: Deployment, place_of_pod: Sequence[int]) -> None:
        self.pods = np.array(deployment.service_pods)
        services = len(self.pods)
        service = np.repeat(np.arange(services), self.pods)
        place = np.array(place_of_pod[: len(service)])
        self.places = int(place.max()) + 1
        # Places of each service in order, those of service s from first[s] to first[s + 1].
        self.key, self.count = np.unique(service * self.places + place, return_counts=True)
        self.first = np.searchsorted(self.key, np.arange(services + 1) * self.places)

    def probability(self, one: Ints, other: Ints) -> Floats:
        """(n,) for pods of services ``one`` and ``other``, (n,) each."""
        services = len(self.pods)
        pairs, number = np.unique(one * services + other, return_inverse=True)
        one, other = pairs // services, pairs % services
        begin, length = self.first[one], self.first[one + 1] - self.first[one]
        pair = np.repeat(np.arange(len(pairs)), length)
        entry = np.arange(len(pair)) + np.repeat(begin - np.cumsum(length) + length, length)
        wanted = other[pair] * self.places + self.key[entry] % self.places
        found = np.minimum(np.searchsorted(self.key, wanted), len(self.key) - 1)
        both = np.where(self.key[found] == wanted, self.count[entry] * self.count[found], 0)
        together = np.bincount(pair, both, len(pairs))
        apart: Floats = 1.0 - together / (self.pods[one] * self.pods[other])
        return apart[number]
