"""A cost book: what each small operation costs, where that figure came from and how sure it is."""

from __future__ import annotations

import math
from fnmatch import fnmatchcase
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
    """One operation. Times are means in nanoseconds (of law cold the most); ``standard_error`` is relative to them."""

    operation: Annotated[str, Field(pattern=r"^[a-z0-9]+([.-][a-z0-9]+)*$")]
    unit: Annotated[str, Field(description="Of what it is the cost: message, wake-up, proxy, cluster, node …")]
    cpu_ns: Annotated[float, Field(ge=0, description="CPU time per unit")] = 0.0
    cpu_ns_per_byte: Annotated[float, Field(ge=0, description="CPU time per payload byte")] = 0.0
    wait_ns: Annotated[float, Field(ge=0, description="Time off the CPU per unit")] = 0.0
    wait_ns_per_byte: Annotated[float, Field(ge=0, description="Time off the CPU per payload byte")] = 0.0
    bytes: Annotated[float, Field(ge=0, description="Memory per unit")] = 0.0
    cores: Annotated[float, Field(ge=0, description="CPU cores in use all the time, per unit")] = 0.0
    ratio: Annotated[float, Field(ge=0, description="For what is a factor and no amount, such as a slow-down")] = 0.0
    law: Annotated[
        Literal["constant", "exponential", "lognormal", "once-in", "cold"],
        Field(
            description="Shape of the time; once-in: one in `cv` times it is `cv` times as long, else nothing; cold: "
            "what a woken thread works more after a very long sleep, half of it after one of `cv` ms"
        ),
    ] = "constant"
    cv: Annotated[
        float,
        Field(
            gt=0,
            le=1000,
            description="Standard deviation over mean, for lognormal (at most 10); or once in; or cold, ms",
        ),
    ] = 0.5
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
        if self.law not in ("once-in", "cold") and self.cv > 10:
            raise ValueError(f"{self.operation}: cv {self.cv:g} received; at most 10, but for law once-in or cold")
        if (self.law == "cold") != self.operation.endswith(".cold"):
            raise ValueError(
                f"{self.operation}: law {self.law} received; operations .cold have law cold, and no others"
            )
        if self.law == "cold" and (self.wait_ns or self.wait_ns_per_byte):
            raise ValueError(f"{self.operation}: a law of cold is for work; waiting received")
        if self.source == "assumed" and self.standard_error < 0.3:
            raise ValueError(
                f"{self.operation}: an assumed cost claims a standard error of {self.standard_error}; at least 0.3"
            )
        return self


class Family(Strict):
    """Operations that are known only as a multiple of others: "Dapr's proxy needs 2.1 times the CPU of Envoy's".

    Every operation ``<like>.<part>`` that some book prices gives ``<operations>.<part>``, unless that has an entry of
    its own. What is known is the ratio, so it also holds on a machine on which ``like`` was measured anew.
    """

    operations: Annotated[str, Field(pattern=r"^[a-z0-9]+([.-][a-z0-9]+)*$", description="Prefix of the new names")]
    like: Annotated[
        str, Field(pattern=r"^[a-z0-9]+([.-][a-z0-9]+)*$", description="Prefix of the names they come from")
    ]
    parts: Annotated[list[str], Field(min_length=1, description="Which parts, as patterns: [http1.*, wakeup]")] = ["*"]
    factor: Annotated[float, Field(gt=0, le=1000, description="On CPU, memory and cores")]
    wait_factor: Annotated[float | None, Field(ge=0, le=1000, description="On waiting; as `factor` when left out")] = (
        None
    )
    standard_error: Annotated[float, Field(ge=0, le=3, description="Of the factor, relative, one sigma")]
    source: Literal["measured", "published", "derived", "assumed"]
    reference: Annotated[str, Field(min_length=3, description="Where the factor comes from")]
    conditions: str = ""

    @model_validator(mode="after")
    def _an_assumption_is_uncertain(self) -> Family:
        if self.source == "assumed" and self.standard_error < 0.3:
            raise ValueError(
                f"{self.operations}: an assumed factor claims a standard error of {self.standard_error}; at least 0.3"
            )
        return self

    def member(self, base: Cost) -> Cost | None:
        """The entry that follows from ``base``; None if ``base`` is not what this family is like."""
        if not base.operation.startswith(f"{self.like}."):
            return None
        part = base.operation.removeprefix(f"{self.like}.")
        if not any(fnmatchcase(part, pattern) for pattern in self.parts):
            return None
        wait = self.factor if self.wait_factor is None else self.wait_factor
        assumed = "assumed" in (base.source, self.source)
        error = math.hypot(base.standard_error, self.standard_error)
        scaled = {
            **{name: getattr(base, name) * self.factor for name in ("cpu_ns", "cpu_ns_per_byte", "bytes", "cores")},
            **{name: getattr(base, name) * wait for name in ("wait_ns", "wait_ns_per_byte")},
        }
        factors = f"{self.factor:g}" + (f" (waiting {wait:g})" if wait != self.factor else "")
        return base.model_copy(
            update={
                **scaled,
                "operation": f"{self.operations}.{part}",
                "standard_error": min(3.0, max(error, 0.3) if assumed else error),
                "source": "assumed" if assumed else self.source,
                "reference": f"{factors} x {base.operation}. {self.reference}",
                "conditions": self.conditions,
            }
        )


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
    families: Annotated[list[Family], Field(description="Operations known as a multiple of others, in order")] = []
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
