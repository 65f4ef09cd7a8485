"""The compiled engine: the reference engine's semantics on flat arrays, as machine code. Same plan, same answers.

``reference`` is the definition. Each file here repeats one file there, without Python objects: what a request is, or a
line, is a row of integers. Compiling takes a while, once on a machine; then it is kept beside the package, or where
numba may write.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from meshsim.plan.plan import Plan
from meshsim.results.run import RunResult
from meshsim.scenario.scenario import Run

if TYPE_CHECKING:
    from meshsim.engines.compiled.loop import Loop

EVENTS_AT_A_TIME = 200_000
"""Between two looks at the callbacks: about a twentieth of a second."""

_lock = threading.Lock()
_kept: list[Loop] = []
_code: list[Any] = []


def _loop() -> Loop:
    if not _kept:
        from meshsim.engines.compiled.loop import Loop

        _kept.append(Loop())
    return _kept[0]


def machine_code() -> Any:
    """The loop as machine code; compiles it if there is none yet (about 20 s, once on a machine)."""
    with _lock:
        if not _code:
            _code.append(_loop().compile())
        return _code[0]


def is_kept() -> bool:
    """Whether the machine code is there: in this process, or kept on this machine by an earlier one."""
    if _code:
        return True
    if _lock.locked():  # it is being compiled
        return False
    return _loop().is_kept()


def get_ready() -> threading.Thread:
    """Compile in the background."""
    thread = threading.Thread(target=machine_code, name="compile the engine", daemon=True)
    thread.start()
    return thread


def run(
    plan: Plan,
    settings: Run,
    *,
    on_progress: Callable[[int, int], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> RunResult:
    """Simulate until every measured request is answered; arguments as in ``meshsim.engines.reference.run``.

    The callbacks are asked every so many events. MeshsimError for a latency beyond 19 hours.
    """
    advance = machine_code()
    from meshsim.engines.compiled import state as at
    from meshsim.engines.compiled.clock import Clock
    from meshsim.engines.compiled.memory import Memory

    memory = Memory(plan, settings)
    scaling = Clock(memory) if len(plan.autoscalers) else None
    memory.state[at.BUDGET] = EVENTS_AT_A_TIME if on_progress or should_stop else -1
    cancelled = False
    while True:
        code = advance(memory.state.ctypes.data)
        if code == at.DONE:
            break
        if code == at.MORE_ROOM:
            memory.grow()
        elif code == at.BY_THE_CLOCK:
            assert scaling is not None
            scaling.happen(memory[at.CLOCK_EVENT])
        else:
            if on_progress is not None:
                on_progress(memory[at.ANSWERED_MEASURED], settings.requests)
            if should_stop is not None and should_stop():
                cancelled = True
                break
    if on_progress is not None:
        on_progress(memory[at.ANSWERED_MEASURED], settings.requests)
    return memory.result(scaling.history if scaling is not None else [], cancelled)
