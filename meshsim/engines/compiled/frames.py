"""Frames: how they come to be, where they stand in line, how they fail, and where they go when they end."""

from __future__ import annotations

import numpy as np
from numba import njit

from meshsim.engines.compiled.pointers import int32s, int64s, uint64s
from meshsim.engines.compiled.recorder import failure, frame_started, waited
from meshsim.engines.compiled.state import *  # noqa: F403

WIDE = 2 * FRAME


@njit
def new_frame(S, request, parent, pc, key):
    """A frame in no pod yet."""
    F32, requests = int32s(S[FRAMES]), int32s(S[REQUESTS])
    frame = S[FRAMES_FREE]
    if frame >= 0:
        S[FRAMES_FREE] = F32[frame * WIDE + NEXT]
    else:
        frame = S[FRAMES_USED]
        S[FRAMES_USED] = frame + 1
    S[FRAMES_LIVE] += 1
    r = request * (2 * REQUEST_ROW)
    number = requests[r + FRAME_COUNT]
    requests[r + FRAME_COUNT] = number + 1
    requests[r + REFERENCES] += 1
    uint64s(S[FRAMES])[frame * FRAME + KEY] = key
    F64 = int64s(S[FRAMES])
    F64[frame * FRAME + ORDER] = int64s(S[REQUESTS])[request * REQUEST_ROW + NUMBER] << 20 | number
    f = frame * WIDE
    F32[f + PC], F32[f + PARENT], F32[f + CALL], F32[f + REQUEST] = pc, parent, -1, request
    F32[f + CHILDREN], F32[f + FLAGS], F32[f + SPAN] = 0, 0, -1
    F64[frame * FRAME + HELD_SINCE] = 0
    if S[ROUTED] | S[FAULTY]:
        c = frame * (2 * COLD_PART)
        C32 = int32s(S[COLD])
        C32[c + HOST], C32[c + CONNECTION], C32[c + ATTEMPT_OF], C32[c + WAITS_FOR] = -1, -1, -1, -1
    return frame


@njit
def forget_frame(S, frame):
    """Its place is free; a request without frames is over."""
    F32 = int32s(S[FRAMES])
    request = F32[frame * WIDE + REQUEST]
    int64s(S[FRAMES])[frame * FRAME + ORDER] = -1
    F32[frame * WIDE + NEXT] = S[FRAMES_FREE]
    S[FRAMES_FREE] = frame
    S[FRAMES_LIVE] -= 1
    requests = int32s(S[REQUESTS])
    r = request * (2 * REQUEST_ROW)
    requests[r + REFERENCES] -= 1
    if requests[r + REFERENCES] == 0:
        requests[r + FRAME_COUNT] = S[REQUESTS_FREE]
        S[REQUESTS_FREE] = request
        S[REQUESTS_LIVE] -= 1


@njit
def new_request(S, number, client):
    """A request without frames."""
    rows = int32s(S[REQUESTS])
    request = S[REQUESTS_FREE]
    if request >= 0:
        S[REQUESTS_FREE] = rows[request * (2 * REQUEST_ROW) + FRAME_COUNT]
    else:
        request = S[REQUESTS_USED]
        S[REQUESTS_USED] = request + 1
    S[REQUESTS_LIVE] += 1
    int64s(S[REQUESTS])[request * REQUEST_ROW + NUMBER] = number
    r = request * (2 * REQUEST_ROW)
    rows[r + FRAME_COUNT], rows[r + REFERENCES], rows[r + CLIENT] = 0, 0, client
    return request


@njit
def make_ready(S, frame):
    """It goes on at this instant, when all that was set in motion before it has."""
    F32 = int32s(S[FRAMES])
    F32[frame * WIDE + NEXT] = -1
    if S[READY_HEAD] < 0:
        S[READY_HEAD] = frame
    else:
        F32[S[READY_TAIL] * WIDE + NEXT] = frame
    S[READY_TAIL] = frame


@njit
def start(S, frame):
    """Set a new frame in motion."""
    F32 = int32s(S[FRAMES])
    f = frame * WIDE
    int64s(S[FRAMES])[frame * FRAME + BEGAN] = S[NOW]
    parent = F32[f + PARENT]
    if parent >= 0 and not F32[f + FLAGS] & DETACHED:
        F32[parent * WIDE + CHILDREN] += 1
    frame_started(S, frame)
    make_ready(S, frame)


@njit
def start_beside(S, parent, pc, detached):
    """A frame in the same pods: a branch that the parent will join, or detached work."""
    F32, F64 = int32s(S[FRAMES]), int64s(S[FRAMES])
    p = parent * WIDE
    frame = new_frame(S, F32[p + REQUEST], parent, pc, uint64s(S[FRAMES])[parent * FRAME + KEY])
    F64[frame * FRAME + HELD_SINCE] = F64[parent * FRAME + HELD_SINCE]
    f = frame * WIDE
    for place in range(3):
        F32[f + SOURCE + place] = F32[p + SOURCE + place]
    if S[ROUTED]:
        C32 = int32s(S[COLD])
        C32[frame * (2 * COLD_PART) + CONNECTION] = C32[parent * (2 * COLD_PART) + CONNECTION]
    if detached:
        F32[f + FLAGS] = DETACHED
    start(S, frame)


@njit
def join_line(S, row, head, frame):
    """Stand at the end of a line: ``row`` are the 32-bit fields that hold its head, tail and length from ``head`` on."""
    F32 = int32s(S[FRAMES])
    F32[frame * WIDE + NEXT] = -1
    if row[head + 2] == 0:
        row[head] = frame
    else:
        F32[row[head + 1] * WIDE + NEXT] = frame
    row[head + 1] = frame
    row[head + 2] += 1


@njit
def first_in_line(S, row, head):
    """Take the first out of a line that is not empty."""
    frame = row[head]
    row[head] = int32s(S[FRAMES])[frame * WIDE + NEXT]
    row[head + 2] -= 1
    return np.int64(frame)


@njit
def leave_line(S, row, head, frame):
    """Take a frame out of a line, wherever it stands; False if it is not in it."""
    F32 = int32s(S[FRAMES])
    before = -1
    here = row[head] if row[head + 2] else -1
    while here >= 0 and here != frame:
        before, here = here, F32[here * WIDE + NEXT]
    if here < 0:
        return False
    behind = F32[frame * WIDE + NEXT]
    if before < 0:
        row[head] = behind
    else:
        F32[before * WIDE + NEXT] = behind
    if row[head + 1] == frame:
        row[head + 1] = before
    row[head + 2] -= 1
    return True


@njit
def failed(S, frame, status):
    """A failure begins here."""
    F32 = int32s(S[FRAMES])
    flags = F32[frame * WIDE + FLAGS]
    F32[frame * WIDE + FLAGS] = (flags & ~STATUS) | status
    if not flags & DETACHED:
        failure(S, status)


@njit
def fail(S, frame, status):
    """Its instruction fails: go on where the failed answer begins."""
    failed(S, frame, status)
    F32 = int32s(S[FRAMES])
    F32[frame * WIDE + PC] = int32s(S[PROGRAM])[F32[frame * WIDE + PC] * (2 * INSTRUCTION) + TARGET]


@njit
def complete(S, frame):
    """The instruction that made the frame wait off the CPU is done."""
    waited(S, frame)
    int32s(S[FRAMES])[frame * WIDE + PC] += 1
