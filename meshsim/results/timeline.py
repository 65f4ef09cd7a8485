"""Good and failed answers over time: whether a fault is over when its cause is, and whom it hit.

A fixed number of bins of equal width. When time runs out of them, pairs of bins become one: memory is bounded, and the
sums stay exact.
"""

from __future__ import annotations

BINS = 512


class Timeline:
    """Answers by the time at which the client has them."""

    def __init__(self) -> None:
        self.width_ns = 1 << 20
        self.good = [0] * BINS
        self.failed = [0] * BINS
        self.latency_ns = [0] * BINS
        """Sum over good and failed answers."""

    def add(self, now: int, latency: int, good: bool) -> None:
        """One answer; times in ns."""
        while now >= self.width_ns * BINS:
            self.fold()
        number = now // self.width_ns
        if good:
            self.good[number] += 1
        else:
            self.failed[number] += 1
        self.latency_ns[number] += latency

    def fold(self) -> None:
        """Twice the width."""
        self.width_ns *= 2
        for values in (self.good, self.failed, self.latency_ns):
            values[:] = [a + b for a, b in zip(values[::2], values[1::2], strict=True)] + [0] * (BINS // 2)

    def coarse(self, most: int) -> tuple[int, list[tuple[int, int, int]]]:
        """(width of a bin in ns, (good, failed, sum of latencies) of each up to the last answer); ``most`` bins."""
        width, bins = self.width_ns, list(zip(self.good, self.failed, self.latency_ns, strict=True))
        while len(bins) > most:
            width *= 2
            bins = [(a + d, b + e, c + f) for (a, b, c), (d, e, f) in zip(bins[::2], bins[1::2], strict=True)]
        while bins and not (bins[-1][0] or bins[-1][1]):
            bins.pop()
        return width, bins

    def rows(self) -> list[dict[str, float]]:
        """One row a bin up to the last answer: its end (s), good and failed answers a second, mean latency (us)."""
        last = max((n for n in range(BINS) if self.good[n] or self.failed[n]), default=-1)
        seconds = self.width_ns / 1e9
        return [
            {
                "until_s": (n + 1) * seconds,
                "good_rps": self.good[n] / seconds,
                "failed_rps": self.failed[n] / seconds,
                "mean_us": self.latency_ns[n] / 1000 / max(1, self.good[n] + self.failed[n]),
            }
            for n in range(last + 1)
        ]
