"""A node type: cores, memory and what it costs."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from meshsim.scenario.base import Name, Source, Strict


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
    price_date: Annotated[str, Field(pattern=r"^\d{4}-\d{2}(-\d{2})?$")]
    sources: Annotated[list[Source], Field(min_length=1)]
