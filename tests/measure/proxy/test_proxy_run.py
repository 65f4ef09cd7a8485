"""Proxies for real, in short: figures of the right order, configurations that the proxies accept, nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hosts import needs

from meshsim.measure import ledger
from meshsim.measure.doctor import capability, envoy_path
from meshsim.measure.lab import unified_root
from meshsim.measure.proxy import features, load, traffic
from meshsim.measure.proxy.envoy import Envoy
from meshsim.measure.proxy.kinds import ALL, ENVOY, PODS
from meshsim.measure.proxy.software import Role
from meshsim.measure.session import Session, measure

pods = needs(*PODS)
ONLY = [load.name(kind) for kind in ALL[:3:2]] + ["proxy.envoy.footprint", "proxy.nginx-lua.features"]
SHORT = "proxy.haproxy.footprint"


def traces() -> dict[str, object]:
    root = unified_root()
    rules = ["iptables", "-t", "nat", "-S"]
    return {
        "children": sorted(Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()),
        "cgroups": list(root.glob(f"{ledger.PREFIX}{os.getpid()}-*")) if root else [],
        "folders": sorted(Path("/tmp").glob(f"{ledger.PREFIX}{os.getpid()}-*")),
        "rules": subprocess.run(rules, capture_output=True, check=False).stdout if capability("iptables").ok else "",
        "links": subprocess.run(["ip", "-br", "link"], capture_output=True, check=False).stdout,
    }


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    before = traces()
    out = tmp_path_factory.mktemp("proxy") / "host.yaml"
    done = measure(["proxy"], out, quick=True, rounds=1, attempts=1, only=ONLY)
    assert traces() == before
    failed = [s.reason for s in done.skipped if not s.remedy]
    busiest = max((s.foreign_cores for s in done.samples), default=0.0)
    if failed and busiest > 0.5:
        pytest.skip(f"others used {busiest:.1f} cores: {failed[0]}")
    assert not failed
    return done


@pods
def test_every_experiment_ran_or_says_what_is_missing(session: Session) -> None:
    assert {s.experiment for s in session.samples} | {s.experiment for s in session.skipped} == set(ONLY)


@needs(*ENVOY.needs)
def test_figures_are_of_the_right_order(session: Session) -> None:
    """Wide bounds: any Linux host, quiet or not."""
    assert session.book is not None
    found = {entry.operation: entry for entry in session.book.entries}
    assert 5e6 < found["memory.envoy.base"].bytes < 60e6
    assert 10_000 < found["memory.envoy.cluster"].bytes < 200_000
    assert 300 < found["memory.envoy.endpoint"].bytes < 10_000
    assert 3_000 < found["memory.envoy.connection"].bytes < 200_000
    assert 0 <= found["idle.envoy"].cores < 0.1
    cpu = [s.values["cpu_ns"] for s in session.samples.of(load.name(ENVOY), loop="closed")]
    assert 10_000 < min(cpu) < 1_000_000


@needs(*ENVOY.needs)
def test_a_sidecar_is_on_the_path_only_of_redirected_traffic(session: Session) -> None:
    """The server's second port is the path without a proxy: there the proxy's CPU does nothing."""
    (through,) = session.samples.of(load.name(ENVOY), path="proxy")
    (beside,) = session.samples.of(load.name(ENVOY), path="direct")
    assert through.values["busy"] > 10 * beside.values["busy"]
    assert through.values["sleeps"] > 0.3 > beside.values["sleeps"]


@needs("envoy")
@pytest.mark.parametrize("feature", features.FEATURES, ids=lambda feature: feature.operation)
def test_envoy_takes_the_configuration_of_each_feature(feature: features.Feature, tmp_path: Path) -> None:
    accepted(feature.software(2, "127.0.0.1"), Role(), tmp_path)


@needs("envoy")
@pytest.mark.parametrize("protocol", ["http1", "http2", "tcp"])
@pytest.mark.parametrize("captured", [True, False])
def test_envoy_takes_the_configuration_of_each_role(protocol: traffic.Protocol, captured: bool, tmp_path: Path) -> None:
    upstream = None if captured else ("127.0.0.1", 8080)
    accepted(Envoy(clusters=3, endpoints=300), Role(protocol, upstream, captured), tmp_path)


def accepted(software: object, role: Role, folder: Path) -> None:
    assert isinstance(software, Envoy)
    file = folder / "envoy.json"
    file.write_text(json.dumps(software.configuration(role)))
    words = [str(envoy_path()), "--mode", "validate", "-c", str(file), "-l", "error"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr[-1000:]


@needs(*PODS, "haproxy")
def test_a_failure_in_the_middle_undoes_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = traces()

    def refuse(*_: object) -> int:
        raise OSError("the network is down")

    monkeypatch.setattr("meshsim.measure.proxy.footprint.first_answer", refuse)
    failed = measure(["proxy"], tmp_path / "host.yaml", quick=True, rounds=1, attempts=1, only=[SHORT])
    assert "the network is down" in failed.skipped[0].reason
    assert traces() == before


KILLED = """
import sys
from pathlib import Path
from meshsim.measure.session import measure
measure(["proxy"], Path(sys.argv[1]), only=["proxy.haproxy.load"], rounds=1, attempts=1)
"""


@needs(*PODS, "haproxy")
def test_a_kill_in_the_middle_leaves_only_what_clean_removes(tmp_path: Path) -> None:
    before = traces()
    run = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path / "host.yaml")], stdout=subprocess.DEVNULL)
    children = Path(f"/proc/{run.pid}/task/{run.pid}/children")
    until = time.monotonic() + 30
    pids: list[str] = []
    while not any("haproxy" in command(pid) for pid in pids):
        assert time.monotonic() < until
        time.sleep(0.05)
        pids = children.read_text().split()
    run.send_signal(signal.SIGKILL)
    run.wait()
    while any(ledger.start_time(int(pid)) is not None for pid in pids):  # they die with their parent
        assert time.monotonic() < until
        time.sleep(0.05)
    ledger.clean()
    assert not (ledger.folder() / f"{run.pid}.jsonl").exists()
    assert not list(Path("/tmp").glob(f"{ledger.PREFIX}{run.pid}-*"))
    root = unified_root()
    assert root is not None
    assert not list(root.glob(f"{ledger.PREFIX}{run.pid}-*"))
    assert traces() == before


def command(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""
