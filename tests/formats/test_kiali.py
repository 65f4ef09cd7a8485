"""Kiali's graphs become applications: rates to probabilities, response times to waiting, versions to one service."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from meshsim.formats.assumed import COMPUTE_US
from meshsim.formats.kiali import is_kiali
from meshsim.formats.load import load_application
from meshsim.scenario.application import Application
from meshsim.scenario.scale import calls_per_request
from meshsim.scenario.yaml_io import InputError

FILE = Path(__file__).parents[1] / "data" / "kiali" / "versioned-app.json"
GRAPH: dict[str, Any] = json.loads(FILE.read_text())


def node(node_id: str, kind: str = "app", **data: Any) -> dict[str, Any]:
    labels = {} if kind in ("service", "unknown") else {"app": node_id, "workload": f"{node_id}-v1"}
    return {"data": {"id": node_id, "nodeType": kind, "namespace": "shop", **labels, **data}}


def edge(source: str, target: str, rate: str, protocol: str = "http", **data: Any) -> dict[str, Any]:
    traffic = {"protocol": protocol, "rates": {protocol: rate}}
    return {"data": {"id": source + target, "source": source, "target": target, "traffic": traffic, **data}}


def graph(nodes: list[dict[str, Any]], edges: list[dict[str, Any]], kind: str = "versionedApp") -> dict[str, Any]:
    return {"graphType": kind, "elements": {"nodes": nodes, "edges": edges}}


OUTSIDE = node("u", "unknown")


def load(tmp_path: Path, data: dict[str, Any]) -> tuple[Application, list[str]]:
    file = tmp_path / "g.json"
    file.write_text(json.dumps(data))
    return load_application(file)


def calls(app: Application, service: str) -> list[tuple[str, str, float, int]]:
    found = app.service(service).endpoints[0].calls()
    return [(call.service, call.protocol, call.probability, call.times) for call in found]


def said(notes: list[str], words: str) -> str:
    return next(note for note in notes if words in note)


def test_a_graph_with_service_nodes_gateway_versions_and_boxes() -> None:
    app, notes = load_application(FILE)
    assert [service.name for service in app.services] == ["page", "details", "reviews", "ratings", "mongo"]
    assert [(entry.service, entry.weight, entry.request_bytes) for entry in app.entries] == [("page", 120, 200)]
    assert calls(app, "page") == [
        ("details", "http1", 1, 1),
        ("reviews", "grpc", 1, 2),
        ("reviews", "grpc", 0.5, 1),
    ]
    assert calls(app, "reviews") == [("ratings", "http1", pytest.approx(150 / 301, abs=1e-4), 1)]
    assert calls(app, "ratings") == [("mongo", "tcp", 1, 1)]
    assert app.service("ratings").endpoints[0].calls()[0].response_bytes == round(30_200 / 150)
    assert app.service("reviews").replicas == 2
    assert "came in with 120 requests/s, from istio-ingressgateway: --rps 120" in notes
    assert "reviews (2)" in said(notes, "versions behind one service")
    assert "ratings -> reviews" in said(notes, "weakest calls of circles")
    assert "api.example.com" in said(notes, "out of the mesh")
    assert "page" in said(notes, "throughput")


def test_calls_a_request_are_the_measured_rates(tmp_path: Path) -> None:
    nodes = [OUTSIDE, *map(node, "abc")]
    app, _ = load(tmp_path, graph(nodes, [edge("u", "a", "50"), edge("a", "b", "125"), edge("a", "c", "5"), edge("b", "c", "250")]))  # fmt: skip
    assert calls_per_request(app) == pytest.approx((125 + 5 + 250) / 50, rel=1e-3)
    assert calls(app, "a") == [("b", "http1", 1, 2), ("b", "http1", 0.5, 1), ("c", "http1", 0.1, 1)]


def test_a_response_time_is_cpu_up_to_what_is_assumed_and_waiting_beyond(tmp_path: Path) -> None:
    nodes = [OUTSIDE, *map(node, "abc")]
    edges = [
        edge("u", "a", "10", responseTime="30"),
        edge("a", "b", "20", responseTime="8"),
        edge("a", "c", "10", responseTime="0"),
    ]
    app, notes = load(tmp_path, graph(nodes, edges))
    steps = {s.name: s.endpoints[0].steps for s in app.services}
    assert all(found[0].compute is not None and found[0].compute.mean_us == COMPUTE_US for found in steps.values())
    assert steps["a"][1].wait is not None
    assert steps["a"][1].wait.mean_us == pytest.approx(30_000 - 2 * 8_000 - COMPUTE_US)
    assert steps["b"][1].wait is not None
    assert steps["b"][1].wait.mean_us == pytest.approx(8_000 - COMPUTE_US)
    assert len(steps["c"]) == 1
    assert "no CPU time" in notes[1]


def test_of_a_circle_the_weakest_call_goes_and_a_call_to_itself(tmp_path: Path) -> None:
    edges = [edge("u", "a", "9"), edge("a", "b", "9"), edge("b", "c", "1"), edge("c", "a", "3"), edge("a", "a", "2")]
    app, notes = load(tmp_path, graph([OUTSIDE, *map(node, "abc")], edges))
    assert [calls(app, name) for name in "bc"] == [[], [("a", "http1", 1, 3)]]
    assert "b -> c" in said(notes, "circles")
    assert "a -> a" in said(notes, "calls to itself")


@pytest.mark.parametrize(
    ("kind", "make"),
    [
        ("app", lambda name: node(name, version="")),
        ("workload", lambda name: node(name, "workload", app="")),
        ("service", lambda name: node(name, "service", service=name)),
    ],
)
def test_every_type_of_graph_is_read(tmp_path: Path, kind: str, make: Callable[[str], dict[str, Any]]) -> None:
    edges = [edge("u", "a", "9"), edge("a", "b", "18", "grpc")]
    app, _ = load(tmp_path, graph([OUTSIDE, make("a"), make("b")], edges, kind))
    first, second = (service.name for service in app.services)
    assert calls(app, first) == [(second, "grpc", 1, 2)]
    assert first.startswith("a")


def test_workloads_behind_one_service_node_are_one_service(tmp_path: Path) -> None:
    nodes = [OUTSIDE, node("s", "service", service="front"), *(node(n, "workload", app="") for n in ("blue", "green"))]
    edges = [
        edge("u", "s", "30"),
        edge("s", "blue", "10", responseTime="9"),
        edge("s", "green", "20", responseTime="3"),
    ]
    app, _ = load(tmp_path, graph(nodes, edges, "workload"))
    (front,) = app.services
    assert (front.name, front.replicas) == ("front", 2)
    assert front.endpoints[0].steps[1].wait is not None
    assert front.endpoints[0].steps[1].wait.mean_us == pytest.approx(5_000 - COMPUTE_US)


def test_names_of_two_namespaces_are_told_apart(tmp_path: Path) -> None:
    nodes = [OUTSIDE, node("1", app="db", namespace="one"), node("2", app="db", namespace="two")]
    app, _ = load(tmp_path, graph(nodes, [edge("u", "1", "1"), edge("u", "2", "3")]))
    assert {(entry.service, entry.weight) for entry in app.entries} == {("db.one", 1), ("db.two", 3)}


def test_waypoints_and_idle_edges_are_left_out(tmp_path: Path) -> None:
    nodes = [OUTSIDE, *map(node, "ab"), node("w", "workload", isWaypoint=True)]
    edges = [edge("u", "a", "5"), edge("a", "b", "5"), edge("a", "w", "99", "tcp"), edge("b", "a", "0.00")]
    app, notes = load(tmp_path, graph(nodes, edges))
    assert [service.name for service in app.services] == ["a", "b"]
    assert len(calls(app, "a")) == 1
    assert said(notes, "waypoints")


def test_traffic_that_is_all_tcp_comes_in_by_its_bytes(tmp_path: Path) -> None:
    edges = [edge("u", "a", "10240.00", "tcp"), edge("a", "b", "2048.00", "tcp")]
    app, notes = load(tmp_path, graph([OUTSIDE, *map(node, "ab")], edges))
    assert [(entry.protocol, entry.weight) for entry in app.entries] == [("tcp", 10)]
    assert app.service("a").endpoints[0].calls()[0].response_bytes == 205
    assert "--rps 10" in notes[0]


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("graphType",), "apps", "g.json: graphType: 'apps' received; did you mean 'app'? choose from: app, service"),
        (("elements", "edges", 0, "data", "source"), "x", "elements.edges[0].data.source: 'x' received; there is no node"),
        (("elements", "edges", 0, "data", "traffic", "protocol"), "quic",
         "elements.edges[0].data.traffic.protocol: 'quic' received; choose from: grpc, http, tcp"),
        (("elements", "edges", 0, "data", "traffic", "rates", "http"), "many",
         "elements.edges[0].data.traffic.rates.http: 'many' received; a number was expected"),
        (("elements", "edges", 2, "data", "responseTime"), "-1", "responseTime: '-1' received; must be from 0 to"),
        (("elements", "edges", 2, "data", "responseTime"), "NaN", "responseTime: 'NaN' received; must be from 0 to"),
        (("elements", "nodes", 1, "data", "id"), None, "elements.nodes[1].data.id: is missing"),
        (("elements", "nodes", 2, "data", "id"), "unk", "elements.nodes[2].data.id: 'unk' received; is the id of two"),
        (("elements", "nodes"), [], "elements.nodes: a list received; at least one node"),
        (("elements", "nodes"), "none", "elements.nodes: 'none' received; a list was expected"),
        (("elements", "edges"), [], "elements.edges: a list received; no node only sends"),
    ],
)  # fmt: skip
def test_mistakes_are_told_with_their_field(tmp_path: Path, path: tuple[Any, ...], value: Any, message: str) -> None:
    broken = copy.deepcopy(GRAPH)
    here: Any = broken
    for part in path[:-1]:
        here = here[part]
    here[path[-1]] = value
    with pytest.raises(InputError) as caught:
        load(tmp_path, broken)
    assert message in str(caught.value)


def test_what_is_no_graph_of_kiali_is_told_apart() -> None:
    assert is_kiali(GRAPH)
    assert not any(map(is_kiali, [{}, [], {"elements": 1}, {"services": []}, {"schema": "x", **GRAPH}]))
