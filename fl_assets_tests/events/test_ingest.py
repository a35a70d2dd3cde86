"""From files to the lake: each event once, in whatever order and files it comes."""

import json
import os
import random
import re
import sqlite3
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import orjson
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from fl_assets.core.tables import (
    CALL_TOTALS,
    CONVERSATION_LOGS,
    CONVERSATION_SIGNALS,
    FAILURE_SIGNATURES,
    RAW_TRACES,
)
from fl_assets.events import commit, engine, ingest
from fl_assets.events.event import MAX_DEPTH
from fl_assets.events.pii_names import NamesUnavailableError
from fl_assets.events.redaction import KEY_SEPARATOR, redact
from fl_assets.infra.errors import IngestBusyError, LakeError
from fl_assets.sums.engine import SummingEngine
from fl_assets_tests.build import DAY, call_line, turn_line
from fl_assets_tests.conftest import settings_in

NEXT = DAY + timedelta(days=1)


class Case:
    """A cache and an engine over it."""

    def __init__(self, folder: Path, **overrides) -> None:
        self.settings = settings_in(folder, **overrides)
        self.cache = self.settings.telemetry_path
        self.engine = SummingEngine(self.settings)

    def write(self, name: str, *lines: bytes) -> Path:
        path = self.cache / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"".join(line + b"\n" for line in lines))
        return path

    def rows(self, table: str, *days: date) -> list[dict]:
        return [
            row
            for path in self.engine.lake.files(table, days or [DAY])
            for row in pq.read_table(path, partitioning=None).to_pylist()
        ]


@pytest.fixture
def case(tmp_path):
    return Case(tmp_path)


def test_events_are_stored_by_day_with_every_column_of_their_table(case):
    case.write(
        "n1/a.jsonl",
        call_line("e1", error="boom", success=False),
        turn_line("c1", metadata={"trace_id": "t9"}),
        call_line("e2", timestamp="2026-11-02T00:00:00Z"),
    )
    report = case.engine.ingest()
    assert (report.files, report.events, report.quarantined, report.days) == (1, 3, 0, (DAY, NEXT))
    assert report.formats == {"telemetrist": 1}
    (call,), (turn,) = case.rows("raw_traces"), case.rows("conversation_logs")
    assert list(call) == RAW_TRACES.column_names
    assert list(turn) == CONVERSATION_LOGS.column_names
    assert (call["event_date"], call["event_id"], call["error"], call["success"], call["duration_ms"]) == (
        DAY,
        "e1",
        "boom",
        False,
        12.0,
    )
    assert (call["source_file"], call["source_line"], call["has_clock_skew"]) == ("n1/a.jsonl", 1, False)
    assert (turn["trace_id"], turn["source_line"]) == ("t9", 2)
    assert case.engine.lake.verify("raw_traces", DAY) == []


def test_the_node_is_named_by_metadata_else_by_folder_else_unknown(case):
    case.write("folder/deep/a.jsonl", call_line("e1"), call_line("e2", metadata={}))
    case.write("b.jsonl", call_line("e3", metadata=None))
    case.engine.ingest()
    assert {row["event_id"]: row["node_id"] for row in case.rows("raw_traces")} == {
        "e1": "n1",
        "e2": "folder",
        "e3": "unknown",
    }


def test_a_name_with_lost_bytes_makes_no_node(case):
    torn = call_line("e1").replace(b'"n1"', b'"eu-\xff\xfe-08"')
    case.write("folder/a.jsonl", torn, call_line("e2", metadata={"node_id": "eu\ufffd08"}), call_line("e3"))
    case.engine.ingest()
    found = {row["event_id"]: row["node_id"] for row in case.rows("raw_traces")}
    assert found == {"e1": "folder", "e2": "folder", "e3": "n1"}


def test_a_second_ingestion_finds_nothing_to_do_and_changes_nothing(case):
    case.write("a.jsonl", call_line("e1"), b"broken")
    case.engine.ingest()
    times = lambda: {  # noqa: E731
        path: path.stat().st_mtime_ns
        for path in case.engine.lake.root.rglob("*")
        if path.name != "ingest.lock"
    }
    before = times()
    report = case.engine.ingest()
    assert (report.files, report.events, report.days) == (0, 0, ())
    assert times() == before


