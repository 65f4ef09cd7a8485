"""Traces as Jaeger's API and its "JSON File" upload have them: ``data[].spans[]``, times in microseconds.

The fields are those of Jaeger's own model (jaegertracing/jaeger, ``internal/uimodel/model.go``).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from meshsim.formats import spans
from meshsim.formats.spans import Span, elements, mapping
from meshsim.scenario.application import Application
from meshsim.scenario.yaml_io import Document, Path_

INSTANCE = ("k8s.pod.name", "service.instance.id", "hostname", "host.name", "ip")


def is_jaeger(data: Any) -> bool:
    """Whether parsed JSON is Jaeger's: a list of traces with spans, or one trace of them."""
    traces = data.get("data") if isinstance(data, dict) else None
    return isinstance(traces, list) and any(isinstance(one, dict) and "spans" in one for one in traces)


def convert(document: Document, name: str) -> tuple[Application, list[str]]:
    """The application, and notes on what was assumed or left out. InputError with the place otherwise."""
    return spans.convert(list(_spans(document)), document, name)


def _spans(document: Document) -> Iterator[Span]:
    for number, trace in enumerate(document.data["data"]):
        where: Path_ = ("data", number)
        trace = mapping(document, trace, where)
        processes = mapping(document, trace.get("processes", {}), (*where, "processes"))
        for place, span in enumerate(elements(document, trace.get("spans", []), (*where, "spans"))):
            at: Path_ = (*where, "spans", place)
            yield _span(document, mapping(document, span, at), processes, at)


def _span(document: Document, span: dict[str, Any], processes: dict[str, Any], where: Path_) -> Span:
    process = span.get("process") or processes.get(str(span.get("processID")))
    if not isinstance(process, dict) or not isinstance(process.get("serviceName"), str):
        raise document.fail(
            where, f"processID {span.get('processID')!r} received; no process of that name in the trace"
        )
    start, lasted = (_number(document, span, key, where) for key in ("startTime", "duration"))
    references = [one for one in span.get("references") or [] if isinstance(one, dict)]
    first = next((one for one in references if one.get("refType") == "CHILD_OF"), None)
    follows = first is None and bool(references)
    first = first or (references[0] if references else {})
    tags = _tags(span.get("tags"))
    about = _tags(process.get("tags"))
    return Span(
        trace=str(span.get("traceID", "")), id=_text(document, span, "spanID", where),
        parent=str(first.get("spanID") or span.get("parentSpanID") or ""),
        service=process["serviceName"], name=_text(document, span, "operationName", where),
        kind=tags.get("span.kind", ""), start_us=start, end_us=start + lasted, tags=tags,
        instance=next((about[key] for key in INSTANCE if about.get(key)), ""), follows=follows,
    )  # fmt: skip


def _tags(tags: Any) -> dict[str, str]:
    if not isinstance(tags, list):
        return {}
    return {
        str(one["key"]): str(one["value"]) for one in tags if isinstance(one, dict) and {"key", "value"} <= one.keys()
    }


def _text(document: Document, span: dict[str, Any], key: str, where: Path_) -> str:
    value = span.get(key)
    if not isinstance(value, str) or not value:
        raise document.fail((*where, key), f"{str(value)[:60]} received; text was expected")
    return value


def _number(document: Document, span: dict[str, Any], key: str, where: Path_) -> float:
    value = span.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e18:
        raise document.fail((*where, key), f"{str(value)[:60]} received; microseconds were expected")
    return float(value)
