"""Spans of distributed traces, whoever wrote them, as an application.

A *visit* is what one request does at one service: a span without a parent, one whose parent is another service's, or
one of kind server. Its calls are the visits that its spans lead to, and spans of kind client that lead to nobody who
is traced (a database, say). What is no call is the service's own time.

Over all visits of an endpoint: a call's share of visits is its ``probability`` (more than one a visit, one after the
other: ``times``); calls that overlap in more than half of the visits that make both are ``parallel``; groups stand in
the order of their mean starts. Only means and the variation of the own time are kept, no correlations.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, pstdev
from typing import Any

import networkx as nx

from meshsim.formats.assumed import PAYLOAD_BYTES, listed
from meshsim.scenario.application import Application
from meshsim.scenario.yaml_io import Document, Path_, validate

SHORTEST_US = 0.5
"""Own time below is left out."""
LONGEST_US = 60_000_000.0
LEAST_OVERLAP = 0.1
"""Share of the shorter of two calls."""
FEW = 5
"""Visits that say nothing about a variation; then it is the default of ``Duration``."""
NAMED = 3
"""Things told by name in a note; of the others their number."""

REQUEST_BYTES = ("http.request.body.size", "http.request_content_length", "rpc.request.size", "request_size")
RESPONSE_BYTES = ("http.response.body.size", "http.response_content_length", "rpc.response.size", "response_size")
PEERS = (
    "peer.service", "db.system.name", "db.system", "messaging.system", "server.address", "net.peer.name",
    "peer.hostname", "http.host", "peer.address",
)  # fmt: skip


@dataclass(frozen=True)
class Span:
    """One operation of one service; times in microseconds on any clock."""

    trace: str
    id: str
    parent: str
    """Empty if it has none."""
    service: str
    name: str
    kind: str
    """server, client, producer, consumer, internal, or empty."""
    start_us: float
    end_us: float
    tags: Mapping[str, str] = field(default_factory=dict)
    instance: str = ""
    """The pod or host, where it is known: so many differ, so many replicas."""
    follows: bool = False
    """Its parent did not wait for it."""


@dataclass(frozen=True)
class Made:
    """One call of one visit, as its caller saw it."""

    to: tuple[str, str]
    protocol: str
    request_bytes: int
    response_bytes: int
    start_us: float
    end_us: float


@dataclass
class Visit:
    """One request at one service."""

    span: Span
    calls: list[Made] = field(default_factory=list)

    @property
    def at(self) -> tuple[str, str]:
        """Service and endpoint, as they are called in the traces."""
        return self.span.service, operation(self.span.name)


def convert(spans: Sequence[Span], document: Document, name: str) -> tuple[Application, list[str]]:
    """The application that these spans show, and notes on what was assumed or left out. InputError if there is none."""
    if not spans:
        raise document.fail((), "no spans; traces with at least one were expected")
    kept, lost = one_each(spans)
    try:
        reader = _Reader(kept)
    except RecursionError:
        raise document.fail((), "its spans are nested too deeply") from None
    if lost:
        reader.notes.append(f"{lost:,} spans have the identifier of another and are left out")
    if not reader.entries:
        raise document.fail((), f"{len(spans)} spans, none of which a request begins with: all have parents not in it")
    built = {"schema": "meshsim/application/1", "name": name, "title": f"traces {name}", **reader.application()}
    return validate(Application, Document(document.name, built)), reader.notes


def mapping(document: Document, value: Any, where: Path_) -> dict[str, Any]:
    """An object that has to be there. InputError with its place otherwise."""
    if not isinstance(value, dict):
        raise document.fail(where, f"{str(value)[:60]} received; an object was expected")
    return value


def elements(document: Document, value: Any, where: Path_) -> list[Any]:
    """The same for a list."""
    if not isinstance(value, list):
        raise document.fail(where, f"{str(value)[:60]} received; a list was expected")
    return value


def one_each(spans: Sequence[Span]) -> tuple[list[Span], int]:
    """One span an identifier, and how many were left out. Of Zipkin's pairs, which share one, that of the server."""
    kept: dict[tuple[str, str], Span] = {}
    for span in spans:
        known = kept.get((span.trace, span.id))
        if known is None or (span.kind == "server" and known.kind == "client"):
            kept[span.trace, span.id] = span
    return list(kept.values()), len(spans) - len(kept)


