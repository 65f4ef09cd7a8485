"""The experiments for real, in short: figures of the right order, connections go where they should, nothing is left."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hosts import needs

from meshsim.measure import ledger
from meshsim.measure.doctor import capability
from meshsim.measure.ebpf import EXPERIMENTS, datapath, service, sockmap, system, testrun, verifier
from meshsim.measure.ebpf.attach import at_cgroup, at_interface
from meshsim.measure.ebpf.objects import Loaded
from meshsim.measure.lab import Lab, LabError, unified_root
from meshsim.measure.session import Session, measure

whole = needs("root", "compiler", "namespaces", "ip", "cgroup", "bpf", "bpf-links")


def programs_in_the_kernel() -> set[int]:
    """Numbers of the loaded programs that carry our name."""
    found, number = set(), 0
    while True:
        fields = bytearray(struct.pack("=III", number, 0, 0))
        try:
            system.bpf(11, fields, "next program")
        except OSError:
            return found
        number = struct.unpack_from("=I", fields, 4)[0]
        with contextlib.suppress(OSError):
            fd = system.bpf(13, bytearray(struct.pack("=III", number, 0, 0)), "a program")
            info = ctypes.create_string_buffer(232)
            fields = bytearray(struct.pack("=IIQ", fd, 232, ctypes.addressof(info)))
            system.bpf(system.OBJECT_INFO, fields, "ask")
            os.close(fd)
            if info.raw[64:80].rstrip(b"\0") == system.NAME:
                found.add(number)


def gone(before: set[int]) -> bool:
    """The kernel frees programs a moment after the last descriptor is closed."""
    deadline = time.monotonic() + 10
    while programs_in_the_kernel() - before:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def traces() -> dict[str, object]:
    root = unified_root()
    return {
        "descriptors": sorted(t for t in _targets() if "bpf" in t),
        "cgroups": sorted(root.glob(f"{ledger.PREFIX}{os.getpid()}-*")) if root else [],
        "children": Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split(),
        "links": subprocess.run(["ip", "-d", "link"], capture_output=True, text=True, check=False).stdout,
    }


def _targets() -> list[str]:
    found = []
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found.append(os.readlink(f"/proc/self/fd/{fd}"))
    return found


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    """One quick round of everything that this host can do, but for the verifier, which has its own tests."""
    root = capability("bpf").ok
    before, programs = traces(), programs_in_the_kernel() if root else set()
    names = [e.name for e in EXPERIMENTS if e.name != verifier.NAME]
    out = tmp_path_factory.mktemp("ebpf") / "host.yaml"
    done = measure(["ebpf"], out, quick=True, rounds=1, attempts=1, only=names)
    assert traces() == before
    if root:
        assert gone(programs)
    return done


def test_every_experiment_ran_or_says_what_is_missing(session: Session) -> None:
    ran = {s.experiment for s in session.samples}
    skipped = {s.experiment: s for s in session.skipped}
    assert ran | skipped.keys() == {e.name for e in EXPERIMENTS} - {verifier.NAME}
    assert all(s.remedy for s in skipped.values()), [s.reason for s in skipped.values()]


@whole
def test_figures_are_of_the_right_order(session: Session) -> None:
    """Wide bounds: any Linux host of the last years, quiet or not."""
    assert session.book is not None
    found = {entry.operation: entry for entry in session.book.entries}
    assert found.keys() == {
        "kernel.ebpf.policy.message", "kernel.ebpf.service.message", "kernel.ebpf.http-parser.request",
        "kernel.service.ebpf.connection", "kernel.redirect.ebpf-connect.message",
        "kernel.redirect.ebpf-connect.connection", "kernel.sockmap.message", "kernel.redirect.sockmap.connection",
        "kernel.ebpf.map.array", "kernel.ebpf.map.percpu-array", "kernel.ebpf.map.hash", "kernel.ebpf.map.lru-hash",
    }  # fmt: skip
    assert 300 < found["kernel.sockmap.message"].cpu_ns < 60_000
    # What one call takes longer than another: on a busy host one quick round may see nothing of it, which is 0.
    assert 0 <= found["kernel.service.ebpf.connection"].cpu_ns < 5000
    assert 100 < found["kernel.redirect.ebpf-connect.connection"].cpu_ns < 20_000
    assert 0.3 < found["kernel.ebpf.http-parser.request"].cpu_ns_per_byte < 60


@whole
def test_the_harness_agrees_with_known_orders(session: Session) -> None:
    samples = session.samples
    floor = samples.values(testrun.NAME, "run_ns", program="xdp_pass")[0]
    policy = samples.values(testrun.NAME, "run_ns", program="xdp_policy")[0]
    assert 2 < floor < policy < 2000
    array, hash_small, hash_large = (
        samples.values("ebpf.map-look-up", "look_up_ns", type=kind, entries=size)[0]
        for kind, size in (("array", 1), ("hash", 1), ("hash", 65_536))
    )
    assert array < hash_small < hash_large < 5000


@whole
def test_joined_sockets_skip_tcp(session: Session) -> None:
    for sample in session.samples.of(sockmap.NAME, cores="same"):
        assert sample.values["missed"] == 0
        assert sample.values["sockmap_round_trip_ns"] < sample.values["tcp_round_trip_ns"]
    (live,) = session.samples.of(sockmap.NAME, live=1)
    assert live.values["sk_msg_runs"] >= 200
    assert 10 < live.values["sk_msg_run_ns"] < 5000


@whole
def test_live_runs_cost_about_what_the_slope_says(session: Session) -> None:
    (live,) = session.samples.of(datapath.LIVE)
    assert 5 < live.values["policy_run_ns"] - live.values["nothing_run_ns"] < 3000


SERVER = """
import socket, struct
server = socket.create_server(("127.0.0.1", PORT))
print("ready", flush=True)
for _ in range(2):
    accepted, _ = server.accept()
    try:
        answer = accepted.getsockopt(socket.SOL_IP, 80, 16)
        print(socket.inet_ntoa(answer[4:8]), struct.unpack(">H", answer[2:4])[0], flush=True)
    except OSError as error:
        print("no answer", flush=True)
    accepted.close()
