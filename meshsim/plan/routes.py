"""Routes: the calls of one service to another, who chooses the pod that answers, and who retries.

A route keeps its books once for each *holder*: each calling pod (a library, a sidecar, the kernel), each pod of a
waypoint, each node (a proxy that serves a whole node), or the one client outside. What a holder knows of a pod that it
calls (requests under way, failures in a row) is a *host*: holders x pods of them for a route.

Only scenarios that ask for balancing, connections or resilience have routes; else every request goes to a pod chosen
by key (``call_route`` is -1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Protocol, TypeVar

import numpy as np

from meshsim.plan.deploy import Deployment
from meshsim.plan.draws import child_key, mix
from meshsim.plan.hops import HopKind, Stop, stops_on_path
from meshsim.plan.plan import Ints, Place, Status
from meshsim.scenario.application import Application
from meshsim.scenario.balancing import Balancing, Connections
from meshsim.scenario.base import MeshsimError
from meshsim.scenario.resilience import Rule
from meshsim.scenario.scenario import Scenario
from meshsim.scenario.suggest import choices

NEVER = -1
"""Stands for a time or a limit that is not there."""
MILLION = 1_000_000
POINTS = 160
"""Places of one pod on the ring, as in ketama (libmemcached) and as Envoy's default makes of a small cluster."""


class Holder(IntEnum):
    """Who keeps the books of a route."""

    CALLER = 0
    """Each calling pod."""
    VIA = 1
    """Each pod of the waypoint."""
    NODE = 2
    """Each node: the proxy of the node of the calling pod."""
    CLIENT = 3
    """The client outside."""


class Balancer(IntEnum):
    """How a pod is chosen: see ``meshsim.engines.balancer``."""

    RANDOM = 0
    ROUND_ROBIN = 1
    LEAST_REQUEST = 2
    RANDOM_OF_TWO = 3
    RING_HASH = 4
    LOCALITY = 5


class Chooser(IntEnum):
    """When the pod of a call is chosen."""

    START = 0
    """When the call starts."""
    LIBRARY = 1
    """For each attempt of the library in the calling application."""
    PROXY = 2
    """For each attempt of the proxy that acts for the caller."""
    CONNECTION = 3
    """When a connection is opened: L4."""


BALANCER_OF = {
    "random": Balancer.RANDOM,
    "round-robin": Balancer.ROUND_ROBIN,
    "least-request": Balancer.LEAST_REQUEST,
    "random-of-two": Balancer.RANDOM_OF_TWO,
    "ring-hash": Balancer.RING_HASH,
    "locality": Balancer.LOCALITY,
}
STATUS_OF = {
    "error": Status.ERROR,
    "timeout": Status.TIMEOUT,
    "overflow": Status.OVERFLOW,
    "rate-limited": Status.RATE_LIMITED,
    "refused": Status.REFUSED,
    "reset": Status.RESET,
}
POLICY = (
    "holder", "holder_first", "state_first", "deadline_ns", "try_timeout_ns", "max_tries", "retry_on", "budget_ppm",
    "budget_min", "backoff_base_ns", "backoff_max_ns", "jitter", "hedge_after_ns", "hedges", "max_requests",
    "max_connections", "max_pending", "max_retries", "eject_after", "eject_base_ns", "eject_max_ns", "eject_ppm",
    "resets",
)  # fmt: skip
ROUTE = ("service", "balancer", "hash_keys", "holder", "holder_first", "state_first", "host_first", "ring")
RULES = ("resilience", "balancing", "connections", "rate_limits")
POOL = ("holder_first", "pool_first", "connection_first", "connections", "streams", "shared", "pending")


@dataclass(frozen=True)
class Table:
    """Rows of integers as one array a column."""

    columns: dict[str, Ints]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))


def table(names: Sequence[str], rows: Sequence[Sequence[int]] = ()) -> Table:
    """Rows to columns; (rows,) arrays by name."""
    values = np.array(rows, np.int64).reshape(len(rows), len(names))
    return Table({name: values[:, number].copy() for number, name in enumerate(names)})


