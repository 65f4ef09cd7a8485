"""How far to trust the numbers: costs with their sources, predictions beside measurements, and what is left out."""

from __future__ import annotations

from functools import cache

import pandas as pd
import streamlit as st

from meshsim.app import cards
from meshsim.app.charts import chart
from meshsim.app.glossary import GLOSSARY
from meshsim.app.text import listed, plain
from meshsim.app.theme import theme
from meshsim.costs.book import Cost
from meshsim.costs.books import Costs
from meshsim.figures import numbers as n
from meshsim.figures.validation import show, validation_figure
from meshsim.formats.limits import MISSING, UNLESS_ASKED
from meshsim.results.bands import bands
from meshsim.results.scoreboard import QUANTITIES, Scoreboard, read, summaries
from meshsim.scenario import catalog
from meshsim.scenario.capabilities import FEATURES, Capability
from meshsim.scenario.dataplane import DataPlane
from meshsim.studies.defaults import COSTS
from meshsim.studies.defaults import DATAPLANES as DEFAULT_DATAPLANES

SOURCES = ("measured", "published", "derived", "assumed")
NAMES = {"p50": "median latency", "cpu-total": "CPU"}
MEANING = {
    "measured": "by `meshsim measure` on one host, raw samples kept",
    "published": "read in a document",
    "derived": "arithmetic on published figures, shown",
    "assumed": "nobody published it; the reason is given, and the error is at least 30 %",
}


def render() -> None:
    """Draw the page once."""
    st.html(cards.STYLE)
    st.header("How far to trust it", anchor=False)
    boards = scoreboards()
    st.html(cards.sentence(headline(book(), boards)))
    tabs = st.tabs(["Measured against predicted", "Costs", "What is left out", "Who can do what", "Words"])
    with tabs[0]:
        _validation(boards)
    with tabs[1]:
        _costs()
    with tabs[2]:
        _limits()
    with tabs[3]:
        _capabilities()
    with tabs[4]:
        st.table(pd.DataFrame(GLOSSARY.items(), columns=["word", "in plain words"]).set_index("word"))


@cache
def book() -> Costs:
    """The cost books in force where nothing else is said."""
    return catalog.load_costs(COSTS)


@cache
def scoreboards() -> list[Scoreboard]:
    """All that come with the package, a host each."""
    return [read(path) for path in catalog.scoreboards()]


def headline(costs: Costs, boards: list[Scoreboard]) -> str:
    """How many costs there are, from where, and how wrong the predictions were."""
    count = {source: sum(cost.source == source for cost, _ in costs) for source in SOURCES}
    known = n.listed([f"{number} {source}" for source, number in count.items() if number])
    said = f"{sum(count.values())} costs are in force: {known}."
    for board in boards:
        right = sum(one.right for one in board.verdicts)
        errors = [
            f"{one.median_gap:.0%} for {NAMES[one.quantity]}" for one in summaries(board) if one.quantity in NAMES
        ]
        said += (
            f" Beside real meshes on {_host(board)}, half of the errors are below "
            f"{n.listed(errors) if errors else 'not known yet'}, and {right} of {len(board.verdicts)} times the model "
            "says rightly which of two needs less."
        )
    return said


def _host(board: Scoreboard) -> str:
    return f"{board.host.get('processor', 'one host')} ({board.costs[0]})"


