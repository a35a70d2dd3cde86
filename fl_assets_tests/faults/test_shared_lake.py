"""Several coordinators on one lake: each has a data folder of its own, what all of them read is the same."""

import os
import shutil
import signal
import subprocess
import sys
from datetime import timedelta

import pytest

from fl_assets.core.settings import PREFIX
from fl_assets.events.engine import DuckDBEngine
from fl_assets.infra.errors import ForeignKeyError
from fl_assets.workspace import Workspace
from fl_assets_tests.conftest import DAYS, LAST_DAY, coordinator_in, settings_in
from fl_assets_tests.faults.whole import assert_lake, assert_whole, ids_in
from fl_assets_tests.s3 import BUCKET, needs_s3, s3_server

RUN = """
import sys
from datetime import date
from fl_assets.coordinator import FederatedLearningCoordinator
coordinator = FederatedLearningCoordinator.new_default()
day = date.fromisoformat(sys.argv[1])
for step in (lambda: coordinator.workspace.intake.ingest(), lambda: coordinator.run_learning_cycle(day)):
    print("ready", flush=True)
    sys.stdin.readline()
    step()
"""
"""One machine: reads its own nodes' files at a word, and learns from the day at another."""


def names_only(settings) -> dict[str, str]:
    paths = (
        "data_path",
        "lake_path",
        "telemetry_path",
        "error_records_path",
        "playbook_path",
        "summaries_path",
        "node_keys_path",
    )
    return {
        **os.environ,
        **{f"{PREFIX}{name.upper()}": str(getattr(settings, name)) for name in paths},
        "DAGSTER_HOME": "",
    }


@pytest.fixture
def s3(monkeypatch):
    """URL of a lake in a bucket of its own server, which the environment leads to."""
    with s3_server() as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        # Another URL each time: stores are kept by it.
        yield f"s3://{BUCKET}/{environment['AWS_ENDPOINT_URL'].rpartition(':')[2]}"


@pytest.mark.faults
@pytest.mark.parametrize("place", ["folder", pytest.param("s3", marks=needs_s3)])
def test_two_coordinators_with_a_lake_in_common_learn_what_one_with_all_files_learns(
    place, request, fleet, tmp_path, instance
):
    lake = tmp_path / "shared" / "lake" if place == "folder" else request.getfixturevalue("s3")
    nodes = sorted(path for path in fleet.iterdir() if path.is_dir())
    machines = []
    for number in (0, 1):
        folder = tmp_path / f"machine{number}"
        for node in nodes[number::2]:
            shutil.copytree(node, folder / "telemetry" / "cache" / node.name)
        (folder / "pseudonym.key").write_bytes(b"k" * 32)
        machines.append(settings_in(folder, lake_path=lake))
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    command = [sys.executable, "-W", "ignore", "-c", RUN, str(LAST_DAY)]
    running = [
        subprocess.Popen(command, env=names_only(settings), text=True, **pipes) for settings in machines
    ]
    try:
        for _ in range(2):
            assert [one.stdout.readline() for one in running] == ["ready\n"] * 2
            for one in running:
                one.stdin.write("go\n")
                one.stdin.flush()
        told = [one.communicate(timeout=600)[1] for one in running]
    finally:
        for one in running:
            one.kill()
            one.wait()
    assert [one.returncode for one in running] == [0, 0], told

    alone = coordinator_in(tmp_path / "alone", instance, telemetry_path=fleet)
    (tmp_path / "alone").mkdir(exist_ok=True)
    (tmp_path / "alone" / "pseudonym.key").write_bytes(b"k" * 32)
    alone.run_learning_cycle(LAST_DAY)
    sharing = [
        coordinator_in(settings.data_path, instance, lake_path=settings.lake_path) for settings in machines
    ]
    for name in (
        "failure_signatures",
        "call_totals",
        "conversation_signals",
        "failure_patterns",
        "playbooks",
    ):
        expected = {day: alone.workspace.warehouse.read_day(name, day) for day in DAYS}
        assert any(expected.values()), name
        for one in sharing:
            assert {day: one.workspace.warehouse.read_day(name, day) for day in DAYS} == expected, name
    for one in sharing:
        one.workspace.lake.refresh()
        assert_whole(one.workspace, ids_in(fleet))
    for day in DAYS:
        for table in ("raw_traces", "conversation_logs"):
            kept, wanted = (space.workspace.lake.manifest(table, day) for space in (sharing[0], alone))
            assert (kept.rows, kept.content_hash) == (wanted.rows, wanted.content_hash)
            assert sharing[0].workspace.lake.verify(table, day) == []


def test_a_lake_is_shared_by_one_setting_and_locked_where_all_who_share_it_look(tmp_path):
    one, two = (
        DuckDBEngine(settings_in(tmp_path / name, lake_path=tmp_path / "lake")) for name in ("one", "two")
    )
    with one.lake.lock():
        assert (tmp_path / "lake" / "ingest.lock").exists()
    assert one.lake.root == two.lake.root
    assert settings_in(tmp_path / "one").lake_path == tmp_path / "one" / "lake", (
        "by default it lies below the data folder"
    )


