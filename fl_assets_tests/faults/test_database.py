"""Faults of the DuckDB file and its log; each test says what is survived (numbers are those of the list in
`docs/promises.md`).
"""

import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from fl_assets.infra.duckdb_file import WarehouseBusyError, WarehouseFileError, connect
from fl_assets.infra.result_files import ResultFileError
from fl_assets.infra.warehouse import Warehouse
from fl_assets.workspace import Workspace
from fl_assets_tests.build import DAY, pattern, patterns
from fl_assets_tests.conftest import settings_in
from fl_assets_tests.faults.whole import assert_warehouse

DAYS = [date(2026, 11, day) for day in range(1, 6)]


def members(*ids: str) -> pa.Table:
    return pa.table(
        {"pattern_id": ["p"] * len(ids), "message_id": list(ids)},
        schema=pa.schema([("pattern_id", pa.string()), ("message_id", pa.string())]),
    )


def warehouse_in(folder: Path) -> Warehouse:
    return Warehouse.at(folder / "warehouse.duckdb", lake_path=folder / "lake")


@pytest.fixture
def warehouse(tmp_path) -> Warehouse:
    """Five days of pattern members and one cycle row."""
    made = warehouse_in(tmp_path)
    made.create()
    made.replace_days(
        "pattern_members",
        {day: members(*(f"{day}-{number}" for number in range(50))) for day in DAYS},
        inputs=dict.fromkeys(DAYS, "events"),
    )
    made.upsert("learning_cycles", {"event_date": DAYS[0], "cycle_id": "run", "status": "completed"})
    return made


def state_of(warehouse: Warehouse) -> dict:
    """All that is stored, and what the manifests say of it."""
    names = ("pattern_members", "learning_cycles")
    return {
        (name, day): (warehouse.read_day(name, day), warehouse.manifest(name, day))
        for name in names
        for day in DAYS
    }


def of_a_newer_version(path: Path) -> None:
    """Give a database the storage version of a DuckDB that does not exist yet, with the checksum that it
    would have.
    """
    content = bytearray(path.read_bytes())
    content[12:20] = struct.pack("<Q", 2**20)
    checksum = 5381
    for (word,) in struct.iter_unpack("<Q", content[8:4096]):
        checksum ^= word * 0xBF58476D1CE4E5B9 & 2**64 - 1
    content[:8] = struct.pack("<Q", checksum)
    path.write_bytes(content)


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "somebody's").write_text("file")


