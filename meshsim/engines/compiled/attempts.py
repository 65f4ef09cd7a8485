"""Attempts and the circuit breaker: ``meshsim.engines.attempts`` and ``meshsim.engines.breaker`` on flat arrays."""

from __future__ import annotations

from meshsim.engines.attempts import ATTEMPT, BACKOFF, CIRCUIT_OPEN, OK, RESET, TIMEOUT
from meshsim.engines.breaker import GO, OPEN, PENDING
from meshsim.engines.compiled import state as at
from meshsim.engines.compiled.balancer import POLICY_ROW, choose, count_outcome, left_host, ordinal_of
from meshsim.engines.compiled.connections import leave_pool
from meshsim.engines.compiled.draws import below, child_key, draw
from meshsim.engines.compiled.events import push
from meshsim.engines.compiled.frames import (
    first_in_line,
    forget_frame,
    inherit_connection,
    is_reset,
    join_line,
    leave_line,
    make_ready,
    new_frame,
)
from meshsim.engines.compiled.pointers import State, fixed, inlined, int32s, int64s, native, uint64s
from meshsim.engines.compiled.recorder import failure, frame_started, waited, write_in_span
from meshsim.engines.frame import DEADLINE, NEXT_TRY, TRY_TIMEOUT
from meshsim.plan.routes import MILLION
from meshsim.plan.routes import POLICY as COLUMN_NAMES

WIDE = 2 * at.FRAME
WIDE_TRIES = 2 * at.TRIES_ROW
(
    P_HOLDER, P_HOLDER_FIRST, P_STATE_FIRST, P_DEADLINE, P_TRY_TIMEOUT, P_MAX_TRIES, P_RETRY_ON, P_BUDGET_PPM,
    P_BUDGET_MIN, P_BACKOFF_BASE, P_BACKOFF_MAX, P_JITTER, P_HEDGE_AFTER, P_HEDGES, P_MAX_REQUESTS, P_MAX_CONNECTIONS,
    P_MAX_PENDING, P_MAX_RETRIES,
) = range(18)  # fmt: skip
assert COLUMN_NAMES[P_MAX_RETRIES] == "max_retries"
P_RESETS = COLUMN_NAMES.index("resets")


@inlined
def is_reset_now(S: State, frame: int) -> bool:
    """Whether a frame works for nobody any more."""
    return fixed(S, at.RESETTING) != 0 and is_reset(S, frame)


@native
def begin(S: State, frame: int, who: int) -> None:
    """A call comes to its ATTEMPT; ``who``: 0 library, 1 proxy."""
    F32, F64, policies = int32s(S, at.FRAMES), int64s(S, at.FRAMES), int64s(S, at.POLICIES)
    call = F32[frame * WIDE + at.CALL]
    policy = int32s(S, at.CALLS)[call * (2 * at.CALL_ROW) + at.LIBRARY_POLICY + who]
    p = policy * POLICY_ROW
    T32 = int32s(S, at.TRIES)
    tries = S[at.TRIES_FREE]
    if tries >= 0:
        S[at.TRIES_FREE] = T32[tries * WIDE_TRIES + at.TRIES_NEXT]
    else:
        tries = S[at.TRIES_USED]
        S[at.TRIES_USED] = tries + 1
    S[at.TRIES_LIVE] += 1
    t = tries * WIDE_TRIES
    T32[t + at.TRIES_FRAME], T32[t + at.POLICY], T32[t + at.WHO] = frame, policy, who
    T32[t + at.POLICY_STATE] = policies[p + P_STATE_FIRST] + ordinal_of(
        S, policies[p + P_HOLDER], policies[p + P_HOLDER_FIRST], frame
    )
    T32[t + at.LIVE_HEAD], T32[t + at.TRIES_STARTED], T32[t + at.RETRIES], T32[t + at.HEDGES], T32[t + at.RETRYING] = (
        -1,
        0,
        0,
        0,
        0,
    )
    int32s(S, at.COLD)[frame * (2 * at.COLD_PART) + at.WAITS_FOR] = tries
    F64[frame * at.FRAME + at.SINCE] = S[at.NOW]
    if policies[p + P_DEADLINE] >= 0:
        push(S, S[at.NOW] + policies[p + P_DEADLINE], DEADLINE << 60 | F64[frame * at.FRAME + at.ORDER], frame, 0)
    launch(S, tries)