def operation(name: str) -> str:
    """An operation without what differs from request to request: query strings, numbers and identifiers in paths."""
    path = name.partition("?")[0]
    return re.sub(r"(?<=/)(?:\d+|[0-9a-fA-F]{8}[0-9a-fA-F-]{8,})(?=/|$|\s)", ":id", path)


def protocol_of(tags: Mapping[str, str]) -> str:
    """What a proxy would see of the call."""
    if tags.get("rpc.system") == "grpc" or tags.get("component") == "grpc" or "grpc.status_code" in tags:
        return "grpc"
    if any(key.startswith(("db.", "messaging.")) for key in tags):
        return "tcp"
    version = tags.get("network.protocol.version") or tags.get("http.flavor") or ""
    return "http2" if version.startswith("2") else "http1"


class _Reader:
    def __init__(self, spans: Sequence[Span]) -> None:
        self.notes: list[str] = []
        self.by_id = {(span.trace, span.id): span for span in spans}
        self.children: dict[tuple[str, str], list[Span]] = defaultdict(list)
        for span in spans:
            self.children[span.trace, span.parent].append(span)
        self.outside: Counter[str] = Counter()
        self.unseen: Counter[str] = Counter()
        self.left = self.bare = 0
        self.peers: dict[str, list[float]] = defaultdict(list)
        self.visits: dict[tuple[str, str], list[Visit]] = defaultdict(list)
        self.instances: dict[str, set[str]] = defaultdict(set)
        self.entries: Counter[tuple[str, str]] = Counter()
        self.entered: dict[tuple[str, str], list[Span]] = defaultdict(list)
        for span in spans:
            if span.instance:
                self.instances[span.service].add(span.instance)
            if self.begins_a_visit(span) and not self.is_outside(span):
                self.visit(span)
        starts = [span.start_us for ones in self.entered.values() for span in ones]
        self.rate = len(starts) / (max(starts) - min(starts)) * 1e6 if starts and max(starts) > min(starts) else 0.0

    # What the spans are --------------------------------------------------------------------------------------------

    def parent(self, span: Span) -> Span | None:
        return self.by_id.get((span.trace, span.parent)) if span.parent else None

    def begins_a_visit(self, span: Span) -> bool:
        parent = self.parent(span)
        return parent is None or parent.service != span.service or span.kind in ("server", "consumer")

    def is_outside(self, span: Span) -> bool:
        """A root that only sends: a load generator, a browser. Whom it calls is called from outside."""
        return not span.parent and span.kind in ("client", "producer") and any(True for _ in self.visits_below(span))

    def visits_below(self, span: Span) -> Iterator[Span]:
        """The visits that a span leads to, itself and what lies behind them left out."""
        for child in self.below(span):
            if self.begins_a_visit(child):
                yield child
            else:
                yield from self.visits_below(child)

    def visit(self, span: Span) -> None:
        visit = Visit(span)
        parent = self.parent(span)
        if span.parent and parent is None:
            self.left += 1
        elif parent is None or (self.begins_a_visit(parent) and self.is_outside(parent)):
            if parent is not None:
                self.outside[parent.service] += 1
            self.entries[visit.at] += 1
            self.entered[visit.at].append(span)
        visit.calls = [made for child in self.below(span) for made in self.calls(child)]
        self.visits[visit.at].append(visit)

    def below(self, span: Span) -> list[Span]:
        return [child for child in self.children.get((span.trace, span.id), ()) if child.id != span.id]

    def calls(self, span: Span) -> Iterator[Made]:
        """What a span below a visit's own means for the visit."""
        if self.begins_a_visit(span):
            self.bare += 1
            yield from self.made(span, span)
        elif span.kind in ("client", "producer"):
            reached = list(self.visits_below(span))
            if reached:
                for one in reached:
                    yield from self.made(one, span if len(reached) == 1 else one)
            elif (peer := self.peer(span)) and not span.follows and span.kind == "client":
                self.peers[peer].append(max(0.0, span.end_us - span.start_us))
                yield self.seen((peer, ""), span, span)
        else:
            for child in self.below(span):
                yield from self.calls(child)

    def made(self, one: Span, caller: Span) -> Iterator[Made]:
        if one.follows or caller.follows or one.kind == "consumer" or caller.kind == "producer":
            self.unseen[one.service] += 1
        else:
            yield self.seen((one.service, operation(one.name)), one, caller)

    def seen(self, to: tuple[str, str], one: Span, caller: Span) -> Made:
        tags = {**caller.tags, **one.tags}
        return Made(
            to, protocol_of(tags), _bytes(tags, REQUEST_BYTES), _bytes(tags, RESPONSE_BYTES), caller.start_us,
            caller.end_us,
        )  # fmt: skip

    def peer(self, span: Span) -> str:
        return next((span.tags[key] for key in PEERS if span.tags.get(key)), "")

    # What that makes of an application -------------------------------------------------------------------------------

    def application(self) -> dict[str, Any]:
        self.graph = self.without_cycles()
        services = dict.fromkeys([*(service for service, _ in self.visits), *self.peers])
        self.names = unique(services)
        self.operations = {
            service: unique(dict.fromkeys(name for one, name in self.visits if one == service) or [""])
            for service in services
        }
        built = [self.service(service) for service in services]
        entries = [self.entry(at, count) for at, count in self.entries.most_common()]
        self.say()
        return {"entries": entries, "services": built}

    def without_cycles(self) -> nx.DiGraph[tuple[str, str]]:
        """Who calls whom, with counts; a request that would never end loses its rarest call."""
        graph: nx.DiGraph[tuple[str, str]] = nx.DiGraph()
        counts = Counter((at, made.to) for at, ones in self.visits.items() for visit in ones for made in visit.calls)
        for (caller, callee), count in counts.items():
            graph.add_edge(caller, callee, count=count)
        for part in [part for part in nx.strongly_connected_components(graph) if len(part) > 1 or _loops(graph, part)]:
            inside = graph.subgraph(part).copy()
            while not nx.is_directed_acyclic_graph(inside):
                cycle = [(one, two) for one, two in nx.find_cycle(inside)]
                weakest = min(cycle, key=lambda edge: (inside.edges[edge]["count"], edge))
                inside.remove_edge(*weakest)
                graph.remove_edge(*weakest)
                told = " calls ".join("/".join(at) for at in weakest)
                self.notes.append(f"{told}: left out, because it closes a circle")
        return graph

    def service(self, service: str) -> dict[str, Any]:
        replicas = len(self.instances.get(service, ())) or 1
        if service in self.peers and not any(one == service for one, _ in self.visits):
            wait = {"wait": _duration(fmean(self.peers[service]), self.peers[service])}
            steps = [wait] if fmean(self.peers[service]) >= SHORTEST_US else []
            return {"name": self.names[service], "endpoints": [{"name": "serve", "steps": steps}]}
        endpoints = [
            {"name": self.operations[service][at[1]], "steps": self.steps(at, visits)}
            for at, visits in self.visits.items()
            if at[0] == service
        ]
        return {"name": self.names[service], "replicas": replicas, "endpoints": endpoints}

    def entry(self, at: tuple[str, str], count: int) -> dict[str, Any]:
        tags = [span.tags for span in self.entered[at]]
        return {
            "service": self.names[at[0]], "endpoint": self.operations[at[0]][at[1]], "weight": float(count),
            "protocol": Counter(map(protocol_of, tags)).most_common(1)[0][0],
            "request_bytes": round(fmean(_bytes(one, REQUEST_BYTES) for one in tags)),
            "response_bytes": round(fmean(_bytes(one, RESPONSE_BYTES) for one in tags)),
        }  # fmt: skip

    def steps(self, at: tuple[str, str], visits: Sequence[Visit]) -> list[dict[str, Any]]:
        """Own time and calls of an endpoint, in order."""
        visits = [Visit(v.span, [made for made in v.calls if self.graph.has_edge(at, made.to)]) for v in visits]
        own = [own_time(visit) for visit in visits]
        whole = [sum(parts) for parts in own]
        before, between, after = (fmean(parts[number] for parts in own) for number in range(3))
        groups = in_groups(visits)
        steps = _compute(before, whole)
        for number, group in enumerate(groups):
            if number:
                steps += _compute(between / (len(groups) - 1), whole)
            steps += self.group(group, visits)
        if len(groups) == 1:
            after += between
        return steps + _compute(after, whole)

    def group(self, keys: Sequence[tuple[tuple[str, str], str]], visits: Sequence[Visit]) -> list[dict[str, Any]]:
        branches = [branch for key in keys for branch in self.branches(key, visits)]
        return [{"call": branches[0]}] if len(branches) == 1 else [{"parallel": [{"call": one} for one in branches]}]

    def branches(self, key: tuple[tuple[str, str], str], visits: Sequence[Visit]) -> list[dict[str, Any]]:
        """A call; or as many of it as run beside one another."""
        to, protocol = key
        made = [[one for one in visit.calls if (one.to, one.protocol) == key] for visit in visits]
        having = [ones for ones in made if ones]
        mean = sum(map(len, made)) / len(visits)
        several = [ones for ones in having if len(ones) > 1]
        usual = max(1, round(fmean(map(len, having))))
        beside = sum(any(_overlap(a, b) for a in ones for b in ones if a is not b) for ones in several)
        call = {
            "service": self.names[to[0]], "protocol": protocol,
            "request_bytes": round(fmean(one.request_bytes for ones in having for one in ones)),
            "response_bytes": round(fmean(one.response_bytes for ones in having for one in ones)),
        }  # fmt: skip
        if to[1] in self.operations[to[0]] and to[1]:
            call["endpoint"] = self.operations[to[0]][to[1]]
        call["probability"] = min(1.0, round(mean / usual, 6))
        if several and beside > len(several) / 2:
            return [call] * usual
        return [{**call, "times": min(usual, 1000)}]

    def say(self) -> None:
        notes = self.notes
        total = sum(self.entries.values())
        known = sum(map(len, self.visits.values()))
        if self.rate:
            notes.append(f"{total:,} requests came in at {self.rate:.3g} a second, if none was left out by sampling")
        notes.append(
            "own time of a service is taken for CPU time in its container; where it waits (a disk, a lock), write wait "
            "in the file"
        )
        if self.peers:
            said = _some(self.names[one] for one in self.peers)
            notes.append(f"{said}: not traced, so a service of its own that answers in the time its callers saw")
        if self.bare:
            notes.append(
                f"{self.bare:,} calls have no span of their caller: the network on their way is own time there"
            )
        if self.outside:
            notes.append(f"{_some(self.outside)}: only sends, so it is the client outside")
        if self.unseen:
            notes.append(f"{_some(self.unseen)}: {sum(self.unseen.values()):,} messages that nobody waits for left out")
        if self.left:
            notes.append(f"{self.left:,} of {known:,} visits have a parent that is not in the file; nobody calls them")
        told = sum(made.request_bytes != PAYLOAD_BYTES for v in self.visits.values() for one in v for made in one.calls)
        if not told:
            notes.append(f"no span tells the size of a payload: {PAYLOAD_BYTES:,} bytes each way")


