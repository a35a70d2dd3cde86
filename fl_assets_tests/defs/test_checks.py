"""What a check says: of each day by itself, in words that name the playbook, and of a check that was never asked, why."""

from datetime import date

import dagster as dg
import pytest

from fl_assets.coordinator import InsufficientData
from fl_assets.defs import checks
from fl_assets_tests.conftest import DAYS, LAST_DAY, ask


def run_of(coordinator, day: date) -> str:
    """Id of the run that last closed a day's cycle."""
    rows = coordinator.workspace.warehouse.read_day("learning_cycles", day)
    return max(rows, key=lambda row: row["start_time"])["cycle_id"].removesuffix(f"/{day}")


def evaluations(instance, run_id: str) -> list[dg.AssetCheckEvaluation]:
    logged = instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
    return [record.get_dagster_event().asset_check_evaluation_data for record in logged]


def planned(instance, run_id: str) -> set[dg.AssetCheckKey]:
    logged = instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED)
    return {record.get_dagster_event().event_specific_data.asset_check_key for record in logged}


def test_a_run_of_many_days_files_a_verdict_on_each_day_of_each_check(learned, instance):
    run_id = run_of(learned, LAST_DAY)
    said = evaluations(instance, run_id)
    keys = planned(instance, run_id)
    assert len(keys) >= 10
    assert {(one.asset_check_key, one.partition) for one in said} == {
        (key, day) for key in keys for day in (None, *map(str, DAYS))
    }
    for one in said:
        if one.partition:
            assert one.target_materialization_data, (
                f"{one.check_name} of {one.partition} would be shown as not run"
            )


def test_each_day_gets_its_own_verdict_and_all_of_them_together_a_warning(learned, instance):
    thin = {"max_window_days": 1, "min_events": 1 + min(learned.workspace.events_on(day) for day in DAYS)}
    said = ask(checks.minimum_events, instance, DAYS[0], LAST_DAY, **learned.config.model_dump() | thin)
    verdicts = {one.partition: (one.passed, one.severity) for one in said}
    assert set(verdicts) == {None, *map(str, DAYS)}
    failed = [day for day in DAYS if learned.workspace.events_on(day) < thin["min_events"]]
    assert failed
    assert len(failed) < len(DAYS)
    for day in DAYS:
        assert verdicts[str(day)][0] is (day not in failed)
        assert day not in failed or verdicts[str(day)][1] == dg.AssetCheckSeverity.ERROR
    assert verdicts[None] == (False, dg.AssetCheckSeverity.WARN), "the other days go on"


def test_checks_behind_the_one_that_stopped_the_run_say_why_they_were_not_asked(copied, instance):
    coordinator = copied(fresh=True, min_events=1_000_000)
    with pytest.raises(InsufficientData):
        coordinator.run_learning_cycle(LAST_DAY)
    run_id = run_of(coordinator, LAST_DAY)
    said = {one.asset_check_key: one for one in evaluations(instance, run_id)}
    assert set(said) == planned(instance, run_id), "none is left without a word"
    unasked = {
        key.name
        for key, one in said.items()
        if (one.description or "").startswith(
            "not asked: minimum_events stopped the run (expected at least 1000000"
        )
    }
    assert unasked == {
        "tables_match_manifest",
        "confidence_gate",
        "evidence_is_real",
        "enough_nodes",
        "no_personal_data",
        "nothing_is_held",
        "updates_stand",
        "every_node_reports",
    }
    assert all(one.severity == dg.AssetCheckSeverity.WARN for key, one in said.items() if key.name in unasked)


def test_a_gate_that_fails_names_the_playbook_and_not_its_hash(learned, instance):
    (said,) = ask(
        checks.confidence_gate,
        instance,
        LAST_DAY,
        LAST_DAY,
        **learned.config.model_dump() | {"threshold": 1.0},
    )
    assert not said.passed
    playbooks = learned.workspace.playbooks(LAST_DAY)
    assert any(
        f"found: {one.title} has {one.confidence:.3f}"[:-1] in said.description for one in playbooks
    ), said.description
    assert not any(one.improvement_id in said.description for one in playbooks)
    rows = said.metadata["offending"].records
    assert {row.data["title"] for row in rows} <= {one.title for one in playbooks}
