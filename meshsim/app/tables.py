"""Charts as tables, for those who read better than they see."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from meshsim.app.charts import camera
from meshsim.figures import numbers as n
from meshsim.figures.growth import EXACT
from meshsim.figures.metrics import metric_named
from meshsim.results.rows import ComparisonReport, GrowthReport, Row


def growth_table(report: GrowthReport, simulated: ComparisonReport | None, metric: str) -> pd.DataFrame:
    """What the chart shows: a row a size, a column a data plane, the values in words with unit and interval."""
    what = metric_named(metric)
    rows = [*report.rows, *(with_simulation(report, simulated, metric).rows if simulated else [])]
    said = {(row.services, row.dataplane): n.interval(what.of(row), what.show) for row in rows}  # simulated ones last
    sizes = sorted({services for services, _ in said})
    planes = list(dict.fromkeys(row.dataplane for row in rows))
    cells = [[said.get((services, plane), "") for plane in planes] for services in sizes]
    return pd.DataFrame(cells, columns=planes, index=pd.Index(sizes, name="services"))


def with_simulation(report: GrowthReport, simulated: ComparisonReport | None, metric: str) -> GrowthReport:
    """Simulated points on the analytic curve, for what is simulated and not computed."""
    if simulated is None or metric in EXACT:
        return report
    return report.model_copy(update={"rows": simulated.rows, "curve": report.rows})


def comparison_table(rows: Sequence[Row]) -> pd.DataFrame:
    """A row a data plane: latency with its 95 % interval, CPU by who causes it."""
    cells = [
        {
            "data plane": row.dataplane,
            **{name: n.interval(getattr(row.latency_us, name), n.latency) for name in ("p50", "p90", "p99")},
            "CPU, cores": row.cpu_cores.total, "application": row.cpu_cores.application,
            "proxy": row.cpu_cores.proxy, "kernel": row.cpu_cores.kernel,
        }
        for row in rows
    ]  # fmt: skip
    return pd.DataFrame(cells).set_index("data plane")


def as_table(table: pd.DataFrame, key: str) -> None:
    """Below a chart, opened by who wants it; with what its camera saves."""
    opened = st.expander("The chart as a table, or as a picture for slides", key=key, on_change="rerun")
    if opened.open:
        with opened:
            st.dataframe(table)
            camera()
