"""Zones and bandwidth: what a message meets between two nodes besides the wire.

The network interface of a node has two stations, one a direction, first in, first out; a message to another node
occupies each for its size in bytes times the ns that a byte takes. Its first byte goes on the wire when it is the
message's turn to be sent, and it has arrived when the receiving interface has taken it in: without others in the way
the bytes are waited for once. Many that answer one at the same instant wait for its interface (incast). What leaves a
zone takes turns on the link of the zone, which passes on whole messages. The client's own interface is not ours.
"""

from __future__ import annotations

from dataclasses import dataclass

from meshsim.costs.books import Costs
from meshsim.plan.plan import Op, Place, Tag, When
from meshsim.plan.program import Instruction, Program, detached, spend
from meshsim.plan.stops import HopKind
from meshsim.scenario.scenario import Cluster

NIC = Tag("network", "network.interface")
ZONE_LINK = Tag("network", "network.zone-link")
BETWEEN_NODES = (When.OTHER_NODE, When.SAME_ZONE, When.OTHER_ZONE)


def wire_between_nodes(
    costs: Costs, here: Place, there: Place, key: str, *, zones: bool, size: int = 0, times: float = 1.0
) -> Program:
    """``times`` messages from node to node; with ``zones``, what that takes depends on whether one is left."""
    if not zones:
        cost = costs["kernel.wire.cross-node"]
        return spend(cost, "network", here, key, size=size, times=times, when=When.OTHER_NODE, other=there)
    program: Program = []
    for name, when in (("cross-node", When.SAME_ZONE), ("cross-zone", When.OTHER_ZONE)):
        cost = costs[f"kernel.wire.{name}"]
        program += spend(cost, "network", here, key, size=size, times=times, when=when, other=there)
    return program


@dataclass(frozen=True)
class Bandwidth:
    """Slots of the stations and what a byte takes there, ns; None where there is no limit."""

    slots: int
    """Of a pod in all."""
    sending: int
    receiving: int
    ns_per_byte: float | None
    leaving: int
    """The link of the zone of a pod's node."""
    zone_ns_per_byte: float | None

    def applied(self, program: Program, kind: HopKind) -> Program:
        """The hop with turns at the interfaces of both nodes, and at the zone's link, around each message."""
        spaced: Program = []
        size = kind.request_bytes
        for i in program:
            if i.op == Op.BODY:
                size = kind.response_bytes
            counts = bool(size) and is_wire(i)
            if counts and i.when != When.OTHER_ZONE and not (kind.from_outside and i.at == Place.SOURCE):
                spaced += self._sent(i.at, i.other, size)
            spaced.append(i)
            if counts and i.when != When.SAME_ZONE and not (kind.from_outside and i.other == Place.SOURCE):
                spaced += self._received(i.at, i.other, size)
        return spaced

    def _sent(self, here: Place, there: Place, size: int) -> Program:
        program: Program = []
        if self.ns_per_byte is not None:
            take, hold, leave = _turn(here, there, self.sending, NIC, When.OTHER_NODE, size * self.ns_per_byte)
            program += [take, *detached([hold, leave])]
        if self.zone_ns_per_byte is not None:
            program += _turn(here, there, self.leaving, ZONE_LINK, When.OTHER_ZONE, size * self.zone_ns_per_byte)
        return program

    def _received(self, here: Place, there: Place, size: int) -> Program:
        if self.ns_per_byte is None:
            return []
        return _turn(there, here, self.receiving, NIC, When.OTHER_NODE, size * self.ns_per_byte)


def bandwidth_of(cluster: Cluster, first_slot: int) -> Bandwidth:
    """What a cluster limits; its stations have the slots from ``first_slot`` on."""
    nic, link = cluster.nic_gbps, cluster.cross_zone_gbps
    slots = first_slot + 2 * (nic is not None) + (link is not None)
    return Bandwidth(
        slots,
        first_slot,
        first_slot + 1,
        None if nic is None else 8 / nic,
        slots - 1,
        None if link is None else 8 / link,
    )


def _turn(at: Place, other: Place, slot: int, tag: Tag, when: When, ns: float) -> Program:
    take = Instruction(Op.ACQUIRE, at=at, other=other, when=when, slot=slot, tag=tag)
    return [take, take._replace(op=Op.WAIT, slot=0, mean_ns=max(1, round(ns))), take._replace(op=Op.RELEASE, tag=None)]


def is_wire(i: Instruction) -> bool:
    """Whether it is a message's time between two nodes."""
    return i.op == Op.WAIT and i.when in BETWEEN_NODES and i.tag is not None and i.tag.component == "network"
