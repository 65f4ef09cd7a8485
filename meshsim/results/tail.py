"""Where the tail comes from: the critical paths of the slowest requests against those of typical ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from meshsim.plan.plan import Plan
from meshsim.results.attribution import PHASES, Phase, attribute
from meshsim.results.rows import Attribution, Tail
from meshsim.results.run import RequestRecord

TYPICAL = (0.45, 0.55)
FEWEST = 500
"""Whole requests below which the slowest ones are too few to speak of a hundredth, or nearly."""
SLOWEST = 10
"""Requests that the slowest cohort has at least: the slowest hundredth, or as many as that."""


@dataclass(frozen=True)
class TailPart:
    """One way of spending time: mean us on the critical path of typical and of the slowest requests.

    Of a queue for a token the operation says which (``proxy.envoy.queue``: a worker of Envoy); queueing of any other
    operation is for the cores of the node.
    """

    component: str
    operation: str
    phase: Phase
    typical_us: float
    slowest_us: float


def tail(records: Sequence[RequestRecord], plan: Plan) -> Tail | None:
    """Both cohorts; None if fewer than 500 requests were kept whole."""
    if len(records) < FEWEST:
        return None
    slowest = min(0.99, 1 - SLOWEST / len(records))
    return Tail(
        typical=attribute(records, plan, TYPICAL),
        slowest=attribute(records, plan, (slowest, 1.0)),
        slowest_from=slowest,
        typical_requests=_between(len(records), *TYPICAL),
        slowest_requests=_between(len(records), slowest, 1.0),
    )


def compared(tail: Tail) -> list[TailPart]:
    """Both cohorts side by side, what the slowest have more of first."""
    spent: dict[tuple[str, str, Phase], list[float]] = {}
    for column, parts in enumerate((tail.typical, tail.slowest)):
        for part in parts:
            for phase in PHASES:
                us = _us(part, phase)
                if us:
                    spent.setdefault((part.component, part.operation, phase), [0.0, 0.0])[column] += us
    found = [TailPart(*where, typical_us=us[0], slowest_us=us[1]) for where, us in spent.items()]
    return sorted(found, key=lambda part: (part.typical_us - part.slowest_us, part.operation, part.phase))


def _us(part: Attribution, phase: Phase) -> float:
    return {"running": part.running_us, "queueing": part.queueing_us, "waiting": part.waiting_us}[phase]


def _between(records: int, low: float, high: float) -> int:
    """How many requests ``attribute`` takes for a cohort."""
    first, last = round(low * records, 6), round(high * records, 6)
    return -int(-last // 1) - int(first // 1)
