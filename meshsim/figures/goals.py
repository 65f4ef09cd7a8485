"""Goals with a tick, a cross, or neither where the numbers do not settle it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from meshsim.figures import numbers
from meshsim.results.rows import Row

MARKS = {True: "✓", False: "✗", None: "?"}


@dataclass(frozen=True)
class Goals:
    """What is asked of a data plane; None: nothing."""

    p99_ms: float | None = None
    usd_month: float | None = None


def goal_lines(rows: Sequence[Row], goals: Goals) -> list[str]:
    """One line a data plane and goal: '✓ linkerd: p99 16.8 ms (95 %: 16.2 to 17.5 ms), at most 50 ms asked'.

    Kept or missed only if all of the interval is: of latency the 95 % sampling interval, of money the model band.
    """
    said = []
    for row in rows:
        late = row.latency_us.p99
        if goals.p99_ms is not None:
            most = goals.p99_ms * 1000
            met = None if late.value is None else settled(late.low, late.high, late.value, most)
            shown = numbers.interval(late, numbers.latency)
            said.append(f"{MARKS[met]} {row.dataplane}: p99 {shown}, at most {numbers.latency(most)} asked")
        if goals.usd_month is not None:
            band = row.model_error.usd_month
            met = settled(band.low, band.high, row.usd_month, goals.usd_month)
            most_said = numbers.money(goals.usd_month)
            said.append(
                f"{MARKS[met]} {row.dataplane}: {numbers.money(row.usd_month)} a month, at most {most_said} asked"
            )
    return said


def settled(low: float | None, high: float | None, value: float, most: float) -> bool | None:
    """Whether it is at most ``most``; None where the interval reaches over it. Without one the value decides."""
    low, high = value if low is None else low, value if high is None else high
    return True if high <= most else False if low > most else None
