"""The loop: ``meshsim.engines.reference`` on flat arrays. It has no other semantics than that file.

It comes back when the run is over, when some array must be larger, when something happens by the clock that is left to
Python, or when its budget of events is used up; called again, it goes on where it was.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import llvmlite.binding
import numpy as np
from numba import __version__ as version
from numba import njit, types

from meshsim.engines.autoscaler import BEHIND_QUOTAS
from meshsim.engines.compiled import state as at
from meshsim.engines.compiled.arrivals import schedule_request, start_load, think
from meshsim.engines.compiled.attempts import (
    attempt_ended,
    begin,
    deadline_passed,
    hedge,
    is_reset_now,
    retry,
    try_timed_out,
)
from meshsim.engines.compiled.balancer import choose, left_host
from meshsim.engines.compiled.connections import connect, disconnect, hang_up
from meshsim.engines.compiled.draws import below, child_key, draw, draw_ns, high, mix
from meshsim.engines.compiled.events import open_next, push, remove_first
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
from meshsim.engines.compiled.pointers import Key, State, fixed, inlined, int32s, int64s, native, state_at, uint64s
from meshsim.engines.compiled.recorder import (
    answered,
    call_ended,
    request_arrived,
    waited,
    write_in_span,
)
from meshsim.engines.compiled.stations import (
    acquire,
    ask_for_core,
    crash,
    end_turn,
    gather_work,
    go_on_with_core,
    hand_back,
    holds,
    node,
    period_begins,
    release,
    station_of,
)
from meshsim.engines.faults import ERROR as FAULTY_ANSWER
from meshsim.engines.faults import ERRORS, NORMAL, SLOW
from meshsim.engines.frame import ARRIVAL, DEADLINE, TRY_TIMEOUT
from meshsim.engines.frame import CLOCK as BY_CLOCK
from meshsim.engines.frame import FRAME as FRAME_EVENT
from meshsim.engines.quota import BEHIND_FAULTS
from meshsim.engines.reference import AT_START, ERROR, RATE_LIMITED, REFUSED, RESET
from meshsim.plan.draws import ENTRY, REPLICA, WAYPOINT
from meshsim.plan.plan import BY_TURN, THREADS_SLOT, Op, When

WIDE = 2 * at.FRAME
WIDE_INSTRUCTION = 2 * at.INSTRUCTION
WIDE_STATION = 2 * at.STATION
ALWAYS = int(When.ALWAYS)
(
    DO_WORK, DO_WAIT, DO_ACQUIRE, DO_RELEASE, DO_START, DO_SPAWN, DO_JOIN, DO_DETACH, DO_BODY, DO_RETURN, DO_END,
    DO_MORE, DO_ATTEMPT, DO_CONNECT, DO_DISCONNECT, DO_LIMIT,
) = (int(op) for op in Op)  # fmt: skip
LOW60 = (1 << 60) - 1
FAULT_ROW = 5


@native
def arrive(S: State, number: int, client: int) -> None:
    """A request comes in."""
    request = new_request(S, number, client)
    request_arrived(S, request, number)
    key = child_key(np.uint64(fixed(S, at.ROOT_KEY)), number)
    share = high(draw(key, ENTRY))
    thresholds = int64s(S, at.ENTRY_THRESHOLD)
    call = 0
    while share >= thresholds[call]:
        call += 1
    start_call(S, request, -1, call, child_key(key, call), False)


@inlined
def start_call(S: State, request: int, parent: int, call: int, key: Key, optional: bool) -> None:
    """A child frame on the hop program of ``call``, to a replica of its choice."""
    F32, calls, services = int32s(S, at.FRAMES), int32s(S, at.CALLS), int32s(S, at.SERVICES)
    c = call * (2 * at.CALL_ROW)
    frame = new_frame(S, request, parent, calls[c + at.CALL_PROGRAM], key)
    f, s = frame * WIDE, calls[c + at.CALLEE] * (2 * at.SERVICE_ROW)
    F32[f + at.CALL] = call
    if optional:
        F32[f + at.FLAGS] |= at.OPTIONAL
    pods = services[s + at.POD_COUNT]
    F32[f + at.DESTINATION] = services[s + at.FIRST_POD]
    if pods > 1:
        F32[f + at.DESTINATION] += below(draw(key, REPLICA), pods)
    via = services[s + at.FIRST_VIA]
    F32[f + at.VIA] = via + below(draw(key, WAYPOINT), services[s + at.VIA_COUNT]) if via >= 0 else -1
    F32[f + at.SOURCE] = -1 if parent < 0 else F32[parent * WIDE + at.DESTINATION]
    if fixed(S, at.ROUTED) and calls[c + at.CALL_ROUTE] >= 0 and calls[c + at.CHOOSER] == AT_START:
        choose(S, frame, key)
    start(S, frame)


@native
def threads_of(S: State, frame: int) -> int:
    """The threads of the container that is called."""
    pod = int32s(S, at.FRAMES)[frame * WIDE + at.DESTINATION]
    return int32s(S, at.POD_STATION)[pod * fixed(S, at.SLOTS) + THREADS_SLOT]


@inlined
def enter_body(S: State, frame: int) -> None:
    """Jump into the body, unless nobody is there to run it."""
    F32, f = int32s(S, at.FRAMES), frame * WIDE
    if fixed(S, at.FAULTY):
        int64s(S, at.COLD)[frame * at.COLD_PART + at.ENTERED] = S[at.NOW]
        share = int64s(S, at.ERROR_SHARE)[F32[f + at.DESTINATION]]
        if int32s(S, at.STATIONS)[threads_of(S, frame) * WIDE_STATION + at.DOWN]:
            failed(S, frame, REFUSED)
        elif high(draw(uint64s(S, at.FRAMES)[frame * at.FRAME + at.KEY], FAULTY_ANSWER)) < share:
            failed(S, frame, ERROR)
        if F32[f + at.FLAGS] & at.STATUS:
            F32[f + at.PC] += 1
            return
    F32[f + at.PC] = int32s(S, at.CALLS)[F32[f + at.CALL] * (2 * at.CALL_ROW) + at.CALL_BODY]


@inlined
def leave_body(S: State, frame: int) -> None:
    """Back to the hop, with an answer unless the container crashed meanwhile."""
    F32, f = int32s(S, at.FRAMES), frame * WIDE
    F32[f + at.PC] = int32s(S, at.CALLS)[F32[f + at.CALL] * (2 * at.CALL_ROW) + at.CALL_BACK]
    if fixed(S, at.FAULTY) and not F32[f + at.FLAGS] & at.STATUS:
        crashed_at = int64s(S, at.STATIONS)[threads_of(S, frame) * at.STATION + at.CRASHED_AT]
        if crashed_at > int64s(S, at.COLD)[frame * at.COLD_PART + at.ENTERED]:
            failed(S, frame, RESET)


@inlined
def joined(S: State, frame: int) -> None:
    """Every child has ended: the endpoint goes on, or fails if a call failed that it needs."""
    F32, f = int32s(S, at.FRAMES), frame * WIDE
    if F32[f + at.FLAGS] & at.CHILD_FAILED:
        F32[f + at.FLAGS] = (F32[f + at.FLAGS] & ~(at.CHILD_FAILED | at.STATUS)) | ERROR
        F32[f + at.PC] = int32s(S, at.PROGRAM)[F32[f + at.PC] * WIDE_INSTRUCTION + at.TARGET]
    else:
        F32[f + at.PC] += 1


@inlined
def end_frame(S: State, frame: int) -> None:
    """A frame is over: whoever waits for it goes on."""
    F32, C32 = int32s(S, at.FRAMES), int32s(S, at.COLD)
    f = frame * WIDE
    flags, parent = F32[f + at.FLAGS], F32[f + at.PARENT]
    if F32[f + at.SPAN] >= 0:
        write_in_span(S, frame, at.SPAN_END, S[at.NOW])
        write_in_span(S, frame, at.SPAN_STATUS, flags & at.STATUS)
    if fixed(S, at.ROUTED):
        if C32[frame * (2 * at.COLD_PART) + at.ATTEMPT_OF] >= 0:
            attempt_ended(S, frame)
            forget_frame(S, frame)
            return
        left_host(S, frame)
    if F32[f + at.CALL] >= 0 and not flags & at.CUT:
        call_ended(S, frame)
    if parent < 0:
        answered(S, frame)
        client = int32s(S, at.REQUESTS)[F32[f + at.REQUEST] * (2 * at.REQUEST_ROW) + at.CLIENT]
        if client >= 0:
            think(S, client)
    elif not flags & at.DETACHED:
        p = parent * WIDE
        if flags & at.STATUS and not flags & at.OPTIONAL:
            F32[p + at.FLAGS] |= at.CHILD_FAILED
        F32[p + at.CHILDREN] -= 1
        if F32[p + at.FLAGS] & at.JOINING and F32[p + at.CHILDREN] == 0:
            F32[p + at.FLAGS] &= ~at.JOINING
            waited(S, parent)
            joined(S, parent)
            make_ready(S, parent)
    forget_frame(S, frame)


@native
def take_token(S: State, service: int, pod: int) -> bool:
    """Take a token of the pod's bucket; False if it is empty."""
    limits, full = int64s(S, at.LIMITS), int64s(S, at.FULL_AT)  # (time from token to token, tokens) of each service
    token, now = limits[2 * service], S[at.NOW]
    full_at = max(full[pod], now)
    if full_at - now > (limits[2 * service + 1] - 1) * token:
        return False
    full[pod] = full_at + token
    return True


