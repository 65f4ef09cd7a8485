"""What every report says about itself, in words: what it takes for granted, and what it leaves out."""

from __future__ import annotations

from meshsim.results.rows import Provenance

NOT_MODELLED = [
    "Opening connections: TCP and TLS handshakes, and the walk through iptables rules. "
    "All connections are open and pooled.",
    "Timeouts, retries, circuit breakers and any other answer to failure. Nothing fails.",
    "Connections pinned to proxy workers, HTTP/2 stream limits, load balancing other than a uniform choice.",
    "CPU quotas (throttling), autoscaling, start-up of pods and proxies.",
    "The work of the control plane and of pushing configuration to proxies; the memory of it does count.",
    "Limits of network bandwidth and of network cards; traffic between zones and its price.",
    "Discounts, storage, load balancers and everything else on a cloud bill besides nodes.",
    "Anything else on the same nodes: noise from other workloads and from the hypervisor.",
]


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
        "reserved or used, whichever is more, at 730 hours a month.",
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
