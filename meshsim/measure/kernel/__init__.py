"""The kernel: system calls, wake-ups, sleep, sockets, connections, packet filters, TLS, CPU quotas."""

from __future__ import annotations

from meshsim.costs.book import Cost
from meshsim.measure.experiment import Experiment, Samples
from meshsim.measure.kernel import cold, connections, flows, quota, sockets, syscall, tls, wakeup

PARTS = (syscall, wakeup, sockets, cold, connections, flows, tls, quota)
EXPERIMENTS: list[Experiment] = [experiment for part in PARTS for experiment in part.EXPERIMENTS]


def costs(samples: Samples) -> list[Cost]:
    """What the samples of this group give."""
    return [cost for part in PARTS for cost in part.costs(samples)]
