"""Traces in OpenTelemetry's JSON encoding (OTLP): ``resourceSpans[].scopeSpans[].spans[]``, times in nanoseconds.

One object, or one a line as the Collector's file exporter writes them. The encoding: opentelemetry.io, "OTLP
Specification", JSON Protobuf Encoding: identifiers in hex, 64-bit numbers as text, enumerations as numbers; names of
enumerations, which other writers use, are read too.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from meshsim.formats import spans
from meshsim.formats.spans import Span, elements, mapping
from meshsim.scenario.application import Application
from meshsim.scenario.yaml_io import Document, Path_

KINDS = ("", "internal", "server", "client", "producer", "consumer")
INSTANCE = ("k8s.pod.name", "service.instance.id", "host.name")
LATEST_NS = 1 << 63


def is_otlp(data: Any) -> bool:
    """Whether parsed JSON is OTLP: an object with resourceSpans, or a list of them."""
    first = data[0] if isinstance(data, list) and data else data
    return isinstance(first, dict) and isinstance(first.get("resourceSpans"), list)


def convert(document: Document, name: str) -> tuple[Application, list[str]]:
    """The application, and notes on what was assumed or left out. InputError with the place otherwise."""
    return spans.convert(list(_spans(document)), document, name)


def _spans(document: Document) -> Iterator[Span]:
    many = isinstance(document.data, list)
    for number, told in enumerate(document.data if many else [document.data]):
        top: Path_ = (number,) if many else ()
        for place, resource in enumerate(_of(document, told, "resourceSpans", top)):
            where: Path_ = (*top, "resourceSpans", place)
            whose = mapping(document, resource, where).get("resource")
            about = _attributes(mapping(document, whose, (*where, "resource")).get("attributes"))
            key = "scopeSpans" if "scopeSpans" in resource else "instrumentationLibrarySpans"
            for scope, spans_ in enumerate(_of(document, resource, key, where)):
                for row, span in enumerate(_of(document, spans_, "spans", (*where, key, scope))):
                    at: Path_ = (*where, key, scope, "spans", row)
                    yield _span(document, mapping(document, span, at), about, at)


def _span(document: Document, span: dict[str, Any], about: dict[str, str], where: Path_) -> Span:
    if not about.get("service.name"):
        raise document.fail(where, "its resource has no attribute service.name; whose span this is cannot be told")
    name, own = span.get("name"), span.get("spanId")
    if not isinstance(name, str) or not isinstance(own, str) or not own:
        raise document.fail(where, "name and spanId: text was expected")
    start, end = (_time(document, span, key, where) for key in ("startTimeUnixNano", "endTimeUnixNano"))
    return Span(
        trace=str(span.get("traceId", "")), id=own, parent=str(span.get("parentSpanId") or ""),
        service=about["service.name"], name=name or "serve", kind=_kind(document, span, where),
        start_us=start / 1000, end_us=end / 1000, tags=_attributes(span.get("attributes")),
        instance=next((about[key] for key in INSTANCE if about.get(key)), ""),
    )  # fmt: skip


def _kind(document: Document, span: dict[str, Any], where: Path_) -> str:
    kind = span.get("kind", 0)
    if isinstance(kind, str):
        kind = kind.removeprefix("SPAN_KIND_").lower()
        kind = "" if kind == "unspecified" else kind
        if kind in KINDS:
            return str(kind)
    elif not isinstance(kind, bool) and isinstance(kind, int) and 0 <= kind < len(KINDS):
        return KINDS[kind]
    raise document.fail(
        (*where, "kind"), f"{str(kind)[:60]} received; a number from 0 to {len(KINDS) - 1} was expected"
    )


def _time(document: Document, span: dict[str, Any], key: str, where: Path_) -> int:
    value = span.get(key)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < LATEST_NS:
        raise document.fail((*where, key), f"{str(value)[:60]} received; nanoseconds were expected")
    return value


def _attributes(attributes: Any) -> dict[str, str]:
    found: dict[str, str] = {}
    for one in attributes if isinstance(attributes, list) else ():
        if isinstance(one, dict) and isinstance(one.get("key"), str) and isinstance(one.get("value"), dict):
            values = [value for value in one["value"].values() if isinstance(value, str | int | float)]
            found |= {one["key"]: str(values[0])} if values else {}
    return found


def _of(document: Document, holder: Any, key: str, where: Path_) -> list[Any]:
    return elements(document, mapping(document, holder, where).get(key, []), (*where, key))
