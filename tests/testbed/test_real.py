"""Real meshes, small and short: traffic goes where the files say. Skipped, with the reason, where a host cannot."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from hosts import needs

from meshsim.measure.lab import Lab
from meshsim.testbed.deploy import Deployed, deploy
from meshsim.testbed.drive import drive
from meshsim.testbed.scenarios import Case, folder

BUILT = needs("root", "compiler", "namespaces", "ip", "cgroup", "bpf", "iptables", "envoy", "openssl")
pytestmark = BUILT


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab() as made:
        yield made


def readings(lab: Lab, name: str, rps: float = 200.0) -> tuple[Deployed, dict[str, float]]:
    case = Case(folder() / "scenarios" / f"{name}.yaml")
    with ExitStack() as stack:
        mesh = deploy(case, lab, stack)
        found = drive(case, mesh, rps, 0.4, 0.1)
    return mesh, {key: each for key, each in found.items() if isinstance(each, int | float)}


def test_a_chain_reaches_every_service(lab: Lab) -> None:
    mesh, found = readings(lab, "no-mesh.chain-of-3")
    assert mesh.proxies == {}
    # Each service computes 20 us for a request, and all of them do for each.
    assert all(found[f"cpu_ns.application.{name}"] > 20_000 for name in ("first", "second", "third"))
    assert found["requests_per_second"] == pytest.approx(200, rel=0.35)


def test_a_fan_out_waits_for_all_branches(lab: Lab) -> None:
    _, found = readings(lab, "no-mesh.fan-out-of-3")
    assert all(found[f"cpu_ns.application.{name}"] > 30_000 for name in ("left", "middle", "right"))
    assert found["latency_p50_ns"] > 50_000


@pytest.mark.parametrize(
    ("name", "proxies"),
    [
        ("one-sidecar.one-hop-64b", 1),
        ("two-sidecars-mtls.one-hop-64b", 2),
        ("two-sidecars-l4.one-hop-tcp", 2),
        ("node-proxy-ebpf.one-hop-64b", 1),
        ("node-proxy-iptables.noisy-neighbour", 1),
        ("two-sidecars-sockmap.one-hop-64b", 2),
    ],
)
def test_traffic_passes_every_proxy_of_the_file(lab: Lab, name: str, proxies: int) -> None:
    mesh, found = readings(lab, name)
    assert len(mesh.proxies) == proxies
    for proxy in mesh.proxies:
        assert found[f"cpu_ns.proxy.{proxy}"] > 15_000, proxy  # an idle Envoy uses a few microseconds a request here
    assert found["proxy_private_dirty_mib"] > 5 * proxies


def test_filters_of_the_file_are_in_the_proxy(lab: Lab) -> None:
    with lab.scope():
        _, plain = readings(lab, "one-sidecar.one-hop-64b", rps=0)
    with lab.scope():
        _, filtered = readings(lab, "one-sidecar-wasm-v8.one-hop-64b", rps=0)
    assert filtered["proxy_private_dirty_mib"] > plain["proxy_private_dirty_mib"] + 10


def test_iptables_and_sockmap_carry_traffic_without_proxies(lab: Lab) -> None:
    for name in ("service-iptables.one-hop-64b", "sockmap.one-hop-64k"):
        with lab.scope():
            _, found = readings(lab, name)
        assert found["cpu_ns.proxy"] == 0
        assert found["requests_per_second"] == pytest.approx(200, rel=0.35)
