"""Rows, intervals, errors, verdicts and bands: what follows from measured and predicted figures."""

from __future__ import annotations

import itertools
from statistics import median

import numpy as np
import pytest

from meshsim.measure.experiment import Sample, Samples
from meshsim.results.bands import bands, factors
from meshsim.results.rows import Estimate
from meshsim.results.scoreboard import Quantity, Scoreboard, ScoreRow, ratio_summaries, read, summaries, verdicts
from meshsim.scenario.catalog import scoreboards
from meshsim.testbed.published import Claim, claims, published_rows
from meshsim.testbed.scenarios import cases
from meshsim.testbed.scoreboard import interval_of_median, ratios_to_no_mesh


def row(
    case: str = "one-sidecar.one-hop-64b",
    measured: tuple[float, float, float] = (90.0, 100.0, 110.0),
    predicted: float = 100.0,
    quantity: Quantity = "p50",
    load: float = 0.5,
    fitted: bool = False,
) -> ScoreRow:
    return ScoreRow(
        scenario=f"{case.partition('.')[2]} at {load:.0%}", dataplane=case.partition(".")[0], case=case, load=load,
        rps=1000, quantity=quantity, unit="us", rounds=6, used_for_fitting=fitted, inside_range=True,
        measured=Estimate(value=measured[1], low=measured[0], high=measured[2]),
        predicted=Estimate(value=predicted, low=predicted * 0.9, high=predicted * 1.1),
    )  # fmt: skip


def board(*rows: ScoreRow) -> Scoreboard:
    return Scoreboard(meshsim="x", host={}, costs=[], rounds=6, own_work={}, rows=list(rows), verdicts=verdicts(rows))


def test_a_prediction_within_the_measured_interval_has_no_error() -> None:
    assert row(predicted=109.9).error == 0
    assert row(predicted=111.0).error == pytest.approx(0.11)
    assert row(predicted=50.0).error == pytest.approx(0.5)


def test_summaries_leave_out_what_was_fitted() -> None:
    found = summaries(board(row(predicted=200.0, fitted=True), row(predicted=120.0), row("a.b", predicted=100.0)))
    assert [(one.quantity, one.rows, round(one.worst_error, 2)) for one in found] == [("p50", 2, 0.2)]


def test_the_worst_row_comes_first() -> None:
    errors = [r.error for r in board(row(), row(predicted=300.0), row(predicted=150.0)).worst_first()]
    assert errors == sorted(errors, reverse=True)


def test_a_verdict_is_asked_only_where_reality_separates_two_data_planes() -> None:
    near, far = row("a.x", (90, 100, 110)), row("b.x", (105, 115, 125))
    assert verdicts([near, far]) == []
    apart = row("c.x", (190, 200, 210), predicted=90.0)
    (one, other) = verdicts([near, far, apart])
    assert {one.a, other.a} == {"a", "b"}
    assert not one.right  # measured 0.5, predicted above 1
    assert verdicts([near, row("c.x", (190, 200, 210), predicted=180.0)])[0].right


def test_verdicts_compare_the_same_application_load_and_quantity_only() -> None:
    low, other = row("a.x", load=0.1), row("b.x", (190, 200, 210), load=0.5)
    assert verdicts([low, other, row("b.y", (190, 200, 210), load=0.1)]) == []


@pytest.mark.parametrize("rounds", [6, 8, 12, 20])
def test_the_interval_of_a_median_holds_the_true_one_with_95_percent(rounds: int) -> None:
    random = np.random.default_rng(7)
    draws = random.lognormal(0.0, 1.0, (4000, rounds))
    inside = 0
    for values in draws:
        found = interval_of_median(values.tolist())
        assert found.low is not None
        assert found.high is not None
        inside += found.low <= 1.0 <= found.high
    assert inside / len(draws) >= 0.94
    # No wider than it has to be: leaving out one value more at either end would break the promise, where one can.
    narrower = sum(np.sort(v)[2] <= 1.0 <= np.sort(v)[-3] for v in draws) / len(draws)
    assert rounds > 8 or narrower < 0.95


def test_few_rounds_give_their_range_and_say_so() -> None:
    found = interval_of_median([3.0, 1.0, 2.0])
    assert (found.low, found.value, found.high) == (1.0, 2.0, 3.0)
    assert "3 rounds" in found.note


def test_a_band_holds_nine_new_ratios_in_ten() -> None:
    random = np.random.default_rng(3)
    inside = []
    for _ in range(400):
        ratios = random.lognormal(0.1, 0.4, 41)
        low, high = factors(ratios[:40].tolist())
        inside.append(low <= ratios[40] <= high)
    assert 0.86 <= np.mean(inside) <= 0.94


