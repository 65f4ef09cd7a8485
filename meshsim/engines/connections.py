"""Connections: a request needs one, and a connection is pinned to one worker of each proxy on its way.

HTTP/1.1 and TCP: the idle open connection with the lowest number, else a new one if there are fewer than ``max``, else
wait in line. HTTP/2 and gRPC: all connections in turn, each with up to ``streams`` requests; wait if all are full.
A line that has ``pending`` in it fails the next with OVERFLOW.

A connection draws its worker in each proxy, and (at L4) its pod, when it is opened, and keeps them: so two connections
keep at most two of three workers busy, and a gRPC client without L7 proxy sends all its requests to one pod.
An HTTP/1.1 request that is given up closes its connection; the next to use its place opens a new one. With
``requests_per_connection`` one request in so many finds its connection closed by the other side.

Who opens a connection pays for it (``When.NEW_CONNECTION``) on its own way, before its request is sent. Simplified: on
a connection that is shared, others do not wait until it is open.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from meshsim.engines.frame import Frame
from meshsim.plan.draws import child_key, draw, purpose
from meshsim.plan.plan import Place, Status
from meshsim.plan.routes import Chooser

if TYPE_CHECKING:
    from meshsim.engines.reference import Simulation

SOURCE, DESTINATION, VIA = int(Place.SOURCE), int(Place.DESTINATION), int(Place.VIA)
WORKER = purpose("which worker a connection is pinned to")
CONNECTION = purpose("which connection")
OVERFLOW = int(Status.OVERFLOW)
BY_CONNECTION = int(Chooser.CONNECTION)


class Connections:
    """The pools of all callers."""

    def __init__(self, sim: Simulation) -> None:
        routes = sim.plan.routes
        self.sim = sim
        self.call_pool: list[int] = routes.call_pool.tolist()
        self.call_chooser: list[int] = routes.call_chooser.tolist()
        names = ("holder_first", "pool_first", "connection_first", "connections", "streams", "shared", "pending")
        self.rows = list(zip(*(routes.pools.columns[name].tolist() for name in names), strict=True))
        self.busy = [0] * routes.connection_count  # requests on each connection
        self.key = [0] * routes.connection_count  # of its random numbers; 0: closed
        self.pod = [-1] * routes.connection_count  # at L4
        self.opened = 0
        self.turns = [0] * routes.pool_count
        self.lines: list[deque[Frame]] = [deque() for _ in range(routes.pool_count)]
        self.root_key = child_key(sim.root_key, CONNECTION)

    def pool(self, frame: Frame) -> tuple[int, int, tuple[int, ...]]:
        """(number of the caller's pool, its first connection, the row)."""
        row = self.rows[self.call_pool[frame.call]]
        ordinal = frame.pods[SOURCE] - row[0] if frame.pods[SOURCE] >= 0 else 0
        return row[1] + ordinal, row[2] + ordinal * row[3], row

    def connect(self, frame: Frame) -> bool:
        """True if the frame goes on: with a connection, or failed because the line is full."""
        pool, first, row = self.pool(frame)
        connection = self.free_one(pool, first, row)
        if connection >= 0:
            self.take(frame, connection)
            frame.pc += 1
            return True
        line = self.lines[pool]
        if 0 <= row[6] <= len(line):
            self.sim.fail(frame, OVERFLOW)
            return True
        line.append(frame)
        return False

    def free_one(self, pool: int, first: int, row: tuple[int, ...]) -> int:
        """Number of a connection that can take a request; -1 if there is none."""
        _, _, _, count, streams, shared, _ = row
        if shared:
            for step in range(count):
                place = (self.turns[pool] + step) % count
                if self.busy[first + place] < streams:
                    self.turns[pool] = (place + 1) % count
                    return first + place
            return -1
        idle = [c for c in range(first, first + count) if not self.busy[c]]
        return next((c for c in idle if self.key[c]), idle[0] if idle else -1)

    def take(self, frame: Frame, connection: int) -> None:
        """Put the frame on it; open it if it was closed."""
        self.busy[connection] += 1
        frame.connection, frame.connected = connection, True
        *_, closing, share = self.sim.program[frame.pc]
        if share and draw(frame.key, closing) >> 32 < share:
            self.key[connection] = 0
        by_connection = self.call_chooser[frame.call] == BY_CONNECTION
        if not self.key[connection]:
            self.opened += 1
            frame.opened = True
            self.key[connection] = child_key(child_key(self.root_key, connection), self.opened) or 1
            if by_connection:
                own, frame.key = frame.key, self.key[connection]
                self.sim.balancer.choose(frame)
                self.sim.balancer.left(frame)
                frame.key = own
                self.pod[connection] = frame.pods[DESTINATION]
        frame.pinned_by = self.key[connection]
        if by_connection:
            frame.pods = (frame.pods[SOURCE], self.pod[connection], frame.pods[VIA])
            self.sim.recorder.reached(frame, self.pod[connection])

    def disconnect(self, frame: Frame) -> None:
        """Give it back; the first in line gets it at this instant."""
        connection, frame.connection, frame.connected = frame.connection, -1, False
        if connection < 0:  # it was closed when the attempt was given up
            return
        self.busy[connection] -= 1
        pool, first, row = self.pool(frame)
        if self.lines[pool]:
            free = self.free_one(pool, first, row)
            following = self.lines[pool].popleft()
            self.take(following, free)
            self.sim.complete(following)
            self.sim.ready.append(following)

    def forget(self, attempt: Frame) -> bool:
        """An attempt was given up. True if it waited for a connection: then it never goes upstream."""
        number = self.call_pool[attempt.call]
        if number < 0:
            return False
        pool, _, _ = self.pool(attempt)
        if attempt in self.lines[pool]:
            self.lines[pool].remove(attempt)
            return True
        if attempt.connected:
            self.hang_up(attempt)
        return False

    def hang_up(self, frame: Frame) -> None:
        """Give a connection back before the answer is there: that closes one of HTTP/1.1."""
        _, _, row = self.pool(frame)
        if not row[5]:
            self.key[frame.connection] = 0
        self.disconnect(frame)

    def worker(self, frame: Frame, place: int, workers: int) -> int:
        """Which of a proxy's workers serves the frame at a place; a frame without pool is a connection of its own."""
        pod = frame.pods[place]
        return (draw(child_key(frame.pinned_by or frame.key, pod), WORKER) >> 32) * workers >> 32