def own_time(visit: Visit) -> tuple[float, float, float]:
    """Microseconds of a visit in which it waits for nobody: before its first call, between calls, after the last."""
    start, end = visit.span.start_us, max(visit.span.start_us, visit.span.end_us)
    spells = sorted((min(max(one.start_us, start), end), min(max(one.end_us, start), end)) for one in visit.calls)
    if not spells:
        return end - start, 0.0, 0.0
    between, until = 0.0, spells[0][1]
    for begins, ends in spells[1:]:
        between += max(0.0, begins - until)
        until = max(until, ends)
    return spells[0][0] - start, between, end - until


def in_groups(visits: Sequence[Visit]) -> list[list[tuple[tuple[str, str], str]]]:
    """Calls (target and protocol) in the order of their mean starts, those that overlap mostly in one group."""
    offsets: dict[tuple[tuple[str, str], str], list[float]] = defaultdict(list)
    for visit in visits:
        for made in visit.calls:
            offsets[made.to, made.protocol].append(made.start_us - visit.span.start_us)
    groups: list[list[tuple[tuple[str, str], str]]] = []
    for key in sorted(offsets, key=lambda one: (fmean(offsets[one]), one)):
        if groups and any(_mostly_beside(visits, key, other) for other in groups[-1]):
            groups[-1].append(key)
        else:
            groups.append([key])
    return groups


