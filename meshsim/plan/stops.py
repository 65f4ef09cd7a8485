"""Which proxies a call meets, in order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from meshsim.plan.plan import FIRST_PROXY_SLOT, Place
from meshsim.scenario.application import Protocol
from meshsim.scenario.dataplane import DataPlane, Proxy


@dataclass(frozen=True)
class Stop:
    """A proxy on the path of a call: which one, and beside whom it stands."""

    proxy: Proxy
    slot: int
    place: Place

    def as_bytes(self, protocol: Protocol) -> bool:
        """Whether it forwards without parsing."""
        return self.proxy.layer == "L4" or protocol == "tcp"

    def legs(self, protocol: Protocol, dataplane: DataPlane, stops: list[Stop]) -> list[tuple[str, float]]:
        """(protocol, share of a pass) of an L7 proxy: a half for each side, where the two speak differently.

        Between two proxies that parse, messages may travel in another protocol than the application's.
        """
        inner = protocol if dataplane.between_proxies == "same" else dataplane.between_proxies
        parsing = [stop for stop in stops if not stop.as_bytes(protocol)]
        sides = (not any(stop is self for stop in parsing[:1]), not any(stop is self for stop in parsing[-1:]))
        spoken = [inner if beside_a_proxy else protocol for beside_a_proxy in sides]
        return [(spoken[0], 1.0)] if spoken[0] == spoken[1] else [(each, 0.5) for each in spoken]


class HopKind(NamedTuple):
    """All that distinguishes two hops of one data plane."""

    protocol: Protocol
    request_bytes: int
    response_bytes: int
    from_outside: bool
    requests_per_connection: float | None = None
    """A new connection every so many requests; None: connections stay open."""
    zones: bool = False
    """Whether the two ends may lie in two zones; the client outside is in every zone."""


def stops_on_path(dataplane: DataPlane, policy: str, protocol: Protocol, from_outside: bool) -> list[Stop]:
    """The proxies that a request meets, in order.

    The client outside the cluster has no proxy, and its requests do not pass a waypoint: only the proxies at the
    destination count. A proxy that is there ``only_for`` L7 is off the path of plain TCP and of L4 policy, one that
    handles some ``protocols`` is off the path of the others.
    """
    source: list[Stop] = []
    via: list[Stop] = []
    destination: list[Stop] = []
    for number, proxy in enumerate(dataplane.proxies):
        if proxy.only_for == "L7" and (policy == "L4" or protocol == "tcp"):
            continue
        if proxy.protocols is not None and protocol not in proxy.protocols:
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
