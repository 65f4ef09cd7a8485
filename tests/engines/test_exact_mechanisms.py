"""One tiny scenario a mechanism, worked out by hand: everything that took time, and how every call ended."""

from __future__ import annotations

from test_exact import constant, log, run, sidecar
from test_faults import crash
from test_resilience import CONSTANT, rule, spans, wait
from worlds import application, call, costs, plan, service


def test_a_circuit_breaker() -> None:
    app = application(
        service("a", [{"parallel": [call("b", optional=True) for _ in range(5)]}]), service("b", [wait(100)])
    )
    breaker = rule(circuit_breaker={"max_requests": 3}, retries={"max": 2})
    result = run(plan(app, 100, **CONSTANT, resilience=[breaker]))
    # Three are let through (frames 6 to 8 are their attempts), two are refused at once and not tried again.
    for request in range(100):
        assert spans(result, request) == [
            (0, 0, 100, 0, False), (1, 0, 100, 0, False), (2, 0, 100, 0, False), (3, 0, 100, 0, False),
            (4, 0, 0, 4, False), (5, 0, 0, 4, False),
            (6, 0, 100, 0, False), (7, 0, 100, 0, False), (8, 0, 100, 0, False),
        ]  # fmt: skip
    assert log(result, 0) == [
        (0, "JOIN", "", 0, 100, 0),
        (1, "ATTEMPT", "resilience.wait", 0, 100, 0),
        (2, "ATTEMPT", "resilience.wait", 0, 100, 0),
        (3, "ATTEMPT", "resilience.wait", 0, 100, 0),
        (6, "WAIT", "application.wait", 0, 100, 0),
        (7, "WAIT", "application.wait", 0, 100, 0),
        (8, "WAIT", "application.wait", 0, 100, 0),
    ]


def test_a_retry_budget() -> None:
    retries = {
        "max": 1, "per_try_timeout_ms": 0.1, "budget": {"share": 0.2, "min_concurrency": 1},
        "backoff": {"base_ms": 0.05, "max_ms": 0.05, "jitter": "none"},
    }  # fmt: skip
    app = application(
        service("a", [{"parallel": [call("b", optional=True) for _ in range(3)]}]), service("b", [wait(1000)])
    )
    result = run(plan(app, 100, **CONSTANT, resilience=[rule(retries=retries)]))
    # All three time out at 100 us; a fifth of three is no retry, one is always allowed: that of the first, from 150 on.
    assert spans(result) == [
        (0, 0, 250, 0, False), (1, 0, 250, 2, False), (2, 0, 100, 2, False), (3, 0, 100, 2, False),
        (4, 0, 1000, 0, True), (5, 0, 1000, 0, True), (6, 0, 1000, 0, True), (7, 150, 1150, 0, True),
    ]  # fmt: skip
    assert log(result, 0) == [
        (1, "ATTEMPT", "resilience.wait", 0, 100, 0),
        (2, "ATTEMPT", "resilience.wait", 0, 100, 0),
        (3, "ATTEMPT", "resilience.wait", 0, 100, 0),
        (1, "ATTEMPT", "resilience.wait", 100, 150, 0),  # its back-off
        (0, "JOIN", "", 0, 250, 0),
        (1, "ATTEMPT", "resilience.wait", 150, 250, 0),
        (4, "WAIT", "application.wait", 0, 1000, 0),
        (5, "WAIT", "application.wait", 0, 1000, 0),
        (6, "WAIT", "application.wait", 0, 1000, 0),
        (7, "WAIT", "application.wait", 150, 1150, 0),
    ]


def test_a_rate_limit() -> None:
    app = application(
        service("a", [{"parallel": [call("b", optional=True) for _ in range(4)]}]), service("b", [constant(10)])
    )
    result = run(plan(app, 100, **CONSTANT, rate_limits=[{"to": "b", "rps": 200, "burst": 2}]))
    # Four calls each 10 ms, in which the bucket gets the two tokens that it holds.
    for request in range(100):
        assert spans(result, request) == [
            (0, 0, 10, 0, False), (1, 0, 10, 0, False), (2, 0, 10, 0, False), (3, 0, 0, 5, False), (4, 0, 0, 5, False),
        ]  # fmt: skip
        assert log(result, request) == [
            (0, "JOIN", "", 0, 10, 0),
            (1, "WORK", "application.compute", 0, 10, 10),
            (2, "WORK", "application.compute", 0, 10, 10),
        ]


def test_a_crash() -> None:
    app = application(service("a", [wait(4_000)], concurrency={"model": "thread-per-request", "threads": 1}))
    result = run(plan(app, 100, **CONSTANT, load={"burst": 3}, faults=[crash(service="a", at_s=0.031)]))
    # At 30 ms three come; at 31 it crashes. Who is worked on is told when that would have been done, who waits at once.
    # Until 131 ms whoever comes is refused.
    ends = [spans(result, n) for n in range(100)]
    assert ends[:3] == [[(0, 0, 4_000, 7, False)], [(0, 0, 1_000, 7, False)], [(0, 0, 1_000, 7, False)]]
    assert log(result, 0) == [(0, "WAIT", "application.wait", 0, 4_000, 0)]
    assert log(result, 1) == log(result, 2) == [(0, "ACQUIRE", "application.threads", 0, 1_000, 0)]
    assert ends[3:12] == [[(0, 0, 0, 6, False)]] * 9
    assert [each[0][2:4] for each in ends[12:]] == [(4_000, 0), (8_000, 0), (12_000, 0)] * 29 + [(4_000, 0)]


def test_pinned_workers() -> None:
    """Three connections on two workers, by chance two on one: that one works for two, and the other stands idle."""
    book = costs(proxy__box__http1__request={"cpu_ns": 100_000})
    plane = sidecar(workers=2, ends=["destination"])
    rules = [{"from": "client", "to": "a", "max": 3}]
    app = application(service("a", []), entries=[{"service": "a", "protocol": "http1"}])
    result = run(plan(app, 300, **CONSTANT, load={"burst": 3}, dataplane=plane, book=book, connections=rules), 300)
    free = run(plan(app, 300, **CONSTANT, load={"burst": 3}, dataplane=plane, book=book), 300)
    # A burst of three each 10 ms. Whoever is free serves: two at once, then one.
    assert [spans(free, n)[0][2] for n in range(300)] == [100, 100, 200] * 100
    ends = [sorted(spans(result, n)[0][2] for n in range(burst, burst + 3)) for burst in range(0, 300, 3)]
    # Each connection keeps its worker, so all bursts fare alike. Of two on one worker the first answer stands in line
    # behind the second request, while the other worker has nothing to do; all three on one would take 300 us each.
    assert ends in ([[100, 200, 200]] * 100, [[300, 300, 300]] * 100)
