"""Run independent tasks on all cores with progress and a way to stop; what was finished is never lost.

The tasks run in loky processes, or on threads where their work lets go of the interpreter (joblib). A small file
mapped into memory carries the progress of each of them to the caller, and the wish to stop back. The caller's thread
only waits and reports, so its callbacks run where it called from, and Ctrl-C arrives there.
"""

from __future__ import annotations

import queue
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

T = TypeVar("T")
R = TypeVar("R")

Tick = Callable[[int, int], None]
"""Called with (done, total) of one task."""
Stop = Callable[[], bool]
Work = Callable[[T, Tick, Stop], R | None]
"""Does one task; None when it was stopped before it was finished."""
Progress = Callable[[int, int, str], None]
"""Called with (done, total, what), over all tasks."""

POLL_S = 0.1


def run_all(
    work: Work[T, R],
    tasks: Sequence[T],
    *,
    size: int,
    jobs: int,
    on_result: Callable[[int, R], None],
    on_progress: Progress | None = None,
    should_stop: Stop | None = None,
    admit: Callable[[int], bool] | None = None,
    threads: bool = False,
) -> bool:
    """Do every task, each counted as ``size`` units; hand each result over as (index, result) when it is there.

    ``jobs`` processes at a time, -1 for one a core; 1 stays in this process. ``work`` and the tasks must be
    picklable for more than one. ``threads`` instead of processes begin at once, and need work that holds the
    interpreter for a small part of its time only (``meshsim.engines.select.runs_on_threads``). An error in a task,
    or in ``on_result``, stops the rest and is raised.
    ``admit(index)`` is asked before a task is begun, maybe from another thread; False passes it over.
    Returns True if everything was done, False if ``should_stop`` or Ctrl-C cut it short.
    """
    tell = _Teller(len(tasks), size, on_progress)
    if jobs == 1 or len(tasks) <= 1:
        return _here(work, tasks, tell, on_result, should_stop, admit or _always)
    with tempfile.TemporaryDirectory(prefix="meshsim-", ignore_cleanup_errors=True) as folder:
        board = _Board(Path(folder) / "progress", len(tasks))
        return _side_by_side(work, tasks, jobs, board, tell, on_result, should_stop, admit or _always, threads)


class _Teller:
    """Adds up the units of all tasks and tells the caller."""

    def __init__(self, tasks: int, size: int, on_progress: Progress | None) -> None:
        self.tasks, self.size, self.on_progress = tasks, size, on_progress
        self.finished = 0
        self._last = (-1, -1)

    def __call__(self, units: int) -> None:
        if self.on_progress is not None and (units, self.finished) != self._last:
            self._last = units, self.finished
            what = f"{self.finished} of {self.tasks} runs done" if self.tasks > 1 else "simulating"
            self.on_progress(units, self.tasks * self.size, what)


def _here(
    work: Work[T, R],
    tasks: Sequence[T],
    tell: _Teller,
    on_result: Callable[[int, R], None],
    should_stop: Stop | None,
    admit: Callable[[int], bool],
) -> bool:
    try:
        for index, task in enumerate(tasks):
            if should_stop is not None and should_stop():
                return False
            if not admit(index):
                continue
            base = index * tell.size

            def tick(done: int, total: int, base: int = base) -> None:
                tell(base + done * tell.size // max(total, 1))

            result = work(task, tick, should_stop or _never)
            if result is None:
                return False
            on_result(index, result)
            tell.finished += 1
            tell(base + tell.size)
    except KeyboardInterrupt:
        return False
    return True


def _never() -> bool:
    return False


def _always(index: int) -> bool:
    return True


def cores(jobs: int) -> int:
    """Processes that ``jobs`` stands for."""
    import joblib

    return int(joblib.effective_n_jobs(jobs))


class _Board:
    """Cell 0: stop, please. Cells 1 …: per mille done of each task. Each cell has one writer."""

    def __init__(self, path: Path, tasks: int) -> None:
        self.path, self.tasks = path, tasks
        self.cells = np.memmap(path, dtype=np.int64, mode="w+", shape=(tasks + 1,))

    def __getstate__(self) -> tuple[Path, int]:
        return self.path, self.tasks

    def __setstate__(self, state: tuple[Path, int]) -> None:
        self.path, self.tasks = state
        self.cells = np.memmap(self.path, dtype=np.int64, mode="r+", shape=(self.tasks + 1,))

    def stop(self) -> None:
        self.cells[0] = 1

    def stopped(self) -> bool:
        return bool(self.cells[0])

    def units(self, size: int) -> int:
        return int(self.cells[1:].sum()) * size // 1000


def _ignore_interrupts() -> None:
    """Ctrl-C in a terminal reaches every process; only the caller's shall act on it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _one(work: Work[T, R], index: int, task: T, board: _Board) -> tuple[int, R | None]:
    if board.stopped():
        return index, None

    def tick(done: int, total: int) -> None:
        board.cells[index + 1] = done * 1000 // max(total, 1)

    result = work(task, tick, board.stopped)
    if result is not None:
        board.cells[index + 1] = 1000
    return index, result


def _side_by_side(
    work: Work[T, R],
    tasks: Sequence[T],
    jobs: int,
    board: _Board,
    tell: _Teller,
    on_result: Callable[[int, R], None],
    should_stop: Stop | None,
    admit: Callable[[int], bool],
    threads: bool,
) -> bool:
    import joblib  # takes a quarter of a second to import, which a study in one process need not wait for

    outcomes: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def calls() -> Iterator[Any]:
        for index, task in enumerate(tasks):
            if board.stopped():
                return
            if admit(index):
                yield joblib.delayed(_one)(work, index, task, board)
            else:
                board.cells[index + 1] = 1000

    def drain() -> None:
        try:
            options: dict[str, Any] = {"n_jobs": jobs, "return_as": "generator_unordered", "batch_size": 1}
            if threads:
                parallel = joblib.Parallel(backend="threading", **options)
            else:
                parallel = joblib.Parallel(backend="loky", initializer=_ignore_interrupts, **options)
            for outcome in parallel(calls()):
                outcomes.put(outcome)
        except BaseException as error:
            outcomes.put(error)
        finally:
            outcomes.put(None)

    thread = threading.Thread(target=drain, name="meshsim-pool", daemon=True)
    thread.start()
    complete = True
    failure: BaseException | None = None
    while True:
        try:
            if should_stop is not None and complete and should_stop():
                complete = False
                board.stop()
            try:
                outcome = outcomes.get(timeout=POLL_S)
            except queue.Empty:
                tell(board.units(tell.size))
                continue
            if outcome is None:
                break
            if isinstance(outcome, BaseException):
                # A worker killed by the same Ctrl-C is no news.
                failure = failure or (outcome if complete else None)
                board.stop()
                continue
            index, result = outcome
            if result is None:
                complete = False
                continue
            tell.finished += 1
            on_result(index, result)
            tell(board.units(tell.size))
        except KeyboardInterrupt:
            if not complete:
                raise
            complete = False
            board.stop()
        except Exception as error:
            failure = failure or error
            board.stop()
    thread.join()
    if failure is not None:
        raise failure
    return complete
