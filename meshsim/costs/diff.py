"""Two cost books side by side, as ratios with intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass

from meshsim.costs.book import Cost, CostBook

FIELDS = ("cpu_ns", "cpu_ns_per_byte", "wait_ns", "wait_ns_per_byte", "bytes", "cores", "ratio")
Z95 = 1.959963984540054


@dataclass(frozen=True)
class Ratio:
    """One figure that both books have. ``ratio`` is second over first; ``low`` and ``high`` its 95 % interval."""

    operation: str
    field: str
    first: float
    second: float
    ratio: float | None
    """None where one of them is 0."""
    low: float | None
    high: float | None
    first_source: str
    second_source: str

    @property
    def differs(self) -> bool:
        """Whether the interval leaves out 1: the books disagree by more than they claim to be unsure."""
        return self.low is not None and self.high is not None and not self.low <= 1.0 <= self.high


@dataclass(frozen=True)
class Diff:
    """All of it: what both know, and what only one does."""

    first: str
    second: str
    ratios: list[Ratio]
    only_first: list[str]
    only_second: list[str]


def diff(first: CostBook, second: CostBook) -> Diff:
    """Compare two books, in the order of the first.

    The interval is that of the ratio of two lognormal figures with the standard errors that the books claim.
    """
    ours = {entry.operation: entry for entry in first.entries}
    theirs = {entry.operation: entry for entry in second.entries}
    ratios = [
        _ratio(ours[operation], theirs[operation], field)
        for operation in ours
        if operation in theirs
        for field in FIELDS
        if getattr(ours[operation], field) or getattr(theirs[operation], field)
    ]
    return Diff(
        first.name,
        second.name,
        ratios,
        [operation for operation in ours if operation not in theirs],
        [operation for operation in theirs if operation not in ours],
    )


def _ratio(a: Cost, b: Cost, field: str) -> Ratio:
    one, two = float(getattr(a, field)), float(getattr(b, field))
    if not (one and two):
        return Ratio(a.operation, field, one, two, None, None, None, a.source, b.source)
    spread = Z95 * math.sqrt(sum(math.log1p(entry.standard_error**2) for entry in (a, b)))
    ratio = two / one
    low, high = ratio * math.exp(-spread), ratio * math.exp(spread)
    return Ratio(a.operation, field, one, two, ratio, low, high, a.source, b.source)
