"""A run launcher that notices when a run's process is gone.

Each run holds a lock while it lives, and Dagster's monitor asks the launcher whether anybody does.

What goes here: the lock and the launcher that `dagster.yaml` names. What does not: what becomes of such a run
(Dagster fails it, and tries it again).
"""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
from dagster._core.launcher import CheckRunHealthResult, LaunchRunContext, WorkerStatus  # noqa: TID251  what a launcher answers with has no public name in 1.13, which we pin

from fl_assets.infra.disk import LockBusyError, locked

AGAIN = {"dagster/retry_strategy": "ALL_STEPS"}
"""Tag of a run that, tried again, begins at its first step.

That one opens the rows of the cycle, and what is done twice is the same.
"""
ALIVE = CheckRunHealthResult(WorkerStatus.RUNNING)


@contextmanager
def held(instance: dg.DagsterInstance | None, run: dg.DagsterRun | None) -> Iterator[None]:
    """Hold the lock of a run for the length of the block, where the launcher's monitor looks.

    The lock file names the process and the host.

    The file has its text only while somebody holds the lock, or has died holding it.
    """
    if run is None or instance is None or not isinstance(instance.run_launcher, WatchedRunLauncher):
        yield
        return
    path = _lock_path(instance, run.run_id)
    path.parent.mkdir(exist_ok=True)
    with locked(path, shared=True) as descriptor:  # so that several processes of one run may
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()} on {socket.gethostname()}".encode())
        try:
            yield
        finally:
            path.unlink(missing_ok=True)  # before the lock is given back


class WatchedRunLauncher(dg.DefaultRunLauncher):
    """Dagster's own launcher, which also sees that a run of this host died.

    A run without a file (it makes one within its first moments) and a run of another host or container count
    as alive.
    """

    def launch_run(self, context: LaunchRunContext) -> None:
        """Launch a run, to be tried again from its first step, and forget the locks of runs that are over."""
        for path in _lock_path(self._instance, "").parent.glob("*.lock"):
            run = self._instance.get_run_by_id(path.stem)
            if run is None or run.is_finished:
                path.unlink(missing_ok=True)
        self._instance.add_run_tags(context.dagster_run.run_id, AGAIN)
        super().launch_run(context)

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Whether the monitor may ask: yes."""
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Tell whether the process of a run that has started is still there."""
        path = _lock_path(self._instance, run.run_id)
        try:
            process, _, host = path.read_text(encoding="utf-8").partition(" on ")
            if host != socket.gethostname():
                return ALIVE
            with locked(path, wait_secs=0, create=False):
                if not path.exists():  # it came to its end just now
                    return ALIVE
        except (FileNotFoundError, LockBusyError):
            return ALIVE
        return CheckRunHealthResult(
            WorkerStatus.NOT_FOUND,
            f"process {process} on {host} is gone: it was killed, or the machine restarted",
        )


def _lock_path(instance: dg.DagsterInstance, run_id: str) -> Path:
    return Path(instance.root_directory) / "running" / f"{run_id}.lock"
