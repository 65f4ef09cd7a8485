"""Isotope service graphs are read unchanged."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from meshsim.formats.isotope import COMPUTE_US
from meshsim.formats.load import load_application
from meshsim.formats.schema import MODELS, json_schema
from meshsim.scenario.base import MeshsimError
from meshsim.scenario.catalog import names, resolve
from meshsim.scenario.yaml_io import InputError, read

GRAPHS = sorted((Path(__file__).parents[1] / "data" / "isotope").glob("*.yaml"))


def test_all_eight_graphs_are_there() -> None:
    assert len(GRAPHS) == 8


@pytest.mark.parametrize("path", GRAPHS, ids=lambda path: path.stem)
def test_a_graph_of_the_project_is_read_unchanged(path: Path) -> None:
    text = path.read_text()
    app, notes = load_application(path)
    assert len(app.services) == len(re.findall(r"name:", text))
    assert sum(len(e.calls()) for s in app.services for e in s.endpoints) == len(re.findall(r"call:", text))
    assert len(app.entries) == text.count("isEntrypoint: true")
    assert f"{COMPUTE_US:g} us of CPU" in notes[0]


def test_nested_lists_are_parallel_and_the_rest_in_order(tmp_path: Path) -> None:
    canonical = next(path for path in GRAPHS if path.stem == "canonical")
    app, notes = load_application(canonical)
    steps = app.service("d").endpoints[0].steps[1:]
    assert [[branch[0].call.service for branch in step.parallel] if step.parallel else step.call.service for step in steps] == [
        ["a", "c"], "b",
    ]  # fmt: skip
    assert app.service("c").endpoints[0].calls()[0].request_bytes == 1024
    assert notes[1].startswith("numRbacPolicies is ignored")


ALL = """\
apiVersion: isotope.istio.io/v1alpha1
kind: MockServiceGraph
default: {requestSize: 10K, responseSize: 16 KB, numReplicas: 3, errorRate: 0.01%}
services:
- name: a
  isEntrypoint: true
  type: grpc
  script:
  - sleep: 1.5ms
  - call: {service: b, size: 1MiB, probability: 50}
  - - call: b
    - sleep: {SleepCommand: [{Load: {Min: 0, Max: 10}, Type: static, Data: {time: 20}}]}
- name: b
  responseSize: 128
  numReplicas: 1
  errorRate: 0.1
"""


def test_all_documented_spellings_are_understood(tmp_path: Path) -> None:
    file = tmp_path / "all.yaml"
    file.write_text(ALL)
    app, notes = load_application(file)
    a, b = app.services
    assert (a.replicas, b.replicas) == (3, 1)
    _, sleep, call, both = a.endpoints[0].steps
    assert sleep.wait is not None
    assert sleep.wait.mean_us == 1500
    assert call.call is not None
    assert (call.call.request_bytes, call.call.response_bytes, call.call.probability) == (1 << 20, 128, 0.5)
    assert both.parallel is not None
    assert both.parallel[0][0].call is not None
    assert both.parallel[0][0].call.request_bytes == 10 * 1024
    assert both.parallel[1][0].wait is not None
    assert both.parallel[1][0].wait.mean_us == 20_000
    assert app.entries[0].protocol == "grpc"
    assert app.entries[0].response_bytes == 16 * 1024
    assert any(note.startswith("errorRate is ignored") for note in notes)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("1.5ms", "soon", "f:9: services[0].script[0].sleep: 'soon' received; a duration such as 10ms"),
        ("- call: b\n", "- call: c\n", "f:11: services[0].script[2][0].call: 'c' received; choose from: a, b"),
        ("size: 1MiB", "size: big", "f:10: services[0].script[1].call.size: 'big' received; a size such as"),
        ("probability: 50", "probability: 500", "500 received; must be from 0 to 100"),
        ("errorRate: 0.1\n", "errorRate: 10\n", "f:16: services[1].errorRate: 10 received; a share such as 0.1%"),
        ("isEntrypoint: true", "isEntrypoint: false", "no service has isEntrypoint: true"),
        ("isEntrypoint: true", "isEntrypoint: 'no'", "services[0].isEntrypoint: 'no' received; must be true or false"),
        ("1.5ms", "99h", "f:9: services[0].script[0].sleep: '99h' received; must be at most 60 s"),
        ("size: 1MiB", "size: 9 TB", "f:10: services[0].script[1].call.size: '9 TB' received; must be at most 1 GiB"),
        ("type: grpc", "type: smtp", "f:7: services[0].type: 'smtp' received; choose from: grpc, http"),
        ("numReplicas: 1", "numReplicas: 0", "f:15: services[1].numReplicas: 0 received"),
        ("Type: static", "Type: histogram", "only a single sleep of type static is read"),
        ("  responseSize: 128", "  responsSize: 128", "f:14: services[1].responsSize: unknown field of an isotope graph; did you mean 'responseSize'?"),
        ("- name: b", "- name: a", "service 'a' is defined twice"),
        ("  errorRate: 0.1\n", "  script: [{call: a}]\n", "the call graph has a cycle: a/serve -> b/serve -> a/serve"),
    ],
)  # fmt: skip
def test_mistakes_have_file_and_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert ALL.count(old) == 1
    file = tmp_path / "f"
    broken = ALL.replace(old, new)
    if "name: a\n  responseSize" in broken:
        broken = broken.replace("call: b\n", "sleep: 1ms\n").replace(
            "call: {service: b, size: 1MiB, probability: 50}", "sleep: 1ms"
        )
    file.write_text(broken)
    with pytest.raises(InputError) as caught:
        load_application(file)
    assert message in str(caught.value).replace(str(file), "f")


@pytest.mark.parametrize("kind", list(MODELS))
def test_a_schema_is_published_for_every_kind_of_file(kind: str) -> None:
    import jsonschema

    schema = json_schema(kind)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["title"] == f"meshsim {kind}"
    assert schema["additionalProperties"] is False


def test_an_unknown_kind_of_schema_is_refused() -> None:
    with pytest.raises(MeshsimError, match=r"kind 'mesh' received; choose from: application, costs"):
        json_schema("mesh")


@pytest.mark.parametrize("name", names("applications"))
def test_the_schema_accepts_the_shipped_applications(name: str) -> None:
    import jsonschema

    data = read(resolve("applications", name)).data
    jsonschema.Draft202012Validator(json_schema("application")).validate(data)
