"""The answer for one rate, in the units that are reported."""

from __future__ import annotations

import weakref
from dataclasses import dataclass, replace

import numpy as np

from meshsim.engines.analytic.limits import ALL, Outside, Quantity, crowded, forks, outside, too_busy, uneven
from meshsim.engines.analytic.model import Model, compile_plan
from meshsim.engines.analytic.moments import Floats, quantiles
from meshsim.engines.analytic.programs import JOB
from meshsim.engines.analytic.solver import Stations, Times, solve_at
from meshsim.plan.arrivals import CLOSED
from meshsim.plan.plan import Ints, Plan
from meshsim.scenario.base import MeshsimError

NS = 1e9
US = 1000.0
SHARES = np.array([0.5, 0.9, 0.99, 0.999])
SATURATED = 3e-5
"""So near to one is a utilisation of one."""
RARELY = 0.05
"""Entries that get less than this share of the requests do not decide where the middle is."""
MOST_GROUPS = 48
"""Entries that hardly differ are one law in the mixture of which quantiles are taken."""


@dataclass(frozen=True)
class AnalyticResult:
    """Figures of one plan at one rate. Latencies are us; NaN where a station is saturated."""

    plan: Plan
    rps: float
    mean_us: float
    p50_us: float
    p90_us: float
    p99_us: float
    p999_us: float
    entry_mean_us: Floats
    """(entries,)"""
    call_mean_us: Floats
    """(c,) as its caller sees it."""
    cores_by_tag: Floats
    """(t,) cores kept busy, without what proxies and agents burn idle."""
    cores_by_service: Floats
    """(s + waypoint groups,) the same by the pods they are spent for: by themselves, their proxies and the kernel."""
    utilisation: Floats
    """(n,) of each station."""
    saturation_rps: float
    """Rate at which the first station would be busy all the time."""
    outside: list[Outside]
    """Why some figures are not to be trusted."""
    engine: str = "analytic"

    @property
    def busiest(self) -> int:
        """Number of the station with the highest utilisation."""
        return int(np.argmax(self.utilisation))

    @property
    def trust(self) -> dict[Quantity, bool]:
        """By quantity: whether nothing is known against it."""
        doubted = {quantity for reason in self.outside for quantity in reason.quantities}
        return {quantity: quantity not in doubted for quantity in ALL}

    @property
    def reasons(self) -> list[str]:
        """``outside`` in words."""
        return [each.reason for each in self.outside]


ALONE = 1e-9
"""Requests a ns, one a second, at which hardly any meets another."""


@dataclass
class _Prepared:
    model: Model
    saturation_rps: float
    outside: list[Outside]
    forks: bool


_prepared: dict[int, _Prepared] = {}


def prepare(plan: Plan) -> Model:
    """Do what is needed once a plan, so that ``solve`` answers at once. Kept as long as the plan lives."""
    return _of(plan).model


def saturation_rps(plan: Plan) -> float:
    """Requests a second at which the first station is busy all the time."""
    return _of(plan).saturation_rps


def solve(plan: Plan, rps: float | None = None) -> AnalyticResult:
    """The plan at ``rps`` requests a second; at its own rate where left out. MeshsimError unless the rate is positive.

    A closed loop without ``rps`` gets the rate at which its clients' answers and thinking take up their time.
    """
    if rps is not None and not rps > 0:
        raise MeshsimError(f"rps: {rps!r} received; must be above 0")
    known = _of(plan)
    model = known.model
    closed = plan.arrivals.kind == CLOSED and rps is None
    rate = _closed_rate(model) if closed else (plan.rps if rps is None else rps) / NS
    seen_rate = rate * (1 - 1 / plan.arrivals.clients) if closed else rate
    at, times = solve_at(model, seen_rate, _scv(plan))
    if closed:  # an arrival sees the others; the stations, all
        busy = solve_at(model, rate, _scv(plan))[0]
        at.cpu_rho, at.class_rho = busy.cpu_rho, busy.class_rho
    return _answer(plan, known, rate, at, times)


def _of(plan: Plan) -> _Prepared:
    key = id(plan)
    if key not in _prepared:
        model = compile_plan(plan)
        if model.cools:
            # With warm caches and nobody else about: the same for every rate at which the plan may have been lowered.
            _, times = solve_at(replace(model, cools=False), ALONE, _scv(plan))
            model = replace(model, request_ns=float(model.entry_share @ times.entry[:, 0]))
        _prepared[key] = _Prepared(model, _saturation(model), outside(plan), forks(plan))
        weakref.finalize(plan, _prepared.pop, key, None)
    return _prepared[key]


def _scv(plan: Plan) -> float:
    """Squared coefficient of variation of the gaps; of bursts, the index of dispersion that they tend to."""
    return float(plan.arrivals.burst) if plan.gap_law >= 0 else float(plan.arrivals.burst - 1)