UNREADABLE = {
    "a folder": a_folder,
    "an empty file": lambda path: path.write_bytes(b""),
    "a file of zeros": lambda path: path.write_bytes(bytes(20_000)),
    "a torn file": lambda path: os.truncate(path, path.stat().st_size // 3),
    "a newer version's file": of_a_newer_version,
}


@pytest.mark.parametrize("damage", UNREADABLE.values(), ids=UNREADABLE)
def test_case_6_a_database_that_cannot_be_read_is_named_left_alone_and_rebuilt_as_it_was(
    warehouse, tmp_path, damage
):
    before, path = state_of(warehouse), tmp_path / "warehouse.duckdb"
    damage(path)
    kept = sorted(path.iterdir()) if path.is_dir() else path.read_bytes()
    for _ in range(2):
        with pytest.raises(
            WarehouseFileError, match=r"(?s)cannot be opened as a DuckDB file.*fl-assets rebuild"
        ):
            warehouse_in(tmp_path).read_day("pattern_members", DAYS[0])
        assert (sorted(path.iterdir()) if path.is_dir() else path.read_bytes()) == kept
    done = warehouse_in(tmp_path).rebuild()
    (aside,) = done.moved
    assert (
        ([aside / file.name for file in kept] == sorted(aside.iterdir()))
        if aside.is_dir()
        else aside.read_bytes() == kept
    )
    assert (done.restored["pattern_members"], done.restored["learning_cycles"]) == (DAYS, DAYS[:1])
    assert state_of(warehouse_in(tmp_path)) == before
    assert_warehouse(path)


def test_a_database_that_is_gone_is_there_again_at_the_next_look(warehouse, tmp_path):
    before = state_of(warehouse)
    (tmp_path / "warehouse.duckdb").unlink()
    assert state_of(warehouse_in(tmp_path)) == before
    assert_warehouse(tmp_path / "warehouse.duckdb")


def test_a_rebuild_of_a_sound_database_changes_nothing(warehouse, tmp_path):
    before = {
        path: path.stat().st_mtime_ns for path in sorted((tmp_path / "warehouse.results").rglob("*.parquet"))
    }
    done = warehouse.rebuild()
    assert (sum(map(len, done.same.values())), done.moved) == (len(DAYS) + 1, [])
    assert not [
        days for by_table in (done.restored, done.written, done.lost) for days in by_table.values() if days
    ]
    assert {
        path: path.stat().st_mtime_ns for path in sorted((tmp_path / "warehouse.results").rglob("*.parquet"))
    } == before


def test_rows_that_were_lost_or_changed_in_silence_are_restored(warehouse, tmp_path):
    before = state_of(warehouse)
    with duckdb.connect(str(tmp_path / "warehouse.duckdb")) as connection:
        connection.execute(
            "delete from pattern_members where event_date = $day and message_id like '%7'", {"day": DAYS[1]}
        )
        connection.execute(
            "update pattern_members set message_id = 'other' where event_date = $day and message_id like "
            "'%-7'",
            {"day": DAYS[2]},
        )
    assert warehouse.rebuild().restored["pattern_members"] == DAYS[1:3]
    assert state_of(warehouse) == before


def test_a_days_file_that_is_damaged_or_gone_is_written_again_from_the_database(warehouse, tmp_path):
    before, files = state_of(warehouse), [warehouse.files.path("pattern_members", day) for day in DAYS]
    content = files[0].read_bytes()
    files[0].unlink()
    files[1].write_bytes(content[:100])
    middle = bytearray(files[2].read_bytes())
    middle[40:60] = bytes(20)
    files[2].write_bytes(middle)
    done = warehouse.rebuild()
    assert done.written["pattern_members"] == DAYS[:3]
    after = state_of(warehouse)
    assert {key: rows for key, (rows, _) in after.items()} == {key: rows for key, (rows, _) in before.items()}
    assert {key: manifest and manifest["content_hash"] for key, (_, manifest) in after.items()} == {
        key: manifest and manifest["content_hash"] for key, (_, manifest) in before.items()
    }
    assert_warehouse(tmp_path / "warehouse.duckdb")


def test_a_day_that_neither_database_nor_file_holds_is_named_and_can_be_made_anew(warehouse, tmp_path):
    (tmp_path / "warehouse.duckdb").unlink()
    file = warehouse.files.path("pattern_members", DAYS[0])
    file.write_bytes(b"PAR1" + bytes(100))
    with pytest.raises(
        ResultFileError, match=r"2026-11-01\.parquet is no file of results.*fl-assets rebuild"
    ):
        warehouse.read_day("pattern_members", DAYS[0])
    done = warehouse.rebuild()
    assert (done.lost["pattern_members"], done.restored["pattern_members"]) == (DAYS[:1], DAYS[1:])
    assert file.with_suffix(".parquet.damaged").exists()
    assert warehouse.manifest("pattern_members", DAYS[0]) is None
    assert warehouse.replace("pattern_members", DAYS[0], members("a")) == 1


def test_a_file_of_before_a_column_was_added_is_read_with_nulls_and_counts_as_the_same(warehouse, tmp_path):
    with duckdb.connect(str(tmp_path / "warehouse.duckdb")) as connection:
        connection.execute("alter table learning_cycles drop column updates_held")
    path = warehouse.files.path("learning_cycles", DAYS[0])
    rows, manifest = (
        warehouse.files.read("learning_cycles", DAYS[0]).drop_columns(["updates_held"]),
        warehouse.manifest("learning_cycles", DAYS[0]),
    )
    path.unlink()
    warehouse.files.publish(
        "learning_cycles", {DAYS[0]: warehouse.files.stage("learning_cycles", DAYS[0], rows, manifest)}
    )
    assert warehouse.rebuild().same["learning_cycles"] == DAYS[:1]


CRASH = """
import os, sys
from pathlib import Path
from fl_assets_tests.faults import test_database as here

class Until:
    \"""A connection of a process that is killed just before a statement.\"""
    def __getattr__(self, name): return getattr(real, name)
    def execute(self, sql, *given):
        if sql.startswith(sys.argv[2]): os.kill(os.getpid(), 9)
        return real.execute(sql, *given)

warehouse = here.warehouse_in(Path(sys.argv[1]))
with warehouse.session():
    real, warehouse._open = warehouse._open, Until()
    here.write_two_days(warehouse)
"""


def write_two_days(warehouse: Warehouse) -> None:
    warehouse.replace_days(
        "pattern_members", {day: members(*(f"new-{number}" for number in range(5000))) for day in DAYS[:2]}
    )


def kill_before(statement: str, folder: Path) -> None:
    """Kill a process that replaces two days just before a statement."""
    words = [sys.executable, "-W", "ignore", "-c", CRASH, str(folder), statement]
    assert subprocess.run(words, check=False, cwd=Path(__file__).parents[2]).returncode == -9


def crash_with_a_log(folder: Path) -> Path:
    """Kill a process between commit and checkpoint; return the log that it leaves."""
    kill_before("checkpoint", folder)
    return folder / "warehouse.duckdb.wal"


@pytest.mark.parametrize("statement", ["insert", "commit"])
def test_case_1_killed_between_deletion_and_insertion_a_day_is_as_it_was_and_a_rerun_gives_the_same(
    warehouse, tmp_path, statement
):
    before = state_of(warehouse)
    kill_before(statement, tmp_path)
    again = warehouse_in(tmp_path)
    if statement == "insert":
        assert state_of(again) == before
    else:  # its files were published, so that it counts
        assert [len(again.read_day("pattern_members", day)) for day in DAYS] == [5000, 5000, 50, 50, 50]
    write_two_days(again)
    after = {day: again.manifest("pattern_members", day) for day in DAYS[:2]}
    assert_warehouse(tmp_path / "warehouse.duckdb")
    write_two_days(warehouse_in(tmp_path / "undisturbed"))
    assert after == {
        day: warehouse_in(tmp_path / "undisturbed").manifest("pattern_members", day) for day in DAYS[:2]
    }


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x10
    path.write_bytes(content)


@pytest.mark.parametrize(
    "damage",
    [lambda _: None, Path.unlink, lambda path: os.truncate(path, path.stat().st_size // 2)],
    ids=["whole", "deleted", "cut"],
)
def test_case_5_what_a_log_lost_is_there_again_at_the_next_look(warehouse, tmp_path, damage):
    damage(crash_with_a_log(tmp_path))
    again = warehouse_in(tmp_path)
    assert [len(again.read_day("pattern_members", day)) for day in DAYS] == [5000, 5000, 50, 50, 50]
    assert_warehouse(tmp_path / "warehouse.duckdb")


def test_case_5_a_log_that_cannot_be_replayed_is_moved_aside_by_a_rebuild_and_nothing_is_lost(
    warehouse, tmp_path
):
    flip(crash_with_a_log(tmp_path))
    with pytest.raises(WarehouseFileError, match=r"(?s)WAL.*fl-assets rebuild"):
        warehouse_in(tmp_path).read_day("pattern_members", DAYS[0])
    again = warehouse_in(tmp_path)
    done = again.rebuild()
    assert [path.name for path in done.moved] == ["warehouse.duckdb.wal.aside-1"]
    assert done.restored["pattern_members"] == DAYS[:2]
    assert done.same["pattern_members"] == DAYS[2:]
    assert [len(again.read_day("pattern_members", day)) for day in DAYS] == [5000, 5000, 50, 50, 50]
    assert_warehouse(tmp_path / "warehouse.duckdb")


HOLD = """
import sys, duckdb
with duckdb.connect(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.readline()
"""
"""Somebody's SQL client."""


@contextmanager
def held(path: Path) -> Iterator[subprocess.Popen]:
    """Keep a database open in another process until it is written to, or the block ends."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def test_case_45_who_has_the_database_open_is_named_after_a_wait(warehouse, tmp_path):
    path = tmp_path / "warehouse.duckdb"
    with (
        held(path) as holder,
        pytest.raises(WarehouseBusyError, match=rf"is in use: waited.*PID {holder.pid}\b"),
        connect(path, wait_secs=0.5),
    ):
        pass


def test_case_45_two_commands_on_one_database_wait_for_each_other_and_for_a_client(tmp_path):
    settings = settings_in(tmp_path / "data")
    warehouse = Workspace(settings).warehouse
    warehouse.replace("failure_patterns", DAY, patterns(pattern()))
    environment = {**os.environ, "FEDERATED_LEARNING_DATA_PATH": str(settings.data_path)}
    words = [sys.executable, "-W", "ignore", "-m", "fl_assets.cli", "patterns", "--json"]
    with held(settings.warehouse_path) as holder:
        commands = [
            subprocess.Popen(
                words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
            for _ in range(2)
        ]
        try:
            with pytest.raises(subprocess.TimeoutExpired):
                commands[0].wait(timeout=8)
            assert commands[1].poll() is None
            holder.kill()
            told = [command.communicate(timeout=100) for command in commands]
        finally:
            for command in commands:
                command.kill()
                command.wait()
    assert [command.returncode for command in commands] == [0, 0], told
    assert told[0][0] == told[1][0]
    assert "p-timeout" in told[0][0]
