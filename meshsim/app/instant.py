"""The analytic answer at once: rows that are known already, and processes that find out the others.

Everything that a visitor can reach with the next click is worked out ahead (``look_ahead``), so a step of a slider
reads a table.
"""

from __future__ import annotations

import atexit
import itertools
import os
import pickle
import queue
import subprocess
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from zlib import crc32

from meshsim.app import approximate, uploads
from meshsim.app.approximate import Answer, Approximation, Place
from meshsim.app.cards import Sources
from meshsim.app.controls import RATES, Setting, all_sizes, sizes_near
from meshsim.app.terms import Terms
from meshsim.results.rows import ComparisonReport, GrowthReport, Provenance, Refused, Row
from meshsim.scenario.base import MeshsimError
from meshsim.studies.grow import analytic_crossovers
from meshsim.studies.inputs import BASELINE, Settings
from meshsim.studies.point import plain_difference
from meshsim.studies.question import Common, ask
from meshsim.studies.setup import Prepared
from meshsim.studies.spending import Spending

CURVE = (10, 30, 100, 300, 1000)
KEPT_ROWS = 20_000
NOW, CHART, AHEAD = 0, 1, 2
"""How urgent: an answer that is waited for, the rest of the chart, what may be asked next."""
FAR = 300
"""Services: up to here every size is looked ahead; a larger one takes seconds, and only the next ones are."""
QUICK = 100
"""Services: up to here a point of the chart takes a moment, and is not left to those that give way."""
PATIENCE_S = 120.0
AGAIN_S = 3.0


Line = queue.PriorityQueue[tuple[int, int, int, Place, tuple[float, ...]]]
"""Urgency, order of asking, place in the question, plan, rates."""


@dataclass(frozen=True)
class Point:
    """One plan at one rate."""

    place: Place
    rps: float


class Desk:
    """Processes, the questions that wait for them, and the answers.

    As many processes again, which give way to all others, serve what can wait: one such question, a plan of
    1,000 services, may take seconds, and no answer is to wait behind it.
    """

    def __init__(self, processes: int) -> None:
        self._urgent: list[Line] = []
        self._others: list[Line] = []
        self._known: OrderedDict[Point, Answer | Exception] = OrderedDict()
        self._asked: dict[Point, tuple[int, float]] = {}
        """How urgently, and when."""
        self._news = threading.Condition()
        self._order = itertools.count()
        for lines, nice in ((self._urgent, 0), (self._others, 10)):
            for _ in range(processes):
                line: Line = queue.PriorityQueue()
                lines.append(line)
                threading.Thread(target=self._serve, args=(line, nice), name="analytic answers", daemon=True).start()

    def ask(self, points: Iterable[Point], urgency: int) -> None:
        """Have these found out; what is known, or was asked for as urgently a moment ago, is left alone.

        A chart that is still looked at is asked for again now and then, and so comes before those that nobody does.
        """
        by_place: dict[Place, list[float]] = {}
        now = time.monotonic()
        with self._news:
            for point in points:
                before, at = self._asked.get(point, (9, 0.0))
                if point not in self._known and (
                    before > urgency or (before == urgency == CHART and now - at > AGAIN_S)
                ):
                    self._asked[point] = urgency, now
                    by_place.setdefault(point.place, []).append(point.rps)
        number = next(self._order)
        for at, (place, rates) in enumerate(by_place.items()):
            soon = urgency == NOW or (urgency == CHART and place.services <= QUICK)
            lines = self._urgent if soon else self._others
            # The same plan always at the same process, which keeps it.
            line = lines[crc32(repr(place).encode()) % len(lines)]
            # Of what is not waited for the latest first: that is where the visitor is.
            line.put((urgency, number if urgency == NOW else -number, at, place, tuple(rates)))

    def get(self, points: Sequence[Point], wait_s: float) -> dict[Point, Answer]:
        """Those that are known within ``wait_s`` seconds. Raises what went wrong with one of them."""
        with self._news:
            self._news.wait_for(lambda: all(point in self._known for point in points), wait_s)
            found = {point: self._known[point] for point in points if point in self._known}
            for point in found:
                self._known.move_to_end(point)
        answers: dict[Point, Answer] = {}
        for point, answer in found.items():
            if isinstance(answer, Exception):
                raise answer
            answers[point] = answer
        return answers

    def _serve(self, line: Line, nice: int) -> None:
        process: subprocess.Popen[bytes] | None = None
        while True:
            *_, place, rates = line.get()
            with self._news:
                rates = tuple(rate for rate in rates if Point(place, rate) not in self._known)
            if not rates:
                continue
            if process is None or process.poll() is not None:
                process = _start(nice)
            try:
                assert process.stdin is not None
                assert process.stdout is not None
                pickle.dump((place, rates), process.stdin)
                process.stdin.flush()
                answer = pickle.load(process.stdout)
            except (OSError, EOFError, pickle.UnpicklingError) as error:
                process.kill()
                answer = RuntimeError(f"the process that answers analytic questions ended: {error}")
            with self._news:
                for number, rate in enumerate(rates):
                    point = Point(place, rate)
                    if isinstance(answer, Exception):
                        self._asked.pop(point, None)
                    self._known[point] = answer if isinstance(answer, Exception) else answer[number]
                while len(self._known) > KEPT_ROWS:
                    self._asked.pop(self._known.popitem(last=False)[0], None)
                self._news.notify_all()
            if isinstance(answer, Exception):  # told once; asked again it is tried again
                time.sleep(1)
                with self._news:
                    for rate in rates:
                        self._known.pop(Point(place, rate), None)


