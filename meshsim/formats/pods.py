"""A pod of a manifest: what its containers reserve, and every text in which they may name a host."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from meshsim.formats.fields import Value, missing
from meshsim.formats.hosts import Text

SIDECARS = ("istio-proxy", "linkerd-proxy", "kuma-sidecar", "consul-dataplane", "daprd")
"""Containers of meshes; the data plane brings its own."""
SUFFIXES = {
    "": 1.0, "n": 1e-9, "u": 1e-6, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18,
    "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40, "Pi": 2.0**50, "Ei": 2.0**60,
}  # fmt: skip
MOST = {"cpu": 512.0, "memory": 2.0**44}
"""Cores and bytes of a pod."""

Config = Mapping[tuple[str, str], Mapping[str, str]]
"""ConfigMaps: texts by key, by name and namespace."""


@dataclass(frozen=True)
class Pod:
    """Sums over the containers that are the application's."""

    reserved: dict[str, float]
    """``cpu_millicores`` and ``memory_mib``, as far as they are given."""
    cpu_limit: float | None
    """Millicores; None where a container has none."""
    texts: list[Text]
    sidecars: list[str]


def read_pod(spec: Value, config: Config, namespace: str) -> Pod:
    """A pod by its ``spec``. InputError with the line of what cannot be read."""
    containers = [container for container in spec["containers"].items() if container["name"].text() not in SIDECARS]
    sidecars = [one["name"].text() for one in spec["containers"].items() if one["name"].text() in SIDECARS]
    cpu = sum(reserved(container, "cpu") for container in containers) * 1000
    memory = sum(reserved(container, "memory") for container in containers) / 2**20
    limits = [quantity(container["resources"]["limits"]["cpu"], "cpu") * 1000 for container in containers]
    for name, total in (("cpu", max(cpu, sum(limits)) / 1000), ("memory", memory * 2**20)):
        if total > MOST[name]:
            raise spec["containers"].wrong(f"together they ask for more {name} than any node has")
    given = {"cpu_millicores": round(cpu, 3), "memory_mib": round(memory, 3)}
    texts = [text for container in containers for text in texts_of(container, config, namespace)]
    for volume in spec["volumes"].items():
        texts += [Text(content) for content in config.get((volume["configMap"]["name"].text(), namespace), {}).values()]
    return Pod(
        {name: value for name, value in given.items() if value > 0},
        round(sum(limits), 3) if limits and all(limits) else None,
        texts,
        sidecars,
    )


def reserved(container: Value, resource: str) -> float:
    """What a container requests; without a request, its limit counts (as Kubernetes does)."""
    resources = container["resources"]
    asked = resources["requests"][resource]
    return quantity(asked if asked.given else resources["limits"][resource], resource)


def quantity(value: Value, resource: str) -> float:
    """A Kubernetes quantity such as 100m, 0.5, 128Mi or 1e3, in cores or bytes; 0 where nothing is said."""
    if not value.given:
        return 0.0
    match = re.fullmatch(r"\+?(\d{1,40}\.?\d{0,40}|\.\d{1,40})([eE][+-]?\d{1,2}|[numkMGTPE]|[KMGTPE]i)?", value.plain())
    if match is None or isinstance(value.data, bool):
        raise value.wrong("a quantity such as 100m, 0.5, 128Mi or 1Gi was expected")
    suffix = match[2] or ""
    number = float(match[1]) * SUFFIXES[suffix] if suffix in SUFFIXES else float(match[1] + suffix)
    if number > MOST[resource]:
        raise value.wrong(f"must be at most {MOST[resource]:g} {'cores' if resource == 'cpu' else 'bytes'}")
    return number


def texts_of(container: Value, config: Config, namespace: str) -> Iterator[Text]:
    """What a container is told: environment, arguments, ConfigMaps."""
    for variable in container["env"].items():
        name = variable["name"].text()
        if not name:
            raise missing(variable, "name")
        key = variable["valueFrom"]["configMapKeyRef"]
        told = config.get((key["name"].text(), namespace), {}).get(key["key"].text(), "")
        yield Text(variable["value"].plain() or told, name)
    for source in container["envFrom"].items():
        told_all = config.get((source["configMapRef"]["name"].text(), namespace), {})
        for name, content in told_all.items():
            yield Text(content, name)
    for key_ in ("command", "args"):
        for word in container[key_].items():
            yield Text(word.plain())
