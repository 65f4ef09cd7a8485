"""Circuit breaker: bounds on what one caller has under way to one service (Envoy's circuit breakers, a bulkhead).

* ``max_requests``: attempts under way, waiting ones included; one more is refused at once.
* ``max_connections`` (HTTP/1.1): so many attempts are on the wire; others are pending, first come first served.
* ``max_pending``: one more pending attempt is refused.
* ``max_retries``, and the retry budget: retries from their decision to their end. The budget allows a share of the
  attempts under way at the moment of the decision (the failed one has left), but always ``budget_min``.
"""

from __future__ import annotations

from collections import deque

from meshsim.engines.frame import Frame
from meshsim.plan.routes import MILLION, Routes

GO, PENDING, OPEN = range(3)
"""What the breaker says to an attempt."""


class Breaker:
    """Counters of each state of each policy."""

    def __init__(self, routes: Routes) -> None:
        columns = routes.policies.columns
        self.max_requests: list[int] = columns["max_requests"].tolist()
        self.max_connections: list[int] = columns["max_connections"].tolist()
        self.max_pending: list[int] = columns["max_pending"].tolist()
        self.active = [0] * routes.policy_states
        self.retrying = [0] * routes.policy_states
        self.lines: dict[int, deque[Frame]] = {}

    def admit(self, policy: int, state: int) -> int:
        """Count an attempt, unless it is refused."""
        active, most = self.active[state], self.max_connections[policy]
        if 0 <= self.max_requests[policy] <= active:
            return OPEN
        if 0 <= most <= active:
            if 0 <= self.max_pending[policy] <= active - most:
                return OPEN
            self.active[state] += 1
            return PENDING
        self.active[state] += 1
        return GO

    def wait(self, state: int, attempt: Frame) -> None:
        """It stands in line for a connection."""
        self.lines.setdefault(state, deque()).append(attempt)

    def forget(self, attempt: Frame) -> bool:
        """Take it out of the line; False if it was in none."""
        assert attempt.tries is not None
        line = self.lines.get(attempt.tries.state)
        if not line or attempt not in line:
            return False
        line.remove(attempt)
        return True

    def leave(self, policy: int, state: int) -> Frame | None:
        """One attempt less; the first in line that may now go, if there is one."""
        self.active[state] -= 1
        line = self.lines.get(state)
        on_the_wire = self.active[state] - len(line) if line else 0
        return line.popleft() if line and on_the_wire < self.max_connections[policy] else None

    def may_retry(self, policies: dict[str, list[int]], policy: int, state: int) -> bool:
        """Whether one more retry may be under way."""
        most, share = policies["max_retries"][policy], policies["budget_ppm"][policy]
        if 0 <= most <= self.retrying[state]:
            return False
        allowed = max(policies["budget_min"][policy], self.active[state] * share // MILLION)
        return share < 0 or self.retrying[state] < allowed
