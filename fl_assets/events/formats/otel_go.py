"""Spans that OpenTelemetry's Go SDK prints (`stdouttrace`), pretty-printed one after another or one a line.

Source: opentelemetry-go, `exporters/stdout/stdouttrace` (`tracetest.SpanStub` as JSON).
"""

from typing import Any

from fl_assets.events.formats.marks import has_all, json_key
from fl_assets.events.formats.readers import NotUsed, entry_reader
from fl_assets.events.formats.seam import Format
from fl_assets.events.formats.spans import Span, events_in
from fl_assets.events.formats.times import iso_ns
from fl_assets.events.formats.values import as_object, first, objects_of, required_text


def _attributes(value: Any) -> dict[str, Any]:
    """Return attributes: objects of a key and a value with its type."""
    return {str(entry.get("Key")): as_object(entry.get("Value")).get("Value") for entry in objects_of(value)}


def _entry(raw: dict[str, Any]) -> Span | NotUsed:
    context, parent, status = (as_object(raw.get(key)) for key in ("SpanContext", "Parent", "Status"))
    if not context:  # metrics and log records go to the same output
        return NotUsed("metrics" if "ScopeMetrics" in raw else "log record")
    scope = as_object(raw.get("InstrumentationScope") or raw.get("InstrumentationLibrary"))
    parent_id = first(parent, ("SpanID",))
    return Span(
        trace_id=required_text(context.get("TraceID"), "TraceID").lower(),
        span_id=required_text(context.get("SpanID"), "SpanID").lower(),
        parent_id=parent_id.lower() if parent_id.strip("0") else "",
        name=str(raw.get("Name") or ""),
        start_ns=iso_ns(raw.get("StartTime"), "StartTime"),
        end_ns=iso_ns(raw.get("EndTime"), "EndTime"),
        status=str(status.get("Code") or "unset").lower(),
        status_message=str(status.get("Description") or ""),
        scope=str(scope.get("Name") or ""),
        attributes=_attributes(raw.get("Attributes")),
        resource=_attributes(raw.get("Resource")),
        events=events_in(raw.get("Events"), _attributes, iso_ns),
    )


FORMAT = Format(
    "otel_go",
    "Spans that OpenTelemetry's Go SDK prints (`stdouttrace`).",
    has_all(json_key("SpanContext", rb"\{"), json_key("TraceID"), json_key("StartTime")),
    entry_reader(_entry),
)
