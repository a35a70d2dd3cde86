"""The seam: detection by content, lines or documents, the formats of agents' own files, and the example in the documentation."""

import json
import re
import sys
from collections import Counter
from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fl_assets.events import formats
from fl_assets.events.formats import FORMATS, HEAD_BYTES, EventLine, ReadOptions, RefusedLine, detect, seam

ROOT = Path(__file__).parents[3]
SAMPLES = ROOT / "../shared/data/raw_formats"

NATIVE = orjson.dumps(
    {
        "event_id": "1",
        "event_type": "ConversationLog",
        "conversation_log": {
            "user_query": '{"resourceSpans": [{"parentObservationId": 1}], "failure_type": "x", "error_type": "y"}'
        },
    }
)


def rows(name: str, content: bytes) -> tuple[str, list[dict], list[RefusedLine]]:
    found = detect(name, content[:HEAD_BYTES])
    assert found is not None
    results = list(found.read(enumerate(content.splitlines(), 1), ReadOptions()))
    return (
        found.name,
        [orjson.loads(entry.data) for entry in results if isinstance(entry, EventLine)],
        [entry for entry in results if isinstance(entry, RefusedLine)],
    )


def test_the_telemetrists_own_lines_are_no_format_whatever_they_quote():
    assert detect("events_1.jsonl", NATIVE) is None
    assert detect("events_1.jsonl", b"") is None
    assert detect("events_1.jsonl", b"broken\n" + NATIVE) is None


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b'{"resourceSpans":[', "otlp"),
        (b'\xef\xbb\xbf{\n  "resource_spans" : [', "otlp"),
        (b'broken\n{"resourceLogs":[]}', "otlp"),
        (b'{"resourceMetrics":[', "otlp_metrics"),
        (b'{\n "trace": {\n "id": "x"', "langfuse"),
        (b'[{"id":"1","parentObservationId":null', "langfuse"),
        (b'{"trajectory": [{"action": "ls", ', "swe_agent_traj"),
        (b'{"instance_id":"x","test_result"', "openhands_eval_output"),
    ],
)
def test_a_format_is_told_by_its_content(head, name):
    found = detect("some.json", head)
    assert found is not None
    assert found.name == name


def test_names_of_formats_are_unique_and_each_is_described():
    assert max(Counter(entry.name for entry in FORMATS).values()) == 1
    assert all(entry.description.endswith(".") for entry in FORMATS)


# One record a line, or one document --------------------------------------------------------------------------------------

numbers = st.integers(-(2**63), 2**63 - 1)
objects = st.dictionaries(
    st.text("ab", min_size=1, max_size=2), numbers | st.lists(numbers, max_size=2), min_size=1, max_size=3
)
records = st.lists(objects, min_size=1, max_size=4)


@settings(deadline=None)
@given(records, st.booleans())
def test_lines_are_records_and_a_pretty_document_is_one(found, crlf):
    end = b"\r\n" if crlf else b"\n"
    lines = [orjson.dumps(record) + end for record in found]
    assert list(seam.json_records(enumerate(lines, 1))) == list(enumerate(found, 1))
    pretty = json.dumps(found, indent=2).encode().split(b"\n")
    assert list(seam.json_records((number, line + end) for number, line in enumerate(pretty, 1))) == [
        (1, found)
    ]


@settings(deadline=None)
@given(st.lists(st.sampled_from([b'{"a":1}', b'{"a"', b"", b"\xff\xfe", b"[1]", b"}", b"null"]), max_size=8))
def test_no_line_is_lost_and_none_is_counted_twice(lines):
    results = list(seam.json_records(enumerate(lines, 1)))
    numbers = [entry.line if isinstance(entry, RefusedLine) else entry[0] for entry in results]
    filled = [number for number, line in enumerate(lines, 1) if line]
    assert numbers == sorted(set(numbers))
    assert len(numbers) >= bool(filled)
    assert set(numbers) <= {0, *filled}
    assert {number for number, line in enumerate(lines, 1) if line == b'{"a":1}'} <= set(numbers)


def test_lines_stream():
    taken = []

    def lines():
        for number in range(1, 1000):
            taken.append(number)
            yield number, b'{"a":1}'

    assert next(seam.json_records(lines())) == (1, {"a": 1})
    assert len(taken) <= 2


