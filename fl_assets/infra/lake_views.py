"""Views of the warehouse over the Parquet files of the lake."""

import os
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from fl_assets.core.tables import LAKE_TABLES
from fl_assets.infra.sql import literal

_USAGE = (
    "try_cast(metadata->>'input_tokens' as bigint) as input_tokens, "
    "try_cast(metadata->>'output_tokens' as bigint) as output_tokens, "
    "try_cast(metadata->>'cost_usd' as double) as cost_usd"
)
"""Columns of the view `raw_traces` beside those that are stored: tokens and cost, from a call's metadata."""


def create_views(connection: duckdb.DuckDBPyConnection, lake_path: Path) -> None:
    """Create a view over each lake table, empty while it has no files."""
    for table in LAKE_TABLES:
        rows = _rows_of(connection, lake_path.resolve() / table.name)
        if not rows:
            nulls = ", ".join(f"null::{column.type} as {column.name}" for column in table.columns)
            rows = f"select {nulls} where false"
        if table.name == "raw_traces":
            rows = f"select *, {_USAGE} from ({rows})"  # noqa: S608 (our own SQL)
        connection.execute(f"create or replace view {table.name} as {rows}")


def _rows_of(connection: duckdb.DuckDBPyConnection, folder: Path) -> str:
    """Return a SELECT of all files of a lake table that can be read, '' where there is none."""
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
