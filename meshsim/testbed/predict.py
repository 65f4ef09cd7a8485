"""The same scenario, simulated: what the testbed should have measured, with the uncertainty of the costs.

The host is one node. Everything on it shares its cores, the generator of load too, so that one is a service: its
sockets cost what every application's do. Requests enter it at
the moments at which they are due; that entry is nothing real and costs nothing (``without_entry``). In a closed loop
the clients are the generator's connections.

One thing no cost book knows, because it belongs to the programs of the testbed; it is taken from the scenario
``BASELINE`` and put into every other (``OwnWork``): what generator and server do for a request besides their sockets
and what they are told to compute, and by how much the generator's timer is late. All else comes from the cost books.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from meshsim.costs.books import Costs
from meshsim.engines import compiled
from meshsim.plan.lower import lower
from meshsim.plan.plan import Op, Plan
from meshsim.results.audit import audit
from meshsim.results.intervals import estimate_quantile
from meshsim.results.rows import Estimate
from meshsim.results.run import RunResult
from meshsim.scenario.application import Application, Duration, Endpoint, Service, Step
from meshsim.scenario.catalog import load_machine
from meshsim.scenario.load import Closed, Load
from meshsim.scenario.machine import Machine
from meshsim.scenario.scenario import Run
from meshsim.studies.row import make_row
from meshsim.testbed.scenarios import CLIENTS, Case

REQUESTS = 4000
QUICK_REQUESTS = 2500
MIB = 1024 * 1024


@dataclass(frozen=True)
class OwnWork:
    """What the testbed's programs cost besides their sockets, microseconds of CPU time."""

    generator_us: float
    """For a request and its answer."""
    server_us: float
    late_us: float = 0.0
    """The generator sends so much after the moment at which a request was due, off the CPU, besides its wake-up."""


@dataclass(frozen=True)
class Prediction:
    """What a scenario at one load should show: each with its interval, costs and sampling together (95 %)."""

    values: Mapping[str, Estimate]
    """p50, p99 [us], cpu-application, cpu-proxy, cpu-total [us a request], rate [1/s], memory [MiB]."""
    operations: tuple[str, ...]
    """Of the cost book, that it charges."""
    notes: tuple[str, ...] = ()


def predict(
    case: Case, rps: float, own: OwnWork, costs: Costs, *, requests: int = REQUESTS, cores: int | None = None
) -> Prediction:
    """Simulate a scenario at a rate; 0: closed loop of ``CLIENTS`` clients. ``cores``: this host's, where left out."""
    own = own if rps else replace(own, late_us=0.0)  # in a closed loop an answer sets off the next request, no timer
    load = Load(rps=rps, overload="simulate") if rps else Load(closed=Closed(clients=CLIENTS), overload="simulate")
    run = Run(requests=requests, warmup=0.2, seed=11)
    scenario = case.scenario.model_copy(update={"load": load, "run": run})
    application = with_own_work(case, own)
    machine = this_host(case, cores)
    plan = without_entry(lower(application, case.dataplane, machine, scenario, costs))
    result = compiled.run(plan, run)
    checks = audit(result)
    notes = () if checks.ok else (f"the run fails its audit: {checks.checks[0]}",)
    used = result.cpu_ns.sum(axis=0)
    charged = {tag.operation for tag, ns in zip(plan.tags, used.tolist(), strict=True) if ns and tag.standard_error}
    return Prediction(_values(case, result, machine), tuple(sorted(charged)), notes)


def this_host(case: Case, cores: int | None = None) -> Machine:
    """The machine of the file with the cores of this host, or so many."""
    machine = load_machine(case.scenario.cluster.machine, case.path.parent)
    return machine.model_copy(update={"cores": cores or len(os.sched_getaffinity(0))})


def with_own_work(case: Case, own: OwnWork) -> Application:
    """The application with the programs' own work in its compute steps.

    Half of it before everything and half when the answer to a call has come, for the generator as for a server that
    calls; so each time an event loop begins a turn, and may have to be woken.
    """
    generators = {service.name for service in case.generators}
    services = [
        _working(service, own.generator_us / 2, own.server_us / 2, own.late_us)
        if service.name in generators
        else _working(service, own.server_us, own.server_us / 2)
        for service in case.application.services
    ]
    return case.application.model_copy(update={"services": services})


def _working(service: Service, first_us: float, answer_us: float, late_us: float = 0.0) -> Service:
    endpoint = service.endpoints[0]
    late = [Step(wait=Duration(mean_us=late_us, law="constant"))] if late_us > 0 else []
    steps = [_compute(first_us), *late]  # behind it, so that the thread is woken once
    for step in endpoint.steps:
        calls = Endpoint(name="only", steps=[step]).calls()
        steps += [step, _compute(answer_us * len(calls))] if calls else [step]
    return service.model_copy(update={"endpoints": [endpoint.model_copy(update={"steps": _merged(steps)})]})


