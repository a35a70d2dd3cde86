"""Whether a call failed, and the most specific text of its error, from all places where producers write it.

What goes here: status, exceptions, tool results, finish reasons and attributes of failure; what is no failure
(waiting for a person, cancellation). What does not: errors in tool results (`tool_results.py`), stack traces
(`exceptions.py`), which failures only repeat another (`causes.py`).

Sources: OpenTelemetry semantic conventions for exceptions, `error.type` and MCP; the MCP specification
(`isError`); Strands, Claude Code, Langfuse, LangGraph and Jaeger as they write it.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from http.client import responses
from itertools import chain
from typing import Any

from fl_assets.events.formats.attributes import ATTRIBUTES, ERRORS, telling
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
from fl_assets.events.formats.values import (
    as_object,
    decoded,
    first,
    integer_in,
    number_of,
    objects_of,
    text_of,
)

NO_FAILURE = ("cancelled", "interrupted", "unfinished")
"""Ends of calls that neither succeeded nor failed: cancelled by the caller, waiting for a person, unknown."""
_STATUS_KEYS = frozenset(ATTRIBUTES["status"])
_CODE_KEYS = frozenset(
    {
        "error.type",
        "gcp.vertex.agent.llm_response",
        "logfire.level_num",
        *(
            key
            for what in ("finish_reason", "http_status", "grpc_status", "exit_code")
            for key in ATTRIBUTES[what]
        ),
    }
)
"""All that `_codes` looks at, but for a finish reason in the answers."""
_TELLING = frozenset((*_STATUS_KEYS, "error", *ATTRIBUTES["message"], *ATTRIBUTES["result"]))
"""Attributes that may say that a call failed, but for those of `_codes` and `_flags_of`."""
_BAD_FINISH = frozenset(ERRORS["bad_finish"])
_FINISH_IN_JSON = re.compile(r'"finish_reason"\s*:\s*"(\w+)"')
_ERROR_LEVEL = 17
"""Of OpenTelemetry's severities, as Logfire numbers its levels."""
_STATUS = re.compile(r"(?i)(?:http[ _-]?)?(?:status[ _-]?)?(?:code[ _-]?)?:?\s*([45][0-9]{2})")
_IS_ERROR = re.compile(r"(?:^|[._])(?:is_?error|is_?failure|is_?failed|has_?error)$|^error$", re.IGNORECASE)
_SUCCESS = re.compile(r"(?:^|\.)(?:success|succeeded|is_success|tool_success|ok)$", re.IGNORECASE)
_WAITS, _GIVEN_UP = telling("waiting"), telling("given_up", re.IGNORECASE)
_NOUGHTS = str.maketrans("123456789", "0" * 9)
"""Errors differ by numbers, and neither pattern has one, so what they tell is remembered without."""
_LATE = re.compile(r"(?i)tim(?:ed?|ing)[ _-]?out|deadline")
_CANCELLED_WORDS = frozenset(ERRORS["cancelled_words"])
_RAISED = frozenset({"exception", "error", "gen_ai.error", "tool.error"})
_RESULT_EVENTS = {
    "gen_ai.choice": ("message", "content", "body"),
    **dict.fromkeys(
        ("tool_result", "gen_ai.tool.result", "mcp.tool.result"), ("result", "output", "content")
    ),
}
"""Events with the result of a tool, and where it is."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a call ended: `ok`, `failed`, or one of `NO_FAILURE`; `error` is the text of a failure."""

    kind: str
    error: str | None = None


def outcome_of(span: Span, kind: str) -> Outcome:
    """Return how a span's call ended; `kind` is that of `kind_of`."""
    if span.status != "error" and not span.events and not _may_tell(span.attributes):
        return Outcome(_end_of(span))  # most calls
    is_judge = kind == "evaluator"
    has_codes = not is_judge and _may_have_codes(span.attributes)
    codes = list(_codes(span, kind)) if has_codes else []
    if span.status != "error" and not codes and (is_judge or not _is_flagged(span, kind)):
        return Outcome(_end_of(span))
    texts: list[str] = []
    for text in filter(None, chain(_error_texts(span, kind), codes)):
        texts.append(_spelled(text))
        if not is_vague(texts[-1]):  # the ones after it say no more
            return Outcome(_kind_of_end(span, texts), texts[-1])
    return Outcome(_kind_of_end(span, texts), max(texts, key=len, default=None))


