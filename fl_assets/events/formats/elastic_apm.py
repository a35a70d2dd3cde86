"""Elastic APM: what its agents send (intake v2, NDJSON), and the documents that Elasticsearch keeps of it.

What goes here: transactions, spans and errors of both, nested or with dotted names, by themselves or as hits
of a search. What does not: what a span means (`conventions.py`); what agents bridge from OpenTelemetry keeps
its attributes, as documents do under `labels`, with `_` for `.`, or, in OpenTelemetry's own data streams, as
they are.

Sources: elastic/apm-server, `docs/spec/v2` (transaction, span, error, metadata); Elastic's "APM fields";
Elastic's exporter of the Collector, mapping mode `otel`.
"""

import re
from collections.abc import Iterator
from typing import Any

from fl_assets.events.formats.conventions import attribute_of
from fl_assets.events.formats.marks import has_all, has_any
from fl_assets.events.formats.readers import Found, NotUsed, Records, each_taken, file_reader
from fl_assets.events.formats.seam import Format
from fl_assets.events.formats.spans import Span, SpanEvent
from fl_assets.events.formats.times import any_ns
from fl_assets.events.formats.values import (
    as_list,
    as_object,
    first,
    number_of,
    objects_of,
    present,
    required_text,
)

_KINDS = ("transaction", "span", "error")
_OF_ELASTIC = re.compile(r"(?:transaction|processor|timestamp|event|data_stream)\.")
"""Attributes that Elastic adds to a span of OpenTelemetry."""
_STATUS = {"success": "ok", "failure": "error"}
_RESOURCE = {
    "service.name": "service.name",
    "service.version": "service.version",
    "service.environment": "deployment.environment",
    "service.node.configured_name": "service.instance.id",
    "service.node.name": "service.instance.id",
    "system.configured_hostname": "host.name",
    "system.detected_hostname": "host.name",
    "system.hostname": "host.name",
    "system.kubernetes.node.name": "k8s.node.name",
    "system.kubernetes.pod.name": "k8s.pod.name",
    "system.kubernetes.namespace": "k8s.namespace.name",
    "host.hostname": "host.name",
    "host.name": "host.name",
    "kubernetes.node.name": "k8s.node.name",
    "kubernetes.pod.name": "k8s.pod.name",
    "kubernetes.namespace": "k8s.namespace.name",
    "kubernetes.deployment.name": "k8s.deployment.name",
    "kubernetes.statefulset.name": "k8s.statefulset.name",
    "orchestrator.cluster.name": "k8s.cluster.name",
    "process.pid": "process.pid",
}
"""Fields of metadata and of documents, and the attribute of a resource that each is; the first counts."""


def _of_file(records: Records) -> Iterator[tuple[int, Found]]:
    metadata: dict[str, Any] = {}

    def taken(line: int, record: Any) -> Iterator[tuple[int, Found]]:
        nonlocal metadata
        one = as_object(record)
        if (found := as_object(one.get("metadata"))) and len(one) == 1:
            metadata = _resource_of(found)
        else:
            yield line, _of_event(one, metadata)

    yield from each_taken(records, taken)


def _of_event(one: dict[str, Any], metadata: dict[str, Any]) -> Span | NotUsed:
    if "@timestamp" in one and one.get("span_id"):
        return _of_otel(one)
    if "@timestamp" in one:
        kind = str(_at(one, "processor.event") or "")
        if kind not in _KINDS:
            return NotUsed(kind[:60] or "documents that are no transactions, spans or errors")
        return _of_document(kind, one)
    kind = next((kind for kind in _KINDS if isinstance(one.get(kind), dict)), "")
    if not kind:
        return NotUsed(next(iter(one), "nothing")[:60])
    raw = one[kind]
    service = as_object(as_object(raw.get("context")).get("service"))
    resource = {**metadata, **_resource_of({"service": service})}
    if kind == "error":
        return _error(raw, as_object(raw.get("exception")), raw.get("log"), resource)
    context = as_object(raw.get("context"))
    code = _at(context, "response.status_code") or _at(context, "http.status_code")
    return _span(
        raw, code, {**as_object(context.get("tags")), **as_object(_at(raw, "otel.attributes"))}, resource
    )


def _of_otel(one: dict[str, Any]) -> Span | NotUsed:
    """Read a document of a data stream of OpenTelemetry, where a span keeps its names."""
    if (took := number_of(one, ("duration",))) is None:
        return NotUsed("log documents of OpenTelemetry")
    attributes = _below(one, "attributes")
    start = any_ns(attributes.get("timestamp.us") or one["@timestamp"], "@timestamp")
    status = str(_at(one, "status.code") or "unset").lower()
    return Span(
        trace_id=required_text(one.get("trace_id"), "trace_id").lower(),
        span_id=required_text(one.get("span_id"), "span_id").lower(),
        parent_id=str(one.get("parent_span_id") or "").lower(),
        name=str(one.get("name") or ""),
        start_ns=start,
        end_ns=start + int(took) if start else 0,
        status=status if status in {"ok", "error"} else "unset",
        status_message=str(_at(one, "status.message") or ""),
        scope=str(_at(one, "scope.name") or ""),
        attributes={key: value for key, value in attributes.items() if not _OF_ELASTIC.match(key)},
        resource={
            **_below(one, "resource.attributes"),
            **_below(as_object(one.get("resource")), "attributes"),
        },
    )


