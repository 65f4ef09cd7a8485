"""Costs of containers, and the one-percent table, from made samples of which the truth is known."""

import pytest

from meshsim.costs.book import Cost, CostBook
from meshsim.measure.container import memory, startup
from meshsim.measure.container.claim import one_percent
from meshsim.measure.experiment import Sample, Samples

MS = 1_000_000


def started(launcher, app, first_ms, cpu_ms, rounds=3):
    name = f"container.start.{launcher}.{app}"
    return [
        Sample(
            name,
            number,
            {"app": app, "launcher": launcher, "image_bytes": 1000},
            {
                "least_first_answer_ns": (first_ms + slower) * MS,
                "least_cpu_ns": cpu_ms * MS,
                "first_answer_ns": first_ms * MS,
                "cpu_ns": cpu_ms * MS,
            },
        )
        for number, slower in zip(range(rounds), (0.2, 0.0, 0.1), strict=False)
    ]


def test_a_runtime_costs_what_it_adds_to_a_bare_process():
    samples = Samples([*started("process", "c", 3, 1), *started("crun", "c", 9, 4)])
    found = {c.operation: c for c in startup.costs(samples)}
    assert found["startup.process.c"].cpu_ns + found["startup.process.c"].wait_ns == pytest.approx(3 * MS, rel=0.01)
    crun = found["startup.container.crun"]
    assert crun.cpu_ns == pytest.approx(3 * MS, rel=0.01)
    assert crun.cpu_ns + crun.wait_ns == pytest.approx(6 * MS, rel=0.01)
    assert "startup.container.runc" not in found


def test_without_the_bare_process_the_runtime_has_no_price():
    assert startup.costs(Samples(started("crun", "c", 9, 4))) == []


def test_memory_is_what_one_more_costs_and_not_what_the_first_costs():
    samples = Samples(
        Sample(
            "container.memory.c",
            number,
            {"instances": n, "load": "idle"},
            {"pss_bytes": 8e6 + 5e5 * n, "private_bytes": 5e5 * n},
        )
        for number in range(3)
        for n in (1, 10, 100)
    )
    loaded = [
        Sample("container.memory.c", n, {"instances": 1, "load": "loaded"}, {"pss_bytes": 9e6, "private_bytes": 6e5})
        for n in range(3)
    ]
    (found,) = memory.costs(Samples([*samples, *loaded]))
    assert found.operation == "memory.runtime.container-c"
    assert found.bytes == pytest.approx(5e5, rel=0.01)
    assert "7.6 MiB" in found.reference


def entry(operation, **values):
    return Cost(operation=operation, unit="x", standard_error=0.1, source="measured", reference="made up", **values)


def test_the_claim_has_three_readings_and_its_verdicts_differ():
    book = CostBook.model_validate(
        {
            "schema": "meshsim/costs/1",
            "name": "made",
            "entries": [
                entry("startup.container.crun", cpu_ns=5 * MS),
                entry("startup.process.c", cpu_ns=3 * MS),
                entry("startup.process.wasm", cpu_ns=5 * MS),
                entry("startup.wasm.wasmtime.instantiate", cpu_ns=10_000),
                entry("startup.wasm.wasmtime.compile", cpu_ns=MS, cpu_ns_per_byte=1000),
                entry("memory.runtime.container-c", bytes=700e3),
                entry("memory.runtime.wasm-instance", bytes=15e3),
                entry("memory.runtime.wasm-host", bytes=6e6),
            ],
        }
    )
    rows = {(r.quantity, r.reading): r for r in one_percent(book, module_bytes=64 << 10)}
    warm = rows["cold start", "new instance in a running host"]
    assert warm.ratio == pytest.approx(10_000 / (8 * MS))
    assert warm.holds
    pod = rows["cold start", "host process per pod"]
    assert pod.ratio == pytest.approx(10 / 8)
    assert not pod.holds
    compiling = rows["cold start", "compile 64 KiB at start"]
    assert compiling.wasm == pytest.approx(11 * MS + 1000 * 65536)
    assert not rows["memory", "new instance in a running host"].holds  # 2 %
    assert rows["memory", "host process per pod"].ratio > 5
    assert not any(r.container.endswith("runc") for r in rows.values())  # no price, no row
