"""New connections: what is new for which proxy, how often, and that its pieces happen together."""

from __future__ import annotations

import numpy as np
import pytest
from planes import dataplane, priced, program, proxy, waits, work
from worlds import application, call, costs, service, simulate
from worlds import plan as lower_world

from meshsim.plan.laws import ONE, draw_unit, law_table, scv
from meshsim.plan.plan import Op
from meshsim.scenario.application import Application
from meshsim.scenario.dataplane import DataPlane

BOOK = priced(
    kernel__tcp__connection={"cpu_ns": 100, "wait_ns": 18},
    kernel__service__iptables__connection={"cpu_ns": 10},
    kernel__service__iptables__rule={"cpu_ns": 2},
    kernel__service__ebpf__connection={"cpu_ns": 1},
    kernel__redirect__iptables_redirect__connection={"cpu_ns": 7},
    proxy__box__connection={"cpu_ns": 300},
    proxy__box__tls__handshake={"cpu_ns": 200},
    kernel__wire__cross_node={"wait_ns": 36},
)


def new(plane: DataPlane, **kind: object) -> list[tuple[str, str, int]]:
    return work(program(plane, BOOK, requests_per_connection=1, **kind))


def test_without_it_connections_stay_open_and_cost_nothing() -> None:
    assert work(program(dataplane(proxy()), BOOK, services=100)) == []


def test_without_mesh_a_connection_is_tcp_and_half_of_the_rules() -> None:
    assert new(dataplane(), services=99) == [
        ("kernel.tcp.connection", "SOURCE", 100),
        ("kernel.service.iptables.connection", "SOURCE", 10),
        ("kernel.service.iptables.rule", "SOURCE", 100),  # (99 + 1) / 2 rules x 2 ns
    ]
    assert ("kernel.service.ebpf.connection", "SOURCE", 1) in new(dataplane(kernel={"service_routing": "ebpf"}))


def test_the_round_trip_of_tcp_goes_over_the_wire() -> None:
    found = waits(program(dataplane(), BOOK, requests_per_connection=1))
    assert ("kernel.tcp.connection", "SOURCE", 18) in found
    assert ("kernel.wire.cross-node", "SOURCE", 72) in found


def test_behind_a_proxy_that_forwards_bytes_tcp_and_tls_each_go_over_the_wire_while_its_worker_is_free() -> None:
    made = program(dataplane(proxy(layer="L4")), BOOK, requests_per_connection=1)
    trips = [n for n, i in enumerate(made) if i.tag and i.tag.operation == "kernel.wire.cross-node" and i.mean_ns == 72]
    held = [(i.op, n) for n, i in enumerate(made) if i.op in (Op.ACQUIRE, Op.RELEASE)]
    assert len(trips) == 2
    assert held[1][0] == Op.RELEASE
    assert held[1][1] < trips[0] < trips[1] < held[2][1]


def test_behind_a_proxy_with_a_pool_there_is_no_round_trip() -> None:
    made = program(dataplane(proxy()), BOOK, requests_per_connection=1)
    assert not [i for i in made if i.tag and i.tag.operation == "kernel.wire.cross-node" and i.mean_ns == 72]


def test_the_handshake_of_a_library_is_the_applications_own() -> None:
    lib = proxy("lib", placed="library", capture="in-process")
    found = new(dataplane(lib))
    assert [one for one in found if one[0].startswith("proxy")] == [
        ("proxy.box.tls.handshake", "SOURCE", 200), ("proxy.box.tls.handshake", "DESTINATION", 200),
    ]  # fmt: skip
    trips = [w for w in waits(program(dataplane(lib), BOOK, requests_per_connection=1)) if w[2] == 72]
    assert len(trips) == 2  # TCP and TLS


