"""Local rate limit: a token bucket at each pod of a service.

A bucket holds at most ``burst`` tokens and gains one every ``token_ns``; a request takes one or fails at once with
RATE_LIMITED. Kept as the time at which the bucket will be full again (the generic cell rate algorithm, ITU-T I.371),
so nothing ticks and nothing is rounded.
"""

from __future__ import annotations

from meshsim.plan.routes import Routes


class Limiter:
    """The buckets of all pods."""

    def __init__(self, routes: Routes, pods: int) -> None:
        self.token_ns: list[int] = routes.token_ns.tolist()
        self.burst: list[int] = routes.burst.tolist()
        self.full_at = [0] * pods

    def take(self, service: int, pod: int, now: int) -> bool:
        """Take a token of the pod's bucket; False if it is empty."""
        token = self.token_ns[service]
        full_at = max(self.full_at[pod], now)
        if full_at - now > (self.burst[service] - 1) * token:
            return False
        self.full_at[pod] = full_at + token
        return True
