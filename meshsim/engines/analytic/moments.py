"""Random times as their first three cumulants: sums add them, a choice and a maximum go through moments or a law.

Where a law is needed (quantiles, the maximum of branches) it is the shifted gamma law (Pearson's type III) with these
cumulants: the exponential and every gamma law are in it, and sums of many stages tend to it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammainc, ndtr

from meshsim.plan.laws import ONE, survival_points
from meshsim.plan.plan import Ints

Floats = NDArray[np.float64]
"""Cumulants are in the last axis: mean, variance, third central moment; ns, ns^2, ns^3."""


def unit_cumulants(laws: Ints) -> Floats:
    """(laws + 1, 3) of each table, mean 1; the last row is the constant's, so that law -1 finds it."""
    result = np.zeros((len(laws) + 1, 3))
    result[:, 0] = 1.0
    if len(laws):
        width = -np.diff(survival_points())
        values = laws / ONE
        low, high = values[:, :-1], values[:, 1:]
        last, rest = values[:, -1], 1.0 - width.sum()
        second = (low**2 + low * high + high**2) / 3 @ width + last**2 * rest
        third = (low + high) * (low**2 + high**2) / 4 @ width + last**3 * rest
        result[:-1] = cumulants(np.stack([np.ones(len(laws)), second, third], axis=-1))
    return result


def moments(k: Floats) -> Floats:
    """Raw moments from cumulants."""
    mean, variance = k[..., 0], k[..., 1]
    result = np.empty_like(k)
    result[..., 0] = mean
    result[..., 1] = variance + mean * mean
    result[..., 2] = k[..., 2] + mean * (3 * variance + mean * mean)
    return result


def cumulants(m: Floats) -> Floats:
    """Cumulants from raw moments."""
    mean = m[..., 0]
    result = np.empty_like(m)
    result[..., 0] = mean
    result[..., 1] = m[..., 1] - mean * mean
    result[..., 2] = m[..., 2] - mean * (3 * m[..., 1] - 2 * mean * mean)
    return result


def chosen(k: Floats, probability: Floats) -> Floats:
    """Of a time that is spent with this probability, and else is nothing."""
    return cumulants(moments(k) * probability[..., None])


def choice(one: Floats, other: Floats, probability: Floats) -> Floats:
    """Of ``one`` with this probability, else ``other``."""
    p = probability[..., None]
    return cumulants(p * moments(one) + (1 - p) * moments(other))


def _shifted_gamma(k: Floats) -> tuple[Floats, Floats, Floats]:
    """(shape, scale, shift); a symmetric law becomes a gamma law of shape 10 000."""
    deviation = np.sqrt(np.maximum(k[..., 1], 1e-12))
    skew = np.clip(k[..., 2] / deviation**3, 0.02, 100.0)
    shape, scale = 4.0 / skew**2, deviation * skew / 2
    return shape, scale, k[..., 0] - shape * scale


def quantiles(k: Floats, weight: Floats, shares: Floats) -> Floats:
    """(q,) times that a mixture of (n, 3) laws with (n,) weights stays below with the given shares."""
    shape, scale, shift = _shifted_gamma(k)
    weight = weight / weight.sum()
    deviation = np.sqrt(np.maximum(k[:, 1], 0.0))
    low = np.full(len(shares), max(float(np.min(k[:, 0] - 6 * deviation)), 0.0))
    high = np.full(len(shares), float(np.max(k[:, 0] + 40 * deviation)) + 1.0)
    for _ in range(30):
        middle = (low + high) / 2
        x = np.maximum(middle[:, None] - shift, 0.0) / scale
        below = gammainc(shape, x) @ weight < shares
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    result: Floats = (low + high) / 2
    return result


POINTS = 24
_UNIT = (np.arange(POINTS) + 0.5) / POINTS
_WIDTH = 2 * _UNIT / POINTS


def largest(k: Floats, starts: Ints) -> Floats:
    """(groups, 3) of the maximum of independent times: (n, 3) members, each group beginning at its ``starts``.

    The survival function is integrated on points that lie denser at its beginning; each member's law is the shifted
    gamma law by the cube root of Wilson and Hilferty (1931), within 1 % of probability.
    """
    deviation = np.sqrt(np.maximum(k[:, 1], 1e-12))
    skew = np.clip(k[:, 2] / deviation**3, 0.02, 20.0)
    start = np.maximum.reduceat(np.maximum(k[:, 0] - 2.5 * deviation, 0.0), starts)
    end = np.maximum.reduceat(k[:, 0] + (8 + 4 * np.minimum(skew, 4.0)) * deviation, starts)
    group = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, len(k))))
    span = end - start
    x = start[:, None] + span[:, None] * _UNIT**2
    standard = (x[group] - k[:, :1]) / deviation[:, None]
    cube = np.cbrt(np.maximum(1 + skew[:, None] / 2 * standard, 0.0))
    below = ndtr((cube - 1 + skew[:, None] ** 2 / 36) * (6 / skew[:, None]))
    above = 1.0 - np.multiply.reduceat(below, starts, axis=0)
    weight = above * _WIDTH * span[:, None]
    offset = x - start[:, None]
    mean = weight.sum(axis=1)
    second = 2 * (weight * offset).sum(axis=1)
    third = 3 * (weight * offset**2).sum(axis=1)
    result = cumulants(np.stack([mean, second, third], axis=-1))
    result[:, 0] += start
    return result
