"""The Python API: what ``import meshsim as ms`` gives."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

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


def test_rules_of_a_file_hold_for_every_data_plane(tmp_path: Path) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text("resilience:\n  - {timeout_ms: 500, retries: {max: 1}}\nfaults:\n"
                     "  - {kind: pod-crash, service: fortioserver, at_s: 0.1, for_s: 0.1}\n")  # fmt: skip
    asked = {"rps": 500.0, "requests": 300, "dataplanes": ["no-mesh", "linkerd"], "jobs": 1}
    found = ms.compare("two-tier", rules=rules, **asked)
    assert all(row.resilience["retries"] > 0 for row in found.report.rows)
    assert f"--rules {rules}" in found.report.provenance.command
    assert not any(row.resilience.get("retries") for row in ms.compare("two-tier", **asked).report.rows)
    rules.write_text("faults: []\nretries: 3\n")
    with pytest.raises(ms.MeshsimError, match=r"rules.yaml:2: retries: unknown field; choose from"):
        ms.compare("two-tier", rules=rules, **asked)


def test_pods_that_do_not_fit_are_told_with_the_line_of_the_scenario(tmp_path: Path) -> None:
    scenario = tmp_path / "s.yaml"
    scenario.write_text("schema: meshsim/scenario/1\napplication: online-boutique\ncluster:\n  nodes: 1\n")
    with pytest.raises(ms.MeshsimError, match=r"s.yaml:4: cluster.nodes: 1 received; the pods reserve enough for"):
        ms.simulate(scenario)
