"""How a data plane becomes work on a path. **Here the cost of a sidecar, an eBPF program or a waypoint enters.**

A hop carries one request from a calling container to a called one, and the answer back:

    application writes -> kernel -> [proxy] -> wire -> [proxy] -> kernel -> application reads -> … and back

``hop`` strings it together from ``message`` (one direction), ``proxy_pass`` (one message through one proxy) and
``wire``. Beside it: ``workers`` (to get one, to wake it), ``filters`` (what runs inside a proxy besides forwarding),
``handshakes`` (what a new connection costs), ``sockmap`` (sockets joined past TCP). Each piece of work names
an operation of the cost book. To see what it costs and where that figure comes from: ``meshsim show published``.
"""

from __future__ import annotations

from typing import Literal

from meshsim.costs.books import Costs
from meshsim.plan import sockmap
from meshsim.plan.filters import after_the_answer, before_forwarding, extensions_on
from meshsim.plan.handshakes import NewConnection
from meshsim.plan.network import wire_between_nodes
from meshsim.plan.plan import Op, Place, When
from meshsim.plan.program import Instruction, Program, detached, fused, spend
from meshsim.plan.stops import HopKind, Stop, stops_on_path
from meshsim.plan.wakeups import read
from meshsim.plan.workers import give_worker_back, take_worker
from meshsim.scenario.dataplane import DataPlane

Direction = Literal["request", "response"]
__all__ = ["Direction", "HopKind", "Stop", "hop", "message", "proxy_pass", "stops_on_path", "wire"]

UNCAPTURED = ("explicit", "in-process", "sockmap")
"""Ways to a proxy that need no redirection of packets."""


def hop(
    dataplane: DataPlane, policy: str, kind: HopKind, costs: Costs, services: int = 1, *, pooled: bool = False
) -> Program:
    """The program of a call: request to the other side, the endpoint's body, answer back.

    ``services`` in the cluster: a new connection may have to be compared with a rule for each. ``pooled``: the scenario
    lists the connections of the call.
    """
    stops = stops_on_path(dataplane, policy, kind.protocol, kind.from_outside)
    new = NewConnection(dataplane, kind, stops, services, costs, pooled)
    return fused(
        [
            *new.opened(),
            *message("request", dataplane, stops, kind, costs, new),
            Instruction(Op.BODY),
            *message("response", dataplane, list(reversed(stops)), kind, costs, new),
            Instruction(Op.END),
        ]
    )


def message(
    direction: Direction, dataplane: DataPlane, stops: list[Stop], kind: HopKind, costs: Costs, new: NewConnection
) -> Program:
    """One message from its sender, through the proxies, to its receiver."""
    sender, receiver = (
        (Place.SOURCE, Place.DESTINATION) if direction == "request" else (Place.DESTINATION, Place.SOURCE)
    )
    size = kind.request_bytes if direction == "request" else kind.response_bytes
    past_tcp = dataplane.kernel.sockmap and not stops and not kind.from_outside
    program: Program = []
    if not (kind.from_outside and sender == Place.SOURCE):  # the client's own machine is not ours
        program += kernel_path("kernel.tcp.send", sender, direction, dataplane, stops, size, costs, past_tcp)
    here = sender
    for stop in stops:
        program += wire(here, stop.place, direction, kind, dataplane, costs)
        program += proxy_pass(direction, stop, dataplane, kind, costs, new)
        if direction == "request":
            program += new.beyond(stop)
        here = stop.place
    if past_tcp:
        program += sockmap.between_pods(costs, here, receiver, direction, size)
    program += wire(here, receiver, direction, kind, dataplane, costs, past_tcp)
    if not (kind.from_outside and receiver == Place.SOURCE):
        program += kernel_path("kernel.tcp.receive", receiver, direction, dataplane, stops, size, costs, past_tcp)
    return program


def kernel_path(
    socket: str,
    at: Place,
    direction: Direction,
    dataplane: DataPlane,
    stops: list[Stop],
    size: int,
    costs: Costs,
    past_tcp: bool,
) -> Program:
    """The kernel's part at one end: the application's socket, service routing, policy, redirection to a proxy."""
    key = f"{direction} at {at.name}"
    captures = [stop.proxy.capture for stop in stops if stop.place == at]
    program: Program = []
    if "sockmap" in captures:
        program += sockmap.joined_sockets(costs, at, key, size, reader_is_a_worker=socket == "kernel.tcp.send")
    else:
        when, far = (When.OTHER_NODE, _other(at)) if past_tcp else (When.ALWAYS, Place.DESTINATION)
        cost = read(costs, socket) if socket == "kernel.tcp.receive" else costs[socket]
        program += spend(cost, "kernel", at, key, size=size, when=when, other=far)
    operations = []
    if socket == "kernel.tcp.send":
        routing = dataplane.kernel.service_routing
        operations.append("kernel.conntrack.message" if routing == "iptables" else "kernel.ebpf.service.message")
    if dataplane.kernel.policy:
        operations.append("kernel.ebpf.policy.message")
    operations += [f"kernel.redirect.{capture}.message" for capture in captures if capture not in UNCAPTURED]
    for operation in operations:
        program += spend(costs[operation], "kernel", at, key, size=size)
    return program


