"""Our C programs, compiled on the spot: by the host's compiler, or by the one that comes from PyPI as ``ziglang``."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from meshsim.measure.lab import LabError, program

SOURCES = Path(__file__).parent / "native"
FLAGS = ("-O2", "-std=gnu11", "-Wall", "-pthread")


def compiler() -> list[str] | None:
    """Command of a C compiler; None if there is none."""
    for name in ("cc", "gcc", "clang"):
        path = program(name)
        if path is not None:
            return [path]
    return zig("cc")


def zig(tool: str) -> list[str] | None:
    """Command of a tool of the zig that comes from PyPI ('cc', 'objcopy'), which compiles for any target."""
    return [sys.executable, "-m", "ziglang", tool] if importlib.util.find_spec("ziglang") else None


@functools.cache
def tool(name: str, *, static: bool = False, library: Path | None = None, prefer_zig: bool = False) -> Path:
    """Path of the compiled program ``native/<name>.c``. Compiled once for each version of its source.

    ``library``: a shared library that it is linked with, and finds where it lies. ``prefer_zig``: by the compiler that
    also builds the Wasm modules, if it is there. LabError if there is no compiler, or with the compiler's words.
    """
    command = (zig("cc") if prefer_zig else None) or compiler()
    if command is None:
        raise LabError("no C compiler: install one (Debian: gcc) or the Python package ziglang")
    source = SOURCES / f"{name}.c"
    flags = [*FLAGS, *(["-static"] if static else [])]
    linked = [] if library is None else [str(library), f"-Wl,-rpath,{library.parent}"]
    stamp = hashlib.sha256(repr((command, flags, linked)).encode() + _with_headers(source)).hexdigest()[:16]
    target = _cache() / f"{name}-{stamp}"
    if not target.exists():
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            fresh = Path(folder) / name
            done = subprocess.run(
                [*command, *flags, "-o", str(fresh), str(source), *linked, "-lm"],
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                raise LabError(f"{source.name} does not compile: {done.stderr.strip()[-800:]}")
            fresh.replace(target)  # whole or not at all, also when two runs compile at once
    return target


def _with_headers(source: Path) -> bytes:
    """A source and the headers of ours that it includes, and theirs."""
    text = source.read_bytes()
    for name in re.findall(rb'^#include "(.+)"', text, re.MULTILINE):
        text += _with_headers(source.parent / name.decode())
    return text


def _cache() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    path = Path(home) / "meshsim"
    try:
        path.mkdir(parents=True, exist_ok=True)
        if os.access(path, os.W_OK):
            return path
    except OSError:
        pass
    path = Path(tempfile.gettempdir()) / f"meshsim-cache-{os.getuid()}"
    path.mkdir(mode=0o700, exist_ok=True)
    return path
