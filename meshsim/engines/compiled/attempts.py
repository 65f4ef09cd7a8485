"""Attempts and the circuit breaker: ``meshsim.engines.attempts`` and ``meshsim.engines.breaker`` on flat arrays."""

from __future__ import annotations

import numpy as np
from numba import njit

from meshsim.engines.attempts import ATTEMPT, BACKOFF, CIRCUIT_OPEN, OK, TIMEOUT
from meshsim.engines.breaker import GO, OPEN, PENDING
from meshsim.engines.compiled.balancer import POLICY_ROW, choose, count_outcome, left_host, ordinal_of
from meshsim.engines.compiled.connections import hang_up
from meshsim.engines.compiled.draws import below, child_key, draw
from meshsim.engines.compiled.events import push
from meshsim.engines.compiled.frames import (
    first_in_line,
    forget_frame,
    join_line,
    leave_line,
    make_ready,
    new_frame,
)
from meshsim.engines.compiled.pointers import int32s, int64s, uint64s
from meshsim.engines.compiled.recorder import failure, frame_started, waited, write_in_span
from meshsim.engines.compiled.state import *  # noqa: F403
from meshsim.engines.frame import DEADLINE, NEXT_TRY, TRY_TIMEOUT
from meshsim.plan.routes import MILLION
from meshsim.plan.routes import POLICY as COLUMN_NAMES

WIDE = 2 * FRAME
WIDE_TRIES = 2 * TRIES_ROW
(
    P_HOLDER, P_HOLDER_FIRST, P_STATE_FIRST, P_DEADLINE, P_TRY_TIMEOUT, P_MAX_TRIES, P_RETRY_ON, P_BUDGET_PPM,
    P_BUDGET_MIN, P_BACKOFF_BASE, P_BACKOFF_MAX, P_JITTER, P_HEDGE_AFTER, P_HEDGES, P_MAX_REQUESTS, P_MAX_CONNECTIONS,
    P_MAX_PENDING, P_MAX_RETRIES,
) = range(18)  # fmt: skip
assert COLUMN_NAMES[P_MAX_RETRIES] == "max_retries"


@njit
def begin(S, frame, who):
    """A call comes to its ATTEMPT; ``who``: 0 library, 1 proxy."""
    F32, F64, policies = int32s(S[FRAMES]), int64s(S[FRAMES]), int64s(S[POLICIES])
    call = F32[frame * WIDE + CALL]
    policy = np.int64(int32s(S[CALLS])[call * (2 * CALL_ROW) + LIBRARY_POLICY + who])
    p = policy * POLICY_ROW
    T32 = int32s(S[TRIES])
    tries = S[TRIES_FREE]
    if tries >= 0:
        S[TRIES_FREE] = T32[tries * WIDE_TRIES + TRIES_NEXT]
    else:
        tries = S[TRIES_USED]
        S[TRIES_USED] = tries + 1
    S[TRIES_LIVE] += 1
    t = tries * WIDE_TRIES
    T32[t + TRIES_FRAME], T32[t + POLICY], T32[t + WHO] = frame, policy, who
    T32[t + POLICY_STATE] = policies[p + P_STATE_FIRST] + ordinal_of(
        S, policies[p + P_HOLDER], policies[p + P_HOLDER_FIRST], frame
    )
    T32[t + LIVE_HEAD], T32[t + TRIES_STARTED], T32[t + RETRIES], T32[t + HEDGES], T32[t + RETRYING] = -1, 0, 0, 0, 0
    int32s(S[COLD])[frame * (2 * COLD_PART) + WAITS_FOR] = tries
    F64[frame * FRAME + SINCE] = S[NOW]
    if policies[p + P_DEADLINE] >= 0:
        push(S, S[NOW] + policies[p + P_DEADLINE], DEADLINE << 60 | F64[frame * FRAME + ORDER], frame, 0)
    launch(S, tries)