def _end_of(span: Span) -> str:
    """Return how a call ended that did not fail."""
    return "ok" if span.end_ns and (span.start_ns or span.status == "ok") else "unfinished"


def _may_tell(values: Mapping[str, Any]) -> bool:
    """Whether attributes may say that a call failed, by their names."""
    return not _TELLING.isdisjoint(values) or _may_have_codes(values) or bool(_flags_of(tuple(values)))


def _may_have_codes(values: Mapping[str, Any]) -> bool:
    """Whether attributes may hold what `_codes` looks at, by their names and a word in the answers."""
    answers = values.get("gen_ai.output.messages")
    return not _CODE_KEYS.isdisjoint(values) or (isinstance(answers, str) and "finish_reason" in answers)


def _kind_of_end(span: Span, texts: list[str]) -> str:
    """Return `failed`, `interrupted` or `cancelled`, by the exception's type, or else the first text."""
    values = span.attributes
    raised = [
        first(event.values, ("exception.type",))
        for event in reversed(span.events)
        if event.name == "exception"
    ]
    error_type = first(values, ("error.type",))
    types = [name[:300] for name in (first(values, ("exception.type",)), *raised, error_type) if name]
    heads = [text[:300] for text in texts[:1]]
    is_waiting, is_given_up = _ends_told(tuple(text.translate(_NOUGHTS) for text in (*types[:1], *heads)))
    if is_waiting:
        return "interrupted"
    is_gone = first(values, ATTRIBUTES["http_status"]) == "499" or (
        first(values, ATTRIBUTES["grpc_status"]) in {"1", "CANCELLED"}
    )
    is_given_up = is_given_up and not any(map(_LATE.search, heads))
    return "cancelled" if is_gone or is_given_up or error_type.lower() in _CANCELLED_WORDS else "failed"


@lru_cache(maxsize=2048)
def _ends_told(texts: tuple[str, ...]) -> tuple[bool, bool]:
    """Whether texts, with noughts for all digits, say that a call waits, and that it was given up."""
    return any(map(_WAITS.search, texts)), any(map(_GIVEN_UP.search, texts))


def _is_flagged(span: Span, kind: str) -> bool:
    """Whether attributes, events or results show that the call failed, apart from status and `_codes`."""
    values = span.attributes
    if any(str(values[key]).strip().lower() in BAD_WORDS for key in _STATUS_KEYS & values.keys()):
        return True
    if any(says_failure(values[key]) for key, says_failure in _flags_of(tuple(values))):
        return True
    if span.status != "ok":
        error = values.get("error")
        has_error = isinstance(error, dict) or (isinstance(error, str) and not _is_no_error(error))
        if has_error or not _is_no_error(first(values, ATTRIBUTES["message"])) or _has_escaped(span):
            return True
    if kind != "tool":
        return False
    words = (
        str(event.values.get("tool.result") or event.values.get("status") or "") for event in span.events
    )
    return any(word.lower() in BAD_WORDS for word in words) or any(map(error_in_result, _results(span)))


@lru_cache(maxsize=1000)
def _flags_of(names: tuple[str, ...]) -> list[tuple[str, Callable[[Any], bool]]]:
    """Give the attributes that say whether a call failed, each with how: by being true, or false."""
    bad = [(name, is_true) for name in names if _IS_ERROR.search(name)]
    good = (name for name in names if _SUCCESS.search(name) and "eval" not in name)
    return bad + [(name, is_false) for name in good]


def _has_escaped(span: Span) -> bool:
    """Whether the last exception event ended the span, rather than being handled."""
    raised = [number for number, event in enumerate(span.events) if event.name in _RAISED]
    if not raised:
        return False
    event = span.events[raised[-1]]
    escaped = event.values.get("exception.escaped")
    if is_true(escaped) or is_false(escaped):
        return is_true(escaped)
    if raised[-1] < len(span.events) - 1:
        return False
    if not event.time_ns or not span.duration_ms:
        return True
    return (span.end_ns - event.time_ns) / 1e6 <= max(50.0, 0.1 * span.duration_ms)


