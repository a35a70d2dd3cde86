"""Sessions of Claude Code (`~/.claude/projects/*/*.jsonl`) and Qwen Code: tool calls, API errors and turns.

Source: the files themselves (versions 1 and 2); simonw/claude-code-transcripts and daaain/claude-code-log
read the same fields. Qwen Code (QwenLM/qwen-code, `packages/core/src/services/chatRecordingService.ts`)
writes the same lines, of which the messages are Gemini's.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace

from fl_assets.events.formats.marks import has_all, json_key
from fl_assets.events.formats.messages import users_words
from fl_assets.events.formats.readers import Found, Records, each_taken, file_reader
from fl_assets.events.formats.seam import Format
from fl_assets.events.formats.spans import Session, Span, UsersQuestion
from fl_assets.events.formats.times import iso_ns
from fl_assets.events.formats.tool_results import error_in_result, failed_text
from fl_assets.events.formats.values import as_object, first, kind_in_words, objects_of, present, text_of

_TAIL = 2000
_NOT_SAID = ("Caveat: The messages below", "[Request interrupted by user")
"""How messages begin that Claude Code writes in the user's place."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """A line of a session, with its number, its time and its message."""

    line: int
    when: int
    value: dict[str, Any]
    message: dict[str, Any]
    agent: str

    @property
    def uuid(self) -> str:
        return str(self.value.get("uuid") or self.line)

    @property
    def session_id(self) -> str:
        return str(self.value.get("sessionId") or "")

    @property
    def session(self) -> Session:
        keys = {"version": "agent_version", "gitBranch": "git_branch", "isSidechain": "is_sidechain"}
        about = present({name: self.value.get(key) for key, name in keys.items()})
        about["session.id"] = self.value.get("sessionId")
        return Session(self.session_id or "unknown", self.agent, about)

    @property
    def blocks(self) -> list[dict[str, Any]]:
        return objects_of(self.message.get("content"))

    @property
    def texts(self) -> list[str]:
        if isinstance(content := self.message.get("content"), str):
            return [content]
        return [str(block.get("text") or "") for block in self.blocks if block.get("type") == "text"]

    def made(self, span: Span) -> tuple[int, Span]:
        """Return the line and span of an entry, which a resumed session copies, with its time, as its own."""
        return self.line, replace(span, event_id=f"{self.agent}:{self.when // 10**6}:{span.span_id}")


@dataclass(slots=True)
class _State:
    """Calls without a result yet, by id, with the block of each; open questions, by session; ids of lines."""

    calls: dict[str, tuple[_Entry, dict[str, Any]]] = field(default_factory=dict)
    questions: dict[str, tuple[_Entry, UsersQuestion]] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)


def _of_file(records: Records) -> Iterator[tuple[int, Found]]:
    state = _State()
    yield from each_taken(records, lambda line, value: _taken(line, value, state))
    calls = ((entry.line, (entry, block)) for entry, block in state.calls.values())
    yield from each_taken(calls, lambda _, held: [_call(*held, 0, "unset", "")])
    yield from (_turn(*asked) for asked in state.questions.values())


def _taken(line: int, value: Any, state: _State) -> Iterator[tuple[int, Span]]:
    if not isinstance(value, dict):
        raise ValueError(f"a line is a JSON {kind_in_words(value)}, must be an object")
    uuid = str(value.get("uuid") or line)
    is_of_qwen = _is_of_qwen(value)
    value = _as_claude_writes_it(value) if is_of_qwen else value
    # Others are summaries, snapshots of files, notices. A tuple, as the type may be unhashable.
    if value.get("type") not in ("user", "assistant") or uuid in state.seen:  # a resumed session repeats
        return
    state.seen.add(uuid)
    when, message = iso_ns(value.get("timestamp"), "timestamp"), as_object(value.get("message"))
    if not when or "content" not in message:
        raise ValueError(f"a line of type {value['type']} has no {'content' if when else 'timestamp'}")
    entry = _Entry(line, when, value, message, "qwen-code" if is_of_qwen else "claude-code")
    yield from (_assistant if value["type"] == "assistant" else _user)(entry, state)


def _is_of_qwen(value: dict[str, Any]) -> bool:
    return value.get("type") in ("tool_result", "system") or "parts" in as_object(value.get("message"))