@native
def fault_changes(S: State, number: int, breaks: bool) -> None:
    """Something breaks, or is well again."""
    row = number * FAULT_ROW
    faults = int64s(S, at.FAULTS)
    kind, where, value = faults[row + 2], faults[row + 3], faults[row + 4]
    if kind == SLOW:
        int64s(S, at.SLOWNESS)[where] = value if breaks else NORMAL
    elif kind == ERRORS:
        int64s(S, at.ERROR_SHARE)[where] = value if breaks else 0
    else:
        for station in range(where, where + value):
            int32s(S, at.STATIONS)[station * WIDE_STATION + at.DOWN] += 1 if breaks else -1
            if breaks:
                crash(S, station)


@native
def abandon(S: State, frame: int) -> None:
    """It gives back what it holds, and goes to its end."""
    F32 = int32s(S, at.FRAMES)
    f = frame * WIDE
    hand_back(S, frame)
    if F32[f + at.FLAGS] & at.CONNECTED:
        hang_up(S, frame)
    F32[f + at.FLAGS] = (F32[f + at.FLAGS] & ~at.STATUS) | at.CUT | RESET
    F32[f + at.PC] = fixed(S, at.AN_END)


@inlined
def step(S: State, frame: int) -> None:
    """Run a frame until it has to wait, or ends."""
    F32, F64, P32, P64 = int32s(S, at.FRAMES), int64s(S, at.FRAMES), int32s(S, at.PROGRAM), int64s(S, at.PROGRAM)
    f = frame * WIDE
    if is_reset_now(S, frame):
        abandon(S, frame)
    while True:
        pc = F32[f + at.PC]
        p = pc * WIDE_INSTRUCTION
        op, place, when = P32[p + at.OP], P32[p + at.AT], P32[p + at.WHEN]
        if when != ALWAYS and not holds(S, when, frame, place, P32[p + at.OTHER]):
            F32[f + at.PC] = P32[p + at.TARGET] if op == DO_DETACH else pc + 1
        elif op in (DO_WORK, DO_MORE):
            F64[frame * at.FRAME + at.SINCE] = S[at.NOW]
            F64[frame * at.FRAME + at.LEFT] = gather_work(S, frame, pc)
            F32[f + at.FLAGS] &= ~at.BEGUN
            if F32[f + at.FLAGS] & at.KEPT:
                go_on_with_core(S, frame, node(S, frame, place))
            else:
                ask_for_core(S, frame, node(S, frame, place))
            return
        elif op == DO_WAIT:
            F64[frame * at.FRAME + at.SINCE] = S[at.NOW]
            mean_ns, law = P64[pc * at.INSTRUCTION + at.MEAN_NS], P32[p + at.LAW]
            if law >= 0:
                stride = uint64s(S, at.PROGRAM)[pc * at.INSTRUCTION + at.PURPOSE_STRIDE]
                mean_ns = draw_ns(S, law, mean_ns, mix(uint64s(S, at.FRAMES)[frame * at.FRAME + at.KEY] ^ stride))
            push(S, S[at.NOW] + mean_ns, FRAME_EVENT << 60 | F64[frame * at.FRAME + at.ORDER], frame, 0)
            return
        elif op == DO_ACQUIRE:
            F64[frame * at.FRAME + at.SINCE] = S[at.NOW]
            if not acquire(S, frame, station_of(S, frame, place, P32[p + at.SLOT])):
                return
        elif op == DO_RELEASE:
            by_turn = P64[pc * at.INSTRUCTION + at.AMOUNT] == BY_TURN
            if not release(S, station_of(S, frame, place, P32[p + at.SLOT]), frame, by_turn):
                return
        elif op == DO_START:
            amount, key = P64[pc * at.INSTRUCTION + at.AMOUNT], uint64s(S, at.FRAMES)[frame * at.FRAME + at.KEY]
            if (
                amount >> 32
                or high(mix(key ^ uint64s(S, at.PROGRAM)[pc * at.INSTRUCTION + at.PURPOSE_STRIDE])) < amount
            ):
                child = child_key(key, P32[p + at.PURPOSE])
                start_call(S, F32[f + at.REQUEST], frame, P32[p + at.TARGET], child, P32[p + at.SLOT] == 1)
            F32[f + at.PC] = pc + 1
        elif op == DO_JOIN:
            F64[frame * at.FRAME + at.SINCE] = S[at.NOW]
            if F32[f + at.CHILDREN]:
                F32[f + at.FLAGS] |= at.JOINING
                return
            joined(S, frame)
        elif op == DO_BODY:
            enter_body(S, frame)
        elif op == DO_RETURN:
            leave_body(S, frame)
        elif op == DO_END:
            end_frame(S, frame)
            return
        elif op in (DO_SPAWN, DO_DETACH):
            start_beside(S, frame, pc + 1, op == DO_DETACH, op == DO_DETACH and P32[p + at.SLOT] == 1)
            F32[f + at.PC] = P32[p + at.TARGET]
        elif op == DO_ATTEMPT:
            begin(S, frame, P32[p + at.SLOT])
            return
        elif op == DO_CONNECT:
            F64[frame * at.FRAME + at.SINCE] = S[at.NOW]
            if not connect(S, frame):
                return
        elif op == DO_DISCONNECT:
            disconnect(S, frame)
            F32[f + at.PC] += 1
        elif take_token(
            S, int32s(S, at.CALLS)[F32[f + at.CALL] * (2 * at.CALL_ROW) + at.CALLEE], F32[f + at.DESTINATION]
        ):
            F32[f + at.PC] = pc + 1
        else:
            fail(S, frame, RATE_LIMITED)