def _codes(span: Span, kind: str) -> Iterator[str]:
    """Yield a text for each code of failure: `error.type`, finish reason, HTTP or gRPC status, exit code."""
    values = span.attributes
    if not _is_no_error(error := first(values, ("error.type",))):
        yield error
    answers = values.get("gen_ai.output.messages")
    reasons = [match[1]] if isinstance(answers, str) and (match := _FINISH_IN_JSON.search(answers)) else []
    for key in ATTRIBUTES["finish_reason"]:
        given = decoded(values.get(key))
        reasons += given if isinstance(given, list) else [given]
    spelled = [reason.strip().lower() for reason in reasons if isinstance(reason, str)]
    yield from (f"finish reason: {reason}" for reason in spelled if reason in _BAD_FINISH)
    response = as_object(values.get("gcp.vertex.agent.llm_response"))
    if code := first(response, ("error_code",)):
        yield f"{code}: {first(response, ('error_message',))}".removesuffix(": ")
    if (level := number_of(values, ("logfire.level_num",))) and level >= _ERROR_LEVEL and span.status != "ok":
        yield "error"
    code = first(values, ATTRIBUTES["http_status"])
    is_call = kind in {"llm", "tool", "embedding"} or span.status == "error"
    if is_call and 400 <= integer_in(code) <= 599:
        yield code
    code = first(values, ATTRIBUTES["grpc_status"])
    if span.status == "error" and 0 < integer_in(code) < len(ERRORS["grpc_codes"]):
        yield ERRORS["grpc_codes"][int(code)]
    code = first(values, ATTRIBUTES["exit_code"])
    if kind == "tool" and integer_in(code):
        yield f"exit code {code}"


def _spelled(text: str) -> str:
    """Spell out an HTTP status that is a whole text: masking takes numbers, and leaves words."""
    match = _STATUS.fullmatch(text)
    return f"HTTP status {match[1]} {responses.get(int(match[1]), '')}".strip() if match else text


def _error_texts(span: Span, kind: str) -> Iterator[str]:
    """Yield the texts that may describe the error, best first."""
    values = span.attributes
    for event in reversed(span.events):
        if event.name == "exception" or "exception.type" in event.values:
            yield exception_text(event.values)
        elif event.name in _RAISED:
            words = first(event.values, (*ATTRIBUTES["message"], "message", "error", "error.type"))
            yield leaf_of(_unless_flag(words))
    yield exception_text(values)
    if kind == "tool":
        for result in _results(span):
            yield error_in_result(result)
    if span.status == "error" or span.status_message:
        yield leaf_of(span.status_message.strip())
    error = values.get("error")
    if not isinstance(error, bool):
        yield leaf_of(said_in(error) if isinstance(error, dict) else _unless_flag(text_of(error)))
    yield leaf_of(
        _unless_flag(first(values, (*ATTRIBUTES["message"], "langfuse.observation.status_message")))
    )
    if kind == "tool" and span.status == "error":
        yield from (text_of(result).strip()[:MAX_RESULT] for result in _results(span))
    elif kind == "tool":
        yield from (said_in(decoded(result))[:MAX_RESULT] for result in _results(span))


def _is_no_error(text: str) -> bool:
    return text.strip().lower() in NO_ERROR


def _unless_flag(text: str) -> str:
    return "" if _is_no_error(text) else text


def _results(span: Span) -> list[Any]:
    """Return the results of a tool call, from attributes and events."""
    values = span.attributes
    found = [values[key] for key in ATTRIBUTES["result"] if key in values]
    for event in span.events:
        found += [event.values.get(key) for key in _RESULT_EVENTS.get(event.name, ())]
        if event.name == "gen_ai.client.inference.operation.details":
            messages = objects_of(decoded(event.values.get("gen_ai.output.messages")))
            parts = (part for message in messages for part in objects_of(message.get("parts")))
            found += [part.get("result") or part.get("response") for part in parts]
    return [result for result in found if result not in (None, "", {}, [])]
