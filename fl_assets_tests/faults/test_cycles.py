"""Faults of cycles that run at once; each test names its case in the list of known faults that the design rests on (`docs/stability.md`)."""

import os
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta

import dagster as dg
import pytest

from fl_assets.automation import cycle_schedule, minimum_events_reached
from fl_assets.coordinator import prepare_home
from fl_assets.domain.settings import PREFIX
from fl_assets.resources import resources
from fl_assets.storage.tables import TABLES
from fl_assets.storage.workspace import Workspace
from fl_assets_tests.conftest import DAYS, LAST_DAY, settings_in
from fl_assets_tests.test_learning_cycle import RESULT_TABLES

pytestmark = pytest.mark.faults

RUN = """
import sys
from datetime import date
from fl_assets.coordinator import FederatedLearningCoordinator
days = [date.fromisoformat(text) for text in sys.argv[2:]]
coordinator = FederatedLearningCoordinator.new_default()
print("ready", flush=True)
sys.stdin.readline()
if sys.argv[1] == "range":
    results = coordinator.backfill(days[0], days[-1])
else:
    results = [coordinator.run_learning_cycle(day) for day in days]
print(*(result.status for result in results))
"""
"""One process: says that it is ready, waits for the start, runs its days in one run or one run each, and tells how each ended."""


def test_case_42_a_backfill_the_schedule_and_the_sensor_at_once_leave_what_one_of_them_alone_would(learned, fleet, tmp_path):
    settings = settings_in(tmp_path / "data", telemetry_path=fleet)
    paths = {name: str(getattr(settings, name)) for name in ("data_path", "telemetry_path", "error_records_path", "playbook_path")}
    night = dg.build_schedule_context(scheduled_execution_time=datetime(LAST_DAY.year, LAST_DAY.month, LAST_DAY.day, 0, 10, tzinfo=UTC) + timedelta(days=1))
    nightly = [request.partition_key for request in cycle_schedule(settings)(night)]
    sensed = minimum_events_reached(dg.build_sensor_context(), workspace=resources(**paths)["workspace"])
    wanted = {
        "schedule": ["each", *nightly],
        "sensor": ["each", *(request.partition_key for request in sensed.run_requests or [])],
        "backfill": ["range", str(DAYS[0]), str(DAYS[-1])],
    }
    assert wanted["schedule"] == ["each", str(LAST_DAY)]
    assert wanted["sensor"] == ["each", *map(str, DAYS)]

    environment = {**os.environ, **{f"{PREFIX}{name.upper()}": value for name, value in paths.items()}, "DAGSTER_HOME": str(prepare_home(settings))}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    running = {
        name: subprocess.Popen([sys.executable, "-W", "ignore", "-c", RUN, *given], env=environment, text=True, **pipes) for name, given in wanted.items()
    }
    try:
        assert [one.stdout.readline() for one in running.values() if one.stdout] == ["ready\n"] * 3
        for one in running.values():
            one.stdin.write("go\n")
            one.stdin.flush()
        told = {name: one.communicate(timeout=900) for name, one in running.items()}
    finally:
        for one in running.values():
            one.kill()
            one.wait()
    assert {name: (one.returncode, told[name][1][-2000:]) for name, one in running.items() if one.returncode} == {}

    space = Workspace(settings)
    for name, table in TABLES.items():
        assert space.warehouse.verify(name, DAYS) == []
        key = ", ".join(("event_date", *table.key))
        twice = space.warehouse.rows(f"select {key}, count(*) as rows from {name} group by {key} having count(*) > 1")
        assert twice == [], name
    assert all(space.warehouse.manifest(name, day) for name in ("failure_patterns", "playbooks") for day in DAYS)
    assert contents(space) == contents(learned.workspace)
    decided = [(day, row["improvement_id"]) for day in DAYS for row in space.warehouse.read_day("update_decisions", day)]
    assert len(decided) == len(set(decided)) > 0
    assert events(space) == events(learned.workspace)
    cycles = [row for day in DAYS for row in space.warehouse.read_day("learning_cycles", day)]
    assert len(cycles) == 2 * len(DAYS) + 1
    alone = {row["event_date"]: row["status"] for day in DAYS for row in learned.workspace.warehouse.read_day("learning_cycles", day)}
    assert {(row["event_date"], row["status"]) for row in cycles} == set(alone.items())


def contents(space: Workspace) -> dict[tuple[str, date], list[dict]]:
    """Every row of the result tables, by table and day."""
    return {(name, day): space.warehouse.read_day(name, day) for name in RESULT_TABLES for day in DAYS}


def events(space: Workspace) -> list[tuple[int, int]]:
    """How many events each day of the lake holds, and how many different ones; the two are the same."""
    found = []
    with space.engine.connect() as connection:
        for day in DAYS:
            files = [str(path.resolve()) for path in space.lake.files("raw_traces", [day])]
            rows = connection.read_parquet(files, hive_partitioning=False)
            found.append((len(rows), len(rows.select("event_id").distinct())))
    assert all(rows == different > 0 for rows, different in found)
    return found
