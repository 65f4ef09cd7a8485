"""What is to happen, in order of time and of place in the order of an instant.

Three parts. What happens soon, before ``NEAR_END``, is in a small heap. What happens later is thrown unsorted into
buckets of equal width, a wheel of them, and gets into the heap when its bucket is opened: so an event costs the same
however many are waiting (a calendar queue; Brown, "Calendar queues: a fast O(1) priority queue implementation",
Communications of the ACM 31, 1988). What lies beyond the wheel, such as time-outs that will mostly be of no account
then, is in a second heap. The width follows the rate of events: see ``tune``.
"""

from __future__ import annotations

from meshsim.engines.compiled import state as at
from meshsim.engines.compiled.pointers import Int64s, State, inlined, int32s, int64s, native, prefetch

WIDE = 2 * at.EVENT
WIDE_NODE = 2 * at.NODE_ROW
A_BUCKET = 3
"""2**3 events are to be in a bucket when it is opened."""
TUNE_EVERY = 1 << 16
FEWEST_BUCKETS = 256


@inlined
def into_heap(events: Int64s, count: int, time: int, order: int, about: int) -> None:
    """Into a heap that has ``count`` events so far."""
    here = count
    while here > 0:
        above = (here - 1) >> 1
        row = above * at.EVENT
        if events[row] < time or (events[row] == time and events[row + 1] < order):
            break
        to = here * at.EVENT
        events[to], events[to + 1], events[to + 2] = events[row], events[row + 1], events[row + 2]
        here = above
    to = here * at.EVENT
    events[to], events[to + 1], events[to + 2] = time, order, about


@inlined
def without_first(events: Int64s, left: int) -> None:
    """Out of a heap of which ``left`` events are left."""
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


@inlined
def push(S: State, time: int, order: int, about: int, extra: int) -> None:
    """Something will happen."""
    S[at.PENDING] += 1
    place(S, time, order, about | extra << 32)


@inlined
def place(S: State, time: int, order: int, about: int) -> None:
    """Into the part where it belongs."""
    ahead = time - S[at.NEAR_END]
    if ahead < 0:
        count = S[at.NEAR_COUNT]
        S[at.NEAR_COUNT] = count + 1
        into_heap(int64s(S, at.NEAR), count, time, order, about)
    elif ahead >> S[at.WIDTH] < S[at.BUCKET_COUNT]:
        nodes, links, heads = int64s(S, at.NODES), int32s(S, at.NODES), int32s(S, at.BUCKETS)
        node = S[at.NODES_FREE]
        if node >= 0:
            S[at.NODES_FREE] = links[node * WIDE_NODE + at.NODE_NEXT]
        else:
            node = S[at.NODES_USED]
            S[at.NODES_USED] = node + 1
        bucket = time >> S[at.WIDTH] & S[at.BUCKET_COUNT] - 1
        row = node * at.NODE_ROW
        nodes[row], nodes[row + 1], nodes[row + 2] = time, order, about
        links[node * WIDE_NODE + at.NODE_NEXT] = heads[bucket] - 1
        heads[bucket] = node + 1
        S[at.WHEEL_COUNT] += 1
    else:
        count = S[at.FAR_COUNT]
        S[at.FAR_COUNT] = count + 1
        into_heap(int64s(S, at.FAR), count, time, order, about)


@inlined
def remove_first(S: State) -> None:
    """The first event, which is in the near heap, has happened."""
    S[at.PENDING] -= 1
    left = S[at.NEAR_COUNT] - 1
    S[at.NEAR_COUNT] = left
    without_first(int64s(S, at.NEAR), left)


