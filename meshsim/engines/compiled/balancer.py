"""Which pod answers, and outlier ejection: ``meshsim.engines.balancer`` on flat arrays."""

from __future__ import annotations

import numpy as np

from meshsim.engines.balancer import (
    AT_VIA,
    CALLER,
    CLIENT,
    HARMLESS,
    HASH_KEY,
    LEAST_REQUEST,
    LOCALITY,
    NODE,
    RANDOM_OF_TWO,
    RING_HASH,
    ROBIN_START,
    ROUND_ROBIN,
)
from meshsim.engines.compiled import state as at
from meshsim.engines.compiled.draws import U33, below, child_key, draw, low, mix
from meshsim.engines.compiled.pointers import Int32s, Key, State, fixed, int32s, int64s, native
from meshsim.plan.draws import REPLICA
from meshsim.plan.plan import Status
from meshsim.plan.routes import MILLION, POLICY, ROUTE

WIDE = 2 * at.FRAME
WIDE_HOST = 2 * at.HOST_ROW
ROUTE_ROW = len(ROUTE) + 1
SERVICE, BALANCER, HASH_KEYS, HOLDER, HOLDER_FIRST, STATE_FIRST, HOST_FIRST, RING = range(8)
RING_LENGTH = 8
"""``RING`` is the place of the first point among the points of all rings."""
POLICY_ROW = len(POLICY)
EJECT_AFTER, EJECT_BASE_NS, EJECT_MAX_NS, EJECT_PPM = (
    POLICY.index(name) for name in ("eject_after", "eject_base_ns", "eject_max_ns", "eject_ppm")
)
OK = int(Status.OK)
ON_RING = np.uint64(32)


@native
def ordinal_of(S: State, holder: int, first: int, frame: int) -> int:
    """Which of the holders it is."""
    F32 = int32s(S, at.FRAMES)
    if holder == CALLER:
        return F32[frame * WIDE + at.SOURCE] - first
    if holder == AT_VIA:
        return F32[frame * WIDE + at.VIA] - first
    return int32s(S, at.POD_NODE)[F32[frame * WIDE + at.SOURCE]] if holder == NODE else 0


@native
def is_able(S: State, hosts: int, pod: int, ejecting: bool, first: int, places: Int32s, here: int) -> bool:
    """Whether a replica may be chosen: not ejected, and on the node or in the zone that is asked for (-1: any)."""
    if ejecting and int64s(S, at.HOSTS)[(hosts + pod) * at.HOST_ROW + at.EJECTED_UNTIL] > S[at.NOW]:
        return False
    return here < 0 or places[first + pod] == here


@native
def count_able(S: State, hosts: int, ready: int, ejecting: bool, first: int, places: Int32s, here: int) -> int:
    """So many replicas may be chosen."""
    if not ejecting and here < 0:
        return ready
    able = 0
    for pod in range(ready):
        able += is_able(S, hosts, pod, ejecting, first, places, here)
    return able


@native
def nth_able(S: State, hosts: int, n: int, ejecting: bool, first: int, places: Int32s, here: int) -> int:
    """The n-th replica that may be chosen."""
    if not ejecting and here < 0:
        return n
    pod = 0
    while True:
        if is_able(S, hosts, pod, ejecting, first, places, here):
            if n == 0:
                return pod
            n -= 1
        pod += 1


