"""The proxies that are measured, and what each needs of the host."""

from __future__ import annotations

from dataclasses import dataclass

from meshsim.measure.proxy.envoy import Envoy
from meshsim.measure.proxy.others import Caddy, Haproxy, Nginx
from meshsim.measure.proxy.software import Role, Running, Software, start
from meshsim.measure.proxy.traffic import ECHO_PORT, Pair, Protocol

PODS = ("root", "compiler", "namespaces", "ip", "iptables", "cgroup")
"""What every experiment with pods and redirection needs."""


@dataclass(frozen=True)
class Kind:
    """A proxy, and how far it can be measured."""

    software: Software
    needs: tuple[str, ...]
    title: str
    original_destination: bool = False
    """It finds out itself where redirected traffic was going; others are told."""
    protocols: tuple[Protocol, ...] = ("http1",)

    @property
    def key(self) -> str:
        """In names of operations and experiments."""
        return self.software.key

    def beside(self, pair: Pair, protocol: Protocol = "http1", software: Software | None = None) -> Running:
        """Start it beside the server, as a sidecar: what comes to the pod is redirected to it."""
        upstream = None if self.original_destination else ("127.0.0.1", ECHO_PORT)
        role = Role(protocol, upstream=upstream, captured=self.original_destination)
        return start(software or self.software, role, pair.server, cpus=pair.back)


ENVOY = Kind(Envoy(), (*PODS, "envoy"), "Envoy", True, ("http1", "http2", "tcp"))
OTHERS = (
    Kind(Nginx(), (*PODS, "nginx-lua"), "nginx with Lua"),
    Kind(Haproxy(), (*PODS, "haproxy"), "HAProxy", protocols=("http1", "tcp")),
    Kind(Caddy(), (*PODS, "caddy"), "Caddy (Go)"),
)
ALL = (ENVOY, *OTHERS)
