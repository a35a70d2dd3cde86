"""Log records of OTLP as spans: GenAI events, the events of coding agents, exceptions and errors.

Sources: OpenTelemetry semantic conventions for GenAI events and exceptions in logs; "Monitoring" in Claude
Code's documentation (`claude_code.*`), `docs/telemetry.md` of Gemini CLI (`gemini_cli.*`) and of Qwen Code,
`docs/config.md` of Codex (`codex.*`); `llo_handler.py` of AWS' distribution of OpenTelemetry (ADOT).
"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from fl_assets.events.formats.conventions import session_of
from fl_assets.events.formats.evaluations import RESULT
from fl_assets.events.formats.otlp_values import any_value, attributes_of, id_of, time_of
from fl_assets.events.formats.readers import Found, NotUsed, or_reason
from fl_assets.events.formats.spans import Span, SpanEvent
from fl_assets.events.formats.tool_results import is_true
from fl_assets.events.formats.values import (
    as_object,
    decoded,
    first,
    get,
    integer_in,
    number_of,
    objects_of,
    text_of,
)

_AGENTS = re.compile(r"^(claude_code|gemini_cli|qwen[-_]code|codex|copilot|opencode|iflow[-_]cli)\.(\w+)$")
_DETAILS = "gen_ai.client.inference.operation.details"
_LEVELS = {"TRACE": 1, "DEBUG": 5, "INFO": 9, "WARN": 13, "ERROR": 17, "FATAL": 21, "CRITICAL": 21}
_HIDDEN = re.compile(r"(?i)\[?<?redacted>?\]?|")
_WORDS = {
    "user_prompt": ("prompt", "gen_ai.user.message"),
    "assistant_response": ("response", "gen_ai.choice"),
}
"""Events with texts: the attribute that has the text, and the GenAI event that it is read as."""
_TOOL_EVENTS = frozenset({"tool_result", "tool_call"})
_MODEL_EVENTS = frozenset({"api_request", "api_response", "api_error", "api_refusal"})
_STREAM_EVENTS = frozenset({"sse_event", "websocket_event"})
"""Parts of a streamed answer, of which only failures count."""
_BESIDE = _STREAM_EVENTS | {"tool_decision", "api_retries_exhausted"}
"""Events beside the one that tells of a call. So is an `api_request` without a duration, which an
`api_response` or `api_error` follows."""
_REJECTED = frozenset({"reject", "rejected", "cancel", "deny", "denied"})


def spans_of_logs(groups: Any) -> Iterator[Found]:
    """Yield the spans of log records; other records are counted by name."""
    for group in objects_of(groups):
        resource = attributes_of(get(as_object(get(group, "resource")), "attributes"))
        for scoped in objects_of(get(group, "scopeLogs") or get(group, "instrumentationLibraryLogs")):
            scope = str(as_object(get(scoped, "scope")).get("name") or "")
            for number, raw in enumerate(objects_of(get(scoped, "logRecords"))):
                yield or_reason(span_in_log, raw, resource, scope, number)


def span_in_log(raw: dict[str, Any], resource: dict[str, Any], scope: str, number: int = 0) -> Span | NotUsed:
    """Return the span of a log record as JSON, or the name of one that is not used.

    `number` is its place among those of its scope.

    Raises:
        ValueError: it has invalid ids or times.
    """
    return span_of_record(
        LogRecord(
            resource=resource,
            scope=scope,
            attributes=attributes_of(get(raw, "attributes")),
            body=any_value(get(raw, "body")),
            name=str(get(raw, "eventName") or ""),
            when=time_of(raw, "timeUnixNano") or time_of(raw, "observedTimeUnixNano"),
            trace=get(raw, "traceId"),
            span=get(raw, "spanId"),
            severity=get(raw, "severityNumber"),
            severity_text=str(get(raw, "severityText") or ""),
            number=number,
        )
    )


@dataclass
class LogRecord:
    """One log record with plain values.

    `when` is in nanoseconds since 1970, `trace` and `span` are ids for `id_of`, or empty, `severity` is
    OpenTelemetry's number or its name; `number` distinguishes equal records of one request.
    """

    resource: dict[str, Any]
    scope: str
    attributes: dict[str, Any]
    body: Any
    name: str
    when: int
    trace: Any
    span: Any
    severity: Any = None
    severity_text: str = ""
    number: int = 0

    def __post_init__(self) -> None:
        named = str(self.attributes.get("event.name") or "")
        self.name = named or self.name  # which Rust's tracing fills with a line of code
        body = self.body if isinstance(self.body, str) else ""
        if _AGENTS.match(body) and (not self.name or body.endswith(f".{self.name}")):
            self.name = body
        elif self.name and "." not in self.name and "claude_code" in self.scope:
            self.name = f"claude_code.{self.name}"

    @property
    def level(self) -> int:
        """Its severity as OpenTelemetry's number, the worse of number and text; 0 for unknown."""
        names = (str(self.severity).removeprefix("SEVERITY_NUMBER_"), self.severity_text.upper())
        levels = (level for word, level in _LEVELS.items() for name in names if name.startswith(word))
        return max(integer_in(names[0]), *levels, 0)

    @property
    def digest(self) -> str:
        """Hash that identifies it where it has no ids."""
        unique = [self.when, self.name, self.number, self.attributes, self.body]
        return hashlib.sha256(text_of(unique, orjson.OPT_SORT_KEYS).encode()).hexdigest()

    def span_of(self, **more: Any) -> Span:
        """Return the record's span."""
        fields: dict[str, Any] = {"parent_id": "", "name": self.name, "status": "unset"}
        fields |= {"start_ns": self.when, "end_ns": self.when, "scope": self.scope, "resource": self.resource}
        return Span(**(fields | more))


