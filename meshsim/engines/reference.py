"""The reference engine: the whole semantics of time, on SimPy's event list.

Time is an integer count of nanoseconds. At one instant, things happen in one total order:

1. what was set in motion at this instant goes on in the order in which it was set in motion: a frame that was
   given a token, a frame that was started, a parent whose last child ended (``ready``, first in first out);
2. then timed events, by (time, kind, request, frame), the kinds in the order of ``meshsim.engines.frame``: what
   happens by the clock (faults, CPU periods), arrivals, work or waiting that ends, timeouts, the next attempt.
   A frame has at most one timed event of a kind that still counts, so the order is total.

A frame runs until it must wait; whoever gets a core or a token from it is served before it goes on itself. A thread
that goes on to the next in its line keeps its core until its slice is used up (where the CPU has slices).

A frame that fails goes on at the instruction where its failed answer begins (``target``), with its ``status`` set; the
answer takes its way back like any other. The mechanisms of contention and failure have a file each: ``attempts``,
``breaker``, ``balancer``, ``connections``, ``limiter``, ``quota``, ``faults``, ``autoscaler``; the load is in
``arrivals``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import simpy

from meshsim.engines.arrivals import Load
from meshsim.engines.attempts import Attempts
from meshsim.engines.autoscaler import Autoscaling
from meshsim.engines.balancer import Balancing
from meshsim.engines.connections import Connections
from meshsim.engines.faults import Faults
from meshsim.engines.frame import Frame, Request, Timed
from meshsim.engines.limiter import Limiter
from meshsim.engines.quota import Quota
from meshsim.engines.recorder import Recorder
from meshsim.engines.station import Station
from meshsim.plan.draws import ENTRY, REPLICA, WAYPOINT, child_key, draw
from meshsim.plan.laws import COLD, LONGEST_SLEEP, cold_ns, draw_ns
from meshsim.plan.plan import BY_TURN, CPU_SLOT, OUTSIDE, THREADS_SLOT, Op, Place, Plan, Status, When
from meshsim.plan.routes import Chooser
from meshsim.results.run import RunResult
from meshsim.scenario.scenario import Run

# Plain integers: the loop below compares them a million times a second.
(
    WORK,
    WAIT,
    ACQUIRE,
    RELEASE,
    START,
    SPAWN,
    JOIN,
    DETACH,
    BODY,
    RETURN,
    END,
    MORE,
    ATTEMPT,
    CONNECT,
    DISCONNECT,
    LIMIT,
) = (int(op) for op in Op)
ALWAYS, SAME_NODE, OTHER_NODE, WOKEN, SAME_ZONE, OTHER_ZONE, TURN, NEW_CONNECTION = (int(when) for when in When)
DESTINATION = int(Place.DESTINATION)
CONSTANT = -1  # the law of most times, here because a call for each would be slow

OVERFLOW, ERROR, REFUSED, RESET = (int(s) for s in (Status.OVERFLOW, Status.ERROR, Status.REFUSED, Status.RESET))
RATE_LIMITED = int(Status.RATE_LIMITED)
AT_START = int(Chooser.START)


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
    return Simulation(plan, settings, on_progress, should_stop).run()


class Simulation:
    """One run under way."""

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
        kinds = (plan.station_servers.tolist(), plan.station_slice_ns.tolist(), plan.station_line.tolist())
        self.stations = [Station(*each) for each in zip(*kinds, strict=True)]
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
        self.slot_workers: list[int] = plan.slot_workers.tolist()
        self.resets = bool(plan.routes.policies.columns["resets"].any())
        self.pinned = max(self.slot_workers, default=1) > 1
        self.call_route: list[int] = plan.routes.call_route.tolist()
        self.call_chooser: list[int] = plan.routes.call_chooser.tolist()
        self.zone_of_pod: list[int] = plan.pod_zone.tolist()
        self.balancer = Balancing(self)
        self.connections = Connections(self)
        self.attempts = Attempts(self)
        self.limiter = Limiter(plan.routes, len(plan.pod_node))
        self.quota = Quota(self) if len(plan.quotas) else None
        self.faults = Faults(self) if len(plan.faults) else None
        self.autoscaling = Autoscaling(self) if len(plan.autoscalers) else None
        self.load = Load(self)

    def run(self) -> RunResult:
        """Run until every measured request is over."""
        self.load.start()
        step, recorder = self.env.step, self.recorder
        while not recorder.finished:
            step()
            recorder.events += 1
        counts = {**self.attempts.counts, "ejections": sum(self.balancer.ejections)}
        counts["connections"] = self.connections.opened
        counts["cpu_throttles"] = self.quota.throttles if self.quota is not None else 0
        scaling = self.autoscaling.history if self.autoscaling is not None else []
        return recorder.result(self.now, self.stations, counts, scaling)

    def arrive(self, request: Request) -> None:
        """A request comes in."""
        number = request.number
        self.recorder.arrived(number, self.now)
        key = child_key(self.root_key, number)
        share = draw(key, ENTRY) >> 32
        call = next(entry for entry, bound in enumerate(self.entry_threshold) if share < bound)
        self.start_call(request, None, call, child_key(key, call), False)
        self.go_on()

    # Frames -----------------------------------------------------------------------------------------------------

    def start_call(self, request: Request, parent: Frame | None, call: int, key: int, optional: bool) -> None:
        """A child frame on the hop program of ``call``, to a replica of its choice."""
        frame = Frame(request, parent, self.call_program[call], key)
        frame.call = call
        frame.optional = optional
        service = self.call_service[call]
        first, count = self.service_pods[service]
        destination = first + ((draw(key, REPLICA) >> 32) * count >> 32)
        first, count = self.service_vias[service]
        via = first + ((draw(key, WAYPOINT) >> 32) * count >> 32) if first >= 0 else OUTSIDE
        frame.pods = (OUTSIDE if parent is None else parent.pods[DESTINATION], destination, via)
        if self.call_route[call] >= 0 and self.call_chooser[call] == AT_START:
            self.balancer.choose(frame)
        self.start(frame)

    def start_beside(self, parent: Frame, pc: int, detached: bool, takes_token: bool) -> None:
        """A frame in the same pods: a branch that the parent will join, or detached work, which may take its token."""
        frame = Frame(parent.request, parent, pc, parent.key)
        frame.held_since, frame.to_serve = parent.held_since, parent.to_serve
        if takes_token:
            frame.token, parent.token = parent.token, None
            frame.batch, parent.batch = parent.batch, []
        frame.pods = parent.pods
        frame.connection, frame.pinned_by = parent.connection, parent.pinned_by
        frame.detached = detached
        self.start(frame)

    def start(self, frame: Frame) -> None:
        """Set a new frame in motion."""
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
        if self.is_reset(frame):
            self.abandon(frame)
            return
        program, now = self.program, self.now
        while True:
            op, at, other, when, slot, target, mean_ns, law, purpose, amount = program[frame.pc]
            if when != ALWAYS and not self.holds(when, frame, at, other):
                frame.pc = target if op == DETACH else frame.pc + 1
            elif op in (WORK, MORE):  # MORE alone: the WORK that it would have added to was skipped
                frame.since = now
                self.gather_work(frame)
                station = self.station(frame, at, CPU_SLOT)
                if frame.kept:
                    self.go_on_with_core(frame, station)
                else:
                    self.ask_for_core(frame, station)
                return
            elif op == WAIT:
                frame.since = now
                Timed(self.env, self.time(frame, mean_ns, law, purpose, amount), frame.order, self.on_timed, frame)
                return
            elif op == ACQUIRE:
                frame.since = now
                if not self.acquire(frame, self.station(frame, at, slot)):
                    return
            elif op == RELEASE:
                if not self.release(self.station(frame, at, slot), frame, amount == BY_TURN):
                    return
            elif op == START:
                if amount >> 32 or draw(frame.key, purpose) >> 32 < amount:
                    self.start_call(frame.request, frame, target, child_key(frame.key, purpose), slot == 1)
                frame.pc += 1
            elif op == JOIN:
                frame.since = now
                if frame.children:
                    frame.joining = True
                    return
                self.joined(frame)
            elif op == BODY:
                self.enter_body(frame)
            elif op == RETURN:
                frame.pc = frame.back
                if self.faults is not None and not frame.status and self.threads(frame).crashed_at > frame.entered:
                    self.failed(frame, RESET)
            elif op == END:
                self.end(frame)
                return
            elif op in (SPAWN, DETACH):
                self.start_beside(frame, frame.pc + 1, op == DETACH, op == DETACH and slot == 1)
                frame.pc = target
            elif op == ATTEMPT:
                self.attempts.begin(frame, slot)
                return
            elif op == CONNECT:
                frame.since = now
                if not self.connections.connect(frame):
                    return
            elif op == DISCONNECT:
                self.connections.disconnect(frame)
                frame.pc += 1
            elif self.limiter.take(self.call_service[frame.call], frame.pods[DESTINATION], now):  # LIMIT
                frame.pc += 1
            else:
                self.fail(frame, RATE_LIMITED)

    def end(self, frame: Frame) -> None:
        """A frame is over: whoever waits for it goes on."""
        self.recorder.ended(frame, self.now)
        parent = frame.parent
        if frame.tries is not None:
            self.attempts.ended(frame)
            return
        if frame.host >= 0:
            self.balancer.left(frame)
        if parent is None:
            self.recorder.answered(frame, self.now)
            if frame.request.client >= 0:
                self.load.think(frame.request.client)
        elif not frame.detached:
            parent.child_failed |= frame.status > 0 and not frame.optional
            parent.children -= 1
            if parent.joining and not parent.children:
                parent.joining = False
                self.recorder.segment(parent, self.now)
                self.joined(parent)
                self.ready.append(parent)

    # Streams that were reset ------------------------------------------------------------------------------------

    def is_reset(self, frame: Frame | None) -> bool:
        """Whether it works for an attempt whose stream was reset. Detached work is not affected."""
        if not self.resets:
            return False
        while frame is not None and not frame.detached:
            if frame.over:
                return frame.reset
            frame = frame.parent
        return False

    def abandon(self, frame: Frame) -> None:
        """It gives back what it holds, and ends."""
        station = frame.token
        if station is not None:
            frame.token = None
            station.leave(frame.held_since, self.now)
            if frame.held_since < station.crashed_at:
                self.batch_is_lost(frame)
            else:
                self.pass_on(station, frame)
        if frame.connected:
            self.connections.hang_up(frame)
        frame.reset, frame.status = True, RESET
        self.end(frame)

    # Failures ---------------------------------------------------------------------------------------------------

    def joined(self, frame: Frame) -> None:
        """Every child has ended: the endpoint goes on, or fails if a call failed that it needs."""
        if frame.child_failed:
            frame.child_failed = False
            frame.status = ERROR  # where it began is counted there
            frame.pc = self.program[frame.pc][5]
        else:
            frame.pc += 1

    def fail(self, frame: Frame, status: int) -> None:
        """Its instruction fails: go on where the failed answer begins."""
        self.failed(frame, status)
        frame.pc = self.program[frame.pc][5]

    def failed(self, frame: Frame, status: int) -> None:
        """A failure begins here."""
        frame.status = status
        if not frame.detached:
            self.recorder.failed(status)

    def enter_body(self, frame: Frame) -> None:
        """Jump into the body, unless nobody is there to run it."""
        frame.back = frame.pc + 1
        if self.faults is not None:
            frame.entered = self.now
            if self.threads(frame).down:
                self.failed(frame, REFUSED)
            elif self.faults.answers_with_error(frame, frame.pods[DESTINATION]):
                self.failed(frame, ERROR)
            if frame.status:
                frame.pc += 1
                return
        frame.pc = self.call_body[frame.call]

    def threads(self, frame: Frame) -> Station:
        """The threads of the container that is called."""
        return self.stations[self.pod_station[frame.pods[DESTINATION]][THREADS_SLOT]]

    def holds(self, when: int, frame: Frame, at: int, other: int) -> bool:
        """Whether an instruction's condition is met."""
        if when >= NEW_CONNECTION:
            if not frame.opened:
                return False
            when -= NEW_CONNECTION
            if when == ALWAYS:
                return True
        if when == WOKEN:
            return frame.woken
        if when == TURN:
            return frame.turn
        one, two = self.node(frame, at), self.node(frame, other)
        if when < SAME_ZONE:
            return (one == two) == (when == SAME_NODE)
        near = one < 0 or two < 0 or self.zone_of_pod[frame.pods[at]] == self.zone_of_pod[frame.pods[other]]
        return one != two and near == (when == SAME_ZONE)

    def node(self, frame: Frame, place: int) -> int:
        """The client outside is on a node of its own, -1."""
        pod = frame.pods[place]
        return self.pod_station[pod][CPU_SLOT] if pod >= 0 else -1

    def station(self, frame: Frame, place: int, slot: int) -> Station:
        """The station in a slot of a pod; of a proxy with pinned connections, the worker of this one."""
        number = self.pod_station[frame.pods[place]][slot]
        if self.pinned and self.slot_workers[slot] > 1:
            number += self.connections.worker(frame, place, self.slot_workers[slot])
        return self.stations[number]

    def core(self, frame: Frame) -> Station:
        """The CPU that the frame's work is done on."""
        return self.stations[self.pod_station[frame.pods[self.program[frame.pc][1]]][CPU_SLOT]]

    def time(self, frame: Frame, mean_ns: int, law: int, purpose: int, amount: int) -> int:
        """A random time, or that of a thread with cold caches, ns."""
        if law == COLD:
            return cold_ns(mean_ns, frame.slept, amount)
        return mean_ns if law < 0 else draw_ns(self.laws[law], mean_ns, draw(frame.key, purpose))

    # Stations ---------------------------------------------------------------------------------------------------

    def gather_work(self, frame: Frame) -> None:
        """One visit to a core: this work and all that the same thread does without leaving it."""
        program, number = self.program, frame.pc
        parts: list[tuple[int, int]] = []
        total = 0
        while True:
            op, at, other, when, _, _, mean_ns, law, purpose, amount = program[number]
            if op != MORE and parts:
                break
            if when == ALWAYS or self.holds(when, frame, at, other):
                ns = mean_ns if law == CONSTANT else self.time(frame, mean_ns, law, purpose, amount)
                parts.append((number, ns))
                total += ns
            number += 1
        pod = frame.pods[program[frame.pc][1]]
        if self.quota is not None:
            frame.quota = self.quota.pod_quota[pod][program[parts[0][0]][4]]
        frame.parts, frame.asked, frame.left, frame.after = parts, total, total, number
        frame.begun = False

    def ask_for_core(self, frame: Frame, station: Station) -> None:
        """Take a core, or stand in line for one."""
        station.enter(self.now)
        frame.ran = 0
        if not station.free:
            station.line.append(frame)
            return
        station.free -= 1
        if not self.begin_turn(frame, station):
            station.free += 1

    def go_on_with_core(self, frame: Frame, station: Station) -> None:
        """Its thread has kept the core for it, with what is left of the slice."""
        station.enter(self.now)
        frame.kept = False
        if not self.begin_turn(frame, station):
            self.next_turn(station)

    def begin_turn(self, frame: Frame, station: Station) -> bool:
        """A turn on a core; False if the frame's container has used up its CPU limit and must wait."""
        if not frame.begun:
            frame.begun = True
            if self.faults is not None:
                self.faults.slow_down(frame, frame.pods[self.program[frame.pc][1]])
        turn = min(frame.left, station.slice_ns - frame.ran) if station.slice_ns else frame.left
        if frame.quota >= 0 and self.quota is not None:
            turn = self.quota.take(frame.quota, turn, self.now)
            if not turn:
                frame.ran = 0
                self.quota.throttle(frame)
                return False
        frame.left -= turn
        frame.ran += turn
        station.begin_turn(turn, self.now)
        Timed(self.env, turn, frame.order, self.on_timed, frame)
        return True

    def end_turn(self, frame: Frame) -> None:
        """A core is free: the next in line gets it, unless this frame has work left and nobody waits, or its thread
        goes on to its next."""
        pod = frame.pods[self.program[frame.pc][1]]
        station = self.stations[self.pod_station[pod][CPU_SLOT]]
        station.end_turn(self.now)
        if frame.left:
            frame.ran = 0
            station.line.append(frame)
            self.next_turn(station)
            return
        self.recorder.worked(frame, pod, self.now)
        station.leave(frame.since, self.now)
        frame.pc = frame.after
        frame.kept = self.keeps_core(frame, station)
        if not frame.kept:
            self.next_turn(station)
        self.ready.append(frame)

    def keeps_core(self, frame: Frame, core: Station) -> bool:
        """Whether its thread has somebody else to serve, and time left in its slice. Without slices a thread that
        always has would keep it for ever: then each visit stands in line.
        """
        op, at, _, when, slot, *_ = self.program[frame.pc]
        if op != RELEASE or when != ALWAYS or frame.ran >= core.slice_ns:
            return False
        station = self.station(frame, at, slot)
        return bool(station.line) and frame.held_since >= station.crashed_at

    def next_turn(self, station: Station) -> None:
        """The first in line that may run gets the core; what has not begun, and works for nobody, is dropped."""
        while station.line:
            frame = station.line.popleft()
            if self.resets and not frame.begun and self.is_reset(frame):
                station.leave(frame.since, self.now)
                self.recorder.segment(frame, self.now)
                self.ready.append(frame)
            elif self.begin_turn(frame, station):
                return
        station.up_to(self.now)
        station.free += 1

    def acquire(self, frame: Frame, station: Station) -> bool:
        """True if the frame goes on: with a token, or failed because there is no place in line, or nobody there.

        If a token was there, its thread was asleep, and the frame has to wake it: a turn of its event loop begins.
        """
        if station.down:
            self.fail(frame, REFUSED)
            return True
        if not station.free and 0 <= station.places <= len(station.line):
            self.fail(frame, OVERFLOW)
            return True
        frame.held_since = self.now
        station.enter(self.now)
        if not station.free:
            station.line.append(frame)
            return False
        station.free -= 1
        frame.token = station
        frame.woken = frame.turn = True
        frame.slept = min(self.now - station.asleep_since, LONGEST_SLEEP)
        frame.to_serve = 0
        frame.pc += 1
        return True

    def release(self, station: Station, frame: Frame, by_turn: bool) -> bool:
        """Give a token back; it is gone if there was a crash meanwhile. False if the frame waits: ``by_turn``, what it
        sends leaves when its thread's turn ends."""
        frame.token = None
        station.leave(frame.held_since, self.now)
        if frame.held_since < station.crashed_at:  # the crash took the token, and the work with it
            self.batch_is_lost(frame)
            self.fail(frame, RESET)
            return True
        waits = by_turn and bool(frame.batch or (frame.to_serve and station.line))
        if waits:
            frame.since = self.now
            frame.batch.append(frame)
        self.pass_on(station, frame)
        frame.pc += not waits
        return not waits

    def pass_on(self, station: Station, frame: Frame) -> None:
        """The next in line gets the token of a frame at this instant; its thread is awake.

        An event loop asks for all that is ready, serves it, and asks again. So a thread that has served those whom it
        found in line begins a turn with the next, and those behind him, of whom each thread has its share. What it has
        served in a turn and not sent yet (``batch``) leaves when the turn ends.
        """
        batch, frame.batch = frame.batch, []
        core = self.core(frame) if frame.kept else None
        frame.kept = False
        if not frame.to_serve or not station.line:
            for served in batch:
                self.complete(served)
                self.ready.append(served)
            batch = []
        if not station.line:
            station.free += 1
            station.asleep_since = self.now
            if core is not None:
                self.next_turn(core)
            return
        following = station.line.popleft()
        following.token = station
        following.woken = False
        following.turn = not frame.to_serve
        following.to_serve = frame.to_serve - 1 if frame.to_serve else len(station.line) // station.servers
        following.batch = batch
        self.complete(following)
        self.ready.append(following)
        if core is not None and self.works_next(following):
            following.kept, following.ran = True, frame.ran
        elif core is not None:
            self.next_turn(core)

    def works_next(self, frame: Frame) -> bool:
        """Whether the first thing that it does needs a core."""
        number = frame.pc
        while True:
            op, at, other, when, _, target, *_ = self.program[number]
            if when == ALWAYS or self.holds(when, frame, at, other):
                return op in (WORK, MORE)
            number = target if op == DETACH else number + 1

    def batch_is_lost(self, frame: Frame) -> None:
        """A crash took what its thread had served in this turn and not sent yet."""
        for served in frame.batch:
            self.recorder.segment(served, self.now)
            self.fail(served, RESET)
            self.ready.append(served)
        frame.batch = []