@njit
def launch(S, tries):
    """Start the next attempt, let it wait for a connection, or be refused by the circuit breaker."""
    T32, F32, F64, C32 = int32s(S[TRIES]), int32s(S[FRAMES]), int64s(S[FRAMES]), int32s(S[COLD])
    policies = int64s(S[POLICIES])
    t = tries * WIDE_TRIES
    frame = np.int64(T32[t + TRIES_FRAME])
    p = T32[t + POLICY] * POLICY_ROW
    verdict = admit(S, T32[t + POLICY], T32[t + POLICY_STATE])
    if verdict == OPEN:
        S[CIRCUIT_OPENED] += 1
        failure(S, CIRCUIT_OPEN)
        if T32[t + LIVE_HEAD] < 0:
            finish(S, tries, CIRCUIT_OPEN)
        return
    started = T32[t + TRIES_STARTED]
    key = uint64s(S[FRAMES])[frame * FRAME + KEY]
    if started:
        key = child_key(key, ATTEMPT + started)
    f = frame * WIDE
    attempt = new_frame(S, F32[f + REQUEST], frame, F32[f + PC] + 1, key)
    T32[t + TRIES_STARTED] = started + 1
    S[ATTEMPTS] += 1
    a, cold = attempt * WIDE, attempt * (2 * COLD_PART)
    C32[cold + ATTEMPT_OF] = tries
    C32[cold + CONNECTION] = C32[frame * (2 * COLD_PART) + CONNECTION]
    F32[a + CALL] = F32[f + CALL]
    for place in range(3):
        F32[a + SOURCE + place] = F32[f + SOURCE + place]
    if int32s(S[CALLS])[F32[f + CALL] * (2 * CALL_ROW) + CHOOSER] == T32[t + WHO] + 1:
        choose(S, attempt, key)
    # Attempts under way, in the order of their start.
    C32[cold + LIVE_NEXT] = -1
    last = T32[t + LIVE_HEAD]
    if last < 0:
        T32[t + LIVE_HEAD] = attempt
    else:
        while C32[last * (2 * COLD_PART) + LIVE_NEXT] >= 0:
            last = C32[last * (2 * COLD_PART) + LIVE_NEXT]
        C32[last * (2 * COLD_PART) + LIVE_NEXT] = attempt
    now = S[NOW]
    if policies[p + P_TRY_TIMEOUT] >= 0:
        push(S, now + policies[p + P_TRY_TIMEOUT], TRY_TIMEOUT << 60 | F64[attempt * FRAME + ORDER], attempt, 0)
    if policies[p + P_HEDGE_AFTER] >= 0 and T32[t + HEDGES] < policies[p + P_HEDGES]:
        order = NEXT_TRY << 60 | F64[frame * FRAME + ORDER]
        push(S, now + policies[p + P_HEDGE_AFTER], order, frame, T32[t + TRIES_STARTED])
    F64[attempt * FRAME + BEGAN] = F64[attempt * FRAME + SINCE] = now
    frame_started(S, attempt)
    if verdict == PENDING:
        join_line(S, int32s(S[POLICY_STATES]), T32[t + POLICY_STATE] * (2 * POLICY_STATE_ROW) + STATE_HEAD, attempt)
    else:
        make_ready(S, attempt)


# What happens to an attempt ------------------------------------------------------------------------------------


@njit
def attempt_ended(S, attempt):
    """Its answer is there; nobody hears it if it was given up."""
    F32 = int32s(S[FRAMES])
    flags = F32[attempt * WIDE + FLAGS]
    if flags & OVER:
        S[WASTED_ANSWERS] += 1
        return
    tries = np.int64(int32s(S[COLD])[attempt * (2 * COLD_PART) + ATTEMPT_OF])
    caller = int32s(S[TRIES])[tries * WIDE_TRIES + TRIES_FRAME]
    write_in_span(S, caller, SPAN_DESTINATION, F32[attempt * WIDE + DESTINATION])
    leave_call(S, attempt, flags & STATUS)
    settle(S, tries, flags & STATUS)


@njit
def try_timed_out(S, attempt):
    """No answer in time: give the attempt up."""
    tries = np.int64(int32s(S[COLD])[attempt * (2 * COLD_PART) + ATTEMPT_OF])
    S[TIMEOUTS] += 1
    failure(S, TIMEOUT)
    give_up(S, attempt, TIMEOUT)
    settle(S, tries, TIMEOUT)


