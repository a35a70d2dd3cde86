"""Langfuse: traces with their observations, as its UI, its API and its blob storage export them.

Read as the spans that they are.

What goes here: the export's own fields (level, statusMessage, type, input, output, sessionId), in camelCase
or snake_case. What does not: what a span means (`conventions.py`); Langfuse keeps the OpenTelemetry
attributes it was sent under `metadata`, and they are read as such.

Source: Langfuse's API reference (`GET /api/public/traces/{traceId}`, `GET /api/public/observations`), its
UI's JSON download, and its blob storage export (`observations_v2`, JSONL).
"""

import re
from collections.abc import Iterator
from typing import Any

from fl_assets.events.formats.conventions import plain_name
from fl_assets.events.formats.evaluations import Evaluation, score_of
from fl_assets.events.formats.messages import turn_of
from fl_assets.events.formats.readers import NotUsed, span_reader
from fl_assets.events.formats.seam import DEFAULT_OPTIONS, Format, Lines, Read, ReadOptions
from fl_assets.events.formats.spans import Span
from fl_assets.events.formats.values import (
    any_ns,
    as_object,
    first,
    iso,
    ns_or_none,
    objects_of,
    required_text,
)

_MARKS = (
    re.compile(rb'^\s*\[?\s*\{\s*"trace"\s*:\s*\{\s*"id"\s*:'),
    re.compile(rb'"(?<!\\")(?:parent_?[oO]bservation_?[iI]d"\s*:|observations"\s*:\s*\[\s*\{)'),
)
_BLOB = (
    re.compile(rb'"(?<!\\")trace_id"\s*:'),
    re.compile(rb'"(?<!\\")status_message"\s*:'),
    re.compile(rb'"level"\s*:'),
)


_TRACES = (
    re.compile(rb'"(?<!\\")timestamp"\s*:'),
    re.compile(rb'"(?<!\\")session_?[iI]d"\s*:'),
    re.compile(rb'"(?<!\\")input"\s*:'),
    re.compile(rb'"(?<!\\")(?:bookmarked|public|htmlPath|observationCount)"\s*:'),
)
_SCORES = (
    re.compile(rb'"(?<!\\")trace_?[iI]d"\s*:'),
    re.compile(rb'"(?<!\\")data_?[tT]ype"\s*:'),
    re.compile(rb'"(?<!\\")(?:value|string_?[vV]alue)"\s*:'),
    re.compile(rb'"(?<!\\")(?:source|config_?[iI]d|author_?[uU]ser_?[iI]d|observation_?[iI]d)"\s*:'),
)


EVENTS = (
    re.compile(
        rb'"type"\s*:\s*"(?:trace|span|generation|event|score|observation|agent|tool|chain|retriever|evaluator'
        rb'|embedding|guardrail)-(?:create|update)"'
    ),
    re.compile(rb'"(?<!\\")body"\s*:\s*\{'),
)
"""What batches on their way to Langfuse have (`langfuse_ingestion.py`), whose bodies look like exports."""


def _matches(_: str, head: bytes) -> bool:
    if all(mark.search(head) for mark in EVENTS):
        return False
    return any(mark.search(head) for mark in _MARKS) or any(
        all(mark.search(head) for mark in marks) for marks in (_BLOB, _TRACES, _SCORES)
    )


_MAX_TRACES = 100_000


def read(lines: Lines, options: ReadOptions = DEFAULT_OPTIONS) -> Iterator[Read]:
    """Read a file; a trace that comes before its observations tells them its name and session."""
    known: dict[str, dict[str, Any]] = {}
    return span_reader(lambda value: _of_export(_unwrapped(value), known), "observations")(lines, options)


def _unwrapped(value: Any) -> Any:
    """Return the traces of a session, each with the session's id; any other value as it is."""
    whole = as_object(value)
    traces = objects_of(whole.get("traces"))
    return [{**trace, "sessionId": whole.get("id") or _get(trace, "sessionId")} for trace in traces] or value


