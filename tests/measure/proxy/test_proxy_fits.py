"""Costs come out of samples whose truth is known; a law without wake-ups misses them."""

import numpy as np
import pytest

from meshsim.measure.experiment import Sample, Samples
from meshsim.measure.fit import line, of_random_sleeps
from meshsim.measure.lab import LabError
from meshsim.measure.proxy import cold, features, footprint, load, messages, security
from meshsim.measure.proxy.kinds import ENVOY
from meshsim.measure.proxy.traffic import Demand, outcome

WORK, SETUP, BYTE = 38_000.0, 52_000.0, 0.6
TURN, TCP_TURN = 60_000.0, 5_000.0
ROUNDS = 3


def noisy(rng, value, share=0.02):
    return float(value * (1 + share * rng.standard_normal()))


def worlds(seed=1, turns=True):
    """Samples of an Envoy that obeys the law: 2 w + s x wake-ups + t x turns, bytes, TLS, copies.

    Without ``turns`` they were not counted, and cost nothing.
    """
    rng = np.random.default_rng(seed)
    samples = []

    def add(experiment, number, settings, **values):
        samples.append(Sample(experiment, number, settings, values))

    for number in range(ROUNDS):
        base = {"kernel_share": 0.4, "sleeps": 0.0, "busy": 1.0}
        if turns:
            for protocol, work, turn in (("http1", 2 * WORK, TURN), ("tcp", WORK, TCP_TURN)):
                for share in load.LOADS:
                    sleeps, begun = 2 * (1 - share), 2 * (1 - share**3)
                    cpu = noisy(rng, work + SETUP * sleeps + turn * begun)
                    settings = {"protocol": protocol, "loop": "open", "load": share}
                    values = {"sleeps": sleeps, "busy": share, "passes": 2 * begun}
                    add(load.name(ENVOY), number, settings, cpu_ns=cpu, kernel_share=0.4, **values)
                for connections in load.CONNECTIONS:
                    begun = 2 / connections
                    cpu = noisy(rng, work + (SETUP * 2 if connections == 1 else 0) + turn * begun)
                    settings = {"protocol": protocol, "loop": "closed", "connections": connections}
                    values = {**base, "sleeps": 2.0 * (connections == 1), "passes": 2 * begun}
                    add(load.name(ENVOY), number, settings, cpu_ns=cpu, **values)
        else:
            for share in load.LOADS:
                sleeps = 2 * (1 - share)
                cpu = noisy(rng, 2 * WORK + SETUP * sleeps)
                add(load.name(ENVOY), number, {"loop": "open", "load": share}, cpu_ns=cpu, sleeps=sleeps, busy=share)
            add(load.name(ENVOY), number, {"loop": "closed", "connections": 16}, cpu_ns=2 * WORK, **base)
        turned, tcp_turned = (TURN / 8, TCP_TURN / 8) if turns else (0.0, 0.0)  # with 16 connections
        low = {"latency_p50_ns": 320e3, "latency_p90_ns": 400e3}
        add(load.name(ENVOY), number, {"loop": "open", "path": "proxy"}, cpu_ns=180e3, **low, **base)
        add(load.name(ENVOY), number, {"loop": "open", "path": "direct"}, cpu_ns=0, latency_p50_ns=100e3)
        for protocol, factor in (("http1", 1.0), ("http2", 1.2)):
            for request, response in messages.SIZES:
                cpu = noisy(rng, 2 * WORK * factor + BYTE * (request + response - 2 * messages.SMALL)) + turned
                settings = {"protocol": protocol, "request_bytes": request, "response_bytes": response}
                add(messages.name(ENVOY), number, settings, cpu_ns=cpu, **base)
        for request, response in messages.TCP_SIZES:
            cpu = noisy(rng, WORK + BYTE * (request + response - 2 * messages.SMALL)) + tcp_turned
            settings = {"protocol": "tcp", "request_bytes": request, "response_bytes": response}
            add(messages.name(ENVOY), number, settings, cpu_ns=cpu, **base)
        add(
            messages.name(ENVOY),
            number,
            {"protocol": "tcp", "connection": "new"},
            cpu_ns=WORK + tcp_turned + 250e3,
            **base,
        )
        for size in security.SIZES:
            for name, extra in (("none", 0.0), ("mtls", 4 * (3_000 + 0.5 * size))):
                settings = {"security": name, "bytes": size}
                cpu = noisy(rng, 50e3 + 2 * size, 0.001) + extra
                add(security.NAME, number, settings, cpu_ns=cpu, kernel_share=0.5)
        for name, handshake in (("none", 0.0), ("mtls", 2 * 220e3)):
            cpu = 350e3 + handshake + (4 * (3_000 + 0.5 * 64) if name == "mtls" else 0)
            add(security.NAME, number, {"security": name, "connection": "new"}, cpu_ns=cpu, kernel_share=0.2)
        for feature in features.FEATURES:
            for copies in feature.copies:
                settings = {"feature": feature.operation, "copies": copies}
                cpu = noisy(rng, 30e3 + 1500 * copies * feature.per_copy, 0.002)
                add(features.name("envoy"), number, settings, cpu_ns=cpu, kernel_share=0.3)
        add(features.name("envoy"), number, {"feature": "none", "copies": 0}, cpu_ns=30e3, kernel_share=0.3)
        for clusters in footprint.CLUSTERS:
            settings = {"grows": "clusters", "units": clusters} if clusters else {"grows": "nothing"}
            values = {"memory_bytes": 14e6 + 52_000 * clusters, "startup_ns": 8e7 + 7e5 * clusters}
            add(footprint.name(ENVOY), number, settings, startup_cpu_ns=5e7 + 5e5 * clusters, **values)
        for endpoints in footprint.ENDPOINTS:
            units = endpoints * footprint.SPREAD_OVER
            memory = 14e6 + 50_500 * footprint.SPREAD_OVER + 1500 * units
            add(footprint.name(ENVOY), number, {"grows": "endpoints", "units": units}, memory_bytes=memory)
    return Samples(samples)


