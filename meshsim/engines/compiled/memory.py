"""The arrays of a run: a plan packed into rows, room that grows as needed, and the result read out of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from meshsim.engines.compiled import state as at
from meshsim.engines.compiled.balancer import POLICY_ROW, RING, RING_LENGTH, ROUTE_ROW
from meshsim.engines.compiled.connections import POOL_ROW
from meshsim.engines.connections import CONNECTION
from meshsim.engines.faults import NORMAL
from meshsim.engines.frame import CLOCK
from meshsim.engines.recorder import BATCHES, CALL_SUB_BITS, SUB_BITS, entry_resolution
from meshsim.plan.arrivals import CLOSED
from meshsim.plan.draws import STRIDE, child_key
from meshsim.plan.plan import BY_TURN, CPU_SLOT, Ints, Op, Plan, Status
from meshsim.plan.routes import POLICY, POOL, ROUTE
from meshsim.results.histogram import BatchedHistogram
from meshsim.results.run import RunResult, StationSums
from meshsim.results.sample import Sample
from meshsim.results.timeline import Timeline
from meshsim.scenario.base import MeshsimError
from meshsim.scenario.scenario import Run

MASK64 = (1 << 64) - 1
STARTS = (Op.START, Op.SPAWN, Op.DETACH, Op.ATTEMPT)
GROWING = {
    "FRAMES": (at.FRAME, "FRAMES_LIMIT"),
    "REQUESTS": (at.REQUEST_ROW, "REQUESTS_LIMIT"),
    "TRIES": (at.TRIES_ROW, "TRIES_LIMIT"),
    "NODES": (at.NODE_ROW, "PENDING_LIMIT"),
    "SPANS": (at.SPAN_ROW, "SPANS_LIMIT"),
    "SEGMENTS": (at.SEGMENT_ROW, "SEGMENTS_LIMIT"),
}
"""Arrays that grow: words in a row, and the count in use from which there must be more room."""
USED = {
    "FRAMES": at.FRAMES_LIVE, "REQUESTS": at.REQUESTS_LIVE, "TRIES": at.TRIES_LIVE, "NODES": at.PENDING,
    "SPANS": at.SPANS_USED, "SEGMENTS": at.SEGMENTS_USED,
}  # fmt: skip
WRITTEN = {
    "FRAMES": at.FRAMES_USED, "COLD": at.FRAMES_USED, "REQUESTS": at.REQUESTS_USED, "TRIES": at.TRIES_USED,
    "NODES": at.NODES_USED, "CHUNKS": at.CHUNKS_USED, "NEAR": at.NEAR_COUNT, "FAR": at.FAR_COUNT,
    "SPANS": at.SPANS_USED, "SEGMENTS": at.SEGMENTS_USED,
}  # fmt: skip
"""Rows that were ever written: a larger array takes over those alone, so that the rest of it needs no memory yet."""


def signed(key: int) -> int:
    """64 bits as numpy's int64 holds them."""
    return key - (1 << 64) if key >> 63 else key


