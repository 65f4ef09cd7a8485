"""Bandwidth: the network interface of a node sends one message after the other.

The interface is a station of its own, first in, first out; a message to another node occupies it for its size in bytes
times the ns that a byte takes, before it goes on the wire. Only sending is modelled: what one node receives, others
have sent. The client's own interface is not ours.
"""

from __future__ import annotations

from dataclasses import replace

from meshsim.plan.plan import Op, Place, Tag, When
from meshsim.plan.program import Instruction, Program

NIC = Tag("network", "network.interface")


def with_bandwidth(
    program: Program, slot: int, ns_per_byte: float, request_bytes: int, response_bytes: int, *, from_outside: bool
) -> Program:
    """The hop with a turn at the sender's interface (in ``slot``) before each wire between two nodes."""
    spaced: Program = []
    size = request_bytes
    for i in program:
        if i.op == Op.BODY:
            size = response_bytes
        on_wire = i.op == Op.WAIT and i.when == When.OTHER_NODE and i.tag is not None and i.tag.component == "network"
        if on_wire and size and not (from_outside and i.at == Place.SOURCE):
            turn = Instruction(Op.ACQUIRE, at=i.at, other=i.other, when=When.OTHER_NODE, slot=slot, tag=NIC)
            sending = replace(turn, op=Op.WAIT, slot=0, mean_ns=max(1, round(size * ns_per_byte)))
            spaced += [turn, sending, replace(turn, op=Op.RELEASE, tag=None)]
        spaced.append(i)
    return spaced
