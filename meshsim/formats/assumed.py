"""What other people's files do not say, and what is assumed instead; notes of the readers name what they took."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping

import networkx as nx

from meshsim.scenario.base import MeshsimError

COMPUTE_US = 300.0
"""CPU of one visit of a service, where nothing tells it: between the shipped applications, whose code takes 150 us a
visit (social network), 290 us (Online Boutique) and 1700 us (Bookinfo) on average (docs/applications.md)."""
COMPUTE_CV = 0.5
PAYLOAD_BYTES = 1024
"""Request or answer whose size nothing tells: the payload of Istio's published benchmark, and the model's default."""
MOST_CYCLES = 200
"""Calls that are left out so that a request ends; a file with more of them is no picture of requests."""

Edge = tuple[str, str]


def compute(mean_us: float = COMPUTE_US) -> dict[str, object]:
    """A step of that CPU time, microseconds."""
    return {"compute": {"mean_us": mean_us, "law": "lognormal", "cv": COMPUTE_CV}}


def without_cycles(weights: Mapping[Edge, float], file: str) -> tuple[list[Edge], list[Edge]]:
    """Edges that stay, and those that were left out: of every cycle the one of least weight.

    MeshsimError where more than MOST_CYCLES would have to go; ``file`` is its name in the message.
    """
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_edges_from(sorted(weights))
    dropped: list[Edge] = []
    while True:
        tangle = next((nodes for nodes in nx.strongly_connected_components(graph) if len(nodes) > 1), None)
        if tangle is None:
            gone = set(dropped)
            return [edge for edge in weights if edge not in gone], dropped
        # Each edge within a tangle lies on a circle, and the weakest of all is the weakest of its own.
        weakest = min(((a, b) for a, b in graph.edges(tangle) if b in tangle), key=lambda edge: (weights[edge], edge))
        dropped.append(weakest)
        if len(dropped) > MOST_CYCLES:
            raise MeshsimError(f"{file}: more than {MOST_CYCLES} calls lead in a circle; a request would never end")
        graph.remove_edge(*weakest)


def names(wanted: Iterable[tuple[str, str]]) -> list[str]:
    """Names of services, each once: (name, namespace) as ``name``, or ``name.namespace`` where two would be alike."""
    pairs = [(_clean(name) or "service", _clean(namespace)) for name, namespace in wanted]
    often = Counter(name for name, _ in pairs)
    found: list[str] = []
    taken: set[str] = set()
    for name, namespace in pairs:
        name = f"{name}.{namespace}" if often[name] > 1 and namespace else name
        whole, number = name[:110], 1
        while whole in taken:
            number += 1
            whole = f"{name[:110]}-{number}"
        taken.add(whole)
        found.append(whole)
    return found


def _clean(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-._")


def listed(things: Iterable[str], most: int = 12) -> str:
    """Names in a sentence, the first ``most`` of them."""
    every = list(things)
    return ", ".join(every[:most]) + (f" and {len(every) - most} more" if len(every) > most else "")
