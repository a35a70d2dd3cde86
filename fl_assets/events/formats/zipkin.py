"""Zipkin's JSON (v2): lists of spans, or lists of traces that are lists of spans.

What goes here: tags, endpoints and microseconds. What does not: what a span means (`conventions.py`).

Source: openzipkin/zipkin-api, `zipkin2-api.yaml`; how OpenTelemetry maps to it: specification, "OpenTelemetry
to Zipkin transformation".
"""

from typing import Any

from fl_assets.events.formats.marks import has_all, json_key
from fl_assets.events.formats.readers import entry_reader
from fl_assets.events.formats.seam import Format
from fl_assets.events.formats.spans import Span, SpanEvent
from fl_assets.events.formats.times import any_ns, check_us, ns_or_none
from fl_assets.events.formats.values import as_object, first, objects_of, required_text


def span_of(raw: dict[str, Any]) -> Span:
    """Read one span.

    Raises:
        ValueError: when it has no ids, or no times in microseconds.
    """
    tags = as_object(raw.get("tags"))
    start = any_ns(check_us(raw.get("timestamp"), "timestamp"), "timestamp")
    duration = raw.get("duration")
    took = int(duration) * 1000 if isinstance(duration, int | float) else None
    code = first(tags, ("otel.status_code",)).upper()
    local = as_object(raw.get("localEndpoint"))
    span_id = required_text(raw.get("id"), "id").lower()
    if str(raw.get("kind") or "").upper() == "SERVER" and raw.get("shared"):
        span_id += ":server"  # of one id with the client's span, by Zipkin's shared spans
    return Span(
        trace_id=required_text(raw.get("traceId"), "traceId").lower().zfill(32),
        span_id=span_id,
        parent_id=str(raw.get("parentId") or "").lower(),
        name=str(raw.get("name") or ""),
        start_ns=start,
        end_ns=start + took if start and took is not None else 0,
        status="ok" if code == "OK" else "error" if code == "ERROR" or "error" in tags else "unset",
        status_message=first(tags, ("otel.status_description", "error")),
        scope=first(tags, ("otel.scope.name", "otel.library.name")),
        attributes={key: value for key, value in tags.items() if not key.startswith("otel.")},
        resource={"service.name": local.get("serviceName"), "host.name": tags.get("host.name")},
        events=tuple(
            SpanEvent(
                str(note.get("value") or ""), as_object(note.get("value")), ns_or_none(note.get("timestamp"))
            )
            for note in objects_of(raw.get("annotations"))
        ),
    )


FORMAT = Format(
    "zipkin",
    "Zipkin's JSON (v2).",
    has_all(json_key("traceId"), json_key("localEndpoint|remoteEndpoint"), json_key("timestamp", rb"[0-9]")),
    entry_reader(span_of),
)
