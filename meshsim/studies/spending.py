"""What a data plane's CPU, memory and money are made of, each part with the cost that it rests on.

The parts add up to the row, so this is the arithmetic behind it. And since CPU and memory are sums of costs times how
often they occur, money under other costs follows without another run: that gives the chance that one data plane is
cheaper than another, with costs that both pay wrong by the same factor for both. Memory is exactly such a sum; of CPU
it is taken that threads are woken as often as before, which other costs change a little: see the tests.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from meshsim.costs.books import Costs
from meshsim.plan.plan import Plan
from meshsim.results.rows import Row
from meshsim.scenario.machine import Machine
from meshsim.studies.row import HOURS_A_MONTH, MIB, Money, money

Of = Literal["usd_month", "cpu_cores", "memory_mib"]
DRAWS = 1000
SEED = 1
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Part:
    """One operation of the cost book, or what the application's file says of itself (``operation`` empty)."""

    operation: str
    who: str
    times: float
    """CPU: microseconds a request, or proxies and agents that idle; memory: proxies, services known, pods known."""
    cores: float = 0.0
    mib: float = 0.0
    standard_error: float = 0.0
    source: str = ""


@dataclass(frozen=True)
class Spending:
    """All parts of one data plane at one rate, and the price of what it occupies."""

    dataplane: str
    services: int
    rps: float
    parts: tuple[Part, ...]
    price: Money

    @property
    def cores(self) -> float:
        """As the row has them."""
        return math.fsum(part.cores for part in self.parts)

    @property
    def mib(self) -> float:
        """As the row has them."""
        return math.fsum(part.mib for part in self.parts)

    @property
    def usd_month(self) -> float:
        """As the row has it."""
        return self.price.usd_month(self.cores, self.mib)

    def sources(self, of: Literal["cores", "mib"]) -> dict[str, float]:
        """Share of what the data plane adds, by the source of its costs: measured, published, derived, assumed."""
        by: dict[str, float] = {}
        for part in self.parts:
            if part.operation and part.source and part.who != "application" and getattr(part, of):
                by[part.source] = by.get(part.source, 0.0) + getattr(part, of)
        total = sum(by.values())
        return {source: amount / total for source, amount in by.items()}

    def under(self, factors: Mapping[str, Floats], of: Of) -> Floats:
        """(n,) what it comes to if each cost is wrong by its factor, n times."""
        size = len(next(iter(factors.values()))) if factors else 1
        cores, mib = np.zeros(size), np.zeros(size)
        for part in self.parts:
            factor = factors.get(part.operation, 1.0)
            cores += part.cores * factor
            mib += part.mib * factor
        if of != "usd_month":
            return cores if of == "cpu_cores" else mib
        pairs = zip(cores.tolist(), mib.tolist(), strict=True)
        return np.array([self.price.usd_month(used, held) for used, held in pairs])


def spending(plan: Plan, costs: Costs, row: Row, machine: Machine, cores_by_tag: Sequence[float]) -> Spending:
    """Of a plan that was simulated or approximated; ``cores_by_tag``: kept busy by each of its tags."""
    table, parts = costs.table, list[Part]()
    for tag, cores in zip(plan.tags, cores_by_tag, strict=True):
        if cores > 0:
            known = table.get(tag.operation)
            source = known[0].source if known else ""
            each = cores / row.rps * 1e6
            error = tag.standard_error
            parts.append(Part(tag.operation, tag.component, each, cores, 0.0, error, source))
    bill = plan.bill
    for operation, units in bill.units.items():
        cost = costs[operation]
        cores = units * cost.cores if operation.startswith("idle.") else 0.0
        mib = 0.0 if operation.startswith("idle.") else units * cost.bytes / MIB
        parts.append(Part(operation, "proxies and agents", units, cores, mib, cost.standard_error, cost.source))
    pushed = bill.idle_cores.get("configuration push", 0.0)
    if pushed:
        parts.append(Part("", "configuration push", 1.0, pushed))
    own = bill.memory_by_item_mib.get("application", 0.0)
    parts.append(Part("", "application", 1.0, 0.0, own, 0.0, "the application's file"))
    return Spending(row.dataplane, row.services, row.rps, tuple(parts), money(plan, machine, row.rps))


def formula(spent: Spending) -> list[str]:
    """How its money comes about, in sentences with the numbers in them; US dollars."""
    price, machine = spent.price, spent.price.machine
    lines, shares = [], []
    for what, reserved, used, offered, unit in (
        ("CPU", price.reserved_cores, spent.cores, machine.allocatable_cores, "cores"),
        ("memory", price.reserved_memory_mib, spent.mib, machine.allocatable_memory_mib, "MiB"),
    ):
        share = max(reserved, used) / offered
        shares.append(share)
        lines.append(
            f"{what}: the larger of {reserved:,.4g} {unit} reserved and {used:,.4g} {unit} used, over {offered:,.6g} "
            f"{unit} that a node offers = {share:.4g} nodes"
        )
    nodes = price.usd_month(spent.cores, spent.mib) - price.traffic_usd_month
    lines.append(
        f"the larger of both: {max(shares):.4g} nodes x {machine.usd_hour:.6g} dollars an hour ({machine.name}, "
        f"{machine.price_date}) x {HOURS_A_MONTH:g} hours a month = {nodes:,.2f} dollars a month"
    )
    if price.traffic_usd_month:
        lines.append(
            f"and {price.cross_zone_gb_month:,.4g} GB a month between zones x {machine.cross_zone_usd_gb:g} dollars = "
            f"{price.traffic_usd_month:,.2f} dollars a month"
        )
    return lines


def factors(these: Sequence[Spending], draws: int = DRAWS, seed: int = SEED) -> dict[str, Floats]:
    """(draws,) factors by operation, lognormal by its standard error; data planes that share a cost share its draws."""
    random = np.random.default_rng(seed)
    errors: dict[str, float] = {}
    for one in these:
        for part in one.parts:
            errors[part.operation] = max(errors.get(part.operation, 0.0), part.standard_error)
    sigmas = {name: math.sqrt(math.log1p(error**2)) for name, error in errors.items()}
    return {name: np.exp(sigmas[name] * random.standard_normal(draws)) for name in sorted(sigmas)}


@dataclass(frozen=True)
class Odds:
    """Of two data planes at one size, under costs drawn at random within their errors."""

    services: int
    probability: float
    """That the first comes to less; where they come to the same, half of it."""
    differences: tuple[float, ...]
    """First less second, ascending: each as likely as any other."""


def odds(a: Spending, b: Spending, of: Of = "usd_month", draws: int = DRAWS, seed: int = SEED) -> Odds:
    """How sure it is that ``a`` comes to less than ``b``, as far as the costs are concerned."""
    drawn = factors((a, b), draws, seed)
    gaps = np.sort(a.under(drawn, of) - b.under(drawn, of))
    same = 1e-9 * max(1.0, float(np.abs(gaps).max()))
    lower = float(np.mean((gaps < -same) + 0.5 * (np.abs(gaps) <= same)))
    return Odds(a.services, lower, tuple(gaps.tolist()))
