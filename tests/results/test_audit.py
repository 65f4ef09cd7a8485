"""Every law is broken once, by a single count or nanosecond, and the audit says which."""

from __future__ import annotations

import numpy as np
import pytest
from small import WORK, lone, plan, result, span, sums
from worlds import application, call, compute, service, simulate
from worlds import plan as lowered

from meshsim.results.audit import audit
from meshsim.results.histogram import BatchedHistogram
from meshsim.results.run import RequestRecord


def test_a_run_without_fault_passes_every_check():
    found = audit(result())
    assert found.ok
    assert [check.split(":")[0] for check in found.checks] == [
        "Conservation", "Histograms", "Flow balance", "Little's law", "Utilisation law", "Capacity",
        "Attribution", "CPU against the plan",
    ]  # fmt: skip
    assert found.checks[0] == "Conservation: 2 requests sent = 1 answered + 0 failed + 1 in flight."
    assert "= 2 completions + 1 still present" in found.checks[2]


def two() -> BatchedHistogram:
    return BatchedHistogram.from_values([[100], [100]])


@pytest.mark.parametrize(
    ("law", "changes"),
    [
        ("Conservation: 3 requests sent is not 1 answered + 0 failed + 1 in flight", {"sent": 3}),
        (
            "Conservation: 2 requests sent = 3 answered + 0 failed + -1 in flight",
            {"answered": 3, "in_flight": -1},
        ),
        ("Histograms: 2 requests measured, 1 counted", {"measured": 2}),
        ("Histograms: 1 requests measured, 1 counted", {"entry_latency": [two()]}),
        (
            "Histograms: 1 requests measured, 1 counted with 100 ns in all; by entry 1 with 101 ns",
            {"entry_latency": [BatchedHistogram.from_values([[101], []])]},
        ),
        (
            "Flow balance: 2 arrivals, 3 completions, 150 ns present at threads of a-1 (broken at 1 of 2",
            {"stations": sums(completions=[1, 3])},
        ),
        ("Flow balance: 0 arrivals, 0 completions", {"stations": sums(arrivals=[1, 0], completions=[1, 0])}),
        (
            "Little's law: the integral of the number present is 101 ns",
            {"stations": sums(present_ns=[101, 150])},
        ),
        (
            "Little's law: the integral of the number present is 150 ns",
            {"stations": sums(sojourn_ns=[100, 149])},
        ),
        (
            "Utilisation law: busy for 89 ns, asked for 90 ns of work at CPU",
            {"stations": sums(busy_ns=[89, 100])},
        ),
        (
            "Utilisation law: busy for 90 ns, asked for 91 ns of work at CPU",
            {"stations": sums(charged_ns=[91, 0])},
        ),
        (
            "Capacity: busy for 100 ns with 96 ns of server time",
            {"end_ns": 24, "stations": sums(busy_ns=[48, 100], charged_ns=[48, 0])},
        ),
        (
            "Capacity: busy for 151 ns with 8000 ns of server time and 150 ns of visitors' time at threads",
            {"stations": sums(busy_ns=[90, 151])},
        ),
        (
            "Attribution: wrong for 1 of 2 whole requests, first for request 7: a span has a gap",
            {"records": [lone(), RequestRecord(7, [span(0, -1, [(WORK, 0, 4, 4), (WORK, 5, 9, 4)])])]},
        ),
    ],
)
def test_one_broken_law_fails_the_audit_and_is_named_first(law, changes):
    found = audit(result(**changes))
    assert not found.ok
    assert found.checks[0].startswith(f"FAILED {law}")
    assert not any("FAILED" in check for check in found.checks[1:])
    assert len(found.checks) == 8


def test_failures_come_before_warnings_and_those_before_what_holds():
    heavy = plan()
    heavy.station_load = np.array([0.9, 0.0])
    found = audit(result(sent=3, plan=heavy, records=[lone(n) for n in range(40)], cancelled=True))
    assert [check.split()[0] for check in found.checks[:4]] == [
        "FAILED",
        "WARNING",
        "Cancelled:",
        "Histograms:",
    ]


def test_less_cpu_than_planned_is_a_warning_and_no_failure():
    records = [lone(n) for n in range(40)]
    # 90 ns of CPU were measured a request; a load of 0.000046 on 2 cores at 1000 a second is 92 ns of each.
    for load, warned in ((0.000045, False), (0.000046, True)):
        of_plan = plan()
        of_plan.station_load = np.array([load, 0.5])
        found = audit(result(plan=of_plan, records=records))
        assert found.ok
        assert found.checks[0].startswith("WARNING CPU against the plan: 0.1 us a request") == warned
    assert "not compared, with 0 failed requests and 1 whole ones" in audit(result()).checks[-1]


def test_a_cancelled_run_says_what_it_covers():
    found = audit(result(cancelled=True))
    assert found.ok
    assert found.checks[0] == "Cancelled: this covers only the 1 measured requests answered until then."


@pytest.mark.parametrize("slice_us", [0.0, 100.0])
def test_a_simulated_run_passes_and_its_cpu_is_what_the_plan_expected(slice_us):
    app = application(service("a", [compute(300), call("b")]), service("b", [compute(400)]))
    run = simulate(lowered(app, 800, slice_us=slice_us), 1500)
    found = audit(run)
    assert found.ok, found.checks
    assert not any("WARNING" in check or "not compared" in check for check in found.checks)
    run.stations.sojourn_ns[0] += 1
    assert audit(run).checks[0].startswith("FAILED Little's law")
