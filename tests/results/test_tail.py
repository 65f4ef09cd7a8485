"""Tail attribution: what the slowest requests spend their time on."""

from __future__ import annotations

import pytest
from worlds import application, compute, plan, service, simulate

from meshsim.figures import tail_figure
from meshsim.results.tail import compared, tail
from meshsim.scenario.base import MeshsimError
from meshsim.studies.row import make_row


def test_the_tail_of_a_busy_queue_is_queueing_and_adds_up_to_the_latencies() -> None:
    world = plan(application(service("a", [compute(1000, "constant")])), 800)
    result = simulate(world, 3000, sample=3000)
    found = tail(result.records, world)
    latencies = sorted((r.spans[0].end_ns - r.spans[0].start_ns) / 1000 for r in result.records)
    assert found.slowest_from == 0.99
    assert found.slowest_requests == 30
    assert found.typical_requests == pytest.approx(300, abs=1)
    parts = compared(found)
    assert sum(part.slowest_us for part in parts) == pytest.approx(sum(latencies[-30:]) / 30)
    assert parts[0].phase == "queueing"
    assert parts[0].slowest_us > 3 * parts[0].typical_us
    running = next(part for part in parts if part.phase == "running" and part.component == "application")
    assert running.slowest_us == pytest.approx(running.typical_us) == pytest.approx(1000, rel=0.01)


def test_the_tail_of_uneven_work_is_the_work() -> None:
    world = plan(application(service("a", [compute(1000, "lognormal", 2.0)])), 5)
    parts = compared(tail(simulate(world, 1000, sample=1000).records, world))
    assert parts[0].phase == "running"
    assert parts[0].slowest_us > 5 * parts[0].typical_us


def test_too_few_whole_requests_have_no_tail() -> None:
    world = plan(application(service("a", [compute(1000)])), 100)
    result = simulate(world, 499, sample=499)
    assert tail(result.records, world) is None


def test_the_figure_has_two_bars_a_data_plane() -> None:
    import meshsim as ms

    one = ms.simulate(application="two-tier", dataplane="linkerd", requests=1500)
    figure = tail_figure(one.rows)
    assert figure["data"][0]["y"] == ["linkerd, median", "linkerd, slowest 1.0%"]
    world = plan(application(service("a", [compute(1000)])), 100)
    with pytest.raises(MeshsimError, match="no row kept 500 requests whole"):
        tail_figure([make_row(simulate(world, 200), "bare", 1, ms.load_machine("gcp-e2-standard-4"))])