def _mostly_beside(
    visits: Sequence[Visit], one: tuple[tuple[str, str], str], other: tuple[tuple[str, str], str]
) -> bool:
    both = beside = 0
    for visit in visits:
        ones = [made for made in visit.calls if (made.to, made.protocol) == one]
        others = [made for made in visit.calls if (made.to, made.protocol) == other]
        if ones and others:
            both += 1
            beside += any(_overlap(a, b) for a in ones for b in others)
    return beside > both / 2


def _overlap(a: Made, b: Made) -> bool:
    """Clocks tick in microseconds: calls that follow at once may seem to overlap by a little."""
    shorter = min(a.end_us - a.start_us, b.end_us - b.start_us)
    return min(a.end_us, b.end_us) - max(a.start_us, b.start_us) > LEAST_OVERLAP * shorter


def _loops(graph: nx.DiGraph[tuple[str, str]], part: Iterable[tuple[str, str]]) -> bool:
    return any(graph.has_edge(at, at) for at in part)


def _compute(mean_us: float, whole: Sequence[float]) -> list[dict[str, Any]]:
    return [{"compute": _duration(mean_us, whole)}] if mean_us >= SHORTEST_US else []


def _duration(mean_us: float, values: Sequence[float]) -> dict[str, Any]:
    """That mean, with the variation of the values around theirs."""
    found: dict[str, Any] = {"mean_us": round(min(mean_us, LONGEST_US), 3)}
    if len(values) >= FEW and fmean(values) > 0:
        cv = pstdev(values) / fmean(values)
        found |= {"law": "constant"} if cv < 0.01 else {"law": "lognormal", "cv": round(min(cv, 10.0), 3)}
    return found


def _bytes(tags: Mapping[str, str], names: Sequence[str]) -> int:
    for name in names:
        told = tags.get(name, "")
        if re.fullmatch(r"\d{1,9}", told):
            return int(told)
    return PAYLOAD_BYTES


def unique(names: Iterable[str]) -> dict[str, str]:
    """Each name as one that a model file may have, different ones different."""
    found: dict[str, str] = {}
    taken: set[str] = set()
    for name in names:
        plain = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-._")[:100] or "serve"
        number, one = 1, plain
        while one in taken:
            number += 1
            one = f"{plain}-{number}"
        taken.add(one)
        found[name] = one
    return found


def _some(names: Iterable[str]) -> str:
    return listed(sorted(set(names)), NAMED)