@njit
def deadline_passed(S, tries):
    """The whole call has taken too long."""
    T32 = int32s(S[TRIES])
    S[TIMEOUTS] += 1
    failure(S, TIMEOUT)
    while T32[tries * WIDE_TRIES + LIVE_HEAD] >= 0:
        give_up(S, np.int64(T32[tries * WIDE_TRIES + LIVE_HEAD]), TIMEOUT)
    finish(S, tries, TIMEOUT)


@njit
def hedge(S, tries):
    """No answer for so long: another attempt."""
    int32s(S[TRIES])[tries * WIDE_TRIES + HEDGES] += 1
    S[HEDGED] += 1
    launch(S, tries)


@njit
def retry(S, tries):
    """The pause before a retry is over."""
    frame = int32s(S[TRIES])[tries * WIDE_TRIES + TRIES_FRAME]
    waited(S, frame)
    int64s(S[FRAMES])[frame * FRAME + SINCE] = S[NOW]
    launch(S, tries)


# Outcomes ------------------------------------------------------------------------------------------------------


@njit
def give_up(S, attempt, status):
    """Nobody waits for it any more; it goes on upstream, unless it still waits for a connection."""
    tries = int32s(S[COLD])[attempt * (2 * COLD_PART) + ATTEMPT_OF]
    state = int32s(S[TRIES])[tries * WIDE_TRIES + POLICY_STATE]
    line = state * (2 * POLICY_STATE_ROW) + STATE_HEAD
    waiting = leave_line(S, int32s(S[POLICY_STATES]), line, attempt) or hang_up(S, attempt)
    leave_call(S, attempt, status)
    write_in_span(S, attempt, SPAN_DETACHED, 1)
    if waiting:
        write_in_span(S, attempt, SPAN_END, S[NOW])
        forget_frame(S, attempt)


@njit
def leave_call(S, attempt, status):
    """It is no longer under way, as far as its caller knows."""
    F32, C32, T32 = int32s(S[FRAMES]), int32s(S[COLD]), int32s(S[TRIES])
    t = C32[attempt * (2 * COLD_PART) + ATTEMPT_OF] * WIDE_TRIES
    F32[attempt * WIDE + FLAGS] |= OVER
    before, here = -1, T32[t + LIVE_HEAD]
    while here != attempt:
        before, here = here, C32[here * (2 * COLD_PART) + LIVE_NEXT]
    behind = C32[attempt * (2 * COLD_PART) + LIVE_NEXT]
    if before < 0:
        T32[t + LIVE_HEAD] = behind
    else:
        C32[before * (2 * COLD_PART) + LIVE_NEXT] = behind
    if status >= 0:
        count_outcome(S, attempt, status, T32[t + POLICY])
    left_host(S, attempt)
    following = let_go(S, T32[t + POLICY], T32[t + POLICY_STATE])
    if following >= 0:
        int64s(S[FRAMES])[following * FRAME + BEGAN] = S[NOW]
        write_in_span(S, following, SPAN_START, S[NOW])
        make_ready(S, following)


@njit
def no_longer_retrying(S, tries):
    """Its retry is not under way any more."""
    T32 = int32s(S[TRIES])
    t = tries * WIDE_TRIES
    if T32[t + RETRYING]:
        T32[t + RETRYING] = 0
        int32s(S[POLICY_STATES])[T32[t + POLICY_STATE] * (2 * POLICY_STATE_ROW) + STATE_RETRYING] -= 1


