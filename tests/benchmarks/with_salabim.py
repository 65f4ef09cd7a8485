"""Queues as a user of salabim writes them: a Component for each request, a Resource for each station."""

from __future__ import annotations

import random
from collections.abc import Generator
from typing import Any

import salabim

from .models import SERVERS, VISITS, Network, SingleQueue
from .ran import Ran, ran

salabim.yieldless(False)  # generators: faster than greenlets, and nothing more to install


def single_queue(model: SingleQueue, stages: int, seed: int = 1) -> Ran:
    """M/M/1."""
    return _run([1], [1], [model.service_us], 1, model.rate, stages, seed)


def network(model: Network, stages: int, seed: int = 1) -> Ran:
    """An open network of stations."""
    return _run(list(SERVERS), model.counts, model.mean_us, VISITS, model.rate, stages, seed)


def _run(
    servers: list[int], counts: list[int], means_us: list[float], visits: int, rps: float, stages: int, seed: int
) -> Ran:
    env = salabim.Environment(random_seed=seed, trace=False)
    rng = random.Random(seed)
    kinds = [
        [salabim.Resource(capacity=capacity, env=env) for _ in range(count)]
        for capacity, count in zip(servers, counts, strict=True)
    ]
    latencies: list[float] = []
    done = 0

    class Request(salabim.Component):
        def process(self) -> Generator[Any, Any, None]:
            nonlocal done
            came = env.now()
            for visit in range(visits):
                kind = visit % len(kinds)
                station = rng.choice(kinds[kind])
                yield self.request(station)
                yield self.hold(rng.expovariate(1 / means_us[kind]))
                self.release(station)
                done += 1
                if done == stages:
                    env.main().activate()
            latencies.append(env.now() - came)

    class Source(salabim.Component):
        def process(self) -> Generator[Any, Any, None]:
            while True:
                yield self.hold(rng.expovariate(rps / 1e6))
                Request(env=env)

    Source(env=env)
    env.run()
    return ran(done, latencies)
