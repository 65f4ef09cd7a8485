"""The graph that Kiali answers (``/api/namespaces/graph``) as an application: what really called what, and how often.

Fields as in kiali ``graph/config/common/common.go``; numbers are text. All graph types are read: app, versionedApp,
workload and service, with service nodes injected or not. Rates of http and grpc are requests a second; those of tcp are
bytes a second, for nobody counts requests there. With injected service nodes, response time and throughput stand only
on the edge from the service node to the workload (``appender/response_time.go``): they belong to the called service,
whoever called it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import networkx as nx

from meshsim.formats import assumed
from meshsim.formats.assumed import COMPUTE_US, PAYLOAD_BYTES, Edge, listed
from meshsim.formats.fields import Value, missing
from meshsim.scenario.application import Application
from meshsim.scenario.suggest import choices
from meshsim.scenario.yaml_io import Document, validate

GRAPHS = ("app", "versionedApp", "workload", "service")
PROTOCOLS = {"http": "http1", "grpc": "grpc", "tcp": "tcp"}
MOST_RATE = 1e9
"""Requests or bytes a second of one edge; bytes up to a thousand times that."""
LEAST_RATE = 1e-6
"""One in eleven days: no edge of less is written."""
LONGEST_US = 60e6
LARGEST = 1 << 30
MOST_TIMES = 1000
ROUNDING = 0.01
"""Rates are written with two digits after the point: a hundredth of a call more or less is none."""
NOWHERE = ("unknown", "PassthroughCluster", "BlackHoleCluster")


def is_kiali(data: Any) -> bool:
    """Whether parsed JSON looks like an answer of Kiali's graph API."""
    elements = data.get("elements") if isinstance(data, dict) and "schema" not in data else None
    return isinstance(elements, dict) and ("nodes" in elements or "edges" in elements)


def convert(document: Document, name: str) -> tuple[Application, list[str]]:
    """The application, and notes on what was assumed or left out. InputError with the field otherwise."""
    return _Graph(Value(document, document.data)).application(name)


@dataclass
class _Flow:
    """What one service sends to another, by protocol: requests a second, or bytes a second for tcp."""

    rates: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    @property
    def requests(self) -> float:
        return sum(rate for protocol, rate in self.rates.items() if protocol != "tcp")

    @property
    def weight(self) -> float:
        """To tell the weaker of two."""
        return self.requests + self.rates.get("tcp", 0.0) / PAYLOAD_BYTES


@dataclass
class _Member:
    """What is told of a service: by the edges that end there."""

    pods: int = 0
    timed: float = 0.0
    """Requests a second whose response time is known, and the milliseconds of all of them."""
    milliseconds: float = 0.0
    measured: float = 0.0
    """Requests a second whose bytes are known, and these."""
    bytes: float = 0.0


