"""How far the analytic engine is from simulation, and how long it takes: ``python -m tests.benchmarks.analytic``.

Every shipped application over every shipped data plane, at rates at which the busiest station is busy 30, 60 and 85 % of
the time (by the analytic engine; the simulated utilisation is printed beside it). Simulated with the compiled engine
where this installation has it, else with the reference engine, which takes hours for all of them: name applications and
data planes to do fewer. The engine's constants were fitted on these scenarios; ``--drawn N --seed S`` takes others, that
nothing was fitted on (``tests.benchmarks.drawn``).
"""

from __future__ import annotations

import argparse
import importlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from meshsim.engines import analytic
from meshsim.engines.analytic.answer import prepare as prepare_plan
from meshsim.engines.analytic.solver import solve_at
from meshsim.plan.lower import lower
from meshsim.plan.plan import Plan
from meshsim.results.intervals import estimate_quantile
from meshsim.scenario.base import MeshsimError
from meshsim.scenario.catalog import names
from meshsim.scenario.scenario import Load, Run, Scenario
from meshsim.studies.setup import prepare

from .drawn import drawn, rate_at

LOADS = (0.3, 0.6, 0.85)
COLUMNS = ("mean", "p50", "p90", "p99", "cpu", "busiest")


def engine() -> Any:
    """The fastest engine that simulates here."""
    try:
        return importlib.import_module("meshsim.engines.compiled")
    except ImportError:
        return importlib.import_module("meshsim.engines.reference")


def plan_at(application: str, dataplane: str, rps: float) -> Plan:
    load = Load(rps=float(f"{rps:.6g}"), overload="simulate")
    return prepare(Scenario(application=application, dataplane=dataplane, load=load)).plan


def errors(plan: Plan, requests: int, seed: int = 1) -> list[float]:
    """Relative errors in percent, in the order of COLUMNS."""
    result = engine().run(plan, Run(requests=requests, seed=seed, sample=0))
    answer = analytic.solve(plan)
    measured = [result.latency.mean() / 1000]
    for share in (0.5, 0.9, 0.99):
        measured.append(estimate_quantile(result.latency, share).value or float("nan"))
    measured.append(float(result.cpu_ns.sum()) / result.window_ns)
    measured.append(float((result.stations.busy_ns / (plan.station_servers * float(result.end_ns))).max()))
    said = [answer.mean_us, answer.p50_us, answer.p90_us, answer.p99_us, answer.cores_by_tag.sum()]
    said.append(float(answer.utilisation.max()))
    return [100 * (float(a) / m - 1) for a, m in zip(said, measured, strict=True)]


def speed(services: int = 10_000, replicas: int = 10) -> dict[str, float]:
    """CPU seconds for a large application: lowering, reading the plan once, and each answer."""
    prepared = prepare(
        Scenario(application="online-boutique", dataplane="istio-sidecar", services=services, load=Load(rps=2000.0))
    )
    app = prepared.application
    app = app.model_copy(
        update={"services": [service.model_copy(update={"replicas": replicas}) for service in app.services]}
    )
    clock = time.process_time
    begin = clock()
    plan = lower(app, prepared.dataplane, prepared.machine, prepared.scenario, prepared.costs)
    lowered = clock()
    model = prepare_plan(plan)
    read = clock()
    answers = []
    for rps in (1500.0, 2000.0, 2500.0, 1800.0, 2200.0):
        start = clock()
        analytic.solve(plan, rps)
        answers.append(clock() - start)
    start = clock()
    solve_at(model, 2000.0 / 1e9)
    return {
        "lowering": lowered - begin,
        "reading the plan, with its saturation rate": read - lowered,
        "an answer (median of 5)": float(np.median(answers)),
    }


SHARE = {"mean": "mean", "p50": "p50", "p90": "p90", "p99": "p99", "cpu": "cpu", "busiest": "utilisation"}
"""Column -> what the engine calls it in ``trust``."""
BINS = ((0.15, 0.4), (0.4, 0.6), (0.6, 0.75), (0.75, 0.9))


@dataclass(frozen=True)
class Point:
    """The errors of one drawn scenario, in percent, and which of the figures the engine trusts."""

    rho: float
    errors: dict[str, float]
    trusted: dict[str, bool]


