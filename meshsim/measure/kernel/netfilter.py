"""Pods with packet filters: service addresses by DNAT, capture by REDIRECT and TPROXY; both iptables back-ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from meshsim.measure.doctor import version_of
from meshsim.measure.kernel.paths import tcp
from meshsim.measure.lab import Lab, Pod, program

Backend = Literal["legacy", "nft"]

SERVICE = "10.97.0.1"
"""A service address: rewritten to the server's pod."""
ELSEWHERE = "10.98.0.1"
"""An address outside: captured and brought to a port of the same pod, as a sidecar captures what its pod sends."""
CAPTURED_PORT = 80
PROXY_PORT = 15_001


def default_backend() -> Backend:
    """What the command ``iptables`` of this host uses."""
    return "nft" if "nf_tables" in version_of("iptables", "--version") else "legacy"


def backends() -> list[Backend]:
    """Those this host has, the default one first."""
    first = default_backend()
    others: list[Backend] = ["legacy" if first == "nft" else "nft"]
    return [first, *(other for other in others if program(f"iptables-{other}-restore"))]


def restore(pod: Pod, backend: Backend, rules: str) -> None:
    """Load rules, in the words of iptables-save. LabError with the command's words if it refuses them."""
    command = program(f"iptables-{backend}-restore") or program("iptables-restore") or "iptables-restore"
    pod.run([command], stdin=rules)


def service_rules(others: int, server: str, port: int) -> str:
    """The nat table of a node with ``others`` services beside ours, whose rules are walked before ours is found."""
    lines = ["*nat", ":OUTPUT ACCEPT [0:0]"]
    for number in range(others):
        where = f"10.{100 + number // 65_536}.{number // 256 % 256}.{number % 256}/32"
        lines.append(f"-A OUTPUT -d {where} -p tcp -m tcp --dport 80 -j DNAT --to-destination {server}:{port}")
    lines += [
        f"-A OUTPUT -d {SERVICE}/32 -p tcp -m tcp --dport 80 -j DNAT --to-destination {server}:{port}",
        f"-A OUTPUT -d {ELSEWHERE}/32 -p tcp -m tcp --dport 80 -j REDIRECT --to-ports {PROXY_PORT}",
        "COMMIT",
        "",
    ]
    return "\n".join(lines)


@dataclass(frozen=True)
class ServicePod:
    """A pod whose connections to a service address go to ``server``, and to ELSEWHERE to a port of its own."""

    pod: Pod
    server: Pod
    port: int

    def service(self) -> str:
        """The path to the server by its service address."""
        return tcp(self.pod, self.server, self.port, connect=(SERVICE, 80))

    def captured(self) -> str:
        """The path that is captured on its way out."""
        return tcp(self.pod, self.pod, 0, listen=("0.0.0.0", PROXY_PORT), connect=(ELSEWHERE, 80))


def service_pod(lab: Lab, backend: Backend, others: int, server: Pod, port: int) -> ServicePod:
    """A pod with the rules of ``service_rules``. ``port``: of the server, one a pod."""
    pod = lab.pod(f"{backend}-{others}")
    pod.run(["ip", "route", "add", "default", "via", lab.gateway])
    restore(pod, backend, service_rules(others, server.address, port))
    return ServicePod(pod, server, port)


def tracked_pod(lab: Lab, backend: Backend) -> Pod:
    """A pod whose connections are tracked, and nothing else."""
    pod = lab.pod("tracked")
    restore(
        pod, backend,
        "*filter\n:OUTPUT ACCEPT [0:0]\n-A OUTPUT -m conntrack --ctstate INVALID -j DROP\nCOMMIT\n",
    )  # fmt: skip
    return pod


def inbound_redirect(lab: Lab, backend: Backend, client: Pod) -> str:
    """The path into a pod that captures what comes in by REDIRECT, as a sidecar does."""
    pod = lab.pod("captures-inbound")
    rule = f"-A PREROUTING -p tcp -m tcp --dport {CAPTURED_PORT} -j REDIRECT --to-ports {PROXY_PORT}"
    restore(pod, backend, f"*nat\n:PREROUTING ACCEPT [0:0]\n{rule}\nCOMMIT\n")
    return tcp(client, pod, 0, listen=("0.0.0.0", PROXY_PORT), connect=(pod.address, CAPTURED_PORT))


def inbound_tproxy(lab: Lab, backend: Backend, client: Pod) -> str:
    """The path into a pod that captures what comes in by TPROXY: no address is rewritten, the route is."""
    pod = lab.pod("tproxy")
    rule = (
        f"-A PREROUTING -p tcp -m tcp --dport {CAPTURED_PORT} -j TPROXY --on-port {PROXY_PORT} --on-ip 0.0.0.0 "
        "--tproxy-mark 0x1/0xffffffff"
    )
    restore(pod, backend, f"*mangle\n:PREROUTING ACCEPT [0:0]\n{rule}\nCOMMIT\n")
    pod.run(["ip", "rule", "add", "fwmark", "1", "lookup", "100"])
    pod.run(["ip", "route", "add", "local", "0.0.0.0/0", "dev", "lo", "table", "100"])
    where = (pod.address, CAPTURED_PORT)
    return tcp(client, pod, 0, listen=("0.0.0.0", PROXY_PORT), connect=where, transparent=True)
