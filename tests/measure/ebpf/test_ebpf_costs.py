"""From samples to costs: known truths come back, noise is not priced, and a wrong model is seen."""

from __future__ import annotations

import numpy as np
import pytest

from meshsim.costs.book import Cost
from meshsim.measure.ebpf import costs, datapath, http, maps, service, sockmap, verifier
from meshsim.measure.experiment import Sample, Samples


def sample(experiment: str, number: int, settings: dict[str, int | str], values: dict[str, float]) -> Sample:
    return Sample(experiment, number, settings, values)


def priced(samples: list[Sample]) -> dict[str, Cost]:
    return {cost.operation: cost for cost in costs(Samples(samples))}


def jitter(number: int) -> float:
    """Rounds differ by half a percent."""
    return 1 + 0.005 * (number - 1)


def test_nothing_measured_gives_no_costs_and_an_empty_table() -> None:
    assert costs(Samples([])) == []
    assert verifier.table(Samples([])) == []


def test_policy_is_the_slope_over_copies() -> None:
    """A round trip of 20 us and 150 ns a copy and direction."""
    made = [
        sample(datapath.NAME, number, {"cores": "same", "bytes": 64}, {
            **{f"policy-{n}_round_trip_ns": (20_000 + 300 * n) * jitter(number) for n in datapath.COPIES},
            "pass-16_round_trip_ns": 21_000.0, "xdp_policy-native_round_trip_ns": 22_000.0,
        })
        for number in range(3)
    ]  # fmt: skip
    entry = priced(made)["kernel.ebpf.policy.message"]
    assert entry.cpu_ns == pytest.approx(150, rel=0.01)
    assert entry.evidence is not None
    assert entry.evidence.rounds == 3
    assert max(abs(v) for v in entry.evidence.residuals.values()) < 0.01


def test_a_cost_that_does_not_grow_by_copies_shows_in_the_residuals() -> None:
    """Negative control: the second copy is free, so a line is the wrong model."""
    made = [
        sample(datapath.NAME, n, {"cores": "same", "bytes": 64}, {
            f"policy-{copies}_round_trip_ns": 20_000.0 + (12_000 if copies else 0) for copies in datapath.COPIES
        })
        for n in range(3)
    ]  # fmt: skip
    rows = datapath.copy_rows(Samples(made))
    assert max(abs(v) for v in datapath.line(rows).residuals.values()) > 0.05


def sockmap_samples(bend: float = 0.0) -> list[Sample]:
    """4.5 us and 0.02 ns a byte; 8 us more across cores; a connection costs 5 us more."""
    made = []
    for number in range(3):
        for size in sockmap.SIZES:
            for cores, more in (("same", 0.0), ("other", 8000.0)):
                one = (4500 + 0.02 * size + bend * size**2 + more) * jitter(number)
                values = {"sockmap_round_trip_ns": 2 * one, "tcp_round_trip_ns": 18_000.0}
                made.append(sample(sockmap.NAME, number, {"cores": cores, "bytes": size}, values))
        made.append(sample(sockmap.NAME, number, {"live": 1, "bytes": 64}, {"sk_msg_run_ns": 200.0}))
        values = {"tcp_connection_ns": 50_000.0 * jitter(number), "sockmap_connection_ns": 55_000.0 * jitter(number)}
        made.append(sample(sockmap.CONNECTIONS, number, {}, values))
    return made


def test_sockmap_has_a_fixed_part_a_part_by_byte_and_a_wait() -> None:
    found = priced(sockmap_samples())
    entry = found["kernel.sockmap.message"]
    assert (entry.cpu_ns, entry.cpu_ns_per_byte, entry.wait_ns) == pytest.approx((4500, 0.02, 8000), rel=0.01)
    assert entry.standard_error < 0.05
    assert found["kernel.redirect.sockmap.connection"].cpu_ns == pytest.approx(5000, rel=0.02)


def test_a_message_that_costs_more_than_in_proportion_shows_in_the_residuals() -> None:
    (entry, *_) = sockmap.costs(Samples(sockmap_samples(bend=1e-6)))
    assert entry.evidence is not None
    assert max(abs(v) for v in entry.evidence.residuals.values()) > 0.05