def test_a_source_file_that_vanished_loses_nothing(case):
    path = case.write("a.jsonl", call_line("e1"))
    case.engine.ingest()
    path.unlink()
    case.write("b.jsonl", call_line("e2"))
    case.engine.ingest()
    assert {row["event_id"] for row in case.rows("raw_traces")} == {"e1", "e2"}
    assert case.engine.lake.manifest("raw_traces", DAY).source_files == ("a.jsonl", "b.jsonl")


def test_a_late_file_changes_its_own_days_only_and_raises_their_version(case):
    case.write("a.jsonl", call_line("e1"), call_line("e2", timestamp="2026-11-02T00:00:00Z"))
    case.engine.ingest()
    before = {day: case.engine.lake.manifest("raw_traces", day) for day in (DAY, NEXT)}
    case.write("late.jsonl", call_line("e3"))
    assert case.engine.ingest().days == (DAY,)
    after = {day: case.engine.lake.manifest("raw_traces", day) for day in (DAY, NEXT)}
    assert after[NEXT] == before[NEXT]
    assert (before[DAY].version, after[DAY].version, after[DAY].rows) == (1, 2, 2)
    assert after[DAY].content_hash != before[DAY].content_hash


def test_the_manifest_names_the_files_that_the_stored_rows_name(case):
    case.write(case.settings.error_records_path / "read-first.jsonl", call_line("e1"))
    case.write("a.jsonl", call_line("e1"))
    case.engine.ingest()
    assert [row["source_file"] for row in case.rows("raw_traces")] == ["a.jsonl"]
    assert case.engine.lake.manifest("raw_traces", DAY).source_files == ("a.jsonl",)


def test_duplicates_are_dropped_and_counted_without_a_new_version(case):
    case.write("a.jsonl", call_line("e1"), call_line("e1"), call_line("e2"))
    first = case.engine.ingest()
    assert (first.events, first.duplicates, first.conflicts) == (2, 1, 0)
    case.write("copy.jsonl", call_line("e1"), call_line("e2"))
    second = case.engine.ingest()
    assert (second.events, second.duplicates, second.days) == (0, 2, ())
    manifest = case.engine.lake.manifest("raw_traces", DAY)
    assert (manifest.rows, manifest.version) == (2, 1)
    assert case.engine.day_stats(DAY)["duplicates"] == 3


def test_of_one_id_with_other_content_the_first_stored_stays_and_the_conflict_is_counted(case):
    case.write("a.jsonl", call_line("e1", method="first"))
    case.engine.ingest()
    case.write("b.jsonl", call_line("e1", method="second"), turn_line("e1"))
    report = case.engine.ingest()
    assert (report.events, report.conflicts) == (0, 2)
    assert [row["method"] for row in case.rows("raw_traces")] == ["first"]
    assert case.engine.day_stats(DAY)["conflicts"] == 2


def test_the_same_id_on_the_next_day_is_the_same_event(case):
    case.write("a.jsonl", call_line("e1"))
    case.engine.ingest()
    case.write("b.jsonl", call_line("e1", timestamp="2026-11-02T00:00:00Z"))
    assert case.engine.ingest().events == 0


_pool = [
    call_line(
        f"e{n}",
        timestamp=f"2026-11-0{1 + n % 2}T0{n % 9}:00:00Z",
        error=f"user{n}@example.com failed" if n % 3 == 0 else None,
    )
    for n in range(12)
]
_pool += [turn_line(f"c{n}", user_query=f"question {n}") for n in range(4)]
_pool += [
    call_line("e1", method="other"),
    call_line("e5"),
    b"not json",
    call_line("bad", success="yes"),
    call_line("new").replace(b'"success"', b'"unknown":[1],"success"'),
]


@given(st.randoms(use_true_random=False), st.integers(1, 4), st.integers(1, 3))
@settings(max_examples=6, suppress_health_check=list(HealthCheck))
def test_any_order_and_any_split_over_files_and_one_run_gives_the_same_content(
    tmp_path_factory, rng, files, copies
):
    hashes = []
    for shuffle in (None, rng):
        case = Case(tmp_path_factory.mktemp("split"))
        lines = list(_pool) if shuffle is None else _pool * copies
        if shuffle:
            shuffle.shuffle(lines)
        for number in range(1 if shuffle is None else files):
            case.write(f"{number}.jsonl", *(lines if shuffle is None else lines[number::files]))
        case.engine.ingest()
        hashes.append(
            {
                (table, day): case.engine.lake.manifest(table, day).content_hash
                for table in ("raw_traces", "conversation_logs")
                for day in case.engine.lake.days(table)
            }
        )
    assert hashes[0] == hashes[1]


