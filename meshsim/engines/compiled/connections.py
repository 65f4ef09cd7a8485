"""Connections: ``meshsim.engines.connections`` on flat arrays."""

from __future__ import annotations

import numpy as np

from meshsim.engines.compiled import state as at
from meshsim.engines.compiled.balancer import choose, left_host
from meshsim.engines.compiled.draws import ONE_U, below, child_key, draw, high, mix
from meshsim.engines.compiled.frames import complete, fail, first_in_line, join_line, leave_line, make_ready
from meshsim.engines.compiled.pointers import State, fixed, int32s, int64s, native, uint64s
from meshsim.engines.compiled.recorder import write_in_span
from meshsim.engines.connections import BY_CONNECTION, OVERFLOW, WORKER
from meshsim.plan.routes import POOL

WIDE = 2 * at.FRAME
POOL_ROW = len(POOL)
POOL_HOLDER, POOL_FIRST, CONNECTION_FIRST, MOST, STREAMS, SHARED, PENDING_PLACES = range(7)
CLOSED = np.uint64(0)


@native
def row_of(S: State, frame: int) -> int:
    """Where the row of the pool of a frame's call begins; negative without pool."""
    call = int32s(S, at.FRAMES)[frame * WIDE + at.CALL]
    if call < 0:
        return -1
    return int32s(S, at.CALLS)[call * (2 * at.CALL_ROW) + at.CALL_POOL] * POOL_ROW


@native
def ordinal_in(S: State, frame: int, row: int) -> int:
    """Which of the callers that have such a pool."""
    source = int32s(S, at.FRAMES)[frame * WIDE + at.SOURCE]
    return source - int64s(S, at.POOLS)[row + POOL_HOLDER] if source >= 0 else 0


@native
def connect(S: State, frame: int) -> bool:
    """True if the frame goes on: with a connection, or failed because the line is full."""
    pools, states, F32 = int64s(S, at.POOLS), int32s(S, at.POOL_STATES), int32s(S, at.FRAMES)
    row = row_of(S, frame)
    ordinal = ordinal_in(S, frame, row)
    pool = pools[row + POOL_FIRST] + ordinal
    connection = free_one(S, pool, pools[row + CONNECTION_FIRST] + ordinal * pools[row + MOST], row)
    if connection >= 0:
        take(S, frame, connection)
        F32[frame * WIDE + at.PC] += 1
        return True
    line = pool * (2 * at.POOL_STATE_ROW) + at.POOL_HEAD
    if 0 <= pools[row + PENDING_PLACES] <= states[line + 2]:
        fail(S, frame, OVERFLOW)
        return True
    join_line(S, states, line, frame)
    return False


@native
def free_one(S: State, pool: int, first: int, row: int) -> int:
    """Number of a connection that can take a request; -1 if there is none."""
    pools, states, rows = int64s(S, at.POOLS), int32s(S, at.POOL_STATES), int64s(S, at.CONNECTIONS)
    count = pools[row + MOST]
    if pools[row + SHARED]:
        turn = states[pool * (2 * at.POOL_STATE_ROW) + at.POOL_TURN]
        for step in range(count):
            place = (turn + step) % count
            if rows[(first + place) * at.CONNECTION_ROW + at.CONNECTION_BUSY] < pools[row + STREAMS]:
                states[pool * (2 * at.POOL_STATE_ROW) + at.POOL_TURN] = (place + 1) % count
                return first + place
        return -1
    idle = -1
    for connection in range(first, first + count):
        if rows[connection * at.CONNECTION_ROW + at.CONNECTION_BUSY] == 0:
            if rows[connection * at.CONNECTION_ROW + 1] != 0:
                return connection
            if idle < 0:
                idle = connection
    return idle


