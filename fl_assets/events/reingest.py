"""Moving events that a wrong clock put on the wrong day.

What goes here: moving a day's events to the days of their own times. What does not: the day of an event when
it is read (`sql.py`), writing days (`commit.py`).

An event dated later than the coordinator's clock allows is stored on the day it was received, with its own
time beside it. So nothing needs to be read again, and deleted or replaced files do not matter. Events without
a time stay, as do refused lines.
"""

import os
from collections import defaultdict
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb

from fl_assets.core.tables import CONVERSATION_LOGS, RAW_TRACES, Table
from fl_assets.events.commit import Commit, Gain
from fl_assets.events.days import with_neighbours
from fl_assets.events.duplicates import ReplacedRows
from fl_assets.events.engine import DuckDBEngine
from fl_assets.events.sql import content_sql
from fl_assets.events.stage import PARQUET
from fl_assets.infra.lake import retry_on_conflict

_CONTENT = {RAW_TRACES: content_sql("trace"), CONVERSATION_LOGS: content_sql("turn")}
_READ = """read_parquet($files, filename = true, file_row_number = true, hive_partitioning = false,
    union_by_name = true)"""


@dataclass(frozen=True)
class Moved:
    """How many events were moved, and the days that changed."""

    events: int
    days: tuple[date, ...]


@retry_on_conflict
def decide_again(engine: DuckDBEngine, day: date) -> Moved:
    """Move events that were stored on a day for an impossible time to their own days, by the present clock.

    Their own days are written first: a crash in between leaves copies, which a second call removes.

    Args:
        engine: with the lake and the index.
        day: the day, UTC, that they were stored on.

    Raises:
        IngestBusyError: another process kept the ingestion lock for ten minutes.
    """
    latest = engine.now().replace(tzinfo=None) + timedelta(days=1)
    gone = ReplacedRows()
    with engine.lake.lock(), engine.connect_alone(threads=1) as connection:
        commit = Commit(connection, engine.lake, defaultdict(list), [])
        for table, content in _CONTENT.items():
            if not (files := engine.lake.paths(table.name, {day})):
                continue
            connection.execute(f"create or replace temp table fl_columns ({table.columns_sql})")
            connection.execute(
                f"""create or replace temp table fl_moved as
                    select *, timestamp::date as own_day, {content} as content
                    from (from fl_columns union all by name from {_READ})
                    where has_clock_skew and timestamp between $start and $latest
                        and timestamp::date <> $day""",  # noqa: S608 - our own names
                {"files": files, "start": engine.settings.start_date, "latest": latest, "day": day},
            )
            days = connection.execute("select distinct own_day from fl_moved order by all").fetchall()
            for (own,) in days:
                _bring(connection, commit, table, own, kept_on=day)
            for path, row, hashed in connection.execute(
                "select filename, file_row_number, content from fl_moved"
            ).fetchall():
                gone.of(table.name, day, path).drop(row, hashed)
        events = sum(len(one.rows) for found in gone.values() for one in found.values())
        commit.take_out(gone, {"clock_skewed": -events})
        engine.index.commit([], commit.days, engine.lake)
    return Moved(events, tuple(sorted(commit.days)))


def _bring(
    connection: duckdb.DuckDBPyConnection, commit: Commit, table: Table, own: date, *, kept_on: date
) -> None:
    """Add to one day its events that neither it nor its neighbours have."""
    beside = with_neighbours([own]) - {kept_on}
    known = "select null, null where false"
    given: dict[str, Any] = {"own": own}
    if files := commit.lake.paths(table.name, beside):
        known, given = f"select node_id, event_id from {_READ}", given | {"files": files}  # noqa: S608
    connection.execute(
        f"""create or replace temp table fl_brought as
            from fl_moved where own_day = $own and (node_id, event_id) not in ({known})""",
        given,
    )
    ((rows, content, sources),) = connection.execute(
        "select count(*), coalesce(sum(content), 0), list(distinct source_file) from fl_brought"
    ).fetchall()
    if not rows:
        return
    own_values = {"event_date": "own_day", "has_clock_skew": "false"}
    columns = ", ".join(f"{own_values.get(name, name)} as {name}" for name in table.column_names)
    sql = f"copy (select {columns} from fl_brought {table.order_sql}) to $path {PARQUET}"  # noqa: S608

    def write(path: Path) -> None:
        connection.execute(sql, {"path": os.fspath(path.resolve())})

    commit.add(table, own, Gain(rows, int(content), set(sources)), write)
