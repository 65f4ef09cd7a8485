"""The programs of the benchmark simulate what our engines simulate. How fast they are is no test."""

from __future__ import annotations

import importlib.util
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from meshsim.engines import compiled
from meshsim.results.intervals import mean_interval
from meshsim.results.run import RunResult
from meshsim.scenario.scenario import Run
from tests.benchmarks import __main__ as command
from tests.benchmarks import native, with_simpy
from tests.benchmarks.goals import Number
from tests.benchmarks.models import Mesh, Network, SingleQueue, Waits
from tests.benchmarks.page import Measured, page
from tests.benchmarks.ran import Ran
from tests.benchmarks.speed import Case, Speed, counts_differ, measure
from tests.benchmarks.timing import Lap

ROOT = Path(__file__).parents[2]
MODELS = [SingleQueue(), Network(50), Mesh(nodes=2), Waits(100)]


def engine(plan: native.Plan) -> native.NativeEngine:
    try:
        return native.NativeEngine(plan)
    except native.NotPossible as reason:
        pytest.skip(str(reason))


@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_the_cpp_program_counts_the_same_to_the_nanosecond(model: Mesh) -> None:
    plan, settings = model.plan(), Run(requests=400, seed=3, sample=0)
    program = engine(plan)
    result = compiled.run(plan, settings)
    assert counts_differ(result, program.run(settings)) == {}
    other = counts_differ(result, program.run(settings.model_copy(update={"seed": 4})))
    assert {"latency_sum_ns", "end_ns"} <= set(other), "the comparison sees what is not the same"


def test_slices_of_time_are_in_the_cpp_program_too() -> None:
    plan = Mesh(nodes=2).plan()
    sliced = replace(plan, station_slice_ns=np.where(plan.station_is_cpu, 50_000, 0))
    settings = Run(requests=300, sample=0)
    result = compiled.run(sliced, settings)
    assert counts_differ(result, engine(sliced).run(settings)) == {}
    assert result.events > compiled.run(plan, settings).events


def test_a_plan_outside_the_subset_is_refused(tmp_path: Path) -> None:
    plan = SingleQueue().plan()
    with pytest.raises(native.NotPossible, match="knows no bounded lines"):
        native.dump(replace(plan, station_line=plan.station_line * 0 + 5), tmp_path / "plan")


def z(result: RunResult, ran: Ran) -> float:
    """How many standard errors the two means are apart."""
    mean = mean_interval(result.latency)
    assert mean.value is not None
    assert mean.low is not None
    assert mean.high is not None
    own = (mean.high - mean.low) / 1000 / 2 / 2.09
    return abs(ran.mean_us - mean.value) / math.hypot(own, ran.standard_error_us)


@pytest.mark.parametrize(
    ("program", "model", "stages"),
    [
        (with_simpy.single_queue, SingleQueue(), 40_000),
        (with_simpy.network, Network(20), 80_000),
        (with_simpy.mesh, Mesh(), 60_000),
    ],
)
def test_a_simpy_program_has_the_mean_of_the_compiled_engine(program, model, stages) -> None:
    ran = program(model, stages)
    result = compiled.run(model.plan(), Run(requests=20_000, sample=0))
    assert ran.stages == stages
    assert z(result, ran) < 3


def test_another_load_has_another_mean() -> None:
    ran = with_simpy.mesh(Mesh(), 60_000)
    assert z(compiled.run(Mesh(utilisation=0.75).plan(), Run(requests=20_000, sample=0)), ran) > 5


@pytest.mark.parametrize("module", ["ciw", "salabim", "cimba"])
def test_a_peer_gives_the_mean_of_the_theory(module: str) -> None:
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} is not installed")
    words = f"""
from tests.benchmarks import models, with_{module} as peer
print(peer.single_queue(models.SingleQueue(utilisation=0.5), 8000).mean_us)
print(peer.network(models.Network(8), 8000).mean_us)
"""  # in a process of its own: Cimba-Python must come before numba compiles anything
    said = subprocess.run([sys.executable, "-c", words], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    one, many = (float(line) for line in said.split()[-2:])
    assert one == pytest.approx(SingleQueue(utilisation=0.5).mean_latency_us, rel=0.1)
    simulated = compiled.run(Network(8).plan(), Run(requests=5000, sample=0)).latency.mean() / 1000
    assert many == pytest.approx(simulated, rel=0.1)


def test_a_case_is_measured_and_shown() -> None:
    case = Case("M/M/1", SingleQueue(), 1, 500, 100, 300, {})
    speed = measure(case, lambda text: None)
    names = [lap.name for lap in speed.laps]
    assert names[0] == "compiled"
    assert {"reference", "SimPy"} <= set(names)
    assert ("C++" in names) != ("C++" in speed.skipped)
    assert all(lap.median_ns > 0 for lap in speed.laps)
    assert speed.laps[0].ratio == 1.0


def test_the_page_says_what_was_skipped_and_what_falls_short() -> None:
    laps = [Lap("compiled", 1000, [50.0, 60.0], [1.0, 1.0]), Lap("SimPy", 10, [5000.0, 4000.0], [100.0, 66.0])]
    speed = Speed("M/M/1", "a visit", laps, {"Ciw": "No module named 'ciw'"}, "")
    numbers = [Number("memory", "≤ 100 B", 144.0, "144 B", False), Number("threads", "≥ 1.9×", None, "not asked", None)]
    text = page(Measured("python -m tests.benchmarks", {"cores": "2"}, 0.5, 10.0, [speed], numbers))
    assert "| memory  | ≤ 100 B | 144 B     | no      |" in text
    assert "| threads | ≥ 1.9×  | not asked | -       |" in text
    assert "Ciw was skipped: No module named 'ciw'." in text
    assert "83.0×" in text


def test_a_model_that_is_not_there_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--only", "nonsense"]) == 2
    assert "M/M/1" in capsys.readouterr().err
