"""Spans and annotations of Arize Phoenix, from its REST API or its data frames as JSON lines.

Source: Arize-ai/phoenix, `src/phoenix/server/api/routers/v1/spans.py`, `annotations.py`;
`phoenix.client.spans.get_spans_dataframe`.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from fl_assets.events.formats.evaluations import Evaluation, score_of
from fl_assets.events.formats.marks import has_all, has_any, json_key
from fl_assets.events.formats.readers import entry_reader
from fl_assets.events.formats.seam import Format
from fl_assets.events.formats.spans import Span, events_in
from fl_assets.events.formats.times import any_ns, ns_or_none
from fl_assets.events.formats.values import as_list, as_object, required_text, text_of

_STATUS = {"OK": "ok", "ERROR": "error"}


def flat(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield nested attributes under dotted names, as in OpenInference; lists of scalars stay."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from flat(inner, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(value, list) and any(isinstance(entry, dict) for entry in value):
        for number, inner in enumerate(value):
            yield from flat(inner, f"{prefix}.{number}")
    elif value is not None:
        yield prefix, value


def _span(raw: dict[str, Any]) -> Span:
    context = as_object(raw.get("context"))
    columns = {
        key.removeprefix("attributes."): item for key, item in raw.items() if key.startswith("attributes.")
    }
    attributes = {
        "openinference.span.kind": raw.get("span_kind"),
        **dict(flat({**columns, **as_object(raw.get("attributes"))})),
    }
    events = as_list(raw.get("events"))
    return Span(
        trace_id=required_text(context.get("trace_id") or raw.get("context.trace_id"), "trace_id").lower(),
        span_id=required_text(context.get("span_id") or raw.get("context.span_id"), "span_id").lower(),
        parent_id=str(raw.get("parent_id") or "").lower(),
        name=str(raw.get("name") or ""),
        start_ns=any_ns(raw.get("start_time"), "start_time"),
        end_ns=any_ns(raw.get("end_time"), "end_time"),
        status=_STATUS.get(str(raw.get("status_code") or "").upper(), "unset"),
        status_message=str(raw.get("status_message") or ""),
        scope="",
        attributes=attributes,
        resource={"service.name": raw.get("project_name") or attributes.get("project.name") or "phoenix"},
        events=events_in(events),
    )


def _annotation(raw: dict[str, Any]) -> Evaluation:
    result = as_object(raw.get("result"))
    value, words = score_of(result.get("score", raw.get("result.score")))
    return Evaluation(
        id=str(raw.get("id") or ""),
        name=str(raw.get("name") or raw.get("annotation_name") or ""),
        value=value,
        label=text_of(result.get("label") or raw.get("result.label")) or words,
        time_ns=any_ns(raw.get("created_at") or raw.get("updated_at"), "created_at"),
        updated_ns=ns_or_none(raw.get("updated_at")),
        trace_id=str(raw.get("trace_id") or "").lower(),
        span_id=str(raw.get("span_id") or "").lower(),
        session=str(raw.get("session_id") or ""),
        source=str(raw.get("annotator_kind") or ""),
        evaluator=str(raw.get("identifier") or ""),
        explanation=text_of(result.get("explanation") or raw.get("result.explanation")),
    )


FORMAT = Format(
    "phoenix",
    "Spans and annotations of Arize Phoenix, from its API or its data frames.",
    has_any(
        has_all(
            json_key("span_kind"),
            json_key(r"context|context\.trace_id|context\.span_id"),
            json_key("status_code"),
        ),
        has_all(
            json_key("annotator_kind"),
            json_key("span_id|trace_id|session_id"),
            json_key(r"result|result\.score|result\.label"),
        ),
    ),
    entry_reader(lambda raw: _annotation(raw) if "annotator_kind" in raw else _span(raw)),
)
