"""A data plane: which proxies a request meets, what they do, and how traffic gets to them.

Nothing here says "Istio": a named mesh is one YAML file in ``models/dataplanes`` that makes these choices.
What each choice costs is in the cost book; how a choice becomes work on a path is in ``meshsim/plan/hops.py``.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from meshsim.scenario.application import Resources
from meshsim.scenario.base import Name, Source, Strict

ConfigScope = Literal["mesh", "namespace", "dependencies", "node"]


class Proxy(Strict):
    """One kind of proxy that stands on the path of a call."""

    name: Annotated[Name, Field(description="Its role here: sidecar, ztunnel, waypoint, node-proxy")]
    software: Annotated[Name, Field(description="Key of the cost book: costs are proxy.<software>.*")]
    placed: Annotated[
        Literal["pod", "node", "waypoint"],
        Field(
            description="pod: one in every pod; node: one on every node; "
            "waypoint: `replicas` of them for each `waypoint_for`, anywhere in the cluster"
        ),
    ]
    ends: Annotated[
        list[Literal["source", "destination"]],
        Field(
            description="At which ends of a call a request meets it; a waypoint stands between and leaves this empty"
        ),
    ] = []
    layer: Annotated[
        Literal["L4", "L7"],
        Field(description="L4 forwards bytes; L7 parses requests (protocol tcp is forwarded as bytes even so)"),
    ]
    only_for: Annotated[
        Literal["L7"] | None,
        Field(description="L7: it is on the path only when the scenario asks for L7 policy and the protocol has one"),
    ] = None
    workers: Annotated[int, Field(ge=1, le=1024, description="Worker threads of one proxy")] = 2
    telemetry: Annotated[bool, Field(description="Per-request metrics, recorded after the answer was sent")] = True
    terminates_mtls: Annotated[bool, Field(description="Encrypts and decrypts records on the side of the wire")] = True
    capture: Annotated[
        Literal["iptables-redirect", "tproxy", "ebpf", "explicit"],
        Field(description="How a connection of the application reaches it"),
    ] = "iptables-redirect"
    config_scope: Annotated[
        ConfigScope,
        Field(
            description="Which services it keeps configuration for: the whole mesh, its namespace, "
            "only what its pods call, or (node) what the pods of its node call and are"
        ),
    ] = "mesh"
    requests: Annotated[Resources, Field(description="What Kubernetes reserves for one of them")] = Resources()
    limits: Annotated[
        Resources | None, Field(description="What Kubernetes lets one of them use at most; none when left out")
    ] = None
    replicas: Annotated[int, Field(ge=1, description="Of one waypoint")] = 2
    waypoint_for: Annotated[Literal["namespace", "service"], Field(description="What one waypoint serves")] = (
        "namespace"
    )

    @model_validator(mode="after")
    def _ends_fit_the_place(self) -> Proxy:
        if self.placed == "waypoint" and self.ends:
            raise ValueError(f"proxy {self.name}: a waypoint stands between the ends; leave `ends` out")
        if self.placed != "waypoint" and not self.ends:
            raise ValueError(f"proxy {self.name}: say at which `ends` a call meets it: source, destination or both")
        return self


class Kernel(Strict):
    """What the kernel itself does for a message in this data plane."""

    service_routing: Annotated[
        Literal["iptables", "ebpf"],
        Field(description="How a service address becomes a pod address: kube-proxy's iptables and conntrack, or eBPF"),
    ] = "iptables"
    policy: Annotated[bool, Field(description="An eBPF identity check on each message, at each end")] = False
    encryption: Annotated[
        Literal["none", "wireguard"], Field(description="Node to node, for messages that leave the node")
    ] = "none"


class Agent(Strict):
    """A daemon that every node (or the cluster) runs, off the path of requests."""

    name: Name
    per: Annotated[Literal["node", "cluster"], Field(description="One a node, or `replicas` in the cluster")]
    software: Annotated[Name, Field(description="Key of the cost book: memory.<software>.*, idle.<software>")]
    replicas: Annotated[int, Field(ge=1, description="For per: cluster")] = 1
    requests: Resources = Resources()


class DataPlane(Strict):
    """One mesh data plane, as a composition of independent choices."""

    schema_: Annotated[Literal["meshsim/dataplane/1"], Field(alias="schema")]
    name: Name
    title: str
    summary: str
    version: Annotated[str, Field(description="Which releases the choices and costs describe")] = ""
    proxies: Annotated[list[Proxy], Field(description="In the order in which a request meets them")] = []
    kernel: Kernel = Kernel()
    agents: list[Agent] = []
    lacks: Annotated[list[str], Field(description="What it cannot do, in words")] = []
    sources: list[Source] = []

    @model_validator(mode="after")
    def _at_most_one_waypoint(self) -> DataPlane:
        if sum(proxy.placed == "waypoint" for proxy in self.proxies) > 1:
            raise ValueError("a data plane has at most one kind of waypoint")
        names = [proxy.name for proxy in self.proxies]
        if len(set(names)) != len(names):
            raise ValueError(f"two proxies have the same name: {names}")
        return self
