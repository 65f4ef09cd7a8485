"""How each data plane's latency, CPU, memory and money grow with the number of microservices."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

from meshsim.costs.book import CostBook
from meshsim.costs.books import Costs
from meshsim.plan.bill import static_bill
from meshsim.results.intervals import quantile_difference
from meshsim.results.rows import Crossover, GrowthReport
from meshsim.scenario.application import Application
from meshsim.scenario.base import MeshsimError
from meshsim.scenario.dataplane import DataPlane, Proxy
from meshsim.scenario.machine import Machine
from meshsim.scenario.scale import scale
from meshsim.scenario.scenario import Load
from meshsim.studies import defaults
from meshsim.studies.compare import run_points, split, with_difference
from meshsim.studies.crossover import Gap, crossovers
from meshsim.studies.inputs import (
    Inputs,
    Nodes,
    Placement,
    Policy,
    Settings,
    plain,
    prepare_points,
    provenance,
    read_inputs,
    shared_options,
)
from meshsim.studies.point import Point, cpu_difference, usd_difference
from meshsim.studies.pool import Progress, Stop
from meshsim.studies.report import Reported
from meshsim.studies.setup import checked

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
    *,
    policy: Policy = "L7",
    requests: int | None = None,
    warmup: float | None = None,
    seed: int = 1,
    costs: Sequence[str | Path | CostBook] | Costs = defaults.COSTS,
    machine: str | Path | Machine = defaults.MACHINE,
    nodes: Nodes = "auto",
    placement: Placement = "spread",
    requires: Sequence[str] = (),
    what_if: Mapping[str, float] | None = None,
    churn_per_minute: float = 0.0,
    rules: str | Path | None = None,
    jobs: int | None = None,
    on_progress: Progress | None = None,
    should_stop: Stop | None = None,
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
    inputs = read_inputs(application, dataplanes, machine, costs)
    rps = checked(Load, rps=rps).rps
    measured = defaults.GROW_REQUESTS if requests is None else requests
    settings = Settings(
        policy,
        measured,
        warmup,
        seed,
        nodes,
        placement,
        defaults.GROW_SAMPLE,
        tuple(requires),
        what_if or {},
        churn_per_minute,
        rules,
    )
    own = len(inputs.application.services)
    rates = {size: rps * size / own if rate == "per-service" else rps for size in sizes}
    at = {size: keep_pace(inputs, rates[size] / rps) for size in sizes}
    # The largest first: they take longest.
    tasks = [point for size in reversed(sizes) for point in prepare_points(at[size], settings, rates[size], size)]
    done, complete = run_points(tasks, settings, jobs, on_progress, should_stop)
    points, refused = split(done, complete)
    by_place = {(point.row.services, point.row.dataplane): point for point in points}
    order = [(size, plane.name) for size in sizes for plane in inputs.dataplanes]
    return Growth(
        GrowthReport(
            application=inputs.application.name,
            rate=rate,
            rows=[
                with_difference(by_place[size, name], by_place.get((size, inputs.baseline)))
                for size, name in order
                if (size, name) in by_place
            ],
            crossovers=_crossovers(inputs, settings, rps, rates, by_place),
            provenance=provenance(inputs, settings, _command(inputs, settings, sizes, rps, rate)),
            refused=sorted(refused, key=lambda one: order.index((one.services, one.dataplane))),
            notes=[*settings.notes(inputs, tasks), *_pace_notes(inputs, at[sizes[-1]])],
            partial=not complete,
        )
    )


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
    ("p50", "us", "has a lower median latency"),
    ("p99", "us", "has a lower p99 latency"),
)


def _crossovers(
    inputs: Inputs,
    settings: Settings,
    rps: float,
    rates: dict[int, float],
    points: dict[tuple[int, str], Point],
) -> list[Crossover]:
    memory = _Memory(inputs, settings, rps, per_service=len(set(rates.values())) > 1)
    found: list[Crossover] = []
    for metric, unit, words in METRICS:
        for a, b in combinations([plane.name for plane in inputs.dataplanes], 2):
            gaps = [
                gap
                for size in rates
                if (size, a) in points and (size, b) in points
                if (gap := _gap(metric, size, points[size, a], points[size, b])) is not None
            ]
            exact = memory.difference(a, b) if metric == "memory_mib" else None
            found += crossovers(metric, unit, words, a, b, gaps, exact)
    return found


def _gap(metric: str, size: int, a: Point, b: Point) -> Gap | None:
    """How much more A needs than B; None where the runs were too short to say."""
    if metric == "memory_mib":
        return Gap(size, a.row.memory_mib - b.row.memory_mib)
    if metric in ("p50", "p99"):
        apart = quantile_difference(a.latency, b.latency, {"p50": 0.5, "p99": 0.99}[metric])
    else:
        apart = usd_difference(a, b) if metric == "usd_month" else cpu_difference(a, b)
    if apart.value is None or apart.low is None or apart.high is None:
        return None
    return Gap(size, apart.value, (apart.high - apart.low) / 2)


class _Memory:
    """Memory at any size, from the static bill; each size is placed once a data plane."""

    def __init__(self, inputs: Inputs, settings: Settings, rps: float, per_service: bool) -> None:
        self.inputs, self.settings, self.rps, self.per_service = inputs, settings, rps, per_service
        self.scaled: dict[int, Application] = {}
        self.known: dict[tuple[str, int], float] = {}

    def __call__(self, name: str, size: int) -> float:
        if (name, size) not in self.known:
            inputs = self.inputs
            growth = size / len(inputs.application.services) if self.per_service else 1.0
            if size not in self.scaled:
                self.scaled[size] = scale(inputs.application, size)
            plane = next(plane for plane in keep_pace(inputs, growth).dataplanes if plane.name == name)
            scenario = self.settings.scenario(inputs, name, self.rps * growth, size)
            bill = static_bill(self.scaled[size], plane, inputs.machine, scenario, inputs.costs)
            self.known[name, size] = bill.memory_mib
        return self.known[name, size]

    def difference(self, a: str, b: str) -> Callable[[int], float]:
        """Memory of A less that of B, MiB, as a function of the number of services."""
        return lambda size: self(a, size) - self(b, size)


def _command(inputs: Inputs, settings: Settings, sizes: list[int], rps: float, rate: str) -> list[str]:
    command = ["meshsim", "grow", inputs.names["application"], "--services", ",".join(map(str, sizes))]
    command += [*shared_options(inputs), "--rps", plain(rps), "--rate", rate]
    return command + settings.options(Settings("L7", defaults.GROW_REQUESTS, None, 1, "auto", "spread"))
