"""The blast radius of faults: by hand, and a node's proxy against a sidecar in a real run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import meshsim as ms
from meshsim.results.timeline import Timeline
from meshsim.scenario.faults import Fault
from meshsim.studies.blast import blasts


def fault(**fields: object) -> Fault:
    return Fault.model_validate({"kind": "pod-crash", "service": "b", "at_s": 2.0, "for_s": 1.0, **fields})


def answers(bad_until_s: float) -> Timeline:
    """A hundred answers a second for 10 s, of which half fail from second 2 on."""
    timeline = Timeline()
    for number in range(1000):
        at = number * 10_000_000
        timeline.add(at, 1000, not (2e9 <= at < bad_until_s * 1e9 and number % 2))
    return timeline


def test_the_share_that_failed_and_for_how_long() -> None:
    timeline = answers(4.0)
    (found,) = blasts(timeline, [fault()])
    assert found.fault == "pod-crash of b-1"
    assert found.failed_share_before == 0.0
    assert found.failed_share == pytest.approx(0.5, abs=0.03)
    assert found.felt_for_s == pytest.approx(2.0, abs=2 * found.resolution_s)  # a second longer than the fault
    (none,) = blasts(answers(2.0), [fault()])
    assert (none.failed_share, none.felt_for_s) == (0.0, 0.0)
    (late,) = blasts(timeline, [fault(at_s=50.0)])
    assert late.failed_share is None
    assert blasts(timeline, []) == []


def test_what_follows_is_not_told_of_the_fault_before() -> None:
    first, second = blasts(answers(4.0), [fault(at_s=2.0, for_s=0.5), fault(at_s=3.0, for_s=0.5)])
    assert first.felt_for_s <= 1.0 + first.resolution_s
    assert second.felt_for_s == pytest.approx(1.0, abs=2 * second.resolution_s)


@pytest.mark.parametrize(("dataplane", "where", "hit"), [
    ("istio-sidecar", {"proxy": "sidecar", "service": "fortioserver"}, 1.0),
    ("cilium", {"proxy": "node-envoy", "node": 1}, 1.0),
])  # fmt: skip
def test_a_run_tells_it(dataplane: str, where: dict[str, object], hit: float, tmp_path: Path) -> None:
    scenario = tmp_path / "crash.yaml"
    crash = {"kind": "proxy-crash", "at_s": 1.0, "for_s": 1.0, **where}
    scenario.write_text(
        json.dumps({"schema": "meshsim/scenario/1", "application": "two-tier", "dataplane": dataplane, "load": {"rps": 500},
                    "cluster": {"nodes": 1}, "faults": [crash], "run": {"requests": 2000, "warmup": 0.0}})
    )  # fmt: skip
    (row,) = ms.simulate(scenario).report.rows
    (found,) = row.faults
    assert found.failed_share == pytest.approx(hit, abs=0.02)
    assert found.felt_for_s == pytest.approx(1.0, abs=0.05)
    assert found.failed_share_before == 0.0
