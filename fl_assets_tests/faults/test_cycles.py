"""Faults of whole cycles, killed or run at once; each test says what is survived (numbers are those of the
list in `docs/promises.md`).
"""

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import orjson
import pytest

from fl_assets.coordinator import prepare_home
from fl_assets.core.settings import PREFIX, FederatedLearningConfig
from fl_assets.defs.automation import cycle_schedule, minimum_events_reached
from fl_assets.defs.resources import resources
from fl_assets.simulator.write import simulate
from fl_assets.workspace import Workspace
from fl_assets_tests.conftest import DAYS, LAST_DAY, settings_in, texts_below
from fl_assets_tests.faults.whole import assert_whole, ids_in
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
"""One process: says that it is ready, waits for the start, runs its days in one run or one run each, and
tells how each ended.
"""


def test_case_42_a_backfill_the_schedule_and_the_sensor_at_once_leave_what_one_of_them_alone_would(
    learned, fleet, tmp_path
):
    settings = settings_in(tmp_path / "data", telemetry_path=fleet)
    paths = paths_of(settings)
    night = dg.build_schedule_context(
        scheduled_execution_time=datetime(LAST_DAY.year, LAST_DAY.month, LAST_DAY.day, 0, 10, tzinfo=UTC)
        + timedelta(days=1)
    )
    nightly = [request.partition_key for request in cycle_schedule(settings)(night)]
    with dg.build_sensor_context(
        resources={"workspace": resources(FederatedLearningConfig.from_env(**paths))["workspace"]}
    ) as context:
        sensed = minimum_events_reached(context)
    asked = [request.partition_key for request in sensed.run_requests or []]
    # Events whose own time is out of range belong to the day that they are read on, and that has few of them.
    assert set(asked) <= {*map(str, DAYS), str(datetime.now(UTC).date())}
    wanted = {
        "schedule": ["each", *nightly],
        "sensor": ["each", *(day for day in asked if day in set(map(str, DAYS)))],
        "backfill": ["range", str(DAYS[0]), str(DAYS[-1])],
    }
    assert wanted["schedule"] == ["each", str(LAST_DAY)]
    assert wanted["sensor"] == ["each", *map(str, DAYS)]

    environment = {**os.environ, **variables_of(settings)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    running = {
        name: subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", RUN, *given], env=environment, text=True, **pipes
        )
        for name, given in wanted.items()
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
    assert {
        name: (one.returncode, told[name][1][-2000:]) for name, one in running.items() if one.returncode
    } == {}

    space = Workspace(settings)
    assert_whole(space, ids_in(fleet))
    assert all(
        space.warehouse.manifest(name, day) for name in ("failure_patterns", "playbooks") for day in DAYS
    )
    assert contents(space) == contents(learned.workspace)
    decided = [
        (day, row["improvement_id"])
        for day in DAYS
        for row in space.warehouse.read_day("update_decisions", day)
    ]
    assert len(decided) == len(set(decided)) > 0
    cycles = [row for day in DAYS for row in space.warehouse.read_day("learning_cycles", day)]
    assert len(cycles) == 2 * len(DAYS) + 1
    alone = {
        row["event_date"]: row["status"]
        for day in DAYS
        for row in learned.workspace.warehouse.read_day("learning_cycles", day)
    }
    assert {(row["event_date"], row["status"]) for row in cycles} == set(alone.items())


def contents(space: Workspace, days: list[date] = DAYS) -> dict[tuple[str, date], list[dict]]:
    """Every row of the result tables, by table and day."""
    with space.warehouse.session():
        return {(name, day): space.warehouse.read_day(name, day) for name in RESULT_TABLES for day in days}


def paths_of(settings: FederatedLearningConfig) -> dict[str, str]:
    return {
        name: str(getattr(settings, name))
        for name in ("data_path", "telemetry_path", "error_records_path", "playbook_path")
    }


def variables_of(settings: FederatedLearningConfig) -> dict[str, str]:
    """What a process of its own finds these settings by, its Dagster home made."""
    return {f"{PREFIX}{name.upper()}": value for name, value in paths_of(settings).items()} | {
        "DAGSTER_HOME": str(prepare_home(settings))
    }


STARTER = """
import json, os, sys
from datetime import date
from fl_assets.coordinator import FederatedLearningCoordinator
print("ready", flush=True)
for line in sys.stdin:
    order = json.loads(line)
    child = os.fork()
    if child == 0:
        os.environ.update(order["variables"])
        FederatedLearningCoordinator.new_default().run_learning_cycle(date.fromisoformat(order["day"]))
        os._exit(0)
    print(child, flush=True)
    _, status, used = os.wait4(child, 0)
    print(status, used.ru_utime + used.ru_stime, flush=True)
"""
"""One process that has imported everything, so that a cycle to be killed costs a fork."""


class Starter:
    """Runs cycles in processes of their own, and kills them."""

    def __init__(self, process: subprocess.Popen) -> None:
        self._process = process

    def run(
        self, settings: FederatedLearningConfig, day: date, *, kill_after_cpu_secs: float = float("inf")
    ) -> tuple[int, float]:
        """Run a cycle, with SIGKILL once it has used so much CPU (which does not depend on how busy the
        machine is); return how it ended, and what it used.
        """
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(
            orjson.dumps({"variables": variables_of(settings), "day": str(day)}).decode() + "\n"
        )
        self._process.stdin.flush()
        child = int(self._process.stdout.readline())
        while kill_after_cpu_secs < float("inf"):
            try:
                fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
            except FileNotFoundError:
                break
            if fields[0] == "Z":
                break
            if sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK") >= kill_after_cpu_secs:
                os.kill(child, 9)
                break
            time.sleep(0.005)
        status, used = self._process.stdout.readline().split()
        return int(status), float(used)


@contextmanager
def starter() -> Iterator[Starter]:
    words = [sys.executable, "-W", "ignore", "-c", STARTER]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == "ready\n"
            yield Starter(process)
        finally:
            process.kill()


def test_case_2_a_cycle_killed_at_twenty_points_ends_as_if_it_had_never_been_killed(tmp_path):
    cache = tmp_path / "cache"
    simulate(cache, days=2, nodes=6, events_per_day=700, seed=5, end=LAST_DAY)
    ids, chance, killed, statuses = ids_in(cache), random.Random(2), 0, set()
    with starter() as start:
        never = settings_in(tmp_path / "never", telemetry_path=cache)
        status, cpu_secs = start.run(never, LAST_DAY)
        assert status == 0
        expected = Workspace(never)
        assert_whole(expected, ids)
        (never_killed,) = expected.warehouse.read_day("learning_cycles", LAST_DAY)
        assert never_killed["status"] in ("completed", "gated"), "two days may not prove a playbook"
        while killed < 20:
            settings = settings_in(tmp_path / f"killed-{killed}", telemetry_path=cache)
            for _ in range(4):  # each goes on where the one before was killed
                status, _ = start.run(settings, LAST_DAY, kill_after_cpu_secs=chance.uniform(0, cpu_secs))
                if status != 9:
                    break
                killed += 1
                assert_whole(Workspace(settings), is_at_rest=False)
            assert start.run(settings, LAST_DAY)[0] == 0
            space = Workspace(settings)
            assert_whole(space, ids)
            assert contents(space) == contents(expected)
            assert texts_below(settings.playbook_path) == texts_below(never.playbook_path)
            rows = space.warehouse.read_day("learning_cycles", LAST_DAY)
            assert rows[-1]["status"] in (never_killed["status"], "failed")
            statuses |= {row["status"] for row in rows}
            # What has no time of its own belongs to the day that it is read on.
            assert {one.day for one in space.index.backlog().days} <= {datetime.now(UTC).date()}
    assert statuses == {never_killed["status"], "failed"}
