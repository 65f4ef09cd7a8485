"""The reference engine: the whole semantics of time, on SimPy's event list.

Time is an integer count of nanoseconds. At one instant, things happen in one total order:

1. what was set in motion at this instant goes on in the order in which it was set in motion: a frame that was
   given a token, a frame that was started, a parent whose last child ended (``ready``, first in first out);
2. then timed events, by (time, kind, request, frame): the arrival of a request before work or waiting that ends.
   A frame has at most one timed event, so no two events are equal.

A frame runs until it must wait; whoever gets a core or a token from it is served before it goes on itself.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import simpy

from meshsim.engines.recorder import Recorder
from meshsim.engines.station import Station
from meshsim.plan.draws import ARRIVAL_GAP, ENTRY, REPLICA, WAYPOINT, child_key, draw
from meshsim.plan.laws import draw_ns
from meshsim.plan.plan import CPU_SLOT, OUTSIDE, Op, Place, Plan, When
from meshsim.results.run import RunResult
from meshsim.scenario.scenario import Run

# Plain integers: the loop below compares them a million times a second.
WORK, WAIT, ACQUIRE, RELEASE, START, SPAWN, JOIN, DETACH, BODY, RETURN, END, MORE = (int(op) for op in Op)
ALWAYS, SAME_NODE, OTHER_NODE, WOKEN = (int(when) for when in When)
DESTINATION = int(Place.DESTINATION)

ARRIVAL, FRAME = 0, 1
"""Kinds of timed events, in the order in which they happen at one instant."""


class Timed(simpy.Event):
    """An event at a known time, with its place in the total order and whom it is about."""

    def __init__(
        self, env: simpy.Environment, delay: int, order: int, callback: Callable[[Any], None], about: Any
    ) -> None:
        self.env = env
        self.callbacks = [callback]
        self.about = about
        self._ok = True
        self._value = None
        env.schedule(self, priority=order, delay=delay)  # type: ignore[arg-type]  # any integer orders


class Frame:
    """One running program: a call from its caller's send to its caller's receive, a branch, or detached work."""

    __slots__ = (
        "after", "asked", "back", "call", "children", "detached", "held_since", "joining", "key", "left", "number",
        "order", "parent", "parts", "pc", "pods", "request", "since", "span", "started", "woken",
    )  # fmt: skip

    def __init__(self, request: Request, parent: Frame | None, pc: int, key: int) -> None:
        self.request = request
        self.parent = parent
        self.pc = pc
        self.key = key
        self.number = request.frames
        request.frames += 1
        self.order = FRAME << 62 | request.number << 20 | self.number
        self.call = -1
        self.back = -1  # where BODY returns to
        self.pods = (OUTSIDE, OUTSIDE, OUTSIDE)  # by Place: source, destination, waypoint
        self.children = 0
        self.joining = self.detached = self.woken = False
        self.parts: list[tuple[int, int]] = []  # (instruction, ns) of a visit to a core
        self.asked = 0  # ns of all parts
        self.left = 0  # of them still to be done
        self.after = 0  # the instruction behind the last part
        self.since = 0  # when the current instruction began
        self.held_since = 0  # when it asked for the token that it holds
        self.started = 0
        self.span: Any = None


class Request:
    """An end-to-end request: its number, and how many frames it has started."""

    __slots__ = ("frames", "number")

    def __init__(self, number: int) -> None:
        self.number = number
        self.frames = 0


def run(
    plan: Plan,
    settings: Run,
    *,
    on_progress: Callable[[int, int], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> RunResult:
    """Simulate until every measured request is answered.

    ``on_progress(done, total)`` counts answered requests; ``should_stop()`` is asked at the same times, and True ends
    the run early with what is done (``RunResult.cancelled``). Requests keep arriving until the last measured one is
    answered, so that it meets the same traffic as the first.
    """
    return _Simulation(plan, settings, on_progress, should_stop).run()


class _Simulation:
    def __init__(
        self,
        plan: Plan,
        settings: Run,
        on_progress: Callable[[int, int], None] | None,
        should_stop: Callable[[], bool] | None,
    ) -> None:
        self.env = simpy.Environment(initial_time=0)
        self.now = 0
        self.plan = plan
        self.root_key = child_key(settings.seed, 0)
        self.ready: deque[Frame] = deque()
        self.recorder = Recorder(plan, settings, on_progress, should_stop)
        # Plain lists: indexing a numpy array costs more than the rest of an instruction.
        servers, slices = plan.station_servers.tolist(), plan.station_slice_ns.tolist()
        self.stations = [Station(*each) for each in zip(servers, slices, strict=True)]
        columns = (plan.op, plan.at, plan.other, plan.when, plan.slot, plan.target, plan.mean_ns, plan.law)
        self.program = list(zip(*(c.tolist() for c in (*columns, plan.purpose, plan.amount)), strict=True))
        self.laws: list[list[int]] = plan.laws.tolist()
        self.pod_station: list[list[int]] = plan.pod_station.tolist()
        self.call_program: list[int] = plan.call_program.tolist()
        self.call_service: list[int] = plan.call_service.tolist()
        self.call_body: list[int] = plan.call_body.tolist()
        self.service_pods = list(zip(plan.service_first_pod.tolist(), plan.service_pods.tolist(), strict=True))
        self.service_vias = list(zip(plan.service_first_via.tolist(), plan.service_vias.tolist(), strict=True))
        self.entry_threshold: list[int] = plan.entry_threshold.tolist()
        self.gap_clock = 0  # time of the next arrival, in 2**-gap_shift ns

    def run(self) -> RunResult:
        self.schedule_arrival(0)
        step, recorder = self.env.step, self.recorder
        while not recorder.finished:
            step()
            recorder.events += 1
        return recorder.result(self.now, self.stations)

    # Load -------------------------------------------------------------------------------------------------------

    def schedule_arrival(self, number: int) -> None:
        h = draw(child_key(self.root_key, number), ARRIVAL_GAP)
        plan = self.plan
        self.gap_clock += draw_ns(self.laws[plan.gap_law], plan.gap_mean, h) if plan.gap_law >= 0 else plan.gap_mean
        delay = (self.gap_clock >> plan.gap_shift) - self.now
        Timed(self.env, delay, ARRIVAL << 62 | number << 20, self.on_arrival, number)

    def on_arrival(self, event: Timed) -> None:
        self.now = int(self.env.now)
        number: int = event.about
        self.schedule_arrival(number + 1)
        request = Request(number)
        self.recorder.arrived(number, self.now)
        key = child_key(self.root_key, number)
        share = draw(key, ENTRY) >> 32
        call = next(entry for entry, bound in enumerate(self.entry_threshold) if share < bound)
        self.start_call(request, None, call, child_key(key, call))
        self.go_on()

    # Frames -----------------------------------------------------------------------------------------------------

    def start_call(self, request: Request, parent: Frame | None, call: int, key: int) -> None:
        """A child frame on the hop program of ``call``, to a replica of its choice."""
        frame = Frame(request, parent, self.call_program[call], key)
        frame.call = call
        service = self.call_service[call]
        first, count = self.service_pods[service]
        destination = first + ((draw(key, REPLICA) >> 32) * count >> 32)
        first, count = self.service_vias[service]
        via = first + ((draw(key, WAYPOINT) >> 32) * count >> 32) if first >= 0 else OUTSIDE
        frame.pods = (OUTSIDE if parent is None else parent.pods[DESTINATION], destination, via)
        self.start(frame)

    def start_beside(self, parent: Frame, pc: int, detached: bool) -> None:
        """A frame in the same pods: a branch that the parent will join, or detached work."""
        frame = Frame(parent.request, parent, pc, parent.key)
        frame.held_since = parent.held_since  # detached work gives back the token of its parent
        frame.pods = parent.pods
        frame.detached = detached
        self.start(frame)

    def start(self, frame: Frame) -> None:
        frame.started = self.now
        if frame.parent is not None and not frame.detached:
            frame.parent.children += 1
        self.recorder.started(frame, self.now)
        self.ready.append(frame)

    def go_on(self) -> None:
        """Run everything that this instant has set in motion."""
        ready = self.ready
        while ready:
            self.step(ready.popleft())

    def on_timed(self, event: Timed) -> None:
        """A wait is over, or a turn on a core."""
        self.now = int(self.env.now)
        frame: Frame = event.about
        if self.program[frame.pc][0] == WAIT:
            self.complete(frame)
            self.ready.append(frame)
        else:
            self.end_turn(frame)
        self.go_on()

    def complete(self, frame: Frame) -> None:
        """The instruction that made the frame wait off the CPU is done."""
        self.recorder.segment(frame, self.now)
        frame.pc += 1

    def step(self, frame: Frame) -> None:
        """Run a frame until it has to wait, or ends."""
        program, now = self.program, self.now
        while True:
            op, at, other, when, slot, target, mean_ns, law, purpose, amount = program[frame.pc]
            if when != ALWAYS and not self.holds(when, frame, at, other):
                frame.pc += 1
            elif op in (WORK, MORE):  # MORE alone: the WORK that it would have added to was skipped
                frame.since = now
                self.gather_work(frame)
                self.ask_for_core(frame, self.station(frame, at, CPU_SLOT))
                return
            elif op == WAIT:
                frame.since = now
                Timed(self.env, self.time(frame, mean_ns, law, purpose), frame.order, self.on_timed, frame)
                return
            elif op == ACQUIRE:
                frame.since = now
                if not self.acquire(frame, self.station(frame, at, slot)):
                    return
            elif op == RELEASE:
                self.release(self.station(frame, at, slot), frame)
                frame.pc += 1
            elif op == START:
                if amount >> 32 or draw(frame.key, purpose) >> 32 < amount:
                    self.start_call(frame.request, frame, target, child_key(frame.key, purpose))
                frame.pc += 1
            elif op == JOIN:
                frame.since = now
                if frame.children:
                    frame.joining = True
                    return
                frame.pc += 1
            elif op == BODY:
                frame.back = frame.pc + 1
                frame.pc = self.call_body[frame.call]
            elif op == RETURN:
                frame.pc = frame.back
            elif op == END:
                self.end(frame)
                return
            else:  # SPAWN, DETACH
                self.start_beside(frame, frame.pc + 1, op == DETACH)
                frame.pc = target

    def end(self, frame: Frame) -> None:
        self.recorder.ended(frame, self.now)
        parent = frame.parent
        if parent is None:
            self.recorder.answered(frame, self.now)
        elif not frame.detached:
            parent.children -= 1
            if parent.joining and not parent.children:
                parent.joining = False
                self.complete(parent)
                self.ready.append(parent)

    def holds(self, when: int, frame: Frame, at: int, other: int) -> bool:
        if when == WOKEN:
            return frame.woken
        return (self.node(frame, at) == self.node(frame, other)) == (when == SAME_NODE)

    def node(self, frame: Frame, place: int) -> int:
        """The client outside is on a node of its own, -1."""
        pod = frame.pods[place]
        return self.pod_station[pod][CPU_SLOT] if pod >= 0 else -1

    def station(self, frame: Frame, place: int, slot: int) -> Station:
        return self.stations[self.pod_station[frame.pods[place]][slot]]

    def time(self, frame: Frame, mean_ns: int, law: int, purpose: int) -> int:
        return mean_ns if law < 0 else draw_ns(self.laws[law], mean_ns, draw(frame.key, purpose))

    # Stations ---------------------------------------------------------------------------------------------------

    def gather_work(self, frame: Frame) -> None:
        """One visit to a core: this work and all that the same thread does without leaving it."""
        program, number = self.program, frame.pc
        parts: list[tuple[int, int]] = []
        total = 0
        while True:
            op, at, other, when, _, _, mean_ns, law, purpose, _ = program[number]
            if op != MORE and parts:
                break
            if when == ALWAYS or self.holds(when, frame, at, other):
                ns = mean_ns if law < 0 else self.time(frame, mean_ns, law, purpose)
                parts.append((number, ns))
                total += ns
            number += 1
        frame.parts, frame.asked, frame.left, frame.after = parts, total, total, number

    def ask_for_core(self, frame: Frame, station: Station) -> None:
        station.enter(self.now)
        if station.free:
            station.free -= 1
            self.begin_turn(frame, station)
        else:
            station.line.append(frame)

    def begin_turn(self, frame: Frame, station: Station) -> None:
        turn = min(frame.left, station.slice_ns) if station.slice_ns else frame.left
        frame.left -= turn
        station.begin_turn(turn, self.now)
        Timed(self.env, turn, frame.order, self.on_timed, frame)

    def end_turn(self, frame: Frame) -> None:
        """A core is free: the next in line gets it, unless this frame has work left and nobody waits."""
        pod = frame.pods[self.program[frame.pc][1]]
        station = self.stations[self.pod_station[pod][CPU_SLOT]]
        station.end_turn(self.now)
        if frame.left:
            if station.line:
                station.line.append(frame)
                self.begin_turn(station.line.popleft(), station)
            else:
                self.begin_turn(frame, station)
            return
        self.recorder.worked(frame, pod, self.now)
        station.leave(frame.since, self.now)
        if station.line:
            self.begin_turn(station.line.popleft(), station)
        else:
            station.free += 1
        frame.pc = frame.after
        self.ready.append(frame)

    def acquire(self, frame: Frame, station: Station) -> bool:
        """True if a token was there: then its thread was asleep, and the frame has to wake it."""
        frame.held_since = self.now
        station.enter(self.now)
        if not station.free:
            station.line.append(frame)
            return False
        station.free -= 1
        frame.woken = True
        frame.pc += 1
        return True

    def release(self, station: Station, frame: Frame) -> None:
        """The next in line gets the token at this instant; its thread is awake."""
        station.leave(frame.held_since, self.now)
        if not station.line:
            station.free += 1
            return
        following = station.line.popleft()
        following.woken = False
        self.complete(following)
        self.ready.append(following)
