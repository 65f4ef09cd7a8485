"""Stations: cores and tokens, and who waits for them. The words are those of ``meshsim.engines.reference``."""

from __future__ import annotations

from meshsim.engines.compiled import state as at
from meshsim.engines.compiled.connections import worker
from meshsim.engines.compiled.draws import draw_ns, mix
from meshsim.engines.compiled.events import push
from meshsim.engines.compiled.frames import complete, fail, first_in_line, is_reset, join_line, make_ready
from meshsim.engines.compiled.pointers import State, fixed, inlined, int32s, int64s, native, uint64s
from meshsim.engines.compiled.recorder import add_segment, waited
from meshsim.engines.faults import NORMAL
from meshsim.engines.frame import CLOCK
from meshsim.engines.frame import FRAME as FRAME_EVENT
from meshsim.engines.quota import BEHIND_FAULTS
from meshsim.plan.laws import COLD, LONGEST_SLEEP
from meshsim.plan.plan import CPU_SLOT, Op, Status, When

WIDE = 2 * at.FRAME
WIDE_STATION = 2 * at.STATION
WIDE_INSTRUCTION = 2 * at.INSTRUCTION
TURN_ENDS_NOW = FRAME_EVENT << 60
ALWAYS, SAME_NODE, WOKEN_THREAD, SAME_ZONE, FIRST_IN_TURN, NEW_CONNECTION = (
    int(when) for when in (When.ALWAYS, When.SAME_NODE, When.WOKEN, When.SAME_ZONE, When.TURN, When.NEW_CONNECTION)
)
DETACH, MORE, RELEASE, WORK = int(Op.DETACH), int(Op.MORE), int(Op.RELEASE), int(Op.WORK)
OVERFLOW, REFUSED, RESET = int(Status.OVERFLOW), int(Status.REFUSED), int(Status.RESET)


@inlined
def up_to(S: State, station: int) -> None:
    """Bring the integrals up to date; called before FREE or PRESENT changes."""
    rows, fields = int64s(S, at.STATIONS), int32s(S, at.STATIONS)
    row, wide = station * at.STATION, station * WIDE_STATION
    passed = S[at.NOW] - rows[row + at.SEEN_AT]
    if passed:
        rows[row + at.PRESENT_NS] += fields[wide + at.PRESENT] * passed
        rows[row + at.BUSY_NS] += (fields[wide + at.SERVERS] - fields[wide + at.FREE]) * passed
        rows[row + at.SEEN_AT] = S[at.NOW]


@inlined
def enter(S: State, station: int) -> None:
    """One more, waiting or served."""
    up_to(S, station)
    rows = int64s(S, at.STATIONS)
    int32s(S, at.STATIONS)[station * WIDE_STATION + at.PRESENT] += 1
    rows[station * at.STATION + at.ARRIVALS] += 1
    rows[station * at.STATION + at.ENTRY_TIMES] += S[at.NOW]


@inlined
def leave(S: State, station: int, since: int) -> None:
    """One less, who had entered at ``since``."""
    up_to(S, station)
    rows = int64s(S, at.STATIONS)
    int32s(S, at.STATIONS)[station * WIDE_STATION + at.PRESENT] -= 1
    rows[station * at.STATION + at.COMPLETIONS] += 1
    rows[station * at.STATION + at.ENTRY_TIMES] -= since
    rows[station * at.STATION + at.SOJOURN_NS] += S[at.NOW] - since


@inlined
def node(S: State, frame: int, place: int) -> int:
    """The client outside is on a node of its own, -1."""
    pod = int32s(S, at.FRAMES)[frame * WIDE + at.SOURCE + place]
    if pod < 0:
        return -1
    return int32s(S, at.POD_NODE)[pod]


@inlined
def holds(S: State, when: int, frame: int, one: int, other: int) -> bool:
    """Whether an instruction's condition is met."""
    F32 = int32s(S, at.FRAMES)
    f = frame * WIDE
    if when >= NEW_CONNECTION:
        if not F32[f + at.FLAGS] & at.OPENED:
            return False
        when -= NEW_CONNECTION
        if when == ALWAYS:
            return True
    if when == WOKEN_THREAD:
        return F32[f + at.FLAGS] & at.WOKEN != 0
    if when == FIRST_IN_TURN:
        return F32[f + at.FLAGS] & at.TURN != 0
    here, there = node(S, frame, one), node(S, frame, other)
    if when < SAME_ZONE:
        return (here == there) == (when == SAME_NODE)
    zones = int32s(S, at.POD_ZONE)
    near = here < 0 or there < 0 or zones[F32[f + at.SOURCE + one]] == zones[F32[f + at.SOURCE + other]]
    return here != there and near == (when == SAME_ZONE)


