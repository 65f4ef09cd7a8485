"""Lowering: expected load, overload, the static bill, and what a hop is made of."""

from __future__ import annotations

from typing import Any

import pytest
from worlds import application, call, compute, costs, machine, plan, service, simulate

from meshsim.costs.books import MissingCost
from meshsim.plan.bill import static_bill
from meshsim.plan.hops import HopKind, hop, stops_on_path
from meshsim.plan.lower import OverloadedError
from meshsim.plan.plan import Op, Place
from meshsim.scenario.base import MeshsimError
from meshsim.scenario.dataplane import DataPlane
from meshsim.scenario.scenario import Scenario

MIB = 1024 * 1024


def proxy(name: str, **choices: Any) -> dict[str, Any]:
    return {"name": name, "software": "box", "layer": "L7", **choices}


def dataplane(*proxies: dict[str, Any], **fields: Any) -> DataPlane:
    return DataPlane.model_validate(
        {
            "schema": "meshsim/dataplane/1",
            "name": "p",
            "title": "t",
            "summary": "s",
            "proxies": list(proxies),
            **fields,
        }
    )


SIDECAR = proxy("sidecar", placed="pod", ends=["source", "destination"])
ZTUNNEL = proxy("ztunnel", placed="node", ends=["source", "destination"], layer="L4")
WAYPOINT = proxy("waypoint", placed="waypoint", only_for="L7")
NODE = proxy("node-proxy", placed="node", ends=["destination"], only_for="L7")


@pytest.mark.parametrize(
    ("plane", "policy", "protocol", "outside", "path"),
    [
        ([], "L7", "http1", False, []),
        ([SIDECAR], "L7", "http1", False, ["sidecar SOURCE", "sidecar DESTINATION"]),
        ([SIDECAR], "L4", "tcp", True, ["sidecar DESTINATION"]),
        ([ZTUNNEL, WAYPOINT], "L7", "grpc", False, ["ztunnel SOURCE", "waypoint VIA", "ztunnel DESTINATION"]),
        ([ZTUNNEL, WAYPOINT], "L4", "grpc", False, ["ztunnel SOURCE", "ztunnel DESTINATION"]),
        ([ZTUNNEL, WAYPOINT], "L7", "tcp", False, ["ztunnel SOURCE", "ztunnel DESTINATION"]),
        ([NODE], "L7", "http1", False, ["node-proxy DESTINATION"]),
        ([NODE], "L4", "http1", False, []),
    ],
)
def test_the_path_of_a_request(plane: list[Any], policy: str, protocol: Any, outside: bool, path: list[str]) -> None:
    stops = stops_on_path(dataplane(*plane), policy, protocol, outside)
    assert [f"{stop.proxy.name} {stop.place.name}" for stop in stops] == path


def operations(plane: DataPlane, **kind: Any) -> list[str]:
    book = costs(**{name: {"cpu_ns": 1.0} for name in ALL})
    program = hop(plane, "L7", HopKind(**{"protocol": "http1", "request_bytes": 10, "response_bytes": 10,
                                          "from_outside": False, **kind}), book)  # fmt: skip
    return [
        f"{i.tag.operation.split('.', 1)[1]}@{Place(i.at).name[0]}"
        for i in program
        if i.op in (Op.WORK, Op.MORE) and i.tag
    ]


ALL = [
    "kernel__tcp__send", "kernel__tcp__receive", "kernel__conntrack__message", "kernel__ebpf__service__message",
    "kernel__ebpf__policy__message", "kernel__redirect__iptables_redirect__message", "kernel__wireguard__message",
    "proxy__box__wakeup", "proxy__box__tcp__message", "proxy__box__tls__message", "proxy__box__telemetry",
    "proxy__box__http1__request", "proxy__box__http1__response",
]  # fmt: skip


