"""`meshsim convert`, and the page about files in other formats: what it shows works."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from meshsim.cli import main
from meshsim.formats.load import load_application

ROOT = Path(__file__).parents[2]
KIALI = ROOT / "tests" / "data" / "kiali" / "versioned-app.json"
PAGE = (ROOT / "docs" / "applications.md").read_text()
SECTION = PAGE[PAGE.index("## Files in other formats") : PAGE.index("## Growing an application")]


def run(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> tuple[str, str]:
    assert main(list(arguments)) == code
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return out, err


def test_the_result_on_standard_output_reads_as_the_same_application(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, err = run(capsys, "convert", str(KIALI))
    assert err == ""
    assert out.startswith("# From versioned-app.json. The reader says:\n# * came in with 120 requests/s")
    (tmp_path / "app.yaml").write_text(out)
    assert load_application(tmp_path / "app.yaml") == (load_application(KIALI)[0], [])


def test_the_result_in_a_file_and_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "app.yaml"
    out, err = run(capsys, "convert", str(KIALI), "--out", str(file))
    assert out == ""
    app, notes = load_application(KIALI)
    assert err.splitlines() == [f"Application: {file}", *(f"Note: {note}" for note in notes)]
    told, _ = run(capsys, "convert", str(KIALI), "--json")
    answer = json.loads(told)
    assert answer["schema"] == "meshsim/convert/1"
    assert answer["notes"] == notes
    assert answer["application"]["name"] == app.name
    assert load_application(file)[0] == app


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing.json"], "error: nothing.json: no such file"),
        (["graph.json", "--out", "graph.json"], "out: graph.json received; YAML is written, so its name must end in"),
        (["graph.yaml", "--out", "graph.yaml"], "out: graph.yaml received; that is the file that is read"),
        (["graph.json", "--out", "none/app.yaml"], "out: none/app.yaml received; it cannot be written"),
        (["broken.json"], "error: broken.json:1: not valid JSON"),
        (["x" * 5000, "--out", "graph.yaml"], "no such name"),
    ],
)
def test_mistakes_end_with_2_and_write_nothing(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("graph.json", "graph.yaml"):
        shutil.copy(KIALI, name)
    Path("broken.json").write_text("{")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    out, err = run(capsys, "convert", *arguments, code=2)
    assert out == ""
    assert message in err
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_the_page_is_right_about_its_manifests_and_its_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (manifests,) = re.findall(r"```yaml\n(.*?)```", SECTION, re.S)
    Path("manifests.yaml").write_text(manifests)
    shutil.copy(KIALI, "graph.json")
    Path("scenario.yaml").write_text(
        "schema: meshsim/scenario/1\napplication: two-tier\ndataplane: linkerd\nload: {rps: 100}\nrun: {requests: 300}\n"
    )
    commands = "".join(re.findall(r"```sh\n(.*?)```", SECTION, re.S))
    for line in commands.splitlines():
        words = line.partition("#")[0].split()
        assert words[0] == "meshsim"
        run(capsys, *words[1:])
    app, _ = load_application("my-shop.yaml")
    assert {service.name: service.replicas for service in app.services} == {"web": 3, "prices": 1}
    assert [entry.service for entry in app.entries] == ["web"]
    (call,) = app.service("web").endpoints[0].calls()
    assert (call.service, call.protocol, call.probability, call.times) == ("prices", "grpc", 1, 1)
