"""Stations: cores and tokens, and who waits for them. The words are those of ``meshsim.engines.reference``."""

from __future__ import annotations

from numba import njit

from meshsim.engines.compiled.connections import worker
from meshsim.engines.compiled.draws import draw_ns, mix
from meshsim.engines.compiled.events import push
from meshsim.engines.compiled.frames import complete, fail, first_in_line, join_line, make_ready
from meshsim.engines.compiled.pointers import int32s, int64s, uint64s
from meshsim.engines.compiled.recorder import add_segment, waited
from meshsim.engines.compiled.state import *  # noqa: F403
from meshsim.engines.faults import NORMAL
from meshsim.engines.frame import CLOCK
from meshsim.engines.frame import FRAME as FRAME_EVENT
from meshsim.engines.quota import BEHIND_FAULTS
from meshsim.plan.plan import CPU_SLOT, Op, Status, When

WIDE = 2 * FRAME
WIDE_STATION = 2 * STATION
WIDE_INSTRUCTION = 2 * INSTRUCTION
TURN_ENDS_NOW = FRAME_EVENT << 60
ALWAYS, SAME_NODE, WOKEN_THREAD = int(When.ALWAYS), int(When.SAME_NODE), int(When.WOKEN)
MORE, WORK = int(Op.MORE), int(Op.WORK)
OVERFLOW, REFUSED, RESET = int(Status.OVERFLOW), int(Status.REFUSED), int(Status.RESET)


@njit
def up_to(S, station):
    """Bring the integrals up to date; called before FREE or PRESENT changes."""
    rows, fields = int64s(S[STATIONS]), int32s(S[STATIONS])
    row, wide = station * STATION, station * WIDE_STATION
    passed = S[NOW] - rows[row + SEEN_AT]
    if passed:
        rows[row + PRESENT_NS] += fields[wide + PRESENT] * passed
        rows[row + BUSY_NS] += (fields[wide + SERVERS] - fields[wide + FREE]) * passed
        rows[row + SEEN_AT] = S[NOW]


@njit
def enter(S, station):
    """One more, waiting or served."""
    up_to(S, station)
    rows = int64s(S[STATIONS])
    int32s(S[STATIONS])[station * WIDE_STATION + PRESENT] += 1
    rows[station * STATION + ARRIVALS] += 1
    rows[station * STATION + ENTRY_TIMES] += S[NOW]


@njit
def leave(S, station, since):
    """One less, who had entered at ``since``."""
    up_to(S, station)
    rows = int64s(S[STATIONS])
    int32s(S[STATIONS])[station * WIDE_STATION + PRESENT] -= 1
    rows[station * STATION + COMPLETIONS] += 1
    rows[station * STATION + ENTRY_TIMES] -= since
    rows[station * STATION + SOJOURN_NS] += S[NOW] - since


@njit
def node(S, frame, place):
    """The client outside is on a node of its own, -1."""
    pod = int32s(S[FRAMES])[frame * WIDE + SOURCE + place]
    if pod < 0:
        return -1
    return int32s(S[POD_STATION])[pod * S[SLOTS] + CPU_SLOT]


@njit
def holds(S, when, frame, at, other):
    """Whether an instruction's condition is met."""
    if when == WOKEN_THREAD:
        return int32s(S[FRAMES])[frame * WIDE + FLAGS] & WOKEN != 0
    return (node(S, frame, at) == node(S, frame, other)) == (when == SAME_NODE)


@njit
def station_of(S, frame, place, slot):
    """The station in a slot of a pod; of a proxy with pinned connections, the worker of this one."""
    pod = int32s(S[FRAMES])[frame * WIDE + SOURCE + place]
    number = int32s(S[POD_STATION])[pod * S[SLOTS] + slot]
    if S[PINNED]:
        workers = int64s(S[SLOT_WORKERS])[slot]
        if workers > 1:
            return number + worker(S, frame, place, workers)
    return number


