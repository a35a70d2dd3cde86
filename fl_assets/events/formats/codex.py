"""Rollouts of the Codex CLI (`~/.codex/sessions/**/rollout-*.jsonl`): tool calls, errors and turns.

Source: openai/codex, `codex-rs/protocol/src/protocol.rs` (`RolloutItem`, `EventMsg`) and `models.rs`
(`ResponseItem`).
"""

import re
from collections.abc import Iterator
from typing import Any

from fl_assets.events.formats.marks import has_all, has_any, json_key
from fl_assets.events.formats.messages import users_words
from fl_assets.events.formats.readers import Records, file_reader
from fl_assets.events.formats.seam import Format
from fl_assets.events.formats.spans import Span, turn_span
from fl_assets.events.formats.tool_results import error_in_result
from fl_assets.events.formats.values import (
    NoTimesError,
    as_object,
    decoded,
    first,
    iso_ns,
    objects_of,
    text_of,
)

_EXIT = re.compile(r"(?:Process exited with code|Exit code:?|exit_code\W+)\s*(-?\d+)")
_OUTPUT = re.compile(r"^Output:\n", re.MULTILINE)
_REFUSED = re.compile(
    r"(?i)(?:(?:chunk id|wall time|original token count): [^\n]*\n)*(?:output:\n)?"
    r"(?:error:|failed to|execution error|(?:exec |shell )?(?:command )?(?:aborted|rejected) by user"
    r"|unsupported call|\w+ (?:verification )?failed\b|failed in sandbox|command timed out)"
)
"""How an output begins that is no output, behind what Codex says of the command."""
_CALLS = frozenset({"function_call", "custom_tool_call", "local_shell_call"})
_RESULTS = frozenset({"function_call_output", "custom_tool_call_output"})
_ERRORS = frozenset({"error", "stream_error"})
_TAIL = 2000


class _Session:
    """State of a session, as of the lines read so far."""

    def __init__(self) -> None:
        self.about: dict[str, Any] = {}
        self.model = ""
        self.calls: dict[str, tuple[int, int, dict[str, Any]]] = {}
        self.errors: dict[str, str] = {}
        """Errors that events tell before a call's output, by the call's id."""
        self.asked: tuple[int, int, str] | None = None
        self.answer, self.answered = "", 0

    @property
    def common(self) -> dict[str, Any]:
        return {
            "trace_id": first(self.about, ("id", "session_id")) or "unknown",
            "parent_id": "",
            "resource": {"service.name": "codex"},
        }

    def values(self, **more: Any) -> dict[str, Any]:
        known = {
            "session.id": first(self.about, ("id", "session_id")),
            "gen_ai.request.model": self.model,
            "agent_version": self.about.get("cli_version"),
        }
        return {key: value for key, value in {**known, **more}.items() if value not in (None, "")}


def _of_file(records: Records) -> Iterator[tuple[int, Span | str]]:
    session = _Session()
    for line, value in records:
        if isinstance(value, dict) and isinstance(value.get("items"), list):
            message = (
                "codex: items without times belong to no day; "
                "send the rollout file itself (~/.codex/sessions)"
            )
            raise NoTimesError(message)
        raw = as_object(value)
        payload = as_object(raw.get("payload"))
        try:
            when = iso_ns(raw.get("timestamp"), "timestamp")
        except ValueError as error:
            yield line, str(error)
            continue
        if raw.get("type") == "session_meta":
            session.about = as_object(payload.get("meta")) or payload
        elif raw.get("type") == "turn_context":
            session.model = str(payload.get("model") or session.model)
        elif not when:
            yield line, "a line has no timestamp"
        elif raw.get("type") == "response_item":
            yield from _item(session, line, when, payload)
        elif raw.get("type") == "event_msg":
            yield from _event(session, line, when, payload)
    for line, begun, call in session.calls.values():
        yield line, _call(session, call, begun, 0, "")
    yield from _turn(session)


read = file_reader(_of_file, "lines")

FORMAT = Format(
    name="codex",
    description="Rollouts of the Codex CLI (`~/.codex/sessions`, JSONL).",
    matches=has_any(
        has_all(
            rb'"type"\s*:\s*"(?:session_meta|response_item|event_msg|turn_context)"', json_key("payload")
        ),
        has_all(rb'^\s*\{\s*"items"\s*:\s*\[\s*\{\s*"type"\s*:'),
    ),
    read=read,
)


