"""Connections: ``meshsim.engines.connections`` on flat arrays."""

from __future__ import annotations

import numpy as np
from numba import njit

from meshsim.engines.compiled.balancer import choose, left_host
from meshsim.engines.compiled.draws import ONE_U, below, child_key, draw
from meshsim.engines.compiled.frames import complete, fail, first_in_line, join_line, leave_line, make_ready
from meshsim.engines.compiled.pointers import int32s, int64s, uint64s
from meshsim.engines.compiled.recorder import write_in_span
from meshsim.engines.compiled.state import *  # noqa: F403
from meshsim.engines.connections import BY_CONNECTION, OVERFLOW, WORKER
from meshsim.plan.routes import POOL

WIDE = 2 * FRAME
POOL_ROW = len(POOL)
POOL_HOLDER, POOL_FIRST, CONNECTION_FIRST, MOST, STREAMS, SHARED, PENDING_PLACES = range(7)
CLOSED = np.uint64(0)


@njit
def row_of(S, frame):
    """Where the row of the pool of a frame's call begins; negative without pool."""
    call = int32s(S[FRAMES])[frame * WIDE + CALL]
    if call < 0:
        return np.int64(-1)
    return np.int64(int32s(S[CALLS])[call * (2 * CALL_ROW) + CALL_POOL] * POOL_ROW)


@njit
def ordinal_in(S, frame, row):
    """Which of the callers that have such a pool."""
    source = int32s(S[FRAMES])[frame * WIDE + SOURCE]
    return source - int64s(S[POOLS])[row + POOL_HOLDER] if source >= 0 else 0


@njit
def connect(S, frame):
    """True if the frame goes on: with a connection, or failed because the line is full."""
    pools, states, F32 = int64s(S[POOLS]), int32s(S[POOL_STATES]), int32s(S[FRAMES])
    row = row_of(S, frame)
    ordinal = ordinal_in(S, frame, row)
    pool = pools[row + POOL_FIRST] + ordinal
    connection = free_one(S, pool, pools[row + CONNECTION_FIRST] + ordinal * pools[row + MOST], row)
    if connection >= 0:
        take(S, frame, connection)
        F32[frame * WIDE + PC] += 1
        return True
    line = pool * (2 * POOL_STATE_ROW) + POOL_HEAD
    if 0 <= pools[row + PENDING_PLACES] <= states[line + 2]:
        fail(S, frame, OVERFLOW)
        return True
    join_line(S, states, line, frame)
    return False


@njit
def free_one(S, pool, first, row):
    """Number of a connection that can take a request; -1 if there is none."""
    pools, states, rows = int64s(S[POOLS]), int32s(S[POOL_STATES]), int64s(S[CONNECTIONS])
    count = pools[row + MOST]
    if pools[row + SHARED]:
        turn = states[pool * (2 * POOL_STATE_ROW) + POOL_TURN]
        for step in range(count):
            place = (turn + step) % count
            if rows[(first + place) * CONNECTION_ROW + CONNECTION_BUSY] < pools[row + STREAMS]:
                states[pool * (2 * POOL_STATE_ROW) + POOL_TURN] = (place + 1) % count
                return first + place
        return np.int64(-1)
    idle = np.int64(-1)
    for connection in range(first, first + count):
        if rows[connection * CONNECTION_ROW + CONNECTION_BUSY] == 0:
            if rows[connection * CONNECTION_ROW + 1] != 0:
                return np.int64(connection)
            if idle < 0:
                idle = np.int64(connection)
    return idle


@njit
def take(S, frame, connection):
    """Put the frame on it; open it if it was closed."""
    rows, keys, F32 = int64s(S[CONNECTIONS]), uint64s(S[CONNECTIONS]), int32s(S[FRAMES])
    row = connection * CONNECTION_ROW
    rows[row + CONNECTION_BUSY] += 1
    int32s(S[COLD])[frame * (2 * COLD_PART) + CONNECTION] = connection
    call = F32[frame * WIDE + CALL]
    by_connection = int32s(S[CALLS])[call * (2 * CALL_ROW) + CHOOSER] == BY_CONNECTION
    pods = int32s(S[CONNECTION_POD])
    if keys[row + 1] == CLOSED:
        S[OPENED] += 1
        key = child_key(child_key(np.uint64(S[CONNECTION_KEY]), connection), S[OPENED])
        if key == CLOSED:
            key = ONE_U
        keys[row + 1] = key
        if by_connection:
            choose(S, frame, key)
            left_host(S, frame)
            pods[connection] = F32[frame * WIDE + DESTINATION]
    if by_connection:
        F32[frame * WIDE + DESTINATION] = pods[connection]
        write_in_span(S, frame, SPAN_DESTINATION, pods[connection])


@njit
def disconnect(S, frame):
    """Give it back; the first in line gets it at this instant."""
    pools, states, C32 = int64s(S[POOLS]), int32s(S[POOL_STATES]), int32s(S[COLD])
    connection = C32[frame * (2 * COLD_PART) + CONNECTION]
    C32[frame * (2 * COLD_PART) + CONNECTION] = -1
    if connection < 0:
        return
    int64s(S[CONNECTIONS])[connection * CONNECTION_ROW + CONNECTION_BUSY] -= 1
    row = row_of(S, frame)
    ordinal = ordinal_in(S, frame, row)
    pool = pools[row + POOL_FIRST] + ordinal
    line = pool * (2 * POOL_STATE_ROW) + POOL_HEAD
    if states[line + 2]:
        free = free_one(S, pool, pools[row + CONNECTION_FIRST] + ordinal * pools[row + MOST], row)
        following = first_in_line(S, states, line)
        take(S, following, free)
        complete(S, following)
        make_ready(S, following)


@njit
def hang_up(S, attempt):
    """An attempt was given up. True if it waited for a connection: then it never goes upstream."""
    pools, C32 = int64s(S[POOLS]), int32s(S[COLD])
    row = row_of(S, attempt)
    if row < 0:
        return False
    pool = pools[row + POOL_FIRST] + ordinal_in(S, attempt, row)
    if leave_line(S, int32s(S[POOL_STATES]), pool * (2 * POOL_STATE_ROW) + POOL_HEAD, attempt):
        return True
    parent = int32s(S[FRAMES])[attempt * WIDE + PARENT]
    connection = C32[attempt * (2 * COLD_PART) + CONNECTION]
    if connection >= 0 and connection != C32[parent * (2 * COLD_PART) + CONNECTION]:
        if not pools[row + SHARED]:
            uint64s(S[CONNECTIONS])[connection * CONNECTION_ROW + 1] = CLOSED
        disconnect(S, attempt)
    return False


@njit
def worker(S, frame, place, workers):
    """Which of a proxy's workers serves the frame at a place; a frame without pool is a connection of its own."""
    connection = int32s(S[COLD])[frame * (2 * COLD_PART) + CONNECTION] if S[ROUTED] else -1
    if connection >= 0:
        key = uint64s(S[CONNECTIONS])[connection * CONNECTION_ROW + 1]
    else:
        key = uint64s(S[FRAMES])[frame * FRAME + KEY]
    pod = int32s(S[FRAMES])[frame * WIDE + SOURCE + place]
    return below(draw(child_key(key, pod), WORKER), workers)
