"""A scenario that uses no connections, failures, limits or schedules: its results, to the last nanosecond.

Whoever changes one of these on purpose says why in the commit, and writes down the new value.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from worlds import application, call, compute, costs, plan, service, simulate

from meshsim.results.run import RunResult
from meshsim.scenario.dataplane import DataPlane

BOOK = costs(
    kernel__tcp__send={"cpu_ns": 3_000},
    kernel__tcp__receive={"cpu_ns": 4_000, "wait_ns": 6_000},
    kernel__wire__same_node={"wait_ns": 9_000},
    kernel__wire__cross_node={"wait_ns": 40_000},
    proxy__box__wakeup={"cpu_ns": 5_000, "wait_ns": 7_000},
    proxy__box__http1__request={"cpu_ns": 30_000},
    proxy__box__http1__response={"cpu_ns": 20_000},
    proxy__box__tcp__message={"cpu_ns": 8_000},
    proxy__box__telemetry={"cpu_ns": 9_000},
)


def world() -> Any:
    """Threads, replicas, a branch, a probability: everything that the first engine knew."""
    blocking = {"concurrency": {"model": "thread-per-request", "threads": 3}}
    return application(
        service("a", [compute(80), {"parallel": [call("b"), call("c", probability=0.6)]}, compute(20)], replicas=2),
        service("b", [compute(120, "lognormal", 1.5), call("c", times=2)], replicas=3, **blocking),
        service("c", [{"wait": {"mean_us": 50}}, compute(40, "gamma", 0.5)]),
    )


def plane(*proxies: dict[str, Any]) -> DataPlane:
    common = {"software": "box", "capture": "explicit"}
    listed = [{**common, **proxy} for proxy in proxies]
    return DataPlane.model_validate(
        {"schema": "meshsim/dataplane/1", "name": "p", "title": "t", "summary": "s", "proxies": listed}
    )


BOTH = ["source", "destination"]
PLANES = {
    "bare": plane(),
    "sidecar": plane({"name": "sidecar", "placed": "pod", "ends": BOTH, "layer": "L7"}),
    "ambient": plane(
        {"name": "ztunnel", "placed": "node", "ends": BOTH, "layer": "L4"},
        {"name": "waypoint", "placed": "waypoint", "layer": "L7", "only_for": "L7"},
    ),
}


def digest(result: RunResult) -> str:
    """Hash of everything that the run counted, and of every nanosecond of the sampled requests."""
    sums = result.stations
    records = [
        (r.request, [(s.number, s.parent, s.call, s.start_ns, s.end_ns, [g[1:] for g in s.segments]) for s in r.spans])
        for r in sorted(result.records, key=lambda r: r.request)
    ]
    counted = [
        result.latency.sum_ns, result.latency.counts.tolist(), result.cpu_ns.sum(axis=1).tolist(), result.window_ns,
        sums.arrivals.tolist(), sums.completions.tolist(), sums.busy_ns.tolist(), sums.present_ns.tolist(),
        sums.sojourn_ns.tolist(), sums.charged_ns.tolist(), result.sent, result.answered, result.in_flight,
        result.end_ns, records,
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(counted).encode()).hexdigest()[:16]


@pytest.mark.parametrize(("name", "slice_us", "arrivals", "expected"), [
    ("bare", 0.0, "poisson", "149024029aa05472"),
    ("bare", 50.0, "constant", "0c47af5712fe1abe"),
    ("sidecar", 0.0, "poisson", "768acd6d2791f258"),
    ("sidecar", 50.0, "constant", "09e0bc4203e01260"),
    ("ambient", 0.0, "poisson", "1486c8ad2378fd4d"),
    ("ambient", 50.0, "constant", "6f83d0725afe9920"),
])  # fmt: skip
def test_results_are_the_same_to_the_nanosecond(name: str, slice_us: float, arrivals: str, expected: str) -> None:
    lowered = plan(
        world(), 900, cores=2, nodes=2, dataplane=PLANES[name], book=BOOK, slice_us=slice_us, arrivals=arrivals
    )
    assert digest(simulate(lowered, 400, seed=11, sample=40)) == expected
