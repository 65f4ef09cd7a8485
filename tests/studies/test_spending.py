"""The parts of CPU, memory and money add up to the row, and the odds are those of costs drawn at random."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from meshsim.app.approximate import Approximation, Place, at_rates, costs, prepared
from meshsim.engines import analytic
from meshsim.studies.estimate import estimated_row
from meshsim.studies.sensitivity import with_factors
from meshsim.studies.spending import Part, Spending, factors, formula, odds

PLACE = Place("online-boutique", 11, "istio-sidecar")


def spent(dataplane: str, rps: float = 500.0, services: int = 11) -> Approximation:
    (found,) = at_rates(replace(PLACE, dataplane=dataplane, services=services), [rps])
    assert isinstance(found, Approximation)
    return found


@pytest.mark.parametrize("dataplane", ["no-mesh", "istio-sidecar", "linkerd", "cilium", "istio-ambient"])
def test_parts_add_up_to_the_row(dataplane: str) -> None:
    found = spent(dataplane)
    assert found.spent.cores == pytest.approx(found.row.cpu_cores.total, rel=1e-12)
    assert found.spent.mib == pytest.approx(found.row.memory_mib, rel=1e-12)
    assert found.spent.usd_month == pytest.approx(found.row.usd_month, rel=1e-12)


def test_other_costs_give_what_lowering_with_them_gives() -> None:
    """Nothing has to be solved again: against doing so. How often threads are woken depends a little on the costs."""
    found = spent("istio-sidecar", 500.0).spent
    drawn = {name: one[2:3] for name, one in factors((found,), 3).items()}
    ready = prepared(PLACE)
    other = replace(ready, costs=with_factors(costs(), {name: float(one[0]) for name, one in drawn.items() if name}))
    row = estimated_row(analytic.solve(other.plan, 500.0), "istio-sidecar", 11, ready.machine)
    assert found.under(drawn, "memory_mib")[0] == pytest.approx(row.memory_mib, rel=1e-9)
    assert found.under(drawn, "usd_month")[0] == pytest.approx(row.usd_month, rel=5e-3)
    assert found.under(drawn, "cpu_cores")[0] == pytest.approx(row.cpu_cores.total, rel=5e-3)
    assert row.cpu_cores.total != pytest.approx(found.cores, rel=1e-2)  # else the draws moved nothing


def made(dataplane: str, *parts: Part) -> Spending:
    price = replace(spent(dataplane).spent.price, reserved_cores=0.0, reserved_memory_mib=0.0)
    return Spending(dataplane, 11, 500.0, parts, price)


def test_odds_of_two_lognormal_costs_are_those_of_theory() -> None:
    a = made("istio-sidecar", Part("a.one", "proxy", 1.0, 1.0, standard_error=0.2))
    b = made("linkerd", Part("b.one", "proxy", 1.0, 1.1, standard_error=0.1))
    sigma = math.hypot(*(math.sqrt(math.log1p(error**2)) for error in (0.2, 0.1)))
    theory = 0.5 * (1 + math.erf(math.log(1.1) / sigma / math.sqrt(2)))
    draws = 20_000
    half = 3 * math.sqrt(theory * (1 - theory) / draws)
    assert odds(a, b, "cpu_cores", draws).probability == pytest.approx(theory, abs=half)
    assert odds(a, b, "usd_month", draws).probability == pytest.approx(theory, abs=half)  # CPU alone sets the price
    assert odds(b, a, "cpu_cores", draws).probability == pytest.approx(1 - theory, abs=half)
    # Negative control: without errors there is no doubt.
    exact = [replace(one, parts=(replace(one.parts[0], standard_error=0.0),)) for one in (a, b)]
    assert odds(*exact, "cpu_cores").probability == 1.0


def test_a_cost_that_both_pay_cancels() -> None:
    both = Part("both.pay", "kernel", 1.0, 5.0, standard_error=0.5)
    a = made("istio-sidecar", both, Part("a.one", "proxy", 1.0, 1.0, standard_error=0.01))
    b = made("linkerd", both, Part("b.one", "proxy", 1.0, 1.1, standard_error=0.01))
    assert odds(a, b, "cpu_cores").probability > 0.99
    other = made(
        "linkerd", replace(both, operation="not.shared"), Part("b.one", "proxy", 1.0, 1.1, standard_error=0.01)
    )
    assert 0.3 < odds(a, other, "cpu_cores").probability < 0.7  # else anything would cancel


def test_the_same_costs_half_of_the_chance() -> None:
    one = spent("istio-sidecar").spent
    found = odds(one, one)
    assert found.probability == 0.5
    assert set(found.differences) == {0.0}


def test_the_formula_holds_the_numbers_of_the_machine_and_the_bill() -> None:
    found = spent("istio-sidecar").spent
    cpu, memory, last = formula(found)
    assert f"over {found.price.machine.allocatable_cores} cores that a node offers" in cpu
    assert f"{found.price.reserved_memory_mib:,.4g} MiB reserved" in memory
    assert last.endswith(f"= {found.usd_month:,.2f} dollars a month")
    machine = found.price.machine
    assert f"{machine.usd_hour:.6g} dollars an hour ({machine.name}, {machine.price_date}) x 730 hours a month" in last


def test_draws_are_paired_and_differ_between_costs() -> None:
    one = spent("istio-sidecar").spent
    drawn = factors((one,), 500)
    uncertain = [name for name in drawn if np.ptp(drawn[name]) > 0]
    assert len(uncertain) > 5
    assert abs(np.corrcoef(drawn[uncertain[0]], drawn[uncertain[1]])[0, 1]) < 0.2
