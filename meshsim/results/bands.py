"""How wrong the model is: from a scoreboard, the band in which reality lies around a prediction, by kind.

A band is a pair of factors on the prediction; latency and CPU have one for each load that was measured, because the
model is worse the busier a mesh is. It is taken from the ratios measured / predicted of scenarios that nothing was
fitted to: the smallest and largest of them that leave so few outside that a new one lies within with the wanted chance
(order statistics; Vovk, Gammerman and Shafer, "Algorithmic Learning in a Random World", 2005, for exchangeable cases).
Loads of one scenario are alike, so whether a band holds is checked by leaving out whole scenarios.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from pydantic import Field

from meshsim.results.rows import Out
from meshsim.results.scoreboard import Quantity, Scoreboard, ScoreRow

CHANCE = 0.9
LEAST = 14
"""Fewer scenarios than this say nothing about a band."""


class ModelBand(Out):
    """Reality lies between ``low`` and ``high`` times the prediction, with a chance of 90 %."""

    quantity: Quantity
    load: float | None = Field(description="Share of saturation at which it was measured; null where that is no matter")
    low: float
    high: float
    scenarios: int
    rows: int
    coverage: float = Field(description="Share of the rows within the band that the other scenarios give")


BY_LOAD: tuple[Quantity, ...] = ("cpu-proxy", "cpu-application", "cpu-total", "p50", "p99")


def bands(board: Scoreboard) -> list[ModelBand]:
    """One a quantity, and a load where it depends on that; where there are enough scenarios."""
    found = []
    for quantity in dict.fromkeys(row.quantity for row in board.rows):
        rows = board.validation(quantity)
        loads: list[float | None] = [None]
        if quantity in BY_LOAD:
            loads = [*sorted({row.load for row in rows})]
        for load in loads:
            found.append(_band(quantity, load, [row for row in rows if load is None or row.load == load]))
    return [band for band in found if band is not None]


def _band(quantity: Quantity, load: float | None, rows: Sequence[ScoreRow]) -> ModelBand | None:
    rows = [row for row in rows if math.isfinite(row.ratio) and row.ratio > 0]
    cases = list(dict.fromkeys(row.case for row in rows))
    if len(cases) < LEAST:
        return None
    low, high = factors(1 / row.ratio for row in rows)
    inside = 0
    for case in cases:
        without = factors(1 / row.ratio for row in rows if row.case != case)
        inside += sum(without[0] <= 1 / row.ratio <= without[1] for row in rows if row.case == case)
    return ModelBand(
        quantity=quantity, load=load, low=low, high=high, scenarios=len(cases), rows=len(rows),
        coverage=inside / len(rows),
    )  # fmt: skip


def factors(ratios: Iterable[float], chance: float = CHANCE) -> tuple[float, float]:
    """The order statistics of ``ratios`` between which one more of them lies with that chance.

    With n ratios, an interval from the k-th smallest to the k-th largest holds a new one with (n + 1 - 2k) / (n + 1):
    the largest k that still gives ``chance``, and at least 1.
    """
    ordered = sorted(ratios)
    k = max(1, math.floor((len(ordered) + 1) * (1 - chance) / 2))
    return ordered[k - 1], ordered[-k]
