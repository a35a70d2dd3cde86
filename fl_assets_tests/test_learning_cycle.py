"""The whole cycle: telemetry in, playbooks and gated decisions out."""

import json
import random
from datetime import UTC, date, datetime, timedelta

import dagster as dg
import orjson
import pytest

from fl_assets.coordinator import CycleFailedError, InsufficientData
from fl_assets.core.models import LearningCycleResult
from fl_assets.core.settings import FederatedLearningConfig
from fl_assets.definitions import build
from fl_assets.defs.assets.updates import update_decisions
from fl_assets.defs.automation import DISABLED, cycle_schedule, minimum_events_reached
from fl_assets.defs.resources import resources
from fl_assets.infra.clock import now_utc
from fl_assets.sums import store
from fl_assets.sums.masking import signature_sql
from fl_assets_tests.conftest import DAYS, LAST_DAY, texts_below

RESULT_TABLES = (
    "failure_signatures",
    "call_totals",
    "conversation_signals",
    "failure_patterns",
    "pattern_members",
    "playbooks",
    "update_decisions",
)


def contents(coordinator, tables=RESULT_TABLES) -> dict:
    """Every row of the result tables, by table and day."""
    return {
        (name, day): coordinator.workspace.warehouse.read_day(name, day) for name in tables for day in DAYS
    }


def lake_files(coordinator) -> dict[str, int]:
    """Every Parquet file of the lake with its time."""
    root = coordinator.config.lake_path
    return {str(path.relative_to(root)): path.stat().st_mtime_ns for path in sorted(root.rglob("*.parquet"))}


def truth_of(fleet) -> dict:
    return orjson.loads((fleet.parent / "truth.json").read_bytes())


def patterns_of_truth(coordinator, planted, day) -> set[str]:
    """Pattern ids of a day that the messages of a planted failure with a text belong to."""
    space = coordinator.workspace
    with space.engine.connect() as connection:
        files = [str(path.resolve()) for path in space.lake.files("raw_traces", space.days.window(day).days)]
        connection.read_parquet(files, hive_partitioning=False).create_view("events")
        connection.execute(
            "create table planted as select * from events where not success and regexp_matches(error, "
            "$match)",
            {"match": planted["match"]},
        )
        messages = set(connection.sql(signature_sql("planted")).to_arrow_table()["message_id"].to_pylist())
    return {
        row["pattern_id"]
        for row in space.warehouse.read_day("pattern_members", day)
        if row["message_id"] in messages
    }


def test_the_cycle_tells_what_the_contract_asks_for(learned):
    rows = learned.workspace.warehouse.read_day("learning_cycles", LAST_DAY)
    assert [row["status"] for row in rows] == ["completed"]
    assert rows[0]["events_processed"] >= 1000
    assert rows[0]["improvements_generated"] == len(learned.workspace.playbooks.of(LAST_DAY)) > 0
    assert set(LearningCycleResult.model_fields) >= {
        "cycle_id",
        "start_time",
        "end_time",
        "events_processed",
        "improvements_generated",
        "adapters_updated",
        "configs_updated",
    }


def test_playbook_files_hold_the_contracts_fields(learned):
    files = sorted((learned.config.playbook_path / str(LAST_DAY)).glob("*.json"))
    assert len(files) == len(learned.workspace.playbooks.of(LAST_DAY))
    for file in files:
        content = json.loads(file.read_text())
        assert list(content)[:7] == [
            "improvement_id",
            "category",
            "description",
            "confidence",
            "suggested_changes",
            "evidence_count",
            "created_at",
        ]
        assert all(isinstance(value, str) for value in content["suggested_changes"].values())


def test_all_four_categories_are_produced_and_an_adapter_without_a_source_is_an_alternative(learned):
    playbooks = [playbook for day in DAYS for playbook in learned.workspace.playbooks.of(day)]
    assert {playbook.category for playbook in playbooks} == {"prompt", "config", "workflow"}
    others = [other for playbook in playbooks for other in playbook.advice.alternatives]
    assert "needs_setup" in {other.readiness for other in others if other.category == "adapter"}


