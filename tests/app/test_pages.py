"""Every page headless: it opens without an error; Explore over a pairwise grid of its widgets; links and answers."""

from __future__ import annotations

import json
from itertools import combinations, product
from typing import Any

import pytest
from headless import THERE, alone, charts, explore, html
from pairwise import pairwise
from streamlit.testing.v1 import AppTest

from meshsim.app import instant
from meshsim.app.answers import ANSWERS, Question
from meshsim.app.controls import KEYS, RATES, STARTS, Setting, all_sizes, defaults, own_size
from meshsim.app.launch import command
from meshsim.figures import METRICS
from meshsim.scenario.base import MeshsimError
from meshsim.studies.defaults import DATAPLANES
from meshsim.studies.version import model_version

MORE = {"requests", "seed"}
HERE = Setting("two-tier", 2, 2, 500, tuple(DATAPLANES), 400)


def warnings(app: AppTest) -> list[str]:
    return [warning.value for warning in app.warning]


@pytest.mark.parametrize("name", THERE)
def test_every_page_opens_without_an_error(name: str) -> None:
    app = alone(name).run()
    assert not app.exception
    assert not app.error


def test_explore_opens_on_an_answer_and_not_on_a_form() -> None:
    app = explore().run()
    assert not app.exception
    assert "two-tier with 2 services at 500 requests a second: " in html(app)
    assert "analytic" in html(app)
    assert "a month" in html(app)
    (chart,) = charts(app)
    assert chart.alt.startswith("Line chart of ")
    spec = json.loads(chart.spec)
    assert {trace["legendgroup"] for trace in spec["data"] if "legendgroup" in trace} == set(DATAPLANES)
    (here,) = [trace for trace in spec["data"] if trace.get("meta") == "here"]
    assert here["x"] == [2, 2]


def test_there_are_four_controls_and_the_rest_is_behind_more() -> None:
    app = explore().run()
    widgets = [*app.selectbox, *app.select_slider, *app.get("button_group"), *app.toggle]
    assert {"app", "services", "rps", "planes"} == {one.key for one in widgets if one.key in KEYS} - MORE
    assert {"requests", "seed"} == {one.key for one in widgets if one.key in MORE}


def test_overload_is_said_with_the_station_and_the_rate_where_it_saturates() -> None:
    app = explore(app="bookinfo", services="4", rps="10000").run()
    assert not app.exception
    assert any("saturates at about" in said for said in warnings(app))


def test_without_a_data_plane_there_is_a_hint() -> None:
    app = explore().run()
    app.session_state["planes"] = []
    app.run()
    assert not app.exception
    assert [info.value for info in app.info] == ["Choose at least one data plane above."]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"rps": "77777"}, "rps = 77777, which is no choice here; showing 500."),
        ({"services": "many"}, "services = many, which is no choice here; showing 11."),
        ({"planes": "istio-sidecars"}, "planes = istio-sidecars, which is no choice here"),
        ({"app": "../../etc/passwd"}, "app = ../../etc/passwd, which is no choice here"),
        ({"seed": "1e9"}, "seed = 1e9, which is no choice here; showing 1."),
        ({"mv": "0.0.1+00000000"}, "The link was made with model 0.0.1+00000000; this is "),
    ],
)
@pytest.mark.parametrize("name", ["explore", "compare", "run", "report"])
def test_a_bad_link_warns_and_is_never_a_traceback(name: str, query: dict[str, str], said: str) -> None:
    app = alone(name, **query).run()
    assert not app.exception
    assert any(said in warning for warning in warnings(app)), warnings(app)


def test_a_good_link_warns_of_nothing() -> None:
    app = explore(mv=model_version(), planes="linkerd", rps="200", seed="3").run()
    assert warnings(app) == []
    assert app.select_slider(key="seed").value == 3


