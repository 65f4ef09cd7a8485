"""An application, whatever it is written in."""

from __future__ import annotations

import re
from pathlib import Path

from meshsim.formats import isotope, jaeger, otlp
from meshsim.scenario.application import Application
from meshsim.scenario.catalog import refuse_other_kind, resolve
from meshsim.scenario.yaml_io import InputError, read, validate

READERS = (
    (isotope.is_isotope, isotope.convert),
    (jaeger.is_jaeger, jaeger.convert),
    (otlp.is_otlp, otlp.convert),
)
"""How to tell a format, and how to read it."""


def load_application(name_or_path: str | Path, base: Path | None = None) -> tuple[Application, list[str]]:
    """An application of the catalogue by name, or a file: ours, an isotope service graph, or traces.

    Returns it with notes on what the reader assumed or left out. InputError for anything else.
    """
    path = resolve("applications", name_or_path, base)
    document = read(path)
    for of_this_kind, convert in READERS:
        if of_this_kind(document.data):
            return convert(document, re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).strip("-._") or "application")
    refuse_other_kind(document, "application")
    if isinstance(document.data, dict) and "schema" not in document.data:
        raise InputError(
            f"{document.name}:1: neither a meshsim application (first field `schema: meshsim/application/1`), "
            "an isotope service graph (a list of `services`), nor traces (Jaeger's `data`, OTLP's `resourceSpans`)"
        )
    return validate(Application, document), []
