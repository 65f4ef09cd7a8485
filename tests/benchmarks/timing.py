"""Times that can be compared: CPU time, all entrants in turn in every round, medians and ratios within a round."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

R = TypeVar("R")


def cpu_seconds(function: Callable[[], R]) -> tuple[float, R]:
    """CPU time of this process for a call, and what it gave."""
    gc.collect()
    began = time.process_time()
    result = function()
    return time.process_time() - began, result


@dataclass(frozen=True)
class Timed:
    """One run of an entrant."""

    seconds: float
    stages: int

    @property
    def ns(self) -> float:
        """Nanoseconds a stage."""
        return self.seconds / self.stages * 1e9


@dataclass(frozen=True)
class Entrant:
    """Someone who can run the model."""

    name: str
    run: Callable[[], Timed]


@dataclass(frozen=True)
class Lap:
    """All rounds of one entrant."""

    name: str
    stages: int
    ns: list[float]
    """A stage, of each round."""
    ratios: list[float]
    """Its time over that of the first entrant in the same round."""

    @property
    def median_ns(self) -> float:
        """Nanoseconds a stage."""
        return statistics.median(self.ns)

    @property
    def ratio(self) -> float:
        """Median of the ratios to the first entrant."""
        return statistics.median(self.ratios)


def interleaved(entrants: Sequence[Entrant], rounds: int, say: Callable[[str], None]) -> list[Lap]:
    """Every entrant in every round. The first, with whom the others are compared, runs once before to warm up."""
    entrants[0].run()
    times: dict[str, list[Timed]] = {entrant.name: [] for entrant in entrants}
    for number in range(rounds):
        for entrant in entrants:
            say(f"{entrant.name}, round {number + 1} of {rounds}")
            times[entrant.name].append(entrant.run())
    first = times[entrants[0].name]
    return [
        Lap(
            name,
            laps[-1].stages,
            [lap.ns for lap in laps],
            [lap.ns / base.ns for lap, base in zip(laps, first, strict=True)],
        )
        for name, laps in times.items()
    ]
