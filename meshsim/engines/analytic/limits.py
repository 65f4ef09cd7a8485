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
BUSIEST = 0.85
"""Utilisation up to which its figures were compared with simulations."""
LEAST_FREE = 0.7
"""Share of a CPU's queue that must be left by the pools before it: beyond, errors above 15 % were seen."""
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
            bool((plan.op == Op.START).any() and _forks(plan)),
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


def _forks(plan: Plan) -> bool:
    """Whether anything starts while something that was started is not yet waited for."""
    starts = np.isin(plan.op, [Op.START, Op.SPAWN])
    return bool((starts[:-1] & starts[1:]).any() or (plan.op == Op.SPAWN).any())


def too_busy(peak: float, station: str) -> Outside | None:
    """A station that is busier than what was compared, or saturated."""
    if peak >= 1.0:
        return Outside(f"{station} is asked for more than it can give: nothing settles", ALL)
    if peak > BUSIEST:
        return Outside(f"{station} is busy {peak:.0%} of the time, more than {BUSIEST:.0%}", LATENCY)
    return None


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


__all__ = ["ALL", "BUSIEST", "Outside", "Quantity", "crowded", "outside", "too_busy"]
