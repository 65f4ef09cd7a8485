"""Runs studies beside the page, shares them between visitors, keeps the latest answers, stops what nobody awaits.

``st.cache_data`` alone would not do: a cached function may not move a progress bar, and it cannot be stopped when the
visitor has already moved on to another question. So each question gets a thread of its own (the study itself uses
processes), and the page looks in on it.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from meshsim.results.rows import ComparisonReport, GrowthReport
from meshsim.scenario.base import MeshsimError
from meshsim.studies.compare import compare
from meshsim.studies.grow import grow

GROWTH_SIZES = (100, 1000)
KEPT = 64


@dataclass(frozen=True)
class Question:
    """All that an answer depends on."""

    kind: Literal["compare", "grow"]
    application: str
    dataplanes: tuple[str, ...]
    rps: float
    """At ``here`` services."""
    here: int
    own: int
    """Services of the application as it is written."""
    requests: int
    """Measured, of each run."""

    def sizes(self) -> list[int]:
        """Sizes of the growth study: the application's own, where we are, and larger ones."""
        return sorted({self.own, self.here} | {size for size in GROWTH_SIZES if size > self.own})


class Work:
    """One question being answered, or answered."""

    def __init__(self, question: Question) -> None:
        self.question = question
        self.share = 0.0
        self.what = "starting"
        self.watchers = 0
        self.report: ComparisonReport | GrowthReport | None = None
        self.error: Exception | None = None
        self.stop = threading.Event()
        self._finished = threading.Event()
        threading.Thread(target=self._run, name=f"meshsim-{question.kind}", daemon=True).start()

    def wait(self, seconds: float) -> bool:
        """True once it is finished."""
        return self._finished.wait(seconds)

    @property
    def lasting(self) -> bool:
        """Worth keeping: the same question would end the same way again."""
        wrong_input = isinstance(self.error, MeshsimError)
        return not self.stop.is_set() and (self.error is None or wrong_input)

    def _run(self) -> None:
        try:
            self.report = _answer(self)
        except Exception as error:  # handed to the page, which shows it
            self.error = error
        finally:
            self._finished.set()

    def tell(self, done: int, total: int, what: str) -> None:
        """The progress callback of a study."""
        self.share, self.what = done / max(total, 1), what


def _answer(work: Work) -> ComparisonReport | GrowthReport:
    asked = work.question
    if asked.kind == "compare":
        return compare(
            asked.application,
            asked.dataplanes,
            asked.rps,
            services=None if asked.here == asked.own else asked.here,
            requests=asked.requests,
            on_progress=work.tell,
            should_stop=work.stop.is_set,
        ).report
    # Each service keeps its traffic as the application grows, so that the curves pass through where we are.
    return grow(
        asked.application,
        asked.sizes(),
        asked.dataplanes,
        asked.rps * asked.own / asked.here,
        "per-service",
        requests=asked.requests,
        on_progress=work.tell,
        should_stop=work.stop.is_set,
    ).report


class Answers:
    """The latest questions and what came of them; one for the whole server."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._works: OrderedDict[Question, Work] = OrderedDict()
        self._lock = threading.Lock()

    @contextmanager
    def watched(self, question: Question) -> Iterator[Work]:
        """The work on this question, started if need be; stopped on leaving if nobody else waits for it."""
        with self._lock:
            work = self._works.get(question)
            if work is None or (work.wait(0) and not work.lasting):
                work = self._works[question] = Work(question)
            self._works.move_to_end(question)
            work.watchers += 1
            self._forget_old_ones()
        try:
            yield work
        finally:
            with self._lock:
                work.watchers -= 1
                if not work.watchers and not work.wait(0):
                    work.stop.set()
                    self._works.pop(question, None)

    def _forget_old_ones(self) -> None:
        idle = [question for question, work in self._works.items() if not work.watchers]
        for question in idle[: max(0, len(self._works) - self._kept)]:
            del self._works[question]


ANSWERS = Answers()
"""One for all visitors: Streamlit runs the page again and again, but imports this module once."""
