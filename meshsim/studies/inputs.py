"""What compare and grow are asked for, read in once: an application, several data planes, a machine, costs."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from meshsim import __version__
from meshsim.costs.book import CostBook
from meshsim.costs.books import Costs
from meshsim.formats.load import load_application
from meshsim.results.rows import Provenance
from meshsim.scenario.application import Application
from meshsim.scenario.base import MeshsimError
from meshsim.scenario.capabilities import check_features
from meshsim.scenario.catalog import load_book, load_dataplane, load_machine, load_rules
from meshsim.scenario.dataplane import DataPlane
from meshsim.scenario.machine import Machine
from meshsim.scenario.scenario import Cluster, Engine, Load, Run, Scenario
from meshsim.studies import defaults
from meshsim.studies.setup import Prepared, canonical_hash, checked
from meshsim.studies.warmup import warmup_share

BASELINE = "no-mesh"
SMALL = 2_000
"""Up to so many requests in all, starting other processes costs more than it saves."""

Policy = Literal["L4", "L7"]
Placement = Literal["spread", "bin-pack"]
Nodes = int | Literal["auto"]


@dataclass(frozen=True)
class Inputs:
    """Everything read, nothing simulated."""

    application: Application
    dataplanes: list[DataPlane]
    machine: Machine
    costs: Costs
    notes: tuple[str, ...]
    names: dict[str, Any]
    """How each was named by the caller: application, dataplanes, machine, costs. For the command that repeats it."""

    @property
    def baseline(self) -> str:
        """The data plane against which differences are taken: no-mesh if it takes part, else the first."""
        names = [dataplane.name for dataplane in self.dataplanes]
        return BASELINE if BASELINE in names else names[0]


def read_inputs(
    application: str | Path | Application,
    dataplanes: Sequence[str | Path | DataPlane],
    machine: str | Path | Machine,
    costs: Sequence[str | Path | CostBook] | Costs,
) -> Inputs:
    """Read what is given by name or path; take as they are the models that are given."""
    if isinstance(dataplanes, str | Path | DataPlane):
        dataplanes = [dataplanes]
    if not dataplanes:
        raise MeshsimError("dataplanes: none given; name at least one")
    app, notes = _application(application)
    planes = [plane if isinstance(plane, DataPlane) else load_dataplane(plane) for plane in dataplanes]
    books = read_costs(costs)
    names = [plane.name for plane in planes]
    for name in names:
        if names.count(name) > 1:
            raise MeshsimError(f"dataplanes: {name!r} is given {names.count(name)} times; once is enough")
    return Inputs(
        app,
        planes,
        machine if isinstance(machine, Machine) else load_machine(machine),
        books,
        (*notes, *map(str, books.scales)),
        {
            "application": _named(application),
            "dataplanes": [_named(plane) for plane in dataplanes],
            "machine": _named(machine),
            "costs": [_named(book) for book in (costs.books if isinstance(costs, Costs) else costs)],
        },
    )


def _application(given: str | Path | Application) -> tuple[Application, Sequence[str]]:
    return (given, ()) if isinstance(given, Application) else load_application(given)


def read_costs(costs: Sequence[str | Path | CostBook] | Costs) -> Costs:
    """Several books as one, the first that knows an operation wins."""
    if isinstance(costs, Costs):
        return costs
    if isinstance(costs, str | Path | CostBook):
        costs = [costs]
    if not costs:
        raise MeshsimError("costs: no book given; name at least one")
    return Costs([book if isinstance(book, CostBook) else load_book(book) for book in costs])


def _named(value: Any) -> str:
    return str(value) if isinstance(value, str | Path) else str(value.name)


@dataclass(frozen=True)
class Settings:
    """The part of the question that is the same at every point."""

    policy: Policy
    requests: int
    warmup: float | None
    seed: int
    nodes: Nodes
    placement: Placement
    sample: int = 1000
    """Requests kept whole, for attribution and for the error of the CPU."""
    requires: tuple[str, ...] = ()
    """Features that every data plane must provide; one that cannot has no row but a reason."""
    what_if: Mapping[str, float] = field(default_factory=dict)
    """Costs scaled by pattern."""
    churn_per_minute: float = 0.0
    """Pods that start or stop."""
    rules: str | Path | None = None
    """File with resilience, balancing and the like, as in a scenario."""
    engine: Engine = "auto"

    @cached_property
    def fields(self) -> dict[str, Any]:
        """What the file of rules says."""
        return {} if self.rules is None else load_rules(self.rules)

    def scenario(self, inputs: Inputs, dataplane: str, rps: float, services: int | None) -> Scenario:
        """The scenario of one point; MeshsimError for a value out of range."""
        load = checked(Load, rps=rps)
        run = checked(Run, requests=self.requests, seed=self.seed, sample=self.sample, engine=self.engine)
        if self.warmup is not None:
            run = checked(Run, **{**run.model_dump(), "warmup": self.warmup})
        else:
            # Scaling keeps what a request does, so the application as it was read says how long that takes.
            share = warmup_share(inputs.application, load.rps, run.requests)
            run = run.model_copy(update={"warmup": share})
        return checked(
            Scenario,
            application=inputs.names["application"],
            services=services,
            dataplane=dataplane,
            policy=self.policy,
            requires=check_features(self.requires),
            cluster=checked(
                Cluster,
                machine=inputs.names["machine"],
                nodes=self.nodes,
                placement=self.placement,
                churn_per_minute=self.churn_per_minute,
            ),
            load=load,
            run=run,
            costs=inputs.names["costs"],
            what_if=dict(self.what_if),
            **self.fields,
        )

    def options(self, usual: Settings) -> list[str]:
        """As the command line takes them, those that are not at their default."""
        given = []
        for name in ("policy", "requests", "warmup", "seed", "nodes", "placement", "engine"):
            value = getattr(self, name)
            if value is not None and value != getattr(usual, name):
                given += [f"--{name}", plain(value)]
        if self.requires:
            given += ["--requires", ",".join(self.requires)]
        for pattern, factor in self.what_if.items():
            given += ["--what-if", f"{pattern}={plain(factor)}"]
        if self.churn_per_minute:
            given += ["--churn", plain(self.churn_per_minute)]
        if self.rules is not None:
            given += ["--rules", str(self.rules)]
        return given

    def notes(self, inputs: Inputs, tasks: Sequence[Prepared]) -> list[str]:
        """What a report on these points has to say besides its numbers, each once."""
        said = [note for task in tasks for note in task.all_notes]
        return list(dict.fromkeys([*inputs.notes, *said]))


def prepare_points(inputs: Inputs, settings: Settings, rps: float, services: int | None) -> list[Prepared]:
    """One scenario a data plane, all over the same application and the same arrivals."""
    return [
        Prepared(
            settings.scenario(inputs, plane.name, rps, services),
            inputs.application,
            plane,
            inputs.machine,
            inputs.costs,
            inputs.notes,
        )
        for plane in inputs.dataplanes
    ]


def provenance(inputs: Inputs, settings: Settings, command: list[str]) -> Provenance:
    """Versions, hashes and the command line that gives the same numbers again."""
    return Provenance(
        meshsim=__version__,
        seed=settings.seed,
        application=inputs.application.name,
        application_hash=canonical_hash(inputs.application),
        costs=[book.name for book in inputs.costs.books],
        costs_hash=canonical_hash(inputs.costs.books),
        machine=inputs.machine.name,
        price_date=inputs.machine.price_date,
        policy=settings.policy,
        command=shlex.join(command),
    )


def shared_options(inputs: Inputs) -> list[str]:
    """Data planes, machine and costs as the command line takes them."""
    given = ["--dataplanes", ",".join(inputs.names["dataplanes"])]
    if inputs.names["machine"] != defaults.MACHINE:
        given += ["--machine", inputs.names["machine"]]
    if inputs.names["costs"] != list(defaults.COSTS):
        for book in inputs.names["costs"]:
            given += ["--costs", book]
    return given


def plain(value: Any) -> str:
    """A number as a person writes it: 500, not 500.0."""
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def jobs_for(jobs: int | None, points: int, requests: int) -> int:
    """Processes to use: what was asked for; else all cores, unless the study is too small to be worth it."""
    if jobs is None:
        return 1 if points * requests <= SMALL else -1
    return checked_jobs(jobs)


def checked_jobs(jobs: int) -> int:
    """The number of processes that was asked for. MeshsimError if it is none."""
    if jobs == 0 or jobs < -1:
        raise MeshsimError(f"jobs: {jobs} received; must be 1 or more, or -1 for all cores")
    return jobs
