"""What runs inside a proxy besides forwarding, and sockets joined past TCP: exact work, in order."""

from __future__ import annotations

import pytest
from planes import dataplane, priced, program, proxy, waits, work
from worlds import application, call, compute, costs, machine, service, simulate
from worlds import plan as lower_world

from meshsim.plan.bill import static_bill
from meshsim.plan.plan import Op
from meshsim.plan.requirements import fulfilled
from meshsim.scenario.capabilities import CapabilityError
from meshsim.scenario.scenario import Scenario

MIB = 1024 * 1024
ONE_END = {"ends": ["source"], "telemetry": False, "terminates_mtls": False}


def test_features_are_paid_a_request_and_logs_when_the_answer_is_gone() -> None:
    on = [{"name": "rbac-policy", "count": 20}, {"name": "access-log"}, {"name": "tracing", "count": 0.1}]
    book = priced(
        proxy__box__feature__rbac_policy={"cpu_ns": 100},
        proxy__box__feature__access_log={"cpu_ns": 23},
        proxy__box__feature__tracing={"cpu_ns": 460},
        proxy__box__http1__request={"cpu_ns": 33},
        proxy__box__http1__response={"cpu_ns": 27},
    )
    made = program(dataplane(proxy(features=on, **ONE_END)), book)
    assert work(made) == [
        ("proxy.box.feature.rbac-policy", "SOURCE", 2000), ("proxy.box.http1.request", "SOURCE", 33),
        ("proxy.box.http1.response", "SOURCE", 27),
        ("proxy.box.feature.access-log", "SOURCE", 23), ("proxy.box.feature.tracing", "SOURCE", 46),
    ]  # fmt: skip
    detached = next(n for n, i in enumerate(made) if i.op == Op.DETACH)
    log = next(n for n, i in enumerate(made) if i.tag and i.tag.operation == "proxy.box.feature.access-log")
    assert detached < log <= detached + made[detached].skip


def test_bytes_are_not_filtered() -> None:
    extensions = [{"name": "x", "kind": "lua"}]
    plane = dataplane(proxy(features=[{"name": "jwt"}], extensions=extensions, **ONE_END))
    assert work(program(plane, priced(), protocol="tcp")) == []


def test_a_wasm_plug_in_is_a_fixed_part_so_much_a_host_call_and_compute() -> None:
    plug_in = {"name": "x", "kind": "wasm", "runtime": "wamr", "host_calls": 3, "compute_bytes": 10, "copies": 2}
    book = priced(
        proxy__box__wasm__wamr__request={"cpu_ns": 1900},
        proxy__box__wasm__wamr__host_call={"cpu_ns": 750},
        proxy__box__wasm__wamr__compute={"cpu_ns_per_byte": 1.1},
    )
    once = [("request", 1900), ("host-call", 2250), ("compute", 11)]
    assert work(program(dataplane(proxy(extensions=[plug_in], **ONE_END)), book)) == [
        (f"proxy.box.wasm.wamr.{part}", "SOURCE", ns) for part, ns in once * 2
    ]


def test_a_filter_is_charged_on_the_messages_that_it_handles() -> None:
    book = priced(proxy__box__lua__request={"cpu_ns": 7}, proxy__box__http1__response={"cpu_ns": 27})
    lua, answer = ("proxy.box.lua.request", "SOURCE", 7), ("proxy.box.http1.response", "SOURCE", 27)
    for on, expected in {"request": [lua, answer], "response": [lua, answer], "both": [lua, lua, answer]}.items():
        plane = dataplane(proxy(extensions=[{"name": "x", "kind": "lua", "on": on}], **ONE_END))
        made = program(plane, book)
        assert work(made) == expected
        body = next(n for n, i in enumerate(made) if i.op == Op.BODY)
        on_the_way_in = [i for i in made[:body] if i.tag and i.tag.operation == lua[0]]
        assert len(on_the_way_in) == (on != "response")


