"""What one run of a program costs: BPF_PROG_TEST_RUN, the kernel's own harness, over and over on one packet.

The harness and the call of a program cost something too; that is what a program costs in it that does nothing, and is
taken off. So "pass" is 0 here by definition: what it costs on a real packet, ``ebpf.datapath`` tells.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from meshsim.measure.bench import Bench
from meshsim.measure.ebpf.objects import Loaded
from meshsim.measure.ebpf.system import run_on, update
from meshsim.measure.experiment import Experiment, Reading
from meshsim.measure.lab import LabError

NAME = "ebpf.program"
PROGRAMS = {
    "xdp_pass": ("xdp", 2), "xdp_drop": ("xdp", 1), "xdp_redirect": ("xdp", 4), "xdp_parse": ("xdp", 2),
    "xdp_policy": ("xdp", 2), "tc_pass": ("tc-ingress", -1), "tc_drop": ("tc-ingress", 2),
    "tc_redirect": ("tc-ingress", 7), "tc_parse": ("tc-ingress", -1), "tc_policy_in": ("tc-ingress", -1),
    "tc_policy_out": ("tc-egress", -1),
}  # fmt: skip
"""By name: where it runs, and what it must return."""

CLIENT, SERVER, PORT = "10.213.0.10", "10.213.0.11", 8000
IDENTITY = 7


def packet(source: str = CLIENT, destination: str = SERVER, payload: int = 64) -> bytes:
    """A TCP packet from a client to a server, as programs see it; checksums are left out."""
    ethernet = bytes(12) + struct.pack(">H", 0x0800)
    addresses = socket.inet_aton(source) + socket.inet_aton(destination)
    ip = struct.pack(">BBHHHBBH", 0x45, 0, 40 + payload, 0, 0, 64, 6, 0) + addresses
    tcp = struct.pack(">HHIIHHHH", 40000, PORT, 0, 0, 0x5010, 512, 0, 0)
    return ethernet + ip + tcp + bytes(payload)


def allow(loaded: Loaded, peers: dict[str, int], port: int, others: int = 1000) -> None:
    """Fill the maps of policy: who has which identity and may use the port, among others, as in a cluster."""
    everyone = {f"10.99.{n // 256}.{n % 256}": 1000 + n for n in range(others)} | peers
    for peer, identity in everyone.items():
        update(loaded.maps["identities"], socket.inet_aton(peer), struct.pack("=I", identity))
        rule = struct.pack("=I", identity) + struct.pack(">H", port) + struct.pack("=H", 6)
        update(loaded.maps["policy"], rule, struct.pack("=I", 1))


@contextmanager
def one_cpu(number: int = 0) -> Iterator[None]:
    """The calling process stays on one CPU."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {number} if number in before else {min(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def repeated(program: int, data: bytes, runs: int, passes: int, returns: int) -> list[float]:
    """ns of one run, a figure for each pass. The kernel rounds down to whole ns: half of one is added.

    LabError if the program did not return what it should: then it did not do the work either.
    """
    found = []
    for _ in range(passes):
        ran = run_on(program, data, runs)
        if ran.returned != returns & 0xFFFFFFFF:
            raise LabError(f"the program returned {ran.returned}, not {returns}")
        found.append(ran.ns + 0.5)
    return found


def run(bench: Bench) -> None:
    """Every program on a packet of 64 bytes of payload; the packet is allowed by the policy."""
    runs, passes = (20_000, 3) if bench.quick else (50_000, 7)
    names = ("xdp_pass", "xdp_policy", "tc_pass", "tc_policy_in") if bench.quick else tuple(PROGRAMS)
    with Loaded("datapath", constants={"target": 1}) as loaded, one_cpu():
        allow(loaded, {CLIENT: IDENTITY, SERVER: IDENTITY}, PORT)
        reply = packet(SERVER, CLIENT)
        for name in names:
            kind, returns = PROGRAMS[name]
            program = loaded.program(name, kind)
            data = _swapped(reply) if name == "tc_policy_out" else packet()
            bench.measure({"program": name}, partial(_run_ns, program, data, runs, passes, returns))


def _run_ns(program: int, data: bytes, runs: int, passes: int, returns: int) -> dict[str, Reading | str]:
    return {"run_ns": min(repeated(program, data, runs, passes, returns))}


def _swapped(data: bytes) -> bytes:
    """With source and destination port exchanged: a packet of the answer."""
    return data[:34] + data[36:38] + data[34:36] + data[38:]


EXPERIMENTS = [
    Experiment(
        NAME,
        "XDP and tc programs that pass, drop, redirect, check a policy, in the kernel's harness [ns]",
        run,
        seconds=3,
        quick_seconds=0.6,
        needs=("bpf",),
    )
]
