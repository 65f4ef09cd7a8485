"""Interfaces, zones and their links: one message after the other, in whole nanoseconds."""

from __future__ import annotations

import pytest
from test_exact import log, run
from test_resilience import CONSTANT, ok, spans
from worlds import application, call, costs, plan, service

from meshsim.plan.lower import OverloadedError

BOOK = costs(kernel__wire__cross_node={"wait_ns": 50_000}, kernel__wire__same_node={"wait_ns": 1_000})
CLUSTER = {"machine": "box", "nodes": 2, "cpu_slice_us": 0, "nic_gbps": 1.0}
EMPTY = [{"service": "a", "request_bytes": 0, "response_bytes": 0}]


def test_messages_to_another_node_leave_one_after_the_other() -> None:
    calls = [call("b", request_bytes=12_500, response_bytes=0) for _ in range(3)]
    app = application(service("a", [{"parallel": calls}]), service("b", []), entries=EMPTY)
    result = run(plan(app, 100, **CONSTANT, book=BOOK, cluster=CLUSTER))
    # 12 500 bytes at 1 Gbit/s are 100 us, sent and received at the same time: waited for once. The entry takes its
    # wire (50) first and last.
    assert [s[2] for s in spans(result)[1:] if not s[-1]] == [50 + 100 + 100, 50 + 200 + 100, 50 + 300 + 100]
    assert [line for line in log(result, 0) if line[0] == 2 and line[2] == "network.interface"] == [
        (2, "ACQUIRE", "network.interface", 50, 150, 0),
        (2, "WAIT", "network.interface", 200, 300, 0),
    ]
    ok(result)


def test_within_a_node_nothing_waits_for_the_interface() -> None:
    app = application(service("a", [call("b", request_bytes=12_500)]), service("b", []), entries=EMPTY)
    result = run(plan(app, 100, **CONSTANT, book=BOOK, cluster={**CLUSTER, "nodes": 1}))
    assert {spans(result, n)[1][2] for n in range(100)} == {50 + 1 + 1}
    ok(result)


def test_an_interface_that_cannot_carry_the_load_is_named() -> None:
    app = application(service("a", [call("b", request_bytes=125_000)]), service("b", []), entries=EMPTY)
    with pytest.raises(OverloadedError, match=r"network interface of node 1, sending would have to be busy 200%"):
        plan(app, 2000, **CONSTANT, book=BOOK, cluster=CLUSTER)


def test_answers_that_come_together_wait_at_the_interface_that_receives_them() -> None:
    """Incast: three nodes answer at the same instant, each over an interface of its own."""
    names = ["b", "c", "d"]
    calls = [call(name, request_bytes=0, response_bytes=12_500) for name in names]
    app = application(service("a", [{"parallel": calls}]), *(service(name, []) for name in names), entries=EMPTY)
    result = run(plan(app, 100, **CONSTANT, book=BOOK, cluster={**CLUSTER, "nodes": 4}))
    # Wire (50) to a, wire to them, and the first byte is back at 150.
    assert [s[2] for s in spans(result)[1:] if not s[-1]] == [150 + 100, 150 + 200, 150 + 300]
    ok(result)


ZONES = {"machine": "box", "nodes": 2, "cpu_slice_us": 0, "zones": 2}
FAR = costs(
    kernel__wire__cross_node={"wait_ns": 50_000}, kernel__wire__same_node={"wait_ns": 1_000},
    kernel__wire__cross_zone={"wait_ns": 200_000},
)  # fmt: skip


def test_nodes_of_two_zones_are_farther_apart() -> None:
    app = application(service("a", [call("b")]), service("b", []), entries=EMPTY)
    for nodes, zones, wire in ((2, 2, 200), (2, 1, 50), (1, 2, 1)):
        result = run(plan(app, 100, **CONSTANT, book=FAR, cluster={**ZONES, "nodes": nodes, "zones": zones}))
        # The client is in every zone: its wire is that between nodes.
        assert [s[1:3] for s in spans(result)] == [(0, 50 + 2 * wire + 50), (50, 50 + 2 * wire)]
        ok(result)


def test_what_leaves_a_zone_takes_turns_on_its_link() -> None:
    calls = [call("b", request_bytes=12_500, response_bytes=0) for _ in range(2)]
    app = application(service("a", [{"parallel": calls}]), service("b", []), entries=EMPTY)
    cluster = {**ZONES, "cross_zone_gbps": 1.0}
    result = run(plan(app, 100, **CONSTANT, book=FAR, cluster=cluster))
    assert [s[2] for s in spans(result)[1:] if not s[-1]] == [50 + 100 + 400, 50 + 200 + 400]
    ok(result)
    with pytest.raises(OverloadedError, match=r"link out of zone 1 would have to be busy 300% of the time"):
        plan(app, 15_000, **CONSTANT, book=FAR, cluster=cluster)


def test_locality_prefers_the_node_then_the_zone() -> None:
    # b has pods on nodes 2, 3, 4 (or on all five); node 3 is in a's zone, the first.
    for replicas, targets in ((4, {2}), (5, {0})):
        app = application(service("b", [], replicas=replicas), service("a", [call("b")]), entries=[
            {"service": "a", "request_bytes": 0, "response_bytes": 0}])  # fmt: skip
        nodes = 5
        lowered = plan(app, 100, **CONSTANT, book=FAR, cluster={**ZONES, "nodes": nodes},
                       balancing=[{"to": "b", "policy": "locality"}])  # fmt: skip
        result = run(lowered)
        caller = lowered.pod_node[lowered.service_first_pod[1]]
        assert lowered.pod_zone.tolist() == (lowered.pod_node % 2).tolist()
        used = {int(lowered.pod_node[r.spans[1].destination]) for r in result.records}
        same_node = caller in lowered.pod_node[:replicas]
        expected = {
            int(n) for n in lowered.pod_node[:replicas] if n == caller or (not same_node and n % 2 == caller % 2)
        }
        assert used == expected
        assert same_node == (targets == {0})
