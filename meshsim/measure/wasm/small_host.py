"""Our filter in small proxy-Wasm hosts of ours: what the interface costs without a proxy around it.

One is in C on wasmtime, one in JavaScript on Node's V8; neither has the locks, statistics and header maps of a proxy,
so the two are comparable with each other, and only from below with Envoy.
"""

from __future__ import annotations

import json
from functools import partial
from typing import Any

from meshsim.costs.book import Cost
from meshsim.measure.bench import Bench
from meshsim.measure.experiment import Experiment, Reading, Samples
from meshsim.measure.lab import LabError, program
from meshsim.measure.native import tool
from meshsim.measure.wasm.modules import shipped
from meshsim.measure.wasm.plugin import VARIANTS, plugin_costs
from meshsim.measure.wasm.runtimes import HERE, NODE, WASMTIME, Runtime, wasmtime_library

COPIES = (1, 4, 16)


def _host(runtime: Runtime) -> list[str]:
    if runtime is WASMTIME:
        return [str(tool("wasm_filter", library=wasmtime_library()))]
    node = program("node")
    if node is None:
        raise LabError("node is not installed: apt-get install nodejs")
    return [node, "--single-threaded", str(HERE / "filter_host.js")]


def run(runtime: Runtime, bench: Bench) -> None:
    """Requests in memory through 0 to 16 copies; the CPU time of each batch is taken as a whole."""
    host = _host(runtime)
    # Node tells CPU time in microseconds, so a batch has to last.
    requests, batches = (300, 6) if bench.quick else (1500, 12)

    def take(configuration: str, copies: int) -> dict[str, Reading]:
        argv = [*host, str(shipped("filter")), configuration, str(copies), str(requests), str(batches)]
        answer: dict[str, Any] = json.loads(bench.lab.call(argv, cpus=[0]))
        return {
            "request_ns": answer["request_ns"],
            "least_request_ns": min(answer["request_ns"]),
            "start_ns": answer["start_ns"],
            "headers_added": answer["added"],
        }

    bench.measure({"variant": "none", "copies": 0}, partial(take, "", 0))
    for variant, (configuration, _) in VARIANTS.items():
        for copies in COPIES[1:] if bench.quick else COPIES:
            bench.measure({"variant": variant, "copies": copies}, partial(take, configuration, copies))


def costs(samples: Samples) -> list[Cost]:
    """proxy.wasmhost.wasm.<runtime>.*"""
    found: list[Cost] = []
    for runtime in HOSTS:
        found += plugin_costs(
            samples,
            f"wasm.small-host.{runtime.name}",
            "least_request_ns",
            f"proxy.wasmhost.wasm.{runtime.name}",
            f"{runtime.words} in a small host of ours",
            "headers in plain arrays, no locks, no statistics, no proxy: the interface and the runtime alone",
            "a request through no copy",
        )
    return found


HOSTS: tuple[Runtime, ...] = (WASMTIME, NODE)
EXPERIMENTS = [
    Experiment(
        f"wasm.small-host.{runtime.name}",
        f"our filter in a small host on {runtime.words}: CPU by copies, host calls, compute [ns]",
        partial(run, runtime),
        seconds=3,
        quick_seconds=0.8,
        needs=runtime.needs,
    )
    for runtime in HOSTS
]
