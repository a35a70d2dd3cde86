"""A run whose process is gone is seen to be, and no other."""

import os
import signal
from datetime import date
from pathlib import Path
from types import SimpleNamespace

import dagster as dg
import pytest
from dagster._core.launcher import WorkerStatus  # noqa: TID251  has no public name in 1.13, which we pin

from fl_assets.coordinator import prepare_home
from fl_assets.definitions import defs
from fl_assets.defs.automation import range_tags
from fl_assets.defs.launcher import WatchedRunLauncher, held, keep_days
from fl_assets.infra.first_day import first_partition, remember
from fl_assets_tests.conftest import settings_in


@pytest.fixture
def own(tmp_path):
    """An instance with this project's `dagster.yaml`."""
    with dg.DagsterInstance.from_config(str(prepare_home(settings_in(tmp_path / "data")))) as made:
        assert isinstance(made.run_launcher, WatchedRunLauncher)
        yield made


def status_of(instance: dg.DagsterInstance, run: dg.DagsterRun) -> WorkerStatus:
    return instance.run_launcher.check_run_worker_health(run).status


def killed_holding(instance: dg.DagsterInstance, run: dg.DagsterRun) -> int:
    """Kill a process that holds the lock of a run; return its id."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        with held(instance, run):
            os.write(writing, b"!")
            signal.pause()
    assert os.read(reading, 1) == b"!"
    assert status_of(instance, run) is WorkerStatus.RUNNING
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(reading)
    os.close(writing)
    return child


def test_a_run_whose_process_was_killed_is_not_found_and_the_process_is_named(own):
    run = dg.DagsterRun(job_name="learning_cycle")
    process = killed_holding(own, run)
    result = own.run_launcher.check_run_worker_health(run)
    assert result.status is WorkerStatus.NOT_FOUND
    assert f"process {process} on {os.uname().nodename} is gone" in str(result)


def test_a_run_that_has_no_lock_yet_holds_it_or_gave_it_back_counts_as_alive(own):
    run = dg.DagsterRun(job_name="learning_cycle")
    assert status_of(own, run) is WorkerStatus.RUNNING
    with held(own, run):
        assert status_of(own, run) is WorkerStatus.RUNNING
    assert status_of(own, run) is WorkerStatus.RUNNING


def test_a_run_of_another_host_is_not_judged(own, monkeypatch):
    run = dg.DagsterRun(job_name="learning_cycle")
    killed_holding(own, run)
    monkeypatch.setattr("socket.gethostname", lambda: "elsewhere")
    assert status_of(own, run) is WorkerStatus.RUNNING


def test_where_another_launcher_is_set_no_lock_is_made(instance):
    with held(instance, dg.DagsterRun(job_name="learning_cycle")):
        assert not (Path(instance.root_directory) / "running").exists()


def test_days_that_were_asked_for_before_telemetry_was_known_stay_partitions(own, tmp_path, monkeypatch):
    """And no tag makes days begin before those that may be analysed."""
    monkeypatch.setenv("FEDERATED_LEARNING_DATA_PATH", str(tmp_path / "data"))
    monkeypatch.setattr(dg.DefaultRunLauncher, "launch_run", lambda *_: None)
    settings, known = settings_in(tmp_path / "data"), date(2026, 11, 9)
    for tags, first in (
        (range_tags(date(2026, 10, 1), date(2026, 10, 5)), date(2026, 10, 1)),
        ({"dagster/partition": "2026-10-02"}, date(2026, 10, 2)),
        ({"dagster/partition": "2026-11-20"}, known),
        ({"dagster/partition": "1999-01-01"}, known),
        ({}, known),
    ):
        (tmp_path / "data" / "first-day").unlink(missing_ok=True)
        remember(settings, [known])  # by an ingestion since
        run = own.create_run_for_job(defs.resolve_job_def("learning_cycle"), tags=tags)
        own.run_launcher.launch_run(SimpleNamespace(dagster_run=run))
        keep_days(settings, {"dagster/partition": "../../etc"})
        assert first_partition(settings) == first