@njit
def part_ns(S, frame, instruction):
    """Time of one piece of work, as it was drawn, before a slow pod makes it longer."""
    P32, P64 = int32s(S[PROGRAM]), int64s(S[PROGRAM])
    mean_ns = P64[instruction * INSTRUCTION + MEAN_NS]
    law = P32[instruction * WIDE_INSTRUCTION + LAW]
    if law < 0:
        return mean_ns
    stride = uint64s(S[PROGRAM])[instruction * INSTRUCTION + PURPOSE_STRIDE]
    return draw_ns(S, law, mean_ns, mix(uint64s(S[FRAMES])[frame * FRAME + KEY] ^ stride))


@njit
def part_is_done(S, frame, instruction):
    """Whether a piece of work is part of the visit: its condition is met."""
    P32 = int32s(S[PROGRAM])
    p = instruction * WIDE_INSTRUCTION
    when = P32[p + WHEN]
    return when == ALWAYS or holds(S, when, frame, P32[p + AT], P32[p + OTHER])


@njit
def gather_work(S, frame, pc):
    """Time of one visit to a core: this work and all that the same thread does without leaving it."""
    P32 = int32s(S[PROGRAM])
    total = part_ns(S, frame, pc)
    pc += 1
    while P32[pc * WIDE_INSTRUCTION + OP] == MORE:
        if part_is_done(S, frame, pc):
            total += part_ns(S, frame, pc)
        pc += 1
    return total


@njit
def ask_for_core(S, frame, station):
    """Take a core, or stand in line for one."""
    enter(S, station)
    fields = int32s(S[STATIONS])
    wide = station * WIDE_STATION
    if fields[wide + FREE] == 0:
        join_line(S, fields, wide + HEAD, frame)
        return
    fields[wide + FREE] -= 1
    if not begin_turn(S, frame, station):
        fields[wide + FREE] += 1


@njit
def begin_turn(S, frame, station):
    """A turn on a core; False if the frame's container has used up its CPU limit and must wait."""
    F64, F32, rows, fields = int64s(S[FRAMES]), int32s(S[FRAMES]), int64s(S[STATIONS]), int32s(S[STATIONS])
    f = frame * WIDE
    if S[FAULTY] and not F32[f + FLAGS] & BEGUN:
        slow_down(S, frame)
    turn = F64[frame * FRAME + LEFT]
    slice_ns = rows[station * STATION + SLICE_NS]
    if 0 < slice_ns < turn:
        turn = slice_ns
    if S[PERIOD_NS]:
        p = F32[f + PC] * WIDE_INSTRUCTION
        P32 = int32s(S[PROGRAM])
        pod = F32[f + SOURCE + P32[p + AT]]
        quota = int64s(S[POD_QUOTA])[pod * S[SLOTS] + P32[p + SLOT]]
        if quota >= 0:
            turn = take_quota(S, quota, turn)
            if turn == 0:
                throttle(S, frame, quota)
                return False
    F64[frame * FRAME + LEFT] -= turn
    rows[station * STATION + TURNS_NS] += turn
    rows[station * STATION + TURN_ENDS] += S[NOW] + turn
    fields[station * WIDE_STATION + TURNS] += 1
    push(S, S[NOW] + turn, TURN_ENDS_NOW | F64[frame * FRAME + ORDER], frame, 0)
    return True


@njit
def end_turn(S, frame):
    """A core is free: the next in line gets it, unless this frame has work left and nobody waits."""
    F64, F32, rows, fields = int64s(S[FRAMES]), int32s(S[FRAMES]), int64s(S[STATIONS]), int32s(S[STATIONS])
    pc = F32[frame * WIDE + PC]
    pod = F32[frame * WIDE + SOURCE + int32s(S[PROGRAM])[pc * WIDE_INSTRUCTION + AT]]
    station = int32s(S[POD_STATION])[pod * S[SLOTS] + CPU_SLOT]
    fields[station * WIDE_STATION + TURNS] -= 1
    rows[station * STATION + TURN_ENDS] -= S[NOW]
    if F64[frame * FRAME + LEFT]:
        join_line(S, fields, station * WIDE_STATION + HEAD, frame)
        next_turn(S, station)
        return
    behind = charge(S, frame, pod, pc)
    leave(S, station, F64[frame * FRAME + SINCE])
    next_turn(S, station)
    F32[frame * WIDE + PC] = behind
    make_ready(S, frame)