def _start(nice: int) -> subprocess.Popen[bytes]:
    argv = [sys.executable, "-m", "meshsim.app.worker", str(nice)]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    atexit.register(process.kill)
    return process


@lru_cache(maxsize=1)
def desk() -> Desk:
    """One for the server."""
    return Desk(min(os.cpu_count() or 1, 2))


def name(setting: Setting) -> str:
    """Of the application, as its file says."""
    return approximate.inputs(setting.application, setting.dataplanes[0], setting.terms).application.name


def rate_at(setting: Setting, services: int) -> float:
    """Requests a second at another size, each service keeping its traffic; in the very steps of ``grow``."""
    return setting.own_rps * services / setting.own


def place(setting: Setting, dataplane: str, services: int | None = None) -> Place:
    """A plan of this setting; ``services``: another size than where we are."""
    return Place(setting.application, setting.services if services is None else services, dataplane, setting.terms)


def prepared(setting: Setting, dataplane: str) -> Prepared:
    """The scenario of one data plane where we are, in this process: ``.plan`` lowers it, once."""
    return approximate.prepared(place(setting, dataplane))


def at_rate(setting: Setting, dataplane: str, requests: int, seed: int) -> Prepared:
    """The scenario of one data plane where we are, to be simulated at its rate; a load beyond it is refused."""
    ready = prepared(setting, dataplane)
    settings = Settings("L7", requests, None, seed, "auto", "spread")
    inputs = approximate.inputs(setting.application, dataplane, setting.terms)
    rps = rate_at(setting, setting.services)
    return replace(ready, scenario=settings.scenario(inputs, dataplane, rps, setting.services))


def _points(setting: Setting, services: int) -> list[Point]:
    rps = rate_at(setting, services)
    return [Point(place(setting, plane, services), rps) for plane in setting.dataplanes]


def answers(setting: Setting) -> list[Answer]:
    """Of each data plane where we are, in their order. Waits for them. Raises MeshsimError for wrong input."""
    points = _points(setting, setting.services)
    desk().ask(points, NOW)
    known = desk().get(points, PATIENCE_S)
    if len(known) < len(points):
        raise MeshsimError(f"no answer within {PATIENCE_S:.0f} s: the machine is busy; try again, or fewer services")
    return [known[point] for point in points]


def rows(setting: Setting) -> list[Row]:
    """One row a data plane that can be asked for this, with differences to the baseline."""
    return comparison(setting).rows


@lru_cache(maxsize=256)
def comparison(setting: Setting) -> ComparisonReport:
    """The report of ``compare --engine analytic`` where we are. MeshsimError for wrong input."""
    found = answers(setting)
    rows = [one.row for one in found if isinstance(one, Approximation)]
    return ComparisonReport(
        application=name(setting),
        rps=float(setting.rps),
        rows=_with_differences(setting, rows),
        refused=[one for one in found if isinstance(one, Refused)],
        provenance=provenance(setting),
        notes=notes(setting),
    )


@lru_cache(maxsize=256)
def sources(setting: Setting) -> dict[str, Sources]:
    """By data plane: what its CPU and its memory rest on."""
    found = {name: one.spent for name, one in approximations(setting).items()}
    return {name: Sources(spent.sources("cores"), spent.sources("mib")) for name, spent in found.items()}


def approximations(setting: Setting) -> dict[str, Approximation]:
    """By data plane, what there is where we are."""
    return {one.row.dataplane: one for one in answers(setting) if isinstance(one, Approximation)}


