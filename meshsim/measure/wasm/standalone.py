"""Wasm runtimes by themselves: compile, instantiate, call in and out, memory, and compute against native code."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from meshsim.costs.book import Cost
from meshsim.measure.bench import Bench
from meshsim.measure.book import cost
from meshsim.measure.experiment import Experiment, Reading, Samples, Setting
from meshsim.measure.fit import Figure, best, figure, line, scaled
from meshsim.measure.lab import Lab
from meshsim.measure.native import tool
from meshsim.measure.wasm.modules import grown, shipped
from meshsim.measure.wasm.runtimes import NODE, WASM3, WASMTIME, Runtime

WORK = ("hash", "sum", "parse")
LENGTH = 1 << 16
SIZES = {1 << 10: 20, 8 << 10: 8, 64 << 10: 3, 400 << 10: 2}
"""Bytes of a module -> how often it is compiled in a round."""
QUICK_SIZES = {1 << 10: 6, 48 << 10: 2}
CONDITIONS = "CPU time of the process, all threads; the file is in memory"


MODULE_BYTES = 64 * 1024
"""Size of a module for which the error of a compile cost is stated."""


def compile_all(runtime: Runtime, bench: Bench) -> None:
    """Compile modules of growing size, by each compiler that the runtime has."""
    folder = bench.lab.folder()
    source = shipped("filter").read_bytes()
    for size, count in (QUICK_SIZES if bench.quick else SIZES).items():
        module = folder / f"{size}.wasm"
        module.write_bytes(grown(source, size))
        for variant in runtime.variants[: 1 if bench.quick else None]:
            settings: dict[str, Setting] = {"variant": variant, "module_bytes": module.stat().st_size}
            bench.measure(settings, partial(runtime.measure, bench.lab, "compile", module, count, variant))


def instances(runtime: Runtime, bench: Bench) -> None:
    """Make an instance, call it for the first time, throw it away."""
    count = 200 if bench.quick else 2000
    for placement in ("pooling", "on-demand") if runtime is WASMTIME else ("heap",):
        extra = (placement,) if runtime is WASMTIME else ()
        take = partial(runtime.measure, bench.lab, "instances", shipped("work"), count, *extra)
        bench.measure({"placement": placement}, take)


def calls(runtime: Runtime, bench: Bench) -> None:
    """Calls into a guest, and from the guest into the host."""
    take = partial(runtime.measure, bench.lab, "calls", shipped("work"), 2_000 if bench.quick else 20_000)
    bench.measure({}, take)


def memory(runtime: Runtime, bench: Bench) -> None:
    """Private memory with more and more instances alive, each after one request."""
    counts = (0, 100, 500) if bench.quick else (0, 100, 500, 1000, 2000)
    for placement in ("pooling", "on-demand") if runtime is WASMTIME else ("heap",):
        extra = (placement,) if runtime is WASMTIME else ()
        found: list[float] = []

        def all_counts(found: list[float] = found, extra: tuple[str, ...] = extra) -> dict[str, Reading]:
            found[:] = runtime.measure(bench.lab, "memory", shipped("echo"), *extra, *counts)["bytes"]
            return {"memory_bytes": found[0]}

        bench.measure({"placement": placement, "instances": 0}, all_counts)
        for count, value in zip(counts[1:], found[1:], strict=True):
            bench.measure({"placement": placement, "instances": count}, partial(_same, value))


def _same(value: float) -> dict[str, Reading]:
    return {"memory_bytes": value}


def compute(runtime: Runtime, bench: Bench) -> None:
    """The same work in the runtime and as a native program, one after the other."""
    times, batches = (1, 5) if bench.quick else (2, 12)
    for kind in WORK:
        bench.measure({"work": kind}, partial(_both, runtime, bench.lab, kind, times, batches))


def _both(runtime: Runtime, lab: Lab, kind: str, times: int, batches: int) -> dict[str, Reading]:
    native_argv = [str(tool("compute", prefer_zig=True)), kind, str(LENGTH), str(times), str(batches)]
    native: dict[str, Any] = json.loads(lab.call(native_argv, cpus=[0]))
    guest = runtime.measure(lab, "compute", shipped("work"), kind, LENGTH, times, batches)
    if guest["value"] != native["value"]:
        raise OSError(f"{runtime.words} computed {guest['value']}, native code {native['value']}: {kind} went wrong")
    least = min(guest["ns_per_byte"]), min(native["ns_per_byte"])
    return {
        "ns_per_byte": guest["ns_per_byte"],
        "native_ns_per_byte": native["ns_per_byte"],
        "least_ns_per_byte": least[0],
        "slow_down_ratio": least[0] / least[1],
    }


def _experiments(runtime: Runtime) -> list[Experiment]:
    def make(what: str, words: str, run: Callable[[Runtime, Bench], None], seconds: float, quick: float) -> Experiment:
        return Experiment(
            f"wasm.{what}.{runtime.name}",
            f"{runtime.words}: {words}",
            partial(run, runtime),
            seconds=seconds,
            quick_seconds=quick,
            needs=runtime.needs,
        )

    compare = make("compute", "work on bytes against native code [ratio]", compute, 1.5, 0.4)
    if runtime is WASM3:
        return [compare]
    return [
        make("compile", "compile modules of 1 to 400 KiB [ns]", compile_all, 6, 0.5),
        make("instances", "make an instance, first call [ns]", instances, 0.7, 0.2),
        make("calls", "call into the guest, call back into the host [ns]", calls, 0.4, 0.2),
        make("memory", "private memory with 0 to 2000 instances [bytes]", memory, 1.2, 0.3),
        compare,
    ]


EXPERIMENTS = [e for runtime in (WASMTIME, NODE, WASM3) for e in _experiments(runtime)]


def costs(samples: Samples) -> list[Cost]:
    """Entries startup.wasm.*, runtime.wasm.*, memory.runtime.wasm-instance."""
    found: list[Cost] = []
    compilers: tuple[Runtime, ...] = (WASMTIME, NODE)
    for runtime in compilers:
        found += _compile_costs(runtime, samples) + _instance_costs(runtime, samples) + _call_costs(runtime, samples)
    for runtime in (*compilers, WASM3):
        found += _compute_costs(runtime, samples)
    return found + _memory_costs(samples)


def _compile_costs(runtime: Runtime, samples: Samples) -> list[Cost]:
    name, found = f"wasm.compile.{runtime.name}", []
    for variant in runtime.variants:
        if variant == "lazy" or len({s.settings["module_bytes"] for s in samples.of(name, variant=variant)}) < 2:
            continue  # V8's default compiles nothing at first: its figure says only how long it looks at a module
        suffix = "" if variant == runtime.variants[0] else f"-{variant}"
        found.append(
            cost(
                f"startup.wasm.{runtime.name}{suffix}.compile",
                "module",
                experiment=name,
                reference=f"{runtime.words}, {variant}: our filter's functions repeated to the size wanted",
                conditions=CONDITIONS,
                cpu=line(samples.points(name, "module_bytes", "compile_ns", variant=variant)),
                typical_units=MODULE_BYTES,
            )
        )
        if runtime is WASMTIME and variant == runtime.variants[0]:
            found.append(
                cost(
                    "startup.wasm.wasmtime.load",
                    "module",
                    experiment=name,
                    reference="wasmtime: a module compiled before is loaded; bytes are those of the .wasm file",
                    conditions=CONDITIONS,
                    cpu=line(samples.points(name, "module_bytes", "deserialize_ns", variant=variant)),
                    typical_units=MODULE_BYTES,
                )
            )
    return found


def _instance_costs(runtime: Runtime, samples: Samples) -> list[Cost]:
    name, found = f"wasm.instances.{runtime.name}", []
    for placement, suffix in (("pooling", ""), ("heap", ""), ("on-demand", "-on-demand")):
        made = samples.values(name, "instantiate_ns", placement=placement)
        called = samples.values(name, "first_call_ns", placement=placement)
        if len(made):
            found.append(
                cost(
                    f"startup.wasm.{runtime.name}{suffix}.instantiate",
                    "instance",
                    experiment=name,
                    reference=f"{runtime.words}, placement {placement}: new instance with store, and its first call "
                    "(page faults), medians",
                    cpu=best(made + called),
                    raw=samples.of(name, placement=placement)[0],
                    metric="instantiate_ns",
                    taken_off="nothing: the clock costs 20 to 50 ns of it",
                )
            )
    return found


def _call_costs(runtime: Runtime, samples: Samples) -> list[Cost]:
    name, found = f"wasm.calls.{runtime.name}", []
    for metric, what, words in (
        ("call_ns", "call", "the host calls a guest's empty function"),
        ("host_call_ns", "host-call", "a guest calls the host's smallest function"),
    ):
        if samples.has(name):
            found.append(
                cost(
                    f"runtime.wasm.{runtime.name}.{what}",
                    "call",
                    experiment=name,
                    reference=f"{runtime.words}: {words}, warm, mean over a batch; the loop is in it",
                    cpu=best(samples.values(name, metric)),
                    raw=samples.of(name)[0],
                    metric=metric,
                )
            )
    return found


def slow_down(samples: Samples, runtime: str) -> Figure:
    """Compute against native code: each round's geometric mean over the kinds of work, the median over rounds."""
    name = f"wasm.compute.{runtime}"
    rounds = sorted({s.round for s in samples.of(name)})
    means = []
    for number in rounds:
        ratios = [s.values["slow_down_ratio"] for s in samples.of(name) if s.round == number]
        means.append(float(np.exp(np.mean(np.log(ratios)))))
    return figure(means)


