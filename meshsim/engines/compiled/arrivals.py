"""Load: ``meshsim.engines.arrivals`` on flat arrays."""

from __future__ import annotations

import numpy as np
from numba import njit

from meshsim.engines.arrivals import STAY, THINK
from meshsim.engines.compiled.draws import FRACTION_BITS, HALF, child_key, draw, draw_ns, draw_unit
from meshsim.engines.compiled.events import push
from meshsim.engines.compiled.pointers import int64s
from meshsim.engines.compiled.state import *  # noqa: F403
from meshsim.engines.frame import ARRIVAL
from meshsim.plan.arrivals import CLOSED, MMPP
from meshsim.plan.draws import ARRIVAL_GAP
from meshsim.plan.laws import ONE

FAR = 1 << 62
"""A piece that ends behind this is never over: the clock of a run does not get there."""


@njit
def start_load(S):
    """The first request, or the first of each client."""
    begin_piece(S)
    if S[LOAD_KIND] != CLOSED:
        schedule_request(S, np.int64(0))
    for client in range(S[CLIENTS]):
        think(S, client)


@njit
def begin_piece(S):
    """Another rate, from where the last one ended."""
    number = S[PIECE]
    S[PIECE] = number + 1
    length = int64s(S[LENGTHS])[number % S[PIECES]]
    if S[LOAD_KIND] == MMPP:
        length = draw_ns(S, S[EXPONENTIAL_LAW], length, draw(child_key(np.uint64(S[ROOT_KEY]), number), STAY))
    if length < 0 or length > (FAR - S[PIECE_END]) >> S[SHIFT]:
        S[PIECE_END] = -1
    else:
        S[PIECE_END] += length << S[SHIFT]


@njit
def schedule_request(S, number):
    """An open loop sends its next request."""
    if number % S[BURST] == 0:
        advance_clock(S, draw(child_key(np.uint64(S[ROOT_KEY]), number), ARRIVAL_GAP))
    push(S, S[CLOCK] >> S[SHIFT], ARRIVAL << 60 | number << 20, 0, 0)


@njit
def advance_clock(S, h):
    """Spend a unit gap."""
    unit = np.int64(ONE) if S[GAP_LAW] < 0 else draw_unit(S, S[GAP_LAW], h)
    while True:
        mean = int64s(S[GAP_MEANS])[(S[PIECE] - 1) % S[PIECES]]
        end = S[PIECE_END]
        if mean:
            gap = max(np.int64(1), mean * unit + HALF >> FRACTION_BITS)
            if end < 0 or S[CLOCK] + gap <= end:
                S[CLOCK] += gap
                return
            unit = max(np.int64(0), unit - ((end - S[CLOCK]) << FRACTION_BITS) // mean)
        S[CLOCK] = end
        begin_piece(S)


@njit
def think(S, client):
    """A client will send its next request."""
    thoughts = int64s(S[THOUGHTS])
    pause = S[THINK_NS]
    if pause and not S[THINK_CONSTANT]:
        key = child_key(child_key(np.uint64(S[ROOT_KEY]), client), thoughts[client])
        pause = draw_ns(S, S[EXPONENTIAL_LAW], pause, draw(key, THINK))
    thoughts[client] += 1
    push(S, S[NOW] + max(np.int64(1), pause), ARRIVAL << 60 | np.int64(client) << 20, client, 0)
