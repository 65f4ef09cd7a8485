"""A grid over any fields of the scenario, computed on all cores, kept point by point.

Every finished point is a Parquet file of its own in the folder, written whole and then renamed, so that a crash at
any moment leaves only finished points. Its name is the hash of everything its numbers depend on: so the next run
computes only what is missing, and a changed model, cost book or version of meshsim is never mixed with the old one.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, Field
from pydantic_core import to_jsonable_python

from meshsim import __version__
from meshsim.formats.load import load_application
from meshsim.results.rows import Estimate, Refused, Row
from meshsim.scenario.base import MeshsimError, Strict
from meshsim.scenario.catalog import load_costs, load_dataplane, load_machine, refuse_other_kind
from meshsim.scenario.scenario import Scenario
from meshsim.scenario.suggest import choices
from meshsim.scenario.yaml_io import Document, read, validate
from meshsim.studies.inputs import checked_jobs
from meshsim.studies.point import Point, simulate_point
from meshsim.studies.pool import Progress, Stop, Tick, Work, run_all
from meshsim.studies.setup import Prepared, canonical_hash

if TYPE_CHECKING:
    import pandas as pd

MOST_POINTS = 1_000_000
Value = str | int | float | bool | list[str] | dict[str, float] | None


class Study(Strict):
    """A base scenario and the values that some of its fields take: every combination is one point."""

    schema_: Annotated[Literal["meshsim/study/1"], Field(alias="schema")]
    name: str = ""
    scenario: Annotated[dict[str, Any], Field(description="The fields of a scenario that stay the same")] = {}
    grid: Annotated[
        dict[str, Annotated[list[Value], Field(min_length=1)]],
        Field(min_length=1, description="Dotted field of the scenario (dataplane, load.rps, run.seed …): its values"),
    ]


@dataclass(frozen=True)
class SweepPoint:
    """One combination, read in, with the name under which its numbers are kept."""

    key: str
    prepared: Prepared


@dataclass(frozen=True)
class Sweep:
    """What a sweep did."""

    folder: Path
    points: list[SweepPoint]
    known: int
    """Points that an earlier run had left in the folder."""
    computed: int
    failed: int
    """Points, of any run, whose row says why there are no numbers."""
    partial: bool

    def table(self) -> pd.DataFrame:
        """One row a finished point of this study, in the order of the grid. Units are in the names of the columns."""
        import pandas as pd

        paths = [path for point in self.points if (path := part(self.folder, point.key)).exists()]
        frames = [pd.read_parquet(path) for path in paths]
        return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=list(column_types()))


def sweep(
    study: str | Path,
    out: str | Path,
    *,
    jobs: int | None = None,
    dry_run: bool = False,
    on_progress: Progress | None = None,
    should_stop: Stop | None = None,
) -> Sweep:
    """Compute the points of a study that ``out`` does not hold yet. ``dry_run`` only counts them.

    ``study``: path of a YAML file; ``jobs``: processes, -1 or left out for all cores. A point that cannot be
    simulated (overloaded, does not fit, a cost is missing) leaves a row with its error and does not stop the others.
    When stopped, every finished point has been kept. Raises MeshsimError, with file and line, for a wrong study.
    """
    processes = checked_jobs(-1 if jobs is None else jobs)
    points = read_study(study)
    folder = Path(out)
    if not dry_run:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise MeshsimError(f"out: {out} received; the folder cannot be made ({error.strerror})") from None
    missing = [point for point in points if not part(folder, point.key).exists()]
    known = len(points) - len(missing)
    failed = sum(_has_failed(part(folder, point.key)) for point in points if part(folder, point.key).exists())
    computed = 0

    def count(index: int, error: str) -> None:
        nonlocal computed, failed
        computed += 1
        failed += bool(error)

    complete = True
    if missing and not dry_run:
        work: Work[tuple[Path, SweepPoint], str] = compute
        complete = run_all(
            work,
            [(folder, point) for point in missing],
            size=1000,
            jobs=processes,
            on_result=count,
            on_progress=on_progress,
            should_stop=should_stop,
        )
    return Sweep(folder, points, known, computed, failed, not complete)


def part(folder: Path, key: str) -> Path:
    """Where a point is kept."""
    return folder / f"{key}.parquet"


# The study -----------------------------------------------------------------------------------------------------


def read_study(path: str | Path) -> list[SweepPoint]:
    """Every point of a study file, the last field of the grid changing fastest. Errors carry file and line."""
    document = read(path)
    refuse_other_kind(document, "study")
    study = validate(Study, document)
    fields = scenario_fields()
    for name in study.grid:
        if name not in fields:
            raise document.fail(("grid", name), f"unknown field of a scenario; {choices(name, fields, limit=20)}")
    total = 1
    for values in study.grid.values():
        total *= len(values)
    if total > MOST_POINTS:
        raise document.fail(("grid",), f"{total:,} points; a study has at most {MOST_POINTS:,}")
    library = _Library(Path(path).parent)
    points: dict[str, SweepPoint] = {}
    for picks in itertools.product(*(range(len(values)) for values in study.grid.values())):
        at = _one_point(document, study, dict(zip(study.grid, picks, strict=True)))
        scenario = validate(Scenario, at)
        point = library.prepare(scenario, at)
        points.setdefault(point.key, point)  # the same value given twice is one point
    return list(points.values())


def scenario_fields(model: type[BaseModel] = Scenario, prefix: str = "") -> list[str]:
    """Dotted names of everything that a grid may vary."""
    found: list[str] = []
    for name, info in model.model_fields.items():
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            found += scenario_fields(info.annotation, f"{prefix}{name}.")
        elif name not in ("schema_", "name"):
            found.append(prefix + name)
    return found


def _one_point(document: Document, study: Study, picks: dict[str, int]) -> Document:
    """The scenario of one point as if it were a file of its own: values, and the lines of the study they came from."""
    data: dict[str, Any] = _copy(study.scenario)
    lines = {where[1:]: line for where, line in document.lines.items() if where and where[0] == "scenario"}
    for name, number in picks.items():
        place = tuple(name.split("."))
        here = data
        for step in place[:-1]:
            here = here.setdefault(step, {})
            if not isinstance(here, dict):
                raise document.fail(("scenario", *place[:-1]), f"{here!r} received; a mapping was expected")
        here[place[-1]] = study.grid[name][number]
        for depth in range(1, len(place)):
            lines.setdefault(place[:depth], document.line(("grid", name)))
        lines[place] = document.line(("grid", name, number))
    return Document(document.name, data, lines)


def _copy(value: Any) -> Any:
    return {key: _copy(inner) for key, inner in value.items()} if isinstance(value, dict) else value


class _Library:
    """Reads each file once, however many points name it, and takes its hash."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.read: dict[tuple[str, ...], Any] = {}
        self.hash: dict[tuple[str, ...], str] = {}

    def prepare(self, scenario: Scenario, at: Document) -> SweepPoint:
        application, notes = self.get(at, ("application", scenario.application), load_application)
        plane = self.get(at, ("dataplane", scenario.dataplane), load_dataplane)
        machine = self.get(at, ("cluster.machine", scenario.cluster.machine), load_machine)
        books = ("costs", *scenario.costs)
        costs = self.get(at, books, lambda _, base: load_costs(scenario.costs, base))
        identity = {
            "scenario": scenario.model_dump(mode="json", exclude={"name"}),
            "application": self.hashed(("application", scenario.application), application),
            "dataplane": self.hashed(("dataplane", scenario.dataplane), plane),
            "machine": self.hashed(("cluster.machine", scenario.cluster.machine), machine),
            "costs": self.hashed(books, costs.books),
            "meshsim": __version__,
        }
        return SweepPoint(
            canonical_hash(identity), Prepared(scenario, application, plane, machine, costs, tuple(notes))
        )

    def get(self, at: Document, name: tuple[str, ...], load: Callable[[str, Path], Any]) -> Any:
        if name not in self.read:
            try:
                self.read[name] = load(name[1], self.base)
            except MeshsimError as error:
                raise at.fail(tuple(name[0].split(".")), str(error)) from None
        return self.read[name]

    def hashed(self, name: tuple[str, ...], thing: BaseModel | Sequence[BaseModel]) -> str:
        if name not in self.hash:
            self.hash[name] = canonical_hash(thing)
        return self.hash[name]


