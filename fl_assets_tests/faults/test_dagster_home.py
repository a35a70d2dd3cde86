"""Faults of Dagster's own processes: many at once on an empty home, and a daemon that dies (numbers are those
of the list in `docs/promises.md`).
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import date, timedelta
from pathlib import Path

import dagster as dg
import orjson
import pytest

from fl_assets.coordinator import FederatedLearningCoordinator
from fl_assets.core.settings import PREFIX, FederatedLearningConfig
from fl_assets.definitions import defs
from fl_assets.defs.partitions import DAYS_PER_RUN
from fl_assets.simulator.damage import Damage
from fl_assets.simulator.write import simulate
from fl_assets.workspace import Workspace
from fl_assets_tests.conftest import settings_in, texts_below
from fl_assets_tests.faults.test_cycles import contents, paths_of, variables_of
from fl_assets_tests.faults.whole import assert_whole, ids_in

pytestmark = pytest.mark.faults

EIGHT = """
import os, sys, time
from fl_assets.coordinator import open_home
from fl_assets.core.settings import FederatedLearningConfig
children = []
start = time.time() + 1
for _ in range(8):
    child = os.fork()
    if child == 0:
        time.sleep(max(0, start - time.time()))
        try:
            with open_home(FederatedLearningConfig.from_env()) as instance:
                instance.get_runs(limit=1)
                instance.get_asset_keys()
                instance.all_instigator_state()
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    children.append(child)
print(*(os.waitpid(child, 0)[1] for child in children))
"""


def test_case_44_eight_processes_that_meet_an_empty_home_all_find_it_ready(tmp_path):
    settings = settings_in(tmp_path / "data")
    environment = {name: value for name, value in os.environ.items() if name != "DAGSTER_HOME"}
    environment |= {f"{PREFIX}{name.upper()}": value for name, value in paths_of(settings).items()}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", EIGHT],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout.split(), done.stderr) == (["0"] * 8, "")


LAST = date(2026, 11, 14)
RANGE = [LAST - timedelta(days=back) for back in range(DAYS_PER_RUN + 1, -1, -1)]
"""More days than one run takes."""
BACKFILL = """
mutation ($days: [String!]!, $assets: [AssetKeyInput!]!) {
  launchPartitionBackfill(backfillParams: {assetSelection: $assets, partitionNames: $days}) {
    __typename
    ... on LaunchBackfillSuccess { backfillId }
    ... on PythonError { message }
  }
}"""
PATIENCE_SECS = 900


@contextmanager
def daemon(environment: dict[str, str], log: Path) -> Iterator[int]:
    """Run Dagster's daemon, its code server and its runs in one group of processes, which is what it yields;
    killed in the end.
    """
    words = [sys.executable, "-W", "ignore", "-m", "dagster._daemon", "run", "-m", "fl_assets.definitions"]
    with (
        log.open("ab") as output,
        subprocess.Popen(
            words, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        ) as process,
    ):
        try:
            yield process.pid
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def wait_until(holds: Callable[[], bool], log: Path) -> None:
    until = time.monotonic() + PATIENCE_SECS
    while not holds():
        if time.monotonic() > until:
            pytest.fail(f"not within {PATIENCE_SECS} s: {log.read_text()[-3000:]}")
        time.sleep(0.5)


def test_case_43_a_daemon_killed_in_a_backfill_and_started_again_skips_no_day(tmp_path):
    cache, log = tmp_path / "cache", tmp_path / "daemon.log"
    # Enough events for a playbook to pass the gate, and none dated on the day of the test: no run is gated.
    fleet = {"days": 2, "nodes": 8, "events_per_day": 1500, "damage": Damage(0, 0, 0, 0, 0)}
    simulate(cache / "early", **fleet, seed=1, end=RANGE[3])
    simulate(cache / "late", **fleet, seed=2, end=LAST)
    settings = settings_in(tmp_path / "data", telemetry_path=cache, min_events=200, start_date=RANGE[0])
    environment = {
        **os.environ,
        **variables_of(settings),
        f"{PREFIX}MIN_EVENTS": "200",
        f"{PREFIX}THRESHOLD": "0.01",
        f"{PREFIX}START_DATE": str(RANGE[0]),
    }
    home = Path(environment["DAGSTER_HOME"])
    text = (home / "dagster.yaml").read_text()
    assert "poll_interval_seconds: 30" in text
    (home / "dagster.yaml").write_text(text.replace("poll_interval_seconds: 30", "poll_interval_seconds: 3"))

    variables = orjson.dumps(
        {"days": list(map(str, RANGE)), "assets": [{"path": list(key.path)} for key in materialised()]}
    ).decode()
    words = [
        str(Path(sys.executable).with_name("dagster-graphql")),
        "-m",
        "fl_assets.definitions",
        "-t",
        BACKFILL,
        "-v",
        variables,
    ]
    asked = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
    assert "LaunchBackfillSuccess" in asked.stdout, asked.stdout

    with dg.DagsterInstance.from_config(str(home)) as instance:
        locks = home / "running"
        with daemon(environment, log) as group:
            wait_until(
                lambda: (
                    any(run.status is dg.DagsterRunStatus.STARTED for run in instance.get_runs())
                    and any(locks.glob("*.lock"))
                ),
                log,
            )
            time.sleep(1)
            os.killpg(group, signal.SIGKILL)
        (killed,) = [run for run in instance.get_runs() if run.status is dg.DagsterRunStatus.STARTED]
        process = (locks / f"{killed.run_id}.lock").read_text()
        assert instance.get_backfills()[0].status.value == "REQUESTED"
        with daemon(environment, log):
            wait_until(
                lambda: instance.get_backfills()[0].status.value.startswith(("COMPLETED", "FAILED")), log
            )
            failed = instance.get_run_by_id(killed.run_id)
            assert failed is not None
            # The sensor, which is on from the start, asks for cycles too.
            wait_until(lambda: all(run.is_finished for run in instance.get_runs()), log)
            assert not any(row["status"] == "running" for row in cycles(settings))
        assert instance.get_backfills()[0].status.value == "COMPLETED_SUCCESS"
        assert failed.status is dg.DagsterRunStatus.FAILURE
        (failure,) = instance.all_logs(killed.run_id, of_type=dg.DagsterEventType.RUN_FAILURE)
        assert f"process {process} is gone" in (failure.get_dagster_event().message or "")
        of_backfill = [run for run in instance.get_runs() if "dagster/backfill" in run.tags]
        assert {run.status.value for run in of_backfill if run.run_id != killed.run_id} == {"SUCCESS"}
        assert list(locks.iterdir()) == [], "no lock of a finished run is left"

    space, never = (
        Workspace(settings),
        settings_in(
            tmp_path / "never", telemetry_path=cache, min_events=200, threshold=0.01, start_date=RANGE[0]
        ),
    )
    assert_whole(space, ids_in(cache))
    with dg.DagsterInstance.ephemeral() as instance:
        FederatedLearningCoordinator(never, instance=instance).backfill(RANGE[0], LAST)
    assert contents(space, RANGE) == contents(Workspace(never), RANGE)
    assert texts_below(settings.playbook_path) == texts_below(never.playbook_path)
    # Lines that no time can be read of make the sensor ask for the day of the test, which has too few events.
    rows = [row for row in cycles(settings) if row["status"] != "failed" and row["event_date"] in RANGE]
    ended = {(row["event_date"], row["status"]) for row in rows}
    assert ended == {(row["event_date"], row["status"]) for row in cycles(never)}
    assert {day for day, _ in ended} == set(RANGE)


def cycles(settings: FederatedLearningConfig) -> list[dict]:
    return Workspace(settings).warehouse.rows("select * from learning_cycles order by all")


def materialised() -> list[dg.AssetKey]:
    graph = defs.resolve_asset_graph()
    return [key for key in graph.get_all_asset_keys() if graph.get(key).is_materializable]
