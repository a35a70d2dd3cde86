"""The default engine: DuckDB, in process, from bytes in files to a day's Parquet and its sums.

What goes here: running SQL over batches of lines and over a day's Parquet. What does not: the SQL itself (`domain/telemetry.py`, `redaction.py`, `signatures.py`,
`conversations.py`), files (`telemetry_files.py`), how a day is replaced (`lake.py`).

Lines go from file to DuckDB as Arrow, without a copy; nothing is stored, not even in a spill file, before it is redacted. docs/benchmarks.md says what each step costs.
"""

import fcntl
import os
import queue
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import duckdb
import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
from duckdb.func import PythonUDFType

from fl_assets.domain.conversations import conversation_signals_sql
from fl_assets.domain.formats import Format, Refusal, detect
from fl_assets.domain.redaction import ITEM_SEPARATOR, KEY_SEPARATOR, UNREDACTABLE, redact, redact_id, redact_with_counts
from fl_assets.domain.settings import FederatedLearningConfig
from fl_assets.domain.signatures import blank_digits, call_totals_sql, signature_sql
from fl_assets.domain.telemetry import (
    RULE_SETS,
    TEXTS,
    BadLine,
    content_sql,
    event_day,
    events_sql,
    excerpt,
    metadata_sql,
    parse_time,
    read_line,
    redact_event,
    redacted_sql,
    rule_sets_sql,
    safe_redact,
    staged_sql,
)
from fl_assets.storage.lake import SCHEMA_VERSION, Lake, Manifest, remove_folder
from fl_assets.storage.pii_names import PLACEHOLDERS, load_name_masking
from fl_assets.storage.tables import CONVERSATION_LOGS, ERROR_RECORDS, LAKE_TABLES, QUARANTINED_EVENTS, RAW_TRACES, TABLES, Table
from fl_assets.storage.telemetry_files import (
    BATCH_SCHEMA,
    Reading,
    Source,
    TelemetryIndex,
    batch_of,
    is_readable,
    line_batches,
    numbered_lines,
    read_head,
)

TELL_SECS = 5.0
"""Seconds between two words about how far reading is."""
MEMORY_LIMIT_MB = 700
"""What DuckDB may take; beyond it, redacted rows spill to files below data_path."""
BATCH_BYTES = 128 * 1024 * 1024
ROUND_BYTES = 8 * 1024**3
"""Bytes of source files that are staged and committed together: what a crash in a huge backlog can cost, and what may spill."""
_FORMAT_ROWS = 10_000
_CHUNK_ROWS = 8192
"""Rows of an Arrow chunk: what one thread of DuckDB takes at a time."""


class Engine(Protocol):
    """The heavy step: from files to day-partitioned Parquet with manifests, and from a day of it to sums."""

    def ingest(self, progress: Callable[[str], None] | None = None) -> "IngestReport":
        """Store what is new in the telemetry folders."""
        ...

    def connect(self) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        """Give a DuckDB that reaches the lake and nothing else."""
        ...

    def signatures(self, day: date) -> tuple[pa.Table, pa.Table]:
        """Return a day's `failure_signatures` and `call_totals`."""
        ...

    def conversation_signals(self, day: date) -> pa.Table:
        """Return a day's `conversation_signals`."""
        ...

    def day_stats(self, day: date) -> dict[str, int | float]:
        """Return what ingestion counted for a day."""
        ...

    def sample(self, table: str, day: date, rows: int = 5) -> pa.Table:
        """Return the first rows of one day of a lake table."""
        ...


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


class IngestBusyError(RuntimeError):
    """Another process has been ingesting for longer than we wait."""


