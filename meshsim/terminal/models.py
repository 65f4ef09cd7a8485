"""Applications, data planes, node types and cost books, told to a person."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from rich.console import RenderableType
from rich.markup import escape
from rich.text import Text
from rich.tree import Tree

from meshsim.costs.book import Cost, CostBook
from meshsim.costs.books import Costs
from meshsim.figures import numbers
from meshsim.formats.load import load_application
from meshsim.scenario.application import Application, Call, Duration, Endpoint, Entry, Step
from meshsim.scenario.base import MeshsimError, Source, Strict
from meshsim.scenario.catalog import (
    KINDS,
    ONE,
    load_book,
    load_dataplane,
    load_machine,
    load_scenario,
    names,
)
from meshsim.scenario.dataplane import DataPlane, Kernel, Proxy, Runtime
from meshsim.scenario.machine import Machine
from meshsim.scenario.scale import calls_per_request
from meshsim.scenario.scenario import Scenario
from meshsim.scenario.suggest import choices
from meshsim.scenario.yaml_io import read
from meshsim.terminal.capabilities import capability_table
from meshsim.terminal.reports import columns, heading, new_table, paragraph

SERVICES_SHOWN = 40
TREE_LINES = 120


def find(name: str) -> tuple[Strict, list[str]]:
    """A model of any kind by name or path, with the notes of its reader. MeshsimError if there is none."""
    kinds = [kind for kind in KINDS if name in names(kind)]
    if len(kinds) > 1:
        raise MeshsimError(
            f"{name!r} is a name of {' and of '.join(ONE[kind] for kind in kinds)}; give its path instead"
        )
    if kinds:
        return _LOADERS[kinds[0]](name)
    if not name or not Path(name).exists():
        every = [known for kind in KINDS for known in names(kind)]
        raise MeshsimError(f"{name!r}: no model has that name, and there is no such file; {choices(name, every, 40)}")
    document = read(name, several=True)
    schema = document.data.get("schema", "") if isinstance(document.data, dict) else ""
    says = str(schema).split("/")[1] if str(schema).startswith("meshsim/") and "/" in str(schema) else "application"
    by_schema = {"dataplane": "dataplanes", "machine": "machines", "costs": "costs", "application": "applications"}
    if says == "scenario":
        return load_scenario(name), []
    if says not in by_schema:
        raise MeshsimError(f"{name}: schema {schema!r} received; only models and scenarios can be shown")
    return _LOADERS[by_schema[says]](name)


_LOADERS: dict[str, Callable[[str], tuple[Strict, list[str]]]] = {
    "applications": load_application,
    "dataplanes": lambda name: (load_dataplane(name), []),
    "costs": lambda name: (load_book(name), []),
    "machines": lambda name: (load_machine(name), []),
}


def catalogue() -> dict[str, list[dict[str, str]]]:
    """Name and title of every model that comes with the package, by kind."""
    found: dict[str, list[dict[str, str]]] = {}
    for kind in KINDS:
        things = [(name, _LOADERS[kind](name)[0]) for name in names(kind)]
        found[kind] = [{"name": name, "title": str(getattr(thing, "title", ""))} for name, thing in things]
    return found


def catalogue_tables(found: dict[str, list[dict[str, str]]]) -> Iterator[RenderableType]:
    """One small table a kind."""
    for kind, entries in found.items():
        table = new_table(f"{ONE[kind]}s".capitalize())
        table.add_column("name", no_wrap=True)
        table.add_column("title")
        for entry in entries:
            table.add_row(escape(entry["name"]), escape(entry["title"]))
        yield table
    yield paragraph("meshsim show NAME tells more of each, with its sources.")


def model(thing: Strict) -> Iterator[RenderableType]:
    """Any model file."""
    if isinstance(thing, Application):
        yield from application(thing)
    elif isinstance(thing, DataPlane):
        yield from dataplane(thing)
    elif isinstance(thing, Machine):
        yield from machine(thing)
    elif isinstance(thing, CostBook):
        yield from costs(thing)
    elif isinstance(thing, Scenario):
        yield from scenario(thing)
    else:
        raise TypeError(f"no way to show a {type(thing).__name__}")


# Applications ---------------------------------------------------------------------------------------------------


def application(app: Application) -> Iterator[RenderableType]:
    """Services, and what one request does."""
    pods = sum(service.replicas for service in app.services)
    yield heading(f"{app.name}: {app.title}" if app.title else app.name)
    if app.summary:
        yield paragraph(app.summary)
    yield paragraph(
        f"{len(app.services)} services in {pods} pods; a request from outside makes "
        f"{numbers.digits(calls_per_request(app))} calls between services on average."
    )
    table = new_table("Services")
    columns(table, "service", "replicas", "serves", "millicores", "MiB used", "endpoints")
    table.columns[0].no_wrap = True
    for service in app.services[:SERVICES_SHOWN]:
        model_ = service.concurrency
        table.add_row(
            service.name,
            str(service.replicas),
            f"{model_.model}, {model_.threads}",
            numbers.digits(service.requests.cpu_millicores),
            numbers.digits(service.memory_mib),
            str(len(service.endpoints)),
        )
    yield table
    if len(app.services) > SERVICES_SHOWN:
        yield paragraph(f"… and {len(app.services) - SERVICES_SHOWN} more services: see --json.")
    yield paragraph("One request", bold=True)
    yield from _Graph(app).trees()
    yield from sources(app.sources)


class _Graph:
    """The call graph as a tree; what was drawn once is only named the second time."""

    def __init__(self, app: Application) -> None:
        self.app = app
        self.services = {service.name: service for service in app.services}
        self.drawn: set[tuple[str, str]] = set()
        self.lines = 0
        self.cut = False

    def trees(self) -> Iterator[RenderableType]:
        weight = sum(entry.weight for entry in self.app.entries)
        for entry in self.app.entries:
            share = f", {entry.weight / weight:.0%} of the requests" if len(self.app.entries) > 1 else ""
            name, endpoint = self.target(entry)
            tree = Tree(Text(f"client -> {name}/{endpoint.name}  {payload(entry)}{share}"))
            self.fill(tree, name, endpoint)
            yield tree
        if self.cut:
            yield paragraph(f"Cut after {TREE_LINES} lines; --json has the whole graph.")

    def target(self, to: Call | Entry) -> tuple[str, Endpoint]:
        return to.service, self.services[to.service].endpoint(to.endpoint)

    def fill(self, tree: Tree, service: str, endpoint: Endpoint) -> None:
        if (service, endpoint.name) in self.drawn and endpoint.calls():
            self.add(tree, "… as above")
            return
        self.drawn.add((service, endpoint.name))
        self.steps(tree, endpoint.steps)

    def steps(self, tree: Tree, steps: Sequence[Step]) -> None:
        for step in steps:
            if step.compute is not None:
                self.add(tree, f"compute {duration(step.compute)}")
            elif step.wait is not None:
                self.add(tree, f"wait {duration(step.wait)}")
            elif step.call is not None:
                name, endpoint = self.target(step.call)
                below = self.add(tree, f"-> {name}/{endpoint.name}  {payload(step.call)}{_how_often(step.call)}")
                if below is not None:
                    self.fill(below, name, endpoint)
            else:
                below = self.add(tree, "at the same time")
                for number, branch in enumerate(step.parallel or [], start=1):
                    lone = below is not None and len(branch) > 1
                    twig = self.add(below, f"branch {number}") if lone and below is not None else below
                    if twig is not None:
                        self.steps(twig, branch)

    def add(self, tree: Tree, line: str) -> Tree | None:
        if self.lines >= TREE_LINES:
            self.cut = True
            return None
        self.lines += 1
        return tree.add(Text(line))


def payload(to: Call | Entry) -> str:
    """'grpc, 120 B up, 2 KiB down'."""
    return f"{to.protocol}, {size(to.request_bytes)} up, {size(to.response_bytes)} down"


def _how_often(call: Call) -> str:
    often = f", {call.times} times" if call.times > 1 else ""
    return often + (f", in {call.probability:.0%} of the visits" if call.probability < 1 else "")


def size(count: int) -> str:
    """Bytes as B, KiB or MiB."""
    for unit, step in (("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= step:
            return f"{numbers.digits(count / step)} {unit}"
    return f"{count} B"


def duration(time: Duration) -> str:
    """'1.2 ms, lognormal'."""
    varies = f", cv {time.cv:g}" if time.law in ("lognormal", "gamma", "hyperexponential") else ""
    return f"{numbers.latency(time.mean_us)} ({time.law}{varies})"


# Data planes ----------------------------------------------------------------------------------------------------


def dataplane(plane: DataPlane) -> Iterator[RenderableType]:
    """What it is, and the way of one request through it."""
    yield heading(f"{plane.name}: {plane.title}" + (f" ({plane.version})" if plane.version else ""))
    yield paragraph(plane.summary)
    yield paragraph("The way of a request", bold=True)
    for number, step in enumerate(request_path(plane), start=1):
        yield paragraph(f"  {number}. {step}")
    yield paragraph("The answer comes back the same way.")
    beside = [proxy for proxy in plane.proxies if proxy.agent is not None]
    if plane.agents or beside:
        yield paragraph("Off the path", bold=True)
        for proxy in beside:
            yield paragraph(f"  {proxy.agent}, beside each {proxy.name}")
        for agent in plane.agents:
            where = "on every node" if agent.per == "node" else f"{agent.replicas} in the cluster"
            yield paragraph(f"  {agent.name} ({agent.software}), {where}")
    if plane.runtime.kind == "wasm":
        yield paragraph(_runtime(plane.runtime))
    if plane.capabilities:
        yield capability_table(plane)
    if plane.lacks:
        yield paragraph("What it lacks", bold=True)
        for lack in plane.lacks:
            yield paragraph(f"  {lack}")
    yield from sources(plane.sources)


def request_path(plane: DataPlane) -> list[str]:
    """The stations of one request from a pod to another, in words, in order."""
    path = ["The caller's container sends the request."]
    path += [_meets(proxy, "source") for proxy in plane.proxies if "source" in proxy.ends]
    path.append(_on_the_way(plane.kernel))
    path += [_meets(proxy, "") for proxy in plane.proxies if proxy.placed == "waypoint"]
    path += [_meets(proxy, "destination") for proxy in reversed(plane.proxies) if "destination" in proxy.ends]
    path.append("The called container receives it.")
    return path


CAPTURES = {
    "iptables-redirect": "an iptables redirect",
    "tproxy": "a transparent proxy rule (TPROXY)",
    "ebpf-connect": "an eBPF program at connect()",
    "sockmap": "sk_msg, past TCP,",
    "explicit": "being addressed",
    "in-process": "a function call",
}
PLACES = {
    ("library", "source"): "in the caller's own process",
    ("library", "destination"): "in the called process",
    ("service-account", "source"): "on the caller's node, shared by the pods of its service there",
    ("service-account", "destination"): "on the called pod's node, shared by the pods of its service there",
    ("pod", "source"): "in the caller's pod",
    ("pod", "destination"): "in the called pod",
    ("node", "source"): "on the caller's node, shared by its pods",
    ("node", "destination"): "on the called pod's node, shared by its pods",
}
SCOPES = {
    "mesh": "every service of the mesh",
    "namespace": "every service of its namespace",
    "dependencies": "only what its pods call",
    "node": "what the pods of its node call and are",
}


ONLY_FOR = {
    "L7": " Only if the scenario asks for L7 policy and the protocol has one.",
    "fallback": " Only if a required feature falls back to it.",
}


def _runtime(runtime: Runtime) -> str:
    host = "one host process a pod" if runtime.host == "per-pod" else "one host process a node"
    when = "ahead of time" if runtime.compile == "ahead" else "when they start"
    return (
        f"The services are WebAssembly modules run by {runtime.wasm}, {host}, compiled {when}; "
        f"they were {runtime.process} processes."
    )


def _meets(proxy: Proxy, end: str) -> str:
    if proxy.placed == "waypoint":
        serves = "the namespace" if proxy.waypoint_for == "namespace" else "each service"
        where = f"on whichever node it runs, {proxy.replicas} of them for {serves}"
    else:
        where = PLACES[proxy.placed, end]
    does = "parses it (L7)" if proxy.layer == "L7" else "forwards the bytes (L4)"
    how = "" if proxy.placed == "library" else f" with {proxy.workers} worker{'s' if proxy.workers > 1 else ''}"
    more = f", with mTLS {'in a tunnel' if proxy.tunnel else 'on the wire'}" if proxy.terminates_mtls else ""
    more += "".join(f", {feature.name} on" for feature in proxy.features)
    more += "".join(f", with the {each.runtime or each.kind} extension {each.name}" for each in proxy.extensions)
    more += ", and sends what it has served when its turn ends" if proxy.sends == "after-turn" else ""
    more += ", and records metrics after the answer" if proxy.telemetry else ""
    when = ONLY_FOR[proxy.only_for] if proxy.only_for else ""
    when += f" Only calls in {', '.join(proxy.protocols)}; others pass by." if proxy.protocols else ""
    return (
        f"By {CAPTURES[proxy.capture]} it reaches the {proxy.name} ({proxy.software}), {where}: "
        f"it {does}{how}{more}. It is configured for "
        f"{SCOPES[proxy.config_scope]}.{when}"
    )


def _on_the_way(kernel: Kernel) -> str:
    routing = "iptables and conntrack" if kernel.service_routing == "iptables" else "eBPF"
    extra = ", an eBPF policy check at each end" if kernel.policy else ""
    extra += ", sk_msg past TCP between pods of one node" if kernel.sockmap else ""
    extra += ", WireGuard between nodes" if kernel.encryption == "wireguard" else ""
    return f"The kernel turns the service address into a pod address by {routing}{extra}, and carries it there."


# The others -----------------------------------------------------------------------------------------------------


def machine(node: Machine) -> Iterator[RenderableType]:
    """Size and price."""
    yield heading(f"{node.name}: {node.title}" if node.title else node.name)
    yield paragraph(
        f"{node.cores} vCPUs, of which {node.allocatable_cores:g} for pods; {numbers.memory(node.memory_mib)} of "
        f"memory, of which {numbers.memory(node.allocatable_memory_mib)} for pods; at most {node.max_pods} pods."
    )
    yield paragraph(f"${node.usd_hour:g} an hour on demand, read {node.price_date}.")
    if (power := node.power) is not None:
        yield paragraph(
            f"A vCPU draws {power.idle_watts_core:g} W idle and {power.busy_watts_core:g} W busy, "
            f"a GiB of memory {power.watts_gib:g} W."
        )
    yield from sources(node.sources)


def costs(book: CostBook) -> Iterator[RenderableType]:
    """Every operation with its price, how sure that is, and where it comes from."""
    yield heading(f"{book.name}: {book.title}" if book.title else book.name)
    if book.summary:
        yield paragraph(book.summary)
    if book.machine:
        yield paragraph(f"Taken on: {book.machine}")
    table = new_table("Operations")
    table.add_column("operation", overflow="fold", ratio=5)
    table.add_column("cost", overflow="fold", ratio=5)
    table.add_column("±", justify="right", no_wrap=True)
    table.add_column("source", no_wrap=True)
    table.add_column("reference", overflow="fold", ratio=6)
    for entry, _ in _alone(book):
        error = f"{entry.standard_error:.0%}"
        table.add_row(escape(entry.operation), escape(price(entry)), error, entry.source, escape(entry.reference))
    yield table
    yield paragraph("± is one standard error, relative to the cost. Conditions of each: see --json.")
    yield from sources(book.sources)


def _alone(book: CostBook) -> Iterator[tuple[Cost, str]]:
    """Its entries and its families; a book whose families are like those of another book shows its entries only."""
    try:
        yield from Costs([book])
    except MeshsimError:
        yield from ((entry, book.name) for entry in book.entries)


def price(cost: Cost) -> str:
    """'12 µs CPU + 0.4 ns/B per message'."""
    parts = []
    if cost.cpu_ns:
        cold = f", half of it after {cost.cv:g} ms," if cost.law == "cold" else ""
        parts.append(f"{_time(cost.cpu_ns)} CPU{cold}")
    if cost.cpu_ns_per_byte:
        parts.append(f"{numbers.digits(cost.cpu_ns_per_byte)} ns/B CPU")
    if cost.wait_ns:
        parts.append(f"{_time(cost.wait_ns)} off the CPU")
    if cost.wait_ns_per_byte:
        parts.append(f"{numbers.digits(cost.wait_ns_per_byte)} ns/B off the CPU")
    if cost.bytes:
        parts.append(f"{size(round(cost.bytes))} of memory")
    if cost.cores:
        parts.append(f"{numbers.cores(cost.cores)} all the time")
    if cost.ratio:
        parts.append(f"x {numbers.digits(cost.ratio)}")
    return f"{' + '.join(parts) or 'nothing'} per {cost.unit}"


def _time(ns: float) -> str:
    return f"{numbers.digits(ns)} ns" if ns < 1000 else numbers.latency(ns / 1000)


def scenario(thing: Scenario) -> Iterator[RenderableType]:
    """The fields, those at their defaults included."""
    yield heading(thing.name or "A scenario")
    table = new_table()
    table.add_column("field")
    table.add_column("value", overflow="fold")
    for name, value in thing.model_dump(mode="json", exclude={"schema_", "name"}).items():
        for field, plain in value.items() if isinstance(value, dict) else [("", value)]:
            table.add_row(f"{name}.{field}" if field else name, escape(str(plain)))
    yield table


def sources(found: Sequence[Source]) -> Iterator[RenderableType]:
    """Where the facts come from."""
    if found:
        yield paragraph("Sources", bold=True)
    for source in found:
        note = f": {source.note}" if source.note else ""
        read = f" (read {source.read})" if source.read else ""
        yield paragraph(f"  {source.ref}{note}{read}")
