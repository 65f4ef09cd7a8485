"""Tail attribution: what the slowest requests spend their time on."""

from __future__ import annotations

import pytest
from worlds import application, compute, machine, plan, service, simulate

from meshsim.figures import tail_figure
from meshsim.results.tail import KINDS, by_kind, compared, kind_of, tail
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


def test_each_way_of_waiting_has_its_name() -> None:
    for where, kind in (
        (("application", "application.compute", "running"), "application at work"),
        (("kernel", "kernel.tcp.send", "running"), "kernel at work"),
        (("proxy", "proxy.envoy.queue", "queueing"), "in line for a proxy's worker"),
        (("proxy", "proxy.envoy.turn-end", "queueing"), "until a proxy's turn ends"),
        (("application", "application.threads", "queueing"), "in line for an application's thread"),
        (("kernel", "kernel.tcp.send", "queueing"), "in line for a core"),
        (("network", "connection.queue", "queueing"), "in line for a connection"),
        (("network", "network.interface", "queueing"), "in line for the network interface"),
        (("network", "resilience.wait", "waiting"), "given-up attempts and back-off"),
        (("network", "kernel.wire.cross-node", "waiting"), "wire"),
        (("proxy", "proxy.envoy.wakeup", "waiting"), "wake-up"),
        (("application", "application.wait", "waiting"), "other waiting"),
    ):
        assert kind_of(*where, throttled=False) == kind
        assert kind in KINDS
    assert kind_of("application", "application.compute", "queueing", throttled=True).endswith("or throttled")


def test_waiting_for_a_cpu_limit_is_named_where_the_limit_was_met() -> None:
    limited = application(service("a", [compute(4000, "constant")], cpu_limit_millicores=500))
    row = make_row(simulate(plan(limited, 100, cores=8), 1000, sample=1000), "bare", 1, machine())
    assert row.tail.throttled == ["application.compute"]
    kinds = by_kind(row.tail)
    assert "in line for a core, or throttled" in kinds
    assert "in line for a core" not in kinds
    # Control: the same without a limit has nothing to name.
    free = make_row(
        simulate(plan(application(service("a", [compute(4000, "constant")])), 100), 1000, sample=1000),
        "x",
        1,
        machine(),
    )
    assert not free.tail.throttled
    assert "in line for a core" in by_kind(free.tail)


def test_retries_show_as_given_up_attempts() -> None:
    world = application(service("a", [compute(1000)]))
    rule = {"from": "client", "retries": {"max": 3, "per_try_timeout_ms": 5, "backoff": {"base_ms": 1, "max_ms": 1}}}
    again = simulate(plan(world, 300, resilience=[rule]), 2000, sample=2000)
    kinds = by_kind(tail(again.records, again.plan))
    typical, slowest = kinds["given-up attempts and back-off"]
    assert typical == 0
    assert slowest > 1000
    assert sum(slow for _, slow in kinds.values()) == pytest.approx(
        sum(part.slowest_us for part in compared(tail(again.records, again.plan)))
    )
