"""Placement: which pod runs on which node, by what Kubernetes reserves for it."""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np

from meshsim.scenario.application import Resources
from meshsim.scenario.base import MeshsimError
from meshsim.scenario.machine import Machine
from meshsim.scenario.scenario import Cluster

LONG_RUN = 32
"""From so many equal pods in a group on, in the mean, they are placed at once."""


class PlacementError(MeshsimError):
    """The pods do not fit on the nodes."""


@dataclass(frozen=True)
class PodRequest:
    """A group of equal pods that want a place: ``count`` replicas, each reserving so much.

    The last ``later`` of them are not there at the start: an autoscaler may ask for them.
    """

    name: str
    count: int
    cores: float
    memory_mib: float
    later: int = 0


@dataclass(frozen=True)
class Placement:
    """Node of every pod, in the order of the groups; and how many nodes there are, with those for later pods."""

    nodes: int
    node_of_pod: list[int]
    nodes_at_start: int


@dataclass(frozen=True)
class _Room:
    """What a node has left for pods after its daemons."""

    cores: float
    memory_mib: float
    pods: int


def place(groups: Sequence[PodRequest], machine: Machine, daemons: Sequence[Resources], cluster: Cluster) -> Placement:
    """Put every pod on a node. ``daemons``: what each node sets aside for a pod of its own.

    ``spread`` gives the next replica to the node with the least reserved share; ``bin-pack`` fills one node after the
    other. ``nodes: auto`` takes the fewest nodes that work. PlacementError if a pod is larger than a node, or if the
    given number of nodes is too small.

    Later pods come when all others are placed, group by group: into the room that is left on the nodes of the start,
    and with ``nodes: auto`` onto further nodes when there is none.
    """
    room = _room_for_pods(machine, daemons)
    if room.pods < 1:
        raise PlacementError(
            f"a {machine.name} may run {machine.max_pods} pods, as many as run on each node for the data plane: "
            "no room is left for others; choose a machine with more max_pods"
        )
    for group in groups:
        if group.cores > room.cores or group.memory_mib > room.memory_mib:
            raise PlacementError(
                f"a pod of {group.name} reserves {group.cores:.2f} cores and {group.memory_mib:.0f} MiB; "
                f"a {machine.name} has {room.cores:.2f} cores and {room.memory_mib:.0f} MiB left for pods: "
                "choose a larger machine or smaller requests"
            )
    at_start = [replace(group, count=group.count - group.later, later=0) for group in groups]
    started = _place_at_start(at_start, room, machine, cluster, _least_nodes(groups, room))
    if not any(group.later for group in groups):
        return started
    return _place_later(groups, started, room, machine, cluster)


