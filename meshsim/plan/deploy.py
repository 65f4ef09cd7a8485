"""Which pods there are once an application runs over a data plane, and on which nodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

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
    machine: Machine
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
        accounts = sum(self.instances(proxy) for proxy in self.proxies if proxy.placed == "service-account")
        return len(self.placement.node_of_pod) + daemons * self.nodes + accounts

    def instances(self, proxy: Proxy) -> int:
        """How many of this proxy run."""
        if proxy.placed in ("pod", "library"):
            return sum(self.service_pods)
        if proxy.placed == "service-account":
            return sum(len(nodes) for nodes in self.nodes_of_service())
        return self.nodes if proxy.placed == "node" else self.waypoints * self.waypoint_pods

    @cached_property
    def needs(self) -> dict[str, frozenset[str]]:
        """Each service, and those that it calls."""
        return {
            service.name: frozenset(
                {call.service for endpoint in service.endpoints for call in endpoint.calls()} | {service.name}
            )
            for service in self.application.services
        }

    def nodes_of_service(self) -> list[set[int]]:
        """The nodes on which a service has pods, for each service. A service has a service account of its own."""
        where = iter(self.placement.node_of_pod)
        return [{next(where) for _ in range(pods)} for pods in self.service_pods]


def deploy(
    application: Application,
    dataplane: DataPlane,
    machine: Machine,
    scenario: Scenario,
    at_start: Sequence[int] | None = None,
) -> Deployment:
    """Count the pods and place them. PlacementError if they do not fit.

    ``at_start``: replicas of each service at the start, where an autoscaler may ask for those of the application.

    What a proxy of a service account reserves is set aside with each pod of the service, as if no two of them shared a
    node: where pods go is not known before they are placed. The bill counts those that there really are.
    """
    proxies = [p for p in dataplane.proxies if not (p.only_for == "L7" and scenario.policy == "L4")]
    beside = [proxy for proxy in proxies if proxy.placed in ("pod", "library", "service-account")]
    groups = [
        PodRequest(
            service.name,
            service.replicas,
            (service.requests.cpu_millicores + sum(p.requests.cpu_millicores for p in beside)) / 1000,
            service.requests.memory_mib + sum(p.requests.memory_mib for p in beside),
            service.replicas - first,
        )
        for service, first in zip(
            application.services, at_start or [s.replicas for s in application.services], strict=True
        )
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
    daemons = [proxy.requests for proxy in proxies if proxy.placed == "node"]
    daemons += [agent.requests for agent in dataplane.agents if agent.per == "node"]
    agents = [agent for agent in dataplane.agents if agent.per == "cluster"]
    groups += [PodRequest(a.name, a.replicas, a.requests.cpu_millicores / 1000, a.requests.memory_mib) for a in agents]
    return Deployment(
        application,
        dataplane,
        machine,
        proxies,
        [dataplane.proxies.index(proxy) for proxy in proxies],
        [service.replicas for service in application.services],
        waypoints,
        waypoint.replicas if waypoint is not None else 0,
        sum(agent.replicas for agent in agents),
        place(groups, machine, daemons, scenario.cluster),
    )