@njit
def settle(S, tries, status):
    """One attempt has an outcome: is it that of the call?"""
    T32, F64, policies = int32s(S[TRIES]), int64s(S[FRAMES]), int64s(S[POLICIES])
    t = tries * WIDE_TRIES
    if status == OK:
        finish(S, tries, OK)
        return
    if T32[t + LIVE_HEAD] >= 0:
        return
    no_longer_retrying(S, tries)
    p = T32[t + POLICY] * POLICY_ROW
    left = T32[t + RETRIES] + 1 < policies[p + P_MAX_TRIES]
    if not (left and policies[p + P_RETRY_ON] >> status & 1 and may_retry(S, p, T32[t + POLICY_STATE])):
        finish(S, tries, status)
        return
    frame = T32[t + TRIES_FRAME]
    T32[t + RETRIES] += 1
    T32[t + RETRYING] = 1
    int32s(S[POLICY_STATES])[T32[t + POLICY_STATE] * (2 * POLICY_STATE_ROW) + STATE_RETRYING] += 1
    S[RETRIED] += 1
    waited(S, frame)
    F64[frame * FRAME + SINCE] = S[NOW]
    retries = np.int64(T32[t + RETRIES])
    pause = min(policies[p + P_BACKOFF_MAX], policies[p + P_BACKOFF_BASE] << min(retries - 1, 20))
    if policies[p + P_JITTER]:
        key = uint64s(S[FRAMES])[frame * FRAME + KEY]
        pause = max(np.int64(1), below(draw(child_key(key, retries), BACKOFF), pause))
    push(S, S[NOW] + pause, NEXT_TRY << 60 | F64[frame * FRAME + ORDER], frame, 0)


@njit
def finish(S, tries, status):
    """The call has its outcome and goes on behind the attempt."""
    T32, F32 = int32s(S[TRIES]), int32s(S[FRAMES])
    t = tries * WIDE_TRIES
    while T32[t + LIVE_HEAD] >= 0:
        give_up(S, np.int64(T32[t + LIVE_HEAD]), -1)
    no_longer_retrying(S, tries)
    frame = T32[t + TRIES_FRAME]
    int32s(S[COLD])[frame * (2 * COLD_PART) + WAITS_FOR] = -1
    T32[t + TRIES_NEXT] = S[TRIES_FREE]
    S[TRIES_FREE] = tries
    S[TRIES_LIVE] -= 1
    waited(S, frame)
    f = frame * WIDE
    F32[f + FLAGS] = (F32[f + FLAGS] & ~STATUS) | status
    F32[f + PC] = int32s(S[PROGRAM])[F32[f + PC] * (2 * INSTRUCTION) + TARGET]
    make_ready(S, frame)


# Circuit breaker -----------------------------------------------------------------------------------------------


@njit
def admit(S, policy, state):
    """Count an attempt, unless it is refused."""
    policies, states = int64s(S[POLICIES]), int32s(S[POLICY_STATES])
    p, row = policy * POLICY_ROW, state * (2 * POLICY_STATE_ROW)
    active, most = states[row + STATE_ACTIVE], policies[p + P_MAX_CONNECTIONS]
    if 0 <= policies[p + P_MAX_REQUESTS] <= active:
        return OPEN
    if 0 <= most <= active:
        if 0 <= policies[p + P_MAX_PENDING] <= active - most:
            return OPEN
        states[row + STATE_ACTIVE] += 1
        return PENDING
    states[row + STATE_ACTIVE] += 1
    return GO


@njit
def let_go(S, policy, state):
    """One attempt less; the first in line that may now go, or -1."""
    states = int32s(S[POLICY_STATES])
    row = state * (2 * POLICY_STATE_ROW)
    states[row + STATE_ACTIVE] -= 1
    line = states[row + STATE_LENGTH]
    if line and states[row + STATE_ACTIVE] - line < int64s(S[POLICIES])[policy * POLICY_ROW + P_MAX_CONNECTIONS]:
        return first_in_line(S, states, row + STATE_HEAD)
    return np.int64(-1)


@njit
def may_retry(S, p, state):
    """Whether one more retry may be under way; ``p``: where the row of the policy begins."""
    policies, states = int64s(S[POLICIES]), int32s(S[POLICY_STATES])
    row = state * (2 * POLICY_STATE_ROW)
    retrying, active = np.int64(states[row + STATE_RETRYING]), np.int64(states[row + STATE_ACTIVE])
    most, share = policies[p + P_MAX_RETRIES], policies[p + P_BUDGET_PPM]
    if 0 <= most <= retrying:
        return False
    allowed = max(policies[p + P_BUDGET_MIN], active * share // MILLION)
    return share < 0 or retrying < allowed
