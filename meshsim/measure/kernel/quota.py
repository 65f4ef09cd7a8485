"""CPU quotas: whether throttling follows the arithmetic of period and quota, and what it does to the tail.

A group with quota Q and period P may run for Q in each period, then it stands still until the next one begins. So a
request of work W that begins when the quota is fresh takes W + floor(W / Q) x (P - Q), and a group far below its quota
on average is throttled whenever requests bunch up within one period. ``replay`` is that arithmetic for given arrivals.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from meshsim.costs.book import Cost
from meshsim.measure.bench import Bench
from meshsim.measure.book import cost
from meshsim.measure.experiment import Experiment, Reading, Samples
from meshsim.measure.fit import figure
from meshsim.measure.kernel.paths import cores_to_compare, cpus
from meshsim.measure.lab import Cgroup, Lab
from meshsim.measure.native import tool

NAME = "kernel.quota"
PERIOD_NS = 100_000_000
"""What Kubernetes uses."""
PHASES = 100
"""Where the kernel's periods begin is not told and drawn at random: so many beginnings are tried."""
SLICE = Path("/proc/sys/kernel/sched_cfs_bandwidth_slice_us")

Times = NDArray[np.float64]


@dataclass(frozen=True)
class Load:
    """Requests of ``work_ns`` each."""

    work_ns: int
    every_ns: int
    """Mean distance."""
    poisson: bool
    seconds: float
    quick_seconds: float

    def arrivals(self, seconds: float, seed: int) -> Times:
        """Arrival times, ns."""
        count = max(2, int(seconds * 1e9 / self.every_ns))
        if not self.poisson:
            return np.arange(count, dtype=np.float64) * self.every_ns
        arrivals: Times = np.random.default_rng(seed).exponential(self.every_ns, count).cumsum()
        return arrivals


LOADS = {
    # 10 % of a core, in small pieces: 100 requests a second of 1 ms.
    "small": Load(1_000_000, 10_000_000, True, 2.2, 0.8),
    # 30 ms at a time; the distance goes through the phases of a period in steps of 30 ms.
    "burst": Load(30_000_000, 330_000_000, False, 2.3, 1.0),
}
QUOTAS: dict[str, Sequence[int]] = {"small": (15, 20, 30, 50, 100), "burst": (15, 20, 50)}
"""Percent of a core."""
QUICK_QUOTAS: dict[str, Sequence[int]] = {"burst": (20,)}


def run(bench: Bench) -> None:
    """Each load under each quota; beside what was measured, what the arithmetic says of the same arrivals."""
    bench.lab.keep_awake()
    for kind, quotas in (QUICK_QUOTAS if bench.quick else QUOTAS).items():
        load = LOADS[kind]
        arrivals = load.arrivals(load.quick_seconds if bench.quick else load.seconds, seed=bench.round)
        for percent in quotas:
            bench.measure({"load": kind, "percent": percent}, partial(_readings, bench.lab, load, percent, arrivals))


def _readings(lab: Lab, load: Load, percent: int, arrivals: Times) -> dict[str, Reading | str]:
    quota_ns = PERIOD_NS * percent // 100
    argv = [str(tool("worker")), str(cpus(cores_to_compare()[-1])[1]), str(load.work_ns)]
    with lab.scope():
        group = lab.cgroup(quota_ns=quota_ns, period_ns=PERIOD_NS)
        outweigh(group)
        periods, throttled, ns = group.throttled()
        text = "\n".join(f"{at:.0f}" for at in arrivals)
        latencies = np.array(json.loads(lab.call(argv, cgroup=group, stdin=text))["latency_ns"])
        after = group.throttled()
    expected, expected_throttled = matched(arrivals, latencies, load.work_ns, quota_ns, PERIOD_NS)
    return {
        "latency_ns": latencies,
        "mean_ns": float(latencies.mean()),
        "p99_ns": float(np.quantile(latencies, 0.99)),
        "periods": float(after[0] - periods),
        "throttled": float(after[1] - throttled),
        "throttled_ns": float(after[2] - ns),
        "expected_mean_ns": float(expected.mean()),
        "expected_p99_ns": float(np.quantile(expected, 0.99)),
        "expected_throttled": float(expected_throttled),
        "slice_us": float(SLICE.read_text()) if SLICE.exists() else 0.0,
    }


def outweigh(group: Cgroup) -> None:
    """The largest weight there is, so that what delays the group is its quota and not other processes."""
    for path, most in ((group.path / "cpu.weight", "10000"), ((group.cpu_path or group.path) / "cpu.shares", "262144")):
        if path.exists():
            path.write_text(most)


