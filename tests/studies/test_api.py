"""The Python API: what ``import meshsim as ms`` gives."""

from __future__ import annotations

import subprocess
import sys

import pandas as pd
import plotly.graph_objects as go
import pytest

import meshsim as ms


@pytest.fixture(scope="module")
def comparison() -> object:
    return ms.compare("two-tier", dataplanes=["no-mesh", "istio-sidecar"], rps=500, requests=1200, jobs=1)


def test_every_public_name_can_be_had() -> None:
    for name in ms.__all__:
        assert getattr(ms, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'compar'"):
        ms.compar  # noqa: B018


def test_importing_meshsim_imports_no_heavy_library() -> None:
    code = "import meshsim, sys; print([m for m in ('pandas', 'streamlit', 'plotly', 'scipy') if m in sys.modules])"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )


def test_a_comparison_is_a_table_a_figure_and_a_card(comparison: ms.compare) -> None:  # type: ignore[valid-type]
    table = comparison.table()
    assert isinstance(table, pd.DataFrame)
    assert {"dataplane", "metric", "value", "low", "high", "unit"} <= set(table.columns)
    assert isinstance(comparison.plot(), go.Figure)
    assert "istio-sidecar" in comparison._repr_html_()


def test_differences_are_paired(comparison: ms.compare) -> None:  # type: ignore[valid-type]
    bare, boxed = comparison.report.rows
    assert bare.difference is None
    paired = boxed.difference.latency_us.p50
    assert paired.value == pytest.approx(boxed.latency_us.p50.value - bare.latency_us.p50.value, rel=0.02)
    unpaired = (boxed.latency_us.p50.high - boxed.latency_us.p50.low) / 2
    assert (paired.high - paired.low) / 2 < 1.5 * unpaired


def test_cores_add_up_to_what_the_stations_were_busy(comparison: ms.compare) -> None:  # type: ignore[valid-type]
    for row in comparison.report.rows:
        cpu = row.cpu_cores
        assert cpu.total == pytest.approx(cpu.application + cpu.proxy + cpu.kernel)
        assert row.audit.ok, row.audit.checks


def test_a_study_stopped_after_a_refusal_is_partial_and_no_mistake() -> None:
    # The sidecars cannot carry this rate; whether no-mesh can is not known when the study is stopped.
    asked = []

    def stop() -> bool:
        asked.append(True)
        return len(asked) > 1

    stopped = ms.compare("two-tier", ["istio-sidecar", "no-mesh"], rps=12000, requests=1000, jobs=1, should_stop=stop)
    assert stopped.partial
    assert stopped.rows == []
    assert [one.dataplane for one in stopped.report.refused] == ["istio-sidecar"]
    whole = ms.compare("two-tier", ["istio-sidecar", "no-mesh"], rps=12000, requests=200, jobs=1)
    assert [row.dataplane for row in whole.rows] == ["no-mesh"]


def test_simulate_takes_keywords() -> None:
    one = ms.simulate(application="two-tier", dataplane="linkerd", rps=200, requests=300)
    assert [row.dataplane for row in one.report.rows] == ["linkerd"]


def test_grow_keeps_the_traffic_of_each_service() -> None:
    growth = ms.grow("two-tier", services=[2, 4], dataplanes=["no-mesh"], rps=100, requests=200, jobs=1)
    assert [(row.services, row.rps) for row in growth.report.rows] == [(2, 100.0), (4, 200.0)]
    whole = ms.grow("two-tier", services=[2, 4], dataplanes=["no-mesh"], rps=100, requests=200, rate="total", jobs=1)
    assert [row.rps for row in whole.report.rows] == [100.0, 100.0]
