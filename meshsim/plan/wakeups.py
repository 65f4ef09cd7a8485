"""A thread of an application that sleeps is woken, by a request or by the answer that it waits for.

It begins ``wait_ns`` of ``kernel.wakeup`` later. The work, of the core that wakes it and of its own, is as much as a
measurement finds beside that: most of it is done while the other end goes on, or when the thread falls asleep again, so
it takes a core and delays nobody else. After a long sleep caches are ``cold``, and that delays. Workers of proxies pay
for their own wake-ups (``meshsim.plan.workers``).
"""

from __future__ import annotations

from typing import NamedTuple

from meshsim.costs.book import Cost
from meshsim.costs.books import Costs
from meshsim.plan.plan import Place, When
from meshsim.plan.program import Program, detached, spend

WAKEUP = "kernel.wakeup"
COLD = "kernel.cold"


class Wakeups(NamedTuple):
    """What it costs to wake a thread of an application."""

    wakeup: Cost
    cold: Cost | None
    """What it works more after a long sleep; None where no book prices it."""


def wakeups_of(costs: Costs) -> Wakeups | None:
    """What it costs to wake a thread; None where no book prices it."""
    return Wakeups(costs[WAKEUP], costs[COLD] if COLD in costs else None) if WAKEUP in costs else None  # noqa: SIM401


def wake(costs: Wakeups, key: str, when: When, times: float) -> Program:
    """A thread of the container that is called is woken so many times: ALWAYS while it has its token, or if WOKEN.

    How long it slept is known of a WOKEN one alone; the others wait for an answer, which is no long sleep.
    """
    at, cost = Place.DESTINATION, costs.wakeup
    work = spend(cost.model_copy(update=NO_WAIT), "kernel", at, key, times=times)
    beside = detached(work) if work else []
    program = [*(i._replace(when=when) for i in beside[:1]), *beside[1:]]
    program += spend(cost.model_copy(update=NO_CPU), "kernel", at, key, when=when, times=times)
    if costs.cold is not None and when == When.WOKEN:
        program += spend(costs.cold, "kernel", at, key, when=when)
    return program


def read(costs: Costs, operation: str) -> Cost:
    """What it costs an application to read a message.

    The waiting of these entries is that of the reader's wake-up; where that is priced, it is not waited for twice.
    """
    cost = costs[operation]
    return cost.model_copy(update=NO_WAIT) if WAKEUP in costs else cost


NO_WAIT = {"wait_ns": 0.0, "wait_ns_per_byte": 0.0}
NO_CPU = {"cpu_ns": 0.0, "cpu_ns_per_byte": 0.0}
