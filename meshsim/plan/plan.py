"""The plan: a scenario and its costs as flat integer arrays. All that an engine ever sees.

A **station** is where work waits. A **pod** row says which stations it meets (its node's CPU, its threads, its
proxies). A **program** is a list of instructions; a request is a tree of **frames**, each running one program.
A call starts a child frame on the *hop program* of that call, which carries the request through the proxies of the
data plane, jumps into the endpoint's *body* (``BODY`` … ``RETURN``), and carries the answer back.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from meshsim.plan.control_plane import ControlPlaneBill

Ints = NDArray[np.int64]

if TYPE_CHECKING:
    from meshsim.plan.arrivals import Arrivals
    from meshsim.plan.autoscaling import ScaleUp
    from meshsim.plan.quota import Quotas
    from meshsim.plan.routes import Routes

Component = Literal["application", "proxy", "kernel", "network", "agent"]


class Op(IntEnum):
    """What an instruction does. ``at`` names whose station it is: see ``Place``."""

    WORK = 0
    """Occupy a core of the node of ``at`` for a random time. MORE instructions behind it add to the same visit."""
    WAIT = 1
    """Let a random time pass, off the CPU: a wire, a wake-up."""
    ACQUIRE = 2
    """Take a token of station ``slot`` of ``at``; wait for it in line."""
    RELEASE = 3
    """Give it back. ``amount`` BY_TURN: the frame goes on when its thread's turn of the event loop ends."""
    START = 4
    """Start call ``target`` as a child frame, with probability ``amount`` / 2**32; ``slot`` 1: its failure is borne."""
    SPAWN = 5
    """Start the instructions behind this one as a child frame in the same pod; go on at ``target``."""
    JOIN = 6
    """Wait until every child that was started has ended."""
    DETACH = 7
    """Start the instructions behind this one as a frame that nobody waits for; go on at ``target``, skipped or not.
    ``slot`` 1: it takes along the token that this frame holds, and gives it back."""
    BODY = 8
    """Jump into the body of the endpoint that this frame calls."""
    RETURN = 9
    """End of a body: back to the hop program."""
    END = 10
    """End of a frame: the parent that joins goes on."""
    MORE = 11
    """Work that the same thread does without leaving the core: part of the visit that the WORK before it began."""
    ATTEMPT = 12
    """Run the instructions behind this one as an attempt, under the policy of the call at place ``slot`` (0 library,
    1 proxy): see ``meshsim.engines.attempts``; go on at ``target`` with its outcome."""
    CONNECT = 13
    """Take a connection of the call's pool: see ``meshsim.engines.connections``; with probability ``amount`` / 2**32 an
    open one has been closed and must be opened anew."""
    DISCONNECT = 14
    """Give it back."""
    LIMIT = 15
    """Take a token of the rate limit of the pod that is called: see ``meshsim.engines.limiter``."""


class Status(IntEnum):
    """How a call ended. All but OK are failures; the answer that says so travels back like any other."""

    OK = 0
    ERROR = 1
    """The endpoint failed: of itself, or because a call failed that it needed (HTTP 500)."""
    TIMEOUT = 2
    """Nobody waits any longer (504)."""
    OVERFLOW = 3
    """A bounded line was full (503)."""
    CIRCUIT_OPEN = 4
    """A circuit breaker did not let it through (503); never retried."""
    RATE_LIMITED = 5
    """A rate limit did not let it through (429)."""
    REFUSED = 6
    """Nothing listens there: the connection was refused (503)."""
    RESET = 7
    """What was working on it crashed (503)."""


class Place(IntEnum):
    """Whose pod an instruction is about."""

    SOURCE = 0
    """The pod that calls."""
    DESTINATION = 1
    """The pod that is called."""
    VIA = 2
    """The waypoint between them."""


class When(IntEnum):
    """Condition under which an instruction is executed; else it is skipped."""

    ALWAYS = 0
    SAME_NODE = 1
    """``at`` and ``other`` are pods of one node."""
    OTHER_NODE = 2
    """``at`` and ``other`` are pods of two nodes."""
    WOKEN = 3
    """The token that this frame acquired last was idle: the thread had to be woken."""
    SAME_ZONE = 4
    """``at`` and ``other`` are pods of two nodes of one zone; the client outside is in every zone."""
    OTHER_ZONE = 5
    """``at`` and ``other`` are pods of two nodes of two zones."""
    TURN = 6
    """This frame is the first that its thread serves in a turn of its event loop: the thread was idle, or has served
    all that were in line when its last turn began."""
    NEW_CONNECTION = 8
    """A bit beside one of the others: besides, the connection that CONNECT gave to this frame was opened for it."""


BY_TURN = 1
"""``amount`` of a RELEASE; else 0."""

