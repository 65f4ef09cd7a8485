"""The same HTTP echo service as a static C program, in Python, in Node.js, and as a Wasm module in our host."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from meshsim.measure.lab import Lab, LabError, program
from meshsim.measure.native import tool
from meshsim.measure.wasm.modules import shipped
from meshsim.measure.wasm.runtimes import wasmtime_library

HERE = Path(__file__).parent / "services"


@dataclass(frozen=True)
class App:
    """An application, made ready in a folder."""

    name: str
    files: dict[str, Path]
    """What is copied into a container's root file system: path there -> file here."""
    mounts: tuple[Path, ...]
    """Folders of the host that the container sees, read only, at the same place."""
    image: tuple[Path, ...]
    """What an image of it alone would have to hold: files and folders."""
    argv: tuple[str, ...]
    """In a container, less the port that ends it."""
    environment: dict[str, str] = field(default_factory=dict)
    tail: tuple[str, ...] = ()
    """After the port."""

    def command(self, port: int, *, inside: bool) -> list[str]:
        """How to start it, in a container or as a bare process."""
        argv = self.argv if inside else tuple(str(self.files.get(word, word)) for word in self.argv)
        return [*argv, str(port), *self.tail]

    def image_bytes(self) -> int:
        """Size of what it needs on disk, with the libraries it is linked with."""
        files: set[Path] = set()
        for path in self.image:
            files |= {p for p in path.rglob("*") if p.is_file()} if path.is_dir() else {path, *_libraries(path)}
        return sum(p.stat().st_size for p in {f.resolve() for f in files})


def _libraries(path: Path) -> set[Path]:
    done = subprocess.run(["ldd", str(path)], capture_output=True, text=True, check=False)
    words = [word for line in done.stdout.splitlines() for word in line.split() if word.startswith("/")]
    return {Path(word) for word in words}


def _static_c(lab: Lab) -> App:
    binary = tool("echo", static=True)
    return App("c", {"/app/echo": binary}, (), (binary,), ("/app/echo", "--port"))


def _python(lab: Lab) -> App:
    binary = "/usr/bin/python3"
    script = HERE / "echo.py"
    real = Path(binary).resolve()
    library = Path("/usr/lib") / real.name
    if not real.exists() or not library.is_dir():
        raise LabError(f"no Python at {binary} with its library at {library}: apt-get install python3")
    return App(
        "python", {"/app/echo.py": script}, (Path("/usr"),), (real, library, script), (binary, "-I", "/app/echo.py")
    )


def _node(lab: Lab) -> App:
    binary = program("node")
    if binary is None:
        raise LabError("node is not installed: apt-get install nodejs")
    script = HERE / "echo.js"
    return App("node", {"/app/echo.js": script}, (Path("/usr"),), (Path(binary), script), (binary, "/app/echo.js"))


def _wasm(lab: Lab) -> App:
    host = tool("wasm_serve", library=wasmtime_library())
    module = lab.folder() / "echo.cwasm"
    lab.call([str(tool("wasm_runtime", library=wasmtime_library())), "precompile", str(shipped("echo")), str(module)])
    return App(
        "wasm",
        {"/app/host": host, "/app/echo.cwasm": module},
        (Path("/usr"), wasmtime_library().parent),
        (host, module),
        ("/app/host", "/app/echo.cwasm"),
        tail=("1",),
    )


def _wasm_compiling(lab: Lab) -> App:
    host = tool("wasm_serve", library=wasmtime_library())
    module = shipped("echo")
    return App(
        "wasm-compiling",
        {"/app/host": host, "/app/echo.wasm": module},
        (Path("/usr"), wasmtime_library().parent),
        (host, module),
        ("/app/host", "/app/echo.wasm"),
        tail=("1",),
    )


APPS: dict[str, tuple[Callable[[Lab], App], tuple[str, ...]]] = {
    "c": (_static_c, ("compiler",)),
    "python": (_python, ()),
    "node": (_node, ("node",)),
    "wasm": (_wasm, ("wasmtime", "compiler")),
    "wasm-compiling": (_wasm_compiling, ("wasmtime", "compiler")),
}
"""By name: how to make it ready, and what it needs."""


def copy_files(app: App, root: Path) -> None:
    """Put an application's files into a root file system, with the usual links into /usr where that is mounted."""
    for there, here in app.files.items():
        target = root / there.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(here, target)
    for folder in ("proc", "dev", "tmp", *(str(m).lstrip("/") for m in app.mounts)):
        (root / folder).mkdir(parents=True, exist_ok=True)
    if Path("/usr") in app.mounts:
        for name in ("lib", "lib64", "bin"):
            if Path("/", name).is_symlink() and not (root / name).exists():
                (root / name).symlink_to(f"usr/{name}")
