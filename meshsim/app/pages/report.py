"""Report: what to hand to others. The answer as one page that opens offline, tables, and a trace."""

from __future__ import annotations

from typing import Any

import streamlit as st

from meshsim.app import instant, runs
from meshsim.app.answering import answered
from meshsim.app.arithmetic import arithmetic
from meshsim.app.charts import chart
from meshsim.app.controls import Setting
from meshsim.app.downloads import downloads
from meshsim.app.share import share
from meshsim.app.tables import as_table, comparison_table
from meshsim.app.text import listed, plain
from meshsim.app.theme import theme
from meshsim.engines import select
from meshsim.figures import alt_text, comparison_figure, headline
from meshsim.figures.goals import Goals, goal_lines
from meshsim.figures.numbers import in_currency
from meshsim.formats.limits import NOT_MODELLED, assumptions
from meshsim.formats.trace import trace_json
from meshsim.formats.trace_jaeger import jaeger_json
from meshsim.studies.version import model_version

TRACED = 20
"""Requests in a trace."""
TRACE_RUN = 400
"""Requests that are simulated for it."""


def render() -> None:
    """Draw it once."""
    found = answered(share)
    if found is None:
        return
    setting, shown = found.setting, found.shown
    if not shown.rows:
        return
    st.subheader("Files")
    kind = "the simulated numbers" if found.simulated else "approximated numbers; the simulated ones follow in a moment"
    st.markdown(f"They hold {kind}. In each of them stands how to get the same again.")
    goals = _goals(setting)
    growth, complete = instant.growth(setting, 0.0)
    downloads(shown, "report", setting.terms.shown_in, goals, growth if complete else None)
    if lines := goal_lines(shown.rows, goals):
        st.markdown(listed(lines))
    _trace(setting)
    _earlier()
    arithmetic(setting, shown)
    chart(comparison_figure(shown, theme=theme()), alt=alt_text(shown), key="report-comparison")
    as_table(comparison_table(shown.rows), "report-table")
    left, right = st.columns(2)
    left.subheader("What is assumed")
    left.markdown(listed([*assumptions(shown.provenance), *shown.notes]))
    right.subheader("What is not modelled")
    right.markdown(listed(NOT_MODELLED))


def _goals(setting: Setting) -> Goals:
    """What is asked of a data plane: it is ticked off here, and in the page."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        options: dict[str, Any] = {"value": None, "placeholder": "none", "bind": "query-params", "width": 240}
        late = st.number_input("Goal: p99 within, ms", 0.001, 1e6, key="goal-p99", **options)
        money = st.number_input(
            f"Goal: {setting.terms.currency} a month, at most", 0.01, 1e9, key="goal-money", **options
        )
    return Goals(late, None if money is None else money / setting.terms.per_usd)


def _trace(setting: Setting) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        plane = st.selectbox("Trace of", setting.dataplanes, key="traced", width=240)
        st.download_button(
            f"Trace of {TRACED} requests, JSON",
            data=lambda: traced(setting, str(plane)),
            file_name=f"meshsim-trace-{setting.application}-{plane}.json",
            mime="application/json",
            on_click="ignore",
            key="trace",
            help="Chrome trace format: every call and every step. Opens in Perfetto, or in a browser's own viewer.",
        )
        st.download_button(
            "The same for Jaeger",
            data=lambda: traced(setting, str(plane), for_jaeger=True),
            file_name=f"meshsim-jaeger-{setting.application}-{plane}.json",
            mime="application/json",
            on_click="ignore",
            key="jaeger",
            help="Spans of callers and callees. Opens in Jaeger's JSON File upload, and here as an application.",
        )


def traced(setting: Setting, dataplane: str, *, for_jaeger: bool = False) -> str:
    """Simulate a few requests and write some of them down whole. OverloadedError if the load cannot be carried."""
    ready = instant.at_rate(setting, dataplane, TRACE_RUN, setting.seed)
    run = ready.scenario.run.model_copy(update={"sample": TRACED})
    result = select.run(ready.plan, run)
    if for_jaeger:
        return jaeger_json(result.records, result.plan)
    return trace_json(
        result.records,
        result.plan,
        meshsim=model_version(),
        application=setting.application,
        services=str(setting.services),
        dataplane=dataplane,
        rps=str(setting.rps),
        seed=str(setting.seed),
        times="simulated, us",
    )


def _earlier() -> None:
    """Runs of the page Run that are done: their files are there too."""
    done = [run for run in runs.all_runs()[:20] if run.progress().state == "done"]
    if not done:
        return
    with st.expander(f"Files of full runs ({len(done)})"):
        name = st.selectbox("Run", [run.name for run in done], key="earlier")
        run = runs.Run(str(name))
        report, shown_in = run.report(), run.question().terms.shown_in
        if report is not None and report.rows:
            with in_currency(shown_in):
                st.markdown(plain(headline(report)))
            downloads(report, "earlier", shown_in)
