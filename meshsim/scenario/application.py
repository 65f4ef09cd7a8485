"""An application: services, their endpoints, and what one request does at each of them.

No mesh appears here. The same application runs over every data plane.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import networkx as nx
from pydantic import Field, field_validator, model_validator

from meshsim.scenario.base import Fraction, Name, PositiveInt, Source, Strict
from meshsim.scenario.capabilities import Feature

Protocol = Literal["http1", "http2", "grpc", "tcp"]


class Duration(Strict):
    """A random time: its mean and the law around it."""

    mean_us: Annotated[float, Field(gt=0, le=60_000_000, description="Mean, microseconds")]
    law: Annotated[
        Literal["constant", "exponential", "uniform", "lognormal", "gamma", "hyperexponential"],
        Field(description="Shape around the mean; uniform: from 0 to twice the mean"),
    ] = "lognormal"
    cv: Annotated[
        float,
        Field(gt=0, le=10, description="Standard deviation over mean; lognormal, gamma, hyperexponential"),
    ] = 0.5


RequestsPerConnection = Annotated[
    float | None,
    Field(ge=1, le=1e9, description="A new TCP connection every so many requests on average; left out: they stay open"),
]


class Call(Strict):
    """A request to another service, and the answer to it."""

    service: Annotated[str, Field(description="Name of the upstream service")]
    endpoint: Annotated[str, Field(description="Its endpoint; the first one when left out")] = ""
    protocol: Annotated[Protocol, Field(description="What the bytes are, as a proxy sees them")] = "http1"
    request_bytes: Annotated[int, Field(ge=0, le=1 << 30, description="Payload, bytes")] = 1024
    response_bytes: Annotated[int, Field(ge=0, le=1 << 30, description="Payload, bytes")] = 1024
    probability: Annotated[Fraction, Field(description="Share of visits in which the call is made")] = 1.0
    times: Annotated[int, Field(ge=1, le=1000, description="How often, one after the other")] = 1
    requests_per_connection: RequestsPerConnection = None
    optional: Annotated[bool, Field(description="The endpoint answers all the same when this call failed")] = False


class Step(Strict):
    """One step of an endpoint; exactly one of the four fields is given."""

    compute: Annotated[Duration | None, Field(description="CPU time in the application container")] = None
    wait: Annotated[Duration | None, Field(description="Time off the CPU: a disk, a sleep, an outside service")] = None
    call: Annotated[Call | None, Field(description="One call; the endpoint waits for the answer")] = None
    parallel: Annotated[
        list[list[Step]] | None,
        Field(min_length=1, description="Branches that run at the same time; the endpoint waits for all"),
    ] = None

    @field_validator("parallel", mode="before")
    @classmethod
    def _lone_step_is_a_branch(cls, value: Any) -> Any:
        if isinstance(value, list):
            return [[branch] if isinstance(branch, dict | Step) else branch for branch in value]
        return value

    @model_validator(mode="after")
    def _exactly_one(self) -> Step:
        given = [name for name in ("compute", "wait", "call", "parallel") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"a step has exactly one of compute, wait, call, parallel; this one has {given or 'none'}")
        return self


class Endpoint(Strict):
    """What one request does at a service."""

    name: Name
    steps: Annotated[list[Step], Field(description="In order; an empty list answers at once")] = []

    def calls(self) -> list[Call]:
        """Every call written in the steps, branches included, in the order of the file."""
        return list(_calls(self.steps))


def _calls(steps: list[Step]) -> list[Call]:
    found: list[Call] = []
    for step in steps:
        if step.call is not None:
            found.append(step.call)
        for branch in step.parallel or []:
            found.extend(_calls(branch))
    return found


class Concurrency(Strict):
    """How a container serves several requests at once."""

    model: Annotated[
        Literal["thread-per-request", "async"],
        Field(
            description="thread-per-request holds one of `threads` from first byte to answer; "
            "async holds one of `threads` only while it computes"
        ),
    ] = "async"
    threads: Annotated[int, Field(ge=1, le=100_000, description="Threads, or event loops, of one replica")] = 4
    queue: Annotated[
        int | None,
        Field(
            ge=0,
            le=1_000_000_000,
            description="Requests in line for a thread; one more gets a 503. No limit if left out",
        ),
    ] = None


class Resources(Strict):
    """What Kubernetes reserves for one container."""

    cpu_millicores: Annotated[float, Field(gt=0, le=512_000)] = 100.0
    memory_mib: Annotated[float, Field(gt=0, le=16_777_216)] = 128.0


class Service(Strict):
    """One microservice."""

    name: Name
    replicas: Annotated[int, Field(ge=1, le=100_000)] = 1
    concurrency: Concurrency = Concurrency()
    requests: Annotated[Resources, Field(description="Reserved for the application container")] = Resources()
    cpu_limit_millicores: Annotated[
        float | None, Field(gt=0, le=512_000, description="CPU limit of the application container; none if left out")
    ] = None
    memory_mib: Annotated[float, Field(gt=0, description="What the application container really uses")] = 64.0
    endpoints: Annotated[list[Endpoint], Field(min_length=1)]
    sources: list[Source] = []

    @model_validator(mode="after")
    def _endpoint_names_differ(self) -> Service:
        _refuse_duplicates([e.name for e in self.endpoints], f"endpoint of service {self.name}")
        return self

    def endpoint(self, name: str) -> Endpoint:
        """The endpoint of that name; the first one for an empty name. KeyError if there is none."""
        if not name:
            return self.endpoints[0]
        for endpoint in self.endpoints:
            if endpoint.name == name:
                return endpoint
        raise KeyError(name)


class Entry(Strict):
    """Where traffic from outside comes in."""

    service: str
    endpoint: Annotated[str, Field(description="The first one when left out")] = ""
    weight: Annotated[float, Field(gt=0, description="Share of the traffic, against the other entries")] = 1.0
    protocol: Protocol = "http1"
    request_bytes: Annotated[int, Field(ge=0, le=1 << 30, description="Payload, bytes")] = 1024
    response_bytes: Annotated[int, Field(ge=0, le=1 << 30, description="Payload, bytes")] = 1024
    requests_per_connection: RequestsPerConnection = None


class Application(Strict):
    """A graph of services and the places where traffic enters it."""

    schema_: Annotated[Literal["meshsim/application/1"], Field(alias="schema")]
    name: Name
    title: str = ""
    summary: str = ""
    entries: Annotated[list[Entry], Field(min_length=1)]
    services: Annotated[list[Service], Field(min_length=1)]
    requires: Annotated[
        list[Feature], Field(description="Features that it needs from the data plane, such as header-retries")
    ] = []
    sources: list[Source] = []

    @model_validator(mode="after")
    def _graph_is_sound(self) -> Application:
        _refuse_duplicates([s.name for s in self.services], "service")
        known = {service.name: service for service in self.services}
        for entry in self.entries:
            _must_resolve(known, entry.service, entry.endpoint, "entry")
        graph: nx.DiGraph[tuple[str, str]] = nx.DiGraph()
        for service in self.services:
            for endpoint in service.endpoints:
                graph.add_node((service.name, endpoint.name))
                for call in endpoint.calls():
                    where = f"{service.name}/{endpoint.name}"
                    target = _must_resolve(known, call.service, call.endpoint, f"call in {where}")
                    graph.add_edge((service.name, endpoint.name), (call.service, target.name))
        if not nx.is_directed_acyclic_graph(graph):
            cycle = [f"{service}/{endpoint}" for (service, endpoint), _ in nx.find_cycle(graph)]
            raise ValueError(
                f"the call graph has a cycle: {' -> '.join([*cycle, cycle[0]])}; a request would never end"
            )
        return self

    def service(self, name: str) -> Service:
        """The service of that name; KeyError if there is none."""
        return {service.name: service for service in self.services}[name]


def _must_resolve(known: dict[str, Service], service: str, endpoint: str, what: str) -> Endpoint:
    from meshsim.scenario.suggest import choices

    if service not in known:
        raise ValueError(f"{what}: unknown service {service!r}; {choices(service, known)}")
    try:
        return known[service].endpoint(endpoint)
    except KeyError:
        names = [e.name for e in known[service].endpoints]
        raise ValueError(
            f"{what}: service {service} has no endpoint {endpoint!r}; {choices(endpoint, names)}"
        ) from None


def _refuse_duplicates(names: list[str], what: str) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ValueError(f"{what} {name!r} is defined twice")
        seen.add(name)


__all__ = [
    "Application",
    "Call",
    "Concurrency",
    "Duration",
    "Endpoint",
    "Entry",
    "PositiveInt",
    "Protocol",
    "Resources",
    "Service",
    "Step",
]
