"""What is asked when nothing else is said; the command line shows these in its help."""

DATAPLANES = ("no-mesh", "istio-sidecar", "linkerd", "cilium", "istio-ambient")
MACHINE = "gcp-e2-standard-4"
COSTS = ("epyc-2-vcpu", "published")
RPS = 500.0
SERVICES = (10, 30, 100, 300, 1000)
COMPARE_REQUESTS = 12_000
"""Enough for p99.9: at least a dozen requests lie beyond it."""
GROW_REQUESTS = 3_000
"""At each point: enough for p99; p99.9 is left out, with a note."""
GROW_SAMPLE = 200
"""Requests kept whole at each point: there are many points, and few look at the attribution of each."""
