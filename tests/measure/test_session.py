"""Rounds, journal, resume, noise, and the book that comes out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest

from meshsim.costs.book import Cost
from meshsim.measure import bench as bench_module
from meshsim.measure import session as session_module
from meshsim.measure.bench import Bench
from meshsim.measure.book import cost
from meshsim.measure.experiment import Experiment, Samples
from meshsim.measure.fit import figure
from meshsim.measure.lab import LabError
from meshsim.measure.session import Session, groups_named, measure, refit, refuse_unknown
from meshsim.scenario.base import MeshsimError
from meshsim.scenario.catalog import load_book


class Toy:
    """A group of two experiments whose figures are known; it keeps a log of what ran."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.log: list[tuple[str, int]] = []
        self.fail_in: tuple[str, int] | None = None
        module = ModuleType("meshsim.measure.kernel")
        module.EXPERIMENTS = [self.experiment("kernel.a"), self.experiment("kernel.b")]  # type: ignore[attr-defined]
        module.costs = self.costs  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "meshsim.measure.kernel", module)

    def experiment(self, name: str) -> Experiment:
        def run(bench: Bench) -> None:
            self.log.append((name, bench.round))
            if self.fail_in == (name, bench.round):
                raise LabError("no such luck")
            bench.measure({"bytes": 64}, lambda: {"op_ns": [100.0 + bench.round, 102.0 + bench.round, 400.0]})

        return Experiment(name, "a toy [ns]", run, seconds=1, quick_seconds=0.1)

    def costs(self, samples: Samples) -> list[Cost]:
        values = samples.values("kernel.a", "op_ns", bytes=64)
        raw = samples.of("kernel.a")[0]
        found = figure(values)
        return [cost("kernel.a", "call", experiment="kernel.a", reference="toy", cpu=found, raw=raw, metric="op_ns")]


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> Toy:
    return Toy(monkeypatch)


def take(out: Path, **options: object) -> Session:
    return measure(["kernel"], out, **{"attempts": 1, **options})  # type: ignore[arg-type]


def test_rounds_go_over_all_experiments_before_the_next_begins(toy: Toy, tmp_path: Path) -> None:
    done = take(tmp_path / "host.yaml")
    assert toy.log == [
        ("kernel.a", 0),
        ("kernel.b", 0),
        ("kernel.a", 1),
        ("kernel.b", 1),
        ("kernel.a", 2),
        ("kernel.b", 2),
    ]
    book = load_book(tmp_path / "host.yaml")
    assert book == done.book
    assert book.measured
    (entry,) = book.entries
    assert entry.cpu_ns == 103.0
    assert entry.source == "measured"
    assert entry.evidence is not None
    assert entry.evidence.rounds == 3
    assert entry.evidence.quantiles["0.5"] == 102.0
    assert (tmp_path / book.samples).exists()
    assert refit(tmp_path / "host.yaml").entries == book.entries


def test_an_interrupted_session_goes_on_where_it_was(toy: Toy, tmp_path: Path) -> None:
    out = tmp_path / "host.yaml"
    done = take(out, should_stop=lambda: len(toy.log) >= 3)
    assert not done.complete
    assert toy.log == [("kernel.a", 0), ("kernel.b", 0), ("kernel.a", 1)]
    toy.log.clear()
    done = take(out)
    assert toy.log == [("kernel.a", 1), ("kernel.b", 1), ("kernel.a", 2), ("kernel.b", 2)]
    assert done.complete
    assert done.resumed == 2
    toy.log.clear()
    assert take(out).resumed == 6
    assert toy.log == []
    assert take(out, fresh=True).resumed == 0


def test_a_journal_torn_by_a_kill_loses_only_the_round_under_way(toy: Toy, tmp_path: Path) -> None:
    out = tmp_path / "host.yaml"
    take(out)
    journal = tmp_path / "host.samples.jsonl"
    text = journal.read_text()
    journal.write_text(text[: len(text) - 40])
    toy.log.clear()
    take(out)
    assert toy.log == [("kernel.b", 2)]


def test_a_failing_experiment_is_said_and_the_others_go_on(toy: Toy, tmp_path: Path) -> None:
    toy.fail_in = ("kernel.b", 0)
    done = take(tmp_path / "host.yaml")
    assert [(s.experiment, s.reason) for s in done.skipped] == [("kernel.b", "round 1 failed: no such luck")]
    assert ("kernel.a", 2) in toy.log
    assert "Not measured: kernel.b" in (tmp_path / "host.yaml").read_text()


