"""The loop: ``meshsim.engines.reference`` on flat arrays. It has no other semantics than that file.

It comes back when the run is over, when some array must be larger, when something happens by the clock that is left to
Python, or when its budget of events is used up; called again, it goes on where it was.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit

from meshsim.engines.attempts import OK
from meshsim.engines.autoscaler import BEHIND_QUOTAS
from meshsim.engines.compiled.arrivals import schedule_request, start_load, think
from meshsim.engines.compiled.attempts import (
    attempt_ended,
    begin,
    deadline_passed,
    hedge,
    retry,
    try_timed_out,
)
from meshsim.engines.compiled.balancer import choose, left_host
from meshsim.engines.compiled.connections import connect, disconnect
from meshsim.engines.compiled.draws import below, child_key, draw, draw_ns, high, mix
from meshsim.engines.compiled.events import push, remove_first
from meshsim.engines.compiled.frames import (
    complete,
    fail,
    failed,
    forget_frame,
    make_ready,
    new_frame,
    new_request,
    start,
    start_beside,
)
from meshsim.engines.compiled.pointers import int32s, int64s, uint64s
from meshsim.engines.compiled.recorder import (
    answered,
    call_ended,
    request_arrived,
    waited,
    write_in_span,
)
from meshsim.engines.compiled.state import *  # noqa: F403
from meshsim.engines.compiled.stations import (
    acquire,
    ask_for_core,
    crash,
    end_turn,
    gather_work,
    holds,
    period_begins,
    release,
    station_of,
)
from meshsim.engines.faults import ERROR as FAULTY_ANSWER
from meshsim.engines.faults import ERRORS, NORMAL, SLOW
from meshsim.engines.frame import ARRIVAL, CLOCK as BY_CLOCK, DEADLINE, FRAME as FRAME_EVENT, NEXT_TRY, TRY_TIMEOUT
from meshsim.engines.quota import BEHIND_FAULTS
from meshsim.engines.reference import AT_START, ERROR, RATE_LIMITED, REFUSED, RESET
from meshsim.plan.draws import ENTRY, REPLICA, WAYPOINT
from meshsim.plan.plan import CPU_SLOT, THREADS_SLOT, Op, When

WIDE = 2 * FRAME
WIDE_INSTRUCTION = 2 * INSTRUCTION
WIDE_STATION = 2 * STATION
ALWAYS = int(When.ALWAYS)
(
    DO_WORK, DO_WAIT, DO_ACQUIRE, DO_RELEASE, DO_START, DO_SPAWN, DO_JOIN, DO_DETACH, DO_BODY, DO_RETURN, DO_END,
    DO_MORE, DO_ATTEMPT, DO_CONNECT, DO_DISCONNECT, DO_LIMIT,
) = (int(op) for op in Op)  # fmt: skip
LOW60 = (1 << 60) - 1
FAULT_ROW = 5


@njit
def arrive(S, number, client):
    """A request comes in."""
    request = new_request(S, number, client)
    request_arrived(S, request, number)
    key = child_key(np.uint64(S[ROOT_KEY]), number)
    share = high(draw(key, ENTRY))
    thresholds = int64s(S[ENTRY_THRESHOLD])
    call = np.int64(0)
    while share >= thresholds[call]:
        call += 1
    start_call(S, request, np.int64(-1), call, child_key(key, call), False)


@njit
def start_call(S, request, parent, call, key, optional):
    """A child frame on the hop program of ``call``, to a replica of its choice."""
    F32, calls, services = int32s(S[FRAMES]), int32s(S[CALLS]), int32s(S[SERVICES])
    c = call * (2 * CALL_ROW)
    frame = new_frame(S, request, parent, calls[c + CALL_PROGRAM], key)
    f, s = frame * WIDE, calls[c + CALLEE] * (2 * SERVICE_ROW)
    F32[f + CALL] = call
    if optional:
        F32[f + FLAGS] |= OPTIONAL
    pods = services[s + POD_COUNT]
    F32[f + DESTINATION] = services[s + FIRST_POD]
    if pods > 1:
        F32[f + DESTINATION] += below(draw(key, REPLICA), pods)
    via = services[s + FIRST_VIA]
    F32[f + VIA] = via + below(draw(key, WAYPOINT), services[s + VIA_COUNT]) if via >= 0 else -1
    F32[f + SOURCE] = -1 if parent < 0 else F32[parent * WIDE + DESTINATION]
    if S[ROUTED] and calls[c + CALL_ROUTE] >= 0 and calls[c + CHOOSER] == AT_START:
        choose(S, frame, key)
    start(S, frame)


@njit
def threads_of(S, frame):
    """The threads of the container that is called."""
    pod = int32s(S[FRAMES])[frame * WIDE + DESTINATION]
    return int32s(S[POD_STATION])[pod * S[SLOTS] + THREADS_SLOT]


@njit
def enter_body(S, frame):
    """Jump into the body, unless nobody is there to run it."""
    F32, f = int32s(S[FRAMES]), frame * WIDE
    if S[FAULTY]:
        int64s(S[COLD])[frame * COLD_PART + ENTERED] = S[NOW]
        share = int64s(S[ERROR_SHARE])[F32[f + DESTINATION]]
        if int32s(S[STATIONS])[threads_of(S, frame) * WIDE_STATION + DOWN]:
            failed(S, frame, REFUSED)
        elif high(draw(uint64s(S[FRAMES])[frame * FRAME + KEY], FAULTY_ANSWER)) < share:
            failed(S, frame, ERROR)
        if F32[f + FLAGS] & STATUS:
            F32[f + PC] += 1
            return
    F32[f + PC] = int32s(S[CALLS])[F32[f + CALL] * (2 * CALL_ROW) + CALL_BODY]


@njit
def leave_body(S, frame):
    """Back to the hop, with an answer unless the container crashed meanwhile."""
    F32, f = int32s(S[FRAMES]), frame * WIDE
    F32[f + PC] = int32s(S[CALLS])[F32[f + CALL] * (2 * CALL_ROW) + CALL_BACK]
    if S[FAULTY] and not F32[f + FLAGS] & STATUS:
        crashed_at = int64s(S[STATIONS])[threads_of(S, frame) * STATION + CRASHED_AT]
        if crashed_at > int64s(S[COLD])[frame * COLD_PART + ENTERED]:
            failed(S, frame, RESET)


@njit
def joined(S, frame):
    """Every child has ended: the endpoint goes on, or fails if a call failed that it needs."""
    F32, f = int32s(S[FRAMES]), frame * WIDE
    if F32[f + FLAGS] & CHILD_FAILED:
        F32[f + FLAGS] = (F32[f + FLAGS] & ~(CHILD_FAILED | STATUS)) | ERROR
        F32[f + PC] = int32s(S[PROGRAM])[F32[f + PC] * WIDE_INSTRUCTION + TARGET]
    else:
        F32[f + PC] += 1


@njit
def end_frame(S, frame):
    """A frame is over: whoever waits for it goes on."""
    F32, C32 = int32s(S[FRAMES]), int32s(S[COLD])
    f = frame * WIDE
    flags, parent = F32[f + FLAGS], F32[f + PARENT]
    if F32[f + SPAN] >= 0:
        write_in_span(S, frame, SPAN_END, S[NOW])
        write_in_span(S, frame, SPAN_STATUS, flags & STATUS)
    if S[ROUTED]:
        if C32[frame * (2 * COLD_PART) + ATTEMPT_OF] >= 0:
            attempt_ended(S, frame)
            forget_frame(S, frame)
            return
        left_host(S, frame)
    if F32[f + CALL] >= 0:
        call_ended(S, frame)
    if parent < 0:
        answered(S, frame)
        client = int32s(S[REQUESTS])[F32[f + REQUEST] * (2 * REQUEST_ROW) + CLIENT]
        if client >= 0:
            think(S, client)
    elif not flags & DETACHED:
        p = parent * WIDE
        if flags & STATUS and not flags & OPTIONAL:
            F32[p + FLAGS] |= CHILD_FAILED
        F32[p + CHILDREN] -= 1
        if F32[p + FLAGS] & JOINING and F32[p + CHILDREN] == 0:
            F32[p + FLAGS] &= ~JOINING
            waited(S, parent)
            joined(S, parent)
            make_ready(S, parent)
    forget_frame(S, frame)


@njit
def take_token(S, service, pod):
    """Take a token of the pod's bucket; False if it is empty."""
    limits, full = int64s(S[LIMITS]), int64s(S[FULL_AT])  # (time from token to token, tokens) of each service
    token, now = limits[2 * service], S[NOW]
    full_at = max(full[pod], now)
    if full_at - now > (limits[2 * service + 1] - 1) * token:
        return False
    full[pod] = full_at + token
    return True


