"""Several books as one; scaling to a measured host; two books side by side."""

from __future__ import annotations

import math
from typing import Any

import pytest

from meshsim.costs.book import CostBook
from meshsim.costs.books import Costs, MissingCost
from meshsim.costs.diff import diff


def book(name: str, host: bool = False, **times: float) -> CostBook:
    entries: list[dict[str, Any]] = [
        {
            "operation": operation.replace("__", "."),
            "unit": "message",
            "cpu_ns": ns,
            "standard_error": 0.1,
            "source": "measured" if host else "published",
            "reference": "a test",
        }
        for operation, ns in times.items()
    ]
    return CostBook.model_validate(
        {"schema": "meshsim/costs/1", "name": name, "host": {"kernel": "x"} if host else {}, "entries": entries}
    )


PUBLISHED = book(
    "published", proxy__e__a=100, proxy__e__b=200, proxy__e__c=400, proxy__l__a=50, kernel__x=10, memory__e__base=7
)
MEASURED = book("mine", host=True, proxy__e__a=50, proxy__e__b=40, proxy__e__c=100)


def test_a_measured_book_wins_and_brings_what_it_lacks_to_its_host() -> None:
    costs = Costs([MEASURED, PUBLISHED])
    assert costs["proxy.e.a"].cpu_ns == 50
    # Ratios 1/2, 1/5 and 1/4: their median, and the median deviation of their logarithms.
    factor = 0.25
    scatter = 1.4826 * math.log(0.25 / 0.2)
    scaled = costs["proxy.l.a"]
    assert scaled.cpu_ns == pytest.approx(50 * factor)
    assert scaled.standard_error == pytest.approx(math.hypot(0.1, scatter))
    assert "proxy times of published × 0.25" in scaled.reference
    assert costs["kernel.x"].cpu_ns == 10  # no kernel operation is shared, so nothing is known about that
    (scale,) = costs.scales
    assert scale.operations == ("proxy.e.a", "proxy.e.b", "proxy.e.c")


def test_a_published_book_in_front_scales_nothing() -> None:
    assert Costs([PUBLISHED, MEASURED]).scales == []
    assert Costs([PUBLISHED, MEASURED])["proxy.e.a"].cpu_ns == 100


def test_two_shared_operations_are_too_few() -> None:
    few = book("mine", host=True, proxy__e__a=50, proxy__e__b=100)
    assert Costs([few, PUBLISHED]).scales == []


def test_a_missing_cost_names_the_operation_and_the_books() -> None:
    with pytest.raises(MissingCost, match=r"'proxy.e.z' in the books searched \(mine, published\); did you mean"):
        Costs([MEASURED, PUBLISHED])["proxy.e.z"]


def test_a_diff_shows_ratios_with_intervals_and_what_only_one_knows() -> None:
    found = diff(PUBLISHED, MEASURED)
    by_operation = {one.operation: one for one in found.ratios}
    one = by_operation["proxy.e.c"]
    assert one.ratio == 0.25
    assert one.low is not None
    assert one.high is not None
    assert one.low < 0.25 < one.high < 1
    assert one.differs
    assert found.only_first == ["proxy.l.a", "kernel.x", "memory.e.base"]
    assert found.only_second == []
    assert not diff(MEASURED, MEASURED).ratios[0].differs
