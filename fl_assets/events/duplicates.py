"""Each event once: which of several versions of an event stays.

What goes here: finding ids that were seen before, and the staged and stored rows to drop. What does not:
writing days (`commit.py`).

An event is identified by its node and its id. Of its versions the first stays, except that one with
`unfinished` in its metadata gives way to one without, and an earlier `updated_at` to a later. The same id
from another node is another event, counted as a conflict: no node can make another's events vanish by writing
their ids first.
"""

import os
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, Literal

import duckdb

from fl_assets.core.tables import CONVERSATION_LOGS, RAW_TRACES, Table
from fl_assets.events.days import with_neighbours
from fl_assets.events.sql import content_sql, own_content_sql
from fl_assets.infra.lake import Lake, LakeFile

Files = defaultdict[tuple[str, date], list[LakeFile]]
_EVENT_TABLES: tuple[tuple[Table, Literal["trace", "turn"], str], ...] = (
    (RAW_TRACES, "trace", "not success and caused_by is null, error"),
    (CONVERSATION_LOGS, "turn", "false, null"),
)
"""With columns: whether it is a failure of its own, and its error."""
_VERSION = """coalesce(metadata->>'unfinished' = 'true', false) as is_unfinished,
    coalesce(try_cast(metadata->>'updated_at' as timestamp), '-infinity'::timestamp) as updated"""
_IS_LATER = """case when v.is_unfinished = s.is_unfinished then v.updated > s.updated
    else s.is_unfinished end"""
"""Whether a staged version `v` replaces a stored one `s`."""


@dataclass(slots=True)
class Replaced:
    """Rows of a stored file that are dropped or changed."""

    rows: list[int] = field(default_factory=list)
    """Numbers, within the file, of those that are dropped."""
    content: int = 0
    """What the file loses of its sum of content hashes, modulo 2^64."""
    changed: int = 0
    """Number of rows that only change, as `fl_changes` says."""

    def drop(self, row: int, content: int) -> None:
        """Drop a row with this content hash."""
        self.rows.append(row)
        self.content = (self.content + content) % 2**64


class ReplacedRows(dict[tuple[str, date], dict[str, Replaced]]):
    """Rows of the lake that are dropped or changed, by table and day, then by file name."""

    def of(self, table: str, day: date, path: str) -> Replaced:
        """Return those of a stored file."""
        return self.setdefault((table, day), {}).setdefault(Path(path).name, Replaced())


def staged_path(lake: Lake, table: str, day: date, file: LakeFile) -> str:
    """Return the path of a staged file, as DuckDB calls it."""
    return os.fspath(lake.staged(table, day, file).resolve())


def staged_paths(lake: Lake, files: Files, table: Table | None = None) -> list[str]:
    """Return the paths of staged files, of all tables or of one."""
    return [
        staged_path(lake, name, day, file)
        for (name, day), found in files.items()
        if table is None or name == table.name
        for file in found
    ]


