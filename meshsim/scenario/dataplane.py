"""A data plane: which proxies a request meets, what they do, and how traffic gets to them.

Nothing here says "Istio": a named mesh is one YAML file in ``models/dataplanes`` that makes these choices.
What each choice costs is in the cost book; how a choice becomes work on a path is in ``meshsim/plan/hops.py``.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from meshsim.scenario.application import Protocol, Resources
from meshsim.scenario.base import Name, Source, Strict
from meshsim.scenario.capabilities import Capability, Feature
from meshsim.scenario.extensions import Extension, FeatureOn
from meshsim.scenario.suggest import choices

ConfigScope = Literal["mesh", "namespace", "dependencies", "node"]
Capture = Literal["iptables-redirect", "tproxy", "ebpf-connect", "sockmap", "explicit", "in-process"]


class Proxy(Strict):
    """One kind of proxy that stands on the path of a call."""

    name: Annotated[Name, Field(description="Its role here: sidecar, ztunnel, waypoint, node-proxy")]
    software: Annotated[Name, Field(description="Key of the cost book: costs are proxy.<software>.*")]
    agent: Annotated[
        Name | None,
        Field(
            description="A process beside each proxy, off the path: memory.<agent>.* and idle.<agent> of the cost book"
        ),
    ] = None
    placed: Annotated[
        Literal["library", "pod", "service-account", "node", "waypoint"],
        Field(
            description="library: in the application's process, without workers of its own; pod: one in every pod; "
            "service-account: one for the pods of a service on a node; node: one on every node; "
            "waypoint: `replicas` of them for each `waypoint_for`, anywhere in the cluster"
        ),
    ]
    ends: Annotated[
        list[Literal["source", "destination"]],
        Field(
            description="At which ends of a call a request meets it; a waypoint stands between and leaves this empty, "
            "and so does a process that only an extension asks"
        ),
    ] = []
    layer: Annotated[
        Literal["L4", "L7"],
        Field(description="L4 forwards bytes; L7 parses requests (protocol tcp is forwarded as bytes even so)"),
    ]
    only_for: Annotated[
        Literal["L7", "fallback"] | None,
        Field(
            description="L7: on the path only if the scenario asks for L7 policy; "
            "fallback: only if a required feature falls back to it"
        ),
    ] = None
    protocols: Annotated[
        list[Protocol] | None,
        Field(min_length=1, description="Calls of other protocols pass by without meeting it; all when left out"),
    ] = None
    workers: Annotated[int, Field(ge=1, le=1024, description="Worker threads of one proxy")] = 2
    sends: Annotated[
        Literal["at-once", "after-turn"],
        Field(
            description="at-once: a message leaves when it is done; after-turn: together with all that its worker "
            "found ready when it asked for work, as Envoy does, which writes in the next turn of its event loop"
        ),
    ] = "at-once"
    telemetry: Annotated[
        bool, Field(description="Per-request metrics: recorded after the answer was sent, or before the turn ends")
    ] = True
    features: Annotated[list[FeatureOn], Field(description="What else is switched on for every request")] = []
    extensions: Annotated[list[Extension], Field(description="Filters of one's own, in order")] = []
    terminates_mtls: Annotated[bool, Field(description="Encrypts and decrypts records on the side of the wire")] = True
    tunnel: Annotated[
        bool,
        Field(
            description="Connections share one encrypted HTTP/2 tunnel (HBONE) a pair of proxies: "
            "a new connection is a new stream and no handshake"
        ),
    ] = False
    capture: Annotated[Capture, Field(description="How a connection of the application reaches it")] = (
        "iptables-redirect"
    )
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
    def _choices_fit_the_place(self) -> Proxy:
        if self.placed == "waypoint" and self.ends:
            raise ValueError(f"proxy {self.name}: a waypoint stands between the ends; leave `ends` out")
        if (self.placed == "library") != (self.capture == "in-process"):
            raise ValueError(f"proxy {self.name}: `placed: library` and `capture: in-process` go together")
        if self.placed == "library" and self.sends == "after-turn":
            raise ValueError(f"proxy {self.name}: a library has no worker whose turns end; leave `sends` out")
        if self.capture == "sockmap" and self.placed != "pod":
            raise ValueError(
                f"proxy {self.name}: `capture: sockmap` joins the sockets of an application and a proxy in its pod; "
                f"this proxy is placed {self.placed}"
            )
        if self.tunnel and not self.terminates_mtls:
            raise ValueError(f"proxy {self.name}: a tunnel is encrypted; terminates_mtls must be true with it")
        return self


class Kernel(Strict):
    """What the kernel itself does for a message in this data plane."""

    service_routing: Annotated[
        Literal["iptables", "ebpf"],
        Field(description="How a service address becomes a pod address: kube-proxy's iptables and conntrack, or eBPF"),
    ] = "iptables"
    policy: Annotated[bool, Field(description="An eBPF identity check on each message, at each end")] = False
    sockmap: Annotated[
        bool,
        Field(
            description="sk_msg hands messages between pods of one node from socket to socket, past TCP, "
            "where no proxy stands between them"
        ),
    ] = False
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


class ControlPlane(Strict):
    """Who sends configuration to the proxies, and how much when a pod comes or goes."""

    software: Annotated[Name, Field(description="Key of the cost book: config.<software>.cluster, .endpoint")]
    push: Annotated[
        Literal["everything", "cluster", "endpoint"],
        Field(
            description="What a proxy gets when one pod changes: all that it knows, "
            "the whole endpoint list of that service, or only the endpoint that changed"
        ),
    ]
    to: Annotated[list[Name], Field(description="Proxies and agents that get it; every proxy when left out")] = []


class Runtime(Strict):
    """In what the application's own code runs."""

    kind: Literal["container", "wasm"] = "container"
    oci: Annotated[Literal["runc", "crun"], Field(description="What starts the container (or the Wasm host in it)")] = (
        "runc"
    )
    wasm: Annotated[
        Name | None, Field(description="Wasm runtime: costs are startup.wasm.<it>.*, runtime.wasm.<it>.compute")
    ] = None
    host: Annotated[
        Literal["per-pod", "shared"],
        Field(
            description="Wasm: one host process a pod (as containers start it), or one a node with an instance a pod"
        ),
    ] = "per-pod"
    compile: Annotated[
        Literal["ahead", "at-start"], Field(description="Wasm: when the module is compiled to machine code")
    ] = "ahead"
    module_kib: Annotated[float, Field(gt=0, le=1 << 20, description="Wasm: size of a module")] = 1024.0
    instances: Annotated[int, Field(ge=1, le=100_000, description="Wasm: live instances in one pod")] = 1
    process: Annotated[
        Name, Field(description="What the container runs, or ran before it was compiled to Wasm: startup.process.<it>")
    ] = "c"
    image_mib: Annotated[float, Field(ge=0, description="Image that a node without it must pull")] = 100.0

    @model_validator(mode="after")
    def _wasm_is_named(self) -> Runtime:
        if (self.kind == "wasm") != (self.wasm is not None):
            raise ValueError("runtime: `kind: wasm` and the name of a runtime in `wasm` go together")
        return self


