"""Small tasks with a check: choose a data plane and a rate, and the analytic engine says whether they do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from meshsim.app.approximate import Approximation, Place, at_rates
from meshsim.app.controls import DEFAULT_APPLICATION, RATES, own_size
from meshsim.figures import numbers as n
from meshsim.results.rows import Row
from meshsim.scenario.catalog import load_dataplane


@dataclass(frozen=True)
class Rule:
    """One condition, and what came out."""

    asked: str
    met: bool
    seen: str


@dataclass(frozen=True)
class Challenge:
    """``check`` takes a data plane and requests a second; all of its rules are to be met."""

    name: str
    text: str
    check: Callable[[str, int], Sequence[Rule]]


@lru_cache(maxsize=1024)
def row(dataplane: str, rps: int) -> Row | str:
    """Of Online Boutique at its own size, or why there is none."""
    (answer,) = at_rates(Place(DEFAULT_APPLICATION, own_size(DEFAULT_APPLICATION), dataplane), [float(rps)])
    return answer.row if isinstance(answer, Approximation) else answer.reason


def can(dataplane: str, feature: str) -> Rule:
    """Whether the data plane itself does it."""
    answers = {str(name): answer for name, answer in load_dataplane(dataplane).capabilities.items()}
    answer = answers.get(feature)
    if answer is None or answer.refused is not None:
        return Rule(f"does {feature}", False, "no" if answer is None else str(answer.refused))
    return Rule(f"does {feature}", True, f"by {answer.by or answer.falls_back_to}")


def quantile(dataplane: str, rps: int, name: str) -> float | None:
    """Microseconds; None where something saturates, or the data plane does not fit."""
    found = row(dataplane, rps)
    if isinstance(found, str):
        return None
    return float(value) if (value := getattr(found.latency_us, name).value) is not None else None


def below(asked: str, us: float | None, most_us: float) -> Rule:
    """A latency that is known and small enough."""
    return Rule(asked, us is not None and us <= most_us, "saturated" if us is None else n.latency(us))


def near_and_encrypted(dataplane: str, rps: int) -> Sequence[Rule]:
    """Encryption for little latency."""
    mine, bare = quantile(dataplane, rps, "p50"), quantile("no-mesh", rps, "p50")
    more = None if mine is None or bare is None else mine - bare
    return [
        can(dataplane, "encryption"),
        below("median at most 5 ms above no-mesh", more, 5000.0),
        Rule("500 requests a second or more", rps >= 500, f"{rps:,}"),
    ]


def cheap_retries(dataplane: str, rps: int) -> Sequence[Rule]:
    """Retries for little money."""
    found = row(dataplane, rps)
    money = None if isinstance(found, str) else found.usd_month
    said = "unknown" if money is None else n.money(money)
    return [
        can(dataplane, "retries"),
        Rule("at most $180 a month", money is not None and money <= 180, said),
        Rule("500 requests a second or more", rps >= 500, f"{rps:,}"),
    ]  # fmt: skip


def all_it_can_take(dataplane: str, rps: int) -> Sequence[Rule]:
    """The largest rate of the slider that keeps p99 low."""
    more = RATES[min(RATES.index(rps) + 1, len(RATES) - 1)]
    beyond = quantile(dataplane, more, "p99")
    return [
        can(dataplane, "encryption"),
        below("p99 at most 25 ms", quantile(dataplane, rps, "p99"), 25_000.0),
        Rule(
            f"p99 above 25 ms at the next step, {more:,} requests a second",
            more == rps or beyond is None or beyond > 25_000.0,
            "saturated" if beyond is None else n.latency(beyond),
        ),
    ]


CHALLENGES = (
    Challenge(
        "near-and-encrypted",
        "Encrypt between the services of Online Boutique at 500 requests a second or more, and stay within 5 ms of no "
        "mesh at the median.",
        near_and_encrypted,
    ),
    Challenge(
        "cheap-retries",
        "Have the mesh repeat failed requests, at 500 requests a second or more, for at most $180 a month.",
        cheap_retries,
    ),
    Challenge(
        "all-it-can-take",
        "Find a data plane with encryption and the highest step of the slider at which its p99 stays below 25 ms.",
        all_it_can_take,
    ),
)
