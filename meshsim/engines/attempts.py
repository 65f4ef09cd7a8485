"""Attempts: timeouts, retries with back-off, and hedging, at the place that does them.

ATTEMPT runs the upstream part of a hop in a frame of its own, while the call's frame waits:

* The first attempt has the random numbers of the call itself, so that a policy which never acts changes nothing; the
  k-th after it has its own.
* Its answer is the outcome if it is good. A failure is retried if it is one of ``retry_on``, the call has attempts
  left, and the retry budget allows it; it then waits for its back-off. Else the failure is the outcome.
* An attempt that is not answered within the per-try timeout is a failure with TIMEOUT. **It goes on upstream**: what it
  still asks of servers is wasted work, and its answer is dropped when it comes. This is what makes retry storms last.
* Unless the rule says ``given_up: reset``: then its stream is reset, and with it all that it has called, at once and
  for nothing. Who works or waits for it there comes to the end of the piece that he is at, gives back what he holds,
  and is done; who stands in a line keeps his place, and does nothing when it is his turn. Work behind an answer goes
  on.
* With hedging, another attempt starts when there was no answer for so long; the first good answer wins, the others are
  given up. A failure counts only when no other attempt is under way.
* ``deadline_ns`` bounds the whole call, retries and back-off included.
* A circuit breaker may refuse an attempt (never retried) or let it wait for a connection: see ``breaker.py``.

Back-off before retry k is at most base x 2**(k - 1), at most max; with full jitter uniform below that (Envoy's
"fully jittered exponential back-off").
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshsim.engines.breaker import OPEN, PENDING, Breaker
from meshsim.engines.frame import DEADLINE, NEXT_TRY, TRY_TIMEOUT, Frame, Timed, order
from meshsim.plan.draws import child_key, draw, purpose
from meshsim.plan.plan import Place, Status

if TYPE_CHECKING:
    from meshsim.engines.reference import Simulation

BACKOFF = purpose("back-off before a retry")
ATTEMPT = purpose("another attempt")
OK, TIMEOUT, CIRCUIT_OPEN, RESET = (int(s) for s in (Status.OK, Status.TIMEOUT, Status.CIRCUIT_OPEN, Status.RESET))
DESTINATION = int(Place.DESTINATION)


class Tries:
    """A call that waits for one of its attempts."""

    __slots__ = ("done", "frame", "hedges", "live", "policy", "retries", "retrying", "started", "state", "who")

    def __init__(self, frame: Frame, policy: int, state: int, who: int) -> None:
        self.frame = frame
        self.policy = policy
        self.state = state
        self.who = who  # 0 library, 1 proxy
        self.live: list[Frame] = []  # attempts under way, in the order of their start
        self.started = 0
        self.retries = self.hedges = 0
        self.retrying = False  # counted by the breaker as a retry under way
        self.done = False


class Attempts:
    """All calls that wait for attempts."""

    def __init__(self, sim: Simulation) -> None:
        self.sim = sim
        self.p = {name: column.tolist() for name, column in sim.plan.routes.policies.columns.items()}
        self.breaker = Breaker(sim.plan.routes)
        self.call_policy = sim.plan.routes.call_policy.tolist()
        self.call_chooser = sim.plan.routes.call_chooser.tolist()
        self.counts = {"attempts": 0, "retries": 0, "hedges": 0, "timeouts": 0, "wasted_answers": 0, "circuit_open": 0}
        self.counts["resets"] = 0

    def begin(self, frame: Frame, who: int) -> None:
        """A call comes to its ATTEMPT."""
        sim = self.sim
        policy = self.call_policy[who][frame.call]
        p = self.p
        first = p["state_first"][policy]
        state = first + sim.balancer.ordinal(p["holder"][policy], p["holder_first"][policy], frame)
        tries = Tries(frame, policy, state, who)
        frame.since = sim.now
        if p["deadline_ns"][policy] >= 0:
            number = order(DEADLINE, frame.request.number, frame.number)
            Timed(sim.env, p["deadline_ns"][policy], number, self.on_deadline, tries)
        self.launch(tries)

    def launch(self, tries: Tries) -> None:
        """Start the next attempt, let it wait for a connection, or be refused by the circuit breaker."""
        sim, frame, policy = self.sim, tries.frame, tries.policy
        verdict = self.breaker.admit(policy, tries.state)
        if verdict == OPEN:
            self.counts["circuit_open"] += 1
            sim.recorder.failed(CIRCUIT_OPEN)
            if not tries.live:
                self.finish(tries, CIRCUIT_OPEN)
            return
        key = frame.key if not tries.started else child_key(frame.key, ATTEMPT + tries.started)
        attempt = Frame(frame.request, frame, frame.pc + 1, key)
        tries.started += 1
        self.counts["attempts"] += 1
        attempt.tries = tries
        attempt.call = frame.call
        attempt.pods = frame.pods
        attempt.connection, attempt.pinned_by = frame.connection, frame.pinned_by
        attempt.opened, frame.opened = frame.opened, False  # the first attempt is the first to use it
        if self.call_chooser[frame.call] == tries.who + 1:
            sim.balancer.choose(attempt)
        tries.live.append(attempt)
        number = order(TRY_TIMEOUT, frame.request.number, attempt.number)
        if self.p["try_timeout_ns"][policy] >= 0:
            Timed(sim.env, self.p["try_timeout_ns"][policy], number, self.on_try_timeout, attempt)
        if self.p["hedge_after_ns"][policy] >= 0 and tries.hedges < self.p["hedges"][policy]:
            number = order(NEXT_TRY, frame.request.number, frame.number)
            Timed(sim.env, self.p["hedge_after_ns"][policy], number, self.on_hedge, (tries, tries.started))
        attempt.started = attempt.since = sim.now
        sim.recorder.started(attempt, sim.now)
        if verdict == PENDING:
            self.breaker.wait(tries.state, attempt)
        else:
            sim.ready.append(attempt)

    # What happens to an attempt ----------------------------------------------------------------------------------

    def ended(self, attempt: Frame) -> None:
        """Its answer is there; nobody hears it if it was given up."""
        if attempt.over:
            self.counts["wasted_answers"] += not attempt.reset
            return
        assert attempt.tries is not None
        if attempt.reset:
            self.leave(attempt, -1)
            if not attempt.tries.live:
                self.finish(attempt.tries, RESET)
            return
        self.sim.recorder.reached(attempt.tries.frame, attempt.pods[DESTINATION])
        self.leave(attempt, attempt.status)
        self.settle(attempt.tries, attempt.status)

    def on_try_timeout(self, event: Timed) -> None:
        """No answer in time: give the attempt up."""
        attempt: Frame = event.about
        if attempt.over or self.sim.is_reset(attempt):
            return
        sim = self.sim
        sim.now = int(sim.env.now)
        assert attempt.tries is not None
        self.counts["timeouts"] += 1
        sim.recorder.failed(TIMEOUT)
        self.give_up(attempt, TIMEOUT)
        self.settle(attempt.tries, TIMEOUT)
        sim.go_on()

    def on_deadline(self, event: Timed) -> None:
        """The whole call has taken too long."""
        tries: Tries = event.about
        if tries.done or self.sim.is_reset(tries.frame):
            return
        sim = self.sim
        sim.now = int(sim.env.now)
        self.counts["timeouts"] += 1
        sim.recorder.failed(TIMEOUT)
        while tries.live:
            self.give_up(tries.live[0], TIMEOUT)
        self.finish(tries, TIMEOUT)
        sim.go_on()

    def on_hedge(self, event: Timed) -> None:
        """No answer for so long: another attempt, unless something has happened since."""
        tries, started = event.about
        if tries.done or not tries.live or tries.started != started or self.sim.is_reset(tries.frame):
            return
        self.sim.now = int(self.sim.env.now)
        tries.hedges += 1
        self.counts["hedges"] += 1
        self.launch(tries)
        self.sim.go_on()

    def on_backoff(self, event: Timed) -> None:
        """The pause before a retry is over."""
        tries: Tries = event.about
        if tries.done:
            return
        sim = self.sim
        sim.now = int(sim.env.now)
        if sim.is_reset(tries.frame):
            self.finish(tries, RESET)
        else:
            sim.recorder.segment(tries.frame, sim.now)
            tries.frame.since = sim.now
            self.launch(tries)
        sim.go_on()

    # Outcomes ----------------------------------------------------------------------------------------------------

    def give_up(self, attempt: Frame, status: int) -> None:
        """Nobody waits for it any more; it goes on upstream, unless it had no connection yet or its stream is reset."""
        sim = self.sim
        assert attempt.tries is not None
        waiting = self.breaker.forget(attempt) or sim.connections.forget(attempt)
        self.leave(attempt, status)
        if self.p["resets"][attempt.tries.policy] and not waiting:
            attempt.reset = True
            self.counts["resets"] += 1
        sim.recorder.given_up(attempt, sim.now, over=waiting)

    def leave(self, attempt: Frame, status: int) -> None:
        """It is no longer under way, as far as its caller knows."""
        tries = attempt.tries
        assert tries is not None
        attempt.over = True
        tries.live.remove(attempt)
        sim = self.sim
        if status >= 0:
            sim.balancer.outcome(attempt, status, self.p, tries.policy)
        sim.balancer.left(attempt)
        following = self.breaker.leave(tries.policy, tries.state)
        if following is not None:
            following.started = sim.now
            sim.recorder.started_late(following, sim.now)
            sim.ready.append(following)

    def settle(self, tries: Tries, status: int) -> None:
        """One attempt has an outcome: is it that of the call?"""
        if status == OK:
            self.finish(tries, OK)
            return
        if tries.live:
            return
        if tries.retrying:
            tries.retrying = False
            self.breaker.retrying[tries.state] -= 1
        p, policy = self.p, tries.policy
        left = tries.retries + 1 < p["max_tries"][policy]
        if not (left and p["retry_on"][policy] >> status & 1 and self.breaker.may_retry(p, policy, tries.state)):
            self.finish(tries, status)
            return
        sim, frame = self.sim, tries.frame
        tries.retries += 1
        tries.retrying = True
        self.breaker.retrying[tries.state] += 1
        self.counts["retries"] += 1
        sim.recorder.segment(frame, sim.now)
        frame.since = sim.now
        pause = min(p["backoff_max_ns"][policy], p["backoff_base_ns"][policy] << min(tries.retries - 1, 20))
        if p["jitter"][policy]:
            pause = ((draw(child_key(frame.key, tries.retries), BACKOFF) >> 32) * pause >> 32) or 1
        number = order(NEXT_TRY, frame.request.number, frame.number)
        Timed(sim.env, pause, number, self.on_backoff, tries)

    def finish(self, tries: Tries, status: int) -> None:
        """The call has its outcome and goes on behind the attempt."""
        sim, frame = self.sim, tries.frame
        while tries.live:
            self.give_up(tries.live[0], -1)
        if tries.retrying:
            tries.retrying = False
            self.breaker.retrying[tries.state] -= 1
        tries.done = True
        sim.recorder.segment(frame, sim.now)
        frame.status = status
        frame.pc = sim.program[frame.pc][5]
        sim.ready.append(frame)
