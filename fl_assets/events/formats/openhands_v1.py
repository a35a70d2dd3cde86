"""Events of OpenHands' software-agent SDK (v1), and trajectories of 0.x: calls, errors and messages.

Source: OpenHands/software-agent-sdk, `openhands-sdk/openhands/sdk/event`; OpenHands/OpenHands 0.x,
`openhands/events/serialization`. Times have no zone and are read as UTC.
"""

from collections.abc import Iterator
from typing import Any

from fl_assets.events.formats.marks import has_all
from fl_assets.events.formats.readers import Records, file_reader
from fl_assets.events.formats.seam import Format
from fl_assets.events.formats.spans import Span, turn_span
from fl_assets.events.formats.values import as_list, as_object, first, iso_ns, objects_of

_TAIL = 2000


def _of_file(records: Records) -> Iterator[tuple[int, Span | str]]:
    events: list[tuple[int, int, dict[str, Any]]] = []
    for line, value in records:
        for entry in value if isinstance(value, list) else as_list(as_object(value).get("items")) or [value]:
            event = as_object(entry)
            try:
                when = iso_ns(event.get("timestamp"), "timestamp")
            except ValueError as error:
                yield line, str(error)
                continue
            if when:
                events.append((line, when, _of_0x(event, when) if _is_0x(event) else event))
            else:
                yield line, "an event has no timestamp"
    if events:
        yield from _spans(events)


read = file_reader(_of_file, "events")

FORMAT = Format(
    name="openhands_v1",
    description="Events of OpenHands' software-agent SDK, and trajectories of 0.x (JSON, JSONL).",
    matches=has_all(
        rb'"(?<!\\")kind"\s*:\s*"(?:\w+Event|\w+Observation|\w+Action)"'
        rb'|"(?<!\\")action"\s*:\s*"\w+"\s*,\s*"args"\s*:\s*\{|"(?<!\\")observation"\s*:\s*"\w+"\s*,\s*"content"',
        rb'"(?<!\\")source"\s*:\s*"(?:agent|user|environment)"',
    ),
    read=read,
)
_NO_CALLS = frozenset(
    {"system", "recall", "think", "null", "condensation", "change_agent_state", "agent_state_changed"}
)
"""Of 0.x: what the program does by itself."""


def _is_0x(event: dict[str, Any]) -> bool:
    return isinstance(event.get("action") or event.get("observation"), str)


def _of_0x(event: dict[str, Any], when: int) -> dict[str, Any]:
    """Return an event of 0.x, whose observations name their action by its number, as one of v1."""
    args, action, seen = as_object(event.get("args")), event.get("action"), event.get("observation")
    about = {"id": f"{when}-{event.get('id')}", "source": event.get("source")}
    if (action or seen) in _NO_CALLS:
        return about
    if action == "message":
        role = "user" if event.get("source") == "user" else "assistant"
        return {**about, "llm_message": {"role": role, "content": args.get("content")}}
    if action:
        said = {"message": first(args, ("final_thought", "thought")) or first(event, ("message",))}
        args = said if action == "finish" else args
        return {**about, "tool_name": action, "action_id": str(event.get("id")), "action": args}
    text = first(event, ("content",))
    found = {**as_object(event.get("extras")), "content": text}
    found["is_error"] = seen == "error" or text.startswith("ERROR:")
    kind = "UserRejectObservation" if seen == "user_rejected" else ""
    result = {"tool_name": seen, "action_id": str(event.get("cause")), "observation": found}
    return {**about, **result, "kind": kind}


def _text(parts: Any) -> str:
    if isinstance(parts, str):
        return parts.strip()
    return "\n".join(str(part.get("text") or "") for part in objects_of(parts)).strip()


def _spans(events: list[tuple[int, int, dict[str, Any]]]) -> Iterator[tuple[int, Span]]:
    session = next(
        (first(event, ("conversation_id",)) for _, _, event in events if event.get("conversation_id")), ""
    ) or _of_one_file(events)
    conversation = _Conversation(session)
    for line, when, event in events:
        yield from conversation.next(line, when, event)
    yield from conversation.end()


