"""A validation: rounds over scenarios, kept in a journal; then each is predicted, and both become a scoreboard.

Rounds are those of ``meshsim.measure.session``: interleaved over scenarios, repeated where others disturbed them,
resumed from the journal (``FILE.samples.jsonl``). How fast a scenario is in closed loop is measured first; the
open-loop rates are shares of what the first round reached, the same in all rounds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

from meshsim import __version__
from meshsim.measure.bench import Bench
from meshsim.measure.book import write
from meshsim.measure.experiment import Experiment, Reading, Samples
from meshsim.measure.session import Journal, Progress, Session, go_through, remarks
from meshsim.results.scoreboard import Scoreboard, ScoreRow, verdicts
from meshsim.scenario.base import MeshsimError
from meshsim.scenario.catalog import load_costs
from meshsim.studies.pool import run_all
from meshsim.testbed.deploy import deploy, needs
from meshsim.testbed.drive import drive
from meshsim.testbed.predict import QUICK_REQUESTS, REQUESTS, OwnWork, Prediction, predict
from meshsim.testbed.published import published_rows
from meshsim.testbed.ranges import conditions_of, files_of, outside
from meshsim.testbed.scenarios import BASELINE, LOADS, QUICK, SATURATED, Case, cases
from meshsim.testbed.scoreboard import experiment_of, own_work, rates, ratios_to_no_mesh, rows_of

ROUNDS = 6
"""The fewest whose extremes hold the true median with 95 %."""
QUICK_ROUNDS = 3
ATTEMPTS = 2
NEAR_SATURATION = 10
"""So many times as many requests are simulated at the highest load."""
COSTS = ("epyc-2-vcpu", "published")


@dataclass
class Pace:
    """How long a point lasts, seconds; and what the scenarios reach, once it is known."""

    seconds: float
    warm_up: float
    closed_seconds: float
    saturation: dict[str, float] = field(default_factory=dict)


FULL = (1.2, 0.2, 0.9)
BRIEF = (0.5, 0.1, 0.4)


def validate(
    out: Path,
    *,
    quick: bool = False,
    rounds: int | None = None,
    fresh: bool = False,
    only: Sequence[str] = (),
    costs: Sequence[str] = COSTS,
    attempts: int = ATTEMPTS,
    jobs: int = -1,
    on_progress: Progress | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Scoreboard:
    """Measure, predict, and write the scoreboard ``out``; the samples beside it are kept and completed.

    ``only``: names of scenarios (the baseline is measured with them: it gives the programs' own work).
    """
    wanted = cases([] if not only else [*{BASELINE: None, **dict.fromkeys(only)}])
    if quick and not only:
        wanted = [case for case in wanted if case.name in QUICK]
    journal = Journal(out, quick, fresh)
    session = Session(None, out, Samples([]))
    pace = Pace(*(BRIEF if quick else FULL))
    for case in wanted:
        for load, rps in rates(Samples(journal.samples), case).items():
            if not isinstance(load, str):
                pace.saturation.setdefault(case.name, rps / load)
    rounds = rounds or (QUICK_ROUNDS if quick else ROUNDS)
    everything = [as_experiment(case, pace) for case in wanted]
    go_through(everything, journal, session, rounds, attempts, on_progress, should_stop)
    return score(wanted, session, journal, costs, out, rounds, jobs, on_progress, should_stop)


def rescore(
    out: Path,
    *,
    costs: Sequence[str] = COSTS,
    jobs: int = -1,
    on_progress: Progress | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Scoreboard:
    """Predict anew what lies measured beside ``out``, and write the scoreboard ``out``; nothing is measured.

    MeshsimError if there are no samples. The host is the one on which they were taken, whichever this is.
    """
    journal = Journal(out, None, False)
    if not journal.samples:
        raise MeshsimError(f"{journal.path}: no samples there; meshsim validate --out {out} takes some")
    session = Session(None, out, Samples(journal.samples), warnings=remarks(journal))
    wanted = [case for case in cases() if rates(session.samples, case)]
    rounds = 1 + max(sample.round for sample in journal.samples)
    return score(wanted, session, journal, costs, out, rounds, jobs, on_progress, should_stop)


def as_experiment(case: Case, pace: Pace) -> Experiment:
    """A scenario as what a session goes through: closed loop, then open loop at each load."""
    points = pace.closed_seconds + len(LOADS) * (pace.seconds + pace.warm_up)
    return Experiment(
        experiment_of(case),
        f"{case.application.name} over {case.dataplane.title}: latency, CPU, memory at {len(LOADS)} rates, saturated",
        partial(_run, case, pace),
        seconds=points + 2.0,
        quick_seconds=points + 2.0,
        needs=tuple(needs(case)),
    )


def _run(case: Case, pace: Pace, bench: Bench) -> None:
    lab = bench.lab
    lab.keep_awake()
    told_us = sum(step.compute.mean_us for s in case.servers[:1] for step in s.endpoints[0].steps if step.compute)
    with ExitStack() as stack:
        mesh = deploy(case, lab, stack)

        def take(rps: float, seconds: float) -> dict[str, Reading | str]:
            found = drive(case, mesh, rps, seconds, pace.warm_up)
            return {**found, "compute_us": told_us, "proxies": float(len(mesh.proxies))}

        sample = bench.measure({"load": SATURATED, "rps": 0.0}, partial(take, 0.0, pace.closed_seconds))
        reached = pace.saturation.setdefault(case.name, sample.values["requests_per_second"])
        for load in LOADS:
            rps = round(load * reached, 1)
            bench.measure({"load": load, "rps": rps}, partial(take, rps, pace.seconds))


def score(
    wanted: Sequence[Case],
    session: Session,
    journal: Journal,
    books: Sequence[str],
    out: Path,
    rounds: int,
    jobs: int,
    on_progress: Progress | None,
    should_stop: Callable[[], bool],
) -> Scoreboard:
    """Predict everything that was measured, and write the scoreboard."""
    samples = session.samples
    costs = load_costs(books)
    own = own_work(samples, costs)
    rows: list[ScoreRow] = []
    complete = session.complete
    warnings = list(session.warnings)
    if own is not None and complete:
        requests = QUICK_REQUESTS if journal.quick else REQUESTS
        tasks = [
            Task(case, load, rps, own, tuple(books), _long(requests, load), int(journal.host["cores"]))
            for case in wanted
            for load, rps in rates(samples, case).items()
        ]
        found: dict[int, Prediction] = {}
        complete = run_all(
            _predict, tasks, size=100, jobs=jobs, on_result=found.__setitem__, on_progress=on_progress,
            should_stop=should_stop,
        )  # fmt: skip
        files = files_of(costs, books)
        for number, prediction in sorted(found.items()):
            task = tasks[number]
            beyond = outside(task.case, task.load, prediction.operations, costs, files)
            rows += rows_of(task.case, task.load, samples, prediction, beyond)
            warnings += [f"{task.case.name} at {task.load}: {note}" for note in prediction.notes]
    board = Scoreboard(
        meshsim=__version__,
        host=journal.host,
        costs=list(books),
        rounds=rounds,
        own_work={} if own is None else {name: round(value, 3) for name, value in asdict(own).items()},
        rows=rows,
        conditions=conditions_of([case for case in wanted if rates(samples, case)], int(journal.host["cores"])),
        ratios=ratios_to_no_mesh(wanted, samples, rows),
        published=[] if journal.quick or not rows else published_rows(books),
        verdicts=verdicts(rows),
        skipped={one.experiment.removeprefix("testbed."): one.reason for one in session.skipped},
        warnings=warnings,
        complete=complete,
    )
    if rows:
        write(out, board.model_dump_json(by_alias=True, indent=1) + "\n")
    return board


def _long(requests: int, load: float | str) -> int:
    """Near saturation a short run does not say what its p99 is."""
    return requests * NEAR_SATURATION if not isinstance(load, str) and load > LOADS[-2] else requests


@dataclass(frozen=True)
class Task:
    """One prediction."""

    case: Case
    load: float | str
    rps: float
    own: OwnWork
    books: tuple[str, ...]
    requests: int
    cores: int
    """Of the host that was measured."""


def _predict(task: Task, tick: Callable[[int, int], None], should_stop: Callable[[], bool]) -> Prediction | None:
    if should_stop():
        return None
    return predict(task.case, task.rps, task.own, load_costs(task.books), requests=task.requests, cores=task.cores)
