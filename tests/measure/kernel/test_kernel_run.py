"""The kernel's experiments for real, in short: figures of the right order, and nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
from hosts import needs

from meshsim.measure import ledger
from meshsim.measure.doctor import capability
from meshsim.measure.kernel import EXPERIMENTS, quota, sockets
from meshsim.measure.lab import Lab, unified_root, v1_cpu_root
from meshsim.measure.native import tool
from meshsim.measure.session import Session, measure

root = needs("root", "compiler", "namespaces", "ip")

AUTOGROUP = Path("/proc/sys/kernel/sched_autogroup_enabled")


def traces() -> dict[str, object]:
    """What a run could leave: processes of ours, cgroups, folders, links and rules of the host, a setting."""
    roots = [path for path in (unified_root(), v1_cpu_root()) if path is not None]
    tables = [["ip", "-br", "link"], ["ip", "rule"], ["ip", "route"], ["iptables", "-t", "nat", "-S"]]
    return {
        "children": sorted(Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()),
        "cgroups": [path for root in roots for path in root.glob(f"{ledger.PREFIX}{os.getpid()}-*")],
        "folders": sorted(Path("/tmp").glob(f"{ledger.PREFIX}{os.getpid()}-*")),
        "tables": [
            subprocess.run(argv, capture_output=True, text=True, check=False).stdout
            for argv in tables
            if capability("iptables").ok or argv[0] == "ip"
        ],
        "autogroup": autogroup(),
    }


def autogroup() -> str:
    """The setting; empty where there is none, or while another measuring session on this host may be holding it."""
    return AUTOGROUP.read_text() if AUTOGROUP.exists() and not ledger.clean().running else ""


def assert_undone(before: dict[str, object]) -> None:
    after = traces()
    if not before["autogroup"] or not after["autogroup"]:
        before = {**before, "autogroup": after["autogroup"]}
    assert after == before


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    """One quick round of everything that this host can do."""
    before = traces()
    done = measure(["kernel"], tmp_path_factory.mktemp("kernel") / "host.yaml", quick=True, rounds=1, attempts=1)
    assert_undone(before)
    return done


def test_every_experiment_ran_or_says_what_is_missing(session: Session) -> None:
    ran = {s.experiment for s in session.samples}
    skipped = {s.experiment: s for s in session.skipped}
    assert ran | skipped.keys() == {e.name for e in EXPERIMENTS}
    assert all(s.remedy for s in skipped.values()), [s.reason for s in skipped.values()]


@root
def test_figures_are_of_the_right_order(session: Session) -> None:
    """Wide bounds: any Linux host of the last ten years, quiet or not."""
    assert session.book is not None
    found = {entry.operation: entry for entry in session.book.entries}
    assert 30 < found["kernel.syscall"].cpu_ns < 5000
    assert 300 < found["kernel.context-switch"].cpu_ns < 30_000
    send, receive = found["kernel.tcp.send"], found["kernel.tcp.receive"]
    assert 1000 < send.cpu_ns < 60_000
    assert 500 < receive.cpu_ns < 60_000
    assert 0.005 < send.cpu_ns_per_byte < 2
    assert 10_000 < found["kernel.tcp.connection"].cpu_ns < 1_000_000
    if capability("iptables").ok:
        assert 0.3 < found["kernel.service.iptables.rule"].cpu_ns < 200
    if capability("libssl").ok and capability("openssl").ok:
        assert 50_000 < found["tls.handshake"].cpu_ns < 20_000_000
        assert 0.02 < found["tls.record"].cpu_ns_per_byte < 20


@root
def test_two_processes_on_one_core_use_what_elapses(session: Session) -> None:
    """The rule by which CPU time is read off the clock, checked against what the kernel charges the two."""
    for sample in session.samples.of(sockets.NAME, cores="same", bytes=64):
        charged = sample.values["loopback_own_cpu_ns"] + sample.values["loopback_peer_cpu_ns"]
        assert charged == pytest.approx(sample.values["loopback_round_trip_ns"], rel=0.25)


@needs("root", "compiler", "cgroup")
def test_the_clocks_of_the_processes_agree_with_their_cgroup() -> None:
    """CPU time is read from the clocks of the two processes; a cgroup around both counts the same."""
    with Lab() as lab:
        lab.keep_awake()
        group = lab.cgroup()
        argv = [str(tool("pingpong")), "0", "0", "64", "0.5", "0", "unix=unix"]
        found = json.loads(lab.call(argv, cgroup=group, schedule="realtime"))["unix"]
        blocks = len(found["own_cpu_ns"])
        # Of 110 round trips in a block the first 10 are not counted; the timer's cost is taken off, 3 a round trip.
        trips = 110 * blocks
        charged = trips * (np.mean(found["own_cpu_ns"]) + np.mean(found["peer_cpu_ns"]))
        assert charged / 1000 == pytest.approx(group.usage().total_us, rel=0.15)


@needs("root", "compiler", "cgroup", "cpu-quota")
def test_a_quota_throttles_about_as_often_as_the_arithmetic_says(session: Session) -> None:
    (row,) = [row for row in quota.table(session.samples) if row.load == "burst"]
    assert row.throttled >= 1
    busy = max(s.foreign_cores for s in session.samples.of(quota.NAME)) > 0.5
    assert abs(row.throttled - row.expected_throttled) <= (2 if busy else 1)


@root
def test_a_stop_in_the_middle_undoes_everything(tmp_path: Path) -> None:
    before = traces()
    asked = iter(range(100))
    stopped = measure(
        ["kernel"], tmp_path / "host.yaml", quick=True, rounds=1, attempts=1, only=["kernel.sockets"],
        should_stop=lambda: next(asked) >= 2,
    )  # fmt: skip
    assert not stopped.complete
    assert_undone(before)


@root
def test_a_failure_in_the_middle_undoes_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = traces()

    def refuse(*_: object) -> str:
        raise OSError("the network is down")

    monkeypatch.setattr(sockets, "pingpong", refuse)
    failed = measure(["kernel"], tmp_path / "host.yaml", quick=True, rounds=1, attempts=1, only=["kernel.sockets"])
    assert "the network is down" in failed.skipped[0].reason
    assert_undone(before)


UNPRIVILEGED = """
import os, sys
from importlib import import_module
from pathlib import Path
from meshsim.measure.experiment import GROUPS
from meshsim.measure.session import measure
for group in GROUPS:
    import_module(f"meshsim.measure.{group}")
