"""What a program of another simulator hands back."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

BATCHES = 20


@dataclass(frozen=True)
class Ran:
    """``stages``: visits to a station (to a core, in a mesh) that were over."""

    stages: int
    mean_us: float
    """Mean latency; NaN where no request was answered."""
    standard_error_us: float = float("nan")
    """Of the mean, by batch means; NaN where there are too few answers, or the simulator keeps none."""


def ran(stages: int, latencies_us: Sequence[float], skip: float = 0.1) -> Ran:
    """From the latencies in the order of the answers, without the first of them: the system was empty."""
    values = latencies_us[int(len(latencies_us) * skip) :]
    if len(values) < BATCHES:
        return Ran(stages, statistics.fmean(values) if values else float("nan"))
    size = len(values) // BATCHES
    means = [statistics.fmean(values[n * size : (n + 1) * size]) for n in range(BATCHES)]
    return Ran(stages, statistics.fmean(values), statistics.stdev(means) / BATCHES**0.5)
