"""Every table once, as `tables.yaml` declares it: columns, types and what they mean.

What goes here: the schema that the DDL, the Parquet, the UI's column schema and the schema check are all made
from. What does not: reading or writing (`lake.py`, `warehouse.py`).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa

from fl_assets.core.data import read_data

_ARROW = {
    "BIGINT": pa.int64(),
    "BOOLEAN": pa.bool_(),
    "DATE": pa.date32(),
    "DOUBLE": pa.float64(),
    "INTEGER": pa.int32(),
    "UBIGINT": pa.uint64(),
    "JSON": pa.string(),
    "TIMESTAMP": pa.timestamp("us"),
    "VARCHAR": pa.string(),
    "BIGINT[]": pa.list_(pa.int64()),
    "VARCHAR[]": pa.list_(pa.string()),
    "MAP(INTEGER, BIGINT)": pa.map_(pa.int32(), pa.int64()),
}


@dataclass(frozen=True)
class Column:
    """One column: its name, DuckDB type and meaning."""

    name: str
    type: str
    doc: str


@dataclass(frozen=True)
class Table:
    """One table; `key` identifies a row within an `event_date`, and also orders what is written."""

    name: str
    doc: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]

    @property
    def column_names(self) -> list[str]:
        """Column names in declared order."""
        return [column.name for column in self.columns]

    @property
    def day_columns(self) -> list[str]:
        """Column names without `event_date`: what a day's rows are made with."""
        return [name for name in self.column_names if name != "event_date"]

    @property
    def arrow_schema(self) -> pa.Schema:
        """The same columns as an Arrow schema."""
        return pa.schema([(column.name, _ARROW[column.type]) for column in self.columns])

    def rows_of(self, day: date, records: Iterable[Mapping[str, Any]]) -> pa.Table:
        """Return records as rows of a day; fields that the table lacks are ignored.

        Raises:
            KeyError: a column other than `event_date` is not in a record.
        """
        names = self.column_names
        rows = [{name: day if name == "event_date" else record[name] for name in names} for record in records]
        return pa.Table.from_pylist(rows, schema=self.arrow_schema)

    @property
    def columns_sql(self) -> str:
        """Names and types of the columns, for a CREATE TABLE."""
        return ", ".join(f"{column.name} {column.type}" for column in self.columns)

    @property
    def ddl(self) -> str:
        """The `create table if not exists` statement."""
        return f"create table if not exists {self.name} ({self.columns_sql})"

    @property
    def order_sql(self) -> str:
        """The ORDER BY of files: by time, where rows have one, and by key."""
        times = ["timestamp"] if "timestamp" in self.column_names else []
        return f"order by {', '.join([*times, *self.key])}"


_DECLARED = read_data(Path(__file__).with_suffix(".yaml"))


def _columns_of(name: str, group: str) -> dict[str, Column]:
    """Return a table's columns by name; those of a table that it is `like`, unless declared again, first."""
    declared = _DECLARED[group][name]
    own = [(*key.split(" ", 1), doc) for key, doc in declared["columns"].items()]
    like = _columns_of(declared["like"], group) if "like" in declared else {}
    first = {"event_date": Column("event_date", "DATE", "Day of the row, UTC, by event time.")} | like
    columns = {name: Column(name, kind, doc) for name, kind, doc in own}
    return {name: column for name, column in first.items() if name not in columns} | columns


def _tables(group: str) -> tuple[Table, ...]:
    return tuple(
        Table(name, declared["doc"], tuple(declared["key"]), tuple(_columns_of(name, group).values()))
        for name, declared in _DECLARED[group].items()
    )


LAKE_TABLES, WAREHOUSE_TABLES = _tables("lake"), _tables("warehouse")
TABLES = {table.name: table for table in (*LAKE_TABLES, *WAREHOUSE_TABLES)}

RAW_TRACES, CONVERSATION_LOGS = TABLES["raw_traces"], TABLES["conversation_logs"]
QUARANTINED_EVENTS, ERROR_RECORDS = TABLES["quarantined_events"], TABLES["error_records"]
EVALUATIONS, NODE_SUMMARIES = TABLES["evaluations"], TABLES["node_summaries"]
FAILURE_SIGNATURES, CALL_TOTALS = TABLES["failure_signatures"], TABLES["call_totals"]
CONVERSATION_SIGNALS = TABLES["conversation_signals"]
PATTERN_CONSEQUENCES, PATTERN_CONTRASTS = TABLES["pattern_consequences"], TABLES["pattern_contrasts"]
PATTERN_CURES, PATTERN_EXAMPLES = TABLES["pattern_cures"], TABLES["pattern_examples"]
