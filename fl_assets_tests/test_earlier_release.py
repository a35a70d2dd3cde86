"""What an earlier release wrote is read as it lies: a lake, a warehouse and a Dagster home of commit 49f339c.

What a later one wrote is refused, and left as it lies.

`fixtures/written_by_49f339c.tar.xz` is the data folder that release made of a simulated fleet (five nodes,
three days; the first two with a cycle).
"""

import sqlite3
import tarfile
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path

import orjson
import pytest
import yaml
from pydantic import BaseModel

from fl_assets.adapters.memory import MemoryFile, StoreMemory
from fl_assets.coordinator import open_home
from fl_assets.core.tables import TABLES
from fl_assets.defs.launcher import WatchedRunLauncher
from fl_assets.events.index import TelemetryIndex
from fl_assets.updates.history import Event
from fl_assets.updates.log import UpdateLog
from fl_assets_tests.conftest import coordinator_in, settings_in, texts_below

ARCHIVE = Path(__file__).parent / "fixtures" / "written_by_49f339c.tar.xz"
LEARNED = [date(2026, 11, 12), date(2026, 11, 13)]
NEXT = date(2026, 11, 14)


@pytest.fixture
def written(tmp_path) -> Path:
    """The data folder of the earlier release."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path / "data", filter="data")
    return tmp_path / "data"


@pytest.fixture
def coordinator(written, tmp_path, instance):
    """A coordinator that goes on with it; the telemetry that it was made from is gone."""
    (tmp_path / "cache").mkdir()
    return coordinator_in(
        written, instance, telemetry_path=tmp_path / "cache", min_events=200, threshold=0.3, min_nodes=2
    )


def stored(coordinator, name: str, day: date) -> list[dict]:
    return coordinator.workspace.warehouse.read_day(name, day)


def test_patterns_playbooks_and_decisions_are_listed(coordinator):
    space = coordinator.workspace
    for day, playbooks in zip(LEARNED, (15, 12), strict=True):
        assert stored(coordinator, "failure_patterns", day)
        assert len(space.playbooks.of(day)) == playbooks
        assert len(stored(coordinator, "update_decisions", day)) == playbooks
        assert space.report.rows(day).patterns
    (cycle,) = stored(coordinator, "learning_cycles", LEARNED[-1])
    assert cycle["status"] == "completed"


def test_the_next_cycle_goes_on_and_what_was_there_stays(coordinator, written):
    kept = {
        name: text for name, text in texts_below(written).items() if name.startswith(("lake/", "playbooks/"))
    }
    names = ("failure_patterns", "pattern_members", "playbooks", "update_decisions")
    before = {(name, day): stored(coordinator, name, day) for name in names for day in LEARNED}
    old = {
        name: [
            column
            for column in TABLES[name].column_names
            if before[name, LEARNED[0]][0].get(column) is not None
        ]
        for name in names
    }
    result = coordinator.run_learning_cycle(NEXT)
    assert result.status in ("completed", "gated"), result.reason
    assert stored(coordinator, "failure_patterns", NEXT)
    rows = coordinator.workspace.warehouse.rows
    usage = "select count(*) as calls, sum(input_tokens) as tokens, sum(cost_usd) as cost from raw_traces"
    assert rows(usage)[0]["calls"] > 0, "columns that the release did not have are null, and no error"
    assert rows("select count(*) as scores from evaluations") == [{"scores": 0}]
    after = texts_below(written)
    assert {name: after.get(name) for name in kept} == kept, "no event is stored again"
    for (name, day), rows in before.items():
        now = stored(coordinator, name, day)
        assert [{c: row[c] for c in old[name]} for row in now] == [
            {c: row[c] for c in old[name]} for row in rows
        ]
    assert not list(written.glob("warehouse.duckdb.*")), "the database was not moved aside"


def test_a_dagster_home_that_names_the_launcher_where_it_was_is_refreshed(written, monkeypatch, tmp_path):
    home = written / "dagster"
    assert (
        yaml.safe_load((home / "dagster.yaml").read_text())["run_launcher"]["module"] == "fl_assets.launcher"
    )
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    with open_home(settings_in(written)) as instance:
        assert isinstance(instance.run_launcher, WatchedRunLauncher)
    assert (
        yaml.safe_load((home / "dagster.yaml").read_text())["run_launcher"]["module"]
        == "fl_assets.defs.launcher"
    )


def test_a_home_of_the_users_own_may_go_on_naming_it():
    from fl_assets import launcher

    assert launcher.WatchedRunLauncher is WatchedRunLauncher


def _later(path: Path, record: BaseModel, **more: object) -> Path:
    path.write_bytes(orjson.dumps({**record.model_dump(mode="json"), "of_a_later_release": 1} | more) + b"\n")
    return path


def _index_of(folder: Path) -> Path:
    with closing(sqlite3.connect(folder / "index.sqlite")) as connection:
        connection.execute("pragma user_version = 99")
    return folder / "index.sqlite"


EVENT = Event(number=1, at=datetime(2026, 11, 1, tzinfo=UTC), what="approved")
LATER = {
    "history of updates": (
        lambda folder: _later(folder / "history.jsonl", EVENT),
        lambda path: UpdateLog(path, clock=lambda: datetime.now(UTC)).events(),
    ),
    "a step that is not known": (
        lambda folder: _later(folder / "history.jsonl", EVENT, what="suspended"),
        lambda path: UpdateLog(path, clock=lambda: datetime.now(UTC)).events(),
    ),
    "memory of adapters": (
        lambda folder: _later(folder / "adapter-state.json", StoreMemory()),
        lambda path: MemoryFile(path).load(),
    ),
    "index of files": (_index_of, lambda path: TelemetryIndex(settings_in(path.parent)).pending()),
}


@pytest.mark.parametrize("store", LATER)
def test_what_a_later_release_wrote_is_refused_with_a_safe_way_and_left_as_it_is(store, tmp_path):
    """No message advises to remove it: what was taken back, or answered, would be forgotten."""
    write, read = LATER[store]
    path = write(tmp_path)
    before = path.read_bytes()
    with pytest.raises(RuntimeError, match=r"was written by a later release.*Use that release") as error:
        read(path)
    assert str(path.name) in str(error.value)
    assert "nothing was changed" in str(error.value)
    assert "remove" not in str(error.value)
    assert path.read_bytes() == before


def test_a_word_that_is_not_known_may_be_of_a_later_release_or_damage_and_both_ways_are_named(tmp_path):
    damaged = EVENT.model_dump_json().replace('"approved"', '"appr0ved"')
    (tmp_path / "history.jsonl").write_text(damaged + "\n")
    with pytest.raises(RuntimeError, match="a word that this release does not know") as error:
        UpdateLog(tmp_path / "history.jsonl", clock=lambda: datetime.now(UTC)).events()
    assert "where it is damaged, restore the file from a backup" in str(error.value)
    assert "use that release" in str(error.value)


def test_a_damaged_memory_of_adapters_is_to_be_restored_and_not_removed(tmp_path):
    (tmp_path / "adapter-state.json").write_bytes(b"{")
    with pytest.raises(RuntimeError, match="restore it from a backup") as error:
        MemoryFile(tmp_path / "adapter-state.json").load()
    assert "remove" not in str(error.value)
