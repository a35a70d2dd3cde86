"""Lines come out of files as they went in, and each byte of a file counts as ingested once."""

import gzip
import os
import shutil
import time
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from fl_assets.events import read as reading_files
from fl_assets.events import unpack
from fl_assets.events.find import Source, walk
from fl_assets.events.index import FileResult, TelemetryIndex
from fl_assets.events.read import Reading, line_batches, may_grow, numbered_lines
from fl_assets.infra.lake import Lake, Manifest
from fl_assets_tests.build import DAY, call_line
from fl_assets_tests.conftest import settings_in

NOW = datetime(2026, 11, 20, tzinfo=UTC)
NAMES = {"": "a.jsonl", "gzip": "a.jsonl.gz", "zstd": "a.jsonl.zst"}


def compress(content: bytes, compression: str) -> bytes:
    return {
        "": lambda data: data,
        "gzip": gzip.compress,
        "zstd": zstandard.ZstdCompressor(write_checksum=True).compress,
    }[compression](content)


@pytest.fixture(autouse=True)
def lines_of_any_length(monkeypatch):
    """Lines of these tests are shorter than any event."""
    monkeypatch.setattr(reading_files, "SHORTEST_EVENT", 0)


def source_of(path: Path, **given) -> Source:
    status = path.stat()
    return Source(
        "events",
        path.parent,
        path.name,
        status.st_size,
        status.st_mtime_ns,
        status.st_ino,
        "",
        0,
        coding=unpack.coding_of(path.read_bytes()[:8]),
        **given,
    )


