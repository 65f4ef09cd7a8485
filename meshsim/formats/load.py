"""An application, whatever it is written in."""

from __future__ import annotations

import re
from pathlib import Path

from meshsim.formats import isotope
from meshsim.scenario.application import Application
from meshsim.scenario.catalog import refuse_other_kind, resolve
from meshsim.scenario.yaml_io import InputError, read, validate


def load_application(name_or_path: str | Path, base: Path | None = None) -> tuple[Application, list[str]]:
    """An application of the catalogue by name, or a file: ours, or an isotope service graph.

    Returns it with notes on what the reader assumed or left out. InputError for anything else.
    """
    path = resolve("applications", name_or_path, base)
    document = read(path)
    if isotope.is_isotope(document.data):
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).lstrip("-._") or "isotope"
        return isotope.convert(document, name)
    refuse_other_kind(document, "application")
    if isinstance(document.data, dict) and "schema" not in document.data:
        raise InputError(
            f"{document.name}:1: neither a meshsim application (first field `schema: meshsim/application/1`) "
            "nor an isotope service graph (a list of `services`)"
        )
    return validate(Application, document), []
