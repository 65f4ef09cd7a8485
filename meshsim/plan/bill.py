"""The static bill: what a data plane needs before the first request comes. Memory, pods, nodes, reservations."""

from __future__ import annotations

import math

from meshsim.costs.books import Costs
from meshsim.plan.deploy import Deployment, deploy
from meshsim.plan.plan import StaticBill
from meshsim.scenario.application import Application
from meshsim.scenario.dataplane import DataPlane, Proxy
from meshsim.scenario.machine import Machine
from meshsim.scenario.scenario import Scenario

MIB = 1024 * 1024


def static_bill(
    application: Application, dataplane: DataPlane, machine: Machine, scenario: Scenario, costs: Costs
) -> StaticBill:
    """Deploy without simulating. Fast enough to be called at every size when looking for a crossover."""
    return bill_of(deploy(application, dataplane, machine, scenario), costs)


def bill_of(deployment: Deployment, costs: Costs) -> StaticBill:
    """Add up what a deployment needs.

    Memory of a proxy or agent = base + services known x memory of a cluster + pods known x memory of an endpoint
    (``memory.<software>.*`` in the cost book). What it knows follows from its configuration scope: with scope
    ``mesh`` a fleet of sidecars grows with pods x services.
    """
    application, dataplane = deployment.application, deployment.dataplane
    services = len(application.services)
    app_pods = sum(deployment.service_pods)
    items = {"application": sum(s.memory_mib * s.replicas for s in application.services)}
    error_by_operation: dict[str, float] = {}
    idle: dict[str, float] = {}

    def add(software: str, name: str, instances: int, clusters: float, endpoints: float) -> None:
        """``clusters`` and ``endpoints`` known, summed over the instances."""
        total = 0.0
        for part, units in (("base", float(instances)), ("cluster", clusters), ("endpoint", endpoints)):
            cost = costs[f"memory.{software}.{part}"]
            mib = cost.bytes * units / MIB
            total += mib
            # One cost is wrong by the same factor wherever it is used: its errors add up before they are squared.
            error_by_operation[cost.operation] = error_by_operation.get(cost.operation, 0.0) + mib * cost.standard_error
        items[name] = items.get(name, 0.0) + total
        idle[name] = idle.get(name, 0.0) + costs[f"idle.{software}"].cores * instances

    for proxy in deployment.proxies:
        clusters, endpoints = _known(proxy, deployment)
        add(proxy.software, proxy.name, deployment.instances(proxy), clusters, endpoints)
    for agent in dataplane.agents:
        count = deployment.nodes if agent.per == "node" else agent.replicas
        add(agent.software, agent.name, count, float(count * services), float(count * app_pods))

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
    )


def _known(proxy: Proxy, deployment: Deployment) -> tuple[float, float]:
    """Services and pods that the instances of a proxy keep configuration for, summed over the instances."""
    application = deployment.application
    replicas = {service.name: service.replicas for service in application.services}
    if proxy.config_scope in ("mesh", "namespace"):  # one namespace is modelled: the application's own
        count = deployment.instances(proxy)
        return float(count * len(replicas)), float(count * sum(replicas.values()))
    needs = {
        service.name: {call.service for endpoint in service.endpoints for call in endpoint.calls()} | {service.name}
        for service in application.services
    }
    if proxy.placed == "pod":
        known = [(needs[s.name], s.replicas) for s in application.services]
    elif proxy.placed == "node":
        on_node: dict[int, set[str]] = {}
        nodes = iter(deployment.placement.node_of_pod)
        for service in application.services:
            for _ in range(service.replicas):
                on_node.setdefault(next(nodes), set()).update(needs[service.name])
        known = [(names, 1) for names in on_node.values()]
    else:
        per_waypoint = [{s.name} for s in application.services] if proxy.waypoint_for == "service" else [set(replicas)]
        known = [(names, proxy.replicas) for names in per_waypoint]
    clusters = sum(len(names) * count for names, count in known)
    endpoints = sum(sum(replicas[name] for name in names) * count for names, count in known)
    return float(clusters), float(endpoints)
