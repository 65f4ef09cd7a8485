"""Run: a full simulation in a process of its own, with progress, time left and cancel; it survives a reload."""

from __future__ import annotations

import streamlit as st

from meshsim.app import cards, instant, runs, uploads
from meshsim.app.charts import chart
from meshsim.app.controls import Setting, controls
from meshsim.app.downloads import downloads
from meshsim.app.tables import as_table, comparison_table, growth_table
from meshsim.app.text import plain
from meshsim.app.theme import theme
from meshsim.figures import METRICS, alt_text, comparison_figure, growth_figure, headline
from meshsim.figures.numbers import show_money_in
from meshsim.figures.words import caption, caveats, too_short
from meshsim.results.rows import ComparisonReport, GrowthReport
from meshsim.scenario.base import MeshsimError

POLL_S = 0.3
KINDS = {"here": "compare", "growth": "grow"}
REQUESTS = (1000, 3000, 12_000, 50_000)
WORDS = {
    "cancelled": "Cancelled.",
    "died": "The process of this run ended without a word: was the machine restarted? Start it again.",
}


def render() -> None:
    """Draw it once."""
    st.html(cards.STYLE)
    run = _named()
    setting = controls()
    if setting is not None:
        _ask(setting, run is not None and run.progress().state == "running")
    if run is None:
        st.markdown(
            "No run yet. Choose what to simulate above, then start: it goes on if you leave or reload the page."
        )
        return
    st.query_params["run"] = run.name
    if run.progress().state == "running":
        st.fragment(run_every=POLL_S)(_progress)(run)
    else:
        _outcome(run)


def _named() -> runs.Run | None:
    """The run of the address, else of this session."""
    asked = st.query_params.get("run")
    name = asked or st.session_state.get("run")
    if name is None:
        return None
    run = runs.find(str(name))
    if run is None:
        st.warning(f"The link asks for run {plain(str(name))}, which is not here any more: runs are kept for a week.")
        st.query_params.pop("run", None)
    st.session_state["run"] = None if run is None else run.name
    return run


def _ask(setting: Setting, busy: bool) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        kind = st.segmented_control(
            "What to simulate",
            list(KINDS),
            default="here",
            required=True,
            key="kind",
            bind="query-params",
            persist_state="session",
            help="here: this number of services. growth: the sizes of the chart on Explore.",
        )
        requests = st.select_slider(
            "Measured requests of each run",
            REQUESTS,
            value=3000,
            key="run-requests",
            width=330,
            help="p99 needs 1,000 and p99.9 needs 12,000. Twice as many take twice as long.",
        )
        st.button(
            "Start", key="start", type="primary", disabled=busy, on_click=_start, args=(setting, str(kind), requests)
        )
    if problem := st.session_state.pop("run-problem", None):
        st.error(plain(problem))


def _start(setting: Setting, kind: str, requests: int) -> None:
    sizes = (setting.services,) if kind == "here" else tuple(instant.sizes(setting))
    rps = float(setting.rps) if setting.services == setting.own else setting.own_rps
    asked = runs.Question(
        "compare" if kind == "here" and setting.services == setting.own else "grow",
        uploads.source(setting.application),
        sizes,
        setting.own,
        setting.dataplanes,
        rps,
        requests,
        setting.seed,
        setting.terms,
    )
    try:
        run = runs.start(asked)
    except (MeshsimError, OSError) as error:
        st.session_state["run-problem"] = str(error)
        return
    st.session_state["run"] = run.name
    st.query_params["run"] = run.name


def _progress(run: runs.Run) -> None:
    now = run.progress()
    if now.state != "running":
        st.rerun()
    left = now.left_s
    about = "time left is not known yet" if left is None else f"about {_seconds(left)} left"
    st.progress(min(now.share, 1.0), f"{now.what}: {now.share:.0%}, {_seconds(now.elapsed_s)} so far, {about}")
    st.button("Cancel", key="cancel", on_click=run.cancel, disabled=(run.folder / "cancel").exists())


def _outcome(run: runs.Run) -> None:
    now, report = run.progress(), run.report()
    if now.state == "failed":
        st.error(plain(run.error()))
    if now.state in WORDS:
        st.info(WORDS[now.state])
    if report is None or not report.rows:
        return
    asked = run.question()
    show_money_in(asked.terms.shown_in)
    st.html(cards.answer(headline(report), report.rows))
    took = f"{asked.requests:,} requests of each run, seed {asked.seed}, {_seconds(now.elapsed_s)}, run {run.name}"
    st.html(cards.progress(1.0, took))
    for warning in caveats(report.rows, report.partial):
        st.warning(plain(warning))
    for one in report.refused:
        st.warning(plain(f"{one.dataplane} with {one.services:,} services: {one.reason}"))
    downloads(report, "run", asked.terms.shown_in)
    if isinstance(report, GrowthReport):
        _growth(report)
    else:
        _comparison(report)


def _growth(report: GrowthReport) -> None:
    names = {metric.short: key for key, metric in METRICS.items()}
    metric = names[st.selectbox("What to show", list(names), key="run-metric", width=220)]
    if short := too_short(report, metric):
        st.info(plain(short))
        return
    chart(
        growth_figure(report, metric, theme=theme()),
        alt=alt_text(report, metric),
        key="run-growth",
    )
    as_table(growth_table(report, None, metric), "run-growth-table")
    st.markdown(plain(caption(metric)))


def _comparison(report: ComparisonReport) -> None:
    chart(comparison_figure(report, theme=theme()), alt=alt_text(report), key="run-comparison")
    as_table(comparison_table(report.rows), "run-table")


def _seconds(value: float) -> str:
    return f"{value:.0f} s" if value < 100 else f"{value / 60:.1f} min"