def test_start_points_and_reset() -> None:
    app = explore().run()
    for number, (application, services, rps) in enumerate(STARTS.values()):
        app.button(key=f"start-{number}").click()
        if services is None or services <= 120:  # the largest takes seconds: its values are enough
            app.run()
            assert not app.exception
            assert app.selectbox(key="app").value == application
            assert app.select_slider(key="services").value == (services or own_size(application))
            assert app.select_slider(key="rps").value == rps
        assert services is None or services in all_sizes(own_size(application))
        assert rps in RATES
    app.button(key="reset").click().run()
    assert {key: app.session_state[key] for key in defaults()} == defaults()
    assert set(KEYS) <= set(defaults())


def test_undo_goes_back_change_by_change() -> None:
    app = explore().run()
    assert app.button(key="undo").disabled
    app.select_slider(key="rps").set_value(1000).run()
    app.select_slider(key="services").set_value(10).run()
    app.button(key="undo").click().run()
    assert (app.select_slider(key="rps").value, app.select_slider(key="services").value) == (1000, 2)
    app.button(key="undo").click().run()
    assert (app.select_slider(key="rps").value, app.select_slider(key="services").value) == (500, 2)
    assert app.button(key="undo").disabled


def test_another_application_comes_at_its_own_size() -> None:
    app = explore().run()
    app.selectbox(key="app").set_value("bookinfo").run()
    assert app.select_slider(key="services").value == own_size("bookinfo")


def test_the_simulation_replaces_the_approximation_and_says_how_sure_it_is() -> None:
    setting = HERE.at(dataplanes=("no-mesh", "linkerd"))
    work = ANSWERS.look_in(Question(setting), "a test")
    assert work.wait(120)
    assert work.error is None
    app = explore(planes="no-mesh").run()
    app.session_state["planes"] = ["no-mesh", "linkerd"]
    app.run()
    said = html(app)
    assert "Simulated: 400 requests over each data plane, seed 1" in said
    assert "(95 %: " in said
    (chart,) = charts(app)
    kinds = {trace.get("meta") for trace in json.loads(chart.spec)["data"]}
    assert {"sampling", "analytic", "here"} <= kinds


def test_the_chart_is_there_as_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    from meshsim.app.tables import growth_table

    monkeypatch.setattr(instant, "CURVE", (10, 30))  # the larger sizes take seconds and show nothing else
    setting = HERE.at(dataplanes=("no-mesh", "linkerd"))
    report, complete = instant.growth(setting)
    assert complete
    table = growth_table(report, None, "p50")
    assert list(table.columns) == ["no-mesh", "linkerd"]
    assert list(table.index) == instant.sizes(setting)
    assert all(cell.endswith((" µs", " ms")) for cell in table.to_numpy().ravel())
    app = explore(planes="linkerd").run()
    app.session_state["growth-table"] = True
    app.run()
    assert not app.exception
    assert len(app.dataframe) == 1
    app = alone("report", planes="linkerd").run()
    app.session_state["report-table"] = True
    app.run()
    assert not app.exception
    (shown,) = app.dataframe
    assert shown.value.loc["linkerd", "CPU, cores"] > 0
    assert shown.value.loc["linkerd", "p50"].endswith((" µs", " ms"))


def test_the_chart_switches_to_watts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instant, "CURVE", (10, 30))
    app = explore(planes="linkerd").run()
    app.selectbox(key="metric").set_value("Power").run()
    assert not app.exception
    (chart,) = charts(app)
    drawn = json.loads(chart.spec)
    assert drawn["layout"]["yaxis"]["title"]["text"] == "Electrical power, W"
    assert "Idle nodes and cooling are not in it." in html(app)
    app.session_state["growth-table"] = True
    app.run()
    (table,) = app.dataframe
    assert all(cell.endswith(" W") for cell in table.value.to_numpy().ravel())


