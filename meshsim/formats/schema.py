"""JSON Schemas of our files, for editors: completion, help texts and checks while typing."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from meshsim.costs.book import CostBook
from meshsim.scenario.application import Application
from meshsim.scenario.base import MeshsimError
from meshsim.scenario.dataplane import DataPlane
from meshsim.scenario.machine import Machine
from meshsim.scenario.scenario import Scenario
from meshsim.scenario.suggest import choices

MODELS: dict[str, type[BaseModel]] = {
    "application": Application,
    "dataplane": DataPlane,
    "machine": Machine,
    "costs": CostBook,
    "scenario": Scenario,
}


def json_schema(kind: str) -> dict[str, Any]:
    """Schema (draft 2020-12) of a kind of file: application, dataplane, machine, costs or scenario."""
    if kind not in MODELS:
        raise MeshsimError(f"kind {kind!r} received; {choices(kind, MODELS)}")
    schema = MODELS[kind].model_json_schema(by_alias=True)
    if kind == "application":  # a branch of one step may be written without its list: the model wraps it
        branches = schema["$defs"]["Step"]["properties"]["parallel"]["anyOf"][0]
        branches["items"] = {"anyOf": [branches["items"], {"$ref": "#/$defs/Step"}]}
    return {**schema, "$schema": "https://json-schema.org/draft/2020-12/schema", "title": f"meshsim {kind}"}
