"""Writes docs/validation.md from the scoreboards that are shipped: ``python docs/validation.py``. A test compares."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from meshsim.figures import numbers
from meshsim.results.bands import bands
from meshsim.results.rows import Estimate
from meshsim.results.scoreboard import QUANTITIES, Scoreboard, ScoreRow, read, summaries
from meshsim.testbed.scenarios import FITTED, shipped

HERE = Path(__file__).parent
INTRODUCTION = """# Does the model tell the truth?

`meshsim validate` builds small real meshes on one host, drives them, simulates the same files, and writes both side by
side: [validate.md](validate.md) says how. Here is what came out, all of it. Written by `python docs/validation.py` from
`models/validation/*.json`.
"""

CAUSES = """## Causes, as far as they were found

**Turns of an event loop.** The model charges a wake-up when a worker slept, and otherwise the same work for each
message. A real Envoy does part of its work once a turn of its event loop, for all that is ready then. Counted by
Envoy's own dispatcher statistics (one worker on a CPU of its own, HTTP/1.1, one quiet run): 4.0 turns and 236 µs a
request with one connection, 0.29 turns and 92 µs with 16, 0.08 turns and 78 µs with 64; nothing slept in the last
two. Over 13 such points, 81 µs + 33 µs a turn misses by 7 % in the median and 24 % at worst, 97 µs + 71 µs a sleep
by 9 % and 42 %. This is why the saturation of one proxy is predicted too low, and why 80 % of the real saturation
is overload in the simulation, with medians up to 80 times too high. The engines have no turns yet.

**Work at low rates.** CPU of applications at 10 % of saturation is predicted a quarter too low, at 80 % right.
Which part of it is caches, timers or moves between cores was not measured.

**Tails.** p99 is predicted 1.7 times too low at 10 % and five times at 50 % (medians). It was not found out why;
several threads sharing two cores under the kernel's scheduler is a guess.

**Memory.** The bill prices an Envoy that has served one connection; here 32 are open, and filters are configured.
"""


def page() -> str:
    """The whole page."""
    parts = [INTRODUCTION]
    for path in shipped():
        parts += _board(path.stem, read(path))
    parts.append(CAUSES)
    return "\n".join(parts)


def _board(name: str, board: Scoreboard) -> Iterator[str]:
    host = board.host
    yield f"## {name}\n"
    yield (
        f"{host.get('processor', 'One host')}, {host.get('cores', '?')} cores, {host.get('kernel', '')}; "
        f"{board.rounds} interleaved rounds; predicted with {' and '.join(f'`{book}`' for book in board.costs)}. "
        f"{len({(row.case, row.load) for row in board.rows})} scenarios, {len(board.rows)} rows.\n"
    )
    yield "### Errors, over scenarios that nothing was fitted to\n"
    yield from _table(
        ("what", "rows", "median error", "goal", "worst error", "goal", "plain median", "said / seen", "worst row"),
        (
            (
                QUANTITIES[one.quantity][1], one.rows, f"{one.median_error:.0%}", f"{one.goal_median:.0%}",
                f"{one.worst_error:.0%}", "" if one.goal_worst is None else f"{one.goal_worst:.0%}",
                f"{one.median_gap:.0%}", f"{one.median_ratio:.2f}", one.worst,
            )
            for one in summaries(board)
        ),
    )  # fmt: skip
    yield (
        "A prediction inside the measured interval has no error; the plain median forgives nothing. Few or disturbed "
        "rounds make intervals wide and errors small: then only the plain median says something. The goals are aims, "
        "not results.\n"
    )
    yield from _bands(board)
    yield from _verdicts(board)
    yield "### Every row, worst first\n"
    yield (
        "Measured: median over undisturbed rounds, and order statistics around it: from six rounds on they hold the "
        "true median with 95 %; fewer give their whole range, which holds it with 50 % (two), 75 % (three), 88 % "
        "(four) or 94 % (five). Predicted: with the errors of the costs and of a finite run, 95 %. \\* near to what "
        "the cost book was fitted to; + outside of the range in which its costs were measured. Shares of "
        "saturation are each data plane's own: rates differ between them.\n"
    )
    yield from _table(
        ("scenario", "data plane", "quantity", "measured", "predicted", "error"), map(_row, board.worst_first())
    )
    yield "### What is no validation\n"
    for case, why in FITTED.items():
        yield f"* `{case}`: {why}."
    yield ""
    for warning in board.warnings:
        yield f"* {warning}."
    for case, why in board.skipped.items():
        yield f"* Not measured: `{case}`: {why}."


def _bands(board: Scoreboard) -> Iterator[str]:
    found = bands(board)
    if not found:
        return
    yield "### The model's own error\n"
    yield (
        "Reality lies between these factors of a prediction with a chance of 90 %. The last column leaves out one "
        "scenario after the other: the share of its rows that lie in the band which the others give.\n"
    )
    yield from _table(
        ("quantity", "from", "to", "scenarios", "left out"),
        ((b.quantity, f"{b.low:.2f}", f"{b.high:.2f}", b.scenarios, f"{b.coverage:.0%}") for b in found),
    )


def _verdicts(board: Scoreboard) -> Iterator[str]:
    wrong = [one for one in board.verdicts if not one.right]
    yield "### Which of two data planes needs less\n"
    counted = sorted({row.rounds for row in board.rows})
    yield (
        f"Each row has {counted[0]} to {counted[-1]} undisturbed rounds. {len(board.verdicts) - len(wrong)} of "
        f"{len(board.verdicts)} right, where the measured intervals do not touch; data planes are compared at equal "
        f"shares of their own saturation.{' Wrong:' if wrong else ''}\n"
    )
    if wrong:
        yield from _table(
            ("scenario", "quantity", "a", "b", "a / b measured", "a / b predicted"),
            ((w.scenario, w.quantity, w.a, w.b, f"{w.measured_ratio:.2f}", f"{w.predicted_ratio:.2f}") for w in wrong),
        )


def _row(row: ScoreRow) -> Sequence[object]:
    marks = ("\\*" if row.used_for_fitting else "") + ("" if row.inside_range else "+")
    quantity = f"{row.quantity}, {row.unit}"
    error = f"{row.error:.0%}"
    return row.scenario + marks, row.dataplane, quantity, _interval(row.measured), _interval(row.predicted), error


def _interval(estimate: Estimate) -> str:
    if estimate.value is None:
        return "–"
    value = numbers.digits(estimate.value)
    if estimate.low is None or estimate.high is None:
        return value
    return f"{value} [{numbers.digits(estimate.low)}, {numbers.digits(estimate.high)}]"


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(map(str, row))} |"
    yield ""


if __name__ == "__main__":
    (HERE / "validation.md").write_text(page())
