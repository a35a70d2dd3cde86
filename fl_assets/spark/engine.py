"""The engine for days too big for one machine: Spark reads, checks, redacts and sums into the same lake.

What goes here: starting the Spark job and reading its results. What does not: what runs in Spark
(`tasks.py`), the job's script (`job.py`), Dagster Pipes (`defs/resources.py`), merging a day
(`events/ingest.py`, `infra/lake.py`).

The job is a process of its own, so that no other process starts a JVM. Light work (samples, counts,
conversations) is done by the default engine.
"""

import json
import os
import re
import secrets
import shutil
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fl_assets.core.settings import FederatedLearningConfig
from fl_assets.core.tables import CALL_TOTALS, FAILURE_SIGNATURES
from fl_assets.events.outcome import IngestReport, Unread
from fl_assets.events.redaction import redact
from fl_assets.infra.disk import remove_folder
from fl_assets.sums.engine import SummingEngine

Launch = Callable[[Sequence[str], Callable[[str], None]], dict[str, Any]]
"""Runs a command, passes on its progress messages, and returns its answer."""
MIN_JAVA = 17
_SETTING = "FEDERATED_LEARNING_ENGINE=spark"
_OTHERWISE = "or use the engine that needs neither: FEDERATED_LEARNING_ENGINE=duckdb"
_TAIL_LINES = 15
_SUMS = (FAILURE_SIGNATURES, CALL_TOTALS)
_MAX_HELD_DAYS = 400
_HELD: dict[tuple[str, date, str], tuple[pa.Table, pa.Table]] = {}
"""Sums that jobs of this process made, by lake, day and content of the day, until they are asked for: so that
a cycle starts one JVM and not two."""


class SparkUnavailableError(OSError):
    """FEDERATED_LEARNING_ENGINE is spark, but PySpark or Java is missing or too old."""


class SparkJobError(ChildProcessError):
    """The Spark job failed; the next ingestion reads its files again."""


class SparkEngine(SummingEngine):
    """Ingests and sums in a Spark job; see `Engine`."""

    def __init__(self, settings: FederatedLearningConfig, *, launch: Launch | None = None) -> None:
        super().__init__(settings)
        self._launch = launch or run_plainly
        self._expected: tuple[date, ...] = ()

    def ingest(self, progress: Callable[[str], None] | None = None) -> IngestReport:
        """Store what is new in the telemetry folders, as `DuckDBEngine.ingest` does.

        Raises:
            SparkUnavailableError: PySpark or Java is missing.
            SparkJobError: the job failed.
        """
        if not self.index.pending():
            return super().ingest(progress)  # nothing to read, so no JVM
        found = self._run("ingest", progress)
        self._hold(found.pop("sums"), [date.fromisoformat(day) for day in found["days"]])
        days = tuple(date.fromisoformat(day) for day in found.pop("days"))
        unread = tuple(Unread(**fields) for fields in found.pop("unread"))
        return IngestReport(days=days, unread=unread, **found)

    def expect(self, days: Sequence[date]) -> None:
        """Note the days that `signatures` will be asked for next, so that one job sums them all."""
        self._expected = tuple(days)

    def signatures(self, day: date) -> tuple[pa.Table, pa.Table]:
        """Return a day's failure signatures and call totals, in the columns of those tables.

        A job sums the days that it changed and all that are expected; its sums are returned once, then
        discarded.
        """
        if self._key(day) not in _HELD:
            days, self._expected = sorted({day, *self._expected}), ()
            given = {"days": [each.isoformat() for each in days]}
            self._hold(
                self._run("sum", None, **given)["sums"]
                if self.lake.files("raw_traces", days)
                else _empty_sums(),
                days,
            )
        return _HELD.pop(self._key(day))

    def _key(self, day: date) -> tuple[str, date, str]:
        return str(self.lake.root.resolve()), day, self.lake.content_of(day)

    def _hold(self, sums: list[pa.Table], days: Iterable[date]) -> None:
        while len(_HELD) > _MAX_HELD_DAYS:
            _HELD.pop(next(iter(_HELD)))
        for day in days:
            signatures, totals = (
                table.filter(pc.equal(table["event_date"], pa.scalar(day, pa.date32()))) for table in sums
            )
            _HELD[self._key(day)] = signatures, totals

    def _run(self, verb: str, progress: Callable[[str], None] | None, **given: Any) -> dict[str, Any]:
        """Run a job; return its answer, with the tables that it wrote as `sums`."""
        check_available()
        out = self.settings.data_path / "tmp" / "spark" / secrets.token_hex(8)
        out.mkdir(parents=True)
        try:
            settings = self.settings.model_dump(mode="json", exclude_none=True)
            order = {
                "verb": verb,
                "settings": settings,
                "now": self.now().isoformat(),
                "out": os.fspath(out.resolve()),
                **given,
            }
            found = self._launch(
                [sys.executable, "-m", "fl_assets.spark.job", json.dumps(order)], progress or (lambda _: None)
            )
            if "error" in found:
                master = f"FEDERATED_LEARNING_SPARK_MASTER={self.settings.spark_master}"
                raise SparkJobError(
                    f"the Spark job failed ({master}); what it did not commit is read again next time: "
                    f"{found['error']}"
                )
            paths = [out / f"{table.name}.parquet" for table in _SUMS]
            written = [
                pq.read_table(path).cast(table.arrow_schema)
                for path, table in zip(paths, _SUMS, strict=True)
                if path.exists()
            ]
            return found | {"sums": written or _empty_sums()}
        finally:
            remove_folder(out)


