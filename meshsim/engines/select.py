"""Which engine runs a plan: the one that is named, or the one that is there sooner.

The engines give the same answer to the last nanosecond, so ``auto`` looks only at the time: machine code if this
machine has it already. Without it, a run that the reference engine has not finished within ``PATIENCE_S`` is large
enough to pay for compiling, and begins again on the compiled engine.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from meshsim.engines import compiled, reference
from meshsim.plan.plan import Plan
from meshsim.results.run import RunResult
from meshsim.scenario.base import MeshsimError
from meshsim.scenario.scenario import Engine, Run

PATIENCE_S = 10.0
"""About half of what compiling takes."""


def runs_on_threads(engine: Engine) -> bool:
    """Whether a run holds the interpreter for a small part of its time only: machine code lets go of it."""
    return engine != "reference" and compiled.is_kept()


def run(
    plan: Plan,
    settings: Run,
    *,
    on_progress: Callable[[int, int], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> RunResult:
    """Simulate on the engine of ``settings.engine``; arguments as in ``meshsim.engines.reference.run``.

    MeshsimError for the analytic engine: it answers no requests (``meshsim.studies.estimate`` asks it for a row).
    """
    if settings.engine == "analytic":
        raise MeshsimError("engine: 'analytic' received; this needs simulated requests: auto, reference or compiled")
    if settings.engine == "reference":
        return reference.run(plan, settings, on_progress=on_progress, should_stop=should_stop)
    if settings.engine == "auto" and not compiled.is_kept():
        until = time.monotonic() + PATIENCE_S
        asked = False

        def stop() -> bool:
            nonlocal asked
            asked = should_stop is not None and should_stop()
            return asked or time.monotonic() > until

        result = reference.run(plan, settings, on_progress=on_progress, should_stop=stop)
        if asked or not result.cancelled:
            return result
    return compiled.run(plan, settings, on_progress=on_progress, should_stop=should_stop)
