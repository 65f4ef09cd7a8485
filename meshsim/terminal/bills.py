"""The static bill as tables."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.markup import escape

from meshsim.figures import numbers
from meshsim.studies.bill import BillReport, BillRow
from meshsim.terminal.reports import columns, heading, new_table, paragraph


def bills(report: BillReport) -> Iterator[RenderableType]:
    """What is needed before the first request, then configuration, then how long a new pod takes."""
    yield heading(f"{report.application}, {report.services} services, policy {report.policy}: before the first request")
    for one in report.refused:
        yield paragraph(f"No row for {one.dataplane}: {one.reason}.")
    if not report.rows:
        return
    table = new_table("Memory in MiB, CPU in cores, US dollars a month")
    columns(table, "data plane", "pods", "nodes", "memory", "idle CPU", "reserved MiB", "reserved CPU", "dollars")
    for row in report.rows:
        table.add_row(
            escape(row.dataplane), f"{row.pods:,}", f"{row.nodes:,}", f"{row.memory_mib:,.0f}",
            numbers.digits(row.idle_cores), f"{row.reserved_memory_mib:,.0f}", numbers.digits(row.reserved_cores),
            f"{row.usd_month:,.2f}",
        )  # fmt: skip
    yield table
    churn = next((row.configuration.churn_per_minute for row in report.rows if row.configuration is not None), 0.0)
    table = new_table(f"Configuration, and what pushing takes at {numbers.count(churn)} changes a minute")
    columns(table, "data plane", "receivers", "all, MiB", "most, KiB", "KiB/s", "control, mCPU", "proxies, mCPU")
    table.columns[0].no_wrap = True
    for row in report.rows:
        config = row.configuration
        if config is not None:
            figures = (config.config_mib, config.largest_config_kib, config.push_kib_s)
            work = (config.control_plane_millicores, config.proxy_millicores)
            cells = [f"{config.receivers:,}", *(numbers.digits(value) for value in (*figures, *work))]
            table.add_row(escape(row.dataplane), *cells)
        else:
            table.add_row(escape(row.dataplane), *["–"] * 6)
    yield table
    for row in report.rows:
        yield from _startup(row)
    for note in report.notes:
        yield paragraph(f"  Note: {note}")


def _startup(row: BillRow) -> Iterator[RenderableType]:
    total = numbers.latency(row.startup_ms * 1000)
    table = new_table(f"A new pod over {row.dataplane}: {total} when node and image are there")
    columns(table, "link", "takes", "95 %: from", "to", "source")
    for link in row.startup:
        when = "" if link.when == "always" else f" ({link.when})"
        times = (numbers.latency(value * 1000) for value in (link.ms, link.low_ms, link.high_ms))
        table.add_row(escape(link.name + when), *times, ", ".join(dict.fromkeys(link.sources)))
    yield table
