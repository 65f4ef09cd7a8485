"""What a mesh may be asked to do, and what a data plane answers: who does it, who does it instead, or why nobody can.

The features are a fixed list, so that data planes can be compared; the answers are data, in the file of each data
plane. What an application or a scenario ``requires`` is met or refused here, before anything is simulated.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Literal, get_args

from pydantic import Field, model_validator

from meshsim.scenario.base import MeshsimError, Name, Strict
from meshsim.scenario.suggest import choices

if TYPE_CHECKING:
    from meshsim.scenario.dataplane import DataPlane

Feature = Literal[
    "http1", "http2", "grpc", "tcp",
    "service-identity", "encryption", "l4-policy", "http-policy", "jwt", "external-authorization",
    "request-balancing", "traffic-split", "header-routing", "retries", "header-retries", "timeouts",
    "circuit-breaking", "rate-limit", "header-mutation",
    "request-metrics", "access-log", "tracing", "custom-logic",
]  # fmt: skip

FEATURES: dict[str, str] = {
    "http1": "understands HTTP/1.1",
    "http2": "understands HTTP/2",
    "grpc": "understands gRPC",
    "tcp": "carries any TCP",
    "service-identity": "each service proves who it is by a certificate of its own",
    "encryption": "encrypts between services on the wire",
    "l4-policy": "allows or denies by who calls whom and on which port",
    "http-policy": "allows or denies by path, method or header",
    "jwt": "checks JSON Web Tokens",
    "external-authorization": "asks another process whether a request may pass",
    "request-balancing": "spreads the requests of one HTTP/2 or gRPC connection over several pods",
    "traffic-split": "sends a share of the requests to another version",
    "header-routing": "chooses the version by a header",
    "retries": "repeats a failed request",
    "header-retries": "decides by a header of request or answer whether to repeat it",
    "timeouts": "gives up on a request after a time",
    "circuit-breaking": "stops sending to a service that fails",
    "rate-limit": "lets through so many requests a second",
    "header-mutation": "adds or removes headers",
    "request-metrics": "counts requests, their success and duration",
    "access-log": "writes a line for each request",
    "tracing": "reports spans",
    "custom-logic": "runs code of your own on each request",
}
"""Every feature in words, in the order in which tables show them."""

PRICED = {
    "http-policy": "rbac-policy",
    "jwt": "jwt",
    "external-authorization": "ext-authz",
    "rate-limit": "rate-limit",
    "header-mutation": "header-mutation",
    "access-log": "access-log",
    "tracing": "tracing",
}
"""Features that cost extra on each request when asked for: ``proxy.<software>.feature.<value>``. The others are part
of what a message through a proxy costs, or cost nothing until something fails."""


class Capability(Strict):
    """The answer of a data plane to one feature. Exactly one of ``by``, ``falls_back_to`` and ``refused``."""

    by: Annotated[Name | None, Field(description="A proxy of this file, or `kernel`, or `application`")] = None
    falls_back_to: Annotated[
        Name | None,
        Field(description="A proxy of this file that is put on the path for it, though it would not be otherwise"),
    ] = None
    refused: Annotated[str | None, Field(min_length=10, description="Why nobody can do it")] = None
    note: Annotated[str, Field(description="Limits, in words")] = ""

    @model_validator(mode="after")
    def _exactly_one(self) -> Capability:
        given = [name for name in ("by", "falls_back_to", "refused") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                f"a capability has exactly one of by, falls_back_to, refused; this one has {given or 'none'}"
            )
        return self

    @property
    def proxy(self) -> str | None:
        """Who does it; None if nobody."""
        return self.by or self.falls_back_to


class CapabilityError(MeshsimError):
    """A data plane is asked for something that it cannot do."""


def required_proxies(dataplane: DataPlane, requires: Sequence[str]) -> dict[str, list[str]]:
    """Proxies by name, each with the required features that it is to do.

    CapabilityError, with the reason that the file gives, if one of them is refused or not answered.
    """
    by_proxy: dict[str, list[str]] = {}
    answers: Mapping[str, Capability] = {str(feature): answer for feature, answer in dataplane.capabilities.items()}
    proxies = {proxy.name for proxy in dataplane.proxies}
    for feature in dict.fromkeys(requires):
        answer = answers.get(feature)
        if answer is None:
            raise CapabilityError(
                f"{dataplane.name}: requires {feature} ({FEATURES[feature]}), about which its file says nothing; "
                f"add `{feature}` to its capabilities"
            )
        if answer.refused is not None:
            able = [name for name in FEATURES if name in answers and answers[name].refused is None]
            raise CapabilityError(
                f"{dataplane.name} cannot do {feature} ({FEATURES[feature]}): {answer.refused}. "
                f"It can do: {', '.join(able) or 'nothing of the list'}"
            )
        if answer.proxy in proxies:
            by_proxy.setdefault(str(answer.proxy), []).append(feature)
    return by_proxy


def check_features(requires: Iterable[str]) -> list[str]:
    """Names of features as given on a command line; MeshsimError with the nearest name for an unknown one."""
    names = [str(name) for name in requires]
    for name in names:
        if name not in FEATURES:
            raise MeshsimError(f"requires: {name!r} received; {choices(name, FEATURES, limit=len(FEATURES))}")
    return names


assert set(get_args(Feature)) == set(FEATURES)
