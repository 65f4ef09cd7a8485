"""What a new connection costs before its first request: TCP, the walk through service rules, capture, TLS.

Connections stay open unless a call says ``requests_per_connection``. Then one request in so many, chosen by its random
number, pays for all of it: its pieces share one draw, so they happen together or not at all.

Where a scenario lists ``connections``, the engine knows which request opens one (because its pool grows, because the
one before was closed, or because it is one in so many), and that request pays. The connections of the proxies behind
follow those of their callers there, so all of the way is new.

How far a new connection reaches depends on the proxies. One that forwards bytes opens a connection of its own for each
that it accepts, and the two ends make a TLS handshake. One that parses requests has a pool of open connections to the
other side: nothing behind it is new. Proxies with a tunnel open a stream in it instead.
"""

from __future__ import annotations

from dataclasses import dataclass

from meshsim.costs.books import Costs
from meshsim.plan.network import wire_between_nodes
from meshsim.plan.plan import Place, When
from meshsim.plan.program import Program, spend
from meshsim.plan.stops import HopKind, Stop
from meshsim.scenario.dataplane import DataPlane

KEY = "a new connection"


@dataclass(frozen=True)
class NewConnection:
    """New connections of one kind of hop, in a cluster with so many services."""

    dataplane: DataPlane
    kind: HopKind
    stops: list[Stop]
    services: int
    costs: Costs
    pooled: bool = False
    """Whether the engine says when a connection is opened."""

    @property
    def never(self) -> bool:
        """Whether every request finds an open connection."""
        return self.kind.requests_per_connection is None and not self.pooled

    def opened(self) -> Program:
        """In the kernel of the caller, before the first byte: connect(), service routing, capture."""
        if self.never:
            return []
        costs, at = self.costs, Place.DESTINATION if self.kind.from_outside else Place.SOURCE
        program = self._kernel("kernel.tcp.connection", at)
        if not self.kind.from_outside:
            routing = self.dataplane.kernel.service_routing
            program += self._kernel(f"kernel.service.{routing}.connection", at)
            if routing == "iptables":
                # A rule a service, tried in turn. A proxy that chose the pod itself matches none of them.
                chosen = any(stop.place == Place.SOURCE for stop in self.stops)
                rules = self.services if chosen else (self.services + 1) / 2
                program += spend(costs["kernel.service.iptables.rule"], "kernel", at, KEY, times=rules)
        for stop in self.stops:
            if stop.proxy.capture not in ("explicit", "in-process"):
                program += self._kernel(f"kernel.redirect.{stop.proxy.capture}.connection", stop.place)
        first = next((stop.place for stop in self.stops if stop.proxy.placed != "library"), Place.DESTINATION)
        return self._sometimes([*program, *self._round_trip(Place.SOURCE, first)])

    def at(self, stop: Stop) -> Program:
        """In a proxy, with its worker held: accept and connect, and its part of the TLS handshake."""
        if self.never or not self._reaches(stop):
            return []
        book = f"proxy.{stop.proxy.software}"
        opens = self._opens(stop)
        program: Program = []
        if stop.proxy.placed != "library":  # its connection is the application's own
            # A proxy with a pool only accepts; taken as half of accepting and connecting.
            program += spend(self.costs[f"{book}.connection"], "proxy", stop.place, KEY, times=1.0 if opens else 0.5)
        # Beside the caller the wire is on the far side of the proxy, beside the called pod on the near side.
        if self._shakes_hands(stop) and (opens or stop.place == Place.DESTINATION):
            program += spend(self.costs[f"{book}.tls.handshake"], "proxy", stop.place, KEY)
        return self._sometimes(program)

    def beyond(self, stop: Stop) -> Program:
        """Behind a proxy, its worker free for others: round trips to whom it connects, for TCP and for TLS."""
        if self.never or not (self._reaches(stop) and self._opens(stop)):
            return []
        after = self.stops[self.stops.index(stop) + 1 :]
        there = after[0].place if after else Place.DESTINATION
        tcp = [] if stop.proxy.placed == "library" else self._round_trip(stop.place, there)
        tls = self._round_trip(stop.place, there) if self._shakes_hands(stop) else []
        return self._sometimes([*tcp, *tls])

    def _opens(self, stop: Stop) -> bool:
        """Whether a new connection to this proxy makes a new one behind it: bytes and libraries have no pool."""
        return self.pooled or stop.proxy.placed == "library" or stop.as_bytes(self.kind.protocol)

    def _reaches(self, stop: Stop) -> bool:
        """Whether every proxy before this one opens a connection for each that it accepts."""
        return all(self._opens(earlier) for earlier in self.stops[: self.stops.index(stop)])

    def _shakes_hands(self, stop: Stop) -> bool:
        return stop.proxy.terminates_mtls and not stop.proxy.tunnel

    def _kernel(self, operation: str, at: Place) -> Program:
        return spend(self.costs[operation], "kernel", at, KEY)

    def _round_trip(self, here: Place, there: Place) -> Program:
        """There and back, before anything can be sent."""
        if here == there or self.kind.from_outside:
            return []
        near = self.costs["kernel.wire.same-node"]
        return [
            *spend(near, "network", here, KEY, when=When.SAME_NODE, other=there, times=2.0),
            *wire_between_nodes(self.costs, here, there, KEY, zones=self.kind.zones, times=2.0),
        ]

    def _sometimes(self, program: Program) -> Program:
        """The same work, in one of so many requests, or in those that open a connection."""
        if self.pooled:
            return [i._replace(when=i.when | When.NEW_CONNECTION) for i in program]
        every = self.kind.requests_per_connection
        if every is None or every == 1.0:
            return program
        scaled = [i._replace(mean_ns=round(i.mean_ns / every), law=("once-in", every), purpose=KEY) for i in program]
        return [i for i in scaled if i.mean_ns > 0]
