"""Critical paths of sampled requests, each alone and all at once, in one form that ``==`` compares."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from meshsim.plan.plan import Plan
from meshsim.results.attribution import PHASES, critical_path
from meshsim.results.paths import critical_paths
from meshsim.results.run import RequestRecord
from meshsim.results.sample import Sample


def one_by_one(records: Sequence[RequestRecord], plan: Plan) -> Counter[tuple[int, str, str]]:
    """Ns by (request, operation, phase)."""
    sums: Counter[tuple[int, str, str]] = Counter()
    for record in records:
        for piece in critical_path(record, plan):
            sums[record.request, piece.tag.operation, piece.phase] += piece.ns
    return +sums


def all_at_once(records: Sequence[RequestRecord], plan: Plan) -> Counter[tuple[int, str, str]]:
    paths = critical_paths(Sample.of(records), plan)
    assert not paths.broken
    sums: Counter[tuple[int, str, str]] = Counter()
    for record, tag, phase, ns in zip(paths.record, paths.tag, paths.phase, paths.ns, strict=True):
        sums[int(paths.request[record]), plan.tags[tag].operation, PHASES[phase]] += int(ns)
    return +sums
