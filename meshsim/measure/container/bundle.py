"""OCI bundles run by runc or crun: a root file system, a config.json, a network namespace that exists already."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from meshsim.measure.container.apps import App, copy_files
from meshsim.measure.lab import Lab, LabError, Pod, Process, program
from meshsim.measure.ledger import PREFIX, runtime_command
from meshsim.measure.native import tool

_numbers = itertools.count(1)
CAPABILITIES = ["CAP_NET_BIND_SERVICE", "CAP_KILL", "CAP_AUDIT_WRITE"]


@dataclass(frozen=True)
class Answer:
    """What first_answer saw."""

    first_answer_ns: float
    second_answer_ns: float
    request_ns: float
    cpu_ns: float
    pid: int


class Containers:
    """Runs applications in one pod: by a container runtime, or as bare processes."""

    def __init__(self, lab: Lab, pod: Pod) -> None:
        self.lab, self.pod = lab, pod
        self.folder = lab.folder()
        self._hidden: Process | None = None
        self._roots: dict[str, Path] = {}

    def start(self, app: App, launcher: str, port: int, *, requests: int = 0) -> Answer:
        """Start one and wait for its first answer; with ``requests`` more, one after the other, after it.

        ``launcher``: 'runc', 'crun' or 'process'. It lives to the end of the lab's scope.
        """
        if launcher == "process":
            command = [str(tool("first_answer")), str(port), "-", str(requests), *app.command(port, inside=False)]
            return self._bare(command)
        bundle, name = self._bundle(app, port)
        runtime = program(launcher)
        if runtime is None:
            raise LabError(f"{launcher} is not installed: apt-get install {launcher}")
        root = self.folder / launcher
        root.mkdir(exist_ok=True)
        pid_file = bundle / "pid"
        self.lab.promise("container", runtime=launcher, root=str(root), id=name)
        command = [str(tool("first_answer")), str(port), str(pid_file), str(requests)]
        inner = [runtime, "--root", str(root)]
        if runtime_command(runtime, root)[0] == "unshare":  # the mount namespace of crun is made beforehand, once
            inner.append("--cgroup-manager=cgroupfs")
            command = ["nsenter", f"--mount=/proc/{self._mounts().pid}/ns/mnt", *command]
        inner += ["run", "--detach", "--bundle", str(bundle), "--pid-file", str(pid_file), name]
        return Answer(**json.loads(self.pod.run([*command, *inner], timeout=60)))

    def ask(self, port: int, *, requests: int = 0) -> Answer:
        """Ask what listens already."""
        return Answer(**json.loads(self.pod.run([str(tool("first_answer")), str(port), "-", str(requests)])))

    def ask_each(self, port: int, count: int) -> list[tuple[float, float]]:
        """First and second answer, ns, of services on ports that follow each other."""
        answer = self.pod.run([str(tool("first_answer")), str(port), f"ports:{count}", "0"])
        return [(first, second) for first, second in json.loads(answer)]

    def _bare(self, command: list[str]) -> Answer:
        reader, writer = os.pipe()
        self.pod.start(command, stdin=-1, stdout=writer)
        os.close(writer)
        with open(reader) as answers:
            line = answers.readline()
        if not line:
            raise LabError(f"{command[4]}: no answer")
        return Answer(**json.loads(line))

    def _mounts(self) -> Process:
        """A process whose mount namespace hides the cgroup v2 hierarchy."""
        if self._hidden is None:
            hide = "umount /sys/fs/cgroup/unified; echo; exec sleep infinity"
            reader, writer = os.pipe()
            self._hidden = self.lab.start(["unshare", "--mount", "sh", "-c", hide], stdout=writer)
            os.close(writer)
            with open(reader) as ready:
                ready.readline()
        return self._hidden

    def _bundle(self, app: App, port: int) -> tuple[Path, str]:
        root = self._roots.get(app.name)
        if root is None:
            root = self._roots[app.name] = self.folder / f"root-{app.name}"
            root.mkdir()
            copy_files(app, root)
        name = f"{PREFIX}{os.getpid()}-{next(_numbers)}"
        bundle = self.folder / name
        bundle.mkdir()
        (bundle / "config.json").write_text(json.dumps(self._config(app, root, port, name)))
        return bundle, name

    def _config(self, app: App, root: Path, port: int, name: str) -> dict[str, Any]:
        mounts: list[dict[str, Any]] = [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {
                "destination": "/dev",
                "type": "tmpfs",
                "source": "tmpfs",
                "options": ["nosuid", "mode=755", "size=65536k"],
            },
        ]
        for path in app.mounts:
            mounts.append(
                {"destination": str(path), "type": "bind", "source": str(path), "options": ["rbind", "ro", "nosuid"]}
            )
        return {
            "ociVersion": "1.0.2",
            "process": {
                "user": {"uid": 0, "gid": 0},
                "args": app.command(port, inside=True),
                "env": ["PATH=/usr/bin:/bin", *(f"{key}={value}" for key, value in app.environment.items())],
                "cwd": "/",
                "noNewPrivileges": True,
                "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), CAPABILITIES),
            },
            "root": {"path": str(root), "readonly": True},
            "hostname": "echo",
            "mounts": mounts,
            "linux": {
                "cgroupsPath": f"/{name}",
                "namespaces": [
                    *({"type": kind} for kind in ("pid", "ipc", "uts", "mount")),
                    {"type": "network", "path": f"/proc/{self.pod.holder.pid}/ns/net"},
                ],
            },
        }


@contextmanager
def ended_at_once(answers: list[Answer]) -> Iterator[None]:
    """Ends the servers before their containers are deleted: else the runtime waits for each in turn."""
    try:
        yield
    finally:
        for answer in answers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(answer.pid, signal.SIGKILL)


def memory_of(pid: int) -> dict[str, float]:
    """Bytes of a process: proportional (shared pages divided among those that map them), and private."""
    found = {"Pss": 0, "Private_Dirty": 0}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, value = line.split(":")
        if name in found:
            found[name] = int(value.split()[0]) * 1024
    return {"pss_bytes": float(found["Pss"]), "private_bytes": float(found["Private_Dirty"])}
