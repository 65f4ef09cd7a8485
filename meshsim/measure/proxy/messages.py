"""What a message costs a proxy by protocol and size: HTTP/1.1, HTTP/2, bytes of TCP; then also a new connection.

Taken in closed loop, where the worker hardly sleeps; the wake-ups that are left, and the turns of its event loop, are
taken off by the law of ``load``. The fixed work is that law's; a protocol that it does not have has it in the
proportion in which it costs in the same round.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np

from meshsim.costs.book import Cost
from meshsim.measure.bench import Bench
from meshsim.measure.book import cost
from meshsim.measure.experiment import Experiment, Sample, Samples
from meshsim.measure.fit import Figure, Line, figure, line, residual_quantiles, scaled
from meshsim.measure.proxy import load
from meshsim.measure.proxy.kinds import ALL, ENVOY, Kind
from meshsim.measure.proxy.software import Role
from meshsim.measure.proxy.traffic import Demand, Pair, Protocol, kernel_share

SMALL, MIDDLE, LARGE = 64, 4096, 65536
SIZES = ((SMALL, SMALL), (MIDDLE, MIDDLE), (LARGE, SMALL), (SMALL, LARGE))
"""Bytes of request and response."""
TCP_SIZES = ((SMALL, SMALL), (MIDDLE, MIDDLE), (LARGE, LARGE))
REQUEST_SHARE = 0.55
"""Of the fixed work of a request and its answer; a request is matched to a route. Our split, as in published.yaml."""


def name(kind: Kind) -> str:
    """Of the experiment."""
    return f"proxy.{kind.key}.messages"


def run(kind: Kind, bench: Bench) -> None:
    """Each protocol at each size in closed loop."""
    pair = Pair.make(bench.lab)
    pair.redirect(Role().port)
    seconds, warm_up = (0.2, 0.1) if bench.quick else (0.6, 0.2)
    for protocol in kind.protocols:
        with bench.lab.scope():
            watched = kind.beside(pair, protocol).watched()

            def through(demand: Demand, watched: dict[str, Any] = watched) -> dict[str, float]:
                return pair.drive(demand, **watched).readings()

            sizes: Sequence[tuple[int, int]] = TCP_SIZES if protocol == "tcp" else SIZES
            if kind is not ENVOY or bench.quick:
                sizes = [s for s in sizes if MIDDLE not in s]
            for request, response in sizes:
                # An empty request has no body to carry, as most GETs.
                body = request if request > SMALL or protocol == "tcp" else 0
                demand = Demand(0, 16, protocol, body, response, seconds, warm_up)
                settings = {"protocol": protocol, "request_bytes": request, "response_bytes": response}
                bench.measure(settings, partial(through, demand))
            if protocol == "tcp":
                demand = Demand(0, 16, protocol, SMALL, SMALL, seconds, warm_up, new_connection=True)
                bench.measure({"protocol": protocol, "connection": "new"}, partial(through, demand))


def costs(samples: Samples) -> list[Cost]:
    """proxy.<software>.{http1,http2}.{request,response}, .tcp.message, .connection."""
    return [c for kind in ALL for c in _costs(samples, kind)]


def _costs(samples: Samples, kind: Kind) -> Iterable[Cost]:
    law = load.law(samples, kind)
    if law is None:
        return
    yield from _http(samples, kind, law, "http1")
    if not samples.has(name(kind)):
        return
    if "http2" in kind.protocols:
        yield from _http(samples, kind, law, "http2")
    if "tcp" in kind.protocols:
        yield from _tcp(samples, kind, law)


def _http(samples: Samples, kind: Kind, law: load.Law, protocol: Protocol) -> Iterable[Cost]:
    small = samples.of(name(kind), protocol=protocol, request_bytes=SMALL, response_bytes=SMALL)
    small = small or samples.of(load.name(kind), loop="closed")
    fixed = law.work["http1"]
    words = "The term 2 w of CPU a request = 2 w + s x wake-ups" + (" + t x turns" if law.turn else "")
    if protocol != "http1":
        ratio = _ratio(samples, kind, law, protocol)
        fixed, words = _product(fixed, ratio), f"HTTP/1.1's work x {ratio.value:.2f}, the ratio at saturation"
    residuals = _missed(samples, kind, law, protocol)
    for direction, share in (("request", REQUEST_SHARE), ("response", 1 - REQUEST_SHARE)):
        per_byte = _per_byte(samples, kind, law, protocol, direction)
        yield cost(
            f"proxy.{kind.key}.{protocol}.{direction}",
            "message",
            experiment=load.name(kind) if protocol == "http1" else name(kind),
            reference=f"{words} ({load.name(kind)}), of which the {direction} has {share:.2f} (our split)."
            + (
                f" Per byte: closed loop with {LARGE // 1024} KiB in this direction against {SMALL} B."
                if per_byte
                else " No bodies were measured."
            ),
            conditions="one worker on a CPU of its own, redirected by iptables; contained are its sockets (the "
            "sender pays for bringing a packet to the receiver's socket) and its own statistics, not to be told apart",
            cpu=Line(scaled(fixed, share), per_byte or Figure(0.0, 0.0, 0.0, 1), residuals or law.residuals),
            kernel_share=kernel_share(small),
            taken_off="wake-ups and turns of the event loop, by the law" if law.turn else "wake-ups, by the law",
        )


def _tcp(samples: Samples, kind: Kind, law: load.Law) -> Iterable[Cost]:
    if "tcp" in law.work:
        fixed = scaled(law.work["tcp"], 0.5)
        words = "half of the term 2 w of CPU a request = 2 w + s x wake-ups + t x turns"
    else:
        ratio = _ratio(samples, kind, law, "tcp")
        fixed = _product(scaled(law.work["http1"], 0.5), ratio)
        words = f"half of HTTP/1.1's work of a request x {ratio.value:.2f}, the ratio at saturation"
    keep = [s for s in samples.of(name(kind), protocol="tcp") if "request_bytes" in s.settings]
    rows = np.array([(s.round, float(s.settings["request_bytes"]) - SMALL, law.busy(s) / 2) for s in keep])
    found = line(rows)
    yield cost(
        f"proxy.{kind.key}.tcp.message",
        "message",
        experiment=name(kind),
        reference=f"Fixed: {words}. Per byte: line over sizes of request and response alike.",
        conditions="TCP proxy, no HTTP parsing; otherwise as HTTP/1.1",
        cpu=Line(fixed, found.per_unit, found.residuals),
        kernel_share=kernel_share(keep),
        taken_off="wake-ups and turns of the event loop, by the law" if law.turn else "wake-ups, by the law",
    )
    fresh = {s.round: s for s in samples.of(name(kind), connection="new")}
    small = [s for s in keep if s.settings["request_bytes"] == SMALL and s.round in fresh]
    if small:
        extra = [law.busy(fresh[s.round]) - law.busy(s) for s in small]
        yield cost(
            f"proxy.{kind.key}.connection",
            "connection accepted, and one opened upstream",
            experiment=name(kind),
            reference="TCP proxy: CPU of a request on a connection of its own, less that of one on an open connection",
            conditions="closed loop, 16 clients, 64 B",
            cpu=figure(extra),
            kernel_share=kernel_share(list(fresh.values())),
        )


def _ratio(samples: Samples, kind: Kind, law: load.Law, protocol: Protocol) -> Figure:
    """Work of a small request in this protocol over HTTP/1.1's, within a round."""

    def small(of: Protocol) -> dict[int, float]:
        found = samples.of(name(kind), protocol=of, request_bytes=SMALL, response_bytes=SMALL)
        return {s.round: law.busy(s) for s in found}

    one, other = small(protocol), small("http1")
    return figure([one[r] / other[r] for r in one if r in other])