def test_a_band_too_narrow_would_be_noticed_by_leaving_scenarios_out() -> None:
    random = np.random.default_rng(5)
    # Loads of one scenario err alike: the check leaves out whole scenarios, so their number counts, not that of rows.
    rows = []
    for number in range(24):
        bias = random.lognormal(0.0, 0.3)
        rows += [row(f"plane-{number}.x", predicted=100 * bias, load=load) for load in (0.1, 0.5, 0.8)]
    found = bands(board(*rows))
    assert [band.load for band in found] == [0.1, 0.5, 0.8]
    for band in found:
        assert band.scenarios == band.rows == 24
        assert 0.8 <= band.coverage < 1.0
        assert band.low < 1 < band.high


def test_a_busier_mesh_has_a_wider_band() -> None:
    random = np.random.default_rng(9)
    rows = [
        row(f"plane-{n}.x", predicted=100 * random.lognormal(0.0, spread), load=load)
        for n in range(20)
        for load, spread in ((0.1, 0.1), (0.8, 0.8))
    ]
    low, high = bands(board(*rows))
    assert high.high / high.low > 2 * low.high / low.low
    # What does not depend on the load has one band over all of it.
    rows = [row(f"plane-{n}.x", load=load, quantity="memory") for n in range(20) for load in (0.1, 0.8)]
    (band,) = bands(board(*rows))
    assert (band.load, band.rows) == (None, 40)


def test_too_few_scenarios_give_no_band() -> None:
    assert bands(board(*(row(f"plane-{n}.x", load=load) for n, load in itertools.product(range(3), (0.1, 0.5))))) == []


def sample(case: str, number: int, p50_us: float, foreign: float = 0.0) -> Sample:
    values = {"latency_p50_ns": p50_us * 1000, "latency_p99_ns": p50_us * 5000, "observed": 1000.0,
              "cpu_ns.application": 50_000.0, "cpu_ns.proxy": 0.0, "requests_per_second": 100.0}  # fmt: skip
    return Sample(f"testbed.{case}", number, {"load": 0.5, "rps": 100.0}, values, foreign_cores=foreign)


def test_ratios_to_no_mesh_are_taken_within_rounds() -> None:
    names = ("no-mesh.one-hop-64b", "two-sidecars.one-hop-64b")
    # The host is twice as slow in each round: absolute figures move, the ratio of 3 does not; one round is disturbed.
    taken = [
        sample(name, r, 100.0 * 2**r * factor) for r in range(3) for name, factor in zip(names, (1, 3), strict=True)
    ]
    taken += [sample(names[0], 3, 100.0), sample(names[1], 3, 9000.0, foreign=1.0), sample(names[1], 4, 1.0)]
    rows = [row(names[0], predicted=100.0), row(names[1], predicted=250.0)]
    (ratio,) = ratios_to_no_mesh(cases(names), Samples(taken), rows)
    assert (ratio.measured.value, ratio.measured.low, ratio.measured.high) == (3.0, 3.0, 3.0)
    assert (ratio.case, ratio.rounds) == (names[1], 3)
    assert ratio.predicted.value == 2.5
    assert ratio.error == pytest.approx(1 / 6, rel=0.01)
    (summary,) = ratio_summaries(board(*rows).model_copy(update={"ratios": [ratio]}))
    assert (summary.quantity, summary.rows) == ("p50", 1)


def test_published_ratios_are_predicted_with_the_same_requests_on_both_sides() -> None:
    (one, same) = published_rows(["epyc-2-vcpu", "published"], [claim(), claim(over="istio-sidecar")])
    assert same.predicted.value == 1.0
    assert one.predicted.value is not None
    assert 1.5 < one.predicted.value < 20
    assert (one.measured.low, one.measured.high) == (2.0, 8.0)
    assert one.measured.value == 4.0
    cheaper = claim(what_if={"proxy.envoy.*": 0.5})
    (half,) = published_rows(["epyc-2-vcpu", "published"], [cheaper])
    assert half.predicted.value is not None
    assert half.predicted.value < one.predicted.value


def test_a_published_ratio_that_cannot_be_simulated_says_why() -> None:
    (row_,) = published_rows(["epyc-2-vcpu", "published"], [claim(rps=1e6)])
    assert row_.predicted.value is None
    assert row_.predicted.note


def claim(**fields: object) -> Claim:
    given = {"name": "made-up", "quantity": "p50", "dataplane": "istio-sidecar", "over": "no-mesh", "low": 2.0, "high": 8.0,
             "rps": 300, "setting": "made up", "source": "a test"}  # fmt: skip
    return Claim.model_validate({**given, **fields})


def test_every_shipped_claim_names_its_source_and_is_in_the_scoreboard() -> None:
    names = {one.name for one in claims()}
    assert len(names) == len(claims())
    assert len(scoreboards()) >= 2
    for path in scoreboards():
        assert {one.name for one in read(path).published} == names
    with pytest.raises(ValueError, match="at least low"):
        claim(low=9.0)


def test_the_median_is_the_value() -> None:
    values = [5.0, 1.0, 9.0, 7.0, 3.0, 2.0, 8.0]
    assert interval_of_median(values).value == median(values)
