"""The DuckDB file of result tables: short connections, whole days replaced in one transaction.

What goes here: connecting, creating, replacing a day, reading, verifying. What does not: what a row means (`tables.py`, `domain/`).

DuckDB lets one process in at a time, and a torn write-ahead log loses committed rows without an error. So a connection lives for one
call, waits its turn with jitter, checkpoints after each commit, and leaves a manifest (rows, hash) beside the file, outside the database.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import orjson
import pandas as pd
import pyarrow as pa
from tenacity import RetryError, Retrying, retry_if_exception, stop_after_delay, wait_random_exponential

from fl_assets.domain.models import Violation
from fl_assets.storage.tables import LAKE_TABLES, TABLES, WAREHOUSE_TABLES, Table

LOCK_WAIT_SECS = 120.0
"""How long a connection waits for another process to let go of the file."""


class WarehouseBusyError(RuntimeError):
    """Another process held the DuckDB file for longer than we wait."""


class WarehouseFileError(RuntimeError):
    """The DuckDB file cannot be opened, and waiting would not help."""


def _is_lock(error: BaseException) -> bool:
    return isinstance(error, duckdb.IOException) and "lock" in str(error).lower()


@contextmanager
def connect(path: Path, *, allowed: Iterable[Path] = (), wait_secs: float = LOCK_WAIT_SECS) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the DuckDB file at `path`, locked to `allowed` folders, and close it whatever happens.

    Raises:
        WarehouseBusyError: another process holds the file for `wait_secs`; the text names the holder as DuckDB reports it.
        WarehouseFileError: the path is a folder, not a DuckDB file, or was written by a newer DuckDB.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    retrying = Retrying(retry=retry_if_exception(_is_lock), wait=wait_random_exponential(multiplier=0.05, max=2), stop=stop_after_delay(wait_secs))
    try:
        connection = retrying(duckdb.connect, os.fspath(path))
    except RetryError as error:
        message = f"{path} is in use: waited {wait_secs:.0f} s for it, one process at a time may open it ({error.last_attempt.exception()})"
        raise WarehouseBusyError(message) from error
    except duckdb.Error as error:
        message = f"{path} cannot be opened as a DuckDB file: {error}. Move it away and run `fl-assets backfill FROM TO`: the lake holds what it was made from."
        raise WarehouseFileError(message) from error
    try:
        folders = sorted(os.fspath(folder.resolve()) for folder in allowed)
        connection.execute("set allowed_directories = $folders", {"folders": folders})
        for statement in ("set autoinstall_known_extensions = false", "set enable_external_access = false", "set lock_configuration = true"):
            connection.execute(statement)
        yield connection
    finally:
        connection.close()


class Warehouse:
    """Result tables; `connect` gives a connection as a context manager, `manifest_path` is a folder of JSON files."""

    def __init__(self, connect: Callable[[], AbstractContextManager[duckdb.DuckDBPyConnection]], manifest_path: Path) -> None:
        self._connect = connect
        self._manifest_path = manifest_path
        self._open: duckdb.DuckDBPyConnection | None = None

    @classmethod
    def at(cls, path: Path, *, lake_path: Path) -> "Warehouse":
        """Return the warehouse in the DuckDB file at `path`, with views over the lake."""
        return cls(lambda: connect(path, allowed=[lake_path]), path.with_suffix(".manifest"))

    @contextmanager
    def session(self) -> Iterator[None]:
        """Keep one connection for the calls in the block, where many follow each other; keep the block short, since nobody else gets in."""
        if self._open is not None:
            yield
            return
        with self._connect() as connection:
            self._open = connection
            try:
                yield
            finally:
                self._open = None

    @contextmanager
    def _connection(self) -> Iterator[duckdb.DuckDBPyConnection]:
        with self.session():
            assert self._open is not None
            yield self._open

    @contextmanager
    def _transaction(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Commit what the block writes and checkpoint, or take all of it back."""
        with self._connection() as connection:
            connection.execute("begin")
            try:
                yield connection
                connection.execute("commit")
            except BaseException:
                connection.execute("rollback")
                raise
            connection.execute("checkpoint")

    def create(self, lake_path: Path | None = None) -> None:
        """Create what is missing: every table, and views over those lake tables that have files."""
        with self._connection() as connection:
            for table in WAREHOUSE_TABLES:
                connection.execute(table.ddl)
                _add_columns(connection, table)
            if lake_path is None:
                return
            for table in LAKE_TABLES:
                folder = lake_path.resolve() / table.name
                if next(folder.glob("event_date=*/*.parquet"), None):
                    files = str(folder / "event_date=*" / "*.parquet").replace("'", "''")
                    # A view's text takes no parameters; the path is ours and quoted, and the name is a constant.
                    connection.execute(f"create or replace view {table.name} as select * from read_parquet('{files}', union_by_name = true)")  # noqa: S608

    def replace(self, table_name: str, day: date, rows: pa.Table | pd.DataFrame, *, inputs: str = "") -> int:
        """Replace one day of a table in one transaction; return the number of rows.

        Args:
            table_name: one of WAREHOUSE_TABLES.
            day: the partition; a column `event_date` in `rows` is ignored.
            rows: columns by name; each declared column but `event_date` must be there.
            inputs: content hash of what the rows were made from, kept in the manifest.

        Raises:
            ValueError: a declared column is missing, or a row count is not what was given.
        """
        return self.replace_days(table_name, {day: rows}, inputs={day: inputs})

    def replace_days(self, table_name: str, by_day: dict[date, pa.Table | pd.DataFrame], *, inputs: dict[date, str] | None = None) -> int:
        """Replace several days of a table in one transaction; return the number of rows in all."""
        table = TABLES[table_name]
        stamps: dict[date, tuple[int, str]] = {}
        with self._transaction() as connection:
            connection.execute(table.ddl)
            for day, rows in by_day.items():
                _insert_day(connection, table, day, rows)
                stamps[day] = _stamp(connection, table, day)
        for day, (count, content_hash) in stamps.items():
            self._write_manifest(table_name, day, {"rows": count, "content_hash": content_hash, "inputs": (inputs or {}).get(day, "")})
        return sum(count for count, _ in stamps.values())

    def replace_records(self, table_name: str, day: date, records: Iterable[dict[str, Any]]) -> int:
        """Replace one day of a table by records; fields that the table lacks are ignored, those that it needs must be there."""
        names = TABLES[table_name].column_names
        rows = [{name: day if name == "event_date" else record[name] for name in names} for record in records]
        return self.replace(table_name, day, pa.Table.from_pylist(rows, schema=TABLES[table_name].arrow_schema))

    def read(self, sql: str, parameters: dict[str, Any] | list[Any] | None = None) -> pd.DataFrame:
        """Return the rows of a query; values go into `parameters`, never into the text."""
        with self._connection() as connection:
            return connection.sql(sql, params=parameters or []).df()

    def rows(self, sql: str, parameters: dict[str, Any] | list[Any] | None = None) -> list[dict[str, Any]]:
        """Return the rows of a query as Python dictionaries, timestamps aware in UTC left naive as stored."""
        with self._connection() as connection:
            return connection.sql(sql, params=parameters or []).to_arrow_table().to_pylist()

    def read_day(self, table_name: str, day: date) -> list[dict[str, Any]]:
        """Return one day of a table in key order."""
        table = TABLES[table_name]
        return self.rows(f"select * from {table.name} where event_date = $day order by {', '.join(table.key)}", {"day": day})  # noqa: S608 (our constants)

    def upsert(self, table_name: str, row: dict[str, Any]) -> None:
        """Write one row by its key, in place of an earlier one."""
        table = TABLES[table_name]
        with self._transaction() as connection:
            connection.execute(table.ddl)
            match = " and ".join(f"{name} = ${name}" for name in table.key)
            connection.execute(f"delete from {table.name} where {match}", {name: row[name] for name in table.key})  # noqa: S608 (our constants)
            names = ", ".join(row)
            values = ", ".join(f"${name}" for name in row)
            connection.execute(f"insert into {table.name} ({names}) values ({values})", row)  # noqa: S608 (our constants)

    def manifest(self, table_name: str, day: date) -> dict[str, Any] | None:
        """Return what was last committed for a day (`rows`, `content_hash`, `inputs`), or None."""
        file = self._manifest_path / table_name / f"{day}.json"
        return orjson.loads(file.read_bytes()) if file.exists() else None

    def verify(self, table_name: str, days: Iterable[date]) -> list[Violation]:
        """Compare days of a table with their manifests, as a torn log loses rows without an error."""
        table = TABLES[table_name]
        problems = []
        with self._connection() as connection:
            connection.execute(table.ddl)
            for day in days:
                manifest = self.manifest(table_name, day)
                count, content_hash = _stamp(connection, table, day)
                found = {"rows": count, "content_hash": content_hash}
                if manifest and any(manifest[name] != value for name, value in found.items()):
                    problems.append(
                        Violation(
                            rule="tables_match_manifest",
                            subject=f"{table_name} {day}",
                            expected=f"{manifest['rows']} rows with hash {manifest['content_hash']}",
                            actual=f"{count} rows with hash {content_hash}",
                        )
                    )
        return problems

    def _write_manifest(self, table_name: str, day: date, content: dict[str, Any]) -> None:
        file = self._manifest_path / table_name / f"{day}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary = file.with_suffix(f".{os.getpid()}.tmp")
        temporary.write_bytes(orjson.dumps(content, option=orjson.OPT_SORT_KEYS))
        temporary.replace(file)


