"""The scoreboard: what was measured on a real mesh beside what the simulator said, and how far apart they are.

Files of it lie in ``models/validation/``, one a host; ``meshsim validate`` writes them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from meshsim.results.rows import Estimate, Out

Quantity = Literal["p50", "p99", "cpu-application", "cpu-proxy", "cpu-total", "saturation", "memory"]
QUANTITIES: dict[Quantity, tuple[str, str]] = {
    "cpu-proxy": ("us", "CPU time of the proxies, a request"),
    "cpu-application": ("us", "CPU time of applications and generator, sockets included, a request"),
    "cpu-total": ("us", "CPU time of everything, a request"),
    "p50": ("us", "median latency, from when a request was due"),
    "p99": ("us", "99th percentile of latency, from when a request was due"),
    "saturation": ("1/s", "requests a second in a closed loop"),
    "memory": ("MiB", "private memory of a proxy"),
}
"""Unit and meaning of each."""
GOALS: dict[Quantity, tuple[float, float]] = {
    "cpu-proxy": (0.07, 0.20), "cpu-application": (0.07, 0.20), "cpu-total": (0.07, 0.20), "p50": (0.08, 0.25),
    "p99": (0.20, 0.50), "saturation": (0.08, 0.25), "memory": (0.10, math.inf),
}  # fmt: skip
"""Median and worst error aimed at, as shares of what was measured."""
UP_TO = 0.8
"""Latency and CPU are judged up to this share of saturation."""


class Scored(Out):
    """What was measured beside what was predicted."""

    measured: Estimate = Field(description="Median over undisturbed rounds; six or more give 95 %, fewer their range")
    predicted: Estimate = Field(description="With the error of the costs and of sampling, 95 %")
    used_for_fitting: bool

    @property
    def ratio(self) -> float:
        """Predicted over measured."""
        return (self.predicted.value or math.nan) / (self.measured.value or math.nan)

    @property
    def error(self) -> float:
        """|predicted / measured - 1|; 0 where the prediction lies in the measured interval."""
        low, high, said = self.measured.low, self.measured.high, self.predicted.value
        if said is not None and low is not None and high is not None and low <= said <= high:
            return 0.0
        return abs(self.ratio - 1)


class RatioRow(Scored):
    """A data plane over no mesh, within the same round of both: what a slow or a fast round does to both is gone."""

    scenario: str
    dataplane: str
    case: str
    load: float = Field(description="Share of the saturation of each")
    quantity: Quantity
    rounds: int


class PublishedRow(Scored):
    """A ratio that others published, from one harness of theirs."""

    name: str
    quantity: Literal["p50", "p90", "p99", "cpu"]
    dataplane: str
    over: str = Field(description="What it is divided by")
    setting: str
    source: str
    measured: Estimate = Field(description="Geometric mean of the smallest and the largest that was published")
    predicted: Estimate = Field(description="Without an interval; null, with the reason, where it cannot be simulated")
    used_for_fitting: bool = Field(description="Whether a cost was derived from this very figure")


class ScoreRow(Scored):
    """One quantity of one scenario at one load."""

    scenario: str = Field(description="Application and load: one-hop-64b at 50 %")
    dataplane: str
    case: str = Field(description="File in models/validation/scenarios that both were made from")
    load: float = Field(description="Share of the closed-loop rate; 1: the closed loop itself")
    rps: float = Field(description="Requests a second that were sent; of a closed loop, that were answered")
    quantity: Quantity
    unit: str
    measured: Estimate = Field(description="Median over undisturbed rounds; six or more give 95 %, fewer their range")
    predicted: Estimate = Field(description="With the error of the costs and of sampling, 95 %")
    rounds: int
    used_for_fitting: bool = Field(description="Whether the cost book knows this setting: no validation")
    inside_range: bool = Field(description="Whether the costs were measured under such conditions")
    outside: str = Field(default="", description="In which direction it is an extrapolation")


class Verdict(Out):
    """Which of two data planes needs less, where reality separates them by more than its noise."""

    scenario: str
    quantity: Quantity
    a: str
    b: str
    measured_ratio: float = Field(description="a over b")
    predicted_ratio: float
    right: bool


class Conditions(Out):
    """Within what the scenarios lie: beyond it, the errors that they show may be others."""

    payload_bytes: tuple[int, int] = Field(description="Smallest and largest payload of a call")
    load: tuple[float, float] = Field(description="Smallest and largest share of saturation in open loop")
    services: int = Field(description="Most services of an application, the generator of load not counted")
    nodes: int
    cores: int = Field(description="Of the host, for everything together")
    protocols: list[str]


class Scoreboard(Out):
    """``meshsim validate --json``, and the files in models/validation."""

    schema_: Literal["meshsim/validate/1"] = Field(default="meshsim/validate/1", alias="schema")
    meshsim: str
    host: dict[str, str]
    costs: list[str]
    rounds: int
    own_work: dict[str, float] = Field(
        description="What the testbed's programs cost besides their sockets, us a request"
    )
    rows: list[ScoreRow]
    conditions: Conditions | None = None
    ratios: list[RatioRow] = Field(default=[], description="Over no mesh, of the same application, in the same rounds")
    published: list[PublishedRow] = Field(default=[], description="Ratios that others published")
    verdicts: list[Verdict] = []
    skipped: dict[str, str] = Field(default={}, description="Scenario -> why it was not measured")
    warnings: list[str] = []
    complete: bool = True

    def worst_first(self) -> list[ScoreRow]:
        """All rows, the largest error first."""
        return sorted(self.rows, key=lambda row: -row.error)

    def validation(self, quantity: Quantity) -> list[ScoreRow]:
        """Rows of a quantity that nothing was fitted to."""
        return [row for row in self.rows if row.quantity == quantity and not row.used_for_fitting]


class RatioSummary(Out):
    """The errors of ratios to no mesh, of one quantity, over the scenarios that nothing was fitted to."""

    quantity: Quantity
    rows: int
    median_error: float
    worst_error: float
    median_gap: float = Field(description="Nothing forgiven within the measured interval")
    worst: str


def ratio_summaries(board: Scoreboard) -> list[RatioSummary]:
    """One for each quantity that has ratios."""
    found = []
    for quantity in dict.fromkeys(row.quantity for row in board.ratios):
        rows = [r for r in board.ratios if r.quantity == quantity and not r.used_for_fitting and math.isfinite(r.ratio)]
        if not rows:
            continue
        found.append(RatioSummary(quantity=quantity, **_errors(rows)))
    return found


class Summary(Out):
    """The errors of one quantity, over the scenarios that nothing was fitted to."""

    quantity: Quantity
    rows: int
    median_error: float
    worst_error: float
    median_gap: float = Field(description="|predicted / measured - 1|, nothing forgiven within the measured interval")
    median_ratio: float = Field(description="Predicted over measured: above 1 the model is too high")
    worst: str
    goal_median: float
    goal_worst: float | None


def summaries(board: Scoreboard) -> list[Summary]:
    """One for each quantity that has rows."""
    found = []
    for quantity, (goal, goal_worst) in GOALS.items():
        rows = board.validation(quantity)
        if not rows:
            continue
        found.append(
            Summary(
                quantity=quantity,
                **_errors(rows),
                median_ratio=_median([row.ratio for row in rows]),
                goal_median=goal,
                goal_worst=None if math.isinf(goal_worst) else goal_worst,
            )
        )
    return found


def verdicts(rows: Sequence[ScoreRow]) -> list[Verdict]:
    """Each pair of data planes under one application, where the measured intervals do not touch."""
    found = []
    groups: dict[tuple[str, float, Quantity], list[ScoreRow]] = {}
    for row in rows:
        application = row.case.partition(".")[2]
        groups.setdefault((application, row.load, row.quantity), []).append(row)
    for (_, _, quantity), mine in groups.items():
        for number, a in enumerate(mine):
            found += [_verdict(quantity, a, b) for b in mine[number + 1 :] if _apart(a, b)]
    return found


def _apart(a: ScoreRow, b: ScoreRow) -> bool:
    ends = (a.measured.low, a.measured.high, b.measured.low, b.measured.high)
    if any(end is None for end in ends) or not a.measured.value or not b.measured.value:
        return False
    a_low, a_high, b_low, b_high = (float(end or 0.0) for end in ends)
    return a_high < b_low or b_high < a_low


def _verdict(quantity: Quantity, a: ScoreRow, b: ScoreRow) -> Verdict:
    measured = (a.measured.value or math.nan) / (b.measured.value or math.nan)
    predicted = (a.predicted.value or math.nan) / (b.predicted.value or math.nan)
    return Verdict(
        scenario=a.scenario, quantity=quantity, a=a.dataplane, b=b.dataplane,
        measured_ratio=measured, predicted_ratio=predicted, right=(measured < 1) == (predicted < 1),
    )  # fmt: skip


def read(path: Path) -> Scoreboard:
    """A scoreboard from its file. ValueError (pydantic's) if it is none."""
    return Scoreboard.model_validate_json(path.read_text(encoding="utf-8"))


def _errors(rows: Sequence[RatioRow | ScoreRow]) -> dict[str, Any]:
    """What both kinds of summary tell of their rows."""
    worst = max(rows, key=lambda row: row.error)
    return {
        "rows": len(rows),
        "median_error": _median([row.error for row in rows]),
        "worst_error": worst.error,
        "median_gap": _median([abs(row.ratio - 1) for row in rows]),
        "worst": f"{worst.dataplane}, {worst.scenario}",
    }


def _median(values: Iterable[float]) -> float:
    found = sorted(values)
    middle = len(found) // 2
    return found[middle] if len(found) % 2 else (found[middle - 1] + found[middle]) / 2