# One point -----------------------------------------------------------------------------------------------------


def compute(task: tuple[Path, SweepPoint], tick: Tick, stop: Stop) -> str | None:
    """Simulate one point and keep it; its error, or an empty text; None if it was stopped."""
    folder, point = task
    found: Point | Refused | None = None
    try:
        found = simulate_point(point.prepared, tick, stop)
        if found is None:
            return None
        error = found.reason if isinstance(found, Refused) else ""
    except MeshsimError as failure:
        error = str(failure)
    row = found.row if isinstance(found, Point) else None
    keep(folder, point, row, error)
    return error


def keep(folder: Path, point: SweepPoint, row: Row | None, error: str) -> None:
    """Write one row whole, then give it its name: nobody ever sees half of it."""
    import pyarrow as pa  # type: ignore[import-untyped]
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    types = column_types()
    values = dict.fromkeys(types) | _identity(point) | ({} if row is None else _numbers(row)) | {"error": error}
    kinds = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
    schema = pa.schema([(name, kinds[kind]) for name, kind in types.items()])
    table = pa.table({name: [values[name]] for name in types}, schema=schema)
    # Parquet readers skip names that begin with a dot.
    unfinished = folder / f".{point.key}.{os.getpid()}"
    pq.write_table(table, unfinished)
    os.replace(unfinished, part(folder, point.key))


