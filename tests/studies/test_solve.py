"""The question in reverse, on worlds whose answer is known from queueing theory."""

from __future__ import annotations

import math

import pytest
from worlds import NO_MESH, application, compute, costs, machine, service

from meshsim.scenario.base import MeshsimError
from meshsim.studies.solve import solve

LIVE = {"dataplanes": [NO_MESH], "costs": costs(), "jobs": 1}


def lone(mean_us: float = 1000.0, **fields: object) -> object:
    return application(service("a", [compute(mean_us)], **fields))


def test_the_highest_rate_of_an_m_m_1_queue() -> None:
    # p90 of M/M/1 is ln 10 / (mu - lambda): 5 ms at lambda = 1000 - 460.5.
    report = solve(lone(), "rps", 5.0, rps=300, of="p90", requests=8_000, nodes=1, machine=machine(1), **LIVE)
    (found,) = report.solutions
    exact = 1000 - math.log(10) / 0.005
    assert found.answer <= exact * 1.02  # the upper end of the interval must keep the target
    assert found.answer == pytest.approx(exact, rel=0.2)
    assert 1 < found.beyond / found.answer <= 1.06
    assert found.latency_us.high <= 5000
    assert found.verified
    assert f"up to {found.answer:g} requests/s" in found.sentence
    rising = [trial.latency_us.value for trial in found.trials if trial.latency_us is not None]
    assert sorted(rising)[-1] >= 5000 * 0.9


def test_the_fewest_nodes_and_one_less_does_not_do() -> None:
    report = solve(
        lone(2000, replicas=8), "nodes", 12.0, rps=1000, of="p90", requests=4_000, machine=machine(1), **LIVE
    )
    (found,) = report.solutions
    assert found.answer >= 3  # 1000 a second times 2 ms fill two cores
    assert found.beyond == found.answer - 1
    assert found.verified
    assert found.latency_beyond_us is None or found.latency_beyond_us.high > 12_000


def test_the_fewest_replicas_of_one_service() -> None:
    world = application(
        service("a", [compute(100), {"call": {"service": "b"}}]),
        service("b", [compute(2000)], concurrency={"model": "thread-per-request", "threads": 1}),
    )
    report = solve(
        world, "replicas", 20.0, rps=700, service="b", of="p90", requests=3_000, nodes=1, machine=machine(8), **LIVE
    )
    (found,) = report.solutions
    assert found.answer >= 2  # 700 a second times 2 ms is more than one thread can do
    assert found.beyond == found.answer - 1
    assert "replicas of b" in found.sentence


def test_a_target_below_the_service_time_cannot_be_kept() -> None:
    for find in ("rps", "nodes", "replicas"):
        report = solve(lone(), find, 0.5, rps=100, of="p90", requests=1_000, machine=machine(1), **LIVE)
        (found,) = report.solutions
        assert found.answer is None
        assert found.verified is None
        assert "does not keep" in found.sentence


def test_wrong_questions_are_refused() -> None:
    for arguments, message in (
        (("memory", 1.0), "find: 'memory' received; choose rps, nodes, replicas"),
        (("rps", 0.0), "target_ms: 0 received"),
        (("rps", math.nan), "target_ms: nan received"),
    ):
        with pytest.raises(MeshsimError, match=message):
            solve(lone(), *arguments, machine=machine(1), **LIVE)
    with pytest.raises(MeshsimError, match="service: 'b' received"):
        solve(lone(), "replicas", 1.0, service="b", machine=machine(1), **LIVE)
    with pytest.raises(MeshsimError, match="goes with replicas"):
        solve(lone(), "nodes", 1.0, service="a", machine=machine(1), **LIVE)
