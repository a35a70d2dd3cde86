"""Sessions of Google's Agent Development Kit (`<name>.session.json`): tool calls, model errors and turns.

Source: google/adk-python, `google/adk/events/event.py` and `google/adk/sessions/session.py` (snake_case and
camelCase dumps).
"""

import re
from collections.abc import Iterator
from typing import Any

from fl_assets.events.formats.marks import has_all, json_key
from fl_assets.events.formats.readers import span_reader
from fl_assets.events.formats.seam import Format
from fl_assets.events.formats.spans import Span
from fl_assets.events.formats.tool_results import error_in_result
from fl_assets.events.formats.values import as_object, objects_of

_LAST_SECOND = 253_402_300_800  # the end of year 9999


def _spans(session: Any) -> Iterator[Span | str]:
    if not isinstance(session, dict) or not isinstance(session.get("events"), list) or not session.get("id"):
        message = "adk_session: a session is an object with an id and a list events"
        raise ValueError(message)
    events = [event for event in session["events"] if isinstance(event, dict) and _ns(event)]
    for _ in range(len(session["events"]) - len(events)):
        yield "an event has no seconds since 1970 as its timestamp"
    yield from _of_session(session, events)


read = span_reader(_spans, "entries")

FORMAT = Format(
    name="adk_session",
    description="Sessions of Google's Agent Development Kit (`.session.json`).",
    matches=has_all(json_key("invocation_?[iI]d"), json_key("author"), rb'"(?<!\\")events"\s*:\s*\['),
    read=read,
)


def _of_session(session: dict[str, Any], events: list[dict[str, Any]]) -> Iterator[Span]:
    session_id = str(session["id"])
    resource = {"service.name": str(_get(session, "app_name") or "adk")}
    invocations: dict[str, list[dict[str, Any]]] = {}
    calls: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {}
    for number, event in enumerate(events):
        invocation = str(_get(event, "invocation_id") or session_id)
        invocations.setdefault(invocation, []).append(event)
        common = {"session.id": session_id, "gen_ai.agent.name": event.get("author")}
        for part in _parts(event):
            if call := as_object(_get(part, "function_call")):
                calls[str(call.get("id") or call.get("name"))] = (event, call)
            elif answer := as_object(_get(part, "function_response")):
                key = str(answer.get("id") or answer.get("name"))
                begun, call = calls.pop(key, (event, {}))
                name = str(call.get("name") or answer.get("name") or "unknown")
                arguments = call.get("args")
                error = error_in_result(answer.get("response"))
                yield Span(
                    f"{session_id}:{invocation}",
                    f"{event.get('id') or number}:{key}",
                    invocation,
                    name,
                    _ns(begun),
                    _ns(event),
                    "error" if error else "unset",
                    error,
                    attributes={
                        **common,
                        "gen_ai.operation.name": "execute_tool",
                        "gen_ai.tool.name": name,
                        "gen_ai.tool.call.arguments": arguments,
                        "gen_ai.agent.name": begun.get("author"),
                    },
                    resource=resource,
                )
        if code := _get(event, "error_code"):
            text = f"{code}: {_get(event, 'error_message') or ''}".removesuffix(": ")
            about = {**common, "gen_ai.operation.name": "chat", "error.type": str(code)}
            place = (f"{session_id}:{invocation}", str(event.get("id") or number), invocation)
            yield Span(
                *place, "chat", _ns(event), _ns(event), "error", text, attributes=about, resource=resource
            )
    for invocation, parts in invocations.items():
        yield _invocation(session_id, invocation, parts, resource)


def _invocation(
    session_id: str, invocation: str, events: list[dict[str, Any]], resource: dict[str, Any]
) -> Span:
    """Return an invocation as one span, from the user's words to the last answer; only its calls may fail."""
    asked = [text for event in events if event.get("author") == "user" and (text := _said(event))]
    answered = [(event, text) for event in events if event.get("author") != "user" and (text := _said(event))]
    agent = (answered[-1][0] if answered else events[-1]).get("author")
    return Span(
        f"{session_id}:{invocation}",
        invocation,
        "",
        "invoke_agent",
        min(_ns(event) for event in events),
        max(_ns(event) for event in events),
        "ok",
        attributes={
            "session.id": session_id,
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.agent.name": agent,
            "input.value": asked[-1] if asked else None,
            "output.value": answered[-1][1] if answered else None,
        },
        resource=resource,
    )


def _get(value: dict[str, Any], key: str) -> Any:
    """Return a field by its snake_case name, or by the camelCase of newer versions."""
    found = value.get(key)
    return found if found is not None else value.get(re.sub(r"_(\w)", lambda letter: letter[1].upper(), key))


def _parts(event: dict[str, Any]) -> list[dict[str, Any]]:
    return objects_of(as_object(event.get("content")).get("parts"))


def _said(event: dict[str, Any]) -> str:
    return "\n".join(
        part["text"].strip()
        for part in _parts(event)
        if isinstance(part.get("text"), str) and not part.get("thought")
    ).strip()


def _ns(event: dict[str, Any]) -> int:
    """Return an event's time; 0 when it has none."""
    seconds = event.get("timestamp")
    return (
        round(seconds * 1e6) * 1000 if isinstance(seconds, int | float) and 0 < seconds < _LAST_SECOND else 0
    )
