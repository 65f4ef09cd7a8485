"""Load as integers: rates over time become mean gaps, so that an engine inverts them without rounding of its own.

A piecewise constant rate is inverted, not thinned: request k comes where the expected number of requests reaches the
sum of its first k unit gaps (Çinlar, *Introduction to Stochastic Processes*, 1975, chapter 4: time change). Units are
2**-``shift`` ns, as fine as 64 bits allow, because gaps add up.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from meshsim.plan.plan import Ints
from meshsim.scenario.base import MeshsimError
from meshsim.scenario.load import Load

SCHEDULE, MMPP, CLOSED = 0, 1, 2
"""Kinds of load: rates on a schedule, rates by random states in turn, clients that wait for their answers."""
DAY_STEPS = 48
DECAY_STEPS = 20
LONGEST_GAP = 1 << 33


@dataclass(frozen=True)
class Arrivals:
    """One row a piece of time (or a state): (k,) arrays."""

    kind: int
    length: Ints
    """Length of a piece, or mean stay in a state, ns; -1: for ever."""
    gap_mean: Ints
    """Mean gap, 2**-shift ns; 0: nobody comes."""
    shift: int
    cyclic: bool
    """After the last piece comes the first again."""
    burst: int
    clients: int
    think_ns: int
    think_constant: bool


def arrivals_of(load: Load) -> Arrivals:
    """Pieces of a load. MeshsimError for a rates file that was not read."""
    pieces, cyclic = _pieces(load)
    per_gap = load.burst
    slowest = min(rps for _, rps in pieces if rps > 0)
    longest = int(1e9 * per_gap / slowest)
    shift = max(0, min(20, LONGEST_GAP.bit_length() - 1 - longest.bit_length()))
    return Arrivals(
        kind=CLOSED if load.closed else MMPP if load.mmpp else SCHEDULE,
        length=np.array(
            [-1 if seconds == math.inf else max(1, round(seconds * 1e9)) for seconds, _ in pieces], np.int64
        ),
        gap_mean=np.array(
            [max(1, round(1e9 * per_gap / rps * (1 << shift))) if rps else 0 for _, rps in pieces], np.int64
        ),
        shift=shift,
        cyclic=cyclic,
        burst=load.burst,
        clients=load.closed.clients if load.closed else 0,
        think_ns=round(load.closed.think_ms * 1e6) if load.closed else 0,
        think_constant=load.closed is not None and load.closed.think == "constant",
    )


def mean_rps(load: Load) -> float:
    """The rate that the plan expects: over a cycle, before a crowd, or of the busiest step that lasts on.

    For a closed loop it is what its clients would send if answers took no time but thinking (or 1 ms).
    """
    if load.closed:
        return load.closed.clients * 1000.0 / max(load.closed.think_ms, 1.0)
    if load.mmpp:
        return sum(s.rps * s.mean_s for s in load.mmpp) / sum(s.mean_s for s in load.mmpp)
    return load.rates[-1].rps if load.rates else load.rps


def _pieces(load: Load) -> tuple[list[tuple[float, float]], bool]:
    """(seconds, requests a second) of each piece, and whether they repeat."""
    if load.rates_file is not None:
        raise MeshsimError(f"load.rates_file: {load.rates_file!r} was not read; give the scenario by its path")
    if load.mmpp:
        return [(state.mean_s, state.rps) for state in load.mmpp], True
    if load.diurnal:
        day = load.diurnal
        middle = [(k + 0.5) / DAY_STEPS * 2 * math.pi for k in range(DAY_STEPS)]
        return [(day.period_s / DAY_STEPS, load.rps * (1 + day.swing * math.sin(x))) for x in middle], True
    if load.flash_crowd:
        crowd = load.flash_crowd
        pieces = [(crowd.at_s, load.rps)] if crowd.at_s else []
        pieces.append((crowd.hold_s, load.rps * crowd.times))
        if crowd.decay_s:
            for k in range(DECAY_STEPS):
                share = 1 - (k + 0.5) / DECAY_STEPS
                pieces.append((crowd.decay_s / DECAY_STEPS, load.rps * (1 + (crowd.times - 1) * share)))
        return [*pieces, (math.inf, load.rps)], False
    if load.rates:
        steps = load.rates
        before = [(steps[0].at_s, 0.0)] if steps[0].at_s else []
        ends = [step.at_s for step in steps[1:]] + [math.inf]
        return before + [(end - step.at_s, step.rps) for step, end in zip(steps, ends, strict=True)], False
    return [(math.inf, load.rps)], False