def of_drawn(count: int, seed: int, requests: int, say: Callable[[str], None] = lambda text: None) -> list[Point]:
    """Simulate scenarios on which nothing was fitted."""
    points = []
    for one in drawn(count, seed):
        found = dict(zip(COLUMNS, errors(one.plan, requests, one.number), strict=True))
        answer = analytic.solve(one.plan)
        trust = {str(name): good for name, good in answer.trust.items()}
        points.append(Point(one.rho, found, {column: trust[name] for column, name in SHARE.items()}))
        cells = " ".join(f"{value:8.1f}{'' if points[-1].trusted[name] else '*'}" for name, value in found.items())
        say(f"{one.number:4d} {one.rho:4.2f} {cells}  {one.what}; {'; '.join(answer.reasons)}")
    return points


def table(points: Sequence[Point]) -> Iterator[str]:
    """By utilisation and quantity: median, 90th percentile and worst of |error|, of all and of what is trusted."""
    yield "| busiest station | scenarios | " + " | ".join(COLUMNS) + " |"
    yield "|---" * (2 + len(COLUMNS)) + "|"
    for trusted in (False, True):
        for low, high in (*BINS, (BINS[0][0], BINS[-1][1])):
            here = [point for point in points if low <= point.rho < high]
            cells = []
            for name in COLUMNS:
                size = [abs(point.errors[name]) for point in here if not trusted or point.trusted[name]]
                size = [value for value in size if np.isfinite(value)]
                some = f"{np.median(size):.1f} / {np.quantile(size, 0.9):.1f} / {max(size):.0f}" if size else "–"
                cells.append(f"{some} ({len(size)})" if trusted else some)
            what = f"{low:.0%} to {high:.0%}{', trusted only' if trusted else ''}"
            yield f"| {what} | {len(here)} | {' | '.join(cells)} |"


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    """What is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--drawn", type=int, default=0, metavar="N", help="N scenarios drawn at random instead")
    parser.add_argument("--seed", type=int, default=1, help="of these")
    parser.add_argument("only", nargs="*", help="applications and data planes; all where left out")
    parser.add_argument("--requests", type=int, default=60_000)
    parser.add_argument("--no-speed", action="store_true")
    return parser.parse_args(words)


def main() -> None:
    """Measure and print."""
    given = arguments()
    if given.drawn:
        print(f"errors in percent (* not trusted): {', '.join(COLUMNS)}")
        points = of_drawn(given.drawn, given.seed, given.requests, lambda text: print(text, flush=True))
        print("\n".join(("median / 90th percentile / worst of |error|, %", *table(points))))
        return
    print(f"simulated by {engine().__name__}, {given.requests} requests; errors in percent: {', '.join(COLUMNS)}")
    found: dict[float, list[list[float]]] = {rho: [] for rho in LOADS}

    def wanted(kind: str) -> list[str]:
        every = list(names(kind))
        return [name for name in every if name in given.only] or every

    for application in wanted("applications"):
        for dataplane in wanted("dataplanes"):
            try:
                small = plan_at(application, dataplane, 1.0)
            except MeshsimError as error:
                print(f"{application} over {dataplane}: {error}")
                continue
            for rho in LOADS:
                row = errors(plan_at(application, dataplane, rate_at(small, rho)), given.requests)
                found[rho].append(row)
                cells = " ".join(f"{error:8.1f}" for error in row)
                print(f"{application:18s} {dataplane:28s} {rho:4.2f} {cells}", flush=True)
    for rho, rows in found.items():
        size = np.abs(np.array(rows))
        median, worst = np.nanmedian(size, axis=0), np.nanmax(size, axis=0)
        print(f"rho {rho:4.2f}: {len(rows)} scenarios")
        print("  median of |error|, %: " + ", ".join(f"{n} {v:.1f}" for n, v in zip(COLUMNS, median, strict=True)))
        print("  worst:                " + ", ".join(f"{n} {v:.1f}" for n, v in zip(COLUMNS, worst, strict=True)))
    if not given.no_speed:
        for what, seconds in speed().items():
            print(f"10 000 services x 10 pods, {what}: {seconds * 1000:.0f} ms of CPU")


if __name__ == "__main__":
    main()