def test_files_ingested_one_by_one_give_the_same_content_as_all_at_once(tmp_path):
    lines = [line for line in _pool if b'"other"' not in line and line != call_line("e5")]
    at_once, one_by_one = Case(tmp_path / "a"), Case(tmp_path / "b")
    at_once.write("a.jsonl", *lines)
    at_once.engine.ingest()
    order = random.Random(3).sample(range(len(lines)), len(lines))
    for part in range(3):
        one_by_one.write(f"{part}.jsonl", *(lines[at] for at in order[part::3]))
        one_by_one.engine.ingest()
    for table in ("raw_traces", "conversation_logs"):
        for day in at_once.engine.lake.days(table):
            assert (
                one_by_one.engine.lake.manifest(table, day).content_hash
                == at_once.engine.lake.manifest(table, day).content_hash
            )
            strip = [
                {key: value for key, value in row.items() if not key.startswith("source_")}
                for row in one_by_one.rows(table, day)
            ]
            assert strip == [
                {key: value for key, value in row.items() if not key.startswith("source_")}
                for row in at_once.rows(table, day)
            ]


def test_the_same_files_give_the_same_bytes(tmp_path):
    hashes = []
    for name in ("a", "b"):
        case = Case(tmp_path / name)
        case.write("a.jsonl", *_pool)
        case.engine.ingest()
        hashes.append(
            [
                case.engine.lake.manifest("raw_traces", day).files
                for day in case.engine.lake.days("raw_traces")
            ]
        )
    assert hashes[0] == hashes[1]


def test_bad_lines_are_quarantined_on_the_day_of_the_event_before_them(case):
    lines = [
        b"broken",
        call_line("e1"),
        b'{"event_id": "x"}',
        call_line("e2", timestamp="2026-11-02T00:00:00Z"),
        call_line("e3", success="yes"),
        b"",
        call_line("e4", service=None),
    ]
    path = case.write("n1/a.jsonl", *lines)
    report = case.engine.ingest()
    received = datetime.fromtimestamp(path.stat().st_mtime, UTC).date()
    assert (report.events, report.quarantined) == (2, 4)
    found = {
        (row["event_date"], row["source_line"], row["reason"])
        for row in case.rows("quarantined_events", received, DAY, NEXT)
    }
    assert found == {
        (received, 1, "invalid_json"),
        (DAY, 3, "unknown_event_type"),
        (NEXT, 5, "wrong_type"),
        (NEXT, 7, "missing_field"),
    }
    (row,) = case.rows("quarantined_events", DAY)
    assert (row["source_file"], row["node_id"], row["excerpt"], row["line_bytes"]) == (
        "n1/a.jsonl",
        "n1",
        '{"event_id": "x"}',
        17,
    )
    assert case.engine.day_stats(NEXT)["bad_ratio"] == pytest.approx(2 / 3)


def test_reading_a_file_again_does_not_quarantine_its_lines_twice(case):
    case.write("a.jsonl", call_line("e1"), b"broken")
    case.engine.ingest()
    (case.settings.data_path / "index.sqlite").unlink()
    report = case.engine.ingest()
    assert (report.events, report.quarantined, report.days) == (0, 1, ()), "this ingestion met it too"
    manifest = case.engine.lake.manifest("quarantined_events", DAY)
    assert (manifest.rows, manifest.stats["lost_events"]) == (1, 1)


SECRETS = {"jane.doe@example.com": "EMAIL", "4111 1111 1111 1111": "CARD", "AKIAIOSFODNN7EXAMPLE": "API_KEY"}


def test_personal_data_and_secrets_are_in_no_file_that_is_kept(case):
    secret = "jane.doe@example.com"
    lines = [
        call_line("e1", error=f"no user {secret}", success=False),
        call_line(
            "e2", metadata={"node_id": secret, "note": f"ask {secret}", f"by {secret}": "x", "list": [secret]}
        ),
        call_line("e3", service=secret, method=secret, trace_id=secret, request_id=secret),
        call_line(f"e4 {secret}"),
        turn_line("c1", user_query=f"I am {secret}", system_response=f"Hello {secret}", session_id=secret),
        f'{{"event_id": "{secret}"'.encode(),
        call_line("e5", success=secret),
        call_line("e6", error="\x1f" + secret + "\x1e", success=False),
        call_line("e7").replace(b'"success"', f'"new":"{secret}","success"'.encode()),
    ]
    case.write(f"{secret}/{secret}.jsonl", *lines)
    report = case.engine.ingest()
    assert (report.events, report.quarantined) == (7, 2)
    assert report.redactions["EMAIL"] >= 12
    tables = [
        pq.read_table(path, partitioning=None).to_pylist()
        for path in case.engine.lake.root.rglob("*.parquet")
    ]
    assert len(tables) == 3
    for path in case.settings.data_path.rglob("*"):
        if path.is_file() and case.cache not in path.parents and path.name != "index.sqlite":
            assert secret.encode() not in path.read_bytes()
    assert secret not in str(tables)
    masked = next(row for rows in tables for row in rows if row.get("event_id") == "e1")
    assert masked["error"] == "no user <EMAIL>"


