"""What must hold after every fault, in one place: no event is missing or stored twice, and manifests, tables
and Parquet say the same.

Read with DuckDB and Parquet alone, and not with the code under test.
"""

import gzip
import json
from contextlib import suppress
from datetime import date
from pathlib import Path

import duckdb
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from fl_assets.core.tables import LAKE_TABLES, WAREHOUSE_TABLES
from fl_assets.workspace import Workspace

EVENTS = ("raw_traces", "conversation_logs")


def ids_in(cache: Path) -> dict[tuple[str, int], str]:
    """The ids of all events in telemetry files, by file and line; lines that are no JSON have none.

    NaN, what is no UTF-8 and NUL bytes in between cost a value at most, not their line.
    """
    found = {}
    for path in sorted(cache.rglob("*.jsonl*")):
        opener = {".gz": gzip.open, ".zst": zstandard.open}.get(path.suffix, open)
        with opener(path, "rb") as file:
            lines = file.read().split(b"\n")
        for number, line in enumerate(lines, start=1):
            with suppress(ValueError, KeyError, TypeError, RecursionError):
                text = line.removeprefix(b"\xef\xbb\xbf").replace(b"\0", b"").decode(errors="replace")
                event = json.loads(text)
                found[str(path.relative_to(cache)), number] = event["event_id"]
    return found


def assert_whole(
    space: Workspace, expected: dict[tuple[str, int], str] | None = None, *, is_at_rest: bool = True
) -> None:
    """Assert that the lake and the warehouse are whole.

    Args:
        space: what a fault was done to, and has been recovered.
        expected: what `ids_in` found; each is stored, or its line is in quarantine. None where nobody knows.
        is_at_rest: whether something has run to its end since the fault; until then, what was begun may
            lie about, and nothing may be there at all.
    """
    assert_lake(space.settings.lake_folder, expected, is_at_rest=is_at_rest)
    if is_at_rest or space.settings.warehouse_path.exists():
        with space.warehouse.session():
            pass  # a first look mends what a crash left behind
        assert_warehouse(space.settings.warehouse_path, is_at_rest=is_at_rest)


def assert_lake(root: Path, expected: dict[tuple[str, int], str] | None, *, is_at_rest: bool = True) -> None:
    """Assert that a lake's folder is whole; arguments as of `assert_whole`."""
    ids: list[str] = []
    refused: set[tuple[str, int]] = set()
    for table in LAKE_TABLES:
        for folder in sorted((root / table.name).glob("event_date=*")):
            if not is_at_rest and not (folder / "manifest.json").exists():
                continue
            manifest = orjson.loads((folder / "manifest.json").read_bytes())
            if manifest["is_expired"]:
                assert [path.name for path in folder.iterdir()] == ["manifest.json"], (
                    f"{folder}: something was left behind"
                )
                continue
            files = [file["name"] for file in manifest["files"]]
            assert not is_at_rest or {path.name for path in folder.iterdir()} <= {"manifest.json", *files}, (
                f"{folder}: something was left behind"
            )
            rows = pa.concat_tables(pq.read_table(folder / name, partitioning=None) for name in files)
            assert (manifest["day"], manifest["rows"]) == (
                folder.name.removeprefix("event_date="),
                len(rows),
            ), folder
            assert {str(day) for day in rows["event_date"].to_pylist()} <= {manifest["day"]}
            keys = list(zip(*(rows[name].to_pylist() for name in table.key), strict=True))
            assert table.name == "quarantined_events" or len(keys) == len(set(keys)), f"{folder}: a row twice"
            if table.name == "quarantined_events":
                refused |= set(keys)
            if table.name in EVENTS:
                ids += rows["event_id"].to_pylist()
    assert len(ids) == len(set(ids)), "an event twice"
    if expected is not None:
        assert set(ids) == {event_id for place, event_id in expected.items() if place not in refused}


def assert_warehouse(path: Path, *, is_at_rest: bool = True) -> None:
    """Assert that the database, its files and their footers say the same, and that no key is there twice."""
    results = path.with_suffix(".results")
    assert not is_at_rest or not [
        left
        for left in results.rglob("*")
        if left.is_file() and left.suffix != ".parquet" and left.stat().st_size
    ], "something was left behind"
    with duckdb.connect(str(path), read_only=True) as connection:
        for table in WAREHOUSE_TABLES:
            files = {
                date.fromisoformat(file.stem): file
                for file in sorted((results / table.name).glob("*.parquet"))
            }
            days = {
                day
                for (day,) in connection.execute(f"select distinct event_date from {table.name}").fetchall()
            }
            assert days <= files.keys(), f"{table.name}: days that only the database has"
            for day, file in files.items():
                stored = f"(from {table.name} where event_date = '{day}')"
                written = f"(from read_parquet('{file}', hive_partitioning = false))"
                for one, other in ((stored, written), (written, stored)):
                    assert connection.execute(f"from {one} except all from {other}").fetchall() == [], (
                        f"{table.name} {day}"
                    )
                ((rows, keys),) = connection.execute(
                    f"select count(*), count(distinct ({', '.join(table.key)})) from {stored}"
                ).fetchall()
                assert rows == keys, f"{table.name} {day}: a row twice"
                assert rows == orjson.loads(pq.read_schema(file).metadata[b"fl_assets"])["rows"], (
                    f"{table.name} {day}"
                )
