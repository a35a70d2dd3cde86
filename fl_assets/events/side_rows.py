"""Rows that come beside events: error records and evaluations, redacted, each id once.

What goes here: from what formats give of them to relations that are committed by day. What does not: events
(`stage.py`, `duplicates.py`), the commit (`commit.py`).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import duckdb
import pyarrow as pa

from fl_assets.core.tables import ERROR_RECORDS, EVALUATIONS, Table
from fl_assets.events.event import event_day, parse_time
from fl_assets.infra.lake import Lake


@dataclass(frozen=True)
class SideTable:
    """A table of the lake whose rows are no events, the relation they are staged in, and their id."""

    table: Table
    relation: str
    id: str


SIDE_TABLES = (
    SideTable(ERROR_RECORDS, "fl_records", "record_id"),
    SideTable(EVALUATIONS, "fl_evaluations", "evaluation_id"),
)


def redacted_row(
    table: Table, row: dict[str, Any], of_text: Callable[[str], str], of_id: Callable[[str], str]
) -> dict[str, Any]:
    """Return a row with the columns of its table, redacted: its ids by `of_id`, its other texts by `of_text`.

    What ends in `_id` is an id.
    """
    found: dict[str, Any] = {}
    for column in table.columns:
        value = row.get(column.name)
        if isinstance(value, str) and column.type == "VARCHAR":
            value = of_id(value) if column.name.endswith("_id") else of_text(value)
        elif isinstance(value, list):
            value = [of_text(str(item)) for item in value]
        found[column.name] = value
    return found


def stage(
    connection: duckdb.DuckDBPyConnection,
    lake: Lake,
    side: SideTable,
    rows: Iterable[dict[str, Any]],
    now: datetime,
    start: date,
) -> int:
    """Stage redacted rows in the table's relation: each id once, and none that the lake has.

    Args:
        connection: in which the relation is made.
        lake: with the rows that came before.
        side: which table.
        rows: with a `timestamp` as text; one that cannot be read is `now`.
        now: the time of ingestion.
        start: first day that there is.
    """
    dated = []
    for row in rows:
        moment = parse_time(str(row["timestamp"])) or now
        day = event_day(moment, now, start)[0]
        dated.append({**row, "timestamp": moment.replace(tzinfo=None), "event_date": day})
    connection.register("fl_given", pa.Table.from_pylist(dated, schema=side.table.arrow_schema))
    connection.execute(f"""
        create or replace temp table {side.relation} as select * from fl_given
        qualify row_number() over (partition by {side.id} order by event_date, timestamp,
            hash(fl_given)) = 1""")  # noqa: S608 - our own names
    connection.unregister("fl_given")
    name = side.table.name
    if dated and (files := lake.files(name, lake.days(name))):
        connection.execute(
            f"""delete from {side.relation} where {side.id} in (
                select {side.id} from read_parquet($files, hive_partitioning = false))""",  # noqa: S608
            {"files": [str(path.resolve()) for path in files]},
        )
    return connection.execute(f"select count(*) from {side.relation}").fetchall()[0][0]  # noqa: S608
