"""How a data plane becomes work on a path. **Here the cost of a sidecar, an eBPF program or a waypoint enters.**

A hop carries one request from a calling container to a called one, and the answer back:

    application writes -> kernel -> [proxy] -> wire -> [proxy] -> kernel -> application reads -> … and back

``hop`` strings it together from ``message`` (one direction), ``proxy_pass`` (one message through one proxy) and
``wire``. Each piece of work names an operation of the cost book, and nothing else in the package does. To see what
an operation costs and where that figure comes from: ``meshsim show published``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from meshsim.costs.books import Costs
from meshsim.plan.plan import FIRST_PROXY_SLOT, Op, Place, Tag, When
from meshsim.plan.program import Instruction, Program, detached, fused, spend
from meshsim.scenario.application import Protocol
from meshsim.scenario.dataplane import DataPlane, Proxy

Direction = Literal["request", "response"]


@dataclass(frozen=True)
class Stop:
    """A proxy on the path of a call: which one, and beside whom it stands."""

    proxy: Proxy
    slot: int
    place: Place


@dataclass(frozen=True)
class HopKind:
    """All that distinguishes two hops of one data plane."""

    protocol: Protocol
    request_bytes: int
    response_bytes: int
    from_outside: bool


def stops_on_path(dataplane: DataPlane, policy: str, protocol: Protocol, from_outside: bool) -> list[Stop]:
    """The proxies that a request meets, in order.

    The client outside the cluster has no proxy, and its requests do not pass a waypoint: only the proxies at the
    destination count. A proxy that is there ``only_for`` L7 is off the path of plain TCP and of L4 policy.
    """
    source: list[Stop] = []
    via: list[Stop] = []
    destination: list[Stop] = []
    for number, proxy in enumerate(dataplane.proxies):
        if proxy.only_for == "L7" and (policy == "L4" or protocol == "tcp"):
            continue
        slot = FIRST_PROXY_SLOT + number
        if proxy.placed == "waypoint":
            via.append(Stop(proxy, slot, Place.VIA))
        if "source" in proxy.ends:
            source.append(Stop(proxy, slot, Place.SOURCE))
        if "destination" in proxy.ends:
            # Mirror image: the proxy nearest to the wire comes first on the way in.
            destination.insert(0, Stop(proxy, slot, Place.DESTINATION))
    return destination if from_outside else source + via + destination


def hop(dataplane: DataPlane, policy: str, kind: HopKind, costs: Costs) -> Program:
    """The program of a call: request to the other side, the endpoint's body, answer back."""
    stops = stops_on_path(dataplane, policy, kind.protocol, kind.from_outside)
    return fused(
        [
            *message("request", dataplane, stops, kind, costs),
            Instruction(Op.BODY),
            *message("response", dataplane, list(reversed(stops)), kind, costs),
            Instruction(Op.END),
        ]
    )


def message(direction: Direction, dataplane: DataPlane, stops: list[Stop], kind: HopKind, costs: Costs) -> Program:
    """One message from its sender, through the proxies, to its receiver."""
    sender, receiver = (
        (Place.SOURCE, Place.DESTINATION) if direction == "request" else (Place.DESTINATION, Place.SOURCE)
    )
    size = kind.request_bytes if direction == "request" else kind.response_bytes
    encrypt = dataplane.kernel.encryption == "wireguard"
    program: Program = []
    if not (kind.from_outside and sender == Place.SOURCE):  # the client's own machine is not ours
        program += kernel_path("kernel.tcp.send", sender, direction, dataplane, stops, size, costs)
    here = sender
    for stop in stops:
        program += wire(here, stop.place, direction, kind, encrypt, costs)
        program += proxy_pass(direction, stop, kind.protocol, size, costs)
        here = stop.place
    program += wire(here, receiver, direction, kind, encrypt, costs)
    if not (kind.from_outside and receiver == Place.SOURCE):
        program += kernel_path("kernel.tcp.receive", receiver, direction, dataplane, stops, size, costs)
    return program


def kernel_path(
    socket: str,
    at: Place,
    direction: Direction,
    dataplane: DataPlane,
    stops: list[Stop],
    size: int,
    costs: Costs,
) -> Program:
    """The kernel's part at one end: the application's socket, service routing, policy, redirection to a proxy."""
    operations = [socket]
    if socket == "kernel.tcp.send":
        routing = dataplane.kernel.service_routing
        operations.append("kernel.conntrack.message" if routing == "iptables" else "kernel.ebpf.service.message")
    if dataplane.kernel.policy:
        operations.append("kernel.ebpf.policy.message")
    captures = [stop.proxy.capture for stop in stops if stop.place == at and stop.proxy.capture != "explicit"]
    operations += [f"kernel.redirect.{capture}.message" for capture in captures]
    program: Program = []
    for operation in operations:
        program += spend(costs[operation], "kernel", at, f"{direction} at {at.name}", size=size)
    return program


def proxy_pass(direction: Direction, stop: Stop, protocol: Protocol, size: int, costs: Costs) -> Program:
    """One message through one proxy: get a worker, wake it if it slept, parse and forward, TLS, telemetry."""
    proxy, at = stop.proxy, stop.place
    book = f"proxy.{proxy.software}"
    key = f"{direction} in {proxy.name} at {at.name}"
    as_bytes = proxy.layer == "L4" or protocol == "tcp"
    forward = f"{book}.tcp.message" if as_bytes else f"{book}.{protocol}.{direction}"

    program: Program = [Instruction(Op.ACQUIRE, at=at, slot=stop.slot, tag=Tag("proxy", f"{book}.queue"))]
    program += spend(costs[f"{book}.wakeup"], "proxy", at, key, when=When.WOKEN)
    program += spend(costs[forward], "proxy", at, key, size=size)
    if proxy.terminates_mtls:
        # A waypoint ends one tunnel and begins the next; a proxy beside a pod has the wire on one side only.
        for side in ("in", "out") if proxy.placed == "waypoint" else ("wire",):
            program += spend(costs[f"{book}.tls.message"], "proxy", at, f"{key} {side}", size=size)
    release = Instruction(Op.RELEASE, at=at, slot=stop.slot)
    if direction == "response" and proxy.telemetry and not (protocol == "tcp" and proxy.layer == "L7"):
        # Metrics are recorded when the answer is gone: they delay nobody but the next request on this worker.
        # An L7 proxy that merely forwards bytes sees no requests to record; it counts connections.
        return program + detached([*spend(costs[f"{book}.telemetry"], "proxy", at, key), release])
    return [*program, release]


def wire(here: Place, there: Place, direction: Direction, kind: HopKind, encrypt: bool, costs: Costs) -> Program:
    """From one pod to another: short within a node, longer between nodes, encrypted there by the kernel if asked."""
    if here == there:
        return []
    size = kind.request_bytes if direction == "request" else kind.response_bytes
    key = f"{direction} {here.name} to {there.name}"

    def tunnel(end: Place, far: Place) -> Program:
        if not encrypt or kind.from_outside:  # the client outside is in no tunnel
            return []
        cost = costs["kernel.wireguard.message"]
        return spend(cost, "kernel", end, f"{key} at {end.name}", size=size, when=When.OTHER_NODE, other=far)

    near = spend(costs["kernel.wire.same-node"], "network", here, key, size=size, when=When.SAME_NODE, other=there)
    far = spend(costs["kernel.wire.cross-node"], "network", here, key, size=size, when=When.OTHER_NODE, other=there)
    return [*tunnel(here, there), *near, *far, *tunnel(there, here)]
