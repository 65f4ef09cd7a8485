"""What matters: costs and settings moved one at a time, all costs drawn together, and Sobol indices.

Every simulation has the same requests and random numbers, so what changes comes from the costs alone. A cost is
uncertain by its relative standard error s: it is multiplied by exp(sigma z) with z normal and
sigma^2 = ln(1 + s^2), the lognormal law of that relative spread, so that no cost becomes negative.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from meshsim.costs.book import Cost, CostBook
from meshsim.costs.books import Costs
from meshsim.results.rows import Chance, Influence, PropagatedBand, Refused, SensitivityReport, SobolIndex
from meshsim.scenario.application import Application
from meshsim.scenario.base import MeshsimError
from meshsim.scenario.dataplane import DataPlane
from meshsim.studies import defaults
from meshsim.studies.compare import run_points, split
from meshsim.studies.point import Point
from meshsim.studies.question import Common, Question, ask, option
from meshsim.studies.reality import band_of
from meshsim.studies.replicate import Metric
from meshsim.studies.row import QUANTILES, Z95
from meshsim.studies.setup import Prepared

REQUESTS = 3_000
SAMPLE = 200
TOP = 8
DRAWS = 40
RPS_CHANGE = 0.1
"""A setting, not a cost: the rate is moved by a tenth either way."""
AMOUNTS = ("cpu_ns", "cpu_ns_per_byte", "wait_ns", "wait_ns_per_byte", "bytes", "cores", "ratio")

Measure = Callable[[Point], float | None]


def spread(cost: Cost) -> float:
    """Sigma of the logarithm of a cost's factor."""
    return math.sqrt(math.log1p(cost.standard_error**2))


def with_factors(costs: Costs, factors: Mapping[str, float]) -> Costs:
    """The costs in force, some of them multiplied: time, memory and cores alike."""
    entries = []
    for entry, _ in costs:
        factor = factors.get(entry.operation, 1.0)
        amounts = {name: getattr(entry, name) * factor for name in AMOUNTS if getattr(entry, name)}
        entries.append(entry.model_copy(update=amounts) if factor != 1.0 else entry)
    names = "-".join(book.name for book in costs.books)
    book = {"schema": "meshsim/costs/1", "name": names[:120], "entries": entries}
    return Costs([CostBook.model_validate(book)])


def draw_factors(costs: Costs, draws: int, seed: int) -> list[dict[str, float]]:
    """Factors of every cost in force, ``draws`` times; data planes that share a cost share its draws."""
    random = np.random.default_rng(seed)
    entries = sorted((entry for entry, _ in costs), key=lambda entry: entry.operation)
    normal = random.standard_normal((draws, len(entries)))
    sigmas = np.array([spread(entry) for entry in entries])
    return [
        dict(zip((entry.operation for entry in entries), np.exp(row * sigmas).tolist(), strict=True)) for row in normal
    ]


@dataclass(frozen=True)
class _Runner:
    """Simulates variants of the data planes' scenarios."""

    asked: Question

    def __call__(self, tasks: Sequence[Prepared]) -> list[Point | Refused] | None:
        """In the order of the tasks; None if stopped."""
        found, complete = run_points(self.asked, tasks, self.asked.on_progress)
        return found if complete else None


def sensitivity(
    application: str | Path | Application,
    dataplanes: Sequence[str | Path | DataPlane] = defaults.DATAPLANES,
    rps: float = defaults.RPS,
    *,
    of: Metric = "p99",
    top: int = TOP,
    draws: int = DRAWS,
    sobol: int = 0,
    services: int | None = None,
    **common: Unpack[Common],
) -> SensitivityReport:
    """Which costs and settings the quantile ``of`` depends on, and how uncertain costs leave every figure.

    ``top``: costs that are moved one at a time to the ends of their 95 % range, those that can matter most (time or
    CPU of a request times its error); the rate is moved by a tenth. ``draws``: cost books drawn at random, all costs
    at once, the same for every data plane. ``sobol``: base samples of Saltelli's design over the ``top`` costs, a
    power of two, 0 for none; it takes (top + 2) runs each. The rest is as in ``compare``. Raises MeshsimError for
    wrong input, OverloadedError if no data plane can carry the load.
    """
    for name, value, least, most in (("top", top, 1, 100), ("draws", draws, 0, 10_000), ("sobol", sobol, 0, 65_536)):
        if not least <= value <= most:
            raise MeshsimError(f"{name}: {value} received; must be from {least} to {most:,}")
    if 0 < draws < 10:
        raise MeshsimError(f"draws: {draws} received; must be 0, or at least 10 to tell a spread")
    if sobol & (sobol - 1):
        raise MeshsimError(f"sobol: {sobol} received; must be a power of two, or 0")
    if of not in QUANTILES:
        raise MeshsimError(f"of: {of!r} received; choose {', '.join(QUANTILES)}")
    asked = ask(application, dataplanes, common, requests=REQUESTS, sample=SAMPLE)
    seed = asked.settings.seed
    tasks = asked.tasks(rps, services)
    run = _Runner(asked)
    done = run(tasks)
    _, refused = split(done or [], done is not None)
    alive = [(task, point) for task, point in zip(tasks, done or [], strict=False) if isinstance(point, Point)]
    notes, partial = asked.notes(tasks), done is None
    influences: list[Influence] = []
    bands: list[PropagatedBand] = []
    chances: list[Chance] = []
    indices: list[SobolIndex] = []
    if not partial:
        moved = _tornado(run, alive, of, top)
        partial = moved is None
        influences = moved or []
    if not partial and draws:
        drawn = _draw(run, alive, of, draws, seed, notes)
        partial = drawn is None
        bands, chances = drawn or ([], [])
    if not partial and sobol:
        found = _sobol(run, alive, of, top, sobol, seed, notes)
        partial = found is None
        indices = found or []
    own = ["--of", of, "--top", str(top), "--draws", str(draws), "--sobol", str(sobol), *option("services", services)]
    return SensitivityReport(
        application=asked.name,
        rps=rps,
        of=of,
        influences=influences,
        bands=bands,
        chances=chances,
        sobol=indices,
        draws=draws,
        provenance=asked.provenance("sensitivity", own, rps=rps),
        refused=refused,
        notes=notes,
        partial=partial,
    )


