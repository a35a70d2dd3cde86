"""The same spans in every spelling that writers are known to use are the same calls."""

import json
import re

import orjson
import pytest

from fl_assets.events.formats import detect
from fl_assets.events.formats.messages import turn_of, users_words
from fl_assets_tests.build import call_line, turn_line
from fl_assets_tests.events.formats.documents import NANO, TOOL, TRACE
from fl_assets_tests.events.formats.reading import counted, rows

ATTRIBUTES = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "refund", "tries": 2}
RESOURCE = {"service.name": "billing", "host.name": "node-7"}


def any_value(value: object) -> dict:
    return {"intValue": str(value)} if isinstance(value, int) else {"stringValue": value}


def pairs(values: dict) -> list[dict]:
    return [{"key": key, "value": any_value(value)} for key, value in values.items()]


SPAN = {
    "traceId": TRACE,
    "spanId": TOOL,
    "name": "execute_tool refund",
    "startTimeUnixNano": str(NANO),
    "endTimeUnixNano": str(NANO + 412_000_000),
    "attributes": pairs(ATTRIBUTES),
    "status": {"code": 2, "message": "order already refunded"},
}


def of_resource(span: dict, resource: object = None) -> dict:
    resource = {"attributes": pairs(RESOURCE)} if resource is None else resource
    return {"resource": resource, "scopeSpans": [{"scope": {"name": "lib"}, "spans": [span]}]}


def request(span: dict) -> dict:
    return {"resourceSpans": [of_resource(span)]}


def snake(value: object) -> object:
    if isinstance(value, dict):
        return {
            re.sub(r"[A-Z]", lambda one: f"_{one[0].lower()}", key): snake(item)
            for key, item in value.items()
        }
    return [snake(item) for item in value] if isinstance(value, list) else value


SPELLED = {
    "as documented": request(SPAN),
    "snake case": snake(request(SPAN)),
    "what one resource sent": of_resource(SPAN),
    "attributes as objects": {
        "resourceSpans": [of_resource({**SPAN, "attributes": ATTRIBUTES}, {"attributes": RESOURCE})]
    },
    "a span alone": {**SPAN, "resource": {"attributes": pairs(RESOURCE)}},
    "spans in a list": [{**SPAN, "resource": RESOURCE}],
    "within a result": {"result": request(SPAN)},
    "status as a word": request(
        {
            **SPAN,
            "status": "ERROR",
            "attributes": pairs({**ATTRIBUTES, "error.message": SPAN["status"]["message"]}),
        }
    ),
    "status in lower case": request(
        {**SPAN, "status": {"code": "error", "message": SPAN["status"]["message"]}}
    ),
    "times in ISO 8601": request(
        {**SPAN, "startTimeUnixNano": "2026-11-02T12:00:00Z", "endTimeUnixNano": "2026-11-02T12:00:00.412Z"}
    ),
    "times as floats": request(
        {**SPAN, "startTimeUnixNano": f"{NANO}.0", "endTimeUnixNano": f"{NANO + 412000000}.0"}
    ),
}


@pytest.mark.parametrize("spelling", SPELLED)
@pytest.mark.parametrize("packing", ["line", "indented", "twice without a line end"])
def test_a_span_is_the_same_call_in_every_spelling(spelling, packing):
    value = SPELLED[spelling]
    content = orjson.dumps(value, option=orjson.OPT_INDENT_2 if packing == "indented" else None)
    if packing.startswith("twice") and isinstance(value, dict):
        content += content
    name, events, refused = rows("x", content)
    assert (name, refused) == ("otlp", [])
    for event in events:
        call = event["execution_trace"]
        assert event["event_id"] == f"{TRACE}:{TOOL}"
        assert (call["service"], call["method"], call["duration_ms"]) == ("billing", "refund", 412.0)
        assert (call["success"], call["error"]) == (False, "order already refunded")
        assert (call["metadata"]["node_id"], call["metadata"]["tries"]) == ("node-7", "2")
    assert events


