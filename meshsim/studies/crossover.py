"""From how many services on one data plane needs less than another: where the sign of a difference changes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from meshsim.results.rows import Crossover


@dataclass(frozen=True)
class Gap:
    """How much more A needs than B at one size, and the half-width of the 95 % interval of that."""

    services: int
    difference: float
    error: float = 0.0

    @property
    def settled(self) -> bool:
        """The sign is not a matter of chance."""
        return abs(self.difference) > self.error


def crossovers(
    metric: str,
    unit: str,
    words: str,
    a: str,
    b: str,
    gaps: list[Gap],
    exact: Callable[[int], float] | None = None,
) -> list[Crossover]:
    """Every change of sign between neighbouring sizes whose signs are both settled.

    ``gaps``: A minus B, in increasing order of services. Sizes with an unsettled sign are passed over. ``exact``
    gives the difference at any size without error (memory): then the crossover is found to one
    service, taking it that the sign changes once in between. Else it is interpolated on the logarithm of the
    number of services, and the interval is what the sampling error of the two differences leaves open.
    """
    found = []
    for left, right in pairwise([gap for gap in gaps if gap.settled]):
        if left.difference * right.difference >= 0:
            continue
        cheaper, dearer = (a, b) if right.difference < 0 else (b, a)
        at, low, high = _search(left, right, exact) if exact else _interpolate(left, right)
        about, range_ = f"{at:.0f}", ""
        if exact is None:
            ends = [_two_digits(low), _two_digits(high)]
            about = f"about {_two_digits(at)}"
            range_ = f" (between {ends[0]} and {ends[1]})" if high > low else ""
        sentence = f"From {about} services on, {cheaper} {words} than {dearer}{range_}."
        found.append(
            Crossover(
                metric=metric, unit=unit, cheaper=cheaper, dearer=dearer, services=at, low=low, high=high,
                sentence=sentence,
            )
        )  # fmt: skip
    return found


def _search(left: Gap, right: Gap, exact: Callable[[int], float]) -> tuple[float, float, float]:
    """The smallest size at which the sign is that of the right end.

    A look costs the placing of all pods, so the next is where a straight line between the ends is zero (Dekker,
    "Finding a zero by means of successive linear interpolation", 1969). After a look that did not halve the range, the
    next is twice as far from the better end, which brings the other end near (Alefeld, Potra and Shi, ACM TOMS 21,
    1995); then comes the middle.
    """
    low, high, slow = left, right, 0
    while (width := high.services - low.services) > 1:
        zero = low.services + width * low.difference / (low.difference - high.difference)
        better = low if abs(low.difference) < abs(high.difference) else high
        guess = (zero, 2 * zero - better.services, low.services + width / 2)[min(slow, 2)]
        at = min(max(int(guess), low.services + 1), high.services - 1)
        here = Gap(at, exact(at))
        low, high = (low, here) if here.difference * right.difference > 0 else (here, high)
        slow = slow + 1 if 2 * (high.services - low.services) > width else 0
    return (float(high.services),) * 3


def _interpolate(left: Gap, right: Gap) -> tuple[float, float, float]:
    def zero(at_left: float, at_right: float) -> float:
        share = at_left / (at_left - at_right)
        start, end = math.log(left.services), math.log(right.services)
        return math.exp(start + share * (end - start))

    ends = [zero(left.difference + sign * left.error, right.difference + sign * right.error) for sign in (-1.0, 1.0)]
    return zero(left.difference, right.difference), min(ends), max(ends)


def _two_digits(number: float) -> int:
    """Rounded to two significant digits: an interpolation is no better than that."""
    return int(round(number, 1 - math.floor(math.log10(number))))
