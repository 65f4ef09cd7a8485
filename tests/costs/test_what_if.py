"""Scaled costs and families of costs."""

from __future__ import annotations

import math

import pytest
from worlds import cost, costs

from meshsim.costs.book import CostBook
from meshsim.costs.books import Costs
from meshsim.costs.what_if import what_if
from meshsim.scenario.base import MeshsimError
from meshsim.scenario.catalog import load_costs
from meshsim.scenario.scenario import Scenario
from meshsim.studies.compare import compare
from meshsim.studies.single import simulate

FAMILY = {"operations": "proxy.other", "like": "proxy.box", "factor": 2.0, "standard_error": 0.4, "source": "derived",
          "reference": "twice"}  # fmt: skip


def book(*families: dict[str, object], **fields: object) -> CostBook:
    return CostBook.model_validate({"schema": "meshsim/costs/1", "name": "b", "families": list(families), **fields})


def with_family(**changes: object) -> Costs:
    base = [
        cost("proxy.box.wakeup", cpu_ns=43.0, wait_ns=50.0, law="lognormal", cv=0.85, kernel_share=0.85),
        cost("proxy.box.http1.request", cpu_ns=33.0),
    ]
    return Costs([book({**FAMILY, **changes}, entries=base)])


def test_a_family_is_the_other_operation_times_a_factor() -> None:
    member = with_family(wait_factor=3.0)["proxy.other.wakeup"]
    assert (member.cpu_ns, member.wait_ns, member.cv, member.kernel_share) == (86.0, 150.0, 0.85, 0.85)
    assert member.standard_error == pytest.approx(math.hypot(0.3, 0.4))
    assert member.reference.startswith("2 (waiting 3) x proxy.box.wakeup. twice")


def test_what_comes_from_an_assumption_is_one() -> None:
    assert with_family()["proxy.other.wakeup"].source == "assumed"  # the box's costs are


def test_parts_choose_and_an_entry_of_its_own_wins() -> None:
    some = with_family(parts=["http1.*"])
    assert "proxy.other.http1.request" in some
    assert "proxy.other.wakeup" not in some
    own = Costs([book(FAMILY, entries=[cost("proxy.other.wakeup", cpu_ns=1.0), cost("proxy.box.wakeup", cpu_ns=43.0)])])
    assert own["proxy.other.wakeup"].cpu_ns == 1.0


def test_a_family_follows_a_book_that_measured_the_other_operation_anew() -> None:
    measured = book(entries=[cost("proxy.box.http1.request", cpu_ns=10.0)]).model_copy(update={"name": "mine"})
    published = book(FAMILY, entries=[cost("proxy.box.http1.request", cpu_ns=33.0)])
    assert Costs([measured, published])["proxy.other.http1.request"].cpu_ns == 20.0


def test_a_family_like_nothing_is_refused() -> None:
    with pytest.raises(MeshsimError, match=r"family proxy.other is like proxy.nobody, but no book prices"):
        with_family(like="proxy.nobody")


# ----- what if ------------------------------------------------------------------------------------------------


def test_patterns_scale_every_amount_and_factors_multiply() -> None:
    base = costs(proxy__box__wakeup={"cpu_ns": 40, "wait_ns": 50}, memory__box__base={"bytes": 60})
    scaled = what_if(base, {"*.wakeup": 0.5, "proxy.box.*": 0.5, "memory.*": 2})
    assert (scaled["proxy.box.wakeup"].cpu_ns, scaled["proxy.box.wakeup"].wait_ns) == (10, 12.5)
    assert scaled["memory.box.base"].bytes == 120
    assert "What if *.wakeup x 0.5, proxy.box.* x 0.5" in scaled["proxy.box.wakeup"].reference
    assert what_if(base, {}) is base


def test_a_family_does_not_follow_what_was_only_imagined_of_the_other() -> None:
    scaled = what_if(load_costs(["published"]), {"proxy.envoy.http1.*": 0})
    assert scaled["proxy.envoy.http1.request"].cpu_ns == 0
    assert scaled["proxy.dapr.http1.request"].cpu_ns == pytest.approx(2.07 * 33_000)


def test_a_pattern_that_matches_nothing_names_the_nearest() -> None:
    with pytest.raises(MeshsimError, match=r"what_if: '\*.wakup' matches no operation; did you mean '\*.wakeup'"):
        what_if(load_costs(["published"]), {"*.wakup": 0})


@pytest.mark.parametrize("factor", [-0.5, math.inf, math.nan])
def test_a_factor_is_finite_and_not_negative(factor: float) -> None:
    with pytest.raises(MeshsimError, match=r"what_if: \*: .* received"):
        what_if(costs(), {"*": factor})


def test_what_an_optimisation_is_worth_end_to_end() -> None:
    usual, awake, parsed = (
        simulate(Scenario.model_validate({"application": "two-tier", "dataplane": "istio-sidecar", "what_if": factors,
                                          "costs": ["published"], "load": {"rps": 200}, "run": {"requests": 500}}))
        for factors in ({}, {"proxy.envoy.wakeup": 0}, {"proxy.envoy.http1.*": 0.5})
    )  # fmt: skip
    median = [run.rows[0].latency_us.p50.value for run in (usual, awake, parsed)]
    # Three proxies see the request and the answer from outside: six passes. A wake-up is 82 us, half of parsing 15 us.
    assert median[0] - median[1] == pytest.approx(6 * 82, rel=0.1)
    assert median[0] - median[2] == pytest.approx(4 * 15, rel=0.3)
    assert awake.report.notes == ["what if: costs of proxy.envoy.wakeup x 0"]


def test_a_study_says_what_it_imagined_and_how_to_repeat_it() -> None:
    found = compare("two-tier", ["no-mesh", "linkerd"], 100, requests=200, what_if={"*.wakeup": 0}, jobs=1)
    assert "what if: costs of *.wakeup x 0" in found.report.notes
    assert "--what-if '*.wakeup=0'" in found.report.provenance.command
