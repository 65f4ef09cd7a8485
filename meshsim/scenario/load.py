"""Load: how requests come in. An open loop does not wait for answers, a closed one does."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field, model_validator

from meshsim.scenario.base import Strict

Rps = Annotated[float, Field(ge=0, le=100_000_000)]
Seconds = Annotated[float, Field(gt=0, le=31_536_000)]


class State(Strict):
    """One state of a Markov-modulated Poisson process."""

    rps: Annotated[Rps, Field(description="Requests a second in this state")]
    mean_s: Annotated[Seconds, Field(description="Mean stay, exponential, seconds")]


class Diurnal(Strict):
    """A day: the rate is `rps` x (1 + swing x sin), in 48 steps; it starts at the mean, rising."""

    period_s: Annotated[Seconds, Field(description="Length of the day, seconds")] = 86_400.0
    swing: Annotated[float, Field(gt=0, le=1, description="Largest deviation from the mean, as a share of it")] = 0.5


class FlashCrowd(Strict):
    """A sudden crowd: `rps` before, `times` as much at once for `hold_s`, then back in a straight line (20 steps)."""

    at_s: Annotated[float, Field(ge=0, le=31_536_000, description="When it comes, seconds from the start")]
    times: Annotated[float, Field(gt=1, le=10_000, description="Rate at the peak over `rps`")] = 5.0
    hold_s: Annotated[Seconds, Field(description="How long the peak lasts, seconds")] = 1.0
    decay_s: Annotated[float, Field(ge=0, le=31_536_000, description="How long it takes to go, seconds")] = 0.0


class Step(Strict):
    """From a time on, another rate."""

    at_s: Annotated[float, Field(ge=0, le=31_536_000, description="Seconds from the start")]
    rps: Annotated[Rps, Field(description="Requests a second from then on")]


class Closed(Strict):
    """Clients that each send a request, wait for its answer, think, and send the next."""

    clients: Annotated[int, Field(ge=1, le=1_000_000)]
    think_ms: Annotated[float, Field(ge=0, le=86_400_000, description="Mean time from answer to next request, ms")] = 0
    think: Annotated[Literal["exponential", "constant"], Field(description="Law of the time to think")] = "exponential"


class Load(Strict):
    """Traffic from outside. At most one of mmpp, diurnal, flash_crowd, rates, rates_file and closed shapes it."""

    rps: Annotated[float, Field(ge=0.1, le=100_000_000, description="Requests a second, over all entries")] = 500.0
    arrivals: Annotated[
        Literal["poisson", "constant"], Field(description="Gaps between requests (between bursts, with `burst`)")
    ] = "poisson"
    burst: Annotated[int, Field(ge=1, le=1_000_000, description="So many requests come at the same instant")] = 1
    mmpp: Annotated[
        list[State] | None,
        Field(min_length=2, max_length=1000, description="States in turn, from the first; `rps` is then not used"),
    ] = None
    diurnal: Diurnal | None = None
    flash_crowd: FlashCrowd | None = None
    rates: Annotated[
        list[Step] | None,
        Field(min_length=1, description="Rates over time; before the first step nothing comes; `rps` is not used"),
    ] = None
    rates_file: Annotated[
        str | None, Field(description="The same from a CSV file with the columns at_s and rps, with or without header")
    ] = None
    closed: Closed | None = None
    overload: Annotated[
        Literal["refuse", "simulate"],
        Field(description="What to do if a station would have to work more than it can: queues then grow without end"),
    ] = "refuse"

    @model_validator(mode="after")
    def _one_shape(self) -> Load:
        shapes = ("mmpp", "diurnal", "flash_crowd", "rates", "rates_file", "closed")
        given = [name for name in shapes if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"load: {' and '.join(given)} are given; choose one of them")
        if self.rates is not None:
            times = [step.at_s for step in self.rates]
            if any(b <= a for a, b in pairwise(times)):
                raise ValueError(f"load.rates: at_s must rise from step to step; received {times[:10]}")
            if self.rates[-1].rps == 0:
                raise ValueError("load.rates: the last rate is 0, so the run would never end; the last step lasts on")
        if self.mmpp is not None and all(state.rps == 0 for state in self.mmpp):
            raise ValueError("load.mmpp: every state has rps 0; nothing would ever come")
        if self.closed is not None and self.burst > 1:
            raise ValueError("load: burst and closed are given; clients of a closed loop send one request each")
        return self


__all__ = ["Closed", "Diurnal", "FlashCrowd", "Load", "State", "Step"]
