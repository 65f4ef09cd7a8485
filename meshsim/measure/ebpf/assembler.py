"""eBPF instructions, one function each: for programs that no compiler would write, and no C would say so briefly.

Encoding: Documentation/bpf/standardization/instruction-set.rst of the kernel.
"""

from __future__ import annotations

import struct

R0, R1, R2, R3, R4, R6, R7, R10 = 0, 1, 2, 3, 4, 6, 7, 10
RANDOM, LOOP = 7, 181
"""Helpers: get_prandom_u32, bpf_loop."""


def op(code: int, target: int = 0, source: int = 0, offset: int = 0, value: int = 0) -> bytes:
    """Any instruction."""
    return struct.pack("<BBhi", code, target | source << 4, offset, value)


def move(target: int, value: int) -> bytes:
    """target = value."""
    return op(0xB7, target, value=value)


def copy(target: int, source: int) -> bytes:
    """target = source."""
    return op(0xBF, target, source)


def add(target: int, value: int) -> bytes:
    """target += value."""
    return op(0x07, target, value=value)


def add_register(target: int, source: int) -> bytes:
    """target += source."""
    return op(0x0F, target, source)


def jump(offset: int) -> bytes:
    """Go on ``offset`` instructions after the next."""
    return op(0x05, offset=offset)


def jump_if_equal(target: int, value: int, offset: int) -> bytes:
    """If target == value."""
    return op(0x15, target, offset=offset, value=value)


def jump_if_less(target: int, value: int, offset: int) -> bytes:
    """If target < value, unsigned."""
    return op(0xA5, target, offset=offset, value=value)


def jump_if_greater(target: int, source: int, offset: int) -> bytes:
    """If target > the register source, unsigned."""
    return op(0x2D, target, source, offset)


def load_byte(target: int, source: int, offset: int) -> bytes:
    """target = *(u8 *)(source + offset)."""
    return op(0x71, target, source, offset)


def load_word(target: int, source: int, offset: int) -> bytes:
    """target = *(u32 *)(source + offset)."""
    return op(0x61, target, source, offset)


def store_byte(target: int, offset: int, value: int) -> bytes:
    """*(u8 *)(target + offset) = value."""
    return op(0x72, target, offset=offset, value=value)


def call(helper: int) -> bytes:
    """r0 = helper(r1, …, r5)."""
    return op(0x85, value=helper)


def call_function(offset: int) -> bytes:
    """Call the function that begins ``offset`` instructions after the next."""
    return op(0x85, source=1, value=offset)


def address_of_function(target: int, offset: int) -> bytes:
    """target = address of the function that begins ``offset`` instructions after the next; two words long."""
    return op(0x18, target, source=4, value=offset) + op(0)


def leave() -> bytes:
    """Return r0."""
    return op(0x95)
