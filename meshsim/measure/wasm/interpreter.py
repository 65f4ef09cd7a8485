"""Measures wasm3, an interpreter, through its Python package ``pywasm3``; the same answer as native/wasm_runtime.c.

usage: python interpreter.py WORK KIND LENGTH TIMES BATCHES
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from pathlib import Path


def main(file: str, kind: str, length: int, times: int, batches: int) -> None:
    """Print ns per byte of each batch, and the value of the work."""
    wasm3 = importlib.import_module("wasm3")
    environment = wasm3.Environment()
    runtime = environment.new_runtime(65536)
    module = environment.parse_module(Path(file).read_bytes())
    runtime.load(module)
    module.link_function("env", "host", "i(i)", lambda value: value + 1)
    runtime.find_function("fill")()
    work = runtime.find_function(f"{kind}_work")
    observed, value = [], 0
    for _ in range(batches):
        start = time.perf_counter_ns()
        value = work(length, times)
        observed.append((time.perf_counter_ns() - start) / (length * times))
    print(json.dumps({"ns_per_byte": observed, "value": value & 0xFFFFFFFF}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *(int(word) for word in sys.argv[3:6]))