def _add_columns(connection: duckdb.DuckDBPyConnection, table: Table) -> None:
    """Give a table that an earlier version made the columns declared since; their values are null in its rows."""
    there = {name for (name,) in connection.execute("select column_name from duckdb_columns() where table_name = $name", {"name": table.name}).fetchall()}
    for column in table.columns:
        if column.name not in there:
            connection.execute(f"alter table {table.name} add column {column.name} {column.type}")


def _insert_day(connection: duckdb.DuckDBPyConnection, table: Table, day: date, rows: pa.Table | pd.DataFrame) -> None:
    given = list(rows.columns) if isinstance(rows, pd.DataFrame) else rows.column_names
    missing = [column.name for column in table.columns if column.name not in given and column.name != "event_date"]
    if missing:
        message = f"{table.name} {day}: column {missing[0]!r} is missing from the rows given ({', '.join(map(str, given))})"
        raise ValueError(message)
    connection.execute(f"delete from {table.name} where event_date = $day", {"day": day})  # noqa: S608 (our constants)
    if len(rows) == 0:
        return
    connection.register("new_rows", rows)
    columns = [column.name for column in table.columns if column.name != "event_date"]
    order = ", ".join(table.key)
    connection.execute(
        f"insert into {table.name} by name select $day::date as event_date, {', '.join(columns)} from new_rows order by {order}",  # noqa: S608 (our constants)
        {"day": day},
    )
    connection.unregister("new_rows")
    (count,) = connection.execute(f"select count(*) from {table.name} where event_date = $day", {"day": day}).fetchone() or (0,)  # noqa: S608 (our constants)
    if count != len(rows):
        message = f"{table.name} {day}: {count} rows were stored, {len(rows)} were given; nothing was committed"
        raise ValueError(message)


def _stamp(connection: duckdb.DuckDBPyConnection, table: Table, day: date) -> tuple[int, str]:
    """Row count and an order-independent hash of one day."""
    # A map hashes by insertion order in some versions; its text does not depend on the version of the hash of maps.
    values = ", ".join(f"{column.name}::varchar" for column in table.columns)
    count, mixed = connection.execute(
        f"select count(*), coalesce(bit_xor(hash({values})), 0) from {table.name} where event_date = $day",  # noqa: S608 (our constants)
        {"day": day},
    ).fetchone() or (0, 0)
    return count, f"{mixed:016x}"
