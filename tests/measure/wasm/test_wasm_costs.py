"""Costs of Wasm from made samples of which the truth is known."""

import numpy as np
import pytest

from meshsim.measure.experiment import Sample, Samples
from meshsim.measure.wasm import envoy, standalone
from meshsim.measure.wasm.plugin import HASHED_BYTES, VARIANTS, plugin_costs, slopes

BASE, FIXED, CALL, BYTE = 30_000.0, 2000.0, 700.0, 1.1


def sample(experiment, number, settings, **values):
    return Sample(experiment, number, settings, values)


def plugin_samples(experiment, metric, *, extra=lambda variant, copies: 0.0, noise=0.01, rounds=3):
    random = np.random.default_rng(7)
    found = []
    for number in range(rounds):
        base = BASE * (1 + 0.1 * number)  # the host is slower in one round than in another
        found.append(sample(experiment, number, {"runtime": "none", "variant": "none", "copies": 0}, **{metric: base}))
        for variant, (_, calls) in VARIANTS.items():
            one = FIXED + CALL * calls + (BYTE * HASHED_BYTES if variant == "hash" else 0)
            for copies in (1, 4, 16):
                value = base + one * copies * (1 + noise * random.standard_normal()) + extra(variant, copies)
                settings = {"runtime": "v8", "variant": variant, "copies": copies}
                found.append(sample(experiment, number, settings, **{metric: value}))
    return Samples(found)


def by_operation(costs):
    return {c.operation: c for c in costs}


def test_parts_of_a_plugin_are_told_apart():
    found = by_operation(plugin_costs(plugin_samples("x", "cpu_ns"), "x", "cpu_ns", "p", "words", "", ""))
    assert found["p.request"].cpu_ns == pytest.approx(FIXED, rel=0.1)
    assert found["p.host-call"].cpu_ns == pytest.approx(CALL, rel=0.05)
    assert found["p.compute"].cpu_ns_per_byte == pytest.approx(BYTE, rel=0.1)
    assert found["p.compute"].cpu_ns == 0


def test_the_intervals_hold_the_truth():
    for metric, truth in (("p.request", FIXED), ("p.host-call", CALL)):
        found = by_operation(plugin_costs(plugin_samples("x", "cpu_ns"), "x", "cpu_ns", "p", "words", "", ""))[metric]
        assert abs(found.cpu_ns - truth) <= 1.96 * found.standard_error * found.cpu_ns


def test_negative_control_cost_that_copies_share_is_not_in_a_slope():
    """A cost paid once whatever the number of copies would be taken for a plug-in's by a single measurement."""
    once = plugin_samples("x", "cpu_ns", extra=lambda variant, copies: 50_000.0, noise=0)
    naive = once.values("x", "cpu_ns", variant="no-op", copies=1) - once.values("x", "cpu_ns", variant="none")
    assert naive.min() > 20 * FIXED
    # The point without a copy does not have it, so the slope of a straight line bends: still far nearer than that.
    assert max(slopes(once, "x", "cpu_ns", "no-op").values()) < naive.min() / 5


def test_without_samples_there_are_no_costs():
    assert envoy.costs(Samples([])) == []
    assert standalone.costs(Samples([])) == []


def test_memory_of_a_vm_is_half_a_plugin_with_one_worker():
    found = []
    for number in range(3):
        for workers in (1, 2):
            for copies in (0, 1, 2, 4, 8):
                memory = 14e6 + (2e6 if copies else 0) + 1.4e6 * (workers + 1) * copies
                settings = {"runtime": "v8", "workers": workers, "copies": copies}
                values = {
                    "private_bytes": memory,
                    "startup_cpu_ns": 6e7 + 1e7 * copies,
                    "listening_ns": 7e7 + 1.5e7 * copies,
                }
                found.append(sample("wasm.envoy.memory", number, settings, **values))
    costs = by_operation(envoy.costs(Samples(found)))
    assert costs["memory.envoy.wasm.v8.vm"].bytes == pytest.approx(1.4e6, rel=0.01)
    assert costs["memory.envoy.wasm.v8.engine"].bytes == pytest.approx(2e6, rel=0.05)
    assert costs["startup.envoy.wasm.v8.plugin"].cpu_ns == pytest.approx(1e7, rel=0.02)
    assert costs["startup.envoy.wasm.v8.plugin"].wait_ns == pytest.approx(0.5e7, rel=0.05)


def test_compile_time_is_a_line_over_the_size_of_the_module():
    found = [
        sample("wasm.compile.wasmtime", number, {"variant": "cranelift", "module_bytes": size},
               compile_ns=1e6 + 1200.0 * size, deserialize_ns=4e4 + 8.0 * size)
        for number in range(3) for size in (1000, 8000, 64000, 400000)
    ]  # fmt: skip
    costs = by_operation(standalone.costs(Samples(found)))
    assert costs["startup.wasm.wasmtime.compile"].cpu_ns == pytest.approx(1e6, rel=0.01)
    assert costs["startup.wasm.wasmtime.compile"].cpu_ns_per_byte == pytest.approx(1200, rel=0.01)
    assert costs["startup.wasm.wasmtime.load"].cpu_ns_per_byte == pytest.approx(8, rel=0.01)


def test_slow_down_is_the_geometric_mean_of_the_works_and_the_median_of_the_rounds():
    ratios = {"hash": 1.0, "sum": 2.0, "parse": 4.0}
    found = [
        sample("wasm.compute.v8", number, {"work": work}, slow_down_ratio=ratio * (9 if number == 1 else 1))
        for number in range(3) for work, ratio in ratios.items()
    ]  # fmt: skip
    assert standalone.slow_down(Samples(found), "v8").value == pytest.approx(2.0)
