"""A report as files: one page that opens offline, JSON, CSV, Parquet."""

from __future__ import annotations

import io
from functools import partial

import streamlit as st

from meshsim.figures.goals import Goals
from meshsim.figures.numbers import Currency, in_currency
from meshsim.formats.page import comparison_page, growth_page
from meshsim.results.rows import ComparisonReport, GrowthReport
from meshsim.studies.table import tidy
from meshsim.studies.version import model_version

Report = ComparisonReport | GrowthReport


def page(report: Report, shown_in: Currency, goals: Goals | None = None, growth: GrowthReport | None = None) -> str:
    """One HTML file, about 5 MB, nearly all of it plotly.js. ``goals`` and ``growth`` are for a comparison."""
    with in_currency(shown_in):
        if isinstance(report, GrowthReport):
            return growth_page(report)
        return comparison_page(report, goals=goals, growth=growth)


def csv(report: Report) -> str:
    """Tidy, one line a number, its unit beside it. Two first lines with # say where it comes from."""
    head = f"# meshsim {model_version()}: {report.provenance.command}\n# low, high: 95 % sampling interval\n"
    return head + str(tidy(report.rows, report.provenance.seed).to_csv(index=False))


def parquet(report: Report) -> bytes:
    """The same table; version, command and hashes are in the metadata of the schema."""
    import pyarrow as pa  # type: ignore[import-untyped]
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    table = pa.Table.from_pandas(tidy(report.rows, report.provenance.seed), preserve_index=False)
    about = {"meshsim.model": model_version(), "meshsim.provenance": report.provenance.model_dump_json()}
    table = table.replace_schema_metadata({**(table.schema.metadata or {}), **about})
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()


def downloads(
    report: Report, key: str, shown_in: Currency, goals: Goals | None = None, growth: GrowthReport | None = None
) -> None:
    """The buttons. Each file is made when it is asked for; the page in this currency, the tables in US dollars."""
    name = f"meshsim-{'grow' if isinstance(report, GrowthReport) else 'compare'}-{report.application}"
    # The callables run outside of the page: they hold nothing but the report.
    html = partial(page, report, shown_in, goals, growth)
    files = (
        ("Page, HTML", html, "html", "text/html", "One file: opens offline, prints to PDF."),
        ("Table, CSV", lambda: csv(report), "csv", "text/csv", "Tidy: one line a number, with its unit."),
        ("Table, Parquet", lambda: parquet(report), "parquet", "application/octet-stream", "The same, typed."),
        ("Report, JSON", lambda: report.model_dump_json(by_alias=True, indent=1), "json", "application/json",
         "Everything, as --json prints it."),
    )  # fmt: skip
    with st.container(horizontal=True):
        for label, made, ending, mime, help_ in files:
            st.download_button(
                label,
                data=made,
                file_name=f"{name}.{ending}",
                mime=mime,
                on_click="ignore",
                key=f"{key}-{ending}",
                help=help_,
            )
