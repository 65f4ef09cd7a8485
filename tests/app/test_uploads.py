"""Applications that visitors bring: read, refused with lines, computed like any other, never executed."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from headless import explore, html
from streamlit.testing.v1 import AppTest

from meshsim.app import instant, links, uploads
from meshsim.app.answers import simulated
from meshsim.app.controls import Setting, own_size
from meshsim.scenario.base import MeshsimError
from meshsim.scenario.catalog import models_root

ISOTOPE = Path(__file__).parents[1] / "data" / "isotope"
SHOP = ISOTOPE.parent / "kubernetes" / "shop.yaml"
KIALI = ISOTOPE.parent / "kiali" / "versioned-app.json"
OURS = models_root() / "applications" / "two-tier.yaml"


@pytest.fixture(scope="module", autouse=True)
def _here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """For this process and for those that answer."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(tmp_path_factory.mktemp("uploads")))
        patch.setattr(tempfile, "tempdir", None)
        instant.desk.cache_clear()
        yield
    instant.desk.cache_clear()


def uploaded(app: AppTest, name: str, data: bytes) -> AppTest:
    app.get("file_uploader")[0].upload(name, data, "application/yaml")
    return app.run()


@pytest.mark.parametrize(
    "path", [OURS, ISOTOPE / "canonical.yaml", ISOTOPE / "tree-13-services.yaml", SHOP, KIALI], ids=lambda p: p.stem
)
def test_what_the_command_line_reads_is_read(path: Path) -> None:
    name = uploads.keep(path.name, path.read_bytes())
    assert uploads.file_name(name) == path.name
    assert uploads.known(name)
    services = own_size(name)
    setting = Setting(name, services, services, 100, ("no-mesh", "linkerd"), 400)
    assert [row.dataplane for row in instant.rows(setting)] == ["no-mesh", "linkerd"]
    report = simulated(setting)
    assert report.provenance.command.startswith(f"meshsim compare {path.name} ")
    assert tempfile.gettempdir() not in report.model_dump_json()


def test_the_copied_program_runs_beside_the_file(tmp_path: Path) -> None:
    data = (ISOTOPE / "canonical.yaml").read_bytes()
    name = uploads.keep("my mesh.yaml", data)
    (tmp_path / "my-mesh.yaml").write_bytes(data)
    setting = Setting(name, own_size(name), own_size(name), 100, ("linkerd",), 400)
    (tmp_path / "study.py").write_text(links.as_python(setting, "analytic"))
    ran = subprocess.run([sys.executable, "study.py"], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    assert "linkerd" in ran.stdout
    assert "application: my-mesh.yaml" in links.as_yaml(setting, "linkerd", "auto")


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("a.yaml", b"schema: meshsim/application/1\nname: x\nservices:\n  - name: a\n    relicas: 2\n", "a.yaml:5: "),
        ("a.yaml", b"services: [", ": not valid YAML"),
        ("a.yaml", b"services:\n- name: a\n  isEntrypoint: true\n  script:\n  - call: nobody\n", "a.yaml:5: "),
        ("a.yaml", b"just text", "a.yaml:1: 'just text' received; a mapping"),
        ("a.yaml", b"\xff\xfe\x00", "is not UTF-8 text"),
        ("a.yaml", b"", "the file is empty"),
        ("a.yaml", b"kind: Deployment\napiVersion: apps/v1\n", "a.yaml:1: metadata.name: is missing"),
        ("a.yaml", b"colour: red\n", "neither a meshsim application"),
        ("a.yaml", b"!!python/object/apply:os.system ['touch executed']", "a.yaml"),
        ("a.yaml", b"a: &a [1,1,1,1,1,1,1,1,1]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n"
                   b"d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: [*d,*d,*d,*d,*d,*d,*d,*d,*d]\n", "a.yaml"),
        ("a.exe", b"MZ", "a.exe: ends in 'exe'"),
        ("a.yaml", b"#" * (3 << 20), "3.0 MiB received; such a file has at most 2 MiB"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_line_and_not_kept(
    name: str, data: bytes, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = set(uploads._home().glob("*/*"))
    with pytest.raises(MeshsimError) as refused:
        uploads.keep(name, data)
    assert said in str(refused.value)
    assert tempfile.gettempdir() not in str(refused.value)
    assert set(uploads._home().glob("*/*")) == before
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    "name", ["../../etc/passwd@000000000000", "passwd@000000000000", "x.yaml@../../../../etc", "@"]
)
def test_a_link_cannot_name_a_file_of_the_server(name: str) -> None:
    assert not uploads.known(name)
    app = explore(app=name).run()
    assert not app.exception
    assert any("which is no choice here" in warning.value for warning in app.warning)


def test_names_cannot_leave_the_folder() -> None:
    name = uploads.keep("../../../<b>x</b>.yaml", OURS.read_bytes())
    assert uploads.file_name(name) == "b.yaml"
    assert Path(uploads.source(name)).parent.parent == uploads._home()


def test_the_page_moves_to_what_was_uploaded_and_says_what_is_wrong() -> None:
    app = uploaded(explore(planes="linkerd").run(), "shop.yaml", b"schema: meshsim/application/1\nnme: x\n")
    assert not app.exception
    assert any("shop.yaml\\:2\\: nme\\: " in error.value for error in app.error), [error.value for error in app.error]
    assert app.selectbox(key="app").value == "two-tier"
    app = uploaded(app, "tree.yaml", (ISOTOPE / "tree-13-services.yaml").read_bytes())
    assert not app.exception
    assert not app.error
    assert app.selectbox(key="app").value.startswith("tree.yaml@")
    assert "tree with 13 services at 500 requests a second" in html(app)
