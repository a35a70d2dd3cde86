"""Sessions of the Gemini CLI (`~/.gemini/tmp/*/chats/session-*.json`, in newer releases `.jsonl`).

They have tool calls, API errors and turns. The program's OTLP logs are read by `otlp_logs.py`.

Source: google-gemini/gemini-cli, `packages/core/src/services/chatRecordingService.ts`. A call has one time,
so none has a duration.
"""

from collections.abc import Iterator
from typing import Any

from fl_assets.events.formats.marks import has_all, json_key
from fl_assets.events.formats.messages import users_words
from fl_assets.events.formats.readers import Records, file_reader
from fl_assets.events.formats.seam import Format
from fl_assets.events.formats.spans import Span, turn_span
from fl_assets.events.formats.tool_results import error_in_result, failed_text
from fl_assets.events.formats.values import as_list, as_object, first, iso_ns, objects_of

_UNFINISHED = frozenset({"validating", "scheduled", "awaiting_approval", "executing"})


def _of_file(records: Records) -> Iterator[tuple[int, Span | str]]:
    about: dict[str, Any] = {}
    messages: dict[str, tuple[int, int, dict[str, Any]]] = {}
    for line, value in records:
        whole = as_object(value)
        if whole.get("sessionId"):
            about = whole
        entries = as_list(whole.get("messages")) or ([whole] if whole.get("type") and whole.get("id") else [])
        for message in objects_of(entries):
            try:
                when = iso_ns(message.get("timestamp"), "timestamp")
            except ValueError as error:
                yield line, str(error)
                continue
            if when:  # a message that is written again is a later version of itself
                messages[str(message.get("id") or len(messages))] = (line, when, message)
            else:
                yield line, "a message has no timestamp"
    yield from _spans(str(about.get("sessionId") or "unknown"), list(messages.values()))


read = file_reader(_of_file, "messages")

FORMAT = Format(
    name="gemini_cli",
    description="Sessions of the Gemini CLI (JSON, JSONL).",
    matches=has_all(json_key("projectHash"), json_key("sessionId")),
    read=read,
)


def _spans(session: str, messages: list[tuple[int, int, dict[str, Any]]]) -> Iterator[tuple[int, Span]]:
    common: dict[str, Any] = {
        "trace_id": session,
        "parent_id": "",
        "resource": {"service.name": "gemini-cli"},
    }
    asked: tuple[int, int, str, str] | None = None
    answer: tuple[int, str, str] = (0, "", "")
    for line, when, message in messages:
        kind, text = message.get("type"), _text(message.get("content"))
        key, model = str(message.get("id") or when), first(message, ("model",))
        if kind == "user" and (words := users_words(text)):
            yield from _turn(common, session, asked, answer)
            asked, answer = (line, when, key, words), (0, "", "")
        elif kind == "error":
            yield (
                line,
                Span(
                    **common,
                    span_id=key,
                    name="chat",
                    start_ns=0,
                    end_ns=when,
                    status="error",
                    status_message=text.removeprefix("[API Error:").removesuffix("]").strip(),
                    attributes={"session.id": session, "gen_ai.operation.name": "chat"},
                ),
            )
        elif kind == "gemini":
            for number, call in enumerate(objects_of(message.get("toolCalls"))):
                yield line, _call(common, session, call, f"{key}-{number}", when, model)
            answer = (when, text, model) if text else answer
    yield from _turn(common, session, asked, answer)


def _text(content: Any) -> str:
    parts = [content] if isinstance(content, str) else [part.get("text") for part in objects_of(content)]
    return "\n".join(part for part in parts if isinstance(part, str)).strip()


def _call(
    common: dict[str, Any], session: str, call: dict[str, Any], key: str, when: int, model: str
) -> Span:
    status, name = first(call, ("status",)), first(call, ("name",)) or "unknown"
    results = [as_object(part.get("functionResponse")) for part in objects_of(call.get("result"))]
    error = next((text for result in results if (text := error_in_result(result.get("response")))), "")
    failed = status == "error" or (bool(error) and status != "cancelled")
    try:
        end = iso_ns(call.get("timestamp"), "timestamp") or when
    except ValueError:
        end = when
    return Span(
        **common,
        span_id=str(call.get("id") or key),
        name=name,
        start_ns=end if status in _UNFINISHED else 0,
        end_ns=0 if status in _UNFINISHED else end,
        status="error" if failed else "ok" if status == "success" else "unset",
        status_message=(error or failed_text(call.get("resultDisplay"))) if failed else "",
        attributes={
            "session.id": session,
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": name,
            "gen_ai.tool.call.id": call.get("id"),
            "gen_ai.tool.call.arguments": call.get("args"),
            "gen_ai.request.model": model,
            "error.type": "cancelled" if status == "cancelled" else "",
        },
    )


def _turn(
    common: dict[str, Any],
    session: str,
    asked: tuple[int, int, str, str] | None,
    answer: tuple[int, str, str],
) -> Iterator[tuple[int, Span]]:
    if asked is None:
        return
    line, when, key, words = asked
    about = {"session.id": session, "gen_ai.request.model": answer[2]}
    yield line, turn_span(common, f"turn-{key}", (when, words), answer[:2], about)
