"""Trajectories in the Agent Trajectory Interchange Format (ATIF, `trajectory.json` of Harbor).

Source: harbor-framework/harbor, `rfcs/0001-trajectory-format.md`, up to v1.7. A step has one time, so calls
have no duration.
"""

from collections.abc import Iterator
from typing import Any

from fl_assets.events.formats.marks import has_all, json_key
from fl_assets.events.formats.messages import words_of
from fl_assets.events.formats.readers import span_reader
from fl_assets.events.formats.seam import Format
from fl_assets.events.formats.spans import Session, Span, UsersQuestion
from fl_assets.events.formats.times import timestamp_of
from fl_assets.events.formats.tool_results import error_in_result
from fl_assets.events.formats.values import as_object, first, objects_of, required_text

_MAX_DEPTH = 8


def _of_document(value: Any) -> Iterator[Span | str]:
    yield from _of_trajectory(as_object(value))


def _of_trajectory(
    whole: dict[str, Any], parent_session_id: str = "", depth: int = 0
) -> Iterator[Span | str]:
    """Yield the spans of a trajectory and of the subagents within it.

    Args:
        whole: the trajectory; parts of one run may share a session, so that its own id goes before it.
        parent_session_id: the session of the agent that gives the orders; '' where a user does.
        depth: how many trajectories it is within.

    Raises:
        ValueError: it has no id.
    """
    agent, steps = as_object(whole.get("agent")), objects_of(whole.get("steps"))
    key = required_text(first(whole, ("trajectory_id", "session_id")), "session_id")
    about = {
        "session.id": parent_session_id or first(whole, ("session_id",)) or key,
        "gen_ai.request.model": agent.get("model_name"),
        "agent_version": agent.get("version"),
    }
    session = Session(key, str(agent.get("name") or "agent"), about)
    yield from _of_steps(steps, session, is_asked_by_user=not parent_session_id)
    for inner in objects_of(whole.get("subagent_trajectories")) if depth < _MAX_DEPTH else ():
        yield from _of_trajectory(inner, about["session.id"], depth + 1)


def _of_steps(
    steps: list[dict[str, Any]], session: Session, *, is_asked_by_user: bool
) -> Iterator[Span | str]:
    question: UsersQuestion | None = None
    for step in steps:
        if step.get("is_copied_context") is True:  # of the trajectory that this one continues
            continue
        try:
            when = timestamp_of(step, "atif: a step has no timestamp, so it belongs to no day")
        except ValueError as error:
            yield str(error)
            continue
        words = words_of(step.get("message"))
        if step.get("source") == "user" and words and is_asked_by_user:
            if question:
                yield question.turn(session)[1]
            question = UsersQuestion(0, f"turn-{when}", when, words)
        elif step.get("source") == "agent":
            yield from _of_step(step, when, session)
            if question and words:
                question.answered(when, words)
        elif step.get("source") not in ("user", "system"):
            yield f"atif: a step has the source {step.get('source')!r:.60}"
    if question:
        yield question.turn(session)[1]


def _of_step(step: dict[str, Any], when: int, session: Session) -> Iterator[Span]:
    metrics = as_object(step.get("metrics"))
    used = {
        "gen_ai.usage.input_tokens": metrics.get("prompt_tokens"),
        "gen_ai.usage.output_tokens": metrics.get("completion_tokens"),
        "gen_ai.usage.cost": metrics.get("cost_usd"),
    }
    model = {"gen_ai.request.model": step["model_name"]} if step.get("model_name") else {}
    times = (when, when)
    if step.get("llm_call_count") != 0:
        yield session.span(f"step-{step.get('step_id')}", "chat", "chat", times, more={**model, **used})
    results = objects_of(as_object(step.get("observation")).get("results"))
    by_call = {str(result.get("source_call_id")): result for result in results}
    calls = objects_of(step.get("tool_calls"))
    for number, call in enumerate(calls):
        key = str(call.get("tool_call_id") or number)
        result = by_call.get(key) or (results[number] if len(results) == len(calls) else {})
        extra = as_object(result.get("extra"))
        more = {
            "gen_ai.tool.call.arguments": call.get("arguments"),
            "exit_code": extra.get("exit_code") or extra.get("returncode"),
        }
        error = error_in_result(result.get("content")) or error_in_result(extra)
        name = first(call, ("function_name",)) or "unknown"
        yield session.span(f"{step.get('step_id')}-{key}", "execute_tool", name, times, error, more=more)


FORMAT = Format(
    "atif",
    "Trajectories in ATIF (Harbor, JSON).",
    has_all(json_key("schema_version", rb'"ATIF-')),
    span_reader(_of_document, "steps"),
)
