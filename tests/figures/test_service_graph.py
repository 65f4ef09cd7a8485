"""The service graph: layers, rates, what is drawn together, and its chart."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from meshsim.app.pages.graph import facts, prepared
from meshsim.figures import as_figure
from meshsim.figures.service_graph import CLIENT, service_graph
from meshsim.figures.services import COLOURS, services_alt, services_figure
from meshsim.formats.load import load_application
from meshsim.scenario.scale import calls_per_request, scale
from meshsim.studies.services import service_facts

SHOP = load_application("online-boutique")[0]
TREE = load_application(Path(__file__).parents[1] / "data" / "isotope" / "1000-svc_5000-end.yaml")[0]


def test_callers_stand_left_of_those_they_call() -> None:
    graph = service_graph(SHOP)
    layer = {node.name: node.layer for node in graph.nodes}
    assert layer[CLIENT] == 0
    assert all(layer[edge.source] < layer[edge.target] for edge in graph.edges)
    assert {node.name for node in graph.nodes} == {CLIENT, *(service.name for service in SHOP.services)}


def test_lines_carry_all_calls_of_a_request() -> None:
    graph = service_graph(SHOP)
    assert sum(edge.calls for edge in graph.edges) == pytest.approx(1 + calls_per_request(SHOP))
    for node in graph.nodes:
        if node.name != CLIENT:
            assert sum(edge.calls for edge in graph.edges if edge.target == node.name) == pytest.approx(node.visits)


@pytest.mark.parametrize("application", [TREE, scale(SHOP, 300)], ids=["a wide tree", "a grown shop"])
def test_a_large_graph_is_drawn_with_few_nodes_and_loses_nobody(application) -> None:
    graph = service_graph(application, 100)
    assert len(graph.nodes) <= 101
    drawn = [name for node in graph.nodes for name in node.services]
    assert sorted(drawn) == sorted(service.name for service in application.services)
    names = [node.name for node in graph.nodes]
    assert len(set(names)) == len(names)


def test_services_that_nothing_tells_apart_are_together_by_their_caller() -> None:
    graph = service_graph(TREE, 120)
    (below,) = [node for node in graph.nodes if node.name.endswith(" below svc-0-3")]
    assert all(name.startswith("svc-0-3-") for name in below.services)
    found = service_graph(TREE, 120, first=["svc-0-3-7"])
    assert ("svc-0-3-7",) in [node.services for node in found.nodes]


def test_only_some_are_drawn() -> None:
    only = {"frontend", "cartservice"}
    graph = service_graph(SHOP, only=only)
    assert {node.name for node in graph.nodes} == {CLIENT, *only}
    assert {(edge.source, edge.target) for edge in graph.edges} == {(CLIENT, "frontend"), ("frontend", "cartservice")}


def test_within_a_layer_rows_are_numbered_without_gaps() -> None:
    graph = service_graph(SHOP)
    for layer in range(graph.layers):
        rows = [node.row for node in graph.in_layer(layer)]
        assert all(after == before + 1 for before, after in pairwise(rows))


@pytest.mark.parametrize("plane", ["no-mesh", "istio-sidecar", "istio-ambient", "cilium"])
def test_cpu_of_all_services_is_that_of_the_cluster(plane: str) -> None:
    """By service and by operation are two sums of the same work; waypoints have a part of their own."""
    from meshsim.engines.analytic import solve

    ready = prepared("online-boutique", plane)
    found = solve(ready.plan, 500.0)
    assert found.cores_by_service.sum() == pytest.approx(found.cores_by_tag.sum(), rel=1e-9)
    services = service_facts(ready, 500.0)
    mine = sum(one.cores for one in services.facts.values())
    assert mine <= found.cores_by_tag.sum() * (1 + 1e-9)
    assert (mine < found.cores_by_tag.sum() * 0.999) == (ready.plan.waypoints > 0)


def test_parts_of_the_way_add_up() -> None:
    services = facts("online-boutique", "istio-sidecar", 500.0)
    assert sum(one.share for one in services.facts.values()) == pytest.approx(1.0)
    assert services.followed == services.entries == 6
    assert sum(services.calls.values()) == pytest.approx(500 * calls_per_request(SHOP))


def test_twice_the_rate_is_twice_the_cpu_but_for_wake_ups() -> None:
    once, twice = (facts("online-boutique", "no-mesh", rps).facts for rps in (100.0, 200.0))
    for name in once:
        assert twice[name].rps == pytest.approx(2 * once[name].rps)
        assert 1.5 < twice[name].cores / once[name].cores <= 2.0 + 1e-9


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("colour", list(COLOURS))
def test_the_chart_is_valid_and_marks_what_is_found_and_chosen(colour: str, theme) -> None:
    services = facts("online-boutique", "istio-sidecar", 500.0)
    graph = service_graph(SHOP)
    figure = services_figure(graph, services, colour=colour, found=["adservice"], chosen="cartservice", theme=theme)
    as_figure(figure)
    dots = figure["data"][-1]
    width = dict(zip([name for name, _ in dots["customdata"]], dots["marker"]["line"]["width"], strict=True))
    assert {name for name, px in width.items() if px > 1} == {"adservice", "cartservice"}
    assert all(text.startswith("<b>") for text in dots["text"])
    into, out = figure["data"][1], figure["data"][2]
    assert (into["x"].count(None), out["x"].count(None)) == (2, 1)  # frontend and checkout call it, it calls redis
    assert COLOURS[colour] in services_alt(graph, services, colour)
    bold = [note["text"] for note in figure["layout"]["annotations"] if "<b>" in note["text"]]
    assert bold == ["<b>cartservice</b>"]


def test_a_name_is_text_and_never_markup() -> None:
    evil = "a<img src=x onerror=alert(1)>"
    services = facts("two-tier", "no-mesh", 10.0)
    graph = service_graph(load_application("two-tier")[0])
    renamed = tuple(
        node if node.name == CLIENT else type(node)(evil, node.layer, node.row, node.visits, node.services)
        for node in graph.nodes[:2]
    )
    figure = services_figure(type(graph)(renamed, (), graph.node_of), services)
    assert "<img" not in "".join(note["text"] for note in figure["layout"]["annotations"])
