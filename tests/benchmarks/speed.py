"""Who simulates the same model how fast: our engines, the C++ program, and programs of other simulators."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from types import ModuleType
from typing import Any

import numpy as np

from meshsim.engines import compiled, reference
from meshsim.plan.plan import Op, Plan
from meshsim.results.run import RunResult
from meshsim.scenario.scenario import Run

from . import with_simpy
from .models import Mesh, Network, SingleQueue
from .native import Counted, NativeEngine, NotPossible
from .ran import Ran
from .timing import Entrant, Lap, Timed, cpu_seconds, interleaved

PEERS = {"Ciw": "with_ciw", "salabim": "with_salabim", "Cimba-Python": "with_cimba"}
Say = Callable[[str], None]


@lru_cache
def peers() -> dict[str, ModuleType | str]:
    """Programs of the other simulators, or why there is none. To be asked before numba compiles anything: else
    Cimba-Python 0.9.6 does not find the types that it adds to numba's."""
    found: dict[str, ModuleType | str] = {}
    for name, module in PEERS.items():
        try:
            found[name] = importlib.import_module(f".{module}", __package__)
        except ImportError as reason:
            found[name] = f"{reason}; pip install -e '.[benchmark]'"
    return found


@dataclass(frozen=True)
class Case:
    """A model, and how much of it each entrant simulates. Requests for the engines, stages for the others.

    The others stop after so many stages of an empty system that fills up; the compiled engine and the C++ program run
    until the last of their requests is answered, through the same filling up.
    """

    name: str
    model: SingleQueue | Network | Mesh
    rounds: int
    requests: int
    reference_requests: int
    simpy_stages: int
    peer_stages: dict[str, int]

    @property
    def program(self) -> str:
        """The function that runs the model in a module of another simulator."""
        return {SingleQueue: "single_queue", Network: "network", Mesh: "mesh"}[type(self.model)]


def cases(quick: bool) -> list[Case]:
    """What is measured; ``quick`` shows that it works."""
    if quick:
        return [
            Case("M/M/1", SingleQueue(), 1, 50_000, 1000, 10_000,
                 {"Ciw": 3000, "salabim": 1000, "Cimba-Python": 100_000}),
            Case("50 stations", Network(50), 1, 3000, 100, 20_000,
                 {"Ciw": 4000, "salabim": 4000, "Cimba-Python": 50_000}),
            Case("5 000 stations", Network(5000), 1, 2000, 0, 50_000, {}),
            Case("mesh, 8 nodes", Mesh(), 1, 4000, 100, 30_000, {}),
        ]  # fmt: skip
    return [
        Case("M/M/1", SingleQueue(), 5, 1_000_000, 10_000, 100_000,
             {"Ciw": 20_000, "salabim": 5000, "Cimba-Python": 1_000_000}),
        Case("50 stations", Network(50), 5, 50_000, 1000, 200_000,
             {"Ciw": 20_000, "salabim": 20_000, "Cimba-Python": 500_000}),
        Case("5 000 stations", Network(5000), 3, 50_000, 0, 500_000, {"Cimba-Python": 500_000}),
        Case("100 000 stations", Network(100_000), 3, 20_000, 0, 600_000, {}),
        Case("mesh, 8 nodes", Mesh(), 5, 30_000, 500, 300_000, {}),
    ]  # fmt: skip


@dataclass(frozen=True)
class Speed:
    """What came of a case."""

    case: str
    stage: str
    laps: list[Lap]
    """The compiled engine first."""
    skipped: dict[str, str]
    """Entrants that could not run, and why."""
    compiler: str

    def ratio(self, name: str) -> float | None:
        """Time of an entrant over that of the compiled engine, None where it did not run."""
        return next((lap.ratio for lap in self.laps if lap.name == name), None)


def stages_of(plan: Plan, result: RunResult) -> int:
    """Visits to stations that were over: to the cores where there is work, else to whoever has waiting lines."""
    cores = plan.station_is_cpu if bool((plan.op == Op.WORK).any()) else ~plan.station_is_cpu
    return int(result.stations.completions[cores].sum())