@njit
def charge(S, frame, pod, pc):
    """A visit to a core is over: charge its parts to the pod whose traffic it was. The instruction behind the last part.

    In a sampled request the time in line is written down with the first part; the parts follow each other.
    """
    F32, P32, cpu = int32s(S[FRAMES]), int32s(S[PROGRAM]), int64s(S[CPU])
    row = int32s(S[POD_ROW])[pod] * S[TAGS]
    slowness = int32s(S[COLD])[frame * (2 * COLD_PART) + SLOWED] if S[FAULTY] else NORMAL
    asked = 0
    behind = pc
    while behind == pc or P32[behind * WIDE_INSTRUCTION + OP] == MORE:
        if behind == pc or part_is_done(S, frame, behind):
            ns = part_ns(S, frame, behind)
            if slowness != NORMAL:
                ns = ns * slowness // NORMAL
            cpu[row + P32[behind * WIDE_INSTRUCTION + TAG]] += ns
            asked += ns
        behind += 1
    span = F32[frame * WIDE + SPAN]
    if span >= 0:
        start, end = int64s(S[FRAMES])[frame * FRAME + SINCE], S[NOW] - asked
        for part in range(pc, behind):
            if part == pc or part_is_done(S, frame, part):
                ns = part_ns(S, frame, part)
                if slowness != NORMAL:
                    ns = ns * slowness // NORMAL
                end += ns
                add_segment(S, span, part, start, end, ns)
                start = end
    return behind


@njit
def next_turn(S, station):
    """The first in line that may run gets the core."""
    fields = int32s(S[STATIONS])
    wide = station * WIDE_STATION
    while fields[wide + LENGTH]:
        if begin_turn(S, first_in_line(S, fields, wide + HEAD), station):
            return
    up_to(S, station)
    fields[wide + FREE] += 1


@njit
def acquire(S, frame, station):
    """True if the frame goes on: with a token, or failed because there is no place in line, or nobody there."""
    fields, F32 = int32s(S[STATIONS]), int32s(S[FRAMES])
    wide = station * WIDE_STATION
    if fields[wide + DOWN]:
        fail(S, frame, REFUSED)
        return True
    if fields[wide + FREE] == 0 and 0 <= fields[wide + PLACES] <= fields[wide + LENGTH]:
        fail(S, frame, OVERFLOW)
        return True
    int64s(S[FRAMES])[frame * FRAME + HELD_SINCE] = S[NOW]
    enter(S, station)
    if fields[wide + FREE] == 0:
        join_line(S, fields, wide + HEAD, frame)
        return False
    fields[wide + FREE] -= 1
    F32[frame * WIDE + FLAGS] |= WOKEN
    F32[frame * WIDE + PC] += 1
    return True


@njit
def release(S, station, frame):
    """The next in line gets the token at this instant; its thread is awake."""
    fields, F32 = int32s(S[STATIONS]), int32s(S[FRAMES])
    wide = station * WIDE_STATION
    held_since = int64s(S[FRAMES])[frame * FRAME + HELD_SINCE]
    leave(S, station, held_since)
    if held_since < int64s(S[STATIONS])[station * STATION + CRASHED_AT]:
        fail(S, frame, RESET)
        return
    F32[frame * WIDE + PC] += 1
    if fields[wide + LENGTH] == 0:
        fields[wide + FREE] += 1
        return
    following = first_in_line(S, fields, wide + HEAD)
    F32[following * WIDE + FLAGS] &= ~WOKEN
    complete(S, following)
    make_ready(S, following)


