"""How sessions ended, counted from the lake once per day and kept beside the history of updates.

What goes here: one Parquet file per day, rewritten when the day's events change. What does not: the statement
(`updates/ends.py`).
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from io import BytesIO
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from fl_assets.events.engine import DuckDBEngine
from fl_assets.infra.disk import write_atomically
from fl_assets.updates.ends import ends_sql

KEPT_DAYS = 120
"""Days whose files are kept: a trial looks back over its baseline, its stages and its watch."""
_EVENTS_TOGETHER = 100_000
"""Events that are counted by one statement, unless a day has more."""
_TRACES, _LOGS = "fl_traces", "fl_logs"


@dataclass(frozen=True)
class EndStore:
    """Files of `event_date, node_id, service, method, message_id, sessions`; see `ends_sql`."""

    folder: Path
    engine: DuckDBEngine

    def read(self, sql: str, days: Iterable[date], given: Mapping[str, pd.DataFrame]) -> pd.DataFrame | None:
        """Run a statement over the view `ends` of some days; None when none of them has calls.

        `given` has further relations of the statement, by name.
        """
        tables = [parquet.read_table(path) for path in self._files(days)]
        if not tables:
            return None
        with self.engine.connect() as connection:
            connection.register("ends", pa.concat_tables(tables))
            for name, frame in given.items():
                connection.register(name, frame)
            return connection.sql(sql).df()

    def _files(self, days: Iterable[date]) -> list[Path]:
        """Return the files of the days with calls, after counting what is missing or out of date."""
        found: dict[date, Path] = {}
        self.folder.mkdir(parents=True, exist_ok=True)
        statement = ends_sql(_TRACES, _LOGS)
        for day in sorted(set(days)):
            if self.engine.lake.files("raw_traces", [day]):
                made_from = f"{statement}\n{self.engine.lake.content_of(day)}"
                name = f"{day}-{hashlib.sha256(made_from.encode()).hexdigest()[:16]}.parquet"
                found[day] = self.folder / name
        missing = {day: path for day, path in found.items() if not path.exists()}
        for day in missing:
            for outdated in self.folder.glob(f"{day}-*.parquet"):
                outdated.unlink(missing_ok=True)
        for together in self._by_size(missing):
            self._count({day: missing[day] for day in together})
        for outdated in sorted(self.folder.glob("*.parquet"))[: -2 * KEPT_DAYS]:
            outdated.unlink(missing_ok=True)
        return list(found.values())

    def _by_size(self, days: Iterable[date]) -> Iterator[list[date]]:
        """Put days together that have few events: planning the statement takes as long as 20 000 of them."""
        together: list[date] = []
        size = 0
        for day in days:
            manifests = (
                self.engine.lake.manifest(table, day) for table in ("raw_traces", "conversation_logs")
            )
            events = sum(manifest.rows for manifest in manifests if manifest)
            if together and size + events > _EVENTS_TOGETHER:
                yield together
                together, size = [], 0
            together.append(day)
            size += events
        if together:
            yield together

    def _count(self, paths: Mapping[date, Path]) -> None:
        """Count some days, and write the file of each."""
        with self.engine.connect() as connection:
            given = self.engine.lake.paths("raw_traces", paths)
            connection.read_parquet(given, hive_partitioning=False).create_view(_TRACES)
            connection.execute(
                f"create temp table {_LOGS} (event_date date, trace_id varchar, session_id varchar)"
            )
            if given := self.engine.lake.paths("conversation_logs", paths):
                connection.read_parquet(given, hive_partitioning=False).create_view("fl_all_logs")
                connection.execute(
                    f"insert into {_LOGS} select event_date, trace_id, session_id from fl_all_logs"  # noqa: S608 - our own names
                )
            rows = connection.sql(ends_sql(_TRACES, _LOGS)).to_arrow_table()
        for day, path in paths.items():
            content = BytesIO()
            parquet.write_table(rows.filter(pc.field("event_date") == day), content)
            write_atomically(path, content.getvalue())
