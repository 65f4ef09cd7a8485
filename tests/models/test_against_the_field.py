"""Two Envoy sidecars under the published cost book, against what others measured (README, docs/costs.md).

The set-up is that of Istio's own benchmark: one client pod, one server pod, 1 kB, 1000 requests a second. Measured is
the call from the client's application to the server's and back, as the client's application sees it.
"""

from __future__ import annotations

import pytest
from both_engines import run_on_both
from ruamel.yaml import YAML

from meshsim.costs.book import CostBook
from meshsim.costs.books import Costs
from meshsim.plan.lower import lower
from meshsim.results.run import RunResult
from meshsim.scenario.application import Application
from meshsim.scenario.catalog import models_root
from meshsim.scenario.dataplane import DataPlane
from meshsim.scenario.machine import Machine
from meshsim.scenario.scenario import Run, Scenario

KINDS = {"applications": Application, "dataplanes": DataPlane, "machines": Machine, "costs": CostBook}


def load(kind: str, name: str):  # type: ignore[no-untyped-def]
    return KINDS[kind].model_validate(YAML(typ="safe").load((models_root() / kind / f"{name}.yaml").read_text()))


def benchmark(dataplane: str, requests: int = 4000, rps: float = 1000.0) -> RunResult:
    scenario = Scenario.model_validate({"application": "two-tier", "load": {"rps": rps}, "cluster": {"nodes": 2}})
    books = Costs([load("costs", "published")])
    machine = load("machines", "gcp-e2-standard-4")
    plan = lower(load("applications", "two-tier"), load("dataplanes", dataplane), machine, scenario, books)
    return run_on_both(plan, Run(requests=requests, sample=0))


def edge_us(result: RunResult, p: float) -> float:
    call = next(n for n, name in enumerate(result.plan.call_names) if name.startswith("fortioclient"))
    value = result.call_latency[call].quantile(p)
    assert value is not None
    return value / 1000


def proxy_cpu_us(result: RunResult) -> float:
    """CPU of all proxies for one end-to-end request."""
    total = sum(int(result.cpu_ns[:, n].sum()) for n, tag in enumerate(result.plan.tags) if tag.component == "proxy")
    return total / 1000 / (result.measured - 1)


@pytest.fixture(scope="module")
def results() -> dict[str, RunResult]:
    return {name: benchmark(name) for name in ("no-mesh", "istio-sidecar")}


def test_two_sidecars_add_a_p90_within_the_spread_of_published_figures(results: dict[str, RunResult]) -> None:
    added_ms = (edge_us(results["istio-sidecar"], 0.9) - edge_us(results["no-mesh"], 0.9)) / 1000
    # 0.63 ms: Istio 1.22 on bare metal, read at second hand; 1.27 ms: 2023 graphs, 16 connections, jitter.
    assert 0.63 * 0.9 <= added_ms <= 1.27


def test_a_sidecar_spends_the_cpu_of_the_release_modelled(results: dict[str, RunResult]) -> None:
    # Three proxies see a request: the client's sidecar twice (from outside as bytes, and on the edge), the server's once.
    per_proxy_us = proxy_cpu_us(results["istio-sidecar"])
    bytes_pass = bytes_only_us(results["istio-sidecar"])
    assert 200 <= (per_proxy_us - bytes_pass) / 2 <= 270  # Istio 1.24: 0.20 vCPU per 1000 rps, draft 0.27


def bytes_only_us(result: RunResult) -> float:
    """CPU of the pass from outside, from the book's own means: two messages as bytes, TLS, two wake-ups."""
    book = Costs([load("costs", "published")])
    names = ("wakeup", "tcp.message", "tls.message")
    return 2 * sum(book[f"proxy.envoy.{name}"].cpu_ns for name in names) / 1000
