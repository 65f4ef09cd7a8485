"""The bpf system call, as far as we need it, without any library.

A raw call and not libbpf: about a dozen commands are needed, our objects have no BTF to relocate, and the verifier
experiment wants programs that no loader would make. Programs, maps and links are file descriptors and nothing else:
nothing is pinned, so all of it vanishes with the process that holds them.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import platform
import re
import struct
import time
from dataclasses import dataclass

_SYSCALL = {"x86_64": 321, "aarch64": 280, "riscv64": 280, "loongarch64": 280, "s390x": 351, "ppc64le": 361}
_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long

MAP_CREATE, MAP_LOOKUP, MAP_UPDATE, PROG_LOAD, PROG_ATTACH, TEST_RUN = 0, 1, 2, 5, 8, 10
OBJECT_INFO, BTF_LOAD, MAP_FREEZE, MAP_UPDATE_BATCH, LINK_CREATE, ENABLE_STATS = 15, 18, 22, 26, 28, 32

NAME = b"meshsim"
"""What our programs are called in lists of programs."""
ARRAY = 2
READ_ONLY_FOR_PROGRAMS = 1 << 7


@dataclass(frozen=True)
class Kind:
    """A type of program, and where it is attached."""

    type: int
    attach: int


KINDS = {
    "xdp": Kind(6, 37),
    "tc-ingress": Kind(3, 46),
    "tc-egress": Kind(3, 47),
    "sockops": Kind(13, 3),
    "sk_msg": Kind(16, 7),
    "connect4": Kind(18, 10),
    "getsockopt": Kind(25, 21),
}


class BpfError(OSError):
    """The kernel refused; ``words`` is what its verifier said."""

    def __init__(self, code: int, what: str, words: str = "") -> None:
        super().__init__(code, f"{what}: {errno.errorcode.get(code, code)}{': ' + words if words else ''}")
        self.words = words


def bpf(command: int, attributes: bytearray, what: str) -> int:
    """One call; what it returns. ``attributes`` is written to by some commands."""
    number = _SYSCALL.get(platform.machine())
    if number is None:
        raise BpfError(errno.ENOSYS, f"bpf(2) on {platform.machine()}")
    buffer = (ctypes.c_char * len(attributes)).from_buffer(attributes)
    result = int(_libc.syscall(number, command, ctypes.byref(buffer), len(attributes)))
    if result < 0:
        raise BpfError(ctypes.get_errno(), what)
    return result


def _attributes(*fields: tuple[int, str, int | bytes], size: int = 144) -> bytearray:
    """Fields of ``union bpf_attr`` as (offset, format, value)."""
    attributes = bytearray(size)
    for offset, form, value in fields:
        struct.pack_into(f"={form}", attributes, offset, value)
    return attributes


def _address(buffer: ctypes.Array[ctypes.c_char]) -> int:
    return ctypes.addressof(buffer)


def create_map(kind: int, key_size: int, value_size: int, entries: int, flags: int = 0) -> int:
    """A map; its file descriptor."""
    fields = _attributes((0, "I", kind), (4, "I", key_size), (8, "I", value_size), (12, "I", entries), (16, "I", flags))
    return bpf(MAP_CREATE, fields, "create a map")


def update(fd: int, key: bytes, value: bytes) -> None:
    """One entry of a map."""
    keys, values = ctypes.create_string_buffer(key, len(key)), ctypes.create_string_buffer(value, len(value))
    bpf(MAP_UPDATE, _attributes((0, "I", fd), (8, "Q", _address(keys)), (16, "Q", _address(values))), "write to a map")


def update_many(fd: int, keys: bytes, values: bytes, count: int) -> None:
    """Many entries at once, one behind the other."""
    at, of = ctypes.create_string_buffer(keys, len(keys)), ctypes.create_string_buffer(values, len(values))
    fields = _attributes((16, "Q", _address(at)), (24, "Q", _address(of)), (32, "I", count), (36, "I", fd))
    bpf(MAP_UPDATE_BATCH, fields, f"write {count} entries to a map")


def look_up(fd: int, key: bytes, size: int) -> bytes | None:
    """The value at a key; None if there is none."""
    at, value = ctypes.create_string_buffer(key, len(key)), ctypes.create_string_buffer(size)
    try:
        bpf(MAP_LOOKUP, _attributes((0, "I", fd), (8, "Q", _address(at)), (16, "Q", _address(value))), "read a map")
    except BpfError as error:
        if error.errno == errno.ENOENT:
            return None
        raise
    return value.raw


def constants(content: bytes) -> int:
    """A map of one value that no one can change any more: the verifier reads it as constants."""
    fd = create_map(ARRAY, 4, len(content), 1, READ_ONLY_FOR_PROGRAMS)
    update(fd, bytes(4), content)
    bpf(MAP_FREEZE, _attributes((0, "I", fd)), "freeze a map")
    return fd


@dataclass(frozen=True)
class Verdict:
    """What the verifier says of a program."""

    fd: int
    """-1 if it was refused."""
    error: str
    """EACCES, E2BIG …; empty if it was accepted."""
    words: str
    """Its own words: why it was refused."""
    processed: int
    """Instructions that it walked through; 0 if it does not say."""
    limit: int
    """How many it would have walked through at most; 0 if it does not say."""
    verify_ns: float
    """How long loading took, just-in-time compiler included."""

    def close(self) -> None:
        """Give the program back."""
        if self.fd >= 0:
            os.close(self.fd)


def judge(instructions: bytes, kind: Kind, btf: int = 0, functions: bytes = b"") -> Verdict:
    """Give a program to the verifier. ``functions``: (offset, type) records of 8 bytes, where it has several."""
    text = ctypes.create_string_buffer(instructions, len(instructions))
    licence = ctypes.create_string_buffer(b"Apache-2.0")
    log = ctypes.create_string_buffer(1 << 16)
    records = ctypes.create_string_buffer(functions, max(len(functions), 1))
    fields = _attributes(
        (0, "I", kind.type), (4, "I", len(instructions) // 8), (8, "Q", _address(text)), (16, "Q", _address(licence)),
        (24, "I", 4), (28, "I", len(log)), (32, "Q", _address(log)), (48, "16s", NAME), (68, "I", kind.attach),
        *([(72, "I", btf), (76, "I", 8), (80, "Q", _address(records)), (88, "I", len(functions) // 8)] if btf else []),
    )  # fmt: skip
    began = time.perf_counter_ns()
    try:
        fd, error = bpf(PROG_LOAD, fields, "load a program"), ""
    except BpfError as refusal:
        fd, error = -1, errno.errorcode.get(refusal.errno or 0, str(refusal.errno))
    took = time.perf_counter_ns() - began
    said = log.value.decode(errors="replace")
    processed = re.search(r"processed (\d+) insns \(limit (\d+)\)", said)
    reasons = [
        line
        for line in said.splitlines()
        if not re.match(r"(verification time|stack depth|processed|cur state:|old state:|\* Please)", line)
    ]
    walked, limit = (int(processed.group(1)), int(processed.group(2))) if processed else (0, 0)
    return Verdict(fd, error, " / ".join(reasons[-2:]), walked, limit, float(took))


def load(instructions: bytes, kind: Kind, name: str, btf: int = 0, functions: bytes = b"") -> int:
    """A program that the verifier accepts; its file descriptor. BpfError with the verifier's words if it does not."""
    verdict = judge(instructions, kind, btf, functions)
    if verdict.fd < 0:
        raise BpfError(getattr(errno, verdict.error, errno.EINVAL), f"load {name}", verdict.words)
    return verdict.fd


