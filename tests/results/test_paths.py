"""The paths of many requests at once are those of each alone; what contradicts itself is named, and only that."""

from __future__ import annotations

from collections import Counter

import numpy as np
import small
from cut import all_at_once, one_by_one
from small import ATTEMPT, JOIN, WAIT, WORK, lone, span

from meshsim.results.paths import critical_paths
from meshsim.results.run import RequestRecord
from meshsim.results.sample import Sample

PLAN = small.plan()


def test_joins_attempts_and_children_that_began_early_are_cut_as_one_by_one() -> None:
    joined = [
        span(0, -1, [(WORK, 0, 10, 10), (JOIN, 10, 40, 0), (WORK, 40, 45, 2)]),
        span(1, 0, [(WAIT, 0, 4, 0), (WORK, 4, 30, 15), (WAIT, 30, 40, 0)]),
        span(2, 0, [(WORK, 10, 40, 30)], detached=True),
        span(3, 0, [(WORK, 10, 39, 29)]),
    ]
    hedged = [
        span(0, -1, [(ATTEMPT, 100, 160, 0), (ATTEMPT, 160, 170, 0)]),
        span(2, 0, [(WORK, 130, 160, 20)]),
        span(1, 0, [(WORK, 100, 190, 20)], detached=True),
    ]
    records = [RequestRecord(7, joined), lone(3), RequestRecord(9, hedged)]
    assert all_at_once(records, PLAN) == one_by_one(records, PLAN)
    assert list(Sample.of(records)) == records
    assert Sample.of(records).cpu_ns.tolist() == [10 + 2 + 15 + 30 + 29, 90, 40]
    assert all_at_once([], PLAN) == Counter()


def test_a_request_without_an_answer_is_left_out_and_the_others_keep_their_spans() -> None:
    waiting = RequestRecord(1, [span(0, -1, [(WORK, 0, 5, 5)])])
    waiting.spans[0].end_ns = -1
    sample = Sample.of([waiting, lone(2), waiting, lone(5, length=70)])
    assert list(sample) == [lone(2), lone(5, length=70)]
    assert sample.latency_ns.tolist() == [100, 70]


def test_only_the_request_that_contradicts_itself_is_named() -> None:
    late = [span(0, -1, [(WORK, 0, 5, 5), (JOIN, 5, 10, 0)]), span(1, 0, [(WORK, 6, 10, 4)])]
    lonely = [span(0, -1, [(JOIN, 0, 10, 0)])]
    greedy = [span(0, -1, [(WORK, 0, 10, 11)])]
    free = [span(0, -1, [(small.RELEASE, 0, 10, 0)])]
    wrong = {11: late, 12: lonely, 13: greedy, 14: free}
    records = [lone(1), *(RequestRecord(number, spans) for number, spans in wrong.items()), lone(2)]
    paths = critical_paths(Sample.of(records), PLAN)
    assert [said.split(":")[0] for said in paths.broken.values()] == [f"request {number}" for number in wrong]
    assert np.all(np.isin(paths.request[sorted(paths.broken)], list(wrong)))
