"""Run a stored point again from its row alone, and compare to the last bit."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from meshsim.costs.book import CostBook
from meshsim.costs.books import Costs
from meshsim.scenario.application import Application
from meshsim.scenario.base import MeshsimError
from meshsim.scenario.dataplane import DataPlane
from meshsim.scenario.machine import Machine
from meshsim.scenario.scenario import Scenario
from meshsim.studies import columns
from meshsim.studies.pool import Progress, Stop
from meshsim.studies.setup import Prepared, canonical_hash
from meshsim.studies.single import Simulation, simulate_prepared
from meshsim.studies.store import Store
from meshsim.studies.study import SweepPoint
from meshsim.studies.version import model_version

HASHES = ("application", "dataplane", "machine", "costs")


@dataclass(frozen=True)
class Replay:
    """A point that was run again."""

    folder: Path
    key: str
    differences: dict[str, tuple[Any, Any]]
    """Columns that came out otherwise: as stored, as now."""
    error: str
    """Why there are no numbers, if there are none; that has to come out the same too."""
    simulation: Simulation | None
    """The run in full, with its records and tables; None with an error."""
    stored_model: str

    @property
    def partial(self) -> bool:
        """True if it was stopped."""
        return self.simulation is not None and self.simulation.partial

    @property
    def identical(self) -> bool:
        """Every column, the fingerprint of all histograms and sums among them."""
        return not self.differences and not self.partial

    def to_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        told: dict[str, Any] = {"schema": "meshsim/replay/1", "folder": str(self.folder), "key": self.key}
        told |= {"identical": self.identical, "model": model_version(), "stored_model": self.stored_model}
        told["differences"] = {name: list(pair) for name, pair in self.differences.items()}
        report = json.loads(self.simulation.to_json()) if self.simulation is not None else None
        return told | {"error": self.error, "report": report, "partial": self.partial}


def replay(
    folder: str | Path, row: str, *, on_progress: Progress | None = None, should_stop: Stop | None = None
) -> Replay:
    """Run one row of a folder of results again, from what the folder holds and nothing else.

    ``row``: its ``key``, or enough of its beginning. By another version of the model it is run all the same; what
    comes out otherwise is in ``differences``. Raises MeshsimError if there is no such row, or if this version cannot
    read what it was computed from.
    """
    store = Store(Path(folder))
    store.model()
    stored = store.row(row)
    point = _point(store, stored)
    simulation, error = None, ""
    try:
        simulation = simulate_prepared(point.prepared, on_progress=on_progress, should_stop=should_stop)
    except MeshsimError as failure:
        error = columns.one_line(failure)
    if simulation is None:
        now = columns.values(point, None, None, error)
    else:
        now = columns.values(point, simulation.rows[0], simulation.result, "")
        command = f"meshsim replay {folder} {stored['key'][:12]}"
        source = simulation.report.provenance.model_copy(update={"command": command})
        simulation.report = simulation.report.model_copy(update={"provenance": source})
    partial = simulation is not None and simulation.partial
    names = [] if partial else [name for name in now if not _same(stored.get(name), now[name])]
    differences = {name: (stored.get(name), now[name]) for name in names}
    return Replay(store.folder, stored["key"], differences, error, simulation, stored["model"])


def _point(store: Store, row: dict[str, Any]) -> SweepPoint:
    """As the study had it: every file by its hash."""
    try:
        application = Application.model_validate(store.input(row["application_hash"]))
        plane = DataPlane.model_validate(store.input(row["dataplane_hash"]))
        machine = Machine.model_validate(store.input(row["machine_hash"]))
        books = [CostBook.model_validate(store.input(hash_)) for hash_ in row["costs_hash"].split(",")]
        scenario = Scenario.model_validate_json(row["scenario"])
    except ValidationError as error:
        raise MeshsimError(
            f"{store.part(row['key'])}: cannot be run again: model {model_version()} does not read what "
            f"{row['model']} wrote ({error.title}: {error.errors()[0]['msg']})"
        ) from None
    costs = Costs(books)
    things: dict[str, Sequence[BaseModel]] = {
        "application": [application],
        "dataplane": [plane],
        "machine": [machine],
        "costs": books,
    }
    hashes = {name: ",".join(canonical_hash(thing) for thing in things[name]) for name in HASHES}
    return SweepPoint(row["key"], Prepared(scenario, application, plane, machine, costs), hashes)


def _same(stored: Any, now: Any) -> bool:
    if isinstance(stored, float) and isinstance(now, float) and math.isnan(stored):
        return math.isnan(now)
    return type(stored) is type(now) and stored == now
