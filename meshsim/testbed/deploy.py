"""A scenario built for real: a pod for each service, servers, Envoys, and redirection by iptables or eBPF.

Service addresses become pod addresses as ``kernel.service_routing`` says: rules of iptables in the caller's pod, or a
program at the caller's connect(). Proxies are reached as their ``capture`` says.
"""

from __future__ import annotations

import socket
import struct
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from meshsim.measure.doctor import capability
from meshsim.measure.ebpf.attach import at_cgroup
from meshsim.measure.ebpf.objects import Loaded
from meshsim.measure.ebpf.system import attach_to_map, update_many
from meshsim.measure.lab import Cgroup, Lab, Pod, Process
from meshsim.measure.native import tool
from meshsim.measure.proxy.software import Running, start
from meshsim.measure.proxy.tls import Identity, identity
from meshsim.measure.proxy.traffic import started
from meshsim.scenario.application import Call, Service
from meshsim.scenario.base import MeshsimError
from meshsim.scenario.dataplane import Proxy
from meshsim.testbed.envoy_config import INBOUND_PORT, MARK, OUTBOUND_PORT, listeners
from meshsim.testbed.scenarios import Case

PORT = 8080
"""Of every service, at its service address and in its pod."""


@dataclass
class Deployed:
    """A mesh that runs."""

    pods: dict[str, Pod]
    addresses: dict[str, str]
    """Service addresses."""
    applications: dict[str, Cgroup]
    """By service; generators join theirs when they are started."""
    proxies: dict[str, Running] = field(default_factory=dict)
    """By 'PROXY of SERVICE', or by the name of a node's proxy."""
    servers: dict[str, Process] = field(default_factory=dict)

    def watched(self) -> dict[str, Cgroup]:
        """Cgroups by the names that readings have: 'application.NAME', 'proxy.NAME'."""
        found = {f"application.{name}": cgroup for name, cgroup in self.applications.items()}
        return found | {f"proxy.{name}": running.cgroup for name, running in self.proxies.items()}

    def threads(self) -> dict[str, Path]:
        """Threads that do the work, by the same names: of servers, and of proxies with one worker."""
        found = {f"application.{name}": Path(f"/proc/{p.pid}/task/{p.pid}") for name, p in self.servers.items()}
        for name, running in self.proxies.items():
            worker = running.software.worker(running.pids()) if running.role.workers == 1 else None
            if worker is not None:
                found[f"proxy.{name}"] = worker
        return found


def needs(case: Case) -> list[str]:
    """Capabilities of the host (doctor) that a scenario needs."""
    dataplane = case.dataplane
    found = ["root", "compiler", "namespaces", "ip", "cgroup"]
    if dataplane.proxies:
        found.append("envoy")
    captures = {proxy.capture for proxy in dataplane.proxies}
    if dataplane.kernel.service_routing == "iptables" or captures & {"iptables-redirect", "sockmap"}:
        found.append("iptables")
    if dataplane.kernel.service_routing == "ebpf":
        found.append("bpf")
    if any(proxy.terminates_mtls for proxy in dataplane.proxies):
        found.append("openssl")
    return found


def lacking(case: Case) -> list[str]:
    """What this host lacks of them, with the remedy."""
    return [f"{one.what} ({one.remedy})" for one in map(capability, needs(case)) if not one.ok]


