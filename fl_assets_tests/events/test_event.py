"""What a line must be to be an event, strictly in Python and fast in SQL."""

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import get_args

import duckdb
import orjson
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fl_assets.events.bulk import read_events
from fl_assets.events.event import BadLine, Reason, event_day, excerpt, parse_time, read_line, redact_event
from fl_assets.events.redaction import KEY_SEPARATOR, UNREDACTABLE, redact, shapes
from fl_assets.events.redaction.safe_names import SAFE_ITEM
from fl_assets.events.sql import events_sql
from fl_assets_tests.build import call_line, turn_line

CORPUS = Path(__file__).parents[2] / "benchmarks/redaction_corpus.jsonl"
SECRET = b"k" * 32
RECEIVED = datetime(2026, 11, 3, 12, tzinfo=UTC)


def parsed(*lines: bytes) -> list[dict]:
    """What the fast way makes of lines."""
    read = read_events(pa.chunked_array([pa.array(list(lines), pa.binary()).cast(pa.string())]))
    events = read.append_column("row_no", pa.array(range(len(lines)), pa.int64()))
    events = events.append_column("is_strict", pa.array([False] * len(lines)))
    events = events.append_column("node", pa.array(["n0"] * len(lines))).append_column(
        "received", pa.array([RECEIVED.replace(tzinfo=None)] * len(lines), pa.timestamp("us"))
    )
    connection = _connection()
    connection.register("fl_events", events)
    rest = (
        "select * exclude (trace_id, caused_by, timestamp, has_control, event_type, payload_time, "
        "node, received, is_strict) from fl_events"
    )
    sql = f"""select * exclude (row_no, names, keys, items) replace (case when not is_suspect
        then from_json(metadata, '"MAP(VARCHAR,VARCHAR)"') end as metadata)
        from ({events_sql("fl_events", date(2000, 1, 1))}) join ({rest}) using (row_no) order by row_no"""
    return connection.sql(sql).to_arrow_table().to_pylist()


@given(st.lists(st.text(alphabet="\\\0\x1b\x1d\x1fu01dD", max_size=12), max_size=6), st.integers(0, 3))
def test_a_separator_is_found_in_whichever_line_it_is_and_letters_that_look_like_one_are_not(errors, skipped):
    lines = pa.array([call_line(error=error).decode() for error in errors], pa.string())[skipped:]
    found = read_events(pa.chunked_array([lines]))["has_control"].to_pylist()
    assert found == [any(control in error for control in "\0\x1d\x1e\x1f") for error in errors[skipped:]]


@lru_cache(maxsize=1)
def _connection() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute("set TimeZone = 'UTC'; set threads = 1")
    return connection


BAD = {
    "not_utf8": [b'{"event_id": "\xff"}'],
    "nul_character": [
        call_line(service="a\0b"),
        call_line().replace(b"search", b"sea\0rch"),
        call_line(metadata={"a\0": "b"}),
    ],
    "invalid_json": [
        b"{",
        b"x",
        b'{"event_id": "e1",}',
        call_line().replace(b":12", b":NaN"),
        call_line().replace(b":12", b":Infinity"),
        call_line().replace(b'"n1"', b"NaN"),
        call_line().replace(b"search", b"\\ud800"),
        call_line() + b" {}",
        call_line()[:-10],
    ],
    "too_deep": [call_line(metadata={"x": 1}).replace(b'"x":1', b'"x":' + b"[" * 20_000 + b"]" * 20_000)],
    "too_many_keys": [call_line(metadata={f"k{i}": "v" for i in range(100_000)})],
    "not_an_object": [b"[1]", b"5", b'"text"', b"null"],
    "missing_event_id": [call_line(""), call_line(event={"event_id": None}), b"{}"],
    "unknown_event_type": [
        call_line(event={"event_type": "Metric"}),
        call_line(event={"event_type": None}),
        call_line(event={"event_type": 5}),
    ],
    "payload_mismatch": [
        call_line(event={"conversation_log": {}}),
        call_line(event={"event_type": "ConversationLog"}),
        call_line(event={"execution_trace": None}),
    ],
    "missing_field": [call_line(service=None), call_line(method=""), call_line(success=None)],
    "wrong_type": [
        call_line(success="yes"),
        call_line(success=1),
        call_line(duration_ms="12"),
        call_line(duration_ms=True),
        call_line(service=5),
        call_line(service=True),
        call_line(error={"code": 5}),
        call_line(error=["x"]),
        call_line(metadata="none"),
        call_line(metadata=[]),
        call_line(event={"event_id": 5}),
        call_line(timestamp=1761990000),
        turn_line(user_query=5.5),
        call_line(event={"execution_trace": "x"}),
    ],
    "bad_duration": [call_line(duration_ms=-1)],
    "bad_timestamp": [
        call_line(timestamp=text)
        for text in (
            "yesterday",
            "infinity",
            "epoch",
            "290000-01-01T00:00:00Z",
            "2026-11-01",
            "2026-13-01T00:00:00Z",
            "0001-01-01T00:00:00Z",
            "",
        )
    ],
}