# One at a time -------------------------------------------------------------------------------------------------


def candidates(task: Prepared, point: Point, top: int) -> list[Cost]:
    """Costs of the plan that can matter most: their time on the critical path, and their CPU, times their error."""
    row, plan = point.row, task.plan
    reach: dict[str, float] = {}
    whole = sum(part.running_us + part.queueing_us + part.waiting_us for part in row.attribution) or 1.0
    for part in row.attribution:
        share = (part.running_us + part.queueing_us + part.waiting_us) / whole
        reach[part.operation] = reach.get(part.operation, 0.0) + share
    used = {tag.operation for tag in plan.tags if tag.operation in task.costs}
    known = [task.costs[operation] for operation in used]
    order = sorted(known, key=lambda cost: (-reach.get(cost.operation, 0.0) * spread(cost), cost.operation))
    return [cost for cost in order if spread(cost) > 0][:top]


def _tornado(run: _Runner, alive: Sequence[tuple[Prepared, Point]], of: Metric, top: int) -> list[Influence] | None:
    variants: list[tuple[Prepared, Point, str, str, float, float]] = []
    tasks: list[Prepared] = []
    for task, point in alive:
        for cost in candidates(task, point, top):
            ends = [math.exp(sign * Z95 * spread(cost)) for sign in (-1.0, 1.0)]
            variants.append((task, point, cost.operation, "cost", *ends))  # type: ignore[arg-type]
            tasks += [replace(task, costs=with_factors(task.costs, {cost.operation: end})) for end in ends]
        ends = [1 - RPS_CHANGE, 1 + RPS_CHANGE]
        variants.append((task, point, "load.rps", "setting", *ends))  # type: ignore[arg-type]
        load = task.scenario.load
        tasks += [
            replace(
                task,
                scenario=task.scenario.model_copy(update={"load": load.model_copy(update={"rps": load.rps * end})}),
            )
            for end in ends
        ]
    found = run(tasks)
    if found is None:
        return None
    influences = []
    for number, (_, point, name, kind, low, high) in enumerate(variants):
        at_low, at_high = (_latency(one, of) for one in found[2 * number : 2 * number + 2])
        influences.append(
            Influence(
                dataplane=point.row.dataplane, input=name, kind=kind, factor_low=low, factor_high=high,
                value_us=_latency(point, of), at_low_us=at_low, at_high_us=at_high,
            )
        )  # fmt: skip
    order = [point.row.dataplane for _, point in alive]
    return sorted(influences, key=lambda one: (order.index(one.dataplane), -one.swing_us, one.input))


def _latency(one: Point | Refused, of: Metric) -> float | None:
    if isinstance(one, Refused):
        return None
    value: float | None = getattr(one.row.latency_us, of).value
    return value


# All at once ---------------------------------------------------------------------------------------------------


def measures(of: Metric) -> dict[str, tuple[str, Measure]]:
    """What is reported of each draw: unit, and how to read it."""
    found: dict[str, tuple[str, Measure]] = {
        name: ("us", lambda point, name=name: getattr(point.row.latency_us, name).value)  # type: ignore[misc]
        for name in dict.fromkeys(("p50", of))
    }
    found["cpu_cores"] = ("cores", lambda point: point.row.cpu_cores.total)
    found["memory_mib"] = ("MiB", lambda point: point.row.memory_mib)
    found["usd_month"] = ("USD/month", lambda point: point.row.usd_month)
    return found