def _empty_sums() -> list[pa.Table]:
    return [table.arrow_schema.empty_table() for table in _SUMS]


def run_plainly(command: Sequence[str], report_progress: Callable[[str], None]) -> dict[str, Any]:
    """Run the job as a process, outside of Dagster; return its answer, a line of JSON.

    Raises:
        SparkJobError: it ended without an answer; the text has its last output, redacted.
    """
    output: deque[str] = deque(maxlen=_TAIL_LINES)
    answer: dict[str, Any] | None = None
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        try:
            for line in process.stdout or ():
                if line.startswith('{"fl_assets":'):
                    message = json.loads(line)["fl_assets"]
                    if "progress" in message:
                        report_progress(message["progress"])
                    else:
                        answer = message
                else:
                    output.append(redact(line.rstrip()))
        except BaseException:
            process.terminate()
            raise
    last_lines = "; it said last:\n" + "\n".join(output)
    if process.returncode or answer is None:
        raise SparkJobError(f"the Spark job ended with status {process.returncode}{last_lines}")
    return answer | {"error": answer["error"] + last_lines} if "error" in answer and output else answer


def check_available() -> None:
    """Check that PySpark and Java are installed.

    Raises:
        SparkUnavailableError: one is missing or too old.
    """
    if find_spec("pyspark") is None:
        raise SparkUnavailableError(
            f"{_SETTING}, but pyspark is not installed (it needs pyspark 4): pip install 'fl-assets[spark]', "
            f"{_OTHERWISE}"
        )
    home = os.environ.get("JAVA_HOME")
    java = str(Path(home, "bin", "java")) if home else shutil.which("java")
    where = f"JAVA_HOME={home}" if home else "PATH"
    try:
        said = subprocess.run([java or "java", "-version"], capture_output=True, text=True, check=True).stderr
    except (OSError, subprocess.CalledProcessError) as error:
        raise SparkUnavailableError(
            f"{_SETTING}, but there is no Java by {where} (it needs Java {MIN_JAVA} or later): "
            f"install one, set JAVA_HOME to it, {_OTHERWISE}"
        ) from error
    found = re.search(r'version "([0-9]+)', said)
    if not found or int(found[1]) < MIN_JAVA:
        version = found[1] if found else repr(said[:80])
        raise SparkUnavailableError(
            f"{_SETTING}, but Java by {where} is {version}, and PySpark 4 needs {MIN_JAVA} or later: "
            f"set JAVA_HOME to one, {_OTHERWISE}"
        )
