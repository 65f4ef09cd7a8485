"""Autoscalers as rows of integers. A scaled service is deployed with its most pods; how many of them get requests is
decided while the engine runs."""

from __future__ import annotations

import math

import numpy as np

from meshsim.plan.plan import Ints
from meshsim.scenario.application import Application
from meshsim.scenario.base import MeshsimError
from meshsim.scenario.dataplane import DataPlane
from meshsim.scenario.scenario import Scenario
from meshsim.scenario.suggest import choices

COLUMNS = (
    "service", "start", "fewest", "most", "target_ns", "interval_ns", "delay", "tolerance_ppm", "stabilization_ns",
    "start_up_ns",
)  # fmt: skip


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


def autoscaler_rows(application: Application, dataplane: DataPlane, scenario: Scenario) -> Ints:
    """(a, columns) in the order of ``COLUMNS``; ``application`` as it was before ``at_most``.

    ``target_ns``: CPU time that one pod uses in an interval when it is at its target; ``delay``: in intervals.
    """
    at_most(application, scenario)  # refuses what it cannot scale
    beside = sum(p.requests.cpu_millicores for p in dataplane.proxies if p.placed == "pod")
    rows = []
    for scaler in scenario.autoscaling:
        number = next(n for n, service in enumerate(application.services) if service.name == scaler.service)
        service = application.services[number]
        cores = (service.requests.cpu_millicores + beside) / 1000
        interval_ns = round(scaler.interval_s * 1e9)
        rows.append(
            [
                number, service.replicas, scaler.min, scaler.max,
                max(1, round(scaler.target_cpu * cores * interval_ns)),
                interval_ns,
                math.ceil(scaler.metrics_delay_s / scaler.interval_s - 1e-9),
                round(scaler.tolerance * 1e6),
                round(scaler.scale_down_stabilization_s * 1e9),
                max(1, sum(round(step.ms * 1e6) for step in scaler.start_up)),
            ]
        )  # fmt: skip
    return np.array(rows, np.int64).reshape(len(rows), len(COLUMNS))
