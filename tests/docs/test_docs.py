"""The documents say what is there, and what they show works."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import nbformat
import pytest
from nbclient import NotebookClient

from meshsim.costs.diff import FIELDS
from meshsim.measure.session import refit
from meshsim.results import rows
from meshsim.scenario.catalog import load_book, resolve
from tests.benchmarks import __main__ as speed
from tests.benchmarks import analytic

ROOT = Path(__file__).parents[2]


def test_the_json_document_names_every_field() -> None:
    text = (ROOT / "docs" / "json.md").read_text()
    for model in (rows.Row, rows.ComparisonReport, rows.GrowthReport, rows.CpuCores, rows.ModelError, rows.Provenance,
                  rows.Reality, rows.RealityBand, rows.Verdict, rows.Tail, rows.Solution, rows.SolutionReport, rows.Trial, rows.SensitivityReport,
                  rows.Influence, rows.PropagatedBand, rows.Chance, rows.SobolIndex, rows.MetastabilityReport, rows.MetastabilityCell, rows.MetastabilityBoundary, rows.Attribution, rows.Crossover, rows.Audit, rows.Estimate):  # fmt: skip
        for name, field in model.model_fields.items():
            assert f"`{field.alias or name}`" in text or f'"{name}"' in text, f"{model.__name__}.{name}"


@pytest.mark.parametrize(
    "document", sorted(ROOT.glob("*.md")) + sorted((ROOT / "docs").rglob("*.md")), ids=lambda p: p.name
)
def test_links_within_the_project_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", document.read_text()):
        if not target.startswith(("http", "mailto")):
            assert (document.parent / target).exists(), target


def test_the_python_of_the_readme_runs() -> None:
    (block,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    namespace: dict[str, object] = {}
    exec(block.replace("requests=2000", "requests=200"), namespace)
    assert "comparison" in namespace


def test_the_python_of_the_page_of_engines_runs() -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "engines.md").read_text(), re.S)
    assert len(blocks) == 2
    namespace: dict[str, object] = {}
    for block in blocks:
        exec(block, namespace)


def test_the_commands_of_the_page_of_engines_are_understood() -> None:
    (block,) = re.findall(r"```sh\n(.*?)```", (ROOT / "docs" / "engines.md").read_text(), re.S)
    told = [line.partition("#")[0].split() for line in block.splitlines()]
    takes = {"tests.benchmarks": speed.arguments, "tests.benchmarks.analytic": analytic.arguments}
    seen = [words[2] for words in told if words[0] == "python" and takes[words[2]](words[3:]) is not None]
    assert seen == ["tests.benchmarks", "tests.benchmarks.analytic", "tests.benchmarks.analytic"]
    assert [words for words in told if words[0] == "pytest"] == [["pytest", "-m", "statistical", "tests/engines"]]
    with pytest.raises(SystemExit):
        analytic.arguments(["--drwan", "3"])


@pytest.mark.parametrize("path", sorted((ROOT / "docs" / "notebooks").glob("*.ipynb")), ids=lambda p: p.stem)
def test_a_notebook_runs_from_top_to_bottom(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    assert all(not cell.get("outputs") for cell in notebook.cells)
    NotebookClient(notebook, timeout=300, kernel_name="python3").execute()


def test_there_is_a_notebook() -> None:
    assert list((ROOT / "docs" / "notebooks").glob("*.ipynb"))


def _script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _measured() -> ModuleType:
    return _script("measured")


def test_the_page_of_the_measured_book_is_up_to_date() -> None:
    assert (ROOT / "docs" / "measured.md").read_text() == _measured().page()


def test_a_gap_of_more_than_two_to_a_published_figure_is_explained() -> None:
    measured = _measured()
    assert [f"{gap.operation} {gap.field}" for gap in measured.gaps() if not measured.why(gap)] == []


def test_measuring_again_gives_the_figures_within_their_intervals_nine_times_in_ten() -> None:
    repeats = _measured().repeats()
    assert sum(not one.differs for one in repeats) / len(repeats) >= 0.9


def test_the_shipped_book_is_what_its_raw_samples_give() -> None:
    path = resolve("costs", "epyc-2-vcpu")
    shipped, again = load_book(path).entries, refit(path).entries
    assert [entry.operation for entry in again] == [entry.operation for entry in shipped]
    for one, other in zip(shipped, again, strict=True):
        for field in FIELDS:  # the optimiser's last digits depend on its version
            assert getattr(other, field) == pytest.approx(getattr(one, field), rel=3e-3), f"{one.operation} {field}"


def test_the_page_of_the_scoreboard_is_up_to_date() -> None:
    assert (ROOT / "docs" / "validation.md").read_text() == _script("validation").page()