def test_the_camera_of_every_chart_saves_what_the_visitor_chose() -> None:
    def saved(app: AppTest) -> dict[str, Any]:
        config: dict[str, Any] = json.loads(charts(app)[0].config)["toImageButtonOptions"]
        return config

    app = explore(planes="linkerd").run()
    assert saved(app) == {"format": "png", "filename": "meshsim-growth", "scale": 2}
    app.session_state["growth-table"] = True
    app.run()
    app.segmented_control(key="camera").set_value("SVG").run()
    assert not app.exception
    assert saved(app) == {"format": "svg", "filename": "meshsim-growth", "scale": 1}
    app.session_state["growth-table"] = False
    app.run()
    assert saved(app)["format"] == "svg"


def test_what_is_instant_is_what_the_study_says() -> None:
    """The table of the app is the study's: the same engine, plans and prices."""
    from meshsim.studies.compare import compare

    setting = HERE.at(dataplanes=("no-mesh", "istio-sidecar"))
    report = compare("two-tier", setting.dataplanes, 500.0, engine="analytic").report
    for mine, theirs in zip(instant.rows(setting), report.rows, strict=True):
        assert mine.latency_us == theirs.latency_us
        assert mine.cpu_cores == theirs.cpu_cores
        assert mine.usd_month == theirs.usd_month
        assert mine.difference is None or mine.difference.latency_us.p50 == theirs.difference.latency_us.p50


def test_the_server_listens_on_localhost_and_reports_nothing() -> None:
    argv = " ".join(command(8601, open_browser=False))
    assert "--server.address localhost" in argv
    assert "--browser.gatherUsageStats false" in argv
    with pytest.raises(MeshsimError, match="port: 0 received"):
        command(0)


def test_no_pages_lie_beside_the_script() -> None:
    """Streamlit would take them for scripts of their own, and a link to one of them would show nothing."""
    from pathlib import Path

    (script,) = [Path(word) for word in command() if word.endswith(".py")]
    assert script.exists()
    assert not (script.parent / "pages").exists()


def test_a_checkout_and_an_installed_package_start_with_the_same_settings() -> None:
    import tomllib
    from pathlib import Path

    from meshsim.app.launch import SETTINGS

    sections: dict[str, Any] = tomllib.loads((Path(__file__).parents[2] / ".streamlit" / "config.toml").read_text())
    flat = {}
    for section, values in sections.items():
        for name, value in values.items():
            deeper = value.items() if isinstance(value, dict) else [("", value)]
            flat |= {".".join(filter(None, (section, name, last))): str(one) for last, one in deeper}
    assert {name: value.lower() for name, value in flat.items()}.items() <= SETTINGS.items()


GRID = {
    "app": ("two-tier", "bookinfo", "online-boutique"),
    "services": (2, 5, 20, 120),
    "rps": (10, 500, 10_000),
    "planes": ([], ["linkerd"], ["no-mesh", "cilium"], ["kmesh", "dapr", "no-mesh"], list(DATAPLANES)),
    "metric": ("p50", "p99", "cpu", "memory", "usd_month", "power", "config"),
    "log": (True, False),
    "requests": (400, 10_000),
    "seed": (1, 5),
}


def test_the_grid_has_every_pair() -> None:
    rows = pairwise(GRID)
    for a, b in combinations(GRID, 2):
        for i, j in product(GRID[a], GRID[b]):
            assert any(row[a] == i and row[b] == j for row in rows)
    assert len(rows) < 45
    assert set(GRID["metric"]) <= set(METRICS)


def test_no_pair_of_values_breaks_explore() -> None:
    """In one session, as a restless visitor would."""
    app = explore().run()
    for row in pairwise(GRID):
        for key in ("app", "services", "rps", "requests", "seed", "log", "planes"):
            app.session_state[key] = row[key]
        app.session_state["metric"] = METRICS[row["metric"]].short
        app.run()
        assert not app.exception, row
        assert not app.error, row
        if row["planes"]:
            assert 'data-testid="answer"' in html(app), row
            assert len(charts(app)) == 1, row
        else:
            assert [info.value for info in app.info] == ["Choose at least one data plane above."]
