"""Errors in tool results, in any of the shapes that tools and frameworks write.

What does not go here: where a span keeps results, and whether its call failed (`outcomes.py`).

Sources: the MCP specification (`isError`); what LangChain, CrewAI, the OpenAI Agents SDK, AutoGen and Claude
Code put into a tool's result.
"""

import re
from collections.abc import Mapping
from typing import Any

from fl_assets.events.formats.attributes import ERRORS
from fl_assets.events.formats.exceptions import leaf_of
from fl_assets.events.formats.values import as_object, decoded, first, names, objects_of, text_of

MAX_RESULT = 4000
_MAX_DEPTH = 20
BAD_WORDS = frozenset(ERRORS["bad_words"])
_ERROR_TEXT = re.compile(
    r"(?:\W{0,3}\s*+)?(?:(?:tool|mcp|api|execution|runtime|internal)[ _-])?(?:error|exception|failure"
    r"|traceback \(most recent call last\))\b\s*(?:\[[^\]]*\]\s*)?(?:[:\-–—(]|executing|calling|invoking"
    r"|running|while|when|in\b)"
    r"|(?:(?:i )?encountered (?:an )?error|an (?:unexpected )?error (?:has )?occurred|<tool_use_error>"
    r"|failed to (?:call|execute|invoke|run|parse) (?:the )?(?:tool|function|command|argument)"
    r"|(?:tool|function|command|code)(?: call| execution)? (?:failed|errored)\b"
    r"|(?:process |command )?exit(?:ed)?(?: with)?(?: exit)?(?: code| status)?:? ?[1-9][0-9]{0,2}\b"
    r"|invalid (?:tool )?(?:arguments?|parameters?|input|call|request)\b[^\n:]{0,60}:"
    r"|(?:permission|access) denied\b|HTTP (?:error )?[45][0-9][0-9]\b"
    r"|unknown tool\b|no tool named\b|tool \S{1,80} (?:was )?not found\b)",
    re.IGNORECASE,
)
_RAISED = re.compile(r"(?:[a-z_]\w*\.)*[A-Z]\w*(?:Error|Exception)(?:: |\(['\"])")
"""Beginning of a result that is an exception, as Python and its like print it."""
_LEAD_IN = re.compile(
    r"(?:(?:i )?encountered an error while trying to use the tool\. this was the error:\s*"
    r"|an error occurred while running the tool\. please try again\. error:\s*|<tool_use_error>)",
    re.IGNORECASE,
)
_INPUTS = re.compile(r"\n[ \t]*+tool .{1,200} accepts these inputs:", re.IGNORECASE | re.DOTALL)
"""What CrewAI, the OpenAI Agents SDK and Claude Code put around a tool's error."""
_TOOL_MESSAGE = re.compile(r"(?:ToolMessage\()?content=.*\bstatus='error'", re.DOTALL)
"""LangChain's messages as their `repr`."""
_ERROR_FIELDS = names(
    "error message error_message errorMessage detail reason text content result output stderr errors body "
    "value"
)
NO_ERROR = frozenset(
    {"", "false", "none", "null", "0", "no", "ok", "undefined", "{}", "[]", "true", "1", "yes"}
)


def is_false(value: Any) -> bool:
    """Whether a flag is false, in whatever type it is written."""
    return value == 0 or (isinstance(value, str) and value.strip().lower() in {"false", "no", "0"})


def is_true(value: Any) -> bool:
    """Whether a flag is true, as a boolean or a text."""
    return value is True or (isinstance(value, str) and value.strip().lower() in {"true", "yes"})


def error_in_result(result: Any, depth: int = 0, *, is_said_good: bool = False) -> str:
    """Return the error in a tool's result, '' for none.

    Errors have `isError`, `success: false`, a `status` of error, an `error` that is not empty, or a text that
    begins like one, unless the result says that it is none (`isError: false`): a search of logs may find
    lines that begin so. What is nested more than `_MAX_DEPTH` deep is not read.
    """
    value = decoded(result) if depth <= _MAX_DEPTH else None
    if isinstance(value, str):
        if is_said_good:
            return ""
        begin = value.lstrip()[:MAX_RESULT]
        is_error = _ERROR_TEXT.match(begin) or _RAISED.match(begin) or _TOOL_MESSAGE.match(value)
        return leaf_of(bare_error(value)[:MAX_RESULT]) if is_error else ""
    if isinstance(value, list):
        found = (
            error_in_result(_part_text(entry), depth + 1, is_said_good=is_said_good) for entry in value[:20]
        )
        return next(filter(None, found), "")
    if not isinstance(value, dict):
        return ""
    if _is_flagged(value):
        return leaf_of(said_in(value)[:MAX_RESULT]) or "error"
    is_said_good = is_said_good or any(value.get(key) is False for key in ("isError", "is_error"))
    inner = (value.get(key) for key in ("result", "content", "output", "toolResult", "response", "kwargs"))
    found = (error_in_result(one, depth + 1, is_said_good=is_said_good) for one in inner if one)
    return next(filter(None, found), "")


def _is_flagged(value: dict[str, Any]) -> bool:
    """Whether fields of a result say that it is an error."""
    status, error = value.get("statusCode", value.get("status_code")), value.get("error")
    is_of_graphql = "data" in value and value["data"] is None
    return (
        any(is_true(value.get(key)) for key in ("isError", "is_error", "error"))
        or any(is_false(value.get(key)) for key in ("success", "ok", "succeeded"))
        or str(value.get("status") or value.get("type") or "").lower() in BAD_WORDS
        or (isinstance(status, int) and 400 <= status <= 599)
        or (is_of_graphql and any(one.get("message") for one in objects_of(value.get("errors"))))
        or (not isinstance(error, bool) and text_of(error).strip().lower() not in NO_ERROR)
    )


def bare_error(text: str) -> str:
    """Return a tool's error without what frameworks put around it."""
    text = text.strip()
    if (lead_in := _LEAD_IN.match(text)) is None:
        return text
    error, *inputs = _INPUTS.split(text[lead_in.end() : MAX_RESULT].removesuffix("</tool_use_error>"), 1)
    error = error.strip()
    return (error.removesuffix(".") if inputs else error) or text


def _part_text(entry: Any) -> Any:
    """Return the text of a part of a message, or the part as it is."""
    if isinstance(entry, dict) and set(entry) <= {"type", "text", "annotations", "content", "role"}:
        return entry.get("text") or entry.get("content")
    return entry


def said_in(value: Any, depth: int = 0) -> str:
    """Return the text of an error that is an object: its message, its error, or its content."""
    if depth > 4:
        return ""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, list):
        return "\n".join(text for entry in value[:20] if (text := said_in(entry, depth + 1)))
    if not isinstance(value, Mapping):
        return ""
    kind = first(value, ("type", "name", "code", "error_type"))
    for key in _ERROR_FIELDS:
        inner = value.get(key)
        if inner and not isinstance(inner, bool) and (text := said_in(inner, depth + 1)):
            says_more = kind.lower() not in {"", "error", "text"} and kind not in text
            return f"{kind}: {text}" if key == "message" and says_more else text
    return ""


def failed_text(value: Any) -> str:
    """Return the text of the root error of a value of any shape (text, object, list); '' for none."""
    value = as_object(value) or decoded(value)
    if isinstance(value, bool) or value is None:
        return ""
    return leaf_of(bare_error(said_in(value)) or (text_of(value) if not isinstance(value, str) else ""))
