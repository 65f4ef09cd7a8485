"""Where the tail comes from: the critical paths of the slowest requests against those of typical ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from meshsim.plan.plan import CPU_SLOT, Op, Plan
from meshsim.results.attribution import PHASES, Phase, attribute
from meshsim.results.paths import Paths, critical_paths
from meshsim.results.rows import Attribution, Tail
from meshsim.results.run import RequestRecord
from meshsim.results.sample import Sample

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
    kind: str
    """One of ``KINDS``."""
    typical_us: float
    slowest_us: float

    @property
    def more_us(self) -> float:
        """What the slowest have more of it."""
        return self.slowest_us - self.typical_us

    @property
    def us(self) -> tuple[float, float]:
        """Of typical requests, and of the slowest."""
        return self.typical_us, self.slowest_us


KINDS = (
    "application at work",
    "proxy at work",
    "kernel at work",
    "agent at work",
    "in line for a proxy's worker",
    "until a proxy's turn ends",
    "in line for an application's thread",
    "in line for a core",
    "in line for a core, or throttled",
    "in line for a connection",
    "in line for the network interface",
    "given-up attempts and back-off",
    "wire",
    "wake-up",
    "other waiting",
)
"""Ways of spending time, as a practitioner names them."""


def kind_of(component: str, operation: str, phase: Phase, throttled: bool) -> str:
    """Which of ``KINDS``; ``throttled``: in line for a core may mean that the CPU limit was met.

    The two cannot be told apart: a visit to a core is written down with its beginning, its end and the time on the
    core.
    """
    if operation == "resilience.wait":
        return "given-up attempts and back-off"
    if operation == "network.interface":
        return "in line for the network interface" if phase == "queueing" else "wire"
    if phase == "running":
        return f"{component} at work"
    if phase == "queueing":
        if operation == "connection.queue":
            return "in line for a connection"
        if operation == "application.threads":
            return "in line for an application's thread"
        if operation.endswith(".turn-end"):
            return "until a proxy's turn ends"
        if operation.endswith(".queue"):
            return "in line for a proxy's worker"
        return "in line for a core, or throttled" if throttled else "in line for a core"
    if ".wire." in operation:
        return "wire"
    return "wake-up" if operation.endswith(".wakeup") else "other waiting"


def tail(records: Sequence[RequestRecord] | Paths, plan: Plan, throttles: int = 0) -> Tail | None:
    """Both cohorts; None if fewer than 500 requests were kept whole. ``throttles``: how often a CPU limit was met."""
    paths = records if isinstance(records, Paths) else critical_paths(Sample.of(records), plan)
    whole = len(paths.request)
    if whole < FEWEST:
        return None
    slowest = min(0.99, 1 - SLOWEST / whole)
    return Tail(
        typical=attribute(paths, plan, TYPICAL),
        slowest=attribute(paths, plan, (slowest, 1.0)),
        throttled=_limited(plan) if throttles else [],
        slowest_from=slowest,
        typical_requests=_between(whole, *TYPICAL),
        slowest_requests=_between(whole, slowest, 1.0),
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
    found = [
        TailPart(*where, kind_of(*where, where[1] in tail.throttled), typical_us=us[0], slowest_us=us[1])
        for where, us in spent.items()
    ]
    return sorted(found, key=lambda part: (part.typical_us - part.slowest_us, part.operation, part.phase))


def by_kind(tail: Tail) -> dict[str, tuple[float, float]]:
    """Us of typical and of the slowest requests, by kind, in the order of ``KINDS``."""
    sums: dict[str, tuple[float, float]] = {}
    for part in compared(tail):
        typical, slowest = sums.get(part.kind, (0.0, 0.0))
        sums[part.kind] = typical + part.typical_us, slowest + part.slowest_us
    return {kind: sums[kind] for kind in KINDS if kind in sums}


def _limited(plan: Plan) -> list[str]:
    """Operations that are charged to a container with a CPU limit."""
    if not len(plan.quotas):
        return []
    limited = [bool((column >= 0).any()) for column in plan.quotas.pod_quota.T]
    rows = zip(plan.op.tolist(), plan.slot.tolist(), plan.tag.tolist(), strict=True)
    works = (int(Op.WORK), int(Op.MORE))
    return sorted(
        {plan.tags[tag].operation for op, slot, tag in rows if op in works and slot > CPU_SLOT and limited[slot]}
    )


def _us(part: Attribution, phase: Phase) -> float:
    return {"running": part.running_us, "queueing": part.queueing_us, "waiting": part.waiting_us}[phase]


def _between(records: int, low: float, high: float) -> int:
    """How many requests ``attribute`` takes for a cohort."""
    first, last = round(low * records, 6), round(high * records, 6)
    return -int(-last // 1) - int(first // 1)