def _draw(
    run: _Runner, alive: Sequence[tuple[Prepared, Point]], of: Metric, draws: int, seed: int, notes: list[str]
) -> tuple[list[PropagatedBand], list[Chance]] | None:
    factors = draw_factors(alive[0][0].costs, draws, seed) if alive else []
    found = run([replace(task, costs=with_factors(task.costs, one)) for task, _ in alive for one in factors])
    if found is None:
        return None
    by_plane = [found[number * draws : (number + 1) * draws] for number in range(len(alive))]
    bands, chances = [], []
    for (_, point), drawn in zip(alive, by_plane, strict=True):
        lost = sum(isinstance(one, Refused) for one in drawn)
        if lost:
            notes.append(f"{point.row.dataplane}: {lost} of {draws} drawn cost books overload it; they are left out")
        for name, (unit, measure) in measures(of).items():
            values = [value for one in drawn if isinstance(one, Point) and (value := measure(one)) is not None]
            low, high = log_band(values)
            bands.append(
                PropagatedBand(
                    dataplane=point.row.dataplane, metric=name, unit=unit, value=measure(point), low=low, high=high,
                    reality=band_of(point.row, REAL.get(name, f"latency_us_{name}")),
                )
            )  # fmt: skip
    for a, b in combinations(range(len(alive)), 2):
        for name in (of, "usd_month"):
            unit, measure = measures(of)[name]
            pairs = [
                (one, other)
                for x, y in zip(by_plane[a], by_plane[b], strict=True)
                if isinstance(x, Point) and isinstance(y, Point)
                if (one := measure(x)) is not None and (other := measure(y)) is not None
            ]
            if pairs:
                lower = sum((one < other) + 0.5 * (one == other) for one, other in pairs) / len(pairs)
                names = alive[a][1].row.dataplane, alive[b][1].row.dataplane
                chances.append(Chance(metric=name, a=names[0], b=names[1], probability_a_lower=lower, draws=len(pairs)))
    return bands, chances


REAL = {"cpu_cores": "cpu_cores", "memory_mib": "memory_mib"}
"""What a scoreboard calls a measure, where it is no quantile of latency."""


def log_band(values: Iterable[float]) -> tuple[float | None, float | None]:
    """95 % band of a lognormal law through the values: a few dozen draws do not show their own 2.5 % points."""
    logs = np.log([value for value in values if value > 0])
    if len(logs) < 10:
        return None, None
    middle, half = float(logs.mean()), Z95 * float(logs.std(ddof=1))
    return math.exp(middle - half), math.exp(middle + half)


# Sobol ---------------------------------------------------------------------------------------------------------


def _sobol(
    run: _Runner,
    alive: Sequence[tuple[Prepared, Point]],
    of: Metric,
    top: int,
    base: int,
    seed: int,
    notes: list[str],
) -> list[SobolIndex] | None:
    """First-order and total indices over the costs that can matter most (Saltelli's design and estimators, SALib)."""
    try:
        from SALib.analyze import sobol as analyse
        from SALib.sample import sobol as sample
    except ImportError:
        raise MeshsimError("sobol: needs SALib (pip install 'meshsim[sensitivity]')") from None
    indices: list[SobolIndex] = []
    for task, point in alive:
        chosen = candidates(task, point, top)
        if len(chosen) < 2:
            notes.append(f"{point.row.dataplane}: fewer than two uncertain costs, so no Sobol indices")
            continue
        problem: dict[str, Any] = {
            "num_vars": len(chosen),
            "names": [cost.operation for cost in chosen],
            "dists": ["norm"] * len(chosen),
            "bounds": [[0.0, spread(cost)] for cost in chosen],
        }
        design = np.exp(sample.sample(problem, base, calc_second_order=False, seed=seed))
        books = [dict(zip(problem["names"], row, strict=True)) for row in design.tolist()]
        found = run([replace(task, costs=with_factors(task.costs, one)) for one in books])
        if found is None:
            return None
        values = [_latency(one, of) for one in found]
        if any(value is None for value in values):
            lost = sum(value is None for value in values)
            notes.append(f"{point.row.dataplane}: {lost} of {len(values)} runs overload it, so no Sobol indices")
            continue
        told = analyse.analyze(problem, np.array(values, float), calc_second_order=False, seed=seed)
        for place, cost in enumerate(chosen):
            first, first_half, total, total_half = (float(told[k][place]) for k in ("S1", "S1_conf", "ST", "ST_conf"))
            indices.append(
                SobolIndex(
                    dataplane=point.row.dataplane, operation=cost.operation, first_order=first,
                    first_order_half_width=first_half, total=total, total_half_width=total_half,
                )
            )  # fmt: skip
    return indices
