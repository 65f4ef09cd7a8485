"""A measuring session: rounds over experiments, kept in a journal, then fitted into a cost book.

Rounds go over all experiments before the next one begins, so that a disturbance of the host hits one round of each and
not all rounds of one. The journal (``BOOK.samples.jsonl``) has one line a sample; it is what an interrupted session
resumes from, what groups measured on different days are joined in, and the raw data behind the book.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from meshsim import __version__
from meshsim.costs.book import Cost, CostBook
from meshsim.measure.bench import ATTEMPTS, NOISY_CORES, Bench, Stopped
from meshsim.measure.book import as_yaml, make_book, write
from meshsim.measure.doctor import Capability, capability
from meshsim.measure.experiment import GROUPS, Experiment, Sample, Samples
from meshsim.measure.host import conditions, speed_probe
from meshsim.measure.lab import Lab, LabError
from meshsim.scenario.base import MeshsimError
from meshsim.scenario.suggest import choices

ROUNDS = 3
SCHEMA = "meshsim/samples/1"
DRIFT = 0.05
"""The speed probe may move by so much between rounds before it is said."""

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Skipped:
    """An experiment that this host cannot do, or that failed."""

    experiment: str
    reason: str
    remedy: str = ""


@dataclass
class Session:
    """What a session did. ``complete`` is False when it was stopped."""

    book: CostBook | None
    path: Path
    samples: Samples
    skipped: list[Skipped] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    resumed: int = 0
    """Samples that were there already."""
    complete: bool = True


def groups_named(names: Sequence[str]) -> list[str]:
    """Groups as a user names them: some, all or none (which is all). MeshsimError for another name."""
    for name in names:
        if name not in (*GROUPS, "all"):
            raise MeshsimError(f"group {name!r} received; {choices(name, [*GROUPS, 'all'])}")
    return list(GROUPS) if not names or "all" in names else [group for group in GROUPS if group in names]


def refuse_unknown(only: Sequence[str], groups: Sequence[str]) -> None:
    """MeshsimError for an experiment that the groups do not have."""
    known = [e.name for e in experiments(groups)]
    for name in only:
        if name not in known:
            raise MeshsimError(f"--only: {name!r} received; {choices(name, known, 30)}")


def experiments(groups: Sequence[str]) -> list[Experiment]:
    """All experiments of some groups, in order."""
    return [e for group in groups for e in import_module(f"meshsim.measure.{group}").EXPERIMENTS]


def fitted(groups: Sequence[str], samples: Samples) -> list[Cost]:
    """The costs that the samples of some groups give."""
    return [c for group in groups for c in import_module(f"meshsim.measure.{group}").costs(samples)]


def measure(
    groups: Sequence[str],
    out: Path,
    *,
    quick: bool = False,
    rounds: int = ROUNDS,
    fresh: bool = False,
    only: Sequence[str] = (),
    attempts: int = ATTEMPTS,
    on_progress: Progress | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Session:
    """Measure some groups and write the book ``out``; samples of an earlier session beside it are kept and completed.

    ``fresh`` throws them away. ``only``: names of experiments. ``attempts``: how often a disturbed point is
    taken at most. MeshsimError if the journal is of another host, or was
    taken with the other of quick and full.
    """
    wanted = [e for e in experiments(groups) if not only or e.name in only]
    if quick:
        wanted = [e for e in wanted if e.quick_seconds is not None or only]
    journal = Journal(out, quick, fresh)
    session = Session(None, out, Samples([]))
    go_through(wanted, journal, session, rounds, attempts, on_progress, should_stop)
    all_groups = [g for g in GROUPS if any(s.experiment.startswith(f"{g}.") for s in session.samples)]
    costs: list[Cost] = []
    for group in all_groups:
        try:
            costs += fitted([group], session.samples)
        except (KeyError, IndexError, ValueError) as error:  # samples are kept: another version may read them
            session.warnings.append(f"the samples of group {group} could not be fitted: {error!r}")
    if costs:
        session.book = make_book(out.stem, costs, journal.host, journal.path.name)
        write(out, as_yaml(session.book, _heading(session)))
    return session


def go_through(
    wanted: Sequence[Experiment],
    journal: Journal,
    session: Session,
    rounds: int,
    attempts: int,
    on_progress: Progress | None,
    should_stop: Callable[[], bool],
) -> None:
    """Rounds over experiments, as far as the journal does not have them; what came of it is noted in the session."""
    doable = []
    for experiment in wanted:
        lacking = [c for c in map(capability, experiment.needs) if not c.ok]
        if lacking:
            session.skipped.append(_lacks(experiment, lacking))
        else:
            doable.append(experiment)
    session.resumed = len(journal.samples)
    plan = [
        (number, experiment)
        for number in range(rounds)
        for experiment in doable
        if number < (experiment.rounds or rounds) and (experiment.name, number) not in journal.done
    ]
    clock = _Clock(plan, bool(journal.quick), on_progress)
    try:
        with journal, Lab() as lab:
            last_round = -1
            for number, experiment in plan:
                if number != last_round:
                    journal.probe(number, speed_probe())
                    last_round = number
                clock.begins(number, experiment)
                bench = Bench(experiment.name, number, bool(journal.quick), lab, should_stop, clock.tick, attempts)
                if not _one(experiment, bench, journal, session):
                    session.complete = False
                    break
                clock.ended(experiment)
    except KeyboardInterrupt:
        session.complete = False
    session.samples = Samples(journal.samples)
    session.warnings += remarks(journal)


def remarks(journal: Journal) -> list[str]:
    """What disturbed its samples, in words."""
    return journal.warnings() + _noise(Samples(journal.samples))


def as_data(session: Session) -> dict[str, Any]:
    """The session as plain data, for ``--json``."""
    return {
        "schema": "meshsim/measure/1",
        "book": str(session.path) if session.book is not None else None,
        "complete": session.complete,
        "samples": len(session.samples.all),
        "resumed": session.resumed,
        "skipped": [asdict(one) for one in session.skipped],
        "warnings": session.warnings,
        "entries": []
        if session.book is None
        else [entry.model_dump(mode="json", exclude_none=True) for entry in session.book.entries],
    }


def read_journal(book: Path) -> Samples:
    """The raw samples beside a book; none if it has none. MeshsimError for a file that is no journal."""
    return Samples(Journal(book, None, False).samples)


def refit(out: Path) -> CostBook:
    """The book that the journal beside ``out`` gives, without measuring anything."""
    journal = Journal(out, None, False)
    groups = [g for g in GROUPS if any(s.experiment.startswith(f"{g}.") for s in journal.samples)]
    return make_book(out.stem, fitted(groups, Samples(journal.samples)), journal.host, journal.path.name)


def _one(experiment: Experiment, bench: Bench, journal: Journal, session: Session) -> bool:
    """One round of one experiment. False if the user stopped it; a failure is noted and the others go on."""
    try:
        with bench.lab.scope():
            experiment.run(bench)
    except Stopped:
        return False
    except (LabError, OSError) as error:
        if bench.should_stop():
            return False
        session.skipped.append(Skipped(experiment.name, f"round {bench.round + 1} failed: {error}"))
        return True
    journal.keep(bench)
    return True


def _lacks(experiment: Experiment, lacking: Sequence[Capability]) -> Skipped:
    what = ", ".join(capability.what for capability in lacking)
    return Skipped(experiment.name, f"this host lacks {what}", "; ".join(c.remedy for c in lacking))


def _noise(samples: Samples) -> list[str]:
    noisy = [s for s in samples if s.foreign_cores > NOISY_CORES]
    if not noisy:
        return []
    worst = max(noisy, key=lambda s: s.foreign_cores)
    return [
        f"{len(noisy)} of {len(samples.all)} points were taken while others used more than "
        f"{NOISY_CORES:g} of a core, in each attempt; the worst: {worst.experiment} {worst.settings or ''} "
        f"in round {worst.round + 1}, {worst.foreign_cores:.2f} cores"
    ]


def _heading(session: Session) -> str:
    lines = [
        "Measured by `meshsim measure`; the raw samples are in the file that `samples` names.",
        "`standard_error` is relative, one sigma; `spread` says how far the rounds differ.",
    ]
    return "\n".join(
        [*lines, *session.warnings, *(f"Not measured: {s.experiment}: {s.reason}" for s in session.skipped)]
    )


class Journal:
    """The samples beside a book, one JSON line each; a round of an experiment counts when its last line is there."""

    def __init__(self, book: Path, quick: bool | None, fresh: bool) -> None:
        self.path = book.with_suffix(".samples.jsonl")
        self.samples: list[Sample] = []
        self.done: set[tuple[str, int]] = set()
        self.probes: dict[int, float] = {}
        self.host = conditions()
        self.quick = quick
        if fresh:
            self.path.unlink(missing_ok=True)
        if self.path.exists():
            self._read(quick)

    def _read(self, quick: bool | None) -> None:
        try:
            lines = [
                json.loads(line) for line in self.path.read_text(encoding="utf-8").splitlines() if line.endswith("}")
            ]
            head = lines[0]
            if head["schema"] != SCHEMA:
                raise ValueError(head["schema"])
            pending: list[Sample] = []
            for line in lines[1:]:
                if "probe_ns" in line:
                    self.probes[line["round"]] = line["probe_ns"]
                elif "done" in line:
                    # Samples without their closing line belong to a round that was cut short.
                    self.samples += [s for s in pending if (s.experiment, s.round) == (line["done"], line["round"])]
                    self.done.add((line["done"], line["round"]))
                    pending = []
                else:
                    pending.append(Sample(**line))
        except (ValueError, KeyError, IndexError, TypeError) as error:
            raise MeshsimError(f"{self.path}: not a journal of samples ({error}); --fresh starts a new one") from None
        if quick is None:
            self.host, self.quick = head["host"], head["quick"]
            return
        for name in ("processor", "kernel"):
            if head["host"].get(name) != self.host.get(name):
                raise MeshsimError(
                    f"{self.path}: was measured on {name} {head['host'].get(name)!r}, this is {self.host.get(name)!r}; "
                    "choose another --out, or --fresh to start anew"
                )
        if head["quick"] != quick:
            kind = ("full", "quick") if quick else ("quick", "full")
            raise MeshsimError(
                f"{self.path}: has samples of a {kind[0]} session, this is a {kind[1]} one; "
                "choose another --out, or --fresh to start anew"
            )

    def __enter__(self) -> Journal:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        head = {"schema": SCHEMA, "meshsim": __version__, "quick": self.quick, "host": self.host}
        lines: list[dict[str, Any]] = [head, *({"round": r, "probe_ns": ns} for r, ns in self.probes.items())]
        for name, number in sorted(self.done, key=lambda d: (d[1], d[0])):
            lines += [asdict(s) for s in self.samples if (s.experiment, s.round) == (name, number)]
            lines.append({"done": name, "round": number})
        write(self.path, "".join(json.dumps(line) + "\n" for line in lines))
        self.file = self.path.open("a", encoding="utf-8")
        return self

    def __exit__(self, *error: object) -> None:
        self.file.close()

    def keep(self, bench: Bench) -> None:
        """A round of an experiment is done."""
        lines = [asdict(sample) for sample in bench.samples] + [{"done": bench.experiment, "round": bench.round}]
        self.file.write("".join(json.dumps(line) + "\n" for line in lines))
        self.file.flush()
        self.samples += bench.samples
        self.done.add((bench.experiment, bench.round))

    def probe(self, number: int, ns: float) -> None:
        """The speed of the host as a round begins."""
        self.probes[number] = ns
        self.file.write(json.dumps({"round": number, "probe_ns": ns}) + "\n")

    def warnings(self) -> list[str]:
        """What the speed probes say."""
        if not self.probes:
            return []
        low, high = min(self.probes.values()), max(self.probes.values())
        if high / low - 1 <= DRIFT:
            return []
        return [f"the speed of the processor moved by {high / low - 1:.0%} between rounds: a fixed piece of work took "
                f"{low / 1000:.0f} to {high / 1000:.0f} us"]  # fmt: skip


class _Clock:
    """Progress in seconds: what experiments say they take, corrected by what they took."""

    def __init__(self, plan: Sequence[tuple[int, Experiment]], quick: bool, tell: Progress | None) -> None:
        self.quick, self.tell = quick, tell
        self.expected = {e.name: (e.quick_seconds or e.seconds) if quick else e.seconds for _, e in plan}
        self.total = sum(self.expected[e.name] for _, e in plan)
        self.past = 0.0
        self.words = ""
        self.since = time.monotonic()

    def begins(self, number: int, experiment: Experiment) -> None:
        self.words, self.since = f"round {number + 1}: {experiment.name}", time.monotonic()
        self.current = experiment
        self.tick()

    def tick(self) -> None:
        if self.tell is not None:
            share = min(time.monotonic() - self.since, self.expected[self.current.name])
            self.tell(round(self.past + share), max(1, round(self.total)), self.words)

    def ended(self, experiment: Experiment) -> None:
        self.past += self.expected[experiment.name]
        self.tick()
