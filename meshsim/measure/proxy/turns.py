"""Passes of an Envoy worker through its event loop, as its own dispatcher counts them.

A message that comes alone takes two: one in which its bytes are read and sent on, one for what that put off. So what
the model calls a turn, all that is ready at once and is served before the loop looks again, is two passes.
"""

from __future__ import annotations

import re
import time
import urllib.request

from meshsim.measure.ebpf.attach import inside
from meshsim.measure.lab import LabError, Pod
from meshsim.measure.proxy.envoy import ADMIN_PORT

PASSES = re.compile(r"^\S*worker_dispatcher_loop_duration_us_count\S* (\d+)$", re.MULTILINE)
FLUSHES = 3
"""Each reading asks for the counts of the workers, and shows those that were there when it was asked."""
BETWEEN_S = 0.1


def passes(pod: Pod) -> int:
    """Of all workers of the Envoy in a pod since it started; it must have been told to count (``Envoy.counts``)."""

    def read() -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{ADMIN_PORT}/stats/prometheus", timeout=5) as page:
            return str(page.read(), "utf-8")

    said = ""
    for _ in range(FLUSHES):
        said = inside(pod, read)
        time.sleep(BETWEEN_S)
    found = PASSES.findall(said)
    if not found:
        raise LabError("this Envoy does not count the passes of its event loop")
    return sum(map(int, found))
