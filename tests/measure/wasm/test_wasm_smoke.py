"""The experiments of the group wasm, for real and shortly, where the host allows."""

import pytest

from meshsim.measure.bench import Bench
from meshsim.measure.doctor import capability
from meshsim.measure.experiment import Samples
from meshsim.measure.lab import Lab
from meshsim.measure.wasm import EXPERIMENTS, costs, envoy

BY_NAME = {e.name: e for e in EXPERIMENTS}


def need(*names):
    for name in names:
        if not capability(name).ok:
            pytest.skip(f"{capability(name).what} is missing: {capability(name).remedy}")


def measured(name):
    experiment = BY_NAME[name]
    need(*experiment.needs)
    with Lab() as lab:
        bench = Bench(name, 0, True, lab, lambda: False, attempts=1)
        with lab.scope():
            experiment.run(bench)
    return Samples(bench.samples)


@pytest.mark.parametrize("runtime", ["wasmtime", "v8"])
def test_a_runtime_by_itself(runtime):
    found = Samples([])
    for what in ("compile", "instances", "calls", "memory", "compute"):
        found = Samples([*found, *measured(f"wasm.{what}.{runtime}")])
    entries = {c.operation: c for c in costs(found)}
    assert entries[f"startup.wasm.{runtime}.compile"].cpu_ns_per_byte > 1
    assert 500 < entries[f"startup.wasm.{runtime}.instantiate"].cpu_ns < 3e6
    assert 0.5 < entries[f"runtime.wasm.{runtime}.compute"].ratio < 20
    assert 0 < entries[f"runtime.wasm.{runtime}.call"].cpu_ns < 50_000
    memory = "memory.runtime.wasm-instance" + ("" if runtime == "wasmtime" else "-v8")
    assert 4096 <= entries[memory].bytes < 1e6


def test_an_interpreter_is_slower_than_native_code():
    found = {c.operation: c for c in costs(measured("wasm.compute.wasm3"))}
    assert found["runtime.wasm.wasm3.compute"].ratio > 1.5


@pytest.mark.parametrize("runtime", ["wasmtime", "v8"])
def test_a_small_host_calls_the_filter_as_configured(runtime):
    found = measured(f"wasm.small-host.{runtime}")
    added = {
        (s.settings["variant"], s.settings["copies"]): s.values["headers_added"]
        for s in found
        if s.settings["copies"] == 4
    }
    assert added == {("no-op", 4): 0, ("read-add", 4): 4, ("reads-adds", 4): 8, ("hash", 4): 4}
    assert {c.operation for c in costs(found)} >= {f"proxy.wasmhost.wasm.{runtime}.request"}


def test_envoy_says_itself_which_runtimes_it_carries(tmp_path, monkeypatch):
    need("envoy")
    assert envoy.verdict("v8") == "ok"
    assert "compiled without support" in envoy.verdict("no-such-runtime")
    broken = tmp_path / "broken.wasm"
    broken.write_bytes(b"\0asm\1\0\0\0\xff")
    monkeypatch.setattr(envoy, "shipped", lambda name: broken)
    envoy.verdict.cache_clear()
    try:
        assert envoy.verdict("v8") != "ok"  # a module that does not load is noticed: the check really loads it
    finally:
        envoy.verdict.cache_clear()


def test_each_copy_of_the_filter_does_its_work_in_envoy():
    need(*envoy.NEEDS)
    from meshsim.measure.proxy import software
    from meshsim.measure.proxy.envoy import Envoy
    from meshsim.measure.proxy.software import Role

    ask = (
        "import http.client, sys; c = http.client.HTTPConnection('127.0.0.1', int(sys.argv[1])); c.request('GET', '/'); "
        "print(c.getresponse().headers.get_all('x-mesh'))"
    )
    with Lab() as lab:
        pod = lab.pod("server")
        running = software.start(Envoy(filters=[envoy.plugin(n, "v8", "r1a1m1") for n in range(3)]), Role(), pod)
        assert pod.run(["python3", "-c", ask, str(running.role.port)]).strip() == str(["measured"] * 3)


def test_memory_and_startup_of_plugins_in_envoy():
    found = {c.operation: c for c in costs(measured("wasm.envoy.memory"))}
    assert 3e5 < found["memory.envoy.wasm.v8.vm"].bytes < 1e7
    assert found["startup.envoy.wasm.v8.plugin"].cpu_ns > 1e5


def test_requests_through_plugins_in_envoy():
    found = measured("wasm.envoy.request")
    assert {s.settings["variant"] for s in found} >= {"none", "no-op", "read-add", "reads-adds"}
    cpu = {(s.settings["variant"], s.settings["copies"]): s.values["cpu_ns"] for s in found}
    assert cpu["reads-adds", 12] > cpu["none", 0]
