"""What every model file shares: strict fields, sources, and the error a user sees."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class MeshsimError(Exception):
    """A mistake in the input, said in one clear message. The command line prints it and exits with 2."""


class Strict(BaseModel):
    """A model that refuses unknown fields and cannot be changed after it was read."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


class Source(Strict):
    """Where a fact came from."""

    ref: Annotated[str, Field(min_length=3, description="Document, repository and path, or paper")]
    note: Annotated[str, Field(description="What was taken from it, and under which conditions")] = ""
    read: Annotated[str, Field(description="Date on which it was read, YYYY-MM-DD")] = ""


Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=120)]
PositiveInt = Annotated[int, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
