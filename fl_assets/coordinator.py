"""The Python API: the same assets as in the Dagster UI, run in this process.

What goes here: starting cycles and returning their results. What does not: the steps of a cycle
(`defs/assets/`).
"""

import glob
import os
import re
import threading
from collections.abc import Callable
from contextlib import nullcontext
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Self

import dagster as dg
import pyarrow as pa

from fl_assets.core.models import LearningCycleResult
from fl_assets.core.settings import FederatedLearningConfig, SettingsError, variable
from fl_assets.definitions import defs
from fl_assets.defs.automation import first_line, range_tags
from fl_assets.defs.partitions import DAILY, DAYS_PER_RUN
from fl_assets.defs.resources import resources
from fl_assets.defs.terminal_runs import TAGS, file_under_location
from fl_assets.events.redaction.errors import redacted_errors
from fl_assets.infra.clock import now_utc
from fl_assets.infra.cycle_log import CycleLog
from fl_assets.infra.disk import locked, write_atomically
from fl_assets.infra.duckdb_kept import close_idle
from fl_assets.infra.errors import ExplainedError
from fl_assets.infra.first_day import first_partition
from fl_assets.report.alerts import notify_failure
from fl_assets.workspace import Workspace


class InsufficientData(Exception):  # noqa: N818 (the name is the contract's)
    """The window of the day holds fewer events than a cycle needs."""

    def __init__(self, result: LearningCycleResult) -> None:
        super().__init__(result.reason)
        self.result = result


class CycleFailedError(ExplainedError):
    """A cycle ended with an error; the text says which step and why."""