def test_a_sidecar_hop_is_send_two_passes_receive_and_back_with_metrics_at_the_end() -> None:
    one_way = lambda d, s: [f"box.wakeup@{s}", f"box.http1.{d}@{s}", f"box.tls.message@{s}"]  # noqa: E731
    redirect = "redirect.iptables-redirect.message"
    assert operations(dataplane(SIDECAR)) == [
        "tcp.send@S", "conntrack.message@S", f"{redirect}@S", *one_way("request", "S"), *one_way("request", "D"),
        "tcp.receive@D", f"{redirect}@D",
        "tcp.send@D", "conntrack.message@D", f"{redirect}@D",
        *one_way("response", "D"), "box.telemetry@D", *one_way("response", "S"), "box.telemetry@S",
        "tcp.receive@S", f"{redirect}@S",
    ]  # fmt: skip


def test_an_ebpf_hop_without_proxies_is_kernel_work_only() -> None:
    plane = dataplane(kernel={"service_routing": "ebpf", "policy": True, "encryption": "wireguard"})
    one_way = lambda a, b: [f"tcp.send@{a}", f"ebpf.service.message@{a}", f"ebpf.policy.message@{a}", f"wireguard.message@{a}",  # noqa: E731
                            f"wireguard.message@{b}", f"tcp.receive@{b}", f"ebpf.policy.message@{b}"]  # fmt: skip
    assert operations(plane) == one_way("S", "D") + one_way("D", "S")


def test_a_waypoint_decrypts_and_encrypts_again() -> None:
    at_waypoint = [o for o in operations(dataplane(ZTUNNEL, WAYPOINT)) if o.endswith("@V")]
    assert at_waypoint == [
        "box.wakeup@V", "box.http1.request@V", "box.tls.message@V", "box.tls.message@V",
        "box.wakeup@V", "box.http1.response@V", "box.tls.message@V", "box.tls.message@V", "box.telemetry@V",
    ]  # fmt: skip


def test_a_missing_cost_names_the_operation_and_the_books_searched() -> None:
    with pytest.raises(MissingCost, match=r"no cost for operation 'proxy.envoy.wakeup' in the books searched \(test\)"):
        plan(
            application(service("a", [])),
            10,
            dataplane=dataplane(proxy("x", placed="pod", ends=["destination"]) | {"software": "envoy"}),
        )


def test_expected_load_is_what_the_engine_measures() -> None:
    app = application(
        service(
            "a",
            [compute(100), call("b", probability=0.5, times=3), {"parallel": [call("c"), call("d")]}],
            replicas=2,
        ),
        service("b", [compute(200)], replicas=3),
        service("c", [compute(50), call("d")]),
        service("d", [compute(80)]),
    )
    book = costs(
        kernel__tcp__send={"cpu_ns": 3_000, "cpu_ns_per_byte": 2}, kernel__wireguard__message={"cpu_ns": 5_000},
        proxy__box__http1__request={"cpu_ns": 30_000}, proxy__box__telemetry={"cpu_ns": 9_000},
        proxy__box__tls__message={"cpu_ns": 4_000},
    )  # fmt: skip
    plane = dataplane(ZTUNNEL | {"workers": 2}, WAYPOINT | {"replicas": 2}, kernel={"encryption": "wireguard"})
    world = plan(app, 400, cores=2, nodes=3, dataplane=plane, book=book)
    result = simulate(world, 6_000, sample=0)
    measured = result.stations.busy_ns / result.end_ns / world.station_servers
    for name, expected, got, cpu in zip(
        world.station_names, world.station_load, measured, world.station_is_cpu, strict=True
    ):
        if cpu:
            assert got == pytest.approx(expected, rel=0.08), name
        else:  # a worker is also held while its work waits for a core
            assert got >= expected * 0.92, name


def test_expected_load_counts_what_is_done_only_within_a_node() -> None:
    # Half of the calls stay on a's node, where the message costs 100 us at each way instead of TCP.
    app = application(service("a", [call("b")]), service("b", [], replicas=2))
    plane = dataplane(kernel={"sockmap": True})
    world = plan(app, 1000, nodes=2, dataplane=plane, book=costs(kernel__sockmap__message={"cpu_ns": 100_000}))
    result = simulate(world, 4000)
    measured = result.stations.busy_ns[:2] / result.end_ns
    assert world.station_load[:2].sum() == pytest.approx(0.1)
    assert measured.sum() == pytest.approx(0.1, rel=0.1)