def test_what_stands_beside_a_masked_value_is_kept(case):
    case.write(
        "a.jsonl",
        call_line(
            "e1",
            error="mail a@example.com now",
            success=False,
            metadata={"node_id": "n1", "k": "v", "empty": "", "n": None, "mail": "b@example.com"},
        ),
    )
    report = case.engine.ingest()
    (row,) = case.rows("raw_traces")
    assert row["error"] == "mail <EMAIL> now"
    assert orjson.loads(row["metadata"]) == {
        "node_id": "n1",
        "k": "v",
        "empty": "",
        "n": None,
        "mail": "<EMAIL>",
    }
    assert report.redactions == {"EMAIL": 2}
    assert case.engine.day_stats(DAY)["redacted_email"] == 2


@given(
    st.lists(
        st.dictionaries(st.text(max_size=5), st.none() | st.text(max_size=20), max_size=4),
        min_size=1,
        max_size=4,
    )
)
@example(
    [
        {
            "quote": '"',
            "backslash": "\\",
            "line": "a\n\r\tb",
            "control": "\x01\x7f\u2028",
            "null": None,
            '":""': '":""',
            "other": "ü😀",
        }
    ]
)
@example([{"\x05": "@"}])
@settings(max_examples=25, deadline=None)
def test_metadata_in_which_something_is_masked_keeps_all_else_whatever_it_is(notes):
    with TemporaryDirectory() as folder:
        case = Case(Path(folder))
        metadata = [
            {"node_id": "n1", "mail": "b@example.com", **{f"x{key}": value for key, value in note.items()}}
            for note in notes
        ]
        case.write("a.jsonl", *(call_line(f"e{n}", metadata=entries) for n, entries in enumerate(metadata)))
        case.engine.ingest()
        stored = {row["event_id"]: orjson.loads(row["metadata"]) for row in case.rows("raw_traces")}
    separators = str.maketrans("\x1d\x1e\x1f", "   ")
    marks = str.maketrans(
        "\x02\x03\x04\x05", "    "
    )  # of redaction: blank in a key where its value was looked at more closely
    for n, entries in enumerate(metadata):
        if any("\0" in key for key in entries):
            continue  # two keys may become one
        expected = {
            key.translate(separators).translate(marks): value
            and redact(value.replace("\0", "\ufffd").translate(separators))
            for key, value in entries.items()
        }
        assert {key.translate(marks): value for key, value in stored[f"e{n}"].items()} == expected


def test_a_key_that_is_there_twice_counts_once_and_a_masked_one_keeps_its_value(case):
    line = call_line("e1", metadata={"node_id": "n1", "a@example.com": "1", "b@example.com": "2"}).replace(
        b'"node_id"', b'"k":"first","k":"second","node_id"'
    )
    case.write("a.jsonl", line)
    case.engine.ingest()
    (row,) = case.rows("raw_traces")
    metadata = orjson.loads(row["metadata"])
    assert sorted(metadata.values()) == ["1", "2", "n1", "second"]
    assert b"example.com" not in row["metadata"].encode()


def test_compressed_files_and_files_of_many_blocks_are_read_alike(tmp_path, monkeypatch):
    import gzip

    import zstandard

    lines = [call_line(f"e{n}", error=f"failure {n}") for n in range(500)]
    hashes = set()
    for name, compress in {
        "a.jsonl": bytes,
        "a.jsonl.gz": gzip.compress,
        "a.jsonl.zst": zstandard.compress,
    }.items():
        case = Case(tmp_path / name)
        case.write(name)
        (case.cache / name).write_bytes(compress(b"\n".join(lines)))
        monkeypatch.setattr("fl_assets.events.lines.BATCH_BYTES", 20_000)
        assert case.engine.ingest().events == 500
        hashes.add(case.engine.lake.manifest("raw_traces", DAY).content_hash)
    assert len(hashes) == 1


