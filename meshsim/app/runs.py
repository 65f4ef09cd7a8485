"""Full simulations in processes of their own: each is a folder, so a page that is reloaded finds it again by its name.

In the folder: question.json, progress.json (written every half second: a run whose file is old has died), report.json
or error.txt at the end; a file ``cancel`` asks it to stop.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from meshsim.app.terms import USUAL, Terms
from meshsim.results.rows import ComparisonReport, GrowthReport
from meshsim.scenario.base import MeshsimError

Kind = Literal["compare", "grow"]
State = Literal["running", "done", "cancelled", "failed", "died"]
MOST_AT_ONCE = 3
KEPT_S = 7 * 86_400.0
BEAT_S = 0.5
SILENT_S = 15.0
GRACE_S = 0.5
"""From the wish to cancel until the processes are stopped."""


@dataclass(frozen=True)
class Question:
    """What is simulated."""

    kind: Kind
    application: str
    sizes: tuple[int, ...]
    """Services; one for compare."""
    own: int
    """Services of the application as it is written."""
    dataplanes: tuple[str, ...]
    rps: float
    """At the application's own size; each service keeps its traffic."""
    requests: int
    seed: int = 1
    terms: Terms = USUAL
    """Node type, prices, sidecars."""


@dataclass(frozen=True)
class Progress:
    """How far a run is."""

    state: State
    share: float
    elapsed_s: float
    what: str

    @property
    def left_s(self) -> float | None:
        """Seconds that are left if it goes on as it did; None at the beginning."""
        return self.elapsed_s * (1 - self.share) / self.share if self.share > 0.01 else None


@dataclass(frozen=True)
class Run:
    """One run by its name."""

    name: str

    @property
    def folder(self) -> Path:
        """Where its files lie."""
        return home() / self.name

    def question(self) -> Question:
        """What was asked."""
        return read_question(self.folder)

    def progress(self) -> Progress:
        """How far it is."""
        folder = self.folder
        told = _json(folder / "progress.json") or {"share": 0.0, "elapsed_s": 0.0, "what": "starting"}
        state: State = "running"
        if (folder / "report.json").exists():
            state = "cancelled" if (folder / "cancel").exists() and told.get("partial") else "done"
        elif (folder / "error.txt").exists():
            state = "failed"
        elif (folder / "cancel").exists() and not _alive(folder):
            state = "cancelled"
        elif time.time() - _last_sign(folder) > SILENT_S:
            state = "died"
        return Progress(state, float(told["share"]), float(told["elapsed_s"]), str(told["what"]))

    def report(self) -> ComparisonReport | GrowthReport | None:
        """What came out; None if nothing did."""
        path = self.folder / "report.json"
        if not path.exists():
            return None
        kind = ComparisonReport if self.question().kind == "compare" else GrowthReport
        return kind.model_validate_json(path.read_text(encoding="utf-8"))

    def error(self) -> str:
        """Why it failed."""
        path = self.folder / "error.txt"
        return path.read_text(encoding="utf-8") if path.exists() else ""

    def cancel(self) -> None:
        """Ask it to stop; what does not soon is ended."""
        if (self.folder / "report.json").exists():
            return
        (self.folder / "cancel").touch()
        threading.Thread(target=_end, args=(self.folder,), name="end a run", daemon=True).start()


def home() -> Path:
    """The folder of all runs."""
    return private_folder("meshsim-runs")


def private_folder(name: str) -> Path:
    """A folder of this user's alone among the temporary ones. MeshsimError if somebody else made it."""
    user = os.getuid() if hasattr(os, "getuid") else 0
    path = Path(tempfile.gettempdir()) / f"{name}-{user}"
    path.mkdir(mode=0o700, exist_ok=True)
    if hasattr(os, "getuid") and path.stat().st_uid != user:
        raise MeshsimError(f"{path}: belongs to somebody else; nothing is kept there")
    return path


def start(question: Question) -> Run:
    """Begin a run. MeshsimError if too many are under way."""
    _forget_old_ones()
    under_way = [run for run in all_runs() if run.progress().state == "running"]
    if len(under_way) >= MOST_AT_ONCE:
        raise MeshsimError(f"{len(under_way)} runs are under way; cancel one of them or wait: {MOST_AT_ONCE} at most")
    run = Run(f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(4)}")
    run.folder.mkdir(mode=0o700)
    write(run.folder / "question.json", json.dumps(asdict(question)))
    process = subprocess.Popen(
        [sys.executable, "-m", "meshsim.app.job", str(run.folder)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    (run.folder / "pid").write_text(str(process.pid), encoding="utf-8")
    threading.Thread(target=process.wait, name="wait for a run", daemon=True).start()
    return run


def find(name: str) -> Run | None:
    """The run of that name; None if there is none."""
    if not re.fullmatch(r"[0-9]{8}-[0-9]{6}-[0-9a-f]{8}", name):
        return None
    run = Run(name)
    return run if (run.folder / "question.json").exists() else None


def all_runs() -> list[Run]:
    """The latest first."""
    names = sorted((path.name for path in home().iterdir() if path.is_dir()), reverse=True)
    return [run for name in names if (run := find(name)) is not None]


def read_question(folder: Path) -> Question:
    """The question of a run's folder."""
    fields = json.loads((folder / "question.json").read_text(encoding="utf-8"))
    terms = Terms(**fields.get("terms", {}))
    lists = {name: tuple(fields[name]) for name in ("sizes", "dataplanes")}
    return Question(**{**fields, **lists, "terms": terms})


def write(path: Path, text: str) -> None:
    """Whole or not at all: a reader never sees half a file."""
    part = path.with_suffix(".part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


def _json(path: Path) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found


def _last_sign(folder: Path) -> float:
    for name in ("progress.json", "question.json"):
        if (path := folder / name).exists():
            return path.stat().st_mtime
    return 0.0


def _alive(folder: Path) -> bool:
    try:
        os.kill(int((folder / "pid").read_text(encoding="utf-8")), 0)
    except (OSError, ValueError):
        return False
    return True


def _end(folder: Path) -> None:
    until = time.monotonic() + GRACE_S
    while time.monotonic() < until:
        if not _alive(folder):
            return
        time.sleep(0.05)
    if hasattr(os, "killpg"):
        try:
            os.killpg(int((folder / "pid").read_text(encoding="utf-8")), signal.SIGKILL)
        except (OSError, ValueError):
            return


def _forget_old_ones() -> None:
    for run in all_runs():
        if time.time() - _last_sign(run.folder) > KEPT_S:
            shutil.rmtree(run.folder, ignore_errors=True)
