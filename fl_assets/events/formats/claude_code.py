"""Sessions of Claude Code (`~/.claude/projects/*/*.jsonl`): tool calls, API errors and turns.

Source: the files themselves (versions 1 and 2); simonw/claude-code-transcripts and daaain/claude-code-log
read the same fields.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from fl_assets.events.formats.marks import has_all, json_key
from fl_assets.events.formats.messages import users_words
from fl_assets.events.formats.readers import Records, file_reader
from fl_assets.events.formats.seam import Format
from fl_assets.events.formats.spans import Span, turn_span
from fl_assets.events.formats.tool_results import failed_text
from fl_assets.events.formats.values import as_object, iso_ns, objects_of, text_of

_TAIL = 2000


@dataclass(slots=True)
class _Turn:
    """A question of the user, and what follows until the next one."""

    line: int
    uuid: str
    when: int
    words: str
    answer: str = ""
    answered: int = 0
    model: str = ""
    about: dict[str, Any] = field(default_factory=dict)


def _of_file(records: Records) -> Iterator[tuple[int, Span | str]]:
    calls: dict[str, tuple[int, dict[str, Any], dict[str, Any]]] = {}
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
            when, message = _said(value)
        except ValueError as error:
            yield line, str(error)
            continue
        blocks = objects_of(message.get("content"))
        if value["type"] == "assistant":
            yield from _assistant(line, when, value, message, blocks, calls, turns)
        else:
            for block in blocks:
                if block.get("type") == "tool_result":
                    yield line, _result(when, value, block, calls.pop(str(block.get("tool_use_id")), None))
            yield from _user(line, when, value, message, blocks, turns)
    for line, value, block in calls.values():
        yield line, _call(value, block, 0, "unset", "")
    for turn in turns.values():
        yield _turn_span(turn)


def _said(value: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """Return the time of a line, and its message.

    Raises:
        ValueError: it has no time or no message.
    """
    when, message = iso_ns(value.get("timestamp"), "timestamp"), as_object(value.get("message"))
    if not when or not message:
        raise ValueError(f"a line of type {value['type']} has no {'message' if when else 'timestamp'}")
    return when, message


read = file_reader(_of_file, "lines")

FORMAT = Format(
    name="claude_code",
    description="Sessions of Claude Code (`~/.claude/projects`, JSONL).",
    matches=has_all(
        json_key("sessionId"),
        rb'(?<!\\)"type"\s*:\s*"(?:user|assistant)"',
        json_key("parentUuid|isSidechain|leafUuid"),
    ),
    read=read,
)


def _assistant(
    line: int,
    when: int,
    value: dict[str, Any],
    message: dict[str, Any],
    blocks: list[dict[str, Any]],
    calls: dict[str, tuple[int, dict[str, Any], dict[str, Any]]],
    turns: dict[str, _Turn],
) -> Iterator[tuple[int, Span]]:
    text = "\n".join(
        str(block.get("text") or "").strip() for block in blocks if block.get("type") == "text"
    ) or (message["content"] if isinstance(message.get("content"), str) else "")
    if value.get("isApiErrorMessage"):
        yield (
            line,
            Span(
                **_common(value),
                span_id=str(value.get("uuid") or line),
                name="chat",
                start_ns=when,
                end_ns=when,
                status="error",
                status_message=text.removeprefix("API Error:").strip(),
                attributes={**_about(value), "gen_ai.operation.name": "chat"},
            ),
        )
        return
    for block in blocks:
        if block.get("type") == "tool_use":
            calls[str(block.get("id"))] = (line, {**value, "_when": when}, block)
    turn = turns.get(_place(value))
    if turn and text and not value.get("isSidechain"):
        turn.answer, turn.answered, turn.model = text, when, str(message.get("model") or "")


def _user(
    line: int,
    when: int,
    value: dict[str, Any],
    message: dict[str, Any],
    blocks: list[dict[str, Any]],
    turns: dict[str, _Turn],
) -> Iterator[tuple[int, Span]]:
    content = message.get("content")
    text = (
        content
        if isinstance(content, str)
        else "\n".join(str(block.get("text") or "") for block in blocks if block.get("type") == "text")
    )
    words = users_words(text)
    is_own = words and not words.startswith(("Caveat: The messages below", "[Request interrupted by user"))
    if not is_own or value.get("isMeta") or value.get("isSidechain") or value.get("isCompactSummary"):
        return
    if before := turns.pop(_place(value), None):
        yield _turn_span(before)
    turns[_place(value)] = _Turn(line, str(value.get("uuid") or line), when, words, about=value)


def _place(value: dict[str, Any]) -> str:
    return str(value.get("sessionId") or "")


def _common(value: dict[str, Any]) -> dict[str, Any]:
    session = str(value.get("sessionId") or "unknown")
    return {"trace_id": session, "parent_id": "", "resource": {"service.name": "claude-code"}}


def _about(value: dict[str, Any]) -> dict[str, Any]:
    keys = {"version": "agent_version", "gitBranch": "git_branch", "isSidechain": "is_sidechain"}
    return {
        "session.id": value.get("sessionId"),
        **{name: value[key] for key, name in keys.items() if value.get(key) not in (None, "")},
    }


def _result(
    when: int,
    value: dict[str, Any],
    block: dict[str, Any],
    call: tuple[int, dict[str, Any], dict[str, Any]] | None,
) -> Span:
    told = as_object(value.get("toolUseResult"))
    text = failed_text(block.get("content")) or text_of(value.get("toolUseResult"))
    is_error = block.get("is_error") is True or str(value.get("toolUseResult") or "").startswith("Error:")
    if told.get("interrupted") is True and not text:
        is_error, text = True, "[Request interrupted by user]"
    _, begun, use = call or (0, {**value, "_when": when}, {"name": "unknown", "id": block.get("tool_use_id")})
    return _call(begun, use, when, "error" if is_error else "ok", text[:_TAIL] if is_error else "")


def _call(value: dict[str, Any], block: dict[str, Any], end: int, status: str, error: str) -> Span:
    message = as_object(value.get("message"))
    return Span(
        **_common(value),
        span_id=str(block.get("id") or value.get("uuid")),
        name=str(block.get("name") or "unknown"),
        start_ns=value["_when"],
        end_ns=end,
        status=status,
        status_message=error,
        attributes={
            **_about(value),
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": str(block.get("name") or "unknown"),
            "gen_ai.tool.call.id": block.get("id"),
            "gen_ai.tool.call.arguments": block.get("input"),
            "gen_ai.request.model": message.get("model"),
        },
    )


def _turn_span(turn: _Turn) -> tuple[int, Span]:
    about = {**_about(turn.about), "gen_ai.request.model": turn.model}
    asked, answer = (turn.when, turn.words), (turn.answered, turn.answer)
    return turn.line, turn_span(_common(turn.about), turn.uuid, asked, answer, about)
