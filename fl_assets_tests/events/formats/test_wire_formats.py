"""What SDKs and agents send, and stores keep of it: Langfuse, Datadog, Elastic APM and Zipkin 1."""

from typing import Any

import orjson
import pytest

from fl_assets.events.formats import detect, langfuse_ingestion
from fl_assets.events.formats.seam import EvaluationLine
from fl_assets_tests.events.formats.documents import (
    AT,
    DATADOG,
    ELASTIC_APM,
    LANGFUSE_INGESTION,
    NANO,
    SPAN,
    TOOL,
    TRACE,
    ZIPKIN_V1,
)
from fl_assets_tests.events.formats.reading import counted, rows


def file_of(values: list) -> bytes:
    return b"\n".join(map(orjson.dumps, values))


def calls_of(values: list) -> list[dict[str, Any]]:
    _, events, _ = rows("x", file_of(values))
    return [event["execution_trace"] for event in events if event["execution_trace"]]


# Langfuse ---------------------------------------------------------------------------------------------------

EVENTS = [event for request in LANGFUSE_INGESTION for event in request["batch"]]


def test_events_one_a_line_are_the_batch():
    assert counted("x", file_of(EVENTS)) == counted("x", file_of(LANGFUSE_INGESTION))


def test_an_update_of_what_began_in_another_file_is_left_out_with_a_word_unless_it_is_a_failure():
    name, events, refused = rows("x", file_of([{"batch": EVENTS[3:4]}]))
    assert (name, events) == ("langfuse_ingestion", [])
    assert [(one.events, one.reason) for one in refused] == [(0, "not_used")]
    assert "1 updates of observations that began in another file" in refused[0].detail
    failed = {**EVENTS[4]["body"], "traceId": "t1"}
    (call,) = calls_of([{"batch": [{**EVENTS[4], "body": failed}]}])
    assert (call["success"], call["error"], call["duration_ms"]) == (False, "order already refunded", None)


def test_what_was_said_last_of_an_observation_is_in_its_version():
    refund = next(call for call in calls_of(LANGFUSE_INGESTION) if call["method"] == "refund")
    assert refund["metadata"]["updated_at"] == f"{AT}3.000000Z"
    begun = next(call for call in calls_of([LANGFUSE_INGESTION[0]]) if call["method"] == "refund")
    assert begun["metadata"]["unfinished"] == "true"
    assert begun["metadata"]["updated_at"] == f"{AT}0.000000Z"


def test_of_many_observations_the_oldest_are_taken_as_they_are(monkeypatch):
    monkeypatch.setattr(langfuse_ingestion, "MAX_HELD", 1)
    found = {call["method"]: call["metadata"].get("unfinished") for call in calls_of([LANGFUSE_INGESTION[0]])}
    assert found == {"refund": "true", "chat gpt-4o": "true"}


def test_scores_of_a_batch_are_evaluations():
    body = {"id": "sc1", "traceId": "t1", "name": "helpful", "value": 1, "comment": "good"}
    batch = [*EVENTS, {"id": "e8", "type": "score-create", "timestamp": f"{AT}9.000Z", "body": body}]
    content = orjson.dumps({"batch": batch})
    found = detect("x", content)
    assert found is not None
    scores = [
        orjson.loads(entry.data) for entry in found.read([(1, content)]) if isinstance(entry, EvaluationLine)
    ]
    assert [(one["name"], one["value"], one["session_id"]) for one in scores] == [("helpful", 1.0, "s1")]


# Datadog ----------------------------------------------------------------------------------------------------

LLM_SPAN = {
    "name": "answer",
    "span_id": "123",
    "trace_id": "9",
    "parent_id": "undefined",
    "start_ns": NANO,
    "duration": 2_000_000_000,
    "status": "error",
    "meta": {
        "span.kind": "llm",
        "model_name": "gpt-4o",
        "error.message": "rate limit",
        "error.type": "RateLimitError",
    },
    "metrics": {"input_tokens": 3},
    "tags": ["ml_app:shop", "service:shop-api"],
}


@pytest.mark.parametrize(
    "value",
    [
        [{"_dd.stage": "raw", "event_type": "span", "spans": [LLM_SPAN]}],
        {"_dd.stage": "raw", "event_type": "span", "spans": [LLM_SPAN]},
        {"data": {"type": "span", "attributes": {"ml_app": "shop", "spans": [LLM_SPAN]}}},
        {**LLM_SPAN, "meta": {**LLM_SPAN["meta"], "span": {"kind": "llm"}}},
        {**LLM_SPAN, "service": ""},
    ],
)
def test_spans_of_datadogs_sdks_are_read_however_they_are_wrapped(value):
    (call,) = calls_of([value])
    assert (call["service"], call["method"], call["success"]) == ("shop-api", "chat gpt-4o", False)
    assert (call["error"], call["duration_ms"]) == ("RateLimitError: rate limit", 2000.0)
    assert call["metadata"]["input_tokens"] == "3"


