"""Logs of Inspect AI (`.json`): tool calls, model calls and samples.

What goes here: a log's samples, their events or, in older logs, their messages. What does not: what a span
means (`conventions.py`).

Source: UKGovernmentBEIS/inspect_ai, `src/inspect_ai/log/_log.py` (`EvalLog`, `EvalSample`), `event/_tool.py`,
`event/_model.py`. A log without events has one time for all: the evaluation's.
"""

from collections.abc import Iterator
from typing import Any

from fl_assets.events.formats.evaluations import Evaluation, score_of
from fl_assets.events.formats.marks import has_all, json_key
from fl_assets.events.formats.messages import words_of
from fl_assets.events.formats.readers import Found, or_reason, span_reader
from fl_assets.events.formats.seam import Format
from fl_assets.events.formats.spans import Session, Span
from fl_assets.events.formats.times import ns_or_none
from fl_assets.events.formats.tool_results import failed_text
from fl_assets.events.formats.values import as_object, first, objects_of, text_of

_GRADES = {"C": 1.0, "P": 0.5, "I": 0.0, "N": 0.0}
"""Correct, partial, incorrect, no answer."""

_ATTACHED = "attachment://"
_MAX_DEPTH = 20


def _of_log(log: Any) -> Iterator[Found]:
    about = as_object(as_object(log).get("eval"))
    samples = as_object(log).get("samples")
    if not isinstance(samples, list):
        raise ValueError("inspect: a log without samples (read with header_only?) holds no calls")
    for sample in samples:
        try:
            yield from _of_sample(as_object(sample), about)
        except ValueError as error:
            yield str(error)


def _of_sample(sample: dict[str, Any], about: dict[str, Any]) -> Iterator[Found]:
    created = ns_or_none(about.get("created"))
    begun = ns_or_none(sample.get("started_at"))
    ended = ns_or_none(sample.get("completed_at")) or created
    trace = f"{about.get('run_id') or about.get('eval_id')}:{sample.get('id')}:{sample.get('epoch')}"
    values = {"session.id": str(sample.get("uuid") or trace), "gen_ai.request.model": about.get("model")}
    session = Session(trace, str(about.get("task") or "inspect"), values)
    messages = objects_of(sample.get("messages"))
    said = [words_of(one.get("content")) for one in messages if one.get("role") == "assistant"]
    more = {
        "gen_ai.agent.name": about.get("task"),
        "input.value": sample.get("input"),
        "output.value": said[-1] if said else "",
    }
    yield or_reason(_whole, session, sample, (begun, ended), more)
    for scorer, score in as_object(sample.get("scores")).items():
        yield or_reason(_score, session, str(scorer), as_object(score), ended)
    events = [event for event in objects_of(sample.get("events")) if event.get("event") in ("tool", "model")]
    attached = as_object(sample.get("attachments"))
    for number, event in enumerate(events):
        event = {**event, "arguments": _unpacked(event.get("arguments"), attached)}
        of_event = _tool_event if event["event"] == "tool" else _model_event
        times = (ns_or_none(event.get("timestamp")), ns_or_none(event.get("completed")))
        yield or_reason(of_event, session, event, number, times)
    if not events:
        yield from _in_messages(session, messages, ended)


def _whole(session: Session, sample: dict[str, Any], times: tuple[int, int], more: dict[str, Any]) -> Span:
    limit = as_object(sample.get("limit"))
    error = f"{limit.get('type')} limit of {limit.get('limit')} reached" if limit else ""
    error = failed_text(sample["error"]) if sample.get("error") else error
    status = "error" if error else "ok"
    return session.span("sample", "invoke_agent", "sample", times, error, status=status, more=more)


def _score(session: Session, scorer: str, score: dict[str, Any], when: int) -> Evaluation:
    given = score.get("value")
    value, words = score_of(given)
    return Evaluation(
        id=f"{session.trace_id}:{scorer}",
        name=scorer,
        value=_GRADES.get(given, value) if isinstance(given, str) else value,
        label=words or ("none" if value is None else ""),
        time_ns=when,
        trace_id=session.trace_id,
        span_id="sample",
        session=session.about["session.id"],
        source="scorer",
        explanation=text_of(score.get("explanation")),
    )


def _in_messages(session: Session, messages: list[dict[str, Any]], when: int) -> Iterator[Found]:
    """Yield the tool calls in the messages of a log without events."""
    called = (call for message in messages for call in objects_of(message.get("tool_calls")))
    calls = {str(call.get("id")): call for call in called}
    for number, message in enumerate(messages):
        if message.get("role") == "tool":
            key = message.get("tool_call_id")
            arguments = calls.get(str(key), {}).get("arguments")
            event = {**message, "id": key, "arguments": arguments}
            yield or_reason(_tool_event, session, event, number, (0, when))


def _unpacked(arguments: Any, attached: dict[str, Any], depth: int = 0) -> Any:
    """Return a tool's arguments with the long texts that a log has once, as attachments of its sample."""
    if isinstance(arguments, dict) and depth < _MAX_DEPTH:
        return {name: _unpacked(value, attached, depth + 1) for name, value in arguments.items()}
    is_place = isinstance(arguments, str) and arguments.startswith(_ATTACHED)
    return attached.get(arguments.removeprefix(_ATTACHED), arguments) if is_place else arguments


def _tool_event(session: Session, event: dict[str, Any], number: int, times: tuple[int, int]) -> Span:
    error = as_object(event.get("error"))
    kind, message = first(error, ("type",)), first(error, ("message",))
    text = f"{kind}: {message}" if kind and message else message or kind
    text = text or ("failed" if event.get("failed") is True else "")
    return session.span(
        str(event.get("id") or number),
        "execute_tool",
        first(event, ("function",)) or "unknown",
        times,
        f"rejected by user: {message}" if kind == "approval" else text,
        status="error" if text else "ok",
        parent_id="sample",
        more={"gen_ai.tool.call.arguments": event.get("arguments")},
    )


def _model_event(session: Session, event: dict[str, Any], number: int, times: tuple[int, int]) -> Span:
    output = as_object(event.get("output"))
    usage = as_object(output.get("usage"))
    about = {
        "gen_ai.request.model": event.get("model") or session.about["gen_ai.request.model"],
        "gen_ai.usage.input_tokens": usage.get("input_tokens"),
        "gen_ai.usage.output_tokens": usage.get("output_tokens"),
    }
    error = failed_text(event.get("error") or output.get("error"))
    key = str(event.get("uuid") or f"model-{number}")
    return session.span(key, "chat", "generate", times, error, parent_id="sample", more=about)


FORMAT = Format(
    "inspect",
    "Logs of Inspect AI (JSON).",
    has_all(json_key("eval", rb"\{"), json_key("run_id|task_id|eval_id"), json_key("plan|dataset|samples")),
    span_reader(_of_log, "samples"),
)
