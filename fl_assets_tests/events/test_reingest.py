"""Events that a wrong clock put on its day come to their own, and nothing else changes."""

from datetime import UTC, date, datetime

import pyarrow.parquet as pq
import pytest

from fl_assets.core.tables import CONVERSATION_LOGS, QUARANTINED_EVENTS, RAW_TRACES
from fl_assets.events import reingest
from fl_assets.events.reingest import decide_again
from fl_assets.sums.engine import SummingEngine
from fl_assets_tests.build import DAY, call_line, turn_line
from fl_assets_tests.conftest import settings_in

TABLES = (RAW_TRACES, CONVERSATION_LOGS, QUARANTINED_EVENTS)
LONG_AGO, NOW = datetime(2026, 10, 3, 12, tzinfo=UTC), datetime(2026, 11, 5, 12, tzinfo=UTC)


@pytest.fixture
def fleet(tmp_path):
    settings = settings_in(tmp_path)
    for name, lines in {
        "n1/early.jsonl": [call_line("e0", timestamp="2026-10-02T09:00:00Z")],
        "n1/late.jsonl": [call_line("e1"), turn_line("c1"), b'{"event_id": '],
        "n2/late.jsonl": [call_line("e2", metadata={"node_id": "n2"})],
    }.items():
        path = settings.telemetry_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"".join(line + b"\n" for line in lines))
    return settings


def at(settings, clock):
    return SummingEngine(settings, clock=lambda: clock)


def stored(engine):
    """By table, the rows of the lake: day, file and line of each."""
    return {
        table.name: sorted(
            (row["event_date"], row["source_file"], row["source_line"])
            for day in engine.lake.days(table.name)
            for path in engine.lake.files(table.name, [day])
            for row in pq.read_table(path, partitioning=None).to_pylist()
        )
        for table in TABLES
    }


def hashes(engine):
    found = {}
    for table in TABLES:
        for day in engine.lake.days(table.name):
            manifest = engine.lake.manifest(table.name, day)
            assert engine.lake.verify(table.name, day) == []
            if manifest.rows:
                found[table.name, day] = (manifest.rows, manifest.content_hash)
    return found


def test_events_that_a_wrong_clock_put_on_its_day_come_to_their_own(fleet, tmp_path):
    wrong, day = at(fleet, LONG_AGO), LONG_AGO.date()
    wrong.ingest()
    assert [row[0] for row in stored(wrong)["raw_traces"]] == [date(2026, 10, 2), day, day]
    right = at(fleet, NOW)
    assert right.ingest().files == 0, "each byte is read once, whatever the clock says now"

    found = decide_again(right, day)
    assert (found.events, found.days) == (3, (day, DAY))
    fresh = at(settings_in(tmp_path / "fresh", telemetry_path=fleet.telemetry_path), NOW)
    fresh.ingest()
    for table in ("raw_traces", "conversation_logs"):
        assert stored(right)[table] == stored(fresh)[table]
        of_table = {key: value for key, value in hashes(fresh).items() if key[0] == table}
        assert {key: value for key, value in hashes(right).items() if key[0] == table} == of_table
    assert stored(right)["quarantined_events"] == stored(wrong)["quarantined_events"]
    assert right.day_stats(day)["clock_skewed"] == 0
    assert {each.day: each.events for each in right.index.backlog().days}[DAY] == 3
    assert decide_again(right, day).events == 0


def test_what_is_gone_or_was_replaced_since_is_not_lost(fleet):
    at(fleet, LONG_AGO).ingest()
    (fleet.telemetry_path / "n1/late.jsonl").write_bytes(call_line("other") + b"\n")
    (fleet.telemetry_path / "n2/late.jsonl").unlink()
    right = at(fleet, NOW)
    decide_again(right, LONG_AGO.date())
    right.ingest()
    assert [row[0] for row in stored(right)["raw_traces"]] == [date(2026, 10, 2), DAY, DAY, DAY]


def test_killed_in_between_a_second_call_leaves_each_event_once(fleet, monkeypatch):
    at(fleet, LONG_AGO).ingest()
    right, day = at(fleet, NOW), LONG_AGO.date()
    with monkeypatch.context() as patch:
        patch.setattr(reingest.Commit, "take_out", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            decide_again(right, day)
    assert len(stored(right)["raw_traces"]) == 5, "none is lost"
    decide_again(right, day)
    assert [row[0] for row in stored(right)["raw_traces"]] == [date(2026, 10, 2), DAY, DAY]


def test_an_event_that_is_still_ahead_of_the_clock_stays(fleet):
    wrong = at(fleet, LONG_AGO)
    wrong.ingest()
    before = stored(wrong)
    assert decide_again(wrong, LONG_AGO.date()).events == 0
    assert stored(wrong) == before
