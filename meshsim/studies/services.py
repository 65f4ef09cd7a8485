"""Each service of an application over a data plane: who calls it how often, its CPU, its workers, its part of the way.

CPU and utilisation come from the analytic engine. The part of the way is that of one request that is alone (``lone``):
the time from the call of a service to its answer, without the calls that it makes itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from meshsim.engines.analytic import AnalyticResult, solve
from meshsim.plan.plan import CPU_SLOT, Plan
from meshsim.scenario.scale import visits
from meshsim.studies.lone import entries, lone_request
from meshsim.studies.setup import Prepared

MOST_ENTRIES = 6
"""Of the entries of an application the most used are followed."""


@dataclass(frozen=True)
class ServiceFacts:
    """One service at one rate."""

    name: str
    rps: float
    """Requests that come to it, a second."""
    cores: float
    """Kept busy by its pods: the application, the proxies on its side of each call, and the kernel for them."""
    share: float
    """Of the time of a lone request, averaged over the entries: the way to it and back, and its own work."""
    utilisation: float
    """Of the busiest of its workers; above 1 its line only grows."""
    busiest: str
    """Which that is: 'threads of cart-1', 'sidecar of cart-1'. Empty for a service without limits."""
    node_utilisation: float
    """Of the CPU of the busiest of its nodes."""
    pods: int


@dataclass(frozen=True)
class Services:
    """All services of an application at one rate."""

    facts: Mapping[str, ServiceFacts]
    calls: Mapping[tuple[str, str], float]
    """Calls a second by (caller, called service); entries are not in it."""
    rps: float
    followed: int
    """Entries that the part of the way is an average of."""
    entries: int


def service_facts(prepared: Prepared, rps: float) -> Services:
    """Every service at ``rps`` requests a second from outside.

    Raises MeshsimError where the data plane cannot be lowered, or ``rps`` is not above 0.
    """
    plan = prepared.plan
    found = solve(plan, rps)
    seen = visits(prepared.application)
    shares, followed = shares_of_the_way(prepared)
    facts, calls = {}, dict[tuple[str, str], float]()
    for number, service in enumerate(prepared.application.services):
        for endpoint in service.endpoints:
            for call in endpoint.calls():
                made = seen[service.name, endpoint.name] * call.times * call.probability * rps
                calls[service.name, call.service] = calls.get((service.name, call.service), 0.0) + made
        busiest, utilisation, node = _workers(plan, found, number)
        facts[service.name] = ServiceFacts(
            service.name,
            rps * sum(seen[service.name, endpoint.name] for endpoint in service.endpoints),
            float(found.cores_by_service[number]),
            shares.get(service.name, 0.0),
            utilisation,
            busiest,
            node,
            int(plan.service_pods[number]),
        )
    return Services(facts, calls, rps, followed, plan.entry_calls)


def shares_of_the_way(prepared: Prepared) -> tuple[dict[str, float], int]:
    """By service: share of the time of a request that is alone, and over how many entries that is averaged."""
    plan = prepared.plan
    weights = np.diff(np.concatenate([[0], plan.entry_threshold])).astype(float)
    most = np.argsort(-weights, kind="stable")[:MOST_ENTRIES]
    names = entries(plan)
    shares: dict[str, float] = {}
    for number in most:
        lone = lone_request(prepared, names[number])
        part = weights[number] / weights[most].sum() / lone.latency_ns
        for step in lone.steps:
            callee = lone.hops[step.hop].callee
            shares[callee] = shares.get(callee, 0.0) + float(step.ns * part)
    return shares, len(most)


def _workers(plan: Plan, found: AnalyticResult, service: int) -> tuple[str, float, float]:
    """Name and utilisation of the busiest pool that its pods use, and the utilisation of the busiest of its nodes."""
    first = int(plan.service_first_pod[service])
    stations = plan.pod_station[first : first + int(plan.service_pods[service])]
    node = float(found.utilisation[stations[:, CPU_SLOT]].max())
    pools = stations[:, CPU_SLOT + 1 :]
    pools = pools[pools >= 0]
    if not len(pools):
        return "", 0.0, node
    busiest = int(pools[np.argmax(found.utilisation[pools])])
    return plan.station_names[busiest], float(found.utilisation[busiest]), node
