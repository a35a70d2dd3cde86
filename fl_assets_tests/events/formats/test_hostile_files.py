"""Nothing that a file holds breaks its reader: anything at any place of a file of each format."""

import json
import re
import time
from collections.abc import Callable, Iterator

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from fl_assets.events.formats import FORMATS, detect, times
from fl_assets.events.formats.causes import FailedSpan, Place, causes_of
from fl_assets.events.formats.exceptions import is_vague, leaf_of
from fl_assets.events.formats.messages import users_words
from fl_assets.events.formats.seam import EvaluationLine, RefusedLine, is_balanced, json_records
from fl_assets.events.formats.spans import Span
from fl_assets.events.formats.tool_results import bare_error, error_in_result
from fl_assets.events.formats.traces import events_of
from fl_assets.patterns.stated import Stated, stated
from fl_assets_tests.events.formats.documents import OF_LINES

RECORD = {
    "eventName": "gen_ai.choice",
    "traceId": "a" * 32,
    "spanId": "c" * 16,
    "timeUnixNano": 1,
    "body": {"intValue": 1},
}
OTLP_SPAN = {
    "traceId": "a" * 32,
    "spanId": "b" * 16,
    "startTimeUnixNano": "1793527200000000000",
    "endTimeUnixNano": "1793527200000000001",
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
numbers = st.integers(-(2**63), 2**63 - 1)
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
        else ("log_id", "session_id", "user_query")
    )
    assert all(isinstance(inner[name], str) and inner[name] for name in texts)
    if key == "execution_trace":
        assert isinstance(inner["success"], bool)
        assert inner["duration_ms"] is None or inner["duration_ms"] >= 0
        assert inner["error"] is None if inner["success"] else inner["error"] is None or inner["error"]


@pytest.mark.parametrize("name", [*DOCUMENTS, *OF_LINES])
@settings(deadline=None)
@given(choose=st.data())
def test_nothing_that_a_file_holds_breaks_its_reader(name, choose):
    (found,) = [entry for entry in FORMATS if entry.name == name]
    documents = OF_LINES.get(name) or [DOCUMENTS[name]]
    for _ in range(choose.draw(st.integers(0, 2))):
        documents = [mutated(document, choose) for document in documents]
    lines = [(number, json.dumps(document).encode()) for number, document in enumerate(documents, 1)]
    for entry in found.read(lines):
        if isinstance(entry, RefusedLine):
            assert entry.detail
        elif isinstance(entry, EvaluationLine):
            assert orjson.loads(entry.data)["name"]
        elif found.table == "events":
            assert_is_an_event(orjson.loads(entry.data))


@pytest.mark.parametrize("depth", [1, 1000])
def test_lists_in_lists_are_their_entries_at_any_depth(depth):
    line = b"[" * depth + orjson.dumps(OTLP_SPAN) + b"]" * depth
    entry = next(entry for entry in FORMATS if entry.name == "otlp")
    assert [type(result).__name__ for result in entry.read([(1, line)])] == ["EventLine"]


def each_replaced(value: object, other: object) -> Iterator[object]:
    """Yield a document once for each of its places, with another value there."""
    yield other
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        for inner in each_replaced(value[key], other):
            copied = value.copy()
            copied[key] = inner
            yield copied


@pytest.mark.parametrize("name", [*DOCUMENTS, *OF_LINES])
def test_a_value_nested_too_deep_breaks_no_reader_wherever_it_is(name):
    (found,) = [entry for entry in FORMATS if entry.name == name]
    deep = b"[" * 1000 + b"]" * 1000
    for document in OF_LINES.get(name) or [DOCUMENTS[name]]:
        for changed in each_replaced(document, "DEEP"):
            list(found.read([(1, orjson.dumps(changed).replace(b'"DEEP"', deep))]))


LONG = 200_000
CHAINED = "During handling of the above exception, another exception occurred:"


