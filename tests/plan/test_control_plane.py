"""Configuration and push work against hand-made sums; growth with the mesh; the start-up chain; Wasm services."""

from __future__ import annotations

import pytest
from planes import dataplane, priced, proxy
from worlds import application, call, compute, machine, service

from meshsim.plan.bill import bill_of, static_bill
from meshsim.plan.control_plane import control_plane_bill
from meshsim.plan.deploy import deploy
from meshsim.plan.runtime import in_its_runtime
from meshsim.plan.startup import startup_chain
from meshsim.scenario.application import Application
from meshsim.scenario.catalog import load_costs, load_dataplane, load_machine
from meshsim.scenario.dataplane import Runtime
from meshsim.scenario.scenario import Scenario

MIB = 1024 * 1024
BOOK = priced(
    config__box__cluster={"bytes": 1000, "cpu_ns": 20_000},
    config__box__endpoint={"bytes": 100, "cpu_ns": 2000},
    config__box__apply={"cpu_ns_per_byte": 50},
)
SCENARIO = Scenario(application="x")


def pods(a: int, b: int) -> Application:
    """``a`` calls ``b``; each has so many pods."""
    return application(service("a", [call("b")], replicas=a), service("b", [], replicas=b))


def bill(push: str, scope: str = "mesh", churn: float = 60.0, a: int = 3, b: int = 5):  # type: ignore[no-untyped-def]
    plane = dataplane(proxy(config_scope=scope), control_plane={"software": "box", "push": push})
    found = control_plane_bill(deploy(pods(a, b), plane, machine(64), SCENARIO), BOOK, churn)
    assert found is not None
    return found


def test_every_proxy_of_the_mesh_holds_every_service_and_pod() -> None:
    found = bill("cluster")
    assert found.receivers == 8
    assert found.largest_config_bytes == 2 * 1000 + 8 * 100
    assert found.config_bytes == 8 * (2 * 1000 + 8 * 100)


def test_with_dependencies_the_called_service_knows_only_itself() -> None:
    found = bill("cluster", "dependencies")
    assert found.config_bytes == 3 * (2 * 1000 + 8 * 100) + 5 * (1000 + 5 * 100)


@pytest.mark.parametrize(
    ("push", "endpoints"),
    [
        ("endpoint", 1.0),
        # A change hits a pod of a in 3 of 8 cases, of b in 5 of 8: 3 or 5 endpoints are sent.
        ("cluster", (3 * 3 + 5 * 5) / 8),
    ],
)
def test_one_change_a_second_sends_to_eight_proxies(push: str, endpoints: float) -> None:
    found = bill(push)
    assert found.push_bytes_s == pytest.approx(8 * endpoints * 100)
    assert found.control_plane_cores == pytest.approx(8 * endpoints * 2000 / 1e9)
    assert found.proxy_cores == pytest.approx(8 * endpoints * 100 * 50 / 1e9)


def test_a_control_plane_that_sends_everything_sends_clusters_too() -> None:
    found = bill("everything")
    assert found.push_bytes_s == pytest.approx(8 * (2 * 1000 + 8 * 100))
    assert found.control_plane_cores == pytest.approx(8 * (2 * 20_000 + 8 * 2000) / 1e9)


def test_without_churn_nothing_is_pushed_and_with_it_cpu_is_in_use() -> None:
    assert bill("cluster", churn=0.0).push_bytes_s == 0
    plane = dataplane(proxy(), control_plane={"software": "box", "push": "endpoint"})
    deployment = deploy(pods(3, 5), plane, machine(64), SCENARIO)
    assert "configuration push" not in bill_of(deployment, BOOK, 0.0).idle_cores
    assert bill_of(deployment, BOOK, 60.0).idle_cores["configuration push"] == pytest.approx((16_000 + 40_000) / 1e9)


def test_unscoped_configuration_grows_with_the_square_and_scoped_in_proportion() -> None:
    def config(scope: str, chain: int) -> float:
        services = [service(f"s{n}", [call(f"s{n + 1}")] if n + 1 < chain else []) for n in range(chain)]
        plane = dataplane(proxy(config_scope=scope), control_plane={"software": "box", "push": "cluster"})
        found = control_plane_bill(deploy(application(*services), plane, machine(512), SCENARIO), BOOK, 60.0)
        assert found is not None
        return found.config_bytes

    assert config("mesh", 400) / config("mesh", 100) == pytest.approx(16)
    assert config("dependencies", 400) / config("dependencies", 100) == pytest.approx(4, rel=0.01)


def test_agents_can_be_the_receivers() -> None:
    agent = {"name": "agent", "per": "node", "software": "box", "requests": {"cpu_millicores": 1, "memory_mib": 1}}
    plane = dataplane(agents=[agent], control_plane={"software": "box", "push": "endpoint", "to": ["agent"]})
    cluster = SCENARIO.cluster.model_copy(update={"nodes": 4})
    deployment = deploy(pods(3, 5), plane, machine(64), SCENARIO.model_copy(update={"cluster": cluster}))
    found = control_plane_bill(deployment, BOOK, 60.0)
    assert found is not None
    assert (found.receivers, found.push_bytes_s) == (4, pytest.approx(400))


