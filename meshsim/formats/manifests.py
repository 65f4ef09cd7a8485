"""What is written in Kubernetes manifests: workloads, Services, routes, and the rules that belong to a scenario."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from meshsim.formats.assumed import listed
from meshsim.formats.fields import Value, missing
from meshsim.formats.pods import Pod, read_pod
from meshsim.scenario.yaml_io import InputError

WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Pod")
ROUTES = ("Ingress", "HTTPRoute", "GRPCRoute", "VirtualService")
READ = (*WORKLOADS, *ROUTES, "Service", "HorizontalPodAutoscaler", "ConfigMap")
MOST_PODS = 100_000
PROTOCOLS = {
    "http": "http1", "https": "http1", "kubernetes.io/ws": "http1", "kubernetes.io/wss": "http1",
    "http2": "http2", "kubernetes.io/h2c": "http2", "grpc": "grpc", "grpcs": "grpc",
    "tcp": "tcp", "tls": "tcp", "redis": "tcp", "rediss": "tcp", "mongo": "tcp", "mongodb": "tcp", "mysql": "tcp",
    "postgres": "tcp", "postgresql": "tcp", "amqp": "tcp", "amqps": "tcp", "kafka": "tcp", "nats": "tcp",
}  # fmt: skip
"""By appProtocol, by the part of a port's name before the first dash, or by the scheme of a URL."""
PORTS = dict.fromkeys((2181, 3306, 4222, 5432, 5672, 6379, 9092, 11211, 27017), "tcp")
"""Ports of data stores and brokers, where nothing else tells the protocol."""


@dataclass
class Workload:
    """Something that makes pods, all alike."""

    kind: str
    name: str
    namespace: str
    replicas: int
    labels: dict[str, str]
    pod: Pod


@dataclass
class Port:
    """A port of a Service."""

    number: int
    protocol: str | None
    """As a proxy sees it; None where nothing tells it."""


@dataclass
class KubeService:
    """A Service: a name under which pods are found."""

    name: str
    namespace: str
    ports: list[Port]
    exposed: bool
    headless: bool
    workloads: list[int] = field(default_factory=list)
    """Indices of those that it selects."""


