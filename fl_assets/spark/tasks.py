"""What runs in Spark: tasks read, check, redact and store files, and sum parts of days.

What goes here: the Spark context, the driver, and a task of each kind. What does not: the work itself, which
is the default engine's code: reading (`events/read.py`), staging (`events/stage.py`), sums
(`sums/masking.py`), merging into the lake (`events/ingest.py`).

A task of ingestion reads and stages some files, or a part of a large one, in one pass, so raw text never
leaves its memory, neither to the JVM nor to a shuffle. It adds files to the lake that no manifest names yet,
and returns the rows of `fl_stage` to the driver, which deduplicates, merges and commits as the default engine
does. Files of a task that failed, or ran twice, are removed like all that no manifest names.

Sums are by day, node, service and method: stored calls are shuffled by these, and each task runs the default
engine's statements over its part. The driver and all tasks need the telemetry folder and the data folder
under the same paths.
"""

import os
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any, ClassVar

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fl_assets.core.settings import FederatedLearningConfig
from fl_assets.core.tables import CALL_TOTALS, FAILURE_SIGNATURES, RAW_TRACES
from fl_assets.events.engine import DuckDBEngine
from fl_assets.events.event import safe_redact
from fl_assets.events.find import Source
from fl_assets.events.ingest import REPORT_SECS, Ingestion
from fl_assets.events.pii_names import load_name_masking
from fl_assets.events.quarantine import Refused
from fl_assets.events.read import Reading
from fl_assets.events.redaction import redact
from fl_assets.infra.lake import LakeFile
from fl_assets.spark.division import groups_of, joined, parts_of
from fl_assets.sums.engine import sums_of

SUM_ROWS = 1_000_000
"""About how many stored calls one task sums."""
_NOT_SUMMED = {"request_id", "source_file", "source_line", "has_clock_skew"}
_SUMMED = [column for column in RAW_TRACES.columns if column.name not in _NOT_SUMMED]
"""Columns of stored calls that sums need."""
_SUM_KEY = ("event_date", "node_id", "service", "method")
"""Each row of both sums has one value of these, so that calls can be divided by them."""
_SUMS = (FAILURE_SIGNATURES, CALL_TOTALS)
_JAVA = "-XX:TieredStopAtLevel=1"
"""The JVM only passes bytes on, so optimising compilation costs more than it gains."""


def run(order: dict[str, Any], report_progress: Callable[[str], None]) -> dict[str, Any]:
    """Carry out an order of `engine.py`; return the answer.

    Args:
        order: `verb` (`ingest`, or `sum` with `days`), `settings`, `now`, and `out`: the folder for the sums
            of these days, or of those that ingestion changed.
        report_progress: gets messages about progress.
    """
    settings = FederatedLearningConfig.from_env(**order["settings"])
    now = datetime.fromisoformat(order["now"])
    with _context(settings) as context:
        answer: dict[str, Any] = {"days": order.get("days", [])}
        if order["verb"] == "ingest":
            report = asdict(_Driver(context, settings, now).ingest(report_progress))
            answer = report | {"days": [day.isoformat() for day in report["days"]]}
        _sum(context, settings, [date.fromisoformat(day) for day in answer["days"]], Path(order["out"]))
    return answer


@contextmanager
def _context(settings: FederatedLearningConfig) -> Iterator[Any]:
    """Yield a Spark context; memory and cores are those of spark-defaults.conf or PYSPARK_SUBMIT_ARGS."""
    from pyspark import SparkConf, SparkContext  # ty: ignore[import-not-found] - of the extra [spark]

    conf = SparkConf().setMaster(settings.spark_master).setAppName("fl_assets")
    conf.setAll(
        [
            ("spark.ui.enabled", "false"),
            ("spark.ui.showConsoleProgress", "false"),
            ("spark.log.level", "ERROR"),
        ]
    )
    conf.setAll([("spark.driver.defaultJavaOptions", _JAVA), ("spark.executor.defaultJavaOptions", _JAVA)])
    if settings.spark_master.startswith("local"):
        conf.setAll([("spark.driver.host", "127.0.0.1"), ("spark.driver.bindAddress", "127.0.0.1")])
    context = SparkContext(conf=conf)
    try:
        yield context
    finally:
        context.stop()


# Sums


