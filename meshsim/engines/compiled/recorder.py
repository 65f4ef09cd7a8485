"""What the engine writes down while it runs: ``meshsim.engines.recorder`` on flat arrays."""

from __future__ import annotations

import numpy as np

from meshsim.engines.compiled import state as at
from meshsim.engines.compiled.draws import child_key, draw, high
from meshsim.engines.compiled.pointers import State, fixed, inlined, int32s, int64s, leading_zeros, native
from meshsim.engines.recorder import BATCHES, CALL_SUB_BITS, SUB_BITS
from meshsim.plan.draws import SAMPLE


@inlined
def column_of(value: int, sub_bits: int) -> int:
    """Number of the bucket that counts ``value``."""
    shift = 64 - leading_zeros(np.uint64(value)) - sub_bits - 1
    return value if shift <= 0 else (shift << sub_bits) + (value >> shift)


@native
def request_arrived(S: State, request: int, number: int) -> None:
    """Request ``number`` came in."""
    now = S[at.NOW]
    S[at.SENT] += 1
    if number == fixed(S, at.FIRST):
        S[at.WINDOW_START] = now
        copy_cpu(S, at.CPU_AT_START)
    if number == fixed(S, at.LAST):
        S[at.WINDOW_END] = now
        copy_cpu(S, at.CPU_AT_END)
    record = -1
    if fixed(S, at.SAMPLE_BELOW) and fixed(S, at.FIRST) <= number <= fixed(S, at.LAST):
        chance = high(draw(child_key(np.uint64(fixed(S, at.ROOT_KEY)), number), SAMPLE))
        if chance < fixed(S, at.SAMPLE_BELOW):
            record = S[at.RECORDS_USED]
            S[at.RECORDS_USED] = record + 1
            int64s(S, at.RECORDS)[record] = number
    int32s(S, at.REQUESTS)[request * (2 * at.REQUEST_ROW) + at.RECORD] = record


@native
def copy_cpu(S: State, field: int) -> None:
    """Remember the CPU time used so far."""
    cpu, copy = int64s(S, at.CPU), int64s(S, field)
    for cell in range(fixed(S, at.CPU_CELLS)):
        copy[cell] = cpu[cell]


@inlined
def frame_started(S: State, frame: int) -> None:
    """A frame begins; it is written down if its request is in the sample."""
    F32, F64 = int32s(S, at.FRAMES), int64s(S, at.FRAMES)
    f = frame * (2 * at.FRAME)
    record = int32s(S, at.REQUESTS)[F32[f + at.REQUEST] * (2 * at.REQUEST_ROW) + at.RECORD]
    if record < 0:
        F32[f + at.SPAN] = -1
        return
    span = S[at.SPANS_USED]
    S[at.SPANS_USED] = span + 1
    F32[f + at.SPAN] = span
    row = span * at.SPAN_ROW
    spans = int64s(S, at.SPANS)
    parent = F32[f + at.PARENT]
    spans[row + at.SPAN_RECORD] = record
    spans[row + at.SPAN_NUMBER] = F64[frame * at.FRAME + at.ORDER] & 0xFFFFF
    spans[row + at.SPAN_PARENT] = -1 if parent < 0 else F64[parent * at.FRAME + at.ORDER] & 0xFFFFF
    spans[row + at.SPAN_CALL] = F32[f + at.CALL]
    spans[row + at.SPAN_SOURCE] = F32[f + at.SOURCE]
    spans[row + at.SPAN_DESTINATION] = F32[f + at.DESTINATION]
    spans[row + at.SPAN_START] = S[at.NOW]
    spans[row + at.SPAN_END] = -1
    spans[row + at.SPAN_DETACHED] = F32[f + at.FLAGS] & at.DETACHED
    spans[row + at.SPAN_STATUS] = 0


@native
def write_in_span(S: State, frame: int, field: int, value: int) -> None:
    """Change a field of a frame's span, if it is written down."""
    span = int32s(S, at.FRAMES)[frame * (2 * at.FRAME) + at.SPAN]
    if span >= 0:
        int64s(S, at.SPANS)[span * at.SPAN_ROW + field] = value


