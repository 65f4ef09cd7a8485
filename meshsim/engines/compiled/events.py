"""What is to happen, in order of time and of place in the order of an instant.

Four parts. What happens soon, before ``NEAR_END``, is in a small heap. What happens somewhat later, before
``WHEEL_END``, is thrown unsorted into buckets of equal width, a wheel of them, and gets into the heap when its bucket
is opened: so an event costs the same however many are waiting (a calendar queue; Brown, "Calendar queues: a fast O(1)
priority queue implementation", Communications of the ACM 31, 1988). The wheel is small enough for a processor's cache.
What happens later than that is appended to its block of time, of which four make a turn of the wheel; a block is thrown
into the wheel as a whole, so that its events are read one after the other (a ladder queue; Tang, Goh and Thng, ACM
TOMACS 15, 2005). What lies beyond the blocks is in a second heap. The width of a bucket follows the rate of events: see
``tune``.
"""

from __future__ import annotations

from meshsim.engines.compiled import state as at
from meshsim.engines.compiled.pointers import Int64s, State, fixed, inlined, int32s, int64s, native, prefetch
from meshsim.engines.frame import FRAME as FRAME_EVENT
from meshsim.plan.plan import THREADS_SLOT

WIDE = 2 * at.EVENT
WIDE_NODE = 2 * at.NODE_ROW
WIDE_CHUNK = 2 * at.CHUNK_ROW
A_BUCKET = 3
"""2**3 events are to be in a bucket when it is opened."""
TUNE_EVERY = 1 << 16
FEWEST_BUCKETS = 256
BLOCKS_IN_A_TURN = 2
"""2**2 blocks of time make a turn of the wheel."""
WIDEST = 38
"""2**38 ns x the most buckets and blocks are 2**60: times stay within 64 bits."""


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
    if time < S[at.NEAR_END]:
        count = S[at.NEAR_COUNT]
        S[at.NEAR_COUNT] = count + 1
        into_heap(int64s(S, at.NEAR), count, time, order, about)
    elif time < S[at.WHEEL_END]:
        into_wheel(S, time, order, about)
    elif time - S[at.WHEEL_END] >> S[at.BLOCK] < at.BLOCKS:
        into_block(S, time, order, about)
    else:
        count = S[at.FAR_COUNT]
        S[at.FAR_COUNT] = count + 1
        into_heap(int64s(S, at.FAR), count, time, order, about)


@inlined
def into_wheel(S: State, time: int, order: int, about: int) -> None:
    """Into its bucket."""
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


