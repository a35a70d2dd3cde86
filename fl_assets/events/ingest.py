"""One round of ingestion: files are staged, freed of duplicates, and committed by day.

What goes here: the order of the steps, reading files side by side with staging, the commit. What does not: turns and connections (`engine.py`), what a
batch becomes (`stage.py`), which event of two stays (`duplicates.py`), what is not an event (`quarantine.py`).
"""

import os
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import orjson
import pyarrow as pa

from fl_assets.core.tables import (
    CONVERSATION_LOGS,
    ERROR_RECORDS,
    QUARANTINED_EVENTS,
    RAW_TRACES,
    TABLES,
    Table,
)
from fl_assets.events.bulk import read_events
from fl_assets.events.event import event_day, excerpt, parse_time, safe_redact
from fl_assets.events.find import Source
from fl_assets.events.formats import Format, ReadOptions, RefusedLine, detect
from fl_assets.events.index import is_readable
from fl_assets.events.read import BATCH_SCHEMA, Reading, line_batches, numbered_lines, read_head
from fl_assets.events.redaction import compile_rules, redact, redact_id, redact_with_counts
from fl_assets.events.sql import content_sql
from fl_assets.events.stage import PARQUET, Stager, lines_of
from fl_assets.infra.lake import SCHEMA_VERSION, LakeFile, Manifest

if TYPE_CHECKING:
    from fl_assets.events.engine import DuckDBEngine

