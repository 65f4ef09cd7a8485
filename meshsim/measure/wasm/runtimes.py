"""The runtimes that Wasm modules are measured in: one class each, with the command that measures it."""

from __future__ import annotations

import importlib.util
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from meshsim.measure.lab import Lab, LabError, program
from meshsim.measure.native import tool

HERE = Path(__file__).parent


def wasmtime_library() -> Path:
    """The library in wasmtime's Python package. LabError without it."""
    found = importlib.util.find_spec("wasmtime")
    if found is None or found.origin is None:
        raise LabError("wasmtime is not installed: pip install 'meshsim[measure]'")
    libraries = sorted(Path(found.origin).parent.glob("*/_libwasmtime.so"))
    if not libraries:
        raise LabError("the package wasmtime has no library for this machine")
    return libraries[0]


@dataclass(frozen=True)
class Runtime:
    """A way to run a module."""

    name: str
    """In the names of operations."""
    words: str
    """For people."""
    needs: tuple[str, ...]
    variants: tuple[str, ...] = ()
    """How it places instances, or compiles: the first is what costs are priced by."""

    def command(self, mode: str, module: Path, *arguments: object) -> list[str]:
        """The command that measures ``mode``: compile, instances, calls, memory, compute."""
        raise NotImplementedError

    def measure(self, lab: Lab, mode: str, module: Path, *arguments: object) -> dict[str, Any]:
        """Run it, pinned to one core so that wall time is CPU time; its readings."""
        answer: dict[str, Any] = json.loads(lab.call(self.command(mode, module, *arguments), cpus=[0]))
        return answer


class Wasmtime(Runtime):
    """wasmtime through its C interface. Variants: strategies of compiling."""

    def command(self, mode: str, module: Path, *arguments: object) -> list[str]:
        """As above."""
        argv = [str(tool("wasm_runtime", library=wasmtime_library())), mode, str(module)]
        return argv + [str(a) for a in arguments]


class Node(Runtime):
    """V8, in Node.js."""

    flags: dict[str, tuple[str, ...]] = {
        "baseline": ("--liftoff-only", "--no-wasm-lazy-compilation"),
        "optimised": ("--no-liftoff", "--no-wasm-tier-up", "--no-wasm-lazy-compilation"),
        "lazy": (),
    }

    def command(self, mode: str, module: Path, *arguments: object) -> list[str]:
        """As above."""
        node = program("node")
        if node is None:
            raise LabError("node is not installed: apt-get install nodejs")
        rest = list(arguments)
        flags = self.flags[str(rest.pop())] if mode == "compile" else ("--expose-gc",)
        return [node, "--single-threaded", *flags, str(HERE / "runtime.js"), mode, str(module), *map(str, rest)]


class Interpreter(Runtime):
    """wasm3, which interprets; for compute only."""

    def command(self, mode: str, module: Path, *arguments: object) -> list[str]:
        """As above."""
        return [sys.executable, str(HERE / "interpreter.py"), str(module), *map(str, arguments)]


WASMTIME = Wasmtime("wasmtime", "wasmtime", ("wasmtime", "compiler"), ("cranelift", "winch"))
NODE = Node("v8", "V8 of Node.js", ("node",), ("baseline", "optimised", "lazy"))
WASM3 = Interpreter("wasm3", "wasm3, an interpreter", ("wasm3", "compiler"))
