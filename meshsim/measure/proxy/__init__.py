"""Real proxies in pods: Envoy as sidecar and as shared proxy, nginx with Lua, HAProxy, and Caddy in Go.

traffic.py      load generator and echo server of ours, and two pods for them
software.py     what a proxy is to an experiment: role, start, readiness, memory
envoy.py others.py kinds.py    the proxies
load.py         wake-ups and turns: CPU a request as rate and connections rise, added latency
cold.py         after a long sleep
turns.py        how often an Envoy worker went through its event loop
messages.py     work of a message by protocol and size; a new connection
security.py tls.py    mutual TLS: records, handshakes; certificates
features.py     filters by slopes over copies
footprint.py    memory, idle CPU, time to start
"""

from __future__ import annotations

from meshsim.costs.book import Cost
from meshsim.measure.experiment import Experiment, Samples
from meshsim.measure.proxy import cold, features, footprint, load, messages, security

PARTS = (load, cold, messages, security, features, footprint)

EXPERIMENTS: list[Experiment] = [experiment for part in PARTS for experiment in part.EXPERIMENTS]


def costs(samples: Samples) -> list[Cost]:
    """What the samples of this group give."""
    return [cost for part in PARTS for cost in part.costs(samples)]
