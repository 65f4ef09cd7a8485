"""What the analytic engine does not cover, in words, and which of its figures that touches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from meshsim.engines.analytic.solver import Stations
from meshsim.plan.arrivals import CLOSED, MMPP
from meshsim.plan.plan import Op, Plan
from meshsim.plan.routes import NEVER

Quantity = Literal["mean", "p50", "p90", "p99", "cpu", "utilisation", "saturation"]
ALL: tuple[Quantity, ...] = ("mean", "p50", "p90", "p99", "cpu", "utilisation", "saturation")
LATENCY: tuple[Quantity, ...] = ("mean", "p50", "p90", "p99")
TAIL: tuple[Quantity, ...] = ("p90", "p99")
# What is trusted was within 10 % of a simulation (mean), 15 % (p50), 20 % (p90), 25 % (p99), 5 % (CPU, utilisation) in
# 95 of 100 scenarios drawn at random. The limits below were chosen on such, and checked on others (docs/engines.md).
BUSIEST, BUSIEST_FOR_TAILS, BUSIEST_FOR_FORKS = 0.75, 0.6, 0.45
"""Utilisation up to which latencies are trusted; p90 and p99; mean and p50 where requests fork."""
LEAST_FREE = 0.8
"""Share of a CPU's queue that must be left by the pools before it."""
MOST_SKEWED, MOST_BY_CHANCE = 3.0, 0.8
"""Skewness of the latency, and share of its variance that comes from calls that are made sometimes: beyond, a law with
three cumulants does not know where the middle is."""
STRAIGHT, BUSY_POOL = 0.3, 0.25
"""Share of straight arrivals and utilisation of a pool from which on the errors of p99 were above 20 %."""


@dataclass(frozen=True)
class Outside:
    """A reason not to trust some of the figures."""

    reason: str
    quantities: tuple[Quantity, ...]


def outside(plan: Plan) -> list[Outside]:
    """What of a plan is not covered, at whatever rate."""
    routes, arrivals = plan.routes, plan.arrivals
    tables = plan.laws
    found: list[tuple[bool, str, tuple[Quantity, ...]]] = [
        (len(routes.policies) > 0, "retries, timeouts, hedging and circuit breakers are left out", ALL),
        (bool((routes.token_ns > 0).any()), "rate limits are left out", ALL),
        (len(routes.pools) > 0, "waiting for a connection, and workers pinned to it, are left out", LATENCY),
        (
            bool((routes.call_route != NEVER).any()),
            "every balancer is taken as a random choice among all pods",
            (*LATENCY, "utilisation", "saturation"),
        ),
        (len(plan.faults) > 0, "faults are left out", ALL),
        (len(plan.autoscalers) > 0, "autoscalers are left out: services have their most pods", ALL),
        (len(plan.quotas) > 0, "CPU limits are left out", (*LATENCY, "saturation")),
        (bool((plan.station_line != NEVER).any()), "bounded lines are taken as lines without bound", ALL),
        (arrivals.kind == MMPP, "states of an MMPP are replaced by their mean rate", LATENCY),
        (
            arrivals.kind != CLOSED and arrivals.kind != MMPP and len(arrivals.length) > 1,
            "a rate that changes is replaced by the rate that the plan expects",
            (*LATENCY, "cpu", "utilisation"),
        ),
        (bool((plan.pod_zone > 0).any()), "zones are left out: messages between nodes stay in one", LATENCY),
        (arrivals.burst > 1, "bursts are only a larger variability of the gaps", LATENCY),
        (arrivals.kind == CLOSED, "a closed loop is an open one with the rate that its own answers allow", LATENCY),
        (
            bool((plan.op == Op.START).any() and forks(plan)),
            "branches of a fork are taken as independent, and what they share at its start is left out",
            TAIL,
        ),
        (
            len(tables) > 0 and bool((tables == 0).mean(axis=1).max() > 0.5),
            "work that only one request in many pays for (new connections) makes quantiles uneven",
            TAIL,
        ),
        (
            bool((plan.slot_workers > 1).any()),
            "connections are taken to spread evenly over the workers of a proxy",
            (*LATENCY, "utilisation"),
        ),
    ]
    return [Outside(reason, quantities) for holds, reason, quantities in found if holds]


def forks(plan: Plan) -> bool:
    """Whether anything starts while something that was started is not yet waited for."""
    starts = np.isin(plan.op, [Op.START, Op.SPAWN])
    return bool((starts[:-1] & starts[1:]).any() or (plan.op == Op.SPAWN).any())


def too_busy(peak: float, station: str, forks: bool) -> list[Outside]:
    """A station that is busier than where errors were small, or saturated."""
    if peak >= 1.0:
        return [Outside(f"{station} is asked for more than it can give: nothing settles", ALL)]
    known: list[tuple[float, tuple[Quantity, ...], str]] = [
        (BUSIEST, LATENCY, ""),
        (BUSIEST_FOR_TAILS, TAIL, " as far as p90 and p99 are asked for"),
    ]
    if forks:
        known.insert(1, (BUSIEST_FOR_FORKS, LATENCY, " where requests fork"))
    for most, quantities, where in known:
        if peak > most:
            return [Outside(f"{station} is busy {peak:.0%} of the time, more than {most:.0%}{where}", quantities)]
    return []


def uneven(skewness: float, by_chance: float) -> list[Outside]:
    """Latencies whose law is no single hill."""
    if skewness > MOST_SKEWED or by_chance > MOST_BY_CHANCE:
        return [Outside("some requests take far longer than others: where the middle lies is not known", ("p50",))]
    return []


def crowded(at: Stations) -> list[Outside]:
    """Where stations depend on each other more than the approximations bear."""
    found = []
    if float(at.kept.min(initial=1.0)) < LEAST_FREE:
        found.append(
            Outside(
                "a CPU and the pools whose tokens its work holds limit each other",
                (*LATENCY, "utilisation", "saturation"),
            )
        )
    if bool(((at.straight > STRAIGHT) & (at.class_rho > BUSY_POOL)).any()):
        found.append(Outside("requests pass one busy pool again and again, without others between", TAIL))
    return found


__all__ = ["ALL", "BUSIEST", "Outside", "Quantity", "crowded", "forks", "outside", "too_busy", "uneven"]