def _validation(boards: list[Scoreboard]) -> None:
    if not boards:
        st.info("No scoreboard comes with this installation. `meshsim validate` makes one on your own host.")
    for board in boards:
        host = _host(board)
        st.markdown(
            f"**{plain(host)}**, {board.rounds} rounds, {len({row.case for row in board.rows})} scenarios. Small real "
            "meshes (pods, Envoys, iptables, eBPF) and the simulator were made from the same files."
        )
        chart(
            validation_figure(board, theme=theme()),
            alt=f"Dots: predicted over measured for {len(board.rows)} rows on {host}, by quantity. "
            f"{headline(book(), [board])}",
            key=f"validation-{board.costs[0]}",
        )
        st.markdown("A dot at 1 is right; shaded is the median error aimed at. Left: the model says too little.")
        st.subheader("Errors by quantity", anchor=False)
        per_cent = ("median error", "beyond the measured interval", "aimed at", "worst error")
        st.dataframe(errors(board), hide_index=True, column_config=dict.fromkeys(per_cent, PER_CENT))
        st.subheader("Where reality lies", anchor=False)
        st.markdown(
            "Factors on a prediction between which real meshes lie with a chance of 90 %, by load; every result has "
            "them. Held: the share of rows within the band that the other scenarios give."
        )
        st.dataframe(model_bands(board), hide_index=True, column_config=dict.fromkeys(("load", "held"), PER_CENT))
        if board.ratios:
            st.subheader("As ratios to no mesh, worst first", anchor=False)
            st.dataframe(ratios(board), hide_index=True, height=320, column_config={"error": PER_CENT})
        if board.published:
            st.subheader("What others published, as ratios, worst first", anchor=False)
            st.dataframe(published(board), hide_index=True, height=320, column_config={"error": PER_CENT})
        st.subheader("Every row, worst first", anchor=False)
        st.dataframe(scores(board), hide_index=True, height=420, column_config={"error": PER_CENT})
        wrong = [one for one in board.verdicts if not one.right]
        if wrong:
            st.subheader("Where the model names the wrong one of two", anchor=False)
            st.markdown(
                listed(
                    f"{one.quantity} of {one.scenario}: {one.a} over {one.b} is {one.measured_ratio:.2f}, predicted "
                    f"{one.predicted_ratio:.2f}."
                    for one in wrong
                )
            )
        left_out = [f"{name}: not measured, {why}" for name, why in board.skipped.items()] + board.warnings
        if left_out:
            with st.expander("What disturbed the measurements, or was not measured"):
                st.markdown(listed(left_out))


PER_CENT = st.column_config.NumberColumn(format="percent")


def errors(board: Scoreboard) -> pd.DataFrame:
    """One line a quantity: how large the errors are, in the middle and at worst."""
    return pd.DataFrame(
        [
            {
                "quantity": QUANTITIES[one.quantity][1], "rows": one.rows, "median error": one.median_gap,
                "beyond the measured interval": one.median_error, "aimed at": one.goal_median,
                "worst error": one.worst_error, "the worst": one.worst, "predicted / measured": one.median_ratio,
            }
            for one in summaries(board)
        ]
    )  # fmt: skip


def model_bands(board: Scoreboard) -> pd.DataFrame:
    """The bands of the model's error, a line a quantity and load."""
    return pd.DataFrame(
        [
            {
                "quantity": QUANTITIES[one.quantity][1], "load": one.load, "from": round(one.low, 3),
                "to": round(one.high, 3), "scenarios": one.scenarios, "held": one.coverage,
            }
            for one in bands(board)
        ]
    )  # fmt: skip


def ratios(board: Scoreboard) -> pd.DataFrame:
    """Data planes over no mesh, the largest error first."""
    return pd.DataFrame(
        [
            {
                "data plane": row.dataplane, "scenario": row.scenario, "quantity": row.quantity,
                "measured": show(row.measured), "predicted": show(row.predicted), "error": round(row.error, 4),
                "fitted": row.used_for_fitting,
            }
            for row in sorted(board.ratios, key=lambda row: -row.error)
        ]
    )  # fmt: skip


def published(board: Scoreboard) -> pd.DataFrame:
    """Ratios that others published, the largest error first."""
    return pd.DataFrame(
        [
            {
                "quantity": row.quantity, "of": row.dataplane, "over": row.over, "published": show(row.measured),
                "predicted": row.predicted.value, "error": round(row.error, 4), "fitted": row.used_for_fitting,
                "setting": row.setting, "source": row.source,
            }
            for row in sorted(board.published, key=lambda row: -row.error)
        ]
    )  # fmt: skip


def scores(board: Scoreboard) -> pd.DataFrame:
    """The rows of a scoreboard, the largest error first."""
    return pd.DataFrame(
        [
            {
                "data plane": row.dataplane, "scenario": row.scenario, "quantity": row.quantity, "unit": row.unit,
                "measured": show(row.measured), "predicted": show(row.predicted), "error": round(row.error, 4),
                "predicted / measured": round(row.ratio, 3), "fitted": row.used_for_fitting,
                "inside measured range": row.inside_range, "why outside": row.outside,
            }
            for row in board.worst_first()
        ]
    )  # fmt: skip


