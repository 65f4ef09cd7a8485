"""Kubernetes manifests as an application: services, pods and reservations as written, calls as far as they show.

Read are Deployment, StatefulSet, DaemonSet, ReplicaSet and Pod, Service, HorizontalPodAutoscaler, ConfigMap, Ingress,
HTTPRoute, GRPCRoute and Istio's VirtualService; one file holds them as YAML documents or as a ``kind: List``. Who calls
whom is in no manifest: it is inferred from hosts of Services in environment, arguments and ConfigMaps (``hosts``).
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import networkx as nx

from meshsim.formats import assumed, hosts
from meshsim.formats.assumed import COMPUTE_US, PAYLOAD_BYTES, Edge, listed
from meshsim.formats.fields import Value
from meshsim.formats.manifests import MOST_PODS, PORTS, PROTOCOLS, KubeService, Manifests
from meshsim.scenario.application import Application
from meshsim.scenario.yaml_io import Document, validate

CALLERS = 50
"""Whose inferred calls are named in the note; all of them are in the application."""


def is_kubernetes(data: Any) -> bool:
    """Whether parsed YAML or JSON looks like manifests: one or several objects with ``kind`` and ``apiVersion``."""
    objects = data if isinstance(data, list) else [data]
    return any(isinstance(o, dict) and "apiVersion" in o and "kind" in o and "schema" not in o for o in objects)


def convert(document: Document, name: str) -> tuple[Application, list[str]]:
    """The application, and notes on what was assumed, inferred or left out. InputError with file and line otherwise."""
    return _Cluster(Value(document, document.data)).application(name)


class _Cluster:
    def __init__(self, root: Value) -> None:
        self.file = root.document
        self.manifests = Manifests(root)
        self.workloads, self.services = self.manifests.workloads, self.manifests.services
        self.by_name: dict[str, list[KubeService]] = defaultdict(list)
        for service in self.services:
            self.by_name[service.name].append(service)
        self.group_of, self.group_names = self.groups()
        self.outside: dict[int, list[str]] = {}
        """What workloads call to which no Service leads."""
        self.assumed_protocol: set[str] = set()
        self.notes: list[str] = []

    def groups(self) -> tuple[dict[int, int], list[str]]:
        """Number of the service of each workload that has one, and names: Services of the same pods are one service."""
        same: nx.Graph[int] = nx.Graph()
        for service in self.services:
            nx.add_path(same, service.workloads)
        group_of: dict[int, int] = {}
        found: list[tuple[str, str]] = []
        for number, together in enumerate(sorted(nx.connected_components(same), key=min)):
            group_of.update(dict.fromkeys(together, number))
            mine = [service for service in self.services if together.intersection(service.workloads)]
            best = min(mine, key=lambda service: (-len(service.workloads), len(service.name)))
            found.append((best.name, best.namespace))
        return group_of, assumed.names(found)

    # Calls ----------------------------------------------------------------------------------------------------------

    def find(self, host: hosts.Host, namespace: str) -> KubeService | None:
        """The Service that a host means to a pod of that namespace."""
        parts = host.name.split(".")
        for name, rest in ((parts[0], parts[1:]), (parts[1] if len(parts) > 1 else "", parts[2:])):  # or a pod of it
            full = rest[1:2] == ["svc"]
            if len(rest) > 1 and not full:
                continue  # a name on the internet
            there = rest[0] if rest else namespace
            for service in self.by_name.get(name, []):
                unsaid = service.namespace == "" and (full or there in ("default", namespace))
                if service.namespace == there or unsaid:
                    return service
        return None

    def calls(self) -> dict[tuple[int, int], str]:
        """Protocol of each inferred call between services, by their numbers."""
        found: dict[tuple[int, int], str] = {}
        known = frozenset(self.by_name)
        read: dict[hosts.Text, list[hosts.Host]] = {}  # many pods may share a large ConfigMap
        for index, workload in enumerate(self.workloads):
            for text in workload.pod.texts:
                if text not in read:
                    read[text] = hosts.named(text, known)
                for host in read[text]:
                    service = self.find(host, workload.namespace)
                    if service is None or not service.workloads or not _answers(service, host):
                        continue
                    callee = self.group_of[service.workloads[0]]
                    if index not in self.group_of:
                        self.outside.setdefault(index, []).append(self.group_names[callee])
                    elif callee != self.group_of[index]:
                        found.setdefault((self.group_of[index], callee), self.protocol(service, host))
        return found

    def protocol(self, service: KubeService, host: hosts.Host | None = None) -> str:
        """What a proxy sees: as the port of that host says, or the first port."""
        wanted = [port for port in service.ports if host is not None and port.number == host.port] or service.ports[:1]
        told = (wanted[0].protocol if wanted else None) or (PROTOCOLS.get(host.scheme) if host else None)
        told = told or (PORTS.get(host.port) if host and host.port else None)
        if told is None:
            self.assumed_protocol.add(service.name)
        return told or "http1"

    def exposed(self) -> dict[int, str]:
        """Protocol by service that is exposed, or that something outside is routed to."""
        found = [service for service in self.services if service.exposed]
        for name, namespace in self.manifests.routed():
            service = self.find(hosts.Host(name), namespace)
            found += [service] if service is not None else []
        return self.by_group(found)

    def uncalled(self, called: set[str]) -> dict[int, str]:
        """The same by service that nobody calls."""
        first = self.by_group(self.services)
        found = {number: protocol for number, protocol in first.items() if self.group_names[number] not in called}
        self.notes.append(
            "no LoadBalancer, NodePort, Ingress or route: traffic comes in at services that nobody calls: "
            + listed(self.group_names[number] for number in found)
        )
        return found

    def by_group(self, services: list[KubeService]) -> dict[int, str]:
        found: dict[int, str] = {}
        for service in services:
            number = self.group_of[service.workloads[0]] if service.workloads else None
            if number is not None and number not in found:
                found[number] = self.protocol(service)
        return found

    # What becomes of it ---------------------------------------------------------------------------------------------

    def application(self, name: str) -> tuple[Application, list[str]]:
        calls = self.calls()
        exposed, said = self.exposed(), self.group_names
        # What is known of both is only their names; a call to where traffic comes in is likely no call, but a link.
        weights = {(said[a], said[b]): 0.5 if b in exposed else 1.0 for a, b in calls}
        kept, dropped = assumed.without_cycles(weights, self.file.name)
        entries = exposed or self.uncalled({callee for _, callee in kept})
        steps: list[list[dict[str, Any]]] = [[assumed.compute()] for _ in said]
        for (caller, callee), protocol in calls.items():
            if (said[caller], said[callee]) not in dropped:
                call: dict[str, Any] = {"service": said[callee], "protocol": protocol}
                call |= {"request_bytes": PAYLOAD_BYTES, "response_bytes": PAYLOAD_BYTES}
                steps[caller].append({"call": call})
        built = {
            "schema": "meshsim/application/1", "name": name, "title": f"Kubernetes manifests {name}",
            "entries": [{"service": said[number], "protocol": protocol} for number, protocol in entries.items()],
            "services": [self.service(number, steps[number]) for number in range(len(said))],
        }  # fmt: skip
        self.tell(kept, dropped, list(entries))
        return validate(Application, Document(self.file.name, built)), self.notes

    def service(self, number: int, steps: list[dict[str, Any]]) -> dict[str, Any]:
        """Several workloads behind one service count their pods together; reservations are those of the first."""
        mine = [workload for index, workload in enumerate(self.workloads) if self.group_of.get(index) == number]
        pod = mine[0].pod
        if any(other.pod.reserved != pod.reserved or other.pod.cpu_limit != pod.cpu_limit for other in mine):
            self.notes.append(
                f"{self.group_names[number]}: reservations of its workloads differ; those of {mine[0].name} are taken"
            )
        built: dict[str, Any] = {
            "name": self.group_names[number],
            "replicas": min(sum(workload.replicas for workload in mine), MOST_PODS),
            "endpoints": [{"name": "serve", "steps": steps}],
        }
        if pod.reserved:
            built["requests"] = pod.reserved
        if "memory_mib" in pod.reserved:
            built["memory_mib"] = pod.reserved["memory_mib"]
        if pod.cpu_limit:
            built["cpu_limit_millicores"] = pod.cpu_limit
        return built

    # What is said about it ------------------------------------------------------------------------------------------

    def tell(self, kept: list[Edge], dropped: list[Edge], entries: list[int]) -> None:
        said, first = self.group_names, []
        made: dict[str, list[str]] = defaultdict(list)
        for caller, callee in kept:
            made[caller].append(callee)
        if made:
            shown = [f"{caller} -> {', '.join(callees)}" for caller, callees in made.items()]
            calls = "; ".join(shown[:CALLERS]) + (
                f"; and of {len(shown) - CALLERS} more" if len(shown) > CALLERS else ""
            )
            first.append(
                "calls are not in manifests; these were inferred from hosts in environment, arguments and ConfigMaps, "
                f"each made once a visit, one after the other: {calls}"
            )
        else:
            first.append(
                "calls are not in manifests, and no host of a Service is named in them: no service calls another"
            )
        first.append(
            f"compute times and payloads are not in manifests: {COMPUTE_US:g} us of CPU a visit, {PAYLOAD_BYTES} bytes "
            "each way (assumed); the memory that is used is taken to be what is reserved"
        )
        if len(entries) > 1:
            first.append(f"traffic comes in equally at: {listed(said[number] for number in entries)}")
        if dropped:
            circles = listed(f"{caller} -> {callee}" for caller, callee in dropped)
            first.append(f"left out are calls that would close a circle, in which a request never ends: {circles}")
        alone = [
            workload.name + (f" (calls {listed(self.outside[index])})" if index in self.outside else "")
            for index, workload in enumerate(self.workloads)
            if index not in self.group_of
        ]
        if alone:
            first.append(f"no Service leads to these, so they are outside, and left out: {listed(alone)}")
        if self.assumed_protocol:
            first.append(f"no protocol is said for ports of these, so http: {listed(sorted(self.assumed_protocol))}")
        bare = [self.workloads[index].name for index in sorted(self.group_of) if not self.workloads[index].pod.reserved]
        if bare:
            first.append(f"nothing is reserved, so 100 millicores and 128 MiB (assumed): {listed(bare)}")
        sidecars = sorted({name for workload in self.workloads for name in workload.pod.sidecars})
        if sidecars:
            first.append(f"sidecars belong to the data plane, and are left out: {listed(sidecars)}")
        self.notes = [*first, *self.manifests.notes, *self.notes, *self.manifests.rules()]
        if unknown := [f"{count} {kind}" for kind, count in sorted(self.manifests.unknown.items())]:
            self.notes.append(f"not read: {listed(unknown, 20)}")


def _answers(service: KubeService, host: hosts.Host) -> bool:
    """A Service answers on its own ports only; one without an address of its own on those of its pods."""
    return service.headless or host.port is None or host.port in [port.number for port in service.ports]
