"""The histogram against the values themselves."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshsim.results.histogram import LARGEST, BatchedHistogram, bucket_bounds, bucket_of, buckets_of
from meshsim.scenario.base import MeshsimError

VALUES = st.integers(0, LARGEST)
SUB_BITS = st.integers(1, 12)


@given(VALUES, SUB_BITS)
def test_a_bucket_holds_its_value_and_is_no_wider_than_promised(value, sub_bits):
    low, above = bucket_bounds(bucket_of(value, sub_bits), sub_bits)
    assert low <= value < above
    assert above - low <= max(1, low >> sub_bits)


@given(st.integers(0, 50_000), SUB_BITS)
def test_buckets_follow_one_another_without_gap(index, sub_bits):
    low, above = bucket_bounds(index, sub_bits)
    assert bucket_bounds(index + 1, sub_bits)[0] == above
    assert bucket_of(low, sub_bits) == bucket_of(above - 1, sub_bits) == index


@given(st.lists(VALUES, min_size=1, max_size=50), SUB_BITS)
def test_one_value_and_many_at_once_fall_into_the_same_buckets(values, sub_bits):
    edges = [v for value in values for v in (value, (1 << value.bit_length()) - 1) if v <= LARGEST]
    together = buckets_of(np.array(edges, np.int64), sub_bits)
    assert together.tolist() == [bucket_of(value, sub_bits) for value in edges]


def drawn(batches: int = 4, each: int = 700) -> np.ndarray:
    return np.random.default_rng(5).lognormal(13, 1.5, (batches, each)).astype(np.int64)


def test_adding_one_by_one_counts_the_same_as_adding_an_array():
    values = drawn()
    one_by_one = BatchedHistogram(4)
    for batch, row in enumerate(values.tolist()):
        for value in row:
            one_by_one.add(batch, value)
    at_once = BatchedHistogram.from_values(values)
    assert np.array_equal(one_by_one.cells, at_once.cells)
    assert one_by_one.sum_ns == at_once.sum_ns == values.sum(axis=1).tolist()
    assert one_by_one.counts.tolist() == [700] * 4
    assert one_by_one.total == 2800


@pytest.mark.parametrize("sub_bits", [5, 8])
@pytest.mark.parametrize("p", [0.0, 0.001, 0.5, 0.9, 0.99, 0.999, 1.0])
def test_quantiles_are_within_the_stated_relative_error(p, sub_bits):
    values = drawn()
    exact = float(np.quantile(values, p, method="inverted_cdf"))
    assert abs(BatchedHistogram.from_values(values, sub_bits).quantile(p) - exact) <= exact * 2.0**-sub_bits


def test_small_values_are_exact():
    histogram = BatchedHistogram.from_values([[0, 0, 3, 7], [7, 7, 8, 500]])
    assert [histogram.quantile(p) for p in (0, 0.25, 0.375, 0.75, 0.875, 1)] == [0, 0, 3, 7, 8, 500]
    assert histogram.cdf(7) == 0.75
    assert histogram.cdf(7.9) == 0.75
    assert histogram.cdf(-1) == 0
    assert histogram.cdf(10**9) == 1


def test_cdf_undoes_quantile():
    histogram = BatchedHistogram.from_values(drawn())
    for p in np.linspace(0.01, 0.99, 37):
        assert histogram.cdf(histogram.quantile(p)) == pytest.approx(p, abs=1e-9)


def test_mean_is_exact_even_where_the_sum_does_not_fit_into_64_bits():
    histogram = BatchedHistogram.from_values([[LARGEST, LARGEST - 1, LARGEST - 2]])
    assert histogram.sum_ns == [3 * LARGEST - 3]
    assert histogram.mean() == float(LARGEST - 1)


def test_leaving_a_batch_out_is_the_quantile_of_the_others():
    values = drawn()
    histogram = BatchedHistogram.from_values(values)
    others = [BatchedHistogram.from_values(np.delete(values, b, axis=0)).quantile(0.9) for b in range(4)]
    assert [histogram.quantile(0.9, set(range(4)) - {b}) for b in range(4)] == others
    assert len(set(others)) == 4


def test_pooling_counts_both():
    values = drawn()
    small, large = BatchedHistogram.from_values(values // 1000), BatchedHistogram.from_values(values)
    small.merge(large)
    both = BatchedHistogram.from_values(np.hstack([values // 1000, values]))
    assert np.array_equal(small.cells, both.cells)
    assert small.sum_ns == both.sum_ns
    large.merge(BatchedHistogram(4))
    assert large.total == values.size


def test_a_copy_and_a_pickle_count_on_by_themselves():
    histogram = BatchedHistogram.from_values([[100, 200]])
    for other in (copy.deepcopy(histogram), pickle.loads(pickle.dumps(histogram))):
        other.add(0, 100)
        assert (other.total, other.sum_ns) == (3, [400])
        other.add(0, 100_000)
        assert [other.quantile(p) for p in (0.25, 0.75)] == [100, 200]
    assert histogram.total == 2


def test_memory_is_bounded_by_the_range_and_not_by_the_requests():
    few, many = BatchedHistogram.from_values([[10**9]]), BatchedHistogram.from_values([[10**9] * 100_000])
    assert few.memory_bytes == many.memory_bytes < 64_000
    assert BatchedHistogram(20).memory_bytes == 0
    everything = BatchedHistogram(1)
    everything.add(0, LARGEST)
    assert everything.memory_bytes <= 56 * 256 * 8


@pytest.mark.parametrize(("batch", "value"), [(0, -1), (-1, 1), (2, 1), (0, LARGEST + 1), (0, 1 << 70)])
def test_a_wrong_value_or_batch_is_refused_and_leaves_no_trace(batch, value):
    histogram = BatchedHistogram(2)
    with pytest.raises(MeshsimError, match=f"cannot count {value} ns in batch {batch}"):
        histogram.add(batch, value)
    assert histogram.total == 0
    assert histogram.sum_ns == [0, 0]


@pytest.mark.parametrize(
    ("attempt", "message"),
    [
        (lambda: BatchedHistogram(0), "batches is 0"),
        (lambda: BatchedHistogram(1, 0), "sub_bits is 0"),
        (lambda: BatchedHistogram(1, 17), "sub_bits is 17"),
        (lambda: BatchedHistogram.from_values([[1.5]]), "float64"),
        (lambda: BatchedHistogram.from_values([[3], [2, -7]]), "cannot count -7 ns in batch 1"),
        (lambda: BatchedHistogram(1).mean(), "empty"),
        (lambda: BatchedHistogram(1).quantile(0.5), "empty"),
        (lambda: BatchedHistogram.from_values([[], []]).cdf(1), "empty"),
        (lambda: BatchedHistogram.from_values([[1]]).quantile(99), "quantile 99 "),
        (lambda: BatchedHistogram(2).merge(BatchedHistogram(3)), "3 batches"),
        (lambda: BatchedHistogram(2).merge(BatchedHistogram(2, 5)), "sub_bits 5"),
    ],
)
def test_wrong_use_is_refused_with_the_value(attempt, message):
    with pytest.raises(MeshsimError, match=message):
        attempt()
