"""Everything that can be wrong with a file: one clear message, with file and line, quickly and without a traceback."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from worlds import application, service

from meshsim.formats.load import load_application
from meshsim.scenario.application import Application
from meshsim.scenario.catalog import load_book, load_dataplane, load_machine, load_scenario, names
from meshsim.scenario.scenario import Scenario
from meshsim.scenario.yaml_io import InputError, parse, parse_text, write_yaml

APPLICATION = """\
schema: meshsim/application/1
name: shop
entries:
  - service: front
services:
  - name: front
    replicas: 2
    endpoints:
      - name: home
        steps:
          - compute: {mean_us: 500}
          - call: {service: cart, request_bytes: 100}
          - parallel:
              - call: {service: cart}
              - wait: {mean_us: 10}
  - name: cart
    endpoints:
      - name: get
"""

BROKEN: list[tuple[str, str, str, str]] = [
    # what is wrong, text that is replaced, by what, the message
    ("wrong type", "replicas: 2", "replicas: two", "f:7: services[0].replicas: 'two' received; must be a whole number"),
    ("fraction", "replicas: 2", "replicas: 2.5", "f:7: services[0].replicas: 2.5 received; must be a whole number"),
    ("out of range", "replicas: 2", "replicas: 0", "f:7: services[0].replicas: 0 received; must be at least 1"),
    ("negative time", "mean_us: 500", "mean_us: -5",
     "f:11: services[0].endpoints[0].steps[0].compute.mean_us: -5 received; must be more than 0"),
    ("unknown field", "replicas: 2", "replicsa: 2",
     "f:7: services[0].replicsa: unknown field; did you mean 'replicas'? choose from: concurrency, cpu_limit_millicores"),
    ("unknown field within a branch", "- wait: {mean_us: 10}", "- wait: {mean: 10}",
     "f:15: services[0].endpoints[0].steps[2].parallel[1].wait.mean: unknown field; did you mean 'mean_us'?"),
    ("missing field", "  - name: cart\n", "  - replicas: 1\n", "f:16: services[1].name: is missing"),
    ("unknown callee", "service: cart, request", "service: carts, request",
     "f:12: call in front/home: unknown service 'carts'; did you mean 'cart'? choose from: cart, front"),
    ("unknown endpoint", "{service: cart, request_bytes: 100}", "{service: cart, endpoint: put}",
     "f:12: call in front/home: service cart has no endpoint 'put'; choose from: get"),
    ("unknown entry", "- service: front", "- service: door", "f:4: entry: unknown service 'door'"),
    ("cycle", "      - name: get", "      - name: get\n        steps:\n          - call: {service: front}",
     "the call graph has a cycle: front/home -> cart/get -> front/home; a request would never end"),
    ("two services of one name", "name: cart\n    end", "name: front\n    end", "f:16: service 'front' is defined twice"),
    ("duplicate key", "    replicas: 2", "    replicas: 2\n    replicas: 3",
     "f:8: services[0]: key 'replicas' is given twice (first in line 7)"),
    ("two steps in one", "- compute: {mean_us: 500}", "- {compute: {mean_us: 500}, wait: {mean_us: 1}}",
     "a step has exactly one of compute, wait, call, parallel; this one has ['compute', 'wait']"),
    ("wrong law", "mean_us: 500}", "mean_us: 500, law: normal}",
     "f:11: services[0].endpoints[0].steps[0].compute.law: 'normal' received; did you mean 'lognormal'? choose from:"),
    ("not a number", "mean_us: 500", "mean_us: .nan", "f:11: services[0].endpoints[0].steps[0].compute.mean_us: .nan received"),
    ("infinite", "mean_us: 500", "mean_us: .inf", ".inf received; a number must be finite"),
    ("list instead of mapping", "{service: cart, request_bytes: 100}", "[cart]",
     "f:12: services[0].endpoints[0].steps[1].call: a list received; must be a mapping of names to values"),
    ("empty list", "entries:\n  - service: front", "entries: []", "f:3: entries: a list received; must have at least 1 item"),
    ("wrong schema", "meshsim/application/1", "meshsim/application/9",
     "f:1: schema: 'meshsim/application/9' received; did you mean 'meshsim/application/1'?"),
    ("other kind", "meshsim/application/1", "meshsim/dataplane/1",
     "f:1: schema: 'meshsim/dataplane/1' received; this is a data plane, and an application was expected"),
    ("syntax", "entries:", "entries: [", "not valid YAML (column"),
    ("tab", "    replicas: 2", "\treplicas: 2", "not valid YAML (column"),
    ("python object", "name: shop", "name: !!python/object/apply:os.system [ls]", "f:2"),
    ("custom tag", "name: shop", "name: !secret x", "tag !!secret received; model files use plain values only"),
    ("name with spaces", "name: shop", "name: my shop", "f:2: name: 'my shop' received; must match"),
]  # fmt: skip


def timed(load: Callable[[], Any]) -> str:
    """The message of the InputError that ``load`` raises, within two seconds."""
    start = time.process_time()
    with pytest.raises(InputError) as caught:
        load()
    assert time.process_time() - start < 2.0
    return str(caught.value)


@pytest.mark.parametrize(("old", "new", "message"), [b[1:] for b in BROKEN], ids=[b[0] for b in BROKEN])
def test_a_mistake_is_named_with_file_line_and_rule(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert APPLICATION.count(old) == 1
    file = tmp_path / "f"
    file.write_text(APPLICATION.replace(old, new))
    assert message in timed(lambda: load_application(file)).replace(str(file), "f")


def test_the_unbroken_file_is_read() -> None:
    assert len(parse_text(Application, APPLICATION).services) == 2


def bomb() -> str:
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{n}: &a{n} [" + ", ".join([f"*a{n - 1}"] * 9) + "]" for n in range(1, 10)]
    return "\n".join(lines)


FILES: list[tuple[str, bytes, str]] = [
    ("empty", b"", "f:1: the file is empty"),
    ("blank", b" \n\n", "f:1: the file is empty"),
    ("comments", b"# nothing\n", "f:1: the file is empty"),
    ("a number", b"42\n", "42 received; a mapping of names to values was expected"),
    ("a list", b"- 1\n", "a list received; a mapping"),
    ("binary", bytes(range(256)), "is not UTF-8 text"),
    ("control characters", b"a: \x00\x01\x02", "not valid YAML"),
    ("ten megabytes of nonsense", b"x9!]{" * 2_000_000, "9.5 MiB received; such a file has at most 2 MiB"),
    ("endless brackets", b"[" * 200_000, "nested too deeply"),
    ("deep mappings", b"".join(b" " * n + b"a:\n" for n in range(1500)), "nested too deeply"),
    ("billion laughs", bomb().encode(), "its aliases stand for more than 50000 values"),
    ("alias of itself", b"a: &a [*a]", "an alias refers to what it stands in"),
    ("endless number", b"a: " + b"9" * 5000, "received; no number that can be read"),
    ("no schema", b"services:\n- {name: a, endpoints: [{name: e}]}\n", "neither a meshsim application (first field"),
    ("neither kind", b"colour: red\n", "neither a meshsim application (first field"),
    ("two documents", b"a: 1\n---\nb: 2\n", "f:3: [1]: document 2 of 2 begins here; a meshsim application is one"),
]


@pytest.mark.parametrize(("content", "message"), [f[1:] for f in FILES], ids=[f[0] for f in FILES])
def test_a_file_that_is_no_model_at_all_is_refused_quickly(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "f"
    file.write_bytes(content)
    assert message in timed(lambda: load_application(file)).replace(str(file), "f")


def test_missing_files_folders_and_names_are_told_apart(tmp_path: Path) -> None:
    assert timed(lambda: load_application(tmp_path / "none.yaml")) == f"{tmp_path}/none.yaml: no such file"
    os.mkfifo(tmp_path / "pipe")
    assert timed(lambda: load_application(tmp_path / "pipe")).endswith(
        "pipe: is a device or a pipe; a file was expected"
    )
    assert "/dev/zero: is a device or a pipe" in timed(lambda: load_application("/dev/zero"))
    assert "no such name" in timed(lambda: load_application(""))
    assert "no such name" in timed(lambda: load_application("a" * 5000))
    assert timed(lambda: load_application(tmp_path)) == f"{tmp_path}: is a folder; a file was expected"
    message = timed(lambda: load_application("online-butik"))
    assert message.startswith(
        "application 'online-butik': no such name, and no such file; did you mean 'online-boutique'?"
    )
    assert "data plane 'istio': no such name" in timed(lambda: load_dataplane("istio"))
    assert "cost book 'mine'" in timed(lambda: load_book("mine"))


def test_json_and_toml_are_read_too(tmp_path: Path) -> None:
    (tmp_path / "s.json").write_text('{"application": "bookinfo", "load": {"rps": 10}}')
    (tmp_path / "s.toml").write_text('application = "bookinfo"\n[load]\nrps = 10\n')
    assert load_scenario(tmp_path / "s.json") == load_scenario(tmp_path / "s.toml")
    (tmp_path / "s.json").write_text('{"application": "bookinfo",\n "load": }')
    assert ":2: not valid JSON" in timed(lambda: load_scenario(tmp_path / "s.json"))
    (tmp_path / "s.json").write_text('{"application": "bookinfo", "load": {"rps": -1}}')
    assert timed(lambda: load_scenario(tmp_path / "s.json")).endswith(
        "s.json: load.rps: -1 received; must be at least 0.1"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("application: bookinfo\nload: {rps: -5}", "s:2: load.rps: -5 received; must be at least 0.1"),
        (
            "application: bookinfo\nload: {arrivals: poison}",
            "did you mean 'poisson'? choose from: constant, poisson",
        ),
        (
            "application: bookinfo\ncluster: {nodes: many}",
            "'many' received; must be a whole number or choose from: auto",
        ),
        ("application: bookinfo\ncluster:\n  nodes: 0", "nodes: 0 received; must be at least 1, or auto"),
        ("load: {rps: 5}", "s:1: application: is missing"),
        ("application: bookinfo\ncosts: []", "s:2: costs: a list received; must have at least 1 item"),
    ],
)
def test_scenario_mistakes(text: str, message: str) -> None:
    assert message in timed(lambda: parse_text(Scenario, text, "s"))


def test_several_mistakes_are_all_told_at_once_but_not_hundreds() -> None:
    two = APPLICATION.replace("replicas: 2", "replicas: no").replace("mean_us: 500", "mean: 500")
    assert len(timed(lambda: parse_text(Application, two, "f")).splitlines()) == 3  # mean is unknown, mean_us missing
    services = "\n".join(f"  - {{name: s{n}, colour: red, endpoints: [{{name: e}}]}}" for n in range(50))
    lines = timed(lambda: parse_text(Application, APPLICATION + services, "f")).splitlines()
    assert len(lines) == 11
    assert lines[-1] == "… and 40 more"


def test_yaml_1_2_reads_what_people_mean() -> None:
    text = APPLICATION.replace("replicas: 2", "memory_mib: 1e3").replace("name: shop", "name: no")
    app = parse_text(Application, text)
    assert app.services[0].memory_mib == 1000.0
    assert app.name == "no"


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    app = application(
        service("a", [{"parallel": [{"call": {"service": "b"}}, {"wait": {"mean_us": 5}}]}]), service("b", [])
    )
    text = write_yaml(app)
    assert parse_text(Application, text) == app
    assert text.startswith("schema: meshsim/application/1\nname: world\n")


@pytest.mark.parametrize("kind", ["applications", "dataplanes", "costs", "machines"])
def test_every_shipped_model_loads_and_is_called_like_its_file(kind: str) -> None:
    found = names(kind)
    assert found
    load: Callable[[str], Any] = {
        "applications": lambda name: load_application(name)[0],
        "dataplanes": load_dataplane, "costs": load_book, "machines": load_machine,
    }[kind]  # fmt: skip
    for name in found:
        model = load(name)
        assert model.name == name
        assert parse_text(type(model), write_yaml(model)) == model


def test_errors_have_lines_that_exist(tmp_path: Path) -> None:
    file = tmp_path / "f"
    for _, old, new, _ in BROKEN:
        file.write_text(APPLICATION.replace(old, new))
        for line in timed(lambda: parse(Application, file)).splitlines():
            found = re.match(rf"{re.escape(str(file))}(?::(\d+))?: ", line)
            assert found, line
            assert 1 <= int(found[1] or 1) <= APPLICATION.count("\n") + 3