def test_what_the_host_lacks_is_skipped_with_its_remedy(
    toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from meshsim.measure import doctor

    monkeypatch.setitem(doctor.CHECKS, "moon", ("a moon", lambda: "", "apt-get install moon"))
    module = sys.modules["meshsim.measure.kernel"]
    module.EXPERIMENTS.append(Experiment("kernel.tide", "", lambda bench: None, 1, 1, needs=("moon",)))
    done = take(tmp_path / "host.yaml")
    assert [(s.experiment, s.reason, s.remedy) for s in done.skipped] == [
        ("kernel.tide", "this host lacks a moon", "apt-get install moon")
    ]


def test_samples_of_another_host_or_kind_are_not_mixed(toy: Toy, tmp_path: Path) -> None:
    out = tmp_path / "host.yaml"
    take(out)
    with pytest.raises(MeshsimError, match="samples of a full session, this is a quick one"):
        take(out, quick=True)
    journal = tmp_path / "host.samples.jsonl"
    head, *rest = journal.read_text().splitlines()
    other = json.loads(head)
    other["host"]["kernel"] = "Linux 2.4"
    journal.write_text("\n".join([json.dumps(other), *rest]) + "\n")
    with pytest.raises(MeshsimError, match=r"was measured on kernel 'Linux 2.4'.*--fresh"):
        take(out)
    journal.write_text("{}\n")
    with pytest.raises(MeshsimError, match="not a journal of samples"):
        take(out)


def test_a_disturbed_point_is_taken_again_and_the_quietest_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    loads = iter([0.9, 0.3, 0.02, 0.0])

    class Watch:
        def __enter__(self) -> Watch:
            self.foreign_cores = next(loads)
            return self

        def __exit__(self, *error: object) -> None:
            pass

    monkeypatch.setattr(bench_module, "LoadWatch", Watch)
    taken = iter(range(10))
    bench = Bench("kernel.a", 0, False, None, lambda: False)  # type: ignore[arg-type]
    sample = bench.measure({}, lambda: {"op_ns": float(next(taken)), "said": "words"})
    assert sample.values == {"op_ns": 2.0}
    assert sample.words == {"said": "words"}
    assert sample.foreign_cores == 0.02


SPIN = "import time\nt = time.monotonic()\nwhile time.monotonic() - t < 2: pass"


def test_other_load_is_noticed_and_our_own_is_none_of_it() -> None:
    from meshsim.measure.host import LoadWatch

    with LoadWatch() as before:
        subprocess.run([sys.executable, "-c", SPIN.replace("< 2", "< 0.5")], check=True)
    # A grandchild whose parent has gone is nobody's descendant: a stranger to us.
    subprocess.run(["sh", "-c", f"'{sys.executable}' -c '{SPIN}' &"], check=True)
    with LoadWatch() as meanwhile:
        time.sleep(1.0)
    assert meanwhile.foreign_cores - before.foreign_cores > 0.2


def test_cores_that_are_taken_away_are_missed_in_what_gets_done() -> None:
    """As another guest of the machine takes them: here by our own children, whose CPU time is not looked at."""
    from meshsim.measure.host import CoresGiven, LoadWatch

    quiet = max(CoresGiven.now() for _ in range(5))
    spinning = [subprocess.Popen([sys.executable, "-c", SPIN]) for _ in range(2 * len(os.sched_getaffinity(0)))]
    try:
        time.sleep(0.2)
        with LoadWatch() as meanwhile:
            left = min(CoresGiven.now() for _ in range(3))
    finally:
        for each in spinning:
            each.kill()
            each.wait()
    assert left < 0.7 * quiet
    assert meanwhile.foreign_cores > 0.25 * len(os.sched_getaffinity(0))


def test_groups_and_experiments_are_named_with_help() -> None:
    assert groups_named([]) == groups_named(["all"]) == ["kernel", "ebpf", "proxy", "wasm", "container"]
    assert groups_named(["wasm", "kernel"]) == ["kernel", "wasm"]
    with pytest.raises(MeshsimError, match=r"group 'kernle' received; did you mean 'kernel'\?"):
        groups_named(["kernle"])
    with pytest.raises(MeshsimError, match=r"did you mean 'kernel.syscall'\?"):
        refuse_unknown(["kernel.sycall"], ["kernel"])


def test_every_experiment_is_named_after_its_group_and_needs_known_things() -> None:
    from meshsim.measure.doctor import CHECKS

    every = session_module.experiments(["kernel", "ebpf", "proxy", "wasm", "container"])
    assert len({e.name for e in every}) == len(every)
    for one in every:
        assert one.group in ("kernel", "ebpf", "proxy", "wasm", "container")
        assert set(one.needs) <= set(CHECKS), one.name
        assert one.quick_seconds is None or 0 < one.quick_seconds <= one.seconds
        assert "[" in one.what, f"{one.name} does not name its units"
