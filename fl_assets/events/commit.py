"""Merging staged rows into days of the lake.

What does not go here: which rows stay (`duplicates.py`), how a manifest and its files are put in place
(`infra/lake.py`).
"""

import os
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import duckdb

from fl_assets.core.tables import CONVERSATION_LOGS, QUARANTINED_EVENTS, RAW_TRACES, TABLES, Table
from fl_assets.events.across_files import CHANGES_SQL, WITH_CHANGES, RowChange, find_repeats, find_words
from fl_assets.events.duplicates import Duplicates, Files, Replaced, ReplacedRows, staged_path, staged_paths
from fl_assets.events.quarantine import lost_events
from fl_assets.events.side_rows import SIDE_TABLES, hashed_sql
from fl_assets.events.stage import PARQUET
from fl_assets.infra.lake import SCHEMA_VERSION, Lake, LakeFile, Manifest

SMALL_FILE_ROWS = 4096
"""A day's files with fewer rows are merged when more are added."""
_RELATIONS = (
    (RAW_TRACES, "(from fl_stage where is_trace)"),
    (CONVERSATION_LOGS, "(from fl_stage where not is_trace)"),
    (QUARANTINED_EVENTS, "fl_bad"),
    *((side.table, side.relation) for side in SIDE_TABLES),
)
"""Relation that each table of the lake is filled from, in the order of commits."""
_STAGED_AS_FILES = (RAW_TRACES, CONVERSATION_LOGS)
"""Tables whose rows are Parquet already; those of the others are in the relation."""


@dataclass(slots=True)
class Gain:
    """Rows that a round adds to a day of a table."""

    rows: int = 0
    content: int = 0
    """Sum of the content hashes of the rows."""
    sources: set[str] = field(default_factory=set)
    """Files that the rows came from."""


