"""OTLP/JSON: export requests, one per line or document, and Tempo's `batches`.

It is read in every spelling that writers use: ids in hex of either case or base64, 64-bit integers as texts
or numbers, enums as numbers or names, camelCase or snake_case keys. Log records are read by `otlp_logs.py`.

Sources: opentelemetry-proto 1.5, `docs/specification.md#json-protobuf-encoding`; protobuf's JSON mapping;
Tempo's HTTP API (`/api/traces`).
"""

from collections.abc import Iterator
from typing import Any

from fl_assets.events.formats.marks import has_all, has_any, json_key
from fl_assets.events.formats.otlp_logs import span_in_log, spans_of_logs
from fl_assets.events.formats.otlp_values import attributes_of, id_of, integer_of, time_of
from fl_assets.events.formats.readers import Found, NotUsed, or_reason, span_reader
from fl_assets.events.formats.seam import DEFAULT_OPTIONS, Format, Lines, Read, ReadOptions, RefusedLine
from fl_assets.events.formats.spans import Span, events_in
from fl_assets.events.formats.values import as_list, as_object, get, kind_in_words, objects_of

_STATUS = {"1": "ok", "OK": "ok", "2": "error", "ERROR": "error"}
_SPAN_LISTS = ("resourceSpans", "batches")
_WRAPPED = ("trace", "result", "data", "body", "payload")


def _of_request(request: Any) -> Iterator[Found]:
    """Yield the spans of a request, of one resource, or a single span; a text for anything else."""
    whole = _opened(as_object(request))
    if get(whole, "scopeSpans") is None and (_is_record(whole) or get(whole, "spanId")):
        of_one = span_in_log if _is_record(whole) else _span
        yield or_reason(
            of_one, whole, _resource_of(whole), str(as_object(whole.get("scope")).get("name") or "")
        )
        return
    groups = [found for key in _SPAN_LISTS if isinstance(found := get(whole, key), list)]
    logs = get(whole, "resourceLogs")
    if isinstance(get(whole, "scopeSpans"), list):
        groups.append([whole])
    if isinstance(get(whole, "scopeLogs"), list):
        logs = [*as_list(logs), whole]
    if not groups and not isinstance(logs, list) and (other := _others(whole)):
        yield NotUsed(other)
    elif not groups and not isinstance(logs, list):
        keys = ", ".join(sorted(request)[:5]) if isinstance(request, dict) else type(request).__name__
        yield f"no list resourceSpans or resourceLogs in this export request, but {keys or 'nothing'}"
    for group in groups:
        yield from _of_groups(group)
    yield from spans_of_logs(logs)


def _others(whole: dict[str, Any]) -> str:
    """Return what a request is of that holds no calls, as a Collector may write all signals into one file."""
    given = (kind for kind in ("Metrics", "Profiles") if get(whole, f"resource{kind}"))
    return next(given, "").lower()


def _is_record(whole: dict[str, Any]) -> bool:
    """Whether a value is a log record by itself, as CloudWatch keeps them beside spans."""
    has_time = get(whole, "timeUnixNano") or get(whole, "observedTimeUnixNano")
    return bool(has_time) and "body" in whole and get(whole, "startTimeUnixNano") is None


def _opened(whole: dict[str, Any]) -> dict[str, Any]:
    """Unwrap a request from an API's answer: Tempo's v2 (`trace`), Jaeger's v3 (`result`)."""
    inner = next((found for key in _WRAPPED if (found := as_object(whole.get(key)))), {})
    has_spans = any(get(inner, key) is not None for key in (*_SPAN_LISTS, "resourceLogs"))
    return inner if has_spans else whole


def _resource_of(span: dict[str, Any]) -> dict[str, Any]:
    """Return the resource within a single span."""
    resource = as_object(span.get("resource"))
    return attributes_of(get(resource, "attributes") or get(span, "resourceAttributes") or resource)


def _of_groups(groups: list[Any]) -> Iterator[Found]:
    for group in objects_of(groups):
        resource = attributes_of(get(as_object(get(group, "resource")), "attributes"))
        for scoped in objects_of(get(group, "scopeSpans") or get(group, "instrumentationLibrarySpans")):
            scope = as_object(get(scoped, "scope") or get(scoped, "instrumentationLibrary")).get("name")
            for raw in as_list(get(scoped, "spans")):
                yield or_reason(_span, raw, resource, str(scope or ""))


def _span(raw: Any, resource: dict[str, Any], scope: str) -> Span:
    if not isinstance(raw, dict):
        raise ValueError(f"a span is a JSON {kind_in_words(raw)}, must be an object")
    status = get(raw, "status")
    status = as_object(status) or {"code": status}
    parent = get(raw, "parentSpanId")
    return Span(
        trace_id=id_of(get(raw, "traceId"), "traceId", 16),
        span_id=id_of(get(raw, "spanId"), "spanId", 8),
        parent_id=id_of(parent, "parentSpanId", 8) if parent and str(parent).strip("0A=") else "",
        name=str(get(raw, "name") or ""),
        start_ns=time_of(raw, "startTimeUnixNano"),
        end_ns=time_of(raw, "endTimeUnixNano"),
        status=_STATUS.get(str(status.get("code")).upper().removeprefix("STATUS_CODE_"), "unset"),
        status_message=str(status.get("message") or ""),
        scope=scope,
        attributes=attributes_of(get(raw, "attributes")),
        resource=resource,
        events=events_in(get(raw, "events"), attributes_of, lambda time: integer_of(time, "timeUnixNano")),
    )


_READ = span_reader(_of_request, pages="data")


def _read_metrics(lines: Lines, options: ReadOptions = DEFAULT_OPTIONS) -> Iterator[Read]:
    """Read a file that begins with metrics: after them there may be spans."""
    has_more = False
    for found in _READ(lines, options):
        is_all = isinstance(found, RefusedLine) and found.reason == "not_used" and not has_more
        has_more = True
        yield RefusedLine(0, "unsupported_format", _NO_CALLS, 0) if is_all else found


_NO_CALLS = "otlp_metrics: OTLP metrics hold sums, not calls; send traces"

FORMAT = Format(
    "otlp",
    "OTLP/JSON traces and log records, as the OpenTelemetry Collector writes them, and Tempo's.",
    has_any(
        has_all(json_key("(?:resource|scope)(?:Spans|_spans|Logs|_logs)|batches", rb"(?:\[|null)")),
        has_all(json_key("spanId|span_id", rb'"'), json_key("startTimeUnixNano|start_time_unix_nano")),
        has_all(json_key("observedTimeUnixNano|observed_time_unix_nano"), json_key("body")),
    ),
    _READ,
)
METRICS = Format(
    "otlp_metrics",
    "OTLP/JSON metrics: refused, they hold sums and no calls; spans after them are read.",
    has_all(json_key("resourceMetrics|resource_metrics", rb"\[")),
    _read_metrics,
)
