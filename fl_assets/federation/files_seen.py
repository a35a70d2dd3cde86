"""The files of summaries that a coordinator has read, and the lines that it refused, in `summaries.sqlite`.

What does not go here: judging a file (`coordinator_side.py`).

A file is read again when its size or time changes, and after a refusal also when keys or settings change. If
the database is lost, all files are read again.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from fl_assets.infra.sqlite_file import transaction

_DDL = """
create table if not exists files (
    path text primary key, size integer not null, mtime_ns integer not null, taken integer not null,
        judged_by text not null) without rowid;
create table if not exists refusals (
    path text not null, line integer not null, rule text not null, node_id text not null, day text not null,
        detail text not null, digest text not null,
    primary key (path, line)) without rowid;
"""


@dataclass(frozen=True, slots=True)
class RefusedSummary:
    """A refused line of a file."""

    path: str
    line: int
    """From 1; 0 for the file as a whole."""
    rule: str
    node_id: str
    """As the line claims, cleaned; '' where it could not be read."""
    day: str
    detail: str
    digest: str
    """SHA-256 of the line."""


class FilesSeen:
    """Files by path: size, time in nanoseconds, and the lines that were refused."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def changed(
        self, listed: Mapping[str, tuple[int, int]], judged_by: str
    ) -> Iterator[tuple[str, tuple[int, int]]]:
        """Yield the listed files to read, with their size and time in nanoseconds.

        Args:
            listed: size and time of each file in the folder.
            judged_by: hash of the present keys and settings.
        """
        with self._open() as connection:
            known = {row["path"]: row for row in connection.execute("select * from files")}
            doubted = {row["path"] for row in connection.execute("select distinct path from refusals")}
        for path, status in listed.items():
            row = known.get(path)
            is_same = row is not None and (row["size"], row["mtime_ns"]) == status
            if row is None or not is_same or (path in doubted and row["judged_by"] != judged_by):
                yield path, status

    def exists(self) -> bool:
        """Return whether any file was ever read."""
        return self._path.exists()

    def settle(
        self,
        files: Mapping[str, tuple[int, int]],
        taken: Mapping[str, int],
        refused: Iterable[RefusedSummary],
        judged_by: str,
    ) -> None:
        """Record the outcome of the files that were read.

        Args:
            files: size and time of each.
            taken: number of accepted lines by path.
            refused: refused lines.
            judged_by: hash of the keys and settings.
        """
        with self._open() as connection:
            for path, (size, mtime_ns) in files.items():
                connection.execute(
                    "insert or replace into files values (?, ?, ?, ?, ?)",
                    (path, size, mtime_ns, taken.get(path, 0), judged_by),
                )
                connection.execute("delete from refusals where path = ?", (path,))
            for one in refused:
                values = (one.path, one.line, one.rule, one.node_id, one.day, one.detail, one.digest)
                connection.execute("insert or replace into refusals values (?, ?, ?, ?, ?, ?, ?)", values)

    def refusals(self) -> list[RefusedSummary]:
        """Return every refused line, by file and line, removed files included."""
        if not self.exists():
            return []
        with self._open() as connection:
            return [
                RefusedSummary(*row)
                for row in connection.execute(
                    "select path, line, rule, node_id, day, detail, digest from refusals order by path, line"
                )
            ]

    def _open(self) -> AbstractContextManager[sqlite3.Connection]:
        return transaction(self._path, lambda connection: connection.executescript(_DDL))
