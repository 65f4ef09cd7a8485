"""The application's own code in another runtime: what compiling services to WebAssembly does to time and memory."""

from __future__ import annotations

from meshsim.costs.books import Costs
from meshsim.scenario.application import Application, Endpoint, Resources, Service, Step
from meshsim.scenario.dataplane import Runtime

MIB = 1024 * 1024
LEAST_MIB = 0.1
"""No pod is smaller than this, whatever the arithmetic says."""


def in_its_runtime(application: Application, runtime: Runtime, costs: Costs) -> Application:
    """The same application as ``runtime`` runs it: unchanged in containers.

    In Wasm every compute step takes ``runtime.wasm.<it>.compute`` (a ratio) times as long, and of the memory of each
    service the part of its language runtime goes (``memory.runtime.container-<process>``) and a Wasm host and its
    instances come (``memory.runtime.wasm-host``, ``.wasm-instance``); with ``host: shared`` the host is counted once a
    node, in the bill. Reserved memory changes by as much: that is the density. What a service keeps of its own stays.
    """
    if runtime.kind == "container":
        return application
    ratio = costs[f"runtime.wasm.{runtime.wasm}.compute"].ratio
    gone = costs[f"memory.runtime.container-{runtime.process}"].bytes / MIB
    come = costs["memory.runtime.wasm-instance"].bytes / MIB * runtime.instances
    if runtime.host == "per-pod":
        come += costs["memory.runtime.wasm-host"].bytes / MIB
    services = [_service(service, ratio, gone, come) for service in application.services]
    return application.model_copy(update={"services": services})


def _service(service: Service, ratio: float, gone_mib: float, come_mib: float) -> Service:
    memory = max(service.memory_mib - gone_mib, 0.0) + come_mib
    reserved = max(service.requests.memory_mib + memory - service.memory_mib, LEAST_MIB)
    requests = Resources(cpu_millicores=service.requests.cpu_millicores, memory_mib=reserved)
    endpoints = [
        Endpoint(name=endpoint.name, steps=[_step(step, ratio) for step in endpoint.steps])
        for endpoint in service.endpoints
    ]
    return service.model_copy(
        update={"memory_mib": max(memory, LEAST_MIB), "requests": requests, "endpoints": endpoints}
    )


def _step(step: Step, ratio: float) -> Step:
    if step.compute is not None:
        longer = step.compute.model_copy(update={"mean_us": step.compute.mean_us * ratio})
        return step.model_copy(update={"compute": longer})
    if step.parallel is not None:
        return step.model_copy(update={"parallel": [[_step(s, ratio) for s in branch] for branch in step.parallel]})
    return step