class DataPlane(Strict):
    """One mesh data plane, as a composition of independent choices."""

    schema_: Annotated[Literal["meshsim/dataplane/1"], Field(alias="schema")]
    name: Name
    title: str
    summary: str
    version: Annotated[str, Field(description="Which releases the choices and costs describe")] = ""
    proxies: Annotated[list[Proxy], Field(description="In the order in which a request meets them")] = []
    between_proxies: Annotated[
        Literal["same", "http2", "grpc"],
        Field(
            description="What L7 proxies speak to each other: what the application speaks, or another protocol; "
            "half of a proxy's pass is then charged as that. same also where the costs have it in them already"
        ),
    ] = "same"
    kernel: Kernel = Kernel()
    agents: list[Agent] = []
    control_plane: Annotated[ControlPlane | None, Field(description="None: nothing is pushed")] = None
    runtime: Annotated[Runtime, Field(description="In what the application's code runs")] = Runtime()
    capabilities: Annotated[
        dict[Feature, Capability],
        Field(description="Feature -> which proxy does it, which one it falls back to, or why it is refused"),
    ] = {}
    lacks: Annotated[list[str], Field(description="What it cannot do, in words")] = []
    sources: list[Source] = []

    @model_validator(mode="after")
    def _fits_together(self) -> DataPlane:
        if sum(proxy.placed == "waypoint" for proxy in self.proxies) > 1:
            raise ValueError("a data plane has at most one kind of waypoint")
        names = [proxy.name for proxy in self.proxies]
        if len(set(names)) != len(names):
            raise ValueError(f"two proxies have the same name: {names}")
        asked = {extension.process for proxy in self.proxies for extension in proxy.extensions if extension.process}
        for name in sorted(asked - set(names)):
            raise ValueError(f"an extension asks process {name!r}; {choices(name, names)}")
        for proxy in self.proxies:
            if proxy.placed != "waypoint" and not proxy.ends and proxy.name not in asked:
                raise ValueError(
                    f"proxy {proxy.name}: say at which `ends` a call meets it: source, destination or both"
                )
            if proxy.name in asked and (proxy.ends or proxy.placed not in ("pod", "node")):
                raise ValueError(
                    f"proxy {proxy.name}: a process that an extension asks has no `ends` and is placed pod or node"
                )
        receivers = [*names, *(agent.name for agent in self.agents)]
        for name in self.control_plane.to if self.control_plane is not None else []:
            if name not in receivers:
                raise ValueError(f"control_plane.to: {name!r} received; {choices(name, receivers)}")
        for feature, answer in self.capabilities.items():
            able = [*names, "kernel", "application"]
            if answer.proxy is not None and answer.proxy not in able:
                raise ValueError(f"capability {feature}: {answer.proxy!r} received; {choices(answer.proxy, able)}")
            if answer.falls_back_to is not None and answer.falls_back_to not in names:
                raise ValueError(
                    f"capability {feature}: falls_back_to {answer.falls_back_to!r} received; "
                    f"it must be a proxy of this file: {', '.join(names) or 'there is none'}"
                )
        return self
