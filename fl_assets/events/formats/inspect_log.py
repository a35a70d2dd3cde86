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
from fl_assets.events.formats.readers import span_reader
from fl_assets.events.formats.seam import Format
from fl_assets.events.formats.spans import Span
from fl_assets.events.formats.tool_results import failed_text
from fl_assets.events.formats.values import as_object, first, iso_ns, objects_of, text_of

_GRADES = {"C": 1.0, "P": 0.5, "I": 0.0, "N": 0.0}
"""Correct, partial, incorrect, no answer."""


def _of_log(log: Any) -> Iterator[Span | Evaluation | str]:
    about = as_object(as_object(log).get("eval"))
    samples = as_object(log).get("samples")
    if not isinstance(samples, list):
        message = "inspect: a log without samples (read with header_only?) holds no calls"
        raise ValueError(message)
    for sample in samples:
        try:
            yield from _of_sample(as_object(sample), about)
        except ValueError as error:
            yield str(error)


read = span_reader(_of_log, "samples")

FORMAT = Format(
    name="inspect",
    description="Logs of Inspect AI (JSON).",
    matches=has_all(
        rb'"(?<!\\")eval"\s*:\s*\{', json_key("run_id|task_id|eval_id"), json_key("plan|dataset|samples")
    ),
    read=read,
)


def _of_sample(sample: dict[str, Any], about: dict[str, Any]) -> Iterator[Span | Evaluation]:
    created = iso_ns(about.get("created"), "created")
    begun = iso_ns(sample.get("started_at"), "started_at")
    ended = iso_ns(sample.get("completed_at"), "completed_at")
    trace = f"{about.get('run_id') or about.get('eval_id')}:{sample.get('id')}:{sample.get('epoch')}"
    common: dict[str, Any] = {
        "trace_id": trace,
        "resource": {"service.name": str(about.get("task") or "inspect")},
    }
    values = {"session.id": str(sample.get("uuid") or trace), "gen_ai.request.model": about.get("model")}
    error = sample.get("error")
    limit = as_object(sample.get("limit"))
    text = (
        failed_text(error)
        if error
        else f"{limit.get('type')} limit of {limit.get('limit')} reached"
        if limit
        else ""
    )
    answer = next(
        (
            text_of(message.get("content"))
            for message in reversed(objects_of(sample.get("messages")))
            if message.get("role") == "assistant"
        ),
        "",
    )
    yield Span(
        **common,
        span_id="sample",
        parent_id="",
        name="sample",
        start_ns=begun,
        end_ns=ended or created,
        status="error" if text else "ok",
        status_message=text,
        attributes={
            **values,
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.agent.name": about.get("task"),
            "input.value": sample.get("input"),
            "output.value": answer,
        },
    )
    for scorer, score in as_object(sample.get("scores")).items():
        given = as_object(score).get("value")
        value, words = score_of(given)
        yield Evaluation(
            id=f"{trace}:{scorer}",
            name=str(scorer),
            value=_GRADES.get(given, value) if isinstance(given, str) else value,
            label=words or ("none" if value is None else ""),
            time_ns=ended or created,
            trace_id=trace,
            span_id="sample",
            session=values["session.id"],
            source="scorer",
            explanation=text_of(as_object(score).get("explanation")),
        )
    events = [event for event in objects_of(sample.get("events")) if event.get("event") in ("tool", "model")]
    for number, event in enumerate(events):
        yield _of_event(event, number, common, values)
    if not events:
        calls = {
            str(call.get("id")): call
            for message in objects_of(sample.get("messages"))
            for call in objects_of(message.get("tool_calls"))
        }
        for number, message in enumerate(objects_of(sample.get("messages"))):
            if message.get("role") == "tool":
                call = calls.get(str(message.get("tool_call_id")), {})
                yield _tool(
                    message,
                    call.get("arguments"),
                    str(message.get("tool_call_id") or number),
                    (0, ended or created),
                    common,
                    values,
                )


def _of_event(event: dict[str, Any], number: int, common: dict[str, Any], values: dict[str, Any]) -> Span:
    times = (iso_ns(event.get("timestamp"), "timestamp"), iso_ns(event.get("completed"), "completed"))
    if event["event"] == "tool":
        return _tool(event, event.get("arguments"), str(event.get("id") or number), times, common, values)
    output = as_object(event.get("output"))
    usage = as_object(output.get("usage"))
    text = failed_text(event.get("error") or output.get("error"))
    return Span(
        **common,
        span_id=str(event.get("uuid") or f"model-{number}"),
        parent_id="sample",
        name="generate",
        start_ns=times[0],
        end_ns=times[1],
        status="error" if text else "unset",
        status_message=text,
        attributes={
            **values,
            "gen_ai.operation.name": "chat",
            "gen_ai.request.model": event.get("model") or values.get("gen_ai.request.model"),
            "gen_ai.usage.input_tokens": usage.get("input_tokens"),
            "gen_ai.usage.output_tokens": usage.get("output_tokens"),
        },
    )


def _tool(
    raw: dict[str, Any],
    arguments: Any,
    key: str,
    times: tuple[int, int],
    common: dict[str, Any],
    values: dict[str, Any],
) -> Span:
    name = first(raw, ("function",)) or "unknown"
    error = as_object(raw.get("error"))
    kind, message = first(error, ("type",)), first(error, ("message",))
    text = f"{kind}: {message}" if kind and message else message or kind
    if kind == "approval":
        text = f"rejected by user: {message}"
    return Span(
        **common,
        span_id=key,
        parent_id="sample",
        name=name,
        start_ns=times[0],
        end_ns=times[1],
        status="error" if error else "ok",
        status_message=text,
        attributes={
            **values,
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": name,
            "gen_ai.tool.call.arguments": arguments,
        },
    )
