"""What is read of each producer's file: calls, failures, turns and sessions, counted by hand."""

import re

import orjson
import pytest

from fl_assets_tests.events.formats.documents import (
    ATIF,
    CLAUDE_CODE,
    CODEX,
    COPILOT_CLI,
    GEMINI_CLI,
    INSPECT,
    JAEGER,
    LANGSMITH,
    MINI_SWE,
    MLFLOW,
    N8N,
    NANO,
    OF_LINES,
    OPENCODE,
)
from fl_assets_tests.events.formats.reading import counted, rows


def file_of(values: list) -> bytes:
    return b"\n".join(map(orjson.dumps, values))


COUNTED = {  # calls, failures by method, turns
    "otel_console": (1, {"refund": "order already refunded"}, []),
    "jaeger": (1, {"refund": "RefundError: order already refunded"}, []),
    "zipkin": (1, {"refund": "order already refunded"}, []),
    "claude_code": (
        3,
        {"Bash": "Exit code 1\nE 3 != 4", "chat": "529 Overloaded"},
        [("s1", "make the tests pass", "One test still fails.")],
    ),
    "codex": (
        2,
        {"shell": "exit code 2: make: *** Error 2", "chat gpt-5-codex": "stream disconnected"},
        [("s1", "run it", "It fails.")],
    ),
    "openai_agents": (
        3,
        {
            "invoke_agent clerk": "Max turns exceeded: max_turns 4",
            "fetch": "Error running tool: 404 Not Found",
        },
        [],
    ),
    "mlflow": (1, {"lookup": "KeyError: 'zz'"}, []),
    "langsmith": (2, {"search": "ValueError: no index"}, [("s1", "hello", "good day")]),
    "litellm": (1, {"chat gpt-4o": "RateLimitError: Rate limit reached for gpt-4o"}, []),
    "phoenix": (1, {"refund": "order already refunded"}, []),
    "clickhouse": (1, {"refund": "RefundError: order already refunded"}, []),
    "inspect": (3, {"bash": "timeout: Command timed out"}, [("s1", "solve it", "done")]),
    "atif": (3, {"read": "Error: no such file x"}, [("s1", "fix it", "It is gone")]),
    "mini_swe": (
        3,
        {"ls": "ls: cannot access 'nowhere'", "invoke_agent mini-swe-agent": "LimitsExceeded"},
        [],
    ),
    "gemini_cli": (
        4,
        {"read_file": "File not found: /nope", "chat": "got status: 429. Resource exhausted"},
        [("s1", "list the files", "There are two files.")],
    ),
    "zipkin_v1": (1, {"refund": "order already refunded"}, []),
    "langfuse_ingestion": (
        2,
        {"refund": "order already refunded"},
        [("s1", "refund it", "It was refunded before.")],
    ),
    "datadog": (2, {"refund": "RefundError: order already refunded"}, [("s1", "hello", "good day")]),
    "elastic_apm": (2, {"refund": "RefundError: order already refunded"}, []),
    "opencode": (
        6,
        {
            "make": "*** Error 2",
            "edit": "Error: oldString not found in content",
            "chat m": "APIError: Overloaded",
        },
        [("ses_1", "fix it", "It is fixed.")],
    ),
    "goose": (
        5,
        {"shell": "FAIL: x", "edit": "no such file", "unknown": "no such tool: x"},
        [("s1", "fix it", "It is fixed.")],
    ),
    "copilot_cli": (
        4,
        {"bash": "make: not found", "chat": "quota: limit reached"},
        [("s1", "run it", "It cannot be run.")],
    ),
    "bedrock": (
        4,
        {"book": "no seats left", "chat us.m": "ThrottlingException"},
        [("s1", "book it", "It is sold out.")],
    ),
    "n8n": (3, {"chat Model": "NodeApiError: Rate limit reached"}, []),
    "openhands_v1": (1, {"terminal": "make: *** Error 2"}, [("e0", "fix it", "It fails")]),
}


@pytest.mark.parametrize("name", OF_LINES)
def test_calls_failures_and_turns_of_each_producer(name):
    assert counted(f"{name}.jsonl", file_of(OF_LINES[name])) == (name, *COUNTED[name])


PACKED = {
    "a list": orjson.dumps,
    "a pretty list": lambda values: orjson.dumps(values, option=orjson.OPT_INDENT_2),
    "pretty documents": lambda values: b"\n".join(
        orjson.dumps(value, option=orjson.OPT_INDENT_2) for value in values
    ),
    "without line ends": lambda values: b"".join(map(orjson.dumps, values)),
    "commas between": lambda values: b",\n".join(map(orjson.dumps, values)),
    "Windows": lambda values: b"\xef\xbb\xbf" + b"\r\n".join(map(orjson.dumps, values)) + b"\r\n",
}


