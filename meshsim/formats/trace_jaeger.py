"""Sampled requests as Jaeger JSON, which its "JSON File" upload opens, and which meshsim reads again.

A call is two spans, as an instrumented application would have them: the caller's (client: from its send to the answer
in its hands, so with both proxies, the kernel and the wire in it) and the callee's (server: from the first to the last
instruction of its endpoint). Times count from the beginning of the simulation.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from meshsim.plan.plan import Op, Plan, Status
from meshsim.results.run import RequestRecord, Span

US = 1000.0


def jaeger_json(records: Sequence[RequestRecord], plan: Plan) -> str:
    """The records as one JSON text."""
    data = [
        {"traceID": f"{record.request + 1:032x}", "spans": spans, "processes": _processes(spans, plan)}
        for record in records
        if (spans := list(_spans(record, plan)))
    ]
    return json.dumps({"data": data}, ensure_ascii=False)


def _process(plan: Plan, pod: int) -> dict[str, Any]:
    service = int(plan.pod_service[pod])
    if service >= len(plan.service_names):
        return {"serviceName": f"waypoint-{service - len(plan.service_names)}", "tags": []}
    name = plan.service_names[service]
    number = pod - int(plan.service_first_pod[service])
    return {"serviceName": name, "tags": [{"key": "hostname", "type": "string", "value": f"{name}-{number}"}]}


def _processes(spans: Sequence[dict[str, Any]], plan: Plan) -> dict[str, dict[str, Any]]:
    """Of those pods that have spans here; the client outside is one."""
    outside = {"serviceName": "client", "tags": []}
    names = dict.fromkeys(span["processID"] for span in spans)
    return {name: outside if name == "client" else _process(plan, int(name[1:])) for name in names}


def _spans(record: RequestRecord, plan: Plan) -> Iterator[dict[str, Any]]:
    by_number = {span.number: span for span in record.spans}
    trace = f"{record.request + 1:032x}"
    for span in record.spans:
        if span.call < 0 or span.end_ns < 0:
            continue
        name = plan.call_names[span.call].split(" -> ")[1].partition("/")[2]
        above = _call_above(span, by_number)
        client, server = f"{2 * span.number + 1:016x}", f"{2 * span.number + 2:016x}"
        parent = f"{2 * above.number + 2:016x}" if above is not None else ""
        failed: list[dict[str, Any]] = [{"key": "error", "type": "bool", "value": True}] if span.status else []
        told = [{"key": "meshsim.status", "type": "string", "value": Status(span.status).name.lower()}, *failed]
        source = f"p{span.source}" if span.source >= 0 else "client"
        yield _span(
            trace,
            client,
            parent,
            name,
            "client",
            source,
            span.start_ns,
            span.end_ns,
            told,
        )
        begins, ends = _in_body(span, plan)
        if ends >= begins >= 0:
            yield _span(
                trace, server, client, name, "server", f"p{span.destination}", begins, ends,
                told,
            )  # fmt: skip


def _call_above(span: Span, by_number: dict[int, Span]) -> Span | None:
    """The call whose endpoint made this one, past branches and attempts."""
    above = by_number.get(span.parent)
    while above is not None and above.call < 0:
        above = by_number.get(above.parent)
    return above


def _in_body(span: Span, plan: Plan) -> tuple[int, int]:
    """First and last moment in the endpoint's body; (-1, -2) if the call never got there."""
    first = int(plan.call_body[span.call])
    last = first
    while plan.op[last] != Op.RETURN:
        last += 1
    inside = [(start, end) for instruction, start, end, _ in span.segments if first <= instruction <= last]
    return (inside[0][0], inside[-1][1]) if inside else (-1, -2)


def _span(
    trace: str, own: str, parent: str, name: str, kind: str, process: str, start: int, end: int,
    tags: Sequence[dict[str, Any]],
) -> dict[str, Any]:  # fmt: skip
    references = [{"refType": "CHILD_OF", "traceID": trace, "spanID": parent}] if parent else []
    return {
        "traceID": trace, "spanID": own, "operationName": name, "references": references, "startTime": start / US,
        "duration": (end - start) / US, "processID": process,
        "tags": [{"key": "span.kind", "type": "string", "value": kind}, *tags],
    }  # fmt: skip
