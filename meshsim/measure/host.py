"""The conditions of a measurement: processor, kernel, clock, who else is using the machine, how fast it is now."""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import threading
import time
from pathlib import Path
from types import TracebackType

TICKS = os.sysconf("SC_CLK_TCK")


def conditions() -> dict[str, str]:
    """What to know about this host when reading its figures; facts that it does not tell are left out."""
    cpuinfo = _text("/proc/cpuinfo")
    found = {
        "processor": _field(cpuinfo, "model name"),
        "family": " ".join(f"{name} {_field(cpuinfo, name)}" for name in ("cpu family", "model", "stepping")).strip(),
        "cores": str(len(os.sched_getaffinity(0))),
        "virtual machine": "yes" if " hypervisor" in cpuinfo else "no",
        "memory": f"{_kib('/proc/meminfo', 'MemTotal') / 1024 / 1024:.0f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "distribution": _os_release(),
        "clock": _text("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
        "governor": _text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "mitigations": _mitigations(),
        "congestion control": _text("/proc/sys/net/ipv4/tcp_congestion_control"),
        "python": platform.python_version(),
    }
    return {name: value for name, value in found.items() if value}


def _text(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace").strip()
    except OSError:
        return ""


def _field(text: str, name: str) -> str:
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return ""


def _kib(path: str, name: str) -> float:
    words = _field(_text(path), name).split()
    return float(words[0]) if words else 0.0


def _os_release() -> str:
    for line in _text("/etc/os-release").splitlines():
        if line.startswith("PRETTY_NAME="):
            return line.partition("=")[2].strip('"')
    return ""


def _mitigations() -> str:
    """The vulnerabilities for which the kernel does extra work, shortly."""
    folder = Path("/sys/devices/system/cpu/vulnerabilities")
    lines = []
    with contextlib.suppress(OSError):
        for path in sorted(folder.iterdir()):
            text = _text(str(path))
            if text.startswith("Mitigation"):
                lines.append(f"{path.name}: {text.removeprefix('Mitigation: ').split(';')[0]}")
    return "; ".join(lines)


def speed_probe() -> float:
    """Nanoseconds that a fixed piece of work takes on one core: SHA-256 of 256 KiB, the best of 9.

    When it moves between rounds, the clock of the processor did, and so did everything else.
    """
    block = bytes(256 * 1024)
    best = float("inf")
    for _ in range(9):
        before = time.perf_counter_ns()
        hashlib.sha256(block).digest()
        best = min(best, time.perf_counter_ns() - before)
    return best


class CoresGiven:
    """How many cores' worth of work gets done here: pieces of work by a thread a core, against the quickest piece ever.

    As many as there are, while nobody else has them; fewer while other guests of the same machine do, who are not seen
    from inside. What is compared with is of this process: a host that was never quiet meanwhile looks as if it were.
    """

    PIECES, PIECE_BYTES = 20, 1 << 20
    quickest_s = float("inf")

    @classmethod
    def now(cls) -> float:
        """Some 20 ms of work on all cores."""
        block, cores = bytes(cls.PIECE_BYTES), len(os.sched_getaffinity(0))

        def work() -> None:
            for _ in range(cls.PIECES):
                before = time.perf_counter()
                hashlib.sha256(block).digest()
                cls.quickest_s = min(cls.quickest_s, time.perf_counter() - before)

        threads = [threading.Thread(target=work) for _ in range(cores)]
        began = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return cores * cls.PIECES * cls.quickest_s / (time.perf_counter() - began)


LOST = 0.4
"""Share of the cores: half of them, or nearly. A quiet host repeats the work to a tenth, but next to spinners of idle
priority, which keep its cores awake, to a quarter."""


class LoadWatch:
    """Watches how much CPU others use while something is measured: ``foreign_cores`` afterwards.

    Others are processes of this host, or guests of the same machine: if all cores together get far less done both
    before and behind it than they can, those cores are counted too.

    Their own accounts are added up: what the kernel counts by ticks for the whole host misjudges processes that wake
    and sleep in step with the tick, as those do that are measured here. Kernel threads are left out, because they
    mostly work for us; who comes and goes in between is missed.
    """

    foreign_cores = 0.0

    def __enter__(self) -> LoadWatch:
        self._given = CoresGiven.now()
        self._began, self._before = time.monotonic(), foreign_seconds()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        passed = max(time.monotonic() - self._began, 1e-9)
        used = sum(now - self._before.get(pid, now) for pid, now in foreign_seconds().items())
        # Each account is in ticks of 10 ms: what is shorter than a few of them says nothing.
        seen = 0.0 if passed < 0.1 else used / passed
        cores = len(os.sched_getaffinity(0))
        lost = cores - max(self._given, CoresGiven.now())
        self.foreign_cores = max(seen, lost if lost > LOST * cores else 0.0)


KERNEL_THREADS = 2
"""Process number of kthreadd, the parent of all kernel threads."""


def foreign_seconds() -> dict[int, float]:
    """CPU time of each process that is neither this one, nor a descendant of it, nor a thread of the kernel."""
    parents: dict[int, int] = {}
    seconds: dict[int, float] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError):
            fields = path.read_text().rpartition(")")[2].split()
            pid = int(path.parent.name)
            parents[pid] = int(fields[1])
            seconds[pid] = (int(fields[11]) + int(fields[12])) / TICKS
    ours = {os.getpid(), KERNEL_THREADS}
    for pid in parents:
        line = [pid]
        while line[-1] not in ours and line[-1] in parents:
            line.append(parents[line[-1]])
        if line[-1] in ours:
            ours.update(line)
    return {pid: used for pid, used in seconds.items() if pid not in ours}