@pytest.mark.parametrize("packing", PACKED)
@pytest.mark.parametrize("name", OF_LINES)
def test_the_same_records_are_the_same_file_however_they_are_written(name, packing):
    assert counted("some.json", PACKED[packing](OF_LINES[name])) == (name, *COUNTED[name])


def test_durations_nodes_arguments_tokens_and_cost_are_kept():
    def calls(name: str) -> dict[str, dict]:
        _, events, _ = rows("x", file_of(OF_LINES[name]))
        found = [event["execution_trace"] for event in events if event["execution_trace"]]
        return {call["method"]: call for call in found}

    apm = ("datadog", "elastic_apm")
    for name in ("otel_console", "jaeger", "zipkin", "zipkin_v1", "clickhouse", *apm):
        assert calls(name)["refund"]["duration_ms"] == 412.0
        assert calls(name)["refund"]["service"] == "billing"
    for name in ("otel_console", "jaeger", "clickhouse", *apm):
        assert calls(name)["refund"]["metadata"]["node_id"] == "node-7"
    claude = calls("claude_code")
    assert (claude["Bash"]["duration_ms"], claude["Bash"]["metadata"]["arguments"]) == (
        4000.0,
        '{"command":"pytest"}',
    )
    assert claude["Edit"]["metadata"]["caused_by"] == "cancelled"
    tokens = {
        key: calls("atif")["chat m"]["metadata"][key] for key in ("input_tokens", "output_tokens", "cost_usd")
    }
    assert tokens == {"input_tokens": "5", "output_tokens": "2", "cost_usd": "0.1"}
    assert calls("datadog")["chat gpt-4o"]["metadata"]["cost_usd"] == "7.5e-06"
    assert calls("datadog")["refund"]["metadata"]["arguments"] == '{"order": 7}'
    refund, answer = (calls("langfuse_ingestion")[name] for name in ("refund", "chat gpt-4o"))
    assert (refund["service"], refund["duration_ms"], refund["metadata"]["attempt"]) == ("shop", 3000.0, "1")
    assert (answer["duration_ms"], answer["metadata"]["input_tokens"]) == (1000.0, "5")
    assert calls("litellm")["chat gpt-4o"]["metadata"]["cost_usd"] == "0.001"
    assert calls("mlflow")["lookup"]["metadata"]["arguments"] == '{"k":"zz"}'


def test_a_session_that_is_resumed_repeats_nothing():
    assert counted("x", file_of([*CLAUDE_CODE, *CLAUDE_CODE])) == ("claude_code", *COUNTED["claude_code"])


def test_sessions_of_qwen_code_have_the_lines_of_claude_code_and_messages_of_gemini():
    def line(number: int, kind: str, *parts: dict, **more: object) -> dict:
        about = {"uuid": str(number), "parentUuid": None, "sessionId": "s1", "model": "qwen3-coder"}
        return {
            **about,
            "timestamp": f"2026-11-02T12:00:0{number}Z",
            "type": kind,
            "message": {"role": "user", "parts": [*parts]},
            **more,
        }

    def used(name: str) -> dict:
        return {"functionCall": {"id": name, "name": name, "args": {"path": "x"}}}

    def ended(number: int, name: str, status: str, **response: str) -> dict:
        part = {"functionResponse": {"id": f"r-{name}", "name": name, "response": response}}
        outcome = {"callId": name, "status": status, "resultDisplay": "as shown"}
        return line(number, "tool_result", part, toolCallResult=outcome)

    failed = {"event.name": "qwen-code.api_error", "status_code": 429, "error_message": "quota exceeded"}
    lines = [
        line(0, "user", {"text": "read x"}),
        line(1, "assistant", {"text": "hm", "thought": True}, used("read"), used("shell"), used("edit")),
        ended(3, "read", "error", error="File not found: /x"),
        ended(4, "shell", "success", output="12 passed"),
        ended(5, "edit", "cancelled", error="[Operation Cancelled] Reason: User did not allow tool call"),
        line(6, "system", subtype="ui_telemetry", systemPayload={"uiEvent": failed}),
        line(7, "assistant", {"text": "It is not there."}),
    ]
    assert counted("x", file_of(lines)) == (
        "claude_code",
        4,
        {"read": "File not found: /x", "chat": "429 quota exceeded"},
        [("s1", "read x", "It is not there.")],
    )
    calls = [event["execution_trace"] for event in rows("x", file_of(lines))[1] if event["execution_trace"]]
    found = {call["method"]: call for call in calls}
    assert {call["service"] for call in calls} == {"qwen-code"}
    assert found["read"]["duration_ms"] == 2000.0
    assert found["edit"]["metadata"]["caused_by"] == "cancelled"


def test_lines_that_only_look_like_those_of_claude_code_are_not_passed_over_in_silence():
    entry = {"type": "user", "sessionId": "s1", "parentUuid": None, "timestamp": "2026-11-02T12:00:00Z"}
    _, events, (refused,) = rows("x", orjson.dumps({**entry, "message": {"role": "user", "body": "hello"}}))
    assert (events, refused.detail) == ([], "1 of 1 lines: a line of type user has no content")