def test_overload_names_the_station_and_the_rate_at_which_it_saturates() -> None:
    app = application(service("a", [compute(1000)]))
    with pytest.raises(
        OverloadedError,
        match=r"overloaded: CPU of node 1 .* 125% .* 1250 requests a second; it saturates at about 1000",
    ):
        plan(app, 1250)


def test_a_thread_pool_that_is_held_too_long_is_overloaded() -> None:
    slow = {"wait": {"mean_us": 10_000, "law": "constant"}}
    app = application(
        service("a", [call("b")], concurrency={"model": "thread-per-request", "threads": 4}),
        service("b", [slow]),
    )
    with pytest.raises(OverloadedError, match=r"threads of a-1 .* saturates at about 400 "):
        plan(app, 500)


def test_a_time_too_long_to_draw_is_refused() -> None:
    with pytest.raises(MeshsimError, match=r"a mean of 60 s with law lognormal \(cv 9\) is too long"):
        plan(application(service("a", [compute(60_000_000, "lognormal", 9)])), 0.1)


def bill(plane: DataPlane, services: int, **book: Any) -> Any:
    app = application(
        *(service(f"s{n}", [call(f"s{n + 1}")] if n + 1 < services else [], replicas=2) for n in range(services))
    )
    scenario = Scenario.model_validate({"application": "w", "cluster": {"machine": "box", "nodes": 4}})
    return static_bill(app, plane, machine(16), scenario, costs(**book))


MEMORY = {
    "memory__box__base": {"bytes": 40 * MIB}, "memory__box__cluster": {"bytes": 1 * MIB},
    "memory__box__endpoint": {"bytes": 0.5 * MIB},
}  # fmt: skip


def test_unscoped_sidecars_grow_with_pods_times_services() -> None:
    def sidecars(services: int, scope: str) -> float:
        items = bill(dataplane(SIDECAR | {"config_scope": scope}), services, **MEMORY).memory_by_item_mib
        return float(items["sidecar"])

    assert sidecars(10, "mesh") == 20 * (40 + 10 * 1 + 20 * 0.5)
    assert sidecars(20, "mesh") == 40 * (40 + 20 * 1 + 40 * 0.5)
    # Each service knows itself and the next one; the last knows itself alone.
    assert sidecars(10, "dependencies") == 20 * 40 + (2 * 9 * 2 + 2) * (1 + 2 * 0.5)


def test_node_proxies_are_few_however_many_pods_there_are() -> None:
    one = bill(dataplane(ZTUNNEL | {"config_scope": "mesh"}), 10, **MEMORY)
    assert one.memory_by_item_mib["ztunnel"] == 4 * (40 + 10 + 10)
    assert one.pods == 20 + 4
    scoped = bill(dataplane(ZTUNNEL | {"config_scope": "node"}), 10, **MEMORY)
    assert scoped.memory_by_item_mib["ztunnel"] < one.memory_by_item_mib["ztunnel"]


def test_the_error_of_the_memory_is_that_of_its_costs() -> None:
    got = bill(dataplane(SIDECAR), 10, **MEMORY)
    base, cluster, endpoint = 20 * 40, 20 * 10, 20 * 20 * 0.5
    assert got.memory_mib_error == pytest.approx(0.3 * (base**2 + cluster**2 + endpoint**2) ** 0.5)


def test_reservations_count_every_container_and_daemon() -> None:
    request = {"requests": {"cpu_millicores": 100, "memory_mib": 128}}
    got = bill(dataplane(SIDECAR | request), 10)
    assert got.reserved_cores == pytest.approx(20 * 0.101)
    assert got.reserved_memory_mib == pytest.approx(20 * 129)
    per_node = bill(dataplane(ZTUNNEL | request), 10)
    assert per_node.reserved_cores == pytest.approx(20 * 0.001 + 4 * 0.1)
