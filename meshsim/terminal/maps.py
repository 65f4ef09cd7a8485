"""The metastability map as a table."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.markup import escape
from rich.text import Text

from meshsim.figures import numbers
from meshsim.results.rows import MetastabilityCell, MetastabilityReport
from meshsim.terminal.reports import columns, footer, heading, new_table, paragraph

SHORT = {"safe": "safe", "vulnerable": "vuln", "stuck": "STUCK", None: "?"}
MOST_RATES = 12
"""Columns that fit; more rates go on in a table of their own."""


def metastability(report: MetastabilityReport) -> Iterator[RenderableType]:
    """One table a data plane: a line a policy, a column a rate; then what theory expects."""
    yield heading(f"{report.application}: {report.trigger}, then {report.within_s:g} s to recover")
    if report.partial:
        yield Text("Stopped early: this is what was finished until then.", style="bold")
    for name in dict.fromkeys(cell.dataplane for cell in report.cells):
        mine = [cell for cell in report.cells if cell.dataplane == name]
        rates = sorted({cell.rps for cell in mine})
        for first in range(0, len(rates), MOST_RATES):
            yield _table(report, name, mine, rates[first : first + MOST_RATES])
        for reason in dict.fromkeys(cell.reason for cell in mine if cell.reason):
            yield paragraph(f"  ?: {reason}")
    for name in dict.fromkeys(one.dataplane for one in report.boundaries):
        capacity = next(one.capacity_rps for one in report.boundaries if one.dataplane == name)
        yield paragraph(f"  The busiest station of {name} saturates at {numbers.digits(capacity)} requests/s (theory).")
    yield paragraph(
        f"It works while {report.good_share:.0%} of the answers are good, each attempt within {report.timeout_ms:g} "
        "ms. safe: well again after the trigger. vuln: the trigger keeps it down. STUCK: down without it. Theory: "
        "above that rate an overload feeds itself, and above the saturation rate nothing helps."
    )
    for note in report.notes:
        yield paragraph(f"  Note: {note}")
    yield footer(report.provenance)


def _table(
    report: MetastabilityReport, name: str, cells: list[MetastabilityCell], rates: list[float]
) -> RenderableType:
    lines = {one.policy: one for one in report.boundaries if one.dataplane == name}
    table = new_table(f"{escape(name)}: retries against requests/s")
    columns(table, "retries", *map(numbers.count, rates), "theory")
    found = {(cell.policy, cell.rps): SHORT[cell.verdict] for cell in cells}
    for policy in dict.fromkeys(cell.policy for cell in cells):
        above = lines[policy].sustained_rps if policy in lines else None
        table.add_row(
            policy, *(found.get((policy, rate), "") for rate in rates), "" if above is None else numbers.digits(above)
        )
    return table
