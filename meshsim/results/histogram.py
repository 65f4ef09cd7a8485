"""Latency in log-linear buckets: bounded memory, a stated relative error, exact sums.

Values below 2**(sub_bits + 1) ns have a bucket each. Above, every octave is cut into 2**sub_bits buckets of
equal width, so a bucket is never wider than 2**-sub_bits of its lower bound. Only integer shifts and
additions: every engine can do the same arithmetic and get the same buckets. (The layout is that of Gil Tene's
HdrHistogram.)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meshsim.plan.plan import Ints
from meshsim.scenario.base import MeshsimError

Floats = NDArray[np.float64]

LARGEST = 1 << 62
"""Largest value that can be counted, ns: 146 years."""
MOST_SUB_BITS = 16


def bucket_of(value: int, sub_bits: int) -> int:
    """Number of the bucket that counts ``value`` (0 … LARGEST)."""
    shift = value.bit_length() - sub_bits - 1
    return value if shift <= 0 else (shift << sub_bits) + (value >> shift)


def bucket_bounds(index: int, sub_bits: int) -> tuple[int, int]:
    """Smallest value of a bucket, and the smallest value above it."""
    shift = max(0, (index >> sub_bits) - 1)
    low = (index - (shift << sub_bits)) << shift
    return low, low + (1 << shift)


def buckets_of(values: Ints, sub_bits: int) -> Ints:
    """``bucket_of`` for an array."""
    bits = np.frexp(values.astype(np.float64))[1].astype(np.int64)
    # A float has 53 bits: a large value may have been rounded up to the next power of two.
    bits -= (values >> np.maximum(bits - 1, 0) == 0) & (bits > 0)
    shift = np.maximum(bits - sub_bits - 1, 0)
    index: Ints = (shift << sub_bits) + (values >> shift)
    return index


class BatchedHistogram:
    """Counts of values (ns) in batches of consecutive requests, whose spread gives intervals.

    A quantile is within 2**-``sub_bits`` (relative) or 1 ns of the quantile of the values themselves. Wrong
    values and batches raise MeshsimError.
    """

    def __init__(self, batches: int, sub_bits: int = 8) -> None:
        if batches < 1:
            raise MeshsimError(f"batches is {batches}; a histogram needs at least 1")
        if not 1 <= sub_bits <= MOST_SUB_BITS:
            raise MeshsimError(f"sub_bits is {sub_bits}; it must be from 1 to {MOST_SUB_BITS}")
        self.batches = batches
        self.sub_bits = sub_bits
        self.sum_ns = [0] * batches
        """Exact sum of the values of each batch."""
        self._hold(np.zeros((batches, 0), np.int64))

    @classmethod
    def from_values(cls, values_by_batch: Sequence[ArrayLike], sub_bits: int = 8) -> BatchedHistogram:
        """Count arrays of integers at once: one array a batch, or the rows of a matrix."""
        histogram = cls(len(values_by_batch), sub_bits)
        for batch, given in enumerate(values_by_batch):
            values = np.asarray(given)
            if not values.size:
                continue
            if not np.issubdtype(values.dtype, np.integer):
                raise MeshsimError(f"batch {batch} holds {values.dtype} values; a histogram counts whole nanoseconds")
            values = values.astype(np.int64)
            if int(values.min()) < 0 or int(values.max()) > LARGEST:
                raise histogram._refusal(batch, int(values.min()) if int(values.min()) < 0 else int(values.max()))
            counts = np.bincount(buckets_of(values, sub_bits))
            histogram._grow(len(counts) - 1)
            histogram.cells[batch, : len(counts)] = counts
            # In two halves, because the sum of many large values does not fit into 64 bits.
            histogram.sum_ns[batch] = (int((values >> 32).sum()) << 32) + int((values & 0xFFFFFFFF).sum())
        return histogram

    def add(self, batch: int, value: int) -> None:
        """Count one value (ns). The arithmetic of ``bucket_of``, written out because this is the hot path."""
        if value < 0 or batch < 0:
            raise self._refusal(batch, value)
        shift = value.bit_length() - self._exact_bits
        index = value if shift <= 0 else (shift << self.sub_bits) + (value >> shift)
        try:
            self._rows[batch][index] += 1
        except IndexError:
            if batch >= self.batches or value > LARGEST:
                raise self._refusal(batch, value) from None
            self._grow(index)
            self._rows[batch][index] += 1
        self.sum_ns[batch] += value

    def merge(self, other: BatchedHistogram) -> None:
        """Pool: add the counts of ``other`` batch by batch. Batches and resolution must be the same."""
        if (other.batches, other.sub_bits) != (self.batches, self.sub_bits):
            raise MeshsimError(
                f"cannot pool a histogram of {other.batches} batches, sub_bits {other.sub_bits} "
                f"into one of {self.batches} batches, sub_bits {self.sub_bits}"
            )
        columns = other.cells.shape[1]
        if columns:
            self._grow(columns - 1)
            self.cells[:, :columns] += other.cells
        self.sum_ns = [mine + more for mine, more in zip(self.sum_ns, other.sum_ns, strict=True)]

    @classmethod
    def joined(cls, parts: Sequence[BatchedHistogram]) -> BatchedHistogram:
        """One after the other: the batches of the first, then those of the second, … All of one resolution."""
        if len({part.sub_bits for part in parts}) != 1:
            raise MeshsimError(f"cannot join {len(parts)} histograms; it takes some, all of one resolution")
        whole = cls(sum(part.batches for part in parts), parts[0].sub_bits)
        columns = max(part.cells.shape[1] for part in parts)
        padded = [np.pad(part.cells, ((0, 0), (0, columns - part.cells.shape[1]))) for part in parts]
        whole._hold(np.concatenate(padded))
        whole.sum_ns = [ns for part in parts for ns in part.sum_ns]
        return whole

    # Reading ------------------------------------------------------------------------------------------------

    @property
    def counts(self) -> Ints:
        """(batches,) values counted in each batch."""
        counts: Ints = self.cells.sum(axis=1)
        return counts

    @property
    def total(self) -> int:
        """Values counted in all batches."""
        return int(self.cells.sum())

    @property
    def memory_bytes(self) -> int:
        """Size of the counts."""
        return self.cells.nbytes

    def mean(self) -> float:
        """Exact mean of all values, ns."""
        return sum(self.sum_ns) / self._some(self.total)

    def quantile(self, p: float, batches: Iterable[int] | None = None) -> float:
        """Quantile ``p`` (0 … 1) of the pooled values, or of some batches only, ns.

        Within a bucket the values are taken to lie evenly from its lowest to its highest integer.
        """
        rows = self.cells if batches is None else self.cells[list(batches)]
        return self._quantile(rows.sum(axis=0), p)

    def at_or_below(self, value: float) -> Floats:
        """(batches,) values of each batch at or below ``value`` (ns); the inverse of ``quantile``."""
        if value < 0:
            return np.zeros(self.batches)
        index = bucket_of(int(value), self.sub_bits)
        below: Floats = self.cells[:, :index].sum(axis=1).astype(np.float64)
        if index < self.cells.shape[1]:
            low, above = bucket_bounds(index, self.sub_bits)
            below += self.cells[:, index] * (min(1.0, (value - low) / (above - 1 - low)) if above - low > 1 else 1.0)
        return below

    def cdf(self, value: float) -> float:
        """Fraction of the values at or below ``value`` (ns)."""
        return float(self.at_or_below(value).sum()) / self._some(self.total)

    def _quantile(self, column: Ints, p: float) -> float:
        if not 0.0 <= p <= 1.0:
            raise MeshsimError(f"quantile {p:g} was asked for; a quantile is from 0 to 1")
        cumulated = np.cumsum(column)
        rank = p * self._some(int(cumulated[-1]) if len(cumulated) else 0)
        # The first bucket that is not empty and reaches the rank.
        index = int(np.searchsorted(cumulated, rank) if rank > 0 else np.searchsorted(cumulated, 0, side="right"))
        low, above = bucket_bounds(index, self.sub_bits)
        inside = int(column[index])
        return low + (rank - (int(cumulated[index]) - inside)) / inside * (above - 1 - low)

    # Storage ------------------------------------------------------------------------------------------------

    def _hold(self, cells: Ints) -> None:
        self.cells = cells
        """(batches, buckets) counts; as many columns as were needed so far."""
        self._exact_bits = self.sub_bits + 1
        # Adding through a memoryview takes half the time that it takes through numpy.
        self._rows = [memoryview(row) for row in cells]

    def _grow(self, index: int) -> None:
        """Make room for a bucket, up to the end of its octave."""
        columns = ((index >> self.sub_bits) + 1) << self.sub_bits
        missing = columns - self.cells.shape[1]
        if missing > 0:
            self._hold(np.pad(self.cells, ((0, 0), (0, missing))))

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_rows"}  # a view cannot be pickled

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._hold(self.cells)

    def _some(self, total: int) -> int:
        if not total:
            raise MeshsimError("the histogram is empty: no request was counted, so there is no mean and no quantile")
        return total

    def _refusal(self, batch: int, value: int) -> MeshsimError:
        return MeshsimError(
            f"cannot count {value} ns in batch {batch}; "
            f"values go from 0 to {LARGEST} ns, batches from 0 to {self.batches - 1}"
        )
