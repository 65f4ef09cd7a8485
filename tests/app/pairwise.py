"""Few combinations that hold every pair of values of every two widgets: most faults need no more than two."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations, product
from typing import Any


def pairwise(values: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Greedy: each next combination starts from a pair that is missing and adds, name by name, what covers most."""
    names = list(values)
    missing = {
        ((a, i), (b, j)) for a, b in combinations(names, 2) for i, j in product(range(len(values[a])), range(len(values[b])))
    }  # fmt: skip
    found = []
    while missing:
        chosen = dict(min(missing))
        for name in names:
            if name not in chosen:
                chosen[name] = max(
                    range(len(values[name])), key=lambda at: _covered(names, {**chosen, name: at}, missing)
                )
        missing -= set(combinations([(name, chosen[name]) for name in names], 2))
        found.append({name: values[name][at] for name, at in chosen.items()})
    return found


def _covered(names: list[str], chosen: Mapping[str, int], missing: set[Any]) -> int:
    return len(set(combinations([(name, chosen[name]) for name in names if name in chosen], 2)) & missing)
