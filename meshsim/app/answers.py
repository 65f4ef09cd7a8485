"""Simulations behind the instant numbers: shared between visitors, the latest kept, stopped when nobody waits.

``st.cache_data`` alone would not do: a cached function cannot be stopped when the visitor has already moved on to
another question. So each question gets a thread of its own (the study itself uses processes), and the page looks in
on it every now and then; a question that nobody has looked in on for a while stops itself.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Protocol

from meshsim.app import approximate, instant, uploads
from meshsim.app.controls import Setting
from meshsim.app.memory import keep
from meshsim.results.rows import ComparisonReport, Provenance
from meshsim.scenario.base import MeshsimError
from meshsim.studies.compare import compare
from meshsim.studies.grow import grow
from meshsim.studies.pair import PairReport, pair
from meshsim.studies.pool import Progress, Stop
from meshsim.studies.question import Common

KEPT = 64
FORGOTTEN_S = 5.0
"""A page looks in several times a second."""


class Report(Protocol):
    """What a study hands back."""

    @property
    def partial(self) -> bool:
        """Stopped before it was finished."""


class Asked(Protocol):
    """A question: all that its answer depends on, so that it can be looked up."""

    def __hash__(self) -> int: ...

    def answer(self, on_progress: Progress, should_stop: Stop) -> Report | None:
        """Simulate; None or a partial report if stopped."""


@dataclass(frozen=True)
class Question:
    """The rows where we are."""

    setting: Setting

    def answer(self, on_progress: Progress, should_stop: Stop) -> ComparisonReport:
        """``simulated``."""
        return simulated(self.setting, on_progress=on_progress, should_stop=should_stop)


@dataclass(frozen=True)
class Side:
    """One scenario of a pair."""

    setting: Setting
    dataplane: str


@dataclass(frozen=True)
class PairQuestion:
    """B against A."""

    a: Side
    b: Side

    def answer(self, on_progress: Progress, should_stop: Stop) -> PairReport | None:
        """``pair``, with the requests and the seed of B."""
        ready = [
            instant.at_rate(side.setting, side.dataplane, self.b.setting.requests, self.b.setting.seed)
            for side in (self.a, self.b)
        ]
        return pair(*ready, on_progress=on_progress, should_stop=should_stop)


def simulated(
    setting: Setting, *, on_progress: Progress | None = None, should_stop: Stop | None = None
) -> ComparisonReport:
    """The rows where we are, as ``compare`` answers, or ``grow`` away from the application's own size.

    Raises MeshsimError for wrong input, OverloadedError if no data plane can carry the load.
    """
    from meshsim.app.links import at_own_size

    source = uploads.source(setting.application)
    common: Common = {
        "requests": setting.requests,
        "seed": setting.seed,
        "costs": approximate.costs(),
        "machine": setting.terms.machine(),
        "on_progress": on_progress,
        "should_stop": should_stop,
    }
    planes = [setting.terms.dataplane(name) for name in setting.dataplanes]
    own = setting.terms.words()
    if at_own_size(setting):
        found = compare(source, planes, float(setting.rps), **common).report
        changes = {"provenance": _with_command(found.provenance, setting), "notes": [*found.notes, *own]}
        return found.model_copy(update=changes)
    sizes = [setting.services]
    grown = grow(source, sizes, planes, setting.own_rps, "per-service", **common).report
    return ComparisonReport(
        application=grown.application,
        rps=float(setting.rps),
        rows=grown.rows,
        provenance=_with_command(grown.provenance, setting),
        refused=grown.refused,
        notes=[*grown.notes, *own],
        partial=grown.partial,
    )


def _with_command(provenance: Provenance, setting: Setting) -> Provenance:
    from meshsim.app.links import as_cli

    return provenance.model_copy(update={"command": as_cli(setting, "auto")})


class Work:
    """One question being answered, or answered."""

    def __init__(self, question: Asked) -> None:
        self.question = question
        self.share = 0.0
        self.report: Any = None
        """A report of the question's kind."""
        self.error: Exception | None = None
        self.stop = threading.Event()
        self.looked_in = time.monotonic()
        self._finished = threading.Event()
        threading.Thread(target=self._run, name="meshsim-simulation", daemon=True).start()

    def wait(self, seconds: float) -> bool:
        """True once it is finished."""
        return self._finished.wait(seconds)

    @property
    def lasting(self) -> bool:
        """Worth keeping: the same question would end the same way again."""
        wrong_input = isinstance(self.error, MeshsimError)
        whole = self.report is not None and not self.report.partial
        return whole or wrong_input

    def _should_stop(self) -> bool:
        return self.stop.is_set() or time.monotonic() - self.looked_in > FORGOTTEN_S

    def _run(self) -> None:
        try:
            self.report = self.question.answer(self._tell, self._should_stop)
        except Exception as error:  # handed to the page, which shows it
            self.error = error
        finally:
            self._finished.set()
            keep(f"simulated {type(self.question).__name__}")

    def _tell(self, done: int, total: int, what: str) -> None:
        """The progress callback of a study."""
        self.share = done / max(total, 1)


class Answers:
    """The latest questions and what came of them; one for the whole server."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._works: OrderedDict[Asked, Work] = OrderedDict()
        self._asks: dict[str, Asked] = {}
        self._lock = threading.Lock()

    def finished(self, question: Asked) -> Work | None:
        """The work on this question if it is done already."""
        with self._lock:
            work = self._works.get(question)
            return work if work is not None and work.wait(0) and work.lasting else None

    def look_in(self, question: Asked, visitor: str) -> Work:
        """The work on this question, started if need be. What this visitor asked before is stopped, unless others wait.

        To be called again and again until it is finished.
        """
        with self._lock:
            before = self._asks.get(visitor)
            self._asks[visitor] = question
            if before is not None and before != question and before not in self._asks.values():
                self._drop(before)
            work = self._works.get(question)
            if work is None or (work.wait(0) and not work.lasting):
                work = self._works[question] = Work(question)
            work.looked_in = time.monotonic()
            self._works.move_to_end(question)
            while len(self._works) > self._kept:
                self._drop(next(iter(self._works)), also_finished=True)
            if len(self._asks) > 16 * self._kept:
                del self._asks[next(iter(self._asks))]
            return work

    def _drop(self, question: Asked, *, also_finished: bool = False) -> None:
        work = self._works.get(question)
        if work is not None and (also_finished or not work.wait(0)):
            work.stop.set()
            del self._works[question]


ANSWERS = Answers()
"""One for all visitors: Streamlit runs the page again and again, but imports this module once."""
