"""What a program of another simulator hands back."""

from __future__ import annotations

import statistics
from dataclasses import dataclass


@dataclass(frozen=True)
class Ran:
    """``stages``: visits to a station (to a core, in a mesh) that were over. ``latencies_us`` of requests that were
    answered, in the order of their answers."""

    stages: int
    latencies_us: list[float]

    def mean_us(self, skip: float = 0.1) -> float:
        """Mean latency, without the first answers: the system was empty."""
        return statistics.fmean(self.latencies_us[int(len(self.latencies_us) * skip) :])

    def standard_error_us(self, skip: float = 0.1, batches: int = 20) -> float:
        """Of that mean, by batch means: answers that follow each other are alike."""
        values = self.latencies_us[int(len(self.latencies_us) * skip) :]
        size = len(values) // batches
        means = [statistics.fmean(values[n * size : (n + 1) * size]) for n in range(batches)]
        return statistics.stdev(means) / batches**0.5
