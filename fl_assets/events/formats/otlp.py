"""OTLP/JSON as the OpenTelemetry Collector's file exporter writes it: one export request a line, or one document a file.

What goes here: the wire form, in every spelling that writers use (ids in hex of either case or base64, 64-bit integers as texts or numbers, enums as
numbers or names, camelCase or snake_case keys, unknown fields). What does not: what a span means (`spans.py`).

Sources: opentelemetry-proto 1.5, `docs/specification.md#json-protobuf-encoding`; protobuf's JSON mapping.
"""

import base64
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from fl_assets.events.formats.seam import Format, Lines, Refusal, Row, json_records
from fl_assets.events.formats.spans import SAID, Span, rows

_MARK = re.compile(rb'(?<!\\)"(?:resourceSpans|resource_spans|resourceLogs|resource_logs)"\s*:')
_MAX_DEPTH = 20
_HEX = re.compile(r"[0-9a-fA-F]+")
_STATUS = {
    "1": "ok",
    "STATUS_CODE_OK": "ok",
    "OK": "ok",
    "2": "error",
    "STATUS_CODE_ERROR": "error",
    "ERROR": "error",
}


def read(lines: Lines) -> Iterator[Row | Refusal]:
    """Turn a file's lines into rows: an ExecutionTrace a span, and a ConversationLog for each turn that LLM and agent spans tell of."""
    return rows(_spans(lines))


FORMAT = Format(
    name="otlp",
    description="OTLP/JSON traces (and GenAI log events) as the OpenTelemetry Collector's file exporter writes them.",
    matches=lambda _, head: _MARK.search(head) is not None,
    read=read,
)


def _spans(lines: Lines) -> Iterator[tuple[int, Span] | Refusal]:
    for record in json_records(lines):
        if isinstance(record, Refusal):
            yield record
            continue
        line, value = record
        bad: list[str] = []
        total = 0
        for request in value if isinstance(value, list) else [value]:
            for span in _of_request(request):
                total += 1
                if isinstance(span, Span):
                    yield line, span
                else:
                    bad.append(span)
        if bad:  # one refusal a line, for that is what quarantine counts by
            yield Refusal(line, "bad_span", f"{len(bad)} of {total} spans: {bad[0]}")


def _of_request(request: Any) -> Iterator[Span | str]:
    """Give the spans of one export request, and a text for each thing that is none."""
    groups, logs = _get(_object(request), "resourceSpans"), _get(_object(request), "resourceLogs")
    if not isinstance(groups, list) and not isinstance(logs, list):
        keys = ", ".join(sorted(request)[:5]) if isinstance(request, dict) else type(request).__name__
        yield f"no list resourceSpans or resourceLogs in this export request, but {keys or 'nothing'}"
    yield from _of_groups(groups)
    yield from _of_logs(logs)


def _of_groups(groups: Any) -> Iterator[Span | str]:
    for group in _objects(groups):
        resource = _attributes(_get(_object(_get(group, "resource")), "attributes"))
        for scoped in _objects(_get(group, "scopeSpans") or _get(group, "instrumentationLibrarySpans")):
            scope = str(
                _object(_get(scoped, "scope") or _get(scoped, "instrumentationLibrary")).get("name") or ""
            )
            for raw in _list(_get(scoped, "spans")):
                try:
                    yield _span(raw, resource, scope)
                except ValueError as error:
                    yield str(error)


def _of_logs(groups: Any) -> Iterator[Span | str]:
    """Read the GenAI events among log records, each as a stand-in for its span that only talks; other records are no calls and say nothing here."""
    for group in _objects(groups):
        resource = _attributes(_get(_object(_get(group, "resource")), "attributes"))
        for scoped in _objects(_get(group, "scopeLogs")):
            scope = str(_object(_get(scoped, "scope")).get("name") or "")
            for raw in _objects(_get(scoped, "logRecords")):
                attributes = _attributes(_get(raw, "attributes"))
                name = str(_get(raw, "eventName") or attributes.get("event.name") or "")
                if not name.startswith("gen_ai.") or not _get(raw, "traceId"):
                    continue
                body = _any(_get(raw, "body"))
                said = {**attributes, **(body if isinstance(body, dict) else {"content": body})}
                about = {"gen_ai.operation.name": "chat", **attributes}
                try:
                    when = _integer(_get(raw, "timeUnixNano"), "timeUnixNano") or _integer(
                        _get(raw, "observedTimeUnixNano"), "observedTimeUnixNano"
                    )
                    trace_id, span_id = (
                        _id(_get(raw, "traceId"), "traceId", 16),
                        _id(_get(raw, "spanId"), "spanId", 8),
                    )
                    yield Span(
                        trace_id,
                        span_id,
                        "",
                        name,
                        when,
                        when,
                        SAID,
                        scope=scope,
                        attributes=about,
                        resource=resource,
                        events=((name, said),),
                    )
                except ValueError as error:
                    yield str(error)