def load_btf(content: bytes) -> int:
    """Type information; its file descriptor."""
    buffer = ctypes.create_string_buffer(content, len(content))
    return bpf(BTF_LOAD, _attributes((0, "Q", _address(buffer)), (16, "I", len(content))), "load type information")


def link(program: int, target: int, kind: Kind, flags: int = 0) -> int:
    """Attach a program to a cgroup (file descriptor) or an interface (index in the caller's network namespace).

    The attachment is the file descriptor that is returned.
    """
    fields = _attributes((0, "I", program), (4, "I", target), (8, "I", kind.attach), (12, "I", flags), size=64)
    return bpf(LINK_CREATE, fields, "attach a program")


def attach_to_map(program: int, sockets: int) -> None:
    """Attach an sk_msg program to a map of sockets; it goes when the map goes."""
    fields = _attributes((0, "I", sockets), (4, "I", program), (8, "I", KINDS["sk_msg"].attach), size=32)
    bpf(PROG_ATTACH, fields, "attach a program to a map of sockets")


@dataclass(frozen=True)
class Run:
    """What BPF_PROG_TEST_RUN gave."""

    returned: int
    ns: int
    """Of one run, as the kernel says it: a whole number, rounded down."""
    data: bytes
    """The packet afterwards."""


def run_on(program: int, packet: bytes, runs: int) -> Run:
    """Run a program of a packet ``runs`` times on it."""
    data, after = ctypes.create_string_buffer(packet, len(packet)), ctypes.create_string_buffer(len(packet))
    fields = _attributes(
        (0, "I", program), (8, "I", len(packet)), (12, "I", len(packet)), (16, "Q", _address(data)),
        (24, "Q", _address(after)), (32, "I", runs), size=80,
    )  # fmt: skip
    bpf(TEST_RUN, fields, "run a program")
    returned, ns = struct.unpack_from("=I", fields, 4)[0], struct.unpack_from("=I", fields, 36)[0]
    return Run(returned, ns, after.raw)


def statistics() -> int:
    """Have the kernel time every run of every program, until the file descriptor is closed.

    The same as the setting kernel.bpf_stats_enabled, but it ends with us whatever happens.
    """
    return bpf(ENABLE_STATS, _attributes((0, "I", 0), size=16), "switch on run statistics")


def ran(program: int) -> tuple[int, int]:
    """(ns, runs) that a program was seen to run while statistics were on."""
    info = ctypes.create_string_buffer(232)
    fields = _attributes((0, "I", program), (4, "I", len(info)), (8, "Q", _address(info)), size=16)
    bpf(OBJECT_INFO, fields, "ask about a program")
    ns, runs = struct.unpack_from("=QQ", info.raw, 192)
    return int(ns), int(runs)


_RETURN_0 = bytes.fromhex("b7000000000000009500000000000000")  # r0 = 0; exit


def can_load() -> str:
    """Whether this process may load programs, and into what; empty if not."""
    with contextlib.suppress(OSError):
        os.close(load(_RETURN_0, KINDS["xdp"], "the smallest program"))
        return f"{platform.system()} {platform.release()}, programs load"
    return ""


def can_link_to_tc() -> str:
    """Whether programs can be attached to tc by links (tcx, Linux 6.6), which vanish by themselves."""
    with contextlib.suppress(OSError):
        program = load(_RETURN_0, KINDS["tc-ingress"], "the smallest program")
        try:
            os.close(link(program, 0x7FFFFFFF, KINDS["tc-ingress"]))  # no such interface, so nothing is attached
        except BpfError as error:
            return "tcx" if error.errno == errno.ENODEV else ""
        finally:
            os.close(program)
    return ""
