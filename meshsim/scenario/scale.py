"""The same application with another number of services, and how often a request visits each of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import TypeVar

import networkx as nx
from pydantic import BaseModel

from meshsim.scenario.application import Application, Call, Endpoint, Service, Step
from meshsim.scenario.base import MeshsimError
from meshsim.scenario.no_collection import no_collection

EndpointId = tuple[str, str]
"""Service and endpoint."""

LONGEST_NAME = 120
"""Of ``meshsim.scenario.base.Name``."""

M = TypeVar("M", bound=BaseModel)


def visits(application: Application) -> dict[EndpointId, float]:
    """Expected visits to every endpoint per end-to-end request; 0 for one that no entry reaches.

    The traffic equations of the acyclic call graph: an endpoint is visited by the share of the traffic that
    enters there, and by each caller as often as the caller is visited, times ``probability`` and ``times`` of
    the call. Branches of a parallel step are all taken.
    """
    endpoints = {(s.name, e.name): e for s in application.services for e in s.endpoints}
    first = {s.name: s.endpoints[0].name for s in application.services}
    calls = {caller: list(_traffic(endpoint, first)) for caller, endpoint in endpoints.items()}
    found = dict.fromkeys(endpoints, 0.0)
    weight = sum(entry.weight for entry in application.entries)
    for entry in application.entries:
        found[entry.service, entry.endpoint or first[entry.service]] += entry.weight / weight

    callers = Counter(callee for made in calls.values() for callee, _ in made)
    ready = [endpoint for endpoint in endpoints if not callers[endpoint]]
    while ready:  # an endpoint is final once all its callers are
        caller = ready.pop()
        for callee, mean_calls in calls[caller]:
            found[callee] += found[caller] * mean_calls
            callers[callee] -= 1
            if not callers[callee]:
                ready.append(callee)
    return found


def calls_per_request(application: Application) -> float:
    """Expected calls between services per end-to-end request; the client's own request is not counted."""
    found = visits(application)
    return sum(
        found[service.name, endpoint.name] * call.probability * call.times
        for service in application.services
        for endpoint in service.endpoints
        for call in endpoint.calls()
    )


def scale(application: Application, services: int) -> Application:
    """The same application with exactly ``services`` services.

    Growing means that the organisation grows: there are more services of the same kinds, and a request does
    not get deeper. Each service is a *role*, and every new service is one more copy of a role (cart, cart-2,
    cart-3 …). All roles get the same number of copies, or one more: callers before those they call. Copy *i*
    of a role with *a* copies calls copy ⌊i·b/a⌋ of a role with *b* copies. So each service keeps its calls,
    payloads, probabilities, replicas and reservations; the depth stays; and a request visits each role as
    often as before, only spread over more services. Each copy of an entry service gets an equal part of the
    weight of the entry, so the mix of requests stays too.

    Shrinking drops the services that a request visits least, leaves of the call graph first, together with
    the calls to them. Entry services stay.

    MeshsimError if ``services`` is smaller than the number of entry services, or if the name of a copy would
    be longer than a name may be.
    """
    base = len(application.services)
    entries = list(dict.fromkeys(entry.service for entry in application.entries))
    if services < len(entries):
        raise MeshsimError(
            f"services: {services} received; {application.name} needs at least {len(entries)}: "
            f"its entry services {', '.join(entries)}"
        )
    if services == base:
        return application
    with no_collection():
        return _shrink(application, services) if services < base else _grow(application, services)


# Neither way needs the checks of pydantic again. Fields are copied from a model that passed them, and every
# new call runs along a call of the old graph, so names resolve and no cycle can appear.


