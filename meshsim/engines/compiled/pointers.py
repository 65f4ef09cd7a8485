"""Pointers into arrays of numpy, and one machine instruction that numba does not name.

A function that takes an array counts its references at every call, which costs more than what the function does. A
pointer is a plain number: the mechanisms of the engine can have a function and a file each, and are still inlined into
one loop. Nothing checks a pointer: the arrays behind it are kept alive and large enough by ``memory.py``.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, TypeAlias

from llvmlite import ir
from numba import njit, types
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model

WIDE, NARROW = ir.IntType(64), ir.IntType(32)


class Int32s(types.Type):
    """An array of 32-bit integers that are read and written as 64 bits: the loop knows no other width."""

    def __init__(self) -> None:
        super().__init__(name="Int32s")


@register_model(Int32s)
class _Int32sModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, NARROW.as_pointer())


NARROW_ARRAY = Int32s()


@infer_global(operator.getitem)
class _Get(AbstractTemplate):
    def generic(self, args: Any, kws: Any) -> Any:
        return signature(types.int64, args[0], types.int64) if isinstance(args[0], Int32s) else None


@infer_global(operator.setitem)
class _Set(AbstractTemplate):
    def generic(self, args: Any, kws: Any) -> Any:
        return signature(types.none, args[0], types.int64, types.int64) if isinstance(args[0], Int32s) else None


@lower_builtin(operator.getitem, Int32s, types.int64)
def _get(context: Any, builder: Any, signature_: Any, arguments: Any) -> Any:
    array, index = arguments
    return builder.sext(builder.load(builder.gep(array, [index])), WIDE)


@lower_builtin(operator.setitem, Int32s, types.int64, types.int64)
def _set(context: Any, builder: Any, signature_: Any, arguments: Any) -> Any:
    array, index, value = arguments
    builder.store(builder.trunc(value, NARROW), builder.gep(array, [index]))
    return context.get_dummy_value()


def _pointer(kind: Any, element: Any) -> Any:
    def pointer(typing_context: Any, state: Any, field: Any) -> Any:
        def generate(context: Any, builder: Any, signature_: Any, arguments: Any) -> Any:
            address = builder.load(builder.gep(arguments[0], [arguments[1]]))
            # No array moves while the loop runs: one look at an address is enough for a whole function.
            address.set_metadata("invariant.load", builder.module.add_metadata([]))
            return builder.inttoptr(address, element.as_pointer())

        return kind(types.CPointer(types.int64), types.int64), generate

    return intrinsic(pointer)


int64s = _pointer(types.CPointer(types.int64), WIDE)
"""int64s(S, field): the array of 64-bit integers whose address is in a field of the state."""
uint64s = _pointer(types.CPointer(types.uint64), WIDE)
int32s = _pointer(NARROW_ARRAY, NARROW)


@intrinsic
def state_at(typing_context: Any, address: Any) -> Any:
    """The state, by its address."""

    def generate(context: Any, builder: Any, signature_: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], WIDE.as_pointer())

    return types.CPointer(types.int64)(types.int64), generate


@intrinsic
def fixed(typing_context: Any, state: Any, field: Any) -> Any:
    """A number of the state that does not change while the loop runs."""

    def generate(context: Any, builder: Any, signature_: Any, arguments: Any) -> Any:
        number = builder.load(builder.gep(arguments[0], [arguments[1]]))
        number.set_metadata("invariant.load", builder.module.add_metadata([]))
        return number

    return types.int64(types.CPointer(types.int64), types.int64), generate


@intrinsic
def leading_zeros(typing_context: Any, value: Any) -> Any:
    """Leading zero bits of 64; 64 for zero."""

    def generate(context: Any, builder: Any, signature_: Any, arguments: Any) -> Any:
        return builder.ctlz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), generate


@intrinsic
def prefetch(typing_context: Any, state: Any, field: Any, offset: Any) -> Any:
    """Fetch the line of memory at so many bytes behind the beginning of an array: it will be needed soon."""

    def generate(context: Any, builder: Any, signature_: Any, arguments: Any) -> Any:
        address = builder.load(builder.gep(arguments[0], [arguments[1]]))
        address.set_metadata("invariant.load", builder.module.add_metadata([]))
        pointer = builder.inttoptr(builder.add(address, arguments[2]), ir.IntType(8).as_pointer())
        numbers = [ir.Constant(NARROW, value) for value in (0, 3, 1)]  # to read, to keep, data
        kind = ir.FunctionType(ir.VoidType(), [pointer.type, NARROW, NARROW, NARROW])
        builder.call(builder.module.declare_intrinsic("llvm.prefetch", [pointer.type], kind), [pointer, *numbers])
        return context.get_dummy_value()

    return types.none(types.CPointer(types.int64), types.int64, types.int64), generate


Key: TypeAlias = Any
"""A random number, or the key of one: 64 bits without sign."""
Int64s: TypeAlias = Any
State: TypeAlias = Any
"""The state, ``S``: see ``state.py``."""

_KINDS = {
    "int": types.int64, "bool": types.boolean, "Key": types.uint64, "State": types.CPointer(types.int64),
    "Int32s": NARROW_ARRAY, "Int64s": types.CPointer(types.int64),
}  # fmt: skip


def _compiled_once(function: Callable[..., Any], forced: bool) -> Any:
    options = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, "error_model": "numpy", "forceinline": forced}
    compiled = njit(**options)(function)
    kinds = tuple(_KINDS[kind] for name, kind in function.__annotations__.items() if name != "return")
    resolve = compiled.get_call_template
    compiled.get_call_template = lambda args, kws: resolve(kinds, {})
    return compiled


def native(function: Callable[..., Any]) -> Any:
    """A function of the loop. It is compiled once, for the kinds that its annotations say; else numba would compile it
    again for every constant that it is called with."""
    return _compiled_once(function, False)


def inlined(function: Callable[..., Any]) -> Any:
    """The same, for what every event goes through: a call costs more than most of these do."""
    return _compiled_once(function, True)