@pytest.mark.parametrize(
    ("name", "failed"), [("mcp__browser__set_viewport", True), ("Bash", False), ("Read", False)]
)
def test_an_mcp_server_tells_of_an_error_in_words_where_it_leaves_the_flag_out(name, failed):
    common = {"sessionId": "s1", "parentUuid": None, "timestamp": "2026-11-02T12:00:00Z"}
    use = {"type": "tool_use", "id": "t1", "name": name, "input": {}}
    content = [{"type": "text", "text": "Error: set_viewport requires a width"}]
    result = {"type": "tool_result", "tool_use_id": "t1", "is_error": False, "content": content}
    lines = [
        {**common, "uuid": "1", "type": "assistant", "message": {"role": "assistant", "content": [use]}},
        {**common, "uuid": "2", "type": "user", "message": {"role": "user", "content": [result]}},
    ]
    assert counted("x", file_of(lines)).failures == ({name: content[0]["text"]} if failed else {})


def test_an_inspect_log_has_long_arguments_beside_its_events_and_a_tool_that_broke_says_no_more():
    (sample,) = INSPECT["samples"]
    long, broke = {"cmd": "cat " + "x" * 200, "n": 1}, {"error": None, "failed": True}
    tool = {**sample["events"][0], "arguments": {"cmd": "attachment://h1", "n": 1}, **broke}
    log = {**INSPECT, "samples": [{**sample, "events": [tool], "attachments": {"h1": long["cmd"]}}]}
    calls = [event["execution_trace"] for event in rows("x", orjson.dumps(log))[1]]
    (call,) = (call for call in calls if call and call["method"] == "bash")
    assert orjson.loads(call["metadata"]["arguments"]) == long
    assert (call["success"], call["error"]) == (False, "failed")


LATE = "9999-12-31T23:59:59.999999-23:59"
"""A time that is of the year 10000 in UTC."""


@pytest.mark.parametrize("name", ["claude_code", "codex", "gemini_cli", "atif"])
def test_a_time_after_all_others_costs_the_events_at_that_time(name):
    text = file_of(OF_LINES[name])
    last = max(re.findall(rb'"(2026-[^"]*)"', text))
    _, events, refused = rows("x", text.replace(last, LATE.encode()))
    assert len(events) >= len(rows("x", text)[1]) - 1
    assert "9999-12-31" in refused[0].detail


@pytest.mark.parametrize(
    ("name", "key", "value"), [("gemini_cli", "type", "gemini"), ("atif", "source", "agent")]
)
def test_an_entry_of_no_type_is_refused(name, key, value):
    text = file_of(OF_LINES[name])
    changed = text.replace(f'"{key}":"{value}"'.encode(), f'"{key}":7'.encode())
    assert sum(one.events for one in rows("x", changed)[2]) == changed.count(f'"{key}":7'.encode())


def test_a_line_that_is_no_object_is_named_as_json_does():
    (refused,) = rows("x", file_of([*CLAUDE_CODE, 7]))[2]
    assert refused.detail == "1 of 1 lines: a line is a JSON number, must be an object"


def test_a_session_of_gemini_is_the_same_message_by_message_or_in_a_checkpoint():
    header, messages = {"sessionId": "s1", "projectHash": "79b6", "kind": "main"}, GEMINI_CLI["messages"]
    for lines in ([header, *messages], [header, messages[0], {"$set": {"messages": messages}}]):
        assert counted("x", file_of(lines)) == ("gemini_cli", *COUNTED["gemini_cli"])


def test_what_an_agent_of_gemini_orders_another_to_do_no_user_asked():
    calls, failures, _ = COUNTED["gemini_cli"]
    found = counted("x", orjson.dumps({**GEMINI_CLI, "kind": "subagent"}))
    assert (found.calls, found.failures, found.turns) == (calls, failures, [])


def test_a_call_through_litellms_proxy_has_the_name_of_its_tool():
    tool = {"name": "create_issue", "arguments": {"title": "x"}, "mcp_server_name": "github"}
    payload = {"id": "1", "call_type": "call_mcp_tool", "startTime": NANO / 1e9, "endTime": NANO / 1e9 + 1}
    payload |= {"status": "success", "response_cost": 0, "metadata": {"mcp_tool_call_metadata": tool}}
    (event,) = rows("x", orjson.dumps(payload))[1]
    call = event["execution_trace"]
    assert (call["method"], call["metadata"]["arguments"]) == ("create_issue", '{"title":"x"}')


def test_what_a_resumed_session_copies_under_an_id_of_its_own_are_the_same_events():
    first, copy = (
        {event["event_id"] for event in rows("x", file_of(lines))[1]}
        for lines in (CLAUDE_CODE, [{**line, "sessionId": "s2"} for line in CLAUDE_CODE])
    )
    assert first == copy


