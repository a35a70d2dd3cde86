"""OTLP/JSON: every spelling of the wire form gives the same rows, and one failure is counted once."""

import base64
import json
from collections.abc import Iterable, Iterator
from random import Random

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fl_assets.events.formats import conventions, messages, otlp
from fl_assets.events.formats import traces as traces_module
from fl_assets.events.formats.seam import EventLine, RefusedLine
from fl_assets.events.formats.spans import Span
from fl_assets.events.formats.values import _snake
from fl_assets_tests.events.formats.reading import rows

TRACE, ROOT, STEP, TOOL = (
    "5b8efff798038103d269b633813fc60c",
    "00000000000000a1",
    "00000000000000b2",
    "00000000000000c3",
)
START, END = 1_793_527_200_000_000_123, 1_793_527_200_250_000_123


def attribute(key: str, value: object) -> dict:
    kind = {bool: "boolValue", int: "intValue", float: "doubleValue", str: "stringValue"}[type(value)]
    return {"key": key, "value": {kind: str(value) if kind == "intValue" else value}}


def span(
    span_id: str = TOOL,
    parent: str = "",
    name: str = "step",
    status: object = 0,
    trace: str = TRACE,
    **more: object,
) -> dict:
    attributes = [attribute(key, value) for key, value in more.pop("attributes", {}).items()]
    times = {"startTimeUnixNano": str(START), "endTimeUnixNano": str(END)}
    return {
        "traceId": trace,
        "spanId": span_id,
        "parentSpanId": parent,
        "name": name,
        **times,
        "attributes": attributes,
        "status": {"code": status},
        **more,
    }


def request(*found: dict, resource: dict | None = None) -> dict:
    attributes = [
        attribute(key, value)
        for key, value in (resource or {"service.name": "shop", "host.name": "n1"}).items()
    ]
    return {
        "resourceSpans": [
            {
                "resource": {"attributes": attributes},
                "scopeSpans": [{"scope": {"name": "lib"}, "spans": list(found)}],
            }
        ]
    }


def run(*requests: object) -> list[EventLine | RefusedLine]:
    return list(otlp.FORMAT.read(enumerate((orjson.dumps(entry) for entry in requests), 1)))


def events(results: Iterable[EventLine | RefusedLine]) -> list[dict]:
    return [json.loads(entry.data) for entry in results if isinstance(entry, EventLine)]


def traces(results: Iterable[EventLine | RefusedLine]) -> dict[str, dict]:
    return {
        event["event_id"].split(":")[1]: event["execution_trace"]
        for event in events(results)
        if event["execution_trace"]
    }


def talks(results: Iterable[EventLine | RefusedLine]) -> list[dict]:
    return [event["conversation_log"] for event in events(results) if event["conversation_log"]]


def exception(kind: str, message: str, stack: str = "") -> dict:
    values = {"exception.type": kind, "exception.message": message, "exception.stacktrace": stack}
    return {
        "name": "exception",
        "timeUnixNano": str(END),
        "attributes": [attribute(key, value) for key, value in values.items()],
    }


@pytest.mark.parametrize(
    ("resource", "node"),
    [
        ({"service.instance.id": "agent-1", "host.name": "n1"}, "agent-1"),
        ({"service.instance.id": "627cc493-f310-47de-96bd-71410b7dec09", "host.name": "n1"}, "n1"),
        ({"service.instance.id": "627cc493-f310-47de-96bd-71410b7dec09"}, None),
        ({"service.instance.id": "worker@3f:4242", "host.name": "4f1c2ab93d77"}, None),
        ({"host.name": "localhost", "faas.name": "refund"}, "refund"),
        ({"k8s.pod.name": "agent-7d9f8b6c5-x2x9z", "k8s.deployment.name": "agent"}, "agent"),
        ({"k8s.pod.name": "agent-7d9f8b6c5-x2x9z", "k8s.node.name": "pool-1-a"}, "pool-1-a"),
        ({"k8s.pod.name": "agent-7d9f8b6c5-x2x9z"}, "agent"),
        ({"host.name": "agent-7d9f8b6c5-x2x9z"}, "agent"),
        ({"k8s.pod.name": "agent-0"}, "agent-0"),
        (
            {
                "host.name": "ip-10-0-0-7.internal",
                "k8s.node.name": "ip-10-0-0-7.internal",
                "k8s.deployment.name": "agent",
                "k8s.namespace.name": "shop",
                "k8s.cluster.name": "eu",
            },
            "eu/shop/agent",
        ),
        ({"k8s.node.name": "pool-1-a", "k8s.daemonset.name": "agent"}, "pool-1-a"),
        ({"host.name": "agent-7d9f8b6c5-x2x9z", "k8s.namespace.name": "shop"}, "shop/agent"),
        (
            {
                "service.instance.id": "shop.agent-7d9f8b6c5-x2x9z.main",
                "k8s.pod.name": "agent-7d9f8b6c5-x2x9z",
            },
            "agent",
        ),
        ({"service.instance.id": "", "host.id": "h1"}, "h1"),
        ({"host.name": "modal-sb-01HZX3K5Q8V9W2Y4"}, None),
        ({"host.name": "e2b-i9x8k2j4h5"}, None),
        ({"service.instance.id": "12345@laptop"}, None),
        ({"host.name": "web-eu-west-2"}, "web-eu-west-2"),
        ({"host.name": "runnervmq7k2p"}, None),
        ({"host.name": "runner-x7_k2-project-12-concurrent-0"}, None),
        ({"host.name": "e2b-i5522178893"}, None),
        ({"host.name": "sandbox-berlin"}, "sandbox-berlin"),
        ({"hostname": "box-3"}, "box-3"),
        ({"host.name": "ip-10-0-3-22.ec2.internal"}, "ip-10-0-3-22.ec2.internal"),
        (
            {
                "host.name": "ip-10-0-3-22.ec2.internal",
                "aws.ecs.task.arn": "arn:aws:ecs:x:1:task/c/3f2a",
                "aws.ecs.task.family": "agent",
            },
            "agent",
        ),
    ],
)
def test_a_node_that_restarts_stays_one_node(resource, node):
    (event,) = events(run(request(span(), resource={"service.name": "shop", **resource})))
    assert event["execution_trace"]["metadata"].get("node_id") == node