def test_every_planted_chronic_failure_of_three_nodes_is_a_pattern(learned, fleet):
    missed = []
    for planted in truth_of(fleet)["failures"]:
        if (
            planted["shape"] == "chronic"
            and planted["match"]
            and len(planted["nodes"]) >= 3
            and not patterns_of_truth(learned, planted, LAST_DAY)
        ):
            missed.append(planted["id"])
    assert not missed


def test_no_failure_of_a_single_node_becomes_actionable(learned, fleet):
    loud = [planted for planted in truth_of(fleet)["failures"] if planted["shape"] == "single_node"]
    assert loud
    for day in DAYS:
        actionable = {
            playbook.pattern_id
            for playbook in learned.workspace.playbooks.of(day)
            if not playbook.held_because
        }
        for planted in loud:
            assert not actionable & patterns_of_truth(learned, planted, day)


def test_evidence_can_be_recounted_from_the_lake(learned):
    space = learned.workspace
    recounted = space.recounter.recount(LAST_DAY, space.days.window(LAST_DAY).days)
    playbooks = space.playbooks.of(LAST_DAY)
    assert playbooks
    assert all(
        recounted.counted[one.pattern_id] == recounted.summed[one.pattern_id] == one.evidence_count
        for one in playbooks
    )


def test_a_historical_day_is_a_backtest(learned):
    decisions = [row for day in DAYS for row in learned.workspace.warehouse.read_day("update_decisions", day)]
    assert decisions
    assert {row["mode"] for row in decisions} == {"backtest"}
    assert all(row["reasons"] and row["revert_plan"] for row in decisions)


def test_a_rerun_changes_nothing(copied):
    again = copied()
    before, files = contents(again), lake_files(again)
    assert again.run_learning_cycle(LAST_DAY).status == "completed"
    assert contents(again) == before
    assert lake_files(again) == files


def test_a_vanished_source_file_loses_nothing(copied, tmp_path):
    (tmp_path / "empty").mkdir()
    again = copied(fresh=True, telemetry_path=tmp_path / "empty")
    assert again.run_learning_cycle(LAST_DAY).status == "completed"
    assert again.workspace.playbooks.of(LAST_DAY)


@pytest.mark.faults
def test_a_range_equals_day_by_day_in_any_order(copied, learned):
    """As `test_gate.py` tests with bad days among them, over six good days, which takes most of a minute."""
    days = list(DAYS)
    random.Random(3).shuffle(days)
    shuffled = copied(fresh=True)
    for day in days:
        shuffled.run_learning_cycle(day)
    ours, theirs = contents(shuffled), contents(learned)
    assert ours.keys() == theirs.keys()
    for key, rows in theirs.items():
        for mine, other in zip(ours[key], rows, strict=True):
            assert {n: (v, other[n]) for n, v in mine.items() if v != other[n]} == {}, key
    assert texts_below(shuffled.config.playbook_path) == texts_below(learned.config.playbook_path)


def test_retention_removes_raw_days_and_keeps_their_sums(copied, monkeypatch):
    coordinator = copied(retention_days=7, max_window_days=1)
    space = coordinator.workspace
    before = contents(coordinator, ("failure_signatures", "call_totals", "conversation_signals"))
    space.days.expire(DAYS[2], today=LAST_DAY + timedelta(days=30))
    assert [day for day in DAYS if not space.lake.files("raw_traces", [day])] == DAYS[:3], (
        "days after the analysed one stay"
    )
    monkeypatch.setattr(store, "SUMS_VERSION", "of the next release")
    assert space.sums.refresh_signatures(space.days.with_events(LAST_DAY)) == DAYS[3:], (
        "summed again by another release, but for what is gone"
    )
    space.sums.refresh_conversations(space.days.with_events(LAST_DAY))
    assert contents(coordinator, ("failure_signatures", "call_totals", "conversation_signals")) == before


