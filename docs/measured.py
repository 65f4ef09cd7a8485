"""Writes docs/measured.md from the measured book that is shipped: ``python docs/measured.py``. A test compares."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from pathlib import Path

from meshsim.costs.books import Costs
from meshsim.costs.diff import Ratio, diff
from meshsim.figures import numbers
from meshsim.measure.findings import Cell, findings
from meshsim.scenario.catalog import load_book, resolve
from meshsim.terminal.measuring import cell
from meshsim.terminal.models import price

HERE = Path(__file__).parent
BOOK = "epyc-2-vcpu"
AGAIN = HERE / "data" / "epyc-2-vcpu-again.yaml"
"""A second full session on the same host, hours or minutes later."""
PUBLISHED = "published"

WHY: list[tuple[str, str]] = [
    ("kernel.tcp.send cpu_ns_per_byte", "published is the slope of two round trips on a laptop, 1 B and 1 KiB; here up to 64 KiB"),
    ("kernel.tcp.receive wait_ns", "published was taken equal to ztunnel's wake-up; here what elapses across cores beyond the work on one"),
    ("kernel.wire.same-node wait_ns", "published is a guess, all of it as waiting; here nearly all is CPU, which is priced as such"),
    ("kernel.tcp.receive cpu_ns_per_byte", "warm caches and large segments on one core, against 23 Gbit/s through real NICs"),
    ("kernel.ebpf.policy.message cpu_ns", "published counts data and acknowledgement as two packets; here the acknowledgement rides on the answer"),
    ("kernel.service.ebpf.connection cpu_ns", "published is the noise of a connect() with and without; here many, by turns"),
    ("kernel.redirect.tproxy.connection cpu_ns", "published was taken equal to REDIRECT; TPROXY rewrites nothing"),
    ("kernel.redirect.sockmap.connection cpu_ns", "published is the program alone; here both sockets joined, their entries made and removed"),
    ("proxy.envoy.wakeup wait_ns", "published is a remainder of Istio's latency that neither CPU nor queues explained; here nearly all of the added latency is CPU"),
    ("proxy.envoy.http1.* cpu_ns*", "published has Istio 1.24 on bare metal shared out by us; here a VM, and Envoy's own routing"),
    ("proxy.envoy.*.request cpu_ns_per_byte", "published is ztunnel's; the direction matters in Envoy"),
    ("proxy.envoy.*.response cpu_ns_per_byte", "published is ztunnel's; the direction matters in Envoy"),
    ("proxy.envoy.tcp.message cpu_ns_per_byte", "published is ztunnel's; Envoy moves buffers of 16 KiB between sockets"),
    ("proxy.envoy.tls.message cpu_ns*", "published is the difference of whole proxies, identity filters and HBONE included; here records on open connections, near the resolution"),
    ("proxy.envoy.tls.handshake cpu_ns", "published is the middle of two readings that include the client; here per end, a slower core"),
    ("proxy.envoy.connection cpu_ns", "published was derived from latency too"),
    ("proxy.envoy.feature.rate-limit cpu_ns", "published is the smallest of two noisy slopes (0.06 and less than its noise)"),
    ("proxy.envoy.feature.access-log cpu_ns", "published is Istio 0.8, whose log was formatted and shipped; here one line to a file"),
    ("proxy.envoy.feature.* cpu_ns", "published is assumed: no usable figure"),
    ("proxy.envoy.* cpu_ns", "trial runs on another processor"),
    ("memory.envoy.base bytes", "published is what the container holds, pages of the program included; here private memory, no Istio configuration"),
    ("memory.envoy.wasm.v8.engine bytes", "published counts file-backed pages of the engine, which are shared; here private memory"),
    ("memory.runtime.* bytes", "published is one whole process; here one more of many, so without what they share"),
    ("memory.nginx-lua.base bytes", "published is assumed"),
    ("idle.envoy cores", "published has metrics scraped; here nobody asks"),
    ("startup.wasm.* cpu_ns*", "published is our first trial: other modules, another processor, fixed part and bytes not told apart"),
    ("startup.* wait_ns", "published is the whole time as waiting; here the CPU's part is told apart (see both)"),
]  # fmt: skip
"""Why a measured figure is more than twice or less than half of the published one: the first pattern that fits."""


def why(one: Ratio) -> str:
    """The reason of a gap; empty where there is none, or none is known."""
    if one.ratio is None or 0.5 <= one.ratio <= 2:
        return ""
    return next((words for pattern, words in WHY if fnmatch(f"{one.operation} {one.field}", pattern)), "")


def page() -> str:
    """The whole document."""
    return (
        "\n".join(line for part in (_head(), _entries(), _overlap(), _scales(), _findings(), _again()) for line in part)
        + "\n"
    )


def _table(rows: Iterable[dict[str, Cell]]) -> Iterator[str]:
    rows = list(rows)
    yield "| " + " | ".join(rows[0]) + " |"
    yield "|" + "---|" * len(rows[0])
    for row in rows:
        yield "| " + " | ".join(cell(value).replace("|", "\\|").replace("\n", " ") for value in row.values()) + " |"
    yield ""


def _head() -> Iterator[str]:
    book = load_book(BOOK)
    yield "# What was measured on one host"
    yield ""
    yield f"The book `{BOOK}` was measured by `meshsim measure all` on the host below; it is the default book. The raw"
    yield f"samples are in `models/costs/{book.samples}`. How it measures: [measure.md](measure.md). Written"
    yield "by `python docs/measured.py` from the book and its samples."
    yield ""
    yield from _table({"": name, "this host": value} for name, value in book.host.items())


def _entries() -> Iterator[str]:
    yield "## Costs"
    yield ""
    yield "± is one standard error, relative; *rounds* is how far the rounds differ: (largest − smallest) / median."
    yield ""
    yield from _table(
        {
            "operation": f"`{entry.operation}`",
            "cost": price(entry),
            "±": f"{entry.standard_error:.0%}",
            "rounds": f"{entry.evidence.spread:.0%}" if entry.evidence is not None else "",
            "how": entry.reference,
        }
        for entry in load_book(BOOK).entries
    )


def gaps() -> list[Ratio]:
    """Figures that differ from the published ones by more than a factor of two."""
    return [
        r for r in diff(load_book(PUBLISHED), load_book(BOOK)).ratios if r.ratio is not None and not 0.5 <= r.ratio <= 2
    ]


def _overlap() -> Iterator[str]:
    yield "## Against published figures"
    yield ""
    yield "Every figure that both books have, and why where they are more than a factor of two apart."
    yield ""
    yield from _table(
        {
            "operation": f"`{one.operation}`",
            "what": one.field,
            "published": one.first,
            "measured": one.second,
            "ratio": f"{numbers.digits(one.ratio)}" if one.ratio is not None else "",
            "95 %": f"{numbers.digits(one.low)} to {numbers.digits(one.high)}" if one.low and one.high else "",
            "why": why(one),
        }
        for one in diff(load_book(PUBLISHED), load_book(BOOK)).ratios
    )


def _scales() -> Iterator[str]:
    yield "## What is taken from the published book"
    yield ""
    costs = Costs([load_book(BOOK), load_book(PUBLISHED)])
    for scale in costs.scales:
        yield f"- {scale}: {', '.join(f'`{operation}`' for operation in scale.operations)}"
    yield ""


def _findings() -> Iterator[str]:
    for finding in findings(load_book(BOOK), resolve("costs", BOOK)):
        yield f"## {finding.title}"
        yield ""
        yield from _table(finding.rows)


def _again() -> Iterator[str]:
    found = repeats()
    inside = sum(not one.differs for one in found)
    yield "## Measured again"
    yield ""
    yield f"A second full session on the same host. {inside} of {len(found)} figures ({inside / len(found):.0%}) agree"
    yield "with the first within the intervals that both state; those that do not are marked."
    yield ""
    yield from _table(
        {
            "operation": f"`{one.operation}`",
            "what": one.field,
            "first": one.first,
            "second": one.second,
            "ratio": numbers.digits(one.ratio) if one.ratio is not None else "",
            "95 %": f"{numbers.digits(one.low)} to {numbers.digits(one.high)}" if one.low and one.high else "",
            "": "**apart**" if one.differs else "",
        }
        for one in found
    )


def repeats() -> list[Ratio]:
    """Every figure of the shipped book against the second session; a figure that is 0 in one of them is left out."""
    return [one for one in diff(load_book(BOOK), load_book(AGAIN)).ratios if one.ratio is not None]


if __name__ == "__main__":
    (HERE / "measured.md").write_text(page(), encoding="utf-8")
