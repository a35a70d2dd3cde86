"""Sessions of the Gemini CLI (`~/.gemini/tmp/*/chats/session-*.json`, in newer releases `.jsonl`).

They have tool calls, API errors and turns. The program's OTLP logs are read by `otlp_logs.py`.

Source: google-gemini/gemini-cli, `packages/core/src/services/chatRecordingService.ts`. A call has one time,
so none has a duration.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from fl_assets.events.formats.marks import has_all, json_key
from fl_assets.events.formats.messages import users_words
from fl_assets.events.formats.readers import Found, Records, each_taken, file_reader
from fl_assets.events.formats.seam import Format
from fl_assets.events.formats.spans import Dialogue, Session, Span
from fl_assets.events.formats.times import iso_ns, timestamp_of
from fl_assets.events.formats.tool_results import error_in_result, failed_text
from fl_assets.events.formats.values import as_list, as_object, first, objects_of

_UNFINISHED = frozenset({"validating", "scheduled", "awaiting_approval", "executing"})


def _of_file(records: Records) -> Iterator[tuple[int, Found]]:
    session_id, is_subagent = "", False
    messages: dict[str, tuple[int, int, dict[str, Any]]] = {}

    def taken(line: int, value: Any) -> Iterator[tuple[int, Found]]:
        nonlocal session_id, is_subagent
        whole = as_object(value)
        session_id = str(whole.get("sessionId") or session_id)
        is_subagent = is_subagent or ("sessionId" in whole and whole.get("kind") == "subagent")
        checkpoint = as_list(as_object(whole.get("$set")).get("messages"))
        entries = as_list(whole.get("messages")) or checkpoint
        entries = entries or ([whole] if whole.get("type") and whole.get("id") else [])
        for message in objects_of(entries):
            try:
                when = timestamp_of(message, "a message has no timestamp")
            except ValueError as error:
                yield line, str(error)
                continue
            # a message that is written again is a later version of itself
            messages[str(message.get("id") or len(messages))] = (line, when, message)

    yield from each_taken(records, taken)
    session = Session(session_id or "unknown", "gemini-cli", {"session.id": session_id or "unknown"})
    yield from _spans(session, messages.values(), is_asked_by_user=not is_subagent)


def _spans(
    session: Session, messages: Iterable[tuple[int, int, dict[str, Any]]], *, is_asked_by_user: bool
) -> Iterator[tuple[int, Found]]:
    talk = Dialogue(session)

    def taken(line: int, one: tuple[int, dict[str, Any]]) -> Iterator[tuple[int, Found]]:
        when, message = one
        kind, text = message.get("type"), _text(message.get("content"))
        key, model = str(message.get("id") or when), first(message, ("model",))
        if kind == "user" and is_asked_by_user and (words := users_words(text)):
            yield from talk.asked(line, key, when, words)
        elif kind == "error":
            error = text.removeprefix("[API Error:").removesuffix("]").strip()
            yield line, session.span(key, "chat", "chat", (0, when), error, status="error")
        elif kind == "gemini":
            for number, call in enumerate(objects_of(message.get("toolCalls"))):
                yield line, _call(session, call, f"{key}-{number}", when, model)
            talk.answered(when, text, model)
        elif not isinstance(kind, str):
            yield line, f"a message has the type {kind!r:.60}"

    yield from each_taken(((line, (when, message)) for line, when, message in messages), taken)
    yield from talk.end()


def _text(content: Any) -> str:
    parts = [content] if isinstance(content, str) else [part.get("text") for part in objects_of(content)]
    return "\n".join(part for part in parts if isinstance(part, str)).strip()


def _call(session: Session, call: dict[str, Any], key: str, when: int, model: str) -> Span:
    status, name = first(call, ("status",)), first(call, ("name",)) or "unknown"
    results = [as_object(part.get("functionResponse")) for part in objects_of(call.get("result"))]
    error = next((text for result in results if (text := error_in_result(result.get("response")))), "")
    failed = status == "error" or (bool(error) and status != "cancelled")
    try:
        end = iso_ns(call.get("timestamp"), "timestamp") or when
    except ValueError:
        end = when
    return session.span(
        str(call.get("id") or key),
        "execute_tool",
        name,
        (end, 0) if status in _UNFINISHED else (0, end),
        (error or failed_text(call.get("resultDisplay"))) if failed else "",
        status="error" if failed else "ok" if status == "success" else "unset",
        more={
            "gen_ai.tool.call.id": call.get("id"),
            "gen_ai.tool.call.arguments": call.get("args"),
            "gen_ai.request.model": model,
            "error.type": "cancelled" if status == "cancelled" else "",
        },
    )


FORMAT = Format(
    "gemini_cli",
    "Sessions of the Gemini CLI (JSON, JSONL).",
    has_all(json_key("projectHash"), json_key("sessionId")),
    file_reader(_of_file, "messages"),
)
