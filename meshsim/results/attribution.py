"""Where the time of a request went: its critical path, cut into pieces that somebody is to blame for.

The critical path follows the entry's frame. Where that frame waits for its children, the child that ended
last is what it waited for, so its path takes the place of the waiting. The pieces are integers and add up to
the end-to-end latency, to the nanosecond.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from meshsim.plan.plan import Component, Op, Plan, Tag
from meshsim.results.paths import OTHERS_FIRST, TAKES_TIME, Paths, critical_paths
from meshsim.results.rows import Attribution
from meshsim.results.run import RequestRecord, Span
from meshsim.results.sample import Sample
from meshsim.scenario.base import MeshsimError

Phase = Literal["running", "queueing", "waiting"]
PHASES: tuple[Phase, ...] = ("running", "queueing", "waiting")
US = 1000.0


class AttributionError(AssertionError):
    """A record contradicts itself: an engine wrote it wrongly. No input can cause this."""


@dataclass(frozen=True)
class Piece:
    """Part of a critical path: on a core, in line for a core or a token, or off the CPU (wire, wake-up)."""

    tag: Tag
    phase: Phase
    ns: int
    start_ns: int = field(default=-1, compare=False)
    span: int = field(default=-1, compare=False)
    """Ordinal of the frame that it belongs to."""
    instruction: int = field(default=-1, compare=False)


@dataclass(frozen=True)
class Stretch:
    """A segment of a span, or what of it lies in the time asked for."""

    instruction: int
    start: int
    end: int
    running: int


def critical_path(record: RequestRecord, plan: Plan) -> list[Piece]:
    """Pieces in order of time. AttributionError if they do not cover the latency without gap or overlap."""
    children = _children(record)
    entry = record.spans[0]
    now = entry.start_ns
    pieces: list[Piece] = []
    # A stack of spans under way, not recursion: call chains may be deeper than Python's stack.
    stack = [(entry, _since(entry, entry.start_ns))]
    while stack:
        span, stretches = stack[-1]
        stretch = next(stretches, None)
        if stretch is None:
            stack.pop()
            continue
        if stretch.start != now or not 0 <= stretch.running <= stretch.end - stretch.start:
            raise AttributionError(
                f"request {record.request}, span {span.number}: {stretch} does not follow on {now} ns"
            )
        op = int(plan.op[stretch.instruction])  # numpy's == is slow with an enum
        if op == Op.ATTEMPT:
            # The attempt that ended then; before it began (hedging), and if none did, its caller only waited.
            attempt = children.get((span.number, stretch.end))
            start = stretch.end if attempt is None else max(attempt.start_ns, stretch.start)
            if start > stretch.start:
                tag = plan.tags[int(plan.tag[stretch.instruction])]
                length = start - stretch.start
                pieces.append(Piece(tag, "waiting", length, stretch.start, span.number, stretch.instruction))
                now = start
            if attempt is not None:
                stack.append((attempt, _since(attempt, start)))
        elif op == Op.JOIN:
            child = children.get((span.number, stretch.end))
            if child is None:
                raise AttributionError(
                    f"request {record.request}, span {span.number}: no child ends with JOIN, {stretch.end} ns"
                )
            stack.append((child, _since(child, stretch.start)))
        else:
            pieces += _pieces(stretch, plan, span.number)
            now = stretch.end
    if now != entry.end_ns:
        raise AttributionError(
            f"request {record.request}: its path ends at {now} ns, the request itself at {entry.end_ns} ns"
        )
    return pieces


def attribute(
    records: Sequence[RequestRecord] | Paths, plan: Plan, cohort: tuple[float, float] | None = None
) -> list[Attribution]:
    """Mean time on the critical path over the records, us, by component and operation, largest first.

    The kernel's share of a piece of work is told apart as component ``kernel`` of the same operation.
    ``cohort`` (low, high) takes only the records whose latency lies between these two quantiles of the
    records' latencies: (0.99, 1.0) asks where the slowest hundredth spends its time. Without records there is
    nothing to tell: []. Who needs more than one cohort finds the paths once (``critical_paths``).
    """
    paths = records if isinstance(records, Paths) else critical_paths(Sample.of(records), plan)
    if paths.broken:
        raise AttributionError(next(iter(paths.broken.values())))
    chosen = _between(paths, *(cohort or (0.0, 1.0)))
    if not chosen.any():
        return []
    mine = chosen[paths.record]
    cells = paths.tag[mine] * len(PHASES) + paths.phase[mine]
    sums = np.zeros(len(plan.tags) * len(PHASES), dtype=np.int64)
    np.add.at(sums, cells, paths.ns[mine])
    totals: dict[tuple[Component, str], NDArray[np.float64]] = {}
    for tag, spent in zip(plan.tags, sums.reshape(-1, len(PHASES)).astype(np.float64), strict=True):
        if spent.any():
            in_kernel = np.array([tag.kernel_share * spent[0], 0.0, 0.0])
            _add(totals, (tag.component, tag.operation), spent - in_kernel)
            if in_kernel.any():
                _add(totals, ("kernel", tag.operation), in_kernel)
    scale = US * int(chosen.sum())
    largest_first = sorted(totals.items(), key=lambda item: (-item[1].sum(), item[0]))
    return [
        Attribution(
            component=component,
            operation=operation,
            **{f"{phase}_us": float(ns) / scale for phase, ns in zip(PHASES, spent, strict=True)},
        )
        for (component, operation), spent in largest_first
    ]


def _add(
    totals: dict[tuple[Component, str], NDArray[np.float64]], where: tuple[Component, str], ns: NDArray[np.float64]
) -> None:
    totals[where] = totals[where] + ns if where in totals else ns


def _children(record: RequestRecord) -> dict[tuple[int, int], Span]:
    """By (parent, end): the child that a JOIN ending then waited for; of several, the first to be started."""
    children: dict[tuple[int, int], Span] = {}
    for span in sorted(record.spans, key=lambda span: span.number):
        if not span.detached:
            children.setdefault((span.parent, span.end_ns), span)
    return children


def _since(span: Span, start: int) -> Iterator[Stretch]:
    """What a span did from ``start`` on: a child may have been started before its parent began to wait.

    Of work that was under way at ``start``, the last part is taken to be the running: queueing comes before
    it.
    """
    for instruction, begin, end, running in span.segments:
        if begin >= start:
            yield Stretch(instruction, begin, end, running)
        elif end > start:
            yield Stretch(instruction, start, end, min(running, end - start))


def _pieces(stretch: Stretch, plan: Plan, span: int) -> list[Piece]:
    op, number = int(plan.op[stretch.instruction]), int(plan.tag[stretch.instruction])
    if op not in TAKES_TIME or number < 0:
        raise AttributionError(
            f"instruction {stretch.instruction} ({Op(op).name}, tag {number}) cannot take time: {stretch}"
        )
    tag, length = plan.tags[number], stretch.end - stretch.start
    if op == Op.WAIT:
        return [Piece(tag, "waiting", length, stretch.start, span, stretch.instruction)]
    running = 0 if op in OTHERS_FIRST else stretch.running
    began = stretch.end - running
    pieces = [
        Piece(tag, "queueing", length - running, stretch.start, span, stretch.instruction),
        Piece(tag, "running", running, began, span, stretch.instruction),
    ]
    return [piece for piece in pieces if piece.ns]


def _between(paths: Paths, low: float, high: float) -> NDArray[np.bool_]:
    """(r,) which requests lie between two quantiles of their latencies."""
    if not 0.0 <= low < high <= 1.0:
        raise MeshsimError(f"cohort ({low:g}, {high:g}): two quantiles from 0 to 1, the lower one first")
    by_latency = np.lexsort((paths.request, paths.latency_ns))
    # Rounded first: 0.99 x 200 is a little less than 198.
    first, last = (round(q * len(by_latency), 6) for q in (low, high))
    chosen = np.zeros(len(by_latency), dtype=np.bool_)
    chosen[by_latency[math.floor(first) : math.ceil(last)]] = True
    return chosen
