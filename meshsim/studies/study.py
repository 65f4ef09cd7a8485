"""A study file: a base scenario, and the values that some of its fields take. Every combination is one point."""

from __future__ import annotations

import itertools
import math
import types
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import numpy as np
from pydantic import BaseModel, Discriminator, Field, Tag, model_validator

from meshsim.formats.load import load_application
from meshsim.scenario.base import MeshsimError, Strict
from meshsim.scenario.catalog import load_costs, load_dataplane, load_machine, refuse_other_kind
from meshsim.scenario.scenario import Scenario
from meshsim.scenario.suggest import choices
from meshsim.scenario.yaml_io import Document, read, validate
from meshsim.studies.setup import Prepared, canonical_hash, with_rates
from meshsim.studies.version import model_version

MOST_POINTS = 1_000_000
DIGITS = 6
"""Significant digits of a value between two ends: a person reads them, and every computer gets the same ones."""


class Range(Strict):
    """Values between two ends, both included."""

    from_: Annotated[float, Field(alias="from")]
    to: float
    points: Annotated[int, Field(ge=2, le=100_000)] = 5
    scale: Annotated[Literal["linear", "log"], Field(description="Equal steps, or equal ratios")] = "linear"

    @model_validator(mode="after")
    def _ends(self) -> Range:
        _check_ends(self.from_, self.to, self.scale)
        return self

    def values(self) -> list[float]:
        """``points`` of them, rounded."""
        return [self.at(k / (self.points - 1)) for k in range(self.points)]

    def at(self, share: float) -> float:
        """The value at a share of the way."""
        return _between(self.from_, self.to, self.scale, share)


class Between(Strict):
    """Two ends that a sample lies between."""

    from_: Annotated[float, Field(alias="from")]
    to: float
    scale: Annotated[Literal["linear", "log"], Field(description="Uniform, or uniform in the logarithm")] = "linear"

    @model_validator(mode="after")
    def _ends(self) -> Between:
        _check_ends(self.from_, self.to, self.scale)
        return self

    def at(self, share: float) -> float:
        """The value at a share of the way."""
        return _between(self.from_, self.to, self.scale, share)


def _check_ends(low: float, high: float, scale: str) -> None:
    if not low < high:
        raise ValueError(f"from {low:g} to {high:g} received; the first must be the smaller one")
    if scale == "log" and low <= 0:
        raise ValueError(f"from {low:g} received; must be above 0 on a log scale")


def _between(low: float, high: float, scale: str, share: float) -> float:
    if scale == "log":
        return float(f"{math.exp(math.log(low) + share * (math.log(high) - math.log(low))):.{DIGITS}g}")
    return float(f"{low + share * (high - low):.{DIGITS}g}")


Listed = Annotated[list[Any], Field(min_length=1), Tag("list")]


def _form(value: Any) -> str:
    """A mapping has two ends; everything else must be a list."""
    return "range" if isinstance(value, dict | BaseModel) else "list"


Values = Annotated[Annotated[Range, Tag("range")] | Listed, Discriminator(_form)]
Drawn = Annotated[Annotated[Between, Tag("range")] | Listed, Discriminator(_form)]


class Sample(Strict):
    """Points drawn at random from a box of fields."""

    method: Annotated[
        Literal["latin-hypercube", "random"],
        Field(description="latin-hypercube: each field's range is cut into as many slices as there are points"),
    ] = "latin-hypercube"
    points: Annotated[int, Field(ge=1, le=MOST_POINTS)]
    seed: Annotated[int, Field(ge=0, description="Of the drawing; the seed of each simulation is run.seed")] = 1
    over: Annotated[
        dict[str, Drawn],
        Field(min_length=1, description="Dotted field: its two ends, or a list to choose from"),
    ]


class Study(Strict):
    """A base scenario and the values that some of its fields take: every combination is one point."""

    schema_: Annotated[Literal["meshsim/study/1"], Field(alias="schema")]
    name: str = ""
    scenario: Annotated[dict[str, Any], Field(description="The fields of a scenario that stay the same")] = {}
    grid: Annotated[
        dict[str, Values],
        Field(description="Dotted field of the scenario (dataplane, load.rps, run.seed …): its values; all combined"),
    ] = {}
    zip_: Annotated[
        dict[str, Values],
        Field(alias="zip", description="Fields that change together, first with first, second with second"),
    ] = {}
    list_: Annotated[
        list[dict[str, Any]], Field(alias="list", description="Points written out, each a few fields")
    ] = []
    sample: Sample | None = None
    replications: Annotated[
        int, Field(ge=1, le=100_000, description="Runs of each point, with run.seed, run.seed + 1, …")
    ] = 1

    @model_validator(mode="after")
    def _something_varies(self) -> Study:
        if not (self.grid or self.zip_ or self.list_ or self.sample):
            raise ValueError("neither grid, zip, list nor sample is given; a study varies something")
        lengths = {name: len(_values(values)) for name, values in self.zip_.items()}
        if len(set(lengths.values())) > 1:
            told = ", ".join(f"{name} {length}" for name, length in lengths.items())
            raise ValueError(f"zip: lists of different lengths received ({told}); they must be equally long")
        return self


