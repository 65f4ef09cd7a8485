"""Where frames wait in line: the cores of a node, or the tokens of a pool. It keeps its own books for the audit."""

from __future__ import annotations

from collections import deque
from typing import Any


class Station:
    """``servers`` cores or tokens, and one line, which may have a limit.

    The sums are integers of ns, brought up to date at each change.
    """

    __slots__ = (
        "arrivals", "asleep_since", "busy_ns", "completions", "crashed_at", "down", "entry_times", "free", "line",
        "places", "present", "present_ns", "seen_at", "servers", "slice_ns", "sojourn_ns", "turn_ends", "turns",
        "turns_ns",
    )  # fmt: skip

    def __init__(self, servers: int, slice_ns: int, places: int) -> None:
        self.servers = servers
        self.free = servers
        self.slice_ns = slice_ns
        self.line: deque[Any] = deque()
        self.places = places  # in line; -1 without limit
        self.down = 0  # crashes that are not over
        self.crashed_at = -1  # what was held before is lost
        self.arrivals = self.completions = self.present = 0
        self.seen_at = self.present_ns = self.busy_ns = 0
        self.sojourn_ns = 0
        self.entry_times = 0  # sum over those present
        self.asleep_since = 0  # when the last token came back for which nobody stood in line
        self.turns_ns = self.turns = 0
        self.turn_ends = 0  # sum over the turns under way

    def up_to(self, now: int) -> None:
        """Bring the integrals up to date; called before ``free`` or ``present`` changes."""
        passed = now - self.seen_at
        if passed:
            self.present_ns += self.present * passed
            self.busy_ns += (self.servers - self.free) * passed
            self.seen_at = now

    def enter(self, now: int) -> None:
        """One more, waiting or served."""
        self.up_to(now)
        self.present += 1
        self.arrivals += 1
        self.entry_times += now

    def leave(self, since: int, now: int) -> None:
        """One less, who had entered at ``since``."""
        self.up_to(now)
        self.present -= 1
        self.completions += 1
        self.entry_times -= since
        self.sojourn_ns += now - since

    def begin_turn(self, turn_ns: int, now: int) -> None:
        """A core is given away for so long."""
        self.turns += 1
        self.turns_ns += turn_ns
        self.turn_ends += now + turn_ns

    def end_turn(self, now: int) -> None:
        """The turn is over."""
        self.turns -= 1
        self.turn_ends -= now

    def sojourn_until(self, now: int) -> int:
        """Time spent here by all who came, those still present included."""
        return self.sojourn_ns + self.present * now - self.entry_times

    def charged_until(self, now: int) -> int:
        """Core time given away, less what is left of the turns under way."""
        return self.turns_ns - (self.turn_ends - self.turns * now)
