"""The shipped objects are what their sources say, they are read rightly, and the programs do what they should."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import struct
import subprocess
from pathlib import Path

import pytest
from hosts import needs

from meshsim.measure.ebpf import objects, testrun
from meshsim.measure.ebpf.http import request_line
from meshsim.measure.ebpf.objects import PROGRAMS, Loaded, Object
from meshsim.measure.ebpf.system import BpfError, look_up, run_on, update

NAMES = sorted(path.stem for path in PROGRAMS.glob("*.c"))
has_zig = pytest.mark.skipif(
    importlib.util.find_spec("ziglang") is None, reason="no zig: pip install 'meshsim[measure]' (package ziglang)"
)
bpf = needs("bpf")


def test_every_source_has_its_object_and_the_other_way_round() -> None:
    assert sorted(path.stem for path in PROGRAMS.glob("*.o")) == NAMES
    assert NAMES == ["datapath", "http", "maps", "service", "sockmap"]


@has_zig
@pytest.mark.parametrize("name", NAMES)
def test_the_shipped_object_is_what_its_source_compiles_to(name: str, tmp_path: Path) -> None:
    objects.build(name, tmp_path / "fresh.o")
    shipped = (PROGRAMS / f"{name}.o").read_bytes()
    assert (tmp_path / "fresh.o").read_bytes() == shipped
    for place in (str(PROGRAMS.parent), str(Path.home()), "/tmp"):
        assert place.encode() not in shipped


@has_zig
def test_a_changed_source_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control of the comparison, and the same bytes from another folder."""
    shutil.copytree(PROGRAMS, tmp_path / "programs")
    monkeypatch.setattr(objects, "PROGRAMS", tmp_path / "programs")
    objects.build("sockmap", tmp_path / "same.o")
    shipped = (PROGRAMS / "sockmap.o").read_bytes()
    assert (tmp_path / "same.o").read_bytes() == shipped
    source = tmp_path / "programs" / "sockmap.c"
    source.write_text(source.read_text().replace("65536", "65535"))
    objects.build("sockmap", tmp_path / "other.o")
    assert (tmp_path / "other.o").read_bytes() != shipped


def test_objects_are_read() -> None:
    service = Object((PROGRAMS / "service.o").read_bytes())
    assert service.programs == ["balance", "nothing", "capture", "established", "original"]
    assert service.maps["services"] == (1, 8, 8, 16384, 0)
    assert set(service.maps) == {"services", "by_socket", "by_port"}
    assert Object((PROGRAMS / "http.o").read_bytes()).maps == {}


@pytest.mark.parametrize("content", [b"", b"\x7fELF\x02\x01" + bytes(100), b"#!/bin/sh\n" + bytes(100)])
def test_what_is_no_object_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match="not a little-endian ELF object"):
        Object(content)


@pytest.mark.skipif(shutil.which("clang") is None, reason="no clang for a second opinion: apt-get install clang")
@bpf
def test_another_compiler_makes_programs_that_do_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(PROGRAMS, tmp_path / "programs")
    flags = ["-target", "bpf", "-O2", "-g0", "-fno-asynchronous-unwind-tables", "-c"]
    argv = ["clang", *flags, "-o", "datapath.o", "datapath.c"]
    subprocess.run(argv, cwd=tmp_path / "programs", check=True, capture_output=True)
    monkeypatch.setattr(objects, "PROGRAMS", tmp_path / "programs")
    policy_decides()


@bpf
def test_policy_lets_through_whom_it_knows() -> None:
    policy_decides()


