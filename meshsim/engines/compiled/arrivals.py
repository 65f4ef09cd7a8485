"""Load: ``meshsim.engines.arrivals`` on flat arrays."""

from __future__ import annotations

import numpy as np

from meshsim.engines.arrivals import STAY, THINK
from meshsim.engines.compiled import state as at
from meshsim.engines.compiled.draws import FRACTION_BITS, HALF, child_key, draw, draw_ns, draw_unit
from meshsim.engines.compiled.events import push
from meshsim.engines.compiled.pointers import Key, State, fixed, int64s, native
from meshsim.engines.frame import ARRIVAL
from meshsim.plan.arrivals import CLOSED, MMPP
from meshsim.plan.draws import ARRIVAL_GAP
from meshsim.plan.laws import ONE

FAR = 1 << 62
"""A piece that ends behind this is never over: the clock of a run does not get there."""


@native
def start_load(S: State) -> None:
    """The first request, or the first of each client."""
    begin_piece(S)
    if fixed(S, at.LOAD_KIND) != CLOSED:
        schedule_request(S, 0)
    for client in range(fixed(S, at.CLIENTS)):
        think(S, client)


@native
def begin_piece(S: State) -> None:
    """Another rate, from where the last one ended."""
    number = S[at.PIECE]
    S[at.PIECE] = number + 1
    length = int64s(S, at.LENGTHS)[number % fixed(S, at.PIECES)]
    if fixed(S, at.LOAD_KIND) == MMPP:
        length = draw_ns(
            S, fixed(S, at.EXPONENTIAL_LAW), length, draw(child_key(np.uint64(fixed(S, at.ROOT_KEY)), number), STAY)
        )
    if length < 0 or length > (FAR - S[at.PIECE_END]) >> fixed(S, at.SHIFT):
        S[at.PIECE_END] = -1
    else:
        S[at.PIECE_END] += length << fixed(S, at.SHIFT)


@native
def schedule_request(S: State, number: int) -> None:
    """An open loop sends its next request."""
    if number % fixed(S, at.BURST) == 0:
        advance_clock(S, draw(child_key(np.uint64(fixed(S, at.ROOT_KEY)), number), ARRIVAL_GAP))
    push(S, S[at.CLOCK] >> fixed(S, at.SHIFT), ARRIVAL << 60 | number << 20, 0, 0)


@native
def advance_clock(S: State, h: Key) -> None:
    """Spend a unit gap."""
    unit = ONE if fixed(S, at.GAP_LAW) < 0 else draw_unit(S, fixed(S, at.GAP_LAW), h)
    while True:
        mean = int64s(S, at.GAP_MEANS)[(S[at.PIECE] - 1) % fixed(S, at.PIECES)]
        end = S[at.PIECE_END]
        if mean:
            gap = max(1, mean * unit + HALF >> FRACTION_BITS)
            if end < 0 or S[at.CLOCK] + gap <= end:
                S[at.CLOCK] += gap
                return
            unit = max(0, unit - ((end - S[at.CLOCK]) << FRACTION_BITS) // mean)
        S[at.CLOCK] = end
        begin_piece(S)


@native
def think(S: State, client: int) -> None:
    """A client will send its next request."""
    thoughts = int64s(S, at.THOUGHTS)
    pause = fixed(S, at.THINK_NS)
    if pause and not fixed(S, at.THINK_CONSTANT):
        key = child_key(child_key(np.uint64(fixed(S, at.ROOT_KEY)), client), thoughts[client])
        pause = draw_ns(S, fixed(S, at.EXPONENTIAL_LAW), pause, draw(key, THINK))
    thoughts[client] += 1
    push(S, S[at.NOW] + max(1, pause), ARRIVAL << 60 | client << 20, client, 0)