def read(
    path: Path, *, max_line_bytes: int = 1_000_000, now: datetime = NOW, **given
) -> tuple[list[tuple[int, str]], Reading]:
    reading = Reading(source_of(path, **given))
    batches = list(line_batches(reading, 7, max_line_bytes=max_line_bytes, now=now))
    assert all(value == 7 for batch in batches for value in batch.column(0).to_pylist())
    rows = [
        row
        for batch in batches
        for row in zip(batch.column(1).to_pylist(), batch.column(2).to_pylist(), strict=True)
    ]
    return [(number, line.rstrip("\n")) for number, line in rows], reading


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of a few bytes, so that every line is cut somewhere."""
    monkeypatch.setattr(unpack, "BLOCK_BYTES", 7)
    monkeypatch.setattr(reading_files, "BLOCK_BYTES", 7)
    monkeypatch.setattr(unpack, "_FEED_BYTES", {"gzip": 3, "zstd": 3, "framed_zstd": 3})


@given(
    lines=st.lists(
        st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), max_size=12), max_size=8
    ),
    compression=st.sampled_from(["", "gzip", "zstd"]),
    block=st.integers(1, 40),
)
@settings(max_examples=60)
def test_lines_come_out_as_they_went_in_whatever_the_blocks_are(tmp_path_factory, lines, compression, block):
    path = tmp_path_factory.mktemp("lines") / NAMES[compression]
    path.write_bytes(compress("".join(line + "\n" for line in lines).encode(), compression))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(unpack, "BLOCK_BYTES", block)
        patch.setattr(reading_files, "BLOCK_BYTES", block)
        patch.setattr(reading_files, "SHORTEST_EVENT", 0)
        patch.setattr(unpack, "_FEED_BYTES", {"gzip": block, "zstd": block, "framed_zstd": block})
        found, reading = read(path)
    expected = [(number, line) for number, line in enumerate(lines, 1)]
    if expected and expected[0][1].startswith("\ufeff"):
        expected[0] = (1, expected[0][1][1:])
    assert found == expected
    assert reading.problems == []
    assert reading.end_offset == path.stat().st_size


def test_a_bare_carriage_return_does_not_end_a_line(tmp_path, small_blocks):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"a\rb\r\nc\x01\xe2\x80\xa8d\n")
    assert read(path)[0] == [(1, "a\rb\r"), (2, "c\x01\u2028d")]


def test_a_line_that_is_too_long_is_skipped_and_noted_and_its_neighbours_are_not(tmp_path, small_blocks):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"one\n" + b"x" * 1000 + b"\ntwo\n" + b"y" * 17 + b"\nthree\n")
    found, reading = read(path, max_line_bytes=16)
    assert found == [(1, "one"), (3, "two"), (5, "three")]
    assert [(one.line, one.reason, one.size) for one in reading.problems] == [
        (2, "line_too_long", 1000),
        (4, "line_too_long", 17),
    ]


def test_bytes_that_are_not_utf8_cost_one_character(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"one\nt\xffwo\nthree\n")
    found, reading = read(path)
    assert found == [(1, "one"), (2, "t\ufffdwo"), (3, "three")]
    assert (reading.problems, reading.mended) == ([], 1)


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_members_one_after_another_are_one_file(tmp_path, small_blocks, compression):
    path = tmp_path / NAMES[compression]
    path.write_bytes(
        b"".join(compress(part, compression) for part in (b"one\ntw", b"o\n", b"", b"three\n"))
        + (b"\0" * 10 if compression == "gzip" else b"")
    )
    found, reading = read(path)
    assert found == [(1, "one"), (2, "two"), (3, "three")]
    assert reading.problems == []


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
@pytest.mark.parametrize("damage", ["cut", "noise"])
def test_damaged_compression_keeps_the_good_prefix_and_says_so(tmp_path, compression, damage):
    path = tmp_path / NAMES[compression]
    lines = [f"{number} {os.urandom(200).hex()}" for number in range(3000)]
    whole = compress("".join(line + "\n" for line in lines).encode(), compression)
    half = len(whole) // 2
    path.write_bytes({"cut": whole[:half], "noise": whole[:half] + b"\xff" * 64 + whole[half + 64 :]}[damage])
    found, reading = read(path)
    assert [one.reason for one in reading.problems if one.reason == "damaged_file"] == ["damaged_file"]
    if damage == "cut":
        assert len(found) > 100
        assert [line for _, line in found[:-1]] == lines[: len(found) - 1]


def test_a_bomb_takes_bounded_memory(tmp_path):
    path = tmp_path / "a.jsonl.zst"
    path.write_bytes(zstandard.compress(bytes(64 * 1024 * 1024)))
    reading = Reading(source_of(path))
    sizes = []
    with path.open("rb") as file:
        sizes = [len(block) for block in unpack.blocks(file, "zstd", path.stat().st_size)]
    assert sum(sizes) == 64 * 1024 * 1024
    assert list(line_batches(reading, 0, max_line_bytes=1_048_576, now=NOW)) == []
    assert [(one.reason, one.size) for one in reading.problems] == [("line_too_long", 64 * 1024 * 1024)]


def test_only_complete_lines_of_a_growing_file_are_read_and_the_rest_next_time(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"a":1}\n{"b":')
    written = path.stat().st_mtime
    now = datetime.fromtimestamp(written + 5, UTC)
    found, reading = read(path, now=now)
    assert found == [(1, '{"a":1}')]
    with path.open("ab") as file:
        file.write(b'2}\n{"c":3}')
    more, reading = read(path, now=now, offset=reading.end_offset, lines=reading.end_lines)
    assert more == [(2, '{"b":2}'), (3, '{"c":3}')], "a whole object needs no line end"
    with path.open("ab") as file:
        file.write(b'\n{"d":4}\n')
    last, reading = read(path, now=now, offset=reading.end_offset, lines=reading.end_lines)
    assert [row for row in last if row[1]] == [(4, '{"d":4}')]
    assert reading.end_offset == path.stat().st_size


def test_a_last_line_that_stays_incomplete_for_a_day_is_taken_as_it_is(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"a":1}\n{"b":')
    later = datetime.fromtimestamp(path.stat().st_mtime, UTC) + timedelta(days=2)
    assert read(path, now=later)[0] == [(1, '{"a":1}'), (2, '{"b":')]


def lines_of(path: Path, now: datetime) -> tuple[list[tuple[int, bytes]], Reading]:
    reading = Reading(source_of(path))
    return list(numbered_lines(reading, now)), reading


@pytest.mark.parametrize(
    ("content", "expected", "left"),
    [
        (b'{"a":1}\n{"b":', [(1, b'{"a":1}')], 5),
        (b'{"a":1}\n{"b":2}', [(1, b'{"a":1}'), (2, b'{"b":2}')], 0),
        (b'{\n "a": 1\n}', [(1, b"{"), (2, b' "a": 1'), (3, b"}")], 0),
        (b"\n\n", [(1, b""), (2, b"")], 0),
    ],
)
def test_a_last_line_of_another_format_that_may_still_be_written_is_left_for_a_day(
    tmp_path, small_blocks, content, expected, left
):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    written = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    found, reading = lines_of(path, written)
    assert (found, len(content) - reading.end_offset) == (expected, left)
    later, reading = lines_of(path, written + timedelta(days=2))
    assert b"".join(line for _, line in later) == content.replace(b"\n", b"")
    assert reading.end_offset == len(content)


def test_a_line_of_another_format_that_is_too_long_is_skipped_and_noted(tmp_path, small_blocks, monkeypatch):
    monkeypatch.setattr(reading_files, "MAX_DOCUMENT_BYTES", 16)
    path = tmp_path / "a.json"
    path.write_bytes(b"one\n" + b"x" * 1000 + b"\ntwo\n" + b"y" * 17)
    found, reading = lines_of(path, NOW)
    assert found == [(1, b"one"), (3, b"two")]
    assert [(one.line, one.reason, one.size) for one in reading.problems] == [
        (2, "line_too_long", 1000),
        (4, "line_too_long", 17),
    ]


def test_files_are_listed_at_any_depth_and_hidden_or_unfinished_ones_are_not(tmp_path):
    for name in (
        "b.jsonl",
        "n1/a.jsonl",
        "n1/deep/er/c.jsonl.gz",
        ".hidden.jsonl",
        ".cache/d.jsonl",
        "e.jsonl.tmp",
        "f.part",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "loop").symlink_to(tmp_path)
    assert [path for path, _ in walk(tmp_path).files] == ["b.jsonl", "n1/a.jsonl", "n1/deep/er/c.jsonl.gz"]
    assert walk(tmp_path / "absent").files == []


def test_sessions_in_an_agents_hidden_folder_are_listed_and_nothing_beside_them(tmp_path):
    for name in (
        ".claude/projects/w/s.jsonl",
        ".claude/.credentials.json",
        ".codex/auth.json",
        "n1/.codex/sessions/2026/11/02/rollout.jsonl",
        "n1/.local/share/goose/sessions/a.jsonl",
        "n1/.local/share/keyrings/secret.json",
        "n1/.git/config",
        "elsewhere/tmp/x.jsonl",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "n2/.gemini").mkdir(parents=True)
    (tmp_path / "n2/.gemini/tmp").symlink_to(tmp_path / "elsewhere/tmp")
    assert [path for path, _ in walk(tmp_path).files] == [
        ".claude/projects/w/s.jsonl",
        "elsewhere/tmp/x.jsonl",
        "n1/.codex/sessions/2026/11/02/rollout.jsonl",
        "n1/.local/share/goose/sessions/a.jsonl",
    ]


# The index
# ----------------------------------------------------------------------------------------------------


class Case:
    """A cache, its index, and an ingestion that only remembers what it read."""

    def __init__(self, folder: Path) -> None:
        self.settings = settings_in(folder)
        self.cache = self.settings.telemetry_path
        self.lake = Lake(self.settings.lake_path)
        self.index = TelemetryIndex(self.settings)
        self.stored: Counter[date] = Counter()

    def write(self, name: str, *lines: bytes, append: bool = False) -> Path:
        path = self.cache / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab" if append else "wb") as file:
            file.write(b"".join(line + b"\n" for line in lines))
        return path

    def ingest(self, *, crash: bool = False) -> list[str]:
        """Read what is pending; return the lines."""
        found, readings, days = [], [], set()
        for source in self.index.pending():
            reading = Reading(source)
            for batch in line_batches(reading, 0, max_line_bytes=10_000, now=datetime.now(UTC)):
                found += [line.strip() for line in batch.column(2).to_pylist() if line.strip()]
            readings.append(reading)
        for line in found:
            day = date.fromisoformat(line.rpartition('"timestamp":"')[2][:10])
            self.stored[day] += 1
            days.add(day)
        for day in days:
            self.lake.commit(
                Manifest(
                    table="raw_traces",
                    day=day,
                    rows=self.stored[day],
                    content_hash=f"{self.stored[day]:x}",
                    version=1,
                    source_files=(),
                    schema_version=1,
                    duckdb_version="",
                )
            )
        if not crash:
            self.index.commit([FileResult(reading, None, None) for reading in readings], days, self.lake)
        return found


@pytest.fixture
def case(tmp_path):
    return Case(tmp_path)


def test_a_file_is_read_once(case):
    case.write("n1/a.jsonl", call_line("e1"))
    assert len(case.ingest()) == 1
    assert case.ingest() == []
    assert case.index.pending() == []


def test_what_was_added_to_a_file_is_read_and_nothing_else(case):
    case.write("a.jsonl", call_line("e1"))
    case.ingest()
    case.write("a.jsonl", call_line("e2"), append=True)
    (source,) = case.index.pending()
    assert source.lines == 1
    assert [line for line in case.ingest() if "e1" in line] == []


def test_a_renamed_or_touched_file_is_not_read_again(case):
    path = case.write("a.jsonl", call_line("e1"))
    case.ingest()
    path.rename(case.cache / "b.jsonl")
    assert case.index.pending() == []
    os.utime(case.cache / "b.jsonl", (1, 1))
    assert case.index.pending() == []
    case.write("b.jsonl", call_line("e2"), append=True)
    assert len(case.ingest()) == 1


@pytest.mark.parametrize(
    "content", [[call_line("e9")], [call_line("x1"), call_line("x2"), call_line("x3")], []]
)
def test_a_file_that_was_replaced_or_truncated_is_read_anew(case, content):
    case.write("a.jsonl", call_line("e1"), call_line("e2"))
    case.ingest()
    case.write("a.jsonl", *content)
    assert len(case.ingest()) == len(content)


def test_a_rotated_file_is_not_read_again_and_its_successor_is(case):
    path = case.write("a.jsonl", call_line("e1"), call_line("e2"))
    case.ingest()
    path.rename(case.cache / "a.1.jsonl")
    case.write("a.jsonl", call_line("e3"))
    assert [line[:20] for line in case.ingest()] == ['{"event_id":"e3","ev']
    assert case.index.pending() == []


def test_a_vanished_file_is_no_error(case):
    path = case.write("a.jsonl", call_line("e1"))
    case.ingest()
    path.unlink()
    assert case.index.pending() == []
    shutil.rmtree(case.cache)
    assert case.index.pending() == []
    assert case.index.backlog().events == 1, "what was ingested has still not been analysed"


def test_the_backlog_counts_events_by_day_in_files_that_wait(case):
    case.write(
        "a.jsonl",
        call_line("e1"),
        call_line("e2", timestamp="2026-11-02T01:00:00+02:00"),
        b"not an event",
        b"",
    )
    case.write("n/b.jsonl", call_line("e3", timestamp="2026-11-03T00:00:00Z"))
    backlog = case.index.backlog()
    assert (backlog.events, backlog.files) == (3, 2)
    assert [(entry.day, entry.events) for entry in backlog.days] == [(DAY, 2), (date(2026, 11, 3), 1)]


def test_events_stay_in_the_backlog_until_their_day_is_analysed(case):
    case.write("a.jsonl", call_line("e1"), call_line("e2"))
    waiting = case.index.backlog().days[0]
    case.ingest()
    stored = case.index.backlog()
    assert (stored.events, stored.files) == (2, 0)
    assert stored.days[0].token == case.lake.content_of(DAY) != waiting.token
    case.index.mark_analysed(DAY, case.lake.content_of(DAY))
    assert case.index.backlog().days == ()
    case.write("b.jsonl", call_line("e3"))
    assert [(entry.day, entry.events) for entry in case.index.backlog().days] == [(DAY, 1)]
    case.ingest()
    assert [(entry.day, entry.events) for entry in case.index.backlog().days] == [(DAY, 1)]


def test_a_day_that_grew_while_it_was_analysed_stays_in_the_backlog(case):
    case.write("a.jsonl", call_line("e1"))
    case.ingest()
    analysed = case.lake.content_of(DAY)
    case.write("a.jsonl", call_line("e2"), append=True)
    case.ingest()
    case.index.mark_analysed(DAY, analysed)
    assert case.index.backlog().events == 2


def test_a_token_is_the_same_from_tick_to_tick_and_another_once_there_is_more(case):
    case.write("a.jsonl", call_line("e1"))
    first = case.index.backlog()
    assert case.index.backlog() == first
    case.write("a.jsonl", call_line("e2"), append=True)
    assert case.index.backlog().days[0].token != first.days[0].token


def test_nothing_is_forgotten_when_an_ingestion_dies_before_it_told_the_index(case):
    case.write("a.jsonl", call_line("e1"))
    case.ingest(crash=True)
    assert len(case.index.pending()) == 1
    assert case.index.backlog().events == 1
    assert len(case.ingest()) == 1


def test_a_tick_that_has_no_time_goes_on_where_the_last_one_stopped(case):
    for number in range(5):
        case.write(f"{number}.jsonl", call_line(f"e{number}"))
    ticks = 0.0

    def clock() -> datetime:
        nonlocal ticks
        ticks += 1
        return NOW + timedelta(seconds=ticks)

    slow = TelemetryIndex(case.settings, clock=clock)
    seen = [slow.backlog(scan_secs=0) for _ in range(2)] + [slow.backlog(scan_secs=1000)]
    assert seen[0].unscanned > 0
    assert seen[-1] == case.index.backlog()
    assert (seen[-1].events, seen[-1].unscanned) == (5, 0)


def test_two_processes_may_use_the_index_at_once(case):
    other = TelemetryIndex(case.settings)
    case.write("a.jsonl", call_line("e1"))
    assert other.backlog() == case.index.backlog()
    case.ingest()
    assert other.pending() == []


def test_a_tick_over_ten_thousand_files_takes_under_a_second_once_they_are_counted(case):
    for number in range(10_000):
        case.write(f"n{number % 50}/events_{number}.jsonl", call_line(f"e{number}"))
    assert case.index.backlog(scan_secs=600).events == 10_000
    begin = time.process_time()
    backlog = case.index.backlog()
    assert (backlog.events, backlog.files, backlog.unscanned) == (10_000, 10_000, 0)
    assert time.process_time() - begin < 1


@pytest.mark.parametrize(
    ("line", "is_whole"),
    [
        (b'{"a": 1}', True),
        (b'{"a": NaN, "b": "\\ud83d"}', True),
        (b'{"a": 1}{"b": 2}', True),
        (b'[{"a": 1,}]', True),
        (b'{"a": "}', False),
        (b'{"a": {"b": 1}', False),
        (b'{"a": "b}', False),
        (b'{"a": "\\"}', False),
    ],
)
def test_a_last_line_is_waited_for_until_its_brackets_and_texts_are_closed(tmp_path, line, is_whole):
    (tmp_path / "a").write_bytes(line)
    source = Source("events", tmp_path, "a", len(line), time.time_ns(), 0, "", 0)
    assert may_grow(source, line, datetime.now(UTC)) is not is_whole
