"""Jaeger's JSON: downloads of its UI, and answers of its HTTP API (`/api/traces`).

Source: jaegertracing/jaeger, `model/json/model.go`, `plugin/storage/es/spanstore/dbmodel` (documents of
Elasticsearch); how OpenTelemetry maps to it: specification, "OpenTelemetry to Jaeger transformation".
"""

from collections.abc import Iterator
from typing import Any

from fl_assets.events.formats.marks import has_all, json_key
from fl_assets.events.formats.readers import Found, or_reason, span_reader
from fl_assets.events.formats.seam import Format
from fl_assets.events.formats.spans import Span, SpanEvent
from fl_assets.events.formats.times import MAX_NS, check_us, ns_or_none
from fl_assets.events.formats.values import as_object, first, objects_of, required_text


def _of_trace(value: Any) -> Iterator[Found]:
    """Yield the spans of a trace, or a document of Elasticsearch, which is a span."""
    trace = as_object(value)
    if not trace:
        raise ValueError("jaeger: no spans in this document")
    processes = as_object(trace.get("processes"))
    for raw in objects_of(trace["spans"] if isinstance(trace.get("spans"), list) else [trace]):
        process = as_object(raw.get("process")) or as_object(processes.get(str(raw.get("processID"))))
        yield or_reason(_span, raw, process)


def _tags(value: dict[str, Any]) -> dict[str, Any]:
    """Return tags; in Elasticsearch, those that are fields (`tag`) have @ in the place of dots."""
    fields = {name.replace("@", "."): found for name, found in as_object(value.get("tag")).items()}
    listed = objects_of(value.get("tags")) + objects_of(value.get("fields"))
    return fields | {str(tag["key"]): tag.get("value") for tag in listed if tag.get("key")}


def _microseconds(value: Any, field: str) -> int:
    if isinstance(value, str) and value.isdigit():
        value = int(value)
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= MAX_NS // 1000:
        raise ValueError(f"{field} is {value!r:.60}, must be microseconds")
    return int(value) * 1000


def _span(raw: dict[str, Any], process: dict[str, Any]) -> Span:
    tags = _tags(raw)
    start = _microseconds(check_us(raw.get("startTime"), "startTime"), "startTime")
    code = first(tags, ("otel.status_code",)).upper()
    is_error = code == "ERROR" or (not code and str(tags.get("error")).lower() == "true")
    parents = [ref for ref in objects_of(raw.get("references")) if ref.get("refType") != "FOLLOWS_FROM"]
    scope = first(tags, ("otel.scope.name", "otel.library.name"))
    trace_id = required_text(raw.get("traceID"), "traceID").lower()
    return Span(
        trace_id=trace_id.zfill(32),
        span_id=required_text(raw.get("spanID"), "spanID").lower(),
        parent_id=str(parents[0].get("spanID") if parents else raw.get("parentSpanID") or "").lower(),
        name=str(raw.get("operationName") or ""),
        start_ns=start,
        end_ns=start + _microseconds(raw.get("duration"), "duration") if start else 0,
        status="error" if is_error else "ok" if code == "OK" else "unset",
        status_message=first(tags, ("otel.status_description",)),
        scope=scope,
        attributes={key: value for key, value in tags.items() if not key.startswith("otel.")},
        resource={**_tags(process), "service.name": process.get("serviceName")},
        events=tuple(
            SpanEvent(
                str(fields.get("event") or fields.get("message") or "log"),
                _exception(fields),
                ns_or_none(log.get("timestamp")),
            )
            for log in objects_of(raw.get("logs"))
            for fields in [_tags(log)]
        ),
    )


def _exception(fields: dict[str, Any]) -> dict[str, Any]:
    """Rename the fields of an error that was logged by OpenTracing to OpenTelemetry's."""
    if fields.get("event") == "error" and "exception.message" not in fields:
        kind, message, stack = fields.get("error.kind"), fields.get("message"), fields.get("stack")
        return {
            **fields,
            "exception.type": kind or "",
            "exception.message": message or first(fields, ("error.object", "error.message", "error")),
            "exception.stacktrace": stack or "",
        }
    return fields


FORMAT = Format(
    "jaeger",
    "Jaeger's JSON, from its UI or its API.",
    has_all(json_key("operationName"), json_key("traceID|spanID")),
    span_reader(_of_trace, pages="data"),
)
