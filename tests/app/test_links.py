"""What is copied elsewhere gives the same numbers: as Python, on the command line, as YAML."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pandas as pd
import pytest
from click.testing import CliRunner

from meshsim.app import instant, links
from meshsim.app.answers import simulated
from meshsim.app.controls import Setting
from meshsim.app.terms import Terms, files
from meshsim.cli import cli
from meshsim.results.rows import ComparisonReport
from meshsim.studies.table import tidy
from meshsim.studies.version import model_version

OWN = Setting("two-tier", 2, 2, 500, ("no-mesh", "linkerd"), 400, 2)
GROWN = OWN.at(services=10, rps=2000)
TERMS = Terms("aws-m5-xlarge", 0.21, "2026-11-25", "EUR", 0.92, 50, 64, 150)
SETTINGS = {"at its own size": OWN, "grown": GROWN, "on own terms": OWN.at(terms=TERMS)}
both = pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS)


def same_numbers(a: pd.DataFrame, b: pd.DataFrame) -> None:
    """The same tidy table, to the last digit that is written."""
    pd.testing.assert_frame_equal(a.reset_index(drop=True), b.reset_index(drop=True), check_dtype=False, rtol=1e-12)


def shown(setting: Setting, engine: links.Answered) -> ComparisonReport:
    """The rows that the page shows."""
    if engine == "auto":
        return simulated(setting)
    return ComparisonReport(application=setting.application, rps=float(setting.rps), rows=instant.rows(setting),
                            refused=[], provenance=instant.provenance(setting), notes=[])  # fmt: skip


def read_back(frame: pd.DataFrame) -> pd.DataFrame:
    return pd.read_csv(io.StringIO(frame.to_csv(index=False)))


def written(setting: Setting, folder: Path) -> None:
    """The files that are shown before the command."""
    for name, text in files(setting.terms, setting.dataplanes).items():
        (folder / name).write_text(text)


@pytest.mark.parametrize("engine", ["auto", "analytic"])
@both
def test_as_python(setting: Setting, engine: links.Answered, tmp_path: Path) -> None:
    program = tmp_path / "study.py"
    program.write_text(links.as_python(setting, engine))
    ran = subprocess.run([sys.executable, program], capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    report = shown(setting, engine)
    mine = tidy(report.rows, report.provenance.seed)
    theirs = pd.read_csv(io.StringIO(ran.stdout))
    same_numbers(theirs.drop(columns="seed"), read_back(mine).drop(columns="seed"))


@pytest.mark.parametrize("engine", ["auto", "analytic"])
@both
def test_as_command_line(
    setting: Setting, engine: links.Answered, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    written(setting, tmp_path)
    words = links.as_cli(setting, engine).split()
    assert words[0] == "meshsim"
    ran = CliRunner().invoke(cli, [*words[1:], "--json"])
    assert ran.exit_code == 0, ran.output
    rows = json.loads(ran.stdout)["rows"]
    report = json.loads(shown(setting, engine).model_dump_json(by_alias=True))
    keys = ("dataplane", "services", "rps", "latency_us", "cpu_cores", "memory_mib", "usd_month", "difference")
    assert [{key: row[key] for key in keys} for row in rows] == [
        {key: row[key] for key in keys} for row in report["rows"]
    ]


@both
def test_as_yaml(setting: Setting, tmp_path: Path) -> None:
    written(setting, tmp_path)
    path = tmp_path / "scenario.yaml"
    path.write_text(links.as_yaml(setting, "linkerd", "auto"))
    ran = CliRunner().invoke(cli, ["run", str(path), "--json"])
    assert ran.exit_code == 0, ran.output
    row = next(row for row in shown(setting, "auto").rows if row.dataplane == "linkerd")
    p50 = json.loads(ran.stdout)["rows"][0]["latency_us"]["p50"]["value"]
    assert p50 == pytest.approx(row.latency_us.p50.value, rel=1e-12)


def test_a_link_carries_every_value_and_the_version() -> None:
    link = links.permalink("http://localhost:8501/report?old=1#there", GROWN, metric="p99 latency")
    parts = urlsplit(link)
    assert (parts.netloc, parts.path, parts.fragment) == ("localhost:8501", "/report", "")
    assert parse_qs(parts.query) == {
        "app": ["two-tier"], "services": ["10"], "rps": ["2000"], "planes": ["no-mesh", "linkerd"],
        "requests": ["400"], "seed": ["2"], "node": ["gcp-e2-standard-4"], "metric": ["p99 latency"], "mv": [model_version()],
    }  # fmt: skip


def test_own_terms_reach_the_money_and_what_is_copied(tmp_path: Path) -> None:
    """Else the tests above would compare two that ignore them."""
    usual, own = instant.rows(OWN)[1], instant.rows(OWN.at(terms=TERMS))[1]
    assert own.usd_month != pytest.approx(usual.usd_month, rel=0.01)
    shell = links.as_shell(OWN.at(terms=TERMS), "analytic")
    script = shell.replace("meshsim compare", f"{sys.executable} -m meshsim compare") + " --json"
    ran = subprocess.run(["bash", "-euc", script], capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    rows = json.loads(ran.stdout)["rows"]
    assert rows[1]["usd_month"] == pytest.approx(own.usd_month, rel=1e-12)
    link = parse_qs(urlsplit(links.permalink("http://localhost:8501/", OWN.at(terms=TERMS))).query)
    assert {name: link[name] for name in ("node", "hour", "priced", "currency", "per_usd", "cpu", "memory", "limit")} == {
        "node": ["aws-m5-xlarge"], "hour": ["0.21"], "priced": ["2026-11-25"], "currency": ["EUR"],
        "per_usd": ["0.92"], "cpu": ["50"], "memory": ["64"], "limit": ["150"],
    }  # fmt: skip
