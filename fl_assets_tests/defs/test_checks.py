"""What a check says.

Of each day by itself, in words that name the playbook, and of a check that was never asked, why.
"""

import re
from datetime import date

import dagster as dg
import duckdb
import orjson
import pyarrow as pa
import pytest

from fl_assets.coordinator import InsufficientData
from fl_assets.core.tables import CONVERSATION_SIGNALS, FAILURE_SIGNATURES
from fl_assets.defs import checks
from fl_assets.defs.assets.patterns import failure_patterns
from fl_assets.defs.assets.playbooks import playbooks
from fl_assets.defs.assets.telemetry import _sample
from fl_assets.defs.resources import resources
from fl_assets.events.quarantine import lost_events
from fl_assets.playbooks import rules
from fl_assets.sums import recount
from fl_assets_tests.conftest import DAYS, LAST_DAY, ask

ASSETS = {"failure_patterns": failure_patterns, "playbooks": playbooks}
BLOCKING = {
    "minimum_events",
    "few_malformed_lines",
    "lake_matches_manifest",
    "tables_match_manifest",
    "confidence_gate",
    "corroborated",
    "enough_nodes",
    "is_significant",
    "evidence_is_real",
    "no_personal_data",
}


def check(name: str) -> dg.AssetChecksDefinition:
    """The check of a rule."""
    (found,) = [one for one in checks.CHECKS if next(iter(one.check_keys)).name == name]
    return found


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
    assert {key.name for key in keys} == {
        *BLOCKING,
        "evaluations_have_traces",
        "updates_stand",
        "adapter_freshness",
        "every_node_reports",
        "sources_answer",
        "summaries_are_taken",
    }
    assert {(one.asset_check_key, one.partition) for one in said} == {
        (key, day) for key in keys for day in (None, *map(str, DAYS))
    }
    for one in said:
        if one.partition:
            assert one.target_materialization_data, (
                f"{one.check_name} of {one.partition} would be shown as not run"
            )


def test_each_day_gets_its_own_verdict_and_all_of_them_together_a_warning(learned, instance):
    thin = {
        "max_window_days": 1,
        "min_events": 1 + min(learned.workspace.days.events_on(day) for day in DAYS),
    }
    said = ask(check("minimum_events"), instance, DAYS[0], LAST_DAY, **learned.config.model_dump() | thin)
    verdicts = {one.partition: (one.passed, one.severity) for one in said}
    assert set(verdicts) == {None, *map(str, DAYS)}
    failed = [day for day in DAYS if learned.workspace.days.events_on(day) < thin["min_events"]]
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
        "corroborated",
        "is_significant",
        "evidence_is_real",
        "enough_nodes",
        "no_personal_data",
        "updates_stand",
        "every_node_reports",
    }
    assert all(one.severity == dg.AssetCheckSeverity.WARN for key, one in said.items() if key.name in unasked)


def test_a_gate_that_fails_names_the_playbook_and_not_its_hash(learned, instance):
    (said,) = ask(
        check("confidence_gate"),
        instance,
        LAST_DAY,
        LAST_DAY,
        **learned.config.model_dump() | {"threshold": 1.0},
    )
    assert not said.passed
    playbooks = learned.workspace.playbooks.of(LAST_DAY)
    best = max(playbooks, key=lambda one: one.confidence)
    found = re.search(r"found: (.+) has ([\d.]+), and \d+ more", said.description)
    assert found, said.description
    assert (found[1], float(found[2])) == (best.title, pytest.approx(best.confidence, abs=1e-3))
    assert not any(one.improvement_id in said.description for one in playbooks)
    rows = said.metadata["offending"].records
    assert {row.data["of"] for row in rows} <= {one.title for one in playbooks}


