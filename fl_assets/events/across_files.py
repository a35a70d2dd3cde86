"""What other files of the same node tell of a failure: that it only repeats a deeper one, and its words.

What goes here: finding traces with failures in several files, staged now or stored on the days around. What
does not: the rule (`formats/causes.py`), traces within one file (`formats/traces.py`), writing (`commit.py`).

Other nodes are left out, so that no node can make another's failures pass for repeats of its own.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import duckdb

from fl_assets.core.tables import RAW_TRACES
from fl_assets.events.days import with_neighbours
from fl_assets.events.duplicates import Files, staged_paths
from fl_assets.events.formats.causes import FailedSpan, Place, causes_of
from fl_assets.events.formats.exceptions import is_vague
from fl_assets.events.formats.outcomes import NO_FAILURE
from fl_assets.events.sql import content_sql
from fl_assets.infra.lake import Lake

MAX_CALLS = 200_000
"""Calls of such traces per round; with more, each file is judged by itself."""
CHANGES_SQL = """create or replace temp table fl_changes(
    filename varchar, file_row_number bigint, caused_by varchar, error varchar)"""
"""Table of what other files tell of rows: the id of the failure's event that it repeats, or its words."""
_CHANGES = """(select filename, file_row_number, max(caused_by) as caused_by, max(error) as error
    from fl_changes group by all)"""
WITH_CHANGES = f"""select f.* replace (
        coalesce(c.caused_by, f.caused_by) as caused_by, coalesce(c.error, f.error) as error)
    from all_rows f left join {_CHANGES} c using (filename, file_row_number)"""  # noqa: S608 - our own names
"""Rows of `all_rows`, with file and row, as other files tell them."""
_OWN = "(not success and caused_by is null)"


@dataclass(frozen=True, slots=True)
class RowChange:
    """A row of which another file tells something, and its content hash before and after it says so."""

    day: date
    path: str
    event_id: str
    before: int
    after: int


@dataclass(frozen=True, slots=True)
class _Call:
    path: str
    row: int
    source: str
    event_id: str
    span: str
    place: Place
    error: str


def find_repeats(connection: duckdb.DuckDBPyConnection, lake: Lake, files: Files) -> list[RowChange]:
    """Return failures that repeat one of another file, and add them to the table `fl_changes`."""
    paths = _with_such_traces(connection, lake, files)
    found = [pair for calls in _traces(connection, paths) for pair in _repeated(calls)] if paths else []
    return _changed(connection, [(call.path, call.row, cause, None) for call, cause in found])


def find_words(connection: duckdb.DuckDBPyConnection) -> list[RowChange]:
    """Return failed spans that a log record in another file gives words, and add them to `fl_changes`.

    Until its span is read, such a record stands for it, as an unfinished version of the same event.
    """
    pairs = connection.execute("""
        with versions as (from fl_staged union all by name from fl_stored)
        select f.filename, f.file_row_number, f.error, max(u.error)
        from versions f join versions u using (node_id, event_id)
        where f.is_failure and u.is_failure and u.is_unfinished and not f.is_unfinished group by all""")
    return _changed(
        connection,
        [
            (path, row, None, words)
            for path, row, error, words in pairs.fetchall()
            if is_vague(error or "") and not is_vague(words or "")
        ],
    )


def _changed(
    connection: duckdb.DuckDBPyConnection, found: list[tuple[str, int, str | None, str | None]]
) -> list[RowChange]:
    """Add rows to `fl_changes`: file, row, and either a cause or words."""
    if not found:
        return []
    connection.execute("create or replace temp table fl_new as from fl_changes limit 0")
    connection.executemany("insert into fl_new values (?, ?, ?, ?)", found)
    changes = connection.execute(
        f"""with all_rows as (
                select * from read_parquet($files, filename = true, file_row_number = true,
                    hive_partitioning = false) semi join fl_new using (filename, file_row_number)),
            stored as (select *, {content_sql("trace")} as before from ({WITH_CHANGES}))
            select event_date, filename, event_id, before, {content_sql("trace")} from (
                select s.* replace (
                    coalesce(c.caused_by, s.caused_by) as caused_by, coalesce(c.error, s.error) as error)
                from stored s join fl_new c using (filename, file_row_number))""",  # noqa: S608 - our own SQL
        {"files": sorted({path for path, *_ in found})},
    ).fetchall()
    connection.execute("insert into fl_changes from fl_new")
    return [RowChange(*row) for row in changes]


def _with_such_traces(connection: duckdb.DuckDBPyConnection, lake: Lake, files: Files) -> list[str]:
    """Put traces with failures in several files into `fl_many`; return files that may have their calls."""
    if not (staged := staged_paths(lake, files, RAW_TRACES)):
        return []
    connection.execute(
        f"""create or replace temp table fl_failing as
            select distinct node_id, trace_id, event_date from read_parquet($files, hive_partitioning = false)
            where {_OWN} and trace_id is not null and metadata->>'span_id' is not null""",  # noqa: S608
        {"files": staged},
    )
    found = connection.execute("select distinct event_date from fl_failing").fetchall()
    if not found:
        return []
    paths = [*staged, *lake.paths(RAW_TRACES.name, with_neighbours(day for (day,) in found))]
    connection.execute(
        f"""create or replace temp table fl_many as
            select node_id, trace_id from read_parquet($files, hive_partitioning = false)
            where {_OWN} and (node_id, trace_id) in (select (node_id, trace_id) from fl_failing)
            group by all having count(distinct source_file) > 1""",  # noqa: S608 - our own SQL
        {"files": paths},
    )
    return paths if connection.execute("select count(*) from fl_many").fetchall()[0][0] else []


def _traces(connection: duckdb.DuckDBPyConnection, paths: list[str]) -> Iterator[list[_Call]]:
    """Yield the calls of such traces, trace by trace."""
    rows = connection.execute(
        """select node_id, trace_id, filename, file_row_number, source_file, event_id, timestamp, duration_ms,
                success, caused_by, error, metadata->>'span_id', metadata->>'parent_span_id'
            from read_parquet($files, filename = true, file_row_number = true, hive_partitioning = false)
            where (node_id, trace_id) in (from fl_many) and metadata->>'span_id' is not null
            order by node_id, trace_id, event_id limit $most""",
        {"files": paths, "most": MAX_CALLS + 1},
    ).fetchall()
    traces: defaultdict[tuple[str, str], list[_Call]] = defaultdict(list)
    if len(rows) > MAX_CALLS:
        return
    for node, trace, path, row, source, event, end, took, success, cause, error, span, parent in rows:
        end_ns = _ns(end)
        ended = "ok" if success else cause if cause in NO_FAILURE else "failed" if cause is None else "repeat"
        place = Place(parent or "", end_ns - int(took * 1e6) if took is not None else 0, end_ns, ended)
        traces[node, trace].append(_Call(path, row, source, event, span, place, error or ""))
    yield from traces.values()


def _ns(when: datetime) -> int:
    """Return a naive UTC time as nanoseconds since 1970."""
    return (when.replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000


def _repeated(calls: list[_Call]) -> Iterator[tuple[_Call, str]]:
    """Yield the failures of a trace that repeat one of another file, with the id of its event."""
    of_span = {call.span: call for call in calls}
    places = {span: call.place for span, call in of_span.items()}
    failed = {
        span: FailedSpan(call.error, call.place.end_ns)
        for span, call in of_span.items()
        if call.place.ended == "failed"
    }
    for span, cause in causes_of(places, failed).items():
        if of_span[span].source != of_span[cause].source:
            yield of_span[span], of_span[cause].event_id
