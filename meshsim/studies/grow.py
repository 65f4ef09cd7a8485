"""How each data plane's latency, CPU, memory and money grow with the number of microservices."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any, Literal, Unpack

from meshsim.plan.bill import static_bill
from meshsim.results.intervals import quantile_difference
from meshsim.results.rows import Crossover, GrowthReport, Row
from meshsim.scenario.application import Application
from meshsim.scenario.base import MeshsimError
from meshsim.scenario.dataplane import DataPlane, Proxy
from meshsim.scenario.scenario import Load
from meshsim.studies import defaults
from meshsim.studies.compare import run_points, split, with_difference
from meshsim.studies.crossover import Gap, crossovers
from meshsim.studies.inputs import Inputs, Settings, prepare_points
from meshsim.studies.point import Point, cpu_difference, usd_difference, watts_difference
from meshsim.studies.question import Common, Question, ask
from meshsim.studies.report import Reported
from meshsim.studies.row import MIB
from meshsim.studies.setup import at_size, checked

Rate = Literal["per-service", "total"]


@dataclass(repr=False)
class Growth(Reported):
    """One row a size and data plane, sizes ascending; and the crossovers."""

    report: GrowthReport

    @property
    def crossovers(self) -> list[Crossover]:
        """Where one data plane begins to need less than another."""
        return self.report.crossovers

    def plot(self, metric: str = "p99", **options: Any) -> Any:
        """One curve a data plane over the number of services, as a Plotly figure."""
        from meshsim.figures import as_figure
        from meshsim.figures.growth import growth_figure

        return as_figure(growth_figure(self.report, metric, **options))


def grow(
    application: str | Path | Application,
    services: Sequence[int] = defaults.SERVICES,
    dataplanes: Sequence[str | Path | DataPlane] = defaults.DATAPLANES,
    rps: float = defaults.RPS,
    rate: Rate = "per-service",
    **common: Unpack[Common],
) -> Growth:
    """Simulate the application at several sizes, over each data plane.

    ``services``: sizes. ``rps``: requests a second at the application's own size; with ``rate`` "per-service" it
    grows with the number of services, so that each keeps its traffic, with "total" it stays. ``requests``: measured
    ones at each point (default 3 000, too few for p99.9). The rest is as in ``compare``; differences are against the
    baseline at the same size. A waypoint that is shared by the namespace gets more replicas as its traffic grows
    (``keep_pace``). What cannot carry its load is in ``report.refused``. Raises MeshsimError for wrong input,
    OverloadedError if no data plane can carry the load at any size.
    """
    sizes = _sizes(services)
    if rate not in ("per-service", "total"):
        raise MeshsimError(f"rate: {rate!r} received; choose per-service or total")
    asked = ask(
        application,
        dataplanes,
        common,
        requests=defaults.GROW_REQUESTS,
        sample=defaults.GROW_SAMPLE,
        may_approximate=True,
    )
    inputs, settings = asked.inputs, asked.settings
    rps = checked(Load, rps=rps).rps
    own = len(inputs.application.services)
    rates = {size: rps * size / own if rate == "per-service" else rps for size in sizes}
    at = {size: keep_pace(inputs, rates[size] / rps) for size in sizes}
    # The largest first: they take longest.
    tasks = [point for size in reversed(sizes) for point in prepare_points(at[size], settings, rates[size], size)]
    curve = [] if settings.engine == "analytic" else _curve(asked, sizes, rps, rate)
    done, complete = run_points(asked, tasks, asked.on_progress)
    points, refused = split(done, complete)
    by_place = {(point.row.services, point.row.dataplane): point for point in points}
    order = [(size, plane.name) for size in sizes for plane in inputs.dataplanes]
    return Growth(
        GrowthReport(
            application=asked.name,
            rate=rate,
            rows=[
                with_difference(by_place[size, name], by_place.get((size, inputs.baseline)))
                for size, name in order
                if (size, name) in by_place
            ],
            curve=curve,
            crossovers=_crossovers(inputs, settings, rps, rates, by_place),
            provenance=asked.provenance("grow", "--services", ",".join(map(str, sizes)), "--rate", rate, rps=rps),
            refused=sorted(refused, key=lambda one: order.index((one.services, one.dataplane))),
            notes=[*asked.notes(tasks), *_pace_notes(inputs, at[sizes[-1]])],
            partial=not complete,
        )
    )


def _curve(asked: Question, sizes: Sequence[int], rps: float, rate: Rate) -> list[Row]:
    """What the analytic engine says at the sizes and half-way between them, of what carries its load there."""
    quick = replace(asked.settings, engine="analytic")
    own = len(asked.inputs.application.services)
    tasks = []
    for size in sorted({*sizes, *(round(math.sqrt(a * b)) for a, b in pairwise(sizes))}):
        growth = size / own if rate == "per-service" else 1.0
        paced = keep_pace(asked.inputs, growth)
        tasks += prepare_points(paced, quick, rps * growth, size)
    done, _ = run_points(asked, tasks, None)
    return [one.row for one in done if isinstance(one, Point)]


def keep_pace(inputs: Inputs, growth: float) -> Inputs:
    """The same data planes with as many more replicas of a namespace's waypoint as there is more traffic.

    Proxies in pods and on nodes grow in number by themselves. A shared waypoint is scaled by whoever runs it: here
    so that each of its replicas keeps its traffic, never below what the file says.
    """

    def paced(proxy: Proxy) -> Proxy:
        shared = proxy.placed == "waypoint" and proxy.waypoint_for == "namespace"
        more = math.ceil(round(proxy.replicas * growth, 9))
        return proxy.model_copy(update={"replicas": more}) if shared and growth > 1 else proxy

    planes = [
        plane.model_copy(update={"proxies": [paced(proxy) for proxy in plane.proxies]}) for plane in inputs.dataplanes
    ]
    return replace(inputs, dataplanes=planes)


def _pace_notes(inputs: Inputs, largest: Inputs) -> list[str]:
    return [
        f"{plane.name}: the shared {before.name} has {before.replicas} replicas at the application's own size and "
        f"keeps pace with the traffic, up to {after.replicas} at the largest"
        for plane, grown in zip(inputs.dataplanes, largest.dataplanes, strict=True)
        for before, after in zip(plane.proxies, grown.proxies, strict=True)
        if after.replicas != before.replicas
    ]


def _sizes(services: Sequence[int]) -> list[int]:
    if isinstance(services, int):
        services = [services]
    for size in services:
        if not isinstance(size, int) or isinstance(size, bool) or size < 1:
            raise MeshsimError(f"services: {size!r} received; must be whole numbers of at least 1")
    if not services:
        raise MeshsimError("services: none given; name at least one size")
    return sorted(set(services))


METRICS = (
    ("memory_mib", "MiB", "needs less memory"),
    ("cpu_cores", "cores", "needs less CPU"),
    ("usd_month", "USD/month", "costs less"),
    ("power_watts", "W", "draws less power"),
    ("p50", "us", "has a lower median latency"),
    ("p99", "us", "has a lower p99 latency"),
    ("config_mib", "MiB", "holds less configuration"),
    ("push_kib_s", "KiB/s", "is sent less configuration at this churn"),
)
EXACT = ("memory_mib", "config_mib", "push_kib_s")
"""Computed, not sampled: known at every size."""


def _crossovers(
    inputs: Inputs,
    settings: Settings,
    rps: float,
    rates: dict[int, float],
    points: dict[tuple[int, str], Point],
) -> list[Crossover]:
    bills = _Bills(inputs, settings, rps, per_service=len(set(rates.values())) > 1)
    found: list[Crossover] = []
    for metric, unit, words in METRICS:
        for a, b in combinations([plane.name for plane in inputs.dataplanes], 2):
            gaps = [
                gap
                for size in rates
                if (size, a) in points and (size, b) in points
                if (gap := _gap(metric, size, points[size, a], points[size, b])) is not None
            ]
            exact = bills.difference(metric, a, b) if metric in EXACT else None
            found += crossovers(metric, unit, words, a, b, gaps, exact)
    return found


def _gap(metric: str, size: int, a: Point, b: Point) -> Gap | None:
    """How much more A needs than B; None where the runs were too short to say."""
    if metric in EXACT:
        return Gap(size, getattr(a.row, metric) - getattr(b.row, metric))
    if a.row.engine == "analytic":
        values = [_approximate(metric, point.row) for point in (a, b)]
        return None if None in values else Gap(size, values[0] - values[1])  # type: ignore[operator]
    if metric in ("p50", "p99"):
        apart = quantile_difference(a.latency, b.latency, {"p50": 0.5, "p99": 0.99}[metric])
    else:
        of = {"usd_month": usd_difference, "power_watts": watts_difference, "cpu_cores": cpu_difference}[metric]
        apart = of(a, b)
    if apart.value is None or apart.low is None or apart.high is None:
        return None
    return Gap(size, apart.value, (apart.high - apart.low) / 2)


def _approximate(metric: str, row: Row) -> float | None:
    """What the analytic engine says of a metric."""
    if metric in EXACT:
        exact: float = getattr(row, metric)
        return exact
    if metric in ("p50", "p99"):
        value: float | None = getattr(row.latency_us, metric).value
        return value
    return {"usd_month": row.usd_month, "power_watts": row.power_watts, "cpu_cores": row.cpu_cores.total}[metric]


def analytic_crossovers(rows: Sequence[Row]) -> list[Crossover]:
    """Those of approximations, straight between the sizes on a log axis; memory and configuration too."""
    at = {(row.services, row.dataplane): row for row in rows}
    sizes = sorted({size for size, _ in at})
    names = list(dict.fromkeys(row.dataplane for row in rows))
    found: list[Crossover] = []
    for metric, unit, words in METRICS:
        for a, b in combinations(names, 2):
            gaps = []
            for size in sizes:
                if (size, a) in at and (size, b) in at:
                    values = [_approximate(metric, at[size, name]) for name in (a, b)]
                    if values[0] is not None and values[1] is not None:
                        gaps.append(Gap(size, values[0] - values[1]))
            found += crossovers(metric, unit, words, a, b, gaps)
    return found


class _Bills:
    """Memory, configuration and push work at any size, from the static bill; placed once a size and data plane."""

    def __init__(self, inputs: Inputs, settings: Settings, rps: float, per_service: bool) -> None:
        self.inputs, self.settings, self.rps, self.per_service = inputs, settings, rps, per_service
        self.known: dict[tuple[str, int], dict[str, float]] = {}

    def __call__(self, name: str, size: int) -> dict[str, float]:
        if (name, size) not in self.known:
            inputs = self.inputs
            growth = size / len(inputs.application.services) if self.per_service else 1.0
            plane = next(plane for plane in keep_pace(inputs, growth).dataplanes if plane.name == name)
            scenario = self.settings.scenario(inputs, name, self.rps * growth, size)
            bill = static_bill(at_size(inputs.application, size), plane, inputs.machine, scenario, inputs.costs)
            pushed = bill.control_plane
            self.known[name, size] = {
                "memory_mib": bill.memory_mib,
                "config_mib": 0.0 if pushed is None else pushed.config_bytes / MIB,
                "push_kib_s": 0.0 if pushed is None else pushed.push_bytes_s / 1024,
            }
        return self.known[name, size]

    def difference(self, metric: str, a: str, b: str) -> Callable[[int], float]:
        """What A needs less what B needs, as a function of the number of services."""
        return lambda size: self(a, size)[metric] - self(b, size)[metric]