def _per_byte(samples: Samples, kind: Kind, law: load.Law, protocol: Protocol, direction: str) -> Figure | None:
    small = {s.round: s for s in samples.of(name(kind), protocol=protocol, request_bytes=SMALL, response_bytes=SMALL)}
    large = {"request_bytes": LARGE if direction == "request" else SMALL}
    large |= {"response_bytes": LARGE if direction == "response" else SMALL}
    slopes = [
        (law.busy(s) - law.busy(small[s.round])) / (LARGE - SMALL)
        for s in samples.of(name(kind), protocol=protocol, **large)
        if s.round in small
    ]
    return figure(slopes) if slopes else None


def _missed(samples: Samples, kind: Kind, law: load.Law, protocol: Protocol) -> dict[str, float]:
    """How far the middle size, which nothing is fitted to, lies from the lines."""
    relative = []
    for s in samples.of(name(kind), protocol=protocol, request_bytes=MIDDLE, response_bytes=MIDDLE):
        small = _of_round(samples.of(name(kind), protocol=protocol, request_bytes=SMALL, response_bytes=SMALL), s)
        expected = law.busy(small)
        for direction in ("request", "response"):
            slope = _per_byte(samples, kind, law, protocol, direction)
            expected += (MIDDLE - SMALL) * (slope.value if slope else 0.0)
        relative.append(law.busy(s) / expected - 1)
    return residual_quantiles(np.array(relative)) if relative else {}


def _of_round(found: list[Sample], like: Sample) -> Sample:
    return next(s for s in found if s.round == like.round)


def _product(one: Figure, other: Figure) -> Figure:
    value = one.value * other.value
    relative = np.hypot(one.error / one.value if one.value else 0.0, other.error / other.value if other.value else 0.0)
    return Figure(value, abs(value) * float(relative), max(one.spread, other.spread), min(one.rounds, other.rounds))


EXPERIMENTS = [
    Experiment(
        name(kind),
        f"{kind.title}: CPU a message by protocol and size, and of a new connection [ns]",
        partial(run, kind),
        seconds=12 if kind is ENVOY else 6,
        quick_seconds=4.5 if kind is ENVOY else None,
        needs=kind.needs,
    )
    for kind in ALL
    if len(kind.protocols) > 1
]
