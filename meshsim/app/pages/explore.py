"""Explore: the answer, the curve of growth, requests that move, one card a data plane. Instant, then simulated."""

from __future__ import annotations

import streamlit as st

from meshsim.app import cards, instant
from meshsim.app.answering import answered
from meshsim.app.arithmetic import arithmetic
from meshsim.app.charts import chart
from meshsim.app.components import traffic
from meshsim.app.controls import STARTS, Setting, can_undo, reset, start_from, undo
from meshsim.app.matters import what_matters
from meshsim.app.share import share
from meshsim.app.sureness import how_sure
from meshsim.app.tables import as_table, growth_table, with_simulation
from meshsim.app.text import listed
from meshsim.figures import METRICS, alt_text, growth_figure
from meshsim.figures.growth import EXACT, top_crossovers
from meshsim.figures.numbers import show_money_in
from meshsim.figures.words import caption, doubts, gaps
from meshsim.formats.limits import NOT_MODELLED, assumptions
from meshsim.results.rows import ComparisonReport

POLL_S = 0.4
CHART_HEIGHT = 330


def render() -> None:
    """Draw everything once, from what is known; fragments fill in the rest."""
    found = answered(_tools, _simulated)
    if found is None:
        return
    setting, shown = found.setting, found.shown
    left, right = st.columns([1.35, 1])
    with left:
        _chart(setting, found.simulated)
    with right:
        st.fragment(_traffic)(setting)
    st.html(
        cards.cards(
            shown.rows,
            shown.refused or found.approximated.refused,
            instant.sources(setting),
            shown.provenance.price_date,
            {name: setting.terms.dataplane(name).title for name in setting.dataplanes},
        )
    )
    arithmetic(setting, shown)
    how_sure(setting)
    what_matters(setting)
    st.fragment(_small_print)(shown, found.approximated)
    instant.look_ahead(setting)


def _simulated(report: ComparisonReport) -> str:
    return (
        f"Simulated: {report.rows[0].requests:,} requests over each data plane, seed {report.provenance.seed}; "
        "95 of 100 such runs have their interval around the long-run value."
    )


def _chart(setting: Setting, simulated: ComparisonReport | None) -> None:
    complete = instant.curve(setting, 0.1)[1]
    st.fragment(run_every=None if complete else POLL_S)(_growth)(setting, simulated, complete)


def _growth(setting: Setting, simulated: ComparisonReport | None, was_complete: bool) -> None:
    show_money_in(setting.terms.shown_in)  # a fragment that runs alone has a thread of its own
    # The names that a reader sees, because the address carries what is shown.
    names = {metric.short: key for key, metric in METRICS.items()}
    with st.container(horizontal=True, vertical_alignment="center"):
        shown = st.selectbox(
            "As the application grows",
            list(names),
            key="metric",
            bind="query-params",
            persist_state="session",
            label_visibility="collapsed",
            width=190,
            help="What the chart shows against the number of services. Power: watts that the CPU and memory in use "
            "draw. Money: the share of nodes that is reserved or used.",
        )
        log = st.toggle("Log axes", value=True, key="log", bind="query-params", persist_state="session")
    metric = names[shown]
    report, complete = instant.growth(setting, 0.0)
    if complete and not was_complete:
        st.rerun()
    drawn = with_simulation(report, simulated, metric)
    figure = growth_figure(drawn, metric, here=setting.services, log_x=log, log_y=log, height=CHART_HEIGHT)
    for trace in figure["data"]:
        # The mark of the same colour says the name, and the sentences below the chart what bands and rings are.
        if trace.get("meta") in ("analytic", "sampling key", "model key", "crossover"):
            trace["showlegend"] = False
    chart(figure, alt=alt_text(report, metric), key="growth")
    said = [crossing.sentence for crossing in top_crossovers(report, metric)]
    numbered = [f"{number}. {sentence}" for number, sentence in enumerate(said, start=1)]
    if not complete:
        numbered.append("Larger sizes are being worked out.")
    if simulated is not None and metric not in EXACT:
        here = [row for row in report.rows if row.services == setting.services]
        numbered.append(gaps(simulated.rows, here, metric))
    sampled = any(trace.get("meta") == "sampling" for trace in figure["data"])
    st.html(cards.small(*numbered, caption(metric, sampled=sampled)))
    as_table(growth_table(report, simulated, metric), "growth-table")


def _traffic(setting: Setting) -> None:
    meshes = [name for name in setting.dataplanes if name != "no-mesh"] or list(setting.dataplanes)
    if st.session_state.get("seen") not in meshes:
        st.session_state.pop("seen", None)
    plane = st.selectbox(
        "Requests on their way through", meshes, key="seen", label_visibility="collapsed", width=220,
        help="Whose pods, sidecars and node proxies the requests pass.",
    )  # fmt: skip
    traffic.traffic_here(setting, str(plane), CHART_HEIGHT)


def _tools(setting: Setting) -> None:
    with st.popover("Start over", key="starts"):
        for number, name in enumerate(STARTS):
            st.button(name, key=f"start-{number}", on_click=start_from, args=(name,))
        st.button("Undo", key="undo", on_click=undo, disabled=not can_undo(), help="The last change of the controls.")
        st.button("Reset", key="reset", on_click=reset, help="All controls back to where they stood at first.")
    share(setting, _of_the_chart)


def _of_the_chart() -> dict[str, str]:
    """What the chart shows, which is redrawn without the rest of the page."""
    metric, log = st.session_state.get("metric", METRICS["p50"].short), st.session_state.get("log", True)
    return {"metric": str(metric), "log": str(log).lower()}


def _small_print(shown: ComparisonReport, approximated: ComparisonReport) -> None:
    label = "How far to trust it: limits of the approximation, what is assumed, what is not modelled"
    opened = st.expander(label, key="small-print", on_change="rerun")
    if not opened.open:
        return
    with opened:
        reasons = doubts(approximated.rows)
        if reasons:
            st.markdown("**The approximation leaves out or is not good at**\n" + listed(reasons))
        if shown.rows[:1] and shown.rows[0].engine != "analytic":
            checks = [f"{row.dataplane}: {check}" for row in shown.rows for check in row.audit.checks[:2]]
            st.markdown(
                "**What the simulation checked about itself** (the first two laws of each run)\n" + listed(checks)
            )
        st.markdown("**Assumed**\n" + listed([*assumptions(shown.provenance, "per-service"), *shown.notes]))
        st.markdown("**Not modelled**\n" + listed(NOT_MODELLED))
