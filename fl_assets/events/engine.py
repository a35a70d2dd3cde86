"""The default engine: DuckDB, in process, from bytes in files to a day's Parquet.

What goes here: rounds of ingestion under the lake's lock, and connections to the lake. What does not: one
round (`ingest.py`), SQL (`sql.py`), files (`find.py`, `read.py`), replacing a day (`infra/lake.py`).

Lines go from file to DuckDB as Arrow, without a copy; nothing is stored, not even in a spill file, before it
is redacted. docs/benchmarks.md has the cost of each step.
"""

import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from datetime import date, datetime
from itertools import accumulate, count
from pathlib import Path
from typing import Any, ClassVar, Protocol

import duckdb
import pyarrow as pa

from fl_assets.core.settings import FederatedLearningConfig
from fl_assets.core.tables import LAKE_TABLES, TABLES
from fl_assets.events.find import Source
from fl_assets.events.index import TelemetryIndex
from fl_assets.events.ingest import Ingestion
from fl_assets.events.outcome import IngestReport
from fl_assets.events.pii_names import load_name_masking
from fl_assets.events.quarantine import lost_events
from fl_assets.infra.clock import now_utc
from fl_assets.infra.disk import remove_folder
from fl_assets.infra.duckdb_kept import attached, lent
from fl_assets.infra.keys import make_secret
from fl_assets.infra.lake import retry_on_conflict
from fl_assets.infra.lake_views import view_days
from fl_assets.infra.open_lake import open_lake

OTHERS_MB = 800
"""Memory that Python, Arrow and the redaction rules take; DuckDB gets the rest of `memory_mb`."""
ROUND_BYTES = 8 * 1024**3
"""Bytes of source files per round: bounds what a crash can cost, what may spill, and how long another
coordinator waits."""
MAX_NAMED = 20
"""Unread files that progress names."""
TURN_SECS = 1.5
"""Pause between two rounds, in which others that wait for the lake get their turn."""
_STARTED = count()


class Engine(Protocol):
    """From files to day-partitioned Parquet with manifests."""

    def ingest(self, progress: Callable[[str], None] | None = None) -> "IngestReport":
        """Store what is new in the telemetry folders."""
        ...

    def connect(self) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        """Open a DuckDB that reaches the lake and nothing else."""
        ...

    def day_stats(self, day: date) -> dict[str, int | float]:
        """Return what ingestion counted for a day."""
        ...

    def sample(self, table: str, day: date, rows: int = 5) -> pa.Table:
        """Return the first rows of one day of a lake table."""
        ...


