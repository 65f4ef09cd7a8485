"""Progress on the error stream: a bar on a terminal, now and then a line elsewhere; nothing for what is quick."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

QUICK_S = 1.0
LINE_EVERY_S = 10.0
SAYS_LITTLE = 0.01
"""Of so small a share nothing is concluded about the time left."""

Report = Callable[[int, int, str], None]


@contextmanager
def progress(what: str) -> Iterator[Report]:
    """Gives a callback (done, total, words)."""
    if sys.stderr.isatty():
        with _bar(what) as report:
            yield report
    else:
        yield _lines(what)


@contextmanager
def _bar(what: str) -> Iterator[Report]:
    console = Console(stderr=True)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[words]}"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )
    task = bar.add_task(what, total=None, words="")
    began = time.monotonic()
    shown = False

    def report(done: int, total: int, words: str) -> None:
        nonlocal shown
        if not shown and time.monotonic() - began >= QUICK_S:
            bar.start()
            shown = True
        bar.update(task, completed=done, total=total, words=words)

    try:
        yield report
    finally:
        if shown:
            bar.stop()


def duration(seconds: float) -> str:
    """'40 s', '12 min', '3.5 h'."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def _lines(what: str) -> Report:
    lines = [(time.monotonic(), 0)]
    began = lines[0][0]

    def report(done: int, total: int, words: str) -> None:
        now = time.monotonic()
        if now - lines[-1][0] < LINE_EVERY_S or not total:
            return
        if done < lines[-1][1]:  # other work, which begins
            lines[:] = [(now, done)]
        done = min(done, total)  # points that are taken again are more than were expected
        # As quick as since one of the last lines: what is quick now may have begun with compiling an engine.
        since = next((line for line in reversed(lines) if done - line[1] >= SAYS_LITTLE * total), None)
        pace = None if since is None else (now - since[0]) / (done - since[1])
        left = "" if pace is None else f", about {duration(pace * (total - done))} left"
        lines.append((now, done))
        print(f"{what}: {done / total:.0%}, {words}, {duration(now - began)}{left}", file=sys.stderr, flush=True)

    return report


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Gives a question: was Ctrl-C pressed, or the program told to end? A second time ends it at once."""
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    pressed = False

    def on_interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal pressed
        if pressed:
            raise KeyboardInterrupt
        pressed = True
        print("\nStopping; once more to give up at once.", file=sys.stderr, flush=True)

    before = {number: signal.signal(number, on_interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: pressed
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