def test_proxies_may_speak_another_protocol_with_each_other() -> None:
    book = priced(
        proxy__box__http1__request={"cpu_ns": 30}, proxy__box__http1__response={"cpu_ns": 20},
        proxy__box__http2__request={"cpu_ns": 50}, proxy__box__http2__response={"cpu_ns": 40},
    )  # fmt: skip
    usual = {"telemetry": False, "terminates_mtls": False}

    def by_place(plane: object, **kind: object) -> list[int]:
        return [ns for _, _, ns in work(program(plane, book, **kind))]  # type: ignore[arg-type]

    both = dataplane(proxy(**usual), between_proxies="http2")
    # A half of each pass is HTTP/1.1 with the application, the other HTTP/2 with the other sidecar.
    assert by_place(both) == [15, 25, 25, 15, 20, 10, 10, 20]
    assert by_place(dataplane(proxy(**usual))) == [30, 30, 20, 20]
    # No proxy on the other side, or an application that speaks it anyway: nothing to convert.
    assert by_place(both, from_outside=True) == [30, 20]
    assert by_place(both, protocol="http2") == [50, 50, 40, 40]
    assert by_place(dataplane(proxy(ends=["source"], **usual), between_proxies="http2")) == [30, 20]
    # A waypoint between two sidecars has proxies on both sides.
    waypoint = proxy("waypoint", placed="waypoint", ends=[], **usual)
    three = dataplane(proxy(**usual), waypoint, between_proxies="http2")
    assert by_place(three)[:5] == [15, 25, 50, 25, 15]


def test_memory_of_plug_ins_is_filters_times_workers_and_the_template() -> None:
    plug_in = {"name": "x", "kind": "wasm", "runtime": "v8", "copies": 3}
    script = {"name": "y", "kind": "lua"}
    plane = dataplane(proxy(workers=4, extensions=[plug_in, script]))
    book = priced(
        memory__box__wasm__v8__engine={"bytes": 10 * MIB},
        memory__box__wasm__v8__vm={"bytes": MIB},
        memory__box__lua__worker={"bytes": 0.5 * MIB},
        **{f"proxy__box__wasm__v8__{part}": {} for part in ("request", "host_call")},
        proxy__box__lua__request={},
    )
    app = application(service("a", [call("b")], replicas=2), service("b", []))
    bill = static_bill(app, plane, machine(16), Scenario(application="x"), book)
    assert bill.memory_by_item_mib["sidecar plug-ins"] == pytest.approx(3 * (10 + 3 * (4 + 1) + 4 * 0.5))


def test_asking_another_process_frees_the_worker_and_wakes_it_again() -> None:
    ask = {"name": "authz", "kind": "external", "process": "opa"}
    plane = dataplane(proxy(extensions=[ask], **ONE_END), {**proxy("opa", ends=[], telemetry=False), "software": "opa"})
    book = priced(
        proxy__box__feature__ext_authz={"cpu_ns": 70}, proxy__opa__wakeup={"cpu_ns": 9}, proxy__opa__check={"cpu_ns": 500},
        proxy__box__wakeup={"cpu_ns": 43},
    )  # fmt: skip
    made = program(plane, book)
    asked = made[: next(n for n, i in enumerate(made) if i.op == Op.BODY)]
    assert [(i.op.name, i.slot) for i in asked if i.op in (Op.ACQUIRE, Op.RELEASE)] == [
        ("ACQUIRE", 2), ("RELEASE", 2), ("ACQUIRE", 3), ("RELEASE", 3), ("ACQUIRE", 2), ("RELEASE", 2),
    ]  # fmt: skip
    assert [operation for operation, *_ in work(asked)] == [
        "proxy.box.wakeup", "proxy.box.feature.ext-authz", "proxy.opa.wakeup", "proxy.opa.check", "proxy.box.wakeup"
    ]  # fmt: skip


