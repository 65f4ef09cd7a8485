"""The command line, as a user drives it: output, exit codes, files."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

PLANES = "no-mesh,istio-sidecar"
SMALL = ["--requests", "300", "--dataplanes", PLANES, "--jobs", "1"]


def meshsim(*arguments: str, cwd: Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "meshsim", *arguments],
        cwd=cwd, capture_output=True, text=True, timeout=240, check=False, env={**os.environ, "COLUMNS": "100"},
    )  # fmt: skip
    assert done.returncode == code, done.stderr + done.stdout
    assert "Traceback" not in done.stderr
    return done


def test_compare_prints_a_row_for_each_data_plane_within_100_columns(tmp_path: Path) -> None:
    out = meshsim("compare", "two-tier", *SMALL, cwd=tmp_path).stdout
    assert all(len(line) <= 100 for line in out.splitlines())
    for word in (
        "no-mesh",
        "istio-sidecar",
        "p50",
        "p99.9",
        "application",
        "proxy",
        "kernel",
        "memory",
        "pods",
        "dollars",
    ):
        assert word in out
    assert "needs at least 10000 requests" in out


def test_json_is_the_documented_contract_and_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    first = meshsim("compare", "two-tier", *SMALL, "--json", cwd=tmp_path).stdout
    again = meshsim("compare", "two-tier", *SMALL, "--json", cwd=tmp_path).stdout
    other = meshsim("compare", "two-tier", *SMALL, "--json", "--seed", "2", cwd=tmp_path).stdout
    assert first == again
    assert first != other
    report = json.loads(first)
    assert report["schema"] == "meshsim/compare/1"
    row = report["rows"][1]
    assert row["dataplane"] == "istio-sidecar"
    assert set(row["latency_us"]) == {"p50", "p90", "p99", "p999"}
    assert row["latency_us"]["p50"]["low"] < row["latency_us"]["p50"]["value"] < row["latency_us"]["p50"]["high"]
    assert set(row["cpu_cores"]) == {"application", "proxy", "kernel", "total"}
    assert row["audit"]["ok"] is True
    assert row["requests"] == 300
    for field in ("engine", "memory_mib", "pods", "usd_month", "events", "difference"):
        assert field in row


def test_grow_writes_a_page_and_json_has_services_and_crossovers(tmp_path: Path) -> None:
    grow = ["grow", "two-tier", "--services", "2,6", *SMALL]
    said = meshsim(*grow, cwd=tmp_path).stderr
    page = tmp_path / "meshsim-grow-two-tier.html"
    assert page.name in said
    assert page.stat().st_size > 1_000_000  # plotly.js is inside: it opens offline
    report = json.loads(meshsim(*grow, "--json", "--no-html", cwd=tmp_path).stdout)
    assert report["schema"] == "meshsim/grow/1"
    assert [(row["dataplane"], row["services"]) for row in report["rows"]] == [
        ("no-mesh", 2), ("no-mesh", 6), ("istio-sidecar", 2), ("istio-sidecar", 6),
    ] or len(report["rows"]) == 4  # fmt: skip
    assert "crossovers" in report


def test_an_isotope_graph_is_an_application(tmp_path: Path) -> None:
    graph = Path(__file__).parents[1] / "data" / "isotope" / "canonical.yaml"
    report = json.loads(meshsim("compare", str(graph), *SMALL, "--rps", "50", "--json", cwd=tmp_path).stdout)
    assert any("numRbacPolicies is ignored" in note for note in report["notes"])


def test_run_reads_a_scenario_and_names_what_lies_beside_it(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(
        "schema: meshsim/scenario/1\napplication: bookinfo\ndataplane: linkerd\nload: {rps: 100}\nrun: {requests: 200}\n"
    )
    assert "linkerd" in meshsim("run", "s.yaml", cwd=tmp_path).stdout
    report = json.loads(meshsim("run", "s.yaml", "--json", cwd=tmp_path).stdout)
    assert [row["dataplane"] for row in report["rows"]] == ["linkerd"]


def test_run_writes_traces_that_are_read_again_as_an_application(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(
        "schema: meshsim/scenario/1\napplication: bookinfo\ndataplane: linkerd\nload: {rps: 100}\nrun: {requests: 200}\n"
    )
    meshsim("run", "s.yaml", "--trace", "perfetto.json", "--jaeger", "jaeger.json", cwd=tmp_path)
    assert json.loads((tmp_path / "perfetto.json").read_text())["traceEvents"]
    shown = meshsim("compare", "jaeger.json", "--dataplanes", "no-mesh", "--engine", "analytic", "--json", cwd=tmp_path)
    assert json.loads(shown.stdout)["rows"][0]["services"] == 4
    refused = meshsim("run", "s.yaml", "--engine", "analytic", "--jaeger", "j.json", cwd=tmp_path, code=2)
    assert "the analytic engine has no requests" in refused.stderr
    assert "jaeger: no/j.json" in meshsim("run", "s.yaml", "--jaeger", "no/j.json", cwd=tmp_path, code=2).stderr


def test_a_sweep_computes_only_what_is_missing(tmp_path: Path) -> None:
    study = tmp_path / "study.yaml"
    study.write_text(
        "schema: meshsim/study/1\nname: s\nscenario: {application: two-tier, run: {requests: 100}}\n"
        "grid:\n  dataplane: [no-mesh, linkerd]\n  load.rps: [100, 200]\n"
    )
    meshsim("sweep", "study.yaml", "--out", "results", cwd=tmp_path)
    parts = {p: p.stat().st_mtime_ns for p in (tmp_path / "results").rglob("*.parquet")}
    assert len(parts) == 4
    frame = pd.concat(pd.read_parquet(p) for p in parts)
    assert len(frame) >= 4
    study.write_text(study.read_text().replace("[100, 200]", "[100, 200, 300]"))
    meshsim("sweep", "study.yaml", "--out", "results", cwd=tmp_path)
    now = {p: p.stat().st_mtime_ns for p in (tmp_path / "results").rglob("*.parquet")}
    assert len(now) == 6
    assert all(now[p] == parts[p] for p in parts)


def test_list_and_show_cover_every_kind(tmp_path: Path) -> None:
    names = meshsim("list", cwd=tmp_path).stdout
    for name in ("bookinfo", "social-network", "cilium", "published", "aws-m5-xlarge"):
        assert name in names
        assert "ource" in meshsim("show", name, cwd=tmp_path).stdout
    json.loads(meshsim("list", "--json", cwd=tmp_path).stdout)
    assert json.loads(meshsim("show", "cilium", "--json", cwd=tmp_path).stdout)


def test_schema_prints_a_json_schema(tmp_path: Path) -> None:
    assert json.loads(meshsim("schema", "application", cwd=tmp_path).stdout)["title"] == "meshsim application"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["compare", "online-butik"], "did you mean 'online-boutique'?"),
        (["compare", "bookinfo", "--dataplanes", "no-mesh,istio"], "data plane 'istio': no such name"),
        (["compare", "bookinfo", "--rps", "-1"], "rps: -1"),
        (["compare", "bookinfo", "--rps", "1e7"], "saturates at about"),
        (["compare", "bookinfo", "--costs", "mine.yaml"], "mine.yaml: no such file"),
        (["grow", "bookinfo", "--services", "10,ten"], "ten"),
        (["run", "none.yaml"], "none.yaml: no such file"),
        (["sweep", "none.yaml", "--out", "x"], "none.yaml: no such file"),
        (["show", "nothing"], "nothing"),
        (["compare", "bookinfo", "--requests", "1"], "requests: 1 received; must be at least 100"),
        (["compare", "bookinfo", "--rps", "nan"], "rps: nan received; must be"),
        (["compare", "bookinfo", "--html", "none/x.html"], "html: none/x.html received; it cannot be written"),
        (["grow", "bookinfo", "--html", "none/x.html"], "html: none/x.html received; it cannot be written"),
        (["sweep", "none.yaml", "--out", "x", "--jobs", "0"], "jobs: 0 received; must be 1 or more"),
        (["show", ""], "no model has that name"),
    ],
)
def test_bad_input_gives_one_message_and_exit_code_2(tmp_path: Path, arguments: list[str], message: str) -> None:
    done = meshsim(*arguments, cwd=tmp_path, code=2)
    assert message in " ".join(done.stderr.split())
    assert done.stdout == ""


def test_a_missing_cost_names_the_operation(tmp_path: Path) -> None:
    (tmp_path / "book.yaml").write_text(
        "schema: meshsim/costs/1\nname: book\nentries:\n  - {operation: kernel.tcp.send, unit: message, cpu_ns: 1,\n"
        "     standard_error: 0.5, source: assumed, reference: made up}\n"
    )
    done = meshsim("compare", "bookinfo", "--costs", "book.yaml", cwd=tmp_path, code=2)
    assert "no cost for operation" in done.stderr
    assert "(book)" in " ".join(done.stderr.split())


def test_ctrl_c_keeps_what_is_done_and_exits_with_130(tmp_path: Path) -> None:
    long = ["--requests", "200000", "--engine", "reference", "--jobs", "1"]
    command = [sys.executable, "-m", "meshsim", "compare", "bookinfo", *long]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    time.sleep(6)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, (out, err)
    assert "Traceback" not in err


def test_doctor_says_what_the_host_has_and_how_to_get_the_rest(tmp_path: Path) -> None:
    text = meshsim("doctor", cwd=tmp_path).stdout
    assert "What this host has" in text
    report = json.loads(meshsim("doctor", "--json", cwd=tmp_path).stdout)
    assert report["schema"] == "meshsim/doctor/1"
    assert all(one["ok"] or one["remedy"] for one in report["capabilities"])
    assert {one["name"].split(".")[0] for one in report["experiments"]} <= {
        "kernel",
        "ebpf",
        "proxy",
        "wasm",
        "container",
    }


def test_a_measured_book_is_written_resumed_used_and_compared(tmp_path: Path) -> None:
    measure = ["measure", "kernel", "--only", "kernel.syscall", "--quick", "--attempts", "1", "--out", "mine.yaml"]
    if "lacks" in meshsim("measure", "kernel", "--only", "kernel.syscall", "--list", cwd=tmp_path).stdout:
        pytest.skip("this host lacks a C compiler: apt-get install gcc")
    text = meshsim(*measure, cwd=tmp_path).stdout
    assert "kernel.syscall" in text
    report = json.loads(meshsim(*measure, "--json", cwd=tmp_path).stdout)
    assert report["schema"] == "meshsim/measure/1"
    assert report["resumed"] == report["samples"] > 0
    assert json.loads(meshsim("show", "mine.yaml", "--json", cwd=tmp_path).stdout)["entries"][0]["source"] == "measured"
    assert "share no operation" in meshsim("costs", "diff", "mine.yaml", "published", cwd=tmp_path).stdout
    same = json.loads(meshsim("costs", "diff", "mine.yaml", "mine.yaml", "--json", cwd=tmp_path).stdout)
    assert [one["ratio"] for one in same["ratios"]] == [1.0]
    compared = meshsim("compare", "two-tier", *SMALL, "--costs", "mine.yaml", "--costs", "published", cwd=tmp_path)
    assert "istio-sidecar" in compared.stdout
    for wrong in (["measure", "kernle"], ["measure", "--only", "x"], ["costs", "diff", "mine.yaml", "no-such-book"]):
        assert "error: " in meshsim(*wrong, cwd=tmp_path, code=2).stderr
    assert "removed." in meshsim("measure", "--clean", cwd=tmp_path).stdout


def test_an_interrupted_measurement_keeps_its_finished_rounds(tmp_path: Path) -> None:
    if "lacks" in meshsim("measure", "kernel", "--only", "kernel.syscall", "--list", cwd=tmp_path).stdout:
        pytest.skip("this host lacks a C compiler: apt-get install gcc")
    command = [sys.executable, "-m", "meshsim", "measure", "kernel", "--only", "kernel.syscall", "--rounds", "60"]
    process = subprocess.Popen(
        [*command, "--attempts", "1"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    journal = tmp_path / "my-host.samples.jsonl"
    deadline = time.monotonic() + 60
    while not journal.exists() or journal.read_text().count('"done"') < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 130
    assert b"goes on where this one was" in out
    assert journal.read_text().count('"done"') >= 2


def interrupted(*arguments: str, cwd: Path, when: str) -> tuple[str, str]:
    """Press Ctrl-C once standard error or a file says so (``when``: text of a progress line, or a pattern of files)."""
    command = [sys.executable, "-m", "meshsim", *arguments]
    with (
        (cwd / "err").open("w") as err,
        subprocess.Popen(
            command, cwd=cwd, stdout=subprocess.PIPE, stderr=err, text=True, env={**os.environ, "COLUMNS": "100"}
        ) as process,
    ):
        for _ in range(600):
            if when in (cwd / "err").read_text() or list(cwd.glob(when)):
                break
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=60)
    said = (cwd / "err").read_text()
    assert process.returncode == 130, (out, said)
    assert "Traceback" not in said
    return out, said


def test_ctrl_c_in_compare_says_what_is_done(tmp_path: Path) -> None:
    asked = ["compare", "two-tier", "--requests", "100000000", "--jobs", "2", "--json", "--dataplanes", PLANES]
    out, said = interrupted(*asked, cwd=tmp_path, when="compare: ")
    report = json.loads(out)
    assert report["partial"] is True
    assert f"Interrupted: {len(report['rows'])} runs were finished" in said


def test_ctrl_c_in_run_reports_what_was_measured(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(
        "application: online-boutique\nload: {rps: 100}\nrun: {requests: 100000000, warmup: 0.001}\n"
    )
    out, _ = interrupted("run", "s.yaml", "--json", cwd=tmp_path, when="run: ")
    report = json.loads(out)
    assert report["partial"] is True
    assert 100 < report["rows"][0]["requests"] < 100_000_000


def test_ctrl_c_in_sweep_keeps_every_finished_point(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(
        "schema: meshsim/study/1\nscenario: {application: two-tier, run: {requests: 100}}\n"
        "grid: {run.seed: [1, 2], run.requests: [100, 100000000]}\n"
    )
    out, _ = interrupted(
        "sweep", "study.yaml", "--out", "results", "--jobs", "1", cwd=tmp_path, when="results/*.parquet"
    )
    kept = len(list((tmp_path / "results").glob("*.parquet")))
    assert kept >= 1
    assert f"{kept} computed, {4 - kept} missing" in " ".join(out.split())
