"""A laboratory on one host: pods as network namespaces on one bridge, processes, cgroups, settings. All is undone.

Nothing of the host's own network is touched: even the bridge is in a namespace of ours. Namespaces have no name;
each belongs to a process that sleeps in it, so they vanish with it.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Literal

from meshsim.measure.ledger import PREFIX, Ledger, remove, start_time

CLONE_NEWNET = 0x40000000
PR_SET_PDEATHSIG = 1
SUBNET = "10.213.0"
"""Addresses of pods; they exist in namespaces of ours only."""

Schedule = Literal["normal", "realtime", "idle"]
_libc = ctypes.CDLL(None, use_errno=True)


class LabError(RuntimeError):
    """Something could not be set up; the message says which command and what it said."""


@dataclass(frozen=True)
class Usage:
    """CPU time of a cgroup or process since it began, microseconds."""

    user_us: int
    system_us: int

    @property
    def total_us(self) -> int:
        """Both."""
        return self.user_us + self.system_us

    def __sub__(self, before: Usage) -> Usage:
        return Usage(self.user_us - before.user_us, self.system_us - before.system_us)


class Process:
    """A process of ours. It dies when this one does, whatever happens."""

    def __init__(self, popen: subprocess.Popen[bytes]) -> None:
        self.popen = popen
        self.pid = popen.pid

    def usage(self) -> Usage:
        """CPU time of all its threads, from /proc: ticks of 10 ms, so measure for seconds, or use a cgroup."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        tick_us = 1_000_000 // os.sysconf("SC_CLK_TCK")
        return Usage(int(fields[11]) * tick_us, int(fields[12]) * tick_us)

    def memory(self) -> dict[str, int]:
        """Bytes by kind, of ``smaps_rollup``: Rss, Pss, Private_Dirty …"""
        return memory(self.pid)

    def stop(self) -> None:
        """End it now."""
        if self.popen.poll() is None:
            # Dying takes CPU time too: one of idle priority would wait for it as long as the host is busy.
            with contextlib.suppress(OSError):
                os.sched_setscheduler(self.pid, os.SCHED_OTHER, os.sched_param(0))
            self.popen.terminate()
            try:
                self.popen.wait(2.0)
            except subprocess.TimeoutExpired:
                self.popen.kill()
                self.popen.wait()


def memory(pid: int) -> dict[str, int]:
    """Bytes by kind that a process uses: Rss, Pss, Private_Dirty …"""
    found = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, value = line.split(":")
        found[name] = int(value.split()[0]) * 1024
    return found


@dataclass(frozen=True)
class Cgroup:
    """A control group of ours: counts CPU time exactly, and limits it where a quota was asked for."""

    path: Path
    """In the unified hierarchy."""
    cpu_path: Path | None
    """In the v1 cpu hierarchy, on hosts that keep the controller there and where a quota was asked for."""

    def usage(self) -> Usage:
        """CPU time of everything in it."""
        fields = dict(line.split() for line in (self.path / "cpu.stat").read_text().splitlines())
        return Usage(int(fields["user_usec"]), int(fields["system_usec"]))

    def throttled(self) -> tuple[int, int, int]:
        """(periods, periods throttled, ns throttled) of its quota."""
        stat = dict(line.split() for line in ((self.cpu_path or self.path) / "cpu.stat").read_text().splitlines())
        ns = int(stat["throttled_time"]) if "throttled_time" in stat else int(stat.get("throttled_usec", 0)) * 1000
        return int(stat.get("nr_periods", 0)), int(stat.get("nr_throttled", 0)), ns

    def join_here(self) -> None:
        """Put the calling process into it (used between fork and exec)."""
        for path in (self.path, self.cpu_path):
            if path is not None:
                (path / "cgroup.procs").write_text("0")


