"""Each data plane differs from its neighbour in the way it should: one test a file, as docs/dataplanes.md lists them.

One call with nobody else there, under the published cost book: means, no queueing, every worker asleep.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from meshsim.costs.books import Costs
from meshsim.plan.bill import static_bill
from meshsim.plan.deploy import deploy
from meshsim.plan.hops import HopKind, hop
from meshsim.plan.plan import Op, StaticBill, When
from meshsim.plan.requirements import as_installed, fulfilled
from meshsim.plan.startup import startup_chain
from meshsim.scenario.application import Protocol
from meshsim.scenario.capabilities import FEATURES, CapabilityError
from meshsim.scenario.catalog import load_costs, load_dataplane, load_machine, names
from meshsim.scenario.scale import scale
from meshsim.scenario.scenario import Scenario
from meshsim.studies.inputs import read_inputs

DOC = (Path(__file__).parents[2] / "docs" / "dataplanes.md").read_text(encoding="utf-8")
BOOK = load_costs(["published"])
MACHINE = load_machine("gcp-e2-standard-4")
BOUTIQUE = read_inputs("online-boutique", ["no-mesh"], MACHINE, BOOK).application


@dataclass(frozen=True)
class Call:
    cpu_us: float
    latency_us: float
    """Without what happens after the answer."""
    passes: int
    operations: frozenset[str]


def one_call(
    name: str,
    *,
    policy: str = "L7",
    protocol: Protocol = "http1",
    apart: bool = True,
    requires: tuple[str, ...] = (),
    per_connection: float | None = None,
    costs: Costs = BOOK,
) -> Call:
    kind = HopKind(protocol, 1024, 1024, False, per_connection)
    program = hop(fulfilled(load_dataplane(name), requires), policy, kind, costs, services=100)
    skipped = When.SAME_NODE if apart else When.OTHER_NODE
    cpu = latency = 0
    passes = later = 0
    operations = set()
    for number, i in enumerate(program):
        if i.op == Op.DETACH:
            later = number + i.skip
        passes += i.op == Op.ACQUIRE
        if i.when == skipped or i.tag is None or i.law[0] == "cold":  # as if it had not slept for long
            continue
        operations.add(i.tag.operation)
        cpu += i.mean_ns if i.op in (Op.WORK, Op.MORE) else 0
        latency += i.mean_ns if number > later or not later else 0
    return Call(cpu / 1000, latency / 1000, passes, frozenset(operations))


def idle(name: str, services: int = 11, **scenario: object) -> StaticBill:
    asked = Scenario.model_validate({"application": "online-boutique", **scenario})
    return static_bill(scale(BOUTIQUE, services), load_dataplane(name), MACHINE, asked, BOOK)


def pods(services: int = 11) -> int:
    return sum(service.replicas for service in scale(BOUTIQUE, services).services)


def start_ms(name: str, services: int = 11) -> float:
    scenario = Scenario(application="online-boutique")
    application, plane = as_installed(scale(BOUTIQUE, services), load_dataplane(name), scenario, BOOK)
    chain = startup_chain(deploy(application, plane, MACHINE, scenario), BOOK)
    return sum(step.total_ns for step in chain if step.when == "always") / 1e6


# ----- the five of the first comparison -----------------------------------------------------------------------


def test_no_mesh_has_nobody_between_and_nothing_to_pay_before_the_first_request() -> None:
    assert one_call("no-mesh").passes == 0
    assert idle("no-mesh").memory_by_item_mib.keys() == {"application"}


def test_istio_sidecar_pays_four_passes_a_call_and_a_proxy_a_pod() -> None:
    assert one_call("istio-sidecar").passes == 4
    more = idle("istio-sidecar", 100).memory_by_item_mib["sidecar"] / pods(100)
    assert more > idle("istio-sidecar", 11).memory_by_item_mib["sidecar"] / pods(11) + 3  # each knows every service


def test_linkerd_makes_the_same_way_with_a_lighter_proxy_that_knows_only_what_it_calls() -> None:
    assert one_call("linkerd").passes == one_call("istio-sidecar").passes
    assert one_call("linkerd").cpu_us < 0.55 * one_call("istio-sidecar").cpu_us
    share = {n: idle("linkerd", n).memory_by_item_mib["linkerd-proxy"] / pods(n) for n in (11, 100)}
    assert share[100] == pytest.approx(share[11], rel=0.03)


def test_cilium_has_no_proxy_at_l4_and_one_a_node_at_l7() -> None:
    assert one_call("cilium", policy="L4").passes == 0
    assert one_call("cilium").passes == 2
    assert "kernel.wireguard.message" in one_call("cilium").operations
    assert "kernel.wireguard.message" not in one_call("cilium", apart=False).operations


def test_istio_ambient_needs_no_handshake_for_a_new_connection() -> None:
    more = {
        name: one_call(name, policy="L4", protocol="tcp", per_connection=1).cpu_us
        - one_call(name, policy="L4", protocol="tcp").cpu_us
        for name in ("istio-ambient", "istio-sidecar")
    }
    assert "proxy.ztunnel.tls.handshake" not in one_call("istio-ambient", protocol="tcp", per_connection=1).operations
    assert more["istio-sidecar"] - more["istio-ambient"] == pytest.approx(2 * 217, abs=1)


# ----- libraries, other sidecars, the first mesh --------------------------------------------------------------


def beside(plane: str) -> float:
    """Memory of a plane's sidecars and of the agents that run in the same containers."""
    items = idle(plane).memory_by_item_mib
    return items["sidecar"] + items["istio-agent"]


