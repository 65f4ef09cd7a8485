"""Other people's files, whatever is wrong with them: an application or one clear message, and never a traceback."""

from __future__ import annotations

import copy
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshsim.formats.convert import as_yaml
from meshsim.formats.load import load_application
from meshsim.scenario.application import Application
from meshsim.scenario.base import MeshsimError
from meshsim.scenario.yaml_io import parse_text, read

DATA = Path(__file__).parents[1] / "data"
FILES = {
    "kiali": DATA / "kiali" / "versioned-app.json",
    "kubernetes": DATA / "kubernetes" / "shop.yaml",
    "istio": DATA / "kubernetes" / "routes.yaml",
    "isotope": DATA / "isotope" / "canonical.yaml",
}

DEEP: list[Any] = []
for _ in range(60):
    DEEP = [DEEP]
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8),
    st.sampled_from([10**400, -1, 0, 1e308, 5e-324, "1e400", "NaN", "-0", "", "0", "\u2028x: y", "a\nb", "x" * 300, DEEP, [], {}, [{}], [[]]]),
    st.sampled_from(["a:b", "name", "http", "box", "unknown", "Service", "List", "Pod", "VirtualService", "1e3", "1_0", "on", "~"]),
)  # fmt: skip


def places(data: Any, where: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if where:
        yield where
    inside = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in inside:
        yield from places(value, (*where, key))


def changed(data: Any, where: tuple[Any, ...], value: Any, remove: bool) -> None:
    for part in where[:-1]:
        try:
            data = data[part]
        except (KeyError, IndexError, TypeError):
            return  # an earlier change took it away
    if isinstance(data, dict) or (isinstance(data, list) and isinstance(where[-1], int) and where[-1] < len(data)):
        if remove:
            data.pop(where[-1], None) if isinstance(data, dict) else data.pop(where[-1])
        else:
            data[where[-1]] = value


@pytest.mark.parametrize("kind", FILES)
def test_a_broken_file_gives_an_application_or_a_message(kind: str) -> None:
    whole = read(FILES[kind], several=True).data
    where = list(places(whole))
    seen = {"read": 0, "refused": 0}

    @settings(max_examples=250, deadline=None)
    @given(st.lists(st.tuples(st.sampled_from(where), VALUES, st.booleans()), max_size=3), st.booleans())
    def check(changes: list[tuple[tuple[Any, ...], Any, bool]], as_json: bool) -> None:
        broken = copy.deepcopy(whole)
        for place, value, remove in changes:
            changed(broken, place, copy.deepcopy(value), remove)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / ("f.json" if as_json else "f.yaml")
            file.write_text(
                "\n---\n".join(json.dumps(one) for one in broken)
                if isinstance(broken, list) and not as_json
                else json.dumps(broken)
            )
            message = ""
            try:
                app, notes = load_application(file)
            except MeshsimError as error:
                message = str(error)
            seen["refused" if message else "read"] += 1
            if message:
                assert message.startswith(str(file))
                assert len(message) < 5000
                return
            assert all(note == " ".join(note.split()) for note in notes)
            assert parse_text(Application, as_yaml(app, notes, file.name)) == app

    check()
    assert min(seen.values()) > 10, seen


@pytest.mark.parametrize("kind", FILES)
def test_what_was_converted_reads_as_the_same_application(kind: str, tmp_path: Path) -> None:
    app, notes = load_application(FILES[kind])
    text = as_yaml(app, notes, FILES[kind].name)
    file = tmp_path / "app.yaml"
    file.write_text(text)
    assert load_application(file) == (app, [])
    comments = " ".join(line.removeprefix("#").strip(" *") for line in text.splitlines() if line.startswith("#"))
    for note in notes:
        assert " ".join(note.split()) in " ".join(comments.split())


@pytest.mark.parametrize("kind", FILES)
def test_what_was_read_can_be_compared(kind: str) -> None:
    import meshsim as ms

    planes = ["no-mesh", "istio-sidecar"]
    report = ms.compare(str(FILES[kind]), dataplanes=planes, rps=20, requests=200, engine="analytic").report
    first, second = report.rows
    assert first.latency_us.p50.value < second.latency_us.p50.value


def test_lines_stay_right_in_a_file_of_several_documents(tmp_path: Path) -> None:
    file = tmp_path / "f.yaml"
    file.write_text("# a comment\n---\na: 1\n---\n# nothing\n---\nb:\n  - x\n  - {y: 2}\n")
    document = read(file, several=True)
    assert document.data == [{"a": 1}, {"b": ["x", {"y": 2}]}]
    assert document.documents == 2
    assert [document.line(place) for place in ((0, "a"), (1, "b"), (1, "b", 1, "y"))] == [3, 7, 9]


def test_one_document_between_empty_ones_is_that_document(tmp_path: Path) -> None:
    file = tmp_path / "f.yaml"
    file.write_text("---\n# licence\n---\na: 1\n---\n")
    assert read(file, several=True).data == {"a": 1}


@pytest.mark.parametrize("text", ["", "---\n", "---\n---\n# nothing\n"])
def test_only_empty_documents_are_an_empty_file(tmp_path: Path, text: str) -> None:
    file = tmp_path / "f.yaml"
    file.write_text(text)
    with pytest.raises(MeshsimError, match="the file is empty"):
        load_application(file)
