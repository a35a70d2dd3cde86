"""The gate as a whole.

One bad day of a range stops only itself, a verdict is asked for once, a rule is added in one place.
"""

import random
import shutil
from dataclasses import replace
from pathlib import Path

import dagster as dg
import duckdb
import pytest

from fl_assets.core.models import Violation
from fl_assets.core.settings import FederatedLearningConfig
from fl_assets.core.tables import WAREHOUSE_TABLES
from fl_assets.defs import checks
from fl_assets.defs.assets.patterns import failure_patterns
from fl_assets.defs.assets.retention import raw_event_retention
from fl_assets.defs.resources import resources
from fl_assets.playbooks import rules
from fl_assets.playbooks.rules import GATE, GateRule, held_by, stopping
from fl_assets_tests.build import call_line, playbook
from fl_assets_tests.conftest import DAYS, LAST_DAY, ask, coordinator_in, texts_below

DAMAGED, MALFORMED, DIFFERENT = DAYS[1:4]
SUMS = ("failure_signatures", "call_totals", "conversation_signals")
LATER = tuple(
    table.name
    for table in WAREHOUSE_TABLES
    if table.name not in (*SUMS, "learning_cycles", "gate_verdicts", "adapter_catalogue")
)
LOW = playbook(improvement_id="a" * 16, confidence=0.4, held_because=("confidence_gate: …",))
LONELY = playbook(improvement_id="b" * 16, nodes_affected=1, held_because=("enough_nodes: …",))
GOOD = playbook()


def rule(name: str) -> GateRule:
    (found,) = [one for one in GATE if one.name == name]
    return found


def stopped_by(name: str, playbooks: list) -> list[str]:
    """Ids of the playbooks that stop a day by a rule, with the default limits."""
    broken = held_by(playbooks, FederatedLearningConfig(threshold=0.7, min_nodes=3)).items()
    violations = [one for _, found in broken for one in found if one.rule == name]
    return [one.subject for one in stopping(rule(name), violations, playbooks)]


def test_the_gate_is_shut_only_when_no_playbook_reaches_the_threshold_while_there_are_some():
    assert stopped_by("confidence_gate", []) == []
    assert stopped_by("confidence_gate", [LOW, GOOD]) == []
    assert stopped_by("confidence_gate", [LOW]) == [LOW.improvement_id]


def test_a_playbook_that_breaks_a_rule_and_is_not_held_stops_the_day_though_others_pass():
    for name, one in (("confidence_gate", LOW), ("enough_nodes", LONELY)):
        assert stopped_by(name, [one.model_copy(update={"held_because": ()}), GOOD]) == [one.improvement_id]


def test_claimed_evidence_and_personal_data_stop_the_day_even_of_a_held_playbook():
    for name in ("evidence_is_real", "no_personal_data"):
        broken = [Violation(rule=name, subject=LOW.improvement_id, expected="e", actual="a")]
        assert stopping(rule(name), broken, [LOW, GOOD]) == broken


# A range with bad days
# ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bad_lake(learned, tmp_path_factory, instance):
    """A folder with the fleet's lake and one damaged, one half malformed day, and one whose tables differ
    from their files.
    """
    root = tmp_path_factory.mktemp("bad")
    ignored = shutil.ignore_patterns("warehouse.*", "playbooks", "reports")
    shutil.copytree(learned.config.data_path, root / "data", ignore=ignored)
    (root / "late").mkdir()
    good = call_line("late-1", timestamp=f"{MALFORMED}T10:00:00Z")
    (root / "late" / "events_late.jsonl").write_bytes(good + b"\n" + b'{"event_id": \n' * 3000)
    coordinator = opened(root / "data", root / "late", instance)
    space = coordinator.workspace
    space.intake.ingest()
    path = space.lake.files("raw_traces", [DAMAGED])[0]
    path.write_bytes(path.read_bytes()[:-100])
    space.sums.refresh_signatures(DAYS)
    with duckdb.connect(str(space.settings.warehouse_path)) as connection:
        connection.execute(
            "update failure_signatures set failures = failures + 1 where event_date = ?", [DIFFERENT]
        )
    return root


