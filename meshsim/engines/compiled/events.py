"""What is to happen: a heap of events by (time, place in the total order of an instant)."""

from __future__ import annotations

from numba import njit

from meshsim.engines.compiled.pointers import int32s, int64s
from meshsim.engines.compiled.state import ABOUT, EVENT, EVENT_LIST, EXTRA, PENDING

WIDE = 2 * EVENT


@njit
def push(S, time, order, about, extra):
    """Something will happen."""
    events, words = int64s(S[EVENT_LIST]), int32s(S[EVENT_LIST])
    here = S[PENDING]
    S[PENDING] = here + 1
    while here > 0:
        above = (here - 1) >> 1
        at = above * EVENT
        if events[at] < time or (events[at] == time and events[at + 1] < order):
            break
        to = here * EVENT
        events[to], events[to + 1], events[to + 2] = events[at], events[at + 1], events[at + 2]
        here = above
    to = here * EVENT
    events[to], events[to + 1] = time, order
    words[here * WIDE + ABOUT], words[here * WIDE + EXTRA] = about, extra


@njit
def remove_first(S):
    """The first event has happened."""
    events = int64s(S[EVENT_LIST])
    left = S[PENDING] - 1
    S[PENDING] = left
    last = left * EVENT
    time, order, about = events[last], events[last + 1], events[last + 2]
    here = 0
    while True:
        child = 2 * here + 1
        if child >= left:
            break
        at = child * EVENT
        if child + 1 < left and (
            events[at + EVENT] < events[at]
            or (events[at + EVENT] == events[at] and events[at + EVENT + 1] < events[at + 1])
        ):
            child += 1
            at += EVENT
        if time < events[at] or (time == events[at] and order < events[at + 1]):
            break
        to = here * EVENT
        events[to], events[to + 1], events[to + 2] = events[at], events[at + 1], events[at + 2]
        here = child
    to = here * EVENT
    events[to], events[to + 1], events[to + 2] = time, order, about
