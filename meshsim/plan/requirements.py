"""A data plane as it is once the required features are met: who joins the path, and what is switched on where."""

from __future__ import annotations

from collections.abc import Sequence

from meshsim.costs.books import Costs
from meshsim.plan.runtime import in_its_runtime
from meshsim.scenario.application import Application, Protocol
from meshsim.scenario.capabilities import PRICED, required_proxies
from meshsim.scenario.dataplane import DataPlane, Proxy
from meshsim.scenario.extensions import FeatureOn
from meshsim.scenario.scenario import Scenario

PARSED: list[Protocol] = ["http1", "http2", "grpc"]


def as_installed(
    application: Application, dataplane: DataPlane, scenario: Scenario, costs: Costs
) -> tuple[Application, DataPlane]:
    """Application and data plane as they will run: requirements met, code in its runtime.

    Raises CapabilityError, and MissingCost for a runtime without a price.
    """
    dataplane = fulfilled(dataplane, all_requirements(application, scenario))
    return in_its_runtime(application, dataplane.runtime, costs), dataplane


def fulfilled(dataplane: DataPlane, requires: Sequence[str]) -> DataPlane:
    """The same data plane with every required feature provided.

    A proxy that does a required feature is on the path of every call that it can parse, also if the scenario asks for
    L4 only; features that cost extra are switched on there. Proxies that are ``only_for: fallback`` and not needed are
    left out. Raises CapabilityError for a feature that the file refuses or says nothing about.
    """
    needed = required_proxies(dataplane, requires)
    proxies = [_joined(proxy, needed[proxy.name]) if proxy.name in needed else proxy for proxy in dataplane.proxies]
    proxies = [proxy for proxy in proxies if proxy.only_for != "fallback"]
    return dataplane if proxies == dataplane.proxies else dataplane.model_copy(update={"proxies": proxies})


def notes_on(application: Application, dataplane: DataPlane, scenario: Scenario) -> list[str]:
    """What a reader of the results should know: fall-backs that were taken, calls that the mesh does not see."""
    notes = []
    for feature in all_requirements(application, scenario):
        answer = {str(name): each for name, each in dataplane.capabilities.items()}.get(feature)
        if answer is not None and answer.falls_back_to is not None:
            notes.append(f"{dataplane.name}: {feature} falls back to {answer.falls_back_to}, which is put on the path")
    spoken = {call.protocol for service in application.services for each in service.endpoints for call in each.calls()}
    for proxy in dataplane.proxies:
        past = sorted(spoken - set(proxy.protocols)) if proxy.protocols is not None else []
        if past:
            notes.append(f"{dataplane.name}: calls in {', '.join(past)} pass by the {proxy.name}, without mesh")
    return notes


def all_requirements(application: Application, scenario: Scenario) -> list[str]:
    """What the application and the scenario ask for, each feature once."""
    return list(dict.fromkeys([*application.requires, *scenario.requires]))


def _joined(proxy: Proxy, features: list[str]) -> Proxy:
    on = {feature.name for feature in proxy.features}
    priced = [PRICED[feature] for feature in features if feature in PRICED and PRICED[feature] not in on]
    update: dict[str, object] = {
        "features": [*proxy.features, *(FeatureOn.model_validate({"name": name}) for name in dict.fromkeys(priced))]
    }
    if proxy.only_for is not None:
        update |= {"only_for": None, "protocols": proxy.protocols or PARSED}
    return proxy.model_copy(update=update)