def test_a_document_too_large_to_hold_is_refused_as_a_whole(monkeypatch):
    monkeypatch.setattr(seam, "MAX_DOCUMENT_BYTES", 100)
    pretty = json.dumps({"a": list(range(100))}, indent=1).encode().splitlines()
    (refusal,) = seam.json_records(enumerate(pretty, 1))
    assert (refusal.line, refusal.reason) == (0, "bad_json")
    (good, bad) = seam.json_records([(1, b'{"a":1}'), (2, b'{"a":"' + b"x" * 100 + b'"}')])
    assert good == (1, {"a": 1})
    assert "106 bytes" in bad.detail or "108 bytes" in bad.detail


# Agents' own files -----------------------------------------------------------------------------------------------------


def test_a_session_of_adk_gives_tool_calls_their_errors_and_its_talk():
    def event(number: int, author: str, *parts: dict, **more: object) -> dict:
        return {
            "id": f"e{number}",
            "invocationId": "i1",
            "author": author,
            "timestamp": 1_793_527_200 + number,
            "content": {"parts": list(parts)},
            **more,
        }

    session = {
        "id": "s1",
        "appName": "trip",
        "events": [
            event(0, "user", {"text": "book it"}),
            event(1, "agent", {"functionCall": {"id": "c1", "name": "book", "args": {}}}),
            event(
                3,
                "agent",
                {
                    "functionResponse": {
                        "id": "c1",
                        "name": "book",
                        "response": {"status": "error", "error_message": "no seats"},
                    }
                },
            ),
            event(4, "agent", errorCode="SAFETY", errorMessage="blocked"),
            event(5, "agent", {"text": "I could not book it"}),
            {"id": "e9", "author": "agent"},
        ],
    }
    name, found, refused = rows("trip.session.json", orjson.dumps(session, option=orjson.OPT_INDENT_2))
    traces = {
        event["execution_trace"]["method"]: event["execution_trace"]
        for event in found
        if event["execution_trace"]
    }
    assert name == "adk_session"
    assert {
        method: (trace["success"], trace["error"], trace["duration_ms"]) for method, trace in traces.items()
    } == {
        "book": (False, "no seats", 2000.0),
        "chat": (False, "SAFETY: blocked", 0.0),
        "invoke_agent agent": (True, None, 5000.0),
    }
    (turn,) = [event["conversation_log"] for event in found if event["conversation_log"]]
    assert (turn["session_id"], turn["user_query"], turn["system_response"]) == (
        "s1",
        "book it",
        "I could not book it",
    )
    assert [entry.detail for entry in refused] == [
        "1 of 4 entries: an event has no seconds since 1970 as its timestamp"
    ]


def test_an_output_of_openhands_gives_actions_with_the_errors_of_their_observations():
    def event(number: int, **more: object) -> dict:
        return {"id": number, "timestamp": f"2026-11-01T10:00:0{number}", "source": "agent", **more}

    code = {"metadata": {"exit_code": 2}}
    history = [
        event(1, action="run", args={"command": "make"}),
        event(2, observation="run", cause=1, content="building\nmake: *** Error 2", extras=code),
        event(3, action="run"),
        event(4, observation="run", cause=3, content="", extras=code),
        event(5, action="edit"),
        event(6, observation="edit", cause=5, content="ERROR: no match"),
        event(7, action="run"),
        event(8, observation="run", cause=7, content="fine", extras={"metadata": {"exit_code": 0}}),
        {"id": 9},
    ]
    instance = {
        "instance_id": "x",
        "instruction": "fix it",
        "metadata": {"agent_class": "Agent"},
        "history": history,
        "error": None,
    }
    name, found, refused = rows("output.jsonl", orjson.dumps(instance))
    assert name == "openhands_eval_output"
    assert [
        (event["execution_trace"]["method"], event["execution_trace"]["error"])
        for event in found
        if not event["execution_trace"]["success"]
    ] == [("run", "make: *** Error 2"), ("run", "exit code 2"), ("edit", "ERROR: no match")]
    assert sum(event["execution_trace"]["success"] for event in found) == 2
    assert len(refused) == 1


# Nothing that a file holds breaks a reader -----------------------------------------------------------------------------