def span_of_record(record: LogRecord) -> Span | NotUsed:
    """Return the span of a log record, or the name of one that is not used.

    Raises:
        ValueError: it has invalid ids or times.
    """
    if match := _AGENTS.match(record.name):
        return _of_agent(record, match[1], match[2])
    if record.name == RESULT:
        return _of_evaluation(record)
    is_error = record.name == "exception" or record.level >= _LEVELS["ERROR"]
    if is_error or "exception.type" in record.attributes:
        return _of_error(record)
    if record.name.startswith("gen_ai.") and record.trace:
        return _of_genai(record)
    if record.trace and (said := _messages_of_adot(as_object(record.body))):
        record.name, record.body = _DETAILS, said
        return _of_genai(record)
    return NotUsed(record.name or f"{record.scope or 'log'} record")


def _of_genai(record: LogRecord) -> Span:
    """Return a GenAI event as a `log` span with its messages."""
    said = record.attributes | (record.body if isinstance(record.body, dict) else {"content": record.body})
    return record.span_of(
        trace_id=id_of(record.trace, "traceId", 16),
        span_id=id_of(record.span, "spanId", 8),
        status="log",
        attributes={"gen_ai.operation.name": "chat", **record.attributes},
        events=(SpanEvent(record.name, said, record.when),),
    )


def _messages_of_adot(body: dict[str, Any]) -> dict[str, Any]:
    """Return the messages that ADOT takes from a span's attributes, by their usual names; {} without any."""
    found = {}
    for side in ("input", "output"):
        messages = objects_of(as_object(body.get(side)).get("messages"))
        for message in messages:
            inner = as_object(message.get("content"))
            content = inner.get("content") or inner.get("message") if inner else message.get("content")
            message["content"] = decoded(content)
        found |= {f"gen_ai.{side}.messages": messages} if messages else {}
    return found


def _of_evaluation(record: LogRecord) -> Span:
    """Return an evaluation as an `evaluation` span; the scored span may be in another file."""
    values = {**record.attributes, **as_object(record.body)}
    return record.span_of(
        trace_id=id_of(record.trace, "traceId", 16) if record.trace else "",
        span_id=id_of(record.span, "spanId", 8) if record.span else "",
        status="evaluation",
        attributes=record.attributes,
        events=(SpanEvent(RESULT, values, record.when),),
    )


