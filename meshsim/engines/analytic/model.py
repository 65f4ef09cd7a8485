"""A plan as sparse matrices: what a rate has to be multiplied with. Made once a plan; every rate uses the same.

A *row* is a service or a group of waypoint pods; its pods take equal shares of its calls. A *view* is a row's slot:
the pool of tokens that its pods meet there. A *class* is a set of stations that nothing tells apart: the pools of one
kind of one service, or a proxy that serves the pods of several services on one node.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from meshsim.engines.analytic.bodies import Sequences, read_bodies
from meshsim.engines.analytic.moments import Floats, choice
from meshsim.engines.analytic.programs import BLOCK, CASES, COLD_JOB, JOB, PAIRS, PLACES, WHOLE, Reader, Shape
from meshsim.plan.plan import BY_TURN, CPU_SLOT, THREADS_SLOT, Ints, Op, Place, Plan

Matrix = sparse.csr_array
RARE = 0.05
"""Pairs of visits a request that are too few to count."""


@dataclass(frozen=True)
class Level:
    """Sequences whose calls and branches all lie in earlier levels."""

    sequences: Ints
    calls: Ints
    """Rows of ``Sequences.call_number`` and so on, that they make one by one."""
    call_sum: Matrix
    """(sequences, calls)"""
    forks: Ints
    members: Ints
    """Rows of ``Sequences.member_*``, fork by fork."""
    member_starts: Ints
    fork_sum: Matrix
    """(sequences, forks)"""
    answered: Ints
    """Calls whose whole body is in this level."""


@dataclass(frozen=True)
class Model:
    """All arrays at one request a unit of time. r rows, k slots, v = r k views, n nodes, g classes, c calls."""

    plan: Plan
    rows: int
    slots: int
    cores: Floats
    """(n,)"""
    kinds_of_cores: Floats
    on_node: Matrix
    """(r, n) share of a row's pods on each node."""
    to_node: Matrix
    """(n, r) its transpose."""
    jobs: Floats
    """(r, JOB) asked of the CPUs, a request."""
    woken_jobs: Floats
    """(v, JOB) if every token has to be woken."""
    cold_jobs: Floats
    """(v, COLD_JOB) if every token has slept for ever."""
    half_ns: Floats
    """(g,) sleep after which half of that is asked."""
    views: Ints
    """Views with wake-ups among ``woken_jobs``."""
    class_servers: Floats
    kinds_of_servers: Floats
    class_by_turn: NDArray[np.bool_]
    """(g,) workers that send what they have served in a turn of their event loop when it ends."""
    class_blocks: Floats
    """(g, BLOCK) at one station of the class, a request."""
    class_nodes: Matrix
    """(g, n) where the pods of a class run, as shares."""
    node_tokens: Matrix
    """(n, g) the same, times the stations of the class."""
    class_stations: Floats
    seen: Matrix
    """(v, g) what a row's calls meet."""
    load: Matrix
    """(g, v) share of a view's blocks that come to one station of a class."""
    station_class: Ints
    """(stations,) -1 for a CPU."""
    hop: Floats
    """(c, 3) time of each hop without any wait."""
    hop_waits: Matrix
    """(c, r + v) visits to the CPUs, and to the pools."""
    hop_turns: Matrix
    """(c, r)"""
    hop_woken: tuple[Matrix, Matrix, Matrix]
    """By cumulant: times (q, q w) / (q, q^2) / (q, q^2, q^3) of the views."""
    hop_cold: Matrix
    """(c, v) time added if the tokens have slept for ever."""
    wakes: bool
    cools: bool
    rate: Floats
    """(c,) executions a request."""
    callee: Ints
    """(c,) endpoint."""
    sequences: Sequences
    sequence_row: Ints
    levels: list[Level]
    entry_share: Floats
    held_views: Ints
    """Views whose threads are held while calls are answered."""
    held_of: Matrix
    """(held views, endpoints) visits a request to one class member."""
    held_class: Matrix
    """(g, held views)"""
    tag_ns: Floats
    """(t,) CPU of each tag, a request."""
    woken_tag_ns: Matrix
    """(t, v)"""
    cold_tag_ns: Matrix
    again_on_node: Matrix
    """(entries, n) expected pairs of visits of one request to a CPU, in order."""
    again_in_pool: Matrix
    """(entries, v) the same of one pool."""
    cpu_alone: Floats
    """(n,) one over the visits that come in a row: 1 where a request comes once."""
    class_alone: Floats
    """(g,)"""
    pinned: bool
    request_ns: float = 0.0
    """How long a request is about under way, where caches cool: what threads sleep in between is told from it."""


