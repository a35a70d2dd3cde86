"""Error records and evaluations: redacted, and staged for a commit, each id once.

Of each the version that was updated last stays, of equal times the one that was read last. An evaluation
replaces only those of the same node; error records have one writer.

What does not go here: events (`stage.py`, `duplicates.py`), the commit (`commit.py`).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import duckdb
import pyarrow as pa

from fl_assets.core.tables import ERROR_RECORDS, EVALUATIONS, Table
from fl_assets.events.duplicates import ReplacedRows
from fl_assets.events.event import event_day, parse_time
from fl_assets.infra.lake import Lake


@dataclass(frozen=True)
class SideTable:
    """A table of the lake beside those of events, the relation that its rows are staged in, and its id."""

    table: Table
    relation: str
    id: str
    owner: str | None = None
    """Column with the writer of a row, where there are several: nobody replaces another's."""


SIDE_TABLES = (
    SideTable(ERROR_RECORDS, "fl_records", "record_id"),
    SideTable(EVALUATIONS, "fl_evaluations", "evaluation_id", owner="node_id"),
)


def redacted_row(
    table: Table, row: dict[str, Any], of_text: Callable[[str], str], of_id: Callable[[str], str]
) -> dict[str, Any]:
    """Return a row with the columns of its table, redacted: columns `*_id` by `of_id`, texts by `of_text`."""
    found: dict[str, Any] = {}
    for column in table.columns:
        value = row.get(column.name)
        if isinstance(value, str) and column.type == "VARCHAR":
            value = of_id(value) if column.name.endswith("_id") else of_text(value)
        elif isinstance(value, list):
            value = [of_text(str(item)) for item in value]
        found[column.name] = value
    return found


def hashed_sql(table: Table, alias: str = "") -> str:
    """Return SQL for the hash of a row's content: all columns but its source."""
    names = (name for name in table.column_names if not name.startswith("source_"))
    return f"hash({', '.join(f'{alias}{name}' for name in names)})"


def stage(
    connection: duckdb.DuckDBPyConnection,
    lake: Lake,
    side: SideTable,
    rows: Iterable[dict[str, Any]],
    now: datetime,
    start: date,
) -> tuple[int, ReplacedRows]:
    """Stage redacted rows in the table's relation, each id once.

    A `timestamp` that cannot be read counts as `now`. Returns how many rows were staged, and the stored rows
    that they replace.
    """
    dated = []
    for row in rows:
        moment = parse_time(str(row["timestamp"])) or now
        day = event_day(moment, now, start)[0]
        updated = parse_time(str(row.get("updated_at"))) or moment
        times = {"timestamp": moment.replace(tzinfo=None), "updated_at": updated.replace(tzinfo=None)}
        dated.append({**row, **times, "event_date": day})
    of_one = f"{side.id}, {side.owner}" if side.owner else side.id
    connection.register("fl_given", pa.Table.from_pylist(dated, schema=side.table.arrow_schema))
    connection.execute(f"""
        create or replace temp table {side.relation} as
        select * exclude (place) from (select *, row_number() over () as place from fl_given) g
        qualify row_number() over (partition by {of_one} order by updated_at desc, place desc) = 1""")  # noqa: S608 - our own names
    connection.unregister("fl_given")
    replaced = _settled_with_stored(connection, lake, side) if dated else ReplacedRows()
    if side.owner:  # of two nodes with one id, the first stays
        connection.execute(f"""
            delete from {side.relation} where rowid not in (
                select arg_min(rowid, (event_date, timestamp, {side.owner})) from {side.relation}
                group by {side.id})""")  # noqa: S608
    return connection.execute(f"select count(*) from {side.relation}").fetchall()[0][0], replaced  # noqa: S608


def _settled_with_stored(connection: duckdb.DuckDBPyConnection, lake: Lake, side: SideTable) -> ReplacedRows:
    """Remove from the relation what the lake has already; return the stored rows to drop."""
    name, replaced = side.table.name, ReplacedRows()
    if not (files := lake.paths(name, lake.days(name))):
        return replaced
    connection.execute(f"create or replace temp table fl_columns ({side.table.columns_sql})")
    connection.execute(
        f"""create or replace temp table fl_known as
            with stored as (
                from fl_columns union all by name
                from read_parquet($files, filename = true, file_row_number = true,
                    hive_partitioning = false, union_by_name = true))
            select s.event_date, s.filename, s.file_row_number, {hashed_sql(side.table, "s.")} as content,
                n.rowid as row_id, {_gives_way_sql(side)} as gives_way
            from stored s join {side.relation} n using ({side.id})""",  # noqa: S608 - our own names
        {"files": files},
    )
    connection.execute(
        f"""delete from {side.relation} where rowid in (
            select row_id from fl_known where not gives_way)"""  # noqa: S608 - our own names
    )
    for day, path, row, content in connection.execute(
        "select event_date, filename, file_row_number, content from fl_known where gives_way"
    ).fetchall():
        replaced.of(name, day, path).drop(row, content)
    return replaced


def _gives_way_sql(side: SideTable) -> str:
    is_own = f"s.{side.owner} is not distinct from n.{side.owner}" if side.owner else "true"
    is_other = f"{hashed_sql(side.table, 's.')} <> {hashed_sql(side.table, 'n.')}"
    return f"{is_own} and {is_other} and coalesce(n.updated_at >= s.updated_at, true)"
