"""Where the sign of a difference changes: found in few looks, and where halving finds it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshsim.studies.crossover import Gap, crossovers

SHAPES: dict[str, Callable[[int, float], float]] = {
    "line": lambda n, zero: n - zero,
    "fleet": lambda n, zero: float(n) ** 2 - zero**2,
    "steps": lambda n, zero: n // 7 * 7 - zero,
    "cliff": lambda n, zero: 1.0 if n > zero else -1000.0,
}


def by_halving(difference: Callable[[int], float], low: int, high: int) -> int:
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if difference(middle) > 0 else (middle, high)
    return high


@pytest.mark.parametrize("shape", SHAPES)
@given(low=st.integers(1, 500), width=st.integers(10, 20_000), share=st.floats(0.0, 1.0), flip=st.booleans())
def test_it_is_found_where_halving_finds_it(shape: str, low: int, width: int, share: float, flip: bool) -> None:
    zero, high, looks, sign = low + 8 + share * (width - 9), low + width + 8, 0, -1.0 if flip else 1.0

    def difference(services: int) -> float:
        nonlocal looks
        looks += 1
        return sign * SHAPES[shape](services, zero)

    ends = [Gap(size, difference(size)) for size in (low, high)]
    looks = 0
    (found,) = crossovers("memory_mib", "MiB", "needs less memory", "a", "b", ends, difference)
    assert found.services == by_halving(lambda n: SHAPES[shape](n, zero), low, high)
    assert found.cheaper == ("a" if flip else "b")
    assert looks <= (4 if shape == "line" else 40)
