"""The question in reverse, on worlds whose answer is known from queueing theory."""

from __future__ import annotations

import math

import pytest
from worlds import NO_MESH, application, compute, costs, machine, service

from meshsim.scenario.base import MeshsimError
from meshsim.scenario.dataplane import DataPlane
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


def test_who_wants_to_be_surer_gets_less() -> None:
    def highest(**asked: float) -> float:
        own = {"requests": 2_000, "nodes": 1, "machine": machine(1), "budget": 1}
        (found,) = solve(lone(), "rps", 5.0, rps=300, of="p90", **own, **asked, **LIVE).solutions
        assert found.answer is not None
        return found.answer

    assert highest(confidence=0.999) < highest() < highest(confidence=0.5)
    with pytest.raises(MeshsimError, match=r"confidence: 1 received; must be from 0\.5 to 0\.999"):
        highest(confidence=1.0)


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
        (("memory", 1.0), "find: 'memory' received; choose rps, nodes, replicas, proxy-cpu-limit"),
        (("rps", 0.0), "target_ms: 0 received"),
        (("rps", math.nan), "target_ms: nan received"),
    ):
        with pytest.raises(MeshsimError, match=message):
            solve(lone(), *arguments, machine=machine(1), **LIVE)
    with pytest.raises(MeshsimError, match="service: 'b' received"):
        solve(lone(), "replicas", 1.0, service="b", machine=machine(1), **LIVE)
    with pytest.raises(MeshsimError, match="goes with replicas"):
        solve(lone(), "nodes", 1.0, service="a", machine=machine(1), **LIVE)


def boxed(**fields: object) -> DataPlane:
    """One proxy at the callee, whose pass takes 200 us of CPU."""
    proxy = {"name": "box", "placed": "pod", "ends": ["destination"], "layer": "L7", "software": "box"}
    return DataPlane.model_validate(
        {"schema": "meshsim/dataplane/1", "name": "boxed", "title": "Boxed", "summary": "One proxy.",
         "proxies": [{**proxy, **fields}]}
    )  # fmt: skip


PASS = {"proxy__box__http1__request": {"cpu_ns": 200_000}}


def test_the_lowest_cpu_limit_of_a_proxy_is_above_what_it_uses_and_the_next_lower_one_misses() -> None:
    live = {"dataplanes": [boxed()], "costs": costs(**PASS), "jobs": 1, "nodes": 1, "machine": machine(4)}
    report = solve(lone(100), "proxy-cpu-limit", 5.0, rps=500, of="p90", requests=3_000, **live)
    (found,) = report.solutions
    # 500 a second times 200 us are 100 millicores: with less, the queue grows without end.
    assert 100 < found.answer < 1000
    assert found.beyond < found.answer <= 1.06 * found.beyond
    assert found.verified
    assert found.latency_beyond_us is None or found.latency_beyond_us.high > 5000
    assert f"with {found.answer:g} millicores for each proxy" in found.sentence
    # Control: a target that is kept by any limit that is not far below what it uses.
    loose = solve(lone(100), "proxy-cpu-limit", 500.0, rps=500, of="p90", requests=3_000, **live)
    assert loose.solutions[0].answer < found.answer


def test_a_data_plane_without_proxy_and_an_unknown_proxy_are_refused_clearly() -> None:
    more = {"rps": 100, "requests": 500, "nodes": 1, "machine": machine(1), "costs": costs(**PASS), "jobs": 1}
    planes = [NO_MESH, boxed()]
    report = solve(lone(100), "proxy-cpu-limit", 0.05, dataplanes=planes, of="p90", **more)
    assert report.solutions[0].sentence == "bare has no proxy whose CPU could be limited."
    assert report.solutions[1].answer is None
    assert "does not keep" in report.solutions[1].sentence
    with pytest.raises(MeshsimError, match="proxy: 'bax' received; did you mean 'box'"):
        solve(lone(100), "proxy-cpu-limit", 5.0, dataplanes=planes, proxy="bax", **more)
    with pytest.raises(MeshsimError, match="goes with proxy-cpu-limit"):
        solve(lone(100), "rps", 5.0, dataplanes=planes, proxy="box", **more)


def test_where_more_is_worse_no_answer_is_claimed() -> None:
    # Two pods that talk: on one node for free, on two nodes over a slow wire.
    world = application(service("a", [compute(10), {"call": {"service": "b"}}]), service("b", [compute(10)]))
    slow = costs(kernel__wire__cross_node={"wait_ns": 10_000_000})
    report = solve(world, "nodes", 15.0, rps=20, of="p50", requests=300, machine=machine(1), dataplanes=[NO_MESH],
                   costs=slow, jobs=1)  # fmt: skip
    (found,) = report.solutions
    assert found.answer is None or "no single answer" not in found.sentence
    tight = solve(world, "nodes", 25.0, rps=20, of="p50", requests=300, machine=machine(1), dataplanes=[NO_MESH],
                  costs=slow, jobs=1)  # fmt: skip
    assert tight.solutions[0].answer is None
    assert "has no single answer" in tight.solutions[0].sentence