def _compute(mean_us: float) -> Step:
    return Step(compute=Duration(mean_us=max(mean_us, 0.001), law="constant"))


def _merged(steps: list[Step]) -> list[Step]:
    """Compute steps that follow each other are one turn on the service's thread."""
    merged: list[Step] = []
    for step in steps:
        before = merged[-1].compute if merged else None
        if before is not None and step.compute is not None:
            merged[-1] = _compute(before.mean_us + step.compute.mean_us)
        else:
            merged.append(step)
    return merged


def without_entry(plan: Plan) -> Plan:
    """The plan with entries that cost nothing: a request appears in the generator, its answer ends there."""
    body = {name: np.zeros(2, np.int64) for name in
            ("op", "at", "other", "when", "slot", "target", "mean_ns", "law", "tag", "purpose", "amount")}  # fmt: skip
    body["op"][:] = (Op.BODY, Op.END)
    body["at"][:] = body["other"][:] = 1
    body["law"][:] = body["tag"][:] = -1
    body["target"][:] = -1
    start = len(plan.op)
    programs = plan.call_program.copy()
    programs[: plan.entry_calls] = start
    columns: dict[str, Any] = {name: np.concatenate([getattr(plan, name), extra]) for name, extra in body.items()}
    return replace(plan, **columns, call_program=programs)


def _values(case: Case, result: RunResult, machine: Machine) -> dict[str, Estimate]:
    row = make_row(result, case.dataplane.name, len(case.application.services), machine)
    first = result.entry_latency[0]
    band = row.model_error.latency_us_p50
    middle = row.latency_us.p50.value or 1.0
    of_time = max(band.high - middle, middle - band.low) / middle
    of_cpu = _relative(row.cpu_cores.total, row.model_error.cpu_cores.high)
    window_s = result.window_ns / 1e9
    requests = result.measured
    by_component = {"application": 0.0, "proxy": 0.0}
    parts: dict[str, dict[str, float]] = {"application": {}, "proxy": {}}
    for tag, used_ns in zip(result.plan.tags, result.cpu_ns.sum(axis=0).tolist(), strict=True):
        payer = "proxy" if tag.component == "proxy" else "application"
        by_component[payer] += used_ns
        parts[payer][tag.operation] = parts[payer].get(tag.operation, 0.0) + tag.standard_error * used_ns
    rate = requests / window_s
    values = {
        "p50": _with(estimate_quantile(first, 0.5), of_time),
        "p99": _with(estimate_quantile(first, 0.99), of_time),
        # A closed loop has no sampling interval of its own; 2 % at this length, seen over seeds.
        "rate": _with(Estimate(value=rate, low=rate * 0.98, high=rate * 1.02), of_cpu),
    }
    for name, used_ns in by_component.items():
        us = used_ns / 1000 / requests
        half = 1.96 * float(np.sqrt(sum(part**2 for part in parts[name].values()))) / 1000 / requests
        values[f"cpu-{name}"] = Estimate(value=us, low=max(0.0, us - half), high=us + half)
    total = sum(by_component.values()) / 1000 / requests
    values["cpu-total"] = Estimate(value=total, low=total * max(0.0, 1 - of_cpu), high=total * (1 + of_cpu))
    memory = _memory(case, result)
    if memory is not None:
        values["memory"] = memory
    return values


def _memory(case: Case, result: RunResult) -> Estimate | None:
    """Of one proxy, with its plug-ins."""
    items = result.plan.bill.memory_by_item_mib
    names = {name for proxy in case.dataplane.proxies for name in (proxy.name, f"{proxy.name} plug-ins")}
    # One a pod in the simulation, also beside a generator that has none in the testbed: so the figure is of one proxy.
    count = sum(1 if proxy.placed == "node" else len(case.application.services) for proxy in case.dataplane.proxies)
    mib = sum(value for name, value in items.items() if name in names) / max(1, count)
    if not mib:
        return None
    half = 1.96 * result.plan.bill.memory_mib_error / count
    return Estimate(value=mib, low=max(0.0, mib - half), high=mib + half)


def _relative(value: float, high: float) -> float:
    return high / value - 1 if value else 0.0


def _with(sampling: Estimate, relative: float) -> Estimate:
    """The sampling interval widened by a relative error of the model."""
    if sampling.value is None:
        return sampling
    value = sampling.value
    low = value if sampling.low is None else sampling.low
    high = value if sampling.high is None else sampling.high
    model = value * relative
    return Estimate(
        value=value,
        low=max(0.0, value - float(np.hypot(value - low, model))),
        high=value + float(np.hypot(high - value, model)),
    )
