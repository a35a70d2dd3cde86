"""Several coordinators on one lake: each has a data folder of its own, what all of them read is the same."""

import os
import shutil
import subprocess
import sys

import pytest

from fl_assets.domain.settings import PREFIX
from fl_assets.storage.duckdb_engine import DuckDBEngine
from fl_assets.storage.lake import ForeignKeyError
from fl_assets_tests.conftest import DAYS, LAST_DAY, coordinator_in, settings_in
from fl_assets_tests.faults.whole import assert_whole, ids_in
from fl_assets_tests.s3 import BUCKET, needs_s3, s3_server

RUN = """
import sys
from datetime import date
from fl_assets.coordinator import FederatedLearningCoordinator
coordinator = FederatedLearningCoordinator.new_default()
for step in (lambda: coordinator.workspace.ingest(), lambda: coordinator.run_learning_cycle(date.fromisoformat(sys.argv[1]))):
    print("ready", flush=True)
    sys.stdin.readline()
    step()
"""
"""One machine: reads its own nodes' files at a word, and learns from the day at another."""


def names_only(settings) -> dict[str, str]:
    paths = ("data_path", "lake_path", "telemetry_path", "error_records_path", "playbook_path", "summaries_path", "node_keys_path")
    return {**os.environ, **{f"{PREFIX}{name.upper()}": str(getattr(settings, name)) for name in paths}, "DAGSTER_HOME": ""}


@pytest.fixture
def s3(monkeypatch):
    """URL of a lake in a bucket of its own server, which the environment leads to."""
    with s3_server() as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        yield f"s3://{BUCKET}/{environment['AWS_ENDPOINT_URL'].rpartition(':')[2]}"  # another URL each time: stores are kept by it


@pytest.mark.faults
@pytest.mark.parametrize("place", ["folder", pytest.param("s3", marks=needs_s3)])
def test_two_coordinators_with_a_lake_in_common_learn_what_one_with_all_files_learns(place, request, fleet, tmp_path, instance):
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
    running = [subprocess.Popen(command, env=names_only(settings), text=True, **pipes) for settings in machines]
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
    sharing = [coordinator_in(settings.data_path, instance, lake_path=settings.lake_path) for settings in machines]
    for name in ("failure_signatures", "call_totals", "conversation_signals", "failure_patterns", "playbooks"):
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
    one, two = (DuckDBEngine(settings_in(tmp_path / name, lake_path=tmp_path / "lake")) for name in ("one", "two"))
    with one.lake.lock():
        assert (tmp_path / "lake" / "ingest.lock").exists()
    assert one.lake.root == two.lake.root
    assert settings_in(tmp_path / "one").lake_path == tmp_path / "one" / "lake", "by default it lies below the data folder"


def test_a_lake_takes_no_pseudonyms_of_another_key(tmp_path):
    one, two = (settings_in(tmp_path / name, lake_path=tmp_path / "lake") for name in ("one", "two"))
    DuckDBEngine(one).ingest()
    with pytest.raises(ForeignKeyError, match=r"copy the file from a coordinator that shares the lake"):
        DuckDBEngine(two).ingest()
    shutil.copyfile(one.data_path / "pseudonym.key", two.data_path / "pseudonym.key")
    assert DuckDBEngine(two).ingest().events == 0
    assert (one.data_path / "pseudonym.key").read_bytes().hex() not in (tmp_path / "lake" / "pseudonym.check").read_text()
