"""Every data plane with every mechanism on at once: the run ends, audits itself, and is the same again."""

from __future__ import annotations

from typing import Any

import pytest
from both_engines import run_on_both
from cut import all_at_once, one_by_one

from meshsim.results.audit import audit
from meshsim.results.run import RunResult
from meshsim.scenario.catalog import names
from meshsim.scenario.scenario import Scenario
from meshsim.studies.setup import prepare

START_UP = [{"name": "container", "ms": 300}]
EVERYTHING: dict[str, Any] = {
    "load": {"mmpp": [{"rps": 60.0, "mean_s": 0.5}, {"rps": 200.0, "mean_s": 0.2}]},
    "cluster": {"nic_gbps": 5.0},
    "connections": [{"max": 4}, {"from": "client", "to": "*", "max": 64}],
    "balancing": [{"to": "cartservice", "policy": "round-robin"}, {"policy": "random-of-two"}],
    "resilience": [
        {
            "timeout_ms": 1000,
            "retries": {"max": 2, "per_try_timeout_ms": 20, "budget": {"share": 0.2}},
            "hedging": {"after_ms": 10},
            "circuit_breaker": {"max_requests": 50, "max_connections": 20, "max_pending": 20, "max_retries": 5},
            "outlier_ejection": {"base_ejection_ms": 100},
        }
    ],
    "rate_limits": [{"to": "adservice", "rps": 200, "burst": 5}],
    "autoscaling": [{"service": "frontend", "max": 20, "target_cpu": 0.1, "interval_s": 0.2, "metrics_delay_s": 0.1,
                     "start_up": START_UP}],
    "faults": [
        {"kind": "pod-crash", "service": "cartservice", "at_s": 0.3, "for_s": 0.2},
        {"kind": "slow-pod", "service": "currencyservice", "factor": 5, "at_s": 0.5, "for_s": 0.2},
        {"kind": "errors", "service": "shippingservice", "share": 0.5, "at_s": 0.2, "for_s": 0.5},
    ],
}  # fmt: skip


def once(dataplane: str) -> RunResult:
    scenario = {"application": "online-boutique", "dataplane": dataplane, "run": {"requests": 100}, **EVERYTHING}
    prepared = prepare(Scenario.model_validate(scenario))
    return run_on_both(prepared.plan, prepared.scenario.run)


@pytest.mark.parametrize("dataplane", names("dataplanes"))
def test_all_mechanisms_together_obey_the_laws(dataplane: str) -> None:
    result = once(dataplane)
    said = audit(result)
    assert said.ok, said.checks
    assert all_at_once(result.records, result.plan) == one_by_one(result.records, result.plan)
    assert result.sent == result.answered + result.failed + result.in_flight
    assert result.failures["REFUSED"] > 0
    assert result.counts["attempts"] > 0
    assert result.counts["connections"] > 0


def test_the_same_seed_gives_the_same_run() -> None:
    one, two = once("istio-sidecar"), once("istio-sidecar")
    assert one.latency.sum_ns == two.latency.sum_ns
    assert (one.failures, one.counts, one.scaling, one.end_ns) == (two.failures, two.counts, two.scaling, two.end_ns)