def _as_claude_writes_it(value: dict[str, Any]) -> dict[str, Any]:
    """Return a line of Qwen Code as Claude Code would write it."""
    about = as_object(as_object(value.get("systemPayload")).get("uiEvent"))
    if first(about, ("event.name",)) == "qwen-code.api_error":
        text = " ".join(filter(None, (first(about, (key,)) for key in ("status_code", "error_message"))))
        failed = {"content": text, "model": about.get("model")}
        return {**value, "type": "assistant", "isApiErrorMessage": True, "message": failed}
    message, outcome = as_object(value.get("message")), as_object(value.get("toolCallResult"))
    blocks: list[dict[str, Any]] = []
    for part in objects_of(message.get("parts")):
        call, result = as_object(part.get("functionCall")), as_object(part.get("functionResponse"))
        if call:
            about = {"id": call.get("id"), "name": call.get("name"), "input": call.get("args")}
            blocks.append({"type": "tool_use", **about})
        elif result or outcome:
            status, given = outcome.get("status"), result.get("response")
            text = error_in_result(given) or failed_text(outcome.get("resultDisplay"))
            blocks.append(
                {
                    "type": "tool_result",
                    "tool_use_id": outcome.get("callId") or result.get("id"),
                    "is_error": status in ("error", "cancelled"),
                    "content": "[Request interrupted by user]" if status == "cancelled" else text or given,
                }
            )
        elif not part.get("thought"):
            blocks.append({"type": "text", "text": part.get("text")})
    kind = "user" if value.get("type") == "tool_result" else value.get("type")
    return {**value, "type": kind, "message": {"content": blocks, "model": value.get("model")}}


def _assistant(entry: _Entry, state: _State) -> Iterator[tuple[int, Span]]:
    text = "\n".join(text.strip() for text in entry.texts)
    if entry.value.get("isApiErrorMessage"):
        error, times = text.removeprefix("API Error:").strip(), (entry.when, entry.when)
        yield entry.made(entry.session.span(entry.uuid, "chat", "chat", times, error, status="error"))
        return
    for block in entry.blocks:
        if block.get("type") == "tool_use":
            state.calls[str(block.get("id"))] = (entry, block)
    asked = state.questions.get(entry.session_id)
    if asked and text and not entry.value.get("isSidechain"):
        asked[1].answered(entry.when, text, str(entry.message.get("model") or ""))


def _user(entry: _Entry, state: _State) -> Iterator[tuple[int, Span]]:
    for block in entry.blocks:
        if block.get("type") == "tool_result":
            yield _result(entry, block, state)
    words = users_words("\n".join(entry.texts))
    is_meta = any(entry.value.get(key) for key in ("isMeta", "isSidechain", "isCompactSummary"))
    if is_meta or not words or words.startswith(_NOT_SAID):
        return
    if before := state.questions.pop(entry.session_id, None):
        yield _turn(*before)
    state.questions[entry.session_id] = (entry, UsersQuestion(entry.line, entry.uuid, entry.when, words))


def _turn(entry: _Entry, question: UsersQuestion) -> tuple[int, Span]:
    return entry.made(question.turn(entry.session)[1])


def _result(entry: _Entry, block: dict[str, Any], state: _State) -> tuple[int, Span]:
    given, key = entry.value.get("toolUseResult"), block.get("tool_use_id")
    text = failed_text(block.get("content")) or text_of(given)
    is_error = block.get("is_error") is True or str(given or "").startswith("Error:")
    if as_object(given).get("interrupted") is True and not text:
        is_error, text = True, "[Request interrupted by user]"
    begun, use = state.calls.pop(str(key), (entry, {"name": "unknown", "id": key}))
    if not is_error and str(use.get("name")).startswith("mcp__"):  # servers leave the flag out
        text = error_in_result(block.get("content"))
        is_error = bool(text)
    error, status = (text[:_TAIL], "error") if is_error else ("", "ok")
    return entry.line, _call(begun, use, entry.when, status, error)[1]


def _call(entry: _Entry, block: dict[str, Any], end: int, status: str, error: str) -> tuple[int, Span]:
    about = {
        "gen_ai.tool.call.id": block.get("id"),
        "gen_ai.tool.call.arguments": block.get("input"),
        "gen_ai.request.model": entry.message.get("model"),
    }
    key, name = str(block.get("id") or entry.value.get("uuid")), str(block.get("name") or "unknown")
    return entry.made(
        entry.session.span(key, "execute_tool", name, (entry.when, end), error, status=status, more=about)
    )


FORMAT = Format(
    "claude_code",
    "Sessions of Claude Code (`~/.claude/projects`, JSONL) and Qwen Code (`~/.qwen/projects`).",
    has_all(
        json_key("sessionId"),
        json_key("type", rb'"(?:user|assistant)"'),
        json_key("parentUuid|isSidechain|leafUuid"),
    ),
    file_reader(_of_file, "lines"),
)
