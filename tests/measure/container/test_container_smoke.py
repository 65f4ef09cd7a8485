"""Containers for real and shortly, where the host allows; and nothing of them is left behind."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from meshsim.measure.bench import Bench
from meshsim.measure.container import EXPERIMENTS, costs
from meshsim.measure.container.apps import APPS
from meshsim.measure.container.bundle import Containers
from meshsim.measure.doctor import capability
from meshsim.measure.experiment import Samples
from meshsim.measure.lab import Lab
from meshsim.measure.ledger import remove, start_time

BY_NAME = {e.name: e for e in EXPERIMENTS}


def need(*names):
    for name in names:
        if not capability(name).ok:
            pytest.skip(f"{capability(name).what} is missing: {capability(name).remedy}")


def measured(*names):
    samples = []
    for name in names:
        need(*BY_NAME[name].needs)
        with Lab() as lab:
            bench = Bench(name, 0, True, lab, lambda: False, attempts=1)
            with lab.scope():
                BY_NAME[name].run(bench)
        samples += bench.samples
    return {c.operation: c for c in costs(Samples(samples))}


def cgroups_of(pid):
    return list(Path("/sys/fs/cgroup").glob(f"*/meshsim-measure-{pid}-*"))


@pytest.mark.parametrize("launcher", ["crun", "runc"])
def test_cold_start(launcher):
    found = measured("container.start.process.c", f"container.start.{launcher}.c")
    entry = found[f"startup.container.{launcher}"]
    assert 1e5 < entry.cpu_ns + entry.wait_ns < 5e9
    assert found["image.c"].bytes > 1e5
    assert cgroups_of(os.getpid()) == []


@pytest.mark.parametrize("app", ["python", "node", "wasm", "wasm-compiling"])
def test_each_app_answers_in_a_container(app):
    need("root", "crun", "namespaces", "ip", "compiler", *APPS[app][1])
    with Lab() as lab:
        containers = Containers(lab, lab.pod("one"))
        answer = containers.start(APPS[app][0](lab), "crun", 8000, requests=3)
        assert answer.first_answer_ns > 0
        assert Path(f"/proc/{answer.pid}/ns/pid").readlink() != Path("/proc/self/ns/pid").readlink()
    assert start_time(answer.pid) is None


def test_a_new_instance_in_a_running_host():
    assert "startup.wasm.wasmtime.first-answer" in measured("container.start.instance")


def test_memory_of_some():
    found = measured("container.memory.c", "container.memory.wasm")
    assert 1e4 < found["memory.runtime.container-c"].bytes < 1e8
    assert 1e4 < found["memory.runtime.wasm-host"].bytes < 1e8


def fails_with_a_container(seen):
    with Lab() as lab:
        containers = Containers(lab, lab.pod("one"))
        seen += [containers.folder, containers.start(APPS["c"][0](lab), "crun", 8000).pid]
        raise ZeroDivisionError


def test_nothing_is_left_after_an_error():
    need(*BY_NAME["container.start.crun.c"].needs)
    seen = []
    with pytest.raises(ZeroDivisionError):
        fails_with_a_container(seen)
    folder, server = seen
    assert start_time(server) is None
    assert not folder.exists()
    assert cgroups_of(os.getpid()) == []


@pytest.mark.parametrize("launcher", ["crun", "runc"])
def test_a_killed_run_leaves_a_container_that_clean_removes(launcher, tmp_path):
    need(*BY_NAME[f"container.start.{launcher}.c"].needs)
    script = textwrap.dedent(
        f"""
        import time
        from meshsim.measure.container.apps import APPS
        from meshsim.measure.container.bundle import Containers
        from meshsim.measure.lab import Lab
        with Lab() as lab:
            answer = Containers(lab, lab.pod("one")).start(APPS["c"][0](lab), "{launcher}", 8000)
            print(answer.pid, flush=True)
            time.sleep(60)
        """
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    run = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env=environment)
    server = int(run.stdout.readline())
    began = start_time(server)
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    run.stdout.close()
    assert start_time(server) == began  # a container outlives its starter: that is why the ledger knows it
    clean = "from meshsim.measure.ledger import clean; print(clean().lines)"
    said = subprocess.run(
        [sys.executable, "-c", clean], capture_output=True, text=True, env=environment, check=True
    ).stdout
    assert f"container meshsim-measure-{run.pid}" in said
    until = time.monotonic() + 5
    while start_time(server) == began and time.monotonic() < until:
        time.sleep(0.05)
    assert start_time(server) != began
    assert not list(tmp_path.glob(f"meshsim-measure-{run.pid}-*"))
    assert cgroups_of(run.pid) == []


def test_clean_runs_no_program_but_container_runtimes_and_touches_only_our_names(tmp_path):
    trap = tmp_path / "trap"
    (tmp_path / "meshsim-measure-1-1").mkdir()
    (tmp_path / "theirs").mkdir()
    for runtime, name in (
        (f"touch {trap}", "meshsim-measure-1-1"),
        ("/bin/touch", "meshsim-measure-1-1"),
        ("crun", "theirs"),
    ):
        assert not remove({"kind": "container", "runtime": runtime, "root": str(tmp_path), "id": name})
    assert not trap.exists()
