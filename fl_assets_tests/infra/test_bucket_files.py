"""Telemetry in a bucket: what is new is fetched, once, and read as files of a folder are."""

import gzip
import os

import pytest

from fl_assets.cli.application import CommandError
from fl_assets.cli.demo import demo
from fl_assets.core.inputs import missing_inputs
from fl_assets.infra import bucket_files
from fl_assets.infra.bucket_files import refresh
from fl_assets.infra.errors import LakeError
from fl_assets.workspace import Workspace
from fl_assets_tests.build import call_line
from fl_assets_tests.conftest import settings_in
from fl_assets_tests.s3 import BUCKET, needs_s3, s3_server

URL = f"s3://{BUCKET}/fleet/telemetry"


@pytest.fixture(scope="module")
def store():
    with s3_server() as environment:
        before = {name: os.environ.get(name) for name in environment}
        os.environ.update(environment)
        yield
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


class Bucket:
    """A prefix of its own."""

    def __init__(self, name: str) -> None:
        from fl_assets.infra.remote_lake import Objects

        self.url = f"{URL}/{name}"
        self.objects = Objects(self.url)

    def put(self, key: str, content: bytes) -> None:
        import obstore

        obstore.put(self.objects._store, key, content)


@pytest.fixture
def bucket(store, request):
    return Bucket(request.node.name.replace("[", "-").strip("]"))


def lines(*names: str) -> bytes:
    return b"".join(call_line(name, metadata={}).strip() + b"\n" for name in names)


def stored(space: Workspace) -> list[str]:
    space.warehouse.create(space.settings.lake_folder)
    return [row["event_id"] for row in space.warehouse.rows("select event_id from raw_traces order by 1")]


pytestmark = needs_s3


def test_what_is_new_in_a_bucket_is_fetched_once_and_read_as_files_of_a_folder(bucket, tmp_path):
    """Also by the sensor's count; a longer version of an object gives the lines it has more."""
    settings = settings_in(tmp_path, telemetry_path=bucket.url)
    assert missing_inputs(settings) == []
    space = Workspace(settings)
    assert space.intake.backlog().events == 0
    assert f"{bucket.url} holds no file" in space.index.why_nothing()
    bucket.put("berlin/events_1.jsonl", lines("a", "b"))
    bucket.put("paris/x/events_2.jsonl.gz", gzip.compress(lines("c")))
    bucket.put("paris/.hidden.jsonl", lines("hidden"))
    bucket.put("paris/half.part", lines("half"))
    assert space.intake.backlog().events == 3
    report, _ = space.intake.ingest()
    assert report.files == 2
    assert stored(space) == ["a", "b", "c"]
    nodes = space.warehouse.rows("select distinct node_id from raw_traces order by 1")
    assert [row["node_id"] for row in nodes] == ["berlin", "paris"]
    assert refresh(bucket.url, settings.telemetry_folder) == 0
    bucket.put("berlin/events_1.jsonl", lines("a", "b", "d"))
    report, _ = space.intake.ingest()
    assert (report.files, stored(space)) == (1, ["a", "b", "c", "d"])


def test_an_object_that_went_away_loses_nothing(bucket, tmp_path):
    settings = settings_in(tmp_path, telemetry_path=bucket.url)
    bucket.put("events_1.jsonl", lines("a"))
    refresh(bucket.url, settings.telemetry_folder)
    bucket.objects.delete(["events_1.jsonl"])
    space = Workspace(settings)
    space.intake.ingest()
    assert stored(space) == ["a"]


def test_an_object_beside_a_folder_of_its_name_is_fetched_too(bucket, tmp_path):
    bucket.put("a", lines("one"))
    bucket.put("a/b", lines("two"))
    assert refresh(bucket.url, tmp_path) == 2
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file() and path.name[0] != ".") == [
        "a",
        "a__b",
    ]


def test_a_disk_without_room_is_said_before_anything_is_fetched(bucket, tmp_path, monkeypatch):
    bucket.put("a", lines("one"))
    monkeypatch.setattr(bucket_files, "KEPT_FREE", 10**18)
    with pytest.raises(LakeError, match="make room"):
        refresh(bucket.url, tmp_path)
    assert not (tmp_path / "a").exists()


def test_a_bucket_that_is_not_there_is_named_and_no_credential_is(bucket, tmp_path, monkeypatch):
    with pytest.raises(LakeError, match="s3://no-such-bucket cannot be read") as error:
        refresh("s3://no-such-bucket", tmp_path)
    assert "AWS_*" in str(error.value)
    assert "testing" not in str(error.value)


def test_the_demo_writes_into_no_bucket(tmp_path, monkeypatch):
    monkeypatch.setenv("FEDERATED_LEARNING_TELEMETRY_PATH", "s3://lake/telemetry")
    with pytest.raises(CommandError, match="is a bucket"):
        demo()
