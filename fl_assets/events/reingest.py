"""Letting go of what files gave, so that they are read again: for days that a wrong clock decided.

What goes here: finding the files of a day and the rows that came from them, and taking both out. What does
not: reading files (`ingest.py`).

An event without a usable time, or with one later than the coordinator's clock allows, is kept on the day it
was received. A coordinator whose clock was wrong has put events on wrong days by that rule, and since each
byte is read once, the right clock alone does not bring them back.
"""

import os
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import duckdb

from fl_assets.core.tables import CONVERSATION_LOGS, QUARANTINED_EVENTS, RAW_TRACES, Table
from fl_assets.events.commit import Commit
from fl_assets.events.duplicates import Replaced
from fl_assets.events.engine import DuckDBEngine
from fl_assets.events.event import safe_redact
from fl_assets.events.redaction.engine import redact
from fl_assets.events.side_rows import SIDE_TABLES, ReplacedRows, hashed_sql
from fl_assets.events.sql import content_sql
from fl_assets.infra.lake import Lake, retry_on_conflict

_CONTENT = {
    RAW_TRACES: content_sql("trace"),
    CONVERSATION_LOGS: content_sql("turn"),
    **{table: hashed_sql(table) for table in (QUARANTINED_EVENTS, *(side.table for side in SIDE_TABLES))},
}
"""Tables that are filled from files, and the hash of a row's content as the manifests sum it."""


@dataclass(frozen=True)
class LetGo:
    """What was taken out of the lake."""

    files: tuple[str, ...]
    """Files that will be read again, as the lake names them."""
    gone: tuple[str, ...]
    """Files of the day that are not there any more: what they gave stays where it is."""
    rows: int
    days: tuple[date, ...]
    """Days that lost rows."""


@retry_on_conflict
def let_go(engine: DuckDBEngine, day: date) -> LetGo:
    """Take all rows of the files that gave rows to a day out of the lake, on whatever day they lie.

    The next ingestion reads these files from their start. The index forgets them first: a crash in between
    leaves rows that a second call takes out, and loses none.

    Args:
        engine: whose lake and index these are.
        day: the day, UTC.

    Raises:
        IngestBusyError: another process kept the ingestion lock for ten minutes.
    """
    with engine.lake.lock(), engine.connect(threads=1) as connection:
        named = _sources_of(connection, engine.lake, day)
        there: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
        for kind, path in engine.index.known_files():
            there[safe_redact(path, redact)].append((kind, path))
        files = sorted(named & there.keys())
        if not files:
            return LetGo((), tuple(sorted(named)), 0, ())
        engine.index.forget([one for name in files for one in there[name]])
        rows = _rows_of(connection, engine.lake, files)
        commit = Commit(connection, engine.lake, defaultdict(list), [])
        commit.take_out(rows)
        engine.index.commit([], commit.days, engine.lake)
    number = sum(len(one.rows) for found in rows.values() for one in found.values())
    return LetGo(tuple(files), tuple(sorted(named - there.keys())), number, tuple(sorted(commit.days)))


def _sources_of(connection: duckdb.DuckDBPyConnection, lake: Lake, day: date) -> set[str]:
    names: set[str] = set()
    for table in _CONTENT:
        if files := _paths(lake, table, [day]):
            sql = f"select distinct source_file from {_READ}"  # noqa: S608 - our own names
            names |= {name for (name,) in connection.execute(sql, {"files": files}).fetchall() if name}
    return names


def _rows_of(connection: duckdb.DuckDBPyConnection, lake: Lake, sources: list[str]) -> ReplacedRows:
    found: ReplacedRows = {}
    for table, content in _CONTENT.items():
        for day in lake.days(table.name):
            if not (files := _paths(lake, table, [day])):
                continue
            sql = f"""select filename, file_row_number, {content} from {_READ}
                where list_contains($sources, source_file)"""  # noqa: S608 - our own names
            given: dict[str, Any] = {"files": files, "sources": sources}
            for path, row, hashed in connection.execute(sql, given).fetchall():
                one = found.setdefault((table.name, day), {}).setdefault(Path(path).name, Replaced())
                one.rows.append(row)
                one.content = (one.content + hashed) % 2**64
    return found


_READ = "read_parquet($files, filename = true, file_row_number = true, hive_partitioning = false)"


def _paths(lake: Lake, table: Table, days: Iterable[date]) -> list[str]:
    return [os.fspath(path.resolve()) for path in lake.files(table.name, days)]
