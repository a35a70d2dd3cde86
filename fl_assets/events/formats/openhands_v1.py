"""Events of OpenHands' software-agent SDK (v1), and trajectories of 0.x: calls, errors and messages.

Source: OpenHands/software-agent-sdk, `openhands-sdk/openhands/sdk/event`; OpenHands/OpenHands 0.x,
`openhands/events/serialization`. Times have no zone and are read as UTC.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from fl_assets.events.formats.marks import has_all, json_key
from fl_assets.events.formats.readers import Found, Records, each_taken, file_reader, or_reason
from fl_assets.events.formats.seam import Format
from fl_assets.events.formats.spans import Session, Span, UsersQuestion
from fl_assets.events.formats.times import timestamp_of
from fl_assets.events.formats.values import as_object, first, objects_of

_TAIL = 2000
_NO_CALLS = frozenset(
    {"system", "recall", "think", "null", "condensation", "change_agent_state", "agent_state_changed"}
)
"""Of 0.x: what the program does by itself."""


def _of_file(records: Records) -> Iterator[tuple[int, Found]]:
    events: list[tuple[int, int, dict[str, Any]]] = []

    def taken(line: int, value: Any) -> Iterable[tuple[int, Found]]:
        event = as_object(value)
        when = timestamp_of(event, "an event has no timestamp")
        is_0x = isinstance(event.get("action") or event.get("observation"), str)
        events.append((line, when, _of_0x(event, when) if is_0x else event))
        return ()

    yield from each_taken(records, taken)
    if events:
        conversation = _Conversation(_session_of(events))
        timed = ((line, (when, event)) for line, when, event in events)
        yield from each_taken(timed, lambda line, one: conversation.next(line, *one))
        yield from conversation.end()


def _session_of(events: list[tuple[int, int, dict[str, Any]]]) -> str:
    """Return the session of a file; without one, the call's id where each event is a file."""
    known = (first(event, ("conversation_id",)) for _, _, event in events if event.get("conversation_id"))
    calls = {str(event.get("tool_call_id") or "") for _, _, event in events}
    only = calls.pop() if len(calls) == 1 else ""
    return next(known, "") or only or str(events[0][2].get("id") or events[0][1])


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


class _Conversation:
    """The state of a conversation: calls without a result yet, and the open question."""

    def __init__(self, session_id: str) -> None:
        self._session = Session(session_id, "openhands", {"session.id": session_id})
        self._calls: dict[str, tuple[int, int, dict[str, Any]]] = {}
        self._question: UsersQuestion | None = None

    def next(self, line: int, when: int, event: dict[str, Any]) -> Iterator[tuple[int, Span]]:
        """Yield the spans that an event completes."""
        kind = str(event.get("kind") or "")
        key = str(event.get("tool_call_id") or event.get("action_id") or "")
        has_call = "action" in event and "tool_name" in event
        if kind == "ActionEvent" or (has_call and "observation" not in event):
            self._calls[key] = (line, when, event)
            if event.get("tool_name") == "finish":
                yield from self._turn(when, first(as_object(event.get("action")), ("message",)))
        elif "observation" in event or kind in {"AgentErrorEvent", "UserRejectObservation"}:
            begun, action = self._calls.pop(key, (line, 0, event))[1:]
            yield line, self._call(action, event, begun, when)
        elif kind in {"ConversationErrorEvent", "ConversationError"} or (
            event.get("code") and event.get("detail")
        ):
            yield line, self._failed(event, when)
        elif message := as_object(event.get("llm_message")):
            yield from self._message(line, when, event, message)

    def end(self) -> Iterator[tuple[int, Found]]:
        """Yield what has no end in the file: calls without a result, a question without an answer."""
        for line, begun, action in self._calls.values():
            if action.get("tool_name") != "finish":
                yield line, or_reason(self._call, action, {}, begun, 0)
        yield from self._turn()

    def _message(
        self, line: int, when: int, event: dict[str, Any], message: dict[str, Any]
    ) -> Iterator[tuple[int, Span]]:
        text = _text(message.get("content"))
        if message.get("role") == "user" and event.get("source") == "user" and text:
            yield from self._turn()
            self._question = UsersQuestion(line, f"turn-{event.get('id') or when}", when, text)
        elif message.get("role") == "assistant" and text:
            yield from self._turn(when, text)

    def _turn(self, when: int = 0, answer: str = "") -> Iterator[tuple[int, Span]]:
        """End the open turn, if any."""
        if self._question:
            self._question.answered(when, answer)
            yield self._question.turn(self._session)
            self._question = None

    def _failed(self, event: dict[str, Any], when: int) -> Span:
        error = f"{first(event, ('code',))}: {first(event, ('detail', 'message'))}".removeprefix(": ")
        about = {"gen_ai.agent.name": "openhands"}
        key, times = str(event.get("id")), (when, when)
        return self._session.span(
            key, "invoke_agent", "conversation", times, error, status="error", more=about
        )

    def _call(self, action: dict[str, Any], result: dict[str, Any], begun: int, end: int) -> Span:
        found = as_object(result.get("observation"))
        code = found.get("exit_code")
        if code is None:
            code = as_object(found.get("metadata")).get("exit_code")
        text = _text(found.get("content") or found.get("output"))
        text = text or first(result, ("error", "rejection_reason"))
        has_failed = isinstance(code, int) and code > 0
        is_error = found.get("is_error") is True or bool(result.get("error")) or has_failed
        if result.get("kind") == "UserRejectObservation":
            is_error, text = True, f"rejected by user: {text}"
        return self._session.span(
            str(action.get("tool_call_id") or result.get("tool_call_id") or action.get("id")),
            "execute_tool",
            first(action, ("tool_name",)) or first(result, ("tool_name",)) or "unknown",
            (begun, end),
            (text[-_TAIL:] or f"exit code {code}") if is_error else "",
            status="error" if is_error else "ok" if result else "unset",
            more={
                "gen_ai.tool.call.id": action.get("tool_call_id"),
                "gen_ai.tool.call.arguments": as_object(action.get("tool_call")).get("arguments")
                or action.get("action"),
                "exit_code": code if isinstance(code, int) and code >= 0 and is_error else None,
            },
        )


FORMAT = Format(
    "openhands_v1",
    "Events of OpenHands' software-agent SDK, and trajectories of 0.x (JSON, JSONL).",
    has_all(
        rb'"(?<!\\")kind"\s*:\s*"(?:\w+Event|\w+Observation|\w+Action)"'
        rb'|"(?<!\\")action"\s*:\s*"\w+"\s*,\s*"args"\s*:\s*\{|"(?<!\\")observation"\s*:\s*"\w+"\s*,\s*"content"',
        json_key("source", rb'"(?:agent|user|environment)"'),
    ),
    file_reader(_of_file, "events", pages="items"),
)
