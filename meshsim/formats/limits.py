"""What every report says about itself, in words: what it takes for granted, and what it leaves out."""

from __future__ import annotations

from meshsim.results.rows import Provenance

MISSING = [
    "Configuration that arrives late: what pushing it costs is counted, that proxies run on old configuration is not.",
    "Queues in the control plane, and in anything else that is off the path of requests.",
    "An ingress gateway, and a proxy of the client outside.",
    "Nodes that come and go, and pods that move from one to another.",
    "Discounts, storage, load balancers and everything else on a cloud bill but nodes and traffic between zones.",
    "Anything else on the same nodes: noise from other workloads and from the hypervisor.",
    "That a pod with larger CPU requests gets more of a busy node: requests decide where pods fit, no more.",
    "That an application's own work finds its data cold after a long sleep; what kernel and proxies do for it does.",
    "Limits of memory: what does not fit a node is refused, nothing is killed while it runs.",
]
"""No scenario can ask for these."""
UNLESS_ASKED = [
    "Timeouts, retries, circuit breakers, rate limits and faults: without such rules nothing fails; and work that is "
    "stopped upstream when its caller gives up.",
    "New connections, with their handshakes and the walk through iptables rules: connections are open and pooled.",
    "Connections pinned to workers of proxies and to pods; load balancing other than a uniform choice.",
    "CPU limits where a file sets none; autoscaling, and with it the start of pods and proxies.",
    "Limits of network bandwidth, and zones.",
]
"""Left out unless the scenario, or the application's file, has a word about it."""
NOT_MODELLED = [*MISSING, *(f"{what} (A scenario can ask for it.)" for what in UNLESS_ASKED)]
"""What the numbers of a comparison leave out."""


def assumptions(source: Provenance, rate: str = "") -> list[str]:
    """What the numbers of this report take for granted. ``rate``: of a growth report."""
    said = [
        "Clients do not wait for each other (open loop): requests arrive at random, as a Poisson process.",
        "Every data plane sees the same requests: same arrivals, same branches, same compute times. "
        "So differences between data planes are paired.",
        f"The mesh is asked for {source.policy} policy. Data planes that do L7 work only on demand do "
        + ("it here." if source.policy == "L7" else "none here."),
        f"Costs come from the book{'s' if len(source.costs) > 1 else ''} {', '.join(source.costs)}; "
        "each cost has a source and a standard error.",
        f"Nodes are {source.machine}, at prices of {source.price_date}. Money is the share of nodes that is "
        "reserved or used, whichever is more, at 730 hours a month. Watts are those of the CPU and memory in use, by "
        "what the machine's file says of a vCPU and a GiB; idle nodes and cooling come on top.",
    ]
    if rate == "per-service":
        said.append("Traffic grows with the number of services: each service keeps its own.")
    if rate == "total":
        said.append("The traffic from outside stays the same at every size.")
    if rate:
        said.append(
            "A grown application keeps the statistics of the original: depth, fan-out, payloads, replicas of a service."
        )
    return said