@pytest.fixture(scope="module", params=[True, False])
def book(request):
    samples = worlds(turns=request.param)
    return {c.operation: c for part in (load, messages, security, features, footprint) for c in part.costs(samples)}


@pytest.mark.parametrize(
    ("operation", "field", "truth", "tolerance"),
    [
        ("proxy.envoy.wakeup", "cpu_ns", SETUP, 0.1),
        ("proxy.envoy.wakeup", "wait_ns", 20e3, 0.01),
        ("proxy.envoy.http1.request", "cpu_ns", 2 * WORK * messages.REQUEST_SHARE, 0.08),
        ("proxy.envoy.http1.response", "cpu_ns", 2 * WORK * (1 - messages.REQUEST_SHARE), 0.08),
        ("proxy.envoy.http1.response", "cpu_ns_per_byte", BYTE, 0.15),
        ("proxy.envoy.http2.request", "cpu_ns", 2.4 * WORK * messages.REQUEST_SHARE, 0.1),
        ("proxy.envoy.tcp.message", "cpu_ns", WORK / 2, 0.1),
        ("proxy.envoy.tcp.message", "cpu_ns_per_byte", BYTE, 0.1),
        ("proxy.envoy.connection", "cpu_ns", 250e3, 0.02),
        ("proxy.envoy.tls.message", "cpu_ns", 3_000, 0.1),
        ("proxy.envoy.tls.message", "cpu_ns_per_byte", 0.5, 0.1),
        ("proxy.envoy.tls.handshake", "cpu_ns", 220e3, 0.02),
        ("proxy.envoy.feature.access-log", "cpu_ns", 1500, 0.1),
        ("proxy.envoy.feature.rbac-policy", "cpu_ns", 1500, 0.1),
        ("proxy.envoy.lua.request", "cpu_ns", 1500, 0.1),
        ("memory.envoy.cluster", "bytes", 50_500, 0.01),
        ("memory.envoy.endpoint", "bytes", 1500, 0.01),
        ("startup.envoy.cluster", "cpu_ns", 5e5, 0.01),
        ("startup.envoy.cluster", "wait_ns", 2e5, 0.01),
    ],
)
def test_a_cost_is_what_the_samples_were_made_of(book, operation, field, truth, tolerance):
    assert getattr(book[operation], field) == pytest.approx(truth, rel=tolerance)


def test_turns_are_told_from_wake_ups():
    samples = worlds()
    found = {c.operation: c for c in load.costs(samples)}
    assert found["proxy.envoy.turn"].cpu_ns == pytest.approx(TURN, rel=0.1)
    assert found["proxy.envoy.tcp.turn"].cpu_ns == pytest.approx(TCP_TURN, rel=0.5)
    assert found["proxy.envoy.wakeup"].cpu_ns == pytest.approx(SETUP, rel=0.1)
    # Without the counts, the law with wake-ups alone takes turns for them, and misses the closed loops.
    for sample in samples:
        sample.values.pop("passes", None)
    blind = load.law(samples, ENVOY)
    assert blind.wakeup.value > 1.3 * SETUP
    assert "proxy.envoy.turn" not in {c.operation for c in load.costs(samples)}


