"""Fits find a known truth, say how sure they are, and a wrong model is seen."""

from __future__ import annotations

import numpy as np
import pytest

from meshsim.measure.fit import FLOOR, best, difference, figure, line, scaled


def rounds_of(fixed: float, per_byte: float, rounds: int, noise: float, seed: int) -> np.ndarray:
    """Rows (round, bytes, ns); each round is off by a common factor, each point by its own."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(rounds):
        host = rng.lognormal(0, noise)
        for size in (64, 1024, 4096, 16384, 65536):
            rows.append((number, size, (fixed + per_byte * size) * host * rng.lognormal(0, noise / 4)))
    return np.array(rows)


def test_a_line_without_noise_is_found_exactly() -> None:
    found = line(rounds_of(4000, 0.35, 3, 1e-9, 1))
    assert found.fixed.value == pytest.approx(4000, rel=1e-6)
    assert found.per_unit.value == pytest.approx(0.35, rel=1e-6)
    assert found.residuals["0.5"] == pytest.approx(0, abs=1e-6)


def test_one_disturbed_point_does_not_tilt_the_line() -> None:
    points = rounds_of(4000, 0.35, 3, 0.005, 2)
    points[2, 2] *= 5
    points[9, 2] *= 5
    found = line(points)
    assert found.fixed.value == pytest.approx(4000, rel=0.05)
    assert found.per_unit.value == pytest.approx(0.35, rel=0.05)


def test_the_stated_interval_holds_the_truth_nineteen_times_of_twenty() -> None:
    inside = {"fixed": 0, "per_unit": 0}
    trials = 300
    for seed in range(trials):
        found = line(rounds_of(4000, 0.35, 3, 0.08, seed + 10))
        for name, truth in (("fixed", 4000), ("per_unit", 0.35)):
            one = getattr(found, name)
            inside[name] += abs(one.value - truth) <= 1.96 * one.error
    # The median of three rounds is less efficient than their mean, so a little under 95 % is right.
    assert all(0.90 <= count / trials <= 0.99 for count in inside.values()), inside


def test_a_bent_truth_shows_in_the_residuals() -> None:
    """Negative control: what is no line must not look like one."""
    straight = line(rounds_of(4000, 0.35, 3, 0.01, 3))
    bent = rounds_of(4000, 0.35, 3, 0.01, 3)
    bent[:, 2] += 3e-5 * bent[:, 1] ** 2
    assert max(map(abs, straight.residuals.values())) < 0.05
    assert max(map(abs, line(bent).residuals.values())) > 0.2


def test_the_error_comes_from_rounds_and_has_a_floor() -> None:
    assert figure([100, 100, 100]).relative_error == FLOOR
    wide = figure([80, 100, 120])
    assert wide.value == 100
    assert wide.spread == pytest.approx(0.4)
    assert wide.error == pytest.approx(20 / np.sqrt(3) * 4.3027 / 1.96, rel=1e-3)
    assert figure([100.0]).relative_error == pytest.approx(0.3)  # one round knows nothing of its own repeatability
    assert best([120, 100, 105]).value == 100


def test_differences_and_multiples_carry_their_errors() -> None:
    one, other = figure([90, 100, 110]), figure([40, 50, 60])
    gap = difference(one, other)
    assert gap.value == 50
    assert gap.error == pytest.approx(np.hypot(one.error, other.error))
    assert scaled(one, 0.5).value == 50
    assert scaled(one, 0.5).relative_error == pytest.approx(one.relative_error)


def test_what_cannot_be_fitted_is_refused() -> None:
    with pytest.raises(ValueError, match="two different numbers of units"):
        line(np.array([(0, 64, 1.0), (1, 64, 2.0)]))
    with pytest.raises(ValueError, match="at least one round"):
        figure([])
