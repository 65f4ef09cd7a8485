"""L7 in the kernel: an HTTP/1.1 request line parsed by eBPF, in a plain loop and under bpf_loop, by its length.

How long a line the verifier lets a plain loop parse is another question: ``verifier.table``.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from meshsim.costs.book import Cost
from meshsim.measure.bench import Bench
from meshsim.measure.book import cost
from meshsim.measure.ebpf.objects import Loaded
from meshsim.measure.ebpf.testrun import one_cpu, repeated
from meshsim.measure.experiment import Experiment, Reading, Samples
from meshsim.measure.fit import line

NAME = "ebpf.http-parser"
PASS = 0
BYTES = {"check": (32, 64, 128, 256), "find": (24, 32, 40), "find_called": (32, 64, 128, 256, 512, 1024, 2048)}
"""Lengths by program: as far as the verifier lets each go, with room."""


def request_line(size: int) -> bytes:
    """A request line of so many bytes, its end included."""
    return b"GET /" + b"a" * (size - 16) + b" HTTP/1.1\r\n"


def run(bench: Bench) -> None:
    """Every program at every length; what the harness costs is taken off."""
    runs, passes = (5_000, 3) if bench.quick else (10_000, 5)
    with one_cpu():
        for name, lengths in BYTES.items():
            with Loaded("http", constants={"bound": max(lengths)}) as loaded, Loaded("datapath") as idle:
                program, nothing = loaded.program(name, "tc-ingress"), idle.program("tc_accept", "tc-ingress")
                for size in lengths[:: 3 if bench.quick else 1]:
                    take = partial(_parse_ns, program, nothing, request_line(size), runs, passes)
                    bench.measure({"program": name, "bytes": size}, take)


def _parse_ns(program: int, nothing: int, text: bytes, runs: int, passes: int) -> dict[str, Reading | str]:
    parsing = min(repeated(program, text, runs, passes, PASS))
    return {"parse_ns": parsing - min(repeated(nothing, text, runs, passes, PASS))}


def costs(samples: Samples) -> list[Cost]:
    """kernel.ebpf.http-parser.request: a request line parsed under bpf_loop, which any length can be."""
    points = samples.points(NAME, "bytes", "parse_ns", program="find_called")
    if len(set(points[:, 1])) < 2:
        return []
    # Nearly all of it is by byte: how sure that part is, is how sure the entry is.
    found = line(points)
    fixed = replace(found.fixed, error=abs(found.fixed.value) * found.per_unit.relative_error)
    return [
        cost(
            "kernel.ebpf.http-parser.request",
            "request line",
            experiment=NAME,
            reference="our parser of HTTP/1.1 request lines under bpf_loop; line through lengths; per byte of the line",
            cpu=replace(found, fixed=fixed),
            kernel_share=1.0,
            conditions="32 to 2048 bytes, warm caches",
            taken_off="what the harness costs: a program that does nothing, in the same round",
        )
    ]


EXPERIMENTS = [
    Experiment(
        NAME,
        "an HTTP/1.1 request line parsed in a plain loop and under bpf_loop, by length [ns]",
        run,
        seconds=4,
        quick_seconds=1.5,
        needs=("bpf",),
    )
]