@njit
def fault_changes(S, number, breaks):
    """Something breaks, or is well again."""
    row = number * FAULT_ROW
    faults = int64s(S[FAULTS])
    kind, where, value = faults[row + 2], faults[row + 3], faults[row + 4]
    if kind == SLOW:
        int64s(S[SLOWNESS])[where] = value if breaks else NORMAL
    elif kind == ERRORS:
        int64s(S[ERROR_SHARE])[where] = value if breaks else 0
    else:
        for station in range(where, where + value):
            int32s(S[STATIONS])[station * WIDE_STATION + DOWN] += 1 if breaks else -1
            if breaks:
                crash(S, station)


@njit
def step(S, frame):
    """Run a frame until it has to wait, or ends."""
    F32, F64, P32, P64 = int32s(S[FRAMES]), int64s(S[FRAMES]), int32s(S[PROGRAM]), int64s(S[PROGRAM])
    f = frame * WIDE
    while True:
        pc = np.int64(F32[f + PC])
        p = pc * WIDE_INSTRUCTION
        op, at, when = P32[p + OP], P32[p + AT], P32[p + WHEN]
        if when != ALWAYS and not holds(S, when, frame, at, P32[p + OTHER]):
            F32[f + PC] = pc + 1
        elif op == DO_WORK or op == DO_MORE:
            F64[frame * FRAME + SINCE] = S[NOW]
            F64[frame * FRAME + LEFT] = gather_work(S, frame, pc)
            F32[f + FLAGS] &= ~BEGUN
            ask_for_core(S, frame, station_of(S, frame, at, CPU_SLOT))
            return
        elif op == DO_WAIT:
            F64[frame * FRAME + SINCE] = S[NOW]
            mean_ns, law = P64[pc * INSTRUCTION + MEAN_NS], P32[p + LAW]
            if law >= 0:
                stride = uint64s(S[PROGRAM])[pc * INSTRUCTION + PURPOSE_STRIDE]
                mean_ns = draw_ns(S, law, mean_ns, mix(uint64s(S[FRAMES])[frame * FRAME + KEY] ^ stride))
            push(S, S[NOW] + mean_ns, FRAME_EVENT << 60 | F64[frame * FRAME + ORDER], frame, 0)
            return
        elif op == DO_ACQUIRE:
            F64[frame * FRAME + SINCE] = S[NOW]
            if not acquire(S, frame, station_of(S, frame, at, P32[p + SLOT])):
                return
        elif op == DO_RELEASE:
            release(S, station_of(S, frame, at, P32[p + SLOT]), frame)
        elif op == DO_START:
            amount, key = P64[pc * INSTRUCTION + AMOUNT], uint64s(S[FRAMES])[frame * FRAME + KEY]
            if amount >> 32 or high(mix(key ^ uint64s(S[PROGRAM])[pc * INSTRUCTION + PURPOSE_STRIDE])) < amount:
                child = child_key(key, P32[p + PURPOSE])
                start_call(S, F32[f + REQUEST], frame, np.int64(P32[p + TARGET]), child, P32[p + SLOT] == 1)
            F32[f + PC] = pc + 1
        elif op == DO_JOIN:
            F64[frame * FRAME + SINCE] = S[NOW]
            if F32[f + CHILDREN]:
                F32[f + FLAGS] |= JOINING
                return
            joined(S, frame)
        elif op == DO_BODY:
            enter_body(S, frame)
        elif op == DO_RETURN:
            leave_body(S, frame)
        elif op == DO_END:
            end_frame(S, frame)
            return
        elif op == DO_SPAWN or op == DO_DETACH:
            start_beside(S, frame, pc + 1, op == DO_DETACH)
            F32[f + PC] = P32[p + TARGET]
        elif op == DO_ATTEMPT:
            begin(S, frame, P32[p + SLOT])
            return
        elif op == DO_CONNECT:
            F64[frame * FRAME + SINCE] = S[NOW]
            if not connect(S, frame):
                return
        elif op == DO_DISCONNECT:
            disconnect(S, frame)
            F32[f + PC] += 1
        elif take_token(S, int32s(S[CALLS])[F32[f + CALL] * (2 * CALL_ROW) + CALLEE], F32[f + DESTINATION]):
            F32[f + PC] = pc + 1
        else:
            fail(S, frame, RATE_LIMITED)


