"""Study files: which points they mean, and what is said of wrong ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from meshsim.scenario.base import MeshsimError
from meshsim.studies.study import SweepPoint, read_study

HEAD = "schema: meshsim/study/1\nscenario: {application: two-tier, run: {requests: 100}}\n"


def points(tmp_path: Path, text: str) -> list[SweepPoint]:
    (tmp_path / "study.yaml").write_text(HEAD + text)
    return read_study(tmp_path / "study.yaml")


def rates(found: list[SweepPoint]) -> list[float]:
    return [point.prepared.scenario.load.rps for point in found]


def test_a_grid_combines_and_its_last_field_changes_fastest(tmp_path: Path) -> None:
    found = points(tmp_path, "grid:\n  dataplane: [no-mesh, linkerd]\n  load.rps: [1, 2, 2]\n")
    told = [(p.prepared.dataplane.name, p.prepared.scenario.load.rps) for p in found]
    assert told == [("no-mesh", 1), ("no-mesh", 2), ("linkerd", 1), ("linkerd", 2)]
    assert len({point.key for point in found}) == 4


def test_ranges_are_linear_or_logarithmic_and_whole_numbers_stay_whole(tmp_path: Path) -> None:
    assert rates(points(tmp_path, "grid: {load.rps: {from: 10, to: 30, points: 3}}\n")) == [10, 20, 30]
    assert rates(points(tmp_path, "grid: {load.rps: {from: 1, to: 1000, points: 4, scale: log}}\n")) == [
        1,
        10,
        100,
        1000,
    ]
    found = points(tmp_path, "grid: {run.requests: {from: 100, to: 201, points: 3}}\n")
    assert [point.prepared.scenario.run.requests for point in found] == [100, 150, 201]
    assert [
        p.prepared.scenario.services for p in points(tmp_path, "grid: {services: {from: 2, to: 4, points: 3}}\n")
    ] == [2, 3, 4]


def test_zip_goes_together_and_combines_with_a_grid(tmp_path: Path) -> None:
    found = points(tmp_path, "zip:\n  load.rps: [1, 2]\n  policy: [L4, L7]\ngrid: {run.seed: [5, 6]}\n")
    told = [(p.prepared.scenario.run.seed, p.prepared.scenario.load.rps, p.prepared.scenario.policy) for p in found]
    assert told == [(5, 1, "L4"), (5, 2, "L7"), (6, 1, "L4"), (6, 2, "L7")]


def test_a_list_has_its_points_written_out(tmp_path: Path) -> None:
    found = points(
        tmp_path, "list:\n  - {load.rps: 1}\n  - {load.rps: 3, policy: L4}\n  - load: {rps: 7, arrivals: constant}\n"
    )
    assert rates(found) == [1, 3, 7]
    assert found[2].prepared.scenario.load.arrivals == "constant"


@pytest.mark.parametrize("method", ["latin-hypercube", "random"])
def test_a_sample_lies_in_its_box_and_is_the_same_in_every_run(tmp_path: Path, method: str) -> None:
    text = (
        f"sample: {{method: {method}, points: 40, seed: 3, over: {{load.rps: {{from: 10, to: 1000, scale: log}}, "
        "cluster.cpu_slice_us: {from: 0, to: 100}, policy: [L4, L7]}}\n"
    )
    found = points(tmp_path, text)
    assert [p.key for p in found] == [p.key for p in points(tmp_path, text)]
    assert [p.key for p in found] != [p.key for p in points(tmp_path, text.replace("seed: 3", "seed: 4"))]
    places = (np.log10(rates(found)) - 1) / 2
    assert ((places >= 0) & (places <= 1)).all()
    slices = np.sort(np.floor(places * 40 * (1 - 1e-9))).astype(int)
    if method == "latin-hypercube":  # one in each slice, but for the rounding to six digits
        assert (np.abs(slices - np.arange(40)) <= 1).all()
    else:
        assert len(set(slices)) < 40
    assert {p.prepared.scenario.policy for p in found} == {"L4", "L7"}


def test_replications_have_seeds_of_their_own(tmp_path: Path) -> None:
    found = points(tmp_path, "grid: {run.seed: [10, 20]}\nreplications: 3\n")
    assert [p.prepared.scenario.run.seed for p in found] == [10, 11, 12, 20, 21, 22]


def test_a_key_depends_on_the_content_of_files_and_not_on_their_names(tmp_path: Path) -> None:
    from meshsim.scenario.catalog import resolve

    text = resolve("dataplanes", "linkerd").read_text()
    (tmp_path / "mine.yaml").write_text(text)
    (first,) = points(tmp_path, "grid: {dataplane: [mine.yaml]}\n")
    (tmp_path / "mine.yaml").write_text(text.replace("\nname: linkerd\n", "\nname: linkerd-b\n"))
    (second,) = points(tmp_path, "grid: {dataplane: [mine.yaml]}\n")
    assert first.key != second.key


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("grid: {load.rsp: [1]}\n", r":3: grid\.load\.rsp: unknown field of a scenario; did you mean 'load.rps'"),
        ("grid:\n  load.rps:\n    - 1\n    - -1\n", r":6: load\.rps: -1 received"),
        ("grid: {load.rps: []}\n", "at least 1 item"),
        ("grid: {load.rps: 5}\n", "5 received; must be a list"),
        ("grid: {load.rps: {from: 5, to: 1}}\n", "the first must be the smaller one"),
        ("grid: {load.rps: {from: 0, to: 1, scale: log}}\n", "must be above 0 on a log scale"),
        ("grid: {load.rps: {from: 1, until: 2}}\n", "until"),
        ("zip: {load.rps: [1, 2], policy: [L4]}\n", "lists of different lengths received"),
        ("", "a study varies something"),
        ("grid: {policy: [L4]}\nlist: [{policy: L7}]\n", "policy is given in grid too"),
        ("grid: {dataplane: [no-mesch]}\n", r":3: dataplane: data plane 'no-mesch': no such name"),
        ("grid: {run.seed: {from: 1, to: 5000, points: 5000}}\nreplications: 300\n", "1,500,000 points"),
        ("sample: {points: 0, over: {load.rps: {from: 1, to: 2}}}\n", "sample"),
        ("grid: {policy.x: [1]}\n", "policy"),
    ],
)  # fmt: skip
def test_wrong_studies_are_refused_with_file_and_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(MeshsimError, match=message) as refused:
        points(tmp_path, text)
    assert "study.yaml" in str(refused.value)