QUANTILES = ("p50", "p90", "p99", "p999")


def column_types() -> dict[str, type]:
    """The columns of a part, the same for every point: what was asked, then what came out."""
    types: dict[str, type] = {"key": str, "meshsim": str}
    numbers: dict[str, type] = {"cluster_cpu_slice_us": float, "load_rps": float, "run_warmup_share": float}
    numbers |= {"cluster_churn_per_minute": float}
    numbers |= {"cluster_cpu_quota_period_ms": float, "cluster_nic_gbps": float, "load_burst": int}
    numbers |= {"run_requests": int, "run_seed": int, "run_sample": int, "services": int}
    for name in scenario_fields():
        column = COLUMN_NAMES.get(name, name.replace(".", "_"))
        types[column] = numbers.get(column, str)
    for name in (*QUANTILES, "mean"):
        types |= {f"latency_{name}{end}_us": float for end in ("", "_low", "_high")}
    types |= {f"cpu_{name}_cores": float for name in ("application", "proxy", "kernel", "total")}
    types |= {"memory_mib": float, "pods": int, "nodes": int, "usd_month": float}
    types |= {
        "requests": int,
        "failed_requests": int,
        "goodput_rps": float,
        "events": int,
        "busiest": str,
        "utilisation_share": float,
    }
    for name, unit in MODEL_ERRORS.items():
        types |= {f"model_error_{name}{end}_{unit}": float for end in ("_low", "_high")}
    return types | {"audit_ok": bool, "error": str}


COLUMN_NAMES = {"run.warmup": "run_warmup_share"}
MODEL_ERRORS = {"latency_p50": "us", "cpu": "cores", "memory": "mib", "usd": "month"}


def _identity(point: SweepPoint) -> dict[str, Any]:
    values: dict[str, Any] = {"key": point.key, "meshsim": __version__}
    scenario = point.prepared.scenario
    for name in scenario_fields():
        value: Any = scenario
        for step in name.split("."):
            value = getattr(value, step)
        if name == "costs":
            value = ",".join(value)
        elif name == "services":
            value = len(point.prepared.application.services)
        elif name == "cluster.nodes":
            value = str(value)  # a number, or auto
        elif name == "cluster.nic_gbps":
            pass  # a number, or none
        elif value is None or isinstance(value, BaseModel | list | dict):  # rules and shapes: as JSON, empty for none
            plain = to_jsonable_python(value, by_alias=True, exclude_none=True)
            value = json.dumps(plain, sort_keys=True) if plain else ""
        values[COLUMN_NAMES.get(name, name.replace(".", "_"))] = value
    return values


def _numbers(row: Row) -> dict[str, Any]:
    estimates: dict[str, Estimate] = {name: getattr(row.latency_us, name) for name in QUANTILES} | {"mean": row.mean_us}
    values: dict[str, Any] = {}
    for name, estimate in estimates.items():
        values[f"latency_{name}_us"] = estimate.value
        values[f"latency_{name}_low_us"], values[f"latency_{name}_high_us"] = estimate.low, estimate.high
    for name in ("application", "proxy", "kernel", "total"):
        values[f"cpu_{name}_cores"] = getattr(row.cpu_cores, name)
    error = row.model_error
    bands = {"latency_p50": error.latency_us_p50, "cpu": error.cpu_cores, "memory": error.memory_mib}
    bands["usd"] = error.usd_month
    for name, unit in MODEL_ERRORS.items():
        values[f"model_error_{name}_low_{unit}"] = bands[name].low
        values[f"model_error_{name}_high_{unit}"] = bands[name].high
    for name in ("memory_mib", "pods", "nodes", "usd_month", "requests", "goodput_rps", "events", "busiest"):
        values[name] = getattr(row, name)
    return values | {
        "failed_requests": row.failed,
        "utilisation_share": row.utilisation,
        "audit_ok": row.audit.ok,
    }


def _has_failed(path: Path) -> bool:
    import pyarrow.parquet as pq

    return bool(pq.read_table(path, columns=["error"])["error"][0].as_py())
