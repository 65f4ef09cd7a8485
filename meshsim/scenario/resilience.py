"""Resilience: what a caller does about slow and failed answers, and who does it for the caller.

The names are those of Envoy and Istio where they have one. A rule belongs to the calls from one service to another;
the first rule that fits a call, at the place where it acts, is the one that counts.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from meshsim.scenario.base import Fraction, Strict

Failure = Literal["error", "timeout", "overflow", "rate-limited", "refused", "reset"]

Milliseconds = Annotated[float, Field(gt=0, le=86_400_000)]


class RetryBudget(Strict):
    """How many retries may be under way at once, as a share of all requests under way (Envoy's retry_budget)."""

    share: Annotated[Fraction, Field(description="Of the requests under way from this caller to this service")] = 0.2
    min_concurrency: Annotated[int, Field(ge=0, le=1_000_000, description="So many are always allowed")] = 3


class Backoff(Strict):
    """Pause before retry k: at most base x 2**(k - 1), never more than max."""

    base_ms: Annotated[Milliseconds, Field(description="Longest pause before the first retry, ms")] = 25.0
    max_ms: Annotated[Milliseconds, Field(description="Longest pause before any retry, ms")] = 250.0
    jitter: Annotated[
        Literal["full", "none"], Field(description="full: uniform from 0 to that pause, as Envoy; none: just that long")
    ] = "full"

    @model_validator(mode="after")
    def _max_is_not_less(self) -> Backoff:
        if self.max_ms < self.base_ms:
            raise ValueError(f"backoff: max_ms is {self.max_ms:g}; it must be at least base_ms, {self.base_ms:g}")
        return self


class Retries(Strict):
    """Asking again after a failure."""

    max: Annotated[int, Field(ge=1, le=100, description="Retries after the first attempt")] = 2
    per_try_timeout_ms: Annotated[
        Milliseconds | None, Field(description="Give up an attempt after so long, ms; see `given_up`")
    ] = None
    on: Annotated[list[Failure], Field(min_length=1, description="Failures that are worth another attempt")] = [
        "error", "timeout", "overflow", "refused", "reset",
    ]  # fmt: skip
    budget: Annotated[RetryBudget | None, Field(description="Left out: no budget, only `max`")] = None
    backoff: Backoff = Backoff()


class Hedging(Strict):
    """A second attempt while the first is still under way; the first good answer wins."""

    after_ms: Annotated[Milliseconds, Field(description="Wait so long for an answer before the next attempt, ms")]
    max: Annotated[int, Field(ge=1, le=10, description="Attempts beside the first")] = 1


class CircuitBreaker(Strict):
    """Limits on what one caller has under way to one service; a request beyond them fails at once, with a 503.

    It is a bulkhead: trouble of one upstream cannot take all of a caller. The defaults are Envoy's.
    """

    max_requests: Annotated[int, Field(ge=1, le=1_000_000_000, description="Attempts under way")] = 1024
    max_connections: Annotated[
        int | None,
        Field(ge=1, le=1_000_000_000, description="HTTP/1.1: attempts on the wire; the others are pending"),
    ] = None
    max_pending: Annotated[int, Field(ge=0, le=1_000_000_000, description="Attempts that wait for a connection")] = 1024
    max_retries: Annotated[
        int | None, Field(ge=0, le=1_000_000_000, description="Retries under way, back-off included")
    ] = None


class OutlierEjection(Strict):
    """A pod that fails several times in a row gets no requests from this caller for a while."""

    consecutive_failures: Annotated[int, Field(ge=1, le=1_000_000, description="In a row; a good answer resets")] = 5
    base_ejection_ms: Annotated[
        Milliseconds, Field(description="Length of the first ejection, ms; the n-th is n times as long")
    ] = 30_000.0
    max_ejection_ms: Annotated[Milliseconds, Field(description="No ejection is longer, ms")] = 300_000.0
    max_ejected_share: Annotated[
        Fraction, Field(description="No further pod is ejected while at least this share of the pods is")
    ] = 0.1


class Rule(Strict):
    """What is done about the calls from one service to another."""

    to: Annotated[str, Field(description="Service that is called; * for all")] = "*"
    from_: Annotated[
        str, Field(alias="from", description="Service that calls; * for all of the application; client for outside")
    ] = "*"
    at: Annotated[
        Literal["auto", "application", "proxy"],
        Field(
            description="application: a library in the calling service; proxy: the L7 proxy on the calling side, or "
            "the waypoint; auto: that proxy where there is one, else the library (which ejects no pods where a "
            "connection chooses the pod)"
        ),
    ] = "auto"
    timeout_ms: Annotated[
        Milliseconds | None, Field(description="Give up the call, retries included, after so long, ms")
    ] = None
    given_up: Annotated[
        Literal["finish", "reset"],
        Field(
            description="What upstream does for an attempt that was given up. finish: all of it, as servers do that do "
            "not look at the connection while they work (servlets, WSGI); reset: the stream is reset, and who works "
            "for it ends the piece of work or waiting that it is at and begins no other (Envoy, gRPC, Go's net/http)"
        ),
    ] = "finish"
    retries: Retries | None = None
    hedging: Hedging | None = None
    circuit_breaker: CircuitBreaker | None = None
    outlier_ejection: OutlierEjection | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Rule:
        if not any((self.timeout_ms, self.retries, self.hedging, self.circuit_breaker, self.outlier_ejection)):
            raise ValueError(
                f"the rule for calls to {self.to} does nothing; give it one of timeout_ms, retries, hedging, "
                "circuit_breaker, outlier_ejection"
            )
        if self.from_ == "client" and self.at == "proxy":
            raise ValueError("the client outside has no proxy; at: application is the only place for from: client")
        return self


class RateLimit(Strict):
    """A local rate limit: each pod of a service has a token bucket of its own; a request without token gets a 429."""

    to: Annotated[str, Field(description="Service that is protected")]
    rps: Annotated[float, Field(gt=0, le=1e9, description="Tokens a second, for each pod")]
    burst: Annotated[int, Field(ge=1, le=1_000_000_000, description="Tokens that the bucket holds")] = 1


__all__ = [
    "Backoff", "CircuitBreaker", "Failure", "Hedging", "OutlierEjection", "RateLimit", "Retries", "RetryBudget", "Rule",
]  # fmt: skip
