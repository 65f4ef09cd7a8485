"""One hash of everything that a run counted: two runs with the same hash are the same run, bit by bit."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from meshsim.results.histogram import BatchedHistogram
from meshsim.results.run import RunResult
from meshsim.results.timeline import Timeline

LEFT_OUT = ("plan", "records")
"""The plan is what was run, not what came out; the records are a sample of it, and large."""


def fingerprint(result: RunResult) -> str:
    """sha256 (hex) over all counts and sums of a run."""
    digest = hashlib.sha256()
    for field in fields(result):
        if field.name not in LEFT_OUT:
            digest.update(field.name.encode())
            for piece in _pieces(getattr(result, field.name)):
                digest.update(piece)
    return digest.hexdigest()


def _pieces(value: Any) -> Iterator[bytes]:
    """Bytes that differ whenever the values do."""
    if isinstance(value, BatchedHistogram):
        yield from _pieces([value.batches, value.sub_bits, value.sum_ns, value.cells])
    elif isinstance(value, Timeline):
        yield from _pieces([value.width_ns, value.good, value.failed, value.latency_ns])
    elif isinstance(value, np.ndarray):
        yield f"array{value.shape}{value.dtype.str}".encode()
        there = np.flatnonzero(value)  # histograms have many more buckets than a run has filled
        yield there.tobytes()
        yield value.ravel()[there].tobytes()
    elif is_dataclass(value):
        for field in fields(value):
            yield field.name.encode()
            yield from _pieces(getattr(value, field.name))
    elif isinstance(value, dict):
        yield from _pieces(list(value.items()))
    elif isinstance(value, list | tuple):
        yield f"list{len(value)}".encode()
        if all(type(one) is int for one in value):  # the same bytes at once: most of the time would go here
            yield "".join([f"int:{one};" for one in value]).encode()
            return
        for one in value:
            yield from _pieces(one)
    elif value is None or isinstance(value, str | int | float | bool | np.generic):
        yield f"{type(value).__name__}:{value!r};".encode()
    else:
        raise TypeError(f"{type(value).__name__} has no fingerprint")