def test_proxies_that_forward_bytes_shake_hands_for_each_connection() -> None:
    found = new(dataplane(proxy(layer="L4", capture="iptables-redirect")), services=50)
    assert [one for one in found if one[0].startswith("proxy")] == [
        ("proxy.box.connection", "SOURCE", 300), ("proxy.box.tls.handshake", "SOURCE", 200),
        ("proxy.box.connection", "DESTINATION", 300), ("proxy.box.tls.handshake", "DESTINATION", 200),
    ]  # fmt: skip
    assert found.count(("kernel.redirect.iptables-redirect.connection", "SOURCE", 7)) == 1
    # The proxy chose the pod: no rule matches, all 50 are tried.
    assert ("kernel.service.iptables.rule", "SOURCE", 100) in found


def test_a_proxy_that_parses_has_a_pool_so_nothing_behind_it_is_new() -> None:
    found = [one for one in new(dataplane(proxy())) if one[0].startswith("proxy")]
    assert found == [("proxy.box.connection", "SOURCE", 150)]  # it accepts only


def test_plain_tcp_through_the_same_proxy_is_new_all_the_way() -> None:
    found = [one for one in new(dataplane(proxy()), protocol="tcp") if "handshake" in one[0]]
    assert [place for _, place, _ in found] == ["SOURCE", "DESTINATION"]


def test_in_a_tunnel_a_connection_is_a_stream_without_handshake() -> None:
    found = [one[0] for one in new(dataplane(proxy(layer="L4", tunnel=True)))]
    assert found.count("proxy.box.connection") == 2
    assert "proxy.box.tls.handshake" not in found


def test_a_client_outside_makes_its_connection_to_the_first_proxy_inside() -> None:
    found = new(dataplane(proxy()), from_outside=True)
    assert [one for one in found if one[0].startswith("proxy")] == [
        ("proxy.box.connection", "DESTINATION", 150), ("proxy.box.tls.handshake", "DESTINATION", 200),
    ]  # fmt: skip


@pytest.mark.parametrize("every", [2.0, 10.0, 100.0])
def test_one_draw_in_so_many_is_so_many_times_the_mean_and_the_others_nothing(every: float) -> None:
    table = law_table("once-in", every)
    assert table is not None
    keys = np.random.default_rng(1).integers(0, 2**64, 20_000, dtype=np.uint64)
    drawn = np.array([draw_unit(table.tolist(), int(key)) for key in keys])
    share = (drawn > 0).mean()
    assert share == pytest.approx(1 / every, abs=4 * (share * (1 - share) / 20_000) ** 0.5 + 1 / 64 / every)
    assert set(np.rint(drawn[drawn > ONE * every * 0.98] / ONE / every)) == {1}
    assert scv(table) == pytest.approx(every - 1, rel=0.03)


def test_in_the_engine_a_tenth_of_the_requests_pay_for_all_of_it() -> None:
    def app(**fields: float) -> Application:
        return application(service("a", [call("b", **fields)]), service("b", []))

    send = {"cpu_ns": 1000}
    plain = lower_world(app(), 10, nodes=2, book=costs(kernel__tcp__send=send))
    book = priced(
        kernel__tcp__send=send,
        kernel__tcp__connection={"cpu_ns": 50_000, "wait_ns": 30_000},
        kernel__service__iptables__connection={"cpu_ns": 20_000},
        kernel__service__iptables__rule={},
    )
    result = simulate(lower_world(app(requests_per_connection=10), 10, nodes=2, book=book), 3000, sample=3000)
    alone = {record.request: record.spans[0] for record in simulate(plain, 3000, sample=3000).records}
    taken = {record.request: record.spans[0] for record in result.records}
    more = np.array([(s.end_ns - s.start_ns) - (alone[r].end_ns - alone[r].start_ns) for r, s in taken.items()])
    paid = more > 1000
    assert paid.mean() == pytest.approx(0.1, abs=4 * (0.09 / 3000) ** 0.5 + 0.002)
    assert np.median(more[paid]) == pytest.approx(100_000, rel=0.01)  # all three pieces, or none
    assert more[~paid].max() <= 10