def low_rates(most, half_ns, idle=0.001):
    """Samples of an Envoy that works 150 us a request, more after a sleep, and a thousandth of a core all the time."""
    made = []
    for number in range(ROUNDS):
        for rate in (0.0, *cold.RATES):
            rps = rate or 6000.0
            busy = 0.9 if not rate else rps * 150e-6
            mean = (1 - busy) * 1e9 / rps
            more = most * of_random_sleeps(np.array([mean]), half_ns)[0]
            values = {"cpu_ns": (150e3 + more) * (1 + 0.01 * (number - 1)) + idle * 1e9 / rps, "busy": busy}
            made.append((rate, number, {**values, "requests_per_second": rps, "kernel_share": 0.4}))
    samples = [Sample(cold.NAME, number, {"path": "proxy", "rps": rate}, values) for rate, number, values in made]
    still = {"busy": idle, "requests_per_second": 50.0, "cpu_ns": idle * 1e9 / 50.0}
    return samples + [Sample(cold.NAME, n, {"path": "direct", "rps": 50.0}, dict(still)) for n in range(ROUNDS)]


@pytest.mark.parametrize("half_ms", [4.0, 16.0])
def test_what_a_sleep_costs_comes_back(half_ms):
    (found,) = cold.costs(Samples(low_rates(500e3, half_ms * 1e6)))
    assert (found.operation, found.law) == ("proxy.envoy.cold", "cold")
    assert (found.cpu_ns, found.cv) == pytest.approx((500e3, half_ms), rel=0.1)
    (nothing,) = cold.costs(Samples(low_rates(0.0, 16e6)))
    assert nothing.cpu_ns == pytest.approx(0, abs=5e3)
    # Negative control: what it works all the time looks like cold caches at low rates, if it is not taken off.
    blind = [s for s in low_rates(0.0, 16e6, idle=0.01) if s.settings["path"] == "proxy"]
    blind += [Sample(cold.NAME, n, {"path": "direct"}, {"busy": 0.0}) for n in range(ROUNDS)]
    assert cold.costs(Samples(blind))[0].cpu_ns > 50e3


def test_wake_ups_do_not_pay_for_cold_caches():
    """The first message of a request comes after a long sleep: where that is priced, it is no part of a wake-up."""
    most, half_ns = 500e3, 16e6
    samples = list(worlds())
    for sample in samples:
        if sample.experiment == load.name(ENVOY) and "load" in sample.settings:
            sample.values["requests_per_second"] = 10_000 * sample.settings["load"]
            slept = cold.sleep_ns(sample)
            sample.values["cpu_ns"] += (
                min(1.0, sample.values["sleeps"]) * most * of_random_sleeps(np.array([slept]), half_ns)[0]
            )
    known = load.law(Samples([*samples, *low_rates(most, half_ns)]), ENVOY)
    assert known.wakeup.value == pytest.approx(SETUP, rel=0.1)
    assert load.law(Samples(samples), ENVOY).wakeup.value > 1.1 * SETUP  # negative control: nobody priced it


def test_work_alone_misses_what_wake_ups_explain():
    rows = load.points(worlds(turns=False), ENVOY)
    law = line(rows)
    constant = np.abs(rows[:, 2] / np.median(rows[:, 2]) - 1)
    assert max(abs(v) for v in law.residuals.values()) < 0.08
    assert np.quantile(constant, 0.9) > 0.25


def test_without_a_counted_worker_wake_ups_follow_from_how_busy_it_is():
    busy = Sample("proxy.caddy.load", 0, {}, {"busy": 0.25})
    assert load.wakeups(busy) == pytest.approx(1.5)
    assert load.wakeups(Sample("proxy.caddy.load", 0, {}, {"busy": 1.02})) == 0


def test_cpu_beyond_added_latency_is_no_negative_waiting():
    samples = worlds(turns=False)
    for sample in samples.of(load.name(ENVOY), path="proxy"):
        sample.values["cpu_ns"] = 260e3
    wakeup = load.costs(samples)[0]
    assert wakeup.wait_ns == 0
    assert "40 us" in wakeup.reference


def test_no_samples_no_costs():
    nothing = Samples([])
    assert [part.costs(nothing) for part in (load, messages, security, features, footprint)] == [[], [], [], [], []]


def test_a_run_in_which_too_much_failed_says_nothing():
    told = {"errors": {"status": 20}, "answered": 1000, "observed": 1000, "unanswered": 0}
    with pytest.raises(LabError, match="20 of 1020 requests failed"):
        outcome(Demand(), told)
    with pytest.raises(LabError, match="nothing was answered"):
        outcome(Demand(), told | {"answered": 0})
