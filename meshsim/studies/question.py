"""What every study of an application over data planes is asked: the options that they share, read in and checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypedDict, cast

from meshsim.costs.book import CostBook
from meshsim.costs.books import Costs
from meshsim.results.rows import Provenance
from meshsim.scenario.application import Application
from meshsim.scenario.base import MeshsimError
from meshsim.scenario.dataplane import DataPlane
from meshsim.scenario.machine import Machine
from meshsim.scenario.scenario import Engine
from meshsim.studies import defaults
from meshsim.studies.inputs import (
    Inputs,
    Nodes,
    Placement,
    Policy,
    Settings,
    plain,
    prepare_points,
    provenance,
    read_inputs,
    shared_options,
)
from meshsim.studies.pool import Progress, Stop
from meshsim.studies.setup import Prepared


class Common(TypedDict, total=False):
    """Keyword arguments that compare, grow, solve, sensitivity and metastable all take; ``compare`` explains them."""

    policy: Policy
    requests: int | None
    warmup: float | Literal["auto"] | None
    seed: int
    costs: Sequence[str | Path | CostBook] | Costs
    machine: str | Path | Machine
    nodes: Nodes
    placement: Placement
    requires: Sequence[str]
    what_if: Mapping[str, float] | None
    churn_per_minute: float
    rules: str | Path | None
    engine: Engine
    jobs: int | None
    on_progress: Progress | None
    should_stop: Stop | None


@dataclass(frozen=True)
class Question:
    """What was asked, read in and checked; nothing simulated yet."""

    inputs: Inputs
    settings: Settings
    usual_requests: int
    auto_warmup: bool = False
    jobs: int | None = None
    on_progress: Progress | None = None
    should_stop: Stop | None = None

    @property
    def name(self) -> str:
        """Of the application."""
        return self.inputs.application.name

    def tasks(self, rps: float, services: int | None) -> list[Prepared]:
        """One scenario a data plane, all over the same arrivals."""
        return prepare_points(self.inputs, self.settings, rps, services)

    def with_warmup(self, share: float) -> Question:
        """The same with a warm-up that was found."""
        return replace(self, settings=replace(self.settings, warmup=share))

    def notes(self, tasks: Sequence[Prepared]) -> list[str]:
        """What a report has to say besides its numbers."""
        return self.settings.notes(self.inputs, tasks)

    def provenance(self, study: str, *given: str | Sequence[str], rps: float | None = None) -> Provenance:
        """Versions, hashes, and the command that gives the same numbers: ``given`` are its own options."""
        own = [word for one in given for word in ([one] if isinstance(one, str) else one)]
        rate = [] if rps is None else ["--rps", plain(rps)]
        usual = Settings("L7", self.usual_requests, None, 1, "auto", "spread")
        command = ["meshsim", study, self.inputs.names["application"], *own, *shared_options(self.inputs), *rate]
        return provenance(self.inputs, self.settings, command + self.settings.options(usual))


def ask(
    application: str | Path | Application,
    dataplanes: Sequence[str | Path | DataPlane],
    common: Common,
    *,
    requests: int,
    sample: int = 1000,
    may_find_warmup: bool = False,
    may_approximate: bool = False,
) -> Question:
    """Read what is named and check what is said; ``requests``: measured ones, where nothing is said of them.

    Raises MeshsimError for wrong input, TypeError for an argument that there is none of.
    """
    if unknown := set(common) - set(Common.__annotations__):
        raise TypeError(f"unexpected keyword argument {', '.join(sorted(unknown))}")
    given = cast("dict[str, Any]", common)
    warmup = given.get("warmup")
    if warmup == "auto" and not may_find_warmup:
        raise MeshsimError("warmup: auto received; a number was expected, only compare finds it by pilot runs")
    engine = given.get("engine", "auto")
    if engine == "analytic" and (warmup == "auto" or not may_approximate):
        raise MeshsimError("engine: 'analytic' received; this needs simulated requests: auto, reference or compiled")
    inputs = read_inputs(
        application, dataplanes, given.get("machine", defaults.MACHINE), given.get("costs", defaults.COSTS)
    )
    settings = Settings(
        given.get("policy", "L7"),
        requests if given.get("requests") is None else given["requests"],
        None if warmup == "auto" else warmup,
        given.get("seed", 1),
        given.get("nodes", "auto"),
        given.get("placement", "spread"),
        sample,
        tuple(given.get("requires", ())),
        given.get("what_if") or {},
        given.get("churn_per_minute", 0.0),
        given.get("rules"),
        engine,
    )
    live = {name: given.get(name) for name in ("jobs", "on_progress", "should_stop")}
    return Question(inputs, settings, requests, warmup == "auto", **live)


def option(name: str, value: Any) -> list[str]:
    """As the command line takes it; nothing if it was not given."""
    return [] if value is None else [f"--{name}", plain(value)]
