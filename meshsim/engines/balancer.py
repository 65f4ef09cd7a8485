"""Load balancing: which pod answers. And outlier ejection, which takes pods out of the choice for a while.

Each holder of a route (see ``meshsim.plan.routes``) decides from what it knows itself; holders do not talk.

* random: uniform by key.
* round robin: in turn, from a start that is drawn for each holder.
* least request: fewest under way; among equals the first from a drawn start.
* random of two: the better of two drawn pods (Mitzenmacher, "The power of two choices", 2001), the first if equal.
* ring hash: the pod at or behind the hash of the request's key on a ring.
* locality: random among the pods on the caller's node, or else in its zone, or else among all.

**Outlier ejection.** A pod with ``eject_after`` failures in a row (any failure but a rate limit or an open circuit) is
ejected, unless the share of ejected pods has reached ``eject_ppm``. The n-th ejection lasts n times the base, at most
the maximum; then it is over at once (Envoy looks only every 10 s). If fewer than half of the pods are left, all are
used: Envoy's panic threshold.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

from meshsim.engines.frame import Frame
from meshsim.plan.draws import REPLICA, child_key, draw, mix, purpose
from meshsim.plan.plan import CPU_SLOT, Place, Status
from meshsim.plan.routes import MILLION, Balancer, Holder

if TYPE_CHECKING:
    from meshsim.engines.reference import Simulation

SOURCE, VIA = int(Place.SOURCE), int(Place.VIA)
CALLER, AT_VIA, NODE, CLIENT = (int(holder) for holder in Holder)
RANDOM, ROUND_ROBIN, LEAST_REQUEST, RANDOM_OF_TWO, RING_HASH, LOCALITY = (int(b) for b in Balancer)
ROBIN_START = purpose("where a round robin starts")
HASH_KEY = purpose("key for a hash ring")
LOW = 0xFFFFFFFF
HARMLESS = 1 << Status.OK | 1 << Status.RATE_LIMITED | 1 << Status.CIRCUIT_OPEN


class Balancing:
    """The books of all holders of all routes."""

    def __init__(self, sim: Simulation) -> None:
        plan, routes = sim.plan, sim.plan.routes
        self.sim = sim
        self.root_key = sim.root_key
        self.call_route: list[int] = routes.call_route.tolist()
        names = ("service", "balancer", "hash_keys", "holder", "holder_first", "state_first", "host_first", "ring")
        self.rows = list(zip(*(routes.routes.columns[name].tolist() for name in names), strict=True))
        self.rings: list[list[int]] = [ring.tolist() for ring in routes.rings]
        self.service_pods = list(zip(plan.service_first_pod.tolist(), plan.service_pods.tolist(), strict=True))
        self.node_of_pod: list[int] = plan.pod_station[:, CPU_SLOT].tolist()
        self.zone_of_pod: list[int] = plan.pod_zone.tolist()
        self.turns = [-1] * routes.states  # round robin: the next turn
        self.active = [0] * routes.hosts
        self.failures = [0] * routes.hosts  # in a row
        self.ejections = [0] * routes.hosts
        self.ejected_until = [0] * routes.hosts
        self.ejecting = False

    def ordinal(self, holder: int, first: int, frame: Frame) -> int:
        """Which of the holders it is."""
        if holder == CALLER:
            return frame.pods[SOURCE] - first
        if holder == AT_VIA:
            return frame.pods[VIA] - first
        return self.node_of_pod[frame.pods[SOURCE]] if holder == NODE else 0

    def choose(self, frame: Frame) -> None:
        """Set the pod that the frame calls, and count it as under way there."""
        service, balancer, keys, holder, holder_first, state_first, host_first, ring = self.rows[
            self.call_route[frame.call]
        ]
        first, count = self.service_pods[service]
        ready = self.sim.service_pods[service][1]  # an autoscaled service may have fewer than it could
        ordinal = self.ordinal(holder, holder_first, frame)
        hosts = host_first + ordinal * count
        able = self.able(hosts, ready)
        h = draw(frame.key, REPLICA)
        if balancer == ROUND_ROBIN:
            replica = self.round_robin(state_first + ordinal, able, ready)
        elif balancer == LEAST_REQUEST:
            start = (h >> 32) * len(able) >> 32
            replica = min(able[start:] + able[:start], key=lambda pod: self.active[hosts + pod])
        elif balancer == RANDOM_OF_TWO:
            one, two = able[(h >> 32) * len(able) >> 32], able[(h & LOW) * len(able) >> 32]
            replica = two if self.active[hosts + two] < self.active[hosts + one] else one
        elif balancer == RING_HASH:
            user = draw(child_key(self.root_key, frame.request.number), HASH_KEY) % keys
            replica = self.on_ring(self.rings[ring], mix(child_key(self.root_key, user)) >> 33 << 32, able)
        else:
            if balancer == LOCALITY and holder != CLIENT:
                able = self.nearest(frame.pods[SOURCE], first, able)
            replica = able[(h >> 32) * len(able) >> 32]
        frame.pods = (frame.pods[SOURCE], first + replica, frame.pods[VIA])
        frame.host = hosts + replica
        self.active[frame.host] += 1

    def nearest(self, source: int, first: int, able: list[int]) -> list[int]:
        """Those on the caller's node, else those in its zone, else all."""
        for places in (self.node_of_pod, self.zone_of_pod):
            near = [pod for pod in able if places[first + pod] == places[source]]
            if near:
                return near
        return able

    def able(self, hosts: int, count: int) -> list[int]:
        """Replicas that are not ejected; all of them if these are fewer than half."""
        if self.ejecting:
            able = [pod for pod in range(count) if self.ejected_until[hosts + pod] <= self.sim.now]
            if 2 * len(able) >= count:
                return able
        return list(range(count))

    def round_robin(self, state: int, able: list[int], count: int) -> int:
        """The next in turn that is able."""
        if self.turns[state] < 0:
            self.turns[state] = (draw(child_key(self.root_key, state), ROBIN_START) >> 32) * count >> 32
        turn = self.turns[state]
        while turn % count not in able:
            turn += 1
        self.turns[state] = (turn + 1) % count
        return turn % count

    def on_ring(self, ring: list[int], point: int, able: list[int]) -> int:
        """The first able pod at or behind a point."""
        place = bisect_left(ring, point)
        while True:
            replica = ring[place % len(ring)] & LOW
            if replica in able:
                return replica
            place += 1

    def left(self, frame: Frame) -> None:
        """It is no longer under way."""
        if frame.host >= 0:
            self.active[frame.host] -= 1
            frame.host = -1

    def outcome(self, frame: Frame, status: int, policies: dict[str, list[int]], policy: int) -> None:
        """Count failures in a row, and eject."""
        host, after = frame.host, policies["eject_after"][policy]
        if host < 0 or after < 0:
            return
        if status == Status.OK:
            self.failures[host] = 0
        if HARMLESS >> status & 1:
            return
        self.failures[host] += 1
        if self.failures[host] < after or self.ejected_until[host] > self.sim.now:
            return
        *_, host_first, _ = self.rows[self.call_route[frame.call]]
        count = self.service_pods[self.rows[self.call_route[frame.call]][0]][1]
        hosts = host - (host - host_first) % count
        ejected = sum(until > self.sim.now for until in self.ejected_until[hosts : hosts + count])
        if ejected * MILLION >= policies["eject_ppm"][policy] * count:
            return
        self.failures[host] = 0
        self.ejections[host] += 1
        length = policies["eject_base_ns"][policy] * self.ejections[host]
        self.ejected_until[host] = self.sim.now + min(length, policies["eject_max_ns"][policy])
        self.ejecting = True
