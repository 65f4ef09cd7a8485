"""An application with very many entries: what is kept of each is bounded, and the same on both engines."""

from __future__ import annotations

import pytest
from both_engines import run_on_both
from worlds import application, compute, plan, service

from meshsim.engines.compiled.memory import Memory
from meshsim.engines.recorder import BATCHES, CALL_SUB_BITS, MOST_ENTRIES, SUB_BITS
from meshsim.plan.plan import Plan
from meshsim.results.audit import audit
from meshsim.results.intervals import estimate_quantile, mean_interval
from meshsim.scenario.scenario import Run


def with_entries(count: int) -> Plan:
    names = [f"s{number}" for number in range(count)]
    world = application(*(service(name, [compute(50)]) for name in names), entries=[{"service": n} for n in names])
    return plan(world, 2000, cores=4, nodes=2)


@pytest.mark.parametrize("more", [0, 1])
def test_many_entries_are_kept_in_one_batch_each_and_coarser(more: int) -> None:
    result = run_on_both(with_entries(MOST_ENTRIES + more), Run(requests=6000, warmup=0.1))
    assert audit(result).ok
    assert (result.latency.batches, result.latency.sub_bits) == (BATCHES, SUB_BITS)
    kept = {(entry.batches, entry.sub_bits) for entry in result.entry_latency}
    assert kept == {(1, CALL_SUB_BITS) if more else (BATCHES, SUB_BITS)}
    first = result.entry_latency[0]
    for estimate in (mean_interval(first), estimate_quantile(first, 0.5)):
        assert estimate.value is not None
        assert (estimate.low is None) == bool(more)


def test_the_memory_of_a_run_does_not_grow_with_entries_times_batches() -> None:
    few, many = (
        sum(array.nbytes for array in Memory(with_entries(count), Run(requests=1000)).arrays.values())
        for count in (MOST_ENTRIES, 10 * MOST_ENTRIES)
    )
    assert many < few