# ----- service accounts ---------------------------------------------------------------------------------------


def test_pods_of_a_service_share_the_proxy_of_their_service_account_on_a_node() -> None:
    plane = dataplane(proxy(placed="service-account", requests={"cpu_millicores": 1, "memory_mib": 1}))
    for nodes, expected in ((1, 2), (2, 4), (4, 3 + 4)):  # 3 pods of a and 5 of b, spread
        cluster = SCENARIO.cluster.model_copy(update={"nodes": nodes})
        deployment = deploy(pods(3, 5), plane, machine(64), SCENARIO.model_copy(update={"cluster": cluster}))
        assert deployment.instances(deployment.proxies[0]) == expected
        assert deployment.pods == 8 + expected


# ----- start-up -----------------------------------------------------------------------------------------------


def chain(name: str) -> dict[str, float]:
    costs = load_costs(["published"])
    plane = load_dataplane(name)
    deployment = deploy(pods(3, 5), plane, load_machine("gcp-e2-standard-4"), SCENARIO)
    return {step.name: step.total_ns / 1e6 for step in startup_chain(deployment, costs)}


def test_a_sidecar_and_its_configuration_come_before_the_application() -> None:
    without, with_it = chain("no-mesh"), chain("istio-sidecar")
    assert set(with_it) - set(without) == {"sidecar starts", "configuration of sidecar"}
    assert with_it["sidecar starts"] == pytest.approx(75)
    assert with_it["configuration of sidecar"] == pytest.approx(2 * 0.66)
    order = list(with_it)
    assert order.index("sidecar starts") < order.index("container") < order.index("application")


def test_a_wasm_plug_in_is_compiled_once_and_instantiated_for_each_machine() -> None:
    expected = (0.5e6 + 1200 * 100 * 1024 + 3 * 10_200) / 1e6  # 2 workers and the template
    assert chain("istio-sidecar-wasm-wasmtime")["plug-in tenant-header"] == pytest.approx(expected)


def test_a_wasm_service_starts_a_host_and_an_instance_in_place_of_a_process() -> None:
    found = chain("wasm-app-with-sidecar")
    assert "application" not in found
    assert found["Wasm host"] == pytest.approx(5.7)
    assert found["instantiate"] == pytest.approx(0.03)
    assert found["image"] < chain("linkerd")["image"] / 20


def test_each_link_says_how_sure_it_is() -> None:
    deployment = deploy(pods(1, 1), load_dataplane("no-mesh"), load_machine("gcp-e2-standard-4"), SCENARIO)
    for step in startup_chain(deployment, load_costs(["published"])):
        assert len(step.sources) == len(step.operations) > 0
        assert step.standard_error_ns > 0


# ----- Wasm as the application's runtime ----------------------------------------------------------------------

WASM = priced(
    runtime__wasm__wasmedge__compute={"ratio": 1.25},
    memory__runtime__container_node={"bytes": 40 * MIB},
    memory__runtime__wasm_host={"bytes": 8 * MIB},
    memory__runtime__wasm_instance={"bytes": 0.5 * MIB},
)


def wasm(**choices: object) -> Runtime:
    return Runtime.model_validate({"kind": "wasm", "wasm": "wasmedge", "process": "node", **choices})


def test_compute_takes_longer_and_memory_changes_hands() -> None:
    app = application(
        service("a", [{"parallel": [compute(100), call("b")]}], memory_mib=100.0, requests={"memory_mib": 128}),
        service("b", [compute(40)], memory_mib=64.0),
    )
    ran = in_its_runtime(app, wasm(instances=4), WASM)
    branches = ran.services[0].endpoints[0].steps[0].parallel
    assert branches is not None
    assert branches[0][0].compute is not None
    assert branches[0][0].compute.mean_us == pytest.approx(125)
    assert ran.services[0].memory_mib == pytest.approx(100 - 40 + 8 + 4 * 0.5)
    assert ran.services[0].requests.memory_mib == pytest.approx(128 - 30)
    assert in_its_runtime(app, Runtime(), WASM) is app


def test_a_shared_host_is_counted_once_a_node() -> None:
    plane = dataplane(runtime=wasm(host="shared").model_dump())
    bill_ = static_bill(pods(3, 5), plane, machine(64), SCENARIO, WASM)
    per_pod = static_bill(pods(3, 5), dataplane(runtime=wasm().model_dump()), machine(64), SCENARIO, WASM)
    assert bill_.memory_by_item_mib["Wasm hosts"] == pytest.approx(8 * bill_.nodes)
    assert per_pod.memory_mib - bill_.memory_mib == pytest.approx(8 * 8 - 8 * bill_.nodes)
