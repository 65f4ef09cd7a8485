"""The moving picture of traffic: tiles and ways of a data plane, as plain data that a canvas draws.

Each service is a tile: its application, below it the kernel of its node, beside it the proxies of its pod. Proxies of
nodes stand in a row at the foot, waypoints at the head. Which of them a call passes comes from the same function that
prices a call (``stops_on_path``). Places are shares of the width and height, plus an offset in pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from meshsim.figures.palette import COMPONENTS
from meshsim.figures.service_graph import (
    CLIENT,
    MOST_NODES,
    Node,
    ServiceGraph,
    by_name,
    resolved,
    service_graph,
    stages,
)
from meshsim.plan.hops import UNCAPTURED
from meshsim.plan.plan import Place, Plan
from meshsim.plan.stops import Stop, stops_on_path
from meshsim.scenario.application import Application, Call, Protocol, Service
from meshsim.scenario.dataplane import DataPlane, Proxy
from meshsim.scenario.scale import visits

DOTS_A_SECOND = 120.0
"""Messages that set out each second at most; beyond, a dot stands for more requests."""
REQUESTS_A_DOT = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000)
USUAL = 100
"""Requests that a dot stands for while there is room: the same at every rate, so that twice the rate is twice the
dots."""
MOST_NODE_TILES = 8
APP = (0, -13)
KERNEL = (0, 12)
ROOM = 56
"""Pixels that a tile needs from top to bottom, with its name."""
TALLEST = 680
"""Pixels; what does not fit gets no names."""
BESIDE = 27
"""Pixels from the application to the first proxy of its pod, and from one proxy to the next."""

Point = list[float]
"""x and y as shares of width and height, then the offset in pixels: to the right and down."""


def scene(
    application: Application,
    dataplane: DataPlane,
    rps: float,
    *,
    policy: str = "L7",
    plan: Plan | None = None,
    most: int = MOST_NODES,
) -> dict[str, Any]:
    """Tiles, links, the calls that each endpoint makes, how many requests one dot stands for, and the height it needs.

    ``plan`` tells on which node the first pod of a service is; without it, proxies of nodes are one tile. ``rps``:
    requests a second from outside.
    """
    graph = service_graph(application, most)
    drawing = _Drawing(application, dataplane, policy, graph, plan)
    known = by_name(application)
    alone = {node.services[0] for node in graph.nodes if len(node.services) == 1}
    drawn = [(s.name, e.name) for s in application.services if s.name in alone for e in s.endpoints]
    together = [node.name for node in graph.nodes if len(node.services) > 1]
    number = {where: at for at, where in enumerate(drawn)}
    of_node = {name: at for at, name in enumerate(together, start=len(drawn))}

    def to(service: str, endpoint: str) -> int:
        return number[resolved(known, service, endpoint)] if service in alone else of_node[graph.node_of[service]]

    def made(service: str, call: Call) -> dict[str, Any]:
        way = drawing.link(service, call.service, call.protocol)
        return {"link": way, "to": to(call.service, call.endpoint), "probability": call.probability}

    endpoints = []
    for service, endpoint in drawn:
        groups = []
        for group in stages(known[service].endpoint(endpoint).steps):
            groups += [[made(service, call) for call in group]] * max(call.times for call in group)
        endpoints.append(groups)
    count = visits(application) if together else {}
    endpoints += [_average(node, graph, known, count, made) for node in graph.nodes if len(node.services) > 1]
    entries = [
        {
            "link": drawing.link(CLIENT, entry.service, entry.protocol),
            "to": to(entry.service, entry.endpoint),
            "weight": entry.weight,
        }
        for entry in application.entries
    ]
    messages = sum(edge.calls for edge in graph.edges)
    return {
        "tiles": drawing.tiles,
        "links": drawing.links,
        "endpoints": endpoints,
        "entries": entries,
        "rps": rps,
        "requests_a_dot": requests_a_dot(rps, messages),
        "colours": COMPONENTS,
        "height": drawing.height,
        "alt": description(application, dataplane, rps, graph, requests_a_dot(rps, messages)),
    }


def _average(
    node: Node,
    graph: ServiceGraph,
    known: dict[str, Service],
    count: dict[tuple[str, str], float],
    made: Callable[[str, Call], dict[str, Any]],
) -> list[list[dict[str, Any]]]:
    """Calls of several services drawn as one, for each request that comes to it, all made together."""
    leave: dict[tuple[int, int], float] = {}
    for service in node.services:
        for endpoint in known[service].endpoints:
            for call in endpoint.calls():
                one = made(service, call)
                times = count[service, endpoint.name] * call.times * call.probability
                leave[one["link"], one["to"]] = leave.get((one["link"], one["to"]), 0.0) + times
    come = sum(edge.calls for edge in graph.edges if edge.target == node.name) or 1.0
    group = []
    for (link, target), times in leave.items():
        whole, rest = divmod(times / come, 1.0)
        shares = [1.0] * int(whole) + ([rest] if rest > 1e-9 else [])
        group += [{"link": link, "to": target, "probability": share} for share in shares if link >= 0]
    return [group] if group else []


def requests_a_dot(rps: float, messages: float) -> int:
    """How many requests one dot stands for, at ``messages`` calls a request: a hundred, or more where that is much."""
    return next((n for n in REQUESTS_A_DOT if n >= USUAL and rps * messages / n <= DOTS_A_SECOND), REQUESTS_A_DOT[-1])


def description(application: Application, dataplane: DataPlane, rps: float, graph: ServiceGraph, a_dot: int) -> str:
    """What the picture shows, for those who do not see it."""
    stops = {stop.proxy.name: stop.proxy for from_outside in (True, False)
             for stop in stops_on_path(dataplane, "L7", "http1", from_outside)}  # fmt: skip
    where = {
        "pod": "beside every pod", "node": "on every node", "waypoint": "between services",
        "library": "in every application", "service-account": "of every service on a node",
    }  # fmt: skip
    proxies = ", ".join(f"{name} {where[proxy.placed]}" for name, proxy in stops.items()) or "no proxy"
    return (
        f"Requests moving through {application.title or application.name}: {len(application.services):,} services in "
        f"{graph.layers - 1} layers over {dataplane.title}, with {proxies}. {rps:g} requests a second come from "
        f"outside; one dot stands for {a_dot:,} of them. Times are slowed down and not to scale."
    )


class _Drawing:
    """Collects tiles and links; a link is drawn once for each pair of nodes and way of meeting proxies."""

    def __init__(
        self, application: Application, dataplane: DataPlane, policy: str, graph: ServiceGraph, plan: Plan | None
    ) -> None:
        self.dataplane, self.policy, self.graph = dataplane, policy, graph
        self.tiles: list[dict[str, Any]] = []
        self.links: list[dict[str, Any]] = []
        self.index: dict[tuple[object, ...], int] = {}
        deployed = [p for p in dataplane.proxies if p.only_for is None or (p.only_for == "L7" and policy == "L7")]
        self.beside = [p for p in deployed if p.placed in ("pod", "service-account")]
        self.shared = [p for p in deployed if p.placed == "node"]
        self.waypoints = [p for p in deployed if p.placed == "waypoint"]
        self.at: dict[str, tuple[float, float]] = {}
        rows = max(len(graph.in_layer(layer)) for layer in range(graph.layers))
        head, foot = (0.16 if self.waypoints else 0.05), (0.80 if self.shared else 0.95)
        self.height = round(min(rows * ROOM / (foot - head), TALLEST))
        self.crowded = rows * ROOM / (foot - head) > TALLEST
        for layer in range(graph.layers):
            column = graph.in_layer(layer)
            for node in column:
                x = (layer + 0.5) / graph.layers
                y = head + (foot - head) * (node.row + 0.5) / len(column)
                self.at[node.name] = (x, y)
                self._service(node.name, graph.node_of, x, y, len(node.services))
        self.tile_of = self._node_tiles(application, plan)
        for number, waypoint in enumerate(self.waypoints):
            x = (number + 1) / (len(self.waypoints) + 1)
            self._tile(x, 0.06, 0, 0, 74, 20, "proxy", waypoint.name)

    def _service(self, name: str, node_of: dict[str, str], x: float, y: float, services: int) -> None:
        if name == CLIENT:
            self._tile(x, y, *APP, 46, 20, "client", CLIENT)
            return
        self._tile(x, y, *APP, 34, 20, "application", "" if self.crowded and services == 1 else name, many=services > 1)
        self._tile(x, y, KERNEL[0], KERNEL[1], 34, 6, "kernel", "")
        for number, _ in enumerate(self.beside, start=1):
            self._tile(x, y, BESIDE * number, APP[1], 16, 20, "proxy", "")
            self._tile(x, y, BESIDE * number, KERNEL[1], 20, 6, "kernel", "")

    def _node_tiles(self, application: Application, plan: Plan | None) -> dict[str, float]:
        """Where the proxies of the node of a service stand, left to right."""
        if not self.shared:
            return {}
        names = [service.name for service in application.services]
        node = dict.fromkeys(names, 0)
        if plan is not None:
            first = plan.pod_node[plan.service_first_pod]
            node = {name: int(of) % MOST_NODE_TILES for name, of in zip(plan.service_names, first, strict=True)}
        used = sorted(set(node.values()))
        place = {number: (at + 0.5) / len(used) for at, number in enumerate(used)}
        for number in used:
            for at, proxy in enumerate(self.shared):
                told = f"{proxy.name}, node {number + 1}" if plan is not None else f"{proxy.name}, one a node"
                self._tile(place[number], 0.93, 0, -24 * at, 40, 20, "proxy", told)
        return {name: place[of] for name, of in node.items()}

    def _tile(
        self, x: float, y: float, dx: float, dy: float, w: float, h: float, kind: str, label: str, many: bool = False
    ) -> None:
        self.tiles.append({"x": x, "y": y, "dx": dx, "dy": dy, "w": w, "h": h, "kind": kind, "label": label}
                          | ({"many": True} if many else {}))  # fmt: skip

    def link(self, source: str, target: str, protocol: Protocol) -> int:
        """Number of the link for a call; -1 for one that stays inside a node of the drawing."""
        stops = stops_on_path(self.dataplane, self.policy, protocol, source == CLIENT)
        ends = (self.graph.node_of.get(source, CLIENT), self.graph.node_of[target])
        if ends[0] == ends[1]:
            return -1
        key = (*ends, *(id(stop.proxy) for stop in stops), *(stop.place for stop in stops))
        if key not in self.index:
            self.index[key] = len(self.links)
            self.links.append({"from": ends[0], "to": ends[1], "way": self._way(source, target, ends, stops)})
        return self.index[key]

    def _way(self, source: str, target: str, ends: tuple[str, str], stops: Sequence[Stop]) -> list[Point]:
        here = [stop for stop in stops if stop.place == Place.SOURCE]
        via = [stop for stop in stops if stop.place == Place.VIA]
        there = [stop for stop in stops if stop.place == Place.DESTINATION]
        way = self._end(ends[0], source, here)
        way += [[(self.waypoints.index(stop.proxy) + 1) / (len(self.waypoints) + 1), 0.06, 0, 0] for stop in via]
        return way + self._end(ends[1], target, list(reversed(there)))[::-1]

    def _end(self, drawn: str, service: str, stops: Sequence[Stop]) -> list[Point]:
        """From the application outwards: through the kernel to each proxy, and through the kernel again."""
        x, y = self.at[drawn]
        way: list[Point] = [[x, y, *APP]]
        if drawn == CLIENT:
            return way
        at = 0
        for stop in stops:
            if stop.proxy.placed in ("pod", "service-account"):
                if stop.proxy.capture not in UNCAPTURED or stop.proxy.capture == "explicit":
                    way += [[x, y, at + 8, KERNEL[1]]]
                at = BESIDE * (1 + _position(self.beside, stop.proxy))
                way += [[x, y, at, APP[1]]]
            elif stop.proxy.placed == "node":
                way += [[x, y, at, KERNEL[1]]]
                way += [[self.tile_of[service], 0.93, 0, -24.0 * _position(self.shared, stop.proxy)]]
        return way if stops and stops[-1].proxy.placed == "node" else [*way, [x, y, at, KERNEL[1]]]


def _position(proxies: list[Proxy], proxy: Proxy) -> int:
    return proxies.index(proxy)
