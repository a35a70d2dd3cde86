"""The days of the result tables as Parquet files, from which the DuckDB file can be rebuilt.

What goes here: staging, publishing and reading a day's file, and the note of what is being changed. What does
not: the database (`warehouse.py`).

Layout: `<root>/<table>/2026-11-01.parquet`. The footer holds rows, content hash and inputs, so that file and
manifest cannot disagree; files are renamed into place. The note (`unsettled.json`) names the days being
published. It is written before the first of them and emptied once the database has checkpointed, so the next
connection knows what a crash left different, and restores it from the files.
"""

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from fl_assets.core.tables import TABLES
from fl_assets.infra.disk import new_file, sync_folder, write_atomically
from fl_assets.infra.errors import ExplainedError

_FOOTER = b"fl_assets"
_ALL: dict[str, list[date]] = {}
"""Content of the note when any day may differ."""


class ResultFileError(ExplainedError):
    """A day's file that cannot be read; the text names it and the fix."""


@dataclass(slots=True)
class Rebuilt:
    """What a rebuild of the database did: days by table."""

    moved: list[Path] = field(default_factory=list)
    """Files that DuckDB could not open, under their new names."""
    same: dict[str, list[date]] = field(default_factory=dict)
    restored: dict[str, list[date]] = field(default_factory=dict)
    """Days that the database lacked, or that differed from their files."""
    written: dict[str, list[date]] = field(default_factory=dict)
    """Days without a sound file, written from the database."""
    lost: dict[str, list[date]] = field(default_factory=dict)
    """Days whose file is damaged, and that the database does not have either."""


class ResultFiles:
    """One Parquet file a table and day below `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._note = root / "unsettled.json"

    def path(self, table: str, day: date) -> Path:
        """Return the path of a day's file."""
        return self.root / table / f"{day}.parquet"

    def days(self, table: str) -> list[date]:
        """Return the days that have a file, oldest first."""
        return sorted(
            date.fromisoformat(path.stem) for path in (self.root / table).glob("????-??-??.parquet")
        )

    def manifest(self, table: str, day: date) -> dict[str, Any] | None:
        """Return `rows`, `content_hash` and `inputs` of a day's file, None where there is none.

        Raises:
            ResultFileError: the file is damaged.
        """
        path = self.path(table, day)
        try:
            return orjson.loads((pq.read_schema(path).metadata or {})[_FOOTER])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError) as error:
            raise ResultFileError(_damaged(path, error)) from error

    def read(self, table: str, day: date) -> pa.Table:
        """Return a day's rows in the columns of the table; columns newer than the file are null.

        Raises:
            ResultFileError: the file is damaged or missing.
        """
        path, schema = self.path(table, day), TABLES[table].arrow_schema
        try:
            rows = pq.read_table(path, partitioning=None)
            columns = {
                field.name: rows[field.name]
                if field.name in rows.column_names
                else pa.nulls(len(rows), field.type)
                for field in schema
            }
            return pa.table(columns, schema=schema)
        except (OSError, ValueError) as error:
            raise ResultFileError(_damaged(path, error)) from error

    def stage(self, table: str, day: date, rows: pa.Table, manifest: dict[str, Any]) -> None:
        """Write and sync a day's file under a temporary name.

        Raises:
            OSError: the disk refused; nothing is left behind.
        """
        temporary = self._staged(table, day)
        temporary.parent.mkdir(parents=True, exist_ok=True)
        temporary.unlink(missing_ok=True)  # one that a crash left
        with new_file(temporary) as file:
            footer = {_FOOTER: orjson.dumps(manifest)}
            pq.write_table(rows.replace_schema_metadata(footer), file, compression="zstd")

    def publish(self, table: str, days: Sequence[date]) -> None:
        """Note that these days change, then rename their staged files into place."""
        self._announce({table: sorted(days)})
        for day in days:
            self._staged(table, day).replace(self.path(table, day))
        sync_folder(self.root / table)

    def discard(self, table: str, days: Sequence[date]) -> None:
        """Remove the staged files of days."""
        for day in days:
            with suppress(OSError):
                self._staged(table, day).unlink()

    def _staged(self, table: str, day: date) -> Path:
        return self.path(table, day).with_suffix(".tmp")

    def set_aside(self, table: str, day: date) -> None:
        """Rename a damaged file."""
        path = self.path(table, day)
        path.replace(path.with_suffix(".parquet.damaged"))

    # The note of what is being changed

    def announce_all(self) -> None:
        """Note that any day may differ from the database, if there are files."""
        if next(self.root.glob("*/*.parquet"), None):
            self._announce(_ALL)

    def unsettled(self) -> dict[str, list[date]] | None:
        """Return the days, by table, that may differ from the database; None where any may."""
        try:
            content = self._note.read_bytes()
        except FileNotFoundError:
            return {}
        if not content:
            return {}
        try:
            noted = {
                str(name): [date.fromisoformat(day) for day in days]
                for name, days in orjson.loads(content).items()
            }
        except (ValueError, AttributeError, TypeError):  # torn by a crash
            return None
        return noted or None

    def settle(self) -> None:
        """Empty the note."""
        with suppress(FileNotFoundError):
            os.truncate(self._note, 0)

    def _announce(self, days: dict[str, list[date]]) -> None:
        write_atomically(
            self._note,
            orjson.dumps({name: [str(day) for day in changing] for name, changing in days.items()}),
        )


def _damaged(path: Path, error: Exception) -> str:
    return (
        f"{path} is no file of results: {error}. Run `fl-assets rebuild`: it is written again from the "
        "database where that has the rows, and named where not."
    )
