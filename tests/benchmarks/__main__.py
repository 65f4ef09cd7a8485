"""``python -m tests.benchmarks``: how fast the engines are, and which goals that reaches."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numba

from meshsim.engines import compiled
from meshsim.measure.host import LoadWatch, conditions

from .goals import of_speed, of_the_others
from .page import Measured, page
from .speed import cases, measure, peers


def say(text: str) -> None:
    """Progress, where it does not get into the answer."""
    print(text, file=sys.stderr, flush=True)


def arguments(words: list[str] | None) -> argparse.Namespace:
    """What is asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="under a minute, on small models: that it works")
    parser.add_argument("--large", action="store_true", help="also 1 million requests through 100 000 pods")
    parser.add_argument("--threads", action="store_true", help="also two threads over one; needs two idle cores")
    parser.add_argument("--only", metavar="WORDS", help="only models whose name has these words, and no other numbers")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write everything that was measured")
    parser.add_argument("--docs", metavar="FILE", type=Path, help="write the page for the documents")
    return parser.parse_args(words)


def main(words: list[str] | None = None) -> int:
    """Measure and tell."""
    given = arguments(words)
    wanted = [case for case in cases(given.quick) if given.only is None or given.only in case.name]
    if not wanted:
        names = ", ".join(case.name for case in cases(given.quick))
        print(f"--only: {given.only!r} received; it is in none of {names}", file=sys.stderr)
        return 2
    peers()
    if not compiled.is_kept():
        say("compiling the engine, once on this machine")
    compiled.machine_code()
    began = time.monotonic()
    with LoadWatch() as watch:
        speeds = [measure(case, say) for case in wanted]
        numbers = of_speed(speeds)
        if given.only is None:
            numbers += of_the_others(given.quick, given.large, given.threads, say)
    compiler = next((speed.compiler for speed in speeds if speed.compiler), "none")
    machine = {**conditions(), "numba": numba.__version__, "C++ compiler": compiler}
    flags = [f"--{name}" for name in ("quick", "large", "threads") if getattr(given, name)]
    command = " ".join(["python -m tests.benchmarks", *flags, *([f"--only '{given.only}'"] if given.only else [])])
    measured = Measured(command, machine, watch.foreign_cores, time.monotonic() - began, speeds, numbers)
    print(page(measured))
    if given.json is not None:
        given.json.write_text(json.dumps(measured.as_json(), indent=1) + "\n")
    if given.docs is not None:
        given.docs.write_text(page(measured))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