class Commit:
    """Merges one round into the lake.

    Attributes:
        days: those whose content changed.
    """

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, lake: Lake, files: Files, paths: list[str]
    ) -> None:
        self.connection, self.lake, self.files, self.paths = connection, lake, files, paths
        self.days: set[date] = set()
        self._replaced = ReplacedRows()
        connection.execute(CHANGES_SQL)

    def drop(self, duplicates: Duplicates) -> None:
        """Rewrite staged files without the versions of events that do not stay."""
        dropped = duplicates.find()
        self._replaced |= duplicates.replaced
        changed = self._noted(find_words(self.connection)) if dropped or duplicates.replaced else set()
        self._rewrite_staged(changed, dropped)

    def join_traces(self) -> None:
        """Mark failures that repeat one of another file, in staged and stored files."""
        self._rewrite_staged(self._noted(find_repeats(self.connection, self.lake, self.files)), {})

    def _rewrite_staged(self, changed: set[str], dropped: Mapping[str, int]) -> None:
        """Write files anew that change, or lose rows: `dropped` says how many."""
        condition = "file_row_number not in (select file_row_number from fl_drop where filename = $file)"
        for (name, day), files in self.files.items():
            for place, file in enumerate(files):
                path = staged_path(self.lake, name, day, file)
                if path in changed or path in dropped:
                    rows = file.rows - dropped.get(path, 0)
                    kept = condition if path in dropped else "true"
                    files[place] = self._rewritten(TABLES[name], day, [path], rows, kept)

    def _noted(self, found: list[RowChange]) -> set[str]:
        """Note what other files tell of staged and stored rows; return the staged files to rewrite."""
        staged = set(staged_paths(self.lake, self.files))
        for one in found:
            if one.path in staged:
                self.connection.execute(
                    """update fl_stage set content = ?
                        where is_trace and event_date = ? and id_hash = hash(?::varchar) and content = ?""",
                    [one.after, one.day, one.event_id, one.before],
                )
            else:
                stored = self._replaced.of(RAW_TRACES.name, one.day, one.path)
                stored.changed += 1
                stored.content = (stored.content + one.before - one.after) % 2**64
        return staged & {one.path for one in found}

    def replace(self, rows: ReplacedRows) -> None:
        """Drop stored rows when the days are committed."""
        self._replaced |= rows

    def add(self, table: Table, day: date, gain: Gain, write: Callable[[Path], object]) -> None:
        """Commit a day with more rows, which `write` writes."""
        self.files[table.name, day] = [self.lake.add(table.name, day, gain.rows, write)]
        self._commit_day(table, day, gain, Counter())

    def take_out(self, rows: ReplacedRows, stats: Mapping[str, int]) -> None:
        """Commit the days of these rows without them, and add `stats` to those of calls."""
        self.replace(rows)
        for name, day in sorted(rows):
            self._commit_day(TABLES[name], day, Gain(), Counter(stats if name == RAW_TRACES.name else {}))

    def run(self, stats: dict[date, Counter[str]], refused: dict[date, Counter[str]]) -> None:
        """Commit every table, day by day; after a crash between two days the next ingestion does the rest.

        `stats` and `refused` are counts of events and of refused lines, added to those of manifests.
        """
        own = {RAW_TRACES.name: stats, QUARANTINED_EVENTS.name: refused}
        for table, relation in _RELATIONS:
            gains = self._gains(table, relation)
            if table not in _STAGED_AS_FILES:
                self._write_files(table, relation, gains)
            touched = {*gains, *own.get(table.name, {})}
            touched |= {day for name, day in (*self.files, *self._replaced) if name == table.name}
            for day in sorted(touched):
                self._commit_day(
                    table, day, gains.get(day, Gain()), own.get(table.name, {}).get(day, Counter())
                )

    def _gains(self, table: Table, relation: str) -> dict[date, Gain]:
        content, sources = "content", "list(distinct file_no)"
        if table not in _STAGED_AS_FILES:
            content, sources = hashed_sql(table), "[]::integer[]"
        if table is QUARANTINED_EVENTS:
            sources = "list(distinct source_file)"
        found = self.connection.execute(
            f"select event_date, count(*), sum({content}), {sources} from {relation} group by event_date"  # noqa: S608
        ).fetchall()
        return {
            day: Gain(rows, int(total), {self.paths[one] if isinstance(one, int) else one for one in names})
            for day, rows, total, names in found
        }

    def _write_files(self, table: Table, relation: str, gains: dict[date, Gain]) -> None:
        columns = ", ".join(table.column_names)
        sql = f"""copy (select {columns} from {relation} where event_date = $day {table.order_sql})
            to $path {PARQUET}"""  # noqa: S608 - our own names

        def write(path: Path, day: date) -> None:
            self.connection.execute(sql, {"day": day, "path": os.fspath(path.resolve())})

        for day, gain in gains.items():
            self.files[table.name, day] = [
                self.lake.add(table.name, day, gain.rows, lambda path, day=day: write(path, day))
            ]

    def _commit_day(self, table: Table, day: date, gain: Gain, stats: Counter[str]) -> None:
        """Commit a day with what it gains; where only counts changed, only the manifest is written.

        1. An expired day stays as it is: its sums were made from all of its events.
        2. Files with rows that are replaced or changed are rewritten.
        3. Small files are merged.
        4. The manifest is put in place last.
        """
        old = self.lake.manifest(table.name, day)
        if (not gain.rows and old is None) or (old and old.is_expired):
            if (table.name, day) in self.files:
                self.lake.sweep(table.name, day)
            return
        replaced = self._replaced.get((table.name, day), {})
        lost_rows = sum(len(one.rows) for one in replaced.values())
        changed = sum(one.changed for one in replaced.values())
        lost_content = sum(one.content for one in replaced.values())
        kept = [
            self._without(table, day, file, replaced.get(file.name)) for file in (old.files if old else ())
        ]
        total = (int(old.content_hash, 16) if old else 0) + gain.content - lost_content
        self.lake.commit(
            Manifest(
                table=table.name,
                day=day,
                rows=gain.rows + (old.rows if old else 0) - lost_rows,
                content_hash=f"{total % 2**64:016x}",
                version=(old.version if old else 0) + bool(gain.rows or lost_rows or changed),
                source_files=tuple(sorted({*gain.sources, *(old.source_files if old else ())})),
                schema_version=SCHEMA_VERSION,
                duckdb_version=duckdb.__version__,
                files=self._together(table, day, kept, self.files[table.name, day]),
                stats=dict(sorted(_counts(table, old, stats).items())),
            )
        )
        if gain.rows or lost_rows or changed:
            self.days.add(day)

    def _without(self, table: Table, day: date, file: LakeFile, replaced: Replaced | None) -> LakeFile:
        if replaced is None:
            return file
        path = os.fspath((self.lake.folder(table.name, day) / file.name).resolve())
        rows = ", ".join(map(str, replaced.rows)) or "-1"
        condition = f"file_row_number not in ({rows})"
        return self._rewritten(table, day, [path], file.rows - len(replaced.rows), condition)

    def _together(
        self, table: Table, day: date, old: list[LakeFile], new: list[LakeFile]
    ) -> tuple[LakeFile, ...]:
        """Return the files of a day from now on, with small ones merged."""
        files = [file for file in (*old, *new) if file.rows]  # one without rows had duplicates only
        small = [file for file in files if file.rows < SMALL_FILE_ROWS]
        if len(small) > 1:
            kept = [file for file in files if file.rows >= SMALL_FILE_ROWS]
            paths = [os.fspath(self._path(table, day, file).resolve()) for file in small]
            files = [*kept, self._rewritten(table, day, paths, sum(file.rows for file in small))]
        return tuple(sorted(files, key=lambda file: file.name))

    def _path(self, table: Table, day: date, file: LakeFile) -> Path:
        staged = self.lake.staged(table.name, day, file)
        return staged if staged.exists() else self.lake.folder(table.name, day) / file.name

    def _rewritten(
        self, table: Table, day: date, paths: list[str], rows: int, condition: str = "true"
    ) -> LakeFile:
        """Add one file with the rows of several for which a condition holds; missing columns are null."""
        columns = ", ".join(table.column_names)
        self.connection.execute(f"create or replace temp table fl_columns ({table.columns_sql})")
        found = WITH_CHANGES if table is RAW_TRACES else "from all_rows"
        sql = f"""
            copy (
                with all_rows as (
                    select * from read_parquet($paths, filename = true, file_row_number = true,
                        hive_partitioning = false, union_by_name = true)
                    where {condition}),
                found as ({found})
                select {columns} from (select *
                    from fl_columns union all by name select * exclude (filename, file_row_number) from found)
                {table.order_sql})
            to $path {PARQUET}"""  # noqa: S608 - our own names
        given = {"paths": paths, **({"file": paths[0]} if "$file" in condition else {})}

        def write(path: Path) -> None:
            self.connection.execute(sql, {"path": os.fspath(path.resolve()), **given})

        return self.lake.add(table.name, day, rows, write)


def _counts(table: Table, old: Manifest | None, more: Counter[str]) -> Counter[str]:
    """Return the counts of a day and what is added to them; of lost events also that there are none."""
    counts = Counter(old.stats if old else {}) + more  # which leaves out what is nought
    if table == QUARANTINED_EVENTS:
        counts["lost_events"] = lost_events(old) + more["lost_events"]
    return counts
