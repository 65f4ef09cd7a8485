"""The analytic engine as an answer: through run, compare and grow, and refused where requests are needed."""

from __future__ import annotations

from pathlib import Path

import pytest

import meshsim as ms
from meshsim.scenario.base import MeshsimError

PLANES = ["no-mesh", "istio-sidecar"]


def test_compare_gives_the_rows_of_the_analytic_engine_at_once() -> None:
    quick = ms.compare("two-tier", PLANES, 500, engine="analytic", jobs=1)
    slow = ms.compare("two-tier", PLANES, 500, requests=6000, jobs=1)
    assert {row.engine for row in quick.rows} == {"analytic"}
    assert {row.engine for row in slow.rows} <= {"reference", "compiled"}
    assert "--engine analytic" in quick.report.provenance.command
    for one, other in zip(quick.rows, slow.rows, strict=True):
        assert one.latency_us.p50.value == pytest.approx(other.latency_us.p50.value, rel=0.15)
        assert one.cpu_cores.total == pytest.approx(other.cpu_cores.total, rel=0.05)
        for field in ("memory_mib", "config_mib", "push_kib_s", "pods", "nodes"):
            assert getattr(one, field) == getattr(other, field)
    apart = quick.rows[1].difference
    assert apart is not None
    assert apart.latency_us.p99.value == pytest.approx(
        quick.rows[1].latency_us.p99.value - quick.rows[0].latency_us.p99.value  # type: ignore[operator]
    )
    assert apart.latency_us.p99.low is None


def test_grow_has_a_curve_beside_its_points() -> None:
    grown = ms.grow("two-tier", [2, 8], PLANES, 50, requests=500, jobs=1)
    assert [(row.services, row.dataplane) for row in grown.report.curve] == [
        (size, plane) for size in (2, 4, 8) for plane in PLANES
    ]
    for row in grown.rows:
        (same,) = [one for one in grown.report.curve if (one.services, one.dataplane) == (row.services, row.dataplane)]
        assert same.cpu_cores.total == pytest.approx(row.cpu_cores.total, rel=0.15)
    quick = ms.grow("two-tier", [2, 8], PLANES, 50, engine="analytic", jobs=1)
    assert {row.engine for row in quick.rows} == {"analytic"}
    assert not quick.report.curve
    assert quick.crossovers == [] or all(one.low <= one.services <= one.high for one in quick.crossovers)


def test_one_scenario_by_either(tmp_path: Path) -> None:
    quick = ms.approximate(application="two-tier", dataplane="istio-sidecar", rps=100)
    slow = ms.simulate(application="two-tier", dataplane="istio-sidecar", rps=100, requests=2000, engine="reference")
    assert slow.rows[0].engine == "reference"
    calls = quick.calls().merge(slow.calls(), on="call")
    assert len(calls) == len(slow.calls())
    assert (calls.mean_us_x / calls.mean_us_y).between(0.85, 1.15).all()
    assert set(quick.stations().station) == set(slow.stations().station)
    assert quick.memory().equals(slow.memory())
    assert "approximate(" in quick.report.provenance.command


@pytest.mark.parametrize(
    "ask",
    [
        lambda: ms.compare("two-tier", PLANES, 500, engine="analytic", settle=True),
        lambda: ms.compare("two-tier", PLANES, 500, engine="analytic", warmup="auto"),
        lambda: ms.solve("two-tier", "rps", target_ms=10, dataplanes=PLANES, engine="analytic"),
        lambda: ms.sensitivity("two-tier", PLANES, engine="analytic"),
        lambda: ms.simulate(application="two-tier", engine="analytic"),
    ],
)
def test_where_requests_are_needed_it_is_refused(ask: object) -> None:
    with pytest.raises(MeshsimError, match="needs simulated requests: auto, reference or compiled"):
        ask()  # type: ignore[operator]