class FederatedLearningCoordinator:
    """Runs learning cycles in this process.

    Example:
        >>> coordinator = FederatedLearningCoordinator.new_default()  # doctest: +SKIP
        >>> coordinator.run_learning_cycle().improvements_generated   # doctest: +SKIP
        7
    """

    def __init__(
        self,
        config: FederatedLearningConfig | None = None,
        *,
        instance: dg.DagsterInstance | None = None,
        clock: Callable[[], datetime] = now_utc,
        log_level: str = "CRITICAL",
    ) -> None:
        self.config = config or FederatedLearningConfig.from_env()
        self.workspace = Workspace(self.config)
        self._instance = instance
        self._clock = clock
        self.log_level = log_level
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @classmethod
    def new_default(cls) -> Self:
        """Return a coordinator with the settings of the environment.

        Raises:
            SettingsError: a variable breaks its rule.
        """
        return cls()

    def latest_complete_day(self, progress: Callable[[str], None] | None = None) -> date:
        """Pull yesterday, read new files, and return the last past day with events, else yesterday.

        A day with a few stray events alone is passed over.
        """
        yesterday = self._clock().astimezone(UTC).date() - timedelta(days=1)
        with redacted_errors():
            self.workspace.pull.days(self.workspace.sources, [yesterday], progress or (lambda _: None))
            self.workspace.intake.ingest(progress)
        return self.workspace.days.latest(yesterday) or yesterday

    def run_learning_cycle(
        self, day: date | None = None, *, progress: Callable[[str], None] | None = None
    ) -> LearningCycleResult:
        """Run the cycle of `day`, by default the latest complete one with more than strays.

        `progress` is called with each step in words.

        Raises:
            InsufficientData: the day's window holds fewer than FEDERATED_LEARNING_MIN_EVENTS events.
            CycleFailedError: a step raised an error.
            ValueError: the day is outside the partitions.
        """
        day = day or self.latest_complete_day(progress)
        if progress:
            progress(f"learning from {day}")
        (result,) = self._run([day])
        if result.status == "insufficient_data":
            raise InsufficientData(result)
        return result

    def result_of(self, day: date) -> LearningCycleResult | None:
        """Return the result of a day's latest cycle; None without one, or when events came since."""
        rows = self.workspace.warehouse.rows(
            "select cycle_id from learning_cycles where event_date = $day and end_time is not null "
            "order by start_time desc, status = 'failed' limit 1",
            {"day": day},
        )
        if not rows or any(entry.day == day for entry in self.workspace.intake.backlog().days):
            return None
        return self._result(rows[0]["cycle_id"])

    def backfill(
        self, first: date, last: date, *, progress: Callable[[str], None] | None = None
    ) -> list[LearningCycleResult]:
        """Run the cycles of a range of days, oldest first, all in this process.

        Thin and gated days are results, not errors.

        Raises:
            CycleFailedError: a step raised an error; the days before it are done.
            ValueError: the range is empty or outside the partitions.
        """
        if last < first:
            raise ValueError(
                f"backfill: the last day {last} is before the first day {first}; give FROM and TO in order"
            )
        days = [first + timedelta(days=back) for back in range((last - first).days + 1)]
        results: list[LearningCycleResult] = []
        for start in range(0, len(days), DAYS_PER_RUN):
            batch = days[start : start + DAYS_PER_RUN]
            if progress:
                progress(f"days {batch[0]} to {batch[-1]} ({start + len(batch)} of {len(days)})")
            results += self._run(batch)
        return results

    def apply_updates(self, day: date) -> list[dict[str, Any]]:
        """Carry out a day's decisions and people's answers; return the day's rows of `applied_updates`.

        Raises:
            CycleFailedError: a step raised an error.
        """
        outcome = self._execute("apply_updates", partition_key=str(day))
        if not outcome.success:
            raise CycleFailedError(f"the updates of {day} were not carried out: {failure_of(outcome)}")
        return self.workspace.warehouse.read_day("applied_updates", day)

    def start_background_cycles(
        self, on_result: Callable[[LearningCycleResult | Exception], None] | None = None
    ) -> threading.Thread:
        """Run a cycle now, then one every `cycle_interval_secs`, in a daemon thread, until stopped.

        `on_result` is called with each result or error; after an error the next cycle runs as usual.

        Raises:
            RuntimeError: cycles already run, or federated learning is switched off.
        """
        if not self.config.enabled:
            raise RuntimeError(
                "background cycles: FEDERATED_LEARNING_ENABLED is false; set it to true to let them run"
            )
        if self._thread and self._thread.is_alive():
            raise RuntimeError("background cycles: they already run in this coordinator; stop them first")
        self._stop.clear()
        self._thread = threading.Thread(
            target=self._cycle_forever, args=(on_result,), name="fl-assets-cycles", daemon=True
        )
        self._thread.start()
        return self._thread

    def stop_background_cycles(self) -> None:
        """Stop the background thread after its current cycle, and wait for that."""
        self._stop.set()
        if self._thread:
            self._thread.join()

    def _cycle_forever(self, on_result: Callable[[LearningCycleResult | Exception], None] | None) -> None:
        while not self._stop.is_set():
            outcome: LearningCycleResult | Exception
            try:
                outcome = self.run_learning_cycle()
            except Exception as error:  # one bad cycle must not end the thread
                outcome = error
            if on_result:
                on_result(outcome)
            self._stop.wait(self.config.cycle_interval_secs)

    def _run(self, days: list[date]) -> list[LearningCycleResult]:
        for day in (days[0], days[-1]):
            if not DAILY.has_partition_key(str(day)):
                first = DAILY.get_first_partition_key() or first_partition(self.config)
                raise ValueError(
                    f"{day} cannot be run: choose a day between {first} (the first with telemetry, or "
                    f"FEDERATED_LEARNING_START_DATE) and {now_utc().date()} (today, UTC)"
                )
        alone = len(days) == 1
        tags = {} if alone else range_tags(days[0], days[-1])
        outcome = self._execute("learning_cycle", partition_key=str(days[0]) if alone else None, tags=tags)
        results = [self._result(CycleLog.cycle_id(outcome.run_id, day)) for day in days]
        unfinished = [
            result for result in results if result is None or result.status in ("running", "failed")
        ]
        if unfinished or (
            not outcome.success and all(result and result.status == "completed" for result in results)
        ):
            reason = failure_of(outcome)
            CycleLog(self.workspace.warehouse, clock=self._clock).fail_open(outcome.run_id, reason)
            notify_failure(self.config, outcome.run_id, days[-1], reason)
            of_days = f"{days[0]}{f' to {days[-1]}' if len(days) > 1 else ''}"
            raise CycleFailedError(f"the learning cycle of {of_days} failed: {reason}")
        return [result for result in results if result]

    def _execute(self, job: str, **given: Any) -> dg.ExecuteInProcessResult:
        """Run a job in this process, on the given instance or that of the home.

        It releases what would accumulate over cycles: the home's handles, and the unused memory of Arrow and
        of DuckDB, which gives it back when an instance is closed.
        """
        try:
            with nullcontext(self._instance) if self._instance else open_home(self.config) as instance:
                given["tags"] = TAGS | given.get("tags", {})
                done = defs.resolve_job_def(job).execute_in_process(
                    instance=instance,
                    resources=resources(self.config),
                    run_config={"loggers": {"console": {"config": {"log_level": self.log_level}}}},
                    raise_on_error=False,
                    **given,
                )
                file_under_location(instance, done.run_id)
                return done
        finally:
            close_idle()
            pa.default_memory_pool().release_unused()

    def _result(self, cycle_id: str) -> LearningCycleResult | None:
        row = self.workspace.cycles.of(cycle_id)
        if row is None:
            return None
        row["day"] = row.pop("event_date")
        row |= {name: row[name] and row[name].replace(tzinfo=UTC) for name in ("start_time", "end_time")}
        return LearningCycleResult.model_validate(row)


