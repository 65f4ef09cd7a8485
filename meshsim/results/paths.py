"""The critical paths of many requests at once: ``attribution.critical_path``, a level of the call tree at a time.

What holds for one request holds for each: where a frame waits for its children, the path of the child that ended last
takes the place of the waiting, and the pieces add up to the latency.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from meshsim.plan.plan import Ints, Op, Plan
from meshsim.results.sample import (
    BEGIN,
    DETACHED,
    END,
    INSTRUCTION,
    NUMBER,
    OF_SPAN,
    PARENT,
    RECORD,
    RUNNING,
    START,
    UNTIL,
    Sample,
)

RAN, QUEUED, WAITED = range(3)
"""Phases, in the order of ``attribution.PHASES``."""
OTHERS_FIRST = (Op.ACQUIRE, Op.CONNECT, Op.RELEASE)
"""Time of these is spent waiting until others are served."""
TAKES_TIME = (Op.WORK, Op.MORE, Op.WAIT, *OTHERS_FIRST)


@dataclass(frozen=True)
class Paths:
    """Pieces of critical paths, one row each, in no order."""

    request: Ints
    """(r,) numbers of the requests."""
    record: Ints
    """Which of them a piece belongs to."""
    tag: Ints
    phase: Ints
    ns: Ints
    latency_ns: Ints
    """(r,) of each request."""
    broken: dict[int, str]
    """Requests whose records contradict themselves, and how. No input can cause this."""

    def __len__(self) -> int:
        return len(self.ns)


def critical_paths(sample: Sample, plan: Plan) -> Paths:
    """Of every request in the sample."""
    return _Walk(sample, plan).paths()


class _Walk:
    def __init__(self, sample: Sample, plan: Plan) -> None:
        self.sample, self.plan = sample, plan
        self.pieces: list[tuple[Ints, Ints, Ints, Ints]] = []
        self.broken: dict[int, str] = {}
        spans, segments = sample.spans, sample.segments
        self.first = np.searchsorted(segments[:, OF_SPAN], np.arange(len(spans) + 1))
        if np.any(np.diff(segments[:, OF_SPAN]) < 0):
            order = np.argsort(segments[:, OF_SPAN], kind="stable")
            self.segments = segments[order]
            self.first = np.searchsorted(self.segments[:, OF_SPAN], np.arange(len(spans) + 1))
        else:
            self.segments = segments
        self._index_children()

    def _index_children(self) -> None:
        """A sorted key of (parent span, end): what a wait that ends then waited for; of several the first started."""
        spans = self.sample.spans
        width = int(spans[:, NUMBER].max(initial=0)) + 1
        key = spans[:, RECORD] * width + spans[:, NUMBER]
        by_key = np.argsort(key, kind="stable")
        wanted = spans[:, RECORD] * width + spans[:, PARENT]
        children = np.flatnonzero((spans[:, DETACHED] == 0) & (spans[:, PARENT] >= 0))
        parent = by_key[np.minimum(np.searchsorted(key[by_key], wanted[children]), len(spans) - 1)]
        self.ends = np.unique(spans[children, END])
        joined = parent * (len(self.ends) + 1) + np.searchsorted(self.ends, spans[children, END])
        order = np.lexsort((spans[children, NUMBER], joined))
        self.child_key, self.child = joined[order], children[order]

    def _child_of(self, span: Ints, end: Ints) -> Ints:
        """-1 where there is none."""
        if not len(self.child):
            return np.full(len(span), -1)
        rank = np.minimum(np.searchsorted(self.ends, end), len(self.ends) - 1)
        key = span * (len(self.ends) + 1) + rank
        place = np.minimum(np.searchsorted(self.child_key, key), len(self.child) - 1)
        there = (self.child_key[place] == key) & (self.ends[rank] == end)
        return np.where(there, self.child[place], -1)

    def paths(self) -> Paths:
        sample = self.sample
        span, since = sample.entries, sample.spans[sample.entries, START]
        while len(span):
            span, since = self._level(span, since)
        empty = np.empty(0, dtype=np.int64)
        columns = [np.concatenate(column) for column in zip(*self.pieces, strict=True)] if self.pieces else [empty] * 4
        record, tag, phase, ns = columns
        covered = np.zeros(len(sample), dtype=np.int64)
        np.add.at(covered, record, ns)
        for index in np.flatnonzero(covered != sample.latency_ns).tolist():
            self.broken.setdefault(
                index, f"its path is {covered[index]} ns long, the request itself {sample.latency_ns[index]} ns"
            )
        named = {index: f"request {sample.requests[index]}: {how}" for index, how in sorted(self.broken.items())}
        return Paths(sample.requests, record, tag, phase, ns, sample.latency_ns, named)

    def _level(self, span: Ints, since: Ints) -> tuple[Ints, Ints]:
        """Cut up what these spans did from then on; the children that stand for waiting, and from when on."""
        count = self.first[span + 1] - self.first[span]
        owner = np.repeat(np.arange(len(span)), count)
        within = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)
        rows = self.segments[self.first[span][owner] + within]
        begin, end, running = rows[:, BEGIN], rows[:, UNTIL], rows[:, RUNNING]
        spans = self.sample.spans
        gap = np.flatnonzero((within > 0) & (begin != np.roll(end, 1)))
        self._blame(spans[span[owner[gap]], RECORD], "a span has a gap")
        self._blame(spans[span[since < spans[span, START]], RECORD], "a child began after its parent waited for it")
        from_ = since[owner]
        kept = (begin >= from_) | (end > from_)
        whole = begin >= from_
        start = np.where(whole, begin, from_)
        running = np.where(whole, running, np.minimum(running, end - start))
        owner, op = owner[kept], self.plan.op[rows[kept, INSTRUCTION]]
        start, end, running = start[kept], end[kept], running[kept]
        tag = self.plan.tag[rows[kept, INSTRUCTION]]
        who = span[owner]
        record = spans[who, RECORD]
        self._blame(record[(running < 0) | (running > end - start)], "more running than time")

        attempt, join = op == Op.ATTEMPT, op == Op.JOIN
        child = np.full(len(who), -1)
        waits = attempt | join
        child[waits] = self._child_of(who[waits], end[waits])
        self._blame(record[join & (child < 0)], "no child ends with its JOIN")
        # The attempt that ended then; before it began (hedging), and if none did, its caller only waited.
        begun = np.where(attempt, np.maximum(spans[child, START], start), start)
        begun = np.where(attempt & (child < 0), end, begun)
        self._add(record, tag, WAITED, begun - start, attempt)

        rest = ~waits
        self._blame(record[rest & (~np.isin(op, TAKES_TIME) | (tag < 0))], "an instruction took time that cannot")
        self._add(record, tag, WAITED, end - start, op == Op.WAIT)
        self._add(record, tag, QUEUED, end - start, np.isin(op, OTHERS_FIRST))
        work = (op == Op.WORK) | (op == Op.MORE)
        self._add(record, tag, QUEUED, end - start - running, work)
        self._add(record, tag, RAN, running, work)
        on = waits & (child >= 0)
        return child[on], begun[on]

    def _add(self, record: Ints, tag: Ints, phase: int, ns: Ints, where: NDArray[np.bool_]) -> None:
        where = where & (ns != 0)
        self.pieces.append((record[where], tag[where], np.full(int(where.sum()), phase), ns[where]))

    def _blame(self, records: Ints, how: str) -> None:
        for index in np.unique(records).tolist():
            self.broken.setdefault(int(index), how)
