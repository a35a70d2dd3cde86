"""The seam: detection by content, lines or documents, the formats of agents' own files.

And the example in the documentation.
"""

import json
import re
import sys
from collections import Counter
from pathlib import Path

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fl_assets.events import formats
from fl_assets.events.formats import FORMATS, detect, seam
from fl_assets.events.formats.marks import has_all, json_key
from fl_assets.events.formats.seam import RefusedLine
from fl_assets_tests.events.formats.reading import rows

ROOT = Path(__file__).parents[3]

NATIVE = orjson.dumps(
    {
        "event_id": "1",
        "event_type": "ConversationLog",
        "conversation_log": {
            "user_query": '{"resourceSpans": [{"parentObservationId": 1}], "failure_type": "x", '
            '"error_type": "y"}'
        },
    }
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
        (b'{"id":"t","timestamp":"x","session_id":"s","release":"","input":"a","output":"b"}', "langfuse"),
        (b'{"data":[{"conversation_id":"c","query":"a","agent_thoughts":[]}]}', "dify"),
        (b'[{"id":"1","parentObservationId":null', "langfuse"),
        (b'{"trajectory": [{"action": "ls", ', "swe_agent_traj"),
        (b'{"instance_id":"x","test_result"', "openhands_eval_output"),
        (b'{"type":"system","subtype":"init","session_id":"s"}', "claude_code_stream"),
        (b'{"type":"thread.started","thread_id":"t"}', "codex_exec"),
        (b'{"batch":[{"id":"e","type":"span-create","body":{"id":"o"}}]}', "langfuse_ingestion"),
        (b'[[{"trace_id":1,"span_id":2,"meta":{"a":"b"}}]]', "datadog"),
        (b'{"metadata":{"service":{}}}\n{"transaction":{"id":"1"}}', "elastic_apm"),
        (
            b'{"metadata":{"tags":["x"]},"runs":[{"error":{"message":"no"}}],"parentObservationId":1}',
            "langfuse",
        ),
        (b'[{"traceId":"1","timestamp":1,"binaryAnnotations":[]}]', "zipkin_v1"),
        (b'{"traces":[{"traceID":"1","rootTraceName":"x"}]}', "tempo_search"),
        (b'{"response_status": 429, "request_created_at": "2026-11-02T12:00:00.000Z"}', "helicone"),
        (b'{"id": "c", "op_name": "weave:///ent/proj/op/crm:AbC", "inputs": {}}', "weave"),
        (b'{"events": [{"id": "e", "_xact_id": "1", "span_id": "e"}]}', "braintrust"),
        (b'{"messages":[{"role":"user","content":"a"}]}', "chat_dataset"),
    ],
)
def test_a_format_is_told_by_its_content(head, name):
    found = detect("some.json", head)
    assert found is not None
    assert found.name == name


def test_names_of_formats_are_unique_and_each_is_described():
    assert max(Counter(entry.name for entry in FORMATS).values()) == 1
    assert all(entry.description.endswith(".") for entry in FORMATS)


# One record a line, or one document
# ----------------------------------------------------------------------------------------------------

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
@example([b'{"a"', b"}", b"\xff\xfe"])
@given(st.lists(st.sampled_from([b'{"a":1}', b'{"a"', b"", b"\xff\xfe", b"[1]", b"}", b"null"]), max_size=8))
def test_no_line_is_lost_and_none_is_counted_twice(lines):
    results = list(seam.json_records(enumerate(lines, 1)))
    said = [entry for entry in results if isinstance(entry, RefusedLine) and entry.reason == "not_used"]
    assert said in ([], results[-1:]), "lines of words are counted at the end"
    numbers = [entry.line if isinstance(entry, RefusedLine) else entry[0] for entry in results]
    numbers = numbers[-1:] * len(said) + numbers[: len(numbers) - len(said)]
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


# Agents' own files
# ----------------------------------------------------------------------------------------------------


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