def test_library_adds_next_to_nothing_to_grpc_and_nothing_to_the_rest() -> None:
    grpc = one_call("library", protocol="grpc")
    assert grpc.passes == 0
    assert 0 < grpc.latency_us - one_call("no-mesh", protocol="grpc").latency_us < 20
    assert one_call("istio-sidecar", protocol="grpc").latency_us > 4 * grpc.latency_us
    assert one_call("library", protocol="http1") == one_call("no-mesh", protocol="http1")
    assert idle("library").memory_by_item_mib["grpc-library"] < 0.5 * beside("istio-sidecar")


def test_linkerd1_is_heavy_but_there_is_one_a_node() -> None:
    assert one_call("linkerd1").passes == 4
    assert one_call("linkerd1").cpu_us > 5 * one_call("linkerd").cpu_us
    bill = idle("linkerd1", 100)
    each = bill.memory_by_item_mib["l5d"] / bill.nodes
    assert each > 8 * idle("linkerd", 100).memory_by_item_mib["linkerd-proxy"] / pods(100)
    assert bill.memory_by_item_mib["l5d"] < idle("linkerd", 100).memory_by_item_mib["linkerd-proxy"]  # many pods a node
    assert one_call("linkerd1", protocol="tcp").passes == 0


def test_mosn_changes_the_proxy_of_istio_and_nothing_else() -> None:
    mosn, envoy = one_call("mosn"), one_call("istio-sidecar")
    assert mosn.passes == envoy.passes
    assert 1.05 < mosn.cpu_us / envoy.cpu_us < 1.5
    assert one_call("mosn", protocol="tcp").cpu_us == pytest.approx(one_call("istio-sidecar", protocol="tcp").cpu_us)
    assert idle("mosn").memory_by_item_mib["istiod"] == idle("istio-sidecar").memory_by_item_mib["istiod"]


def test_openresty_is_leaner_than_envoy_even_with_a_script_and_has_no_control_plane() -> None:
    assert "proxy.nginx-lua.lua.request" in one_call("openresty").operations
    assert one_call("openresty").cpu_us < one_call("istio-sidecar").cpu_us
    assert one_call("openresty").operations.isdisjoint({"kernel.redirect.iptables-redirect.message"})
    assert idle("openresty").control_plane is None


def test_dapr_costs_twice_an_envoy_and_is_called_by_name() -> None:
    dapr, envoy, bare = one_call("dapr"), one_call("istio-sidecar"), one_call("no-mesh")
    redirected = 4 * 0.7  # iptables, which Dapr does not need
    assert (dapr.cpu_us - bare.cpu_us) / (envoy.cpu_us - bare.cpu_us - redirected) == pytest.approx(2.07, rel=0.01)
    assert one_call("dapr", protocol="tcp") == one_call("no-mesh", protocol="tcp")
    assert idle("dapr").memory_by_item_mib["daprd"] < 0.5 * beside("istio-sidecar")


# ----- the kernel ---------------------------------------------------------------------------------------------


