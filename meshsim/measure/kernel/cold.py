"""After a sleep: what a process that is woken by a message works more the longer it has slept."""

from __future__ import annotations

from functools import partial

import numpy as np

from meshsim.costs.book import Cost
from meshsim.measure.bench import Bench
from meshsim.measure.book import cost
from meshsim.measure.doctor import capability
from meshsim.measure.experiment import Experiment, Samples
from meshsim.measure.fit import after_sleep
from meshsim.measure.kernel.paths import TIMER, cores_to_compare, loopback, pingpong, tcp

NAME = "kernel.cold"
PAUSES_US = (100, 1000, 4000, 16_000)
QUICK_PAUSES_US = (100, 2000, 8000)
SMALL = 64


def run(bench: Bench) -> None:
    """Round trips of a small message over TCP between two cores, with pauses in which both ends sleep."""
    if "other" not in cores_to_compare():
        return
    lab = bench.lab
    lab.keep_awake()
    if capability("namespaces").ok and capability("ip").ok:
        pod = lab.pod("client")
        path = tcp(pod, pod, 7001)
    else:
        path = loopback()
    for pause in QUICK_PAUSES_US if bench.quick else PAUSES_US:
        seconds = 0.1 if bench.quick else 0.5
        through = partial(pingpong, lab, "other", SMALL, seconds, {"loopback": path}, pause_us=pause)
        bench.measure({"pause_us": pause}, through)


def costs(samples: Samples) -> list[Cost]:
    """kernel.cold."""
    points = samples.points(NAME, "pause_us", "loopback_peer_cpu_ns")
    if len(np.unique(points[:, 1])) < 3:
        return []
    points[:, 1] *= 1000
    found = after_sleep(points)
    return [
        cost(
            "kernel.cold",
            "wake-up after a very long sleep",
            experiment=NAME,
            reference=f"round trips of {SMALL} bytes over TCP on loopback between two cores, with pauses of up to "
            f"{points[:, 1].max() / 1e6:g} ms: CPU of the end that is woken = base + this x sleep / (sleep + cv ms). "
            "It does next to nothing but system calls; what works on more data finds more of it gone",
            conditions="nothing else on its core but a process of idle priority that spins in its registers",
            cpu=found.most,
            law="cold",
            cv=round(found.half_ns / 1e6, 2),
            kernel_share=1.0,
            taken_off=TIMER,
        )
    ]


EXPERIMENTS = [
    Experiment(
        NAME, "a message after a pause: CPU by how long its reader slept [ns]",
        run, seconds=4.0, quick_seconds=2.0, needs=("compiler",),
    )
]  # fmt: skip