@dataclass(frozen=True)
class SweepPoint:
    """One combination, read in, with the name under which its numbers are kept."""

    key: str
    prepared: Prepared
    hashes: dict[str, str]
    """Of application, data plane, machine, and of each cost book in order (with commas): see ``Store.input``."""

    @property
    def requests(self) -> int:
        """How many are simulated, warm-up included: what its run takes is about in proportion."""
        run = self.prepared.scenario.run
        return round(run.requests * (1 + run.warmup))


@dataclass(frozen=True)
class Pick:
    """A value for a field, and where in the study file it stands."""

    value: Any
    place: tuple[str | int, ...]


Block = list[dict[str, Pick]]
"""Alternatives, each with values for some fields."""


def as_point(prepared: Prepared, hashes: dict[str, str]) -> SweepPoint:
    """A scenario under the name by which its numbers are kept; ``hashes``: of what it names."""
    scenario = prepared.scenario.model_dump(mode="json", exclude={"name"})
    return SweepPoint(canonical_hash({"scenario": scenario, **hashes, "model": model_version()})[:32], prepared, hashes)


def read_study(path: str | Path) -> list[SweepPoint]:
    """Every point of a study file, in its order (of a grid, the last field changes fastest), each once.

    Errors carry file and line.
    """
    return read_study_with_inputs(path)[0]


def read_study_with_inputs(path: str | Path) -> tuple[list[SweepPoint], dict[str, dict[str, Any]], str]:
    """The points; every model file that they name, by its hash; and the name of the study."""
    document = read(path)
    refuse_other_kind(document, "study")
    study = validate(Study, document)
    blocks = list(_blocks(document, study))
    total = math.prod(len(block) for block in blocks) * study.replications
    if total > MOST_POINTS:
        raise document.fail((), f"{total:,} points; a study has at most {MOST_POINTS:,}")
    library = _Library(Path(path).parent)
    points: dict[str, SweepPoint] = {}
    for alternatives in itertools.product(*blocks):
        picks = {name: pick for alternative in alternatives for name, pick in alternative.items()}
        at = _one_point(document, study, picks)
        scenario = validate(Scenario, at)
        for replication in range(study.replications):
            run = scenario.run.model_copy(update={"seed": scenario.run.seed + replication})
            point = library.prepare(scenario.model_copy(update={"run": run}), at)
            points.setdefault(point.key, point)  # the same value given twice is one point
    return list(points.values()), library.inputs, study.name


def _blocks(document: Document, study: Study) -> Iterator[Block]:
    """What is combined with what. MeshsimError for a field that is none, or that is given twice."""
    kinds = field_kinds()
    owner: dict[str, str] = {}

    def claim(name: str, place: tuple[str | int, ...]) -> None:
        # A part of the scenario as a whole is fine, and what lies within a field has rules of its own.
        if not any(known == name or known.startswith(name + ".") or name.startswith(known + ".") for known in kinds):
            raise document.fail(place, f"unknown field of a scenario; {choices(name, kinds, limit=20)}")
        block = ".".join(map(str, place[:-1]))
        if owner.setdefault(name, str(place[0])) != str(place[0]):
            raise document.fail(place, f"{name} is given in {owner[name]} too; give it in one of them ({block})")

    def picks(name: str, values: Range | list[Any], place: tuple[str | int, ...]) -> list[Pick]:
        claim(name, place)
        if isinstance(values, Range):
            return [Pick(_fitting(value, kinds.get(name)), place) for value in values.values()]
        return [Pick(value, (*place, number)) for number, value in enumerate(values)]

    for name, values in study.grid.items():
        yield [{name: pick} for pick in picks(name, values, ("grid", name))]
    if study.zip_:
        columns = {name: picks(name, values, ("zip", name)) for name, values in study.zip_.items()}
        yield [dict(zip(columns, together, strict=True)) for together in zip(*columns.values(), strict=True)]
    if study.list_:
        block = []
        for number, point in enumerate(study.list_):
            for name in point:
                claim(name, ("list", number, name))
            block.append({name: Pick(value, ("list", number, name)) for name, value in point.items()})
        yield block
    if study.sample is not None:
        over = study.sample.over
        for name in over:
            claim(name, ("sample", "over", name))
        yield [
            {
                name: Pick(_drawn(over[name], share, kinds.get(name)), ("sample", "over", name))
                for name, share in zip(over, shares, strict=True)
            }
            for shares in _shares(study.sample).tolist()
        ]


