"""Theory of contention and failure: loss, processor sharing, closed networks, set-up times, metastable retries.

Sources: Kleinrock, Queueing Systems I (M/M/c/K); Kleinrock II (M/G/1-PS); Reiser and Lavenberg 1980 (MVA);
Welch 1964 (M/G/1 with set-up: the first customer of a busy period waits for it); Bronson and others, "Metastable
failures in distributed systems", HotOS 2021 (retry storms).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.stats import t as student
from test_theory import MEAN_US, rps, within
from worlds import application, call, compute, costs, plan, service, simulate

from meshsim.costs.books import Costs
from meshsim.plan.plan import Op, Plan, When
from meshsim.results.intervals import mean_interval
from meshsim.results.run import RunResult
from meshsim.scenario.dataplane import DataPlane


def loss(servers: int, places: int, a: float) -> float:
    """Probability that M/M/c/K is full; K = servers + places, a = offered load in erlangs."""
    weights = [
        a**n / math.factorial(min(n, servers)) / servers ** max(0, n - servers) for n in range(servers + places + 1)
    ]
    return weights[-1] / sum(weights)


@pytest.mark.parametrize(("servers", "places", "a"), [(1, 0, 0.8), (1, 3, 0.9), (3, 2, 2.4), (2, 5, 4.0)])
def test_mmck_loses_what_erlang_says(servers: int, places: int, a: float) -> None:
    threads = {"model": "thread-per-request", "threads": servers, "queue": places}
    app = application(service("a", [{"wait": {"mean_us": MEAN_US, "law": "exponential"}}], concurrency=threads))
    result = simulate(plan(app, a * 1e6 / MEAN_US, load={"overload": "simulate"}), 40_000, seed=5, sample=0)
    lost = result.measured_failed / result.measured
    expected = loss(servers, places, a)
    # Losses come in bursts: four times the binomial error covers it, and twice the load does not.
    error = 4 * math.sqrt(expected * (1 - expected) / result.measured)
    assert abs(lost - expected) < error
    assert abs(lost - loss(servers, places, 2 * a)) > error


@pytest.mark.parametrize(("law", "cv"), [("lognormal", 2.0), ("constant", 1.0)])
def test_processor_sharing_depends_on_the_mean_alone(law: str, cv: float) -> None:
    # Turns of 1 % of the mean: the sojourn of M/G/1-PS is that of M/M/1 for every law, within 5 %.
    app = application(service("a", [compute(MEAN_US, law, cv)]))
    sliced = simulate(plan(app, rps(0.5), slice_us=10.0), 12_000, seed=3, sample=0)
    assert sliced.latency.mean() / 1000 == pytest.approx(MEAN_US / 0.5, rel=0.05)


def mva(clients: int, think: float, demands: list[float]) -> tuple[float, float]:
    """Throughput and response time of a closed network of single servers (exact mean value analysis)."""
    queue = [0.0] * len(demands)
    rate = response = 0.0
    for n in range(1, clients + 1):
        times = [d * (1 + q) for d, q in zip(demands, queue, strict=True)]
        response = sum(times)
        rate = n / (think + response)
        queue = [rate * t for t in times]
    return rate, response


@pytest.mark.parametrize("clients", [1, 5, 20])
def test_a_closed_network_is_mva(clients: int) -> None:
    app = application(service("a", [compute(600), call("b")]), service("b", [compute(MEAN_US)]))
    closed = {"clients": clients, "think_ms": 5.0}
    result = simulate(plan(app, 1, nodes=2, load={"closed": closed}), 40_000, seed=7, sample=0)
    rate, response = mva(clients, 5000.0, [600.0, MEAN_US])
    assert within(mean_interval(result.latency), response)
    assert result.measured / result.window_ns * 1000 == pytest.approx(rate, rel=0.02)
    assert not within(mean_interval(result.latency), response * 1.1)


def one_worker(rho: float, book: Costs, workers: int = 1, **choices: Any) -> Plan:
    """Messages of ``MEAN_US`` that arrive at one worker of a proxy (or more), and are gone after it."""
    plane = DataPlane.model_validate(
        {"schema": "meshsim/dataplane/1", "name": "p", "title": "t", "summary": "s", "proxies": [
            {"name": "box", "software": "box", "placed": "pod", "ends": ["destination"], "layer": "L7", "workers": workers,
             "telemetry": False, "terminates_mtls": False, "capture": "explicit", **choices}]})  # fmt: skip
    # The answer must not pass the worker: its pass gets a condition that never holds.
    lowered = plan(application(service("a", [])), rps(rho, workers), cores=64, dataplane=plane, book=book)
    back = np.arange(len(lowered.op)) > int(np.flatnonzero(lowered.op == Op.BODY)[0])
    back &= np.isin(lowered.op, [Op.ACQUIRE, Op.RELEASE, Op.WAIT, Op.WORK])
    return replace(
        lowered, when=np.where(back, When.OTHER_NODE, lowered.when), other=np.where(back, lowered.at, lowered.other)
    )


def mean_with_cold_caches(rho: float, most: float, half: float) -> float:
    """M/M/1 whose first customer after an idle time I works most x I / (I + half) more: Welch's set-up times, I
    exponential with the mean between arrivals."""
    lam = rho / MEAN_US
    u = (np.arange(200_000) + 0.5) / 200_000
    idle = -np.log(u) / lam
    s, s2 = (float(np.mean((most * idle / (idle + half)) ** k)) for k in (1, 2))
    return MEAN_US / (1 - rho) + (2 * s + lam * s2) / (2 * (1 + lam * s))


@pytest.mark.parametrize("rho", [0.1, 0.5])
def test_mm1_with_cold_caches_is_welch(rho: float) -> None:
    most, half_ms = 900.0, 2.0
    book = costs(
        proxy__box__cold={"cpu_ns": most * 1000, "law": "cold", "cv": half_ms},
        proxy__box__http1__request={"wait_ns": MEAN_US * 1000, "law": "exponential"},
    )
    found = mean_interval(simulate(one_worker(rho, book), 60_000, seed=3, sample=0).latency)
    assert within(found, mean_with_cold_caches(rho, most, half_ms * 1000))
    # Negative control: not as if each sleep were of the mean length.
    mean_sleep = MEAN_US / rho
    fixed = most * mean_sleep / (mean_sleep + half_ms * 1000)
    lam = rho / MEAN_US
    wrong = MEAN_US / (1 - rho) + (2 * fixed + lam * fixed**2) / (2 * (1 + lam * fixed))
    assert not within(found, wrong)


@pytest.mark.parametrize("rho", [0.3, 0.7])
def test_mm1_with_set_up_time_is_welch(rho: float) -> None:
    # A worker that sleeps is woken: that is a set-up time. T = 1/(mu - lambda) + (2 s + lambda s2) / (2 (1 + lambda s)).
    setup = 800.0
    service_time: dict[str, Any] = {"wait_ns": MEAN_US * 1000, "law": "exponential"}
    book = costs(
        proxy__box__wakeup={"wait_ns": setup * 1000, "law": "constant"}, proxy__box__http1__request=service_time
    )
    result = simulate(one_worker(rho, book), 60_000, seed=3, sample=0)
    lam, s, s2 = rho / MEAN_US, setup, setup**2
    expected = MEAN_US / (1 - rho) + (2 * s + lam * s2) / (2 * (1 + lam * s))
    assert within(mean_interval(result.latency), expected)
    assert not within(mean_interval(result.latency), MEAN_US / (1 - rho))  # without set-up


def turns_a_message(rho: float, turn: float, transform: Callable[[float], float]) -> float:
    """Turns of an event loop a message, M/G/1: each serves those who came during the one before.

    A turn takes ``turn`` and a time S for each of its n messages; ``transform`` is E[exp(-s S)], s in 1/us. With
    B(z) = transform(lambda (1 - z)), T(z) = exp(-lambda turn (1 - z)) and p the probability that nobody comes during a
    turn (then the next has one message), the generating function of n obeys g(z) = T(z) g(B(z)) + p (z - 1). So
    0 = g(0) = prod T(b_k) - p sum (1 - b_k) prod of T(b_j), j < k; b_0 = 0, b_k+1 = B(b_k). Its derivative at 1 gives
    E[n] = (lambda turn + p) / (1 - rho).
    """
    lam = rho / MEAN_US
    b, product, total = 0.0, 1.0, 0.0
    for _ in range(2000):
        total += (1 - b) * product
        product *= math.exp(-lam * turn * (1 - b))
        b = transform(lam * (1 - b))
    return (1 - rho) / (lam * turn + product / total)


def exponential(s: float) -> float:
    return 1 / (1 + s * MEAN_US)


def constant(s: float) -> float:
    return math.exp(-s * MEAN_US)


@pytest.mark.parametrize(
    ("rho", "turn", "law"), [(0.3, 0.0, exponential), (0.8, 0.0, constant), (0.6, 400.0, exponential), (0.8, 300.0, constant)]
)  # fmt: skip
def test_turns_of_an_event_loop_are_those_of_a_queue_that_is_served_in_gates(
    rho: float, turn: float, law: Callable[[float], float]
) -> None:
    book = costs(
        proxy__box__turn={"cpu_ns": turn * 1000 or 1.0},
        proxy__box__http1__request={"wait_ns": MEAN_US * 1000, "law": law.__name__},
    )
    lowered = one_worker(rho, book)
    tag = next(number for number, each in enumerate(lowered.tags) if each.operation == "proxy.box.turn")
    seen = []
    for seed in range(8):
        result = simulate(lowered, 10_000, seed=seed, sample=0)
        seen.append(result.cpu_ns[:, tag].sum() / (turn * 1000 or 1.0) / result.measured)
    error = student.ppf(0.995, len(seen) - 1) * np.std(seen, ddof=1) / math.sqrt(len(seen))
    expected = turns_a_message(rho, turn, law)
    assert abs(np.mean(seen) - expected) < error < 0.03
    # Neither one for each message, nor one for each wake-up.
    assert expected + error < 1
    assert abs(np.mean(seen) - (1 - rho)) > 3 * error


# Retry storms -------------------------------------------------------------------------------------------------------


def storm(**retries: Any) -> RunResult:
    """Load 0.7 and a retry after each time-out; b is ten times as slow from 1 s to 1.5 s. Runs for 12 s or so."""
    app = application(service("a", [call("b")]), service("b", [compute(1000, "exponential")]))
    rules = [
        {"to": "b", "retries": {"max": 4, "per_try_timeout_ms": 20, "backoff": {"base_ms": 5, "max_ms": 20}, **retries}}
    ]
    trigger = [{"kind": "slow-pod", "service": "b", "factor": 10.0, "at_s": 1.0, "for_s": 0.5}]
    return simulate(plan(app, 700, nodes=1, resilience=rules, faults=trigger), 8000, warmup=0.0, seed=2, sample=0)


def lost(result: RunResult, since: float, until: float) -> float:
    """Share of failed answers in a span of time, s."""
    rows = [row for row in result.timeline.rows() if since < row["until_s"] <= until]
    return sum(r["failed_rps"] for r in rows) / sum(r["failed_rps"] + r["good_rps"] for r in rows)


def test_a_retry_storm_outlasts_its_trigger_and_a_budget_prevents_it() -> None:
    # Without trigger both are well: at load 0.7 a wait of 20 ms is rare.
    without, budgeted = storm(), storm(budget={"share": 0.1, "min_concurrency": 1})
    for result in (without, budgeted):
        assert lost(result, 0.0, 1.0) < 0.01
    # The trigger is over at 1.5 s. Each call now asks for up to five pieces of work of which none is heard: load 3.5.
    # That state feeds itself; seconds later nearly everything still fails.
    assert lost(without, 5.0, 10.0) > 0.9
    # With a budget at most a tenth of what is under way are retries: load 0.77, and the queue drains.
    assert lost(budgeted, 5.0, 10.0) < 0.02
    assert budgeted.counts["retries"] < without.counts["retries"] / 5


@pytest.mark.parametrize(("rho", "law"), [(0.3, "exponential"), (0.7, "exponential"), (0.7, "constant")])
def test_what_is_sent_after_a_turn_waits_for_those_behind_it_too(rho: float, law: str) -> None:
    """A queue M/G/1 that is served in gates: of its wait W a message spends W rho / (1 + rho) more when it is served.

    It comes at any time of a cycle C, waits for the rest of it and for those who came before: E[C^2] / 2 E[C] (1 + rho),
    which is Pollaczek and Khinchine's W. Those who come in the rest of the cycle are served behind it: rho E[C^2] / 2 E[C].
    """
    book = costs(proxy__box__http1__request={"wait_ns": MEAN_US * 1000, "law": law})
    result = simulate(one_worker(rho, book, sends="after-turn"), 60_000, seed=3, sample=0)
    at_once = simulate(one_worker(rho, book), 60_000, seed=3, sample=0)
    wait = rho * MEAN_US / (1 - rho) * (1.0 if law == "exponential" else 0.5)
    expected = MEAN_US + wait * (1 + rho / (1 + rho))
    assert within(mean_interval(result.latency), expected)
    assert within(mean_interval(at_once.latency), MEAN_US + wait)
    # On the same random numbers both have the same wait, and chance cancels.
    seen = (result.latency.mean() - at_once.latency.mean()) / (at_once.latency.mean() - MEAN_US * 1000)
    assert seen == pytest.approx(rho / (1 + rho), rel=0.03)
    assert not within(mean_interval(result.latency), MEAN_US + wait)  # negative control: nobody waits for the turn
