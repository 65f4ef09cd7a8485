"""The compiled engine's list of events: near and far ones at once, and very many from the first instant on."""

from __future__ import annotations

import pytest
from both_engines import run_on_both
from worlds import application, plan, service

from meshsim.scenario.scenario import Run


@pytest.mark.parametrize("rps", [1.0, 20.0])
def test_waits_from_microseconds_to_seconds(rps: float) -> None:
    branches = [
        [{"wait": {"mean_us": mean_us, "law": "exponential"}}, {"wait": {"mean_us": 50}}]
        for mean_us in (1, 300, 1e5, 3e6, 8e6)
    ]
    made = plan(application(service("a", [{"parallel": branches}, {"wait": {"mean_us": 20}}])), rps)
    result = run_on_both(made, Run(requests=400, warmup=0.0))
    assert result.answered >= 400


def test_bursts_change_the_rate_of_events_a_thousandfold() -> None:
    wait = {"wait": {"mean_us": 2e5, "law": "exponential"}}
    load = {"mmpp": [{"rps": 20.0, "mean_s": 1.0}, {"rps": 50_000.0, "mean_s": 0.05}], "overload": "simulate"}
    made = plan(application(service("a", [wait, wait])), 1000, load=load)
    run_on_both(made, Run(requests=6000))


@pytest.mark.parametrize("think_ms", [0, 2.0])
def test_twenty_thousand_clients_begin_at_once(think_ms: float) -> None:
    load = {"closed": {"clients": 20_000, "think_ms": think_ms, "think": "constant"}}
    made = plan(application(service("a", [{"wait": {"mean_us": 1000}}])), 1000, load=load)
    run_on_both(made, Run(requests=25_000, sample=10))
