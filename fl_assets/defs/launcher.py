"""A run launcher that notices when a run's process is gone; Dagster then fails the run and retries it.

Each run holds a lock while it lives, and Dagster's monitor asks the launcher whether it is held.
`dagster.yaml` names the launcher.
"""

import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import date
from pathlib import Path

import dagster as dg
from dagster._core.launcher import CheckRunHealthResult, LaunchRunContext, WorkerStatus  # noqa: TID251  what a launcher answers with has no public name in 1.13, which we pin

from fl_assets.core.settings import FederatedLearningConfig
from fl_assets.infra.disk import LockBusyError, locked
from fl_assets.infra.first_day import first_partition, remember

AGAIN = {"dagster/retry_strategy": "ALL_STEPS"}
"""Tag of runs that are retried from their first step, which opens the rows of the cycle."""
FIRST_OF_RANGE = "dagster/asset_partition_range_start"
ALIVE = CheckRunHealthResult(WorkerStatus.RUNNING)


@contextmanager
def held(instance: dg.DagsterInstance | None, run: dg.DagsterRun | None) -> Iterator[None]:
    """Hold the lock of a run while the block runs.

    The lock file names process and host while the lock is held, and still does if its holder was killed.
    """
    if run is None or instance is None or not isinstance(instance.run_launcher, WatchedRunLauncher):
        yield
        return
    path = _lock_path(instance, run.run_id)
    path.parent.mkdir(exist_ok=True)
    with locked(path, shared=True) as descriptor:  # a run may have several processes
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()} on {socket.gethostname()}".encode())
        try:
            yield
        finally:
            path.unlink(missing_ok=True)  # before the lock is released


class WatchedRunLauncher(dg.DefaultRunLauncher):
    """Dagster's default launcher, which also detects dead runs of this host.

    A run without a file (it makes one when it starts) and a run of another host or container count as alive.
    """

    def launch_run(self, context: LaunchRunContext) -> None:
        """Launch a run that is retried from its first step, and remove the locks of finished runs."""
        for path in _lock_path(self._instance, "").parent.glob("*.lock"):
            run = self._instance.get_run_by_id(path.stem)
            if run is None or run.is_finished:
                path.unlink(missing_ok=True)
        self._instance.add_run_tags(context.dagster_run.run_id, AGAIN)
        keep_days(FederatedLearningConfig.from_env(), context.dagster_run.tags)
        super().launch_run(context)

    @property
    def supports_check_run_worker_health(self) -> bool:
        """True: the monitor may ask."""
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Return whether the process of a started run still exists."""
        path = _lock_path(self._instance, run.run_id)
        try:
            process, _, host = path.read_text(encoding="utf-8").partition(" on ")
            if host != socket.gethostname():
                return ALIVE
            with locked(path, wait_secs=0, create=False):
                if not path.exists():  # it has just finished
                    return ALIVE
        except (FileNotFoundError, LockBusyError):
            return ALIVE
        return CheckRunHealthResult(
            WorkerStatus.NOT_FOUND,
            f"process {process} on {host} is gone: it was killed, or the machine restarted",
        )


def keep_days(settings: FederatedLearningConfig, tags: Mapping[str, str]) -> None:
    """Let the days that a run was asked for be partitions in its process, which loads its definitions anew.

    A backfill may be asked for before any telemetry is known, when days begin at the default; the first
    ingestion would else make them begin later, and the run's own days would be none.
    """
    with suppress(ValueError):  # of no day
        day = date.fromisoformat(tags.get(FIRST_OF_RANGE) or tags.get("dagster/partition") or "")
        if settings.start_date <= day < first_partition(settings):
            remember(settings, [day])


def _lock_path(instance: dg.DagsterInstance, run_id: str) -> Path:
    return Path(instance.root_directory) / "running" / f"{run_id}.lock"
