"""What an engine writes down while it runs: histograms, whole requests of a sample, and the sums for the audit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from meshsim.engines.station import Station
from meshsim.plan.draws import SAMPLE, child_key, draw
from meshsim.plan.plan import Ints, Plan, Status
from meshsim.results.histogram import BatchedHistogram
from meshsim.results.run import RequestRecord, RunResult, Span, StationSums
from meshsim.results.timeline import Timeline
from meshsim.scenario.scenario import Run

BATCHES = 20
"""Batches of consecutive requests, for intervals: enough degrees of freedom, each long enough to stand alone."""
SUB_BITS = 8
"""A bucket of latency is at most 2**-8 (0.4 %) wide."""
CALL_SUB_BITS = 5
"""Calls are kept coarser (3 %) than end-to-end latency: there may be many thousands of them."""
MOST_ENTRIES = 64
"""With more entries than that, each of them is kept as a call is: in one batch, and coarser."""
PROGRESS_EVERY = 100


def entry_resolution(plan: Plan) -> tuple[int, int]:
    """(batches, sub_bits) of the histogram of each entry."""
    return (BATCHES, SUB_BITS) if plan.entry_calls <= MOST_ENTRIES else (1, CALL_SUB_BITS)


class Recorder:
    """Collects one run. Times are ns; ``now`` never goes back."""

    def __init__(
        self,
        plan: Plan,
        settings: Run,
        on_progress: Callable[[int, int], None] | None,
        should_stop: Callable[[], bool] | None,
    ) -> None:
        self.plan = plan
        self.settings = settings
        self.on_progress = on_progress
        self.should_stop = should_stop
        self.first = round(settings.requests * settings.warmup)
        self.measured = settings.requests
        self.last = self.first + self.measured - 1
        self.root_key = child_key(settings.seed, 0)
        self.sample_below = min(1 << 32, (settings.sample << 32) // max(1, self.measured))
        self.latency = BatchedHistogram(BATCHES, SUB_BITS)
        self.entry_latency = [BatchedHistogram(*entry_resolution(plan)) for _ in range(plan.entry_calls)]
        self.call_latency = [BatchedHistogram(1, CALL_SUB_BITS) for _ in plan.call_names]
        self.sent = self.answered_all = self.answered_measured = self.events = 0
        self.failed_all = self.failed_measured = 0
        self.failures = [0] * len(Status)
        self.timeline = Timeline()
        self.finished = self.cancelled = False
        self.records: dict[int, RequestRecord] = {}

        self.tags = len(plan.tags)
        self.rows = len(plan.service_names) + plan.waypoints
        self.cpu = [0] * (self.rows * self.tags)
        self.cpu_at_start, self.cpu_at_end = self.cpu, self.cpu
        self.window_start = self.window_end = -1
        self.instruction_tag: list[int] = plan.tag.tolist()
        self.pod_row: list[int] = plan.pod_service.tolist()

    # Requests and frames ----------------------------------------------------------------------------------------

    def arrived(self, number: int, now: int) -> None:
        """Request ``number`` came in."""
        self.sent += 1
        if number == self.first:
            self.window_start, self.cpu_at_start = now, self.cpu.copy()
        if number == self.last:
            self.window_end, self.cpu_at_end = now, self.cpu.copy()
        if (
            self.first <= number <= self.last
            and draw(child_key(self.root_key, number), SAMPLE) >> 32 < self.sample_below
        ):
            self.records[number] = RequestRecord(number, [])

    def started(self, frame: Any, now: int) -> None:
        """A frame begins; it is written down if its request is in the sample."""
        record = self.records.get(frame.request.number)
        if record is not None:
            parent = -1 if frame.parent is None else frame.parent.number
            source, destination, _ = frame.pods
            frame.span = Span(frame.number, parent, frame.call, source, destination, now, detached=frame.detached)
            record.spans.append(frame.span)

    def reached(self, frame: Any, pod: int) -> None:
        """The pod that a call goes to was chosen after it began."""
        if frame.span is not None:
            frame.span.destination = pod

    def started_late(self, frame: Any, now: int) -> None:
        """An attempt that waited for a connection has it: until now its caller waited, not it."""
        if frame.span is not None:
            frame.span.start_ns = now

    def segment(self, frame: Any, now: int) -> None:
        """The instruction that a frame waited for is done, after some time off the CPU."""
        if frame.span is not None and now > frame.since:
            frame.span.segments.append((frame.pc, frame.since, now, 0))

    def worked(self, frame: Any, pod: int, now: int) -> None:
        """A visit to a core is over: charge its parts to the pod whose traffic it was.

        In a sampled request the time in line is written down with the first part; the parts follow each other.
        """
        row = self.pod_row[pod] * self.tags
        for number, ns in frame.parts:
            self.cpu[row + self.instruction_tag[number]] += ns
        if frame.span is not None:
            start, end = frame.since, now - frame.asked
            for number, ns in frame.parts:
                end += ns
                frame.span.segments.append((number, start, end, ns))
                start = end

    def failed(self, status: int) -> None:
        """A failure began."""
        self.failures[status] += 1

    def given_up(self, frame: Any, now: int, over: bool) -> None:
        """Nobody waits for an attempt any more; ``over``: nor does it go on."""
        if frame.span is not None:
            frame.span.detached = True
            if over:
                frame.span.end_ns = now

    def ended(self, frame: Any, now: int) -> None:
        """A frame is over."""
        if frame.span is not None:
            frame.span.end_ns = now
            frame.span.status = frame.status
        seen = frame.call >= 0 and frame.tries is None and not frame.reset
        if seen and self.first <= frame.request.number <= self.last:
            self.call_latency[frame.call].add(0, now - frame.started)

    def answered(self, frame: Any, now: int) -> None:
        """The client has its answer, good or bad. Latency counts good ones only."""
        good = frame.status == 0
        self.timeline.add(now, now - frame.started, good)
        if good:
            self.answered_all += 1
        else:
            self.failed_all += 1
        number = frame.request.number
        if self.first <= number <= self.last:
            self.answered_measured += 1
            if good:
                batch = (number - self.first) * BATCHES // self.measured
                self.latency.add(batch, now - frame.started)
                entry = self.entry_latency[frame.call]
                entry.add(batch * entry.batches // BATCHES, now - frame.started)
            else:
                self.failed_measured += 1
            self.finished = self.answered_measured == self.measured
        # Asked during the warm-up too, which can be longer than what is measured.
        if (self.answered_all + self.failed_all) % PROGRESS_EVERY == 0 or self.finished:
            if self.on_progress is not None:
                self.on_progress(self.answered_measured, self.measured)
            if self.should_stop is not None and not self.finished and self.should_stop():
                self.finished = self.cancelled = True

    # The end ----------------------------------------------------------------------------------------------------

    def result(
        self, now: int, stations: Sequence[Station], counts: dict[str, int], scaling: list[tuple[int, int, int]]
    ) -> RunResult:
        """Close the integrals at ``now`` and hand everything over."""
        for station in stations:
            station.up_to(now)
        if self.window_end < 0:  # cancelled before the last measured request came
            self.window_end, self.cpu_at_end = now, self.cpu
        if self.window_start < 0:
            self.window_start = now
        complete = [r for r in self.records.values() if r.spans and r.spans[0].end_ns >= 0]
        return RunResult(
            plan=self.plan,
            engine="reference",
            seed=self.settings.seed,
            latency=self.latency,
            entry_latency=self.entry_latency,
            call_latency=self.call_latency,
            window_ns=self.window_end - self.window_start,
            cpu_ns=(_ints(self.cpu_at_end) - _ints(self.cpu_at_start)).reshape(self.rows, self.tags),
            stations=StationSums(
                arrivals=_ints([station.arrivals for station in stations]),
                completions=_ints([station.completions for station in stations]),
                busy_ns=_ints([station.busy_ns for station in stations]),
                present_ns=_ints([station.present_ns for station in stations]),
                sojourn_ns=_ints([station.sojourn_until(now) for station in stations]),
                charged_ns=_ints([station.charged_until(now) for station in stations]),
            ),
            sent=self.sent,
            answered=self.answered_all,
            failed=self.failed_all,
            in_flight=self.sent - self.answered_all - self.failed_all,
            measured=self.answered_measured,
            measured_failed=self.failed_measured,
            failures={status.name: self.failures[status] for status in Status if status},
            counts=counts,
            timeline=self.timeline,
            scaling=scaling,
            events=self.events,
            end_ns=now,
            records=complete,
            cancelled=self.cancelled,
        )


def _ints(values: list[int]) -> Ints:
    return np.array(values, np.int64)
