"""From samples to costs: known truths come back, and a wrong one is seen."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from meshsim.costs.book import Cost
from meshsim.measure.experiment import Sample, Samples
from meshsim.measure.kernel import cold, connections, costs, flows, quota, sockets, tls, wakeup
from meshsim.measure.kernel.netfilter import service_rules

ROUNDS = 3


def sample(experiment: str, number: int, settings: Mapping[str, int | str], values: Mapping[str, float]) -> Sample:
    return Sample(experiment, number, dict(settings), dict(values), words={"version": "OpenSSL 3", "cipher": "AES"})


def by_operation(found: list[Cost]) -> dict[str, Cost]:
    return {cost.operation: cost for cost in found}


def jitter(number: int) -> float:
    """Rounds differ by half a percent."""
    return 1 + 0.005 * (number - 1)


def test_nothing_measured_gives_no_costs() -> None:
    assert costs(Samples([])) == []


def socket_samples(bend: float = 0.0, across: float = 1.0) -> Samples:
    """Send 5000 + 0.1/B, receive 3000 + 0.05/B, wire 1500 + 0.02/B; across cores 6000 more, over veth 7000, and each
    byte ``across`` times as much."""
    made = []
    for number in range(ROUNDS):
        for size in sockets.SIZES:
            send, receive, wire = 5000 + 0.1 * size + bend * size**2, 3000 + 0.05 * size, 1500 + 0.02 * size
            for cores, wait, wait_wire in (("same", 0, 0), ("other", 6000, 1000)):
                if cores == "other":
                    send, receive = send + (across - 1) * 0.1 * size, receive + (across - 1) * 0.05 * size
                values = {
                    "loopback_send_ns": send,
                    "loopback_round_trip_ns": 2 * (send + receive + wait),
                    "loopback_own_cpu_ns": send + receive + wait / 2,
                    "veth_round_trip_ns": 2 * (send + receive + wait + wire + wait_wire),
                    "unix_round_trip_ns": 2 * (4000 + 0.1 * size + wait / 2),
                }
                values = {name: value * jitter(number) for name, value in values.items()}
                made.append(sample(sockets.NAME, number, {"cores": cores, "bytes": size}, values))
    return Samples(made)


def test_send_receive_and_wire_are_told_apart() -> None:
    found = by_operation(sockets.costs(socket_samples()))
    send, receive, wire = (found[f"kernel.{name}"] for name in ("tcp.send", "tcp.receive", "wire.same-node"))
    assert (send.cpu_ns, send.cpu_ns_per_byte) == pytest.approx((5000, 0.1), rel=0.01)
    assert (receive.cpu_ns, receive.cpu_ns_per_byte, receive.wait_ns) == pytest.approx((3000, 0.05, 6000), rel=0.01)
    assert (wire.cpu_ns, wire.cpu_ns_per_byte, wire.wait_ns) == pytest.approx((1500, 0.02, 1000), rel=0.02)
    assert found["kernel.unix.message"].wait_ns == pytest.approx(3000, rel=0.01)
    assert send.wait_ns == 0
    assert all(one.kernel_share == 1.0 and one.source == "measured" for one in found.values())


def test_a_byte_costs_what_it_costs_between_two_cores() -> None:
    found = by_operation(sockets.costs(socket_samples(across=2.0)))
    send, receive = found["kernel.tcp.send"], found["kernel.tcp.receive"]
    assert (send.cpu_ns, send.cpu_ns_per_byte) == pytest.approx((5000, 0.2), rel=0.01)
    assert (receive.cpu_ns, receive.cpu_ns_per_byte) == pytest.approx((3000, 0.1), rel=0.01)
    assert "on one core 0.100 and 0.050 ns" in send.reference


def test_a_wake_up_is_what_a_small_message_takes_more_between_two_cores() -> None:
    woken = by_operation(sockets.costs(socket_samples()))["kernel.wakeup"]
    assert (woken.cpu_ns, woken.wait_ns) == pytest.approx((3000, 6000), rel=0.01)


def pauses(most_ns: float, half_ns: float) -> Samples:
    """A reader that works 20 us, and more after a pause."""
    made = []
    for number in range(ROUNDS):
        for pause in cold.PAUSES_US:
            more = most_ns * pause * 1000 / (pause * 1000 + half_ns)
            values = {"loopback_peer_cpu_ns": (20_000 + more) * jitter(number)}
            made.append(sample(cold.NAME, number, {"pause_us": pause}, values))
    return Samples(made)


@pytest.mark.parametrize("half_ms", [2.0, 16.0])
def test_what_a_sleep_costs_comes_back(half_ms: float) -> None:
    (found,) = cold.costs(pauses(60_000, half_ms * 1e6))
    assert (found.operation, found.law) == ("kernel.cold", "cold")
    assert (found.cpu_ns, found.cv) == pytest.approx((60_000, half_ms), rel=0.05)
    (nothing,) = cold.costs(pauses(0.0, 1e6))
    assert nothing.cpu_ns == pytest.approx(0, abs=100)


def test_a_cost_that_is_no_line_shows_in_the_residuals() -> None:
    straight = by_operation(sockets.costs(socket_samples()))["kernel.tcp.send"].evidence
    bent = by_operation(sockets.costs(socket_samples(bend=1e-5)))["kernel.tcp.send"].evidence
    assert straight is not None
    assert bent is not None
    assert max(map(abs, straight.residuals.values())) < 0.02
    assert max(map(abs, bent.residuals.values())) > 0.1


def test_on_one_core_nothing_is_said_of_waiting() -> None:
    alone = Samples([s for s in socket_samples() if s.settings["cores"] == "same"])
    assert {cost.wait_ns for cost in sockets.costs(alone)} == {0.0}


def test_without_pods_there_is_no_wire() -> None:
    made = [
        sample(s.experiment, s.round, s.settings, {k: v for k, v in s.values.items() if "veth" not in k})
        for s in socket_samples()
    ]
    found = by_operation(sockets.costs(Samples(made)))
    assert set(found) == {"kernel.tcp.send", "kernel.tcp.receive", "kernel.wakeup", "kernel.unix.message"}


def test_a_switch_is_what_is_left() -> None:
    made = []
    for number in range(ROUNDS):
        same = {"self_round_trip_ns": 800.0, "pipe_round_trip_ns": 7000.0, "pipe_own_cpu_ns": 3500.0}
        other = {"self_round_trip_ns": 800.0, "pipe_round_trip_ns": 19_000.0, "pipe_own_cpu_ns": 13_000.0}
        made += [sample(wakeup.NAME, number, {"cores": c}, v) for c, v in (("same", same), ("other", other))]
    (switch,) = wakeup.costs(Samples(made))
    assert (switch.operation, switch.cpu_ns) == ("kernel.context-switch", 3500 - 800)
    assert "Between two cores each process is charged 9.5 us more" in switch.reference


def connection_samples(default: str, legacy_ns: float, nft_ns: float) -> Samples:
    made = []
    for number in range(ROUNDS):
        values = {
            "loopback_connection_ns": 50_000.0,
            "direct_connection_ns": 60_000.0,
            "direct_connect_ns": 25_500.0,
            "direct_connect_cpu_ns": 25_000.0,
            "inbound-redirect_connection_ns": 68_000.0,
            "inbound-tproxy_connection_ns": 63_000.0,
        }
        for rules in connections.RULES:
            for backend, slope in (("legacy", legacy_ns), ("nft", nft_ns)):
                values[f"{backend}_service_{rules}_connection_ns"] = 60_000 + 9000 + slope * rules
                values[f"{backend}_captured_{rules}_connection_ns"] = 50_000 + 10_000 + slope * rules
        made.append(sample(connections.NAME, number, {"cores": "same", "backend": default}, values))
    return Samples(made)


@pytest.mark.parametrize("backend", ["legacy", "nft"])
def test_rules_are_priced_by_the_host_s_own_back_end(backend: str) -> None:
    other, slopes = ("nft" if backend == "legacy" else "legacy"), {"legacy": 8.0, "nft": 25.0}
    found = by_operation(connections.costs(connection_samples(backend, slopes["legacy"], slopes["nft"])))
    assert found["kernel.service.iptables.rule"].cpu_ns == pytest.approx(slopes[backend], rel=0.01)
    assert found[f"kernel.service.iptables-{other}.rule"].cpu_ns == pytest.approx(slopes[other], rel=0.01)
    service = found["kernel.service.iptables.connection"]
    assert (service.cpu_ns, service.cpu_ns_per_byte) == (pytest.approx(9000, rel=0.01), 0.0)
    assert found["kernel.tcp.connection"].cpu_ns == 60_000
    assert found["kernel.tcp.connection"].kernel_share == 1.0
    assert found["kernel.tcp.connection"].wait_ns == pytest.approx(500)
    assert found["kernel.redirect.iptables-redirect.connection"].cpu_ns == 9000  # 10 us out, 8 us in
    assert found["kernel.redirect.tproxy.connection"].cpu_ns == 3000


def test_without_iptables_connections_are_still_priced() -> None:
    bare = {"direct_connection_ns": 60_000.0, "direct_connect_ns": 25_000.0, "direct_connect_cpu_ns": 25_000.0}
    found = connections.costs(Samples([sample(connections.NAME, 0, {"cores": "same"}, bare)]))
    assert [cost.operation for cost in found] == ["kernel.tcp.connection"]


def test_the_matching_rule_comes_after_the_others() -> None:
    lines = service_rules(70_000, "10.0.0.9", 7000).splitlines()
    rules = [line for line in lines if line.startswith("-A")]
    assert len(rules) == len(set(rules)) == 70_002
    assert "-d 10.97.0.1/32" in rules[-2]
    assert not any("-d 10.97.0.1/32" in rule for rule in rules[:-2])


def test_flows_are_compared_within_a_round() -> None:
    made = []
    for number in range(ROUNDS):
        base = 10_000.0 * (1 + 0.2 * number)  # the host gets slower from round to round; the differences do not
        for size in (flows.SMALL, flows.LARGE):
            added = {
                "loopback": 0, "direct": 3000, "tracked": 3800, "nft_service": 5000, "nft_captured": 2400,
                "inbound-redirect": 4600, "inbound-tproxy": 4400,
            }  # fmt: skip
            packets = 1 if size == flows.SMALL else 2
            values = {f"{name}_round_trip_ns": base + size + packets * more for name, more in added.items()}
            made.append(sample(flows.NAME, number, {"bytes": size, "backend": "nft"}, values))
    found = by_operation(flows.costs(Samples(made)))
    assert found["kernel.conntrack.message"].cpu_ns == pytest.approx(1000)
    assert found["kernel.redirect.iptables-redirect.message"].cpu_ns == pytest.approx((1200 + 800) / 2)
    assert found["kernel.redirect.tproxy.message"].cpu_ns == pytest.approx(700)
    assert found["kernel.conntrack.message"].standard_error == 0.03  # the floor: rounds agree
    assert "Of 4096 bytes, 2000 ns" in found["kernel.conntrack.message"].reference


def test_a_record_is_half_of_encrypting_and_decrypting() -> None:
    made = []
    for number in range(ROUNDS):
        values = {"client_handshake_ns": 1.2e6 * jitter(number), "server_handshake_ns": 1.0e6 * jitter(number)}
        for size in tls.SIZES:
            values |= {f"encrypt_{size}_ns": 800 + 0.4 * size, f"decrypt_{size}_ns": 600 + 0.2 * size}
        made.append(sample(tls.NAME, number, {}, values))
    found = by_operation(tls.costs(Samples(made)))
    assert (found["tls.record"].cpu_ns, found["tls.record"].cpu_ns_per_byte) == pytest.approx((700, 0.3), rel=0.01)
    assert found["tls.handshake"].cpu_ns == pytest.approx(1.1e6 * jitter(0), rel=0.001)


MS = 1e6


@pytest.mark.parametrize(
    ("at", "work", "percent", "latency", "throttled"),
    [
        (0, 30, 100, 30, 0),
        (0, 30, 50, 30, 0),
        (0, 30, 20, 110, 1),  # 20 in the first period, 80 still, 10 in the next
        (90, 30, 20, 30, 0),  # 10 at the end of a period, 20 in the next: never still
        (50, 30, 20, 60, 1),  # 20, still for 30, then 10
        (0, 45, 15, 215, 2),  # exactly three quotas: 15 + 85 + 15 + 85 + 15
    ],
)
def test_the_arithmetic_of_quota_and_period(
    at: float, work: float, percent: float, latency: float, throttled: int
) -> None:
    found, times = quota.replay(np.array([at * MS]), work * MS, percent * MS, 100 * MS, 0.0)
    assert found[0] / MS == pytest.approx(latency)
    assert times == throttled


def test_requests_that_bunch_up_queue_behind_a_throttled_one() -> None:
    found, times = quota.replay(np.array([0.0, 1.0, 2.0]) * MS, 10 * MS, 20 * MS, 100 * MS, 0.0)
    assert list(found / MS) == pytest.approx([10, 19, 108])
    assert times == 1


@pytest.mark.parametrize("phase", [0.0, 17.0, 63.0])
def test_the_beginning_of_periods_is_found_and_hides_no_wrong_arithmetic(phase: float) -> None:
    arrivals = quota.LOADS["burst"].arrivals(2.3, seed=0)
    seen, times = quota.replay(arrivals, 30 * MS, 20 * MS, 100 * MS, phase * MS)
    right, right_times = quota.matched(arrivals, seen * 1.01, 30 * MS, 20 * MS, 100 * MS)
    assert right.mean() == pytest.approx(seen.mean(), rel=0.02)
    assert right_times == times
    for wrong_quota, wrong_period in ((10, 100), (15, 75), (40, 200)):
        wrong, _ = quota.matched(arrivals, seen * 1.01, 30 * MS, wrong_quota * MS, wrong_period * MS)
        assert np.abs(wrong - seen).mean() > 5 * np.abs(right - seen).mean()


def quota_samples(factor: float) -> Samples:
    made = []
    for number in range(ROUNDS):
        for percent in (20, 50):
            values = {
                "mean_ns": factor * 70 * MS, "expected_mean_ns": 70 * MS, "p99_ns": 110 * MS, "expected_p99_ns": 110 * MS,
                "throttled": 0 if percent == 50 else 5, "expected_throttled": 0 if percent == 50 else 5.2, "slice_us": 5000,
            }  # fmt: skip
            made.append(sample(quota.NAME, number, {"load": "burst", "percent": percent}, values))
    return Samples(made)


@pytest.mark.parametrize("factor", [1.0, 2.0])
def test_the_quota_s_factor_says_how_far_the_arithmetic_holds(factor: float) -> None:
    (found,) = quota.costs(quota_samples(factor))
    assert found.ratio == factor
    rows = quota.table(quota_samples(factor))
    assert [(row.quota_percent, row.mean_ms / row.expected_mean_ms) for row in rows] == [(20, factor), (50, factor)]
