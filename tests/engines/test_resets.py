"""An attempt that was given up, and its stream reset: who works for it upstream ends the piece that he is at, no more."""

from __future__ import annotations

from typing import Any

import pytest
from test_exact import constant, log, run, sidecar
from test_resilience import CONSTANT, ok, rule, spans, wait
from worlds import application, call, costs, plan, service

from meshsim.results.run import RunResult

RESET = {"given_up": "reset"}
ONE_THREAD = {"concurrency": {"model": "thread-per-request", "threads": 1}}


def chain(**b_fields: Any) -> Any:
    """A calls b, which works, calls c, and works again; c waits, then works."""
    return application(
        service("a", [call("b"), constant(5)]),
        service("b", [constant(100), call("c"), constant(50)], **b_fields),
        service("c", [wait(1000), constant(200)]),
    )


def test_a_reset_reaches_all_that_the_call_has_called() -> None:
    result = run(plan(chain(), 100, **CONSTANT, resilience=[rule(timeout_ms=0.3, **RESET)]))
    # The caller gives up at 300 us. c is waiting then; its wait ends at 1100, and nothing else begins.
    assert spans(result) == [
        (0, 0, 300, 1, False), (1, 0, 300, 2, False), (2, 0, 1100, 7, True), (3, 100, 1100, 7, False),
    ]  # fmt: skip
    assert log(result, 0) == [
        (2, "WORK", "application.compute", 0, 100, 100),
        (0, "JOIN", "", 0, 300, 0),
        (1, "ATTEMPT", "resilience.wait", 0, 300, 0),
        (2, "JOIN", "", 100, 1100, 0),
        (3, "WAIT", "application.wait", 100, 1100, 0),
    ]
    assert result.counts["resets"] == 100
    assert result.counts["wasted_answers"] == 0
    assert result.failures["RESET"] == 0  # nobody heard of it
    ok(result)


def test_without_it_all_of_the_work_is_done_for_nobody() -> None:
    result = run(plan(chain(), 100, **CONSTANT, resilience=[rule(timeout_ms=0.3)]))
    assert spans(result)[2:] == [(2, 0, 1350, 0, True), (3, 100, 1300, 0, False)]
    assert result.counts["resets"] == 0
    assert result.counts["wasted_answers"] == 99  # that of the last request comes too late to be counted
    ok(result)


def test_work_under_way_is_finished_and_what_stands_in_line_does_nothing() -> None:
    def both(given_up: str, cores: int, **b_fields: Any) -> RunResult:
        app = application(
            service("a", [{"parallel": [call("b") for _ in range(3)]}]), service("b", [constant(1000)], **b_fields)
        )
        rules = [rule(timeout_ms=0.3, given_up=given_up)]
        result = run(plan(app, 100, arrivals="constant", resilience=rules, cores=cores))
        ok(result)
        return result

    for cores, line in ((1, {}), (8, ONE_THREAD)):  # for a core, for a thread
        reset, finish = both("reset", cores, **line), both("finish", cores, **line)
        assert [s[2] for s in spans(reset) if s[4]] == [1000, 1000, 1000]
        assert [s[2] for s in spans(finish) if s[4]] == [1000, 2000, 3000]
        assert reset.cpu_ns.sum() * 3 == finish.cpu_ns.sum()  # of three ms of work only the first is done


def test_a_turn_on_a_core_is_no_piece_of_work() -> None:
    # b has begun when its caller gives up: it gets its other turns, too.
    app = application(service("a", [call("b")]), service("b", [constant(1000)]))
    result = run(plan(app, 100, arrivals="constant", slice_us=100, resilience=[rule(timeout_ms=0.25, **RESET)]))
    assert spans(result)[2] == (2, 0, 1000, 7, True)


def test_threads_workers_and_connections_are_given_back() -> None:
    # b's only thread is held while c works; then the next request gets it.
    book = costs(proxy__box__http1__request={"cpu_ns": 10_000}, proxy__box__telemetry={"cpu_ns": 7_000})
    plane = sidecar(workers=1, telemetry=True)
    rules = {
        "resilience": [rule(timeout_ms=0.3, at="application", **RESET)],
        "connections": [{"to": "c", "max": 1}, {"to": "b", "max": 2}],
    }
    result = run(plan(chain(**ONE_THREAD), 100, **CONSTANT, **rules, book=book, dataplane=plane))
    assert result.counts["resets"] == 100
    # b's connection to c was closed each time, as HTTP/1.1 must; so was that of a to b.
    assert result.counts["connections"] == 200
    assert [s[1:] for s in spans(result, 1)] == [s[1:] for s in spans(result)]
    ok(result)