# Faults and CPU limits, as far as they concern a turn ------------------------------------------------------------


@njit
def slow_down(S, frame):
    """Work gets a core for the first time: as slow as the pod is now."""
    F32, F64 = int32s(S[FRAMES]), int64s(S[FRAMES])
    f = frame * WIDE
    F32[f + FLAGS] |= BEGUN
    pc = F32[f + PC]
    pod = F32[f + SOURCE + int32s(S[PROGRAM])[pc * WIDE_INSTRUCTION + AT]]
    slowness = int64s(S[SLOWNESS])[pod]
    int32s(S[COLD])[frame * (2 * COLD_PART) + SLOWED] = slowness
    if slowness == NORMAL:
        return
    total = 0
    part = pc
    while part == pc or int32s(S[PROGRAM])[part * WIDE_INSTRUCTION + OP] == MORE:
        if part == pc or part_is_done(S, frame, part):
            total += part_ns(S, frame, part) * slowness // NORMAL
        part += 1
    F64[frame * FRAME + LEFT] = total


@njit
def take_quota(S, quota, wanted):
    """Take up to so much from the budget of a container; 0 if it is used up."""
    rows = int64s(S[QUOTAS])
    row = quota * QUOTA_ROW
    period = S[NOW] // S[PERIOD_NS]
    if period > rows[row + QUOTA_PERIOD]:
        rows[row + QUOTA_PERIOD], rows[row + QUOTA_LEFT] = period, rows[row + QUOTA_NS]
    taken = min(wanted, rows[row + QUOTA_LEFT])
    rows[row + QUOTA_LEFT] -= taken
    return taken


@njit
def throttle(S, frame, quota):
    """It waits for the next period."""
    fields = int32s(S[QUOTAS])
    S[THROTTLES] += 1
    head = quota * (2 * QUOTA_ROW) + QUOTA_HEAD
    if fields[head + 2] == 0:
        period = S[PERIOD_NS]
        push(S, (S[NOW] // period + 1) * period, CLOCK << 60 | (BEHIND_FAULTS + quota) << 20, quota, 0)
    join_line(S, fields, head, frame)


@njit
def period_begins(S, quota):
    """All that were throttled want a core again."""
    waiting, stations, F32, P32 = int32s(S[QUOTAS]), int32s(S[STATIONS]), int32s(S[FRAMES]), int32s(S[PROGRAM])
    head = quota * (2 * QUOTA_ROW) + QUOTA_HEAD
    frame, left = waiting[head], waiting[head + 2]
    waiting[head + 2] = 0
    while left > 0:
        behind = F32[frame * WIDE + NEXT]
        pod = F32[frame * WIDE + SOURCE + P32[F32[frame * WIDE + PC] * WIDE_INSTRUCTION + AT]]
        station = int32s(S[POD_STATION])[pod * S[SLOTS] + CPU_SLOT]
        wide = station * WIDE_STATION
        if stations[wide + FREE]:
            up_to(S, station)
            stations[wide + FREE] -= 1
            if not begin_turn(S, frame, station):
                stations[wide + FREE] += 1
        else:
            join_line(S, stations, wide + HEAD, frame)
        frame = behind
        left -= 1


@njit
def crash(S, station):
    """Lose the line, and all that is being worked on."""
    rows, fields = int64s(S[STATIONS]), int32s(S[STATIONS])
    wide = station * WIDE_STATION
    up_to(S, station)
    rows[station * STATION + CRASHED_AT] = S[NOW]
    fields[wide + FREE] = fields[wide + SERVERS]
    while fields[wide + LENGTH]:
        frame = first_in_line(S, fields, wide + HEAD)
        leave(S, station, int64s(S[FRAMES])[frame * FRAME + HELD_SINCE])
        waited(S, frame)
        fail(S, frame, RESET)
        make_ready(S, frame)
