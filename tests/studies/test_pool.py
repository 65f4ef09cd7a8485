"""Many tasks on all cores: results, progress, stopping, errors."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from meshsim.scenario.base import MeshsimError
from meshsim.studies.pool import run_all


def square(task, tick, stop):
    tick(1, 2)
    tick(2, 2)
    return task * task


def slow(task, tick, stop):
    for done in range(100):
        if stop():
            return None
        tick(done, 100)
        time.sleep(0.02 if task else 0.0)
    return task


def refuse(task, tick, stop):
    if task == 1:
        raise MeshsimError("task: 1 received; must not be 1")
    return slow(task, tick, stop)


WAYS = [(1, False), (2, False), (2, True)]
"""In turn, in processes, on threads."""


@pytest.mark.parametrize(("jobs", "threads"), WAYS)
def test_every_result_arrives_under_its_own_index(jobs, threads):
    found = {}
    assert run_all(square, [3, 4, 5], size=10, jobs=jobs, on_result=found.__setitem__, threads=threads)
    assert found == {0: 9, 1: 16, 2: 25}


@pytest.mark.parametrize("jobs", [1, 2])
def test_progress_only_grows_and_ends_at_the_total(jobs):
    seen = []
    run_all(square, [1, 2, 3], size=10, jobs=jobs, on_result=lambda i, r: None, on_progress=lambda *a: seen.append(a))
    assert [done for done, _, _ in seen] == sorted(done for done, _, _ in seen)
    assert seen[-1] == (30, 30, "3 of 3 runs done")


@pytest.mark.parametrize(("jobs", "threads"), WAYS)
def test_stopping_keeps_what_was_finished(jobs, threads):
    found = {}
    complete = run_all(
        slow, [0, 1, 2, 3], size=1, jobs=jobs, on_result=found.__setitem__, should_stop=lambda: 0 in found,
        threads=threads,
    )  # fmt: skip
    assert not complete
    assert 0 in found
    assert len(found) < 4


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_error_in_a_task_comes_back_as_it_was_and_stops_the_rest(jobs):
    began = time.monotonic()
    with pytest.raises(MeshsimError, match="must not be 1"):
        run_all(refuse, [1, 2, 3, 4, 5, 6], size=1, jobs=jobs, on_result=lambda i, r: None)
    assert time.monotonic() - began < 6  # five tasks of two seconds are not waited for


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_error_in_the_callback_is_raised(jobs):
    def fail(index, result):
        raise ValueError("no more room")

    with pytest.raises(ValueError, match="no more room"):
        run_all(square, [1, 2, 3], size=1, jobs=jobs, on_result=fail)


INTERRUPTED = """
import sys, time
from meshsim.studies.pool import run_all

def work(task, tick, stop):
    for _ in range(1000 if task else 1):
        if stop():
            return None
        time.sleep(0.01)
    return task

if __name__ == "__main__":
    found = {}
    def keep(index, result):
        found[index] = result
        print("first", flush=True)
    complete = run_all(work, [0, 1, 2], size=1, jobs=int(sys.argv[1]), on_result=keep)
    print(complete, sorted(found), flush=True)
"""


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_ctrl_c_in_the_terminal_keeps_what_was_finished_and_prints_no_traceback(jobs, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(INTERRUPTED)
    with subprocess.Popen(
        [sys.executable, str(script), jobs],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout.readline() == "first\n"
        time.sleep(0.3)
        os.killpg(process.pid, signal.SIGINT)  # what a terminal does: every process of the group
        out, err = process.communicate(timeout=20)
    assert out == "False [0]\n"
    assert "Traceback" not in err
    assert process.returncode == 0
