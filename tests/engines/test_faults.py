"""Crashes, slow pods and errors: who is hit, and for how long."""

from __future__ import annotations

from typing import Any

import pytest
from test_exact import constant, run, sidecar
from test_resilience import CONSTANT, ok, spans, wait
from worlds import application, call, costs, plan, service

from meshsim.results.run import RunResult
from meshsim.scenario.base import MeshsimError
from meshsim.scenario.dataplane import DataPlane


def crash(**fields: Any) -> dict[str, Any]:
    return {"kind": "pod-crash", "at_s": 0.1, "for_s": 0.1, **fields}


def failed(result: RunResult) -> list[int]:
    """Requests that failed."""
    return [r.request for r in sorted(result.records, key=lambda r: r.request) if r.spans[0].status]


def test_a_crashed_pod_loses_its_work_and_refuses_until_it_is_back() -> None:
    threads = {"concurrency": {"model": "thread-per-request", "threads": 1}}
    app = application(service("a", [constant(4_000)], **threads))
    # Requests at 10, 20, …; each takes 4 ms. The crash at 99 ms hits none of them, the one at 102 ms the tenth (100).
    result = run(plan(app, 100, **CONSTANT, faults=[crash(service="a", at_s=0.099)]))
    assert failed(result) == list(range(9, 19))  # those that came at 100 … 190
    assert result.failures["REFUSED"] == 10
    result = run(plan(app, 100, **CONSTANT, faults=[crash(service="a", at_s=0.102)]))
    assert failed(result) == list(range(9, 20))
    assert (result.failures["RESET"], result.failures["REFUSED"]) == (1, 10)
    assert spans(result, 9) == [(0, 0, 4_000, 7, False)]
    ok(result)


def test_whoever_waits_in_line_is_reset_at_once() -> None:
    threads = {"concurrency": {"model": "thread-per-request", "threads": 1}}
    app = application(service("a", [wait(4_000)], **threads))
    result = run(plan(app, 100, **CONSTANT, load={"burst": 3}, faults=[crash(service="a", at_s=0.031)]))
    # A burst every 30 ms. At 31 ms one is being served, two wait: these fail after 1 ms, that one when it would be done.
    assert [spans(result, n)[0][2:4] for n in (0, 1, 2)] == [(4_000, 7), (1_000, 7), (1_000, 7)]
    assert spans(result, 12)[0][2:4] == (4_000, 0)
    ok(result)


def test_an_async_endpoint_is_reset_even_while_it_waits() -> None:
    app = application(service("a", [wait(4_000)]))
    result = run(plan(app, 100, **CONSTANT, faults=[crash(service="a", at_s=0.102, for_s=0.001)]))
    assert failed(result) == [9]
    assert result.failures["RESET"] == 1


def plane(placed: str) -> DataPlane:
    return sidecar(placed=placed, ends=["destination"])


def test_a_node_proxy_takes_its_whole_node_with_it_a_sidecar_only_its_pod() -> None:
    names = ["b", "c", "d", "e"]
    app = application(
        service("a", [{"parallel": [call(name, optional=True) for name in names]}]),
        *(service(name, []) for name in names),
    )
    book = costs(proxy__box__http1__request={"cpu_ns": 1_000})
    options = {**CONSTANT, "nodes": 1, "book": book}
    node = run(plan(app, 100, **options, dataplane=plane("node"), faults=[
        {"kind": "proxy-crash", "proxy": "box", "node": 1, "at_s": 0.095, "for_s": 0.1}]))  # fmt: skip
    pod = run(plan(app, 100, **options, dataplane=plane("pod"), faults=[
        {"kind": "proxy-crash", "proxy": "box", "service": "b", "at_s": 0.095, "for_s": 0.1}]))  # fmt: skip
    # The node's proxy stands before every pod, the entry too: ten requests fail at the door. The sidecar of b: ten
    # calls to b are refused, nothing else.
    assert failed(node) == list(range(9, 19))
    assert node.failures["REFUSED"] == 10
    assert failed(pod) == []
    assert pod.failures["REFUSED"] == 10
    ok(node)
    ok(pod)


