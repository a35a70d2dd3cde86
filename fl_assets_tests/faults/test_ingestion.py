"""Faults and attacks on ingestion; each test says what is survived (numbers are those of the list in
`docs/promises.md`).
"""

import gzip
import os
import re
import resource
import shutil
import subprocess
import sys
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import orjson
import pytest

from fl_assets.events import ingest
from fl_assets.events.redaction import UNREDACTABLE, engine
from fl_assets.infra.errors import LakeError
from fl_assets_tests.build import DAY, call_line, turn_line
from fl_assets_tests.events.test_ingest import Case


@pytest.fixture
def case(tmp_path):
    return Case(tmp_path)


def received(path: Path) -> date:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC).date()


def reasons(case: Case) -> dict[str, int]:
    found: dict[str, int] = {}
    for day in case.engine.lake.days("quarantined_events"):
        for row in case.rows("quarantined_events", day):
            found[row["reason"]] = found.get(row["reason"], 0) + 1
    return found


def test_case_7_a_damaged_archive_keeps_its_good_prefix_and_other_files_are_not_touched(case):
    lines = [call_line(f"g{n}", error=os.urandom(100).hex(), success=False) for n in range(2000)]
    whole = gzip.compress(b"\n".join(lines) + b"\n")
    for name in (
        "cut.jsonl.gz",
        "plain.jsonl.gz",
        "empty.jsonl.gz",
        "empty.jsonl",
        "members.jsonl.gz",
        "good.jsonl",
    ):
        case.write(name)
    (case.cache / "cut.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    (case.cache / "plain.jsonl.gz").write_bytes(call_line("p1") + b"\n")
    (case.cache / "members.jsonl.gz").write_bytes(
        gzip.compress(call_line("m1") + b"\n") + gzip.compress(call_line("m2") + b"\n")
    )
    case.write("good.jsonl", call_line("e1"))
    report = case.engine.ingest()
    ids = {row["event_id"] for row in case.rows("raw_traces")}
    assert {"m1", "m2", "e1", "p1"} < ids
    assert 100 < len(ids) - 4 < 2000
    found = reasons(case)
    assert found.pop("damaged_file") == 1
    assert sum(found.values()) <= 1, "the line that was cut"
    assert report.events == len(ids)
    assert case.engine.ingest().files == 0


def test_case_8_a_character_that_is_not_json_costs_its_value_and_never_makes_a_row_of_nulls(case):
    bad = [
        b'{"event_id": "\xff\xfe"}',
        call_line("x1").replace(b"search", b"sea\0rch"),
        call_line("x2", service="a\0b"),
        call_line("x3").replace(b"search", b"\\ud800"),
        call_line("x4").replace(b":12", b":NaN"),
        call_line("x5").replace(b":12", b":-Infinity"),
    ]
    path = case.write("a.jsonl", b"\xef\xbb\xbf" + call_line("e1"), *bad, call_line("e2"))
    assert path.read_bytes().startswith(b"\xef\xbb\xbf")
    report = case.engine.ingest()
    assert report.mended == 7
    rows = {row["event_id"]: (row["service"], row["duration_ms"]) for row in case.rows("raw_traces")}
    kept, lost = ("search", 12.0), ("search", None)
    assert rows == {
        "e1": kept,
        "x1": ("sea\ufffdrch", 12.0),
        "x2": ("a\ufffdb", 12.0),
        "x3": ("\ufffd", 12.0),
        "x4": lost,
        "x5": lost,
        "e2": kept,
    }
    assert reasons(case) == {"unknown_event_type": 1}


def peak_of(folder: Path, **environment: str) -> tuple[float, dict]:
    """Ingest in a process of its own; its peak memory in MB, above that of one with nothing to do, and what
    it reported.
    """
    script = (
        "import orjson, resource, sys, dataclasses\n"
        "from pathlib import Path\n"
        "from fl_assets_tests.conftest import settings_in\n"
        "from fl_assets.events.engine import DuckDBEngine\n"
        "report = DuckDBEngine(settings_in(Path(sys.argv[1]))).ingest()\n"
        "print(orjson.dumps([resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, report.events, "
        "report.quarantined]).decode())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(folder)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    return orjson.loads(done.stdout.splitlines()[-1])


@pytest.mark.faults
@pytest.mark.parametrize("kind", ["line", "bomb"])
def test_case_9_a_gigabyte_without_a_line_end_takes_bounded_memory(tmp_path, kind):
    base, *_ = peak_of(tmp_path / "empty")
    case = Case(tmp_path / "big")
    if kind == "line":
        path = case.write("a.jsonl", call_line("e1"))
        with path.open("ab") as file:
            for _ in range(1024):
                file.write(b"x" * 1024 * 1024)
            file.write(b"\n" + call_line("e2") + b"\n")
    else:
        path = case.write("a.jsonl.gz")
        with gzip.open(path, "wb", compresslevel=1) as file:
            file.write(call_line("e1") + b"\n")
            for _ in range(1024):
                file.write(bytes(1024 * 1024))
            file.write(b"\n" + call_line("e2") + b"\n")
    peak, events, quarantined = peak_of(tmp_path / "big")
    assert (events, quarantined) == (2, 1)
    assert peak - base < 300
    (row,) = case.rows("quarantined_events")
    assert (row["reason"], row["line_bytes"]) == ("line_too_long", 1024**3)


def test_case_9_a_line_over_the_limit_is_skipped_and_counted(tmp_path):
    case = Case(tmp_path, max_line_bytes=2048)
    case.write("a.jsonl", call_line("e1"), call_line("long", error="x" * 10_000), call_line("e2"))
    case.engine.ingest()
    assert [row["event_id"] for row in case.rows("raw_traces")] == ["e1", "e2"]
    assert reasons(case) == {"line_too_long": 1}


def test_case_10_deep_nesting_and_many_keys_are_refused_and_of_equal_keys_the_last_counts(case):
    deep = call_line("deep", metadata={"x": 1}).replace(
        b'"x":1', b'"x":' + b'{"a":' * 20_000 + b"1" + b"}" * 20_000
    )
    wide = call_line("wide", metadata={f"k{n}": "v" for n in range(50_000)})
    twice = [
        call_line("t1").replace(b'"method":"query"', b'"method":"first","method":"second"'),
        call_line("t2", metadata={}).replace(b'"metadata":{}', b'"metadata":{"k":"first","k":"second"}'),
        b'{"event_id":"other",' + call_line("t3")[1:],
    ]
    case.write("a.jsonl", deep, wide, *twice)
    case.engine.ingest()
    assert reasons(case) == {"too_deep": 1, "too_many_keys": 1}
    rows = {row["event_id"]: row for row in case.rows("raw_traces")}
    assert rows.keys() == {"t1", "t2", "t3"}
    assert rows["t1"]["method"] == "second"
    assert orjson.loads(rows["t2"]["metadata"]) == {"k": "second"}


def test_case_11_the_same_events_again_in_any_guise_change_no_count(case):
    lines = [call_line(f"e{n}") for n in range(20)]
    path = case.write("a.jsonl", *lines, lines[0])
    case.engine.ingest()
    before = case.engine.lake.manifest("raw_traces", DAY)
    case.write("copy.jsonl", *lines)
    (case.cache / "copy.jsonl.gz").write_bytes(gzip.compress(b"\n".join(lines)))
    path.rename(case.cache / "renamed.jsonl")
    report = case.engine.ingest()
    assert (report.events, report.duplicates) == (0, 40)
    path = case.cache / "renamed.jsonl"
    path.rename(case.cache / "renamed.1.jsonl")
    case.write("renamed.jsonl", lines[3], call_line("new"))
    assert case.engine.ingest().events == 1
    after = case.engine.lake.manifest("raw_traces", DAY)
    assert (before.rows, after.rows) == (20, 21)
    assert case.engine.day_stats(DAY)["duplicates"] == 42


def test_case_12_of_one_id_the_first_content_stays_and_the_conflict_is_counted(case):
    case.write("a.jsonl", call_line("e1", duration_ms=1))
    case.engine.ingest()
    case.write("b.jsonl", call_line("e1", duration_ms=2))
    assert case.engine.ingest().conflicts == 1
    assert [row["duration_ms"] for row in case.rows("raw_traces")] == [1.0]


def test_case_13_a_file_that_grows_while_it_is_read_gives_each_line_once(case):
    path = case.write("a.jsonl", call_line("e1"))
    tail = call_line("e2") + b"\n"
    counted = []
    for cut in (10, 100, len(tail) - 1, len(tail)):
        path.write_bytes(call_line("e1") + b"\n" + tail[:cut])
        counted.append(case.engine.ingest().events)
    assert sum(counted) == 2
    assert counted[0] == 1
    assert reasons(case) == {}


def test_case_14_an_event_with_an_impossible_time_is_kept_on_the_day_it_was_received(case):
    now = datetime.now(UTC)
    stamps = {
        "future": "2099-01-01T00:00:00Z",
        "old": "1970-01-01T00:00:00Z",
        "missing": None,
        "tomorrow": (now + timedelta(hours=20)).isoformat(),
        "late": "2026-11-01T23:30:00-02:00",
        "leap": "2024-12-31T23:59:60Z",
    }
    path = case.write("a.jsonl", *(call_line(name, timestamp=stamp) for name, stamp in stamps.items()))
    case.engine.ingest()
    days = {
        row["event_id"]: (day, row["has_clock_skew"])
        for day in case.engine.lake.days("raw_traces")
        for row in case.rows("raw_traces", day)
    }
    today = received(path)
    assert days == {
        "future": (today, True),
        "old": (today, True),
        "missing": (today, True),
        "tomorrow": ((now + timedelta(hours=20)).date(), False),
        "late": (date(2026, 11, 2), False),
        "leap": (date(2025, 1, 1), False),
    }
    assert case.engine.day_stats(today)["clock_skewed"] == 3
    assert set(case.engine.lake.days("raw_traces")) == {day for day, _ in days.values()}, (
        "no partition out of range came to be"
    )


def test_case_15_late_events_bring_their_day_back_once(case):
    case.write("a.jsonl", call_line("e1"))
    case.engine.ingest()
    analysed = case.engine.lake.content_of(DAY)
    case.engine.index.mark_analysed(DAY, analysed)
    assert case.engine.index.backlog().days == ()
    case.write("late.jsonl", call_line("e2"))
    (waiting,) = case.engine.index.backlog().days
    assert (waiting.day, waiting.events) == (DAY, 1)
    assert waiting.token != analysed
    case.engine.ingest()
    case.engine.index.mark_analysed(DAY, case.engine.lake.content_of(DAY))
    assert case.engine.index.backlog().days == ()
    assert case.engine.lake.manifest("raw_traces", DAY).version == 2


def test_case_16_a_schema_that_drifts_loses_no_field_and_lets_no_wrong_type_through(case):
    lines = [
        call_line("new", event={"schema": 2}).replace(b'"success"', b'"tokens":{"in":5},"success"'),
        call_line("removed").replace(b'"duration_ms":12,', b"").replace(b'"request_id":"r1",', b""),
        call_line("retyped", duration_ms="12"),
        call_line("nested", service={"name": "search"}),
    ]
    case.write("a.jsonl", *lines)
    case.engine.ingest()
    rows = {row["event_id"]: row for row in case.rows("raw_traces")}
    assert rows.keys() == {"new", "removed"}
    assert orjson.loads(rows["new"]["metadata"]) == {"node_id": "n1", "schema": "2", "tokens": '{"in":5}'}
    assert (rows["removed"]["duration_ms"], rows["removed"]["request_id"]) == (None, None)
    assert reasons(case) == {"wrong_type": 2}


NASTY = [
    "'; drop table raw_traces; --",
    '"',
    "%s %(x)s {0}",
    "line\nbreak",
    "\\",
    "../../etc/passwd",
    "<b>",
    "=cmd|'/c'!A0",
    "$files",
    "?",
    "\u202e",
    "\x1e\x1f",
]


def test_case_24_names_that_look_like_sql_are_only_names(case):
    lines = [
        call_line(
            f"{n}{name}",
            service=name,
            method=name,
            trace_id=name,
            metadata={"node_id": name, name: name},
            error=name,
            success=False,
        )
        for n, name in enumerate(NASTY)
    ]
    case.write(
        "it's; a \"file\" %/a'b.jsonl",
        *lines,
        *(turn_line(f"c{n}{name}", session_id=name) for n, name in enumerate(NASTY)),
    )
    assert case.engine.ingest().events == 2 * len(NASTY)
    services = {row["service"] for row in case.rows("raw_traces")}
    assert services == {re.sub("[\x1e\x1f]", " ", name) for name in NASTY}
    signatures, totals = case.engine.signatures(DAY)
    assert set(totals["service"].to_pylist()) == services
    assert sum(signatures["failures"].to_pylist()) == len(NASTY)
    assert case.engine.lake.days("raw_traces") == [DAY]


@pytest.mark.parametrize("path", ["/etc/passwd", "/etc/hostname"])
def test_case_25_sql_reaches_no_file_outside_the_lake(case, path):
    with case.engine.connect() as connection:
        for sql in (
            "select * from read_text($path)",
            "select * from read_csv($path)",
            "copy (select 1) to $path",
        ):
            with pytest.raises(duckdb.Error, match=r"disabled by configuration|Permission"):
                connection.execute(sql, {"path": path}).fetchall()


SLOW = [
    "a@",
    "1-",
    "a.",
    "%40",
    "::",
    "key=",
    "-----BEGIN ",
    "eyJ",
    "://:",
    "/home/",
    "(((",
    "+1 (",
    "0",
    " ",
]


def test_case_26_no_text_makes_redaction_slow(case):
    size = 100_000
    case.write(
        "a.jsonl", *(call_line(unit, error=unit * (size // len(unit)), success=False) for unit in SLOW)
    )
    begin = time.process_time()
    assert case.engine.ingest().events == len(SLOW)
    assert time.process_time() - begin < 15, "1.4 MB, and the planning of the statements"


def test_case_28_a_rule_that_crashes_on_a_value_costs_the_value_and_never_lets_it_through(case, monkeypatch):
    secret = "jane.doe@example.com"

    def crash(text: str) -> str:
        raise RuntimeError(text)

    monkeypatch.setattr(ingest, "redact", crash)
    case.write("a.jsonl", call_line("e1"), f"{{broken {'x' * 60} {secret}".encode())
    case.engine.ingest()
    (row,) = case.rows("quarantined_events")
    assert (row["excerpt"], row["detail"]) == (f"{{broken {'x' * 60} <EMAIL>", UNREDACTABLE), (
        "excerpts are redacted in bulk, details one by one"
    )
    for path in case.settings.data_path.rglob("*"):
        if path.is_file() and case.cache not in path.parents:
            assert secret.encode() not in path.read_bytes()


def test_case_28_a_crash_in_bulk_costs_the_text_too(case, monkeypatch):
    real = engine._Finder.changes

    def crash(finder: engine._Finder, text: bytes) -> list:
        if finder.entity == "EMAIL":
            raise RuntimeError(text)
        return real(finder, text)

    monkeypatch.setattr(engine._Finder, "changes", crash)
    case.write(
        "a.jsonl",
        call_line("e1", error="ask jane.doe@example.com", success=False, metadata={"to": "jo@example.com"}),
        call_line("e2", error="no mail", success=False),
    )
    case.engine.ingest()
    rows = {row["event_id"]: (row["error"], row["metadata"]) for row in case.rows("raw_traces")}
    assert rows["e1"][0] == UNREDACTABLE
    assert UNREDACTABLE in rows["e1"][1]
    assert "example.com" not in str(rows)
    assert rows["e2"][0] == "no mail"


def test_a_full_disk_fails_the_run_and_leaves_the_old_day(case, monkeypatch):
    case.write("a.jsonl", call_line("e1"))
    case.engine.ingest()
    case.write(
        "b.jsonl", *(call_line(f"f{n}", error=os.urandom(500).hex(), success=False) for n in range(400))
    )
    script = (
        "import resource, signal, sys\nfrom pathlib import Path\n"
        "from fl_assets_tests.conftest import settings_in\nfrom fl_assets.events.engine import "
        "DuckDBEngine\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\nresource.setrlimit(resource.RLIMIT_FSIZE, "
        "(100_000, 100_000))\n"
        "DuckDBEngine(settings_in(Path(sys.argv[1]))).ingest()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(case.settings.data_path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode != 0
    assert re.search(r"raw_traces/event_date=2026-11-01/[0-9a-f]{16}\.tmp", done.stderr), (
        "the message names the file"
    )
    assert [row["event_id"] for row in case.rows("raw_traces")] == ["e1"]
    assert case.engine.lake.verify("raw_traces", DAY) == []
    assert case.engine.ingest().events == 400
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 100_000


def test_a_lake_of_an_earlier_release_is_refused_and_comes_back_as_its_error_says(case):
    case.write("a.jsonl", *(call_line(f"e{number}") for number in range(5)), turn_line("t1"))
    case.engine.ingest()
    lake, index = case.engine.lake, case.settings.data_path / "index.sqlite"
    before, manifests = lake.content_of(DAY), sorted(lake.root.glob("*/event_date=*/manifest.json"))
    for path in manifests:
        kept = orjson.loads(path.read_bytes())
        file = kept.pop("files")[0]
        path.write_bytes(
            orjson.dumps(kept | {"schema_version": 1, "file": file["name"], "file_sha256": file["sha256"]})
        )
    case.write("b.jsonl", call_line("e9"))
    every = re.escape(f"{lake.root}/*/event_date=*")
    with pytest.raises(
        LakeError, match=rf"move it .*{every}\) out of the lake, and index\.sqlite out of the data folder"
    ):
        case.engine.ingest()

    for number, path in enumerate(manifests):
        shutil.move(path.parent, case.settings.data_path.parent / f"kept-{number}")
    shutil.move(index, case.settings.data_path.parent / "kept.sqlite")
    (case.settings.telemetry_path / "b.jsonl").unlink()
    case.engine.ingest()
    assert lake.content_of(DAY) == before
