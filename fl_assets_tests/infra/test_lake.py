"""A day of a table is the old one or the new one, whatever happens in between."""

import os
import threading
import time
from datetime import date
from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fl_assets.infra.errors import LakeError
from fl_assets.infra.lake import Lake, Manifest

DAY, LATER = date(2026, 11, 1), date(2026, 11, 2)


def manifest(day: date = DAY, *, rows: int = 1, content_hash: str = "01", **given) -> Manifest:
    fields = {"version": 1, "source_files": ("a.jsonl",), "schema_version": 1, "duckdb_version": "2.0.0"}
    return Manifest(table="raw_traces", day=day, rows=rows, content_hash=content_hash, **(fields | given))


def writer(*values: int):
    return lambda path: pq.write_table(pa.table({"x": list(values)}), path)


def rows(lake: Lake, *days: date) -> list[int]:
    return [
        value
        for path in lake.files("raw_traces", days or [DAY])
        for value in pq.read_table(path, partitioning=None)["x"].to_pylist()
    ]


@pytest.fixture
def lake(tmp_path):
    return Lake(tmp_path / "lake")


def test_a_committed_day_is_found_and_agrees_with_its_manifest(lake):
    stored = lake.commit(manifest(rows=2), writer(1, 2))
    assert lake.manifest("raw_traces", DAY) == stored
    assert lake.days("raw_traces") == [DAY]
    assert rows(lake) == [1, 2]
    assert lake.verify("raw_traces", DAY) == []


def test_a_day_that_was_never_written_is_empty_and_not_wrong(lake):
    assert lake.manifest("raw_traces", DAY) is None
    assert lake.days("raw_traces") == []
    assert lake.files("raw_traces", [DAY]) == []
    assert lake.verify("raw_traces", DAY) == []


def test_a_new_commit_replaces_the_file_and_leaves_one(lake):
    lake.commit(manifest(), writer(1))
    lake.commit(manifest(rows=2, version=2), writer(1, 2))
    assert rows(lake) == [1, 2]
    assert len(list(lake.folder("raw_traces", DAY).glob("*.parquet"))) == 1


def test_a_manifest_alone_can_change(lake):
    stored = lake.commit(manifest(), writer(1))
    changed = lake.commit(stored.model_copy(update={"stats": {"duplicates": 3}}))
    assert changed.files == stored.files
    assert rows(lake) == [1]
    assert lake.verify("raw_traces", DAY) == []


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda path: path.unlink(), "no such file"),
        (lambda path: path.write_bytes(path.read_bytes()[:-7]), "damaged"),
        (
            lambda path: path.write_bytes(path.read_bytes()[:40] + bytes(8) + path.read_bytes()[48:]),
            "SHA-256",
        ),
        (lambda path: pq.write_table(pa.table({"x": [1, 1]}), path), "2 rows"),
    ],
    ids=["missing", "truncated", "zeroed", "replaced"],
)
def test_verify_sees_a_file_that_is_not_what_was_committed(lake, damage, says):
    lake.commit(manifest(rows=3), writer(1, 2, 3))
    damage(lake.files("raw_traces", [DAY])[0])
    (violation,) = lake.verify("raw_traces", DAY)
    assert violation.subject == f"raw_traces of {DAY}"
    assert says in violation.actual


def test_a_damaged_manifest_is_an_error_that_names_it(lake):
    lake.commit(manifest(), writer(1))
    path = lake.folder("raw_traces", DAY) / "manifest.json"
    path.write_text("{")
    with pytest.raises(LakeError, match=r"manifest\.json is not a manifest"):
        lake.manifest("raw_traces", DAY)


@pytest.mark.parametrize("more", [{}, {"what_a_later_release_adds": 1}])
def test_a_lake_of_a_later_release_is_refused_and_left_as_it_is(lake, more):
    lake.commit(manifest(), writer(1))
    path = lake.folder("raw_traces", DAY) / "manifest.json"
    later = orjson.dumps(orjson.loads(path.read_bytes()) | {"schema_version": 99} | more)
    path.write_bytes(later)
    for ask in (
        lambda: lake.manifest("raw_traces", DAY),
        lambda: lake.commit(manifest(rows=2), writer(1, 2)),
    ):
        with pytest.raises(LakeError, match=r"written by a later release \(schema 99, .*nothing was changed"):
            ask()
    assert path.read_bytes() == later


