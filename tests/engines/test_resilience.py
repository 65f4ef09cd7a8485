"""Timeouts, retries, hedging, breakers, ejection and limits: tiny scenarios worked out by hand, compared whole."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from test_exact import constant, log, run, sidecar
from worlds import application, call, costs, plan, service, simulate

from meshsim.results.audit import audit
from meshsim.results.run import RunResult
from meshsim.scenario.base import MeshsimError

CONSTANT: dict[str, Any] = {"arrivals": "constant", "cores": 8}


def wait(us: float) -> dict[str, Any]:
    return {"wait": {"mean_us": us, "law": "constant"}}


def rule(**fields: Any) -> dict[str, Any]:
    return {"to": "b", **fields}


def two(b_steps: list[dict[str, Any]], **b_fields: Any) -> Any:
    """A calls b once, then works for 5 us."""
    return application(service("a", [call("b"), constant(5)]), service("b", b_steps, **b_fields))


def spans(result: RunResult, request: int = 0) -> list[tuple[int, int, int, int, bool]]:
    """(frame, start us, end us, status, unheard) of one request."""
    record = next(r for r in result.records if r.request == request)
    zero = record.spans[0].start_ns
    return [
        (s.number, (s.start_ns - zero) // 1000, (s.end_ns - zero) // 1000, s.status, s.detached) for s in record.spans
    ]


def ok(result: RunResult) -> None:
    said = audit(result)
    assert said.ok, said.checks


def test_a_timed_out_call_fails_its_caller_and_goes_on_upstream_as_wasted_work() -> None:
    result = run(plan(two([wait(1000), constant(200)]), 100, **CONSTANT, resilience=[rule(timeout_ms=0.3)]))
    # The caller gives up at 300 us and answers at once; b works from 1000 to 1200 for nobody.
    assert spans(result) == [(0, 0, 300, 1, False), (1, 0, 300, 2, False), (2, 0, 1200, 0, True)]
    assert log(result, 0) == [
        (0, "JOIN", "", 0, 300, 0),
        (1, "ATTEMPT", "resilience.wait", 0, 300, 0),
        (2, "WAIT", "application.wait", 0, 1000, 0),
        (2, "WORK", "application.compute", 1000, 1200, 200),
    ]
    assert (result.answered, result.failed, result.measured_failed) == (0, 100, 100)
    assert result.failures["TIMEOUT"] == result.failed
    ok(result)


def test_an_optional_call_may_fail() -> None:
    app = application(service("a", [call("b", optional=True), constant(5)]), service("b", [wait(1000)]))
    result = run(plan(app, 100, **CONSTANT, resilience=[rule(timeout_ms=0.3)]))
    assert spans(result)[0] == (0, 0, 305, 0, False)
    assert result.failed == 0
    ok(result)


def test_retries_wait_for_their_back_off_and_the_last_failure_is_the_outcome() -> None:
    retries = {"max": 2, "per_try_timeout_ms": 0.1, "backoff": {"base_ms": 0.05, "max_ms": 0.08, "jitter": "none"}}
    result = run(plan(two([wait(1000)]), 100, **CONSTANT, resilience=[rule(retries=retries)]))
    # Tries at 0, 100 + 50, 250 + 80 (twice 50, but at most 80): the last is given up at 430.
    assert spans(result) == [
        (0, 0, 430, 1, False), (1, 0, 430, 2, False),
        (2, 0, 1000, 0, True), (3, 150, 1150, 0, True), (4, 330, 1330, 0, True),
    ]  # fmt: skip
    assert result.counts["retries"] == 200
    assert result.counts["timeouts"] == 300
    ok(result)


def test_a_deadline_ends_the_call_while_it_waits_for_its_back_off() -> None:
    retries = {"max": 5, "per_try_timeout_ms": 0.1, "backoff": {"base_ms": 1.0, "max_ms": 1.0, "jitter": "none"}}
    result = run(plan(two([wait(1000)]), 100, **CONSTANT, resilience=[rule(retries=retries, timeout_ms=0.5)]))
    assert spans(result)[:2] == [(0, 0, 500, 1, False), (1, 0, 500, 2, False)]
    ok(result)


def test_a_retry_only_on_what_the_rule_names() -> None:
    retries = {"max": 2, "per_try_timeout_ms": 0.1, "on": ["error"]}
    result = run(plan(two([wait(1000)]), 100, **CONSTANT, resilience=[rule(retries=retries)]))
    assert result.counts["retries"] == 0
    assert spans(result)[0] == (0, 0, 100, 1, False)


def test_hedging_takes_the_first_answer_and_drops_the_other() -> None:
    # b has one thread. Each second of two calls finds it taken for 1000 us; the hedge goes to a free replica if any.
    app = application(
        service("a", [call("b")]),
        service("b", [wait(1000)], replicas=2, concurrency={"model": "thread-per-request", "threads": 1}),
    )
    hedge = [rule(hedging={"after_ms": 0.2})]
    turns = [{"to": "b", "policy": "round-robin"}]
    result = run(plan(app, 100, **CONSTANT, resilience=hedge, balancing=turns))
    # Both are free: the hedge starts at 200, the first answer comes at 1000, the other one at 1200 is dropped.
    assert spans(result) == [
        (0, 0, 1000, 0, False), (1, 0, 1000, 0, False), (2, 0, 1000, 0, False), (3, 200, 1200, 0, True),
    ]  # fmt: skip
    slow = [{"kind": "slow-pod", "service": "c", "at_s": 0.0, "for_s": 1000.0, "factor": 100.0}]
    app = application(service("a", [call("c")]), service("c", [constant(100)], replicas=2))
    hedge = [{"to": "c", "hedging": {"after_ms": 0.3}}]
    turns = [{"to": "c", "policy": "round-robin"}]
    result = run(plan(app, 50, **CONSTANT, resilience=hedge, balancing=turns, faults=slow))
    # c-1 takes 10 000 us, c-2 takes 100 us: who asks c-1 hedges at 300 and has its answer from c-2 at 400; then it is
    # the turn of c-1 again.
    assert {spans(result, number)[0][2] for number in range(1, 100)} == {400}
    assert result.counts["hedges"] in (99, 100)
    ok(result)


def test_the_retry_budget_bounds_retries_under_way() -> None:
    def retried(**budget: Any) -> RunResult:
        retries = {"max": 1, "per_try_timeout_ms": 0.1, "backoff": {"base_ms": 0.01, "jitter": "none"}, **budget}
        burst = application(service("a", [{"parallel": [call("b") for _ in range(10)]}]), service("b", [wait(1000)]))
        return run(plan(burst, 100, **CONSTANT, resilience=[rule(retries=retries)]))

    assert retried().counts["retries"] == 1000
    # Ten attempts time out one after the other at 100 us. At the first decision 9 others are under way, a share of a
    # quarter allows 2 retries; at the second 8 others: 2; from the third on (7: 1, …) no more. One is always allowed.
    assert retried(budget={"share": 0.25, "min_concurrency": 1}).counts["retries"] == 200
    assert retried(budget={"share": 0.0, "min_concurrency": 3}).counts["retries"] == 300
    assert retried(budget={"share": 0.0, "min_concurrency": 0}).counts["retries"] == 0


def test_a_circuit_breaker_refuses_at_once_and_is_not_retried() -> None:
    app = application(
        service("a", [{"parallel": [call("b", optional=True) for _ in range(5)]}]), service("b", [wait(100)])
    )
    result = run(plan(app, 100, **CONSTANT, resilience=[rule(circuit_breaker={"max_requests": 3}, retries={"max": 2})]))
    assert result.counts["circuit_open"] == 200
    assert result.counts["retries"] == 0
    assert sorted(s[3] for s in spans(result) if s[0] in range(1, 6)) == [0, 0, 0, 4, 4]
    assert result.failed == 0
    ok(result)


def test_pending_requests_wait_for_a_connection_and_overflow() -> None:
    app = application(
        service("a", [{"parallel": [call("b", optional=True) for _ in range(4)]}]), service("b", [wait(100)])
    )
    breaker = {"max_connections": 1, "max_pending": 2}
    result = run(plan(app, 100, **CONSTANT, resilience=[rule(circuit_breaker=breaker)]))
    calls = [s for s in spans(result) if 1 <= s[0] <= 4]
    assert [(s[2], s[3]) for s in calls] == [(100, 0), (200, 0), (300, 0), (0, 4)]
    ok(result)


def test_a_full_line_for_threads_is_a_503() -> None:
    threads = {"model": "thread-per-request", "threads": 1, "queue": 1}
    app = application(
        service("a", [{"parallel": [call("b", optional=True) for _ in range(4)]}]),
        service("b", [wait(100)], concurrency=threads),
    )
    result = run(plan(app, 100, **CONSTANT))
    assert [(s[2], s[3]) for s in spans(result)[1:]] == [(100, 0), (200, 0), (0, 3), (0, 3)]
    assert result.failures["OVERFLOW"] == 200
    ok(result)


def test_an_endpoint_fails_when_a_call_failed_and_skips_the_rest() -> None:
    app = application(
        service("a", [{"parallel": [[wait(10), call("b"), wait(500)], call("c")]}, constant(50)]),
        service("b", [], concurrency={"model": "thread-per-request", "threads": 1, "queue": 0}),
        service("c", [wait(70)]),
    )
    faults = [{"kind": "errors", "service": "b", "at_s": 0.0, "for_s": 1000.0}]
    result = run(plan(app, 100, **CONSTANT, faults=faults))
    # The branch ends at 10 with b's error, a waits for c until 70, and fails without its own 50 us of work.
    assert spans(result)[0] == (0, 0, 70, 1, False)
    assert result.failures == {
        "ERROR": 100, "TIMEOUT": 0, "OVERFLOW": 0, "CIRCUIT_OPEN": 0, "RATE_LIMITED": 0, "REFUSED": 0, "RESET": 0,
    }  # fmt: skip
    ok(result)


def test_an_outlier_is_ejected_comes_back_and_is_ejected_for_longer() -> None:
    app = application(service("a", [call("b", optional=True)]), service("b", [], replicas=2))
    ejection = {"consecutive_failures": 2, "base_ejection_ms": 50, "max_ejection_ms": 80, "max_ejected_share": 0.5}
    faults = [{"kind": "errors", "service": "b", "replica": 1, "at_s": 0.0, "for_s": 1000.0}]
    turns = [{"to": "b", "policy": "round-robin"}]
    result = run(
        plan(app, 100, **CONSTANT, resilience=[rule(outlier_ejection=ejection)], balancing=turns, faults=faults)
    )
    failed = [number for number in range(100) if any(s[3] for s in spans(result, number))]
    first = failed[0]  # 0 or 1, as the round robin starts
    # Requests come every 10 ms. The second error (2 requests later) ejects for 50 ms: the next 5 requests (10 … 50 ms
    # later; at 50 ms it is back) go to b-2, whose turn it would have been for the odd ones only.
    gaps = [b - a for a, b in pairwise(failed)]
    assert first in (0, 1)
    assert gaps[0] == 2
    assert gaps[1] in (5, 6)
    # Two more errors, then 2 x 50 ms, cut to 80; and so on.
    assert gaps[2] == 2
    assert set(gaps[3::2]) <= {8, 9}
    assert set(gaps[4::2]) == {2}
    assert result.counts["ejections"] == len(failed) // 2
    # Exactly: requests 0 and 2 fail, 7 is its turn again; with 9 for 80 ms, then 17, 19 …
    assert failed == [0, 2, *(first + more for first in range(7, 100, 10) for more in (0, 2))]


def test_no_more_pods_are_ejected_than_the_share_allows() -> None:
    app = application(service("a", [call("b", optional=True)]), service("b", [], replicas=4))
    faults = [{"kind": "errors", "service": "b", "replica": n, "at_s": 0.0, "for_s": 1000.0} for n in (1, 2, 3)]

    def ejected(share: float) -> int:
        ejection = {"consecutive_failures": 1, "base_ejection_ms": 86_400_000, "max_ejection_ms": 86_400_000,
                    "max_ejected_share": share}  # fmt: skip
        return run(plan(app, 100, **CONSTANT, resilience=[rule(outlier_ejection=ejection)], faults=faults)).counts[
            "ejections"
        ]

    assert [ejected(share) for share in (0.0, 0.25, 0.5, 0.75)] == [0, 1, 2, 3]


def test_a_token_bucket_lets_a_burst_through_and_then_its_rate() -> None:
    app = application(service("a", [{"parallel": [call("b", optional=True) for _ in range(5)]}]), service("b", []))
    result = run(plan(app, 1000, **CONSTANT, rate_limits=[{"to": "b", "rps": 2000, "burst": 3}]))
    # Three tokens at first, then two more for every ms that passes.
    passed = [sum(s[3] == 0 for s in spans(result, number)[1:]) for number in range(5)]
    assert passed == [3, 2, 2, 2, 2]
    assert result.failures["RATE_LIMITED"] == 2 + 99 * 3
    ok(result)


def test_the_sidecar_retries_behind_its_own_pass() -> None:
    book = costs(proxy__box__http1__request={"cpu_ns": 10_000}, proxy__box__http1__response={"cpu_ns": 5_000})
    retries = {"max": 1, "per_try_timeout_ms": 0.1, "backoff": {"base_ms": 0.02, "jitter": "none"}}
    app = two([wait(1000)])
    result = run(
        plan(app, 100, **CONSTANT, dataplane=sidecar(), book=book, resilience=[rule(retries=retries, at="proxy")])
    )
    entry, caller, first, second = spans(result)
    # a's own box takes the entry (10); the call passes a's box once (10), then tries at 20 and 140; given up at 240, the
    # failure passes a's box (5), and a's answer to the client passes it, too (5).
    assert caller == (1, 10, 245, 2, False)
    assert entry == (0, 0, 250, 1, False)
    # What goes on upstream pays b's box both ways, but the answer is not taken up by a's box.
    assert [first[1:], second[1:]] == [(20, 20 + 10 + 1000 + 5, 0, True), (140, 140 + 10 + 1000 + 5, 0, True)]
    ok(result)


def test_a_policy_that_never_acts_changes_nothing() -> None:
    from test_unchanged import BOOK, PLANES, world

    lazy = {"to": "*", "timeout_ms": 1e6, "retries": {"max": 3}, "hedging": {"after_ms": 1e6},
            "circuit_breaker": {}, "outlier_ejection": {}}  # fmt: skip
    for plane in PLANES.values():
        plans = [
            plan(world(), 900, cores=2, nodes=2, dataplane=plane, book=BOOK, resilience=rules) for rules in ([], [lazy])
        ]
        bare, guarded = (simulate(p, 400, seed=11, sample=0) for p in plans)
        # To the last nanosecond but for ties, which are broken by the number of the frame.
        assert guarded.latency.mean() == pytest.approx(bare.latency.mean(), rel=0.01)
        assert guarded.cpu_ns.sum() == pytest.approx(bare.cpu_ns.sum(), rel=0.001)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"resilience": [{"to": "bb", "timeout_ms": 1}]}, "resilience: to: unknown service 'bb'"),
        ({"resilience": [{"to": "b", "at": "proxy", "timeout_ms": 1}]}, "no L7 proxy acts for the caller of a -> b"),
        ({"balancing": [{"from": "x"}]}, "balancing: from: unknown service 'x'"),
        ({"rate_limits": [{"to": "c", "rps": 1}]}, "rate_limits: to: unknown service 'c'"),
        ({"faults": [{"kind": "pod-crash", "service": "b", "replica": 2, "at_s": 0, "for_s": 1}]}, "replica 2 of b"),
        ({"faults": [{"kind": "proxy-crash", "proxy": "box", "service": "b", "at_s": 0, "for_s": 1}]}, "bare has none"),
        (
            {"connections": [{"to": "b"}], "resilience": [{"to": "b", "at": "application", "outlier_ejection": {}}]},
            "the kernel chooses the pod",
        ),
    ],
)
def test_rules_that_cannot_act_are_refused(more: dict[str, Any], said: str) -> None:
    with pytest.raises(MeshsimError, match=said):
        plan(two([]), 100, **more)


def test_a_waypoint_retries_what_passed_it_and_keeps_books_for_all_its_callers() -> None:
    plane = sidecar(name="wp", placed="waypoint", ends=[], replicas=1)
    book = costs(proxy__box__http1__request={"cpu_ns": 10_000}, proxy__box__http1__response={"cpu_ns": 5_000})
    retries = {"max": 1, "per_try_timeout_ms": 0.1, "backoff": {"base_ms": 0.02, "jitter": "none"}}
    limits = {"retries": retries, "circuit_breaker": {"max_requests": 2}}
    app = application(
        service("a", [{"parallel": [call("b", optional=True) for _ in range(2)]}], replicas=2),
        service("b", [wait(1000)]),
    )
    # Two requests at once, at one calling pod or at two: the waypoint has two attempts at most under way, whoever calls.
    result = run(
        plan(
            app, 100, **CONSTANT, load={"burst": 2}, dataplane=plane, book=book, resilience=[rule(at="proxy", **limits)]
        )
    )
    assert len(set(result.plan.routes.policies.columns["holder"].tolist())) == 1
    assert result.plan.routes.policy_states == 1
    # Of four calls two are let through at first; those time out and are tried again 20 us later, when nobody is there.
    calls = sorted(s[1:4] for number in (0, 1) for s in spans(result, number) if s[0] in (1, 2))
    assert [c[2] for c in calls].count(4) == 2
    assert [c[2] for c in calls].count(2) == 2
    ok(result)