"""


@whole
def test_a_captured_connection_reaches_the_proxy_which_learns_where_it_wanted_to_go() -> None:
    with Lab() as lab:
        pod, cgroup = lab.pod("captures"), lab.cgroup()
        pod.run(["ip", "route", "add", "default", "via", lab.gateway])
        argv = [sys.executable, "-c", SERVER.replace("PORT", str(service.PROXY_PORT))]
        proxy = lab.start(argv, pod=pod, cgroup=cgroup, stdout=subprocess.PIPE)
        assert proxy.popen.stdout is not None
        assert proxy.popen.stdout.readline() == b"ready\n"
        connect = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 5).recv(1)"
        with service.capturing() as loaded:
            with (
                at_cgroup(loaded.program("capture", "connect4"), "connect4", cgroup),
                at_cgroup(loaded.program("established", "sockops"), "sockops", cgroup),
                at_cgroup(loaded.program("original", "getsockopt"), "getsockopt", cgroup),
            ):
                lab.call([sys.executable, "-c", connect, "10.98.7.6", "4321"], pod=pod, cgroup=cgroup)
                assert proxy.popen.stdout.readline() == b"10.98.7.6 4321\n"
            # Off again: the address leads nowhere, and loopback is nobody's capture.
            lab.call([sys.executable, "-c", connect, "127.0.0.1", str(service.PROXY_PORT)], pod=pod, cgroup=cgroup)
            assert proxy.popen.stdout.readline() == b"no answer\n"


@whole
def test_a_policy_at_an_interface_really_stops_who_is_not_allowed() -> None:
    from contextlib import ExitStack

    ping = "import socket, sys; socket.create_connection((sys.argv[1], 8000), 0.5)"
    serve = "import socket; s = socket.create_server(('', 8000)); print('ready', flush=True)\nwhile True: s.accept()"
    with Lab() as lab, ExitStack() as stack, Loaded("datapath") as loaded:
        friend, stranger, server = (lab.pod(name) for name in ("friend", "stranger", "server"))
        process = server.start([sys.executable, "-c", serve], stdout=subprocess.PIPE)
        assert process.popen.stdout is not None
        process.popen.stdout.readline()
        testrun.allow(loaded, {friend.address: 1}, 8000, others=0)
        at_interface(stack, server, loaded.program("tc_policy_in", "tc-ingress"), "tc-ingress")
        at_interface(stack, server, loaded.program("tc_policy_out", "tc-egress"), "tc-egress")
        friend.run([sys.executable, "-c", ping, server.address])
        with pytest.raises(LabError, match="timed out"):
            stranger.run([sys.executable, "-c", ping, server.address])
        stack.close()
        stranger.run([sys.executable, "-c", ping, server.address])


@whole
def test_a_failure_in_the_middle_undoes_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, programs = traces(), programs_in_the_kernel()

    def refuse(*_: object, **__: object) -> None:
        raise OSError("the network is down")

    monkeypatch.setattr(sockmap, "pingpong", refuse)
    failed = measure(["ebpf"], tmp_path / "h.yaml", quick=True, rounds=1, attempts=1, only=[sockmap.NAME])
    assert "the network is down" in failed.skipped[0].reason
    assert traces() == before
    assert gone(programs)


KILLED = """
import sys
from pathlib import Path
from meshsim.measure.session import measure
measure(["ebpf"], Path(sys.argv[1]), only=["ebpf.sockmap"], rounds=1, attempts=1, on_progress=print)
"""


@whole
def test_a_kill_in_the_middle_leaves_only_what_clean_removes(tmp_path: Path) -> None:
    programs = programs_in_the_kernel()
    run = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path / "h.yaml")], stdout=subprocess.DEVNULL)
    root = unified_root()
    assert root is not None
    deadline = time.monotonic() + 30
    while not (programs_in_the_kernel() - programs and list(root.glob(f"{ledger.PREFIX}{run.pid}-*"))):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(0.5)
    run.send_signal(signal.SIGKILL)
    run.wait()
    assert gone(programs)
    ledger.clean()
    assert list(root.glob(f"{ledger.PREFIX}{run.pid}-*")) == []
    assert not (ledger.folder() / f"{run.pid}.jsonl").exists()
