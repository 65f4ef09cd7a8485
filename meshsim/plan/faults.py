"""Faults as rows of integers: what they hit, from when to when."""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from meshsim.plan.deploy import Deployment
from meshsim.plan.plan import FIRST_PROXY_SLOT, THREADS_SLOT, Ints
from meshsim.scenario.base import MeshsimError
from meshsim.scenario.faults import Fault
from meshsim.scenario.scenario import Scenario
from meshsim.scenario.suggest import choices


class FaultKind(IntEnum):
    """What a fault does."""

    CRASH = 0
    """Of station ``where`` and the ``value`` - 1 behind it: see ``meshsim.engines.faults``."""
    SLOW = 1
    """Work at pod ``where`` takes ``value`` / 1024 times as long."""
    ERRORS = 2
    """Pod ``where`` answers ``value`` / 2**32 of its requests with an error."""


def fault_rows(
    scenario: Scenario,
    deployment: Deployment,
    first_pod: Ints,
    first_waypoint: Ints,
    pod_station: Ints,
    slot_workers: Ints,
) -> Ints:
    """(f, 5) start ns, end ns, kind, where, value; MeshsimError for a victim that is not there."""
    rows = [
        [
            round(f.at_s * 1e9),
            round((f.at_s + f.for_s) * 1e9),
            *_hit(f, deployment, first_pod, first_waypoint, pod_station, slot_workers),
        ]
        for f in scenario.faults
    ]
    return np.array(sorted(rows), np.int64).reshape(len(rows), 5)


def _hit(
    fault: Fault,
    deployment: Deployment,
    first_pod: Ints,
    first_waypoint: Ints,
    pod_station: Ints,
    slot_workers: Ints,
) -> list[int]:
    pod = -1
    waypoint = fault.kind == "proxy-crash" and any(
        proxy.name == fault.proxy and proxy.placed == "waypoint" for proxy in deployment.dataplane.proxies
    )
    if fault.service is not None:
        names = [service.name for service in deployment.application.services]
        if fault.service not in names:
            raise MeshsimError(f"faults: unknown service {fault.service!r}; {choices(fault.service, names)}")
        number = names.index(fault.service)
        replicas = deployment.waypoint_pods if waypoint else deployment.service_pods[number]
        if fault.replica > replicas:
            whose = f"{fault.proxy} of {fault.service}" if waypoint else fault.service
            raise MeshsimError(f"faults: replica {fault.replica} of {whose} received; it has {replicas}")
        pod = int((first_waypoint if waypoint else first_pod)[number]) + fault.replica - 1
    if fault.kind == "slow-pod":
        return [FaultKind.SLOW, pod, round(fault.factor * 1024)]
    if fault.kind == "errors":
        return [FaultKind.ERRORS, pod, round(fault.share * (1 << 32))]
    if fault.kind == "pod-crash":
        return [FaultKind.CRASH, int(pod_station[pod, THREADS_SLOT]), 1]
    proxies = dict(zip((p.name for p in deployment.proxies), deployment.proxy_slot, strict=True))
    if fault.proxy not in proxies:
        said = choices(str(fault.proxy), list(proxies)) if proxies else f"{deployment.dataplane.name} has none"
        raise MeshsimError(f"faults: unknown proxy {fault.proxy!r}; {said}")
    slot = FIRST_PROXY_SLOT + proxies[fault.proxy]
    placed = deployment.dataplane.proxies[proxies[fault.proxy]].placed
    if placed == "library":
        raise MeshsimError(f"faults: {fault.proxy} is a part of the application: a pod-crash takes both")
    if (placed == "node") != (fault.node is not None):
        where = {"node": "serves a node: name the `node`", "waypoint": "serves a service: name the `service`"}
        raise MeshsimError(f"faults: {fault.proxy} {where.get(placed, 'stands in a pod: name the `service`')}")
    if fault.node is not None:
        if fault.node > deployment.nodes:
            raise MeshsimError(f"faults: node {fault.node} received; there are {deployment.nodes}")
        on = [
            p for p, node in enumerate(deployment.placement.node_of_pod[: len(pod_station)]) if node == fault.node - 1
        ]
        pod = on[0] if on else -1
        if pod < 0:
            raise MeshsimError(f"faults: no pod runs on node {fault.node}; a fault there would hit nothing")
    return [FaultKind.CRASH, int(pod_station[pod, slot]), int(slot_workers[slot])]