@dataclass(frozen=True)
class Routes:
    """Flat arrays; NEVER where there is no such limit. c calls."""

    call_route: Ints
    """(c,) row of ``routes``, -1 for a uniform choice by key when the call starts."""
    call_chooser: Ints
    """(c,) see ``Chooser``."""
    call_policy: Ints
    """(2, c) row of ``policies`` that the library, and the proxy, apply to a call; -1 for none."""
    call_pool: Ints
    """(c,) row of ``pools``: the connections that the call uses, -1 for none."""
    routes: Table = field(default_factory=lambda: table(ROUTE))
    states: int = 0
    hosts: int = 0
    """Over all routes."""
    policies: Table = field(default_factory=lambda: table(POLICY))
    """``retry_on`` is a set of Status bits, ``*_ppm`` are shares in millionths."""
    policy_states: int = 0
    pools: Table = field(default_factory=lambda: table(POOL))
    """``connections``: of each pool; ``streams``: requests at a time on each; ``shared``: 1 if requests are spread
    over all connections in turn; ``pool_first`` and ``connection_first``: number of the first holder's pool, and of
    its first connection."""
    pool_count: int = 0
    connection_count: int = 0
    rings: list[Ints] = field(default_factory=list)
    """By ``ring`` of a route: the points of its ring in order, 31 bits of hash above 32 bits of replica."""
    token_ns: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    """(s,) rate limit of a service: time from token to token, 0 without limit."""
    burst: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    """(s,) tokens that a bucket holds."""


class CallLike(Protocol):
    """What is needed to know of a call: see ``meshsim.plan.lower.CallRow``."""

    caller: int
    callee: int
    kind: HopKind


def acting_stop(deployment: Deployment, policy: str, kind: HopKind) -> Stop | None:
    """The L7 proxy that acts for the caller: on its side, or the waypoint. None if there is none."""
    if kind.from_outside or kind.protocol == "tcp":
        return None
    stops = stops_on_path(deployment.dataplane, policy, kind.protocol, kind.from_outside)
    return next((s for s in stops if s.proxy.layer == "L7" and s.place != Place.DESTINATION), None)


def build(
    application: Application,
    scenario: Scenario,
    deployment: Deployment,
    calls: Sequence[CallLike],
    first_pod: Ints,
    first_via: Ints,
) -> Routes:
    """Match the scenario's rules to the calls. MeshsimError for a rule that fits nothing or cannot act."""
    _refuse_unknown(application, scenario)
    writer = _Writer(application, scenario, deployment, first_pod, first_via)
    if scenario.resilience or scenario.balancing or scenario.connections:
        for call in calls:
            writer.add(call)
    else:
        writer.calls = [NO_RULE] * len(calls)
    return writer.routes()


NO_RULE = (NEVER, Chooser.START, NEVER, NEVER, NEVER)
"""Of a call that no rule is about, as in ``_Writer.calls``."""

R = TypeVar("R", Rule, Balancing, Connections)


def first_that_fits(rules: Sequence[R], caller: str, callee: str) -> R | None:
    """The first rule for calls from one service to another; ``client`` is meant only where it is named."""
    for rule in rules:
        if rule.to in ("*", callee) and (rule.from_ == caller or (rule.from_ == "*" and caller != "client")):
            return rule
    return None


def _refuse_unknown(application: Application, scenario: Scenario) -> None:
    """A rule for a service that is not there would do nothing, and nobody would see it."""
    names = [service.name for service in application.services]
    named = [(what, rule.to, "to") for what in RULES for rule in getattr(scenario, what)]
    named += [(what, rule.from_, "from") for what in RULES[:3] for rule in getattr(scenario, what)]
    for what, name, end in named:
        known = [*names, "*"] if what != "rate_limits" else names
        known += ["client"] if end == "from" else []
        if name not in known:
            raise MeshsimError(f"{what}: {end}: unknown service {name!r}; {choices(name, known)}")