def test_a_time_of_an_inspect_log_that_is_none_costs_what_has_no_other():
    (sample,) = INSPECT["samples"]
    log = {
        **INSPECT,
        "eval": {**INSPECT["eval"], "created": "soon"},
        "samples": [{**sample, "completed_at": 7}],
    }
    before, (_, events, refused) = rows("x", orjson.dumps(INSPECT))[1], rows("x", orjson.dumps(log))
    of_sample = {event["event_id"] for event in before if ":sample" in event["event_id"]}
    found = {event["event_id"] for event in events}
    assert found >= {event["event_id"] for event in before} - of_sample
    assert sum(one.events for one in refused) <= 2


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (
            {"type": "mcp_tool_call_end", "result": {"Ok": {"isError": True, "content": "not allowed"}}},
            "not allowed",
        ),
        ({"type": "mcp_tool_call_end", "result": {"Err": "no such server"}}, "no such server"),
        (
            {"type": "exec_command_end", "exit_code": 127, "stderr": "no such file"},
            "exit code 127: no such file",
        ),
        (
            {"type": "patch_apply_end", "success": False, "stderr": "no such hunk"},
            "exit code 1: no such hunk",
        ),
        ({"type": "mcp_tool_call_end", "result": {"Ok": {"content": "fine"}}}, None),
        ({"type": "mcp_tool_call_end", "result": {"Ok": {"isError": False, "content": "Error: 3"}}}, None),
    ],
)
def test_an_event_of_codex_tells_of_a_failure_that_the_output_does_not(said, error):
    call = {"type": "function_call", "name": "run", "call_id": "c"}
    output = {"type": "function_call_output", "call_id": "c", "output": "some words"}
    lines = [
        {"timestamp": f"2026-11-02T12:00:0{second}Z", "type": kind, "payload": payload}
        for second, (kind, payload) in enumerate(
            [("response_item", call), ("event_msg", {**said, "call_id": "c"}), ("response_item", output)]
        )
    ]
    assert counted("x", file_of(lines)).failures == ({"run": error} if error else {})


def test_documents_of_elasticsearch_are_the_spans_that_they_hold():
    (trace,) = JAEGER["data"]
    (span,) = trace["spans"]
    fields = {tag["key"].replace(".", "@"): tag["value"] for tag in span["tags"]}
    source = {**span, "tags": [], "tag": fields, "process": trace["processes"]["p1"]}
    hit = {"_index": "jaeger-span-2026-11-02", "_id": "x1", "_source": source}
    for content in (file_of([hit]), file_of([{"took": 1, "hits": {"hits": [hit]}}])):
        assert counted("x", content) == ("jaeger", *COUNTED["jaeger"])


def test_a_call_without_a_result_is_unfinished():
    _, events, refused = rows("x", file_of(CLAUDE_CODE[:3]))
    calls = [event["execution_trace"] for event in events if event["execution_trace"]]
    assert {call["metadata"]["caused_by"] for call in calls} == {"unfinished"}
    assert all(call["duration_ms"] is None and not call["success"] for call in calls)
    assert refused == []


def test_commands_of_a_rollout_that_were_rejected_or_stopped_are_cancelled():
    def item(second: int, kind: str, **payload: str) -> dict:
        place = "event_msg" if kind == "turn_aborted" else "response_item"
        return {
            "timestamp": f"{CODEX[0]['timestamp'][:-2]}{second}Z",
            "type": place,
            "payload": payload | {"type": kind},
        }

    lines = CODEX[:3]
    for call, output in (
        ("a", "exec command rejected by user"),
        ("b", "Wall time: 3.2 seconds\naborted by user"),
        ("c", "Chunk ID: 8c1f\nProcess exited with code 127\nOutput:\nno such command\n"),
        ("d", "Wall time: 1 seconds\nOutput:\nthe command was rejected by user 7\n"),
    ):
        lines += [item(3, "function_call", name="exec_command", arguments="{}", call_id=call)]
        lines += [item(4, "function_call_output", call_id=call, output=output)]
    lines += [item(5, "function_call", name="exec_command", arguments="{}", call_id="e")]
    lines += [item(6, "turn_aborted", reason="interrupted")]
    _, events, _ = rows("x", file_of(lines))
    ended = {
        call["request_id"]: call["metadata"].get("caused_by", call["error"])
        for event in events
        if (call := event["execution_trace"])
    }
    assert ended == {
        "a": "cancelled",
        "b": "cancelled",
        "c": "exit code 127: no such command",
        "d": None,
        "e": "cancelled",
    }


FORK = "019b1111-0000-7000-8000-000000000002"
"""Made at 2025-12-12, as UUIDs of version 7 say."""


