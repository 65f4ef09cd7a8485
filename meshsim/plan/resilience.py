"""Where attempts, connections and failed answers enter a hop. Works on any hop, whatever data plane it came from.

A hop is: request … ``BODY`` … answer, ``END``. The part that a caller repeats, its *upstream part*, begins where the
proxy that acts for the caller has forwarded the request, and ends where that proxy takes the answer up. A library acts
before everything else, so its upstream part is the whole hop.
"""

from __future__ import annotations

from meshsim.plan.draws import purpose
from meshsim.plan.handshakes import KEY
from meshsim.plan.hops import Stop
from meshsim.plan.plan import Op, Place, Tag, When
from meshsim.plan.program import Instruction, Program

LIBRARY, PROXY = 0, 1
"""``slot`` of ATTEMPT: whose policy."""
WAITING = Tag("network", "resilience.wait")
"""Time in which a caller has no attempt under way whose answer it will hear: given-up attempts, back-off."""
POOL = Tag("network", "connection.queue")


def with_resilience(
    program: Program, *, library: bool, proxy: Stop | None, reopened: float | None, limited: bool
) -> Program:
    """The hop with attempts of the library, of ``proxy``, with connections, and with a rate limit, as asked.

    ``reopened``: share of the requests that find their connection closed; None without a pool of connections.
    """
    if limited:
        body = _body(program)
        program = [*program[:body], Instruction(Op.LIMIT), *program[body:]]
    if proxy is not None:
        program = _attempt(program, *_upstream(program, proxy), PROXY)
    if reopened is not None:
        end = len(program) - 1
        connect = Instruction(Op.CONNECT, tag=POOL, probability=reopened, purpose=purpose(KEY))
        disconnect = Instruction(Op.DISCONNECT)
        program = [connect, *program[:end], disconnect, program[end]]
    if library:
        program = _attempt(program, 0, len(program) - 1, LIBRARY)
    return with_failures(program)


def _attempt(program: Program, start: int, stop: int, who: int) -> Program:
    block = program[start:stop]
    attempt = Instruction(Op.ATTEMPT, slot=who, skip=len(block) + 1, tag=WAITING)
    return [*program[:start], attempt, *block, Instruction(Op.END), *program[stop:]]


def _body(program: Program) -> int:
    return next(number for number, i in enumerate(program) if i.op == Op.BODY)


def _upstream(program: Program, proxy: Stop) -> tuple[int, int]:
    """First instruction behind the proxy's pass on the request, and the first of its pass on the answer.

    A proxy without workers of its own (a library that acts as one) repeats the whole hop.
    """
    body = _body(program)
    if not any(_is(i, Op.ACQUIRE, proxy.place, proxy.slot) for i in program):
        return 0, len(program) - 1
    start = max(n for n in range(body) if _is(program[n], Op.RELEASE, proxy.place, proxy.slot)) + 1
    stop = min(n for n in range(body, len(program)) if _is(program[n], Op.ACQUIRE, proxy.place, proxy.slot))
    return start, stop


def with_failures(program: Program) -> Program:
    """Say where the failed answer begins if an instruction fails.

    A proxy that cannot take a request answers in its own place: what is behind it is skipped, and so is its own pass
    on the answer. Without a connection nothing is sent. Without a token of the rate limit there is no body.
    """
    body = _body(program)
    marked = list(program)
    for number, i in enumerate(program):
        # A network interface has no answer of its own: its turn has a condition, and cannot fail.
        if i.when == When.ALWAYS and (i.op == Op.ACQUIRE or (i.op == Op.RELEASE and number < body)):
            here = number
            if number < body:
                back = [n for n in range(body, len(program)) if _is(program[n], Op.ACQUIRE, i.at, i.slot)]
                if not back:
                    continue
                here = back[0]
            marked[number] = i._replace(skip=_end_of_pass(program, here) - number - 1)
        elif i.op == Op.CONNECT:
            back = [n for n in range(number, len(program)) if program[n].op == Op.DISCONNECT]
            marked[number] = i._replace(skip=back[0] - number)
        elif i.op == Op.LIMIT:
            marked[number] = i._replace(skip=1)
    return marked


def _end_of_pass(program: Program, acquire: int) -> int:
    """The instruction behind a pass that begins with ``acquire``: its RELEASE may be in detached work."""
    i = program[acquire]
    release = next(n for n in range(acquire, len(program)) if _is(program[n], Op.RELEASE, i.at, i.slot))
    for number in range(acquire, release):
        behind = number + 1 + program[number].skip
        if program[number].op == Op.DETACH and behind > release:
            return behind
    return release + 1


def _is(i: Instruction, op: Op, at: Place, slot: int) -> bool:
    return i.op == op and i.at == at and i.slot == slot
