"""Small applications for chapters: no file, costs that are all zero unless real ones are asked for."""

from __future__ import annotations

from typing import Any

from meshsim.engines import select
from meshsim.plan.lower import lower
from meshsim.plan.plan import Plan
from meshsim.results.run import RunResult
from meshsim.scenario.application import Application
from meshsim.scenario.catalog import load_costs, load_dataplane, load_machine
from meshsim.scenario.scenario import Run, Scenario
from meshsim.studies.defaults import COSTS, MACHINE

FREE = {"*": 0.0}
"""Theory has no kernel: every cost of the book times zero."""


def application(services: list[dict[str, Any]], entries: list[dict[str, Any]] | None = None) -> Application:
    """Traffic enters at the first service, unless said otherwise."""
    return Application.model_validate(
        {
            "schema": "meshsim/application/1", "name": "lesson",
            "entries": entries or [{"service": services[0]["name"]}], "services": services,
        }
    )  # fmt: skip


def service(name: str, steps: list[dict[str, Any]], *, threads: int = 1000, **more: Any) -> dict[str, Any]:
    """A service with one endpoint and one small replica."""
    return {
        "name": name, "concurrency": {"model": "async", "threads": threads},
        "requests": {"cpu_millicores": 10, "memory_mib": 16}, "memory_mib": 16,
        "endpoints": [{"name": "serve", "steps": steps}], **more,
    }  # fmt: skip


def lowered(
    of: Application, rps: float, dataplane: str = "no-mesh", *, machine: str = MACHINE, **scenario: Any
) -> Plan:
    """The plan at ``rps`` requests a second; ``scenario``: further fields of one."""
    full = {"application": "lesson", "dataplane": dataplane, "load": {"rps": rps, "overload": "simulate"}, **scenario}
    return lower(of, load_dataplane(dataplane), load_machine(machine), Scenario.model_validate(full), load_costs(COSTS))


def simulated(plan: Plan, requests: int, seed: int = 1) -> RunResult:
    """Run it. The compiled engine if its machine code is there, else the other: they give the same."""
    return select.run(plan, Run(requests=requests, seed=seed, warmup=0.1, sample=0))