@inlined
def happen(S: State, kind: int, time: int, order: int, about: int, extra: int) -> bool:
    """An event: False if it is left to Python."""
    F32, F64 = int32s(S, at.FRAMES), int64s(S, at.FRAMES)
    if kind == FRAME_EVENT:
        S[at.NOW] = time
        if int32s(S, at.PROGRAM)[F32[about * WIDE + at.PC] * WIDE_INSTRUCTION + at.OP] == DO_WAIT:
            complete(S, about)
            make_ready(S, about)
        else:
            end_turn(S, about)
    elif kind == ARRIVAL:
        S[at.NOW] = time
        number = (order & LOW60) >> 20
        if fixed(S, at.CLIENTS):
            arrive(S, S[at.SENT_BY_CLIENTS], number)
            S[at.SENT_BY_CLIENTS] += 1
        else:
            schedule_request(S, number + 1)
            arrive(S, number, -1)
    elif kind == BY_CLOCK:
        S[at.NOW] = time
        number = (order & LOW60) >> 20
        if number < BEHIND_FAULTS:
            fault_changes(S, about, extra)
        elif number < BEHIND_QUOTAS:
            period_begins(S, about)
        else:
            S[at.CLOCK_EVENT] = number
            return False
    elif F64[about * at.FRAME + at.ORDER] == order & LOW60:  # else it is about a frame that is over
        if kind == TRY_TIMEOUT:
            if not (F32[about * WIDE + at.FLAGS] & at.OVER or is_reset_now(S, about)):
                S[at.NOW] = time
                try_timed_out(S, about)
            return True
        tries = int32s(S, at.COLD)[about * (2 * at.COLD_PART) + at.WAITS_FOR]
        if tries < 0:
            return True
        if kind == DEADLINE:
            if is_reset_now(S, about):
                return True
            S[at.NOW] = time
            deadline_passed(S, tries)
        elif extra == 0:
            S[at.NOW] = time
            retry(S, tries)
        else:
            t = tries * (2 * at.TRIES_ROW)
            T32 = int32s(S, at.TRIES)
            if T32[t + at.LIVE_HEAD] >= 0 and T32[t + at.TRIES_STARTED] == extra and not is_reset_now(S, about):
                S[at.NOW] = time
                hedge(S, tries)
    return True