os.setgroups([])
os.setgid(65534)
os.setuid(65534)  # only now: a Python in the home of root could not be started by others
only = ["kernel.syscall", "kernel.wake-up", "kernel.sockets", "kernel.connections", "kernel.quota"]
done = measure(["kernel"], Path(sys.argv[1]), quick=True, rounds=1, attempts=1, only=only)
assert done.book is not None
print(",".join(sorted({s.experiment for s in done.samples})), ",".join(e.operation for e in done.book.entries))
print([s.experiment for s in done.skipped if "root" not in s.remedy])
"""


@root
def test_without_root_the_rest_still_runs() -> None:
    """As nobody: no pods and no realtime priority, yet calls, wake-ups and sockets are measured."""
    with tempfile.TemporaryDirectory() as folder:  # tmp_path lies below a folder that others cannot enter
        Path(folder).chmod(0o777)
        out = subprocess.run(
            [sys.executable, "-c", UNPRIVILEGED, f"{folder}/host.yaml"], capture_output=True, text=True, check=False,
            env={**os.environ, "XDG_CACHE_HOME": folder},
        )  # fmt: skip
    if "Permission denied: 'cc" in out.stderr or "No module named" in out.stderr:
        pytest.skip("this checkout or its Python cannot be read by others")
    assert out.returncode == 0, out.stderr
    first, others = out.stdout.splitlines()
    ran, operations = (words.split(",") for words in first.split())
    assert set(ran) == {"kernel.syscall", "kernel.wake-up", "kernel.sockets"}
    assert {"kernel.tcp.send", "kernel.tcp.receive", "kernel.context-switch"} <= set(operations)
    assert "kernel.wire.same-node" not in operations
    assert others == "[]"


KILLED = """
import sys
from pathlib import Path
from meshsim.measure.native import tool
from meshsim.measure.session import measure
measure(["kernel"], Path(sys.argv[1]), only=["kernel.connections"], rounds=1, attempts=1, on_progress=print)
"""


@root
def test_a_kill_in_the_middle_leaves_only_what_clean_removes(tmp_path: Path) -> None:
    before = traces()
    run = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path / "host.yaml")], stdout=subprocess.DEVNULL)
    children = Path(f"/proc/{run.pid}/task/{run.pid}/children")
    deadline = time.monotonic() + 20
    while len(pids := children.read_text().split()) < 5:  # spinners, and the first pods
        assert time.monotonic() < deadline
        time.sleep(0.02)
    run.send_signal(signal.SIGKILL)
    run.wait()
    while any(ledger.start_time(int(pid)) is not None for pid in pids):  # they die with their parent
        assert time.monotonic() < deadline + 20
        time.sleep(0.02)
    ledger.clean()
    assert_undone(before)
    assert not (ledger.folder() / f"{run.pid}.jsonl").exists()