def test_scores_of_traces_that_are_not_stored_are_a_warning(copied, instance, tmp_path):
    coordinator = copied(telemetry_path=tmp_path / "cache")
    space = coordinator.workspace
    space.warehouse.create(space.settings.lake_folder)
    known = space.warehouse.rows(
        "select trace_id from raw_traces where event_date = $day and trace_id is not null limit 1",
        {"day": LAST_DAY},
    )[0]["trace_id"]
    score = {"timestamp": f"{LAST_DAY}T12:00:00Z", "name": "helpful", "value": 1, "source": "API"}
    score |= {"dataType": "NUMERIC", "observationId": None}

    def checked(*traces: str) -> dg.AssetCheckEvaluation:
        lines = [orjson.dumps({**score, "id": trace, "traceId": trace}) for trace in traces]
        path = coordinator.config.telemetry_path / "scores" / f"{len(traces)}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"\n".join(lines) + b"\n")
        space.engine.ingest()
        space.warehouse.create(space.settings.lake_folder)
        one = check("evaluations_have_traces")
        (said,) = ask(one, instance, LAST_DAY, LAST_DAY, **coordinator.config.model_dump())
        return said

    said = checked(known)
    assert (said.passed, said.metadata["scores_with_a_trace"].value) == (True, 1)
    said = checked("t-lost", "t-gone", "t-never")
    assert (said.passed, said.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert {row.data["trace_id"] for row in said.metadata["unknown"].records} == {
        "t-lost",
        "t-gone",
        "t-never",
    }


def test_the_blocking_checks_are_the_rules_of_the_gate_by_name():
    named = {key.name for one in checks.CHECKS for key in one.check_keys}
    assert named == {*BLOCKING, "evaluations_have_traces", "updates_stand"}
    assert {rule.name for rule in (*rules.INPUT_RULES, *rules.GATE)} == BLOCKING
    blocking = {spec.name for one in checks.CHECKS for spec in one.check_specs if spec.blocking}
    assert blocking == BLOCKING


# Every blocking check is seen to fail
# ----------------------------------------------------------------------------------------------------


def damage_the_lake(space) -> None:
    """Cut the end off a file of the last day."""
    path = space.lake.files("raw_traces", [LAST_DAY])[0]
    path.write_bytes(path.read_bytes()[:-100])


def damage_the_tables(space) -> None:
    """Lose rows behind the warehouse's back, as a torn log does."""
    with duckdb.connect(str(space.settings.warehouse_path)) as connection:
        connection.execute(
            "delete from failure_signatures where event_date = $day and node_id = (select min(node_id) "
            "from failure_signatures)",
            {"day": LAST_DAY},
        )


def inflate_the_sums(space) -> None:
    """Plant a fault in the sums, and let patterns and playbooks be made of it."""
    rows = space.warehouse.read_day("failure_signatures", LAST_DAY)
    inputs = space.warehouse.manifest("failure_signatures", LAST_DAY)["inputs"]
    wrong = pa.Table.from_pylist(
        [row | {"failures": row["failures"] * 2} for row in rows], schema=FAILURE_SIGNATURES.arrow_schema
    )
    space.warehouse.replace("failure_signatures", LAST_DAY, wrong, inputs=inputs)


def lose_a_node(space) -> None:
    """Leave one node's conversations out of the sums."""
    rows = space.warehouse.read_day("conversation_signals", LAST_DAY)
    inputs = space.warehouse.manifest("conversation_signals", LAST_DAY)["inputs"]
    window = space.days.window(LAST_DAY).days
    talking = {
        row["node_id"] for day in window for row in space.warehouse.read_day("conversation_signals", day)
    }
    affected = {row["node_id"] for row in rows if row["sessions_affected"]}
    lost = min(affected & recount.sample_of(talking, LAST_DAY))
    kept = [row for row in rows if row["node_id"] != lost]
    table = pa.Table.from_pylist(kept, schema=CONVERSATION_SIGNALS.arrow_schema)
    space.warehouse.replace("conversation_signals", LAST_DAY, table, inputs=inputs)


def leak(space) -> None:
    """Let a stored playbook hold an address."""
    stored = space.playbooks.of(LAST_DAY)
    space.playbooks.replace(
        LAST_DAY, [stored[0].model_copy(update={"description": "Write to ada@example.org"}), *stored[1:]]
    )


FAULTS = {
    "minimum_events": ({"min_events": 1_000_000}, None, ()),
    "few_malformed_lines": ({"max_bad_ratio": 0.0001}, None, ()),
    "lake_matches_manifest": ({}, damage_the_lake, ()),
    "tables_match_manifest": ({}, damage_the_tables, ()),
    "confidence_gate": ({"threshold": 1.0}, None, ("playbooks",)),
    "corroborated": ({"min_nodes": 100}, None, ("failure_patterns", "playbooks")),
    "enough_nodes": ({"min_nodes": 100}, None, ("playbooks",)),
    "is_significant": ({"false_discovery_rate": 1e-300}, None, ("failure_patterns", "playbooks")),
    "evidence_is_real": ({}, inflate_the_sums, ("failure_patterns", "playbooks")),
    "no_personal_data": ({}, leak, ()),
}


@pytest.mark.parametrize("name", sorted(BLOCKING))
def test_every_blocking_check_is_seen_to_fail(name, copied, instance):
    changes, plant, materialised = FAULTS[name]
    coordinator = copied(**changes)
    if plant:
        plant(coordinator.workspace)
    made = [ASSETS[asset] for asset in materialised]
    if made:
        assert dg.materialize(
            made, partition_key=str(LAST_DAY), resources=resources(coordinator.config), instance=instance
        ).success
    space = coordinator.workspace
    malformed = {day: lost_events(space.lake.manifest("quarantined_events", day)) for day in DAYS}
    day = max(DAYS, key=lambda one: malformed[one]) if name == "few_malformed_lines" else LAST_DAY
    (said,) = ask(check(name), instance, day, day, **coordinator.config.model_dump())
    assert not said.passed
    assert said.severity == dg.AssetCheckSeverity.ERROR
    assert said.blocking
    assert said.metadata["offending"].records


def test_conversations_that_are_missing_from_the_sums_are_found_by_the_recount(copied, instance):
    coordinator = copied()
    space = coordinator.workspace
    lose_a_node(space)
    found = space.recounter.recount(LAST_DAY, space.days.window(LAST_DAY).days)
    assert any(found.counted[pattern] > found.summed.get(pattern, 0) for pattern in found.counted)


def test_damaged_days_of_a_range_stop_no_other_and_leave_nothing_behind(copied):
    """A cut file, a manifest that is none, one that does not fit its rows: the error names file and day."""
    coordinator = copied(fresh=True)
    space, days = coordinator.workspace, DAYS[-6:-1]
    folders = [space.lake.folder("raw_traces", day) for day in days]
    (cut,) = folders[1].glob("*.parquet")
    cut.write_bytes(cut.read_bytes()[:-100])
    (folders[2] / "manifest.json").write_text("{")
    told = orjson.loads((folders[3] / "manifest.json").read_bytes())
    (folders[3] / "manifest.json").write_bytes(orjson.dumps(told | {"rows": 7}))
    before = {path: path.read_bytes() for folder in folders for path in folder.iterdir()}
    results = coordinator.backfill(days[0], days[-1])
    assert ["lake_matches_manifest" in one.reason for one in results] == [False, True, True, True, False]
    named = [cut.name, str(folders[2] / "manifest.json"), "7 rows"]
    for one, name in zip(results[1:4], named, strict=True):
        assert name in one.reason
        assert str(one.day) in one.reason
        assert one.status == "gated"
    for table in ("failure_signatures", "failure_patterns", "playbooks", "update_decisions"):
        stored = {
            row["event_date"] for row in space.warehouse.rows(f"select distinct event_date from {table}")
        }
        assert not stored & set(days[1:4]), table
        assert days[4] in stored or table == "update_decisions"
    assert {path: path.read_bytes() for folder in folders for path in folder.iterdir()} == before


def test_a_damaged_file_of_sums_is_made_anew(copied):
    coordinator = copied()
    space = coordinator.workspace
    path = space.warehouse.files.path("failure_signatures", LAST_DAY)
    before = space.warehouse.read_day("failure_signatures", LAST_DAY)
    path.write_bytes(b"junk")
    (broken,) = space.warehouse.verify("failure_signatures", [LAST_DAY])
    assert str(path) in broken.actual + broken.expected
    space.sums.refresh_signatures([LAST_DAY])
    assert space.warehouse.verify("failure_signatures", [LAST_DAY]) == []
    assert space.warehouse.read_day("failure_signatures", LAST_DAY) == before


def test_a_call_that_was_stopped_did_not_fail():
    calls = [
        {"error": None, "success": False, "caused_by": "interrupted"},
        {"error": None, "success": False, "caused_by": None},
        {"error": "boom", "success": False, "caused_by": None},
        {"error": None, "success": True, "caused_by": None},
    ]

    class Sampled:
        def sample(self, *_given):
            return pa.Table.from_pylist(calls)

    shown = [row["outcome"] for row in _sample(Sampled(), "raw_traces", LAST_DAY)]
    assert shown == ["interrupted", "failed without a text", "boom", "succeeded"]
