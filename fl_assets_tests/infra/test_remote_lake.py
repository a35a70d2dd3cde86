"""A lake on an object store keeps the promises of one in a folder, whatever the order of its coordinators'
steps.
"""

import os
import tempfile
import threading
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import duckdb
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fl_assets.core.settings import FederatedLearningConfig, SettingsError
from fl_assets.events import engine as engine_module
from fl_assets.events import ingest
from fl_assets.events.outcome import IngestReport
from fl_assets.infra.errors import ConcurrentCommitError, ForeignKeyError, IngestBusyError, LakeError
from fl_assets.infra.lake import Lake, Manifest, retry_on_conflict
from fl_assets.simulator.write import simulate
from fl_assets.sums.engine import SummingEngine
from fl_assets_tests.build import call_line
from fl_assets_tests.conftest import LAST_DAY, settings_in
from fl_assets_tests.s3 import BUCKET, needs_s3, s3_server

remote_lake = pytest.importorskip(
    "fl_assets.infra.remote_lake",
    reason="obstore is not installed (the extra [object-storage])",
    exc_type=ImportError,
)
Objects, RemoteLake, Listed, ChangedError = (
    getattr(remote_lake, name) for name in ("Objects", "RemoteLake", "Listed", "ChangedError")
)
mirror_module = pytest.importorskip("fl_assets.infra.mirror")
MirroredLake = mirror_module.MirroredLake

DAY = date(2026, 11, 1)


def manifest(day: date, *, rows: int, files=(), version: int = 1) -> Manifest:
    given = {"version": version, "source_files": (), "schema_version": 1, "duckdb_version": "2.0.0"}
    return Manifest(table="raw_traces", day=day, rows=rows, content_hash="01", files=files, **given)


def write(*ids: str):
    return lambda path: pq.write_table(pa.table({"event_id": list(ids)}), path)


def ids_of(lake: Lake, *days: date) -> list[str]:
    return [
        name
        for path in lake.files("raw_traces", days)
        for name in pq.read_table(path, partitioning=None)["event_id"].to_pylist()
    ]


@pytest.fixture
def url(tmp_path):
    return f"memory://bucket/{tmp_path.name}"


@pytest.fixture
def mirror(tmp_path, url):
    return lambda name: MirroredLake(tmp_path / name, RemoteLake(Objects(url)))


def commit(lake: Lake, day: date, *ids: str) -> Manifest:
    with lake.lock():
        return lake.commit(manifest(day, rows=len(ids)), write(*ids))


# Order
# ----------------------------------------------------------------------------------------------------


class CrashError(BaseException):
    """Stands for a process that dies: nothing catches it."""


class World:
    """A store that several machines reach, each of whose requests waits for its turn.

    Its clock goes on by a second with each.
    """

    def __init__(self) -> None:
        self.objects: dict[str, tuple[bytes, int, datetime]] = {}
        self.requests = 0

    @property
    def now(self) -> datetime:
        return datetime(2026, 11, 1, tzinfo=UTC) + timedelta(seconds=self.requests)


class SteppedObjects(Objects):
    """The seven operations over a `World`; before each, its machine hands over to whoever is next."""

    def __init__(self, world: World, turn) -> None:
        self.url, self.world, self.turn = "world://lake", world, turn
        self.is_dead = False

    def _step(self, act):
        if self.is_dead:
            raise CrashError
        fate = self.turn()
        if fate not in ("dies before", "loses the request"):
            self.world.requests += 1
            result = act()
        if fate.startswith("dies"):
            self.is_dead = True
            raise CrashError
        if fate.startswith("loses"):
            raise remote_lake.BaseError("timed out")
        return result

    def read(self, key):
        def act():
            if key not in self.world.objects:
                raise FileNotFoundError(key)
            content, version, _ = self.world.objects[key]
            return content, {"e_tag": str(version)}

        return self._step(act)

    def put(self, key, content, *, if_match):
        def act():
            there = self.world.objects.get(key)
            if (there is None) != (if_match is None) or (there and if_match != {"e_tag": str(there[1])}):
                raise ChangedError(key)
            self.world.objects[key] = content, self.world.requests, self.world.now
            return {"e_tag": str(self.world.requests)}

        return self._step(act)

    def upload(self, key, path):
        content = path.read_bytes()

        def act():
            assert key not in self.world.objects, "no name is used twice"
            self.world.objects[key] = content, self.world.requests, self.world.now

        self._step(act)

    def download(self, key, path):
        path.write_bytes(self.read(key)[0])

    def listed(self, prefix=""):
        return self._step(
            lambda: [
                Listed(key, len(one[0]), one[2])
                for key, one in sorted(self.world.objects.items())
                if key.startswith(prefix)
            ]
        )

    def delete(self, keys):
        for key in keys:
            self._step(lambda key=key: self.world.objects.pop(key, None))

    def modified(self, key):
        return self._step(lambda: (self.world.objects[key][2], {"e_tag": str(self.world.objects[key][1])}))


