"""Random times as integer tables, so that every engine draws the same nanoseconds.

A law is a table of quantiles of mean 1 in fixed point. A 64-bit random number ``h`` is read as the survival
probability t = h / 2**64. The leading zeros of ``h`` choose the octave (t in (1/2, 1], (1/4, 1/2], …), the next six
bits the piece of it, the rest interpolates: the resolution grows towards the tail, down to t = 2**-40. Only shifts,
one multiplication and additions of integers: Python, numba and C++ agree to the last bit, on every machine.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammainccinv, ndtri

from meshsim.plan.plan import Ints

OCTAVES = 40
PIECES = 64
POINTS = OCTAVES * PIECES + 1
FRACTION_BITS = 24
ONE = 1 << FRACTION_BITS
HALF = ONE >> 1
MASK64 = (1 << 64) - 1
COLD = -2
"""Number of the law of work that is more the longer its thread has slept: no table, see ``cold_ns``."""
LONGEST_SLEEP = (1 << 31) - 1
"""ns; whoever slept longer is as cold."""


def survival_points() -> NDArray[np.float64]:
    """Survival probabilities of the table's points, from 1 down to 2**-40; shape (POINTS,)."""
    octave, piece = np.divmod(np.arange(POINTS), PIECES)
    points: NDArray[np.float64] = np.exp2(-(octave + 1.0)) * (2.0 - piece / PIECES)
    return points


def tabulate(quantile_of_survival: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> Ints:
    """Quantile table of a law, scaled to mean 1; shape (POINTS,), fixed point with FRACTION_BITS.

    ``quantile_of_survival`` maps survival probabilities t (array) to the times exceeded with probability t.
    """
    points = survival_points()
    values = np.maximum(quantile_of_survival(points), 0.0)
    # The shortest times bend most: let the first piece have the mean that it really has.
    inside = points[1] + (points[0] - points[1]) * (np.arange(4096) + 0.5) / 4096
    values[0] = max(2.0 * float(np.mean(quantile_of_survival(inside))) - values[1], 0.0)
    return np.rint(values / _moment(values, 1) * ONE).astype(np.int64)


def _moment(values: NDArray[np.float64], power: int) -> float:
    """Exact moment of the piecewise linear law (the last 2**-40 sits at the last point)."""
    widths = -np.diff(survival_points())
    low, high = values[:-1], values[1:]
    inner = (low + high) / 2 if power == 1 else (low**2 + low * high + high**2) / 3
    return float(inner @ widths + values[-1] ** power * 2.0**-OCTAVES)


def scv(table: Ints | None) -> float:
    """Squared coefficient of variation of a table; 0 for a constant (None)."""
    if table is None:
        return 0.0
    values = table.astype(np.float64) / ONE
    return _moment(values, 2) / _moment(values, 1) ** 2 - 1.0


def cold_ns(most_ns: int, slept_ns: int, half_ns: int) -> int:
    """Work that a thread has more after a sleep, at least 1 ns: half of the most after ``half_ns``."""
    return most_ns * slept_ns // (slept_ns + half_ns) or 1


@lru_cache(maxsize=256)
def law_table(law: str, cv: float) -> Ints | None:
    """Table of a named law with coefficient of variation ``cv``; None for a constant.

    Laws: constant, exponential (cv is 1), uniform (from 0 to twice the mean), lognormal, gamma, hyperexponential
    (two phases with balanced means; cv must exceed 1), and once-in (one draw in ``cv`` is ``cv`` times the mean, the
    others are nothing). ValueError for another name or a cv that the law cannot have.
    """
    if law == "constant":
        return None
    if law == "exponential":
        return tabulate(lambda t: -np.log(t))
    if law == "uniform":
        return tabulate(lambda t: 2.0 * (1.0 - t))
    if law == "lognormal":
        sigma = math.sqrt(math.log1p(cv * cv))
        # ndtri(1) is infinite at the first point, t = 1, where the quantile of a lognormal is 0.
        return tabulate(lambda t: np.exp(np.minimum(-sigma * ndtri(t), 700.0)))
    if law == "gamma":
        shape = 1.0 / (cv * cv)
        return tabulate(lambda t: np.asarray(gammainccinv(shape, t)))
    if law == "hyperexponential":
        if cv <= 1.0:
            raise ValueError(f"cv: {cv} received; a hyperexponential law needs more than 1")
        return tabulate(_hyperexponential(cv))
    if law == "once-in":
        return tabulate(lambda t: np.where(t * cv <= 1.0, cv, 0.0))
    known = "constant, exponential, uniform, lognormal, gamma, hyperexponential"
    raise ValueError(f"law: {law!r} received; choose from {known}")


def _hyperexponential(cv: float) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    scv_ = cv * cv
    first = 0.5 * (1.0 + math.sqrt((scv_ - 1.0) / (scv_ + 1.0)))
    rates = np.array([2.0 * first, 2.0 * (1.0 - first)])
    weights = np.array([first, 1.0 - first])

    def quantile(t: NDArray[np.float64]) -> NDArray[np.float64]:
        low = np.zeros_like(t)
        high = np.full_like(t, 60.0 / rates.min())
        for _ in range(200):  # bisection: monotone, and built once a law
            middle = (low + high) / 2
            above = np.exp(-np.outer(middle, rates)) @ weights > t
            low, high = np.where(above, middle, low), np.where(above, high, middle)
        return (low + high) / 2

    return quantile


def draw_unit(table: list[int], h: int) -> int:
    """The quantile for random number ``h`` (64 bits), in fixed point. ``table`` as a list: faster in Python."""
    octave = 64 - h.bit_length()
    if octave >= OCTAVES:
        return table[-1]
    rest = (h << (octave + 1)) & MASK64  # the bits behind the leading one
    index = (octave << 6) + 63 - (rest >> 58)
    low = table[index]
    return low + (((table[index + 1] - low) * (0x1000000 - ((rest >> 34) & 0xFFFFFF))) >> 24)


def draw_ns(table: list[int], mean_ns: int, h: int) -> int:
    """A random time of mean ``mean_ns``, at least 1 ns (zero-length work would blur the order of events)."""
    return (mean_ns * draw_unit(table, h) + HALF >> FRACTION_BITS) or 1
