"""Rollouts of the Codex CLI (`~/.codex/sessions/**/rollout-*.jsonl`): tool calls, errors and turns.

Source: openai/codex, `codex-rs/protocol/src/protocol.rs` (`RolloutItem`, `EventMsg`), `models.rs`
(`ResponseItem`) and `items.rs` (`TurnItem`, which releases since 0.147 write instead of other events).
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from fl_assets.events.formats.marks import has_all, has_any, json_key
from fl_assets.events.formats.messages import users_words, words_of
from fl_assets.events.formats.readers import Found, Records, each_taken, file_reader, or_reason
from fl_assets.events.formats.seam import Format
from fl_assets.events.formats.spans import Session, Span, UsersQuestion
from fl_assets.events.formats.times import NoTimesError, iso_ns
from fl_assets.events.formats.tool_results import error_in_result, failed_text
from fl_assets.events.formats.values import (
    as_list,
    as_object,
    decoded,
    first,
    number_of,
    objects_of,
    present,
    text_of,
)

_EXIT = re.compile(r"(?:(?:Process exited with code|Exit code:?)\s*+|exit_code[^\w-]++)(-?\d+)")
_OUTPUT = re.compile(r"^Output:\n", re.MULTILINE)
_REFUSED = re.compile(
    r"(?i)(?:(?:chunk id|wall time|original token count): [^\n]*\n)*(?:output:\n)?"
    r"(?:error:|failed to|execution error|(?:exec |shell )?(?:command )?(?:aborted|rejected) by user"
    r"|unsupported call|script failed|\w+ (?:verification )?failed\b|failed in sandbox|command timed out)"
)
"""How an output begins that is no output, behind what Codex says of the command."""
_CALLS = frozenset({"function_call", "custom_tool_call", "local_shell_call"})
_RESULTS = frozenset({"function_call_output", "custom_tool_call_output"})
_ERRORS = frozenset({"error", "stream_error", "task_complete"})
_ENDS = _ERRORS | {"task_started", "turn_aborted"}
_NAMES = {
    "CommandExecution": "exec_command",
    "FileChange": "apply_patch",
    "WebSearch": "web_search",
    "web_search_call": "web_search",
    "local_shell_call": "shell",
}
"""Names of calls that have none of their own, by type."""
_VERSION_7 = re.compile(r"([0-9a-f]{8})-([0-9a-f]{4})-7[0-9a-f]{3}-.{4}-.{12}")
_REPLAY_NS = 5 * 10**9
"""Time in which a fork has written the history that it begins with, after its first line."""
_TAIL = 2000
_NO_TIMES = "codex: items without times belong to no day; send the rollout file itself (~/.codex/sessions)"


def _of_file(records: Records) -> Iterator[tuple[int, Found]]:
    rollout = _Rollout()
    yield from each_taken(records, rollout.take)
    yield from rollout.end()


@dataclass(slots=True)
class _Call:
    """What a rollout says of a call, in one line or several; times are 0 where unknown."""

    line: int
    begun: int = 0
    ended: int = 0
    name: str = ""
    arguments: Any = None
    error: str = ""
    parent: str = ""


class _Rollout:
    """A session, as of the lines read so far."""

    def __init__(self) -> None:
        self.about: dict[str, Any] = {}
        self.model = ""
        self.is_undated = False
        """Whether items have no times: they are then of the session's begin, a nanosecond apart."""
        self._begun, self._forked_ms = 0, 0
        self._calls: dict[str, _Call] = {}
        self._open: list[_Call] = []
        """Those made since a turn was stopped."""
        self._searches: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
        """Web searches of which only a line without an id tells, or only an item: keys by type and query."""
        self._keys: Counter[str] = Counter()
        self._script = ""
        """The open call whose code makes calls of its own."""
        self._told = ""
        """The last error of the turn."""
        self._question: UsersQuestion | None = None

    def take(self, line: int, value: Any) -> Iterator[tuple[int, Found]]:
        """Yield the spans that a line completes."""
        raw = as_object(value)
        if self.is_undated or "items" in raw or ("instructions" in raw and "type" not in raw):
            yield from self._undated(line, raw)
            return
        payload, when = as_object(raw.get("payload")), iso_ns(raw.get("timestamp"), "timestamp")
        if raw.get("type") == "session_meta":
            self.begins(when, as_object(payload.get("meta")) or payload)
        elif raw.get("type") == "turn_context":
            self.model = str(payload.get("model") or self.model)
        elif not when:
            yield line, "a line has no timestamp"
        elif self.inherits(when, payload):
            return
        elif raw.get("type") == "response_item":
            yield from self.item(line, when, payload)
        elif raw.get("type") == "event_msg":
            yield from self.event(line, when, payload)

    def _undated(self, line: int, raw: dict[str, Any]) -> Iterator[tuple[int, Span]]:
        """Yield the spans of a line of mid 2025: items without times, behind a header or beside it."""
        items = objects_of(raw.get("items")) if "items" in raw else [raw]
        header = as_object(raw.get("session")) or raw
        if not self.is_undated:
            if not (begun := iso_ns(header.get("timestamp"), "timestamp")):
                raise NoTimesError(_NO_TIMES)
            self.begins(begun, header)
            self.is_undated = True
        for item in items:
            self._begun += 1
            yield from self.item(line, self._begun, item)

    def begins(self, when: int, about: dict[str, Any]) -> None:
        """Take what a session says of itself; a fork copies its parent's words after its own."""
        if not self.about:
            self.about, self._begun = about, when
            self._forked_ms = _minted_ms(about.get("id")) if about.get("forked_from_id") else 0

    def inherits(self, when: int, payload: dict[str, Any]) -> bool:
        """Whether a line is of the history that a fork begins with: its turns are older than the fork."""
        if self._forked_ms:
            is_own = _minted_ms(payload.get("turn_id")) >= self._forked_ms
            self._forked_ms = 0 if is_own or when > self._begun + _REPLAY_NS else self._forked_ms
        return bool(self._forked_ms)

    @property
    def _session(self) -> Session:
        key = first(self.about, ("id", "session_id"))
        about = {"gen_ai.request.model": self.model, "agent_version": self.about.get("cli_version")}
        return Session(key or "unknown", "codex", present({"session.id": self._order_of or key, **about}))

    @property
    def _order_of(self) -> str:
        """The session whose agent gives the orders in this one; '' where a person does."""
        source = as_object(self.about.get("source")).get("subagent")
        spawned = as_object(as_object(source).get("thread_spawn"))
        parent = first(self.about, ("parent_thread_id",)) or first(spawned, ("parent_thread_id",))
        is_subagent = source or parent or self.about.get("thread_source") == "subagent"
        return (parent or first(self.about, ("session_id",))) if is_subagent else ""

    def item(self, line: int, when: int, item: dict[str, Any]) -> Iterator[tuple[int, Span]]:
        """Yield the spans that an item of the conversation completes."""
        kind, given = str(item.get("type")), item.get("call_id") or item.get("id")
        key = str(given or f"{kind}-{when}-{len(self._calls)}")
        if kind == "web_search_call" and not given:
            key = self._search(key, item, "WebSearch")
        if kind in _CALLS or kind == "web_search_call":
            call = self._call(key, line)
            call.begun, call.name = when, _name_of(item)
            call.arguments = item.get("arguments") or item.get("input") or item.get("action")
            if kind == "web_search_call":  # made by the model's maker: it is written when it is done
                call.begun, call.ended = 0, when
            elif kind == "custom_tool_call" and call.name == "exec":
                self._script = key
        elif kind in _RESULTS:
            call = self._call(key, line)
            call.ended, call.error = when, _error(item.get("output")) or call.error
            call.name = call.name or "unknown"
            self._script = "" if key == self._script else self._script
        elif kind == "message":
            text = words_of(item.get("content"))
            if item.get("role") == "user":
                yield from self._asked(line, when, text)
            elif item.get("role") == "assistant":
                self._answered(when, text)

    def event(self, line: int, when: int, event: dict[str, Any]) -> Iterator[tuple[int, Span]]:
        """Yield the spans that an event completes."""
        kind, message = str(event.get("type")), first(event, ("message",))
        if kind in _ENDS:
            yield from self._stopped(line, when, kind, failed_text(event.get("error")) or message)
        elif kind == "item_completed":
            yield from self._completed(line, when, event)
        elif kind.endswith("_end") and (error := _error_of_end(event)):
            call = self._call(str(event.get("call_id")), line)
            call.error = call.error or error
        elif kind == "user_message":
            yield from self._asked(line, when, message)
        elif kind == "agent_message":
            self._answered(when, message)

    def end(self) -> Iterator[tuple[int, Found]]:
        """Yield the calls, of which several lines may tell, and the last question."""
        for key, call in self._calls.items():
            if call.name:
                yield call.line, or_reason(self._span, key, call)
        if self._question:
            yield self._question.turn(self._session)

    def _stopped(self, line: int, when: int, kind: str, error: str) -> Iterator[tuple[int, Span]]:
        """Take how a turn ends, or that one begins; of an error at its end two events may tell."""
        if kind == "turn_aborted":
            for call in self._open:
                if not call.ended:
                    call.ended, call.error = when, "aborted by user"
            self._open = []
        if kind in _ERRORS and (kind != "task_complete" or error not in ("", self._told)):
            key, times = self._once(f"{kind}-{when}"), (when, when)
            yield line, self._session.span(key, "chat", "chat", times, error, status="error")
        self._told = error

    def _completed(self, line: int, when: int, event: dict[str, Any]) -> Iterator[tuple[int, Span]]:
        """Take a whole item of a turn: words, or a call, which other lines may tell of too."""
        item = as_object(event.get("item"))
        kind = str(item.get("type"))
        if kind == "UserMessage":
            yield from self._asked(line, when, words_of(item.get("content")))
        elif kind == "AgentMessage":
            self._answered(when, words_of(item.get("content")))
        elif name := _name_of(item):
            key = str(item.get("id") or item.get("call_id") or f"{kind}-{when}-{len(self._calls)}")
            if kind == "WebSearch" and key not in self._calls:
                key = self._search(key, item, "web_search_call")
            is_new = key not in self._calls
            call = self._call(key, line)
            if is_new:
                took = _took_ns(item)
                call.begun, call.name, call.parent = (
                    (max(0, when - took) if took else 0),
                    name,
                    self._script,
                )
                call.arguments = item.get("arguments") or item.get("command") or item.get("query")
            call.ended, call.error = call.ended or when, call.error or _error_of_item(item)

    def _once(self, key: str) -> str:
        """Give a key; of another one of the same kind and time with its number, in the order of the file."""
        self._keys[key] += 1
        return key if self._keys[key] == 1 else f"{key}-{self._keys[key]}"

    def _call(self, key: str, line: int) -> _Call:
        if key not in self._calls:
            self._calls[key] = _Call(line)
            self._open.append(self._calls[key])
        return self._calls[key]

    def _search(self, key: str, item: dict[str, Any], other: str) -> str:
        """Give the key of a web search: that of a line of the other type that tells of it, else its own."""
        query = _query_of(item)
        if told := self._searches[other, query]:
            return told.pop(0)
        self._searches[str(item.get("type")), query].append(key)
        return key

    def _asked(self, line: int, when: int, text: str) -> Iterator[tuple[int, Span]]:
        """Begin a turn, once: a rollout has each message as an item and as an event."""
        words, before = users_words(text), self._question
        is_inserted = not words or words.startswith(("<", "# AGENTS.md")) or bool(self._order_of)
        if is_inserted or (before and before.words == words and not before.answer):
            return
        if before:
            yield before.turn(self._session)
        self._question = UsersQuestion(line, self._once(f"turn-{when}"), when, words)

    def _answered(self, when: int, text: str) -> None:
        if self._question and text:
            self._question.answered(when, text)

    def _span(self, key: str, call: _Call) -> Span:
        about = {"gen_ai.tool.call.id": key, "gen_ai.tool.call.arguments": call.arguments}
        begun = 0 if self.is_undated and call.ended else call.begun
        times, status = (begun, call.ended), "ok" if call.ended and not call.error else ""
        span = self._session.span(
            key, "execute_tool", call.name, times, call.error, status=status, more=about
        )
        return replace(span, parent_id=call.parent)