class Machine(threading.Thread):
    """A coordinator: stores batches of (id, day), each until it has been, and starts again where it died."""

    def __init__(self, world: World, root: Path, batches) -> None:
        super().__init__(daemon=True)
        self.world, self.root, self.batches = world, root, batches
        self.may_go, self.waits = threading.Semaphore(0), threading.Semaphore(0)
        self.fate, self.is_done, self.error, self.overtaken = "lives", False, None, 0

    def turn(self) -> str:
        self.waits.release()
        self.may_go.acquire()
        return self.fate

    def step(self, fate: str) -> None:
        """Let it do one request; return when it is about to do the next."""
        self.fate = fate
        self.may_go.release()
        self.waits.acquire()

    def sleep(self, _: float) -> None:
        self.turn()
        self.world.requests += 25  # so that the third look takes the lease of one that lives

    def run(self) -> None:
        try:
            for batch in self.batches:
                while True:
                    remote = RemoteLake(
                        SteppedObjects(self.world, self.turn),
                        sleep=self.sleep,
                        clock=lambda: float(self.world.requests),
                    )
                    try:
                        self.ingest(MirroredLake(self.root, remote), batch)
                        break
                    except ConcurrentCommitError:
                        self.overtaken += 1
                    except (CrashError, remote_lake.BaseError):
                        continue
        except BaseException as error:
            self.error = error
        self.is_done = True
        self.waits.release()

    @retry_on_conflict
    def ingest(self, lake: Lake, batch) -> None:
        with lake.lock(wait_secs=1e9):
            lake.clean()
            fresh: dict[date, list[str]] = {}
            for name, day in batch:
                near = {name for offset in (-1, 0, 1) for name in fresh.get(day + timedelta(days=offset), [])}
                stored = ids_of(lake, *(day + timedelta(days=offset) for offset in (-1, 0, 1)))
                if name not in near and name not in stored:
                    fresh.setdefault(day, []).append(name)
            for day, names in sorted(fresh.items()):
                old = lake.manifest("raw_traces", day)
                file = lake.add("raw_traces", day, len(names), write(*names))
                files = (*(old.files if old else ()), file)
                lake.commit(
                    manifest(
                        day,
                        rows=len(names) + (old.rows if old else 0),
                        files=files,
                        version=old.version + 1 if old else 1,
                    )
                )


FATES = st.sampled_from(
    ["lives"] * 12 + ["dies before", "dies after", "loses the request", "loses the answer"]
)
EVENTS = st.lists(
    st.tuples(st.sampled_from("abcdef"), st.sampled_from([DAY, DAY + timedelta(days=1)])),
    min_size=1,
    max_size=4,
)


