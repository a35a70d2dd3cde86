"""Rows of the OpenTelemetry Collector's ClickHouse tables `otel_traces` and `otel_logs`.

They come as JSONEachRow, JSON, CSVWithNames or Parquet.

Source: opentelemetry-collector-contrib, `exporter/clickhouseexporter/internal/sqltemplates/`
(`traces_table.sql`, `logs_table.sql`). Times are UTC; `Duration` is in nanoseconds.
"""

from typing import Any

from fl_assets.events.formats.marks import has_all, json_key
from fl_assets.events.formats.otlp_logs import LogRecord, span_of_record
from fl_assets.events.formats.otlp_values import integer_of
from fl_assets.events.formats.readers import NotUsed, entry_reader
from fl_assets.events.formats.seam import Format
from fl_assets.events.formats.spans import Span, SpanEvent
from fl_assets.events.formats.times import any_ns, ns_or_none
from fl_assets.events.formats.values import as_list, as_object, decoded, objects_of, required_text

_STATUS = {"OK": "ok", "STATUS_CODE_OK": "ok", "ERROR": "error", "STATUS_CODE_ERROR": "error"}


def _log(raw: dict[str, Any]) -> Span | NotUsed:
    service = {"service.name": raw["ServiceName"]} if raw.get("ServiceName") else {}
    return span_of_record(
        LogRecord(
            resource={**service, **as_object(raw.get("ResourceAttributes"))},
            scope=str(raw.get("ScopeName") or ""),
            attributes=as_object(raw.get("LogAttributes")),
            body=decoded(raw.get("Body")),
            name=str(raw.get("EventName") or ""),
            when=any_ns(raw.get("Timestamp") or raw.get("TimestampTime"), "Timestamp"),
            trace=raw.get("TraceId"),
            span=raw.get("SpanId"),
            severity=raw.get("SeverityNumber"),
            severity_text=str(raw.get("SeverityText") or ""),
        )
    )


def _span(raw: dict[str, Any]) -> Span:
    start = any_ns(raw.get("Timestamp"), "Timestamp")
    took = integer_of(duration, "Duration") if (duration := raw.get("Duration")) not in (None, "") else None
    events, columns = as_object(raw.get("Events")), ("Name", "Attributes", "Timestamp")
    listed = [[event.get(name) for name in columns] for event in objects_of(raw.get("Events"))]
    by_column = (as_list(raw.get(f"Events.{name}") or events.get(name)) for name in columns)
    return Span(
        trace_id=required_text(raw.get("TraceId"), "TraceId").lower(),
        span_id=required_text(raw.get("SpanId"), "SpanId").lower(),
        parent_id=str(raw.get("ParentSpanId") or "").lower(),
        name=str(raw.get("SpanName") or ""),
        start_ns=start,
        end_ns=start + took if start and took is not None else 0,
        status=_STATUS.get(str(raw.get("StatusCode") or "").upper(), "unset"),
        status_message=str(raw.get("StatusMessage") or ""),
        scope=str(raw.get("ScopeName") or ""),
        attributes=as_object(raw.get("SpanAttributes")),
        resource={"service.name": raw.get("ServiceName"), **as_object(raw.get("ResourceAttributes"))},
        events=tuple(
            SpanEvent(str(name or ""), as_object(about), ns_or_none(when))
            for name, about, when in listed or zip(*by_column, strict=False)
        ),
    )


FORMAT = Format(
    "clickhouse",
    "Rows of ClickHouse's `otel_traces` and `otel_logs` (JSON, CSV, Parquet).",
    has_all(
        json_key("Timestamp"),
        json_key("SpanName|SpanAttributes|LogAttributes|SeverityNumber|SeverityText"),
        json_key("SpanId|ServiceName|ResourceAttributes"),
    ),
    entry_reader(lambda raw: _span(raw) if "SpanName" in raw or "Duration" in raw else _log(raw), "rows"),
)