PRINTED = {
    "resource": {"attributes": RESOURCE},
    "instrumentationScope": {"name": "lib"},
    "traceId": TRACE,
    "parentSpanContext": {"traceId": TRACE, "spanId": "00000000000000a1"},
    "id": TOOL,
    "name": "execute_tool refund",
    "kind": 0,
    "timestamp": NANO // 1000,
    "duration": 412000.0,
    "attributes": ATTRIBUTES,
    "status": {"code": 2, "message": "order already refunded"},
    "events": [],
}
WHOLE = {
    "_spanContext": {"traceId": TRACE, "spanId": TOOL, "traceFlags": 1},
    "parentSpanId": "00000000000000a1",
    "name": "execute_tool refund",
    "startTime": [NANO // 10**9, 0],
    "endTime": [NANO // 10**9, 412_000_000],
    "status": {"code": 2},
    "attributes": ATTRIBUTES,
    "events": [
        {
            "name": "exception",
            "time": [NANO // 10**9, 412_000_000],
            "attributes": {"exception.message": "order already refunded"},
        }
    ],
    "resource": {"_attributes": RESOURCE},
    "instrumentationLibrary": {"name": "lib"},
}


NEWER = {**WHOLE, "resource": {"_rawAttributes": [*map(list, RESOURCE.items())]}}
"""As version 2 has it."""


@pytest.mark.parametrize("span", [PRINTED, WHOLE, NEWER])
def test_spans_of_the_javascript_sdk_are_read(span):
    name, (event,), refused = rows("x", orjson.dumps(span))
    call = event["execution_trace"]
    assert (name, refused) == ("otel_js", [])
    assert (event["event_id"], call["service"], call["method"]) == (f"{TRACE}:{TOOL}", "billing", "refund")
    assert (call["duration_ms"], call["error"]) == (412.0, "order already refunded")
    assert (call["metadata"]["node_id"], call["metadata"]["parent_span_id"]) == ("node-7", "00000000000000a1")


@pytest.mark.parametrize("resource", [{"attributes": RESOURCE}, NEWER["resource"]])
@pytest.mark.parametrize("hidden", ["_", ""])
def test_log_records_of_the_javascript_sdk_are_read(resource, hidden):
    def record(severity: int, **values: object) -> dict:
        times = {"hrTime": [NANO // 10**9, 5], "hrTimeObserved": [NANO // 10**9, 6]}
        about = {f"{hidden}body": "as said", f"{hidden}severityNumber": severity}
        scope = {"instrumentationScope": {"name": "gemini-cli"}, "resource": resource}
        return {**times, **scope, "attributes": values, **about}

    tool = {"event.name": "gemini_cli.tool_call", "function_name": "shell", "duration_ms": 40}
    file = [
        record(9, **tool, success=False, error="exit code 4"),
        record(17),
        {"resource": {}, "scopeMetrics": [{"metrics": []}]},
    ]
    content = b"\n".join(orjson.dumps(value, option=orjson.OPT_INDENT_2) for value in file)
    name, events, (refused,) = rows("x", content)
    calls = {event["execution_trace"]["method"]: event["execution_trace"] for event in events}
    assert (name, refused.detail) == ("otel_js", "1 record is no call, turn or error: 1 metrics")
    assert {method: call["error"] for method, call in calls.items()} == {
        "shell": "exit code 4",
        "gemini-cli": "as said",
    }
    assert (calls["shell"]["duration_ms"], calls["shell"]["service"]) == (40.0, "billing")


def of_go(values: dict) -> list[dict]:
    types = {str: "STRING", int: "INT64", bool: "BOOL"}
    return [
        {"Key": key, "Value": {"Type": types[type(value)], "Value": value}} for key, value in values.items()
    ]


@pytest.mark.parametrize("scope", ["InstrumentationScope", "InstrumentationLibrary"])
@pytest.mark.parametrize("has_events", [True, False])
def test_spans_that_the_go_sdk_prints_are_read(scope, has_events):
    def span(span_id: str, parent: str, end: str, **more: object) -> dict:
        context = {"TraceID": TRACE, "SpanID": span_id, "TraceFlags": "01", "TraceState": "", "Remote": False}
        return {
            "Name": "execute_tool refund",
            "SpanContext": context,
            "Parent": {**context, "SpanID": parent, "TraceID": TRACE if parent.strip("0") else "0" * 32},
            "SpanKind": 1,
            "StartTime": "2026-11-02T13:00:00.000000001+01:00",
            "EndTime": end,
            "Attributes": of_go(ATTRIBUTES),
            "Events": None,
            "Links": None,
            "Status": {"Code": "Unset", "Description": ""},
            "Resource": of_go(RESOURCE),
            scope: {"Name": "lib", "Version": "", "SchemaURL": ""},
            **more,
        }

    raised = of_go({"exception.type": "*net.OpError", "exception.message": "connection refused"})
    event = {"Name": "exception", "Attributes": raised, "Time": "2026-11-02T13:00:00.412+01:00"}
    failed = {"Status": {"Code": "Error", "Description": "connection refused"}}
    failed |= {"Events": [event]} if has_events else {}
    content = b"".join(
        json.dumps(one, indent="\t").encode() + b"\n"
        for one in (
            span(TOOL, "00000000000000a1", "2026-11-02T13:00:00.412+01:00", **failed),
            span("00000000000000a1", "0" * 16, "0001-01-01T00:00:00Z"),
        )
    )
    name, events, refused = rows("x", content)
    found = {event["event_id"]: event["execution_trace"] for event in events}
    call, unfinished = found[f"{TRACE}:{TOOL}"], found[f"{TRACE}:00000000000000a1"]
    assert (name, refused) == ("otel_go", [])
    assert (call["service"], call["method"], round(call["duration_ms"])) == ("billing", "refund", 412)
    words = "*net.OpError: connection refused" if has_events else "connection refused"
    assert (call["error"], call["metadata"]["parent_span_id"]) == (words, "00000000000000a1")
    assert (call["metadata"]["node_id"], call["metadata"]["tries"]) == ("node-7", "2")
    assert unfinished["metadata"]["caused_by"] == "unfinished"


@pytest.mark.parametrize("indent", [True, False])
def test_native_events_in_a_list_or_pretty_printed_are_events(indent):
    events = [orjson.loads(call_line("e1", success=False, error="no")), orjson.loads(turn_line("c1"))]
    option = orjson.OPT_INDENT_2 if indent else None
    documents = (
        orjson.dumps(events, option=option),
        b"\n".join(orjson.dumps(one, option=orjson.OPT_INDENT_2) for one in events),
    )
    for content in documents:
        name, found, refused = rows("x", content)
        assert (name, refused) == ("telemetrist_document", [])
        assert found == events
    assert detect("x", b"\n".join(map(orjson.dumps, events))) is None


@pytest.mark.parametrize("option", [None, orjson.OPT_INDENT_2])
def test_lines_of_words_between_spans_lose_no_event_and_are_counted(option):
    span = orjson.dumps(request(SPAN), option=option)
    content = b"INFO starting\n  at once\n" + span + b"\n2026-11-02 [main] 1 done\n"
    _, (event,), (refused,) = rows("x", content)
    assert event["event_id"] == f"{TRACE}:{TOOL}"
    assert (refused.reason, refused.detail, refused.events) == ("not_used", "3 lines are no JSON", 0)


@pytest.mark.parametrize("rest", [b'"name": "x"}]}', b'x", "b": [1', b'cut"}', b"{cut"])
def test_the_rest_of_a_record_that_was_cut_is_no_line_of_words(rest):
    _, _, (refused,) = rows("x", orjson.dumps(request(SPAN)) + b"\n" + rest)
    assert (refused.reason, refused.line) == ("bad_json", 2)


SAID = {
    "mcp.tool.isError": ({"mcp.tool.isError": "true", "mcp.tool.result": "no such order"}, "no such order"),
    "a part of a message": (
        {"ai.toolCall.result": '{"type": "error-text", "value": "no such order"}'},
        "no such order",
    ),
    "tool.success": ({"tool.success": 0, "tool.error": "no such order"}, "no such order"),
    "otel.status_code": (
        {"otel.status_code": "ERROR", "otel.status_description": "no such order"},
        "no such order",
    ),
    "errorMessage": ({"errorMessage": "no such order"}, "no such order"),
    "tool.error is null": ({"tool.error": "null"}, None),
}


@pytest.mark.parametrize("said", SAID)
def test_failure_is_seen_under_every_name(said):
    values, error = SAID[said]
    span = {**SPAN, "status": {}, "attributes": pairs({**ATTRIBUTES, **values})}
    found = counted("x", orjson.dumps(request(span)))
    assert found.failures == ({"refund": error} if error else {})


def of_log(**entry: object) -> bytes:
    scoped = {
        "scope": {"name": "com.anthropic.claude_code.events"},
        "logRecords": [{"timeUnixNano": str(NANO), **entry}],
    }
    return orjson.dumps(
        {"resourceLogs": [{"resource": {"attributes": pairs(RESOURCE)}, "scopeLogs": [scoped]}]}
    )


LOGGED = {
    "named by its body alone": (
        of_log(
            body={"stringValue": "claude_code.tool_result"},
            attributes=pairs({"tool_name": "Bash", "success": "false", "error": "no such file"}),
        ),
        {"Bash": "no such file"},
    ),
    "named by its attribute, as Rust's event name is a line of code": (
        of_log(
            eventName="event otel/src/events/session_telemetry.rs:785",
            attributes=pairs(
                {
                    "event.name": "codex.tool_result",
                    "tool_name": "shell",
                    "success": "false",
                    "output": "no make",
                }
            ),
        ),
        {"shell": "no make"},
    ),
    "an exception of a GenAI client": (
        of_log(
            eventName="gen_ai.client.operation.exception",
            traceId=TRACE,
            spanId=TOOL,
            severityNumber=17,
            attributes=pairs({"exception.type": "RateLimitError", "exception.message": "slow down"}),
        ),
        {"com.anthropic.claude_code.events": "RateLimitError: slow down"},
    ),
    "an answer that broke off": (
        of_log(attributes=pairs({"event.name": "codex.sse_event", "error.message": "stream closed early"})),
        {"codex.sse_event": "stream closed early"},
    ),
    "an answer that was refused": (
        of_log(attributes=pairs({"event.name": "claude_code.api_refusal", "model": "m"})),
        {"chat m": "finish reason: refusal"},
    ),
    "an MCP server that does not start": (
        of_log(
            attributes=pairs(
                {"event.name": "mcp_server_connection", "status": "failed", "error_code": "ENOENT"}
            )
        ),
        {"mcp_server_connection": "ENOENT"},
    ),
}


@pytest.mark.parametrize("logged", LOGGED)
def test_a_failure_that_only_a_log_record_tells_of_is_one(logged):
    content, failures = LOGGED[logged]
    assert counted("x", content).failures == failures


BESIDE = [
    {"event.name": "gemini_cli.api_request", "model": "m", "prompt_id": "p1"},
    {"event.name": "claude_code.tool_decision", "tool_name": "Bash", "decision": "accept"},
    {"event.name": "claude_code.api_retries_exhausted", "error": "overloaded", "total_attempts": "10"},
    {"event.name": "codex.tool_decision", "tool_name": "shell", "decision": "denied"},
    {"event.name": "codex.sse_event", "event.kind": "response.completed", "duration_ms": "1500"},
]


@pytest.mark.parametrize("values", BESIDE)
def test_an_event_beside_the_one_that_tells_of_a_call_is_neither_a_call_nor_unread(values):
    assert rows("x", of_log(attributes=pairs(values)))[1:] == ([], [])


@pytest.mark.parametrize(
    ("values", "ended"),
    [
        ({"event.name": "tool_decision", "tool_name": "Bash", "decision": "reject"}, "cancelled"),
        ({"event.name": "api_refusal", "model": "m", "server_fallback_hop": "true"}, None),
        ({"event.name": "mcp_server_connection", "status": "connected", "duration_ms": "20"}, None),
    ],
)
def test_what_was_not_allowed_or_went_on_elsewhere_did_not_fail(values, ended):
    (event,) = rows("x", of_log(attributes=pairs(values)))[1]
    call = event["execution_trace"]
    assert (call["success"], call["metadata"].get("caused_by")) == (not ended, ended)


def test_an_http_status_has_the_words_that_its_class_is_told_by():
    span = {
        **SPAN,
        "status": {},
        "attributes": pairs({"gen_ai.operation.name": "chat", "http.status_code": 429}),
    }
    assert set(counted("x", orjson.dumps(request(span))).failures.values()) == {
        "HTTP status 429 Too Many Requests"
    }


@pytest.mark.parametrize("unit", [10**3, 1, 10**9])
def test_times_in_another_unit_are_refused_by_jaeger_and_zipkin_too(unit):
    seconds = NANO // 10**9
    jaeger = {"traceID": "1", "spanID": "2", "operationName": "x", "startTime": seconds * unit, "duration": 1}
    zipkin = {"traceId": "1", "id": "2", "timestamp": seconds * unit, "localEndpoint": {"serviceName": "x"}}
    for value in ({"data": [{"spans": [jaeger]}]}, [zipkin]):
        _, found, (refused,) = rows("x", orjson.dumps(value))
        assert (found, refused.reason) == ([], "wrong_time_unit")


def test_a_page_of_spans_is_read():
    page = {"data": [SPAN, {**SPAN, "spanId": "1" * 16}], "next_cursor": None}
    assert len(rows("x", orjson.dumps(page))[1]) == 2


def test_the_largest_integer_is_no_time():
    for never in (2**64 - 1, 2**63 - 1, -62_135_596_800 * 10**9):
        _, (event,), _ = rows("x", orjson.dumps(request({**SPAN, "endTimeUnixNano": str(never)})))
        call = event["execution_trace"]
        assert (call["duration_ms"], call["metadata"]["unfinished"]) == (None, "true")


def test_a_list_that_ends_with_a_comma_loses_nothing():
    lines = b"[\n" + b"".join(orjson.dumps(request({**SPAN, "spanId": f"{i:016x}"})) + b",\n" for i in (1, 2))
    for end in (b"]", b"]\n", b""):
        assert len(rows("x", lines + end)[1]) == 2


TEMPLATES = [
    "<|im_start|>system\nbe kind<|im_end|>\n<|im_start|>user\nwhere is it?<|im_end|>\n",
    "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nbe kind<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\nwhere is it?<|eot_id|>",
    "You are kind.\n\nHuman: where is it?\n\nAssistant:",
    "<start_of_turn>user\nwhere is it?<end_of_turn>\n<start_of_turn>model\n",
]


@pytest.mark.parametrize("prompt", TEMPLATES)
def test_the_users_words_come_out_of_a_models_template(prompt):
    assert users_words(prompt) == "where is it?"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<bash-input>ls</bash-input>\n<bash-stdout>a.py</bash-stdout><bash-stderr></bash-stderr>", ""),
        ("<task-notification>\n<task-id>b1</task-id>\n</task-notification>\nRead the output file: /x", ""),
        ('<teammate-message teammate_id="a">done</teammate-message>', ""),
        ("<local-command-caveat>Caveat: below</local-command-caveat>where is it?", "where is it?"),
    ],
)
def test_what_claude_code_says_in_the_users_place_are_no_words_of_the_user(text, words):
    assert users_words(text) == words


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        ({"inputs": {"question": "where is it?"}}, "In Berlin."),
        (
            "where is it?",
            {"generations": [[{"text": "In Berlin.", "message": {"kwargs": {"content": "In Berlin."}}}]]},
        ),
        # LangGraph, which takes pairs; of one message it is no batch of one
        ({"messages": [["user", "where is it?"]]}, {"messages": [["human", "x"], ["ai", "In Berlin."]]}),
        ({"query_bundle": {"query_str": "where is it?"}}, {"response": "In Berlin."}),  # LlamaIndex
        (
            {"user_msg": {"role": "user", "blocks": [{"block_type": "text", "text": "where is it?"}]}},
            {"response": {"role": "assistant", "blocks": [{"block_type": "text", "text": "In Berlin."}]}},
        ),
        ({"args": [], "kwargs": {"question": "where is it?"}}, "In Berlin."),  # decorators of Traceloop
        (
            {"messages": [{"source": "user", "type": "TextMessage", "content": "where is it?"}]},
            {"messages": [{"source": "bot", "type": "TextMessage", "content": "In Berlin."}]},
        ),  # AutoGen
        (
            {"data": {"prompt_builder": {"query": "where is it?"}}, "include_outputs_from": None},
            {"llm": {"replies": [{"role": "assistant", "content": [{"text": "In Berlin."}]}], "meta": []}},
        ),  # Haystack
        (
            {"params": {"message": {"role": "user", "parts": [{"kind": "text", "text": "where is it?"}]}}},
            {"artifacts": [{"parts": [{"kind": "text", "text": "In Berlin."}]}]},
        ),  # A2A
        ({"state": {"messages": [{"type": "human", "content": "where is it?"}]}}, "In Berlin."),
        ({"inputText": "where is it?"}, {"outputText": "In Berlin."}),  # Bedrock's Titan
    ],
)
def test_questions_and_answers_lie_in_objects_within_objects(asked, answered):
    assert turn_of({"input.value": asked, "output.value": answered}, is_agent=True) == (
        "where is it?",
        "In Berlin.",
    )


@pytest.mark.parametrize(
    "asked",
    [
        {"topic": "where is it?"},
        {"data": {"router": {"connections": ["a"]}}},
        [["x", "y"]],
        {"messages": [{"source": "weather", "type": "TextMessage", "content": "sunny"}] * 2},
    ],
)
def test_what_only_looks_like_a_question_is_none(asked):
    assert turn_of({"input.value": asked, "output.value": "In Berlin."}, is_agent=True) is None