class DuckDBEngine:
    """Ingests and sums in process; see `Engine`."""

    def __init__(self, settings: FederatedLearningConfig, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.settings = settings
        self.lake = Lake(settings.lake_path)
        self.index = TelemetryIndex(settings, clock=clock)
        self._clock = clock

    # Ingestion ---------------------------------------------------------------------------------------------------------

    def ingest(self, progress: Callable[[str], None] | None = None) -> IngestReport:
        """Store what is new in the telemetry folders, redacted and each event once; a second call right after finds nothing to do.

        At least once in: a file's bytes count as ingested only after the lake's commit, so a crash at any point means that they are read again.
        Exactly once out: an `event_id` is stored once among all days touched by one call and, for events stored by earlier calls, once among an event's own day
        and its two neighbours. The same id on days further apart, from different calls, is stored on each of them. Of the same id with different content the one
        stored first stays; within one call that is the earliest by time, so that the result does not depend on the order of lines and files.

        Args:
            progress: is told, in words, what was done.

        Raises:
            IngestBusyError: another process held the ingestion lock for ten minutes.
            NamesUnavailableError: FEDERATED_LEARNING_PII is on, but what it needs is not installed.
        """
        tell = progress or (lambda _: None)
        begin = time.perf_counter()
        report = IngestReport()
        mask_names = load_name_masking() if self.settings.pii else None
        with self._lock():
            self.lake.root.mkdir(parents=True, exist_ok=True)
            self.lake.clean()
            remove_folder(self._temp)
            for sources in _rounds(self.index.pending()):
                with self.connect() as connection:
                    done = _Ingestion(self, connection, sources, mask_names).run(tell)
                report = report.merged(done)
                tell(
                    f"{done.files} files: {done.events} new events, {done.duplicates} duplicates, {done.quarantined} lines quarantined, {len(done.days)} days changed"
                )
            remove_folder(self._temp)
        return report.merged(IngestReport(seconds=time.perf_counter() - begin))

    @contextmanager
    def connect(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Give an in-memory DuckDB that reaches the lake and a folder for spill files, and nothing else."""
        temp = self._temp / f"{os.getpid()}-{threading.get_ident()}"
        temp.mkdir(parents=True, exist_ok=True)
        self.lake.root.mkdir(parents=True, exist_ok=True)
        connection = duckdb.connect()
        try:
            for name, value in {
                "memory_limit": f"{MEMORY_LIMIT_MB}MB",
                "temp_directory": os.fspath(temp.resolve()),
                "preserve_insertion_order": False,
                "TimeZone": "UTC",
                "autoinstall_known_extensions": False,
                "allowed_directories": [os.fspath(self.lake.root.resolve()), os.fspath(temp.resolve())],
                "enable_external_access": False,
                "lock_configuration": True,
            }.items():
                connection.execute(f"set {name} = $value", {"value": value})
            yield connection
        finally:
            connection.close()
            remove_folder(temp)

    @property
    def _temp(self) -> Path:
        return self.settings.data_path / "tmp" / "duckdb"

    @contextmanager
    def _lock(self, wait_secs: float = 600.0) -> Iterator[None]:
        path = self.settings.data_path / "ingest.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        stop = time.monotonic() + wait_secs
        with path.open("a") as file:
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError as error:
                    if time.monotonic() > stop:
                        message = f"another process has held {path} for {wait_secs:.0f} s: one process at a time may ingest"
                        raise IngestBusyError(message) from error
                    time.sleep(0.2)
            yield

    def secret(self) -> bytes:
        """Return the local key of pseudonyms, made on first use; it never leaves data_path."""
        path = self.settings.data_path / "pseudonym.key"
        try:
            return path.read_bytes()
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_name(f"{path.name}.{os.getpid()}")
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(secrets.token_bytes(32))
            try:
                os.link(temporary, path)  # fails if another process was first: its key counts
            except FileExistsError:
                pass
            finally:
                temporary.unlink()
            return path.read_bytes()

    # Sums --------------------------------------------------------------------------------------------------------------

    def signatures(self, day: date) -> tuple[pa.Table, pa.Table]:
        """Return a day's failure signatures and call totals, in the columns of those tables."""
        with self.connect() as connection:
            self._view(connection, RAW_TRACES, day)
            connection.create_function("blank_digits", blank_digits, ["VARCHAR"], "VARCHAR", type=PythonUDFType.ARROW)
            signatures = connection.sql(signature_sql("raw_traces", "blank_digits")).to_arrow_table()
            return signatures, connection.sql(call_totals_sql("raw_traces")).to_arrow_table()

    def conversation_signals(self, day: date) -> pa.Table:
        """Return a day's signals of failure in talk, in the columns of that table."""
        with self.connect() as connection:
            self._view(connection, RAW_TRACES, day)
            self._view(connection, CONVERSATION_LOGS, day)
            return connection.sql(conversation_signals_sql("conversation_logs", "raw_traces")).to_arrow_table()

    def sample(self, table: str, day: date, rows: int = 5) -> pa.Table:
        """Return the first rows of one day of a lake table, in the order they are stored in."""
        with self.connect() as connection:
            self._view(connection, TABLES[table], day)
            order = "timestamp, " if any(column.name == "timestamp" for column in TABLES[table].columns) else ""
            return connection.sql(f"select * from {table} order by {order}{', '.join(TABLES[table].key)} limit $rows", params={"rows": rows}).to_arrow_table()  # noqa: S608

    def day_stats(self, day: date) -> dict[str, int | float]:
        """Return what ingestion counted for a day: events, quarantined, bad_ratio, duplicates, conflicts, and redactions by entity as `redacted_<entity>`."""
        manifests = {table.name: self.lake.manifest(table.name, day) for table in LAKE_TABLES}
        rows = {name: manifest.rows if manifest else 0 for name, manifest in manifests.items()}
        events, quarantined = rows["raw_traces"] + rows["conversation_logs"], rows["quarantined_events"]
        stats: Counter[str] = Counter()
        for manifest in manifests.values():
            stats.update(manifest.stats if manifest else {})
        return {
            "events": events,
            "quarantined": quarantined,
            "bad_ratio": quarantined / (events + quarantined) if events + quarantined else 0.0,
            "duplicates": 0,
            "conflicts": 0,
            "clock_skewed": 0,
            **dict(sorted(stats.items())),
        }

    def _view(self, connection: duckdb.DuckDBPyConnection, table: Table, day: date) -> None:
        """Make a day of a lake table a view of its name; an empty one where there is nothing."""
        files = [os.fspath(path.resolve()) for path in self.lake.files(table.name, [day])]
        if files:
            connection.read_parquet(files, hive_partitioning=False).create_view(table.name)
        else:
            connection.execute(table.ddl)


class _Ingestion:
    """One round: some files staged, deduplicated and committed by day."""

    def __init__(
        self, engine: DuckDBEngine, connection: duckdb.DuckDBPyConnection, sources: list[Source], mask_names: Callable[[str], str] | None = None
    ) -> None:
        self.engine, self.settings, self.lake = engine, engine.settings, engine.lake
        self.now = engine._clock()
        self.connection = connection
        self.readings = [Reading(source) for source in sources]
        self.redactions: Counter[tuple[date | None, str]] = Counter()
        self.bad: list[tuple[int, int, str, str, str, int]] = []
        self.records: list[dict[str, Any]] = []
        self.ignored = 0
        self.secret = engine.secret()
        self.mask_names = mask_names
        self.days: set[date] = set()

    def run(self, tell: Callable[[str], None]) -> IngestReport:
        """Stage, deduplicate, commit, and only then tell the index."""
        self._create()
        begin = told = time.monotonic()
        lines = read_bytes = 0
        total_bytes = sum(_weight_of(reading.source) for reading in self.readings)
        for batch in _ahead(_tables(self._batches())):
            self._stage(batch)
            lines, read_bytes, now = lines + batch.num_rows, read_bytes + batch["line"].nbytes, time.monotonic()
            if now - told >= TELL_SECS:
                told, share = now, min(0.99, read_bytes / max(1, total_bytes))
                left, files = (now - begin) * (1 - share) / max(share, 0.01), batch["file_no"][-1].as_py()
                tell(f"{share:.0%}: {files} of {len(self.readings)} files, {lines / (now - begin):,.0f} lines/s, about {left:,.0f} s left")
        for number, reading in enumerate(self.readings):
            self.bad += [(number, line, reason, detail, excerpt(start, self._clean), size) for line, reason, detail, start, size in reading.problems]
        quarantined, last_days = self._stage_quarantined(), self._last_days()  # while events that turn out to be duplicates still say which day it was
        duplicates = self._drop_duplicates()
        records = self._stage_records()
        stats = self._stats(duplicates)
        events = self._count("fl_stage")
        for table, relation in ((RAW_TRACES, "fl_traces"), (CONVERSATION_LOGS, "fl_talk"), (QUARANTINED_EVENTS, "fl_bad"), (ERROR_RECORDS, "fl_records")):
            self._commit(table, relation, stats)
        read = [reading for reading in self.readings if reading.end_offset or reading.problems or reading.format == "ignored" or not reading.source.size]
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
            formats=dict(sorted(Counter(reading.format for reading in self.readings if reading.format != "ignored").items())),
            ignored=self.ignored,
            error_records=records,
            days=tuple(sorted(self.days)),
        )

    # Reading

    def _create(self) -> None:
        sources = [
            {
                "file_no": number,
                "path": safe_redact(reading.source.path, redact),
                "node": _redacted_name(reading.source.node, self.secret),
                "received": min(reading.source.received, self.now).replace(tzinfo=None),
            }
            for number, reading in enumerate(self.readings)
        ]
        schema = pa.schema([("file_no", pa.int32()), ("path", pa.string()), ("node", pa.string()), ("received", pa.timestamp("us"))])
        table = pa.Table.from_pylist(sources, schema=schema)
        self.connection.register("fl_given", table)
        self.connection.execute("create temp table fl_sources as select * from fl_given")
        self.connection.unregister("fl_given")
        columns = {column.name: column.type for table in (RAW_TRACES, CONVERSATION_LOGS) for column in table.columns if not column.name.startswith("source_")}
        extra = {"file_no": "INTEGER", "line_no": "BIGINT", "is_trace": "BOOLEAN", "masked": "VARCHAR", "content": "UBIGINT"}
        self.connection.execute(f"create temp table fl_stage ({', '.join(f'{name} {kind}' for name, kind in {**columns, **extra}.items())})")

    def _batches(self) -> Iterator[pa.RecordBatch]:
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
                    yield from line_batches(reading, number, max_line_bytes=self.settings.max_line_bytes, now=self.now)
                else:
                    yield from self._converted(entry, reading, number)
            except FileNotFoundError:
                continue  # it vanished since it was listed; the index goes on without it
            except OSError as error:
                reading.bad(0, "damaged_file", f"cannot be read: {error.strerror}")

    def _converted(self, entry: Format, reading: Reading, number: int) -> Iterator[pa.RecordBatch]:
        """Turn a file of another format into events of the telemetrist, line by line; error records are kept aside."""
        rows: list[tuple[int, bytes]] = []
        results = entry.read(numbered_lines(reading))
        while chunk := list(islice(results, _FORMAT_ROWS)):
            for result in chunk:
                if isinstance(result, Refusal):
                    reading.bad(result.line, result.reason, result.detail)
                elif entry.table == "error_records":
                    self.records.append(orjson.loads(result.data))
                else:
                    rows.append((result.line, result.data))
            if rows:
                yield _lines_of(number, rows)
                rows = []

    # Staging

    def _stage(self, batch: pa.Table) -> None:
        """Stage a batch; lines that the SQL has doubts about are read strictly, redacted one by one, and staged again."""
        again: list[pa.RecordBatch] = []
        for file_no, line_no, raw in self._insert(batch):
            event = read_line(raw)
            if isinstance(event, BadLine):
                self._quarantine(file_no, line_no, event, raw)
            elif event is not None:
                redacted, counts = redact_event(event, self.secret)
                for entity, count in counts.items():
                    self.redactions[None, entity] += count
                again.append(_lines_of(file_no, [(line_no, redacted)]))
        for file_no, line_no, raw in self._insert(_numbered(again), doubt=False) if again else ():
            self._quarantine(file_no, line_no, BadLine("wrong_type", "cannot be read without a doubt"), raw)

    def _insert(self, batch: pa.Table, *, doubt: bool = True) -> list[tuple[int, int, bytes]]:
        """Stage a batch, and return the lines of it that are suspect: (file_no, line_no, line). Raw text stays in Arrow: what DuckDB keeps may spill to disk."""
        self.connection.register("fl_lines", batch)
        events = self.connection.sql(events_sql("fl_lines", "fl_sources", self.settings.start_date, doubt=doubt)).to_arrow_table(_CHUNK_ROWS)
        if len(events) != len(batch):
            message = f"{len(batch)} lines became {len(events)} events: some were lost"
            raise RuntimeError(message)
        events = self._redact(events)
        if pc.any(events["is_suspect"]).as_py():
            events = events.filter(pc.invert(events["is_suspect"]))
        self.connection.register("fl_events", events)
        staged = self.connection.execute(f"insert into fl_stage by name {staged_sql('fl_events')}").fetchall()[0][0]
        suspects = np.ones(len(batch), dtype=bool)
        suspects[events["row_no"].to_numpy()] = False
        if staged < len(events):
            doubled = self.connection.sql(f"select row_no from fl_events where pairs is null and {metadata_sql('metadata')} is null").fetchnumpy()["row_no"]  # noqa: S608
            suspects[doubled] = True
        for name in ("fl_events", "fl_lines"):
            self.connection.unregister(name)
        found = np.flatnonzero(suspects)
        if not len(found):
            return []
        if staged + len(found) != len(batch):
            message = f"{len(batch)} lines became {staged} events and {len(found)} lines to look at again: some were lost"
            raise RuntimeError(message)
        lines = batch.select(["file_no", "line_no", "line"]).take(pa.array(found))
        return [(file_no, line_no, line.encode()) for file_no, line_no, line in zip(*(column.to_pylist() for column in lines.columns), strict=True)]

    def _redact(self, events: pa.Table) -> pa.Table:
        """Redact what `events_sql` says must be, each distinct text once, since many repeat; rows whose names hold personal data become suspect."""
        keys, values = (events[name].combine_chunks() for name in ("keys", "items"))
        entries = pc.binary_join_element_wise(keys.flatten(), pc.fill_null(values.flatten(), ""), KEY_SEPARATOR)
        texts = [events[name].combine_chunks() for name in (*TEXTS, "names")]
        encoded = pa.concat_arrays([*texts, entries]).dictionary_encode()
        items = encoded.dictionary
        places, redacted, masked = self._redacted_items(items)
        # Of each text, the place of its redacted form, or -1
        all_at = np.append(places, -1)[pc.fill_null(encoded.indices, len(items)).to_numpy()]
        *texts_at, entries_at = np.split(all_at, np.cumsum([len(text) for text in texts]))
        suspect = texts_at[-1] >= 0
        crashed = np.append(pc.equal(redacted, UNREDACTABLE).to_numpy(zero_copy_only=False), False)  # what SQL could not redact is redacted value by value
        counts = []
        for name, text, at in zip(TEXTS, texts, texts_at, strict=False):
            if (at >= 0).any():
                events = events.set_column(
                    events.column_names.index(name), name, pc.replace_with_mask(text, pa.array(at >= 0), redacted.take(pa.array(at[at >= 0])))
                )
                counts.append(_named(masked, at))
                suspect |= crashed[at]
        offsets = keys.offsets.to_numpy() - keys.offsets[0].as_py()
        rows = np.repeat(np.arange(len(keys)), np.diff(offsets))  # of each entry
        changed = np.zeros(len(keys), dtype=bool)
        changed[rows[entries_at >= 0]] = True
        if changed.any():
            entries = pc.replace_with_mask(entries, pa.array(entries_at >= 0), redacted.take(pa.array(entries_at[entries_at >= 0])))
            counts.append(pc.binary_join(pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), _named(masked, entries_at)), ""))
            lost = pc.invert(pc.match_substring(entries, KEY_SEPARATOR)).to_numpy(zero_copy_only=False)
            suspect[rows[lost]] = True
        pairs = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), entries, mask=pa.array(~changed))
        total = pc.binary_join_element_wise(*counts, "") if counts else pa.nulls(len(events), pa.string())
        suspect = pc.or_(events["is_suspect"], pa.array(suspect))
        return (
            events.drop_columns(["names", "keys", "items", "is_suspect"])
            .append_column("is_suspect", suspect)
            .append_column("pairs", pairs)
            .append_column("masked", pc.if_else(pc.equal(total, ""), None, total))
        )

    def _redacted_items(self, items: pa.StringArray) -> tuple[np.ndarray, pa.Array, pa.Array]:
        """Return, of distinct texts, the place of each in the redacted ones, or -1; those; and what was masked in them."""
        self.connection.register("fl_items", pa.table({"item_no": pa.array(np.arange(len(items))), "item": items}))
        hinted = self.connection.sql(rule_sets_sql("fl_items")).to_arrow_table(_CHUNK_ROWS)
        found = []
        for rule_set in sorted(RULE_SETS):
            chosen = hinted.filter(pc.equal(hinted["rule_set"], rule_set)).select(["item_no", "item"])
            if len(chosen):
                self.connection.register("fl_hinted", chosen)
                found.append(self.connection.sql(redacted_sql("fl_hinted", rule_set)).to_arrow_table(_CHUNK_ROWS))
                self.connection.unregister("fl_hinted")
        self.connection.unregister("fl_items")
        places = np.full(len(items), -1)
        redacted, masked = pa.array([], pa.string()), pa.array([], pa.string())
        if found:
            table = pa.concat_tables(found)
            places[table["item_no"].to_numpy()] = np.arange(len(table))
            redacted, masked = table["item"].combine_chunks(), table["masked"].combine_chunks()
        return self._nameless(items, places, redacted, masked) if self.mask_names else (places, redacted, masked)

    def _nameless(self, items: pa.StringArray, places: np.ndarray, redacted: pa.Array, masked: pa.Array) -> tuple[np.ndarray, pa.Array, pa.Array]:
        """Mask person names too, in all texts but ids and keys: text by text, since a model reads them."""
        texts, counts = redacted.to_pylist(), masked.to_pylist()
        for number, item in enumerate(items.to_pylist()):
            if ITEM_SEPARATOR in item or not self.mask_names:
                continue
            at = places[number]
            before = texts[at] if at >= 0 else item
            key, separator, value = before.rpartition(KEY_SEPARATOR)
            after = key + separator + self.mask_names(value)
            if after != before:
                if at < 0:
                    at = places[number] = len(texts)
                    texts.append(after)
                    counts.append("")
                texts[at] = after
                counts[at] += "".join(f"{entity} " * (after.count(mark) - before.count(mark)) for entity, mark in PLACEHOLDERS.items())
        return places, pa.array(texts, pa.string()), pa.array(counts, pa.string())

    def _clean(self, text: str) -> str:
        return self.mask_names(redact(text)) if self.mask_names else redact(text)

    def _quarantine(self, file_no: int, line_no: int, bad: BadLine, raw: bytes) -> None:
        self.bad.append((file_no, line_no, bad.reason, bad.detail, excerpt(raw, self._clean), len(raw.rstrip(b"\r\n"))))

    # Once each

    def _drop_duplicates(self) -> Counter[tuple[date, str]]:
        """Drop events whose id was staged or stored before; return how many by day, as duplicates and conflicts."""
        counts: Counter[tuple[date, str]] = Counter()
        run = self.connection.execute
        rows, ids = run("select count(*), count(distinct hash(event_id)) from fl_stage").fetchall()[0]
        if ids < rows:
            run("""create or replace temp table fl_losers as
                select rowid as row_id, event_date, content is distinct from first_value(content) over w as is_conflict, row_number() over w as place
                from fl_stage where event_id in (select event_id from fl_stage group by event_id having count(*) > 1)
                window w as (partition by event_id order by event_date, timestamp, content, file_no, line_no)""")
            self._drop("select row_id, event_date, is_conflict from fl_losers where place > 1", counts)
        days = {day + timedelta(days=offset) for (day,) in run("select distinct event_date from fl_stage").fetchall() for offset in (-1, 0, 1)}
        for table, kind in ((RAW_TRACES, "trace"), (CONVERSATION_LOGS, "talk")):
            if files := [os.fspath(path.resolve()) for path in self.lake.files(table.name, days)]:
                found = f"""select s.rowid, s.event_date, s.content <> k.content from fl_stage s join (
                    select event_id, any_value({content_sql(kind)}) as content
                    from read_parquet($files, hive_partitioning = false) where event_id in (select event_id from fl_stage) group by event_id) k using (event_id)"""  # noqa: S608
                self._drop(found, counts, files=files)
        return counts

    def _drop(self, select: str, counts: Counter[tuple[date, str]], **parameters: Any) -> None:
        run = self.connection.execute
        run(f"create or replace temp table fl_drop(row_id, event_date, is_conflict) as {select}", parameters)
        for day, is_conflict, count in run("select event_date, is_conflict, count(*) from fl_drop group by all").fetchall():
            counts[day, "conflicts" if is_conflict else "duplicates"] += count
        run("delete from fl_stage where rowid in (select row_id from fl_drop)")

    # What is not an event

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
                [pa.array(column, field.type) for column, field in zip(zip(*rows, strict=True), schema, strict=True)]
                if rows
                else [pa.array([], field.type) for field in schema],
                schema=schema,
            ),
        )
        fallback = [
            (number, reading.source.last_day or event_day(None, min(reading.source.received, self.now), self.settings.start_date)[0])
            for number, reading in enumerate(self.readings)
        ]
        self.connection.register(
            "fl_days", pa.table({"file_no": pa.array([row[0] for row in fallback], pa.int32()), "day": pa.array([row[1] for row in fallback], pa.date32())})
        )
        self.connection.execute("""create temp table fl_bad as
            select distinct coalesce(e.event_date, d.day) as event_date, s.path as source_file, b.source_line, b.reason, b.detail, b.excerpt, coalesce(s.node, 'unknown') as node_id,
                b.line_bytes
            from fl_given b join fl_sources s using (file_no) join fl_days d using (file_no)
            asof left join (select file_no, line_no, event_date from fl_stage where file_no in (select file_no from fl_given)) e
                on b.file_no = e.file_no and b.source_line >= e.line_no""")
        self.connection.unregister("fl_given")
        days = {
            day + timedelta(days=offset) for (day,) in self.connection.execute("select distinct event_date from fl_bad").fetchall() for offset in (-1, 0, 1)
        }
        if files := [os.fspath(path.resolve()) for path in self.lake.files("quarantined_events", days)]:
            self.connection.execute(
                """delete from fl_bad where (source_file, source_line, reason, excerpt, line_bytes) in (
                    select (source_file, source_line, reason, excerpt, line_bytes) from read_parquet($files, hive_partitioning = false))""",
                {"files": files},
            )
        return self._count("fl_bad")

    def _stage_records(self) -> int:
        """Stage error records, redacted, each id once."""
        rows = []
        for record in self.records:
            row = {}
            for column in ERROR_RECORDS.columns:
                value = record.get(column.name)
                if isinstance(value, str) and column.type == "VARCHAR":
                    value = _redacted_name(value, self.secret) if column.name.endswith("_id") else self._redacted(value)
                elif isinstance(value, list):
                    value = [self._redacted(str(item)) for item in value]
                row[column.name] = value
            moment = parse_time(str(record["timestamp"])) or self.now
            row["timestamp"] = moment.replace(tzinfo=None)
            row["event_date"] = event_day(moment, self.now, self.settings.start_date)[0]
            rows.append(row)
        types = {"DATE": pa.date32(), "TIMESTAMP": pa.timestamp("us"), "VARCHAR": pa.string(), "VARCHAR[]": pa.list_(pa.string())}
        schema = pa.schema([(column.name, types[column.type]) for column in ERROR_RECORDS.columns])
        self.connection.register("fl_given", pa.Table.from_pylist(rows, schema=schema))
        self.connection.execute(
            "create temp table fl_records as select * from fl_given qualify row_number() over (partition by record_id order by event_date, timestamp, hash(fl_given)) = 1"
        )
        self.connection.unregister("fl_given")
        if files := [os.fspath(path.resolve()) for path in self.lake.files("error_records", self.lake.days("error_records"))]:
            self.connection.execute(
                "delete from fl_records where record_id in (select record_id from read_parquet($files, hive_partitioning = false))", {"files": files}
            )
        return self._count("fl_records")

    def _redacted(self, text: str) -> str:
        redacted, counts = redact_with_counts(text)
        redacted = self.mask_names(redacted) if self.mask_names else redacted
        for entity, count in counts.items():
            self.redactions[None, entity] += count
        return redacted

    # Commit

    def _last_days(self) -> dict[tuple[str, str], date]:
        rows = self.connection.execute("select file_no, arg_max(event_date, line_no) from fl_stage group by file_no").fetchall()
        sources = [reading.source for reading in self.readings]
        return {(sources[number].kind, sources[number].path): day for number, day in rows}

    def _stats(self, duplicates: Counter[tuple[date, str]]) -> dict[date, Counter[str]]:
        stats: dict[date, Counter[str]] = {}
        for (day, kind), count in duplicates.items():
            stats.setdefault(day, Counter())[kind] += count
        masked = "select event_date, unnest(string_split(rtrim(masked, ' '), ' ')) as name from fl_stage where masked is not null"
        for day, name, count in self.connection.execute(f"select event_date, name, count(*) from ({masked}) group by all").fetchall():  # noqa: S608
            sign = -1 if name.startswith("-") else 1
            self.redactions[day, name.removeprefix("-")] += sign * count
        self.redactions = Counter({key: count for key, count in self.redactions.items() if count > 0})
        for (day, name), count in self.redactions.items():
            if day is not None:
                stats.setdefault(day, Counter())[f"redacted_{name.lower()}"] += count
        for day, count in self.connection.execute("select event_date, count(*) from fl_stage where has_clock_skew group by all").fetchall():
            stats.setdefault(day, Counter())["clock_skewed"] += count
        source = "s.path as source_file, t.line_no as source_line"
        for name, condition in (("fl_traces", "is_trace"), ("fl_talk", "not is_trace")):
            self.connection.execute(f"create temp view {name} as select t.*, {source} from fl_stage t join fl_sources s using (file_no) where {condition}")  # noqa: S608
        return stats

    def _commit(self, table: Table, relation: str, stats: dict[date, Counter[str]]) -> None:
        """Merge the staged rows of a table into its days; where only counts changed, only the manifest is written."""
        columns = ", ".join(table.column_names)
        hashed = (
            "content"
            if table in (RAW_TRACES, CONVERSATION_LOGS)
            else f"hash({', '.join(name for name in table.column_names if not name.startswith('source_'))})"
        )
        files = "list(distinct source_file)" if "source_file" in table.column_names else "[]::varchar[]"
        found = self.connection.execute(f"select event_date, count(*), sum({hashed}), {files} from {relation} group by event_date").fetchall()  # noqa: S608
        by_day = {day: (rows, int(content), set(names)) for day, rows, content, names in found}
        own_stats = stats if table is RAW_TRACES else {}
        for day in sorted({*by_day, *own_stats}):
            rows, content, names = by_day.get(day, (0, 0, set()))
            old = self.lake.manifest(table.name, day)
            if (not rows and old is None) or (old and old.is_expired):
                continue  # a day that retention removed stays as it was: its sums were made, and half of it would belie them
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
                file=old.file if old else "",
                file_sha256=old.file_sha256 if old else "",
                stats=dict(sorted((Counter(old.stats if old else {}) + own_stats.get(day, Counter())).items())),
            )
            if not rows:
                self.lake.commit(manifest)
                continue
            self.days.add(day)
            self.lake.commit(manifest, lambda path, day=day: self._write(table, relation, columns, day, path))

    def _write(self, table: Table, relation: str, columns: str, day: date, path: Path) -> None:
        stored = [os.fspath(file.resolve()) for file in self.lake.files(table.name, [day])]
        union = f" union all by name select {columns} from read_parquet($stored, hive_partitioning = false)" if stored else ""  # noqa: S608 - our own names
        order = "timestamp, event_id" if table in (RAW_TRACES, CONVERSATION_LOGS) else ", ".join(table.key)
        rows = f"select {columns} from {relation} where event_date = $day{union}"  # noqa: S608 - our own names
        sql = f"copy (select {columns} from ({rows}) order by {order}) to $path (format parquet, compression zstd)"  # noqa: S608 - our own names
        self.connection.execute(sql, {"day": day, "path": os.fspath(path.resolve()), **({"stored": stored} if stored else {})})

    def _count(self, relation: str) -> int:
        return self.connection.execute(f"select count(*) from {relation}").fetchall()[0][0]  # noqa: S608 - our own names


