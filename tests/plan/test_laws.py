"""Random times as integer tables: right moments, right quantiles, keyed and repeatable."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest

from meshsim.plan.draws import child_key, draw, mix
from meshsim.plan.laws import FRACTION_BITS, ONE, POINTS, draw_ns, draw_unit, law_table, scv

LAWS = [
    ("exponential", 1.0), ("lognormal", 0.5), ("lognormal", 1.5), ("gamma", 0.3), ("gamma", 2.0), ("uniform", 3**-0.5),
    ("hyperexponential", 2.0),
]  # fmt: skip


@pytest.mark.parametrize(("law", "cv"), LAWS)
def test_a_table_has_mean_one_and_the_variation_asked_for(law: str, cv: float) -> None:
    table = law_table(law, cv)
    assert table is not None
    assert math.sqrt(scv(table)) == pytest.approx(cv, rel=1e-3)
    h = [draw(child_key(7, i), 3) for i in range(100_000)]
    drawn = np.array([draw_ns(table.tolist(), 1_000_000, x) for x in h]) / 1e6
    assert drawn.mean() == pytest.approx(1.0, abs=4 * cv / math.sqrt(len(h)))


@pytest.mark.parametrize("t", [0.9, 0.5, 0.1, 1e-3, 1e-6, 1e-11])
def test_exponential_quantiles_are_minus_log(t: float) -> None:
    table = law_table("exponential", 1.0)
    assert table is not None
    drawn = draw_unit(table.tolist(), int(t * 2**64)) / ONE
    assert drawn == pytest.approx(-math.log(t), rel=2e-4)


def test_lognormal_quantiles_are_those_of_the_normal_law() -> None:
    table = law_table("lognormal", 0.5)
    assert table is not None
    sigma = math.sqrt(math.log(1.25))
    for t in (0.9, 0.5, 0.01, 1e-5):
        exact = math.exp(-sigma * statistics.NormalDist().inv_cdf(t) - sigma**2 / 2)
        assert draw_unit(table.tolist(), int(t * 2**64)) / ONE == pytest.approx(exact, rel=2e-3)


def test_longer_survival_means_shorter_time_down_to_the_last_bit() -> None:
    table = law_table("gamma", 2.0)
    assert table is not None
    values = table.tolist()
    edges = [1 << bit for bit in range(64)]
    points = sorted({h for edge in edges for h in (edge - 1, edge, edge + 1)} | {0, (1 << 64) - 1})
    drawn = [draw_unit(values, h) for h in points]
    assert drawn == sorted(drawn, reverse=True)
    assert drawn[0] == values[POINTS - 1]


def test_no_time_is_shorter_than_a_nanosecond() -> None:
    table = law_table("exponential", 1.0)
    assert table is not None
    assert draw_ns(table.tolist(), 1, (1 << 64) - 1) == 1


def test_wrong_laws_are_refused_with_the_choices() -> None:
    with pytest.raises(ValueError, match=r"law: 'weibull' received; choose from constant"):
        law_table("weibull", 1.0)
    with pytest.raises(ValueError, match=r"cv: 0.5 received; a hyperexponential law needs more than 1"):
        law_table("hyperexponential", 0.5)


def test_the_mixer_is_that_of_splitmix64() -> None:
    # First outputs of SplitMix64 seeded with 1234567, as published with the algorithm's reference code.
    gamma = 0x9E3779B97F4A7C15
    state = 1234567
    outputs = []
    for _ in range(3):
        state = (state + gamma) % 2**64
        outputs.append(mix(state))
    assert outputs == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def test_keys_of_neighbours_have_nothing_in_common() -> None:
    bits = [draw(child_key(child_key(1, 0), n), p) for n in range(400) for p in range(5)]
    ones = np.array([[h >> b & 1 for b in range(64)] for h in bits])
    assert len(set(bits)) == len(bits)
    assert abs(ones.mean() - 0.5) < 4 * 0.5 / math.sqrt(ones.size)
    correlation = np.corrcoef(ones[:-1].sum(axis=1), ones[1:].sum(axis=1))[0, 1]
    assert abs(correlation) < 4 / math.sqrt(len(bits))
    assert FRACTION_BITS == 24
