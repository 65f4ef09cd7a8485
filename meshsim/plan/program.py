"""Instructions before they become rows of integers, and the two-line helpers that write them."""

from __future__ import annotations

from typing import NamedTuple

from meshsim.costs.book import Cost
from meshsim.plan.plan import Component, Op, Place, Tag, When


class Instruction(NamedTuple):
    """One step of a program. (A tuple, because a large application has a million of them.)

    ``skip`` (SPAWN, DETACH, ATTEMPT): so many instructions belong to the frame that is started. Elsewhere: so many are
    skipped when this one fails. ``purpose``: of its random number, in words (``meshsim.plan.draws.purpose``); "" where
    there is none. ``by_turn`` (RELEASE): it goes on when the thread's turn ends.
    """

    op: Op
    at: Place = Place.DESTINATION
    other: Place = Place.DESTINATION
    when: int = When.ALWAYS
    slot: int = 0
    skip: int = 0
    call: int = -1
    mean_ns: int = 0
    law: tuple[str, float] = ("constant", 1.0)
    tag: Tag | None = None
    purpose: str = ""
    probability: float = 1.0
    by_turn: bool = False


Program = list[Instruction]


def spend(
    cost: Cost,
    component: Component,
    at: Place,
    key: str,
    *,
    size: int = 0,
    times: float = 1.0,
    when: int = When.ALWAYS,
    other: Place = Place.DESTINATION,
) -> Program:
    """What ``times`` units of ``cost`` are on a path: their waiting, then their work, each left out where it is zero.

    ``size`` in bytes is charged by the cost's per-byte terms. ``key`` names the place for the random numbers.
    """
    program: Program = []
    law = (cost.law, cost.cv)
    wait_ns = round((cost.wait_ns + cost.wait_ns_per_byte * size) * times)
    if wait_ns > 0:
        tag = Tag(component, cost.operation, 0.0, cost.standard_error)
        words = f"{key} {cost.operation} wait"
        program.append(Instruction(Op.WAIT, at, other, when, mean_ns=wait_ns, law=law, tag=tag, purpose=words))
    cpu_ns = round((cost.cpu_ns + cost.cpu_ns_per_byte * size) * times)
    if cpu_ns > 0:
        tag = Tag(component, cost.operation, cost.kernel_share, cost.standard_error)
        words = f"{key} {cost.operation}"
        program.append(Instruction(Op.WORK, at, other, when, mean_ns=cpu_ns, law=law, tag=tag, purpose=words))
    return program


def detached(block: Program) -> Program:
    """Run ``block`` in a frame of its own that nobody waits for; the main frame goes on behind it at once.

    A block that gives a token back takes that of the main frame along.
    """
    takes = any(i.op == Op.RELEASE for i in block)
    return [Instruction(Op.DETACH, slot=int(takes), skip=len(block) + 1), *block, Instruction(Op.END)]


def branch(block: Program) -> Program:
    """Run ``block`` as a child frame in the same pod; a later JOIN waits for it."""
    return [Instruction(Op.SPAWN, skip=len(block) + 1), *block, Instruction(Op.END)]


def fused(program: Program) -> Program:
    """Work that follows on work in the same pod is MORE of it: a thread does not leave its core in between."""
    return [
        this._replace(op=Op.MORE) if this.op == before.op == Op.WORK and this.at == before.at else this
        for before, this in zip([Instruction(Op.END), *program], program, strict=False)
    ]
