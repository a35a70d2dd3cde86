"""Each event once: which of several versions of an event stays.

What goes here: finding ids that came before, and taking out of the staged files, and of the day's stored
ones, the rows that give way. What does not: writing days (`commit.py`).

An event is known by its node and its id. Of its versions the first stays; one that says `unfinished` in its
metadata gives way to one that does not, and one that says `updated_at` to one that says a later time,
whenever that comes. The same id from another node is another event,
and counted as a conflict: nobody can make another node's events vanish by writing their ids first.
"""

import os
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Literal

import duckdb

from fl_assets.core.tables import CONVERSATION_LOGS, RAW_TRACES, Table
from fl_assets.events.sql import content_sql, own_content_sql
from fl_assets.infra.lake import Lake, LakeFile

Files = defaultdict[tuple[str, date], list[LakeFile]]
_EVENT_TABLES: tuple[tuple[Table, Literal["trace", "turn"]], ...] = (
    (RAW_TRACES, "trace"),
    (CONVERSATION_LOGS, "turn"),
)
_VERSION = """coalesce(metadata->>'unfinished' = 'true', false) as is_unfinished,
    coalesce(try_cast(metadata->>'updated_at' as timestamp), '-infinity'::timestamp) as updated"""
_IS_LATER = """case when v.is_unfinished = s.is_unfinished then v.updated > s.updated
    else s.is_unfinished end"""
"""Whether a staged version `v` takes the place of a stored one `s`."""


@dataclass(slots=True)
class Replaced:
    """Rows of a stored file that give way to later versions."""

    rows: list[int] = field(default_factory=list)
    """Their numbers within the file."""
    content: int = 0
    """Sum of their content hashes, modulo 2^64; less what rows gained that only changed."""
    changed: int = 0
    """How many rows only changed: `fl_caused` says what they repeat."""


