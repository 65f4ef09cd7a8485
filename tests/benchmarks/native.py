"""The C++ program beside this file: compiled on the spot, fed with the arrays of a plan, run."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from meshsim.engines.compiled.memory import behind_body
from meshsim.plan.arrivals import SCHEDULE
from meshsim.plan.draws import ARRIVAL_GAP, ENTRY, REPLICA, WAYPOINT
from meshsim.plan.plan import BY_TURN, Op, Plan, When
from meshsim.scenario.scenario import Run

SOURCE = Path(__file__).parent / "native" / "engine.cpp"
FLAGS = ["-std=c++20", "-O3", "-march=native"]


class NotPossible(Exception):
    """No compiler, or a plan that the C++ program does not know how to run."""


def compilers() -> list[list[str]]:
    """C++ compilers of this machine: the system's, and zig, if it is installed as a Python package."""
    found = [[path] for name in ("g++", "clang++") if (path := shutil.which(name))]
    if find_spec("ziglang") is not None:
        found.append([sys.executable, "-m", "ziglang", "c++"])
    return found


def compiler_version(compiler: list[str]) -> str:
    """First line of what it says about itself."""
    said = subprocess.run([*compiler, "--version"], capture_output=True, text=True, check=True)
    return said.stdout.splitlines()[0]


@lru_cache
def folder() -> tempfile.TemporaryDirectory[str]:
    """For the program and its plans; gone when Python ends."""
    return tempfile.TemporaryDirectory(prefix="meshsim-benchmark-")


@lru_cache
def program() -> tuple[Path, str]:
    """The compiled program, and who compiled it. NotPossible without a compiler that can."""
    problems = []
    for number, compiler in enumerate(compilers()):
        target = Path(folder().name) / f"engine-{number}"
        built = subprocess.run([*compiler, *FLAGS, str(SOURCE), "-o", str(target)], capture_output=True, text=True)
        if built.returncode == 0:
            return target, f"{compiler_version(compiler)}, {' '.join(FLAGS)}"
        problems.append(f"{' '.join(compiler)}: {built.stderr.strip().splitlines()[-1:]}")
    raise NotPossible("; ".join(problems) or "no C++ compiler: install g++, clang++, or the package ziglang")


def refuse_what_is_missing(plan: Plan) -> None:
    """NotPossible for a plan with anything outside the C++ program's subset."""
    load, routes = plan.arrivals, plan.routes
    missing = {
        "instructions": bool((plan.op > Op.MORE).any()),
        "balancing, policies or connections": bool((routes.call_route >= 0).any() or (routes.call_policy >= 0).any()),
        "turns of an event loop": bool(
            (plan.when == When.TURN).any() or ((plan.op == Op.RELEASE) & (plan.amount == BY_TURN)).any()
        ),
        "bounded lines": bool((plan.station_line >= 0).any()),
        "CPU limits": len(plan.quotas) > 0,
        "faults": len(plan.faults) > 0,
        "autoscaling": len(plan.autoscalers) > 0,
        "pinned workers": bool((plan.slot_workers > 1).any()),
        "loads that are not one constant rate": load.kind != SCHEDULE or len(load.length) > 1 or load.burst > 1,
    }
    if any(missing.values()):
        raise NotPossible(f"the C++ program knows no {', '.join(name for name, there in missing.items() if there)}")


def dump(plan: Plan, path: Path) -> None:
    """Write the arrays of a plan: of each its name, a line end, its length and its 64-bit integers."""
    refuse_what_is_missing(plan)
    columns = (
        "op", "at", "other", "when", "slot", "target", "mean_ns", "law", "tag", "purpose", "amount",
        "station_servers", "station_slice_ns", "pod_zone", "pod_service", "pod_station",
        "service_first_pod", "service_pods", "service_first_via", "service_vias",
        "call_program", "call_service", "call_body", "entry_threshold", "laws",
    )  # fmt: skip
    arrays = {name: getattr(plan, name) for name in columns}
    arrays["call_back"] = behind_body(plan)
    arrays["gap_mean"] = plan.arrivals.gap_mean
    numbers = {
        "slots": plan.pod_station.shape[1],
        "tags": len(plan.tags),
        "entries": plan.entry_calls,
        "cpu_cells": (len(plan.service_names) + plan.waypoints) * len(plan.tags),
        "gap_law": plan.gap_law,
        "shift": plan.arrivals.shift,
        "purpose_gap": ARRIVAL_GAP,
        "purpose_entry": ENTRY,
        "purpose_replica": REPLICA,
        "purpose_waypoint": WAYPOINT,
    }
    arrays |= {name: np.array([number]) for name, number in numbers.items()}
    with path.open("wb") as file:
        for name, array in arrays.items():
            flat = np.ascontiguousarray(array, np.int64).ravel()
            file.write(name.encode() + b"\n" + len(flat).to_bytes(8, sys.byteorder) + flat.tobytes())


@dataclass(frozen=True)
class Counted:
    """What the C++ program counted in a run; all but ``cpu_seconds`` must be what the compiled engine counts."""

    events: int
    answered: int
    sent: int
    end_ns: int
    latency_sum_ns: int
    call_sum_ns: int
    arrivals: int
    busy_ns: int
    present_ns: int
    cpu_ns: int
    cpu_seconds: float


class NativeEngine:
    """The C++ program with one plan."""

    def __init__(self, plan: Plan) -> None:
        self.program, self.compiler = program()
        with tempfile.NamedTemporaryFile(dir=folder().name, delete=False) as file:
            self.path = Path(file.name)
        dump(plan, self.path)

    def run(self, settings: Run) -> Counted:
        """Simulate; ``cpu_seconds`` leaves out reading the file."""
        first = round(settings.requests * settings.warmup)
        words = [str(self.program), str(self.path), str(settings.seed), str(settings.requests), str(first)]
        said = subprocess.run(words, capture_output=True, text=True, check=True)
        return Counted(**json.loads(said.stdout))
