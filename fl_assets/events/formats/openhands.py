"""Evaluation outputs of OpenHands (`output.jsonl`): one instance per line, with its actions and observations.

Source: OpenHands/OpenHands, `openhands/events/serialization` and `evaluation/utils/shared.py` (`EvalOutput`).
Times have no zone and are read as UTC.
"""

from collections.abc import Iterator
from typing import Any

from fl_assets.events.formats.marks import has_all
from fl_assets.events.formats.readers import span_reader
from fl_assets.events.formats.seam import Format
from fl_assets.events.formats.spans import Span
from fl_assets.events.formats.values import as_object, iso_ns

_STILL_RUNNING = -1
_MAX_LINE = 500


def _spans(instance: Any) -> Iterator[Span | str]:
    history = instance.get("history") if isinstance(instance, dict) else None
    if not isinstance(history, list):
        message = "openhands_eval_output: an instance is an object with a list history"
        raise ValueError(message)
    flat = [event for entry in history for event in (entry if isinstance(entry, list) else [entry])]
    events = [
        (when, event) for event in flat if isinstance(event, dict) and (when := _ns(event.get("timestamp")))
    ]
    for _ in range(len(flat) - len(events)):
        yield "a history entry has no ISO 8601 timestamp"
    if events:
        yield from _of_instance(instance, events)


read = span_reader(_spans, "entries")

FORMAT = Format(
    name="openhands_eval_output",
    description="Evaluation outputs of OpenHands (`output.jsonl`).",
    matches=has_all(rb'^\s*\{\s*"instance_id"\s*:'),
    read=read,
)


def _of_instance(instance: dict[str, Any], events: list[tuple[int, dict[str, Any]]]) -> Iterator[Span]:
    about = as_object(instance.get("metadata"))
    agent = str(about.get("agent_class") or "openhands")
    model = str(as_object(about.get("llm_config")).get("model") or "")
    name = str(instance.get("instance_id") or "unknown")
    trace_id = f"{name}:{min(when for when, _ in events) // 1000}"  # an instance may be run again
    resource = {"service.name": agent}
    actions = {
        event["id"]: (when, event)
        for when, event in events
        if event.get("action") and isinstance(event.get("id"), int)
    }
    for when, event in events:
        cause = actions.get(event["cause"]) if isinstance(event.get("cause"), int) else None
        if not event.get("observation") or (not cause and event["observation"] != "error"):
            continue
        begun, action = cause or (when, event)
        error = _error(event)
        yield Span(
            trace_id,
            f"{trace_id}#{event.get('id')}",
            "",
            str(action.get("action") or "action"),
            begun,
            when,
            "unset" if error is None else "error",
            error or "",
            attributes={
                "gen_ai.operation.name": "execute_tool",
                "gen_ai.tool.name": str(action.get("action") or "action"),
                "gen_ai.tool.call.id": as_object(event.get("tool_call_metadata")).get("tool_call_id"),
                "gen_ai.tool.call.arguments": action.get("args"),
                "gen_ai.request.model": model,
                "exit_code": _exit_code(event),
                "instance_id": name,
            },
            resource=resource,
        )
    failed = instance.get("error")
    finish = next((event for _, event in reversed(events) if event.get("action") == "finish"), {})
    final = as_object(finish.get("args"))
    yield Span(
        trace_id,
        trace_id,
        "",
        "invoke_agent",
        min(when for when, _ in events),
        max(when for when, _ in events),
        "error" if failed else "ok",
        str(failed or ""),
        attributes={
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.agent.name": agent,
            "gen_ai.request.model": model,
            "instance_id": name,
            "input.value": instance.get("instruction"),
            "output.value": final.get("final_thought") or final.get("thought"),
        },
        resource=resource,
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


def _ns(value: Any) -> int:
    """Return an ISO 8601 time in nanoseconds; 0 when it is none, or before 1970."""
    try:
        return iso_ns(value)
    except ValueError:
        return 0
