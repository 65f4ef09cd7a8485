"""The models that come with the package, and files of the user's own: by name or by path."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from meshsim.costs.book import CostBook
from meshsim.costs.books import Costs
from meshsim.scenario.application import Application
from meshsim.scenario.dataplane import DataPlane
from meshsim.scenario.machine import Machine
from meshsim.scenario.scenario import Scenario
from meshsim.scenario.suggest import choices
from meshsim.scenario.yaml_io import Document, InputError, parse, read, validate

KINDS: dict[str, type[BaseModel]] = {
    "applications": Application,
    "dataplanes": DataPlane,
    "costs": CostBook,
    "machines": Machine,
}
ONE = {"applications": "application", "dataplanes": "data plane", "costs": "cost book", "machines": "machine"}
ENDINGS = (".yaml", ".yml", ".json", ".toml")

M = TypeVar("M", bound=BaseModel)


def models_root() -> Path:
    """The folder ``models``: inside an installed package, beside it in a checkout."""
    package = Path(str(files("meshsim")))
    inside = package / "models"
    return inside if inside.is_dir() else package.parent / "models"


def names(kind: str) -> list[str]:
    """Names of all models of a kind: applications, dataplanes, costs or machines."""
    return sorted(path.stem for path in (models_root() / kind).glob("*.yaml"))


def resolve(kind: str, name_or_path: str | Path, base: Path | None = None) -> Path:
    """Path of a model by its name in the catalogue, or of a file. InputError with the nearest name if neither.

    Relative paths are looked up in ``base`` first (the folder of the file that names them), then where we are.
    """
    text = str(name_or_path)
    if text in names(kind):
        return models_root() / kind / f"{text}.yaml"
    candidates = [base / text] if base is not None else []
    for candidate in [*candidates, Path(text)] if text and len(text) < 4096 and "\0" not in text else []:
        if candidate.exists():
            return candidate
    if "/" in text or text.endswith(ENDINGS):
        raise InputError(f"{text}: no such file")
    raise InputError(f"{ONE[kind]} {text!r}: no such name, and no such file; {choices(text, names(kind))}")


def load_dataplane(name_or_path: str | Path, base: Path | None = None) -> DataPlane:
    """A data plane by name or path."""
    return _load(DataPlane, "dataplanes", name_or_path, base)


def load_machine(name_or_path: str | Path, base: Path | None = None) -> Machine:
    """A node type by name or path."""
    return _load(Machine, "machines", name_or_path, base)


def scoreboards() -> list[Path]:
    """Files of the scoreboards that come with meshsim; that of the default costs first."""
    return sorted((models_root() / "validation").glob("*.json"), key=lambda path: path.stem)


def load_book(name_or_path: str | Path, base: Path | None = None) -> CostBook:
    """A cost book by name or path."""
    return _load(CostBook, "costs", name_or_path, base)


def load_costs(books: Sequence[str | Path], base: Path | None = None) -> Costs:
    """Several books as one; the first that knows an operation wins."""
    return Costs([load_book(book, base) for book in books])


def load_scenario(path: str | Path) -> Scenario:
    """A scenario file. What it names is looked up beside it: pass its folder as ``base``."""
    document = read(path)
    refuse_other_kind(document, "scenario")
    return validate(Scenario, document)


RULES = ("resilience", "rate_limits", "balancing", "connections", "autoscaling", "faults")


def load_rules(path: str | Path) -> dict[str, Any]:
    """The part of a scenario that says what fails and what is done about it, from a file of its own: RULES by name."""
    document = read(path)
    if not isinstance(document.data, dict):
        raise document.fail((), f"a mapping was expected with some of: {', '.join(RULES)}")
    for name in document.data:
        if name not in RULES:
            raise document.fail((name,), f"unknown field; {choices(str(name), RULES)}")
    whole = replace(document, data={"application": "any", **document.data})
    scenario = validate(Scenario, whole)
    return {name: getattr(scenario, name) for name in document.data}


def _load(model: type[M], kind: str, name_or_path: str | Path, base: Path | None) -> M:
    document = read(resolve(kind, name_or_path, base))
    refuse_other_kind(document, ONE[kind])
    return validate(model, document)


def refuse_other_kind(document: Document, wanted: str) -> None:
    """A file that says what it is, and is something else, gets one sentence instead of a list of missing fields."""
    schema = document.data.get("schema") if isinstance(document.data, dict) else None
    if isinstance(schema, str) and schema.startswith("meshsim/"):
        is_ = {"dataplane": "data plane", "costs": "cost book"}.get(schema.split("/")[1], schema.split("/")[1])
        if is_ != wanted:
            article = "an" if wanted[0] in "aeiou" else "a"
            raise document.fail(
                ("schema",), f"{schema!r} received; this is a {is_}, and {article} {wanted} was expected"
            )


__all__ = [
    "KINDS",
    "load_book",
    "load_costs",
    "load_dataplane",
    "load_machine",
    "load_scenario",
    "models_root",
    "names",
    "parse",
    "resolve",
]
