"""``meshsim validate`` from the command line, as far as nothing has to be built."""

from __future__ import annotations

import json

from click.testing import CliRunner

from meshsim.cli import cli, main
from meshsim.scenario.catalog import scoreboards
from meshsim.testbed.scenarios import cases


def run(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(cli, ["validate", *words], standalone_mode=False)
    return result.return_value if result.exception is None else 1, result.output


def test_list_names_every_scenario() -> None:
    code, output = run("--list")
    assert code == 0
    flat = "".join(output.split())
    assert all(case.name in flat for case in cases())


def test_an_unknown_scenario_is_bad_input() -> None:
    assert main(["validate", "--only", "one-sidecar.one-hop-65b", "--list"]) == 2


def test_show_prints_what_is_shipped_without_running_anything() -> None:
    code, output = run("--show", "--json")
    assert code == 0
    boards = json.loads(output)
    assert boards == [json.loads(path.read_text()) for path in scoreboards()]
    assert all(board["rows"] for board in boards)
    code, output = run("--show")
    assert code == 0
    assert "Every row, worst first" in output
