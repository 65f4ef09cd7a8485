"""Where everything lies. ``S``, the state, is one array of 64-bit integers: counters, limits, and the addresses of all
other arrays. The other arrays hold rows: of frames, stations, instructions, … with 64-bit and 32-bit fields side by
side, so that one visit touches few cache lines.
"""

from __future__ import annotations

from meshsim.engines.recorder import CALL_SUB_BITS, SUB_BITS

(
    # counters of the loop
    NOW, STARTED_UP, EVENTS, BUDGET, FINISHED, CLOCK_EVENT, READY_HEAD, READY_TAIL,
    # places in use, the first free one given back, and the counts from which there must be more room
    FRAMES_USED, FRAMES_FREE, FRAMES_LIVE, FRAMES_LIMIT, REQUESTS_USED, REQUESTS_FREE, REQUESTS_LIVE, REQUESTS_LIMIT,
    TRIES_USED, TRIES_FREE, TRIES_LIVE, TRIES_LIMIT, PENDING, PENDING_LIMIT, SPANS_USED, SPANS_LIMIT, SEGMENTS_USED,
    SEGMENTS_LIMIT, INBOX_USED,
    # of the events
    NEAR_COUNT, NEAR_END, WHEEL_COUNT, WHEEL_END, BLOCKS_COUNT, FAR_COUNT, WIDTH, BUCKET_COUNT, BLOCK, NODES_FREE,
    NODES_USED, CHUNKS_FREE, CHUNKS_USED, TUNE_AT, TUNED_AT, TUNED_AT_TIME,
    # of the plan
    MANY_STATIONS,
    SLOTS, TAGS, ENTRIES, GAP_LAW, EXPONENTIAL_LAW, ROUTED, FAULTY, LIMITED, PINNED, RESETTING, AN_END,
    PERIOD_NS, ROOT_KEY, CONNECTION_KEY, ENTRY_BATCHES, ENTRY_SUB_BITS, ENTRY_COLUMNS,
    # of the load
    LOAD_KIND, BURST, CLIENTS, THINK_NS, THINK_CONSTANT, SHIFT, PIECES, PIECE, PIECE_END, CLOCK, SENT_BY_CLIENTS,
    # of the recorder
    FIRST, LAST, MEASURED, SAMPLE_BELOW, SENT, ANSWERED, FAILED, ANSWERED_MEASURED, FAILED_MEASURED, WINDOW_START,
    WINDOW_END, CPU_CELLS, BIN_NS, RECORDS_USED, TOO_LONG,
    # of the mechanisms
    ATTEMPTS, RETRIED, HEDGED, TIMEOUTS, WASTED_ANSWERS, CIRCUIT_OPENED, OPENED_CONNECTIONS, THROTTLES, EJECTING,
    RESETS,
    # addresses: of the plan
    PROGRAM, LAWS, POD_STATION, POD_NODE, POD_ZONE, SERVICES, CALLS, ENTRY_THRESHOLD, SLOT_WORKERS, LENGTHS,
    GAP_MEANS, FAULTS, POD_QUOTA, QUOTAS, ROUTES, RINGS, POLICIES, POOLS, LIMITS,
    # addresses: of what moves
    STATIONS, FRAMES, COLD, REQUESTS, TRIES, NEAR, FAR, NODES, BUCKETS, CHUNKS, BLOCK_HEADS, INBOX, THOUGHTS,
    FULL_AT, SLOWNESS, ERROR_SHARE, HOSTS, ROUTE_TURNS, POLICY_STATES, CONNECTIONS, CONNECTION_POD, POOL_STATES,
    # addresses: of the recorder
    CPU, CPU_AT_START, CPU_AT_END, POD_ROW, LATENCY, LATENCY_SUM, ENTRY_LATENCY, ENTRY_SUM, CALL_LATENCY, CALL_SUM,
    FAILURES, TIMELINE, SPANS, SEGMENTS, RECORDS,
    SIZE,
) = range(154)  # fmt: skip

# Rows: (64-bit words in a row), the numbers of its 64-bit fields, then of its 32-bit fields.
INSTRUCTION = 8
MEAN_NS, AMOUNT, PURPOSE_STRIDE = range(3)
OP, AT, OTHER, WHEN, SLOT, TARGET, LAW, TAG, AFTER, PURPOSE = range(6, 16)

