"""CPU limits: throttled to the nanosecond, as CFS bandwidth control does it."""

from __future__ import annotations

from typing import Any

import pytest
from test_exact import constant, log, run, sidecar
from test_resilience import ok, spans
from worlds import application, call, costs, plan, service, simulate


def limited(millicores: float, steps: list[dict[str, Any]], **fields: Any) -> Any:
    return application(service("a", steps, cpu_limit_millicores=millicores, **fields))


def test_a_container_that_used_its_budget_waits_for_the_next_period() -> None:
    # 0.2 cores: 20 ms in each 100 ms. The first request comes at 1 s, a period begins then.
    result = run(plan(limited(200, [constant(50_000)]), 1, cores=4, arrivals="constant"))
    # 1000-1020, 1100-1120, 1200-1210.
    assert log(result, 0) == [(0, "WORK", "application.compute", 0, 210_000, 50_000)]
    assert {spans(result, n)[0][2] for n in range(100)} == {210_000}
    assert result.counts["cpu_throttles"] == 200
    ok(result)


def test_threads_of_a_container_share_its_budget_and_resume_in_order() -> None:
    work = [{"parallel": [call("b"), call("b"), call("b")]}]
    app = application(service("a", work), service("b", [constant(10_000)], cpu_limit_millicores=100))
    result = run(plan(app, 1, cores=4, arrivals="constant"))
    # 10 ms a period. Three threads on three cores begin at once: the first has taken all that there is.
    assert [s[2] for s in spans(result)[1:]] == [10_000, 110_000, 210_000]
    ok(result)


def test_a_slice_takes_from_the_budget_turn_by_turn() -> None:
    work = [{"parallel": [call("b"), call("b")]}]
    app = application(service("a", work), service("b", [constant(10_000)], cpu_limit_millicores=100))
    result = run(plan(app, 1, cores=1, slice_us=3000, arrivals="constant"))
    # One core, turns of 3 ms: x 0-3, y 3-6, x 6-9, y 9-10 (budget of 10 used up); throttled: x, then y.
    # From 100 on: x needs 4: 100-103, y has used 4: 103-106, x 106-107 and is done, y 107-110 and is done.
    assert [s[2] for s in spans(result)[1:]] == [107_000, 110_000]
    ok(result)


def test_kernel_work_is_charged_to_the_node_and_never_throttled() -> None:
    book = costs(kernel__tcp__send={"cpu_ns": 30_000_000})
    app = application(service("a", [constant(10_000)], cpu_limit_millicores=100))
    result = run(plan(app, 1, cores=4, arrivals="constant", book=book))
    assert {spans(result, n)[0][2] for n in range(100)} == {40_000}
    assert result.counts["cpu_throttles"] == 0


def test_a_proxy_has_a_limit_of_its_own() -> None:
    book = costs(proxy__box__http1__request={"cpu_ns": 15_000_000})
    plane = sidecar(ends=["destination"], limits={"cpu_millicores": 100, "memory_mib": 64})
    app = application(service("a", [constant(30_000)]))
    result = run(plan(app, 1, cores=4, arrivals="constant", dataplane=plane, book=book))
    # The proxy: 10 ms, then the rest, 100 to 105; the application is not held back.
    assert {spans(result, n)[0][2] for n in range(100)} == {135_000}
    ok(result)


@pytest.mark.parametrize("period_ms", [10.0, 100.0])
def test_a_limit_is_never_exceeded_over_a_run(period_ms: float) -> None:
    app = limited(500, [{"compute": {"mean_us": 900, "law": "exponential"}}])
    cluster = {"machine": "box", "nodes": 1, "cpu_slice_us": 1000, "cpu_quota_period_ms": period_ms}
    result = simulate(
        plan(app, 900, cores=4, load={"overload": "simulate"}, cluster=cluster), 600, warmup=0.0, sample=0
    )
    used = int(result.stations.busy_ns[0]) / result.end_ns
    assert 0.49 < used <= 0.5 + 0.5 * period_ms * 1e6 / result.end_ns
    ok(result)
