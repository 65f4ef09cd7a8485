"""Charts of one request: each step once, and sums to the nanosecond."""

from __future__ import annotations

import pytest

from meshsim.app.pages.anatomy import arithmetic, headline, listing, lone
from meshsim.figures import as_figure
from meshsim.figures.journey import (
    difference_figure,
    differences,
    flow_figure,
    icicle_figure,
    path_figure,
    waterfall_figure,
)

ENTRY = "client -> frontend/home"
PLANES = ("istio-sidecar", "istio-ambient", "cilium", "linkerd")


@pytest.fixture(scope="module")
def base():
    return lone("online-boutique", "no-mesh", ENTRY)


@pytest.mark.parametrize("plane", PLANES)
def test_steps_follow_each_other_without_gap(plane: str) -> None:
    request = lone("online-boutique", plane, ENTRY)
    now = request.steps[0].start_ns
    for step in request.steps:
        assert step.start_ns == now
        assert step.ns > 0
        now += step.ns
    assert request.latency_ns == request.hops[0].end_ns - request.hops[0].start_ns


@pytest.mark.parametrize("plane", PLANES)
def test_the_difference_adds_up_to_the_difference_of_latencies(plane: str, base) -> None:
    request = lone("online-boutique", plane, ENTRY)
    rows = differences(request, base)
    assert sum(us for _, _, us in rows) == pytest.approx((request.latency_ns - base.latency_ns) / 1000)
    assert sum(us for _, _, us in differences(base, request)) == pytest.approx(-sum(us for _, _, us in rows))
    assert differences(request, request) == []
    as_figure(difference_figure(request, base))


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_icicle_is_a_tree_whose_parts_fit_into_their_whole(base, theme) -> None:
    request = lone("online-boutique", "istio-sidecar", ENTRY)
    figure = icicle_figure(request, theme=theme)
    as_figure(figure)
    (trace,) = figure["data"]
    size = dict(zip(trace["ids"], trace["values"], strict=True))
    inside = dict.fromkeys(size, 0.0)
    for name, parent, value in zip(trace["ids"], trace["parents"], trace["values"], strict=True):
        if parent:
            inside[parent] += value
        else:
            assert value == pytest.approx(request.latency_ns / 1000)
            assert name.startswith("1 · client")
    for name, whole in size.items():
        assert inside[name] == pytest.approx(whole) or inside[name] == 0.0
    coloured = icicle_figure(request, base=base, theme=theme)["data"][0]
    assert coloured["marker"]["cmax"] == -coloured["marker"]["cmin"] > 0
    as_figure(icicle_figure(request, base=base))


@pytest.mark.parametrize("plane", PLANES)
def test_what_flows_in_flows_out(plane: str) -> None:
    request = lone("online-boutique", plane, ENTRY)
    figure = flow_figure(request)
    as_figure(figure)
    (sankey,) = figure["data"]
    link = sankey["link"]
    names = [label.split(", ")[0] for label in sankey["node"]["label"]]
    for number, name in enumerate(names):
        into = sum(us for target, us in zip(link["target"], link["value"], strict=True) if target == number)
        out = sum(us for source, us in zip(link["source"], link["value"], strict=True) if source == number)
        if into and out:
            assert into == pytest.approx(out), name
        elif number == 0:
            assert out == pytest.approx(request.latency_ns / 1000)
    by_kernel = sum(us for target, us in zip(link["target"], link["value"], strict=True) if names[target] == "kernel")
    table = arithmetic(request.steps)
    assert by_kernel >= table.loc[table["who"] == "kernel", "together, µs"].sum()


def test_the_waterfall_has_every_step_of_the_way_and_ends_at_its_length() -> None:
    request = lone("online-boutique", "istio-sidecar", ENTRY)
    figure = waterfall_figure(request, 1, widest_us=900.0)
    as_figure(figure)
    bars = [(base, base + us) for trace in figure["data"]
            for base, us in zip(trace["base"], trace["x"], strict=True)]  # fmt: skip
    assert len(bars) == len(request.on_the_way(1))
    assert max(end for _, end in bars) == pytest.approx(sum(step.ns for step in request.on_the_way(1)) / 1000)
    assert figure["layout"]["xaxis"]["range"][1] >= 900.0
    assert "µs" in figure["layout"]["xaxis"]["title"]["text"]


def test_the_path_has_a_point_a_step_in_the_lane_of_its_space() -> None:
    request = lone("online-boutique", "istio-sidecar", ENTRY)
    steps = request.of_hop(1)
    for current in (1, len(steps)):
        figure = path_figure(request, 1, current)
        as_figure(figure)
        points = figure["data"][-1]
        lane = {"user": 2, "kernel": 1, "wire": 0}
        assert [round(y) for y in points["y"]] == [lane[step.space] for step in steps]
        assert points["marker"]["size"].count(20) == 1
    columns = figure["layout"]["xaxis"]["ticktext"]
    assert columns[0] == "frontend"
    assert columns[1] == "sidecar<br>of frontend"


def test_tables_of_a_request() -> None:
    request = lone("online-boutique", "istio-sidecar", ENTRY)
    table = arithmetic(request.steps)
    assert table["together, µs"].iloc[:-1].sum() == pytest.approx(table["together, µs"].iloc[-1])
    assert table["together, µs"].iloc[-1] == pytest.approx(request.latency_ns / 1000)
    assert len(listing(request.steps)) == len(request.steps)
    assert set(listing(request.steps)["source"]) <= {"measured", "published", "derived", "assumed", "application"}


def test_the_headline_names_both_times_and_their_difference(base) -> None:
    request = lone("online-boutique", "istio-sidecar", ENTRY)
    said = headline(request, base)
    assert "over istio-sidecar" in said
    assert "without a mesh" in said
    assert "more, above all" in said
    assert headline(base, base).endswith("without a mesh.")