def rollout(*said: tuple[str, dict], **about: object) -> bytes:
    """A rollout that says these (type, payload), one second after another."""
    meta = ("session_meta", {"id": "s1", "source": "cli", **about})
    return file_of(
        [
            {"timestamp": f"2026-11-02T12:00:{second:02}Z", "type": kind, "payload": payload}
            for second, (kind, payload) in enumerate((meta, *said))
        ]
    )


UNDATED = [
    {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "start the server"}]},
    {"type": "function_call", "name": "shell", "arguments": "{}", "call_id": "c1"},
    {
        "type": "function_call_output",
        "call_id": "c1",
        "output": '{"output":"x","metadata":{"exit_code":127}}',
    },
    {"type": "function_call", "name": "shell", "arguments": "{}", "call_id": "c2"},
    {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "not installed"}]},
    {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "then install it"}]},
]
SESSION = {"timestamp": "2025-08-20T12:00:00.000Z", "id": "s1", "instructions": None}


@pytest.mark.parametrize(
    "content",
    [
        file_of([SESSION | {"git": {"branch": "main"}}, {"record_type": "state"}, *UNDATED]),
        orjson.dumps({"session": SESSION, "items": UNDATED}),
        orjson.dumps({"session": SESSION, "items": UNDATED}, option=orjson.OPT_INDENT_2),
    ],
    ids=["lines", "an object", "an object of many lines"],
)
def test_rollouts_of_codex_whose_items_have_no_times_are_of_the_day_of_their_session(content):
    _, events, refused = rows("rollout-2025-08-20.json", content)
    assert not refused
    talks = sorted(
        (e["conversation_log"] for e in events if e["conversation_log"]), key=lambda one: one["log_id"]
    )
    assert [one["user_query"] for one in talks] == ["start the server", "then install it"]
    calls = {e["event_id"]: e["execution_trace"] for e in events if e["execution_trace"]}
    failed, unfinished = calls["s1:c1"], calls["s1:c2"]
    assert (failed["error"], failed["duration_ms"]) == ("exit code 127: x", None)
    assert unfinished["metadata"]["caused_by"] == "unfinished"
    assert all(event["timestamp"].startswith("2025-08-20T12:00:00") for event in events)


def whole(kind: str, key: str = "i1", **item: object) -> tuple[str, dict]:
    """A completed item, as Codex writes them since 0.147."""
    item = {"type": kind, "id": key, "status": "completed", **item}
    return "event_msg", {"type": "item_completed", "turn_id": FORK, "item": item}


ASKED = whole("UserMessage", content=[{"type": "text", "text": "fix it"}, {"type": "local_image"}])
ANSWERED = whole("AgentMessage", content=[{"type": "Text", "text": "It is fixed."}])


@pytest.mark.parametrize(
    ("item", "method", "error"),
    [
        (whole("CommandExecution", command=["make"], exit_code=0), "exec_command", None),
        (
            whole("CommandExecution", status="failed", exit_code=2, aggregated_output="no rule"),
            "exec_command",
            "exit code 2: no rule",
        ),
        (
            whole("McpToolCall", server="crm", tool="find", status="failed", error={"message": "401"}),
            "mcp__crm__find",
            "HTTP status 401 Unauthorized",
        ),
        (
            whole(
                "McpToolCall", server="crm", tool="find", result={"isError": True, "content": "no such id"}
            ),
            "mcp__crm__find",
            "no such id",
        ),
        (whole("FileChange", status="failed", stderr="no such hunk"), "apply_patch", "no such hunk"),
        (
            whole("DynamicToolCall", namespace="app", tool="open", success=False, error="is locked"),
            "app__open",
            "is locked",
        ),
        (whole("WebSearch", query="x"), "web_search", None),
    ],
)
def test_a_completed_item_of_codex_is_a_call(item, method, error):
    expected = ("codex", 1, {method: error} if error else {}, [("s1", "fix it", "It is fixed.")])
    assert counted("x", rollout(ASKED, item, ANSWERED)) == expected


def test_a_command_that_the_user_declined_is_cancelled():
    (event,) = rows("x", rollout(whole("CommandExecution", status="declined")))[1]
    assert event["execution_trace"]["metadata"]["caused_by"] == "cancelled"


def test_an_item_says_when_its_call_began_and_which_script_made_it():
    script = {"type": "custom_tool_call", "call_id": "c1", "name": "exec", "input": "await tools.run()"}
    took = {"secs": 0, "nanos": 5 * 10**8}
    failed = whole("CommandExecution", "e1", status="failed", exit_code=2, duration=took)
    output = [{"type": "input_text", "text": "Script failed\nWall time 1 seconds\nexit code 2"}]
    done = {"type": "custom_tool_call_output", "call_id": "c1", "output": output}
    content = rollout(("response_item", script), failed, ("response_item", done))
    calls = {event["event_id"]: event["execution_trace"] for event in rows("x", content)[1]}
    assert calls["s1:e1"]["duration_ms"] == 500.0
    assert calls["s1:c1"]["metadata"]["caused_by"] == "s1:e1"


