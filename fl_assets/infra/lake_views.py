"""Views over the Parquet files of the lake."""

import os
from collections.abc import Iterable
from datetime import date
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from fl_assets.core.tables import LAKE_TABLES, Table
from fl_assets.infra.lake import Lake
from fl_assets.infra.sql import literal

_USAGE = (
    "try_cast(metadata->>'input_tokens' as bigint) as input_tokens, "
    "try_cast(metadata->>'output_tokens' as bigint) as output_tokens, "
    "try_cast(metadata->>'cost_usd' as double) as cost_usd"
)
"""Columns that the warehouse's view `raw_traces` adds: tokens and cost, from a call's metadata."""


def view_days(connection: duckdb.DuckDBPyConnection, lake: Lake, table: Table, days: Iterable[date]) -> None:
    """Create a view over days of a lake table, or an empty table where there are no files."""
    if files := lake.paths(table.name, days):
        connection.read_parquet(files, hive_partitioning=False).create_view(table.name)
    else:
        connection.execute(table.ddl)


def create_views(connection: duckdb.DuckDBPyConnection, lake_path: Path) -> None:
    """Create the warehouse's view over each lake table, empty while it has no files."""
    for table in LAKE_TABLES:
        rows = _rows_of(connection, lake_path.resolve() / table.name)
        if not rows:
            nulls = ", ".join(f"null::{column.type} as {column.name}" for column in table.columns)
            rows = f"select {nulls} where false"
        if table.name == "raw_traces":
            rows = f"select *, {_USAGE} from ({rows})"  # noqa: S608 (our own SQL)
        connection.execute(f"create or replace view {table.name} as {rows}")


def _rows_of(connection: duckdb.DuckDBPyConnection, folder: Path) -> str:
    """Return a SELECT over all readable files of a lake table, '' where there are none."""
    if next(folder.glob("event_date=*/*.parquet"), None) is None:
        return ""
    everything = _select(literal(os.fspath(folder / "event_date=*" / "*.parquet")))
    try:
        connection.sql(everything)
    except duckdb.Error:
        readable = [path for path in sorted(folder.glob("event_date=*/*.parquet")) if _is_readable(path)]
        return _select(f"[{', '.join(literal(os.fspath(path)) for path in readable)}]") if readable else ""
    return everything


def _select(files: str) -> str:
    return f"select * from read_parquet({files}, union_by_name = true)"  # noqa: S608 (a view takes no parameters; paths are ours, quoted)


def _is_readable(path: Path) -> bool:
    try:
        pq.read_metadata(path)
    except (OSError, ValueError):
        return False
    return True