def test_gke_dataplane_v2_is_cilium_at_l4_without_encryption() -> None:
    gke, cilium = one_call("gke-dataplane-v2"), one_call("cilium", policy="L4")
    assert gke.operations == cilium.operations - {"kernel.wireguard.message"}
    assert one_call("gke-dataplane-v2", policy="L4") == gke  # nothing to add for L7
    with pytest.raises(CapabilityError, match="no proxy in it that reads requests"):
        one_call("gke-dataplane-v2", requires=("http-policy",))


def test_kmesh_is_ambient_without_ztunnel_and_without_encryption() -> None:
    assert one_call("kmesh", policy="L4").passes == 0
    assert one_call("kmesh").passes == one_call("istio-ambient").passes - 4
    assert not any("tls" in operation for operation in one_call("kmesh").operations)
    assert "proxy.envoy.http1.request" in one_call("kmesh").operations
    assert one_call("kmesh", policy="L4").cpu_us < 0.4 * one_call("istio-ambient", policy="L4").cpu_us


def test_ebpf_only_beats_no_mesh_within_a_node_and_refuses_what_needs_a_request() -> None:
    near, bare = one_call("ebpf-only", apart=False), one_call("no-mesh", apart=False)
    assert near.latency_us < 0.8 * bare.latency_us
    assert near.cpu_us < 0.6 * bare.cpu_us
    assert "kernel.sockmap.message" not in one_call("ebpf-only").operations  # another node: TCP
    for feature in ("header-retries", "jwt", "custom-logic", "http-policy"):
        with pytest.raises(CapabilityError, match=f"ebpf-only cannot do {feature}"):
            one_call("ebpf-only", requires=(feature,))


def test_sidecar_with_sockmap_saves_sockets_and_keeps_the_proxy() -> None:
    cut, whole = one_call("sidecar-with-sockmap"), one_call("istio-sidecar")
    assert cut.passes == whole.passes
    # Four times: send 4.0 + 0.2 ns/B or receive 5.6 + 0.35 ns/B at the application, the other socket in the proxy, and
    # the redirection 0.7, become one sk_msg 3.7 + 0.05 ns/B.
    sockets = 4.0 + 5.6 + (0.2 + 0.35) * 1.024 + 0.7
    # But of the proxy's 0.7 ns/B only half of the kernel's share goes, 0.21, where it reads (twice).
    kept = 2 * (0.35 - 0.21) * 1.024
    assert whole.cpu_us - cut.cpu_us == pytest.approx(4 * (sockets - 3.7 - 0.05 * 1.024) - kept, abs=0.005)
    assert cut.latency_us < whole.latency_us


def test_sockmap_under_plain_envoys_saves_what_was_published() -> None:
    # Kmesh, openEuler: fortio, Envoy, Envoy, server on one node, busy: +18 % requests a second, so 15 % less CPU.
    def busy(name: str) -> float:
        plane = load_dataplane(name)
        bare = plane.proxies[0].model_copy(update={"terminates_mtls": False, "telemetry": False})
        program = hop(plane.model_copy(update={"proxies": [bare]}), "L7", HopKind("http1", 1024, 1024, False), BOOK)
        return sum(
            i.mean_ns for i in program if i.op in (Op.WORK, Op.MORE) and i.when not in (When.WOKEN, When.OTHER_NODE)
        )

    assert 0.10 <= 1 - busy("sidecar-with-sockmap") / busy("istio-sidecar") <= 0.20


def test_service_account_proxy_is_shared_by_the_replicas_of_a_service_on_a_node_only() -> None:
    assert one_call("service-account-proxy").passes == 4
    assert one_call("service-account-proxy").cpu_us == pytest.approx(one_call("istio-sidecar").cpu_us)
    crowded = {"cluster": {"placement": "bin-pack"}}
    application = scale(BOUTIQUE, 100)
    plane = load_dataplane("service-account-proxy")
    packed = deploy(application, plane, MACHINE, Scenario.model_validate({"application": "x", **crowded}))
    spread = deploy(application, plane, MACHINE, Scenario(application="x"))
    assert packed.instances(packed.proxies[0]) < 0.7 * pods(100)
    assert packed.instances(packed.proxies[0]) < spread.instances(spread.proxies[0]) <= pods(100)


# ----- WebAssembly --------------------------------------------------------------------------------------------


