"""Containers against Wasm: the same echo service by runc, by crun, as a bare process and as a module."""

from __future__ import annotations

from meshsim.costs.book import Cost
from meshsim.measure.container import memory, startup
from meshsim.measure.experiment import Experiment, Samples

EXPERIMENTS: list[Experiment] = [*startup.EXPERIMENTS, *memory.EXPERIMENTS]


def costs(samples: Samples) -> list[Cost]:
    """What the samples of this group give."""
    return [*startup.costs(samples), *memory.costs(samples)]
