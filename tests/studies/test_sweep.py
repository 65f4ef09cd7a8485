"""Sweeps survive: kills, neighbours, other models, broken parts; and only what is missing is computed."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from pathlib import Path

import duckdb
import pandas as pd
import pytest
from sweeps import parts, start, write_study

from meshsim.scenario.base import MeshsimError
from meshsim.studies.store import Store
from meshsim.studies.sweep import sweep, sweep_status


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small sweep that nobody disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    done = sweep(write_study(folder), folder / "out", jobs=1)
    assert (done.known, done.computed, done.missing, done.failed, done.partial) == (0, 6, 0, 0, False)
    return folder / "out"


def test_the_rows_can_be_queried_with_pandas_and_duckdb(whole: Path) -> None:
    frame = pd.read_parquet(whole)
    assert len(frame) == frame.key.nunique() == 6
    found = duckdb.sql(
        f"select dataplane, count(*), avg(latency_p50_us) from '{whole}/*.parquet' group by 1 order by 1"
    )
    (linkerd, *_), (bare, *_) = rows = found.fetchall()
    assert (linkerd, bare) == ("linkerd", "no-mesh")
    assert rows[0][1] == rows[1][1] == 3
    assert rows[0][2] > rows[1][2]
    assert set(frame.run_seed) == {1, 2, 3}


def test_a_second_run_computes_nothing_and_a_longer_study_only_the_rest(whole: Path) -> None:
    before = parts(whole)
    again = sweep(write_study(whole.parent), whole, jobs=1)
    assert (again.known, again.computed) == (6, 0)
    assert list(again.table().key) == [point.key for point in again.points]
    planned = sweep(write_study(whole.parent, points=8), whole, jobs=2, dry_run=True)
    assert (planned.known, planned.computed, planned.missing) == (6, 0, 2)
    assert planned.estimate.basis == "the durations of 6 points in the folder"
    assert planned.estimate.seconds > 0
    assert parts(whole) == before


def test_a_dry_run_in_an_empty_place_times_pilot_points_and_leaves_nothing(tmp_path: Path) -> None:
    planned = sweep(write_study(tmp_path, requests=2000), tmp_path / "out", jobs=1, dry_run=True)
    assert "4 points cut to 300 requests" in planned.estimate.basis
    assert not (tmp_path / "out").exists()
    began = time.perf_counter()
    sweep(write_study(tmp_path, requests=2000), tmp_path / "out", jobs=1)
    # Short pilots pay as much for a beginning as long runs, so they say too much rather than too little.
    assert 1 / 3 < planned.estimate.seconds / (time.perf_counter() - began) < 3


def killed_again_and_again(tmp_path: Path, points: int, kills: int, requests: int = 100) -> None:
    study, whole, out = write_study(tmp_path, points, requests), tmp_path / "whole", tmp_path / "out"
    sweep(study, whole, jobs=2)
    chance = random.Random(20_240_103)
    for _ in range(kills):
        process = start(study, out, "--jobs", "2")
        until = len(parts(out)) + chance.randint(0, max(1, points // (kills + 2)))
        while len(list(out.glob("*.parquet"))) < until or not out.exists():
            assert process.poll() is None, process.communicate()
            time.sleep(0.002)
        time.sleep(chance.random() * 0.1)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        # Whatever is there is whole, at any time.
        there = Store(out).keys()
        assert Store(out).errors(there) == dict.fromkeys(there, "")
    known = len(parts(out))
    done = sweep(study, out, jobs=2)
    assert (done.known, done.computed, done.missing) == (known, points - known, 0)
    assert parts(out) == parts(whole)
    assert len(pd.read_parquet(out)) == points
    # A kill at the very beginning may leave a half-written description of the study, which is cleared after an hour.
    assert not [path for path in (out / "_claims").iterdir() if ".json." not in path.name]


def test_what_a_kill_left_half_written_is_cleared_when_it_is_old(tmp_path: Path) -> None:
    store = Store(tmp_path / "out")
    store.open("model")
    old, new = (tmp_path / "out" / "_claims" / f"abc.json.{pid}" for pid in (1, 2))
    old.write_text("{")
    new.write_text("{")
    os.utime(old, (0, 0))
    done, under_way = (store.claim(key) for key in ("aa", "bb"))
    store.part("aa").write_bytes(b"")
    done.file.close()  # as a kill does it
    store.open("model")
    assert {path.name for path in (tmp_path / "out" / "_claims").iterdir()} == {new.name, "bb"}
    assert store.claimed() == 1
    under_way.give_back()
    assert store.claimed() == 0


def test_a_sweep_killed_at_random_ends_with_the_same_bytes(tmp_path: Path) -> None:
    killed_again_and_again(tmp_path, points=60, kills=3, requests=3000)


@pytest.mark.statistical
def test_a_sweep_of_1000_points_killed_20_times_ends_with_the_same_bytes(tmp_path: Path) -> None:
    killed_again_and_again(tmp_path, points=1000, kills=20)


def test_two_sweeps_into_one_folder_share_the_work(tmp_path: Path) -> None:
    study, out = write_study(tmp_path, points=20), tmp_path / "out"
    both = [start(study, out, "--jobs", "1") for _ in range(2)]
    told = []
    for process in both:
        text, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
        told.append(json.loads(text))
    assert [one["missing"] for one in told] == [0, 0]
    assert sum(one["computed"] for one in told) == 20  # none was done twice
    assert len(parts(out)) == len(Store(out).timings()) == 20


def test_a_point_that_another_process_has_is_left_to_it_until_it_lets_go(tmp_path: Path) -> None:
    study, out = write_study(tmp_path, points=2), tmp_path / "out"
    done = sweep(study, out, jobs=1)
    key = done.points[0].key
    (out / f"{key}.parquet").unlink()
    claim = Store(out).claim(key)
    assert Store(out).claim(key) is None
    assert sweep_status(out)["computing"] == 1
    waited = []

    def let_go() -> bool:
        waited.append(1)
        if len(waited) == 6:
            claim.give_back()
        return False

    again = sweep(study, out, jobs=1, should_stop=let_go)
    assert len(waited) >= 6
    assert (again.known, again.computed, again.missing) == (1, 1, 0)
    assert sweep_status(out)["computing"] == 0


def test_a_stopped_sweep_keeps_what_was_finished_and_says_what_is_missing(tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = sweep(write_study(tmp_path), out, jobs=1, should_stop=lambda: len(parts(out)) >= 2)
    assert done.partial
    assert (done.computed, done.missing) == (2, 4)
    status = sweep_status(out)
    assert (status["points"], status["studies"][0]["points"], status["studies"][0]["missing"]) == (2, 6, 4)


def test_another_model_is_not_mixed_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study, out = write_study(tmp_path, points=2), tmp_path / "out"
    sweep(study, out, jobs=1)
    before = parts(out)
    monkeypatch.setattr("meshsim.studies.sweep.model_version", lambda: "0.2.0+new")
    with pytest.raises(MeshsimError, match=r"are by model 0\.1\.0\+.*, and this is 0\.2\.0\+new"):
        sweep(study, out, jobs=1)
    with pytest.raises(MeshsimError, match="do not belong together"):
        sweep(study, out, jobs=1, dry_run=True)
    assert parts(out) == before
    assert sweep_status(out)["same_model"] is False


def test_a_folder_of_other_parquet_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "out" / "mine.parquet")
    with pytest.raises(MeshsimError, match="nobody can say which model"):
        sweep(write_study(tmp_path), tmp_path / "out", jobs=1)
    with pytest.raises(MeshsimError, match="no results of a sweep are there"):
        sweep_status(tmp_path)


def test_a_part_that_cannot_be_read_is_computed_again(tmp_path: Path) -> None:
    study, out = write_study(tmp_path, points=2), tmp_path / "out"
    sweep(study, out, jobs=1)
    before = parts(out)
    broken = out / next(iter(before))
    broken.write_bytes(b"")
    assert sweep(study, out, jobs=1).computed == 1
    assert parts(out) == before


def test_a_point_that_cannot_be_simulated_leaves_its_reason_and_no_numbers(tmp_path: Path) -> None:
    study = tmp_path / "s.yaml"
    study.write_text(
        "schema: meshsim/study/1\nscenario: {application: two-tier, run: {requests: 100}}\n"
        "grid: {load.rps: [100, 1e8]}\n"
    )
    done = sweep(study, tmp_path / "out", jobs=1)
    assert (done.computed, done.failed) == (2, 1)
    good, bad = done.table().to_dict("records")
    assert "saturates" in bad["error"]
    assert pd.isna(bad["latency_p50_us"])
    assert good["error"] == ""
    assert good["latency_p50_us"] > 0


def test_an_application_that_cannot_be_scaled_so_is_a_row_with_an_error(tmp_path: Path) -> None:
    study = tmp_path / "s.yaml"
    study.write_text(
        "schema: meshsim/study/1\nscenario: {application: bookinfo, run: {requests: 100}}\ngrid: {services: [1]}\n"
    )
    done = sweep(study, tmp_path / "out", jobs=1)
    (row,) = done.table().to_dict("records")
    assert row["services"] == 1
    assert bool(row["error"]) == (done.failed == 1)


def test_wrong_options_are_refused(tmp_path: Path) -> None:
    study = write_study(tmp_path)
    for options, message in (
        ({"backend": "spark"}, "backend: 'spark' received; choose processes or dask"),
        ({"backend": "dask"}, "scheduler: none received"),
        ({"scheduler": "tcp://127.0.0.1:1"}, "goes with backend dask only"),
        ({"jobs": 0}, "jobs: 0 received"),
    ):
        with pytest.raises(MeshsimError, match=message):
            sweep(study, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()
