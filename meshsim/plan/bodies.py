"""What an endpoint does, as a program: the same for every data plane."""

from __future__ import annotations

from collections.abc import Hashable
from typing import NamedTuple, TypeAlias

from meshsim.plan.plan import THREADS_SLOT, Op, Place, Tag, When
from meshsim.plan.program import Instruction, Program, branch, fused
from meshsim.plan.wakeups import Wakeups, wake
from meshsim.scenario.application import Call, Duration, Endpoint, Service, Step

COMPUTE = Tag("application", "application.compute")
WAITING = Tag("application", "application.wait")
THREADS = Tag("application", "application.threads")


class Body(NamedTuple):
    """What an endpoint does, from the first byte read to the last byte written.

    Endpoints that differ in names alone share a program. ``where``, "service/endpoint", comes before the words of its
    purposes. Its ``calls`` calls begin with row ``first_call``, which the program knows as call 0.
    """

    program: Program
    where: str
    first_call: int = 0
    calls: int = 0


class Bodies:
    """Writes the bodies, each program once. ``wakeups``: what it costs to wake a thread that sleeps; where left out,
    the book has it in other operations."""

    def __init__(self, wakeups: Wakeups | None = None) -> None:
        self.wakeups = wakeups
        self.known: dict[Shape, tuple[Program, int]] = {}

    def of(self, service: Service, endpoint: Endpoint, first_call: int) -> Body:
        """The calls follow in the order of ``Endpoint.calls``.

        A thread-per-request container holds a thread throughout, which sleeps while upstreams answer; an async one
        holds a thread (an event loop) only while it computes.
        """
        blocking = service.concurrency.model == "thread-per-request"
        shape = (blocking, *map(_shape, endpoint.steps))
        if shape not in self.known:
            self.known[shape] = body(endpoint, blocking, self.wakeups), len(endpoint.calls())
        program, calls = self.known[shape]
        return Body(program, f"{service.name}/{endpoint.name}", first_call, calls)


Shape: TypeAlias = tuple[Hashable, ...]


def _shape(step: Step) -> Shape:
    """All of a step that its instructions depend on."""
    if step.call is not None:
        return step.call.times, step.call.probability, step.call.optional
    if step.parallel is not None:
        return tuple(tuple(map(_shape, block)) for block in step.parallel)
    duration = step.compute or step.wait
    assert duration is not None
    return step.wait is None, duration.mean_us, duration.law, duration.cv


def body(endpoint: Endpoint, blocking: bool, wakeups: Wakeups | None = None) -> Program:
    """Program of an endpoint: see ``Body`` and ``Bodies``."""
    writer = _Writer(blocking, wakeups)
    woken = writer.wake(When.WOKEN) if blocking else []
    computes_first = bool(endpoint.steps) and endpoint.steps[0].compute is not None
    steps = [*([] if computes_first else writer.read()), *writer.steps(endpoint.steps)]
    if blocking:
        steps = [*fused([*woken, *steps[:1]]), *steps[1:]]  # its first work is done before the thread leaves the core
        steps = [_thread(Op.ACQUIRE), *failing(steps, len(steps)), _thread(Op.RELEASE)]
        steps[0] = steps[0]._replace(skip=len(steps) - 1)
    else:
        steps = failing(steps, len(steps))
    return [*steps, Instruction(Op.RETURN)]


def failing(steps: Program, end: int) -> Program:
    """Let what can fail go on at ``end``: the endpoint fails as soon as a call failed that it needs.

    A branch goes on at its own end; the endpoint learns of it when it joins.
    """
    marked = list(steps)
    number = 0
    while number < end:
        i = steps[number]
        if i.op == Op.SPAWN:
            inner = i.skip - 1
            marked[number + 1 : number + 1 + inner] = failing(steps[number + 1 : number + 1 + inner], inner)
            number += i.skip
        elif i.op in (Op.JOIN, Op.ACQUIRE, Op.RELEASE):
            marked[number] = i._replace(skip=end - number - 1)
        number += 1
    return marked


def _thread(op: Op) -> Instruction:
    return Instruction(op, at=Place.DESTINATION, slot=THREADS_SLOT, tag=THREADS)


class _Writer:
    """Numbers the steps in the order of the file: the numbers are the keys of their random draws."""

    def __init__(self, blocking: bool, wakeups: Wakeups | None) -> None:
        self.blocking = blocking
        self.next_call = 0
        self.wakeups = wakeups
        self.step_number = 0

    def steps(self, steps: list[Step]) -> Program:
        program: Program = []
        for number, step in enumerate(steps, 1):
            following = steps[number] if number < len(steps) else None
            program += self.step(step)
            if step.compute is None and step.wait is None and (following is None or following.compute is None):
                program += self.read()
        return program

    def read(self) -> Program:
        """An async thread reads what has come, and does not compute behind it (else it is woken for that)."""
        if self.blocking or self.wakeups is None:
            return []
        return [_thread(Op.ACQUIRE), *self.wake(When.WOKEN), _thread(Op.RELEASE)]

    def step(self, step: Step) -> Program:
        if step.compute is not None:
            work = self.spend(Op.WORK, step.compute, COMPUTE)
            return (
                [work]
                if self.blocking
                else [_thread(Op.ACQUIRE), *fused([*self.wake(When.WOKEN), work]), _thread(Op.RELEASE)]
            )
        if step.wait is not None:
            return [self.spend(Op.WAIT, step.wait, WAITING)]
        if step.call is not None:
            once = self.start(step.call)
            again = [once._replace(purpose=self.next_purpose()) for _ in range(step.call.times - 1)]
            return [i for start in (once, *again) for i in (start, *self.join(start.probability))]
        program: Program = []
        for block in step.parallel or []:
            lone = block[0].call if len(block) == 1 else None
            # A branch that is one call needs no frame of its own.
            program += [self.start(lone)] if lone is not None and lone.times == 1 else branch(self.steps(block))
        return [*program, *self.join()]

    def join(self, probability: float = 1.0) -> Program:
        """Wait for what was started; a blocking thread sleeps meanwhile. ``probability`` that there is anything."""
        return [Instruction(Op.JOIN), *(self.wake(When.ALWAYS, probability) if self.blocking else [])]

    def wake(self, when: When, times: float = 1.0) -> Program:
        """A thread of the container is woken."""
        if self.wakeups is None:
            return []
        key = f" thread before step {self.step_number}"
        return wake(self.wakeups, key, when, times)

    def spend(self, op: Op, duration: Duration, tag: Tag) -> Instruction:
        mean_ns = max(1, round(duration.mean_us * 1000))
        law = (duration.law, duration.cv)
        return Instruction(op, mean_ns=mean_ns, law=law, tag=tag, purpose=self.next_purpose())

    def start(self, call: Call) -> Instruction:
        number, self.next_call = self.next_call, self.next_call + 1
        return Instruction(
            Op.START, call=number, slot=int(call.optional), probability=call.probability, purpose=self.next_purpose()
        )

    def next_purpose(self) -> str:
        self.step_number += 1
        return f" step {self.step_number}"
