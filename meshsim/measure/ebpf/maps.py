"""Look-ups in maps, by type and size: random keys, one look-up after the other."""

from __future__ import annotations

import struct
from functools import partial

import numpy as np

from meshsim.costs.book import Cost
from meshsim.measure.bench import Bench
from meshsim.measure.book import cost
from meshsim.measure.ebpf.objects import Loaded
from meshsim.measure.ebpf.system import run_on, update_many
from meshsim.measure.ebpf.testrun import one_cpu
from meshsim.measure.experiment import Experiment, Reading, Samples
from meshsim.measure.fit import best
from meshsim.measure.lab import LabError

NAME = "ebpf.map-look-up"
LOOKUPS = 8
"""In one run of a program (programs/maps.c)."""
TYPES = ("array", "percpu_array", "hash", "lru_hash")
SIZES = (1, 64, 1024, 16_384, 131_072, 1_048_576)
QUICK_SIZES = (1, 65_536)


def run(bench: Bench) -> None:
    """Every type at every size. What choosing the keys costs, and the harness, is taken off in the same round."""
    runs, passes = (10_000, 2) if bench.quick else (20_000, 4)
    sizes = QUICK_SIZES if bench.quick else SIZES
    with one_cpu():
        for kind in TYPES:
            for size in sizes:
                # An LRU map throws out entries before it is full: it gets twice the room, and so twice the buckets.
                with Loaded("maps", entries={kind: 2 * size if kind == "lru_hash" else size}) as loaded:
                    _fill(loaded.maps[kind], kind, size)
                    program = loaded.program(f"look_{kind}", "tc-ingress")
                    nothing = loaded.program("look_nothing", "tc-ingress")
                    bench.measure(
                        {"type": kind, "entries": size}, partial(_look_up_ns, program, nothing, size, runs, passes)
                    )


def _look_up_ns(program: int, nothing: int, size: int, runs: int, passes: int) -> dict[str, Reading | str]:
    with_look_ups, without = [], []
    for seed in range(passes):
        start = struct.pack("=III", 12345 + seed, size - 1, 0).ljust(64, b"\0")
        ran = run_on(program, start, runs)
        if struct.unpack_from("=I", ran.data, 8)[0]:
            raise LabError("a key was not in the map")
        with_look_ups.append(ran.ns)
        without.append(run_on(nothing, start, runs).ns)
    return {"look_up_ns": (min(with_look_ups) - min(without)) / LOOKUPS}


def _fill(fd: int, kind: str, size: int) -> None:
    """All keys from 0, all values 0."""
    if kind == "percpu_array" or kind == "array":
        return  # arrays are full of zeros from the start
    keys = np.zeros((size, 4), np.uint32)
    keys[:, 0] = np.arange(size)
    for first in range(0, size, 65_536):
        chunk = keys[first : first + 65_536]
        update_many(fd, chunk.tobytes(), bytes(8 * len(chunk)), len(chunk))


PRICED = 1024
"""Entries of the map whose look-up is priced: as many services or peers as a large cluster has."""


def costs(samples: Samples) -> list[Cost]:
    """kernel.ebpf.map.<type>: a look-up in a map that stays in the processor's caches; other sizes are said."""
    made = []
    for kind in TYPES:
        rows = samples.points(NAME, "entries", "look_up_ns", type=kind)
        sizes = sorted(set(rows[:, 1]))
        if not sizes:
            continue
        by_size = {int(size): best(rows[rows[:, 1] == size, 2]) for size in sizes}
        size = min(by_size, key=lambda s: abs(s - PRICED))
        others = ", ".join(f"{entries}: {one.value:.1f} ns" for entries, one in by_size.items())
        name = f"kernel.ebpf.map.{kind.replace('_', '-')}"
        made.append(
            cost(
                name,
                "look-up",
                experiment=NAME,
                reference=f"{size} entries, random keys, each look-up waits for the one before. By entries: {others}",
                conditions="keys of 4 bytes in arrays, of 16 in hashes; values of 8 bytes",
                cpu=by_size[size],
                kernel_share=1.0,
                taken_off="the harness and the choice of keys: the same program without look-ups, in the same round",
            )
        )
    return made


EXPERIMENTS = [
    Experiment(
        NAME,
        "look-ups in array, per-CPU array, hash and LRU maps of 1 … 1M entries, random keys [ns]",
        run,
        seconds=7,
        quick_seconds=1.2,
        needs=("bpf",),
    )
]