@pytest.mark.parametrize("is_first", [True, False])
def test_an_item_and_the_lines_of_one_call_are_one_call(is_first):
    call = {"type": "function_call", "call_id": "c1", "name": "find", "namespace": "mcp__crm__"}
    output = ("response_item", {"type": "function_call_output", "call_id": "c1", "output": "some words"})
    item = whole("McpToolCall", "c1", server="crm", tool="find", status="failed", error={"message": "no id"})
    lines = (item, output) if is_first else (output, item)
    found = counted("x", rollout(("response_item", call), *lines))
    assert (found.calls, found.failures) == (1, {"mcp__crm__find": "no id"})


def test_what_a_tool_prints_is_no_exit_code():
    call = ("response_item", {"type": "function_call", "call_id": "c1", "name": "read"})
    output = "Wall time: 0.1 seconds\nOutput:\nExit code: 1"
    done = ("response_item", {"type": "function_call_output", "call_id": "c1", "output": output})
    assert counted("x", rollout(call, done)).failures == {}


def test_an_error_that_ends_a_turn_of_codex_is_told_once():
    error = ("event_msg", {"type": "error", "message": "You have hit your usage limit"})
    ended = ("event_msg", {"type": "task_complete", "error": {"message": "You have hit your usage limit"}})
    begun = ("event_msg", {"type": "task_started"})
    for lines, calls in (((ended,), 1), ((error, ended), 1), ((error, begun, ended), 2)):
        found = counted("x", rollout(*lines))
        assert (found.calls, found.failures) == (calls, {"chat": "You have hit your usage limit"})


def test_each_error_of_a_turn_of_codex_counts_also_one_without_words():
    said = [
        ("event_msg", {"type": "stream_error", "message": words}) for words in ("no stream", "no stream", "")
    ]
    found = rows("x", rollout(*said))[1]
    assert [event["execution_trace"]["error"] for event in found] == ["no stream", "no stream", None]


def test_events_of_codex_at_one_time_have_ids_of_their_own_the_first_as_it_always_was():
    words = ("no stream", "no network")
    said = [("event_msg", {"type": "stream_error", "message": one}) for one in words]
    asked = [("event_msg", {"type": "user_message", "message": one}) for one in words]
    content = rollout(*said, *asked).splitlines()
    content = [
        re.sub(rb'("timestamp":\s*)"[^"]+"', rb'\1"2026-11-02T12:00:00.000Z"', line) for line in content
    ]
    ids = [event["event_id"] for event in rows("x", b"\n".join(content))[1]]
    error, turn = "s1:stream_error-1793620800000000000", "s1:turn-1793620800000000000"
    assert sorted(ids) == sorted([error, f"{error}-2", f"{turn}:talk", f"{turn}-2:talk"])


@pytest.mark.parametrize("is_item_first", [True, False])
def test_searches_without_an_id_are_a_call_each_and_those_of_items_are_counted_once(is_item_first):
    def search(**action: object) -> tuple[str, dict]:
        return "response_item", {"type": "web_search_call", "action": action}

    told = (search(type="search", query="x"), whole("WebSearch", "w1", query="x", action={"query": "x"}))
    lines = [*(reversed(told) if is_item_first else told), search(type="search", queries=["x", "y"])]
    assert counted("x", rollout(*lines, search(type="open_page", url="z"))).calls == 3


def test_a_call_that_took_longer_than_there_is_time_costs_no_other():
    made = whole("CommandExecution", "e1", exit_code=0, duration={"secs": 10**10})
    _, events, refused = rows("x", rollout(made, whole("CommandExecution", "e2", exit_code=0)))
    assert [event["execution_trace"]["duration_ms"] for event in events] == [None, None]
    assert refused == []


def test_a_fork_of_codex_repeats_nothing_of_the_session_that_it_comes_from():
    before = "019b1110-0000-7000-8000-000000000001"
    old = [
        ("session_meta", {"id": before}),
        ("turn_context", {"turn_id": before, "model": "m1"}),
        ("event_msg", {**ASKED[1], "turn_id": before}),
        ("event_msg", {**whole("WebSearch", "w1")[1], "turn_id": before}),
    ]
    own = [("turn_context", {"turn_id": FORK, "model": "m2"}), ASKED, whole("WebSearch", "w2"), ANSWERED]
    found = rows("x", rollout(*old, *own, id=FORK, forked_from_id=before))[1]
    assert [event["event_id"] for event in found] == [f"{FORK}:w2", f"{FORK}:turn-1793620806000000000:talk"]