@njit
def happen(S, kind, time, order, about, extra):
    """An event: False if it is left to Python."""
    F32, F64 = int32s(S[FRAMES]), int64s(S[FRAMES])
    if kind == FRAME_EVENT:
        S[NOW] = time
        if int32s(S[PROGRAM])[F32[about * WIDE + PC] * WIDE_INSTRUCTION + OP] == DO_WAIT:
            complete(S, about)
            make_ready(S, about)
        else:
            end_turn(S, about)
    elif kind == ARRIVAL:
        S[NOW] = time
        number = (order & LOW60) >> 20
        if S[CLIENTS]:
            arrive(S, S[SENT_BY_CLIENTS], number)
            S[SENT_BY_CLIENTS] += 1
        else:
            schedule_request(S, number + 1)
            arrive(S, number, np.int64(-1))
    elif kind == BY_CLOCK:
        S[NOW] = time
        number = (order & LOW60) >> 20
        if number < BEHIND_FAULTS:
            fault_changes(S, about, extra)
        elif number < BEHIND_QUOTAS:
            period_begins(S, about)
        else:
            S[CLOCK_EVENT] = number
            return False
    elif F64[about * FRAME + ORDER] == order & LOW60:  # else it is about a frame that is over
        if kind == TRY_TIMEOUT:
            if not F32[about * WIDE + FLAGS] & OVER:
                S[NOW] = time
                try_timed_out(S, about)
            return True
        tries = np.int64(int32s(S[COLD])[about * (2 * COLD_PART) + WAITS_FOR])
        if tries < 0:
            return True
        if kind == DEADLINE:
            S[NOW] = time
            deadline_passed(S, tries)
        elif extra == 0:
            S[NOW] = time
            retry(S, tries)
        else:
            t = tries * (2 * TRIES_ROW)
            T32 = int32s(S[TRIES])
            if T32[t + LIVE_HEAD] >= 0 and T32[t + TRIES_STARTED] == extra:
                S[NOW] = time
                hedge(S, tries)
    return True


