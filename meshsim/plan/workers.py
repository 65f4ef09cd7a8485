"""A message gets a worker of a proxy: it waits in line, wakes it if it slept, and begins a turn of its event loop.

A worker asks the kernel for all that is ready, serves it, and asks again: a turn. What a turn costs is paid by its
first message, so a busy worker works less for each. Books that do not price turns have them in messages and wake-ups.
The longer a worker has slept, the less of what it needs is left in the caches: ``cold``, where a book prices it.
What a proxy sends leaves at once, or, if it writes to its sockets only when it has served all, at the end of the turn.
"""

from __future__ import annotations

from meshsim.costs.books import Costs
from meshsim.plan.plan import Op, Place, Tag, When
from meshsim.plan.program import Instruction, Program, spend
from meshsim.scenario.dataplane import Proxy


def take_worker(software: str, at: Place, slot: int, key: str, costs: Costs, *, as_bytes: bool = False) -> Program:
    """Until the worker can begin with the message; ``as_bytes``: it only forwards them."""
    book = f"proxy.{software}"
    turn = f"{book}.tcp.turn" if as_bytes else f"{book}.turn"
    return [
        Instruction(Op.ACQUIRE, at=at, slot=slot, tag=Tag("proxy", f"{book}.queue")),
        *spend(costs[f"{book}.wakeup"], "proxy", at, key, when=When.WOKEN),
        *(spend(costs[f"{book}.cold"], "proxy", at, key, when=When.WOKEN) if f"{book}.cold" in costs else []),
        *(spend(costs[turn], "proxy", at, key, when=When.TURN) if turn in costs else []),
    ]


def give_worker_back(proxy: Proxy, at: Place, slot: int) -> Instruction:
    """The worker takes its next message; this one leaves."""
    by_turn = proxy.sends == "after-turn"
    tag = Tag("proxy", f"proxy.{proxy.software}.turn-end") if by_turn else None
    return Instruction(Op.RELEASE, at=at, slot=slot, tag=tag, by_turn=by_turn)