def deploy(case: Case, lab: Lab, stack: ExitStack) -> Deployed:
    """Build it. Programs of eBPF stay attached until the stack is closed, all else until the lab's scope ends.

    MeshsimError for what the testbed cannot build, LabError for what the host refuses.
    """
    services = case.application.services
    pods = {service.name: lab.pod(service.name) for service in services}
    addresses = {service.name: f"10.96.0.{number + 1}" for number, service in enumerate(services)}
    mesh = Deployed(pods, addresses, {service.name: lab.cgroup() for service in services})
    for pod in pods.values():
        pod.run(["ip", "route", "add", "default", "via", lab.gateway])
        pod.run(["sh", "-c", "echo 1 > /proc/sys/net/ipv4/tcp_tw_reuse"])
    _route_services(case, mesh, stack)
    proxies = case.dataplane.proxies
    if len(proxies) > 1:
        raise MeshsimError(f"{case.name}: {len(proxies)} proxies on the path; the testbed builds one kind")
    for proxy in proxies:
        who = identity(lab) if proxy.terminates_mtls else None
        if proxy.placed == "pod":
            _sidecars(case, mesh, proxy, who, stack)
        elif proxy.placed == "node":
            _node_proxy(case, mesh, proxy, lab, stack)
        else:
            raise MeshsimError(f"{case.name}: a proxy placed {proxy.placed}; the testbed has pod and node")
    if case.dataplane.kernel.sockmap and not proxies:
        joined = [mesh.applications[service.name] for service in services]
        _join(stack, PORT, joined)
    for service in case.servers:
        words = [str(tool("echo")), "--port", str(PORT), *_steps(service, mesh)]
        mesh.servers[service.name] = started(words, pods[service.name], cgroup=mesh.applications[service.name])
    return mesh


def callers(case: Case) -> list[tuple[Service, Call]]:
    """Every call, with who makes it."""
    return [(service, call) for service in case.application.services for e in service.endpoints for call in e.calls()]


def _steps(service: Service, mesh: Deployed) -> list[str]:
    """The endpoint of a service as options of our server."""
    words: list[str] = []

    def asked(calls: list[Call]) -> str:
        return ",".join(f"{mesh.addresses[c.service]}:{PORT}:{c.request_bytes}:{c.response_bytes}" for c in calls)

    steps = service.endpoints[0].steps
    if len(steps) == 1 and steps[0].compute is not None:  # in this form it computes in every protocol
        return ["--compute-us", str(steps[0].compute.mean_us)]
    for step in steps:
        if step.compute is not None:
            words += ["--step", f"compute:{step.compute.mean_us}"]
        elif step.call is not None:
            words += ["--step", f"call:{asked([step.call])}"]
        else:
            calls = []
            for branch in step.parallel or []:
                if len(branch) != 1 or branch[0].call is None:
                    raise MeshsimError(f"{service.name}: a branch of the testbed's servers is one call")
                calls.append(branch[0].call)
            words += ["--step", f"call:{asked(calls)}"]
    return words


def _route_services(case: Case, mesh: Deployed, stack: ExitStack) -> None:
    by_iptables = case.dataplane.kernel.service_routing == "iptables"
    called = sorted({call.service for _, call in callers(case)})
    for caller in {service.name for service, _ in callers(case)}:
        if by_iptables:
            if case.dataplane.proxies:
                raise MeshsimError(f"{case.name}: iptables routing and a proxy; the testbed has one or the other")
            for name in called:
                to = f"{mesh.pods[name].address}:{PORT}"
                _iptables(mesh.pods[caller], "OUTPUT", "-d", mesh.addresses[name], "-p", "tcp", "--dport", str(PORT),
                          "-j", "DNAT", "--to-destination", to)  # fmt: skip
        else:
            loaded = stack.enter_context(Loaded("service"))
            keys = b"".join(_address(mesh.addresses[name]) for name in called)
            pods = b"".join(_address(mesh.pods[name].address) for name in called)
            update_many(loaded.maps["services"], keys, pods, len(called))
            program = loaded.program("balance", "connect4")
            stack.enter_context(at_cgroup(program, "connect4", mesh.applications[caller]))