@native
def launch(S: State, tries: int) -> None:
    """Start the next attempt, let it wait for a connection, or be refused by the circuit breaker."""
    T32, F32, F64, C32 = int32s(S, at.TRIES), int32s(S, at.FRAMES), int64s(S, at.FRAMES), int32s(S, at.COLD)
    policies = int64s(S, at.POLICIES)
    t = tries * WIDE_TRIES
    frame = T32[t + at.TRIES_FRAME]
    p = T32[t + at.POLICY] * POLICY_ROW
    verdict = admit(S, T32[t + at.POLICY], T32[t + at.POLICY_STATE])
    if verdict == OPEN:
        S[at.CIRCUIT_OPENED] += 1
        failure(S, CIRCUIT_OPEN)
        if T32[t + at.LIVE_HEAD] < 0:
            finish(S, tries, CIRCUIT_OPEN)
        return
    started = T32[t + at.TRIES_STARTED]
    key = uint64s(S, at.FRAMES)[frame * at.FRAME + at.KEY]
    if started:
        key = child_key(key, ATTEMPT + started)
    f = frame * WIDE
    attempt = new_frame(S, F32[f + at.REQUEST], frame, F32[f + at.PC] + 1, key)
    T32[t + at.TRIES_STARTED] = started + 1
    S[at.ATTEMPTS] += 1
    a, cold = attempt * WIDE, attempt * (2 * at.COLD_PART)
    C32[cold + at.ATTEMPT_OF] = tries
    inherit_connection(S, attempt, frame)
    F32[a + at.FLAGS] |= F32[f + at.FLAGS] & at.OPENED  # the first attempt is the first to use it
    F32[f + at.FLAGS] &= ~at.OPENED
    F32[a + at.CALL] = F32[f + at.CALL]
    for place in range(3):
        F32[a + at.SOURCE + place] = F32[f + at.SOURCE + place]
    if int32s(S, at.CALLS)[F32[f + at.CALL] * (2 * at.CALL_ROW) + at.CHOOSER] == T32[t + at.WHO] + 1:
        choose(S, attempt, key)
    # Attempts under way, in the order of their start.
    C32[cold + at.LIVE_NEXT] = -1
    last = T32[t + at.LIVE_HEAD]
    if last < 0:
        T32[t + at.LIVE_HEAD] = attempt
    else:
        while C32[last * (2 * at.COLD_PART) + at.LIVE_NEXT] >= 0:
            last = C32[last * (2 * at.COLD_PART) + at.LIVE_NEXT]
        C32[last * (2 * at.COLD_PART) + at.LIVE_NEXT] = attempt
    now = S[at.NOW]
    if policies[p + P_TRY_TIMEOUT] >= 0:
        push(S, now + policies[p + P_TRY_TIMEOUT], TRY_TIMEOUT << 60 | F64[attempt * at.FRAME + at.ORDER], attempt, 0)
    if policies[p + P_HEDGE_AFTER] >= 0 and T32[t + at.HEDGES] < policies[p + P_HEDGES]:
        order = NEXT_TRY << 60 | F64[frame * at.FRAME + at.ORDER]
        push(S, now + policies[p + P_HEDGE_AFTER], order, frame, T32[t + at.TRIES_STARTED])
    F64[attempt * at.FRAME + at.BEGAN] = F64[attempt * at.FRAME + at.SINCE] = now
    frame_started(S, attempt)
    if verdict == PENDING:
        join_line(
            S,
            int32s(S, at.POLICY_STATES),
            T32[t + at.POLICY_STATE] * (2 * at.POLICY_STATE_ROW) + at.STATE_HEAD,
            attempt,
        )
    else:
        make_ready(S, attempt)


# What happens to an attempt ------------------------------------------------------------------------------------


@native
def attempt_ended(S: State, attempt: int) -> None:
    """Its answer is there; nobody hears it if it was given up."""
    F32 = int32s(S, at.FRAMES)
    flags = F32[attempt * WIDE + at.FLAGS]
    if flags & at.OVER:
        if not flags & at.CUT:
            S[at.WASTED_ANSWERS] += 1
        return
    tries = int32s(S, at.COLD)[attempt * (2 * at.COLD_PART) + at.ATTEMPT_OF]
    if flags & at.CUT:
        leave_call(S, attempt, -1)
        if int32s(S, at.TRIES)[tries * WIDE_TRIES + at.LIVE_HEAD] < 0:
            finish(S, tries, RESET)
        return
    caller = int32s(S, at.TRIES)[tries * WIDE_TRIES + at.TRIES_FRAME]
    write_in_span(S, caller, at.SPAN_DESTINATION, F32[attempt * WIDE + at.DESTINATION])
    leave_call(S, attempt, flags & at.STATUS)
    settle(S, tries, flags & at.STATUS)


@native
def try_timed_out(S: State, attempt: int) -> None:
    """No answer in time: give the attempt up."""
    tries = int32s(S, at.COLD)[attempt * (2 * at.COLD_PART) + at.ATTEMPT_OF]
    S[at.TIMEOUTS] += 1
    failure(S, TIMEOUT)
    give_up(S, attempt, TIMEOUT)
    settle(S, tries, TIMEOUT)