def test_a_waypoint_takes_all_calls_to_what_it_serves_with_it_and_no_others() -> None:
    app = application(
        service("a", [{"parallel": [call("b", optional=True), call("c", optional=True)]}]),
        service("b", []), service("c", []),
    )  # fmt: skip
    book = costs(proxy__box__http1__request={"cpu_ns": 1_000})
    proxy = {"name": "box", "software": "box", "placed": "waypoint", "layer": "L7", "workers": 1, "telemetry": False,
             "terminates_mtls": False, "capture": "explicit", "replicas": 2, "waypoint_for": "service"}  # fmt: skip
    ambient = DataPlane.model_validate({"schema": "meshsim/dataplane/1", "name": "w", "title": "t", "summary": "s", "proxies": [proxy]})  # fmt: skip
    fault = {"kind": "proxy-crash", "proxy": "box", "service": "b", "at_s": 0.095, "for_s": 0.1}
    result = run(plan(app, 100, **CONSTANT, nodes=1, book=book, dataplane=ambient, faults=[fault]))
    # One of two waypoints of b: of ten calls to b about half are refused. a and c go on.
    assert failed(result) == []
    assert 1 <= result.failures["REFUSED"] <= 9
    ok(result)
    with pytest.raises(MeshsimError, match="replica 3 of box of b received; it has 2"):
        plan(app, 100, **CONSTANT, book=book, dataplane=ambient, faults=[{**fault, "replica": 3}])
    with pytest.raises(MeshsimError, match="box serves a service: name the `service`"):
        plan(app, 100, **CONSTANT, book=book, dataplane=ambient, faults=[{**fault, "service": None, "node": 1}])


def test_a_library_has_no_crash_of_its_own() -> None:
    fault = {"kind": "proxy-crash", "proxy": "box", "service": "a", "at_s": 0.095, "for_s": 0.1}
    library = sidecar(placed="library", capture="in-process")
    with pytest.raises(MeshsimError, match="box is a part of the application: a pod-crash takes both"):
        plan(application(service("a", [])), 100, **CONSTANT, book=costs(), dataplane=library, faults=[fault])


def test_a_crash_takes_what_a_worker_had_served_and_not_sent() -> None:
    app = application(
        service("a", [{"parallel": [call("b", optional=True)] * 3}]), service("b", []),
    )  # fmt: skip
    book = costs(proxy__box__http1__request={"cpu_ns": 100_000}, proxy__box__http1__response={"cpu_ns": 40_000})
    plane = sidecar(ends=["destination"], sends="after-turn")
    # Request 9 comes at 100 ms and has passed the box of a at 100.1. The box of b serves the first call alone, until
    # 100.2; the answer stands in line when the box crashes. The second is done at 100.3 and waits for the third.
    faults = [{"kind": "proxy-crash", "proxy": "box", "service": "b", "at_s": 0.10035, "for_s": 0.001}]
    result = run(plan(app, 100, **CONSTANT, book=book, dataplane=plane, faults=faults))
    assert [span[1:4] for span in spans(result, 9)[1:]] == [(100, 350, 7), (100, 400, 7), (100, 400, 7)]
    assert result.failures["RESET"] == 3
    ok(result)


def test_retries_elsewhere_hide_the_crash_of_one_pod() -> None:
    app = application(service("a", [call("b")]), service("b", [constant(10)], replicas=2))
    rules = {"faults": [crash(service="b")], "balancing": [{"to": "b", "policy": "round-robin"}]}
    bare = run(plan(app, 1000, **CONSTANT, **rules), 300)
    # The next in turn is another pod if the retry is sent before the next request.
    retries = {"max": 1, "backoff": {"base_ms": 0.1}}
    retried = run(plan(app, 1000, **CONSTANT, **rules, resilience=[{"to": "b", "retries": retries}]), 300)
    # Without retries every second of the 100 requests of this time is lost.
    assert bare.failed == 50
    assert retried.failed == 0
    assert retried.counts["retries"] in (99, 100)  # each request begins with the turn that the last retry left it
    rows = bare.timeline.rows()
    assert sum(row["failed_rps"] for row in rows if row["until_s"] < 0.1) == 0
    assert sum(row["failed_rps"] for row in rows if row["until_s"] > 0.205) == 0


def test_a_slow_pod_takes_its_factor_and_recovers() -> None:
    app = application(service("a", [constant(100)]))
    result = run(plan(app, 100, **CONSTANT, faults=[
        {"kind": "slow-pod", "service": "a", "factor": 3.0, "at_s": 0.1, "for_s": 0.1}]))  # fmt: skip
    assert [spans(result, n)[0][2] for n in range(20)] == [100] * 9 + [300] * 10 + [100]
    ok(result)


def test_a_share_of_errors_is_drawn_by_request() -> None:
    app = application(service("a", [constant(1)]))
    faults = [{"kind": "errors", "service": "a", "share": 0.3, "at_s": 0.0, "for_s": 1e6}]
    result = run(plan(app, 1000, **CONSTANT, faults=faults), 2000)
    assert 0.26 < result.measured_failed / result.measured < 0.34
    again = run(plan(app, 1000, **CONSTANT, faults=faults), 2000)
    assert failed(result) == failed(again)
