"""Which pods there are once an application runs over a data plane, and on which nodes."""

from __future__ import annotations

from dataclasses import dataclass

from meshsim.plan.place import Placement, PodRequest, place
from meshsim.scenario.application import Application
from meshsim.scenario.dataplane import DataPlane, Proxy
from meshsim.scenario.machine import Machine
from meshsim.scenario.scenario import Scenario


@dataclass(frozen=True)
class Deployment:
    """Pods in order: those of each service, then those of each waypoint, then cluster-wide agents."""

    application: Application
    dataplane: DataPlane
    proxies: list[Proxy]
    """Those that are deployed under the scenario's policy, with their slot number kept in ``proxy_slot``."""
    proxy_slot: list[int]
    service_pods: list[int]
    waypoints: int
    """Number of waypoint groups: one for the namespace, or one a service; 0 without waypoint."""
    waypoint_pods: int
    """Replicas of each."""
    agent_pods: int
    placement: Placement

    @property
    def nodes(self) -> int:
        """Number of nodes."""
        return self.placement.nodes

    @property
    def pods(self) -> int:
        """All pods, those of daemons (node proxies, node agents) included."""
        daemons = sum(proxy.placed == "node" for proxy in self.proxies)
        daemons += sum(agent.per == "node" for agent in self.dataplane.agents)
        return len(self.placement.node_of_pod) + daemons * self.nodes

    def instances(self, proxy: Proxy) -> int:
        """How many of this proxy run."""
        if proxy.placed == "pod":
            return sum(self.service_pods)
        return self.nodes if proxy.placed == "node" else self.waypoints * self.waypoint_pods


def deploy(application: Application, dataplane: DataPlane, machine: Machine, scenario: Scenario) -> Deployment:
    """Count the pods and place them. PlacementError if they do not fit."""
    proxies = [p for p in dataplane.proxies if not (p.only_for == "L7" and scenario.policy == "L4")]
    beside = [proxy for proxy in proxies if proxy.placed == "pod"]
    groups = [
        PodRequest(
            service.name,
            service.replicas,
            (service.requests.cpu_millicores + sum(p.requests.cpu_millicores for p in beside)) / 1000,
            service.requests.memory_mib + sum(p.requests.memory_mib for p in beside),
        )
        for service in application.services
    ]
    waypoint = next((proxy for proxy in proxies if proxy.placed == "waypoint"), None)
    waypoints = 0
    if waypoint is not None:
        waypoints = len(application.services) if waypoint.waypoint_for == "service" else 1
        groups += [
            PodRequest(
                waypoint.name,
                waypoint.replicas,
                waypoint.requests.cpu_millicores / 1000,
                waypoint.requests.memory_mib,
            )
        ] * waypoints
    agents = [agent for agent in dataplane.agents if agent.per == "cluster"]
    groups += [PodRequest(a.name, a.replicas, a.requests.cpu_millicores / 1000, a.requests.memory_mib) for a in agents]
    return Deployment(
        application,
        dataplane,
        proxies,
        [dataplane.proxies.index(proxy) for proxy in proxies],
        [service.replicas for service in application.services],
        waypoints,
        waypoint.replicas if waypoint is not None else 0,
        sum(agent.replicas for agent in agents),
        place(groups, machine, dataplane, scenario.cluster),
    )