def test_too_few_events_are_said_recorded_and_stop_the_cycle(copied):
    coordinator = copied(fresh=True, min_events=1_000_000)
    with pytest.raises(InsufficientData, match="at least 1,000,000 events"):
        coordinator.run_learning_cycle(LAST_DAY)
    (row,) = coordinator.workspace.warehouse.read_day("learning_cycles", LAST_DAY)
    assert row["status"] == "insufficient_data"
    assert row["window_days"] == 7
    assert coordinator.workspace.warehouse.read_day("failure_patterns", LAST_DAY) == []


def test_a_day_below_the_threshold_is_gated_and_decides_nothing(copied, instance):
    coordinator = copied(fresh=True, threshold=1.0, min_events=3000, apply="on")
    result = coordinator.run_learning_cycle(LAST_DAY)
    assert result.status == "gated"
    assert result.window_days == 3, "a thin day is analysed with the days before it"
    assert "confidence_gate" in result.reason
    assert all(playbook.held_because for playbook in coordinator.workspace.playbooks.of(LAST_DAY))
    assert coordinator.workspace.warehouse.read_day("update_decisions", LAST_DAY) == []
    assert [
        row["status"] for row in coordinator.workspace.warehouse.read_day("learning_cycles", LAST_DAY)
    ] == ["gated"]

    overrides = {
        name: str(value) for name, value in coordinator.config.model_dump().items() if value is not None
    }
    outcome = dg.materialize(
        [update_decisions],
        partition_key=str(LAST_DAY),
        resources=resources(FederatedLearningConfig.from_env(**overrides)),
        instance=instance,
    )
    assert outcome.success
    rows = coordinator.workspace.warehouse.read_day("update_decisions", LAST_DAY)
    assert rows
    assert {row["action"] for row in rows} == {"hold"}, (
        "deciding by hand after a failed gate holds everything"
    )


def test_a_thin_day_in_a_range_stops_only_itself(copied):
    coordinator = copied(fresh=True, max_window_days=1)
    results = {result.day: result.status for result in coordinator.backfill(date(2026, 11, 7), DAYS[1])}
    assert results[date(2026, 11, 7)] == results[date(2026, 11, 8)] == "insufficient_data"
    assert results[DAYS[0]] in ("completed", "gated")


def test_a_step_that_fails_is_recorded_with_its_reason(copied, tmp_path):
    bad = tmp_path / "remedies.yaml"
    bad.write_text("remedies:\n  - id: broken\n    nonsense: 1\n")
    coordinator = copied(fresh=True, remedies_path=bad)
    with pytest.raises(CycleFailedError, match=r"playbooks: .*remedies.yaml:2"):
        coordinator.run_learning_cycle(LAST_DAY)
    (row,) = coordinator.workspace.warehouse.read_day("learning_cycles", LAST_DAY)
    assert row["status"] == "failed"
    assert "remedies.yaml" in row["reason"]


def test_a_day_outside_the_partitions_is_refused(learned):
    with pytest.raises(
        ValueError, match=r"2020-01-01 cannot be run: choose a day between 2023-01-01 .* and 2"
    ):
        learned.run_learning_cycle(date(2020, 1, 1))
    with pytest.raises(ValueError, match="give FROM and TO in order"):
        learned.backfill(LAST_DAY, DAYS[0])


# The sensor
# ----------------------------------------------------------------------------------------------------


def tick(folder, telemetry, **overrides):
    values = {
        "data_path": str(folder),
        "telemetry_path": str(telemetry),
        "error_records_path": str(folder / "none"),
    } | overrides
    with dg.build_sensor_context(
        resources={"workspace": resources(FederatedLearningConfig.from_env(**values))["workspace"]}
    ) as context:
        return minimum_events_reached(context)


