"""Nothing is left behind: not after a run, an error, or a kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hosts import needs

from meshsim.measure import ledger
from meshsim.measure.lab import Lab, LabError, unified_root, v1_cpu_root

network = needs("root", "namespaces", "ip")
cgroups = needs("root", "cgroup")


def cgroups_of(pid: int) -> list[Path]:
    roots = [root for root in (unified_root(), v1_cpu_root()) if root is not None]
    return [path for root in roots for path in root.glob(f"{ledger.PREFIX}{pid}-*")]


@network
def test_pods_reach_each_other_and_vanish() -> None:
    host_before = subprocess.run(["ip", "-br", "link"], capture_output=True, text=True, check=True).stdout
    with Lab() as lab:
        one, other = lab.pod("one"), lab.pod("other")
        server = other.start(
            [
                sys.executable,
                "-c",
                "import socket; s = socket.create_server(('', 8000)); s.accept()[0].sendall(b'hello')",
            ]
        )
        ask = f"import socket; print(socket.create_connection(('{other.address}', 8000), 5).recv(9).decode())"
        deadline = time.monotonic() + 10
        while True:
            try:
                assert one.run([sys.executable, "-c", ask]).strip() == "hello"
                break
            except LabError:
                assert time.monotonic() < deadline
                time.sleep(0.1)
        pids = [one.holder.pid, other.holder.pid, server.pid]
        # The host's own network is not touched: even the bridge is in a namespace of ours.
        assert subprocess.run(["ip", "-br", "link"], capture_output=True, text=True, check=True).stdout == host_before
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


@cgroups
def test_a_cgroup_counts_cpu_time_and_a_quota_limits_it() -> None:
    spin = [sys.executable, "-c", "import time\nt = time.process_time()\nwhile time.process_time() - t < 0.2: pass"]
    with Lab() as lab:
        free, limited = lab.cgroup(), lab.cgroup(quota_ns=20_000_000)
        lab.call(spin, cgroup=free)
        began = time.monotonic()
        lab.call(spin, cgroup=limited)
        passed = time.monotonic() - began
        assert free.usage().total_us == pytest.approx(limited.usage().total_us, rel=0.5)
        assert passed > 0.7  # 0.2 s at a fifth of a core
        periods, throttled, ns = limited.throttled()
        assert periods >= throttled > 3
        assert ns > 0
    assert cgroups_of(os.getpid()) == []


def test_a_scope_undoes_what_was_made_inside_it_and_an_error_does_too() -> None:
    with Lab() as lab:
        outer = lab.folder()
        with pytest.raises(LabError, match="no-such-program"), lab.scope():  # noqa: PT012
            inner = lab.folder()
            sleeper = lab.start(["sleep", "60"])
            lab.call(["no-such-program"])
        assert outer.exists()
        assert not inner.exists()
        assert not Path(f"/proc/{sleeper.pid}").exists()
    assert not outer.exists()
    assert not lab.ledger.path.exists()


def test_a_failing_command_comes_back_with_its_words() -> None:
    with Lab() as lab, pytest.raises(LabError, match=r"exit code 3: it broke"):
        lab.call(["sh", "-c", "echo it broke >&2; exit 3"])


def test_a_setting_comes_back(tmp_path: Path) -> None:
    setting = tmp_path / "sched_autogroup_enabled"
    setting.write_text("1\n")
    with Lab() as lab:
        with lab.scope():
            lab.setting(setting, "0")
            assert setting.read_text() == "0"
        assert setting.read_text() == "1"
        lab.setting(tmp_path / "not-there", "0")  # a kernel without it needs no change


KILLED = """
import sys, time
from pathlib import Path
from meshsim.measure.lab import Lab
with Lab() as lab:
    folder = lab.folder()
    lab.setting(Path(sys.argv[1]), "0")
    child = lab.start(["sleep", "600"])
    if sys.argv[2] == "root":
        lab.pod("one")
        lab.cgroup(quota_ns=10_000_000)
    print(folder, child.pid, flush=True)
    time.sleep(600)
"""


def test_what_a_killed_run_left_is_removed_and_only_that(tmp_path: Path) -> None:
    root = not network.args[0] and not cgroups.args[0]
    setting = tmp_path / "setting"
    setting.write_text("1")
    bystander = Path(f"/tmp/{ledger.PREFIX}bystander")
    bystander.mkdir(exist_ok=True)
    killed, going = (
        subprocess.Popen(
            [sys.executable, "-c", KILLED, str(path), "root" if root else "user"], stdout=subprocess.PIPE, text=True
        )
        for path in (setting, tmp_path / "other")
    )
    try:
        assert killed.stdout is not None
        assert going.stdout is not None
        folder, child = killed.stdout.readline().split()
        folder_going, _ = going.stdout.readline().split()
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        deadline = time.monotonic() + 5
        while ledger.start_time(int(child)) is not None:  # it dies with its parent
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert Path(folder).exists()
        assert bool(cgroups_of(killed.pid)) == root
        removed = ledger.clean()
        assert any(folder in line for line in removed.lines)
        assert not Path(folder).exists()
        assert cgroups_of(killed.pid) == []
        assert setting.read_text() == "1"
        assert removed.running >= 1
        assert Path(folder_going).exists()  # a run that goes on is left alone
        assert bystander.exists()
        assert not any(folder in line for line in ledger.clean().lines)
    finally:
        going.terminate()
        going.wait()
        ledger.clean()
        bystander.rmdir()


def test_a_process_that_took_over_a_pid_is_not_killed() -> None:
    bystander = subprocess.Popen(["sleep", "60"])
    try:
        assert not ledger.remove({"kind": "process", "pid": bystander.pid, "began": 1})
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_only_folders_with_our_name_are_removed(tmp_path: Path) -> None:
    assert not ledger.remove({"kind": "folder", "path": str(tmp_path)})
    assert tmp_path.exists()