def _costs() -> None:
    costs = book()
    st.markdown("Where each figure comes from. " + "; ".join(f"**{name}**: {MEANING[name]}" for name in SOURCES) + ".")
    left, right = st.columns([1, 2], vertical_alignment="bottom")
    shown = left.pills("Source", SOURCES, selection_mode="multi", default=list(SOURCES), key="source")
    asked = right.text_input("Operation contains", key="operation", placeholder="envoy, wakeup, kernel.tcp …")
    table = cost_table(costs)
    table = table[table["source"].isin(shown) & table["operation"].str.contains(asked.strip(), regex=False)]
    st.dataframe(table, hide_index=True, height=460, column_config={"±": PER_CENT})
    st.markdown(
        f"{len(table)} of {len(costs.table)} operations. Click a heading to sort. ± is one standard error, relative. "
        "`meshsim measure all` makes such a book of your own host; the first book that knows an operation wins."
    )
    for scale in costs.scales:
        st.markdown(plain(str(scale)))


def cost_table(costs: Costs) -> pd.DataFrame:
    """One line an operation in force; amounts that are zero are left empty."""

    def line(cost: Cost, of: str) -> dict[str, object]:
        return {
            "operation": cost.operation, "a": cost.unit, "source": cost.source, "±": cost.standard_error,
            "CPU, ns": cost.cpu_ns or None,
            "half of it after, ms": cost.cv if cost.law == "cold" else None,
            "CPU, ns/B": cost.cpu_ns_per_byte or None,
            "off the CPU, ns": cost.wait_ns or None, "off the CPU, ns/B": cost.wait_ns_per_byte or None,
            "memory, KiB": cost.bytes / 1024 or None, "idle cores": cost.cores or None, "factor": cost.ratio or None,
            "book": of, "reference": cost.reference, "conditions": cost.conditions,
        }  # fmt: skip

    return pd.DataFrame([line(cost, of) for cost, of in costs]).sort_values("operation", ignore_index=True)


def _limits() -> None:
    left, right = st.columns(2)
    left.subheader("Not in the model", anchor=False)
    left.markdown(listed(MISSING))
    right.subheader("Left out unless a scenario asks", anchor=False)
    right.markdown(listed(UNLESS_ASKED))
    st.subheader("Two errors, never added up", anchor=False)
    st.markdown(
        "**Sampling error**: a run was finite; intervals come from 20 batches of consecutive requests. **Model "
        "error**: costs are uncertain; each has a standard error, and figures carry the band that follows from it. "
        "Neither says anything about effects that the model does not have; only real meshes do, in the first tab. From "
        "them each result has a band in which reality lies, and says in which directions it was not measured."
    )


def _capabilities() -> None:
    names = catalog.names("dataplanes")
    shown = st.pills(
        "Data planes", names, selection_mode="multi", default=list(DEFAULT_DATAPLANES), key="capability-planes"
    )
    planes = [catalog.load_dataplane(name) for name in shown]
    if not planes:
        st.info("Choose at least one data plane above.")
        return
    st.table(capability_table(planes))
    with st.expander("By whom, or why not"):
        for plane in planes:
            st.markdown(f"**{plain(plane.name)}**: {plain(plane.summary)}")
            answers = {str(feature): answer for feature, answer in plane.capabilities.items()}
            st.markdown(listed(f"{feature}: {_why(answers[feature])}" for feature in FEATURES if feature in answers))


def capability_table(planes: list[DataPlane]) -> pd.DataFrame:
    """A line a feature, a column a data plane."""
    return pd.DataFrame(
        {plane.name: [_answer(plane, feature) for feature in FEATURES] for plane in planes},
        index=pd.Index([f"{feature}: {words}" for feature, words in FEATURES.items()], name="feature"),
    )


def _answer(plane: DataPlane, feature: str) -> str:
    answer = {str(name): answer for name, answer in plane.capabilities.items()}.get(feature)
    if answer is None:
        return "not said"
    if answer.refused is not None:
        return "no"
    return f"falls back to {answer.falls_back_to}" if answer.falls_back_to else f"yes: {answer.by}"


def _why(answer: Capability) -> str:
    said = answer.refused or (f"falls back to {answer.falls_back_to}" if answer.falls_back_to else f"by {answer.by}")
    return f"{said}; {answer.note}" if answer.note else said
