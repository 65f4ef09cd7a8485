"""What the engine writes down while it runs: ``meshsim.engines.recorder`` on flat arrays."""

from __future__ import annotations

import numpy as np
from numba import njit

from meshsim.engines.compiled.draws import child_key, draw, high
from meshsim.engines.compiled.pointers import int32s, int64s, leading_zeros, uint64s
from meshsim.engines.compiled.state import *  # noqa: F403
from meshsim.plan.draws import SAMPLE

CALL_SHIFT = CALL_SUB_BITS + 1
SHIFT = SUB_BITS + 1


@njit
def column_of(value, sub_bits):
    """Number of the bucket that counts ``value``."""
    shift = 64 - leading_zeros(np.uint64(value)) - sub_bits - 1
    return value if shift <= 0 else (shift << sub_bits) + (value >> shift)


@njit
def request_arrived(S, request, number):
    """Request ``number`` came in."""
    now = S[NOW]
    S[SENT] += 1
    if number == S[FIRST]:
        S[WINDOW_START] = now
        copy_cpu(S, S[CPU_AT_START])
    if number == S[LAST]:
        S[WINDOW_END] = now
        copy_cpu(S, S[CPU_AT_END])
    record = -1
    if S[FIRST] <= number <= S[LAST]:
        if high(draw(child_key(np.uint64(S[ROOT_KEY]), number), SAMPLE)) < S[SAMPLE_BELOW]:
            record = S[RECORDS_USED]
            S[RECORDS_USED] = record + 1
            int64s(S[RECORDS])[record] = number
    int32s(S[REQUESTS])[request * (2 * REQUEST_ROW) + RECORD] = record


@njit
def copy_cpu(S, address):
    """Remember the CPU time used so far."""
    cpu, copy = int64s(S[CPU]), int64s(address)
    for cell in range(S[CPU_CELLS]):
        copy[cell] = cpu[cell]


@njit
def frame_started(S, frame):
    """A frame begins; it is written down if its request is in the sample."""
    F32, F64 = int32s(S[FRAMES]), int64s(S[FRAMES])
    f = frame * (2 * FRAME)
    record = int32s(S[REQUESTS])[F32[f + REQUEST] * (2 * REQUEST_ROW) + RECORD]
    if record < 0:
        F32[f + SPAN] = -1
        return
    span = S[SPANS_USED]
    S[SPANS_USED] = span + 1
    F32[f + SPAN] = span
    row = span * SPAN_ROW
    spans = int64s(S[SPANS])
    parent = F32[f + PARENT]
    spans[row + SPAN_RECORD] = record
    spans[row + SPAN_NUMBER] = F64[frame * FRAME + ORDER] & 0xFFFFF
    spans[row + SPAN_PARENT] = -1 if parent < 0 else F64[parent * FRAME + ORDER] & 0xFFFFF
    spans[row + SPAN_CALL] = F32[f + CALL]
    spans[row + SPAN_SOURCE] = F32[f + SOURCE]
    spans[row + SPAN_DESTINATION] = F32[f + DESTINATION]
    spans[row + SPAN_START] = S[NOW]
    spans[row + SPAN_END] = -1
    spans[row + SPAN_DETACHED] = F32[f + FLAGS] & DETACHED
    spans[row + SPAN_STATUS] = 0


@njit
def write_in_span(S, frame, field, value):
    """Change a field of a frame's span, if it is written down."""
    span = int32s(S[FRAMES])[frame * (2 * FRAME) + SPAN]
    if span >= 0:
        int64s(S[SPANS])[span * SPAN_ROW + field] = value


@njit
def add_segment(S, span, instruction, start, end, running):
    """Some time of a frame."""
    row = S[SEGMENTS_USED] * SEGMENT_ROW
    S[SEGMENTS_USED] += 1
    segments = int64s(S[SEGMENTS])
    segments[row + SEGMENT_SPAN] = span
    segments[row + SEGMENT_INSTRUCTION] = instruction
    segments[row + SEGMENT_START] = start
    segments[row + SEGMENT_END] = end
    segments[row + SEGMENT_RUNNING] = running


@njit
def waited(S, frame):
    """The instruction that a frame waited for is done, after some time off the CPU."""
    F32 = int32s(S[FRAMES])
    span = F32[frame * (2 * FRAME) + SPAN]
    if span >= 0:
        since = int64s(S[FRAMES])[frame * FRAME + SINCE]
        if S[NOW] > since:
            add_segment(S, span, F32[frame * (2 * FRAME) + PC], since, S[NOW], 0)


@njit
def failure(S, status):
    """A failure began."""
    int64s(S[FAILURES])[status] += 1


@njit
def call_ended(S, frame):
    """A call that is no attempt is over."""
    F32, F64 = int32s(S[FRAMES]), int64s(S[FRAMES])
    number = F64[frame * FRAME + ORDER] >> 20
    if S[FIRST] <= number <= S[LAST]:
        call, latency = F32[frame * (2 * FRAME) + CALL], S[NOW] - F64[frame * FRAME + BEGAN]
        column = column_of(latency, CALL_SUB_BITS)
        if column >= CALL_COLUMNS:
            S[TOO_LONG] = 1
            return
        int32s(S[CALL_LATENCY])[call * CALL_COLUMNS + column] += 1
        int64s(S[CALL_SUM])[call] += latency


@njit
def answered(S, frame):
    """The client has its answer, good or bad. Latency counts good ones only."""
    F32, F64 = int32s(S[FRAMES]), int64s(S[FRAMES])
    now = S[NOW]
    good = F32[frame * (2 * FRAME) + FLAGS] & STATUS == 0
    latency = now - F64[frame * FRAME + BEGAN]
    add_to_timeline(S, now, latency, good)
    if good:
        S[ANSWERED] += 1
    else:
        S[FAILED] += 1
    number = F64[frame * FRAME + ORDER] >> 20
    if S[FIRST] <= number <= S[LAST]:
        S[ANSWERED_MEASURED] += 1
        if good:
            batch = (number - S[FIRST]) * BATCHES // S[MEASURED]
            entry = F32[frame * (2 * FRAME) + CALL]
            column = column_of(latency, SUB_BITS)
            if column >= COLUMNS:
                S[TOO_LONG] = 1
                return
            int32s(S[LATENCY])[(entry * BATCHES + batch) * COLUMNS + column] += 1
            int64s(S[LATENCY_SUM])[entry * BATCHES + batch] += latency
        else:
            S[FAILED_MEASURED] += 1
        if S[ANSWERED_MEASURED] == S[MEASURED]:
            S[FINISHED] = 1


@njit
def add_to_timeline(S, now, latency, good):
    """One answer: ``meshsim.results.timeline``."""
    bins = int64s(S[TIMELINE])  # good, failed, sums of latency
    while now >= S[BIN_NS] * BINS:
        S[BIN_NS] *= 2
        for row in range(3):
            for number in range(BINS // 2):
                bins[row * BINS + number] = bins[row * BINS + 2 * number] + bins[row * BINS + 2 * number + 1]
            for number in range(BINS // 2, BINS):
                bins[row * BINS + number] = 0
    number = now // S[BIN_NS]
    bins[(0 if good else BINS) + number] += 1
    bins[2 * BINS + number] += latency