CPU_SLOT = 0
"""Column of ``pod_station``: the CPU of the pod's node."""
THREADS_SLOT = 1
"""Column of ``pod_station``: the threads of the application container."""
FIRST_PROXY_SLOT = 2
"""Columns from here on: the workers of the data plane's proxies, in the order of its file."""

OUTSIDE = -1
"""Pod number of the client, who is no pod."""


@dataclass(frozen=True)
class Tag:
    """Who pays for an instruction, and for what."""

    component: Component
    operation: str
    kernel_share: float = 0.0
    standard_error: float = 0.0


@dataclass(frozen=True)
class StaticBill:
    """What a data plane needs before the first request comes."""

    memory_mib: float
    memory_mib_error: float
    memory_by_item_mib: dict[str, float]
    pods: int
    nodes: int
    idle_cores: dict[str, float]
    reserved_cores: float
    reserved_memory_mib: float
    control_plane: ControlPlaneBill | None = None
    """None for a data plane that pushes no configuration."""
    units: dict[str, float] = field(default_factory=dict)
    """Of each ``memory.*`` and ``idle.*`` operation of the cost book: proxies, services known, pods known …"""


@dataclass(frozen=True)
class Plan:
    """Flat arrays; lengths: n stations, p pods, s services, m instructions, c calls, e entries, t tags, l laws."""

    # stations
    station_servers: Ints
    """(n,) cores of a node, or tokens of a pool."""
    station_is_cpu: NDArray[np.bool_]
    """(n,) True for the CPU of a node, False for a pool of tokens."""
    station_slice_ns: Ints
    """(n,) longest turn on a core while others wait; 0 without limit. Pools: 0."""
    station_names: list[str]
    station_line: Ints
    """(n,) places in the line of a pool; one more fails with OVERFLOW. -1 without limit."""

    # pods
    pod_node: Ints
    """(p,)"""
    pod_zone: Ints
    """(p,)"""
    pod_service: Ints
    """(p,) service of an application pod; s + waypoint number for a waypoint."""
    pod_station: Ints
    """(p, slots) station of each slot, -1 where there is none."""
    service_first_pod: Ints
    """(s,) pods of a service are consecutive."""
    service_pods: Ints
    """(s,)"""
    service_first_via: Ints
    """(s,) first pod of the waypoint that serves it, -1 for none."""
    service_vias: Ints
    """(s,)"""
    service_names: list[str]

    # instructions
    op: Ints
    at: Ints
    other: Ints
    when: Ints
    slot: Ints
    target: Ints
    """START: the call. SPAWN, DETACH, ATTEMPT: where to go on. Others: where the frame goes on when this fails."""
    mean_ns: Ints
    law: Ints
    """Row of ``laws``; -1 for a constant, -2 for what cold caches cost (``meshsim.plan.laws.COLD``)."""
    tag: Ints
    purpose: Ints
    """Key of the random number: the same operation at the same place of the call tree draws the same number."""
    amount: Ints
    """START, CONNECT: a probability, times 2**32. RELEASE: 0 or ``BY_TURN``. Of law COLD: sleep for half of it, ns."""

    # calls (entries come first) and entries
    call_program: Ints
    """(c,) first instruction of the hop."""
    call_service: Ints
    """(c,) service that is called."""
    call_body: Ints
    """(c,) first instruction of the endpoint's body."""
    call_names: list[str]
    """(c,) 'client -> frontend/home', 'frontend/home -> cart/get'."""
    entry_calls: int
    """Calls 0 … entry_calls - 1 are the entries."""
    entry_threshold: Ints
    """(entries,) cumulated weights, scaled to 2**32."""

    # laws and tags
    laws: Ints
    """(l, pieces + 1) quantile tables of mean 1, see ``meshsim.plan.laws``."""
    tags: list[Tag]

    # load
    arrivals: Arrivals
    gap_law: int
    """Row of ``laws``: gaps between requests (or bursts); -1 for constant gaps."""
    exponential_law: int
    """Row of ``laws``, for times in the states of an MMPP and for times to think; -1 where neither is."""

    # contention and failure
    routes: Routes
    quotas: Quotas
    faults: Ints
    """(f, 5) in order of time: start ns, end ns, ``FaultKind``, station or pod, value; see ``plan/faults.py``."""
    autoscalers: Ints
    """(a, columns) see ``plan/autoscaling.py``; a service that is scaled has its most pods in ``service_pods``."""
    scale_ups: list[ScaleUp]
    """Where the seconds of a new pod go, a row of ``autoscalers`` each; no engine reads it."""
    slot_workers: Ints
    """(slots,) stations of one proxy: 1, or its workers if connections are pinned to them."""

    # known before the first event
    rps: float
    station_load: NDArray[np.float64]
    """(n,) expected utilisation without wake-ups: what it would be when saturated."""
    bill: StaticBill
    cross_zone_bytes: float
    """Expected payload that leaves its zone, a request."""
    waypoints: int
    """Number of waypoint groups; pods of group g have pod_service s + g."""
