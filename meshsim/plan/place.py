"""Placement: which pod runs on which node, by what Kubernetes reserves for it."""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass

from meshsim.scenario.application import Resources
from meshsim.scenario.base import MeshsimError
from meshsim.scenario.machine import Machine
from meshsim.scenario.scenario import Cluster


class PlacementError(MeshsimError):
    """The pods do not fit on the nodes."""


@dataclass(frozen=True)
class PodRequest:
    """A group of equal pods that want a place: ``count`` replicas, each reserving so much."""

    name: str
    count: int
    cores: float
    memory_mib: float


@dataclass(frozen=True)
class Placement:
    """Node of every pod, in the order of the groups; and how many nodes there are."""

    nodes: int
    node_of_pod: list[int]


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
    """
    room = _room_for_pods(machine, daemons)
    for group in groups:
        if group.cores > room.cores or group.memory_mib > room.memory_mib:
            raise PlacementError(
                f"a pod of {group.name} reserves {group.cores:.2f} cores and {group.memory_mib:.0f} MiB; "
                f"a {machine.name} has {room.cores:.2f} cores and {room.memory_mib:.0f} MiB left for pods: "
                "choose a larger machine or smaller requests"
            )
    least = _least_nodes(groups, room)
    put = _spread if cluster.placement == "spread" else _bin_pack
    if cluster.nodes != "auto":
        chosen = put(groups, room, cluster.nodes)
        if chosen is None:
            raise PlacementError(
                f"cluster.nodes: {cluster.nodes} received; the pods reserve enough for at least {least} "
                f"nodes of type {machine.name}"
            )
        return Placement(cluster.nodes, chosen)
    nodes = least
    while True:
        chosen = put(groups, room, nodes)
        if chosen is not None:
            return Placement(nodes, chosen)
        nodes += max(1, nodes // 50)


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
