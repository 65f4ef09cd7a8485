"""The question in reverse: what does it take to keep a latency target, and on which data planes can it be kept at all?

The highest rate, or the fewest nodes, the fewest replicas or the lowest CPU limit of proxies such that a quantile of
latency is at most the target. Each
trial is a simulation with the same random numbers, so latency changes smoothly from one value to the next, and a
bisection between a value that keeps the target and one that misses it finds where it stops. Both ends of the answer
are then simulated again with other random numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Unpack

from meshsim.engines import select
from meshsim.results.intervals import CONFIDENCE, at_confidence
from meshsim.results.rows import Estimate, Row, Solution, SolutionReport, Trial
from meshsim.scenario.application import Application
from meshsim.scenario.base import MeshsimError
from meshsim.scenario.dataplane import DataPlane, Proxy
from meshsim.scenario.own import with_limit
from meshsim.scenario.suggest import choices
from meshsim.studies import defaults
from meshsim.studies.inputs import jobs_for, plain
from meshsim.studies.point import Point, simulate_point
from meshsim.studies.pool import Stop, Tick, Work, run_all
from meshsim.studies.question import Common, ask, option
from meshsim.studies.reality import band_of
from meshsim.studies.replicate import Metric, pool
from meshsim.studies.row import QUANTILES
from meshsim.studies.setup import Prepared
from meshsim.studies.warmup import warmup_share

Find = Literal["rps", "nodes", "replicas", "proxy-cpu-limit"]
UNITS: dict[str, str] = {
    "rps": "requests/s",
    "nodes": "nodes",
    "replicas": "replicas of each service",
    "proxy-cpu-limit": "millicores for each proxy",
}
LEAST_MILLICORES = 1.0
REQUESTS = 6_000
TOLERANCE = 0.05
"""The highest rate and the lowest limit are known to that share."""
MOST_COUNT = 4_096
"""Nodes or replicas that are tried at most."""
LEAST_RPS, MOST_RPS = 0.1, 100_000_000.0
MOST_TRIALS = 60
LEAST_CONFIDENCE, MOST_CONFIDENCE = 0.5, 0.999
BUDGET = 4
"""Replications of a trial whose interval contains the target."""
MOST_STEPS = 12
APART = 1_000_003
"""Added to the seed when the answer is verified."""

Outcome = Literal["kept", "missed", "unsure"]


@dataclass(frozen=True)
class Case:
    """One data plane, and how to vary it. Picklable: it is solved in a process of its own."""

    prepared: Prepared
    find: Find
    service: str | None
    target_us: float
    of: Metric
    budget: int
    proxy: str | None = None
    confidence: float = CONFIDENCE

    @property
    def limited(self) -> list[Proxy]:
        """Proxies whose CPU limit is varied: those in containers of their own."""
        return [one for one in self.prepared.dataplane.proxies if _is_limited(one, self.proxy)]

    @property
    def most_millicores(self) -> float:
        """As a limit it is none: all cores of a node."""
        return 1000.0 * self.prepared.machine.cores

    def at(self, value: float, more_seed: int) -> Prepared:
        """The scenario at a value, with its seed moved on."""
        prepared, scenario = self.prepared, self.prepared.scenario
        run = scenario.run.model_copy(update={"seed": scenario.run.seed + more_seed})
        update: dict[str, object] = {"run": run}
        original = prepared.original
        if self.find == "rps":
            update["load"] = scenario.load.model_copy(update={"rps": value})
            share = warmup_share(original, value, run.requests)
            update["run"] = run.model_copy(update={"warmup": share})
        elif self.find == "nodes":
            update["cluster"] = scenario.cluster.model_copy(update={"nodes": int(value)})
        elif self.find == "proxy-cpu-limit":
            proxies = [with_limit(one, value) if one in self.limited else one for one in prepared.dataplane.proxies]
            prepared = replace(prepared, dataplane=prepared.dataplane.model_copy(update={"proxies": proxies}))
        else:
            services = [
                one.model_copy(update={"replicas": int(value)}) if self.service in (None, one.name) else one
                for one in original.services
            ]
            original = original.model_copy(update={"services": services})
        return replace(prepared, original=original, scenario=scenario.model_copy(update=update))


def _is_limited(proxy: Proxy, name: str | None) -> bool:
    return proxy.placed != "library" and name in (None, proxy.name)


class _Stopped(Exception):
    pass


class Search:
    """The trials of one case, each simulated once."""

    def __init__(self, case: Case, tick: Tick, stop: Stop) -> None:
        self.case, self.tick, self.stop = case, tick, stop
        self.trials: list[Trial] = []
        self.known: dict[tuple[float, int], Trial] = {}
        self.rows: dict[float, Row] = {}

    def trial(self, value: float, seed: int = 0) -> Trial:
        """Simulate at a value; replications are added while its interval contains the target."""
        if (value, seed) not in self.known:
            self.known[value, seed] = trial = self._simulate(value, seed)
            self.trials.append(trial)
            if len(self.trials) > MOST_TRIALS:
                raise MeshsimError(f"{self.case.prepared.dataplane.name}: {MOST_TRIALS} trials have found no answer")
        return self.known[value, seed]

    def keeps(self, value: float) -> bool:
        """Whether the target is kept there; in doubt, it is not."""
        return self.trial(value).outcome == "kept"

    def _simulate(self, value: float, seed: int) -> Trial:
        case, points = self.case, list[Point]()
        while True:
            found = simulate_point(case.at(value, seed + len(points)), self.tick, self.stop)
            if found is None:
                raise _Stopped
            if not isinstance(found, Point):
                return Trial(value=value, latency_us=None, outcome="missed", replications=0, reason=found.reason)
            points.append(found)
            pooled = pool(points)
            if not seed:
                self.rows[value] = pooled.row
            usual: Estimate = getattr(pooled.row.latency_us, case.of)
            estimate = at_confidence(usual, case.confidence, pooled.latency.batches)
            if estimate.value is None or estimate.low is None or estimate.high is None:
                outcome: Outcome = "unsure"
            elif estimate.high <= case.target_us:
                outcome = "kept"
            else:
                outcome = "missed" if estimate.low > case.target_us else "unsure"
            if outcome != "unsure" or len(points) >= case.budget:
                return Trial(value=value, latency_us=estimate, outcome=outcome, replications=len(points))


def solve_case(case: Case, tick: Tick, stop: Stop) -> Solution | None:
    """The answer for one data plane; None if stopped."""
    search = Search(case, tick, stop)
    if case.find == "proxy-cpu-limit" and not case.limited:
        which = "whose CPU could be limited" if case.proxy is None else f"named {case.proxy}"
        return _refused(case, search, f"{case.prepared.dataplane.name} has no proxy {which}.")
    try:
        answer, beyond = SEARCHES[case.find](search)
        across = None if answer is None else _across(case, answer)
        if across is not None and search.trial(across).outcome == "missed":
            return _refused(case, search, _not_monotone(case, answer, across))
        # An answer that other random numbers do not bear out was luck: step back until they do.
        steps = 0
        while answer is not None and search.trial(answer, APART).outcome != "kept" and steps < MOST_STEPS:
            answer, beyond, steps = _step_back(case.find, answer), answer, steps + 1
            search.trial(answer)
        verified = None
        if answer is not None:
            kept = search.keeps(answer) and search.trial(answer, APART).outcome == "kept"
            verified = kept and (beyond is None or search.trial(beyond, APART).outcome != "kept")
    except _Stopped:
        return None
    last = search.trials[0] if answer is None else search.known[answer, 0]
    row = None if answer is None else search.rows[answer]
    return Solution(
        dataplane=case.prepared.dataplane.name,
        answer=answer,
        beyond=beyond,
        latency_us=last.latency_us,
        latency_beyond_us=None if beyond is None else search.known[beyond, 0].latency_us,
        verified=verified,
        reality=None if row is None else band_of(row, f"latency_us_{case.of}"),
        outside=[] if row is None or row.reality is None else row.reality.outside,
        trials=sorted(search.trials, key=lambda trial: trial.value),
        sentence=_sentence(case, search, answer, beyond),
    )


def _step_back(find: Find, answer: float) -> float:
    if find == "rps":
        return float(f"{answer / (1 + TOLERANCE):.4g}")
    return float(f"{answer * (1 + TOLERANCE):.4g}") if find == "proxy-cpu-limit" else answer + 1


def _across(case: Case, answer: float) -> float | None:
    """A value well on the good side of the answer, which has to keep the target too."""
    if case.find == "rps":
        return float(f"{answer / 2:.4g}") if answer / 2 >= LEAST_RPS else None
    return min(2 * answer, case.most_millicores) if case.find == "proxy-cpu-limit" else 2 * answer


def _not_monotone(case: Case, answer: float | None, across: float) -> str:
    return (
        f"{case.prepared.dataplane.name} has no single answer: {_target(case)} is kept with {answer:g} "
        f"{_unit(case)}, but missed with {across:g}; the search needs a latency that goes one way only."
    )


def _refused(case: Case, search: Search, sentence: str) -> Solution:
    """No answer, and why."""
    first = search.trials[0].latency_us if search.trials else None
    return Solution(
        dataplane=case.prepared.dataplane.name, answer=None, beyond=None, latency_us=first, latency_beyond_us=None,
        verified=None, trials=sorted(search.trials, key=lambda trial: trial.value), sentence=sentence,
    )  # fmt: skip


def _highest(search: Search) -> tuple[float | None, float | None]:
    """(highest rate that keeps the target, lowest that does not)."""
    start = search.case.prepared.scenario.load.rps
    low, high = start, start
    while search.keeps(high):
        low, high = high, min(high * 2, MOST_RPS)
        if low == high:
            return low, None
    while not search.keeps(low):
        # What a single request takes at no load at all, no lower rate will mend.
        low, high = low / 4, low
        if low < max(LEAST_RPS, start / 1000):
            return None, None
    while high / low > 1 + TOLERANCE:
        middle = float(f"{math.sqrt(low * high):.4g}")
        if middle in (low, high):
            break
        low, high = (middle, high) if search.keeps(middle) else (low, middle)
    return low, high


def _fewest(search: Search) -> tuple[float | None, float | None]:
    """(fewest that keep the target, one less)."""
    low, high = 0, 1  # low misses it, or is none at all
    while not search.keeps(high):
        if high >= 4 and _is_flat(search, low, high):
            return None, None
        low, high = high, high * 2
        if high > MOST_COUNT:
            return None, None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if search.keeps(middle) else (middle, high)
    return float(high), float(low) if low else None


def _lowest_limit(search: Search) -> tuple[float | None, float | None]:
    """(lowest CPU limit that keeps the target, highest that does not); from no limit downwards."""
    high = search.case.most_millicores
    if not search.keeps(high):
        return None, None
    low = high / 2
    while search.keeps(low):
        high, low = low, low / 2
        if low < LEAST_MILLICORES:
            return high, None
    while high / low > 1 + TOLERANCE:
        middle = float(f"{math.sqrt(low * high):.4g}")
        if middle in (low, high):
            break
        low, high = (low, middle) if search.keeps(middle) else (middle, high)
    return high, low


SEARCHES = {"rps": _highest, "nodes": _fewest, "replicas": _fewest, "proxy-cpu-limit": _lowest_limit}


def _is_flat(search: Search, low: int, high: int) -> bool:
    """Twice as many have brought nothing any more: more of them will not."""
    before, now = (search.known[float(value), 0].latency_us for value in (low, high))
    if before is None or now is None or before.value is None or now.value is None or now.low is None:
        return False
    return now.low > search.case.target_us and now.value > 0.98 * before.value


def _sentence(case: Case, search: Search, answer: float | None, beyond: float | None) -> str:
    name, target, unit = case.prepared.dataplane.name, _target(case), _unit(case)
    if answer is None:
        best = min((t.latency_us.value for t in search.trials if t.latency_us and t.latency_us.value), default=None)
        reason = next((trial.reason for trial in search.trials if trial.reason), "")
        seen = f"the lowest seen was {best / 1000:.3g} ms" if best else reason or "no trial could be simulated"
        return f"{name} does not keep a {target} at any number of {unit}: {seen}."
    edge = "" if beyond is None else f"; not with {beyond:g}"
    if beyond is not None and (reason := search.known[beyond, 0].reason):
        edge += f" ({reason})"
    if case.find == "rps":
        return f"{name} keeps a {target} up to {answer:g} {unit}{edge}."
    return f"{name} keeps a {target} with {answer:g} {unit}{edge}."


def _target(case: Case) -> str:
    return f"{ {'p999': 'p99.9'}.get(case.of, case.of) } of at most {case.target_us / 1000:g} ms"


def _unit(case: Case) -> str:
    if case.find == "proxy-cpu-limit" and case.proxy is not None:
        return f"millicores for {case.proxy}"
    return UNITS[case.find] if case.service is None else f"replicas of {case.service}"


def solve(
    application: str | Path | Application,
    find: Find,
    target_ms: float,
    dataplanes: Sequence[str | Path | DataPlane] = defaults.DATAPLANES,
    rps: float = defaults.RPS,
    *,
    of: Metric = "p99",
    service: str | None = None,
    proxy: str | None = None,
    budget: int = BUDGET,
    confidence: float = CONFIDENCE,
    services: int | None = None,
    **common: Unpack[Common],
) -> SolutionReport:
    """The highest ``rps``, or the fewest ``nodes``, ``replicas`` or millicores of "proxy-cpu-limit", with the
    quantile ``of`` at most ``target_ms``.

    "At most" means that the upper end of its interval of ``confidence`` is: at 0.95 it is more with a chance of 2.5 %.
    While the interval contains the target, replications are added, up to ``budget``; what then is still unsure counts
    as not kept. ``service``: whose replicas are varied, all services' if left out; ``proxy``: whose CPU limit, all
    proxies' in containers of their own if left out (a limit below the reservation lowers that too). Rate and limit are
    found to 5 %, numbers exactly, taking it that latency only rises with the rate and only falls with the others; where
    half the rate, or twice the number, misses the target that the answer keeps, there is no answer but a sentence. The
    rest is as in ``compare`` (``requests``: measured ones of a trial, 6 000). A data plane that cannot keep the target
    has no answer and a sentence that says so. Close to saturation a short run does not see how long the queues become:
    an answer there needs long runs. Raises MeshsimError for wrong input.
    """
    if find not in UNITS:
        raise MeshsimError(f"find: {find!r} received; choose {', '.join(UNITS)}")
    if of not in QUANTILES:
        raise MeshsimError(f"of: {of!r} received; choose {', '.join(QUANTILES)}")
    if not 0 < target_ms < math.inf:
        raise MeshsimError(f"target_ms: {target_ms:g} received; must be above 0")
    if not 1 <= budget <= 1000:
        raise MeshsimError(f"budget: {budget} received; must be from 1 to 1,000 replications")
    if not LEAST_CONFIDENCE <= confidence <= MOST_CONFIDENCE:
        raise MeshsimError(
            f"confidence: {confidence:g} received; must be from {LEAST_CONFIDENCE:g} to {MOST_CONFIDENCE:g}"
        )
    if service is not None and find != "replicas":
        raise MeshsimError(f"service: {service} received; it goes with replicas, and {find} is asked for")
    if proxy is not None and find != "proxy-cpu-limit":
        raise MeshsimError(f"proxy: {proxy} received; it goes with proxy-cpu-limit, and {find} is asked for")
    asked = ask(application, dataplanes, common, requests=REQUESTS)
    names = [one.name for one in asked.inputs.application.services]
    if service is not None and service not in names:
        raise MeshsimError(f"service: {service!r} received; {choices(service, names)}")
    tasks = asked.tasks(rps, services)
    known = [one.name for plane in asked.inputs.dataplanes for one in plane.proxies if _is_limited(one, None)]
    if proxy is not None and proxy not in known:
        raise MeshsimError(f"proxy: {proxy!r} received; " + (choices(proxy, known) if known else "there is none"))
    cases = [Case(prepared, find, service, target_ms * 1000, of, budget, proxy, confidence) for prepared in tasks]
    found: dict[int, Solution] = {}
    work: Work[Case, Solution] = solve_case
    complete = run_all(
        work, cases, size=asked.settings.requests, jobs=jobs_for(asked.jobs, len(cases), 10 * asked.settings.requests),
        on_result=found.__setitem__, on_progress=asked.on_progress, should_stop=asked.should_stop,
        threads=select.runs_on_threads(asked.settings.engine),
    )  # fmt: skip
    own = ["--find", find, "--target", f"{plain(target_ms)}ms", "--of", of, "--budget", str(budget)]
    own += [] if confidence == CONFIDENCE else ["--confidence", plain(confidence)]
    own += [*option("service", service), *option("proxy", proxy), *option("services", services)]
    return SolutionReport(
        application=asked.name,
        find=find,
        unit=UNITS[find],
        of=of,
        target_ms=target_ms,
        confidence=confidence,
        solutions=[found[index] for index in sorted(found)],
        provenance=asked.provenance("solve", own, rps=rps),
        notes=asked.notes(tasks),
        partial=not complete,
    )
