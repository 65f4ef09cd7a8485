"""eBPF: our own small programs in the running kernel, and what its verifier lets pass.

system.py      the bpf system call
objects.py     our compiled programs (programs/*.c, *.o): read, given constants and maps, loaded
assembler.py   instructions by hand
verifier.py    how large a program may be
testrun.py     one run of a program    maps.py    look-ups    http.py    a request line
    datapath.py    programs on packets     service.py connect4    sockmap.py sockets joined past TCP
"""

from __future__ import annotations

from meshsim.costs.book import Cost
from meshsim.measure.ebpf import datapath, http, maps, service, sockmap, testrun, verifier
from meshsim.measure.experiment import Experiment, Samples

PARTS = (testrun, maps, http, datapath, service, sockmap)

EXPERIMENTS: list[Experiment] = [e for part in (*PARTS, verifier) for e in part.EXPERIMENTS]


def costs(samples: Samples) -> list[Cost]:
    """What the samples of this group give."""
    return [c for part in (maps, http, datapath, service, sockmap) for c in part.costs(samples)]
