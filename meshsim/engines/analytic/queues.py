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
NEGLIGIBLE = 1e-3
LOOK_EVERY = 4
SHARED_LINE = 0.75
SHARED_TURN = 0.92
_GRID = np.linspace(0.0, 1.0, 401)
_BUSIER = np.linspace(0.0, 4.0, 1601)


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


def probability_to_wait_for_the_awake(servers: Floats, fresh: Floats, line: Floats, kinds: Floats) -> Floats:
    """The same where it takes another time to serve who finds a server asleep than who waits.

    ``fresh`` is the utilisation if everybody found one asleep, ``line`` if everybody waited: states below c of the
    birth and death process have the load ``fresh``, those above ``line``; equal ones give Erlang C. Exact for c = 1.
    """
    blocked = fresh / (1 + fresh)  # a single server: Erlang B
    for c in kinds.tolist():
        if c > 1:
            mine = slice(None) if len(kinds) == 1 else servers == c
            blocked[mine] = np.interp(fresh[mine], _BUSIER, _blocked(int(c)))
    result: Floats = blocked / (blocked + (1 - blocked) * (1 - line))
    return result


@lru_cache(maxsize=1024)
def _blocked(servers: int) -> Floats:
    """Erlang B on ``_BUSIER``."""
    load = _BUSIER * servers
    blocked = np.ones_like(load)
    for k in range(1, servers + 1):
        blocked = load * blocked / (k + load * blocked)
    return blocked


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


def turns_begun(rho: Floats, scv: Floats, turning: Floats) -> Floats:
    """Share of messages that begin a turn of the event loop of an M/G/1 worker that serves in turns all it found ready.

    ``rho``: load by the messages alone; ``turning``: load if each of them began a turn. A turn of n messages is
    followed by one of those that came meanwhile, or by one of a single message if none came. With B(z) the generating
    function of the arrivals during one message, T(z) that of those during the beginning of a turn, and p the chance
    that none came, stationarity of the generating function g of n is g(z) = T(z) g(B(z)) + p (z - 1). So p is
    prod T(b_k) over the sum of (1 - b_k) prod_j<k T(b_j) with b_0 = 0, b_k+1 = B(b_k), and the derivative at 1 gives
    E[n] = (turning + p) / (1 - rho). Service times are taken as gamma. It is exact for one worker.
    """
    share: Floats = np.ones_like(rho)
    left = np.arange(len(rho))  # those whose series is not summed yet
    c = np.maximum(scv, 1e-6)
    u, total, product = np.ones_like(rho), np.zeros_like(rho), np.ones_like(rho)
    for number in range(1, TURNS_SUMMED + 1):
        total += u * product
        product *= np.exp(-turning * u)
        u = -np.expm1(-np.log1p(rho * u * c) / c)
        if number % LOOK_EVERY and number < TURNS_SUMMED:
            continue
        done = (u < NEGLIGIBLE) | (number == TURNS_SUMMED)
        if done.any():
            rest = u[done] / (1 - rho[done])  # of the series, as if it were geometric from here on
            whole = total[done] + rest * product[done]
            none_came = product[done] * np.exp(-turning[done] * rest) / whole
            share[left[done]] = np.minimum((1 - rho[done]) / (turning[done] + none_came), 1.0)  # a share, if rounded
            left, on = left[~done], ~done
            rho, c, turning, u, total, product = (array[on] for array in (rho, c, turning, u, total, product))
        if not len(left):
            break
    return share


def shared_turns(begun: Floats, workers: Floats) -> Floats:
    """The same of c workers with one line, of which each takes its part when a turn begins.

    From that of one worker at the same load; the power was found by simulating M/G/c in turns, for c of 2, 4 and 8 and
    squared coefficients of variation of 0, 1 and 4: to 0.04 of the share.
    """
    result: Floats = 1.0 - (1.0 - begun) ** workers**SHARED_LINE
    return result


def until_the_turn_ends(rho: Floats, workers: Floats) -> Floats:
    """What the wait for a worker has to be multiplied with, where all that was ready leaves together.

    In a queue that is served in gates, a cycle C brings rho C / S messages, spread over it evenly. One waits for the
    rest of the cycle and for those before it, E[C^2] / 2 E[C] (1 + rho) in the mean, and, when it is served, for those
    behind it, rho E[C^2] / 2 E[C]. That is exact for one worker. For c of them, of which each takes its part of the
    line, rho is replaced by a power of it that was found by simulating M/M/c in turns, for c of 2, 3, 4 and 8: to 0.01.
    """
    behind = rho**workers**SHARED_TURN
    result: Floats = 1.0 + behind / (1.0 + behind)
    return result
