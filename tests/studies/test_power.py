"""Watts: worked out by hand, with their band, in every table; and unknown, never 0, where the machine says nothing."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console
from sweeps import write_study
from worlds import NO_MESH, application, compute, costs, machine, plan, service, simulate

from meshsim.app.downloads import csv
from meshsim.figures import growth_figure
from meshsim.figures.words import too_short
from meshsim.formats.page import growth_page
from meshsim.scenario.catalog import load_machine, names
from meshsim.studies.columns import column_types
from meshsim.studies.compare import compare
from meshsim.studies.grow import grow
from meshsim.studies.row import make_row
from meshsim.studies.sweep import sweep
from meshsim.studies.table import tidy
from meshsim.terminal.reports import comparison, growth

POWER = {"idle_watts_core": 1.0, "busy_watts_core": 4.0, "watts_gib": 0.5}
DRAWS = machine(1, power=POWER)
SILENT = machine(1)
WORLD = application(service("a", [compute(1000)]))
PUBLISHED = {"aws": (0.74, 3.5), "gcp": (0.71, 4.26), "azure": (0.78, 3.76)}
"""Min and max watts of a vCPU, Appendix I of the Cloud Carbon Footprint methodology."""


def test_by_hand() -> None:
    # (4 - 1) W x 0.25 cores + 0.5 W x 3 GiB
    assert DRAWS.watts(0.25, 3 * 1024) == pytest.approx(0.75 + 1.5)
    assert DRAWS.watts(0, 0) == 0
    assert SILENT.watts(0.25, 3 * 1024) is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"busy_watts_core": 0.5}, "must be at least idle_watts_core, 1"),
        ({"watts_gib": -1.0}, "greater than or equal to 0"),
        ({"watts_gib": None}, "valid number"),
        ({"watts": 3.0}, "Extra inputs"),
    ],
)
def test_wrong_power_is_refused(changes: dict[str, float], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        machine(1, power={**POWER, **changes})


@pytest.mark.parametrize("name", names("machines"))
def test_machines_that_come_along_have_the_published_watts(name: str) -> None:
    power = load_machine(name).power
    assert power is not None
    assert (power.idle_watts_core, power.busy_watts_core) == PUBLISHED[name.split("-")[0]]
    assert power.watts_gib == 0.392
    assert any("Cloud Carbon Footprint" in source.ref for source in load_machine(name).sources)


def test_a_row_has_the_watts_of_its_cores_and_memory_and_the_band_of_both() -> None:
    row = make_row(simulate(plan(WORLD, 500), 2000), "bare", 1, DRAWS)
    cpu, memory, band = row.cpu_cores.total, row.memory_mib, row.model_error
    assert cpu > 0.3
    assert row.power_watts == pytest.approx(3 * cpu + 0.5 * memory / 1024)
    assert band.power_watts is not None
    assert band.power_watts.low == pytest.approx(3 * band.cpu_cores.low + 0.5 * band.memory_mib.low / 1024)
    assert band.power_watts.high == pytest.approx(3 * band.cpu_cores.high + 0.5 * band.memory_mib.high / 1024)
    table = tidy([row], 1).set_index("metric")
    assert table.loc["power_watts", "value"] == row.power_watts
    assert table.loc["power_watts", "unit"] == "W"
    assert table.loc["model_error.power_watts", "high"] == band.power_watts.high


@pytest.mark.parametrize("engine", ["reference", "analytic"])
def test_what_is_unknown_is_null_and_never_zero(engine: str) -> None:
    asked = {"costs": costs(), "machine": SILENT, "requests": 600, "jobs": 1, "engine": engine}
    planes = [NO_MESH.model_copy(update={"name": name}) for name in ("no-mesh", "twin")]
    report = compare(WORLD, planes, 500, **asked).report
    told = json.loads(report.model_dump_json())["rows"][1]
    assert told["power_watts"] is told["difference"]["power_watts"] is told["model_error"]["power_watts"] is None
    lines = pd.read_csv(io.StringIO(csv(report)), comment="#").set_index("metric")
    assert lines.loc["power_watts", "value"].isna().all()
    assert "power" not in printed(comparison(report))


def printed(parts: object) -> str:
    console = Console(width=100, file=io.StringIO())
    for part in parts:  # type: ignore[attr-defined]
        console.print(part)
    return str(console.file.getvalue())  # type: ignore[attr-defined]


def test_replications_are_averaged() -> None:
    asked = {"costs": costs(), "requests": 600, "jobs": 1, "precision": 1e-6, "budget": 3, "of": "p50"}
    row = compare(WORLD, [NO_MESH], 500, machine=DRAWS, **asked).report.rows[0]
    assert row.requests == 1800
    assert row.power_watts == pytest.approx(3 * row.cpu_cores.total + 0.5 * row.memory_mib / 1024)
    assert row.model_error.power_watts is not None
    assert row.model_error.power_watts.high == pytest.approx(
        3 * row.model_error.cpu_cores.high + 0.5 * row.model_error.memory_mib.high / 1024
    )
    unknown = compare(WORLD, [NO_MESH], 500, machine=SILENT, **asked).report.rows[0]
    assert unknown.power_watts is unknown.model_error.power_watts is None


def test_growth_shows_it_where_it_is_known_and_says_so_where_it_is_not() -> None:
    asked = {"requests": 400, "jobs": 1}
    known = grow("two-tier", [2, 8], ["no-mesh", "linkerd"], machine="aws-m5-xlarge", **asked).report
    for row in known.rows:
        assert row.power_watts == pytest.approx((3.5 - 0.74) * row.cpu_cores.total + 0.392 * row.memory_mib / 1024)
    assert "electrical power, W" in printed(growth(known))
    assert too_short(known, "power") == ""
    figure = growth_figure(known, "power")
    assert figure["layout"]["yaxis"]["title"]["text"] == "Electrical power, W"
    assert {"model"} <= {trace.get("meta") for trace in figure["data"]}
    silent = load_machine("aws-m5-xlarge").model_copy(update={"power": None})
    unknown = grow("two-tier", [2, 8], ["no-mesh", "linkerd"], machine=silent, **asked).report
    assert "electrical power" not in printed(growth(unknown))
    assert too_short(unknown, "power") == "Electrical power is unknown: the machine's file does not say what it draws."
    assert not [one for one in unknown.crossovers if one.metric == "power_watts"]
    assert all(not any(trace["y"]) for trace in growth_figure(unknown, "power", log_y=False)["data"])
    assert "Electrical power is unknown" in growth_page(unknown)


@pytest.mark.parametrize("engine", ["reference", "analytic"])
def test_what_needs_more_memory_but_less_cpu_draws_less_from_some_size_on(engine: str) -> None:
    """Two sizes, whose difference of watts has two signs: the crossover lies between them."""
    heavy = machine(64, power={"idle_watts_core": 0.0, "busy_watts_core": 1.0, "watts_gib": 5.0})
    report = grow(
        "two-tier", [2, 60], ["istio-sidecar", "istio-ambient"], machine=heavy, requests=1500, jobs=1, engine=engine
    ).report
    at = {(row.dataplane, row.services): row.power_watts for row in report.rows}
    gaps = [at["istio-sidecar", size] - at["istio-ambient", size] for size in (2, 60)]
    assert gaps[0] < 0 < gaps[1]
    (crossing,) = [one for one in report.crossovers if one.metric == "power_watts"]
    assert (crossing.cheaper, crossing.dearer, crossing.unit) == ("istio-ambient", "istio-sidecar", "W")
    assert 2 < crossing.low <= crossing.services <= crossing.high < 60
    assert "istio-ambient draws less power than istio-sidecar" in crossing.sentence


def test_a_sweep_has_columns_of_it(tmp_path: Path) -> None:
    assert column_types()["power_watts"] is float
    sweep(write_study(tmp_path), tmp_path / "out", jobs=1)
    frame = pd.read_parquet(tmp_path / "out")
    watts = (4.26 - 0.71) * frame["cpu_total_cores"] + 0.392 * frame["memory_mib"] / 1024
    assert list(frame["power_watts"]) == pytest.approx(list(watts))
    assert (frame["model_error_power_low_watts"] <= frame["power_watts"]).all()
    assert (frame["power_watts"] <= frame["model_error_power_high_watts"]).all()
