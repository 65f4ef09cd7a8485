"""A node type: cores, memory, what it costs and what it draws."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from meshsim.scenario.base import Name, Source, Strict


class Power(Strict):
    """Electrical power of a server, for each vCPU and each GiB; at its plug, so without the cooling of the building."""

    idle_watts_core: Annotated[float, Field(ge=0, le=1000, description="Of a vCPU that does nothing")]
    busy_watts_core: Annotated[float, Field(ge=0, le=1000, description="Of a vCPU that is busy all the time")]
    watts_gib: Annotated[float, Field(ge=0, le=100, description="Of a GiB of memory")]

    @model_validator(mode="after")
    def _more_when_busy(self) -> Power:
        if self.busy_watts_core < self.idle_watts_core:
            raise ValueError(
                f"busy_watts_core: {self.busy_watts_core:g} received; "
                f"must be at least idle_watts_core, {self.idle_watts_core:g}"
            )
        return self


class Machine(Strict):
    """One kind of node, with the price and the day on which the price was read."""

    schema_: Annotated[Literal["meshsim/machine/1"], Field(alias="schema")]
    name: Name
    title: str = ""
    cores: Annotated[int, Field(ge=1, le=1024, description="vCPUs that the scheduler sees")]
    memory_mib: Annotated[float, Field(gt=0)]
    allocatable_cores: Annotated[float, Field(gt=0, description="What is left for pods")]
    allocatable_memory_mib: Annotated[float, Field(gt=0)]
    max_pods: Annotated[int, Field(ge=1, description="The kubelet's limit")] = 110
    start_s: Annotated[
        float | None,
        Field(
            ge=0, le=86_400, description="From the request for a node to its readiness; else the book's startup.node"
        ),
    ] = None
    usd_hour: Annotated[float, Field(ge=0, description="On demand")]
    cross_zone_usd_gb: Annotated[
        float | None,
        Field(
            ge=0, le=100, description="What a GB (1e9 bytes) between two zones costs, both ends together; null: unknown"
        ),
    ] = None
    power: Annotated[Power | None, Field(description="Null: unknown, so no result has watts")] = None
    price_date: Annotated[str, Field(pattern=r"^\d{4}-\d{2}(-\d{2})?$")]
    sources: Annotated[list[Source], Field(min_length=1)]

    def watts(self, cores: float, memory_mib: float) -> float | None:
        """Power that ``cores`` in use and ``memory_mib`` held add to nodes that run anyway; None where it is unknown.

        (busy - idle) x cores + memory x watts of a GiB: the formula of the Cloud Carbon Footprint methodology,
        average watts = min watts + utilisation x (max watts - min watts), without its first part. What an idle vCPU
        draws is not counted: it is drawn without this work, too.
        """
        if self.power is None:
            return None
        busy = self.power.busy_watts_core - self.power.idle_watts_core
        return busy * cores + self.power.watts_gib * memory_mib / 1024
