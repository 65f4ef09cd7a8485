"""From a scenario by name to everything that a run needs, and the hashes that say which files those were."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from meshsim.costs.books import Costs
from meshsim.costs.what_if import what_if_notes
from meshsim.formats.load import load_application
from meshsim.plan.lower import lower
from meshsim.plan.plan import Plan
from meshsim.plan.requirements import notes_on
from meshsim.scenario.application import Application
from meshsim.scenario.base import MeshsimError
from meshsim.scenario.catalog import load_costs, load_dataplane, load_machine
from meshsim.scenario.dataplane import DataPlane
from meshsim.scenario.machine import Machine
from meshsim.scenario.rates import read_rates
from meshsim.scenario.scale import scale
from meshsim.scenario.scenario import Load, Scenario
from meshsim.scenario.yaml_io import rule

M = TypeVar("M", bound=BaseModel)


def canonical_hash(value: BaseModel | Iterable[BaseModel] | dict[str, Any] | str) -> str:
    """sha256 (hex) of the value as JSON with sorted keys: the same content gives the same hash, whatever the file."""
    if isinstance(value, BaseModel):
        plain: Any = value.model_dump(mode="json", by_alias=True)
    elif isinstance(value, dict | str):
        plain = value
    else:
        plain = [item.model_dump(mode="json", by_alias=True) for item in value]
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def checked(model: type[M], **fields: Any) -> M:
    """Build a model from arguments; a MeshsimError names the argument, its value and the rule."""
    try:
        return model(**fields)
    except ValidationError as error:
        said = []
        for problem in error.errors(include_url=False):
            name = ".".join(str(part) for part in problem["loc"])
            words, value = rule(dict(problem)), problem["input"]
            said.append(f"{name}: {value!r} received; {words}" if name and not isinstance(value, dict) else words)
        raise MeshsimError("; ".join(dict.fromkeys(said))) from None


_scaled: tuple[Application | None, dict[int, Application]] = None, {}


def at_size(application: Application, services: int) -> Application:
    """``scale``; those of the application scaled last are kept, because many points share a size."""
    global _scaled  # replaced and never emptied: a thread that reads the former one goes on with it
    original, sizes = _scaled
    if original is not application:
        _scaled = application, (sizes := {})
    if services not in sizes:
        sizes[services] = scale(application, services)
    return sizes[services]


@dataclass(frozen=True)
class Prepared:
    """One scenario with everything it names read in. Cheap to hand to another process: it is lowered where it runs."""

    scenario: Scenario
    original: Application
    """As it was read, before it was scaled."""
    dataplane: DataPlane
    machine: Machine
    costs: Costs
    notes: tuple[str, ...] = ()
    """What the reader of the application ignored or assumed, and by which factors cost books were scaled."""

    @cached_property
    def application(self) -> Application:
        """At the size that the scenario asks for."""
        services = self.scenario.services
        return self.original if services is None else at_size(self.original, services)

    @cached_property
    def plan(self) -> Plan:
        """The arrays an engine runs. Raises OverloadedError, MissingCost, PlacementError or CapabilityError."""
        return lower(self.application, self.dataplane, self.machine, self.scenario, self.costs)

    @property
    def all_notes(self) -> list[str]:
        """Those of the reader, what is scaled by ``what_if``, and fall-backs and by-passes of the data plane."""
        return [
            *self.notes,
            *what_if_notes(self.scenario.what_if),
            *notes_on(self.application, self.dataplane, self.scenario),
            *self._unpriced(),
        ]

    def _unpriced(self) -> list[str]:
        if self.scenario.cluster.zones == 1 or self.machine.cross_zone_usd_gb is not None:
            return []
        return [f"{self.machine.name}: its file has no price of traffic between zones (cross_zone_usd_gb): not charged"]

    @cached_property
    def hashes(self) -> dict[str, str]:
        """sha256 of each part as it was read."""
        return {
            "application": canonical_hash(self.original),
            "dataplane": canonical_hash(self.dataplane),
            "machine": canonical_hash(self.machine),
            "costs": canonical_hash(self.costs.books),
        }


def with_rates(scenario: Scenario, base_dir: Path | None) -> Scenario:
    """The scenario with the rates of its file in it, so that what is hashed is what is simulated."""
    if scenario.load.rates_file is None:
        return scenario
    rates = read_rates(scenario.load.rates_file, base_dir)
    load = checked(Load, **{**scenario.load.model_dump(), "rates_file": None, "rates": rates})
    return scenario.model_copy(update={"load": load})


def prepare(scenario: Scenario, base_dir: Path | None = None) -> Prepared:
    """Read everything that a scenario names; relative paths are looked up in ``base_dir`` first.

    Raises MeshsimError for a name that is not known, or a file that is wrong.
    """
    application, notes = load_application(scenario.application, base_dir)
    costs = load_costs(scenario.costs, base_dir)
    return Prepared(
        with_rates(scenario, base_dir),
        application,
        load_dataplane(scenario.dataplane, base_dir),
        load_machine(scenario.cluster.machine, base_dir),
        costs,
        (*notes, *map(str, costs.scales)),
    )
