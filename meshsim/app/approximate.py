"""What the analytic engine says of one data plane at one size: plans are lowered once, and then answer any rate.

As in ``meshsim grow``: a namespace's waypoint has more replicas as there is more traffic (``keep_pace``), so the
numbers are those of ``grow --engine analytic``. Knows nothing of Streamlit: a process beside the server runs this.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from meshsim.app import uploads
from meshsim.app.terms import USUAL, Terms
from meshsim.costs.books import Costs
from meshsim.engines import analytic
from meshsim.results.rows import Refused, Row
from meshsim.scenario.base import MeshsimError
from meshsim.scenario.catalog import load_costs
from meshsim.studies import defaults
from meshsim.studies.estimate import estimated_row
from meshsim.studies.grow import keep_pace
from meshsim.studies.inputs import Inputs, Settings, prepare_points, read_inputs
from meshsim.studies.reality import with_reality
from meshsim.studies.setup import Prepared
from meshsim.studies.spending import Spending, spending

KEPT_PLANS = 64
"""The largest, 2,000 services, takes some tens of MiB."""


@dataclass(frozen=True, order=True)
class Place:
    """A data plane under an application of some size: one plan."""

    application: str
    services: int
    dataplane: str
    terms: Terms = USUAL


@dataclass(frozen=True)
class Approximation:
    """The row of one plan at one rate, and what its costs rest on."""

    row: Row
    spent: Spending
    """What CPU, memory and money of the row are made of."""


Answer = Approximation | Refused


@lru_cache(maxsize=1)
def costs() -> Costs:
    """The usual cost books, read once."""
    return load_costs(defaults.COSTS)


@lru_cache(maxsize=256)
def inputs(application: str, dataplane: str, terms: Terms = USUAL) -> Inputs:
    """The application, the data plane and the machine on these terms, the usual costs; read in."""
    return read_inputs(uploads.source(application), [terms.dataplane(dataplane)], terms.machine(), costs())


@lru_cache(maxsize=KEPT_PLANS)
def prepared(place: Place) -> Prepared:
    """Ready to be lowered (``.plan``, kept too), at the usual rate for this size; a load beyond it is not refused."""
    read_in = inputs(place.application, place.dataplane, place.terms)
    growth = place.services / len(read_in.application.services)
    settings = Settings("L7", defaults.GROW_REQUESTS, None, 1, "auto", "spread", defaults.GROW_SAMPLE)
    (one,) = prepare_points(keep_pace(read_in, growth), settings, defaults.RPS * growth, place.services)
    load = one.scenario.load.model_copy(update={"overload": "simulate"})
    return replace(one, scenario=one.scenario.model_copy(update={"load": load}))


def at_rates(place: Place, rates: Sequence[float]) -> list[Answer]:
    """One answer a rate, requests a second. Refused where the data plane cannot do what is asked, or does not fit."""
    ready = prepared(place)
    try:
        plan = ready.plan
    except MeshsimError as error:
        return [
            Refused(dataplane=place.dataplane, services=place.services, rps=rate, reason=str(error)) for rate in rates
        ]
    found: list[Answer] = []
    for rate in rates:
        result = analytic.solve(plan, rate)
        row = with_reality(estimated_row(result, place.dataplane, place.services, ready.machine), ready)
        spent = spending(plan, ready.costs, row, ready.machine, result.cores_by_tag.tolist())
        found.append(Approximation(row, spent))
    return found
