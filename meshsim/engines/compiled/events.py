"""What is to happen: a heap of events by (time, place in the total order of an instant)."""

from __future__ import annotations

from meshsim.engines.compiled import state as at
from meshsim.engines.compiled.pointers import State, int32s, int64s, native

WIDE = 2 * at.EVENT


@native
def push(S: State, time: int, order: int, about: int, extra: int) -> None:
    """Something will happen."""
    events, words = int64s(S[at.EVENT_LIST]), int32s(S[at.EVENT_LIST])
    here = S[at.PENDING]
    S[at.PENDING] = here + 1
    while here > 0:
        above = (here - 1) >> 1
        row = above * at.EVENT
        if events[row] < time or (events[row] == time and events[row + 1] < order):
            break
        to = here * at.EVENT
        events[to], events[to + 1], events[to + 2] = events[row], events[row + 1], events[row + 2]
        here = above
    to = here * at.EVENT
    events[to], events[to + 1] = time, order
    words[here * WIDE + at.ABOUT], words[here * WIDE + at.EXTRA] = about, extra


@native
def remove_first(S: State) -> None:
    """The first event has happened."""
    events = int64s(S[at.EVENT_LIST])
    left = S[at.PENDING] - 1
    S[at.PENDING] = left
    last = left * at.EVENT
    time, order, about = events[last], events[last + 1], events[last + 2]
    here = 0
    while True:
        child = 2 * here + 1
        if child >= left:
            break
        row = child * at.EVENT
        if child + 1 < left and (
            events[row + at.EVENT] < events[row]
            or (events[row + at.EVENT] == events[row] and events[row + at.EVENT + 1] < events[row + 1])
        ):
            child += 1
            row += at.EVENT
        if time < events[row] or (time == events[row] and order < events[row + 1]):
            break
        to = here * at.EVENT
        events[to], events[to + 1], events[to + 2] = events[row], events[row + 1], events[row + 2]
        here = child
    to = here * at.EVENT
    events[to], events[to + 1], events[to + 2] = time, order, about
