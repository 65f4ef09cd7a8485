"""A plan of two stations and four kinds of work, and records and sums made by hand."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from meshsim.plan.plan import Op, Tag
from meshsim.results.histogram import BatchedHistogram
from meshsim.results.run import RequestRecord, RunResult, Span, StationSums

WORK, PROXY, ACQUIRE, WAIT, JOIN, RELEASE, ATTEMPT = range(7)
"""Instructions of the plan, by number."""
APP = Tag("application", "application.compute")
FORWARD = Tag("proxy", "proxy.box.http1.request", kernel_share=0.25)
THREADS = Tag("application", "application.threads")
RETRY = Tag("application", "resilience.wait")
WIRE = Tag("network", "kernel.wire.same-node")


def plan() -> Any:
    """Only what attribution and audit look at."""
    return SimpleNamespace(
        op=np.array([Op.WORK, Op.WORK, Op.ACQUIRE, Op.WAIT, Op.JOIN, Op.RELEASE, Op.ATTEMPT]),
        tag=np.array([0, 1, 2, 3, -1, -1, 4]),
        tags=[APP, FORWARD, THREADS, WIRE, RETRY],
        station_names=["CPU of node 1", "threads of a-1"],
        station_servers=np.array([2, 4]),
        station_is_cpu=np.array([True, False]),
        station_load=np.array([0.001, 0.001]),
        rps=1000.0,
    )


def span(number: int, parent: int, segments: list[tuple[int, int, int, int]], **fields: Any) -> Span:
    """A frame that lasts from its first to its last segment."""
    return Span(number, parent, -1, 0, 0, segments[0][1], segments[-1][2], segments=segments, **fields)


def lone(request: int = 0, start: int = 1000, length: int = 100) -> RequestRecord:
    """A request of one span that waits 10 ns for a core and works for the rest."""
    return RequestRecord(request, [span(0, -1, [(WORK, start, start + length, length - 10)])])


def result(**changes: Any) -> RunResult:
    """A run of one request that took 100 ns, 90 of them on a core; all laws hold."""
    fields: dict[str, Any] = {
        "plan": plan(), "engine": "by hand", "seed": 1, "latency": BatchedHistogram.from_values([[100], []]),
        "entry_latency": [BatchedHistogram.from_values([[100], []])], "call_latency": [], "window_ns": 0,
        "cpu_ns": np.zeros((1, 5), np.int64), "stations": sums(), "sent": 2, "answered": 1, "failed": 0,
        "in_flight": 1, "measured": 1, "events": 3, "end_ns": 2000, "records": [lone()],
    }  # fmt: skip
    return RunResult(**{**fields, **changes})


def sums(**changes: list[int]) -> StationSums:
    """Sums of the run by hand: the second request has just come and waits for a thread."""
    fields = {
        "arrivals": [1, 2], "completions": [1, 1], "busy_ns": [90, 100],
        "present_ns": [100, 150], "sojourn_ns": [100, 150], "charged_ns": [90, 0],
    }  # fmt: skip
    return StationSums(**{name: np.array(value, np.int64) for name, value in {**fields, **changes}.items()})