class CrashError(Exception):
    """Stands for the process dying."""


def crash_at(monkeypatch, step: int) -> None:
    """Let the step-th call that reaches the disk raise instead; FAULTS case 3."""
    calls = 0

    def counted(real):
        def call(*args, **kwargs):
            nonlocal calls
            calls += 1
            if calls == step:
                raise CrashError
            return real(*args, **kwargs)

        return call

    monkeypatch.setattr(os, "fsync", counted(os.fsync))
    for name in ("replace", "unlink"):
        monkeypatch.setattr(Path, name, counted(getattr(Path, name)))


def test_a_crash_at_any_step_of_a_commit_leaves_the_old_day_or_the_new_one(tmp_path):
    seen = []
    for step in range(1, 20):
        lake = Lake(tmp_path / str(step))
        lake.commit(manifest(), writer(1))
        with pytest.MonkeyPatch.context() as patch:
            crash_at(patch, step)
            try:
                lake.commit(manifest(rows=2, version=2), writer(2, 3))
                crashed = False
            except CrashError:
                crashed = True
        seen.append(rows(lake))
        assert seen[-1] in ([1], [2, 3])
        assert lake.verify("raw_traces", DAY) == []
        lake.clean()
        assert rows(lake) == seen[-1]
        assert len(list(lake.folder("raw_traces", DAY).iterdir())) == 2
        lake.commit(manifest(rows=2, version=2), writer(2, 3))
        assert rows(lake) == [2, 3]
        if not crashed:
            break
    assert not crashed, "the loop must have tried every step"
    assert [1] in seen
    assert seen.count([2, 3]) > 1, "a crash after the manifest's rename finds the new day"


def test_cleaning_removes_what_no_manifest_names_and_nothing_else(lake):
    lake.commit(manifest(), writer(1))
    folder = lake.folder("raw_traces", DAY)
    for name in ("rows.tmp", "0123.parquet", "manifest.json.tmp"):
        (folder / name).write_bytes(b"x")
    orphan = lake.folder("raw_traces", LATER)
    orphan.mkdir()
    (orphan / "rows.tmp").write_bytes(b"x")
    assert len(lake.clean()) == 4
    assert rows(lake) == [1]
    assert not orphan.exists()


def test_retention_removes_old_rows_and_keeps_what_their_manifests_say(lake):
    lake.commit(manifest(rows=2), writer(1, 2))
    lake.commit(manifest(LATER), writer(3))
    assert lake.expire(date(2026, 12, 1), 0) == []
    assert lake.expire(date(2026, 12, 1), 29) == [DAY]
    assert rows(lake, DAY, LATER) == [3]
    kept = lake.manifest("raw_traces", DAY)
    assert (kept.rows, kept.is_expired, kept.content_hash) == (2, True, "01")
    assert list(lake.folder("raw_traces", DAY).glob("*.parquet")) == []
    assert lake.verify("raw_traces", DAY) == []
    assert lake.expire(date(2026, 12, 1), 29) == []


def test_the_token_of_a_day_changes_with_its_content_only(lake):
    empty = lake.content_of(DAY)
    stored = lake.commit(manifest(), writer(1))
    token = lake.content_of(DAY)
    assert token != empty
    lake.commit(stored.model_copy(update={"stats": {"duplicates": 1}}))
    assert lake.content_of(DAY) == token
    lake.commit(manifest(content_hash="02"), writer(2))
    assert lake.content_of(DAY) != token


def test_who_waits_for_others_that_take_turns_waits_longer_than_for_one(lake):
    with lake.lock():
        waits = threading.Thread(target=lambda: _hold_for_a_moment(lake, 0.6))
        waits.start()
        for _ in range(5):  # turns of others, which let no time pass in between
            time.sleep(0.3)
            os.utime(lake.root / "ingest.lock")
        assert waits.is_alive()
    waits.join()
    assert (lake.root / "held").exists()


def _hold_for_a_moment(lake: Lake, wait_secs: float) -> None:
    with lake.lock(wait_secs):
        (lake.root / "held").touch()
