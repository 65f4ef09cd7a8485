"""What a host can measure, what a session measured, and two books side by side, told to a person."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.markup import escape

from meshsim.costs.diff import Diff, Ratio
from meshsim.figures import numbers
from meshsim.measure.doctor import Capability, capability
from meshsim.measure.experiment import GROUPS, Experiment
from meshsim.measure.findings import Cell, Finding
from meshsim.measure.session import Session
from meshsim.terminal.reports import columns, heading, new_table, paragraph


def doctor(found: Sequence[Capability], experiments: Sequence[Experiment]) -> Iterator[RenderableType]:
    """Capabilities with remedies, and what that means for each group."""
    table = new_table("What this host has")
    for name, where in (("", "left"), ("what", "left"), ("found, or how to get it", "left")):
        table.add_column(name, justify="left" if where == "left" else "right", overflow="fold")
    for one in found:
        said = one.found if one.ok else f"missing: {one.remedy}"
        table.add_row("yes" if one.ok else "no", escape(one.what), escape(said), style="" if one.ok else "bold")
    yield table
    there = {one.name for one in found if one.ok}
    table = new_table("What it can measure")
    columns(table, "group", "experiments", "of them here", "a full round", "a quick round")
    for group in GROUPS:
        mine = [e for e in experiments if e.group == group]
        here = [e for e in mine if set(e.needs) <= there]
        table.add_row(
            group, str(len(mine)), str(len(here)),
            f"{sum(e.seconds for e in here):.0f} s", f"{sum(e.quick_seconds or 0.0 for e in here):.0f} s",
        )  # fmt: skip
    yield table
    lacking = [one for one in found if not one.ok]
    yield paragraph(
        f"Missing here: {numbers.listed([one.what for one in lacking])}. Everything else can be measured."
        if lacking
        else "Everything can be measured here: meshsim measure all --out my-host.yaml"
    )


def listing(experiments: Sequence[Experiment]) -> Iterator[RenderableType]:
    """Experiments with what they measure and what this host lacks for them."""
    table = new_table("Experiments")
    for name in ("experiment", "what it measures", "a round", "here"):
        table.add_column(name, overflow="fold")
    for one in experiments:
        lacking = [c.what for c in map(capability, one.needs) if not c.ok]
        here = f"lacks {', '.join(lacking)}" if lacking else "yes"
        table.add_row(one.name, escape(one.what), f"{one.seconds:g} s", here)
    yield table


def session(done: Session) -> Iterator[RenderableType]:
    """What came out, what was skipped and why, and how far to trust it."""
    if done.book is not None:
        table = new_table(f"{done.path}: {done.book.title}")
        table.add_column("operation", overflow="fold", ratio=4)
        table.add_column("cost", overflow="fold", ratio=5)
        table.add_column("±", justify="right", no_wrap=True)
        table.add_column("rounds differ by", justify="right", no_wrap=True)
        from meshsim.terminal.models import price

        for entry in done.book.entries:
            spread = f"{entry.evidence.spread:.0%}" if entry.evidence is not None else ""
            table.add_row(escape(entry.operation), escape(price(entry)), f"{entry.standard_error:.0%}", spread)
        yield table
    yield from skipped(done)
    for warning in done.warnings:
        yield paragraph(f"Noisy: {warning}.")
    if not done.complete:
        yield paragraph("Stopped: the same command goes on where this one was.", bold=True)
    if done.book is not None:
        yield paragraph(
            f"± is one standard error, relative. Use it: meshsim compare online-boutique --costs {done.path} "
            "--costs published"
        )


def skipped(done: Session) -> Iterator[RenderableType]:
    """Experiments that gave nothing."""
    if not done.skipped:
        return
    yield heading("Not measured")
    for one in done.skipped:
        remedy = f" Remedy: {one.remedy}." if one.remedy else ""
        yield paragraph(f"  {one.experiment}: {one.reason}.{remedy}")


def findings(found: Sequence[Finding]) -> Iterator[RenderableType]:
    """What a session found beside costs."""
    if not found:
        yield paragraph("This book has no samples beside it, or none of them is a finding.")
    for one in found:
        table = new_table(one.title)
        for name in one.rows[0]:
            numeric = all(not isinstance(row[name], str) for row in one.rows)
            table.add_column(name, justify="right" if numeric else "left", overflow="fold")
        for row in one.rows:
            table.add_row(*(escape(cell(value)) for value in row.values()))
        yield table


def cell(value: Cell) -> str:
    """A number with three digits, whole numbers in full; a dash for nothing."""
    if value is None or value == "":
        return "-"
    return f"{value:,}" if isinstance(value, int) else numbers.digits(value) if isinstance(value, float) else value


def diff(found: Diff) -> Iterator[RenderableType]:
    """Ratios with intervals, those that disagree first."""
    if found.ratios:
        table = new_table(f"{found.second} over {found.first}")
        columns(table, "operation", "what", found.first, found.second, "ratio", "95 %")
        for one in sorted(found.ratios, key=lambda r: not r.differs):
            table.add_row(*_ratio_row(one), style="bold" if one.differs else "")
        yield table
        apart = sum(one.differs for one in found.ratios)
        yield paragraph(
            f"{apart} of {len(found.ratios)} figures differ by more than their errors allow (bold)."
            if apart
            else "No figure differs by more than its errors allow."
        )
    else:
        yield paragraph(f"{found.first} and {found.second} share no operation.")
    for name, only in ((found.first, found.only_first), (found.second, found.only_second)):
        if only:
            yield paragraph(f"Only in {name}: {', '.join(only)}.")


def _ratio_row(one: Ratio) -> list[str]:
    unit = {"bytes": "B", "cores": "cores", "ratio": "x"}.get(one.field, "ns/B" if "per_byte" in one.field else "ns")
    kind = "wait" if one.field.startswith("wait") else "CPU" if one.field.startswith("cpu") else "memory"
    what = {"ratio": "ratio", "cores": "cores"}.get(one.field, f"{kind}, {unit}")
    if one.ratio is None or one.low is None or one.high is None:
        ratio, interval = "", ""
    else:
        ratio, interval = numbers.digits(one.ratio), f"{numbers.digits(one.low)} to {numbers.digits(one.high)}"
    return [escape(one.operation), what, numbers.digits(one.first), numbers.digits(one.second), ratio, interval]
