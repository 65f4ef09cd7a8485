"""A proxy as an experiment sees it: what it is to do, how it is started, when it is ready, what it uses."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from meshsim.measure.lab import Cgroup, LabError, Pod, Process, Schedule, memory
from meshsim.measure.proxy import traffic

PORT = 15001
"""Where a proxy listens."""
READY_WITHIN_S = 30.0


@dataclass(frozen=True)
class Role:
    """What a proxy is to do."""

    protocol: traffic.Protocol = "http1"
    upstream: tuple[str, int] | None = None
    """Address and port to forward to; None: to where redirected traffic was going, or an answer of its own."""
    captured: bool = False
    """Traffic is redirected to it, and forwarded to its original destination."""
    workers: int = 1
    port: int = PORT


class Software(Protocol):
    """One kind of proxy: how its configuration is written. Everything else is the same for all."""

    @property
    def key(self) -> str:
        """In names of operations: 'envoy'."""
        ...

    def command(self, role: Role, folder: Path) -> list[str]:
        """Write the configuration into the folder; the command that runs it in the foreground."""
        ...

    def worker(self, pids: Sequence[int]) -> Path | None:
        """/proc/PID/task/TID of its only worker, where there is such a thread; ``pids``: all its processes."""
        ...


@dataclass
class Running:
    """A proxy that is ready."""

    role: Role
    process: Process
    cgroup: Cgroup
    software: Software

    def watched(self) -> dict[str, Any]:
        """What ``traffic.drive`` is to watch: CPU of all of it, and what its worker does."""
        worker = self.software.worker(self.pids()) if self.role.workers == 1 else None
        return {"watch": {"proxy": self.cgroup}, "threads": {} if worker is None else {"proxy": worker}}

    def pids(self) -> list[int]:
        """All its processes, in order: some proxies are a master and workers."""
        return sorted(int(pid) for pid in (self.cgroup.path / "cgroup.procs").read_text().split())

    def memory(self, kind: str = "Private_Dirty") -> int:
        """Bytes of all its processes: what is its own and is not a file's."""
        return sum(memory(pid)[kind] for pid in self.pids())

    def stop(self) -> None:
        """End it now."""
        self.process.stop()


def start(
    software: Software,
    role: Role,
    pod: Pod,
    *,
    cpus: Sequence[int] | None = None,
    schedule: Schedule = "normal",
    cgroup: Cgroup | None = None,
) -> Running:
    """Start a proxy in a pod, in a cgroup of its own unless one is given. It listens when this returns."""
    cgroup = cgroup or pod.lab.cgroup()
    folder = pod.lab.folder()
    words = folder / "words"
    with words.open("wb") as said:
        process = pod.start(
            software.command(role, folder), cgroup=cgroup, cpus=cpus, schedule=schedule, stdout=said, stderr=said
        )
    wait_until_it_listens(process, role.port, words)
    return Running(role, process, cgroup, software)


def wait_until_it_listens(process: Process, port: int, words: Path) -> None:
    """LabError with the last of its words if it ends instead."""
    until = time.monotonic() + READY_WITHIN_S
    while not listens(process, port):
        if process.popen.poll() is not None:
            raise LabError(f"{process.popen.args!r} ended: {words.read_text(errors='replace').strip()[-800:]}")
        if time.monotonic() > until:
            raise LabError(f"{process.popen.args!r} did not listen on {port} within {READY_WITHIN_S:.0f} s")
        time.sleep(0.002)


def listens(process: Process, port: int) -> bool:
    """Whether something in the network namespace of a process listens on a port."""
    for table in ("tcp", "tcp6"):
        try:
            lines = Path(f"/proc/{process.pid}/net/{table}").read_text().splitlines()[1:]
        except OSError:
            return False
        for line in lines:
            _, local, _, state, *_ = line.split()
            if state == "0A" and int(local.rpartition(":")[2], 16) == port:
                return True
    return False


def thread_named(pid: int, name: str) -> Path | None:
    """Folder of the thread of a process that has this name."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        if (task / "comm").read_text().strip() == name:
            return task
    return None