@inlined
def enough_room(S: State) -> bool:
    """Whether every array can take what one step may add: see ``memory.py``."""
    return (
        S[at.FRAMES_LIVE] < fixed(S, at.FRAMES_LIMIT)
        and S[at.PENDING] < fixed(S, at.PENDING_LIMIT)
        and S[at.SEGMENTS_USED] < fixed(S, at.SEGMENTS_LIMIT)
        and S[at.SPANS_USED] < fixed(S, at.SPANS_LIMIT)
        and S[at.REQUESTS_LIVE] < fixed(S, at.REQUESTS_LIMIT)
        and S[at.TRIES_LIVE] < fixed(S, at.TRIES_LIMIT)
    )


def _stamp() -> int:
    """Of the sources: numba looks only at the file of the function that it keeps, not at those which that calls."""
    here = Path(__file__).parent
    text = b"".join(path.read_bytes() for folder in (here, here.parent) for path in sorted(folder.glob("*.py")))
    return int.from_bytes(hashlib.blake2s(text, digest_size=6).digest(), "big")


STAMP = _stamp()  # now: what has been imported and what is compiled must be the same


def _loop(stamp: int, cache: bool) -> Any:
    @njit(cache=cache, nogil=True, error_model="numpy")
    def advance(address: int) -> int:
        S = state_at(address)
        if S[at.STARTED_UP] == 0:
            S[at.STARTED_UP] = stamp
            start_load(S)
        inbox = int64s(S, at.INBOX)
        for row in range(S[at.INBOX_USED]):
            push(S, inbox[4 * row], inbox[4 * row + 1], inbox[4 * row + 2], inbox[4 * row + 3])
        S[at.INBOX_USED] = 0
        F32 = int32s(S, at.FRAMES)
        events = int64s(S, at.NEAR)
        budget = S[at.BUDGET]
        while True:
            while S[at.READY_HEAD] >= 0:
                if not enough_room(S):
                    return at.MORE_ROOM
                frame = S[at.READY_HEAD]
                S[at.READY_HEAD] = F32[frame * WIDE + at.NEXT]
                step(S, frame)
            if S[at.FINISHED]:
                return at.DONE
            if not enough_room(S):
                return at.MORE_ROOM
            if budget == 0:
                return at.PAUSE
            budget -= 1
            S[at.EVENTS] += 1
            while S[at.NEAR_COUNT] == 0:
                open_next(S)
            time, order, about = events[0], events[1], events[2]
            remove_first(S)
            if not happen(S, order >> 60, time, order, about & 0xFFFFFFFF, about >> 32):
                return at.BY_THE_CLOCK

    return advance


class Loop:
    """The loop, not compiled yet. Without a folder that numba may write to, its machine code is not kept."""

    def __init__(self) -> None:
        stamp = STAMP
        try:
            self.advance = _loop(stamp, True)
        except RuntimeError:  # numba found no folder
            self.advance = _loop(stamp, False)
        folder = self.advance.stats.cache_path
        name = f"meshsim-{stamp:x}-{version}-{llvmlite.binding.get_host_cpu_name()}.kept"
        self.mark = Path(folder) / name if folder else None

    def is_kept(self) -> bool:
        """Whether an earlier process has left the machine code of these sources, for this processor and this numba."""
        return self.mark is not None and self.mark.exists()

    def compile(self) -> Any:
        """The loop as machine code: kept by an earlier process, or compiled now."""
        self.advance.compile((types.int64,))
        if self.mark is not None:
            self.mark.touch()
        return self.advance
