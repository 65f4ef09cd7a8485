"""Many scenarios on all cores, or on many machines, kept point by point.

Whatever ends a sweep (Ctrl-C, kill -9), the points that were finished are there, and the next run computes only what
is missing. Two sweeps into one folder share the work: each point is locked by whoever computes it. See
``meshsim.studies.study`` for what a study may ask, ``meshsim.studies.store`` for what lies in the folder.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from meshsim.engines import select
from meshsim.scenario.base import MeshsimError
from meshsim.studies import columns
from meshsim.studies.inputs import checked_jobs
from meshsim.studies.pool import Progress, Stop, Tick, Work, cores, run_all
from meshsim.studies.reality import with_reality
from meshsim.studies.row import make_row
from meshsim.studies.setup import canonical_hash
from meshsim.studies.store import MANIFEST, Claim, Store, Timing
from meshsim.studies.study import SweepPoint, read_study_with_inputs
from meshsim.studies.version import model_version

if TYPE_CHECKING:
    import pandas as pd

Backend = Literal["processes", "dask"]
UNITS = 1000
"""Progress is counted in so many parts of a point."""
WAIT_S = 0.5
"""How often to look whether another sweep has finished its points."""
PILOTS = 4
PILOT_REQUESTS = 300
"""A pilot point is cut to so many measured requests."""


@dataclass(frozen=True)
class TimeEstimate:
    """How long the missing points will take, and where that is known from."""

    seconds: float
    processes: int
    basis: str


@dataclass(frozen=True)
class Sweep:
    """What a sweep did."""

    folder: Path
    points: list[SweepPoint]
    known: int
    """Points that an earlier run had left in the folder."""
    computed: int
    failed: int
    """Points, of any run, whose row says why there are no numbers."""
    missing: int
    """Points that are not there now."""
    partial: bool
    estimate: TimeEstimate | None = None
    """Of a dry run with missing points."""
    dry_run: bool = False

    def table(self) -> pd.DataFrame:
        """One row a finished point of this study, in the order of the study. Units are in the names of the columns."""
        import pandas as pd

        store = Store(self.folder)
        there = store.keys()
        frames = [pd.read_parquet(store.part(point.key)) for point in self.points if point.key in there]
        return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=list(columns.column_types()))

    def to_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        told: dict[str, Any] = {"schema": "meshsim/sweep/1", "folder": str(self.folder), "model": model_version()}
        told |= {"points": len(self.points), "known": self.known, "computed": self.computed}
        told |= {"missing": self.missing, "failed": self.failed, "partial": self.partial, "dry_run": self.dry_run}
        return told | {"estimate": None if self.estimate is None else asdict(self.estimate)}


def sweep(
    study: str | Path,
    out: str | Path,
    *,
    jobs: int | None = None,
    backend: Backend = "processes",
    scheduler: str | None = None,
    dry_run: bool = False,
    on_progress: Progress | None = None,
    should_stop: Stop | None = None,
) -> Sweep:
    """Compute the points of a study that ``out`` does not hold yet.

    ``study``: path of a YAML file; ``jobs``: processes, -1 or left out for all cores. ``backend`` "dask" computes on
    the workers of the Dask cluster at ``scheduler`` (tcp://host:8786) instead; results are written from here.
    ``dry_run`` computes nothing that stays, and estimates the time from durations kept in the folder, or else from a
    few shortened points. A point that cannot be simulated (overloaded, does not fit, a cost is missing) leaves a row
    with its error and does not stop the others. When stopped, every finished point has been kept.

    Raises MeshsimError, with file and line, for a wrong study; and for a folder whose results are by another version
    of the model.
    """
    processes = checked_jobs(-1 if jobs is None else jobs)
    if backend not in ("processes", "dask"):
        raise MeshsimError(f"backend: {backend!r} received; choose processes or dask")
    if backend == "dask" and scheduler is None:
        raise MeshsimError("scheduler: none received; backend dask needs the address of one, such as tcp://host:8786")
    if backend == "processes" and scheduler is not None:
        raise MeshsimError(f"scheduler: {scheduler} received; it goes with backend dask only")
    points, inputs, name = read_study_with_inputs(study)
    store = Store(Path(out))
    if dry_run:
        return _dry_run(store, points, processes, on_progress, should_stop)
    return fill(
        store, points, inputs, name, str(study), jobs=processes, scheduler=scheduler, on_progress=on_progress,
        should_stop=should_stop,
    )  # fmt: skip


def fill(
    store: Store,
    points: list[SweepPoint],
    inputs: dict[str, dict[str, Any]],
    name: str,
    source: str,
    *,
    jobs: int,
    scheduler: str | None = None,
    on_progress: Progress | None = None,
    should_stop: Stop | None = None,
) -> Sweep:
    """Compute the points that a folder does not hold yet; ``inputs``: what they name, by hash, for ``replay``."""
    store.open(model_version())
    keys = [point.key for point in points]
    store.keep_study(canonical_hash({"keys": keys})[:16], name, source, keys)
    for hash_, thing in inputs.items():
        store.keep_input(hash_, thing)
    errors = store.errors(keys)
    known = len(errors)
    run = _Run(store, jobs, scheduler, on_progress, should_stop)
    complete = run.all([point for point in points if point.key not in errors])
    errors |= run.found
    failed = sum(error != "" for error in errors.values())
    return Sweep(store.folder, points, known, run.computed, failed, len(points) - len(errors), not complete)


class _Run:
    """One sweep at work."""

    def __init__(
        self, store: Store, jobs: int, scheduler: str | None, on_progress: Progress | None, should_stop: Stop | None
    ) -> None:
        self.store, self.jobs, self.scheduler = store, jobs, scheduler
        self.on_progress, self.should_stop = on_progress, should_stop
        self.claims: dict[str, Claim] = {}
        self.found: dict[str, str] = {}
        """The error, or an empty text, of each point that is there by now, whoever computed it."""
        self.computed = 0

    def all(self, missing: Sequence[SweepPoint]) -> bool:
        """Compute what is missing, and wait for what others compute; False if stopped before that."""
        left = list(missing)
        while left:
            before = self.computed
            try:
                complete = self.once(left)
            finally:
                for claim in self.claims.values():
                    claim.give_back()
                self.claims.clear()
            if not complete:
                return False
            self.found |= self.store.errors([point.key for point in left if point.key not in self.found])
            left = [point for point in left if point.key not in self.found]
            if left and self.computed == before and not self.wait(len(missing), len(left)):
                return False
        return True

    def once(self, points: list[SweepPoint]) -> bool:
        """Compute those of them that nobody else does."""

        def admit(index: int) -> bool:
            key = points[index].key
            claim = self.store.claim(key)
            if claim is not None:
                self.claims[key] = claim
            return claim is not None

        def keep(index: int, done: Done) -> None:
            key = points[index].key
            self.store.keep(self.claims.pop(key), columns.table(done.row))
            self.store.keep_timing(key, Timing(done.seconds, points[index].requests))
            self.found[key] = str(done.row["error"] or "")
            self.computed += 1

        work: Work[SweepPoint, Done] = compute
        live: dict[str, Any] = {"on_progress": self.on_progress, "should_stop": self.should_stop}
        if self.scheduler is not None:
            from meshsim.studies.cluster import run_on_dask

            return run_on_dask(work, points, self.scheduler, admit=admit, on_result=keep, **live)
        return run_all(work, points, size=UNITS, jobs=self.jobs, admit=admit, on_result=keep, **live)

    def wait(self, all_: int, left: int) -> bool:
        """Let another sweep go on with the last points; False to stop."""
        if self.on_progress is not None:
            words = f"waiting for {left} points that another sweep computes"
            self.on_progress((all_ - left) * UNITS, all_ * UNITS, words)
        try:
            time.sleep(WAIT_S)
        except KeyboardInterrupt:
            return False
        return self.should_stop is None or not self.should_stop()


# One point -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Done:
    """A finished point, and the time it took."""

    row: dict[str, Any]
    seconds: float


def compute(point: SweepPoint, tick: Tick, stop: Stop) -> Done | None:
    """Simulate one point, or say why it cannot be; None if it was stopped."""
    began = time.perf_counter()
    row, result, error = None, None, ""
    try:
        prepared = point.prepared
        result = select.run(prepared.plan, prepared.scenario.run, on_progress=tick, should_stop=stop)
        if result.cancelled:
            return None
        row = make_row(result, prepared.dataplane.name, len(prepared.application.services), prepared.machine)
        row = with_reality(row, prepared)
    except MeshsimError as failure:
        error = columns.one_line(failure)
    return Done(columns.values(point, row, result, error), time.perf_counter() - began)


# How long it will take -----------------------------------------------------------------------------------------


def _dry_run(
    store: Store, points: list[SweepPoint], jobs: int, on_progress: Progress | None, should_stop: Stop | None
) -> Sweep:
    errors: dict[str, str] = {}
    timings: list[Timing] = []
    if (store.folder / MANIFEST).exists():
        store.refuse_other(model_version())
        errors, timings = store.errors([point.key for point in points]), store.timings()
    missing = [point for point in points if point.key not in errors]
    failed = sum(error != "" for error in errors.values())
    estimate = _estimate(missing, timings, cores(jobs), on_progress, should_stop) if missing else None
    partial = estimate is None and bool(missing)
    return Sweep(store.folder, points, len(errors), 0, failed, len(missing), partial, estimate, True)


def _estimate(
    missing: Sequence[SweepPoint],
    timings: list[Timing],
    processes: int,
    on_progress: Progress | None,
    should_stop: Stop | None,
) -> TimeEstimate | None:
    """Seconds a request, from durations or pilots, times the requests that are missing; None if stopped."""
    basis = f"the durations of {len(timings)} points in the folder"
    if not timings:
        chosen = missing[:: max(1, len(missing) // PILOTS)][:PILOTS]
        compute(_cut(chosen[0]), lambda done, total: None, should_stop or (lambda: False))  # what the first run loads
        for number, point in enumerate(chosen):
            done = compute(_cut(point), lambda done, total: None, should_stop or (lambda: False))
            if done is None:
                return None
            timings.append(Timing(done.seconds, _cut(point).requests))
            if on_progress is not None:
                on_progress(number + 1, len(chosen), "timing pilot points")
        basis = f"{len(timings)} points cut to {PILOT_REQUESTS} requests and timed just now, on one core each"
    a_request = sum(timing.seconds for timing in timings) / max(1, sum(timing.requests for timing in timings))
    seconds = a_request * sum(point.requests for point in missing) / min(processes, len(missing))
    return TimeEstimate(seconds, processes, basis)


def _cut(point: SweepPoint) -> SweepPoint:
    """The same point, short."""
    scenario = point.prepared.scenario
    run = scenario.run.model_copy(update={"requests": min(scenario.run.requests, PILOT_REQUESTS)})
    prepared = replace(point.prepared, scenario=scenario.model_copy(update={"run": run}))
    return replace(point, prepared=prepared)


# What is there -------------------------------------------------------------------------------------------------


def sweep_status(folder: str | Path) -> dict[str, Any]:
    """What a folder of results holds, as ``meshsim sweep status --json`` prints it.

    ``points``: parts there; ``failed``: of them without numbers; ``computing``: points that some sweep has at this
    moment; ``studies``: each with its name, file, points asked for and missing; ``seconds_a_point``: mean on one
    core, null before the first. MeshsimError if the folder holds no results.
    """
    store = Store(Path(folder))
    model = store.model()
    errors, timings = store.errors(store.keys()), store.timings()
    return {
        "schema": "meshsim/sweep-status/1",
        "folder": str(store.folder),
        "model": model,
        "same_model": model == model_version(),
        "points": len(errors),
        "failed": sum(error != "" for error in errors.values()),
        "computing": store.claimed(),
        "seconds_a_point": sum(timing.seconds for timing in timings) / len(timings) if timings else None,
        "studies": [
            {
                "name": study["name"],
                "file": study["file"],
                "points": len(study["keys"]),
                "missing": sum(key not in errors for key in study["keys"]),
            }
            for study in store.studies()
        ],
    }
