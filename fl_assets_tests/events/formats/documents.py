"""One small file of each format, in the shape that its makers document.

What `test_producers.py` counts, and `test_hostile_files.py` breaks.
"""

from typing import Any

AT = "2026-11-02T12:00:0"
NANO = 1_793_620_800_000_000_000
TRACE, SPAN, TOOL = "2f1d" * 8, "00000000000000a1", "00000000000000a2"

CONSOLE = {
    "name": "execute_tool refund",
    "context": {"trace_id": f"0x{TRACE}", "span_id": f"0x{TOOL}", "trace_state": "[]"},
    "kind": "SpanKind.INTERNAL",
    "parent_id": f"0x{SPAN}",
    "start_time": f"{AT}0.000000Z",
    "end_time": f"{AT}0.412000Z",
    "status": {"status_code": "ERROR", "description": "order already refunded"},
    "attributes": {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "refund"},
    "events": [{"name": "note", "timestamp": f"{AT}0.1Z", "attributes": {}}],
    "resource": {"attributes": {"service.name": "billing", "host.name": "node-7"}},
}
JAEGER = {
    "data": [
        {
            "traceID": TRACE,
            "spans": [
                {
                    "traceID": TRACE,
                    "spanID": TOOL,
                    "operationName": "execute_tool refund",
                    "references": [{"refType": "CHILD_OF", "traceID": TRACE, "spanID": SPAN}],
                    "startTime": NANO // 1000,
                    "duration": 412000,
                    "tags": [
                        {"key": "gen_ai.operation.name", "value": "execute_tool"},
                        {"key": "gen_ai.tool.name", "value": "refund"},
                        {"key": "error", "type": "bool", "value": True},
                    ],
                    "logs": [
                        {
                            "timestamp": NANO // 1000,
                            "fields": [
                                {"key": "event", "value": "exception"},
                                {"key": "exception.type", "value": "RefundError"},
                                {"key": "exception.message", "value": "order already refunded"},
                            ],
                        }
                    ],
                    "processID": "p1",
                }
            ],
            "processes": {
                "p1": {"serviceName": "billing", "tags": [{"key": "host.name", "value": "node-7"}]}
            },
        }
    ]
}
ZIPKIN = [
    {
        "traceId": TRACE,
        "id": TOOL,
        "parentId": SPAN,
        "name": "execute_tool refund",
        "timestamp": NANO // 1000,
        "duration": 412000,
        "localEndpoint": {"serviceName": "billing"},
        "annotations": [{"timestamp": NANO // 1000, "value": "retry"}],
        "tags": {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": "refund",
            "error": "order already refunded",
        },
    }
]
CLAUDE_CODE = [
    {"type": "summary", "summary": "Fix the parser", "leafUuid": "u9"},
    {
        "type": "user",
        "parentUuid": None,
        "isSidechain": False,
        "sessionId": "s1",
        "uuid": "u1",
        "timestamp": f"{AT}0.000Z",
        "message": {"role": "user", "content": "make the tests pass<system-reminder>x</system-reminder>"},
    },
    {
        "type": "assistant",
        "sessionId": "s1",
        "uuid": "u2",
        "timestamp": f"{AT}1.000Z",
        "message": {
            "role": "assistant",
            "model": "claude-x",
            "content": [
                {"type": "tool_use", "id": "t1", "name": "Bash", "input": {"command": "pytest"}},
                {"type": "tool_use", "id": "t2", "name": "Edit", "input": {}},
            ],
        },
    },
    {
        "type": "user",
        "sessionId": "s1",
        "uuid": "u3",
        "timestamp": f"{AT}5.000Z",
        "toolUseResult": "Error: Exit code 1",
        "message": {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "t1",
                    "is_error": True,
                    "content": "Exit code 1\nE 3 != 4",
                }
            ],
        },
    },
    {
        "type": "user",
        "sessionId": "s1",
        "uuid": "u4",
        "timestamp": f"{AT}6.000Z",
        "message": {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "t2",
                    "is_error": True,
                    "content": "The user doesn't want to proceed with this tool use.",
                }
            ],
        },
    },
    {
        "type": "assistant",
        "sessionId": "s1",
        "uuid": "u5",
        "isApiErrorMessage": True,
        "timestamp": f"{AT}7.000Z",
        "message": {"role": "assistant", "content": [{"type": "text", "text": "API Error: 529 Overloaded"}]},
    },
    {
        "type": "assistant",
        "sessionId": "s1",
        "uuid": "u6",
        "timestamp": f"{AT}8.000Z",
        "message": {"role": "assistant", "content": [{"type": "text", "text": "One test still fails."}]},
    },
]
CODEX = [
    {"timestamp": f"{AT}0Z", "type": "session_meta", "payload": {"id": "s1", "cli_version": "0.9"}},
    {"timestamp": f"{AT}0Z", "type": "turn_context", "payload": {"model": "gpt-5-codex"}},
    {"timestamp": f"{AT}1Z", "type": "event_msg", "payload": {"type": "user_message", "message": "run it"}},
    {
        "timestamp": f"{AT}2Z",
        "type": "response_item",
        "payload": {"type": "function_call", "name": "shell", "arguments": "{}", "call_id": "c1"},
    },
    {
        "timestamp": f"{AT}4Z",
        "type": "response_item",
        "payload": {
            "type": "function_call_output",
            "call_id": "c1",
            "output": '{"output":"make: *** Error 2","metadata":{"exit_code":2,"duration_seconds":2}}',
        },
    },
    {
        "timestamp": f"{AT}5Z",
        "type": "event_msg",
        "payload": {"type": "error", "message": "stream disconnected"},
    },
    {
        "timestamp": f"{AT}6Z",
        "type": "event_msg",
        "payload": {"type": "agent_message", "message": "It fails."},
    },
]
OPENAI_AGENTS = [
    {"object": "trace", "id": "trace_1", "workflow_name": "helpdesk", "group_id": "s1", "metadata": None},
    {
        "object": "trace.span",
        "id": "span_1",
        "trace_id": "trace_1",
        "parent_id": None,
        "started_at": f"{AT}0+00:00",
        "ended_at": f"{AT}5+00:00",
        "span_data": {"type": "agent", "name": "clerk"},
        "error": {"message": "Max turns exceeded", "data": {"max_turns": 4}},
    },
    {
        "object": "trace.span",
        "id": "span_2",
        "trace_id": "trace_1",
        "parent_id": "span_1",
        "started_at": f"{AT}1+00:00",
        "ended_at": f"{AT}2+00:00",
        "span_data": {"type": "function", "name": "fetch", "input": "{}", "output": "An error occurred"},
        "error": {"message": "Error running tool", "data": {"tool_name": "fetch", "error": "404 Not Found"}},
    },
    {
        "object": "trace.span",
        "id": "span_3",
        "trace_id": "trace_1",
        "parent_id": "span_1",
        "started_at": f"{AT}3+00:00",
        "ended_at": f"{AT}4+00:00",
        "span_data": {
            "type": "generation",
            "model": "gpt-x",
            "usage": {"input_tokens": 7, "output_tokens": 2},
        },
        "error": None,
    },
]
MLFLOW = {
    "info": {
        "trace_id": "tr-1",
        "trace_metadata": {"mlflow.trace.session": "s1", "mlflow.source.name": "shop.py"},
    },
    "data": {
        "spans": [
            {
                "trace_id": "ou1NEIAjm++7qGtnmHm8+w==",
                "span_id": "HO5zAs1qufo=",
                "parent_span_id": None,
                "name": "lookup",
                "start_time_unix_nano": NANO,
                "end_time_unix_nano": NANO + 2_000_000,
                "events": [
                    {
                        "name": "exception",
                        "time_unix_nano": NANO + 2_000_000,
                        "attributes": {"exception.type": "KeyError", "exception.message": "'zz'"},
                    }
                ],
                "status": {"code": "STATUS_CODE_ERROR", "message": "KeyError: 'zz'"},
                "attributes": {
                    "mlflow.traceRequestId": '"tr-1"',
                    "mlflow.spanType": '"TOOL"',
                    "mlflow.spanInputs": '{"k": "zz"}',
                },
            }
        ]
    },
}
LANGSMITH = [
    {
        "id": "r1",
        "trace_id": "r1",
        "dotted_order": "20261102T120000000000Zr1",
        "run_type": "llm",
        "name": "ChatOpenAI",
        "session_name": "helpdesk",
        "start_time": f"{AT}0",
        "end_time": f"{AT}1",
        "inputs": {"messages": [{"role": "user", "content": "hello"}]},
        "outputs": {"choices": [{"message": {"role": "assistant", "content": "good day"}}]},
        "extra": {"metadata": {"session_id": "s1", "ls_model_name": "gpt-x"}},
        "prompt_tokens": 5,
    },
    {
        "id": "r2",
        "trace_id": "r1",
        "parent_run_id": "r1",
        "dotted_order": "20261102T120000000000Zr1.20261102T120000000000Zr2",
        "run_type": "tool",
        "name": "search",
        "start_time": f"{AT}0",
        "end_time": f"{AT}1",
        "inputs": {"q": "x"},
        "outputs": None,
        "error": "ValueError('no index')Traceback (most recent call last):\n  File \"a.py\", line "
        "1\nValueError: no index",
    },
]
LITELLM = {
    "id": "c1",
    "trace_id": "t1",
    "call_type": "acompletion",
    "status": "failure",
    "custom_llm_provider": "openai",
    "startTime": "2026-11-02 12:00:00.000",
    "endTime": "2026-11-02 12:00:02.000",
    "model": "gpt-4o",
    "messages": [{"role": "user", "content": "hi"}],
    "response": None,
    "response_cost": 0.001,
    "prompt_tokens": 3,
    "error_str": "litellm.RateLimitError: 429",
    "error_information": {
        "error_code": "429",
        "error_class": "RateLimitError",
        "error_message": "Rate limit reached for gpt-4o",
        "traceback": "",
    },
}
PHOENIX = {
    "data": [
        {
            "id": "1",
            "name": "refund",
            "context": {"trace_id": TRACE, "span_id": TOOL},
            "span_kind": "TOOL",
            "parent_id": None,
            "start_time": f"{AT}0+00:00",
            "end_time": f"{AT}1+00:00",
            "status_code": "ERROR",
            "status_message": "order already refunded",
            "attributes": {"tool": {"name": "refund"}, "session": {"id": "s1"}},
            "events": [],
        }
    ]
}
CLICKHOUSE = {
    "Timestamp": "2026-11-02 12:00:00.000000000",
    "TraceId": TRACE,
    "SpanId": TOOL,
    "ParentSpanId": "",
    "SpanName": "execute_tool refund",
    "ServiceName": "billing",
    "ResourceAttributes": {"host.name": "node-7"},
    "ScopeName": "lib",
    "SpanAttributes": {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "refund"},
    "Duration": "412000000",
    "StatusCode": "Error",
    "StatusMessage": "",
    "Events.Timestamp": ["2026-11-02 12:00:00.100"],
    "Events.Name": ["exception"],
    "Events.Attributes": [{"exception.type": "RefundError", "exception.message": "order already refunded"}],
}
INSPECT = {
    "version": 2,
    "status": "success",
    "eval": {"run_id": "run", "created": f"{AT}0+00:00", "task": "ctf", "model": "m", "dataset": {}},
    "plan": {},
    "samples": [
        {
            "id": 1,
            "epoch": 1,
            "uuid": "s1",
            "input": "solve it",
            "started_at": f"{AT}0+00:00",
            "completed_at": f"{AT}5+00:00",
            "messages": [{"role": "assistant", "content": "done"}],
            "events": [
                {
                    "event": "tool",
                    "id": "t1",
                    "function": "bash",
                    "arguments": {"cmd": "ls"},
                    "timestamp": f"{AT}1+00:00",
                    "completed": f"{AT}2+00:00",
                    "error": {"type": "timeout", "message": "Command timed out"},
                },
                {
                    "event": "model",
                    "uuid": "m1",
                    "model": "m",
                    "timestamp": f"{AT}3+00:00",
                    "completed": f"{AT}4+00:00",
                    "output": {"usage": {"input_tokens": 9, "output_tokens": 1}},
                },
            ],
        }
    ],
}
ATIF = {
    "schema_version": "ATIF-v1.4",
    "session_id": "s1",
    "agent": {"name": "terminus", "version": "2", "model_name": "m"},
    "steps": [
        {"step_id": 1, "timestamp": f"{AT}0Z", "source": "user", "message": "fix it"},
        {
            "step_id": 2,
            "timestamp": f"{AT}1Z",
            "source": "agent",
            "message": "I look",
            "tool_calls": [{"tool_call_id": "c1", "function_name": "read", "arguments": {"path": "x"}}],
            "observation": {"results": [{"source_call_id": "c1", "content": "Error: no such file x"}]},
            "metrics": {"prompt_tokens": 5, "completion_tokens": 2, "cost_usd": 0.1},
        },
        {"step_id": 3, "timestamp": f"{AT}2Z", "source": "agent", "message": "It is gone", "model_name": "n"},
    ],
}
MINI_SWE = {
    "trajectory_format": "mini-swe-agent-1.1",
    "instance_id": "django-1",
    "info": {"exit_status": "LimitsExceeded", "config": {"model": {"model_name": "m"}}},
    "messages": [
        {"role": "user", "content": "Fix it", "timestamp": NANO / 1e9},
        {"role": "assistant", "content": "```bash\nls nowhere\n```", "timestamp": NANO / 1e9 + 1},
        {
            "role": "user",
            "content": "<returncode>2</returncode>\n<output>\nls: cannot access 'nowhere'\n</output>",
            "timestamp": NANO / 1e9 + 3,
        },
        {"role": "assistant", "content": "```bash\nls\n```", "timestamp": NANO / 1e9 + 4},
        {"role": "user", "content": "<returncode>0</returncode>", "timestamp": NANO / 1e9 + 5},
    ],
}
OPENHANDS_V1 = [
    {
        "kind": "MessageEvent",
        "id": "e0",
        "timestamp": f"{AT}0",
        "source": "user",
        "llm_message": {"role": "user", "content": [{"type": "text", "text": "fix it"}]},
    },
    {
        "kind": "ActionEvent",
        "id": "e1",
        "timestamp": f"{AT}1",
        "source": "agent",
        "tool_name": "terminal",
        "tool_call_id": "c1",
        "action": {"kind": "ExecuteBashAction", "command": "make"},
    },
    {
        "kind": "ObservationEvent",
        "id": "e2",
        "timestamp": f"{AT}3",
        "source": "environment",
        "tool_name": "terminal",
        "tool_call_id": "c1",
        "observation": {"content": [{"type": "text", "text": "make: *** Error 2"}], "exit_code": 2},
    },
    {
        "kind": "MessageEvent",
        "id": "e3",
        "timestamp": f"{AT}4",
        "source": "agent",
        "llm_message": {"role": "assistant", "content": [{"type": "text", "text": "It fails"}]},
    },
]
ZIPKIN_V1 = [
    [
        {
            **{key: ZIPKIN[0][key] for key in ("traceId", "id", "parentId", "name", "timestamp", "duration")},
            "annotations": [
                {"timestamp": NANO // 1000, "value": "cs", "endpoint": {"serviceName": "billing"}},
                {"timestamp": NANO // 1000 + 412000, "value": "cr", "endpoint": {"serviceName": "billing"}},
            ],
            "binaryAnnotations": [
                {"key": "sa", "value": True, "endpoint": {"serviceName": "bank"}},
                {"key": "gen_ai.operation.name", "value": "execute_tool"},
                {"key": "gen_ai.tool.name", "value": "refund", "endpoint": {"serviceName": "billing"}},
                {"key": "error", "value": "order already refunded", "endpoint": {"serviceName": "billing"}},
            ],
        }
    ]
]
LANGFUSE_INGESTION = [
    {
        "batch": [
            {
                "id": "e1",
                "type": "trace-create",
                "timestamp": f"{AT}0.000Z",
                "body": {"id": "t1", "name": "shop", "sessionId": "s1", "input": "refund it"},
            },
            {
                "id": "e2",
                "type": "span-create",
                "timestamp": f"{AT}0.000Z",
                "body": {
                    "id": "o1",
                    "traceId": "t1",
                    "name": "refund",
                    "startTime": f"{AT}0.000Z",
                    "metadata": {"attempt": 1},
                },
            },
            {
                "id": "e3",
                "type": "generation-create",
                "timestamp": f"{AT}1.000Z",
                "body": {
                    "id": "o2",
                    "traceId": "t1",
                    "parentObservationId": "o1",
                    "name": "answer",
                    "model": "gpt-4o",
                    "startTime": f"{AT}1.000Z",
                },
            },
        ]
    },
    {
        "batch": [
            {
                "id": "e4",
                "type": "generation-update",
                "timestamp": f"{AT}2.000Z",
                "body": {"id": "o2", "endTime": f"{AT}2.000Z", "usage": {"input": 5, "output": 2}},
            },
            {
                "id": "e5",
                "type": "span-update",
                "timestamp": f"{AT}3.000Z",
                "body": {
                    "id": "o1",
                    "endTime": f"{AT}3.000Z",
                    "level": "ERROR",
                    "statusMessage": "order already refunded",
                },
            },
            {
                "id": "e6",
                "type": "trace-create",
                "timestamp": f"{AT}3.000Z",
                "body": {"id": "t1", "output": "It was refunded before."},
            },
            {"id": "e7", "type": "sdk-log", "timestamp": f"{AT}3.000Z", "body": {"log": {}}},
        ]
    },
]
DATADOG = [
    {
        "data": [
            {
                "id": TOOL,
                "type": "span",
                "attributes": {
                    "duration": 412_000_000,
                    "error": {"message": "order already refunded", "type": "RefundError"},
                    "input": {"value": '{"order": 7}'},
                    "metadata": {"attempt": 1},
                    "ml_app": "billing",
                    "name": "refund",
                    "parent_id": SPAN,
                    "span_id": TOOL,
                    "span_kind": "tool",
                    "start_ms": NANO // 1_000_000,
                    "status": "error",
                    "tags": ["service:billing", "env:prod", "hostname:node-7"],
                    "trace_id": TRACE,
                },
            },
            {
                "id": "a3",
                "type": "span",
                "attributes": {
                    "duration": 1_000_000_000,
                    "evaluation": {"failure_to_answer": {"value": "answered", "status": "OK"}},
                    "input": {"messages": [{"role": "user", "content": "hello"}]},
                    "metrics": {"input_tokens": 10, "output_tokens": 4, "estimated_total_cost": 7500},
                    "ml_app": "billing",
                    "model_name": "gpt-4o",
                    "name": "answer",
                    "output": {"messages": [{"role": "assistant", "content": "good day"}]},
                    "parent_id": "undefined",
                    "span_id": "a3",
                    "span_kind": "llm",
                    "start_ms": NANO // 1_000_000,
                    "status": "ok",
                    "tags": ["service:billing", "session_id:s1"],
                    "trace_id": TRACE,
                },
            },
        ],
        "meta": {"status": "done"},
    }
]
ELASTIC_APM = [
    {
        "metadata": {
            "service": {"name": "billing", "agent": {"name": "python"}, "version": "2"},
            "system": {"configured_hostname": "node-7", "kubernetes": {"pod": {"name": "x"}}},
        }
    },
    {
        "transaction": {
            "id": SPAN,
            "trace_id": TRACE,
            "name": "POST /refunds",
            "type": "request",
            "duration": 500.0,
            "timestamp": NANO // 1000,
            "result": "HTTP 5xx",
            "outcome": "failure",
            "context": {"response": {"status_code": 500}},
            "span_count": {"started": 1},
        }
    },
    {
        "span": {
            "id": TOOL,
            "trace_id": TRACE,
            "transaction_id": SPAN,
            "parent_id": SPAN,
            "name": "execute_tool refund",
            "type": "app",
            "duration": 412.0,
            "timestamp": NANO // 1000,
            "outcome": "failure",
            "otel": {
                "span_kind": "INTERNAL",
                "attributes": {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "refund"},
            },
        }
    },
    {
        "error": {
            "id": "e1",
            "trace_id": TRACE,
            "transaction_id": SPAN,
            "parent_id": TOOL,
            "timestamp": NANO // 1000 + 400_000,
            "culprit": "refund.py in refund",
            "exception": {"message": "order already refunded", "type": "RefundError", "handled": False},
        }
    },
    {"metricset": {"timestamp": NANO // 1000, "samples": {"system.cpu.total.norm.pct": {"value": 0.1}}}},
]
GEMINI_CLI = {
    "sessionId": "s1",
    "projectHash": "79b6",
    "startTime": f"{AT}0Z",
    "messages": [
        {"id": "m1", "timestamp": f"{AT}0Z", "type": "user", "content": [{"text": "list the files"}]},
        {
            "id": "m2",
            "timestamp": f"{AT}5Z",
            "type": "gemini",
            "content": "There are two files.",
            "model": "gemini-2.5-pro",
            "toolCalls": [
                {
                    "id": "c1",
                    "name": "list_directory",
                    "args": {"path": "/w"},
                    "result": [{"functionResponse": {"response": {"output": "a\nb"}}}],
                    "status": "success",
                    "timestamp": f"{AT}3Z",
                },
                {
                    "id": "c2",
                    "name": "read_file",
                    "args": {"path": "/nope"},
                    "result": [{"functionResponse": {"response": {"error": "File not found: /nope"}}}],
                    "status": "error",
                    "timestamp": f"{AT}4Z",
                },
                {"id": "c3", "name": "run_shell_command", "status": "cancelled", "timestamp": f"{AT}4Z"},
            ],
        },
        {
            "id": "m3",
            "timestamp": f"{AT}6Z",
            "type": "error",
            "content": "[API Error: got status: 429. Resource exhausted]",
        },
    ],
}
OPENCODE = {
    "info": {"id": "ses_1", "version": "1.1.3", "projectID": "p", "time": {"created": NANO // 10**6}},
    "messages": [
        {
            "info": {"id": "msg_1", "sessionID": "ses_1", "role": "user", "time": {"created": NANO // 10**6}},
            "parts": [
                {"id": "prt_0", "type": "text", "text": "fix it"},
                {"id": "prt_1", "type": "text", "text": "the content of a file", "synthetic": True},
            ],
        },
        {
            "info": {
                "id": "msg_2",
                "sessionID": "ses_1",
                "role": "assistant",
                "parentID": "msg_1",
                "modelID": "m",
                "time": {"created": NANO // 10**6, "completed": NANO // 10**6 + 9000},
            },
            "parts": [
                {
                    "id": f"prt_{number}",
                    "sessionID": "ses_1",
                    "messageID": "msg_2",
                    "type": "tool",
                    "callID": f"c{number}",
                    "tool": tool,
                    "state": {
                        "input": {"n": number},
                        "time": {"start": NANO // 10**6, "end": NANO // 10**6 + 1500},
                        **state,
                    },
                }
                for number, (tool, state) in enumerate(
                    (
                        ("bash", {"status": "completed", "output": "ok", "metadata": {"exit": 0}}),
                        ("make", {"status": "completed", "output": "*** Error 2", "metadata": {"exit": 2}}),
                        ("edit", {"status": "error", "error": "Error: oldString not found in content"}),
                        ("read", {"status": "error", "error": "Tool execution aborted"}),
                        ("grep", {"status": "running"}),
                    )
                )
            ]
            + [{"id": "prt_9", "type": "text", "text": "It is fixed."}],
        },
        {
            "info": {
                "id": "msg_3",
                "sessionID": "ses_1",
                "role": "assistant",
                "modelID": "m",
                "time": {"created": NANO // 10**6 + 9500},
                "error": {"name": "APIError", "data": {"message": "Overloaded", "statusCode": 529}},
            },
            "parts": [],
        },
    ],
}
_GOOSE_MESSAGES = [
    {"role": "user", "content": [{"type": "text", "text": "fix it"}]},
    {
        "role": "assistant",
        "content": [
            {"type": "text", "text": "Reading."},
            *(
                {
                    "type": "toolRequest",
                    "id": f"c{number}",
                    "toolCall": {"status": "success", "value": {"name": name, "arguments": {}}},
                }
                for number, name in enumerate(("shell", "edit", "ls", "rm"))
            ),
            {"type": "toolRequest", "id": "c9", "toolCall": {"status": "error", "error": "no such tool: x"}},
        ],
    },
    {
        "role": "user",
        "content": [
            {
                "type": "toolResponse",
                "id": "c0",
                "toolResult": {
                    "status": "success",
                    "value": {"content": [{"type": "text", "text": "FAIL: x"}], "isError": True},
                },
            },
            {"type": "toolResponse", "id": "c1", "toolResult": {"status": "error", "error": "no such file"}},
            {
                "type": "toolResponse",
                "id": "c2",
                "toolResult": {"status": "success", "value": [{"type": "text", "text": "a b"}]},
            },
            {
                "type": "toolResponse",
                "id": "c9",
                "toolResult": {"status": "error", "error": "no such tool: x"},
            },
        ],
    },
    {
        "role": "user",
        "metadata": {"userVisible": False},
        "content": [{"type": "text", "text": "what went before"}],
    },
    {"role": "assistant", "content": [{"type": "text", "text": "It is fixed."}]},
]
GOOSE = {
    "id": "s1",
    "working_dir": "/w",
    "created_at": f"{AT}0Z",
    "conversation": [
        {"id": f"m{number}", "created": NANO // 10**9 + number, "metadata": {}, **message}
        for number, message in enumerate(_GOOSE_MESSAGES)
    ],
}
COPILOT_CLI = [
    {"type": kind, "data": data, "id": f"e{number}", "timestamp": f"{AT}{number}Z"}
    for number, (kind, data) in enumerate(
        (
            ("session.start", {"sessionId": "s1", "producer": "copilot-agent", "copilotVersion": "1.0.63"}),
            ("user.message", {"content": "run it", "transformedContent": "<x>run it"}),
            ("tool.execution_start", {"toolCallId": "c1", "toolName": "bash", "arguments": {"n": 1}}),
            (
                "tool.execution_complete",
                {"toolCallId": "c1", "success": False, "error": {"message": "make: not found"}},
            ),
            ("tool.execution_start", {"toolCallId": "c2", "toolName": "view", "arguments": {}}),
            ("tool.execution_complete", {"toolCallId": "c2", "success": True, "result": {"content": "a"}}),
            ("tool.execution_start", {"toolCallId": "c3", "toolName": "rm", "arguments": {}}),
            (
                "tool.execution_complete",
                {"toolCallId": "c3", "success": False, "error": {"message": "Not allowed", "code": "denied"}},
            ),
            ("assistant.message", {"content": "It cannot be run.", "toolRequests": []}),
            ("session.error", {"errorType": "quota", "message": "limit reached", "statusCode": 429}),
        )
    )
]
_ASKED = [
    {"role": "user", "content": [{"text": "book it"}]},
    {"role": "assistant", "content": [{"toolUse": {"toolUseId": "t1", "name": "book", "input": {"n": 2}}}]},
    {
        "role": "user",
        "content": [
            {"toolResult": {"toolUseId": "t1", "status": "error", "content": [{"text": "no seats left"}]}}
        ],
    },
]
BEDROCK = [
    {
        "schemaType": "ModelInvocationLog",
        "schemaVersion": "1.0",
        "timestamp": f"{AT}{number}Z",
        "requestId": f"r{number}",
        "operation": "Converse",
        "modelId": "arn:aws:bedrock:us-east-1:1:inference-profile/us.m",
        "identity": {"arn": "arn:aws:sts::1:assumed-role/shop/i-1"},
        "requestMetadata": {"session_id": "s1"},
        "input": {"inputTokenCount": 7, "inputBodyJson": {"messages": messages}} if messages else {},
        "output": {"outputTokenCount": 3, "outputBodyJson": answer} if answer else {},
        **error,
    }
    for number, (messages, answer, error) in enumerate(
        (
            (
                _ASKED[:1],
                {"output": {"message": _ASKED[1]}, "stopReason": "tool_use", "metrics": {"latencyMs": 412}},
                {},
            ),
            (
                _ASKED,
                [
                    {"messageStart": {"role": "assistant"}},
                    {"contentBlockDelta": {"delta": {"text": "It is "}}},
                    {"contentBlockDelta": {"delta": {"text": "sold out."}}},
                    {"messageStop": {"stopReason": "end_turn"}},
                    {"metadata": {"usage": {}, "metrics": {"latencyMs": 300}}},
                ],
                {},
            ),
            ([], {}, {"errorCode": "ThrottlingException"}),
        )
    )
]
N8N = {
    "id": "7",
    "workflowId": "w",
    "mode": "webhook",
    "finished": False,
    "status": "error",
    "startedAt": f"{AT}0Z",
    "workflowData": {
        "name": "support",
        "nodes": [
            {"name": "Agent", "type": "@n8n/n8n-nodes-langchain.agent"},
            {"name": "Model", "type": "@n8n/n8n-nodes-langchain.lmChatOpenAi"},
        ],
    },
    "data": {
        "resultData": {
            "runData": {
                "Webhook": [{"startTime": NANO // 10**6, "executionTime": 5, "executionStatus": "success"}],
                "Agent": [
                    {
                        "startTime": NANO // 10**6 + 10,
                        "executionTime": 900,
                        "executionStatus": "error",
                        "source": [{"previousNode": "Webhook"}],
                        "error": {"name": "NodeApiError", "message": "Rate limit reached"},
                    }
                ],
                "Model": [
                    {
                        "startTime": NANO // 10**6 + 20,
                        "executionTime": 412,
                        "executionStatus": "error",
                        "source": [{"previousNode": "Agent"}],
                        "inputOverride": {"ai_languageModel": []},
                        "error": {"name": "NodeApiError", "message": "Rate limit reached"},
                    }
                ],
            }
        }
    },
}
OF_LINES: dict[str, list[Any]] = {
    "otel_console": [CONSOLE],
    "jaeger": [JAEGER],
    "zipkin": [ZIPKIN],
    "claude_code": CLAUDE_CODE,
    "codex": CODEX,
    "openai_agents": OPENAI_AGENTS,
    "mlflow": [MLFLOW],
    "langsmith": LANGSMITH,
    "litellm": [LITELLM],
    "phoenix": [PHOENIX],
    "clickhouse": [CLICKHOUSE],
    "inspect": [INSPECT],
    "atif": [ATIF],
    "mini_swe": [MINI_SWE],
    "openhands_v1": OPENHANDS_V1,
    "gemini_cli": [GEMINI_CLI],
    "zipkin_v1": ZIPKIN_V1,
    "langfuse_ingestion": LANGFUSE_INGESTION,
    "datadog": DATADOG,
    "elastic_apm": ELASTIC_APM,
    "opencode": [OPENCODE],
    "goose": [GOOSE],
    "copilot_cli": COPILOT_CLI,
    "bedrock": BEDROCK,
    "n8n": [N8N],
}
"""A file of each format: the JSON values of its lines."""
