"""Whether a call failed, and the most specific text of its error, from all places where producers write it.

What goes here: status, exceptions, tool results, finish reasons and attributes of failure; what is no failure
(waiting for a person, cancellation). What does not: errors in tool results (`tool_results.py`), stack traces
(`exceptions.py`), which failures only repeat another (`causes.py`).

Sources: OpenTelemetry semantic conventions for exceptions, `error.type` and MCP; the MCP specification
(`isError`); Strands, Claude Code, Langfuse, LangGraph and Jaeger as they write it.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from http.client import responses
from typing import Any

from fl_assets.events.formats.exceptions import exception_text, is_vague, leaf_of
from fl_assets.events.formats.spans import Span
from fl_assets.events.formats.tool_results import (
    BAD_WORDS,
    MAX_RESULT,
    NO_ERROR,
    error_in_result,
    is_false,
    is_true,
    said_in,
)
from fl_assets.events.formats.values import as_object, decoded, first, names, number_of, objects_of, text_of

NO_FAILURE = ("cancelled", "interrupted", "unfinished")
"""Ends of calls that neither succeeded nor failed: cancelled by the caller, waiting for a person, unknown."""
_STATUS_KEYS = frozenset(
    names(
        "gen_ai.tool.status tool.status tool_status tool.call.status gen_ai.tool.call.status "
        "mcp.tool.status tool.result.status tool.result outcome status otel.status_code "
        "langfuse.observation.level"
    )
)
_IS_ERROR = re.compile(r"(?:^|[._])(?:is_?error|is_?failure|is_?failed|has_?error)$|^error$", re.IGNORECASE)
_MESSAGE_KEYS = names(
    "error.message error_message errorMessage error.msg exception.message tool.error "
    "tool.error.message tool_error tool.call.error gen_ai.tool.call.error gen_ai.tool.error "
    "gen_ai.tool.error.message gen_ai.error.message mcp.error.message otel.status_description"
)
"""Attributes with an error's text; each shows a failure."""
_RESULT_KEYS = names(
    "gen_ai.tool.call.result gen_ai.tool.result gen_ai.tool.output mcp.tool.result mcp.result "
    "tool.result tool.output tool_result tool_output ai.toolCall.result ai.toolCall.output "
    "output.value traceloop.entity.output gcp.vertex.agent.tool_response mlflow.spanOutputs "
    "langfuse.observation.output output"
)
_FINISH_KEYS = frozenset(
    names(
        "gen_ai.response.finish_reasons gen_ai.response.finish_reason llm.finish_reason "
        "ai.response.finishReason finish_reason gen_ai.finish_reason"
    )
)
_BAD_FINISH = frozenset(
    names(
        "error failed content_filter content-filter contentfilter safety prohibited_content blocklist "
        "recitation malformed_function_call unexpected_tool_call malformed_tool_call "
        "guardrail_intervened model_context_window_exceeded malformed_model_output malformed_tool_use"
    )
)
_FINISH_IN_JSON = re.compile(r'"finish_reason"\s*:\s*"(\w+)"')
_ERROR_LEVEL = 17
"""Of OpenTelemetry's severities, as Logfire numbers its levels."""
_HTTP_KEYS = ("http.response.status_code", "http.status_code", "status_code", "gen_ai.response.status_code")
_GRPC_KEYS = ("rpc.grpc.status_code", "rpc.response.status_code")
_GRPC_NAMES = names(
    "OK CANCELLED UNKNOWN INVALID_ARGUMENT DEADLINE_EXCEEDED NOT_FOUND ALREADY_EXISTS PERMISSION_DENIED "
    "RESOURCE_EXHAUSTED FAILED_PRECONDITION ABORTED OUT_OF_RANGE UNIMPLEMENTED INTERNAL UNAVAILABLE "
    "DATA_LOSS UNAUTHENTICATED"
)
"""By code, as in `google/rpc/code.proto`."""
_STATUS = re.compile(r"(?i)(?:http[ _-]?)?(?:status[ _-]?)?(?:code[ _-]?)?:?\s*([45][0-9]{2})")
_EXIT_KEYS = ("process.exit.code", "process.exit_code", "exit_code", "tool.exit_code")
_CODE_KEYS = frozenset(
    {
        "error.type",
        "gen_ai.output.messages",
        "gcp.vertex.agent.llm_response",
        "logfire.level_num",
        *_FINISH_KEYS,
        *_HTTP_KEYS,
        *_GRPC_KEYS,
        *_EXIT_KEYS,
    }
)
"""All that `_codes` looks at."""
_WAITS = re.compile(
    r"\b(?:GraphInterrupt|NodeInterrupt|GraphBubbleUp|ParentCommand|AgentInterrupt|ToolInterrupt"
    r"|WorkflowInterrupt|InterruptException|Human\w*Interrupt\w*"
    r"|HumanInputRequired\w*|InputRequired\w*|ApprovalRequired\w*|ToolApproval\w*|CallDeferred"
    r"|ToolCallDeferred|DeferredToolRequests|WaitingForEvent|WaitForInput\w*"
    r"|BreakpointException|WorkflowSuspended\w*|SuspendExecution\w*|UserInputRequired\w*"
    r"|ConfirmationRequired\w*|ContinueAsNewError|AgentPaused\w*"
    r"|RequiresAction\w*|HumanFeedbackPending|AgentSuspended\w*|StopAsyncIteration|StopIteration"
    r"|NEXT_REDIRECT)\b|\bInterrupt\(value=|^(?:awaiting|waiting for|requires|needs) (?:human|user"
    r"|a person'?s?)\b.{0,40}(?:approval|input|confirmation|review)"
    r"|\b[Tt]ool (?:call|execution)?\s*(?:requires|needs|awaits|is waiting for|pending) (?:\w+ )?"
    r"(?:approval|confirmation)\b"
)
_GIVEN_UP = re.compile(
    r"\b(?:CancelledError|CanceledError|GeneratorExit|KeyboardInterrupt|AbortError|APIUserAbortError"
    r"|TaskCance(?:l)?led\w*|OperationCance(?:l)?led\w*"
    r"|CancellationException|JobCancellationException|WorkflowCancelled\w*|ClientDisconnect\w*"
    r"|InterruptedException|RunCancelled\w*|AgentCancelled\w*)\b"
    r"|\bStatus\w*(?:\.|: )CANCELLED\b|\bcontext cancell?ed\b"
    r"|\bclient closed (?:the )?(?:request|connection)\b"
    r"|\bclient disconnected\b|\b(?:request|operation|stream|task|job|run|call|workflow"
    r"|coroutine) was (?:aborted|cancell?ed)\b"
    r"|\b(?:cancell?ed|aborted|interrupted|stopped|rejected|declined|denied) by (?:the )?(?:user|client"
    r"|caller|human|operator)\b|\b(?:user|human) (?:has )?(?:cancell?ed|aborted|interrupted|rejected|declined"
    r"|denied)\b"
    r"|^(?:status )?cancell?ed\b|\bcancell?ed by cancel scope\b|\[Request interrupted by user"
    r"|The user doesn't want to (?:proceed|take this action)",
    re.IGNORECASE,
)
_LATE = re.compile(r"(?i)tim(?:ed?|ing)[ _-]?out|deadline")
_CANCELLED_TYPES = frozenset(
    {"cancelled", "canceled", "499", "aborted_by_user", "user_cancelled", "client_closed_request"}
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a call ended: `ok`, `failed`, or one of `NO_FAILURE`; `error` is the text of a failure."""

    kind: str
    error: str | None = None


def outcome_of(span: Span, kind: str) -> Outcome:
    """Return how a span's call ended.

    Args:
        span: the span.
        kind: as `kind_of` returns it.
    """
    has_codes = kind != "evaluator" and not span.attributes.keys().isdisjoint(_CODE_KEYS)
    codes = list(_codes(span, kind)) if has_codes else []
    if span.status != "error" and not codes and (kind == "evaluator" or not _is_flagged(span, kind)):
        has_ended = span.end_ns and (span.start_ns or span.status == "ok")
        return Outcome("ok" if has_ended else "unfinished")
    texts = [_spelled(text) for text in (*_error_texts(span, kind), *codes) if text]
    text = next((text for text in texts if not is_vague(text)), max(texts, key=len, default=None))
    return Outcome(_kind_of_end(span, texts), text)


def _kind_of_end(span: Span, texts: list[str]) -> str:
    """Return `failed`, `interrupted` or `cancelled`, by the exception's type, or else the first text."""
    types = [first(event.values, ("exception.type",)) for event in span.events if event.name == "exception"]
    types.append(first(span.attributes, ("exception.type",)))
    error_type = first(span.attributes, ("error.type",))
    decisive = [name for name in (*reversed(types), error_type) if name]
    heads = [text[:300] for text in texts[:1]]
    if any(map(_WAITS.search, (*decisive[:1], *heads))):
        return "interrupted"
    is_gone = first(span.attributes, _HTTP_KEYS) == "499" or first(span.attributes, _GRPC_KEYS) in {
        "1",
        "CANCELLED",
    }
    if error_type.lower() in _CANCELLED_TYPES or is_gone:
        return "cancelled"
    if any(map(_GIVEN_UP.search, (*decisive[:1], *heads))) and not any(map(_LATE.search, heads)):
        return "cancelled"
    return "failed"


def _is_flagged(span: Span, kind: str) -> bool:
    """Whether attributes, events or results show that the call failed, apart from status and `_codes`."""
    values = span.attributes
    if any(str(values[key]).strip().lower() in BAD_WORDS for key in _STATUS_KEYS & values.keys()):
        return True
    if any(says_failure(values[key]) for key, says_failure in _flags_of(tuple(values))):
        return True
    if span.status != "ok":
        error = values.get("error")
        if isinstance(error, dict) or (isinstance(error, str) and error.strip().lower() not in NO_ERROR):
            return True
        if first(values, _MESSAGE_KEYS).lower() not in NO_ERROR or _has_escaped(span):
            return True
    if kind != "tool":
        return False
    words = (
        str(event.values.get("tool.result") or event.values.get("status") or "") for event in span.events
    )
    return any(word.lower() in BAD_WORDS for word in words) or any(map(error_in_result, _results(span)))


def _codes(span: Span, kind: str) -> Iterator[str]:
    """Yield a text for each code of failure: `error.type`, finish reason, HTTP status, exit code."""
    values = span.attributes
    if (error := first(values, ("error.type",))).lower() not in NO_ERROR:
        yield error
    answers = values.get("gen_ai.output.messages")
    if (
        isinstance(answers, str)
        and (match := _FINISH_IN_JSON.search(answers))
        and match[1].lower() in _BAD_FINISH
    ):
        yield f"finish reason: {match[1].lower()}"
    response = as_object(values.get("gcp.vertex.agent.llm_response"))
    if code := first(response, ("error_code",)):
        yield f"{code}: {first(response, ('error_message',))}".removesuffix(": ")
    if (level := number_of(values, ("logfire.level_num",))) and level >= _ERROR_LEVEL and span.status != "ok":
        yield "error"
    for key in _FINISH_KEYS & values.keys():
        value = decoded(values[key])
        for reason in value if isinstance(value, list) else [value]:
            if isinstance(reason, str) and reason.strip().lower() in _BAD_FINISH:
                yield f"finish reason: {reason.strip().lower()}"
    yield from _numbers(span, kind)


def _numbers(span: Span, kind: str) -> Iterator[str]:
    """Yield a text for each status of HTTP or gRPC, and each exit code, that is a failure."""
    values = span.attributes
    code = first(values, _HTTP_KEYS)
    is_call = kind in {"llm", "tool", "embedding"} or span.status == "error"
    if is_call and code.isdigit() and 400 <= int(code) <= 599:
        yield code
    code = first(values, _GRPC_KEYS)
    if span.status == "error" and code.isdigit() and 0 < int(code) < len(_GRPC_NAMES):
        yield _GRPC_NAMES[int(code)]
    code = first(values, _EXIT_KEYS)
    if kind == "tool" and code.lstrip("-").isdigit() and int(code):
        yield f"exit code {code}"


def _spelled(text: str) -> str:
    """Spell out an HTTP status that is a whole text: masking takes numbers, and leaves words."""
    match = _STATUS.fullmatch(text)
    return f"HTTP status {match[1]} {responses.get(int(match[1]), '')}".strip() if match else text


_SUCCESS = re.compile(r"(?:^|\.)(?:success|succeeded|is_success|tool_success|ok)$", re.IGNORECASE)


@lru_cache(maxsize=1000)
def _flags_of(names: tuple[str, ...]) -> list[tuple[str, Callable[[Any], bool]]]:
    """Give the attributes that say whether a call failed, each with how: by being true, or false."""
    bad = [(name, is_true) for name in names if _IS_ERROR.search(name)]
    good = (name for name in names if _SUCCESS.search(name) and "eval" not in name)
    return bad + [(name, is_false) for name in good]


_RAISED = frozenset({"exception", "error", "gen_ai.error", "tool.error"})


def _has_escaped(span: Span) -> bool:
    """Whether the last exception event ended the span, rather than being handled."""
    last = next(
        (number for number, event in reversed([*enumerate(span.events)]) if event.name in _RAISED), -1
    )
    if last < 0:
        return False
    event = span.events[last]
    escaped = event.values.get("exception.escaped")
    if is_true(escaped) or is_false(escaped):
        return is_true(escaped)
    if last < len(span.events) - 1:
        return False
    if not event.time_ns or not span.duration_ms:
        return True
    return (span.end_ns - event.time_ns) / 1e6 <= max(50.0, 0.1 * span.duration_ms)


# Texts
# ----------------------------------------------------------------------------------------------------


def _error_texts(span: Span, kind: str) -> Iterator[str]:
    """Yield the texts that may describe the error, best first."""
    values = span.attributes
    for event in reversed(span.events):
        if event.name == "exception" or "exception.type" in event.values:
            yield exception_text(event.values)
        elif event.name in _RAISED:
            yield leaf_of(
                _unless_flag(first(event.values, (*_MESSAGE_KEYS, "message", "error", "error.type")))
            )
    yield exception_text(values)
    if kind == "tool":
        for result in _results(span):
            yield error_in_result(result)
    if span.status == "error" or span.status_message:
        yield leaf_of(span.status_message.strip())
    error = values.get("error")
    if not isinstance(error, bool):
        yield leaf_of(said_in(error) if isinstance(error, dict) else _unless_flag(text_of(error)))
    yield leaf_of(_unless_flag(first(values, (*_MESSAGE_KEYS, "langfuse.observation.status_message"))))
    if kind == "tool" and span.status == "error":
        yield from (text_of(result).strip()[:MAX_RESULT] for result in _results(span))
    elif kind == "tool":
        yield from (said_in(decoded(result))[:MAX_RESULT] for result in _results(span))


def _unless_flag(text: str) -> str:
    return "" if text.strip().lower() in NO_ERROR else text


def _results(span: Span) -> list[Any]:
    """Return the results of a tool call, from attributes and events."""
    values = span.attributes
    found = [values[key] for key in _RESULT_KEYS if key in values and values[key] not in (None, "", {}, [])]
    for event in span.events:
        if event.name == "gen_ai.choice":
            found += [event.values[key] for key in ("message", "content", "body") if event.values.get(key)]
        elif event.name == "gen_ai.client.inference.operation.details":
            messages = objects_of(decoded(event.values.get("gen_ai.output.messages")))
            parts = (part for message in messages for part in objects_of(message.get("parts")))
            found += [result for part in parts if (result := part.get("result") or part.get("response"))]
        elif event.name in {"tool_result", "gen_ai.tool.result", "mcp.tool.result"}:
            found += [event.values[key] for key in ("result", "output", "content") if event.values.get(key)]
    return found
