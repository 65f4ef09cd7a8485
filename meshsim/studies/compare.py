"""Several data planes under one load, on the same requests."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

from meshsim.engines import select
from meshsim.plan.lower import OverloadedError
from meshsim.results.rows import ComparisonReport, Refused, Row
from meshsim.scenario.application import Application
from meshsim.scenario.dataplane import DataPlane
from meshsim.studies import defaults
from meshsim.studies.inputs import jobs_for
from meshsim.studies.point import Point, difference, simulate_point
from meshsim.studies.pool import Progress, run_all
from meshsim.studies.question import Common, Question, ask, option
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
    services: int | None = None,
    settle: bool = False,
    precision: float | None = None,
    of: Metric = "p99",
    budget: int = BUDGET,
    **common: Unpack[Common],
) -> Comparison:
    """Simulate the same requests over each data plane.

    ``application``, ``dataplanes``, ``machine`` and ``costs`` are names from ``meshsim list``, paths of files, or
    models. ``rps``: requests a second from outside, over all entries. ``services``: scale the application to that
    many first.

    ``common``: ``policy`` "L7" or "L4"; ``requests``, measured ones (default 12 000); ``warmup``, a share of them
    before, or "auto": found by MSER-5 on pilot runs; ``seed`` of all random numbers; ``nodes`` and ``placement`` of
    the cluster; ``jobs``: processes, -1 for all cores; left out, all cores unless the study is small.
    ``on_progress(done, total, what)`` counts requests; ``should_stop()`` ends the study.
    ``requires``: features (meshsim capabilities) that each data plane must provide, fall back for, or be refused.
    ``what_if``: costs scaled by pattern, ``{"*.wakeup": 0}``. ``churn_per_minute``: pods that start or stop.
    ``rules``: a file with resilience, rate_limits, balancing, connections, autoscaling, faults, as in a scenario.
    ``engine``: "reference" or "compiled", which give the same answer, "auto" for the one that is there sooner, or
    "analytic" (compare and grow): approximations at once, without intervals. A row says which engine it is from.

    ``settle`` adds replications (the same with the next seeds) until it is known for each pair of data planes which
    has the lower latency at the quantile ``of``; ``precision`` (0.05 is 5 %) until the 95 % interval of that quantile
    reaches no further than that share of it; ``budget`` is the most replications. Either fills ``report.verdicts``.

    Every data plane sees the same arrivals, branches and service times, so differences are paired: against
    ``no-mesh`` if it takes part, else against the first. When stopped (``should_stop`` or Ctrl-C) the finished rows
    come back and ``partial`` is True. A data plane that cannot carry the load has no row but a reason in
    ``report.refused``. Raises MeshsimError for wrong input, OverloadedError if no data plane can carry the load.
    """
    goal = Goal(of, settle, precision, budget)
    goal.check()
    asked = ask(
        application,
        dataplanes,
        common,
        requests=defaults.COMPARE_REQUESTS,
        may_find_warmup=True,
        may_approximate=not goal.asked,
    )
    tasks = asked.tasks(rps, services)
    notes = asked.notes(tasks)
    found: Found | None = None
    if asked.auto_warmup:
        measured = asked.settings.requests
        jobs = jobs_for(asked.jobs, len(tasks), measured)
        found = find_warmup(tasks, measured, jobs, asked.on_progress, asked.should_stop)
        if found is not None:
            asked = asked.with_warmup(found.share)
            tasks = asked.tasks(rps, services)
            notes.append(found.note)

    def run(these: Sequence[Prepared], progress: Progress | None) -> tuple[list[Point | Refused], bool]:
        return run_points(asked, these, progress)

    if asked.auto_warmup and found is None:
        done, replications, complete = list[Point | Refused](), 1, False
    elif goal.asked:
        done, replications, complete = replicate(tasks, goal, run, asked.on_progress)
    else:
        (done, complete), replications = run(tasks, asked.on_progress), 1
    points, refused = split(done, complete)
    base = next((point for point in points if point.row.dataplane == asked.inputs.baseline), None)
    return Comparison(
        ComparisonReport(
            application=asked.name,
            rps=rps,
            rows=[with_difference(point, base) for point in points],
            provenance=asked.provenance("compare", option("services", services), _goal_options(goal), rps=rps),
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
    asked: Question, tasks: Sequence[Prepared], on_progress: Progress | None
) -> tuple[list[Point | Refused], bool]:
    """Simulate; what was finished in the order of ``tasks``, and whether that is everything."""
    found: dict[int, Point | Refused] = {}
    engines = {task.scenario.run.engine for task in tasks}
    size = 0 if engines == {"analytic"} else asked.settings.requests

    def keep(index: int, one: Point | Refused) -> None:
        found[index] = one

    complete = run_all(  # type: ignore[misc]  # mypy cannot take None out of a union of three
        simulate_point,
        tasks,
        size=asked.settings.requests,
        jobs=jobs_for(asked.jobs, len(tasks), size),
        on_result=keep,
        on_progress=on_progress,
        should_stop=asked.should_stop,
        threads=select.runs_on_threads(asked.settings.engine),
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


def _goal_options(goal: Goal) -> list[str]:
    given = ["--settle"] if goal.settle else []
    given += option("precision", goal.precision)
    return given + (["--of", goal.of, "--budget", str(goal.budget)] if goal.asked else [])
