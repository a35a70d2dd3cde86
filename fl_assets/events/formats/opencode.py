"""Sessions of OpenCode: `opencode export`, what `opencode run --format json` prints, its API and its storage.

They have tool calls, errors of models and turns. A part that is written again is a later version of itself.

Source: sst/opencode, `packages/opencode/src/session/message-v2.ts` (`ToolState`, `Assistant`).
"""

from collections.abc import Iterator
from typing import Any

from fl_assets.events.formats.marks import has_all, json_key
from fl_assets.events.formats.messages import users_words
from fl_assets.events.formats.readers import Found, Records, each_taken, file_reader
from fl_assets.events.formats.seam import Format
from fl_assets.events.formats.spans import Dialogue, Session, Span
from fl_assets.events.formats.times import any_ns
from fl_assets.events.formats.tool_results import failed_text
from fl_assets.events.formats.values import as_object, first, objects_of, text_of

_ABORTED = "Tool execution aborted"


def _of_file(records: Records) -> Iterator[tuple[int, Found]]:
    talks: dict[str, Dialogue] = {}
    calls: dict[str, tuple[int, dict[str, Any]]] = {}

    def taken(line: int, value: Any) -> Iterator[tuple[int, Found]]:
        whole = as_object(as_object(value).get("properties")) or as_object(value)
        is_subagent = bool(as_object(whole.get("info")).get("parentID")) and "messages" in whole
        for entry in objects_of(whole.get("messages")) or [whole]:
            about = as_object(entry.get("info")) or entry
            parts = objects_of(entry.get("parts")) or [as_object(entry.get("part")) or entry]
            calls.update({_call_id(part): (line, part) for part in parts if "callID" in part})
            text = "\n".join(
                text_of(part.get("text"))
                for part in parts
                if part.get("type") == "text" and not (part.get("synthetic") or part.get("ignored"))
            ).strip()
            times = as_object(about.get("time"))
            when = any_ns(times.get("completed") or times.get("created") or about.get("timestamp"), "time")
            session = str(about.get("sessionID") or "unknown")
            talk = talks.setdefault(session, Dialogue(_session(session)))
            if about.get("role") == "user" and not is_subagent and (words := users_words(text)):
                yield from talk.asked(line, about.get("id") or when, when, words)
            elif about.get("role") == "assistant":
                talk.answered(when, text, about.get("modelID"))
            if error := as_object(about.get("error")):
                yield line, _failed(talk.session, about, error, when)

    yield from each_taken(records, taken)
    yield from each_taken(calls.values(), lambda line, part: [(line, _call(part))])
    for talk in talks.values():
        yield from talk.end()


def _session(session_id: str) -> Session:
    return Session(session_id, "opencode", {"session.id": session_id})


def _call_id(part: dict[str, Any]) -> str:
    return f"{part.get('messageID')}:{part['callID']}"


def _call(part: dict[str, Any]) -> Span:
    state = as_object(part.get("state"))
    status, times = state.get("status"), as_object(state.get("time"))
    error = failed_text(state.get("error")) if status == "error" else ""
    code = as_object(state.get("metadata")).get("exit")
    return _session(str(part.get("sessionID") or "unknown")).span(
        _call_id(part),
        "execute_tool",
        first(part, ("tool",)) or "unknown",
        (any_ns(times.get("start"), "start"), any_ns(times.get("end"), "end")),
        error,
        status="error" if status == "error" else "unset",
        more={
            "gen_ai.tool.call.id": part.get("callID"),
            "gen_ai.tool.call.arguments": state.get("input"),
            "exit_code": code if isinstance(code, int) and code > 0 else None,
            "error.type": "cancelled" if error == _ABORTED else "",
            "output": state.get("output") if isinstance(code, int) and code > 0 else None,
        },
    )


def _failed(session: Session, about: dict[str, Any], error: dict[str, Any], when: int) -> Span:
    said, kind = as_object(error.get("data")) or error, first(error, ("name",))
    return session.span(
        f"error-{about.get('id') or when}",
        "chat",
        "chat",
        (0, when),
        f"{kind}: {failed_text(said.get('message'))}".removesuffix(": "),
        status="error",
        more={
            "gen_ai.request.model": about.get("modelID"),
            "http.response.status_code": first(said, ("statusCode",)),
            "error.type": "cancelled" if kind == "MessageAbortedError" else "",
        },
    )


FORMAT = Format(
    "opencode",
    "Sessions of OpenCode: its exports, what it prints, its API and its storage (JSON, JSONL).",
    has_all(rb'"ses_', json_key("sessionID|id", rb'"ses_')),
    file_reader(_of_file, "entries"),
)
