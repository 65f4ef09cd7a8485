"""Where a series of latencies has forgotten that the system began empty."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

GROUP = 5


def mser5(series: ArrayLike) -> int | None:
    """How many values at the beginning to leave out; None if the series is too short to say.

    MSER-5 (White, Cobb and Spratt, "A comparison of five steady-state truncation heuristics for simulation",
    Winter Simulation Conference 2000): of the means of groups of five, leave out the d first ones for which the
    variance of the rest over the square of their number is least, which balances bias against what is thrown away.
    A least value in the second half says that the series has not settled within itself.
    """
    values = np.asarray(series, np.float64)
    groups = len(values) // GROUP
    if groups < 4:
        return None
    means = values[: groups * GROUP].reshape(groups, GROUP).mean(axis=1)
    left = np.arange(groups, 0, -1)
    # Sums from each d to the end.
    sums, squares = np.cumsum(means[::-1])[::-1], np.cumsum(means[::-1] ** 2)[::-1]
    error = np.maximum(squares - sums**2 / left, 0.0) / left**2.0
    best = int(np.argmin(error[: groups - 2]))  # the last few groups have hardly a variance
    return best * GROUP if best < groups // 2 else None