def test_a_span_becomes_an_execution_trace():
    found = span(
        STEP,
        ROOT,
        "execute_tool book",
        2,
        attributes={"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "book", "retries": 3},
    )
    found["events"] = [exception("ValueError", "no seats")]
    (event,) = events(run(request(found)))
    assert event["event_id"] == f"{TRACE}:{STEP}"
    assert event["event_type"] == "ExecutionTrace"
    assert event["conversation_log"] is None
    assert event["timestamp"] == "2026-11-01T10:00:00.250000Z"
    trace = event["execution_trace"]
    assert (trace["service"], trace["method"], trace["success"], trace["error"]) == (
        "shop",
        "book",
        False,
        "ValueError: no seats",
    )
    assert (trace["trace_id"], trace["request_id"], trace["duration_ms"]) == (TRACE, STEP, 250.0)
    assert (
        trace["metadata"]
        | {"node_id": "n1", "span_id": STEP, "parent_span_id": ROOT, "scope": "lib", "retries": "3"}
        == trace["metadata"]
    )
    assert all(isinstance(value, str) for value in trace["metadata"].values())


# The wire form
# ----------------------------------------------------------------------------------------------------

ids = st.binary(min_size=8, max_size=8).filter(any)
texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=20)
values = st.one_of(
    texts, st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False)
)


@st.composite
def plain_spans(draw: st.DrawFn) -> list[dict]:
    """Spans in the canonical spelling."""
    found = []
    known = draw(st.lists(ids, min_size=1, max_size=6, unique=True))
    for number, span_id in enumerate(known):
        parent = draw(st.sampled_from(["", *(entry.hex() for entry in known[:number])]))
        keys = st.sampled_from(
            ["gen_ai.tool.name", "gen_ai.request.model", "error.type", "exit_code", "tenant", "session.id"]
        )
        more = draw(st.dictionaries(keys, values, max_size=4))
        entry = span(span_id.hex(), parent, draw(texts), draw(st.sampled_from([0, 1, 2])), attributes=more)
        entry["endTimeUnixNano"] = str(START + draw(st.integers(0, 10**12)))
        found.append(entry)
    return found


STATUS = {0: "STATUS_CODE_UNSET", 1: "STATUS_CODE_OK", 2: "STATUS_CODE_ERROR"}


def respelled(value: object, random: Random) -> object:
    """Write a request as another writer may: the meaning stays."""
    if isinstance(value, list):
        return [respelled(entry, random) for entry in value]
    if not isinstance(value, dict):
        return value
    if set(value) == {"code"}:
        return {"code": random.choice([value["code"], str(value["code"]), STATUS[value["code"]]])}
    result = {}
    for key, inner in value.items():
        spelled = _snake(key) if random.getrandbits(1) else key
        if key in {"traceId", "spanId", "parentSpanId"} and inner:
            result[spelled] = random.choice(
                [inner, inner.upper(), base64.b64encode(bytes.fromhex(inner)).decode()]
            )
        elif key in {"startTimeUnixNano", "endTimeUnixNano", "intValue"}:
            result[spelled] = int(inner) if random.getrandbits(1) else inner
        elif key == "parentSpanId" and random.getrandbits(1):
            result[spelled] = random.choice(["0000000000000000", "AAAAAAAAAAA=", None])
        else:
            result[spelled] = respelled(inner, random)
    if random.getrandbits(1):
        result["aFieldOfTomorrow"] = random.choice([None, 1, "x", [], {"spans": [1]}])
    return result


@settings(deadline=None)
@given(plain_spans(), st.integers(0, 2**32))
def test_every_spelling_of_ids_integers_enums_and_keys_gives_the_same_rows(found, seed):
    plain = request(*found)
    spelled = respelled(plain, Random(seed))
    assert run(spelled) == run(plain)
    pretty = json.dumps(spelled, indent=2).encode().splitlines()
    assert [entry.data for entry in otlp.FORMAT.read(enumerate(pretty, 1))] == [
        entry.data for entry in run(plain)
    ]


@settings(deadline=None)
@given(plain_spans(), st.integers(0, 2**32), st.integers(1, 4))
def test_neither_the_order_of_spans_nor_how_they_are_cut_into_requests_matters(found, seed, size):
    whole = sorted(entry.data for entry in run(request(*found)))
    Random(seed).shuffle(found)
    cut = [request(*found[start : start + size]) for start in range(0, len(found), size)]
    assert sorted(entry.data for entry in run(*cut)) == whole


names = st.sampled_from(["a", "b", "resource", "scopeSpans", "spans", "attributes", "key", "value"]) | texts
leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts
)
json_values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=12,
)


@example(value="\x80", place="events")
@settings(deadline=None)
@given(json_values, st.sampled_from(["request", "resource", "spans", "span", "attributes", "events", "any"]))
def test_no_json_breaks_the_reader(value, place):
    whole = span(name="x", attributes={"session.id": "s"})
    wrapped = {
        "request": value,
        "resource": {"resourceSpans": value},
        "spans": {"resourceSpans": [{"scopeSpans": [{"spans": value}]}]},
        "span": request(
            {**whole, **(value if isinstance(value, dict) else {"status": value, "name": value})}
        ),
        "attributes": request({**whole, "attributes": value}),
        "events": request({**whole, "events": value, "parentSpanId": value}),
        "any": request({**whole, "attributes": [{"key": "gen_ai.input.messages", "value": value}]}),
    }[place]
    for entry in run(wrapped):
        assert isinstance(entry, EventLine | RefusedLine)


