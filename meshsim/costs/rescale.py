"""Costs from somewhere else, beside costs that were measured here: brought to this host by a stated factor.

A published book describes other machines and other configurations. Where a measured book knows some of the same
operations, the ratios say how the two compare; what only the published book knows is multiplied by their median.
Ratios inside one book stay as they were published, which is what its figures are worth most for. Median and median
deviation, because a few operations were guessed by their publishers and are wrong by a factor of ten or more.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from meshsim.costs.book import Cost, CostBook

FEWEST = 3
"""Operations that two books must share before one is scaled by the other."""
NORMAL = 1.4826
"""Standard deviation over median deviation, of a normal law."""
FAMILIES = ("kernel", "proxy")
"""First word of an operation: each family has a factor of its own. Memory does not depend on how fast a host is."""


@dataclass(frozen=True)
class Scale:
    """How the times of one book were brought to the host of another."""

    book: str
    to: str
    family: str
    factor: float
    standard_error: float
    """Relative: how far the ratios of single operations scatter around the factor (scaled median deviation of logs)."""
    operations: tuple[str, ...]
    """Those that both books know."""

    def __str__(self) -> str:
        return (
            f"{self.family} times of {self.book} × {self.factor:.2f} (± {self.standard_error:.0%}), "
            f"the median ratio of {len(self.operations)} operations that {self.to} measured too"
        )


def scales(measured: CostBook, other: CostBook) -> list[Scale]:
    """Factors from ``other`` to the host of ``measured``, one a family, where enough operations are shared."""
    known = {entry.operation: entry.cpu_ns for entry in measured.entries if entry.cpu_ns > 0}
    found = []
    for family in FAMILIES:
        logs = {
            entry.operation: math.log(known[entry.operation] / entry.cpu_ns)
            for entry in other.entries
            if entry.operation.startswith(f"{family}.") and entry.cpu_ns > 0 and entry.operation in known
        }
        if len(logs) >= FEWEST:
            middle = statistics.median(logs.values())
            error = NORMAL * statistics.median(abs(each - middle) for each in logs.values())
            found.append(Scale(other.name, measured.name, family, math.exp(middle), error, tuple(sorted(logs))))
    return found


def rescaled(entries: Iterable[Cost], by_family: Mapping[str, Scale]) -> list[Cost]:
    """The entries with their times multiplied; each says so in its reference, and its error grows accordingly."""
    return [
        _scaled(entry, by_family[family]) if (family := entry.operation.split(".", 1)[0]) in by_family else entry
        for entry in entries
    ]


def _scaled(entry: Cost, scale: Scale) -> Cost:
    times = {
        name: getattr(entry, name) * scale.factor
        for name in ("cpu_ns", "cpu_ns_per_byte", "wait_ns", "wait_ns_per_byte")
        if getattr(entry, name)
    }
    if not times:
        return entry
    return entry.model_copy(
        update={
            **times,
            "standard_error": min(3.0, math.hypot(entry.standard_error, scale.standard_error)),
            "reference": f"{entry.reference} Here: {scale}.",
        }
    )
