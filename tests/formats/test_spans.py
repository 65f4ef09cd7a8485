"""Traces become the application that made them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import meshsim as ms
from meshsim.formats.load import load_application
from meshsim.formats.spans import operation, unique
from meshsim.formats.trace_jaeger import jaeger_json
from meshsim.scenario.application import Application, Endpoint
from meshsim.scenario.base import MeshsimError
from meshsim.scenario.yaml_io import InputError


def graph(app: Application) -> dict[tuple[str, str], dict[tuple[str, str], float]]:
    """Expected calls a visit, by caller and callee."""
    found: dict[tuple[str, str], dict[tuple[str, str], float]] = {}
    for service in app.services:
        for endpoint in service.endpoints:
            calls = found[service.name, endpoint.name] = {}
            for call in endpoint.calls():
                to = call.service, app.service(call.service).endpoint(call.endpoint).name
                calls[to] = calls.get(to, 0.0) + call.times * call.probability
    return found


def compute_us(endpoint: Endpoint) -> float:
    return sum(step.compute.mean_us for step in endpoint.steps if step.compute)


@pytest.mark.parametrize("name", ["bookinfo", "online-boutique", "social-network"])
def test_simulated_traces_give_the_application_back(name: str, tmp_path: Path) -> None:
    run = ms.simulate(application=name, dataplane="no-mesh", rps=20, requests=2500, engine="reference")
    truth, _ = load_application(name)
    file = tmp_path / "traces.json"
    file.write_text(jaeger_json(run.result.records, run.result.plan))
    found, notes = load_application(file)
    expected, seen = graph(truth), graph(found)
    for caller, calls in seen.items():
        for callee, mean in calls.items():
            assert mean == pytest.approx(expected[caller][callee], rel=0.2, abs=0.05), (caller, callee)
        missed = {callee: mean for callee, mean in expected[caller].items() if callee not in calls}
        assert all(mean <= 0.05 for mean in missed.values()), (caller, missed)  # too seldom for so few traces
    for service in found.services:
        assert service.replicas == truth.service(service.name).replicas
        for endpoint in service.endpoints:
            real = truth.service(service.name).endpoint(endpoint.name)
            # What it takes to get a core, and to wake a thread, is own time too.
            assert compute_us(endpoint) == pytest.approx(compute_us(real), rel=0.25, abs=40)
            assert [len(step.parallel or []) for step in endpoint.steps if step.parallel] == [
                len(step.parallel or []) for step in real.steps if step.parallel and len(step.parallel) > 1
            ][: len([step for step in endpoint.steps if step.parallel])]
    assert any("requests came in at" in note for note in notes)
    assert any("client: only sends" in note for note in notes)


def test_a_wrong_order_would_be_seen(tmp_path: Path) -> None:
    """The order of the calls is that of the file, and another one is not."""
    run = ms.simulate(application="bookinfo", dataplane="no-mesh", rps=20, requests=300, engine="reference")
    file = tmp_path / "traces.json"
    file.write_text(jaeger_json(run.result.records, run.result.plan))
    (page,) = load_application(file)[0].service("productpage").endpoints
    assert [call.service for call in page.calls()] == ["details", "reviews"]


# By hand -----------------------------------------------------------------------------------------------------------


def jaeger(*spans: dict[str, Any], **services: str) -> dict[str, Any]:
    processes = {key: {"serviceName": name, "tags": []} for key, name in services.items()}
    return {"data": [{"traceID": "1", "spans": list(spans), "processes": processes}]}


def span(
    own: str, parent: str, process: str, name: str, start: int, end: int, kind: str = "", **tags: Any
) -> dict[str, Any]:
    references = [{"refType": "CHILD_OF", "traceID": "1", "spanID": parent}] if parent else []
    told = [{"key": key.replace("__", "."), "type": "string", "value": value} for key, value in tags.items()]
    told += [{"key": "span.kind", "type": "string", "value": kind}] if kind else []
    return {
        "traceID": "1", "spanID": own, "operationName": name, "references": references, "startTime": start,
        "duration": end - start, "processID": process, "tags": told,
    }  # fmt: skip


def read(data: Any, tmp_path: Path, name: str = "traces.json") -> tuple[Application, list[str]]:
    file = tmp_path / name
    file.write_text(data if isinstance(data, str) else json.dumps(data))
    return load_application(file)


RIDE = jaeger(
    span("a", "", "p1", "HTTP GET /dispatch", 0, 1000, "server", http__flavor="1.1"),
    span("b", "a", "p1", "HTTP GET /customer", 100, 400, "client"),
    span("c", "b", "p2", "/customer/123", 110, 390, "server", http__response__body__size="300"),
    span("d", "c", "p2", "SQL SELECT", 150, 350, "client", db__system="mysql", peer__service="mysql"),
    span("e", "a", "p1", "route", 450, 900, "internal"),
    span("f", "e", "p3", "GetRoute", 450, 700, "server", rpc__system="grpc"),
    span("g", "e", "p3", "GetRoute", 460, 720, "server", rpc__system="grpc"),
    p1="frontend", p2="customer", p3="route",
)  # fmt: skip


def test_calls_own_time_and_what_is_not_traced_worked_out_by_hand(tmp_path: Path) -> None:
    app, notes = read(RIDE, tmp_path)
    (dispatch,) = app.service("frontend").endpoints
    assert dispatch.name == "HTTP-GET-dispatch"
    first, customer, between, routes, last = dispatch.steps
    assert (first.compute.mean_us, between.compute.mean_us, last.compute.mean_us) == (100, 50, 280)  # type: ignore[union-attr]
    assert customer.call is not None
    assert (customer.call.service, customer.call.response_bytes, customer.call.protocol) == ("customer", 300, "http1")
    assert routes.parallel is not None
    assert [branch[0].call.protocol for branch in routes.parallel if branch[0].call] == ["grpc", "grpc"]
    (found,) = app.service("customer").endpoints
    assert found.name == "customer-id"
    assert [step.compute.mean_us for step in found.steps if step.compute] == [40, 40]
    assert found.calls()[0].service == "mysql"
    assert found.calls()[0].protocol == "tcp"
    (serve,) = app.service("mysql").endpoints
    assert serve.steps[0].wait is not None
    assert serve.steps[0].wait.mean_us == 200
    assert any(note.startswith("mysql: not traced") for note in notes)
    assert any(note.startswith("2 calls have no span of their caller") for note in notes)
    assert [entry.service for entry in app.entries] == ["frontend"]


def otlp_span(own: str, parent: str, name: str, start: int, end: int, kind: int | str) -> dict[str, Any]:
    return {
        "traceId": "5b8efff798038103d269b633813fc60c", "spanId": own, "parentSpanId": parent, "name": name, "kind": kind,
        "startTimeUnixNano": str(1544712660000000000 + start * 1000), "endTimeUnixNano": 1544712660000000000 + end * 1000,
        "attributes": [{"key": "http.request.body.size", "value": {"intValue": "77"}}],
    }  # fmt: skip


def resource(service: str, pod: str, *spans: dict[str, Any]) -> dict[str, Any]:
    about = [
        {"key": key, "value": {"stringValue": value}}
        for key, value in (("service.name", service), ("k8s.pod.name", pod))
    ]
    return {"resourceSpans": [{"resource": {"attributes": about}, "scopeSpans": [{"scope": {}, "spans": list(spans)}]}]}


OTLP = [
    resource(
        "web",
        "web-0",
        otlp_span("01", "", "GET /", 0, 500, 2),
        otlp_span("02", "01", "GET", 100, 300, "SPAN_KIND_CLIENT"),
    ),
    resource("cart", "cart-0", otlp_span("03", "02", "GET /cart", 110, 290, "SPAN_KIND_SERVER")),
    resource("cart", "cart-1", otlp_span("04", "05", "GET /cart", 0, 180, 2)),
]


def test_otlp_as_one_object_and_one_a_line_are_the_same(tmp_path: Path) -> None:
    whole = {"resourceSpans": [one for part in OTLP for one in part["resourceSpans"]]}
    app, notes = read(whole, tmp_path)
    lines, _ = read("\n".join(map(json.dumps, OTLP)) + "\n\n", tmp_path, "traces.jsonl")
    assert lines == app
    assert app.service("cart").replicas == 2
    (page,) = app.service("web").endpoints
    assert [step.compute.mean_us for step in page.steps if step.compute] == pytest.approx([100, 200])
    assert page.calls()[0].request_bytes == 77
    assert any("1 of 3 visits have a parent that is not in the file" in note for note in notes)


def test_a_circle_loses_its_rarest_call_and_says_so(tmp_path: Path) -> None:
    app, notes = read(
        jaeger(
            span("a", "", "p1", "x", 0, 1000), span("b", "a", "p2", "y", 10, 400), span("c", "b", "p1", "x", 20, 300),
            span("d", "a", "p2", "y", 500, 900), p1="one", p2="two",
        ),
        tmp_path,
    )  # fmt: skip
    assert graph(app) == {("one", "x"): {("two", "y"): 1.0}, ("two", "y"): {}}
    assert "two/y calls one/x: left out, because it closes a circle" in notes


def test_messages_zipkin_pairs_and_load_generators(tmp_path: Path) -> None:
    follows = span("e", "c", "p3", "later", 500, 900, "consumer")
    app, notes = read(
        jaeger(
            span("a", "", "p1", "load", 0, 1000, "client"), span("b", "a", "p2", "x", 10, 400, "client"),
            span("b", "a", "p2", "x", 20, 390, "server"), span("c", "b", "p2", "send", 100, 101, "producer"), follows,
            p1="locust", p2="shop", p3="mailer",
        ),
        tmp_path,
    )  # fmt: skip
    assert [entry.service for entry in app.entries] == ["shop"]
    assert {service.name for service in app.services} == {"shop", "mailer"}
    assert app.service("shop").endpoints[0].calls() == []
    assert "locust: only sends, so it is the client outside" in notes
    assert "mailer: 1 messages that nobody waits for left out" in notes
    assert "1 spans have the identifier of another and are left out" in notes


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d["data"][0]["spans"][0].update(processID="p9"), r"data\[0\]\.spans\[0\]: processID 'p9' received"),
        (lambda d: d["data"][0]["spans"][1].update(startTime="now"), r"spans\[1\]\.startTime: now received; microsec"),
        (lambda d: d["data"][0]["spans"][2].update(spanID=None), r"spans\[2\]\.spanID: None received; text was"),
        (lambda d: d["data"][0].update(spans=[]), "no spans; traces with at least one were expected"),
        (lambda d: d["data"][0].update(spans=3), r"data\[0\]\.spans: 3 received; a list was expected"),
        (lambda d: [d["data"][0]["spans"].pop(0), d["data"][0]["spans"].pop(3)], "none of which a request begins with"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(
    change: Callable[[dict[str, Any]], object], message: str, tmp_path: Path
) -> None:
    data = json.loads(json.dumps(RIDE))
    change(data)
    with pytest.raises(InputError, match=message):
        read(data, tmp_path)


def test_otlp_without_a_service_name_says_where(tmp_path: Path) -> None:
    data = json.loads(json.dumps(OTLP[0]))
    data["resourceSpans"][0]["resource"]["attributes"].pop(0)
    with pytest.raises(
        InputError, match=r"resourceSpans\[0\]\.scopeSpans\[0\]\.spans\[0\]: its resource has no attribute"
    ):
        read(data, tmp_path)
    with pytest.raises(InputError, match=r"traces.jsonl:2: not valid JSON"):
        read(json.dumps(OTLP[0]) + "\n{", tmp_path, "traces.jsonl")


def places(data: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inside = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [here, *(place for key, value in inside for place in places(value, (*here, key)))][bool(not here) :]


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_no_change_of_a_file_gives_anything_but_an_answer_or_a_sentence(tmp_path: Path, data: st.DataObject) -> None:
    whole: Any = json.loads(json.dumps(data.draw(st.sampled_from([RIDE, OTLP]))))
    for _ in range(data.draw(st.integers(1, 4))):
        known = places(whole)
        if not known:
            break
        place = data.draw(st.sampled_from(known))
        holder = whole
        for key in place[:-1]:
            holder = holder[key]
        other = st.sampled_from([None, True, -1, 10**30, 0.5, "", "a", "b", "é /", [], {}, [[]], {"a": 1}, ["a", None]])
        if data.draw(st.booleans()):
            holder[place[-1]] = data.draw(other)
        elif isinstance(holder, dict):
            del holder[place[-1]]
    try:
        app, notes = read(whole, tmp_path)
    except MeshsimError:
        return
    assert app.services
    assert all(isinstance(note, str) for note in notes)


def test_deep_nesting_is_refused(tmp_path: Path) -> None:
    chain = [span("0", "", "p", "x", 0, 9)] + [
        span(str(n), str(n - 1), "p", "x", 0, 9, "internal") for n in range(1, 30_000)
    ]
    with pytest.raises(InputError, match="nested too deeply"):
        read(jaeger(*chain, p="a"), tmp_path)


def test_operations_lose_what_differs_between_requests() -> None:
    assert operation("GET /users/17/cart?x=1") == "GET /users/:id/cart"
    assert operation("/orders/3f2504e0-4f89-11d3-9a0c-0305e82c3301") == "/orders/:id"
    assert operation("v1/list") == "v1/list"
    assert unique(["GET /a", "GET-a", "/"]) == {"GET /a": "GET-a", "GET-a": "GET-a-2", "/": "serve"}
