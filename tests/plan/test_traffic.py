"""Traffic between zones: bytes worked out by hand, and what they cost."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from worlds import application, call, costs, machine, plan, service, simulate

from meshsim.plan.plan import Plan
from meshsim.scenario.dataplane import DataPlane
from meshsim.scenario.scenario import Cluster, Load, Scenario
from meshsim.studies.row import make_row, money
from meshsim.studies.setup import Prepared, prepare

WIRES: dict[str, Any] = {f"kernel__wire__cross_{name}": {"wait_ns": 50_000} for name in ("node", "zone")}
BOOK = costs(**WIRES)


def lowered(replicas: int = 1, zones: int = 2, **more: Any) -> Plan:
    app = application(
        service("a", [call("b", request_bytes=700, response_bytes=300, probability=0.5)], replicas=replicas),
        service("b", [], replicas=replicas),
    )
    cluster = {"machine": "box", "nodes": 2, "cpu_slice_us": 0, "zones": zones}
    return plan(app, 100, book=BOOK, cluster=cluster, **more)


def test_one_pod_each_on_two_nodes_of_two_zones() -> None:
    assert lowered().cross_zone_bytes == pytest.approx(0.5 * 1000)


def test_one_zone_has_no_such_traffic() -> None:
    assert lowered(zones=1).cross_zone_bytes == 0


def test_pods_in_both_zones_meet_half_of_the_time_and_by_locality_always() -> None:
    assert lowered(replicas=2).cross_zone_bytes == pytest.approx(0.5 * 1000 / 2)
    assert lowered(replicas=2, balancing=[{"policy": "locality"}]).cross_zone_bytes == 0
    # Where the caller's zone has no pod to prefer, locality does not help.
    assert lowered(balancing=[{"policy": "locality"}]).cross_zone_bytes == pytest.approx(500)


def test_a_new_connection_carries_no_payload() -> None:
    app = application(
        service("a", [call("b", request_bytes=700, response_bytes=300, requests_per_connection=10)]), service("b", [])
    )
    known = prepared("no-mesh", "aws-m5-xlarge")
    cluster = known.scenario.cluster.model_copy(update={"nodes": 2, "zones": 2})
    new = replace(known, original=app, scenario=known.scenario.model_copy(update={"cluster": cluster}))
    assert new.plan.cross_zone_bytes == pytest.approx(1000)


def test_money_is_bytes_times_rate_times_a_month() -> None:
    priced = machine(cross_zone_usd_gb=0.02)
    gb = 500 * 100 * 730 * 3600 / 1e9
    with_traffic, without = money(lowered(), priced), money(lowered(), machine())
    assert with_traffic.cross_zone_gb_month == pytest.approx(gb)
    assert with_traffic.usd_month(0.1, 1.0) - without.usd_month(0.1, 1.0) == pytest.approx(gb * 0.02)
    row = make_row(simulate(lowered(), 500), "bare", 2, priced)
    assert row.cross_zone_usd_month == pytest.approx(gb * 0.02)
    bare = make_row(simulate(lowered(), 500), "bare", 2, machine())
    assert row.usd_month - bare.usd_month == pytest.approx(gb * 0.02)
    assert bare.cross_zone_gb_month == pytest.approx(gb)


def prepared(dataplane: str, machine_: str) -> Prepared:
    cluster = Cluster(machine=machine_, nodes=6, zones=3)
    return prepare(Scenario(application="bookinfo", dataplane=dataplane, cluster=cluster, load=Load(rps=100)))


def test_a_waypoint_is_a_detour_through_zones() -> None:
    ambient, bare = (prepared(name, "aws-m5-xlarge").plan.cross_zone_bytes for name in ("istio-ambient", "no-mesh"))
    assert ambient > 1.5 * bare > 0


def test_a_machine_without_a_price_says_so() -> None:
    assert any("cross_zone_usd_gb" in note for note in prepared("no-mesh", "azure-d4s-v5").all_notes)
    assert not any("cross_zone_usd_gb" in note for note in prepared("no-mesh", "aws-m5-xlarge").all_notes)


def test_planes_of_one_zone_cost_what_they_did() -> None:
    plane = DataPlane.model_validate(
        {"schema": "meshsim/dataplane/1", "name": "bare", "title": "Bare", "summary": "Nothing."}
    )
    assert money(lowered(zones=1, dataplane=plane), machine(cross_zone_usd_gb=0.02)).traffic_usd_month == 0
