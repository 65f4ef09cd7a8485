"""Faults on a schedule.

**Crash** (of an application container or of a proxy): whoever waits in its line fails with RESET at once; what it was
working on is lost, which its caller learns when that piece of work would have been done; until the restart is over
every new request to it fails with REFUSED, at the cost of the way there. A turn on a core that is under way runs to
its end. With the restart all its workers are free.
**Slow**: work at a pod that begins in this time takes longer, whoever does it there.
**Errors**: a share of requests fails with ERROR when the body would begin.
Changes take effect before anything else of their instant.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshsim.engines.frame import CLOCK, Timed, order
from meshsim.plan.draws import draw, purpose
from meshsim.plan.faults import FaultKind
from meshsim.plan.plan import Status

if TYPE_CHECKING:
    from meshsim.engines.frame import Frame
    from meshsim.engines.reference import Simulation

CRASH, SLOW, ERRORS = (int(kind) for kind in FaultKind)
ERROR = purpose("does a faulty pod answer with an error")
RESET = int(Status.RESET)
NORMAL = 1024
"""Speed of a healthy pod, in 1/1024 of its time."""


class Faults:
    """What is broken now."""

    def __init__(self, sim: Simulation) -> None:
        self.sim = sim
        pods = len(sim.plan.pod_node)
        self.slowness = [NORMAL] * pods
        self.error_share = [0] * pods
        rows = sim.plan.faults.tolist()
        for number, (start, end, *what) in enumerate(rows):
            Timed(sim.env, start, order(CLOCK, 2 * number), self.on_change, (True, *what))
            Timed(sim.env, end, order(CLOCK, 2 * number + 1), self.on_change, (False, *what))

    def on_change(self, event: Timed) -> None:
        """Something breaks, or is well again."""
        sim = self.sim
        sim.now = int(sim.env.now)
        breaks, kind, where, value = event.about
        if kind == SLOW:
            self.slowness[where] = value if breaks else NORMAL
        elif kind == ERRORS:
            self.error_share[where] = value if breaks else 0
        else:
            for station in sim.stations[where : where + value]:
                station.down += 1 if breaks else -1
                if breaks:
                    self.crash(station)
        sim.go_on()

    def crash(self, station: object) -> None:
        """Lose the line, and all that is being worked on."""
        from meshsim.engines.station import Station

        assert isinstance(station, Station)
        sim = self.sim
        station.up_to(sim.now)
        station.crashed_at = sim.now
        station.free = station.servers
        while station.line:
            frame = station.line.popleft()
            station.leave(frame.held_since, sim.now)
            sim.recorder.segment(frame, sim.now)
            sim.fail(frame, RESET)
            sim.ready.append(frame)

    def slow_down(self, frame: Frame, pod: int) -> None:
        """Work gets a core for the first time: as slow as the pod is now."""
        slowness = self.slowness[pod]
        if slowness != NORMAL:
            frame.parts = [(number, ns * slowness // NORMAL) for number, ns in frame.parts]
            frame.asked = frame.left = sum(ns for _, ns in frame.parts)

    def answers_with_error(self, frame: Frame, pod: int) -> bool:
        """Whether a faulty pod fails this request."""
        return draw(frame.key, ERROR) >> 32 < self.error_share[pod]
