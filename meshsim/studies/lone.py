"""One request that is alone in the cluster, step by step: nothing queues, and every operation takes its mean.

The same plan and the same engine as everywhere else; only chance is taken out. What is seldom is decided by its
frequency: a call that is made in half of the visits or more is made, a rarer one is not. Costs that fall on one request
in many (a new connection) are spread over all of them. So the steps add up to the latency, to the nanosecond.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from meshsim.costs.books import Costs
from meshsim.engines import reference
from meshsim.plan.laws import COLD
from meshsim.plan.lower import WHOLE
from meshsim.plan.plan import OUTSIDE, Component, Op, Place, Plan
from meshsim.results.attribution import Phase, Piece, critical_path
from meshsim.results.run import RequestRecord, Span
from meshsim.scenario.base import MeshsimError
from meshsim.scenario.dataplane import DataPlane
from meshsim.scenario.scenario import Run
from meshsim.scenario.suggest import choices
from meshsim.studies.setup import Prepared

Space = Literal["user", "kernel", "wire"]
CLIENT = "client"


@dataclass(frozen=True)
class Step:
    """A stretch of the critical path that one operation of the cost book is to blame for."""

    start_ns: int
    ns: int
    component: Component
    operation: str
    phase: Phase
    kernel_share: float
    """Part of ``ns`` that the kernel works on behalf of the component."""
    space: Space
    """Where it begins: what a process does is in user space, though the kernel may work on its behalf meanwhile."""
    where: str
    """Pod or proxy: 'frontend', 'sidecar of frontend', 'waypoint'."""
    hop: int
    """Number of the call it belongs to, in ``Lone.hops``."""
    source: str
    """measured, published, derived or assumed; 'application' for what the application's file says."""
    standard_error: float
    """Relative, one sigma, of the operation's mean; 0 for the application's own steps."""
    reference: str


@dataclass(frozen=True)
class Hop:
    """A call on the critical path."""

    name: str
    """'frontend/home -> cartservice/get-cart'."""
    parent: int
    """Number of the hop during which it was made; -1 for the one from outside."""
    caller: str
    callee: str
    start_ns: int
    end_ns: int


@dataclass(frozen=True)
class Lone:
    """The whole journey of one request."""

    dataplane: str
    entry: str
    hops: list[Hop]
    """The first is the request from outside."""
    steps: list[Step]
    """In order, without gap."""

    @property
    def latency_ns(self) -> int:
        """End to end; the sum of all steps."""
        return sum(step.ns for step in self.steps)

    def of_hop(self, hop: int) -> list[Step]:
        """Steps of one call: the way there, the work of the called service, the way back; not the calls it makes."""
        return [step for step in self.steps if step.hop == hop]

    def on_the_way(self, hop: int) -> list[Step]:
        """The same without the work of the called service itself: what the data plane and the network take."""
        return [step for step in self.of_hop(hop) if step.component != "application"]


def entries(plan: Plan) -> list[str]:
    """Names of the places where requests come in: 'client -> frontend/home'."""
    return plan.call_names[: plan.entry_calls]


def lone_request(prepared: Prepared, entry: str = "") -> Lone:
    """A request that comes in at ``entry`` (the first one where left out) and meets nobody.

    It comes one gap between arrivals after the beginning: so long has everything slept.

    MeshsimError for an entry that the application does not have, or where the prepared scenario cannot be lowered.
    """
    plan = prepared.plan
    names = entries(plan)
    if entry and entry not in names:
        raise MeshsimError(f"entry: {entry!r} received; {choices(entry, names)}")
    number = names.index(entry) if entry else 0
    settings = Run(engine="reference", warmup=0.0, requests=100, sample=1).model_copy(update={"requests": 1})
    record = reference.run(without_chance(plan, number), settings).records[0]
    return journey(record, plan, prepared.dataplane, prepared.costs)


