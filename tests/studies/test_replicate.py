"""Replications until a comparison is settled or precise, on common random numbers; and warm-up found by pilot runs."""

from __future__ import annotations

import numpy as np
import pytest
from worlds import NO_MESH, application, compute, costs, machine, plan, service, simulate

import meshsim as ms
from meshsim.results.histogram import BatchedHistogram
from meshsim.results.intervals import probability_below_zero, quantile_difference
from meshsim.results.rows import Estimate
from meshsim.scenario.base import MeshsimError
from meshsim.studies.compare import compare
from meshsim.studies.inputs import Settings, prepare_points, read_inputs
from meshsim.studies.warmup import find_warmup

PLANES = ["no-mesh", "istio-sidecar", "cilium"]


def test_settling_adds_replications_only_where_they_are_needed() -> None:
    clear = compare("two-tier", PLANES, requests=1000, settle=True, of="p50", jobs=1)
    assert clear.report.replications == 1
    assert all(verdict.settled for verdict in clear.report.verdicts)
    pairs = [(verdict.a, verdict.b) for verdict in clear.report.verdicts if verdict.metric == "p50"]
    assert pairs == [("no-mesh", "istio-sidecar"), ("no-mesh", "cilium"), ("istio-sidecar", "cilium")]
    last = clear.report.verdicts[2]
    assert last.probability_a_lower < 0.001
    assert last.sentence.startswith("The p50 latency of cilium is lower than that of istio-sidecar by ")
    assert "95 % (P > 0.999)" in last.sentence


def test_what_makes_no_difference_is_never_settled_and_the_budget_ends_it() -> None:
    twin = NO_MESH.model_copy(update={"name": "twin"})
    world = application(service("a", [compute(1000)]))
    found = compare(
        world, [NO_MESH, twin], 500, costs=costs(), machine=machine(1), requests=1000, settle=True, budget=5, jobs=1
    )
    assert found.report.replications == 5
    latency, money = found.report.verdicts
    assert latency.difference.value == 0
    assert latency.probability_a_lower == 0.5
    assert not latency.settled
    assert "not settled" in latency.sentence
    assert not money.settled


def test_precision_adds_replications_until_it_is_reached_or_says_what_it_would_take() -> None:
    world = application(service("a", [compute(1000)]))
    asked = {"costs": costs(), "machine": machine(1), "requests": 2000, "jobs": 1, "of": "p90"}
    once = compare(world, [NO_MESH], 500, **{name: asked[name] for name in asked if name != "of"}).report
    reached = compare(world, [NO_MESH], 500, precision=0.06, budget=32, **asked).report
    p90 = reached.rows[0].latency_us.p90
    assert 1 < reached.replications <= 32
    assert (p90.high - p90.low) / 2 <= 0.06 * p90.value
    assert reached.rows[0].requests == 2000 * reached.replications
    exact = 1000 / 0.5 * np.log(10)
    assert p90.value == pytest.approx(exact, rel=0.1)
    assert reached.rows[0].audit.ok
    assert once.rows[0].cpu_cores.total == pytest.approx(reached.rows[0].cpu_cores.total, rel=0.1)
    short = compare(world, [NO_MESH], 500, precision=0.01, budget=2, **asked).report
    assert short.replications == 2
    assert any("p90 is known to ±" in note and "that would take about" in note for note in short.notes)
    assert "--precision 0.06 --of p90 --budget 32" in reached.provenance.command


def test_a_refused_data_plane_does_not_stop_the_others() -> None:
    found = compare("two-tier", ["no-mesh", "istio-sidecar"], 30_000, requests=1000, precision=0.02, budget=2, jobs=1)
    assert [row.dataplane for row in found.report.rows] == ["no-mesh"]
    assert [one.dataplane for one in found.report.refused] == ["istio-sidecar"]


def test_a_study_that_is_stopped_keeps_its_finished_rounds() -> None:
    asked = []

    def stop() -> bool:
        asked.append(1)
        return len(asked) > 12

    world = application(service("a", [compute(1000)]))
    found = compare(
        world, [NO_MESH], 500, costs=costs(), machine=machine(1), requests=1000, precision=0.001, jobs=1,
        should_stop=stop,
    )  # fmt: skip
    assert found.partial
    assert found.report.rows[0].requests == 1000 * found.report.replications


def test_common_random_numbers_narrow_the_difference() -> None:
    # The same queue with and without 50 us of kernel work more: what both meet is nearly all of the noise.
    world = application(service("a", [compute(1000)]))
    runs = {}
    for seed in (1, 2):
        for extra in (0, 50_000):
            book = costs(kernel__tcp__receive={"cpu_ns": extra})
            runs[seed, extra] = simulate(plan(world, 500, book=book), 4000, seed=seed).latency
    halves: dict[bool, float] = {True: 0.0, False: 0.0}
    for a, b in ((1, 1), (2, 2), (1, 2), (2, 1)):
        apart = quantile_difference(runs[a, 50_000], runs[b, 0], 0.9)
        halves[a == b] += apart.high - apart.low
    assert halves[True] < halves[False] / 3


def test_joined_histograms_hold_all_batches_in_order() -> None:
    a, b = (BatchedHistogram.from_values([[10, 20], [big]]) for big in (30, 10**9))
    whole = BatchedHistogram.joined([a, b])
    assert whole.batches == 4
    assert whole.counts.tolist() == [2, 1, 2, 1]
    assert whole.sum_ns == [30, 30, 30, 10**9]
    whole.add(3, 5)
    assert b.total == 3
    with pytest.raises(MeshsimError, match="of one resolution"):
        BatchedHistogram.joined([a, BatchedHistogram(2, 5)])


def test_the_chance_of_the_other_sign_follows_the_interval() -> None:
    t = 2.0930241  # 20 batches
    for sigmas, chance in ((0.0, 0.5), (t, 0.025), (-t, 0.975), (10.0, 0.0)):
        around = Estimate(value=sigmas, low=sigmas - t, high=sigmas + t)
        assert probability_below_zero(around, 20) == pytest.approx(chance, abs=1e-6)
    assert probability_below_zero(Estimate(value=2.0), 20) is None
    assert probability_below_zero(Estimate(value=-2.0, low=-2.0, high=-2.0), 20) == 1.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"of": "p95"}, "of: 'p95' received"),
        ({"precision": 5.0}, "precision: 5 received; must be between 0 and 1"),
        ({"budget": 0}, "budget: 0 received"),
    ],
)
def test_goals_that_make_no_sense_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(MeshsimError, match=message):
        compare("two-tier", **options)


def test_warm_up_is_found_and_is_the_same_for_all_data_planes() -> None:
    inputs = read_inputs("two-tier", PLANES, "gcp-e2-standard-4", ["published"])
    tasks = prepare_points(inputs, Settings("L7", 1000, None, 1, "auto", "spread"), 500.0, None)
    found = find_warmup(tasks, 1000, 1, None, None)
    assert 0.01 <= found.share <= 2
    assert "found by MSER-5" in found.note
    assert find_warmup(tasks, 1000, 1, None, lambda: True) is None
    whole = ms.compare("two-tier", PLANES, requests=1000, warmup="auto", costs=["published"], jobs=1)
    assert found.note in whole.report.notes
    assert f"--warmup {found.share:.12g}" in whole.report.provenance.command
