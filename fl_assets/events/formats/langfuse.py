"""Langfuse: traces with their observations, as its UI, its API and its blob storage export them.

Read as the spans that they are.

What goes here: the export's own fields (level, statusMessage, type, input, output, sessionId), in camelCase
or snake_case. What does not: what a span means (`conventions.py`); Langfuse keeps the OpenTelemetry
attributes it was sent under `metadata`, and they are read as such.

Source: Langfuse's API reference (`GET /api/public/traces/{traceId}`, `GET /api/public/observations`), its
UI's JSON download, and its blob storage export (`observations_v2`, JSONL).
"""

from collections.abc import Iterator
from typing import Any

from fl_assets.events.formats.conventions import plain_name
from fl_assets.events.formats.evaluations import Evaluation, score_of
from fl_assets.events.formats.marks import has_all, has_any, json_key
from fl_assets.events.formats.messages import turn_of
from fl_assets.events.formats.readers import Found, NotUsed, or_reason, span_reader
from fl_assets.events.formats.seam import DEFAULT_OPTIONS, Format, Lines, Read, ReadOptions
from fl_assets.events.formats.spans import Span
from fl_assets.events.formats.times import any_ns, iso, ns_or_none
from fl_assets.events.formats.values import (
    as_object,
    first,
    get,
    kind_in_words,
    objects_of,
    present,
    required_text,
)

EVENTS = has_all(
    rb'"type"\s*:\s*"(?:trace|span|generation|event|score|observation|agent|tool|chain|retriever|evaluator'
    rb'|embedding|guardrail)-(?:create|update)"',
    json_key("body", rb"\{"),
)
"""Batches on their way to Langfuse (`langfuse_ingestion.py`), whose bodies look like exports."""
_EXPORTS = has_any(
    has_all(rb'^\s*\[?\s*\{\s*"trace"\s*:\s*\{\s*"id"\s*:'),
    has_all(json_key("parent_?[oO]bservation_?[iI]d") + b"|" + json_key("observations", rb"\[\s*\{")),
    has_all(json_key("trace_id"), json_key("status_message"), rb'"level"\s*:'),
    has_all(
        json_key("timestamp"),
        json_key("session_?[iI]d"),
        json_key("input"),
        json_key("bookmarked|public|htmlPath|observationCount|release"),
    ),
    has_all(
        json_key("trace_?[iI]d"),
        json_key("data_?[tT]ype"),
        json_key("value|string_?[vV]alue"),
        json_key("source|config_?[iI]d|author_?[uU]ser_?[iI]d|observation_?[iI]d"),
    ),
)
_MAX_TRACES = 100_000
_OF_TRACE = ("id", "name", "sessionId", "session_id", "environment")
_NO_ATTRIBUTES = frozenset({"attributes", "resourceAttributes", "scope"})
_SCORE_KEYS = frozenset({"dataType", "data_type"})
_TRACE_IDS = frozenset({"traceId", "trace_id"})


def read(lines: Lines, options: ReadOptions = DEFAULT_OPTIONS) -> Iterator[Read]:
    """Read a file; a trace that comes before its observations tells them its name and session."""
    known: dict[str, dict[str, Any]] = {}
    return span_reader(lambda value: _of_export(value, known), "observations", pages="data")(lines, options)


def _of_export(value: Any, known: dict[str, dict[str, Any]]) -> Iterator[Found]:
    """Yield what a trace, an observation, a score, or a session with its traces holds."""
    whole = as_object(value)
    traces = objects_of(whole.get("traces"))
    for trace in traces:
        try:
            yield from _of_one({**trace, "sessionId": whole.get("id") or get(trace, "sessionId")}, known)
        except ValueError as error:
            yield str(error)
    if not traces:
        yield from _of_one(whole, known)


def _of_one(whole: dict[str, Any], known: dict[str, dict[str, Any]]) -> Iterator[Found]:
    trace = as_object(whole.get("trace")) or whole
    listed, found = whole.get("observations"), False
    if isinstance(listed, list):
        for raw in listed:
            if not isinstance(raw, str):  # a list of traces names them by id
                found = True
                yield or_reason(span_of, trace, raw)
    elif _SCORE_KEYS.isdisjoint(whole) and not _TRACE_IDS.isdisjoint(whole):
        found = True
        yield or_reason(span_of, known.get(str(get(whole, "traceId") or ""), {}), whole)
    if trace is not whole or ("id" in whole and whole.keys().isdisjoint(_SCORE_KEYS | _TRACE_IDS)):
        found = found or listed is None or trace is whole
        for one in _of_trace(trace, known):
            found = found or isinstance(one, Span)
            yield one
    scores = [whole] if not _SCORE_KEYS.isdisjoint(whole) else whole.get("scores") or trace.get("scores")
    for score in objects_of(scores):
        found = True
        yield or_reason(evaluation_of, {} if score is whole else trace, score)
    if not found:
        raise ValueError("no observations in this export")


def _of_trace(trace: dict[str, Any], known: dict[str, dict[str, Any]]) -> Iterator[Found]:
    """Remember what observations inherit from a trace; yield the turn that it is, if any."""
    if len(known) < _MAX_TRACES:
        known[str(trace.get("id"))] = {key: trace.get(key) for key in _OF_TRACE}
    if (span := turn_of_trace(trace)) is not None:
        yield span
    elif not trace.get("observations") and (trace.get("input") or trace.get("output")):
        yield NotUsed("traces whose input and output are no talk")


