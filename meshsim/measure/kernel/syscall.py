"""What it costs to enter the kernel at all."""

from __future__ import annotations

import json
from functools import partial

from meshsim.costs.book import Cost
from meshsim.measure.bench import Bench
from meshsim.measure.book import cost
from meshsim.measure.experiment import Experiment, Samples
from meshsim.measure.fit import best
from meshsim.measure.lab import Lab
from meshsim.measure.native import tool

NAME = "kernel.syscall"


def run(bench: Bench) -> None:
    """Time getppid and a read of one byte in batches; the timer's own cost is taken off by the program."""
    loops = 20_000 if bench.quick else 200_000
    for call in ("getppid", "read"):
        argv = [str(tool("syscall")), call, str(loops)]
        bench.measure({"call": call}, partial(_readings, bench.lab, argv))


def _readings(lab: Lab, argv: list[str]) -> dict[str, list[float]]:
    readings: dict[str, list[float]] = json.loads(lab.call(argv, cpus=[0]))
    return readings


def costs(samples: Samples) -> list[Cost]:
    """kernel.syscall: entering and leaving the kernel."""
    if not samples.has(NAME, call="getppid"):
        return []
    return [
        cost(
            "kernel.syscall",
            "system call",
            experiment=NAME,
            reference="getppid() in a loop, one core; the loop itself taken off",
            cpu=best(samples.values(NAME, "call_ns", call="getppid")),
            kernel_share=1.0,
            raw=samples.of(NAME, call="getppid")[0],
            metric="call_ns",
        )
    ]


EXPERIMENTS = [
    Experiment(
        NAME, "a system call: getppid, read of one byte [ns]", run, seconds=0.4, quick_seconds=0.2, needs=("compiler",)
    )
]
