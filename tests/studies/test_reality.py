"""What the scoreboard says of results: bands, and what lies beyond that which was measured."""

from __future__ import annotations

from dataclasses import replace

import pytest
from click.testing import CliRunner

import meshsim as ms
from meshsim.cli import cli
from meshsim.costs.books import Costs
from meshsim.figures.numbers import memory, span
from meshsim.formats.load import load_application
from meshsim.formats.page import comparison_page
from meshsim.results.bands import bands
from meshsim.results.rows import Reality, Row
from meshsim.results.scoreboard import read
from meshsim.scenario.catalog import load_costs, load_dataplane, load_machine, models_root
from meshsim.scenario.load import Load
from meshsim.scenario.scenario import Scenario
from meshsim.studies.point import estimated_point
from meshsim.studies.reality import scoreboard
from meshsim.studies.setup import Prepared

VALIDATION = models_root() / "validation"
BOARD = read(VALIDATION / "epyc-2-vcpu.json")


def measured(rps: float = 4000.0, books: Costs | None = None, plane: str = "one-sidecar") -> Prepared:
    """A scenario of the scoreboard, as anybody would simulate it."""
    app, _ = load_application(VALIDATION / "applications" / "one-hop-64b.yaml")
    app = app.model_copy(update={"entries": [entry.model_copy(update={"protocol": "http1"}) for entry in app.entries]})
    here = VALIDATION / "scenarios"
    scenario = Scenario(application=app.name, dataplane=plane, load=Load(rps=rps))
    machine = load_machine(str(VALIDATION / "machine.yaml"))
    plane_file = load_dataplane(str(VALIDATION / "dataplanes" / f"{plane}.yaml"), here)
    return Prepared(scenario, app, plane_file, machine, books or load_costs(["epyc-2-vcpu", "published"]))


def reality(row: Row) -> Reality:
    assert row.reality is not None
    return row.reality


def test_bands_are_those_of_the_next_higher_load_that_was_measured() -> None:
    known = {(band.quantity, band.load): band for band in bands(BOARD)}
    for rps, load in ((250.0, 0.1), (1900.0, 0.5), (3500.0, 0.8)):
        row = estimated_point(measured(rps)).row
        assert load - 0.4 < row.utilisation <= load
        (band,) = [one for one in reality(row).bands if one.quantity == "latency_us_p50"]
        mine = known["p50", load]
        assert (band.load, band.factor_low, band.factor_high) == (load, mine.low, mine.high)
        p50 = row.latency_us.p50.value
        assert p50 is not None
        assert band.low == pytest.approx(p50 * mine.low)
        assert band.high == pytest.approx(p50 * mine.high)


def test_of_memory_only_what_proxies_hold_is_uncertain() -> None:
    row = estimated_point(measured()).row
    (band,) = [one for one in reality(row).bands if one.quantity == "memory_mib"]
    assert 0 < band.part < 1
    assert band.low is not None
    assert band.high is not None
    assert band.high - band.low == pytest.approx(row.memory_mib * band.part * (band.factor_high - band.factor_low))
    bare = estimated_point(measured(plane="no-mesh")).row
    assert "memory_mib" not in {one.quantity for one in reality(bare).bands}


def test_what_was_measured_is_inside_and_what_was_not_says_in_which_direction() -> None:
    bare = measured(6000.0, plane="no-mesh")
    assert reality(estimated_point(bare).row).outside == ["1 of 5 costs were not measured: kernel.wire.cross-node"]
    # Were that one measured too, nothing would be left.
    host, rest = bare.costs.books
    entries = [*host.entries, bare.costs["kernel.wire.cross-node"].model_copy(update={"source": "measured"})]
    known = replace(bare, costs=Costs([host.model_copy(update={"entries": entries}), rest]))
    assert reality(estimated_point(known).row).inside
    assert not reality(estimated_point(bare).row).inside
    with_sidecar = ms.compare("online-boutique", ["istio-sidecar"], 100, engine="analytic").report.rows[0]
    told = reality(with_sidecar)
    assert not told.inside
    said = "; ".join(told.outside)
    assert "protocols grpc; measured: http1, http2 and tcp" in said
    assert "services; measured up to 4: upwards" in said
    assert "nodes with a network between them" in said


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"load": Load(rps=50.0)}, "measured from 10%: downwards"),
        ({"load": Load(rps=6000.0, burst=4)}, "arrivals other than Poisson: not measured"),
        ({"load": Load(rps=47000.0, overload="simulate")}, "measured up to 80%: upwards"),
    ],
)
def test_each_direction_is_told(change: dict[str, Load], words: str) -> None:
    bare = measured(6000.0, plane="no-mesh")
    row = estimated_point(replace(bare, scenario=bare.scenario.model_copy(update=change))).row
    assert words in "; ".join(reality(row).outside)


