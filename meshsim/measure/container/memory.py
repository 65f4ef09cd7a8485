"""Memory of a service in containers: 1, 10 and 100 of it, idle and after load."""

from __future__ import annotations

from functools import partial

import numpy as np

from meshsim.costs.book import Cost
from meshsim.measure.bench import Bench
from meshsim.measure.book import cost
from meshsim.measure.container.apps import APPS
from meshsim.measure.container.bundle import Answer, Containers, ended_at_once, memory_of
from meshsim.measure.experiment import Experiment, Reading, Samples
from meshsim.measure.fit import line

LAUNCHER = "crun"
SPARE_BYTES = 2 << 30
"""Of the host's memory, left alone."""
OPERATIONS = {"c": "container-c", "python": "container-python", "node": "container-node", "wasm": "wasm-host"}


def counts(bench: Bench) -> tuple[int, ...]:
    """How many containers. A hundred once a session: memory repeats to a few percent, starting them takes time."""
    if bench.quick:
        return (1, 4)
    return (1, 10, 100) if bench.round == 0 else (1, 10)


def density(app: str, bench: Bench) -> None:
    """More and more containers of one service, and the memory of all of them."""
    with bench.lab.scope():
        made = APPS[app][0](bench.lab)
        containers = Containers(bench.lab, bench.lab.pod("dense"))
        answers: list[Answer] = []
        with ended_at_once(answers):
            for wanted in counts(bench):
                each = memory_of(answers[0].pid)["private_bytes"] if answers else 0.0
                if (wanted - len(answers)) * each > _available_bytes() - SPARE_BYTES:
                    break
                while len(answers) < wanted:
                    if bench.should_stop():
                        break
                    answers.append(containers.start(made, LAUNCHER, 8000 + len(answers)))
                bench.measure({"instances": wanted, "load": "idle"}, partial(_all, answers))
                if wanted == 1:
                    load = 200 if bench.quick else 3000
                    bench.measure({"instances": wanted, "load": "loaded"}, partial(_loaded, containers, answers, load))


def _all(answers: list[Answer]) -> dict[str, Reading]:
    each = [memory_of(a.pid) for a in answers]
    return {metric: float(sum(m[metric] for m in each)) for metric in ("pss_bytes", "private_bytes")}


def _loaded(containers: Containers, answers: list[Answer], requests: int) -> dict[str, Reading]:
    asked = containers.ask(8000, requests=requests)
    return {**_all(answers), "request_ns": asked.request_ns}


def _available_bytes() -> int:
    with open("/proc/meminfo", encoding="ascii") as lines:
        return next(int(row.split()[1]) * 1024 for row in lines if row.startswith("MemAvailable"))


EXPERIMENTS = [
    Experiment(
        f"container.memory.{app}",
        f"memory of 1, 10 and 100 containers of {app} [bytes]",
        partial(density, app),
        seconds={"c": 3.0, "wasm": 3.0, "python": 6.0, "node": 10.0}[app],
        quick_seconds=0.8 if app in ("c", "wasm") else None,
        needs=("root", "namespaces", "ip", "compiler", LAUNCHER, *APPS[app][1]),
    )
    for app in OPERATIONS
]


def costs(samples: Samples) -> list[Cost]:
    """memory.runtime.container-<app> and memory.runtime.wasm-host: what one more costs a host that runs some."""
    found = []
    for app, operation in OPERATIONS.items():
        name = f"container.memory.{app}"
        points = samples.points(name, "instances", "pss_bytes", load="idle")
        if len(np.unique(points[:, 1])) < 2:
            continue
        fitted = line(points)
        alone = float(np.median(samples.values(name, "private_bytes", load="idle", instances=1)))
        loaded = float(np.median(samples.values(name, "private_bytes", load="loaded", instances=1)))
        found.append(
            cost(
                f"memory.runtime.{operation}",
                "container",
                experiment=name,
                reference="slope of the proportional set size over the number of containers; pages that they share, "
                f"once a host: {max(fitted.fixed.value, 0) / 2**20:.1f} MiB; private memory of one: idle "
                f"{alone / 2**20:.2f}, after load {loaded / 2**20:.2f} MiB",
                conditions="processes in the container only: no shim, no page tables, no kernel memory",
                memory=fitted.per_unit,
                taken_off="shared pages, as the line's fixed part",
            )
        )
    return found