def test_traces_of_datadogs_apm_are_calls():
    span = {
        "service": "shop",
        "name": "web.request",
        "resource": "GET /orders",
        "trace_id": 7,
        "span_id": 8,
        "parent_id": 0,
        "start": NANO,
        "duration": 1_000_000,
        "error": 1,
        "meta": {"error.message": "no such order", "error.type": "KeyError", "env": "prod"},
        "metrics": {"_sampling_priority_v1": 1},
    }
    found = calls_of([[[span, {**span, "span_id": 9, "parent_id": 8, "error": 0}]]])
    assert [(call["method"], call["success"], call["error"]) for call in found] == [
        ("GET /orders", True, None),
        ("GET /orders", False, "KeyError: no such order"),
    ]


def test_evaluations_of_an_export_are_of_their_span():
    content = file_of(DATADOG)
    found = detect("x", content)
    assert found is not None
    (score,) = [
        orjson.loads(entry.data) for entry in found.read([(1, content)]) if isinstance(entry, EvaluationLine)
    ]
    assert (score["name"], score["label"], score["span_id"]) == ("failure_to_answer", "answered", "a3")


# Elastic APM ------------------------------------------------------------------------------------------------

SPAN_DOCUMENT = {
    "@timestamp": f"{AT}0.000Z",
    "timestamp": {"us": NANO // 1000},
    "processor": {"event": "span", "name": "transaction"},
    "trace": {"id": TRACE},
    "transaction": {"id": SPAN},
    "parent": {"id": SPAN},
    "span": {"id": TOOL, "name": "execute_tool refund", "type": "app", "duration": {"us": 412_000}},
    "event": {"outcome": "failure"},
    "service": {"name": "billing", "environment": "prod"},
    "host": {"hostname": "node-7"},
    "labels": {"gen_ai_operation_name": "execute_tool", "gen_ai_tool_name": "refund"},
}
ERROR_DOCUMENT = {
    "@timestamp": f"{AT}0.400Z",
    "processor": {"event": "error"},
    "trace": {"id": TRACE},
    "parent": {"id": TOOL},
    "error": {
        "id": "e1",
        "exception": [{"type": "RefundError", "message": "order already refunded", "handled": False}],
    },
    "service": {"name": "billing"},
}


def dotted(value: dict, prefix: str = "") -> dict[str, Any]:
    return {
        name: inner
        for key, each in value.items()
        for name, inner in (
            dotted(each, f"{prefix}{key}.") if isinstance(each, dict) else {f"{prefix}{key}": each}
        ).items()
    }


WRAPPED = {
    "documents": lambda documents: documents,
    "dotted": lambda documents: [dotted(one) for one in documents],
    "an export": lambda documents: [{"_index": "apm", "_id": "1", "_source": one} for one in documents],
    "an answer": lambda documents: [{"took": 1, "hits": {"hits": [{"_source": one} for one in documents]}}],
    "fields": lambda documents: [
        {
            "hits": {
                "hits": [
                    {"fields": {key: [value] for key, value in dotted(one).items()}} for one in documents[:1]
                ]
            }
        },
        *documents[1:],
    ],
}


@pytest.mark.parametrize("wrapped", WRAPPED)
def test_elasticsearchs_documents_are_what_agents_sent(wrapped):
    (call,) = calls_of(WRAPPED[wrapped]([SPAN_DOCUMENT, ERROR_DOCUMENT]))
    (sent,) = [call for call in calls_of(ELASTIC_APM) if call["method"] == "refund"]
    same = ("trace_id", "service", "method", "duration_ms", "success", "error", "timestamp")
    assert {key: call[key] for key in same} == {key: sent[key] for key in same}
    assert call["metadata"]["node_id"] == "node-7"


def test_a_deployment_in_elasticsearch_is_the_node_of_its_pods():
    pod = {"node": {"name": "m1"}, "pod": {"name": "x"}, "deployment": {"name": "agent"}, "namespace": "shop"}
    (call,) = calls_of([{**SPAN_DOCUMENT, "kubernetes": pod, "orchestrator": {"cluster": {"name": "eu"}}}])
    assert call["metadata"]["node_id"] == "eu/shop/agent"


def test_a_deployment_in_datadogs_tags_is_the_node_of_its_pods():
    (page,) = DATADOG
    attributes = page["data"][0]["attributes"]
    tags = ["kube_cluster_name:eu", "kube_namespace:shop", "kube_deployment:agent", *attributes["tags"]]
    span = {**page["data"][0], "attributes": {**attributes, "tags": tags}}
    (call,) = calls_of([{"data": [span]}])
    assert call["metadata"]["node_id"] == "eu/shop/agent"


OTEL_DOCUMENT = {
    "@timestamp": f"{AT}0.000Z",
    "data_stream": {"type": "traces", "dataset": "generic.otel"},
    "trace_id": TRACE,
    "span_id": TOOL,
    "parent_span_id": SPAN,
    "name": "execute_tool refund",
    "kind": "Internal",
    "duration": 412_000_000,
    "status": {"code": "Error", "message": "order already refunded"},
    "attributes": {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "refund",
        "timestamp.us": NANO // 1000,
        "transaction.id": TOOL,
    },
    "resource": {"attributes": {"service.name": "billing", "host.name": "node-7"}},
    "scope": {"name": "strands"},
}


@pytest.mark.parametrize("wrapped", WRAPPED)
def test_elasticsearchs_documents_of_opentelemetry_keep_its_names(wrapped):
    (call,) = calls_of(WRAPPED[wrapped]([OTEL_DOCUMENT]))
    assert (call["service"], call["method"], call["error"]) == ("billing", "refund", "order already refunded")
    assert (call["duration_ms"], call["timestamp"]) == (412.0, f"{AT}0.412000Z")
    assert call["metadata"]["node_id"] == "node-7"
    assert "transaction.id" not in call["metadata"]


def test_an_error_that_was_handled_makes_no_failure_of_a_success():
    good = [ELASTIC_APM[0], {"span": {**ELASTIC_APM[2]["span"], "outcome": "success"}}, ELASTIC_APM[3]]
    assert [(call["success"], call["error"]) for call in calls_of(good)] == [(True, None)]


def test_an_error_whose_span_is_elsewhere_stands_for_it():
    (call,) = calls_of([ELASTIC_APM[0], ELASTIC_APM[3], {"metricset": {}}])
    assert (call["success"], call["error"]) == (False, "RefundError: order already refunded")
    assert call["metadata"]["unfinished"] == "true"


@pytest.mark.parametrize("took", ["1e999", "-5", '"long"', "true", "null"])
def test_a_duration_that_is_none_costs_the_duration_alone(took):
    agent = {"span": {**ELASTIC_APM[2]["span"], "duration": 7}}
    for values in (
        [ELASTIC_APM[0], agent],
        [{**OTEL_DOCUMENT, "duration": 7}],
        [{**LLM_SPAN, "duration": 7}],
    ):
        content = file_of(values).replace(b'"duration":7', f'"duration":{took}'.encode())
        _, events, refused = rows("x", content)
        durations = [event["execution_trace"]["duration_ms"] for event in events]
        assert durations == [None] or (durations == [] and refused)


# Zipkin 1 ---------------------------------------------------------------------------------------------------


def noted(*names: str) -> list[dict]:
    return [
        {"timestamp": NANO // 1000 + place * 1000, "value": name, "endpoint": {"serviceName": f"of-{name}"}}
        for place, name in enumerate(names)
    ]


@pytest.mark.parametrize(
    ("notes", "times", "service", "took"),
    [
        (noted("sr", "ss"), {}, "of-sr", 1.0),
        (noted("cs", "cr"), {"timestamp": NANO // 1000, "duration": 7000}, "of-cs", 7.0),
        (noted("cs", "sr", "ss", "cr"), {"timestamp": float(NANO // 1000), "duration": 3000}, "of-sr", 3.0),
        ([], {"timestamp": NANO // 1000, "duration": 5000}, "billing", 5.0),
        (noted("cs"), {}, "of-cs", None),
    ],
)
def test_sides_and_times_of_version_1_are_told_by_its_annotations(notes, times, service, took):
    local = {"key": "lc", "value": "worker", "endpoint": {"serviceName": "billing"}}
    span = {
        "traceId": "beaf",
        "id": "dead",
        "name": "get",
        "annotations": notes,
        "binaryAnnotations": [local],
    }
    (call,) = calls_of([[span | times]])
    assert (call["service"], call["duration_ms"]) == (service, took)


def test_both_sides_of_a_call_that_are_told_of_apart_are_two_calls():
    client = {**ZIPKIN_V1[0][0], "binaryAnnotations": []}
    server = {key: client[key] for key in ("traceId", "id", "parentId", "name")}
    found = calls_of([[client, {**server, "annotations": noted("sr", "ss")}]])
    assert [call["service"] for call in found] == ["billing", "of-sr"]
    assert len({call["metadata"]["span_id"] for call in found}) == 2