class _Conversation:
    """The state of a conversation: calls without a result yet, and the open question."""

    def __init__(self, session: str) -> None:
        self._session = session
        resource = {"service.name": "openhands"}
        self._common: dict[str, Any] = {"trace_id": session, "parent_id": "", "resource": resource}
        self._calls: dict[str, tuple[int, int, dict[str, Any]]] = {}
        self._asked: tuple[int, int, str, str] | None = None

    def next(self, line: int, when: int, event: dict[str, Any]) -> Iterator[tuple[int, Span]]:
        """Yield the spans that an event completes."""
        kind = str(event.get("kind") or "")
        key = str(event.get("tool_call_id") or event.get("action_id") or "")
        if _is_action(kind, event):
            self._calls[key] = (line, when, event)
            if event.get("tool_name") == "finish":
                yield from self._answer(when, first(as_object(event.get("action")), ("message",)))
        elif "observation" in event or kind in {"AgentErrorEvent", "UserRejectObservation"}:
            begun, action = self._calls.pop(key, (line, 0, event))[1:]
            yield line, self._call(action, event, begun, when)
        elif kind in {"ConversationErrorEvent", "ConversationError"} or _is_error(event):
            yield line, self._failed(event, when)
        elif message := as_object(event.get("llm_message")):
            yield from self._message(line, when, event, message)

    def _message(
        self, line: int, when: int, event: dict[str, Any], message: dict[str, Any]
    ) -> Iterator[tuple[int, Span]]:
        text = _text(message.get("content"))
        if message.get("role") == "user" and event.get("source") == "user" and text:
            if self._asked:
                yield from self._answer(self._asked[1], "")
            self._asked = (line, when, str(event.get("id") or when), text)
        elif message.get("role") == "assistant" and text:
            yield from self._answer(when, text)

    def _answer(self, when: int, text: str) -> Iterator[tuple[int, Span]]:
        if self._asked:
            line, begun, key, words = self._asked
            about = {"session.id": self._session}
            yield line, turn_span(self._common, f"turn-{key}", (begun, words), (when, text), about)
            self._asked = None

    def end(self) -> Iterator[tuple[int, Span]]:
        """Yield what has no end in the file: calls without a result, a question without an answer."""
        for line, begun, action in self._calls.values():
            if action.get("tool_name") != "finish":
                yield line, self._call(action, {}, begun, 0)
        if self._asked:
            yield from self._answer(self._asked[1], "")

    def _failed(self, event: dict[str, Any], when: int) -> Span:
        attributes = {
            "session.id": self._session,
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.agent.name": "openhands",
        }
        error = f"{first(event, ('code',))}: {first(event, ('detail', 'message'))}"
        return Span(
            **self._common,
            span_id=str(event.get("id")),
            name="conversation",
            start_ns=when,
            end_ns=when,
            status="error",
            status_message=error.removeprefix(": "),
            attributes=attributes,
        )

    def _call(self, action: dict[str, Any], result: dict[str, Any], begun: int, end: int) -> Span:
        found = as_object(result.get("observation"))
        code = found.get("exit_code")
        if code is None:
            code = as_object(found.get("metadata")).get("exit_code")
        reasons = ("error", "rejection_reason")
        text = _text(found.get("content") or found.get("output")) or first(result, reasons)
        has_failed = isinstance(code, int) and code > 0
        is_error = found.get("is_error") is True or bool(result.get("error")) or has_failed
        if result.get("kind") == "UserRejectObservation":
            is_error, text = True, f"rejected by user: {text}"
        name = first(action, ("tool_name",)) or first(result, ("tool_name",)) or "unknown"
        arguments = as_object(action.get("tool_call")).get("arguments")
        return Span(
            **self._common,
            span_id=str(action.get("tool_call_id") or result.get("tool_call_id") or action.get("id")),
            name=name,
            start_ns=begun,
            end_ns=end,
            status="error" if is_error else "ok" if result else "unset",
            status_message=(text[-_TAIL:] or f"exit code {code}") if is_error else "",
            attributes={
                "session.id": self._session,
                "gen_ai.operation.name": "execute_tool",
                "gen_ai.tool.name": name,
                "gen_ai.tool.call.id": action.get("tool_call_id"),
                "gen_ai.tool.call.arguments": arguments or action.get("action"),
                "exit_code": code if isinstance(code, int) and code >= 0 and is_error else None,
            },
        )


def _is_action(kind: str, event: dict[str, Any]) -> bool:
    has_call = "action" in event and "tool_name" in event
    return kind == "ActionEvent" or (has_call and "observation" not in event)


def _is_error(event: dict[str, Any]) -> bool:
    return bool(event.get("code") and event.get("detail"))


def _of_one_file(events: list[tuple[int, int, dict[str, Any]]]) -> str:
    """Return a session for a file without one: where each event is a file, the call's id."""
    calls = {str(event.get("tool_call_id") or "") for _, _, event in events}
    only = calls.pop() if len(calls) == 1 else ""
    return only or str(events[0][2].get("id") or events[0][1])
