"""Load balancing and connections: which pod a request goes to, and over which connection."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from meshsim.scenario.base import Strict


class Balancing(Strict):
    """How the pod that answers a call is chosen.

    With an L7 proxy on the calling side (or a waypoint) it is chosen for each request. Without one it is chosen when
    a connection is opened, if ``connections`` are modelled for the call, and else for each request.
    """

    to: Annotated[str, Field(description="Service that is called; * for all")] = "*"
    from_: Annotated[
        str, Field(alias="from", description="Service that calls; * for all of the application; client for outside")
    ] = "*"
    policy: Annotated[
        Literal["random", "round-robin", "least-request", "random-of-two", "ring-hash", "locality"],
        Field(
            description="least-request: fewest under way, as this caller knows; random-of-two: the better of two drawn "
            "pods (Envoy's LEAST_REQUEST); ring-hash: consistent hashing of one of `hash_keys` keys; "
            "locality: random among the pods on the caller's node, if there are any"
        ),
    ] = "random"
    hash_keys: Annotated[
        int, Field(ge=1, le=1 << 31, description="ring-hash: distinct keys (users), drawn uniformly for each request")
    ] = 1000


class Connections(Strict):
    """The connections that one calling pod (or the client) keeps to a service.

    HTTP/1.1 and TCP carry one request at a time on a connection: a request takes an idle one, or opens one if there
    are fewer than ``max``, or waits in line. HTTP/2 and gRPC spread requests over all ``max`` connections in turn.
    A connection is served by one worker of each proxy on its way for as long as it lives.
    """

    to: Annotated[str, Field(description="Service that is called; * for all")] = "*"
    from_: Annotated[
        str, Field(alias="from", description="Service that calls; * for all of the application; client for outside")
    ] = "*"
    max: Annotated[int, Field(ge=1, le=100_000, description="Connections of one calling pod to the service")] = 1
    streams: Annotated[
        int, Field(ge=1, le=1_000_000, description="HTTP/2, gRPC: requests at a time on one connection")
    ] = 100
    max_pending: Annotated[
        int | None,
        Field(ge=0, le=1_000_000_000, description="Requests in line for a connection; one more gets a 503"),
    ] = None


__all__ = ["Balancing", "Connections"]
