"""What a program asks of stations, added up once: a hop or a body as a handful of coefficients.

A *visit* is one stay at a node's CPU (WORK and the MORE behind it). A *block* is what happens while a token is held.
Parts that share a random draw are added before their cumulants are taken.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from meshsim.engines.analytic.moments import Floats, cumulants, moments, unit_cumulants
from meshsim.plan.laws import COLD
from meshsim.plan.plan import Ints, Op, Place, Plan, When

PLACES = len(Place)
PAIRS = ((Place.SOURCE, Place.DESTINATION), (Place.SOURCE, Place.VIA), (Place.VIA, Place.DESTINATION))
"""Between which two pods a wire may be: each with the chance that they are on two nodes."""
WHOLE = float(1 << 32)
"""A probability of one, in the plan."""
CASES = 2 * len(PAIRS)
"""Each pair on two nodes, then each pair on one."""

JOB = ("count", "work", "second", "third", "turns", "turn_second", "conserved")
"""Sums over the jobs of a CPU: number, E[S], E[S^2], E[S^3], turns beyond the first, sum of squared turns, and
E[sum over k of k x time in turn k] (for the conservation law)."""
BLOCK = ("count", "held", "held_second", "visits", "held_visits", "visits_second", "turns", "woken", "woken_second",
         "woken_held", "woken_visits", "beginning", "cold")  # fmt: skip
COLD_JOB = ("work", "cross", "square")
"""Of visits to a CPU that are longer after an endless sleep: by how much, twice that times the rest, its square."""
"""Sums over the blocks of a pool: number; without waits the time held and its second moment; CPU visits, their product
with the time and their square; turns on a core beyond the first; time added by a wake-up and by the beginning of a turn
of the event loop, its second moment, its product with the time held, CPU visits that only these make, the part of
that time which the beginning of a turn adds, and what a wake-up after an endless sleep adds besides."""

(WORK, WAIT, ACQUIRE, RELEASE, START, SPAWN, JOIN, DETACH, BODY, RETURN, END, MORE, ATTEMPT, CONNECT, DISCONNECT,
 LIMIT) = (int(op) for op in Op)  # fmt: skip
ALWAYS, SAME_NODE, OTHER_NODE, WOKEN, TURN = (
    int(when) for when in (When.ALWAYS, When.SAME_NODE, When.OTHER_NODE, When.WOKEN, When.TURN)
)
Draw = tuple[int, int]
"""Law and key of a random number: equal ones are one draw."""


class Sum:
    """A sum of random times; those of one draw are one time."""

    __slots__ = ("parts",)

    def __init__(self) -> None:
        self.parts: dict[Draw, int] = {}

    def add(self, draw: Draw, mean_ns: int) -> None:
        """One more part."""
        self.parts[draw] = self.parts.get(draw, 0) + mean_ns

    def cumulants(self, laws: Floats) -> Floats:
        """(3,)."""
        total = np.zeros(3)
        for (law, _), mean in self.parts.items():
            total += laws[law] * (float(mean), float(mean) ** 2, float(mean) ** 3)
        return total


@dataclass
class Block:
    """A token under way to be given back."""

    place: int
    slot: int
    pair: int
    time: Sum = field(default_factory=Sum)
    woken: Sum = field(default_factory=Sum)
    visits: float = 0.0
    woken_visits: float = 0.0
    beginning: float = 0.0
    cold: float = 0.0
    turns: float = 0.0


class Shape:
    """The coefficients of one program; ``slots`` columns of stations a pod."""

    def __init__(self, slots: int) -> None:
        self.base: Floats = np.zeros(3)
        """Cumulants of the time on the path that passes in any case."""
        self.near: Floats = np.zeros((len(PAIRS), 3))
        self.far: Floats = np.zeros((len(PAIRS), 3))
        """And between two pods of one node, or of two."""
        self.visits: Floats = np.zeros(PLACES)
        self.case_visits: Floats = np.zeros((PLACES, CASES))
        self.turns: Floats = np.zeros(PLACES)
        self.acquires: Floats = np.zeros((PLACES, slots))
        self.case_acquires: Floats = np.zeros((PLACES, slots, CASES))
        self.woken: Floats = np.zeros((PLACES, slots, 6))
        """Sums over the acquires: E[U], E[U^2], E[U]^2, E[U^3], E[U^2] E[U], E[U]^3 of the time added by a wake-up."""
        self.woken_visits: Floats = np.zeros((PLACES, slots))
        self.cold: Floats = np.zeros((PLACES, slots))
        """Sums over the acquires of the time added by a wake-up after an endless sleep."""
        self.cold_jobs: Floats = np.zeros((PLACES, slots, len(COLD_JOB)))
        """The same work, at the CPU of a place, also of what is not on the path."""
        self.jobs: Floats = np.zeros((PLACES, len(JOB)))
        self.case_jobs: Floats = np.zeros((PLACES, CASES, len(JOB)))
        self.woken_jobs: Floats = np.zeros((PLACES, slots, len(JOB)))
        self.blocks: Floats = np.zeros((PLACES, slots, len(BLOCK)))
        self.case_blocks: Floats = np.zeros((PLACES, slots, CASES, len(BLOCK)))
        self.tag_ns: dict[tuple[int, ...], float] = {}
        """CPU by (place, tag); also of detached work."""
        self.case_tag_ns: dict[tuple[int, ...], float] = {}
        """By (place, case, tag)."""
        self.woken_tag_ns: dict[tuple[int, ...], float] = {}
        """By (place, slot, tag)."""
        self.cold_tag_ns: dict[tuple[int, ...], float] = {}


class Reader:
    """Reads programs of a plan."""

    def __init__(self, plan: Plan) -> None:
        self.laws = unit_cumulants(plan.laws)
        self.constant = len(self.laws) - 1
        when, mean_ns, law, purpose = self.opened(plan)
        # Zones are left out: what leaves a node stays in its zone, and nothing is done for what does not.
        zone_left = when == When.OTHER_ZONE
        when = np.where(when == When.SAME_ZONE, int(When.OTHER_NODE), when)
        # A pod is on no other node than itself: what is done for that is never done.
        never = zone_left | ((when == When.OTHER_NODE) & (plan.at == plan.other))
        op = np.where(never, int(Op.LIMIT), plan.op)
        columns = (op, plan.at, plan.other, when, plan.slot, plan.target, mean_ns, law)
        rows = (*columns, purpose, plan.tag, plan.amount)
        self.program = list(zip(*(column.tolist() for column in rows), strict=True))
        self.slots = plan.pod_station.shape[1]
        self.half_ns = np.ones(self.slots)
        """(slots,) sleep after which half of what cold caches cost is added, by whose threads sleep."""
        slices = plan.station_slice_ns[plan.station_is_cpu]
        self.slice_ns = float(slices[0]) if len(slices) else 0.0
        self.known_jobs: dict[tuple[float, ...], Floats] = {}

    def opened(self, plan: Plan) -> tuple[Ints, Ints, Ints, Ints]:
        """(condition, mean ns, law, purpose) of each instruction, with what a new connection costs in the share of the
        requests that CONNECT says: pools have grown, and nobody else closes one. All of a request go together.
        """
        when, mean_ns, law, purpose = (column.copy() for column in (plan.when, plan.mean_ns, plan.law, plan.purpose))
        pieces = np.flatnonzero(when & When.NEW_CONNECTION)
        if not len(pieces):
            return when, mean_ns, law, purpose
        connects = np.flatnonzero(plan.op == CONNECT)
        connect = connects[np.searchsorted(connects, pieces) - 1]
        share = plan.amount[connect] / WHOLE
        purpose[pieces] = purpose[connect]
        mean_ns[pieces] = np.rint(mean_ns[pieces] * share)
        when[pieces] &= ~int(When.NEW_CONNECTION)
        for each in np.unique(share[(share > 0) & (share < 1)]):
            law[pieces[share == each]] = len(self.laws)
            self.laws = np.vstack([self.laws, cumulants(np.array([1.0, 1 / each, 1 / each**2]))])
        return when, mean_ns, law, purpose

    def hop(self, start: int) -> Shape:
        """A hop program: everything but the endpoint's body."""
        walk = _Walk(self)
        walk.segment(start, True)
        return walk.finish()

    def law(self, row: int) -> int:
        """Row of ``laws``."""
        return row if row >= 0 else self.constant

    def job(self, k: Floats) -> Floats:
        """``JOB`` of one job with these cumulants; its turns are those of a gamma law with its mean and variance."""
        key = tuple(k.tolist())
        if key not in self.known_jobs:
            m = moments(k)
            turns, turn_second, conserved = self._turns(float(k[0]), float(k[1]), float(m[1]))
            self.known_jobs[key] = np.array([1.0, m[0], m[1], m[2], turns, turn_second, conserved])
        return self.known_jobs[key]

    def _turns(self, mean: float, variance: float, second: float) -> tuple[float, float, float]:
        if not self.slice_ns or mean + 6 * variance**0.5 < self.slice_ns / 2:
            return 0.0, second, 0.0
        from scipy.special import gammaincinv

        u = (np.arange(400) + 0.5) / 400
        constant = np.full(1, mean)
        s = gammaincinv(mean * mean / variance, u) * (variance / mean) if variance > 0 else constant
        whole = np.ceil(s / self.slice_ns) - 1
        rest = s - whole * self.slice_ns
        d = self.slice_ns
        return (
            float(whole.mean()),
            float((whole * d * d + rest**2).mean()),
            float((d * whole * (whole - 1) / 2 + whole * rest).mean()),
        )