def _named(masked: pa.Array, places: np.ndarray) -> pa.Array:
    """Return what was masked at each place, '' where that is -1."""
    return pc.fill_null(masked.take(pa.array(places, mask=places < 0)), "")


@lru_cache(maxsize=10_000)
def _redacted_name(name: str | None, secret: bytes) -> str | None:
    return redact_id(name, secret) if name is not None else None


def _weight_of(source: Source) -> int:
    """Bytes of text that a source has left, as a guess where it is compressed."""
    return (source.size - source.offset) * (8 if source.compression else 1)


def _rounds(sources: Iterable[Source]) -> Iterator[list[Source]]:
    held: list[Source] = []
    size = 0
    for source in sources:
        weight = _weight_of(source)
        if held and size + weight > ROUND_BYTES:
            yield held
            held, size = [], 0
        held.append(source)
        size += weight
    if held:
        yield held


def _lines_of(file_no: int, rows: list[tuple[int, bytes]]) -> pa.RecordBatch:
    return batch_of(file_no, np.array([line for line, _ in rows], dtype=np.int64), pa.array([data for _, data in rows], type=pa.binary()).cast(pa.string()))


def _numbered(batches: list[pa.RecordBatch]) -> pa.Table:
    """Return batches as one table, with `row_no` as the place in it."""
    table = pa.Table.from_batches(batches, schema=BATCH_SCHEMA)
    return table.append_column("row_no", pa.array(np.arange(len(table), dtype=np.int64)))


def _tables(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Put batches together to tables of some size, so that neither small files nor long lines matter."""
    held: list[pa.RecordBatch] = []
    size = 0
    for batch in batches:
        held.append(batch)
        size += _weight(batch)
        if size >= BATCH_BYTES:
            yield _numbered(held)
            held, size = [], 0
    if held:
        yield _numbered(held)


def _weight(batch: pa.RecordBatch) -> int:
    return batch.get_total_buffer_size()


def _ahead(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Read the next table in a thread while the last one is worked on."""
    done = object()
    held: queue.Queue[Any] = queue.Queue(maxsize=1)
    stopped = threading.Event()

    def put(item: Any) -> None:
        while not stopped.is_set():
            try:
                held.put(item, timeout=0.5)
                return
            except queue.Full:
                continue

    def read() -> None:
        try:
            for table in tables:
                put(table)
                if stopped.is_set():
                    return
            put(done)
        except BaseException as error:  # raised again where it is looked at
            put(error)

    thread = threading.Thread(target=read, name="fl-read-ahead", daemon=True)
    thread.start()
    try:
        while (item := held.get()) is not done:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stopped.set()
        thread.join()
