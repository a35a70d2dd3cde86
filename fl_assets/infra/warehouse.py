"""The DuckDB file of result tables: short connections, whole days replaced in one transaction.

What goes here: connecting, creating, replacing a day, reading, verifying. What does not: what a row means
(`core/tables.yaml`, the stages).

DuckDB lets one process in at a time, and a torn write-ahead log loses committed rows without an error. So a
connection lives for one call, waits its turn with jitter, and checkpoints after each commit; and each day of
a table is also a Parquet file (`result_files.py`), published before the commit. After a crash, the next
connection restores from these files whatever differs in the database.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import date
from itertools import count
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa

from fl_assets.core.models import Violation
from fl_assets.core.tables import TABLES, WAREHOUSE_TABLES, Table
from fl_assets.infra.disk import is_writable
from fl_assets.infra.duckdb_file import WarehouseFileError, connect
from fl_assets.infra.lake_views import create_views
from fl_assets.infra.result_files import Rebuilt, ResultFileError, ResultFiles

_DAYS_A_COMMIT = 28
_WRITING = threading.RLock()
"""One thread of this process at a time writes, or restores days from their files."""


class Warehouse:
    """Result tables in the DuckDB file at `path`, and their days as Parquet in the folder beside it."""

    def __init__(
        self, path: Path, connect: Callable[[], AbstractContextManager[duckdb.DuckDBPyConnection]]
    ) -> None:
        self._path = path
        self._connect = connect
        self.files = ResultFiles(path.with_suffix(".results"))
        self._open: duckdb.DuckDBPyConnection | None = None

    @classmethod
    def at(cls, path: Path, *, lake_path: Path) -> "Warehouse":
        """Return the warehouse in the DuckDB file at `path`, with views over the lake."""
        return cls(path, lambda: connect(path, allowed=[lake_path]))

    @contextmanager
    def session(self) -> Iterator[None]:
        """Keep one connection for the calls in the block, which should be short: other processes wait.

        A missing database, or one that differs from its files after a crash, is restored from them first.
        """
        if self._open is not None:
            yield
            return
        if not self._path.exists():
            self.files.announce_all()
        with self._kept() as connection:
            self._settle(connection)
            yield

    @contextmanager
    def _kept(self) -> Iterator[duckdb.DuckDBPyConnection]:
        with self._connect() as connection:
            self._open = connection
            try:
                yield connection
            finally:
                self._open = None

    @contextmanager
    def _connection(self) -> Iterator[duckdb.DuckDBPyConnection]:
        with self.session():
            assert self._open is not None
            yield self._open

    def create(self, lake_path: Path | None = None) -> None:
        """Create missing tables and, given the lake's folder, views over it; nothing when read-only."""
        if self._path.exists() and not is_writable(self._path):
            return
        with self._connection() as connection:
            for table in WAREHOUSE_TABLES:
                _create(connection, table)
            if lake_path is not None:
                create_views(connection, lake_path)

    def replace(self, table_name: str, day: date, rows: pa.Table | pd.DataFrame, *, inputs: str = "") -> int:
        """Replace one day of a table in one transaction; return the number of rows.

        Every declared column but `event_date` is required. `inputs` is the content hash of what the rows were
        made from, kept in the manifest.

        Raises:
            ValueError: a declared column is missing, or fewer rows were stored than given.
        """
        return self.replace_days(table_name, {day: rows}, inputs={day: inputs})

    def replace_days(
        self,
        table_name: str,
        by_day: dict[date, pa.Table | pd.DataFrame],
        *,
        inputs: dict[date, str] | None = None,
    ) -> int:
        """Replace several days of a table in one transaction; return the number of rows in all."""

        def write(connection: duckdb.DuckDBPyConnection) -> None:
            for day, rows in by_day.items():
                _insert_day(connection, TABLES[table_name], day, rows)

        return self._commit(TABLES[table_name], by_day, write, inputs or {})

    def replace_records(self, table_name: str, day: date, records: Iterable[dict[str, Any]]) -> int:
        """Replace one day of a table by records; fields that are no columns are ignored."""
        return self.replace(table_name, day, TABLES[table_name].rows_of(day, records))

    def read(self, sql: str, parameters: dict[str, Any] | list[Any] | None = None) -> pd.DataFrame:
        """Return the rows of a query, with values bound as `parameters`."""
        with self._connection() as connection:
            return connection.sql(sql, params=parameters or []).df()

    def rows(self, sql: str, parameters: dict[str, Any] | list[Any] | None = None) -> list[dict[str, Any]]:
        """Return the rows of a query as dictionaries; timestamps are naive UTC, as stored."""
        with self._connection() as connection:
            return connection.sql(sql, params=parameters or []).to_arrow_table().to_pylist()

    def read_day(self, table_name: str, day: date) -> list[dict[str, Any]]:
        """Return one day of a table in key order; nothing if the table does not exist yet."""
        return self.read_days(table_name, [day])

    def read_days(self, table_name: str, days: Sequence[date]) -> list[dict[str, Any]]:
        """Return days of a table, each in key order; nothing if the table does not exist yet."""
        table = TABLES[table_name]
        sql = (
            f"select * from {table.name} where event_date in (select unnest($days::date[])) "  # noqa: S608
            f"order by event_date, {', '.join(table.key)}"
        )
        try:
            return self.rows(sql, {"days": list(days)}) if days else []
        except duckdb.CatalogException:
            return []

    def upsert(self, table_name: str, row: dict[str, Any]) -> None:
        """Insert one row, or replace the one with its key."""
        table = TABLES[table_name]

        def write(connection: duckdb.DuckDBPyConnection) -> None:
            match = " and ".join(f"{name} = ${name}" for name in table.key)
            connection.execute(
                f"delete from {table.name} where {match}",  # noqa: S608
                {name: row[name] for name in table.key},
            )
            names = ", ".join(row)
            values = ", ".join(f"${name}" for name in row)
            connection.execute(f"insert into {table.name} ({names}) values ({values})", row)  # noqa: S608 (our constants)

        self._commit(table, [row["event_date"]], write, {})

    def manifest(self, table_name: str, day: date) -> dict[str, Any] | None:
        """Return `rows`, `content_hash` and `inputs` of the last commit of a day, or None."""
        return self.files.manifest(table_name, day)

    def verify(self, table_name: str, days: Iterable[date]) -> list[Violation]:
        """Compare days of a table with their files, since a torn log loses rows without an error."""
        table = TABLES[table_name]
        problems = []
        with self._connection() as connection:
            connection.execute(table.ddl)
            for day in days:
                rows, content_hash = _stamp(connection, table, table.name, day)
                try:
                    manifest = self.manifest(table_name, day)
                except ResultFileError as error:
                    manifest = {"rows": f"{error}:", "content_hash": "unknown"}
                if manifest and (manifest["rows"], manifest["content_hash"]) != (rows, content_hash):
                    problems.append(
                        Violation(
                            rule="tables_match_manifest",
                            subject=f"{table_name} {day}",
                            expected=f"{manifest['rows']} rows with hash {manifest['content_hash']}",
                            actual=f"{rows} rows with hash {content_hash}",
                        )
                    )
        return problems

    def rebuild(
        self, progress: Callable[[str], None] = lambda _: None, *, views_of: Path | None = None
    ) -> Rebuilt:
        """Restore the database from its files, day by day, and write the files that are missing.

        A file that cannot be opened is moved aside. Safe to interrupt: the next connection goes on.
        """
        self.files.announce_all()
        done = Rebuilt(moved=self._set_aside())
        with self._kept() as connection:
            for table in WAREHOUSE_TABLES:
                progress(table.name)
                _create(connection, table)
                in_database = {
                    day
                    for (day,) in connection.execute(
                        f"select distinct event_date from {table.name}"  # noqa: S608
                    ).fetchall()
                }
                verdicts: dict[str, list[date]] = {"same": [], "restored": [], "written": [], "lost": []}
                for day in sorted({*in_database, *self.files.days(table.name)}):
                    verdicts[self._compare(connection, table, day)].append(day)
                for name, days in verdicts.items():
                    getattr(done, name)[table.name] = days
                for days in in_batches(done.restored[table.name]):
                    self._restore(connection, table, days)
            self.files.settle()
            for table in WAREHOUSE_TABLES:
                for days in in_batches(done.written[table.name]):
                    self._commit(table, days, lambda _: None, {day: self._inputs(table, day) for day in days})
                self._forget(connection, table, done.lost[table.name])
        self.create(views_of)
        return done

    def _commit(
        self,
        table: Table,
        days: Iterable[date],
        write: Callable[[duckdb.DuckDBPyConnection], None],
        inputs: Mapping[date, str],
    ) -> int:
        """Let `write` change days of a table, in files and database, or in neither; return their rows."""
        staged: list[date] = []
        total = 0
        with _WRITING, self._connection() as connection:
            self._settle(connection)  # after a failed commit of this session
            connection.execute("begin")
            try:
                connection.execute(table.ddl)
                write(connection)
                for day in days:
                    rows, content_hash = _stamp(connection, table, table.name, day)
                    names, order = ", ".join(table.column_names), ", ".join(table.key)
                    query = f"select {names} from {table.name} where event_date = $day order by {order}"  # noqa: S608
                    stored = connection.sql(query, params={"day": day}).to_arrow_table()
                    footer = {"rows": rows, "content_hash": content_hash, "inputs": inputs.get(day, "")}
                    self.files.stage(table.name, day, stored, footer)
                    staged.append(day)
                    total += rows
                self.files.publish(table.name, staged)
                connection.execute("commit")
            except BaseException:
                self.files.discard(table.name, staged)
                _roll_back(connection)
                raise
            connection.execute("checkpoint")
            self.files.settle()
        return total

    def _settle(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Restore from the files the days that the note names as different."""
        if self.files.unsettled() == {} or not is_writable(self._path):
            return
        with _WRITING:
            noted = self.files.unsettled()
            if noted is None:
                noted = {table.name: self.files.days(table.name) for table in WAREHOUSE_TABLES}
            for table in WAREHOUSE_TABLES:
                _create(connection, table)
                days = [
                    day
                    for day in noted.get(table.name, [])
                    if self.files.path(table.name, day).exists() and self._differs(connection, table, day)
                ]
                for batch in in_batches(days):
                    self._restore(connection, table, batch)
            self.files.settle()

    def _differs(self, connection: duckdb.DuckDBPyConnection, table: Table, day: date) -> bool:
        manifest = self.files.manifest(table.name, day)
        return manifest is not None and (manifest["rows"], manifest["content_hash"]) != _stamp(
            connection, table, table.name, day
        )

    def _restore(self, connection: duckdb.DuckDBPyConnection, table: Table, days: list[date]) -> None:
        """Replace days of a table by their files."""
        connection.execute("begin")
        try:
            for day in days:
                _insert_day(connection, table, day, self.files.read(table.name, day))
                if self._differs(connection, table, day):
                    raise ResultFileError(
                        f"{self.files.path(table.name, day)} does not hold the rows that its footer "
                        "names. Run `fl-assets rebuild`."
                    )
            connection.execute("commit")
        except BaseException:
            _roll_back(connection)
            raise
        connection.execute("checkpoint")

    def _compare(self, connection: duckdb.DuckDBPyConnection, table: Table, day: date) -> str:
        """Return what becomes of a day in a rebuild, as a field of `Rebuilt`."""
        found = _stamp(connection, table, table.name, day)
        try:
            manifest = self.files.manifest(table.name, day)
        except ResultFileError:
            return "written" if found[0] else "lost"
        if manifest is None:
            return "written"
        expected = (manifest["rows"], manifest["content_hash"])
        try:
            connection.register("fl_file", self.files.read(table.name, day))
            is_sound = _stamp(connection, table, "fl_file", day) == expected
            connection.unregister("fl_file")
        except ResultFileError:
            is_sound = False
        if found == expected:
            return "same" if is_sound else "written"
        return "restored" if is_sound else "lost"

    def _inputs(self, table: Table, day: date) -> str:
        try:
            return (self.files.manifest(table.name, day) or {"inputs": ""})["inputs"]
        except ResultFileError:
            return ""  # differs from any inputs, so that sums are made again

    def _forget(self, connection: duckdb.DuckDBPyConnection, table: Table, days: list[date]) -> None:
        """Remove lost days, so that they are made again."""
        for day in days:
            self.files.set_aside(table.name, day)
            connection.execute(f"delete from {table.name} where event_date = $day", {"day": day})  # noqa: S608 (our constants)

    def _set_aside(self) -> list[Path]:
        """Move aside what DuckDB cannot open, only the log where that is enough; return the new paths."""
        moved: list[Path] = []
        for path in (self._path.with_name(self._path.name + ".wal"), self._path):
            try:
                with self._connect():
                    return moved
            except WarehouseFileError:
                if path.exists():
                    place = next(
                        place
                        for number in count(1)
                        if not (place := path.with_name(f"{path.name}.aside-{number}")).exists()
                    )
                    path.rename(place)
                    moved.append(place)
        return moved


def _roll_back(connection: duckdb.DuckDBPyConnection) -> None:
    """Roll back, unless DuckDB did so itself after a failed commit: that error would hide the cause."""
    with suppress(duckdb.TransactionException):
        connection.execute("rollback")


def in_batches(days: list[date]) -> Iterator[list[date]]:
    """Split days into batches of one transaction."""
    return (days[start : start + _DAYS_A_COMMIT] for start in range(0, len(days), _DAYS_A_COMMIT))


def _create(connection: duckdb.DuckDBPyConnection, table: Table) -> None:
    """Create a table, or add the columns that an earlier release did not have, as nulls."""
    connection.execute(table.ddl)
    there = {
        name
        for (name,) in connection.execute(
            "select column_name from duckdb_columns() where table_name = $name", {"name": table.name}
        ).fetchall()
    }
    for column in table.columns:
        if column.name not in there:
            connection.execute(f"alter table {table.name} add column {column.name} {column.type}")


def _insert_day(
    connection: duckdb.DuckDBPyConnection, table: Table, day: date, rows: pa.Table | pd.DataFrame
) -> None:
    given = list(rows.columns) if isinstance(rows, pd.DataFrame) else rows.column_names
    missing = [
        column.name for column in table.columns if column.name not in given and column.name != "event_date"
    ]
    if missing:
        raise ValueError(
            f"{table.name} {day}: column {missing[0]!r} is missing from the rows given "
            f"({', '.join(map(str, given))})"
        )
    connection.execute(f"delete from {table.name} where event_date = $day", {"day": day})  # noqa: S608 (our constants)
    if len(rows) == 0:
        return
    connection.register("new_rows", rows)
    columns = ", ".join(column.name for column in table.columns if column.name != "event_date")
    selected = f"select $day::date as event_date, {columns} from new_rows order by {', '.join(table.key)}"  # noqa: S608
    connection.execute(f"insert into {table.name} by name {selected}", {"day": day})
    connection.unregister("new_rows")
    (count,) = connection.execute(
        f"select count(*) from {table.name} where event_date = $day",  # noqa: S608
        {"day": day},
    ).fetchone() or (0,)
    if count != len(rows):
        raise ValueError(
            f"{table.name} {day}: {count} rows were stored, {len(rows)} were given; nothing was committed"
        )


def _stamp(connection: duckdb.DuckDBPyConnection, table: Table, source: str, day: date) -> tuple[int, str]:
    """Return row count and order-independent hash of one day of a relation with the table's columns."""
    # MD5 over names and texts, not DuckDB's own hash, which may change with its version. Nulls are left out,
    # so that a new column does not change the hash of old rows.
    values = ", ".join(f"'{column.name}=' || {column.name}::varchar" for column in table.columns)
    mixing = f"coalesce(bit_xor(md5_number(concat_ws(chr(31), {values}))), 0)"
    query = f"select count(*), {mixing} from {source} where event_date = $day"  # noqa: S608 (our constants)
    ((rows, mixed),) = connection.execute(query, {"day": day}).fetchall()
    return rows, f"{mixed:032x}"
