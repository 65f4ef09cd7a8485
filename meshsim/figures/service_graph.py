"""Who calls whom, how often, drawn in layers: what the picture of the traffic and the graph page have in common.

Services stand in layers by the longest way of calls that leads to them; within a layer they are put near those that
call them. Beyond ``MOST_NODES`` services that are used least become one node for each caller, or for each layer
where there are too many callers; it says how many they are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass

import networkx as nx

from meshsim.scenario.application import Application, Call, Service, Step
from meshsim.scenario.scale import visits

MOST_NODES = 150
"""More cannot be read, whatever draws them."""
CLIENT = "client"
"""Name of the node outside, from which requests come."""
Where = tuple[str, str]
"""Service and endpoint."""


@dataclass(frozen=True)
class Node:
    """A service, or several in one; the client outside is in layer 0."""

    name: str
    layer: int
    row: int
    """Place within the layer, from 0."""
    visits: float
    """Of one request from outside, on average; the client: 1."""
    services: tuple[str, ...]
    """Those it stands for; empty for the client."""


@dataclass(frozen=True)
class Edge:
    """Calls between two nodes."""

    source: str
    target: str
    calls: float
    """Of one request from outside, on average."""


@dataclass(frozen=True)
class ServiceGraph:
    """Nodes by layer and row, edges by name; ``node_of`` tells in which node a service is drawn."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    node_of: dict[str, str]

    @property
    def layers(self) -> int:
        """Number of layers, the client's included."""
        return 1 + max(node.layer for node in self.nodes)

    def in_layer(self, layer: int) -> list[Node]:
        """Nodes of a layer, in order."""
        return [node for node in self.nodes if node.layer == layer]


def service_graph(
    application: Application,
    most: int = MOST_NODES,
    *,
    only: Collection[str] | None = None,
    first: Collection[str] = (),
) -> ServiceGraph:
    """The graph of an application, with about ``most`` nodes at most, besides the client.

    ``only``: services that are drawn, and the client; all where left out. ``first``: services that have a node of their
    own even where others are used more.
    """
    count, calls = frequencies(application)
    layer = _layers(application)
    names = [service.name for service in application.services if only is None or service.name in only]
    node_of = _names(names, layer, count, calls, most, set(first))
    used: dict[tuple[str, str], float] = {}
    for (source, target), times in calls.items():
        if target not in node_of or (source != CLIENT and source not in node_of):
            continue
        ends = (node_of.get(source, CLIENT), node_of[target])
        if ends[0] != ends[1]:
            used[ends] = used.get(ends, 0.0) + times
    members: dict[str, list[str]] = {CLIENT: []}
    for name in names:
        members.setdefault(node_of[name], []).append(name)
    layer_of = {name: 0 if name == CLIENT else layer[of[0]] for name, of in members.items()}
    seen = {name: 1.0 if name == CLIENT else sum(count[each] for each in of) for name, of in members.items()}
    rows = _rows(layer_of, used)
    nodes = [Node(name, layer_of[name], rows[name], seen[name], tuple(members[name])) for name in members]
    return ServiceGraph(
        tuple(sorted(nodes, key=lambda node: (node.layer, node.row))),
        tuple(Edge(source, target, times) for (source, target), times in sorted(used.items())),
        node_of,
    )


def frequencies(application: Application) -> tuple[dict[str, float], dict[tuple[str, str], float]]:
    """Of one request from outside, on average: visits of each service, and calls by (caller, called service)."""
    weights = sum(entry.weight for entry in application.entries)
    known = by_name(application)
    count = {service.name: 0.0 for service in application.services}
    calls: dict[tuple[str, str], float] = {}
    for entry in application.entries:
        calls[CLIENT, entry.service] = calls.get((CLIENT, entry.service), 0.0) + entry.weight / weights
    for where, share in visits(application).items():
        count[where[0]] += share
        for call in known[where[0]].endpoint(where[1]).calls():
            calls[where[0], call.service] = (
                calls.get((where[0], call.service), 0.0) + share * call.times * call.probability
            )
    return count, calls


