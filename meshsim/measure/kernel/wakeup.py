"""Handing over to another process: on the same core a context switch, on another one a wake-up across cores."""

from __future__ import annotations

from functools import partial

import numpy as np

from meshsim.costs.book import Cost
from meshsim.measure.bench import Bench
from meshsim.measure.book import cost
from meshsim.measure.experiment import Experiment, Samples
from meshsim.measure.fit import best
from meshsim.measure.kernel.paths import TIMER, cores_to_compare, pingpong

NAME = "kernel.wake-up"
PATHS = {"self": "self", "pipe": "pipe", "futex": "futex"}


def run(bench: Bench) -> None:
    """One byte to and fro through a pipe and through a futex; through a pipe to oneself for the calls alone."""
    bench.lab.keep_awake()
    for cores in cores_to_compare():
        seconds = 0.3 if bench.quick else 1.0
        bench.measure({"cores": cores}, partial(pingpong, bench.lab, cores, 1, seconds, PATHS))


def costs(samples: Samples) -> list[Cost]:
    """kernel.context-switch."""
    same, alone = (samples.values(NAME, f"{path}_round_trip_ns", cores="same") for path in ("pipe", "self"))
    if not len(same):
        return []
    return [
        cost(
            "kernel.context-switch",
            "switch to another process on the same core",
            experiment=NAME,
            reference="half a round trip of one byte through a pipe between two processes pinned to one core, less one "
            f"write and one read of the same pipe by one process.{_across(samples)}",
            cpu=best([trip / 2 - calls for trip, calls in zip(same, alone, strict=True)]),
            kernel_share=1.0,
            taken_off=f"the two calls; {TIMER}",
            raw=samples.of(NAME, cores="same")[0],
            metric="pipe_round_trip_ns",
        )
    ]


def _across(samples: Samples) -> str:
    """The same between two cores, stated for comparison: what is priced is a message over TCP, ``kernel.wakeup``."""
    here, there = (samples.values(NAME, "pipe_own_cpu_ns", cores=cores) for cores in ("same", "other"))
    if not len(there):
        return ""
    more = (np.median(there) - np.median(here)) / 1000
    return f" Between two cores each process is charged {more:.1f} us more a round trip (see kernel.wakeup, over TCP)"


EXPERIMENTS = [
    Experiment(
        NAME,
        "handing over to another process by pipe and futex, on one core and across cores [ns]",
        run, seconds=2.5, quick_seconds=0.9, needs=("compiler",),
    )
]  # fmt: skip