TELL_SECS = 5.0
"""Seconds between two words about how far reading is."""
BATCH_BYTES = 32 * 1024 * 1024
SMALL_FILE_ROWS = 4096
"""A day's files of fewer rows are put together when more come: a batch of one day makes larger ones."""
_FORMAT_ROWS = 10_000


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What one ingestion did."""

    files: int = 0
    events: int = 0
    """New ones, stored."""
    quarantined: int = 0
    duplicates: int = 0
    """Events that were there already, or twice in the files, with the same content."""
    conflicts: int = 0
    """The same id with other content: the first one stored stays."""
    redactions: dict[str, int] = field(default_factory=dict)
    """Values masked, by entity."""
    formats: dict[str, int] = field(default_factory=dict)
    """Files by format."""
    ignored: int = 0
    """Files that are not telemetry."""
    error_records: int = 0
    days: tuple[date, ...] = ()
    """Days whose content changed."""
    seconds: float = 0.0

    def merged(self, other: "IngestReport") -> "IngestReport":
        """Return the sum of two reports."""
        return IngestReport(
            self.files + other.files,
            self.events + other.events,
            self.quarantined + other.quarantined,
            self.duplicates + other.duplicates,
            self.conflicts + other.conflicts,
            dict(sorted((Counter(self.redactions) + Counter(other.redactions)).items())),
            dict(sorted((Counter(self.formats) + Counter(other.formats)).items())),
            self.ignored + other.ignored,
            self.error_records + other.error_records,
            tuple(sorted({*self.days, *other.days})),
            self.seconds + other.seconds,
        )


class Ingestion:
    """One round: some files staged, deduplicated and committed by day."""

    def __init__(
        self,
        engine: "DuckDBEngine",
        connection: duckdb.DuckDBPyConnection,
        sources: list[Source],
        mask_names: Callable[[str], str] | None = None,
    ) -> None:
        self.engine, self.settings, self.lake = engine, engine.settings, engine.lake
        self.now = engine._clock()
        self.connection = connection
        self.read_options = ReadOptions(engine.settings.start_date, engine.settings.node_attributes)
        self.readings = [Reading(source) for source in sources]
        self.redactions: Counter[tuple[date | None, str]] = Counter()
        self.bad: list[tuple[int, int, str, str, str, int]] = []
        self.records: list[dict[str, Any]] = []
        self.ignored = 0
        self.secret = engine.secret()
        self.mask_names = mask_names
        self.days: set[date] = set()
        self.files: defaultdict[tuple[str, date], list[LakeFile]] = defaultdict(list)
        self.tell: Callable[[str], None] = lambda _: None

    def run(self, tell: Callable[[str], None]) -> IngestReport:
        """Stage, deduplicate, commit, and only then tell the index."""
        self.tell = tell
        self.create()
        begin = told = time.monotonic()
        lines = read_bytes = 0
        total_bytes = sum(weight_of(reading.source) for reading in self.readings)
        for batch in self.staged():
            lines, read_bytes, now = (
                lines + batch.num_rows,
                read_bytes + batch["line"].nbytes,
                time.monotonic(),
            )
            if now - told >= TELL_SECS:
                told, share = now, min(0.99, read_bytes / max(1, total_bytes))
                left, files = (now - begin) * (1 - share) / max(share, 0.01), batch["file_no"][-1].as_py()
                tell(
                    f"{share:.0%}: {files} of {len(self.readings)} files, {lines / (now - begin):,.0f} lines/s, about {left:,.0f} s left"
                )
        for number, reading in enumerate(self.readings):
            self.bad += self.refused(number, reading)
        quarantined, last_days = (
            self._stage_quarantined(),
            self._last_days(),
        )  # while events that turn out to be duplicates still say which day it was
        duplicates = self._drop_duplicates()
        records = self._stage_records()
        stats = self._stats(duplicates)
        events = self._count("fl_stage")
        for table, relation in (
            (RAW_TRACES, "(from fl_stage where is_trace)"),
            (CONVERSATION_LOGS, "(from fl_stage where not is_trace)"),
            (QUARANTINED_EVENTS, "fl_bad"),
            (ERROR_RECORDS, "fl_records"),
        ):
            self._commit(table, relation, stats)
        read = [
            reading
            for reading in self.readings
            if reading.end_offset
            or reading.problems
            or reading.format == "ignored"
            or not reading.source.size
        ]
        touched = {*self.days, *(day for day in stats)}
        self.engine.index.commit(read, last_days, touched, self.lake)
        conflicts = sum(number for (_, kind), number in duplicates.items() if kind == "conflicts")
        redactions: Counter[str] = Counter()
        for (_, entity), count in self.redactions.items():
            redactions[entity] += count
        return IngestReport(
            files=len(self.readings) - self.ignored,
            events=events,
            quarantined=quarantined,
            duplicates=sum(duplicates.values()) - conflicts,
            conflicts=conflicts,
            redactions=dict(sorted(redactions.items())),
            formats=dict(
                sorted(
                    Counter(
                        reading.format for reading in self.readings if reading.format != "ignored"
                    ).items()
                )
            ),
            ignored=self.ignored,
            error_records=records,
            days=tuple(sorted(self.days)),
        )

    # Reading

    def create(self) -> None:
        """Make the tables that lines are staged with and in."""
        sources = [
            {
                "file_no": number,
                "path": safe_redact(reading.source.path, redact),
                "node": _redacted_name(reading.source.node, self.secret),
                "received": min(reading.source.received, self.now).replace(tzinfo=None),
            }
            for number, reading in enumerate(self.readings)
        ]
        self.paths = [source["path"] for source in sources]
        schema = pa.schema(
            [
                ("file_no", pa.int32()),
                ("path", pa.string()),
                ("node", pa.string()),
                ("received", pa.timestamp("us")),
            ]
        )
        table = pa.Table.from_pylist(sources, schema=schema)
        self.connection.register("fl_given", table)
        self.connection.execute("create table fl_sources as select * from fl_given")
        self.connection.unregister("fl_given")
        self.connection.execute("""create table fl_stage (event_date date, file_no integer, line_no bigint, is_trace boolean, has_clock_skew boolean, masked varchar,
            content ubigint, id_hash ubigint)""")

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Give the new lines of each file; what became of the file is in `readings`, `records` and `ignored` when all are read."""
        for number, reading in enumerate(self.readings):
            source = reading.source
            head = read_head(source)
            entry = detect(source.name, head)
            if not is_readable(source, head, entry):
                reading.format, reading.end_offset = "ignored", source.size
                self.ignored += 1
                continue
            if entry:
                reading.format = entry.name
            try:
                if entry is None:
                    yield from line_batches(
                        reading, number, max_line_bytes=self.settings.max_line_bytes, now=self.now
                    )
                else:
                    yield from self._converted(entry, reading, number)
            except FileNotFoundError:
                continue  # it vanished since it was listed; the index goes on without it
            except OSError as error:
                reading.bad(0, "damaged_file", f"cannot be read: {error.strerror}")

    def _converted(self, entry: Format, reading: Reading, number: int) -> Iterator[pa.RecordBatch]:
        """Turn a file of another format into events of the telemetrist, line by line; error records are kept aside."""
        rows: list[tuple[int, bytes]] = []
        results = entry.read(numbered_lines(reading, self.now), self.read_options)
        while chunk := list(islice(results, _FORMAT_ROWS)):
            for result in chunk:
                if isinstance(result, RefusedLine):
                    reading.bad(result.line, result.reason, result.detail)
                elif entry.table == "error_records":
                    self.records.append(orjson.loads(result.data))
                else:
                    rows.append((result.line, result.data))
            if rows:
                yield lines_of(number, rows)
                rows = []

    # Staging

    def staged(self) -> Iterator[pa.Table]:
        """Stage batches, some side by side while the next one is read, and give each once it is staged."""
        stagers = [
            Stager(
                self.connection.cursor(),
                self.lake,
                start=self.settings.start_date,
                secret=self.secret,
                mask_names=self.mask_names,
            )
            for _ in range(1 if self.mask_names else self.engine.stagers)
        ]
        with ThreadPoolExecutor(len(stagers), thread_name_prefix="fl-stage") as pool:
            running: dict[Future[None], tuple[Stager, pa.Table | None]] = {
                pool.submit(compile_rules): (stager, None) for stager in stagers
            }
            for batch in tables_of(self.batches()):
                read = read_events(batch["line"])
                done = next(as_completed(running))
                stager, staged = running.pop(done)
                done.result()
                running[pool.submit(stager.stage, batch, read)] = stager, batch
                if staged is not None:
                    yield staged
            for future, (_, staged) in running.items():
                future.result()
                if staged is not None:
                    yield staged
        for stager in stagers:
            stager.finish()
            self.bad += stager.bad
            self.redactions.update({(None, entity): count for entity, count in stager.redactions.items()})
            for key, files in stager.files.items():
                self.files[key] += files
            stager.connection.close()

    # Once each

    def _drop_duplicates(self) -> Counter[tuple[date, str]]:
        """Drop events whose id was staged or stored before; return how many by day, as duplicates and conflicts.

        Hashes of ids say which events might be; of those, ids are compared. Of what is stored only ids are read, and the rest of files that hold one of them: the days
        are read again in each round.
        """
        counts: Counter[tuple[date, str]] = Counter()
        run = self.connection.execute
        run("create or replace temp table fl_twice(id_hash ubigint)")
        rows, ids = run("select count(*), count(distinct id_hash) from fl_stage").fetchall()[0]
        if ids < rows:
            run("insert into fl_twice select id_hash from fl_stage group by id_hash having count(*) > 1")
        run("create or replace temp table fl_stored(event_id varchar, content ubigint)")
        days = {
            day + timedelta(days=offset)
            for (day,) in run("select distinct event_date from fl_stage").fetchall()
            for offset in (-1, 0, 1)
        }
        for table, kind in ((RAW_TRACES, "trace"), (CONVERSATION_LOGS, "talk")):
            if files := [os.fspath(path.resolve()) for path in self.lake.files(table.name, days)]:
                run(
                    """create or replace temp table fl_found as select event_id, hash(filename) as file
                        from read_parquet($files, filename = true, hive_partitioning = false) where hash(event_id) in (select id_hash from fl_stage)""",
                    {"files": files},
                )
                hit = run(
                    "select path from unnest($files) as given(path) where hash(path) in (select file from fl_found)",
                    {"files": files},
                ).fetchall()
                if hit:
                    run(
                        f"""insert into fl_stored select event_id, any_value({content_sql(kind)}) from read_parquet($files, hive_partitioning = false)
                            where event_id in (select event_id from fl_found) group by event_id""",  # noqa: S608 - our own SQL
                        {"files": [path for (path,) in hit]},
                    )
        run("insert into fl_twice select hash(event_id) from fl_stored")
        if not self._count("fl_twice"):
            return counts
        run("""create or replace temp table fl_again(event_id varchar, event_date date, "timestamp" timestamp, content ubigint, source_file varchar, source_line bigint,
            filename varchar, file_row_number bigint)""")
        for table, kind in ((RAW_TRACES, "trace"), (CONVERSATION_LOGS, "talk")):
            if paths := [
                os.fspath(self.lake.staged(name, day, file).resolve())
                for (name, day), files in self.files.items()
                if name == table.name
                for file in files
            ]:
                run(
                    f"""insert into fl_again select event_id, event_date, timestamp, {content_sql(kind)}, source_file, source_line, filename, file_row_number
                        from read_parquet($paths, filename = true, file_row_number = true, hive_partitioning = false)
                        where hash(event_id) in (select id_hash from fl_twice)""",  # noqa: S608 - our own SQL
                    {"paths": paths},
                )
        run("""create or replace temp table fl_drop as select filename, file_row_number, hash(event_id) as id_hash, event_date, content, source_file, source_line,
                coalesce(stored <> content, content is distinct from first) as is_conflict
            from (select a.*, s.content as stored, first_value(a.content) over w as first, row_number() over w as place from fl_again a left join fl_stored s using (event_id)
                window w as (partition by event_id order by event_date, timestamp, a.content, source_file, source_line, filename))
            where place > 1 or stored is not null""")
        for day, is_conflict, count in run(
            "select event_date, is_conflict, count(*) from fl_drop group by all"
        ).fetchall():
            counts[day, "conflicts" if is_conflict else "duplicates"] += count
        run("""delete from fl_stage where rowid in (select row_id from (
            select s.rowid as row_id, row_number() over (partition by id_hash, event_date, content, line_no, path) as place, d.rows
            from fl_stage s join fl_sources using (file_no)
            join (select id_hash, event_date, content, source_line as line_no, source_file as path, count(*) as rows from fl_drop group by all) d
                using (id_hash, event_date, content, line_no, path)) where place <= rows)""")
        dropped = dict(run("select filename, count(*) from fl_drop group by filename").fetchall())
        for (name, day), files in self.files.items():
            paths = [os.fspath(self.lake.staged(name, day, file).resolve()) for file in files]
            self.files[name, day] = [
                self._rewritten(
                    TABLES[name],
                    day,
                    [path],
                    file.rows - dropped[path],
                    "file_row_number not in (select file_row_number from fl_drop where filename = $file)",
                )
                if path in dropped
                else file
                for path, file in zip(paths, files, strict=True)
            ]
        return counts

    def _rewritten(
        self, table: Table, day: date, paths: list[str], rows: int, condition: str = "true"
    ) -> LakeFile:
        """Add the rows of files of a day as one file, those that a condition holds for."""
        columns = ", ".join(table.column_names)
        source = f"read_parquet($paths, filename = true, file_row_number = true, hive_partitioning = false) where {condition}"
        sql = f"copy (select {columns} from {source} {table.order_sql}) to $path {PARQUET}"  # noqa: S608 - our own names
        given = {"paths": paths, **({"file": paths[0]} if "$file" in condition else {})}
        return self.lake.add(
            table.name,
            day,
            rows,
            lambda path: self.connection.execute(sql, {"path": os.fspath(path.resolve()), **given}),
        )

    def _together(
        self, table: Table, day: date, old: tuple[LakeFile, ...], new: list[LakeFile]
    ) -> tuple[LakeFile, ...]:
        """Return the files of a day from now on: small ones are put together, so that many small rounds leave few files."""
        files = [*old, *(file for file in new if file.rows)]  # one without rows held duplicates only
        small = [file for file in files if file.rows < SMALL_FILE_ROWS]
        if len(small) > 1:
            kept = [file for file in files if file.rows >= SMALL_FILE_ROWS]
            files = [*kept, self._joined(table, day, old, small)]
        return tuple(sorted(files, key=lambda file: file.name))

    def _joined(self, table: Table, day: date, old: tuple[LakeFile, ...], small: list[LakeFile]) -> LakeFile:
        folder = self.lake.folder(table.name, day)
        paths = [
            os.fspath(
                (folder / file.name if file in old else self.lake.staged(table.name, day, file)).resolve()
            )
            for file in small
        ]
        return self._rewritten(table, day, paths, sum(file.rows for file in small))

    # What is not an event

    def refused(self, number: int, reading: Reading) -> list[tuple[int, int, str, str, str, int]]:
        """Return what never became a line of a file, as rows of `bad`."""
        return [
            (number, line, reason, detail, excerpt(start, self._clean), size)
            for line, reason, detail, start, size in reading.problems
        ]

    def _stage_quarantined(self) -> int:
        """Stage bad lines on the day of the nearest earlier event of their file, else on the day the file was received."""
        schema = pa.schema(
            [
                ("file_no", pa.int32()),
                ("source_line", pa.int64()),
                ("reason", pa.string()),
                ("detail", pa.string()),
                ("excerpt", pa.string()),
                ("line_bytes", pa.int64()),
            ]
        )
        rows = [(*row[:3], safe_redact(row[3], self._clean)[:300], *row[4:]) for row in sorted(self.bad)]
        self.connection.register(
            "fl_given",
            pa.Table.from_arrays(
                [
                    pa.array(column, field.type)
                    for column, field in zip(zip(*rows, strict=True), schema, strict=True)
                ]
                if rows
                else [pa.array([], field.type) for field in schema],
                schema=schema,
            ),
        )
        fallback = [
            (
                number,
                reading.source.last_day
                or event_day(None, min(reading.source.received, self.now), self.settings.start_date)[0],
            )
            for number, reading in enumerate(self.readings)
        ]
        self.connection.register(
            "fl_days",
            pa.table(
                {
                    "file_no": pa.array([row[0] for row in fallback], pa.int32()),
                    "day": pa.array([row[1] for row in fallback], pa.date32()),
                }
            ),
        )
        self.connection.execute("""create temp table fl_bad as
            select distinct coalesce(e.event_date, d.day) as event_date, s.path as source_file, b.source_line, b.reason, b.detail, b.excerpt, coalesce(s.node, 'unknown') as node_id,
                b.line_bytes
            from fl_given b join fl_sources s using (file_no) join fl_days d using (file_no)
            asof left join (select file_no, line_no, event_date from fl_stage where file_no in (select file_no from fl_given)) e
                on b.file_no = e.file_no and b.source_line >= e.line_no""")
        self.connection.unregister("fl_given")
        days = {
            day + timedelta(days=offset)
            for (day,) in self.connection.execute("select distinct event_date from fl_bad").fetchall()
            for offset in (-1, 0, 1)
        }
        if files := [os.fspath(path.resolve()) for path in self.lake.files("quarantined_events", days)]:
            self.connection.execute(
                """delete from fl_bad where (source_file, source_line, reason, excerpt, line_bytes) in (
                    select (source_file, source_line, reason, excerpt, line_bytes) from read_parquet($files, hive_partitioning = false))""",
                {"files": files},
            )
        return self._count("fl_bad")

    def redacted_record(self, record: dict[str, Any]) -> dict[str, Any]:
        """Return an error record with the columns of its table, redacted."""
        row = {}
        for column in ERROR_RECORDS.columns:
            value = record.get(column.name)
            if isinstance(value, str) and column.type == "VARCHAR":
                value = (
                    _redacted_name(value, self.secret)
                    if column.name.endswith("_id")
                    else self._redacted(value)
                )
            elif isinstance(value, list):
                value = [self._redacted(str(item)) for item in value]
            row[column.name] = value
        return row

    def _stage_records(self) -> int:
        """Stage error records, redacted, each id once."""
        rows = []
        for record in self.records:
            row = self.redacted_record(record)
            moment = parse_time(str(record["timestamp"])) or self.now
            row["timestamp"] = moment.replace(tzinfo=None)
            row["event_date"] = event_day(moment, self.now, self.settings.start_date)[0]
            rows.append(row)
        types = {
            "DATE": pa.date32(),
            "TIMESTAMP": pa.timestamp("us"),
            "VARCHAR": pa.string(),
            "VARCHAR[]": pa.list_(pa.string()),
        }
        schema = pa.schema([(column.name, types[column.type]) for column in ERROR_RECORDS.columns])
        self.connection.register("fl_given", pa.Table.from_pylist(rows, schema=schema))
        self.connection.execute(
            "create temp table fl_records as select * from fl_given qualify row_number() over (partition by record_id order by event_date, timestamp, hash(fl_given)) = 1"
        )
        self.connection.unregister("fl_given")
        if files := [
            os.fspath(path.resolve())
            for path in self.lake.files("error_records", self.lake.days("error_records"))
        ]:
            self.connection.execute(
                "delete from fl_records where record_id in (select record_id from read_parquet($files, hive_partitioning = false))",
                {"files": files},
            )
        return self._count("fl_records")

    def _clean(self, text: str) -> str:
        return self.mask_names(redact(text)) if self.mask_names else redact(text)

    def _redacted(self, text: str) -> str:
        redacted, counts = redact_with_counts(text)
        redacted = self.mask_names(redacted) if self.mask_names else redacted
        for entity, count in counts.items():
            self.redactions[None, entity] += count
        return redacted

    # Commit

    def _last_days(self) -> dict[tuple[str, str], date]:
        rows = self.connection.execute(
            "select file_no, arg_max(event_date, line_no) from fl_stage group by file_no"
        ).fetchall()
        sources = [reading.source for reading in self.readings]
        return {(sources[number].kind, sources[number].path): day for number, day in rows}

    def _stats(self, duplicates: Counter[tuple[date, str]]) -> dict[date, Counter[str]]:
        stats: dict[date, Counter[str]] = {}
        for (day, kind), count in duplicates.items():
            stats.setdefault(day, Counter())[kind] += count
        masked = "select event_date, unnest(string_split(rtrim(masked, ' '), ' ')) as name from fl_stage where masked is not null"
        for day, name, count in self.connection.execute(
            f"select event_date, name, count(*) from ({masked}) group by all"  # noqa: S608
        ).fetchall():
            sign = -1 if name.startswith("-") else 1
            self.redactions[day, name.removeprefix("-")] += sign * count
        self.redactions = Counter({key: count for key, count in self.redactions.items() if count > 0})
        for (day, name), count in self.redactions.items():
            if day is not None:
                stats.setdefault(day, Counter())[f"redacted_{name.lower()}"] += count
        for day, count in self.connection.execute(
            "select event_date, count(*) from fl_stage where has_clock_skew group by all"
        ).fetchall():
            stats.setdefault(day, Counter())["clock_skewed"] += count
        return stats

    def _commit(self, table: Table, relation: str, stats: dict[date, Counter[str]]) -> None:
        """Merge the staged rows of a table into its days; where only counts changed, only the manifest is written."""
        hashed, files = (
            f"hash({', '.join(name for name in table.column_names if not name.startswith('source_'))})",
            "[]::integer[]",
        )
        if table in (RAW_TRACES, CONVERSATION_LOGS):
            hashed, files = "content", "list(distinct file_no)"
        elif table is QUARANTINED_EVENTS:
            files = "list(distinct source_file)"
        found = self.connection.execute(
            f"select event_date, count(*), sum({hashed}), {files} from {relation} group by event_date"  # noqa: S608
        ).fetchall()
        by_day = {
            day: (rows, int(content), {self.paths[name] if isinstance(name, int) else name for name in names})
            for day, rows, content, names in found
        }
        own_stats = stats if table is RAW_TRACES else {}
        for day in by_day if table in (QUARANTINED_EVENTS, ERROR_RECORDS) else ():
            self.files[table.name, day] = [
                self.lake.add(
                    table.name,
                    day,
                    by_day[day][0],
                    lambda path, day=day: self._write(table, relation, day, path),
                )
            ]
        for day in sorted({*by_day, *own_stats, *(day for name, day in self.files if name == table.name)}):
            rows, content, names = by_day.get(day, (0, 0, set()))
            old = self.lake.manifest(table.name, day)
            if (not rows and old is None) or (old and old.is_expired):
                # A day that retention removed stays as it was: its sums were made, and half of it would belie them.
                if (table.name, day) in self.files:
                    self.lake.sweep(table.name, day)
                continue
            total = (int(old.content_hash, 16) if old else 0) + content
            manifest = Manifest(
                table=table.name,
                day=day,
                rows=rows + (old.rows if old else 0),
                content_hash=f"{total % 2**64:016x}",
                version=(old.version if old else 0) + bool(rows),
                source_files=tuple(sorted({*names, *(old.source_files if old else ())})),
                schema_version=SCHEMA_VERSION,
                duckdb_version=duckdb.__version__,
                files=self._together(table, day, old.files if old else (), self.files[table.name, day]),
                stats=dict(
                    sorted((Counter(old.stats if old else {}) + own_stats.get(day, Counter())).items())
                ),
            )
            self.lake.commit(manifest)
            if rows:
                self.days.add(day)

    def _write(self, table: Table, relation: str, day: date, path: Path) -> None:
        sql = f"copy (select {', '.join(table.column_names)} from {relation} where event_date = $day {table.order_sql}) to $path {PARQUET}"  # noqa: S608 - our own names
        self.connection.execute(sql, {"day": day, "path": os.fspath(path.resolve())})

    def _count(self, relation: str) -> int:
        return self.connection.execute(f"select count(*) from {relation}").fetchall()[0][0]  # noqa: S608 - our own names


@lru_cache(maxsize=10_000)
def _redacted_name(name: str | None, secret: bytes) -> str | None:
    return redact_id(name, secret) if name is not None else None


def weight_of(source: Source) -> int:
    """Bytes of text that a source has left, as a guess where it is compressed."""
    return (source.size - source.offset) * (8 if source.compression else 1)


def tables_of(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Put batches together to tables of some size, so that neither small files nor long lines matter."""
    held: list[pa.RecordBatch] = []
    size = 0
    for batch in batches:
        held.append(batch)
        size += _weight(batch)
        if size >= BATCH_BYTES:
            yield pa.Table.from_batches(held, schema=BATCH_SCHEMA)
            held, size = [], 0
    if held:
        yield pa.Table.from_batches(held, schema=BATCH_SCHEMA)


def _weight(batch: pa.RecordBatch) -> int:
    return batch.get_total_buffer_size()