def _span(raw: Any, resource: dict[str, Any], scope: str) -> Span:
    if not isinstance(raw, dict):
        message = f"a span is a {type(raw).__name__}, must be an object"
        raise ValueError(message)
    status = _object(_get(raw, "status"))
    parent = _get(raw, "parentSpanId")
    return Span(
        trace_id=_id(_get(raw, "traceId"), "traceId", 16),
        span_id=_id(_get(raw, "spanId"), "spanId", 8),
        parent_id=_id(parent, "parentSpanId", 8) if parent and str(parent).strip("0A=") else "",
        name=str(_get(raw, "name") or ""),
        start_ns=_integer(_get(raw, "startTimeUnixNano"), "startTimeUnixNano"),
        end_ns=_integer(_get(raw, "endTimeUnixNano"), "endTimeUnixNano"),
        status=_STATUS.get(str(status.get("code") or 0).upper(), "unset"),
        status_message=str(status.get("message") or ""),
        scope=scope,
        attributes=_attributes(_get(raw, "attributes")),
        resource=resource,
        events=tuple(
            (str(event.get("name") or ""), _attributes(_get(event, "attributes")))
            for event in _objects(_get(raw, "events"))
        ),
    )


@cache
def _snake(key: str) -> str:
    return re.sub(r"[A-Z]", lambda letter: "_" + letter[0].lower(), key)


def _get(value: dict[str, Any], key: str) -> Any:
    """Look a field up by its camelCase name, or as snake_case, which protobuf's JSON parsers accept too."""
    found = value.get(key)
    return found if found is not None else value.get(_snake(key))


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _objects(value: Any) -> list[dict[str, Any]]:
    return [entry for entry in _list(value) if isinstance(entry, dict)]


def _id(value: Any, field: str, size: int) -> str:
    """Read an id as lower-case hex: it is hex in OTLP/JSON, and base64 where a generic protobuf library wrote it."""
    text = value if isinstance(value, str) else ""
    if not _HEX.fullmatch(text) or len(text) != 2 * size:
        try:
            raw = base64.b64decode(text, validate=True)
        except ValueError:
            raw = b""
        if len(raw) != size:
            message = f"{field} is {value!r:.60}, must be {2 * size} hexadecimal digits"
            raise ValueError(message)
        text = raw.hex()
    if not text.strip("0"):
        message = f"{field} is all zeros, which is no id"
        raise ValueError(message)
    return text.lower()


def _integer(value: Any, field: str) -> int:
    """Read a 64-bit integer, which is a text in JSON and a number where a writer did not care."""
    if value is None:
        return 0
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError) as error:
        message = f"{field} is {value!r:.60}, must be an integer"
        raise ValueError(message) from error


def _attributes(value: Any, depth: int = 0) -> dict[str, Any]:
    """Read a list of key and AnyValue."""
    return {
        str(entry["key"]): _any(_get(entry, "value"), depth) for entry in _objects(value) if entry.get("key")
    }


def _any(value: Any, depth: int = 0) -> Any:
    """Read an AnyValue as a plain value; bytes stay base64 text, unknown kinds and what lies deeper than `_MAX_DEPTH` are None."""
    if depth > _MAX_DEPTH:
        return None
    if not isinstance(value, dict):
        return value if isinstance(value, str | int | float | bool) else None
    for key in ("stringValue", "boolValue", "doubleValue", "bytesValue"):
        if (found := _get(value, key)) is not None:
            return found
    if (number := _get(value, "intValue")) is not None:
        try:
            return int(number)
        except (TypeError, ValueError, OverflowError):
            return str(number)
    if (array := _get(value, "arrayValue")) is not None:
        return [_any(entry, depth + 1) for entry in _list(_object(array).get("values"))]
    if (pairs := _get(value, "kvlistValue")) is not None:
        return _attributes(_object(pairs).get("values"), depth + 1)
    return None