@pytest.mark.parametrize(
    ("reason", "line"), [(reason, line) for reason, lines in BAD.items() for line in lines]
)
def test_a_line_that_breaks_a_rule_is_refused_by_the_name_of_the_rule(reason, line):
    assert reason in get_args(Reason)
    found = read_line(line)
    assert isinstance(found, BadLine)
    assert found.reason == reason
    assert found.detail


@pytest.mark.parametrize(
    "line", [line for reason, lines in BAD.items() if reason != "not_utf8" for line in lines]
)
def test_the_fast_way_takes_no_line_that_the_strict_one_refuses(line):
    assert parsed(line)[0]["is_suspect"] is True


GOOD = [
    call_line(),
    turn_line(),
    call_line(error="x", success=False, duration_ms=0.5),
    call_line(metadata=None),
    call_line(metadata={}),
    call_line(metadata={"a": 5, "b": {"c": [1, None]}, "d": None, "e": True}),
    call_line(duration_ms=None, trace_id=None, request_id=None),
    call_line(service="12", method="true", trace_id="0012", error="[1, 2]"),
    call_line(timestamp="2026-11-01T12:00:00.123456+05:30"),
    call_line(timestamp="2026-11-01 12:00:00"),
    call_line(event={"extra": "x", "service": "outer"}),
    call_line().replace(b'"success"', b'"new": [1, 2], "success"'),
    call_line().replace(b'"event_id"', b'"event_id": "first", "event_id"'),
    call_line().replace(b":", b" : ").replace(b"10 : 00 : 00", b"10:00:00"),
    call_line(error="ends in ,} and NaN"),
    "".join(call_line(error="Zeit\u00fcberschreitung \U0001f600 \u2028").decode()).encode(),
]


@pytest.mark.parametrize("line", GOOD)
def test_both_ways_read_the_same_event(line):
    strict = read_line(line)
    assert isinstance(strict, bytes), strict
    row, again = *parsed(line), *parsed(strict)
    assert again["is_suspect"] is False, "the fast way must take what the strict one gives"
    if not row["is_suspect"]:
        assert row == again


def test_an_ordinary_line_needs_no_second_look():
    assert [
        row["is_suspect"]
        for row in parsed(
            call_line(),
            turn_line(),
            call_line(metadata={"a": 5}),
            call_line().replace(b'"success"', b'"new": 1, "success"'),
        )
    ] == [False] * 4


def test_unknown_fields_move_to_metadata():
    line = call_line(event={"region": "eu"}).replace(b'"success"', b'"retries":{"n":2},"success"')
    for row in (parsed(line)[0], parsed(read_line(line))[0]):
        assert dict(row["metadata"]) == {"region": "eu", "retries": '{"n":2}', "node_id": "n1"}


_values = (
    st.none()
    | st.booleans()
    | st.integers(-5, 10**12)
    | st.floats(allow_nan=False)
    | st.text(max_size=8)
    | st.lists(st.booleans(), max_size=2)
    | st.dictionaries(st.text(max_size=3), st.booleans(), max_size=2)
)
_fields = st.sampled_from(
    [
        "trace_id",
        "request_id",
        "service",
        "method",
        "duration_ms",
        "success",
        "error",
        "metadata",
        "timestamp",
        "caused_by",
        "Service",
        "new",
    ]
)


@given(
    changes=st.dictionaries(
        _fields, _values | st.dictionaries(st.text(max_size=3), _values, max_size=3), max_size=3
    ),
    event=st.dictionaries(
        st.sampled_from(
            ["event_id", "event_type", "execution_trace", "conversation_log", "timestamp", "other"]
        ),
        _values,
        max_size=1,
    ),
)
@settings(max_examples=60)
def test_whatever_the_values_are_the_fast_way_takes_only_what_the_strict_way_takes_and_reads_it_alike(
    changes, event
):
    value = orjson.loads(call_line())
    value["execution_trace"].update(changes)
    value.update(event)
    line = orjson.dumps(value)
    strict, fast = read_line(line), parsed(line)[0]
    if isinstance(strict, BadLine):
        assert fast["is_suspect"], strict
        return
    again = parsed(strict)[0]
    assert not again["is_suspect"] or b"\\u001" in strict, "separators go when it is redacted"
    if not fast["is_suspect"]:
        fast["metadata"], again["metadata"] = (
            {key: None if item is None else _number(item) for key, item in row["metadata"]}
            for row in (fast, again)
        )
        assert fast == again


def _number(text: str) -> float | str:
    """Numbers in metadata are texts, and 1e5 and 100000.0 the same."""
    try:
        return float(text)
    except ValueError:
        return text


