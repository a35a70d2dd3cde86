"""Calls that have several spans, or a span and log records: those of Claude Code.

A `claude_code.tool` has the tool's name; spans below it say how it ended, and how long it took without the
wait for a permission. Log records tell of the same calls.

Source: "Monitoring" in Claude Code's documentation, "Span hierarchy" and "Events".
"""

from collections.abc import Iterable

from msgspec.structs import replace

from fl_assets.events.formats.spans import Span
from fl_assets.events.formats.values import first

WHOLE = "claude_code.tool"
EXECUTION, PERMISSION = f"{WHOLE}.execution", f"{WHOLE}.blocked_on_user"


def with_parts(span: Span, parts: Iterable[Span]) -> Span:
    """Return a tool's span with the time, the outcome and the errors of its parts."""
    for part in parts:
        if part.name == PERMISSION:
            if first(part.attributes, ("decision",)) == "reject":
                span = replace(span, attributes={**span.attributes, "error.type": "cancelled"})
            continue
        span = replace(
            span,
            start_ns=part.start_ns,
            end_ns=part.end_ns,
            status=max(span.status, part.status, key=("unset", "ok", "error").index),
            status_message=part.status_message or span.status_message,
            attributes={**part.attributes, **span.attributes},
            events=(*span.events, *part.events),
        )
    return span


def shared_id(span: Span) -> str:
    """Return the id of a call's event in spans and log records alike; '' where they have no id in common."""
    is_call = span.name.startswith("claude_code.") and span.name not in {EXECUTION, "claude_code.api_refusal"}
    if not is_call or span.status == "log":
        return ""
    key = first(span.attributes, ("tool_use_id", "gen_ai.tool.call.id", "request_id", "gen_ai.response.id"))
    return f"claude-code:{key}" if key else ""
