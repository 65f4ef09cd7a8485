"""Kubernetes manifests become applications: pods and reservations as written, calls from hosts, and what is said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from meshsim.formats.assumed import COMPUTE_US
from meshsim.formats.fields import Value
from meshsim.formats.kubernetes import is_kubernetes
from meshsim.formats.load import load_application
from meshsim.formats.pods import quantity
from meshsim.scenario.application import Application
from meshsim.scenario.scale import calls_per_request, visits
from meshsim.scenario.yaml_io import Document, InputError, read

SHOP = Path(__file__).parents[1] / "data" / "kubernetes" / "shop.yaml"


def edges(app: Application) -> set[tuple[str, str]]:
    return {(s.name, call.service) for s in app.services for e in s.endpoints for call in e.calls()}


def protocols(app: Application) -> dict[str, str]:
    return {call.service: call.protocol for s in app.services for e in s.endpoints for call in e.calls()}


def workload(name: str, kind: str = "Deployment", env: str = "[]", more: str = "", spec: str = "") -> str:
    return (
        f"apiVersion: apps/v1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec:\n  {spec or 'replicas: 2'}\n"
        f"  template:\n    metadata: {{labels: {{app: {name}}}}}\n    spec:\n      containers:\n"
        f"      - {{name: main, env: {env}{more}}}\n"
    )


def service(name: str, ports: str = "[{port: 80, name: http}]", more: str = "") -> str:
    return (
        f"apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\n"
        f"spec: {{selector: {{app: {name}}}, ports: {ports}{more}}}\n"
    )


def both(name: str, env: str = "[]", ports: str = "[{port: 80, name: http}]") -> str:
    return workload(name, env=env) + "---\n" + service(name, ports)


def load(tmp_path: Path, *documents: str) -> tuple[Application, list[str]]:
    file = tmp_path / "m.yaml"
    file.write_text("---\n".join(documents))
    return load_application(file)


def said(notes: list[str], words: str) -> str:
    return next(note for note in notes if words in note)


def test_the_shop_has_the_edges_protocols_and_reservations_of_online_boutique() -> None:
    app, notes = load_application(SHOP)
    ours, _ = load_application("online-boutique")
    assert edges(app) == edges(ours)
    assert protocols(app) == protocols(ours)
    assert {s.name: s.requests for s in app.services} == {s.name: s.requests for s in ours.services}
    assert [(entry.service, entry.protocol) for entry in app.entries] == [("frontend", "http1")]
    assert app.service("cartservice").cpu_limit_millicores == 300
    for caller, callee in edges(ours):
        assert caller in notes[0]
        assert callee in notes[0]
    assert f"{COMPUTE_US:g} us" in notes[1]
    assert "loadgenerator (calls frontend)" in said(notes, "outside")
    assert "1 ServiceAccount" in said(notes, "not read")


def test_what_is_assumed_lies_between_the_shipped_applications() -> None:
    """Negative control of the assumption: were it far off what our own models say, this would fail."""
    means = []
    for name in ("bookinfo", "online-boutique", "social-network"):
        app, _ = load_application(name)
        cpu = 0.0
        for (service_name, endpoint), often in visits(app).items():
            steps = app.service(service_name).endpoint(endpoint).steps
            cpu += often * sum(step.compute.mean_us for step in steps if step.compute)
        means.append(cpu / (calls_per_request(app) + 1))
    assert min(means) < COMPUTE_US < max(means)


@pytest.mark.parametrize(
    ("env", "found"),
    [
        ("[{name: RATINGS_HOSTNAME, value: b}]", True),
        ("[{name: COLOUR, value: b}]", False),  # a word is no host
        ("[{name: X, value: 'b:80'}]", True),
        ("[{name: X, value: 'b:81'}]", False),  # the Service does not answer there
        ("[{name: X, value: 'http://b/path?x=1'}]", True),
        ("[{name: X, value: 'http://user:pw@b.default.svc.cluster.local:80/x'}]", True),
        ("[{name: X, value: 'b.default.svc'}]", True),
        ("[{name: X, value: 'http://b.example.com/'}]", False),
        ("[{name: X, value: 'one=a:80,two=b:80'}]", True),
        ("[{name: X, value: 'xb:80'}]", False),
        ("[], args: ['--upstream=http://b:80']", True),
        ("[{name: X, valueFrom: {configMapKeyRef: {name: c, key: url}}}]", True),
        ("[{name: X, valueFrom: {configMapKeyRef: {name: c, key: no}}}]", False),
        ("[], envFrom: [{configMapRef: {name: c}}]", True),
    ],
)
def test_a_call_is_inferred_from_a_host_and_from_nothing_else(tmp_path: Path, env: str, found: bool) -> None:
    config = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {url: 'http://b:80', no: bbb}\n"
    app, notes = load(tmp_path, both("a", env), both("b"), config)
    assert edges(app) == ({("a", "b")} if found else set())
    assert ("a -> b" in notes[0]) == found


def test_a_mounted_configmap_and_a_pod_of_a_stateful_set_are_hosts_too(tmp_path: Path) -> None:
    config = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata:\n  x.ini: |\n    [db]\n    url = mongodb://db-0.db:27017\n"
    user = workload("a").replace(
        "      containers:", "      volumes: [{name: v, configMap: {name: c}}]\n      containers:"
    )
    db = workload("db", "StatefulSet") + "---\n" + service("db", "[{port: 27017}]", ", clusterIP: None")
    app, _ = load(tmp_path, user, service("a"), db, config)
    assert edges(app) == {("a", "db")}
    assert protocols(app) == {"db": "tcp"}


@pytest.mark.parametrize(
    ("port", "protocol", "told"),
    [
        ("{port: 80, name: grpc-api}", "grpc", True),
        ("{port: 80, name: http2}", "http2", True),
        ("{port: 80, name: http, appProtocol: kubernetes.io/h2c}", "http2", True),
        ("{port: 80, name: redis}", "tcp", True),
        ("{port: 6379}", "tcp", True),
        ("{port: 80}", "http1", False),
        ("{port: 80, name: api}", "http1", False),
    ],
)
def test_protocols_are_those_of_the_ports(tmp_path: Path, port: str, protocol: str, told: bool) -> None:
    number = 6379 if "6379" in port else 80
    app, notes = load(tmp_path, both("a", f"[{{name: X, value: 'b:{number}'}}]"), both("b", ports=f"[{port}]"))
    assert protocols(app) == {"b": protocol}
    assert any("no protocol is said" in note for note in notes) != told


def test_replicas_of_every_kind(tmp_path: Path) -> None:
    hpa = "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: h}\nspec: {minReplicas: 7, scaleTargetRef: {kind: Deployment, name: c}}\n"
    pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: p, labels: {app: p}}\nspec: {containers: [{name: x}]}\n"
    app, notes = load(
        tmp_path,
        workload("a", "StatefulSet", spec="replicas: 3"), service("a"),
        workload("b", "DaemonSet", spec="minReadySeconds: 1"), service("b"),
        workload("c", spec="paused: false"), service("c"), hpa,
        workload("d", spec="replicas: 0"), service("d"),
        pod, pod.replace("name: p,", "name: p2,"), service("p"),
    )  # fmt: skip
    assert {s.name: s.replicas for s in app.services} == {"a": 3, "b": 1, "c": 7, "p": 2}
    assert "d" in said(notes, "scaled to no replica")
    assert "b" in said(notes, "DaemonSet")


def test_what_another_object_of_the_file_makes_is_not_counted_twice(tmp_path: Path) -> None:
    owned = workload("a", "ReplicaSet").replace(
        "{name: a}", "{name: a-1, ownerReferences: [{kind: Deployment, name: a}]}", 1
    )
    app, _ = load(tmp_path, both("a"), owned)
    assert [s.replicas for s in app.services] == [2]


def test_versions_and_second_names_are_one_service_and_namespaces_are_not(tmp_path: Path) -> None:
    v2 = workload("a").replace("{name: a}", "{name: a2}", 1)
    away = both("a").replace("{name: a}", "{name: a, namespace: dev}")
    app, _ = load(tmp_path, both("a"), v2, service("a").replace("{name: a}", "{name: a-headless}", 1), away)
    assert {s.name: s.replicas for s in app.services} == {"a": 4, "a.dev": 2}


def test_sidecars_are_left_out_and_limits_stand_in_for_requests(tmp_path: Path) -> None:
    more = (
        ", resources: {limits: {cpu: 1.5, memory: 1Gi}}}\n"
        "      - {name: istio-proxy, resources: {requests: {cpu: 2, memory: 1Gi}}"
    )
    app, notes = load(tmp_path, workload("a", more=more), service("a"))
    (a,) = app.services
    assert (a.requests.cpu_millicores, a.requests.memory_mib, a.memory_mib) == (1500, 1024, 1024)
    assert a.cpu_limit_millicores == 1500
    assert "istio-proxy" in said(notes, "sidecars")


ROUTES = {
    "ingress": "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: i}\nspec: {rules: [{http: {paths: [{backend: {service: {name: b}}}]}}]}\n",
    "httproute": "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: r}\nspec: {parentRefs: [{name: g}], rules: [{backendRefs: [{name: b, port: 80}]}]}\n",
    "virtualservice": "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: v}\nspec: {gateways: [g], hosts: ['*'], http: [{route: [{destination: {host: b}}]}]}\n",
    "loadbalancer": service("b", more=", type: LoadBalancer").replace("{name: b}", "{name: b-out}", 1),
}


@pytest.mark.parametrize("route", ROUTES)
def test_traffic_comes_in_where_it_is_routed_to(tmp_path: Path, route: str) -> None:
    app, _ = load(tmp_path, both("a"), both("b"), ROUTES[route])
    assert [entry.service for entry in app.entries] == ["b"]


def test_a_route_within_the_mesh_is_no_entry(tmp_path: Path) -> None:
    inner = ROUTES["httproute"].replace("{name: g}", "{kind: Service, name: b}")
    app, notes = load(tmp_path, both("a", "[{name: X, value: 'b:80'}]"), both("b"), inner)
    assert [entry.service for entry in app.entries] == ["a"]
    assert said(notes, "services that nobody calls")


def test_a_circle_is_broken_where_it_leads_back_to_the_entry(tmp_path: Path) -> None:
    app, notes = load(
        tmp_path, both("z", "[{name: X, value: 'b:80'}]"), both("b", "[{name: X, value: 'http://z'}]"),
        service("z", more=", type: NodePort").replace("{name: z}", "{name: z-out}", 1),
    )  # fmt: skip
    assert edges(app) == {("z", "b")}
    assert "b -> z" in said(notes, "circle")


def test_timeouts_retries_and_faults_are_pointed_to_the_scenario(tmp_path: Path) -> None:
    rule = ROUTES["virtualservice"].replace(
        "http: [{", "http: [{timeout: 0.5s, retries: {attempts: 3, perTryTimeout: 2s}, "
    )
    _, notes = load(tmp_path, both("b"), rule)
    assert "VirtualService v, line" in notes[-1]
    assert "timeout 0.5s, 3 retries, 2s a try" in notes[-1]
    assert "resilience" in notes[-1]


def test_a_list_and_json_read_as_the_same(tmp_path: Path) -> None:
    app, _ = load(tmp_path, both("a", "[{name: X, value: 'b:80'}]"), both("b"))
    objects = read(tmp_path / "m.yaml", several=True).data
    file = tmp_path / "list" / "m.json"
    file.parent.mkdir()
    file.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))
    assert load_application(file)[0] == app


def test_without_services_workloads_are_services(tmp_path: Path) -> None:
    app, notes = load(tmp_path, workload("a", env="[{name: X, value: 'b:8080'}]"), workload("b"))
    assert edges(app) == {("a", "b")}
    assert said(notes, "there is no Service")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("replicas: 2", "replicas: two", "m.yaml:5: [0].spec.replicas: 'two' received; a whole number from 0"),
        ("metadata: {name: a}\nspec:\n", "metadata: {}\nspec:\n", "m.yaml:3: [0].metadata.name: is missing"),
        ("kind: Service", "kind: 7", "m.yaml:13: [1].kind: 7 received; text was expected"),
        ("ports: [{port: 80, name: http}]", "ports: 80", "m.yaml:15: [1].spec.ports: 80 received; a list was expected"),
        ("ports: [{port: 80, name: http}]", "ports: [{name: x}]", "m.yaml:15: [1].spec.ports[0].port: is missing"),
        ("env: []", "resources: {requests: {cpu: lots}}",
         "m.yaml:10: [0].spec.template.spec.containers[0].resources.requests.cpu: 'lots' received; a quantity such as"),
        ("env: []", "resources: {requests: {memory: 99Ei}}", "'99Ei' received; must be at most"),
        ("      - {name: main, env: []}", "        []", "spec.containers: is missing"),
        ("kind: Deployment", "kind: CronJob", "m.yaml: no workload with pods is in it; expected at least one Deployment"),
    ],
)  # fmt: skip
def test_mistakes_have_file_and_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = both("a")
    assert text.count(old) == 1
    with pytest.raises(InputError) as caught:
        load(tmp_path, text.replace(old, new))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "cores"),
    [("100m", 0.1), (2, 2), (0.5, 0.5), (".5", 0.5), ("1e2", 100), ("1E2", 100), ("2e-1", 0.2), ("5u", 5e-6), ("0.1k", 100)],
)  # fmt: skip
def test_quantities(text: str | float, cores: float) -> None:
    assert quantity(Value(Document("f", text), text), "cpu") == pytest.approx(cores)


@pytest.mark.parametrize(
    ("text", "size"), [("128Mi", 128 << 20), ("1G", 1e9), ("64Ki", 65536), ("1e3", 1000), (2048, 2048)]
)
def test_quantities_of_memory(text: str | int, size: float) -> None:
    assert quantity(Value(Document("f", text), text), "memory") == size


def test_a_file_that_is_something_else_is_told_apart() -> None:
    assert is_kubernetes({"apiVersion": "v1", "kind": "Pod"})
    assert not any(map(is_kubernetes, [{}, [], [1], "x", None, {"kind": "Pod"}, {"schema": "meshsim/application/1"}]))
