"""Waiting for a server among c: means and variances of approximations that are exact for M/M/c.

Sources: Erlang C; Allen, *Probability, Statistics and Queueing Theory* (1990), section 5.3 (Allen and Cunneen's
GI/G/c); Whitt, "The queueing network analyzer", Bell System Technical Journal 62 (1983), section 5.1 (variability of
the wait of those who wait); Kleinrock, *Queueing Systems II* (1976), section 4.7 (conservation law, for turns on a
core).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from meshsim.engines.analytic.moments import Floats

FULLEST = 0.995
"""Utilisation beyond which a station is saturated; waits are those at this load, so that iterations go on."""
TURNS_SUMMED = 60
_GRID = np.linspace(0.0, 1.0, 401)


@lru_cache(maxsize=1024)
def _waits(servers: int) -> Floats:
    """Erlang's probability to wait on ``_GRID``."""
    load = np.minimum(_GRID, 1 - 1e-9) * servers
    blocked = np.ones_like(load)
    for k in range(1, servers + 1):
        blocked = load * blocked / (k + load * blocked)
    result: Floats = blocked / (1 - load / servers * (1 - blocked))
    return result


def probability_to_wait(servers: Floats, rho: Floats, kinds: Floats) -> Floats:
    """Erlang C, from tables; ``kinds`` are the different numbers of servers."""
    result = rho.copy()  # a single server
    for c in kinds.tolist():
        if c == 1:
            continue
        mine = slice(None) if len(kinds) == 1 else servers == c
        if c == 2:
            result[mine] = 2 * rho[mine] ** 2 / (1 + rho[mine])
        else:
            result[mine] = np.interp(rho[mine], _GRID, _waits(int(c)))
    return result


def spread(mean: Floats, waits: Floats, rho: Floats, scv: Floats, third: Floats | None = None) -> Floats:
    """(n, 3) cumulants of a wait of this mean, nothing with probability 1 - ``waits``.

    ``third``: E[S^3] / E[S]^3 of the service time; where left out, Whitt's for its ``scv``.
    """
    if third is None:
        third = np.where(scv < 1, (2 * scv + 1) * (scv + 1), 1.5 * (scv + 1) ** 2)
    of_those = np.clip(2 * rho - 1 + 4 * (1 - rho) * third / (3 * (scv + 1) ** 2), 0.1, 20.0)
    conditional = mean / np.maximum(waits, 1e-12)
    second = waits * conditional**2 * (1 + of_those)
    # Those who wait do so for a gamma time.
    result = np.empty((len(mean), 3))
    result[:, 0] = mean
    result[:, 1] = second - mean**2
    result[:, 2] = second * conditional * (1 + 2 * of_those) - mean * (3 * second - 2 * mean**2)
    return result


def turns_begun(rho: Floats, scv: Floats) -> Floats:
    """Share of messages that begin a turn of the event loop of an M/G/1 worker that serves in turns all it found ready.

    A turn of n messages is followed by one of those that came meanwhile, or by one of a single message if none came.
    With B(z) the generating function of the arrivals during one message, stationarity of the generating function g of
    n, g(z) = g(B(z)) + p (z - 1), gives p = 1 / sum over k of (1 - b(k)) with b(0) = 0, b(k + 1) = B(b(k)); a message
    is a turn's first with probability (1 - rho) / p. Service times are taken as gamma.
    """
    u = np.ones_like(rho)
    total = np.zeros_like(rho)
    c = np.maximum(scv, 1e-6)
    for _ in range(TURNS_SUMMED):
        total += u
        u = -np.expm1(-np.log1p(rho * u * c) / c)
    result: Floats = (1 - rho) * total + u  # the rest as a geometric series
    return result
