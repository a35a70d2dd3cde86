"""A month in one process: what it takes must not grow (case 48 of the list in `docs/promises.md`)."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from statistics import linear_regression
from typing import Any

import orjson
import pytest

from fl_assets.core.settings import PREFIX, FederatedLearningConfig
from fl_assets.simulator.write import simulate
from fl_assets.workspace import Workspace
from fl_assets_tests.conftest import settings_in
from fl_assets_tests.faults.test_cycles import paths_of
from fl_assets_tests.faults.whole import assert_whole

pytestmark = pytest.mark.faults

LAST = date(2026, 11, 14)
DAYS = [LAST - timedelta(days=back) for back in range(29, -1, -1)]
NODES, EVENTS_A_DAY, RETENTION_DAYS = 50, 1000, 7
MB_A_DAY, MB_A_CYCLE = 1.0, 0.25
"""By how much the process may grow a day in the second half of the month, and a cycle where nothing else
does.

Sums of 42 days are read, so a day's own work grows for 42 days, by half a megabyte each. With the same
history and the same day again and again a process varies by 0.4 MB once its first cycles have left some MB of
half-used pages, so the slope is taken over twenty after six. What DuckDB remembers of blocks in an instance
that is kept cost 0.4 MB a cycle, Arrow's pages of threads that had ended 1.5.
"""
AGAIN, WARM = 26, 6
MONTH = """
import gc, json, os, sys
from datetime import date
from pathlib import Path
from fl_assets.coordinator import FederatedLearningCoordinator
coordinator = FederatedLearningCoordinator.new_default()
def size(path):
    files = [path] if path.is_file() else path.rglob("*")
    return sum(file.stat().st_size for file in files if file.is_file())
for line in sys.stdin:
    result = coordinator.run_learning_cycle(date.fromisoformat(line.strip()))
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    settings = coordinator.config
    print(json.dumps({
        "status": result.status, "rss_mb": pages * os.sysconf("SC_PAGE_SIZE") / 2**20,
        "handles": len(os.listdir("/proc/self/fd")),
        "threads": len(os.listdir("/proc/self/task")), "lake": size(settings.lake_path),
        "database": size(settings.warehouse_path),
        "results": size(settings.warehouse_path.with_suffix(".results"))}), flush=True)
"""


@contextmanager
def coordinator(settings: FederatedLearningConfig) -> Iterator[Callable[[date], dict[str, Any]]]:
    """Start a process with a coordinator, and yield what runs the cycle of a day in it and returns what the
    process takes then.
    """
    environment = {name: value for name, value in os.environ.items() if name != "DAGSTER_HOME"}
    environment |= {f"{PREFIX}{name.upper()}": value for name, value in paths_of(settings).items()} | {
        f"{PREFIX}RETENTION_DAYS": str(RETENTION_DAYS),
        f"{PREFIX}MIN_EVENTS": "500",
    }
    words = [sys.executable, "-W", "ignore", "-c", MONTH]
    with subprocess.Popen(
        words,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:

        def run(day: date) -> dict[str, Any]:
            assert process.stdin
            assert process.stdout
            assert process.stderr
            process.stdin.write(f"{day}\n")
            process.stdin.flush()
            line = process.stdout.readline()
            assert line, process.stderr.read()[-2000:]
            return orjson.loads(line)

        try:
            yield run
            process.communicate(timeout=60)
            assert process.returncode == 0
        finally:
            process.kill()


def slope(told: list[dict[str, Any]]) -> float:
    """By how many MB the process grew from one cycle to the next (least squares)."""
    return linear_regression(range(len(told)), [row["rss_mb"] for row in told]).slope


def test_case_48_after_a_month_of_fifty_nodes_memory_handles_and_disk_are_what_they_were_after_two_weeks(
    tmp_path,
):
    cache, told = tmp_path / "cache", []
    settings = settings_in(tmp_path / "data", telemetry_path=cache)
    with coordinator(settings) as run:
        for number, day in enumerate(DAYS):
            simulate(cache / str(day), days=1, nodes=NODES, events_per_day=EVENTS_A_DAY, seed=number, end=day)
            if number >= 2:
                shutil.rmtree(cache / str(DAYS[number - 2]))  # as a collector rotates its files away
            told.append(run(day))
    with coordinator(settings) as run:
        again = [run(LAST) for _ in range(AGAIN)]
    (tmp_path / "figures.json").write_bytes(orjson.dumps([told, again]))
    assert {row["status"] for row in told + again} <= {"completed", "gated"}

    first, second = told[5:15], told[15:]  # by the fifth day every module has been imported
    assert slope(second) < MB_A_DAY, [row["rss_mb"] for row in told]
    assert slope(again[WARM:]) < MB_A_CYCLE, [row["rss_mb"] for row in again]
    for name in ("handles", "threads"):
        assert max(row[name] for row in second) <= max(row[name] for row in first), name
    for name in (
        "lake",
        "results",
    ):  # manifests, sums and results are kept for ever: a day's worth more each day, and no more
        assert told[29][name] - told[19][name] < 1.3 * (told[19][name] - told[9][name]), name
    space = Workspace(settings)
    raw = [path.parent.name for path in space.lake.root.rglob("raw_traces/*/*.parquet")]
    month = {f"event_date={day}" for day in DAYS}  # a clock that was wrong says another day, perhaps today
    assert month.isdisjoint(raw), "raw events are kept for a week, and these days are older"
    assert_whole(space)
    settings.warehouse_path.unlink()
    space.rebuild()
    assert told[29]["database"] < 1.5 * settings.warehouse_path.stat().st_size, (
        "what was replaced day by day takes little more than what was written once"
    )
    assert {
        row["event_date"] for row in space.warehouse.rows("select distinct event_date from failure_patterns")
    } >= set(DAYS[1:])
