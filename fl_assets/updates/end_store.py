"""How sessions ended, counted from the lake once per day and kept beside the history of updates.

What goes here: one Parquet file per day, rewritten when the day's events change. What does not: the statement
(`updates/ends.py`).
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from datetime import date
from io import BytesIO
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa
from pyarrow import parquet

from fl_assets.infra.disk import write_atomically
from fl_assets.infra.lake import Lake
from fl_assets.updates.ends import ends_sql

KEPT_DAYS = 120
"""Days whose files are kept: a trial looks back over its baseline, its stages and its watch."""

Connect = Callable[[], AbstractContextManager[duckdb.DuckDBPyConnection]]


class EndStore:
    """Files of `event_date, node_id, service, method, message_id, sessions`; see `ends_sql`."""

    def __init__(self, folder: Path, lake: Lake, connect: Connect) -> None:
        self._folder = folder
        self._lake = lake
        self._connect = connect

    def read(self, sql: str, days: Iterable[date], given: Mapping[str, pd.DataFrame]) -> pd.DataFrame | None:
        """Run a statement over the view `ends` of some days; None when none of them has calls.

        Args:
            sql: The statement.
            days: Days in the view.
            given: Further relations of the statement, by name.
        """
        tables = [parquet.read_table(path) for path in self._files(days)]
        if not tables:
            return None
        with self._connect() as connection:
            connection.register("ends", pa.concat_tables(tables))
            for name, frame in given.items():
                connection.register(name, frame)
            return connection.sql(sql).df()

    def _files(self, days: Iterable[date]) -> list[Path]:
        """Return the files of the days with calls, after counting what is missing or out of date."""
        found = []
        self._folder.mkdir(parents=True, exist_ok=True)
        for day in sorted(set(days)):
            traces = self._lake.files("raw_traces", [day])
            if not traces:
                continue
            made_from = f"{ends_sql('t', 'l')}\n{self._lake.content_of(day)}"
            path = self._folder / f"{day}-{hashlib.sha256(made_from.encode()).hexdigest()[:16]}.parquet"
            if not path.exists():
                for outdated in self._folder.glob(f"{day}-*.parquet"):
                    outdated.unlink(missing_ok=True)
                self._count(path, traces, self._lake.files("conversation_logs", [day]))
            found.append(path)
        for outdated in sorted(self._folder.glob("*.parquet"))[: -2 * KEPT_DAYS]:
            outdated.unlink(missing_ok=True)
        return found

    def _count(self, path: Path, traces: list[Path], logs: list[Path]) -> None:
        content = BytesIO()
        with self._connect() as connection:
            given = [os.fspath(one.resolve()) for one in traces]
            connection.read_parquet(given, hive_partitioning=False).create_view("fl_traces")
            connection.execute("create temp table fl_logs (trace_id varchar, session_id varchar)")
            if logs:
                given = [os.fspath(one.resolve()) for one in logs]
                connection.read_parquet(given, hive_partitioning=False).create_view("fl_all_logs")
                connection.execute("insert into fl_logs select trace_id, session_id from fl_all_logs")
            parquet.write_table(connection.sql(ends_sql("fl_traces", "fl_logs")).to_arrow_table(), content)
        write_atomically(path, content.getvalue())
