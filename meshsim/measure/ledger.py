"""What a run makes outside itself is written down before it is made, and crossed out when it is gone.

A run that ends, fails or is interrupted undoes everything itself. One that was killed leaves its ledger:
``meshsim measure --clean`` reads it and removes what is left, and nothing else. Namespaces, veth pairs, iptables rules
and BPF programs need no entry: they belong to processes, which die with the run (PR_SET_PDEATHSIG), and vanish.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PREFIX = "meshsim-measure-"
RUNTIMES = ("runc", "crun")
"""What runs containers for us; a ledger that names another program is not believed."""


def folder() -> Path:
    """Where ledgers are: of this user only."""
    return Path(tempfile.gettempdir()) / f"{PREFIX}ledgers-{os.getuid()}"


def start_time(pid: int) -> int | None:
    """When a process began, in clock ticks since boot; None if there is none. With the pid it names one process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return None if fields[0] == "Z" else int(fields[19])


class Ledger:
    """The list of one run. Kinds: process, cgroup, container, folder, setting."""

    def __init__(self) -> None:
        home = folder()
        home.mkdir(mode=0o700, exist_ok=True)
        self.path = home / f"{os.getpid()}.jsonl"
        self.number = 0
        self.file = self.path.open("w")
        self._write({"owner": os.getpid(), "began": start_time(os.getpid())})

    def _write(self, line: dict[str, Any]) -> None:
        self.file.write(json.dumps(line) + "\n")
        self.file.flush()

    def add(self, kind: str, **what: Any) -> int:
        """Write down what is about to be made; the number crosses it out."""
        self.number += 1
        self._write({"number": self.number, "kind": kind, **what})
        return self.number

    def gone(self, number: int) -> None:
        """It was removed."""
        self._write({"gone": number})

    def close(self) -> None:
        """All is gone: so is the ledger."""
        self.file.close()
        self.path.unlink(missing_ok=True)


@dataclass(frozen=True)
class Removed:
    """What ``clean`` did: one line each."""

    lines: list[str]
    running: int
    """Runs that are still going on: their things were left alone."""


def clean() -> Removed:
    """Remove what killed runs of this user left behind."""
    lines: list[str] = []
    running = 0
    for path in sorted(folder().glob("*.jsonl")) if folder().is_dir() else []:
        entries = _read(path)
        owner = entries[0] if entries else {}
        if owner.get("began") is not None and start_time(int(owner["owner"])) == owner["began"]:
            running += 1
            continue
        gone = {e["gone"] for e in entries if "gone" in e}
        for entry in reversed([e for e in entries if "number" in e and e["number"] not in gone]):
            if remove(entry):
                lines.append(f"{entry['kind']} {entry.get('path') or entry.get('pid') or entry.get('id')}")
        path.unlink(missing_ok=True)
    return Removed(lines, running)


def _read(path: Path) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = []
    for line in path.read_text(errors="replace").splitlines():
        with contextlib.suppress(ValueError):  # the last line of a killed run may be torn
            entries.append(json.loads(line))
    return entries


def remove(entry: dict[str, Any]) -> bool:
    """Undo one entry. True if there was something to undo."""
    kind = entry["kind"]
    if kind == "process":
        return _end_process(int(entry["pid"]), entry["began"])
    if kind == "setting":
        path = Path(entry["path"])
        if path.exists() and path.read_text().strip() != entry["before"]:
            path.write_text(entry["before"])
            return True
        return False
    if kind == "container":
        return _delete_container(entry["runtime"], Path(entry["root"]), entry["id"])
    path = Path(entry["path"])
    if PREFIX not in path.name or not path.is_dir():  # only what carries our name
        return False
    if kind == "folder":
        shutil.rmtree(path, ignore_errors=True)
        return True
    return _remove_cgroup(path)


def _end_process(pid: int, began: int) -> bool:
    if start_time(pid) != began:
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    return True


def runtime_command(runtime: str, root: Path) -> list[str]:
    """How to call a container runtime: with its state in a folder of ours, and with the cgroup v2 hierarchy of a hybrid
    host hidden from crun, which refuses such hosts."""
    command = [runtime, "--root", str(root)]
    unified = Path("/sys/fs/cgroup/unified")
    if Path(runtime).name == "crun" and unified.is_dir():
        hide = f'umount {unified} 2>/dev/null; exec "$@"'
        return ["unshare", "--mount", "sh", "-c", hide, "sh", *command, "--cgroup-manager=cgroupfs"]
    return command


def _delete_container(runtime: str, root: Path, name: str) -> bool:
    if runtime not in RUNTIMES or not name.startswith(PREFIX) or not (root / name).is_dir():
        return False
    paths = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin", "/usr/local/sbin"])
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        subprocess.run(
            [*runtime_command(runtime, root), "delete", "--force", name],
            env={**os.environ, "PATH": paths},
            capture_output=True,
            timeout=30,
            check=False,
        )
    return True


def _remove_cgroup(path: Path) -> bool:
    for inner in sorted(path.glob("*/"), reverse=True):
        _remove_cgroup(inner)
    deadline = time.monotonic() + 2.0
    while True:
        for pid in (path / "cgroup.procs").read_text().split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        try:
            path.rmdir()
        except OSError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        else:
            return True