@njit
def enough_room(S):
    """Whether every array can take what one step may add: see ``memory.py``."""
    return (
        S[FRAMES_LIVE] < S[FRAMES_LIMIT]
        and S[PENDING] < S[PENDING_LIMIT]
        and S[SEGMENTS_USED] < S[SEGMENTS_LIMIT]
        and S[SPANS_USED] < S[SPANS_LIMIT]
        and S[REQUESTS_LIVE] < S[REQUESTS_LIMIT]
        and S[TRIES_LIVE] < S[TRIES_LIMIT]
    )


def _stamp() -> int:
    """Of the sources: numba looks only at the file of the function that it keeps, not at those which that calls."""
    here = Path(__file__).parent
    text = b"".join(path.read_bytes() for folder in (here, here.parent) for path in sorted(folder.glob("*.py")))
    return int.from_bytes(hashlib.blake2s(text, digest_size=6).digest(), "big")


def _loop(stamp: int, cache: bool) -> Any:
    @njit("int64(int64)", cache=cache, nogil=True, error_model="numpy")
    def advance(address):
        S = int64s(address)
        if S[STARTED_UP] == 0:
            S[STARTED_UP] = stamp
            start_load(S)
        inbox = int64s(S[INBOX])
        for row in range(S[INBOX_USED]):
            push(S, inbox[4 * row], inbox[4 * row + 1], inbox[4 * row + 2], inbox[4 * row + 3])
        S[INBOX_USED] = 0
        F32 = int32s(S[FRAMES])
        events, words = int64s(S[EVENT_LIST]), int32s(S[EVENT_LIST])
        budget = S[BUDGET]
        while True:
            while S[READY_HEAD] >= 0:
                if not enough_room(S):
                    return MORE_ROOM
                frame = S[READY_HEAD]
                S[READY_HEAD] = F32[frame * WIDE + NEXT]
                step(S, frame)
            if S[FINISHED]:
                return DONE
            if not enough_room(S):
                return MORE_ROOM
            if budget == 0:
                return PAUSE
            budget -= 1
            S[EVENTS] += 1
            time, order, about, extra = events[TIME], events[PLACE_IN_ORDER], words[ABOUT], words[EXTRA]
            remove_first(S)
            if not happen(S, order >> 60, time, order, np.int64(about), np.int64(extra)):
                return BY_THE_CLOCK

    return advance


def compile_loop() -> Any:
    """The loop as machine code: from the cache, or compiled now. Without a place to write, there is no cache."""
    try:
        return _loop(_stamp(), True)
    except RuntimeError:  # numba found no folder that it may write to
        return _loop(_stamp(), False)
