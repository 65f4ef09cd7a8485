"""Our Wasm modules: built by zig from ``modules/*.c``, shipped beside their sources, and grown to any size."""

from __future__ import annotations

import subprocess
from pathlib import Path

from meshsim.measure.lab import LabError
from meshsim.measure.native import zig

FOLDER = Path(__file__).parent / "modules"
NAMES = ("work", "echo", "filter")
FLAGS = (
    "-target", "wasm32-freestanding", "-O2", "-nostdlib", "-Wl,--no-entry", "-Wl,--export-dynamic", "-Wl,--strip-all",
    "-Wl,-z,stack-size=16384",
)  # fmt: skip
CODE, FUNCTIONS = 10, 3
"""Ids of sections of the binary format."""


def shipped(name: str) -> Path:
    """The compiled module that comes with the package: 'work', 'echo' or 'filter'."""
    return FOLDER / f"{name}.wasm"


def build(name: str, target: Path) -> None:
    """Compile a module anew. LabError without zig, or with its words."""
    command = zig("cc")
    if command is None:
        raise LabError("no zig: install the Python package ziglang")
    done = subprocess.run(
        [*command, *FLAGS, "-o", str(target), f"{name}.c"], cwd=FOLDER, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise LabError(f"{name}.c does not compile: {done.stderr.strip()[-800:]}")


def grown(module: bytes, size: int) -> bytes:
    """A module with its own functions repeated until it has about ``size`` bytes.

    The copies are valid code of the usual kind that a runtime compiles, and nobody calls them. ValueError if the
    bytes are no module.
    """
    if module[:8] != b"\0asm\1\0\0\0":
        raise ValueError("not a Wasm module of version 1")
    sections = _sections(module)
    types, bodies = _items(sections[FUNCTIONS], body=False), _items(sections[CODE], body=True)
    one = sum(len(body) + 2 for body in bodies)
    copies = max(0, (size - len(module)) // one)
    sections[FUNCTIONS] = _vector(types * (1 + copies))
    sections[CODE] = _vector(bodies * (1 + copies))
    return module[:8] + b"".join(bytes([number]) + _leb(len(content)) + content for number, content in sections.items())


def _sections(module: bytes) -> dict[int, bytes]:
    found, at = {}, 8
    while at < len(module):
        number = module[at]
        length, at = _read_leb(module, at + 1)
        if number:  # custom sections (names) are left out
            found[number] = module[at : at + length]
        at += length
    return found


def _items(section: bytes, *, body: bool) -> list[bytes]:
    """The entries of a vector: type indexes, or function bodies with their length in front."""
    count, at = _read_leb(section, 0)
    found = []
    for _ in range(count):
        start = at
        value, at = _read_leb(section, at)
        if body:
            at += value
        found.append(section[start:at])
    return found


def _vector(items: list[bytes]) -> bytes:
    return _leb(len(items)) + b"".join(items)


def _leb(value: int) -> bytes:
    """A number as LEB128, as the binary format writes them."""
    out = bytearray()
    while True:
        value, low = value >> 7, value & 0x7F
        out.append(low | (0x80 if value else 0))
        if not value:
            return bytes(out)


def _read_leb(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at