@native
def add_segment(S: State, span: int, instruction: int, start: int, end: int, running: int) -> None:
    """Some time of a frame."""
    row = S[at.SEGMENTS_USED] * at.SEGMENT_ROW
    S[at.SEGMENTS_USED] += 1
    segments = int64s(S, at.SEGMENTS)
    segments[row + at.SEGMENT_SPAN] = span
    segments[row + at.SEGMENT_INSTRUCTION] = instruction
    segments[row + at.SEGMENT_START] = start
    segments[row + at.SEGMENT_END] = end
    segments[row + at.SEGMENT_RUNNING] = running


@inlined
def waited(S: State, frame: int) -> None:
    """The instruction that a frame waited for is done, after some time off the CPU."""
    F32 = int32s(S, at.FRAMES)
    span = F32[frame * (2 * at.FRAME) + at.SPAN]
    if span >= 0:
        since = int64s(S, at.FRAMES)[frame * at.FRAME + at.SINCE]
        if S[at.NOW] > since:
            add_segment(S, span, F32[frame * (2 * at.FRAME) + at.PC], since, S[at.NOW], 0)


@native
def failure(S: State, status: int) -> None:
    """A failure began."""
    int64s(S, at.FAILURES)[status] += 1


@inlined
def call_ended(S: State, frame: int) -> None:
    """A call that is no attempt is over."""
    F32, F64 = int32s(S, at.FRAMES), int64s(S, at.FRAMES)
    number = F64[frame * at.FRAME + at.ORDER] >> 20
    if fixed(S, at.FIRST) <= number <= fixed(S, at.LAST):
        call, latency = F32[frame * (2 * at.FRAME) + at.CALL], S[at.NOW] - F64[frame * at.FRAME + at.BEGAN]
        column = column_of(latency, CALL_SUB_BITS)
        if column >= at.CALL_COLUMNS:
            S[at.TOO_LONG] = 1
            return
        int32s(S, at.CALL_LATENCY)[call * at.CALL_COLUMNS + column] += 1
        int64s(S, at.CALL_SUM)[call] += latency


@native
def answered(S: State, frame: int) -> None:
    """The client has its answer, good or bad. Latency counts good ones only."""
    F32, F64 = int32s(S, at.FRAMES), int64s(S, at.FRAMES)
    now = S[at.NOW]
    good = F32[frame * (2 * at.FRAME) + at.FLAGS] & at.STATUS == 0
    latency = now - F64[frame * at.FRAME + at.BEGAN]
    add_to_timeline(S, now, latency, good)
    if good:
        S[at.ANSWERED] += 1
    else:
        S[at.FAILED] += 1
    number = F64[frame * at.FRAME + at.ORDER] >> 20
    if fixed(S, at.FIRST) <= number <= fixed(S, at.LAST):
        S[at.ANSWERED_MEASURED] += 1
        if good:
            batch = (number - fixed(S, at.FIRST)) * BATCHES // fixed(S, at.MEASURED)
            entry = F32[frame * (2 * at.FRAME) + at.CALL]
            column = column_of(latency, SUB_BITS)
            if column >= at.COLUMNS:
                S[at.TOO_LONG] = 1
                return
            int32s(S, at.LATENCY)[batch * at.COLUMNS + column] += 1
            int64s(S, at.LATENCY_SUM)[batch] += latency
            batches = fixed(S, at.ENTRY_BATCHES)
            row = entry * batches + batch * batches // BATCHES
            column = column_of(latency, fixed(S, at.ENTRY_SUB_BITS))
            int32s(S, at.ENTRY_LATENCY)[row * fixed(S, at.ENTRY_COLUMNS) + column] += 1
            int64s(S, at.ENTRY_SUM)[row] += latency
        else:
            S[at.FAILED_MEASURED] += 1
        if S[at.ANSWERED_MEASURED] == fixed(S, at.MEASURED):
            S[at.FINISHED] = 1


@native
def add_to_timeline(S: State, now: int, latency: int, good: bool) -> None:
    """One answer: ``meshsim.results.timeline``."""
    bins = int64s(S, at.TIMELINE)  # good, failed, sums of latency
    while now >= S[at.BIN_NS] * at.BINS:
        S[at.BIN_NS] *= 2
        for row in range(3):
            for number in range(at.BINS // 2):
                bins[row * at.BINS + number] = bins[row * at.BINS + 2 * number] + bins[row * at.BINS + 2 * number + 1]
            for number in range(at.BINS // 2, at.BINS):
                bins[row * at.BINS + number] = 0
    number = now // S[at.BIN_NS]
    bins[(0 if good else at.BINS) + number] += 1
    bins[2 * at.BINS + number] += latency