def _answer(plan: Plan, known: _Prepared, rate: float, at: Stations, times: Times) -> AnalyticResult:
    model = known.model
    utilisation = np.empty(len(plan.station_servers))
    utilisation[plan.station_is_cpu] = at.cpu_rho
    pools = model.station_class >= 0
    utilisation[pools] = at.class_rho[model.station_class[pools]]
    unmet = ~plan.station_is_cpu & ~pools
    utilisation[unmet] = 0.0
    busiest = int(np.argmax(utilisation))
    peak = float(utilisation[busiest])
    doubts = too_busy(peak, plan.station_names[busiest], known.forks)
    if peak < 1.0:
        doubts += [*crowded(at), *uneven(*_shape(model, times))]
    entry, call = times.entry / US ** np.arange(1, 4), times.call[:, 0] / US
    mean = float(model.entry_share @ entry[:, 0])
    if peak < 1.0:
        found = quantiles(*_grouped(entry, model.entry_share), SHARES)
    else:
        mean, found = float("nan"), np.full(len(SHARES), np.nan)
        entry, call = np.full_like(entry, np.nan), np.full_like(call, np.nan)
    return AnalyticResult(
        plan=plan,
        rps=rate * NS,
        mean_us=mean,
        p50_us=float(found[0]),
        p90_us=float(found[1]),
        p99_us=float(found[2]),
        p999_us=float(found[3]),
        entry_mean_us=entry[:, 0],
        call_mean_us=call,
        cores_by_tag=rate * (model.tag_ns + model.woken_tag_ns @ at.woken + model.cold_tag_ns @ at.cold[:, 0]),
        cores_by_service=rate * _work(model, at),
        utilisation=utilisation,
        saturation_rps=known.saturation_rps,
        outside=[*known.outside, *doubts],
    )


def _shape(model: Model, times: Times) -> tuple[float, float]:
    """Largest skewness of an entry's latency, and the share of the variance by calls that are made sometimes."""
    variance, third = times.entry[:, 1], times.entry[:, 2]
    deviation = np.sqrt(np.maximum(variance, 1e-12))
    often = model.entry_share > RARELY
    skewness = float(np.max(third[often] / deviation[often] ** 3, initial=0.0))
    s = model.sequences
    visits = np.bincount(model.callee, model.rate, len(s.endpoint_body))
    p = s.call_probability
    made = visits[s.sequence_endpoint[s.call_sequence]] * p * (1 - p) * times.call[s.call_number, 0] ** 2
    return skewness, float(made.sum() / max(float(model.entry_share @ variance), 1e-12))


def _work(model: Model, at: Stations) -> Floats:
    """(r,) ns on a core, a request."""
    work = JOB.index("work")
    woken = model.woken_jobs[:, work] * at.woken + model.cold_jobs[:, 0] * at.cold[:, 0]
    return np.asarray(model.jobs[:, work] + woken.reshape(model.rows, model.slots).sum(axis=1))


def _grouped(k: Floats, weight: Floats) -> tuple[Floats, Floats]:
    """Entries whose means and deviations are alike as one: their laws are mixed by moments."""
    if len(k) <= MOST_GROUPS:
        return k, weight
    bins: Ints = np.round(np.log(np.maximum(k[:, 0], 1e-9)) / 0.04).astype(np.int64) * 1000
    bins += np.round(np.log(np.maximum(k[:, 1], 1e-9)) / 0.2).astype(np.int64)
    _, group = np.unique(bins, return_inverse=True)
    share: Floats = np.bincount(group, weight).astype(np.float64)
    columns = [np.bincount(group, weight * k[:, c]) / np.maximum(share, 1e-300) for c in range(3)]
    return np.stack(columns, axis=1), share


def _saturation(model: Model) -> float:
    """Requests a second that keep the busiest station busy all the time; its utilisation is nearly a straight line."""
    loads = model.plan.station_load
    high = model.plan.rps / float(loads.max()) / NS if loads.max() > 0 else np.inf
    if not np.isfinite(high):
        return float("inf")
    over = solve_at(model, high)[0].peak - 1.0
    if over < 0:
        return high * NS
    low, under, halve = 0.0, -1.0, False
    for _ in range(12):
        middle = (low + high) / 2 if halve else low - under * (high - low) / (over - under)
        beyond = solve_at(model, middle)[0].peak - 1.0
        halve = abs(beyond) > abs(under if beyond < 0 else over) / 2
        if beyond < 0:
            low, under = middle, beyond
        else:
            high, over = middle, beyond
        if abs(beyond) < SATURATED:
            return middle * NS
    return (low + high) / 2 * NS


def _closed_rate(model: Model) -> float:
    """Little's law around the loop; an arrival meets one client less (Schweitzer's approximation of MVA, 1979)."""
    arrivals = model.plan.arrivals
    clients = arrivals.clients
    low, high = 0.0, min(saturation_of(model), clients / 1e-3)
    for _ in range(30):
        middle = (low + high) / 2
        _, times = solve_at(model, max(middle * (clients - 1) / clients, 1e-15))
        loop = arrivals.think_ns + float(model.entry_share @ times.entry[:, 0])
        low, high = (middle, high) if middle * loop < clients else (low, middle)
    return (low + high) / 2


def saturation_of(model: Model) -> float:
    """In requests a ns."""
    return _saturation(model) / NS