def spendings(setting: Setting, dataplanes: Sequence[str]) -> dict[str, list[Spending]]:
    """By data plane, at those sizes of the chart that all of them are known at by now; ascending."""
    at = {size: {point.place.dataplane: point for point in _points(setting, size)} for size in sizes(setting)}
    known = desk().get([point for points in at.values() for point in points.values()], 0.0)
    found: dict[str, list[Spending]] = {name: [] for name in dataplanes}
    for points in at.values():
        here = [known.get(points[name]) for name in dataplanes]
        if all(isinstance(one, Approximation) for one in here):
            for name, one in zip(dataplanes, here, strict=True):
                assert isinstance(one, Approximation)
                found[name].append(one.spent)
    return found


def sizes(setting: Setting) -> list[int]:
    """Of the chart: the application's own, where we are, and larger ones."""
    return sorted({setting.own, setting.services} | {size for size in CURVE if size > setting.own})


def curve(setting: Setting, wait_s: float) -> tuple[list[Row], bool]:
    """What is known within ``wait_s`` seconds of the sizes of the chart, and whether that is everything."""
    # The small ones first: they are there first.
    points = [point for size in sizes(setting) for point in _points(setting, size)]
    desk().ask(points, CHART)
    known = desk().get(points, wait_s)
    found = [answer.row for answer in known.values() if isinstance(answer, Approximation)]
    at: dict[int, list[Row]] = {}
    for row in found:
        at.setdefault(row.services, []).append(row)
    grown = [row for size in sorted(at) for row in _with_differences(setting, at[size])]
    return grown, len(known) == len(points)


def growth(setting: Setting, wait_s: float = PATIENCE_S) -> tuple[GrowthReport, bool]:
    """The report of ``grow --engine analytic`` at the sizes of the chart, and whether it is complete."""
    grown, complete = curve(setting, wait_s)
    return (
        GrowthReport(
            application=name(setting),
            rate="per-service",
            rows=grown,
            crossovers=analytic_crossovers(grown) if complete else [],
            provenance=provenance(setting),
            notes=notes(setting),
            partial=not complete,
        ),
        complete,
    )


def look_ahead(setting: Setting) -> None:
    """Have found out what may be asked for next."""
    _look_ahead(setting.at(requests=0, seed=0))


@lru_cache(maxsize=256)  # asking again for the same would find that it is known, but that takes 10 ms
def _look_ahead(setting: Setting) -> None:
    """Have found out what the next step of a slider asks for: other rates here, the sizes nearby, then all others."""
    here = [setting.at(rps=rate) for rate in RATES]
    near = [setting.at(services=size) for size in sizes_near(setting)]
    far = [setting.at(services=size) for size in all_sizes(setting.own) if size <= FAR]
    for one in far:  # the last is found out first
        desk().ask(_points(one, one.services), AHEAD)
    for one in [*near, *here]:
        for size in reversed(sizes(one)):
            desk().ask(_points(one, size), AHEAD)
        desk().ask(_points(one, one.services), AHEAD)


@lru_cache(maxsize=256)
def _asked(application: str, dataplanes: tuple[str, ...], terms: Terms) -> tuple[Provenance, tuple[str, ...]]:
    """Hashes and the reader's notes, which no rate changes."""
    common: Common = {"engine": "analytic", "costs": approximate.costs(), "machine": terms.machine()}
    planes = [terms.dataplane(name) for name in dataplanes]
    asked = ask(uploads.source(application), planes, common, requests=1000, may_approximate=True)
    return asked.provenance("grow"), asked.inputs.notes


def provenance(setting: Setting) -> Provenance:
    """What it takes to get the same numbers again."""
    from meshsim.app.links import as_cli

    found, _ = _asked(setting.application, setting.dataplanes, setting.terms)
    return found.model_copy(update={"command": as_cli(setting, "analytic")})


def notes(setting: Setting) -> list[str]:
    """What the reader of the application assumed."""
    return [*_asked(setting.application, setting.dataplanes, setting.terms)[1], *setting.terms.words()]


def _with_differences(setting: Setting, found: Sequence[Row]) -> list[Row]:
    name = BASELINE if BASELINE in setting.dataplanes else setting.dataplanes[0]
    base = next((row for row in found if row.dataplane == name), None)
    if base is None:
        return list(found)
    return [row if row is base else row.model_copy(update={"difference": plain_difference(row, base)}) for row in found]
