"""A month in one process: what it takes must not grow (case 48 of the list in `docs/promises.md`)."""

import os
import shutil
import subprocess
import sys
from datetime import date, timedelta
from statistics import linear_regression

import orjson
import pytest

from fl_assets.domain.settings import PREFIX
from fl_assets.storage.simulator import simulate
from fl_assets.storage.workspace import Workspace
from fl_assets_tests.conftest import settings_in
from fl_assets_tests.faults.test_cycles import paths_of
from fl_assets_tests.faults.whole import assert_whole

pytestmark = pytest.mark.faults

LAST = date(2026, 11, 14)
DAYS = [LAST - timedelta(days=back) for back in range(29, -1, -1)]
NODES, EVENTS_A_DAY, RETENTION_DAYS = 50, 1000, 7
MB_A_DAY = 0.5
"""By how much the process may grow from day to day in the second half: 180 MB in a year without a restart, less than half of what it takes anyway.

Sums of 42 days are read, so that a day's own work grows until then, and what allocators keep of it varies by 2 MB (its standard deviation): a slope over 15 days is
known to 0.12 MB a day. Arrow's pages of threads that had ended, and instances that were left open, each made it 1.5.
"""
MONTH = """
import gc, json, os, sys
from datetime import date
from pathlib import Path
from fl_assets.coordinator import FederatedLearningCoordinator
coordinator = FederatedLearningCoordinator.new_default()
def size(path):
    return sum(file.stat().st_size for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file())
for line in sys.stdin:
    result = coordinator.run_learning_cycle(date.fromisoformat(line.strip()))
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    settings = coordinator.config
    print(json.dumps({
        "status": result.status, "rss_mb": pages * os.sysconf("SC_PAGE_SIZE") / 2**20, "handles": len(os.listdir("/proc/self/fd")),
        "threads": len(os.listdir("/proc/self/task")), "lake": size(settings.lake_path), "database": size(settings.warehouse_path),
        "results": size(settings.warehouse_path.with_suffix(".results"))}), flush=True)
"""


def test_case_48_after_a_month_of_fifty_nodes_memory_handles_and_disk_are_what_they_were_after_two_weeks(tmp_path):
    cache = tmp_path / "cache"
    settings = settings_in(tmp_path / "data", telemetry_path=cache)
    environment = {name: value for name, value in os.environ.items() if name != "DAGSTER_HOME"}
    environment |= {f"{PREFIX}{name.upper()}": value for name, value in paths_of(settings).items()} | {
        f"{PREFIX}RETENTION_DAYS": str(RETENTION_DAYS),
        f"{PREFIX}MIN_EVENTS": "500",
    }
    words, told = [sys.executable, "-W", "ignore", "-c", MONTH], []
    with subprocess.Popen(words, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        for number, day in enumerate(DAYS):
            simulate(cache / str(day), days=1, nodes=NODES, events_per_day=EVENTS_A_DAY, seed=number, end=day)
            if number >= 2:
                shutil.rmtree(cache / str(DAYS[number - 2]))  # as a collector rotates its files away
            process.stdin.write(f"{day}\n")
            process.stdin.flush()
            line = process.stdout.readline()
            assert line, process.stderr.read()[-2000:]
            told.append(orjson.loads(line))
        process.stdin.close()
        assert process.wait(timeout=60) == 0
    (tmp_path / "figures.json").write_bytes(orjson.dumps(told))
    assert {row["status"] for row in told} <= {"completed", "gated"}

    first, second = told[5:15], told[15:]  # by the fifth day every module has been imported
    assert linear_regression(range(15), [row["rss_mb"] for row in second]).slope < MB_A_DAY, [row["rss_mb"] for row in told]
    for name in ("handles", "threads"):
        assert max(row[name] for row in second) <= max(row[name] for row in first), name
    for name in ("lake", "results"):  # manifests, sums and results are kept for ever: a day's worth more each day, and no more
        assert told[29][name] - told[19][name] < 1.3 * (told[19][name] - told[9][name]), name
    week = [path for path in settings.lake_path.rglob("*.parquet") if "/raw_traces/" in str(path)]
    assert week == [], "raw events are kept for a week, and these days are older"
    space = Workspace(settings)
    assert_whole(space)
    settings.warehouse_path.unlink()
    space.rebuild()
    assert told[29]["database"] < 1.5 * settings.warehouse_path.stat().st_size, "what was replaced day by day takes little more than what was written once"
    assert {row["event_date"] for row in space.warehouse.rows("select distinct event_date from failure_patterns")} >= set(DAYS[1:])