def policy_decides() -> None:
    with Loaded("datapath") as loaded:
        inward, outward = (loaded.program(f"tc_policy_{way}", "tc-ingress") for way in ("in", "out"))
        xdp = loaded.program("xdp_policy", "xdp")
        testrun.allow(loaded, {testrun.CLIENT: 7}, testrun.PORT, others=10)
        passes, drops = 0xFFFFFFFF, 2
        assert run_on(inward, testrun.packet(), 1).returned == passes
        assert run_on(xdp, testrun.packet(), 1).returned == 2
        assert run_on(inward, testrun.packet("10.213.9.9"), 1).returned == drops
        assert run_on(xdp, testrun.packet("10.213.9.9"), 1).returned == 1
        # The answer goes out to the client, from the server's port; nobody may talk to another port.
        answer = testrun.packet(testrun.SERVER, testrun.CLIENT)
        assert run_on(outward, answer, 1).returned == drops
        swapped = answer[:34] + answer[36:38] + answer[34:36] + answer[38:]
        assert run_on(outward, swapped, 1).returned == passes
        # A peer whose identity was withdrawn.
        update(loaded.maps["policy"], struct.pack("=I", 7) + struct.pack(">H", testrun.PORT) + b"\x06\0", bytes(4))
        assert run_on(inward, testrun.packet(), 1).returned == drops
        # What is not IPv4 is not for this policy.
        arp = testrun.packet()[:12] + struct.pack(">H", 0x0806) + bytes(60)
        assert run_on(inward, arp, 1).returned == passes


LINES = {
    b"GET / HTTP/1.1\r\n": True,
    b"POST /cart/checkout?id=7 HTTP/1.1\r\n": True,
    request_line(60): True,
    b"get / HTTP/1.1\r\n": False,
    b"GET cart HTTP/1.1\r\n": False,
    b"GET /a b\r\n": True,  # the version is not looked at
    b"GET /\x01 HTTP/1.1\r\n": False,
    b"GET / HTTP/1.1\r\r\n": False,
    b"GET / HTTP/1.1 and no end of line": False,
    request_line(65): False,
}


@bpf
@pytest.mark.parametrize("program", ["check", "find", "find_called"])
def test_parsers_of_request_lines_agree(program: str) -> None:
    bound = 40 if program == "find" else 64  # as far as the verifier lets it go
    with Loaded("http", constants={"bound": bound}) as loaded:
        fd = loaded.program(program, "tc-ingress")
        for text, good in LINES.items():
            if len(text) > bound and len(text) < 65:
                continue
            assert run_on(fd, text.ljust(80, b"\0"), 1).returned == (0 if good else 2), text


@bpf
def test_constants_and_sizes_are_the_loaders() -> None:
    with Loaded("datapath", constants={"target": 5}, entries={"policy": 1}) as loaded:
        rule = struct.pack("=IHH", 1, 2, 6)
        update(loaded.maps["policy"], rule, bytes([9, 0, 0, 0]))
        assert look_up(loaded.maps["policy"], rule, 4) == bytes([9, 0, 0, 0])
        assert look_up(loaded.maps["policy"], bytes(8), 4) is None
        with pytest.raises(BpfError, match="E2BIG"):
            update(loaded.maps["policy"], bytes(8), bytes(4))
        with pytest.raises(BpfError, match="EPERM"):
            update(loaded.constants or 0, bytes(4), bytes(4))
        with pytest.raises(ValueError, match="no program 'xdp_pas'; it has xdp_pass"):
            loaded.program("xdp_pas", "xdp")
    assert not [name for name in map(_target, os.listdir("/proc/self/fd")) if "bpf" in name]


@bpf
def test_a_refusal_carries_the_verifiers_words() -> None:
    with Loaded("http", constants={"bound": 8192}) as loaded, pytest.raises(BpfError, match="jumps is too complex"):
        loaded.program("check", "tc-ingress")


def _target(fd: str) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        return ""


def test_addresses_are_packed_as_on_the_wire() -> None:
    data = testrun.packet("10.1.2.3", "10.4.5.6")
    assert data[26:34] == socket.inet_aton("10.1.2.3") + socket.inet_aton("10.4.5.6")
    assert len(data) == 14 + 20 + 20 + 64