def test_deep_nesting_costs_neither_the_reader_nor_the_span():
    deep = {"stringValue": "end"}
    for _ in range(300):
        deep = {"arrayValue": {"values": [deep]}}
    line = json.dumps(
        request(span() | {"attributes": [{"key": "gen_ai.input.messages", "value": deep}]})
    ).encode()
    assert len(traces(otlp.FORMAT.read([(1, line)]))) == 1
    text = "[" * 900 + "]" * 900
    found = span(
        attributes={
            "gen_ai.operation.name": "chat",
            "gen_ai.input.messages": text,
            "gen_ai.output.messages": text,
        }
    )
    assert len(traces(run(request(found)))) == 1


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"traceId": "xyz"}, "traceId is 'xyz', must be 32 hexadecimal digits"),
        ({"spanId": "0" * 16}, "spanId is all zeros"),
        ({"spanId": None}, "spanId is None"),
        ({"endTimeUnixNano": "soon"}, "endTimeUnixNano is 'soon', must be an integer"),
        ({"startTimeUnixNano": 0, "endTimeUnixNano": 0}, "no usable time"),
        ({"endTimeUnixNano": str(2**70)}, "no usable time"),
    ],
)
def test_a_span_that_cannot_be_read_costs_itself_alone_and_says_why(change, what):
    results = run(request({**span(STEP), **change}, span(TOOL)))
    assert list(traces(results)) == [TOOL]
    (refusal,) = [entry for entry in results if isinstance(entry, RefusedLine)]
    assert (refusal.line, refusal.reason) == (1, "bad_span")
    assert what in refusal.detail


def test_what_is_wrong_in_a_line_is_one_refusal_however_often_it_is_wrong():
    bad = [span(STEP) | {"endTimeUnixNano": 0, "startTimeUnixNano": 0}, span(STEP) | {"spanId": "?"}, 7]
    results = run([request(*bad, span(TOOL)), {}, request(*bad)])
    assert [type(entry) for entry in results] == [EventLine, RefusedLine]
    assert results[1].detail.startswith("7 of 8 spans: ")


def test_a_broken_line_costs_that_line_wherever_it_is():
    good = [orjson.dumps(request(span(entry))) for entry in (ROOT, STEP, TOOL)]
    for place in range(4):
        lines = [*good[:place], b'{"resourceSpans": [{"resou', *good[place:]]
        results = list(otlp.FORMAT.read(enumerate(lines, 1)))
        assert set(traces(results)) == {ROOT, STEP, TOOL}
        assert [(entry.line, entry.reason) for entry in results if isinstance(entry, RefusedLine)] == [
            (place + 1, "bad_json")
        ]


def test_other_requests_in_the_file_are_refused_by_what_they_hold():
    (refusal,) = run({"resourceMetrics": []})
    assert "resourceMetrics" in refusal.detail
    assert run({"resourceSpans": []}) == []


# One failure is counted once
# ----------------------------------------------------------------------------------------------------


def caused_by(results: list[EventLine | RefusedLine]) -> dict[str, str | None]:
    return {
        span_id: trace["metadata"].get("caused_by", "").partition(":")[2]
        for span_id, trace in traces(results).items()
        if not trace["success"]
    }


def test_the_deepest_error_of_a_branch_is_the_failure_and_its_ancestors_say_so():
    chain = [span(TOOL, STEP, status=2), span(STEP, ROOT, status=2), span(ROOT, status=2)]
    for order in (chain, chain[::-1]):
        assert caused_by(run(*map(request, order))) == {TOOL: "", STEP: TOOL, ROOT: TOOL}


def test_a_span_that_says_nothing_passes_a_failure_on_and_one_that_says_ok_does_not():
    for middle, cause in ((0, TOOL), (1, "")):
        assert caused_by(
            run(request(span(TOOL, STEP, status=2), span(STEP, ROOT, status=middle), span(ROOT, status=2)))
        ) == {TOOL: "", ROOT: cause}


def test_what_fails_without_a_word_above_a_step_that_was_cancelled_ended_as_it_did():
    step = span(STEP, ROOT, status=2, events=[exception("asyncio.CancelledError", "")])
    found = traces(run(request(step, span(ROOT, status=2))))
    assert {entry["metadata"]["caused_by"] for entry in found.values()} == {"cancelled"}
    tool = span(TOOL, ROOT, status=2, events=[exception("ToolError", "no seats left")])
    assert caused_by(run(request(step, tool, span(ROOT, status=2)))) == {STEP: "", TOOL: "", ROOT: TOOL}


def record(span_id: str = STEP, **values: str) -> dict:
    entry = {
        "traceId": TRACE,
        "spanId": span_id,
        "timeUnixNano": str(END),
        "severityNumber": 17,
        "attributes": [attribute(key, value) for key, value in values.items()],
    }
    return {"resourceLogs": [{"scopeLogs": [{"scope": {"name": "app"}, "logRecords": [entry]}]}]}


RAISED = {"exception.type": "KeyError", "exception.message": "no such key"}


