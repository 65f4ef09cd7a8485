"""Whether a scenario lies where its costs were measured: payloads, protocols, how busy the proxy is.

The range of a measured cost is that of the settings under which its experiment took samples; they lie beside the book.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from meshsim.costs.books import Costs
from meshsim.measure.experiment import Samples
from meshsim.measure.session import read_journal
from meshsim.results.scoreboard import Conditions
from meshsim.scenario.catalog import resolve
from meshsim.testbed.scenarios import LOADS, SATURATED, Case

SIZES = ("bytes", "request_bytes", "response_bytes")


@dataclass(frozen=True)
class Range:
    """What the samples of an experiment span."""

    largest_bytes: float | None
    largest_load: float | None
    """Of the open loops; as a share of what the closed loop reached."""
    protocols: frozenset[str]


@cache
def _samples(book: Path) -> Samples:
    return read_journal(book)


def files_of(costs: Costs, books: Sequence[str]) -> dict[str, Path]:
    """Where the books of ``costs``, loaded by these names or paths, lie: by the name that each has itself."""
    return {book.name: resolve("costs", given) for book, given in zip(costs.books, books, strict=True)}


def range_of(book: Path, experiment: str) -> Range:
    """Over all samples of the experiment that lie beside the book."""
    settings = [sample.settings for sample in _samples(book).of(experiment)]
    sizes = [float(s[name]) for s in settings for name in SIZES if isinstance(s.get(name), int | float)]
    loads = [float(s["load"]) for s in settings if isinstance(s.get("load"), int | float)]
    return Range(
        max(sizes, default=None), max(loads, default=None),
        frozenset(str(s["protocol"]) for s in settings if "protocol" in s),
    )  # fmt: skip


def conditions_of(cases: Sequence[Case], cores: int) -> Conditions | None:
    """What the scenarios span; None if there are none."""
    if not cases:
        return None
    calls = [call for case in cases for s in case.application.services for e in s.endpoints for call in e.calls()]
    sizes = [size for call in calls for size in (call.request_bytes, call.response_bytes)]
    return Conditions(
        payload_bytes=(min(sizes), max(sizes)), load=(min(LOADS), max(LOADS)), nodes=1, cores=cores,
        services=max(len(case.servers) for case in cases), protocols=sorted({call.protocol for call in calls}),
    )  # fmt: skip


def outside(
    case: Case, load: float | str, operations: Sequence[str], costs: Costs, files: Mapping[str, Path]
) -> list[str]:
    """Why a prediction is an extrapolation, in words; empty if it is none.

    ``operations``: those that the simulated plan charges; ``files``: where the books of ``costs`` lie (``files_of``).
    """
    calls = [c for s in case.application.services for e in s.endpoints for c in e.calls()]
    largest = max(max(call.request_bytes, call.response_bytes) for call in calls)
    found: dict[str, None] = {}
    for operation in operations:
        if operation not in costs:
            continue
        entry = costs[operation]
        if entry.source != "measured" or entry.evidence is None:
            found[f"{operation} was not measured on this host"] = None
            continue
        book = costs.table[operation][1]
        known = range_of(files[book], entry.evidence.experiment)
        per_byte = entry.cpu_ns_per_byte or entry.wait_ns_per_byte
        if per_byte and known.largest_bytes is not None and largest > known.largest_bytes:
            found[f"{operation}: {largest} bytes, measured up to {known.largest_bytes:.0f}"] = None
        if load != SATURATED and known.largest_load is not None and float(load) > known.largest_load:
            found[f"{operation}: open loop at {float(load):.0%}, measured up to {known.largest_load:.0%}"] = None
    if len(case.servers) > 1 or len(case.generators) > 1:
        found["more than one server: costs were measured with one, whose caches nobody else used"] = None
    return list(found)