def failure_of(outcome: dg.ExecuteInProcessResult) -> str:
    """Return the step that made a run fail and its error, in one line."""
    for event in outcome.all_events:
        data = event.event_specific_data
        error = getattr(data, "error", None)
        if (event.is_step_failure or event.is_failure) and error:
            while error.cause and (error.cls_name or "").startswith("Dagster"):  # wraps ours
                error = error.cause
            text = re.sub(r"^fl_assets[.\w]*: ", "", error.message)  # without the class of our errors
            return f"{event.step_key or 'the run'}: {first_line(text)}"
    return "a step did not run; see the run in the Dagster UI"


def open_home(config: FederatedLearningConfig) -> dg.DagsterInstance:
    """Return Dagster's instance: that of DAGSTER_HOME, else an initialised one under the data folder."""
    os.environ["DAGSTER_HOME"] = str(dagster_home(config))
    return dg.DagsterInstance.get()


def dagster_home(config: FederatedLearningConfig) -> Path:
    """Return the folder that DAGSTER_HOME names, else a prepared one under the data folder.

    A folder of the user's without a `dagster.yaml` gets this project's, which switches telemetry off.

    Raises:
        SettingsError: DAGSTER_HOME is a relative path, or no folder can be made there.
    """
    named = os.environ.get("DAGSTER_HOME")
    home = Path(named) if named else config.data_path / "dagster"
    if glob.escape(str(home.absolute())) != str(home.absolute()):
        raise SettingsError(
            f"{home.absolute()}: Dagster takes [, * and ? in the path of its home for a pattern, and would "
            "not find its settings there; name a folder without them in DAGSTER_HOME"
        )
    if not named:
        return prepare_home(config)
    if not home.is_absolute():
        raise SettingsError(
            f"DAGSTER_HOME='{named}': must be an absolute path; try '{home.resolve()}', or unset it"
        )
    if not (home / "dagster.yaml").exists():
        try:
            home.mkdir(parents=True, exist_ok=True)
            write_atomically(home / "dagster.yaml", _own_settings().encode())
        except OSError as error:
            raise SettingsError(
                f"DAGSTER_HOME='{named}': no dagster.yaml can be made there ({error.strerror})"
            ) from error
    return home


def _own_settings() -> str:
    return next(path for path in DAGSTER_SETTINGS if path.exists()).read_text(encoding="utf-8")


PACKAGE = Path(__file__).parent
DAGSTER_SETTINGS = (PACKAGE / "dagster.yaml", PACKAGE.parent / "dagster.yaml")
"""Dagster's settings in an installed package, and in a checkout."""
POSTGRES = variable("dagster_postgres_url")
_POSTGRES_STORAGE = f"storage:\n  postgres:\n    postgres_url:\n      env: {POSTGRES}\n"


def prepare_home(config: FederatedLearningConfig) -> Path:
    """Make Dagster's home under the data folder, with this project's `dagster.yaml`; return its path.

    Migrations of an empty home or database would fail in several processes at once, so it is opened here
    first, under a lock.

    Raises:
        SettingsError: the database cannot be reached, or the extra for it is not installed.
    """
    home = (config.data_path / "dagster").resolve()
    home.mkdir(parents=True, exist_ok=True)
    settings = _own_settings()
    with locked(home / ".lock"):
        if config.dagster_postgres_url:
            settings += _POSTGRES_STORAGE  # the name of the variable, so that no file holds the password
            os.environ[POSTGRES] = config.dagster_postgres_url.get_secret_value()
        write_atomically(home / "dagster.yaml", settings.encode())
        ready = home / ".initialised"
        if config.dagster_postgres_url:
            _open_postgres(home)
        elif not ready.exists():
            with dg.DagsterInstance.from_config(str(home)) as instance:
                instance.get_runs(limit=1)
            ready.touch()
    return home


def _open_postgres(home: Path) -> None:
    """Open the database once, which creates its tables; errors name the setting."""
    try:
        from dagster_postgres.utils import DagsterPostgresException
    except ImportError as error:
        raise SettingsError(
            f"{POSTGRES}: needs the [postgres] extra; install it (pip install "
            "'fl-assets[postgres]'), or unset the variable"
        ) from error
    try:
        with dg.DagsterInstance.from_config(str(home)) as instance:
            instance.get_runs(limit=1)
    except DagsterPostgresException as error:
        raise SettingsError(
            f"{POSTGRES}=(not shown): PostgreSQL cannot be used "
            f"({first_line(str(error.__cause__))}); fix it, or unset it"
        ) from error
