"""CPU limits: throttling as CFS bandwidth control does it (Turner, Rao and Rao, "CPU bandwidth control for CFS",
Ottawa Linux Symposium 2010; ``cpu.max`` of cgroup v2).

A container may use ``quota`` ns of CPU in each period. Time is taken from the budget when a turn on a core begins (the
kernel hands it out in slices of 5 ms, too), so a turn is never longer than what is left. A thread whose container has
nothing left waits off the core until the next period begins, whatever cores are idle; then all that wait go back to
the end of the line of their cores, in the order in which they were throttled. Unused budget is lost.
Simplified: the periods of all containers begin at multiples of the period, from time 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshsim.engines.frame import CLOCK, Frame, Timed, order

if TYPE_CHECKING:
    from meshsim.engines.reference import Simulation

BEHIND_FAULTS = 1 << 30


class Quota:
    """The budgets of all containers that have a limit."""

    def __init__(self, sim: Simulation) -> None:
        quotas = sim.plan.quotas
        self.sim = sim
        self.period_ns = quotas.period_ns
        self.quota_ns: list[int] = quotas.quota_ns.tolist()
        self.pod_quota: list[list[int]] = quotas.pod_quota.tolist()
        self.left: list[int] = self.quota_ns.copy()
        self.period = [0] * len(self.left)  # for which `left` is meant
        self.throttled: list[list[Frame]] = [[] for _ in self.left]
        self.throttled_ns = 0
        self.throttles = 0

    def take(self, row: int, wanted: int, now: int) -> int:
        """Take up to so much from the budget; 0 if it is used up."""
        period = now // self.period_ns
        if period > self.period[row]:
            self.period[row], self.left[row] = period, self.quota_ns[row]
        taken: int = min(wanted, self.left[row])
        self.left[row] -= taken
        return taken

    def throttle(self, frame: Frame) -> None:
        """It waits for the next period."""
        row, now = frame.quota, self.sim.now
        self.throttles += 1
        if not self.throttled[row]:
            delay = (now // self.period_ns + 1) * self.period_ns - now
            Timed(self.sim.env, delay, order(CLOCK, BEHIND_FAULTS + row), self.on_period, row)
        self.throttled[row].append(frame)

    def on_period(self, event: Timed) -> None:
        """A period begins: all that were throttled want a core again."""
        sim, row = self.sim, event.about
        sim.now = int(sim.env.now)
        waiting, self.throttled[row] = self.throttled[row], []
        for frame in waiting:
            station = sim.core(frame)
            if station.free:
                station.up_to(sim.now)
                station.free -= 1
                if not sim.begin_turn(frame, station):
                    station.free += 1
            else:
                station.line.append(frame)
        sim.go_on()