def connect4_samples(message: list[float]) -> list[Sample]:
    made = []
    for number, extra in enumerate(message):
        calls = {
            "none": 600, "nothing": 700, "services-1": 750, "services-100": 752, "services-1000": 755,
            "services-10000": 760, "captured": 950, "to-loopback": 600, "asked": 300, "not-asked": 200,
        }  # fmt: skip
        made.append(sample(service.HOOK, number, {}, {f"{k}_call_ns": v * jitter(number) for k, v in calls.items()}))
        live = {"sockops_run_ns": 50.0, "sockops_runs": 9000.0, "connections": 1000.0, "statistics_ns": 40.0}
        made.append(sample(service.REAL, number, {"what": "live"}, live))
        for what, metric in (("connection", "connection_ns"), ("message", "round_trip_ns")):
            values = {f"{name}_{metric}": 20_000.0 for name in ("direct", "loopback")}
            values |= {f"{name}_{metric}": 20_000.0 + 2 * extra for name in ("service", "captured")}
            made.append(sample(service.REAL, number, {"what": what}, values))
    return made


def test_connect4_costs_once_a_connection_and_nothing_a_message() -> None:
    found = priced(connect4_samples([40.0, -50.0, 20.0]))
    assert found["kernel.service.ebpf.connection"].cpu_ns == pytest.approx(155, rel=0.02)
    assert found["kernel.redirect.ebpf-connect.connection"].cpu_ns == pytest.approx(350 + 100 + 450, rel=0.02)
    for name in ("kernel.ebpf.service.message", "kernel.redirect.ebpf-connect.message"):
        assert found[name].cpu_ns == 0
        assert "+20 ns, one sigma" in found[name].reference


def test_a_message_that_really_costs_something_is_priced() -> None:
    """Negative control of "no program runs for a message"."""
    found = priced(connect4_samples([300.0, 305.0, 295.0]))
    assert found["kernel.ebpf.service.message"].cpu_ns == pytest.approx(300, rel=0.01)


def test_one_round_alone_says_nothing_of_a_difference() -> None:
    assert priced(connect4_samples([300.0]))["kernel.ebpf.service.message"].cpu_ns == 0


def test_the_parser_is_a_line_over_bytes() -> None:
    made = [
        sample(
            http.NAME,
            number,
            {"program": "find_called", "bytes": size},
            {"parse_ns": (30 + 11 * size) * jitter(number)},
        )
        for number in range(3)
        for size in http.BYTES["find_called"]
    ]
    entry = priced(made)["kernel.ebpf.http-parser.request"]
    assert (entry.cpu_ns, entry.cpu_ns_per_byte) == pytest.approx((30, 11), rel=0.05)


def test_every_entry_is_measured_in_the_kernel_and_says_how() -> None:
    for entry in costs(Samples([*sockmap_samples(), *connect4_samples([0.0, 1.0, -1.0])])):
        assert entry.source == "measured"
        assert entry.kernel_share == 1.0
        assert entry.evidence is not None
        assert entry.evidence.taken_off
        assert np.isfinite(entry.standard_error)


def test_look_ups_are_priced_at_the_size_of_a_cluster_and_say_the_others() -> None:
    times = {"hash": {1: 28.0, 1024: 44.0, 1_048_576: 450.0}, "array": {1: 1.0, 1024: 2.0, 1_048_576: 100.0}}
    made = [
        sample(maps.NAME, number, {"type": kind, "entries": entries}, {"look_up_ns": ns + number})
        for number in range(3)
        for kind, by_size in times.items()
        for entries, ns in by_size.items()
    ]
    found = priced(made)
    assert found["kernel.ebpf.map.hash"].cpu_ns == 44  # noise can only raise it: the smallest of the rounds
    assert "1048576: 450.0 ns" in found["kernel.ebpf.map.hash"].reference
    assert found["kernel.ebpf.map.array"].cpu_ns == 2
