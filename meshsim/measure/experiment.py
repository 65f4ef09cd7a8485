"""What an experiment is, and the samples it gives."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from meshsim.measure.bench import Bench

Group = Literal["kernel", "ebpf", "proxy", "wasm", "container"]
GROUPS: tuple[Group, ...] = ("kernel", "ebpf", "proxy", "wasm", "container")

Setting = int | float | str
Reading = float | Sequence[float] | NDArray[Any]
"""One figure, or the single observations behind it (their median is the figure, their quantiles are kept)."""

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)


@dataclass(frozen=True)
class Experiment:
    """One kind of measurement over several points. ``run`` does one round of it, set-up and tear-down included."""

    name: str
    """'kernel.tcp-round-trip': group, dot, what."""
    what: str
    """One line for the user: what is measured, with units."""
    run: Callable[[Bench], None]
    """Calls ``bench.measure`` once a point."""
    seconds: float
    """Of one round, about: for the estimate of the time left before anything was timed."""
    quick_seconds: float | None = None
    """The same with ``--quick``; None for what a quick session leaves out unless it is named."""
    needs: tuple[str, ...] = ()
    """Names of capabilities (doctor.py); where one is missing the experiment is skipped with its remedy."""
    rounds: int | None = None
    """Fixed number of rounds, for what repeats exactly; None for as many as the session does."""

    @property
    def group(self) -> str:
        """'kernel', 'ebpf', 'proxy', 'wasm' or 'container'."""
        return self.name.split(".", 1)[0]


@dataclass(frozen=True)
class Sample:
    """One point of one experiment in one round."""

    experiment: str
    round: int
    settings: dict[str, Setting]
    values: dict[str, float]
    """By metric; the unit is in the name: 'round_trip_ns', 'cpu_user_ns', 'memory_bytes'."""
    quantiles: dict[str, dict[str, float]] = field(default_factory=dict)
    """By metric, of the single observations, where there are any: {'0.5': 4211.0, …}."""
    count: dict[str, int] = field(default_factory=dict)
    """By metric, how many observations."""
    foreign_cores: float = 0.0
    """CPU that others used meanwhile: ``meshsim.measure.host.LoadWatch``."""
    words: dict[str, str] = field(default_factory=dict)
    """What is no number: the verifier's own words, versions."""


def reduced(
    readings: Mapping[str, Reading | str],
) -> tuple[dict[str, float], dict[str, Any], dict[str, int], dict[str, str]]:
    """Values, quantiles, counts and words of what one measurement returned."""
    values: dict[str, float] = {}
    quantiles: dict[str, dict[str, float]] = {}
    counts: dict[str, int] = {}
    words: dict[str, str] = {}
    for metric, reading in readings.items():
        if isinstance(reading, str):
            words[metric] = reading
        elif isinstance(reading, int | float | np.number):
            values[metric] = float(reading)
        else:
            observed = np.asarray(reading, np.float64)
            if not len(observed):
                raise ValueError(f"{metric}: no observation")
            values[metric] = float(np.median(observed))
            at = np.quantile(observed, QUANTILES)
            quantiles[metric] = {f"{q:g}": round(float(v), 1) for q, v in zip(QUANTILES, at, strict=True)}
            counts[metric] = len(observed)
    return values, quantiles, counts, words


class Samples:
    """All samples of a session, asked by experiment, metric and settings."""

    def __init__(self, samples: Iterable[Sample]) -> None:
        self.all = list(samples)

    def __iter__(self) -> Iterator[Sample]:
        return iter(self.all)

    def of(self, experiment: str, **settings: Setting) -> list[Sample]:
        """Those of one experiment whose settings have these values."""
        return [s for s in self.all if s.experiment == experiment and settings.items() <= s.settings.items()]

    def values(self, experiment: str, metric: str, **settings: Setting) -> NDArray[np.float64]:
        """One value a round (a noisy round included: its spread is a result), in the order of the rounds."""
        return np.array([s.values[metric] for s in self.of(experiment, **settings) if metric in s.values])

    def has(self, experiment: str, **settings: Setting) -> bool:
        """Whether anything was measured there."""
        return bool(self.of(experiment, **settings))

    def points(self, experiment: str, setting: str, metric: str, **settings: Setting) -> NDArray[np.float64]:
        """Rows (round, setting, value), for a fit; shape (samples, 3)."""
        found = [
            (s.round, float(s.settings[setting]), s.values[metric])
            for s in self.of(experiment, **settings)
            if setting in s.settings and metric in s.values
        ]
        return np.array(found, np.float64).reshape(-1, 3)
