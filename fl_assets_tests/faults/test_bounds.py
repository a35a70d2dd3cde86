"""What one file may cost.

Small files that unpack to much, that hold millions of bad lines, or that are many.
"""

import gzip
import json
import time
from pathlib import Path

import pytest
import zstandard

from fl_assets.events.index import TelemetryIndex
from fl_assets_tests.build import call_line
from fl_assets_tests.conftest import settings_in
from fl_assets_tests.faults.test_ingestion import peak_of

pytestmark = pytest.mark.faults


def bomb(path: Path, *parts: tuple[bytes, int]) -> None:
    """Write each part so many times, a megabyte of it at a time, as gzip."""
    with gzip.open(path, "wb", compresslevel=9) as file:
        for part, times in parts:
            for _ in range(times):
                file.write(part)


BOMBS = {
    "short lines": [(call_line("e1") + b"\n", 1), (b"x\n" * 500_000, 40)],
    "blank lines": [(call_line("e1") + b"\n", 1), (b"\n" * 1_000_000, 60)],
    "empty lists": [(b'{"resourceSpans":[', 1), (b"[]," * 333_333, 60), (b"[]]}", 1)],
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_of_short_lines_and_of_empty_lists_take_bounded_time_and_memory(tmp_path, name):
    cache = settings_in(tmp_path).telemetry_path
    cache.mkdir(parents=True)
    bomb(cache / "bomb.jsonl.gz", *BOMBS[name])
    begin = time.monotonic()
    peak, events, refused = peak_of(tmp_path)
    assert peak < 900
    assert time.monotonic() - begin < 300
    assert events == (name != "empty lists")
    assert refused == {"short lines": 20_000_000, "blank lines": 0, "empty lists": 1}[name]


def test_a_packed_file_is_read_up_to_its_bound(tmp_path):
    cache = settings_in(tmp_path).telemetry_path
    cache.mkdir(parents=True)
    writer = zstandard.ZstdCompressor().compressobj()
    with (cache / "bomb.jsonl.zst").open("wb") as file:
        file.write(writer.compress(call_line("e1") + b"\n"))
        for _ in range(400):
            file.write(writer.compress(b"\n" * 1_000_000))
        file.write(writer.flush())
    peak, events, refused = peak_of(tmp_path)
    assert peak < 900
    assert (events, refused) == (1, 1)


def test_an_error_record_of_an_impossible_time_or_depth_costs_that_record(tmp_path):
    settings = settings_in(tmp_path)
    settings.error_records_path.mkdir(parents=True)
    record = {
        "id": "r1",
        "failure_type": "x",
        "error_category": "y",
        "error_message": "m",
        "created_at": "2026-11-01T00:00:00Z",
    }
    deep = json.loads("[" * 300 + "]" * 300)
    records = [
        record,
        record | {"id": "r2", "created_at": "0001-01-01T00:00:00+05:00"},
        record | {"id": "r3", "created_at": "9999-12-31T23:59:59-05:00"},
        record | {"id": "r4", "contributing_tools": deep},
        record | {"id": "r5"},
    ]
    lines = b"".join(json.dumps(one).encode() + b"\n" for one in records)
    (settings.error_records_path / "a.jsonl").write_bytes(lines)
    settings.telemetry_path.mkdir(parents=True)
    (settings.telemetry_path / "a.jsonl").write_bytes(call_line("e1") + b"\n")
    _, events, refused = peak_of(tmp_path)
    assert (events, refused) == (1, 3)


def test_the_index_forgets_a_renamed_file_without_looking_through_all_others(tmp_path):
    index = TelemetryIndex(settings_in(tmp_path))
    with index._open() as connection:
        (plan,) = connection.execute(
            "explain query plan delete from files indexed by files_by_inode where kind = ? and inode = ? "
            "and path <> ?",
            ("events", 1, "a"),
        ).fetchall()
    assert "inode=?" in plan["detail"]