def _name_of(item: dict[str, Any]) -> str:
    """Name a call by its tool, with the MCP server or the namespace that has it; '' for what is none."""
    server, space = first(item, ("server",)), first(item, ("namespace",)).rstrip("_")
    name = first(item, ("name", "tool")) or _NAMES.get(str(item.get("type")), "")
    space = f"mcp__{server}" if server else space
    return f"{space}__{name}" if space and name else name


def _query_of(item: dict[str, Any]) -> str:
    """Give what a web search looks for: words, or the page that it opens."""
    action = as_object(item.get("action"))
    words = {**action, "queries": next(iter(as_list(action.get("queries"))), None)}
    return first(words, ("query", "queries", "url")) or first(item, ("query",))


def _minted_ms(key: Any) -> int:
    """Give when an id was made, in milliseconds since 1970, which UUIDs of version 7 begin with; else 0."""
    match = _VERSION_7.fullmatch(str(key))
    return int(match[1] + match[2], 16) if match else 0


def _took_ns(item: dict[str, Any]) -> int:
    took = as_object(item.get("duration"))
    whole, rest = (number_of(took, (key,)) or 0 for key in ("secs", "nanos"))
    millis = number_of(item, ("duration_ms", "durationMs")) or 0
    return int(whole * 1e9 + rest + millis * 1e6)