def proxy_pass(
    direction: Direction, stop: Stop, dataplane: DataPlane, kind: HopKind, costs: Costs, new: NewConnection
) -> Program:
    """One message through one proxy: get a worker, filter, parse and forward, TLS, telemetry."""
    proxy, at = stop.proxy, stop.place
    size = kind.request_bytes if direction == "request" else kind.response_bytes
    book = f"proxy.{proxy.software}"
    key = f"{direction} in {proxy.name} at {at.name}"
    as_bytes = stop.as_bytes(kind.protocol)

    program: Program = []
    release: Program = []
    if proxy.placed != "library":  # a library runs on the application's own thread
        program += take_worker(proxy.software, at, stop.slot, key, costs, as_bytes=as_bytes)
        release.append(give_worker_back(proxy, at, stop.slot))
    if direction == "request":
        program += new.at(stop)
        if not as_bytes:
            program += before_forwarding(stop, dataplane, key, costs)
    elif not as_bytes:
        program += extensions_on("response", stop, dataplane, key, costs)
    for spoken, share in [("tcp", 1.0)] if as_bytes else stop.legs(kind.protocol, dataplane, new.stops):
        forward = costs[f"{book}.tcp.message" if as_bytes else f"{book}.{spoken}.{direction}"]
        if proxy.capture == "sockmap":
            from_the_application = (direction == "request") == (at == Place.SOURCE)
            own = costs["kernel.tcp.receive" if from_the_application else "kernel.tcp.send"]
            forward = sockmap.without_its_socket(forward, own)
        program += spend(forward, "proxy", at, key, size=size, times=share)
    if proxy.terminates_mtls:
        # A waypoint ends one tunnel and begins the next; a proxy beside a pod has the wire on one side only.
        for side in ("in", "out") if proxy.placed == "waypoint" else ("wire",):
            program += spend(costs[f"{book}.tls.message"], "proxy", at, f"{key} {side}", size=size)
    afterwards: Program = []
    if direction == "response":
        # Metrics are recorded when the answer is gone: they delay nobody but the next request on this worker. But an
        # answer that leaves at the end of the turn is gone after them.
        # An L7 proxy that merely forwards bytes sees no requests to record; it counts connections.
        if proxy.telemetry and not (kind.protocol == "tcp" and proxy.layer == "L7"):
            afterwards += spend(costs[f"{book}.telemetry"], "proxy", at, key)
        if not as_bytes:
            afterwards += after_the_answer(stop, key, costs)
    if afterwards and proxy.sends == "at-once":
        return program + detached([*afterwards, *release])
    return program + afterwards + release


def wire(
    here: Place,
    there: Place,
    direction: Direction,
    kind: HopKind,
    dataplane: DataPlane,
    costs: Costs,
    past_tcp: bool = False,
) -> Program:
    """From one pod to another: short within a node, longer between nodes, encrypted there by the kernel if asked."""
    if here == there:
        return []
    size = kind.request_bytes if direction == "request" else kind.response_bytes
    key = f"{direction} {here.name} to {there.name}"

    def tunnel(end: Place, far: Place) -> Program:
        if dataplane.kernel.encryption != "wireguard" or kind.from_outside:  # the client outside is in no tunnel
            return []
        cost = costs["kernel.wireguard.message"]
        return spend(cost, "kernel", end, f"{key} at {end.name}", size=size, when=When.OTHER_NODE, other=far)

    near = spend(costs["kernel.wire.same-node"], "network", here, key, size=size, when=When.SAME_NODE, other=there)
    far = wire_between_nodes(costs, here, there, key, zones=kind.zones, size=size)
    return [*tunnel(here, there), *([] if past_tcp else near), *far, *tunnel(there, here)]


def _other(end: Place) -> Place:
    return Place.SOURCE if end == Place.DESTINATION else Place.DESTINATION
