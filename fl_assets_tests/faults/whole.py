"""What must hold after every fault, in one place: no event is missing or stored twice, and manifests, tables and Parquet say the same.

Read with DuckDB and Parquet alone, and not with the code under test.
"""

from datetime import date
from pathlib import Path

import duckdb
import orjson
import pyarrow.parquet as pq

from fl_assets.storage.tables import LAKE_TABLES, WAREHOUSE_TABLES
from fl_assets.storage.workspace import Workspace

EVENTS = ("raw_traces", "conversation_logs")


def ids_in(cache: Path) -> set[str]:
    """The ids of all events in plain telemetry files."""
    return {orjson.loads(line)["event_id"] for path in sorted(cache.rglob("*.jsonl")) for line in path.read_bytes().splitlines()}


def assert_whole(space: Workspace, expected: set[str] | None = None) -> None:
    """Assert that the lake and the warehouse are whole.

    Args:
        space: what a fault was done to, and has been recovered.
        expected: ids of all events; None where nobody knows them.
    """
    _assert_lake(space.settings.lake_path, expected)
    assert_warehouse(space.settings.warehouse_path)


def _assert_lake(root: Path, expected: set[str] | None) -> None:
    ids: list[str] = []
    for table in LAKE_TABLES:
        for folder in sorted((root / table.name).glob("event_date=*")):
            manifest = orjson.loads((folder / "manifest.json").read_bytes())
            assert {path.name for path in folder.iterdir()} <= {"manifest.json", manifest["file"]}, f"{folder}: something was left behind"
            rows = pq.read_table(folder / manifest["file"], partitioning=None)
            assert (manifest["day"], manifest["rows"]) == (folder.name.removeprefix("event_date="), len(rows)), folder
            assert {str(day) for day in rows["event_date"].to_pylist()} <= {manifest["day"]}
            keys = list(zip(*(rows[name].to_pylist() for name in table.key), strict=True))
            assert table.name == "quarantined_events" or len(keys) == len(set(keys)), f"{folder}: a row twice"
            if table.name in EVENTS:
                ids += rows["event_id"].to_pylist()
    assert len(ids) == len(set(ids)), "an event twice"
    if expected is not None:
        assert set(ids) == expected


def assert_warehouse(path: Path) -> None:
    """Assert that the database, its files and their footers say the same, and that no key is there twice."""
    results = path.with_suffix(".results")
    assert not [left for left in results.rglob("*") if left.is_file() and left.suffix != ".parquet" and left.stat().st_size], "something was left behind"
    with duckdb.connect(str(path), read_only=True) as connection:
        for table in WAREHOUSE_TABLES:
            files = {date.fromisoformat(file.stem): file for file in sorted((results / table.name).glob("*.parquet"))}
            days = {day for (day,) in connection.execute(f"select distinct event_date from {table.name}").fetchall()}
            assert days <= files.keys(), f"{table.name}: days that only the database has"
            for day, file in files.items():
                stored = f"(from {table.name} where event_date = '{day}')"
                written = f"(from read_parquet('{file}', hive_partitioning = false))"
                for one, other in ((stored, written), (written, stored)):
                    assert connection.execute(f"from {one} except all from {other}").fetchall() == [], f"{table.name} {day}"
                ((rows, keys),) = connection.execute(f"select count(*), count(distinct ({', '.join(table.key)})) from {stored}").fetchall()
                assert rows == keys, f"{table.name} {day}: a row twice"
                assert rows == orjson.loads(pq.read_schema(file).metadata[b"fl_assets"])["rows"], f"{table.name} {day}"
