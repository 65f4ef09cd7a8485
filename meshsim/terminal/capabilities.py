"""Who can do what: the capability table of one data plane, and the matrix of several."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table

from meshsim.scenario.capabilities import FEATURES, Capability
from meshsim.scenario.dataplane import DataPlane
from meshsim.terminal.reports import heading, new_table, paragraph

DOES, FALLS_BACK, REFUSED, SILENT = "●", "↪", "–", "?"


def capability_table(plane: DataPlane) -> Table:
    """Every feature that the file answers, and how."""
    table = new_table("What it can do")
    table.add_column("feature", no_wrap=True)
    table.add_column("", no_wrap=True)
    table.add_column("by whom, or why not", overflow="fold")
    for feature, answer in _answers(plane).items():
        if answer is not None:
            table.add_row(feature, _symbol(answer), escape(_words(answer)))
    return table


def matrix(planes: Sequence[DataPlane]) -> Iterator[RenderableType]:
    """A line a feature, a column a data plane."""
    yield heading("What each data plane can do")
    names = ", ".join(f"{number} {plane.name}" for number, plane in enumerate(planes, start=1))
    yield paragraph(f"Columns: {names}.")
    table = new_table()
    table.padding = (0, 0, 0, 1)
    table.add_column("feature", no_wrap=True)
    for number in range(1, len(planes) + 1):
        table.add_column(str(number), justify="right", no_wrap=True)
    for feature in FEATURES:
        table.add_row(feature, *(_symbol(_answers(plane)[feature]) for plane in planes))
    yield table
    yield paragraph(
        f"{DOES} does it   {FALLS_BACK} falls back to another proxy, which is then on the path   {REFUSED} refused   "
        f"{SILENT} its file does not say"
    )
    yield paragraph("meshsim show NAME tells by whom and why not; --requires FEATURE asks for it in a study.")


def as_data(planes: Sequence[DataPlane]) -> dict[str, Any]:
    """The same for ``--json``: schema, features in words, and every answer."""
    return {
        "schema": "meshsim/capabilities/1",
        "features": FEATURES,
        "dataplanes": {
            plane.name: {
                feature: None if answer is None else answer.model_dump(exclude_defaults=True)
                for feature, answer in _answers(plane).items()
            }
            for plane in planes
        },
    }


def _answers(plane: DataPlane) -> dict[str, Capability | None]:
    known = {str(feature): answer for feature, answer in plane.capabilities.items()}
    return {feature: known.get(feature) for feature in FEATURES}


def _symbol(answer: Capability | None) -> str:
    if answer is None:
        return SILENT
    return REFUSED if answer.refused is not None else FALLS_BACK if answer.falls_back_to is not None else DOES


def _words(answer: Capability) -> str:
    said = answer.refused or (f"falls back to {answer.falls_back_to}" if answer.falls_back_to else f"by {answer.by}")
    return f"{said}; {answer.note}" if answer.note else said
