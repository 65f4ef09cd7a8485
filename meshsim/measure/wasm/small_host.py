"""Our filter in a small proxy-Wasm host of ours on wasmtime: what the interface costs without a proxy around it."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

from meshsim.costs.book import Cost
from meshsim.measure.bench import Bench
from meshsim.measure.experiment import Experiment, Reading, Samples
from meshsim.measure.native import tool
from meshsim.measure.wasm.modules import shipped
from meshsim.measure.wasm.plugin import VARIANTS, plugin_costs
from meshsim.measure.wasm.runtimes import wasmtime_library

NAME = "wasm.small-host.wasmtime"
COPIES = (1, 4, 16)


def run(bench: Bench) -> None:
    """Requests in memory through 0 to 16 copies; each batch is timed as a whole."""
    host = str(tool("wasm_filter", library=wasmtime_library()))
    requests, batches = (300, 6) if bench.quick else (1500, 12)

    def take(configuration: str, copies: int) -> dict[str, Reading]:
        argv = [host, str(shipped("filter")), configuration, str(copies), str(requests), str(batches)]
        answer: dict[str, Any] = json.loads(bench.lab.call(argv, cpus=[0]))
        return {
            "request_ns": answer["request_ns"],
            "least_request_ns": min(answer["request_ns"]),
            "start_ns": answer["start_ns"],
            "headers_added": answer["added"],
        }

    bench.measure({"variant": "none", "copies": 0}, partial(take, "", 0))
    for variant, (configuration, _) in VARIANTS.items():
        for copies in COPIES:
            bench.measure({"variant": variant, "copies": copies}, partial(take, configuration, copies))


def costs(samples: Samples) -> list[Cost]:
    """proxy.wasmhost.wasm.wasmtime.*"""
    return plugin_costs(
        samples,
        NAME,
        "least_request_ns",
        "proxy.wasmhost.wasm.wasmtime",
        "wasmtime in a small host of ours",
        "headers in plain arrays, no locks, no statistics, no proxy: the interface and the runtime alone",
        "a request through no copy",
    )


EXPERIMENTS = [
    Experiment(
        NAME,
        "our filter in a small host on wasmtime: CPU by copies, host calls, compute [ns]",
        run,
        seconds=3,
        quick_seconds=0.7,
        needs=("wasmtime", "compiler"),
    )
]
