"""Features, bills and imagined costs on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from meshsim.cli import main
from meshsim.scenario.capabilities import FEATURES
from meshsim.scenario.catalog import names


def meshsim(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> tuple[str, str]:
    assert main(list(arguments)) == code
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    return captured.out, captured.err


def test_the_matrix_has_every_feature_and_data_plane_within_100_columns(capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = meshsim(capsys, "capabilities")
    assert all(len(line.rstrip()) <= 100 for line in out.splitlines())
    assert all(feature in out for feature in FEATURES)
    assert all(name in out.replace("\n", " ") for name in names("dataplanes"))
    assert {"●", "↪", "–"} <= set(out)


def test_the_matrix_as_data_is_what_the_files_say(capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = meshsim(capsys, "capabilities", "--json", "--dataplanes", "cilium,ebpf-only")
    data = json.loads(out)
    assert data["schema"] == "meshsim/capabilities/1"
    assert data["features"] == FEATURES
    assert list(data["dataplanes"]) == ["cilium", "ebpf-only"]
    assert data["dataplanes"]["cilium"]["retries"] == {"falls_back_to": "node-envoy"}
    assert "keep a request" in data["dataplanes"]["ebpf-only"]["retries"]["refused"]


def test_show_prints_who_does_what_and_why_not(capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = meshsim(capsys, "show", "ebpf-only")
    assert "header-retries" in out
    assert "neither fits the verifier's limits" in out
    assert "by kernel" in out


def test_a_required_feature_is_refused_with_the_reason_or_falls_back(capsys: pytest.CaptureFixture[str]) -> None:
    ask = ("compare", "two-tier", "--requests", "200", "--rps", "100", "--jobs", "1", "--policy", "L4", "--json",
           "--dataplanes", "no-mesh,cilium,ebpf-only", "--requires", "jwt")  # fmt: skip
    out, err = meshsim(capsys, *ask)
    report = json.loads(out)
    assert [row["dataplane"] for row in report["rows"]] == ["cilium"]
    assert [one["dataplane"] for one in report["refused"]] == ["no-mesh", "ebpf-only"]
    assert (
        "ebpf-only cannot do jwt (checks JSON Web Tokens): eBPF programs see packets" in report["refused"][1]["reason"]
    )
    assert "cilium: jwt falls back to node-envoy, which is put on the path" in report["notes"]
    operations = {part["operation"] for part in report["rows"][0]["attribution"]}
    assert "proxy.envoy.feature.jwt" in operations
    assert "--requires jwt" in report["provenance"]["command"]
    assert "No row for ebpf-only" in err


def test_if_nobody_can_do_it_that_is_an_error_with_the_reason(capsys: pytest.CaptureFixture[str]) -> None:
    _, err = meshsim(capsys, "compare", "two-tier", "--dataplanes", "ebpf-only", "--requires", "jwt", code=2)
    assert "ebpf-only cannot do jwt" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--requires", "jtw"), "requires: 'jtw' received; did you mean 'jwt'?"),
        (("--what-if", "*.wakup=0"), "what_if: '*.wakup' matches no operation; did you mean '*.wakeup'"),
        (("--what-if", "wakeup"), "PATTERN=FACTOR was expected"),
        (("--what-if", "*.wakeup=fast"), "PATTERN=FACTOR was expected"),
        (("--what-if", "*.wakeup=-1"), "what_if"),
        (("--churn", "-3"), "churn_per_minute: -3.0 received"),
    ],
)
def test_bad_questions_get_one_clear_message(
    arguments: tuple[str, str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _, err = meshsim(capsys, "compare", "two-tier", "--dataplanes", "no-mesh", "--jobs", "1", *arguments, code=2)
    assert said in err


def test_a_bill_shows_memory_configuration_and_the_start_of_a_pod(capsys: pytest.CaptureFixture[str]) -> None:
    ask = ("bill", "online-boutique", "--dataplanes", "no-mesh,istio-sidecar,linkerd", "--churn", "60")
    out, _ = meshsim(capsys, *ask)
    assert all(len(line.rstrip()) <= 100 for line in out.splitlines())
    for words in (
        "reserved",
        "KiB/s",
        "at 60 changes a minute",
        "sidecar starts",
        "endpoint known to callers",
        "assumed",
    ):
        assert words in out
    report = json.loads(meshsim(capsys, *ask, "--json")[0])
    assert report["schema"] == "meshsim/bill/1"
    bare, istio, linkerd = report["rows"]
    assert bare["configuration"] is None
    assert istio["configuration"]["push_kib_s"] > 10 * linkerd["configuration"]["push_kib_s"] > 0
    assert istio["memory_error"]["low"] < istio["memory_mib"] < istio["memory_error"]["high"]
    assert istio["startup_ms"] == pytest.approx(
        sum(link["ms"] for link in istio["startup"] if link["when"] == "always")
    )


def test_push_work_is_cpu_in_use_when_pods_come_and_go(capsys: pytest.CaptureFixture[str]) -> None:
    def idle(churn: str) -> float:
        out, _ = meshsim(capsys, "bill", "online-boutique", "--dataplanes", "istio-sidecar", "--churn", churn, "--json")
        return float(json.loads(out)["rows"][0]["idle_cores"])

    work = json.loads(
        meshsim(capsys, "bill", "online-boutique", "--dataplanes", "istio-sidecar", "--churn", "60", "--json")[0]
    )["rows"][0]["configuration"]
    expected = (work["control_plane_millicores"] + work["proxy_millicores"]) / 1000
    assert idle("60") - idle("0") == pytest.approx(expected)


def test_a_scenario_file_imagines_costs_too_and_the_option_adds_to_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(
        "schema: meshsim/scenario/1\napplication: two-tier\ndataplane: istio-sidecar\n"
        "what_if: {'*.telemetry': 0}\nload: {rps: 100}\nrun: {requests: 200}\n"
    )
    report = json.loads(meshsim(capsys, "run", str(path), "--what-if", "*.wakeup=0", "--json")[0])
    notes = [note for note in report["notes"] if note.startswith("what if")]
    assert notes == ["what if: costs of *.telemetry x 0", "what if: costs of *.wakeup x 0"]
    assert {"proxy.envoy.telemetry", "proxy.envoy.wakeup"}.isdisjoint(
        p["operation"] for p in report["rows"][0]["attribution"]
    )
    assert report["provenance"]["command"].endswith("s.yaml '--what-if=*.wakeup=0'")


def test_a_scenario_with_an_unknown_feature_names_the_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "s.yaml"
    path.write_text("schema: meshsim/scenario/1\napplication: two-tier\nrequires: [jtw]\n")
    _, err = meshsim(capsys, "run", str(path), code=2)
    assert "s.yaml:3: requires[0]: 'jtw' received; did you mean 'jwt'?" in err


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("placed: library", "`placed: library` and `capture: in-process` go together"),
        ("capture: sockmap\n    placed: node", "joins the sockets of an application and a proxy in its pod"),
        ("placed: pod\n    tunnel: true\n    terminates_mtls: false", "a tunnel is encrypted"),
        ("placed: pod\n    extensions: [{name: x, kind: wasm}]", "`kind: wasm` and a `runtime` go together"),
        ("placed: pod\n    extensions: [{name: x, kind: external, process: opa}]", "an extension asks process 'opa'"),
        ("placed: pod\n    features: [{name: jtw}]", "'jtw' received; did you mean 'jwt'?"),
    ],
)
def test_a_data_plane_that_does_not_fit_together_is_refused(
    wrong: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(
        "schema: meshsim/dataplane/1\nname: p\ntitle: t\nsummary: s\nproxies:\n"
        f"  - name: x\n    software: envoy\n    layer: L7\n    ends: [source]\n    {wrong}\n"
    )
    _, err = meshsim(capsys, "show", str(path), code=2)
    assert said in err


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ("capabilities: {jwt: {}}", "exactly one of by, falls_back_to, refused"),
        ("capabilities: {jwt: {by: nobody}}", "capability jwt: 'nobody' received"),
        ("capabilities: {jwt: {falls_back_to: kernel}}", "it must be a proxy of this file: there is none"),
        ("control_plane: {software: istiod, push: cluster, to: [nobody]}", "control_plane.to: 'nobody' received"),
        ("runtime: {kind: wasm}", "`kind: wasm` and the name of a runtime in `wasm` go together"),
    ],
)
def test_a_data_plane_that_promises_what_it_has_not_is_refused(
    fields: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(f"schema: meshsim/dataplane/1\nname: p\ntitle: t\nsummary: s\n{fields}\n")
    _, err = meshsim(capsys, "show", str(path), code=2)
    assert said in err


def test_a_sweep_over_imagined_costs_and_required_features_keeps_them_in_its_columns(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "study.yaml").write_text(
        "schema: meshsim/study/1\nname: s\n"
        "scenario: {application: two-tier, dataplane: ebpf-only, run: {requests: 100}}\n"
        "grid:\n  what_if: [{}, {'kernel.tcp.*': 0.5}]\n  requires: [[], [jwt]]\n"
    )
    meshsim(capsys, "sweep", "study.yaml", "--out", "results", "--jobs", "1")
    found = pd.read_parquet(tmp_path / "results")
    assert sorted(found.what_if.unique()) == ['{"kernel.tcp.*": 0.5}', "{}"]
    assert set(found[found.requires == '["jwt"]'].error.str.contains("ebpf-only cannot do jwt")) == {True}
    done = found[found.requires == "[]"].set_index("what_if").latency_p50_us
    assert done['{"kernel.tcp.*": 0.5}'] < done["{}"]
