"""The default engine: DuckDB, in process, from bytes in files to a day's Parquet.

What goes here: turns at the lake, and connections that reach it. What does not: one round of ingestion
(`ingest.py`), SQL (`sql.py`), files (`find.py`, `read.py`), how a day is replaced (`infra/lake.py`).

Lines go from file to DuckDB as Arrow, without a copy; nothing is stored, not even in a spill file, before it
is redacted. docs/benchmarks.md says what each step costs.
"""

import os
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import date, datetime
from itertools import accumulate
from pathlib import Path
from typing import Any, ClassVar, Protocol

import duckdb
import pyarrow as pa

from fl_assets.core.settings import FederatedLearningConfig
from fl_assets.core.tables import LAKE_TABLES, TABLES, Table
from fl_assets.events.find import Source
from fl_assets.events.index import TelemetryIndex
from fl_assets.events.ingest import Ingestion
from fl_assets.events.outcome import IngestReport
from fl_assets.events.pii_names import load_name_masking
from fl_assets.events.quarantine import lost_events
from fl_assets.infra.clock import now_utc
from fl_assets.infra.disk import remove_folder
from fl_assets.infra.keys import make_secret
from fl_assets.infra.lake import retry_on_conflict
from fl_assets.infra.open_lake import open_lake

OTHERS_MB = 800
"""Of the memory that the settings allow, what Python, Arrow and the rules of redaction take beside DuckDB."""
ROUND_BYTES = 8 * 1024**3
"""Bytes of source files that are staged and committed together: what a crash in a huge backlog can cost, what
may spill, and what another coordinator waits for."""
MAX_NAMED = 20
"""Files that progress names, of those that were not read."""
TURN_SECS = 1.5
"""Between two rounds: whoever waits for the lake looks more than once meanwhile, so that the turn is theirs.
"""


class Engine(Protocol):
    """The heavy step: from files to day-partitioned Parquet with manifests."""

    def ingest(self, progress: Callable[[str], None] | None = None) -> "IngestReport":
        """Store what is new in the telemetry folders."""
        ...

    def connect(self) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        """Give a DuckDB that reaches the lake and nothing else."""
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
        stagers: batches that are staged side by side, each by one thread: two threads on one batch waste a
            tenth of both. A third, since only one of them redacts at a time.
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

        A second call right after finds nothing to do.

        At least once in: a file's bytes count as ingested only after the lake's commit, so a crash at any
        point means that they are read again. Exactly once out: an `event_id` is stored once among all days
        touched by one round and, for events stored by earlier ones, once among an event's own day and its two
        neighbours. The same id on days further apart, from different rounds, is stored on each of them. Of
        the same id with different content the one stored first stays; within one round that is the earliest
        by time, so that the result does not depend on the order of lines and files. In turns: the lake's lock
        is held for a round of ROUND_BYTES, and let go for TURN_SECS, so that another coordinator with a
        backlog gets on too.

        Args:
            progress: is told, in words, what was done.

        Raises:
            IngestBusyError: another process held the ingestion lock for ten minutes, one turn of it.
            ForeignKeyError: the lake was filled with another key of pseudonyms.
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
        """Ingest one round of the files that wait, and return what it did and which of them are left.

        Args:
            among: files, by kind and path, that were left by the turn before; None for all. What came
                meanwhile is for the next call, so that this one ends.
            mask_names: masks names of persons too.
            report_progress: gets, in words, what was done.
        """
        with self.lake.lock():
            self.lake.root.mkdir(parents=True, exist_ok=True)
            self.lake.check_pseudonym_key(self.secret())
            self.lake.clean()
            remove_folder(self._temp)
            # Looked at again: another process with this data folder may have had its turn.
            waiting = [
                source
                for source in self.index.pending()
                if among is None or (source.kind, source.path) in among
            ]
            sources = first_round(waiting)
            if not sources:
                return IngestReport(), set()
            with self.connect(threads=1) as connection:
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
    def connect(self, **options: Any) -> Iterator[duckdb.DuckDBPyConnection]:
        """Give an in-memory DuckDB that reaches the lake and a folder for spill files, and nothing else.

        Args:
            options: settings of DuckDB beside our own.
        """
        temp = self._temp / f"{os.getpid()}-{threading.get_ident()}"
        temp.mkdir(parents=True, exist_ok=True)
        self.lake.root.mkdir(parents=True, exist_ok=True)
        connection = duckdb.connect()
        try:
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
                connection.execute(f"set {name} = $value", {"value": value})
            yield connection
        finally:
            connection.close()
            remove_folder(temp)

    @property
    def _temp(self) -> Path:
        data = self.settings.data_path
        if data.exists() and not os.access(data, os.W_OK):  # what is only looked at needs hardly any room
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
        """Return the local key of pseudonyms, made on first use; it never leaves data_path."""
        return make_secret(self.settings.data_path / "pseudonym.key", is_private=False)

    # Sums

    def sample(self, table: str, day: date, rows: int = 5) -> pa.Table:
        """Return the first rows of one day of a lake table, in the order they are stored in."""
        with self.connect() as connection:
            self.view(connection, TABLES[table], day)
            return connection.sql(
                f"select * from {table} {TABLES[table].order_sql} limit $rows",  # noqa: S608
                params={"rows": rows},
            ).to_arrow_table()

    def day_stats(self, day: date) -> dict[str, int | float]:
        """Return what ingestion counted for a day: by kind, and redactions by entity as `redacted_<entity>`.

        `lost_events` are those of refused lines, and `bad_ratio` their share of all events.
        """
        manifests = {table.name: self.lake.manifest(table.name, day) for table in LAKE_TABLES}
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

    def view(self, connection: duckdb.DuckDBPyConnection, table: Table, day: date) -> None:
        """Make a day of a lake table a view of its name; an empty one where there is nothing."""
        files = [os.fspath(path.resolve()) for path in self.lake.files(table.name, [day])]
        if files:
            connection.read_parquet(files, hive_partitioning=False).create_view(table.name)
        else:
            connection.execute(table.ddl)


def first_round(sources: list[Source]) -> list[Source]:
    """Return as many of the sources as a round takes, from the first on, and one at the least."""
    ends = accumulate(source.weight for source in sources)
    return [
        source
        for number, (source, end) in enumerate(zip(sources, ends, strict=True))
        if end <= ROUND_BYTES or not number
    ]
