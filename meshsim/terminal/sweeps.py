"""What the sweep and replay commands print."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import RenderableType
from rich.markup import escape

from meshsim.studies.replay import Replay
from meshsim.studies.sweep import Sweep
from meshsim.terminal import reports
from meshsim.terminal.progress import duration
from meshsim.terminal.reports import columns, heading, new_table, paragraph


def done(sweep: Sweep) -> Iterator[RenderableType]:
    """What a sweep did, or would do."""
    without = f"; {sweep.failed:,} could not be simulated, column error says why." if sweep.failed else "."
    yield paragraph(
        f"{len(sweep.points):,} points: {sweep.known:,} were there, {sweep.computed:,} computed, "
        f"{sweep.missing:,} missing{without}"
    )
    if sweep.estimate is not None:
        estimate = sweep.estimate
        yield paragraph(
            f"The missing ones will take about {duration(estimate.seconds)} with {estimate.processes} processes, "
            f"judging by {estimate.basis}."
        )
    if sweep.dry_run:
        yield paragraph("Nothing was computed (--dry-run).")
    else:
        yield paragraph(f"One Parquet file a point in {sweep.folder}; docs/studies.md shows how to query them.")
    if sweep.partial:
        yield paragraph("Interrupted: the same command goes on where this one was.")


def status(found: dict[str, Any]) -> Iterator[RenderableType]:
    """A folder of results."""
    yield heading(f"{found['folder']}: {found['points']:,} points by model {found['model']}")
    if not found["same_model"]:
        yield paragraph("This meshsim is another model: it will not add to this folder.", bold=True)
    each = found["seconds_a_point"]
    if each is not None:
        yield paragraph(f"A point took {each:.3g} s on average, on one core.")
    yield paragraph(f"{found['failed']:,} could not be simulated; {found['computing']:,} are being computed now.")
    table = new_table("Studies")
    columns(table, "study", "points", "missing", "core time left")
    for study in found["studies"]:
        name = f"{study['name']} ({study['file']})" if study["name"] else study["file"]
        left = "" if each is None else duration(each * study["missing"])
        table.add_row(escape(name), f"{study['points']:,}", f"{study['missing']:,}", left)
    yield table


def replay(again: Replay) -> Iterator[RenderableType]:
    """Whether it came out the same, then the run in full."""
    if again.simulation is not None:
        yield from reports.simulation(again.simulation)
    else:
        yield paragraph(f"No numbers: {again.error}")
    if again.partial:
        yield paragraph("Interrupted: not compared with what is stored.", bold=True)
    elif again.identical:
        yield paragraph(f"Row {again.key[:12]} came out the same to the last bit.", bold=True)
    else:
        yield paragraph(f"Row {again.key[:12]} came out otherwise:", bold=True)
        if again.stored_model != again.to_dict()["model"]:
            yield paragraph(f"  It was computed by another model, {again.stored_model}.")
        table = new_table()
        columns(table, "column", "stored", "now")
        for name, (before, now) in again.differences.items():
            table.add_row(name, escape(str(before)[:40]), escape(str(now)[:40]))
        yield table
