"""The static bill: what a data plane needs before the first request comes. Memory, pods, nodes, reservations."""

from __future__ import annotations

import math

from meshsim.costs.books import Costs
from meshsim.costs.what_if import what_if
from meshsim.plan.control_plane import control_plane_bill
from meshsim.plan.deploy import Deployment, deploy
from meshsim.plan.plan import StaticBill
from meshsim.plan.requirements import as_installed
from meshsim.plan.scope import known_by
from meshsim.scenario.application import Application
from meshsim.scenario.dataplane import DataPlane, Proxy
from meshsim.scenario.machine import Machine
from meshsim.scenario.scenario import Scenario

MIB = 1024 * 1024


def static_bill(
    application: Application, dataplane: DataPlane, machine: Machine, scenario: Scenario, costs: Costs
) -> StaticBill:
    """Deploy without simulating. Fast enough to be called at every size when looking for a crossover."""
    costs = what_if(costs, scenario.what_if)
    application, dataplane = as_installed(application, dataplane, scenario, costs)
    return bill_of(deploy(application, dataplane, machine, scenario), costs, scenario.cluster.churn_per_minute)


def bill_of(deployment: Deployment, costs: Costs, churn_per_minute: float = 0.0) -> StaticBill:
    """Add up what a deployment needs.

    Memory of a proxy or agent = base + services known x memory of a cluster + pods known x memory of an endpoint
    (``memory.<software>.*`` in the cost book). What it knows follows from its configuration scope: with scope
    ``mesh`` a fleet of sidecars grows with pods x services. Plug-ins come on top: a Wasm engine in each proxy and a
    virtual machine for each filter and worker, a Lua state for each script and worker.
    """
    application, dataplane = deployment.application, deployment.dataplane
    pods = {service.name: service.replicas for service in application.services}
    items = {"application": sum(s.memory_mib * s.replicas for s in application.services)}
    error_by_operation: dict[str, float] = {}
    idle: dict[str, float] = {}
    counted: dict[str, float] = {}

    def remember(name: str, operation: str, units: float) -> None:
        cost = costs[operation]
        mib = cost.bytes * units / MIB
        items[name] = items.get(name, 0.0) + mib
        counted[operation] = counted.get(operation, 0.0) + units
        # One cost is wrong by the same factor wherever it is used: its errors add up before they are squared.
        error_by_operation[operation] = error_by_operation.get(operation, 0.0) + mib * cost.standard_error

    def add(software: str, name: str, instances: int, clusters: int, endpoints: int) -> None:
        """``clusters`` and ``endpoints`` known, summed over the instances."""
        for part, units in (("base", instances), ("cluster", clusters), ("endpoint", endpoints)):
            remember(name, f"memory.{software}.{part}", float(units))
        idle[name] = idle.get(name, 0.0) + costs[f"idle.{software}"].cores * instances
        counted[f"idle.{software}"] = counted.get(f"idle.{software}", 0.0) + instances

    for proxy in deployment.proxies:
        count = deployment.instances(proxy)
        groups = known_by(proxy, deployment)
        clusters = sum(len(group.services) * group.instances for group in groups)
        endpoints = sum(sum(pods[name] for name in group.services) * group.instances for group in groups)
        add(proxy.software, proxy.name, count, clusters, endpoints)
        if proxy.agent is not None:
            add(proxy.agent, proxy.agent, count, clusters, endpoints)
        for operation, units in plug_in_memory(proxy).items():
            remember(f"{proxy.name} plug-ins", operation, units * count)
    for agent in dataplane.agents:
        count = deployment.nodes if agent.per == "node" else agent.replicas
        add(agent.software, agent.name, count, count * len(pods), count * sum(pods.values()))
    if dataplane.runtime.kind == "wasm" and dataplane.runtime.host == "shared":
        remember("Wasm hosts", "memory.runtime.wasm-host", float(deployment.nodes))

    pushed = control_plane_bill(deployment, costs, churn_per_minute)
    if pushed is not None and churn_per_minute > 0:
        idle["configuration push"] = pushed.control_plane_cores + pushed.proxy_cores
    reserved = [(s.requests, s.replicas) for s in application.services]
    reserved += [(proxy.requests, deployment.instances(proxy)) for proxy in deployment.proxies]
    reserved += [(a.requests, deployment.nodes if a.per == "node" else a.replicas) for a in dataplane.agents]
    return StaticBill(
        memory_mib=sum(items.values()),
        memory_mib_error=math.sqrt(sum(error**2 for error in error_by_operation.values())),
        memory_by_item_mib=items,
        pods=deployment.pods,
        nodes=deployment.nodes,
        idle_cores=idle,
        reserved_cores=sum(r.cpu_millicores * count for r, count in reserved) / 1000,
        reserved_memory_mib=sum(r.memory_mib * count for r, count in reserved),
        control_plane=pushed,
        units={operation: units for operation, units in counted.items() if units},
    )


def plug_in_memory(proxy: Proxy) -> dict[str, float]:
    """Units of each ``memory.*`` operation that the extensions of one proxy need."""
    units: dict[str, float] = {}
    for extension in proxy.extensions:
        book = f"memory.{proxy.software}"
        if extension.kind == "wasm":
            units[f"{book}.wasm.{extension.runtime}.engine"] = 1.0
            machine = f"{book}.wasm.{extension.runtime}.vm"
            units[machine] = units.get(machine, 0.0) + extension.virtual_machines(proxy.workers)
        elif extension.kind == "lua":
            units[f"{book}.lua.worker"] = units.get(f"{book}.lua.worker", 0.0) + extension.copies * proxy.workers
    return units
