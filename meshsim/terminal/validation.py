"""The scoreboard told to a person: errors by quantity, verdicts, and every row, worst first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.markup import escape

from meshsim.figures import numbers
from meshsim.results.bands import bands
from meshsim.results.rows import Estimate
from meshsim.results.scoreboard import QUANTITIES, Scoreboard, ScoreRow, ratio_summaries, summaries
from meshsim.terminal.reports import columns, heading, new_table, paragraph
from meshsim.testbed.deploy import lacking
from meshsim.testbed.scenarios import Case


def scoreboard(board: Scoreboard) -> Iterator[RenderableType]:
    """Everything that a scoreboard holds."""
    yield heading(f"Predicted against measured: {board.rounds} rounds on {board.host.get('processor', 'one host')}")
    if not board.complete:
        yield paragraph("Stopped: the same command goes on where this one was.", bold=True)
    yield from _summary(board)
    yield from _bands(board)
    yield from _verdicts(board)
    yield from _ratios(board)
    yield from _published(board)
    if board.rows:
        yield _rows(board.worst_first())
    for name, why in board.skipped.items():
        yield paragraph(f"Not measured: {name}: {why}")
    for warning in board.warnings:
        yield paragraph(f"Noisy: {warning}.")


def _summary(board: Scoreboard) -> Iterator[RenderableType]:
    found = summaries(board)
    if not found:
        yield paragraph("No scenario was measured to which nothing was fitted.")
        return
    table = new_table("Errors, over scenarios that nothing was fitted to")
    columns(table, "what", "rows", "median", "goal", "worst", "goal", "plain", "said / seen")
    for one in found:
        worst = "" if one.goal_worst is None else f"{one.goal_worst:.0%}"
        table.add_row(
            QUANTITIES[one.quantity][1], str(one.rows), f"{one.median_error:.0%}", f"{one.goal_median:.0%}",
            f"{one.worst_error:.0%}", worst, f"{one.median_gap:.0%}", f"{one.median_ratio:.2f}",
        )  # fmt: skip
    yield table
    yield paragraph(
        "A prediction within the measured interval has no error; plain: the median if nothing were forgiven. Few or "
        "disturbed rounds make intervals wide and errors small: then only the plain median says something."
    )


def _bands(board: Scoreboard) -> Iterator[RenderableType]:
    found = bands(board)
    if not found:
        return
    table = new_table("Model error: where reality lies, as factors on the prediction, with a chance of 90 %")
    columns(table, "quantity", "load", "from", "to", "scenarios", "left out, it holds for")
    for one in found:
        load = "" if one.load is None else f"{one.load:.0%}"
        table.add_row(
            one.quantity, load, f"{one.low:.2f}", f"{one.high:.2f}", str(one.scenarios), f"{one.coverage:.0%}"
        )
    yield table


def _verdicts(board: Scoreboard) -> Iterator[RenderableType]:
    if not board.verdicts:
        return
    wrong = [one for one in board.verdicts if not one.right]
    right = len(board.verdicts) - len(wrong)
    yield paragraph(
        f"Which of two data planes needs less: {right} of {len(board.verdicts)} right, where reality separates them."
    )
    for one in wrong:
        yield paragraph(
            f"  Wrong: {one.quantity} of {one.scenario}: {one.a} over {one.b} is {one.measured_ratio:.2f}, "
            f"predicted {one.predicted_ratio:.2f}."
        )


def _ratios(board: Scoreboard) -> Iterator[RenderableType]:
    found = ratio_summaries(board)
    if not found:
        return
    table = new_table("As ratios to no mesh, round by round")
    columns(table, "quantity", "rows", "median error", "worst", "plain")
    for one in found:
        table.add_row(
            one.quantity, str(one.rows), f"{one.median_error:.0%}", f"{one.worst_error:.0%}", f"{one.median_gap:.0%}"
        )
    yield table


def _published(board: Scoreboard) -> Iterator[RenderableType]:
    if not board.published:
        return
    table = new_table("Ratios that others published, worst first")
    for name in ("of", "over", "setting"):
        table.add_column(name, overflow="fold")
    for name in ("figure", "published", "predicted", "error"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in sorted(board.published, key=lambda row: -row.error):
        low, high = row.measured.low, row.measured.high
        table.add_row(
            escape(row.dataplane), escape(row.over), escape(row.setting),
            row.quantity + ("*" if row.used_for_fitting else ""),
            f"{low:g}" if low == high else f"{low:g}–{high:g}",
            "-" if row.predicted.value is None else f"{row.predicted.value:.2f}", f"{row.error:.0%}",
        )  # fmt: skip
    table.caption = "* a cost was derived from this very figure"
    yield table


def _rows(rows: Sequence[ScoreRow]) -> RenderableType:
    table = new_table("Every row, worst first")
    for name in ("scenario", "data plane"):
        table.add_column(name, overflow="fold")
    for name in ("quantity", "measured", "predicted", "error"):
        table.add_column(name, justify="right" if name == "error" else "left", no_wrap=name == "error")
    for row in rows:
        marks = ("*" if row.used_for_fitting else "") + ("" if row.inside_range else "+")
        table.add_row(
            escape(row.scenario) + marks, escape(row.dataplane), f"{row.quantity}, {row.unit}",
            interval(row.measured), interval(row.predicted), f"{row.error:.0%}",
        )  # fmt: skip
    table.caption = "* near to what costs were fitted to; + outside of the range in which they were measured"
    return table


def interval(estimate: Estimate) -> str:
    """12.3 [11.9, 12.8]."""
    if estimate.value is None:
        return "-"
    if estimate.low is None or estimate.high is None:
        return numbers.digits(estimate.value)
    low, high = numbers.digits(estimate.low), numbers.digits(estimate.high)
    return f"{numbers.digits(estimate.value)} \\[{low}, {high}]"


def listing(found: Sequence[Case]) -> Iterator[RenderableType]:
    """Scenarios, and what this host lacks for them."""
    table = new_table("Scenarios")
    for name in ("scenario", "what", "here"):
        table.add_column(name, overflow="fold")
    for case in found:
        lacks = lacking(case)
        what = f"{case.application.title} over {case.dataplane.title}"
        fitted = "; near to what costs were fitted to" if case.used_for_fitting else ""
        table.add_row(case.name, escape(what + fitted), escape(f"lacks {', '.join(lacks)}") if lacks else "yes")
    yield table