def replay(arrivals: Times, work_ns: float, quota_ns: float, period_ns: float, phase_ns: float) -> tuple[Times, int]:
    """Latencies, and the number of periods in which the group stood still, by the arithmetic of period and quota.

    One worker, first come first served. A period begins at ``phase_ns`` and every ``period_ns`` around it.
    """
    latencies = np.empty(len(arrivals))
    now, period, left, throttled = 0.0, -(2**62), 0.0, 0
    for i, at in enumerate(arrivals):
        now, todo = max(now, float(at)), work_ns
        while todo > 0:
            number = int((now - phase_ns) // period_ns)
            if number != period:
                period, left = number, quota_ns
            end = phase_ns + (number + 1) * period_ns
            spent = min(todo, left, end - now)
            todo, left, now = todo - spent, left - spent, now + spent
            if todo > 0 and left <= 0 and now < end:
                throttled, now = throttled + 1, end
            elif todo > 0 and spent <= 0:  # rounding: at the very end of a period
                now = end
        latencies[i] = now - at
    return latencies, throttled


def matched(arrivals: Times, latencies: Times, work_ns: float, quota_ns: float, period_ns: float) -> tuple[Times, int]:
    """The ``replay`` whose phase comes nearest to what was observed (least sum of absolute differences).

    The phase is the one thing fitted: with several requests at several places in a period, it cannot make a wrong
    arithmetic look right.
    """
    replays = [replay(arrivals, work_ns, quota_ns, period_ns, k * period_ns / PHASES) for k in range(PHASES)]
    return min(replays, key=lambda replayed: float(np.abs(replayed[0] - latencies).sum()))


@dataclass(frozen=True)
class Row:
    """One load under one quota: medians over rounds, ms; the arithmetic's figures beside."""

    load: str
    quota_percent: int
    demand_percent: float
    """Of a core, on average."""
    mean_ms: float
    expected_mean_ms: float
    p99_ms: float
    expected_p99_ms: float
    throttled: float
    """Periods, in one round."""
    expected_throttled: float


def table(samples: Samples) -> list[Row]:
    """What was found, by load and quota."""
    rows = []
    points = sorted({(str(s.settings["load"]), int(s.settings["percent"])) for s in samples.of(NAME)})
    for kind, percent in points:

        def middle(metric: str, kind: str = kind, percent: int = percent) -> float:
            return float(np.median(samples.values(NAME, metric, load=kind, percent=percent)))

        load = LOADS[kind]
        rows.append(
            Row(
                kind, percent, 100 * load.work_ns / load.every_ns,
                middle("mean_ns") / 1e6, middle("expected_mean_ns") / 1e6,
                middle("p99_ns") / 1e6, middle("expected_p99_ns") / 1e6,
                middle("throttled"), middle("expected_throttled"),
            )
        )  # fmt: skip
    return rows


def costs(samples: Samples) -> list[Cost]:
    """kernel.quota: by which factor requests that are throttled take longer or shorter than the arithmetic says."""
    factors: dict[int, list[float]] = {}
    throttled = 0.0
    for sample in samples.of(NAME, load="burst"):
        if sample.values["expected_throttled"] > 0 and sample.values["throttled"] > 0:
            factors.setdefault(sample.round, []).append(sample.values["mean_ns"] / sample.values["expected_mean_ns"])
            throttled += sample.values["throttled"]
    if not factors:
        return []
    first = samples.of(NAME, load="burst")[0]
    return [
        cost(
            "kernel.quota",
            "factor on the latency that the arithmetic of period and quota gives",
            experiment=NAME,
            reference="bursts of 30 ms of work under quotas of a part of a core: mean latency over that of the same "
            "arrivals in which a group runs for its quota in each period and then stands still; where the periods "
            f"begin is fitted. {throttled:.0f} periods were throttled. All loads and quotas: the samples",
            conditions=f"period {PERIOD_NS // 1_000_000} ms, one worker on one core, "
            f"cfs_bandwidth_slice_us {first.values['slice_us']:.0f}",
            ratio=figure([float(np.mean(factors[number])) for number in sorted(factors)]),
            raw=first,
            metric="latency_ns",
        )
    ]


EXPERIMENTS = [
    Experiment(
        NAME,
        "requests of known work under CPU quotas: latency and throttled periods against the arithmetic [ns]",
        run, seconds=17.8, quick_seconds=1.3, needs=("root", "compiler", "cgroup", "cpu-quota"),
    )
]  # fmt: skip