def test_the_other_process_has_workers_of_its_own_in_the_engine() -> None:
    ask = {"name": "authz", "kind": "external", "process": "opa"}
    plane = dataplane(
        proxy(extensions=[ask], **ONE_END),
        {**proxy("opa", ends=[], telemetry=False), "software": "opa", "workers": 1},
    )
    book = priced(
        proxy__box__feature__ext_authz={"cpu_ns": 1000}, proxy__opa__wakeup={}, proxy__opa__check={"cpu_ns": 50_000},
        memory__opa__base={}, memory__opa__cluster={}, memory__opa__endpoint={}, idle__opa={},
    )  # fmt: skip
    app = application(service("a", [call("b")]), service("b", []))
    lowered = lower_world(app, 100, dataplane=plane, book=book, arrivals="constant")
    assert "opa of a-1" in lowered.station_names
    result = simulate(lowered, 300)
    busy = dict(zip(lowered.station_names, result.stations.busy_ns.tolist(), strict=True))
    assert busy["opa of a-1"] / result.stations.completions[lowered.station_names.index("opa of a-1")] == 50_000


# ----- sockmap ------------------------------------------------------------------------------------------------


def test_in_the_pod_sockmap_takes_the_place_of_two_sockets() -> None:
    usual = {
        "kernel__tcp__send": {"cpu_ns": 40.0}, "kernel__tcp__receive": {"cpu_ns": 56.0, "wait_ns": 50.0},
        "kernel__sockmap__message": {"cpu_ns": 37.0, "wait_ns": 50.0}, "kernel__conntrack__message": {"cpu_ns": 14.0},
        "proxy__box__http1__request": {"cpu_ns": 330.0, "kernel_share": 0.6},
        "proxy__box__http1__response": {"cpu_ns": 270.0, "kernel_share": 0.6},
    }  # fmt: skip
    made = program(dataplane(proxy(capture="sockmap", **ONE_END)), priced(**usual))
    assert work(made) == [
        # Application to proxy: the proxy's reading socket (56) is part of what sk_msg replaced.
        ("kernel.sockmap.message", "SOURCE", 37), ("kernel.conntrack.message", "SOURCE", 14),
        ("proxy.box.http1.request", "SOURCE", 330 - 56),
        ("kernel.tcp.receive", "DESTINATION", 56), ("kernel.tcp.send", "DESTINATION", 40),
        ("kernel.conntrack.message", "DESTINATION", 14),
        # Proxy to application: its writing socket (40).
        ("proxy.box.http1.response", "SOURCE", 270 - 40), ("kernel.sockmap.message", "SOURCE", 37),
    ]  # fmt: skip
    # The proxy's wake-up has a price of its own; the application's is waited for.
    assert [w for w in waits(made) if w[0] == "kernel.sockmap.message"] == [("kernel.sockmap.message", "SOURCE", 50)]


def test_no_more_is_taken_off_a_proxy_than_half_of_its_kernel_work() -> None:
    book = priced(
        kernel__tcp__receive={"cpu_ns": 500.0}, kernel__sockmap__message={}, kernel__tcp__send={},
        proxy__box__http1__request={"cpu_ns": 100.0, "kernel_share": 0.6}, proxy__box__http1__response={},
    )  # fmt: skip
    made = program(dataplane(proxy(capture="sockmap", **ONE_END)), book)
    assert ("proxy.box.http1.request", "SOURCE", 70) in work(made)
    tag = next(i.tag for i in made if i.tag and i.tag.operation == "proxy.box.http1.request")
    assert tag.kernel_share == pytest.approx(30 / 70)


