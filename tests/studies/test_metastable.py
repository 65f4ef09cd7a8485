"""The metastability map against what operational analysis says of one server, and with a retry budget as control."""

from __future__ import annotations

from pathlib import Path

import pytest
from worlds import NO_MESH, application, compute, costs, machine, service

import meshsim as ms
from meshsim.scenario.base import MeshsimError
from meshsim.studies.metastable import RetryPolicy, Times, metastable
from meshsim.studies.store import Store

SERVER = application(service("a", [compute(1000, "constant")]))
"""1000 requests a second, and no more."""
LIVE = {"dataplanes": [NO_MESH], "costs": costs(), "machine": machine(1), "nodes": 1, "jobs": 1}
PUSH = {"size": 6.0, "calm_s": 1.0, "trigger_s": 0.1, "within_s": 4.0}


def verdicts(rps: list[float], retries: list[str], **more: object) -> dict[tuple[str, float], str]:
    report = metastable(SERVER, 20.0, rps=rps, retries=retries, **{**PUSH, **LIVE, **more})
    assert not report.partial
    return {(cell.policy, cell.rps): cell.verdict for cell in report.cells}


def test_an_overload_feeds_itself_where_rate_times_attempts_is_more_than_the_server_can_do() -> None:
    for policy, border in (("0", 1000), ("1", 500), ("2", 333), ("3", 250)):
        below, above = 0.8 * border, 1.25 * border
        found = verdicts([below, above], [policy])
        assert found[policy, below] == "safe"
        assert found[policy, above] == ("vulnerable" if policy != "0" else "stuck")
    assert verdicts([1100], ["3"]) == {("3", 1100.0): "stuck"}


def test_a_retry_budget_moves_the_border_and_without_a_trigger_nothing_is_tipped() -> None:
    assert verdicts([500], ["3", "3@20%"]) == {("3", 500.0): "vulnerable", ("3@20%", 500.0): "safe"}
    # The trigger did it: a push of nothing at all leaves the same cell alone.
    assert verdicts([500], ["3"], size=1.0001) == {("3", 500.0): "safe"}


def test_what_theory_expects_is_beside_the_map() -> None:
    report = metastable(SERVER, 20.0, rps=[100], retries=["0", "1", "3@20%"], **PUSH, **LIVE)
    assert [one.capacity_rps for one in report.boundaries] == pytest.approx([1000.0] * 3)
    assert [one.sustained_rps for one in report.boundaries] == pytest.approx([1000.0, 500.0, 800.0])
    assert all(cell.recovery_s is not None and cell.recovery_s < 0.5 for cell in report.cells)
    assert report.trigger == "6 times the load for 0.1 s"
    every = metastable(SERVER, 20.0, rps=[100], retries=["1"], calls="all", **PUSH, **LIVE)
    assert every.boundaries[0].sustained_rps is None


@pytest.mark.parametrize(("kind", "good"), [("slow-pod", "vulnerable"), ("pod-crash", "safe"), ("errors", "safe")])
def test_other_triggers_hit_every_pod_of_a_service(kind: str, good: str) -> None:
    # A slow server fills its queue; one that is down, or answers at once with an error, does not.
    more = {"size": None, "trigger": kind, "service": "a"}
    assert verdicts([700], ["2"], **more) == {("2", 700.0): good}


def test_a_map_goes_on_where_it_was_stopped_and_its_runs_can_be_replayed(tmp_path: Path) -> None:
    asked = {"rps": [100, 200], "retries": ["0"], "out": tmp_path, **PUSH, **LIVE}
    stops = iter([False, True])
    first = metastable(SERVER, 20.0, should_stop=lambda: next(stops, True), **asked)
    assert first.partial
    done = len(Store(tmp_path).keys())
    assert done < 2
    whole = metastable(SERVER, 20.0, **asked)
    assert [cell.verdict for cell in whole.cells] == ["safe", "safe"]
    key = next(iter(Store(tmp_path).keys()))
    assert ms.replay(tmp_path, key).identical
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*.parquet")}
    assert metastable(SERVER, 20.0, **asked) == whole
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*.parquet")} == before


def test_replications_count_and_the_worst_is_the_verdict() -> None:
    report = metastable(SERVER, 20.0, rps=[900], retries=["0"], replications=2, **PUSH, **LIVE)
    (cell,) = report.cells
    assert sum(cell.runs.values()) == 2
    assert cell.verdict == max(cell.runs, key=["safe", "vulnerable", "stuck"].index)


def test_rates_and_times_have_defaults_that_fit_the_system() -> None:
    report = metastable(SERVER, 1.0, retries=["0"], trigger_s=0.002, within_s=0.01, calm_s=0.01, **LIVE)
    assert [cell.rps for cell in report.cells] == pytest.approx([100.0 * k for k in range(1, 13)])
    assert Times(1, 2, 3).end == 6


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"retries": ["two"]}, "retries: 'two' received"),
        ({"retries": ["0@20%"]}, "retries: '0@20%' received"),
        ({"retries": ["1", "1"]}, "each once"),
        ({"trigger": "flood"}, "trigger: 'flood' received; choose spike"),
        ({"trigger": "errors"}, "service: none given"),
        ({"service": "a"}, "goes with the other triggers"),
        ({"trigger": "errors", "service": "b"}, "service: 'b' received"),
        ({"trigger": "pod-crash", "service": "a", "size": 2.0}, "a pod-crash has none"),
        ({"within_s": 0.05}, "within_s: 0.05 received; must be at least"),
        ({"trigger_s": 0.0}, "trigger_s: 0 received"),
        ({"good": 2.0}, "good: 2 received"),
        ({"size": 0.5}, "times: 0.5 received"),
        ({"rps": [5, 5]}, "each once"),
        ({"requests": 100}, "requests: 100 received; times say"),
        ({"replications": 0}, "replications: 0 received"),
    ],
)
def test_wrong_questions_are_refused(more: dict[str, object], message: str) -> None:
    with pytest.raises(MeshsimError, match=message):
        metastable(SERVER, 20.0, **{"rps": [100], "retries": ["1"], **LIVE, **more})


def test_a_budget_bounds_the_attempts_of_a_request() -> None:
    assert RetryPolicy.read("3").attempts == 4
    assert RetryPolicy.read("3@20%").attempts == pytest.approx(1.25)
    assert RetryPolicy.read("1@0.9").attempts == 2
    assert str(RetryPolicy.read("3@0.2")) == "3@20%"
