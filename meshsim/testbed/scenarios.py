"""The scenarios of ``models/validation``: files that both the simulator and the testbed read, and what each is for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from meshsim.scenario.application import Application, Call, Service
from meshsim.scenario.base import MeshsimError
from meshsim.scenario.catalog import load_dataplane, load_scenario, models_root
from meshsim.scenario.dataplane import DataPlane
from meshsim.scenario.scenario import Scenario
from meshsim.scenario.suggest import choices

LOADS = (0.1, 0.5, 0.8)
"""Open-loop rates, as shares of what a closed loop reaches."""
SATURATED = "saturation"
CLIENTS = 32
"""Connections of a generator, and clients of the closed loop."""
NO_MESH = "no-mesh"
"""Data plane that others are compared with."""
BASELINE = "no-mesh.one-hop-64b"
"""From it the own work of generator and server is taken: their time in user mode."""
FITTED = {
    BASELINE: "gives the own work of the testbed's programs",
    "one-sidecar.one-hop-64b": "the setting of proxy.envoy.load, but for the pinning",
    "one-sidecar.one-hop-64k": "the setting of proxy.envoy.messages, but for the pinning",
    "one-sidecar.one-hop-http2": "the setting of proxy.envoy.messages, but for the pinning",
}
"""Scenarios near to what the cost book was fitted to: no validation, shown all the same."""
QUICK = (BASELINE, "one-sidecar.one-hop-64b", "two-sidecars.one-hop-64b", "sockmap.one-hop-64b", "no-mesh.chain-of-3")


@dataclass(frozen=True)
class Case:
    """One scenario file: an application over a data plane. It is driven at several loads."""

    path: Path

    @property
    def name(self) -> str:
        """DATAPLANE.APPLICATION."""
        return self.path.stem

    @cached_property
    def scenario(self) -> Scenario:
        """As the file says it."""
        return load_scenario(self.path)

    @cached_property
    def application(self) -> Application:
        """What it names."""
        from meshsim.formats.load import load_application

        application, _ = load_application(self.scenario.application, self.path.parent)
        return _understood(application, self.name)

    @cached_property
    def dataplane(self) -> DataPlane:
        """What it names."""
        return load_dataplane(self.scenario.dataplane, self.path.parent)

    @property
    def generators(self) -> list[Service]:
        """Services that requests enter: load generators."""
        return [self.application.service(entry.service) for entry in self.application.entries]

    @property
    def servers(self) -> list[Service]:
        """All others."""
        generators = {service.name for service in self.generators}
        return [service for service in self.application.services if service.name not in generators]

    def shares(self) -> dict[str, float]:
        """Of all requests, by generator."""
        total = sum(entry.weight for entry in self.application.entries)
        return {entry.service: entry.weight / total for entry in self.application.entries}

    @property
    def used_for_fitting(self) -> bool:
        """Whether the cost book knows this setting."""
        return self.name in FITTED


def folder() -> Path:
    """Where the files are."""
    return models_root() / "validation"


def cases(only: Sequence[str] = ()) -> list[Case]:
    """All, or those named; the baseline comes first. MeshsimError for a name that is none."""
    paths = {path.stem: path for path in sorted((folder() / "scenarios").glob("*.yaml"))}
    for name in only:
        if name not in paths:
            raise MeshsimError(f"--only: {name!r} received; {choices(name, list(paths), 40)}")
    chosen = [name for name in paths if not only or name in only]
    return [Case(paths[name]) for name in sorted(chosen, key=lambda name: name != BASELINE)]


def only_call(service: Service) -> Call:
    """The call of a generator."""
    call = service.endpoints[0].steps[0].call
    assert call is not None
    return call


def _understood(application: Application, name: str) -> Application:
    """The application, if the testbed's programs can do it. MeshsimError with the reason if not."""

    def refuse(where: str, why: str) -> MeshsimError:
        return MeshsimError(f"{name}: {where}: {why}")

    entered = {entry.service for entry in application.entries}
    for service in application.services:
        if len(service.endpoints) != 1 or service.replicas != 1:
            raise refuse(service.name, "the testbed runs one replica with one endpoint of each service")
        if service.concurrency.model != "async" or service.concurrency.threads != 1:
            raise refuse(service.name, "concurrency: async with 1 thread is what the testbed's programs are")
        steps = service.endpoints[0].steps
        if service.name in entered and (len(steps) != 1 or steps[0].call is None):
            raise refuse(service.name, "a generator has one step, a call")
        for step in steps:
            if step.wait is not None:
                raise refuse(service.name, "wait: the testbed's servers compute and call, they do not sleep")
            if step.compute is not None and step.compute.law != "constant":
                raise refuse(service.name, f"compute.law: {step.compute.law} received; the testbed has constant only")
        if service.name not in entered and any(call.protocol != "http1" for call in service.endpoints[0].calls()):
            raise refuse(service.name, "servers of the testbed call by http1")
        for call in service.endpoints[0].calls():
            if call.times != 1 or call.probability != 1.0 or call.requests_per_connection is not None:
                raise refuse(service.name, "calls of the testbed are made once, always, on open connections")
    return application
