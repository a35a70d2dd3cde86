"""Sessions of Claude Code (`~/.claude/projects/*/*.jsonl`): tool calls, API errors and turns.

Source: the files themselves (versions 1 and 2); simonw/claude-code-transcripts and daaain/claude-code-log
read the same fields.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fl_assets.events.formats.marks import has_all, json_key
from fl_assets.events.formats.messages import users_words
from fl_assets.events.formats.readers import Records, file_reader
from fl_assets.events.formats.seam import Format
from fl_assets.events.formats.spans import Span, turn_span
from fl_assets.events.formats.tool_results import failed_text
from fl_assets.events.formats.values import as_object, iso_ns, objects_of, text_of

_TAIL = 2000


@dataclass(frozen=True, slots=True)
class _Entry:
    """A line of a session, with its number, its time and its message."""

    line: int
    when: int
    value: dict[str, Any]
    message: dict[str, Any]

    @property
    def uuid(self) -> str:
        return str(self.value.get("uuid") or self.line)

    @property
    def session(self) -> str:
        return str(self.value.get("sessionId") or "")

    @property
    def blocks(self) -> list[dict[str, Any]]:
        return objects_of(self.message.get("content"))

    @property
    def texts(self) -> list[str]:
        return [str(block.get("text") or "") for block in self.blocks if block.get("type") == "text"]

    def common(self, span_id: str) -> dict[str, Any]:
        """Return a span's fields; a resumed session copies entries, with their times, under its own id."""
        return {
            "trace_id": self.session or "unknown",
            "span_id": span_id,
            "event_id": f"claude-code:{self.when // 10**6}:{span_id}",
            "parent_id": "",
            "resource": {"service.name": "claude-code"},
        }

    @property
    def about(self) -> dict[str, Any]:
        keys = {"version": "agent_version", "gitBranch": "git_branch", "isSidechain": "is_sidechain"}
        found = {name: self.value.get(key) for key, name in keys.items()}
        kept = {name: value for name, value in found.items() if value not in (None, "")}
        return {"session.id": self.value.get("sessionId"), **kept}


@dataclass(slots=True)
class _Turn:
    """A question of the user, and the last answer before the next one."""

    asked: _Entry
    words: str
    answer: str = ""
    answered: int = 0
    model: str = ""

    def span(self) -> tuple[int, Span]:
        about = {**self.asked.about, "gen_ai.request.model": self.model}
        asked, answer = (self.asked.when, self.words), (self.answered, self.answer)
        key = self.asked.uuid
        return self.asked.line, turn_span(self.asked.common(key), key, asked, answer, about)


Calls = dict[str, tuple[_Entry, dict[str, Any]]]
"""Calls without a result yet, by id: the line and the block of each."""


def _of_file(records: Records) -> Iterator[tuple[int, Span | str]]:
    calls: Calls = {}
    turns: dict[str, _Turn] = {}
    seen: set[str] = set()
    for line, value in records:
        if not isinstance(value, dict):
            yield line, f"a line is a {type(value).__name__}, must be an object"
            continue
        uuid = str(value.get("uuid") or line)
        # Others are summaries, snapshots of files, notices. A tuple, as the type may be unhashable.
        if value.get("type") not in ("user", "assistant") or uuid in seen:  # a resumed session repeats
            continue
        seen.add(uuid)
        try:
            entry = _entry(line, value)
        except ValueError as error:
            yield line, str(error)
            continue
        if value["type"] == "assistant":
            yield from _assistant(entry, calls, turns)
            continue
        for block in entry.blocks:
            if block.get("type") == "tool_result":
                yield line, _result(entry, block, calls)
        yield from _user(entry, turns)
    for entry, block in calls.values():
        yield entry.line, _call(entry, block, 0, "unset", "")
    for turn in turns.values():
        yield turn.span()


def _entry(line: int, value: dict[str, Any]) -> _Entry:
    """Read a line.

    Raises:
        ValueError: it has no time or no message.
    """
    when, message = iso_ns(value.get("timestamp"), "timestamp"), as_object(value.get("message"))
    if not when or not message:
        raise ValueError(f"a line of type {value['type']} has no {'message' if when else 'timestamp'}")
    return _Entry(line, when, value, message)


read = file_reader(_of_file, "lines")

FORMAT = Format(
    name="claude_code",
    description="Sessions of Claude Code (`~/.claude/projects`, JSONL).",
    matches=has_all(
        json_key("sessionId"),
        rb'"(?<!\\")type"\s*:\s*"(?:user|assistant)"',
        json_key("parentUuid|isSidechain|leafUuid"),
    ),
    read=read,
)


def _assistant(entry: _Entry, calls: Calls, turns: dict[str, _Turn]) -> Iterator[tuple[int, Span]]:
    content = entry.message.get("content")
    text = "\n".join(one.strip() for one in entry.texts) or (content if isinstance(content, str) else "")
    if entry.value.get("isApiErrorMessage"):
        failed = Span(
            **entry.common(entry.uuid),
            name="chat",
            start_ns=entry.when,
            end_ns=entry.when,
            status="error",
            status_message=text.removeprefix("API Error:").strip(),
            attributes={**entry.about, "gen_ai.operation.name": "chat"},
        )
        yield entry.line, failed
        return
    calls |= {
        str(block.get("id")): (entry, block) for block in entry.blocks if block.get("type") == "tool_use"
    }
    turn = turns.get(entry.session)
    if turn and text and not entry.value.get("isSidechain"):
        turn.answer, turn.answered, turn.model = text, entry.when, str(entry.message.get("model") or "")


def _user(entry: _Entry, turns: dict[str, _Turn]) -> Iterator[tuple[int, Span]]:
    value, content = entry.value, entry.message.get("content")
    words = users_words(content if isinstance(content, str) else "\n".join(entry.texts))
    is_own = words and not words.startswith(("Caveat: The messages below", "[Request interrupted by user"))
    if not is_own or value.get("isMeta") or value.get("isSidechain") or value.get("isCompactSummary"):
        return
    if before := turns.pop(entry.session, None):
        yield before.span()
    turns[entry.session] = _Turn(entry, words)


def _result(entry: _Entry, block: dict[str, Any], calls: Calls) -> Span:
    given, key = entry.value.get("toolUseResult"), block.get("tool_use_id")
    text = failed_text(block.get("content")) or text_of(given)
    is_error = block.get("is_error") is True or str(given or "").startswith("Error:")
    if as_object(given).get("interrupted") is True and not text:
        is_error, text = True, "[Request interrupted by user]"
    begun, use = calls.pop(str(key), (entry, {"name": "unknown", "id": key}))
    return _call(begun, use, entry.when, "error" if is_error else "ok", text[:_TAIL] if is_error else "")


def _call(entry: _Entry, block: dict[str, Any], end: int, status: str, error: str) -> Span:
    name = str(block.get("name") or "unknown")
    return Span(
        **entry.common(str(block.get("id") or entry.value.get("uuid"))),
        name=name,
        start_ns=entry.when,
        end_ns=end,
        status=status,
        status_message=error,
        attributes={
            **entry.about,
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": name,
            "gen_ai.tool.call.id": block.get("id"),
            "gen_ai.tool.call.arguments": block.get("input"),
            "gen_ai.request.model": entry.message.get("model"),
        },
    )