def compile_plan(plan: Plan) -> Model:
    """Read every program once, and multiply out who meets what how often."""
    return _Compiler(plan).model()


class _Compiler:
    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.reader = Reader(plan)
        self.services = len(plan.service_names)
        self.rows = self.services + plan.waypoints
        self.slots = plan.pod_station.shape[1]
        self.sequences = read_bodies(plan, self.reader)
        starts, self.kind = np.unique(plan.call_program, return_inverse=True)
        self.shapes: list[Shape] = [self.reader.hop(int(start)) for start in starts]
        self.callee = np.searchsorted(self.sequences.endpoint_body, plan.call_body)
        self.endpoint_row = np.zeros(len(self.sequences.endpoint_body), np.int64)
        self.endpoint_row[self.callee] = plan.call_service
        self.made()
        pods = np.bincount(plan.pod_service, minlength=self.rows).astype(np.float64)
        self.row_pods = pods
        nodes = int(plan.station_is_cpu.sum())
        self.on_node = Matrix(
            (1.0 / pods[plan.pod_service], (plan.pod_service, plan.pod_station[:, CPU_SLOT])), shape=(self.rows, nodes)
        )
        self.on_node.sum_duplicates()
        self.places()

    def made(self) -> None:
        """Who makes each call, how often a request, and how often on the path that decides."""
        s, plan = self.sequences, self.plan
        calls, entries = len(plan.call_service), plan.entry_calls
        owner = s.sequence_endpoint
        by_member = s.member_call >= 0
        # (caller, call, probability, share of the deciding path)
        size = np.bincount(s.member_fork, minlength=len(s.fork_sequence))
        caller = np.concatenate([owner[s.call_sequence], owner[s.fork_sequence[s.member_fork[by_member]]]])
        call = np.concatenate([s.call_number, s.member_call[by_member]]).astype(np.int64)
        p = np.concatenate([s.call_probability, s.member_probability[by_member]])
        decides = np.concatenate([np.ones(len(s.call_number)), 1.0 / size[s.member_fork[by_member]]])
        shares = np.diff(np.concatenate([[0], plan.entry_threshold])) / WHOLE
        self.entry_share: Floats = shares
        endpoints = len(s.endpoint_body)
        between = Matrix((p, (caller, self.callee[call])), shape=(endpoints, endpoints))
        visits: Floats = np.bincount(self.callee[:entries], shares, endpoints).astype(np.float64)
        more = visits
        while more.any():
            more = np.asarray(more @ between)
            visits = visits + more
        self.visits: Floats = visits
        self.rate: Floats = np.bincount(call, visits[caller] * p, calls).astype(np.float64)
        self.rate[:entries] += shares
        self.caller = np.full(calls, -1, np.int64)
        self.caller[call] = caller
        deciding = Matrix((p * decides, (caller, self.callee[call])), shape=(endpoints, endpoints))
        reach = Matrix((np.ones(entries), (np.arange(entries), self.callee[:entries])), shape=(entries, endpoints))
        self.reach, further = reach, reach
        while further.nnz:
            further = Matrix(further @ deciding)
            further.eliminate_zeros()
            self.reach = Matrix(self.reach + further)
        self.made_calls = caller, call, p * decides

    def places(self) -> None:
        """Row of each call's source, destination and waypoint, and the chance that they are on two nodes."""
        plan = self.plan
        source = np.where(self.caller >= 0, self.endpoint_row[self.caller], -1)
        first_via = plan.service_first_via[plan.call_service]
        via = np.where(first_via >= 0, plan.pod_service[np.maximum(first_via, 0)], -1)
        self.place_row = np.stack([source, plan.call_service, via])
        self.apart = np.ones((len(PAIRS), len(plan.call_service)))
        for number, (one, other) in enumerate(PAIRS):
            a, b = self.place_row[one], self.place_row[other]
            known = (a >= 0) & (b >= 0)
            pairs, where = np.unique(a[known] * self.rows + b[known], return_inverse=True)
            together: Any = self.on_node[pairs // self.rows].multiply(self.on_node[pairs % self.rows]).sum(axis=1)
            self.apart[number, known] = 1.0 - np.asarray(together).ravel()[where]
        self.case = np.concatenate([self.apart, 1.0 - self.apart])

    def column(self, name: str) -> Floats:
        """(kinds, ...) of the shapes."""
        return np.stack([getattr(shape, name) for shape in self.shapes])

    def by_row(self, coefficients: Floats, place: int, weight: Floats) -> Floats:
        """Sum of (kinds, x) coefficients over the calls whose ``place`` a row is; (rows, x)."""
        row = self.place_row[place]
        here = row >= 0
        mix = Matrix((weight[here], (row[here], self.kind[here])), shape=(self.rows, len(self.shapes)))
        return np.asarray(mix @ coefficients)

    def asked(self, always: str, cases: str, width: int) -> Floats:
        """(rows, width) of a coefficient by place, and of what is added where two pods are on one node, or on two."""
        total = np.zeros((self.rows, width))
        values, distant = self.column(always), self.column(cases)
        for place in range(PLACES):
            total += self.by_row(values[:, place].reshape(len(self.shapes), -1), place, self.rate)
            for number in range(CASES):
                extra = np.moveaxis(distant, -2, 1)[:, number, place].reshape(len(self.shapes), -1)
                if extra.any():
                    total += self.by_row(extra, place, self.rate * self.case[number])
        return total

    def model(self) -> Model:
        plan, s, rows, slots = self.plan, self.sequences, self.rows, self.slots
        views = rows * slots
        jobs = self.asked("jobs", "case_jobs", len(JOB))
        blocks = self.asked("blocks", "case_blocks", slots * len(BLOCK)).reshape(rows, slots, len(BLOCK))
        templates = Matrix((self.visits, (self.endpoint_row, s.endpoint_template)), shape=(rows, len(s.templates)))
        jobs += templates @ np.stack([body.jobs for body in s.templates])
        blocks[:, THREADS_SLOT] += templates @ np.stack([body.blocks for body in s.templates])
        woken = np.zeros((rows, slots * len(JOB)))
        for place in range(PLACES):
            woken += self.by_row(self.column("woken_jobs")[:, place].reshape(len(self.shapes), -1), place, self.rate)
        woken = woken.reshape(rows, slots, len(JOB))
        woken[:, THREADS_SLOT] += templates @ np.stack([body.woken_jobs for body in s.templates])
        woken = woken.reshape(views, len(JOB))
        cold = np.zeros((rows, slots * len(COLD_JOB)))
        for place in range(PLACES):
            cold += self.by_row(self.column("cold_jobs")[:, place].reshape(len(self.shapes), -1), place, self.rate)
        cold = cold.reshape(rows, slots, len(COLD_JOB))
        cold[:, THREADS_SLOT] += templates @ np.stack([body.cold_jobs for body in s.templates])
        servers, by_turn, class_nodes, seen, load, station_class = self.classes()
        stations = np.bincount(station_class[station_class >= 0], minlength=len(servers)).astype(np.float64)
        holds = np.array([body.holds for body in s.templates])[s.endpoint_template]
        held_rows = np.unique(self.endpoint_row[holds])
        held_views = held_rows * slots + THREADS_SLOT
        where = np.flatnonzero(holds)
        held_of = Matrix(
            (self.visits[where], (np.searchsorted(held_rows, self.endpoint_row[where]), where)),
            shape=(len(held_rows), len(holds)),
        )
        hop_waits, hop_turns = self.hop_waits()
        tag_ns = self.tags()
        again_on_node, again_in_pool = self.again()
        cores = plan.station_servers[plan.station_is_cpu].astype(np.float64)
        return Model(
            plan=plan,
            rows=rows,
            slots=slots,
            cores=cores,
            kinds_of_cores=np.unique(cores),
            on_node=self.on_node,
            to_node=Matrix(self.on_node.T),
            jobs=jobs,
            woken_jobs=woken,
            cold_jobs=cold.reshape(views, len(COLD_JOB)),
            half_ns=np.asarray(load @ np.tile(self.reader.half_ns, rows))
            / np.maximum(np.asarray(load.sum(axis=1)), 1e-300),
            views=np.flatnonzero(woken.any(axis=1)),
            class_servers=servers,
            kinds_of_servers=np.unique(servers),
            class_by_turn=by_turn,
            class_blocks=np.asarray(load @ blocks.reshape(views, len(BLOCK))),
            class_nodes=class_nodes,
            node_tokens=Matrix(class_nodes.multiply(stations[:, None]).T),
            class_stations=stations,
            seen=seen,
            load=load,
            station_class=station_class,
            hop=self.hop_times(),
            hop_waits=hop_waits,
            hop_turns=hop_turns,
            hop_woken=self.hop_woken(),
            hop_cold=self.hop_cold(),
            wakes=bool(self.column("woken").any() or s.asks[:, 3].any() or woken.any() or cold.any()),
            cools=bool(cold.any()),
            rate=self.rate,
            callee=self.callee,
            sequences=s,
            sequence_row=self.endpoint_row[s.sequence_endpoint],
            levels=levels(s, self.callee),
            entry_share=self.entry_share,
            held_views=held_views,
            held_of=held_of,
            held_class=Matrix(load[:, held_views]),
            tag_ns=tag_ns,
            woken_tag_ns=self.tags_of_wakeups("woken_tag_ns"),
            cold_tag_ns=self.tags_of_wakeups("cold_tag_ns"),
            again_on_node=again_on_node,
            again_in_pool=again_in_pool,
            cpu_alone=_alone(self.entry_share @ again_on_node, np.asarray(self.on_node.T @ jobs)[:, 0]),
            class_alone=_alone(
                load @ (self.entry_share @ again_in_pool), np.asarray(load @ blocks.reshape(views, -1))[:, 0]
            ),
            pinned=bool((plan.slot_workers > 1).any()),
        )

    def classes(self) -> tuple[Floats, NDArray[np.bool_], Matrix, Matrix, Matrix, Ints]:
        """Servers, whether they send by turns, nodes, views of and loads on each class; the class of each station."""
        plan, slots = self.plan, self.slots
        count = len(plan.station_servers)
        station_class = np.full(count, -1, np.int64)
        pods = np.arange(len(plan.pod_node))
        servers: list[Floats] = []
        slots_by_turn = set(plan.slot[(plan.op == Op.RELEASE) & (plan.amount == BY_TURN)].tolist())
        by_turn: list[NDArray[np.bool_]] = []
        node_of, seen, load = [], [], []
        classes = 0
        for slot in range(slots):
            if slot == CPU_SLOT:
                continue
            station = plan.pod_station[:, slot]
            there = pods[station >= 0]
            if not len(there):
                continue
            stations, of_pod = np.unique(station[there], return_inverse=True)
            row = plan.pod_service[there]
            shared_by = np.bincount(of_pod)
            low, high = np.full(len(stations), self.rows), np.zeros(len(stations), np.int64)
            np.minimum.at(low, of_pod, row)
            np.maximum.at(high, of_pod, row)
            # One row alone: stations with as many pods of it are alike. Else a station is a class of its own.
            alone = low == high
            key = np.where(alone, low * (shared_by.max() + 1) + shared_by, -1 - np.arange(len(stations)))
            _, first, number = np.unique(key, return_index=True, return_inverse=True)
            here = len(first)
            by_turn.append(np.full(here, slot in slots_by_turn))
            workers = int(plan.slot_workers[slot])
            for worker in range(workers):
                station_class[stations + worker] = classes + number
            servers.append(plan.station_servers[stations[first]].astype(np.float64))
            pod_class = classes + number[of_pod]
            alike = np.bincount(number)[number[of_pod]]
            share = 1.0 / self.row_pods[row]
            view = row * slots + slot
            seen.append((share, view, pod_class))
            load.append((share / alike / workers, pod_class, view))
            node_of.append((1.0 / np.bincount(number[of_pod])[number[of_pod]], pod_class, plan.pod_node[there]))
            classes += here

        def joined(parts: list[tuple[Floats, Ints, Ints]], shape: tuple[int, int]) -> Matrix:
            values, one, other = (np.concatenate(column) for column in zip(*parts, strict=True))
            return Matrix((values, (one, other)), shape=shape)

        views, nodes = self.rows * slots, int(plan.station_is_cpu.sum())
        return (
            np.concatenate(servers),
            np.concatenate(by_turn),
            joined(node_of, (classes, nodes)),
            joined(seen, (views, classes)),
            joined(load, (classes, views)),
            station_class,
        )

    def hop_times(self) -> Floats:
        result: Floats = self.column("base")[self.kind]
        near, far = self.column("near"), self.column("far")
        for number in range(len(PAIRS)):
            if near[:, number].any() or far[:, number].any():
                result = result + choice(far[self.kind, number], near[self.kind, number], self.apart[number])
        return result

    def spread(self, coefficients: Floats, place: int, columns: Ints, width: int) -> Matrix:
        """(calls, width) with (calls,) coefficients in the given columns, where ``place`` is a pod."""
        here = np.flatnonzero((coefficients != 0) & (self.place_row[place] >= 0))
        return Matrix((coefficients[here], (here, columns[here])), shape=(len(self.kind), width))

    def hop_waits(self) -> tuple[Matrix, Matrix]:
        calls, views = len(self.kind), self.rows * self.slots
        waits, turns = Matrix((calls, self.rows + views)), Matrix((calls, self.rows))
        for place in range(PLACES):
            row = self.place_row[place]
            visits = self.column("visits")[self.kind, place]
            cases = self.column("case_visits")[self.kind, place]
            visits = visits + (cases * self.case.T).sum(axis=1)
            waits = waits + self.spread(visits, place, row, self.rows + views)
            turns = turns + self.spread(self.column("turns")[self.kind, place], place, row, self.rows)
            acquires = self.column("acquires")[self.kind, place]
            case_acquires = self.column("case_acquires")[self.kind, place]
            for slot in range(self.slots):
                times = acquires[:, slot] + (case_acquires[:, slot] * self.case.T).sum(axis=1)
                waits = waits + self.spread(times, place, self.rows + row * self.slots + slot, self.rows + views)
        return Matrix(waits), Matrix(turns)

    def hop_woken(self) -> tuple[Matrix, Matrix, Matrix]:
        calls, views = len(self.kind), self.rows * self.slots
        parts = [Matrix((calls, views)) for _ in range(7)]
        woken, visits = self.column("woken"), self.column("woken_visits")
        for place in range(PLACES):
            for slot in range(self.slots):
                view = self.place_row[place] * self.slots + slot
                for number in range(6):
                    parts[number] = parts[number] + self.spread(
                        woken[self.kind, place, slot, number], place, view, views
                    )
                parts[6] = parts[6] + self.spread(visits[self.kind, place, slot], place, view, views)
        u1, u2, u11, u3, u21, u111, visited = parts
        return (
            Matrix(sparse.hstack([u1, visited])),
            Matrix(sparse.hstack([u2, -u11])),
            Matrix(sparse.hstack([u3, -3 * u21, 2 * u111])),
        )

    def hop_cold(self) -> Matrix:
        views = self.rows * self.slots
        total, cold = Matrix((len(self.kind), views)), self.column("cold")
        for place in range(PLACES):
            for slot in range(self.slots):
                view = self.place_row[place] * self.slots + slot
                total = total + self.spread(cold[self.kind, place, slot], place, view, views)
        return Matrix(total)

    def tags(self) -> Floats:
        """CPU of each tag but for wake-ups."""
        total = np.zeros(len(self.plan.tags))
        kinds = len(self.shapes)
        by_kind = np.bincount(self.kind, self.rate, kinds)
        inside = np.bincount(self.kind, self.rate * (self.place_row[Place.SOURCE] >= 0), kinds)
        by_case = [np.bincount(self.kind, self.rate * p, kinds) for p in self.case]
        for number, shape in enumerate(self.shapes):
            for (at, tag), ns in shape.tag_ns.items():
                total[tag] += ns * (inside if at == Place.SOURCE else by_kind)[number]
            for (_, case, tag), ns in shape.case_tag_ns.items():
                total[tag] += ns * by_case[case][number]
        visited = np.bincount(self.sequences.endpoint_template, self.visits, len(self.sequences.templates))
        for number, body in enumerate(self.sequences.templates):
            for tag, ns in body.tag_ns.items():
                total[tag] += ns * visited[number]
        return total

    def tags_of_wakeups(self, name: str) -> Matrix:
        """(t, v) of each tag, where the threads are woken, or have slept for ever: ``name`` of shapes and bodies."""
        values, tags, views = [], [], []
        for number, shape in enumerate(self.shapes):
            for (at, slot, tag), ns in getattr(shape, name).items():
                here = np.flatnonzero((self.kind == number) & (self.place_row[at] >= 0))
                values.append(ns * self.rate[here])
                tags.append(np.full(len(here), tag))
                views.append(self.place_row[at][here] * self.slots + slot)
        endpoint_template = self.sequences.endpoint_template
        for number, body in enumerate(self.sequences.templates):
            for tag, ns in getattr(body, name).items():
                here = np.flatnonzero(endpoint_template == number)
                values.append(ns * self.visits[here])
                tags.append(np.full(len(here), tag))
                views.append(self.endpoint_row[here] * self.slots + THREADS_SLOT)
        shape_ = (len(self.plan.tags), self.rows * self.slots)
        if not values:
            return Matrix(shape_)
        columns = (np.concatenate(values), (np.concatenate(tags), np.concatenate(views)))
        return Matrix(columns, shape=shape_)

    def again(self) -> tuple[Matrix, Matrix]:
        """How often a request comes back to a station that it met before: those waits go together."""
        s, slots = self.sequences, self.slots
        endpoints, rows = len(s.endpoint_body), self.rows
        entries = np.arange(len(self.entry_share))
        caller, call, weight = self.made_calls
        # Visits of one frame to its own pod: as called, in its body, as caller. A frame is known by its endpoint.
        hops = np.bincount(self.callee, minlength=endpoints)
        kind_of = np.zeros(endpoints, np.int64)
        kind_of[self.callee] = self.kind
        visits = self.column("visits")
        acquires = self.column("acquires")
        cpu = visits[kind_of, Place.DESTINATION] * (hops > 0)
        cpu += np.bincount(s.sequence_endpoint, s.asks[:, 0], endpoints)
        cpu += np.bincount(caller, weight * visits[self.kind[call], Place.SOURCE], endpoints)
        tokens = acquires[kind_of, Place.DESTINATION]
        for slot in range(slots):
            tokens[:, slot] += np.bincount(caller, weight * acquires[self.kind[call], Place.SOURCE, slot], endpoints)
        tokens[:, THREADS_SLOT] += np.bincount(s.sequence_endpoint, s.asks[:, 2], endpoints)
        to_row = Matrix((np.ones(endpoints), (np.arange(endpoints), self.endpoint_row)), shape=(endpoints, rows))
        reach = self.reach

        def scaled(values: Floats) -> Any:
            return Matrix(reach.multiply(values[None, :])) @ to_row

        once, square = scaled(cpu), scaled(cpu**2)
        y = once @ self.on_node
        squared_share = self.on_node.power(2)
        pairs = y.power(2) + (square - once) @ self.on_node - square @ squared_share
        in_pool = []
        for slot in range(slots):
            k = tokens[:, slot]
            if slot == CPU_SLOT or not k.any():
                continue
            first, second = scaled(k), scaled(k**2)
            again: Any = second - first + (first.power(2) - second).multiply(1.0 / self.row_pods[None, :])
            again = sparse.coo_array(again)
            in_pool.append((np.maximum(again.data, 0.0), again.coords[0], again.coords[1] * slots + slot))
        shape = (len(entries), rows * slots)
        pool = Matrix(shape)
        if in_pool:
            data, one, other = (np.concatenate(column) for column in zip(*in_pool, strict=True))
            pool = Matrix((data, (one, other)), shape=shape)
        return _of_account(Matrix(pairs)), _of_account(pool)


def _of_account(pairs: Matrix) -> Matrix:
    """Without the pairs that hardly ever happen."""
    pairs.data[pairs.data < RARE] = 0.0
    pairs.eliminate_zeros()
    return pairs


def _alone(pairs: Floats, visits: Floats) -> Floats:
    return np.where(visits > 0, visits / np.maximum(visits + pairs, 1e-300), 1.0)


def levels(s: Sequences, callee: Ints) -> list[Level]:
    """Sequences in the order in which they can be worked out."""
    count = len(s.base)
    level = np.zeros(count, np.int64)
    called = s.endpoint_sequence[callee]
    by_member = s.member_call >= 0
    inner = np.where(by_member, called[s.member_call], s.member_sequence)
    while True:
        before = level.copy()
        np.maximum.at(level, s.call_sequence, 1 + level[called[s.call_number]])
        np.maximum.at(level, s.fork_sequence[s.member_fork], 1 + level[inner])
        if (before == level).all():
            break
    place = np.zeros(count, np.int64)
    result = []
    for number in range(int(level.max()) + 1):
        mine = np.flatnonzero(level == number)
        place[mine] = np.arange(len(mine))
        calls = np.flatnonzero(level[s.call_sequence] == number)
        forks = np.flatnonzero(level[s.fork_sequence] == number)
        members = np.flatnonzero(level[s.fork_sequence[s.member_fork]] == number)
        starts = np.searchsorted(s.member_fork[members], forks)

        def summing(owner: Ints, size: int = len(mine)) -> Matrix:
            return Matrix((np.ones(len(owner)), (place[owner], np.arange(len(owner)))), shape=(size, len(owner)))

        result.append(
            Level(
                mine,
                calls,
                summing(s.call_sequence[calls]),
                forks,
                members,
                starts,
                summing(s.fork_sequence[forks]),
                np.flatnonzero(level[called] == number),
            )
        )
    return result
