"""Pointers into arrays of numpy, and one machine instruction that numba does not name.

A function that takes an array counts its references at every call, which costs more than what the function does. A
pointer is a plain number: the mechanisms of the engine can have a function and a file each, and are still inlined into
one loop. Nothing checks a pointer: the arrays behind it are kept alive and large enough by ``memory.py``.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

_WORD = {types.int64: ir.IntType(64), types.uint64: ir.IntType(64), types.int32: ir.IntType(32)}


def _pointer_to(kind: Any) -> Any:
    def pointer(typing_context: Any, address: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.inttoptr(arguments[0], _WORD[kind].as_pointer())

        return types.CPointer(kind)(types.int64), generate

    return pointer


int64s = intrinsic(_pointer_to(types.int64))
"""int64s(address): the array of 64-bit integers at an address."""
uint64s = intrinsic(_pointer_to(types.uint64))
int32s = intrinsic(_pointer_to(types.int32))


@intrinsic
def leading_zeros(typing_context: Any, value: Any) -> Any:
    """Leading zero bits of 64; 64 for zero."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctlz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), generate
