"""WebAssembly: runtimes by themselves, a proxy-Wasm filter in Envoy and in a small host of ours."""

from __future__ import annotations

from meshsim.costs.book import Cost
from meshsim.measure.experiment import Experiment, Samples
from meshsim.measure.wasm import envoy, small_host, standalone

EXPERIMENTS: list[Experiment] = [*standalone.EXPERIMENTS, *small_host.EXPERIMENTS, *envoy.EXPERIMENTS]


def costs(samples: Samples) -> list[Cost]:
    """What the samples of this group give."""
    return [*standalone.costs(samples), *small_host.costs(samples), *envoy.costs(samples)]