@native
def deadline_passed(S: State, tries: int) -> None:
    """The whole call has taken too long."""
    T32 = int32s(S, at.TRIES)
    S[at.TIMEOUTS] += 1
    failure(S, TIMEOUT)
    while T32[tries * WIDE_TRIES + at.LIVE_HEAD] >= 0:
        give_up(S, T32[tries * WIDE_TRIES + at.LIVE_HEAD], TIMEOUT)
    finish(S, tries, TIMEOUT)


@native
def hedge(S: State, tries: int) -> None:
    """No answer for so long: another attempt."""
    int32s(S, at.TRIES)[tries * WIDE_TRIES + at.HEDGES] += 1
    S[at.HEDGED] += 1
    launch(S, tries)


@native
def retry(S: State, tries: int) -> None:
    """The pause before a retry is over."""
    frame = int32s(S, at.TRIES)[tries * WIDE_TRIES + at.TRIES_FRAME]
    if is_reset_now(S, frame):
        finish(S, tries, RESET)
        return
    waited(S, frame)
    int64s(S, at.FRAMES)[frame * at.FRAME + at.SINCE] = S[at.NOW]
    launch(S, tries)


# Outcomes ------------------------------------------------------------------------------------------------------


@native
def give_up(S: State, attempt: int, status: int) -> None:
    """Nobody waits for it any more; it goes on upstream, unless it had no connection yet or its stream is reset."""
    tries = int32s(S, at.COLD)[attempt * (2 * at.COLD_PART) + at.ATTEMPT_OF]
    state = int32s(S, at.TRIES)[tries * WIDE_TRIES + at.POLICY_STATE]
    line = state * (2 * at.POLICY_STATE_ROW) + at.STATE_HEAD
    waiting = leave_line(S, int32s(S, at.POLICY_STATES), line, attempt) or leave_pool(S, attempt)
    leave_call(S, attempt, status)
    policy = int32s(S, at.TRIES)[tries * WIDE_TRIES + at.POLICY]
    if int64s(S, at.POLICIES)[policy * POLICY_ROW + P_RESETS] and not waiting:
        int32s(S, at.FRAMES)[attempt * WIDE + at.FLAGS] |= at.CUT
        S[at.RESETS] += 1
    write_in_span(S, attempt, at.SPAN_DETACHED, 1)
    if waiting:
        write_in_span(S, attempt, at.SPAN_END, S[at.NOW])
        forget_frame(S, attempt)


@native
def leave_call(S: State, attempt: int, status: int) -> None:
    """It is no longer under way, as far as its caller knows."""
    F32, C32, T32 = int32s(S, at.FRAMES), int32s(S, at.COLD), int32s(S, at.TRIES)
    t = C32[attempt * (2 * at.COLD_PART) + at.ATTEMPT_OF] * WIDE_TRIES
    F32[attempt * WIDE + at.FLAGS] |= at.OVER
    before, here = -1, T32[t + at.LIVE_HEAD]
    while here != attempt:
        before, here = here, C32[here * (2 * at.COLD_PART) + at.LIVE_NEXT]
    behind = C32[attempt * (2 * at.COLD_PART) + at.LIVE_NEXT]
    if before < 0:
        T32[t + at.LIVE_HEAD] = behind
    else:
        C32[before * (2 * at.COLD_PART) + at.LIVE_NEXT] = behind
    if status >= 0:
        count_outcome(S, attempt, status, T32[t + at.POLICY])
    left_host(S, attempt)
    following = let_go(S, T32[t + at.POLICY], T32[t + at.POLICY_STATE])
    if following >= 0:
        int64s(S, at.FRAMES)[following * at.FRAME + at.BEGAN] = S[at.NOW]
        write_in_span(S, following, at.SPAN_START, S[at.NOW])
        make_ready(S, following)


@native
def no_longer_retrying(S: State, tries: int) -> None:
    """Its retry is not under way any more."""
    T32 = int32s(S, at.TRIES)
    t = tries * WIDE_TRIES
    if T32[t + at.RETRYING]:
        T32[t + at.RETRYING] = 0
        int32s(S, at.POLICY_STATES)[T32[t + at.POLICY_STATE] * (2 * at.POLICY_STATE_ROW) + at.STATE_RETRYING] -= 1


