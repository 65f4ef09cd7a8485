"""Not there yet."""

from __future__ import annotations

from meshsim.costs.book import Cost
from meshsim.measure.experiment import Experiment, Samples

EXPERIMENTS: list[Experiment] = []


def costs(samples: Samples) -> list[Cost]:
    """What the samples of this group give."""
    return []
