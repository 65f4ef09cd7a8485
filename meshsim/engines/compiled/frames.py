"""Frames: how they come to be, where they stand in line, how they fail, and where they go when they end."""

from __future__ import annotations

from meshsim.engines.compiled import state as at
from meshsim.engines.compiled.pointers import Int32s, Key, State, fixed, inlined, int32s, int64s, native, uint64s
from meshsim.engines.compiled.recorder import failure, frame_started, waited

WIDE = 2 * at.FRAME


@inlined
def new_frame(S: State, request: int, parent: int, pc: int, key: Key) -> int:
    """A frame in no pod yet."""
    F32, requests = int32s(S, at.FRAMES), int32s(S, at.REQUESTS)
    frame = S[at.FRAMES_FREE]
    if frame >= 0:
        S[at.FRAMES_FREE] = F32[frame * WIDE + at.NEXT]
    else:
        frame = S[at.FRAMES_USED]
        S[at.FRAMES_USED] = frame + 1
    S[at.FRAMES_LIVE] += 1
    r = request * (2 * at.REQUEST_ROW)
    number = requests[r + at.FRAME_COUNT]
    requests[r + at.FRAME_COUNT] = number + 1
    requests[r + at.REFERENCES] += 1
    uint64s(S, at.FRAMES)[frame * at.FRAME + at.KEY] = key
    F64 = int64s(S, at.FRAMES)
    F64[frame * at.FRAME + at.ORDER] = int64s(S, at.REQUESTS)[request * at.REQUEST_ROW + at.NUMBER] << 20 | number
    f = frame * WIDE
    F32[f + at.PC], F32[f + at.PARENT], F32[f + at.CALL], F32[f + at.REQUEST] = pc, parent, -1, request
    F32[f + at.CHILDREN], F32[f + at.FLAGS], F32[f + at.SPAN], F32[f + at.BATCH] = 0, 0, -1, -1
    F64[frame * at.FRAME + at.HELD_SINCE] = 0
    if fixed(S, at.ROUTED) | fixed(S, at.FAULTY):
        c = frame * (2 * at.COLD_PART)
        C32 = int32s(S, at.COLD)
        C32[c + at.HOST], C32[c + at.CONNECTION], C32[c + at.ATTEMPT_OF], C32[c + at.WAITS_FOR] = -1, -1, -1, -1
        C32[c + at.TOKEN] = -1
        int64s(S, at.COLD)[frame * at.COLD_PART + at.PINNED_BY] = 0
    return frame


@inlined
def forget_frame(S: State, frame: int) -> None:
    """Its place is free; a request without frames is over."""
    F32 = int32s(S, at.FRAMES)
    request = F32[frame * WIDE + at.REQUEST]
    int64s(S, at.FRAMES)[frame * at.FRAME + at.ORDER] = -1
    F32[frame * WIDE + at.NEXT] = S[at.FRAMES_FREE]
    S[at.FRAMES_FREE] = frame
    S[at.FRAMES_LIVE] -= 1
    requests = int32s(S, at.REQUESTS)
    r = request * (2 * at.REQUEST_ROW)
    requests[r + at.REFERENCES] -= 1
    if requests[r + at.REFERENCES] == 0:
        requests[r + at.FRAME_COUNT] = S[at.REQUESTS_FREE]
        S[at.REQUESTS_FREE] = request
        S[at.REQUESTS_LIVE] -= 1


@native
def new_request(S: State, number: int, client: int) -> int:
    """A request without frames."""
    rows = int32s(S, at.REQUESTS)
    request = S[at.REQUESTS_FREE]
    if request >= 0:
        S[at.REQUESTS_FREE] = rows[request * (2 * at.REQUEST_ROW) + at.FRAME_COUNT]
    else:
        request = S[at.REQUESTS_USED]
        S[at.REQUESTS_USED] = request + 1
    S[at.REQUESTS_LIVE] += 1
    int64s(S, at.REQUESTS)[request * at.REQUEST_ROW + at.NUMBER] = number
    r = request * (2 * at.REQUEST_ROW)
    rows[r + at.FRAME_COUNT], rows[r + at.REFERENCES], rows[r + at.CLIENT] = 0, 0, client
    return request


@inlined
def make_ready(S: State, frame: int) -> None:
    """It goes on at this instant, when all that was set in motion before it has."""
    F32 = int32s(S, at.FRAMES)
    F32[frame * WIDE + at.NEXT] = -1
    if S[at.READY_HEAD] < 0:
        S[at.READY_HEAD] = frame
    else:
        F32[S[at.READY_TAIL] * WIDE + at.NEXT] = frame
    S[at.READY_TAIL] = frame


@inlined
def start(S: State, frame: int) -> None:
    """Set a new frame in motion."""
    F32 = int32s(S, at.FRAMES)
    f = frame * WIDE
    int64s(S, at.FRAMES)[frame * at.FRAME + at.BEGAN] = S[at.NOW]
    parent = F32[f + at.PARENT]
    if parent >= 0 and not F32[f + at.FLAGS] & at.DETACHED:
        F32[parent * WIDE + at.CHILDREN] += 1
    frame_started(S, frame)
    make_ready(S, frame)