@given(st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
def test_any_bytes_are_read_without_an_exception(line):
    found = read_line(line)
    assert found is None or isinstance(found, BadLine | bytes)


@pytest.mark.parametrize("line", [b"", b"  \r\n", b"\xef\xbb\xbf"])
def test_a_blank_line_is_nothing(line):
    assert read_line(line) is None


def test_a_byte_order_mark_is_tolerated():
    assert read_line(b"\xef\xbb\xbf" + call_line()) == read_line(call_line())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-01T10:00:00Z", "2026-11-01T10:00:00+00:00"),
        ("2026-11-01T23:30:00-02:00", "2026-11-02T01:30:00+00:00"),
        ("2026-11-01T10:00:00.123456789Z", "2026-11-01T10:00:00.123456+00:00"),
        ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00+00:00"),
        ("2026-11-01 10:00:00 UTC", "2026-11-01T10:00:00+00:00"),
        ("2026-11-01T10:00:00+0530", "2026-11-01T04:30:00+00:00"),
    ],
)
def test_times_of_every_zone_are_read_as_utc(text, expected):
    assert parse_time(text) == datetime.fromisoformat(expected)


@given(st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)), st.integers(-14 * 60, 14 * 60))  # noqa: DTZ001 - the zone is added below
def test_a_time_survives_being_written_in_another_zone(naive, minutes):
    time = naive.replace(tzinfo=UTC)
    sign, hours, rest = "-" if minutes < 0 else "+", abs(minutes) // 60, abs(minutes) % 60
    text = (naive + timedelta(minutes=minutes)).isoformat(
        timespec="microseconds"
    ) + f"{sign}{hours:02}:{rest:02}"
    assert parse_time(text) == time
    assert parsed(call_line(timestamp=text))[0]["timestamp"] == naive


@pytest.mark.parametrize(
    ("time", "day", "has_skew"),
    [
        (RECEIVED, date(2026, 11, 3), False),
        (RECEIVED + timedelta(hours=23), date(2026, 11, 4), False),
        (RECEIVED + timedelta(hours=25), date(2026, 11, 3), True),
        (datetime(2099, 1, 1, tzinfo=UTC), date(2026, 11, 3), True),
        (datetime(1970, 1, 1, tzinfo=UTC), date(2026, 11, 3), True),
        (None, date(2026, 11, 3), True),
    ],
)
def test_an_event_whose_time_is_out_of_range_belongs_to_the_day_it_was_received(time, day, has_skew):
    assert event_day(time, RECEIVED, date(2023, 1, 1)) == (day, has_skew)


def test_names_that_hold_personal_data_get_a_pseudonym_and_texts_a_placeholder():
    line = read_line(
        call_line(
            trace_id="jane@example.com",
            error="mail jane@example.com",
            metadata={"node_id": "jane@example.com", "bob@example.com": "x", "password": "hunter2!x"},
        )
    )
    redacted, counts = redact_event(line, SECRET)
    assert b"jane" not in redacted
    assert b"bob@" not in redacted
    assert b"hunter2" not in redacted
    trace = orjson.loads(redacted)["execution_trace"]
    assert trace["error"] == "mail <EMAIL>"
    assert trace["trace_id"] == trace["metadata"]["node_id"]
    assert trace["trace_id"].startswith("id-")
    assert counts["EMAIL"] >= 3


def test_a_redactor_that_crashes_on_a_value_costs_the_value_and_never_lets_it_through():
    def crash(text: str) -> tuple[str, dict[str, int]]:
        if "secret" in text:
            raise RuntimeError(text)
        return text, {}

    line = read_line(
        call_line(error="a secret", service="secret-service", metadata={"note": "secret", "fine": "kept"})
    )
    redacted, counts = redact_event(line, SECRET, crash)
    assert b"secret" not in redacted
    trace = orjson.loads(redacted)["execution_trace"]
    assert trace["error"] == UNREDACTABLE
    assert trace["metadata"] == {"note": UNREDACTABLE, "fine": "kept"}
    assert counts == {"UNREDACTABLE": 3}


@given(
    st.from_regex(
        SAFE_ITEM, fullmatch=True, alphabet="0123456789abcdefghijklmnopqrstuvwxyz_-.AEZ" + KEY_SEPARATOR
    )
)
@settings(max_examples=500, deadline=None)
def test_no_rule_masks_what_is_skipped_for_its_safe_shape(item):
    assert redact(item) == item or redact(item).endswith("<IBAN>"), (
        "a hex id may be a valid account number by chance"
    )


def test_hardly_a_word_that_is_skipped_for_its_safe_shape_would_be_masked_by_a_model(monkeypatch):
    corpus = CORPUS.read_text(encoding="utf-8").splitlines()
    words = {word for line in corpus for word in orjson.loads(line)["text"].split()}
    safe = sorted(word for word in words if shapes.is_safe(word.encode()))
    monkeypatch.setattr(shapes, "is_safe", lambda _: False)
    masked = [word for word in safe if redact(word) != word]
    assert len(safe) > 500
    assert len(masked) <= 1, masked


def test_an_excerpt_is_short_and_redacted_and_holds_no_half_of_a_secret():
    def redact(text: str) -> str:
        return text.replace("0123456789abcdef", "<KEY>")

    assert excerpt(b"key 0123456789abcdef", redact) == "key <KEY>"
    cut = excerpt(b"0123456789abcdef" * 1000, redact)
    assert len(cut) <= 200
    assert "0123" not in cut

    def crash(text: str) -> str:
        raise RuntimeError(text)

    assert excerpt(b"secret", crash) == UNREDACTABLE
