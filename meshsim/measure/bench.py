"""What an experiment works with: the lab, and ``measure``, which watches the host while a point is taken."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from meshsim.measure.experiment import Reading, Sample, Setting, reduced
from meshsim.measure.host import LoadWatch
from meshsim.measure.lab import Lab

NOISY_CORES = 0.1
"""More than this in use by others and a point is taken again."""
ATTEMPTS = 3
"""So often at most."""


class Stopped(Exception):
    """The user asked to stop: the round under way is given up, finished ones are kept."""


@dataclass
class Bench:
    """One round of one experiment."""

    experiment: str
    round: int
    quick: bool
    lab: Lab
    should_stop: Callable[[], bool]
    on_point: Callable[[], None] = lambda: None
    attempts: int = ATTEMPTS
    samples: list[Sample] = field(default_factory=list)

    def measure(self, settings: Mapping[str, Setting], take: Callable[[], Mapping[str, Reading | str]]) -> Sample:
        """Take one point; again, if others kept more than a tenth of a core busy; the quietest one counts.

        ``take`` returns readings by metric, with the unit in its name: a figure, or all single observations.
        """
        best: Sample | None = None
        for _ in range(self.attempts):
            if self.should_stop():
                raise Stopped
            with LoadWatch() as watch:
                readings = take()
            values, quantiles, counts, words = reduced(readings)
            sample = Sample(
                self.experiment, self.round, dict(settings), values, quantiles, counts,
                round(watch.foreign_cores, 3), words,
            )  # fmt: skip
            if best is None or sample.foreign_cores < best.foreign_cores:
                best = sample
            if best.foreign_cores <= NOISY_CORES:
                break
        assert best is not None
        self.samples.append(best)
        self.on_point()
        return best