class _Writer:
    def __init__(
        self, application: Application, scenario: Scenario, deployment: Deployment, first_pod: Ints, first_via: Ints
    ) -> None:
        self.application = application
        self.scenario = scenario
        self.deployment = deployment
        self.first_pod = first_pod.tolist()
        self.first_via = first_via.tolist()
        self.rows: dict[str, dict[tuple[int | str, ...], int]] = {"route": {}, "policy": {}, "pool": {}}
        self.route_rows: list[list[int]] = []
        self.policy_rows: list[list[int]] = []
        self.pool_rows: list[list[int]] = []
        self.calls: list[tuple[int, Chooser, int, int, int]] = []
        self.states = self.hosts = self.policy_states = self.pools = self.connections = 0
        self.rings: list[Ints] = []

    def add(self, call: CallLike) -> None:
        """Find what applies to a call, and number it."""
        services = self.application.services
        caller = "client" if call.caller < 0 else services[call.caller].name
        callee = services[call.callee].name
        stop = acting_stop(self.deployment, self.scenario.policy, call.kind)
        by_place = {
            place: first_that_fits([r for r in self.scenario.resilience if place == _place(r, stop)], caller, callee)
            for place in ("application", "proxy")
        }
        library, proxy = by_place["application"], by_place["proxy"]
        if proxy is not None and stop is None:
            raise MeshsimError(
                f"resilience: the rule for calls from {proxy.from_} to {proxy.to} acts at: proxy, but in "
                f"{self.deployment.dataplane.name} no L7 proxy acts for the caller of {caller} -> {callee}; "
                "use at: application, or auto"
            )
        balancing = first_that_fits(self.scenario.balancing, caller, callee)
        connections = first_that_fits(self.scenario.connections, caller, callee)
        if proxy is not None:
            chooser = Chooser.PROXY
        elif connections is not None and stop is None:
            chooser = Chooser.CONNECTION
        elif library is not None and stop is None:
            chooser = Chooser.LIBRARY
        else:
            chooser = Chooser.START
        ejects = chooser == Chooser.LIBRARY
        if library is not None and library.at == "application" and library.outlier_ejection and not ejects:
            who = "the proxy" if stop is not None else "the kernel"
            raise MeshsimError(
                f"resilience: the rule for calls from {library.from_} to {library.to} ejects pods in the application, "
                f"but {who} chooses the pod; leave outlier_ejection out, or let the rule act at the proxy"
            )
        asked = balancing is not None or connections is not None or library is not None or proxy is not None
        self.calls.append(
            (
                self.route(balancing or Balancing(), call, stop) if asked else NEVER,
                chooser,
                NEVER if library is None else self.policy(library, call, None, ejects),
                NEVER if proxy is None else self.policy(proxy, call, stop),
                NEVER if connections is None else self.pool(connections, call),
            )
        )

    def holders(self, call: CallLike, stop: Stop | None) -> tuple[Holder, int, int]:
        """(who, number of the first, how many) keep the books of a call."""
        if call.caller < 0:
            return Holder.CLIENT, 0, 1
        if stop is not None and stop.place == Place.VIA:
            return Holder.VIA, self.first_via[call.callee], self.deployment.waypoint_pods
        if stop is not None and stop.proxy.placed == "node":
            return Holder.NODE, 0, self.deployment.nodes
        return Holder.CALLER, self.first_pod[call.caller], self.deployment.service_pods[call.caller]

    def route(self, balancing: Balancing, call: CallLike, stop: Stop | None) -> int:
        holder, first, count = self.holders(call, stop)
        known = self.rows["route"]
        key = (call.caller, call.callee, holder, BALANCER_OF[balancing.policy], balancing.hash_keys)
        if key not in known:
            known[key] = len(self.route_rows)
            pods = self.deployment.service_pods[call.callee]
            ring = NEVER
            if balancing.policy == "ring-hash":
                ring = len(self.rings)
                self.rings.append(ring_of(pods))
            self.route_rows.append(
                [call.callee, BALANCER_OF[balancing.policy], balancing.hash_keys, holder, first, self.states,
                 self.hosts, ring]
            )  # fmt: skip
            self.states += count
            self.hosts += count * pods
        return known[key]

    def policy(self, rule: Rule, call: CallLike, stop: Stop | None, ejects: bool = True) -> int:
        """Row of a policy; it ejects nothing where somebody else chooses the pod."""
        holder, first, count = self.holders(call, stop)
        number = next(n for n, r in enumerate(self.scenario.resilience) if r is rule)
        key = (call.caller, call.callee, holder, number, ejects)
        known = self.rows["policy"]
        if key not in known:
            known[key] = len(self.policy_rows)
            limits = policy_row(rule)
            if not ejects:
                limits[POLICY.index("eject_after") - 3] = NEVER
            if call.kind.protocol in ("http2", "grpc"):  # one connection carries many requests
                limits[POLICY.index("max_connections") - 3] = NEVER
            self.policy_rows.append([holder, first, self.policy_states, *limits])
            self.policy_states += count
        return known[key]

    def pool(self, rule: Connections, call: CallLike) -> int:
        shared = call.kind.protocol in ("http2", "grpc")
        number = next(n for n, r in enumerate(self.scenario.connections) if r is rule)
        # A connection speaks one protocol; that also decides who chooses the pod that it leads to.
        key = (call.caller, call.callee, number, call.kind.protocol)
        known = self.rows["pool"]
        if key not in known:
            known[key] = len(self.pool_rows)
            _, first, count = self.holders(call, None)
            pending = NEVER if rule.max_pending is None else rule.max_pending
            streams = rule.streams if shared else 1
            self.pool_rows.append([first, self.pools, self.connections, rule.max, streams, int(shared), pending])
            self.pools += count
            self.connections += count * rule.max
        return known[key]

    def routes(self) -> Routes:
        limits = {limit.to: limit for limit in self.scenario.rate_limits}
        mine = [limits.get(service.name) for service in self.application.services]
        columns = np.array(self.calls, np.int64).reshape(len(self.calls), 5).T
        return Routes(
            call_route=columns[0].copy(),
            call_chooser=columns[1].copy(),
            call_policy=columns[2:4].copy(),
            call_pool=columns[4].copy(),
            routes=table(ROUTE, self.route_rows),
            states=self.states,
            hosts=self.hosts,
            policies=table(POLICY, self.policy_rows),
            policy_states=self.policy_states,
            pools=table(POOL, self.pool_rows),
            pool_count=self.pools,
            connection_count=self.connections,
            rings=self.rings,
            token_ns=np.array([max(1, round(1e9 / limit.rps)) if limit else 0 for limit in mine], np.int64),
            burst=np.array([limit.burst if limit else 0 for limit in mine], np.int64),
        )


