"""Scaling keeps what a request sees, and visits agree with hand counting."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshsim.scenario.application import Application
from meshsim.scenario.base import MeshsimError
from meshsim.scenario.scale import calls_per_request, scale, visits


def application(services: dict[str, list[Any]], entries: list[dict[str, Any]] | None = None) -> Application:
    """Services of one endpoint each, from their steps; the first one is the entry."""
    return Application.model_validate(
        {
            "schema": "meshsim/application/1",
            "name": "tiny",
            "entries": entries or [{"service": next(iter(services))}],
            "services": [
                {"name": name, "endpoints": [{"name": "get", "steps": steps}]} for name, steps in services.items()
            ],
        }
    )


def call(service: str, **fields: Any) -> dict[str, Any]:
    return {"call": {"service": service, **fields}}


SHOP = application(
    {
        "front": [{"parallel": [call("cart", probability=0.5), call("ads")]}, call("stock", times=3)],
        "cart": [call("store", times=2)],
        "ads": [],
        "stock": [call("store", probability=0.25)],
        "store": [],
    }
)


def revalidated(scaled: Application) -> Application:
    return Application.model_validate(scaled.model_dump(by_alias=True))


def role(name: str, base: Application) -> str:
    """The service of the base that this one is a copy of."""
    known = {service.name for service in base.services}
    return name if name in known else name.rpartition("-")[0]


def visits_by_role(scaled: Application, base: Application) -> dict[str, float]:
    by_role: dict[str, float] = dict.fromkeys((s.name for s in base.services), 0.0)
    for (service, _), mean in visits(scaled).items():
        by_role[role(service, base)] += mean
    return by_role


def depth(app: Application) -> int:
    """Most calls on one path from an entry."""
    graph: nx.DiGraph[tuple[str, str]] = nx.DiGraph()
    for service in app.services:
        for endpoint in service.endpoints:
            for made in endpoint.calls():
                target = app.service(made.service).endpoint(made.endpoint).name
                graph.add_edge((service.name, endpoint.name), (made.service, target))
    starts = {(e.service, app.service(e.service).endpoint(e.endpoint).name) for e in app.entries} & set(graph)
    reached = starts | {node for start in starts for node in nx.descendants(graph, start)}
    return int(nx.dag_longest_path_length(graph.subgraph(reached), default_weight=1))


def out_calls(app: Application, base: Application) -> dict[str, set[tuple[Any, ...]]]:
    """For each role, the different lists of calls that its copies make, callees by their role."""
    made: dict[str, set[tuple[Any, ...]]] = {}
    for service in app.services:
        calls = tuple(
            (endpoint.name, made.model_dump_json(exclude={"service"}), role(made.service, base))
            for endpoint in service.endpoints
            for made in endpoint.calls()
        )
        made.setdefault(role(service.name, base), set()).add(calls)
    return made


@st.composite
def applications(draw: st.DrawFn) -> Application:
    """Any acyclic graph: up to six services of one or two endpoints, parallel branches, several entries."""
    names = [f"s{number}" for number in range(draw(st.integers(1, 6)))]
    services: list[dict[str, Any]] = []
    below: list[tuple[str, str]] = []  # endpoints that may be called without a cycle
    for name in reversed(names):
        endpoints = []
        for endpoint in ("a", "b")[: draw(st.integers(1, 2))]:
            steps: list[Any] = []
            for _ in range(draw(st.integers(0, 3)) if below else 0):
                service, target = draw(st.sampled_from(below))
                one = call(
                    service,
                    endpoint=target,
                    probability=draw(st.sampled_from([0.0, 0.25, 1.0])),
                    times=draw(st.integers(1, 3)),
                    request_bytes=draw(st.integers(0, 4096)),
                )
                steps.append(draw(st.sampled_from([one, {"parallel": [one, [{"compute": {"mean_us": 5}}, one]]}])))
            endpoints.append({"name": endpoint, "steps": steps})
        below += [(name, e["name"]) for e in endpoints]
        services.insert(0, {"name": name, "endpoints": endpoints, "replicas": draw(st.integers(1, 4))})
    entered = draw(st.lists(st.sampled_from(names), min_size=1, max_size=3))
    entries = [{"service": name, "weight": draw(st.floats(0.1, 10))} for name in entered]
    schema = "meshsim/application/1"
    return Application.model_validate({"schema": schema, "name": "any", "entries": entries, "services": services})


def test_visits_are_what_one_counts_by_hand() -> None:
    expected = {"front": 1.0, "cart": 0.5, "ads": 1.0, "stock": 3.0, "store": 0.5 * 2 + 3 * 0.25}
    assert visits(SHOP) == {(name, "get"): pytest.approx(mean) for name, mean in expected.items()}
    assert calls_per_request(SHOP) == pytest.approx(0.5 + 1 + 3 + 1 + 0.75)


def test_visits_divide_the_traffic_by_the_weights_of_the_entries() -> None:
    app = application(
        {"web": [call("store")], "batch": [call("store", times=4)], "store": [], "idle": []},
        entries=[{"service": "web", "weight": 3}, {"service": "batch", "weight": 1}],
    )
    found = visits(app)
    assert found["web", "get"] == pytest.approx(0.75)
    assert found["store", "get"] == pytest.approx(0.75 + 0.25 * 4)
    assert found["idle", "get"] == 0


def test_a_call_without_endpoint_visits_the_first_one() -> None:
    app = application({"front": [call("store")], "store": []})
    assert visits(app)["store", "get"] == 1


@settings(max_examples=60, deadline=None)
@given(applications(), st.integers(0, 40))
def test_growing_keeps_what_a_request_sees(base: Application, more: int) -> None:
    wanted = len(base.services) + more
    grown = scale(base, wanted)

    assert len(grown.services) == wanted
    assert revalidated(grown) == grown
    assert depth(grown) == depth(base)
    assert visits_by_role(grown, base) == pytest.approx(visits_by_role(base, base))
    assert calls_per_request(grown) == pytest.approx(calls_per_request(base))
    assert out_calls(grown, base) == out_calls(base, base)

    copies = Counter(role(service.name, base) for service in grown.services)
    assert max(copies.values()) - min(copies.values()) <= 1
    for service in grown.services:
        original = base.service(role(service.name, base))
        same = original.model_dump(exclude={"name", "endpoints"})
        assert service.model_dump(exclude={"name", "endpoints"}) == same
    for number, entry in enumerate(base.entries):
        parts = [e for e in grown.entries if (role(e.service, base), e.endpoint) == (entry.service, entry.endpoint)]
        whole = sum(e.weight for e in base.entries if e.service == entry.service)
        assert sum(part.weight for part in parts) == pytest.approx(whole), number


@settings(max_examples=60, deadline=None)
@given(applications(), st.data())
def test_shrinking_drops_the_least_visited_and_leaves_the_rest_alone(base: Application, data: st.DataObject) -> None:
    least = len({entry.service for entry in base.entries})
    wanted = data.draw(st.integers(least, len(base.services)))
    shrunk = scale(base, wanted)

    assert len(shrunk.services) == wanted
    assert revalidated(shrunk) == shrunk
    assert shrunk.entries == base.entries
    before = visits(base)
    for endpoint, mean in visits(shrunk).items():
        # Equal, unless a service that called it was dropped: an entry service stays even so.
        assert mean <= before[endpoint] * (1 + 1e-9)


def test_the_copies_of_a_service_are_numbered_from_two() -> None:
    assert [s.name for s in scale(SHOP, 7).services] == [
        "front",
        "front-2",
        "cart",
        "cart-2",
        "ads",
        "stock",
        "store",
    ]


def test_copies_call_copies_side_by_side() -> None:
    grown = scale(SHOP, 10)
    assert [c.service for c in grown.service("front-2").endpoints[0].calls()] == [
        "cart-2",
        "ads-2",
        "stock-2",
    ]
    assert [c.service for c in grown.service("front").endpoints[0].calls()] == ["cart", "ads", "stock"]


@pytest.mark.parametrize("services", range(5, 40))
def test_no_copy_is_left_without_a_caller(services: int) -> None:
    assert min(visits(scale(SHOP, services)).values()) > 0


def test_a_number_that_is_taken_is_passed_over() -> None:
    app = application({"web": [call("web-2")], "web-2": []})
    assert [s.name for s in scale(app, 4).services] == ["web", "web-3", "web-2", "web-2-2"]


def test_the_same_size_is_the_same_application() -> None:
    assert scale(SHOP, 5) is SHOP


def test_shrinking_takes_leaves_by_their_visits_and_removes_what_becomes_empty() -> None:
    names = [[s.name for s in scale(SHOP, size).services] for size in (4, 3, 2, 1)]
    assert names == [
        ["front", "cart", "stock", "store"],
        ["front", "cart", "stock"],
        ["front", "stock"],
        ["front"],
    ]
    assert scale(SHOP, 1).services[0].endpoints[0].steps == []
    assert len(scale(SHOP, 2).services[0].endpoints[0].steps) == 1, "the empty parallel step went too"


def test_shrinking_copes_with_services_that_call_each_other() -> None:
    two = {"name": "b", "endpoints": [{"name": "x", "steps": [call("a", endpoint="y")]}]}
    one = {"name": "a", "endpoints": [{"name": "x", "steps": [call("b", endpoint="x")]}, {"name": "y"}]}
    app = Application.model_validate(
        {
            "schema": "meshsim/application/1",
            "name": "round",
            "entries": [{"service": "web"}],
            "services": [
                {"name": "web", "endpoints": [{"name": "get", "steps": [call("a", endpoint="x")]}]},
                one,
                two,
            ],
        }
    )
    assert [s.name for s in scale(app, 2).services] == ["web", "a"], "a is visited twice, b once"
    assert revalidated(scale(app, 8)) == scale(app, 8)


@pytest.mark.parametrize("services", [0, -3, 1])
def test_fewer_services_than_entries_are_refused(services: int) -> None:
    app = application({"web": [], "api": []}, entries=[{"service": "web"}, {"service": "api"}])
    with pytest.raises(MeshsimError, match=rf"services: {services} received; tiny needs at least 2: .* web, api"):
        scale(app, services)


def test_a_name_without_room_for_a_number_is_refused() -> None:
    app = application({"x" * 119: []})
    with pytest.raises(MeshsimError, match="no room for a number"):
        scale(app, 2)


def test_ten_thousand_services_take_less_than_two_seconds() -> None:
    start = time.process_time()
    grown = scale(SHOP, 10_000)
    taken = time.process_time() - start
    assert len(grown.services) == 10_000
    assert taken < 2
