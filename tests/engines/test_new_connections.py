"""A pool that opens a connection: whoever opens it pays for the way, on both ends, before its request is sent."""

from __future__ import annotations

from typing import Any

import pytest
from test_connections import FROM_CLIENT
from test_exact import constant, log, run, sidecar
from test_resilience import CONSTANT, ok, spans, wait
from worlds import application, call, costs, plan, service, simulate

from meshsim.costs.books import Costs
from meshsim.engines import analytic
from meshsim.results.run import RunResult

BOOK = costs(
    kernel__tcp__connection={"cpu_ns": 10_000, "wait_ns": 3_000},
    kernel__service__iptables__connection={"cpu_ns": 2_000},
    kernel__service__iptables__rule={"cpu_ns": 1_000},
    kernel__wire__cross_node={"wait_ns": 50_000},
    proxy__box__connection={"cpu_ns": 30_000},
    proxy__box__tls__handshake={"cpu_ns": 40_000},
    proxy__box__http1__request={"cpu_ns": 20_000},
    proxy__box__http1__response={"cpu_ns": 5_000},
)
TWO_NODES: dict[str, Any] = {**CONSTANT, "nodes": 2, "book": BOOK}
ENTRY = [{"service": "a", "protocol": "tcp"}]


def chain(**fields: Any) -> Any:
    return application(service("a", [call("b", **fields)]), service("b", [constant(200)]), entries=ENTRY)


def opening(result: RunResult) -> list[int]:
    """Numbers of the requests that paid for a connection."""
    requests = sorted(record.request for record in result.records)
    return [r for r in requests if any(line[2] == "kernel.tcp.connection" for line in log(result, r))]


def test_the_first_request_opens_the_connection_on_both_ends_and_the_next_finds_it_open() -> None:
    rules = {"connections": [{"to": "b", "max": 1}], "dataplane": sidecar(terminates_mtls=True)}
    result = run(plan(chain(), 100, **TWO_NODES, **rules))
    # The request is at a at 50. connect() and two rules, a's box accepts, connects and shakes hands, a round trip each
    # for TCP and TLS, then the request goes over the wire to b's box, which does its part of both.
    assert [line for line in log(result, 0) if line[0] == 1] == [
        (1, "WAIT", "kernel.tcp.connection", 50, 53, 0),
        (1, "WORK", "kernel.tcp.connection", 53, 63, 10),
        (1, "WORK", "kernel.service.iptables.connection", 63, 65, 2),
        (1, "WORK", "kernel.service.iptables.rule", 65, 67, 2),
        (1, "WORK", "proxy.box.connection", 67, 97, 30),
        (1, "WORK", "proxy.box.tls.handshake", 97, 137, 40),
        (1, "WORK", "proxy.box.http1.request", 137, 157, 20),
        (1, "WAIT", "kernel.wire.cross-node", 157, 257, 0),
        (1, "WAIT", "kernel.wire.cross-node", 257, 357, 0),
        (1, "WAIT", "kernel.wire.cross-node", 357, 407, 0),
        (1, "WORK", "proxy.box.connection", 407, 437, 30),
        (1, "WORK", "proxy.box.tls.handshake", 437, 477, 40),
        (1, "WORK", "proxy.box.http1.request", 477, 497, 20),
        (1, "WORK", "application.compute", 497, 697, 200),
        (1, "WORK", "proxy.box.http1.response", 697, 702, 5),
        (1, "WAIT", "kernel.wire.cross-node", 702, 752, 0),
        (1, "WORK", "proxy.box.http1.response", 752, 757, 5),
    ]
    assert [line for line in log(result, 1) if line[0] == 1] == [
        (1, "WORK", "proxy.box.http1.request", 50, 70, 20),
        (1, "WAIT", "kernel.wire.cross-node", 70, 120, 0),
        (1, "WORK", "proxy.box.http1.request", 120, 140, 20),
        (1, "WORK", "application.compute", 140, 340, 200),
        (1, "WORK", "proxy.box.http1.response", 340, 345, 5),
        (1, "WAIT", "kernel.wire.cross-node", 345, 395, 0),
        (1, "WORK", "proxy.box.http1.response", 395, 400, 5),
    ]
    assert opening(result) == [0]
    assert result.counts["connections"] == 1
    ok(result)


