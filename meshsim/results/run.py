"""What an engine hands back: counts and integer sums, nothing estimated yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from meshsim.plan.plan import Ints, Plan
from meshsim.results.histogram import BatchedHistogram
from meshsim.results.timeline import Timeline


@dataclass
class Span:
    """One frame of a sampled request: a call as its caller saw it, a branch, or work after the answer."""

    number: int
    """Ordinal in the request; the entry is 0."""
    parent: int
    """Ordinal of the frame that started it, -1 for the entry."""
    call: int
    """Number of the call, -1 for a branch or detached work."""
    source: int
    destination: int
    start_ns: int
    end_ns: int = -1
    detached: bool = False
    """Nobody waits for it: telemetry, or an attempt that was given up."""
    status: int = 0
    """How it ended: ``meshsim.plan.plan.Status``."""
    segments: list[tuple[int, int, int, int]] = field(default_factory=list)
    """(instruction, start, end, running): in order and gapless; ``running`` is the part spent on a core."""


@dataclass
class RequestRecord:
    """A whole request, kept for attribution and traces."""

    request: int
    spans: list[Span]


@dataclass
class StationSums:
    """Integer sums over the whole run, one entry a station, from independent counters."""

    arrivals: Ints
    completions: Ints
    busy_ns: Ints
    """Integral of busy servers over time."""
    present_ns: Ints
    """Integral of the number present (waiting or served) over time."""
    sojourn_ns: Ints
    """Sum of the times spent by those who left, plus, at the end of the run, by those still there."""
    charged_ns: Ints
    """Service time asked for by those served, less what was not yet given at the end of the run (CPU stations)."""


@dataclass
class RunResult:
    """One finished (or cancelled) simulation of one plan."""

    plan: Plan
    engine: str
    seed: int
    latency: BatchedHistogram
    """End-to-end latency of the measured requests that had a good answer, ns, in batches of consecutive requests."""
    entry_latency: list[BatchedHistogram]
    """The same by entry; in one batch, and coarser, where there are many entries."""
    call_latency: list[BatchedHistogram]
    """By call, as the caller sees it, one batch, coarser."""
    window_ns: int
    """From the arrival of the first measured request to that of the last."""
    cpu_ns: Ints
    """(services + waypoints, tags) CPU time spent in the window, by whose traffic it was."""
    stations: StationSums
    sent: int
    answered: int
    failed: int
    in_flight: int
    measured: int
    events: int
    end_ns: int
    records: Sequence[RequestRecord]
    cancelled: bool = False
    measured_failed: int = 0
    """Of the measured requests; ``measured`` counts good and failed ones."""
    failures: dict[str, int] = field(default_factory=dict)
    """Where failures began, by ``Status``, over the whole run: a failure that is retried or borne is in here too."""
    counts: dict[str, int] = field(default_factory=dict)
    """What resilience did, over the whole run: attempts, retries, hedges, timeouts, ejections, …"""
    scaling: list[tuple[int, int, int]] = field(default_factory=list)
    """(time ns, service, pods that get requests) of autoscaled services, whenever that changed."""
    timeline: Timeline = field(default_factory=Timeline)
