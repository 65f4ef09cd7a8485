"""Tiny scenarios whose every nanosecond is worked out by hand, compared whole."""

from __future__ import annotations

from typing import Any

import pytest
from worlds import application, call, compute, costs, plan, service, simulate

from meshsim.engines import reference
from meshsim.plan.plan import Op, Plan
from meshsim.results.run import RequestRecord, RunResult
from meshsim.scenario.dataplane import DataPlane
from meshsim.scenario.scenario import Run

Line = tuple[int, str, str, int, int, int]
"""(frame, instruction, operation, start, end, running), times in us from the arrival of the request."""


def log(result: RunResult, request: int) -> list[Line]:
    """Everything that took time in one request, in order of its end."""
    record = next(r for r in result.records if r.request == request)
    zero = record.spans[0].start_ns
    lines = [
        (
            span.number,
            instruction(result.plan, pc),
            operation(result.plan, pc),
            start - zero,
            end - zero,
            running,
        )
        for span in record.spans
        for pc, start, end, running in span.segments
    ]
    return sorted(
        ((f, op, what, a // 1000, b // 1000, r // 1000) for f, op, what, a, b, r in lines),
        key=lambda x: (x[4], x[0]),
    )


def instruction(plan_: Plan, pc: int) -> str:
    op = Op(int(plan_.op[pc]))
    return "WORK" if op == Op.MORE else op.name


def operation(plan_: Plan, pc: int) -> str:
    tag = int(plan_.tag[pc])
    return plan_.tags[tag].operation if tag >= 0 else ""


def run(plan_: Plan, requests: int = 100) -> RunResult:
    return simulate(plan_, requests, warmup=0.0, sample=1_000_000)


def constant(mean_us: float) -> dict[str, Any]:
    return compute(mean_us, "constant")


def sidecar(**choices: Any) -> DataPlane:
    proxy = {"name": "box", "software": "box", "placed": "pod", "ends": ["source", "destination"], "layer": "L7",
             "workers": 1, "telemetry": False, "terminates_mtls": False, "capture": "explicit", **choices}  # fmt: skip
    return DataPlane.model_validate(
        {"schema": "meshsim/dataplane/1", "name": "boxed", "title": "t", "summary": "s", "proxies": [proxy]}
    )


def test_branches_on_one_core_run_one_after_the_other_and_the_join_waits_for_both() -> None:
    app = application(
        service("a", [constant(10), {"parallel": [call("b"), call("c")]}, constant(5)]),
        service("b", [constant(100)]),
        service("c", [constant(30)]),
    )
    result = run(plan(app, rps=1000, arrivals="constant"))
    assert log(result, 0) == [
        (0, "WORK", "application.compute", 0, 10, 10),
        (1, "WORK", "application.compute", 10, 110, 100),
        (0, "JOIN", "", 10, 140, 0),
        (2, "WORK", "application.compute", 10, 140, 30),
        (0, "WORK", "application.compute", 140, 145, 5),
    ]


def test_turns_on_a_core_alternate_when_two_want_it() -> None:
    app = application(
        service("a", [{"parallel": [call("b"), call("c")]}]),
        service("b", [constant(100)]),
        service("c", [constant(50)]),
    )
    result = run(plan(app, rps=1000, arrivals="constant", slice_us=40))
    # b 0-40, c 40-80, b 80-120, c 120-130 (its last 10), b 130-150 (its last 20)
    assert [(f, a, b, r) for f, op, _, a, b, r in log(result, 0) if op == "WORK"] == [
        (2, 0, 130, 50),
        (1, 0, 150, 100),
    ]


def test_a_request_through_two_sidecars_pays_each_operation_where_it_should() -> None:
    book = costs(
        kernel__tcp__send={"cpu_ns": 1_000},
        kernel__tcp__receive={"cpu_ns": 2_000, "wait_ns": 3_000},
        kernel__wire__cross_node={"wait_ns": 50_000},
        proxy__box__wakeup={"cpu_ns": 4_000, "wait_ns": 5_000},
        proxy__box__http1__request={"cpu_ns": 20_000, "cpu_ns_per_byte": 10},
        proxy__box__http1__response={"cpu_ns": 10_000},
        proxy__box__telemetry={"cpu_ns": 7_000},
    )
    app = application(
        service("a", [call("b", request_bytes=100, response_bytes=0)]),
        service("b", [constant(200)]),
        entries=[{"service": "a", "request_bytes": 0, "response_bytes": 0}],
    )
    result = run(
        plan(app, rps=100, cores=8, nodes=2, dataplane=sidecar(telemetry=True), book=book, arrivals="constant")
    )
    at = 50 + 5 + 4 + 20 + 3 + 2  # wire, wake, pass, receive: the request is at a
    there = at + 1 + (5 + 4 + 21) + 50 + (5 + 4 + 21) + (3 + 2)  # send, a's box, wire, b's box, receive
    back = there + 200 + 1 + (5 + 4 + 10) + 50 + (5 + 4 + 10) + (3 + 2)
    names = {0: "a", 1: "b"}
    calls = [line for line in log(result, 0) if line[0] in names]
    assert calls[0] == (0, "WAIT", "kernel.wire.cross-node", 0, 50, 0)
    assert [line for line in calls if line[0] == 1] == [
        (1, "WORK", "kernel.tcp.send", at, at + 1, 1),
        (1, "WAIT", "proxy.box.wakeup", at + 1, at + 6, 0),
        (1, "WORK", "proxy.box.wakeup", at + 6, at + 10, 4),
        (1, "WORK", "proxy.box.http1.request", at + 10, at + 31, 21),
        (1, "WAIT", "kernel.wire.cross-node", at + 31, at + 81, 0),
        (1, "WAIT", "proxy.box.wakeup", at + 81, at + 86, 0),
        (1, "WORK", "proxy.box.wakeup", at + 86, at + 90, 4),
        (1, "WORK", "proxy.box.http1.request", at + 90, at + 111, 21),
        (1, "WAIT", "kernel.tcp.receive", at + 111, at + 114, 0),
        (1, "WORK", "kernel.tcp.receive", at + 114, at + 116, 2),
        (1, "WORK", "application.compute", there, there + 200, 200),
        (1, "WORK", "kernel.tcp.send", there + 200, there + 201, 1),
        (1, "WAIT", "proxy.box.wakeup", there + 201, there + 206, 0),
        (1, "WORK", "proxy.box.wakeup", there + 206, there + 210, 4),
        (1, "WORK", "proxy.box.http1.response", there + 210, there + 220, 10),
        (1, "WAIT", "kernel.wire.cross-node", there + 220, there + 270, 0),
        (1, "WAIT", "proxy.box.wakeup", there + 270, there + 275, 0),
        (1, "WORK", "proxy.box.wakeup", there + 275, there + 279, 4),
        (1, "WORK", "proxy.box.http1.response", there + 279, there + 289, 10),
        (1, "WAIT", "kernel.tcp.receive", there + 289, there + 292, 0),
        (1, "WORK", "kernel.tcp.receive", there + 292, there + 294, 2),
    ]
    # a's box still records metrics when the answer to the client comes by: that answer waits for the worker.
    metrics = 7
    total = back + 1 + (metrics - 3 - 2 - 1) + 10 + 50
    assert latencies(result)[0] == total * 1000
    assert sum(line[5] for line in log(result, 0) if line[2] == "proxy.box.telemetry") == 3 * metrics


def latencies(result: RunResult) -> list[int]:
    def latency(record: RequestRecord) -> int:
        return record.spans[0].end_ns - record.spans[0].start_ns

    return [latency(record) for record in sorted(result.records, key=lambda r: r.request)]


def test_a_blocking_thread_is_held_while_the_upstream_answers() -> None:
    threads = {"concurrency": {"model": "thread-per-request", "threads": 1}}
    steps = [constant(10), call("b")]
    waits = {"wait": {"mean_us": 700, "law": "constant"}}
    held = application(service("a", steps, **threads), service("b", [waits]))
    free = application(service("a", steps), service("b", [waits]))
    arrivals = {"rps": 1390.0, "arrivals": "constant", "cores": 4}
    # Every 719.4 us another request; the only thread is held for 710 us.
    assert set(latencies(run(plan(held, **arrivals)))) == {710_000}
    assert set(latencies(run(plan(free, **arrivals)))) == {710_000}
    bursts = application(
        service("front", [{"parallel": [call("a"), call("a")]}]),
        service("a", steps, **threads),
        service("b", [waits]),
    )
    assert set(latencies(run(plan(bursts, 600, arrivals="constant", cores=4)))) == {1_420_000}


def test_a_worker_that_is_busy_is_not_woken_again() -> None:
    book = costs(proxy__box__wakeup={"cpu_ns": 50_000}, proxy__box__http1__request={"cpu_ns": 100_000})
    app = application(service("front", [{"parallel": [call("a"), call("a")]}]), service("a", []))
    plan_ = plan(app, 500, cores=8, dataplane=sidecar(ends=["destination"]), book=book, arrivals="constant")
    lines = [line for line in log(run(plan_), 3) if line[0] in (1, 2)]
    # Each call has its own connection but a's box has one worker: the second call finds it awake.
    assert [(f, what, a, b) for f, op, what, a, b, _ in lines if op == "WORK"][:3] == [
        (1, "proxy.box.wakeup", 150, 200),
        (1, "proxy.box.http1.request", 200, 300),
        (2, "proxy.box.http1.request", 300, 400),
    ]
    assert ("ACQUIRE", 150, 300) in [(op, a, b) for f, op, _, a, b, _ in lines if f == 2]


def test_the_longer_a_worker_slept_the_more_it_works() -> None:
    book = costs(
        proxy__box__cold={"cpu_ns": 90_000, "law": "cold", "cv": 2.0},
        proxy__box__http1__request={"cpu_ns": 100_000},
        proxy__box__http1__response={"cpu_ns": 40_000},
    )
    app = application(service("a", [{"wait": {"mean_us": 860, "law": "constant"}}]))
    plan_ = plan(app, 250, cores=8, dataplane=sidecar(ends=["destination"]), book=book, arrivals="constant")
    # A request each 4 ms, whose answer is gone after 1080 us: 2920 us of sleep are 90 x 2920 / 4920 = 53 us of work. And
    # the worker sleeps while the endpoint waits: 90 x 860 / 2860 = 27 us. To the nanosecond below.
    assert [line[2:] for line in log(run(plan_), 3)] == [
        ("proxy.box.cold", 0, 53, 53),
        ("proxy.box.http1.request", 53, 153, 100),
        ("application.wait", 153, 1013, 0),
        ("proxy.box.cold", 1013, 1040, 27),
        ("proxy.box.http1.response", 1040, 1080, 40),
    ]
    first, second = (ns for what, ns in exact_work(plan_, 3) if what == "proxy.box.cold")
    slept = 4_000_000 - (first + 100_000 + 860_000 + second + 40_000)
    assert (first, second) == (90_000 * slept // (slept + 2_000_000), 90_000 * 860_000 // 2_860_000)


def exact_work(plan_: Plan, request: int) -> list[tuple[str, int]]:
    """(operation, ns) of each piece of work of a request."""
    record = next(r for r in run(plan_).records if r.request == request)
    return [(operation(plan_, pc), ns) for span in record.spans for pc, _, _, ns in span.segments if ns]


def test_waking_a_thread_delays_by_its_wait_alone_and_its_work_goes_on_beside() -> None:
    book = costs(
        kernel__tcp__receive={"cpu_ns": 2_000, "wait_ns": 7_000},
        kernel__wakeup={"cpu_ns": 30_000, "wait_ns": 7_000},
        kernel__cold={"cpu_ns": 50_000, "law": "cold", "cv": 1.0},
    )
    app = application(service("a", [call("b")]), service("b", [constant(20)]))
    plan_ = plan(app, 1000, cores=4, book=book, arrivals="constant")
    # A request each millisecond. Each thread is woken 7 us after its message was read, and works 24 us more for having
    # slept most of it: a's when the request comes, b's for the call, and a's again for the answer, after 63 us of sleep:
    # 50 x 63 / 1063 = 2 us. The waiting is the wake-up's; to read a message is not waited for again.
    assert log(run(plan_), 3) == [
        (0, "WORK", "kernel.tcp.receive", 0, 2, 2),
        (0, "WAIT", "kernel.wakeup", 2, 9, 0),
        (0, "WORK", "kernel.cold", 9, 32, 23),
        (1, "WORK", "kernel.wakeup", 2, 32, 30),
        (2, "WORK", "kernel.tcp.receive", 32, 34, 2),
        (2, "WAIT", "kernel.wakeup", 34, 41, 0),
        (3, "WORK", "kernel.wakeup", 34, 64, 30),
        (2, "WORK", "kernel.cold", 41, 66, 24),
        (2, "WORK", "application.compute", 66, 86, 20),
        (0, "JOIN", "", 32, 88, 0),
        (2, "WORK", "kernel.tcp.receive", 86, 88, 2),
        (0, "WAIT", "kernel.wakeup", 88, 95, 0),
        (0, "WORK", "kernel.cold", 95, 97, 2),
        (4, "WORK", "kernel.wakeup", 88, 118, 30),
    ]
    # Where no book prices the wake-up of a thread, it is in the waiting of what it reads.
    plain = plan(
        app, 1000, cores=4, book=costs(kernel__tcp__receive={"cpu_ns": 2_000, "wait_ns": 7_000}), arrivals="constant"
    )
    assert [line[2] for line in log(run(plain), 3) if line[1] == "WAIT"] == ["kernel.tcp.receive"] * 3


def test_a_blocking_thread_works_off_its_cold_caches_without_leaving_the_core() -> None:
    book = costs(kernel__wakeup={"wait_ns": 7_000}, kernel__cold={"cpu_ns": 50_000, "law": "cold", "cv": 1.0})
    latency = [
        latencies(run(plan(application(service("a", [constant(20)], concurrency=model)), 1000, book=book)))
        for model in ({"model": "async", "threads": 9}, {"model": "thread-per-request", "threads": 9})
    ]
    assert latency[0] == latency[1]


def test_a_thread_that_is_not_woken_has_no_work_beside() -> None:
    book = costs(kernel__wakeup={"cpu_ns": 30_000, "wait_ns": 7_000})
    app = application(
        service("front", [{"parallel": [call("a"), call("a")]}]),
        service("a", [constant(100)], concurrency={"model": "async", "threads": 1}),
    )
    assert log(run(plan(app, 1000, cores=4, book=book, arrivals="constant")), 3) == [
        (0, "WAIT", "kernel.wakeup", 0, 7, 0),  # front's thread, for the request
        (2, "WAIT", "kernel.wakeup", 7, 14, 0),  # a's, for the first call
        (1, "WORK", "kernel.wakeup", 0, 30, 30),
        (4, "WORK", "kernel.wakeup", 7, 37, 30),
        (2, "WORK", "application.compute", 14, 114, 100),
        (3, "ACQUIRE", "application.threads", 7, 114, 0),  # the second finds a's thread awake
        (0, "JOIN", "", 7, 214, 0),
        (3, "WORK", "application.compute", 114, 214, 100),
        (0, "WAIT", "kernel.wakeup", 214, 221, 0),  # front's, for the answers
        (5, "WORK", "kernel.wakeup", 214, 244, 30),
    ]


TURNS = costs(
    proxy__box__wakeup={"cpu_ns": 10_000},
    proxy__box__turn={"cpu_ns": 20_000},
    proxy__box__http1__request={"cpu_ns": 100_000},
    proxy__box__http1__response={"cpu_ns": 40_000},
    proxy__box__telemetry={"cpu_ns": 7_000},
)


def at_the_called_box(calls: int, **choices: Any) -> list[Line]:
    """What a's box does for calls that are made at once, and who waits for it; front's own box takes 130 us before."""
    steps = [{"parallel": [call("a")] * calls}]
    app = application(service("front", steps), service("a", []))
    plan_ = plan(
        app, 200, cores=20, dataplane=sidecar(ends=["destination"], **choices), book=TURNS, arrivals="constant"
    )
    return [line for line in log(run(plan_), 3) if line[0] and line[2] != ""]


def test_a_turn_of_an_event_loop_serves_all_that_was_ready_when_it_began() -> None:
    lines = at_the_called_box(3)
    assert [(f, what.removeprefix("proxy.box."), a, b) for f, op, what, a, b, _ in lines if op == "WORK"] == [
        (1, "wakeup", 130, 140),  # it slept: a turn for the first alone
        (1, "turn", 140, 160),
        (1, "http1.request", 160, 260),
        (2, "turn", 260, 280),  # both others were ready: a turn for them
        (2, "http1.request", 280, 380),
        (3, "http1.request", 380, 480),
        (1, "turn", 480, 500),  # the answers of 1 and 2 came meanwhile; that of 3 comes now, and is not ready yet
        (1, "http1.response", 500, 540),
        (2, "http1.response", 540, 580),
        (3, "turn", 580, 600),
        (3, "http1.response", 600, 640),
    ]
    assert [(f, a, b) for f, op, _, a, b, _ in lines if op == "ACQUIRE"] == [
        (2, 130, 260), (3, 130, 380), (1, 260, 480), (2, 380, 540), (3, 480, 580),
    ]  # fmt: skip


def test_two_workers_share_those_who_are_ready() -> None:
    begun = {f: a for f, _, what, a, _, _ in at_the_called_box(6, workers=2) if what == "proxy.box.turn" and a < 300}
    # 1 and 2 wake a worker each. When those are done, 3, 4, 5, 6 are in line: a turn for 3 and 5, one for 4 and 6.
    assert begun == {1: 140, 2: 140, 3: 260, 4: 260}


def test_what_is_sent_after_a_turn_leaves_together() -> None:
    lines = at_the_called_box(3, sends="after-turn")
    work = [(f, what.removeprefix("proxy.box."), a, b) for f, op, what, a, b, _ in lines if op == "WORK"]
    assert work[2:] == [
        (1, "http1.request", 160, 260),  # a turn of its own: it leaves at once
        (2, "turn", 260, 280),
        (2, "http1.request", 280, 380),  # is done, and stays until 3 is done too
        (3, "http1.request", 380, 480),
        (1, "turn", 480, 500),  # only the answer of 1 is ready: 2 and 3 leave now
        (1, "http1.response", 500, 540),
        (2, "turn", 540, 560),
        (2, "http1.response", 560, 600),
        (3, "http1.response", 600, 640),
    ]
    assert [(f, what, a, b) for f, op, what, a, b, _ in lines if op == "RELEASE"] == [
        (2, "proxy.box.turn-end", 380, 480), (2, "proxy.box.turn-end", 600, 640),
    ]  # fmt: skip


def test_very_many_may_leave_at_the_end_of_one_turn() -> None:
    """More of them than one step of the compiled engine records otherwise: each of them has waited."""
    book = costs(proxy__box__http1__request={"cpu_ns": 1_000})
    box = sidecar(ends=["destination"], sends="after-turn")
    plan_ = plan(application(service("a", [])), 800, dataplane=box, book=book, arrivals="constant", load={"burst": 800})
    result = run(plan_, 1600)
    # The first has a turn of its own, 1 us; its answer stands in line behind all others, which have the next turn and
    # leave together, and with them it goes. Answers are free.
    assert latencies(result) == [800_000] * 1600


def test_an_answer_that_is_sent_after_the_turn_is_sent_after_its_telemetry() -> None:
    lines = at_the_called_box(3, telemetry=True, sends="after-turn")
    work = [(f, what.removeprefix("proxy.box."), a, b) for f, op, what, a, b, _ in lines if op == "WORK" and f == 1]
    assert work[3:] == [(1, "turn", 480, 500), (1, "http1.response", 500, 540), (1, "telemetry", 540, 547)]


@pytest.mark.parametrize(
    ("slice_us", "begun"),
    [(1000, (100, 200, 300)), (0, (100, 300, 200)), (150, (100, 300, 250)), (100, (100, 300, 200))],
)
def test_a_thread_keeps_its_core_for_the_next_in_its_line_while_its_slice_lasts(
    slice_us: float, begun: tuple[int, ...]
) -> None:
    """Two messages for a's box and one for b's, on one core; front's own box takes 100 us before."""
    app = application(service("front", [{"parallel": [call("a"), call("a"), call("b")]}]), service("a", []),
                      service("b", []))  # fmt: skip
    book = costs(proxy__box__http1__request={"cpu_ns": 100_000})
    plan_ = plan(app, 200, dataplane=sidecar(ends=["destination"]), book=book, arrivals="constant", slice_us=slice_us)
    ends = {f: b for f, op, what, _, b, _ in log(run(plan_), 3) if op == "WORK" and f}
    assert tuple(ends[f] - 100 for f in (1, 2, 3)) == begun


def test_work_that_nobody_waits_for_belongs_to_the_turn() -> None:
    lines = at_the_called_box(3, telemetry=True)
    work = [(what.removeprefix("proxy.box."), a, b) for _, op, what, a, b, _ in lines if op == "WORK" and a >= 480]
    assert work[:-1] == [  # the last is front's own
        ("turn", 480, 500), ("http1.response", 500, 540), ("telemetry", 540, 547), ("http1.response", 547, 587),
        ("telemetry", 587, 594), ("turn", 594, 614), ("http1.response", 614, 654), ("telemetry", 654, 661),
    ]  # fmt: skip


def test_the_same_seed_gives_the_same_run_and_another_does_not() -> None:
    app = application(service("a", [compute(100), call("b", probability=0.5)]), service("b", [compute(50)], replicas=3))

    def trace(seed: int) -> list[Any]:
        result = simulate(plan(app, 2000), 300, seed=seed, sample=1_000_000)
        return [(r.request, [(s.number, s.segments) for s in r.spans]) for r in result.records]

    runs = [trace(seed=4) for _ in range(3)]
    assert runs[0] == runs[1] == runs[2]
    assert trace(seed=5) != runs[0]


def test_another_data_plane_sees_the_same_arrivals_branches_and_service_times() -> None:
    app = application(service("a", [compute(100), call("b", probability=0.5)]), service("b", [compute(50)]))
    bare = simulate(plan(app, 200, cores=8), 300, sample=1_000_000)
    boxed = simulate(plan(app, 200, cores=8, dataplane=sidecar(), book=costs()), 300, sample=1_000_000)

    def drawn(result: RunResult) -> list[Any]:
        return [
            (r.request, r.spans[0].start_ns, [seg[3] for s in r.spans for seg in s.segments if seg[3]])
            for r in sorted(result.records, key=lambda r: r.request)
        ]

    assert drawn(bare) == drawn(boxed)


def test_a_run_can_be_stopped_during_its_warm_up() -> None:
    app = application(service("a", [compute(100)]))
    asked = []

    def stop() -> bool:
        asked.append(True)
        return True

    stopped = reference.run(plan(app, 100), Run(requests=100, warmup=10.0), should_stop=stop)
    assert stopped.cancelled
    assert len(asked) == 1
    assert stopped.measured == 0


def test_cancelling_keeps_what_was_answered() -> None:
    seen: list[int] = []
    app = application(service("a", [compute(100)]))
    result = reference.run(
        plan(app, 1000),
        Run(requests=5000, warmup=0.0),
        on_progress=lambda done, total: seen.append(done),
        should_stop=lambda: len(seen) >= 3,
    )
    assert result.cancelled
    assert seen == [100, 200, 300]
    assert result.measured == 300
    assert result.sent == result.answered + result.in_flight


@pytest.mark.parametrize("arrivals", ["poisson", "constant"])
def test_the_rate_is_the_rate_asked_for(arrivals: str) -> None:
    app = application(service("a", [compute(1)]))
    result = simulate(plan(app, 30_000, arrivals=arrivals), 20_000)
    assert result.measured / (result.window_ns / 1e9) == pytest.approx(
        30_000, rel=0.02 if arrivals == "poisson" else 1e-4
    )
