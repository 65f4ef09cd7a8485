"""Load on a deployed scenario, and what it shows: latency from the moment a request was due, CPU by cgroup, memory."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import replace

from meshsim.measure.experiment import Reading
from meshsim.measure.lab import Cgroup, LabError, memory
from meshsim.measure.native import tool
from meshsim.measure.proxy.traffic import Demand, Outcome, outcome
from meshsim.scenario.application import Call
from meshsim.testbed.deploy import PORT, Deployed
from meshsim.testbed.scenarios import CLIENTS, Case, only_call

MIB = 1024 * 1024
MARGIN_S = 0.3
"""By so much the other generators run longer than the one that is measured, at either end."""


def drive(case: Case, mesh: Deployed, rps: float, seconds: float, warm_up: float) -> dict[str, Reading | str]:
    """One point: ``rps`` requests a second in all, Poisson; 0: closed loop. Latency is that of the first generator.

    CPU time is of all cgroups over exactly the measured seconds, by request of all generators.
    """
    generators = case.generators
    shares = case.shares()
    others, files = [], []
    folder = mesh.pods[generators[0].name].lab.folder()
    for number, generator in enumerate(generators[1:]):
        file = folder / f"other-{number}-{time.monotonic_ns()}"
        demand = _demand(only_call(generator), rps * shares[generator.name], seconds, warm_up)
        longer = _longer(demand)
        with file.open("wb") as said:
            others.append(
                mesh.pods[generator.name].start(
                    _words(longer, mesh, only_call(generator), {}),
                    cgroup=mesh.applications[generator.name],
                    stdout=said,
                )
            )
        files.append((file, longer))
    if others:
        time.sleep(MARGIN_S)
    first = generators[0]
    demand = _demand(only_call(first), rps * shares[first.name], seconds, warm_up)
    told = mesh.pods[first.name].run(
        _words(demand, mesh, only_call(first), mesh.watched()),
        cgroup=mesh.applications[first.name],
        timeout=seconds + warm_up + 15,
    )
    found = outcome(demand, json.loads(told))
    rate = found.rate
    for process, (file, longer) in zip(others, files, strict=True):
        process.popen.wait(seconds + warm_up + 15)
        rate += outcome(longer, json.loads(file.read_text())).rate
    return _readings(mesh, found, rate)


def _readings(mesh: Deployed, found: Outcome, rate: float) -> dict[str, Reading | str]:
    requests = rate * found.demand.seconds
    if requests <= 0:
        raise LabError("nothing was answered")
    readings: dict[str, Reading | str] = {
        "requests_per_second": rate,
        "latency_p50_ns": found.latency_ns["0.5"],
        "latency_p90_ns": found.latency_ns["0.9"],
        "latency_p99_ns": found.latency_ns["0.99"],
        "latency_mean_ns": found.latency_ns["mean"],
        "lag_p50_ns": found.lag_ns["0.5"],
        "observed": float(found.answered),
    }
    for name, cpu in found.cpu.items():
        readings[f"cpu_ns.{name}"] = cpu.total_ns / requests
        readings[f"user_ns.{name}"] = cpu.user_ns / requests
    for name, thread in found.threads.items():
        readings[f"sleeps.{name}"] = thread.slept / requests
        readings[f"run_queue_ns.{name}"] = thread.waited_ns / requests
    readings["sleeps.generator"] = found.own_sleeps / requests
    for kind in ("application", "proxy"):
        readings[f"cpu_ns.{kind}"] = sum(
            cpu.total_ns for name, cpu in found.cpu.items() if name.startswith(f"{kind}.")
        ) / requests  # fmt: skip
    readings["busy_cores"] = sum(cpu.total_ns for cpu in found.cpu.values()) / (found.demand.seconds * 1e9)
    for measure in ("Private_Dirty", "Pss"):
        sizes = [memory(pid)[measure] for running in mesh.proxies.values() for pid in running.pids()]
        readings[f"proxy_{measure.lower()}_mib"] = sum(sizes) / MIB
    return readings


def _demand(call: Call, rps: float, seconds: float, warm_up: float) -> Demand:
    if call.protocol == "grpc":
        raise LabError("the testbed's generator speaks http1, http2 and raw TCP, not grpc")
    return Demand(rps, CLIENTS, call.protocol, call.request_bytes, call.response_bytes, seconds, warm_up)


def _longer(demand: Demand) -> Demand:
    return replace(demand, seconds=demand.seconds + 2 * MARGIN_S)


def _words(demand: Demand, mesh: Deployed, call: Call, watch: Mapping[str, Cgroup]) -> list[str]:
    # A seed of its own for each run: rounds are to differ in their arrivals, as in everything else.
    words = [str(tool("load")), "--address", mesh.addresses[call.service], "--port", str(PORT), *demand.arguments()]
    words += ["--seed", str(time.monotonic_ns() % 1_000_000_007)]
    for name, cgroup in watch.items():
        words += ["--cpu", f"{name}={cgroup.path / 'cpu.stat'}"]
    for name, folder in mesh.threads().items() if watch else ():
        words += ["--thread", f"{name}={folder}"]
    return words
