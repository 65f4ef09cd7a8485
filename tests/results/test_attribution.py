"""The critical path of requests made by hand, and of simulated ones."""

from __future__ import annotations

import pytest
import small
from small import ACQUIRE, JOIN, PROXY, RELEASE, WAIT, WORK, lone, span
from worlds import application, call, compute, service, simulate
from worlds import plan as lowered

from meshsim.results.attribution import AttributionError, Piece, attribute, critical_path
from meshsim.results.run import RequestRecord
from meshsim.scenario.base import MeshsimError

PLAN = small.plan()


def path(*spans):
    return [(p.tag.operation.split(".")[-1], p.phase, p.ns) for p in critical_path(RequestRecord(0, list(spans)), PLAN)]


def test_work_is_queueing_and_then_running():
    assert critical_path(lone(), PLAN) == [Piece(small.APP, "queueing", 10), Piece(small.APP, "running", 90)]


def test_a_pool_is_queueing_and_a_wire_is_waiting():
    entry = span(0, -1, [(ACQUIRE, 0, 5, 0), (WORK, 5, 8, 3), (WAIT, 8, 20, 0)])
    assert path(entry) == [
        ("threads", "queueing", 5),
        ("compute", "running", 3),
        ("same-node", "waiting", 12),
    ]


def test_a_join_is_replaced_by_the_child_that_ended_last():
    entry = span(0, -1, [(WORK, 0, 10, 10), (JOIN, 10, 50, 0), (WORK, 50, 51, 1)])
    early = span(1, 0, [(WAIT, 10, 49, 0)])
    late = span(2, 0, [(WORK, 10, 30, 5), (WAIT, 30, 50, 0)])
    assert path(entry, early, late) == [
        ("compute", "running", 10), ("compute", "queueing", 15), ("compute", "running", 5),
        ("same-node", "waiting", 20), ("compute", "running", 1),
    ]  # fmt: skip


def test_of_children_that_end_together_the_first_one_counts_and_detached_work_never():
    entry = span(0, -1, [(JOIN, 0, 10, 0)])
    detached = span(1, 0, [(ACQUIRE, 0, 10, 0)], detached=True)
    first, second = span(2, 0, [(WAIT, 0, 10, 0)]), span(3, 0, [(WORK, 0, 10, 10)])
    assert path(entry, detached, second, first) == [("same-node", "waiting", 10)]


def test_of_a_child_started_before_its_parent_waits_only_the_rest_counts():
    entry = span(0, -1, [(WORK, 0, 10, 10), (JOIN, 10, 40, 0)])
    # In line from 4 on, on a core for the last 15 ns; until 10 it is hidden behind the parent's own work.
    child = span(1, 0, [(WAIT, 0, 4, 0), (PROXY, 4, 30, 15), (WAIT, 30, 40, 0)])
    assert path(entry, child) == [
        ("compute", "running", 10), ("request", "queueing", 5), ("request", "running", 15),
        ("same-node", "waiting", 10),
    ]  # fmt: skip


def test_of_nested_joins_only_the_innermost_work_remains_however_deep():
    depth = 5000
    spans = [span(n, n - 1, [(JOIN, n, 10_000, 0)]) for n in range(depth)]
    spans = [span(0, -1, [(WAIT, 0, 9_000, 0), (JOIN, 9_000, 10_000, 0)]), *spans[1:]]
    spans.append(span(depth, depth - 1, [(PROXY, depth, 10_000, 1)]))
    assert path(*spans) == [
        ("same-node", "waiting", 9_000),
        ("request", "queueing", 999),
        ("request", "running", 1),
    ]


@pytest.mark.parametrize(
    ("segments", "message"),
    [
        ([(WORK, 0, 10, 5), (WAIT, 11, 20, 0)], "does not follow on 10 ns"),
        ([(WORK, 0, 10, 5), (WAIT, 9, 20, 0)], "does not follow"),
        ([(WORK, 0, 10, 11)], "does not follow"),
        ([(WORK, 0, 10, -1)], "does not follow"),
        ([(JOIN, 0, 10, 0)], "no child ends with JOIN, 10 ns"),
        ([(RELEASE, 0, 10, 0)], "RELEASE, tag -1. cannot take time"),
    ],
)
def test_a_record_that_contradicts_itself_is_an_internal_error(segments, message):
    with pytest.raises(AttributionError, match=message):
        path(span(0, -1, segments))


def test_a_record_that_does_not_reach_its_own_end_is_an_internal_error():
    entry = span(0, -1, [(WORK, 0, 10, 5)])
    entry.end_ns = 11
    with pytest.raises(AttributionError, match="ends at 10 ns, the request itself at 11 ns"):
        path(entry)
    late = span(1, 0, [(WORK, 6, 10, 4)])
    with pytest.raises(AttributionError, match="does not follow on 5 ns"):
        path(span(0, -1, [(WAIT, 0, 5, 0), (JOIN, 5, 10, 0)]), late)


def test_attribution_is_the_mean_over_requests_with_the_kernel_told_apart_largest_first():
    one = RequestRecord(0, [span(0, -1, [(PROXY, 0, 50_000, 40_000), (WAIT, 50_000, 57_000, 0)])])
    two = RequestRecord(1, [span(0, -1, [(WAIT, 0, 3_000, 0)])])
    found = [
        (row.component, row.operation, row.running_us, row.queueing_us, row.waiting_us)
        for row in attribute([one, two], PLAN)
    ]
    assert found == [
        ("proxy", "proxy.box.http1.request", 15, 5, 0),
        ("kernel", "proxy.box.http1.request", 5, 0, 0),
        ("network", "kernel.wire.same-node", 0, 0, 5),
    ]
    assert attribute([], PLAN) == []


def test_a_cohort_holds_the_requests_between_two_quantiles_of_latency():
    records = [lone(number, length=100 + number) for number in range(200)]
    (slowest,) = attribute(records, PLAN, cohort=(0.99, 1.0))
    assert slowest.running_us + slowest.queueing_us == pytest.approx((298 + 299) / 2 / 1000)
    (fastest,) = attribute(records, PLAN, cohort=(0.0, 0.005))
    assert fastest.running_us == pytest.approx(0.090)
    assert attribute(records, PLAN, cohort=(0.0, 1.0)) == attribute(records, PLAN)
    with pytest.raises(MeshsimError, match=r"cohort \(0.9, 0.5\)"):
        attribute(records, PLAN, cohort=(0.9, 0.5))


def test_the_pieces_of_simulated_requests_add_up_to_their_latency():
    parallel = {"parallel": [[call("b"), compute(50)], [call("c")]]}
    app = application(
        service("a", [compute(300), parallel]), service("b", [compute(400)]), service("c", [compute(200)])
    )
    run = simulate(lowered(app, 1200, cores=2), 500, sample=500)
    assert len(run.records) > 400
    total = 0
    for record in run.records:
        entry = record.spans[0]
        pieces = critical_path(record, run.plan)
        assert sum(piece.ns for piece in pieces) == entry.end_ns - entry.start_ns
        total += sum(piece.ns for piece in pieces)
    rows = attribute(run.records, run.plan)
    spent = sum(row.running_us + row.queueing_us + row.waiting_us for row in rows)
    assert spent == pytest.approx(total / 1000 / len(run.records))
    assert {row.operation for row in rows} == {"application.compute"}
