"""The arithmetic behind the headline figures: the formula with its numbers, and each part with what it rests on."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from meshsim.app import instant
from meshsim.app.controls import Setting
from meshsim.app.text import listed, plain
from meshsim.figures import numbers as n
from meshsim.figures.numbers import show_money_in
from meshsim.figures.words import tail_alt
from meshsim.results.rows import ComparisonReport, Row
from meshsim.scenario.base import MeshsimError
from meshsim.studies.spending import Spending, formula

FIGURES = ("Money", "CPU", "Memory", "Latency")


def arithmetic(setting: Setting, shown: ComparisonReport) -> None:
    """A popover; what is in it is worked out when it is opened."""
    st.fragment(_popover)(setting, shown)


def _popover(setting: Setting, shown: ComparisonReport) -> None:
    show_money_in(setting.terms.shown_in)
    popover = st.popover("Show the arithmetic", key="arithmetic", on_change="rerun")
    if not popover.open:
        return
    with popover:
        left, right = st.columns(2)
        plane = str(left.selectbox("Of", [row.dataplane for row in shown.rows], key="arithmetic-plane"))
        figure = right.selectbox("Figure", FIGURES, key="arithmetic-figure")
        row = next((row for row in shown.rows if row.dataplane == plane), shown.rows[0])
        try:
            spent = instant.approximations(setting)[plane].spent
        except (MeshsimError, KeyError):
            st.info("Nothing is known of it at this load.")
            return
        {"Money": _money, "CPU": _cpu, "Memory": _memory, "Latency": _latency}[str(figure)](spent, row)


def _money(spent: Spending, row: Row) -> None:
    st.markdown(listed(formula(spent)))
    chosen = n.currency()
    if chosen.code != "USD":
        st.markdown(plain(f"x {chosen.per_usd:g} {chosen.code} for a dollar = {n.money(spent.usd_month)} a month."))
    _and_simulated(row, n.money(spent.usd_month), n.money(row.usd_month))
    st.markdown(
        "Reservations are in the files of data plane and application; *Prices and sidecars* moves those of sidecars."
    )


def _cpu(spent: Spending, row: Row) -> None:
    st.markdown(
        plain(f"{n.count(spent.rps)} requests a second x the µs of CPU that each takes = {n.cores(spent.cores)}.")
    )
    st.dataframe(cpu_table(spent), hide_index=True)
    _and_simulated(row, n.cores(spent.cores), n.cores(row.cpu_cores.total))


def _memory(spent: Spending, row: Row) -> None:
    st.markdown(plain(f"How many there are x the memory that each takes = {n.memory(spent.mib)}."))
    st.dataframe(memory_table(spent), hide_index=True)


def _latency(spent: Spending, row: Row) -> None:
    if row.engine == "analytic":
        st.markdown(
            "Approximated: queueing formulas of each worker, thread and core, and the distribution of their sum. A "
            "simulation follows; then the mean request is taken apart here. *Anatomy* shows a request that meets no "
            "queue, step by step."
        )
        return
    parts = latency_table(row)
    total = float(parts["together, µs"].iloc[-1])
    st.markdown(plain(
        f"The mean of the requests that were kept whole, on the critical path: {n.latency(total)}. The mean of all "
        f"{row.requests:,} is {n.interval(row.mean_us, n.latency)}; p50 and p99 are the latencies that 50 and 99 of "
        f"100 requests stay within: {n.interval(row.latency_us.p50, n.latency)} and "
        f"{n.interval(row.latency_us.p99, n.latency)}."
    ))  # fmt: skip
    st.dataframe(parts, hide_index=True)
    if row.tail is not None:
        st.markdown(plain(tail_alt([row])))


def _and_simulated(row: Row, computed: str, shown: str) -> None:
    if row.engine != "analytic" and computed != shown:
        st.markdown(plain(f"That is by the means of all costs; the requests that were simulated came to {shown}."))


def cpu_table(spent: Spending) -> pd.DataFrame:
    """One line an operation; the last is the sum."""
    rows = [
        {
            "operation": part.operation or part.who, "who": part.who,
            "µs a request": None if part.operation.startswith("idle.") or not part.operation else part.times,
            "cores": part.cores, "source": part.source, "standard error": part.standard_error,
        }
        for part in sorted(spent.parts, key=lambda part: -part.cores) if part.cores > 0
    ]  # fmt: skip
    each = sum(row["µs a request"] or 0.0 for row in rows)  # type: ignore[misc]
    last = {"operation": "sum", "who": "", "µs a request": each, "cores": spent.cores, "source": ""}
    return pd.DataFrame([*rows, last])


def memory_table(spent: Spending) -> pd.DataFrame:
    """The same for memory."""
    rows = [
        {
            "operation": part.operation or part.who, "how many": part.times, "each, KiB": part.mib * 1024 / part.times,
            "MiB": part.mib, "source": part.source, "standard error": part.standard_error,
        }
        for part in sorted(spent.parts, key=lambda part: -part.mib) if part.mib > 0
    ]  # fmt: skip
    last = {"operation": "sum", "MiB": spent.mib, "source": ""}
    return pd.DataFrame([*rows, last])


def latency_table(row: Row) -> pd.DataFrame:
    """Of a simulated row: what a mean request waits for, by operation; the last line is the sum."""
    rows: list[dict[str, Any]] = [
        {
            "operation": part.operation, "who": part.component, "on a core, µs": part.running_us,
            "in line, µs": part.queueing_us, "off the core, µs": part.waiting_us,
            "together, µs": part.running_us + part.queueing_us + part.waiting_us,
        }
        for part in row.attribution
    ]  # fmt: skip
    rows.sort(key=lambda one: -float(one["together, µs"]))
    sums = (
        {name: sum(float(one[name]) for one in rows) for name in list(rows[0])[2:]} if rows else {"together, µs": 0.0}
    )
    return pd.DataFrame([*rows, {"operation": "sum", "who": "", **sums}])