@native
def choose(S: State, frame: int, key: Key) -> None:
    """Set the pod that the frame calls, and count it as under way there; ``key`` of the random number."""
    F32, routes = int32s(S, at.FRAMES), int64s(S, at.ROUTES)
    f = frame * WIDE
    route = int32s(S, at.CALLS)[F32[f + at.CALL] * (2 * at.CALL_ROW) + at.CALL_ROUTE] * ROUTE_ROW
    balancer, holder = routes[route + BALANCER], routes[route + HOLDER]
    services, s = int32s(S, at.SERVICES), routes[route + SERVICE] * (2 * at.SERVICE_ROW)
    first, count, ready = services[s + at.FIRST_POD], services[s + at.MOST_PODS], services[s + at.POD_COUNT]
    ordinal = ordinal_of(S, holder, routes[route + HOLDER_FIRST], frame)
    hosts = routes[route + HOST_FIRST] + ordinal * count
    rows = int32s(S, at.HOSTS)
    places = int32s(S, at.POD_NODE)
    ejecting = False
    able = ready
    if S[at.EJECTING]:
        able = count_able(S, hosts, ready, True, first, places, -1)
        ejecting = 2 * able >= ready
        if not ejecting:
            able = ready
    here = -1
    h = draw(key, REPLICA)
    replica = 0
    if balancer == ROUND_ROBIN:
        turns = int64s(S, at.ROUTE_TURNS)
        state = routes[route + STATE_FIRST] + ordinal
        turn = turns[state]
        if turn < 0:
            turn = below(draw(child_key(np.uint64(fixed(S, at.ROOT_KEY)), state), ROBIN_START), ready)
        while not is_able(S, hosts, turn % ready, ejecting, first, places, here):
            turn += 1
        turns[state] = (turn + 1) % ready
        replica = turn % ready
    elif balancer == LEAST_REQUEST:
        pod = nth_able(S, hosts, below(h, able), ejecting, first, places, here)
        replica = pod
        for _ in range(ready - 1):
            pod = (pod + 1) % ready
            if (
                is_able(S, hosts, pod, ejecting, first, places, here)
                and rows[(hosts + pod) * WIDE_HOST + at.ACTIVE] < rows[(hosts + replica) * WIDE_HOST + at.ACTIVE]
            ):
                replica = pod
    elif balancer == RANDOM_OF_TWO:
        one = nth_able(S, hosts, below(h, able), ejecting, first, places, here)
        two = nth_able(S, hosts, low(h) * able >> 32, ejecting, first, places, here)
        fewer = rows[(hosts + two) * WIDE_HOST + at.ACTIVE] < rows[(hosts + one) * WIDE_HOST + at.ACTIVE]
        replica = two if fewer else one
    elif balancer == RING_HASH:
        root = np.uint64(fixed(S, at.ROOT_KEY))
        request = int64s(S, at.FRAMES)[frame * at.FRAME + at.ORDER] >> 20
        user = np.int64(draw(child_key(root, request), HASH_KEY) % np.uint64(routes[route + HASH_KEYS]))
        point = np.int64(mix(child_key(root, user)) >> U33 << ON_RING)
        ring, length = int64s(S, at.RINGS), routes[route + RING_LENGTH]
        first_point = routes[route + RING]
        start, end = 0, length
        while start < end:
            middle = (start + end) >> 1
            if ring[first_point + middle] < point:
                start = middle + 1
            else:
                end = middle
        while True:
            replica = ring[first_point + start % length] & 0xFFFFFFFF
            if replica < ready and is_able(S, hosts, replica, ejecting, first, places, here):
                break
            start += 1
    else:
        if balancer == LOCALITY and holder != CLIENT:
            here = places[F32[f + at.SOURCE]]
            near = count_able(S, hosts, ready, ejecting, first, places, here)
            if near == 0:
                places = int32s(S, at.POD_ZONE)
                here = places[F32[f + at.SOURCE]]
                near = count_able(S, hosts, ready, ejecting, first, places, here)
            if near:
                able = near
            else:
                here = -1
        replica = nth_able(S, hosts, below(h, able), ejecting, first, places, here)
    F32[f + at.DESTINATION] = first + replica
    int32s(S, at.COLD)[frame * (2 * at.COLD_PART) + at.HOST] = hosts + replica
    rows[(hosts + replica) * WIDE_HOST + at.ACTIVE] += 1


@native
def left_host(S: State, frame: int) -> None:
    """It is no longer under way there."""
    C32 = int32s(S, at.COLD)
    host = C32[frame * (2 * at.COLD_PART) + at.HOST]
    if host >= 0:
        int32s(S, at.HOSTS)[host * WIDE_HOST + at.ACTIVE] -= 1
        C32[frame * (2 * at.COLD_PART) + at.HOST] = -1


@native
def count_outcome(S: State, frame: int, status: int, policy: int) -> None:
    """Count failures in a row, and eject."""
    policies = int64s(S, at.POLICIES)
    p = policy * POLICY_ROW
    host, after = int32s(S, at.COLD)[frame * (2 * at.COLD_PART) + at.HOST], policies[p + EJECT_AFTER]
    if host < 0 or after < 0:
        return
    fields, rows = int32s(S, at.HOSTS), int64s(S, at.HOSTS)
    if status == OK:
        fields[host * WIDE_HOST + at.FAILURES_IN_ROW] = 0
    if HARMLESS >> status & 1:
        return
    fields[host * WIDE_HOST + at.FAILURES_IN_ROW] += 1
    if fields[host * WIDE_HOST + at.FAILURES_IN_ROW] < after or rows[host * at.HOST_ROW + at.EJECTED_UNTIL] > S[at.NOW]:
        return
    call = int32s(S, at.FRAMES)[frame * WIDE + at.CALL]
    route = int32s(S, at.CALLS)[call * (2 * at.CALL_ROW) + at.CALL_ROUTE] * ROUTE_ROW
    routes = int64s(S, at.ROUTES)
    count = int32s(S, at.SERVICES)[routes[route + SERVICE] * (2 * at.SERVICE_ROW) + at.MOST_PODS]
    hosts = host - (host - routes[route + HOST_FIRST]) % count
    ejected = 0
    for number in range(hosts, hosts + count):
        ejected += rows[number * at.HOST_ROW + at.EJECTED_UNTIL] > S[at.NOW]
    if ejected * MILLION >= policies[p + EJECT_PPM] * count:
        return
    fields[host * WIDE_HOST + at.FAILURES_IN_ROW] = 0
    rows[host * at.HOST_ROW + at.EJECTIONS] += 1
    length = policies[p + EJECT_BASE_NS] * rows[host * at.HOST_ROW + at.EJECTIONS]
    rows[host * at.HOST_ROW + at.EJECTED_UNTIL] = S[at.NOW] + min(length, policies[p + EJECT_MAX_NS])
    S[at.EJECTING] = 1