def _item(session: _Session, line: int, when: int, item: dict[str, Any]) -> Iterator[tuple[int, Span]]:
    kind = str(item.get("type"))
    if kind in _CALLS:
        session.calls[str(item.get("call_id") or item.get("id"))] = (line, when, item)
    elif kind in _RESULTS:
        key = str(item.get("call_id"))
        begun, call = session.calls.pop(key, (line, when, item))[1:]
        error = session.errors.pop(key, "")
        yield line, _call(session, call, begun, when, _error(item.get("output")) or error)
    elif kind == "message":
        text = "\n".join(str(part.get("text") or "") for part in objects_of(item.get("content")))
        if item.get("role") == "user":
            yield from _asked(session, line, when, text)
        elif item.get("role") == "assistant" and text.strip():
            session.answer, session.answered = text.strip(), when


def _event(session: _Session, line: int, when: int, event: dict[str, Any]) -> Iterator[tuple[int, Span]]:
    kind = str(event.get("type"))
    if kind in _ERRORS:
        message = first(event, ("message",))
        attributes = session.values(**{"gen_ai.operation.name": "chat"})
        yield (
            line,
            Span(
                **session.common,
                span_id=f"{kind}-{when}",
                name="chat",
                start_ns=when,
                end_ns=when,
                status="error",
                status_message=message,
                attributes=attributes,
            ),
        )
    elif kind.endswith("_end") and (error := _error_of_end(event)):
        session.errors[str(event.get("call_id"))] = error
    elif kind == "turn_aborted":
        for begun_at, begun, call in session.calls.values():
            yield begun_at, _call(session, call, begun, when, "aborted by user")
        session.calls.clear()
    elif kind == "user_message":
        yield from _asked(session, line, when, first(event, ("message",)))
    elif kind == "agent_message" and first(event, ("message",)):
        session.answer, session.answered = first(event, ("message",)), when


def _asked(session: _Session, line: int, when: int, text: str) -> Iterator[tuple[int, Span]]:
    """Begin a turn, once: a rollout has each message as an item and as an event."""
    words = users_words(text)
    if not words or words.startswith(("<", "# AGENTS.md")):
        return
    if session.asked and session.asked[2] == words and not session.answer:
        return
    yield from _turn(session)
    session.asked, session.answer, session.answered = (line, when, words), "", 0


def _turn(session: _Session) -> Iterator[tuple[int, Span]]:
    if session.asked is None:
        return
    line, when, words = session.asked
    answer = (session.answered, session.answer)
    yield line, turn_span(session.common, f"turn-{when}", (when, words), answer, session.values())
    session.asked = None


def _call(session: _Session, call: dict[str, Any], begun: int, end: int, error: str) -> Span:
    name = first(call, ("name",)) or ("shell" if call.get("type") == "local_shell_call" else "unknown")
    return Span(
        **session.common,
        span_id=str(call.get("call_id") or call.get("id")),
        name=name,
        start_ns=begun,
        end_ns=end,
        status="error" if error else "unset",
        status_message=error,
        attributes=session.values(
            **{
                "gen_ai.operation.name": "execute_tool",
                "gen_ai.tool.name": name,
                "gen_ai.tool.call.id": call.get("call_id"),
                "gen_ai.tool.call.arguments": call.get("arguments")
                or call.get("input")
                or call.get("action"),
            }
        ),
    )


def _error_of_end(event: dict[str, Any]) -> str:
    """Give the error of a call that an event says is done: of MCP, a command, or a patch; '' without one."""
    result = as_object(event.get("result"))
    if error := text_of(result.get("Err")) or error_in_result(result.get("Ok")):
        return error[:_TAIL]
    code = event.get("exit_code", int(event.get("success") is False))
    said = first(event, ("stderr", "aggregated_output", "formatted_output", "stdout"))
    return f"exit code {code}: {said[-_TAIL:]}".removesuffix(": ") if isinstance(code, int) and code else ""


def _error(output: Any) -> str:
    """Give the error that an output tells of; '' when it succeeded.

    It failed by an exit code that is not zero, by `success: false`, or by the words of a refusal.
    """
    value = decoded(output)
    whole = as_object(value)
    text = text_of(whole.get("output") or whole.get("content") or value) if whole else text_of(value)
    code = as_object(whole.get("metadata")).get("exit_code")
    match = _EXIT.search(text[:1000])
    failed = (
        (isinstance(code, int) and code != 0)
        or (code is None and match is not None and int(match[1]) != 0)
        or whole.get("success") is False
    )
    if not failed:
        return text[:_TAIL] if _REFUSED.match(text) else ""
    body = _OUTPUT.split(text, maxsplit=1)[-1].strip()
    code = code if isinstance(code, int) else match[1] if match else 1
    return f"exit code {code}: {body[-_TAIL:]}" if body else f"exit code {code}"
