"""Any row of a folder of results runs again to the same bits, or says what differs."""

from __future__ import annotations

import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from worlds import application, compute, plan, service, simulate

from meshsim.results.fingerprint import fingerprint
from meshsim.scenario.base import MeshsimError
from meshsim.studies.replay import replay
from meshsim.studies.sweep import Sweep, sweep


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    """One point computed, one refused, from files that are then gone."""
    from meshsim.scenario.catalog import resolve

    folder = tmp_path_factory.mktemp("replay")
    shutil.copy(resolve("dataplanes", "linkerd"), folder / "mine.yaml")
    (folder / "s.yaml").write_text(
        "schema: meshsim/study/1\nscenario: {application: two-tier, dataplane: mine.yaml, run: {requests: 100}}\n"
        "grid: {load.rps: [100, 1e8]}\n"
    )
    found = sweep(folder / "s.yaml", folder / "out", jobs=1)
    (folder / "mine.yaml").unlink()
    return found


def test_a_row_runs_again_from_the_folder_alone(done: Sweep) -> None:
    good, bad = done.points
    again = replay(done.folder, good.key[:8])
    assert again.identical
    assert again.simulation.result.records
    assert again.to_dict()["report"]["provenance"]["command"] == f"meshsim replay {done.folder} {good.key[:12]}"
    refused = replay(done.folder, bad.key)
    assert refused.identical
    assert "saturates" in refused.error


def test_a_row_that_was_tampered_with_is_told_with_both_values(done: Sweep) -> None:
    path = done.folder / f"{done.points[0].key}.parquet"
    before = path.read_bytes()
    table = pq.read_table(path)
    column = table.schema.get_field_index("events")
    wrong = pa.array([table["events"][0].as_py() + 1], pa.int64())
    pq.write_table(table.set_column(column, "events", wrong), path)
    again = replay(done.folder, done.points[0].key)
    path.write_bytes(before)
    assert not again.identical
    ((name, (stored, now)),) = again.differences.items()
    assert (name, stored - now) == ("events", 1)


def test_rows_that_are_not_there_are_refused(done: Sweep) -> None:
    with pytest.raises(MeshsimError, match="row: 'zz' received; 0 rows"):
        replay(done.folder, "zz")
    with pytest.raises(MeshsimError, match="row: '' received"):
        replay(done.folder, "")
    with pytest.raises(MeshsimError, match="no results of a sweep are there"):
        replay(done.folder.parent, "ab")
    (done.folder / "_inputs").rename(done.folder / "_gone")
    with pytest.raises(MeshsimError, match="cannot be run again without it"):
        replay(done.folder, done.points[0].key)
    (done.folder / "_gone").rename(done.folder / "_inputs")


def test_a_fingerprint_tells_runs_apart() -> None:
    world = plan(application(service("a", [compute(100)])), 1000)
    first, again, other = (simulate(world, 200, seed=seed) for seed in (1, 1, 2))
    assert fingerprint(first) == fingerprint(again) != fingerprint(other)
    again.latency.add(19, 5)
    again.latency.cells[0, 0] = 0
    assert fingerprint(first) != fingerprint(again)