def _compute_costs(runtime: Runtime, samples: Samples) -> list[Cost]:
    name = f"wasm.compute.{runtime.name}"
    if not samples.has(name):
        return []
    each = ", ".join(
        f"{work} {float(np.median(samples.values(name, 'slow_down_ratio', work=work))):.2f}" for work in WORK
    )
    return [
        cost(
            f"runtime.wasm.{runtime.name}.compute",
            "factor",
            experiment=name,
            reference=f"{runtime.words} over native code of the same source, geometric mean of hash, sum and parse of "
            f"64 KiB, the best batch of each; by work: {each}",
            ratio=slow_down(samples, runtime.name),
            raw=samples.of(name, work="hash")[0],
            metric="ns_per_byte",
        )
    ]


def _memory_costs(samples: Samples) -> list[Cost]:
    found = []
    for runtime, placement, operation in (
        (WASMTIME, "pooling", "memory.runtime.wasm-instance"),
        (NODE, "heap", "memory.runtime.wasm-instance-v8"),
    ):
        name = f"wasm.memory.{runtime.name}"
        if len({s.settings["instances"] for s in samples.of(name, placement=placement)}) < 2:
            continue
        fitted = line(samples.points(name, "instances", "memory_bytes", placement=placement))
        found.append(
            cost(
                operation,
                "instance",
                experiment=name,
                reference=f"{runtime.words}, placement {placement}: slope of the host's private memory over 0 to 2000 "
                "instances of our echo module, each after one request",
                memory=scaled(fitted.per_unit, 1.0),
                taken_off="the host process, as the line's fixed part",
            )
        )
    return found
