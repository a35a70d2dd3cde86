"""Langfuse's trace export: a trace with its observations, which are read as the spans that they are.

What goes here: the export's own fields (level, statusMessage, type, input, output, sessionId). What does not: what a span means (`spans.py`); Langfuse
keeps the OpenTelemetry attributes it was sent under `metadata`, and they are read as such.

Source: Langfuse's API reference (`GET /api/public/traces/{traceId}`, `GET /api/public/observations`) and its UI's JSON download.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from fl_assets.events.formats.seam import Format, Lines, Refusal, Row, json_records
from fl_assets.events.formats.spans import Span, plain_name, rows

_MARK = re.compile(rb'^\s*\[?\s*\{\s*"trace"\s*:\s*\{\s*"id"\s*:|(?<!\\)"parentObservationId"\s*:')
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def read(lines: Lines) -> Iterator[Row | Refusal]:
    """Turn an export into rows: an ExecutionTrace an observation, a ConversationLog for each generation or agent that was asked and answered."""
    return rows(_spans(lines))


FORMAT = Format(
    name="langfuse",
    description="Langfuse's trace export (JSON): observations with level, input, output and the OpenTelemetry attributes they came with.",
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
        for trace, observation in _observations(value):
            total += 1
            try:
                yield line, _span(trace, observation)
            except ValueError as error:
                bad.append(str(error))
        if bad:
            yield Refusal(line, "bad_span", f"{len(bad)} of {total} observations: {bad[0]}")
        elif not total:
            yield Refusal(line, "bad_record", "no observations in this export")


def _observations(value: Any) -> Iterator[tuple[dict[str, Any], Any]]:
    """Find the observations of one trace, of a list of traces, or of a page of the API, each with its trace where that is known."""
    if isinstance(value, list):
        for entry in value:
            yield from _observations(entry)
    elif isinstance(value, dict):
        if isinstance(found := value.get("observations"), list):
            trace = value.get("trace")
            yield from ((trace if isinstance(trace, dict) else value, entry) for entry in found)
        elif isinstance(page := value.get("data"), list):
            for entry in page:
                yield from _observations(entry if isinstance(entry, dict) else {"traceId": None})
        elif "traceId" in value:
            yield {}, value


def _span(trace: dict[str, Any], raw: Any) -> Span:
    if not isinstance(raw, dict):
        message = f"an observation is a {type(raw).__name__}, must be an object"
        raise ValueError(message)
    metadata = _object(raw.get("metadata"))
    own = {
        key: value
        for key, value in metadata.items()
        if key not in {"attributes", "resourceAttributes", "scope"}
    }
    attributes = {**own, **_object(metadata.get("attributes"))}
    attributes["langfuse.observation.type"] = str(raw.get("type") or "")
    for key, value in (
        ("gen_ai.request.model", raw.get("model")),
        ("session.id", trace.get("sessionId")),
        ("langfuse.prompt.name", raw.get("promptName")),
        ("langfuse.prompt.version", raw.get("promptVersion")),
        ("input.value", raw.get("input")),
        ("output.value", raw.get("output")),
    ):
        if value is not None:
            attributes.setdefault(key, value)
    resource = _object(metadata.get("resourceAttributes"))
    if environment := raw.get("environment") or trace.get("environment"):
        resource = {"deployment.environment": environment, **resource}
    scope = str(_object(metadata.get("scope")).get("name") or "")
    unnamed = str(resource.get("service.name") or "unknown_service").startswith("unknown_service")
    if (
        unnamed and (not scope or scope.startswith("langfuse")) and trace.get("name")
    ):  # of Langfuse's own SDK: the trace's name is the application's
        resource = {**resource, "service.name": plain_name(str(trace["name"]))}
    start = _ns(raw.get("startTime"), "startTime")
    return Span(
        trace_id=_id(raw.get("traceId") or trace.get("id"), "traceId"),
        span_id=_id(raw.get("id"), "id"),
        parent_id=str(raw.get("parentObservationId") or "").lower(),
        name=str(raw.get("name") or raw.get("type") or ""),
        start_ns=start,
        end_ns=_ns(raw.get("endTime"), "endTime") if raw.get("endTime") else start,
        status="error" if str(raw.get("level") or "").upper() == "ERROR" else "unset",
        status_message=str(raw.get("statusMessage") or ""),
        scope=scope,
        attributes=attributes,
        resource=resource,
    )


def _object(value: Any) -> dict[str, Any]:
    """Read an object, which some exports write as JSON within a text."""
    if isinstance(value, str) and value.startswith("{"):
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError:
            return {}
    return value if isinstance(value, dict) else {}


def _id(value: Any, field: str) -> str:
    if not isinstance(value, str) or not value.strip():
        message = f"{field} is {value!r:.60}, must be a text"
        raise ValueError(message)
    return value.strip().lower()


def _ns(value: Any, field: str) -> int:
    """Read an ISO 8601 time; one without a zone is UTC, as Langfuse stores it."""
    try:
        when = datetime.fromisoformat(value)
        when = when.replace(tzinfo=UTC) if when.tzinfo is None else when
        return (when - _EPOCH) // timedelta(microseconds=1) * 1000
    except (TypeError, ValueError, OverflowError) as error:
        message = f"{field} is {value!r:.60}, must be an ISO 8601 time"
        raise ValueError(message) from error
