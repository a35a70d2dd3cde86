"""One round of ingestion: files are staged, deduplicated, and committed by day.

What goes here: the order of the steps, and reading files in parallel with staging. What does not: rounds and
connections (`engine.py`), staging a batch (`stage.py`), which version of an event stays (`duplicates.py`),
refused lines (`quarantine.py`), the commit (`commit.py`).
"""

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from datetime import date
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import duckdb
import orjson
import pyarrow as pa

from fl_assets.core.tables import ERROR_RECORDS, EVALUATIONS
from fl_assets.events.bulk import read_events
from fl_assets.events.commit import Commit
from fl_assets.events.duplicates import Duplicates, Files
from fl_assets.events.event import event_day
from fl_assets.events.find import Source
from fl_assets.events.formats import detect
from fl_assets.events.formats.seam import UNFORESEEN, EvaluationLine, Format, Read, ReadOptions, RefusedLine
from fl_assets.events.index import FileResult
from fl_assets.events.lines import FollowedLines, tables_of
from fl_assets.events.mapping_files import mapped_formats
from fl_assets.events.outcome import IngestReport, Unread
from fl_assets.events.quarantine import Refused, refused_early, refused_of, stage_refused
from fl_assets.events.read import Reading, damage_of, line_batches, numbered_lines, read_head
from fl_assets.events.redaction import compile_rules, redact, redact_all, redact_id, redact_with_counts
from fl_assets.events.side_rows import SIDE_TABLES, redacted_row, stage
from fl_assets.events.small_files import SmallFile, put_together, small_file
from fl_assets.events.sql import SOURCES, STAGE
from fl_assets.events.stage import Stager, lines_of
from fl_assets.events.unread import archive_of, could_be_events, looks_like, may_become_events, unread_of
from fl_assets.infra.time_limit import OutOfTimeError, Watch, seconds_for

if TYPE_CHECKING:
    from fl_assets.events.engine import DuckDBEngine