@native
def into_block(S: State, time: int, order: int, about: int) -> None:
    """To the end of its block of time: a list of chunks, of which the first is being filled."""
    heads, chunks, links = int32s(S, at.BLOCK_HEADS), int64s(S, at.CHUNKS), int32s(S, at.CHUNKS)
    head = 2 * (time >> S[at.BLOCK] & at.BLOCKS - 1)
    chunk, filled = heads[head] - 1, heads[head + 1]
    if chunk < 0 or filled == at.IN_A_CHUNK:
        behind, filled = chunk, 0
        chunk = S[at.CHUNKS_FREE]
        if chunk >= 0:
            S[at.CHUNKS_FREE] = links[chunk * WIDE_CHUNK + at.CHUNK_NEXT]
        else:
            chunk = S[at.CHUNKS_USED]
            S[at.CHUNKS_USED] = chunk + 1
        links[chunk * WIDE_CHUNK + at.CHUNK_NEXT] = behind
        heads[head] = chunk + 1
    row = chunk * at.CHUNK_ROW + 1 + filled * at.EVENT
    chunks[row], chunks[row + 1], chunks[row + 2] = time, order, about
    heads[head + 1] = filled + 1
    S[at.BLOCKS_COUNT] += 1


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
        to_next_block(S)
    else:
        bucket = S[at.NEAR_END] >> width
        while heads[bucket & mask] == 0:
            bucket += 1
        S[at.NEAR_END] = (bucket + 1) << width
        near, count = int64s(S, at.NEAR), 0
        node = heads[bucket & mask] - 1
        heads[bucket & mask] = 0
        while node >= 0:
            row = node * at.NODE_ROW
            into_heap(near, count, nodes[row], nodes[row + 1], nodes[row + 2])
            count += 1
            behind = links[node * WIDE_NODE + at.NODE_NEXT]
            links[node * WIDE_NODE + at.NODE_NEXT] = S[at.NODES_FREE]
            S[at.NODES_FREE] = node
            node = behind
        S[at.NEAR_COUNT] = count
        S[at.WHEEL_COUNT] -= count
        node = heads[bucket + 2 & mask] - 1
        while node >= 0:  # whoever comes after the next, and the events behind: from memory into the cache
            frame = (nodes[node * at.NODE_ROW + 2] & 0xFFFFFFFF) * (8 * at.FRAME)
            prefetch(S, at.FRAMES, frame)
            prefetch(S, at.FRAMES, frame + 8 * at.FRAME - 8)
            node = links[node * WIDE_NODE + at.NODE_NEXT]
        prefetch(S, at.NODES, (heads[bucket + 4 & mask] - 1) * (8 * at.NODE_ROW))
        if fixed(S, at.MANY_STATIONS):
            node = heads[bucket + 1 & mask] - 1
            while node >= 0:
                row = node * at.NODE_ROW
                if nodes[row + 1] >> 60 == FRAME_EVENT:
                    fetch_threads(S, nodes[row + 2] & 0xFFFFFFFF)
                node = links[node * WIDE_NODE + at.NODE_NEXT]
    turn(S)


@inlined
def fetch_threads(S: State, frame: int) -> None:
    """Of the pod that a frame calls: they will be asked for, or given back."""
    pod = int32s(S, at.FRAMES)[frame * (2 * at.FRAME) + at.DESTINATION]
    if pod >= 0:
        station = int32s(S, at.POD_STATION)[pod * fixed(S, at.SLOTS) + THREADS_SLOT]
        prefetch(S, at.STATIONS, station * (8 * at.STATION))
        prefetch(S, at.STATIONS, station * (8 * at.STATION) + 64)


@native
def to_next_block(S: State) -> None:
    """The wheel is empty: it begins anew with the next block that is not."""
    if S[at.BLOCKS_COUNT]:
        heads = int32s(S, at.BLOCK_HEADS)
        while heads[2 * (S[at.WHEEL_END] >> S[at.BLOCK] & at.BLOCKS - 1)] == 0:
            S[at.WHEEL_END] += 1 << S[at.BLOCK]
    else:
        S[at.WHEEL_END] = int64s(S, at.FAR)[0] >> S[at.BLOCK] << S[at.BLOCK]
    S[at.NEAR_END] = S[at.WHEEL_END]


@inlined
def turn(S: State) -> None:
    """The wheel has turned: it takes the blocks that lie within it now."""
    while S[at.WHEEL_END] + (1 << S[at.BLOCK]) <= S[at.NEAR_END] + (S[at.BUCKET_COUNT] << S[at.WIDTH]):
        empty_block(S)
        bring_nearer(S)


@native
def empty_block(S: State) -> None:
    """The next block is thrown into the wheel."""
    heads, chunks, links = int32s(S, at.BLOCK_HEADS), int64s(S, at.CHUNKS), int32s(S, at.CHUNKS)
    head = 2 * (S[at.WHEEL_END] >> S[at.BLOCK] & at.BLOCKS - 1)
    chunk, filled = heads[head] - 1, heads[head + 1]
    heads[head], heads[head + 1] = 0, 0
    S[at.WHEEL_END] += 1 << S[at.BLOCK]
    while chunk >= 0:
        S[at.BLOCKS_COUNT] -= filled
        row = chunk * at.CHUNK_ROW + 1
        for _ in range(filled):
            into_wheel(S, chunks[row], chunks[row + 1], chunks[row + 2])
            row += at.EVENT
        behind = links[chunk * WIDE_CHUNK + at.CHUNK_NEXT]
        links[chunk * WIDE_CHUNK + at.CHUNK_NEXT] = S[at.CHUNKS_FREE]
        S[at.CHUNKS_FREE] = chunk
        chunk, filled = behind, at.IN_A_CHUNK