def test_other_formats_and_error_records_go_through_the_same_checks(case):
    record = {
        "id": "r1",
        "request_id": "r1",
        "failure_type": "tool",
        "error_message": "a@example.com not found",
        "contributing_tools": ["search"],
        "created_at": "2026-11-01T10:00:00Z",
    }
    path = case.settings.error_records_path / "records.jsonl"
    path.parent.mkdir(parents=True)
    path.write_bytes(orjson.dumps(record) + b"\n" + orjson.dumps(record) + b"\n{broken\n")
    span = {
        "traceId": "0" * 31 + "1",
        "spanId": "0" * 15 + "1",
        "name": "search",
        "startTimeUnixNano": "1793527200000000000",
        "endTimeUnixNano": "1793527201000000000",
    }
    span |= {
        "attributes": [
            {"key": "gen_ai.operation.name", "value": {"stringValue": "execute_tool"}},
            {"key": "gen_ai.tool.name", "value": {"stringValue": "search"}},
        ]
    }
    case.write(
        "otlp/spans.json",
        orjson.dumps(
            {"resourceSpans": [{"resource": {"attributes": []}, "scopeSpans": [{"spans": [span]}]}]}
        ),
    )
    report = case.engine.ingest()
    assert report.error_records == 1
    assert report.formats == {"error_records": 1, "otlp": 1}
    assert report.events == 1
    assert report.quarantined == 1
    (stored,) = case.rows("error_records")
    assert (stored["record_id"], stored["error_message"], stored["contributing_tools"]) == (
        "r1",
        "<EMAIL> not found",
        ["search"],
    )
    assert case.engine.ingest().files == 0


def test_of_an_error_record_the_last_version_stays_in_a_file_and_across_files_and_days(case):
    def version(hour: int, day: int = 1, **given) -> bytes:
        times = {"created_at": f"2026-11-0{day}T10:00:00Z", "updated_at": f"2026-11-02T{hour:02}:00:00Z"}
        return orjson.dumps({"id": "r1", "failure_type": "tool", "error_stage": f"at {hour}"} | times | given)

    folder = case.settings.error_records_path
    folder.mkdir(parents=True)
    stages = lambda: [row["error_stage"] for row in case.rows("error_records", DAY, NEXT)]  # noqa: E731
    (folder / "a.jsonl").write_bytes(version(9) + b"\n" + version(8) + b"\n")
    assert (case.engine.ingest().error_records, stages()) == (1, ["at 9"])
    (folder / "b.jsonl").write_bytes(version(10) + b"\n")
    assert (case.engine.ingest().days, stages()) == ((DAY,), ["at 10"])
    (folder / "c.jsonl").write_bytes(version(11, day=2) + b"\n")
    assert (case.engine.ingest().days, stages()) == ((DAY, NEXT), ["at 11"])
    (folder / "d.jsonl").write_bytes(version(10) + b"\n" + version(11, day=2) + b"\n")
    assert (case.engine.ingest().days, stages()) == ((), ["at 11"])
    for day in (DAY, NEXT):
        assert case.engine.lake.verify("error_records", day) == []


def test_a_file_that_no_format_knows_is_one_refusal(case):
    case.write("README.md", b"# notes")
    case.write("a.jsonl", call_line("e1"))
    report = case.engine.ingest()
    assert (report.files, report.ignored, report.quarantined, report.lost_events) == (1, 1, 1, 0)
    assert [one.path for one in report.unread] == ["README.md"]
    assert case.engine.ingest().ignored == 0


def test_sums_have_the_columns_of_their_tables_also_for_an_empty_day(case):
    case.write("a.jsonl", call_line("e1", error="boom", success=False), turn_line("c1"))
    case.engine.ingest()
    for day, failures in ((DAY, 1), (NEXT, 0)):
        signatures, totals = case.engine.signatures(day)
        assert signatures.column_names == FAILURE_SIGNATURES.column_names
        assert totals.column_names == CALL_TOTALS.column_names
        assert len(signatures) == failures
        assert case.engine.conversation_signals(day).column_names == CONVERSATION_SIGNALS.column_names
    assert len(case.engine.sample("raw_traces", DAY)) == 1
    assert len(case.engine.sample("raw_traces", NEXT)) == 0


