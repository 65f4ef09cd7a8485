"""Random numbers and random times: ``meshsim.plan.draws`` and ``meshsim.plan.laws``, word for word, on 64 bits."""

from __future__ import annotations

import numpy as np

from meshsim.engines.compiled import state as at
from meshsim.engines.compiled.pointers import Key, State, inlined, int64s, leading_zeros
from meshsim.plan import draws, laws

U24, U25, U27, U30, U31, U32, U33, U34, U58, ONE_U = (np.uint64(n) for n in (24, 25, 27, 30, 31, 32, 33, 34, 58, 1))
FIRST_FACTOR, SECOND_FACTOR = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
GOLDEN, STRIDE = np.uint64(draws.GOLDEN), np.uint64(draws.STRIDE)
LOW24, LOW32 = np.uint64(0xFFFFFF), np.uint64(0xFFFFFFFF)
POINTS, OCTAVES, HALF, FRACTION_BITS = laws.POINTS, laws.OCTAVES, laws.HALF, laws.FRACTION_BITS


@inlined
def mix(z: Key) -> Key:
    """Scramble 64 bits."""
    z = (z ^ (z >> U30)) * FIRST_FACTOR
    z = (z ^ (z >> U27)) * SECOND_FACTOR
    return z ^ (z >> U31)


@inlined
def child_key(key: Key, number: int) -> Key:
    """Key of the ``number``-th child of ``key``."""
    return mix(key + np.uint64(number + 1) * GOLDEN)


@inlined
def draw(key: Key, purpose: int) -> Key:
    """64 random bits."""
    return mix(key ^ (np.uint64(purpose + 1) * STRIDE))


@inlined
def high(h: Key) -> int:
    """The upper 32 bits: a fraction of 2**32."""
    return np.int64(h >> U32)


@inlined
def low(h: Key) -> int:
    """The lower 32 bits."""
    return np.int64(h & LOW32)


@inlined
def below(h: Key, n: int) -> int:
    """A number below ``n`` from the upper 32 bits; ``n`` may have 62 bits."""
    fraction = h >> U32
    wide = np.uint64(n)
    return np.int64(fraction * (wide >> U32) + (fraction * (wide & LOW32) >> U32))


@inlined
def draw_unit(S: State, law: int, h: Key) -> int:
    """The quantile for random number ``h``, in fixed point."""
    table, first = int64s(S, at.LAWS), law * POINTS
    octave = leading_zeros(h)
    if octave >= OCTAVES:
        return table[first + POINTS - 1]
    rest = h << np.uint64(octave + 1)
    index = first + (octave << 6) + 63 - np.int64(rest >> U58)
    lower = table[index]
    part = 0x1000000 - np.int64((rest >> U34) & LOW24)
    return lower + ((table[index + 1] - lower) * part >> 24)


@inlined
def draw_ns(S: State, law: int, mean_ns: int, h: Key) -> int:
    """A random time of mean ``mean_ns``, at least 1 ns."""
    return max(1, mean_ns * draw_unit(S, law, h) + HALF >> FRACTION_BITS)
