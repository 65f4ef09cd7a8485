"""Bytes that leave their zone: what a provider charges for by the byte.

Payload only, of each message once: headers, encryption, retries and health checks come on top. The client outside is in
every zone. Pods are drawn at random, or by locality where the scenario says so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from meshsim.plan.deploy import Deployment
from meshsim.plan.expect import CallLike, call_rates
from meshsim.plan.hops import HopKind
from meshsim.plan.network import is_wire
from meshsim.plan.plan import Op, Place, When
from meshsim.plan.program import Program
from meshsim.plan.routes import first_that_fits
from meshsim.scenario.scenario import Scenario


def cross_zone_bytes(
    calls: Sequence[CallLike],
    hops: Mapping[HopKind, Program],
    deployment: Deployment,
    pod_zone: Sequence[int],
    scenario: Scenario,
) -> float:
    """Expected bytes between zones, an end-to-end request. 0 with one zone."""
    if scenario.cluster.zones == 1:
        return 0.0
    rates, _ = call_rates(calls)
    where = iter(pod_zone)
    services = [Counter(next(where) for _ in range(pods)) for pods in deployment.service_pods]
    waypoints = [Counter(next(where) for _ in range(deployment.waypoint_pods)) for _ in range(deployment.waypoints)]
    names = [service.name for service in deployment.application.services]
    total = 0.0
    for call, rate in zip(calls, rates, strict=True):
        if call.caller < 0:
            continue
        zones = {Place.SOURCE: services[call.caller], Place.DESTINATION: services[call.callee]}
        if waypoints:
            zones[Place.VIA] = waypoints[call.callee if len(waypoints) > 1 else 0]
        rule = first_that_fits(scenario.balancing, names[call.caller], names[call.callee])
        near = rule is not None and rule.policy == "locality"
        size = call.kind.request_bytes
        for i in hops[call.kind]:
            if i.op == Op.BODY:
                size = call.kind.response_bytes
            elif is_wire(i) and i.when == When.OTHER_ZONE and i.law[0] != "once-in":  # a handshake carries no payload
                total += rate * size * _apart(zones[i.at], zones[i.other], near)
    return total


def _apart(one: Counter[int], other: Counter[int], near: bool) -> float:
    """Chance that two pods are in different zones; ``near``: the second is chosen from the first's zone if it can."""
    if near:
        return sum(count for zone, count in one.items() if not other[zone]) / one.total()
    return 1.0 - sum(count * other[zone] for zone, count in one.items()) / (one.total() * other.total())
