"""What others measured on whole meshes, as ratios within one harness, beside what the simulation says of the same two.

The claims are data: ``models/validation/published.yaml``. All are about a generator and an echo server (``two-tier``),
1 KiB there and back; latency is that of the call from one to the other, CPU that of the proxies.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, model_validator

from meshsim.plan.lower import OverloadedError
from meshsim.results.rows import Estimate
from meshsim.results.scoreboard import PublishedRow
from meshsim.scenario.balancing import Connections
from meshsim.scenario.base import MeshsimError, Name, Strict
from meshsim.scenario.catalog import models_root
from meshsim.scenario.scenario import Cluster, Load, Run, Scenario
from meshsim.scenario.yaml_io import parse
from meshsim.studies.single import Simulation, simulate

CALL = "fortioclient/fire -> fortioserver/echo"
REQUESTS = 8000
Scaled = dict[str, Annotated[float, Field(ge=0, le=1e6)]]


class Claim(Strict):
    """One published ratio."""

    name: Name
    quantity: Literal["p50", "p90", "p99", "cpu"]
    dataplane: Annotated[str, Field(description="Its figure is divided …")]
    over: Annotated[str, Field(description="… by that of this one")]
    low: Annotated[float, Field(gt=0, description="Smallest published ratio of repeated runs, or the only one")]
    high: Annotated[float, Field(gt=0)]
    rps: Annotated[float, Field(gt=0)]
    burst: Annotated[int, Field(ge=1, description="So many requests come at the same instant")] = 1
    arrivals: Literal["poisson", "constant"] = "poisson"
    connections: Annotated[int | None, Field(ge=1)] = None
    nodes: Annotated[int, Field(ge=1)] = 2
    policy: Literal["L4", "L7"] = "L7"
    what_if: Annotated[Scaled, Field(description="Costs scaled in both")] = {}
    over_what_if: Annotated[Scaled, Field(description="Costs scaled in the second besides")] = {}
    setting: str
    source: Annotated[str, Field(min_length=3)]
    used_for_fitting: Annotated[bool, Field(description="Whether a cost was derived from this very figure")] = False

    @model_validator(mode="after")
    def _ends_in_order(self) -> Claim:
        if self.high < self.low:
            raise ValueError(f"high: {self.high:g} received; must be at least low, {self.low:g}")
        return self


class Claims(Strict):
    """The file."""

    schema_: Annotated[Literal["meshsim/published/1"], Field(alias="schema")]
    claims: Annotated[list[Claim], Field(min_length=1)]


def claims() -> list[Claim]:
    """All that come with meshsim."""
    return parse(Claims, models_root() / "validation" / "published.yaml").claims


def published_rows(books: Sequence[str], wanted: Sequence[Claim] | None = None) -> list[PublishedRow]:
    """Each claim with what the simulation says, predicted with these cost books."""
    known: dict[str, float | str] = {}
    return [_row(claim, books, known) for claim in (claims() if wanted is None else wanted)]


def _row(claim: Claim, books: Sequence[str], known: dict[str, float | str]) -> PublishedRow:
    figures = [
        _figure(claim, claim.dataplane, claim.what_if, books, known),
        _figure(claim, claim.over, {**claim.what_if, **claim.over_what_if}, books, known),
    ]
    refused = [figure for figure in figures if isinstance(figure, str)]
    numbers = [figure for figure in figures if not isinstance(figure, str)]
    said = Estimate(value=None, note=refused[0]) if refused else Estimate(value=float(f"{numbers[0] / numbers[1]:.4g}"))
    return PublishedRow(
        name=claim.name, quantity=claim.quantity, dataplane=claim.dataplane, over=claim.over, setting=claim.setting,
        source=claim.source, used_for_fitting=claim.used_for_fitting, predicted=said,
        measured=Estimate(value=float(f"{(claim.low * claim.high) ** 0.5:.4g}"), low=claim.low, high=claim.high),
    )  # fmt: skip


def _figure(
    claim: Claim, dataplane: str, what_if: dict[str, float], books: Sequence[str], known: dict[str, float | str]
) -> float | str:
    """One side of a ratio; why it cannot be simulated, if that is so."""
    scenario = Scenario(
        application="two-tier",
        dataplane=dataplane,
        policy=claim.policy,
        cluster=Cluster(nodes=claim.nodes),
        load=Load(rps=claim.rps, burst=claim.burst, arrivals=claim.arrivals),
        connections=[] if claim.connections is None else [Connections(to="fortioserver", max=claim.connections)],
        costs=list(books),
        what_if=what_if,
        run=Run(requests=REQUESTS, seed=5, sample=0),
    )
    key = f"{claim.quantity} {scenario.model_dump_json()}"
    if key not in known:
        try:
            known[key] = _of(simulate(scenario), claim.quantity)
        except (OverloadedError, MeshsimError) as error:
            known[key] = str(error)
    return known[key]


def _of(run: Simulation, quantity: str) -> float:
    if quantity == "cpu":
        tags = zip(run.result.plan.tags, run.result.cpu_ns.sum(axis=0).tolist(), strict=True)
        return float(sum(used for tag, used in tags if tag.component == "proxy")) / run.result.measured
    frame = run.calls()
    (figure,) = frame.loc[frame.call == CALL, f"{quantity}_us"]
    return float(figure)