def _error_of_item(item: dict[str, Any]) -> str:
    """Give the error of a completed item; '' when it succeeded."""
    status = item.get("status")
    if status == "declined":
        return "rejected by user"
    error = failed_text(item.get("error")) or _error_of_end(item)
    said = words_of(item.get("content_items")) or first(item, ("stderr", "aggregated_output", "stdout"))
    return error[:_TAIL] or (said[-_TAIL:] or "failed" if status == "failed" else "")


def _error_of_end(event: dict[str, Any]) -> str:
    """Give the error of a call that an event says is done: of MCP, a command, or a patch; '' without one."""
    result = as_object(event.get("result"))
    if error := text_of(result.get("Err")) or error_in_result(result.get("Ok") or result):
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
    said = (whole.get("output") or whole.get("content") or value) if whole else value
    text = words_of(said) or text_of(said)
    code = as_object(whole.get("metadata")).get("exit_code")
    match = _EXIT.search(_OUTPUT.split(text[:1000], maxsplit=1)[0])  # what a tool prints is no outcome
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
        has_all(rb'^\s*\{\s*"session"\s*:\s*\{[^{}]*"instructions"', json_key("items", rb"\[")),
        has_all(rb'^\s*\{[^\n]*"instructions"[^\n]*\}\s*\n\s*\{\s*"(?:record_type|type)"'),
    ),
    file_reader(_of_file, "lines"),
)