def _grow(application: Application, services: int) -> Application:
    copies = _copies(application, services)
    names = {role: list(_names(role, count, copies)) for role, count in copies.items()}

    def copy(service: Service, number: int) -> Service:
        own = copies[service.name]

        def retarget(call: Call) -> Call:
            callee = names[call.service][number * copies[call.service] // own]
            return call if callee == call.service else _with(call, service=callee)

        endpoints = [_with_calls(endpoint, retarget) for endpoint in service.endpoints]
        return _with(service, name=names[service.name][number], endpoints=endpoints)

    return _with(
        application,
        services=[copy(s, number) for s in application.services for number in range(copies[s.name])],
        entries=[
            _with(entry, service=name, weight=entry.weight / copies[entry.service])
            for entry in application.entries
            for name in names[entry.service]
        ],
    )


def _copies(application: Application, services: int) -> dict[str, int]:
    """Copies of each role, in the order of the file.

    The odd ones go to callers first: a caller then has no fewer copies than those it calls, and no copy is
    left without a caller.
    """
    each, odd = divmod(services, len(application.services))
    more = set(_callers_first(application)[:odd])
    return {s.name: each + (s.name in more) for s in application.services}


def _callers_first(application: Application) -> list[str]:
    """Services, each before those it calls; services that call each other in a circle stand together."""
    place = {service.name: number for number, service in enumerate(application.services)}
    graph: nx.DiGraph[str] = nx.DiGraph()
    for caller, callees in _callees(application).items():
        graph.add_node(caller)
        graph.add_edges_from((caller, callee) for callee in callees)
    circles = nx.condensation(graph)
    members = {node: sorted(circles.nodes[node]["members"], key=place.__getitem__) for node in circles}
    ordered = nx.lexicographical_topological_sort(circles, key=lambda node: place[members[node][0]])
    return [service for node in ordered for service in members[node]]


def _names(role: str, count: int, taken: dict[str, int]) -> Iterator[str]:
    yield role
    number, left = 2, count - 1
    while left:
        name = f"{role}-{number}"
        if len(name) > LONGEST_NAME:
            raise MeshsimError(
                f"service name {role!r}: no room for a number; a name has at most {LONGEST_NAME} letters"
            )
        if name not in taken:
            yield name
            left -= 1
        number += 1


def _shrink(application: Application, services: int) -> Application:
    traffic = dict.fromkeys(callees := _callees(application), 0.0)
    for (service, _), mean in visits(application).items():
        traffic[service] += mean
    entries = {entry.service for entry in application.entries}
    kept = [service.name for service in application.services]
    while len(kept) > services:
        droppable = [name for name in kept if name not in entries]
        # Only a cycle among services (not among endpoints) can leave no leaf.
        leaves = [name for name in droppable if not traffic[name] or not callees[name]] or droppable
        dropped = min(leaves, key=lambda name: (traffic[name], -kept.index(name)))
        kept.remove(dropped)
        for called in callees.values():
            called.pop(dropped, None)

    keep = set(kept)
    return _with(
        application,
        services=[
            _with(s, endpoints=[_with(e, steps=_without(e.steps, keep)) for e in s.endpoints])
            for s in application.services
            if s.name in keep
        ],
    )


def _without(steps: list[Step], keep: set[str]) -> list[Step]:
    """The steps without calls to services that are not kept, and without what those leave empty."""
    left: list[Step] = []
    for step in steps:
        if step.parallel is not None:
            branches = [branch for branch in (_without(b, keep) for b in step.parallel) if branch]
            if branches:
                left.append(_with(step, parallel=branches))
        elif step.call is None or step.call.service in keep:
            left.append(step)
    return left


def _with_calls(endpoint: Endpoint, change: Callable[[Call], Call]) -> Endpoint:
    return _with(endpoint, steps=_changed(endpoint.steps, change)) if endpoint.steps else endpoint


def _changed(steps: list[Step], change: Callable[[Call], Call]) -> list[Step]:
    changed: list[Step] = []
    for step in steps:
        if step.call is not None:
            call = change(step.call)
            changed.append(step if call is step.call else _with(step, call=call))
        elif step.parallel is not None:
            changed.append(_with(step, parallel=[_changed(branch, change) for branch in step.parallel]))
        else:
            changed.append(step)
    return changed


def _with(model: M, **fields: object) -> M:
    """``model_copy``, which takes four times as long: ten thousand services are a hundred thousand copies."""
    copied = object.__new__(type(model))
    object.__setattr__(copied, "__dict__", {**model.__dict__, **fields})
    object.__setattr__(copied, "__pydantic_fields_set__", model.__pydantic_fields_set__ | fields.keys())
    object.__setattr__(copied, "__pydantic_extra__", None)  # no model of ours has any
    object.__setattr__(copied, "__pydantic_private__", None)
    return copied


def _traffic(endpoint: Endpoint, first: dict[str, str]) -> Iterator[tuple[EndpointId, float]]:
    """Callee and mean number of calls, for each call written in the endpoint."""
    for call in endpoint.calls():
        yield (call.service, call.endpoint or first[call.service]), call.probability * call.times


def _callees(application: Application) -> dict[str, dict[str, None]]:
    """The other services that each one calls; the inner dict is a set that keeps the order of the file."""
    return {
        service.name: {
            call.service: None
            for endpoint in service.endpoints
            for call in endpoint.calls()
            if call.service != service.name
        }
        for service in application.services
    }
