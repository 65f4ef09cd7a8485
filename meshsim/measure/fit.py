"""From samples to costs: fixed and per-unit terms, and how sure they are.

Rounds are the unit of repetition: everything inside one round shares the state of the host, so the standard error
comes from how far rounds differ, never from the number of observations inside one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares, nnls
from scipy.special import exp1
from scipy.stats import t as student

FLOOR = 0.03
"""Relative standard error that no figure goes below: how far quiet repeats differ anyway (docs/measure.md)."""
RESIDUAL_QUANTILES = (0.05, 0.5, 0.95)

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Figure:
    """One number with its standard error (absolute) and the spread of its rounds (relative)."""

    value: float
    error: float
    spread: float
    rounds: int

    @property
    def relative_error(self) -> float:
        """Standard error over value, not below FLOOR."""
        return max(FLOOR, self.error / abs(self.value)) if self.value else FLOOR


@dataclass(frozen=True)
class Line:
    """value = fixed + per_unit x units."""

    fixed: Figure
    per_unit: Figure
    residuals: dict[str, float]
    """Quantiles of (observed - fitted) / fitted."""


def figure(rounds: Sequence[float] | Floats, of: Callable[[Floats], float] = lambda v: float(np.median(v))) -> Figure:
    """A figure from one value a round: the median, and a standard error that holds for few rounds.

    The error is the sample standard deviation over the root of n, stretched by Student's t over the normal
    quantile (both at 97.5 %), so that value +- 1.96 errors is an honest 95 % interval with three rounds too.
    """
    values = np.asarray(rounds, np.float64)
    values = values[np.isfinite(values)]
    n = len(values)
    if not n:
        raise ValueError("a figure needs at least one round")
    value = of(values)
    if n == 1:
        return Figure(value, abs(value) * 0.3, 0.0, 1)  # one round says nothing of its own repeatability
    spread = float(values.max() - values.min()) / abs(value) if value else 0.0
    stretch = float(student.ppf(0.975, n - 1)) / 1.96
    return Figure(value, float(values.std(ddof=1)) / math.sqrt(n) * stretch, spread, n)


def best(rounds: Sequence[float] | Floats) -> Figure:
    """The smallest of the rounds, for figures that noise can only raise; the error as in ``figure``."""
    return figure(rounds, lambda values: float(values.min()))


def line(points: Floats) -> Line:
    """Robust straight line through rows (round, units, value).

    Each round gets its own line (Huber's loss on relative residuals, so that one disturbed point does not tilt it);
    the terms are the medians over rounds. Needs at least two different numbers of units.
    """
    units = np.unique(points[:, 1])
    if len(units) < 2:
        raise ValueError("a line needs at least two different numbers of units")
    terms = []
    for number in np.unique(points[:, 0]):
        mine = points[points[:, 0] == number]
        if len(np.unique(mine[:, 1])) >= 2:
            terms.append(_huber_line(mine[:, 1], mine[:, 2]))
    if not terms:
        raise ValueError("no round has two different numbers of units")
    fixed, per_unit = (figure([term[k] for term in terms]) for k in (0, 1))
    fitted = fixed.value + per_unit.value * points[:, 1]
    relative = (points[:, 2] - fitted) / np.where(fitted == 0, 1.0, np.abs(fitted))
    return Line(fixed, per_unit, residual_quantiles(relative))


def _huber_line(x: Floats, y: Floats) -> tuple[float, float]:
    per_unit, fixed = np.polyfit(x, y, 1)
    scale_x, scale_y = max(float(np.abs(x).max()), 1e-12), max(float(np.median(np.abs(y))), 1e-12)

    def residuals(p: Floats) -> Floats:
        result: Floats = (p[0] + p[1] * x / scale_x - y / scale_y) / np.maximum(np.abs(y) / scale_y, 1e-3)
        return result

    found = least_squares(residuals, [fixed / scale_y, per_unit * scale_x / scale_y], loss="huber", f_scale=0.05)
    return float(found.x[0] * scale_y), float(found.x[1] * scale_y / scale_x)


def terms(points: Floats) -> tuple[list[Figure], dict[str, float]]:
    """Robust fit of value = sum over k of term k x units k to rows (round, units 1 ... units n, value).

    Each round gets its own terms (Huber's loss on relative residuals), none of them negative; the terms are the medians
    over rounds. Returned with the quantiles of (observed - fitted) / fitted. Needs as many rows a round as terms.
    """
    found = []
    for number in np.unique(points[:, 0]):
        mine = points[points[:, 0] == number]
        if len(mine) >= points.shape[1] - 2:
            found.append(_huber_terms(mine[:, 1:-1], mine[:, -1]))
    if not found:
        raise ValueError("no round has as many points as terms")
    figures = [figure([round_terms[k] for round_terms in found]) for k in range(points.shape[1] - 2)]
    fitted = points[:, 1:-1] @ [term.value for term in figures]
    return figures, residual_quantiles(points[:, -1] / fitted - 1)


def _huber_terms(units: Floats, values: Floats) -> Floats:
    relative = units / values[:, None]
    scale = np.maximum(relative.max(axis=0), 1e-12)
    start, _ = nnls(relative / scale, np.ones(len(values)))

    def residuals(p: Floats) -> Floats:
        result: Floats = relative / scale @ p - 1
        return result

    # A start on the bound itself would not be inside.
    found = least_squares(residuals, np.maximum(start, 1e-6), bounds=(0.0, np.inf), loss="huber", f_scale=0.05)
    result: Floats = np.where(found.x < 1e-4, 0.0, found.x) / scale
    return result


def residual_quantiles(relative: Floats) -> dict[str, float]:
    """The quantiles of relative residuals that a cost book keeps."""
    return {
        f"{q:g}": round(float(v), 4)
        for q, v in zip(RESIDUAL_QUANTILES, np.quantile(relative, RESIDUAL_QUANTILES), strict=True)
    }


@dataclass(frozen=True)
class AfterSleep:
    """value = base + most x sleep / (sleep + half)."""

    most: Figure
    half_ns: float
    residuals: dict[str, float]


HALVES_NS = tuple(np.geomspace(0.5e6, 64e6, 15))
"""Tried for the sleep after which half of the most is added."""


def after_sleep(
    points: Floats, share: Callable[[Floats, float], Floats] = lambda ns, half: ns / (ns + half)
) -> AfterSleep:
    """Fit of rows (round, sleep ns, value): what a thread works more the longer it has slept.

    ``share`` (sleeps, half) -> how much of the most; sleeps that are random have a mean of it (``of_random_sleeps``).
    Each round has a base and a most of its own, none negative; ``half_ns`` is one for all, where the errors are least.
    """

    def rounds(half: float) -> list[tuple[Floats, Floats]]:
        fits = []
        for number in np.unique(points[:, 0]):
            mine = points[points[:, 0] == number]
            units = np.column_stack([np.ones(len(mine)), share(mine[:, 1], half)]) / mine[:, 2:]
            found, _ = nnls(units, np.ones(len(mine)))
            fits.append((found, 1 / (units @ found) - 1))
        return fits

    half = min(HALVES_NS, key=lambda half: sum(float(miss @ miss) for _, miss in rounds(half)))
    fits = rounds(half)
    misses = np.concatenate([miss for _, miss in fits])
    return AfterSleep(figure([found[1] for found, _ in fits]), float(half), residual_quantiles(misses))


def of_random_sleeps(mean_ns: Floats, half_ns: float) -> Floats:
    """Mean of sleep / (sleep + half) over exponential sleeps: 1 - x e^x E1(x) with x = half / mean."""
    x = np.minimum(half_ns / mean_ns, 500.0)
    result: Floats = 1 - x * np.exp(x) * exp1(x)
    return result


def at(fitted: Line, units: float) -> Figure:
    """A line at so many units, with the errors of both terms (taken as independent, which is rather too wide)."""
    fixed, per_unit = fitted.fixed, fitted.per_unit
    value = max(fixed.value, 0.0) + max(per_unit.value, 0.0) * units
    return Figure(value, math.hypot(fixed.error, per_unit.error * units), fixed.spread, fixed.rounds)


def difference(one: Figure, other: Figure) -> Figure:
    """``one`` less ``other``, errors added in squares."""
    value = one.value - other.value
    return Figure(
        value, math.hypot(one.error, other.error), max(one.spread, other.spread), min(one.rounds, other.rounds)
    )


def scaled(one: Figure, factor: float) -> Figure:
    """``one`` times a number that is known exactly."""
    return Figure(one.value * factor, one.error * abs(factor), one.spread, one.rounds)
