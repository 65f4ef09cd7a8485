"""What moves through the engine: requests, the frames that they are made of, and events at a known time."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import simpy

from meshsim.plan.plan import OUTSIDE

if TYPE_CHECKING:
    from meshsim.engines.attempts import Tries

CLOCK, ARRIVAL, FRAME, TRY_TIMEOUT, DEADLINE, NEXT_TRY = range(6)
"""Kinds of timed events, in the order in which they happen at one instant. An answer that comes at the very instant of
its time-out is in time."""


def order(kind: int, number: int, frame: int = 0) -> int:
    """Place in the total order of one instant: (kind, request, frame) in one number of 64 bits."""
    return kind << 60 | number << 20 | frame


class Timed(simpy.Event):
    """An event at a known time, with its place in the total order and whom it is about."""

    def __init__(
        self, env: simpy.Environment, delay: int, order: int, callback: Callable[[Any], None], about: Any
    ) -> None:
        self.env = env
        self.callbacks = [callback]
        self.about = about
        self._ok = True
        self._value = None
        env.schedule(self, priority=order, delay=delay)  # type: ignore[arg-type]  # any integer orders


class Request:
    """An end-to-end request: its number, how many frames it has started, and which client of a closed loop sent it."""

    __slots__ = ("client", "frames", "number")

    def __init__(self, number: int, client: int = -1) -> None:
        self.number = number
        self.frames = 0
        self.client = client


class Frame:
    """One running program: a call from its caller's send to its caller's receive, an attempt of one, a branch, or
    detached work."""

    __slots__ = (
        "after", "asked", "back", "batch", "begun", "call", "child_failed", "children", "connected", "connection",
        "detached", "entered", "held_since", "host", "joining", "kept", "key", "left", "number", "opened", "optional",
        "order", "over", "parent", "parts", "pc", "pinned_by", "pods", "quota", "ran", "request", "reset", "since",
        "slept", "span", "started", "status", "to_serve", "token", "tries", "turn", "woken",
    )  # fmt: skip

    def __init__(self, request: Request, parent: Frame | None, pc: int, key: int) -> None:
        self.request = request
        self.parent = parent
        self.pc = pc
        self.key = key
        self.number = request.frames
        request.frames += 1
        self.order = FRAME << 60 | request.number << 20 | self.number
        self.call = -1
        self.back = -1  # where BODY returns to
        self.pods = (OUTSIDE, OUTSIDE, OUTSIDE)  # by Place: source, destination, waypoint
        self.children = 0
        self.joining = self.detached = self.woken = self.turn = False
        self.parts: list[tuple[int, int]] = []  # (instruction, ns) of a visit to a core
        self.asked = 0  # ns of all parts
        self.left = 0  # of them still to be done
        self.begun = False  # it has had a core for them
        self.ran = 0  # ns of its slice that its thread has used
        self.kept = False  # its thread goes on to its next on the same core
        self.after = 0  # the instruction behind the last part
        self.quota = -1  # row of the container that the work is charged to
        self.since = 0  # when the current instruction began
        self.held_since = 0  # when it asked for the token that it holds
        self.slept = 0  # ns, the thread that it has woken
        self.to_serve = 0  # so many of those in line does its thread still serve in this turn of its event loop
        self.batch: list[Frame] = []  # whom its thread has served in this turn; what they send leaves when it ends
        self.entered = 0  # when it entered the body
        self.started = 0
        self.span: Any = None
        self.status = 0
        self.child_failed = self.optional = False
        self.tries: Tries | None = None  # of an attempt: the call that it is made for
        self.over = False  # of an attempt: answered, or given up
        self.reset = False  # of an attempt: its stream was reset when it was given up; of others: it ended for that
        self.token: Any = None  # the pool whose token it holds
        self.host = -1  # whose books count it as under way
        self.connection = -1
        self.connected = False  # it has taken that connection itself, and will give it back
        self.opened = False  # that connection was opened for it
        self.pinned_by = 0  # key of the connection that decides on the workers of proxies; 0: its own key does