REPORT_SECS = 5.0
"""Seconds between two reports of progress."""
_FORMAT_ROWS = 10_000
_SHOWN = 80
"""Characters of a file's path, from its end, that progress shows."""


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
        self.now = engine.now()
        self.connection = connection
        self.own_formats = mapped_formats(engine.settings.mapping_path)
        self.read_options = ReadOptions(engine.settings.start_date, engine.settings.node_attributes)
        self.readings = [Reading(source) for source in sources]
        self.redactions: Counter[tuple[date | None, str]] = Counter()
        self.refused: list[Refused] = []
        self.mended = 0
        self.rows: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        self.secret = engine.secret()
        self.mask_names = mask_names
        self.files: Files = defaultdict(list)
        self.watch = Watch(0)
        self.report_progress: Callable[[str], None] = lambda _: None
        self.begun = self.reported = time.monotonic()
        self.at = self.lines = self.read_bytes = 0

    def run(self, report_progress: Callable[[str], None]) -> IngestReport:
        """Stage, deduplicate, commit, and only then update the index."""
        self.report_progress = report_progress
        self.create()
        self._stage_all()
        for number, reading in enumerate(self.readings):
            self.refused += self.refused_of(number, reading)
        # Before duplicates are dropped: their days date the refused lines beside them.
        stage_refused(self.connection, self.lake, self.refused, self._fallback_days(), self.clean)
        refused = self._refused_by_day()
        last_days = self._last_days()
        commit = Commit(self.connection, self.lake, self.files, self.paths)
        duplicates = Duplicates(self.connection, self.lake, self.files)
        commit.drop(duplicates)
        if any(reading.format != "telemetrist" for reading in self.readings):
            commit.join_traces()
        rows = self._stage_rows(commit)
        stats = self._stats(duplicates.counts)
        events = self._count("fl_stage")
        commit.run(stats, refused)
        unread = self._unread()
        self.engine.index.commit(
            [
                FileResult(reading, last_days.get(number), unread.get(number))
                for number, reading in enumerate(self.readings)
                if _was_read(reading)
            ],
            {*commit.days, *stats},
            self.lake,
        )
        return self._report(events, rows, commit.days, duplicates, unread)

    def _report(
        self,
        events: int,
        rows: dict[str, int],
        days: set[date],
        duplicates: Duplicates,
        unread: dict[int, Unread],
    ) -> IngestReport:
        kinds: Counter[str] = Counter()
        for (_, kind), count in duplicates.counts.items():
            kinds[kind] += count
        redactions: Counter[str] = Counter()
        for (_, entity), count in self.redactions.items():
            redactions[entity] += count
        known = Counter(reading.format for reading in self.readings if reading.format != "unknown")
        return IngestReport(
            files=known.total(),
            events=events,
            quarantined=sum(one.lines for one in unread.values()),
            lost_events=sum(one.events for one in unread.values()),
            duplicates=kinds["duplicates"],
            conflicts=kinds["conflicts"],
            superseded=kinds["superseded"],
            repeats=duplicates.repeats,
            mended=self.mended + sum(reading.mended for reading in self.readings),
            redactions=dict(sorted(redactions.items())),
            formats=dict(sorted(known.items())),
            ignored=len(self.readings) - known.total(),
            error_records=rows[ERROR_RECORDS.name],
            evaluations=rows[EVALUATIONS.name],
            days=tuple(sorted(days)),
            unread=tuple(unread[number] for number in sorted(unread)),
        )

    # Reading

    def create(self) -> None:
        """Create the tables of sources and of staged events."""
        given = [reading.source for reading in self.readings]
        self.paths = redact_all([source.path for source in given])
        received = self.now.replace(tzinfo=None)  # not the file's time, which archives and copies reset
        sources = [
            {
                "file_no": number,
                "path": path,
                "node": None if source.node is None else _redacted_id(source.node, self.secret),
                "received": received,
            }
            for number, (path, source) in enumerate(zip(self.paths, given, strict=True))
        ]
        self.connection.execute(SOURCES.ddl)
        self.connection.register("fl_given", pa.Table.from_pylist(sources, schema=SOURCES.arrow_schema))
        self.connection.execute(f"insert into {SOURCES.name} by name select * from fl_given")  # noqa: S608 - our own name
        self.connection.unregister("fl_given")
        self.connection.execute(STAGE.ddl)

    def batches(self) -> Iterator[pa.RecordBatch | SmallFile]:
        """Yield the new lines of each file; `readings` and `rows` are complete when all are read.

        An error that a file raises refuses that file and no other; `_converted` does the same for an entry.
        """
        for number, reading in enumerate(self.readings):
            self.watch, self.at = Watch(seconds_for(reading.source.size)), number
            try:
                for batch in self.watch.timed(self._lines_of(reading, number)):
                    yield batch
                    self._tell()
            except FileNotFoundError:
                continue  # deleted since it was listed
            except OSError as error:
                self._refuse_file(reading, "cannot_open", error.strerror or str(error))
            except UNFORESEEN as error:
                self._refuse_file(
                    reading, "damaged_file", f"{reading.format}: {type(error).__name__}: {error}"
                )

    def _lines_of(self, reading: Reading, number: int) -> Iterator[pa.RecordBatch | SmallFile]:
        source, most = reading.source, self.settings.max_line_bytes
        if source.refused:
            self._refuse_file(reading, "cannot_open", source.refused)
            return
        head = read_head(source)
        archive = archive_of(head)
        entry = None if archive else detect(source.name, head, self.own_formats)
        if archive:
            self._refuse_file(reading, "unsupported_format", str(archive))
        elif entry:
            reading.format = entry.name
            yield from self._converted(entry, reading, number)
        elif could_be_events(head) and (small := small_file(reading, number, head, most=most)):
            yield small
        elif could_be_events(head) or source.offset:
            for batch in line_batches(reading, number, max_line_bytes=most, now=self.now):
                yield batch
                if self.watch.is_over():
                    self._refuse_rest(reading, batch["line_no"][-1].as_py())
                    return
        elif source.coding and not head and (damage := damage_of(source)):
            self._refuse_file(reading, damage.reason, str(damage))
        elif not source.size or may_become_events(head, source, self.now):
            return  # still growing: tried again by the next ingestion
        else:
            with source.open() as file:
                start = file.read(4096)
            self._refuse_file(reading, "unsupported_format", str(looks_like(source.name, start, head)))

    def _refuse_file(self, reading: Reading, reason: Any, detail: str) -> None:
        """Refuse a file as a whole."""
        is_unknown = reading.format == "telemetrist" and not reading.end_offset and not reading.source.offset
        reading.format = "unknown" if is_unknown else reading.format
        reading.end_offset = reading.source.size
        reading.bad(0, reason, detail, size=reading.source.size, events=0)

    def _refuse_rest(self, reading: Reading, line: int) -> None:
        """Refuse the rest of a file that took too long."""
        detail = f"took more than {self.watch.most:,.0f} s, the most for its size: the rest was not read"
        reading.end_offset = reading.source.size
        reading.bad(line, "over_limit", detail, events=0)

    def _converted(self, entry: Format, reading: Reading, number: int) -> Iterator[pa.RecordBatch]:
        """Convert a file of another format to native events; rows of other tables go to `rows`.

        An entry over which the reader fails is refused, and reading goes on after it.
        """
        lines = FollowedLines(numbered_lines(reading, self.now), self.watch)
        rows: list[tuple[int, bytes]] = []
        is_done = False
        while not is_done:
            try:
                for result in entry.read(lines, self.read_options):
                    lines.done = max(lines.done, result.line)
                    self._take(entry, reading, result, rows)
                    self.watch.check()
                    if len(rows) >= _FORMAT_ROWS:
                        yield lines_of(number, rows)
                        rows = []
                is_done = True
            except OutOfTimeError:
                self._refuse_rest(reading, lines.done)
                is_done = True
            except UNFORESEEN as error:
                detail = f"{entry.name}: {type(error).__name__}: {error}"
                line, start = lines.skip_bad()
                reading.bad(line, "bad_record", detail[:300], start)
        if rows:
            yield lines_of(number, rows)

    def _take(self, entry: Format, reading: Reading, result: Read, rows: list[tuple[int, bytes]]) -> None:
        """Store what a reader yields: events in `rows`, refusals in `reading`, the rest in `self.rows`."""
        if isinstance(result, RefusedLine):
            reading.bad(result.line, result.reason, result.detail, events=result.events)
        elif isinstance(result, EvaluationLine):
            row = orjson.loads(result.data)
            row["node_id"] = row.get("node_id") or reading.source.node or "unknown"
            self.rows[EVALUATIONS.name].append({**row, "source_file": reading.source.path})
        elif entry.table == ERROR_RECORDS.name:
            self.rows[ERROR_RECORDS.name].append(orjson.loads(result.data))
        else:
            rows.append((result.line, result.data))

    # Staging

    def _stage_all(self) -> None:
        """Stage every file, and report progress."""
        for batch in self.staged():
            self.lines += batch.num_rows
            self.read_bytes += batch["line"].nbytes
            self._tell()

    def _tell(self) -> None:
        """Report progress, and the file that is being read, if the last report is a while ago."""
        now = time.monotonic()
        if now - self.reported < REPORT_SECS:
            return
        total_bytes = max(1, sum(reading.source.weight for reading in self.readings))
        self.reported, share, seconds = now, min(0.99, self.read_bytes / total_bytes), now - self.begun
        path = self.paths[self.at]
        self.report_progress(
            f"{share:.0%}: {self.at} of {len(self.readings)} files, {self.lines / seconds:,.0f} lines/s, "
            f"about {seconds * (1 - share) / max(share, 0.01):,.0f} s left, "
            f"reading {path if len(path) <= _SHOWN else f'…{path[-_SHOWN:]}'}"
        )

    def staged(self) -> Iterator[pa.Table]:
        """Stage batches in parallel with reading; yield each once it is staged."""
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
            for batch in tables_of(put_together(self.batches())):
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
        early: Counter[tuple[int, date]] = Counter()
        for stager in stagers:
            stager.finish()
            early += stager.early
            self.refused += stager.refused.all()
            self.mended += stager.mended
            self.redactions.update({(None, entity): count for entity, count in stager.redactions.items()})
            for key, files in stager.files.items():
                self.files[key] += files
            stager.connection.close()
        self.refused += refused_early(early, self.settings.start_date)

    # Refused lines

    def refused_of(self, number: int, reading: Reading) -> list[Refused]:
        """Return what was refused while a file was read."""
        return refused_of(number, reading, self.clean)

    def _fallback_days(self) -> dict[int, date]:
        """By file, the day of lines before its first event: of the last event read before, else today."""
        return {
            number: reading.source.last_day or event_day(None, self.now, self.settings.start_date)[0]
            for number, reading in enumerate(self.readings)
        }

    def _refused_by_day(self) -> dict[date, Counter[str]]:
        """By day, the counts of `fl_bad` for its manifest: events lost, and files not read at all."""
        found = self.connection.execute("""
            select event_date, sum(events)::bigint, count(*) filter (where source_line = 0 and events = 0)
            from fl_bad group by event_date""").fetchall()
        return {day: Counter(lost_events=lost, unread_files=files) for day, lost, files in found}

    def _unread(self) -> dict[int, Unread]:
        """By file, what this round could not read."""
        by_file: defaultdict[int, list[Refused]] = defaultdict(list)
        for one in self.refused:
            by_file[one.file_no].append(one)
        found = {}
        for number, rows in by_file.items():
            reading = self.readings[number]
            found[number] = unread_of(
                self.paths[number],
                reading.source.size,
                rows,
                self.clean,
                is_whole=reading.format == "unknown",
            )
        return found

    def redacted_rows(self) -> dict[str, list[dict[str, Any]]]:
        """Return the rows of other tables, redacted."""
        return {
            side.table.name: [
                redacted_row(side.table, row, self._redacted, partial(_redacted_id, secret=self.secret))
                for row in self.rows[side.table.name]
            ]
            for side in SIDE_TABLES
        }

    def _stage_rows(self, commit: Commit) -> dict[str, int]:
        """Stage the rows of other tables; return how many, by table."""
        found, start, counts = self.redacted_rows(), self.settings.start_date, {}
        for side in SIDE_TABLES:
            name = side.table.name
            counts[name], replaced = stage(self.connection, self.lake, side, found[name], self.now, start)
            commit.replace(replaced)
        return counts

    def clean(self, text: str) -> str:
        """Redact a text, with names of persons where that is on."""
        return self.mask_names(redact(text)) if self.mask_names else redact(text)

    def _redacted(self, text: str) -> str:
        redacted, counts = redact_with_counts(text)
        redacted = self.mask_names(redacted) if self.mask_names else redacted
        for entity, count in counts.items():
            self.redactions[None, entity] += count
        return redacted

    # Counting

    def _last_days(self) -> dict[int, date]:
        """By file, the day of its last valid event."""
        return dict(
            self.connection.execute(
                "select file_no, arg_max(event_date, line_no) from fl_stage group by file_no"
            ).fetchall()
        )

    def _stats(self, duplicates: Counter[tuple[date, str]]) -> dict[date, Counter[str]]:
        """By day, counts for its manifest: duplicates, masked values, wrong clocks."""
        stats: defaultdict[date, Counter[str]] = defaultdict(Counter)
        for (day, kind), count in duplicates.items():
            stats[day][kind] += count
        masked = self.connection.execute("""
            with names as (
                select event_date, unnest(string_split(rtrim(masked, ' '), ' ')) as name
                    from fl_stage where masked is not null)
            select event_date, name, count(*) from names group by all""").fetchall()
        for day, name, count in masked:
            sign = -1 if name.startswith("-") else 1
            self.redactions[day, name.removeprefix("-")] += sign * count
        self.redactions = Counter({key: count for key, count in self.redactions.items() if count > 0})
        for (day, name), count in self.redactions.items():
            if day is not None:
                stats[day][f"redacted_{name.lower()}"] += count
        for day, count in self.connection.execute(
            "select event_date, count(*) from fl_stage where has_clock_skew group by all"
        ).fetchall():
            stats[day]["clock_skewed"] += count
        return dict(stats)

    def _count(self, relation: str) -> int:
        return self.connection.execute(f"select count(*) from {relation}").fetchall()[0][0]  # noqa: S608 - our own names


def _was_read(reading: Reading) -> bool:
    """Whether the index has something to record of a file."""
    return bool(
        reading.end_offset or reading.problems or reading.format == "unknown" or not reading.source.size
    )


@lru_cache(maxsize=10_000)
def _redacted_id(name: str, secret: bytes) -> str:
    return redact_id(name, secret)
