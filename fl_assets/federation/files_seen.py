"""What a coordinator remembers of the files in the folder of summaries: which it has read, what it refused.

What goes here: the database `summaries.sqlite`. What does not: judging a file (`coordinator_side.py`).

A file is read again when its size or time changes, and one that held something refused also when the way of
judging does. Losing the database costs reading all files again.
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
    """One line of a file that was not taken."""

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
        """Yield the listed files that are to be read, with their size and time in nanoseconds.

        Args:
            listed: size and time of each file in the folder.
            judged_by: what tells the present way of judging from another.
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
        """Remember what became of the files that were read.

        Args:
            files: size and time of each.
            taken: lines taken, by path; none where it is missing.
            refused: lines that were not.
            judged_by: the way of judging.
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
        """Return every line that was not taken, by file and line, removed files included."""
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
