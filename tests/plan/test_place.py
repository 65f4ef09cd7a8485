"""Placement: by what is reserved, on as few nodes as work."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from worlds import application, machine, service

from meshsim.plan.deploy import deploy
from meshsim.plan.place import PlacementError, PodRequest, _Room, _spread, _spread_runs, place
from meshsim.scenario.application import Resources
from meshsim.scenario.dataplane import DataPlane
from meshsim.scenario.scenario import Cluster, Scenario


def pods(count: int, cores: float, memory: float = 1.0, name: str = "a") -> PodRequest:
    return PodRequest(name, count, cores, memory)


def cluster(nodes: int | str = "auto", placement: str = "spread") -> Cluster:
    return Cluster.model_validate({"machine": "box", "nodes": nodes, "placement": placement})


def test_spread_puts_replicas_on_different_nodes() -> None:
    placed = place([pods(3, 0.5), pods(3, 0.1)], machine(4), [], cluster(3))
    assert sorted(placed.node_of_pod[:3]) == sorted(placed.node_of_pod[3:]) == [0, 1, 2]


def test_bin_pack_fills_one_node_after_the_other() -> None:
    placed = place([pods(8, 1.0)], machine(4), [], cluster(4, "bin-pack"))
    assert placed.node_of_pod == [0, 0, 0, 0, 1, 1, 1, 1]


def test_bin_pack_uses_the_holes() -> None:
    placed = place([pods(1, 3.0), pods(1, 3.0), pods(2, 1.0)], machine(4), [], cluster("auto", "bin-pack"))
    assert placed.nodes == 2
    assert placed.node_of_pod == [0, 1, 0, 1]


@pytest.mark.parametrize("placement", ["spread", "bin-pack"])
def test_auto_takes_as_few_nodes_as_cores_memory_and_pod_limit_allow(placement: str) -> None:
    assert place([pods(9, 1.0)], machine(4), [], cluster(placement=placement)).nodes == 3
    assert place([pods(9, 0.1, 600_000)], machine(4), [], cluster(placement=placement)).nodes == 9
    assert place([pods(9, 0.1)], machine(4, max_pods=2), [], cluster(placement=placement)).nodes == 5


def test_daemons_take_their_share_of_every_node_first() -> None:
    agent = Resources(cpu_millicores=1000, memory_mib=1)
    assert place([pods(9, 1.0)], machine(4), [agent], cluster()).nodes == 3
    assert place([pods(10, 1.0)], machine(4), [agent], cluster()).nodes == 4


def test_a_pod_larger_than_a_node_is_refused_with_both_sizes() -> None:
    with pytest.raises(PlacementError, match=r"a pod of a reserves 5.00 cores .* a box has 4.00 cores"):
        place([pods(1, 5.0)], machine(4), [], cluster())


def test_pods_of_every_node_that_leave_no_room_are_named() -> None:
    with pytest.raises(PlacementError, match=r"may run 2 pods, as many as run on each node"):
        place([pods(1, 0.1)], machine(4, max_pods=2), [Resources(cpu_millicores=10, memory_mib=8)] * 2, cluster())


def test_too_few_nodes_are_refused_with_the_number_needed() -> None:
    with pytest.raises(PlacementError, match=r"cluster.nodes: 2 received; .* at least 3 nodes of type box"):
        place([pods(9, 1.0)], machine(4), [], cluster(2))


def test_a_node_proxy_that_only_l7_policy_needs_takes_no_room_without_it() -> None:
    proxy = {
        "name": "envoy", "software": "box", "placed": "node", "ends": ["source"], "layer": "L7", "only_for": "L7",
        "capture": "explicit", "requests": {"cpu_millicores": 1000, "memory_mib": 1},
    }  # fmt: skip
    plane = DataPlane.model_validate(
        {"schema": "meshsim/dataplane/1", "name": "p", "title": "t", "summary": "s", "proxies": [proxy]}
    )
    app = application(service("a", [], replicas=4, requests={"cpu_millicores": 1000, "memory_mib": 1}))
    nodes = {
        policy: deploy(app, plane, machine(4), Scenario(application="x", policy=policy)).nodes
        for policy in ("L4", "L7")
    }
    assert nodes == {"L4": 1, "L7": 2}


@given(
    runs=st.lists(
        st.tuples(st.integers(1, 90), st.sampled_from([0.1, 0.3, 0.7]), st.sampled_from([1.0, 700.0])), max_size=5
    ),
    nodes=st.integers(1, 25),
    most=st.sampled_from([4, 20, 110]),
)
def test_large_groups_are_spread_as_single_pods_are(
    runs: list[tuple[int, float, float]], nodes: int, most: int
) -> None:
    room = _Room(3.7, 12_000.0, most)
    groups = [pods(count, cores, memory) for count, cores, memory in runs]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("meshsim.plan.place.LONG_RUN", 1 << 40)
        one_by_one = _spread(groups, room, nodes)
    assert _spread_runs(groups, room, nodes) == one_by_one


def test_equal_groups_are_spread_as_one_large_group() -> None:
    single = [pods(1, 0.3, name=f"a-{number}") for number in range(40)]
    assert place(single, machine(4), [], cluster()) == place([pods(40, 0.3)], machine(4), [], cluster())