@native
def inherit_connection(S: State, frame: int, parent: int) -> None:
    """It goes on in the connection of its parent, on the same workers."""
    C32, C64 = int32s(S, at.COLD), int64s(S, at.COLD)
    C32[frame * (2 * at.COLD_PART) + at.CONNECTION] = C32[parent * (2 * at.COLD_PART) + at.CONNECTION]
    C64[frame * at.COLD_PART + at.PINNED_BY] = C64[parent * at.COLD_PART + at.PINNED_BY]


@native
def start_beside(S: State, parent: int, pc: int, detached: bool, takes_token: bool) -> None:
    """A frame in the same pods: a branch that the parent will join, or detached work, which may take its token."""
    F32, F64 = int32s(S, at.FRAMES), int64s(S, at.FRAMES)
    p = parent * WIDE
    frame = new_frame(S, F32[p + at.REQUEST], parent, pc, uint64s(S, at.FRAMES)[parent * at.FRAME + at.KEY])
    F64[frame * at.FRAME + at.HELD_SINCE] = F64[parent * at.FRAME + at.HELD_SINCE]
    f = frame * WIDE
    F32[f + at.TO_SERVE] = 0 if F32[p + at.FLAGS] & at.WOKEN else F32[p + at.TO_SERVE]
    for place in range(3):
        F32[f + at.SOURCE + place] = F32[p + at.SOURCE + place]
    if fixed(S, at.ROUTED):
        inherit_connection(S, frame, parent)
    if detached:
        F32[f + at.FLAGS] = at.DETACHED
    if takes_token:
        F32[f + at.BATCH], F32[p + at.BATCH] = F32[p + at.BATCH], -1
        if fixed(S, at.RESETTING):
            C32 = int32s(S, at.COLD)
            C32[frame * (2 * at.COLD_PART) + at.TOKEN] = C32[parent * (2 * at.COLD_PART) + at.TOKEN]
            C32[parent * (2 * at.COLD_PART) + at.TOKEN] = -1
    start(S, frame)


@inlined
def join_line(S: State, lines: Int32s, head: int, frame: int) -> None:
    """Stand at the end of a line, whose head, tail and length are in ``lines`` from ``head`` on."""
    F32 = int32s(S, at.FRAMES)
    F32[frame * WIDE + at.NEXT] = -1
    if lines[head + 2] == 0:
        lines[head] = frame
    else:
        F32[lines[head + 1] * WIDE + at.NEXT] = frame
    lines[head + 1] = frame
    lines[head + 2] += 1


@inlined
def first_in_line(S: State, lines: Int32s, head: int) -> int:
    """Take the first out of a line that is not empty."""
    frame = lines[head]
    lines[head] = int32s(S, at.FRAMES)[frame * WIDE + at.NEXT]
    lines[head + 2] -= 1
    return frame


@native
def leave_line(S: State, lines: Int32s, head: int, frame: int) -> bool:
    """Take a frame out of a line, wherever it stands; False if it is not in it."""
    F32 = int32s(S, at.FRAMES)
    before = -1
    here = lines[head] if lines[head + 2] else -1
    while here >= 0 and here != frame:
        before, here = here, F32[here * WIDE + at.NEXT]
    if here < 0:
        return False
    behind = F32[frame * WIDE + at.NEXT]
    if before < 0:
        lines[head] = behind
    else:
        F32[before * WIDE + at.NEXT] = behind
    if lines[head + 1] == frame:
        lines[head + 1] = before
    lines[head + 2] -= 1
    return True


@native
def is_reset(S: State, frame: int) -> bool:
    """Whether it works for an attempt whose stream was reset. Detached work is not affected."""
    F32 = int32s(S, at.FRAMES)
    while frame >= 0:
        flags = F32[frame * WIDE + at.FLAGS]
        if flags & (at.DETACHED | at.OVER):
            return flags & at.DETACHED == 0 and flags & at.CUT != 0
        frame = F32[frame * WIDE + at.PARENT]
    return False


@native
def failed(S: State, frame: int, status: int) -> None:
    """A failure begins here."""
    F32 = int32s(S, at.FRAMES)
    flags = F32[frame * WIDE + at.FLAGS]
    F32[frame * WIDE + at.FLAGS] = (flags & ~at.STATUS) | status
    if not flags & at.DETACHED:
        failure(S, status)


@native
def fail(S: State, frame: int, status: int) -> None:
    """Its instruction fails: go on where the failed answer begins."""
    failed(S, frame, status)
    F32 = int32s(S, at.FRAMES)
    F32[frame * WIDE + at.PC] = int32s(S, at.PROGRAM)[F32[frame * WIDE + at.PC] * (2 * at.INSTRUCTION) + at.TARGET]


@inlined
def complete(S: State, frame: int) -> None:
    """The instruction that made the frame wait off the CPU is done."""
    waited(S, frame)
    int32s(S, at.FRAMES)[frame * WIDE + at.PC] += 1