def test_a_lake_takes_no_pseudonyms_of_another_key(tmp_path):
    one, two = (settings_in(tmp_path / name, lake_path=tmp_path / "lake") for name in ("one", "two"))
    DuckDBEngine(one).ingest()
    with pytest.raises(ForeignKeyError, match=r"copy the file from a coordinator that shares the lake"):
        DuckDBEngine(two).ingest()
    shutil.copyfile(one.data_path / "pseudonym.key", two.data_path / "pseudonym.key")
    assert DuckDBEngine(two).ingest().events == 0
    assert (one.data_path / "pseudonym.key").read_bytes().hex() not in (
        tmp_path / "lake" / "pseudonym.check"
    ).read_text()


DYING = """
import os, signal, sys
from fl_assets.core.settings import FederatedLearningConfig
from fl_assets.infra import remote_lake
from fl_assets.workspace import Workspace
remote_lake.LEASE_SECS = 1.0
left = int(sys.argv[1])
def dying(real, is_after):
    def call(self, key, *given, **named):
        global left
        left -= not key.startswith(("lease", "probe"))
        if left == 0 and not is_after:
            os.kill(os.getpid(), signal.SIGKILL)
        done = real(self, key, *given, **named)
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return done
    return call
for name in ("put", "upload"):
    setattr(remote_lake.Objects, name, dying(getattr(remote_lake.Objects, name), sys.argv[2] == "after"))
Workspace(FederatedLearningConfig.from_env()).intake.ingest()
"""
"""Ingests, and dies before or after the n-th request that writes to the store; the first one is the mark of
the key.
"""


@pytest.mark.faults
@needs_s3
def test_killed_at_any_request_to_the_store_each_day_is_old_or_new_and_no_event_is_lost_or_twice(
    fleet, tmp_path, s3
):
    settings = settings_in(tmp_path / "machine", telemetry_path=fleet, lake_path=s3)
    settings.data_path.mkdir()
    (settings.data_path / "pseudonym.key").write_bytes(b"k" * 32)
    reader = Workspace(settings_in(tmp_path / "reader", telemetry_path=fleet, lake_path=s3))
    ended = []
    for number, moment in [
        (2, "before"),
        (2, "after"),
        (3, "after"),
        (4, "before"),
        (4, "after"),
        (5, "after"),
        (9, "after"),
        (1000, "never"),
    ]:
        command = [sys.executable, "-W", "ignore", "-c", DYING, str(number), moment]
        ended.append(
            subprocess.run(command, env=names_only(settings), capture_output=True, text=True, timeout=300)
        )
        reader.lake.refresh()
        assert_whole(reader, is_at_rest=False)
    assert [one.returncode for one in ended] == [-signal.SIGKILL] * (len(ended) - 1) + [0], ended[-1].stderr
    assert_lake(settings.lake_folder, ids_in(fleet))
    alone = DuckDBEngine(settings_in(tmp_path / "alone", telemetry_path=fleet))
    alone.settings.data_path.mkdir()
    shutil.copyfile(settings.data_path / "pseudonym.key", alone.settings.data_path / "pseudonym.key")
    alone.ingest()
    for day in DAYS:
        for table in ("raw_traces", "conversation_logs"):
            kept, wanted = (lake.manifest(table, day) for lake in (reader.lake, alone.lake))
            assert (kept.rows, kept.content_hash) == (wanted.rows, wanted.content_hash)
            assert reader.lake.verify(table, day) == []


@pytest.mark.faults
@needs_s3
def test_a_lake_in_a_bucket_is_verified_expires_and_comes_back_to_an_empty_data_folder(
    fleet, tmp_path, instance, s3, monkeypatch
):
    coordinator = coordinator_in(tmp_path / "one", instance, telemetry_path=fleet, lake_path=s3)
    coordinator.backfill(DAYS[0], LAST_DAY)
    space = coordinator.workspace
    assert_whole(space, ids_in(fleet))
    counted = {
        table: space.warehouse.rows(f"select count(*) as n from {table}")[0]["n"]
        for table in ("raw_traces", "failure_signatures", "playbooks")
    }
    assert all(counted.values())

    shutil.rmtree(space.settings.lake_folder)
    space.settings.warehouse_path.unlink()
    again = coordinator_in(
        tmp_path / "one", instance, telemetry_path=fleet, lake_path=s3, retention_days=7
    ).workspace
    again.rebuild()
    assert {
        table: again.warehouse.rows(f"select count(*) as n from {table}")[0]["n"] for table in counted
    } == counted
    assert [problem for day in DAYS for problem in again.lake.verify("raw_traces", day)] == []

    expired = again.days.expire(LAST_DAY, today=DAYS[2] + timedelta(days=8))
    assert expired == DAYS[:3]
    assert_whole(again)
    monkeypatch.setattr("fl_assets.infra.remote_lake.GRACE", timedelta(0))
    (again.settings.lake_folder / "swept").unlink(missing_ok=True)
    again.intake.ingest()
    stored = {
        one.key.split("/")[1]
        for one in again.lake.remote.objects.listed("raw_traces")
        if one.key.endswith(".parquet")
    }
    assert stored == {f"event_date={day}" for day in DAYS[3:]}, "rows of days that expired are nowhere"
    assert again.lake.manifest("raw_traces", DAYS[0]).is_expired