STATION = 16
(
    SLICE_NS, CRASHED_AT, ARRIVALS, COMPLETIONS, SEEN_AT, PRESENT_NS, BUSY_NS, SOJOURN_NS, ENTRY_TIMES, TURNS_NS,
    TURN_ENDS,
) = range(11)  # fmt: skip
SERVERS, FREE, PLACES, DOWN, PRESENT, TURNS, HEAD, TAIL, LENGTH = range(22, 31)
ASLEEP_SINCE = SLICE_NS
"""Of threads, which have no time slices: when the last of them fell asleep."""

FRAME = 13
KEY, ORDER, SINCE, BEGAN, HELD_SINCE, LEFT = range(6)
PC, PARENT, CALL, SOURCE, DESTINATION, VIA, CHILDREN, FLAGS, NEXT, REQUEST, SPAN, TO_SERVE, RAN, BATCH = range(12, 26)
"""BATCH: the last of a ring of frames, -1 for none. TO_SERVE of a WOKEN frame, whose thread serves nobody else in this
turn: how long the thread slept, ns."""
# Flags of a frame; the lowest three bits are its status.
STATUS = 7
JOINING, DETACHED, WOKEN, CHILD_FAILED, OPTIONAL, OVER, BEGUN, TURN, OPENED, CUT, CONNECTED, KEPT = (
    1 << bit for bit in range(3, 15)
)

COLD_PART = 6
"""Of a frame, where calls are routed, tried again, or faulty; else there is none."""
ENTERED, PINNED_BY = range(2)
HOST, CONNECTION, ATTEMPT_OF, WAITS_FOR, SLOWED, LIVE_NEXT, TOKEN = range(4, 11)

REQUEST_ROW = 3
NUMBER = 0
FRAME_COUNT, REFERENCES, CLIENT, RECORD = range(2, 6)

TRIES_ROW = 6
TRIES_FRAME, POLICY, POLICY_STATE, WHO, LIVE_HEAD, TRIES_STARTED, RETRIES, HEDGES, RETRYING, TRIES_NEXT = range(10)

EVENT = 3
NODE_ROW = 4
NODE_NEXT = 6
MOST_BUCKETS = 1 << 10
CHUNK_ROW = 25
CHUNK_NEXT, CHUNK_FILLED = range(2)
IN_A_CHUNK = 8
BLOCKS = 1 << 13

SERVICE_ROW = 3
FIRST_POD, POD_COUNT, MOST_PODS, FIRST_VIA, VIA_COUNT = range(5)

CALL_ROW = 5
CALL_PROGRAM, CALLEE, CALL_BODY, CALL_BACK, CALL_ROUTE, CHOOSER, LIBRARY_POLICY, PROXY_POLICY, CALL_POOL = range(9)

HOST_ROW = 4
EJECTED_UNTIL, EJECTIONS = range(2)
ACTIVE, FAILURES_IN_ROW = range(4, 6)

POLICY_STATE_ROW = 3
STATE_ACTIVE, STATE_RETRYING, STATE_HEAD, STATE_TAIL, STATE_LENGTH = range(5)

POOL_STATE_ROW = 2
POOL_TURN, POOL_HEAD, POOL_TAIL, POOL_LENGTH = range(4)

CONNECTION_ROW = 2
CONNECTION_BUSY = 0
"""The second word is the key of its random numbers; 0: closed."""

QUOTA_ROW = 5
QUOTA_NS, QUOTA_LEFT, QUOTA_PERIOD = range(3)
QUOTA_HEAD, QUOTA_TAIL, QUOTA_LENGTH = range(6, 9)

SPAN_ROW = 10
(
    SPAN_RECORD, SPAN_NUMBER, SPAN_PARENT, SPAN_CALL, SPAN_SOURCE, SPAN_DESTINATION, SPAN_START, SPAN_END,
    SPAN_DETACHED, SPAN_STATUS,
) = range(10)  # fmt: skip
SEGMENT_ROW = 5
SEGMENT_SPAN, SEGMENT_INSTRUCTION, SEGMENT_START, SEGMENT_END, SEGMENT_RUNNING = range(5)

# What the loop says when it comes back.
DONE, MORE_ROOM, BY_THE_CLOCK, PAUSE = range(4)

LONGEST_BITS = 46
"""Longest latency that is counted, 2**46 ns: 19 hours."""


def columns(sub_bits: int) -> int:
    """Buckets that count every latency up to the longest."""
    return (LONGEST_BITS - sub_bits - 1 << sub_bits) + (2 << sub_bits)


COLUMNS, CALL_COLUMNS = columns(SUB_BITS), columns(CALL_SUB_BITS)
BINS = 512