def test_a_pool_grows_with_what_is_under_way_and_each_new_connection_is_paid() -> None:
    app = application(
        service("a", [{"parallel": [call("b") for _ in range(3)]}]), service("b", [constant(200)]), entries=ENTRY
    )
    result = run(plan(app, 100, **TWO_NODES, connections=[{"to": "b", "max": 8}]))
    paid = [line[0] for line in log(result, 0) if line[1:3] == ("WORK", "kernel.tcp.connection")]
    assert paid == [1, 2, 3]
    assert opening(result) == [0]
    assert result.counts["connections"] == 3
    # One connection for HTTP/2: only the first of the three opens it.
    shared = application(
        service("a", [{"parallel": [call("b", protocol="grpc") for _ in range(3)]}]), service("b", []), entries=ENTRY
    )
    result = run(plan(shared, 100, **TWO_NODES, connections=[{"to": "b", "max": 1}]))
    assert [line[0] for line in log(result, 0) if line[1:3] == ("WORK", "kernel.tcp.connection")] == [1]


def test_a_connection_that_was_closed_by_giving_up_is_paid_again() -> None:
    retries = {"max": 1, "per_try_timeout_ms": 0.1, "backoff": {"base_ms": 0.01, "jitter": "none"}}
    app = application(service("a", [call("b")]), service("b", [wait(1000)]))
    rules = {"resilience": [{"to": "b", "retries": retries}], "connections": [{"to": "b", "max": 1}]}
    book = costs(kernel__tcp__connection={"cpu_ns": 7_000})
    result = run(plan(app, 100, **CONSTANT, **rules, book=book))
    assert spans(result)[2:] == [(2, 0, 1007, 0, True), (3, 110, 1117, 0, True)]
    assert len(opening(result)) == 100
    ok(result)


def test_one_request_in_so_many_finds_its_connection_closed_and_gets_another_worker() -> None:
    rare = {"requests_per_connection": 4}
    plane = sidecar(workers=3, ends=["destination"])
    bare = run(plan(chain(**rare), 100, **TWO_NODES, dataplane=plane), 400)
    pooled = run(plan(chain(**rare), 100, **TWO_NODES, dataplane=plane, connections=[{"to": "b", "max": 1}]), 400)
    by_chance = [
        r.request for r in bare.records
        if any(line[1:3] == ("WORK", "kernel.tcp.connection") and line[5] >= 9 for line in log(bare, r.request))
    ]  # fmt: skip
    # The same requests, by the same random number, and the very first. (A law of time is not as sharp: a few pay a part.)
    assert set(opening(pooled)) == {0, *by_chance}
    assert pooled.counts["connections"] == pytest.approx(100, abs=4 * (400 * 0.25 * 0.75) ** 0.5)
    names = pooled.plan.station_names
    busy = [ns for name, ns in zip(names, pooled.stations.busy_ns, strict=True) if "box of b" in name]
    assert len(busy) == 3
    assert all(ns > 0 for ns in busy)
    ok(pooled)


def test_who_was_given_up_stays_on_his_worker() -> None:
    # The attempt is given up while a worker of b's box works on it; that worker, and no other, is free afterwards.
    book = costs(proxy__box__http1__request={"cpu_ns": 1_000_000})
    retries = {"max": 2, "per_try_timeout_ms": 0.3, "backoff": {"base_ms": 0.01, "jitter": "none"}}
    rules = {
        "resilience": [{"to": "b", "at": "application", "retries": retries}],
        "connections": [{"to": "b", "max": 4}],
    }
    app = application(service("a", [call("b")]), service("b", []))
    result = run(plan(app, 100, **CONSTANT, **rules, book=book, dataplane=sidecar(workers=3, ends=["destination"])))
    assert result.counts["timeouts"] == 300
    ok(result)


def test_a_client_outside_opens_its_connections_too() -> None:
    book = costs(kernel__tcp__connection={"cpu_ns": 7_000})
    app = application(service("a", [wait(100)]))
    result = run(plan(app, 100, **CONSTANT, load={"burst": 2}, book=book, connections=[{**FROM_CLIENT, "max": 5}]))
    assert [spans(result, n)[0][2] for n in range(4)] == [107, 107, 100, 100]


@pytest.mark.parametrize("every", [None, 1, 10])
def test_the_analytic_engine_knows_what_a_pool_that_has_grown_still_opens(every: int | None) -> None:
    more: dict[str, Any] = {} if every is None else {"requests_per_connection": every}
    book: Costs = BOOK
    lowered = plan(
        chain(**more), 200, cores=4, nodes=2, book=book, dataplane=sidecar(terminates_mtls=True),
        connections=[{"to": "b", "max": 50}],
    )  # fmt: skip
    simulated = simulate(lowered, 20_000, sample=0)
    answer = analytic.solve(lowered)
    assert answer.cores_by_tag.sum() == pytest.approx(simulated.cpu_ns.sum() / simulated.window_ns, rel=0.03)
    assert answer.mean_us == pytest.approx(simulated.latency.mean() / 1e3, rel=0.05)
