"""Sweeps on a real Dask cluster of several worker processes, on loopback."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from sweeps import parts, write_study

from meshsim.scenario.base import MeshsimError
from meshsim.studies.store import Store
from meshsim.studies.sweep import sweep

distributed = pytest.importorskip("distributed", reason="pip install 'meshsim[dask]'")


@pytest.fixture(scope="module")
def cluster() -> Iterator[object]:
    with distributed.LocalCluster(
        n_workers=3, threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address=None
    ) as there:
        yield there


def test_a_worker_killed_during_a_sweep_loses_nothing(cluster: object, tmp_path: Path) -> None:
    study = write_study(tmp_path, points=24, requests=300)
    with distributed.Client(cluster.scheduler_address) as client:
        before = client.run(os.getpid)
    assert len(before) == 3
    victim = next(iter(before.values()))
    killed = []

    def kill_one(done: int, total: int, what: str) -> None:
        if done >= 4 and not killed:
            killed.append(done)
            os.kill(victim, signal.SIGKILL)

    done = sweep(study, tmp_path / "out", backend="dask", scheduler=cluster.scheduler_address, on_progress=kill_one)
    assert killed
    assert (done.computed, done.missing, done.failed) == (24, 0, 0)
    assert len(Store(tmp_path / "out").timings()) == 24
    here = sweep(study, tmp_path / "here", jobs=1)
    assert here.computed == 24
    assert parts(tmp_path / "out") == parts(tmp_path / "here")
    with distributed.Client(cluster.scheduler_address) as client:
        assert victim not in client.run(os.getpid).values()


def test_a_stopped_sweep_keeps_what_came_back(cluster: object, tmp_path: Path) -> None:
    out = tmp_path / "out"
    study = write_study(tmp_path, points=40, requests=300)
    done = sweep(
        study, out, backend="dask", scheduler=cluster.scheduler_address, should_stop=lambda: len(parts(out)) >= 3
    )
    assert done.partial
    assert 3 <= done.computed < 40
    assert done.missing == 40 - done.computed
    assert not list((out / "_claims").iterdir())


def test_workers_of_another_model_are_refused(cluster: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("meshsim.studies.cluster.model_version", lambda: "0.2.0+new")
    with pytest.raises(MeshsimError, match=r"has model 0\.1\.0\+.*, and this is 0\.2\.0\+new"):
        sweep(write_study(tmp_path), tmp_path / "out", backend="dask", scheduler=cluster.scheduler_address)


def test_where_nobody_answers_one_sentence_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("meshsim.studies.cluster.CONNECT_S", 1)
    for address in ("tcp://127.0.0.1:9", "nonsense://x"):
        with pytest.raises(MeshsimError, match=f"scheduler: {address} received; no Dask scheduler answers there"):
            sweep(write_study(tmp_path), tmp_path / "out", backend="dask", scheduler=address)