def test_an_exception_in_a_log_record_gives_its_span_words_or_is_the_failure():
    def errors(*found: dict) -> dict:
        return {key: trace["error"] for key, trace in traces(run(*found)).items() if not trace["success"]}

    assert errors(record(**RAISED), request(span(STEP, status=2))) == {STEP: "KeyError: no such key"}
    assert errors(request(span(STEP)), record(**RAISED)) == {STEP: "KeyError: no such key"}
    assert errors(request(span(STEP, status=1)), record(**RAISED)) == {}
    handled = record(**RAISED)
    handled["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0]["severityNumber"] = 13
    assert errors(request(span(STEP)), handled) == {}
    assert errors(handled, request(span(STEP, status=2))) == {STEP: "KeyError: no such key"}
    (alone,) = traces(run(record(**RAISED))).values()
    assert (alone["error"], alone["metadata"]["unfinished"]) == ("KeyError: no such key", "true")


def test_log_records_that_are_nothing_are_counted_by_name():
    other = record()
    other["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0] |= {
        "severityNumber": 9,
        "eventName": "page_view",
    }
    (only,) = run(other, other)
    assert isinstance(only, RefusedLine)
    assert (only.reason, only.events, only.detail) == (
        "not_used",
        0,
        "2 records are no calls, turns or errors: 2 page_view",
    )


def test_failures_of_other_traces_and_of_siblings_stand_for_themselves():
    other = TRACE[::-1]
    results = run(
        request(
            span(STEP, ROOT, status=2),
            span(TOOL, ROOT, status=2),
            span(ROOT),
            span("00000000000000d4", ROOT, status=2, trace=other),
        )
    )
    assert set(caused_by(results).values()) == {""}


def test_a_long_trace_is_settled_in_parts_and_loses_nothing(monkeypatch):
    monkeypatch.setattr(traces_module, "MAX_HELD_SPANS", 10)
    found = [span(f"{number:016x}", f"{number + 1:016x}", status=2) for number in range(1, 101)]
    assert set(caused_by(run(*map(request, found)))) == {entry["spanId"] for entry in found}


def test_memory_held_for_failures_is_bounded(monkeypatch):
    monkeypatch.setattr(traces_module, "MAX_HELD_BYTES", 5_000)
    lines = (
        orjson.dumps(request(span(f"{number:016x}", status=2, trace=f"{number:032x}")))
        for number in range(1, 200)
    )
    seen, behind = 0, []

    def numbered():
        for number, line in enumerate(lines, 1):
            behind.append(number - seen)
            yield number, line

    for _ in otlp.FORMAT.read(numbered()):
        seen += 1
    assert seen == 199
    assert max(behind) < 20


# What a span means
# ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "attributes", "kind", "method"),
    [
        (
            "GetWeatherTool",
            {"openinference.span.kind": "TOOL", "tool.name": "get_weather"},
            "tool",
            "get_weather",
        ),
        ("execute_tool get_weather", {"gen_ai.operation.name": "execute_tool"}, "tool", "get_weather"),
        ("running tool: joke", {"gen_ai.tool.name": "joke"}, "tool", "joke"),
        (
            "tools/call search",
            {"mcp.method.name": "tools/call", "gen_ai.tool.name": "search"},
            "tool",
            "search",
        ),
        ("ai.toolCall", {"ai.operationId": "ai.toolCall", "ai.toolCall.name": "find"}, "tool", "find"),
        (
            "chat gpt-4o",
            {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o"},
            "llm",
            "chat gpt-4o",
        ),
        ("ChatOpenAI", {"openinference.span.kind": "LLM", "llm.model_name": "gpt-4o"}, "llm", "chat gpt-4o"),
        (
            "ai.generateText.doGenerate",
            {"ai.operationId": "ai.generateText.doGenerate", "ai.model.id": "gpt-5"},
            "llm",
            "chat gpt-5",
        ),
        (
            "embed",
            {"gen_ai.operation.name": "embeddings", "gen_ai.request.model": "e3"},
            "embedding",
            "embeddings e3",
        ),
        (
            "invoke_agent 99981f6a-abd1-4d09-9fba-00e2ab172193",
            {"gen_ai.operation.name": "invoke_agent"},
            "agent",
            "invoke_agent",
        ),
        (
            "invoke_agent Math",
            {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "Math"},
            "agent",
            "invoke_agent Math",
        ),
        ("search.tool", {"traceloop.span.kind": "tool", "traceloop.entity.name": "search"}, "tool", "search"),
        ("Step 12", {"openinference.span.kind": "CHAIN"}, "chain", "Step <NUM>"),
        (
            "GET /orders/17",
            {"http.request.method": "GET", "http.route": "/orders/{id}"},
            "",
            "GET /orders/{id}",
        ),
        ("GET /orders/17/3f2a9c1d77", {}, "", "GET /orders/<NUM>/<ID>"),
        ("", {}, "", "unknown"),
    ],
)
def test_conventions_say_what_a_span_is_and_methods_stay_few(name, attributes, kind, method):
    (trace,) = traces(run(request(span(name=name, attributes=attributes)))).values()
    assert (trace["metadata"].get("span_kind", ""), trace["method"]) == (kind, method)


@pytest.mark.parametrize(
    ("more", "error"),
    [
        (
            {"events": [exception("KeyError", "'a'"), exception("app.ToolError", "bad\nvery bad")]},
            "app.ToolError: bad\nvery bad",
        ),
        ({"events": [exception("app.ToolError", "ToolError: bad")]}, "ToolError: bad"),
        ({"events": [exception("E", "", "Traceback\n  File x\nE: at last\n")]}, "E: at last"),
        ({"events": [exception("E", "")]}, "E"),
        ({"status": {"code": 2, "message": "deadline exceeded"}}, "deadline exceeded"),
        ({"attributes": {"error.type": "timeout"}}, "timeout"),
        ({}, None),
    ],
)
def test_the_error_is_the_last_exception_or_the_status_message_or_the_error_type(more, error):
    (trace,) = traces(
        run(request({**span(status=2, attributes=more.pop("attributes", {})), **more}))
    ).values()
    assert trace["error"] == error


def test_an_exception_that_was_handled_is_no_failure():
    (trace,) = traces(run(request(span(status=1, events=[exception("E", "handled")])))).values()
    assert (trace["success"], trace["error"]) == (True, None)


@pytest.mark.parametrize(
    ("resource", "service"),
    [
        ({"service.name": "shop"}, "shop"),
        ({"service.name": "unknown_service:/usr/bin/node"}, "lib"),
        ({"x": "y"}, "lib"),
    ],
)
def test_a_service_without_a_name_is_called_by_its_library(resource, service):
    (trace,) = traces(run(request(span(), resource=resource))).values()
    assert trace["service"] == service


def test_content_and_people_stay_out_of_metadata():
    keys = (
        "input.value output.value tool.parameters gen_ai.tool.call.arguments gen_ai.tool.call.result "
        "user.id enduser.id gen_ai.prompt gen_ai.prompt.0.content "
        "llm.input_messages.0.message.content gen_ai.input.messages gen_ai.system_instructions "
        "exception.stacktrace ai.prompt.messages"
    )
    secret = dict.fromkeys(keys.split(), "sesame")
    (event,) = [event for event in events(run(request(span(attributes=secret)))) if event["execution_trace"]]
    assert "sesame" not in json.dumps(event)


def test_settings_of_a_call_are_kept_in_metadata():
    kept = {
        "gen_ai.request.temperature": 0.2,
        "gen_ai.usage.input_tokens": 7,
        "http.response.status_code": 429,
        "langfuse.prompt.name": "greeting",
        "cached": True,
    }
    (trace,) = traces(run(request(span(attributes=kept)))).values()
    shown = {
        "gen_ai.request.temperature": "0.2",
        "gen_ai.usage.input_tokens": "7",
        "http.response.status_code": "429",
        "langfuse.prompt.name": "greeting",
    }
    assert trace["metadata"] | shown | {"cached": "true"} == trace["metadata"]


def test_what_langfuses_sdks_write_on_spans_is_read_as_its_exports_are():
    said = {
        f"langfuse.observation.{key}": value
        for key, value in {
            "type": "generation",
            "model.name": "gpt-4o",
            "usage_details": '{"input": 11, "output": 3, "total": 14}',
            "cost_details": '{"input": 0.001, "total": 0.002}',
        }.items()
    }
    used = {
        "langfuse.observation.type": "tool",
        "langfuse.observation.input": '{"id": 7}',
        "langfuse.observation.output": '{"isError": true, "content": [{"text": "no such parcel"}]}',
    }
    spans = (
        span("00000000000000a1", attributes=said),
        span("00000000000000a2", name="lookup", attributes=used),
    )
    model, tool = traces(run(request(*spans))).values()
    usage = {"input_tokens": "11", "output_tokens": "3", "cost_usd": "0.002"}
    assert (model["method"], model["metadata"] | usage) == ("chat gpt-4o", model["metadata"])
    assert (tool["method"], tool["error"], tool["metadata"]["arguments"]) == (
        "lookup",
        "no such parcel",
        '{"id": 7}',
    )


def test_metadata_is_bounded():
    many = {f"key{number:04}": "x" for number in range(500)} | {"long": "y" * 1000}
    (trace,) = traces(run(request(span(attributes=many)))).values()
    assert len(trace["metadata"]) <= conventions.MAX_ATTRIBUTES
    assert "long" not in trace["metadata"]


# Talk
# ----------------------------------------------------------------------------------------------------

HISTORY = [
    {"role": "system", "parts": [{"type": "text", "content": "be brief"}]},
    {"role": "user", "parts": [{"type": "text", "content": "hello"}]},
    {"role": "assistant", "parts": [{"type": "tool_call", "id": "1", "name": "f", "arguments": {}}]},
    {"role": "tool", "parts": [{"type": "tool_call_response", "id": "1", "result": "42"}]},
    {"role": "user", "parts": [{"type": "text", "content": "what now?"}]},
]
ANSWER = [{"role": "assistant", "parts": [{"type": "text", "content": "then this"}], "finish_reason": "stop"}]


def event(name: str, **values: object) -> dict:
    return {
        "name": name,
        "attributes": [attribute(key.replace("__", "."), value) for key, value in values.items()],
    }


SHAPES = {
    "attributes of today": span(
        attributes={
            "gen_ai.input.messages": json.dumps(HISTORY),
            "gen_ai.output.messages": json.dumps(ANSWER),
        }
    ),
    "event of today": span(
        events=[
            {
                "name": "gen_ai.client.inference.operation.details",
                "attributes": [
                    attribute("gen_ai.input.messages", json.dumps(HISTORY)),
                    attribute("gen_ai.output.messages", json.dumps(ANSWER)),
                ],
            }
        ]
    ),
    "events of 1.28": span(
        events=[
            event("gen_ai.system.message", content="be brief"),
            event("gen_ai.user.message", content="hello"),
            event("gen_ai.assistant.message", content="hi"),
            event("gen_ai.user.message", content="what now?"),
            event(
                "gen_ai.choice",
                index=0,
                finish_reason="stop",
                message=json.dumps({"role": "assistant", "content": "then this"}),
            ),
        ]
    ),
    "events as Azure wraps them": span(
        events=[
            event("gen_ai.system.message", **{"gen_ai.event.content": '{"content": "be brief"}'}),
            event("gen_ai.user.message", **{"gen_ai.event.content": '{"content": "what now?"}'}),
            event("gen_ai.choice", **{"gen_ai.event.content": '{"message": {"content": "then this"}}'}),
        ]
    ),
    "events of 1.27": span(
        events=[
            {
                "name": "gen_ai.content.prompt",
                "attributes": [
                    attribute("gen_ai.prompt", json.dumps([{"role": "user", "content": "what now?"}]))
                ],
            },
            {
                "name": "gen_ai.content.completion",
                "attributes": [
                    attribute(
                        "gen_ai.completion", json.dumps([{"role": "assistant", "content": "then this"}])
                    )
                ],
            },
        ]
    ),
    "old attributes": span(
        attributes={
            "gen_ai.prompt.0.role": "system",
            "gen_ai.prompt.0.content": "be brief",
            "gen_ai.prompt.10.role": "user",
            "gen_ai.prompt.10.content": "what now?",
            "gen_ai.prompt.2.role": "user",
            "gen_ai.prompt.2.content": "hello",
            "gen_ai.completion.0.role": "assistant",
            "gen_ai.completion.0.content": "then this",
        }
    ),
    "OpenInference": span(
        attributes={
            "openinference.span.kind": "LLM",
            "llm.input_messages.0.message.role": "user",
            "llm.input_messages.0.message.contents.0.message_content.type": "text",
            "llm.input_messages.0.message.contents.0.message_content.text": "what now?",
            "llm.output_messages.0.message.role": "assistant",
            "llm.output_messages.0.message.content": "then this",
        }
    ),
    "OpenInference values": span(
        attributes={
            "openinference.span.kind": "AGENT",
            "input.value": '{"task": "what now?"}',
            "output.value": "then this",
        }
    ),
    "Pydantic AI": span(
        attributes={
            "agent_name": "a",
            "pydantic_ai.all_messages": json.dumps(
                [{"role": "user", "parts": [{"type": "text", "content": "what now?"}]}, *ANSWER]
            ),
        }
    ),
    "cut within a message": span(
        attributes={
            "gen_ai.operation.name": "chat",
            "gen_ai.input.messages": '[{"role": "user", "name": "\\ud83d", "x": NaN, "text": "what now?"}]',
            "gen_ai.output.messages": '[{"role": "assistant", "content": "then this"}]',
        }
    ),
    "Gemini": span(
        attributes={
            "openinference.span.kind": "LLM",
            "input.value": '{"contents": [{"role": "user", "parts": [{"text": "what now?"}]}]}',
            "output.value": '{"candidates": [{"content": {"parts": [{"text": "then this"}]}}]}',
        }
    ),
    "Logfire": span(
        attributes={
            "gen_ai.request.model": "m",
            "request_data": '{"messages": [{"role": "user", "content": "what now?"}], "model": "m"}',
            "response_data": '{"message": {"role": "assistant", "content": "then this"}}',
        }
    ),
    "LlamaIndex": span(
        attributes={
            "openinference.span.kind": "AGENT",
            "input.value": '{"user_msg": "what now?", "chat_history": null}',
            "output.value": "then this",
        }
    ),
    "Langfuse's trace": span(
        attributes={
            "langfuse.trace.input": '"what now?"',
            "langfuse.trace.output": '"then this"',
            "langfuse.observation.type": "span",
        }
    ),
    "Vercel": span(
        attributes={
            "ai.operationId": "ai.generateText",
            "ai.prompt": json.dumps(
                {"messages": [{"role": "user", "content": [{"type": "text", "text": "what now?"}]}]}
            ),
            "ai.response.text": "then this",
        }
    ),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_messages_of_every_shape_become_a_turn_of_talk(shape):
    found = SHAPES[shape]
    found = {
        **found,
        "attributes": [
            *found["attributes"],
            attribute("session.id", "s1"),
            attribute("gen_ai.request.model", "gpt-4o"),
        ],
    }
    (turn,) = talks(run(request(found)))
    assert (turn["user_query"], turn["system_response"], turn["session_id"]) == (
        "what now?",
        "then this",
        "s1",
    )
    assert (
        turn["metadata"] | {"trace_id": TRACE, "service": "shop", "node_id": "n1", "model": "gpt-4o"}
        == turn["metadata"]
    )


def chat(span_id: str, parent: str, asked: str, answer: str, **more: object) -> dict:
    given_ = [{"role": "user", "content": asked}]
    about = {
        "gen_ai.operation.name": "chat",
        "gen_ai.input.messages": json.dumps(given_),
        "gen_ai.output.messages": answer,
    }
    return span(span_id, parent, attributes={**about, **more})


SAID = json.dumps([{"role": "assistant", "content": "done"}])
CALLED = json.dumps(
    [{"role": "assistant", "content": "let me see", "tool_calls": [{"id": "1", "function": {"name": "f"}}]}]
)


def test_a_message_that_is_none_says_nothing():
    for value in (
        {"type": []},
        {"role": 7, "content": "x"},
        {"message": {"message": {}}},
        [[[{"role": "user"}]]],
        "{",
        7,
        None,
    ):
        assert messages.read(value) == []


def test_an_answer_that_calls_a_tool_is_no_turn():
    assert [
        turn["system_response"]
        for turn in talks(run(request(chat(STEP, ROOT, "q", CALLED), chat(TOOL, ROOT, "q", SAID))))
    ] == ["done"]


def test_the_steps_of_an_agent_that_was_asked_and_answered_are_no_turns_of_their_own():
    agent = span(
        ROOT, attributes={"openinference.span.kind": "AGENT", "input.value": "q", "output.value": "done"}
    )
    found = [chat(TOOL, STEP, "Task: q", SAID), span(STEP, ROOT), agent]
    for order in (found, found[::-1]):
        (turn,) = talks(run(*map(request, order)))
        assert (turn["log_id"], turn["user_query"]) == (ROOT, "q")


def test_what_a_judge_is_asked_is_no_users_question():
    judge = span(ROOT, name="judge", attributes={"openinference.span.kind": "EVALUATOR"})
    said = {"openinference.span.kind": "LLM", "input.value": "Is it right?", "output.value": "no"}
    found = events(run(request(judge, span(parent=ROOT, attributes=said))))
    assert [event["event_type"] for event in found] == ["ExecutionTrace"] * 2


@pytest.mark.parametrize("tool", ["(merged tools)", "lookup"])
def test_a_span_that_sums_up_the_tools_of_a_step_is_no_call(tool):
    called = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": tool}
    name = "execute_tool lookup" if tool == "lookup" else "execute_tool (merged)"
    found = events(run(request(span(), span(STEP, ROOT, name, attributes=called))))
    assert len(found) == (2 if tool == "lookup" else 1)


def test_a_step_of_n8n_has_its_name_behind_that_of_all_steps():
    of_node = {"n8n.workflow.name": "Answer mails", "n8n.node.name": "AI Agent"}
    found = events(run(request(span(name="node.execute", attributes=of_node))))
    assert found[0]["execution_trace"]["method"] == "node.execute AI Agent"


def said_in_log(question: object, answer: object) -> dict:
    """A log record by itself, as ADOT writes what was said, and CloudWatch keeps it."""
    body = {
        "input": {"messages": [{"role": "user", "content": question}]},
        "output": {"messages": [{"role": "assistant", "content": answer}]},
    }
    return {
        "resource": {"attributes": {"service.name": "shop"}},
        "scope": {"name": "strands.telemetry.tracer"},
        "timeUnixNano": END,
        "observedTimeUnixNano": END,
        "severityNumber": 9,
        "body": body,
        "attributes": {"event.name": "strands.telemetry.tracer", "session.id": "s1"},
        "traceId": TRACE,
        "spanId": TOOL,
    }


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("is it open?", "It is."),
        (
            {"content": '[{"text": "is it open?"}]'},
            {"message": '[{"text": "It is."}]', "finish_reason": "end"},
        ),
    ],
)
def test_what_adot_takes_out_of_a_span_is_its_turn(question, answer):
    (turn,) = talks(run(said_in_log(question, answer)))
    assert (turn["user_query"], turn["system_response"], turn["session_id"]) == (
        "is it open?",
        "It is.",
        "s1",
    )
    record = {**said_in_log("x", "y"), "traceId": "", "spanId": ""}
    assert [(one.reason, one.events) for one in run(record)] == [("not_used", 0)]