class Manifests:
    """All objects of a file. InputError with file and line for what cannot be read, and where there are no pods."""

    def __init__(self, root: Value) -> None:
        self.notes: list[str] = []
        self.unknown: Counter[str] = Counter()
        self.objects: dict[str, list[Value]] = defaultdict(list)
        for one in root.items() if isinstance(root.data, list) else [root]:
            for thing in _unpacked(one):
                kind = thing["kind"].text()
                if not kind:
                    raise missing(thing, "kind")
                if kind in READ:
                    self.objects[kind].append(thing)
                else:
                    self.unknown[kind] += 1
        self.config = {
            identity(one): {key: text.plain() for key, text in one["data"].values()}
            for one in self.objects["ConfigMap"]
        }
        self.workloads = list(self.read_workloads())
        if not self.workloads:
            raise InputError(
                f"{root.document.name}: no workload with pods is in it; expected at least one {', '.join(WORKLOADS)}"
            )
        self.services = [self.read_service(one) for one in self.objects["Service"]]
        if not any(service.workloads for service in self.services):
            self.notes.append("there is no Service that leads to a workload: each workload is one, under its own name")
            self.services = [
                KubeService(w.name, w.namespace, [], False, True, [index]) for index, w in enumerate(self.workloads)
            ]

    def read_workloads(self) -> Iterator[Workload]:
        """What makes pods, without what another object of the file makes, and what is scaled to none."""
        known = {(kind, *identity(one)) for kind in WORKLOADS for one in self.objects[kind]}
        least = {
            (target["kind"].text(), target["name"].text(), _namespace(one)): spec["minReplicas"].whole(1, MOST_PODS)
            for one in self.objects["HorizontalPodAutoscaler"]
            for spec in [one["spec"]]
            for target in [spec["scaleTargetRef"]]
        }
        asleep, daemons = [], []
        for kind in WORKLOADS:
            for one in self.objects[kind]:
                name, namespace = identity(one)
                owners = one["metadata"]["ownerReferences"].items()
                if not known.isdisjoint((owner["kind"].text(), owner["name"].text(), namespace) for owner in owners):
                    continue  # the pods of a Deployment that is in the file itself
                template = one if kind == "Pod" else one["spec"]["template"]
                if not template["spec"]["containers"].items():
                    raise missing(template["spec"], "containers")
                usual = least.get((kind, name, namespace), 1)
                replicas = 1 if kind in ("Pod", "DaemonSet") else one["spec"]["replicas"].whole(usual, MOST_PODS)
                if replicas == 0:
                    asleep.append(name)
                    continue
                if kind == "DaemonSet":
                    daemons.append(name)
                labels = {key: label.plain() for key, label in template["metadata"]["labels"].values()}
                pod = read_pod(template["spec"], self.config, namespace)
                yield Workload(kind, name, namespace, replicas, labels, pod)
        if asleep:
            self.notes.append(f"scaled to no replica, so left out: {listed(asleep)}")
        if daemons:
            self.notes.append(f"a DaemonSet has a pod on each node, here one in all: {listed(daemons)}")

    def read_service(self, one: Value) -> KubeService:
        """A Service, with the workloads of its namespace that it selects."""
        name, namespace = identity(one)
        spec = one["spec"]
        ports = []
        for port in spec["ports"].items():
            if not port["port"].given:
                raise missing(port, "port")
            number = port["port"].whole(0, 65_535)
            says = [port["appProtocol"].text().lower(), port["name"].plain().lower().partition("-")[0]]
            ports.append(Port(number, next((PROTOCOLS[word] for word in says if word in PROTOCOLS), PORTS.get(number))))
        selector = {key: label.plain() for key, label in spec["selector"].values()}
        chosen = [
            index
            for index, workload in enumerate(self.workloads)
            if selector and workload.namespace == namespace and selector.items() <= workload.labels.items()
        ]
        exposed = spec["type"].text() in ("LoadBalancer", "NodePort")
        return KubeService(name, namespace, ports, exposed, spec["clusterIP"].plain() == "None", chosen)

    def routed(self) -> Iterator[tuple[str, str]]:
        """Host and namespace of what routes from outside lead to."""
        for one in self.objects["Ingress"]:
            spec = one["spec"]
            paths = [path for rule in spec["rules"].items() for path in rule["http"]["paths"].items()]
            for backend in [spec["defaultBackend"], spec["backend"], *(path["backend"] for path in paths)]:
                yield backend["service"]["name"].text() or backend["serviceName"].text(), _namespace(one)
        for one in [*self.objects["HTTPRoute"], *self.objects["GRPCRoute"]]:
            parents = one["spec"]["parentRefs"].items()
            if all(parent["kind"].text("Gateway") != "Gateway" for parent in parents):
                continue  # between services
            for rule in one["spec"]["rules"].items():
                for backend in rule["backendRefs"].items():
                    yield backend["name"].text(), backend["namespace"].text(_namespace(one))
        for one in self.objects["VirtualService"]:
            if any(gateway.text() != "mesh" for gateway in one["spec"]["gateways"].items()):
                for kind in ("http", "tls", "tcp"):
                    for rule in one["spec"][kind].items():
                        for route in rule["route"].items():
                            yield route["destination"]["host"].text(), _namespace(one)

    def rules(self) -> Iterator[str]:
        """Timeouts and retries, which belong to the scenario."""
        for one in self.objects["VirtualService"]:
            for rule in one["spec"]["http"].items():
                found = [f"timeout {rule['timeout'].plain()}"] if rule["timeout"].given else []
                if rule["retries"].given:
                    per_try = rule["retries"]["perTryTimeout"]
                    found.append(f"{rule['retries']['attempts'].plain() or 'some'} retries")
                    found += [f"{per_try.plain()} a try"] if per_try.given else []
                found += ["a fault"] if rule["fault"].given else []
                if found:
                    line = f", line {rule.line}" if rule.line else ""
                    yield (
                        f"VirtualService {identity(one)[0]}{line}: {', '.join(found)}: not part of an application; it "
                        "goes into the scenario, or a file for --rules, as resilience or faults (docs/failures.md)"
                    )


def _unpacked(one: Value) -> Iterator[Value]:
    """The object, or those in its list."""
    if not one.given:
        return
    kind = one["kind"].text()
    if kind == "List" or (kind.endswith("List") and one["items"].given):
        for item in one["items"].items():
            if item.given and not item["kind"].given:  # items of a DeploymentList need not say it again
                item = Value(item.document, {**item.mapping(), "kind": kind[:-4]}, item.where)
            yield item
    else:
        yield one


def identity(one: Value) -> tuple[str, str]:
    """Name and namespace."""
    name = one["metadata"]["name"].text() or one["metadata"]["generateName"].text()
    if not name:
        raise missing(one["metadata"], "name")
    return name, _namespace(one)


def _namespace(one: Value) -> str:
    return one["metadata"]["namespace"].text()
