"""Sessions of GitHub's Copilot CLI (`~/.copilot/session-state/*/events.jsonl`), and VS Code's transcripts.

They have tool calls, errors and turns.

Source: the files themselves (0.0.369 to 1.0.88); github/copilot-sdk, `session_events`.
"""

from collections.abc import Iterator
from typing import Any

from fl_assets.events.formats.marks import has_all, has_any, json_key
from fl_assets.events.formats.messages import users_words
from fl_assets.events.formats.readers import Found, Records, each_taken, file_reader
from fl_assets.events.formats.seam import Format
from fl_assets.events.formats.spans import Dialogue, Session, Span
from fl_assets.events.formats.times import timestamp_of
from fl_assets.events.formats.tool_results import failed_text
from fl_assets.events.formats.values import as_object, first, text_of

_REFUSED = frozenset({"rejected", "denied"})
"""Codes of calls that a person, or a rule, did not allow."""


def _of_file(records: Records) -> Iterator[tuple[int, Found]]:
    talk = Dialogue(_session({}))
    calls: dict[str, tuple[int, tuple[int, dict[str, Any]]]] = {}

    def taken(line: int, value: Any) -> Iterator[tuple[int, Found]]:
        event = as_object(value)
        kind, data = event.get("type"), as_object(event.get("data"))
        when = timestamp_of(event, "an event has no timestamp")
        if kind == "session.start":
            talk.session = _session(data)
        elif kind == "user.message" and not event.get("agentId"):
            if words := users_words(text_of(data.get("content"))):
                yield from talk.asked(line, event.get("id") or when, when, words)
        elif kind == "assistant.message" and not event.get("agentId"):
            talk.answered(when, text_of(data.get("content")).strip(), data.get("model"))
        elif kind == "tool.execution_start":
            calls[str(data.get("toolCallId"))] = (line, (when, data))
        elif kind == "tool.execution_complete":
            at, (begun, call) = calls.pop(str(data.get("toolCallId")), (line, (0, data)))
            yield at, _call(talk.session, call, begun, data, when)
        elif kind == "session.error":
            error = f"{first(data, ('errorType',))}: {failed_text(data.get('message'))}".removeprefix(": ")
            about = {"http.response.status_code": first(data, ("statusCode",))}
            key = f"error-{event.get('id') or when}"
            yield line, talk.session.span(key, "chat", "chat", (0, when), error, status="error", more=about)

    yield from each_taken(records, taken)
    yield from each_taken(
        calls.values(), lambda line, one: [(line, _call(talk.session, one[1], one[0], {}, 0))]
    )
    yield from talk.end()


def _session(data: dict[str, Any]) -> Session:
    session_id = str(data.get("sessionId") or "unknown")
    about = {"session.id": session_id, "agent_version": data.get("copilotVersion")}
    return Session(session_id, "copilot-cli", about)


def _call(session: Session, call: dict[str, Any], begun: int, done: dict[str, Any], end: int) -> Span:
    error = as_object(done.get("error"))
    has_failed = done.get("success") is False
    return session.span(
        str(call.get("toolCallId")),
        "execute_tool",
        first(call, ("toolName",)) or first(done, ("toolName",)) or "unknown",
        (begun, end),
        failed_text(error.get("message") or done.get("result")) if has_failed else "",
        status="error" if has_failed else "ok" if done else "unset",
        more={
            "gen_ai.tool.call.id": call.get("toolCallId"),
            "gen_ai.tool.call.arguments": call.get("arguments"),
            "gen_ai.request.model": done.get("model") or call.get("model"),
            "error.type": "cancelled" if first(error, ("code",)) in _REFUSED else "",
        },
    )


FORMAT = Format(
    "copilot_cli",
    "Sessions of GitHub's Copilot CLI (JSON lines).",
    has_any(
        has_all(json_key("producer", rb'"copilot-agent"')),
        has_all(rb'"type"\s*:\s*"tool\.execution_(?:start|complete)"', json_key("toolCallId")),
    ),
    file_reader(_of_file, "events"),
)
