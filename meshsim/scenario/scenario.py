"""A scenario: which application, on which cluster, over which data plane, under which load."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from meshsim.scenario.autoscaling import Autoscaler
from meshsim.scenario.balancing import Balancing, Connections
from meshsim.scenario.base import Strict
from meshsim.scenario.capabilities import Feature
from meshsim.scenario.faults import Fault
from meshsim.scenario.load import Load
from meshsim.scenario.resilience import RateLimit, Rule


class Cluster(Strict):
    """The nodes and how pods are put on them."""

    machine: Annotated[str, Field(description="Name or path of a node type")] = "gcp-e2-standard-4"
    nodes: Annotated[
        int | Literal["auto"],
        Field(description="auto: as few as the reserved CPU, memory and pod limit allow"),
    ] = "auto"
    placement: Annotated[
        Literal["spread", "bin-pack"],
        Field(description="spread: replicas over the emptiest nodes; bin-pack: fill one node after the other"),
    ] = "spread"
    churn_per_minute: Annotated[
        float,
        Field(ge=0, le=1e6, description="Pods that start or stop; each change is pushed to the proxies that know it"),
    ] = 0.0
    cpu_slice_us: Annotated[
        float,
        Field(ge=0, description="Longest time that a thread keeps a core while others wait; 0: until it is done"),
    ] = 3000.0
    nic_gbps: Annotated[
        float | None,
        Field(
            gt=0,
            le=10_000,
            description="Bandwidth of a node's network interface, each way, Gbit/s; no limit if left out",
        ),
    ] = None
    zones: Annotated[int, Field(ge=1, le=100, description="Availability zones; nodes are dealt to them in turn")] = 1
    cross_zone_gbps: Annotated[
        float | None,
        Field(gt=0, le=1e6, description="Bandwidth of all that leaves a zone for others, Gbit/s; no limit if left out"),
    ] = None
    cpu_quota_period_ms: Annotated[
        float,
        Field(gt=0, le=1000, description="A container with a CPU limit may use limit x period in each such period"),
    ] = 100.0

    @model_validator(mode="after")
    def _at_least_one_node(self) -> Cluster:
        if self.nodes != "auto" and self.nodes < 1:
            raise ValueError(f"nodes: {self.nodes} received; must be at least 1, or auto")
        if self.cross_zone_gbps is not None and self.zones == 1:
            raise ValueError("cross_zone_gbps is given; zones must be at least 2 then")
        return self


Engine = Literal["auto", "reference", "compiled", "analytic"]


class Run(Strict):
    """How long to simulate, and from which random numbers."""

    requests: Annotated[int, Field(ge=100, le=100_000_000, description="Measured end-to-end requests")] = 12_000
    warmup: Annotated[float, Field(ge=0, le=10, description="Requests before them, as a share of `requests`")] = 0.1
    seed: Annotated[int, Field(ge=0, le=(1 << 63) - 1)] = 1
    engine: Annotated[
        Engine,
        Field(
            description="reference: SimPy; compiled: the same to the nanosecond as machine code, which takes some 20 s "
            "to compile once; auto: compiled if that was done, or if the run is long enough to pay for it; analytic: "
            "queueing approximations, at once and without a simulation"
        ),
    ] = "auto"
    sample: Annotated[int, Field(ge=0, le=1_000_000, description="Requests kept whole, for attribution")] = 1000


class Scenario(Strict):
    """Everything that one simulation needs, by name."""

    schema_: Annotated[Literal["meshsim/scenario/1"], Field(alias="schema")] = "meshsim/scenario/1"
    name: str = ""
    application: Annotated[
        str, Field(description="Name or path: ours, or a file in another format (docs/applications.md)")
    ]
    services: Annotated[int | None, Field(ge=1, description="Scale the application to that many services")] = None
    dataplane: Annotated[str, Field(description="Name or path")] = "no-mesh"
    policy: Annotated[
        Literal["L4", "L7"],
        Field(
            description="What the mesh is asked to do: L4 identity and encryption only, or L7 routing and metrics too"
        ),
    ] = "L7"
    requires: Annotated[
        list[Feature],
        Field(description="Features that the data plane must provide; it does them, falls back, or is refused"),
    ] = []
    cluster: Cluster = Cluster()
    load: Load = Load()
    resilience: Annotated[list[Rule], Field(description="Timeouts, retries and the like; the first that fits")] = []
    rate_limits: Annotated[list[RateLimit], Field(description="Token buckets at the pods of a service")] = []
    balancing: Annotated[list[Balancing], Field(description="How pods are chosen; the first that fits")] = []
    connections: Annotated[
        list[Connections],
        Field(description="Connections and their pinning to workers; left out: any idle worker serves any request"),
    ] = []
    autoscaling: Annotated[list[Autoscaler], Field(description="Services whose number of pods follows their load")] = []
    faults: Annotated[list[Fault], Field(description="What breaks, and when")] = []
    run: Run = Run()
    costs: Annotated[
        list[str],
        Field(min_length=1, description="Cost books, by name or path; the first that knows an operation wins"),
    ] = ["epyc-2-vcpu", "published"]
    what_if: Annotated[
        dict[str, Annotated[float, Field(ge=0, le=1e6)]],
        Field(description='Costs scaled by pattern, {"proxy.envoy.http1.*": 0.5, "*.wakeup": 0}'),
    ] = {}


__all__ = ["Cluster", "Engine", "Load", "Run", "Scenario"]
