"""What runs in Spark: lines are read, checked, redacted and staged by tasks; days are summed by one query.

What goes here: the session, the plan, and the three steps of a task. What does not: rules, masks and sums (`domain/spark_sql.py` spells those of the default engine),
reading (`telemetry_files.py`), staging (`staging.py`), merging into the lake (`duckdb_engine.py`).

A task has some files and three steps, with no shuffle between them, so that no raw text is ever written to a disk:

1. *read* (Python): lines are split and decompressed as ever, and the SQL that reads events says which distinct texts of them must be redacted;
2. *redact* (Spark SQL, Java's regular expressions): those texts; lines pass by;
3. *store* (Python): the default engine's stager reads the lines again, puts each text's redacted form in its place, and adds files to the lake that no manifest names yet.

The driver gathers what staging remembers, and goes on as the default engine does: each event once, small files merged, counted, committed.
What a task that failed, or was run twice, has added is removed with all else that no manifest names.
The driver and all tasks need the telemetry folder and the data folder under the same paths.
"""

import os
import pickle
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import date, datetime
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fl_assets.domain.redaction import redact
from fl_assets.domain.settings import FederatedLearningConfig
from fl_assets.domain.signatures import call_totals_sql, failures_sql, signature_sql
from fl_assets.domain.spark_sql import MAX_REDACTED_CHARS, redacted_sql, spark_sql
from fl_assets.domain.telemetry import safe_redact
from fl_assets.storage.duckdb_engine import TELL_SECS, DuckDBEngine, Ingestion, tables_of, weight_of
from fl_assets.storage.lake import LakeFile
from fl_assets.storage.pii_names import load_name_masking
from fl_assets.storage.staging import Stager
from fl_assets.storage.tables import CALL_TOTALS, FAILURE_SIGNATURES
from fl_assets.storage.telemetry_files import Reading, Source

TASK_BYTES = 128 * 1024 * 1024
"""Bytes of text that one task reads, about; a file is never divided."""
_STACK = "-Xss64m"
"""Java's regular expressions recurse; MAX_REDACTED_CHARS characters need less than this."""
_ITEM, _OUTCOME = -1, -2
"""In place of a file's number: the row holds a text to redact, or what became of the files."""
_LINES = "batch_no int, file_no int, line_no bigint, line string, outcome binary"
_SCHEMA = pa.schema([("batch_no", pa.int32()), ("file_no", pa.int32()), ("line_no", pa.int64()), ("line", pa.string()), ("outcome", pa.binary())])
_STORED = pa.schema([("part", pa.string()), ("outcome", pa.binary())])


def run(order: dict[str, Any], tell: Callable[[str], None]) -> dict[str, Any]:
    """Carry out what `spark_engine.py` asks for, and return what it reads back.

    Args:
        order: `verb` (`ingest`, or `sum` of some `days`), `settings`, `now`, and `out`: the folder that sums of the days, or of those that ingestion changed,
            are written to.
        tell: is told how far it is, in words.
    """
    settings, now = FederatedLearningConfig.from_env(**order["settings"]), datetime.fromisoformat(order["now"])
    with _session(settings) as spark:
        answer: dict[str, Any] = {"days": order.get("days", [])}
        if order["verb"] == "ingest":
            report = asdict(_Driver(spark, settings, now).ingest(tell))
            answer = report | {"days": [day.isoformat() for day in report["days"]]}
        _sum(spark, settings, [date.fromisoformat(day) for day in answer["days"]], Path(order["out"]))
    return answer


