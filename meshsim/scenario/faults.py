"""Faults on a schedule: what breaks, when, and for how long."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from meshsim.scenario.base import Fraction, Strict


class Fault(Strict):
    """Something that breaks at a time, and is well again later."""

    kind: Annotated[
        Literal["pod-crash", "proxy-crash", "slow-pod", "errors"],
        Field(
            description="pod-crash: a pod of `service` loses what it works on and refuses connections; proxy-crash: "
            "the same for one instance of the data plane's `proxy` (beside a pod of `service`, or on `node`); "
            "slow-pod: work at a pod takes `factor` times as long; "
            "errors: a pod answers a `share` of its requests with an error"
        ),
    ]
    service: Annotated[str | None, Field(description="Service whose pod it is")] = None
    replica: Annotated[int, Field(ge=1, description="Which of its pods, from 1")] = 1
    proxy: Annotated[str | None, Field(description="Name of the proxy in the data plane's file")] = None
    node: Annotated[int | None, Field(ge=1, description="Node of a proxy that serves a node, from 1")] = None
    at_s: Annotated[float, Field(ge=0, le=31_536_000, description="When it breaks, seconds from the start")]
    for_s: Annotated[float, Field(gt=0, le=31_536_000, description="How long it is broken, restart included, seconds")]
    factor: Annotated[float, Field(ge=1, le=1000, description="slow-pod: how many times as long")] = 10.0
    share: Annotated[Fraction, Field(description="errors: share of the requests")] = 1.0

    @model_validator(mode="after")
    def _names_its_victim(self) -> Fault:
        if self.kind == "proxy-crash":
            if self.proxy is None or (self.service is None) == (self.node is None):
                raise ValueError("a proxy-crash names the `proxy`, and either the `service` or the `node` it serves")
        elif self.service is None:
            raise ValueError(f"a fault of kind {self.kind} names the `service` whose pod it hits")
        return self


__all__ = ["Fault"]
