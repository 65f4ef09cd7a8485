"""Runs in processes of their own: their folders, states, and what becomes of those that die."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from meshsim.app import runs
from meshsim.app.runs import Question
from meshsim.scenario.base import MeshsimError
from meshsim.studies.compare import compare

SHORT = Question("compare", "two-tier", (2,), 2, ("no-mesh", "linkerd"), 500.0, 400, 3)
LONG = Question("grow", "online-boutique", (11, 30, 100, 300), 11, ("no-mesh", "linkerd"), 500.0, 50_000)


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs.tempfile, "gettempdir", lambda: str(tmp_path))


def wait(until: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < end
        time.sleep(0.05)


def pid(run: runs.Run) -> int:
    return int((run.folder / "pid").read_text())


def test_a_run_says_what_the_study_says() -> None:
    run = runs.start(SHORT)
    wait(lambda: run.progress().state != "running")
    assert run.progress().state == "done", run.error()
    report = compare("two-tier", ("no-mesh", "linkerd"), 500.0, requests=400, seed=3).report
    assert [row.latency_us for row in run.report().rows] == [row.latency_us for row in report.rows]
    assert runs.find(run.name) == run
    assert run.folder.stat().st_mode & 0o077 == 0


def test_one_that_is_cancelled_ends_with_all_its_processes() -> None:
    run = runs.start(LONG)
    wait(lambda: (run.folder / "progress.json").exists())
    group = os.getpgid(pid(run))
    began = time.monotonic()
    run.cancel()
    wait(lambda: run.progress().state == "cancelled", 2)
    assert time.monotonic() - began < 2

    def gone() -> bool:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        return False

    wait(gone, 5)


def test_one_that_died_is_told_from_one_that_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    run = runs.start(LONG)
    wait(lambda: (run.folder / "progress.json").exists())
    assert run.progress().state == "running"
    os.killpg(pid(run), signal.SIGKILL)
    monkeypatch.setattr(runs, "SILENT_S", 0.2)
    wait(lambda: run.progress().state == "died", 5)


def test_wrong_input_is_told_in_words() -> None:
    run = runs.start(Question("compare", "two-tier", (2,), 2, ("no-mesh",), 1e7, 400))
    wait(lambda: run.progress().state != "running")
    assert run.progress().state == "failed"
    assert "saturates" in run.error()
    assert "Traceback" not in run.error()


def test_no_more_than_three_at_once() -> None:
    for number in range(runs.MOST_AT_ONCE):
        folder = runs.home() / f"20260101-00000{number}-00000000"
        folder.mkdir()
        (folder / "question.json").write_text(json.dumps(asdict(SHORT)))
    with pytest.raises(MeshsimError, match="3 runs are under way"):
        runs.start(SHORT)


def test_old_ones_are_forgotten() -> None:
    folder = runs.home() / "20250101-000000-00000000"
    folder.mkdir()
    (folder / "question.json").write_text(json.dumps(asdict(SHORT)))
    old = time.time() - runs.KEPT_S - 1
    os.utime(folder / "question.json", (old, old))
    run = runs.start(SHORT)
    assert [one.name for one in runs.all_runs()] == [run.name]
    wait(lambda: run.progress().state != "running")


@pytest.mark.parametrize("name", ["..", "../x", "20260101-000000-0000000", "20260101-000000-zzzzzzzz", ""])
def test_only_names_of_runs_are_looked_up(name: str) -> None:
    assert runs.find(name) is None
