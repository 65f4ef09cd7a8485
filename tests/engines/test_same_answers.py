"""Random scenarios on both engines: every request, every counter and every sampled nanosecond is the same.

Times come from a coarse grid and half of them are constant, so that many things happen at the same instant: an order
of ties that differs between the engines would show at once.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from both_engines import differences, run_on_both
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st
from worlds import application, costs, plan, service

from meshsim.costs.books import Costs
from meshsim.engines import compiled, reference
from meshsim.plan.plan import Plan
from meshsim.scenario.base import MeshsimError
from meshsim.scenario.dataplane import DataPlane
from meshsim.scenario.scenario import Run

NAMES = "abcd"
Json = dict[str, Any]


def sometimes(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.none(), strategy)


def some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Json]:
    """A mapping without the fields that came out as None."""
    return st.fixed_dictionaries(fields).map(lambda given: {k: v for k, v in given.items() if v is not None})


US = st.sampled_from([10, 20, 50, 100, 400])
MS = st.sampled_from([0.1, 0.3, 1.0, 4.0])
LAWS = st.sampled_from([("constant", 1.0)] * 3 + [("exponential", 1.0), ("lognormal", 1.5), ("hyperexponential", 2.0)])
DURATION = st.builds(lambda mean, law: {"mean_us": mean, "law": law[0], "cv": law[1]}, US, LAWS)


def steps(callees: str, depth: int = 2) -> st.SearchStrategy[list[Json]]:
    """What an endpoint does; it calls only services behind it."""
    kinds: list[st.SearchStrategy[Json]] = [
        DURATION.map(lambda d: {"compute": d}),
        DURATION.map(lambda d: {"wait": d}),
    ]
    if callees:
        call = some(
            service=st.sampled_from(callees),
            times=sometimes(st.integers(1, 2)),
            probability=sometimes(st.sampled_from([0.3, 0.7])),
            optional=sometimes(st.booleans()),
            protocol=sometimes(st.sampled_from(["http1", "http2", "grpc", "tcp"])),
            requests_per_connection=sometimes(st.sampled_from([1, 3])),
        ).map(lambda c: {"call": c})
        kinds.append(call)
        if depth:
            kinds.append(
                st.lists(steps(callees, depth - 1).filter(bool), min_size=1, max_size=3).map(lambda b: {"parallel": b})
            )
    return st.lists(st.one_of(kinds), max_size=3)


@st.composite
def services(draw: st.DrawFn) -> list[Json]:
    count = draw(st.integers(1, 4))
    made = []
    for number in range(count):
        model = draw(st.sampled_from(["async", "thread-per-request"]))
        concurrency = some(
            model=st.just(model), threads=st.sampled_from([1, 2, 5, 1000]), queue=sometimes(st.integers(0, 3))
        )
        made.append(
            service(
                NAMES[number],
                draw(steps(NAMES[number + 1 : count])),
                replicas=draw(st.integers(1, 4)),
                concurrency=draw(concurrency),
                **draw(some(cpu_limit_millicores=sometimes(st.sampled_from([100, 400, 900])))),
            )
        )
    return made


@st.composite
def planes(draw: st.DrawFn) -> DataPlane:
    kind = draw(st.sampled_from(["none", "pod", "node", "waypoint", "service-account", "library", "ambient"]))
    proxy = {
        "name": "box", "software": "box", "layer": draw(st.sampled_from(["L7", "L7", "L4"])),
        "workers": draw(st.integers(1, 3)), "telemetry": draw(st.booleans()),
        "terminates_mtls": draw(st.booleans()), "capture": "in-process" if kind == "library" else "explicit",
        "placed": kind, "ends": draw(st.sampled_from([["source", "destination"], ["source"], ["destination"]])),
    }  # fmt: skip
    if kind != "library":
        proxy["sends"] = draw(st.sampled_from(["at-once", "after-turn"]))
    if kind == "pod" and draw(st.booleans()):
        proxy["limits"] = {"cpu_millicores": draw(st.sampled_from([100, 300])), "memory_mib": 64}
    proxies = [] if kind == "none" else [proxy]
    if kind in ("waypoint", "ambient"):
        proxy |= {"placed": "waypoint", "layer": "L7", "replicas": draw(st.integers(1, 3))}
        del proxy["ends"]
    if kind == "ambient":
        tunnel = {"name": "tunnel", "software": "box", "layer": "L4", "placed": "node", "workers": 2, "capture": "explicit",
                  "ends": ["source", "destination"]}  # fmt: skip
        proxies.insert(0, tunnel)
    return DataPlane.model_validate(
        {"schema": "meshsim/dataplane/1", "name": "p", "title": "t", "summary": "s", "proxies": proxies}
    )


LOADS = st.one_of(
    some(arrivals=st.sampled_from(["poisson", "constant"]), burst=st.sampled_from([1, 1, 3, 10])),
    st.just({"mmpp": [{"rps": 200.0, "mean_s": 0.02}, {"rps": 4000.0, "mean_s": 0.01}]}),
    st.just({"diurnal": {"period_s": 0.05, "swing": 0.9}}),
    st.just({"flash_crowd": {"at_s": 0.01, "times": 5, "hold_s": 0.02, "decay_s": 0.02}}),
    st.just({"rates": [{"at_s": 0.01, "rps": 3000}, {"at_s": 0.03, "rps": 0}, {"at_s": 0.05, "rps": 1000}]}),
    some(
        closed=some(
            clients=st.sampled_from([1, 3, 20]),
            think_ms=st.sampled_from([0.01, 1.0]),
            think=st.sampled_from(["exponential", "constant"]),
        )
    ),
)
RESILIENCE = some(
    at=st.sampled_from(["auto", "application"]),
    timeout_ms=st.sampled_from([0.5, 2.0, 10.0]),
    given_up=st.sampled_from(["finish", "reset"]),
    retries=sometimes(
        some(
            max=st.integers(1, 3),
            per_try_timeout_ms=sometimes(MS),
            budget=sometimes(st.just({"share": 0.2, "min_concurrency": 1})),
            backoff=st.builds(
                lambda base, jitter: {"base_ms": base, "max_ms": 4.0, "jitter": jitter}, MS,
                st.sampled_from(["full", "none"]),
            ),
        )
    ),
    hedging=sometimes(some(after_ms=MS, max=st.integers(1, 2))),
    circuit_breaker=sometimes(
        some(
            max_requests=st.integers(1, 20),
            max_connections=sometimes(st.integers(1, 5)),
            max_pending=st.integers(0, 5),
            max_retries=sometimes(st.integers(0, 3)),
        )
    ),
    outlier_ejection=sometimes(
        some(
            consecutive_failures=st.integers(1, 3),
            base_ejection_ms=MS,
            max_ejection_ms=st.just(8.0),
            max_ejected_share=st.sampled_from([0.3, 0.6, 1.0]),
        )
    ),
)  # fmt: skip
BALANCERS = st.sampled_from(["random", "round-robin", "least-request", "random-of-two", "ring-hash", "locality"])


def faults(names: list[str]) -> st.SearchStrategy[Json]:
    at = {"at_s": st.sampled_from([0.0, 0.01, 0.03]), "for_s": st.sampled_from([0.005, 0.02])}
    return st.one_of(
        some(kind=st.just("pod-crash"), service=st.sampled_from(names), **at),
        some(kind=st.just("slow-pod"), service=st.sampled_from(names), factor=st.sampled_from([2, 7.5]), **at),
        some(kind=st.just("errors"), service=st.sampled_from(names), share=st.sampled_from([0.3, 1.0]), **at),
    )


@st.composite
def scenarios(draw: st.DrawFn) -> tuple[Json, list[Json], DataPlane]:
    made = draw(services())
    names = [each["name"] for each in made]
    rules = {
        "resilience": draw(st.lists(RESILIENCE, max_size=1)),
        "balancing": draw(st.lists(some(policy=BALANCERS, hash_keys=st.just(7)), max_size=1)),
        "connections": draw(
            st.lists(
                some(max=st.integers(1, 4), streams=st.sampled_from([1, 3]), max_pending=sometimes(st.integers(0, 3))),
                max_size=1,
            )
        ),
        "rate_limits": draw(
            st.lists(some(to=st.sampled_from(names), rps=st.just(500), burst=st.integers(1, 3)), max_size=1)
        ),
        "faults": draw(st.lists(faults(names), max_size=2)),
    }
    load = draw(LOADS)
    if draw(st.booleans()):
        for what in ("resilience", "balancing", "connections"):  # from the client outside, too
            rules[what] += [{**rule, "from": "client"} for rule in rules[what]]
    if draw(st.integers(0, 3)) == 0:
        scaled = draw(st.sampled_from(made))
        rules["autoscaling"] = [
            {"service": scaled["name"], "max": scaled["replicas"] + 2, "target_cpu": 0.5, "interval_s": 0.01,
             "metrics_delay_s": 0.01, "scale_down_stabilization_s": 0.02, "start_up": [{"name": "container", "ms": 7}]}
        ]  # fmt: skip
    return {**rules, "load": {**load, "overload": "simulate"}}, made, draw(planes())


BOOK = costs(
    kernel__tcp__send={"cpu_ns": 10_000},
    kernel__tcp__receive={"cpu_ns": 10_000, "wait_ns": 10_000},
    kernel__wire__same_node={"wait_ns": 10_000},
    kernel__wire__cross_node={"wait_ns": 50_000, "law": "exponential"},
    kernel__wire__cross_zone={"wait_ns": 100_000},
    kernel__tcp__connection={"cpu_ns": 10_000, "wait_ns": 10_000},
    proxy__box__connection={"cpu_ns": 20_000},
    proxy__box__tls__handshake={"cpu_ns": 50_000},
    kernel__wakeup={"cpu_ns": 10_000, "wait_ns": 10_000},
    kernel__cold={"cpu_ns": 40_000, "law": "cold", "cv": 0.5},
    proxy__box__cold={"cpu_ns": 80_000, "law": "cold", "cv": 2.0},
    proxy__box__wakeup={"cpu_ns": 10_000, "wait_ns": 10_000},
    proxy__box__turn={"cpu_ns": 20_000, "law": "exponential"},
    proxy__box__tcp__turn={"cpu_ns": 10_000, "wait_ns": 10_000},
    proxy__box__http1__request={"cpu_ns": 20_000, "law": "lognormal", "cv": 1.5},
    proxy__box__http1__response={"cpu_ns": 20_000},
    proxy__box__http2__request={"cpu_ns": 20_000},
    proxy__box__grpc__response={"cpu_ns": 20_000},
    proxy__box__tcp__message={"cpu_ns": 10_000},
    proxy__box__tls__message={"cpu_ns": 10_000},
    proxy__box__telemetry={"cpu_ns": 30_000},
)

# A book that has wake-ups of threads and turns of event loops in what it prices.
COARSE = Costs([book.model_copy(update={"entries": [e for e in book.entries if not e.operation.endswith((".turn", ".cold", "kernel.wakeup"))]}) for book in BOOK.books])  # fmt: skip


def lowered(draw: st.DataObject) -> Plan | None:
    """A random plan; None if the scenario was refused."""
    more, made, plane = draw.draw(scenarios())
    load = more.pop("load")
    shape = {
        "cores": draw.draw(st.integers(1, 3)),
        "nodes": draw.draw(st.integers(1, 3)),
        "slice_us": draw.draw(st.sampled_from([0.0, 0.0, 20.0])),
        "policy": draw.draw(st.sampled_from(["L4", "L7"])),
    }
    note(f"{made}\n{plane}\n{load}\n{more}\n{shape}")
    if draw.draw(st.integers(0, 4)) == 0:
        zones = draw.draw(st.integers(1, 3))
        link = {"cross_zone_gbps": 0.2} if zones > 1 and draw.draw(st.booleans()) else {}
        more["cluster"] = {"zones": zones, **draw.draw(some(nic_gbps=sometimes(st.just(0.5)))), **link}
    cluster = more.pop("cluster", {})
    try:
        return plan(
            application(*made), 1500, dataplane=plane, book=draw.draw(st.sampled_from([BOOK, BOOK, COARSE])), load=load,
            **shape, **({"cluster": {"machine": "box", "cpu_slice_us": shape["slice_us"], "nodes": shape["nodes"], **cluster}} if cluster else {}),
            **more,
        )  # fmt: skip
    except MeshsimError as refused:
        note(str(refused))
        return None


def check(draw: st.DataObject) -> None:
    made = lowered(draw)
    if made is not None:
        seed, sample = draw.draw(st.integers(0, 1 << 40)), draw.draw(st.sampled_from([0, 20, 1000]))
        run_on_both(made, Run(requests=100, warmup=draw.draw(st.sampled_from([0.0, 0.2])), seed=seed, sample=sample))


RELAXED = {
    "deadline": None,
    "phases": [Phase.generate, Phase.explicit],
    "suppress_health_check": list(HealthCheck),
    "database": None,
}


@settings(max_examples=1500, derandomize=True, **RELAXED)
@given(st.data())
def test_random_scenarios_are_the_same_to_the_nanosecond(data: st.DataObject) -> None:
    check(data)


@pytest.mark.statistical
@settings(max_examples=30_000, **RELAXED)
@given(st.data())
def test_many_more_random_scenarios(data: st.DataObject) -> None:
    check(data)


def test_the_comparison_sees_one_nanosecond() -> None:
    made = plan(application(service("a", [{"compute": {"mean_us": 100}}])), 1000)
    longer = replace(made, mean_ns=made.mean_ns + (made.op == 0))
    settings_ = Run(requests=100)
    one, other = reference.run(made, settings_), compiled.run(longer, settings_)
    assert np.abs(longer.mean_ns - made.mean_ns).max() == 1
    assert "latency" in differences(one, other)
    assert not differences(one, compiled.run(made, settings_))
