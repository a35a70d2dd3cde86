"""Sessions of Google's Agent Development Kit (`<name>.session.json`): tool calls, model errors and turns.

Source: google/adk-python, `google/adk/events/event.py` and `google/adk/sessions/session.py` (snake_case and
camelCase dumps).
"""

from collections.abc import Iterator
from typing import Any

from fl_assets.events.formats.marks import has_all, json_key
from fl_assets.events.formats.readers import span_reader
from fl_assets.events.formats.seam import Format
from fl_assets.events.formats.spans import Session, Span
from fl_assets.events.formats.times import MAX_NS
from fl_assets.events.formats.tool_results import error_in_result
from fl_assets.events.formats.values import as_object, get, objects_of

_LAST_SECOND = MAX_NS // 10**9
_REQUEST = "adk_request_"
"""How calls are named by which ADK asks a person: for credentials, for a confirmation, for input."""


def _spans(value: Any) -> Iterator[Span | str]:
    if not isinstance(value, dict) or not isinstance(value.get("events"), list) or not value.get("id"):
        raise ValueError("adk_session: a session is an object with an id and a list events")
    events = [event for event in value["events"] if isinstance(event, dict) and _ns(event)]
    for _ in range(len(value["events"]) - len(events)):
        yield "an event has no seconds since 1970 as its timestamp"
    session_id, service = str(value["id"]), str(get(value, "appName") or "adk")
    invocations: dict[str, list[dict[str, Any]]] = {}
    sessions: dict[str, Session] = {}
    calls: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {}

    def called(begun: dict[str, Any], call: dict[str, Any], event: dict[str, Any], answer: Any) -> Span:
        """Return a call, with the event of its answer: both {} where there is none."""
        name = str(call.get("name") or answer.get("name") or "unknown")
        invocation = str(get(event or begun, "invocationId") or session_id)
        waits = not event and name.startswith(_REQUEST)
        return sessions[invocation].span(
            f"{begun.get('id') or _ns(begun)}:{_id(call or answer)}",
            "execute_tool",
            name,
            (_ns(begun), _ns(event)),
            "waiting for user confirmation" if waits else error_in_result(answer.get("response")),
            parent_id=invocation,
            more={"gen_ai.tool.call.arguments": call.get("args"), "gen_ai.agent.name": begun.get("author")},
        )

    for number, event in enumerate(events):
        invocation = str(get(event, "invocationId") or session_id)
        invocations.setdefault(invocation, []).append(event)
        if invocation not in sessions:
            about = {"session.id": session_id}
            sessions[invocation] = Session(f"{session_id}:{invocation}", service, about)
        session = sessions[invocation]
        author = {"gen_ai.agent.name": event.get("author")}
        key = str(event.get("id") or number)
        for call in _parts(event, "functionCall"):
            calls[_id(call)] = (event, call)
        for answer in _parts(event, "functionResponse"):
            yield called(*calls.pop(_id(answer), (event, {})), event, answer)
        if code := get(event, "errorCode"):
            text = f"{code}: {get(event, 'errorMessage') or ''}".removesuffix(": ")
            times, more = (_ns(event), _ns(event)), {**author, "error.type": str(code)}
            yield session.span(key, "chat", "chat", times, text, parent_id=invocation, more=more)
    yield from (called(*begun, {}, {}) for begun in calls.values())
    for invocation, parts in invocations.items():
        yield _invocation(sessions[invocation], invocation, parts)


def _invocation(session: Session, invocation: str, events: list[dict[str, Any]]) -> Span:
    """Return an invocation as one span, from the user's words to the last answer; only its calls may fail."""
    asked = [text for event in events if event.get("author") == "user" and (text := _said(event))]
    answered = [(event, text) for event in events if event.get("author") != "user" and (text := _said(event))]
    about = {
        "gen_ai.agent.name": (answered[-1][0] if answered else events[-1]).get("author"),
        "input.value": asked[-1] if asked else None,
        "output.value": answered[-1][1] if answered else None,
    }
    if asked and not answered:
        about["turn.is_open"] = True
    times = [_ns(event) for event in events]
    return session.span(
        invocation, "invoke_agent", "invoke_agent", (min(times), max(times)), status="ok", more=about
    )


def _parts(event: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    parts = objects_of(as_object(event.get("content")).get("parts"))
    return [found for part in parts if (found := as_object(get(part, kind)))]


def _id(call: dict[str, Any]) -> str:
    return str(call.get("id") or call.get("name"))


def _said(event: dict[str, Any]) -> str:
    parts = objects_of(as_object(event.get("content")).get("parts"))
    texts = [part.get("text") for part in parts if not part.get("thought")]
    return "\n".join(text.strip() for text in texts if isinstance(text, str)).strip()


def _ns(event: dict[str, Any]) -> int:
    """Return an event's time; 0 when it has none."""
    seconds = event.get("timestamp")
    is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    return round(seconds * 1e6) * 1000 if is_number and 0 < seconds <= _LAST_SECOND else 0


FORMAT = Format(
    "adk_session",
    "Sessions of Google's Agent Development Kit (`.session.json`).",
    has_all(json_key("invocation_?[iI]d"), json_key("author"), json_key("events", rb"\[")),
    span_reader(_spans, "entries"),
)
