"""What a chapter is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from meshsim.scenario.application import Application
from meshsim.scenario.dataplane import DataPlane

MOST_WORDS = 120


@dataclass(frozen=True)
class Answer:
    """What came out, and what to see in it."""

    value: float
    """In the unit of the chapter's guess."""
    said: str
    """One or two sentences."""
    rows: list[dict[str, Any]] = field(default_factory=list)
    """A table: one line each, columns with their units."""
    figure: dict[str, Any] | None = None
    alt: str = ""
    """What the figure shows, in words."""
    closed_form: str = ""
    """What theory says of the same question, with its number; empty where it has no formula."""
    engine: str = ""
    """Where the numbers come from: 'simulation of 20 000 requests', 'cost book'."""


@dataclass(frozen=True)
class Guess:
    """The slider for the prediction."""

    question: str
    low: float
    high: float
    step: float
    start: float
    unit: str


@dataclass(frozen=True)
class Scene:
    """What the canvas shows."""

    application: Application
    dataplane: DataPlane
    rps: float
    said: str
    """What to look at."""


@dataclass(frozen=True)
class Chapter:
    """``text``: Markdown, at most ``MOST_WORDS`` words; ``answer`` takes a few seconds at most."""

    name: str
    title: str
    text: str
    guess: Guess
    answer: Callable[[], Answer]
    try_this: str = ""
    """What to do next, elsewhere in the app."""
    scene: Callable[[], Scene] | None = None
    """Requests that move beside the text; None where they would show nothing of it."""


def gap(guess: float, value: float) -> str:
    """How near a guess came, in words."""
    if value == 0:
        return "exactly right" if guess == 0 else "it is nothing at all"
    factor = max(guess, 1e-12) / value
    if 0.9 <= factor <= 1.1:
        return "within a tenth of it"
    if factor > 1:
        return f"{factor:.2g} times too much"
    return f"{1 / factor:.2g} times too little"
