"""Autoscaling: decisions, their delay, and the start-up of a pod, worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest
from test_exact import constant
from worlds import NO_MESH, application, cost, costs, machine, plan, service, simulate

from meshsim.costs.book import Cost, CostBook
from meshsim.costs.books import Costs
from meshsim.plan.lower import lower
from meshsim.results.run import RunResult
from meshsim.scenario.base import MeshsimError
from meshsim.scenario.scenario import Scenario

S = 1_000_000_000
START_UP = [{"name": "image", "ms": 700}, {"name": "container", "ms": 300}]


def scaler(**fields: Any) -> dict[str, Any]:
    return {"service": "a", "max": 6, "target_cpu": 0.5, "interval_s": 1.0, "metrics_delay_s": 0.0,
            "scale_down_stabilization_s": 3.0, "start_up": START_UP, **fields}  # fmt: skip


def scaled(rates: list[tuple[float, float]], requests: int, **fields: Any) -> RunResult:
    """Each request takes 10 ms; a pod requests 200 millicores, so at half of them it serves 10 requests a second."""
    app = application(service("a", [constant(10_000)], requests={"cpu_millicores": 200, "memory_mib": 1}))
    steps = [{"at_s": at, "rps": rps} for at, rps in rates]
    lowered = plan(app, 1, cores=16, arrivals="constant", load={"rates": steps}, autoscaling=[scaler(**fields)])
    return simulate(lowered, requests, warmup=0.0, sample=0)


def test_it_follows_the_load_up_after_a_start_up_and_down_after_its_patience() -> None:
    # 40 a second for 5 s, then 20: four pods, then two. The last work of a second may end in the next: 39.x of 40.
    result = scaled([(0.0, 40.0), (5.0, 20.0)], 200 + 200)
    # The decision at 1 s sees 39 or 40 x 10 ms over 100 ms: 4 pods; three more get requests at 2 s. From 6 s on the
    # decisions want 2; the one of 5 s still counts until 8 s.
    assert result.scaling == [(0, 0, 1), (2 * S, 0, 2), (2 * S, 0, 3), (2 * S, 0, 4), (8 * S, 0, 2)]


def test_an_old_metric_delays_the_decision() -> None:
    result = scaled([(0.0, 40.0)], 200, metrics_delay_s=1.5)
    # The first interval ends at 1 s; its metric is two intervals old when it is seen, at 3 s.
    assert result.scaling == [(0, 0, 1), (4 * S, 0, 2), (4 * S, 0, 3), (4 * S, 0, 4)]


def test_it_stays_within_its_bounds_and_its_tolerance() -> None:
    assert scaled([(0.0, 100.0)], 600).scaling[-1] == (2 * S, 0, 6)
    # 10.9 a second for one pod at 10: within a tenth of the target.
    assert scaled([(0.0, 10.9)], 100).scaling == [(0, 0, 1)]
    assert scaled([(0.0, 12.5)], 100).scaling == [(0, 0, 1), (2 * S, 0, 2)]


def test_new_pods_get_requests_only_when_they_are_ready() -> None:
    app = application(service("a", [constant(10_000)], requests={"cpu_millicores": 200, "memory_mib": 1}))
    for balancing in ([], [{"from": "client", "to": "a", "policy": "round-robin"}]):
        lowered = plan(app, 40, cores=16, arrivals="constant", autoscaling=[scaler()], balancing=balancing)
        result = simulate(lowered, 400, warmup=0.0, sample=1_000_000)
        used = [(r.spans[0].start_ns, r.spans[0].destination) for r in result.records]
        assert {pod for start, pod in used if start < 2 * S} == {0}
        assert {pod for start, pod in used if start >= 2 * S} == {0, 1, 2, 3}


def test_a_pod_that_finds_no_image_or_no_node_serves_later() -> None:
    # A node has room for five pods of 200 millicores: a has two pods, b one, so two more of a fit.
    fields = {"requests": {"cpu_millicores": 200, "memory_mib": 1}}
    app = application(service("a", [constant(10_000)], replicas=2, **fields), service("b", [], **fields))
    rates = {"rates": [{"at_s": 0.0, "rps": 100.0}]}
    grow = scaler(min=2, new_node_s=5.0)
    lowered = plan(app, 1, arrivals="constant", load=rates, autoscaling=[grow],
                   cluster={"machine": "box", "nodes": "auto"})  # fmt: skip
    up = lowered.scale_ups[0]
    assert (up.with_room, up.without_image, up.on_new_nodes) == (2, 0, 2)
    assert lowered.bill.nodes == 2
    assert [(step.name, step.when) for step in up.steps] == [
        ("node", "new node"), ("image", "always"), ("container", "always"),
    ]  # fmt: skip
    # The decision at 1 s wants all six: two are there at 2 s, two with their node at 7 s.
    result = simulate(lowered, 1000, warmup=0.0, sample=0)
    assert result.scaling == [(0, 0, 2), (2 * S, 0, 3), (2 * S, 0, 4), (7 * S, 0, 5), (7 * S, 0, 6)]


def test_without_a_list_of_its_own_a_pod_takes_the_chain_of_the_cost_book() -> None:
    def entry(name: str, ms: float, **more: Any) -> Cost:
        return cost(f"startup.{name}", wait_ns=ms * 1e6, **more)

    names = {"node": 9_000, "schedule": 10, "network": 20, "container.runc": 300, "process.c": 5, "endpoint": 65}
    book = [entry(name, ms) for name, ms in names.items()] + [entry("image", 0, wait_ns_per_byte=1.0)]
    priced = Costs([*costs().books, CostBook(schema="meshsim/costs/1", name="start", entries=book)])
    fields = {"requests": {"cpu_millicores": 400, "memory_mib": 1}}
    app = application(service("a", [constant(10_000)], **fields), service("b", [], **fields))
    lowered = plan(app, 1, cores=1, book=priced, autoscaling=[scaler(start_up=None, max=5)],
                   cluster={"machine": "box", "nodes": "auto"})  # fmt: skip
    always, image = 400_000_000, 100 * 1024 * 1024
    # a and b fill the one node of the start; the other four pods of a need two more.
    assert lowered.autoscalers[0, 9:].tolist() == [always, 1, always + image, 1, always + image + 9_000_000_000]
    # Two nodes from the start: the second has no image, and room for one pod beside b.
    cluster = {"machine": "box", "nodes": 2}
    lowered = plan(app, 1, cores=1, book=priced, autoscaling=[scaler(start_up=None, max=3)], cluster=cluster)
    assert lowered.autoscalers[0, 9:].tolist() == [always, 2, always + image, 3, always + image + 9_000_000_000]
    # A machine whose start is known needs no entry for it.
    quick = lower(app, NO_MESH, machine(1, start_s=2.0), Scenario.model_validate(
        {"application": "x", "autoscaling": [scaler(start_up=None, max=5)], "load": {"rps": 1},
         "cluster": {"machine": "box"}}), priced)  # fmt: skip
    assert quick.autoscalers[0, 13] == always + image + 2_000_000_000


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"service": "x"}, "autoscaling: unknown service 'x'"),
        ({"min": 2}, "it starts with 1 replicas; min 2 and max 6 must enclose that"),
    ],
)
def test_autoscalers_that_make_no_sense_are_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(MeshsimError, match=said):
        scaled([(0.0, 1.0)], 100, **fields)
