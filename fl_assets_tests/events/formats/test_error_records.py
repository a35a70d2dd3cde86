"""Error records: one object, a list or lines give the same rows, and what is none says why."""

from datetime import UTC, date, datetime

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fl_assets.core.tables import ERROR_RECORDS
from fl_assets.events.formats import detect
from fl_assets.events.formats.error_records import error_record, read
from fl_assets.events.formats.seam import EventLine, RefusedLine

RECORD = {
    "id": "e1",
    "request_id": "r1",
    "failure_type": "tool_failure",
    "error_category": "timeout",
    "error_stage": "execution",
    "target_service": "search",
    "error_type": "TimeoutError",
    "error_message": "no answer in 30 s",
    "contributing_tools": ["web_search"],
    "suspected_prompts_or_configs": ["search.timeout_ms"],
    "proposed_corrections": ["raise search.timeout_ms"],
    "original_query_snapshot": "what is new?",
    "plan_summary": None,
    "tool_error_summaries": [],
    "created_at": "2026-11-01T01:30:00+02:00",
    "updated_at": "2026-11-01T01:30:00+02:00",
}


def test_a_record_becomes_exactly_the_columns_of_the_table():
    row = error_record(RECORD)
    assert set(row) == set(ERROR_RECORDS.column_names)
    assert (row["record_id"], row["request_id"], row["contributing_tools"]) == ("e1", "r1", ["web_search"])
    assert row["timestamp"] == datetime(2026, 10, 31, 23, 30, tzinfo=UTC)
    assert row["event_date"] == date(2026, 10, 31)


def test_a_time_without_a_zone_is_utc():
    assert error_record({**RECORD, "created_at": "2026-11-01T01:30:00"})["timestamp"] == datetime(
        2026, 11, 1, 1, 30, tzinfo=UTC
    )


def test_a_time_of_change_that_is_none_costs_no_record():
    assert error_record(RECORD)["updated_at"] == datetime(2026, 10, 31, 23, 30, tzinfo=UTC)
    for stamp in (None, "soon", 7):
        assert error_record({**RECORD, "updated_at": stamp})["updated_at"] is None


def test_what_may_be_missing_may_be_missing_or_null():
    for row in (
        error_record({"id": "e1", "created_at": RECORD["created_at"]}),
        error_record({**dict.fromkeys(RECORD), "id": "e1", "created_at": RECORD["created_at"]}),
    ):
        assert row["error_message"] is None
        assert (
            row["contributing_tools"]
            == row["suspected_prompts_or_configs"]
            == row["proposed_corrections"]
            == []
        )


def test_corrections_that_are_objects_are_kept_as_their_json():
    assert error_record({**RECORD, "proposed_corrections": [{"b": 1, "a": "x"}, None, "y"]})[
        "proposed_corrections"
    ] == ['{"a":"x","b":1}', "y"]


@settings(deadline=None)
@given(st.lists(st.text("abc", min_size=1, max_size=3), min_size=1, max_size=5))
def test_an_object_a_list_and_lines_give_the_same_rows(ids):
    records = [{**RECORD, "id": identity} for identity in ids]
    expected = [orjson.dumps(error_record(record), option=orjson.OPT_UTC_Z) for record in records]
    pretty = orjson.dumps(records, option=orjson.OPT_INDENT_2).splitlines()
    for lines in (pretty, [orjson.dumps(records)], [orjson.dumps(record) for record in records]):
        assert [entry.data for entry in read(enumerate(lines, 1))] == expected


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"id": ""}, "id: String should have at least 1 character"),
        ({"id": 7}, "id: Input should be a valid string"),
        ({"created_at": None}, "created_at: must be an ISO 8601 time"),
        ({"created_at": "soon"}, "created_at: Invalid isoformat string"),
        ({"created_at": 1_793_527_200}, "created_at: must be an ISO 8601 time"),
        ({"error_message": ["x"]}, "error_message: Input should be a valid string"),
    ],
)
def test_a_record_that_breaks_a_rule_is_refused_by_field_and_rule(change, what):
    with pytest.raises(ValueError, match="^" + what):
        error_record({**RECORD, **change})
    results = list(read([(1, orjson.dumps([RECORD, {**RECORD, **change}]))]))
    assert [type(entry) for entry in results] == [EventLine, RefusedLine]
    assert results[1].detail.startswith(f"1 of 2 records: {what}")


def test_it_is_detected_by_its_content():
    found = detect("records.json", orjson.dumps([RECORD]))
    assert found is not None
    assert (found.name, found.table) == ("error_records", "error_records")
