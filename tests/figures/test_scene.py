"""The moving picture: dots take the way that the model prices, and no call is lost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from meshsim.figures.scene import DOTS_A_SECOND, USUAL, requests_a_dot, scene
from meshsim.formats.load import load_application
from meshsim.scenario import catalog
from meshsim.scenario.catalog import load_dataplane
from meshsim.scenario.scale import calls_per_request, scale

SHOP = load_application("online-boutique")[0]
TREE = load_application(Path(__file__).parents[1] / "data" / "isotope" / "1000-svc_5000-end.yaml")[0]


def messages(picture: dict) -> float:
    """Calls of one request, as the dots would make them: by walking the tables that the canvas is given."""
    total = sum(entry["weight"] for entry in picture["entries"])
    known: dict[int, float] = {}

    def below(endpoint: int) -> float:
        if endpoint not in known:
            known[endpoint] = 0.0
            known[endpoint] = sum(
                made["probability"] * (1 + below(made["to"]))
                for group in picture["endpoints"][endpoint]
                for made in group
                if made["link"] >= 0
            )
        return known[endpoint]

    return sum(entry["weight"] / total * (1 + below(entry["to"])) for entry in picture["entries"])


@pytest.mark.parametrize("plane", catalog.names("dataplanes"))
def test_every_data_plane_can_be_drawn(plane: str) -> None:
    picture = scene(SHOP, load_dataplane(plane), 500.0)
    json.dumps(picture)
    assert messages(picture) == pytest.approx(1 + calls_per_request(SHOP))
    for link in picture["links"]:
        assert len(link["way"]) >= 2
        assert all(0 <= x <= 1 and 0 <= y <= 1 for x, y, _, _ in link["way"])


def kinds(plane: str) -> dict[str, int]:
    tiles = scene(SHOP, load_dataplane(plane), 500.0)["tiles"]
    return {kind: sum(tile["kind"] == kind for tile in tiles) for kind in ("application", "proxy", "kernel", "client")}


def test_sidecars_stand_in_pods_and_proxies_of_nodes_below() -> None:
    assert kinds("no-mesh") == {"application": 11, "proxy": 0, "kernel": 11, "client": 1}
    assert kinds("istio-sidecar") == {"application": 11, "proxy": 11, "kernel": 22, "client": 1}
    assert kinds("cilium")["proxy"] == 1
    ambient = scene(SHOP, load_dataplane("istio-ambient"), 500.0)
    assert {tile["label"] for tile in ambient["tiles"] if tile["kind"] == "proxy"} == {
        "ztunnel, one a node",
        "waypoint",
    }


def test_a_way_over_sidecars_is_longer_than_one_without() -> None:
    bare, mesh = (
        min(len(link["way"]) for link in scene(SHOP, load_dataplane(plane), 1.0)["links"] if link["from"] != "client")
        for plane in ("no-mesh", "istio-sidecar")
    )
    assert mesh >= bare + 4  # through two proxies, and in and out of the kernel at each


def test_with_a_plan_proxies_stand_by_node() -> None:
    from meshsim.app.approximate import Place, prepared

    ready = prepared(Place("online-boutique", 11, "cilium"))
    labels = [tile["label"] for tile in scene(SHOP, ready.dataplane, 500.0, plan=ready.plan)["tiles"]]
    assert sum(label.startswith("node-envoy, node ") for label in labels) == ready.plan.bill.nodes > 1


@pytest.mark.parametrize("application", [TREE, scale(SHOP, 300)], ids=["a wide tree", "a grown shop"])
def test_services_drawn_together_pass_on_as_many_calls_as_their_lines_say(application) -> None:
    picture = scene(application, load_dataplane("istio-sidecar"), 100.0, most=40)
    from meshsim.figures.service_graph import service_graph

    lines = sum(edge.calls for edge in service_graph(application, 40).edges)
    assert messages(picture) == pytest.approx(lines, rel=1e-6)
    assert len(json.dumps(picture)) < 200_000


def test_a_dot_stands_for_as_many_requests_as_can_be_drawn() -> None:
    assert requests_a_dot(10, 2) == USUAL
    for rps in (10, 1e3, 1e5):
        assert rps * 13 / requests_a_dot(rps, 13) <= DOTS_A_SECOND


def test_the_text_alternative_says_what_moves_where() -> None:
    alt = scene(SHOP, load_dataplane("istio-ambient"), 500.0)["alt"]
    assert "11 services" in alt
    assert "ztunnel on every node" in alt
    assert "waypoint between services" in alt
    assert "500 requests a second" in alt
