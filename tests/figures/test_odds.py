"""The chance against the size, and fifty dots."""

from __future__ import annotations

import plotly.graph_objects as go
import pytest

from meshsim.figures import numbers
from meshsim.figures.odds import DOTS, dots_figure, dots_of, odds_figure, odds_sentence
from meshsim.studies.spending import Odds

KNOWN = [
    Odds(11, 0.2, tuple(float(x) for x in range(-200, 800))),
    Odds(100, 0.97, tuple(float(x) for x in range(-970, 30))),
]


def test_the_chance_by_number_of_services() -> None:
    figure = odds_figure("linkerd", "istio-sidecar", KNOWN, "usd_month", here=11)
    go.Figure(figure)  # plotly takes it
    (line,) = [trace for trace in figure["data"] if trace["meta"] == "odds"]
    assert (line["x"], line["y"]) == ([11, 100], [20.0, 97.0])
    (here,) = [trace for trace in figure["data"] if trace["meta"] == "here"]
    assert here["x"] == [11, 11]
    assert figure["layout"]["xaxis"]["tickvals"] == [11.0, 100.0]
    assert not [trace for trace in odds_figure("a", "b", KNOWN, "usd_month")["data"] if trace["meta"] == "here"]


def test_fifty_dots_as_many_left_of_zero_as_worlds_in_which_it_is_cheaper() -> None:
    figure = dots_figure("linkerd", "istio-sidecar", KNOWN[0], "usd_month")
    go.Figure(figure)
    less, rest = figure["data"]
    assert (len(less["x"]), len(rest["x"])) == (10, 40)
    assert max(less["x"]) <= 90  # the middle of a stack may lie a little beyond, by half its width
    points = [*zip(less["x"], less["y"], strict=True), *zip(rest["x"], rest["y"], strict=True)]
    assert len(set(points)) == DOTS  # none hides another
    assert dots_of(KNOWN[0])[0] == -190.0
    assert len(dots_of(Odds(1, 0.5, (0.0,)))) == DOTS


def test_a_difference_that_no_cost_moves_is_one_stack() -> None:
    fixed = Odds(11, 0.0, (12.5,) * 100)
    figure = dots_figure("a", "b", fixed, "usd_month")
    go.Figure(figure)
    assert {x for trace in figure["data"] for x in trace["x"]} == {12.5}
    said = odds_sentence("a", "b", fixed, "usd_month")
    assert (
        said
        == "With 11 services a needs $12.50 more money than b, whatever the errors of the costs: they do not move it."
    )
    same = odds_sentence("a", "b", Odds(11, 0.5, (0.0,) * 100), "memory_mib")
    assert (
        same == "With 11 services a and b need the same memory, whatever the errors of the costs: reservations decide."
    )


def test_the_sentence_counts_worlds_and_says_what_is_settled() -> None:
    first, second = (odds_sentence("a", "b", one, "usd_month") for one in KNOWN)
    assert first == (
        "With 11 services a needs less money than b in 10 of 50 worlds that the errors of the costs allow "
        "(difference, 95 %: -$175 to $775): not settled at 95 %."
    )
    assert second.endswith(": settled at 95 %.")


def test_dots_in_another_currency() -> None:
    with numbers.in_currency(numbers.Currency("EUR", 0.5)):
        figure = dots_figure("a", "b", KNOWN[0], "usd_month")
        assert "EUR a month" in figure["layout"]["xaxis"]["title"]["text"]
        assert figure["data"][1]["text"][-1].startswith("€395")
    assert numbers.money(790) == "$790"


@pytest.mark.parametrize(("code", "shown"), [("USD", "$5.00"), ("GBP", "£5.00"), ("CHF", "CHF 5.00")])
def test_money_in_a_currency(code: str, shown: str) -> None:
    with numbers.in_currency(numbers.Currency(code)):
        assert numbers.money(5) == shown
    with numbers.in_currency(numbers.Currency("JPY", 150.0)):
        assert numbers.money(5) == "¥750"
