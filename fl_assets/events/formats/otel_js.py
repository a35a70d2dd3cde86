"""Spans and log records of OpenTelemetry's JavaScript SDK as JSON.

They are what its console exporter prints (`traceId`, `id`, microseconds), or spans and log records
themselves, with times as pairs of seconds and nanoseconds. So Gemini CLI writes them (`--telemetry-outfile`),
and VS Code's Copilot.

Source: opentelemetry-js 1 and 2, `ConsoleSpanExporter.ts` (`_exportInfo`), `Span.ts` (`SpanImpl`),
`LogRecordImpl.ts`, `ResourceImpl.ts`; google-gemini/gemini-cli, `telemetry/file-exporters.ts`.
"""

from typing import Any

from fl_assets.events.formats.marks import has_all, has_any, json_key
from fl_assets.events.formats.otlp_logs import LogRecord, span_of_record
from fl_assets.events.formats.otlp_values import any_value, attributes_of
from fl_assets.events.formats.readers import NotUsed, entry_reader
from fl_assets.events.formats.seam import Format
from fl_assets.events.formats.spans import Span, events_in
from fl_assets.events.formats.times import any_ns
from fl_assets.events.formats.values import as_list, as_object, first, required_text

_STATUS = {"1": "ok", "2": "error", "OK": "ok", "ERROR": "error"}


def _time(value: Any, field: str) -> int:
    """Read a pair of seconds and nanoseconds, or a time of any other shape."""
    if isinstance(value, list) and len(value) == 2 and all(isinstance(part, int) for part in value):
        return value[0] * 10**9 + value[1]
    return any_ns(value, field)


def _resource_of(raw: dict[str, Any]) -> dict[str, Any]:
    """Return a resource's attributes: an object, or, in version 2, pairs."""
    resource = as_object(raw.get("resource"))
    pairs = [pair for pair in as_list(resource.get("_rawAttributes")) if isinstance(pair, list)]
    given = {str(pair[0]): pair[1] for pair in pairs if len(pair) == 2}
    return attributes_of(resource.get("attributes") or resource.get("_attributes") or given)


def _scope_of(raw: dict[str, Any]) -> str:
    scope = as_object(raw.get("instrumentationScope") or raw.get("instrumentationLibrary"))
    return str(scope.get("name") or "")


def _entry(raw: dict[str, Any]) -> Span | NotUsed:
    if "scopeMetrics" in raw:
        return NotUsed("metrics")
    return _of_record(raw) if "hrTime" in raw else _span(raw)


def _of_record(raw: dict[str, Any]) -> Span | NotUsed:
    context = as_object(raw.get("spanContext"))

    def given(name: str) -> Any:
        return raw.get(f"_{name}", raw.get(name))

    return span_of_record(
        LogRecord(
            resource=_resource_of(raw),
            scope=_scope_of(raw),
            attributes=attributes_of(raw.get("attributes")),
            body=any_value(given("body")),
            name=str(given("eventName") or ""),
            when=_time(raw.get("hrTime"), "hrTime") or _time(raw.get("hrTimeObserved"), "hrTimeObserved"),
            trace=context.get("traceId"),
            span=context.get("spanId"),
            severity=given("severityNumber"),
            severity_text=str(given("severityText") or ""),
        )
    )


def _span(raw: dict[str, Any]) -> Span:
    context = as_object(raw.get("_spanContext") or raw.get("spanContext")) or raw
    parent = as_object(raw.get("parentSpanContext"))
    start = _time(raw.get("startTime") or raw.get("timestamp"), "startTime")
    end = _time(raw.get("endTime"), "endTime")
    took = raw.get("duration")
    if not end and start and isinstance(took, int | float):
        end = start + round(took * 1000)
    status = as_object(raw.get("status"))
    return Span(
        trace_id=required_text(context.get("traceId"), "traceId").lower(),
        span_id=required_text(context.get("spanId") or raw.get("id"), "spanId").lower(),
        parent_id=(first(parent, ("spanId",)) or first(raw, ("parentId", "parentSpanId"))).lower(),
        name=str(raw.get("name") or ""),
        start_ns=start,
        end_ns=end,
        status=_STATUS.get(str(status.get("code") or "").upper(), "unset"),
        status_message=str(status.get("message") or ""),
        scope=_scope_of(raw),
        attributes=attributes_of(raw.get("attributes")),
        resource=_resource_of(raw),
        events=events_in(raw.get("events"), attributes_of, lambda time: _time(time, "time")),
    )


FORMAT = Format(
    "otel_js",
    "Spans and log records of OpenTelemetry's JavaScript SDK, of its console exporter or as JSON.",
    has_any(
        has_all(
            json_key("traceId"),
            json_key("timestamp", rb"[0-9]"),
            json_key("duration", rb"[0-9]"),
            json_key("instrumentationScope|instrumentationLibrary|parentSpanContext|traceState"),
        ),
        has_all(json_key("_spanContext|spanContext"), json_key("startTime|_startTime", rb"\[")),
        has_all(json_key("hrTimeObserved", rb"\["), json_key("instrumentationScope")),
    ),
    entry_reader(_entry),
)