@inlined
def station_of(S: State, frame: int, place: int, slot: int) -> int:
    """The station in a slot of a pod; of a proxy with pinned connections, the worker of this one."""
    pod = int32s(S, at.FRAMES)[frame * WIDE + at.SOURCE + place]
    number = int32s(S, at.POD_STATION)[pod * fixed(S, at.SLOTS) + slot]
    if fixed(S, at.PINNED):
        workers = int64s(S, at.SLOT_WORKERS)[slot]
        if workers > 1:
            return number + worker(S, frame, place, workers)
    return number


@inlined
def part_ns(S: State, frame: int, instruction: int) -> int:
    """Time of one piece of work, as it was drawn, before a slow pod makes it longer."""
    P32, P64 = int32s(S, at.PROGRAM), int64s(S, at.PROGRAM)
    mean_ns = P64[instruction * at.INSTRUCTION + at.MEAN_NS]
    law = P32[instruction * WIDE_INSTRUCTION + at.LAW]
    if law == COLD:
        slept = int32s(S, at.FRAMES)[frame * WIDE + at.TO_SERVE]
        return max(1, mean_ns * slept // (slept + P64[instruction * at.INSTRUCTION + at.AMOUNT]))
    if law < 0:
        return mean_ns
    stride = uint64s(S, at.PROGRAM)[instruction * at.INSTRUCTION + at.PURPOSE_STRIDE]
    return draw_ns(S, law, mean_ns, mix(uint64s(S, at.FRAMES)[frame * at.FRAME + at.KEY] ^ stride))


@inlined
def part_is_done(S: State, frame: int, instruction: int) -> bool:
    """Whether a piece of work is part of the visit: its condition is met."""
    P32 = int32s(S, at.PROGRAM)
    p = instruction * WIDE_INSTRUCTION
    when = P32[p + at.WHEN]
    return when == ALWAYS or holds(S, when, frame, P32[p + at.AT], P32[p + at.OTHER])


@inlined
def gather_work(S: State, frame: int, pc: int) -> int:
    """Time of one visit to a core: this work and all that the same thread does without leaving it."""
    P32 = int32s(S, at.PROGRAM)
    total = part_ns(S, frame, pc)
    pc += 1
    while P32[pc * WIDE_INSTRUCTION + at.OP] == MORE:
        if part_is_done(S, frame, pc):
            total += part_ns(S, frame, pc)
        pc += 1
    return total


@inlined
def ask_for_core(S: State, frame: int, station: int) -> None:
    """Take a core, or stand in line for one."""
    enter(S, station)
    fields = int32s(S, at.STATIONS)
    wide = station * WIDE_STATION
    int32s(S, at.FRAMES)[frame * WIDE + at.RAN] = 0
    if fields[wide + at.FREE] == 0:
        join_line(S, fields, wide + at.HEAD, frame)
        return
    fields[wide + at.FREE] -= 1
    if not begin_turn(S, frame, station):
        fields[wide + at.FREE] += 1


@native
def go_on_with_core(S: State, frame: int, station: int) -> None:
    """Its thread has kept the core for it, with what is left of the slice."""
    enter(S, station)
    int32s(S, at.FRAMES)[frame * WIDE + at.FLAGS] &= ~at.KEPT
    if not begin_turn(S, frame, station):
        next_turn(S, station)


@inlined
def begin_turn(S: State, frame: int, station: int) -> bool:
    """A turn on a core; False if the frame's container has used up its CPU limit and must wait."""
    F64, F32, rows, fields = int64s(S, at.FRAMES), int32s(S, at.FRAMES), int64s(S, at.STATIONS), int32s(S, at.STATIONS)
    f = frame * WIDE
    if fixed(S, at.FAULTY) | fixed(S, at.RESETTING) and not F32[f + at.FLAGS] & at.BEGUN:
        F32[f + at.FLAGS] |= at.BEGUN
        if fixed(S, at.FAULTY):
            slow_down(S, frame)
    turn = F64[frame * at.FRAME + at.LEFT]
    slice_ns = rows[station * at.STATION + at.SLICE_NS]
    if slice_ns:
        turn = min(turn, slice_ns - F32[f + at.RAN])
    if fixed(S, at.PERIOD_NS):
        p = F32[f + at.PC] * WIDE_INSTRUCTION
        P32 = int32s(S, at.PROGRAM)
        pod = F32[f + at.SOURCE + P32[p + at.AT]]
        quota = int64s(S, at.POD_QUOTA)[pod * fixed(S, at.SLOTS) + P32[p + at.SLOT]]
        if quota >= 0:
            turn = take_quota(S, quota, turn)
            if turn == 0:
                F32[f + at.RAN] = 0
                throttle(S, frame, quota)
                return False
    F64[frame * at.FRAME + at.LEFT] -= turn
    if slice_ns:
        F32[f + at.RAN] += turn
    rows[station * at.STATION + at.TURNS_NS] += turn
    rows[station * at.STATION + at.TURN_ENDS] += S[at.NOW] + turn
    fields[station * WIDE_STATION + at.TURNS] += 1
    push(S, S[at.NOW] + turn, TURN_ENDS_NOW | F64[frame * at.FRAME + at.ORDER], frame, 0)
    return True


@inlined
def end_turn(S: State, frame: int) -> None:
    """A core is free: the next in line gets it, unless this frame has work left and nobody waits."""
    F64, F32, rows, fields = int64s(S, at.FRAMES), int32s(S, at.FRAMES), int64s(S, at.STATIONS), int32s(S, at.STATIONS)
    pc = F32[frame * WIDE + at.PC]
    pod = F32[frame * WIDE + at.SOURCE + int32s(S, at.PROGRAM)[pc * WIDE_INSTRUCTION + at.AT]]
    station = int32s(S, at.POD_STATION)[pod * fixed(S, at.SLOTS) + CPU_SLOT]
    fields[station * WIDE_STATION + at.TURNS] -= 1
    rows[station * at.STATION + at.TURN_ENDS] -= S[at.NOW]
    if F64[frame * at.FRAME + at.LEFT]:
        F32[frame * WIDE + at.RAN] = 0
        join_line(S, fields, station * WIDE_STATION + at.HEAD, frame)
        next_turn(S, station)
        return
    behind = charge(S, frame, pod, pc)
    leave(S, station, F64[frame * at.FRAME + at.SINCE])
    F32[frame * WIDE + at.PC] = behind
    if int32s(S, at.PROGRAM)[behind * WIDE_INSTRUCTION + at.OP] == RELEASE and keeps_core(S, frame, behind, station):
        F32[frame * WIDE + at.FLAGS] |= at.KEPT
    else:
        next_turn(S, station)
    make_ready(S, frame)


@inlined
def keeps_core(S: State, frame: int, pc: int, core: int) -> bool:
    """Whether its thread has somebody else to serve, and time left in its slice; never without slices."""
    P32, rows = int32s(S, at.PROGRAM), int64s(S, at.STATIONS)
    p = pc * WIDE_INSTRUCTION
    if P32[p + at.WHEN] != ALWAYS:
        return False
    if int32s(S, at.FRAMES)[frame * WIDE + at.RAN] >= rows[core * at.STATION + at.SLICE_NS]:
        return False
    station = station_of(S, frame, P32[p + at.AT], P32[p + at.SLOT])
    if int32s(S, at.STATIONS)[station * WIDE_STATION + at.LENGTH] == 0:
        return False
    return int64s(S, at.FRAMES)[frame * at.FRAME + at.HELD_SINCE] >= rows[station * at.STATION + at.CRASHED_AT]


@inlined
def charge(S: State, frame: int, pod: int, pc: int) -> int:
    """A visit to a core is over: charge its parts to the pod whose traffic it was. Returns the instruction behind them.

    In a sampled request the time in line is written down with the first part; the parts follow each other.
    """
    F32, P32, cpu = int32s(S, at.FRAMES), int32s(S, at.PROGRAM), int64s(S, at.CPU)
    row = int32s(S, at.POD_ROW)[pod] * fixed(S, at.TAGS)
    slowness = int32s(S, at.COLD)[frame * (2 * at.COLD_PART) + at.SLOWED] if fixed(S, at.FAULTY) else NORMAL
    asked = 0
    behind = pc
    while behind == pc or P32[behind * WIDE_INSTRUCTION + at.OP] == MORE:
        if behind == pc or part_is_done(S, frame, behind):
            ns = part_ns(S, frame, behind)
            if slowness != NORMAL:
                ns = ns * slowness // NORMAL
            cpu[row + P32[behind * WIDE_INSTRUCTION + at.TAG]] += ns
            asked += ns
        behind += 1
    span = F32[frame * WIDE + at.SPAN]
    if span >= 0:
        start, end = int64s(S, at.FRAMES)[frame * at.FRAME + at.SINCE], S[at.NOW] - asked
        for part in range(pc, behind):
            if part == pc or part_is_done(S, frame, part):
                ns = part_ns(S, frame, part)
                if slowness != NORMAL:
                    ns = ns * slowness // NORMAL
                end += ns
                add_segment(S, span, part, start, end, ns)
                start = end
    return behind


@native
def dropped(S: State, frame: int, station: int) -> bool:
    """Whether it is work of a stream that was reset, and has not begun: then it is dropped."""
    if int32s(S, at.FRAMES)[frame * WIDE + at.FLAGS] & at.BEGUN or not is_reset(S, frame):
        return False
    leave(S, station, int64s(S, at.FRAMES)[frame * at.FRAME + at.SINCE])
    waited(S, frame)
    make_ready(S, frame)
    return True


@inlined
def next_turn(S: State, station: int) -> None:
    """The first in line that may run gets the core."""
    fields = int32s(S, at.STATIONS)
    wide = station * WIDE_STATION
    while fields[wide + at.LENGTH]:
        frame = first_in_line(S, fields, wide + at.HEAD)
        if fixed(S, at.RESETTING) and dropped(S, frame, station):
            continue
        if begin_turn(S, frame, station):
            return
    up_to(S, station)
    fields[wide + at.FREE] += 1


@inlined
def acquire(S: State, frame: int, station: int) -> bool:
    """True if the frame goes on: with a token, or failed because there is no place in line, or nobody there."""
    fields, F32 = int32s(S, at.STATIONS), int32s(S, at.FRAMES)
    wide = station * WIDE_STATION
    if fields[wide + at.DOWN]:
        fail(S, frame, REFUSED)
        return True
    if fields[wide + at.FREE] == 0 and 0 <= fields[wide + at.PLACES] <= fields[wide + at.LENGTH]:
        fail(S, frame, OVERFLOW)
        return True
    int64s(S, at.FRAMES)[frame * at.FRAME + at.HELD_SINCE] = S[at.NOW]
    enter(S, station)
    if fields[wide + at.FREE] == 0:
        join_line(S, fields, wide + at.HEAD, frame)
        return False
    fields[wide + at.FREE] -= 1
    holds_token(S, frame, station)
    F32[frame * WIDE + at.FLAGS] |= at.WOKEN | at.TURN
    slept = S[at.NOW] - int64s(S, at.STATIONS)[station * at.STATION + at.ASLEEP_SINCE]
    F32[frame * WIDE + at.TO_SERVE] = min(slept, LONGEST_SLEEP)
    F32[frame * WIDE + at.PC] += 1
    return True


@inlined
def holds_token(S: State, frame: int, station: int) -> None:
    """Remember whose token a frame holds, in case that its stream is reset; -1 for none."""
    if fixed(S, at.RESETTING):
        int32s(S, at.COLD)[frame * (2 * at.COLD_PART) + at.TOKEN] = station


@inlined
def release(S: State, station: int, frame: int, by_turn: bool) -> bool:
    """Give a token back; it is gone if there was a crash meanwhile. False if the frame waits for its thread's turn."""
    holds_token(S, frame, -1)
    F32, f = int32s(S, at.FRAMES), frame * WIDE
    held_since = int64s(S, at.FRAMES)[frame * at.FRAME + at.HELD_SINCE]
    leave(S, station, held_since)
    if held_since < int64s(S, at.STATIONS)[station * at.STATION + at.CRASHED_AT]:
        batch_is_lost(S, frame)
        fail(S, frame, RESET)
        return True
    if by_turn and (
        F32[f + at.BATCH] >= 0 or (to_serve(S, frame) and int32s(S, at.STATIONS)[station * WIDE_STATION + at.LENGTH])
    ):
        int64s(S, at.FRAMES)[frame * at.FRAME + at.SINCE] = S[at.NOW]
        join_batch(S, frame)
        pass_on(S, station, frame)
        return False
    pass_on(S, station, frame)
    F32[f + at.PC] += 1
    return True


@inlined
def join_batch(S: State, frame: int) -> None:
    """The last of those whom its thread has served in this turn."""
    F32, f = int32s(S, at.FRAMES), frame * WIDE
    last = F32[f + at.BATCH]
    if last < 0:
        F32[f + at.NEXT] = frame
    else:
        F32[f + at.NEXT] = F32[last * WIDE + at.NEXT]
        F32[last * WIDE + at.NEXT] = frame
    F32[f + at.BATCH] = frame


@native
def batch_goes_on(S: State, last: int, lost: bool) -> None:
    """What a thread has served in a turn leaves; ``lost``: a crash took it before it was sent."""
    F32 = int32s(S, at.FRAMES)
    served = F32[last * WIDE + at.NEXT]
    while True:
        behind = F32[served * WIDE + at.NEXT]
        if lost:
            waited(S, served)
            fail(S, served, RESET)
        else:
            complete(S, served)
        make_ready(S, served)
        if served == last:
            return
        served = behind


@native
def batch_is_lost(S: State, frame: int) -> None:
    """A crash took what its thread had served in this turn and not sent yet."""
    last = int32s(S, at.FRAMES)[frame * WIDE + at.BATCH]
    if last >= 0:
        int32s(S, at.FRAMES)[frame * WIDE + at.BATCH] = -1
        batch_goes_on(S, last, True)


@native
def hand_back(S: State, frame: int) -> None:
    """What a frame whose stream was reset holds of a pool."""
    station = int32s(S, at.COLD)[frame * (2 * at.COLD_PART) + at.TOKEN]
    if station < 0:
        return
    holds_token(S, frame, -1)
    held_since = int64s(S, at.FRAMES)[frame * at.FRAME + at.HELD_SINCE]
    leave(S, station, held_since)
    if held_since < int64s(S, at.STATIONS)[station * at.STATION + at.CRASHED_AT]:
        batch_is_lost(S, frame)
    else:
        pass_on(S, station, frame)


@inlined
def to_serve(S: State, frame: int) -> int:
    """So many of those in line does its thread still serve in this turn of its event loop."""
    F32, f = int32s(S, at.FRAMES), frame * WIDE
    return 0 if F32[f + at.FLAGS] & at.WOKEN else F32[f + at.TO_SERVE]


@inlined
def pass_on(S: State, station: int, frame: int) -> None:
    """The next in line gets the token at this instant; its thread is awake, and may begin a turn of its event loop.

    What the thread has served in a turn leaves when the turn ends.
    """
    fields, F32 = int32s(S, at.STATIONS), int32s(S, at.FRAMES)
    wide, f = station * WIDE_STATION, frame * WIDE
    batch, left, line = F32[f + at.BATCH], to_serve(S, frame), fields[wide + at.LENGTH]
    F32[f + at.BATCH] = -1
    core = -1
    if F32[f + at.FLAGS] & at.KEPT:
        F32[f + at.FLAGS] &= ~at.KEPT
        place = int32s(S, at.PROGRAM)[F32[f + at.PC] * WIDE_INSTRUCTION + at.AT]
        core = node(S, frame, place)
    if batch >= 0 and (left == 0 or line == 0):
        batch_goes_on(S, batch, False)
        batch = -1
    if line == 0:
        fields[wide + at.FREE] += 1
        int64s(S, at.STATIONS)[station * at.STATION + at.ASLEEP_SINCE] = S[at.NOW]
        if core >= 0:
            next_turn(S, core)
        return
    following = first_in_line(S, fields, wide + at.HEAD)
    g = following * WIDE
    holds_token(S, following, station)
    F32[g + at.FLAGS] &= ~(at.WOKEN | at.TURN)
    if left:
        F32[g + at.TO_SERVE] = left - 1
    else:
        F32[g + at.FLAGS] |= at.TURN
        F32[g + at.TO_SERVE] = fields[wide + at.LENGTH] // fields[wide + at.SERVERS]
    F32[g + at.BATCH] = batch
    complete(S, following)
    make_ready(S, following)
    if core >= 0:
        if works_next(S, following):
            F32[g + at.FLAGS] |= at.KEPT
            F32[g + at.RAN] = F32[f + at.RAN]
        else:
            next_turn(S, core)


@inlined
def works_next(S: State, frame: int) -> bool:
    """Whether the first thing that it does needs a core."""
    P32 = int32s(S, at.PROGRAM)
    pc = int32s(S, at.FRAMES)[frame * WIDE + at.PC]
    while not part_is_done(S, frame, pc):
        p = pc * WIDE_INSTRUCTION
        pc = P32[p + at.TARGET] if P32[p + at.OP] == DETACH else pc + 1
    op = P32[pc * WIDE_INSTRUCTION + at.OP]
    return op in (MORE, WORK)


# Faults and CPU limits, as far as they concern a turn ------------------------------------------------------------


@native
def slow_down(S: State, frame: int) -> None:
    """Work gets a core for the first time: as slow as the pod is now."""
    F32, F64 = int32s(S, at.FRAMES), int64s(S, at.FRAMES)
    f = frame * WIDE
    pc = F32[f + at.PC]
    pod = F32[f + at.SOURCE + int32s(S, at.PROGRAM)[pc * WIDE_INSTRUCTION + at.AT]]
    slowness = int64s(S, at.SLOWNESS)[pod]
    int32s(S, at.COLD)[frame * (2 * at.COLD_PART) + at.SLOWED] = slowness
    if slowness == NORMAL:
        return
    total = 0
    part = pc
    while part == pc or int32s(S, at.PROGRAM)[part * WIDE_INSTRUCTION + at.OP] == MORE:
        if part == pc or part_is_done(S, frame, part):
            total += part_ns(S, frame, part) * slowness // NORMAL
        part += 1
    F64[frame * at.FRAME + at.LEFT] = total


@native
def take_quota(S: State, quota: int, wanted: int) -> int:
    """Take up to so much from the budget of a container; 0 if it is used up."""
    rows = int64s(S, at.QUOTAS)
    row = quota * at.QUOTA_ROW
    period = S[at.NOW] // fixed(S, at.PERIOD_NS)
    if period > rows[row + at.QUOTA_PERIOD]:
        rows[row + at.QUOTA_PERIOD], rows[row + at.QUOTA_LEFT] = period, rows[row + at.QUOTA_NS]
    taken = min(wanted, rows[row + at.QUOTA_LEFT])
    rows[row + at.QUOTA_LEFT] -= taken
    return taken


@native
def throttle(S: State, frame: int, quota: int) -> None:
    """It waits for the next period."""
    fields = int32s(S, at.QUOTAS)
    S[at.THROTTLES] += 1
    head = quota * (2 * at.QUOTA_ROW) + at.QUOTA_HEAD
    if fields[head + 2] == 0:
        period = fixed(S, at.PERIOD_NS)
        push(S, (S[at.NOW] // period + 1) * period, CLOCK << 60 | (BEHIND_FAULTS + quota) << 20, quota, 0)
    join_line(S, fields, head, frame)


@native
def period_begins(S: State, quota: int) -> None:
    """All that were throttled want a core again."""
    waiting, stations, F32, P32 = (
        int32s(S, at.QUOTAS),
        int32s(S, at.STATIONS),
        int32s(S, at.FRAMES),
        int32s(S, at.PROGRAM),
    )
    head = quota * (2 * at.QUOTA_ROW) + at.QUOTA_HEAD
    frame, left = waiting[head], waiting[head + 2]
    waiting[head + 2] = 0
    while left > 0:
        behind = F32[frame * WIDE + at.NEXT]
        pod = F32[frame * WIDE + at.SOURCE + P32[F32[frame * WIDE + at.PC] * WIDE_INSTRUCTION + at.AT]]
        station = int32s(S, at.POD_STATION)[pod * fixed(S, at.SLOTS) + CPU_SLOT]
        wide = station * WIDE_STATION
        if stations[wide + at.FREE]:
            up_to(S, station)
            stations[wide + at.FREE] -= 1
            if not begin_turn(S, frame, station):
                stations[wide + at.FREE] += 1
        else:
            join_line(S, stations, wide + at.HEAD, frame)
        frame = behind
        left -= 1


@native
def crash(S: State, station: int) -> None:
    """Lose the line, and all that is being worked on."""
    rows, fields = int64s(S, at.STATIONS), int32s(S, at.STATIONS)
    wide = station * WIDE_STATION
    up_to(S, station)
    rows[station * at.STATION + at.CRASHED_AT] = S[at.NOW]
    fields[wide + at.FREE] = fields[wide + at.SERVERS]
    while fields[wide + at.LENGTH]:
        frame = first_in_line(S, fields, wide + at.HEAD)
        leave(S, station, int64s(S, at.FRAMES)[frame * at.FRAME + at.HELD_SINCE])
        waited(S, frame)
        fail(S, frame, RESET)
        make_ready(S, frame)
