"""Two scenarios on the same random numbers."""

from __future__ import annotations

import pytest

from meshsim.figures.pair import pair_alt, pair_figure, pair_sentence
from meshsim.plan.lower import OverloadedError
from meshsim.scenario.base import MeshsimError
from meshsim.scenario.scenario import Load, Run, Scenario
from meshsim.studies.pair import PairReport, pair
from meshsim.studies.setup import Prepared, prepare


def scenario(dataplane: str, rps: float = 200, seed: int = 1) -> Prepared:
    run = Run(requests=1000, seed=seed)
    return prepare(Scenario(application="two-tier", dataplane=dataplane, load=Load(rps=rps), run=run))


@pytest.fixture(scope="module")
def found() -> PairReport:
    report = pair(scenario("no-mesh"), scenario("istio-sidecar"))
    assert report is not None
    return report


def test_the_difference_is_b_less_a(found: PairReport) -> None:
    gap = found.difference.latency_us.p50
    assert found.a.latency_us.p50.value is not None
    assert found.b.latency_us.p50.value is not None
    assert gap.value == pytest.approx(found.b.latency_us.p50.value - found.a.latency_us.p50.value)
    assert gap.low is not None
    assert gap.low > 0
    assert found.difference.usd_month == pytest.approx(found.b.usd_month - found.a.usd_month)
    assert found.a.power_watts is not None
    assert found.b.power_watts is not None
    assert found.difference.power_watts == pytest.approx(found.b.power_watts - found.a.power_watts)


def test_a_scenario_against_itself_has_no_difference() -> None:
    same = pair(scenario("cilium"), scenario("cilium"))
    assert same is not None
    assert same.difference.latency_us.p50.value == 0
    assert same.difference.latency_us.p50.low == same.difference.latency_us.p50.high == 0
    assert "cannot be told apart" in pair_sentence(same.a, same.b, same.difference)


def test_other_seeds_are_no_pair() -> None:
    with pytest.raises(MeshsimError, match=r"run\.seed: 1 of A and 2 of B received"):
        pair(scenario("no-mesh"), scenario("linkerd", seed=2))


def test_an_overloaded_side_is_named() -> None:
    with pytest.raises(OverloadedError, match="B, no-mesh with 2 services"):
        pair(scenario("no-mesh"), scenario("no-mesh", rps=1e7))


def test_stopped_is_none() -> None:
    assert pair(scenario("no-mesh"), scenario("linkerd"), should_stop=lambda: True) is None


def test_figure_and_words(found: PairReport) -> None:
    import plotly.graph_objects as go

    figure = pair_figure(found.a, found.b, found.difference)
    go.Figure(figure)
    gap = next(trace for trace in figure["data"] if trace["name"] == "B less A")
    assert gap["y"] == ["p50", "p90", "p99"]
    said = pair_sentence(found.a, found.b, found.difference)
    assert " higher (95 %: " in said
    assert said in pair_alt(found.a, found.b, found.difference)