def test_between_pods_sockmap_only_works_within_a_node() -> None:
    plane = dataplane(kernel={"service_routing": "ebpf", "sockmap": True})
    book = priced(
        kernel__sockmap__message={"cpu_ns": 3700, "wait_ns": 5000}, kernel__tcp__send={"cpu_ns": 4000},
        kernel__tcp__receive={"cpu_ns": 5600, "wait_ns": 5000}, kernel__wire__same_node={"wait_ns": 5000},
        kernel__wire__cross_node={"wait_ns": 36000},
    )  # fmt: skip

    def latency(nodes: int) -> int:
        app = application(service("a", [call("b")]), service("b", []))
        result = simulate(lower_world(app, 10, nodes=nodes, dataplane=plane, book=book, arrivals="constant"), 200)
        (spans,) = {tuple(s.end_ns - s.start_ns for s in record.spans if s.call == 1) for record in result.records}
        return spans[0]

    assert latency(1) == 2 * (3700 + 5000)
    assert latency(2) == 2 * (4000 + 36000 + 5000 + 5600)


# ----- a library in the application ---------------------------------------------------------------------------


def test_a_library_needs_no_worker_and_no_wake_up() -> None:
    plane = dataplane(
        proxy("lib", placed="library", capture="in-process", protocols=["grpc"], ends=["source", "destination"])
    )
    book = priced(
        proxy__box__wakeup={"cpu_ns": 43},
        proxy__box__grpc__request={"cpu_ns": 2},
        proxy__box__grpc__response={"cpu_ns": 1},
    )
    made = program(plane, book, protocol="grpc")
    assert work(made) == [
        ("proxy.box.grpc.request", "SOURCE", 2), ("proxy.box.grpc.request", "DESTINATION", 2),
        ("proxy.box.grpc.response", "DESTINATION", 1), ("proxy.box.grpc.response", "SOURCE", 1),
    ]  # fmt: skip
    assert not any(i.op in (Op.ACQUIRE, Op.RELEASE) for i in made)
    assert work(program(plane, book, protocol="http1")) == []  # passes by


# ----- requirements -------------------------------------------------------------------------------------------


def test_a_fall_back_joins_the_path_and_is_paid_for() -> None:
    node = proxy("node", placed="node", ends=["destination"], only_for="L7", telemetry=False, terminates_mtls=False)
    spare = proxy("spare", placed="node", ends=["source"], only_for="fallback", telemetry=False, terminates_mtls=False)
    plane = dataplane(
        node, spare,
        capabilities={"jwt": {"falls_back_to": "node"}, "tracing": {"falls_back_to": "spare"}, "tcp": {"by": "kernel"}},
    )  # fmt: skip
    book = priced(
        proxy__box__feature__jwt={"cpu_ns": 83}, proxy__box__feature__tracing={"cpu_ns": 46},
        proxy__box__http1__request={"cpu_ns": 33},
    )  # fmt: skip

    def asked(*features: str, **kind: str) -> list[tuple[str, str, int]]:
        return work(program(fulfilled(plane, features), book, policy="L4", **kind))

    assert asked() == asked("tcp") == []
    assert asked("jwt") == [
        ("proxy.box.feature.jwt", "DESTINATION", 83),
        ("proxy.box.http1.request", "DESTINATION", 33),
    ]
    assert asked("tracing") == [("proxy.box.http1.request", "SOURCE", 33), ("proxy.box.feature.tracing", "SOURCE", 46)]
    assert asked("jwt", protocol="tcp") == []


def test_what_is_refused_says_why_and_what_is_unsaid_says_so() -> None:
    plane = dataplane(proxy(), capabilities={"jwt": {"refused": "the proxy reads no tokens"}, "tcp": {"by": "sidecar"}})
    with pytest.raises(
        CapabilityError, match=r"p cannot do jwt \(checks JSON Web Tokens\): the proxy reads no tokens.*tcp"
    ):
        fulfilled(plane, ["tcp", "jwt"])
    with pytest.raises(CapabilityError, match=r"p: requires retries .*about which its file says nothing"):
        fulfilled(plane, ["retries"])


def test_an_application_can_require_a_feature_itself() -> None:
    app = application(service("a", [compute(1)])).model_copy(update={"requires": ["jwt"]})
    with pytest.raises(CapabilityError, match="jwt"):
        static_bill(app, dataplane(), machine(4), Scenario(application="x"), costs())
