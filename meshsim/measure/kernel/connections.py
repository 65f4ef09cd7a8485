"""New TCP connections: bare, to a service address by DNAT, captured by REDIRECT and TPROXY, by number of rules."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial

import numpy as np
from numpy.typing import NDArray

from meshsim.costs.book import Cost
from meshsim.measure.bench import Bench
from meshsim.measure.book import cost
from meshsim.measure.doctor import capability
from meshsim.measure.experiment import Experiment, Samples
from meshsim.measure.fit import best, figure, line
from meshsim.measure.kernel.netfilter import (
    Backend,
    backends,
    inbound_redirect,
    inbound_tproxy,
    service_pod,
)
from meshsim.measure.kernel.paths import TIMER, Cores, cores_to_compare, cpus, foremost, tcp
from meshsim.measure.lab import Cgroup, Lab
from meshsim.measure.native import tool

NAME = "kernel.connections"
RULES = (0, 100, 1000, 5000, 10_000)
QUICK_RULES = (0, 5000)
MOST = 3000
"""Connections a path and round at most: each leaves a port in TIME_WAIT until its pod is gone."""


def connections(
    lab: Lab, cores: Cores, seconds: float, paths: Mapping[str, str], cgroup: Cgroup | None = None
) -> dict[str, NDArray[np.float64]]:
    """Connections over some paths, in blocks of 20 that take turns for ``seconds`` in all.

    ``cgroup``: that both ends are in.

    By path: ``NAME_connection_ns`` (connect, accept, close by the other end, close), ``NAME_connect_ns`` and
    ``NAME_connect_cpu_ns`` (the connecting call alone) of single connections, ``NAME_own_cpu_ns`` and
    ``NAME_peer_cpu_ns`` of the two processes per connection, one mean a block.
    """
    own, peer = cpus(cores)
    argv = [str(tool("connections")), str(own), str(peer), str(seconds), str(MOST)]
    argv += [f"{name}={path}" for name, path in paths.items()]
    found = json.loads(lab.call(argv, schedule=foremost(), cgroup=cgroup))
    return {f"{name}_{metric}": np.array(values) for name, some in found.items() for metric, values in some.items()}


def run(bench: Bench) -> None:
    """Direct, by service address and captured, each with growing numbers of rules before the one that matches."""
    lab = bench.lab
    lab.keep_awake()
    server, plain = lab.pod("server"), lab.pod("plain")
    paths = {"loopback": tcp(plain, plain, 7000), "direct": tcp(plain, server, 7001)}
    ports = iter(range(7100, 7200))
    found = backends() if capability("iptables").ok else []
    for backend in found:
        for others in QUICK_RULES if bench.quick else RULES:
            pod = service_pod(lab, backend, others, server, next(ports))
            paths[f"{backend}_service_{others}"] = pod.service()
            paths[f"{backend}_captured_{others}"] = pod.captured()
    if found:
        paths["inbound-redirect"] = inbound_redirect(lab, found[0], plain)
    if capability("tproxy").ok:
        paths["inbound-tproxy"] = inbound_tproxy(lab, found[0], plain)
    # Which back-end the host's own iptables uses is kept with the sample: fits may be made elsewhere.
    settings = {"cores": "same", "backend": found[0] if found else "none"}
    bench.measure(settings, partial(connections, lab, "same", 0.8 if bench.quick else 4.0, paths))
    if "other" in cores_to_compare():
        few = {name: paths[name] for name in ("loopback", "direct")}
        bench.measure({"cores": "other"}, partial(connections, lab, "other", 0.1 if bench.quick else 0.5, few))


def rule_rows(samples: Samples, path: str, less: str) -> NDArray[np.float64]:
    """Rows (round, rules, ns a connection more than over the path ``less``)."""
    rows = []
    for sample in samples.of(NAME, cores="same"):
        base = sample.values.get(f"{less}_connection_ns")
        for metric, value in sample.values.items():
            name, _, rest = metric.partition(f"{path}_")
            if base is not None and not name and rest.endswith("_connection_ns"):
                rows.append((sample.round, float(rest.removesuffix("_connection_ns")), value - base))
    return np.array(rows, np.float64).reshape(-1, 3)


def costs(samples: Samples) -> list[Cost]:
    """kernel.tcp.connection, kernel.service.iptables.*, kernel.redirect.{iptables-redirect,tproxy}.connection."""
    found = samples.of(NAME, cores="same")
    if not found:
        return []
    raw = found[0]

    def values(metric: str) -> NDArray[np.float64]:
        return samples.values(NAME, metric, cores="same")

    made = [
        cost(
            "kernel.tcp.connection",
            "connection, both ends",
            experiment=NAME,
            reference="from pod to pod over veth and bridge, both processes pinned to one core: socket, connect, "
            "accept, close by the accepting end, close. wait: what connect() takes less its CPU time; within one node "
            "the handshake runs to its end inside the call, between nodes add a round trip of the wire",
            conditions="three socket options set on each end that connects (no delay, two time limits)",
            cpu=best(values("direct_connection_ns")),
            wait=figure(values("direct_connect_ns") - values("direct_connect_cpu_ns")),
            kernel_share=1.0,
            taken_off=TIMER,
            raw=raw,
            metric="direct_connection_ns",
        )
    ]
    present: list[Backend] = [
        b for b in ("legacy", "nft") if len(np.unique(rule_rows(samples, f"{b}_service", "direct")[:, 1])) > 1
    ]
    if not present:
        return made
    first = str(raw.settings["backend"])
    for backend in present:
        name = "iptables" if backend == first else f"iptables-{backend}"
        rows = rule_rows(samples, f"{backend}_service", "direct")
        by_rule = line(rows)
        how = (
            f"iptables-{backend}: connections from a pod to a service address (DNAT in its nat table, the "
            f"matching rule after 0 to {rows[:, 1].max():.0f} others of the same kind) less connections to the pod "
            "address, in turns"
        )
        made += [
            cost(
                f"kernel.service.{name}.connection",
                "connection",
                experiment=NAME,
                reference=f"{how}; the fixed part: tracking, translation, one matching rule",
                cpu=by_rule,
                kernel_share=1.0,
                taken_off=TIMER,
                raw=raw,
                metric=f"{backend}_service_0_connection_ns",
            ).model_copy(update={"cpu_ns_per_byte": 0.0}),
            cost(
                f"kernel.service.{name}.rule",
                "rule walked on a new connection",
                experiment=NAME,
                reference=f"{how}; the slope",
                cpu=by_rule.per_unit,
                kernel_share=1.0,
                taken_off=TIMER,
            ),
        ]
    captured = values(f"{first}_captured_0_connection_ns") - values("loopback_connection_ns")
    inbound = values("inbound-redirect_connection_ns") - values("direct_connection_ns")
    made.append(
        cost(
            "kernel.redirect.iptables-redirect.connection",
            "connection, at one end",
            experiment=NAME,
            reference=f"iptables-{first} REDIRECT in the pod's own nat table: captured on the way out (OUTPUT, "
            f"to a port of the same pod) less loopback: {np.median(captured):.0f} ns; on the way in (PREROUTING) "
            f"less the direct path: {np.median(inbound):.0f} ns; their mean. "
            "A mesh's longer chains: add kernel.service.iptables.rule",
            cpu=figure((captured + inbound) / 2),
            kernel_share=1.0,
            taken_off=TIMER,
            raw=raw,
            metric=f"{first}_captured_0_connection_ns",
        )
    )
    tproxy = values("inbound-tproxy_connection_ns")
    if len(tproxy):
        made.append(
            cost(
                "kernel.redirect.tproxy.connection",
                "connection, at one end",
                experiment=NAME,
                reference=f"iptables-{first} TPROXY in the mangle table of the receiving pod, with its policy route, "
                "less the direct path, in turns",
                cpu=figure(tproxy - values("direct_connection_ns")),
                kernel_share=1.0,
                taken_off=TIMER,
                raw=raw,
                metric="inbound-tproxy_connection_ns",
            )
        )
    return made


EXPERIMENTS = [
    Experiment(
        NAME,
        "new TCP connections: bare, by service address, captured, by number of iptables rules [ns]",
        run, seconds=7.5, quick_seconds=2.2, needs=("root", "compiler", "namespaces", "ip"),
    )
]  # fmt: skip