def evaluation_of(trace: dict[str, Any], raw: dict[str, Any]) -> Evaluation:
    """Read a score.

    Raises:
        ValueError: as `Evaluation` does.
    """
    value, words = score_of(raw.get("value"))
    when = raw.get("timestamp") or get(raw, "createdAt") or trace.get("timestamp")
    return Evaluation(
        id=str(raw.get("id") or ""),
        name=str(raw.get("name") or ""),
        value=value,
        label=str(get(raw, "stringValue") or words),
        time_ns=any_ns(when, "timestamp"),
        updated_ns=ns_or_none(get(raw, "updatedAt")),
        trace_id=str(get(raw, "traceId") or trace.get("id") or "").lower(),
        span_id=str(get(raw, "observationId") or "").lower(),
        session=str(get(raw, "sessionId") or get(trace, "sessionId") or ""),
        source=str(raw.get("source") or ""),
        explanation=str(raw.get("comment") or ""),
    )


def turn_of_trace(trace: dict[str, Any]) -> Span | None:
    """Give a trace as the turn that it is as a whole.

    Where its own input and output say what a user asked and was answered; None else.
    """
    about = {"input.value": trace.get("input"), "output.value": trace.get("output")}
    try:
        when = any_ns(trace.get("timestamp"), "timestamp")
        if not when or turn_of(about, is_agent=True) is None:
            return None
        return Span(
            trace_id=required_text(trace.get("id"), "id").lower(),
            span_id="trace",
            parent_id="",
            name=str(trace.get("name") or "trace"),
            start_ns=when,
            end_ns=when,
            status="log",
            attributes={
                **about,
                "session.id": get(trace, "sessionId"),
                "gen_ai.operation.name": "invoke_agent",
                "turn.of_trace": True,
                "updated_at": iso(ns_or_none(get(trace, "updatedAt")) or when),
            },
            resource={"service.name": plain_name(str(trace.get("name") or ""))},
        )
    except ValueError:
        return None


def span_of(trace: dict[str, Any], raw: Any) -> Span:
    """Read an observation, of a trace of which nothing may be known.

    Raises:
        ValueError: when it has no ids or no times.
    """
    if not isinstance(raw, dict):
        raise ValueError(f"an observation is a JSON {kind_in_words(raw)}, must be an object")
    metadata = as_object(raw.get("metadata"))
    scope = str(as_object(metadata.get("scope")).get("name") or "")
    kind, is_error = str(raw.get("type") or ""), str(raw.get("level") or "").upper() == "ERROR"
    start = any_ns(get(raw, "startTime"), "startTime")
    end = any_ns(get(raw, "endTime"), "endTime")
    return Span(
        trace_id=required_text(get(raw, "traceId") or trace.get("id"), "traceId").lower(),
        span_id=required_text(raw.get("id") or raw.get("span_id"), "id").lower(),
        parent_id=str(get(raw, "parentObservationId") or raw.get("parent_span_id") or "").lower(),
        name=str(raw.get("name") or kind),
        start_ns=start,
        end_ns=end or (start if kind.upper() == "EVENT" else 0),
        status="error" if is_error else "unset",
        status_message=str(get(raw, "statusMessage") or "") if is_error else "",
        scope=scope,
        attributes=_attributes(trace, raw, metadata) | {"langfuse.observation.type": kind},
        resource=_resource(trace, raw, metadata, scope),
    )


def _attributes(trace: dict[str, Any], raw: dict[str, Any], metadata: dict[str, Any]) -> dict[str, Any]:
    """Return an observation's fields as attributes; what OpenTelemetry sent stands before them."""
    usage, cost = as_object(get(raw, "usageDetails")), as_object(get(raw, "costDetails"))
    older, updated = as_object(raw.get("usage")), ns_or_none(get(raw, "updatedAt"))
    fields = {
        "gen_ai.request.model": raw.get("model") or get(raw, "providedModelName"),
        "session.id": get(raw, "sessionId") or get(trace, "sessionId"),
        "langfuse.prompt.name": get(raw, "promptName"),
        "langfuse.prompt.version": get(raw, "promptVersion"),
        "input.value": raw.get("input"),
        "output.value": raw.get("output"),
        "gen_ai.usage.input_tokens": usage.get("input") or older.get("input") or raw.get("promptTokens"),
        "gen_ai.usage.output_tokens": usage.get("output")
        or older.get("output")
        or raw.get("completionTokens"),
        "gen_ai.usage.cost": cost.get("total") or get(raw, "calculatedTotalCost") or get(raw, "totalCost"),
    }
    own = {key: value for key, value in metadata.items() if key not in _NO_ATTRIBUTES}
    sent = as_object(metadata.get("attributes"))
    return {**present(fields), **own, **sent} | ({"updated_at": iso(updated)} if updated else {})


def _resource(
    trace: dict[str, Any], raw: dict[str, Any], metadata: dict[str, Any], scope: str
) -> dict[str, Any]:
    """Return the resource; for Langfuse's own SDK, the trace's name is the application's."""
    environment = present({"deployment.environment": raw.get("environment") or trace.get("environment")})
    resource = {**environment, **as_object(get(metadata, "resourceAttributes"))}
    service, name = first(resource, ("service.name",)), trace.get("name") or get(raw, "traceName")
    is_named = service and not service.startswith("unknown_service")
    if name and not is_named and (not scope or scope.startswith("langfuse")):
        resource["service.name"] = plain_name(str(name))
    return resource


FORMAT = Format(
    "langfuse",
    "Langfuse's exports: traces, observations and scores of its UI, API and blob storage.",
    lambda name, head: _EXPORTS(name, head) and not EVENTS(name, head),
    read,
)
