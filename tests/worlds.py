"""Small worlds for tests: applications, machines and cost books in which the right answer is known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from both_engines import run_on_both

from meshsim.costs.book import Cost, CostBook
from meshsim.costs.books import Costs
from meshsim.plan.lower import lower
from meshsim.plan.plan import Plan
from meshsim.results.run import RunResult
from meshsim.scenario.application import Application
from meshsim.scenario.dataplane import DataPlane
from meshsim.scenario.machine import Machine
from meshsim.scenario.scenario import Run, Scenario

NO_MESH = DataPlane.model_validate(
    {
        "schema": "meshsim/dataplane/1",
        "name": "bare",
        "title": "Bare",
        "summary": "Nothing between the services.",
    }
)

KERNEL = (
    "tcp.send", "tcp.receive", "conntrack.message", "ebpf.service.message", "ebpf.policy.message",
    "redirect.iptables-redirect.message", "redirect.tproxy.message", "redirect.ebpf-connect.message",
    "sockmap.message", "wireguard.message", "wire.same-node", "wire.cross-node",
    "wire.cross-zone",
    "tcp.connection", "service.iptables.connection", "service.iptables.rule", "service.ebpf.connection",
    "redirect.iptables-redirect.connection", "redirect.tproxy.connection", "redirect.ebpf-connect.connection",
)  # fmt: skip
PROXY = (
    "wakeup", "tcp.message", "tls.message", "telemetry", "connection", "tls.handshake",
    *(f"{protocol}.{direction}" for protocol in ("http1", "http2", "grpc") for direction in ("request", "response")),
)  # fmt: skip


MAY_BE_LEFT_OUT = ("kernel.wakeup", "kernel.cold", "proxy.box.turn", "proxy.box.tcp.turn", "proxy.box.cold")
"""Operations that a book may have in others: they are there only where they are given."""


def cost(operation: str, **fields: Any) -> Cost:
    """A cost made up for a test."""
    return Cost(
        operation=operation,
        unit="test",
        standard_error=0.3,
        source="assumed",
        reference="made up for a test",
        **fields,
    )


def costs(**known: dict[str, Any]) -> Costs:
    """Every operation that a book must price for free, but for those given: ``kernel__tcp__send={"cpu_ns": 5}``."""
    given = {name.replace("__", ".").replace("_", "-"): fields for name, fields in known.items()}
    names = [f"kernel.{name}" for name in KERNEL] + [f"proxy.box.{name}" for name in PROXY]
    names += ["memory.box.base", "memory.box.cluster", "memory.box.endpoint", "idle.box"]
    names += [name for name in MAY_BE_LEFT_OUT if name in given]
    assert set(given) <= set(names), set(given) - set(names)
    entries = [cost(name, **given.get(name, {})) for name in names]
    return Costs([CostBook(schema="meshsim/costs/1", name="test", entries=entries)])


def machine(cores: int = 1, **fields: Any) -> Machine:
    """A node whose whole capacity is for pods."""
    return Machine.model_validate(
        {
            "schema": "meshsim/machine/1", "name": "box", "cores": cores, "memory_mib": 1 << 20,
            "allocatable_cores": cores, "allocatable_memory_mib": 1 << 20, "max_pods": 100_000,
            "usd_hour": 1.0, "price_date": "2026-01", "sources": [{"ref": "made up for a test"}], **fields,
        }
    )  # fmt: skip


def service(name: str, steps: Sequence[dict[str, Any]], **fields: Any) -> dict[str, Any]:
    """A service with one endpoint, one replica, and more threads than it will need."""
    return {
        "name": name, "endpoints": [{"name": "serve", "steps": list(steps)}],
        "concurrency": {"model": "async", "threads": 10_000}, "requests": {"cpu_millicores": 1, "memory_mib": 1},
        **fields,
    }  # fmt: skip


def application(*services: dict[str, Any], entries: Sequence[dict[str, Any]] | None = None) -> Application:
    """An application; traffic enters at the first service unless ``entries`` says otherwise."""
    return Application.model_validate(
        {
            "schema": "meshsim/application/1", "name": "world", "services": list(services),
            "entries": list(entries or [{"service": services[0]["name"]}]),
        }
    )  # fmt: skip


def compute(mean_us: float, law: str = "exponential", cv: float = 1.0) -> dict[str, Any]:
    """A compute step."""
    return {"compute": {"mean_us": mean_us, "law": law, "cv": cv}}


def call(name: str, **fields: Any) -> dict[str, Any]:
    """A call step."""
    return {"call": {"service": name, **fields}}


def plan(
    app: Application,
    rps: float,
    *,
    cores: int = 1,
    nodes: int = 1,
    dataplane: DataPlane = NO_MESH,
    book: Costs | None = None,
    slice_us: float = 0.0,
    policy: str = "L7",
    arrivals: str = "poisson",
    load: dict[str, Any] | None = None,
    **more: Any,
) -> Plan:
    """Lower a world; ``load`` and ``more`` are further fields of the load and of the scenario."""
    scenario = Scenario.model_validate(
        {
            "application": "world", "policy": policy, "load": {"rps": rps, "arrivals": arrivals, **(load or {})},
            "cluster": {"machine": "box", "nodes": nodes, "cpu_slice_us": slice_us}, **more,
        }
    )  # fmt: skip
    return lower(app, dataplane, machine(cores), scenario, book or costs())


def simulate(plan_: Plan, requests: int = 2000, *, seed: int = 1, warmup: float = 0.1, sample: int = 200) -> RunResult:
    """Run a plan on the reference engine, and see that the compiled one gives the same."""
    return run_on_both(plan_, Run(requests=requests, seed=seed, warmup=warmup, sample=sample))
