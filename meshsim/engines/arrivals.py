"""Load: when requests come in. All arithmetic is on integers, see ``meshsim.plan.arrivals``.

An open loop draws a unit gap for each request (for each burst) and spends it at the rate of the time it passes
through. A state of an MMPP lasts an exponential time; the states follow each other in turn.
In a closed loop each client first thinks, then sends; when its answer (or failure) comes it thinks again. Requests are
numbered in the order in which they are sent; clients that send at the same instant do so in the order of their number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshsim.engines.frame import ARRIVAL, Request, Timed, order
from meshsim.plan.arrivals import CLOSED, MMPP
from meshsim.plan.draws import ARRIVAL_GAP, child_key, draw, purpose
from meshsim.plan.laws import FRACTION_BITS, HALF, ONE, draw_ns, draw_unit

if TYPE_CHECKING:
    from meshsim.engines.reference import Simulation

STAY = purpose("stay in a state of the load")
THINK = purpose("time to think")


class Load:
    """Lets the requests of a run come in."""

    def __init__(self, sim: Simulation) -> None:
        plan, self.sim = sim.plan, sim
        self.load = load = plan.arrivals
        self.lengths: list[int] = load.length.tolist()
        self.gap_means: list[int] = load.gap_mean.tolist()
        self.gap_law = sim.laws[plan.gap_law] if plan.gap_law >= 0 else None
        self.exponential = sim.laws[plan.exponential_law] if plan.exponential_law >= 0 else []
        self.clock = 0  # time of the last arrival, in 2**-shift ns
        self.pieces = 0
        self.end = 0  # of the present piece; -1: for ever
        self.begin_piece()
        self.sent = 0
        self.thoughts = [0] * load.clients

    def start(self) -> None:
        """The first request, or the first of each client."""
        if self.load.kind != CLOSED:
            self.schedule(0)
        for client in range(self.load.clients):
            self.think(client)

    def begin_piece(self) -> None:
        """Another rate, from where the last one ended."""
        number, self.pieces = self.pieces, self.pieces + 1
        length = self.lengths[number % len(self.lengths)]
        if self.load.kind == MMPP:
            length = draw_ns(self.exponential, length, draw(child_key(self.sim.root_key, number), STAY))
        self.end = -1 if length < 0 else self.end + (length << self.load.shift)

    def schedule(self, number: int) -> None:
        """An open loop sends its next request."""
        if number % self.load.burst == 0:
            self.advance(draw(child_key(self.sim.root_key, number), ARRIVAL_GAP))
        sim = self.sim
        Timed(sim.env, (self.clock >> self.load.shift) - sim.now, order(ARRIVAL, number), self.on_arrival, number)

    def advance(self, h: int) -> None:
        """Spend a unit gap."""
        unit = ONE if self.gap_law is None else draw_unit(self.gap_law, h)
        while True:
            mean = self.gap_means[(self.pieces - 1) % len(self.gap_means)]
            if mean:
                gap = (mean * unit + HALF >> FRACTION_BITS) or 1
                if self.end < 0 or self.clock + gap <= self.end:
                    self.clock += gap
                    return
                unit = max(0, unit - (self.end - self.clock << FRACTION_BITS) // mean)
            self.clock = self.end
            self.begin_piece()

    def on_arrival(self, event: Timed) -> None:
        """A request of an open loop comes in."""
        self.sim.now = int(self.sim.env.now)
        self.schedule(event.about + 1)
        self.sim.arrive(Request(event.about))

    # Closed loop ------------------------------------------------------------------------------------------------

    def think(self, client: int) -> None:
        """A client will send its next request."""
        sim, load = self.sim, self.load
        pause = load.think_ns
        if pause and not load.think_constant:
            key = child_key(child_key(sim.root_key, client), self.thoughts[client])
            pause = draw_ns(self.exponential, pause, draw(key, THINK))
        self.thoughts[client] += 1
        Timed(sim.env, max(1, pause), order(ARRIVAL, client), self.on_client, client)

    def on_client(self, event: Timed) -> None:
        """A client sends."""
        self.sim.now = int(self.sim.env.now)
        number, self.sent = self.sent, self.sent + 1
        self.sim.arrive(Request(number, event.about))
