"""Autoscalers as rows of integers. A scaled service is deployed with its most pods; how many of them get requests is
decided while the engine runs.

The pods of the start are placed first, then those that may be asked for later, service by service: into the room that
is left, then onto new nodes (``meshsim.plan.place``). So the first pods of a service are there; the next find room and
their image, because their node runs the service already; the next find room, but their node has to pull the image; and
the last wait for a new node, which has to pull it, too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from meshsim.costs.books import Costs
from meshsim.plan.deploy import Deployment
from meshsim.plan.plan import Ints
from meshsim.plan.startup import StartStep, given_step, node_step, startup_chain
from meshsim.scenario.application import Application
from meshsim.scenario.autoscaling import Autoscaler
from meshsim.scenario.base import MeshsimError
from meshsim.scenario.dataplane import DataPlane
from meshsim.scenario.scenario import Scenario
from meshsim.scenario.suggest import choices

COLUMNS = (
    "service", "start", "fewest", "most", "target_ns", "interval_ns", "delay", "tolerance_ppm", "stabilization_ns",
    "start_up_ns", "no_image_from", "no_image_ns", "new_node_from", "new_node_ns",
)  # fmt: skip


@dataclass(frozen=True)
class ScaleUp:
    """How new pods of a service come to serve."""

    service: str
    steps: list[StartStep]
    from_chain: bool
    """Whether it is the chain of the cost books, or what the scenario says."""
    with_room: int
    """Pods that find a node and its image there, besides those of the start; then ``without_image``, then
    ``on_new_nodes``."""
    without_image: int
    on_new_nodes: int

    def ns(self, *when: str) -> int:
        """Sum of the links that are always there and of those named."""
        return max(1, sum(round(step.total_ns) for step in self.steps if step.when in ("always", *when)))


def at_most(application: Application, scenario: Scenario) -> Application:
    """The application with as many pods as its autoscalers may ask for."""
    names = [service.name for service in application.services]
    most: dict[str, int] = {}
    for scaler in scenario.autoscaling:
        if scaler.service not in names:
            raise MeshsimError(f"autoscaling: unknown service {scaler.service!r}; {choices(scaler.service, names)}")
        if scaler.service in most:
            raise MeshsimError(f"autoscaling: service {scaler.service!r} has two autoscalers; one is enough")
        replicas = application.service(scaler.service).replicas
        if not scaler.min <= replicas <= scaler.max:
            raise MeshsimError(
                f"autoscaling of {scaler.service}: it starts with {replicas} replicas; min {scaler.min} and "
                f"max {scaler.max} must enclose that"
            )
        most[scaler.service] = scaler.max
    if not most:
        return application
    services = [s.model_copy(update={"replicas": most.get(s.name, s.replicas)}) for s in application.services]
    return application.model_copy(update={"services": services})


def scale_ups(application: Application, deployment: Deployment, scenario: Scenario, costs: Costs) -> list[ScaleUp]:
    """One a scaled service; ``application`` as it was before ``at_most``. MissingCost for a link without a price."""
    found = []
    for scaler in scenario.autoscaling:
        number = _number_of(application, scaler.service)
        first = sum(deployment.service_pods[:number])
        nodes = deployment.placement.node_of_pod[first : first + deployment.service_pods[number]]
        replicas = application.services[number].replicas
        at_start, later = set(nodes[:replicas]), nodes[replicas:]
        new = sum(node >= deployment.placement.nodes_at_start for node in later)
        known = sum(node in at_start for node in later)
        found.append(
            ScaleUp(
                scaler.service, _links(scaler, deployment, costs, new), scaler.start_up is None,
                known, len(later) - new - known, new,
            )
        )  # fmt: skip
    return found


def _links(scaler: Autoscaler, deployment: Deployment, costs: Costs, new: int) -> list[StartStep]:
    """What the scenario says, else the chain of the books; in either, ``new`` pods wait for a node first."""
    if scaler.start_up is None:
        chain = startup_chain(deployment, costs)
    else:
        node = [node_step(deployment.machine, costs)] if new and scaler.new_node_s is None else []
        chain = [*node, *(given_step(step.name, step.ms * 1e6) for step in scaler.start_up)]
    if scaler.new_node_s is not None:
        node = [given_step("node", scaler.new_node_s * 1e9, "new node")]
        chain = [*node, *(step for step in chain if step.when != "new node")]
    return chain


def autoscaler_rows(application: Application, dataplane: DataPlane, scenario: Scenario, ups: Sequence[ScaleUp]) -> Ints:
    """(a, columns) in the order of ``COLUMNS``; ``application`` as it was before ``at_most``.

    ``target_ns``: CPU time that one pod uses in an interval when it is at its target; ``delay``: in intervals. A pod
    takes ``start_up_ns`` to start; from number ``no_image_from`` of its service on ``no_image_ns``, and from
    ``new_node_from`` on ``new_node_ns``.
    """
    beside = sum(p.requests.cpu_millicores for p in dataplane.proxies if p.placed == "pod")
    rows = []
    for scaler, up in zip(scenario.autoscaling, ups, strict=True):
        number = _number_of(application, scaler.service)
        service = application.services[number]
        cores = (service.requests.cpu_millicores + beside) / 1000
        interval_ns = round(scaler.interval_s * 1e9)
        no_image_from = service.replicas + up.with_room
        rows.append(
            [
                number, service.replicas, scaler.min, scaler.max,
                max(1, round(scaler.target_cpu * cores * interval_ns)),
                interval_ns,
                math.ceil(scaler.metrics_delay_s / scaler.interval_s - 1e-9),
                round(scaler.tolerance * 1e6),
                round(scaler.scale_down_stabilization_s * 1e9),
                up.ns(), no_image_from, up.ns("no image"),
                no_image_from + up.without_image, up.ns("no image", "new node"),
            ]
        )  # fmt: skip
    return np.array(rows, np.int64).reshape(len(rows), len(COLUMNS))


def _number_of(application: Application, service: str) -> int:
    return next(n for n, each in enumerate(application.services) if each.name == service)
