"""Our compiled programs: read from their ELF objects, given their constants and maps, loaded.

The sources are in ``programs/``; the objects beside them are shipped, so that a host needs no compiler, and are
what ``build`` makes of the sources, byte for byte.
"""

from __future__ import annotations

import contextlib
import errno
import os
import struct
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from meshsim.measure.ebpf import system
from meshsim.measure.lab import LabError
from meshsim.measure.native import zig

PROGRAMS = Path(__file__).parent / "programs"
FLAGS = (
    "-target", "bpfel-freestanding", "-O2", "-std=gnu11", "-Wall", "-Werror", "-g0", "-fno-ident",
    "-fno-stack-protector", "-fno-sanitize=undefined", "-fno-asynchronous-unwind-tables",
)  # fmt: skip
"""No debugging information and no compiler's name: what is built anywhere is the same."""

LOAD_ADDRESS = 0x18  # ld_imm64, the one instruction of two words
FROM_MAP, FROM_MAP_VALUE, FROM_FUNCTION = 1, 2, 4


def build(name: str, target: Path) -> None:
    """Compile ``programs/<name>.c`` with the zig of PyPI. LabError with its words if that fails."""
    command = zig("cc")
    if command is None:
        raise LabError("no zig: pip install 'meshsim[measure]' (package ziglang)")
    done = subprocess.run(
        [*command, *FLAGS, "-c", "-o", str(target.absolute()), f"{name}.c"],
        cwd=PROGRAMS, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise LabError(f"{name}.c does not compile: {done.stderr.strip()[-800:]}")


@dataclass(frozen=True)
class Symbol:
    """A name in an object: which section, where in it."""

    name: str
    section: int
    offset: int
    function: bool


class Object:
    """An ELF object of eBPF programs: one section a program, ``maps``, ``.rodata``. ValueError if it is none."""

    def __init__(self, content: bytes) -> None:
        if content[:6] != b"\x7fELF\x02\x01" or struct.unpack_from("<H", content, 18)[0] != 247:
            raise ValueError("not a little-endian ELF object of eBPF programs")
        table = struct.unpack_from("<Q", content, 40)[0]
        size, count, names = struct.unpack_from("<HHH", content, 58)
        headers = [struct.unpack_from("<IIQQQQIIQQ", content, table + i * size) for i in range(count)]
        self.sections = [content[h[4] : h[4] + h[5]] if h[1] != 8 else bytes(h[5]) for h in headers]
        self.names = [_text(self.sections[names], h[0]) for h in headers]
        symbols = next(i for i, h in enumerate(headers) if h[1] == 2)
        strings = self.sections[headers[symbols][6]]
        self.symbols = [
            Symbol(_text(strings, name), section, value, info & 15 == 2)
            for name, info, _, section, value, _ in struct.iter_unpack("<IBBHQQ", self.sections[symbols])
        ]
        self.relocations: dict[int, list[tuple[int, Symbol]]] = {}
        """By section: (offset of the instruction, what it refers to)."""
        for header, section in zip(headers, self.sections, strict=True):
            if header[1] == 9:
                self.relocations[header[7]] = [
                    (offset, self.symbols[info >> 32]) for offset, info in struct.iter_unpack("<QQ", section)
                ]

    def section(self, name: str) -> int | None:
        """Number of a section."""
        return self.names.index(name) if name in self.names else None

    @property
    def programs(self) -> list[str]:
        """Names of the programs in it."""
        return [name.removeprefix("program/") for name in self.names if name.startswith("program/")]

    @property
    def maps(self) -> dict[str, tuple[int, int, int, int, int]]:
        """By name: type, size of key and value, entries, flags."""
        number = self.section("maps")
        found = [s for s in self.symbols if s.section == number and s.name] if number is not None else []
        return {s.name: struct.unpack_from("<IIIII", self.sections[s.section], s.offset) for s in found}


def _text(strings: bytes, at: int) -> str:
    return strings[at : strings.index(b"\0", at)].decode()


class Loaded:
    """The maps of an object in the kernel, and those of its programs that are asked for; all gone at the end.

    ``entries``: other sizes of maps than the source says. ``constants``: values of its ``const volatile`` numbers.
    """

    def __init__(
        self, name: str, *, entries: Mapping[str, int] | None = None, constants: Mapping[str, int] | None = None
    ) -> None:
        self.name = name
        self.object = Object((PROGRAMS / f"{name}.o").read_bytes())
        self.stack = contextlib.ExitStack()
        self.maps: dict[str, int] = {}
        try:
            for key, (kind, key_size, value_size, size, flags) in self.object.maps.items():
                size = (entries or {}).get(key, size)
                self.maps[key] = self._keep(system.create_map(kind, key_size, value_size, size, flags))
            self.constants = self._constants(constants or {})
        except BaseException:
            self.stack.close()
            raise

    def __enter__(self) -> Loaded:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stack.close()

    def _keep(self, fd: int) -> int:
        self.stack.callback(os.close, fd)
        return fd

    def _constants(self, values: Mapping[str, int]) -> int | None:
        number = self.object.section(".rodata")
        if number is None:
            return None
        content = bytearray(self.object.sections[number])
        places = {s.name: s.offset for s in self.object.symbols if s.section == number and s.name}
        for name, value in values.items():
            struct.pack_into("=I", content, places[name], value)
        return self._keep(system.constants(bytes(content)))

    def instructions(self, program: str) -> bytes:
        """The text of a program, with its maps, constants and functions filled in."""
        number = self.object.section(f"program/{program}")
        if number is None:
            raise ValueError(f"{self.name}.o: no program {program!r}; it has {', '.join(self.object.programs)}")
        text = bytearray(self.object.sections[number])
        for at, symbol in self.object.relocations.get(number, []):
            if text[at] != LOAD_ADDRESS:
                raise ValueError(f"{self.name}.o: {program}: a relocation of a kind that is not known")
            if symbol.name in self.maps:
                _patch(text, at, FROM_MAP, self.maps[symbol.name], 0)
            elif symbol.section == number:
                offset = struct.unpack_from("<i", text, at + 4)[0] + symbol.offset
                _patch(text, at, FROM_FUNCTION, (offset - at) // 8 - 1, 0)
            elif self.constants is not None and symbol.section == self.object.section(".rodata"):
                offset = struct.unpack_from("<i", text, at + 4)[0] + symbol.offset
                _patch(text, at, FROM_MAP_VALUE, self.constants, offset)
            else:
                raise ValueError(f"{self.name}.o: {program}: refers to {symbol.name!r}, which is not in the object")
        return bytes(text)

    def _functions(self, program: str) -> list[tuple[str, int]]:
        number = self.object.section(f"program/{program}")
        found = [s for s in self.object.symbols if s.section == number and s.function]
        return [(s.name, s.offset // 8) for s in sorted(found, key=lambda s: s.offset)]

    def judge(self, program: str, kind: str) -> system.Verdict:
        """What the verifier says of a program."""
        functions = self._functions(program)
        if len(functions) < 2:
            return system.judge(self.instructions(program), system.KINDS[kind])
        btf = system.load_btf(type_information([name for name, _ in functions]))
        try:
            return system.judge(self.instructions(program), system.KINDS[kind], btf, function_records(functions))
        finally:
            os.close(btf)

    def program(self, program: str, kind: str) -> int:
        """Load a program; its file descriptor. BpfError with the verifier's words if it refuses."""
        verdict = self.judge(program, kind)
        if verdict.fd < 0:
            raise system.BpfError(
                getattr(errno, verdict.error, errno.EINVAL), f"load {program} of {self.name}", verdict.words
            )
        return self._keep(verdict.fd)


def _patch(text: bytearray, at: int, source: int, low: int, high: int) -> None:
    text[at + 1] = text[at + 1] & 15 | source << 4
    struct.pack_into("<i", text, at + 4, low)
    struct.pack_into("<i", text, at + 12, high)


def type_information(functions: list[str]) -> bytes:
    """The least BTF with which the kernel lets one function be called by bpf_loop: that they are functions.

    Layout: Documentation/bpf/btf.rst of the kernel. Types: 1 int, 2 int (void), from 3 the functions.
    """
    strings = bytearray(b"\0int\0")
    types = struct.pack("<IIII", 1, 1 << 24, 4, 1 << 24 | 32) + struct.pack("<III", 0, 13 << 24, 1)
    for name in functions:
        types += struct.pack("<III", len(strings), 12 << 24, 2)  # static
        strings += name.encode() + b"\0"
    header = struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(types), len(types), len(strings))
    return header + types + bytes(strings)


def function_records(functions: list[tuple[str, int]]) -> bytes:
    """Where each function begins, as (instruction, type)."""
    return b"".join(struct.pack("=II", at, 3 + number) for number, (_, at) in enumerate(functions))
