"""How sessions ended is counted day by day, however many days one statement counts."""

from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fl_assets.core.tables import CONVERSATION_LOGS, RAW_TRACES
from fl_assets.updates import end_store
from fl_assets.updates.end_store import EndStore

DAYS = [date(2026, 11, 1) + timedelta(days=number) for number in range(3)]


@dataclass
class Manifest:
    rows: int


class Lake:
    """Days with the same ids of events and traces, whose sessions differ."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        for number, day in enumerate(DAYS):
            calls = [
                {
                    "event_date": day,
                    "event_id": f"e{call}",
                    "trace_id": f"t{call % 4}",
                    "node_id": f"n{call % 3}",
                    "service": "s",
                    "method": f"m{call % 2}",
                    "timestamp": datetime(2026, 11, day.day, call),  # noqa: DTZ001 - as stored
                    "success": (call + number) % 3 > 0,
                    "error": f"cannot reach host {'abc'[(call + number) % 3]}",
                    "metadata": "{}",
                }
                for call in range(12)
            ]
            turns = [
                {"event_date": day, "trace_id": f"t{turn}", "session_id": f"s{turn % (number + 1)}"}
                for turn in range(number)
            ]
            for table, rows in ((RAW_TRACES, calls), (CONVERSATION_LOGS, turns)):
                if rows:
                    path = folder / f"{table.name}-{day}.parquet"
                    pq.write_table(pa.Table.from_pylist(rows, schema=table.arrow_schema), path)

    def paths(self, table, days):
        return [str(path) for path in self.files(table, days)]

    def files(self, table, days):
        return [path for day in days if (path := self._folder / f"{table}-{day}.parquet").exists()]

    def content_of(self, day):
        return str(day)

    def manifest(self, table, day):
        found = self.files(table, [day])
        return Manifest(pq.read_metadata(found[0]).num_rows) if found else None


@contextmanager
def connect():
    with duckdb.connect() as connection:
        yield connection


@pytest.fixture
def lake(tmp_path) -> Lake:
    (tmp_path / "lake").mkdir()
    return Lake(tmp_path / "lake")


def counted(folder: Path, lake: Lake, days) -> list[tuple]:
    rows = EndStore(folder, SimpleNamespace(lake=lake, connect=connect)).read("from ends", days, {})
    return sorted(map(repr, rows.itertuples(index=False)))


def test_days_counted_together_count_as_each_alone(tmp_path, lake):
    together = counted(tmp_path / "together", lake, DAYS)
    alone = [row for day in DAYS for row in counted(tmp_path / "alone", lake, [day])]
    assert together == sorted(alone)
    names = [sorted(path.name for path in (tmp_path / one).iterdir()) for one in ("together", "alone")]
    assert names[0] == names[1]
    assert [name[:10] for name in names[0]] == [str(day) for day in DAYS]


@pytest.mark.parametrize(("most", "statements"), [(1, 3), (25, 2), (1000, 1)])
def test_a_statement_counts_days_as_long_as_they_are_small(tmp_path, lake, monkeypatch, most, statements):
    monkeypatch.setattr(end_store, "_EVENTS_TOGETHER", most)
    groups, real = [], EndStore._count
    monkeypatch.setattr(EndStore, "_count", lambda self, paths: groups.append([*paths]) or real(self, paths))
    store = EndStore(tmp_path / "ends", SimpleNamespace(lake=lake, connect=connect))
    for _ in range(2):
        assert store.read("from ends", DAYS, {}) is not None
    assert len(groups) == statements
    assert [day for group in groups for day in group] == DAYS