def _of_error(record: LogRecord) -> Span:
    """Return an error as an `error-log` span."""
    values = record.attributes
    trace = id_of(record.trace, "traceId", 16) if record.trace else record.digest[:32]
    span = id_of(record.span, "spanId", 8) if record.span and record.trace else record.digest[:16]
    text = record.body if isinstance(record.body, str) else text_of(as_object(record.body).get("message"))
    place = first(values, ("gen_ai.tool.name", "tool.name", "code.function.name", "code.function"))
    return record.span_of(
        trace_id=trace,
        span_id=span,
        name=place or record.scope or "log",
        start_ns=0 if record.trace else record.when,
        end_ns=record.when,
        status="error-log",
        status_message=text,
        attributes={key: value for key, value in values.items() if key != "event.name"}
        | ({"exception.escaped": False} if 0 < record.level < _LEVELS["ERROR"] else {}),
        events=(SpanEvent("exception", values, record.when),) if "exception.type" in values else (),
    )


def _of_agent(record: LogRecord, agent: str, event: str) -> Span | NotUsed:
    """Return the span of a coding agent's event: a tool's result, a model's answer or error, or a text."""
    values = record.attributes
    session = session_of(values)
    about: dict[str, Any] = {**values, "session.id": session, "gen_ai.agent.name": agent}
    trace = first(values, ("prompt.id", "prompt_id")) or session or record.digest[:32]
    unique = first(values, ("tool_use_id", "call_id", "request_id", "event.sequence")) or record.digest[:16]
    took = number_of(values, ("duration_ms", "duration")) or 0
    common = {
        "trace_id": trace,
        "span_id": f"{event}-{unique}",
        "start_ns": max(0, record.when - int(took * 1e6)),
        "end_ns": record.when,
    }
    if event in _WORDS and not _HIDDEN.fullmatch(words := first(values, (_WORDS[event][0],))):
        said = SpanEvent(_WORDS[event][1], {"content": words}, record.when)
        about |= {"turn.is_open": True, "gen_ai.operation.name": "invoke_agent"}
        common["span_id"] = f"turn-{first(values, ('prompt.id', 'prompt_id')) or record.digest[:16]}"
        return record.span_of(**common, status="log", attributes=about, events=(said,))
    is_rejected = first(values, ("decision", "decision_type")) in _REJECTED
    if event in _TOOL_EVENTS or (event == "tool_decision" and is_rejected and agent == "claude_code"):
        tool = first(values, ("tool_name", "function_name", "name")) or "unknown"
        about |= {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": tool}
        about["gen_ai.tool.call.arguments"] = first(
            values, ("tool_parameters", "function_args", "arguments", "tool_input")
        )
        about |= {"error.type": "cancelled"} if is_rejected else {}
        return record.span_of(**common, attributes=about)
    return _of_model(record, event, common, about) or NotUsed(record.name)


def _of_model(record: LogRecord, event: str, common: dict[str, Any], about: dict[str, Any]) -> Span | None:
    """Return the span of a model's answer or error, of what stands beside one, or an MCP server's start."""
    values = record.attributes
    error = first(values, ("error", "error.message", "error_message"))
    is_failure = event == "api_error" or (event in _STREAM_EVENTS and bool(first(values, ("error.message",))))
    if event == "mcp_server_connection" and first(values, ("status",)) in {"connected", "failed"}:
        status = "error" if first(values, ("status",)) == "failed" else "ok"
        text = error or first(values, ("error_code",))
        about |= {"gen_ai.operation.name": event, "error": None}
        return record.span_of(**common, status=status, status_message=text, attributes=about)
    if event == "api_refusal":
        is_failure, error = not is_true(values.get("server_fallback_hop")), "finish reason: refusal"
    elif not is_failure and (event in _BESIDE or (event == "api_request" and "duration_ms" not in values)):
        return record.span_of(**common, status="log", attributes=about)
    if not is_failure and event not in _MODEL_EVENTS:
        return None
    about["gen_ai.operation.name"] = "chat"
    code = first(values, ("status_code", "http.response.status_code"))
    text = f"{code} {error}".strip() if code and code not in error else error
    about |= {"error": None} if is_failure else {}
    return record.span_of(
        **common, status="error" if is_failure else "unset", status_message=text, attributes=about
    )