def opened(folder, telemetry, instance):
    return coordinator_in(folder, instance, telemetry_path=telemetry, min_events=200)


def contents(coordinator, tables) -> dict:
    return {
        (name, day): coordinator.workspace.warehouse.read_day(name, day) for name in tables for day in DAYS
    }


@pytest.fixture(scope="module")
def ranged(bad_lake, tmp_path_factory, instance):
    """The cycles of all days in one run, and what they came to."""
    folder = tmp_path_factory.mktemp("ranged") / "data"
    shutil.copytree(bad_lake / "data", folder)
    coordinator = opened(folder, bad_lake / "late", instance)
    return coordinator, {result.day: result for result in coordinator.backfill(DAYS[0], LAST_DAY)}


def test_a_bad_day_in_a_range_goes_no_further_and_its_cycle_says_why(ranged):
    coordinator, results = ranged
    for day, name in (
        (DAMAGED, "lake_matches_manifest"),
        (MALFORMED, "few_malformed_lines"),
        (DIFFERENT, "tables_match_manifest"),
    ):
        assert results[day].status == "gated"
        assert results[day].reason.startswith(f"{name}: ")
    found = contents(coordinator, LATER)
    bad = {DAMAGED, MALFORMED, DIFFERENT}
    assert not [key for key, rows in found.items() if key[1] in bad and rows]
    assert {key[1] for key, rows in found.items() if key[0] == "failure_patterns" and rows} == {*DAYS} - bad
    sums = contents(coordinator, SUMS)
    assert not [key for key, rows in sums.items() if key[1] in (DAMAGED, MALFORMED) and rows]


def test_a_run_of_each_day_alone_in_any_order_gives_the_same_tables_and_playbooks(
    ranged, bad_lake, tmp_path, instance
):
    coordinator, results = ranged
    shutil.copytree(bad_lake / "data", tmp_path / "data")
    alone = opened(tmp_path / "data", bad_lake / "late", instance)
    for day in random.Random(3).sample(DAYS, len(DAYS)):
        assert alone.run_learning_cycle(day).status == results[day].status
    assert contents(alone, (*SUMS, *LATER)) == contents(coordinator, (*SUMS, *LATER))
    assert texts_below(alone.config.playbook_path) == texts_below(coordinator.config.playbook_path)


@pytest.mark.parametrize(
    ("broken", "shared", "names", "is_usable"),
    [
        (1, False, 1, True),
        (2, False, 1, True),
        (3, False, 1, False),
        (1, True, 1, False),
        (2, False, 5, True),
    ],
)
def test_lines_that_few_nodes_broke_stop_no_fleet(tmp_path, instance, broken, shared, names, is_usable):
    day, cache = DAYS[0], tmp_path / "telemetry"
    for number in range(4):
        folder = cache / ("all" if shared else f"n{number}")
        folder.mkdir(parents=True, exist_ok=True)
        calls = [
            call_line(f"{number}-{each}", timestamp=f"{day}T10:00:00Z", metadata={"node_id": f"n{number}"})
            for each in range(50)
        ]
        (folder / f"{number}.jsonl").write_bytes(b"\n".join(calls))
    for number in range(broken):
        folder = cache / ("all" if shared else f"broken{number}")
        folder.mkdir(exist_ok=True)
        whole = b"".join(
            call_line(f"b-{name}", timestamp=f"{day}T09:00:00Z", metadata={"node_id": f"b{number}-{name}"})
            + b"\n"
            for name in range(names)
        )
        (folder / f"broken{number}.jsonl").write_bytes(whole + b'{"event_id": \n' * 40)
    space = coordinator_in(tmp_path / "data", instance, telemetry_path=cache, min_nodes=3).workspace
    space.intake.ingest()
    assert space.engine.day_stats(day)["bad_ratio"] > space.settings.max_bad_ratio
    assert space.gate.usable_days([day]) == ([day] if is_usable else [])


