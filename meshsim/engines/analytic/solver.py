"""One rate: stations by iteration, then the time of every call from the leaves to the entries."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import exp1

from meshsim.engines.analytic.model import Level, Model
from meshsim.engines.analytic.moments import Floats, chosen, cumulants, largest, moments
from meshsim.engines.analytic.queues import (
    FULLEST,
    probability_to_wait,
    probability_to_wait_for_the_awake,
    shared_turns,
    spread,
    turns_begun,
    until_the_turn_ends,
)

ITERATIONS = 40
CLOSE = 1e-4
SHORTEST, LONGER = 0.05, 1.25
"""The step of the iteration is halved where it swings (busier stations have fewer wake-ups and turns, which leaves them
less busy), and grows again where it does not."""
SHARED = 0.4
"""How much sooner a busy CPU becomes processor sharing among requests that come back. Fitted likewise to MEMORY."""
LEAST_KEPT = 0.3
FARTHEST = 500.0
"""Half the sleep that matters over the mean sleep: beyond, nothing of it is left."""
MEMORY = 4.0
"""How much longer a station remembers how full it was than a single queue with Poisson arrivals: the visits of one
request come in a row, so what comes and goes is requests. Fitted to simulations of the shipped scenarios."""


@dataclass
class Stations:
    """What the stations are like at one rate."""

    cpu_rho: Floats
    """(n,)"""
    class_rho: Floats
    """(g,)"""
    cpu_wait: Floats
    """(n, 3) cumulants of the wait for the first turn on a core."""
    turn_wait: Floats
    """(n,) mean wait for each further turn."""
    cpu_behind: Floats
    """(n,) mean wait of one of two who come at the same instant, for the other."""
    cpu_memory: Floats
    """(n,) how long a CPU remembers how full it was, ns."""
    class_wait: Floats
    """(g, 3) cumulants of the wait for a token."""
    class_memory: Floats
    woken: Floats
    """(v,) share of messages that pay for a wake-up, or for the beginning of a turn."""
    cold: Floats
    """(v, 2) how much of what an endless sleep costs a message pays, and of its square, in the mean."""
    kept: Floats
    """(n,) share of the queue at a CPU that the tokens of pools let come to it."""
    straight: Floats
    """(g,) share of the arrivals at a class that come straight from one pool to the next."""

    @property
    def peak(self) -> float:
        """Utilisation of the busiest station."""
        return float(max(self.cpu_rho.max(initial=0.0), self.class_rho.max(initial=0.0)))


def stations(model: Model, rate: float, arrivals_scv: float = 1.0, held: Floats | None = None) -> Stations:
    """Fixed point of waits, times that tokens are held, and wake-ups. ``rate`` a ns.

    ``held``: (held views, 2) moments of the time that threads are held while calls are answered.
    """
    b = dict(zip(BLOCK_NAMES, model.class_blocks.T, strict=True))
    count = np.maximum(b["count"], 1e-300)
    extra = None
    if held is not None and len(held):
        extra = model.held_class @ held
        count = count + extra[:, 2]
    woken = np.full(model.rows * model.slots, 1.0 if model.wakes else 0.0)
    class_woken = np.full(len(count), 1.0)
    # Where both are priced, one share stands for both: of wake-ups and of turns begun, as these add to the time.
    turning = b["beginning"] / np.maximum(b["woken"], 1e-300) if b["beginning"].any() else None
    of_turns = rate * b["beginning"] / model.class_servers
    class_cold = after_sleep(model, rate, count) if model.cools else np.zeros((len(count), 2))
    cold, cooled = np.asarray(model.seen @ class_cold), b["cold"] * class_cold[:, 0]
    cooled_second = b["cold"] ** 2 / count * class_cold[:, 1]
    loops = np.flatnonzero(of_turns)  # event loops
    alone, begun, turn_in_line = np.ones(len(count)), np.ones(len(count)), np.ones(len(count))
    kept = np.ones(len(model.cores))
    last, moved, step = -1.0, 0.0, 1.0
    for _ in range(ITERATIONS):
        cpu = _cpu(model, rate, woken, cold, arrivals_scv, kept)
        raw = moments(cpu.wait)
        seen = model.class_nodes @ np.column_stack([raw[:, 0], raw[:, 1], cpu.turn_wait])
        w, variance, w2 = seen[:, 0], np.maximum(seen[:, 1] - seen[:, 0] ** 2, 0.0), seen[:, 2]
        added = b["woken"] + b["woken_visits"] * w + cooled
        awake = b["held"] + b["visits"] * w + b["turns"] * w2
        second_awake = b["held_second"] + 2 * b["held_visits"] * w + b["visits_second"] * w**2 + b["visits"] * variance
        if extra is not None:
            awake, second_awake = awake + extra[:, 0], second_awake + extra[:, 1]
        total = awake + class_woken * added
        second = second_awake + class_woken * (b["woken_second"] + 2 * b["woken_held"] + 2 * b["woken"] * w)
        second += class_woken * (2 * cooled * (b["held"] + class_woken * b["woken"]) / count + cooled_second)
        mean = total / count
        scv = np.clip(second / count / np.maximum(mean, 1e-12) ** 2 - 1, 0.0, 50.0)
        rho = rate * total / model.class_servers
        full = np.minimum(rho, FULLEST)
        # Who is served from the line wakes nobody, and begins a turn only now and then: so quick a line gets shorter.
        line = rate * awake / model.class_servers + of_turns * turn_in_line
        line = np.minimum(line, full)
        fresh = rate * (awake + added) / model.class_servers
        waits = probability_to_wait_for_the_awake(model.class_servers, fresh, line, model.kinds_of_servers)
        asleep = 1.0 - waits
        if turning is not None:
            # Workers begin more turns than one alone would at this load, and are busier for it.
            busy = rate * awake / model.class_servers + of_turns * (begun - alone)
            spread_awake = np.clip(second_awake * count / np.maximum(awake, 1e-12) ** 2 - 1, 0.0, 50.0)
            now = np.ones(len(count))
            now[loops] = turns_begun(np.clip(busy, 0.0, FULLEST)[loops], spread_awake[loops], of_turns[loops])
            alone, begun = now, begun + step * (shared_turns(now, model.class_servers) - begun)
            turn_in_line = np.clip((begun - 1 + waits) / np.maximum(waits, 1e-9), 0.0, 1.0)
            asleep += turning * (begun - asleep)
        class_woken += step * (asleep - class_woken)
        # Of those who hold a token, no more than there are tokens can be at the CPU; the others wait for a token.
        tokens = np.minimum(rho, 1.5) * model.class_servers
        beyond = tokens * (tokens / (1 + tokens)) ** model.class_servers
        before = kept
        left = np.clip(1 - model.node_tokens @ beyond / np.maximum(cpu.present, 1e-12), LEAST_KEPT, 1.0)
        kept = kept + step * (left - kept)
        woken = np.asarray(model.seen @ class_woken) if model.wakes else woken
        cold = np.asarray(model.seen @ (class_woken[:, None] * class_cold)) if model.cools else cold
        peak = float(max(cpu.rho.max(initial=0.0), rho.max(initial=0.0)))
        moving, last = peak - last, peak
        if max(abs(moving), abs(moved)) < CLOSE:  # twice: where it swings, the same may come once again by chance
            break
        step = max(step / 2, SHORTEST) if moving * moved < 0 else min(step * LONGER, 1.0)
        moved = moving
    # Whoever waits, waits for a line that is served as quickly as that; of one worker this is exact, a queue with an
    # exceptional first service in each busy period (Welch 1964).
    # Arrivals from one pool at the next are smoother than Poisson where traffic is not split on its way (Whitt 1983).
    straight = (1 - model.class_alone) / model.class_stations
    smooth = straight * full**2 * np.minimum(scv - 1, 0.0) / np.sqrt(model.class_servers)
    smooth = smooth / np.maximum(1 - straight * (1 - full**2), 1e-9)
    wait = waits * mean / (model.class_servers * (1 - line)) * np.maximum(1 + smooth + scv, 0.05) / 2
    wait *= np.where(model.class_by_turn, until_the_turn_ends(line, model.class_servers), 1.0)
    return Stations(
        cpu_rho=cpu.rho,
        class_rho=rho,
        cpu_wait=cpu.wait,
        turn_wait=cpu.turn_wait,
        cpu_behind=cpu.behind,
        cpu_memory=cpu.memory,
        class_wait=spread(wait, waits, line, scv),
        class_memory=_memory(mean, model.class_servers, line, scv),
        woken=woken,
        cold=cold,
        kept=before,
        straight=straight,
    )


BLOCK_NAMES = ("count", "held", "held_second", "visits", "held_visits", "visits_second", "turns", "woken",
               "woken_second", "woken_held", "woken_visits", "beginning", "cold")  # fmt: skip


@dataclass
class _Cpu:
    rho: Floats
    present: Floats
    """Mean number waiting or served, were there no tokens."""
    wait: Floats
    turn_wait: Floats
    behind: Floats
    memory: Floats


def after_sleep(model: Model, rate: float, count: Floats) -> Floats:
    """(g, 2) how much of what an endless sleep costs a message pays that finds its thread asleep, and of its square.

    The first message of a request finds a thread that has slept since the request before, the others come evenly while
    the request is under way, for ``model.request_ns``; those of other requests come in between. Sleeps are taken as
    exponential: with x = half / E[t] and g = x e^x E1(x), t / (t + half) has the mean 1 - g, its square 1 - 2 g +
    x (1 - g).
    """
    messages = rate * count
    first = np.minimum(model.class_alone, 1 / np.maximum(count, 1.0))
    under_way = messages * first * model.request_ns

    def share(awaited: Floats) -> Floats:
        x = np.clip(model.half_ns * awaited, 1e-300, FARTHEST)
        g = x * np.exp(x) * exp1(x)
        return np.stack([1 - g, np.maximum(1 - 2 * g + x * (1 - g), 0.0)], axis=1)

    long = share(messages * (first + (1 - first) * under_way / (1 + under_way)))
    short = share(1 / np.maximum(model.request_ns * first, 1.0) + messages)
    result: Floats = first[:, None] * long + (1 - first)[:, None] * short
    return result


def _cpu(model: Model, rate: float, woken: Floats, cold: Floats, arrivals_scv: float, kept: Floats) -> _Cpu:
    asked = model.jobs
    if model.wakes:
        asked = asked + (model.woken_jobs * woken[:, None]).reshape(model.rows, model.slots, -1).sum(axis=1)
    if model.cools:  # a visit becomes longer, there are not more of them
        asked = asked.copy()
        work, cross, square = model.cold_jobs.T
        longer = np.stack([work * cold[:, 0], cross * cold[:, 0] + square * cold[:, 1]], axis=1)
        asked[:, 1:3] += longer.reshape(model.rows, model.slots, 2).sum(axis=1)
    jobs, work, second, third, turns, turn_second, conserved = (model.to_node @ asked).T
    jobs, work = np.maximum(jobs, 1e-300), np.maximum(work, 1e-300)
    mean = np.maximum(work / jobs, 1e-9)
    rho = rate * work / model.cores
    full = np.minimum(rho, FULLEST)
    waits = probability_to_wait(model.cores, full, model.kinds_of_cores)
    scv = np.maximum(second / jobs / mean**2 - 1, 0.0)
    both = (arrivals_scv + scv) / 2
    in_line = waits * mean / (model.cores * (1 - full)) * both
    # Who comes back soon again and again meets the others in turns: processor sharing, whose queue depends on the
    # mean alone (Kleinrock II, 4.4). Of the variability so much is left as belongs to one visit.
    visits = 1 / model.cpu_alone
    less = kept * (1 + (both - 1) / (1 + (visits - 1) * SHARED / (1 - full))) / both
    # Turns: an arrival waits for the turn under way and for one turn of each in line (``first``); whoever comes
    # back waits longer. Kleinrock's conservation law ties the two to the wait without slices.
    turn = turns / jobs
    rest = np.maximum(conserved / jobs, 1e-300)
    again = np.where(turn > 1e-9, full * turn / (1 + turn) * mean / rest, 0.0)
    left = waits * turn_second / (2 * work * model.cores) * (arrivals_scv + 1) / 2
    first = np.where(turn > 1e-9, (again * in_line + left) / (1 - full / (1 + turn) + again), in_line)
    turn_wait = np.where(turn > 1e-9, np.maximum(in_line - first, 0.0) * mean / rest, 0.0)
    cubed = np.where(turn > 1e-9, 6.0, third / jobs / mean**3)
    turn_scv = np.where(turn > 1e-9, np.minimum(scv, 1.0), scv)
    present = rate * (work + (in_line * less / kept) * jobs)
    first, turn_wait = first * less, turn_wait * less
    return _Cpu(
        rho,
        present,
        spread(first, waits, full, turn_scv, cubed),
        turn_wait,
        mean / (2 * model.cores * (1 - full)),
        _memory(mean, model.cores, full, scv),
    )


def _memory(mean: Floats, servers: Floats, rho: Floats, scv: Floats) -> Floats:
    """Integral of the autocorrelation of the number present: of M/M/1, scaled as in heavy traffic."""
    result: Floats = mean / servers * (1 + rho) / (1 - rho) ** 2 * (1 + scv) / 2
    return result


@dataclass
class Times:
    """Cumulants of the times at one rate, ns."""

    call: Floats
    """(c, 3) of each call as its caller sees it."""
    entry: Floats
    """(entries, 3)"""
    held: Floats
    """(held views, 3): first two moments of the time held and number of times, all times visits a request."""


def times(model: Model, at: Stations, thread_wait: bool = True) -> Times:
    """Every call and every entry."""
    s = model.sequences
    cpu_raw = np.column_stack([moments(at.cpu_wait), at.turn_wait])
    by_row = model.on_node @ cpu_raw
    row_wait, turn_wait = cumulants(by_row[:, :3]), by_row[:, 3]
    pool_wait = cumulants(model.seen @ moments(at.class_wait))
    hop = model.hop + model.hop_waits @ np.concatenate([row_wait, pool_wait])
    hop[:, 0] += model.hop_turns @ turn_wait
    if model.wakes:
        q = at.woken
        w = np.repeat(row_wait[:, 0], model.slots)
        first, second, third = model.hop_woken
        hop[:, 0] += first @ np.concatenate([q, q * w])
        hop[:, 1] += second @ np.concatenate([q, q**2])
        hop[:, 2] += third @ np.concatenate([q, q**2, q**3])
    if model.cools:
        hop[:, 0] += model.hop_cold @ at.cold[:, 0]
    rows = model.sequence_row
    local = s.base + s.asks[:, :1] * row_wait[rows] + s.asks[:, 2:3] * pool_wait[rows * model.slots + 1]
    local[:, 0] += s.asks[:, 1] * turn_wait[rows]
    if model.wakes:
        woken = at.woken[rows * model.slots + 1]
        local[:, 0] += woken * (s.asks[:, 3] + s.asks[:, 4] * row_wait[rows, 0])
    if model.cools:
        local[:, 0] += at.cold[rows * model.slots + 1, 0] * s.asks[:, 5]
    behind = model.on_node @ at.cpu_behind
    call = np.zeros_like(hop)
    for level in model.levels:
        mine = local[level.sequences]
        if len(level.calls):
            of_call = call[s.call_number[level.calls]]
            p = s.call_probability[level.calls]
            if (p < 1).any():
                of_call = chosen(of_call, p)
            mine += level.call_sum @ of_call
        if len(level.forks):
            mine += level.fork_sum @ _joined(model, level, call, local, behind)
        local[level.sequences] = mine
        call[level.answered] = hop[level.answered] + local[s.endpoint_sequence[model.callee[level.answered]]]
    held = np.zeros((0, 3))
    if len(model.held_views):
        m = moments(local[s.endpoint_sequence])
        own_wait = pool_wait[model.sequence_row[s.endpoint_sequence] * model.slots + 1, 0]
        body = m[:, 0] - own_wait
        held = model.held_of @ np.column_stack([body, m[:, 1] - m[:, 0] ** 2 + body**2, np.ones(len(m))])
    entries = len(model.entry_share)
    entry = call[:entries].copy()
    _together(model, at, entry)
    return Times(call, entry, held)


def _joined(model: Model, level: Level, call: Floats, local: Floats, behind: Floats) -> Floats:
    """Time of each fork: its longest branch. They begin together, so they stand in line behind each other."""
    s = model.sequences
    members, starts = level.members, level.member_starts
    number, inner = s.member_call[members], s.member_sequence[members]
    k = np.where((number >= 0)[:, None], call[np.maximum(number, 0)], local[np.maximum(inner, 0)])
    p = s.member_probability[members]
    k = chosen(k, p) if (p < 1).any() else k.copy()
    size = np.diff(np.append(starts, len(members)))
    row = model.sequence_row[s.fork_sequence[level.forks]]
    k[:, 0] += np.repeat((size - 1) * behind[row], size)
    return largest(k, starts)


def _together(model: Model, at: Stations, entry: Floats) -> None:
    """A request that comes back to a station soon finds it as it was: its waits there go together."""
    length = np.maximum(entry[:, 0], 1.0)
    for pairs, wait, memory in (
        (model.again_on_node, at.cpu_wait, at.cpu_memory),
        (model.again_in_pool, cumulants(model.seen @ moments(at.class_wait)), model.seen @ at.class_memory),
    ):
        if not pairs.nnz:
            continue
        coo = pairs.tocoo()
        one, other = coo.coords
        x = length[one] / np.maximum(MEMORY * memory[other], 1e-9)
        alike = np.where(x > 1e-3, 2 * (x - 1 + np.exp(-x)) / np.maximum(x, 1e-9) ** 2, 1.0)
        n = len(entry)
        visits = np.sqrt(coo.data + 0.25) + 0.5  # v (v - 1) pairs
        entry[:, 1] += np.bincount(one, coo.data * alike * wait[other, 1], n)
        triples = coo.data * (visits + 1) * alike**2
        entry[:, 2] += np.bincount(one, triples * wait[other, 2], n)


def solve_at(model: Model, rate: float, arrivals_scv: float = 1.0) -> tuple[Stations, Times]:
    """Stations and times; threads that are held while calls are answered are iterated."""
    at = stations(model, rate, arrivals_scv)
    result = times(model, at)
    if not len(model.held_views):
        return at, result
    for _ in range(4):
        before = at.class_rho
        at = stations(model, rate, arrivals_scv, result.held)
        if float(np.abs(at.class_wait[:, 0]).max(initial=0.0)) == 0.0:
            break
        settled = np.abs(at.class_rho - before).max() < 1e-3
        if settled or not _threads_wait(model, at):
            break
        result = times(model, at)
    return at, result


def _threads_wait(model: Model, at: Stations) -> bool:
    """Whether a thread that is held across calls is ever waited for."""
    wait = (model.seen @ at.class_wait[:, :1])[model.held_views, 0]
    return bool(wait.max(initial=0.0) > 10.0)