@given(
    batches=st.lists(st.lists(EVENTS, min_size=1, max_size=2), min_size=2, max_size=3),
    schedule=st.lists(st.tuples(st.integers(0, 2), FATES), min_size=60, max_size=150),
)
@settings(max_examples=int(os.environ.get("INTERLEAVINGS", "40")))
@example(
    batches=[[[("a", DAY)]], [[("a", DAY + timedelta(days=1))]]],
    schedule=[(number, "lives") for number in (0, 1) * 60],
)
def test_any_interleaving_of_coordinators_that_die_and_are_cut_off_stores_each_event_once(batches, schedule):
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        patch.setattr(remote_lake, "_PROVEN", {"world://lake"})
        patch.setattr(remote_lake, "GRACE", timedelta(0))  # and everybody sweeps all the time
        patch.setattr(mirror_module, "SWEEP_SECS", -1)
        patch.setattr(os, "fsync", lambda _: None)
        world = World()
        machines = [Machine(world, Path(folder, str(number)), given) for number, given in enumerate(batches)]
        for one in machines:
            one.start()
            one.waits.acquire()
        for number, fate in schedule:
            one = machines[number % len(machines)]
            if not one.is_done:
                one.step(fate)
        for turn in range(2_000):  # turns get longer: in step, each could take the next one's lease for ever
            for one in (one for one in machines for _ in range(1 + turn // 20)):
                if not one.is_done:
                    one.step("lives")
            if all(one.is_done for one in machines):
                break
        assert [(one.is_done, one.error) for one in machines] == [(True, None)] * len(machines)

        reader = MirroredLake(Path(folder, "reader"), RemoteLake(SteppedObjects(world, lambda: "lives")))
        reader.refresh()
        stored = ids_of(reader, *reader.days("raw_traces"))
        assert sorted(stored) == sorted({name for given in batches for batch in given for name, _ in batch})
        for lake in (
            reader,
            *(MirroredLake(one.root, RemoteLake(SteppedObjects(world, lambda: "lives"))) for one in machines),
        ):
            lake.refresh()
            assert [
                problem for day in lake.days("raw_traces") for problem in lake.verify("raw_traces", day)
            ] == []


def test_who_was_overtaken_stores_nothing_and_decides_anew(mirror):
    slow, quick = mirror("slow"), mirror("quick")
    attempts = []

    @retry_on_conflict
    def ingest(name: str) -> None:
        with slow.lock():
            stored = ids_of(slow, DAY)
            attempts.append(stored)
            if not stored:  # its lease lapses, and another one commits, for another day at that
                quick._pull()
                quick.root.mkdir(exist_ok=True)
                quick.commit(manifest(DAY + timedelta(days=1), rows=1), write("x"))
                quick.commit(manifest(DAY, rows=1), write(name))
            slow.commit(manifest(DAY, rows=1), write(name))

    ingest("a")
    assert attempts == [[], ["a"]]
    reader = mirror("reader")
    reader.refresh()
    assert ids_of(reader, DAY, DAY + timedelta(days=1)) == ["a", "x"]


# Lease
# ----------------------------------------------------------------------------------------------------


def test_one_coordinator_ingests_while_another_waits_and_says_for_whom(mirror, monkeypatch):
    monkeypatch.setattr(remote_lake, "_LOOK_SECS", 0.01)
    one, two = mirror("one"), mirror("two")
    with (
        one.lock(),
        pytest.raises(
            IngestBusyError, match=rf"process {os.getpid()} on .* has held memory://.*/lease\.json for 0 s"
        ),
        two.lock(wait_secs=0),
    ):
        pass
    with two.lock(wait_secs=0):
        assert two.manifest("raw_traces", DAY) is None


def test_a_lease_that_is_renewed_is_not_taken_and_one_that_is_not_is(mirror, monkeypatch):
    monkeypatch.setattr(remote_lake, "_LOOK_SECS", 0.02)
    monkeypatch.setattr(remote_lake, "LEASE_SECS", 0.3)
    one, two = mirror("one"), mirror("two")
    with one.lock(), pytest.raises(IngestBusyError), two.lock(wait_secs=1.0):
        pass
    version = one.remote._take(wait_secs=0)  # as one that died a moment later
    with two.lock(wait_secs=5):
        pass
    assert two.remote.objects.read("lease.json")[1] != version


# Stores
# ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def s3():
    with s3_server() as environment, pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        # Another URL each time: stores are kept by it.
        yield f"s3://{BUCKET}/{environment['AWS_ENDPOINT_URL'].rpartition(':')[2]}"


@pytest.mark.parametrize("kind", ["memory", pytest.param("s3", marks=needs_s3)])
def test_a_store_does_what_the_protocol_asks_of_it(kind, request, url, tmp_path, monkeypatch):
    store = Objects(url if kind == "memory" else request.getfixturevalue("s3"))
    monkeypatch.setattr(remote_lake, "_PART_BYTES", 7)
    first = store.put("a/one", b"1", if_match=None)
    assert store.read("a/one") == (b"1", first)
    with pytest.raises(ChangedError):
        store.put("a/one", b"2", if_match=None)
    second = store.put("a/one", b"2", if_match=first)
    for key, version in (("a/one", first), ("a/none", second)):
        with pytest.raises(ChangedError):
            store.put(key, b"3", if_match=version)
    assert store.read("a/one") == (b"2", second)
    assert store.modified("a/one")[1] == second
    (tmp_path / "file").write_bytes(b"longer than a part")
    store.upload("b/file", tmp_path / "file")
    store.download("b/file", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == b"longer than a part"
    assert [(one.key, one.size) for one in store.listed()] == [("a/one", 1), ("b/file", 18)]
    assert [one.key for one in store.listed("b")] == ["b/file"]
    assert abs((store.listed("b")[0].modified - datetime.now(UTC)).total_seconds()) < 60
    store.delete(["a/one", "b/file"])
    for read in (lambda: store.read("a/one"), lambda: store.download("b/file", tmp_path / "back")):
        with pytest.raises(FileNotFoundError):
            read()


class Careless(Objects):
    """A store that overwrites whatever the condition says."""

    def __init__(self) -> None:
        self.url, self.puts = "careless://lake", 0

    def put(self, key, content, *, if_match):  # noqa: ARG002
        self.puts += 1
        return {"e_tag": str(self.puts)}

    def delete(self, keys):
        pass


def test_a_store_that_ignores_conditions_is_refused_before_anything_is_written(tmp_path):
    careless = Careless()
    lake = MirroredLake(tmp_path / "mirror", RemoteLake(careless))
    with (
        pytest.raises(
            LakeError,
            match=r"careless://lake cannot be used as the lake: it overwrites an object whatever "
            r"If-None-Match or If-Match say",
        ),
        lake.lock(),
    ):
        pass
    assert "careless://lake" not in remote_lake._PROVEN


def test_a_store_that_cannot_be_reached_is_an_error_that_names_it_and_no_key(tmp_path, monkeypatch):
    for name, value in {
        "ENDPOINT_URL": "http://127.0.0.1:9",
        "ALLOW_HTTP": "true",
        "ACCESS_KEY_ID": "AKIAEXAMPLE",
        "SECRET_ACCESS_KEY": "s3cr3t/key",
    }.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setattr(remote_lake, "_RETRIES", 0)
    lake = MirroredLake(tmp_path / "mirror", RemoteLake(Objects("s3://nowhere/lake")))
    with (
        pytest.raises(
            LakeError, match=r"s3://nowhere/lake cannot be used as the lake: .*Check that the bucket exists"
        ) as told,
        lake.lock(),
    ):
        pass
    assert "s3cr3t" not in str(told.value)
    assert told.value.__cause__ is None


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("s3://bucket", "s3://bucket"),
        ("s3://bucket/a/b=1/", "s3://bucket/a/b=1"),
        ("gs://bucket/lake", "gs://bucket/lake"),
        ("az://account/container/lake", "az://account/container/lake"),
        ("memory://lake", "memory://lake"),
        ("file:///var/lake", Path("/var/lake")),
        ("some/folder", Path("some/folder")),
        (Path("some/folder"), Path("some/folder")),
    ],
)
def test_a_lake_is_a_folder_or_a_url(given, kept):
    settings = FederatedLearningConfig.from_env(lake_path=given)
    assert settings.lake_path == kept
    assert isinstance(settings.lake_folder, Path)
    assert (
        FederatedLearningConfig.from_env(**settings.model_dump(mode="json", exclude_none=True)).lake_path
        == kept
    ), "as a Spark job is told it"


@pytest.mark.parametrize(
    "given",
    [
        "s3://AKIA:s3cr3t/x@bucket/lake",
        "s3://s3cr3t@bucket",
        "s3://bucket/lake?key=s3cr3t",
        "https://bucket.s3.amazonaws.com/s3cr3t@lake",
        "s3://bucket/../s3cr3t@other",
    ],
)
def test_a_url_with_credentials_is_refused_and_they_are_not_shown(given):
    with pytest.raises(
        SettingsError, match=r"FEDERATED_LEARNING_LAKE_PATH=.*holds no user, password or query"
    ) as told:
        FederatedLearningConfig.from_env(lake_path=given)
    assert "s3cr3t" not in str(told.value)


# What the mirror is
# ----------------------------------------------------------------------------------------------------


def test_engines_on_a_bucket_store_what_one_on_a_folder_stores_and_their_sql_reaches_the_mirror_alone(
    tmp_path, url
):
    simulate(tmp_path / "cache", days=2, nodes=3, events_per_day=60, seed=3, end=LAST_DAY)
    engines = [
        SummingEngine(settings_in(tmp_path / name, telemetry_path=tmp_path / "cache", **place))
        for name, place in (("alone", {}), ("one", {"lake_path": url}), ("two", {"lake_path": url}))
    ]
    for engine in engines:
        engine.settings.data_path.mkdir()
        (engine.settings.data_path / "pseudonym.key").write_bytes(b"k" * 32)
    first, second, again = (engine.ingest() for engine in engines)
    assert (first.events, second.events, again.events) == (first.events, first.events, 0)
    assert again.duplicates >= first.events
    alone, one, two = (engine.lake for engine in engines)
    for day in alone.days("raw_traces"):
        for table in ("raw_traces", "conversation_logs"):
            wanted, *kept = (lake.manifest(table, day) for lake in (alone, one, two))
            assert [(each.rows, each.content_hash) for each in kept] == [
                (wanted.rows, wanted.content_hash)
            ] * 2
        assert engines[0].signatures(day)[0].num_rows == engines[2].signatures(day)[0].num_rows
    (path, *_) = two.files("raw_traces", two.days("raw_traces"))
    with engines[2].connect() as connection:
        count = lambda path: connection.execute(  # noqa: E731
            "select count(*) from read_parquet($path)", {"path": str(path.resolve())}
        ).fetchall()[0][0]
        assert count(path) > 0
        for lake in (alone, one):
            with pytest.raises(duckdb.Error, match=r"disabled by configuration|Permission"):
                count(lake.files("raw_traces", lake.days("raw_traces"))[0])


@pytest.mark.parametrize("place", ["a folder", "a bucket", "one data folder"])
def test_coordinators_with_backlogs_take_turns_and_store_each_event_once(place, tmp_path, url, monkeypatch):
    monkeypatch.setattr(engine_module, "ROUND_BYTES", 1)  # a file a round
    lake = url if place == "a bucket" else tmp_path / "lake"
    names = ("one", "one") if place == "one data folder" else ("one", "two")
    engines = [SummingEngine(settings_in(tmp_path / name, lake_path=lake)) for name in names]
    for engine, name in zip(engines, names, strict=True):
        engine.settings.telemetry_path.mkdir(parents=True, exist_ok=True)
        (engine.settings.data_path / "pseudonym.key").write_bytes(b"k" * 32)
        for number in range(3):
            lines = [call_line(f"{name}-{number}-{event}") for event in range(3)] + [
                call_line(f"both-{number}")
            ]
            (engine.settings.telemetry_path / f"{number}.jsonl").write_bytes(b"\n".join([*lines, b""]))
    turns: list[str] = []
    run = ingest.Ingestion.run
    monkeypatch.setattr(
        ingest.Ingestion,
        "run",
        lambda self, tell: (turns.append(threading.current_thread().name), run(self, tell))[1],
    )
    reports: dict[str, IngestReport] = {}
    threads = [
        threading.Thread(
            name=f"{number}",
            target=lambda number=number: reports.update({f"{number}": engines[number].ingest()}),
        )
        for number in (0, 1)
    ]
    with engines[0].lake.lock():  # until both wait
        for thread in threads:
            thread.start()
    for thread in threads:
        thread.join()
    done = reports["0"].merged(reports["1"])
    expected = {f"{name}-{number}-{event}" for name in names for number in range(3) for event in range(3)} | {
        f"both-{number}" for number in range(3)
    }
    reader = engines[0].lake
    reader.refresh()
    stored = ids_of(reader, *reader.days("raw_traces"))
    assert sorted(stored) == sorted(expected)
    assert (done.events, done.duplicates) == (len(expected), 3 if len(set(names)) == 2 else 0)
    assert done.files == len(turns) == 3 * len(set(names)), "no file was read twice"
    assert all(one != two for one, two in pairwise(turns)), f"while the other one waited: {turns}"
    assert [
        problem for day in reader.days("raw_traces") for problem in reader.verify("raw_traces", day)
    ] == []


def test_who_waits_for_others_that_take_turns_is_not_told_that_one_of_them_does_not_let_go(mirror):
    lake = mirror("one")
    seconds, turns = [0.0], []

    def sleep(secs: float) -> None:
        seconds[0] += secs
        if seconds[0] % 8 == 0 and len(turns) < 5:
            turns.append(seconds[0])
            _, version = lake.remote.objects.read("lease.json")
            lake.remote.objects.put(
                "lease.json",
                orjson.dumps({"holder": f"coordinator {len(turns)}", "sign": f"{len(turns)}"}),
                if_match=version,
            )

    lake.remote.objects.put(
        "lease.json", orjson.dumps({"holder": "coordinator 0", "sign": "0"}), if_match=None
    )
    remote = RemoteLake(lake.remote.objects, sleep=sleep, clock=lambda: seconds[0])
    with pytest.raises(IngestBusyError, match="coordinator 5 has held"):
        remote._take(wait_secs=10)
    assert len(turns) == 5


def test_two_lakes_have_two_mirrors(tmp_path):
    one, two = (
        FederatedLearningConfig.from_env(data_path=tmp_path, lake_path=f"s3://bucket/{name}").lake_folder
        for name in ("one", "two")
    )
    assert one != two
    assert tmp_path in one.parents


def test_a_day_that_one_coordinator_committed_is_what_another_reads(mirror):
    one, two = mirror("one"), mirror("two")
    stored = commit(one, DAY, "a", "b")
    with two.lock():
        assert two.manifest("raw_traces", DAY) == stored
        assert ids_of(two, DAY) == ["a", "b"]
    commit(two, DAY, "c")
    assert ids_of(one, DAY) == ["a", "b"], "until it looks"
    one.refresh()
    assert ids_of(one, DAY) == ["c"]
    assert [len(list(lake.folder("raw_traces", DAY).iterdir())) for lake in (one, two)] == [2, 2]


def test_a_lost_mirror_is_fetched_again(mirror, tmp_path):
    stored = commit(mirror("one"), DAY, "a")
    again = mirror("other")
    again.refresh()
    assert (again.manifest("raw_traces", DAY), ids_of(again, DAY)) == (stored, ["a"])


def test_verify_mends_the_mirror_and_tells_of_the_store(mirror):
    lake = mirror("one")
    commit(lake, DAY, "a")
    (path,) = lake.files("raw_traces", [DAY])
    key = f"raw_traces/event_date={DAY}/{path.name}"
    for damage in (lambda: path.unlink(), lambda: path.write_bytes(b"x")):
        damage()
        assert lake.verify("raw_traces", DAY) == []
        assert ids_of(lake, DAY) == ["a"]
    good, _ = lake.remote.objects.read(key)
    path.write_bytes(b"y" * len(good))
    lake.remote.objects.upload(key, path)
    assert "damaged" in str(lake.verify("raw_traces", DAY)[0])
    lake.remote.objects.delete([key])
    assert "no such object" in str(lake.verify("raw_traces", DAY)[0])
    with pytest.raises(LakeError, match=r"has lost an object that a manifest names"):
        mirror("another").refresh()


def test_a_store_that_lost_its_head_is_not_taken_for_an_empty_lake(mirror):
    lake = mirror("one")
    commit(lake, DAY, "a")
    lake.remote.objects.delete(["head.json"])
    with (
        pytest.raises(
            LakeError,
            match=r"no longer knows raw_traces/event_date=2026-11-01, which it has known before: restore "
            r"head\.json",
        ),
        lake.lock(),
    ):
        pass
    assert ids_of(lake, DAY) == ["a"], "what the mirror has is still there"


def test_a_head_that_names_files_elsewhere_is_refused(mirror):
    lake = mirror("one")
    lake.remote.objects.put(
        "head.json",
        b'{"commit": "1", "days": {"../../etc": "manifest-0123456789abcdef.json"}}',
        if_match=None,
    )
    with pytest.raises(LakeError, match=r"head\.json is not what this program writes"), lake.lock():
        pass


def test_a_manifest_that_names_files_elsewhere_or_is_of_another_release_is_refused(mirror):
    lake = mirror("one")
    stored = commit(lake, DAY, "a")
    folder, given = f"raw_traces/event_date={DAY}", stored.model_dump(mode="json")
    for number, change in enumerate(
        ({"files": [given["files"][0] | {"name": "../../../pseudonym.key"}]}, {"a_field_of_tomorrow": 1})
    ):
        lake.remote.read_head()
        lake.remote.commit(folder, orjson.dumps(given | change), {})
        with pytest.raises(
            LakeError, match=rf"{folder}/manifest-[0-9a-f]+\.json is not a manifest of this release"
        ):
            mirror(f"reader{number}").refresh()


def test_an_answer_that_is_lost_is_no_second_commit(mirror, monkeypatch):
    lake = mirror("one")
    real = Objects.put

    def losing(self, key, content, *, if_match):
        version = real(self, key, content, if_match=if_match)
        if key == "head.json":
            raise remote_lake.BaseError("timed out")
        return version

    monkeypatch.setattr(Objects, "put", losing)
    stored = commit(lake, DAY, "a")
    assert (lake.manifest("raw_traces", DAY), ids_of(lake, DAY)) == (stored, ["a"])


def test_what_no_manifest_names_goes_after_an_hour_by_the_clock_of_the_store(mirror, monkeypatch):
    lake = mirror("one")
    commit(lake, DAY, "a")
    commit(lake, DAY, "b")
    keys = lambda: {one.key for one in lake.remote.objects.listed()}  # noqa: E731
    (path,) = lake.files("raw_traces", [DAY])
    assert len(keys()) == 6, "head, lease, two manifests, two files"
    with lake.lock():
        assert lake.clean() == []
    monkeypatch.setattr(remote_lake, "GRACE", timedelta(0))
    with lake.lock():
        assert lake.clean() == [], "once a day is enough"
    (lake.root / "swept").unlink()
    with lake.lock():
        assert len(lake.clean()) == 2
    assert {key for key in keys() if key.endswith(".parquet")} == {f"raw_traces/event_date={DAY}/{path.name}"}
    assert len(keys()) == 4
    assert lake.verify("raw_traces", DAY) == []


def test_retention_is_for_all_who_share_the_lake(mirror):
    one, two = mirror("one"), mirror("two")
    commit(one, DAY, "a")
    two.refresh()
    assert one.expire(DAY + timedelta(days=30), 7) == [DAY]
    two.refresh()
    assert two.manifest("raw_traces", DAY).is_expired
    assert (ids_of(two, DAY), list(two.folder("raw_traces", DAY).glob("*.parquet"))) == ([], [])


def test_a_lake_takes_pseudonyms_of_one_key(mirror):
    mirror("one").check_pseudonym_key(b"k" * 32)
    mirror("two").check_pseudonym_key(b"k" * 32)
    with pytest.raises(ForeignKeyError, match=r"memory://.* was filled with another pseudonym\.key"):
        mirror("three").check_pseudonym_key(b"x" * 32)