class _Graph:
    def __init__(self, root: Value) -> None:
        self.root = root
        self.notes: list[str] = []
        self.kind = root["graphType"].text("versionedApp")
        if self.kind not in GRAPHS:
            raise root["graphType"].wrong(choices(self.kind, GRAPHS))
        self.nodes: dict[str, Value] = {}
        for node in root["elements"]["nodes"].items():
            data = node["data"]
            if not data["id"].text():
                raise missing(data, "id")
            if data["id"].text() in self.nodes:
                raise data["id"].wrong("is the id of two nodes")
            if data["nodeType"].text() != "box" and not data["isBox"].given and not data["isGroup"].given:
                self.nodes[data["id"].text()] = data
        if not self.nodes:
            raise root["elements"]["nodes"].wrong("at least one node that is no box was expected")
        boxes = {n["data"]["id"].text() for n in root["elements"]["nodes"].items()} - self.nodes.keys()
        self.edges: list[tuple[str, str, str, Value]] = []
        for edge in root["elements"]["edges"].items():
            data = edge["data"]
            ends = [data[end].text() for end in ("source", "target")]
            for end, node_id in zip(("source", "target"), ends, strict=True):
                if node_id not in self.nodes and node_id not in boxes:
                    raise data[end].wrong("there is no node with that id")
            protocol = data["traffic"]["protocol"].text()
            if boxes.isdisjoint(ends) and protocol:
                if protocol not in PROTOCOLS:
                    raise data["traffic"]["protocol"].wrong(choices(protocol, PROTOCOLS))
                self.edges.append((ends[0], ends[1], protocol, data))
        self.group = self.groups()
        self.called: dict[str, str] = dict(zip(dict.fromkeys(self.group.values()), self.name_all(), strict=True))

    # Which nodes are one service ------------------------------------------------------------------------------------

    def groups(self) -> dict[str, str]:
        """Service of each node, as the id of one of its nodes: versions of an app, what one service node leads to."""
        same: nx.Graph[Any] = nx.Graph()
        same.add_nodes_from(self.nodes)
        for node_id, node in self.nodes.items():
            if (app := node["app"].text()) and app != "unknown":
                same.add_edge(node_id, ("app", node["cluster"].text(), node["namespace"].text(), app))
        if self.kind != "service":  # there, an edge between service nodes is a call
            for source, target, _, _ in self.edges:
                if self.of_type(source, "service") and not self.of_type(target, "service"):
                    same.add_edge(source, target)
        group: dict[str, str] = {}
        for together in nx.connected_components(same):
            members = sorted(node_id for node_id in together if isinstance(node_id, str))
            group.update(dict.fromkeys(members, members[0]))
        return {node_id: group[node_id] for node_id in self.nodes}

    def of_type(self, node_id: str, kind: str) -> bool:
        return self.nodes[node_id]["nodeType"].text() == kind

    def name_all(self) -> list[str]:
        wanted: dict[str, tuple[str, str]] = {}
        for kind in ("app", "service", "workload"):
            for node_id, node in self.nodes.items():
                label = node[kind].text()
                if label and label != "unknown":
                    wanted.setdefault(self.group[node_id], (label, node["namespace"].text()))
        return assumed.names(wanted.get(group, ("unknown", "")) for group in dict.fromkeys(self.group.values()))

    # What flows between them ----------------------------------------------------------------------------------------

    def application(self, name: str) -> tuple[Application, list[str]]:
        waypoints = {self.group[node_id] for node_id, node in self.nodes.items() if node["isWaypoint"].flag()}
        flows, members = self.flows(waypoints)
        outside = self.outside(flows)
        away = {g for n, g in self.group.items() if self.leads_away(self.nodes[n])} - outside
        if not outside:
            raise self.root["elements"]["edges"].wrong(
                "no node only sends (unknown, a gateway, a load generator); traffic must come in somewhere"
            )
        inner = [group for group in self.called if group not in outside | away | waypoints]
        calls = {edge: flow for edge, flow in flows.items() if edge[0] in inner and edge[1] in inner}
        self.loops({edge for edge in calls if edge[0] == edge[1]}, "calls to itself")
        weights = {edge: flow.weight for edge, flow in calls.items() if edge[0] != edge[1]}
        kept, dropped = assumed.without_cycles(weights, self.root.document.name)
        self.loops(dropped, "the weakest calls of circles, in which a request would never end")
        incoming = {edge: flow for edge, flow in flows.items() if edge[0] in outside and edge[1] in inner}
        if not incoming:
            raise self.root["elements"]["edges"].wrong(
                f"nothing comes in from outside ({listed(sorted(self.called[g] for g in outside))})"
            )
        visits = self.visits(inner, kept, flows, incoming)
        entries = self.entries(incoming, members)
        callees: dict[str, list[str]] = defaultdict(list)
        for source, target in kept:
            callees[source].append(target)
        services = [
            {
                "name": self.called[group], "replicas": max(members[group].pods, 1),
                "endpoints": [{"name": "serve", "steps": self.steps(group, callees[group], flows, visits, members)}],
            }
            for group in inner
        ]  # fmt: skip
        self.tell(outside | away, waypoints, flows, incoming, members, inner)
        built = {"schema": "meshsim/application/1", "name": name, "title": f"Kiali graph {name}",
                 "entries": entries, "services": services}  # fmt: skip
        return validate(Application, Document(self.root.document.name, built)), self.notes

    def flows(self, waypoints: set[str]) -> tuple[dict[Edge, _Flow], dict[str, _Member]]:
        flows: dict[Edge, _Flow] = {}
        members: dict[str, _Member] = {group: _Member() for group in self.called}
        for node_id, group in self.group.items():
            members[group].pods += not self.of_type(node_id, "service")
        for source, target, protocol, data in self.edges:
            rate = data["traffic"]["rates"][protocol].number(MOST_RATE * (1000 if protocol == "tcp" else 1))
            milliseconds, sent = data["responseTime"].number(1e9), data["throughput"].number(1e12)
            edge = (self.group[source], self.group[target])
            passed_on = edge[0] == edge[1] and self.of_type(source, "service") and self.kind != "service"
            if rate < LEAST_RATE or not waypoints.isdisjoint(edge):
                continue
            if not passed_on:
                flows.setdefault(edge, _Flow()).rates[protocol] += rate
            told = members[edge[1]]
            if protocol != "tcp" and (passed_on or edge[0] != edge[1]):
                if data["responseTime"].given:
                    told.timed += rate
                    told.milliseconds += rate * milliseconds
                if data["throughput"].given:
                    told.measured += rate
                    told.bytes += sent
        return flows, members

    def outside(self, flows: dict[Edge, _Flow]) -> set[str]:
        """Those that send and get nothing, such as load generators; unknown and gateways whatever they get."""
        known = {self.group[n] for n, node in self.nodes.items() if self.is_gateway(node)}
        sending = {source for source, target in flows if source != target}
        reached = {target for source, target in flows if source != target}
        return {group for group in sending if group in known or group not in reached}

    def is_gateway(self, node: Value) -> bool:
        """Unknown, or an ingress gateway; old versions of Kiali do not tell it, but its name does."""
        words = f"{node['workload'].text()} {node['app'].text()}".lower()
        return (
            node["nodeType"].text() == "unknown"
            or any(node["isGateway"][key].mapping() for key in ("ingressInfo", "gatewayAPIInfo"))
            or "ingressgateway" in words
            or "ingress-gateway" in words
        )

    def leads_away(self, node: Value) -> bool:
        """Out of the mesh, or nowhere."""
        return (
            node["nodeType"].text() in ("unknown", "aggregate")
            or bool(node["isServiceEntry"].data)
            or node["service"].text() in NOWHERE
        )

    def visits(
        self, inner: list[str], kept: list[Edge], flows: dict[Edge, _Flow], incoming: dict[Edge, _Flow]
    ) -> dict[str, float]:
        """Requests a second of each service: all that it gets, also over edges that were left out; tcp as assumed."""
        visits: dict[str, float] = defaultdict(float)
        for (_, target), flow in flows.items():
            visits[target] += flow.requests
        for (_, target), flow in incoming.items():
            visits[target] += flow.rates.get("tcp", 0.0) / PAYLOAD_BYTES
        graph: nx.DiGraph[str] = nx.DiGraph()
        graph.add_nodes_from(inner)
        graph.add_edges_from(kept)
        callees: dict[str, list[str]] = defaultdict(list)
        for source, target in kept:
            callees[source].append(target)
        for group in nx.topological_sort(graph):
            for target in callees[group]:
                visits[target] += visits[group] if flows[group, target].rates.get("tcp") else 0.0
        return visits

    # What becomes of it ---------------------------------------------------------------------------------------------

    def entries(self, incoming: dict[Edge, _Flow], members: dict[str, _Member]) -> list[dict[str, Any]]:
        weights: dict[tuple[str, str], float] = defaultdict(float)
        for (_, target), flow in incoming.items():
            for protocol, rate in flow.rates.items():
                weights[target, protocol] += rate / PAYLOAD_BYTES if protocol == "tcp" else rate
        return [
            {
                "service": self.called[target], "protocol": PROTOCOLS[protocol], "weight": weight,
                "request_bytes": PAYLOAD_BYTES if protocol == "tcp" else _payload(members[target]),
                "response_bytes": PAYLOAD_BYTES,
            }
            for (target, protocol), weight in weights.items()
        ]  # fmt: skip

    def steps(
        self,
        group: str,
        callees: list[str],
        flows: dict[Edge, _Flow],
        visits: dict[str, float],
        members: dict[str, _Member],
    ) -> list[dict[str, Any]]:
        steps: list[dict[str, Any]] = [assumed.compute()]
        inside_us = 0.0
        for target in callees if visits[group] else []:
            for protocol, rate in flows[group, target].rates.items():
                call: dict[str, Any] = {
                    "service": self.called[target], "protocol": PROTOCOLS[protocol],
                    "request_bytes": _payload(members[target]), "response_bytes": PAYLOAD_BYTES,
                }  # fmt: skip
                a_visit = rate / visits[group]
                if protocol == "tcp":
                    call |= {"request_bytes": PAYLOAD_BYTES, "response_bytes": min(round(a_visit), LARGEST)}
                    a_visit = 1.0
                answer_us = _response_us(members[target])
                inside_us += a_visit * (COMPUTE_US if answer_us is None else answer_us)
                steps += self.repeated(call, a_visit, group)
        own_us = min((_response_us(members[group]) or 0.0) - inside_us, LONGEST_US)
        if own_us > COMPUTE_US:
            steps.insert(1, {"wait": {"mean_us": round(own_us - COMPUTE_US, 3)}})
        return steps

    def repeated(self, call: dict[str, Any], a_visit: float, group: str) -> list[dict[str, Any]]:
        """A call that a visit makes so often on average: as often as it always does, and perhaps once more."""
        if a_visit > MOST_TIMES:
            self.notes.append(
                f"{self.called[group]} calls {call['service']} {a_visit:,.0f} times a visit; {MOST_TIMES} times here"
            )
        often = min(a_visit, float(MOST_TIMES))
        whole = int(often + ROUNDING)
        rest = float(f"{often - whole:.4g}")
        made = [{"call": {**call, "times": whole}}] if whole else []
        return made + ([{"call": {**call, "probability": rest}}] if rest > (ROUNDING if whole else 0) else [])

    # What is said about it ------------------------------------------------------------------------------------------

    def loops(self, edges: Iterable[Edge], what: str) -> None:
        said = [f"{self.called[a]} -> {self.called[b]}" for a, b in sorted(edges)]
        if said:
            self.notes.append(f"left out are {what}: {listed(said)}")

    def tell(
        self, away: set[str], waypoints: set[str], flows: dict[Edge, _Flow], incoming: dict[Edge, _Flow],
        members: dict[str, _Member], inner: list[str],
    ) -> None:  # fmt: skip
        rate = f"{float(f'{sum(flow.weight for flow in incoming.values()):.4g}'):.12g}"
        senders = listed(sorted({self.called[source] for source, _ in incoming}))
        first = [f"came in with {rate} requests/s, from {senders}: --rps {rate}"]
        timed = [group for group in inner if _response_us(members[group]) is not None]
        if timed:
            first.append(
                f"a response time is no CPU time: a visit takes {COMPUTE_US:g} us of CPU (assumed), and what its "
                "response time has beyond this and its calls is waiting off the CPU"
            )
            first.append(
                "response times of Kiali are whole ms, of good answers, the 95th percentile unless asked otherwise, "
                "and have proxies and queues in them: simulated latencies come out high, none is a prediction"
            )
        if len(timed) < len(inner):
            untold = listed(self.called[group] for group in inner if group not in timed)
            first.append(f"no response time, so {COMPUTE_US:g} us of CPU a visit (assumed) and no wait: {untold}")
        measured = [group for group in inner if members[group].measured]
        first.append(
            f"payloads are {PAYLOAD_BYTES} bytes (assumed)"
            + (
                ", but requests to these as their throughput says, which may be that of answers: "
                f"{listed(self.called[group] for group in measured)}"
                if measured
                else ""
            )
        )
        first.append(
            "pods and reservations are not in a Kiali graph: one pod for each version that it shows, "
            "100 millicores and 128 MiB each"
        )
        if any(flow.rates.get("tcp") for flow in incoming.values()) or any(e[2] == "tcp" for e in self.edges):
            first.append(
                "tcp has bytes a second and no requests: each visit of the caller asks once and gets all its bytes; "
                f"from outside, {PAYLOAD_BYTES} bytes an answer (assumed)"
            )
        versions = [f"{self.called[group]} ({members[group].pods})" for group in inner if members[group].pods > 1]
        if versions:
            first.append(f"versions behind one service are one service with the sum of their rates: {listed(versions)}")
        if gone := listed(sorted({self.called[b] for a, b in flows if a in inner and b in away})):
            first.append(f"calls out of the mesh are left out, their time stays with the caller: {gone}")
        if waypoints:
            gone = listed(sorted(self.called[group] for group in waypoints))
            first.append(f"waypoints are the data plane's, and left out: {gone}")
        self.notes[:0] = first


def _response_us(member: _Member) -> float | None:
    return member.milliseconds / member.timed * 1000 if member.timed else None


def _payload(member: _Member) -> int:
    return min(round(member.bytes / member.measured), LARGEST) if member.measured else PAYLOAD_BYTES