@native
def settle(S: State, tries: int, status: int) -> None:
    """One attempt has an outcome: is it that of the call?"""
    T32, F64, policies = int32s(S, at.TRIES), int64s(S, at.FRAMES), int64s(S, at.POLICIES)
    t = tries * WIDE_TRIES
    if status == OK:
        finish(S, tries, OK)
        return
    if T32[t + at.LIVE_HEAD] >= 0:
        return
    no_longer_retrying(S, tries)
    p = T32[t + at.POLICY] * POLICY_ROW
    left = T32[t + at.RETRIES] + 1 < policies[p + P_MAX_TRIES]
    if not (left and policies[p + P_RETRY_ON] >> status & 1 and may_retry(S, p, T32[t + at.POLICY_STATE])):
        finish(S, tries, status)
        return
    frame = T32[t + at.TRIES_FRAME]
    T32[t + at.RETRIES] += 1
    T32[t + at.RETRYING] = 1
    int32s(S, at.POLICY_STATES)[T32[t + at.POLICY_STATE] * (2 * at.POLICY_STATE_ROW) + at.STATE_RETRYING] += 1
    S[at.RETRIED] += 1
    waited(S, frame)
    F64[frame * at.FRAME + at.SINCE] = S[at.NOW]
    retries = T32[t + at.RETRIES]
    pause = min(policies[p + P_BACKOFF_MAX], policies[p + P_BACKOFF_BASE] << min(retries - 1, 20))
    if policies[p + P_JITTER]:
        key = uint64s(S, at.FRAMES)[frame * at.FRAME + at.KEY]
        pause = max(1, below(draw(child_key(key, retries), BACKOFF), pause))
    push(S, S[at.NOW] + pause, NEXT_TRY << 60 | F64[frame * at.FRAME + at.ORDER], frame, 0)


@native
def finish(S: State, tries: int, status: int) -> None:
    """The call has its outcome and goes on behind the attempt."""
    T32, F32 = int32s(S, at.TRIES), int32s(S, at.FRAMES)
    t = tries * WIDE_TRIES
    while T32[t + at.LIVE_HEAD] >= 0:
        give_up(S, T32[t + at.LIVE_HEAD], -1)
    no_longer_retrying(S, tries)
    frame = T32[t + at.TRIES_FRAME]
    int32s(S, at.COLD)[frame * (2 * at.COLD_PART) + at.WAITS_FOR] = -1
    T32[t + at.TRIES_NEXT] = S[at.TRIES_FREE]
    S[at.TRIES_FREE] = tries
    S[at.TRIES_LIVE] -= 1
    waited(S, frame)
    f = frame * WIDE
    F32[f + at.FLAGS] = (F32[f + at.FLAGS] & ~at.STATUS) | status
    F32[f + at.PC] = int32s(S, at.PROGRAM)[F32[f + at.PC] * (2 * at.INSTRUCTION) + at.TARGET]
    make_ready(S, frame)


# Circuit breaker -----------------------------------------------------------------------------------------------


@native
def admit(S: State, policy: int, state: int) -> int:
    """Count an attempt, unless it is refused."""
    policies, states = int64s(S, at.POLICIES), int32s(S, at.POLICY_STATES)
    p, row = policy * POLICY_ROW, state * (2 * at.POLICY_STATE_ROW)
    active, most = states[row + at.STATE_ACTIVE], policies[p + P_MAX_CONNECTIONS]
    if 0 <= policies[p + P_MAX_REQUESTS] <= active:
        return OPEN
    if 0 <= most <= active:
        if 0 <= policies[p + P_MAX_PENDING] <= active - most:
            return OPEN
        states[row + at.STATE_ACTIVE] += 1
        return PENDING
    states[row + at.STATE_ACTIVE] += 1
    return GO


@native
def let_go(S: State, policy: int, state: int) -> int:
    """One attempt less; the first in line that may now go, or -1."""
    states = int32s(S, at.POLICY_STATES)
    row = state * (2 * at.POLICY_STATE_ROW)
    states[row + at.STATE_ACTIVE] -= 1
    line = states[row + at.STATE_LENGTH]
    if line and states[row + at.STATE_ACTIVE] - line < int64s(S, at.POLICIES)[policy * POLICY_ROW + P_MAX_CONNECTIONS]:
        return first_in_line(S, states, row + at.STATE_HEAD)
    return -1


@native
def may_retry(S: State, p: int, state: int) -> bool:
    """Whether one more retry may be under way; ``p``: where the row of the policy begins."""
    policies, states = int64s(S, at.POLICIES), int32s(S, at.POLICY_STATES)
    row = state * (2 * at.POLICY_STATE_ROW)
    retrying, active = states[row + at.STATE_RETRYING], states[row + at.STATE_ACTIVE]
    most, share = policies[p + P_MAX_RETRIES], policies[p + P_BUDGET_PPM]
    if 0 <= most <= retrying:
        return False
    allowed = max(policies[p + P_BUDGET_MIN], active * share // MILLION)
    return share < 0 or retrying < allowed
