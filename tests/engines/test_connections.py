"""Connections, worker silos and load balancing: at L4 a connection chooses, at L7 each request."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Any

from test_exact import constant, log, run, sidecar
from test_resilience import CONSTANT, ok, spans, wait
from worlds import application, call, compute, costs, plan, service, simulate

from meshsim.results.run import RunResult

FROM_CLIENT = {"from": "client", "to": "a"}


def served(result: RunResult, callee: str) -> Counter[int]:
    """Requests by replica of a service, over the sampled requests."""
    number = result.plan.service_names.index(callee)
    first = int(result.plan.service_first_pod[number])
    return Counter(
        span.destination - first
        for record in result.records
        for span in record.spans
        if span.call >= 0 and result.plan.call_service[span.call] == number
    )


def test_http1_waits_for_an_idle_connection_and_overflows() -> None:
    app = application(
        service("a", [{"parallel": [call("b", optional=True) for _ in range(5)]}]), service("b", [wait(100)])
    )
    result = run(plan(app, 100, **CONSTANT, connections=[{"to": "b", "max": 2, "max_pending": 2}]))
    # Two connections: two at once, two behind them, and the fifth gets a 503.
    assert [(s[2], s[3]) for s in spans(result)[1:]] == [(100, 0), (100, 0), (200, 0), (200, 0), (0, 3)]
    assert [line for line in log(result, 0) if line[1] == "CONNECT"] == [
        (3, "CONNECT", "connection.queue", 0, 100, 0),
        (4, "CONNECT", "connection.queue", 0, 100, 0),
    ]
    assert result.counts["connections"] == 2
    ok(result)


def test_http2_multiplexes_up_to_its_streams() -> None:
    app = application(
        service("a", [{"parallel": [call("b", protocol="grpc") for _ in range(5)]}]), service("b", [wait(100)])
    )

    def ends(**connections: Any) -> list[int]:
        result = run(plan(app, 100, **CONSTANT, connections=[{"to": "b", **connections}]))
        ok(result)
        return [s[2] for s in spans(result)[1:]]

    assert ends(max=1, streams=100) == [100] * 5
    assert ends(max=1, streams=2) == [100, 100, 200, 200, 300]
    assert ends(max=2, streams=2) == [100, 100, 100, 100, 200]


def test_a_connection_speaks_one_protocol() -> None:
    # HTTP through the sidecar, which chooses the pod; TCP past it, on a connection that chose its pod when it opened.
    both = [{"parallel": [call("b"), call("b", protocol="tcp"), call("b"), call("b", protocol="tcp")]}]
    app = application(service("a", both), service("b", [wait(100)], replicas=3))
    http_only = sidecar(protocols=["http1"], ends=["source"])
    result = run(plan(app, 100, **CONSTANT, dataplane=http_only, connections=[{"to": "b", "max": 1}]))
    assert sorted(s[2] for s in spans(result)[1:]) == [100, 100, 200, 200]
    assert result.counts["connections"] == 2
    ok(result)


def test_two_connections_keep_at_most_two_of_three_workers_busy() -> None:
    book = costs(proxy__box__http1__request={"cpu_ns": 100_000})
    app = application(service("a", []))

    def busy(connections: int) -> list[int]:
        rules = [{**FROM_CLIENT, "max": connections}]
        result = simulate(
            plan(app, 5000, cores=16, dataplane=sidecar(workers=3, ends=["destination"]), book=book, connections=rules),
            2000, sample=0,
        )  # fmt: skip
        names = result.plan.station_names
        return [int(ns) for name, ns in zip(names, result.stations.busy_ns, strict=True) if name.startswith("worker")]

    assert len(busy(2)) == 3
    assert sum(ns > 0 for ns in busy(2)) <= 2
    assert all(ns > 0 for ns in busy(60))


def test_a_request_and_its_answer_pass_the_same_worker() -> None:
    # One connection, three workers: whatever the worker, request and answer queue behind each other on it.
    book = costs(proxy__box__http1__request={"cpu_ns": 100_000}, proxy__box__http1__response={"cpu_ns": 50_000})
    plane = sidecar(workers=3, ends=["destination"])
    app = application(service("a", []), entries=[{"service": "a", "protocol": "http1"}])
    result = run(
        plan(app, 100, **CONSTANT, load={"burst": 2}, dataplane=plane, book=book, connections=[{**FROM_CLIENT}])
    )
    # The second request of a burst waits for the connection, 150 us.
    assert {spans(result, n)[0][2] for n in range(0, 100, 2)} == {150}
    assert {spans(result, n)[0][2] for n in range(1, 100, 2)} == {300}


def test_grpc_is_balanced_by_request_at_l7_and_not_at_all_at_l4() -> None:
    app = application(service("a", [call("b", protocol="grpc")], replicas=1), service("b", [constant(10)], replicas=4))
    rules = {"connections": [{"to": "b"}], "balancing": [{"to": "b", "policy": "round-robin"}]}
    l4 = served(run(plan(app, 1000, **CONSTANT, **rules), 400), "b")
    l7 = served(run(plan(app, 1000, **CONSTANT, **rules, dataplane=sidecar()), 400), "b")
    assert len(l4) == 1
    assert sorted(l7.values()) == [100, 100, 100, 100]


def test_round_robin_goes_round_and_least_request_avoids_the_busy() -> None:
    app = application(service("a", [call("b")]), service("b", [constant(100)], replicas=3))
    result = run(plan(app, 100, **CONSTANT, balancing=[{"to": "b", "policy": "round-robin"}]))
    pods = [r.spans[1].destination for r in sorted(result.records, key=lambda r: r.request)]
    assert all(b - 1 == a % 3 for a, b in pairwise(pods))

    # b-1 takes a hundred times as long: what is under way there keeps others away.
    slow = [{"kind": "slow-pod", "service": "b", "at_s": 0.0, "for_s": 1e6, "factor": 100.0}]

    def share_of_slow(policy: str) -> float:
        balancing = [{"to": "b", "policy": policy}]
        result = run(plan(app, 2000, **CONSTANT, balancing=balancing, faults=slow, load={"overload": "simulate"}), 600)
        seen = served(result, "b")
        return seen[0] / seen.total()

    least, two, blind = (share_of_slow(policy) for policy in ("least-request", "random-of-two", "random"))
    assert least < 0.1
    assert least <= two < blind
    assert 0.25 < blind < 0.42


def test_ring_hash_keeps_a_key_at_its_pod() -> None:
    app = application(service("a", [call("b"), call("b")]), service("b", [], replicas=5))
    result = run(plan(app, 100, **CONSTANT, balancing=[{"to": "b", "policy": "ring-hash", "hash_keys": 7}]))
    both = [tuple(span.destination for span in r.spans[1:]) for r in result.records]
    assert all(a == b for a, b in both)  # one request has one key
    assert 1 < len(set(both)) <= 5


def test_locality_stays_on_the_node() -> None:
    app = application(service("a", [call("b")], replicas=2), service("b", [], replicas=2))
    result = run(plan(app, 100, **CONSTANT, nodes=2, balancing=[{"to": "b", "policy": "locality"}]))
    nodes = result.plan.pod_node
    assert all(nodes[r.spans[1].source] == nodes[r.spans[1].destination] for r in result.records)
    anywhere = run(plan(app, 100, **CONSTANT, nodes=2))
    assert not all(nodes[r.spans[1].source] == nodes[r.spans[1].destination] for r in anywhere.records)


def test_a_given_up_http1_request_closes_its_connection() -> None:
    retries = {"max": 1, "per_try_timeout_ms": 0.1, "backoff": {"base_ms": 0.01, "jitter": "none"}}
    app = application(service("a", [call("b")]), service("b", [wait(1000)]))
    rules = {"resilience": [{"to": "b", "retries": retries}], "connections": [{"to": "b", "max": 1}]}
    result = run(plan(app, 100, **CONSTANT, **rules))
    # The retry does not wait for the first attempt's connection: that one is closed at 100, and another opened at 110.
    assert spans(result)[2:] == [(2, 0, 1000, 0, True), (3, 110, 1110, 0, True)]
    assert result.counts["connections"] == 200
    ok(result)


def test_more_connections_than_workers_share_the_work() -> None:
    # The imbalance of few connections costs latency, at the same load.
    book = costs(proxy__box__http1__request={"cpu_ns": 300_000})
    app = application(service("a", [compute(1)]))

    def mean(connections: int) -> float:
        rules = [{**FROM_CLIENT, "max": connections}]
        plane = sidecar(workers=4, ends=["destination"])
        result = simulate(plan(app, 4000, cores=16, dataplane=plane, book=book, connections=rules), 3000, sample=0)
        return result.latency.mean()

    assert mean(4) > 1.2 * mean(200)
