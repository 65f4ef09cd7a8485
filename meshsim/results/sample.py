"""The requests of a run that were kept whole: as records, and as arrays for what looks at all of them at once."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import overload

import numpy as np
from numpy.typing import NDArray

from meshsim.plan.plan import Ints
from meshsim.results.run import RequestRecord, Span

# Columns of a span and of a segment.
RECORD, NUMBER, PARENT, CALL, SOURCE, DESTINATION, START, END, DETACHED, STATUS = range(10)
OF_SPAN, INSTRUCTION, BEGIN, UNTIL, RUNNING = range(5)


class Sample(Sequence[RequestRecord]):
    """Records, made when somebody looks at one; ``spans`` and ``segments`` are there at once."""

    def __init__(self, requests: Ints, spans: Ints, segments: Ints) -> None:
        """``requests``: (r,) their numbers. ``spans``: (n, 10), a request's first one its entry; ``segments``: (m, 5),
        those of a span in order of time. Requests whose entry has not ended are left out.
        """
        entry = np.full(len(requests), -1)
        entry[spans[::-1, RECORD]] = np.arange(len(spans))[::-1]
        whole = entry >= 0
        whole[whole] = spans[entry[whole], END] >= 0
        kept = whole[spans[:, RECORD]]
        self.requests: Ints = requests[whole]
        self.spans = _renumbered(spans, kept, RECORD, whole)
        self.segments = _renumbered(segments, kept[segments[:, OF_SPAN]], OF_SPAN, kept)

    @classmethod
    def of(cls, records: Sequence[RequestRecord]) -> Sample:
        """Of records that were made one by one."""
        if isinstance(records, Sample):
            return records
        spans: list[tuple[int, ...]] = []
        segments: list[tuple[int, ...]] = []
        for index, record in enumerate(records):
            for span in record.spans:
                segments += [(len(spans), *segment) for segment in span.segments]
                whose = (index, span.number, span.parent, span.call, span.source, span.destination)
                spans.append((*whose, span.start_ns, span.end_ns, span.detached, span.status))
        return cls(
            np.array([record.request for record in records], dtype=np.int64),
            np.array(spans, dtype=np.int64).reshape(-1, 10),
            np.array(segments, dtype=np.int64).reshape(-1, 5),
        )

    @cached_property
    def entries(self) -> Ints:
        """(r,) number of the span that is the request's entry."""
        found = np.zeros(len(self.requests), dtype=np.int64)
        found[self.spans[::-1, RECORD]] = np.arange(len(self.spans))[::-1]
        return found

    @property
    def latency_ns(self) -> Ints:
        """(r,)"""
        found: Ints = self.spans[self.entries, END] - self.spans[self.entries, START]
        return found

    @property
    def cpu_ns(self) -> Ints:
        """(r,) time on cores, of all spans."""
        owner = self.spans[self.segments[:, OF_SPAN], RECORD]
        sums = np.zeros(len(self.requests), dtype=np.int64)
        np.add.at(sums, owner, self.segments[:, RUNNING])
        return sums

    @cached_property
    def _records(self) -> list[RequestRecord]:
        records = [RequestRecord(number, []) for number in self.requests.tolist()]
        spans = []
        for record, number, parent, call, source, destination, start, end, detached, status in self.spans.tolist():
            made = Span(number, parent, call, source, destination, start, end, bool(detached), status)
            spans.append(made)
            records[record].spans.append(made)
        for span, *segment in self.segments.tolist():
            spans[span].segments.append(tuple(segment))
        return records

    @overload
    def __getitem__(self, index: int) -> RequestRecord: ...

    @overload
    def __getitem__(self, index: slice) -> list[RequestRecord]: ...

    def __getitem__(self, index: int | slice) -> RequestRecord | list[RequestRecord]:
        return self._records[index]

    def __len__(self) -> int:
        return len(self.requests)

    def __eq__(self, other: object) -> bool:
        return self._records == (other._records if isinstance(other, Sample) else other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<Sample of {len(self)} requests>"


def _renumbered(rows: Ints, kept: NDArray[np.bool_], column: int, owners: NDArray[np.bool_]) -> Ints:
    """The kept rows, with the numbers that their owners have after some of those were left out."""
    left = rows[kept]
    if not owners.all():
        left[:, column] = (np.cumsum(owners) - 1)[left[:, column]]
    return left