def of_claude_code(number: int, name: str, parent: str = ROOT, **values: object) -> dict:
    times = {"startTimeUnixNano": str(START + number), "endTimeUnixNano": str(START + number + 2 * 10**9)}
    given = span(f"{number:016x}", parent, f"claude_code.{name}", attributes={"span.type": name, **values})
    return {**given, **times, "status": {}}


@pytest.mark.parametrize("is_first", [True, False])
def test_a_tool_of_claude_code_is_one_call_with_its_name_and_how_its_execution_ended(is_first):
    tool = of_claude_code(1, "tool", tool_name="Bash", **{"gen_ai.tool.call.id": "toolu_1"})
    waited = of_claude_code(2, "tool.blocked_on_user", f"{1:016x}", decision="accept")
    ran = of_claude_code(3, "tool.execution", f"{1:016x}", success="false", error="ShellError: exit code 127")
    spans = [tool, waited, ran] if is_first else [ran, waited, tool]
    (event,) = events(run(request(*spans)))
    call = event["execution_trace"]
    assert (event["event_id"], call["method"]) == ("claude-code:toolu_1", "Bash")
    assert (call["error"], call["duration_ms"]) == ("ShellError: exit code 127", 2000.0)


def test_a_tool_of_claude_code_that_says_itself_that_it_failed_has_failed():
    tool = {**of_claude_code(1, "tool", tool_name="Bash"), "status": {"code": 2, "message": "no such file"}}
    (event,) = events(run(request(tool, of_claude_code(3, "tool.execution", f"{1:016x}"))))
    call = event["execution_trace"]
    assert (call["success"], call["error"]) == (False, "no such file")