def _sidecars(case: Case, mesh: Deployed, proxy: Proxy, who: Identity | None, stack: ExitStack) -> None:
    """An Envoy in each pod that a call with a stop there begins or ends in."""
    spoken = {call.protocol for _, call in callers(case)}
    if len(spoken) != 1:
        raise MeshsimError(
            f"{case.name}: calls in {', '.join(sorted(spoken))}; the testbed has one protocol a scenario"
        )
    calling = {service.name for service, _ in callers(case)} if "source" in proxy.ends else set()
    called = {call.service for _, call in callers(case)} if "destination" in proxy.ends else set()
    for name in sorted(calling | called):
        pod, application = mesh.pods[name], mesh.applications[name]
        outbound, inbound = name in calling, name in called
        software, role = listeners(proxy, next(iter(spoken)), outbound=outbound, inbound=inbound, identity=who)
        running = start(software, role, pod)
        mesh.proxies[f"{proxy.name} of {name}"] = running
        if inbound:
            _iptables(pod, "PREROUTING", "-p", "tcp", "--dport", str(PORT), "-j", "REDIRECT", "--to-ports",
                      str(INBOUND_PORT))  # fmt: skip
        if proxy.capture == "iptables-redirect":
            if outbound:
                _iptables(pod, "OUTPUT", "-m", "mark", "--mark", str(MARK), "-j", "RETURN")
                _iptables(pod, "OUTPUT", "-p", "tcp", "--dport", str(PORT), "-j", "REDIRECT", "--to-ports",
                          str(OUTBOUND_PORT))  # fmt: skip
        elif proxy.capture == "sockmap":
            if outbound:
                _capture(stack, application, running.cgroup, "127.0.0.1")
                _join(stack, OUTBOUND_PORT, [application, running.cgroup])
            if inbound:
                _join(stack, PORT, [application, running.cgroup])
        else:
            raise MeshsimError(f"{case.name}: capture {proxy.capture} for a sidecar; the testbed has iptables-redirect "
                               "and sockmap")  # fmt: skip


def _node_proxy(case: Case, mesh: Deployed, proxy: Proxy, lab: Lab, stack: ExitStack) -> None:
    """One Envoy in a pod of its own, between callers and called."""
    pod = lab.pod(proxy.name)
    spoken = {call.protocol for _, call in callers(case)}
    software, role = listeners(proxy, next(iter(spoken)), outbound=True, inbound=False, identity=None)
    running = start(software, role, pod)
    mesh.proxies[proxy.name] = running
    for service, call in callers(case):
        if proxy.capture == "iptables-redirect":
            to = mesh.pods[call.service].address
            mesh.pods[service.name].run(["ip", "route", "replace", f"{to}/32", "via", pod.address, "dev", "eth0"])
        elif proxy.capture == "ebpf-connect":
            _capture(stack, mesh.applications[service.name], running.cgroup, pod.address)
        else:
            raise MeshsimError(f"{case.name}: capture {proxy.capture} for a node's proxy; the testbed has "
                               "iptables-redirect and ebpf-connect")  # fmt: skip
    if proxy.capture == "iptables-redirect":
        _iptables(pod, "PREROUTING", "-p", "tcp", "--dport", str(PORT), "-j", "REDIRECT", "--to-ports",
                  str(OUTBOUND_PORT))  # fmt: skip


def _capture(stack: ExitStack, application: Cgroup, proxy: Cgroup, address: str) -> None:
    """Connections of the application go to the proxy, which can ask where they wanted to go."""
    at = {"proxy_ip": struct.unpack("=I", socket.inet_aton(address))[0], "proxy_port": socket.htons(OUTBOUND_PORT)}
    loaded = stack.enter_context(Loaded("service", constants=at))
    for program, kind, cgroup in (("capture", "connect4", application), ("established", "sockops", application),
                                  ("original", "getsockopt", proxy)):  # fmt: skip
        stack.enter_context(at_cgroup(loaded.program(program, kind), kind, cgroup))


def _join(stack: ExitStack, port: int, cgroups: list[Cgroup]) -> None:
    """Connections to this port between processes of these cgroups go past TCP."""
    loaded = stack.enter_context(Loaded("sockmap", constants={"port": port}))
    attach_to_map(loaded.program("move", "sk_msg"), loaded.maps["sockets"])
    program = loaded.program("join", "sockops")
    for cgroup in cgroups:
        stack.enter_context(at_cgroup(program, "sockops", cgroup))


def _address(host: str) -> bytes:
    return socket.inet_aton(host) + struct.pack(">HH", PORT, 0)


def _iptables(pod: Pod, chain: str, *rule: str) -> None:
    pod.run(["iptables", "-t", "nat", "-A", chain, *rule])


__all__ = ["PORT", "Deployed", "callers", "deploy", "lacking", "needs"]
