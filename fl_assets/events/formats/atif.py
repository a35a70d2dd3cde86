"""Trajectories in the Agent Trajectory Interchange Format (ATIF, `trajectory.json` of Harbor).

Source: harbor-framework/harbor, `rfcs/0001-trajectory-format.md`. A step has one time, so calls have no
duration.
"""

from collections.abc import Iterator
from typing import Any

from fl_assets.events.formats.marks import has_all
from fl_assets.events.formats.readers import span_reader
from fl_assets.events.formats.seam import Format
from fl_assets.events.formats.spans import Span, turn_span
from fl_assets.events.formats.tool_results import error_in_result
from fl_assets.events.formats.values import as_object, first, iso_ns, objects_of, required_text, text_of


def _of_document(value: Any) -> Iterator[Span | str]:
    for entry in value if isinstance(value, list) else [value]:
        whole = as_object(entry)
        agent = as_object(whole.get("agent"))
        session = required_text(whole.get("session_id") or whole.get("trajectory_id"), "session_id")
        common: dict[str, Any] = {
            "trace_id": session,
            "parent_id": "",
            "resource": {"service.name": str(agent.get("name") or "agent")},
        }
        values = {
            "session.id": session,
            "gen_ai.request.model": agent.get("model_name"),
            "agent_version": agent.get("version"),
        }
        asked: tuple[int, str] | None = None
        answer = (0, "")
        for step in objects_of(whole.get("steps")):
            try:
                when = iso_ns(step.get("timestamp"), "timestamp")
            except ValueError as error:
                yield str(error)
                continue
            if not when:
                yield "atif: a step has no timestamp, so it belongs to no day"
                continue
            words = text_of(step.get("message")).strip()
            if step.get("source") == "user" and words:
                if asked:
                    yield turn_span(common, f"turn-{asked[0]}", asked, answer, values)
                asked, answer = (when, words), (0, "")
            elif step.get("source") == "agent":
                yield from _of_step(step, when, common, values)
                answer = (when, words) if words else answer
        if asked:
            yield turn_span(common, f"turn-{asked[0]}", asked, answer, values)


read = span_reader(_of_document, "steps")

FORMAT = Format(
    name="atif",
    description="Trajectories in ATIF (Harbor, JSON).",
    matches=has_all(rb'"(?<!\\")schema_version"\s*:\s*"ATIF-'),
    read=read,
)


def _of_step(
    step: dict[str, Any], when: int, common: dict[str, Any], values: dict[str, Any]
) -> Iterator[Span]:
    metrics = as_object(step.get("metrics"))
    model = step.get("model_name") or values.get("gen_ai.request.model")
    yield Span(
        **common,
        span_id=f"step-{step.get('step_id')}",
        name="chat",
        start_ns=when,
        end_ns=when,
        status="unset",
        attributes={
            **values,
            "gen_ai.operation.name": "chat",
            "gen_ai.request.model": model,
            "gen_ai.usage.input_tokens": metrics.get("prompt_tokens"),
            "gen_ai.usage.output_tokens": metrics.get("completion_tokens"),
            "gen_ai.usage.cost": metrics.get("cost_usd"),
        },
    )
    results = objects_of(as_object(step.get("observation")).get("results"))
    by_call = {str(result.get("source_call_id")): result for result in results}
    calls = objects_of(step.get("tool_calls"))
    for number, call in enumerate(calls):
        key = str(call.get("tool_call_id") or number)
        result = by_call.get(key) or (results[number] if len(results) == len(calls) else {})
        content = result.get("content")
        extra = as_object(result.get("extra"))
        error = error_in_result(content) or error_in_result(extra)
        code = extra.get("exit_code") or extra.get("returncode")
        name = first(call, ("function_name",)) or "unknown"
        yield Span(
            **common,
            span_id=f"{step.get('step_id')}-{key}",
            name=name,
            start_ns=when,
            end_ns=when,
            status="error" if error else "unset",
            status_message=error,
            attributes={
                **values,
                "gen_ai.operation.name": "execute_tool",
                "gen_ai.tool.name": name,
                "gen_ai.tool.call.arguments": call.get("arguments"),
                "exit_code": code,
            },
        )
