"""What a session found beside costs: limits, verdicts and comparisons, as tables with units in their column names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from meshsim.costs.book import CostBook
from meshsim.measure.container import claim
from meshsim.measure.ebpf import datapath, verifier
from meshsim.measure.experiment import Samples
from meshsim.measure.kernel import quota
from meshsim.measure.session import read_journal

Cell = str | float | int | None


@dataclass(frozen=True)
class Finding:
    """One table: every row has the same columns."""

    title: str
    rows: list[dict[str, Cell]]


def findings(book: CostBook, path: Path) -> list[Finding]:
    """Everything that the samples beside the book at ``path`` say; what was not measured is left out."""
    samples = read_journal(path)
    every = [
        Finding("What the eBPF verifier accepts", list(_verifier(samples))),
        Finding("A message from pod to pod with eBPF on its way (64 bytes)", list(_datapath(samples))),
        Finding("A CPU quota against the arithmetic of period and quota", list(_quota(samples))),
        Finding("Wasm runtimes that this Envoy names", list(_runtimes(samples))),
        Finding("One percent of the resources, one percent of the cold start?", list(_claim(book))),
    ]
    return [finding for finding in every if finding.rows]


def _verifier(samples: Samples) -> Iterator[dict[str, Cell]]:
    for row in verifier.table(samples):
        yield {
            "program": row.what,
            "unit": row.unit,
            "accepted": row.accepted,
            "refused": row.refused,
            "instructions walked": row.processed,
            "verified in ms": row.verify_ms,
            "the verifier's words": row.words,
            "what it means": row.means,
        }


def _datapath(samples: Samples) -> Iterator[dict[str, Cell]]:
    for row in datapath.table(samples):
        yield {
            "on the way": row.what,
            "added CPU, ns": row.added_ns.value,
            "± ns": row.added_ns.error,
            "added between cores, ns": row.added_across_ns.value if row.added_across_ns is not None else None,
        }


def _quota(samples: Samples) -> Iterator[dict[str, Cell]]:
    for row in quota.table(samples):
        yield {
            "load": row.load,
            "quota, % of a core": row.quota_percent,
            "demand, %": row.demand_percent,
            "mean, ms": row.mean_ms,
            "by arithmetic, ms": row.expected_mean_ms,
            "p99, ms": row.p99_ms,
            "p99 by arithmetic, ms": row.expected_p99_ms,
            "periods throttled": row.throttled,
            "by arithmetic": row.expected_throttled,
        }


def _runtimes(samples: Samples) -> Iterator[dict[str, Cell]]:
    tried = {str(s.settings["runtime"]): s for s in samples.of("wasm.envoy.runtimes")}
    for name, sample in tried.items():
        yield {
            "runtime": name,
            "carried": "yes" if sample.values["carried"] else "no",
            "Envoy says": sample.words["envoy_says"],
        }


def _claim(book: CostBook) -> Iterator[dict[str, Cell]]:
    for row in claim.one_percent(book):
        cold = row.quantity == "cold start"
        yield {
            "reading": row.reading,
            "against": row.container,
            "quantity": f"{row.quantity}, {'ms' if cold else 'MiB'}",
            "Wasm": row.wasm / (1e6 if cold else 2**20),
            "container": row.baseline / (1e6 if cold else 2**20),
            "Wasm, %": 100 * row.ratio,
            "at most 1 %": "holds" if row.holds else "fails",
        }
