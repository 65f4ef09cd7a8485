"""The claim that Wasm services need 1 % of the resources and 1 % of the cold start of containers, in three readings.

The claim does not say what is compared. A new instance in a host that runs already is not what an orchestrator starts;
a host process in a container of its own is; and a module that is not compiled beforehand costs its compilation.
"""

from __future__ import annotations

from dataclasses import dataclass

from meshsim.costs.book import Cost, CostBook

CLAIM = 0.01


@dataclass(frozen=True)
class Row:
    """One reading of the claim against one container."""

    reading: str
    quantity: str
    """'cold start' in ns or 'memory' in bytes."""
    wasm: float
    container: str
    baseline: float

    @property
    def ratio(self) -> float:
        """Wasm over container."""
        return self.wasm / self.baseline

    @property
    def holds(self) -> bool:
        """Whether it is at most one percent."""
        return self.ratio <= CLAIM


def one_percent(book: CostBook, module_bytes: int = 64 << 10) -> list[Row]:
    """Rows of the table for what a book prices; ``module_bytes``: size of the module that is compiled at start."""
    entries = {entry.operation: entry for entry in book.entries}

    def wall(*operations: str) -> float | None:
        found = [entries.get(operation) for operation in operations]
        return None if None in found else sum(c.cpu_ns + c.wait_ns for c in found if c is not None)

    def memory(operation: str) -> float | None:
        found = entries.get(operation)
        return None if found is None else found.bytes

    compiling = entries.get("startup.wasm.wasmtime.compile")
    rows = []
    for launcher in ("crun", "runc"):
        container = f"startup.container.{launcher}"
        process = wall(container, "startup.process.wasm")
        compile_ns = None if compiling is None else _compile_ns(compiling, module_bytes)
        starts = {
            "new instance in a running host": wall("startup.wasm.wasmtime.instantiate"),
            "host process per pod": process,
            f"compile {module_bytes // 1024} KiB at start": None
            if process is None or compile_ns is None
            else process + compile_ns,
        }
        for app in ("c", "python", "node"):
            baseline = wall(container, f"startup.process.{app}")
            rows += [
                Row(reading, "cold start", value, f"{app} by {launcher}", baseline)
                for reading, value in starts.items()
                if value is not None and baseline
            ]
    for app in ("c", "python", "node"):
        baseline = memory(f"memory.runtime.container-{app}")
        for reading, operation in (
            ("new instance in a running host", "memory.runtime.wasm-instance"),
            ("host process per pod", "memory.runtime.wasm-host"),
        ):
            value = memory(operation)
            if value is not None and baseline:
                rows.append(Row(reading, "memory", value, app, baseline))
    return rows


def _compile_ns(entry: Cost, module_bytes: int) -> float:
    return entry.cpu_ns + entry.cpu_ns_per_byte * module_bytes