def _place(rule: Rule, stop: Stop | None) -> str:
    """Where a rule acts on a call."""
    return rule.at if rule.at != "auto" else "application" if stop is None else "proxy"


def policy_row(rule: Rule) -> list[int]:
    """A rule as integers, in the order of ``POLICY`` behind the holders."""
    retries, hedging, breaker, outlier = rule.retries, rule.hedging, rule.circuit_breaker, rule.outlier_ejection
    budget = retries.budget if retries else None
    return [
        _ns(rule.timeout_ms),
        _ns(retries.per_try_timeout_ms) if retries else NEVER,
        1 + retries.max if retries else 1,
        sum(1 << STATUS_OF[name] for name in dict.fromkeys(retries.on)) if retries else 0,
        round(budget.share * MILLION) if budget else NEVER,
        budget.min_concurrency if budget else 0,
        _ns(retries.backoff.base_ms) if retries else 0,
        _ns(retries.backoff.max_ms) if retries else 0,
        int(retries.backoff.jitter == "full") if retries else 0,
        _ns(hedging.after_ms) if hedging else NEVER,
        hedging.max if hedging else 0,
        breaker.max_requests if breaker else NEVER,
        breaker.max_connections if breaker and breaker.max_connections is not None else NEVER,
        breaker.max_pending if breaker else NEVER,
        breaker.max_retries if breaker and breaker.max_retries is not None else NEVER,
        outlier.consecutive_failures if outlier else NEVER,
        _ns(outlier.base_ejection_ms) if outlier else 0,
        _ns(outlier.max_ejection_ms) if outlier else 0,
        round(outlier.max_ejected_share * MILLION) if outlier else 0,
        int(rule.given_up == "reset"),
    ]


def ring_of(pods: int) -> Ints:
    """Points of a ring in order: each pod at POINTS places (Karger and others, "Consistent hashing", STOC 1997)."""
    points = [(mix(child_key(pod, place)) >> 33 << 32) | pod for pod in range(pods) for place in range(POINTS)]
    return np.array(sorted(points), np.int64)


def _ns(ms: float | None) -> int:
    return NEVER if ms is None else max(1, round(ms * 1_000_000))
