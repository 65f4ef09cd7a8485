"""The numbers that the compiled and the analytic engine are to reach, beside what was measured."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .alone import in_a_process
from .speed import Say, Speed, two_threads

GIB = 1 << 30
SIMPY = {"50 stations": 300, "5 000 stations": 600, "100 000 stations": 500, "mesh, 8 nodes": 400}


@dataclass(frozen=True)
class Number:
    """One goal; ``value`` is None where it was not measured, and ``said`` says why."""

    what: str
    goal: str
    value: float | None
    said: str
    reached: bool | None


def apart(number: int) -> str:
    """With its thousands apart: 2 400 000."""
    return f"{number:,}".replace(",", " ")


def at_least(what: str, goal: float, value: float | None, unit: str, why: str = "") -> Number:
    """The more the better."""
    said = why if value is None else f"{value:.3g}{unit}"
    return Number(what, f"≥ {goal:g}{unit}", value, said, None if value is None else value >= goal)


def at_most(what: str, goal: float, value: float | None, unit: str, why: str = "") -> Number:
    """The less the better."""
    said = why if value is None else f"{value:.3g}{unit}"
    return Number(what, f"≤ {goal:g}{unit}", value, said, None if value is None else value <= goal)


def of_speed(speeds: list[Speed]) -> list[Number]:
    """Ratios to SimPy and to the C++ program."""
    found = []
    for speed in speeds:
        if speed.case in SIMPY:
            what = f"compiled over SimPy: {speed.case}"
            found.append(at_least(what, SIMPY[speed.case], speed.ratio("SimPy"), "×"))
    for speed in speeds:
        ratio = speed.ratio("C++")
        time = None if ratio is None else 1 / ratio
        found.append(at_most(f"time of compiled over C++: {speed.case}", 1.0, time, "×", speed.skipped.get("C++", "")))
    return found


def of_the_others(quick: bool, with_large: bool, with_threads: bool, say: Say) -> list[Number]:
    """What is looked at in processes of their own, and on threads."""

    def alone(name: str, number: int = 0, **how: Any) -> dict[str, Any]:
        say(f"{name} {number}" if number else name)
        return in_a_process(name, number, **how)

    many, few = (100_000, 200) if quick else (2_400_000, 200)
    found = [*_pending(alone, many, few, 1 if quick else 3), *_large(alone, quick, with_large)]
    if with_threads:
        found.append(at_least("two threads over one", 1.9, two_threads(quick, say), "×"))
    else:
        found.append(at_least("two threads over one", 1.9, None, "×", "with --threads, on an idle machine"))
    return [*found, *_first_call(alone, quick)]


def _pending(alone: Callable[..., dict[str, Any]], many: int, few: int, rounds: int) -> list[Number]:
    ratios, sizes = [], []
    for _ in range(rounds):
        less, more = alone("pending", few), alone("pending", many)
        ratios.append(more["ns_an_event"] / less["ns_an_event"])
        sizes.append(more["bytes_a_request"])
    return [
        at_most(f"time an event, {apart(many)} pending over {few}", 2, statistics.median(ratios), "×"),
        at_most("memory a request in flight", 100, statistics.median(sizes), " B"),
    ]


def _large(alone: Callable[..., dict[str, Any]], quick: bool, with_requests: bool) -> list[Number]:
    size = "10 000 services, 100 000 pods, sidecars"
    run, lowered, solved = f"{size}: 1 million requests, memory", f"{size}: lowering, CPU", f"{size}: analytic, CPU"
    if quick and not with_requests:
        why = "not with --quick"
        return [
            at_most(run, 4, None, " GiB", why),
            at_most(lowered, 2, None, " s", why),
            at_most(solved, 20, None, " ms", why),
        ]
    result = alone("large", 1_000_000 if with_requests else 0)
    peak = result.get("peak_bytes")
    memory = at_most(run, 4, None if peak is None else peak / GIB, " GiB", "with --large")
    if peak is not None:
        took = f"{result['run_wall_s']:.0f} s ({result['run_cpu_s']:.0f} s of CPU), {result['events']:.3g} events"
        memory = Number(memory.what, memory.goal, memory.value, f"{memory.said}; {took}", memory.reached)
    answer = result.get("analytic_cpu_s")
    return [
        memory,
        at_most(lowered, 2, result["lowering_cpu_s"], " s"),
        at_most(solved, 20, None if answer is None else answer * 1000, " ms", "this version has no analytic engine"),
    ]


def _first_call(alone: Callable[..., dict[str, Any]], quick: bool) -> list[Number]:
    what = "first useful answer on a cold install, over the compile wait"
    if quick:
        return [at_most(what, 0.1, None, "×", "not with --quick")]
    cold = alone("first_call", fresh_cache=True)
    wait = f"compile wait {cold['compile_s']:.0f} s ({cold['compile_cpu_s']:.0f} s of CPU)"
    if cold["answer_s"] is None:
        return [at_most(what, 0.1, None, "×", f"this version has no analytic engine; {wait}")]
    number = at_most(what, 0.1, cold["answer_s"] / cold["compile_s"], "×")
    return [Number(what, number.goal, number.value, f"{number.said}; {wait}", number.reached)]
