"""OTLP in protobuf: traces and log records, converted to OTLP/JSON, one record per resource.

A file has export requests one after another (`.binpb`), each perhaps after its length: four bytes,
big-endian, from the Collector's file exporter with `format: proto`, or a varint, as in protobuf's delimited
streams.

Sources: opentelemetry-proto 1.5, `trace/v1/trace.proto`, `logs/v1/logs.proto`; protobuf's encoding;
opentelemetry-collector-contrib, exporter/fileexporter.
"""

import base64
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from google.protobuf.message import DecodeError
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs
from opentelemetry.proto.metrics.v1.metrics_pb2 import ResourceMetrics
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span

from fl_assets.events.rows.record import MAX_RECORD_BYTES, BadRowsError, line_of

_FIRST_FIELD = 0x0A
"""Tag of field 1 (length-delimited): the resources of a request, and the resource in each of them."""
_RESOURCE_TAGS = frozenset(b"\x0a\x12\x1a")
_SCOPE_TAGS = frozenset(b"\x0a\x12\x1a")
_MAX_DEPTH = 20
_ID_BYTES = (16, 8)
_LONGEST_PREFIX = 11
"""Bytes: within them a request begins, whose first is 0x0a; a varint has ten at the most."""


# Which files ------------------------------------------------------------------------------------------------


def matches(start: bytes) -> bool:
    """Whether a file begins with an export request, perhaps after its length."""
    return b"\x0a" in start[:_LONGEST_PREFIX] and _framing(start) is not None


def _framing(start: bytes) -> str | None:
    """Return what is before each request: `bare` (nothing), `length` (four bytes) or `varint`."""
    if _is_request(start):
        return "bare"
    if _is_request(start[4:]) and 0 < int.from_bytes(start[:4], "big") <= MAX_RECORD_BYTES:
        return "length"
    size, at = _varint(start, 0)
    return "varint" if at and size and _is_request(start[at : at + size]) else None


def _is_request(data: bytes) -> bool:
    """Whether bytes, perhaps cut, begin like a request, down to the first attribute or span."""
    if data[:1] != b"\x0a":
        return False
    size, at = _varint(data, 1)
    if not at or not size or at >= len(data) or data[at] not in _RESOURCE_TAGS:
        return False
    tag = data[at]
    inner, at = _varint(data, at + 1)
    if not at or inner > size:
        return False
    if tag == _FIRST_FIELD and inner:  # its resource: attributes, the first of which has a name
        return _has_attribute(data, at, inner)
    at += inner if tag == _FIRST_FIELD else 0
    if at < len(data) and tag == _FIRST_FIELD:
        if data[at] != 0x12:
            return False
        inner, at = _varint(data, at + 1)
    return bool(at) and at < len(data) and data[at] in _SCOPE_TAGS


def _has_attribute(data: bytes, at: int, size: int) -> bool:
    if at >= len(data) or data[at] != _FIRST_FIELD:
        return at < len(data) and data[at] in {0x10, 0x1A}
    pair, at = _varint(data, at + 1)
    if not at or pair > size or at >= len(data) or data[at] != _FIRST_FIELD:
        return False
    length, at = _varint(data, at + 1)
    name = data[at : at + length]
    return bool(at and 0 < length <= pair and name) and name.isascii() and name.decode().isprintable()


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Return the value of a varint of at most five bytes, and its end; 0, 0 where there is none."""
    value = 0
    for place in range(5):
        if at + place >= len(data):
            return 0, 0
        byte = data[at + place]
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return value, at + place + 1
    return 0, 0


# What is in them --------------------------------------------------------------------------------------------


def lines(file: BinaryIO) -> Iterator[bytes]:
    """Yield each resource as one request of OTLP/JSON.

    Raises:
        BadRowsError: the file is cut or damaged, or a resource is too large.
    """
    start = file.read(4096)
    stream = _Stream(file, start)
    framing = _framing(start)
    while not stream.is_at_end():
        if framing == "bare":
            yield from _of_fields(stream, None)
        else:
            size = int.from_bytes(stream.take(4), "big") if framing == "length" else stream.varint()
            yield from _of_fields(stream, stream.read + size)


class _Stream:
    """A file that is read sequentially, and its position."""

    def __init__(self, file: BinaryIO, start: bytes) -> None:
        self._file, self._held, self.read = file, start, 0

    def is_at_end(self) -> bool:
        if not self._held:
            self._held = self._file.read(4096)
        return not self._held

    def take(self, size: int) -> bytes:
        if size > MAX_RECORD_BYTES:
            raise BadRowsError(
                f"a resource of {size:,} bytes at byte {self.read}, at most {MAX_RECORD_BYTES} are read",
                "over_limit",
            )
        held, self._held = self._held[:size], self._held[size:]
        data = held + self._file.read(size - len(held)) if size > len(held) else held
        if len(data) < size:
            raise BadRowsError(f"OTLP protobuf ends at byte {self.read + len(data)}, within a message")
        self.read += size
        return data

    def varint(self) -> int:
        value = 0
        for place in range(10):
            (byte,) = self.take(1)
            value |= (byte & 0x7F) << (7 * place)
            if byte < 0x80:
                return value
        raise BadRowsError(f"OTLP protobuf is damaged before byte {self.read}: no length ends there")


def _of_fields(stream: _Stream, end: int | None) -> Iterator[bytes]:
    """Read the fields of a request up to a byte, or to the file's end."""
    while stream.read < end if end is not None else not stream.is_at_end():
        at, tag = stream.read, stream.varint()
        if tag != _FIRST_FIELD:
            raise BadRowsError(
                f"OTLP protobuf is damaged at byte {at}: field {tag} is none of an export request"
            )
        yield line_of(_request(stream.take(stream.varint()), at))