@pytest.mark.parametrize(
    "about",
    [
        {"thread_source": "subagent", "parent_thread_id": "s0"},
        {"source": {"subagent": {"thread_spawn": {"parent_thread_id": "s0", "depth": 1}}}},
        {"source": {"subagent": "review"}, "session_id": "s0"},
    ],
)
def test_what_an_agent_of_codex_orders_another_to_do_no_user_asked(about):
    (event,) = rows("x", rollout(ASKED, whole("WebSearch"), ANSWERED, **about))[1]
    assert event["event_id"] == "s1:i1"
    assert event["execution_trace"]["metadata"]["session_id"] == "s0"


def test_the_words_of_a_rollout_are_there_twice_and_counted_once():
    item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "run it"}]}
    twice = [
        *CODEX[:3],
        {"timestamp": CODEX[2]["timestamp"], "type": "response_item", "payload": item},
        *CODEX[3:],
    ]
    assert counted("x", file_of(twice)).turns == COUNTED["codex"][2]


def test_what_an_sdk_sends_of_a_run_in_two_parts_is_one_run():
    posted = {
        "post": [{key: value for key, value in LANGSMITH[0].items() if key not in {"end_time", "outputs"}}]
    }
    patch = {key: LANGSMITH[0][key] for key in ("end_time", "outputs", "dotted_order", "trace_id")}
    found = counted("x", file_of([posted, {"patch": [patch]}]))
    assert (found.calls, found.failures, found.turns) == (1, {}, [("s1", "hello", "good day")])


def test_a_patch_of_a_run_that_was_posted_elsewhere_is_read_where_it_failed():
    order = "20261102T120000000001Zr1"
    patch = {"id": "r1", "trace_id": "r1", "dotted_order": order, "end_time": "2026-11-02T12:00:01.000001Z"}
    _, events, refused = rows("x", file_of([{"post": [], "patch": [{**patch, "error": "no such key"}]}]))
    (call,) = (event["execution_trace"] for event in events)
    assert (call["error"], call["duration_ms"], refused) == ("no such key", 1000.0, [])
    _, events, (only,) = rows("x", file_of([{"post": [], "patch": [patch]}]))
    assert (events, only.reason) == ([], "not_used")


def test_a_trajectory_has_the_words_among_its_parts_and_the_calls_of_its_subagents():
    asked, *steps = ATIF["steps"]
    parts = [{"type": "text", "text": "fix it"}, {"type": "image", "source": {"path": "a.png"}}]
    inner = {**ATIF, "session_id": None, "trajectory_id": "s2"}
    whole = {**ATIF, "steps": [{**asked, "message": parts}, *steps], "subagent_trajectories": [inner]}
    found = counted("x", orjson.dumps(whole))
    calls, failures, turns = COUNTED["atif"]
    assert (found.calls, found.failures, found.turns) == (2 * calls, failures, turns)


def test_a_trajectory_that_goes_on_repeats_no_step_and_counts_no_step_without_a_model():
    first, second = ATIF["steps"][:2]
    copied = [{**step, "is_copied_context": True} for step in (first, second)]
    on = {**ATIF, "trajectory_id": "s2", "steps": [*copied, {**second, "step_id": 3, "llm_call_count": 0}]}
    assert [event["event_id"] for event in rows("x", orjson.dumps(on))[1]] == ["s2:3-c1"]


@pytest.mark.parametrize(
    "content",
    [
        orjson.dumps({**MINI_SWE, "messages": [{**MINI_SWE["messages"][0], "timestamp": None}]}),
        b'{"items": [{"type": "function_call", "call_id": "c1"}]}',
    ],
)
def test_what_has_no_times_is_one_refusal_that_says_so(content):
    _, events, refused = rows("x", content)
    assert events == []
    (only,) = refused
    assert (only.reason, only.events) == ("unsupported_format", 0)
    assert "no times" in only.detail or "without times" in only.detail


@pytest.mark.parametrize(
    ("output", "failed"),
    [
        ("apply_patch verification failed: Failed to find expected lines in /w/a.py", True),
        ("exec_command failed for `ls`: CreateProcess", True),
        ("unsupported call: browse", True),
        ("Chunk ID: ab12\nProcess exited with code 0\nOutput:\ntest failed", False),
        ("Success. Updated the following files:\nM a.py", False),
    ],
)
def test_an_output_of_codex_without_an_exit_code_fails_by_its_words(output, failed):
    called, answered = (
        {"call_id": "c9", "type": kind} for kind in ("custom_tool_call", "custom_tool_call_output")
    )
    lines = [
        {"timestamp": "2026-11-02T12:00:00Z", "type": "response_item", "payload": {**called, "name": "run"}},
        {
            "timestamp": "2026-11-02T12:00:01Z",
            "type": "response_item",
            "payload": {**answered, "output": output},
        },
    ]
    assert counted("x", file_of(lines)).failures == ({"run": output} if failed else {})


