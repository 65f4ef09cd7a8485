"""The analytic engine where theory is exact, against the reference engine, and what it says of its own limits."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from test_theory import LOADS, MEAN_US, erlang_c, pollaczek_khinchine, rps
from test_theory_contention import constant, exponential, mean_with_cold_caches, one_worker, turns_a_message
from worlds import application, call, compute, costs, plan, service, simulate

from meshsim.engines import analytic
from meshsim.engines.analytic.queues import shared_turns, turns_begun
from meshsim.plan.plan import Plan
from meshsim.results.rows import Row
from meshsim.scenario.base import MeshsimError
from meshsim.scenario.scenario import Load, Run, Scenario
from meshsim.studies.estimate import estimated_row
from meshsim.studies.row import make_row
from meshsim.studies.setup import prepare


def station(rho: float, *, law: str = "exponential", cv: float = 1.0, cores: int = 1) -> Plan:
    return plan(application(service("a", [compute(MEAN_US, law, cv)])), rps(rho, cores), cores=cores)


@pytest.mark.parametrize("rho", LOADS)
def test_mm1_is_exact_with_its_quantiles(rho: float) -> None:
    answer = analytic.solve(station(rho))
    mean = MEAN_US / (1 - rho)
    assert answer.mean_us == pytest.approx(mean, rel=2e-3)
    assert answer.utilisation.max() == pytest.approx(rho, rel=1e-3)
    for share, said in ((0.5, answer.p50_us), (0.9, answer.p90_us), (0.99, answer.p99_us)):
        assert said == pytest.approx(-math.log(1 - share) * mean, rel=0.03)


@pytest.mark.parametrize("rho", LOADS)
def test_mmc_is_erlang(rho: float) -> None:
    expected = MEAN_US * (1 + erlang_c(4, rho) / 4 / (1 - rho))
    assert analytic.solve(station(rho, cores=4)).mean_us == pytest.approx(expected, rel=3e-3)


@pytest.mark.parametrize("rho", LOADS)
@pytest.mark.parametrize(("law", "cv"), [("constant", 0.0), ("lognormal", 1.5), ("gamma", 0.5)])
def test_mg1_is_pollaczek_and_khinchine(rho: float, law: str, cv: float) -> None:
    answer = analytic.solve(station(rho, law=law, cv=max(cv, 0.1)))
    assert answer.mean_us == pytest.approx(pollaczek_khinchine(rho, cv * cv), rel=5e-3)
    # Negative control: it is not the mean of M/M/1.
    assert abs(answer.mean_us / (MEAN_US / (1 - rho)) - 1) > 0.03


def test_a_rate_needs_no_new_plan() -> None:
    lowered = station(0.3)
    for rho in LOADS:
        assert analytic.solve(lowered, rps(rho)).mean_us == pytest.approx(MEAN_US / (1 - rho), rel=2e-3)
    assert analytic.saturation_rps(lowered) == pytest.approx(rps(1.0), rel=0.02)
    with pytest.raises(MeshsimError, match="above 0"):
        analytic.solve(lowered, 0.0)


@pytest.mark.parametrize("rho", LOADS)
def test_a_tandem_is_a_sum(rho: float) -> None:
    app = application(service("a", [compute(MEAN_US), call("b")]), service("b", [compute(MEAN_US)]))
    assert analytic.solve(plan(app, rps(rho), nodes=2)).mean_us == pytest.approx(2 * MEAN_US / (1 - rho), rel=0.01)


@pytest.mark.parametrize("rho", LOADS)
def test_a_fork_of_two_is_near_flatto_and_hahn(rho: float) -> None:
    app = application(
        service("a", [{"parallel": [call("b"), call("c")]}]),
        service("b", [compute(MEAN_US)]),
        service("c", [compute(MEAN_US)]),
    )
    answer = analytic.solve(plan(app, rps(rho), nodes=3))
    exact = (12 - rho) / 8 * MEAN_US / (1 - rho)
    # Branches are taken as independent: 1.5 means instead of (12 - rho) / 8.
    assert exact * 0.99 < answer.mean_us < exact * 1.09
    assert answer.mean_us > 1.3 * MEAN_US / (1 - rho)
    assert not answer.trust["p99"]
    assert any("fork" in reason for reason in answer.reasons)


@pytest.mark.parametrize("rho", [0.3, 0.7])
def test_a_pool_of_threads_is_a_queue(rho: float) -> None:
    # The thread is held while the caller waits off the CPU: M/M/2.
    waiting = {"wait": {"mean_us": MEAN_US, "law": "exponential"}}
    threads = {"model": "thread-per-request", "threads": 2}
    answer = analytic.solve(plan(application(service("a", [waiting], concurrency=threads)), rps(rho, 2)))
    assert answer.mean_us == pytest.approx(MEAN_US * (1 + erlang_c(2, rho) / 2 / (1 - rho)), rel=0.01)


def test_threads_are_held_across_calls() -> None:
    # One thread waits for an answer that takes 1 ms: at 700 a second it is busy 70 % of the time, its CPU never.
    waiting = {"wait": {"mean_us": MEAN_US, "law": "exponential"}}
    one = {"model": "thread-per-request", "threads": 1}
    app = application(service("a", [call("b")], concurrency=one), service("b", [waiting]))
    answer = analytic.solve(plan(app, 700))
    assert answer.utilisation.max() == pytest.approx(0.7, rel=0.01)
    assert answer.mean_us == pytest.approx(MEAN_US / 0.3, rel=0.02)


def test_calls_that_are_made_sometimes_count_sometimes() -> None:
    app = application(
        service("a", [call("b", probability=0.25)]), service("b", [{"wait": {"mean_us": 1000, "law": "constant"}}])
    )
    assert analytic.solve(plan(app, 1)).mean_us == pytest.approx(250, rel=1e-3)


def test_small_turns_are_processor_sharing() -> None:
    app = application(service("a", [compute(MEAN_US, "lognormal", 2.0)]))
    sharing = analytic.solve(plan(app, rps(0.7), slice_us=20.0)).mean_us
    assert sharing == pytest.approx(MEAN_US / 0.3, rel=0.1)
    assert analytic.solve(plan(app, rps(0.7))).mean_us == pytest.approx(pollaczek_khinchine(0.7, 4.0), rel=0.01)


def test_a_closed_loop_is_near_mva() -> None:
    app = application(service("a", [compute(600), call("b")]), service("b", [compute(MEAN_US)]))
    answer = analytic.solve(plan(app, 1, nodes=2, load={"closed": {"clients": 5, "think_ms": 5.0}}))
    queue, rate = [0.0, 0.0], 0.0
    for n in range(1, 6):
        times = [d * (1 + q) for d, q in zip((600.0, MEAN_US), queue, strict=True)]
        rate = n / (5000.0 + sum(times))
        queue = [rate * t for t in times]
    assert answer.rps == pytest.approx(rate * 1e6, rel=0.05)


@pytest.mark.parametrize(
    ("more", "word"),
    [
        ({"resilience": [{"to": "a", "from": "client", "timeout_ms": 100}]}, "timeouts"),
        ({"faults": [{"kind": "slow-pod", "service": "a", "factor": 2.0, "at_s": 1.0, "for_s": 1.0}]}, "faults"),
        ({"load": {"burst": 5}}, "bursts"),
        ({"balancing": [{"to": "*", "from": "client", "policy": "least-request"}]}, "balancer"),
    ],
)
def test_it_says_what_it_leaves_out(more: dict[str, Any], word: str) -> None:
    answer = analytic.solve(plan(application(service("a", [compute(MEAN_US)])), 100, **more))
    assert any(word in reason for reason in answer.reasons)
    assert not answer.trust["mean"]


def test_within_its_range_it_says_nothing_and_beyond_saturation_it_gives_no_figure() -> None:
    lowered = station(0.5)
    assert all(analytic.solve(lowered).trust.values())
    busy = analytic.solve(lowered, rps(0.9))
    assert busy.trust["cpu"]
    assert not busy.trust["mean"]
    over = analytic.solve(lowered, rps(1.2))
    assert math.isnan(over.mean_us)
    assert math.isnan(over.p99_us)
    assert not any(over.trust.values())


def rows(application_: str, dataplane: str, rate: float, requests: int) -> tuple[Row, Row]:
    """(analytic, simulated)"""
    from meshsim.engines import reference

    prepared = prepare(Scenario(application=application_, dataplane=dataplane, load=Load(rps=rate)))
    result = reference.run(prepared.plan, Run(requests=requests, seed=3, sample=0))
    about = (dataplane, len(prepared.application.services), prepared.machine)
    return estimated_row(analytic.solve(prepared.plan), *about), make_row(result, *about)


def test_a_mesh_is_near_its_simulation() -> None:
    said, seen = rows("bookinfo", "istio-sidecar", 500, 1500)
    assert said.mean_us.value == pytest.approx(seen.mean_us.value, rel=0.05)
    assert said.latency_us.p99.value == pytest.approx(seen.latency_us.p99.value, rel=0.15)
    for component in ("application", "proxy", "kernel", "total"):
        assert getattr(said.cpu_cores, component) == pytest.approx(getattr(seen.cpu_cores, component), rel=0.08)
    assert said.utilisation == pytest.approx(seen.utilisation, rel=0.1)
    assert said.engine == "analytic"
    # Negative control: another data plane is not as near.
    other, _ = rows("bookinfo", "no-mesh", 500, 100)
    assert other.mean_us.value != pytest.approx(seen.mean_us.value, rel=0.05)


@pytest.mark.statistical
@pytest.mark.parametrize("dataplane", ["no-mesh", "istio-sidecar", "linkerd", "cilium"])
@pytest.mark.parametrize("name", ["bookinfo", "online-boutique", "social-network"])
def test_shipped_scenarios_are_within_the_goals(name: str, dataplane: str) -> None:
    small = prepare(Scenario(application=name, dataplane=dataplane, load=Load(rps=1.0))).plan
    rate = 0.6 * analytic.saturation_rps(small)
    said, seen = rows(name, dataplane, rate, 12_000)
    assert said.mean_us.value == pytest.approx(seen.mean_us.value, rel=0.08)
    if said.latency_us.p99.note == "approximation":
        assert said.latency_us.p99.value == pytest.approx(seen.latency_us.p99.value, rel=0.2)
    assert np.isfinite(said.utilisation)


@pytest.mark.parametrize("rho", [0.2, 0.5, 0.8])
def test_a_worker_that_has_to_be_woken_is_welch(rho: float) -> None:
    # A worker of a proxy that every message passes once on its way in; the pass on the way out costs nothing here.
    setup = 800.0
    book = costs(
        proxy__box__wakeup={"wait_ns": setup * 1000, "law": "constant"},
        proxy__box__http1__request={"wait_ns": MEAN_US * 1000, "law": "exponential"},
    )
    answer = analytic.solve(one_worker(rho, book))
    lam = rho / MEAN_US
    expected = MEAN_US / (1 - rho) + (2 * setup + lam * setup**2) / (2 * (1 + lam * setup))
    assert answer.mean_us == pytest.approx(expected, rel=0.01)
    # Negative control: whoever waits wakes nobody, so it is not a queue in which everybody takes as long.
    busy = float(answer.utilisation.max())
    assert abs(MEAN_US / (1 - busy) / expected - 1) > 0.03


@pytest.mark.parametrize("rho", [0.02, 0.1, 0.5])
def test_cold_caches_are_near_theory(rho: float) -> None:
    most, half_ms = 900.0, 2.0
    book = costs(
        proxy__box__cold={"cpu_ns": most * 1000, "law": "cold", "cv": half_ms},
        proxy__box__http1__request={"wait_ns": MEAN_US * 1000, "law": "exponential"},
    )
    lowered = one_worker(rho, book)
    expected = mean_with_cold_caches(rho, most, half_ms * 1000)
    answer = analytic.solve(lowered)
    assert answer.mean_us == pytest.approx(expected, rel=0.02)
    assert abs(MEAN_US / (1 - rho) / expected - 1) > 0.05  # negative control: as if caches were always warm
    (tag,) = (number for number, each in enumerate(lowered.tags) if each.operation == "proxy.box.cold")
    result = simulate(lowered, 20_000, seed=4, sample=0)
    seen = float(result.cpu_ns[:, tag].sum()) / result.window_ns
    assert answer.cores_by_tag[tag] == pytest.approx(seen, rel=0.05)


@pytest.mark.parametrize("model", ["async", "thread-per-request"])
def test_cold_caches_make_others_wait_for_the_core(model: str) -> None:
    book = costs(kernel__wakeup={}, kernel__cold={"cpu_ns": 400_000, "law": "cold", "cv": 0.1})
    app = application(service("a", [compute(400)], concurrency={"model": model, "threads": 1000}))
    lowered = plan(app, 800, book=book)
    seen = simulate(lowered, 60_000, seed=1, sample=0).latency.mean() / 1000
    answer = analytic.solve(lowered)
    assert answer.mean_us == pytest.approx(seen, rel=0.06)
    # Negative control: visits that are longer, and no more variable than those of warm caches.
    busy = float(answer.utilisation.max())
    assert busy / 800e-6 + 800e-6 * 2 * 400**2 / (2 * (1 - busy)) < 0.8 * seen


def test_the_cpu_of_wake_ups_counts_where_nobody_waits_for_them() -> None:
    lowered = plan(
        application(service("a", [compute(100)])), 1000, cores=2, book=costs(kernel__wakeup={"cpu_ns": 100_000})
    )
    assert float(analytic.solve(lowered).cores_by_tag.sum()) == pytest.approx(0.2, rel=0.01)


@pytest.mark.parametrize("rho", [0.3, 0.7])
@pytest.mark.parametrize("workers", [1, 3])
def test_the_wait_for_the_end_of_a_turn_is_near_simulation(rho: float, workers: int) -> None:
    book = costs(proxy__box__http1__request={"wait_ns": MEAN_US * 1000, "law": "exponential"})
    by_turn, at_once = (one_worker(rho, book, workers, sends=each) for each in ("after-turn", "at-once"))
    more = [simulate(each, 60_000, seed=3, sample=0).latency.mean() / 1000 for each in (by_turn, at_once)]
    said = [analytic.solve(each).mean_us for each in (by_turn, at_once)]
    assert said[0] == pytest.approx(more[0], rel=0.05)
    # The difference alone, on the same random numbers; it would be 0 if nobody waited for the end of a turn.
    assert said[0] - said[1] == pytest.approx(more[0] - more[1], rel=0.15)


@pytest.mark.parametrize("law", ["exponential", "constant"])
@pytest.mark.parametrize(("rho", "turn"), [(0.3, 0.0), (0.6, 400.0), (0.8, 200.0)])
def test_turns_of_one_worker_are_exact(rho: float, turn: float, law: str) -> None:
    transform = {"exponential": exponential, "constant": constant}[law]
    scv = np.array([1.0 if law == "exponential" else 0.0])
    begun = turns_begun(np.array([rho]), scv, np.array([rho * turn / MEAN_US]))
    assert begun[0] == pytest.approx(turns_a_message(rho, turn, transform), rel=0.01)


@pytest.mark.parametrize("workers", [1, 2])
def test_the_cpu_of_turns_is_near_simulation(workers: int) -> None:
    book = costs(
        proxy__box__turn={"cpu_ns": 300_000, "law": "exponential"},
        proxy__box__http1__request={"cpu_ns": 1_000_000, "law": "exponential"},
    )
    lowered = one_worker(0.55, book, workers=workers)
    (tag,) = (number for number, each in enumerate(lowered.tags) if each.operation == "proxy.box.turn")
    result = simulate(lowered, 20_000, seed=4, sample=0)
    seen = float(result.cpu_ns[:, tag].sum()) / result.window_ns
    answer = analytic.solve(lowered)
    assert answer.cores_by_tag[tag] == pytest.approx(seen, rel=0.04)
    assert answer.mean_us == pytest.approx(result.latency.mean() / 1000, rel=0.08)
    # Negative controls: neither a turn for each message, nor one only for who finds a worker asleep.
    assert seen < 0.95 * rps(0.55, workers) * 300e-6
    assert seen > 1.1 * rps(0.55, workers) * 300e-6 * (1 - erlang_c(workers, float(answer.utilisation.max())))


def test_hardly_any_load_begins_a_turn_with_each_message_and_no_more() -> None:
    """Rounded above one, the share of several workers was no number, and so was every answer of a wide, idle mesh."""
    loads = np.geomspace(1e-12, 1e-6, 2_001)
    begun = turns_begun(loads, np.full(len(loads), 1.847e-6), loads * 0.36)
    assert (begun <= 1.0).all()
    assert np.isfinite(shared_turns(begun, np.full(len(loads), 2.0))).all()
    assert begun == pytest.approx(1.0, abs=1e-5)
