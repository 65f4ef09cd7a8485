"""The static bill of several data planes: memory, pods, configuration, push work and the start-up chain."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field

from meshsim.costs.book import CostBook
from meshsim.costs.books import Costs
from meshsim.costs.what_if import what_if as scaled_costs
from meshsim.plan.bill import MIB, bill_of
from meshsim.plan.deploy import deploy
from meshsim.plan.place import PlacementError
from meshsim.plan.requirements import as_installed
from meshsim.plan.startup import StartStep, startup_chain
from meshsim.results.rows import Band, Out, Refused
from meshsim.scenario.application import Application
from meshsim.scenario.capabilities import CapabilityError
from meshsim.scenario.dataplane import DataPlane
from meshsim.scenario.machine import Machine
from meshsim.studies import defaults
from meshsim.studies.inputs import Nodes, Placement, Policy, Settings, prepare_points, read_inputs
from meshsim.studies.row import Z95, Money
from meshsim.studies.setup import Prepared


class ConfigBill(Out):
    """Configuration, and what it takes to keep it current."""

    config_mib: float = Field(description="Sent when everything connects, summed over the receivers")
    largest_config_kib: float = Field(description="Of the receiver that knows most")
    receivers: int
    churn_per_minute: float
    push_kib_s: float
    control_plane_millicores: float
    proxy_millicores: float


class StartLink(Out):
    """One link of the start-up chain of a pod."""

    name: str
    when: Literal["always", "new node", "no image"]
    ms: float
    low_ms: float = Field(description="With high_ms: where it lies (95 %) if the costs move within their errors")
    high_ms: float
    operations: list[str]
    sources: list[str] = Field(description="measured, published, derived or assumed, for each operation")


class BillRow(Out):
    """One data plane, deployed but idle."""

    dataplane: str
    pods: int
    nodes: int
    memory_mib: float
    memory_error: Band
    memory_by_item_mib: dict[str, float]
    idle_cores: float
    reserved_cores: float
    reserved_memory_mib: float
    usd_month: float
    configuration: ConfigBill | None
    startup: list[StartLink]
    startup_ms: float = Field(description="All links that are always there")


class BillReport(Out):
    """``bill --json``."""

    schema_: Literal["meshsim/bill/1"] = Field(default="meshsim/bill/1", alias="schema")
    application: str
    services: int
    policy: str
    rows: list[BillRow]
    refused: list[Refused] = []
    notes: list[str] = []

    def to_json(self) -> str:
        """The report as text."""
        return json.dumps(self.model_dump(mode="json", by_alias=True), indent=2, ensure_ascii=False) + "\n"


def bill(
    application: str | Path | Application,
    dataplanes: Sequence[str | Path | DataPlane] = defaults.DATAPLANES,
    *,
    services: int | None = None,
    policy: Policy = "L7",
    requires: Sequence[str] = (),
    what_if: Mapping[str, float] | None = None,
    churn_per_minute: float = 0.0,
    costs: Sequence[str | Path | CostBook] | Costs = defaults.COSTS,
    machine: str | Path | Machine = defaults.MACHINE,
    nodes: Nodes = "auto",
    placement: Placement = "spread",
) -> BillReport:
    """What each data plane needs before the first request comes; arguments as in ``compare``.

    ``churn_per_minute``: pods that start or stop; the push work follows from it. A data plane that cannot do what is
    required, or whose pods do not fit, is in ``refused``. Raises MeshsimError for wrong input.
    """
    inputs = read_inputs(application, dataplanes, machine, costs)
    settings = Settings(
        policy, 1000, 0.1, 1, nodes, placement,
        requires=tuple(requires), what_if=what_if or {}, churn_per_minute=churn_per_minute,
    )  # fmt: skip
    tasks = prepare_points(inputs, settings, defaults.RPS, services)
    rows: list[BillRow] = []
    refused: list[Refused] = []
    for task in tasks:
        try:
            rows.append(_row(task))
        except (CapabilityError, PlacementError) as error:
            count = len(task.application.services)
            refused.append(Refused(dataplane=task.dataplane.name, services=count, rps=defaults.RPS, reason=str(error)))
    return BillReport(
        application=inputs.application.name,
        services=len(tasks[0].application.services),
        policy=policy,
        rows=rows,
        refused=refused,
        notes=settings.notes(inputs, tasks),
    )


def _row(task: Prepared) -> BillRow:
    scenario = task.scenario
    costs = scaled_costs(task.costs, scenario.what_if)
    application, dataplane = as_installed(task.application, task.dataplane, scenario, costs)
    deployment = deploy(application, dataplane, task.machine, scenario)
    found = bill_of(deployment, costs, scenario.cluster.churn_per_minute)
    chain = startup_chain(deployment, costs)
    price = Money(task.machine, found.reserved_cores, found.reserved_memory_mib)
    half = Z95 * found.memory_mib_error
    pushed = found.control_plane
    idle = sum(found.idle_cores.values())
    return BillRow(
        dataplane=dataplane.name,
        pods=found.pods,
        nodes=found.nodes,
        memory_mib=found.memory_mib,
        memory_error=Band(low=max(0.0, found.memory_mib - half), high=found.memory_mib + half),
        memory_by_item_mib=found.memory_by_item_mib,
        idle_cores=idle,
        reserved_cores=found.reserved_cores,
        reserved_memory_mib=found.reserved_memory_mib,
        usd_month=price.usd_month(idle, found.memory_mib),
        configuration=None
        if pushed is None
        else ConfigBill(
            config_mib=pushed.config_bytes / MIB,
            largest_config_kib=pushed.largest_config_bytes / 1024,
            receivers=pushed.receivers,
            churn_per_minute=pushed.churn_per_minute,
            push_kib_s=pushed.push_bytes_s / 1024,
            control_plane_millicores=pushed.control_plane_cores * 1000,
            proxy_millicores=pushed.proxy_cores * 1000,
        ),
        startup=[_link(step) for step in chain],
        startup_ms=sum(step.total_ns for step in chain if step.when == "always") / 1e6,
    )


def _link(step: StartStep) -> StartLink:
    ms, half = step.total_ns / 1e6, Z95 * step.standard_error_ns / 1e6
    return StartLink.model_validate(
        {
            "name": step.name, "when": step.when, "ms": ms, "low_ms": max(0.0, ms - half), "high_ms": ms + half,
            "operations": list(step.operations), "sources": list(step.sources),
        }
    )  # fmt: skip
