"""Anatomy, Learn and Trust without a browser."""

from __future__ import annotations

import json
import re
from html import escape

import pytest
from headless import alone, charts, html

from meshsim.app.controls import RATES
from meshsim.app.learn.challenges import CHALLENGES
from meshsim.app.learn.chapter import MOST_WORDS, gap
from meshsim.app.learn.chapters import CHAPTERS
from meshsim.app.pages import anatomy, learn, trust
from meshsim.figures import as_figure
from meshsim.scenario import catalog

EVERY_PLANE = catalog.names("dataplanes")


def texts(app) -> str:
    return "\n".join(text.value for text in [*app.markdown, *app.header, *app.subheader]).replace("\\", "")


@pytest.mark.parametrize("plane", EVERY_PLANE)
def test_anatomy_over_every_data_plane(plane: str) -> None:
    app = alone("anatomy", application="two-tier", plane=plane).run()
    assert not app.exception
    assert not app.error
    base = anatomy.lone("two-tier", "no-mesh", "client -> fortioclient/fire")
    said = anatomy.headline(anatomy.lone("two-tier", plane, base.entry), base)
    assert escape(said) in html(app)
    assert all(chart.alt for chart in charts(app))


def test_anatomy_of_every_entry_of_the_shop() -> None:
    app = alone("anatomy", application="online-boutique").run()
    for entry in app.selectbox(key="entry").options:
        app.selectbox(key="entry").set_value(entry).run()
        assert not app.exception
        assert entry in html(app)


def test_each_step_is_described_and_they_add_up() -> None:
    app = alone("anatomy", application="two-tier", plane="istio-sidecar").run()
    request = anatomy.lone("two-tier", "istio-sidecar", "client -> fortioclient/fire")
    steps = request.of_hop(1)
    spent = 0.0
    for number, step in enumerate(steps, start=1):
        app.slider(key="step").set_value(number).run()
        assert not app.exception
        spent += step.ns / 1000
        (line,) = [text.value for text in app.markdown if text.value.startswith(f"**{number} of {len(steps)}")]
        assert step.operation in line.replace("\\", "")
        assert " space" in line or "kernel" in line or "wire" in line
    assert spent == pytest.approx(sum(step.ns for step in steps) / 1000)


def test_an_application_of_another_page_is_taken_over() -> None:
    app = alone("anatomy")
    app.session_state["app"] = "bookinfo"
    app.query_params.clear()
    app.run()
    assert app.selectbox(key="application").value == "bookinfo"


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.name)
def test_a_chapter_asks_first_and_then_reveals(chapter) -> None:
    app = alone("learn", chapter=chapter.name).run()
    assert not app.exception
    assert chapter.text[:40] in texts(app)
    before = texts(app)
    assert "It is " not in before
    assert charts(app) == []
    app.button(key=f"reveal-{chapter.name}").click().run()
    assert not app.exception
    answer = learn.answered(chapter.name)
    found = re.search(r"#### It is ([\d.,]+) (\S+)\. You said", texts(app))
    assert found is not None
    assert float(found[1].replace(",", "")) == pytest.approx(answer.value, rel=0.006)
    assert found[2] == chapter.guess.unit
    (chart,) = charts(app)
    assert chart.alt == answer.alt != ""


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.name)
def test_a_chapter_is_short_its_answer_is_on_the_slider_and_its_chart_is_valid(chapter) -> None:
    assert len(re.findall(r"\w+", chapter.text)) <= MOST_WORDS * 1.1
    answer = learn.answered(chapter.name)
    assert chapter.guess.low <= answer.value <= chapter.guess.high
    assert answer.rows
    assert answer.engine
    as_figure(answer.figure)
    json.dumps(answer.figure)
    if chapter.scene is not None:
        assert chapter.scene().rps > 0


def test_what_theory_knows_the_simulation_finds() -> None:
    """Within the intervals of the runs; and the wrong law is not within."""
    for row in learn.answered("queue").rows:
        assert row["from"] <= row["theory, ms"] <= row["to"]
    last = learn.answered("queue").rows[-1]
    deterministic = (1 + 1 / (1 - last["utilisation"])) / 2  # M/D/1
    assert not last["from"] <= deterministic <= last["to"]
    for row in learn.answered("fan-out").rows:
        assert row["from"] <= row["theory, ms"] <= row["to"]
    for row in learn.answered("retries").rows:
        assert row["attempts a request"] == pytest.approx(row["theory"], rel=0.02)


def test_a_guess_is_judged_by_its_factor() -> None:
    assert gap(10, 10) == "within a tenth of it"
    assert gap(30, 10) == "3 times too much"
    assert gap(5, 10) == "2 times too little"
    assert gap(0, 0) == "exactly right"
    assert "too little" in gap(0, 10)


@pytest.mark.parametrize("challenge", CHALLENGES, ids=lambda challenge: challenge.name)
def test_a_challenge_can_be_solved_but_not_by_chance(challenge) -> None:
    solved = {
        (plane, rps)
        for plane in EVERY_PLANE
        for rps in (RATES if challenge.name == "all-it-can-take" else (500,))
        if all(rule.met for rule in challenge.check(plane, rps))
    }
    assert solved
    assert len({plane for plane, _ in solved}) < len(EVERY_PLANE) / 2 or challenge.name == "all-it-can-take"
    assert ("no-mesh", 500) not in solved
    plane, rps = min(solved)
    app = alone("learn", chapter="challenges").run()
    app.button(key=f"check-{challenge.name}").click().run()
    assert "Not yet." in texts(app)
    app.selectbox(key=f"plane-{challenge.name}").set_value(plane)
    app.select_slider(key=f"rps-{challenge.name}").set_value(rps)
    app.button(key=f"check-{challenge.name}").click().run()
    assert not app.exception
    assert "Solved." in texts(app)
    assert "❌" not in texts(app)


def test_trust_counts_what_is_there() -> None:
    app = alone("trust").run()
    assert not app.exception
    assert escape(trust.headline(trust.book(), trust.scoreboards())) in html(app)
    assert len(charts(app)) == len(trust.scoreboards()) >= 1
    table = trust.cost_table(trust.book())
    assert len(table) == len(trust.book().table)
    assert set(table["source"]) <= set(trust.SOURCES)
    assert table["reference"].str.len().min() > 3
    assert table["±"].notna().all()


def test_costs_are_filtered_by_source_and_name() -> None:
    app = alone("trust").run()
    app.text_input(key="operation").set_value("proxy.envoy.").run()
    assert not app.exception
    wanted = sum("proxy.envoy." in name for name in trust.book().table)
    assert f"{wanted} of {len(trust.book().table)} operations" in texts(app)
    app.text_input(key="operation").set_value("[(*").run()
    assert not app.exception
    assert f"0 of {len(trust.book().table)} operations" in texts(app)


def test_capabilities_of_every_data_plane() -> None:
    planes = [catalog.load_dataplane(name) for name in EVERY_PLANE]
    table = trust.capability_table(planes)
    assert list(table.columns) == EVERY_PLANE
    assert table.notna().all().all()