def test_other_costs_are_an_extrapolation() -> None:
    row = estimated_point(measured(books=load_costs(["published"]))).row
    assert any("costs are those of published" in why for why in reality(row).outside)
    assert any("costs were not measured" in why for why in reality(row).outside)
    found = scoreboard("published")
    assert found is not None
    assert found[0] == "epyc-2-vcpu"


def test_replications_carry_the_bands_around_what_they_pool() -> None:
    options = {"requests": 2500, "jobs": 1, "engine": "reference"}
    one = ms.compare("two-tier", ["no-mesh"], 300, **options)  # type: ignore[arg-type]
    several = ms.compare("two-tier", ["no-mesh"], 300, precision=0.001, of="p50", budget=2, **options)  # type: ignore[arg-type]
    for report in (one.report, several.report):
        (row,) = report.rows
        (band,) = [band for band in reality(row).bands if band.quantity == "latency_us_p50"]
        assert row.latency_us.p50.value is not None
        assert band.low == pytest.approx(row.latency_us.p50.value * band.factor_low)
    assert several.report.replications == 2


def test_tables_frames_and_pages_show_it() -> None:
    found = ms.compare("two-tier", ["no-mesh", "istio-sidecar"], 300, engine="analytic")
    frame = found.table()
    row = frame[(frame.metric == "reality.latency_us_p50") & (frame.dataplane == "istio-sidecar")].iloc[0]
    assert row.low < row.high
    assert row.unit == "us"
    hover = [text for trace in found.plot().data for text in (trace.text or [])]
    assert any("real meshes, 90 %" in text for text in hover)
    assert "p50 in reality (90 %)" in found._repr_html_()
    assert "in reality, 90 %" in comparison_page(found.report)
    shown = CliRunner().invoke(cli, ["compare", "two-tier", "--dataplanes", "no-mesh", "--engine", "analytic"]).output
    assert "Where real meshes lie with a chance of 90 %" in shown
    assert "Extrapolated" in shown


def test_solutions_say_where_the_latency_at_the_answer_lies_in_reality() -> None:
    options = {"requests": 2500, "jobs": 1, "engine": "reference"}
    report = ms.solve("two-tier", "rps", 2.0, ["istio-sidecar"], 300, of="p50", **options)  # type: ignore[arg-type]
    (found,) = report.solutions
    assert found.reality is not None
    assert found.reality.low is not None
    assert found.latency_us is not None
    assert found.reality.quantity == "latency_us_p50"
    assert found.latency_us.value is not None
    assert found.reality.low == pytest.approx(found.latency_us.value * found.reality.factor_low)
    assert any("not measured" in why or "measured" in why for why in found.outside)
    shown = CliRunner().invoke(
        cli, ["solve", "two-tier", "--find", "rps", "--target", "2ms", "--of", "p90", "--dataplanes", "no-mesh",
              "--requests", "2500", "--engine", "reference"],
    )  # fmt: skip
    assert "in reality, 90 %" in shown.output
    assert shown.exit_code == 0


def test_propagated_bands_and_growth_curves_show_it() -> None:
    options = {"requests": 2500, "jobs": 1, "engine": "reference"}
    report = ms.sensitivity("two-tier", ["no-mesh"], 300, of="p50", draws=12, top=1, **options)  # type: ignore[arg-type]
    by_name = {band.metric: band for band in report.bands}
    assert by_name["p50"].reality is not None
    assert by_name["cpu_cores"].reality is not None
    assert by_name["usd_month"].reality is None  # nobody measures money
    grown = ms.grow("two-tier", [4, 8], ["no-mesh"], 300, engine="analytic")
    for metric, known in (("p50", True), ("cpu", True), ("usd_month", False)):
        hover = [text for trace in grown.plot(metric).data for text in (trace.text or [])]
        assert any("real meshes, 90 %" in text for text in hover) is known


def test_a_band_narrower_than_its_digits_is_one_figure() -> None:
    assert span(158.2 * 1024, 158.4 * 1024, memory) == "158 GiB"
    assert span(158.2 * 1024, 159.6 * 1024, memory) == "158 to 160 GiB"
