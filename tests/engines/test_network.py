"""The network interface of a node: one message after the other, in whole nanoseconds."""

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
    # 12 500 bytes at 1 Gbit/s are 100 us. The entry takes its wire (50) first and last.
    assert [s[2] for s in spans(result)[1:]] == [50 + 100 + 100, 50 + 200 + 100, 50 + 300 + 100]
    assert [line for line in log(result, 0) if line[0] == 2 and line[2] == "network.interface"] == [
        (2, "ACQUIRE", "network.interface", 50, 150, 0),
        (2, "WAIT", "network.interface", 150, 250, 0),
    ]
    ok(result)


def test_within_a_node_nothing_waits_for_the_interface() -> None:
    app = application(service("a", [call("b", request_bytes=12_500)]), service("b", []), entries=EMPTY)
    result = run(plan(app, 100, **CONSTANT, book=BOOK, cluster={**CLUSTER, "nodes": 1}))
    assert {spans(result, n)[1][2] for n in range(100)} == {50 + 1 + 1}
    ok(result)


def test_an_interface_that_cannot_carry_the_load_is_named() -> None:
    app = application(service("a", [call("b", request_bytes=125_000)]), service("b", []), entries=EMPTY)
    with pytest.raises(OverloadedError, match=r"network interface of node 1 would have to be busy 200%"):
        plan(app, 2000, **CONSTANT, book=BOOK, cluster=CLUSTER)
