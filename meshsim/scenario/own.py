"""Models of the catalogue with prices and reservations of one's own."""

from __future__ import annotations

from pydantic import ValidationError

from meshsim.scenario.application import Resources
from meshsim.scenario.base import MeshsimError, Source
from meshsim.scenario.dataplane import DataPlane, Proxy
from meshsim.scenario.machine import Machine


def priced(machine: Machine, usd_hour: float, price_date: str) -> Machine:
    """The node at another price, US dollars an hour, of that day (YYYY-MM-DD). MeshsimError for wrong values."""
    changed = {
        **machine.model_dump(mode="json", by_alias=True),
        "usd_hour": usd_hour,
        "price_date": price_date,
        "sources": [
            Source(ref="own price", note=f"{machine.name} at a price of one's own, {usd_hour!r} US dollars an hour"),
            *machine.sources,
        ],
    }
    try:
        return Machine.model_validate(changed)
    except ValidationError as error:
        wrong = error.errors(include_url=False)[0]
        name = ".".join(map(str, wrong["loc"]))
        raise MeshsimError(f"{name}: {wrong['input']!r} received; {wrong['msg']}") from None


def with_sidecars(
    dataplane: DataPlane,
    cpu_millicores: float | None = None,
    memory_mib: float | None = None,
    limit_millicores: float | None = None,
) -> DataPlane:
    """What every proxy in a pod reserves (CPU, memory) and may use at most (CPU); None leaves it as it is.

    Data planes without proxies in pods come back unchanged. Worker threads stay as many as they are.
    """

    def changed(proxy: Proxy) -> Proxy:
        if proxy.placed != "pod":
            return proxy
        asked = {"cpu_millicores": cpu_millicores, "memory_mib": memory_mib}
        requests = proxy.requests.model_copy(update={name: value for name, value in asked.items() if value is not None})
        proxy = proxy.model_copy(update={"requests": requests})
        return proxy if limit_millicores is None else with_limit(proxy, limit_millicores)

    return dataplane.model_copy(update={"proxies": [changed(proxy) for proxy in dataplane.proxies]})


def with_limit(proxy: Proxy, millicores: float) -> Proxy:
    """At most so much CPU. Kubernetes refuses to reserve more than the limit, so the reservation goes down with it."""
    reserved = proxy.requests.model_copy(update={"cpu_millicores": min(proxy.requests.cpu_millicores, millicores)})
    memory = (proxy.limits or proxy.requests).memory_mib
    limits = Resources(cpu_millicores=millicores, memory_mib=memory)
    return proxy.model_copy(update={"limits": limits, "requests": reserved})
