"""MLflow traces of versions 2 and 3 (`mlflow.search_traces`, `Trace.to_json`, `traces.json` of artifacts).

Source: mlflow/mlflow, `mlflow/entities/trace.py`, `assessment.py`, `span.py` (`Span.to_dict`, version 2 and
3).
"""

import base64
import re
from collections.abc import Iterator
from typing import Any

from fl_assets.events.formats.evaluations import Evaluation, score_of
from fl_assets.events.formats.marks import has_all, json_key
from fl_assets.events.formats.readers import Found, or_reason, span_reader
from fl_assets.events.formats.seam import Format
from fl_assets.events.formats.spans import Span, events_in
from fl_assets.events.formats.times import any_ns, ns_or_none
from fl_assets.events.formats.values import (
    as_object,
    decoded,
    first,
    objects_of,
    present,
    required_text,
    text_of,
)

_STATUS = {"OK": "ok", "ERROR": "error"}
_KINDS = {
    "TOOL": "execute_tool",
    "CHAT_MODEL": "chat",
    "LLM": "chat",
    "AGENT": "invoke_agent",
    "EMBEDDING": "embeddings",
    "RETRIEVER": "retrieval",
}


def _of_trace(value: Any) -> Iterator[Found]:
    whole = as_object(value)
    whole = as_object(whole.get("trace")) or whole  # a row of `search_traces`
    info, data = as_object(whole.get("info")) or whole, as_object(whole.get("data")) or whole
    trace_id = ""
    for raw in objects_of(data.get("spans")):
        found = or_reason(_span, raw, info)
        trace_id = found.trace_id if isinstance(found, Span) else trace_id
        yield found
    for raw in objects_of(info.get("assessments") or whole.get("assessments")):
        if "expectation" not in raw:  # what would have been right, and no judgement
            yield or_reason(_assessment, raw, trace_id)


def _own(values: dict[str, Any]) -> dict[str, Any]:
    """Drop MLflow's own keys: a trace's other tags and metadata are its resource."""
    return {key: value for key, value in values.items() if not key.startswith("mlflow.")}


def _id(value: Any, field: str) -> str:
    """Return an id as hex: MLflow 3 writes base64, MLflow 2 hex with `0x`."""
    text = required_text(value, field).removeprefix("0x")
    if text.endswith("=") or not re.fullmatch(r"[0-9a-fA-F]+|tr-[0-9a-f]+", text):
        try:
            return base64.b64decode(text, validate=True).hex() or text
        except ValueError:
            return text
    return text.lower()


def _assessment(raw: dict[str, Any], trace_id: str) -> Evaluation:
    source, feedback = as_object(raw.get("source")), as_object(raw.get("feedback"))
    value, words = score_of(feedback.get("value", raw.get("value")))
    when = raw.get("create_time") or raw.get("create_time_ms") or raw.get("last_update_time")
    span = raw.get("span_id")
    return Evaluation(
        id=str(raw.get("assessment_id") or ""),
        name=str(raw.get("assessment_name") or raw.get("name") or ""),
        value=value,
        label=words,
        time_ns=any_ns(when, "create_time"),
        updated_ns=ns_or_none(raw.get("last_update_time") or raw.get("last_update_time_ms")),
        trace_id=trace_id or str(raw.get("trace_id") or ""),
        span_id=_id(span, "span_id") if span else "",
        source=str(source.get("source_type") or ""),
        evaluator=str(source.get("source_id") or ""),
        explanation=text_of(raw.get("rationale")),
    )


def _span(raw: dict[str, Any], info: dict[str, Any]) -> Span:
    context = as_object(raw.get("context"))
    attributes = {str(key): decoded(value) for key, value in as_object(raw.get("attributes")).items()}
    metadata = as_object(info.get("trace_metadata") or info.get("request_metadata"))
    tags = as_object(info.get("tags"))
    flat = {"code": raw.get("status_code"), "message": raw.get("status_message")}
    about = status if isinstance(status := raw.get("status"), dict) else flat
    code = str(about.get("code") or "").removeprefix("STATUS_CODE_")
    usage = as_object(attributes.get("mlflow.chat.tokenUsage"))
    kind = str(attributes.get("mlflow.spanType") or "")
    name = str(raw.get("name") or "")
    parent = raw.get("parent_span_id") or raw.get("parent_id")
    more: dict[str, Any] = {
        "gen_ai.operation.name": _KINDS.get(kind),
        "gen_ai.tool.name": name if kind == "TOOL" else None,
        "gen_ai.agent.name": name if kind == "AGENT" else None,
        "input.value": attributes.get("mlflow.spanInputs"),
        "output.value": attributes.get("mlflow.spanOutputs"),
        "session.id": metadata.get("mlflow.trace.session"),
        "gen_ai.usage.input_tokens": usage.get("input_tokens"),
        "gen_ai.usage.output_tokens": usage.get("output_tokens"),
    }
    service = first(metadata, ("mlflow.source.name",)) or first(tags, ("mlflow.traceName",)) or "mlflow"
    return Span(
        trace_id=_id(raw.get("trace_id") or context.get("trace_id") or info.get("request_id"), "trace_id"),
        span_id=_id(raw.get("span_id") or context.get("span_id"), "span_id"),
        parent_id=_id(parent, "parent_span_id") if parent else "",
        name=name,
        start_ns=any_ns(raw.get("start_time_unix_nano") or raw.get("start_time"), "start_time"),
        end_ns=any_ns(raw.get("end_time_unix_nano") or raw.get("end_time"), "end_time"),
        status=_STATUS.get(code, "unset"),
        status_message=str(about.get("message") or ""),
        scope="mlflow",
        attributes={**_own(attributes), **present(more)},
        resource={**_own(tags), **_own(metadata), "service.name": service.rpartition("/")[2]},
        events=events_in(raw.get("events")),
    )


FORMAT = Format(
    "mlflow",
    "MLflow's traces (JSON, or one per line).",
    has_all(
        rb'"(?<!\\")(?:mlflow\.traceRequestId|mlflow\.spanType|mlflow\.trace_schema\.version)"',
        json_key("spans"),
    ),
    span_reader(_of_trace, pages="traces"),
)
