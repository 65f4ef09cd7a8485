"""An application, whatever it is written in."""

from __future__ import annotations

import re
from pathlib import Path

from meshsim.formats import isotope, jaeger, kiali, kubernetes, otlp
from meshsim.formats.fields import one_line
from meshsim.scenario.application import Application
from meshsim.scenario.catalog import refuse_other_kind, resolve
from meshsim.scenario.yaml_io import InputError, read, validate

READERS = (
    (isotope.is_isotope, isotope.convert),
    (kiali.is_kiali, kiali.convert),
    (kubernetes.is_kubernetes, kubernetes.convert),
    (jaeger.is_jaeger, jaeger.convert),
    (otlp.is_otlp, otlp.convert),
)
"""How to tell a format, and how to read it."""
FORMATS = (
    "an isotope service graph (a list of `services`), a Kiali graph (`elements`), Kubernetes manifests (`apiVersion` "
    "and `kind`), nor traces (Jaeger's `data`, OTLP's `resourceSpans`)"
)


def load_application(name_or_path: str | Path, base: Path | None = None) -> tuple[Application, list[str]]:
    """An application of the catalogue by name, or a file: ours, or in another format (docs/applications.md).

    Returns it with notes on what the reader assumed or left out, a line each. InputError for anything else.
    """
    path = resolve("applications", name_or_path, base)
    document = read(path, several=True)
    for knows, convert in READERS:
        if knows(document.data):
            name = re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).lstrip("-._")[:120] or "application"
            application, notes = convert(document, name)
            return application, [one_line(note) for note in notes]
    refuse_other_kind(document, "application")
    if document.documents > 1:
        raise document.fail((1,), f"document 2 of {document.documents} begins here; a meshsim application is one")
    if isinstance(document.data, dict) and "schema" not in document.data:
        raise InputError(
            f"{document.name}:1: neither a meshsim application (first field `schema: meshsim/application/1`), {FORMATS}"
        )
    return validate(Application, document), []