@native
def take(S: State, frame: int, connection: int) -> None:
    """Put the frame on it; open it if it was closed."""
    rows, keys, F32 = int64s(S, at.CONNECTIONS), uint64s(S, at.CONNECTIONS), int32s(S, at.FRAMES)
    row = connection * at.CONNECTION_ROW
    rows[row + at.CONNECTION_BUSY] += 1
    int32s(S, at.COLD)[frame * (2 * at.COLD_PART) + at.CONNECTION] = connection
    F32[frame * WIDE + at.FLAGS] |= at.CONNECTED
    call = F32[frame * WIDE + at.CALL]
    by_connection = int32s(S, at.CALLS)[call * (2 * at.CALL_ROW) + at.CHOOSER] == BY_CONNECTION
    pods = int32s(S, at.CONNECTION_POD)
    here = F32[frame * WIDE + at.PC] * at.INSTRUCTION
    share = int64s(S, at.PROGRAM)[here + at.AMOUNT]
    if share:
        stride = uint64s(S, at.PROGRAM)[here + at.PURPOSE_STRIDE]
        if high(mix(uint64s(S, at.FRAMES)[frame * at.FRAME + at.KEY] ^ stride)) < share:
            keys[row + 1] = CLOSED
    if keys[row + 1] == CLOSED:
        S[at.OPENED_CONNECTIONS] += 1
        F32[frame * WIDE + at.FLAGS] |= at.OPENED
        key = child_key(child_key(np.uint64(fixed(S, at.CONNECTION_KEY)), connection), S[at.OPENED_CONNECTIONS])
        if key == CLOSED:
            key = ONE_U
        keys[row + 1] = key
        if by_connection:
            choose(S, frame, key)
            left_host(S, frame)
            pods[connection] = F32[frame * WIDE + at.DESTINATION]
    int64s(S, at.COLD)[frame * at.COLD_PART + at.PINNED_BY] = rows[row + 1]
    if by_connection:
        F32[frame * WIDE + at.DESTINATION] = pods[connection]
        write_in_span(S, frame, at.SPAN_DESTINATION, pods[connection])


@native
def disconnect(S: State, frame: int) -> None:
    """Give it back; the first in line gets it at this instant."""
    pools, states, C32 = int64s(S, at.POOLS), int32s(S, at.POOL_STATES), int32s(S, at.COLD)
    connection = C32[frame * (2 * at.COLD_PART) + at.CONNECTION]
    C32[frame * (2 * at.COLD_PART) + at.CONNECTION] = -1
    int32s(S, at.FRAMES)[frame * WIDE + at.FLAGS] &= ~at.CONNECTED
    if connection < 0:
        return
    int64s(S, at.CONNECTIONS)[connection * at.CONNECTION_ROW + at.CONNECTION_BUSY] -= 1
    row = row_of(S, frame)
    ordinal = ordinal_in(S, frame, row)
    pool = pools[row + POOL_FIRST] + ordinal
    line = pool * (2 * at.POOL_STATE_ROW) + at.POOL_HEAD
    if states[line + 2]:
        free = free_one(S, pool, pools[row + CONNECTION_FIRST] + ordinal * pools[row + MOST], row)
        following = first_in_line(S, states, line)
        take(S, following, free)
        complete(S, following)
        make_ready(S, following)


@native
def leave_pool(S: State, attempt: int) -> bool:
    """An attempt was given up. True if it waited for a connection: then it never goes upstream."""
    pools = int64s(S, at.POOLS)
    row = row_of(S, attempt)
    if row < 0:
        return False
    pool = pools[row + POOL_FIRST] + ordinal_in(S, attempt, row)
    if leave_line(S, int32s(S, at.POOL_STATES), pool * (2 * at.POOL_STATE_ROW) + at.POOL_HEAD, attempt):
        return True
    if int32s(S, at.FRAMES)[attempt * WIDE + at.FLAGS] & at.CONNECTED:
        hang_up(S, attempt)
    return False


@native
def hang_up(S: State, frame: int) -> None:
    """Give a connection back before the answer is there: that closes one of HTTP/1.1."""
    if not int64s(S, at.POOLS)[row_of(S, frame) + SHARED]:
        connection = int32s(S, at.COLD)[frame * (2 * at.COLD_PART) + at.CONNECTION]
        uint64s(S, at.CONNECTIONS)[connection * at.CONNECTION_ROW + 1] = CLOSED
    disconnect(S, frame)


@native
def worker(S: State, frame: int, place: int, workers: int) -> int:
    """Which of a proxy's workers serves the frame at a place; a frame without pool is a connection of its own."""
    key = uint64s(S, at.COLD)[frame * at.COLD_PART + at.PINNED_BY] if fixed(S, at.ROUTED) else CLOSED
    if key == CLOSED:
        key = uint64s(S, at.FRAMES)[frame * at.FRAME + at.KEY]
    pod = int32s(S, at.FRAMES)[frame * WIDE + at.SOURCE + place]
    return below(draw(child_key(key, pod), WORKER), workers)
