"""Spans of OpenTelemetry's JavaScript SDK as JSON.

They are what its console exporter prints (`traceId`, `id`, microseconds), or spans themselves, with times as
pairs of seconds and nanoseconds.

Source: opentelemetry-js 1 and 2, `ConsoleSpanExporter.ts` (`_exportInfo`), `Span.ts` (`SpanImpl`).
"""

from typing import Any

from fl_assets.events.formats.marks import has_all, has_any, json_key
from fl_assets.events.formats.otlp_values import attributes_of
from fl_assets.events.formats.readers import entry_reader
from fl_assets.events.formats.seam import Format
from fl_assets.events.formats.spans import Span, SpanEvent
from fl_assets.events.formats.times import any_ns
from fl_assets.events.formats.values import as_object, first, objects_of, required_text

_STATUS = {"1": "ok", "2": "error", "OK": "ok", "ERROR": "error"}


def _time(value: Any, field: str) -> int:
    """Read a pair of seconds and nanoseconds, or a time of any other shape."""
    if isinstance(value, list) and len(value) == 2 and all(isinstance(part, int) for part in value):
        return value[0] * 10**9 + value[1]
    return any_ns(value, field)


def _span(raw: dict[str, Any]) -> Span:
    context = as_object(raw.get("_spanContext") or raw.get("spanContext")) or raw
    parent = as_object(raw.get("parentSpanContext"))
    start = _time(raw.get("startTime") or raw.get("timestamp"), "startTime")
    end = _time(raw.get("endTime"), "endTime")
    took = raw.get("duration")
    if not end and start and isinstance(took, int | float):
        end = start + round(took * 1000)
    resource, status = as_object(raw.get("resource")), as_object(raw.get("status"))
    scope = as_object(raw.get("instrumentationScope") or raw.get("instrumentationLibrary"))
    return Span(
        trace_id=required_text(context.get("traceId"), "traceId").lower(),
        span_id=required_text(context.get("spanId") or raw.get("id"), "spanId").lower(),
        parent_id=(first(parent, ("spanId",)) or first(raw, ("parentId", "parentSpanId"))).lower(),
        name=str(raw.get("name") or ""),
        start_ns=start,
        end_ns=end,
        status=_STATUS.get(str(status.get("code") or "").upper(), "unset"),
        status_message=str(status.get("message") or ""),
        scope=str(scope.get("name") or ""),
        attributes=attributes_of(raw.get("attributes")),
        resource=attributes_of(resource.get("attributes") or resource.get("_attributes")),
        events=tuple(
            SpanEvent(
                str(event.get("name") or ""),
                attributes_of(event.get("attributes")),
                _time(event.get("time"), "time"),
            )
            for event in objects_of(raw.get("events"))
        ),
    )


FORMAT = Format(
    "otel_js",
    "Spans of OpenTelemetry's JavaScript SDK, of its console exporter or as JSON.",
    has_any(
        has_all(
            json_key("traceId"),
            json_key("timestamp", rb"[0-9]"),
            json_key("duration", rb"[0-9]"),
            json_key("instrumentationScope|instrumentationLibrary|parentSpanContext|traceState"),
        ),
        has_all(json_key("_spanContext|spanContext"), json_key("startTime|_startTime", rb"\[")),
    ),
    entry_reader(_span),
)