def test_a_call_of_adk_without_an_answer_is_unfinished_or_waits_and_is_the_same_call_once_answered():
    def events(*answers: dict) -> list[dict]:
        calls = [
            {"functionCall": {"id": f"c{n}", "name": name}}
            for n, name in enumerate(("look", "adk_request_confirmation"))
        ]
        said = [{"parts": calls}, *({"parts": [{"functionResponse": one}]} for one in answers)]
        return [
            {"id": f"e{n}", "invocationId": "i", "author": "a", "timestamp": 1793620800.0 + n, "content": one}
            for n, one in enumerate(said)
        ]

    def calls(*answers: dict) -> dict[str, tuple[str, str | None, float | None]]:
        _, found, refused = rows("x", orjson.dumps({"id": "s", "appName": "x", "events": events(*answers)}))
        assert refused == []
        traces = [
            (event["event_id"], event["execution_trace"]) for event in found if event["execution_trace"]
        ]
        return {
            trace["method"]: (event_id, trace["metadata"].get("caused_by"), trace["duration_ms"])
            for event_id, trace in traces
        }

    before = calls()
    assert [before[name][1:] for name in ("look", "adk_request_confirmation")] == [
        ("unfinished", None),
        ("interrupted", None),
    ]
    assert calls({"id": "c0", "name": "look", "response": {}})["look"] == (before["look"][0], None, 1000.0)


def test_a_question_that_an_invocation_of_adk_left_unanswered_is_a_turn():
    times = {"invocation_id": "i1", "timestamp": 1_793_527_200.5}
    asked = {**times, "id": "e1", "author": "user", "content": {"parts": [{"text": "book it"}]}}
    failed = {**times, "id": "e2", "author": "agent", "error_code": "429", "error_message": "quota exceeded"}
    _, found, refused = rows("x", orjson.dumps({"id": "s1", "events": [asked, failed]}))
    (turn,) = [event["conversation_log"] for event in found if event["conversation_log"]]
    assert refused == []
    assert (turn["user_query"], turn["system_response"], turn["metadata"]["unfinished"]) == (
        "book it",
        "",
        "true",
    )


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


# The example in the documentation
# ----------------------------------------------------------------------------------------------------


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


def test_no_mark_begins_with_a_look_behind_which_python_would_try_at_each_byte():
    folder = Path(formats.__file__).parent
    found = [path.name for path in folder.glob("*.py") if '(?<!\\\\)"' in path.read_text(encoding="utf-8")]
    assert found == []


@pytest.mark.parametrize(
    ("head", "is_one"),
    [
        (b'{"projectHash": 1, "sessionId": 2}', True),
        (b'"projectHash":1,"sessionId":2', True),
        (b'{"a": "{\\"projectHash\\": 1, \\"sessionId\\": 2}"}', False),
        (b'{"projectHash": 1, "a": "\\"sessionId\\": 2"}', False),
    ],
)
def test_a_key_within_a_text_does_not_tell_the_format(head, is_one):
    test = has_all(json_key("projectHash"), json_key("other|sessionId"))
    assert test("x.json", head) is is_one


def test_that_a_key_is_nowhere_in_a_file_says_nothing_of_a_pattern_that_it_is_only_a_part_of():
    joined = has_all(json_key("projectHash") + b"|" + json_key("sessionId"), json_key("an?_id"))
    assert joined("x.json", b'{"sessionId": 2, "a_id": 3}')
    assert not has_all(json_key("projectHash"))("x.json", b'{"a": "projectHash"}')


def test_the_first_line_of_a_file_is_parsed_once(monkeypatch):
    parsed = []
    monkeypatch.setattr(seam.orjson, "loads", lambda text: parsed.append(text) or json.loads(text))
    lines = [b'{"a":1}', b'{"b":1}']
    assert [value for _, value in seam.json_records(enumerate(lines, 1))] == [{"a": 1}, {"b": 1}]
    assert parsed == lines
