"""Proxies that several pods share: a noisy neighbour, and how many replicas a waypoint needs."""

from __future__ import annotations

import pytest
from test_exact import constant, sidecar
from worlds import application, call, costs, plan, service, simulate

from meshsim.plan.lower import OverloadedError
from meshsim.scenario.dataplane import DataPlane

BOOK = costs(proxy__box__http1__request={"cpu_ns": 150_000}, proxy__box__http1__response={"cpu_ns": 100_000})


def quiet_us(plane: DataPlane, noise: float) -> float:
    """Mean latency of a service that gets 100 requests a second, beside one that gets ``noise`` times as many."""
    app = application(
        service("quiet", [constant(50)]),
        service("noisy", [constant(50)]),
        entries=[{"service": "quiet", "weight": 1}, {"service": "noisy", "weight": noise}],
    )
    result = simulate(plan(app, 100 * (1 + noise), cores=8, dataplane=plane, book=BOOK), 6000, sample=0)
    return result.entry_latency[0].mean() / 1000


def test_a_noisy_neighbour_is_heard_through_a_proxy_of_the_node_and_not_through_a_sidecar() -> None:
    alone = 50 + 150 + 100
    of_the_node = sidecar(placed="node", ends=["destination"])
    of_the_pod = sidecar(ends=["destination"])
    # The proxy of the node is busy 3100 x 0.25 ms = 78 % of the time.
    assert quiet_us(of_the_node, 30) > 2 * alone
    assert quiet_us(of_the_pod, 30) == pytest.approx(alone, rel=0.05)
    assert quiet_us(of_the_node, 1) == pytest.approx(alone, rel=0.05)


def test_a_waypoint_needs_as_many_replicas_as_its_services_ask_for() -> None:
    app = application(service("a", [call("b")]), service("b", [constant(50)]))

    def mean_us(replicas: int) -> float:
        plane = sidecar(name="wp", placed="waypoint", ends=[], replicas=replicas)
        lowered = plan(app, 6000, cores=16, dataplane=plane, book=BOOK)
        return simulate(lowered, 4000, sample=0).latency.mean() / 1000

    # 6000 requests a second x 0.25 ms: 1.5 workers; one replica has one.
    with pytest.raises(OverloadedError, match=r"wp-1 would have to be busy 150%"):
        mean_us(1)
    two, four = mean_us(2), mean_us(4)
    assert two > 1.5 * four
    assert four > 50 + 150 + 100
