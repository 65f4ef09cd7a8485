"""The page: four controls, the answer, the chart of growth, the table, where the time goes. It only places things."""

from __future__ import annotations

from html import escape
from typing import Literal

import pandas as pd
import streamlit as st

from meshsim.app.answers import ANSWERS, Question
from meshsim.app.controls import Setting, controls
from meshsim.figures import METRICS, PLOTLY_CONFIG, attribution_figure, comparison_figure, growth_figure
from meshsim.figures import numbers as n
from meshsim.figures.growth import top_crossovers
from meshsim.figures.words import alt_text, attribution_alt, caption, caveats, headline, too_short
from meshsim.formats.limits import NOT_MODELLED, assumptions
from meshsim.formats.page import comparison_page, growth_page
from meshsim.results.rows import ComparisonReport, Estimate, GrowthReport, Row
from meshsim.scenario.base import MeshsimError

POLL_S = 0.15


def render() -> None:
    """Draw everything once. The answer comes first; the chart of growth, which takes longer, fills its place later."""
    st.html(STYLE)
    st.html(
        '<p class="mesh-kicker"><b>meshsim</b> · which service mesh is cheaper, by how much, and how sure is that? '
        "A simulation, not a measurement.</p>"
    )
    setting = controls()
    if not setting.dataplanes:
        st.info("Choose at least one data plane above.")
        return
    answer, growth, rest = st.container(), st.container(), st.container()
    with answer:
        comparison = _ask("compare", setting, "Simulating the data planes, one run each")
    if not isinstance(comparison, ComparisonReport):
        return
    with answer:
        _answer(comparison)
    with rest:
        _details(comparison)
    with growth:
        _growth(setting)


def _ask(kind: Literal["compare", "grow"], setting: Setting, what: str) -> ComparisonReport | GrowthReport | None:
    """Wait for the report with a bar that moves. None, and a message, if the question has no answer."""
    question = Question(
        kind,
        setting.application,
        setting.dataplanes,
        float(setting.rps),
        setting.services,
        setting.own,
        setting.requests,
    )
    place = st.empty()
    # If the visitor changes a control, Streamlit leaves here by an exception, and the work is stopped.
    with ANSWERS.watched(question) as work:
        while not work.wait(POLL_S):
            place.progress(min(work.share, 1.0), f"{what}: {work.what} …")
    place.empty()
    if isinstance(work.error, MeshsimError):
        st.error(str(work.error))
        return None
    if work.error is not None:
        raise work.error
    return work.report


def _answer(report: ComparisonReport) -> None:
    st.html(f'<p class="mesh-answer" data-testid="answer">{escape(headline(report))}</p>')
    for warning in caveats(report.rows, report.partial):
        st.warning(_plain(warning))


def _growth(setting: Setting) -> None:
    st.subheader("As the application grows")
    # The names that a reader sees, because the address carries what is shown.
    names = {metric.short: key for key, metric in METRICS.items()}
    shown = st.segmented_control(
        "What to show",
        list(names),
        default=METRICS["p50"].short,
        required=True,
        key="metric",
        bind="query-params",
        label_visibility="collapsed",
    )
    report = _ask("grow", setting, "Simulating the growth")
    if not isinstance(report, GrowthReport):
        return
    metric = names[shown] if shown else "p50"
    if short := too_short(report, metric):
        st.info(f"{short} More simulated requests can be chosen under “More” above.")
        return
    st.plotly_chart(
        growth_figure(report, metric, here=setting.services),
        config=PLOTLY_CONFIG,
        alt=alt_text(report, metric),
        key="growth",
    )
    crossings = [crossing.sentence for crossing in top_crossovers(report, metric)]
    numbered = [f"{number}. {sentence}" for number, sentence in enumerate(crossings, start=1)]
    st.markdown(_plain(" ".join([caption(metric), *numbered])))
    for warning in caveats(report.rows, report.partial):
        st.warning(_plain(warning))
    st.download_button(
        "Save as one HTML page",
        data=lambda: growth_page(report),
        file_name=f"meshsim-grow-{report.application}.html",
        mime="text/html",
        on_click="ignore",
        key="save-growth",
    )


def _details(report: ComparisonReport) -> None:
    row = report.rows[0]
    st.subheader(f"At {row.services:,} services and {n.count(report.rps)} requests a second")
    st.table(pd.DataFrame([_line(row) for row in report.rows]).set_index("data plane"))
    st.markdown(
        f"In brackets: for latency the 95 % sampling interval of {row.requests:,} simulated requests, "
        "for money and memory the 95 % model band (how far the errors of the costs could move it)."
    )
    st.plotly_chart(comparison_figure(report), config=PLOTLY_CONFIG, alt=alt_text(report), key="comparison")
    st.subheader("Where the time goes")
    st.plotly_chart(
        attribution_figure(report.rows), config=PLOTLY_CONFIG, alt=attribution_alt(report.rows), key="attribution"
    )
    st.download_button(
        "Save as one HTML page",
        data=lambda: comparison_page(report),
        file_name=f"meshsim-compare-{report.application}.html",
        mime="text/html",
        on_click="ignore",
        key="save-comparison",
    )
    with st.expander("What is assumed, what is not modelled, and how to get the same numbers"):
        st.markdown("**Assumed**\n" + _list([*assumptions(report.provenance), *report.notes]))
        st.markdown("**Not modelled**\n" + _list(NOT_MODELLED))
        st.markdown("**The same numbers on the command line**")
        st.code(report.provenance.command, language="shell", wrap_lines=True)


def _line(row: Row) -> dict[str, str]:
    cpu, model, gap = row.cpu_cores, row.model_error, row.difference
    split = " + ".join(n.digits(part, 2) for part in (cpu.application, cpu.proxy, cpu.kernel))
    return {
        "data plane": row.dataplane,
        "$ a month": f"{n.dollars(row.usd_month)[1:]} [{n.band(model.usd_month, lambda usd: n.dollars(usd)[1:])}]",
        "p50": _estimate(row.latency_us.p50),
        "p50 above baseline": "–" if gap is None else _estimate(gap.latency_us.p50),
        "p90": _estimate(row.latency_us.p90),
        "p99": _estimate(row.latency_us.p99),
        "CPU cores: application + proxy + kernel": f"{n.digits(cpu.total)} = {split}",
        "memory": f"{n.memory(row.memory_mib)} [{n.band(model.memory_mib, n.memory)}]",
        "pods": f"{row.pods:,}",
    }


def _estimate(estimate: Estimate) -> str:
    if estimate.value is None:
        return n.TOO_SHORT
    if estimate.low is None or estimate.high is None:
        return n.latency(estimate.value)
    return f"{n.latency(estimate.value)} [{n.span(estimate.low, estimate.high, n.latency)}]"


def _plain(text: str) -> str:
    """Text that Streamlit's Markdown shows as it is: a dollar sign would begin a formula."""
    return "".join(f"\\{sign}" if sign in "\\$*_`[]<>#~:|" else sign for sign in text)


def _list(items: list[str]) -> str:
    return "\n".join(f"- {_plain(item)}" for item in items)


STYLE = """<style>
.mesh-kicker { margin: 0; opacity: 0.8; }
.mesh-answer {
  margin: 0; padding: 0.8rem 1.1rem; font-size: 1.12rem; line-height: 1.5;
  border-left: 5px solid var(--st-primary-color, #0b57a4); border-radius: 6px; background: rgba(128, 128, 128, 0.12);
}
.stMainBlockContainer { padding-top: 2.2rem; }
</style>"""