def _shares(sample: Sample) -> np.ndarray[Any, np.dtype[np.float64]]:
    """(points, fields) numbers from 0 to 1."""
    random = np.random.default_rng(sample.seed)
    if sample.method == "random":
        return random.random((sample.points, len(sample.over)))
    from scipy.stats import qmc

    cube = qmc.LatinHypercube(d=len(sample.over), seed=random)
    shares: np.ndarray[Any, np.dtype[np.float64]] = cube.random(sample.points)
    return shares


def _drawn(values: Between | list[Any], share: float, kind: type | None) -> Any:
    if isinstance(values, Between):
        return _fitting(values.at(share), kind)
    return values[min(int(share * len(values)), len(values) - 1)]


def _fitting(value: float, kind: type | None) -> float | int:
    return round(value) if kind is int else value


def _values(values: Range | list[Any]) -> list[Any]:
    return list(values.values()) if isinstance(values, Range) else values


# Fields of a scenario ------------------------------------------------------------------------------------------


def scenario_fields() -> list[str]:
    """Dotted names of everything that a study may vary."""
    return list(field_kinds())


def field_kinds(model: type[BaseModel] = Scenario, prefix: str = "") -> dict[str, type]:
    """Dotted name of each field, and what it holds: float, int or bool; str for everything else."""
    found: dict[str, type] = {}
    for name, info in model.model_fields.items():
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            found |= field_kinds(info.annotation, f"{prefix}{name}.")
        elif name not in ("schema_", "name"):
            found[prefix + name] = _kind(info.annotation)
    return found


def _kind(annotation: Any) -> type:
    """Of a union, what all its members but None have in common: a number that may be left out is a number."""
    if get_origin(annotation) in (Union, types.UnionType):
        kinds = {_kind(member) for member in get_args(annotation) if member is not type(None)}
        return kinds.pop() if len(kinds) == 1 else str
    return annotation if annotation in (float, int, bool) else str


def _one_point(document: Document, study: Study, picks: dict[str, Pick]) -> Document:
    """The scenario of one point as if it were a file of its own: values, and the lines of the study they came from."""
    data: dict[str, Any] = _copy(study.scenario)
    lines = {where[1:]: line for where, line in document.lines.items() if where and where[0] == "scenario"}
    for name, pick in picks.items():
        place = tuple(name.split("."))
        line = document.line(pick.place)
        here = data
        for step in place[:-1]:
            here = here.setdefault(step, {})
            if not isinstance(here, dict):
                raise document.fail(("scenario", *place[:-1]), f"{here!r} received; a mapping was expected")
        here[place[-1]] = _copy(pick.value)
        for depth in range(1, len(place)):
            lines.setdefault(place[:depth], line)
        lines = {where: at for where, at in lines.items() if where[: len(place)] != place}
        lines[place] = line
    return Document(document.name, data, lines)


def _copy(value: Any) -> Any:
    return {key: _copy(inner) for key, inner in value.items()} if isinstance(value, dict) else value


class _Library:
    """Reads each file once, however many points name it, and takes its hash."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.read: dict[tuple[str, ...], Any] = {}
        self.hash: dict[tuple[str, ...], str] = {}
        self.inputs: dict[str, dict[str, Any]] = {}

    def prepare(self, scenario: Scenario, at: Document) -> SweepPoint:
        application, notes = self.get(at, ("application", scenario.application), load_application)
        plane = self.get(at, ("dataplane", scenario.dataplane), load_dataplane)
        machine = self.get(at, ("cluster.machine", scenario.cluster.machine), load_machine)
        books = ("costs", *scenario.costs)
        costs = self.get(at, books, lambda _, base: load_costs(scenario.costs, base))
        hashes = {
            "application": self.hashed(("application", scenario.application), [application]),
            "dataplane": self.hashed(("dataplane", scenario.dataplane), [plane]),
            "machine": self.hashed(("cluster.machine", scenario.cluster.machine), [machine]),
            "costs": self.hashed(books, costs.books),
        }
        scenario = with_rates(scenario, self.base)
        return as_point(
            Prepared(scenario, application, plane, machine, costs, (*notes, *map(str, costs.scales))), hashes
        )

    def get(self, at: Document, name: tuple[str, ...], load: Callable[[str, Path], Any]) -> Any:
        if name not in self.read:
            try:
                self.read[name] = load(name[1], self.base)
            except MeshsimError as error:
                raise at.fail(tuple(name[0].split(".")), str(error)) from None
        return self.read[name]

    def hashed(self, name: tuple[str, ...], things: Sequence[BaseModel]) -> str:
        if name not in self.hash:
            hashes = []
            for thing in things:
                hashes.append(canonical_hash(thing))
                self.inputs[hashes[-1]] = thing.model_dump(mode="json", by_alias=True)
            self.hash[name] = ",".join(hashes)
        return self.hash[name]
