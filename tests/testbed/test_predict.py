"""The files of the testbed, and what is done to them before they are simulated."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshsim.engines import reference
from meshsim.measure.experiment import Sample, Samples
from meshsim.plan.lower import lower
from meshsim.results.scoreboard import read
from meshsim.scenario.base import MeshsimError
from meshsim.scenario.catalog import load_costs, models_root
from meshsim.scenario.load import Load
from meshsim.scenario.scenario import Run
from meshsim.testbed.predict import OwnWork, Prediction, predict, this_host, with_own_work, without_entry
from meshsim.testbed.scenarios import BASELINE, FITTED, LOADS, QUICK, Case, cases, folder
from meshsim.testbed.scoreboard import own_work
from meshsim.testbed.session import rescore

COSTS = load_costs(["epyc-2-vcpu", "published"])
NONE = OwnWork(0.1, 0.1)


def case(name: str) -> Case:
    return Case(folder() / "scenarios" / f"{name}.yaml")


def value(prediction: Prediction, name: str) -> float:
    found = prediction.values[name].value
    assert found is not None
    return found


def test_there_are_at_least_thirty_scenarios_that_nothing_was_fitted_to() -> None:
    found = [one for one in cases() if not one.used_for_fitting]
    assert len(found) * len(LOADS) >= 30
    assert {"http1", "http2", "tcp"} <= {
        call.protocol for one in found for s in one.application.services for e in s.endpoints for call in e.calls()
    }


@pytest.mark.parametrize("one", cases(), ids=lambda one: one.name)
def test_every_file_can_be_lowered_and_is_understood_by_the_testbed(one: Case) -> None:
    scenario = one.scenario.model_copy(update={"load": Load(rps=100)})
    plan = lower(one.application, one.dataplane, this_host(one), scenario, COSTS)
    assert plan.call_names[0].startswith("client -> generator")
    assert one.servers


def test_names_that_the_program_knows_are_files() -> None:
    names = {one.name for one in cases()}
    assert {BASELINE, *FITTED, *QUICK} <= names


def test_an_unknown_scenario_is_refused_with_the_choices() -> None:
    with pytest.raises(MeshsimError, match="one-sidecar"):
        cases(["one-sidecar.one-hop-64"])


def test_the_entry_into_the_generator_costs_nothing() -> None:
    one = case(BASELINE)
    scenario = one.scenario.model_copy(update={"load": Load(rps=50), "run": Run(requests=200)})
    plan = lower(with_own_work(one, NONE), one.dataplane, this_host(one), scenario, COSTS)
    with_it = reference.run(plan, scenario.run)
    without = reference.run(without_entry(plan), scenario.run)
    # What is left is the call: two messages, each sent, carried and received, and three threads that slept.
    kernel_ns = sum(
        2 * (COSTS[name].cpu_ns + COSTS[name].cpu_ns_per_byte * 32)
        for name in ("kernel.tcp.send", "kernel.wire.same-node", "kernel.tcp.receive")
    )
    seen = without.cpu_ns.sum() / without.measured
    assert seen == pytest.approx(kernel_ns + 5000 + 200 + 3 * COSTS["kernel.wakeup"].cpu_ns, rel=0.02)
    assert with_it.cpu_ns.sum() > 1.15 * without.cpu_ns.sum()


def test_event_loops_that_sleep_are_woken_at_low_load_and_not_in_closed_loop() -> None:
    own = OwnWork(1.0, 1.0)
    low, high = (predict(case(BASELINE), rps, own, COSTS, requests=800) for rps in (200, 25_000))
    closed = predict(case(BASELINE), 0, own, COSTS, requests=800)
    wakeups = value(low, "cpu-total") - value(closed, "cpu-total")
    assert wakeups == pytest.approx(3 * COSTS["kernel.wakeup"].cpu_ns / 1000, rel=0.1)  # three times a request
    assert value(closed, "cpu-total") < value(high, "cpu-total") < value(low, "cpu-total")


def test_predictions_move_as_they_must() -> None:
    none, one, two = (
        predict(case(f"{name}.one-hop-64b"), 500, NONE, COSTS, requests=600)
        for name in ("no-mesh", "one-sidecar", "two-sidecars")
    )
    assert value(none, "p50") < value(one, "p50") < value(two, "p50")
    assert value(none, "cpu-proxy") == 0 < value(one, "cpu-proxy") < value(two, "cpu-proxy")
    # One proxy's memory does not depend on how many there are.
    assert value(one, "memory") == pytest.approx(value(two, "memory"), rel=0.02)
    assert "memory" not in none.values


def test_scores_are_predicted_anew_without_measuring(tmp_path: Path) -> None:
    shipped = folder() / "epyc-2-vcpu.samples.jsonl"
    out = tmp_path / "again.json"
    lines = [line for line in shipped.read_text().splitlines() if '"experiment"' not in line or BASELINE in line]
    out.with_suffix(".samples.jsonl").write_text("".join(f"{line}\n" for line in lines))
    board = rescore(out, jobs=1)
    assert board.complete
    assert {row.case for row in board.rows} == {BASELINE}
    assert board.host["cores"] == "2"
    known = {(row.load, row.quantity): row for row in read(folder() / "epyc-2-vcpu.json").rows if row.case == BASELINE}
    for row in board.rows:
        assert row.measured == known[row.load, row.quantity].measured
        assert row.predicted == known[row.load, row.quantity].predicted
    assert read(out) == board
    # A book of one's own is a file anywhere, and the ranges of its costs are those of the samples beside it.
    own = tmp_path / "mine.yaml"
    book = models_root() / "costs" / "epyc-2-vcpu.yaml"
    own.write_text(book.read_text().replace("name: epyc-2-vcpu\n", "name: mine\n"))
    again = rescore(out, costs=[str(own), "published"], jobs=1)
    assert [row.predicted for row in again.rows] == [row.predicted for row in board.rows]


def test_there_is_nothing_to_score_without_samples(tmp_path: Path) -> None:
    with pytest.raises(MeshsimError, match="no samples there"):
        rescore(tmp_path / "none.json")


def test_own_work_is_found_again_in_samples_made_from_it() -> None:
    sockets_us = sum(
        COSTS[name].cpu_ns + 64 * COSTS[name].cpu_ns_per_byte
        for name in ("kernel.tcp.send", "kernel.wire.same-node", "kernel.tcp.receive")
    ) / 1000  # fmt: skip
    samples = []
    for number, (load, sleeps) in enumerate((("saturation", 0.0), (0.1, 2.8), (0.5, 1.5), (0.8, 0.9))):
        generator, server = (sockets_us + own + 9.0 * sleeps / 2 for own in (2.0, 3.0))
        values = {
            "cpu_ns.application.generator": generator * 1000,
            "cpu_ns.application.server": (server + 5.0) * 1000,
            "cpu_ns.application": (generator + server + 5.0) * 1000,
            "sleeps.generator": sleeps * 0.7,
            "sleeps.application.server": sleeps * 0.3,
            "compute_us": 5.0,
            "lag_p50_ns": 12_000.0 + 1000.0 * number,
        }
        samples.append(Sample(f"testbed.{BASELINE}", 0, {"load": load, "rps": number}, values))
    found = own_work(Samples(samples), COSTS)
    assert found is not None
    assert (found.generator_us, found.server_us) == (pytest.approx(2.0), pytest.approx(3.0))
    assert found.late_us == pytest.approx(13.0 - COSTS["kernel.wakeup"].wait_ns / 1000)  # as at the lowest rate
