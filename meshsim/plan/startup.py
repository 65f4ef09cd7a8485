"""How a new pod comes to serve: the chain from "one more, please" to the first request, each link with its price."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from meshsim.costs.books import Costs
from meshsim.plan.deploy import Deployment
from meshsim.plan.scope import known_by
from meshsim.scenario.dataplane import Proxy
from meshsim.scenario.extensions import Extension
from meshsim.scenario.machine import Machine

MIB, KIB = 1024 * 1024, 1024


@dataclass(frozen=True)
class StartStep:
    """One link of the chain. Links follow one another; ``when`` says whether this one is always there."""

    name: str
    when: str
    """``always``, ``new node`` (the pod needs one that is not there yet), ``no image`` (its node has not pulled it)."""
    wait_ns: float
    cpu_ns: float
    standard_error_ns: float
    """One sigma of wait and CPU together."""
    operations: tuple[str, ...]
    sources: tuple[str, ...]
    """measured, published, derived or assumed, for each operation; or given by scenario or machine."""

    @property
    def total_ns(self) -> float:
        """How much later the pod serves because of this link."""
        return self.wait_ns + self.cpu_ns


def startup_chain(deployment: Deployment, costs: Costs) -> list[StartStep]:
    """The links for a pod of the application, in order. MissingCost for a link without a price.

    A proxy in the pod starts before the application (a native sidecar), and is ready when it has its configuration:
    ``startup.<software>.base`` and ``.cluster`` for each service that it knows (on average over its instances). A Wasm
    plug-in is compiled once and instantiated for each of its virtual machines.
    """
    link = _Links(costs)
    runtime, chain = deployment.dataplane.runtime, []
    chain.append(node_step(deployment.machine, costs))
    chain.append(link.of("scheduling", [("startup.schedule", 1.0, 0.0)]))
    chain.append(link.of("image", [("startup.image", 1.0, runtime.image_mib * MIB)], when="no image"))
    chain.append(link.of("network", [("startup.network", 1.0, 0.0)]))
    for proxy in deployment.proxies:
        if proxy.placed in ("pod", "service-account"):
            chain.append(link.of(f"{proxy.name} starts", [(f"startup.{proxy.software}.base", 1.0, 0.0)]))
            for extension in proxy.extensions:
                if extension.kind == "wasm":
                    chain.append(link.of(f"plug-in {extension.name}", _plug_in(proxy, extension)))
        if proxy.placed in ("pod", "library", "service-account"):
            groups = known_by(proxy, deployment)
            known = sum(len(g.services) * g.instances for g in groups) / max(1, sum(g.instances for g in groups))
            what = f"configuration of {proxy.name}"
            chain.append(link.of(what, [(f"startup.{proxy.software}.cluster", known, 0.0)]))
    container = (f"startup.container.{runtime.oci}", 1.0, 0.0)
    if runtime.kind == "container":
        chain.append(link.of("container", [container]))
        chain.append(link.of("application", [(f"startup.process.{runtime.process}", 1.0, 0.0)]))
    else:
        if runtime.host == "per-pod":
            chain.append(link.of("container", [container]))
            chain.append(link.of("Wasm host", [("startup.process.wasm-host", 1.0, 0.0)]))
        if runtime.compile == "at-start":
            size = runtime.module_kib * KIB
            chain.append(link.of("compile the module", [(f"startup.wasm.{runtime.wasm}.compile", 1.0, size)]))
        instances = float(runtime.instances)
        chain.append(link.of("instantiate", [(f"startup.wasm.{runtime.wasm}.instantiate", instances, 0.0)]))
    chain.append(link.of("endpoint known to callers", [("startup.endpoint", 1.0, 0.0)]))
    return chain


def node_step(machine: Machine, costs: Costs) -> StartStep:
    """A node that is not there yet: the time that the machine file gives, else ``startup.node``."""
    if machine.start_s is not None:
        step = given_step("node", machine.start_s * 1e9, "new node")
        return replace(step, operations=(f"start_s of {machine.name}",))
    return _Links(costs).of("node", [("startup.node", 1.0, 0.0)], when="new node")


def given_step(name: str, ns: float, when: str = "always") -> StartStep:
    """A link that no cost book prices: a scenario or a machine file says how long it takes."""
    return StartStep(name, when, ns, 0.0, 0.0, ("start_up of the scenario",), ("given",))


def _plug_in(proxy: Proxy, extension: Extension) -> list[tuple[str, float, float]]:
    base = f"startup.wasm.{extension.runtime}"
    machines = float(extension.virtual_machines(proxy.workers))
    return [
        (f"{base}.compile", float(extension.copies), extension.module_kib * KIB),
        (f"{base}.instantiate", machines, 0.0),
    ]


class _Links:
    def __init__(self, costs: Costs) -> None:
        self.costs = costs

    def of(self, name: str, parts: Iterable[tuple[str, float, float]], when: str = "always") -> StartStep:
        """``parts``: (operation, units, bytes)."""
        wait = cpu = variance = 0.0
        used = []
        for operation, units, size in parts:
            cost = self.costs[operation]
            waits = (cost.wait_ns + cost.wait_ns_per_byte * size) * units
            works = (cost.cpu_ns + cost.cpu_ns_per_byte * size) * units
            wait, cpu = wait + waits, cpu + works
            variance += ((waits + works) * cost.standard_error) ** 2
            used.append(cost)
        return StartStep(
            name, when, wait, cpu, math.sqrt(variance),
            tuple(cost.operation for cost in used), tuple(cost.source for cost in used),
        )  # fmt: skip
