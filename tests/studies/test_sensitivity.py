"""Which costs matter, on worlds where that can be told beforehand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from worlds import NO_MESH, application, call, compute, costs, machine, service

from meshsim.figures import as_figure, tornado_figure
from meshsim.results.rows import SensitivityReport
from meshsim.scenario.base import MeshsimError
from meshsim.studies.sensitivity import draw_factors, log_band, sensitivity, spread, with_factors

WORLD = application(service("a", [compute(50, "constant"), call("b")]), service("b", [compute(50, "constant")]))
BOOK = costs(kernel__tcp__send={"cpu_ns": 200_000}, kernel__tcp__receive={"cpu_ns": 20_000})
"""Both with a standard error of 0.3: what is sent matters ten times as much as what is received."""


def asked(**options: object) -> SensitivityReport:
    rest = {"of": "p50", "requests": 400, "costs": BOOK, "machine": machine(2), "nodes": 1, "jobs": 1, "draws": 0}
    return sensitivity(WORLD, [NO_MESH], 50, **{**rest, **options})


def test_the_tornado_ranks_by_what_a_cost_moves_and_goes_the_right_way() -> None:
    report = asked(top=3)
    order = [one.input for one in report.influences]
    assert order[:2] == ["kernel.tcp.send", "kernel.tcp.receive"]
    assert "load.rps" in order
    send, receive = report.influences[:2]
    assert send.at_low_us < send.value_us < send.at_high_us
    assert 6 < send.swing_us / receive.swing_us < 14
    factor = math.exp(1.959964 * spread(BOOK["kernel.tcp.send"]))
    assert (send.factor_low, send.factor_high) == pytest.approx((1 / factor, factor), rel=1e-3)


def test_the_tornado_is_drawn_from_the_value_as_it_is_to_either_end() -> None:
    report = asked(top=2)
    figure = tornado_figure(report)
    low, high = figure["data"]
    first = report.influences[0]
    scale = 1e-3 if first.value_us >= 1000 else 1.0
    assert low["base"] == pytest.approx(first.value_us * scale)
    assert low["base"] + low["x"][0] == pytest.approx(first.at_low_us * scale)
    assert high["base"] + high["x"][0] == pytest.approx(first.at_high_us * scale)
    assert low["x"][0] < 0 < high["x"][0]
    as_figure(figure)
    with pytest.raises(MeshsimError, match="dataplane: 'linkerd' received"):
        tornado_figure(report, "linkerd")


def test_drawn_books_leave_the_band_that_the_errors_of_the_costs_imply() -> None:
    report = asked(draws=40, top=1)
    band = {one.metric: one for one in report.bands}["p50"]
    # Nearly all of the median is sent messages, whose error is 0.3.
    half = math.log(band.high / band.low) / 2
    assert 0.5 * 1.96 * spread(BOOK["kernel.tcp.send"]) < half < 1.4 * 1.96 * spread(BOOK["kernel.tcp.send"])
    assert band.low < band.value < band.high
    assert asked(draws=40, top=1) == report


def test_data_planes_share_the_draws_of_what_they_share() -> None:
    slower = NO_MESH.model_copy(update={"name": "twin"})
    report = asked(draws=10, top=1)
    both = sensitivity(WORLD, [NO_MESH, slower], 50, of="p50", requests=400, costs=BOOK, machine=machine(2), nodes=1,
                       jobs=1, draws=10, top=1)  # fmt: skip
    assert {chance.probability_a_lower for chance in both.chances} == {0.5}  # twins are equal in every draw
    assert [b for b in both.bands if b.dataplane == NO_MESH.name] == report.bands


def test_sobol_indices_name_the_cost_that_explains_the_variance() -> None:
    pytest.importorskip("SALib", reason="pip install 'meshsim[sensitivity]'")
    report = asked(top=2, sobol=16, requests=200)
    indices = {one.operation: one for one in report.sobol}
    assert indices["kernel.tcp.send"].total > 0.7
    assert indices["kernel.tcp.receive"].total < 0.2


def test_factors_have_the_relative_spread_that_the_book_says() -> None:
    drawn = np.array([one["kernel.tcp.send"] for one in draw_factors(BOOK, 4000, 1)])
    assert np.median(drawn) == pytest.approx(1, rel=0.03)
    assert drawn.std() / drawn.mean() == pytest.approx(0.3, rel=0.06)
    changed = with_factors(BOOK, {"kernel.tcp.send": 2.0})
    assert changed["kernel.tcp.send"].cpu_ns == 400_000
    assert changed["kernel.tcp.receive"].cpu_ns == 20_000
    assert log_band([1.0] * 9) == (None, None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"draws": 5}, "draws: 5 received"),
        ({"sobol": 12}, "must be a power of two"),
        ({"top": 0}, "top: 0 received"),
        ({"of": "mean"}, "of: 'mean' received"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(MeshsimError, match=message):
        asked(**options)
