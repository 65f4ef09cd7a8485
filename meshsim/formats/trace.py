"""Sampled requests as Chrome trace JSON, which ui.perfetto.dev and chrome://tracing open without uploading anything.

The format: "Trace Event Format" of the Chromium project (complete events, "ph": "X", times in us). A request is a
process; its calls and branches are slices. Slices that overlap without one inside the other are not drawn, so each
lane (thread) of a request holds only calls that follow one another; inside a call lie its steps.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from meshsim.plan.plan import Op, Plan, Status
from meshsim.results.run import RequestRecord, Span

US = 1000.0


def trace_json(records: Sequence[RequestRecord], plan: Plan, **about: str) -> str:
    """The records as one JSON text. ``about``: what belongs into the file's metadata, such as version and seed."""
    events = [event for record in records for event in _events(record, plan)]
    return json.dumps({"displayTimeUnit": "ms", "otherData": about, "traceEvents": events}, ensure_ascii=False)


def _events(record: RequestRecord, plan: Plan) -> Iterator[dict[str, Any]]:
    entry = record.spans[0]
    latency_ms = (entry.end_ns - entry.start_ns) / 1e6
    name = f"request {record.request}: {latency_ms:.3f} ms"
    yield {"ph": "M", "pid": record.request, "name": "process_name", "args": {"name": name}}
    for lane, spans in enumerate(lanes(record.spans)):
        for span in spans:
            yield _slice(record.request, lane, _name(span, plan), "call", span.start_ns, span.end_ns, _about(span))
            for instruction, start, end, running in span.segments:
                if end > start:
                    yield _slice(
                        record.request, lane, *_step(instruction, plan), start, end, {"running_us": running / US}
                    )


def lanes(spans: Sequence[Span]) -> list[list[Span]]:
    """The spans that ended, dealt out so that those of one lane do not overlap; the entry is in the first."""
    found: list[list[Span]] = []
    for span in sorted((span for span in spans if span.end_ns >= 0), key=lambda span: (span.start_ns, span.number)):
        lane = next((lane for lane in found if lane[-1].end_ns <= span.start_ns), None)
        if lane is None:
            found.append([span])
        else:
            lane.append(span)
    return found


def _name(span: Span, plan: Plan) -> str:
    if span.call >= 0:
        return plan.call_names[span.call]
    return "beside" if span.detached else "branch"


def _about(span: Span) -> dict[str, Any]:
    return {"span": span.number, "parent": span.parent, "status": Status(span.status).name.lower()}


def _step(instruction: int, plan: Plan) -> tuple[str, str]:
    op, number = Op(int(plan.op[instruction])), int(plan.tag[instruction])
    if number < 0:
        return "waiting for calls" if op == Op.JOIN else op.name.lower(), "waiting"
    return plan.tags[number].operation, plan.tags[number].component


def _slice(pid: int, tid: int, name: str, kind: str, start: int, end: int, args: dict[str, Any]) -> dict[str, Any]:
    return {
        "ph": "X", "pid": pid, "tid": tid, "name": name, "cat": kind, "ts": start / US, "dur": (end - start) / US,
        "args": args,
    }  # fmt: skip