def _sum(context: Any, settings: FederatedLearningConfig, days: list[date], out: Path) -> None:
    """Write failure signatures and call totals of the days, one file each; none where no day has calls."""
    lake = DuckDBEngine(settings).lake
    files = lake.paths(RAW_TRACES.name, days)
    if not files:
        return
    rows = sum(manifest.rows for day in days if (manifest := lake.manifest(RAW_TRACES.name, day)))
    tasks = max(context.defaultParallelism, rows // SUM_ROWS)
    dealt = (
        context.parallelize(files, min(len(files), 4 * tasks))
        .flatMap(partial(_dealt, settings, out, tasks))
        .partitionBy(tasks, int)
    )
    parts = dealt.mapPartitions(partial(_summed, settings, out)).collect()
    for place, table in enumerate(_SUMS):
        found = [pa.ipc.open_stream(part[place]).read_all() for part in parts]
        order = [
            (column, "ascending") for column in (*_SUM_KEY, "message_id") if column in table.column_names
        ]
        pq.write_table(
            pa.concat_tables([table.arrow_schema.empty_table(), *found]).sort_by(order),
            out / f"{table.name}.parquet",
        )


def _dealt(
    settings: FederatedLearningConfig, out: Path, tasks: int, file: str
) -> Iterator[tuple[int, bytes]]:
    """Yield the calls of a stored file by the task that will sum them, without the texts of successes."""
    engine = _TaskEngine(settings, out, "deal")
    with engine.quietly(), engine.connect_alone() as connection:
        columns = ", ".join(
            f"case when not success and caused_by is null then {one.name} end as {one.name}"
            if one.name in ("error", "metadata")
            else one.name
            for one in _SUMMED
        )
        sql = f"""select {columns}, hash({", ".join(_SUM_KEY)}) % $tasks as task
            from read_parquet($file, hive_partitioning = false)"""  # noqa: S608 - our own names
        calls = connection.sql(sql, params={"tasks": tasks, "file": file}).to_arrow_table()
        for task in pc.unique(calls["task"]).to_pylist():
            yield task, _stream(calls.filter(pc.equal(calls["task"], task)).drop_columns(["task"]))


def _summed(
    settings: FederatedLearningConfig, out: Path, calls: Iterable[tuple[int, bytes]]
) -> Iterator[tuple[bytes, ...]]:
    """Yield the sums of one task's calls."""
    engine = _TaskEngine(settings, out, "sum")
    with engine.quietly(), engine.connect_alone() as connection:
        columns = ", ".join(f"{one.name} {one.type}" for one in _SUMMED)
        connection.execute(f"create table raw_traces ({columns})")
        for _, stream in calls:
            connection.register("fl_given", pa.ipc.open_stream(stream).read_all())
            connection.execute("insert into raw_traces by name select * from fl_given")
        yield tuple(
            _stream(sums.cast(table.arrow_schema))
            for table, sums in zip(_SUMS, sums_of(connection), strict=True)
        )


def _stream(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return sink.getvalue().to_pybytes()


# Ingestion: the driver


@dataclass(frozen=True)
class _Plan:
    """What every task gets; not the secret, which is in a file of the data folder's owner."""

    settings: FederatedLearningConfig
    now: datetime
    folder: Path
    """Where tasks stage: below the driver's spill folder, with which it is removed."""
    groups: list[list[tuple[int, Source]]]
    """By task, files or parts of files, with the files' numbers."""


class _Driver(DuckDBEngine):
    """The default engine, whose files are read by tasks."""

    def __init__(self, context: Any, settings: FederatedLearningConfig, now: datetime) -> None:
        super().__init__(settings, clock=lambda: now)
        self.context = context

    def _round(
        self,
        connection: duckdb.DuckDBPyConnection,
        sources: list[Source],
        mask_names: Callable[[str], str] | None,
    ) -> Ingestion:
        return _SparkIngestion(self, connection, sources, mask_names)


class _SparkIngestion(Ingestion):
    """One round whose files are read and staged by Spark tasks."""

    def staged(self) -> Iterator[pa.Table]:
        """Stage every file; yield nothing, as progress is reported by tasks."""
        engine: Any = self.engine
        context = engine.context
        (temp,) = self.connection.execute("select current_setting('temp_directory')").fetchall()[0]
        folder = Path(temp) / "staged"
        folder.mkdir()
        groups = groups_of(
            parts_of(context, [reading.source for reading in self.readings]), context.defaultParallelism
        )
        shared = context.broadcast(_Plan(self.settings, self.now, folder, groups))
        outcomes = _collected(
            context.parallelize(range(len(groups)), len(groups)).map(partial(_stored, shared)),
            len(groups),
            self.report_progress,
        )
        found = [
            pair
            for group, outcome in zip(groups, outcomes, strict=True)
            for pair in zip((number for number, _ in group), outcome.readings, strict=True)
        ]
        for number, parts in groupby(
            sorted(found, key=lambda each: (each[0], each[1].source.offset)), key=lambda each: each[0]
        ):
            self.readings[number] = joined([reading for _, reading in parts], self.readings[number].source)
        for outcome in outcomes:
            self.refused += outcome.refused
            self.mended += outcome.mended
            for table, rows in outcome.rows.items():
                self.rows[table] += rows
            self.redactions.update({(None, entity): count for entity, count in outcome.redactions.items()})
            for key, files in outcome.files.items():
                self.files[key] += files
        parts = [os.fspath(folder / outcome.part) for outcome in outcomes]
        self.connection.execute(
            "insert into fl_stage by name select * from read_parquet($parts, hive_partitioning = false)",
            {"parts": parts},
        )
        yield from ()

    def refused_of(self, number: int, reading: Reading) -> list[Refused]:  # noqa: ARG002
        """Return nothing: tasks return these."""
        return []


def _collected(rows: Any, tasks: int, report_progress: Callable[[str], None]) -> "list[_Outcome]":
    """Run the tasks, reporting how many are done."""
    done = threading.Event()

    def watch() -> None:
        status = rows.context.statusTracker()
        while not done.wait(REPORT_SECS):
            stages = [status.getStageInfo(stage) for stage in status.getActiveStageIds()]
            if finished := sum(stage.numCompletedTasks for stage in stages if stage):
                report_progress(f"{finished / tasks:.0%}: {finished} of {tasks} Spark tasks")

    watcher = threading.Thread(target=watch, name="fl-spark-progress", daemon=True)
    watcher.start()
    try:
        return rows.collect()
    finally:
        done.set()
        watcher.join()


# Tasks


@dataclass
class _Outcome:
    """Result of a task's files, in order, redacted."""

    part: str
    """File with the rows of `fl_stage`, with the driver's numbers of files."""
    readings: list[Reading]
    rows: dict[str, list[dict[str, Any]]]
    """Rows of other tables."""
    refused: list[Refused]
    mended: int
    redactions: Counter[str]
    files: dict[tuple[str, date], list[LakeFile]]


class _TaskEngine(DuckDBEngine):
    """The default engine in a task: one core, and a spill folder of its own."""

    options: ClassVar[dict[str, Any]] = {"threads": 1}
    stagers: ClassVar[int] = 1

    def __init__(
        self, settings: FederatedLearningConfig, folder: Path, step: str, *, now: datetime | None = None
    ) -> None:
        from pyspark import TaskContext  # ty: ignore[import-not-found]

        super().__init__(settings, clock=lambda: now or datetime.now(UTC))
        context: Any = TaskContext.get()
        self.name = f"{step}-{context.partitionId()}-{context.taskAttemptId()}"
        self._folder = folder / self.name

    @property
    def _temp(self) -> Path:
        return self._folder

    @contextmanager
    def quietly(self) -> Iterator[None]:
        """Redact errors: they may quote a line, which must not reach an executor's log."""
        try:
            yield
        except Exception as error:
            raise RuntimeError(redact(f"{type(error).__name__}: {error}")) from None


def _stored(shared: Any, task: int) -> _Outcome:
    """Read, check, redact and store the files of one task."""
    plan: _Plan = shared.value
    engine = _TaskEngine(plan.settings, plan.folder, "store", now=plan.now)
    mask_names = load_name_masking() if plan.settings.pii else None
    with engine.quietly(), engine.connect_alone() as connection:
        ingestion = _TaskIngestion(
            engine, connection, [source for _, source in plan.groups[task]], mask_names
        )
        return ingestion.outcome(
            [number for number, _ in plan.groups[task]], plan.folder / f"{engine.name}.parquet"
        )


class _TaskIngestion(Ingestion):
    """A round of one task, up to staging."""

    def outcome(self, numbers: list[int], part: Path) -> _Outcome:
        """Stage all files, write `fl_stage` to `part`, and return the result with the driver's numbers."""
        self.create()
        for _ in self.staged():
            pass
        refused = [
            *self.refused,
            *(row for local, reading in enumerate(self.readings) for row in self.refused_of(local, reading)),
        ]
        return _Outcome(
            part=_written(self.connection, numbers, part),
            readings=[replace(reading, problems=[]) for reading in self.readings],
            rows=self.redacted_rows(),
            refused=[
                replace(row, file_no=numbers[row.file_no], detail=safe_redact(row.detail, self.clean))
                for row in refused
            ],
            mended=self.mended,
            redactions=Counter({entity: count for (_, entity), count in self.redactions.items()}),
            files=dict(self.files),
        )


def _written(connection: duckdb.DuckDBPyConnection, numbers: list[int], path: Path) -> str:
    """Write `fl_stage` with the driver's numbers of files, atomically; return the file's name."""
    (temp,) = connection.execute("select current_setting('temp_directory')").fetchall()[0]
    written = Path(temp) / path.name
    sql = """copy (select * replace ($numbers[file_no + 1]::integer as file_no) from fl_stage)
        to $path (format parquet, compression zstd)"""
    connection.execute(sql, {"numbers": numbers, "path": os.fspath(written)})
    written.rename(path)
    return path.name
