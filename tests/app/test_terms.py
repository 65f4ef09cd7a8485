"""Own prices, node type, currency and sidecars: from the form to every figure; and lessons, which set controls."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from headless import alone, charts, explore, html

from meshsim.app import instant, lessons
from meshsim.app.answers import Side
from meshsim.app.controls import Setting, defaults
from meshsim.app.downloads import page
from meshsim.app.launch import LESSONS, environment
from meshsim.app.pages.compare import described, read, written
from meshsim.app.terms import USUAL, Terms, read_terms
from meshsim.app.terms_form import checked
from meshsim.figures.numbers import Currency, in_currency, money
from meshsim.scenario import catalog
from meshsim.scenario.base import MeshsimError

OWN = {"node": "aws-m5-xlarge", "hour": "0.21", "priced": "2026-11-25", "currency": "EUR", "per_usd": "0.92"}
FEW = {"planes": "istio-sidecar"}


def warnings(app: Any) -> list[str]:
    return [warning.value for warning in app.warning]


def test_a_price_in_the_form_is_in_every_money_figure() -> None:
    app = explore(**FEW).run()
    before = html(app)
    assert "€" not in before
    app.selectbox(key="node").set_value("aws-m5-xlarge")
    app.number_input(key="hour").set_value(0.21)
    app.number_input(key="per_usd").set_value(0.92)
    app.text_input(key="currency").set_value("eur")
    app.text_input(key="priced").set_value("2026-11-25")
    next(button for button in app.button if button.label == "Apply").click().run()
    assert not app.exception
    assert warnings(app) == []
    setting = Setting(
        "two-tier", 2, 2, 500, ("istio-sidecar",), 400, 1, Terms("aws-m5-xlarge", 0.21, "2026-11-25", "EUR", 0.92)
    )
    (row,) = instant.rows(setting)
    with in_currency(setting.terms.shown_in):
        assert money(row.usd_month) in html(app)
        assert money(row.usd_month).startswith("€")
    assert "2026-11-25" in html(app)
    assert "$" not in html(app).replace("$&", "")
    app.selectbox(key="metric").set_value("Money").run()
    (chart,) = charts(app)
    assert "EUR a month" in json.loads(chart.spec)["layout"]["yaxis"]["title"]["text"]


def test_a_link_brings_own_terms_back_and_reset_takes_them_away() -> None:
    app = explore(**FEW, **OWN, limit="100").run()
    assert not app.exception
    assert warnings(app) == []
    assert app.number_input(key="limit").value == 100
    assert "€" in html(app)
    app.button(key="reset").click().run()
    assert "€" not in html(app)
    assert app.number_input(key="limit").value is None


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"node": "mainframe"}, "node = mainframe, which is no choice here; showing gcp-e2-standard-4."),
        ({"currency": "EUR"}, "EUR needs how much of it a US dollar is"),
        ({"currency": "E1"}, "E1 received; three letters"),
        ({"per_usd": "2"}, "2 received; of USD it is 1."),
        ({"hour": "0.3"}, "say of which day the own price is"),
        ({"hour": "-3"}, "hour = -3, which is no choice here; showing 0.0."),
        ({"limit": "50", "cpu": "100"}, "which Kubernetes refuses; 50m it is"),
        ({"priced": "yesterday"}, "yesterday received; a day such as 2026-11-25"),
    ],
)
def test_what_cannot_be_is_said(query: dict[str, str], said: str) -> None:
    app = alone("explore", **FEW, **query).run()
    assert not app.exception
    assert any(said in one.replace("\\", "") for one in warnings(app)), warnings(app)


def test_a_limit_reaches_the_plan_and_the_reservation_follows_it() -> None:
    setting = Setting("two-tier", 2, 2, 100, ("istio-sidecar",), 400, 1, Terms(limit=50))
    ready = instant.prepared(setting, "istio-sidecar")
    (sidecar,) = ready.dataplane.proxies
    assert sidecar.limits is not None
    assert (sidecar.limits.cpu_millicores, sidecar.requests.cpu_millicores) == (50, 50)
    assert len(ready.plan.quotas)
    assert not len(instant.prepared(setting.at(terms=USUAL), "istio-sidecar").plan.quotas)


def test_terms_are_written_and_read_back() -> None:
    terms = Terms("aws-m5-xlarge", 0.21, "2026-11-25", "EUR", 0.92, 50, 64, 150)
    assert read_terms(terms.written()) == terms
    assert USUAL.written() == ""
    assert read_terms("") == USUAL
    for wrong in (
        "limit=-1",
        "limit=x",
        "hour=nan",
        "hour=inf",
        "node=../x",
        "currency=eu",
        "priced=1",
        "other=1",
        "limit",
    ):
        assert read_terms(wrong) is None, wrong
    side = Side(Setting("two-tier", 2, 2, 500, ("linkerd",), 400, 1, terms), "linkerd")
    assert read(written(side), side.setting.at(terms=USUAL)) == side
    assert "Each sidecar may use 150m CPU" in described(side)


def test_the_form_takes_nothing_for_as_it_is() -> None:
    assert checked({name: defaults()[name] for name in OWN} | dict.fromkeys(("cpu", "memory", "limit")),
                   catalog.load_machine("aws-m5-xlarge"))[0] == Terms("aws-m5-xlarge")  # fmt: skip


def test_the_report_page_is_in_the_currency_and_its_tables_in_dollars() -> None:
    report = instant.comparison(Setting("two-tier", 2, 2, 500, ("linkerd",), 400))
    assert f"€{report.rows[0].usd_month / 2:,.2f}" in page(report, Currency("EUR", 0.5))
    assert f"${report.rows[0].usd_month:,.2f}" in page(report, Currency())


# How sure, what matters, the arithmetic --------------------------------------------------------------------------


def opened(name: str, *, page: str = "explore", **query: str) -> Any:
    app = alone(page, **query).run()
    app.session_state["planes"] = ["no-mesh", "istio-sidecar", "linkerd"]
    app.session_state[name] = True
    return app.run()


def test_how_sure_it_is_which_of_two_is_cheaper(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instant, "CURVE", (10,))
    monkeypatch.setattr(instant, "look_ahead", lambda setting: None)
    instant.growth(Setting("two-tier", 2, 2, 500, ("no-mesh", "istio-sidecar", "linkerd"), 400))
    app = opened("sure")
    assert not app.exception
    assert "With 2 services linkerd" in html(app)
    kinds = [{trace.get("meta") for trace in json.loads(one.spec)["data"]} for one in charts(app)]
    assert [sorted(kind & {"odds", "dots"}) for kind in kinds] == [[], ["odds"], ["dots"]]
    app.selectbox(key="sure-of").set_value("CPU").run()
    assert "worlds that the errors of the costs allow" in html(app)
    app.selectbox(key="sure-a").set_value("istio-sidecar").run()
    assert [info.value for info in app.info] == ["Choose two different ones."]


@pytest.mark.parametrize("page", ["explore", "report"])
def test_the_arithmetic_adds_up_to_the_figure(page: str) -> None:
    app = opened("arithmetic", page=page)
    assert not app.exception
    text = " ".join(one.value for one in app.markdown)
    (row, *_) = instant.rows(Setting("two-tier", 2, 2, 500, ("no-mesh", "istio-sidecar", "linkerd"), 400))
    assert f"{row.usd_month:,.2f} dollars a month" in text.replace("\\", "")
    for figure, total in (("CPU", row.cpu_cores.total), ("Memory", row.memory_mib)):
        app.selectbox(key="arithmetic-figure").set_value(figure).run()
        assert not app.exception
        (table,) = app.dataframe
        column = "cores" if figure == "CPU" else "MiB"
        assert table.value[column].iloc[-1] == pytest.approx(total)
        assert table.value[column].iloc[:-1].sum() == pytest.approx(total)
    app.selectbox(key="arithmetic-figure").set_value("Latency").run()
    assert not app.exception


def test_what_matters_most_is_simulated_when_asked_for() -> None:
    from meshsim.app.answers import ANSWERS
    from meshsim.app.matters import InfluenceQuestion, sentence

    setting = Setting("two-tier", 2, 2, 500, ("no-mesh", "istio-sidecar", "linkerd"), 1000)
    question = InfluenceQuestion(setting, "istio-sidecar", "p99")
    work = ANSWERS.look_in(question, "a test")
    for _ in range(1200):
        if ANSWERS.look_in(question, "a test").wait(0.1):
            break
    assert work.error is None
    app = opened("matters", requests="1000")
    assert not app.exception
    (tornado,) = [one for one in charts(app) if one.alt.startswith("Tornado")]
    data = json.loads(tornado.spec)["data"]
    assert {trace["name"] for trace in data} == {"input at its low end", "input at its high end"}
    assert "load.rps" in data[0]["y"]
    assert sentence(work.report) in html(app)


# Lessons ---------------------------------------------------------------------------------------------------------


def test_a_lesson_sets_locks_hides_and_enlarges() -> None:
    app = explore(lesson="cpu-limit", app="two-tier", seed="4").run()
    assert not app.exception
    assert any("What a CPU limit on the sidecar does" in one.value for one in app.markdown)
    assert app.selectbox(key="app").value == "online-boutique"
    assert app.selectbox(key="app").disabled
    assert app.select_slider(key="rps").value == 200
    assert not app.select_slider(key="rps").disabled
    assert app.select_slider(key="seed").value == 1
    assert ".st-key-control-more { display: none; }" in html(app)
    assert "font-size: 20px" in html(app)
    (chart,) = charts(app)
    assert json.loads(chart.spec)["layout"]["font"]["size"] == 18
    app.select_slider(key="rps").set_value(500).run()  # free, and stays
    assert app.select_slider(key="rps").value == 500
    assert app.query_params["lesson"] in ("cpu-limit", ["cpu-limit"])


def test_without_a_lesson_nothing_is_locked() -> None:
    app = explore().run()
    assert not app.selectbox(key="app").disabled
    assert "display: none" not in html(app)


@pytest.mark.parametrize("name", ["../../etc/passwd", "no-such", "cpu-limits"])
def test_an_unknown_lesson_is_said(name: str) -> None:
    app = explore(lesson=name).run()
    assert not app.exception
    assert any("cpu-limit" in one for one in map(str, warnings(app)))


def test_every_lesson_can_be_read_and_its_page_opens() -> None:
    for name in lessons.names():
        lesson = lessons.load(name)
        assert lesson.name == name
        assert not alone(lesson.page, lesson=name).run().exception


def test_a_teachers_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = "schema: meshsim/lesson/1\nname: mine\ntitle: Mine\ntext: Look.\nvalues: {app: two-tier, rps: 200}\nlock: [rps]\n"
    (tmp_path / "mine.yaml").write_text(good)
    (tmp_path / "wrong.yaml").write_text(good.replace("rps: 200", "rps: 123").replace("mine", "wrong"))
    monkeypatch.setenv(LESSONS, environment(tmp_path)[LESSONS])
    assert {"mine", "wrong", "cpu-limit"} <= set(lessons.names())
    app = explore(lesson="mine").run()
    assert app.select_slider(key="rps").value == 200
    assert app.select_slider(key="rps").disabled
    with pytest.raises(MeshsimError, match=r"wrong\.yaml:5: values.*rps: 123 received; choose from 10, 20"):
        lessons.load("wrong")
    with pytest.raises(MeshsimError, match="no such folder"):
        environment(tmp_path / "none")