class _Walk:
    """One pass over a hop program."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.shape = Shape(reader.slots)
        self.always = Sum()
        self.near = [Sum() for _ in PAIRS]
        self.far = [Sum() for _ in PAIRS]
        self.open: dict[tuple[int, int], Block] = {}
        self.last: Block | None = None
        self.woken = Sum()

    def finish(self) -> Shape:
        laws = self.reader.laws
        self.shape.base = self.always.cumulants(laws)
        for number in range(len(PAIRS)):
            self.shape.near[number] = self.near[number].cumulants(laws)
            self.shape.far[number] = self.far[number].cumulants(laws)
        return self.shape

    def segment(self, pc: int, on_path: bool) -> None:
        """Instructions until END; attempts are read as if nothing failed."""
        program = self.reader.program
        while True:
            op, at, other, when, slot, target, mean_ns, law, purpose, _, _ = program[pc]
            if op == END:
                return
            if op in (WORK, MORE):
                pc = self.visit(pc, on_path)
                continue
            if op == WAIT:
                self.spend(when, at, other, (self.reader.law(law), purpose), mean_ns, on_path)
            elif op == ACQUIRE:
                pair = _pair(at, other) if when == OTHER_NODE else -1
                self.last = self.open[at, slot] = Block(at, slot, pair)
                if on_path and pair < 0:
                    self.shape.acquires[at, slot] += 1
                elif on_path:
                    self.shape.case_acquires[at, slot, pair] += 1
            elif op == RELEASE:
                if (at, slot) in self.open:
                    self.close(self.open.pop((at, slot)), on_path)
            elif op in (DETACH, ATTEMPT):
                held, last = dict(self.open), self.last
                self.segment(pc + 1, on_path and op == ATTEMPT)
                if op == DETACH:
                    self.open = {where: block for where, block in held.items() if where in self.open}
                    self.last = last
                pc = target
                continue
            pc += 1

    def spend(self, when: int, at: int, other: int, draw: Draw, mean_ns: int, on_path: bool) -> None:
        """Time of one instruction: on the path, and while tokens are held."""
        if when in (WOKEN, TURN):
            if self.last is not None:
                self.last.woken.add(draw, mean_ns)
                self.last.beginning += mean_ns if when == TURN else 0.0
            return
        pair = _pair(at, other) if when in (SAME_NODE, OTHER_NODE) else -1
        if on_path:
            (self.always if pair < 0 else (self.near if when == SAME_NODE else self.far)[pair]).add(draw, mean_ns)
        for block in self.open.values():
            if pair < 0 or block.pair == pair:
                block.time.add(draw, mean_ns)

    def after_sleep(self, at: int, tag: int, most_ns: int, half_ns: int, on_path: bool) -> None:
        """Work of a thread that was woken: so much after an endless sleep."""
        if self.last is None:
            return
        slot = self.last.slot
        self.reader.half_ns[slot] = half_ns
        self.last.cold += most_ns
        self.shape.cold[self.last.place, slot] += most_ns if on_path else 0.0
        _count(self.shape.cold_tag_ns, (at, slot, tag), most_ns)

    def visit(self, pc: int, on_path: bool) -> int:
        """One visit to a core; the instruction behind it."""
        program, shape, laws = self.reader.program, self.shape, self.reader.laws
        always, woken, cases = Sum(), Sum(), [Sum() for _ in range(CASES)]
        at = program[pc][1]
        first, cold = True, 0.0
        while True:
            op, place, other, when, _, _, mean_ns, law, purpose, tag, amount = program[pc]
            if op != MORE and not first:
                break
            first = False
            if not mean_ns:  # never done: a new connection, where none is opened
                pc += 1
                continue
            draw = self.reader.law(law), purpose
            if law == COLD:
                self.after_sleep(at, tag, mean_ns, amount, on_path)
                cold += mean_ns
                pc += 1
                continue
            self.spend(when, place, other, draw, mean_ns, on_path)
            if when == ALWAYS:
                always.add(draw, mean_ns)
                _count(shape.tag_ns, (at, tag), mean_ns)
            elif when in (WOKEN, TURN):
                woken.add(draw, mean_ns)
                if self.last is not None:
                    _count(shape.woken_tag_ns, (at, self.last.slot, tag), mean_ns)
            else:
                case = _pair(place, other) + (len(PAIRS) if when == SAME_NODE else 0)
                cases[case].add(draw, mean_ns)
                _count(shape.case_tag_ns, (at, case, tag), mean_ns)
            pc += 1
        k = always.cumulants(laws)
        job = self.reader.job(k) if always.parts else np.zeros(len(JOB))
        shape.jobs[at] += job
        turns = float(job[4])
        if always.parts:
            if on_path:
                shape.visits[at] += 1
                shape.turns[at] += turns
            for block in self.open.values():
                block.visits += 1
                block.turns += turns
        elif on_path:
            for number, parts in enumerate(cases):
                shape.case_visits[at, number] += bool(parts.parts)
        for number, parts in enumerate(cases):
            if parts.parts:
                shape.case_jobs[at, number] += self.reader.job(k + parts.cumulants(laws)) - job
        if (woken.parts or cold) and self.last is not None:
            slot = self.last.slot
            rest = float((k + woken.cumulants(laws))[0])
            shape.cold_jobs[at, slot] += (cold, 2 * cold * rest, cold**2)
            shape.woken_jobs[at, slot] += self.reader.job(k + woken.cumulants(laws)) - job
            if not always.parts:
                self.last.woken_visits += 1
                if on_path:
                    shape.woken_visits[at, slot] += 1
        return pc

    def close(self, block: Block, on_path: bool) -> None:
        """A token is given back: write its block down."""
        laws, shape = self.reader.laws, self.shape
        held = moments(block.time.cumulants(laws))
        woken = moments(block.woken.cumulants(laws))
        row = np.array(
            [1.0, held[0], held[1], block.visits, held[0] * block.visits, block.visits**2, block.turns,
             woken[0], woken[1], woken[0] * held[0], block.woken_visits, block.beginning, block.cold]
        )  # fmt: skip
        if block.pair < 0:
            shape.blocks[block.place, block.slot] += row
        else:
            shape.case_blocks[block.place, block.slot, block.pair] += row
        u1, u2, u3 = woken
        shape.woken[block.place, block.slot] += (u1, u2, u1 * u1, u3, u2 * u1, u1**3)


def _pair(at: int, other: int) -> int:
    return PAIRS.index((Place(min(at, other, key=_rank)), Place(max(at, other, key=_rank))))


def _rank(place: int) -> int:
    """From the caller to the called."""
    return (0, 2, 1)[place]


def _count(into: dict[tuple[int, ...], float], key: tuple[int, ...], ns: float) -> None:
    into[key] = into.get(key, 0.0) + ns