class Duplicates:
    """Finds the versions of events of one round that do not stay.

    Temporary tables: `fl_twice` (hashes of ids that may have been seen before), `fl_stored` and `fl_staged`
    (stored and staged rows with such ids), `fl_drop` (staged rows to drop).

    Attributes:
        counts: by day, `duplicates` (the same content again), `conflicts` (other content, or another node's
            id), `superseded` (unfinished and earlier versions).
        repeats: by file, the staged rows to drop.
        replaced: the stored rows to drop.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, lake: Lake, files: Files) -> None:
        self.connection, self.lake, self.files = connection, lake, files
        self.counts: Counter[tuple[date, str]] = Counter()
        self.repeats: dict[str, int] = {}
        self.replaced = ReplacedRows()

    def find(self) -> dict[str, int]:
        """Fill `fl_drop` and `replaced`; return how many rows of each staged file, by path, to drop."""
        self._ids_within_round()
        self._ids_stored()
        if not self._execute("select count(*) from fl_twice")[0][0]:
            return {}
        self._staged_versions()
        self._keep_one()
        self._replace_earlier()
        self._count()
        self._forget()
        self.repeats = dict(self._execute("select source_file, count(*) from fl_drop group by source_file"))
        return dict(self._execute("select filename, count(*) from fl_drop group by filename"))

    def _execute(self, sql: str, given: dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
        return self.connection.execute(sql, given or {}).fetchall()

    def _ids_within_round(self) -> None:
        """Collect hashes of ids that were staged more than once; collisions are resolved later."""
        self._execute("create or replace temp table fl_twice(id_hash ubigint)")
        ((rows, ids),) = self._execute("select count(*), count(distinct id_hash) from fl_stage")
        if ids < rows:
            self._execute(
                "insert into fl_twice select id_hash from fl_stage group by id_hash having count(*) > 1"
            )

    def _ids_stored(self) -> None:
        """Collect stored rows with a staged id, on the days of staged events and their neighbours.

        First only ids are read, then the rest of the files with a match, since this runs in each round.
        """
        self._execute("""create or replace temp table fl_stored(
            table_name varchar, event_date date, filename varchar, file_row_number bigint, node_id varchar,
                event_id varchar, content ubigint, own_content ubigint, is_unfinished boolean,
                updated timestamp, is_failure boolean, error varchar)""")
        staged = self._execute("select distinct event_date from fl_stage")
        days = with_neighbours(day for (day,) in staged)
        for table, kind, failure in _EVENT_TABLES:
            files = self.lake.paths(table.name, days)
            if not files:
                continue
            self._execute(
                """create or replace temp table fl_found as
                    select event_id, hash(filename) as file
                        from read_parquet($files, filename = true, hive_partitioning = false)
                    where hash(event_id) in (select id_hash from fl_stage)""",
                {"files": files},
            )
            hit = self._execute(
                """select path from unnest($files) as given(path)
                    where hash(path) in (select file from fl_found)""",
                {"files": files},
            )
            if hit:
                self._execute(
                    f"""insert into fl_stored
                        select $table, event_date, filename, file_row_number, node_id, event_id,
                            {content_sql(kind)}, {own_content_sql(kind)}, {_VERSION}, {failure}
                        from read_parquet($files, filename = true, file_row_number = true,
                            hive_partitioning = false)
                        where event_id in (select event_id from fl_found)""",  # noqa: S608 - our own SQL
                    {"table": table.name, "files": [path for (path,) in hit]},
                )
        self._execute("insert into fl_twice select hash(event_id) from fl_stored")

    def _staged_versions(self) -> None:
        """Collect the staged rows with such ids."""
        self._execute("""create or replace temp table fl_staged(
            event_id varchar, node_id varchar, event_date date, "timestamp" timestamp, content ubigint,
                own_content ubigint, is_unfinished boolean, updated timestamp,
            source_file varchar, source_line bigint, filename varchar, file_row_number bigint,
            is_failure boolean, error varchar)""")
        for table, kind, failure in _EVENT_TABLES:
            if paths := staged_paths(self.lake, self.files, table):
                self._execute(
                    f"""insert into fl_staged
                        select event_id, node_id, event_date, timestamp, {content_sql(kind)},
                            {own_content_sql(kind)}, {_VERSION}, source_file, source_line, filename,
                            file_row_number, {failure}
                        from read_parquet($paths, filename = true, file_row_number = true,
                            hive_partitioning = false)
                        where hash(event_id) in (select id_hash from fl_twice)""",  # noqa: S608 - our own SQL
                    {"paths": paths},
                )

    def _keep_one(self) -> None:
        """Fill `fl_drop`: all versions but one, as the module says."""
        self._execute(f"""
            create or replace temp table fl_drop as
            with stored as (
                select distinct on (node_id, event_id) node_id, event_id, own_content, is_unfinished, updated
                from fl_stored order by is_unfinished, updated desc, own_content),
            ranked as (
                select v.*, s.own_content as stored,
                    coalesce(not {_IS_LATER}, false) as is_stored,
                    greatest(s.updated, first_value(v.updated) over versions) > v.updated as is_earlier,
                    first_value(v.own_content) over versions as first, row_number() over versions as place
                from fl_staged v left join stored s using (node_id, event_id)
                window versions as (
                    partition by node_id, event_id
                    order by v.is_unfinished, v.updated desc, event_date, timestamp, v.content, source_file,
                        source_line, filename))
            select filename, file_row_number, hash(event_id) as id_hash, event_date, content, source_file,
                source_line,
                case when own_content = case when is_stored then stored else first end then 'duplicates'
                    when is_unfinished or is_earlier then 'superseded' else 'conflicts' end as kind
            from ranked where place > 1 or is_stored""")  # noqa: S608 - our own SQL

    def _replace_earlier(self) -> None:
        """Collect the stored rows that a staged version replaces."""
        gone = self._execute(f"""
            select distinct table_name, s.event_date, s.filename, s.file_row_number, s.content
            from fl_stored s join fl_staged v using (node_id, event_id) where {_IS_LATER}""")  # noqa: S608
        for table, day, path, row, content in gone:
            self.replaced.of(table, day, path).drop(row, content)
            self.counts[day, "superseded"] += 1

    def _count(self) -> None:
        """Count, by day, the dropped rows, and the ids that another node has too, which stay."""
        for day, kind, count in self._execute(
            "select event_date, kind, count(*) from fl_drop group by event_date, kind"
        ):
            self.counts[day, kind] += count
        copies = self._execute("""
            with kept as (
                select event_id, node_id, event_date, timestamp from fl_staged v
                where not exists (from fl_drop d
                    where d.filename = v.filename and d.file_row_number = v.file_row_number)),
            shared as (
                select event_id
                from (select event_id, node_id from kept union select event_id, node_id from fl_stored)
                group by event_id having count(*) > 1),
            placed as (
                select event_date, event_id in (select event_id from fl_stored) as is_stored,
                    row_number() over (partition by event_id order by timestamp, node_id) as place
                from kept where event_id in (select event_id from shared))
            select event_date, count(*) from placed where place > 1 or is_stored group by event_date""")
        for day, count in copies:
            self.counts[day, "conflicts"] += count
            self.counts[day, "ids_of_other_nodes"] += count

    def _forget(self) -> None:
        """Remove the dropped rows from `fl_stage`: of each content and line as many as `fl_drop` has."""
        self._execute("""
            with dropped as (
                select id_hash, event_date, content, source_line as line_no, source_file as path,
                    count(*) as rows from fl_drop group by all),
            numbered as (
                select s.rowid as row_id, d.rows, row_number() over (partition by id_hash, event_date,
                    content, line_no, path) as place
                from fl_stage s join fl_sources using (file_no)
                    join dropped d using (id_hash, event_date, content, line_no, path))
            delete from fl_stage where rowid in (select row_id from numbered where place <= rows)""")