def _of_document(kind: str, one: dict[str, Any]) -> Span:
    took = number_of({"us": _at(one, f"{kind}.duration.us")}, ("us",))
    raw = {key: _at(one, f"{kind}.{key}") for key in ("id", "name", "type", "result")} | {
        "trace_id": _at(one, "trace.id"),
        "parent_id": _at(one, "parent.id"),
        "transaction_id": _at(one, "transaction.id") if kind != "transaction" else None,
        "timestamp": _at(one, "timestamp.us") or one["@timestamp"],
        "duration": took / 1000 if took is not None else None,
        "outcome": _at(one, "event.outcome"),
    }
    if kind == "error":
        exceptions = _at(one, "error.exception")
        exception = (objects_of(exceptions) or [as_object(exceptions)])[0]
        for key in ("message", "type", "handled"):
            if (found := _at(one, f"error.exception.{key}")) is not None:
                exception = {**exception, key: (as_list(found) or [found])[0]}
        return _error(raw, exception, _at(one, "error.log"), _resource_of(one))
    labels = {**_below(one, "labels"), **_below(one, "numeric_labels")}
    attributes = {attribute_of(key): value for key, value in labels.items()}
    return _span(raw, _at(one, "http.response.status_code"), attributes, _resource_of(one))


def _span(raw: dict[str, Any], code: Any, attributes: dict[str, Any], resource: dict[str, Any]) -> Span:
    start = any_ns(raw.get("timestamp"), "timestamp")
    took = number_of(raw, ("duration",))
    about = {"http.response.status_code": code, "result": raw.get("result"), "span_type": raw.get("type")}
    return Span(
        trace_id=required_text(raw.get("trace_id"), "trace id").lower(),
        span_id=required_text(raw.get("id"), "id").lower(),
        parent_id=str(raw.get("parent_id") or raw.get("transaction_id") or "").lower(),
        name=str(raw.get("name") or raw.get("type") or ""),
        start_ns=start,
        end_ns=start + round(took * 1e6) if took is not None else 0,
        status=_STATUS.get(str(raw.get("outcome") or "").lower(), "unset"),
        scope="elastic-apm",
        attributes={**present(about), **attributes},
        resource=resource,
    )


def _error(raw: dict[str, Any], exception: dict[str, Any], log: Any, resource: dict[str, Any]) -> Span:
    """Read an error as what tells of its span's failure: its words, where the span has none."""
    while causes := objects_of(exception.get("cause")):
        exception = causes[0]
    message = exception.get("message") or as_object(log).get("message")
    values = present({"exception.type": exception.get("type"), "exception.message": message})
    when = any_ns(raw.get("timestamp"), "timestamp")
    own = required_text(raw.get("id"), "id").lower()
    return Span(
        trace_id=str(raw.get("trace_id") or own).lower(),
        span_id=str(raw.get("parent_id") or raw.get("transaction_id") or own).lower(),
        parent_id="",
        name=str(raw.get("culprit") or exception.get("type") or "error"),
        start_ns=0 if raw.get("trace_id") else when,
        end_ns=when,
        status="error-log",
        scope="elastic-apm",
        resource=resource,
        events=(SpanEvent("exception", {key: str(value) for key, value in values.items()}, when),),
    )


def _resource_of(values: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for path, name in _RESOURCE.items():
        if value := first({"": _at(values, path)}, ("",)):
            found.setdefault(name, value)
    return found


def _at(value: Any, path: str) -> Any:
    """Look a field up by its path, be it nested, dotted, or partly both; None without one."""
    if not isinstance(value, dict):
        return None
    if path in value:
        return value[path]
    place = path.find(".")
    while place > 0:
        if (found := _at(value.get(path[:place]), path[place + 1 :])) is not None:
            return found
        place = path.find(".", place + 1)
    return None


def _below(value: dict[str, Any], name: str) -> dict[str, Any]:
    """Give the fields of an object, be they nested or dotted."""
    dotted = {key.removeprefix(f"{name}."): each for key, each in value.items() if key.startswith(f"{name}.")}
    return {**as_object(value.get(name)), **dotted}


FORMAT = Format(
    "elastic_apm",
    "Elastic APM: its agents' NDJSON (intake v2), and documents of Elasticsearch.",
    has_any(
        has_all(
            rb'^(?:\xef\xbb\xbf)?\s*\[?\s*\{\s*"metadata"\s*:\s*\{',
            rb'"service"\s*:\s*\{',
            rb'[}\n,]\s*\{\s*"(?:transaction|span|error|metricset)"\s*:\s*\{\s*"',
        ),
        has_all(
            rb'"@timestamp"\s*:',
            rb'"processor\.event"\s*:|"processor"\s*:\s*\{',
            rb'"(?:transaction|span|error)\.id"\s*:|"(?:transaction|span|error)"\s*:\s*\{',
        ),
        has_all(
            rb'"@timestamp"\s*:',
            rb'"span_id"\s*:',
            rb'"resource\.attributes\.|"resource"\s*:\s*\{',
            rb'"data_stream',
        ),
    ),
    file_reader(_of_file, "events"),
)
