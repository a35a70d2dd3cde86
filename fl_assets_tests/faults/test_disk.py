"""Faults of the disk: a call that fails, and a disk that is full; each test says what is survived (numbers
are those of the list in `docs/promises.md`).
"""

import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from fl_assets.adapters.folder import AdapterStoreError
from fl_assets.adapters.store import AdapterStore
from fl_assets.core.cycles import Window
from fl_assets.core.tables import LAKE_TABLES
from fl_assets.infra.cycle_log import CycleLog
from fl_assets.workspace import Workspace
from fl_assets_tests.adapter_servers import NOW, adapter_settings
from fl_assets_tests.adapters.test_store import NAME, FolderSource, take
from fl_assets_tests.build import DAY, call_line, playbook, turn_line
from fl_assets_tests.conftest import settings_in
from fl_assets_tests.faults.disk import FailingDisk
from fl_assets_tests.faults.test_database import members
from fl_assets_tests.faults.whole import assert_whole, ids_in

NEXT = DAY + timedelta(days=1)
RESULTS = ("pattern_members", "playbooks", "learning_cycles")


def write(path: Path, *lines: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\n".join(lines) + b"\n")


def first_files(cache: Path) -> None:
    write(cache / "a.jsonl", call_line("a1"), turn_line("a2"), b"no json")


def more_files(cache: Path) -> None:
    """Late events for the first day, the first ones of the next, a duplicate and a bad line."""
    late = [call_line("b1", success=False, error="Timeout"), turn_line("b2"), call_line("a1"), b"neither"]
    write(
        cache / "b.jsonl",
        *late,
        call_line("b3", timestamp=f"{NEXT}T09:00:00Z"),
        turn_line("b4", timestamp=f"{NEXT}T09:00:00Z"),
    )


def ingest(space: Workspace) -> None:
    space.engine.ingest()


def store(space: Workspace, word: str = "new") -> None:
    """Store a day's results after a later day's, so that the later playbooks are renumbered too."""
    log = CycleLog(space.warehouse)
    log.begin(word, Window((DAY,), 3, 1))
    space.warehouse.replace_days(
        "pattern_members", {day: members(f"{word}-1", f"{word}-{day}") for day in (DAY, NEXT)}
    )
    space.playbooks.replace(DAY, [playbook(day=DAY, description=f"{word}.")])
    log.finish(word, DAY, "completed", "fine")


def states(space: Workspace) -> dict[tuple[str, date], Any]:
    """What each day of each table holds, but for times of the clock."""
    with space.warehouse.session():
        rows = {
            (name, day): [
                {column: value for column, value in row.items() if not column.endswith("_time")}
                for row in space.warehouse.read_day(name, day)
            ]
            for name in RESULTS
            for day in (DAY, NEXT)
        }
    manifests = {
        (table.name, day): space.lake.manifest(table.name, day)
        for table in LAKE_TABLES
        for day in space.lake.days(table.name)
    }
    return rows | {
        key: (manifest.content_hash, manifest.rows) for key, manifest in manifests.items() if manifest
    }


@pytest.mark.faults
@pytest.mark.parametrize("act", [ingest, store])
def test_case_3_whichever_call_fails_each_day_is_old_or_new_and_a_rerun_finishes(tmp_path, act):
    cache, before = tmp_path / "cache", tmp_path / "before"
    first_files(cache)
    space = Workspace(settings_in(before, telemetry_path=cache))
    ingest(space)
    space.playbooks.replace(NEXT, [playbook(day=NEXT, description="later.")])
    store(space, "old")
    old = states(space)
    more_files(cache)

    def tried(name: str, fail_at: int) -> tuple[FailingDisk, Workspace, Exception | None]:
        shutil.copytree(before, tmp_path / name)
        tried_in, disk = Workspace(settings_in(tmp_path / name, telemetry_path=cache)), FailingDisk(fail_at)
        with disk.in_use():
            try:
                act(tried_in)
            except (OSError, duckdb.Error) as error:
                return disk, tried_in, error
        return disk, tried_in, None

    never, done, error = tried("never", 0)
    assert error is None
    new = states(done)
    assert new != old
    kinds, raised = set(never.calls), 0
    assert kinds >= (
        {"open", "write", "fsync", "replace", "copy", "commit"}
        if act is ingest
        else {"open", "write", "fsync", "replace", "checkpoint", "commit"}
    )
    for number in range(1, len(never.calls) + 1):
        disk, space, error = tried("tried", number)
        assert disk.has_failed
        raised += error is not None
        assert_whole(space, is_at_rest=False)
        found = states(space)
        assert {key for key, value in found.items() if value not in (old.get(key), new.get(key))} <= {
            ("learning_cycles", DAY)
        }, disk.calls[-1]
        act(space)
        assert_whole(space, ids_in(cache) if act is ingest else None)
        again = states(space)
        assert {key: value for key, value in again.items() if value != new[key]}.keys() <= {
            ("learning_cycles", DAY)
        }, disk.calls[-1]
        assert {row["status"] for row in again["learning_cycles", DAY]} == {"completed"}
        shutil.rmtree(tmp_path / "tried")
    assert raised > len(never.calls) / 2, "most failures must be told"


# A disk that is really full: what DuckDB and SQLite do inside a statement fails too

FILL = """
import resource, signal, sys
from pathlib import Path
from fl_assets.workspace import Workspace
from fl_assets_tests.conftest import settings_in
from fl_assets_tests.faults import test_disk as here
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]),) * 2)
here.many(Workspace(settings_in(Path(sys.argv[1]), telemetry_path=Path(sys.argv[2]))))
"""


def many(space: Workspace) -> None:
    """Store more than a small disk holds."""
    ids = [f"new-{number}-{number * 7919 % 100_003}" for number in range(60_000)]
    space.warehouse.replace_days("pattern_members", {day: members(*ids) for day in (DAY, NEXT)})


def fill(space: Workspace, limit: int = 2**40) -> str:
    """Store it in a process whose files may not exceed `limit` bytes; return its standard error."""
    words = [
        sys.executable,
        "-W",
        "ignore",
        "-c",
        FILL,
        str(space.settings.data_path),
        str(space.settings.telemetry_path),
        str(limit),
    ]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert (done.returncode == 0) == (done.stderr == "")
    return done.stderr


@pytest.fixture
def stored(tmp_path) -> Workspace:
    """A day of events and of results."""
    first_files(tmp_path / "cache")
    space = Workspace(settings_in(tmp_path / "data", telemetry_path=tmp_path / "cache"))
    ingest(space)
    store(space, "old")
    return space


@pytest.mark.faults
def test_case_4_a_database_that_may_not_grow_fails_with_the_files_name_and_leaves_each_day_old_or_new(stored):
    old, size = states(stored), stored.settings.warehouse_path.stat().st_size
    told = fill(stored, limit=size + 100_000)
    assert "warehouse.duckdb" in told.splitlines()[-1] or "warehouse.results" in told.splitlines()[-1], told
    assert_whole(stored, ids_in(stored.settings.telemetry_path))
    found = states(stored)
    assert {key for key in old if found[key] != old[key] and len(found[key]) != 60_000} == set()
    assert fill(stored) == ""
    assert_whole(stored, ids_in(stored.settings.telemetry_path))
    assert len(stored.warehouse.read_day("pattern_members", DAY)) == 60_000


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A disk of 24 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "none", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"no small disk can be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.faults
def test_case_4_a_disk_that_is_full_leaves_each_day_old_or_new_and_goes_on_once_there_is_space(
    tmp_path, small_disk
):
    cache = tmp_path / "cache"
    first_files(cache)
    space = Workspace(settings_in(small_disk / "data", telemetry_path=cache))
    ingest(space)
    store(space, "old")
    more_files(cache)
    filler, failures = small_disk / "filler", []
    free = shutil.disk_usage(small_disk).free
    for left in (0, 8_192, 65_536, 262_144, 600_000, 1_000_000, 2_000_000, 3_000_000):
        with filler.open("wb") as file, suppress(OSError):
            for _ in range((free - left) // 4096):
                file.write(bytes(4096))
        old = states(space)
        for act in (ingest, many):
            try:
                act(space)
            except (OSError, duckdb.Error, sqlite3.Error) as error:
                failures.append((act.__name__, str(error)))
        filler.unlink()
        assert_whole(space, is_at_rest=False)
        found = states(space)
        assert all(
            len(found["pattern_members", day]) in (len(old["pattern_members", day]), 60_000)
            for day in (DAY, NEXT)
        )
        store(space, "old")
    assert {name for name, _ in failures} == {"ingest", "many"}
    assert [message for _, message in failures if not re.search("space|full", message)] == []
    ingest(space)
    many(space)
    assert_whole(space, ids_in(cache))
    assert len(space.warehouse.read_day("pattern_members", NEXT)) == 60_000


@pytest.mark.faults
def test_case_4_an_adapter_that_does_not_fit_leaves_the_one_in_use_and_nothing_else(tmp_path, small_disk):
    source = FolderSource()
    for version in ("1.0.0", "2.0.0"):
        source.publish(version)
    settings = adapter_settings(small_disk)
    store = AdapterStore(settings, sources=[source])
    take(store, "1.0.0")
    before = sorted(path.name for path in store.root.rglob("*"))
    filler = small_disk / "filler"
    with filler.open("wb") as file, suppress(OSError):
        for _ in range(shutil.disk_usage(small_disk).free // 4096 - 1):
            file.write(bytes(4096))
    with pytest.raises((OSError, AdapterStoreError), match="space"):
        store.stage(NAME, "2.0.0", now=NOW)
    assert store.current(NAME).version == "1.0.0"
    assert sorted(path.name for path in store.root.rglob("*")) == before
    assert store.verify(NAME, "1.0.0") == []
    filler.unlink()
    assert take(store, "2.0.0").to_version == "2.0.0"