def engine_entrant(name: str, run: Callable[[Plan, Run], RunResult], plan: Plan, settings: Run) -> Entrant:
    """One of our engines."""

    def once() -> Timed:
        seconds, result = cpu_seconds(lambda: run(plan, settings))
        return Timed(seconds, stages_of(plan, result))

    return Entrant(name, once)


def counts_differ(result: RunResult, counted: Counted) -> dict[str, tuple[int, int]]:
    """Where the C++ program counted something else than an engine."""
    stations = result.stations
    ours = {
        "events": result.events,
        "answered": result.answered,
        "sent": result.sent,
        "end_ns": result.end_ns,
        "latency_sum_ns": sum(result.latency.sum_ns),
        "call_sum_ns": sum(sum(one.sum_ns) for one in result.call_latency),
        "arrivals": int(stations.arrivals.sum()),
        "busy_ns": int(stations.busy_ns.sum()),
        "present_ns": int(stations.present_ns.sum()),
        "cpu_ns": int(result.cpu_ns.sum()),
    }
    pairs = {name: (value, int(getattr(counted, name))) for name, value in ours.items()}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def native_entrant(engine: NativeEngine, plan: Plan, settings: Run) -> Entrant:
    """The C++ program; RuntimeError unless it counts what the compiled engine counts, to the nanosecond."""
    expected = compiled.run(plan, settings)

    def once() -> Timed:
        counted = engine.run(settings)
        wrong = counts_differ(expected, counted)
        if wrong:
            raise RuntimeError(f"the C++ program differs from the compiled engine (ours, its): {wrong}")
        return Timed(counted.cpu_seconds, stages_of(plan, expected))

    return Entrant("C++", once)


def program_entrant(name: str, program: Callable[[Any, int], Ran], model: Any, stages: int) -> Entrant:
    """A program of another simulator."""

    def once() -> Timed:
        seconds, ran = cpu_seconds(lambda: program(model, stages))
        return Timed(seconds, ran.stages)

    return Entrant(name, once)


def measure(case: Case, say: Say) -> Speed:
    """All entrants of a case, in turn."""
    plan = case.model.plan()
    settings = Run(requests=case.requests, sample=0)
    entrants = [engine_entrant("compiled", compiled.run, plan, settings)]
    skipped: dict[str, str] = {}
    compiler = ""
    try:
        native = NativeEngine(plan)
        compiler = native.compiler
        entrants.append(native_entrant(native, plan, settings))
    except NotPossible as reason:
        skipped["C++"] = str(reason)
    if case.reference_requests:
        few = Run(requests=case.reference_requests, sample=0)
        entrants.append(engine_entrant("reference", reference.run, plan, few))
    entrants.append(program_entrant("SimPy", getattr(with_simpy, case.program), case.model, case.simpy_stages))
    for name, stages in case.peer_stages.items():
        peer = peers()[name]
        if isinstance(peer, str):
            skipped[name] = peer
            continue
        program = getattr(peer, case.program)
        program(case.model, 1000)  # Cimba-Python compiles first
        entrants.append(program_entrant(name, program, case.model, stages))
    laps = interleaved(entrants, case.rounds, lambda text: say(f"{case.name}: {text}"))
    stage = "a visit to a core" if isinstance(case.model, Mesh) else "a visit to a station"
    return Speed(case.name, stage, laps, skipped, compiler)


def two_threads(quick: bool, say: Say) -> float:
    """Two replications one after the other over the same two on two threads, by the clock on the wall."""
    import threading
    import time

    plan = Network(500).plan()
    settings = [Run(requests=5_000 if quick else 50_000, sample=0, seed=seed) for seed in (1, 2)]
    ratios = []
    for number in range(1 if quick else 5):
        say(f"threads: round {number + 1}")
        began = time.perf_counter()
        for each in settings:
            compiled.run(plan, each)
        between = time.perf_counter()
        threads = [threading.Thread(target=compiled.run, args=(plan, each)) for each in settings]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        ratios.append((between - began) / (time.perf_counter() - between))
    return float(np.median(ratios))
