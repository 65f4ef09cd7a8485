"""What moves a latency most: costs and the rate, one at a time, simulated on the same requests when it is asked for."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
import streamlit as st

from meshsim.app import approximate, instant, uploads
from meshsim.app.answers import ANSWERS
from meshsim.app.cards import small
from meshsim.app.charts import chart
from meshsim.app.controls import Setting
from meshsim.app.refine import refine
from meshsim.app.text import plain
from meshsim.app.theme import theme
from meshsim.figures import numbers as n
from meshsim.figures import tornado_figure
from meshsim.results.rows import SensitivityReport
from meshsim.studies.pool import Progress, Stop
from meshsim.studies.replicate import Metric
from meshsim.studies.sensitivity import sensitivity

TOP = 8
QUANTILES: dict[str, Metric] = {"p50": "p50", "p99": "p99"}


@dataclass(frozen=True)
class InfluenceQuestion:
    """The inputs of one data plane where we are."""

    setting: Setting
    dataplane: str
    of: Metric

    def answer(self, on_progress: Progress, should_stop: Stop) -> SensitivityReport:
        """``sensitivity`` without draws, at this size; a waypoint keeps pace with the traffic as on the page."""
        where = self.setting
        return sensitivity(
            uploads.source(where.application),
            [instant.prepared(where, self.dataplane).dataplane],
            instant.rate_at(where, where.services),
            of=self.of,
            top=TOP,
            draws=0,
            services=None if where.services == where.own else where.services,
            requests=where.requests,
            seed=where.seed,
            costs=approximate.costs(),
            machine=where.terms.machine(),
            on_progress=on_progress,
            should_stop=should_stop,
        )


def what_matters(setting: Setting) -> None:
    """An expander; the simulations begin when a button in it is pressed."""
    st.fragment(_expander)(setting)


def _expander(setting: Setting) -> None:
    opened = st.expander("What matters most: which costs move the latency?", key="matters", on_change="rerun")
    if not opened.open:
        return
    with opened:
        meshes = [name for name in setting.dataplanes if name != "no-mesh"] or list(setting.dataplanes)
        if st.session_state.get("matters-plane") not in meshes:
            st.session_state.pop("matters-plane", None)
        with st.container(horizontal=True, vertical_alignment="bottom"):
            plane = str(st.selectbox("Data plane", meshes, key="matters-plane", width=240))
            of = QUANTILES[str(st.selectbox("Latency", list(QUANTILES), index=1, key="matters-of", width=120))]
            question = InfluenceQuestion(setting, plane, of)
            if st.button(
                "Simulate", key="matters-go", help=f"{2 * TOP + 3} runs of {setting.requests:,} requests each."
            ):
                st.session_state["matters-asked"] = question
        done = ANSWERS.finished(question)
        if done is None:
            if st.session_state.get("matters-asked") == question:
                refine(question, f"Moving {TOP} costs and the rate to both ends of their range", "matters")
            return
        if done.error is not None:
            st.warning(plain(str(done.error)))
            return
        _show(done.report, plane)


def _show(report: SensitivityReport, plane: str) -> None:
    known = [one for one in report.influences if one.value_us is not None]
    if not known:
        st.info("The runs were too short to tell, or the load cannot be carried.")
        return
    st.html(small(sentence(report)))
    chart(tornado_figure(report, theme=theme()), alt=f"Tornado chart. {sentence(report)}", key="tornado")
    rows = [
        {
            "input": one.input, "low end, times": one.factor_low, "high end, times": one.factor_high,
            "at the low end, µs": one.at_low_us, "at the high end, µs": one.at_high_us,
        }
        for one in known
    ]  # fmt: skip
    st.dataframe(pd.DataFrame(rows), hide_index=True)


def sentence(report: SensitivityReport) -> str:
    """What the quantile is, and which input moves it most."""
    most = next(one for one in report.influences if one.value_us is not None)
    assert most.value_us is not None
    ends = [us for us in (most.at_low_us, most.at_high_us) if us is not None]
    moved = f"moves it from {n.span(min(ends), max(ends), n.latency)}" if len(ends) == 2 else "overloads it at one end"
    return (
        f"{report.of} of {most.dataplane} is {n.latency(most.value_us)}. Most depends on {most.input}: within its 95 % "
        f"range it {moved}. The rate is moved by a tenth. All on the same requests."
    )