def filled(unit: str, begin: str = "", end: str = "") -> str:
    return begin + unit * (LONG // len(unit)) + end


def of_failures(text: str) -> None:
    places = {"a": Place(""), "b": Place("a")}
    assert causes_of(places, {"a": FailedSpan(text, 2), "b": FailedSpan("no seats", 1)})


def of_limits(text: str) -> None:
    assert stated([(text, {"a": 9})], min_nodes=1) == Stated()


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (is_vague, filled(" ", "tool", "x")),
        (is_vague, filled(" -", "unknown", "x")),
        (leaf_of, filled("\n")),
        (lambda text: leaf_of(CHAINED, text), filled(" ", "E:", "x\ny")),
        (error_in_result, filled(" ", "", "x")),
        (bare_error, filled("\n", "<tool_use_error>x", "y")),
        (users_words, filled("<ide_a>")),
        (users_words, filled("<ide_a ")),
        (users_words, "".join(f"<ide_{number}>" for number in range(LONG // 12))),
        (users_words, filled("[INST]<<SYS>>[/INST]")),
        (of_failures, filled("Guardrail")),
        (lambda text: list(json_records([(1, text.encode())])), '{"a":1} ' * 150_000),
        (lambda text: is_balanced(text.encode()), filled('\\"', '{"a": "')),
        (of_limits, filled("9")),
        (of_limits, filled("9,")),
        (of_limits, filled(" ", "9")),
        (lambda text: detect("x", text.encode()[:65_536]), filled("\n")),
    ],
)
def test_a_long_text_takes_no_more_time_than_its_length(read: Callable[[str], object], text: str):
    begin = time.process_time()
    read(text)
    assert time.process_time() - begin < 2


def grows(work: Callable[[int], Callable[[], object]], size: int) -> float:
    """Return how many times as long four times the work takes."""
    took = []
    for many in (size, 4 * size):
        run, times = work(many), []
        for _ in range(2):
            begin = time.process_time()
            run()
            times.append(time.process_time() - begin)
        took.append(min(times))
    return took[1] / took[0]


def chain(many: int) -> Callable[[], object]:
    """Make a cancelled step under agents that each failed with no words."""
    spans = [
        Span("t", f"s{n}", f"s{n + 1}", "run", 10**18, 10**18 + 9, "error", "agent failed")
        for n in range(many)
    ]
    cancelled = replace(spans[0], status_message="", attributes={"error.type": "cancelled"})
    return lambda: list(events_of(enumerate((cancelled, *spans[1:]), 1)))


def across_gaps(many: int) -> Callable[[], object]:
    """Make failures in each other's time, none of whose parents is there."""
    places = {f"s{n}": Place(f"lost{n}", n, 10**6 - n) for n in range(many)}
    failed = {
        f"s{n}": FailedSpan(f"tool said {n % (many * 2 // 5)} ".ljust(2000, "x"), 10**6 - n)
        for n in range(many)
    }
    return lambda: causes_of(places, failed)


def below_one_another(many: int) -> Callable[[], object]:
    """Make failures at the end of a deep chain of spans that say nothing, below a failure."""
    places = {f"s{n}": Place(f"s{n - 1}", 1, 9, "ok") for n in range(1, many)} | {"s0": Place("", 1, 9)}
    places |= {f"e{n}": Place(f"s{many - 1}", 2, 3) for n in range(many)}
    failed = {key: FailedSpan("no seats today", 3) for key in ("s0", *(f"e{n}" for n in range(many)))}
    return lambda: causes_of(places, failed)


@pytest.mark.parametrize("work", [chain, across_gaps, below_one_another])
def test_the_time_of_a_trace_grows_as_its_spans_do(work: Callable[[int], Callable[[], object]]):
    assert grows(work, 300 if work is across_gaps else 1000) < 8


@pytest.mark.parametrize("name", ["codex", "claude_code"])
def test_an_error_that_nobody_foresaw_costs_its_line_and_nothing_that_the_format_holds(monkeypatch, name):
    (entry,) = [entry for entry in FORMATS if entry.name == name]
    lines = [(number, orjson.dumps(document)) for number, document in enumerate(OF_LINES[name], 1)]
    expected = [result.data for result in entry.read(lines)]
    bad = lines[-1][1].replace(b'"timestamp":"', b'"timestamp":"BAD')
    real = times.iso_ns

    def fails(value: object, *about: str) -> int:
        if str(value).startswith("BAD"):
            raise KeyError("nobody foresaw it")
        return real(value, *about)

    monkeypatch.setattr(f"fl_assets.events.formats.{name}.iso_ns", fails)
    bad = bad.replace(b'"uuid":"', b'"uuid":"other')
    for place in range(1, len(lines) + 1):
        found = list(entry.read([*lines[:place], (99, bad), *lines[place:]]))
        assert [one.line for one in found if isinstance(one, RefusedLine)] == [99]
        assert [one.data for one in found if not isinstance(one, RefusedLine)] == expected


def test_each_end_of_a_turn_of_codex_looks_at_the_calls_of_that_turn_alone():
    def lines(end: str) -> list[tuple[int, bytes]]:
        calls = [
            ("response_item", {"type": "function_call", "name": "x", "call_id": f"{n}"}) for n in range(4000)
        ]
        said = [*calls, *[("event_msg", {"type": end})] * 20_000]
        entries = ({"timestamp": "2026-11-02T12:00:00Z", "type": kind, "payload": one} for kind, one in said)
        return list(enumerate(map(orjson.dumps, entries), 1))

    (entry,) = [entry for entry in FORMATS if entry.name == "codex"]

    def seconds(file: list[tuple[int, bytes]]) -> float:
        begin = time.process_time()
        assert len(list(entry.read(file))) == 4000
        return time.process_time() - begin

    begun, aborted = (min(seconds(lines(end)) for _ in range(2)) for end in ("task_started", "turn_aborted"))
    assert aborted < 3 * begun, "with all calls looked at each time it takes more than five times as long"
