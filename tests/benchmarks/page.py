"""What was measured, as Markdown for the terminal and the documents, and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from meshsim.figures import numbers

from .goals import Number, apart
from .speed import Speed

MACHINE = ("processor", "family", "cores", "virtual machine", "memory", "kernel", "python", "numba", "C++ compiler")


@dataclass(frozen=True)
class Measured:
    """All of a run of the benchmark."""

    command: str
    machine: dict[str, str]
    foreign_cores: float
    """Cores that other processes used on average."""
    seconds: float
    speeds: list[Speed]
    numbers: list[Number]

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown that can also be read as it is."""
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) + " |"

    return "\n".join([line(head), "|" + "|".join("-" * (width + 2) for width in widths) + "|", *map(line, rows)])


def digits(value: float) -> str:
    """Three significant digits, thousands apart."""
    return numbers.digits(value).replace(",", " ")


def goals_table(found: Sequence[Number]) -> str:
    """Goals and what was measured."""
    verdict = {True: "yes", False: "no", None: "-"}
    rows = [(number.what, number.goal, number.said, verdict[number.reached]) for number in found]
    return table(("what", "goal", "measured", "reached"), rows)


def speed_table(speed: Speed) -> str:
    """Entrants of a case."""
    rows = []
    for lap in speed.laps:
        spread = f"{digits(min(lap.ns))} to {digits(max(lap.ns))}" if len(lap.ns) > 1 else ""
        rows.append((lap.name, digits(lap.median_ns), spread, digits(lap.ratio) + "×", apart(lap.stages)))
    lines = [table(("who", "ns a stage", "rounds", "time over compiled", "stages a round"), rows)]
    lines += [f"{name} was skipped: {why}." for name, why in speed.skipped.items()]
    return "\n\n".join(lines)


INTRODUCTION = """\
# Benchmarks

Written by `{command}`.

CPU time; all entrants of a model in turn in each round; a ratio is the median of the ratios within the rounds. The C++
program ([tests/benchmarks/native/engine.cpp](../tests/benchmarks/native/engine.cpp)) reads the same plan and must count
the same to the nanosecond; the programs of SimPy, Ciw, salabim and Cimba-Python are written as their users would write
them, and keep fewer books than our engines. `pip install -e '.[benchmark]'` brings the peers. How far the analytic
engine is from simulation: `python -m tests.benchmarks.analytic`.
"""

MODELS = """\
M/M/1: utilisation 0.75. Stations: an open network, 40 visits a request, stations with 1, 2, 4 and 8 servers in turn and
one of them at random, exponential service, Poisson arrivals, utilisation 0.6; for us a visit is a call from one pod to
another, with a frame of its own, a thread that is held, and the books of calls. Mesh: eight services as a tree of depth
four with parallel calls that are joined, 64 pods with a pool of threads each, sidecars with two workers at both ends of
a call, telemetry after the reply, 8 nodes with 4 cores, utilisation 0.6, 61 visits to a core a request. The engines and
the C++ program run until the last request is answered; the others stop after so many stages.
"""


def page(measured: Measured) -> str:
    """Everything, as Markdown."""
    load = f"{measured.foreign_cores:.2f} cores were used by others meanwhile; it took {measured.seconds:.0f} s"
    machine = [(name, measured.machine[name]) for name in MACHINE if name in measured.machine]
    parts = [
        INTRODUCTION.format(command=measured.command),
        table(("", "this host"), [*machine, ("load", load)]),
        "## Goals",
        goals_table(measured.numbers),
        "## Who simulates how fast",
        MODELS,
    ]
    for speed in measured.speeds:
        parts += [f"### {speed.case}", f"A stage is {speed.stage}.", speed_table(speed)]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"