def test_what_is_held_is_not_lost_where_a_reader_breaks():
    def spans() -> Iterator[tuple[int, Span]]:
        yield 1, Span("t", "s", "", "step", START, END, "error", "no seats")
        raise TypeError("nobody foresaw this")

    found = traces_module.events_of(spans())
    assert orjson.loads(next(found).data)["execution_trace"]["error"] == "no seats"
    with pytest.raises(TypeError, match="nobody"):
        next(found)


def test_memory_held_for_log_records_without_a_text_is_bounded(monkeypatch):
    monkeypatch.setattr(traces_module, "MAX_HELD_BYTES", 5_000)
    held = []

    def settled(self: object) -> list:
        held.append(len(self.logged))
        return []

    monkeypatch.setattr(traces_module._Trace, "settled_turns", settled)
    about = {"event.name": "api_request", "session.id": "s1", "path": "x" * 500}
    records = [
        {"timeUnixNano": str(END + number), "attributes": [attribute(*pair) for pair in about.items()]}
        for number in range(100)
    ]
    scoped = {"scope": {"name": "com.anthropic.claude_code.events"}, "logRecords": records}
    run({"resourceLogs": [{"resource": {}, "scopeLogs": [scoped]}]})
    assert sum(held) == 100
    assert max(held) < 20


