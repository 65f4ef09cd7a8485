"""How requests come in: rates over time are inverted exactly, and everything is keyed by the request's number."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from worlds import application, compute, plan, service, simulate

from meshsim.plan.plan import Plan
from meshsim.scenario.scenario import Scenario
from meshsim.scenario.yaml_io import InputError, parse_text

APP = application(service("a", [compute(1, "constant")]))


def lowered(**load: Any) -> Plan:
    rps = load.pop("rps", 1000)
    arrivals = load.pop("arrivals", "constant")
    return plan(APP, rps, cores=64, arrivals=arrivals, load={"overload": "simulate", **load})


def times(count: int = 100, **load: Any) -> list[int]:
    """Arrivals, ns."""
    result = simulate(lowered(**load), count, warmup=0.0, sample=1_000_000)
    return [r.spans[0].start_ns for r in sorted(result.records, key=lambda r: r.request)]


def test_a_burst_comes_at_one_instant_and_the_rate_stays() -> None:
    assert times(rps=1000, burst=4)[:9] == [4_000_000] * 4 + [8_000_000] * 4 + [12_000_000]


def test_a_rate_that_changes_in_the_middle_of_a_gap_is_inverted_exactly() -> None:
    # 100 a second until 25 ms, so requests at 10 and 20 ms; then 1000 a second. At 25 ms half of the third gap is
    # spent; the other half takes 0.5 ms at the new rate.
    steps = [{"at_s": 0.0, "rps": 100.0}, {"at_s": 0.025, "rps": 1000.0}]
    got = times(rates=steps)
    expected = [10_000_000, 20_000_000, *(25_500_000 + k * 1_000_000 for k in range(98))]
    assert all(abs(a - b) <= 1 for a, b in zip(got, expected, strict=True))


def test_nobody_comes_while_the_rate_is_zero() -> None:
    steps = [{"at_s": 1.0, "rps": 1000.0}, {"at_s": 1.0105, "rps": 0.0}, {"at_s": 2.0, "rps": 1000.0}]
    got = times(rates=steps)
    assert got[:10] == [1_000_000_000 + k * 1_000_000 for k in range(1, 11)]
    assert abs(got[10] - 2_000_500_000) <= 1


def test_a_flash_crowd_comes_and_goes() -> None:
    got = np.array(times(4000, rps=500, flash_crowd={"at_s": 1.0, "times": 4, "hold_s": 1.0, "decay_s": 1.0}))
    counts = np.histogram(got / 1e9, bins=[0, 1, 2, 3, 4])[0]
    # 500, then 4 x 500, then (4 + 1) / 2 x 500, then 500 again.
    assert np.abs(counts - [500, 2000, 1250, 250]).max() <= 1


def test_a_day_has_its_swing_and_its_mean() -> None:
    got = np.array(times(4000, rps=1000, diurnal={"period_s": 2.0, "swing": 0.5})) / 1e9
    first, second = np.histogram(got, bins=[0, 1, 2])[0]
    assert first == pytest.approx(1000 * (1 + 0.5 * 2 / np.pi), abs=3)
    assert first + second == pytest.approx(2000, abs=2)


def test_mmpp_has_the_rates_of_its_states_and_is_burstier_than_poisson() -> None:
    states = [{"rps": 200.0, "mean_s": 0.5}, {"rps": 1800.0, "mean_s": 0.5}]
    got = np.array(times(60_000, arrivals="poisson", mmpp=states)) / 1e9
    assert len(got) / got[-1] == pytest.approx(1000, rel=0.15)
    counts = np.histogram(got, bins=np.arange(0, got[-1], 0.1))[0]
    # Index of dispersion of an MMPP-2 (Fischer and Meier-Hellstern 1993): 1 + 2 p q (l1 - l2)**2 / (l s) (1 - (1 -
    # exp(-s t)) / (s t)), with s = 4 switches a second, t = 0.1 s.
    s, t = 4.0, 0.1
    theory = 1 + 2 * 0.25 * 1600**2 / (1000 * s) * (1 - (1 - np.exp(-s * t)) / (s * t))
    assert counts.var() / counts.mean() == pytest.approx(theory, rel=0.15)
    poisson = np.array(times(20_000, arrivals="poisson")) / 1e9
    counts = np.histogram(poisson, bins=np.arange(0, poisson[-1], 0.1))[0]
    assert counts.var() / counts.mean() == pytest.approx(1.0, rel=0.25)


def test_a_closed_loop_of_one_sends_when_it_has_its_answer_and_has_thought() -> None:
    app = application(service("a", [compute(300, "constant")]))
    closed = {"clients": 1, "think_ms": 0.7, "think": "constant"}
    result = simulate(plan(app, 1, load={"closed": closed}), 100, warmup=0.0, sample=1000)
    starts = [r.spans[0].start_ns for r in sorted(result.records, key=lambda r: r.request)]
    assert starts[0] == 700_000
    assert {b - a for a, b in pairwise(starts)} == {1_000_000}


def test_a_rates_file_is_read_beside_the_scenario(tmp_path: Any) -> None:
    from meshsim.studies.single import simulate as simulate_scenario

    (tmp_path / "rates.csv").write_text("at_s,rps\n0,200\n0.5,400\n")
    (tmp_path / "s.yaml").write_text(
        "application: two-tier\nload: {rates_file: rates.csv, arrivals: constant}\nrun: {requests: 300}\n"
    )
    result = simulate_scenario(tmp_path / "s.yaml").result
    assert result.plan.arrivals.length.tolist() == [500_000_000, -1]
    (tmp_path / "rates.csv").write_text("at_s,rps\n0,200\n0.5,x\n")
    with pytest.raises(InputError, match=r"rates\.csv:3: 'x' received"):
        simulate_scenario(tmp_path / "s.yaml")


@pytest.mark.parametrize(
    ("load", "said"),
    [
        ("{burst: 2, closed: {clients: 3}}", "burst and closed are given"),
        ("{diurnal: {}, flash_crowd: {at_s: 1}}", "diurnal and flash_crowd are given; choose one"),
        ("{rates: [{at_s: 1, rps: 5}, {at_s: 1, rps: 6}]}", "at_s must rise from step to step"),
        ("{rates: [{at_s: 1, rps: 0}]}", "the run would never end"),
        ("{mmpp: [{rps: 0, mean_s: 1}, {rps: 0, mean_s: 1}]}", "every state has rps 0"),
        ("{closed: {clients: 0}}", "0 received; must be at least 1"),
    ],
)
def test_loads_that_make_no_sense_are_refused(load: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        parse_text(Scenario, f"application: a\nload: {load}\n")
