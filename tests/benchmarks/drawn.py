"""Scenarios drawn by a seed, on which nothing was fitted: applications, data planes, machines and rates at random.

A seed gives the same scenarios on every machine, so that anybody can draw others: ``python -m tests.benchmarks.analytic
--drawn 100 --seed 7``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from meshsim.engines import analytic
from meshsim.plan.lower import lower
from meshsim.plan.plan import Plan
from meshsim.scenario.application import Application
from meshsim.scenario.base import MeshsimError
from meshsim.scenario.catalog import load_costs, load_dataplane, load_machine, names
from meshsim.scenario.scenario import Cluster, Load, Scenario
from meshsim.studies.defaults import COSTS

BUSY = 0.15, 0.9
"""Utilisation of the busiest station, by the analytic engine, between which rates are drawn."""
LAWS = ("constant", "exponential", "uniform", "lognormal", "gamma", "hyperexponential")


@dataclass(frozen=True)
class Drawn:
    """One scenario, lowered."""

    number: int
    what: str
    """In words, to find it again."""
    rho: float
    plan: Plan


def drawn(count: int, seed: int) -> Iterator[Drawn]:
    """So many that can be simulated; those that a data plane refuses are passed over."""
    costs = load_costs(COSTS)
    random = np.random.default_rng(seed)
    made = 0
    while made < count:
        app = _application(random)
        plane = str(random.choice(sorted(names("dataplanes"))))
        machine = str(random.choice(sorted(names("machines"))))
        rho = float(random.uniform(*BUSY))
        cluster = Cluster(machine=machine, placement=str(random.choice(["spread", "bin-pack"])))  # type: ignore[arg-type]

        def at(rps: float, app: Application = app, plane: str = plane, cluster: Cluster = cluster) -> Plan:
            load = Load(rps=float(f"{rps:.6g}"), overload="simulate")
            scenario = Scenario(application=app.name, dataplane=plane, cluster=cluster, load=load)
            return lower(app, load_dataplane(plane), load_machine(cluster.machine), scenario, costs)

        try:
            plan = at(rate_at(at(1.0), rho))
        except MeshsimError:
            continue
        made += 1
        yield Drawn(made, f"{len(app.services)} services over {plane} on {machine}, {cluster.placement}", rho, plan)


def rate_at(plan: Plan, rho: float) -> float:
    """Rate at which the busiest station is busy a share ``rho`` of the time by the analytic engine, by bisection."""
    low, high = 0.0, analytic.saturation_rps(plan)
    for _ in range(20):
        middle = (low + high) / 2
        busiest = float(analytic.solve(plan, middle).utilisation.max())
        low, high = (middle, high) if busiest < rho else (low, middle)
    return (low + high) / 2


def _application(random: np.random.Generator) -> Application:
    """A graph without cycles: each service calls later ones."""
    count = int(random.integers(2, 13))
    protocol = str(random.choice(["http1", "http1", "http2", "grpc"]))
    services = [_service(random, number, count, protocol) for number in range(count)]
    called = {c["service"] for s in services for c in _calls(s["endpoints"][0]["steps"])}
    lonely = [s["name"] for s in services[1:] if s["name"] not in called]
    services[0]["endpoints"][0]["steps"] += [{"call": _call(random, name, protocol)} for name in lonely]
    return Application.model_validate(
        {
            "schema": "meshsim/application/1",
            "name": "drawn",
            "entries": [{"service": "s0", "protocol": protocol, "response_bytes": _bytes(random)}],
            "services": services,
        }
    )


def _service(random: np.random.Generator, number: int, count: int, protocol: str) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"compute": _duration(random, 20, 1500)}]
    if random.random() < 0.15:
        steps.append({"wait": _duration(random, 100, 5000)})
    later = [f"s{n}" for n in range(number + 1, count)]
    chosen = list(random.choice(later, min(len(later), int(random.integers(0, 4))), replace=False)) if later else []
    calls = [{"call": _call(random, str(name), protocol)} for name in chosen]
    steps += [{"parallel": calls}] if len(calls) > 1 and random.random() < 0.3 else calls
    if random.random() < 0.5:
        steps.append({"compute": _duration(random, 20, 500)})
    threads = {"model": "async", "threads": int(random.choice([1, 2, 4, 8]))}
    if random.random() < 0.25:
        threads = {"model": "thread-per-request", "threads": int(random.integers(8, 65))}
    return {
        "name": f"s{number}",
        "replicas": int(random.integers(1, 5)),
        "concurrency": threads,
        "requests": {"cpu_millicores": float(random.choice([100, 250, 500]))},
        "endpoints": [{"name": "serve", "steps": steps}],
    }


def _duration(random: np.random.Generator, low: float, high: float) -> dict[str, Any]:
    law = str(random.choice(LAWS))
    mean = float(np.exp(random.uniform(np.log(low), np.log(high))))
    cv = random.uniform(1.1, 3.0) if law == "hyperexponential" else random.uniform(0.2, 1.5)
    return {"mean_us": round(mean, 1), "law": law, "cv": round(float(cv), 2)}


def _call(random: np.random.Generator, name: str, protocol: str) -> dict[str, Any]:
    sometimes = random.random() < 0.25
    return {
        "service": name,
        "protocol": protocol,
        "request_bytes": _bytes(random),
        "response_bytes": _bytes(random),
        "probability": round(float(random.uniform(0.1, 0.9)), 2) if sometimes else 1.0,
        "times": 2 if random.random() < 0.15 else 1,
    }


def _bytes(random: np.random.Generator) -> int:
    return int(np.exp(random.uniform(np.log(64), np.log(16384))))


def _calls(steps: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for step in steps:
        if "call" in step:
            yield step["call"]
        yield from _calls(step.get("parallel", []))