def test_a_tool_of_claude_code_that_was_not_allowed_is_cancelled():
    tool = of_claude_code(1, "tool", tool_name="Bash")
    rejected = of_claude_code(2, "tool.blocked_on_user", f"{1:016x}", decision="reject")
    (event,) = events(run(request(tool, rejected)))
    assert event["execution_trace"]["metadata"]["caused_by"] == "cancelled"


def test_the_execution_of_a_tool_of_claude_code_is_its_call_where_the_call_is_in_another_file():
    ran = of_claude_code(3, "tool.execution", f"{1:016x}", success="true", tool_name="Bash")
    (event,) = events(run(request(ran, of_claude_code(2, "tool.blocked_on_user", f"{1:016x}"))))
    assert (event["execution_trace"]["method"], event["execution_trace"]["success"]) == ("Bash", True)


def test_a_call_of_claude_code_has_one_id_in_its_spans_and_its_log_records():
    values = {"tool_name": "Bash", "tool_use_id": "toolu_1", "success": "true"}
    pairs = [attribute(key, value) for key, value in {"event.name": "tool_result", **values}.items()]
    record = {
        "timeUnixNano": str(END),
        "body": {"stringValue": "claude_code.tool_result"},
        "attributes": pairs,
    }
    logs = {"resourceLogs": [{"resource": {}, "scopeLogs": [{"scope": {}, "logRecords": [record]}]}]}
    found = [events(run(one)) for one in (logs, request(of_claude_code(1, "tool", **values)))]
    assert [event["event_id"] for (event,) in found] == ["claude-code:toolu_1"] * 2