def _request(data: bytes, at: int) -> dict[str, Any]:
    """Read what one resource sent.

    Traces, logs and metrics differ only in the fields of their records.
    """
    traces = _parsed(ResourceSpans, data)
    if traces and any(_is_span(span) for scoped in traces.scope_spans for span in scoped.spans):
        return {"resourceSpans": [_grouped(traces, "scopeSpans", traces.scope_spans, "spans", _span)]}
    logs = _parsed(ResourceLogs, data)
    records = [record for scoped in logs.scope_logs for record in scoped.log_records] if logs else []
    if logs and any(record.time_unix_nano or record.observed_time_unix_nano for record in records):
        return {"resourceLogs": [_grouped(logs, "scopeLogs", logs.scope_logs, "logRecords", _log_record)]}
    metrics = _parsed(ResourceMetrics, data)
    names = [metric.name for scoped in metrics.scope_metrics for metric in scoped.metrics] if metrics else []
    if any(names):
        return {"resourceMetrics": [{"scopeMetrics": [{"metrics": [{"name": name} for name in names]}]}]}
    if traces is None:
        raise BadRowsError(f"OTLP protobuf is damaged within the message at byte {at}")
    return {"resourceSpans": [_grouped(traces, "scopeSpans", traces.scope_spans, "spans", _span)]}


def _parsed(kind: Any, data: bytes) -> Any:
    """Read a message; None for bytes that are none of its kind."""
    try:
        return kind.FromString(data)
    except DecodeError:
        return None


def _is_span(span: Span) -> bool:
    return (len(span.trace_id), len(span.span_id)) == _ID_BYTES


def _grouped(
    group: Any, scopes: str, scoped: Any, field: str, of_record: Callable[[Any], dict[str, Any]]
) -> dict[str, Any]:
    """Write a resource with its scopes and their records."""
    return {
        "resource": {"attributes": _attributes(group.resource.attributes)},
        scopes: [
            {
                "scope": {"name": one.scope.name, "version": one.scope.version},
                field: [of_record(record) for record in getattr(one, _PYTHON[field])],
            }
            for one in scoped
        ],
    }


_PYTHON = {"spans": "spans", "logRecords": "log_records"}


def _span(span: Span) -> dict[str, Any]:
    return {
        "traceId": span.trace_id.hex(),
        "spanId": span.span_id.hex(),
        "parentSpanId": span.parent_span_id.hex(),
        "name": span.name,
        "kind": span.kind,
        "startTimeUnixNano": span.start_time_unix_nano,
        "endTimeUnixNano": span.end_time_unix_nano,
        "attributes": _attributes(span.attributes),
        "status": {"code": span.status.code, "message": span.status.message},
        "events": [
            {
                "name": event.name,
                "timeUnixNano": event.time_unix_nano,
                "attributes": _attributes(event.attributes),
            }
            for event in span.events
        ],
    }


def _log_record(record: LogRecord) -> dict[str, Any]:
    return {
        "timeUnixNano": record.time_unix_nano,
        "observedTimeUnixNano": record.observed_time_unix_nano,
        "severityNumber": record.severity_number,
        "severityText": record.severity_text,
        "eventName": record.event_name,
        "body": _any_value(record.body),
        "attributes": _attributes(record.attributes),
        "traceId": record.trace_id.hex(),
        "spanId": record.span_id.hex(),
    }


def _attributes(pairs: Any, depth: int = 0) -> list[dict[str, Any]]:
    return [{"key": pair.key, "value": _any_value(pair.value, depth)} for pair in pairs]


def _any_value(value: AnyValue, depth: int = 0) -> dict[str, Any]:
    kind = value.WhichOneof("value")
    if kind is None or depth > _MAX_DEPTH:
        return {}
    found = getattr(value, kind)
    if kind == "string_value":
        return {"stringValue": found}
    if kind == "array_value":
        return {"arrayValue": {"values": [_any_value(entry, depth + 1) for entry in found.values]}}
    if kind == "kvlist_value":
        return {"kvlistValue": {"values": _attributes(found.values, depth + 1)}}
    if kind == "bytes_value":
        return {"bytesValue": base64.b64encode(found).decode()}
    return {{"int_value": "intValue", "bool_value": "boolValue", "double_value": "doubleValue"}[kind]: found}
