"""Messages on established connections that are tracked, translated, redirected: what that adds to each of them."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from meshsim.costs.book import Cost
from meshsim.measure.bench import Bench
from meshsim.measure.book import cost
from meshsim.measure.doctor import capability
from meshsim.measure.experiment import Experiment, Samples
from meshsim.measure.fit import figure
from meshsim.measure.kernel.netfilter import (
    backends,
    default_backend,
    inbound_redirect,
    inbound_tproxy,
    service_pod,
    tracked_pod,
)
from meshsim.measure.kernel.paths import TIMER, pingpong, tcp

NAME = "kernel.flows"
SMALL, LARGE = 64, 4096
"""Bytes: one segment, and more than one, which draws an acknowledgement of its own."""


def run(bench: Bench) -> None:
    """The same round trips over plain, tracked, translated and captured connections, in turns, on one core."""
    lab = bench.lab
    lab.keep_awake()
    server, plain, backend = lab.pod("server"), lab.pod("plain"), default_backend()
    paths = {
        "loopback": tcp(plain, plain, 7000),
        "direct": tcp(plain, server, 7001),
        "tracked": tcp(tracked_pod(lab, backend), server, 7002),
    }
    for number, each in enumerate(backends()):
        pod = service_pod(lab, each, 10, server, 7010 + number)
        paths[f"{each}_service"], paths[f"{each}_captured"] = pod.service(), pod.captured()
    paths["inbound-redirect"] = inbound_redirect(lab, backend, plain)
    if capability("tproxy").ok:
        paths["inbound-tproxy"] = inbound_tproxy(lab, backend, plain)
    for size in (SMALL,) if bench.quick else (SMALL, LARGE):
        seconds = 0.5 if bench.quick else 1.5
        settings = {"bytes": size, "backend": backend}
        bench.measure(settings, partial(pingpong, lab, "same", size, seconds, paths))


def added(samples: Samples, path: str, less: str, size: int = SMALL) -> NDArray[np.float64]:
    """By round, ns that a message takes more on one path than on another."""
    metrics = [f"{name}_round_trip_ns" for name in (path, less)]
    found = [[s.values[m] for m in metrics] for s in samples.of(NAME, bytes=size) if set(metrics) <= s.values.keys()]
    return np.array([(one - other) / 2 for one, other in found])


def costs(samples: Samples) -> list[Cost]:
    """kernel.conntrack.message and kernel.redirect.{iptables-redirect,tproxy}.message."""
    found = samples.of(NAME, bytes=SMALL)
    if not found:
        return []
    backend = str(found[0].settings["backend"])
    how = f"half a round trip of {SMALL} bytes between two processes pinned to one core, in turns over both paths"
    tracked, service = added(samples, "tracked", "direct"), added(samples, f"{backend}_service", "direct")
    outbound, inbound = added(samples, f"{backend}_captured", "loopback"), added(samples, "inbound-redirect", "direct")
    tproxy = added(samples, "inbound-tproxy", "direct")
    large = added(samples, f"{backend}_service", "direct", LARGE)
    twice = (
        f" Of {LARGE} bytes, {np.median(large):.0f} ns: above one segment the acknowledgement is a packet of its own."
        if len(large)
        else ""
    )
    made = [
        cost(
            "kernel.conntrack.message",
            "message",
            experiment=NAME,
            reference=f"{how}: a connection that iptables-{backend} translated from a service address to a pod "
            f"address, less a plain one from pod to pod; tracking without translation: {np.median(tracked):.0f} ns. "
            f"The acknowledgement travels with the answer, so a message is one packet, tracked in the client's "
            f"pod.{twice}",
            cpu=figure(service),
            kernel_share=1.0,
            taken_off=TIMER,
            raw=found[0],
            metric=f"{backend}_service_round_trip_ns",
        ),
        cost(
            "kernel.redirect.iptables-redirect.message",
            "message, at one end",
            experiment=NAME,
            reference=f"{how}: a connection captured by REDIRECT on the way out less one on loopback: "
            f"{np.median(outbound):.0f} ns; on the way in less a plain one: {np.median(inbound):.0f} ns; their mean",
            cpu=figure((outbound + inbound) / 2),
            kernel_share=1.0,
            taken_off=TIMER,
            raw=found[0],
            metric=f"{backend}_captured_round_trip_ns",
        ),
    ]
    if len(tproxy):
        made.append(
            cost(
                "kernel.redirect.tproxy.message",
                "message, at one end",
                experiment=NAME,
                reference=f"{how}: a connection captured by TPROXY on the way in less a plain one. Only the packets "
                "that come in walk the mangle table; the route by mark is looked up for each",
                cpu=figure(tproxy),
                kernel_share=1.0,
                taken_off=TIMER,
                raw=found[0],
                metric="inbound-tproxy_round_trip_ns",
            )
        )
    return made


EXPERIMENTS = [
    Experiment(
        NAME,
        "messages on connections that are tracked, translated, redirected, against plain ones [ns]",
        run, seconds=4.2, quick_seconds=1.4, needs=("root", "compiler", "namespaces", "ip", "iptables"),
    )
]  # fmt: skip
