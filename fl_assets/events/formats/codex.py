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
from fl_assets.events.formats.spans import Session, Span, UsersQuestion
from fl_assets.events.formats.tool_results import error_in_result
from fl_assets.events.formats.values import (
    NoTimesError,
    as_object,
    decoded,
    first,
    iso_ns,
    objects_of,
    present,
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
_TAIL = 2000
_NO_TIMES = "codex: items without times belong to no day; send the rollout file itself (~/.codex/sessions)"


def _of_file(records: Records) -> Iterator[tuple[int, Span | str]]:
    rollout = _Rollout()
    for line, value in records:
        raw = as_object(value)
        if isinstance(raw.get("items"), list):
            raise NoTimesError(_NO_TIMES)
        payload = as_object(raw.get("payload"))
        try:
            when = iso_ns(raw.get("timestamp"), "timestamp")
        except ValueError as error:
            yield line, str(error)
            continue
        if raw.get("type") == "session_meta":
            rollout.about = as_object(payload.get("meta")) or payload
        elif raw.get("type") == "turn_context":
            rollout.model = str(payload.get("model") or rollout.model)
        elif not when:
            yield line, "a line has no timestamp"
        elif raw.get("type") == "response_item":
            yield from rollout.item(line, when, payload)
        elif raw.get("type") == "event_msg":
            yield from rollout.event(line, when, payload)
    yield from rollout.end()


class _Rollout:
    """A session, as of the lines read so far."""

    def __init__(self) -> None:
        self.about: dict[str, Any] = {}
        self.model = ""
        self._calls: dict[str, tuple[int, int, dict[str, Any]]] = {}
        self._errors: dict[str, str] = {}
        """Errors that events tell before a call's output, by the call's id."""
        self._question: UsersQuestion | None = None

    @property
    def _session(self) -> Session:
        key = first(self.about, ("id", "session_id"))
        about = {"gen_ai.request.model": self.model, "agent_version": self.about.get("cli_version")}
        return Session(key or "unknown", "codex", present({"session.id": key, **about}))

    def item(self, line: int, when: int, item: dict[str, Any]) -> Iterator[tuple[int, Span]]:
        """Yield the spans that an item of the conversation completes."""
        kind = str(item.get("type"))
        if kind in _CALLS:
            self._calls[str(item.get("call_id") or item.get("id"))] = (line, when, item)
        elif kind in _RESULTS:
            key = str(item.get("call_id"))
            begun, call = self._calls.pop(key, (line, when, item))[1:]
            told = self._errors.pop(key, "")
            yield line, self._call(call, begun, when, _error(item.get("output")) or told)
        elif kind == "message":
            text = "\n".join(str(part.get("text") or "") for part in objects_of(item.get("content")))
            if item.get("role") == "user":
                yield from self._asked(line, when, text)
            elif item.get("role") == "assistant":
                self._answered(when, text.strip())

    def event(self, line: int, when: int, event: dict[str, Any]) -> Iterator[tuple[int, Span]]:
        """Yield the spans that an event completes."""
        kind, message = str(event.get("type")), first(event, ("message",))
        if kind in ("error", "stream_error"):
            key, times = f"{kind}-{when}", (when, when)
            yield line, self._session.span(key, "chat", "chat", times, message, status="error")
        elif kind.endswith("_end") and (error := _error_of_end(event)):
            self._errors[str(event.get("call_id"))] = error
        elif kind == "turn_aborted":
            for begun_at, begun, call in self._calls.values():
                yield begun_at, self._call(call, begun, when, "aborted by user")
            self._calls.clear()
        elif kind == "user_message":
            yield from self._asked(line, when, message)
        elif kind == "agent_message":
            self._answered(when, message)

    def end(self) -> Iterator[tuple[int, Span]]:
        """Yield what has no end in the file: calls without a result, the last question."""
        for line, begun, call in self._calls.values():
            yield line, self._call(call, begun, 0, "")
        if self._question:
            yield self._question.turn(self._session)

    def _asked(self, line: int, when: int, text: str) -> Iterator[tuple[int, Span]]:
        """Begin a turn, once: a rollout has each message as an item and as an event."""
        words, before = users_words(text), self._question
        is_inserted = not words or words.startswith(("<", "# AGENTS.md"))
        if is_inserted or (before and before.words == words and not before.answer):
            return
        if before:
            yield before.turn(self._session)
        self._question = UsersQuestion(line, f"turn-{when}", when, words)

    def _answered(self, when: int, text: str) -> None:
        if self._question and text:
            self._question.answered(when, text)

    def _call(self, call: dict[str, Any], begun: int, end: int, error: str) -> Span:
        arguments = call.get("arguments") or call.get("input") or call.get("action")
        about = {"gen_ai.tool.call.id": call.get("call_id"), "gen_ai.tool.call.arguments": arguments}
        name = first(call, ("name",)) or ("shell" if call.get("type") == "local_shell_call" else "unknown")
        key = str(call.get("call_id") or call.get("id"))
        return self._session.span(key, "execute_tool", name, (begun, end), error, more=about)


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


FORMAT = Format(
    "codex",
    "Rollouts of the Codex CLI (`~/.codex/sessions`, JSONL).",
    has_any(
        has_all(
            json_key("type", rb'"(?:session_meta|response_item|event_msg|turn_context)"'), json_key("payload")
        ),
        has_all(rb'^\s*\{\s*"items"\s*:\s*\[\s*\{\s*"type"\s*:'),
    ),
    file_reader(_of_file, "lines"),
)
