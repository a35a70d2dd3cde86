"""Files of a day that a wrong clock decided are read again, and nothing else changes."""

from datetime import UTC, date, datetime

import pyarrow.parquet as pq
import pytest

from fl_assets.core.tables import CONVERSATION_LOGS, QUARANTINED_EVENTS, RAW_TRACES
from fl_assets.events.reingest import let_go
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
    wrong = at(fleet, LONG_AGO)
    wrong.ingest()
    day = LONG_AGO.date()
    assert [row[0] for row in stored(wrong)["raw_traces"]] == [date(2026, 10, 2), day, day]
    right = at(fleet, NOW)
    assert right.ingest().files == 0, "each byte is read once, whatever the clock says now"

    found = let_go(right, day)
    assert (found.files, found.gone, found.rows) == (("n1/late.jsonl", "n2/late.jsonl"), (), 4)
    report = right.ingest()
    assert (report.files, report.events, report.duplicates) == (2, 3, 0)
    assert {row[0] for row in stored(right)["raw_traces"]} == {date(2026, 10, 2), DAY}

    fresh = at(settings_in(tmp_path / "fresh", telemetry_path=fleet.telemetry_path), NOW)
    fresh.ingest()
    assert stored(right) == stored(fresh)
    assert hashes(right) == hashes(fresh), "as if the clock had been right at once"
    days = {each.day: each.events for each in right.index.backlog().days}
    assert days[DAY] == 3, "the sensor asks for the day that the events came to"


def test_what_a_file_gave_that_is_gone_stays_and_is_named(fleet):
    wrong = at(fleet, LONG_AGO)
    wrong.ingest()
    before = stored(wrong)
    for name in ("n1/late.jsonl", "n2/late.jsonl"):
        (fleet.telemetry_path / name).unlink()
    found = let_go(at(fleet, NOW), LONG_AGO.date())
    assert (found.files, found.gone, found.rows) == ((), ("n1/late.jsonl", "n2/late.jsonl"), 0)
    assert stored(wrong) == before


def test_killed_before_the_rows_went_a_second_call_leaves_each_event_once(fleet, monkeypatch):
    at(fleet, LONG_AGO).ingest()
    right, day = at(fleet, NOW), LONG_AGO.date()
    with monkeypatch.context() as patch:
        patch.setattr("fl_assets.events.reingest._rows_of", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            let_go(right, day)
    right.ingest()  # a cycle may come in between: events are on both days then, and none is lost
    let_go(right, day)
    right.ingest()
    assert sorted(row[0] for row in stored(right)["raw_traces"]) == [date(2026, 10, 2), DAY, DAY]