class Memory:
    """Everything that the loop reads and writes."""

    def __init__(self, plan: Plan, settings: Run) -> None:
        self.plan = plan
        self.settings = settings
        self.state: Ints = np.zeros(at.SIZE, np.int64)
        self.arrays: dict[str, NDArray[Any]] = {}
        self.rows: dict[str, int] = {}
        longest, starts = longest_stretch(plan)
        self.stretch, self.starts = longest + 2, starts + 2
        self.by_turn = bool(((plan.op == Op.RELEASE) & (plan.amount == BY_TURN)).any())
        self._counters()
        self._pack_plan()
        self._pack_mechanisms()
        self._pack_recorder()
        for name in GROWING:
            self._allocate(name, 1024)
        self._limits()

    def __getitem__(self, name: int) -> int:
        return int(self.state[name])

    def keep(self, name: str, array: NDArray[Any]) -> NDArray[Any]:
        """Hold an array, and write its address where the loop looks for it."""
        self.arrays[name] = array = np.ascontiguousarray(array)
        if not array.size:  # an address that is never read
            self.arrays[name] = array = np.zeros(1, np.int64)
        self.state[getattr(at, name)] = array.ctypes.data
        return array

    # Room -------------------------------------------------------------------------------------------------------

    def _allocate(self, name: str, rows: int) -> None:
        self._enlarge(name, rows, GROWING[name][0])
        self.rows[name] = rows
        if name == "NODES":  # all that is pending may be in one of the heaps
            for heap in ("NEAR", "FAR"):
                self._enlarge(heap, rows, at.EVENT)
            # Full ones, one of each block that is not, and as many again while all is placed anew.
            self._enlarge("CHUNKS", 2 * (rows // at.IN_A_CHUNK + at.BLOCKS), at.CHUNK_ROW)
        if name == "FRAMES" and (self[at.ROUTED] or self[at.FAULTY]):
            self._enlarge("COLD", rows, at.COLD_PART)

    def _enlarge(self, name: str, rows: int, words: int) -> None:
        new = np.zeros(rows * words, np.int64)
        if name in self.arrays:
            written = self[WRITTEN[name]] * words
            new[:written] = self.arrays[name][:written]
        self.keep(name, new)

    def _limits(self) -> None:
        """One step starts few frames, but may touch all that stand in a line or were served in a turn, or set off a
        period's worth of turns."""
        while self.rows["FRAMES"] < 2 * self.starts:
            self._allocate("FRAMES", 2 * self.rows["FRAMES"])
        frames = self.rows["FRAMES"]
        at_once = self[at.CLIENTS] + len(self.arrays["INBOX"]) // 4  # events that the loop begins with
        slack = {
            "FRAMES": self.starts, "REQUESTS": 2, "TRIES": 2,
            "NODES": max(at_once, 4 * self.starts + (frames if self[at.PERIOD_NS] else 0)),
            "SPANS": self.starts,
            "SEGMENTS": 2 * self.stretch + (frames if self[at.FAULTY] or self[at.RESETTING] or self.by_turn else 0),
        }  # fmt: skip
        for name, need in slack.items():
            while self.rows[name] < 2 * need:
                self._allocate(name, 2 * self.rows[name])
            self.state[getattr(at, GROWING[name][1])] = self.rows[name] - need

    def _refuse_overflow(self) -> None:
        """RuntimeError if the loop wrote beyond an array: ``_limits`` reserved too little, and no figure is right."""
        for name in GROWING:
            if self.state[WRITTEN[name]] > self.rows[name]:
                raise RuntimeError(f"{name}: {self.state[WRITTEN[name]]} rows written, room for {self.rows[name]}")

    def grow(self) -> None:
        """Double what is full."""
        self._refuse_overflow()
        for name, (_, limit) in GROWING.items():
            if self.state[USED[name]] >= self.state[getattr(at, limit)]:
                self._allocate(name, 2 * self.rows[name])
        self._limits()

    def put(self, time: int, order: int, about: int, extra: int) -> None:
        """An event from outside, for the next time the loop is entered."""
        inbox, used = self.arrays["INBOX"], self[at.INBOX_USED]
        if 4 * used + 4 > len(inbox):
            inbox = self.keep("INBOX", np.concatenate([inbox, np.zeros_like(inbox)]))
        inbox[4 * used : 4 * used + 4] = (time, order, about, extra)
        self.state[at.INBOX_USED] = used + 1
        if "NODES" in self.rows and self[at.PENDING] + used >= self[at.PENDING_LIMIT]:
            self._allocate("NODES", 2 * self.rows["NODES"])
            self._limits()

    # Packing ----------------------------------------------------------------------------------------------------

    def _set(self, **values: int) -> None:
        for name, value in values.items():
            self.state[getattr(at, name)] = value

    def _counters(self) -> None:
        plan, settings = self.plan, self.settings
        load, routes = plan.arrivals, plan.routes
        root_key = child_key(settings.seed, 0)
        first = round(settings.requests * settings.warmup)
        self._set(
            READY_HEAD=-1, READY_TAIL=-1, FRAMES_FREE=-1, REQUESTS_FREE=-1, TRIES_FREE=-1, NODES_FREE=-1,
            CHUNKS_FREE=-1, WIDTH=12, BUCKET_COUNT=256, BLOCK=18, NEAR_END=1 << 12, WHEEL_END=1 << 20, TUNE_AT=256,
            SLOTS=plan.pod_station.shape[1], TAGS=len(plan.tags), ENTRIES=plan.entry_calls, GAP_LAW=plan.gap_law,
            EXPONENTIAL_LAW=plan.exponential_law, FAULTY=int(len(plan.faults) > 0),
            MANY_STATIONS=int(len(plan.station_servers) > 1 << 12),
            ROUTED=int(bool((routes.call_route >= 0).any() or (routes.call_policy >= 0).any())),
            RESETTING=int((routes.policies.columns["resets"] > 0).any()), AN_END=int(np.argmax(plan.op == Op.END)),
            PINNED=int(plan.slot_workers.max(initial=1) > 1),
            PERIOD_NS=plan.quotas.period_ns if len(plan.quotas) else 0,
            ROOT_KEY=signed(root_key), CONNECTION_KEY=signed(child_key(root_key, CONNECTION)),
            LOAD_KIND=load.kind, BURST=load.burst, CLIENTS=load.clients, THINK_NS=load.think_ns,
            THINK_CONSTANT=int(load.think_constant), SHIFT=load.shift, PIECES=len(load.length),
            FIRST=first, LAST=first + settings.requests - 1, MEASURED=settings.requests,
            SAMPLE_BELOW=min(1 << 32, (settings.sample << 32) // max(1, settings.requests)),
            WINDOW_START=-1, WINDOW_END=-1, BIN_NS=1 << 20,
        )  # fmt: skip
        assert (load.kind == CLOSED) == (load.clients > 0)

    def _pack_plan(self) -> None:
        plan = self.plan
        m = len(plan.op)
        program = np.zeros((m, at.INSTRUCTION), np.int64)
        strides = [(purpose + 1) * STRIDE & MASK64 for purpose in plan.purpose.tolist()]
        program[:, at.MEAN_NS], program[:, at.AMOUNT] = plan.mean_ns, plan.amount
        program[:, at.PURPOSE_STRIDE] = np.array(strides, np.uint64).view(np.int64)
        narrow = program.view(np.int32)
        columns = {
            at.OP: plan.op, at.AT: plan.at, at.OTHER: plan.other, at.WHEN: plan.when, at.SLOT: plan.slot,
            at.TARGET: plan.target, at.LAW: plan.law, at.TAG: plan.tag, at.PURPOSE: plan.purpose,
        }  # fmt: skip
        for field, column in columns.items():
            narrow[:, field] = column
        self.keep("PROGRAM", program)
        self.keep("LAWS", plan.laws)
        self.keep("POD_STATION", plan.pod_station.astype(np.int32))
        self.keep("POD_NODE", plan.pod_station[:, CPU_SLOT].astype(np.int32))
        self.keep("POD_ZONE", plan.pod_zone.astype(np.int32))
        self.keep("POD_ROW", plan.pod_service.astype(np.int32))
        self.keep("ENTRY_THRESHOLD", plan.entry_threshold)
        self.keep("SLOT_WORKERS", plan.slot_workers)

        services = np.zeros((len(plan.service_pods), at.SERVICE_ROW), np.int64)
        narrow = services.view(np.int32)
        narrow[:, at.FIRST_POD], narrow[:, at.POD_COUNT] = plan.service_first_pod, plan.service_pods
        narrow[:, at.MOST_PODS] = plan.service_pods
        narrow[:, at.FIRST_VIA], narrow[:, at.VIA_COUNT] = plan.service_first_via, plan.service_vias
        self.keep("SERVICES", services)

        routes = plan.routes
        calls = np.zeros((len(plan.call_program), at.CALL_ROW), np.int64)
        narrow = calls.view(np.int32)
        narrow[:, at.CALL_PROGRAM], narrow[:, at.CALLEE] = plan.call_program, plan.call_service
        narrow[:, at.CALL_BODY], narrow[:, at.CALL_BACK] = plan.call_body, behind_body(plan)
        narrow[:, at.CALL_ROUTE], narrow[:, at.CHOOSER] = routes.call_route, routes.call_chooser
        narrow[:, at.LIBRARY_POLICY], narrow[:, at.PROXY_POLICY] = routes.call_policy
        narrow[:, at.CALL_POOL] = routes.call_pool
        self.keep("CALLS", calls)

        stations = np.zeros((len(plan.station_servers), at.STATION), np.int64)
        stations[:, at.SLICE_NS], stations[:, at.CRASHED_AT] = plan.station_slice_ns, -1
        narrow = stations.view(np.int32)
        narrow[:, at.SERVERS] = narrow[:, at.FREE] = plan.station_servers
        narrow[:, at.PLACES] = plan.station_line
        self.stations = self.keep("STATIONS", stations)

        load = plan.arrivals
        self.keep("LENGTHS", load.length)
        self.keep("GAP_MEANS", load.gap_mean)
        self.keep("THOUGHTS", np.zeros(load.clients, np.int64))

    def _pack_mechanisms(self) -> None:
        plan = self.plan
        routes, quotas = plan.routes, plan.quotas
        pods = len(plan.pod_node)
        self.keep("INBOX", np.zeros(64, np.int64))
        self.keep("BUCKETS", np.zeros(at.MOST_BUCKETS, np.int32))
        self.keep("BLOCK_HEADS", np.zeros(2 * at.BLOCKS, np.int32))
        self.keep("FAULTS", plan.faults)
        for number, (start, end) in enumerate(plan.faults[:, :2].tolist()):
            self.put(start, CLOCK << 60 | 2 * number << 20, number, 1)
            self.put(end, CLOCK << 60 | (2 * number + 1) << 20, number, 0)
        self.keep("SLOWNESS", np.full(pods, NORMAL, np.int64))
        self.keep("ERROR_SHARE", np.zeros(pods, np.int64))
        self.keep("LIMITS", np.stack([routes.token_ns, routes.burst], axis=1))
        self.keep("FULL_AT", np.zeros(pods, np.int64))

        rows = np.zeros((len(quotas), at.QUOTA_ROW), np.int64)
        rows[:, at.QUOTA_NS] = rows[:, at.QUOTA_LEFT] = quotas.quota_ns
        self.keep("QUOTAS", rows)
        self.keep("POD_QUOTA", quotas.pod_quota)

        table = np.zeros((len(routes.routes), ROUTE_ROW), np.int64)
        for number, name in enumerate(ROUTE):
            table[:, number] = routes.routes.columns[name]
        starts = np.concatenate([[0], np.cumsum([len(ring) for ring in routes.rings])]).astype(np.int64)
        for row in table:
            if row[RING] >= 0:
                row[RING_LENGTH] = len(routes.rings[row[RING]])
                row[RING] = starts[row[RING]]
        self.keep("ROUTES", table)
        self.keep("RINGS", np.concatenate([*routes.rings, np.zeros(0, np.int64)]))
        self.keep("ROUTE_TURNS", np.full(routes.states, -1, np.int64))
        self.keep("HOSTS", np.zeros(routes.hosts * at.HOST_ROW, np.int64))
        policies = np.zeros((len(routes.policies), POLICY_ROW), np.int64)
        for number, name in enumerate(POLICY):
            policies[:, number] = routes.policies.columns[name]
        self.keep("POLICIES", policies)
        self.keep("POLICY_STATES", np.zeros(routes.policy_states * at.POLICY_STATE_ROW, np.int64))
        pools = np.zeros((len(routes.pools), POOL_ROW), np.int64)
        for number, name in enumerate(POOL):
            pools[:, number] = routes.pools.columns[name]
        self.keep("POOLS", pools)
        self.keep("POOL_STATES", np.zeros(routes.pool_count * at.POOL_STATE_ROW, np.int64))
        self.keep("CONNECTIONS", np.zeros(routes.connection_count * at.CONNECTION_ROW, np.int64))
        self.keep("CONNECTION_POD", np.full(routes.connection_count, -1, np.int32))

    def _pack_recorder(self) -> None:
        plan = self.plan
        cells = (len(plan.service_names) + plan.waypoints) * len(plan.tags)
        self.state[at.CPU_CELLS] = cells
        for name in ("CPU", "CPU_AT_START", "CPU_AT_END"):
            self.keep(name, np.zeros(cells, np.int64))
        self.keep("LATENCY", np.zeros((BATCHES, at.COLUMNS), np.int32))
        self.keep("LATENCY_SUM", np.zeros(BATCHES, np.int64))
        batches, sub_bits = entry_resolution(plan)
        columns = at.columns(sub_bits)
        self._set(ENTRY_BATCHES=batches, ENTRY_SUB_BITS=sub_bits, ENTRY_COLUMNS=columns)
        self.keep("ENTRY_LATENCY", np.zeros((plan.entry_calls, batches, columns), np.int32))
        self.keep("ENTRY_SUM", np.zeros((plan.entry_calls, batches), np.int64))
        self.keep("CALL_LATENCY", np.zeros((len(plan.call_names), at.CALL_COLUMNS), np.int32))
        self.keep("CALL_SUM", np.zeros(len(plan.call_names), np.int64))
        self.keep("FAILURES", np.zeros(len(Status), np.int64))
        self.keep("TIMELINE", np.zeros((3, at.BINS), np.int64))
        self.keep("RECORDS", np.zeros(self.settings.requests if self[at.SAMPLE_BELOW] else 1, np.int64))

    # Reading ----------------------------------------------------------------------------------------------------

    def result(self, scaling: list[tuple[int, int, int]], cancelled: bool) -> RunResult:
        """What the reference engine hands over, from the same counters."""
        self._refuse_overflow()
        if self[at.TOO_LONG]:
            raise MeshsimError(
                "a request took longer than 19 hours of simulated time, more than the compiled engine counts; "
                "use --engine reference"
            )
        now, plan, arrays = self[at.NOW], self.plan, self.arrays
        rows = len(plan.service_names) + plan.waypoints
        window_start, window_end, at_end = self[at.WINDOW_START], self[at.WINDOW_END], arrays["CPU_AT_END"]
        at_start = arrays["CPU_AT_START"]
        if window_end < 0:  # cancelled before the last measured request came
            window_end, at_end = now, arrays["CPU"]
        if window_start < 0:
            window_start, at_start = now, arrays["CPU"]
        entries = [
            histogram(cells, sums, self[at.ENTRY_SUB_BITS])
            for cells, sums in zip(arrays["ENTRY_LATENCY"], arrays["ENTRY_SUM"], strict=True)
        ]
        whole = histogram(arrays["LATENCY"], arrays["LATENCY_SUM"], SUB_BITS)
        calls = [
            histogram(cells[None], sums[None], CALL_SUB_BITS)
            for cells, sums in zip(arrays["CALL_LATENCY"], arrays["CALL_SUM"], strict=True)
        ]
        answered, failed, sent = self[at.ANSWERED], self[at.FAILED], self[at.SENT]
        return RunResult(
            plan=plan,
            engine="compiled",
            seed=self.settings.seed,
            latency=whole,
            entry_latency=entries,
            call_latency=calls,
            window_ns=window_end - window_start,
            cpu_ns=(at_end - at_start)[: rows * len(plan.tags)].reshape(rows, len(plan.tags)),
            stations=self._station_sums(now),
            sent=sent,
            answered=answered,
            failed=failed,
            in_flight=sent - answered - failed,
            measured=self[at.ANSWERED_MEASURED],
            measured_failed=self[at.FAILED_MEASURED],
            failures={status.name: int(arrays["FAILURES"][status]) for status in Status if status},
            counts={
                "attempts": self[at.ATTEMPTS],
                "retries": self[at.RETRIED],
                "hedges": self[at.HEDGED],
                "timeouts": self[at.TIMEOUTS],
                "wasted_answers": self[at.WASTED_ANSWERS],
                "circuit_open": self[at.CIRCUIT_OPENED],
                "resets": self[at.RESETS],
                "ejections": int(arrays["HOSTS"].reshape(-1, at.HOST_ROW)[:, at.EJECTIONS].sum())
                if plan.routes.hosts
                else 0,
                "connections": self[at.OPENED_CONNECTIONS],
                "cpu_throttles": self[at.THROTTLES],
            },
            timeline=self._timeline(),
            scaling=scaling,
            events=self[at.EVENTS],
            end_ns=now,
            records=self._sample(),
            cancelled=cancelled,
        )

    def _station_sums(self, now: int) -> StationSums:
        rows, fields = self.stations, self.stations.view(np.int32)
        passed = now - rows[:, at.SEEN_AT]
        present, turns = fields[:, at.PRESENT].astype(np.int64), fields[:, at.TURNS].astype(np.int64)
        busy = (fields[:, at.SERVERS] - fields[:, at.FREE]).astype(np.int64)
        return StationSums(
            arrivals=rows[:, at.ARRIVALS].copy(),
            completions=rows[:, at.COMPLETIONS].copy(),
            busy_ns=rows[:, at.BUSY_NS] + busy * passed,
            present_ns=rows[:, at.PRESENT_NS] + present * passed,
            sojourn_ns=rows[:, at.SOJOURN_NS] + present * now - rows[:, at.ENTRY_TIMES],
            charged_ns=rows[:, at.TURNS_NS] - (rows[:, at.TURN_ENDS] - turns * now),
        )

    def _timeline(self) -> Timeline:
        timeline = Timeline()
        timeline.width_ns = self[at.BIN_NS]
        timeline.good, timeline.failed, timeline.latency_ns = (row.tolist() for row in self.arrays["TIMELINE"])
        return timeline

    def _sample(self) -> Sample:
        """Whole requests of the sample whose answer is there, with all that was written down of them."""
        used = self[at.SPANS_USED]
        spans = self.arrays["SPANS"][: used * at.SPAN_ROW].reshape(used, at.SPAN_ROW)
        used = self[at.SEGMENTS_USED]
        segments = self.arrays["SEGMENTS"][: used * at.SEGMENT_ROW].reshape(used, at.SEGMENT_ROW)
        return Sample(self.arrays["RECORDS"][: self[at.RECORDS_USED]].copy(), spans.copy(), segments.copy())


def histogram(cells: NDArray[Any], sums: Ints, sub_bits: int) -> BatchedHistogram:
    """(batches, columns) counts as a histogram with as many columns as it needs."""
    result = BatchedHistogram(len(cells), sub_bits)
    filled = np.flatnonzero(cells.any(axis=0))
    if len(filled):
        columns = ((int(filled[-1]) >> sub_bits) + 1) << sub_bits
        result._hold(cells[:, :columns].astype(np.int64))
    result.sum_ns = [int(value) for value in sums]
    return result


def behind_body(plan: Plan) -> Ints:
    """(c,) the instruction behind BODY in the hop of each call: where its body comes back to."""
    bodies = np.flatnonzero(plan.op == Op.BODY)
    behind: Ints = bodies[np.searchsorted(bodies, plan.call_program)] + 1
    return behind


def longest_stretch(plan: Plan) -> tuple[int, int]:
    """Most instructions, and most new frames, that one frame can run through at one instant: a hop and a body, whole.

    An END does not end a program: the blocks of frames that are started beside it have one, too.
    """
    first = np.unique(np.concatenate([plan.call_program, plan.call_body]))
    starts = np.isin(plan.op, STARTS).astype(np.int64)
    instructions, frames = (np.add.reduceat(each, first) for each in (np.ones_like(starts), starts))
    hops, bodies = (np.searchsorted(first, np.unique(each)) for each in (plan.call_program, plan.call_body))

    def most(each: Ints) -> int:
        return int(each[hops].max() + each[bodies].max())

    return most(instructions), most(frames)
