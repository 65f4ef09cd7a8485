"""What common random numbers bring: istio-sidecar against cilium on Online Boutique.

    python tests/benchmarks/pairing.py [--requests 4000] [--rates 100,500,900] [--seeds 6] [--json]

Both are simulated with each seed. The half-width of the interval of a difference of quantiles is taken with equal seeds
(paired) and with different ones (independent, at the same cost); printed is the root mean square of the latter over that
of the former. It depends on no clock, so any machine will do. Goal: 5 times at p99.
"""

from __future__ import annotations

import argparse
import json
import math
from itertools import permutations
from statistics import fmean

from meshsim.results.histogram import BatchedHistogram
from meshsim.results.intervals import quantile_difference
from meshsim.scenario.scenario import Scenario
from meshsim.studies.point import Point, simulate_point
from meshsim.studies.setup import prepare

PLANES = ("istio-sidecar", "cilium")
QUANTILES = (0.5, 0.9, 0.99)
GOAL = 5.0


def latency(dataplane: str, rps: float, requests: int, seed: int) -> BatchedHistogram:
    """Of all requests, as the client sees it."""
    scenario = Scenario.model_validate(
        {
            "application": "online-boutique", "dataplane": dataplane, "load": {"rps": rps},
            "run": {"requests": requests, "seed": seed, "sample": 0, "engine": "compiled"},
        }
    )  # fmt: skip
    found = simulate_point(prepare(scenario), lambda done, total: None, lambda: False)
    assert isinstance(found, Point), found
    return found.latency


def gain(rps: float, requests: int, seeds: int) -> list[float]:
    """Independent over paired half-widths, one a quantile; NaN where a run is too short for it."""
    runs = {(plane, seed): latency(plane, rps, requests, seed) for plane in PLANES for seed in range(1, seeds + 1)}

    def width(p: float, pairs: list[tuple[int, int]]) -> float:
        widths = []
        for a, b in pairs:
            apart = quantile_difference(runs[PLANES[0], a], runs[PLANES[1], b], p)
            if apart.low is None or apart.high is None:
                return math.nan
            widths.append(((apart.high - apart.low) / 2) ** 2)
        return math.sqrt(fmean(widths))

    numbers = range(1, seeds + 1)
    paired, independent = [(seed, seed) for seed in numbers], list(permutations(numbers, 2))
    return [width(p, independent) / width(p, paired) for p in QUANTILES]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=4000)
    parser.add_argument("--rates", default="100,500,900")
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    found = {rps: gain(rps, asked.requests, asked.seeds) for rps in map(float, asked.rates.split(","))}
    if asked.json:
        print(json.dumps({"requests": asked.requests, "seeds": asked.seeds, "gain": found}))
        return
    print(f"{' against '.join(PLANES)}, {asked.requests} requests, {asked.seeds} seeds; goal at p99: {GOAL:g}")
    for rps, gains in found.items():
        print(
            f"{rps:6g} requests/s: " + ", ".join(f"p{100 * p:g} {g:.1f}" for p, g in zip(QUANTILES, gains, strict=True))
        )


if __name__ == "__main__":
    main()