def test_istio_sidecar_wasm_v8_adds_microseconds_and_megabytes() -> None:
    with_it, without = one_call("istio-sidecar-wasm-v8"), one_call("istio-sidecar")
    assert with_it.cpu_us - without.cpu_us == pytest.approx(2 * (1.9 + 2 * 0.75))  # a plug-in in each sidecar
    assert with_it.latency_us / without.latency_us < 1.01
    plug_ins = idle("istio-sidecar-wasm-v8").memory_by_item_mib["sidecar plug-ins"] / pods()
    assert plug_ins == pytest.approx((14.7e6 + 3 * 1.47e6) / 2**20)  # 2 workers and the template


def test_istio_sidecar_wasm_wasmtime_is_smaller_than_v8_and_compiles_longer() -> None:
    def memory(name: str) -> float:
        return idle(name).memory_by_item_mib["sidecar plug-ins"]

    assert memory("istio-sidecar-wasm-wasmtime") < 0.5 * memory("istio-sidecar-wasm-v8")
    assert start_ms("istio-sidecar-wasm-wasmtime") - start_ms("istio-sidecar") == pytest.approx(123.4, abs=0.1)
    assert start_ms("istio-sidecar-wasm-v8") - start_ms("istio-sidecar") == pytest.approx(28.1, abs=0.1)


def test_istio_sidecar_wasm_wasmedge_loads_what_was_compiled_ahead() -> None:
    assert start_ms("istio-sidecar-wasm-wasmedge") - start_ms("istio-sidecar") < 2
    assert any("upstream Envoy does not offer" in lack for lack in load_dataplane("istio-sidecar-wasm-wasmedge").lacks)


@pytest.mark.parametrize(("app", "mesh"), [("wasm-app-with-sidecar", "linkerd"), ("wasm-app-with-dapr", "dapr")])
def test_wasm_app_changes_the_application_and_not_the_mesh(app: str, mesh: str) -> None:
    assert load_dataplane(app).proxies == load_dataplane(mesh).proxies
    assert load_dataplane(app).capabilities == load_dataplane(mesh).capabilities
    assert one_call(app) == one_call(mesh)
    scenario = Scenario(application="online-boutique")
    ran, _ = as_installed(BOUTIQUE, load_dataplane(app), scenario, BOOK)
    before = [step.compute.mean_us for s in BOUTIQUE.services for e in s.endpoints for step in e.steps if step.compute]
    after = [step.compute.mean_us for s in ran.services for e in s.endpoints for step in e.steps if step.compute]
    assert after == pytest.approx([1.25 * mean for mean in before])
    # A static process (Pss 2.3 MB) goes, a host (8 MB) and an instance come, in every pod: no density by itself.
    more = idle(app).memory_by_item_mib["application"] - idle(mesh).memory_by_item_mib["application"]
    assert more == pytest.approx(pods() * (8.0e6 + 15.2e3 - 2.3e6) / 2**20)
    # 8.8 ms under runc's quicker brother; the host starts 2.3 ms later than a static binary would.
    assert start_ms(app) - start_ms(mesh) == pytest.approx((5.4 + 5.7 + 0.03) - (35.6 + 3.4))


# ----- all of them --------------------------------------------------------------------------------------------


def test_every_file_has_its_row_in_the_docs_and_the_row_names_a_test_that_is_there() -> None:
    rows = dict(re.findall(r"^\| `([a-z0-9-]+)` \| .* \| `(test_\w+)` \|$", DOC, flags=re.MULTILINE))
    assert sorted(rows) == names("dataplanes")
    assert {test for test in rows.values() if test not in globals()} == set()


@pytest.mark.parametrize("name", names("dataplanes"))
def test_every_file_answers_every_feature_and_what_it_answers_can_be_run(name: str) -> None:
    plane = load_dataplane(name)
    assert set(plane.capabilities) == set(FEATURES)
    for feature, answer in plane.capabilities.items():
        if answer.refused is None:
            one_call(name, requires=(feature,), policy="L4")
        else:
            with pytest.raises(CapabilityError, match=re.escape(answer.refused)):
                fulfilled(plane, [feature])


def test_a_fall_back_costs_what_the_proxy_costs() -> None:
    plain, asked = one_call("cilium", policy="L4"), one_call("cilium", policy="L4", requires=("jwt",))
    assert (plain.passes, asked.passes) == (0, 2)
    assert asked.cpu_us > one_call("cilium").cpu_us + 82  # all of L7 and the signature


def test_every_source_of_a_new_file_says_what_was_taken_from_it() -> None:
    for name in names("dataplanes"):
        assert all(source.note for source in load_dataplane(name).sources), name