@native
def bring_nearer(S: State) -> None:
    """The blocks take what no longer lies beyond them."""
    far = int64s(S, at.FAR)
    horizon = S[at.WHEEL_END] + (at.BLOCKS << S[at.BLOCK])
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
    while (1 << width) * happened < passed << A_BUCKET and width < WIDEST:
        width += 1
    buckets = FEWEST_BUCKETS
    while buckets < S[at.PENDING] and buckets < at.MOST_BUCKETS:
        buckets *= 2
    about_right = S[at.WIDTH] <= width <= S[at.WIDTH] + 1
    if not about_right or buckets > S[at.BUCKET_COUNT] or buckets * 4 < S[at.BUCKET_COUNT]:
        turn_into(S, width, buckets)


@native
def turn_into(S: State, width: int, buckets: int) -> None:
    """Buckets of another width, or another number of them: everything in the wheel and the blocks is placed anew."""
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
    all_chunks = chunks_of_all_blocks(S)
    S[at.WIDTH], S[at.BUCKET_COUNT], S[at.BLOCK] = width, buckets, width - BLOCKS_IN_A_TURN
    while buckets > 1:
        buckets >>= 1
        S[at.BLOCK] += 1
    S[at.NEAR_END] = (S[at.NEAR_END] >> width) + 1 << width
    S[at.WHEEL_END] = S[at.NEAR_END] + (S[at.BUCKET_COUNT] << width) >> S[at.BLOCK] << S[at.BLOCK]
    S[at.WHEEL_COUNT] = S[at.BLOCKS_COUNT] = 0
    node = all_of_them
    while node >= 0:
        row = node * at.NODE_ROW
        time, order, about = nodes[row], nodes[row + 1], nodes[row + 2]
        behind = links[node * WIDE_NODE + at.NODE_NEXT]
        links[node * WIDE_NODE + at.NODE_NEXT] = S[at.NODES_FREE]
        S[at.NODES_FREE] = node
        place(S, time, order, about)
        node = behind
    place_anew(S, all_chunks)
    bring_nearer(S)


@native
def chunks_of_all_blocks(S: State) -> int:
    """Take the chunks of all blocks, as one list; each says how much is in it."""
    heads, links = int32s(S, at.BLOCK_HEADS), int32s(S, at.CHUNKS)
    all_of_them = -1
    for block in range(at.BLOCKS):
        chunk, filled = heads[2 * block] - 1, heads[2 * block + 1]
        heads[2 * block], heads[2 * block + 1] = 0, 0
        while chunk >= 0:
            behind = links[chunk * WIDE_CHUNK + at.CHUNK_NEXT]
            links[chunk * WIDE_CHUNK + at.CHUNK_NEXT] = all_of_them
            links[chunk * WIDE_CHUNK + at.CHUNK_FILLED] = filled
            all_of_them = chunk
            chunk, filled = behind, at.IN_A_CHUNK
    return all_of_them


@native
def place_anew(S: State, first: int) -> None:
    """The events of a list of chunks. Those are free when all is placed: what is being read must not be written to."""
    chunks, links = int64s(S, at.CHUNKS), int32s(S, at.CHUNKS)
    chunk, last = first, -1
    while chunk >= 0:
        row = chunk * at.CHUNK_ROW + 1
        for _ in range(links[chunk * WIDE_CHUNK + at.CHUNK_FILLED]):
            place(S, chunks[row], chunks[row + 1], chunks[row + 2])
            row += at.EVENT
        last = chunk
        chunk = links[chunk * WIDE_CHUNK + at.CHUNK_NEXT]
    if last >= 0:
        links[last * WIDE_CHUNK + at.CHUNK_NEXT] = S[at.CHUNKS_FREE]
        S[at.CHUNKS_FREE] = first