def endpoint_graph(application: Application) -> nx.DiGraph[Where]:
    """(service, endpoint) and calls between them; without cycles, as every application is."""
    graph: nx.DiGraph[Where] = nx.DiGraph()
    known = by_name(application)
    for service in application.services:
        for endpoint in service.endpoints:
            graph.add_node((service.name, endpoint.name))
            for call in endpoint.calls():
                graph.add_edge((service.name, endpoint.name), resolved(known, call.service, call.endpoint))
    return graph


def by_name(application: Application) -> dict[str, Service]:
    """Services by name."""
    return {service.name: service for service in application.services}


def resolved(known: dict[str, Service], service: str, endpoint: str) -> Where:
    """The endpoint that is meant: the first one where none is named."""
    return service, known[service].endpoint(endpoint).name


def stages(steps: list[Step]) -> Iterator[list[Call]]:
    """Calls that an endpoint makes one after the other; those of parallel branches are taken as made together."""
    for step in steps:
        if step.call is not None:
            yield [step.call]
        if step.parallel is not None:
            together = [call for branch in step.parallel for group in stages(branch) for call in group]
            if together:
                yield together


def _layers(application: Application) -> dict[str, int]:
    depth: dict[Where, int] = {}
    graph = endpoint_graph(application)
    for where in nx.topological_sort(graph):
        depth[where] = 1 + max((depth[before] for before in graph.predecessors(where)), default=0)
    layer: dict[str, int] = {}
    for (service, _), number in depth.items():
        layer[service] = max(layer.get(service, 0), number)
    return layer


def _names(
    services: list[str],
    layer: dict[str, int],
    count: dict[str, float],
    calls: dict[tuple[str, str], float],
    most: int,
    first: set[str],
) -> dict[str, str]:
    """The node of each service. Services that nothing tells apart are all drawn alone, or none of them."""
    if len(services) <= most:
        return {name: name for name in services}
    out = Counter(source for source, _ in calls)

    def rank(name: str) -> tuple[bool, float, int]:
        return (name not in first, -round(count[name], 9), -out[name])

    order = sorted(services, key=lambda name: (rank(name), name))
    room = max(most * 3 // 4, 1)
    kept = {name for name in order[:room] if rank(name) < rank(order[room]) or name in first}
    rest = [name for name in services if name not in kept]
    caller: dict[str, tuple[float, str]] = {}
    for (source, target), times in calls.items():
        caller[target] = max(caller.get(target, (-1.0, "")), (times, source))
    groups: dict[tuple[int, str], list[str]] = {}
    for name in rest:
        groups.setdefault((layer[name], caller[name][1] if name in caller else ""), []).append(name)
    if len(kept) + len(groups) > most:
        groups = {}
        for name in rest:
            groups.setdefault((layer[name], ""), []).append(name)
    node_of = {name: name for name in kept}
    for (number, source), names in groups.items():
        # Where one caller has groups in several layers, the layer tells them apart.
        several = sum(other == source for _, other in groups) > 1
        where = f" below {source}" if source else ""
        label = f"{len(names):,}{where}" + (f", layer {number}" if source and several else "")
        node_of |= dict.fromkeys(names, (label if source else f"{len(names):,} more in layer {number}")
                                 if len(names) > 1 else names[0])  # fmt: skip
    return node_of


def _rows(layer_of: dict[str, int], edges: dict[tuple[str, str], float]) -> dict[str, int]:
    """Order within each layer: by where the callers stand, the most used first where they stand alike."""
    place: dict[str, float] = {}
    rows: dict[str, int] = {}
    callers_of: dict[str, list[tuple[str, float]]] = {}
    for (source, target), times in edges.items():
        callers_of.setdefault(target, []).append((source, times))
    for layer in sorted(set(layer_of.values())):
        here = [name for name, number in layer_of.items() if number == layer]
        wanted: dict[str, tuple[float, float, str]] = {}
        for name in here:
            callers = [(place[source], times) for source, times in callers_of.get(name, []) if source in place]
            weight = sum(times for _, times in callers)
            centre = sum(at * times for at, times in callers) / weight if weight else 0.5
            wanted[name] = (round(centre, 6), -weight, name)
        for row, name in enumerate(sorted(here, key=wanted.__getitem__)):
            rows[name] = row
            place[name] = (row + 0.5) / len(here)
    return rows