RECORD = {
    "eventName": "gen_ai.choice",
    "traceId": "a" * 32,
    "spanId": "c" * 16,
    "timeUnixNano": 1,
    "body": {"intValue": 1},
}
DOCUMENTS = {
    "otlp": {
        "resourceSpans": [
            {
                "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "s"}}]},
                "scopeSpans": [
                    {
                        "scope": {"name": "lib"},
                        "spans": [
                            {
                                "traceId": "a" * 32,
                                "spanId": "b" * 16,
                                "startTimeUnixNano": "1793527200000000000",
                                "endTimeUnixNano": 1793527200000000001,
                                "status": {"code": 2},
                                "attributes": [
                                    {
                                        "key": "gen_ai.input.messages",
                                        "value": {"arrayValue": {"values": [{"stringValue": "x"}]}},
                                    }
                                ],
                                "events": [
                                    {
                                        "name": "exception",
                                        "attributes": [
                                            {"key": "exception.type", "value": {"stringValue": "E"}}
                                        ],
                                    }
                                ],
                            }
                        ],
                    }
                ],
            }
        ],
        "resourceLogs": [{"scopeLogs": [{"logRecords": [RECORD]}]}],
    },
    "langfuse": {
        "trace": {"id": "t", "name": "n", "sessionId": "s"},
        "observations": [
            {
                "id": "o",
                "traceId": "t",
                "type": "GENERATION",
                "startTime": "2026-11-01T10:00:00Z",
                "level": "ERROR",
                "metadata": {
                    "attributes": {"llm.input_messages.0.message.content": "x"},
                    "resourceAttributes": {},
                    "scope": {"name": "x"},
                },
                "input": {"messages": [{"role": "user", "content": [{"type": "text", "text": "q"}]}]},
                "output": {"choices": [{"message": {"content": "a", "tool_calls": []}}]},
            }
        ],
    },
    "adk_session": {
        "id": "s",
        "events": [
            {
                "id": "1",
                "invocation_id": "i",
                "author": "user",
                "timestamp": 1.0,
                "content": {"parts": [{"text": "q"}]},
            },
            {
                "id": "2",
                "invocation_id": "i",
                "author": "a",
                "timestamp": 2.0,
                "content": {"parts": [{"function_call": {"id": "c", "name": "f"}}]},
            },
            {
                "id": "3",
                "author": "a",
                "timestamp": 3.0,
                "error_code": "E",
                "content": {"parts": [{"function_response": {"id": "c", "response": {"error": "e"}}}]},
            },
        ],
    },
    "openhands_eval_output": {
        "instance_id": "i",
        "instruction": "q",
        "metadata": {"agent_class": "A", "llm_config": {"model": "m"}},
        "error": "e",
        "history": [
            {"id": 1, "timestamp": "2026-11-01T10:00:00", "action": "run", "args": {"thought": "x"}},
            {
                "id": 2,
                "timestamp": "2026-11-01T10:00:01",
                "cause": 1,
                "observation": "run",
                "content": "x",
                "extras": {"metadata": {"exit_code": 1}},
            },
            [
                {
                    "id": 3,
                    "timestamp": "2026-11-01T10:00:02",
                    "action": "finish",
                    "args": {"final_thought": "done"},
                }
            ],
        ],
    },
    "error_records": {
        "id": "e",
        "failure_type": "f",
        "created_at": "2026-11-01T10:00:00Z",
        "contributing_tools": ["a"],
        "error_message": "m",
    },
}
leaves = (
    st.none()
    | st.booleans()
    | numbers
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=3)
    | st.just("9" * 5000)
)
anything = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["id", "role", "text", "type"]), inner, max_size=2)
    ),
)


def mutated(value: object, choose: st.DataObject) -> object:
    """Put anything at one place of a document, or leave it as it is."""
    inner = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    if not inner or choose.draw(st.integers(0, 9)) == 0:
        return choose.draw(anything)
    where = choose.draw(st.sampled_from(inner))
    copied = value.copy()
    copied[where] = mutated(value[where], choose)
    return copied


