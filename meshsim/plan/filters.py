"""What runs inside a proxy besides forwarding: built-in features, scripts, plug-ins, and other processes it asks."""

from __future__ import annotations

from typing import Literal

from meshsim.costs.books import Costs
from meshsim.plan.plan import FIRST_PROXY_SLOT
from meshsim.plan.program import Program, spend
from meshsim.plan.stops import Stop
from meshsim.plan.workers import give_worker_back, take_worker
from meshsim.scenario.dataplane import DataPlane
from meshsim.scenario.extensions import Extension

AFTER_THE_ANSWER = ("access-log", "tracing")
"""Features whose work begins when the answer has been sent."""


def before_forwarding(stop: Stop, dataplane: DataPlane, key: str, costs: Costs) -> Program:
    """What a request has to pass before it is sent on. The worker is held before and behind."""
    program: Program = []
    for feature in stop.proxy.features:
        if feature.name not in AFTER_THE_ANSWER:
            program += _feature(stop, feature.name, feature.count, key, costs)
    return program + extensions_on("request", stop, dataplane, key, costs)


def extensions_on(
    direction: Literal["request", "response"], stop: Stop, dataplane: DataPlane, key: str, costs: Costs
) -> Program:
    """Filters of one's own that handle messages of this direction; an answer meets the last one first."""
    order = stop.proxy.extensions if direction == "request" else reversed(stop.proxy.extensions)
    program: Program = []
    for extension in order:
        if extension.on in (direction, "both"):
            for copy in range(extension.copies):
                program += _extension(stop, extension, dataplane, f"{key} {extension.name} {copy}", costs)
    return program


def after_the_answer(stop: Stop, key: str, costs: Costs) -> Program:
    """Log lines and spans: they delay the next request of this worker, not this one."""
    program: Program = []
    for feature in stop.proxy.features:
        if feature.name in AFTER_THE_ANSWER:
            program += _feature(stop, feature.name, feature.count, key, costs)
    return program


def _feature(stop: Stop, name: str, count: float, key: str, costs: Costs) -> Program:
    return spend(
        costs[f"proxy.{stop.proxy.software}.feature.{name}"], "proxy", stop.place, f"{key} {name}", times=count
    )


def _extension(stop: Stop, extension: Extension, dataplane: DataPlane, key: str, costs: Costs) -> Program:
    book = f"proxy.{stop.proxy.software}"
    if extension.kind == "native":
        return spend(costs[f"{book}.feature.header-mutation"], "proxy", stop.place, key)
    if extension.kind == "lua":
        return spend(costs[f"{book}.lua.request"], "proxy", stop.place, key)
    if extension.kind == "wasm":
        machine = f"{book}.wasm.{extension.runtime}"
        program = spend(costs[f"{machine}.request"], "proxy", stop.place, key)
        if extension.host_calls:
            program += spend(costs[f"{machine}.host-call"], "proxy", stop.place, key, times=extension.host_calls)
        if extension.compute_bytes:
            program += spend(costs[f"{machine}.compute"], "proxy", stop.place, key, size=extension.compute_bytes)
        return program
    return _ask(stop, extension, dataplane, key, costs)


def _ask(stop: Stop, extension: Extension, dataplane: DataPlane, key: str, costs: Costs) -> Program:
    """Ask another process. The worker serves others meanwhile, and is woken again by the answer."""
    number = next(n for n, proxy in enumerate(dataplane.proxies) if proxy.name == extension.process)
    asked, slot, at = dataplane.proxies[number], FIRST_PROXY_SLOT + number, stop.place
    own, other = f"proxy.{stop.proxy.software}", f"proxy.{asked.software}"
    return [
        *spend(costs[f"{own}.feature.ext-authz"], "proxy", at, key),
        give_worker_back(stop.proxy, at, stop.slot),
        *take_worker(asked.software, at, slot, key, costs),
        *spend(costs[f"{other}.check"], "proxy", at, key),
        give_worker_back(asked, at, slot),
        *take_worker(stop.proxy.software, at, stop.slot, f"{key} answer", costs),
    ]