# One verdict, one list
# ----------------------------------------------------------------------------------------------------


def test_a_verdict_is_asked_for_once_and_again_when_what_it_read_has_changed(copied, monkeypatch):
    space = copied().workspace
    counted = []
    kind, recount = type(space.recounter), type(space.recounter).recount
    monkeypatch.setattr(kind, "recount", lambda *given: counted.append(given) or recount(*given))
    for _ in range(3):
        space.gate.verdicts(LAST_DAY)
        space.decisions.decide(LAST_DAY, today=LAST_DAY)
    assert len(counted) <= 1, "a stored verdict counts"
    counted.clear()
    stored = space.playbooks.of(LAST_DAY)
    space.playbooks.replace(LAST_DAY, [stored[0].model_copy(update={"evidence_count": 1}), *stored[1:]])
    assert [one.subject for one in space.gate.stopping(LAST_DAY)] == [stored[0].improvement_id]
    assert len(counted) == 1
    assert space.gate.broken(LAST_DAY)[stored[0].improvement_id][-1].rule == "evidence_is_real"
    assert len(counted) == 1


def test_a_rule_that_is_added_to_the_list_is_a_check_holds_decisions_gates_the_cycle_and_is_in_the_docs(
    copied, instance, monkeypatch
):
    never = replace(
        rule("confidence_gate"),
        name="never_enough",
        doc="Nothing is ever enough.",
        expected=lambda _: "more than there is",
        find=lambda given: [
            Violation(rule="never_enough", subject=one.improvement_id, expected="more", actual="this")
            for one in given.playbooks
        ],
    )
    monkeypatch.setattr(rules, "GATE", (*GATE, never))
    coordinator = copied()
    space = coordinator.workspace
    (check,) = [one for one in checks.rule_checks() if next(iter(one.check_keys)).name == "never_enough"]
    (said,) = ask(check, instance, LAST_DAY, LAST_DAY, **coordinator.config.model_dump())
    assert (said.passed, said.blocking, said.severity) == (False, True, dg.AssetCheckSeverity.ERROR)
    assert {one.action for one in space.decisions.decide(LAST_DAY, today=LAST_DAY)} == {"hold"}
    assert space.gate.status(LAST_DAY)[0] == "gated"
    assert "never_enough" in {row["rule"] for row in space.warehouse.read_day("gate_verdicts", LAST_DAY)}
    assert all("never_enough" in str(held) for held in held_by([GOOD], space.settings).values())
    assert "| `never_enough` | `playbooks` | Nothing is ever enough. |" in gate_table()


def gate_table() -> str:
    """The docs' table of the rules, as it is made from the lists."""
    return "\n".join(
        ["| check | on | what it asks |", "|---|---|---|"]
        + [f"| `{one.name}` | `{one.asset}` | {one.doc} |" for one in (*rules.INPUT_RULES, *rules.GATE)]
    )


def test_the_docs_hold_the_table_of_the_rules():
    text = (Path(__file__).parents[2] / "docs" / "gate.md").read_text()
    assert gate_table() in text


def test_patterns_delete_no_events_and_retention_does(copied, instance):
    coordinator = copied(retention_days=7, max_window_days=1, min_events=200)
    old = coordinator.workspace.lake.files("raw_traces", DAYS)
    assert old
    given = {"partition_key": str(LAST_DAY), "resources": resources(coordinator.config), "instance": instance}
    assert dg.materialize([failure_patterns], **given).success
    assert coordinator.workspace.lake.files("raw_traces", DAYS) == old
    assert dg.materialize([raw_event_retention], **given).success
    left = coordinator.workspace.lake.files("raw_traces", DAYS)
    assert len(left) < len(old)
