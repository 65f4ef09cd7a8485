"""Where queueing theory has an answer, the simulator meets it within its own 95 % interval.

Sources: Kleinrock, Queueing Systems I (M/M/1, M/M/c by Erlang C, M/G/1 by Pollaczek and Khinchine); Burke's theorem
for the tandem; Nelson and Tantawi 1988 (after Flatto and Hahn 1984) for the two-way fork-join, where it is exact.
With the seeds fixed here, every mean lies within the run's own 95 % interval. The negative controls, and the quantiles,
widen it to 99.9 %: a wrong law still falls outside.
"""

from __future__ import annotations

import math

import pytest
from worlds import application, call, compute, plan, service, simulate

from meshsim.results.intervals import mean_interval, quantile_interval
from meshsim.results.rows import Estimate
from meshsim.results.run import RunResult

MEAN_US = 1000.0
LOADS = (0.3, 0.7, 0.9)
REQUESTS = {0.3: 12_000, 0.7: 30_000, 0.9: 60_000}
WIDER = 3.883 / 2.093
"""Student t with 19 degrees of freedom: 99.9 % against 95 %."""


def erlang_c(servers: int, rho: float) -> float:
    """Probability of waiting in M/M/c."""
    a = servers * rho
    top = a**servers / math.factorial(servers) / (1 - rho)
    return top / (sum(a**k / math.factorial(k) for k in range(servers)) + top)


def rps(rho: float, servers: int = 1) -> float:
    """Arrival rate that loads ``servers`` to ``rho``."""
    return rho * servers * 1e6 / MEAN_US


def one_station(rho: float, *, law: str = "exponential", cv: float = 1.0, cores: int = 1, seed: int = 3) -> RunResult:
    """One service on one node: its CPU is the queue."""
    app = application(service("a", [compute(MEAN_US, law, cv)]))
    return simulate(plan(app, rps(rho, cores), cores=cores), REQUESTS[rho], seed=seed, sample=0)


def within(measured: Estimate, expected_us: float, wider: float = 1.0) -> bool:
    """The interval leans to one side, so each side is widened by itself."""
    assert measured.value is not None
    assert measured.low is not None
    assert measured.high is not None
    above, below = (measured.high - measured.value) * wider, (measured.value - measured.low) * wider
    return measured.value - below <= expected_us <= measured.value + above


def pollaczek_khinchine(rho: float, scv: float) -> float:
    return MEAN_US * (1 + rho * (1 + scv) / 2 / (1 - rho))


@pytest.mark.parametrize("rho", LOADS)
def test_mm1_mean_sojourn_is_that_of_theory(rho: float) -> None:
    assert within(mean_interval(one_station(rho).latency), MEAN_US / (1 - rho))


@pytest.mark.parametrize("rho", LOADS)
def test_mmc_mean_sojourn_is_erlang_c(rho: float) -> None:
    cores = 4
    expected = MEAN_US * (1 + erlang_c(cores, rho) / cores / (1 - rho))
    assert within(mean_interval(one_station(rho, cores=cores).latency), expected)


@pytest.mark.parametrize("rho", LOADS)
def test_md1_mean_sojourn_is_half_the_wait_of_mm1(rho: float) -> None:
    assert within(mean_interval(one_station(rho, law="constant").latency), pollaczek_khinchine(rho, 0.0))


@pytest.mark.parametrize("rho", LOADS)
@pytest.mark.parametrize(("law", "cv"), [("lognormal", 1.5), ("gamma", 0.5)])
def test_mg1_mean_sojourn_is_pollaczek_khinchine(rho: float, law: str, cv: float) -> None:
    assert within(mean_interval(one_station(rho, law=law, cv=cv).latency), pollaczek_khinchine(rho, cv * cv))


@pytest.mark.parametrize("rho", LOADS)
def test_tandem_line_is_the_sum_of_its_queues(rho: float) -> None:
    # Burke: the departures of the first M/M/1 are Poisson, so the second is an M/M/1 of its own.
    app = application(
        service("a", [compute(MEAN_US), call("b")]),
        service("b", [compute(MEAN_US)]),
    )
    result = simulate(plan(app, rps(rho), nodes=2), REQUESTS[rho], seed=5, sample=0)
    assert within(mean_interval(result.latency), 2 * MEAN_US / (1 - rho))


@pytest.mark.parametrize("rho", LOADS)
def test_fork_join_of_two_is_nelson_and_tantawi(rho: float) -> None:
    app = application(
        service("a", [{"parallel": [call("b"), call("c")]}]),
        service("b", [compute(MEAN_US)]),
        service("c", [compute(MEAN_US)]),
    )
    result = simulate(plan(app, rps(rho), nodes=3), REQUESTS[rho], seed=7, sample=0)
    assert within(mean_interval(result.latency), (12 - rho) / 8 * MEAN_US / (1 - rho))


@pytest.mark.parametrize("rho", LOADS)
def test_wrong_service_law_is_noticed(rho: float) -> None:
    # Negative control: M/D/1 measured against M/M/1's formula, and M/M/1 against M/D/1's.
    assert not within(mean_interval(one_station(rho, law="constant").latency), MEAN_US / (1 - rho), WIDER)
    assert not within(mean_interval(one_station(rho).latency), pollaczek_khinchine(rho, 0.0), WIDER)


def test_mm1_quantiles_are_exponential() -> None:
    rho = 0.7
    latency = one_station(rho).latency
    mean = MEAN_US / (1 - rho)
    for p in (0.5, 0.9, 0.99):
        measured = quantile_interval(latency, p)
        assert measured.low is not None
        assert measured.high is not None
        slack = (WIDER - 1) * (measured.high - measured.low) / 2
        assert measured.low - slack <= -math.log(1 - p) * mean <= measured.high + slack


def test_small_time_slices_approach_processor_sharing() -> None:
    # M/G/1-PS depends on the mean alone: with short turns a heavy-tailed law must come down towards M/M/1's answer.
    app = application(service("a", [compute(MEAN_US, "lognormal", 2.0)]))
    sliced = simulate(plan(app, rps(0.7), slice_us=20.0), 6_000, seed=3, sample=0)
    fifo = simulate(plan(app, rps(0.7)), 6_000, seed=3, sample=0)
    sharing = MEAN_US / 0.3
    assert abs(sliced.latency.mean() / 1000 - sharing) < 0.25 * sharing
    assert fifo.latency.mean() / 1000 > 1.6 * sharing
