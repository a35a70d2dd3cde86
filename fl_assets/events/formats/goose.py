"""Sessions of Goose: `goose session export --format json`, and the JSONL that it kept up to 1.9.

They have tool calls and turns. A message has one time, in seconds.

Source: block/goose, `crates/goose/src/conversation/message.rs`, `crates/goose/src/session`.
"""

from collections.abc import Iterator
from typing import Any

from fl_assets.events.formats.marks import has_all, has_any, json_key
from fl_assets.events.formats.messages import users_words
from fl_assets.events.formats.readers import Found, Records, each_taken, file_reader
from fl_assets.events.formats.seam import Format
from fl_assets.events.formats.spans import Dialogue, Session, Span
from fl_assets.events.formats.times import any_ns
from fl_assets.events.formats.tool_results import error_in_result, failed_text
from fl_assets.events.formats.values import as_object, decoded, first, objects_of, text_of

Calls = dict[str, tuple[int, tuple[int, dict[str, Any]]]]
"""Calls without a result yet, by id: line, time and request."""


def _of_file(records: Records) -> Iterator[tuple[int, Found]]:
    talk, calls = Dialogue(_session("")), Calls()

    def taken(line: int, value: Any) -> Iterator[tuple[int, Found]]:
        whole = as_object(value)
        listed = objects_of(whole.get("conversation")) or objects_of(whole.get("messages"))
        if listed or "role" not in whole:  # the session's own fields, around messages or as the first line
            talk.session = _session(str(whole.get("id") or ""))
        for message in listed or ([whole] if "role" in whole else []):
            yield from _message(line, message, talk, calls)

    yield from each_taken(records, taken)
    open_calls = ((line, one) for line, one in calls.values())
    yield from each_taken(open_calls, lambda line, one: [(line, _call(talk.session, one[1], one[0], {}, 0))])
    yield from talk.end()


def _message(line: int, message: dict[str, Any], talk: Dialogue, calls: Calls) -> Iterator[tuple[int, Span]]:
    when = any_ns(message.get("created") or message.get("created_timestamp"), "created")
    if not talk.session.trace_id:
        talk.session = _session(str(message.get("session_id") or f"goose-{when // 10**9}"))
    texts = []
    for part in objects_of(decoded(message.get("content") or message.get("content_json"))):
        kind, key = part.get("type"), str(part.get("id"))
        if kind == "toolRequest":
            calls[key] = (line, (when, part))
        elif kind == "toolResponse":
            at, (begun, request) = calls.pop(key, (line, (0, part)))
            yield at, _call(talk.session, request, begun, part, when)
        elif kind == "text":
            texts.append(text_of(part.get("text")))
    text = "\n".join(texts).strip()
    if message.get("role") == "assistant":
        talk.answered(when, text)
    elif as_object(message.get("metadata")).get("userVisible") is not False and (words := users_words(text)):
        yield from talk.asked(line, message.get("id") or when, when, words)


def _session(session_id: str) -> Session:
    return Session(session_id, "goose", {"session.id": session_id})


def _call(session: Session, request: dict[str, Any], begun: int, response: dict[str, Any], end: int) -> Span:
    call, result = as_object(request.get("toolCall")), as_object(response.get("toolResult"))
    asked = as_object(call.get("value")) or call
    error = failed_text(call.get("error") or result.get("error"))
    error = error or error_in_result(result.get("value", response.get("toolResult")))
    return session.span(
        str(request.get("id")),
        "execute_tool",
        first(asked, ("name",)) or "unknown",
        (begun, end),
        error,
        more={"gen_ai.tool.call.id": request.get("id"), "gen_ai.tool.call.arguments": asked.get("arguments")},
    )


FORMAT = Format(
    "goose",
    "Sessions of Goose: its exports, and its JSONL up to 1.9.",
    has_any(
        has_all(
            json_key("working_dir"),
            json_key("conversation|accumulated_total_tokens|schedule_id|extension_data"),
        ),
        has_all(
            rb'"type"\s*:\s*"toolRequest"',
            json_key("toolCall"),
            json_key("created|created_timestamp", rb"[0-9]"),
        ),
    ),
    file_reader(_of_file, "messages"),
)