@contextmanager
def _session(settings: FederatedLearningConfig) -> Iterator[Any]:
    """Give a Spark session; memory, cores and the like are spark-defaults.conf's (SPARK_CONF_DIR) or PYSPARK_SUBMIT_ARGS'."""
    from pyspark.sql import SparkSession  # ty: ignore[import-not-found] - of the extra [spark]

    conf = {
        "spark.app.name": "fl_assets",
        "spark.ui.enabled": "false",
        "spark.log.level": "ERROR",
        "spark.driver.defaultJavaOptions": _STACK,
        "spark.executor.defaultJavaOptions": _STACK,
        "spark.sql.session.timeZone": "UTC",
        # Patterns as long as ours make code that Java does not compile: it is interpreted from the beginning.
        "spark.sql.codegen.wholeStage": "false",
        "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    }
    if settings.spark_master.startswith("local"):
        conf |= {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}
    spark = SparkSession.builder.master(settings.spark_master).config(map=conf).getOrCreate()
    try:
        yield spark
    finally:
        spark.stop()


# Sums -------------------------------------------------------------------------------------------------------------------


def _sum(spark: Any, settings: FederatedLearningConfig, days: list[date], out: Path) -> None:
    """Write failure signatures and call totals of all the days, a file each; none where no day has calls."""
    files = [os.fspath(path.resolve()) for path in DuckDBEngine(settings).lake.files("raw_traces", days)]
    if not files:
        return
    spark.read.parquet(*files).createOrReplaceTempView("fl_calls")
    failed = failures_sql("fl_calls")
    spark.sql(spark_sql(failed)).persist().createOrReplaceTempView("fl_failed")  # read twice
    statements = {FAILURE_SIGNATURES: signature_sql("fl_calls").replace(failed, "select * from fl_failed"), CALL_TOTALS: call_totals_sql("fl_calls")}
    for table, sql in statements.items():
        pq.write_table(spark.sql(spark_sql(sql)).toArrow(), out / f"{table.name}.parquet")


# Ingestion: the driver --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Plan:
    """What every task is told; the secret is in a file that only the data folder's owner reads."""

    settings: FederatedLearningConfig
    now: datetime
    folder: Path
    """Where tasks stage: below the driver's spill folder, so that it goes when the driver does."""
    groups: list[list[tuple[int, Source]]]
    """By partition, the files to read, with their numbers."""


class _Driver(DuckDBEngine):
    """The default engine, but that tasks do the reading."""

    def __init__(self, spark: Any, settings: FederatedLearningConfig, now: datetime) -> None:
        super().__init__(settings, clock=lambda: now)
        self.spark = spark

    def _round(self, connection: duckdb.DuckDBPyConnection, sources: list[Source], mask_names: Callable[[str], str] | None) -> Ingestion:
        return _SparkIngestion(self, connection, sources, mask_names)


class _SparkIngestion(Ingestion):
    """One round whose files are read and staged by Spark tasks."""

    def _staged(self) -> Iterator[pa.Table]:
        """Stage every file; nothing is given, for how far it is is told by tasks."""
        engine: Any = self.engine
        context = engine.spark.sparkContext
        (temp,) = self.connection.execute("select current_setting('temp_directory')").fetchall()[0]
        folder = Path(temp) / "staged"
        folder.mkdir()
        plan = _Plan(self.settings, self.now, folder, _groups([reading.source for reading in self.readings], context.defaultParallelism))
        shared = context.broadcast(plan)
        rows = (
            engine.spark.range(0, len(plan.groups), 1, len(plan.groups))
            .mapInArrow(partial(_read, shared), _LINES)
            .selectExpr("*", f"case when file_no = {_ITEM} then {redacted_sql('line')} end as redacted")
            .mapInArrow(partial(_store, shared), "part string, outcome binary")
        )
        parts = []
        for part, pickled in _collected(rows, context, len(plan.groups), self.tell):
            parts.append(os.fspath(folder / part))
            outcome: _Outcome = pickle.loads(pickled)
            for (number, _), reading in zip(plan.groups[int(part.split("-")[0])], outcome.readings, strict=True):
                self.readings[number] = reading
            self.bad += outcome.bad
            self.records += outcome.records
            self.redactions.update({(None, entity): count for entity, count in outcome.redactions.items()})
            for key, files in outcome.files.items():
                self.files[key] += files
            self.ignored += outcome.ignored
        self.connection.execute("insert into fl_stage by name select * from read_parquet($parts, hive_partitioning = false)", {"parts": parts})
        yield from ()

    def refused(self, number: int, reading: Reading) -> list[tuple[int, int, str, str, str, int]]:  # noqa: ARG002
        """Return nothing: the task has told."""
        return []


def _groups(sources: list[Source], cores: int) -> list[list[tuple[int, Source]]]:
    """Divide files among tasks, about evenly by bytes: the largest first, each to the task that has least."""
    weights = [weight_of(source) + 1 for source in sources]
    count = min(len(sources), max(cores, sum(weights) // TASK_BYTES))
    groups: list[list[tuple[int, Source]]] = [[] for _ in range(count)]
    sizes = [0] * count
    for number in sorted(range(len(sources)), key=lambda number: (-weights[number], number)):
        least = sizes.index(min(sizes))
        groups[least].append((number, sources[number]))
        sizes[least] += weights[number]
    return [sorted(group, key=lambda each: each[0]) for group in groups]


def _collected(rows: Any, context: Any, tasks: int, tell: Callable[[str], None]) -> list[tuple[str, bytes]]:
    """Run the tasks, telling how many are done."""
    done = threading.Event()

    def watch() -> None:
        status = context.statusTracker()
        while not done.wait(TELL_SECS):
            stages = [status.getStageInfo(stage) for stage in status.getActiveStageIds()]
            if finished := sum(stage.numCompletedTasks for stage in stages if stage):
                tell(f"{finished / tasks:.0%}: {finished} of {tasks} Spark tasks")

    watcher = threading.Thread(target=watch, name="fl-spark-progress", daemon=True)
    watcher.start()
    try:
        return [(row.part, bytes(row.outcome)) for row in rows.collect()]
    finally:
        done.set()
        watcher.join()


# Ingestion: a task ------------------------------------------------------------------------------------------------------


@dataclass
class _Outcome:
    """What became of a task's files, in their order; raw between its steps, redacted when it goes to the driver."""

    readings: list[Reading]
    records: list[dict[str, Any]]
    ignored: int
    bad: list[tuple[int, int, str, str, str, int]] = field(default_factory=list)
    redactions: Counter[str] = field(default_factory=Counter)
    files: dict[tuple[str, date], list[LakeFile]] = field(default_factory=dict)


class _TaskEngine(DuckDBEngine):
    """The default engine within a task: one core, and a spill folder of its own."""

    options: ClassVar[dict[str, Any]] = {"threads": 1}

    def __init__(self, plan: _Plan, step: str) -> None:
        super().__init__(plan.settings, clock=lambda: plan.now)
        self.partition, self.attempt = _place()
        self.files = plan.groups[self.partition]
        self._folder = plan.folder / f"{step}-{self.partition}-{self.attempt}"

    @property
    def _temp(self) -> Path:
        return self._folder

    @contextmanager
    def opened(self, masks_names: bool) -> Iterator[Ingestion]:
        """Give an ingestion of the task's files, with its tables made."""
        mask_names = load_name_masking() if masks_names and self.settings.pii else None
        try:
            with self.connect() as connection:
                ingestion = Ingestion(self, connection, [source for _, source in self.files], mask_names)
                ingestion.create()
                yield ingestion
        except Exception as error:
            # What DuckDB or Python quote of a line must not reach an executor's log.
            raise RuntimeError(redact(f"{type(error).__name__}: {error}")) from None


def _place() -> tuple[int, int]:
    """Return partition and attempt."""
    from pyspark import TaskContext  # ty: ignore[import-not-found]

    context: Any = TaskContext.get()
    return context.partitionId(), context.taskAttemptId()


class _Asked(Exception):  # noqa: N818 - no error: it carries what was asked for, and stops before raw text is staged
    def __init__(self, items: pa.Array) -> None:
        super().__init__()
        self.items = items


class _Asking(Stager):
    """A stager that stops where texts are to be redacted, and tells which."""

    def items_of(self, batch: pa.Table) -> pa.Array:
        try:
            self._read(batch)
        except _Asked as asked:
            return asked.items
        message = "the stager redacted nothing: it must ask for every batch"
        raise RuntimeError(message)

    def _redacted_items(self, items: pa.StringArray) -> tuple[np.ndarray, pa.Array, pa.Array]:
        raise _Asked(items)


class _Answered(Stager):
    """A stager whose texts Java redacted; the few that Java was not given (long ones, those of lines in doubt) it redacts itself, by the same rules."""

    raw: pa.Array = pa.array([], pa.string())
    redacted: pa.Array = pa.array([], pa.string())

    def _redacted_items(self, items: pa.StringArray) -> tuple[np.ndarray, pa.Array, pa.Array]:
        found = pc.index_in(items, value_set=self.raw)
        known, unknown = (np.flatnonzero(one.to_numpy(zero_copy_only=False)) for one in (found.is_valid(), found.is_null()))
        after = self.redacted.take(found.take(pa.array(known)))
        before = items.take(pa.array(known))
        changed = np.flatnonzero(pc.fill_null(pc.not_equal(before, after), False).to_numpy(zero_copy_only=False))
        texts = after.take(pa.array(changed))
        masked = pa.array([_masked(*pair) for pair in zip(before.take(pa.array(changed)).to_pylist(), texts.to_pylist(), strict=True)], pa.string())
        at = np.full(len(known), -1)
        at[changed] = np.arange(len(changed))
        if self._mask_names:
            at, texts, masked = self._nameless(before, at, texts, masked)
        places = np.full(len(items), -1)
        places[known] = at
        if len(unknown):
            others, more_texts, more_masked = super()._redacted_items(items.take(pa.array(unknown)))
            places[unknown] = np.where(others >= 0, others + len(texts), -1)
            texts, masked = pa.concat_arrays([texts, more_texts]), pa.concat_arrays([masked, more_masked])
        return places, texts, masked


def _masked(raw: str, redacted: str) -> str:
    """Name what was masked in a text, as `telemetry.redacted_sql` does."""
    before, after = (re.findall("<([A-Z_0-9]+)>", text) for text in (raw, redacted))
    return " ".join([*after, *(f"-{name}" for name in before)]) + " "


def _read(shared: Any, rows: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Give, for each batch of lines, first its texts and then the lines; at the end what became of the files."""
    for _ in rows:
        pass  # the row of a partition only makes it be there
    plan = shared.value
    engine = _TaskEngine(plan, "read")
    with engine.opened(masks_names=False) as ingestion:
        stager = _Asking(ingestion.connection, engine.lake, start=plan.settings.start_date, secret=ingestion.secret)
        number = 0
        for number, table in enumerate(tables_of(ingestion.batches()), 1):
            items = stager.items_of(table)
            items = items.filter(pc.less_equal(pc.utf8_length(items), MAX_REDACTED_CHARS))
            yield _rows(number, pa.array(np.full(len(items), _ITEM), pa.int32()), pa.array(np.arange(len(items))), items)
            for batch in table.to_batches():
                yield _rows(number, batch["file_no"], batch["line_no"], batch["line"])
        outcome = _Outcome(ingestion.readings, ingestion.records, ingestion.ignored)
        yield pa.RecordBatch.from_pylist([{"batch_no": number + 1, "file_no": _OUTCOME, "outcome": pickle.dumps(outcome)}], schema=_SCHEMA)


def _rows(number: int, file_nos: pa.Array, line_nos: pa.Array, lines: pa.Array) -> pa.RecordBatch:
    count = len(lines)
    return pa.RecordBatch.from_arrays([pa.array(np.full(count, number), pa.int32()), file_nos, line_nos, lines, pa.nulls(count, pa.binary())], schema=_SCHEMA)


def _store(shared: Any, rows: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Stage each batch of lines with its texts as Java left them; write what was staged, and tell where it is and what became of the files."""
    plan = shared.value
    engine = _TaskEngine(plan, "store")
    with engine.opened(masks_names=True) as ingestion:
        stager = _Answered(ingestion.connection, engine.lake, start=plan.settings.start_date, secret=ingestion.secret, mask_names=ingestion.mask_names)
        outcome: _Outcome | None = None
        for table in _by_number(rows):
            if table["file_no"][0].as_py() == _OUTCOME:
                outcome = pickle.loads(table["outcome"][0].as_py())
                continue
            is_item = pc.equal(table["file_no"], _ITEM)
            items = table.filter(is_item)
            stager.raw, stager.redacted = items["line"].combine_chunks(), items["redacted"].combine_chunks()
            stager.stage(table.filter(pc.invert(is_item)).select(["file_no", "line_no", "line"]))
        if outcome is None:
            message = "the task's reading never ended"
            raise RuntimeError(message)
        numbers = [number for number, _ in engine.files]
        refused = [row for local, reading in enumerate(outcome.readings) for row in ingestion.refused(local, reading)]
        outcome.bad = [
            (numbers[local], line, reason, safe_redact(detail, stager.clean), text, size) for local, line, reason, detail, text, size in stager.bad + refused
        ]
        outcome.readings = [replace(reading, problems=[(*problem[:2], "", b"", 0) for problem in reading.problems]) for reading in outcome.readings]
        outcome.records = [ingestion.redacted_record(record) for record in outcome.records]
        outcome.redactions = stager.redactions + Counter({entity: count for (_, entity), count in ingestion.redactions.items()})
        outcome.files = dict(stager.files)
        part = f"{engine.partition}-{engine.attempt}.parquet"
        yield pa.RecordBatch.from_pylist([{"part": part, "outcome": pickle.dumps(outcome)}], schema=_written(ingestion.connection, numbers, plan.folder / part))


def _written(connection: duckdb.DuckDBPyConnection, numbers: list[int], path: Path) -> pa.Schema:
    """Write what staging remembers with the driver's numbers of files, whole or not at all; return the schema of what the task gives."""
    (temp,) = connection.execute("select current_setting('temp_directory')").fetchall()[0]
    written = Path(temp) / path.name
    sql = "copy (select * replace ($numbers[file_no + 1]::integer as file_no) from fl_stage) to $path (format parquet, compression zstd)"
    connection.execute(sql, {"numbers": numbers, "path": os.fspath(written)})
    written.rename(path)
    return _STORED


def _by_number(rows: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Put rows of one batch together again, however Spark cut them."""
    held: list[pa.RecordBatch] = []
    for batch in rows:
        numbers = batch["batch_no"].to_numpy()
        cuts = [0, *(np.flatnonzero(np.diff(numbers)) + 1), len(numbers)]
        for begin, end in pairwise(cuts):
            if end == begin:
                continue
            if held and held[-1]["batch_no"][0] != batch["batch_no"][begin]:
                yield pa.Table.from_batches(held)
                held = []
            held.append(batch.slice(begin, end - begin))
    if held:
        yield pa.Table.from_batches(held)