def test_a_trajectory_of_openhands_0x_gives_its_calls_and_turns():
    def event(number: int, source: str = "agent", **more: object) -> dict:
        return {"id": number, "timestamp": f"2026-11-02T12:00:0{number}.5", "source": source, **more}

    run = {"action": "run", "args": {"command": "make"}}
    lines = [
        event(0, "user", action="message", args={"content": "fix it"}),
        event(1, **run),
        event(2, cause=1, observation="run", content="no rule", extras={"metadata": {"exit_code": 2}}),
        event(3, **run),
        event(4, "user", cause=3, observation="user_rejected", content="", extras={}),
        event(5, **run),
        event(6, cause=5, observation="run", content="done", extras={"metadata": {"exit_code": 0}}),
        event(7, "environment", observation="agent_state_changed", content="", extras={}),
        event(8, action="finish", args={"final_thought": "It is fixed"}),
    ]
    for content in (file_of(lines), orjson.dumps(lines, option=orjson.OPT_INDENT_2)):
        session = "1793620800500000000-0"
        expected = ("openhands_v1", 3, {"run": "no rule"}, [(session, "fix it", "It is fixed")])
        assert counted("x", content) == expected


def test_an_event_of_openhands_in_a_file_of_its_own_finds_its_call():
    """The SDK keeps each event as a file: the call is unfinished in one, and finished in the other."""
    about = {"tool_name": "terminal", "tool_call_id": "c1", "timestamp": "2026-11-02T12:00:00"}
    action = {**about, "kind": "ActionEvent", "id": "2", "source": "agent", "action": {"kind": "BashAction"}}
    observation = {"content": [{"type": "text", "text": "no rule"}], "exit_code": 2}
    result = {
        **about,
        "kind": "ObservationEvent",
        "id": "3",
        "source": "environment",
        "observation": observation,
    }
    begun, ended = (rows("x", orjson.dumps(one))[1][0] for one in (action, result))
    assert begun["event_id"] == ended["event_id"]
    assert begun["execution_trace"]["metadata"]["unfinished"] == "true"
    assert (ended["execution_trace"]["success"], ended["execution_trace"]["error"]) == (False, "no rule")
    assert ended["execution_trace"]["duration_ms"] is None


def test_tokens_of_a_langchain_message_are_kept():
    message = {"kwargs": {"content": "hi", "usage_metadata": {"input_tokens": 3, "output_tokens": 2}}}
    run = {
        **LANGSMITH[0],
        "run_type": "llm",
        "outputs": {"generations": [[{"text": "hi", "message": message}]]},
    }
    _, (event, *_), _ = rows("x", file_of([run]))
    metadata = event["execution_trace"]["metadata"]
    assert (metadata["input_tokens"], metadata["output_tokens"]) == ("3", "2")


def test_a_row_of_mlflows_search_is_the_trace_that_it_has():
    row = {"trace_id": "tr-1", "state": "OK", **MLFLOW["info"], "spans": MLFLOW["data"]["spans"]}
    for entry in (row, {**row, "trace": orjson.dumps(MLFLOW).decode()}):
        (found,) = (event["execution_trace"]["metadata"] for event in rows("x", file_of([entry]))[1])
        assert found["session_id"] == "s1"


def test_an_execution_of_n8ns_command_line_has_no_id_and_one_without_data_is_counted():
    printed = {key: N8N[key] for key in ("data", "mode", "startedAt", "status")}
    assert counted("x", orjson.dumps(printed)).failures == {"Model": "NodeApiError: Rate limit reached"}
    about = {key: value for key, value in N8N.items() if key != "data"}
    name, events, (refused,) = rows("x", orjson.dumps({"data": [{**about, "stoppedAt": None}]}))
    assert (name, events, refused.reason) == ("n8n", [], "not_used")
    assert "includeData=true" in refused.detail


def test_what_opencode_prints_and_stores_are_the_calls_of_its_export():
    _, exported, _ = rows("x", orjson.dumps(OPENCODE))
    parts = OPENCODE["messages"][1]["parts"]
    about = {"type": "tool_use", "timestamp": NANO // 10**6, "sessionID": "ses_1"}
    printed = [{**about, "part": part} for part in parts[:4]]
    updates = [{"type": "message.part.updated", "properties": {"part": part}} for part in parts[:4]]
    calls = {event["event_id"]: event for event in exported if "msg_2" in event["event_id"]}
    for found in (printed, updates, parts[:4]):
        _, events, refused = rows("x", file_of(found))
        assert refused == []
        assert all(calls[event["event_id"]] == event for event in events)
        assert len(events) == 4


def test_what_is_asked_within_a_session_of_a_subagent_no_user_asked():
    child = {**OPENCODE, "info": {**OPENCODE["info"], "parentID": "ses_0"}}
    assert counted("x", orjson.dumps(child)).turns == []
    asked = [event for event in COPILOT_CLI if event["type"] == "user.message"]
    spoken = [event | {"agentId": "a1"} if event in asked else event for event in COPILOT_CLI]
    assert counted("x", file_of(spoken)).turns == []
