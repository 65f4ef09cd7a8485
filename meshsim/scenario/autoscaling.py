"""Autoscaling: how many pods a service has, and how long a new one takes to help."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from meshsim.scenario.base import Name, Strict


class StartUpStep(Strict):
    """One step of the way from "one more" to traffic: node, image, container, sidecar, configuration, endpoints."""

    name: Name
    ms: Annotated[float, Field(ge=0, le=86_400_000, description="How long it takes, ms; steps follow each other")]


class Autoscaler(Strict):
    """A HorizontalPodAutoscaler on CPU. It starts from the service's `replicas`; defaults are those of Kubernetes."""

    service: Annotated[str, Field(description="Service that is scaled")]
    min: Annotated[int, Field(ge=1, le=100_000, description="Fewest pods")] = 1
    max: Annotated[int, Field(ge=1, le=100_000, description="Most pods; nodes and the bill are sized for them")]
    target_cpu: Annotated[
        float, Field(gt=0, le=100, description="CPU in use over CPU requested, application and sidecars: 0.8 is 80 %")
    ]
    interval_s: Annotated[float, Field(gt=0, le=86_400, description="Time between two decisions, seconds")] = 15.0
    metrics_delay_s: Annotated[
        float, Field(ge=0, le=86_400, description="Age of what a decision sees, seconds; rounded up to whole intervals")
    ] = 15.0
    tolerance: Annotated[float, Field(ge=0, lt=1, description="Deviations up to this share of the target are left")] = (
        0.1
    )
    scale_down_stabilization_s: Annotated[
        float, Field(ge=0, le=86_400, description="Pods go only when no decision of this time asked for more, seconds")
    ] = 300.0
    start_up: Annotated[
        list[StartUpStep] | None,
        Field(
            min_length=1,
            description="What happens before a new pod gets requests, in order; else the chain of `meshsim bill`",
        ),
    ] = None
    new_node_s: Annotated[
        float | None,
        Field(ge=0, le=86_400, description="How long a new node takes; else the machine's start_s or startup.node"),
    ] = None

    @model_validator(mode="after")
    def _range_is_one(self) -> Autoscaler:
        if self.max < self.min:
            raise ValueError(f"autoscaling of {self.service}: max is {self.max}; it must be at least min, {self.min}")
        return self


__all__ = ["Autoscaler", "StartUpStep"]