def _of_export(value: Any, known: dict[str, dict[str, Any]]) -> Iterator[Span | Evaluation | str | NotUsed]:
    found = False
    for trace, observation in _observations(value):
        found = True
        of_file = {} if trace else known.get(str(_get(as_object(observation), "traceId") or ""), {})
        try:
            yield span_of(trace or of_file, observation)
        except ValueError as error:
            yield str(error)
    for trace in _traces(value):
        found = found or "observations" not in as_object(value)
        if len(known) < _MAX_TRACES:
            known[str(trace.get("id"))] = {key: trace.get(key) for key in _OF_TRACE}
        if (span := turn_of_trace(trace)) is not None:
            found = True
            yield span
        elif not trace.get("observations") and (trace.get("input") or trace.get("output")):
            yield NotUsed("traces whose input and output are no talk")
    for trace, score in _scores(value):
        found = True
        try:
            yield evaluation_of(trace, score)
        except ValueError as error:
            yield str(error)
    if not found:
        message = "no observations in this export"
        raise ValueError(message)


_OF_TRACE = ("id", "name", "sessionId", "session_id", "environment")

FORMAT = Format(
    name="langfuse",
    description="Langfuse's exports: traces, observations and scores of its UI, API and blob storage.",
    matches=_matches,
    read=read,
)


def _is_score(value: Any) -> bool:
    return isinstance(value, dict) and not value.keys().isdisjoint({"dataType", "data_type"})


