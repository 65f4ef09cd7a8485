"""One plan on both engines: everything that they count must be the same, to the last nanosecond."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np

from meshsim.engines import compiled, reference
from meshsim.plan.plan import Plan
from meshsim.results.histogram import BatchedHistogram
from meshsim.results.run import RunResult
from meshsim.results.sample import Sample
from meshsim.scenario.scenario import Run


def counted(value: Any) -> Any:
    """A field of a result as something that ``==`` compares."""
    if isinstance(value, BatchedHistogram):
        filled = np.argwhere(value.cells)
        return value.sum_ns, [(int(b), int(c), int(value.cells[b, c])) for b, c in filled]
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, list | Sample):
        return [counted(v) for v in value]
    if hasattr(value, "__dict__") and not isinstance(value, type):
        return {name: counted(v) for name, v in vars(value).items()}
    return value


def differences(one: RunResult, other: RunResult) -> dict[str, tuple[Any, Any]]:
    """Every field in which two results are not the same; who computed them does not count."""
    names = [field.name for field in fields(RunResult) if field.name not in ("plan", "engine")]
    pairs = {name: (counted(getattr(one, name)), counted(getattr(other, name))) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def run_on_both(plan: Plan, settings: Run) -> RunResult:
    """The reference engine's result, after the compiled engine has given the same."""
    expected = reference.run(plan, settings)
    wrong = differences(expected, compiled.run(plan, settings))
    assert not wrong, f"the compiled engine differs in {', '.join(wrong)}: {str(wrong)[:2000]}"
    return expected
