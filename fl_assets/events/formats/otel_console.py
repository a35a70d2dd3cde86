"""Spans in the JSON of OpenTelemetry's console exporter (`to_json`), and lists of such spans.

Source: opentelemetry-python, `sdk/trace/__init__.py` (`ReadableSpan.to_json`); opentelemetry-js,
`ConsoleSpanExporter`.
"""

from typing import Any

from fl_assets.events.formats.marks import has_all, has_any, json_key
from fl_assets.events.formats.readers import entry_reader
from fl_assets.events.formats.seam import Format
from fl_assets.events.formats.spans import Span, events_in
from fl_assets.events.formats.times import any_ns
from fl_assets.events.formats.values import as_object, required_text

_STATUS = {"OK": "ok", "1": "ok", "ERROR": "error", "2": "error"}
_MATCHES = has_any(
    has_all(json_key("context", rb'\{[^{}]*"trace_?[iI]d"\s*:\s*"0x')),
    has_all(
        json_key("trace_id", rb'"(?:0x)?[0-9a-f]{32}"'),
        json_key("span_id", rb'"(?:0x)?[0-9a-f]{16}"'),
        json_key("start_time"),
        json_key("attributes", rb"\{"),
    ),
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


FORMAT = Format(
    "otel_console",
    "Spans printed by OpenTelemetry's console exporter (JSON), and lists of such spans.",
    lambda name, head: b'"span_kind"' not in head and _MATCHES(name, head),  # that would be Phoenix' spans
    entry_reader(_span, pages="spans"),
)