def test_a_crash_between_lake_and_index_means_reading_again_and_storing_once(case, monkeypatch):
    case.write("a.jsonl", call_line("e1"), call_line("e2"))
    with monkeypatch.context() as patch:
        patch.setattr(case.engine.index, "commit", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            case.engine.ingest()
    report = case.engine.ingest()
    assert (report.events, report.duplicates) == (0, 2)
    assert Counter(row["event_id"] for row in case.rows("raw_traces")) == {"e1": 1, "e2": 1}
    assert case.engine.index.backlog().events == 2


def test_a_late_event_does_not_bring_back_a_day_that_retention_removed(case):
    case.write("a.jsonl", call_line("e1"))
    case.engine.ingest()
    case.engine.lake.expire(date(2026, 12, 1), 10)
    removed = case.engine.lake.manifest("raw_traces", DAY)
    case.write("late.jsonl", call_line("e2"))
    assert case.engine.ingest().days == ()
    assert case.engine.lake.manifest("raw_traces", DAY) == removed


def test_one_process_at_a_time_ingests(case):
    other = SummingEngine(case.settings)
    with (
        case.engine.lake.lock(),
        pytest.raises(IngestBusyError, match=r"ingest\.lock"),
        other.lake.lock(wait_secs=0),
    ):
        pass


@pytest.mark.parametrize(
    "statement",
    [
        "select * from read_text('/etc/passwd')",
        "attach '/tmp/other.duckdb'",
        "copy (select 1) to '/tmp/out.csv'",
        "install httpfs",
        "load httpfs",
        "set enable_external_access = true",
        "set allowed_directories = ['/']",
        "select * from 'https://example.com/a.parquet'",
    ],
)
def test_connections_reach_nothing_but_the_lake(case, statement):
    with case.engine.connect() as connection, pytest.raises(duckdb.Error):
        connection.execute(statement).fetchall()


CORPORA = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.parametrize(("corpus", "every"), [("redaction_corpus.jsonl", 5), ("redaction_blind.jsonl", 13)])
def test_the_fast_way_redacts_texts_of_the_corpora_as_the_rules_in_python_do(case, corpus, every):
    texts = list(
        dict.fromkeys(orjson.loads(line)["text"] for line in (CORPORA / corpus).read_bytes().splitlines())
    )[::every]
    calls = [
        call_line(f"e{n}", error=text, success=False, metadata={"node_id": "n1", "note": text})
        for n, text in enumerate(texts)
    ]
    case.write(
        "a.jsonl",
        *calls,
        *(turn_line(f"c{n}", user_query=text) for n, text in enumerate(texts)),
        *(call_line(f"m{n}", method=text) for n, text in enumerate(texts)),
    )
    assert case.engine.ingest().quarantined == 0
    stored = {
        row["event_id"]: row for table in ("raw_traces", "conversation_logs") for row in case.rows(table)
    }
    for n, text in enumerate(texts):
        assert stored[f"e{n}"]["error"] == redact(text)
        assert (
            orjson.loads(stored[f"e{n}"]["metadata"])["note"]
            == redact(f"note{KEY_SEPARATOR}{text}").partition(KEY_SEPARATOR)[2]
        )
        assert stored[f"c{n}"]["user_query"] == redact(text)
        assert (stored[f"m{n}"]["method"] == text) == (redact(text) == text)


def test_names_are_masked_when_that_is_on_in_texts_and_values_but_not_in_ids(case, tmp_path, monkeypatch):
    monkeypatch.setattr(engine, "load_name_masking", lambda: lambda text: text.replace("Mia", "<PERSON>"))
    named = Case(tmp_path / "named", pii=True)
    line = call_line(
        "Mia-1", error="Mia wrote to a@b.de", success=False, metadata={"node_id": "n1", "note": "for Mia"}
    )
    for one in (case, named):
        one.write("a.jsonl", line, b"Mia {")
        one.engine.ingest()
    assert [row["error"] for row in case.rows("raw_traces")] == ["Mia wrote to <EMAIL>"], "off by default"
    (row,) = named.rows("raw_traces")
    assert (row["event_id"], row["error"], orjson.loads(row["metadata"])) == (
        "Mia-1",
        "<PERSON> wrote to <EMAIL>",
        {"node_id": "n1", "note": "for <PERSON>"},
    )
    assert [row["excerpt"] for row in named.rows("quarantined_events")] == ["<PERSON> {"]
    assert named.engine.day_stats(DAY)["redacted_person"] == 2


@pytest.mark.skipif(find_spec("presidio_analyzer") is not None, reason="the extra [pii] is installed")
def test_masking_of_names_without_what_it_needs_fails_before_anything_is_stored(tmp_path):
    named = Case(tmp_path, pii=True)
    named.write("a.jsonl", call_line())
    with pytest.raises(NamesUnavailableError, match="FEDERATED_LEARNING_PII"):
        named.engine.ingest()
    assert not named.rows("raw_traces")


def test_long_reading_tells_how_far_it_is_and_in_which_file(tmp_path, monkeypatch):
    monkeypatch.setattr(ingest, "REPORT_SECS", 0.0)
    settings = settings_in(tmp_path)
    settings.telemetry_path.mkdir(parents=True)
    (settings.telemetry_path / "events_1.jsonl").write_bytes(
        b"\n".join(call_line(f"e{number}") for number in range(50)) + b"\n"
    )
    told = []
    SummingEngine(settings).ingest(told.append)
    how_far = r"\d+%: \d of 1 files, [\d,]+ lines/s, about [\d,]+ s left, reading events_1\.jsonl"
    assert re.fullmatch(how_far, told[0])
    assert "50 new events" in told[-1]


def test_large_batches_stay_files_of_their_own_and_small_ones_are_put_together(case, monkeypatch):
    monkeypatch.setattr(commit, "SMALL_FILE_ROWS", 30)
    for number in range(6):
        case.write(f"{number}.jsonl", *(call_line(f"e{number}-{n}") for n in range(40 if number < 2 else 5)))
        case.engine.ingest()
    manifest = case.engine.lake.manifest("raw_traces", DAY)
    assert sorted(file.rows for file in manifest.files) == [20, 40, 40]
    assert sum(file.rows for file in manifest.files) == manifest.rows == 100
    assert case.engine.lake.verify("raw_traces", DAY) == []
    assert len({row["event_id"] for row in case.rows("raw_traces")}) == 100
    folder = case.engine.lake.folder("raw_traces", DAY)
    assert {path.name for path in folder.iterdir()} == {
        "manifest.json",
        *(file.name for file in manifest.files),
    }


def test_an_event_that_is_there_again_leaves_every_file_of_the_day_as_it_was(case):
    case.write("a.jsonl", call_line("e1"), call_line("e2"))
    case.engine.ingest()
    before = case.engine.lake.manifest("raw_traces", DAY)
    case.write("b.jsonl", call_line("e1"))
    assert case.engine.ingest().duplicates == 1
    after = case.engine.lake.manifest("raw_traces", DAY)
    assert (after.files, after.version, after.stats["duplicates"]) == (before.files, before.version, 1)


@pytest.mark.parametrize("mtime", [0, 1_000_000_000, 4_000_000_000])
def test_the_time_of_a_file_moves_no_event_to_another_day(case, mtime):
    path = case.write("a.jsonl", call_line("e1"), call_line("e2", timestamp="2099-01-01T00:00:00Z"))
    os.utime(path, (mtime, mtime))
    today = datetime.now(UTC).date()
    assert {entry.day for entry in case.engine.index.backlog().days} == {DAY, today}
    case.engine.ingest()
    ((first,), (second,)) = (case.rows("raw_traces", day) for day in (DAY, today))
    assert (first["event_id"], first["has_clock_skew"]) == ("e1", False)
    assert (second["event_id"], second["has_clock_skew"]) == ("e2", True)


def test_the_sensor_counts_what_will_be_events_of_the_day(case):
    """A line that is refused or left out is no event of today, whatever its time says."""
    odd = json.loads(call_line("o"))
    good = [
        call_line("e1"),
        call_line("e2", timestamp="2026-11-01T23:30:00-01:00"),
        call_line("e3", timestamp=None),
        call_line("e4", timestamp="2099-01-01T00:00:00Z"),
        call_line("e5", timestamp="1970-01-01T00:00:00Z"),
        turn_line("c1"),
        json.dumps(odd | {"event_id": "e6", "later": 1}).encode(),
    ]
    bad = [
        call_line("b1", timestamp="yesterday"),
        call_line("b2", timestamp="2026-11-01Tnonsense-of-somebodyZ"),
        call_line("b3", timestamp=""),
        call_line("b4", timestamp="x" * 400),
        json.dumps(odd | {"event_id": "b5", "timestamp": 1793577600}).encode(),
        call_line("b6", timestamp="2022-03-01T12:00:00Z"),
        json.dumps(odd | {"event_id": "b7", "event_type": "Other"}).encode(),
        json.dumps(odd | {"event_id": "b8", "conversation_log": {}}).encode(),
        call_line("b9", service=None),
        call_line("b10", success=None),
        call_line(""),
        b'{"event_id": "b11", "timestamp": "2026-11-01T00:00:00Z"',
        b'"event_id" "timestamp": "2026-11-01T00:00:00Z"',
    ]
    case.write("a.jsonl", *good, *bad)
    told = {entry.day: entry.events for entry in case.engine.index.backlog().days}
    case.engine.ingest()
    stored = {
        day: len(case.rows("raw_traces", day)) + len(case.rows("conversation_logs", day)) for day in told
    }
    assert told == stored
    assert sum(told.values()) == len(good)


def test_events_older_than_the_first_day_are_left_out_and_counted(case):
    """They are history, and no failures of today; of a clock that says 1970 nothing is known."""
    old = [call_line(name, timestamp=f"2022-03-0{day}T12:00:00Z") for day, name in enumerate("abc", 1)]
    no_time, wrong_clock = (
        call_line(name, timestamp=time) for name, time in (("e2", None), ("e3", "1970-01-01T00:00:00Z"))
    )
    case.write("a.jsonl", *old, call_line("e1"), no_time, wrong_clock)
    report = case.engine.ingest()
    assert (report.events, report.lost_events) == (3, 0)
    (unread,) = report.unread
    assert (unread.reason, unread.events) == ("before_start", 0)
    assert unread.detail.startswith("3 events ended before 2023-01-01")
    assert unread.detail.endswith("the first of them on 2022-03-01")


def test_a_file_replaced_in_place_by_one_of_the_same_size_and_time_is_read(case):
    old = [call_line(f"old{number}", method="m" * 40) for number in range(200)]
    path = case.write("n1/a.jsonl", *old)
    case.engine.ingest()
    status = path.stat()
    lines = old[:100] + [line.replace(b'"old', b'"new') for line in old[100:]]
    with path.open("r+b") as file:  # the same inode
        file.write(b"\n".join(lines) + b"\n")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (status.st_size, status.st_mtime_ns)
    assert case.engine.ingest().events == 100
    path.chmod(0o640)  # its status alone
    assert case.engine.index.pending() == []


def test_an_index_of_a_later_release_is_refused_and_not_touched(case):
    case.write("n1/a.jsonl", call_line())
    case.engine.ingest()
    path = case.engine.settings.data_path / "index.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("pragma user_version = 99")
    before = path.read_bytes()
    with pytest.raises(LakeError, match="written by a later release"):
        case.engine.ingest()
    assert path.read_bytes() == before


@pytest.mark.parametrize("depth", [150, 190, 201, 400, 960])
def test_nesting_is_bounded_alike_however_a_line_is_read(case, depth):
    deep = call_line("deep", metadata={"x": 1}).replace(b'"x":1', b'"x":' + b"[" * depth + b"]" * depth)
    slow = deep.replace(b'"deep"', b'"slow"').replace(b'"ExecutionTrace"', b'"ExecutionTrace","unknown":1')
    case.write("n1/a.jsonl", call_line("e1"), deep, slow)
    report = case.engine.ingest()
    assert report.quarantined == (0 if depth < MAX_DEPTH - 3 else 2), report
    assert report.events == 3 - report.quarantined


@pytest.mark.parametrize("name", ["native", "otlp"])
def test_a_file_that_takes_longer_than_its_size_explains_is_cut_off_and_named(case, monkeypatch, name):
    span = {"traceId": "a" * 32, "name": "x", "endTimeUnixNano": "1793520000000000000"}
    spans = [span | {"spanId": f"{number:016x}"} for number in range(1, 201)]
    requests = [orjson.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [one]}]}]}) for one in spans]
    lines = {"native": [call_line(f"e{number}") for number in range(200)], "otlp": requests}[name]
    slow = case.write("n1/slow.jsonl", *lines).stat().st_size
    case.write("n2/b.jsonl", call_line("good"))
    monkeypatch.setattr(ingest, "seconds_for", lambda size: -1.0 if size == slow else 60.0)
    report = case.engine.ingest()
    (unread,) = report.unread
    assert (unread.path, unread.reason) == ("n1/slow.jsonl", "over_limit")
    assert "the most for its size" in unread.detail
    assert "good" in {row["event_id"] for row in case.rows("raw_traces")}
    assert case.engine.ingest().files == 0
