"""MSER-5: how much of a run's beginning to leave out."""

from __future__ import annotations

import numpy as np
import pytest
from worlds import application, compute, plan, service, simulate

from meshsim.results.transient import mser5


def series(length: int, decay: float, height: float = 20.0) -> np.ndarray:
    random = np.random.default_rng(5)
    return 100 + height * 10 * np.exp(-np.arange(length) / decay) + random.normal(0, 20, length)


def test_a_series_that_is_settled_from_the_start_loses_little() -> None:
    cut = [mser5(np.random.default_rng(seed).exponential(1, 1000)) for seed in range(40)]
    assert sum(one is not None and one <= 50 for one in cut) >= 35


@pytest.mark.parametrize("decay", [5, 20, 60])
def test_a_transient_is_cut_off_and_not_much_more(decay: int) -> None:
    cut = mser5(series(2000, decay))
    # Of a start 200 above 100 with noise of 20: still 10 too high after 3 times the decay.
    assert 2 * decay <= cut <= 12 * decay


def test_a_series_that_has_not_settled_says_so() -> None:
    assert mser5(np.arange(1000.0)) is None
    assert mser5(series(1000, 2000)) is None
    assert mser5([1.0] * 19) is None


def test_constant_latencies_need_no_warm_up() -> None:
    assert mser5([7.0] * 100) == 0


def test_the_cut_is_where_the_sum_of_its_definition_is_least() -> None:
    values = series(400, 15)
    means = values.reshape(-1, 5).mean(axis=1)
    by_hand = [((means[d:] - means[d:].mean()) ** 2).sum() / (len(means) - d) ** 2 for d in range(len(means) - 2)]
    assert mser5(values) == 5 * int(np.argmin(by_hand))


def test_a_queue_that_begins_empty_is_found_to_fill() -> None:
    # D/D/1 with more work than it can do would never settle; a busy M/M/1 settles after some hundred requests.
    busy = simulate(plan(application(service("a", [compute(100)])), 9000), 3000, warmup=0.0, sample=3000)
    spans = [record.spans[0] for record in sorted(busy.records, key=lambda record: record.request)]
    cut = mser5([span.end_ns - span.start_ns for span in spans])
    assert cut is None or cut < 1500
