"""The control plane as a cost: how much configuration the proxies hold, and what sending changes to them takes.

When a pod starts or stops, every proxy that knows its service gets a message. Its size is up to the control plane
(``push``): all that the proxy knows, the whole endpoint list of the service, or the one endpoint. So at a given churn
a mesh-wide scope makes the work grow with proxies x changes, and with ``cluster`` with the size of the services too.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from meshsim.costs.books import Costs
from meshsim.plan.deploy import Deployment
from meshsim.plan.scope import Knowledge, known_by


@dataclass(frozen=True)
class ControlPlaneBill:
    """Configuration and its distribution."""

    config_bytes: float
    """Sent when everything connects, summed over the receivers."""
    largest_config_bytes: float
    """Of the receiver that knows most."""
    receivers: int
    churn_per_minute: float
    push_bytes_s: float
    """On average, at that churn."""
    control_plane_cores: float
    """To compute what is sent."""
    proxy_cores: float
    """To take it in, over all receivers."""


def control_plane_bill(deployment: Deployment, costs: Costs, churn_per_minute: float) -> ControlPlaneBill | None:
    """None for a data plane that pushes nothing. MissingCost without ``config.<software>.*``.

    ``config.<control plane>.cluster`` and ``.endpoint``: bytes sent, and CPU of the control plane, for one service and
    one pod known to one receiver; ``config.<receiver>.apply``: CPU of the receiver, a byte. A change hits each pod of
    the application alike.
    """
    plane = deployment.dataplane.control_plane
    if plane is None:
        return None
    pods = {service.name: service.replicas for service in deployment.application.services}
    everything = sum(pods.values())
    cluster, endpoint = costs[f"config.{plane.software}.cluster"], costs[f"config.{plane.software}.endpoint"]
    total = largest = pushed = computing = applying = 0.0
    count = 0
    for software, groups in _receivers(deployment):
        apply_ns = costs[f"config.{software}.apply"].cpu_ns_per_byte
        for group in groups:
            known = sum(pods[name] for name in group.services)
            config = len(group.services) * cluster.bytes + known * endpoint.bytes
            total += config * group.instances
            largest = max(largest, config)
            count += group.instances
            # A change of one pod: expected messages and what is in them, for one receiver of the group.
            if plane.push == "everything":
                share = known / everything
                sent = share * config
                work = share * (len(group.services) * cluster.cpu_ns + known * endpoint.cpu_ns)
            else:
                listed = sum(pods[n] * (pods[n] if plane.push == "cluster" else 1) for n in group.services) / everything
                sent, work = listed * endpoint.bytes, listed * endpoint.cpu_ns
            pushed += sent * group.instances
            computing += work * group.instances
            applying += sent * apply_ns * group.instances
    rate = churn_per_minute / 60
    return ControlPlaneBill(
        config_bytes=total,
        largest_config_bytes=largest,
        receivers=count,
        churn_per_minute=churn_per_minute,
        push_bytes_s=pushed * rate,
        control_plane_cores=computing * rate / 1e9,
        proxy_cores=applying * rate / 1e9,
    )


def _receivers(deployment: Deployment) -> Iterable[tuple[str, list[Knowledge]]]:
    """(software, groups of equal receivers): the proxies, or those that the file names."""
    plane = deployment.dataplane.control_plane
    named = plane.to if plane is not None else []
    for proxy in deployment.proxies:
        if proxy.name in named or (not named and (proxy.ends or proxy.placed == "waypoint")):
            yield proxy.software, known_by(proxy, deployment)
    every = frozenset(service.name for service in deployment.application.services)
    for agent in deployment.dataplane.agents:
        if agent.name in named:
            yield agent.software, [Knowledge(every, deployment.nodes if agent.per == "node" else agent.replicas)]