class Duplicates:
    """Finds and drops the versions of events that do not stay, in one round.

    The tables it works with, all of this connection: `fl_twice` (hashes of ids that may have come before),
    `fl_stored` and `fl_staged` (the rows with such ids, in the lake and among what was staged), `fl_drop`
    (staged rows that go).

    Attributes:
        counts: by day, `duplicates` (the same content again), `conflicts` (another content, or another node's
            id), `superseded` (unfinished and earlier versions).
        replaced: by table and day and file name, the stored rows that go.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, lake: Lake, files: Files) -> None:
        self.connection, self.lake, self.files = connection, lake, files
        self.counts: Counter[tuple[date, str]] = Counter()
        self.replaced: dict[tuple[str, date], dict[str, Replaced]] = {}

    def find(self) -> dict[str, int]:
        """Look for versions that do not stay.

        Return by path of a staged file how many of its rows go, as `fl_drop` says.
        """
        self._ids_within_round()
        self._ids_stored()
        if not self._execute("select count(*) from fl_twice")[0][0]:
            return {}
        self._staged_versions()
        self._keep_one()
        self._replace_earlier()
        self._count()
        self._forget()
        return dict(self._execute("select filename, count(*) from fl_drop group by filename"))

    def _execute(self, sql: str, given: dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
        return self.connection.execute(sql, given or {}).fetchall()

    def _ids_within_round(self) -> None:
        """Hashes of ids that were staged more than once: two ids of one hash are told apart later."""
        self._execute("create or replace temp table fl_twice(id_hash ubigint)")
        ((rows, ids),) = self._execute("select count(*), count(distinct id_hash) from fl_stage")
        if ids < rows:
            self._execute(
                "insert into fl_twice select id_hash from fl_stage group by id_hash having count(*) > 1"
            )

    def _ids_stored(self) -> None:
        """Rows of the lake that have an id that was staged, on the days of staged events and those beside.

        First only ids are read, then the rest of those files that hold one of them: the days are read
        again in each round.
        """
        self._execute("""create or replace temp table fl_stored(
            table_name varchar, event_date date, filename varchar, file_row_number bigint, node_id varchar,
                event_id varchar, content ubigint, told ubigint, is_unfinished boolean, updated timestamp)""")
        days = {
            day + timedelta(days=offset)
            for (day,) in self._execute("select distinct event_date from fl_stage")
            for offset in (-1, 0, 1)
        }
        for table, kind in _EVENT_TABLES:
            files = [os.fspath(path.resolve()) for path in self.lake.files(table.name, days)]
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
                            {content_sql(kind)}, {own_content_sql(kind)}, {_VERSION}
                        from read_parquet($files, filename = true, file_row_number = true,
                            hive_partitioning = false)
                        where event_id in (select event_id from fl_found)""",  # noqa: S608 - our own SQL
                    {"table": table.name, "files": [path for (path,) in hit]},
                )
        self._execute("insert into fl_twice select hash(event_id) from fl_stored")

    def _staged_versions(self) -> None:
        """Rows of the staged files with such ids."""
        self._execute("""create or replace temp table fl_staged(
            event_id varchar, node_id varchar, event_date date, "timestamp" timestamp, content ubigint,
                told ubigint, is_unfinished boolean, updated timestamp,
            source_file varchar, source_line bigint, filename varchar, file_row_number bigint)""")
        for table, kind in _EVENT_TABLES:
            paths = [
                os.fspath(self.lake.staged(name, day, file).resolve())
                for (name, day), files in self.files.items()
                if name == table.name
                for file in files
            ]
            if paths:
                self._execute(
                    f"""insert into fl_staged
                        select event_id, node_id, event_date, timestamp, {content_sql(kind)},
                            {own_content_sql(kind)}, {_VERSION}, source_file, source_line, filename,
                            file_row_number
                        from read_parquet($paths, filename = true, file_row_number = true,
                            hive_partitioning = false)
                        where hash(event_id) in (select id_hash from fl_twice)""",  # noqa: S608 - our own SQL
                    {"paths": paths},
                )

    def _keep_one(self) -> None:
        """Of the versions of an event the stored one stays, else the first by time.

        But any finished one before an unfinished one, and the one that was updated last.
        """
        self._execute(f"""
            create or replace temp table fl_drop as
            with stored as (
                select distinct on (node_id, event_id) node_id, event_id, told, is_unfinished, updated
                from fl_stored order by is_unfinished, updated desc, told),
            ranked as (
                select v.*, s.told as stored,
                    coalesce(not {_IS_LATER}, false) as is_stored,
                    greatest(s.updated, first_value(v.updated) over versions) > v.updated as is_earlier,
                    first_value(v.told) over versions as first, row_number() over versions as place
                from fl_staged v left join stored s using (node_id, event_id)
                window versions as (
                    partition by node_id, event_id
                    order by v.is_unfinished, v.updated desc, event_date, timestamp, v.content, source_file,
                        source_line, filename))
            select filename, file_row_number, hash(event_id) as id_hash, event_date, content, source_file,
                source_line,
                case when told = case when is_stored then stored else first end then 'duplicates'
                    when is_unfinished or is_earlier then 'superseded' else 'conflicts' end as kind
            from ranked where place > 1 or is_stored""")  # noqa: S608 - our own SQL

    def _replace_earlier(self) -> None:
        """Note the stored rows of which a later version was staged."""
        gone = self._execute(f"""
            select distinct table_name, s.event_date, s.filename, s.file_row_number, s.content
            from fl_stored s join fl_staged v using (node_id, event_id) where {_IS_LATER}""")  # noqa: S608
        for table, day, path, row, content in gone:
            replaced = self.replaced.setdefault((table, day), {}).setdefault(Path(path).name, Replaced())
            replaced.rows.append(row)
            replaced.content = (replaced.content + content) % 2**64
            self.counts[day, "superseded"] += 1

    def _count(self) -> None:
        """Count what goes, by day, and the ids that another node has too, which stay."""
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
        """Take what goes out of `fl_stage`, as many rows of one content and line as `fl_drop` has."""
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
