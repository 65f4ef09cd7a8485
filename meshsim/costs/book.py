"""A cost book: what each small operation costs, where that figure came from and how sure it is."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from meshsim.scenario.base import Name, Source, Strict


class Evidence(Strict):
    """What is behind a measured cost."""

    experiment: Annotated[str, Field(description="Which experiment of `meshsim measure` gave it")]
    rounds: Annotated[int, Field(ge=1, description="Interleaved rounds")]
    spread: Annotated[
        float, Field(ge=0, description="How far the rounds differ: (largest - smallest) / median of the figure")
    ]
    quantiles: Annotated[
        dict[str, float], Field(description="Raw quantiles of what was observed, in the experiment's own unit")
    ] = {}
    residuals: Annotated[
        dict[str, float], Field(description="Quantiles of (observed - fitted) / fitted, where a line was fitted")
    ] = {}
    taken_off: Annotated[str, Field(description="What measuring itself costs, and how it was taken off")] = ""


class Cost(Strict):
    """One operation. Times are means in nanoseconds; ``standard_error`` is relative to them."""

    operation: Annotated[str, Field(pattern=r"^[a-z0-9]+([.-][a-z0-9]+)*$")]
    unit: Annotated[str, Field(description="Of what it is the cost: message, wake-up, proxy, cluster, node …")]
    cpu_ns: Annotated[float, Field(ge=0, description="CPU time per unit")] = 0.0
    cpu_ns_per_byte: Annotated[float, Field(ge=0, description="CPU time per payload byte")] = 0.0
    wait_ns: Annotated[float, Field(ge=0, description="Time off the CPU per unit")] = 0.0
    wait_ns_per_byte: Annotated[float, Field(ge=0, description="Time off the CPU per payload byte")] = 0.0
    bytes: Annotated[float, Field(ge=0, description="Memory per unit")] = 0.0
    cores: Annotated[float, Field(ge=0, description="CPU cores in use all the time, per unit")] = 0.0
    ratio: Annotated[float, Field(ge=0, description="For what is a factor and no amount, such as a slow-down")] = 0.0
    law: Annotated[Literal["constant", "exponential", "lognormal"], Field(description="Shape of the time")] = "constant"
    cv: Annotated[float, Field(gt=0, le=10, description="Standard deviation over mean, for lognormal")] = 0.5
    kernel_share: Annotated[
        float, Field(ge=0, le=1, description="Part of cpu_ns spent in the kernel on behalf of the payer")
    ] = 0.0
    standard_error: Annotated[float, Field(ge=0, le=3, description="Relative, one sigma, of the mean")]
    source: Literal["measured", "published", "derived", "assumed"]
    reference: Annotated[str, Field(min_length=3, description="Where it was read, or how it was derived")]
    conditions: Annotated[str, Field(description="Machine, versions, rate, payload")] = ""
    evidence: Annotated[Evidence | None, Field(description="For source: measured")] = None

    @model_validator(mode="after")
    def _costs_something_or_says_nothing(self) -> Cost:
        if self.source == "assumed" and self.standard_error < 0.3:
            raise ValueError(
                f"{self.operation}: an assumed cost claims a standard error of {self.standard_error}; at least 0.3"
            )
        return self


class CostBook(Strict):
    """A named list of costs, from one place and time."""

    schema_: Annotated[Literal["meshsim/costs/1"], Field(alias="schema")]
    name: Name
    title: str = ""
    summary: str = ""
    machine: Annotated[str, Field(description="On what the figures were taken")] = ""
    host: Annotated[
        dict[str, str], Field(description="Conditions of a measured book: processor, kernel, versions")
    ] = {}
    samples: Annotated[str, Field(description="File beside this one with the raw samples of a measured book")] = ""
    entries: Annotated[list[Cost], Field(min_length=1)]
    sources: list[Source] = []

    @property
    def measured(self) -> bool:
        """Whether it was measured on one host, rather than put together from documents."""
        return bool(self.host)

    @model_validator(mode="after")
    def _each_operation_once(self) -> CostBook:
        seen: set[str] = set()
        for entry in self.entries:
            if entry.operation in seen:
                raise ValueError(f"operation {entry.operation} is given twice in book {self.name}")
            seen.add(entry.operation)
        return self
