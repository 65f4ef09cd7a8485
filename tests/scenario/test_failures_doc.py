"""The example of docs/failures.md runs as it stands, and mistakes in it are named with file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshsim.scenario.catalog import load_scenario
from meshsim.scenario.yaml_io import InputError
from meshsim.studies.single import simulate

PAGE = Path(__file__).parents[2] / "docs" / "failures.md"


def example() -> str:
    return PAGE.read_text().split("```yaml\n")[1].split("```")[0]


def test_the_example_runs_and_its_audit_holds(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(example())
    done = simulate(tmp_path / "s.yaml")
    row = done.report.rows[0]
    assert row.audit.ok, row.audit.checks
    assert row.requests == 2000
    assert 0 <= row.failed < 2000
    assert row.resilience["attempts"] >= 2000
    assert row.goodput_rps > 100
    lines = done.timeline()
    assert (lines.good_rps + lines.failed_rps).sum() > 0


def test_the_autoscaler_of_the_page_goes_into_the_example(tmp_path: Path) -> None:
    block = PAGE.read_text().split("```yaml\n")[2].split("```")[0]
    (tmp_path / "s.yaml").write_text(example() + block)
    assert load_scenario(tmp_path / "s.yaml").autoscaling[0].max == 10


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("max_pending: 100", "max_pendng: 100", "s.yaml:9: connections[1].max_pendng: unknown field; did you mean"),
        ("share: 0.2", "share: 2", "s.yaml:17: resilience[0].retries.budget.share: 2 received; must be at most 1"),
        ("policy: random-of-two", "policy: best", "s.yaml:11: balancing[0].policy: 'best' received; choose from"),
        ("kind: slow-pod, service: fortioserver,", "kind: slow-pod,", "a fault of kind slow-pod names the `service`"),
        ("max_ms: 250", "max_ms: 2", "max_ms is 2; it must be at least base_ms"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in example()
    (tmp_path / "s.yaml").write_text(example().replace(old, new))
    with pytest.raises(InputError) as error:
        load_scenario(tmp_path / "s.yaml")
    assert said in str(error.value)