def test_below_the_minimum_the_sensor_says_how_many_are_to_go(fleet, tmp_path):
    result = tick(tmp_path, fleet, min_events="1000000")
    assert not result.run_requests
    assert "of 1000000 events" in result.skip_reason.skip_message
    assert "to go" in result.skip_reason.skip_message


def test_at_the_minimum_the_sensor_asks_for_the_days_of_the_events(fleet, tmp_path):
    counted = int(tick(tmp_path, fleet, min_events="1000000").skip_reason.skip_message.split()[0])
    below = tick(tmp_path, fleet, min_events=str(counted + 1))
    at = tick(tmp_path, fleet, min_events=str(counted))
    assert not below.run_requests
    days = [request.partition_key for request in at.run_requests]
    assert days == sorted(days)
    assert str(LAST_DAY) in days
    assert len({request.run_key for request in at.run_requests}) == len(days)


def test_an_analysed_fleet_is_not_asked_for_again_until_a_late_file_comes(copied, tmp_path):
    (tmp_path / "late").mkdir()
    coordinator = copied(telemetry_path=tmp_path / "late", min_events=1)
    folder = coordinator.config.data_path
    # Events whose own time is out of range belong to the day of ingestion, which has had no cycle yet.
    today = str(now_utc().date())
    asked = tick(folder, tmp_path / "late", min_events="1").run_requests
    assert {request.partition_key for request in asked} <= {today}
    for _ in asked:
        coordinator.run_learning_cycle(date.fromisoformat(today))
    assert not tick(folder, tmp_path / "late", min_events="1").run_requests
    call = {
        "trace_id": "t",
        "request_id": "r",
        "service": "search",
        "method": "query",
        "duration_ms": 3,
        "success": True,
        "error": None,
        "metadata": {},
    }
    time = f"{DAYS[2]}T10:00:00Z"
    event = {
        "event_id": "late-1",
        "event_type": "ExecutionTrace",
        "execution_trace": call | {"timestamp": time},
        "conversation_log": None,
        "timestamp": time,
    }
    (tmp_path / "late" / "events_late.jsonl").write_bytes(orjson.dumps(event) + b"\n")
    first, second = (tick(folder, tmp_path / "late", min_events="1") for _ in range(2))
    assert [request.partition_key for request in first.run_requests] == [str(DAYS[2])]
    assert [request.run_key for request in first.run_requests] == [
        request.run_key for request in second.run_requests
    ], "asked for once"
    before = coordinator.workspace.lake.manifest("raw_traces", DAYS[2]).version
    coordinator.run_learning_cycle(DAYS[2])
    assert coordinator.workspace.lake.manifest("raw_traces", DAYS[2]).version == before + 1
    assert not tick(folder, tmp_path / "late", min_events="1").run_requests


def test_the_sensor_never_opens_the_warehouse(fleet, tmp_path):
    tick(tmp_path, fleet)
    assert not (tmp_path / "warehouse.duckdb").exists()


def test_switched_off_both_are_silent_and_say_so(fleet, tmp_path, monkeypatch):
    monkeypatch.setenv("FEDERATED_LEARNING_ENABLED", "off")
    result = tick(tmp_path, fleet, min_events="1")
    assert result.skip_reason.skip_message == DISABLED
    (skipped,) = schedule_tick()
    assert skipped.skip_message == DISABLED


def test_the_schedule_asks_for_yesterday_soon_after_midnight():
    (request,) = schedule_tick()
    assert request.partition_key == "2026-11-14"
    assert build().schedules, "the schedule is part of the definitions"


def schedule_tick() -> list:
    """What the schedule yields a quarter past midnight of November 15th."""
    schedule = cycle_schedule(FederatedLearningConfig.from_env())
    return list(
        schedule(
            dg.build_schedule_context(scheduled_execution_time=datetime(2026, 11, 15, 0, 15, tzinfo=UTC))
        )
    )