@native
def open_next(S: State) -> None:
    """The near heap is empty: the next bucket that is not is emptied into it."""
    if S[at.EVENTS] >= S[at.TUNE_AT]:
        tune(S)
        if S[at.NEAR_COUNT]:
            return
    width, mask = S[at.WIDTH], S[at.BUCKET_COUNT] - 1
    heads, nodes, links = int32s(S, at.BUCKETS), int64s(S, at.NODES), int32s(S, at.NODES)
    if S[at.WHEEL_COUNT] == 0:
        S[at.NEAR_END] = int64s(S, at.FAR)[0] >> width << width
    else:
        bucket = S[at.NEAR_END] >> width
        while heads[bucket & mask] == 0:
            bucket += 1
        S[at.NEAR_END] = (bucket + 1) << width
        near, count, emptied = int64s(S, at.NEAR), 0, 0
        node = heads[bucket & mask] - 1
        heads[bucket & mask] = 0
        while node >= 0:
            row = node * at.NODE_ROW
            prefetch(S, at.FRAMES, (nodes[row + 2] & 0xFFFFFFFF) * (8 * at.FRAME))
            into_heap(near, count, nodes[row], nodes[row + 1], nodes[row + 2])
            count += 1
            behind = links[node * WIDE_NODE + at.NODE_NEXT]
            links[node * WIDE_NODE + at.NODE_NEXT] = S[at.NODES_FREE]
            S[at.NODES_FREE] = node
            node = behind
            emptied += 1
        S[at.NEAR_COUNT] = count
        S[at.WHEEL_COUNT] -= emptied
    bring_nearer(S)


@native
def bring_nearer(S: State) -> None:
    """The wheel has turned: it takes what no longer lies beyond it."""
    far = int64s(S, at.FAR)
    horizon = S[at.NEAR_END] + (S[at.BUCKET_COUNT] << S[at.WIDTH])
    while S[at.FAR_COUNT] and far[0] < horizon:
        time, order, about = far[0], far[1], far[2]
        S[at.FAR_COUNT] -= 1
        without_first(far, S[at.FAR_COUNT])
        place(S, time, order, about)


@native
def tune(S: State) -> None:
    """Let a bucket be as wide as the time that a few events take; look again when many have happened."""
    passed, happened = S[at.NOW] - S[at.TUNED_AT_TIME], S[at.EVENTS] - S[at.TUNED_AT]
    S[at.TUNED_AT_TIME], S[at.TUNED_AT] = S[at.NOW], S[at.EVENTS]
    S[at.TUNE_AT] = S[at.EVENTS] + min(TUNE_EVERY, 4 * (happened + 256))
    if happened == 0:
        return
    width = 0
    while (1 << width) * happened < passed << A_BUCKET and width < 40:
        width += 1
    buckets = FEWEST_BUCKETS
    while buckets < S[at.PENDING] and buckets < at.MOST_BUCKETS:
        buckets *= 2
    about_right = S[at.WIDTH] <= width <= S[at.WIDTH] + 1
    if not about_right or buckets > S[at.BUCKET_COUNT] or buckets * 4 < S[at.BUCKET_COUNT]:
        turn_into(S, width, buckets)


@native
def turn_into(S: State, width: int, buckets: int) -> None:
    """Buckets of another width, or another number of them: everything in the wheel is placed anew."""
    heads, nodes, links = int32s(S, at.BUCKETS), int64s(S, at.NODES), int32s(S, at.NODES)
    all_of_them = -1
    for bucket in range(S[at.BUCKET_COUNT]):
        node = heads[bucket] - 1
        heads[bucket] = 0
        while node >= 0:
            behind = links[node * WIDE_NODE + at.NODE_NEXT]
            links[node * WIDE_NODE + at.NODE_NEXT] = all_of_them
            all_of_them = node
            node = behind
    S[at.WIDTH], S[at.BUCKET_COUNT] = width, buckets
    S[at.NEAR_END] = (S[at.NEAR_END] >> width) + 1 << width
    S[at.WHEEL_COUNT] = 0
    node = all_of_them
    while node >= 0:
        row = node * at.NODE_ROW
        time, order, about = nodes[row], nodes[row + 1], nodes[row + 2]
        behind = links[node * WIDE_NODE + at.NODE_NEXT]
        links[node * WIDE_NODE + at.NODE_NEXT] = S[at.NODES_FREE]
        S[at.NODES_FREE] = node
        place(S, time, order, about)
        node = behind
    bring_nearer(S)
