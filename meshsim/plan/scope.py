"""What a proxy knows: the services it keeps configuration for, by its configuration scope."""

from __future__ import annotations

from dataclasses import dataclass

from meshsim.plan.deploy import Deployment
from meshsim.scenario.dataplane import Proxy


@dataclass(frozen=True)
class Knowledge:
    """So many instances that know the same services."""

    services: frozenset[str]
    instances: int


def known_by(proxy: Proxy, deployment: Deployment) -> list[Knowledge]:
    """The instances of a proxy, grouped by what they know."""
    application = deployment.application
    every = frozenset(service.name for service in application.services)
    if proxy.config_scope in ("mesh", "namespace"):  # one namespace is modelled: the application's own
        return [Knowledge(every, deployment.instances(proxy))]
    needs = deployment.needs
    if proxy.placed in ("pod", "library"):
        return [Knowledge(needs[s.name], s.replicas) for s in application.services]
    if proxy.placed == "service-account":
        on = deployment.nodes_of_service()
        return [Knowledge(needs[s.name], len(nodes)) for s, nodes in zip(application.services, on, strict=True)]
    if proxy.placed == "node":
        on_node: dict[int, frozenset[str]] = {}
        where = iter(deployment.placement.node_of_pod)
        for service in application.services:
            for _ in range(service.replicas):
                node = next(where)
                on_node[node] = on_node.get(node, frozenset()) | needs[service.name]
        return [Knowledge(names, 1) for names in on_node.values()]
    if proxy.waypoint_for == "service":
        return [Knowledge(frozenset({s.name}), proxy.replicas) for s in application.services]
    return [Knowledge(every, proxy.replicas)]
