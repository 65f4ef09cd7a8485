"""Studies from the command line: settle, sweep, status, replay, solve, sensitivity."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import jsonschema
import pytest
from test_cli import SMALL, meshsim


def valid(report: dict[str, object], kind: str, cwd: Path) -> dict[str, object]:
    jsonschema.validate(report, json.loads(meshsim("schema", kind, cwd=cwd).stdout))
    return report


def test_a_comparison_that_settles_says_so_in_words_and_in_json(tmp_path: Path) -> None:
    asked = ["compare", "two-tier", *SMALL, "--settle", "--of", "p50", "--budget", "2"]
    assert "The p50 latency of no-mesh is lower than that of istio-sidecar by" in meshsim(*asked, cwd=tmp_path).stdout
    report = valid(json.loads(meshsim(*asked, "--json", cwd=tmp_path).stdout), "compare", tmp_path)
    first = report["verdicts"][0]
    assert (first["metric"], first["a"], first["settled"]) == ("p50", "no-mesh", True)
    again = report["provenance"]["command"].split()
    assert {"--settle", "--budget"} <= set(again)


def test_a_sweep_its_status_and_a_replay(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(
        "schema: meshsim/study/1\nname: s\nscenario: {application: two-tier, run: {requests: 100}}\n"
        "grid: {dataplane: [no-mesh, linkerd]}\n"
    )
    planned = meshsim("sweep", "s.yaml", "--out", "r", "--dry-run", cwd=tmp_path).stdout
    assert "2 missing" in planned
    assert "will take about" in planned
    done = json.loads(meshsim("sweep", "--out", "r", "s.yaml", "--jobs", "1", "--json", cwd=tmp_path).stdout)
    assert (done["schema"], done["computed"], done["missing"]) == ("meshsim/sweep/1", 2, 0)
    assert "0 were there" not in meshsim("sweep", "run", "s.yaml", "--out", "r", cwd=tmp_path).stdout
    status = json.loads(meshsim("sweep", "status", "r", "--json", cwd=tmp_path).stdout)
    assert status["studies"] == [{"name": "s", "file": "s.yaml", "points": 2, "missing": 0}]
    assert "s (s.yaml)" in meshsim("sweep", "status", "r", cwd=tmp_path).stdout
    key = next((tmp_path / "r").glob("*.parquet")).stem
    assert "came out the same to the last bit" in meshsim("replay", "r", key[:8], cwd=tmp_path).stdout
    replayed = json.loads(meshsim("replay", "r", key, "--json", cwd=tmp_path).stdout)
    assert replayed["identical"]
    assert replayed["report"]["schema"] == "meshsim/compare/1"


def test_solve_and_sensitivity_answer_in_words_and_in_json(tmp_path: Path) -> None:
    asked = ["solve", "two-tier", "--dataplanes", "no-mesh", "--requests", "300", "--target", "500us", "--of", "p50",
             "--find", "nodes", "--jobs", "1"]  # fmt: skip
    assert "no-mesh keeps a p50 of at most 0.5 ms with 1 nodes" in meshsim(*asked, cwd=tmp_path).stdout
    valid(json.loads(meshsim(*asked, "--json", cwd=tmp_path).stdout), "solve", tmp_path)
    asked = ["sensitivity", "two-tier", "--dataplanes", "no-mesh", "--requests", "200", "--of", "p50", "--top", "2",
             "--draws", "10", "--jobs", "1"]  # fmt: skip
    assert "kernel.tcp" in meshsim(*asked, cwd=tmp_path).stdout
    report = valid(json.loads(meshsim(*asked, "--json", cwd=tmp_path).stdout), "sensitivity", tmp_path)
    assert len(report["influences"]) == 3
    assert len(report["bands"]) == 4


def test_a_metastability_map_in_words_in_json_and_as_a_page(tmp_path: Path) -> None:
    asked = ["metastable", "two-tier", "--dataplanes", "no-mesh", "--timeout", "10ms", "--rps", "100,300", "--retries",
             "0,2@20%", "--out", "map", "--jobs", "1"]  # fmt: skip
    shown = meshsim(*asked, "--html", "map.html", cwd=tmp_path).stdout
    assert "two-tier: 5 times the load for 0.1 s" in shown
    assert "2@20%" in shown
    assert "is tipped with 0 retries" in (tmp_path / "map.html").read_text()
    report = valid(json.loads(meshsim(*asked, "--json", cwd=tmp_path).stdout), "metastable", tmp_path)
    assert [cell["verdict"] for cell in report["cells"]] == ["safe"] * 4
    again = report["provenance"]["command"].split()[1:]
    assert json.loads(meshsim(*again, "--json", cwd=tmp_path).stdout)["cells"] == report["cells"]
    status = json.loads(meshsim("sweep", "status", "map", "--json", cwd=tmp_path).stdout)
    assert (status["points"], status["studies"][0]["missing"]) == (4, 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["metastable", "bookinfo"], "Missing option '--timeout'"),
        (["metastable", "bookinfo", "--timeout", "1s", "--rps", "many"], "'many' received"),
        (["metastable", "bookinfo", "--timeout", "1s", "--within", "1s"], "within_s: 1 received; must be at least"),
        (["compare", "bookinfo", "--precision", "much"], "'much' received"),
        (["compare", "bookinfo", "--precision", "500%"], "precision: 5 received"),
        (["compare", "bookinfo", "--warmup", "long"], "'long' received"),
        (["grow", "bookinfo", "--warmup", "auto"], "only compare finds it"),
        (["solve", "bookinfo", "--target", "20"], "a time such as 20ms"),
        (["solve", "bookinfo", "--target", "0ms"], "target_ms: 0 received"),
        (["solve", "bookinfo", "--target", "nanms"], "target_ms: nan received"),
        (["solve", "bookinfo", "--target", "2ms", "--find", "replicas", "--service", "review"], "did you mean 'reviews'"),
        (["sensitivity", "bookinfo", "--sobol", "3"], "must be a power of two"),
        (["sweep", "status", "nowhere"], "no results of a sweep are there"),
        (["replay", "nowhere", "ab"], "no results of a sweep are there"),
    ],
)  # fmt: skip
def test_wrong_questions_get_one_sentence(tmp_path: Path, arguments: list[str], message: str) -> None:
    assert message in " ".join(meshsim(*arguments, cwd=tmp_path, code=2).stderr.split())


def test_the_analytic_engine_answers_run_compare_and_grow(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text("application: two-tier\nload: {rps: 100}\nrun: {requests: 1000}\n")
    asked = ["--engine", "analytic", "--json"]
    for command in (
        ["run", "s.yaml"],
        ["compare", "two-tier", "--dataplanes", "no-mesh,linkerd"],
        ["grow", "two-tier", "--services", "2,8", "--rps", "50", "--dataplanes", "no-mesh,linkerd", "--no-html"],
    ):
        report = json.loads(meshsim(*command, *asked, cwd=tmp_path).stdout)
        assert {row["engine"] for row in report["rows"]} == {"analytic"}
        again = shlex.split(report["provenance"]["command"])[1:]
        assert json.loads(meshsim(*again, *asked[2:], cwd=tmp_path).stdout)["rows"] == report["rows"]
        told = meshsim(*command, *asked[:2], cwd=tmp_path).stdout
        assert "nothing was simulated" in told
    assert "engine reference" in meshsim("run", "s.yaml", "--engine", "reference", cwd=tmp_path).stdout
    refused = meshsim("compare", "two-tier", "--settle", *asked[:2], cwd=tmp_path, code=2).stderr
    assert "reference or compiled" in refused
