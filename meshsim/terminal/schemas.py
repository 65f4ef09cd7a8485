"""JSON Schemas of everything that goes in and of the reports that come out, by one name each."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from meshsim.formats.schema import MODELS, json_schema
from meshsim.results.rows import (
    ComparisonReport,
    GrowthReport,
    MetastabilityReport,
    SensitivityReport,
    SolutionReport,
)
from meshsim.scenario.base import MeshsimError
from meshsim.scenario.suggest import choices
from meshsim.studies.study import Study

REPORTS: dict[str, type[BaseModel]] = {
    "compare": ComparisonReport,
    "grow": GrowthReport,
    "solve": SolutionReport,
    "sensitivity": SensitivityReport,
    "metastable": MetastabilityReport,
}
DIALECT = "https://json-schema.org/draft/2020-12/schema"
KINDS = {
    "application": "services, endpoints, calls, and where requests come in",
    "dataplane": "which proxies a request meets, and what they do",
    "machine": "a node type with its price",
    "costs": "a cost book",
    "scenario": "what `meshsim run` reads",
    "study": "what `meshsim sweep` reads",
    "compare": "what `compare --json` and `run --json` print",
    "grow": "what `grow --json` prints",
    "solve": "what `solve --json` prints",
    "sensitivity": "what `sensitivity --json` prints",
    "metastable": "what `metastable --json` prints",
}


def schema(kind: str) -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a kind of file or report. MeshsimError for another name."""
    if kind not in KINDS:
        raise MeshsimError(f"kind {kind!r} received; {choices(kind, KINDS)}")
    if kind in MODELS:
        return json_schema(kind)
    if kind in REPORTS:
        found = REPORTS[kind].model_json_schema(by_alias=True, mode="serialization")
    else:
        found = Study.model_json_schema(by_alias=True)
    return {"$schema": DIALECT, **found, "title": f"meshsim {kind}"}