def _scores(value: Any) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Find the scores of a trace, of a list of traces, or of a page of scores, each with its trace."""
    if isinstance(value, list):
        for entry in value:
            yield from _scores(entry)
    elif _is_score(value):
        yield {}, value
    elif isinstance(value, dict):
        own = as_object(value.get("trace")) or value
        yield from ((own, score) for score in objects_of(value.get("scores") or own.get("scores")))
        if isinstance(page := value.get("data"), list):
            yield from _scores(page)


def evaluation_of(trace: dict[str, Any], raw: dict[str, Any]) -> Evaluation:
    """Read a score.

    Raises:
        ValueError: as `Evaluation` does.
    """
    value, words = score_of(raw.get("value"))
    when = raw.get("timestamp") or _get(raw, "createdAt") or trace.get("timestamp")
    return Evaluation(
        id=str(raw.get("id") or ""),
        name=str(raw.get("name") or ""),
        value=value,
        label=str(_get(raw, "stringValue") or words),
        time_ns=any_ns(when, "timestamp"),
        updated_ns=ns_or_none(_get(raw, "updatedAt")),
        trace_id=str(_get(raw, "traceId") or trace.get("id") or "").lower(),
        span_id=str(_get(raw, "observationId") or "").lower(),
        session=str(_get(raw, "sessionId") or _get(trace, "sessionId") or ""),
        source=str(raw.get("source") or ""),
        explanation=str(raw.get("comment") or ""),
    )


def _get(value: dict[str, Any], key: str) -> Any:
    """Look a field up by its camelCase name, or as the snake_case of the blob export."""
    found = value.get(key)
    return found if found is not None else value.get(_SNAKE[key])


_SNAKE = {
    key: re.sub(r"[A-Z]", lambda letter: "_" + letter[0].lower(), key)
    for key in [
        "traceId",
        "parentObservationId",
        "startTime",
        "endTime",
        "statusMessage",
        "sessionId",
        "promptName",
        "promptVersion",
        "resourceAttributes",
        "traceName",
        "userId",
        "calculatedTotalCost",
        "totalCost",
        "costDetails",
        "usageDetails",
        "providedModelName",
        "totalPrice",
        "inputUsage",
        "outputUsage",
        "observationId",
        "stringValue",
        "createdAt",
        "updatedAt",
    ]
}


def _observations(value: Any) -> Iterator[tuple[dict[str, Any], Any]]:
    """Find the observations of one trace, of a list of traces, or of a page of the API.

    Each with its trace where that is known.
    """
    if isinstance(value, list):
        for entry in value:
            yield from _observations(entry)
    elif isinstance(value, dict):
        if isinstance(found := value.get("observations"), list):
            trace = value.get("trace")
            own = trace if isinstance(trace, dict) else value
            yield from (
                (own, entry) for entry in found if not isinstance(entry, str)
            )  # a list of traces names them by id
        elif isinstance(page := value.get("data"), list):
            for entry in page:
                yield from _observations(entry if isinstance(entry, dict) else {"traceId": None})
        elif not _is_score(value) and not value.keys().isdisjoint({"traceId", "trace_id"}):
            yield {}, value


def _traces(value: Any) -> Iterator[dict[str, Any]]:
    """Find the traces of an export that come with what they were asked and what they answered."""
    if isinstance(value, list):
        for entry in value:
            yield from _traces(entry)
    elif isinstance(value, dict):
        own = value.get("trace")
        if isinstance(own, dict):
            yield own
        elif isinstance(value.get("data"), list):
            yield from _traces(value["data"])
        elif value.keys().isdisjoint({"traceId", "trace_id", "dataType", "data_type"}) and "id" in value:
            yield value


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
                "session.id": _get(trace, "sessionId"),
                "gen_ai.operation.name": "invoke_agent",
                "turn.of_trace": True,
                "updated_at": iso(ns_or_none(_get(trace, "updatedAt")) or when),
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
        message = f"an observation is a {type(raw).__name__}, must be an object"
        raise ValueError(message)
    metadata = as_object(raw.get("metadata"))
    own = {
        key: value
        for key, value in metadata.items()
        if key not in {"attributes", "resourceAttributes", "scope"}
    }
    attributes = {**own, **as_object(metadata.get("attributes"))}
    attributes["langfuse.observation.type"] = str(raw.get("type") or "")
    if updated := ns_or_none(_get(raw, "updatedAt")):
        attributes["updated_at"] = iso(updated)
    usage, cost = as_object(_get(raw, "usageDetails")), as_object(_get(raw, "costDetails"))
    older = as_object(raw.get("usage"))
    for key, value in (
        ("gen_ai.request.model", raw.get("model") or _get(raw, "providedModelName")),
        ("session.id", _get(raw, "sessionId") or _get(trace, "sessionId")),
        ("langfuse.prompt.name", _get(raw, "promptName")),
        ("langfuse.prompt.version", _get(raw, "promptVersion")),
        ("input.value", raw.get("input")),
        ("output.value", raw.get("output")),
        ("gen_ai.usage.input_tokens", usage.get("input") or older.get("input") or raw.get("promptTokens")),
        (
            "gen_ai.usage.output_tokens",
            usage.get("output") or older.get("output") or raw.get("completionTokens"),
        ),
        (
            "gen_ai.usage.cost",
            cost.get("total") or _get(raw, "calculatedTotalCost") or _get(raw, "totalCost"),
        ),
    ):
        if value is not None:
            attributes.setdefault(key, value)
    resource = as_object(_get(metadata, "resourceAttributes"))
    if environment := raw.get("environment") or trace.get("environment"):
        resource = {"deployment.environment": environment, **resource}
    scope = str(as_object(metadata.get("scope")).get("name") or "")
    unnamed = first(resource, ("service.name",)).startswith("unknown_service") or not first(
        resource, ("service.name",)
    )
    name = trace.get("name") or _get(raw, "traceName")
    if unnamed and (not scope or scope.startswith("langfuse")) and name:
        resource = {
            **resource,
            "service.name": plain_name(str(name)),
        }  # of Langfuse's own SDK: the trace's name is the application's
    level = str(raw.get("level") or "").upper()
    start = any_ns(_get(raw, "startTime"), "startTime")
    end = any_ns(_get(raw, "endTime"), "endTime")
    is_event = str(raw.get("type") or "").upper() == "EVENT"
    return Span(
        trace_id=required_text(_get(raw, "traceId") or trace.get("id"), "traceId").lower(),
        span_id=required_text(raw.get("id") or raw.get("span_id"), "id").lower(),
        parent_id=str(_get(raw, "parentObservationId") or raw.get("parent_span_id") or "").lower(),
        name=str(raw.get("name") or raw.get("type") or ""),
        start_ns=start,
        end_ns=end or (start if is_event else 0),
        status="error" if level == "ERROR" else "unset",
        status_message=str(_get(raw, "statusMessage") or "") if level == "ERROR" else "",
        scope=scope,
        attributes=attributes,
        resource=resource,
    )
