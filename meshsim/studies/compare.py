"""Several data planes under one load, on the same requests."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from meshsim.costs.book import CostBook
from meshsim.costs.books import Costs
from meshsim.plan.lower import OverloadedError
from meshsim.results.rows import ComparisonReport, Refused, Row
from meshsim.scenario.application import Application
from meshsim.scenario.dataplane import DataPlane
from meshsim.scenario.machine import Machine
from meshsim.studies import defaults
from meshsim.studies.inputs import (
    Inputs,
    Nodes,
    Placement,
    Policy,
    Settings,
    jobs_for,
    plain,
    prepare_points,
    provenance,
    read_inputs,
    shared_options,
)
from meshsim.studies.point import Point, difference, simulate_point
from meshsim.studies.pool import Progress, Stop, run_all
from meshsim.studies.replicate import BUDGET, Goal, Metric, relative_error, replicate, verdicts
from meshsim.studies.report import Reported
from meshsim.studies.setup import Prepared
from meshsim.studies.warmup import Found, find_warmup


@dataclass(repr=False)
class Comparison(Reported):
    """One row a data plane, in the order asked for."""

    report: ComparisonReport

    def plot(self, **options: Any) -> Any:
        """Latency, CPU, memory and money side by side, as a Plotly figure."""
        from meshsim.figures import as_figure
        from meshsim.figures.comparison import comparison_figure

        return as_figure(comparison_figure(self.report, **options))


def compare(
    application: str | Path | Application,
    dataplanes: Sequence[str | Path | DataPlane] = defaults.DATAPLANES,
    rps: float = defaults.RPS,
    *,
    policy: Policy = "L7",
    requests: int | None = None,
    warmup: float | Literal["auto"] | None = None,
    seed: int = 1,
    costs: Sequence[str | Path | CostBook] | Costs = defaults.COSTS,
    machine: str | Path | Machine = defaults.MACHINE,
    nodes: Nodes = "auto",
    placement: Placement = "spread",
    services: int | None = None,
    requires: Sequence[str] = (),
    what_if: Mapping[str, float] | None = None,
    churn_per_minute: float = 0.0,
    rules: str | Path | None = None,
    settle: bool = False,
    precision: float | None = None,
    of: Metric = "p99",
    budget: int = BUDGET,
    jobs: int | None = None,
    on_progress: Progress | None = None,
    should_stop: Stop | None = None,
) -> Comparison:
    """Simulate the same requests over each data plane.

    ``application``, ``dataplanes``, ``machine`` and ``costs`` are names from ``meshsim list``, paths of files, or
    models. ``rps``: requests a second from outside, over all entries. ``requests``: measured ones (default 12 000),
    ``warmup``: a share of them before, or "auto": found by MSER-5 on pilot runs. ``services``: scale the application
    to that many first. ``jobs``: processes, -1 for all cores; left out, all cores unless the study is small.
    ``on_progress(done, total, what)`` counts requests.
    ``requires``: features (meshsim capabilities) that each data plane must provide, fall back for, or be refused.
    ``what_if``: costs scaled by pattern, ``{"*.wakeup": 0}``. ``churn_per_minute``: pods that start or stop.
    ``rules``: a file with resilience, rate_limits, balancing, connections, autoscaling, faults, as in a scenario.

    ``settle`` adds replications (the same with the next seeds) until it is known for each pair of data planes which
    has the lower latency at the quantile ``of``; ``precision`` (0.05 is 5 %) until the 95 % interval of that quantile
    reaches no further than that share of it; ``budget`` is the most replications. Either fills ``report.verdicts``.

    Every data plane sees the same arrivals, branches and service times, so differences are paired: against
    ``no-mesh`` if it takes part, else against the first. When stopped (``should_stop`` or Ctrl-C) the finished rows
    come back and ``partial`` is True. A data plane that cannot carry the load has no row but a reason in
    ``report.refused``. Raises MeshsimError for wrong input, OverloadedError if no data plane can carry the load.
    """
    inputs = read_inputs(application, dataplanes, machine, costs)
    goal = Goal(of, settle, precision, budget)
    goal.check()
    measured = defaults.COMPARE_REQUESTS if requests is None else requests
    settings = Settings(
        policy,
        measured,
        None if warmup == "auto" else warmup,
        seed,
        nodes,
        placement,
        requires=tuple(requires),
        what_if=what_if or {},
        churn_per_minute=churn_per_minute,
        rules=rules,
    )
    tasks = prepare_points(inputs, settings, rps, services)
    notes = settings.notes(inputs, tasks)
    found: Found | None = None
    if warmup == "auto":
        found = find_warmup(tasks, measured, jobs_for(jobs, len(tasks), measured), on_progress, should_stop)
        if found is not None:
            settings = replace(settings, warmup=found.share)
            tasks = prepare_points(inputs, settings, rps, services)
            notes.append(found.note)

    def run(these: Sequence[Prepared], progress: Progress | None) -> tuple[list[Point | Refused], bool]:
        return run_points(these, settings, jobs, progress, should_stop)

    if warmup == "auto" and found is None:
        done, replications, complete = list[Point | Refused](), 1, False
    elif goal.asked:
        done, replications, complete = replicate(tasks, goal, run, on_progress)
    else:
        (done, complete), replications = run(tasks, on_progress), 1
    points, refused = split(done, complete)
    base = next((point for point in points if point.row.dataplane == inputs.baseline), None)
    return Comparison(
        ComparisonReport(
            application=inputs.application.name,
            rps=rps,
            rows=[with_difference(point, base) for point in points],
            provenance=provenance(inputs, settings, _command(inputs, settings, rps, services, goal)),
            replications=replications,
            verdicts=verdicts(points, of) if goal.asked else [],
            refused=refused,
            notes=[*notes, *_unreached(goal, points, replications)],
            partial=not complete,
        )
    )


def _unreached(goal: Goal, points: Sequence[Point], replications: int) -> list[str]:
    """Of which data planes the quantile is not known as precisely as asked, and what that would have taken."""
    if goal.precision is None:
        return []
    notes = []
    for point in points:
        error = relative_error(getattr(point.row.latency_us, goal.of))
        if error > goal.precision:
            wanted = f"about {math.ceil(replications * (error / goal.precision) ** 2)}" if error < math.inf else "more"
            known = f"known to ±{error:.1%}" if error < math.inf else "not known"
            notes.append(
                f"{point.row.dataplane}: {goal.of} is {known} after {replications} replications, not to "
                f"±{goal.precision:.1%}; that would take {wanted} (--budget)"
            )
    return notes


def run_points(
    tasks: Sequence[Prepared],
    settings: Settings,
    jobs: int | None,
    on_progress: Progress | None,
    should_stop: Stop | None,
) -> tuple[list[Point | Refused], bool]:
    """Simulate; what was finished in the order of ``tasks``, and whether that is everything."""
    found: dict[int, Point | Refused] = {}

    def keep(index: int, one: Point | Refused) -> None:
        found[index] = one

    complete = run_all(  # type: ignore[misc]  # mypy cannot take None out of a union of three
        simulate_point,
        tasks,
        size=settings.requests,
        jobs=jobs_for(jobs, len(tasks), settings.requests),
        on_result=keep,
        on_progress=on_progress,
        should_stop=should_stop,
    )
    return [found[index] for index in sorted(found)], complete


def split(done: Sequence[Point | Refused], complete: bool) -> tuple[list[Point], list[Refused]]:
    """Rows and refusals. If all there is are refusals, there is nothing to report: OverloadedError with the first.

    Of a study that was stopped nobody knows that: what was not finished might have carried the load.
    """
    points = [one for one in done if isinstance(one, Point)]
    refused = [one for one in done if isinstance(one, Refused)]
    if refused and not points and complete:
        first = refused[0]
        raise OverloadedError(f"{first.dataplane} with {first.services} services: {first.reason}")
    return points, refused


def with_difference(point: Point, base: Point | None) -> Row:
    """The row of ``point`` with its difference to ``base``; the baseline itself has none."""
    if base is None or base is point:
        return point.row
    return point.row.model_copy(update={"difference": difference(point, base)})


def _command(inputs: Inputs, settings: Settings, rps: float, services: int | None, goal: Goal) -> list[str]:
    command = ["meshsim", "compare", inputs.names["application"], *shared_options(inputs), "--rps", plain(rps)]
    if services is not None:
        command += ["--services", str(services)]
    if goal.settle:
        command.append("--settle")
    if goal.precision is not None:
        command += ["--precision", plain(goal.precision)]
    if goal.asked:
        command += ["--of", goal.of, "--budget", str(goal.budget)]
    return command + settings.options(Settings("L7", defaults.COMPARE_REQUESTS, None, 1, "auto", "spread"))
