"""eBPF: our own small programs in the running kernel, and what its verifier lets pass.

system.py      the bpf system call
objects.py     our compiled programs (programs/*.c, *.o): read, given constants and maps, loaded
assembler.py   instructions by hand
verifier.py    how large a program may be
testrun.py     one run of a program    maps.py    look-ups    http.py    a request line
"""

from __future__ import annotations

from meshsim.costs.book import Cost
from meshsim.measure.ebpf import http, maps, testrun, verifier
from meshsim.measure.experiment import Experiment, Samples

PARTS = (testrun, maps, http)

EXPERIMENTS: list[Experiment] = [e for part in (*PARTS, verifier) for e in part.EXPERIMENTS]


def costs(samples: Samples) -> list[Cost]:
    """What the samples of this group give."""
    return [*http.costs(samples)]
