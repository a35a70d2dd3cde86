"""Spans in the JSON of OpenTelemetry's console exporter (`to_json`), and lists of such spans.

Source: opentelemetry-python, `sdk/trace/__init__.py` (`ReadableSpan.to_json`); opentelemetry-js,
`ConsoleSpanExporter`.
"""

import re
from collections.abc import Iterator
from typing import Any

from fl_assets.events.formats.readers import span_reader
from fl_assets.events.formats.seam import Format
from fl_assets.events.formats.spans import Span, SpanEvent
from fl_assets.events.formats.values import any_ns, as_list, as_object, ns_or_none, objects_of, required_text

_CONTEXT = re.compile(rb'"(?<!\\")context"\s*:\s*\{[^{}]*"trace_?[iI]d"\s*:\s*"0x')
_LISTED = (
    re.compile(rb'"(?<!\\")trace_id"\s*:\s*"(?:0x)?[0-9a-f]{32}"'),
    re.compile(rb'"(?<!\\")span_id"\s*:\s*"(?:0x)?[0-9a-f]{16}"'),
    re.compile(rb'"(?<!\\")start_time"\s*:'),
    re.compile(rb'"(?<!\\")attributes"\s*:\s*\{'),
)
_STATUS = {"OK": "ok", "1": "ok", "ERROR": "error", "2": "error"}


def _matches(_: str, head: bytes) -> bool:
    if b'"span_kind"' in head:  # Phoenix' spans
        return False
    return _CONTEXT.search(head) is not None or all(mark.search(head) for mark in _LISTED)


def _of_record(value: Any) -> Iterator[Span | str]:
    entries = value if isinstance(value, list) else as_list(as_object(value).get("spans")) or [value]
    for entry in entries:
        try:
            yield _span(as_object(entry))
        except ValueError as error:
            yield str(error)


read = span_reader(_of_record)

FORMAT = Format(
    name="otel_console",
    description="Spans printed by OpenTelemetry's console exporter (JSON), and lists of such spans.",
    matches=_matches,
    read=read,
)


def _id(value: Any, field: str) -> str:
    return required_text(value, field).lower().removeprefix("0x")


def _span(raw: dict[str, Any]) -> Span:
    context = as_object(raw.get("context")) or raw
    status = raw.get("status")
    about = status if isinstance(status, dict) else {"status_code": status or raw.get("status_code")}
    code = str(about.get("status_code") or about.get("code") or "").upper().rpartition(".")[2]
    parent = raw.get("parent_id") or raw.get("parent_span_id") or raw.get("parentSpanId") or ""
    scope = as_object(raw.get("scope") or raw.get("instrumentation_scope") or raw.get("instrumentation_info"))
    return Span(
        trace_id=_id(context.get("trace_id") or context.get("traceId"), "trace_id"),
        span_id=_id(context.get("span_id") or context.get("spanId"), "span_id"),
        parent_id=str(parent).lower().removeprefix("0x"),
        name=str(raw.get("name") or ""),
        start_ns=any_ns(raw.get("start_time"), "start_time"),
        end_ns=any_ns(raw.get("end_time"), "end_time"),
        status=_STATUS.get(code, "unset"),
        status_message=str(
            about.get("description") or about.get("message") or raw.get("status_message") or ""
        ),
        scope=str(scope.get("name") or ""),
        attributes=as_object(raw.get("attributes")),
        resource=as_object(as_object(raw.get("resource")).get("attributes")),
        events=events_in(raw.get("events") or raw.get("span_events")),
    )


def events_in(value: Any) -> tuple[SpanEvent, ...]:
    """Return the events of a span: objects with name, attributes, and a time under a usual name."""
    found = []
    for event in objects_of(value):
        time = event.get("timestamp") or event.get("time_unix_nano") or event.get("time")
        found.append(
            SpanEvent(str(event.get("name") or ""), as_object(event.get("attributes")), ns_or_none(time))
        )
    return tuple(found)
