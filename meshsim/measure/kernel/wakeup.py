"""Handing over to another process: on the same core a context switch, on another one a wake-up across cores."""

from __future__ import annotations

from functools import partial

from meshsim.costs.book import Cost
from meshsim.measure.bench import Bench
from meshsim.measure.book import cost
from meshsim.measure.experiment import Experiment, Samples
from meshsim.measure.fit import best
from meshsim.measure.kernel.paths import TIMER, Cores, cores_to_compare, pingpong

NAME = "kernel.wake-up"
PATHS = {"self": "self", "pipe": "pipe", "futex": "futex"}


def run(bench: Bench) -> None:
    """One byte to and fro through a pipe and through a futex; through a pipe to oneself for the calls alone."""
    bench.lab.keep_awake()
    for cores in cores_to_compare():
        seconds = 0.3 if bench.quick else 1.0
        bench.measure({"cores": cores}, partial(pingpong, bench.lab, cores, 1, seconds, PATHS))


def costs(samples: Samples) -> list[Cost]:
    """kernel.context-switch, and what a wake-up of another core costs above it: kernel.wakeup."""

    def values(metric: str, cores: Cores) -> list[float]:
        return list(samples.values(NAME, metric, cores=cores))

    same = values("pipe_round_trip_ns", "same")
    if not same:
        return []
    alone = values("self_round_trip_ns", "same")
    found = [
        cost(
            "kernel.context-switch",
            "switch to another process on the same core",
            experiment=NAME,
            reference="half a round trip of one byte through a pipe between two processes pinned to one core, less one "
            "write and one read of the same pipe by one process",
            cpu=best([trip / 2 - calls for trip, calls in zip(same, alone, strict=True)]),
            kernel_share=1.0,
            taken_off=f"the two calls; {TIMER}",
            raw=samples.of(NAME, cores="same")[0],
            metric="pipe_round_trip_ns",
        )
    ]
    other = values("pipe_round_trip_ns", "other")
    if other:
        here, there = values("pipe_own_cpu_ns", "same"), values("pipe_own_cpu_ns", "other")
        found.append(
            cost(
                "kernel.wakeup",
                "wake-up of a process that sleeps on another core",
                experiment=NAME,
                reference="a pipe between two cores against the same pipe on one core. cpu: what a process that sleeps "
                "and is woken once a round trip is charged more. wait: what half a round trip takes longer",
                conditions="the other core is awake (it spins at idle priority), so no sleep state has to be left",
                cpu=best([two - one for one, two in zip(here, there, strict=True)]),
                wait=best([(two - one) / 2 for one, two in zip(same, other, strict=True)]),
                kernel_share=1.0,
                taken_off=TIMER,
                raw=samples.of(NAME, cores="other")[0],
                metric="pipe_round_trip_ns",
            )
        )
    return found


EXPERIMENTS = [
    Experiment(
        NAME,
        "handing over to another process by pipe and futex, on one core and across cores [ns]",
        run, seconds=2.5, quick_seconds=0.9, needs=("compiler",),
    )
]  # fmt: skip
