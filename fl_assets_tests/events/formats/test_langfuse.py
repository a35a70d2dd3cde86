"""Langfuse's export: observations give the rows that the spans behind them give."""

import json

import orjson
import pytest

from fl_assets.events.formats import langfuse
from fl_assets.events.formats.seam import EventLine, RefusedLine

TRACE = {"id": "t1", "name": "checkout", "sessionId": "s1", "environment": "prod"}


def observation(
    identity: str, parent: str | None = None, kind: str = "SPAN", level: str = "DEFAULT", **more: object
) -> dict:
    times = {"startTime": "2026-11-01T10:00:00.000Z", "endTime": "2026-11-01T10:00:01.500Z"}
    return {
        "id": identity,
        "traceId": "t1",
        "type": kind,
        "name": identity,
        "parentObservationId": parent,
        "level": level,
        **times,
        **more,
    }


def run(value: object) -> list[EventLine | RefusedLine]:
    return list(langfuse.read(enumerate(json.dumps(value, indent=1).encode().splitlines(), 1)))


def events(value: object) -> list[dict]:
    return [orjson.loads(entry.data) for entry in run(value) if isinstance(entry, EventLine)]


def traces(value: object) -> dict[str, dict]:
    return {
        event["event_id"].split(":")[1]: event["execution_trace"]
        for event in events(value)
        if event["execution_trace"]
    }


def test_an_observation_at_level_error_is_a_failure_with_its_status_message():
    found = traces(
        {
            "trace": TRACE,
            "observations": [observation("book", kind="TOOL", level="ERROR", statusMessage="no seats")],
        }
    )["book"]
    assert (found["success"], found["error"], found["service"], found["method"], found["duration_ms"]) == (
        False,
        "no seats",
        "checkout",
        "book",
        1500.0,
    )
    assert found["timestamp"] == "2026-11-01T10:00:01.500000Z"
    assert (
        found["metadata"] | {"deployment.environment": "prod", "session.id": "s1", "span_kind": "tool"}
        == found["metadata"]
    )


def test_a_warning_is_no_failure():
    assert traces(
        {"trace": TRACE, "observations": [observation("book", level="WARNING", statusMessage="slow")]}
    )["book"]["success"]


def test_one_failure_is_counted_once():
    found = traces(
        {
            "trace": TRACE,
            "observations": [observation("root", level="ERROR"), observation("leaf", "root", level="ERROR")],
        }
    )
    assert found["root"]["metadata"]["caused_by"] == "t1:leaf"
    assert "caused_by" not in found["leaf"]["metadata"]


def test_a_generation_is_a_turn_of_talk_in_the_session_of_its_trace():
    turn = observation(
        "g",
        kind="GENERATION",
        model="gpt-4o",
        input=[{"role": "user", "content": "q"}],
        output={"role": "assistant", "content": "a"},
    )
    (log,) = [
        event["conversation_log"]
        for event in events({"trace": TRACE, "observations": [turn]})
        if event["conversation_log"]
    ]
    assert (log["session_id"], log["user_query"], log["system_response"]) == ("s1", "q", "a")
    assert log["metadata"] | {"model": "gpt-4o", "service": "checkout", "trace_id": "t1"} == log["metadata"]


def test_opentelemetry_attributes_under_metadata_are_read_as_such_even_within_a_text():
    metadata = {
        "attributes": {"gen_ai.tool.name": "book"},
        "resourceAttributes": {"service.name": "shop", "host.name": "n1"},
        "scope": {"name": "lib"},
    }
    for written in (metadata, json.dumps(metadata)):
        found = traces({"trace": TRACE, "observations": [observation("x", metadata=written)]})["x"]
        assert (found["service"], found["method"], found["metadata"]["node_id"]) == ("shop", "book", "n1")


def test_every_envelope_holds_the_same_observations():
    found = [observation("a"), observation("b", "a")]
    expected = events({"trace": TRACE, "observations": found})
    assert events([{"trace": TRACE, "observations": found}]) == expected
    assert events({**TRACE, "observations": found}) == expected
    assert set(traces({"data": found})) == set(traces(found)) == {"a", "b"}
    lines = [orjson.dumps({"trace": TRACE, "observations": [entry]}) for entry in found]
    assert [orjson.loads(entry.data) for entry in langfuse.read(enumerate(lines, 1))] == expected


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"startTime": "soon"}, "startTime is 'soon', must be an ISO 8601 time"),
        ({"startTime": 5}, "startTime is 5, must be a time since 1970"),
        ({"id": None}, "id is None, must be a text"),
    ],
)
def test_an_observation_that_cannot_be_read_costs_itself_alone_and_says_why(change, what):
    results = run({"trace": TRACE, "observations": [{**observation("a"), **change}, observation("b"), 7]})
    assert [type(entry) for entry in results] == [EventLine, RefusedLine]
    assert results[1].detail.startswith(f"2 of 3 observations: {what}")


def test_an_export_without_observations_is_refused():
    assert [entry.reason for entry in run({"trace": TRACE, "observations": []})] == ["bad_record"]


def test_a_row_of_the_table_of_events_names_its_ids_as_spans():
    row = {"trace_id": "t1", "span_id": "s2", "parent_span_id": "s1", "start_time": "2026-11-02 12:00:00"}
    (found,) = run({**row, "end_time": "2026-11-02 12:00:01", "level": "ERROR", "status_message": "no seats"})
    assert orjson.loads(found.data)["event_id"] == "t1:s2"


def test_traces_of_which_nothing_can_be_told_are_counted():
    trace = {"id": "t1", "timestamp": "2026-11-02T12:00:00Z", "sessionId": "s1", "name": "bot"}
    assert run({**trace, "input": None, "output": None}) == []
    (refused,) = run([{**trace, "input": {"rows": [1]}, "output": {"sum": 1}}])
    assert (refused.reason, refused.events) == ("not_used", 0)


@pytest.mark.parametrize("listed", [[], ["o1", "o2"]])
def test_a_trace_that_only_names_its_observations_or_has_none_is_not_broken(listed):
    trace = {"id": "t1", "timestamp": "2026-11-02T12:00:00Z", "name": "bot", "observations": listed}
    assert [entry for entry in run({**trace, "input": None, "output": None}) if entry.events] == []
    (told,) = run({**trace, "input": "who?", "output": "me"})
    assert isinstance(told, EventLine)


def test_a_session_is_the_talk_of_its_traces():
    trace = {"timestamp": "2026-11-02T12:00:00Z", "public": False, "sessionId": None}
    told = [{**trace, "id": name, "input": f"what is {name}?", "output": "a word"} for name in ("one", "two")]
    for session in ({"id": "s9", "traces": told}, {"traces": [{**one, "sessionId": "s9"} for one in told]}):
        found = [event["conversation_log"] for event in events(session)]
        said = [(one["session_id"], one["user_query"]) for one in found]
        assert said == [("s9", "what is one?"), ("s9", "what is two?")]
