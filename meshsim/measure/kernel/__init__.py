"""The kernel: system calls, wake-ups, sockets, connections, packet filters, TLS, CPU quotas."""

from __future__ import annotations

from meshsim.costs.book import Cost
from meshsim.measure.experiment import Experiment, Samples
from meshsim.measure.kernel import syscall

EXPERIMENTS: list[Experiment] = [*syscall.EXPERIMENTS]


def costs(samples: Samples) -> list[Cost]:
    """What the samples of this group give."""
    return [*syscall.costs(samples)]