def without_chance(plan: Plan, entry: int) -> Plan:
    """The plan with every time at its mean, every call made or not by its frequency, and all requests at one entry."""
    likely = np.where(plan.amount * 2 >= WHOLE, WHOLE, 0)
    return replace(
        plan,
        law=np.where(plan.law == COLD, COLD, -1),
        amount=np.where(plan.op == Op.START, likely, plan.amount),
        entry_threshold=np.where(np.arange(plan.entry_calls) < entry, 0, WHOLE),
        gap_law=-1,
    )


def journey(record: RequestRecord, plan: Plan, dataplane: DataPlane, costs: Costs) -> Lone:
    """The critical path of any whole request, with places and sources."""
    spans = {span.number: span for span in record.spans}
    pieces = critical_path(record, plan)
    order: dict[int, int] = {}
    for piece in pieces:
        for number in reversed(_calls_above(spans, piece.span)):
            order.setdefault(number, len(order))
    hops = [_hop(spans, number, order, plan) for number in order]
    steps = [_step(piece, spans, order, plan, dataplane, costs) for piece in pieces]
    return Lone(dataplane.name, hops[0].name, hops, steps)


def _calls_above(spans: dict[int, Span], number: int) -> list[int]:
    """The call that a frame belongs to, the call during which that was made, and so on to the entry."""
    found: list[int] = []
    while number >= 0:
        if spans[number].call >= 0 and (not found or spans[found[-1]].call != spans[number].call):
            found.append(number)
        number = spans[number].parent
    return found


def _hop(spans: dict[int, Span], number: int, order: dict[int, int], plan: Plan) -> Hop:
    above = _calls_above(spans, number)
    span = spans[number]
    return Hop(
        plan.call_names[span.call],
        order[above[1]] if len(above) > 1 else -1,
        _pod(span.source, plan),
        _pod(span.destination, plan),
        span.start_ns,
        span.end_ns,
    )


def _step(
    piece: Piece, spans: dict[int, Span], order: dict[int, int], plan: Plan, dataplane: DataPlane, costs: Costs
) -> Step:
    tag, span = piece.tag, spans[piece.span]
    call = _calls_above(spans, piece.span)[0]
    place = Place(int(plan.at[piece.instruction]))
    pod = "" if place == Place.VIA else _pod(span.source if place == Place.SOURCE else span.destination, plan)
    priced = tag.operation in costs
    return Step(
        piece.start_ns,
        piece.ns,
        tag.component,
        tag.operation,
        piece.phase,
        tag.kernel_share if piece.phase == "running" else 0.0,
        _space(tag.component, tag.operation),
        _where(tag.component, tag.operation, place, pod, dataplane),
        order[call],
        costs[tag.operation].source if priced else "application",
        tag.standard_error,
        costs[tag.operation].reference if priced else "the application's file",
    )


def _space(component: str, operation: str) -> Space:
    if component == "network":
        return "wire"
    return "kernel" if component == "kernel" or operation.endswith("wakeup") else "user"


def _where(component: str, operation: str, place: Place, pod: str, dataplane: DataPlane) -> str:
    if component != "proxy":
        return pod or "waypoint"
    software = [proxy for proxy in dataplane.proxies if operation.startswith(f"proxy.{proxy.software}.")]
    via = [proxy for proxy in software if (proxy.placed == "waypoint") == (place == Place.VIA)]
    proxy = (via or software or dataplane.proxies)[0]
    if place == Place.VIA:
        return proxy.name
    return f"{proxy.name} {'on the node ' if proxy.placed == 'node' else ''}of {pod}"


def _pod(number: int, plan: Plan) -> str:
    if number == OUTSIDE:
        return CLIENT
    service = int(plan.pod_service[number])
    return plan.service_names[service] if service < len(plan.service_names) else "waypoint"


def by_operation(steps: Sequence[Step]) -> dict[tuple[str, str], int]:
    """Nanoseconds by component and operation; the kernel's part of other's work is told apart."""
    spent: dict[tuple[str, str], int] = {}
    for step in steps:
        in_kernel = round(step.ns * step.kernel_share) if step.component != "kernel" else 0
        for component, ns in ((step.component, step.ns - in_kernel), ("kernel", in_kernel)):
            if ns:
                spent[component, step.operation] = spent.get((component, step.operation), 0) + ns
    return spent