class DuckDBEngine:
    """Ingests and sums in process; see `Engine`.

    Attributes:
        options: further settings of each DuckDB connection.
        stagers: threads, each of which stages a batch of its own; three, since only one redacts at a time.
    """

    options: ClassVar[dict[str, Any]] = {}
    stagers: ClassVar[int] = 3

    def __init__(self, settings: FederatedLearningConfig, *, clock: Callable[[], datetime] = now_utc) -> None:
        self.settings = settings
        self.lake = open_lake(settings)
        self.index = TelemetryIndex(settings, clock=clock)
        self.now = clock

    # Ingestion

    def ingest(self, progress: Callable[[str], None] | None = None) -> IngestReport:
        """Store what is new in the telemetry folders, redacted and each event once.

        Bytes of a file count as ingested only after the lake's commit, so that after a crash they are read
        again. An `event_id` is stored once among all days of a round, and once among an event's day and its
        neighbours of earlier rounds; days further apart may each store the same id. Of versions with
        different content the first stored stays, within a round the earliest by time (see `duplicates.py`).
        The lake's lock is held for a round of ROUND_BYTES, then released for TURN_SECS.

        Raises:
            IngestBusyError: another process held the ingestion lock for ten minutes.
            ForeignKeyError: the lake's pseudonyms were made with another key.
            NamesUnavailableError: FEDERATED_LEARNING_PII is on, but what it needs is not installed.
        """
        report_progress = progress or (lambda _: None)
        begin, begun = time.perf_counter(), self.now()
        mask_names = load_name_masking() if self.settings.pii else None
        report, left = self._turn(None, mask_names, report_progress)
        while left:
            time.sleep(TURN_SECS)
            done, left = self._turn(left, mask_names, report_progress)
            report = report.merged(done)
        if report.files or report.unread:
            self.index.note_ingestion(begun)
        return report.merged(IngestReport(seconds=time.perf_counter() - begin))

    @retry_on_conflict
    def _turn(
        self,
        among: set[tuple[str, str]] | None,
        mask_names: Callable[[str], str] | None,
        report_progress: Callable[[str], None],
    ) -> tuple[IngestReport, set[tuple[str, str]]]:
        """Ingest one round of pending files; return its report and the files that are left.

        `among` are the files, by kind and path, that the round before left; None for all. Files that arrived
        meanwhile wait for the next call, so that this one ends.
        """
        with self.lake.lock():
            self.lake.root.mkdir(parents=True, exist_ok=True)
            self.lake.check_pseudonym_key(self.secret())
            self.lake.clean()
            remove_folder(self._temp)
            # Under the lock: another process with this data folder may have ingested some.
            waiting = [
                source
                for source in self.index.pending()
                if among is None or (source.kind, source.path) in among
            ]
            sources = first_round(waiting)
            if not sources:
                return IngestReport(), set()
            with self.connect_alone(threads=1) as connection:
                done = self._round(connection, sources, mask_names).run(report_progress)
            remove_folder(self._temp)
        report_progress(
            f"{done.files} files: {done.events} new events, {done.duplicates} duplicates, "
            f"{done.quarantined} lines quarantined, {len(done.days)} days changed"
        )
        for unread in done.unread[:MAX_NAMED]:
            report_progress(str(unread))
        return done, {(source.kind, source.path) for source in waiting[len(sources) :]}

    @contextmanager
    def connect(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Open an in-memory DuckDB that reaches the lake and a folder for spill files, and nothing else.

        Cursors of it do not see its tables.
        """
        key = self.lake.root, self._temp, self.settings.memory_mb, str(self.options)
        with (
            lent("lake", key, lambda: self._start(enable_external_file_cache=False)) as instance,
            self._spilling(instance),
            attached(instance, ":memory:", "own") as connection,
        ):
            yield connection

    @contextmanager
    def connect_alone(self, **options: Any) -> Iterator[duckdb.DuckDBPyConnection]:
        """Do what `connect` does with an instance of its own, whose cursors share its tables."""
        with closing(self._start(**options)) as connection, self._spilling(connection):
            yield connection

    def _start(self, **options: Any) -> duckdb.DuckDBPyConnection:
        """Start a DuckDB with a folder for spill files of its own."""
        temp = self._temp / f"{os.getpid()}-{next(_STARTED)}"
        self.lake.root.mkdir(parents=True, exist_ok=True)
        instance = duckdb.connect()
        for name, value in {
            "memory_limit": f"{self.settings.memory_mb - OTHERS_MB}MB",
            "temp_directory": os.fspath(temp.resolve()),
            "preserve_insertion_order": False,
            "TimeZone": "UTC",
            "autoinstall_known_extensions": False,
            **self.options,
            **options,
            "allowed_directories": [os.fspath(self.lake.root.resolve()), os.fspath(temp.resolve())],
            "enable_external_access": False,
            "lock_configuration": True,
        }.items():
            instance.execute(f"set global {name} = $value", {"value": value})
        return instance

    @contextmanager
    def _spilling(self, instance: duckdb.DuckDBPyConnection) -> Iterator[None]:
        """Have an instance's folder for spill files exist for the length of the block."""
        ((temp,),) = instance.execute("select current_setting('temp_directory')").fetchall()
        Path(temp).mkdir(parents=True, exist_ok=True)
        try:
            yield
        finally:
            remove_folder(Path(temp))

    @property
    def _temp(self) -> Path:
        data = self.settings.data_path
        if data.exists() and not os.access(data, os.W_OK):  # read-only: next to nothing spills
            return Path(tempfile.gettempdir()) / "fl-assets" / "duckdb"
        return data / "tmp" / "duckdb"

    def _round(
        self,
        connection: duckdb.DuckDBPyConnection,
        sources: list[Source],
        mask_names: Callable[[str], str] | None,
    ) -> "Ingestion":
        return Ingestion(self, connection, sources, mask_names)

    def secret(self) -> bytes:
        """Return the local key of pseudonyms, created on first use; it never leaves data_path."""
        return make_secret(self.settings.data_path / "pseudonym.key", is_private=False)

    # Sums

    def sample(self, table: str, day: date, rows: int = 5) -> pa.Table:
        """Return the first rows of one day of a lake table, in stored order."""
        with self.connect() as connection:
            view_days(connection, self.lake, TABLES[table], [day])
            return connection.sql(
                f"select * from {table} {TABLES[table].order_sql} limit $rows",  # noqa: S608
                params={"rows": rows},
            ).to_arrow_table()

    def day_stats(self, day: date) -> dict[str, int | float]:
        """Return ingestion's counts of a day, with redactions by entity as `redacted_<entity>`.

        `lost_events` are those of refused lines, `bad_ratio` is their share of all events.
        """
        manifests = {table.name: self.lake.manifest_or_damage(table.name, day) for table in LAKE_TABLES}
        rows = {name: manifest.rows if manifest else 0 for name, manifest in manifests.items()}
        events = rows["raw_traces"] + rows["conversation_logs"]
        lost = lost_events(manifests["quarantined_events"])
        stats: Counter[str] = Counter()
        for manifest in manifests.values():
            stats.update(manifest.stats if manifest else {})
        return {
            "events": events,
            "quarantined": rows["quarantined_events"],
            "duplicates": 0,
            "conflicts": 0,
            "clock_skewed": 0,
            **dict(sorted(stats.items())),
            "lost_events": lost,
            "bad_ratio": lost / (events + lost) if events + lost else 0.0,
        }


def first_round(sources: list[Source]) -> list[Source]:
    """Return the first sources that fit into a round, at least one."""
    ends = accumulate(source.weight for source in sources)
    return [
        source
        for number, (source, end) in enumerate(zip(sources, ends, strict=True))
        if end <= ROUND_BYTES or not number
    ]
