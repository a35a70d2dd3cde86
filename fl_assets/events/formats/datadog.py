"""Datadog: spans of LLM Observability, as its API exports them and its SDKs send them, and traces of APM.

What goes here: the fields of both. What does not: what a span means (`conventions.py`).

Sources: Datadog's API reference (`/api/v2/llm-obs/v1/spans/events`, `/api/intake/llm-obs/v1/trace/spans`);
DataDog/dd-trace-py, `ddtrace/llmobs/_writer.py`; DataDog/datadog-agent, traces v0.4.
"""

from collections.abc import Iterator
from typing import Any

from fl_assets.events.formats.evaluations import Evaluation, score_of
from fl_assets.events.formats.marks import has_all, has_any
from fl_assets.events.formats.readers import Found, or_reason, span_reader
from fl_assets.events.formats.seam import Format
from fl_assets.events.formats.spans import Span
from fl_assets.events.formats.times import any_ns
from fl_assets.events.formats.values import as_list, as_object, first, number_of, present, required_text

_IN_CLUSTER = {
    "kube_deployment": "k8s.deployment.name",
    "kube_stateful_set": "k8s.statefulset.name",
    "kube_namespace": "k8s.namespace.name",
    "kube_cluster_name": "k8s.cluster.name",
    "pod_name": "k8s.pod.name",
}
"""Datadog's tags of Kubernetes, and the attribute of a resource that each is."""
_ROOT = frozenset({"", "0", "undefined", "None"})
_KINDS = {"workflow": "chain", "task": "chain"}


def _of_record(value: Any) -> Iterator[Found]:
    """Find the spans of a page of the API, of what SDKs send, of a trace, or one by itself."""
    whole = as_object(value)
    if isinstance(data := whole.get("data"), dict) and "span_id" not in whole:
        whole = data
    attributes = as_object(whole.get("attributes"))
    own = {**whole, **attributes} if "span_id" in attributes or "spans" in attributes else whole
    about = {key: own[key] for key in ("ml_app", "session_id", "tags") if key in own}
    is_list = isinstance(own.get("spans"), list)
    for raw in map(as_object, own["spans"] if is_list else [own]):
        yield (span := or_reason(_span, raw, about if is_list else {}))
        if isinstance(span, Span):
            yield from _evaluations(raw, span)


def _evaluations(raw: dict[str, Any], span: Span) -> Iterator[Found]:
    for name, given in as_object(raw.get("evaluation")).items():
        score, words = score_of(as_object(given).get("value"))
        if score is not None or words:
            ids = (span.trace_id, span.span_id)
            yield or_reason(Evaluation, str(name), score, words, span.time_ns, "", *ids, "", "datadog")


def _span(raw: dict[str, Any], about: dict[str, Any]) -> Span:
    meta = as_object(raw.get("meta"))
    tags = _tags([*as_list(about.get("tags")), *as_list(raw.get("tags"))])
    start = any_ns(raw.get("start_ns") or raw.get("start_ms") or raw.get("start"), "start_ns")
    took, parent = number_of(raw, ("duration",)), str(raw.get("parent_id") or "")
    status, error = str(raw.get("status", raw.get("error", ""))), _error(raw, meta)
    is_failed = status in {"error", "1"} or (status not in {"ok", "0"} and any(error.values()))
    resource = {
        "service.name": first({**tags, **present(raw)}, ("service",))
        or first({**tags, **present(about), **present(raw)}, ("ml_app",)),
        "service.version": tags.get("version"),
        "deployment.environment": tags.get("env") or meta.get("env"),
        "host.name": tags.get("hostname") or tags.get("host") or meta.get("_dd.hostname"),
        **{name: tags.get(tag) for tag, name in _IN_CLUSTER.items()},
    }
    session = {"session.id": raw.get("session_id") or about.get("session_id") or tags.get("session_id")}
    return Span(
        trace_id=required_text(raw.get("trace_id"), "trace_id").lower(),
        span_id=required_text(raw.get("span_id"), "span_id").lower(),
        parent_id="" if parent in _ROOT else parent.lower(),
        name=str(raw.get("resource") or raw.get("name") or ""),
        start_ns=start,
        end_ns=start + int(took) if took is not None else 0,
        status="error" if is_failed else "unset",
        status_message=str(raw.get("status_message") or ""),
        scope="datadog",
        attributes=present({**_attributes(raw, meta), **session, **(error if is_failed else {})}),
        resource=present(resource),
    )


def _error(raw: dict[str, Any], meta: dict[str, Any]) -> dict[str, Any]:
    error = {**as_object(meta.get("error")), **as_object(raw.get("error"))}
    return {
        "exception.type": error.get("type") or meta.get("error.type"),
        "exception.message": error.get("message") or meta.get("error.message") or meta.get("error.msg"),
        "exception.stacktrace": error.get("stack") or meta.get("error.stack"),
    }


def _attributes(raw: dict[str, Any], meta: dict[str, Any]) -> dict[str, Any]:
    said, metrics = {**meta, **raw}, as_object(raw.get("metrics"))
    in_span, cost = as_object(meta.get("span")).get("kind"), metrics.get("estimated_total_cost")
    kind = str(said.get("span_kind") or said.get("kind") or meta.get("span.kind") or in_span or "")
    inputs, outputs = as_object(said.get("input")), as_object(said.get("output"))
    dotted = {key: value for key, value in meta.items() if "." in key and not key.startswith("error.")}
    return {
        **as_object(said.get("metadata")),
        **{key: value for key, value in dotted.items() if isinstance(value, str | int | float)},
        "openinference.span.kind": _KINDS.get(kind, kind),
        "gen_ai.tool.name": raw.get("name") if kind == "tool" else None,
        "gen_ai.agent.name": raw.get("name") if kind == "agent" else None,
        "gen_ai.request.model": said.get("model_name") if kind in {"llm", "embedding"} else None,
        "input.value": inputs.get("messages") or inputs.get("value"),
        "output.value": outputs.get("messages") or outputs.get("value"),
        "gen_ai.usage.input_tokens": metrics.get("input_tokens"),
        "gen_ai.usage.output_tokens": metrics.get("output_tokens"),
        "gen_ai.usage.cost": cost / 1e9 if isinstance(cost, int | float) else None,
    }


def _tags(tags: list[Any]) -> dict[str, str]:
    """Read tags, which are `key:value`."""
    pairs = (tag.partition(":") for tag in tags if isinstance(tag, str))
    return {key: value for key, _, value in pairs if value}


FORMAT = Format(
    "datadog",
    "Datadog: spans of LLM Observability (API export, SDKs), traces of APM.",
    has_any(
        has_all(
            rb'"trace_id"\s*:',
            rb'"span_id"\s*:',
            rb'"ml_app"\s*:|"ml_app:|"_dd\.stage"\s*:|"span_kind"\s*:\s*"[a-z]+"\s*,\s*"start_(?:ns|ms)"',
        ),
        has_all(
            rb'"trace_id"\s*:',
            rb'"span_id"\s*:',
            rb'(?s:"(?:trace_id|span_id)"\s*:\s*[0-9].{0,2000}"(?:meta|metrics)"\s*:\s*\{)',
        ),
    ),
    span_reader(_of_record, pages="data"),
)
