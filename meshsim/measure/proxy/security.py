"""What mutual TLS costs: two Envoys in a row, as two sidecars are, with TLS 1.3 between them and without."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import numpy as np

from meshsim.costs.book import Cost
from meshsim.measure.bench import Bench
from meshsim.measure.book import cost
from meshsim.measure.experiment import Experiment, Samples, Setting
from meshsim.measure.fit import figure, line
from meshsim.measure.lab import Cgroup
from meshsim.measure.proxy.envoy import Envoy
from meshsim.measure.proxy.kinds import ENVOY
from meshsim.measure.proxy.software import Role, start
from meshsim.measure.proxy.tls import identity
from meshsim.measure.proxy.traffic import ECHO_PORT, Demand, Pair

NAME = "proxy.envoy.tls"
SIZES = (64, 4096, 65536)
CONNECTIONS = 16
RECORD_ENDS = 4
"""Of a request: two messages, each encrypted at one end and decrypted at the other."""
HANDSHAKE_ENDS = 2


def run(bench: Bench) -> None:
    """Both Envoys in one cgroup on one CPU, so that the difference is TLS and nothing else."""
    pair = Pair.make(bench.lab)
    pair.redirect(Role().port)
    seconds, warm_up = (0.2, 0.1) if bench.quick else (0.7, 0.2)
    who = identity(bench.lab)

    def through(cgroup: Cgroup, demand: Demand) -> dict[str, float]:
        return pair.drive(demand, pod=pair.client, port=Role().port, watch={"proxy": cgroup}).readings()

    for security in ("none", "mtls"):
        with bench.lab.scope():
            tls = who if security == "mtls" else None
            there = start(Envoy(tls_in=tls), Role("tcp", captured=True), pair.server, cpus=pair.back)
            out = Role("tcp", upstream=(pair.server.address, ECHO_PORT))
            start(Envoy(tls_out=tls), out, pair.client, cpus=pair.back, cgroup=there.cgroup)

            for size in SIZES if not bench.quick else SIZES[::2]:
                demand = Demand(0, CONNECTIONS, "tcp", size, size, seconds, warm_up)
                bench.measure({"security": security, "bytes": size}, partial(through, there.cgroup, demand))
            demand = Demand(0, CONNECTIONS, "tcp", 64, 64, seconds, warm_up, new_connection=True)
            bench.measure({"security": security, "connection": "new"}, partial(through, there.cgroup, demand))


def costs(samples: Samples) -> list[Cost]:
    """proxy.envoy.tls.message, proxy.envoy.tls.handshake."""
    return list(_costs(samples))


def _costs(samples: Samples) -> Iterable[Cost]:
    rows, shares = [], []
    for secure in samples.of(NAME, security="mtls"):
        plain = [s for s in samples.of(NAME, **(secure.settings | {"security": "none"})) if s.round == secure.round]
        if plain and "bytes" in secure.settings:
            more = secure.values["cpu_ns"] - plain[0].values["cpu_ns"]
            rows.append((secure.round, float(secure.settings["bytes"]), more / RECORD_ENDS))
            shares.append(secure)
    if not rows:
        return
    yield cost(
        "proxy.envoy.tls.message",
        "message encrypted or decrypted",
        experiment=NAME,
        reference="Two Envoys in a row, with and without TLS 1.3 between them: difference of CPU a request, over the "
        "two records that are encrypted and the two that are decrypted; a line over sizes.",
        conditions=f"closed loop, {CONNECTIONS} open connections, TCP proxies, TLS 1.3, P-256 certificates",
        cpu=line(np.array(rows)),
        kernel_share=_kernel_share(samples, bytes=SIZES[-1]),
        taken_off="the same two proxies without TLS",
    )
    extra = {
        security: {
            s.round: s.values["cpu_ns"] - _open(samples, security, s.round)
            for s in samples.of(NAME, security=security, connection="new")
        }
        for security in ("none", "mtls")
    }
    both = [extra["mtls"][r] - extra["none"][r] for r in extra["mtls"] if r in extra["none"]]
    if both:
        yield cost(
            "proxy.envoy.tls.handshake",
            "one end of a full mutual handshake",
            experiment=NAME,
            reference="CPU that a connection for each request adds with TLS, less what it adds without; half of it for "
            "each end. No session is resumed.",
            conditions=f"closed loop, {CONNECTIONS} clients, TLS 1.3, P-256 certificates at both ends",
            cpu=figure(np.array(both) / HANDSHAKE_ENDS),
            kernel_share=_kernel_share(samples, connection="new"),
            taken_off="the same connections without TLS",
        )


def _open(samples: Samples, security: str, number: int) -> float:
    return next(s.values["cpu_ns"] for s in samples.of(NAME, security=security, bytes=64) if s.round == number)


def _kernel_share(samples: Samples, **settings: Setting) -> float:
    """System time of what TLS adds, over all that it adds; medians over rounds."""

    def median(security: str) -> tuple[float, float]:
        found = samples.of(NAME, security=security, **settings)
        return (
            float(np.median([s.values["cpu_ns"] for s in found])),
            float(np.median([s.values["cpu_ns"] * s.values["kernel_share"] for s in found])),
        )

    (plain, plain_system), (secure, secure_system) = median("none"), median("mtls")
    return (secure_system - plain_system) / (secure - plain) if secure > plain else 0.0


EXPERIMENTS = [
    Experiment(
        NAME,
        "Envoy: mutual TLS by message size, and a full handshake [ns]",
        run,
        seconds=9,
        quick_seconds=3.5,
        needs=(*ENVOY.needs, "openssl"),
    )
]