def test_a_span_that_logfire_announces_is_the_span_itself_without_an_end():
    announced = {"logfire.span_type": "pending_span", "logfire.pending_parent_id": ROOT}
    pending = span(STEP, parent=TOOL, attributes=announced)
    (event,) = events(run(request(pending)))
    metadata = event["execution_trace"]["metadata"]
    assert (event["event_id"], metadata["parent_span_id"]) == (f"{TRACE}:{TOOL}", ROOT)
    assert metadata["caused_by"] == "unfinished"
    assert len(events(run(request(span(parent=ROOT), pending)))) == 1
    assert events(run(request({**pending, "startTimeUnixNano": None}))) == []


def test_a_session_is_named_by_the_span_or_by_its_trace_or_is_the_trace():
    assert [
        turn["session_id"]
        for turn in talks(
            run(request(chat(TOOL, "", "q", SAID), span(STEP, attributes={"gen_ai.conversation.id": "c1"})))
        )
    ] == ["c1"]
    assert [turn["session_id"] for turn in talks(run(request(chat(TOOL, "", "q", SAID))))] == [TRACE]


def test_log_events_of_a_span_become_its_turn_and_no_call():
    def record(name: str, body: dict, number: int) -> dict:
        pairs = [attribute(key, value) for key, value in body.items()]
        place = {"traceId": TRACE, "spanId": TOOL, "timeUnixNano": str(END + number)}
        return {
            **place,
            "eventName": name,
            "attributes": [attribute("gen_ai.system", "openai")],
            "body": {"kvlistValue": {"values": pairs}},
        }

    choice = record(
        "gen_ai.choice",
        {"finish_reason": "stop", "message": json.dumps({"role": "assistant", "content": "done"})},
        2,
    )
    records = [
        choice,
        record("gen_ai.user.message", {"content": "q"}, 1),
        {"body": {"stringValue": "an ordinary log line"}},
    ]
    logs = [
        {
            "resourceLogs": [
                {
                    "resource": {"attributes": [attribute("service.name", "shop")]},
                    "scopeLogs": [{"logRecords": [entry]}],
                }
            ]
        }
        for entry in records
    ]
    (turn,) = talks(run(*logs))
    assert (turn["user_query"], turn["system_response"], turn["metadata"]["service"]) == ("q", "done", "shop")
    assert traces(run(*logs)) == {}
    assert len(events(run(*logs, request(span(TOOL))))) == 2


METRICS = {"resourceMetrics": [{"scopeMetrics": [{"metrics": [{"name": "m"}]}]}]}


@pytest.mark.parametrize("is_first", [True, False])
def test_metrics_in_a_file_of_all_signals_cost_no_span_and_are_counted_once(is_first):
    export = request(span())
    lines = [METRICS, METRICS, export] if is_first else [export, METRICS, METRICS]
    _, found, refused = rows("x", b"\n".join(map(orjson.dumps, lines)))
    assert len(found) == 1
    assert [(one.line, one.reason, one.events) for one in refused] == [(0, "not_used", 0)]
    assert "2 metrics" in refused[0].detail


def test_a_file_of_metrics_alone_is_refused_by_name_and_one_that_begins_with_them_is_read():
    name, found, (refused,) = rows("x", orjson.dumps(METRICS))
    assert (name, found, refused.reason) == ("otlp_metrics", [], "unsupported_format")
    assert "metrics hold sums" in refused.detail
    content = b"\n".join([orjson.dumps(METRICS)] * 2000 + [orjson.dumps(request(span()))])
    name, found, _ = rows("x", content)
    assert (name, len(found)) == ("otlp_metrics", 1)


def test_a_failure_without_words_takes_those_of_the_span_above_that_repeats_it():
    """LiteLLM's `raw_gen_ai_request` has the status alone, and the span above it the exception."""

    def errors(root: str, step: str, tool: str) -> dict[str, tuple[str | None, bool]]:
        spans = [
            {**span(span_id, above, name), "status": {"code": 2, "message": words}}
            for span_id, above, words, name in (
                (ROOT, "", root, "root"),
                (STEP, ROOT, step, "step"),
                (TOOL, STEP, tool, "tool"),
            )
        ]
        calls = [event["execution_trace"] for event in events(run(request(*spans)))]
        return {call["method"]: (call["error"], "caused_by" in call["metadata"]) for call in calls}

    said = "Incorrect API key provided"
    assert errors(said, said, "")["tool"] == (said, False)
    assert errors(f"Run: {said}", "", "")["tool"] == (f"Run: {said}", False)
    assert errors("Run: KeyError: 'a'", "KeyError: 'a'", "KeyError")["tool"] == ("KeyError: 'a'", False)
    assert errors("it did not work", "it did not work", "KeyError")["tool"] == ("KeyError", False)
    assert errors("", "", "")["tool"] == (None, False)
