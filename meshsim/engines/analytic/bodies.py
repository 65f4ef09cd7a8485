"""The bodies of all endpoints as sequences: what is done one after the other, with calls and forks in between.

Endpoints that do the same are read once; what differs is whom they call.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from meshsim.engines.analytic.moments import Floats, moments
from meshsim.engines.analytic.programs import (
    ACQUIRE,
    BLOCK,
    COLD_JOB,
    DETACH,
    END,
    JOB,
    JOIN,
    MORE,
    RELEASE,
    RETURN,
    SPAWN,
    START,
    WAIT,
    WHOLE,
    WOKEN,
    WORK,
    Reader,
    Sum,
)
from meshsim.plan.laws import COLD
from meshsim.plan.plan import THREADS_SLOT, Ints, Plan


@dataclass
class Template:
    """One sequence of a body as it is read; calls are named by where they stand in the body."""

    base: Floats = field(default_factory=lambda: np.zeros(3))
    visits: float = 0.0
    turns: float = 0.0
    acquires: float = 0.0
    woken: float = 0.0
    """Time added by the wake-ups of its threads, if each is woken, ns."""
    woken_visits: float = 0.0
    cold: float = 0.0
    """Time added besides, if each has slept for ever, ns."""
    calls: list[tuple[int, float]] = field(default_factory=list)
    """(offset of START, probability), each waited for before the next."""
    forks: list[list[tuple[int, float, int]]] = field(default_factory=list)
    """Members of each fork: (offset of START or -1, probability, sequence of the body or -1)."""


@dataclass
class BodyTemplate:
    """A body: its sequences (the first is the whole), and what it asks of its pod."""

    sequences: list[Template]
    jobs: Floats
    blocks: Floats
    holds: bool
    """A thread is held while calls are answered."""
    tag_ns: dict[int, float]
    woken_jobs: Floats
    """If each thread that it acquires is woken."""
    woken_tag_ns: dict[int, float]
    cold_jobs: Floats
    """(COLD_JOB,) if each has slept for ever."""
    cold_tag_ns: dict[int, float]


@dataclass(frozen=True)
class Sequences:
    """All sequences of a plan; n sequences, s calls in them one by one, f forks, m members of forks, e endpoints."""

    endpoint_body: Ints
    """(e,) first instruction."""
    endpoint_template: Ints
    endpoint_sequence: Ints
    """(e,) its whole body."""
    templates: list[BodyTemplate]
    base: Floats
    """(n, 3)"""
    asks: Floats
    """(n, 6) visits to the CPU, turns beyond the first, threads acquired; if they have to be woken, time and visits;
    and time, if they have slept for ever."""
    sequence_endpoint: Ints
    call_sequence: Ints
    call_number: Ints
    call_probability: Floats
    """(s,)"""
    fork_sequence: Ints
    member_fork: Ints
    member_call: Ints
    """(m,) -1 for a sequence."""
    member_sequence: Ints
    """(m,) -1 for a call."""
    member_probability: Floats


def read_bodies(plan: Plan, reader: Reader) -> Sequences:
    """All endpoints that some call leads to."""
    starts = np.unique(plan.call_body)
    ends = np.flatnonzero(plan.op == RETURN)
    ends = ends[np.searchsorted(ends, starts)]
    content = np.stack([plan.op, plan.when, plan.slot, plan.mean_ns, plan.law, plan.amount, plan.tag], axis=1)
    known: dict[bytes, int] = {}
    bodies: list[BodyTemplate] = []
    template = np.empty(len(starts), np.int64)
    for number, (start, end) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
        key = content[start:end].tobytes()
        if key not in known:
            known[key] = len(bodies)
            bodies.append(_Body(reader, start).read())
        template[number] = known[key]
    return _instances(plan, starts, template, bodies)


class _Body:
    """Reads one body."""

    def __init__(self, reader: Reader, start: int) -> None:
        self.reader = reader
        self.start = start
        self.sequences: list[Template] = []
        self.jobs = np.zeros(len(JOB))
        self.blocks = np.zeros(len(BLOCK))
        self.holds = False
        self.tag_ns: dict[int, float] = {}
        self.woken_jobs = np.zeros(len(JOB))
        self.woken_tag_ns: dict[int, float] = {}
        self.cold_jobs = np.zeros(len(COLD_JOB))
        self.cold_tag_ns: dict[int, float] = {}

    def read(self) -> BodyTemplate:
        self.segment(self.start)
        return BodyTemplate(
            self.sequences, self.jobs, self.blocks, self.holds, self.tag_ns, self.woken_jobs, self.woken_tag_ns,
            self.cold_jobs, self.cold_tag_ns,
        )  # fmt: skip

    def segment(self, pc: int) -> int:
        """One sequence; its number."""
        program, laws = self.reader.program, self.reader.laws
        number = len(self.sequences)
        mine = Template()
        self.sequences.append(mine)
        time = Sum()
        held: tuple[Sum, list[float], Sum] | None = None
        nested = False
        fork: list[tuple[int, float, int]] = []
        while True:
            op, _, _, when, _, target, mean_ns, law, purpose, tag, amount = program[pc]
            if op in (RETURN, END):
                break
            if when == WOKEN and op == DETACH:
                self.work_of_wakeup(pc + 1)
                pc = target
                continue
            if law == COLD:
                following = program[pc + 1]
                rest = float(following[6]) if following[0] == MORE else 0.0
                self.after_sleep(mine, held, tag, mean_ns, amount, rest)
            elif when == WOKEN:
                self.wake(mine, held, pc)
            elif op in (WORK, MORE, WAIT):
                draw = self.reader.law(law), purpose
                time.add(draw, mean_ns)
                turns = 0.0
                if op != WAIT:
                    one = Sum()
                    one.add(draw, mean_ns)
                    job = self.reader.job(one.cumulants(laws))
                    turns = float(job[4])
                    self.jobs += job
                    self.tag_ns[tag] = self.tag_ns.get(tag, 0.0) + mean_ns
                    mine.visits += 1
                    mine.turns += turns
                if held is not None:
                    held[0].add(draw, mean_ns)
                    held[1][0] += op != WAIT
                    held[1][1] += turns
            elif op == ACQUIRE:
                mine.acquires += 1
                held, nested = (Sum(), [0.0, 0.0, 0.0, 0.0], Sum()), False
            elif op == RELEASE and held is not None:
                self.close(*held, nested)
                held = None
            elif op == START:
                nested = True
                fork.append((pc - self.start, min(amount / WHOLE, 1.0), -1))
            elif op in (SPAWN, DETACH):
                nested = True
                inner = self.segment(pc + 1)
                if op == SPAWN:
                    fork.append((-1, 1.0, inner))
                pc = target
                continue
            elif op == JOIN:
                if len(fork) == 1 and fork[0][0] >= 0:
                    mine.calls.append(fork[0][:2])
                elif fork:
                    mine.forks.append(fork)
                fork = []
            pc += 1
        mine.base = time.cumulants(laws)
        return number

    def wake(self, mine: Template, held: tuple[Sum, list[float], Sum] | None, pc: int) -> None:
        """What is done only if the thread slept."""
        op, _, _, _, _, _, mean_ns, law, purpose, tag, _ = self.reader.program[pc]
        one = Sum()
        one.add((self.reader.law(law), purpose), mean_ns)
        mine.woken += mean_ns
        if op != WAIT:
            self.woken_jobs += self.reader.job(one.cumulants(self.reader.laws))
            self.woken_tag_ns[tag] = self.woken_tag_ns.get(tag, 0.0) + mean_ns
            mine.woken_visits += 1
        if held is not None:
            held[2].add((self.reader.law(law), purpose), mean_ns)
            held[1][2] += op != WAIT

    def after_sleep(
        self,
        mine: Template,
        held: tuple[Sum, list[float], Sum] | None,
        tag: int,
        most_ns: int,
        half_ns: int,
        rest_ns: float,
    ) -> None:
        """Work of a thread that was woken: so much after an endless sleep, before ``rest_ns`` of the same visit."""
        self.cold_jobs += (most_ns, 2 * most_ns * rest_ns, float(most_ns) ** 2)
        if not rest_ns:  # a visit of its own
            self.woken_jobs[0] += 1
            mine.woken_visits += 1
        self.reader.half_ns[THREADS_SLOT] = half_ns
        mine.cold += most_ns
        self.cold_tag_ns[tag] = self.cold_tag_ns.get(tag, 0.0) + most_ns
        if held is not None:
            held[1][3] += most_ns

    def work_of_wakeup(self, pc: int) -> None:
        """What is worked beside if the thread slept: one visit to a core, for which nobody waits."""
        program, one = self.reader.program, Sum()
        while program[pc][0] in (WORK, MORE):
            _, _, _, _, _, _, mean_ns, law, purpose, tag, _ = program[pc]
            one.add((self.reader.law(law), purpose), mean_ns)
            self.woken_tag_ns[tag] = self.woken_tag_ns.get(tag, 0.0) + mean_ns
            pc += 1
        self.woken_jobs += self.reader.job(one.cumulants(self.reader.laws))

    def close(self, time: Sum, visited: list[float], woken: Sum, nested: bool) -> None:
        if nested:
            self.holds = True
            return
        m, u = moments(time.cumulants(self.reader.laws)), moments(woken.cumulants(self.reader.laws))
        visits, turns, woken_visits, cold = visited
        self.blocks += (
            1.0, m[0], m[1], visits, m[0] * visits, visits**2, turns, u[0], u[1], u[0] * m[0], woken_visits, 0.0, cold,
        )  # fmt: skip


def _instances(plan: Plan, starts: Ints, template: Ints, bodies: list[BodyTemplate]) -> Sequences:
    """Number the sequences of every endpoint, template by template."""
    base, asks, owner, first = [], [], [], np.zeros(len(starts), np.int64)
    calls: list[tuple[Ints, Ints, Floats]] = []
    forks: list[Ints] = []
    members: list[tuple[Ints, Ints, Ints, Floats]] = []
    sequences = fork_count = 0
    order = np.argsort(template, kind="stable")
    bounds = np.searchsorted(template[order], np.arange(len(bodies) + 1))
    for number, body in enumerate(bodies):
        mine = order[bounds[number] : bounds[number + 1]]
        size, here = len(body.sequences), len(mine)
        ids = sequences + np.arange(here) * size
        first[mine] = ids
        sequences += size * here
        base.append(np.tile([s.base for s in body.sequences], (here, 1)))
        asked = [(s.visits, s.turns, s.acquires, s.woken, s.woken_visits, s.cold) for s in body.sequences]
        asks.append(np.tile(asked, (here, 1)))
        owner.append(np.repeat(mine, size))
        for place, sequence in enumerate(body.sequences):
            for offset, probability in sequence.calls:
                calls.append((ids + place, plan.target[starts[mine] + offset], np.full(here, probability)))
            for fork in sequence.forks:
                fork_ids = fork_count + np.arange(here)
                fork_count += here
                forks.append(ids + place)
                none = np.full(here, -1, np.int64)
                for offset, probability, inner in fork:
                    to = none if offset < 0 else plan.target[starts[mine] + offset]
                    members.append((fork_ids, to, none if inner < 0 else ids + inner, np.full(here, probability)))
    call_columns = [_joined(column) for column in zip(*calls, strict=True)] or [np.zeros(0, np.int64)] * 3
    member_columns = [_joined(column) for column in zip(*members, strict=True)] or [np.zeros(0, np.int64)] * 4
    by_fork = np.argsort(member_columns[0], kind="stable")
    return Sequences(
        endpoint_body=starts,
        endpoint_template=template,
        endpoint_sequence=first,
        templates=bodies,
        base=np.concatenate(base),
        asks=np.concatenate(asks),
        sequence_endpoint=np.concatenate(owner),
        call_sequence=call_columns[0],
        call_number=call_columns[1],
        call_probability=call_columns[2].astype(np.float64),
        fork_sequence=np.concatenate(forks) if forks else np.zeros(0, np.int64),
        member_fork=member_columns[0][by_fork],
        member_call=member_columns[1][by_fork],
        member_sequence=member_columns[2][by_fork],
        member_probability=member_columns[3][by_fork].astype(np.float64),
    )


def _joined(parts: tuple[Ints, ...]) -> Ints:
    return np.concatenate(parts)
