"""Where retries keep a system down: load x retry policy, each cell pushed once and then left alone.

A metastable failure is an overload that outlives its cause, because the work of coping with it (here: attempts that
nobody waits for any more) is itself the overload: Bronson, Aghayev, Charapko and Zhu, "Metastable failures in
distributed systems", HotOS 2021; Huang et al., "Metastable failures in the wild", OSDI 2022. Their states, as judged
here by the share of good answers, in one run of each cell:

* **stuck**: too few answers are good before anything happened (second half of the calm);
* **vulnerable**: it works, but after the trigger too few are good even in the last quarter of the time to recover;
* **safe**: it works, and works again.

While every attempt runs into its time-out, each request makes all its attempts: 1 + retries, or with a budget of share
b at most 1 / (1 - b), because retries are at most that share of what is under way. If rate x attempts is above what
the busiest station can do, queues grow on and the time-outs go on: the overload sustains itself. So theory puts the
border between safe and vulnerable at capacity / attempts, if the trigger is large enough, and that to stuck at
capacity itself.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, Unpack

import numpy as np

from meshsim.plan.place import PlacementError
from meshsim.results.rows import MetastabilityBoundary, MetastabilityCell, MetastabilityReport
from meshsim.scenario.application import Application
from meshsim.scenario.base import MeshsimError
from meshsim.scenario.capabilities import CapabilityError
from meshsim.scenario.dataplane import DataPlane
from meshsim.scenario.faults import Fault
from meshsim.scenario.load import FlashCrowd
from meshsim.scenario.resilience import Retries, RetryBudget, Rule
from meshsim.scenario.scenario import Load, Run
from meshsim.scenario.suggest import choices
from meshsim.studies.inputs import Inputs, checked_jobs, plain
from meshsim.studies.question import Common, Question, ask, option
from meshsim.studies.setup import Prepared, canonical_hash, checked
from meshsim.studies.store import Store
from meshsim.studies.study import SweepPoint, as_point
from meshsim.studies.sweep import fill

DATAPLANES = ("istio-sidecar",)
RETRIES = ("0", "1", "2", "3", "3@20%")
STEPS = 12
"""Rates, where none are given: in tenths of the capacity of the data plane that has most, up to 120 %."""
CALM, PUSH, WITHIN = 40.0, 10.0, 40.0
"""Times, where none are given, in time-outs of an attempt."""
LONGEST_LIVES = 4.0
"""The time to recover is at least so many longest lives of a request, or old failures would be counted in its end."""
SIZES = {"spike": 5.0, "slow-pod": 10.0, "errors": 1.0, "pod-crash": 1.0}
GOOD = 0.9
LEAST_REQUESTS = 100
"""Of ``meshsim.scenario.scenario.Run.requests``."""
VERDICTS = ("safe", "vulnerable", "stuck")

Kind = Literal["spike", "slow-pod", "errors", "pod-crash"]
Calls = Literal["entry", "all"]
Verdict = Literal["safe", "vulnerable", "stuck"]


@dataclass(frozen=True)
class RetryPolicy:
    """How often a failed attempt is repeated, and how many repetitions may be under way."""

    retries: int
    budget: float | None = None

    @classmethod
    def read(cls, text: str | int) -> RetryPolicy:
        """'3', or '3@20%' with a retry budget."""
        number, at, share = str(text).partition("@")
        try:
            retries = int(number)
            budget = float(share[:-1]) / 100 if share.endswith("%") else float(share) if at else None
        except ValueError:
            raise MeshsimError(f"retries: {text!r} received; a number such as 3, or 3@20% with a budget") from None
        if not 0 <= retries <= 100 or (budget is not None and not 0 <= budget < 1) or (at and not retries):
            raise MeshsimError(f"retries: {text!r} received; from 0 to 100, a budget from 0 to below 100 % of some")
        return cls(retries, budget)

    def __str__(self) -> str:
        return str(self.retries) if self.budget is None else f"{self.retries}@{100 * self.budget:g}%"

    @property
    def attempts(self) -> float:
        """Of one request, while all of them fail."""
        most = 1.0 + self.retries
        return most if self.budget is None else min(most, 1 / (1 - self.budget))

    def rules(self, timeout_ms: float, calls: Calls) -> list[Rule]:
        """For calls from outside, or also for those between services."""
        budget = None if self.budget is None else RetryBudget(share=self.budget)
        done: dict[str, Any] = {"timeout_ms": timeout_ms}
        if self.retries:
            done = {"retries": Retries(max=self.retries, per_try_timeout_ms=timeout_ms, budget=budget)}
        return [checked(Rule, **{"from": who}, **done) for who in (["client"] if calls == "entry" else ["client", "*"])]

    def longest_s(self, timeout_ms: float) -> float:
        """Until the client gives up, back-off included, seconds."""
        backoff = Retries().backoff
        pauses = [min(backoff.max_ms, backoff.base_ms * 2.0**k) for k in range(self.retries)]
        return ((1 + self.retries) * timeout_ms + sum(pauses)) / 1000


@dataclass(frozen=True)
class Trigger:
    """What is done to a system that works, once, for a while."""

    kind: Kind
    size: float
    service: str | None

    def words(self, seconds: float) -> str:
        """In a sentence."""
        what = {
            "spike": f"{self.size:g} times the load",
            "slow-pod": f"every pod of {self.service} {self.size:g} times slower",
            "errors": f"{self.size:.0%} errors from every pod of {self.service}",
            "pod-crash": f"every pod of {self.service} down",
        }
        return f"{what[self.kind]} for {seconds:g} s"

    def load(self, rps: float, at_s: float, for_s: float) -> Load:
        """Offered, whether it can be carried or not."""
        crowd = checked(FlashCrowd, at_s=at_s, times=self.size, hold_s=for_s) if self.kind == "spike" else None
        return checked(Load, rps=rps, overload="simulate", flash_crowd=crowd)

    def faults(self, application: Application, at_s: float, for_s: float) -> list[Fault]:
        """At every pod of the service."""
        if self.kind == "spike":
            return []
        replicas = next(one.replicas for one in application.services if one.name == self.service)
        how = {"slow-pod": {"factor": self.size}, "errors": {"share": self.size}}.get(self.kind, {})
        return [
            checked(Fault, kind=self.kind, service=self.service, replica=pod, at_s=at_s, for_s=for_s, **how)
            for pod in range(1, replicas + 1)
        ]


@dataclass(frozen=True)
class Times:
    """Seconds of calm, of the trigger, and to recover."""

    calm: float
    push: float
    within: float

    @property
    def end(self) -> float:
        """When the last answer counts."""
        return self.calm + self.push + self.within


def metastable(
    application: str | Path | Application,
    timeout_ms: float,
    dataplanes: Sequence[str | Path | DataPlane] = DATAPLANES,
    rps: Sequence[float] | None = None,
    *,
    retries: Sequence[str | int] = RETRIES,
    calls: Calls = "entry",
    trigger: Kind = "spike",
    size: float | None = None,
    service: str | None = None,
    calm_s: float | None = None,
    trigger_s: float | None = None,
    within_s: float | None = None,
    good: float = GOOD,
    replications: int = 1,
    services: int | None = None,
    out: str | Path | None = None,
    **common: Unpack[Common],
) -> MetastabilityReport:
    """Map load x retry policy into safe, vulnerable and stuck.

    ``timeout_ms``: after which a caller gives an attempt up (it goes on upstream, unheard). ``rps``: rates; left out,
    tenths of the capacity up to 120 %. ``retries``: policies, 3 or "3@20%" with Envoy's retry budget; the back-off is
    Envoy's. ``calls``: who retries: the client of the ``entry``, or ``all`` callers. ``trigger``: a "spike" of
    ``size`` times the load, or at every pod of ``service`` "slow-pod" (``size`` times slower), "errors" (share
    ``size``) or "pod-crash". ``calm_s`` before it, ``trigger_s``, and ``within_s`` to recover default to 40, 10 and
    40 time-outs. ``good``: share of good answers from which on it works. ``replications``: runs of a cell, the worst
    counts. ``out``: a folder of results as of ``sweep``, which an interrupted map goes on from and ``replay`` reads.
    The rest is as in ``compare``, without ``requests`` and ``warmup``: times say how long a run is.
    Raises MeshsimError for wrong input.
    """
    for name in ("requests", "warmup"):
        if common.get(name) is not None:
            raise MeshsimError(f"{name}: {common[name]!r} received; times say how long a run is")
    asked = ask(application, dataplanes, common, requests=1000, sample=0)
    policies = [RetryPolicy.read(text) for text in ([retries] if isinstance(retries, str | int) else retries)]
    if not policies or len(set(policies)) < len(policies):
        raise MeshsimError(f"retries: {','.join(map(str, retries))} received; name at least one policy, each once")
    if calls not in ("entry", "all"):
        raise MeshsimError(f"calls: {calls!r} received; choose entry or all")
    for name, value, low, high in (
        ("timeout_ms", timeout_ms, 0.0, 86_400_000.0), ("good", good, 0.0, 1.0), ("replications", replications, 0, 1000)
    ):  # fmt: skip
        if not low < value <= high:
            raise MeshsimError(f"{name}: {value:g} received; must be above {low:g} and at most {high:,g}")
    times = _times(policies, timeout_ms, calm_s, trigger_s, within_s)
    push = _trigger(asked.inputs, trigger, size, service)
    probe = Probe(timeout_ms, calls, push, times, good, services)
    capacities, refused = _capacities(asked, services)
    rates = _rates(rps, capacities)
    cells = [Cell(plane, policy, rate) for plane in asked.inputs.dataplanes for policy in policies for rate in rates]
    hashes, files = _hashes(asked.inputs)
    points = [probe.point(asked, cell, more, hashes) for cell in cells for more in range(replications)]
    with ExitStack() as stack:
        folder = Path(out or stack.enter_context(tempfile.TemporaryDirectory(prefix="meshsim-")))
        store = Store(folder)
        done = fill(
            store, points, files, f"metastable {asked.name}", "meshsim metastable",
            jobs=checked_jobs(-1 if asked.jobs is None else asked.jobs),
            on_progress=asked.on_progress, should_stop=asked.should_stop,
        )  # fmt: skip
        there = store.keys()
        rows = [store.row(point.key) if point.key in there else None for point in points]
    own = [*option("timeout", f"{plain(timeout_ms)}ms"), "--retries", ",".join(map(str, policies))]
    own += ["--rps", ",".join(map(plain, rates)), "--calls", calls, "--trigger", trigger, "--size", plain(push.size)]
    own += [*option("service", service), "--calm", f"{plain(times.calm)}s", "--trigger-for", f"{plain(times.push)}s"]
    own += ["--within", f"{plain(times.within)}s", "--good", plain(good), "--replications", str(replications)]
    tasks = [point.prepared for point in points]
    return MetastabilityReport(
        application=asked.name,
        trigger=push.words(times.push),
        timeout_ms=timeout_ms,
        calls=calls,
        good_share=good,
        calm_s=times.calm,
        trigger_s=times.push,
        within_s=times.within,
        cells=[
            judge(
                cell, [row for row in rows[k * replications : (k + 1) * replications] if row is not None], times, good
            )
            for k, cell in enumerate(cells)
            if any(row is not None for row in rows[k * replications : (k + 1) * replications])
        ],
        boundaries=[
            MetastabilityBoundary(
                dataplane=name,
                policy=str(policy),
                capacity_rps=capacity,
                sustained_rps=capacity / policy.attempts if calls == "entry" else None,
            )
            for name, capacity in capacities.items()
            for policy in policies
        ],
        provenance=asked.provenance("metastable", own, option("services", services)),
        notes=[*asked.notes(tasks), *refused],
        partial=done.partial,
    )


@dataclass(frozen=True)
class Cell:
    """One square of the map."""

    dataplane: DataPlane
    policy: RetryPolicy
    rps: float


@dataclass(frozen=True)
class Probe:
    """What is the same in every cell."""

    timeout_ms: float
    calls: Calls
    trigger: Trigger
    times: Times
    good: float
    services: int | None

    def point(self, asked: Question, cell: Cell, more_seed: int, hashes: dict[str, str]) -> SweepPoint:
        """One run: calm, trigger, and time to recover."""
        times, inputs = self.times, asked.inputs
        base = asked.settings.scenario(inputs, cell.dataplane.name, cell.rps, self.services)
        pushed = self.trigger.size if self.trigger.kind == "spike" else 1.0
        expected = cell.rps * (times.calm + pushed * times.push + times.within)
        # So many that the last one almost surely comes after the end.
        requests = max(LEAST_REQUESTS, math.ceil(expected + 5 * math.sqrt(expected)))
        run = checked(Run, requests=requests, warmup=0.0, sample=0, seed=asked.settings.seed + more_seed)
        prepared = Prepared(base, inputs.application, cell.dataplane, inputs.machine, inputs.costs, inputs.notes)
        scenario = base.model_copy(
            update={
                "run": run,
                "load": self.trigger.load(cell.rps, times.calm, times.push),
                "faults": self.trigger.faults(prepared.application, times.calm, times.push),
                "resilience": cell.policy.rules(self.timeout_ms, self.calls),
            }
        )
        prepared = Prepared(scenario, inputs.application, cell.dataplane, inputs.machine, inputs.costs, inputs.notes)
        return as_point(prepared, {**hashes, "dataplane": canonical_hash(cell.dataplane)})


# What came out -------------------------------------------------------------------------------------------------


def judge(cell: Cell, rows: Sequence[dict[str, Any]], times: Times, good: float) -> MetastabilityCell:
    """The verdict on the finished runs of a cell."""
    told: dict[str, Any] = {"dataplane": cell.dataplane.name, "rps": cell.rps, "policy": str(cell.policy)}
    unknown = dict.fromkeys(("verdict", "good_before", "good_after", "recovery_s"))
    if failed := next((row["error"] for row in rows if row["error"]), ""):
        return MetastabilityCell(**told, **unknown, runs={}, reason=failed)
    found = [_verdict(row, times, good) for row in rows]
    worst = max(found, key=lambda one: VERDICTS.index(one[0]))
    counts = {name: sum(one[0] == name for one in found) for name in VERDICTS}
    verdict, before, after, recovery = worst
    return MetastabilityCell(
        **told, verdict=verdict, good_before=before, good_after=after, recovery_s=recovery,
        runs={name: count for name, count in counts.items() if count},
    )  # fmt: skip


def _verdict(row: dict[str, Any], times: Times, good: float) -> tuple[Verdict, float, float, float | None]:
    """(verdict, share of good answers before, after, seconds to recover) of one run."""
    width = row["timeline_bin_ns"] / 1e9
    answers = np.array([row["timeline_good"], row["timeline_failed"]], np.float64)
    starts = np.arange(answers.shape[1]) * width
    pushed, let_go = times.calm, times.calm + times.push

    def share(begin: float, end: float) -> float:
        """Of the bins that lie within; no answer at all is no good."""
        within = (starts >= begin) & (starts + width <= end)
        good_ones, all_ = answers[0, within].sum(), answers[:, within].sum()
        return float(good_ones / all_) if all_ else 0.0

    before, after = share(times.calm / 2, pushed), share(times.end - times.within / 4, times.end)
    if before < good:
        return "stuck", before, after, None
    if after < good:
        return "vulnerable", before, after, None
    bad = [s for s, (y, n) in zip(starts, answers.T, strict=True) if let_go <= s < times.end and y < good * (y + n)]
    return "safe", before, after, max(bad) + width - let_go if bad else 0.0


# What was asked ------------------------------------------------------------------------------------------------


def _trigger(inputs: Inputs, kind: Kind, size: float | None, service: str | None) -> Trigger:
    if kind not in SIZES:
        raise MeshsimError(f"trigger: {kind!r} received; choose {', '.join(SIZES)}")
    if (kind == "spike") != (service is None):
        wrong = f"service: {service} received; it goes with the other triggers, and spike is asked for"
        raise MeshsimError(wrong if service else f"service: none given; trigger {kind} hits the pods of one")
    names = [one.name for one in inputs.application.services]
    if service is not None and service not in names:
        raise MeshsimError(f"service: {service!r} received; {choices(service, names)}")
    if kind == "pod-crash" and size is not None:
        raise MeshsimError(f"size: {size:g} received; a pod-crash has none")
    return Trigger(kind, SIZES[kind] if size is None else size, service)


def _times(
    policies: Sequence[RetryPolicy], timeout_ms: float, calm_s: float | None, push_s: float | None, in_s: float | None
) -> Times:
    timeout = timeout_ms / 1000
    longest = max(policy.longest_s(timeout_ms) for policy in policies)
    times = Times(
        CALM * timeout if calm_s is None else calm_s,
        PUSH * timeout if push_s is None else push_s,
        max(WITHIN * timeout, math.ceil(LONGEST_LIVES * longest)) if in_s is None else in_s,
    )
    for name, value, least in (
        ("calm_s", times.calm, LONGEST_LIVES * timeout), ("trigger_s", times.push, 0.0),
        ("within_s", times.within, LONGEST_LIVES * longest),
    ):  # fmt: skip
        if not value > 0 or value < least:
            raise MeshsimError(
                f"{name}: {value:g} received; must be at least {least:g} s: a request may live {longest:g} s, and its "
                "failure must not be counted for later ones"
                if least
                else f"{name}: {value:g} received; must be above 0"
            )
    return times


def _capacities(asked: Question, services: int | None) -> tuple[dict[str, float], list[str]]:
    """Rate at which the busiest station of each data plane saturates, and why some have none."""
    found, refused = dict[str, float](), list[str]()
    for task in asked.tasks(1.0, services):
        try:
            plan = task.plan
        except (CapabilityError, PlacementError) as error:
            refused.append(f"{task.dataplane.name}: {error}")
            continue
        found[task.dataplane.name] = plan.rps / float(plan.station_load.max())
    if not found:
        raise MeshsimError(refused[0])
    return found, refused


def _rates(rps: Sequence[float] | None, capacities: dict[str, float]) -> list[float]:
    if rps is None:
        largest = max(capacities.values())
        return [float(f"{largest * (k + 1) / 10:.3g}") for k in range(STEPS)]
    rates = sorted(checked(Load, rps=rate).rps for rate in ([rps] if isinstance(rps, int | float) else rps))
    if not rates or any(a == b for a, b in pairwise(rates)):
        raise MeshsimError(f"rps: {','.join(map(plain, rates))} received; name at least one rate, each once")
    return rates


def _hashes(inputs: Inputs) -> tuple[dict[str, str], dict[str, dict[str, Any]]]:
    """Hashes of what is the same in every cell, and every model file by its own."""
    things = [inputs.application, inputs.machine, *inputs.costs.books, *inputs.dataplanes]
    files = {canonical_hash(thing): thing.model_dump(mode="json", by_alias=True) for thing in things}
    costs = ",".join(canonical_hash(book) for book in inputs.costs.books)
    hashes = {"application": canonical_hash(inputs.application), "machine": canonical_hash(inputs.machine)}
    return {**hashes, "costs": costs}, files
