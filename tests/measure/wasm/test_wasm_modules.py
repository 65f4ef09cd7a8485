"""The shipped Wasm modules come from their sources, and grow to any size without becoming invalid."""

import ctypes
import importlib

import pytest

from meshsim.measure.doctor import capability
from meshsim.measure.lab import Lab
from meshsim.measure.native import zig
from meshsim.measure.wasm.modules import NAMES, build, grown, shipped
from meshsim.measure.wasm.runtimes import NODE, WASMTIME

needs_wasmtime = pytest.mark.skipif(not capability("wasmtime").ok, reason=capability("wasmtime").remedy)


@pytest.mark.skipif(zig("cc") is None, reason="pip install 'meshsim[measure]' (package ziglang)")
@pytest.mark.parametrize("name", NAMES)
def test_shipped_modules_are_what_their_sources_give(name, tmp_path):
    fresh = tmp_path / f"{name}.wasm"
    build(name, fresh)
    assert fresh.read_bytes() == shipped(name).read_bytes(), f"rebuild modules/{name}.wasm with modules.build"


@pytest.mark.parametrize("size", [1 << 10, 8 << 10, 100_000])
def test_grown_modules_have_the_size_asked_for(size):
    source = shipped("filter").read_bytes()
    module = grown(source, size)
    assert len(module) == pytest.approx(max(size, len(source)), rel=0.25)
    assert grown(module, 0) == module  # its sections are read and written without loss


def test_what_is_no_module_is_refused():
    with pytest.raises(ValueError, match="not a Wasm module"):
        grown(b"\x7fELF" + bytes(100), 1000)


@needs_wasmtime
@pytest.mark.skipif(not capability("compiler").ok, reason=capability("compiler").remedy)
def test_grown_modules_are_valid_and_broken_ones_are_not(tmp_path):
    module = tmp_path / "grown.wasm"
    module.write_bytes(grown(shipped("filter").read_bytes(), 20_000))
    with Lab() as lab:
        assert WASMTIME.measure(lab, "compile", module, 1, "cranelift")["compile_ns"][0] > 0
        module.write_bytes(module.read_bytes()[:-50])
        with pytest.raises(RuntimeError, match=r"grown\.wasm"):
            WASMTIME.measure(lab, "compile", module, 1, "cranelift")


@needs_wasmtime
@pytest.mark.skipif(not capability("node").ok, reason=capability("node").remedy)
def test_the_same_work_gives_the_same_value_everywhere():
    with Lab() as lab:
        for kind in ("hash", "sum", "parse"):
            values = {
                r.name: r.measure(lab, "compute", shipped("work"), kind, 5000, 1, 2)["value"] for r in (WASMTIME, NODE)
            }
            assert len(set(values.values())) == 1, (kind, values)


@needs_wasmtime
def test_our_declarations_of_wasmtime_match_its_python_package():
    """Sizes and numbers that wasmtime_api.h writes by hand."""
    bindings = importlib.import_module("wasmtime._bindings")
    assert ctypes.sizeof(bindings.wasmtime_func) == 16
    assert ctypes.sizeof(bindings.wasmtime_memory) == 24
    assert ctypes.sizeof(bindings.wasmtime_instance) == 16
    assert ctypes.sizeof(bindings.wasmtime_extern) <= 40
    assert bindings.wasmtime_extern.of.offset == 8
    assert ctypes.sizeof(bindings.wasmtime_val_raw) == 16
    numbers = importlib.import_module("wasmtime._ffi")
    assert numbers.WASMTIME_EXTERN_FUNC.value == 0
    assert numbers.WASMTIME_EXTERN_MEMORY.value == 3
    strategies = [entry.name.rpartition("_")[2] for entry in bindings.wasmtime_strategy_enum]
    assert strategies == ["AUTO", "CRANELIFT", "WINCH"]  # numbered from 0 in C