class Pod:
    """A network namespace with one address on the lab's bridge."""

    def __init__(self, lab: Lab, name: str, holder: Process, address: str) -> None:
        self.lab = lab
        self.name = name
        self.holder = holder
        self.address = address

    def run(self, argv: Sequence[str], **options: Any) -> str:
        """Run a command in it to its end; its standard output. LabError if it fails."""
        return self.lab.call(argv, pod=self, **options)

    def start(self, argv: Sequence[str], **options: Any) -> Process:
        """Start a process in it."""
        return self.lab.start(argv, pod=self, **options)

    def enter_here(self) -> None:
        """Move the calling thread into it (used between fork and exec)."""
        descriptor = os.open(f"/proc/{self.holder.pid}/ns/net", os.O_RDONLY)
        try:
            if _libc.setns(descriptor, CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
        finally:
            os.close(descriptor)


class Lab:
    """Makes things and undoes them, in reverse, when the block ends (an error or Ctrl-C included)."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._numbers = itertools.count(1)
        self._bridge: Process | None = None
        self._addresses = itertools.count(10)
        self.gateway = f"{SUBNET}.1"
        """The bridge's own address: where a pod may send what is for nobody."""

    def __enter__(self) -> Lab:
        self.ledger = Ledger()
        self._stack.callback(self.ledger.close)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @contextmanager
    def scope(self) -> Iterator[Lab]:
        """What is made inside is undone at its end: ``with lab.scope(): …``"""
        outer, bridge = self._stack, self._bridge
        self._stack = ExitStack()
        try:
            yield self
        finally:
            inner, self._stack, self._bridge = self._stack, outer, bridge
            inner.close()

    def _undo(self, kind: str, number: int, **what: Any) -> None:
        def undo() -> None:
            remove({"kind": kind, **what})
            self.ledger.gone(number)

        self._stack.callback(undo)

    def promise(self, kind: str, **what: Any) -> None:
        """Write down what is about to be made by other means; it is removed at the end of the scope."""
        self._undo(kind, self.ledger.add(kind, **what), **what)

    # Processes --------------------------------------------------------------------------------------------------

    def start(
        self,
        argv: Sequence[str],
        *,
        pod: Pod | None = None,
        cgroup: Cgroup | None = None,
        cpus: Sequence[int] | None = None,
        schedule: Schedule = "normal",
        environment: dict[str, str] | None = None,
        stdin: int | IO[bytes] = subprocess.DEVNULL,
        stdout: int | IO[bytes] = subprocess.DEVNULL,
        stderr: int | IO[bytes] = subprocess.DEVNULL,
        pass_fds: Sequence[int] = (),
        own_network: bool = False,
    ) -> Process:
        """Start a process: in a pod, in a cgroup, on some CPUs, with realtime or idle priority."""
        prepare = _preparation(pod, cgroup, cpus, schedule, own_network)
        try:
            popen = subprocess.Popen(
                list(argv), stdin=stdin, stdout=stdout, stderr=stderr, preexec_fn=prepare, pass_fds=tuple(pass_fds),
                env={**os.environ, **(environment or {})},
            )  # fmt: skip
        except (OSError, subprocess.SubprocessError) as error:
            raise LabError(f"{argv[0]}: {error}") from error
        process = Process(popen)
        if schedule == "idle":  # not before exec, which would wait for a free CPU
            with contextlib.suppress(ProcessLookupError):
                os.sched_setscheduler(popen.pid, os.SCHED_IDLE, os.sched_param(0))
        number = self.ledger.add("process", pid=process.pid, began=start_time(process.pid), argv=argv[0])

        def undo() -> None:
            process.stop()
            self.ledger.gone(number)

        self._stack.callback(undo)
        return process

    def call(
        self,
        argv: Sequence[str],
        *,
        pod: Pod | None = None,
        cgroup: Cgroup | None = None,
        cpus: Sequence[int] | None = None,
        schedule: Schedule = "normal",
        stdin: str = "",
        timeout: float = 120.0,
    ) -> str:
        """Run a command to its end; its standard output. LabError with its words if it fails."""
        try:
            done = subprocess.run(
                list(argv), input=stdin, capture_output=True, text=True, timeout=timeout, check=False,
                preexec_fn=_preparation(pod, cgroup, cpus, schedule, False),
            )  # fmt: skip
        except (OSError, subprocess.SubprocessError) as error:
            raise LabError(f"{argv[0]}: {error}") from error
        if done.returncode:
            words = (done.stderr or done.stdout).strip()[-800:]
            raise LabError(f"{' '.join(argv)}: exit code {done.returncode}: {words}")
        return done.stdout

    def keep_awake(self) -> None:
        """A spinner of idle priority on each CPU: a CPU that sleeps costs the next wake-up milliseconds in a VM.

        Autogroups would give it the weight of a whole login session, so they are switched off meanwhile; where that
        is not allowed, there are no spinners.
        """
        autogroup = Path("/proc/sys/kernel/sched_autogroup_enabled")
        self.setting(autogroup, "0")
        if autogroup.exists() and autogroup.read_text().strip() != "0":
            return
        for cpu in sorted(os.sched_getaffinity(0)):
            self.start(["sh", "-c", "while :; do :; done"], cpus=[cpu], schedule="idle")

    # Network ----------------------------------------------------------------------------------------------------

    def pod(self, name: str) -> Pod:
        """A new namespace with a veth pair to the bridge, and an address; every pod reaches every other."""
        bridge = self._bridge or self._make_bridge()
        number = next(self._addresses)
        holder = self.start(["sleep", "infinity"], own_network=True)
        pod = Pod(self, name, holder, f"{SUBNET}.{number}")
        self.call(
            ["ip", "-batch", "-"],
            pod=Pod(self, "bridge", bridge, ""),
            stdin=f"link add v{number} type veth peer name eth0 netns {holder.pid}\n"
            f"link set v{number} master bridge0 up\n",
        )
        pod.run(
            ["ip", "-batch", "-"],
            stdin=f"addr add {pod.address}/24 dev eth0\nlink set eth0 up\nlink set lo up\n",
        )
        return pod

    def outer_end(self, pod: Pod) -> tuple[Pod, str]:
        """Where the other end of a pod's interface is: the bridge's namespace, and its name there."""
        if self._bridge is None:
            raise LabError(f"pod {pod.name} has no bridge")
        return Pod(self, "bridge", self._bridge, self.gateway), f"v{pod.address.rpartition('.')[2]}"

    def _make_bridge(self) -> Process:
        self._bridge = self.start(["sleep", "infinity"], own_network=True)
        self.call(
            ["ip", "-batch", "-"],
            pod=Pod(self, "bridge", self._bridge, ""),
            stdin=f"link set lo up\nlink add bridge0 type bridge\naddr add {self.gateway}/24 dev bridge0\n"
            "link set bridge0 up\n",
        )
        return self._bridge

    # Files, cgroups, settings -----------------------------------------------------------------------------------

    def folder(self) -> Path:
        """A temporary folder."""
        path = Path(tempfile.gettempdir()) / f"{PREFIX}{os.getpid()}-{next(self._numbers)}"
        number = self.ledger.add("folder", path=str(path))
        path.mkdir(mode=0o755)
        self._undo("folder", number, path=str(path))
        return path

    def cgroup(self, *, quota_ns: int | None = None, period_ns: int = 100_000_000) -> Cgroup:
        """A cgroup that counts CPU time; with ``quota_ns``, at most so much of it in each period."""
        root = unified_root()
        if root is None:
            raise LabError("no cgroup v2 hierarchy is mounted")
        path = self._make_cgroup(root)
        if quota_ns is None:
            return Cgroup(path, None)
        if "cpu" in (root / "cgroup.controllers").read_text().split():
            (root / "cgroup.subtree_control").write_text("+cpu")
            (path / "cpu.max").write_text(f"{quota_ns // 1000} {period_ns // 1000}")
            return Cgroup(path, None)
        old = v1_cpu_root()
        if old is None:
            raise LabError("no cgroup hierarchy has the cpu controller")
        cpu_path = self._make_cgroup(old)
        (cpu_path / "cpu.cfs_period_us").write_text(str(period_ns // 1000))
        (cpu_path / "cpu.cfs_quota_us").write_text(str(quota_ns // 1000))
        return Cgroup(path, cpu_path)

    def _make_cgroup(self, root: Path) -> Path:
        path = root / f"{PREFIX}{os.getpid()}-{next(self._numbers)}"
        number = self.ledger.add("cgroup", path=str(path))
        path.mkdir()
        self._undo("cgroup", number, path=str(path))
        return path

    def setting(self, path: Path, value: str) -> None:
        """Write a kernel setting for the time of the scope; what it was comes back at the end."""
        if not path.exists() or not os.access(path, os.W_OK):
            return
        before = path.read_text().strip()
        if before == value:
            return
        number = self.ledger.add("setting", path=str(path), before=before)
        path.write_text(value)
        self._undo("setting", number, path=str(path), before=before)


def _preparation(
    pod: Pod | None, cgroup: Cgroup | None, cpus: Sequence[int] | None, schedule: Schedule, own_network: bool
) -> Callable[[], None]:
    """What happens between fork and exec."""
    parent = os.getpid()

    def prepare() -> None:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before we asked to die with it
            os._exit(1)
        os.setsid()  # Ctrl-C in the terminal is for the run, which ends its processes in order
        if cgroup is not None:
            cgroup.join_here()
        if own_network and _libc.unshare(CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "unshare")
        if pod is not None:
            pod.enter_here()
        if cpus is not None:
            os.sched_setaffinity(0, cpus)
        if schedule == "realtime":
            os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(10))

    return prepare


def unified_root() -> Path | None:
    """Where the cgroup v2 hierarchy is mounted."""
    return _mounted("cgroup2", None)


def v1_cpu_root() -> Path | None:
    """Where the v1 cpu controller is mounted, on hosts that have it there."""
    return _mounted("cgroup", "cpu")


def _mounted(kind: str, option: str | None) -> Path | None:
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/mounts").read_text().splitlines():
            _, where, filesystem, options, *_ = line.split()
            if filesystem == kind and (option is None or option in options.split(",")):
                return Path(where)
    return None


def program(name: str) -> str | None:
    """Path of a program, sbin folders included."""
    return shutil.which(
        name, path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin", "/usr/local/sbin"])
    )
