"""What if an operation cost half as much? Costs scaled by pattern, to see what an optimisation is worth end to end."""

from __future__ import annotations

import math
from collections.abc import Mapping
from difflib import get_close_matches
from fnmatch import fnmatchcase

from meshsim.costs.book import Cost, CostBook
from meshsim.costs.books import Costs
from meshsim.scenario.base import MeshsimError

AMOUNTS = ("cpu_ns", "cpu_ns_per_byte", "wait_ns", "wait_ns_per_byte", "bytes", "cores", "ratio")
NAMES_SHOWN = 3


def what_if(costs: Costs, factors: Mapping[str, float]) -> Costs:
    """Every operation that matches a pattern, times its factor: CPU, waiting, memory, all of it.

    Patterns are those of a shell: ``proxy.envoy.http1.*``, ``*.wakeup``. Where several match, their factors multiply.
    ``{"*.wakeup": 0}`` means that waking a worker costs nothing. MeshsimError for a pattern that matches no operation,
    with the nearest names, and for a factor that is negative or not finite.
    """
    if not factors:
        return costs
    table = [entry for entry, _ in costs]
    for pattern, factor in factors.items():
        if not (math.isfinite(factor) and factor >= 0):
            raise MeshsimError(f"what_if: {pattern}: {factor} received; a factor must be finite and at least 0")
        if not any(fnmatchcase(entry.operation, pattern) for entry in table):
            near = get_close_matches(pattern, sorted(_patterns(table)), n=NAMES_SHOWN, cutoff=0.5)
            hint = f"did you mean {' or '.join(repr(name) for name in near)}? " if near else ""
            raise MeshsimError(f"what_if: {pattern!r} matches no operation; {hint}meshsim show BOOK lists them all")
    described = ", ".join(f"{pattern} x {factor:g}" for pattern, factor in factors.items())
    # All operations, not only those that match: a family must not follow the operation that it was derived from.
    entries = [_scaled(entry, factors) for entry in table]
    book = {"schema": "meshsim/costs/1", "name": "what-if", "title": f"What if: {described}", "entries": entries}
    return Costs([CostBook.model_validate(book)])


def _patterns(table: list[Cost]) -> set[str]:
    """Operations, and the patterns that one would write for several of them."""
    found = {entry.operation for entry in table}
    for entry in table:
        parts = entry.operation.split(".")
        found |= {f"*.{'.'.join(parts[number:])}" for number in range(1, len(parts))}
        found |= {f"{'.'.join(parts[:number])}.*" for number in range(1, len(parts))}
    return found


def what_if_notes(factors: Mapping[str, float]) -> list[str]:
    """For the reader of results that are not about the world as it is."""
    return [f"what if: costs of {pattern} x {factor:g}" for pattern, factor in factors.items()]


def _scaled(entry: Cost, factors: Mapping[str, float]) -> Cost:
    matching = {pattern: factor for pattern, factor in factors.items() if fnmatchcase(entry.operation, pattern)}
    if not matching:
        return entry
    factor = math.prod(matching.values())
    amounts = {name: getattr(entry, name) * factor for name in AMOUNTS}
    said = ", ".join(f"{pattern} x {value:g}" for pattern, value in matching.items())
    return entry.model_copy(update={**amounts, "reference": f"What if {said}. {entry.reference}"})
