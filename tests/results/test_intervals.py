"""Intervals: whether they contain the truth as often as they say, and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import optimize, stats

from meshsim.results.histogram import BatchedHistogram
from meshsim.results.intervals import (
    RunTooShort,
    at_confidence,
    estimate_quantile,
    mean_difference,
    mean_interval,
    quantile_difference,
    quantile_interval,
)
from meshsim.results.rows import Estimate
from meshsim.scenario.base import MeshsimError

Floats = NDArray[np.float64]
BATCHES = 20
MS = 1_000_000
"""One unit of the made-up latencies below is a millisecond, so that buckets are as fine as in practice."""


def histogram(values: Floats) -> BatchedHistogram:
    """Of one study: latencies in order of the requests."""
    return BatchedHistogram.from_values(np.rint(values * MS).astype(np.int64).reshape(BATCHES, -1))


def independent(studies: int, requests: int) -> tuple[Floats, Floats]:
    """Latencies without memory, mean 1, and the same with a second stage: (studies, requests) each."""
    random = np.random.default_rng(20_240_101)
    first, second = random.standard_exponential((2, studies, requests))
    return first, first + second


def mm1(studies: int, requests: int, rho: float, speed: float) -> tuple[Floats, Floats]:
    """Times in M/M/1 (mean service 1) at load ``rho``, and of the same requests at a faster server.

    Lindley's recursion; both queues begin in their steady state, so there is no warm-up to cut off.
    """
    random = np.random.default_rng(20_240_102)
    chance = random.random(studies)

    def steady(load: float, mean: float) -> Floats:
        """Waiting time at the quantiles ``chance``: 0 with probability 1 - load, else exponential."""
        return np.maximum(0.0, -mean / (1 - load) * np.log((1 - chance) / load))

    slow, fast = steady(rho, 1.0), steady(rho / speed, 1 / speed)
    times = np.empty((2, requests, studies))
    for request in range(requests):
        service, gap = random.standard_exponential((2, studies))
        gap /= rho
        times[0, request] = slow + service
        times[1, request] = fast + service / speed
        slow = np.maximum(0.0, slow + service - gap)
        fast = np.maximum(0.0, fast + service / speed - gap)
    return times[0].T, times[1].T


def mg1(studies: int, requests: int, rho: float, speed: float) -> tuple[Floats, Floats]:
    """The same for M/H2/1, service of mean 1 and squared coefficient of variation 2.125, begun empty and warmed up."""
    random = np.random.default_rng(20_240_104)
    warmup, slow, fast = 2000, np.zeros(studies), np.zeros(studies)
    times = np.empty((2, requests, studies))
    for request in range(-warmup, requests):
        service = random.standard_exponential(studies) * np.where(random.random(studies) < 0.8, 0.625, 2.5)
        gap = random.standard_exponential(studies) / rho
        if request >= 0:
            times[0, request], times[1, request] = slow + service, fast + service / speed
        slow = np.maximum(0.0, slow + service - gap)
        fast = np.maximum(0.0, fast + service / speed - gap)
    return times[0].T, times[1].T


class HyperexponentialQueue:
    """Time in M/H2/1 by the transform of Pollaczek and Khinchine: here a sum of two exponentials."""

    def __init__(self, rate: float, speed: float) -> None:
        shares, rates = (0.8, 0.2), (speed / 0.625, speed / 2.5)
        load = rate / speed
        below = np.poly1d([1, rates[0]]) * np.poly1d([1, rates[1]])
        above = shares[0] * rates[0] * np.poly1d([1, rates[1]]) + shares[1] * rates[1] * np.poly1d([1, rates[0]])
        # (1 - load) s B(s) / (s - rate + rate B(s)), where s divides out.
        whole, rest = (np.poly1d([1, -rate]) * below + rate * above) / np.poly1d([1, 0])
        assert np.allclose(rest.coeffs, 0)
        self.decay = -whole.roots
        self.weight = (1 - load) * above(-self.decay) / whole.deriv()(-self.decay) / self.decay

    def mean(self) -> float:
        return float((self.weight / self.decay).sum())

    def ppf(self, p: float) -> float:
        return float(optimize.brentq(lambda t: (self.weight * np.exp(-self.decay * t)).sum() - (1 - p), 0, 1000))


def test_the_law_of_a_queue_with_uneven_service_is_that_of_pollaczek_and_khinchine():
    law = HyperexponentialQueue(0.6, 1.0)
    assert law.weight.sum() == pytest.approx(1)
    assert law.mean() == pytest.approx(1 + 0.6 * (1 + 2.125) / 2 / (1 - 0.6))


QUANTILES = (0.5, 0.9, 0.99)
Law = stats.rv_continuous


def coverages(a: Floats, b: Floats, law_a: Law, law_b: Law) -> dict[str, float]:
    """How often the intervals of ``a`` and of ``b`` - ``a`` contain the truth, where they are given."""
    hits: dict[str, list[bool]] = {}

    def count(name: str, estimate: Estimate, truth: float) -> None:
        given = hits.setdefault(name, [])
        if estimate.value is not None:
            assert estimate.low <= estimate.value <= estimate.high
            given.append(estimate.low <= truth * 1000 <= estimate.high)

    for one, other in zip(a, b, strict=True):
        of_a, of_b = histogram(one), histogram(other)
        count("mean", mean_interval(of_a), law_a.mean())
        count("mean difference", mean_difference(of_b, of_a), law_b.mean() - law_a.mean())
        for p in QUANTILES:
            name, interval = f"p{100 * p:g}", estimate_quantile(of_a, p)
            difference, apart = quantile_difference(of_b, of_a, p), law_b.ppf(p) - law_a.ppf(p)
            count(name, interval, law_a.ppf(p))
            count(f"{name} difference", difference, apart)
            # Negative controls: a truth that is half as large again.
            count(f"{name} wrong", interval, 1.5 * law_a.ppf(p))
            count(f"{name} difference wrong", difference, 1.5 * apart)
    refused = {name: 1 - len(given) / len(a) for name, given in hits.items()}
    assert max(refused.values()) <= 0.02, refused
    print("refused", refused)
    return {name: sum(given) / len(given) for name, given in hits.items()}


def judge(found: dict[str, float], low: float, high: float) -> None:
    print({name: round(float(share), 4) for name, share in found.items()})
    for name, share in found.items():
        if "wrong" in name:
            # A difference of p99 is known least well: half as much again may lie within what a short run says.
            assert share < (0.3 if name.startswith("p99 difference") else 0.05), (name, share)
        else:
            assert low <= share <= high, (name, share)


def test_intervals_of_independent_requests_cover_the_truth_and_miss_what_is_wrong():
    judge(coverages(*independent(200, 10_000), stats.expon(), stats.gamma(2)), 0.88, 0.99)


def test_requests_that_depend_on_each_other_give_wider_intervals_than_the_same_ones_shuffled():
    times, _ = mm1(4, 20_000, 0.7, 1.25)
    for one in times:
        shuffled = np.random.default_rng(7).permutation(one)
        for interval in (mean_interval, lambda h: quantile_interval(h, 0.5)):
            true, naive = interval(histogram(one)), interval(histogram(shuffled))
            assert naive.value == pytest.approx(true.value)
            assert true.high - true.low > 2 * (naive.high - naive.low)


def test_pairing_takes_out_what_both_runs_have_in_common():
    random = np.random.default_rng(11)
    common, own = random.standard_exponential((2, 20_000))
    paired, base = histogram(common + 0.3 + own / 100), histogram(common)
    unrelated = histogram(random.standard_exponential(20_000) + 0.3 + own / 100)
    for difference in (mean_difference, lambda a, b: quantile_difference(a, b, 0.9)):
        close, wide = difference(paired, base), difference(unrelated, base)
        assert close.high - close.low < (wide.high - wide.low) / 5
        assert close.low <= 310 <= close.high


def test_batches_of_unequal_size_give_the_interval_of_a_ratio():
    values = [[10, 20], [30], [40, 50, 60], [70], [80] * 3]
    found = mean_interval(BatchedHistogram.from_values([[1000 * v for v in batch] for batch in values]))
    mean, size = 520 / 10, 10 / 5
    deviations = [(sum(batch) - mean * len(batch)) / size for batch in values]
    spread = math.sqrt(sum(d * d for d in deviations) / 4)
    # Willink's adjustment, from the third moment.
    lean = sum(d**3 for d in deviations) * 5 / (4 * 3) / spread**3 / (6 * math.sqrt(5))
    assert lean > 0.02
    low, high = (
        mean - spread / math.sqrt(5) * (math.cbrt(1 + 6 * lean * (t - lean)) - 1) / (2 * lean)
        for t in (2.7764451, -2.7764451)
    )
    assert (found.value, found.low, found.high) == pytest.approx((mean, low, high))
    assert high - mean > 1.2 * (mean - low)


def test_equal_latencies_give_an_interval_inside_their_bucket():
    constant = BatchedHistogram.from_values(np.full((20, 100), 5_000_000))
    assert mean_interval(constant) == Estimate(value=5000, low=5000, high=5000)
    found = quantile_interval(constant, 0.9)
    assert found.low >= 5000 * (1 - 2**-8)
    assert found.high <= 5000 * (1 + 2**-8)
    assert quantile_difference(constant, constant, 0.9) == Estimate(value=0, low=0, high=0)


@pytest.mark.parametrize(("p", "needed"), [(0.5, 40), (0.9, 100), (0.99, 1000), (0.999, 10_000), (0.01, 1000)])
def test_a_run_too_short_for_a_quantile_is_refused_with_the_length_that_it_takes(p, needed):
    values = np.random.default_rng(3).integers(10**6, 2 * 10**6, needed)
    enough, short = (BatchedHistogram.from_values(np.array_split(values[:n], 20)) for n in (needed, needed - 1))
    assert estimate_quantile(enough, p).low is not None
    message = f"{p:g} quantile needs at least {needed} requests; this run has {needed - 1}"
    with pytest.raises(RunTooShort, match=message) as caught:
        quantile_interval(short, p)
    assert caught.value.needed_requests == needed
    refused = Estimate(value=None, note=f"needs at least {needed} requests")
    assert estimate_quantile(short, p) == quantile_difference(short, enough, p) == refused


def test_a_run_whose_batches_differ_too_much_does_not_bound_its_tail():
    # One batch of twenty holds the whole upper twentieth: another run might have had none of it, or two.
    values = np.random.default_rng(3).integers(10**6, 2 * 10**6, (20, 1000))
    values[7] += 10**7
    with pytest.raises(RunTooShort) as caught:
        quantile_interval(BatchedHistogram.from_values(values), 0.96)
    assert 20_000 < caught.value.needed_requests < 200_000
    assert quantile_interval(BatchedHistogram.from_values(values), 0.5).high < 2000


def test_an_empty_run_has_no_mean_and_a_short_one_no_interval():
    assert mean_interval(BatchedHistogram(20)) == Estimate(value=None, note="needs at least 40 requests")
    assert mean_difference(BatchedHistogram(20), BatchedHistogram(20)).value is None
    one = BatchedHistogram.from_values([[1500], *[[]] * 19])
    assert mean_interval(one) == Estimate(value=1.5, note="no interval: needs at least 40 requests")
    assert mean_difference(one, one) == Estimate(value=0, note="no interval: needs at least 40 requests")
    single = BatchedHistogram.from_values([[1000, 3000]])
    assert mean_interval(single) == Estimate(value=2, note="no interval: the values are in one batch")


@pytest.mark.parametrize(
    ("attempt", "message"),
    [
        (lambda h: quantile_interval(h, 1.0), "quantile 1 was asked for"),
        (lambda h: quantile_difference(h, h, 0.0), "quantile 0 was asked for"),
        (lambda h: quantile_interval(BatchedHistogram(1), 0.5), "1 batch"),
        (lambda h: quantile_difference(h, BatchedHistogram(3), 0.5), "20 and 3 batches"),
        (lambda h: mean_difference(BatchedHistogram(1), BatchedHistogram(1)), "1 and 1 batches"),
    ],
)
def test_wrong_use_of_intervals_is_refused_with_the_value(attempt, message):
    with pytest.raises(MeshsimError, match=message):
        attempt(BatchedHistogram(20))


@pytest.mark.statistical
@pytest.mark.parametrize("requests", [10_000, 40_000])
def test_95_percent_intervals_of_independent_requests_cover_93_to_97_percent(requests):
    judge(coverages(*independent(1000, requests), stats.expon(), stats.gamma(2)), 0.93, 0.97)


@pytest.mark.statistical
def test_95_percent_intervals_of_a_queue_cover_93_to_97_percent():
    rho, speed = 0.7, 1.25
    laws = stats.expon(scale=1 / (1 - rho)), stats.expon(scale=1 / (speed - rho))
    judge(coverages(*mm1(1000, 60_000, rho, speed), *laws), 0.93, 0.97)


@pytest.mark.statistical
def test_95_percent_intervals_of_a_queue_with_uneven_service_cover_93_to_97_percent():
    rho, speed = 0.6, 1.25
    laws = HyperexponentialQueue(rho, 1.0), HyperexponentialQueue(rho, speed)
    judge(coverages(*mg1(1000, 60_000, rho, speed), *laws), 0.93, 0.97)


def test_another_confidence_moves_the_ends_as_student_s_t_does() -> None:
    usual = Estimate(value=100.0, low=90.0, high=115.0)
    wider, narrower = at_confidence(usual, 0.99, 20), at_confidence(usual, 0.5, 20)
    t = [float(stats.t.ppf((1 + c) / 2, 19)) for c in (0.95, 0.99, 0.5)]
    assert (wider.low, wider.high) == pytest.approx((100 - 10 * t[1] / t[0], 100 + 15 * t[1] / t[0]))
    assert (narrower.low, narrower.high) == pytest.approx((100 - 10 * t[2] / t[0], 100 + 15 * t[2] / t[0]))
    assert at_confidence(Estimate(value=None, note="too short"), 0.99, 20).value is None