def assert_is_an_event(event: dict) -> None:
    assert isinstance(event["event_id"], str)
    key, other = (
        ("execution_trace", "conversation_log")
        if event["event_type"] == "ExecutionTrace"
        else ("conversation_log", "execution_trace")
    )
    inner = event[key]
    assert (event[other], event["timestamp"]) == (None, inner["timestamp"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", event["timestamp"])
    assert all(isinstance(key, str) and isinstance(value, str) for key, value in inner["metadata"].items())
    texts = (
        ("trace_id", "request_id", "service", "method")
        if key == "execution_trace"
        else ("log_id", "session_id", "user_query", "system_response")
    )
    assert all(isinstance(inner[name], str) and inner[name] for name in texts)
    if key == "execution_trace":
        assert isinstance(inner["success"], bool)
        assert inner["duration_ms"] is None or inner["duration_ms"] >= 0
        assert inner["error"] is None if inner["success"] else inner["error"] is None or inner["error"]


@pytest.mark.parametrize("name", DOCUMENTS)
@settings(deadline=None)
@given(choose=st.data())
def test_nothing_that_a_file_holds_breaks_its_reader(name, choose):
    (found,) = [entry for entry in FORMATS if entry.name == name]
    document = choose.draw(st.just(DOCUMENTS[name]))
    for _ in range(choose.draw(st.integers(0, 2))):
        document = mutated(document, choose)
    for entry in found.read([(1, json.dumps(document).encode())]):
        if isinstance(entry, RefusedLine):
            assert entry.detail
        elif found.table == "events":
            assert_is_an_event(orjson.loads(entry.data))


# The example in the documentation ---------------------------------------------------------------------------------------


def test_the_example_in_the_documentation_is_a_format_in_one_file(tmp_path, monkeypatch):
    text = (ROOT / "docs/formats.md").read_text()
    (code,) = re.findall(r"```python\n(\"\"\".*?)```", text, re.DOTALL)
    (sample,) = re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    (tmp_path / "acme.py").write_text(code)
    monkeypatch.setattr(formats, "__path__", [*formats.__path__, str(tmp_path)])
    try:
        monkeypatch.setattr(formats, "FORMATS", formats._formats())
        name, found, refused = rows("calls.jsonl", sample.encode())
    finally:
        sys.modules.pop("fl_assets.events.formats.acme", None)
        vars(formats).pop("acme", None)
    assert name == "acme"
    assert [(event["execution_trace"]["method"], event["execution_trace"]["error"]) for event in found] == [
        ("search", None),
        ("book", "no seats"),
    ]
    assert [entry.line for entry in refused] == [3]


def test_the_documentation_names_every_format():
    text = (ROOT / "docs/formats.md").read_text()
    assert [entry.name for entry in FORMATS if f"`{entry.name}`" not in text] == []


# Real samples ----------------------------------------------------------------------------------------------------------

REAL = {  # calls, failures of their own, repeats of them, turns of talk
    "adk_session/sample.session.json": ("adk_session", 3, 0, 0, 1),
    "langfuse_export/agno-2025-06-11.json": ("langfuse", 6, 0, 0, 1),
    "langfuse_export/beeai-2025-08-01.json": ("langfuse", 29, 0, 0, 1),
    "langfuse_export/crewai-2025-07-11.json": ("langfuse", 6, 0, 0, 1),
    "langfuse_export/google-adk-2025-08-28.json": ("langfuse", 5, 0, 0, 1),
    "langfuse_export/google-vertex-tools-langchain-2025-09-19.json": ("langfuse", 1, 0, 0, 1),
    "langfuse_export/langgraph-2025-08-22.json": ("langfuse", 9, 0, 0, 1),
    "langfuse_export/langgraph-python-2025-08-22.json": ("langfuse", 9, 0, 0, 1),
    "langfuse_export/microsoft-agent-2025-10-14.json": ("langfuse", 4, 0, 0, 1),
    "langfuse_export/openai-agents-2025-09-30.json": ("langfuse", 5, 0, 0, 1),
    "langfuse_export/pydantic-ai-2025-06-06.json": ("langfuse", 3, 0, 0, 1),
    "langfuse_export/pydantic-ai-tools-2025-12-04.json": ("langfuse", 12, 0, 0, 2),
    "langfuse_export/vercel-aisdk-2025-11-17.json": ("langfuse", 3, 0, 0, 0),
    "openhands_eval_output/output.jsonl": ("openhands_eval_output", 111, 46, 0, 2),
    "otlp_collector_file/otelcol_file_export.agento.jsonl": ("otlp", 2, 0, 0, 0),
    "otlp_rebuilt/agno-2025-06-11.otlp.json": ("otlp", 4, 0, 0, 1),
    "otlp_rebuilt/beeai-2025-08-01.otlp.json": ("otlp", 29, 0, 0, 1),
    "otlp_rebuilt/crewai-2025-07-11.otlp.json": ("otlp", 5, 0, 0, 1),
    "otlp_rebuilt/google-adk-2025-08-28.otlp.json": ("otlp", 5, 0, 0, 1),
    "otlp_rebuilt/microsoft-agent-2025-10-14.otlp.json": ("otlp", 4, 0, 0, 0),
    "otlp_rebuilt/openai-agents-2025-09-30.otlp.json": ("otlp", 5, 0, 0, 1),
    "otlp_rebuilt/pydantic-ai-2025-06-06.otlp.json": ("otlp", 2, 0, 0, 1),
    "otlp_rebuilt/pydantic-ai-tools-2025-12-04.otlp.json": ("otlp", 11, 0, 0, 2),
    "otlp_rebuilt/vercel-aisdk-2025-11-17.otlp.json": ("otlp", 3, 0, 0, 0),
    "otlp_replayed/genai_openai_v2_tau_airline.otlp.jsonl": ("otlp", 463, 0, 0, 0),
    "otlp_replayed/openinference_smolagents_tau_airline.otlp.jsonl": ("otlp", 1079, 73, 73, 47),
}
needs_samples = pytest.mark.skipif(
    not SAMPLES.is_dir(), reason="the real samples (../shared/data/raw_formats) are not here"
)


def samples() -> list[str]:
    return sorted(
        str(path.relative_to(SAMPLES))
        for path in SAMPLES.glob("*/*")
        if path.name not in {"LICENSE", "README.md"}
    )


@pytest.mark.real
@needs_samples
def test_every_raw_sample_is_ingested_with_sensible_rows_or_refused_by_name():
    assert set(samples()) == {*REAL, "swe_agent_traj/rock.traj"}
    for path, expected in REAL.items():
        name, found, refused = rows(Path(path).name, (SAMPLES / path).read_bytes())
        calls = [event["execution_trace"] for event in found if event["execution_trace"]]
        failed = [trace for trace in calls if not trace["success"]]
        repeats = sum("caused_by" in trace["metadata"] for trace in failed)
        talk = [event["conversation_log"] for event in found if event["conversation_log"]]
        assert (name, len(calls), len(failed) - repeats, repeats, len(talk)) == expected, path
        assert refused == [], path
        assert len({event["event_id"] for event in found}) == len(found), path
        assert all(trace["error"] for trace in failed), path
        assert all(turn["user_query"] and turn["system_response"] and turn["session_id"] for turn in talk), (
            path
        )
        assert len({(trace["service"], trace["method"]) for trace in calls}) <= 20, path
        assert all(
            trace["timestamp"].startswith(("2024-", "2025-", "2026-")) and trace["timestamp"].endswith("Z")
            for trace in calls
        ), path


@pytest.mark.real
@needs_samples
def test_146_error_spans_are_73_failures_all_of_them_of_tools():
    path = SAMPLES / "otlp_replayed/openinference_smolagents_tau_airline.otlp.jsonl"
    _, found, _ = rows(path.name, path.read_bytes())
    failed = {
        event["event_id"]: event["execution_trace"]
        for event in found
        if event["execution_trace"] and not event["execution_trace"]["success"]
    }
    own = {identity for identity, trace in failed.items() if "caused_by" not in trace["metadata"]}
    assert (len(failed), len(own)) == (146, 73)
    assert {failed[identity]["metadata"]["span_kind"] for identity in own} == {"tool"}
    assert {
        trace["metadata"]["caused_by"] for trace in failed.values() if "caused_by" in trace["metadata"]
    } == own


@pytest.mark.real
@needs_samples
def test_the_trajectory_without_times_is_refused_with_a_reason_that_names_the_format():
    path = SAMPLES / "swe_agent_traj/rock.traj"
    name, found, refused = rows(path.name, path.read_bytes())
    assert (name, found) == ("swe_agent_traj", [])
    assert [(entry.line, entry.reason) for entry in refused] == [(0, "unsupported_format")]
    assert refused[0].detail.startswith("swe_agent_traj: ")


@pytest.mark.real
@needs_samples
def test_an_export_of_langfuse_and_the_spans_it_was_made_of_are_the_same_calls():
    for path in sorted(SAMPLES.glob("otlp_rebuilt/*.otlp.json")):
        export = SAMPLES / "langfuse_export" / path.name.replace(".otlp", "")
        _, spans, _ = rows(path.name, path.read_bytes())
        _, observations, _ = rows(export.name, export.read_bytes())
        ours = {event["event_id"]: event["execution_trace"] for event in spans if event["execution_trace"]}
        theirs = {
            event["event_id"]: event["execution_trace"] for event in observations if event["execution_trace"]
        }
        assert set(ours) <= set(theirs)
        for identity, trace in ours.items():
            assert {key: trace[key] for key in ("service", "duration_ms", "success", "timestamp")} == {
                key: theirs[identity][key] for key in ("service", "duration_ms", "success", "timestamp")
            }
