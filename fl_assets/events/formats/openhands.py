"""Evaluation outputs of OpenHands (`output.jsonl`): one instance per line, with its actions and observations.

Source: OpenHands/OpenHands, `openhands/events/serialization` and `evaluation/utils/shared.py` (`EvalOutput`).
Times have no zone and are read as UTC.
"""

from collections.abc import Iterator
from typing import Any

from fl_assets.events.formats.marks import has_all
from fl_assets.events.formats.readers import span_reader
from fl_assets.events.formats.seam import Format
from fl_assets.events.formats.spans import Session, Span
from fl_assets.events.formats.times import iso_ns
from fl_assets.events.formats.values import as_object

_STILL_RUNNING = -1
_MAX_LINE = 500


def _spans(value: Any) -> Iterator[Span | str]:
    instance = as_object(value)
    history = instance.get("history")
    if not isinstance(history, list):
        raise ValueError("openhands_eval_output: an instance is an object with a list history")
    flat = [event for entry in history for event in (entry if isinstance(entry, list) else [entry])]
    events = [(when, event) for event in flat if isinstance(event, dict) and (when := _ns(event))]
    for _ in range(len(flat) - len(events)):
        yield "a history entry has no ISO 8601 timestamp"
    if events:
        yield from _of_instance(instance, events)


def _of_instance(instance: dict[str, Any], events: list[tuple[int, dict[str, Any]]]) -> Iterator[Span]:
    about = as_object(instance.get("metadata"))
    agent = str(about.get("agent_class") or "openhands")
    model = str(as_object(about.get("llm_config")).get("model") or "")
    name = str(instance.get("instance_id") or "unknown")
    begun, ended = min(when for when, _ in events), max(when for when, _ in events)
    trace_id = f"{name}:{begun // 1000}"  # an instance may be run again
    session = Session(trace_id, agent, {"gen_ai.request.model": model, "instance_id": name})
    actions = {
        event["id"]: (when, event)
        for when, event in events
        if event.get("action") and isinstance(event.get("id"), int)
    }
    for when, event in events:
        cause = actions.get(event["cause"]) if isinstance(event.get("cause"), int) else None
        if event.get("observation") and (cause or event["observation"] == "error"):
            yield _call(session, cause or (when, event), when, event)
    finish = next((event for _, event in reversed(events) if event.get("action") == "finish"), {})
    final, failed = as_object(finish.get("args")), instance.get("error")
    said = {
        "gen_ai.agent.name": agent,
        "input.value": instance.get("instruction"),
        "output.value": final.get("final_thought") or final.get("thought"),
    }
    status = "error" if failed else "ok"
    yield session.span(
        trace_id, "invoke_agent", "invoke_agent", (begun, ended), str(failed or ""), status=status, more=said
    )


def _call(session: Session, cause: tuple[int, dict[str, Any]], when: int, event: dict[str, Any]) -> Span:
    begun, action = cause
    error = _error(event)
    about = {
        "gen_ai.tool.call.id": as_object(event.get("tool_call_metadata")).get("tool_call_id"),
        "gen_ai.tool.call.arguments": action.get("args"),
        "exit_code": _exit_code(event),
    }
    return session.span(
        f"{session.trace_id}#{event.get('id')}",
        "execute_tool",
        str(action.get("action") or "action"),
        (begun, when),
        error or "",
        status="unset" if error is None else "error",
        more=about,
    )


def _exit_code(event: dict[str, Any]) -> int | None:
    code = as_object(as_object(event.get("extras")).get("metadata")).get("exit_code")
    return code if isinstance(code, int) and code != _STILL_RUNNING else None


def _error(event: dict[str, Any]) -> str | None:
    """Return an observation's error (non-zero exit code, error observation, `ERROR:`), or None."""
    text = str(event.get("content") or "").strip()
    if code := _exit_code(event):
        last = text.splitlines()[-1].strip()[:_MAX_LINE] if text else ""
        return last or f"exit code {code}"
    if event["observation"] == "error" or text.startswith("ERROR:"):
        return text
    return None


def _ns(event: dict[str, Any]) -> int:
    """Return an event's time in nanoseconds; 0 when it is none, or before 1970."""
    try:
        return iso_ns(event.get("timestamp"))
    except ValueError:
        return 0


FORMAT = Format(
    "openhands_eval_output",
    "Evaluation outputs of OpenHands (`output.jsonl`).",
    has_all(rb'^\s*\{\s*"instance_id"\s*:'),
    span_reader(_spans, "entries"),
)