def test_who_was_reset_while_a_proxy_worked_on_it_gives_its_worker_to_the_next() -> None:
    book = costs(proxy__box__http1__request={"cpu_ns": 400_000})
    app = application(service("a", [{"parallel": [call("b"), call("b")]}]), service("b", [constant(50)]))
    result = run(
        plan(
            app, 100, **CONSTANT, book=book, dataplane=sidecar(ends=["destination"]),
            resilience=[rule(timeout_ms=0.3, at="application", **RESET)],
        )
    )  # fmt: skip
    # a's own request passes a's box for 400 us. b's box works on the first until 400; the second does nothing there.
    assert [s[1:] for s in spans(result) if s[4]] == [(400, 800, 7, True), (400, 800, 7, True)]
    ok(result)


def test_the_loser_of_a_hedge_is_reset() -> None:
    app = application(
        service("a", [call("b")]),
        service("b", [wait(1000), constant(100)], replicas=2),
    )
    turns = [{"to": "b", "policy": "round-robin"}]
    result = run(plan(app, 100, **CONSTANT, resilience=[rule(hedging={"after_ms": 0.2}, **RESET)], balancing=turns))
    # The first answer is there at 1100; the other attempt, begun at 200, comes to the end of its wait at 1200.
    assert spans(result)[2:] == [(2, 0, 1100, 0, False), (3, 200, 1200, 7, True)]
    ok(result)


def test_timers_of_a_call_that_was_reset_mean_nothing() -> None:
    # b would time out and try again, again and again; its own caller gives up first.
    retries = {"max": 50, "per_try_timeout_ms": 0.25, "backoff": {"base_ms": 0.1, "jitter": "none"}}
    inner = {"to": "c", "retries": retries, "hedging": {"after_ms": 0.15}}
    result = run(plan(chain(), 100, **CONSTANT, resilience=[rule(timeout_ms=0.3, **RESET), inner]))
    # b calls c at 100, hedges at 250; given up at 300. Its time-outs, from 350 on, do not count, and nothing is tried again.
    assert result.counts["timeouts"] == 100
    assert result.counts["retries"] == 0
    assert result.counts["hedges"] == 100
    assert [s[:3] for s in spans(result)[2:]] == [(2, 0, 1250), (3, 100, 1250), (4, 100, 1100), (5, 250, 1250)]
    ok(result)


@pytest.mark.parametrize("given_up", ["finish", "reset"])
def test_a_crash_takes_the_token_of_who_was_reset(given_up: str) -> None:
    faults = [{"kind": "pod-crash", "service": "b", "at_s": 0.0202, "for_s": 0.005}]
    rules = [rule(timeout_ms=0.3, given_up=given_up)]
    result = run(plan(chain(**ONE_THREAD), 100, **CONSTANT, resilience=rules, faults=faults))
    ok(result)


def test_a_policy_that_never_acts_changes_nothing_with_resets_either() -> None:
    rules = [[rule(timeout_ms=1e6)], [rule(timeout_ms=1e6, **RESET)]]
    one, other = (run(plan(chain(**ONE_THREAD), 100, **CONSTANT, resilience=r)) for r in rules)
    assert one.latency.sum_ns == other.latency.sum_ns
    assert (one.cpu_ns == other.cpu_ns).all()


def test_branches_of_who_was_reset_leave_its_connection_alone() -> None:
    branch = [wait(1000), call("c")]
    app = application(
        service("a", [call("b")]), service("b", [{"parallel": [branch, branch]}]), service("c", [constant(10)])
    )
    rules = [rule(timeout_ms=0.3, at="application", **RESET), {"to": "c", "timeout_ms": 50}]
    result = run(plan(app, 100, **CONSTANT, resilience=rules, connections=[{"to": "b", "max": 3}, {"to": "c"}]))
    # The connection to b is closed when it is given up, once a request; nobody ever calls c.
    assert spans(result)[2:] == [(2, 0, 1000, 7, True), (3, 0, 1000, 7, False), (4, 0, 1000, 7, False)]
    assert result.counts["connections"] == 100
    ok(result)


def test_very_many_streams_may_be_reset_at_once() -> None:
    """More of them stand in line for a core than one step of the compiled engine records otherwise."""
    app = application(service("a", [call("b")]), service("b", [constant(1000)]))
    burst = {"arrivals": "constant", "load": {"burst": 800}, "resilience": [rule(timeout_ms=0.3, **RESET)]}
    result = run(plan(app, 800, **burst), 1600)
    assert result.counts["resets"] == 1600