def _place_at_start(
    groups: Sequence[PodRequest], room: _Room, machine: Machine, cluster: Cluster, least_in_all: int
) -> Placement:
    put = _spread if cluster.placement == "spread" else _bin_pack
    nodes = _least_nodes(groups, room)
    groups = _together(groups)
    if cluster.nodes != "auto":
        chosen = put(groups, room, cluster.nodes) if cluster.nodes >= least_in_all else None
        if chosen is None:
            raise _too_few_nodes(cluster, machine, least_in_all)
        return Placement(cluster.nodes, chosen, cluster.nodes)
    while True:
        chosen = put(groups, room, nodes)
        if chosen is not None:
            return Placement(nodes, chosen, nodes)
        nodes += max(1, nodes // 50)


def _together(groups: Sequence[PodRequest]) -> list[PodRequest]:
    """Neighbours that reserve the same, as one group each."""
    equal = groupby(groups, lambda group: (group.cores, group.memory_mib))
    return [PodRequest("", sum(group.count for group in run), *need) for need, run in equal]


def _place_later(
    groups: Sequence[PodRequest], started: Placement, room: _Room, machine: Machine, cluster: Cluster
) -> Placement:
    """Later pods beside those of the start.

    Of each group those come first that have room on a node of the start with a pod of the group on it, which has the
    image; then those with room on another node of the start; then those on further nodes.
    """
    there = iter(started.node_of_pod)
    chosen = [[next(there) for _ in range(group.count - group.later)] for group in groups]
    left = [[room.cores, room.memory_mib, float(room.pods)] for _ in range(started.nodes)]
    for group, nodes in zip(groups, chosen, strict=True):
        for node in nodes:
            _take(left[node], group)

    def rank(node: int) -> float:
        """The best node is that with the lowest."""
        if cluster.placement == "bin-pack":
            return node
        return -min(left[node][0] / room.cores, left[node][1] / room.memory_mib)

    for group, nodes in zip(groups, chosen, strict=True):
        at_start = set(nodes)
        able: tuple[list[tuple[float, int]], list[tuple[float, int]]] = ([], [])  # nodes of the start, and later ones
        for node in range(len(left)) if group.later else ():
            if _fits(left[node], group):
                able[node >= started.nodes].append((rank(node), node))
        for heap in able:
            heapq.heapify(heap)
        later = []
        for _ in range(group.later):
            heap = able[0] or able[1]
            if heap:
                _, node = heapq.heappop(heap)
            elif cluster.nodes == "auto":
                node = len(left)
                left.append([room.cores, room.memory_mib, float(room.pods)])
            else:
                raise _too_few_nodes(cluster, machine, _least_nodes(groups, room))
            _take(left[node], group)
            if _fits(left[node], group):
                heapq.heappush(able[node >= started.nodes], (rank(node), node))
            later.append(node)
        # Equal pods: those come first that will serve first.
        nodes += sorted(later, key=lambda node: (node >= started.nodes, node not in at_start))
    return Placement(len(left), [node for nodes in chosen for node in nodes], started.nodes)


def _fits(free: list[float], pod: PodRequest) -> bool:
    return pod.cores <= free[0] + 1e-9 and pod.memory_mib <= free[1] + 1e-9 and free[2] >= 1


def _take(free: list[float], pod: PodRequest) -> None:
    for number, amount in enumerate((pod.cores, pod.memory_mib, 1.0)):
        free[number] -= amount


def _too_few_nodes(cluster: Cluster, machine: Machine, least: int) -> PlacementError:
    return PlacementError(
        f"cluster.nodes: {cluster.nodes} received; the pods reserve enough for at least {least} "
        f"nodes of type {machine.name}"
    )


def _room_for_pods(machine: Machine, daemons: Sequence[Resources]) -> _Room:
    return _Room(
        machine.allocatable_cores - sum(d.cpu_millicores for d in daemons) / 1000,
        machine.allocatable_memory_mib - sum(d.memory_mib for d in daemons),
        machine.max_pods - len(daemons),
    )


def _least_nodes(groups: Sequence[PodRequest], room: _Room) -> int:
    cores = sum(g.count * g.cores for g in groups)
    memory = sum(g.count * g.memory_mib for g in groups)
    pods = sum(g.count for g in groups)
    return max(1, math.ceil(max(cores / room.cores, memory / room.memory_mib, pods / room.pods) - 1e-9))


def _spread(groups: Sequence[PodRequest], room: _Room, nodes: int) -> list[int] | None:
    """The emptiest node takes the next pod; None if it has no room for it."""
    if sum(group.count for group in groups) >= LONG_RUN * len(groups):
        return _spread_runs(groups, room, nodes)
    heap = [(0.0, node, 0.0, 0.0, 0) for node in range(nodes)]
    chosen: list[int] = []
    for group in groups:
        for _ in range(group.count):
            _, node, cores, memory, pods = heap[0]
            cores, memory, pods = cores + group.cores, memory + group.memory_mib, pods + 1
            if cores > room.cores + 1e-9 or memory > room.memory_mib + 1e-9 or pods > room.pods:
                return None
            share = max(cores / room.cores, memory / room.memory_mib)
            heapq.heapreplace(heap, (share, node, cores, memory, pods))
            chosen.append(node)
    return chosen


def _spread_runs(groups: Sequence[PodRequest], room: _Room, nodes: int) -> list[int] | None:
    """The same for large groups.

    What a node's share would be with 0, 1, 2, … more of these pods says when it takes the next: the nodes take turns in
    the order of all those shares, and then of their numbers. The sums are added up one by one, so they are the same.
    """
    cores, memory, pods = np.zeros(nodes), np.zeros(nodes), np.zeros(nodes, np.int64)
    everyone = np.arange(nodes)
    chosen: list[int] = []
    for group in groups:
        turns = -(-group.count // nodes)
        while True:
            turns = min(2 * turns, max(room.pods, 0) + 1)  # nobody takes more than that
            held_cores, held_memory = (
                np.add.accumulate(np.column_stack([held, np.full((nodes, turns), more)]), axis=1)
                for held, more in ((cores, group.cores), (memory, group.memory_mib))
            )
            share = np.maximum(held_cores / room.cores, held_memory / room.memory_mib)[:, :turns]
            taker = np.argsort(share, axis=None, kind="stable")[: group.count] // turns
            taken = np.bincount(taker, minlength=nodes)
            if taken.max() < turns or turns > room.pods:
                break
        cores, memory, pods = held_cores[everyone, taken], held_memory[everyone, taken], pods + taken
        too_much = (cores > room.cores + 1e-9) | (memory > room.memory_mib + 1e-9) | (pods > room.pods)
        if too_much.any() or len(taker) < group.count:
            return None
        chosen += taker.tolist()
    return chosen


def _bin_pack(groups: Sequence[PodRequest], room: _Room, nodes: int) -> list[int] | None:
    """First node with room takes the next pod; nodes too full for the smallest pod are passed over for good."""
    cores, memory, pods = [0.0] * nodes, [0.0] * nodes, [0] * nodes
    smallest_cores = min((g.cores for g in groups), default=0.0)
    smallest_memory = min((g.memory_mib for g in groups), default=0.0)
    first_open = 0
    chosen: list[int] = []
    for group in groups:
        for _ in range(group.count):
            while first_open < nodes and (
                cores[first_open] + smallest_cores > room.cores + 1e-9
                or memory[first_open] + smallest_memory > room.memory_mib + 1e-9
                or pods[first_open] >= room.pods
            ):
                first_open += 1
            for node in range(first_open, nodes):
                fits = cores[node] + group.cores <= room.cores + 1e-9
                if fits and memory[node] + group.memory_mib <= room.memory_mib + 1e-9 and pods[node] < room.pods:
                    break
            else:
                return None
            cores[node] += group.cores
            memory[node] += group.memory_mib
            pods[node] += 1
            chosen.append(node)
    return chosen
