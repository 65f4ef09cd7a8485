"""What an engine writes down while it runs: histograms, whole requests of a sample, and the sums for the audit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from meshsim.plan.draws import SAMPLE, child_key, draw
from meshsim.plan.plan import Plan
from meshsim.results.histogram import BatchedHistogram
from meshsim.results.run import RequestRecord, RunResult, Span, StationSums
from meshsim.scenario.scenario import Run

BATCHES = 20
"""Batches of consecutive requests, for intervals: enough degrees of freedom, each long enough to stand alone."""
CALL_SUB_BITS = 5
"""Calls are kept coarser (3 %) than end-to-end latency: there may be many thousands of them."""
PROGRESS_EVERY = 100


class StationState(Protocol):
    """What is read of a station."""

    number: int
    servers: int
    free: int


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
        self.latency = BatchedHistogram(BATCHES)
        self.entry_latency = [BatchedHistogram(BATCHES) for _ in range(plan.entry_calls)]
        self.call_latency = [BatchedHistogram(1, CALL_SUB_BITS) for _ in plan.call_names]
        self.sent = self.answered_all = self.answered_measured = self.events = 0
        self.finished = self.cancelled = False
        self.records: dict[int, RequestRecord] = {}

        self.tags = len(plan.tags)
        self.cpu = [0] * ((len(plan.service_names) + plan.waypoints) * self.tags)
        self.cpu_at_start, self.cpu_at_end = self.cpu, self.cpu
        self.window_start = self.window_end = -1
        self.instruction_tag: list[int] = plan.tag.tolist()
        self.pod_row: list[int] = plan.pod_service.tolist()

        stations = len(plan.station_names)
        self.seen_at = [0] * stations  # when the integrals below were last brought up to date
        self.present = [0] * stations
        self.present_ns = [0] * stations
        self.busy_ns = [0] * stations
        self.arrivals = [0] * stations
        self.completions = [0] * stations
        self.sojourn_ns = [0] * stations
        self.entry_times = [0] * stations  # sum over those present
        self.turns_ns = [0] * stations
        self.turns = [0] * stations
        self.turn_ends = [0] * stations  # sum over the turns under way

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
            frame.span = Span(
                frame.number,
                parent,
                frame.call,
                frame.source,
                frame.destination,
                now,
                detached=frame.detached,
            )
            record.spans.append(frame.span)

    def segment(self, frame: Any, now: int, running: int) -> None:
        """The instruction that a frame waited for is done, after some time."""
        if frame.span is not None and now > frame.since:
            frame.span.segments.append((frame.pc, frame.since, now, running))

    def ended(self, frame: Any, now: int) -> None:
        """A frame is over."""
        if frame.span is not None:
            frame.span.end_ns = now
        if frame.call >= 0 and self.first <= frame.request.number <= self.last:
            self.call_latency[frame.call].add(0, now - frame.started)

    def answered(self, frame: Any, now: int) -> None:
        """The client has its answer."""
        self.answered_all += 1
        number = frame.request.number
        if not self.first <= number <= self.last:
            return
        batch = (number - self.first) * BATCHES // self.measured
        self.latency.add(batch, now - frame.started)
        self.entry_latency[frame.call].add(batch, now - frame.started)
        self.answered_measured += 1
        self.finished = self.answered_measured == self.measured
        if self.answered_measured % PROGRESS_EVERY == 0 or self.finished:
            if self.on_progress is not None:
                self.on_progress(self.answered_measured, self.measured)
            if self.should_stop is not None and not self.finished and self.should_stop():
                self.finished = self.cancelled = True

    def worked(self, frame: Any, pod: int, now: int) -> None:
        """A piece of work is done: charge it to the pod whose traffic it was."""
        self.cpu[self.pod_row[pod] * self.tags + self.instruction_tag[frame.pc]] += frame.asked

    # Stations ---------------------------------------------------------------------------------------------------

    def _bring_up_to_date(self, station: StationState, now: int) -> int:
        number = station.number
        passed = now - self.seen_at[number]
        if passed:
            self.present_ns[number] += self.present[number] * passed
            self.busy_ns[number] += (station.servers - station.free) * passed
            self.seen_at[number] = now
        return number

    def entered(self, station: StationState, now: int) -> None:
        """One more at the station, waiting or served. Called before ``free`` changes."""
        number = self._bring_up_to_date(station, now)
        self.present[number] += 1
        self.arrivals[number] += 1
        self.entry_times[number] += now

    def left(self, station: StationState, since: int, now: int) -> None:
        """One less, who had entered at ``since``. Called before ``free`` changes."""
        number = self._bring_up_to_date(station, now)
        self.present[number] -= 1
        self.completions[number] += 1
        self.entry_times[number] -= since
        self.sojourn_ns[number] += now - since

    def turn_begins(self, station: StationState, turn_ns: int, now: int) -> None:
        """A core is given away for ``turn_ns``."""
        number = station.number
        self.turns[number] += 1
        self.turns_ns[number] += turn_ns
        self.turn_ends[number] += now + turn_ns

    def turn_ends_now(self, station: StationState, now: int) -> None:
        """The turn is over."""
        self.turns[station.number] -= 1
        self.turn_ends[station.number] -= now

    # The end ----------------------------------------------------------------------------------------------------

    def result(self, now: int, stations: Sequence[StationState]) -> RunResult:
        """Close the integrals at ``now`` and hand everything over."""
        for station in stations:
            self._bring_up_to_date(station, now)
        n = range(len(stations))
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
            cpu_ns=(np.array(self.cpu_at_end, np.int64) - np.array(self.cpu_at_start, np.int64)).reshape(-1, self.tags),
            stations=StationSums(
                arrivals=np.array(self.arrivals, np.int64),
                completions=np.array(self.completions, np.int64),
                busy_ns=np.array(self.busy_ns, np.int64),
                present_ns=np.array(self.present_ns, np.int64),
                sojourn_ns=np.array(
                    [self.sojourn_ns[i] + self.present[i] * now - self.entry_times[i] for i in n], np.int64
                ),
                charged_ns=np.array(
                    [self.turns_ns[i] - (self.turn_ends[i] - self.turns[i] * now) for i in n], np.int64
                ),
            ),
            sent=self.sent,
            answered=self.answered_all,
            failed=0,
            in_flight=self.sent - self.answered_all,
            measured=self.answered_measured,
            events=self.events,
            end_ns=now,
            records=complete,
            cancelled=self.cancelled,
        )
