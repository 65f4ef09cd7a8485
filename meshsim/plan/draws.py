"""Random numbers by key, never by draw order.

A number depends on (seed, request, place in the call tree, purpose) alone. Two data planes therefore see the same
arrivals, the same branches and the same service times, and the difference between them is a paired one.
The mixer is the finaliser of SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators",
OOPSLA 2014): a bijection of 64 bits, cheap in every language.
"""

from __future__ import annotations

import hashlib

MASK64 = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15
STRIDE = 0xD1342543DE82EF95


def mix(z: int) -> int:
    """Scramble 64 bits."""
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK64
    return z ^ (z >> 31)


def child_key(key: int, number: int) -> int:
    """Key of the ``number``-th child of ``key``: a request of a run, a call of a request."""
    return mix((key + (number + 1) * GOLDEN) & MASK64)


def draw(key: int, purpose: int) -> int:
    """64 random bits for one purpose at one place: ``mix``, written out because it is called for every time drawn."""
    z = key ^ (purpose + 1) * STRIDE & MASK64
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK64
    return z ^ (z >> 31)


def purpose(text: str) -> int:
    """Number of a purpose that is written in words: 31 bits, the same on every machine."""
    return int.from_bytes(hashlib.blake2s(text.encode(), digest_size=4).digest(), "big") >> 1


ARRIVAL_GAP = purpose("gap before the request")
ENTRY = purpose("which entry")
REPLICA = purpose("which replica of the service")
WAYPOINT = purpose("which replica of the waypoint")
SAMPLE = purpose("is the request kept whole")
