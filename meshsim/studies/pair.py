"""Two scenarios on the same random numbers: what the second needs more or less than the first, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from meshsim.plan.lower import OverloadedError
from meshsim.results.rows import Difference, Out, Refused, Row
from meshsim.scenario.base import MeshsimError
from meshsim.studies.inputs import jobs_for
from meshsim.studies.point import Point, difference, plain_difference, simulate_point
from meshsim.studies.pool import Progress, Stop, run_all
from meshsim.studies.setup import Prepared


class PairReport(Out):
    """Scenario A, scenario B, and B minus A."""

    schema_: Literal["meshsim/pair/1"] = Field(default="meshsim/pair/1", alias="schema")
    a: Row
    b: Row
    difference: Difference = Field(description="b minus a, on the same random numbers; baseline is the data plane of a")
    partial: bool = False


def pair(
    a: Prepared,
    b: Prepared,
    *,
    jobs: int | None = None,
    on_progress: Progress | None = None,
    should_stop: Stop | None = None,
) -> PairReport | None:
    """Simulate both; None if stopped. MeshsimError if their seeds or numbers of requests differ, OverloadedError if
    one of them cannot carry its load.

    The same seed gives both the same arrivals and, as far as they are the same application, the same branches and
    service times: what is common cancels in the difference.
    """
    for name in ("seed", "requests"):
        first, second = getattr(a.scenario.run, name), getattr(b.scenario.run, name)
        if first != second:
            raise MeshsimError(f"run.{name}: {first} of A and {second} of B received; pairs need the same")
    found: dict[int, Point | Refused] = {}

    def keep(index: int, one: Point | Refused) -> None:
        found[index] = one

    tasks: Sequence[Prepared] = (a, b)
    size = a.scenario.run.requests
    complete = run_all(  # type: ignore[misc]  # mypy cannot take None out of a union of three
        simulate_point,
        tasks,
        size=size,
        jobs=jobs_for(jobs, 2, size),
        on_result=keep,
        on_progress=on_progress,
        should_stop=should_stop,
    )
    for index, one in sorted(found.items()):
        if isinstance(one, Refused):
            raise OverloadedError(f"{'AB'[index]}, {one.dataplane} with {one.services} services: {one.reason}")
    if not complete:
        return None
    first_point, second_point = found[0], found[1]
    assert isinstance(first_point, Point)
    assert isinstance(second_point, Point)
    return PairReport(a=first_point.row, b=second_point.row, difference=difference(second_point, first_point))


def pair_of_rows(a: Row, b: Row) -> PairReport:
    """Of two rows of the analytic engine."""
    return PairReport(a=a, b=b, difference=plain_difference(b, a))
